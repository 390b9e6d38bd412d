//! How well a message is protected: how long its packets rest at each hop, and how many copies of them are sent.
//!
//! Messages of one class share a level; the classes are few and the delays are quantised, because every hop reads the delay of a
//! packet: one that few choose would be a fingerprint. The clock is the same for all classes, and so is the rest before sending,
//! so the line shows nothing of it. Cover and loops take the delays of all classes in turn, so that at a hop none of them is
//! the class of real messages.
//!
//! ```text
//! class         what                                                       default
//! interactive   an object of a few frames that somebody waits for          the preset's delay, one copy
//! bulk          a longer one                                               the same
//! background    what prepares for later (stocks of reply blocks)           the same
//! replies       what others send to us through our reply blocks            the same delay; whoever replies chooses the copies
//! ```
//!
//! A level below the configured one is never chosen silently: see [`Protection`]. Spec: presets, low-traffic rule.

use std::time::Duration;

use thiserror::Error;

use crate::preset::{DELAYS_MS, Preset};

// ---- Of the specification ----

/// Copies of a packet at most.
pub const COPIES_MAX: u8 = 2;

/// What the mean delays may be multiplied to where there is little traffic: those of the presets and two multiples of the
/// longest. At 1.6 s two draws in a thousand meet the bound at which a relay cuts delays off ([`crate::limits::DELAY_MAX`]).
pub const LADDER_MS: [u16; 6] = [
    DELAYS_MS[0],
    DELAYS_MS[1],
    DELAYS_MS[2],
    DELAYS_MS[3],
    800,
    1600,
];

/// Packets that must rest at a relay at a time for a mix to be one.
pub const POOL_MIN: f64 = 8.0;

/// What a message is, as far as its protection is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A few frames that somebody waits for.
    Interactive,
    /// Many frames.
    Bulk,
    /// What prepares for later.
    Background,
    /// What comes back through our reply blocks.
    Replies,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [
        Self::Interactive,
        Self::Bulk,
        Self::Background,
        Self::Replies,
    ];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
            Self::Background => "background",
            Self::Replies => "replies",
        }
    }

    /// The class of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

/// The protection of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    delay_ms: u16,
    copies: u8,
}

impl Level {
    /// A mean delay of [`DELAYS_MS`], and 1 or 2 copies.
    pub fn new(delay_ms: u16, copies: u8) -> Result<Self, LevelError> {
        if !DELAYS_MS.contains(&delay_ms) {
            return Err(LevelError::Delay(delay_ms));
        }
        if !(1..=COPIES_MAX).contains(&copies) {
            return Err(LevelError::Copies(copies));
        }
        Ok(Self { delay_ms, copies })
    }

    /// Mean delay at each hop, in milliseconds.
    pub fn delay_ms(self) -> u16 {
        self.delay_ms
    }

    /// Copies of each packet, over different paths.
    pub fn copies(self) -> u8 {
        self.copies
    }
}

/// Why a level is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LevelError {
    /// A delay that no preset has.
    #[error("a mean delay of {0} ms would be a fingerprint: choose one of {DELAYS_MS:?} ms")]
    Delay(u16),
    /// No copy, or too many.
    #[error("{0} copies of a packet: 1 or {COPIES_MAX} are possible")]
    Copies(u8),
    /// Whoever replies chooses how often.
    #[error("replies are sent by others, who choose the copies: leave 1")]
    Replies,
}

/// The level of every class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels([Level; Class::ALL.len()]);

impl Levels {
    /// The preset's delay and one copy for every class.
    pub fn of(preset: &Preset) -> Self {
        let level = Level {
            delay_ms: preset.delay_ms_mean,
            copies: 1,
        };
        Self([level; Class::ALL.len()])
    }

    /// The same with another level for one class.
    pub fn with(mut self, class: Class, level: Level) -> Result<Self, LevelError> {
        if class == Class::Replies && level.copies != 1 {
            return Err(LevelError::Replies);
        }
        self.0[class as usize] = level;
        Ok(self)
    }

    /// The level of a class.
    pub fn of_class(&self, class: Class) -> Level {
        self.0[class as usize]
    }

    /// The shortest delay of any class, in milliseconds: the one that a pool must suffice for.
    pub fn delay_ms_min(&self) -> u16 {
        self.delays().min().unwrap_or(DELAYS_MS[0])
    }

