//! The durable store: families of ordered keys, changed only in whole batches.
//!
//! Keys are compared as bytes, so a scan of a family runs in the order of its keys. A batch is
//! applied whole or not at all; within it, the last operation on a key wins. Reads are synchronous
//! and small; writes leave the cores as batches and are made by the shell.

mod memory;
#[cfg(feature = "shell")]
mod rocks;

use std::path::PathBuf;

pub use memory::MemoryStore;
#[cfg(feature = "shell")]
pub use rocks::RocksStore;

/// The version of what the families hold. A store of a newer version is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// Where the schema version stands, in [`Family::Meta`].
pub const SCHEMA_KEY: &[u8] = b"schema";

/// What is stored; each is a column family of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Schema version and other facts of the store itself.
    Meta,
    /// Envelopes that wait for an acknowledgement: hash → RLP.
    Envelopes,
    /// Content ids already taken: scope, content id → until when.
    Seen,
    /// Registrations: tag → keys, filters, lease.
    Registrations,
    /// MVDS epochs and records: tag, kind, id → record.
    MvdsStates,
    /// MVDS messages: tag, message id → where its body is.
    MvdsMessages,
    /// Unused reply blocks: tag, counter, index → block.
    ReplyBlocks,
    /// Posts at the bridge: post id → stage, sealed bytes, reply path.
    Posts,
    /// Requests already answered: request id → answer.
    Requests,
    /// Posts of the local client: post id → sealed bytes, stage.
    Outbox,
    /// Chains of mailbox boxes. Bridge: tag, part → what is left there; edge: registration → key, position.
    Mailbox,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Envelopes,
        Self::Seen,
        Self::Registrations,
        Self::MvdsStates,
        Self::MvdsMessages,
        Self::ReplyBlocks,
        Self::Posts,
        Self::Requests,
        Self::Outbox,
        Self::Mailbox,
    ];

    /// Its name on the disk and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Envelopes => "envelopes",
            Self::Seen => "seen",
            Self::Registrations => "registrations",
            Self::MvdsStates => "mvds_states",
            Self::MvdsMessages => "mvds_messages",
            Self::ReplyBlocks => "reply_blocks",
            Self::Posts => "posts",
            Self::Requests => "requests",
            Self::Outbox => "outbox",
            Self::Mailbox => "mailbox",
        }
    }
}

/// One change of a batch.
#[derive(Clone, PartialEq, Eq)]
pub struct Op {
    /// Where.
    pub family: Family,
    /// The key.
    pub key: Vec<u8>,
    /// The new value; none deletes the key.
    pub value: Option<Vec<u8>>,
}

/// Changes that are made together.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} operations)", self.ops.len())
    }
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op {
            family,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.ops.push(Op {
            family,
            key: key.into(),
            value: None,
        });
    }

    /// The changes in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Adds the changes of a later batch.
    pub fn append(&mut self, mut later: Batch) {
        self.ops.append(&mut later.ops);
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Where batches go and what they left.
pub trait Store: Send + Sync {
    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` entries whose keys begin with `prefix` and are not before `from`, in the order of
    /// their keys.
    fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Makes all changes of a batch or none; with `sync` they survive a power cut from the return on, without it
    /// the end of the process.
    fn write(&self, batch: &Batch, sync: bool) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for std::sync::Arc<S> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(family, key)
    }

    fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        (**self).scan(family, prefix, from, limit)
    }

    fn write(&self, batch: &Batch, sync: bool) -> Result<(), StoreError> {
        (**self).write(batch, sync)
    }
}

/// All entries whose keys begin with `prefix`, read in pages.
pub fn scan_all(
    store: &dyn Store,
    family: Family,
    prefix: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = prefix.to_vec();
    loop {
        let page = store.scan(family, prefix, &from, SCAN_PAGE)?;
        for (key, value) in &page {
            each(key, value)?;
        }
        match page.last() {
            Some((key, _)) if page.len() == SCAN_PAGE => {
                from.clone_from(key);
                from.push(0); // the least key after this one
            }
            Some(_) | None => return Ok(()),
        }
    }
}

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds it.
    #[error(
        "the database in {} is in use by a running node; stop that node, or give this one a directory of its own",
        directory.display()
    )]
    Locked {
        /// The directory of the database.
        directory: PathBuf,
    },
    /// A later release wrote it.
    #[error(
        "the database has schema version {found}, this build knows up to {known}; run the newer release that wrote it"
    )]
    NewerSchema {
        /// The version in the database.
        found: u32,
        /// The version of this build.
        known: u32,
    },
    /// An entry does not decode.
    #[error(
        "the database is damaged: an entry of {family} does not decode; restore a backup or remove the database"
    )]
    Corrupt {
        /// The name of the family.
        family: &'static str,
    },
    /// It cannot be opened.
    #[error("the database in {} cannot be opened: {reason}", directory.display())]
    Open {
        /// The directory of the database.
        directory: PathBuf,
        /// What the database says.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("the database cannot be read or written: {0}")]
    Io(String),
}

impl StoreError {
    /// An entry of this family does not decode.
    pub fn corrupt(family: Family) -> Self {
        Self::Corrupt {
            family: family.name(),
        }
    }
}

/// How many entries one page of [`scan_all`] holds: enough to make the cost of a page small, few enough
/// that a page of the largest values stays below some megabytes.
const SCAN_PAGE: usize = 256;

#[cfg(test)]
mod tests;
