//! The mailbox itself: takes cells, keeps them for a time, and answers everybody alike.
//!
//! A get is always answered with as many cells as it brought reply blocks, each of one size: those that are there first, random bytes
//! for the rest. All five boxes are looked up whatever is found, so that neither the size nor the work tells whether something was
//! there. Reading removes nothing: a reader whose reply was lost asks again.
//!
//! The first write to a box counts. Writing the same again is answered as it was, so a writer whose answer was lost may repeat itself. What a
//! stranger can make a mailbox keep is bounded three times: in bytes, in bytes an epoch, and in time.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::cell::{CELL_LEN, Cell};
use super::chain::{BOX_ID_LEN, BoxId};
use super::request::{Answer, Put, PutStatus, Request};
use super::store::{CellStore, CellStoreError, Write};
use crate::sphinx::Surb;

/// The bounds of one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Bytes that all cells may take, with their ids.
    pub bytes_max: u64,
    /// Bytes of new cells in one epoch.
    pub epoch_bytes_max: u64,
    /// Seconds of an epoch.
    pub epoch_s: u64,
    /// Seconds that a cell is kept.
    pub ttl_s: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bytes_max: BYTES_MAX,
            epoch_bytes_max: EPOCH_BYTES_MAX,
            epoch_s: EPOCH_S,
            ttl_s: TTL_S,
        }
    }
}

/// What a mailbox counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Puts by their status, in the order of [`PutStatus::ALL`].
    pub puts: [u64; PutStatus::ALL.len()],
    /// Gets.
    pub gets: u64,
    /// Cells that were sent because they were there.
    pub found: u64,
    /// Random cells that were sent.
    pub random: u64,
    /// Cells whose time was over.
    pub expired: u64,
}

/// A mailbox on its store.
pub struct Server<S> {
    config: ServerConfig,
    store: S,
    rng: ChaCha20Rng,
    kept: BTreeMap<BoxId, u64>,
    by_time: BTreeSet<(u64, BoxId)>,
    /// The present epoch, and the bytes that it brought.
    epoch: (u64, u64),
    counters: ServerCounters,
}

impl<S: CellStore> Server<S> {
    /// Takes up what the store holds.
    pub fn open(config: ServerConfig, store: S, seed: [u8; 32]) -> Result<Self, CellStoreError> {
        let mut kept = BTreeMap::new();
        store.scan(&mut |cell| {
            kept.insert(cell.id, cell.until_s);
        })?;
        let by_time = kept.iter().map(|(id, until)| (*until, *id)).collect();
        Ok(Self {
            config,
            store,
            rng: ChaCha20Rng::from_seed(seed),
            kept,
            by_time,
            epoch: (0, 0),
            counters: ServerCounters::default(),
        })
    }

    /// Serves requests that came together: one write for all of them. What is answered is in the store by then.
    pub fn serve(
        &mut self,
        now_s: u64,
        requests: Vec<Request>,
    ) -> Result<Vec<(Surb, Answer)>, CellStoreError> {
        self.expire(now_s)?;
        let mut writes = Vec::new();
        let mut new: BTreeMap<BoxId, Cell> = BTreeMap::new();
        let mut answers = Vec::new();
        let mut gets = Vec::new();
        for request in requests {
            match request {
                Request::Put { put, answer } => {
                    let status = self.put(now_s, put, &mut new, &mut writes)?;
                    self.counters.puts[usize::from(status.byte())] += 1;
                    answers.push((answer, Answer::Put(status)));
                }
                Request::Get { get, answers } => gets.push((get, answers)),
            }
        }
        if !writes.is_empty()
            && let Err(error) = self.store.write(&writes)
        {
            for id in new.keys() {
                self.forget(id);
            }
            return Err(error);
        }
        for (get, blocks) in gets {
            self.counters.gets += 1;
            self.get(&get.ids, blocks, &mut answers)?;
        }
        Ok(answers)
    }

    /// Removes what is over; some at a time.
    pub fn expire(&mut self, now_s: u64) -> Result<(), CellStoreError> {
        let over: Vec<BoxId> = self
            .by_time
            .iter()
            .take_while(|(until, _)| *until <= now_s)
            .take(EXPIRE_MAX)
            .map(|(_, id)| *id)
            .collect();
        if over.is_empty() {
            return Ok(());
        }
        let writes: Vec<Write> = over.iter().map(|id| Write::Delete(*id)).collect();
        self.store.write(&writes)?;
        over.iter().for_each(|id| self.forget(id));
        self.counters.expired += over.len() as u64;
        Ok(())
    }

