//! A store in memory, for tests and simulations: what was written is there, nothing else.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Entry, Family, SCHEMA_KEY, SCHEMA_VERSION, Store, StoreError};

/// Families one after the other, each in the order of its keys.
type Key = (Family, Vec<u8>);

/// A store that lasts as long as its value.
#[derive(Default)]
pub struct MemoryStore {
    entries: RwLock<BTreeMap<Key, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store of the present schema.
    pub fn new() -> Self {
        let store = Self::default();
        let mut entries = store
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        entries.insert(
            (Family::Meta, SCHEMA_KEY.to_vec()),
            SCHEMA_VERSION.to_be_bytes().to_vec(),
        );
        drop(entries);
        store
    }

    /// How many entries a family has.
    pub fn count(&self, family: Family) -> usize {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.keys().filter(|(f, _)| *f == family).count()
    }
}

impl Store for MemoryStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let start = prefix.max(from).to_vec();
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries
            .range((family, start)..)
            .take_while(|((f, key), _)| *f == family && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn write(&self, batch: &Batch, _sync: bool) -> Result<(), StoreError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch.ops() {
            let key = (op.family, op.key.clone());
            match &op.value {
                Some(value) => entries.insert(key, value.clone()),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }
}
