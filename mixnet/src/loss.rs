//! Whether the network loses much, whatever relay it is: what the newest loops say together.
//!
//! ```text
//! loops, newest last   + + - + + - + + + - ...      share lost ≥ 1/10, two at least ─▶ much
//!                                                   share lost < 1/20 ─▶ no longer
//! ```
//!
//! Packets that are lost are repeated, and a repetition takes seconds. Where much is lost, a frame for which somebody waits leaves
//! twice, over two paths, in slots that would carry cover otherwise: the line shows nothing of it.

// ---- Our constants ----

/// Loops that count: at `fast`, those of two minutes.
const HISTORY_LOOPS: u32 = u64::BITS;

/// So many must be lost at least: one says nothing.
const LOST_MIN: u32 = 2;

/// At this share of lost loops much is lost: with 3.5 % at each of three relays.
const MUCH: f64 = 0.10;

/// Below this share no longer.
const LITTLE: f64 = 0.05;

/// The newest loops, over whatever path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    /// One bit per loop, the newest lowest: whether it was lost.
    history: u64,
    loops: u32,
    is_much: bool,
}

impl Loss {
    /// Takes in the end of one loop; whether much is lost, if that is another answer than before.
    pub(crate) fn record(&mut self, returned: bool) -> Option<bool> {
        self.history = self.history << 1 | u64::from(!returned);
        self.loops = (self.loops + 1).min(HISTORY_LOOPS);
        let lost = self.history.count_ones();
        let share = f64::from(lost) / f64::from(self.loops);
        let is_much = if self.is_much {
            share >= LITTLE
        } else {
            lost >= LOST_MIN && share >= MUCH
        };
        let changed = is_much != self.is_much;
        self.is_much = is_much;
        changed.then_some(is_much)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What changed, by number of the loop, when every `nth` loop is lost.
    fn changes(loss: &mut Loss, loops: u32, nth: u32) -> Vec<(u32, bool)> {
        (1..=loops)
            .filter_map(|n| Some((n, loss.record(n % nth != 0)?)))
            .collect()
    }

    #[test]
    fn much_is_a_tenth_and_two_at_least() {
        assert_eq!(changes(&mut Loss::default(), 1_000, 11), []);
        assert_eq!(changes(&mut Loss::default(), 1_000, 4), [(8, true)]);
        assert_eq!(changes(&mut Loss::default(), 1, 1), []);
        assert_eq!(changes(&mut Loss::default(), 2, 1), [(2, true)]);
    }

    #[test]
    fn it_is_over_when_a_twentieth_is_lost_and_not_before() {
        let mut loss = Loss::default();
        changes(&mut loss, 100, 4);
        assert_eq!(changes(&mut loss, 1_000, 15), []);
        let over = changes(&mut loss, 1_000, 32);
        assert!(matches!(over[..], [(2..=64, false)]), "{over:?}");
    }
}
