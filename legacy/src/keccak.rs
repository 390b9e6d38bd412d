//! Keccak-256 as Ethereum froze it, before the padding byte of SHA-3 was decided.
//!
//! What does the work is `tiny-keccak`. Where the processor has AVX-512 it is registers that hold a plane of one state
//! each, and where there are many inputs, as in a bundle of envelopes or in the search for a proof of work,
//! [`keccak256_each`] and [`Tries`] use eight lanes: the benches say by how much.

use tiny_keccak::{Hasher as _, Keccak};

use self::planes::Sponge;

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(not(target_arch = "x86_64"))]
#[path = "keccak/no_lanes.rs"]
mod lanes;

#[cfg(target_arch = "x86_64")]
mod planes;
#[cfg(not(target_arch = "x86_64"))]
#[path = "keccak/no_planes.rs"]
mod planes;

/// Bytes of a digest.
pub const DIGEST_LEN: usize = 32;

/// The digest of some bytes.
pub fn keccak256(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    let mut hasher = Hasher::new();
    hasher.absorb(bytes);
    hasher.digest()
}

/// How many inputs take the time of one.
pub fn side_by_side() -> usize {
    if lanes::are_there() { lanes::LANES } else { 1 }
}

/// The digests of some inputs, in their order.
pub fn keccak256_each(inputs: &[&[u8]]) -> Vec<[u8; DIGEST_LEN]> {
    let mut digests = Vec::with_capacity(inputs.len());
    for some in inputs.chunks(lanes::LANES) {
        // Lanes take the time of one input, so they do not pay for one.
        let found = (some.len() > 1).then(|| lanes::digests(some)).flatten();
        match found {
            Some(found) => digests.extend_from_slice(&found[..some.len()]),
            None => digests.extend(some.iter().map(|input| keccak256(input))),
        }
    }
    digests
}

/// Digests of one prefix with many nonces behind it, eight bytes big-endian each.
#[derive(Clone)]
pub struct Tries {
    prefix: Hasher,
    lanes: Option<lanes::Nonces>,
}

impl Tries {
    /// Absorbs the prefix.
    pub fn new(prefix: &[u8]) -> Tries {
        let mut sponge = Hasher::new();
        sponge.absorb(prefix);
        Tries {
            prefix: sponge,
            lanes: lanes::Nonces::new(prefix),
        }
    }

    /// The digest with this nonce.
    pub fn digest(&self, nonce: u64) -> [u8; DIGEST_LEN] {
        let mut sponge = self.prefix.clone();
        sponge.absorb(&nonce.to_be_bytes());
        sponge.digest()
    }

    /// The first of these nonces whose digest starts with so many zero bits.
    pub fn first_with_zeros(&self, from: u64, tries: u64, bits: u16) -> Option<u64> {
        let end = from.saturating_add(tries);
        let suffices = |nonce: &u64| zero_bits(&self.digest(*nonce)) >= bits;
        let Some(lanes) = &self.lanes else {
            return (from..end).find(suffices);
        };
        let step = lanes::LANES as u64;
        let mut next = from;
        while end - next >= step {
            let heads = lanes.heads(next);
            // A head shows the first 64 bits; more than that is nothing that anybody finds, but it is asked for.
            let promising = heads
                .iter()
                .zip(next..)
                .filter(|(head, _)| head.leading_zeros() >= u32::from(bits.min(64)));
            if let Some(nonce) = promising.map(|(_, nonce)| nonce).find(suffices) {
                return Some(nonce);
            }
            next += step;
        }
        (next..end).find(suffices)
    }
}

/// Leading zero bits of a digest.
pub fn zero_bits(digest: &[u8; DIGEST_LEN]) -> u16 {
    let mut bits = 0;
    for byte in digest {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    u16::try_from(bits).expect("a digest has 256 bits")
}

/// A sponge that can be asked for the digest of what it has absorbed so far, again and again, and that can be cloned
/// half-way: the running MACs of RLPx need the first, the search for a proof of work the second.
#[derive(Clone)]
pub struct Hasher(Inner);

#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "on one machine all are of one kind"
)]
enum Inner {
    Planes(Sponge),
    Words(Keccak),
}

impl Hasher {
    /// A sponge that has absorbed nothing.
    pub fn new() -> Hasher {
        Hasher(Sponge::new().map_or_else(|| Inner::Words(Keccak::v256()), Inner::Planes))
    }

    /// The same without instructions that not every processor has.
    #[cfg(test)]
    fn of_words() -> Hasher {
        Hasher(Inner::Words(Keccak::v256()))
    }

    /// Absorbs more bytes.
    pub fn absorb(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Planes(sponge) => sponge.absorb(bytes),
            Inner::Words(sponge) => sponge.update(bytes),
        }
    }

    /// The digest of everything absorbed so far; more can follow.
    pub fn digest(&self) -> [u8; DIGEST_LEN] {
        match &self.0 {
            Inner::Planes(sponge) => sponge.digest(),
            Inner::Words(sponge) => {
                let mut digest = [0; DIGEST_LEN];
                sponge.clone().finalize(&mut digest);
                digest
            }
        }
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
    fn whatever_does_the_work_the_digests_are_the_same() {
        let bytes: Vec<u8> = (0..2_000u32).map(|n| (n * 7 % 251) as u8).collect();
        for cuts in [
            [0, 0],
            [1, 1],
            [7, 9],
            [8, 136],
            [135, 137],
            [136, 272],
            [300, 301],
        ] {
            for len in [0, 1, 8, 135, 136, 137, 271, 272, 273, 540, 2_000] {
                let (mut fast, mut plain) = (Hasher::new(), Hasher::of_words());
                let mut from = 0;
                for cut in cuts.into_iter().chain([len]) {
                    let to = len.min(cut).max(from);
                    fast.absorb(&bytes[from..to]);
                    plain.absorb(&bytes[from..to]);
                    from = to;
                    assert_eq!(fast.digest(), plain.digest(), "{cuts:?} {len}");
                }
            }
        }
    }

    #[test]
    fn many_at_once_are_each_as_alone() {
        let bytes: Vec<u8> = (0..1_000u32).map(|n| (n * 7 % 251) as u8).collect();
        let around_blocks = [0, 1, 135, 136, 137, 271, 272, 273, 540, 1000];
        for count in [1, 2, 7, 8, 9, 17] {
            let inputs: Vec<&[u8]> = (0..count)
                .map(|at| &bytes[..around_blocks[(at * 3 + count) % around_blocks.len()]])
                .collect();
            let alone: Vec<_> = inputs.iter().map(|input| keccak256(input)).collect();
            assert_eq!(keccak256_each(&inputs), alone, "{count}");
        }
        assert_eq!(keccak256_each(&[]).len(), 0);
    }

    #[test]
    fn tries_find_what_one_try_after_the_other_finds() {
        for len in (100..=280).chain([0, 1, 1_000]) {
            let prefix = vec![3; len];
            let tries = Tries::new(&prefix);
            let from = (len as u64 % 3) << 40;
            let plain = (from..=from.saturating_add(300)).find(|nonce| {
                let whole = [&prefix[..], &nonce.to_be_bytes()].concat();
                zero_bits(&keccak256(&whole)) >= 5
            });
            assert_eq!(tries.first_with_zeros(from, 301, 5), plain, "{len}");
        }
        let tries = Tries::new(b"prefix");
        assert_eq!(tries.first_with_zeros(0, 1_000, 256), None);
        assert_eq!(tries.first_with_zeros(9, 0, 0), None);
        assert_eq!(tries.first_with_zeros(9, 1, 0), Some(9));
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
