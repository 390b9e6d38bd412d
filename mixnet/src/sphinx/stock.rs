//! The keys of the reply blocks that are under way, each for one good reply.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::DerefMut;
use std::time::{Duration, Instant};

use super::surb::{SurbId, SurbKeys};
use crate::error::DropReason;
use crate::geometry::{MESSAGE_LEN, PAYLOAD_LEN};

/// Reply keys by id, bounded in number and time.
///
/// A good reply uses its id up; a corrupt one does not. A used id is remembered until it would have expired, so that a second
/// reply is told from one that nobody asked for.
pub struct SurbStock {
    entries: BTreeMap<SurbId, Entry>,
    by_deadline: BTreeSet<(Instant, SurbId)>,
    outstanding: usize,
    entries_max: usize,
}

struct Entry {
    deadline: Instant,
    /// `None`: a good reply came.
    keys: Option<SurbKeys>,
}

impl SurbStock {
    /// A stock of at most `entries_max` ids, used ones among them.
    pub fn new(entries_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            outstanding: 0,
            entries_max,
        }
    }

    /// Keeps the keys of a block that is handed out now. A full stock refuses: a block whose reply cannot be opened must not
    /// leave the house.
    pub fn insert(&mut self, now: Instant, id: SurbId, keys: SurbKeys) -> Result<(), StockFull> {
        self.insert_for(now, SURB_TTL, id, keys)
    }

    /// As [`SurbStock::insert`], for a block whose hops forget their keys sooner.
    pub fn insert_for(
        &mut self,
        now: Instant,
        ttl: Duration,
        id: SurbId,
        keys: SurbKeys,
    ) -> Result<(), StockFull> {
        if self.entries.len() >= self.entries_max || self.entries.contains_key(&id) {
            return Err(StockFull);
        }
        let deadline = now + ttl.min(SURB_TTL);
        self.by_deadline.insert((deadline, id));
        let keys = Some(keys);
        self.entries.insert(id, Entry { deadline, keys });
        self.outstanding += 1;
        Ok(())
    }

    /// Opens a reply and uses its id up.
    pub fn open(
        &mut self,
        id: SurbId,
        delta: impl DerefMut<Target = [u8; PAYLOAD_LEN]>,
    ) -> Result<Box<[u8; MESSAGE_LEN]>, DropReason> {
        let entry = self.entries.get_mut(&id).ok_or(DropReason::UnknownSurb)?;
        let keys = entry.keys.as_ref().ok_or(DropReason::SurbReused)?;
        let message = keys.open(delta)?;
        entry.keys = None;
        self.outstanding -= 1;
        Ok(message)
    }

    /// Forgets what is past its time; says how many blocks no reply came for.
    pub fn expire(&mut self, now: Instant) -> usize {
        let before = self.outstanding;
        while let Some(&(deadline, id)) = self.by_deadline.first().filter(|(at, _)| *at <= now) {
            self.by_deadline.remove(&(deadline, id));
            if let Some(entry) = self.entries.remove(&id) {
                debug_assert_eq!(entry.deadline, deadline);
                self.outstanding -= usize::from(entry.keys.is_some());
            }
        }
        before - self.outstanding
    }

    /// When [`SurbStock::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|&(at, _)| at)
    }

    /// Blocks for which a reply may still come.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }
}

/// The stock holds as many ids as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stock of reply keys is full")]
pub struct StockFull;

/// Mix keys live for hours and their grace for half an hour: a block that is older may meet a hop that has lost its key. Where
/// epochs are shorter, [`crate::topology::Topology::blocks_live`] says less.
pub const SURB_TTL: Duration = Duration::from_secs(30 * 60);
