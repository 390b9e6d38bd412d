//! The network as this node knows it: who exists, where, and what they offer.
//!
//! Either the descriptors of a file, which hold for ever, or the active set of an epoch, which is the same for everybody. Every
//! node includes all of them, so that the choice of a path tells nothing about what its maker knows.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::address::{Address, AddressError, AddressPolicy, PeerKey};
use crate::descriptor::Descriptor;
use crate::sphinx::{Hop, SURB_TTL};

/// The descriptors of a network, by peer.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    descriptors: BTreeMap<PeerKey, Descriptor>,
    term: Option<Term>,
}

/// For how long a topology holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The epoch: every hop has its mix key of this epoch.
    pub epoch: u32,
    /// Milliseconds since 1970 at which the last hop has forgotten that key: the end of the grace after the epoch.
    pub keys_end_unix_ms: u64,
}

impl Topology {
    /// A network of these descriptors. Refuses addresses that `policy` does not dial.
    pub fn new(descriptors: Vec<Descriptor>, policy: AddressPolicy) -> Result<Self, TopologyError> {
        let mut network = Self::default();
        for (index, descriptor) in descriptors.into_iter().enumerate() {
            let (entry, peer) = (index + 1, descriptor.peer());
            if let Some(address) = address_of(&descriptor) {
                policy
                    .check(&address)
                    .map_err(|source| TopologyError::Address {
                        entry,
                        peer,
                        source,
                    })?;
            }
            if network.descriptors.insert(peer, descriptor).is_some() {
                return Err(TopologyError::Duplicate { entry, peer });
            }
        }
        Ok(network)
    }

    /// The network of one epoch. Nodes without a key for it, and addresses that `policy` does not dial, are left out.
    pub fn of_epoch(
        term: Term,
        descriptors: impl IntoIterator<Item = Descriptor>,
        policy: AddressPolicy,
    ) -> Self {
        let fit = descriptors.into_iter().filter(|descriptor| {
            let address = address_of(descriptor);
            descriptor.mix_key_in(term.epoch).is_some()
                && address.is_none_or(|address| policy.check(&address).is_ok())
        });
        Self {
            descriptors: fit
                .map(|descriptor| (descriptor.peer(), descriptor))
                .collect(),
            term: Some(term),
        }
    }

    /// The epoch that this is the network of; none for a relay list that holds for ever.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    /// How long reply blocks hold that are made now: until the first hop may have forgotten its key.
    pub fn blocks_live(&self, unix_ms: u64) -> Duration {
        let left =
            |term: Term| Duration::from_millis(term.keys_end_unix_ms.saturating_sub(unix_ms));
        self.term.map_or(SURB_TTL, |term| left(term).min(SURB_TTL))
    }

    /// The descriptor of `peer`.
    pub fn get(&self, peer: &PeerKey) -> Option<&Descriptor> {
        self.descriptors.get(peer)
    }

    /// All descriptors, ordered by peer.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.descriptors.values()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// The relays that `own` may put on a path.
    pub fn relays_for(&self, own: PeerKey) -> impl Iterator<Item = PeerKey> {
        self.descriptors
            .values()
            .filter(move |descriptor| descriptor.capabilities().relay && descriptor.peer() != own)
            .map(Descriptor::peer)
    }

    /// The nodes that keep messages for those who are offline, ordered by peer.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Descriptor> {
        self.iter()
            .filter(|descriptor| descriptor.capabilities().mailbox)
    }

    /// The nodes that carry messages to and from Whisper, ordered by peer.
    pub fn bridges(&self) -> impl Iterator<Item = &Descriptor> {
        self.iter()
            .filter(|descriptor| descriptor.capabilities().bridge)
    }

    /// The relays to which `own` keeps a connection: all of them up to `max`, beyond it those
    /// whose key hashes nearest together with ours, so that the choice is stable and differs from
    /// node to node.
    pub fn kept_by(&self, own: PeerKey, max: usize) -> Vec<PeerKey> {
        let mut kept: Vec<_> = self.relays_for(own).collect();
        if kept.len() > max {
            kept.sort_by_cached_key(|peer| own.rank(peer));
            kept.truncate(max);
        }
        kept
    }

    /// The hop of a path at `peer`. A node without an address can be the last hop of others only
    /// over a connection of its own, so its address here names it without a place.
    pub fn hop(&self, peer: &PeerKey) -> Option<Hop> {
        let descriptor = self.descriptors.get(peer)?;
        let address = address_of(descriptor).unwrap_or_else(|| nowhere(*peer));
        let key = match self.term {
            Some(term) => descriptor.mix_key_in(term.epoch)?,
            None => descriptor.mix_key(),
        };
        Some(Hop { key, address })
    }
}

