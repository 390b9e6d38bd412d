//! Why a core cannot be opened.

use crate::store::StoreError;

/// Who is to blame for an error, and so who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The other side.
    Peer,
    /// This machine: its disk, its directory.
    Local,
    /// The configuration.
    Config,
    /// This program.
    Bug,
}

/// Why an engine or a client cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store cannot be read.
    #[error("cannot read the store: {0}")]
    Store(#[source] StoreError),
    /// The id of the bridge is not a key.
    #[error("the id of the bridge is not a compressed secp256k1 key")]
    BridgeKey,
    /// A packet has no room.
    #[error("a packet that carries {capacity} bytes of an object cannot carry a box")]
    FrameCapacity {
        /// Bytes.
        capacity: usize,
    },
    /// An edge without a bridge.
    #[error("no bridge is configured")]
    NoBridge,
    /// The limits of the stock of reply blocks do not fit each other.
    #[error("reply blocks: the low mark {low} is not within 1 and the high mark {high}")]
    BlockMarks {
        /// Below so many, more are sent.
        low: usize,
        /// Up to so many.
        high: usize,
    },
}

impl OpenError {
    /// Who is to blame.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Store(_) => Blame::Local,
            Self::BridgeKey | Self::NoBridge | Self::BlockMarks { .. } => Blame::Config,
            Self::FrameCapacity { .. } => Blame::Bug,
        }
    }
}