    /// Cells that are kept.
    pub fn cells(&self) -> usize {
        self.kept.len()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.kept.len() as u64 * ENTRY_LEN
    }

    /// What happened so far.
    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// The store beneath.
    pub fn store(&self) -> &S {
        &self.store
    }

    fn put(
        &mut self,
        now_s: u64,
        put: Put,
        new: &mut BTreeMap<BoxId, Cell>,
        writes: &mut Vec<Write>,
    ) -> Result<PutStatus, CellStoreError> {
        let present = match new.get(&put.id) {
            Some(cell) => Some(cell.clone()),
            // One whose time is over is as good as gone, though it may not be removed yet.
            None if self.kept.get(&put.id).is_some_and(|until| *until > now_s) => {
                self.store.load(&put.id)?
            }
            None => None,
        };
        if let Some(present) = present {
            return Ok(if present == put.cell {
                PutStatus::StoredBefore
            } else {
                PutStatus::Taken
            });
        }
        if !self.kept.contains_key(&put.id) && self.bytes() + ENTRY_LEN > self.config.bytes_max {
            return Ok(PutStatus::Full);
        }
        let epoch = now_s / self.config.epoch_s.max(1);
        if self.epoch.0 != epoch {
            self.epoch = (epoch, 0);
        }
        if self.epoch.1 + ENTRY_LEN > self.config.epoch_bytes_max {
            return Ok(PutStatus::Busy);
        }
        self.epoch.1 += ENTRY_LEN;
        self.forget(&put.id);
        let until_s = now_s.saturating_add(self.config.ttl_s);
        self.kept.insert(put.id, until_s);
        self.by_time.insert((until_s, put.id));
        writes.push(Write::Put(put.id, until_s, put.cell.clone()));
        new.insert(put.id, put.cell);
        Ok(PutStatus::Stored)
    }

    /// One cell for each block.
    fn get(
        &mut self,
        ids: &[BoxId],
        blocks: Vec<Surb>,
        answers: &mut Vec<(Surb, Answer)>,
    ) -> Result<(), CellStoreError> {
        let mut found = Vec::new();
        for (place, id) in (0u8..).zip(ids) {
            if let Some(cell) = self.store.load(id)? {
                found.push((place, cell));
            }
        }
        let mut found = found.into_iter();
        for block in blocks {
            // Drawn whether it is needed or not.
            let random = self.random_cell();
            let (place, cell) = match found.next() {
                Some((place, cell)) => {
                    self.counters.found += 1;
                    (Some(place), cell)
                }
                None => {
                    self.counters.random += 1;
                    (None, random)
                }
            };
            answers.push((block, Answer::Get { place, cell }));
        }
        Ok(())
    }

    fn random_cell(&mut self) -> Cell {
        let mut bytes = [0; CELL_LEN];
        self.rng.fill_bytes(&mut bytes);
        Cell::from_slice(&bytes).expect("it has the length of a cell")
    }

    /// Loses a cell, as a disk may.
    #[cfg(test)]
    pub(super) fn lose(&mut self, id: &BoxId) {
        self.store
            .write(&[Write::Delete(*id)])
            .expect("it is in memory");
        self.forget(id);
    }

    fn forget(&mut self, id: &BoxId) {
        if let Some(until) = self.kept.remove(id) {
            self.by_time.remove(&(until, *id));
        }
    }
}

// ---- Our bounds ----

/// How long a cell is kept, seconds: 7 days, as long as the bridge and the edge remember what they have seen.
pub const TTL_S: u64 = 7 * 24 * 3600;
/// Bytes of all cells: room for 170,000 of them, and 11 MB of memory for their ids.
pub const BYTES_MAX: u64 = 512 << 20;
/// Bytes of new cells in an epoch: a flood needs at least 16 epochs to fill a mailbox, so that cells of others find room meanwhile.
pub const EPOCH_BYTES_MAX: u64 = BYTES_MAX / 16;
/// An epoch is that of the mix keys: 4 hours.
pub const EPOCH_S: u64 = 4 * 3600;
/// Cells that are removed in one step, so that nobody waits long behind it.
const EXPIRE_MAX: usize = 256;
/// What a cell counts for.
pub const ENTRY_LEN: u64 = (BOX_ID_LEN + CELL_LEN) as u64;

#[cfg(test)]
mod tests;