/// The address of a node that listens.
pub fn address_of(descriptor: &Descriptor) -> Option<Address> {
    let at = descriptor.address()?;
    Some(Address::direct(
        *at.ip(),
        descriptor.transport(),
        at.port(),
        descriptor.peer(),
    ))
}

/// The address of a peer that can be reached only over a connection that it made: the next hop
/// looks for the peer, never at the rest.
pub fn nowhere(peer: PeerKey) -> Address {
    Address::direct(
        std::net::Ipv4Addr::UNSPECIFIED,
        crate::address::Transport::Tcp,
        0,
        peer,
    )
}

/// Why a set of descriptors is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// An address that this node would never dial.
    #[error(
        "descriptor {entry} ({peer:?}) has an address that this node does not dial: {source}; \
         for a network on one machine or in a private network switch private addresses on"
    )]
    Address {
        /// Its place, from 1.
        entry: usize,
        /// Whose it is.
        peer: PeerKey,
        /// What is wrong with it.
        source: AddressError,
    },
    /// Two descriptors of one peer.
    #[error("descriptor {entry} is the second one of {peer:?}: keep the newer one")]
    Duplicate {
        /// The second one's place, from 1.
        entry: usize,
        /// Whose it is.
        peer: PeerKey,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::tests::{identity, peer_key};
    use crate::descriptor::{Capabilities, Statement};
    use crate::limits::CONNECTIONS_KEPT_MAX;
    use crate::sphinx::PublicKey;

    const ANYWHERE: AddressPolicy = AddressPolicy {
        allow_private: true,
    };

    fn node(n: u16, relay: bool) -> Descriptor {
        let statement = Statement {
            address: Some(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 5000 + n)),
            capabilities: Capabilities {
                relay,
                ..Capabilities::default()
            },
            ..Statement::new(0, PublicKey::from_bytes([9; 32]))
        };
        Descriptor::sign(statement, &identity(n)).unwrap()
    }

    #[test]
    fn a_node_never_counts_itself_or_what_does_not_relay() {
        let network = Topology::new(vec![node(1, true), node(2, true), node(3, false)], ANYWHERE);
        let network = network.unwrap();
        assert_eq!(network.len(), 3);
        assert_eq!(
            network.relays_for(peer_key(1)).collect::<Vec<_>>(),
            [peer_key(2)]
        );
        assert_eq!(network.relays_for(peer_key(3)).count(), 2);
        assert_eq!(network.kept_by(peer_key(3), CONNECTIONS_KEPT_MAX).len(), 2);
    }

    #[test]
    fn private_addresses_and_second_descriptors_are_refused() {
        let refused = Topology::new(vec![node(1, true)], AddressPolicy::default()).unwrap_err();
        assert!(
            matches!(refused, TopologyError::Address { entry: 1, .. }),
            "{refused}"
        );
        let refused = Topology::new(vec![node(1, true), node(1, false)], ANYWHERE).unwrap_err();
        assert_eq!(
            refused,
            TopologyError::Duplicate {
                entry: 2,
                peer: peer_key(1)
            }
        );
    }

    #[test]
    fn an_epoch_takes_each_node_with_its_key_of_that_epoch() {
        let rotating = |n: u16, epoch| {
            let statement = Statement {
                next_mix_key: Some(PublicKey::from_bytes([10; 32])),
                epoch,
                ..node(n, true).statement().clone()
            };
            Descriptor::sign(statement, &identity(n)).unwrap()
        };
        let term = |epoch| Term {
            epoch,
            keys_end_unix_ms: 0,
        };
        let nodes = [
            rotating(1, 7),
            rotating(2, 8),
            rotating(3, 6),
            rotating(4, 9),
        ];
        let network = Topology::of_epoch(term(8), nodes.clone(), ANYWHERE);
        assert_eq!(network.len(), 2);
        assert_eq!(network.term(), Some(term(8)));
        let key = |n| *network.hop(&peer_key(n)).unwrap().key.as_bytes();
        assert_eq!((key(1), key(2)), ([10; 32], [9; 32]));
        assert!(network.hop(&peer_key(3)).is_none() && network.hop(&peer_key(4)).is_none());
        assert!(Topology::of_epoch(term(8), nodes, AddressPolicy::default()).is_empty());
    }

    #[test]
    fn the_kept_relays_are_bounded_and_differ_from_node_to_node() {
        let many = (1..=CONNECTIONS_KEPT_MAX as u16 + 40)
            .map(|n| node(n, true))
            .collect();
        let network = Topology::new(many, ANYWHERE).unwrap();
        let first = network.kept_by(peer_key(1), CONNECTIONS_KEPT_MAX);
        assert_eq!(first.len(), CONNECTIONS_KEPT_MAX);
        assert_eq!(first, network.kept_by(peer_key(1), CONNECTIONS_KEPT_MAX));
        assert_ne!(first, network.kept_by(peer_key(2), CONNECTIONS_KEPT_MAX));
    }
}
