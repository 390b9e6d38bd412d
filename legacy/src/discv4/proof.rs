//! Who has shown that it gets what is sent to its address.
//!
//! ```text
//! (address, id) ──▶ when its pong came            for what we answer
//! (address, id) ──▶ when it pinged us and we answered   for what it will answer
//! ```
//!
//! Either is good for 24 hours. Ids cost nothing, so that one public address has room for a few of them only. Spec:
//! discv4 endpoint proof.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::PROOF_LIFETIME;
use super::endpoint::is_lan;
use crate::identity::{NODE_ID_LEN, NodeId};

/// What was seen of whom, and when.
#[derive(Default)]
pub struct Proofs {
    at: BTreeMap<(IpAddr, NodeId), Instant>,
}

impl Proofs {
    /// Nobody has shown anything.
    pub fn new() -> Proofs {
        Proofs::default()
    }

    /// It was seen now.
    pub fn note(&mut self, now: Instant, ip: IpAddr, id: NodeId) {
        if let Some(at) = self.at.get_mut(&(ip, id)) {
            *at = now;
            return;
        }
        if !is_lan(ip) {
            let own = (ip, FIRST_ID)..=(ip, LAST_ID);
            if self.at.range(own.clone()).count() >= PER_ADDRESS_MAX {
                let oldest = self.at.range(own).min_by_key(|(_, at)| **at);
                self.forget(oldest.map(|(key, _)| *key));
            }
        }
        if self.at.len() >= PROOFS_MAX {
            self.at.retain(|_, at| now < *at + PROOF_LIFETIME);
        }
        if self.at.len() >= PROOFS_MAX {
            let oldest = self.at.iter().min_by_key(|(_, at)| **at);
            self.forget(oldest.map(|(key, _)| *key));
        }
        self.at.insert((ip, id), now);
    }

    /// Whether it was seen not too long ago.
    pub fn holds(&self, now: Instant, ip: IpAddr, id: NodeId) -> bool {
        self.at
            .get(&(ip, id))
            .is_some_and(|at| now < *at + PROOF_LIFETIME)
    }

    /// Whether it was seen of anybody there.
    pub fn holds_at(&self, now: Instant, ip: IpAddr) -> bool {
        let mut there = self.at.range((ip, FIRST_ID)..=(ip, LAST_ID));
        there.any(|(_, at)| now < *at + PROOF_LIFETIME)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    fn forget(&mut self, key: Option<(IpAddr, NodeId)>) {
        if let Some(key) = key {
            self.at.remove(&key);
        }
    }
}

/// The bounds of all ids.
pub(super) const FIRST_ID: NodeId = NodeId::new([0; NODE_ID_LEN]);
pub(super) const LAST_ID: NodeId = NodeId::new([0xff; NODE_ID_LEN]);

/// Everybody who asks a busy node in a day, in about half a megabyte.
const PROOFS_MAX: usize = 5000;
/// Ids at one public address: a few nodes behind one router, not a machine that makes up ids.
const PER_ADDRESS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(n: u32) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        NodeId::new(bytes)
    }

    #[test]
    fn proofs_are_of_an_address_and_an_id_and_end() {
        let (now, a, b) = (
            Instant::now(),
            IpAddr::from([1, 1, 1, 1]),
            IpAddr::from([1, 1, 1, 2]),
        );
        let mut proofs = Proofs::new();
        proofs.note(now, a, id(1));
        assert!(proofs.holds(now, a, id(1)));
        assert!(!proofs.holds(now, b, id(1)) && !proofs.holds(now, a, id(2)));
        let end = now + PROOF_LIFETIME;
        assert!(proofs.holds(end - Duration::from_secs(1), a, id(1)));
        assert!(!proofs.holds(end, a, id(1)));
        assert!(proofs.holds_at(now, a) && !proofs.holds_at(now, b) && !proofs.holds_at(end, a));
    }

    #[test]
    fn one_address_cannot_push_others_out() {
        let now = Instant::now();
        let mut proofs = Proofs::new();
        let (honest, other) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        proofs.note(now, honest, id(0));
        for n in 0..20_000 {
            proofs.note(now + Duration::from_millis(n.into()), other, id(n));
        }
        assert!(proofs.holds(now, honest, id(0)));
        assert_eq!(proofs.len(), 1 + PER_ADDRESS_MAX);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let now = Instant::now();
        let mut proofs = Proofs::new();
        for n in 0..20_000_u32 {
            let ip = IpAddr::from((0x0100_0000 + n).to_be_bytes());
            proofs.note(now + Duration::from_millis(n.into()), ip, id(n));
        }
        assert_eq!(proofs.len(), PROOFS_MAX);
    }
}
