//! The proof of admission: a little work for each identity, so that a million of them are not free.
//!
//! ```text
//! SHA-256("ferry node id" ‖ peer key 33 ‖ nonce u64 BE) starts with ADMISSION_BITS zero bits
//! ```
//!
//! The hash is one block of SHA-256, so checking it costs far less than the signature that is checked after it. The work is for
//! the identity, not for the descriptor: a node does it once. It is no protection from somebody who rents machines; the delay
//! between registration and duty, and a beacon that cannot be foreseen, are (spec: section 3.2).

use sha2::{Digest, Sha256};

use crate::address::PeerKey;

/// Leading zero bits: 65,536 hashes on average, some ten milliseconds.
pub const ADMISSION_BITS: u32 = 16;

const DOMAIN: &[u8] = b"ferry node id";

/// The nonce that admits an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(pub u64);

impl Proof {
    /// The first nonce that admits `peer`.
    pub fn search(peer: &PeerKey) -> Self {
        let mut proof = Self(0);
        while !proof.admits(peer) {
            proof.0 = proof.0.wrapping_add(1);
        }
        proof
    }

    /// Whether it is good for `peer`.
    pub fn admits(self, peer: &PeerKey) -> bool {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(peer.as_bytes())
            .chain_update(self.0.to_be_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        u32::from_be_bytes([a, b, c, d]).leading_zeros() >= ADMISSION_BITS
    }
}
