//! Presets: how often a node sends and how long packets rest, as one versioned choice.
//!
//! Users of one preset form one crowd. A mean delay that few choose would be a fingerprint at every
//! hop (the hop reads it), so the delays are quantised to [`DELAYS_MS`]. The table:
//!
//! | name | payload/s | loop/s | drop/s | delay | window |
//! |---|---|---|---|---|---|
//! | `mobile-saver` | 0.7 | 0.1 | 0.2 | 200 ms | 30 min a day, else 1 per 600 s |
//! | `mobile` | 1.2 | 0.2 | 0.2 | 150 ms | 30 min a day, else 1 per 300 s |
//! | `normal` | 2 | 0.3 | 0.3 | 200 ms | 2 h a day, else 1 per 60 s |
//! | `fast` | 4 | 0.5 | 0.5 | 80 ms | 2 h a day, else 1 per 60 s |
//! | `high` | 2 | 0.5 | 0.5 | 400 ms | always |
//! | `service` | 20 | 0.5 | 0.5 | 80 ms | always |
//! | `relay` | 0 | 0 | 0 | 80 ms | - |
//!
//! `service` is for a bridge, whose one clock serves many users; `relay` is for a node that only
//! forwards and watches the network by its mix loops. Where the table names a window, the three rates hold while it is open
//! ([`crate::window`]); outside it they share the idle rate in the same proportions.

use std::time::Duration;

pub use figures::Latency;

pub mod figures;

// ---- Constants of the specification ----

/// The mean delays that presets may use, in milliseconds.
pub const DELAYS_MS: [u16; 4] = [80, 150, 200, 400];

/// Rate of the loops that a relay sends on its own account, per second.
pub const MIX_LOOP_RATE: f64 = 0.2;

/// Minutes of a window that is always open.
pub const ALWAYS_MINUTES: u16 = 1440;

/// How often a node sends, and how long its packets rest at each hop.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preset {
    /// Version of this struct's meaning; two nodes of one name and version form one crowd.
    pub version: u8,
    /// Name in the configuration.
    pub name: &'static str,
    /// Payload slots per second (each sends a queued frame or, without one, drop cover).
    pub payload_rate: f64,
    /// Loops per second.
    pub loop_rate: f64,
    /// Packets of drop cover per second, besides empty payload slots.
    pub drop_rate: f64,
    /// Mean delay at each hop, and before sending, in milliseconds.
    pub delay_ms_mean: u16,
    /// All packets per second outside the window.
    pub idle_rate: f64,
    /// Minutes a day in which the window is expected to be open; [`ALWAYS_MINUTES`] is always.
    pub window_minutes: u16,
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }

    /// The mean delay as a duration.
    pub fn delay_mean(&self) -> Duration {
        Duration::from_millis(self.delay_ms_mean.into())
    }

    /// All packets that a node sends per second while the window is open, forwarding apart.
    pub fn packet_rate(&self) -> f64 {
        self.payload_rate + self.loop_rate + self.drop_rate
    }

    /// Whether it runs at one rate at all times.
    pub fn is_always_open(&self) -> bool {
        self.window_minutes >= ALWAYS_MINUTES
    }

    /// By how much its clocks are slower outside the window: 1 where there is none.
    pub fn idle_share(&self) -> f64 {
        if self.is_always_open() || self.packet_rate() <= 0.0 {
            return 1.0;
        }
        self.idle_rate / self.packet_rate()
    }

    /// Chatting on a good line: median one way below a second.
    pub const FAST: Self = Self {
        version: 1,
        name: "fast",
        payload_rate: 4.0,
        loop_rate: 0.5,
        drop_rate: 0.5,
        delay_ms_mean: 80,
        idle_rate: 1.0 / 60.0,
        window_minutes: 120,
    };

    /// The default: within five seconds almost always.
    pub const NORMAL: Self = Self {
        version: 1,
        name: "normal",
        payload_rate: 2.0,
        loop_rate: 0.3,
        drop_rate: 0.3,
        delay_ms_mean: 200,
        idle_rate: 1.0 / 60.0,
        window_minutes: 120,
    };

    /// A phone: about 0.9 GB a month.
    pub const MOBILE: Self = Self {
        version: 1,
        name: "mobile",
        payload_rate: 1.2,
        loop_rate: 0.2,
        drop_rate: 0.2,
        delay_ms_mean: 150,
        idle_rate: 1.0 / 300.0,
        window_minutes: 30,
    };

    /// A phone on a small plan.
    pub const MOBILE_SAVER: Self = Self {
        version: 1,
        name: "mobile-saver",
        payload_rate: 0.7,
        loop_rate: 0.1,
        drop_rate: 0.2,
        delay_ms_mean: 200,
        idle_rate: 1.0 / 600.0,
        window_minutes: 30,
    };

    /// Cover around the clock and long delays.
    pub const HIGH: Self = Self {
        version: 1,
        name: "high",
        payload_rate: 2.0,
        loop_rate: 0.5,
        drop_rate: 0.5,
        delay_ms_mean: 400,
        idle_rate: 2.0,
        window_minutes: ALWAYS_MINUTES,
    };

    /// A bridge or mailbox: one clock that serves many users.
    pub const SERVICE: Self = Self {
        version: 1,
        name: "service",
        payload_rate: 20.0,
        loop_rate: 0.5,
        drop_rate: 0.5,
        delay_ms_mean: 80,
        idle_rate: 20.0,
        window_minutes: ALWAYS_MINUTES,
    };

    /// A node that only forwards: no client clocks, only the loops of a relay.
    pub const RELAY: Self = Self {
        version: 1,
        name: "relay",
        payload_rate: 0.0,
        loop_rate: 0.0,
        drop_rate: 0.0,
        delay_ms_mean: 80,
        idle_rate: 0.0,
        window_minutes: ALWAYS_MINUTES,
    };

    /// Every preset, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::MOBILE_SAVER,
        Self::MOBILE,
        Self::NORMAL,
        Self::FAST,
        Self::HIGH,
        Self::SERVICE,
        Self::RELAY,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_preset_and_are_unique() {
        for preset in Preset::ALL {
            assert_eq!(Preset::named(preset.name), Some(preset));
        }
        assert_eq!(Preset::named("faster"), None);
    }

    #[test]
    fn delays_are_quantised() {
        for preset in Preset::ALL {
            assert!(DELAYS_MS.contains(&preset.delay_ms_mean), "{}", preset.name);
        }
    }

    /// The loaded rate can never be below the idle one, or the window would show as a drop.
    #[test]
    fn idle_is_never_faster_than_active() {
        for preset in Preset::ALL {
            assert!(preset.idle_rate <= preset.packet_rate(), "{}", preset.name);
            let share = preset.idle_share();
            assert!(share > 0.0 && share <= 1.0, "{}", preset.name);
            assert_eq!(share == 1.0, preset.is_always_open(), "{}", preset.name);
        }
    }
}
