//! Where a mailbox keeps its cells.
//!
//! Reads are point look-ups; a batch of writes is on the disk, or in memory, when [`CellStore::write`] returns. The server answers
//! only then.

use std::collections::BTreeMap;

use thiserror::Error;

use super::cell::Cell;
use super::chain::BoxId;

/// One change.
#[derive(Clone, Debug)]
pub enum Write {
    /// Keep a cell until then, Unix seconds.
    Put(BoxId, u64, Cell),
    /// Remove it.
    Delete(BoxId),
}

/// What is known of a kept cell without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which box.
    pub id: BoxId,
    /// Until when, Unix seconds.
    pub until_s: u64,
}

/// A store of cells.
pub trait CellStore {
    /// The cell of a box.
    fn load(&self, id: &BoxId) -> Result<Option<Cell>, CellStoreError>;

    /// Makes all changes or none; they survive a crash from the return on.
    fn write(&mut self, batch: &[Write]) -> Result<(), CellStoreError>;

    /// Every kept cell, in any order.
    fn scan(&self, each: &mut dyn FnMut(Kept)) -> Result<(), CellStoreError>;
}

/// Why a store fails. Nothing is answered then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CellStoreError {
    /// Reading or writing failed.
    #[error("the cells cannot be read or written: {0}")]
    Io(String),
    /// An entry does not decode.
    #[error(
        "an entry of {0} bytes is no kept cell: restore a backup, or remove the mailbox's database"
    )]
    Corrupt(usize),
}

/// Cells in memory: for tests and simulations.
#[derive(Debug, Default)]
pub struct MemoryCells {
    cells: BTreeMap<BoxId, (u64, Cell)>,
}

impl CellStore for MemoryCells {
    fn load(&self, id: &BoxId) -> Result<Option<Cell>, CellStoreError> {
        Ok(self.cells.get(id).map(|(_, cell)| cell.clone()))
    }

    fn write(&mut self, batch: &[Write]) -> Result<(), CellStoreError> {
        for change in batch {
            match change {
                Write::Put(id, until_s, cell) => {
                    self.cells.insert(*id, (*until_s, cell.clone()));
                }
                Write::Delete(id) => {
                    self.cells.remove(id);
                }
            }
        }
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(Kept)) -> Result<(), CellStoreError> {
        for (id, (until_s, _)) in &self.cells {
            each(Kept {
                id: *id,
                until_s: *until_s,
            });
        }
        Ok(())
    }
}
