//! The envelopes that are alive, and who of our peers knows each.
//!
//! ```text
//! sequence number → entry            without a search
//! hash            → sequence number  finds duplicates; never looked through, so its order does not matter
//! (expiry, seq)                      finds what dies next
//! source          → (rank, seq)      finds what gives way: least work first, then nearest death
//! ```
//!
//! Two caps hold at all times: bytes and envelopes. When one is exceeded, whoever brought the most of what is scarce
//! gives way, its lowest rank first; so a flood drowns itself, from however many peers it comes, and whoever brought
//! less than an equal share loses nothing to those above it. Our own envelopes go last. Ids that left are remembered
//! for a while, so that a late copy is a duplicate and not news.

mod entries;
mod shares;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};
use std::sync::Arc;

use self::entries::Entries;
pub(super) use self::entries::Seq;
use self::shares::Shares;
use super::envelope::{Envelope, EnvelopeHash};
use super::limits::{GONE_IDS_MAX, GONE_SECONDS, PEERS_MAX, POOL_ENTRY_OVERHEAD};

/// Who brought an envelope: a peer by its node id, or ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Peer([u8; 32]),
    Own,
}

/// Index of a connected peer in the bitmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u8);

/// Slots that are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slots(u128);

impl Slots {
    pub(super) fn take(&mut self) -> Option<Slot> {
        let free = self.0.trailing_ones();
        let slot = u8::try_from(free)
            .ok()
            .filter(|slot| usize::from(*slot) < PEERS_MAX)?;
        self.0 |= 1 << slot;
        Some(Slot(slot))
    }

    pub(super) fn free(&mut self, slot: Slot) {
        self.0 &= !(1 << slot.0);
    }
}

/// What is known about a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Pooled(Seq),
    Gone,
    Fresh,
}

pub(super) struct Entry {
    pub(super) envelope: Arc<Envelope>,
    /// The work as it was at arrival, lessened where the envelope came from the future: what peers will see.
    pub(super) pow: f64,
    source: Source,
    known: u128,
}

impl Entry {
    pub(super) fn is_known_to(&self, slot: Slot) -> bool {
        self.known & (1 << slot.0) != 0
    }

    pub(super) fn know(&mut self, slot: Slot) {
        self.known |= 1 << slot.0;
    }

    fn cost(&self) -> usize {
        self.envelope.raw().len() + POOL_ENTRY_OVERHEAD
    }

    fn rank(&self) -> Rank {
        Rank {
            pow_bits: self.pow.to_bits(),
            expiry: self.envelope.expiry(),
        }
    }
}

/// What stays longer is greater. The bits of a double that is not negative sort like the double.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    pow_bits: u64,
    expiry: u32,
}

/// The newcomer itself is the lowest of a full pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolFull;

pub(super) struct Pool {
    entries: Entries<Entry>,
    by_hash: HashMap<EnvelopeHash, Seq, Seeded>,
    by_expiry: BTreeSet<(u32, Seq)>,
    shares: Shares,
    gone: Gone,
    bytes: usize,
    bytes_max: usize,
    count_max: usize,
}

impl Pool {
    /// The seed keeps peers from choosing ids that are slow to look up.
    pub(super) fn new(bytes_max: usize, count_max: usize, seed: u64) -> Pool {
        Pool {
            entries: Entries::new(),
            by_hash: HashMap::with_hasher(Seeded(seed)),
            by_expiry: BTreeSet::new(),
            shares: Shares::default(),
            gone: Gone::default(),
            bytes: 0,
            bytes_max,
            count_max,
        }
    }

    pub(super) fn look_up(&self, hash: &EnvelopeHash) -> Lookup {
        match self.by_hash.get(hash) {
            Some(seq) => Lookup::Pooled(*seq),
            None if self.gone.ids.contains(hash) => Lookup::Gone,
            None => Lookup::Fresh,
        }
    }

    /// Adds a fresh envelope, which may push others out: their number comes back.
    pub(super) fn insert(
        &mut self,
        envelope: Arc<Envelope>,
        pow: f64,
        source: Source,
    ) -> Result<(Seq, u64), PoolFull> {
        let (hash, expiry) = (envelope.hash(), envelope.expiry());
        let entry = Entry {
            envelope,
            pow,
            source,
            known: 0,
        };
        let (rank, cost) = (entry.rank(), entry.cost());
        let seq = self.entries.add(entry);
        self.shares.add(source, rank, seq, cost);
        self.bytes += cost;
        self.by_hash.insert(hash, seq);
        self.by_expiry.insert((expiry, seq));
        let mut evicted = 0;
        while let Some(victim) = self.victim(source) {
            let entry = self.remove(victim);
            if victim == seq {
                return Err(PoolFull);
            }
            evicted += 1;
            self.gone.add(
                entry.envelope.hash(),
                entry.envelope.expiry().saturating_add(GONE_SECONDS),
            );
        }
        Ok((seq, evicted))
    }

    /// What gives way while a cap is exceeded.
    fn victim(&self, newcomer: Source) -> Option<Seq> {
        if self.bytes > self.bytes_max {
            self.shares.lowest_of_the_heaviest(newcomer)
        } else if self.entries.len() > self.count_max {
            self.shares.lowest_of_the_longest(newcomer)
        } else {
            None
        }
    }

    fn remove(&mut self, seq: Seq) -> Entry {
        let entry = self
            .entries
            .remove(seq)
            .expect("every index names an entry");
        let rank = entry.rank();
        self.by_hash.remove(&entry.envelope.hash());
        self.by_expiry.remove(&(entry.envelope.expiry(), seq));
        self.bytes -= entry.cost();
        self.shares.remove(entry.source, rank, seq, entry.cost());
        entry
    }

    /// Removes what is dead, and returns how many.
    pub(super) fn expire(&mut self, now: u32) -> u64 {
        let mut expired = 0;
        while let Some((expiry, seq)) = self
            .by_expiry
            .first()
            .copied()
            .filter(|(expiry, _)| *expiry < now)
        {
            let entry = self.remove(seq);
            self.gone.add(
                entry.envelope.hash(),
                expiry.max(now).saturating_add(GONE_SECONDS),
            );
            expired += 1;
        }
        self.gone.forget(now);
        expired
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Entry> {
        self.entries.get(seq)
    }

    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.entries.get_mut(seq)
    }

    pub(super) fn find(&self, hash: &EnvelopeHash) -> Option<&Entry> {
        self.by_hash
            .get(hash)
            .and_then(|seq| self.entries.get(*seq))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        self.entries.in_order()
    }

    /// Forgets what a peer knew, before its slot goes to another.
    pub(super) fn forget_slot(&mut self, slot: Slot) {
        for entry in self.entries.all_mut() {
            entry.known &= !(1 << slot.0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to expire and nothing to forget.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && self.gone.ids.is_empty()
    }
}

/// Hashes for the index, of a kind that nobody outside can foresee.
#[derive(Clone)]
struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

/// Ids of envelopes that left the pool.
#[derive(Default)]
struct Gone {
    ids: BTreeSet<EnvelopeHash>,
    until: BTreeSet<(u32, EnvelopeHash)>,
}

impl Gone {
    fn add(&mut self, hash: EnvelopeHash, until: u32) {
        if self.ids.insert(hash) {
            self.until.insert((until, hash));
        }
        if self.ids.len() > GONE_IDS_MAX {
            self.drop_first();
        }
    }

    fn forget(&mut self, now: u32) {
        while self.until.first().is_some_and(|(until, _)| *until < now) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, hash)) = self.until.pop_first() {
            self.ids.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests;
