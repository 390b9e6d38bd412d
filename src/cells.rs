//! The cells of this node's mailbox on the disk: a RocksDB of its own, in `<dir>/mailbox`.
//!
//! ```text
//! cells  box id (32) → until (8, big-endian, Unix seconds) ‖ cell (3136)
//! meta   "schema" → version (4, big-endian)
//! ```
//!
//! A batch is on the disk when it is written: whoever put a cell is answered only then.

use std::path::Path;

use mixnet::mailbox::chain::BOX_ID_LEN;
use mixnet::mailbox::store::Write;
use mixnet::mailbox::{BoxId, CELL_LEN, Cell, CellStore, CellStoreError, Kept};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use crate::archive::{broken, damaged, open_failed};
use crate::failure::StartError;

/// The version of what the database holds. A newer one is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// Cells in a directory. Only one process at a time can hold it.
#[derive(Debug)]
pub struct RocksCells {
    db: DB,
}

impl RocksCells {
    /// Opens the database in a directory, or makes it.
    pub fn open(directory: &Path) -> Result<Self, StartError> {
        let families = [CELLS, META].map(|name| ColumnFamilyDescriptor::new(name, family(name)));
        let db = DB::open_cf_descriptors(&options(), directory, families)
            .map_err(|error| open_failed(directory, &error))?;
        let cells = Self { db };
        cells.check_schema(directory)?;
        Ok(cells)
    }

    fn check_schema(&self, path: &Path) -> Result<(), StartError> {
        let failed = |error: rocksdb::Error| broken(path, error.to_string());
        let meta = self.family(META);
        let Some(stored) = self.db.get_cf(meta, SCHEMA_KEY).map_err(failed)? else {
            let version = SCHEMA_VERSION.to_be_bytes();
            return self.db.put_cf(meta, SCHEMA_KEY, version).map_err(failed);
        };
        let version = <[u8; 4]>::try_from(&stored[..]);
        let found = version.map_err(|_| damaged(path, "its schema version does not decode"))?;
        let found = u32::from_be_bytes(found);
        if found > SCHEMA_VERSION {
            return Err(StartError::DatabaseVersion {
                path: path.to_owned(),
                found,
                known: SCHEMA_VERSION,
            });
        }
        Ok(())
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("both families were opened with the database")
    }
}

impl CellStore for RocksCells {
    fn load(&self, id: &BoxId) -> Result<Option<Cell>, CellStoreError> {
        let value = self
            .db
            .get_cf(self.family(CELLS), id.as_bytes())
            .map_err(io)?;
        value
            .map(|value| split(&value).map(|(_, cell)| cell))
            .transpose()
    }

