//! The tags of the packets that a key has seen (spec: LIP-99 replay protection).
//!
//! A tag is H(s), s being the shared secret: the MAC covers s, while alpha can be replaced by its torsion twin. A tag is stored
//! only after the MAC has verified, so that nobody fills the store with garbage, and it is never forgotten while the key lives:
//! a full store refuses new packets. Store and key are dropped together.
//!
//! The store keeps 8 bytes of each tag, enciphered under a key of its own: a table of u64 with linear probing. The key keeps a
//! sender from choosing tags that fall into one place. Two tags share their 8 bytes once in 2^43 packets at the size limit; the
//! later packet is then lost like any other lost packet.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use thiserror::Error;

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
    /// A power of two of slots; zero is empty.
    slots: Vec<u64>,
    len: usize,
    slots_max: usize,
}

impl ReplayStore {
    /// A store of at most [`STORE_BYTES_MAX`], with `seed` as the key of its places.
    pub fn new(seed: [u8; 16]) -> Self {
        Self::with_slots_max(seed, STORE_BYTES_MAX / size_of::<u64>())
    }

    /// A store of at most `slots_max` places, a power of two.
    fn with_slots_max(seed: [u8; 16], slots_max: usize) -> Self {
        Self {
            cipher: Aes128::new(&seed.into()),
            slots: vec![0; SLOTS_FIRST.min(slots_max)],
            len: 0,
            slots_max,
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
        load_max(self.slots_max)
    }

    fn fingerprint(&self, tag: &ReplayTag) -> u64 {
        let mut block = [0; 16];
        block.copy_from_slice(&tag.0[..16]);
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);
        let mut half = [0; 8];
        half.copy_from_slice(&block[..8]);
        u64::from_le_bytes(half).max(1)
    }

    /// The slot that holds `print`, or the empty one where it belongs. The load limit keeps an empty one in every table.
    fn find(slots: &[u64], print: u64) -> usize {
        let mask = slots.len() - 1;
        let mut at = print as usize & mask;
        while slots[at] != 0 && slots[at] != print {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        for &print in self.slots.iter().filter(|&&print| print != 0) {
            let at = Self::find(&slots, print);
            slots[at] = print;
        }
        self.slots = slots;
    }
}

impl Replay for ReplayStore {
    fn seen(&self, tag: &ReplayTag) -> bool {
        let print = self.fingerprint(tag);
        self.slots[Self::find(&self.slots, print)] == print
    }

    fn insert(&mut self, tag: &ReplayTag) -> Result<(), ReplayError> {
        let print = self.fingerprint(tag);
        if self.slots[Self::find(&self.slots, print)] == print {
            return Err(ReplayError::Duplicate);
        }
        if self.len >= load_max(self.slots.len()) {
            if self.slots.len() >= self.slots_max {
                return Err(ReplayError::Full);
            }
            self.grow();
        }
        let at = Self::find(&self.slots, print);
        self.slots[at] = print;
        self.len += 1;
        Ok(())
    }
}

/// Seven eighths: probes stay within a few cache lines, and a tag costs a little over 9 bytes.
const fn load_max(slots: usize) -> usize {
    slots / 8 * 7
}

/// 2^21 places, 1,835,008 tags: at 100 packets a second, five hours of a key. Half as much again is used for a moment while the
/// table doubles for the last time.
pub const STORE_BYTES_MAX: usize = 16 << 20;
/// What an idle node pays for: 32 KiB.
const SLOTS_FIRST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(n: u64) -> ReplayTag {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ReplayTag(bytes)
    }

    #[test]
    fn remembers_every_tag_while_it_grows() {
        let mut store = ReplayStore::new([1; 16]);
        for n in 0..50_000 {
            assert!(!store.seen(&tag(n)), "{n} was never stored");
            assert_eq!(store.insert(&tag(n)), Ok(()));
        }
        assert_eq!(store.len(), 50_000);
        for n in 0..50_000 {
            assert!(store.seen(&tag(n)), "{n} is forgotten");
            assert_eq!(store.insert(&tag(n)), Err(ReplayError::Duplicate));
        }
    }

    #[test]
    fn a_full_store_refuses_and_forgets_nothing() {
        let mut store = ReplayStore::with_slots_max([2; 16], 64);
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
    fn stays_within_its_bytes() {
        let store = ReplayStore::new([3; 16]);
        assert_eq!(store.slots_max * size_of::<u64>(), STORE_BYTES_MAX);
        assert!(STORE_BYTES_MAX / store.capacity() <= 12);
    }
}
