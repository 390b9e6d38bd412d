//! The tags of the packets that a key has seen (spec: LIP-99 replay protection).
//!
//! A tag is H(s), s being the shared secret: the MAC covers s, while alpha can be replaced by its torsion twin. A tag is stored
//! only after the MAC has verified, so that nobody fills the store with garbage, and it is never forgotten while the key lives:
//! a full store refuses new packets. Store and key are dropped together.
//!
//! The store keeps a fingerprint of 40 bits of each tag, enciphered under a key of its own: a table of five-byte places with linear
//! probing, in which the fingerprint also says where it belongs. The key keeps a sender from choosing tags that fall into one place.
//! A packet is taken for a replay by accident when its fingerprint is there already: once in 2^40 / tags, which is one packet in
//! 800,000 when the store is full. It is then lost like any other lost packet.
//!
//! ```text
//! fingerprint 5 = first 40 bits of AES-128(store key, tag[0..16]), never 0
//! place         = fingerprint · places / 2^40, or the next free one
//! ```

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroize;

use crate::sphinx::SecretKey;

/// H(s) of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReplayTag([u8; 32]);

impl ReplayTag {
    /// From H(s).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the tag.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What a store keeps of a tag, and what a file of tags consists of. Without the store's key it says nothing about the tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; FINGERPRINT_LEN]);

impl Fingerprint {
    /// From its five bytes; `None` for zeros, which mark an empty place.
    pub fn from_bytes(bytes: [u8; FINGERPRINT_LEN]) -> Option<Self> {
        (bytes != EMPTY).then_some(Self(bytes))
    }

    /// The five bytes.
    pub fn as_bytes(&self) -> &[u8; FINGERPRINT_LEN] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// What a peeler needs to know of the packets before.
pub trait Replay {
    /// Whether the tag is stored.
    fn seen(&self, tag: &ReplayTag) -> bool;

    /// Stores the tag of a packet whose MAC has verified.
    fn insert(&mut self, tag: &ReplayTag) -> Result<(), ReplayError>;
}

/// Why a tag is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// The store holds as many tags as it may.
    #[error("the replay store is full")]
    Full,
    /// The tag is there already.
    #[error("the packet was seen before")]
    Duplicate,
}

/// The bounded store of one mix key.
pub struct ReplayStore {
    cipher: Aes128,
    /// Fingerprints in ascending order, but for those that found their place taken.
    places: Vec<[u8; FINGERPRINT_LEN]>,
    len: usize,
    places_max: usize,
}

impl ReplayStore {
    /// A store of at most [`STORE_BYTES_MAX`], with `seed` as the key of its fingerprints.
    pub fn new(seed: [u8; 16]) -> Self {
        Self::with_places_max(seed, STORE_BYTES_MAX / FINGERPRINT_LEN)
    }

    /// The store of a mix key: the same fingerprints every time that the node starts with this key.
    pub fn of(key: &SecretKey) -> Self {
        let mut hash: [u8; 32] = Sha256::new()
            .chain_update(b"ferry replay fingerprints")
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let mut seed = [0; 16];
        seed.copy_from_slice(&hash[..16]);
        hash.zeroize();
        let store = Self::new(seed);
        seed.zeroize();
        store
    }

    fn with_places_max(seed: [u8; 16], places_max: usize) -> Self {
        Self {
            cipher: Aes128::new(&seed.into()),
            places: vec![EMPTY; PLACES_FIRST.min(places_max)],
            len: 0,
            places_max,
        }
    }

    /// Tags in the store.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no packet was seen yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tags that the store can hold.
    pub fn capacity(&self) -> usize {
        load_max(self.places_max)
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.places.len() * FINGERPRINT_LEN
    }

