//! The active set: who carries packets in an epoch, the same for everybody.
//!
//! ```text
//! score(e, id) = SHA-256("ferry sortition" ‖ SHA-256("epoch" ‖ e) ‖ peer key)        beacon v0: it can be foreseen
//! relays:   registered since e-2 or before, with a descriptor of e-1; the A least scores; layer = order mod 3
//! services: bridges and mailboxes, registered since e-1 or before; the SERVICES_MAX least scores
//! root    = SHA-256("ferry active set" ‖ e ‖ count ‖ digest of each descriptor, by peer key)
//! ```
//!
//! The descriptors are those of epoch e-1, which name the key of e and have had an epoch to reach everybody; so the set is known
//! before its epoch starts.
//!
//! **A young network.** When fewer than three relays are old enough, the delay is not applied: everybody counts who has named a
//! key for the epoch. A network that has just started works at once that way, and says that its set is not settled.
//!
//! **A**, the number of relays, follows the load that the relays report, not the number of volunteers: packets have to meet. With
//! Λ packets a second through each of the three places of a path, W = max(Λ·d / pool, Λ / capacity) relays a place, and A = 3·W.
//! The median of the loads and of the capacities counts, so that a few liars move nothing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::limits::{ACTIVE_MAX, ACTIVE_MIN, SERVICES_MAX, SETTLED_RELAYS_MIN};
use super::registry::Registry;
use crate::address::PeerKey;
use crate::descriptor::Descriptor;
use crate::limits::RELAYS_NEEDED;

/// Identifies an active set.
pub type Root = [u8; 32];

/// How much the root of a set is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The network is young, or this node is and nobody older was found: the set still grows.
    Young,
    /// By the rule, but the news of the epoch's start may still be on its way.
    Fresh,
    /// It should be everybody's.
    Settled,
}

impl Standing {
    /// The label in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Young => "young",
            Self::Fresh => "fresh",
            Self::Settled => "settled",
        }
    }
}

/// The nodes of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveSet {
    epoch: u32,
    descriptors: BTreeMap<PeerKey, Descriptor>,
    /// The relays in the order of their scores.
    relays: Vec<PeerKey>,
    root: Root,
    young: bool,
}

impl ActiveSet {
    /// The set of `epoch` by the rule above.
    pub(super) fn select(registry: &Registry, epoch: u32) -> Self {
        let settled = |node_since: u32, age: u32| node_since <= epoch.saturating_sub(age);
        let before = epoch.saturating_sub(1);
        let old = registry.nodes().filter(|(_, node)| settled(node.since, 2));
        let old_relays = old
            .filter_map(|(_, node)| node.said.get(&before))
            .filter(|descriptor| descriptor.capabilities().relay);
        let young = old_relays.count() < SETTLED_RELAYS_MIN;
        let (mut relays, mut services) = (Vec::new(), Vec::new());
        for (_, node) in registry.nodes() {
            let said = match (node.said.get(&before), young) {
                (Some(said), _) => said,
                (None, true) => match node.said.get(&epoch) {
                    Some(said) => said,
                    None => continue,
                },
                (None, false) => continue,
            };
            let offers = said.capabilities();
            if offers.relay && (young || settled(node.since, 2)) {
                relays.push(said);
            } else if (offers.bridge || offers.mailbox) && (young || settled(node.since, 1)) {
                services.push(said);
            }
        }
        let active = how_many(relays.iter().copied());
        let chosen = least(relays, epoch, active);
        let services = least(services, epoch, SERVICES_MAX);
        Self::new(epoch, chosen.into_iter().chain(services).cloned(), young)
    }

    /// A set as somebody gave it. Every descriptor must name a key for the epoch, once.
    pub(crate) fn received(
        epoch: u32,
        descriptors: Vec<Descriptor>,
        young: bool,
    ) -> Result<Self, SetError> {
        let count = descriptors.len();
        if count > ACTIVE_MAX + SERVICES_MAX {
            return Err(SetError::TooMany(count));
        }
        for descriptor in &descriptors {
            let peer = descriptor.peer();
            if descriptor.mix_key_in(epoch).is_none() {
                return Err(SetError::NoKey(peer));
            }
            if !descriptor.capabilities().serves() {
                return Err(SetError::OffersNothing(peer));
            }
        }
        let set = Self::new(epoch, descriptors, young);
        if set.descriptors.len() != count {
            return Err(SetError::Duplicate);
        }
        Ok(set)
    }

    fn new(epoch: u32, descriptors: impl IntoIterator<Item = Descriptor>, young: bool) -> Self {
        let descriptors: BTreeMap<_, _> = descriptors
            .into_iter()
            .map(|descriptor| (descriptor.peer(), descriptor))
            .collect();
        let beacon = beacon(epoch);
        let relays = descriptors.values().filter(|d| d.capabilities().relay);
        let mut relays: Vec<PeerKey> = relays.map(Descriptor::peer).collect();
        relays.sort_by_cached_key(|peer| score(&beacon, peer));
        let root = root(epoch, descriptors.values());
        Self {
            epoch,
            descriptors,
            relays,
            root,
            young,
        }
    }