    /// The longest, in milliseconds.
    pub fn delay_ms_max(&self) -> u16 {
        self.delays().max().unwrap_or(DELAYS_MS[0])
    }

    /// Whether some class is sent in more than one copy.
    pub fn has_copies(&self) -> bool {
        self.0.iter().any(|level| level.copies > 1)
    }

    fn delays(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|level| level.delay_ms)
    }
}

/// A mean delay, times `factor`, on the next rung of [`LADDER_MS`]; the last rung is the longest. What is not raised stays as it is.
pub fn raised(delay_ms: u16, factor: f64) -> u16 {
    if factor <= 1.0 {
        return delay_ms;
    }
    let wanted = f64::from(delay_ms) * factor;
    let rung = LADDER_MS.iter().find(|rung| f64::from(**rung) >= wanted);
    *rung.unwrap_or(&LADDER_MS[LADDER_MS.len() - 1])
}

/// What is done when the network carries too little traffic for the delays to mix anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LowTraffic {
    /// The user is told, messages leave all the same.
    #[default]
    Warn,
    /// Delays are multiplied until [`POOL_MIN`] packets rest at a relay, and the user is told.
    Adapt,
    /// Messages are refused.
    Refuse,
}

impl LowTraffic {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Adapt => "adapt",
            Self::Refuse => "refuse",
        }
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Warn, Self::Adapt, Self::Refuse]
            .into_iter()
            .find(|rule| rule.as_str() == name)
    }
}

/// The protection that the user chose, and what happens where it cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// What each class gets.
    pub levels: Levels,
    /// What is done when there is too little traffic.
    pub low_traffic: LowTraffic,
    /// Whether a message that cannot have its level is refused; otherwise it leaves with less, and the user is told.
    pub strict: bool,
}

impl Protection {
    /// The preset's own: its delay, one copy, and warnings.
    pub fn of(preset: &Preset) -> Self {
        Self {
            levels: Levels::of(preset),
            low_traffic: LowTraffic::default(),
            strict: false,
        }
    }

    /// Whether messages are refused while too little traffic is there.
    pub fn refuses_low_traffic(&self) -> bool {
        self.strict || self.low_traffic == LowTraffic::Refuse
    }
}

/// The mean delay of a rung as a duration.
pub(crate) fn millis(delay_ms: u16) -> Duration {
    Duration::from_millis(delay_ms.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_quantised() {
        assert_eq!(Level::new(100, 1), Err(LevelError::Delay(100)));
        assert_eq!(Level::new(80, 0), Err(LevelError::Copies(0)));
        assert_eq!(Level::new(80, 3), Err(LevelError::Copies(3)));
        let twice = Level::new(400, 2).unwrap();
        let levels = Levels::of(&Preset::FAST);
        assert_eq!(levels.with(Class::Replies, twice), Err(LevelError::Replies));
        let levels = levels.with(Class::Bulk, twice).unwrap();
        assert_eq!(levels.of_class(Class::Bulk), twice);
        assert_eq!(levels.of_class(Class::Interactive).delay_ms(), 80);
        assert_eq!((levels.delay_ms_min(), levels.delay_ms_max()), (80, 400));
        assert!(levels.has_copies() && !Levels::of(&Preset::HIGH).has_copies());
    }

    #[test]
    fn delays_climb_by_rungs_and_stop_at_the_last() {
        for (delay, factor, rung) in [
            (80, 1.0, 80),
            (500, 1.0, 500),
            (80, 1.1, 150),
            (80, 2.0, 200),
            (80, 3.8, 400),
            (200, 2.1, 800),
            (400, 3.0, 1600),
            (400, 100.0, 1600),
        ] {
            assert_eq!(raised(delay, factor), rung, "{delay} × {factor}");
        }
        assert!(LADDER_MS.is_sorted());
    }

    #[test]
    fn names_are_found_again() {
        for class in Class::ALL {
            assert_eq!(Class::named(class.as_str()), Some(class));
        }
        for rule in [LowTraffic::Warn, LowTraffic::Adapt, LowTraffic::Refuse] {
            assert_eq!(LowTraffic::named(rule.as_str()), Some(rule));
        }
        assert!(Class::named("urgent").is_none() && LowTraffic::named("").is_none());
    }
}
