//! Whose report is next: that of the connection which has used least of the owner's time.
//!
//! ```text
//! connection → time used, reports that wait
//! (time used, connection)          of those with something that waits
//! ```
//!
//! Time is what handling took, so that a bundle of thousands of envelopes counts for what it is, and whoever sends
//! little waits for what is being handled and for nobody's queue. A connection that had nothing to say starts a little
//! before the others and no more: nobody saves time up. What it overdrew it keeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::peers::ConnectionId;

pub(super) struct Turns<T> {
    lines: BTreeMap<ConnectionId, Line<T>>,
    order: BTreeSet<(Duration, ConnectionId)>,
    /// Where whoever had the last turn started it.
    now: Duration,
}

struct Line<T> {
    used: Duration,
    waiting: VecDeque<T>,
}

impl<T> Turns<T> {
    pub(super) fn new() -> Turns<T> {
        Turns {
            lines: BTreeMap::new(),
            order: BTreeSet::new(),
            now: Duration::ZERO,
        }
    }

    /// Queues something of a connection behind what it said before.
    pub(super) fn add(&mut self, id: ConnectionId, item: T) {
        let start = self.now.saturating_sub(CREDIT);
        let line = self.lines.entry(id).or_insert(Line {
            used: start,
            waiting: VecDeque::new(),
        });
        if line.waiting.is_empty() {
            line.used = line.used.max(start);
            self.order.insert((line.used, id));
        }
        line.waiting.push_back(item);
    }

    /// The next one. [`Turns::charge`] follows it.
    pub(super) fn next(&mut self) -> Option<(ConnectionId, T)> {
        let (used, id) = *self.order.first()?;
        let item = self.lines.get_mut(&id)?.waiting.pop_front()?;
        self.now = used;
        Some((id, item))
    }

    /// What the last turn of a connection took.
    pub(super) fn charge(&mut self, id: ConnectionId, took: Duration) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        self.order.remove(&(line.used, id));
        // However quick it was, those with the same time come first now.
        line.used += took.max(Duration::from_nanos(1));
        if !line.waiting.is_empty() {
            self.order.insert((line.used, id));
        }
    }

    /// Forgets a connection that has said its last.
    pub(super) fn end(&mut self, id: ConnectionId) {
        if let Some(line) = self.lines.remove(&id) {
            self.order.remove(&(line.used, id));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// What whoever was quiet may use before the others go on: a hundred small messages.
const CREDIT: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> ConnectionId {
        ConnectionId::from_number(number)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn little_waits_for_what_is_being_handled_and_no_more() {
        let mut turns = Turns::new();
        for flooder in 1..=8 {
            for _ in 0..10 {
                turns.add(id(flooder), "much");
            }
        }
        for _ in 0..20 {
            let (who, _) = turns.next().unwrap();
            turns.charge(who, ms(100));
        }
        for _ in 0..5 {
            turns.add(id(9), "little");
        }
        // Whatever the others still have.
        for _ in 0..5 {
            let (who, what) = turns.next().unwrap();
            turns.charge(who, Duration::from_micros(20));
            assert_eq!((who, what), (id(9), "little"));
        }
        assert_ne!(turns.next().unwrap().0, id(9));
    }

    #[test]
    fn nobody_saves_time_up_and_debts_stay() {
        let mut turns = Turns::new();
        for _ in 0..50 {
            turns.add(id(1), ());
            let (who, ()) = turns.next().unwrap();
            turns.charge(who, ms(10));
        }
        // The first one just had 10 ms, and is quiet for now.
        for _ in 0..5 {
            turns.add(id(2), ());
        }
        turns.add(id(1), ());
        let mut order = Vec::new();
        while let Some((who, ())) = turns.next() {
            turns.charge(who, ms(4));
            order.push(who);
        }
        assert_eq!(order, [id(2), id(2), id(2), id(2), id(1), id(2)]);
        assert!(turns.is_empty());
    }

    #[test]
    fn who_has_ended_is_forgotten() {
        let mut turns = Turns::new();
        turns.add(id(1), ());
        turns.add(id(1), ());
        let (who, ()) = turns.next().unwrap();
        turns.end(who);
        turns.charge(who, ms(1));
        assert!(turns.is_empty() && turns.next().is_none() && turns.lines.is_empty());
    }

    proptest! {
        /// Two that always have something get the same time, but for one turn of each; and each keeps its order.
        #[test]
        fn shares_are_equal(costs in proptest::collection::vec((0u64..3, 1u64..50), 10..400)) {
            let mut turns = Turns::new();
            let mut longest = 0;
            for (number, (of, cost)) in costs.iter().enumerate() {
                turns.add(id(*of), (number, *cost));
                longest = longest.max(*cost);
            }
            let mut used = BTreeMap::from([(id(0), 0), (id(1), 0), (id(2), 0)]);
            let mut last = BTreeMap::new();
            let mut left = costs.iter().fold(BTreeMap::<_, u64>::new(), |mut left, (of, _)| {
                *left.entry(id(*of)).or_default() += 1;
                left
            });
            while let Some((who, (number, cost))) = turns.next() {
                let busy: Vec<u64> = left.iter().filter(|(_, left)| **left > 0).map(|(who, _)| used[who]).collect();
                let (least, most) = (busy.iter().min().unwrap(), busy.iter().max().unwrap());
                prop_assert!(most - least <= longest, "{busy:?}");
                prop_assert!(last.insert(who, number) < Some(number));
                turns.charge(who, ms(cost));
                *used.get_mut(&who).unwrap() += cost;
                *left.get_mut(&who).unwrap() -= 1;
            }
            prop_assert!(left.values().all(|left| *left == 0));
        }
    }
}
