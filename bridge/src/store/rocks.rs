//! The store on the disk: one RocksDB, one column family per [`Family`], one `WriteBatch` per batch.

use std::path::Path;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use super::{Batch, Entry, Family, SCHEMA_KEY, SCHEMA_VERSION, Store, StoreError};

/// A store in a directory. Only one process at a time can hold it.
pub struct RocksStore {
    db: DB,
}

impl RocksStore {
    /// Opens the database in a directory, or makes it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let families = Family::ALL
            .iter()
            .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(*family)));
        let db = DB::open_cf_descriptors(&database_options(), directory, families)
            .map_err(|error| open_error(directory, &error))?;
        let store = Self { db };
        store.check_schema()?;
        Ok(store)
    }

    /// Writes everything to the disk; called before the process ends.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(|error| io(&error))
    }

    /// The bytes that a family takes on the disk and in memory tables, about.
    pub fn bytes(&self, family: Family) -> u64 {
        let property = |name: &str| {
            let value = self.db.property_int_value_cf(self.cf(family), name);
            value.ok().flatten().unwrap_or(0)
        };
        property("rocksdb.total-sst-files-size") + property("rocksdb.cur-size-all-mem-tables")
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let Some(stored) = self.get(Family::Meta, SCHEMA_KEY)? else {
            let mut batch = Batch::default();
            batch.put(Family::Meta, SCHEMA_KEY, SCHEMA_VERSION.to_be_bytes());
            return self.write(&batch, true);
        };
        let version = <[u8; 4]>::try_from(stored.as_slice())
            .map(u32::from_be_bytes)
            .map_err(|_| StoreError::corrupt(Family::Meta))?;
        if version > SCHEMA_VERSION {
            return Err(StoreError::NewerSchema {
                found: version,
                known: SCHEMA_VERSION,
            });
        }
        Ok(())
    }

    fn cf(&self, family: Family) -> &ColumnFamily {
        self.db
            .cf_handle(family.name())
            .expect("every family was opened with the database")
    }
}

impl Store for RocksStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .get_cf(self.cf(family), key)
            .map_err(|error| io(&error))
    }

    fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let start = prefix.max(from);
        let mode = IteratorMode::From(start, Direction::Forward);
        let mut found = Vec::new();
        for entry in self.db.iterator_cf(self.cf(family), mode).take(limit) {
            let (key, value) = entry.map_err(|error| io(&error))?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.into_vec(), value.into_vec()));
        }
        Ok(found)
    }

    fn write(&self, batch: &Batch, sync: bool) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for op in batch.ops() {
            let cf = self.cf(op.family);
            match &op.value {
                Some(value) => writes.put_cf(cf, &op.key, value),
                None => writes.delete_cf(cf, &op.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db
            .write_opt(writes, &options)
            .map_err(|error| io(&error))
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(MEMTABLES_BYTES);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_open_files(OPEN_FILES);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options
}

fn family_options(family: Family) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(MEMTABLE_BYTES);
    match family {
        // Large and already encrypted: nothing to gain from compression.
        Family::Envelopes
        | Family::ReplyBlocks
        | Family::Posts
        | Family::Outbox
        | Family::Mailbox => {
            options.set_compression_type(rocksdb::DBCompressionType::None);
        }
        Family::Meta
        | Family::Seen
        | Family::Registrations
        | Family::MvdsStates
        | Family::MvdsMessages
        | Family::Requests => options.set_compression_type(rocksdb::DBCompressionType::Lz4),
    }
    options
}

fn open_error(directory: &Path, error: &rocksdb::Error) -> StoreError {
    let reason = error.to_string();
    let directory = directory.to_path_buf();
    // By another process, or by this one.
    if reason.contains("While lock file") || reason.contains("lock hold by current process") {
        StoreError::Locked { directory }
    } else {
        StoreError::Open { directory, reason }
    }
}

fn io(error: &rocksdb::Error) -> StoreError {
    StoreError::Io(error.to_string())
}

/// Memory for writes of one family before they go to a file: a bridge at rest should be small.
const MEMTABLE_BYTES: usize = 2 << 20;
/// The same for all families together.
const MEMTABLES_BYTES: usize = 8 << 20;
/// The write-ahead log is replayed at start; this much takes well under a second.
const WAL_BYTES: u64 = 32 << 20;
/// Part of the budget of 512 file descriptors for the database.
const OPEN_FILES: i32 = 256;
/// RocksDB's own log files.
const LOG_FILES: usize = 2;
/// Flushes and compactions at a time; the machine has other work.
const BACKGROUND_JOBS: i32 = 2;
