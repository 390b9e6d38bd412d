//! Proof of work of an envelope.
//!
//! ```text
//! h   = keccak256( RLP[expiry, ttl, topic, data] ‖ nonce, 8 bytes big-endian )
//! pow = (2^(leading zero bits of h) / length of that RLP) / seconds of life
//! ```
//!
//! The seconds of life are the ttl, and for an envelope from the (allowed) future the clock difference plus one more.
//! The nonce is absorbed last, so a search absorbs the prefix once and clones the sponge: one permutation a try.
//! This is the form of geth since 1.9.0. The one before it can be checked as well, for peers that never changed:
//!
//! ```text
//! h   = keccak256( keccak256(that RLP) ‖ 24 zero bytes ‖ nonce, 8 bytes big-endian )
//! pow = (2^(trailing zero bits of h) / (20 + length of the data)) / seconds of life
//! ```
//!
//! Spec: Whisper v6 proof of work.

use thiserror::Error;

use super::limits::{ENVELOPE_HEADER_LEN, SEARCH_SLICE};
use crate::keccak::{self, Hasher, Tries};

/// The work of an envelope whose hash starts with so many zero bits.
///
/// The two divisions keep their order: peers compare the resulting double without tolerance.
pub fn pow(zero_bits: u16, short_len: usize, life_seconds: u32) -> f64 {
    power_of_two(zero_bits) / short_len as f64 / f64::from(life_seconds)
}

/// `2^bits` as a double, exactly.
fn power_of_two(bits: u16) -> f64 {
    f64::from_bits((1023 + u64::from(bits.min(1023))) << 52)
}

/// Zero bits that the canonical sealing needs: the formula that every Go peer mines by.
pub fn canonical_bits(target: f64, data_len: usize, ttl: u32) -> u16 {
    bits_for(target * (ENVELOPE_HEADER_LEN + data_len) as f64 * f64::from(ttl))
}

/// Zero bits that our own envelopes need, so that receivers see at least the target even where the real prefix is
/// longer than the formula of the Go peers assumes, or where their clock is `behind` seconds late.
pub fn mining_bits(target: f64, short_len: usize, ttl: u32, behind: u32) -> u16 {
    let life = if behind == 0 {
        f64::from(ttl)
    } else {
        f64::from(ttl) + f64::from(behind) + 1.0
    };
    bits_for(target * short_len as f64 * life)
}

/// `max(1, ceil(log2(work)))`, read off the exponent so that every machine finds the same number.
fn bits_for(work: f64) -> u16 {
    if work.is_nan() || work <= 2.0 {
        return 1;
    }
    let bits = work.to_bits();
    let exponent = (bits >> 52 & 0x7ff) - 1023;
    let round_up = u64::from(bits & ((1 << 52) - 1) != 0);
    u16::try_from(exponent + round_up).expect("an eleven-bit exponent fits 16 bits")
}

/// Leading zero bits of a hash.
pub fn zero_bits(hash: &[u8; 32]) -> u16 {
    keccak::zero_bits(hash)
}

/// The hash that proves an envelope's work.
pub fn proof(short_parts: &[&[u8]], nonce: u64) -> [u8; 32] {
    let mut sponge = Hasher::new();
    short_parts.iter().for_each(|part| sponge.absorb(part));
    finish(sponge, nonce)
}

/// Zero bits of the older form: those at the end of its hash.
pub fn old_zero_bits(short_parts: &[&[u8]], nonce: u64) -> u16 {
    let mut sponge = Hasher::new();
    short_parts.iter().for_each(|part| sponge.absorb(part));
    let mut second = Hasher::new();
    second.absorb(&sponge.digest());
    second.absorb(&[0; 24]);
    let mut hash = finish(second, nonce);
    hash.reverse();
    let whole = hash.iter().take_while(|byte| **byte == 0).count();
    let rest = hash.get(whole).map_or(0, |byte| byte.trailing_zeros());
    let bits = whole * 8 + usize::try_from(rest).expect("a byte has eight bits");
    u16::try_from(bits).expect("a hash has 256 bits")
}

fn finish(mut sponge: Hasher, nonce: u64) -> [u8; 32] {
    sponge.absorb(&nonce.to_be_bytes());
    sponge.digest()
}

/// A search for the least nonce that proves a number of zero bits: the same one for everybody who seals the same bytes.
#[derive(Clone)]
pub struct Search {
    tries: Tries,
    bits: u16,
    next: u64,
}

/// Where a search stands after a budget of tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The least nonce that suffices.
    Found(u64),
    /// All tries are used up, and the search can go on.
    Unfinished,
}

/// Why a search ended without a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The budget is spent.
    #[error("no nonce with {bits} zero bits within {tried} tries")]
    BudgetSpent {
        /// Zero bits sought.
        bits: u16,
        /// Tries made.
        tried: u64,
    },
    /// The caller asked to stop.
    #[error("the search for {bits} zero bits was stopped after {tried} tries")]
    Stopped {
        /// Zero bits sought.
        bits: u16,
        /// Tries made.
        tried: u64,
    },
}

impl Search {
    /// Prepares a search over `RLP[expiry, ttl, topic, data]`.
    pub fn new(short_rlp: &[u8], bits: u16) -> Search {
        Search {
            tries: Tries::new(short_rlp),
            bits,
            next: 0,
        }
    }

    /// Tries so many further nonces.
    pub fn advance(&mut self, tries: u64) -> Progress {
        match self.look(self.next, tries) {
            Some(nonce) => {
                self.next = nonce;
                Progress::Found(nonce)
            }
            None => {
                self.next = self.next.saturating_add(tries);
                Progress::Unfinished
            }
        }
    }

