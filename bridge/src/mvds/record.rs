//! What a node keeps on disk.
//!
//! | record | key | value |
//! |---|---|---|
//! | message | message id (32) | the message, until every peer has it |
//! | seen | message id (32) | until when (Unix seconds) it is remembered after its body is gone |
//! | state | peer id (65) ‖ message id (32) | kind (1) ‖ count (4, big endian) ‖ group (32; zero while it is not known) |
//!
//! The changes of one step belong into one batch. When a record is due next is not kept: a restart is a new chance for all of them.

use super::id::{GroupId, ID_LEN, MessageId, PEER_ID_LEN, PeerId};
use super::payload::Message;

/// Length of the key of a state.
pub const STATE_KEY_LEN: usize = PEER_ID_LEN + ID_LEN;
/// Length of the value of a state.
pub const STATE_LEN: usize = 1 + 4 + ID_LEN;

/// What is going on with one message and one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// We told the peer that we hold it, and wait for its request.
    Offered = 0,
    /// We asked the peer for it.
    Requested = 1,
    /// We send it until the peer acknowledges it.
    Sending = 2,
}

/// A state as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What is going on.
    pub kind: Kind,
    /// How often it was sent. Kept only where it decides whether it may be sent again (see `PeerConfig::legacy`).
    pub count: u32,
    /// The group; `None` for a request that followed an offer.
    pub group: Option<GroupId>,
}

impl State {
    /// The key of a state.
    pub fn key(peer: &PeerId, id: &MessageId) -> [u8; STATE_KEY_LEN] {
        let mut key = [0; STATE_KEY_LEN];
        key[..PEER_ID_LEN].copy_from_slice(peer.bytes());
        key[PEER_ID_LEN..].copy_from_slice(id.bytes());
        key
    }

    /// Peer and message of a key.
    pub fn parse_key(key: &[u8]) -> Option<(PeerId, MessageId)> {
        let (peer, id) = key.split_at_checked(PEER_ID_LEN)?;
        Some((PeerId::from_slice(peer)?, MessageId::from_slice(id)?))
    }

    /// The value.
    pub fn to_bytes(&self) -> [u8; STATE_LEN] {
        let mut bytes = [0; STATE_LEN];
        bytes[0] = self.kind as u8;
        bytes[1..5].copy_from_slice(&self.count.to_be_bytes());
        if let Some(group) = &self.group {
            bytes[5..].copy_from_slice(group.bytes());
        }
        bytes
    }

    /// The state of a value.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, group) = bytes.split_at_checked(5)?;
        let kind = match head[0] {
            0 => Kind::Offered,
            1 => Kind::Requested,
            2 => Kind::Sending,
            3.. => return None,
        };
        let count = u32::from_be_bytes(head[1..].try_into().ok()?);
        let group = GroupId::from_slice(group)?;
        let group = (group.bytes() != &[0; ID_LEN]).then_some(group);
        Some(Self { kind, count, group })
    }
}

/// One change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keep a message.
    PutMessage {
        /// Its id.
        id: MessageId,
        /// The message.
        message: Message,
    },
    /// Its body is not needed any more.
    DeleteMessage {
        /// Its id.
        id: MessageId,
    },
    /// Remember that this message was here.
    PutSeen {
        /// Its id.
        id: MessageId,
        /// Unix seconds.
        until: u64,
    },
    /// Forget it.
    DeleteSeen {
        /// Its id.
        id: MessageId,
    },
    /// Keep a state.
    PutState {
        /// The peer.
        peer: PeerId,
        /// The message.
        id: MessageId,
        /// The state.
        state: State,
    },
    /// The state is over.
    DeleteState {
        /// The peer.
        peer: PeerId,
        /// The message.
        id: MessageId,
    },
}

/// One record read back at a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message that some peer does not have yet. Its body stays on disk.
    Message {
        /// Its id.
        id: MessageId,
        /// Its group.
        group: GroupId,
        /// Length of its entry in a payload ([`Message::entry_len`]).
        entry_len: usize,
    },
    /// A message that was here.
    Seen {
        /// Its id.
        id: MessageId,
        /// Unix seconds.
        until: u64,
    },
    /// A state.
    State {
        /// The peer.
        peer: PeerId,
        /// The message.
        id: MessageId,
        /// The state.
        state: State,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_and_others_do_not() {
        let peer = PeerId::new([4; 65]);
        let id = MessageId::new([5; 32]);
        assert_eq!(State::parse_key(&State::key(&peer, &id)), Some((peer, id)));
        assert_eq!(State::parse_key(&State::key(&peer, &id)[..96]), None);
        for kind in [Kind::Offered, Kind::Requested, Kind::Sending] {
            for group in [None, Some(GroupId::new([9; 32]))] {
                let state = State {
                    kind,
                    count: 70_000,
                    group,
                };
                assert_eq!(State::from_bytes(&state.to_bytes()), Some(state));
            }
        }
        assert_eq!(State::from_bytes(&[3; STATE_LEN]), None);
        assert_eq!(State::from_bytes(&[0; STATE_LEN + 1]), None);
        assert_eq!(State::from_bytes(&[]), None);
    }
}
