//! The task of the directory: it feeds the core of [`crate::directory`] and does what that says.
//!
//! ```text
//!  core task ◀─ topology, own keys, clock ─ directory task ─ orders ─▶ swarm task: /ferry/directory/1
//!      │ packets forwarded ─────────────────▶    ▲  └─▶ files: mix keys, known nodes
//!                                 Handle: profile, status
//! ```

mod behaviour;
mod codec;
mod files;
mod finder;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use zeroize::Zeroizing;

use self::behaviour::Order;
pub(super) use self::behaviour::{Behaviour, Wires};
pub use self::files::{KeyFileError, Places};
use super::core::now;
use super::{Query, SpawnError};
use crate::address::AddressPolicy;
use crate::descriptor::Descriptor;
use crate::directory::{Config as CoreConfig, Directory, Input, Mode, Output, Profile, Status};
use crate::epoch::Epochs;
use crate::node;
use crate::sphinx::{PublicKey, SecretKey};

// ---- Our bounds ----

/// How often the directory is told how busy the relay is.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// The pause after a mix key could not be written.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Times that a mix key is written before it is given up: the node then goes on with the keys that it has.
const DISK_TRIES: u32 = 30;

/// How a node takes part in the directory.
pub struct Config {
    /// Keeps a registry, or fetches the active set only.
    pub mode: Mode,
    /// How long epochs are; the same in the whole network.
    pub epochs: Epochs,
    /// What this node's descriptor says.
    pub profile: Profile,
    /// Where keys and known nodes are kept; none: they last as long as the process.
    pub places: Option<Places>,
}

/// A directory that is about to run.
pub(super) struct Driver {
    directory: Directory,
    places: Option<Places>,
    wires: Wires,
    profiles: watch::Receiver<Option<Profile>>,
    status: watch::Sender<Option<Status>>,
}

/// What the handle of the node has of the directory.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) profile: Arc<watch::Sender<Option<Profile>>>,
    pub(super) status: watch::Receiver<Option<Status>>,
}

/// What is known of the node before its directory exists.
pub(super) struct Start {
    pub(super) identity: Zeroizing<[u8; 32]>,
    pub(super) seeds: Vec<Descriptor>,
    pub(super) policy: AddressPolicy,
    pub(super) seed: [u8; 32],
}

impl Driver {
    /// Opens the files and makes the keys. Gives the mix keys that are in use now as well, the newest last.
    pub(super) fn open(
        config: Config,
        start: Start,
        wires: Wires,
    ) -> Result<(Self, Access, Vec<SecretKey>), SpawnError> {
        let places = config.places;
        let keys = places.as_ref().map(Places::keys).transpose()?;
        let core = CoreConfig {
            mode: config.mode,
            epochs: config.epochs,
            policy: start.policy,
            identity: start.identity,
            profile: config.profile,
            keys: keys.unwrap_or_default(),
            seeds: start.seeds,
            snapshot: places.as_ref().and_then(Places::known),
            seed: start.seed,
        };
        let mut directory = Directory::new(core, now()).ok_or(SpawnError::Identity)?;
        let installed = first_keys(&mut directory, places.as_ref())?;
        let (profile, profiles) = watch::channel(None);
        let (status, status_receiver) = watch::channel(Some(directory.status(now())));
        let access = Access {
            profile: Arc::new(profile),
            status: status_receiver,
        };
        let driver = Self {
            directory,
            places,
            wires,
            profiles,
            status,
        };
        Ok((driver, access, installed))
    }

    /// Takes the other keys of the start into use, runs until the core task is gone, and writes whom it knows.
    pub(super) async fn run(
        mut self,
        keys: Vec<SecretKey>,
        core: mpsc::WeakSender<node::Input>,
        queries: mpsc::WeakSender<Query>,
        forwarded: Arc<AtomicU64>,
    ) {
        for key in keys {
            install(&queries, key).await;
        }
        self.directory.handle(now(), Input::Tick);
        self.serve(&core, &queries, &forwarded).await;
        self.save().await;
    }

    async fn serve(
        &mut self,
        core: &mpsc::WeakSender<node::Input>,
        queries: &mpsc::WeakSender<Query>,
        forwarded: &AtomicU64,
    ) {
        let mut reports = tokio::time::interval(REPORT_EVERY);
        let mut profiles_open = true;
        loop {
            if !self.drain(core, queries).await {
                return;
            }
            self.tell_status();
            let deadline = self.directory.next_deadline().max(Instant::now() + BREATH);
            let input = tokio::select! {
                input = self.wires.inputs.recv() => match input {
                    Some(input) => input,
                    // The swarm has ended.
                    None => return,
                },
                changed = self.profiles.changed(), if profiles_open => match changed {
                    Ok(()) => match self.profiles.borrow_and_update().clone() {
                        Some(profile) => Input::Profile(profile),
                        None => Input::Tick,
                    },
                    Err(_) => {
                        profiles_open = false;
                        Input::Tick
                    }
                },
                _ = reports.tick() => Input::Forwarded(forwarded.load(Ordering::Relaxed)),
                () = sleep_until(deadline.into()) => Input::Tick,
            };
            self.directory.handle(now(), input);
        }
    }

