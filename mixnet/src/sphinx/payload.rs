//! LIONESS (spec: LIP-183): a cipher over one large block, so that every changed bit changes all of it.
//!
//! ```text
//! K_j = SHA-256("lioness_key" ‖ digit j ‖ seed), j = 1..4;  block = L (32 bytes) ‖ R
//! encrypt:  R ^= stream(L ^ K1);  L ^= hash(K2, R);  R ^= stream(L ^ K3);  L ^= hash(K4, R)
//! stream(k) = AES-128-CTR, key k[0..16], counter from k[16..32];  hash(k, m) = SHA-256(k ‖ m)
//! ```

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::geometry::{MESSAGE_LEN, PAYLOAD_LEN, PAYLOAD_TAG_LEN};

/// The four round keys of one layer.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Lioness(pub(super) [[u8; HALF]; 4]);

impl Lioness {
    /// Derives the round keys from a seed of 16 bytes or more.
    pub fn new(seed: &[u8]) -> Self {
        Self([b'1', b'2', b'3', b'4'].map(|digit| {
            let hash = Sha256::new().chain_update(b"lioness_key");
            hash.chain_update([digit])
                .chain_update(seed)
                .finalize()
                .into()
        }))
    }

    /// Enciphers a block of more than 32 bytes in place. A shorter one has no right half and stays as it is.
    pub fn encrypt(&self, block: &mut [u8]) {
        if let Some((left, right)) = block.split_first_chunk_mut() {
            let [k1, k2, k3, k4] = &self.0;
            stream(left, k1, right);
            hash(left, k2, right);
            stream(left, k3, right);
            hash(left, k4, right);
        }
    }

    /// Undoes [`Lioness::encrypt`].
    pub fn decrypt(&self, block: &mut [u8]) {
        if let Some((left, right)) = block.split_first_chunk_mut() {
            let [k1, k2, k3, k4] = &self.0;
            hash(left, k4, right);
            stream(left, k3, right);
            hash(left, k2, right);
            stream(left, k1, right);
        }
    }
}

fn stream(left: &[u8; HALF], key: &[u8; HALF], right: &mut [u8]) {
    let mut mixed = Zeroizing::new([0_u8; HALF]);
    for ((mixed, left), key) in mixed.iter_mut().zip(left).zip(key) {
        *mixed = left ^ key;
    }
    apply_ctr(&mixed, right);
}

/// AES-128-CTR under the first half of `key`, counting from the second half.
pub(super) fn apply_ctr(key: &[u8; HALF], data: &mut [u8]) {
    let (mut aes, mut iv) = ([0; 16], [0; 16]);
    aes.copy_from_slice(&key[..16]);
    iv.copy_from_slice(&key[16..]);
    Ctr128BE::<Aes128>::new(&aes.into(), &iv.into()).apply_keystream(data);
    aes.zeroize();
}

pub(super) fn hash(left: &mut [u8; HALF], key: &[u8; HALF], right: &[u8]) {
    let hash = Sha256::new()
        .chain_update(key)
        .chain_update(right)
        .finalize();
    for (left, hash) in left.iter_mut().zip(hash) {
        *left ^= hash;
    }
}

/// Sixteen zero bytes, then the message.
pub(super) fn frame(message: &[u8; MESSAGE_LEN]) -> Box<[u8; PAYLOAD_LEN]> {
    let mut payload = Box::new([0; PAYLOAD_LEN]);
    payload[PAYLOAD_TAG_LEN..].copy_from_slice(message);
    payload
}

/// The message behind sixteen zero bytes; `None` when they are not zero.
pub(super) fn unframe(payload: &[u8; PAYLOAD_LEN]) -> Option<Box<[u8; MESSAGE_LEN]>> {
    let (tag, rest) = payload.split_at(PAYLOAD_TAG_LEN);
    if !bool::from(tag.ct_eq(&[0; PAYLOAD_TAG_LEN])) {
        return None;
    }
    let mut message = Box::new([0; MESSAGE_LEN]);
    message.copy_from_slice(rest);
    Some(message)
}

/// The left half: a SHA-256 hash, and the key and counter of AES-128-CTR.
const HALF: usize = 32;
