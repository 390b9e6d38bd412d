//! What a preset costs and gives, computed from its rates and never written down beside them.
//!
//! ```text
//! latency  = wait for a payload slot, Exp(1/rate) + rest before sending, Exp(d) + three relays, 3 × Exp(d) + four links
//! bytes    = 4848 a packet × packets a month, in the window and outside it, as much down as up
//! pool     = packets that rest at a relay at a time: users × rate × relays on a path / relays × d
//! ```
//!
//! The latency is the whole distribution on a grid of a millisecond: to add an exponential time is to run a filter of
//! first order over it. Spec: presets, bandwidth formula, latency under a payload clock.

use std::time::Duration;

use super::Preset;
use crate::geometry::PACKET_LEN;
use crate::limits::RELAYS_NEEDED;

// ---- Of the specification ----

/// Bytes that a packet takes on the wire beside itself: length prefix, Yamux, Noise, and TCP/IP headers of four segments.
pub const WIRE_OVERHEAD: usize = 2 + 12 + 18 + 208;
/// Links from a client to its service: to the first relay, between the three, and from the last.
pub const LINKS: u32 = 4;
/// What one link takes on the public internet, on average.
pub const LINK_MEAN: Duration = Duration::from_millis(80);
/// And its standard deviation.
pub const LINK_SD: Duration = Duration::from_millis(20);

const SECONDS_PER_MONTH: f64 = 2_592_000.0;
const MINUTES_PER_DAY: f64 = 1440.0;

/// How long a message takes one way, from the user's key press to the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half of all messages are quicker.
    pub p50: Duration,
    /// Nineteen of twenty are quicker.
    pub p95: Duration,
    /// Ninety-nine of a hundred are quicker.
    pub p99: Duration,
}

impl Preset {
    /// How long a message of one packet takes while the window is open; none for a preset that sends no messages.
    pub fn latency(&self) -> Option<Latency> {
        self.latency_at(self.delay_mean())
    }

    /// The same for a class of messages that rests so long at each hop; before sending all rest equally long.
    pub fn latency_at(&self, delay: Duration) -> Option<Latency> {
        let wait = (self.payload_rate > 0.0).then(|| 1.0 / self.payload_rate)?;
        Some(latency_of(wait, self.delay_mean(), delay))
    }

    /// The same while the window is closed.
    pub fn latency_idle(&self) -> Option<Latency> {
        let wait = (self.payload_rate > 0.0).then(|| 1.0 / self.payload_rate)?;
        let delay = self.delay_mean();
        Some(latency_of(wait / self.idle_share(), delay, delay))
    }

    /// Packets that it sends in a month of 30 days, forwarding apart.
    pub fn packets_per_month(&self) -> f64 {
        let window = f64::from(self.window_minutes) / MINUTES_PER_DAY;
        SECONDS_PER_MONTH * (window * self.packet_rate() + (1.0 - window) * self.idle_rate)
    }

    /// Bytes on the wire in a month, both ways together. As much is counted down as up, which drop cover does not need:
    /// an upper bound.
    pub fn bytes_per_month(&self) -> f64 {
        2.0 * self.packets_per_month() * (PACKET_LEN + WIRE_OVERHEAD) as f64
    }

    /// Packets that rest at one relay at a time, on average, where so many users of this preset have their window open.
    pub fn pool(&self, users: f64, relays: f64) -> f64 {
        self.pool_at(users, relays, self.delay_mean())
    }

    /// Packets that come to a relay while one rests there that rests so long on average.
    pub fn pool_at(&self, users: f64, relays: f64, delay: Duration) -> f64 {
        users * self.packet_rate() * RELAYS_NEEDED as f64 / relays * delay.as_secs_f64()
    }
}

fn latency_of(wait: f64, before: Duration, delay: Duration) -> Latency {
    let mut means = vec![wait, before.as_secs_f64()];
    means.extend([delay.as_secs_f64(); RELAYS_NEEDED]);
    latency(&means)
}

/// Quantiles of a sum of exponential times with these means and of the links. All in seconds.
fn latency(means: &[f64]) -> Latency {
    // A grid that is long enough for the slowest: a millisecond, or a coarser step.
    let total: f64 = means.iter().sum();
    let step_s = (total * TAIL_MEANS / STEPS as f64).max(1e-3);
    let mut density = links(step_s);
    for mean in means {
        add_exponential(&mut density, *mean, step_s);
    }
    let at = |share: f64| {
        let mut below = 0.0;
        let step = density.iter().position(|part| {
            below += part;
            below >= share
        });
        Duration::from_secs_f64(step.unwrap_or(STEPS) as f64 * step_s)
    };
    Latency {
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
    }
}

