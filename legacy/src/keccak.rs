//! Keccak-256 as Ethereum froze it, before the padding byte of SHA-3 was decided.

use tiny_keccak::{Hasher as _, Keccak};

/// Bytes of a digest.
pub const DIGEST_LEN: usize = 32;

/// The digest of some bytes.
pub fn keccak256(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    let mut hasher = Hasher::new();
    hasher.absorb(bytes);
    hasher.digest()
}

/// A sponge that can be asked for the digest of what it has absorbed so far, again and again, and that can be cloned
/// half-way: the running MACs of RLPx need the first, the search for a proof of work the second.
#[derive(Clone)]
pub struct Hasher(Keccak);

impl Hasher {
    /// A sponge that has absorbed nothing.
    pub fn new() -> Hasher {
        Hasher(Keccak::v256())
    }

    /// Absorbs more bytes.
    pub fn absorb(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything absorbed so far; more can follow.
    pub fn digest(&self) -> [u8; DIGEST_LEN] {
        let mut digest = [0; DIGEST_LEN];
        self.0.clone().finalize(&mut digest);
        digest
    }
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_nothing_is_the_published_one() {
        let expected = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(hex::encode(keccak256(b"")), expected);
    }

    #[test]
    fn digest_does_not_disturb_the_sponge() {
        let mut hasher = Hasher::new();
        hasher.absorb(b"one");
        assert_eq!(hasher.digest(), keccak256(b"one"));
        hasher.absorb(b" two");
        assert_eq!(hasher.digest(), keccak256(b"one two"));
    }
}
