//! The keys of a mix, and the keys that it shares with the maker of one packet.
//!
//! From the shared secret s: `aes_key`, `iv`, `mac_key` are the first 16 bytes of SHA-256(label ‖ s), the payload key is all 32
//! bytes of SHA-256("payload_enc_key" ‖ s), and SHA-256(s) is the replay tag.

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::curve;
use crate::geometry::K;
use crate::replay::ReplayTag;

/// The X25519 secret of a mix.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// From 32 bytes; they are clamped where they are used.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The key for the descriptor.
    pub fn public(&self) -> PublicKey {
        PublicKey(MontgomeryPoint::mul_base_clamped(self.0).0)
    }

    /// The secret bytes, for the file that keeps them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// The X25519 public key of a mix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From 32 bytes, unchecked: a key that cannot be used is refused when a packet is built for it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The u-coordinate, little-endian.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a packet can be built for it: it is canonical, and not of low order.
    pub fn is_usable(&self) -> bool {
        curve::is_usable(self)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.0[..4]))
    }
}

/// s: what a hop and the maker of a packet share. Never all zero.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct SharedSecret(pub(super) [u8; 32]);

impl SharedSecret {
    pub(super) fn tag(&self) -> ReplayTag {
        ReplayTag::from_bytes(Sha256::digest(self.0).into())
    }

    pub(super) fn header_keys(&self) -> HeaderKeys {
        HeaderKeys {
            aes: kdf16(b"aes_key", &self.0),
            iv: kdf16(b"iv", &self.0),
            mac: kdf16(b"mac_key", &self.0),
        }
    }

    pub(super) fn payload_key(&self) -> PayloadKey {
        PayloadKey(kdf(b"payload_enc_key", &self.0))
    }

    /// H(alpha ‖ s), by which alpha is multiplied for the next hop.
    pub(super) fn blinding(&self, alpha: &[u8; 32]) -> [u8; 32] {
        let hash = Sha256::new().chain_update(alpha).chain_update(self.0);
        hash.finalize().into()
    }
}

/// The keys of one layer of the routing.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct HeaderKeys {
    pub(super) aes: [u8; K],
    pub(super) iv: [u8; K],
    pub(super) mac: [u8; K],
}

/// The LIONESS seed of one layer of the payload.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct PayloadKey(pub(super) [u8; 32]);

/// SHA-256(label ‖ s), without a separator.
pub(super) fn kdf(label: &[u8], secret: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(label).chain_update(secret);
    hash.finalize().into()
}

fn kdf16(label: &[u8], secret: &[u8; 32]) -> [u8; K] {
    let mut long = kdf(label, secret);
    let mut key = [0; K];
    key.copy_from_slice(&long[..K]);
    long.zeroize();
    key
}
