//! The thread that keeps tags: it writes them to the files of their keys, and tells the core what a crash can no longer lose.
//!
//! ```text
//! core thread ─ tags, mark ─▶ append (one write a round) ─▶ Written(mark) ─▶ core
//!                                    └─▶ fdatasync ─▶ Durable(mark) ─▶ core
//! ```
//!
//! Whatever comes while the disk works goes into the next round together, and so does what comes in a short rest after that: a disk
//! that is asked without a pause costs a busy relay more than a tenth of its processor time. Nobody waits for this thread: packets
//! whose tags it has not kept rest in the node, and are dropped there when that takes too long.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::tags::{self, TagFile, TagFileError};
use crate::intake::Record;
use crate::node::Input;
use crate::replay::{Capacity, ReplayStore};
use crate::sphinx::{PublicKey, SecretKey};

// ---- Our constants ----

/// The pause after a write or sync that failed: a disk that is full or gone does not come back sooner.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// A file that was not written for so long is of a key that is out of use: a key is good for [`crate::replay::KEY_LIFE`]. Younger ones
/// stay, because a node that starts in the middle of a change of keys takes the other one into use later.
const KEY_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The rest after a sync, in times of what the sync took: the disk works for at most a quarter of the time. What comes meanwhile is
/// late by less than that, beside delays of some tens of milliseconds and more.
const REST_FACTOR: u32 = 3;

/// The longest rest: a disk that takes longer than a third of it is slow enough by itself.
const REST_MAX: Duration = Duration::from_millis(3);

/// Orders of one round: what comes in 0.3 s at 3,000 packets a second, in 5 KiB.
const ROUND_MAX: usize = 1024;

/// What the keeper is told.
pub(super) enum Order {
    /// Keep these.
    Tags {
        mark: u64,
        records: Vec<Record>,
        needs: Needs,
    },
    /// Open the file of a key; gives the key back with what the file holds, or nothing if it is open already.
    Open {
        key: SecretKey,
        done: oneshot::Sender<Result<Option<(SecretKey, ReplayStore)>, TagFileError>>,
    },
    /// A key is out of use.
    Forget(PublicKey),
}

/// What the packets of some tags wait for.
#[derive(Clone, Copy, Default)]
pub(super) struct Needs {
    pub(super) written: bool,
    pub(super) durable: bool,
}

/// The files of the keys in use.
pub(super) struct Keeper {
    dir: PathBuf,
    capacity: Capacity,
    open: Vec<Open>,
    core: mpsc::Sender<Input>,
    failing: bool,
}

struct Open {
    key: PublicKey,
    file: TagFile,
    /// What is to be appended.
    prints: Vec<u8>,
}

/// What a round comes to.
#[derive(Default)]
struct Round {
    mark: u64,
    needs: Needs,
}

impl Keeper {
    /// A keeper with the file of one key, and what that holds. Files of other keys are removed when no key can still need them.
    pub(super) fn new(
        dir: PathBuf,
        key: &SecretKey,
        capacity: Capacity,
        core: mpsc::Sender<Input>,
    ) -> Result<(Self, ReplayStore), TagFileError> {
        let mut keeper = Self {
            dir,
            capacity,
            open: Vec::new(),
            core,
            failing: false,
        };
        let store = keeper.open(key)?;
        let old = SystemTime::now() - KEY_LIFE_MAX;
        if let Err(error) = tags::remove_others(&keeper.dir, &key.public(), old) {
            tracing::warn!(%error, "old replay tags could not be removed");
        }
        Ok((keeper, store))
    }

    fn open(&mut self, key: &SecretKey) -> Result<ReplayStore, TagFileError> {
        let (file, store) = TagFile::open(&self.dir, key, self.capacity)?;
        self.open.push(Open {
            key: key.public(),
            file,
            prints: Vec::new(),
        });
        Ok(store)
    }

    /// Works until nobody has orders or the core task is gone. Blocks: it needs a thread of its own.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut waiting = Vec::with_capacity(ROUND_MAX);
        while orders.blocking_recv_many(&mut waiting, ROUND_MAX) > 0 {
            let mut round = Round::default();
            for order in waiting.drain(..) {
                self.take(order, &mut round);
            }
            if !self.save(&round) {
                return;
            }
        }
    }

    fn take(&mut self, order: Order, round: &mut Round) {
        match order {
            Order::Tags {
                mark,
                records,
                needs,
            } => {
                round.mark = mark;
                round.needs.written |= needs.written;
                round.needs.durable |= needs.durable;
                for Record { key, print } in records {
                    // Tags of a key that is out of use are nobody's.
                    if let Some(open) = self.open.iter_mut().find(|open| open.key == key) {
                        open.prints.extend(print.as_bytes());
                    }
                }
            }
            Order::Open { key, done } => {
                let known = self.open.iter().any(|open| open.key == key.public());
                let opened = if known {
                    Ok(None)
                } else {
                    self.open(&key).map(|store| Some((key, store)))
                };
                // Whoever asked may have gone; then nobody uses the key, and its file goes with the next start.
                let _ = done.send(opened);
            }
            Order::Forget(key) => {
                if let Some(at) = self.open.iter().position(|open| open.key == key) {
                    self.open.remove(at).file.remove();
                }
            }
        }
    }

    /// Writes, syncs if need be, and tells. False when the core is gone.
    fn save(&mut self, round: &Round) -> bool {
        if !self.insist(Open::write) {
            return false;
        }
        if round.needs.written && !self.tell(Input::Written(round.mark)) {
            return false;
        }
        // What waits for less does not wait for the disk.
        if !round.needs.durable {
            return true;
        }
        let start = Instant::now();
        if !(self.insist(Open::sync) && self.tell(Input::Durable(round.mark))) {
            return false;
        }
        thread::sleep((start.elapsed() * REST_FACTOR).min(REST_MAX));
        true
    }

    /// Does something with every file until it succeeds. False when the core is gone.
    fn insist(&mut self, what: impl Fn(&mut Open) -> io::Result<()>) -> bool {
        while let Err(error) = self.open.iter_mut().try_for_each(&what) {
            if !self.failing {
                tracing::error!(%error, "replay tags do not reach the disk: packets are dropped until they do");
            }
            self.failing = true;
            if self.core.is_closed() {
                return false;
            }
            thread::sleep(FAILED_PAUSE);
        }
        self.failing = false;
        true
    }

    fn tell(&self, input: Input) -> bool {
        self.core.blocking_send(input).is_ok()
    }
}

impl Open {
    fn write(&mut self) -> io::Result<()> {
        if !self.prints.is_empty() {
            self.file.append(&self.prints)?;
            self.prints.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
