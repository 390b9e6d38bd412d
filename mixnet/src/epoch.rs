//! Epochs: for how long a mix key is good, and which keys are good at a time.
//!
//! ```text
//!        epoch e-1            │           epoch e            │          epoch e+1
//! key e-1 ───────────────────────┤ grace
//! key e                    ├──────────────────────────────────┤
//! key e+1                                              ahead ├───────────────────────…
//! ```
//!
//! An epoch is a span of the wall clock: number e = unix time / length. Its key is good from one grace before it to one grace
//! after it, so a sender or a hop whose clock is wrong by less than that is understood; never more than two keys are good at once.
//! Spec: section 3.2 (4 hours, and 30 minutes on either side).

use std::time::Duration;

use thiserror::Error;

use crate::topology::Term;

pub mod keyring;

// ---- Constants of the specification ----

/// Length of an epoch: four hours.
pub const EPOCH_SECONDS: u32 = 4 * 3600;

/// The grace is this part of an epoch: half an hour of four.
pub const GRACE_PART: u32 = 8;

// ---- Our bounds ----

/// Shortest epoch: a packet of the quickest preset must fit well into the grace, which is then one second. For tests.
pub const EPOCH_SECONDS_MIN: u32 = 8;

/// Longest epoch: half a day. A key is then good for fifteen hours, and the files of what it has seen are kept for a day.
pub const EPOCH_SECONDS_MAX: u32 = 12 * 3600;

/// How long epochs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    seconds: u32,
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            seconds: EPOCH_SECONDS,
        }
    }
}

impl Epochs {
    /// Epochs of so many seconds; the same for every node of a network.
    pub fn new(seconds: u32) -> Result<Self, EpochLength> {
        if !(EPOCH_SECONDS_MIN..=EPOCH_SECONDS_MAX).contains(&seconds) {
            return Err(EpochLength(seconds));
        }
        Ok(Self { seconds })
    }

    /// The epoch at a time in milliseconds since 1970.
    pub fn at(&self, unix_ms: u64) -> u32 {
        u32::try_from(unix_ms / self.length_ms()).unwrap_or(u32::MAX)
    }

    /// When an epoch starts, in milliseconds since 1970.
    pub fn start_ms(&self, epoch: u32) -> u64 {
        u64::from(epoch) * self.length_ms()
    }

    /// The span around an epoch in which its key is good as well.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms())
    }

    /// The length of an epoch.
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms())
    }

    /// For how long one key is good: its epoch, and the grace on either side.
    pub fn key_life(&self) -> Duration {
        self.length() + self.grace() * 2
    }

    /// For how long a network of this epoch's keys holds.
    pub fn term(&self, epoch: u32) -> Term {
        Term {
            epoch,
            keys_end_unix_ms: self.start_ms(epoch.saturating_add(1)) + self.grace_ms(),
        }
    }

    /// The epochs whose keys are good at a time: the current one, and one beside it near its ends.
    pub fn good_at(&self, unix_ms: u64) -> impl Iterator<Item = u32> {
        let first = self.at(unix_ms.saturating_sub(self.grace_ms()));
        let last = self.at(unix_ms + self.grace_ms());
        first..=last
    }

    /// The next time after `unix_ms` at which a key comes into use, an epoch starts, or a key goes.
    pub fn next_change_ms(&self, unix_ms: u64) -> u64 {
        let epoch = self.at(unix_ms);
        let (start, next) = (self.start_ms(epoch), self.start_ms(epoch.saturating_add(1)));
        [start + self.grace_ms(), next - self.grace_ms(), next]
            .into_iter()
            .find(|at| *at > unix_ms)
            .unwrap_or(next)
    }

    fn length_ms(&self) -> u64 {
        u64::from(self.seconds) * 1000
    }

    fn grace_ms(&self) -> u64 {
        self.length_ms() / u64::from(GRACE_PART)
    }
}

/// An epoch that is too short or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("epochs of {0} s: give from {EPOCH_SECONDS_MIN} to {EPOCH_SECONDS_MAX}")]
pub struct EpochLength(u32);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_keys_at_most_are_good_and_the_right_ones() {
        let epochs = Epochs::default();
        let minute = 60_000;
        let start = epochs.start_ms(100);
        let good = |at: u64| epochs.good_at(at).collect::<Vec<_>>();
        assert_eq!(epochs.grace(), Duration::from_secs(1800));
        assert_eq!(good(start - 30 * minute - 1), [99]);
        assert_eq!(good(start - 30 * minute), [99, 100]);
        assert_eq!(good(start), [99, 100]);
        assert_eq!(good(start + 30 * minute - 1), [99, 100]);
        assert_eq!(good(start + 30 * minute), [100]);
        for at in (start..epochs.start_ms(102)).step_by(60_001) {
            assert!(good(at).len() <= 2 && good(at).contains(&epochs.at(at)));
        }
        assert_eq!(
            epochs.term(100).keys_end_unix_ms,
            epochs.start_ms(101) + 30 * minute
        );
    }

    #[test]
    fn every_change_is_woken_for() {
        let epochs = Epochs::new(16).unwrap();
        let mut at = epochs.start_ms(7);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let next = epochs.next_change_ms(at);
            seen.push(next - epochs.start_ms(7));
            at = next;
        }
        assert_eq!(seen, [2_000, 14_000, 16_000, 18_000, 30_000, 32_000]);
    }

    #[test]
    fn lengths_have_bounds() {
        assert!(Epochs::new(EPOCH_SECONDS_MIN - 1).is_err());
        assert!(Epochs::new(EPOCH_SECONDS_MAX + 1).is_err());
        assert_eq!(Epochs::new(EPOCH_SECONDS), Ok(Epochs::default()));
    }
}
