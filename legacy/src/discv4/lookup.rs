//! The way to the nodes that are closest to a target.
//!
//! ```text
//! the 16 closest that are known ──ask the first three that were not asked──▶ their neighbours ──▶ the 16 closest …
//! ends when all of the 16 were asked, or 64 questions were
//! ```
//!
//! Spec: discv4 recursive lookup.

use std::collections::{BTreeMap, BTreeSet};

use super::{BUCKET_LEN_MAX, Contact, LOOKUP_WIDTH};
use crate::identity::{NODE_ID_LEN, NodeId};

/// How far two nodes are from each other, as a number of 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance([u8; NODE_ID_LEN]);

impl Distance {
    /// The exclusive or of both ids.
    pub fn between(a: &NodeId, b: &NodeId) -> Distance {
        let mut bytes = *a.as_bytes();
        for (byte, other) in bytes.iter_mut().zip(b.as_bytes()) {
            *byte ^= other;
        }
        Distance(bytes)
    }

    /// The number of its highest bit from 1 to 256; 0 for a node and itself.
    pub fn log(&self) -> usize {
        match self.0.iter().position(|byte| *byte != 0) {
            Some(zeros) => (NODE_ID_LEN - zeros) * 8 - self.0[zeros].leading_zeros() as usize,
            None => 0,
        }
    }
}

/// A lookup under way.
pub struct Lookup {
    own: NodeId,
    target: NodeId,
    closest: BTreeMap<Distance, Contact>,
    asked: BTreeSet<NodeId>,
    in_flight: usize,
}

impl Lookup {
    /// A lookup that starts with what is known.
    pub fn new(own: NodeId, target: NodeId, known: impl IntoIterator<Item = Contact>) -> Lookup {
        let mut lookup = Lookup {
            own,
            target,
            closest: BTreeMap::new(),
            asked: BTreeSet::new(),
            in_flight: 0,
        };
        known.into_iter().for_each(|contact| lookup.learn(contact));
        lookup
    }

    /// Whom to ask next; the question counts as asked.
    pub fn ask(&mut self) -> Option<Contact> {
        if self.in_flight >= LOOKUP_WIDTH || self.asked.len() >= QUESTIONS_MAX {
            return None;
        }
        let next = self
            .closest
            .values()
            .find(|contact| !self.asked.contains(&contact.id()));
        let next = *next?;
        self.asked.insert(next.id());
        self.in_flight += 1;
        Some(next)
    }

    /// A question was answered, or never will be.
    pub fn answered(&mut self, nodes: impl IntoIterator<Item = Contact>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        nodes.into_iter().for_each(|contact| self.learn(contact));
    }

    /// Whether nobody is left to ask.
    pub fn is_done(&self) -> bool {
        let exhausted = self.asked.len() >= QUESTIONS_MAX;
        let all_asked = || {
            self.closest
                .values()
                .all(|contact| self.asked.contains(&contact.id()))
        };
        self.in_flight == 0 && (exhausted || all_asked())
    }

    /// The closest, first of all the closest of all.
    pub fn closest(&self) -> impl Iterator<Item = Contact> {
        self.closest.values().copied()
    }

    fn learn(&mut self, contact: Contact) {
        if contact.id() == self.own {
            return;
        }
        let distance = Distance::between(&self.target, &contact.id());
        self.closest.entry(distance).or_insert(contact);
        if self.closest.len() > BUCKET_LEN_MAX {
            self.closest.pop_last();
        }
    }
}

/// Questions of one lookup: an honest network needs about 20, a hostile one invents closer nodes for ever.
const QUESTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    fn contact(n: u16) -> Contact {
        let mut key = [1; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        let key = SecretKey::from_bytes(&key).unwrap().public();
        Contact::new(
            key,
            std::net::SocketAddr::from(([1, 1, 1, 1], 30303)),
            30303,
        )
    }

    #[test]
    fn logarithms() {
        let id = |first: u8, last: u8| {
            let mut bytes = [0; 32];
            (bytes[0], bytes[31]) = (first, last);
            NodeId::new(bytes)
        };
        let log = |a, b| Distance::between(&a, &b).log();
        assert_eq!(log(id(0, 0), id(0, 0)), 0);
        assert_eq!(log(id(0, 1), id(0, 0)), 1);
        assert_eq!(log(id(0, 0x80), id(0, 0)), 8);
        assert_eq!(log(id(0x80, 0), id(0, 0xff)), 256);
        assert_eq!(log(id(0x81, 0), id(0x80, 0)), 249);
    }

    #[test]
    fn the_closest_are_asked_and_come_out() {
        let (own, target) = (contact(0).id(), contact(1).id());
        let everybody: Vec<Contact> = (0..200).map(contact).collect();
        let mut lookup = Lookup::new(own, target, [everybody[2]]);
        let mut questions = 0;
        while !lookup.is_done() {
            let asked: Vec<Contact> = std::iter::from_fn(|| lookup.ask()).collect();
            assert!(asked.len() <= LOOKUP_WIDTH && !asked.is_empty());
            for contact in asked {
                assert_ne!(contact.id(), own);
                questions += 1;
                let mut near = everybody.clone();
                near.sort_by_key(|other| Distance::between(&target, &other.id()));
                lookup.answered(near.into_iter().take(16));
            }
        }
        let found: Vec<Contact> = lookup.closest().collect();
        assert_eq!(found[0].id(), target);
        assert_eq!(found.len(), 16);
        assert!(questions <= 17 + 2, "{questions}");
    }

    #[test]
    fn silence_and_endless_news_end_it() {
        let mut silent = Lookup::new(contact(0).id(), contact(1).id(), (2..10).map(contact));
        while !silent.is_done() {
            while silent.ask().is_some() {}
            silent.answered([]);
        }
        assert_eq!(silent.closest().count(), 8);
        // Each answer names somebody closer.
        let target = contact(1).id();
        let mut everybody: Vec<Contact> = (2..500).map(contact).collect();
        everybody.sort_by_key(|other| Distance::between(&target, &other.id()));
        let mut hostile = Lookup::new(contact(0).id(), target, everybody.pop());
        let mut questions = 0;
        while !hostile.is_done() {
            while hostile.ask().is_some() {
                questions += 1;
            }
            hostile.answered(everybody.pop());
        }
        assert_eq!(questions, QUESTIONS_MAX);
    }
}
