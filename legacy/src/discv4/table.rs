//! The nodes that are known, by distance.
//!
//! ```text
//! bucket 0: distances 2^0 … 2^240    bucket 1: up to 2^241    …    bucket 16: up to 2^256
//! bucket = at most 16 nodes, the one seen last in front, and 10 that would take a free place
//! ```
//!
//! A node that is only named by others comes last, one that has answered comes first. Nobody loses its place to a
//! newcomer while it answers: otherwise whoever makes up many nodes would own the table. For the same reason a /24 of the
//! public internet has two places in a bucket and ten in the table. Spec: discv4 node table of go-ethereum.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::endpoint::is_lan;
use super::lookup::Distance;
use super::{BUCKET_LEN_MAX, Contact, FAILURES_MAX, PERSIST_AFTER};
use crate::identity::NodeId;

/// The table of one node.
pub struct Table {
    own: NodeId,
    buckets: [Bucket; BUCKETS],
    subnets: BTreeMap<Subnet, usize>,
}

#[derive(Default)]
struct Bucket {
    /// The one seen last is the first.
    nodes: Vec<Known>,
    /// The newest is the first.
    replacements: Vec<Contact>,
}

/// A node of the table.
#[derive(Clone, Copy)]
struct Known {
    contact: Contact,
    since: Instant,
    /// How often it has answered.
    answers: u32,
    /// Questions without an answer since the last one that had one.
    failures: u8,
    /// The number of its record, as far as we have it.
    record_seq: u64,
}

impl Table {
    /// An empty one.
    pub fn new(own: NodeId) -> Table {
        Table {
            own,
            buckets: Default::default(),
            subnets: BTreeMap::new(),
        }
    }

    /// Somebody names this node.
    pub fn seen(&mut self, now: Instant, contact: Contact) {
        self.add(now, contact, false);
    }

    /// This node has answered from where it says that it is.
    pub fn answered(&mut self, now: Instant, contact: Contact) {
        let at = self.index(&contact.id());
        let Some(place) = self.place(at, &contact.id()) else {
            self.add(now, contact, true);
            return;
        };
        let mut known = self.buckets[at].nodes.remove(place);
        if known.contact.ip() != contact.ip() {
            self.leave(known.contact.ip());
            if !self.has_room(at, contact.ip()) {
                // It has moved to where there are enough already.
                return;
            }
            self.enter(contact.ip());
        }
        known.contact = contact;
        known.answers = known.answers.saturating_add(1);
        known.failures = 0;
        self.buckets[at].nodes.insert(0, known);
    }

    /// This node has not answered whether it is there.
    pub fn gone(&mut self, now: Instant, id: &NodeId) {
        let at = self.index(id);
        if let Some(place) = self.place(at, id) {
            let known = self.buckets[at].nodes.remove(place);
            self.leave(known.contact.ip());
        }
        self.buckets[at]
            .replacements
            .retain(|contact| contact.id() != *id);
        self.promote(now, at);
    }

    /// This node has not answered who is close to something. It goes after some of these, if there are others.
    pub fn failed(&mut self, now: Instant, id: &NodeId) {
        let at = self.index(id);
        let Some(place) = self.place(at, id) else {
            return;
        };
        let known = &mut self.buckets[at].nodes[place];
        known.failures = known.failures.saturating_add(1);
        if known.failures >= FAILURES_MAX {
            self.gone(now, id);
        }
    }

    /// Questions without an answer since the last that had one.
    pub fn failures(&self, id: &NodeId) -> u8 {
        self.known(id).map_or(0, |known| known.failures)
    }

    /// The number of its record, as far as we have it.
    pub fn record_seq(&self, id: &NodeId) -> Option<u64> {
        self.known(id).map(|known| known.record_seq)
    }

    /// Its record was read: what it says besides the address that is proven.
    pub fn recorded(&mut self, id: &NodeId, seq: u64, tcp_port: Option<u16>) {
        let at = self.index(id);
        if let Some(place) = self.place(at, id) {
            let known = &mut self.buckets[at].nodes[place];
            known.record_seq = seq;
            if let Some(port) = tcp_port {
                known.contact.tcp_port = port;
            }
        }
    }

    /// What is known of a node.
    pub fn get(&self, id: &NodeId) -> Option<Contact> {
        self.known(id).map(|known| known.contact)
    }

    /// The nodes that are closest to a target, the closest first. With `alive`, only those that have answered.
    pub fn closest(&self, target: &NodeId, count: usize, alive: bool) -> Vec<Contact> {
        let mut nodes: Vec<(Distance, Contact)> = self
            .nodes()
            .filter(|known| !alive || known.answers > 0)
            .map(|known| {
                let distance = Distance::between(target, &known.contact.id());
                (distance, known.contact)
            })
            .collect();
        nodes.sort_unstable_by_key(|(distance, _)| *distance);
        nodes.truncate(count);
        nodes.into_iter().map(|(_, contact)| contact).collect()
    }

