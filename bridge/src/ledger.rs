//! The turns of a core: what one input changes on the disk is one batch, and what it causes outside waits for that batch.
//!
//! ```text
//! handle(input) ── put, delete ──▶ one Commit{seq, batch} ──▶ the shell writes ──▶ Committed(seq)
//!              └── effects ──────▶ held until every batch issued so far is durable ──▶ out, in order
//! ```
//!
//! So no effect is ever seen outside whose cause a crash could undo, and no input is half done after
//! one. Reads see what was put, whether it is durable or not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::store::{Batch, Family, Store, StoreError};

/// What a core gives to its shell next.
pub(crate) enum Step<E> {
    /// Write this and report its number.
    Commit(u64, Batch),
    /// Do this; everything it depends on is durable.
    Effect(E),
}

/// A key of the store.
type Key = (Family, Vec<u8>);

/// The store as one core sees it, and the effects that wait for it.
pub(crate) struct Ledger<E> {
    store: Arc<dyn Store>,
    open: Batch,
    issued: u64,
    committed: u64,
    /// Changes that are not durable yet, with the number of their batch.
    overlay: BTreeMap<Key, (u64, Option<Vec<u8>>)>,
    /// The keys of the overlay in the order of their batches.
    in_flight: VecDeque<(u64, Family, Vec<u8>)>,
    /// What this turn causes; it waits for the turn's batch even if it was caused before the first change.
    caused: Vec<E>,
    held: VecDeque<(u64, E)>,
    ready: VecDeque<Step<E>>,
}

impl<E> Ledger<E> {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            open: Batch::default(),
            issued: 0,
            committed: 0,
            overlay: BTreeMap::new(),
            in_flight: VecDeque::new(),
            caused: Vec::new(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The store beneath, for scans; it lags behind what is in flight.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The value of a key as this core left it.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.overlay.get(&(family, key.to_vec())) {
            Some((_, value)) => Ok(value.clone()),
            None => self.store.get(family, key),
        }
    }

    pub(crate) fn put(
        &mut self,
        family: Family,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) {
        let (key, value) = (key.into(), value.into());
        self.remember(family, &key, Some(value.clone()));
        self.open.put(family, key, value);
    }

    pub(crate) fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.remember(family, &key, None);
        self.open.delete(family, key);
    }

    /// Does this once all that was changed so far, this turn included, is durable.
    pub(crate) fn effect(&mut self, effect: E) {
        self.caused.push(effect);
    }

    /// Ends a turn: its changes become one batch, and its effects wait for it.
    pub(crate) fn close(&mut self) {
        if !self.open.is_empty() {
            self.issued += 1;
            let batch = std::mem::take(&mut self.open);
            self.ready.push_back(Step::Commit(self.issued, batch));
        }
        for effect in self.caused.drain(..) {
            if self.issued <= self.committed {
                self.ready.push_back(Step::Effect(effect));
            } else {
                self.held.push_back((self.issued, effect));
            }
        }
    }

    /// All batches up to this one are durable; `stamp` sees each effect as it is released.
    pub(crate) fn committed(&mut self, seq: u64, mut stamp: impl FnMut(&mut E)) {
        self.committed = self.committed.max(seq.min(self.issued));
        while self
            .in_flight
            .front()
            .is_some_and(|(of, ..)| *of <= self.committed)
        {
            let Some((of, family, key)) = self.in_flight.pop_front() else {
                break;
            };
            let key = (family, key);
            if self
                .overlay
                .get(&key)
                .is_some_and(|(latest, _)| *latest == of)
            {
                self.overlay.remove(&key);
            }
        }
        while self
            .held
            .front()
            .is_some_and(|(after, _)| *after <= self.committed)
        {
            let Some((_, mut effect)) = self.held.pop_front() else {
                break;
            };
            stamp(&mut effect);
            self.ready.push_back(Step::Effect(effect));
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Step<E>> {
        self.ready.pop_front()
    }

    /// How many batches are not durable yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.issued - self.committed
    }

    fn remember(&mut self, family: Family, key: &[u8], value: Option<Vec<u8>>) {
        let seq = self.issued + 1;
        self.in_flight.push_back((seq, family, key.to_vec()));
        self.overlay.insert((family, key.to_vec()), (seq, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn steps(ledger: &mut Ledger<u32>) -> Vec<Result<u64, u32>> {
        std::iter::from_fn(|| ledger.poll())
            .map(|step| match step {
                Step::Commit(seq, _) => Ok(seq),
                Step::Effect(effect) => Err(effect),
            })
            .collect()
    }

    #[test]
    fn effects_wait_for_the_batches_before_them() {
        let mut ledger = Ledger::new(Arc::new(MemoryStore::new()));
        ledger.effect(1);
        ledger.close();
        assert_eq!(steps(&mut ledger), [Err(1)], "nothing to wait for");
        ledger.effect(2);
        ledger.put(Family::Seen, *b"a", *b"1");
        ledger.effect(3);
        ledger.close();
        ledger.effect(4);
        ledger.close();
        ledger.put(Family::Seen, *b"b", *b"1");
        ledger.effect(5);
        ledger.close();
        assert_eq!(steps(&mut ledger), [Ok(1), Ok(2)]);
        assert_eq!(ledger.in_flight(), 2);
        ledger.committed(1, |_| ());
        assert_eq!(steps(&mut ledger), [Err(2), Err(3), Err(4)]);
        ledger.committed(9, |effect| *effect += 10);
        assert_eq!(steps(&mut ledger), [Err(15)]);
        assert_eq!(ledger.in_flight(), 0);
    }

    #[test]
    fn reads_see_what_is_not_durable_yet() {
        let store = Arc::new(MemoryStore::new());
        let mut ledger = Ledger::<u32>::new(store.clone());
        ledger.put(Family::Seen, *b"a", *b"1");
        ledger.close();
        ledger.delete(Family::Seen, *b"a");
        assert_eq!(ledger.get(Family::Seen, b"a").unwrap(), None);
        ledger.close();
        let Some(Step::Commit(1, batch)) = ledger.poll() else {
            panic!("the first batch")
        };
        store.write(&batch, false).unwrap();
        ledger.committed(1, |_| ());
        assert_eq!(
            ledger.get(Family::Seen, b"a").unwrap(),
            None,
            "the later change still hides it"
        );
        let Some(Step::Commit(2, batch)) = ledger.poll() else {
            panic!("the second batch")
        };
        store.write(&batch, false).unwrap();
        ledger.committed(2, |_| ());
        assert_eq!(ledger.get(Family::Seen, b"a").unwrap(), None);
        ledger.put(Family::Seen, *b"a", *b"2");
        assert_eq!(ledger.get(Family::Seen, b"a").unwrap().unwrap(), b"2");
    }
}
