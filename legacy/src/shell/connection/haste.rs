//! How busily a peer sends little at a time. Waking up for each of thousands of small messages a second costs more than the messages
//! do, so that such a peer is read once in [`REST`]; others at once.

use std::time::{Duration, Instant};

/// What was read of a peer lately.
#[derive(Debug, Default)]
pub(super) struct Haste {
    last: Option<Instant>,
    /// Small reads in a row, each soon after the one before it.
    row: u32,
    /// Nothing is read before.
    rest: Option<Instant>,
}

impl Haste {
    /// So many bytes came.
    pub(super) fn read(&mut self, now: Instant, len: usize) {
        let is_soon = self.last.is_some_and(|last| now - last < SOON);
        self.row = match is_soon && len < SMALL_LEN {
            true => self.row.saturating_add(1),
            false => 0,
        };
        self.last = Some(now);
        self.rest = (self.row >= ROW_MAX).then(|| now + REST);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.rest.is_some()
    }

    /// When the rest ends.
    pub(super) fn until(&self) -> Option<Instant> {
        self.rest
    }

    pub(super) fn rested(&mut self) {
        self.rest = None;
    }
}

/// How long a peer that sends little at a time is left unread: no more than the system's timers resolve, and little beside the third of
/// a second for which envelopes rest.
const REST: Duration = Duration::from_millis(1);
/// Reads closer than this follow each other: a rest, and what the timer may add to it.
const SOON: Duration = Duration::from_millis(3);
/// Small reads in a row before the first rest: more than a handshake takes.
const ROW_MAX: u32 = 16;
/// A longer read is worth waking up for; a peer that sends this much in a rest is read without one.
const SMALL_LEN: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_little_at_a_time_is_read_less_often() {
        let mut haste = Haste::default();
        let mut now = Instant::now();
        for _ in 0..ROW_MAX {
            haste.read(now, 600);
            assert_eq!(haste.rest, None);
            now += REST / 10;
        }
        // From now on every read is followed by a rest, as long as little comes and it comes soon.
        for _ in 0..3 {
            haste.read(now, 600);
            assert_eq!(haste.rest, Some(now + REST));
            now += 2 * REST;
        }
        haste.read(now, SMALL_LEN);
        assert_eq!(haste.rest, None, "much at a time is read at once");
        for _ in 0..ROW_MAX {
            haste.read(now, 600);
        }
        assert!(haste.rest.is_some());
        haste.read(now + SOON, 600);
        assert_eq!(haste.rest, None, "so is whoever paused");
    }
}
