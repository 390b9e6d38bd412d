//! Single-use reply blocks: a finished header that ends at its maker, for somebody who knows nothing else of the maker.
//!
//! ```text
//! block 734 = first hop 94 ‖ header 624 ‖ reply key 16
//! ```
//!
//! The replier seals its message under the reply key. Each hop *deciphers* the payload on the way, so the maker enciphers with
//! the keys of the hops in reverse and then opens with the reply key.

use std::fmt;
use std::ops::DerefMut;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::header::{FinalBlock, Header};
use super::keys::PayloadKey;
use super::payload::{self, Lioness};
use super::{Hop, Packet};
use crate::address::{Address, AddressError};
use crate::error::{BuildError, DropReason};
use crate::geometry::{
    ADDRESS_LEN, DELTA_AT, HEADER_LEN, MESSAGE_LEN, PAYLOAD_LEN, REPLY_KEY_LEN, SURB_ID_LEN,
    SURB_LEN,
};

/// The id under which the maker finds the keys of a reply. Never zero: that marks a forward packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SurbId([u8; SURB_ID_LEN]);

impl SurbId {
    /// From 16 bytes; `None` for zeros.
    pub fn from_bytes(bytes: [u8; SURB_ID_LEN]) -> Option<Self> {
        (bytes != [0; SURB_ID_LEN]).then_some(Self(bytes))
    }

    /// A new id.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; SURB_ID_LEN];
        loop {
            rng.fill_bytes(&mut bytes);
            if let Some(id) = Self::from_bytes(bytes) {
                return id;
            }
        }
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; SURB_ID_LEN] {
        &self.0
    }
}

impl fmt::Debug for SurbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SurbId")
    }
}

/// The key under which the replier seals its message.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ReplyKey([u8; REPLY_KEY_LEN]);

impl ReplyKey {
    /// From 16 bytes.
    pub fn from_bytes(bytes: [u8; REPLY_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; REPLY_KEY_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// Makes a reply block whose path ends at the maker itself, and the keys that open the reply.
///
/// `path`, `delays_ms` and `secret` are as for [`super::build()`].
pub fn make(
    path: &[Hop],
    delays_ms: &[u16],
    secret: &[u8; 32],
    id: SurbId,
    reply_key: ReplyKey,
) -> Result<(Surb, SurbKeys), BuildError> {
    let last = FinalBlock {
        destination: Address::NONE.to_bytes(),
        id: id.0,
    };
    let header = Header::build(path, delays_ms, secret, &last)?;
    let surb = Surb {
        first: path[0].address,
        header: Box::new(header.bytes),
        key: reply_key.clone(),
    };
    let keys = SurbKeys {
        reply: reply_key,
        layers: header.payload_keys,
    };
    Ok((surb, keys))
}

/// A reply block in the hands of the replier: good for one reply, so sealing consumes it.
pub struct Surb {
    first: Address,
    header: Box<[u8; HEADER_LEN]>,
    key: ReplyKey,
}

impl Surb {
    /// The packet that takes `message` to the maker of the block, and where it goes first.
    pub fn seal(self, message: &[u8; MESSAGE_LEN]) -> (Packet, Address) {
        let mut packet = Packet::zeroed();
        let bytes = packet.as_mut();
        bytes[..DELTA_AT].copy_from_slice(&*self.header);
        bytes[DELTA_AT..].copy_from_slice(&*payload::frame(message));
        Lioness::new(&self.key.0).encrypt(&mut bytes[DELTA_AT..]);
        (packet, self.first)
    }

    /// The first hop of the reply.
    pub fn first_hop(&self) -> &Address {
        &self.first
    }

    /// The block as it travels.
    pub fn to_bytes(&self) -> [u8; SURB_LEN] {
        let mut bytes = [0; SURB_LEN];
        bytes[..ADDRESS_LEN].copy_from_slice(&self.first.to_bytes());
        bytes[ADDRESS_LEN..KEY_AT].copy_from_slice(&*self.header);
        bytes[KEY_AT..].copy_from_slice(&self.key.0);
        bytes
    }

    /// A block that came from its maker. Only the first hop can be checked: the header is for the relays to read.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SurbError> {
        let bytes: &[u8; SURB_LEN] = bytes
            .try_into()
            .map_err(|_| SurbError::Length(bytes.len()))?;
        let (first, rest) = bytes
            .split_first_chunk::<ADDRESS_LEN>()
            .expect("a block starts with an address");
        let first = Address::from_bytes(first).map_err(SurbError::FirstHop)?;
        if first.is_none() {
            return Err(SurbError::FirstHop(AddressError::Missing));
        }
        let mut header = Box::new([0; HEADER_LEN]);
        header.copy_from_slice(&rest[..HEADER_LEN]);
        let mut key = [0; REPLY_KEY_LEN];
        key.copy_from_slice(&rest[HEADER_LEN..]);
        Ok(Self {
            first,
            header,
            key: ReplyKey(key),
        })
    }
}

impl fmt::Debug for Surb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surb")
    }
}

/// What the maker of a reply block keeps.
pub struct SurbKeys {
    reply: ReplyKey,
    layers: Vec<PayloadKey>,
}

impl SurbKeys {
    /// Opens a reply. The keys stay good when it is corrupt: whoever touched it on the way must not cost the real reply.
    pub fn open(
        &self,
        mut delta: impl DerefMut<Target = [u8; PAYLOAD_LEN]>,
    ) -> Result<Box<[u8; MESSAGE_LEN]>, DropReason> {
        for key in self.layers.iter().rev() {
            Lioness::new(&key.0).encrypt(&mut *delta);
        }
        Lioness::new(&self.reply.0).decrypt(&mut *delta);
        payload::unframe(&delta).ok_or(DropReason::ReplyCorrupt)
    }

    /// What the last hop finds when `reply` has passed all hops, as a vector without the secrets of the hops needs it.
    #[cfg(feature = "vectors")]
    pub(crate) fn after_all_hops(&self, reply: &Packet) -> Box<[u8; PAYLOAD_LEN]> {
        let mut delta = Box::new([0; PAYLOAD_LEN]);
        delta.copy_from_slice(&reply.as_bytes()[DELTA_AT..]);
        for key in &self.layers {
            Lioness::new(&key.0).decrypt(&mut *delta);
        }
        delta
    }
}

impl fmt::Debug for SurbKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SurbKeys")
    }
}

/// Why bytes are no reply block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SurbError {
    /// Not 734 bytes.
    #[error("a reply block of {0} bytes: it must have 734")]
    Length(usize),
    /// The first hop cannot be reached.
    #[error("the first hop of a reply block: {0}")]
    FirstHop(AddressError),
}

const KEY_AT: usize = ADDRESS_LEN + HEADER_LEN;
