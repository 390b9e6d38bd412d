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