    fn write(&mut self, batch: &[Write]) -> Result<(), CellStoreError> {
        let mut writes = WriteBatch::default();
        for change in batch {
            match change {
                Write::Put(id, until_s, cell) => {
                    let value = [&until_s.to_be_bytes()[..], cell.as_bytes()].concat();
                    writes.put_cf(self.family(CELLS), id.as_bytes(), value);
                }
                Write::Delete(id) => writes.delete_cf(self.family(CELLS), id.as_bytes()),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(writes, &options).map_err(io)
    }

    fn scan(&self, each: &mut dyn FnMut(Kept)) -> Result<(), CellStoreError> {
        for entry in self.db.iterator_cf(self.family(CELLS), IteratorMode::Start) {
            let (key, value) = entry.map_err(io)?;
            let id: [u8; BOX_ID_LEN] = key[..]
                .try_into()
                .map_err(|_| CellStoreError::Corrupt(key.len()))?;
            each(Kept {
                id: BoxId::from_bytes(id),
                until_s: split(&value)?.0,
            });
        }
        Ok(())
    }
}

/// Until when, and the cell.
fn split(value: &[u8]) -> Result<(u64, Cell), CellStoreError> {
    let corrupt = || CellStoreError::Corrupt(value.len());
    let (until, cell) = value.split_first_chunk::<8>().ok_or_else(corrupt)?;
    let cell = Cell::from_slice(cell).ok_or_else(corrupt)?;
    Ok((u64::from_be_bytes(*until), cell))
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_open_files(OPEN_FILES);
    options.set_keep_log_file_num(LOG_FILES);
    options
}

fn family(name: &str) -> Options {
    let mut options = Options::default();
    if name == CELLS {
        options.set_write_buffer_size(MEMTABLE_BYTES);
        // Sealed: nothing to gain.
        options.set_compression_type(DBCompressionType::None);
    }
    options
}

fn io(error: rocksdb::Error) -> CellStoreError {
    CellStoreError::Io(error.to_string())
}

/// Cells by box.
const CELLS: &str = "cells";
/// Facts of the database itself.
const META: &str = "meta";
const SCHEMA_KEY: &[u8] = b"schema";
/// Memory for cells before they go to a file: a minute of a busy mailbox.
const MEMTABLE_BYTES: usize = 8 << 20;
/// The write-ahead log is replayed at start; this much takes well under a second.
const WAL_BYTES: u64 = 32 << 20;
/// Part of the budget of 512 file descriptors for the mailbox.
const OPEN_FILES: i32 = 128;
/// RocksDB's own log files.
const LOG_FILES: usize = 2;

const _: () = assert!(CELL_LEN == 3136);

#[cfg(test)]
mod tests {
    use super::*;
    use mixnet::mailbox::MemoryCells;

    fn cell(byte: u8) -> Cell {
        Cell::from_slice(&[byte; CELL_LEN]).unwrap()
    }

    fn kept(store: &dyn CellStore) -> Vec<Kept> {
        let mut kept = Vec::new();
        store.scan(&mut |cell| kept.push(cell)).unwrap();
        kept
    }

    #[test]
    fn the_disk_holds_what_memory_holds_and_after_a_restart_too() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("mailbox");
        let mut disk = RocksCells::open(&path).unwrap();
        let mut memory = MemoryCells::default();
        let ids: Vec<BoxId> = (0..6).map(|n| BoxId::from_bytes([n; 32])).collect();
        let batches = [
            vec![
                Write::Put(ids[3], 30, cell(3)),
                Write::Put(ids[1], 10, cell(1)),
            ],
            vec![Write::Delete(ids[1]), Write::Put(ids[5], 50, cell(5))],
            vec![Write::Put(ids[3], 31, cell(4)), Write::Delete(ids[0])],
        ];
        for batch in &batches {
            disk.write(batch).unwrap();
            memory.write(batch).unwrap();
            let same = |id| assert_eq!(disk.load(id).unwrap(), memory.load(id).unwrap());
            ids.iter().for_each(same);
        }
        assert_eq!(kept(&disk), kept(&memory));
        assert!(RocksCells::open(&path).is_err(), "it is held");
        drop(disk);
        assert_eq!(kept(&RocksCells::open(&path).unwrap()), kept(&memory));
    }

    #[test]
    fn a_damaged_entry_and_a_newer_schema_are_named() {
        let base = tempfile::tempdir().unwrap();
        let cells = RocksCells::open(base.path()).unwrap();
        cells
            .db
            .put_cf(cells.family(CELLS), [1; 32], b"short")
            .unwrap();
        let id = BoxId::from_bytes([1; 32]);
        assert_eq!(cells.load(&id), Err(CellStoreError::Corrupt(5)));
        assert!(cells.scan(&mut |_| ()).is_err());
        cells
            .db
            .put_cf(cells.family(META), SCHEMA_KEY, 2u32.to_be_bytes())
            .unwrap();
        drop(cells);
        let refused = RocksCells::open(base.path()).unwrap_err();
        assert!(matches!(
            refused,
            StartError::DatabaseVersion { found: 2, .. }
        ));
    }
}
