//! The network as this node knows it: who exists, where, and what they offer.
//!
//! Static for now: the descriptors of a file. Every node includes all of them, so that the choice
//! of a path tells nothing about what its maker knows.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::address::{Address, AddressError, AddressPolicy, PeerKey};
use crate::descriptor::Descriptor;
use crate::geometry::MESSAGE_LEN;
use crate::limits::CONNECTIONS_KEPT_MAX;
use crate::sphinx::{Hop, build};

/// The descriptors of a network, by peer.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    descriptors: BTreeMap<PeerKey, Descriptor>,
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
            if !is_usable(&descriptor) {
                return Err(TopologyError::MixKey { entry, peer });
            }
            if network.descriptors.insert(peer, descriptor).is_some() {
                return Err(TopologyError::Duplicate { entry, peer });
            }
        }
        Ok(network)
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

    /// The relays to which `own` keeps a connection: all of them up to the bound, beyond it those
    /// whose key hashes nearest together with ours, so that the choice is stable and differs from
    /// node to node.
    pub fn kept_by(&self, own: PeerKey) -> Vec<PeerKey> {
        let mut kept: Vec<_> = self.relays_for(own).collect();
        if kept.len() > CONNECTIONS_KEPT_MAX {
            let rank = |peer: &PeerKey| -> [u8; 32] {
                Sha256::new()
                    .chain_update(own.as_bytes())
                    .chain_update(peer.as_bytes())
                    .finalize()
                    .into()
            };
            kept.sort_by_cached_key(rank);
            kept.truncate(CONNECTIONS_KEPT_MAX);
        }
        kept
    }

    /// The hop of a path at `peer`. A node without an address can be the last hop of others only
    /// over a connection of its own, so its address here names it without a place.
    pub fn hop(&self, peer: &PeerKey) -> Option<Hop> {
        let descriptor = self.descriptors.get(peer)?;
        let address = address_of(descriptor).unwrap_or_else(|| nowhere(*peer));
        Some(Hop {
            key: descriptor.mix_key(),
            address,
        })
    }
}

/// Whether a packet can be built for the node: a key of low order has no secret to share.
fn is_usable(descriptor: &Descriptor) -> bool {
    let hop = Hop {
        key: descriptor.mix_key(),
        address: nowhere(descriptor.peer()),
    };
    build(&[hop], &[], &[8; 32], &[0; MESSAGE_LEN], &Address::NONE).is_ok()
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
    /// A mix key with which nobody can share a secret.
    #[error(
        "descriptor {entry} ({peer:?}) has a mix key that is not a usable X25519 public key: get \
         the descriptor again from that node"
    )]
    MixKey {
        /// Its place, from 1.
        entry: usize,
        /// Whose it is.
        peer: PeerKey,
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
    use crate::address::Transport;
    use crate::descriptor::tests::{identity, peer_key};
    use crate::descriptor::{Capabilities, Statement};
    use crate::sphinx::PublicKey;

    const ANYWHERE: AddressPolicy = AddressPolicy {
        allow_private: true,
    };

    fn node(n: u16, relay: bool) -> Descriptor {
        let statement = Statement {
            epoch: 0,
            address: Some(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 5000 + n)),
            transport: Transport::Tcp,
            mix_key: PublicKey::from_bytes([9; 32]),
            capabilities: Capabilities {
                relay,
                ..Capabilities::default()
            },
            gateway_key: None,
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
        assert_eq!(network.kept_by(peer_key(3)).len(), 2);
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
    fn mix_keys_that_share_no_secret_are_refused() {
        for key in [[0; 32], [0xff; 32]] {
            let statement = Statement {
                epoch: 0,
                address: None,
                transport: Transport::Tcp,
                mix_key: PublicKey::from_bytes(key),
                capabilities: Capabilities::default(),
                gateway_key: None,
            };
            let descriptor = Descriptor::sign(statement, &identity(1)).unwrap();
            let refused = Topology::new(vec![descriptor], ANYWHERE).unwrap_err();
            assert!(
                matches!(refused, TopologyError::MixKey { entry: 1, .. }),
                "{refused}"
            );
        }
    }

    #[test]
    fn the_kept_relays_are_bounded_and_differ_from_node_to_node() {
        let many = (1..=CONNECTIONS_KEPT_MAX as u16 + 40)
            .map(|n| node(n, true))
            .collect();
        let network = Topology::new(many, ANYWHERE).unwrap();
        let first = network.kept_by(peer_key(1));
        assert_eq!(first.len(), CONNECTIONS_KEPT_MAX);
        assert_eq!(first, network.kept_by(peer_key(1)));
        assert_ne!(first, network.kept_by(peer_key(2)));
    }
}
