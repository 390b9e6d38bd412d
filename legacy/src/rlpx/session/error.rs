//! Why a connection breaks, and what the peer is told.

use thiserror::Error;

use super::super::disconnect::DisconnectReason;
use super::super::frame::FrameError;
use super::super::handshake::HandshakeError;
use super::super::snappy::SnappyError;
use super::HelloError;
use crate::error::Blame;
use crate::rlp::RlpError;

/// The rule that was broken.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The first packet is no good.
    #[error(transparent)]
    Handshake(HandshakeError),
    /// A frame is no good.
    #[error(transparent)]
    Frame(FrameError),
    /// The message code is no integer.
    #[error("the message code is malformed: {0}")]
    Code(RlpError),
    /// A payload does not inflate.
    #[error(transparent)]
    Snappy(SnappyError),
    /// The Hello is too long.
    #[error("a Hello of {len} bytes is too long")]
    HelloTooLong {
        /// Its length.
        len: usize,
    },
    /// The Hello is no good.
    #[error(transparent)]
    Hello(HelloError),
    /// Something else came first.
    #[error("the first message has code {code}, not that of a Hello")]
    ExpectedHello {
        /// Its code.
        code: u64,
    },
    /// The Hello names somebody else than the handshake proved.
    #[error("the identity in the Hello is not the one that the handshake proved")]
    UnexpectedIdentity,
    /// Nothing to talk about.
    #[error("no capability is shared")]
    Useless,
    /// A payload that is not compressed is too long.
    #[error("a payload of {len} bytes where at most {max} are expected")]
    Oversized {
        /// Its length.
        len: usize,
        /// The bound of the state.
        max: usize,
    },
    /// A code that belongs to nobody.
    #[error("the message code {code} belongs to no shared capability")]
    UnknownCode {
        /// The code.
        code: u64,
    },
    /// The handshake takes too long.
    #[error("the handshake was not complete in time")]
    HandshakeTimeout,
    /// The peer is silent.
    #[error("no message arrived in time")]
    ReadTimeout,
    /// The peer takes nothing.
    #[error("nothing could be sent in time")]
    WriteTimeout,
    /// We tried to send a message of no shared capability.
    #[error("the message code {code} is not ours to send")]
    NotOurCode {
        /// The code.
        code: u64,
    },
    /// We tried to send more than a frame can carry.
    #[error("a payload of {len} bytes does not fit a frame")]
    PayloadTooLong {
        /// Its length.
        len: usize,
    },
    /// We tried to send before there was anybody to send to.
    #[error("a message was to be sent before the connection was established")]
    NotRunning,
}

impl Error {
    /// What to tell the peer; nothing where others just close as well.
    pub const fn reason(&self) -> Option<DisconnectReason> {
        match self {
            Error::Hello(error) => Some(error.reason()),
            Error::UnexpectedIdentity => Some(DisconnectReason::UnexpectedIdentity),
            Error::Useless => Some(DisconnectReason::UselessPeer),
            Error::Oversized { .. }
            | Error::Snappy(SnappyError::OverLimit { .. })
            | Error::Frame(FrameError::TooLong { .. }) => Some(DisconnectReason::Subprotocol),
            Error::NotOurCode { .. } | Error::PayloadTooLong { .. } => {
                Some(DisconnectReason::Quitting)
            }
            Error::Handshake(_)
            | Error::Frame(_)
            | Error::Code(_)
            | Error::Snappy(_)
            | Error::HelloTooLong { .. }
            | Error::ExpectedHello { .. }
            | Error::UnknownCode { .. }
            | Error::HandshakeTimeout
            | Error::ReadTimeout
            | Error::WriteTimeout
            | Error::NotRunning => None,
        }
    }

    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        match self {
            Error::HandshakeTimeout | Error::ReadTimeout | Error::WriteTimeout => Blame::Local,
            Error::NotOurCode { .. } | Error::PayloadTooLong { .. } | Error::NotRunning => {
                Blame::Bug
            }
            Error::Handshake(_)
            | Error::Frame(_)
            | Error::Code(_)
            | Error::Snappy(_)
            | Error::HelloTooLong { .. }
            | Error::Hello(_)
            | Error::ExpectedHello { .. }
            | Error::UnexpectedIdentity
            | Error::Useless
            | Error::Oversized { .. }
            | Error::UnknownCode { .. } => Blame::Peer,
        }
    }

    /// One word for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Error::Handshake(_) => "handshake",
            Error::Frame(FrameError::HeaderMac) => "header_mac",
            Error::Frame(FrameError::BodyMac) => "body_mac",
            Error::Frame(FrameError::Empty) => "empty_frame",
            Error::Frame(FrameError::TooLong { .. }) => "frame_too_long",
            Error::Code(_) => "code",
            Error::Snappy(_) => "snappy",
            Error::HelloTooLong { .. } => "hello_too_long",
            Error::Hello(_) => "hello",
            Error::ExpectedHello { .. } => "expected_hello",
            Error::UnexpectedIdentity => "unexpected_identity",
            Error::Useless => "useless_peer",
            Error::Oversized { .. } => "oversized",
            Error::UnknownCode { .. } => "unknown_code",
            Error::HandshakeTimeout => "handshake_timeout",
            Error::ReadTimeout => "read_timeout",
            Error::WriteTimeout => "write_timeout",
            Error::NotOurCode { .. } => "not_our_code",
            Error::PayloadTooLong { .. } => "payload_too_long",
            Error::NotRunning => "not_running",
        }
    }
}
