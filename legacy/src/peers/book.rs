//! Candidates: nodes that could be dialled, in the order in which they get their turn.
//!
//! A new one goes to the end of the line, and so does one whose turn is over. The book has room for so many, and for so
//! many of one neighbourhood; a newcomer takes the place of the one that failed most often, and of nobody who never failed:
//! a flood of names does not push out good ones.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::place::{is_local, same_subnet};
use crate::enode::Enode;
use crate::identity::NodeId;
use crate::limits::{
    CANDIDATE_FAILURES_MAX, CANDIDATE_PAUSE_MAX, CANDIDATES_MAX, CANDIDATES_PER_SUBNET_MAX,
    REDIAL_THROTTLED,
};

/// Where a candidate is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The configuration: whom to ask while nobody else is known.
    Bootstrap,
    /// Discovery.
    Discovered,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was a good connection.
    Good,
    /// It is there and has no room.
    Full,
    /// It could not be reached, or soon ended.
    Failed,
    /// It is not of our kind.
    Useless,
}

#[derive(Default)]
pub(super) struct Book {
    entries: BTreeMap<NodeId, Candidate>,
    /// The last place in the line.
    turns: u64,
}

struct Candidate {
    enode: Enode,
    origin: Origin,
    failures: u8,
    due: Instant,
    turn: u64,
}

impl Book {
    /// Notes a candidate, due at the given time. False: there is no room for it.
    pub(super) fn insert(&mut self, enode: Enode, origin: Origin, due: Instant) -> bool {
        let node = enode.node_id();
        if let Some(known) = self.entries.get_mut(&node) {
            known.enode = enode;
            known.origin = known.origin.min(origin);
            return true;
        }
        if self.is_crowded(enode.tcp().ip()) || !self.make_room() {
            return false;
        }
        self.turns += 1;
        let turn = self.turns;
        self.entries.insert(
            node,
            Candidate {
                enode,
                origin,
                failures: 0,
                due,
                turn,
            },
        );
        true
    }

    pub(super) fn remove(&mut self, node: &NodeId) -> bool {
        self.entries.remove(node).is_some()
    }

    pub(super) fn origin(&self, node: &NodeId) -> Option<Origin> {
        self.entries.get(node).map(|candidate| candidate.origin)
    }

    /// Whose turn it is among those of one origin that are due and eligible.
    pub(super) fn next(
        &self,
        now: Instant,
        origin: Origin,
        eligible: impl Fn(&Enode) -> bool,
    ) -> Option<Enode> {
        self.entries
            .values()
            .filter(|candidate| candidate.origin == origin && candidate.due <= now)
            .filter(|candidate| eligible(&candidate.enode))
            .min_by_key(|candidate| candidate.turn)
            .map(|candidate| candidate.enode)
    }

