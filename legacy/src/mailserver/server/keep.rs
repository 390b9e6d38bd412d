//! What comes into the archive, and what leaves it.
//!
//! Rows wait until there are enough of them or a moment has passed, and are written one batch at a time. A batch that fails is
//! tried again; what comes while too much waits is not kept, and counted.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Output, Server, Ticket, unix};
use crate::mailserver::archive::{Done, Job, Prune, Row, Totals};
use crate::mailserver::limits;
use crate::now::Now;

pub(super) struct Keeper {
    queue: VecDeque<Row>,
    queue_bytes: usize,
    write_at: Option<Instant>,
    /// The batch that the archive has.
    writing: Option<(Ticket, Vec<Row>)>,
    prune_at: Instant,
    pruning: Option<Ticket>,
    totals: Totals,
    /// Rows that were ever queued, and those of them that are on the disk.
    queued: u64,
    written: u64,
}

impl Keeper {
    pub(super) fn new(now: Now, totals: Totals) -> Keeper {
        Keeper {
            queue: VecDeque::new(),
            queue_bytes: 0,
            write_at: None,
            writing: None,
            prune_at: now.mono,
            pruning: None,
            totals,
            queued: 0,
            written: 0,
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Up to where rows were queued so far.
    pub(super) fn mark(&self) -> u64 {
        self.queued
    }

    /// Whether everything up to a mark is on the disk.
    pub(super) fn has_written(&self, mark: u64) -> bool {
        self.written >= mark
    }

    /// Whether another page of a sync may come.
    pub(super) fn has_room(&self) -> bool {
        self.queue_bytes < limits::STORE_QUEUE_BYTES_MAX / 2
    }

    pub(super) fn hurry(&mut self, now: Now) {
        self.write_at = Some(now.mono);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let write = self.write_at.filter(|_| self.writing.is_none());
        let prune = Some(self.prune_at).filter(|_| self.pruning.is_none());
        [write, prune].into_iter().flatten().min()
    }

    /// Queues a row. False: too much waits already.
    fn push(&mut self, now: Now, row: Row) -> bool {
        let bytes = self.queue_bytes + row.envelope.len();
        if bytes > limits::STORE_QUEUE_BYTES_MAX {
            return false;
        }
        self.queue_bytes = bytes;
        self.queue.push_back(row);
        self.queued += 1;
        self.write_at.get_or_insert(now.mono + limits::STORE_DELAY);
        true
    }
}

impl Server {
    /// Keeps a row, or counts that it cannot. False: it cannot.
    pub(super) fn try_keep(&mut self, now: Now, row: Row) -> bool {
        let kept = self.keeper.push(now, row);
        self.counters.dropped += u64::from(!kept);
        kept
    }

    pub(super) fn keep(&mut self, now: Now, row: Row) {
        self.try_keep(now, row);
    }

    /// Gives the archive what is due.
    pub(super) fn write(&mut self, now: Now) {
        let keeper = &mut self.keeper;
        let due = keeper.queue.len() >= limits::STORE_ROWS
            || keeper.write_at.is_some_and(|at| at <= now.mono);
        if keeper.writing.is_none() && due && !keeper.queue.is_empty() {
            let count = keeper.queue.len().min(limits::STORE_ROWS);
            let rows: Vec<Row> = keeper.queue.drain(..count).collect();
            keeper.write_at = (!keeper.queue.is_empty()).then_some(now.mono);
            let ticket = self.tickets.next();
            keeper.writing = Some((ticket, rows.clone()));
            let job = Job::Store(rows);
            self.outputs.push_back(Output::Archive { ticket, job });
        }
        if keeper.pruning.is_none() && keeper.prune_at <= now.mono {
            let ticket = self.tickets.next();
            keeper.pruning = Some(ticket);
            let job = Job::Prune(Prune {
                before: unix(now).saturating_sub(self.config.retention),
                bytes_max: self.config.bytes_max,
                rows_max: limits::PRUNE_ROWS,
            });
            self.outputs.push_back(Output::Archive { ticket, job });
        }
    }

    /// A batch was written, or rows were removed.
    pub(super) fn kept(&mut self, now: Now, ticket: Ticket, done: Done) {
        if self.keeper.pruning == Some(ticket) {
            self.keeper.pruning = None;
            self.pruned(now, done);
        } else if let Some((_, rows)) = self.keeper.writing.take_if(|(mine, _)| *mine == ticket) {
            self.written(now, rows, done);
        }
    }

    fn written(&mut self, now: Now, rows: Vec<Row>, done: Done) {
        let keeper = &mut self.keeper;
        if let Done::Stored { new, totals } = done {
            keeper.written += rows.len() as u64;
            keeper.queue_bytes -= rows.iter().map(|row| row.envelope.len()).sum::<usize>();
            keeper.totals = totals;
            let hashes = rows.iter().map(|row| row.key.cursor().hash()).collect();
            self.outputs.push_back(Output::Kept(hashes));
            self.counters.archived += new;
            self.counters.repeated += rows.len() as u64 - new;
            if totals.bytes > self.config.bytes_max {
                keeper.prune_at = now.mono;
            }
        } else {
            self.counters.failures += 1;
            tracing::warn!("the archive of the mailserver was not written, and is tried again");
            for row in rows.into_iter().rev() {
                keeper.queue.push_front(row);
            }
            keeper.write_at = Some(now.mono + limits::STORE_RETRY);
        }
    }

    fn pruned(&mut self, now: Now, done: Done) {
        let keeper = &mut self.keeper;
        keeper.prune_at = now.mono + limits::PRUNE_INTERVAL;
        if let Done::Pruned { rows, totals } = done {
            self.counters.pruned += rows;
            keeper.totals = totals;
            if rows >= limits::PRUNE_ROWS as u64 {
                keeper.prune_at = now.mono;
            }
        } else {
            self.counters.failures += 1;
        }
    }
}