    /// The first of so many nonces that suffices. Several workers may look through different nonces at once.
    pub fn look(&self, from: u64, tries: u64) -> Option<u64> {
        self.tries.first_with_zeros(from, tries, self.bits)
    }

    /// Tries nonces until one suffices, the budget is spent, or `stop` says so (asked every [`SEARCH_SLICE`] tries).
    pub fn run(mut self, budget: u64, stop: impl Fn() -> bool) -> Result<u64, SearchError> {
        let bits = self.bits;
        while self.next < budget {
            if stop() {
                return Err(SearchError::Stopped {
                    bits,
                    tried: self.next,
                });
            }
            let slice = SEARCH_SLICE.min(budget - self.next);
            if let Progress::Found(nonce) = self.advance(slice) {
                return Ok(nonce);
            }
        }
        Err(SearchError::BudgetSpent {
            bits,
            tried: self.next,
        })
    }

    /// Zero bits sought.
    pub fn bits(&self) -> u16 {
        self.bits
    }
}

/// Whether a value may stand for a proof of work: a number, finite and not negative. Minus zero passes, as at every peer.
pub fn is_valid(pow: f64) -> bool {
    pow.is_finite() && pow >= 0.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Expiry 0, ttl 1, topic 00000000, data deadbeef.
    const GETH_SHORT: &str = "cc8001840000000084deadbeef";
    /// Expiry 1600000015, ttl 15, topic 70a4beef, data 00..1f.
    const SHORT: &str = "ec845f5e100f0f8470a4beefa0000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn geth_vectors() {
        let short = hex::decode(GETH_SHORT).unwrap();
        let bits = |nonce| zero_bits(&proof(&[&short], nonce));
        assert_eq!((bits(100_000), bits(276)), (0, 8));
        assert_eq!(pow(0, short.len(), 1), 0.076_923_076_923_076_93);
        assert_eq!(pow(8, short.len(), 1), 19.692_307_692_307_693);
        let expected = "00e2374c6353c243e4073e209a7f2acb2506522af318b3b78cf9a88310a2a11c";
        assert_eq!(
            hex::encode(proof(&[&short[..5], &short[5..]], 276)),
            expected
        );
    }

    #[test]
    fn least_nonce_and_skew() {
        let short = hex::decode(SHORT).unwrap();
        assert_eq!(Search::new(&short, 8).run(1 << 20, || false), Ok(309));
        assert_eq!(pow(8, short.len(), 15), 0.379_259_259_259_259_3);
        assert_eq!(pow(8, short.len(), 21), 0.270_899_470_899_470_9);
    }

    #[test]
    fn the_older_form_counts_from_the_other_end() {
        let short = hex::decode(SHORT).unwrap();
        assert_eq!(old_zero_bits(&[&short[..7], &short[7..]], 309), 0);
        assert_eq!(pow(0, 20 + 32, 15), 0.001_282_051_282_051_282);
        let nonce = (0..)
            .find(|nonce| old_zero_bits(&[&short], *nonce) >= 9)
            .unwrap();
        assert!(old_zero_bits(&[&short], nonce) >= 9);
        assert!(
            zero_bits(&proof(&[&short], nonce)) < 9,
            "one says nothing of the other"
        );
    }

    #[test]
    fn canonical_bits_of_published_envelopes() {
        assert_eq!(canonical_bits(0.002, 64, 90), 4);
        assert_eq!(canonical_bits(0.002, 284, 10), 3);
        assert_eq!(canonical_bits(0.002, 284, 15), 4);
        assert_eq!(canonical_bits(10.0, 290, 1), 12);
    }

    #[test]
    fn bits_round_up_and_never_vanish() {
        let cases = [
            (0.0, 1),
            (-1.0, 1),
            (f64::NAN, 1),
            (1.0, 1),
            (2.0, 1),
            (2.000_1, 2),
            (4.0, 2),
            (4.1, 3),
            (1024.0, 10),
        ];
        for (work, expected) in cases {
            assert_eq!(bits_for(work), expected, "{work}");
        }
        assert_eq!(bits_for(f64::INFINITY), 1024);
    }

    #[test]
    fn a_search_can_be_cut_short() {
        let short = hex::decode(SHORT).unwrap();
        let search = Search::new(&short, 8);
        assert_eq!(
            search.clone().run(309, || false),
            Err(SearchError::BudgetSpent {
                bits: 8,
                tried: 309
            })
        );
        assert_eq!(search.clone().run(310, || false), Ok(309));
        assert_eq!(
            search.clone().run(1 << 20, || true),
            Err(SearchError::Stopped { bits: 8, tried: 0 })
        );
        let mut slices = search;
        assert_eq!(slices.advance(300), Progress::Unfinished);
        assert_eq!(slices.advance(300), Progress::Found(309));
        assert_eq!(slices.advance(1), Progress::Found(309));
    }

    #[test]
    fn invalid_requirements() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1] {
            assert!(!is_valid(bad), "{bad}");
        }
        for good in [0.0, -0.0, 5e-324, 0.002, 1e300] {
            assert!(is_valid(good), "{good}");
        }
    }

    proptest! {
        #[test]
        fn our_bits_reach_the_target(target in 1e-6f64..5.0, short_len in 13usize..5_000, ttl in 1u32..200_000, behind in 0u32..11) {
            let bits = mining_bits(target, short_len, ttl, behind);
            let life = if behind == 0 { ttl } else { ttl + behind + 1 };
            prop_assert!(pow(bits, short_len, life) >= target * (1.0 - 1e-12));
            prop_assert!(bits == 1 || pow(bits - 1, short_len, life) < target * (1.0 + 1e-12));
        }
    }
}
