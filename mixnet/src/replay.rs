//! The tags of the packets that a key has seen (spec: LIP-99 replay protection).
//!
//! A tag is H(s), s being the shared secret: the MAC covers s, while alpha can be replaced by its torsion twin. A tag is stored
//! only after the MAC has verified, so that nobody fills the store with garbage, and it is never forgotten while the key lives:
//! a full store refuses new packets. Store and key are dropped together.
//!
//! The store keeps a fingerprint of 40 bits of each tag, enciphered under a key of its own. The key keeps a sender from choosing
//! tags that fall into one place. A packet is taken for a replay by accident when its fingerprint is there already: once in
//! 2^40 / tags, which is one packet in 600,000 in a store of 1.8 million. It is then lost like any other lost packet.
//!
//! ```text
//! fingerprint 5 = first 40 bits of AES-128(store key, tag[0..16]), never 0
//! x             = fingerprint · segments
//! segment       = x / 2^40
//! bucket        = (x mod 2^40) · buckets of the segment / 2^40, or the next one with room
//! ```
//!
//! The store consists of segments that grow each for itself (`segment`): what one packet waits for is a segment of some
//! hundred buckets, never the whole store.

mod segment;

use std::fmt;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroize;

use self::segment::{Segment, Spread};
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

/// How many tags one key may have to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capacity(usize);

impl Capacity {
    /// For a relay that takes `packets_per_second` for as long as a key is good, its grace on both sides included. Never more
    /// than [`TAGS_MAX`], whatever is asked for.
    pub fn for_rate(packets_per_second: u32, key_life: Duration) -> Self {
        let tags = u64::from(packets_per_second).saturating_mul(key_life.as_secs());
        Self::of_tags(usize::try_from(tags).unwrap_or(usize::MAX))
    }

    /// So many tags, within the least and the most that a store may be for.
    pub fn of_tags(tags: usize) -> Self {
        Self(tags.clamp(TAGS_MIN, TAGS_MAX))
    }

    /// Tags of one key.
    pub fn tags(self) -> usize {
        self.0
    }

    /// Bytes that a full store of this capacity takes at most; an emptier one takes less.
    pub fn bytes_max(self) -> usize {
        self.0 * TAG_BYTES_MAX
    }
}

impl Default for Capacity {
    /// A node at home: 100 packets a second over [`KEY_LIFE`].
    fn default() -> Self {
        Self::for_rate(PACKETS_PER_SECOND, KEY_LIFE)
    }
}

/// The bounded store of one mix key.
pub struct ReplayStore {
    cipher: Aes128,
    spread: Spread,
    segments: Vec<Segment>,
    len: usize,
    capacity: Capacity,
}

impl ReplayStore {
    /// A store of the usual capacity, with `seed` as the key of its fingerprints.
    pub fn new(seed: [u8; 16]) -> Self {
        Self::with_capacity(seed, Capacity::default())
    }

    /// A store with `seed` as the key of its fingerprints.
    pub fn with_capacity(seed: [u8; 16], capacity: Capacity) -> Self {
        let spread = Spread::over(capacity.0.div_ceil(SEGMENT_TAGS));
        Self {
            cipher: Aes128::new(&seed.into()),
            segments: (0..spread.segments()).map(|_| Segment::new()).collect(),
            spread,
            len: 0,
            capacity,
        }
    }

    /// The store of a mix key, of the usual capacity: the same fingerprints every time that the node starts with this key.
    pub fn of(key: &SecretKey) -> Self {
        Self::of_capacity(key, Capacity::default())
    }

    /// The store of a mix key; its fingerprints do not depend on the capacity.
    pub fn of_capacity(key: &SecretKey, capacity: Capacity) -> Self {
        let mut hash: [u8; 32] = Sha256::new()
            .chain_update(b"ferry replay fingerprints")
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let mut seed = [0; 16];
        seed.copy_from_slice(&hash[..16]);
        hash.zeroize();
        let store = Self::with_capacity(seed, capacity);
        seed.zeroize();
        store
    }

    /// Tags in the store.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no packet was seen yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tags that the store takes.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Bytes of the store.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum()
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

    /// Stores the tag of a packet whose MAC has verified, and says what it keeps of it.
    pub fn remember(&mut self, tag: &ReplayTag) -> Result<Fingerprint, ReplayError> {
        let print = self.fingerprint(tag);
        if self.len >= self.capacity.0 {
            let known = self
                .segment(print)
                .is_some_and(|(own, at)| own.holds(print, at));
            return Err(if known {
                ReplayError::Duplicate
            } else {
                ReplayError::Full
            });
        }
        if !self.store(print) {
            return Err(ReplayError::Duplicate);
        }
        Ok(print)
    }

    /// Stores what an earlier run of the node has stored. Takes more than the capacity if it must: nothing is forgotten.
    pub fn restore(&mut self, print: Fingerprint) {
        self.store(print);
    }

    /// False if it is there already.
    fn store(&mut self, print: Fingerprint) -> bool {
        let (segment, _) = self.spread.of(print);
        let spread = self.spread;
        let stored = self
            .segments
            .get_mut(segment)
            .is_some_and(|own| own.store(print, spread));
        self.len += usize::from(stored);
        stored
    }

    /// The segment of a fingerprint, and where in it the fingerprint belongs.
    fn segment(&self, print: Fingerprint) -> Option<(&Segment, segment::Fraction)> {
        let (segment, at) = self.spread.of(print);
        self.segments.get(segment).map(|own| (own, at))
    }
}

impl Replay for ReplayStore {
    fn seen(&self, tag: &ReplayTag) -> bool {
        let print = self.fingerprint(tag);
        self.segment(print)
            .is_some_and(|(own, at)| own.holds(print, at))
    }

    fn insert(&mut self, tag: &ReplayTag) -> Result<(), ReplayError> {
        self.remember(tag).map(drop)
    }
}

// ---- Our bounds ----

/// Bytes of a fingerprint: with 40 bits a store of [`TAGS_MAX`] takes one new packet in 10,000 for a replay.
pub const FINGERPRINT_LEN: usize = 5;
/// Tags of the largest store: one new packet in 2^40 / 10^8 = 11,000 is then lost by accident.
pub const TAGS_MAX: usize = 100_000_000;
/// Tags of the smallest store, whatever little is advertised: one second of what a neighbour may send, ten times.
pub const TAGS_MIN: usize = 10_000;
/// A tag costs 6.7 bytes in a segment that is about to grow, 10 in one that has just grown, and its share of what a segment is itself.
const TAG_BYTES_MAX: usize = 11;
/// What a relay takes that says nothing else.
pub const PACKETS_PER_SECOND: u32 = 100;
/// An epoch of four hours, with half an hour of grace before and after it (spec/mixnet.md 3.2).
pub const KEY_LIFE: Duration = Duration::from_secs(5 * 3600);
/// Tags of one segment in a full store: it grows in less than 0.2 ms, which is what one packet waits.
const SEGMENT_TAGS: usize = 8192;
/// A place without a fingerprint.
const EMPTY: [u8; FINGERPRINT_LEN] = [0; FINGERPRINT_LEN];

#[cfg(test)]
mod tests;
