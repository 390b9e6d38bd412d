//! Sphinx packets (spec: LIP-99 packet, LIP-183 payload): every hop learns the next one and nothing else.
//!
//! The maker of a packet agrees on a secret s_i with each hop through one group element alpha, which each hop blinds for the next.
//! From s_i come the keys of the hop: one for its layer of the routing (AES-CTR, and HMAC over what it reads), one for its layer
//! of the payload (LIONESS, a cipher over the whole block, so that a flipped bit destroys the message instead of marking it).
//!
//! - [`build()`]: a packet along a path
//! - [`peel()`]: take one layer off
//! - [`make_surb`], [`Surb`], [`SurbKeys`], [`SurbStock`]: replies to somebody whom the replier cannot find

mod build;
mod curve;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod forge;
mod header;
mod keys;
mod payload;
mod peel;
mod stock;
mod surb;
#[cfg(test)]
mod tests;

use std::fmt;

pub use build::{Hop, build};
pub use keys::{PublicKey, SecretKey};
pub use payload::Lioness;
pub use peel::{Delivered, Peeled, SealedReply, peel, peel_up_to};
pub(crate) use peel::{admit, alpha};
pub use stock::{SURB_TTL, StockFull, SurbStock};
pub use surb::{ReplyKey, Surb, SurbError, SurbId, SurbKeys, make as make_surb};

use crate::error::DropReason;
use crate::geometry::PACKET_LEN;

/// The 4608 bytes of a packet, of which nothing is known but their number.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(Box<[u8; PACKET_LEN]>);

impl Packet {
    /// Takes what came from the wire.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DropReason> {
        <[u8; PACKET_LEN]>::try_from(bytes)
            .map(|packet| Self(Box::new(packet)))
            .map_err(|_| DropReason::Length)
    }

    /// The bytes for the wire.
    pub fn as_bytes(&self) -> &[u8; PACKET_LEN] {
        &self.0
    }

    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; PACKET_LEN]))
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8; PACKET_LEN] {
        &mut self.0
    }
}

impl From<Box<[u8; PACKET_LEN]>> for Packet {
    fn from(bytes: Box<[u8; PACKET_LEN]>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packet")
    }
}
