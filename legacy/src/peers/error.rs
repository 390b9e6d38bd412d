//! What the policy says no to.

use thiserror::Error;

/// Why a connection is closed without a byte.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Too many of them from there.
    #[error("too many handshakes are pending from this address")]
    PendingFromAddress,
    /// It was here a moment ago.
    #[error("this address connected a moment ago")]
    TooSoon,
    /// Too much came from there that was no good.
    #[error("this address is banned")]
    Banned,
}

impl Refused {
    /// One word for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Refused::PendingFromAddress => "pending_from_address",
            Refused::TooSoon => "too_soon",
            Refused::Banned => "banned",
        }
    }
}

/// Why a peer cannot be kept connected, or trusted.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// It is this node.
    #[error("the enode is this node's own")]
    Ourselves,
    /// It cannot be dialled.
    #[error("the enode has no address that can be dialled")]
    NoAddress,
    /// There are enough.
    #[error("no more than {max} static peers can be kept")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// There are enough.
    #[error("no more than {max} peers can be trusted")]
    TooManyTrusted {
        /// The bound.
        max: usize,
    },
}