    /// Its epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What names it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether it was made by the rule for young networks.
    pub fn is_young(&self) -> bool {
        self.young
    }

    /// Its nodes, by peer.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.descriptors.values()
    }

    /// The descriptor of a node in it.
    pub fn get(&self, peer: &PeerKey) -> Option<&Descriptor> {
        self.descriptors.get(peer)
    }

    /// Number of nodes, services among them.
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether it has no node.
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// Number of relays.
    pub fn relays(&self) -> usize {
        self.relays.len()
    }

    /// The relays in the order of their scores.
    pub fn relays_in_order(&self) -> impl Iterator<Item = &PeerKey> {
        self.relays.iter()
    }

    /// The layer of a relay: the place on a path that a stratified network would give it.
    pub fn layer(&self, peer: &PeerKey) -> Option<usize> {
        let order = self.relays.iter().position(|relay| relay == peer)?;
        Some(order % RELAYS_NEEDED)
    }
}

/// Beacon v0: nothing but the epoch, so whoever makes identities can choose those that will win. See docs/threat-model.md.
pub fn beacon(epoch: u32) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"epoch")
        .chain_update(epoch.to_be_bytes())
        .finalize()
        .into()
}

/// The score of an identity: the least ones are active.
pub fn score(beacon: &[u8; 32], peer: &PeerKey) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"ferry sortition")
        .chain_update(beacon)
        .chain_update(peer.as_bytes())
        .finalize()
        .into()
}

/// The root of a set whose descriptors come in the order of their peers.
pub(super) fn root<'a>(
    epoch: u32,
    descriptors: impl ExactSizeIterator<Item = &'a Descriptor>,
) -> Root {
    let mut hash = Sha256::new()
        .chain_update(b"ferry active set")
        .chain_update(epoch.to_be_bytes())
        .chain_update((descriptors.len() as u32).to_be_bytes());
    for descriptor in descriptors {
        hash.update(descriptor.digest());
    }
    hash.finalize().into()
}

/// Those with the least scores.
fn least(mut nodes: Vec<&Descriptor>, epoch: u32, count: usize) -> Vec<&Descriptor> {
    if nodes.len() > count {
        let beacon = beacon(epoch);
        nodes.sort_by_cached_key(|descriptor| score(&beacon, &descriptor.peer()));
        nodes.truncate(count);
    }
    nodes
}

/// A: how many relays are active, from what they report.
pub fn how_many<'a>(relays: impl Iterator<Item = &'a Descriptor>) -> usize {
    let (mut loads, mut capacities) = (Vec::new(), Vec::new());
    for relay in relays {
        loads.push(u32::from(relay.statement().load));
        capacities.push(u32::from(relay.statement().capacity));
    }
    active_of(&mut loads, &mut capacities)
}

/// A from loads and capacities in packets a second, one of each for every relay.
pub fn active_of(loads: &mut [u32], capacities: &mut [u32]) -> usize {
    let volunteers = loads.len();
    let load = f64::from(median(loads)) * volunteers as f64 / RELAYS_NEEDED as f64;
    let capacity = match median(capacities) {
        0 => CAPACITY_DEFAULT,
        said => f64::from(said),
    };
    let width = (load * DELAY_SECONDS / POOL).max(load / capacity);
    let active = (width.ceil() as usize).saturating_mul(RELAYS_NEEDED);
    active.clamp(ACTIVE_MIN, ACTIVE_MAX).min(volunteers)
}

fn median(values: &mut [u32]) -> u32 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Why a set that somebody gave is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetError {
    /// More nodes than a set has.
    #[error("{0} nodes are more than an active set has")]
    TooMany(usize),
    /// A node without a key for the epoch.
    #[error("{0:?} names no mix key for the epoch")]
    NoKey(PeerKey),
    /// A node that offers nothing.
    #[error("{0:?} offers nothing to others")]
    OffersNothing(PeerKey),
    /// A node twice.
    #[error("a node is in it twice")]
    Duplicate,
    /// It has another root than was announced.
    #[error("it does not have the root that was announced")]
    Root,
}

impl SetError {
    /// The name of the reason in vectors.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooMany(_) => "too_many",
            Self::NoKey(_) => "no_key",
            Self::OffersNothing(_) => "offers_nothing",
            Self::Duplicate => "duplicate",
            Self::Root => "root",
        }
    }
}

/// Mean delay of a hop by which the width is reckoned, in seconds.
const DELAY_SECONDS: f64 = 0.1;

/// Packets that rest in a relay on average, so that they hide each other.
const POOL: f64 = 50.0;

/// What a relay that does not say can carry: one on a line at home.
const CAPACITY_DEFAULT: f64 = 100.0;

#[cfg(test)]
mod tests;
