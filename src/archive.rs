//! The mailserver's archive on the disk: a RocksDB of its own, in `<dir>/archive`.
//!
//! ```text
//! rows   key of the envelope (40 bytes, or 36 of older archives) → the envelope
//! meta   "schema" → version (4, big-endian)      "totals" → rows (8) ‖ bytes (8)
//! ```
//!
//! Rows and totals change in one batch, so they always agree. A batch is in the write-ahead log when it is acknowledged: it
//! survives the end of the process, and the end of the machine once the system has written it.

use std::path::Path;

use legacy::mailserver::archive::{Page, Paging, Prune, Query, Row, Totals};
use legacy::mailserver::{Archive, ArchiveError, Key};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode, Options,
    ReadOptions, WriteBatch,
};

use crate::failure::StartError;

/// The version of what the database holds. A newer one is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// An archive in a directory. Only one process at a time can hold it.
#[derive(Debug)]
pub struct RocksArchive {
    db: DB,
    totals: Totals,
    /// No row is before this key: a removal need not look again at what it has removed.
    first: Vec<u8>,
}

impl RocksArchive {
    /// Opens the database in a directory, or makes it.
    pub fn open(directory: &Path) -> Result<Self, StartError> {
        let families = [ROWS, META].map(|name| ColumnFamilyDescriptor::new(name, family(name)));
        let db = DB::open_cf_descriptors(&options(), directory, families)
            .map_err(|error| open_failed(directory, &error))?;
        let mut archive = Self {
            db,
            totals: Totals::default(),
            first: Vec::new(),
        };
        archive.check_schema(directory)?;
        archive.totals = archive.stored_totals(directory)?;
        Ok(archive)
    }

    fn check_schema(&self, path: &Path) -> Result<(), StartError> {
        let Some(stored) = self.meta(SCHEMA_KEY).map_err(|why| broken(path, why))? else {
            let version = SCHEMA_VERSION.to_be_bytes();
            let written = self.db.put_cf(self.family(META), SCHEMA_KEY, version);
            return written.map_err(|error| broken(path, error.to_string()));
        };
        let damaged = || damaged(path, "its schema version does not decode");
        let version = <[u8; 4]>::try_from(&stored[..]).map_err(|_| damaged())?;
        let found = u32::from_be_bytes(version);
        if found > SCHEMA_VERSION {
            return Err(StartError::DatabaseVersion {
                path: path.to_owned(),
                found,
                known: SCHEMA_VERSION,
            });
        }
        Ok(())
    }

    fn stored_totals(&self, path: &Path) -> Result<Totals, StartError> {
        let Some(stored) = self.meta(TOTALS_KEY).map_err(|why| broken(path, why))? else {
            return Ok(Totals::default());
        };
        decode(&stored).ok_or_else(|| damaged(path, "its totals do not decode"))
    }

    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let value = self.db.get_cf(self.family(META), key);
        value.map_err(|error| error.to_string())
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("both families were opened with the database")
    }

    /// Whether there is a row of this place, with or without a topic in its key.
    fn holds(&self, place: &[u8]) -> Result<bool, ArchiveError> {
        let mode = IteratorMode::From(place, Direction::Forward);
        let first = self.db.iterator_cf(self.family(ROWS), mode).next();
        let (key, _) = match first.transpose().map_err(io)? {
            Some(row) => row,
            None => return Ok(false),
        };
        Ok(key.starts_with(place))
    }

    /// Writes rows and totals together.
    fn commit(&mut self, mut batch: WriteBatch, totals: Totals) -> Result<(), ArchiveError> {
        batch.put_cf(self.family(META), TOTALS_KEY, encode(totals));
        self.db.write(batch).map_err(io)?;
        self.totals = totals;
        Ok(())
    }
}

impl Archive for RocksArchive {
    fn store(&mut self, rows: &[Row]) -> Result<u64, ArchiveError> {
        let mut batch = WriteBatch::default();
        let (mut new, mut totals) = (std::collections::BTreeSet::new(), self.totals);
        let mut least: Option<Vec<u8>> = None;
        for row in rows {
            let place = row.key.cursor();
            if new.contains(&place) || self.holds(&place.to_bytes())? {
                continue;
            }
            new.insert(place);
            totals.rows += 1;
            totals.bytes += row.bytes();
            let key = row.key.to_bytes();
            batch.put_cf(self.family(ROWS), &key, &row.envelope);
            least = Some(least.map_or(key.clone(), |least| least.min(key)));
        }
        if new.is_empty() {
            return Ok(0);
        }
        self.commit(batch, totals)?;
        if let Some(least) = least.filter(|least| *least < self.first) {
            self.first = least;
        }
        Ok(new.len() as u64)
    }

