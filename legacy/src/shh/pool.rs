//! The envelopes that are alive, and who of our peers knows each.
//!
//! ```text
//! sequence number → entry            without a search
//! hash            → sequence number  finds duplicates; never looked through, so its order does not matter
//! (expiry, seq)                      finds what dies next
//! (rank, seq)                        finds what gives way: least work first, then nearest death
//! ```
//!
//! Two caps hold at all times: bytes and envelopes. When one is exceeded, the lowest rank goes; a peer that fills more
//! than half of the pool loses its own envelopes first, so that a flood drowns itself. Our own envelopes go last.
//! Ids that left are remembered for a while, so that a late copy is a duplicate and not news.

mod entries;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};
use std::sync::Arc;

use self::entries::Entries;
pub(super) use self::entries::Seq;

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
            own: self.source == Source::Own,
            pow_bits: self.pow.to_bits(),
            expiry: self.envelope.expiry(),
        }
    }
}

/// What stays longer is greater. The bits of a double that is not negative sort like the double.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    own: bool,
    pow_bits: u64,
    expiry: u32,
}

#[derive(Default)]
struct Share {
    ranks: BTreeSet<(Rank, Seq)>,
    bytes: usize,
}

/// The newcomer itself is the lowest of a full pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolFull;

pub(super) struct Pool {
    entries: Entries<Entry>,
    by_hash: HashMap<EnvelopeHash, Seq, Seeded>,
    by_expiry: BTreeSet<(u32, Seq)>,
    by_rank: BTreeSet<(Rank, Seq)>,
    shares: BTreeMap<Source, Share>,
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
            by_rank: BTreeSet::new(),
            shares: BTreeMap::new(),
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
        let share = self.shares.entry(source).or_default();
        share.ranks.insert((rank, seq));
        share.bytes += cost;
        self.bytes += cost;
        self.by_hash.insert(hash, seq);
        self.by_expiry.insert((expiry, seq));
        self.by_rank.insert((rank, seq));
        let mut evicted = 0;
        while self.bytes > self.bytes_max || self.entries.len() > self.count_max {
            let victim = self
                .victim(source)
                .expect("a pool above its caps is not empty");
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

    /// What gives way. Only the source of the newcomer can have come above half just now.
    fn victim(&self, newcomer: Source) -> Option<Seq> {
        let share = self
            .shares
            .get(&newcomer)
            .filter(|_| newcomer != Source::Own);
        let greedy = share.filter(|share| {
            share.bytes > self.bytes_max / 2 || share.ranks.len() > self.count_max / 2
        });
        let ranks = greedy.map_or(&self.by_rank, |share| &share.ranks);
        ranks.first().map(|(_, seq)| *seq)
    }

    fn remove(&mut self, seq: Seq) -> Entry {
        let entry = self
            .entries
            .remove(seq)
            .expect("every index names an entry");
        let rank = entry.rank();
        self.by_hash.remove(&entry.envelope.hash());
        self.by_expiry.remove(&(entry.envelope.expiry(), seq));
        self.by_rank.remove(&(rank, seq));
        self.bytes -= entry.cost();
        if let Some(share) = self.shares.get_mut(&entry.source) {
            share.ranks.remove(&(rank, seq));
            share.bytes -= entry.cost();
            if share.ranks.is_empty() {
                self.shares.remove(&entry.source);
            }
        }
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::shh::envelope::Draft;
    use crate::shh::topic::Topic;

    fn envelope(expiry: u32, number: u64) -> Arc<Envelope> {
        Arc::new(Draft::new(expiry, 10, Topic::default(), b"data").finish(number))
    }

    fn peer(number: u8) -> Source {
        Source::Peer([number; 32])
    }

    #[test]
    fn the_least_work_goes_first_and_then_the_nearest_death() {
        let mut pool = Pool::new(1 << 20, 4, 7);
        let (own, source) = (envelope(50, 99), [peer(1), peer(2), peer(3)]);
        pool.insert(own.clone(), 0.001, Source::Own).unwrap();
        let (late, soon, strong) = (envelope(60, 1), envelope(50, 2), envelope(40, 3));
        pool.insert(late.clone(), 0.5, source[0]).unwrap();
        pool.insert(soon.clone(), 0.5, source[1]).unwrap();
        pool.insert(strong.clone(), 0.7, source[2]).unwrap();
        assert_eq!(pool.insert(envelope(90, 4), 0.6, source[2]).unwrap().1, 1);
        assert_eq!(pool.look_up(&soon.hash()), Lookup::Gone);
        assert_eq!(pool.insert(envelope(90, 5), 0.4, source[0]), Err(PoolFull));
        assert_eq!(
            pool.look_up(&envelope(90, 5).hash()),
            Lookup::Fresh,
            "what was never in is not remembered"
        );
        assert!(matches!(pool.look_up(&late.hash()), Lookup::Pooled(_)));
        assert!(
            matches!(pool.look_up(&own.hash()), Lookup::Pooled(_)),
            "our own go last"
        );
        assert_eq!(pool.len(), 4);
    }

    #[test]
    fn a_flood_drowns_itself() {
        let mut pool = Pool::new(1 << 20, 10, 7);
        let honest: Vec<_> = (0..5).map(|number| envelope(50, number)).collect();
        for one in &honest {
            pool.insert(one.clone(), 0.002, peer(1)).unwrap();
        }
        for number in 100..1100 {
            let _ = pool.insert(envelope(50, number), 5.0, peer(2));
        }
        assert!(
            honest
                .iter()
                .all(|one| matches!(pool.look_up(&one.hash()), Lookup::Pooled(_)))
        );
        assert_eq!(pool.len(), 10);
    }

    #[test]
    fn the_dead_are_remembered_for_a_while() {
        let mut pool = Pool::new(1 << 20, 10, 7);
        let one = envelope(50, 1);
        pool.insert(one.clone(), 1.0, peer(1)).unwrap();
        assert_eq!(pool.expire(50), 0);
        assert_eq!(pool.expire(51), 1);
        assert_eq!(
            (pool.look_up(&one.hash()), pool.is_empty(), pool.is_idle()),
            (Lookup::Gone, true, false)
        );
        pool.expire(51 + GONE_SECONDS);
        assert_eq!(pool.look_up(&one.hash()), Lookup::Gone);
        pool.expire(52 + GONE_SECONDS);
        assert_eq!(
            (pool.look_up(&one.hash()), pool.is_idle()),
            (Lookup::Fresh, true)
        );
    }

    #[test]
    fn slots_are_bounded_and_reused() {
        let mut slots = Slots::default();
        let all: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(all.len(), PEERS_MAX);
        slots.free(all[7]);
        assert_eq!((slots.take(), slots.take()), (Some(all[7]), None));
    }

    proptest! {
        #[test]
        fn the_caps_always_hold(steps in proptest::collection::vec((0u8..4, 0u32..40, 0u64..60, 0u32..100), 1..200)) {
            let mut pool = Pool::new(5_000, 12, 7);
            let mut now = 0;
            for (source, expiry, number, pow) in steps {
                let one = Arc::new(Draft::new(now + expiry, 10, Topic::default(), &vec![0; number as usize * 8]).finish(number));
                if pool.look_up(&one.hash()) == Lookup::Fresh {
                    let source = if source == 0 { Source::Own } else { peer(source) };
                    let _ = pool.insert(one, f64::from(pow), source);
                }
                if number % 7 == 0 {
                    now += 3;
                    pool.expire(now);
                }
                let cost: usize = pool.entries.in_order().map(|(_, entry)| entry.cost()).sum();
                prop_assert!(pool.bytes() <= 5_000 && pool.len() <= 12);
                prop_assert_eq!(pool.bytes(), cost);
                prop_assert_eq!(pool.by_hash.len(), pool.len());
                prop_assert_eq!(pool.by_expiry.len(), pool.len());
                prop_assert_eq!(pool.by_rank.len(), pool.len());
                prop_assert_eq!(pool.shares.values().map(|share| share.ranks.len()).sum::<usize>(), pool.len());
                prop_assert_eq!(pool.shares.values().map(|share| share.bytes).sum::<usize>(), cost);
                prop_assert_eq!(pool.gone.ids.len(), pool.gone.until.len());
            }
        }
    }
}
