//! Packets that wait until a restart would know them again.
//!
//! A packet that goes on to another hop waits until its tag is on the disk: no crash of the machine may let it leave twice. A packet
//! that ends here waits until the system has its tag: a crash of the process cannot undo that, and a node that mostly receives
//! does not wear its disk. If the machine itself crashes in between, what ended here may be taken once more; whoever reads it knows
//! it by its own marks.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::UNSAVED_MAX;

/// What has become of all tags up to a mark, or has to become of them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// The system has them.
    Written(u64),
    /// The disk has them.
    Durable(u64),
}

/// Things that wait, by the time at which they are given up.
pub(super) struct Unsaved<T> {
    written: u64,
    durable: u64,
    waiting: VecDeque<(Instant, Saved, T)>,
}

impl<T> Unsaved<T> {
    pub(super) fn new() -> Self {
        Self {
            written: 0,
            durable: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Gives `item` back if what it needs is so; otherwise it waits.
    pub(super) fn admit(&mut self, now: Instant, needs: Saved, item: T) -> Option<T> {
        if self.is_so(needs) {
            return Some(item);
        }
        self.waiting.push_back((now + UNSAVED_MAX, needs, item));
        None
    }

    /// What need wait no longer, in the order in which it came.
    pub(super) fn saved(&mut self, saved: Saved) -> Vec<T> {
        match saved {
            Saved::Written(mark) => self.written = self.written.max(mark),
            Saved::Durable(mark) => {
                self.durable = self.durable.max(mark);
                self.written = self.written.max(mark);
            }
        }
        let mut free = Vec::new();
        for (until, needs, item) in std::mem::take(&mut self.waiting) {
            if self.is_so(needs) {
                free.push(item);
            } else {
                self.waiting.push_back((until, needs, item));
            }
        }
        free
    }

    fn is_so(&self, needs: Saved) -> bool {
        match needs {
            Saved::Written(mark) => mark <= self.written,
            Saved::Durable(mark) => mark <= self.durable,
        }
    }

    /// Something that has waited too long.
    pub(super) fn pop_late(&mut self, now: Instant) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        self.waiting.pop_front().map(|(_, _, item)| item)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(until, _, _)| *until)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Saved::{Durable, Written};
    use super::*;

    #[test]
    fn what_is_written_need_not_be_durable_but_what_is_durable_is_written() {
        let now = Instant::now();
        let mut unsaved = Unsaved::new();
        assert_eq!(unsaved.admit(now, Durable(0), 'a'), Some('a'));
        assert_eq!(unsaved.admit(now, Durable(1), 'b'), None);
        assert_eq!(unsaved.admit(now, Written(1), 'c'), None);
        assert_eq!(unsaved.admit(now, Written(2), 'd'), None);
        assert_eq!(unsaved.saved(Written(1)), ['c']);
        assert_eq!(unsaved.admit(now, Written(1), 'e'), Some('e'));
        assert_eq!(unsaved.saved(Durable(2)), ['b', 'd']);
        assert_eq!(unsaved.admit(now, Durable(2), 'f'), Some('f'));
        // An older report takes nothing back.
        assert!(unsaved.saved(Durable(1)).is_empty());
        assert_eq!(unsaved.admit(now, Durable(2), 'g'), Some('g'));
        assert_eq!(unsaved.len(), 0);
    }

    #[test]
    fn what_waits_too_long_is_given_up() {
        let now = Instant::now();
        let mut unsaved = Unsaved::new();
        assert_eq!(unsaved.next_deadline(), None);
        unsaved.admit(now, Durable(1), 'a');
        unsaved.admit(now + Duration::from_millis(1), Written(1), 'b');
        assert_eq!(unsaved.next_deadline(), Some(now + UNSAVED_MAX));
        assert_eq!(unsaved.pop_late(now + UNSAVED_MAX / 2), None);
        assert_eq!(unsaved.pop_late(now + UNSAVED_MAX), Some('a'));
        assert_eq!(unsaved.pop_late(now + UNSAVED_MAX), None);
        assert_eq!(unsaved.pop_late(now + 2 * UNSAVED_MAX), Some('b'));
    }
}