    /// The node that has been silent for longest in some bucket; `pick` is any number.
    pub fn stalest(&self, pick: u32) -> Option<Contact> {
        let filled = || {
            self.buckets
                .iter()
                .filter(|bucket| !bucket.nodes.is_empty())
        };
        let at = pick as usize % filled().count().max(1);
        filled().nth(at)?.nodes.last().map(|known| known.contact)
    }

    /// Nodes that have answered and have been here for long enough to be tried after a restart.
    pub fn lasting(&self, now: Instant) -> impl Iterator<Item = Contact> {
        let lasts = move |known: &&Known| known.answers > 0 && now >= known.since + PERSIST_AFTER;
        self.nodes().filter(lasts).map(|known| known.contact)
    }

    /// Nodes that have answered.
    pub fn alive(&self) -> usize {
        self.nodes().filter(|known| known.answers > 0).count()
    }

    /// All nodes.
    pub fn len(&self) -> usize {
        self.nodes().count()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes().next().is_none()
    }

    fn nodes(&self) -> impl Iterator<Item = &Known> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    fn known(&self, id: &NodeId) -> Option<&Known> {
        let at = self.index(id);
        self.place(at, id)
            .map(|place| &self.buckets[at].nodes[place])
    }

    fn add(&mut self, now: Instant, contact: Contact, answered: bool) {
        if contact.id() == self.own {
            return;
        }
        let at = self.index(&contact.id());
        if self.place(at, &contact.id()).is_some() {
            return;
        }
        let room = self.has_room(at, contact.ip());
        let bucket = &mut self.buckets[at];
        bucket
            .replacements
            .retain(|other| other.id() != contact.id());
        if !room {
            return;
        }
        if bucket.nodes.len() >= BUCKET_LEN_MAX {
            bucket.replacements.insert(0, contact);
            bucket.replacements.truncate(REPLACEMENTS_MAX);
            return;
        }
        let known = Known {
            contact,
            since: now,
            answers: u32::from(answered),
            failures: 0,
            record_seq: 0,
        };
        let place = if answered { 0 } else { bucket.nodes.len() };
        bucket.nodes.insert(place, known);
        self.enter(contact.ip());
    }

    fn promote(&mut self, now: Instant, at: usize) {
        let bucket = &mut self.buckets[at];
        if bucket.nodes.len() >= BUCKET_LEN_MAX || bucket.replacements.is_empty() {
            return;
        }
        let next = bucket.replacements.remove(0);
        self.add(now, next, false);
    }

    /// Room in this bucket and in the table for one more of the network of this address.
    fn has_room(&self, at: usize, ip: IpAddr) -> bool {
        let Some(subnet) = Subnet::of(ip) else {
            return true;
        };
        let same = |known: &&Known| Subnet::of(known.contact.ip()) == Some(subnet);
        let in_bucket = self.buckets[at].nodes.iter().filter(same).count();
        let in_table = self.subnets.get(&subnet).copied().unwrap_or(0);
        in_bucket < PER_SUBNET_AND_BUCKET_MAX && in_table < PER_SUBNET_MAX
    }

    fn enter(&mut self, ip: IpAddr) {
        if let Some(subnet) = Subnet::of(ip) {
            *self.subnets.entry(subnet).or_default() += 1;
        }
    }

    fn leave(&mut self, ip: IpAddr) {
        let Some(subnet) = Subnet::of(ip) else {
            return;
        };
        if let Some(count) = self.subnets.get_mut(&subnet) {
            *count -= 1;
            if *count == 0 {
                self.subnets.remove(&subnet);
            }
        }
    }

    fn index(&self, id: &NodeId) -> usize {
        let log = Distance::between(&self.own, id).log();
        log.saturating_sub(CLOSE_LOG)
    }

    fn place(&self, at: usize, id: &NodeId) -> Option<usize> {
        let nodes = &self.buckets[at].nodes;
        nodes.iter().position(|known| known.contact.id() == *id)
    }
}

/// What one operator gets addresses in: a /24, or a /48 of IPv6. Private networks have none: there, many nodes share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subnet {
    V4([u8; 3]),
    V6([u8; 6]),
}

impl Subnet {
    fn of(ip: IpAddr) -> Option<Subnet> {
        if is_lan(ip) {
            return None;
        }
        Some(match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Subnet::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Subnet::V6([a, b, c, d, e, f])
            }
        })
    }
}

// Of the protocol, as go-ethereum has it.

/// Buckets: anybody closer than the last of them is as good as never there.
const BUCKETS: usize = 17;
/// The largest logarithm of a distance in bucket 0.
const CLOSE_LOG: usize = 256 - (BUCKETS - 1);
/// Nodes of a bucket that wait for a place.
const REPLACEMENTS_MAX: usize = 10;
/// Places of one /24 in a bucket.
const PER_SUBNET_AND_BUCKET_MAX: usize = 2;
/// Places of one /24 in the table.
const PER_SUBNET_MAX: usize = 10;

#[cfg(test)]
mod tests;
