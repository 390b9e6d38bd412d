//! Which mailboxes keep a box: rendezvous hashing, so that whoever knows the box and the network finds them, and a mailbox that comes
//! or goes moves only the boxes that it takes or leaves.
//!
//! ```text
//! score = SHA-256("ferry mailbox place" ‖ box id ‖ peer key)
//! ```
//!
//! The mailboxes with the lowest scores come first. A writer leaves a cell at the first two that answer; a reader asks the first
//! four in turn, because some of them may have been away when it was written, or have come since.

use sha2::{Digest, Sha256};

use super::chain::BoxId;
use crate::address::PeerKey;
use crate::topology::Topology;

/// The `count` first mailboxes of a box.
pub fn mailboxes_of(topology: &Topology, id: &BoxId, count: usize) -> Vec<PeerKey> {
    let mut scored: Vec<([u8; 32], PeerKey)> = topology
        .mailboxes()
        .map(|descriptor| (score(id, &descriptor.peer()), descriptor.peer()))
        .collect();
    scored.sort_unstable();
    scored.truncate(count);
    scored.into_iter().map(|(_, peer)| peer).collect()
}

/// The score of a mailbox for a box.
pub fn score(id: &BoxId, peer: &PeerKey) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(id.as_bytes())
        .chain_update(peer.as_bytes())
        .finalize()
        .into()
}

const DOMAIN: &[u8] = b"ferry mailbox place";

/// Mailboxes that get a copy of a cell.
pub const COPIES: usize = 2;

/// Mailboxes that a reader asks: two that may hold a copy, and room for two that were away or came since.
pub const READ_PLACES: usize = 4;

/// Mailboxes that a writer tries: when so many are away, waiting is better than a place where no reader looks.
pub const WRITE_PLACES: usize = READ_PLACES;

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::address::AddressPolicy;
    use crate::descriptor::tests::identity;
    use crate::descriptor::{Capabilities, Descriptor, Statement};
    use crate::mailbox::ChainKey;
    use crate::sphinx::PublicKey;

    /// A network of three relays and mailboxes of these numbers.
    pub(in crate::mailbox) fn network(mailboxes: std::ops::RangeInclusive<u16>) -> Topology {
        let node = |n: u16, mailbox: bool| {
            let statement = Statement {
                address: Some(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 5000 + n)),
                capabilities: Capabilities {
                    relay: !mailbox,
                    mailbox,
                    ..Capabilities::default()
                },
                ..Statement::new(0, PublicKey::from_bytes([9; 32]))
            };
            Descriptor::sign(statement, &identity(n)).unwrap()
        };
        let relays = (1..=3).map(|n| node(n, false));
        let nodes = relays.chain(mailboxes.map(|n| node(n, true))).collect();
        let policy = AddressPolicy {
            allow_private: true,
        };
        Topology::new(nodes, policy).unwrap()
    }

    #[test]
    fn boxes_spread_and_a_new_mailbox_moves_only_what_it_takes() {
        let (before, after) = (network(10..=19), network(10..=20));
        let new = after
            .iter()
            .map(Descriptor::peer)
            .find(|peer| before.get(peer).is_none())
            .unwrap();
        let key = ChainKey::from_bytes([1; 32]);
        let mut load = std::collections::BTreeMap::<PeerKey, u32>::new();
        let mut moved = 0;
        for index in 0..2_000 {
            let id = key.box_id(index);
            let (old, now) = (mailboxes_of(&before, &id, 2), mailboxes_of(&after, &id, 2));
            old.iter()
                .for_each(|peer| *load.entry(*peer).or_default() += 1);
            if old != now {
                assert!(now.contains(&new));
                moved += 1;
            }
        }
        // 400 each: five standard deviations of 18.
        assert!(
            load.len() == 10 && load.values().all(|n| (310..490).contains(n)),
            "{load:?}"
        );
        // 2 of 11 of the boxes: 364, with five standard deviations of 17.
        assert!((279..449).contains(&moved), "{moved}");
    }

    #[test]
    fn there_are_no_more_places_than_mailboxes_and_only_they_are_places() {
        let network = network(10..=10);
        let id = ChainKey::from_bytes([1; 32]).box_id(0);
        let places = mailboxes_of(&network, &id, READ_PLACES);
        assert_eq!(places.len(), 1);
        assert!(network.get(&places[0]).unwrap().capabilities().mailbox);
    }
}