    fn read(&mut self, query: &Query) -> Result<Page, ArchiveError> {
        let mut paging = Paging::new(query);
        let start = paging.start().to_bytes();
        let mut options = ReadOptions::default();
        if let Some(end) = query.upper.checked_add(1) {
            options.set_iterate_upper_bound(end.to_be_bytes());
        }
        let mode = IteratorMode::From(&start, Direction::Forward);
        let rows = self.db.iterator_cf_opt(self.family(ROWS), options, mode);
        for row in rows {
            let (key, envelope) = row.map_err(io)?;
            if !paging.offer(key_of(&key)?, &envelope)? {
                return Ok(paging.finish(false));
            }
        }
        Ok(paging.finish(true))
    }

    fn prune(&mut self, prune: &Prune) -> Result<u64, ArchiveError> {
        let mut batch = WriteBatch::default();
        let (mut removed, mut totals) = (0, self.totals);
        let mut first = self.first.clone();
        let mode = IteratorMode::From(&self.first, Direction::Forward);
        for row in self.db.iterator_cf(self.family(ROWS), mode) {
            let (key, envelope) = row.map_err(io)?;
            first = key.to_vec();
            let old = key_of(&key)?.cursor().sent() < prune.before;
            if removed as usize >= prune.rows_max || !(old || totals.bytes > prune.bytes_max) {
                break;
            }
            removed += 1;
            totals.rows = totals.rows.saturating_sub(1);
            let bytes = (Key::LEN + envelope.len()) as u64;
            totals.bytes = totals.bytes.saturating_sub(bytes);
            batch.delete_cf(self.family(ROWS), &key);
        }
        if removed > 0 {
            self.commit(batch, totals)?;
        }
        self.first = first;
        Ok(removed)
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn newest(&self) -> Result<Option<u32>, ArchiveError> {
        let rows = self.db.iterator_cf(self.family(ROWS), IteratorMode::End);
        let Some((key, _)) = rows.take(1).next().transpose().map_err(io)? else {
            return Ok(None);
        };
        Ok(Some(key_of(&key)?.cursor().sent()))
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        self.db.flush_wal(true).map_err(io)
    }
}

fn key_of(bytes: &[u8]) -> Result<Key, ArchiveError> {
    Key::from_bytes(bytes)
        .ok_or_else(|| ArchiveError::Corrupt(format!("a key of {} bytes", bytes.len())))
}

fn encode(totals: Totals) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&totals.rows.to_be_bytes());
    bytes[8..].copy_from_slice(&totals.bytes.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Totals> {
    let (rows, bytes) = bytes.split_first_chunk()?;
    Some(Totals {
        rows: u64::from_be_bytes(*rows),
        bytes: u64::from_be_bytes(bytes.try_into().ok()?),
    })
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
    if name == ROWS {
        options.set_write_buffer_size(MEMTABLE_BYTES);
        // Sealed: nothing to gain.
        options.set_compression_type(DBCompressionType::None);
    }
    options
}

pub(crate) fn open_failed(path: &Path, error: &rocksdb::Error) -> StartError {
    let why = error.to_string();
    let path = path.to_owned();
    // By another process, or by this one.
    if why.contains("While lock file") || why.contains("lock hold by current process") {
        StartError::DatabaseLocked { path }
    } else if error.kind() == rocksdb::ErrorKind::Corruption {
        StartError::DatabaseCorrupt { path, why }
    } else {
        StartError::Database { path, why }
    }
}

pub(crate) fn broken(path: &Path, why: String) -> StartError {
    StartError::Database {
        path: path.to_owned(),
        why,
    }
}

pub(crate) fn damaged(path: &Path, why: &str) -> StartError {
    StartError::DatabaseCorrupt {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

fn io(error: rocksdb::Error) -> ArchiveError {
    ArchiveError::Io(error.to_string())
}

/// Envelopes by key.
const ROWS: &str = "rows";
/// Facts of the archive itself.
const META: &str = "meta";
const SCHEMA_KEY: &[u8] = b"schema";
const TOTALS_KEY: &[u8] = b"totals";
/// Memory for rows before they go to a file: seconds of a busy network.
const MEMTABLE_BYTES: usize = 8 << 20;
/// The write-ahead log is replayed at start; this much takes well under a second.
const WAL_BYTES: u64 = 32 << 20;
/// Part of the budget of 512 file descriptors for the archive.
const OPEN_FILES: i32 = 128;
/// RocksDB's own log files.
const LOG_FILES: usize = 2;

#[cfg(test)]
mod tests;
