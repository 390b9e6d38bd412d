//! The port: what the bridge says to the two networks, and what they say to it.
//!
//! The engine and the gateway client know neither Whisper nor the mixnet. Envelopes come in as
//! opaque RLP with the facts that an [`Inspect`] read from it; objects come in as bytes under a
//! kind and a tag; reply blocks are opaque. Two adapters in the node translate.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

pub use crate::gateway::kinds::{Kind, REPLY_BLOCK_LEN, ReplyBlock, Tag};
pub use crate::gateway::prefix::Prefix;

/// The two clocks, read once per turn of the shell's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The clock for durations and deadlines; it never jumps.
    pub mono: Instant,
    /// The wall clock for expiries and leases, Unix milliseconds.
    pub unix_ms: u64,
}

impl Now {
    /// The wall clock in whole Unix seconds.
    pub fn unix(&self) -> u32 {
        u32::try_from(self.unix_ms / 1000).unwrap_or(u32::MAX)
    }

    /// When the wall clock will show this second, on the clock that does not jump.
    pub(crate) fn when(&self, unix_s: u32) -> Instant {
        let left_ms = (u64::from(unix_s) * 1000).saturating_sub(self.unix_ms);
        self.mono + Duration::from_millis(left_ms)
    }
}

/// Keccak-256 of an envelope's RLP.
pub type EnvelopeHash = [u8; 32];
/// Keccak-256 of an envelope's topic and data: the same for every sealing of one content.
pub type ContentId = [u8; 32];
/// A Whisper topic.
pub type Topic = [u8; 4];

/// What a strict reading of an envelope's RLP says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnvelopeFacts {
    /// Keccak-256 of the RLP.
    pub hash: EnvelopeHash,
    /// Keccak-256 of topic and data.
    pub content_id: ContentId,
    /// The topic.
    pub topic: Topic,
    /// `expiry - ttl`, Unix seconds.
    pub sent: u32,
    /// Unix seconds.
    pub expiry: u32,
    /// Seconds.
    pub ttl: u32,
    /// 20 + length of the data, as Whisper counts it.
    pub size: u32,
    /// The proof of work as Whisper computes it.
    pub pow: f64,
}

/// A whole sealed Whisper envelope.
#[derive(Clone, PartialEq)]
pub struct Envelope {
    /// Its RLP, byte for byte as it was received.
    pub rlp: Arc<[u8]>,
    /// What an [`Inspect`] read from it.
    pub facts: EnvelopeFacts,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({} bytes)", self.rlp.len())
    }
}

/// Reads envelopes strictly, without any policy: no clock, no limits, no required proof of work.
pub trait Inspect {
    /// The facts of an envelope, or which rule of the encoding it breaks.
    fn inspect(&self, rlp: &[u8]) -> Result<EnvelopeFacts, InspectError>;
}

/// Why bytes are no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Not a canonical RLP list of expiry, ttl, topic, data and nonce.
    #[error("the envelope is not canonical RLP: {0}")]
    Malformed(&'static str),
    /// The time to live is zero: its proof of work is not defined.
    #[error("the time to live of the envelope is zero")]
    ZeroTtl,
    /// It would have been sent before the epoch.
    #[error("the time to live {ttl} of the envelope is larger than its expiry {expiry}")]
    TtlBeyondExpiry {
        /// Seconds.
        ttl: u32,
        /// Unix seconds.
        expiry: u32,
    },
}

/// Seal an envelope: the least nonce whose proof of work reaches the target.
#[derive(Debug, Clone, PartialEq)]
pub struct SealJob {
    /// Comes back with the result.
    pub job: u64,
    /// The topic.
    pub topic: Topic,
    /// The encrypted data.
    pub data: Vec<u8>,
    /// Seconds.
    pub ttl: u32,
    /// Unix seconds.
    pub expiry: u32,
    /// The proof of work to reach.
    pub target: f64,
}

/// Why a [`SealJob`] brought no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// It would cost more than one post may.
    #[error("sealing would cost more work than one post may")]
    Cost,
    /// The clock jumped: the expiry may be wrong, and the job is asked for again later with another.
    #[error("the clock is in doubt; nothing is sealed until it is trusted again")]
    Clock,
    /// The workers are busy or going away.
    #[error("the workers take no more jobs")]
    Busy,
}

/// One AEAD box that travels through the mixnet in one or more packets.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// What the box holds.
    pub kind: Kind,
    /// Whose it is.
    pub tag: Tag,
    /// The box.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// The key of a chain of mailbox boxes, which a bridge and its client share for one registration.
#[derive(Clone)]
pub struct ChainSecret(Zeroizing<[u8; 32]>);

impl ChainSecret {
    /// Wraps the key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a field; `None` at any other length than 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_bytes)
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ChainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainSecret")
    }
}

/// The compressed secp256k1 key of a bridge's libp2p identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId(pub [u8; 33]);

impl fmt::Debug for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BridgeId(..)")
    }
}

/// How to reach a bridge: from its signed descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeInfo {
    /// Where objects for it go.
    pub id: BridgeId,
    /// The X25519 key that one-shot boxes are sealed to.
    pub gateway_key: [u8; 32],
}

/// How far an envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Taken from the network or the client that brought it.
    Accepted,
    /// On the disk.
    Committed,
    /// In Whisper, or for an edge: the bridge says so.
    Posted,
    /// Sent over the mixnet, or for an edge: handed to the local client.
    Delivered,
    /// The other side has it on its disk.
    Acked,
    /// Sealed anew after it expired on the way.
    Resealed,
    /// Given up; the reason says why.
    Refused,
}

impl Stage {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Committed => "committed",
            Self::Posted => "posted",
            Self::Delivered => "delivered",
            Self::Acked => "acked",
            Self::Resealed => "resealed",
            Self::Refused => "refused",
        }
    }
}

/// One event in the life of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Which envelope.
    pub hash: EnvelopeHash,
    /// What happened.
    pub stage: Stage,
    /// When, Unix milliseconds.
    pub at_unix_ms: u64,
    /// Why, with [`Stage::Refused`].
    pub reason: Option<&'static str>,
}