    /// What the store keeps of `tag`.
    pub fn fingerprint(&self, tag: &ReplayTag) -> Fingerprint {
        let mut block = [0; 16];
        block.copy_from_slice(&tag.0[..16]);
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);
        let mut print = EMPTY;
        print.copy_from_slice(&block[..FINGERPRINT_LEN]);
        Fingerprint::from_bytes(print).unwrap_or(Fingerprint([1, 0, 0, 0, 0]))
    }

    /// Stores what an earlier run of the node has stored. Takes more than the capacity if it must: nothing is forgotten.
    pub fn restore(&mut self, print: Fingerprint) {
        if self.find(print).is_some_and(|at| self.places[at] == EMPTY) {
            if self.len >= load_max(self.places.len()) {
                self.grow(usize::MAX);
            }
            self.place(print);
        }
    }

    /// The place that holds `print`, or the empty one where it belongs. The load limit keeps an empty one in every table.
    fn find(&self, print: Fingerprint) -> Option<usize> {
        let mut at = home(print, self.places.len());
        for _ in 0..self.places.len() {
            let found = self.places.get(at)?;
            if *found == EMPTY || *found == print.0 {
                return Some(at);
            }
            at += 1;
            if at == self.places.len() {
                at = 0;
            }
        }
        None
    }

    fn place(&mut self, print: Fingerprint) {
        if let Some(at) = self.find(print) {
            self.places[at] = print.0;
            self.len += 1;
        }
    }

    /// Half as many places again: the table is never emptier than half, so that a tag never costs twelve bytes.
    fn grow(&mut self, places_max: usize) {
        let places = (self.places.len() / 2 * 3).min(places_max);
        let before = std::mem::replace(&mut self.places, vec![EMPTY; places]);
        self.len = 0;
        for print in before.into_iter().filter_map(Fingerprint::from_bytes) {
            self.place(print);
        }
    }
}

impl Replay for ReplayStore {
    fn seen(&self, tag: &ReplayTag) -> bool {
        let print = self.fingerprint(tag);
        self.find(print)
            .is_some_and(|at| self.places[at] == print.0)
    }

    fn insert(&mut self, tag: &ReplayTag) -> Result<(), ReplayError> {
        let print = self.fingerprint(tag);
        if self.find(print).is_none_or(|at| self.places[at] == print.0) {
            return Err(ReplayError::Duplicate);
        }
        if self.len >= load_max(self.places.len()) {
            if self.places.len() >= self.places_max {
                return Err(ReplayError::Full);
            }
            self.grow(self.places_max);
        }
        self.place(print);
        Ok(())
    }
}

/// Where a fingerprint belongs: the order of the places is the order of the fingerprints, so that growing reads and writes memory
/// from one end to the other.
fn home(print: Fingerprint, places: usize) -> usize {
    let [a, b, c, d, e] = print.0;
    let print = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    ((u128::from(print) * places as u128) >> (8 * FINGERPRINT_LEN)) as usize
}

/// Four fifths: probes stay within a cache line or two, and a tag costs 6.25 bytes in a full table, 9.4 right after growing.
const fn load_max(places: usize) -> usize {
    places / 5 * 4
}

