//! Ids of groups, messages and peers.
//!
//! | id | bytes |
//! |---|---|
//! | group | 32, chosen by its members; for a 1:1 chat Keccak-256 of both compressed keys, smaller X first |
//! | message | SHA-256("MESSAGE_ID" ‖ group (32) ‖ timestamp (8, little endian, two's complement) ‖ body) |
//! | peer | 65, an uncompressed secp256k1 public key; opaque here |

use sha2::{Digest, Sha256};
use std::fmt;
use tiny_keccak::{Hasher, Keccak};

/// Length of a group id and of a message id in bytes.
pub const ID_LEN: usize = 32;
/// Length of a peer id in bytes.
pub const PEER_ID_LEN: usize = 65;
/// What every message id is hashed with first.
const DOMAIN: &[u8; 10] = b"MESSAGE_ID";

/// An independent context of synchronisation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId([u8; ID_LEN]);

impl GroupId {
    /// Wraps 32 bytes; every value is a group id.
    pub const fn new(bytes: [u8; ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a field; `None` at any other length than 32, since a message id has no length prefixes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The group of a 1:1 chat of two compressed secp256k1 keys, the same from both sides.
    ///
    /// The key with the smaller X coordinate goes first; with equal coordinates `second` does.
    pub fn of_two(first: &[u8; 33], second: &[u8; 33]) -> Self {
        let (low, high) = if first[1..] < second[1..] {
            (first, second)
        } else {
            (second, first)
        };
        let mut id = [0; ID_LEN];
        let mut keccak = Keccak::v256();
        keccak.update(low);
        keccak.update(high);
        keccak.finalize(&mut id);
        Self(id)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }
}

/// Names one message of one group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; ID_LEN]);

impl MessageId {
    /// Wraps 32 bytes, as read from a record.
    pub const fn new(bytes: [u8; ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a field; `None` at any other length than 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The id of a message. Metadata is not covered.
    pub fn of(group: &GroupId, timestamp: i64, body: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(group.0)
            .chain_update(timestamp.to_le_bytes())
            .chain_update(body)
            .finalize();
        Self(hash.into())
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }
}

/// Names a member of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; PEER_ID_LEN]);

impl PeerId {
    /// Wraps 65 bytes. Whether they are a key is for the transport to know.
    pub const fn new(bytes: [u8; PEER_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a field; `None` at any other length than 65.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; PEER_ID_LEN] {
        &self.0
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({}…)", hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}…)", hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({}…)", hex::encode(&self.0[1..5]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    const KEY_A: &str = "03cab365fcbb92f82b9c47ceaa27d654268606dea9cd658e369abf5c3fc59d0fa2";
    const KEY_B: &str = "02eb0177131d07520da774ce45687054fd8b57ca51ea80c0de63624c1f7856d237";
    const GROUP: &str = "4c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de6";

    #[test]
    fn the_group_of_two_is_the_same_from_both_sides() {
        let (a, b) = (bytes(KEY_A), bytes(KEY_B));
        assert_eq!(hex::encode(GroupId::of_two(&a, &b).bytes()), GROUP);
        assert_eq!(hex::encode(GroupId::of_two(&b, &a).bytes()), GROUP);
        let own = "d6daf7fe55d791dc3964a85d4ea4bfdfd9c5906025801e7cdc458c2a3852567e";
        assert_eq!(hex::encode(GroupId::of_two(&a, &a).bytes()), own);
    }

    #[test]
    fn a_message_id_hashes_group_time_and_body() {
        let group = GroupId::new(bytes(GROUP));
        let id = MessageId::of(&group, 1_587_550_000, b"hello");
        assert_eq!(
            hex::encode(id.bytes()),
            "8d99b8443a17b2a5f0706a15858255cc5e92052747b3028c6232e47c2ca257cc"
        );
        // Time -1 is eight bytes of ff; an empty body and time 0 add nothing and eight zeros.
        let by_hand = |tail: &[u8]| -> [u8; 32] {
            Sha256::new()
                .chain_update(b"MESSAGE_ID")
                .chain_update(bytes::<32>(GROUP))
                .chain_update(tail)
                .finalize()
                .into()
        };
        assert_eq!(MessageId::of(&group, -1, b"").bytes(), &by_hand(&[0xff; 8]));
        assert_eq!(MessageId::of(&group, 0, b"").bytes(), &by_hand(&[0; 8]));
    }

    #[test]
    fn other_lengths_are_no_ids() {
        for len in [0, 31, 33, 64] {
            assert_eq!(GroupId::from_slice(&vec![1; len]), None);
            assert_eq!(MessageId::from_slice(&vec![1; len]), None);
        }
        assert_eq!(PeerId::from_slice(&[4; 64]), None);
        assert!(PeerId::from_slice(&[4; 65]).is_some());
    }
}
