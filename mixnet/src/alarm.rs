//! Alarms: loops vanish that came back before.
//!
//! Somebody who isolates one message at a relay (the n-1 attack) must hold back what else goes there, and a relay that swallows
//! everything holds back everything. Both show in the loops: from one moment on those through the relay are lost in a row.
//!
//! ```text
//! q      share of the relay's loops that were lost before the row      (at least 2 %, and the more the fewer are known)
//! alarm  q^row ≤ 10⁻⁵                                                    3 in a row at 2 %, 5 at 10 %, 11 at 34 %
//! ```
//!
//! A lost loop counts in the row of its place: an attacker who lets through what one client sends to the relay itself must still
//! stop what reaches it from other relays, the same client's loops among it. So the first place and the later ones have
//! rows of their own. With an alarm, messages stop (cover takes their slots) until the [`Guard`] sees a loop come back that left
//! after it, over relays that are all in use, none of them alarmed. Spec: attacks, (n-1).

use std::time::Instant;

// ---- Our constants ----

/// An alarm is a row of losses that chance makes once in so many loops: at a loop in two seconds, less than once in two days.
const ROWS_PER_FALSE_ALARM: f64 = 1e5;

/// No relay counts as better than this: a restart or a full queue may cost a loop anywhere.
const LOSS_MIN: f64 = 0.02;

/// Loops that must come back in a row before an alarm ends.
const RETURNED_IN_ROW: u32 = 2;

/// The newest loops in one place of their path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    lost: u32,
    returned: u32,
    alarmed: bool,
}

impl Row {
    /// Takes in the end of one loop. `lost` of the `known` loops before it did not come back, whatever their place.
    /// Whether this raises the alarm.
    pub(crate) fn record(&mut self, returned: bool, lost: u32, known: u32) -> bool {
        if returned {
            (self.lost, self.returned) = (0, self.returned + 1);
            self.alarmed &= self.returned < RETURNED_IN_ROW;
            return false;
        }
        // The losses of the row itself are not what was usual before it.
        let before = lost.saturating_sub(self.lost);
        let loops = known.saturating_sub(self.lost);
        (self.lost, self.returned) = (self.lost + 1, 0);
        let usual = (f64::from(before + 1) / f64::from(loops + 2)).max(LOSS_MIN);
        let is_surprise = f64::from(self.lost) * usual.ln() <= -ROWS_PER_FALSE_ALARM.ln();
        let raised = is_surprise && !self.alarmed;
        self.alarmed |= is_surprise;
        raised
    }

    pub(crate) fn is_alarmed(&self) -> bool {
        self.alarmed
    }
}

/// Whether messages may leave.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The newest alarm that no loop has answered.
    raised: Option<Instant>,
}

impl Guard {
    /// An alarm. True when messages stop by it.
    pub(crate) fn raise(&mut self, now: Instant) -> bool {
        self.raised.replace(now).is_none()
    }

    /// A loop came back that left at `departed`, over relays in use. True when messages leave again by it.
    pub(crate) fn prove(&mut self, departed: Instant) -> bool {
        let answered = self.raised.is_some_and(|raised| departed >= raised);
        if answered {
            self.raised = None;
        }
        answered
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Losses in a row until the alarm, after so many loops of which so many were lost.
    fn needed(known: u32, lost: u32) -> u32 {
        let mut row = Row::default();
        (0..200)
            .find(|n| row.record(false, lost + n, known + n))
            .map_or(u32::MAX, |n| n + 1)
    }

    #[test]
    fn the_usual_loss_decides_how_many_are_a_surprise() {
        assert_eq!(needed(128, 0), 3);
        assert_eq!(needed(128, 12), 6);
        assert_eq!(needed(128, 43), 11);
        // Of a relay that is hardly known nothing is a surprise soon.
        assert_eq!(needed(0, 0), 17);
        assert_eq!(needed(10, 0), 5);
    }

    #[test]
    fn an_alarm_is_raised_once_and_ends_when_loops_come_back() {
        let mut row = Row::default();
        let raised: Vec<bool> = (0..6).map(|n| row.record(false, n, 128)).collect();
        assert_eq!(raised, [false, false, true, false, false, false]);
        assert!(!row.record(true, 6, 128) && row.is_alarmed());
        assert!(!row.record(true, 6, 128) && !row.is_alarmed());
        // One in between starts the row anew.
        let mut row = Row::default();
        for _ in 0..50 {
            assert!(!row.record(false, 0, 128) && !row.record(false, 1, 128));
            row.record(true, 2, 128);
        }
        assert!(!row.is_alarmed());
    }

    #[test]
    fn only_a_loop_that_left_after_the_alarm_answers_it() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut guard = Guard::default();
        assert!(!guard.is_raised() && !guard.prove(start));
        assert!(guard.raise(later) && guard.is_raised());
        assert!(!guard.prove(start) && guard.is_raised());
        assert!(!guard.raise(later) && guard.prove(later) && !guard.is_raised());
    }
}
