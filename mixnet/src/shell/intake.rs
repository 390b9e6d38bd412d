//! The thread that peels: it takes packets in bounded batches, writes their tags, and hands the results to the core task.
//!
//! ```text
//! readers ─ packets ─▶ peel ─▶ append tags (one write a batch) ─▶ core task
//!                                   │ mark                           ▲
//!                                   └──────▶ syncer: fdatasync ─ Durable(mark)
//! ```
//!
//! One write is all that a batch waits for: once the system has it, a crash of the process cannot undo it. That the disk has it
//! is reported later, while the packets rest in the node.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::tags::{self, TagFile, TagFileError};
use crate::intake::{Batch, Intake, Received};
use crate::limits::INTAKE_BATCH_MAX;
use crate::node::Input;
use crate::replay::ReplayStore;
use crate::sphinx::{PublicKey, SecretKey};

// ---- Our constants ----

/// The pause after a sync that failed: a disk that is full or gone does not come back sooner.
const SYNC_PAUSE: Duration = Duration::from_millis(500);

/// What the thread is told.
pub(super) enum Command {
    /// Peel this.
    Packet(Received),
    /// Take one more key into use.
    Install {
        key: SecretKey,
        done: oneshot::Sender<Result<(), TagFileError>>,
    },
    /// Take a key out of use.
    Retire(PublicKey),
}

/// The intake with its files.
pub(super) struct Peeler {
    intake: Intake,
    files: Option<Files>,
    core: mpsc::Sender<Input>,
}

struct Files {
    dir: PathBuf,
    open: Vec<(PublicKey, TagFile)>,
    mark: u64,
    dirty: watch::Sender<Dirty>,
    failing: bool,
}

/// Files to sync, and the mark up to which they then are on the disk.
#[derive(Clone, Default)]
pub(super) struct Dirty {
    mark: u64,
    files: Vec<Arc<File>>,
}

impl Peeler {
    /// A peeler with one key. With a directory it remembers beyond a restart, and the syncer must run.
    pub(super) fn new(
        key: SecretKey,
        dir: Option<PathBuf>,
        core: mpsc::Sender<Input>,
    ) -> Result<(Self, watch::Receiver<Dirty>), TagFileError> {
        let (dirty, marks) = watch::channel(Dirty::default());
        let Some(dir) = dir else {
            let store = ReplayStore::of(&key);
            let (intake, files) = (Intake::new(key, store), None);
            return Ok((
                Self {
                    intake,
                    files,
                    core,
                },
                marks,
            ));
        };
        let (file, store) = TagFile::open(&dir, &key)?;
        let id = key.public();
        if let Err(error) = tags::remove_others(&dir, &[id]) {
            tracing::warn!(%error, "old replay tags could not be removed");
        }
        let files = Files {
            dir,
            open: vec![(id, file)],
            mark: 0,
            dirty,
            failing: false,
        };
        let (intake, files) = (Intake::new(key, store), Some(files));
        Ok((
            Self {
                intake,
                files,
                core,
            },
            marks,
        ))
    }

    /// Works until nobody has commands for it or the core task is gone. Blocks: it needs a thread of its own.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut waiting = Vec::with_capacity(INTAKE_BATCH_MAX);
        while commands.blocking_recv_many(&mut waiting, INTAKE_BATCH_MAX) > 0 {
            let mut batch = Batch::default();
            for command in waiting.drain(..) {
                match command {
                    Command::Packet(received) => self.intake.take(received, &mut batch),
                    Command::Install { key, done } => {
                        // Whoever asked may have gone; the key is in use all the same.
                        let _ = done.send(self.install(key));
                    }
                    Command::Retire(key) => self.retire(&key),
                }
            }
            if batch.is_empty() {
                continue;
            }
            if let Some(files) = &mut self.files {
                batch = files.save(batch);
            }
            if self.core.blocking_send(Input::Peeled(batch)).is_err() {
                return;
            }
        }
    }

    fn install(&mut self, key: SecretKey) -> Result<(), TagFileError> {
        let id = key.public();
        if self.intake.keys().any(|known| known == id) {
            return Ok(());
        }
        let store = match &mut self.files {
            None => ReplayStore::of(&key),
            Some(files) => {
                let (file, store) = TagFile::open(&files.dir, &key)?;
                files.open.push((id, file));
                store
            }
        };
        if let Some(oldest) = self.intake.install(key, store) {
            self.forget(&oldest);
        }
        Ok(())
    }

    fn retire(&mut self, key: &PublicKey) {
        self.intake.retire(key);
        self.forget(key);
    }

    fn forget(&mut self, key: &PublicKey) {
        let Some(files) = &mut self.files else { return };
        if let Some(at) = files.open.iter().position(|(id, _)| id == key) {
            files.open.remove(at).1.remove();
        }
    }
}

impl Files {
    /// Writes the tags of a batch. What cannot be written is dropped.
    fn save(&mut self, batch: Batch) -> Batch {
        for (key, file) in &mut self.open {
            let ours = batch.records().iter().filter(|record| record.key == *key);
            let prints: Vec<u8> = ours.flat_map(|record| *record.print.as_bytes()).collect();
            if prints.is_empty() {
                continue;
            }
            if let Err(error) = file.append(&prints) {
                if !self.failing {
                    tracing::error!(%error, "replay tags cannot be written: packets are dropped until they can");
                }
                self.failing = true;
                return batch.unsaved();
            }
        }
        self.failing = false;
        if !batch.forwards() {
            return batch;
        }
        self.mark += 1;
        let files = self.open.iter().map(|(_, file)| file.file()).collect();
        let mark = self.mark;
        self.dirty.send_replace(Dirty { mark, files });
        batch.marked(mark)
    }
}

/// Syncs what was written, all that came meanwhile at once, and tells the core.
pub(super) async fn sync(mut marks: watch::Receiver<Dirty>, core: mpsc::Sender<Input>) {
    while marks.changed().await.is_ok() {
        let Dirty { mark, files } = marks.borrow_and_update().clone();
        let synced =
            tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| file.sync_data()));
        match synced.await {
            Ok(Ok(())) => {
                if core.send(Input::Durable(mark)).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "replay tags do not reach the disk: packets are dropped until they do");
                tokio::time::sleep(SYNC_PAUSE).await;
                marks.mark_changed();
            }
            // The runtime is ending.
            Err(_) => return,
        }
    }
}
