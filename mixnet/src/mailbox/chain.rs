//! Chains of boxes: what a writer and a reader derive from the key that they share.
//!
//! ```text
//! i     = index of the box in its chain, 8 bytes, big-endian
//! proof = HMAC-SHA256(k, i)                       shown by whoever writes
//! id    = SHA-256(proof)                          shown by whoever reads
//! key   = HMAC-SHA256(k, "cell" ‖ i)              of the cell in the box
//! nonce = HMAC-SHA256(k, "nonce" ‖ i ‖ content)   its first 12 bytes
//! ```
//!
//! Who knows an id cannot write to it, and two ids do not look related.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The secret that a writer and a reader share.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChainKey([u8; 32]);

impl ChainKey {
    /// From 32 bytes that nobody else knows.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What opens the box of this index to one write.
    pub fn proof(&self, index: u64) -> WriteProof {
        WriteProof(self.mac(&[&index.to_be_bytes()]))
    }

    /// The box of this index.
    pub fn box_id(&self, index: u64) -> BoxId {
        self.proof(index).box_id()
    }

    /// The key of the cell in the box of this index.
    pub(super) fn cell_key(&self, index: u64) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.mac(&[b"cell", &index.to_be_bytes()]))
    }

    /// The nonce of a cell: it follows from the content, so that one content is sealed into one cell however often, and two contents
    /// never meet under one nonce.
    pub(super) fn nonce(&self, index: u64, content: &[u8]) -> [u8; NONCE_LEN] {
        let mac = self.mac(&[b"nonce", &index.to_be_bytes(), content]);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&mac[..NONCE_LEN]);
        nonce
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey")
    }
}

/// Names a box.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoxId([u8; BOX_ID_LEN]);

impl BoxId {
    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; BOX_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; BOX_ID_LEN] {
        &self.0
    }
}

impl fmt::Debug for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxId")
    }
}

/// Opens one box to one write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WriteProof([u8; BOX_ID_LEN]);

impl WriteProof {
    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; BOX_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; BOX_ID_LEN] {
        &self.0
    }

    /// The box that it opens.
    pub fn box_id(&self) -> BoxId {
        BoxId(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for WriteProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteProof")
    }
}

/// Bytes of a box id, and of a proof.
pub const BOX_ID_LEN: usize = 32;

/// Bytes of a nonce of ChaCha20-Poly1305.
pub(super) const NONCE_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_keys_make_boxes_of_their_own() {
        let (one, other) = (ChainKey::from_bytes([1; 32]), ChainKey::from_bytes([2; 32]));
        let mut ids: Vec<_> = [0, 1, 2, 255, 256, u64::MAX]
            .into_iter()
            .flat_map(|index| [one.box_id(index), other.box_id(index)])
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 12);
        assert_eq!(one.proof(7).box_id(), one.box_id(7));
    }

    #[test]
    fn secrets_do_not_print() {
        let key = ChainKey::from_bytes([0xab; 32]);
        let shown = format!("{key:?} {:?} {:?}", key.proof(1), key.box_id(1));
        assert_eq!(shown, "ChainKey WriteProof BoxId");
    }
}
