//! The task that holds what local clients keep here: their keys, their filters, what the filters caught.
//!
//! ```text
//! network ─▶ intake ─▶┐
//!                     ├─▶ one thread: keys, filters, boxes ─▶ subscribers are told that something came
//! calls ──▶ jobs ────▶┘
//! ```
//!
//! A job goes before the next envelopes, so that a call is answered while thousands of them wait; opening some, which may take
//! a hundred microseconds for each of them and each filter, holds up neither the network nor the runtime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use legacy::shh::filter::{Filter, Received};
use legacy::shh::inbox::Inbox;
use legacy::shh::keyring::Keyring;
use legacy::shh::label::Label;
use tokio::sync::{Notify, mpsc, oneshot};

use super::error::Error;
use super::intake::Intake;
use super::limits::JOBS_MAX;
use crate::keyring::Vault;

/// What the task holds. A job gets it for itself.
pub(crate) struct Desk {
    pub(crate) keyring: Keyring,
    pub(crate) inbox: Inbox,
    subscribers: BTreeMap<Label, Arc<Notify>>,
    vault: Option<Vault>,
    intake: Intake,
}

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// The way to the task. Clones lead to the same one.
#[derive(Clone)]
pub(crate) struct Clients {
    jobs: mpsc::Sender<Job>,
    intake: Intake,
    waiting: Arc<Boxes>,
}

/// What the boxes of the filters did, for the metrics.
#[derive(Debug, Default)]
struct Boxes {
    delivered: AtomicU64,
    dropped: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Envelopes that were dropped before any filter saw them.
    pub unseen: u64,
    /// Messages that reached the box of a filter.
    pub delivered: u64,
    /// Messages that nobody fetched in time.
    pub unfetched: u64,
}

impl Clients {
    /// Starts the task. It ends when the last of the ways to it is gone.
    pub(crate) fn start(
        keyring: Keyring,
        inbox: Inbox,
        vault: Option<Vault>,
        intake: Intake,
    ) -> Self {
        let (jobs, mut queued) = mpsc::channel::<Job>(JOBS_MAX);
        let waiting = Arc::new(Boxes::default());
        let clients = Self {
            jobs,
            intake: intake.clone(),
            waiting: Arc::clone(&waiting),
        };
        let mut desk = Desk {
            keyring,
            inbox,
            subscribers: BTreeMap::new(),
            vault,
            intake: intake.clone(),
        };
        desk.follow();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        biased;
                        job = queued.recv() => match job {
                            Some(job) => job(&mut desk),
                            None => return,
                        },
                        envelopes = intake.take() => {
                            let reached = desk.inbox.deliver_each(&envelopes);
                            desk.tell(&reached);
                            let counters = desk.inbox.counters();
                            waiting.delivered.store(counters.delivered, Ordering::Relaxed);
                            waiting.dropped.store(counters.dropped, Ordering::Relaxed);
                        }
                    }
                }
            });
        });
        clients
    }

    /// Does something with what is held, and brings back what comes of it.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Desk) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, received) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            // Whoever asked may have gone; the job is done all the same.
            let _ = answer.send(job(desk));
        });
        self.jobs
            .send(job)
            .await
            .map_err(|_| Error::node_stopped())?;
        received.await.map_err(|_| Error::node_stopped())
    }

    /// Envelopes that wait to be held against the filters.
    pub(crate) fn waiting(&self) -> usize {
        self.intake.len()
    }

    /// What was counted so far.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            unseen: self.intake.dropped(),
            delivered: self.waiting.delivered.load(Ordering::Relaxed),
            unfetched: self.waiting.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Desk {
    /// Changes the keys. Where they are kept on the disk, the change is there before anybody hears of it; if that fails,
    /// it is taken back.
    pub(crate) fn change_keys<T>(
        &mut self,
        change: impl FnOnce(&mut Keyring) -> Result<T, Error>,
        undo: impl FnOnce(&mut Keyring, &T),
    ) -> Result<T, Error> {
        let done = change(&mut self.keyring)?;
        if let Some(vault) = &self.vault
            && let Err(failure) = vault.save(&self.keyring)
        {
            undo(&mut self.keyring, &done);
            let why = failure.to_string();
            tracing::warn!(%why, "a key of a local client cannot be kept");
            return Err(Error::method(format!("the key cannot be kept: {why}")));
        }
        Ok(done)
    }

    /// Installs a filter.
    pub(crate) fn install(&mut self, filter: Filter) -> Result<Label, Error> {
        let installed = self.inbox.install(filter);
        self.follow();
        installed.map_err(|full| Error::method(full.to_string()))
    }

    /// Tells whoever waits for the box of a filter, from now on and once for what may lie there already.
    pub(crate) fn subscribe(&mut self, label: Label) -> Arc<Notify> {
        let waiting = Arc::clone(self.subscribers.entry(label).or_default());
        waiting.notify_one();
        waiting
    }

    /// Removes a filter with its box, and says whether there was one.
    pub(crate) fn remove(&mut self, label: &Label) -> bool {
        self.subscribers.remove(label);
        let removed = self.inbox.remove(label);
        self.follow();
        removed
    }

    /// Takes envelopes in while there is a filter. Whoever installed one hears of it later than this happens.
    fn follow(&self) {
        self.intake.set_open(!self.inbox.is_empty());
    }

    /// Empties a box; nothing where there is no such filter.
    pub(crate) fn take(&mut self, label: &Label) -> Option<Vec<Arc<Received>>> {
        self.inbox.take(label)
    }

    fn tell(&self, reached: &[Label]) {
        for label in reached {
            if let Some(waiting) = self.subscribers.get(label) {
                waiting.notify_one();
            }
        }
    }
}
