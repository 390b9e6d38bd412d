//! Everybody who offers something, as far as this node has heard.
//!
//! ```text
//! peer ─▶ since (the earliest epoch that it was heard to speak for) ‖ its descriptors of the last, this and the next epoch
//! ```
//!
//! Who was heard in an epoch, or in the next one through somebody else, is registered since that epoch: everybody who listens
//! comes to the same `since`, however the news travelled. A node can so pretend to be one epoch older than it is, and no more.
//!
//! Equal registries know that they are equal by one hash. For unequal ones the registry is cut into 256 buckets by the key of the
//! peer; only the content of buckets with different hashes is listed, and only what is newer is given.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::limits::REGISTRY_MAX;
use crate::address::{AddressPolicy, PeerKey};
use crate::descriptor::{Descriptor, DescriptorError};
use crate::topology::address_of;

/// Buckets of a summary.
pub const BUCKETS: usize = 256;

/// What a summary says of one bucket.
pub type BucketHash = [u8; 8];

/// One descriptor in a list: enough to see which side has the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Whose it is.
    pub peer: PeerKey,
    /// Its epoch.
    pub epoch: u32,
    /// Its serial.
    pub serial: u32,
    /// The start of its digest.
    pub tag: [u8; 4],
}

impl Mention {
    fn of(descriptor: &Descriptor) -> Self {
        let mut tag = [0; 4];
        tag.copy_from_slice(&descriptor.digest()[..4]);
        Self {
            peer: descriptor.peer(),
            epoch: descriptor.epoch(),
            serial: descriptor.statement().serial,
            tag,
        }
    }

    /// Whether it replaces `other` of the same peer and epoch.
    fn is_newer_than(&self, other: &Self) -> bool {
        (self.serial, std::cmp::Reverse(self.tag)) > (other.serial, std::cmp::Reverse(other.tag))
    }
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The earliest epoch for which it was heard to speak.
    pub(super) since: u32,
    /// Its descriptors, by epoch.
    pub(super) said: BTreeMap<u32, Descriptor>,
}

impl Known {
    pub(super) fn newest(&self) -> Option<&Descriptor> {
        self.said.values().next_back()
    }
}

/// What came of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new, and kept.
    New,
    /// It is known, or older than what is known.
    Known,
    /// It is refused.
    Refused(Refusal),
}

/// Why a descriptor is not taken into the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not read, or does not verify.
    Descriptor(DescriptorError),
    /// It speaks for an epoch that is long over or far ahead.
    Epoch,
    /// It names no key for the next epoch.
    NoNextKey,
    /// It offers nothing to others.
    OffersNothing,
    /// An address that this node never dials.
    Address,
    /// The registry is full.
    Full,
}

impl Refusal {
    /// The name of the reason in counters and vectors.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Descriptor(error) => error.as_str(),
            Self::Epoch => "epoch",
            Self::NoNextKey => "no_next_key",
            Self::OffersNothing => "offers_nothing",
            Self::Address => "private_address",
            Self::Full => "full",
        }
    }
}

/// Everybody.
pub struct Registry {
    policy: AddressPolicy,
    nodes: BTreeMap<PeerKey, Known>,
    /// Hashes of the buckets; none where something changed since.
    buckets: Vec<Option<BucketHash>>,
    nodes_max: usize,
}

