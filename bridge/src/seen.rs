//! What was taken already, for seven days: `scope (16) ‖ id (32) → until (4, Unix seconds)`.
//!
//! The scope is the tag of a registration at the bridge, and one of two fixed values at the edge.
//! Entries outlive what they stand for, so that a late repetition is still recognised.

use crate::ledger::Ledger;
use crate::store::{Family, StoreError};

/// How long an id is remembered: longer than any time to live, MVDS retry and mixnet delay together.
pub(crate) const WINDOW_S: u32 = 7 * 24 * 3600;

/// Entries looked at in one step of the sweep: a step stays far below a millisecond.
const SWEEP_STEP: usize = 256;

/// Whose ids they are.
pub(crate) type Scope = [u8; 16];

/// Whether the id was noted under this scope and its time is not over.
pub(crate) fn contains<E>(
    ledger: &Ledger<E>,
    scope: &Scope,
    id: &[u8; 32],
    now_s: u32,
) -> Result<bool, StoreError> {
    let Some(value) = ledger.get(Family::Seen, &key(scope, id))? else {
        return Ok(false);
    };
    Ok(until(&value)? > now_s)
}

/// Notes an id for the length of the window.
pub(crate) fn note<E>(ledger: &mut Ledger<E>, scope: &Scope, id: &[u8; 32], now_s: u32) {
    let until = now_s.saturating_add(WINDOW_S);
    ledger.put(Family::Seen, key(scope, id), until.to_be_bytes());
}

/// Walks a family whose values begin with the time until which they hold, in small steps, and removes what is over.
pub(crate) struct Sweep {
    family: Family,
    from: Vec<u8>,
}

impl Sweep {
    pub(crate) fn new(family: Family) -> Self {
        Self {
            family,
            from: Vec::new(),
        }
    }

    /// One step; returns how many entries went.
    pub(crate) fn step<E>(
        &mut self,
        ledger: &mut Ledger<E>,
        now_s: u32,
    ) -> Result<usize, StoreError> {
        let page = ledger
            .store()
            .scan(self.family, b"", &self.from, SWEEP_STEP)?;
        self.from = match page.last() {
            Some((key, _)) if page.len() == SWEEP_STEP => [key.as_slice(), &[0]].concat(),
            Some(_) | None => Vec::new(),
        };
        let mut removed = 0;
        for (key, value) in page {
            // What is in flight may say more than the page does.
            let value = ledger.get(self.family, &key)?.unwrap_or(value);
            if until(&value)? <= now_s {
                ledger.delete(self.family, key);
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn key(scope: &Scope, id: &[u8; 32]) -> Vec<u8> {
    [scope.as_slice(), id].concat()
}

fn until(value: &[u8]) -> Result<u32, StoreError> {
    let (until, _) = value
        .split_first_chunk::<4>()
        .ok_or_else(|| StoreError::corrupt(Family::Seen))?;
    Ok(u32::from_be_bytes(*until))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::Step;
    use crate::store::{MemoryStore, Store};

    fn settle(ledger: &mut Ledger<()>, store: &MemoryStore) {
        ledger.close();
        while let Some(step) = ledger.poll() {
            let Step::Commit(seq, batch) = step else {
                continue;
            };
            store.write(&batch, false).unwrap();
            ledger.committed(seq, |()| ());
        }
    }

    #[test]
    fn an_id_is_known_in_its_scope_for_its_time() {
        let store = Arc::new(MemoryStore::new());
        let mut ledger = Ledger::new(store.clone());
        note(&mut ledger, &[1; 16], &[7; 32], 1000);
        for durable in [false, true] {
            assert!(contains(&ledger, &[1; 16], &[7; 32], 1000).unwrap());
            assert!(!contains(&ledger, &[2; 16], &[7; 32], 1000).unwrap());
            assert!(!contains(&ledger, &[1; 16], &[8; 32], 1000).unwrap());
            assert!(
                !contains(&ledger, &[1; 16], &[7; 32], 1000 + WINDOW_S).unwrap(),
                "{durable}"
            );
            settle(&mut ledger, &store);
        }
    }

    #[test]
    fn the_sweep_removes_what_is_over_and_nothing_else() {
        let store = Arc::new(MemoryStore::new());
        let mut ledger = Ledger::new(store.clone());
        for n in 0..1000u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            note(&mut ledger, &[1; 16], &id, n);
        }
        settle(&mut ledger, &store);
        let mut sweep = Sweep::new(Family::Seen);
        let mut removed = 0;
        for _ in 0..8 {
            removed += sweep.step(&mut ledger, WINDOW_S + 499).unwrap();
            settle(&mut ledger, &store);
        }
        assert_eq!(removed, 500);
        assert_eq!(store.count(Family::Seen), 500);
    }
}
