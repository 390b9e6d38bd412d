//! The line into the mixnet: one frame leaves in each slot, whatever is handed over at once.
//!
//! ```text
//! handed over   ███ ██    █             a post, its repetition, an ack
//! slots         █ █ █ █ █ █ · · █       what waits is neither repeated nor added to before it has left
//! ```
//!
//! A client that repeats what still waits in its own queue makes the queue longer, and everything in it later: where packets are lost,
//! it would end by sending nothing but repetitions.

use std::time::{Duration, Instant};

use crate::port::Now;

/// The longest that acknowledgements wait for the line, which a long object keeps busy for minutes while short ones go between its frames.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(1);

/// What was handed over and has not left, as far as the mean tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    free: Option<Instant>,
    /// The mixnet loses much: what was not answered soon is rather lost than late.
    pub(crate) lossy: bool,
}

impl Line {
    /// So many frames more, one of which leaves in each `slot`.
    pub(crate) fn push(&mut self, now: Now, slot: Duration, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        let free = self.free_at(now);
        self.free = free.checked_add(slot.saturating_mul(frames)).or(Some(free));
    }

    /// When everything has left.
    pub(crate) fn free_at(&self, now: Now) -> Instant {
        self.free.map_or(now.mono, |free| free.max(now.mono))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_one_after_the_other_and_an_idle_line_is_free() {
        let start = Instant::now();
        let at = |ms| Now {
            mono: start + Duration::from_millis(ms),
            unix_ms: 0,
        };
        let slot = Duration::from_millis(250);
        let mut line = Line::default();
        assert_eq!(line.free_at(at(7)), at(7).mono);
        line.push(at(0), slot, 1);
        line.push(at(100), slot, 2);
        assert_eq!(line.free_at(at(100)), at(750).mono);
        assert_eq!(line.free_at(at(800)), at(800).mono);
        line.push(at(1_000), slot, 1);
        assert_eq!(line.free_at(at(1_000)), at(1_250).mono);
        line.push(at(1_000), Duration::ZERO, usize::MAX);
        assert_eq!(line.free_at(at(1_000)), at(1_250).mono);
        line.push(at(1_000), Duration::MAX, usize::MAX);
        assert_eq!(line.free_at(at(1_000)), at(1_250).mono, "beyond all time");
    }
}
