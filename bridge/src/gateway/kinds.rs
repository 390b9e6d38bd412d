//! The type and the tag of a frame, which every object of the gateway carries, and reply blocks.
//!
//! A frame begins `version (1) ‖ type (1) ‖ tag (16)`; these 18 bytes are the associated data of the
//! box inside. spec: `mixbridge.proto`, "How messages travel".

use std::fmt;

/// Length of a tag in bytes.
pub const TAG_LEN: usize = 16;
/// Length of a reply block in bytes: a SURB of the mixnet.
pub const REPLY_BLOCK_LEN: usize = 734;

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Nothing; it only looks like traffic.
    Cover = 0x00,
    /// An MVDS payload under a registration.
    Mvds = 0x01,
    /// A request to a bridge.
    Request = 0x02,
    /// A response of a bridge.
    Response = 0x03,
    /// Reply blocks for a registration.
    TopUp = 0x04,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Cover,
        Self::Mvds,
        Self::Request,
        Self::Response,
        Self::TopUp,
    ];

    /// The kind of a type byte. A frame of an unknown type is dropped silently.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// The type byte.
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// Names a registration, or a one-shot exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; TAG_LEN]);

impl Tag {
    /// Wraps the bytes of a tag; every value is a tag.
    pub const fn new(bytes: [u8; TAG_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a tag from a field; `None` at any other length than 16.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; TAG_LEN] {
        &self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// A single-use reply block, opaque to the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplyBlock(Vec<u8>);

impl ReplyBlock {
    /// Takes the bytes of a block; `None` at any other length than [`REPLY_BLOCK_LEN`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == REPLY_BLOCK_LEN).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes up.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for ReplyBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyBlock")
    }
}