    /// When the next of those that are not due becomes so.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.entries.values().map(|candidate| candidate.due);
        waiting.filter(|due| *due > now).min()
    }

    /// Candidates of discovery that are due.
    pub(super) fn ready(&self, now: Instant) -> usize {
        let ready =
            |candidate: &&Candidate| candidate.origin == Origin::Discovered && candidate.due <= now;
        self.entries.values().filter(ready).count()
    }

    /// A turn is over. `jitter` is from 0 to 1 and makes the pause longer by up to a quarter.
    pub(super) fn settle(&mut self, now: Instant, node: &NodeId, outcome: Outcome, jitter: f64) {
        let Some(candidate) = self.entries.get_mut(node) else {
            return;
        };
        match outcome {
            Outcome::Good => candidate.failures = 0,
            Outcome::Full => {}
            Outcome::Failed | Outcome::Useless => {
                candidate.failures = candidate.failures.saturating_add(1);
            }
        }
        if candidate.failures >= CANDIDATE_FAILURES_MAX && candidate.origin == Origin::Discovered {
            self.entries.remove(node);
            return;
        }
        let pause = match outcome {
            Outcome::Good => REDIAL_THROTTLED,
            Outcome::Full | Outcome::Failed => pause(candidate.failures),
            Outcome::Useless => CANDIDATE_PAUSE_MAX,
        };
        self.turns += 1;
        candidate.turn = self.turns;
        candidate.due = now + pause.mul_f64(1.0 + jitter / 4.0);
    }

    fn is_crowded(&self, ip: IpAddr) -> bool {
        let neighbours = || {
            let ips = self.entries.values().map(|one| one.enode.tcp().ip());
            ips.filter(|other| same_subnet(*other, ip)).count()
        };
        !is_local(ip) && neighbours() >= CANDIDATES_PER_SUBNET_MAX
    }

    fn make_room(&mut self) -> bool {
        if self.entries.len() < CANDIDATES_MAX {
            return true;
        }
        let worst = self
            .entries
            .iter()
            .filter(|(_, one)| one.failures > 0 && one.origin == Origin::Discovered)
            .max_by_key(|(_, one)| one.failures)
            .map(|(node, _)| *node);
        worst.is_some_and(|node| self.remove(&node))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The pause after so many failures; it doubles.
fn pause(failures: u8) -> Duration {
    let doublings = u32::from(failures.saturating_sub(1)).min(16);
    (REDIAL_THROTTLED * (1 << doublings)).min(CANDIDATE_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    fn enode(number: u16, address: &str) -> Enode {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let key = SecretKey::from_bytes(&bytes).unwrap();
        Enode::new(key.public(), address.parse().unwrap())
    }

    fn next(book: &Book, now: Instant) -> Option<Enode> {
        book.next(now, Origin::Discovered, |_| true)
    }

    #[test]
    fn everybody_gets_a_turn_before_anybody_gets_another() {
        let (mut book, start) = (Book::default(), Instant::now());
        let all: Vec<Enode> = (0..5).map(|n| enode(n, "10.0.0.1:1")).collect();
        for enode in &all {
            assert!(book.insert(*enode, Origin::Discovered, start));
        }
        let later = start + CANDIDATE_PAUSE_MAX * 2;
        let mut turns = Vec::new();
        for _ in 0..10 {
            let one = next(&book, later).unwrap();
            // Due again at once, so that only the order counts.
            book.settle(start, &one.node_id(), Outcome::Full, 0.0);
            turns.push(one);
        }
        assert_eq!(turns[..5], all);
        assert_eq!(turns[5..], all);
    }

    #[test]
    fn pauses_double_and_then_the_name_is_forgotten() {
        let (mut book, mut now) = (Book::default(), Instant::now());
        let one = enode(1, "203.0.113.1:1");
        book.insert(one, Origin::Discovered, now);
        let mut pauses = Vec::new();
        while next(&book, now).is_some() {
            book.settle(now, &one.node_id(), Outcome::Failed, 0.0);
            let Some(due) = book.next_due(now) else { break };
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [35, 70, 140, 280, 560]);
        assert_eq!(book.len(), 0);
    }

    #[test]
    fn a_flood_of_names_pushes_nobody_out() {
        let (mut book, now) = (Book::default(), Instant::now());
        let count = u16::try_from(CANDIDATES_MAX).unwrap();
        for number in 0..count {
            assert!(book.insert(enode(number, "10.0.0.1:1"), Origin::Discovered, now));
        }
        assert!(!book.insert(enode(count, "10.0.0.1:1"), Origin::Discovered, now));
        let bad = enode(7, "10.0.0.1:1");
        book.settle(now, &bad.node_id(), Outcome::Failed, 0.0);
        assert!(book.insert(enode(count, "10.0.0.1:1"), Origin::Discovered, now));
        assert_eq!(book.origin(&bad.node_id()), None, "who failed made room");
        assert_eq!(book.len(), CANDIDATES_MAX);
    }

    #[test]
    fn one_neighbourhood_does_not_fill_the_book() {
        let (mut book, now) = (Book::default(), Instant::now());
        let taken = (0..20).filter(|number| {
            let address = format!("203.0.113.{number}:1");
            book.insert(enode(*number, &address), Origin::Discovered, now)
        });
        assert_eq!(taken.count(), CANDIDATES_PER_SUBNET_MAX);
        assert!(book.insert(enode(99, "198.51.100.1:1"), Origin::Discovered, now));
    }
}