impl Registry {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self::with_nodes_max(policy, REGISTRY_MAX)
    }

    pub(super) fn with_nodes_max(policy: AddressPolicy, nodes_max: usize) -> Self {
        Self {
            policy,
            nodes: BTreeMap::new(),
            buckets: vec![None; BUCKETS],
            nodes_max,
        }
    }

    /// Takes in one descriptor as it came, in the epoch `now`. Cheap checks first: what is known, or of the wrong time, costs no
    /// signature check.
    pub(super) fn admit(&mut self, bytes: &[u8], now: u32) -> Admission {
        let Some((peer, epoch, serial)) = Descriptor::peek(bytes) else {
            let short = DescriptorError::Length(bytes.len());
            return Admission::Refused(Refusal::Descriptor(short));
        };
        if !(now.saturating_sub(1)..=now.saturating_add(1)).contains(&epoch) {
            return Admission::Refused(Refusal::Epoch);
        }
        let said = self.nodes.get(&peer).and_then(|node| node.said.get(&epoch));
        if let Some(said) = said {
            let same = said.to_bytes() == bytes;
            if same || said.statement().serial > serial {
                return Admission::Known;
            }
        } else if !self.nodes.contains_key(&peer) && self.nodes.len() >= self.nodes_max {
            return Admission::Refused(Refusal::Full);
        }
        match Descriptor::from_bytes(bytes) {
            Ok(descriptor) => self.insert(descriptor),
            Err(error) => Admission::Refused(Refusal::Descriptor(error)),
        }
    }

    /// Takes in a descriptor that is verified, whatever its epoch.
    pub(super) fn insert(&mut self, descriptor: Descriptor) -> Admission {
        if !descriptor.capabilities().serves() {
            return Admission::Refused(Refusal::OffersNothing);
        }
        if descriptor.statement().next_mix_key.is_none() {
            return Admission::Refused(Refusal::NoNextKey);
        }
        if address_of(&descriptor).is_some_and(|address| self.policy.check(&address).is_err()) {
            return Admission::Refused(Refusal::Address);
        }
        let (peer, epoch) = (descriptor.peer(), descriptor.epoch());
        let node = self.nodes.entry(peer).or_insert_with(|| Known {
            since: epoch,
            said: BTreeMap::new(),
        });
        let said = node.said.get(&epoch);
        if said.is_some_and(|said| !descriptor.is_newer_than(said)) {
            return Admission::Known;
        }
        node.since = node.since.min(epoch);
        node.said.insert(epoch, descriptor);
        self.buckets[bucket(&peer)] = None;
        Admission::New
    }

    /// Puts the epoch back in which a node was first heard; what a snapshot says.
    pub(super) fn set_since(&mut self, peer: &PeerKey, since: u32) {
        if let Some(node) = self.nodes.get_mut(peer) {
            node.since = node.since.min(since);
        }
    }

    /// Forgets what was said for epochs before the last one, and nodes that have said nothing since.
    pub(super) fn expire(&mut self, now: u32) {
        let first = now.saturating_sub(1);
        let buckets = &mut self.buckets;
        self.nodes.retain(|peer, node| {
            let before = node.said.len();
            node.said.retain(|epoch, _| *epoch >= first);
            if node.said.len() != before {
                buckets[bucket(peer)] = None;
            }
            !node.said.is_empty()
        });
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&PeerKey, &Known)> {
        self.nodes.iter()
    }

    /// The newest descriptor of a node.
    pub fn newest(&self, peer: &PeerKey) -> Option<&Descriptor> {
        self.nodes.get(peer).and_then(Known::newest)
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// One hash of everything.
    pub(super) fn digest(&mut self) -> [u8; 16] {
        let mut hash = Sha256::new();
        for at in 0..BUCKETS {
            hash.update(self.bucket_hash(at));
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        digest
    }

    /// The hashes of all buckets.
    pub(super) fn summary(&mut self) -> Vec<BucketHash> {
        (0..BUCKETS).map(|at| self.bucket_hash(at)).collect()
    }

    fn bucket_hash(&mut self, at: usize) -> BucketHash {
        if let Some(hash) = self.buckets[at] {
            return hash;
        }
        let mut hash = Sha256::new();
        for descriptor in self.bucket(at) {
            hash.update(descriptor.digest());
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut short = [0; 8];
        short.copy_from_slice(&hash[..8]);
        self.buckets[at] = Some(short);
        short
    }

    /// The descriptors of one bucket, in order. A bucket is a range of keys that begin with 02, and one of those with 03.
    fn bucket(&self, at: usize) -> impl Iterator<Item = &Descriptor> {
        let half = move |first: u8| {
            let mut from = [0; 33];
            (from[0], from[1]) = (first, at as u8);
            let mut to = [0xff; 33];
            (to[0], to[1]) = (first, at as u8);
            let key = |bytes| PeerKey::from_bytes(bytes).ok();
            key(from).zip(key(to))
        };
        [half(2), half(3)]
            .into_iter()
            .flatten()
            .flat_map(|(from, to)| self.nodes.range(from..=to))
            .flat_map(|(_, node)| node.said.values())
    }

    /// What the buckets hold whose hashes are not those of `theirs`, from bucket `from` on, at most about `limit` mentions; and
    /// the bucket at which the list stops.
    pub(super) fn differing(
        &mut self,
        theirs: &[BucketHash],
        from: usize,
        limit: usize,
    ) -> (Vec<u8>, Vec<Mention>) {
        let (mut listed, mut mentions) = (Vec::new(), Vec::new());
        for step in 0..BUCKETS {
            let at = (from + step) % BUCKETS;
            if theirs.get(at) == Some(&self.bucket_hash(at)) {
                continue;
            }
            let before = mentions.len();
            mentions.extend(self.bucket(at).map(Mention::of));
            if mentions.len() > limit && before > 0 {
                mentions.truncate(before);
                break;
            }
            mentions.truncate(limit);
            listed.push(at as u8);
        }
        (listed, mentions)
    }

    /// Compares what another node lists of some buckets with ours: what to ask for, and what to give.
    pub(super) fn compare(
        &self,
        listed: &[u8],
        theirs: &[Mention],
        limit: usize,
    ) -> (Vec<PeerKey>, Vec<Descriptor>) {
        let mut known: BTreeMap<(PeerKey, u32), Mention> = theirs
            .iter()
            .map(|mention| ((mention.peer, mention.epoch), *mention))
            .collect();
        let mut gives = Vec::new();
        for descriptor in listed.iter().flat_map(|at| self.bucket(usize::from(*at))) {
            let ours = Mention::of(descriptor);
            match known.remove(&(ours.peer, ours.epoch)) {
                Some(their) if their.is_newer_than(&ours) => {
                    known.insert((their.peer, their.epoch), their);
                }
                Some(their) if !ours.is_newer_than(&their) => {}
                Some(_) | None => gives.push(descriptor.clone()),
            }
        }
        gives.truncate(limit);
        let mut wants: Vec<PeerKey> = known.into_keys().map(|(peer, _)| peer).collect();
        wants.dedup();
        wants.truncate(limit);
        (wants, gives)
    }

    /// All that is known of some nodes.
    pub(super) fn about(&self, peers: &[PeerKey]) -> impl Iterator<Item = &Descriptor> {
        peers
            .iter()
            .filter_map(|peer| self.nodes.get(peer))
            .flat_map(|node| node.said.values())
    }
}

fn bucket(peer: &PeerKey) -> usize {
    usize::from(peer.as_bytes()[1])
}

#[cfg(test)]
pub(in crate::directory) mod tests;
