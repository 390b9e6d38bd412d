//! Where envelopes are kept: an ordered table of keys, and what a mailserver does with it.
//!
//! ```text
//! Store   rows that are not there yet, all of them or none
//! Read    the rows of a time that somebody wants, from a place on; ends early when it has enough
//! Prune   the oldest rows, while they are too old or the table is too large
//! ```
//!
//! The cores hand jobs out and get what came of them; a shell runs them on a thread of its own. [`MemoryArchive`] is for
//! tests and for nodes that need not remember. Spec: mailserver storage key.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::key::{Cursor, Key};
use super::limits;
use super::request::Wanted;
use crate::shh::envelope::Outline;
use crate::shh::{Envelope, EnvelopeHash, Topic};

/// One archived envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// Its bytes.
    pub envelope: Arc<[u8]>,
}

impl Row {
    /// The row of an envelope.
    pub fn of(envelope: &Envelope) -> Row {
        Row {
            key: Key::of(envelope),
            envelope: envelope.raw().clone(),
        }
    }

    /// What it counts of the bytes that an archive may take.
    pub fn bytes(&self) -> u64 {
        (Key::LEN + self.envelope.len()) as u64
    }
}

/// Which rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// First second of sending.
    pub lower: u32,
    /// Last second of sending.
    pub upper: u32,
    /// Only what comes behind this place.
    pub after: Option<Cursor>,
    /// Which topics.
    pub wanted: Wanted,
    /// Rows at most.
    pub rows_max: usize,
    /// Bytes of envelopes at most, unless the first is longer.
    pub bytes_max: usize,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows in the order of their keys.
    pub rows: Vec<Row>,
    /// How far it got; nothing where it got to the end.
    pub reached: Option<Cursor>,
    /// Keys that it looked at.
    pub scanned: usize,
}

/// Collects a page: the rule that every archive reads by.
#[derive(Debug)]
pub struct Paging<'a> {
    query: &'a Query,
    page: Page,
    bytes: usize,
}

impl<'a> Paging<'a> {
    /// Nothing yet.
    pub fn new(query: &'a Query) -> Paging<'a> {
        Paging {
            query,
            page: Page::default(),
            bytes: 0,
        }
    }

    /// Where to start looking: no key that is wanted is before this place.
    pub fn start(&self) -> Cursor {
        let lower = Cursor::new(self.query.lower, EnvelopeHash::new([0; 32]));
        self.query.after.map_or(lower, |after| after.max(lower))
    }

    /// Takes the next row in the order of keys. False: it was not needed any more, and no other is.
    pub fn offer(&mut self, key: Key, envelope: &[u8]) -> Result<bool, ArchiveError> {
        let query = self.query;
        if key.cursor().sent() > query.upper {
            self.page.reached = None;
            return Ok(false);
        }
        if query.after.is_some_and(|after| key.cursor() <= after) {
            return Ok(true);
        }
        let full = self.page.rows.len() >= query.rows_max
            || self.page.scanned >= limits::SCAN_ROWS_MAX
            || (self.bytes > 0 && self.bytes + envelope.len() > query.bytes_max);
        let topic = match key.topic() {
            Some(topic) => topic,
            None => topic_of(envelope)?,
        };
        let wanted = query.wanted.takes(topic) && deliverable(envelope);
        if full && (wanted || self.page.scanned >= limits::SCAN_ROWS_MAX) {
            return Ok(false);
        }
        self.page.scanned += 1;
        self.page.reached = Some(key.cursor());
        if wanted {
            self.bytes += envelope.len();
            let envelope = Arc::from(envelope);
            self.page.rows.push(Row { key, envelope });
        }
        Ok(true)
    }

    /// What was collected; `ended` where the archive had no more rows.
    pub fn finish(mut self, ended: bool) -> Page {
        if ended {
            self.page.reached = None;
        }
        self.page
    }
}

/// What is longer than a packet would end the connection of everybody who asks.
fn deliverable(envelope: &[u8]) -> bool {
    envelope.len() + limits::PACKET_SLACK <= limits::PACKET_LEN_MAX
}

fn topic_of(envelope: &[u8]) -> Result<Topic, ArchiveError> {
    Outline::parse(envelope)
        .map(|outline| outline.fields().topic())
        .map_err(|error| ArchiveError::Corrupt(format!("an envelope does not decode: {error}")))
}

/// What to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Everything sent before this second.
    pub before: u32,
    /// And the oldest, until so many bytes are left.
    pub bytes_max: u64,
    /// Rows at most.
    pub rows_max: usize,
}

