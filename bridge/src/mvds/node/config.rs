//! What goes into a node and what comes out of it.

use std::time::{Duration, Instant};

use super::SEEN_S;
use crate::mvds::id::{MessageId, PeerId};
use crate::mvds::payload::{BODY_LEN_MAX, Dialect, Message, PayloadError};
use crate::mvds::record::Change;
use crate::mvds::retry::Retry;

/// The two clocks of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For epochs.
    pub mono: Instant,
    /// For what is remembered, Unix seconds.
    pub unix_s: u64,
}

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Length of an epoch; not zero.
    pub tick: Duration,
    /// When a record is sent again.
    pub retry: Retry,
    /// The longest body, own or received.
    pub body_len_max: usize,
    /// How long a message is remembered, seconds.
    pub seen_s: u64,
    /// Whether received messages go on to the other peers of their group.
    pub forward: bool,
    /// Whether acks ride along in later payloads again: where every payload costs a packet of one size, they cost nothing, and a lost
    /// one is made good before its message is repeated. Only for peers that read on after an id that they do not wait for.
    pub echo_acks: bool,
    /// How fast payloads leave once the transport took them.
    pub line: Line,
}

/// The line behind the transport, which lets bytes through at a steady rate. A record is due again only after what was
/// taken with it and before it has left: a large message, or a long queue, must not be repeated while it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Bytes in one epoch; 0: everything leaves at once.
    pub bytes_per_epoch: u64,
    /// What the shortest payload costs: a whole packet.
    pub payload_len_min: u64,
}

impl Line {
    /// No line: everything leaves at once.
    pub const NONE: Self = Self {
        bytes_per_epoch: 0,
        payload_len_min: 0,
    };
    /// Four packets of 3,932 bytes in a second, at ten epochs a second: the fastest preset of the mixnet.
    pub const GATEWAY: Self = Self {
        bytes_per_epoch: 1_573,
        payload_len_min: 3_932,
    };
}

impl Config {
    /// A node on the mixnet.
    pub const MIX: Self = Self {
        tick: Duration::from_secs(1),
        retry: Retry::MIX,
        body_len_max: BODY_LEN_MAX,
        seen_s: SEEN_S,
        forward: true,
        echo_acks: false,
        line: Line::NONE,
    };
    /// The gateway: bodies carry a whole Whisper envelope, and its groups have two members.
    pub const GATEWAY: Self = Self {
        tick: Duration::from_millis(100),
        retry: Retry::GATEWAY,
        body_len_max: 1_048_576 + 64,
        seen_s: SEEN_S,
        forward: false,
        echo_acks: true,
        line: Line::GATEWAY,
    };
}

/// How messages go to a peer of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Offer first, send on request.
    Interactive,
    /// Send at once.
    Batch,
}

/// What has to be known of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerConfig {
    /// The field numbers that it understands.
    pub dialect: Dialect,
    /// Whether it is a Go peer with the bugs of the deployed clients: an OFFER goes to it once ever, requests that are
    /// repeated and acks that are repeated go alone, received messages are not offered to it.
    ///
    /// An OFFER must then be on disk as sent before it leaves: commit what [`Node::taken`](super::Node::taken) puts out first.
    pub legacy: bool,
}

impl PeerConfig {
    /// A peer that follows the specification.
    pub const OURS: Self = Self {
        dialect: Dialect::Published,
        legacy: false,
    };
    /// A deployed client.
    pub const LEGACY: Self = Self {
        dialect: Dialect::Published,
        legacy: true,
    };
}

/// What a node wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Put these changes on disk as one batch, then call [`Node::committed`](super::Node::committed).
    Commit {
        /// Grows by one.
        seq: u64,
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// A message for the application, once. It belongs into the batch of the [`Output::Commit`] of the same step.
    Deliver {
        /// Who sent it.
        from: PeerId,
        /// Its id.
        id: MessageId,
        /// The message.
        message: Message,
    },
    /// The peer has this message.
    Acked {
        /// The peer.
        peer: PeerId,
        /// The message.
        id: MessageId,
    },
    /// The peer gave no sign of life; the record waits for one.
    Parked {
        /// The peer.
        peer: PeerId,
        /// The message.
        id: MessageId,
    },
    /// A message of a payload was not taken.
    Refused {
        /// Who sent it.
        from: PeerId,
        /// Why.
        reason: Refused,
    },
    /// A record was given up: its body is not to be had, or there are too many records.
    Lost {
        /// The peer that will not get it.
        peer: PeerId,
        /// The message.
        id: MessageId,
    },
}

/// Why a received message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Nobody here is in its group.
    UnknownGroup,
    /// Its sender is not in its group.
    NotMember,
}

/// Why a step was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The peer is in no group.
    #[error("the peer is in no group")]
    UnknownPeer,
    /// The group has no members.
    #[error("the group has no members")]
    UnknownGroup,
    /// A bound would be exceeded.
    #[error("{what}: no more than {max}")]
    Full {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The message was here before.
    #[error("the message was here before")]
    Duplicate(MessageId),
    /// The body is longer than the node takes.
    #[error("a body of {len} bytes is longer than the most of {max}")]
    BodyTooLong {
        /// Its length.
        len: usize,
        /// The greatest length.
        max: usize,
    },
    /// The bytes are no payload.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// Where the bodies are: on disk. Asked only for what was committed.
pub trait Bodies {
    /// The message with this id.
    fn load(&self, id: &MessageId) -> Option<Message>;
}