    /// Shows the state, and says in the log when other nodes have another network than this one.
    fn tell_status(&self) {
        let status = self.directory.status(now());
        let before = self.status.send_replace(Some(status.clone()));
        let was = before.and_then(|before| before.fork).map(|fork| fork.epoch);
        if let Some(fork) = status.fork.filter(|fork| was != Some(fork.epoch)) {
            tracing::error!(
                epoch = fork.epoch,
                roots = fork.roots.len(),
                "nodes of the mixnet have different active sets: somebody lies about who belongs to the network, or it is cut in two"
            );
        }
    }

    /// Does everything that the directory wants done; false when the node is gone.
    async fn drain(
        &mut self,
        core: &mpsc::WeakSender<node::Input>,
        queries: &mpsc::WeakSender<Query>,
    ) -> bool {
        while let Some(output) = self.directory.poll_output() {
            let done = match output {
                Output::Ask { id, to, request } => {
                    let order = Order::Ask { id, to, request };
                    self.wires.orders.send(order).await.is_ok()
                }
                Output::Answer { id, response } => {
                    let order = Order::Answer { id, response };
                    self.wires.orders.send(order).await.is_ok()
                }
                Output::KeepKey { epoch, key } => self.keep(epoch, key).await,
                Output::InstallKey(key) => install(queries, key).await,
                Output::RetireKey { epoch, key } => {
                    if let Some(places) = &self.places {
                        places.forget(epoch);
                    }
                    retire(queries, key).await
                }
                Output::Topology(topology) => tell(core, node::Input::Topology(topology)).await,
                Output::ClockOff(off) => {
                    if let Some(off) = off {
                        tracing::error!("{off}");
                    }
                    tell(core, node::Input::ClockOff(off)).await
                }
                Output::Save => self.save().await,
            };
            if !done {
                return false;
            }
        }
        true
    }

    /// Writes a key; what is not on the disk is not named to others.
    async fn keep(&mut self, epoch: u32, key: SecretKey) -> bool {
        if self.write(epoch, &key).await {
            self.directory.handle(now(), Input::KeyKept(epoch));
        }
        true
    }

    /// Whether the key is on the disk, where keys are kept at all.
    async fn write(&self, epoch: u32, key: &SecretKey) -> bool {
        let Some(places) = &self.places else {
            return true;
        };
        for _ in 0..DISK_TRIES {
            match places.keep(epoch, key) {
                Ok(()) => return true,
                Err(error) => {
                    tracing::error!(%error, "a mix key cannot be written; trying again");
                    tokio::time::sleep(DISK_PAUSE).await;
                }
            }
        }
        tracing::error!(
            "a mix key could not be written: this node has no key for that epoch, and no packets come to it then; free the disk"
        );
        false
    }

    async fn save(&self) -> bool {
        let (snapshot, places) = (self.directory.snapshot(), self.places.clone());
        let Some(places) = places else { return true };
        let saved = tokio::task::spawn_blocking(move || places.save(&snapshot)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "the known mix nodes could not be written");
        }
        true
    }
}

/// The keys that are in use at the start: they are made and written before anything else runs.
fn first_keys(
    directory: &mut Directory,
    places: Option<&Places>,
) -> Result<Vec<SecretKey>, SpawnError> {
    let (mut installed, mut later) = (Vec::new(), Vec::new());
    while let Some(output) = directory.poll_output() {
        match output {
            Output::KeepKey { epoch, key } => {
                if let Some(places) = places {
                    places.keep(epoch, &key).map_err(|e| places.failed(e))?;
                }
                directory.handle(now(), Input::KeyKept(epoch));
            }
            Output::InstallKey(key) => installed.push(key),
            Output::RetireKey { epoch, .. } => {
                if let Some(places) = places {
                    places.forget(epoch);
                }
            }
            other => later.push(other),
        }
    }
    directory.put_back(later);
    Ok(installed)
}

async fn install(queries: &mpsc::WeakSender<Query>, key: SecretKey) -> bool {
    let Some(queries) = queries.upgrade() else {
        return false;
    };
    let (done, answer) = oneshot::channel();
    if queries.send(Query::Install { key, done }).await.is_err() {
        return false;
    }
    drop(queries);
    match answer.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(%error, "a mix key could not be taken into use");
            true
        }
        Err(_) => false,
    }
}

async fn retire(queries: &mpsc::WeakSender<Query>, key: PublicKey) -> bool {
    match queries.upgrade() {
        Some(queries) => {
            // Nobody waits for the end of it: packets for this key are refused soon, not at once.
            let (done, _) = oneshot::channel();
            queries.send(Query::Retire { key, done }).await.is_ok()
        }
        None => false,
    }
}

async fn tell(core: &mpsc::WeakSender<node::Input>, input: node::Input) -> bool {
    match core.upgrade() {
        Some(core) => core.send(input).await.is_ok(),
        None => false,
    }
}

/// Between two turns of the loop without news: a deadline that has passed is not spun on.
const BREATH: Duration = Duration::from_millis(5);