/// How much an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and envelopes.
    pub bytes: u64,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Keep these.
    Store(Vec<Row>),
    /// Find these.
    Read(Query),
    /// Remove these.
    Prune(Prune),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Rows were kept, so many of them new.
    Stored {
        /// How many were not there before.
        new: u64,
        /// What the archive holds now.
        totals: Totals,
    },
    /// Rows were found.
    Read(Page),
    /// Rows were removed.
    Pruned {
        /// How many.
        rows: u64,
        /// What the archive holds now.
        totals: Totals,
    },
    /// Nothing was done.
    Failed(ArchiveError),
}

/// A table of envelopes.
pub trait Archive: Send {
    /// Keeps rows that are not there yet, all or none. What is kept survives the end of the process. How many were new is told.
    fn store(&mut self, rows: &[Row]) -> Result<u64, ArchiveError>;

    /// Finds rows. An implementation offers them to a [`Paging`] in the order of their keys.
    fn read(&mut self, query: &Query) -> Result<Page, ArchiveError>;

    /// Removes the oldest rows, and says how many.
    fn prune(&mut self, prune: &Prune) -> Result<u64, ArchiveError>;

    /// How much there is.
    fn totals(&self) -> Totals;

    /// When the newest envelope was sent.
    fn newest(&self) -> Result<Option<u32>, ArchiveError>;

    /// Writes everything to the disk; called before the process ends.
    fn flush(&mut self) -> Result<(), ArchiveError>;
}

/// Does one job.
pub fn run(archive: &mut dyn Archive, job: &Job) -> Done {
    let done = match job {
        Job::Store(rows) => archive.store(rows).map(|new| Done::Stored {
            new,
            totals: archive.totals(),
        }),
        Job::Read(query) => archive.read(query).map(Done::Read),
        Job::Prune(prune) => archive.prune(prune).map(|rows| Done::Pruned {
            rows,
            totals: archive.totals(),
        }),
    };
    done.unwrap_or_else(Done::Failed)
}

/// An archive that is gone when the process is.
#[derive(Debug, Default)]
pub struct MemoryArchive {
    rows: BTreeMap<Key, Arc<[u8]>>,
    bytes: u64,
}

impl MemoryArchive {
    /// An empty one.
    pub fn new() -> MemoryArchive {
        MemoryArchive::default()
    }

    /// Whether there is a row of this place, with or without a topic in its key.
    fn holds(&self, place: Cursor) -> bool {
        let mut from = self.rows.range(Key::at(place)..);
        from.next().is_some_and(|(key, _)| key.cursor() == place)
    }
}

impl Archive for MemoryArchive {
    fn store(&mut self, rows: &[Row]) -> Result<u64, ArchiveError> {
        let mut new = 0;
        for row in rows {
            if !self.holds(row.key.cursor()) {
                self.rows.insert(row.key, row.envelope.clone());
                self.bytes += row.bytes();
                new += 1;
            }
        }
        Ok(new)
    }

    fn read(&mut self, query: &Query) -> Result<Page, ArchiveError> {
        let mut paging = Paging::new(query);
        for (key, envelope) in self.rows.range(Key::at(paging.start())..) {
            if !paging.offer(*key, envelope)? {
                return Ok(paging.finish(false));
            }
        }
        Ok(paging.finish(true))
    }

    fn prune(&mut self, prune: &Prune) -> Result<u64, ArchiveError> {
        let mut removed = 0;
        while removed < prune.rows_max as u64
            && let Some(first) = self.rows.first_entry()
        {
            if first.key().cursor().sent() >= prune.before && self.bytes <= prune.bytes_max {
                break;
            }
            let (key, envelope) = first.remove_entry();
            self.bytes -= Row { key, envelope }.bytes();
            removed += 1;
        }
        Ok(removed)
    }

    fn totals(&self) -> Totals {
        Totals {
            rows: self.rows.len() as u64,
            bytes: self.bytes,
        }
    }

    fn newest(&self) -> Result<Option<u32>, ArchiveError> {
        let last = self.rows.last_key_value();
        Ok(last.map(|(key, _)| key.cursor().sent()))
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        Ok(())
    }
}

/// Why an archive does not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The disk.
    #[error("the archive cannot be read or written: {0}")]
    Io(String),
    /// Something in it is not what it must be.
    #[error("the archive is damaged: {0}")]
    Corrupt(String),
}

#[cfg(test)]
mod tests;