/// Bytes of a fingerprint: with 40 bits a full store takes one new packet in 800,000 for a replay.
pub const FINGERPRINT_LEN: usize = 5;
/// 1,677,721 places, 1,342,176 tags: 93 packets a second over four hours. Two keys, the current and the one before or after it,
/// hold 2.7 million tags in 16 MiB. Two thirds as much again are used for a moment while the table grows.
pub const STORE_BYTES_MAX: usize = 8 << 20;
/// What an idle node pays for: 20 KiB.
const PLACES_FIRST: usize = 4096;
/// A place without a fingerprint.
const EMPTY: [u8; FINGERPRINT_LEN] = [0; FINGERPRINT_LEN];

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(n: u64) -> ReplayTag {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ReplayTag(bytes)
    }

    #[test]
    fn remembers_every_tag_while_it_grows_and_never_takes_twelve_bytes_for_one() {
        let mut store = ReplayStore::new([1; 16]);
        for n in 0..50_000 {
            assert!(!store.seen(&tag(n)), "{n} was never stored");
            assert_eq!(store.insert(&tag(n)), Ok(()));
            if store.places.len() > PLACES_FIRST {
                assert!(store.bytes() < 12 * store.len(), "{n}: {}", store.bytes());
            }
        }
        assert_eq!(store.len(), 50_000);
        for n in 0..50_000 {
            assert!(store.seen(&tag(n)), "{n} is forgotten");
            assert_eq!(store.insert(&tag(n)), Err(ReplayError::Duplicate));
        }
    }

    /// At the size limit: a new packet is lost less often than once in ten thousand, with two keys in 16 MiB for two million.
    #[test]
    fn a_full_store_knows_its_own_and_hardly_anything_else() {
        let mut store = ReplayStore::new([4; 16]);
        let full = store.capacity() as u64;
        assert!(2 * full > 2_000_000 && 2 * STORE_BYTES_MAX <= 16 << 20);
        let lost = (0..full).filter(|n| store.insert(&tag(*n)) == Err(ReplayError::Duplicate));
        let lost = lost.count();
        assert!(lost <= 5, "{lost} of {full}");
        assert!(store.bytes() <= STORE_BYTES_MAX);
        let found = (full..2 * full).filter(|n| store.seen(&tag(*n))).count() as u64;
        // Expected: 1.3 million times 1.2 in a million, one or two.
        assert!(found * 10_000 < full && found <= 10, "{found} of {full}");
        assert!((0..full).step_by(997).all(|n| store.seen(&tag(n))));
    }

    #[test]
    fn a_full_store_refuses_and_forgets_nothing() {
        let mut store = ReplayStore::with_places_max([2; 16], 70);
        let full = store.capacity() as u64;
        assert_eq!(full, 56);
        for n in 0..full {
            assert_eq!(store.insert(&tag(n)), Ok(()));
        }
        for n in full..full + 1000 {
            assert_eq!(store.insert(&tag(n)), Err(ReplayError::Full));
        }
        assert_eq!(store.len() as u64, full);
        for n in 0..full {
            assert_eq!(store.insert(&tag(n)), Err(ReplayError::Duplicate));
        }
    }

    #[test]
    fn what_is_restored_is_known_and_may_exceed_the_capacity() {
        let key = SecretKey::from_bytes([3; 32]);
        let mut first = ReplayStore::of(&key);
        let prints: Vec<_> = (0..1000).map(|n| first.fingerprint(&tag(n))).collect();
        assert!((0..1000).all(|n| first.insert(&tag(n)).is_ok()));

        let mut second = ReplayStore::of(&key);
        prints
            .iter()
            .chain(&prints)
            .for_each(|print| second.restore(*print));
        assert_eq!(second.len(), 1000);
        assert!((0..1000).all(|n| second.seen(&tag(n))));
        assert!(!ReplayStore::of(&SecretKey::from_bytes([4; 32])).seen(&tag(0)));

        let mut small = ReplayStore::with_places_max([5; 16], 70);
        let prints: Vec<_> = (0..500).map(|n| small.fingerprint(&tag(n))).collect();
        prints.iter().for_each(|print| small.restore(*print));
        assert_eq!(small.len(), 500);
        assert!((0..500).all(|n| small.seen(&tag(n))));
    }

    /// Fingerprints that crowd one end of the table run over into its other end.
    #[test]
    fn a_crowd_at_the_end_of_the_table_goes_round() {
        let mut store = ReplayStore::with_places_max([6; 16], 70);
        let print = |n: u8| Fingerprint([0xff, 0xff, 0xff, 0xff, n]);
        for n in 0..50 {
            store.restore(print(n));
        }
        assert_eq!(store.len(), 50);
        for n in 0..50 {
            store.restore(print(n));
        }
        assert_eq!(store.len(), 50);
        assert_ne!(store.places[0], EMPTY);
    }
}