/// The time on the links, normally distributed.
fn links(step_s: f64) -> Vec<f64> {
    let mean = LINK_MEAN.as_secs_f64() / step_s * f64::from(LINKS);
    let sd = LINK_SD.as_secs_f64() / step_s * f64::from(LINKS).sqrt();
    let mut density: Vec<f64> = (0..STEPS)
        .map(|step| (-0.5 * ((step as f64 - mean) / sd).powi(2)).exp())
        .collect();
    let sum: f64 = density.iter().sum();
    density.iter_mut().for_each(|part| *part /= sum);
    density
}

/// Adds an exponential time of this mean (seconds) to a distribution.
fn add_exponential(density: &mut [f64], mean: f64, step_s: f64) {
    let stays = (-step_s / mean.max(1e-4)).exp();
    let mut waiting = 0.0;
    for part in density {
        waiting = waiting * stays + *part * (1.0 - stays);
        *part = waiting;
    }
}

/// With steps of a millisecond two minutes: ten times the 99th percentile of the slowest preset in its window.
const STEPS: usize = 120_000;

/// The grid is so many times as long as the mean: beyond it lies less than one in ten thousand.
const TAIL_MEANS: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the specification's table, which has two relays and so three delays: rate, delay (ms), p50, p95, p99.
    const PUBLISHED: [(f64, f64, f64, f64, f64); 6] = [
        (4.0, 50.0, 0.66, 1.25, 1.65),
        (4.0, 100.0, 0.81, 1.45, 1.84),
        (2.0, 100.0, 0.99, 2.15, 2.95),
        (2.0, 200.0, 1.30, 2.58, 3.38),
        (1.0, 400.0, 2.27, 4.82, 6.45),
        (0.5, 200.0, 2.3, 6.9, 10.1),
    ];

    #[test]
    fn the_published_latencies_come_out() {
        for (rate, delay, p50, p95, p99) in PUBLISHED {
            let delay_s = delay / 1e3;
            let ours = latency(&[1.0 / rate, delay_s, delay_s, delay_s]);
            for (ours, published) in [(ours.p50, p50), (ours.p95, p95), (ours.p99, p99)] {
                let ours = ours.as_secs_f64();
                assert!(
                    (ours - published).abs() <= 0.03 * published,
                    "{rate}/s, {delay} ms: {ours} against {published}"
                );
            }
        }
    }

    #[test]
    fn the_published_volumes_come_out() {
        let published = [
            ("mobile-saver", 0.56),
            ("mobile", 0.92),
            ("normal", 5.8),
            ("fast", 10.9),
            ("high", 75.0),
        ];
        for (name, gigabytes) in published {
            let ours = Preset::named(name).unwrap().bytes_per_month() / 1e9;
            assert!(
                (ours - gigabytes).abs() <= 0.02 * gigabytes,
                "{name}: {ours} against {gigabytes}"
            );
        }
    }

    #[test]
    fn the_promises_of_time_are_kept() {
        let p99 = |name| Preset::named(name).unwrap().latency().unwrap().p99;
        assert!(p99("normal") < Duration::from_secs(5));
        let fast = Preset::FAST.latency().unwrap();
        assert!(fast.p95 < Duration::from_secs(2));
        assert_eq!(Preset::RELAY.latency(), None);
        // Outside the window a slot comes in minutes: half of an exponential time of 75 s.
        let idle = Preset::FAST.latency_idle().unwrap().p50.as_secs_f64();
        assert!((52.0..54.0).contains(&idle), "{idle}");
        let slow = Preset::FAST.latency_at(Duration::from_millis(400)).unwrap();
        assert!(slow.p50 > fast.p50 * 2 && slow.p50 < Duration::from_secs(2));
    }

    #[test]
    fn a_pool_grows_with_users_and_shrinks_with_relays() {
        let one = Preset::NORMAL.pool(1_000.0, 10.0);
        assert!((one - 1_000.0 * 2.6 * 3.0 / 10.0 * 0.2).abs() < 1e-9);
        assert!(
            Preset::NORMAL.pool(2_000.0, 10.0) > one && Preset::NORMAL.pool(1_000.0, 20.0) < one
        );
    }
}
