//! The composition of a node from its roles.
//!
//! ```text
//! role      whisper shell   mix shell   core               store
//! whisper   yes             -           -                  -
//! relay     -               yes         -                  -
//! bridge    yes             yes         bridge::Engine     RocksDB
//! edge      yes (loopback)  yes         gateway::Client    RocksDB
//! mailbox   -               yes         mailbox::Server    RocksDB, its own
//! ```
//!
//! Three bounded channels lead each way between a network and a core: events into it, and two queues out of it. Nothing
//! calls back upward. To stop, the inputs of the core are closed first; it then writes what is left and hands out what
//! that releases, the mixnet sends what rests in it, and the networks are closed last.

mod bridge;
mod core;
mod edge;
mod mail;
mod mailbox;
mod network;
mod parts;
mod rpc;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use ::bridge::store::{RocksStore, StoreError};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::core::{Core, Watching};
use crate::api::View;
use crate::config::Settings;
use crate::control::Control;
use crate::directory::Directory;
use crate::failure::StartError;
use crate::identity::Identity;
use crate::keystore::Keys;
use crate::ledger::SharedLedger;
use crate::metrics::Metrics;
use crate::role::Role;
use crate::rpc::Server;
use crate::status::{NodeStatus, Snapshot};
pub(crate) use parts::protection as protection_of;
use parts::{Mix, Whisper};

/// How long a core may write and hand out what is left when the node stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(4);

/// A node at work.
pub struct Running {
    view: View,
    whisper: Option<Whisper>,
    mix: Option<Mix>,
    core: Option<Core>,
    store: Option<Arc<RocksStore>>,
    snapshots: JoinHandle<()>,
    mailbox: Option<mailbox::Mailbox>,
    rpc: Option<Server>,
    // Reads the events of a relay, which no core reads.
    idle: JoinSet<()>,
}

/// Starts every part that the roles need. What was started is dropped again when a later part fails.
pub async fn start(
    settings: Settings,
    directory: Directory,
    keys: Keys,
) -> Result<Running, StartError> {
    let identity =
        Identity::new(&settings, &keys).map_err(|failure| StartError::Bug(failure.to_string()))?;
    let roles = settings.node.roles.clone();
    let ledger = SharedLedger::default();
    let metrics = Arc::new(Metrics::default());

    let topology = parts::topology(&settings)?;
    let store = match roles.has(Role::Bridge) || roles.has(Role::Edge) {
        true => Some(parts::store(&directory)?),
        false => None,
    };
    let doors = rpc::open(&settings).await?;
    let mut whisper = parts::whisper(&settings, &directory, &keys).await?;
    let mut mix = parts::mix(&settings, &directory, &keys, &topology)?;

    let mailbox = match &mix {
        Some(mix) if roles.has(Role::Mailbox) => {
            Some(mailbox::start(&settings, &directory, &mix.handle).await?)
        }
        _ => None,
    };
    let watching = Watching {
        ledger: ledger.clone(),
        metrics: metrics.clone(),
    };
    let mut idle = JoinSet::new();
    let server = match (doors, &whisper) {
        (Some(doors), Some(whisper)) => Some(rpc::start(
            &settings, &directory, &keys, &identity, doors, whisper,
        )?),
        _ => None,
    };
    let core = match (&mut whisper, &mut mix, &store) {
        (Some(whisper), Some(mix), Some(store)) if roles.has(Role::Bridge) => Some(bridge::start(
            &settings, &keys, whisper, mix, store, watching,
        )?),
        (Some(whisper), Some(mix), Some(store)) => {
            Some(edge::start(&settings, &topology, whisper, mix, store, watching).await?)
        }
        _ => {
            if let Some(whisper) = &mut whisper {
                drop(whisper.events.take()?);
            }
            if let Some(mix) = &mut mix {
                let mut events = mix.events.take()?;
                idle.spawn(async move { while events.recv().await.is_some() {} });
            }
            None
        }
    };

    let sources = snapshot::Sources::new(
        &settings,
        identity,
        whisper.as_ref(),
        mix.as_ref(),
        core.as_ref(),
        mailbox.as_ref(),
        store.clone(),
    );
    let first = sources.take().await;
    let (publish, snapshots) = watch::channel(first);
    let view = View {
        snapshots,
        ledger,
        metrics,
        control: Control::new(mix.as_ref().map(|mix| mix.handle.clone())),
    };
    let snapshots = tokio::spawn(sources.publish(publish));
    Ok(Running {
        view,
        whisper,
        mix,
        core,
        store,
        snapshots,
        mailbox,
        rpc: server,
        idle,
    })
}

impl Running {
    /// What the API shows.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// The newest status.
    pub fn status(&self) -> NodeStatus {
        let snapshots: &watch::Receiver<Snapshot> = &self.view.snapshots;
        snapshots.borrow().status.clone()
    }

    /// The lives of envelopes.
    pub fn ledger(&self) -> SharedLedger {
        self.view.ledger.clone()
    }

    /// Returns when a part has ended by itself, which none does while all is well.
    pub async fn ended(&mut self) -> StartError {
        let whisper = async {
            match &mut self.whisper {
                Some(whisper) => whisper.ended().await,
                None => std::future::pending().await,
            }
        };
        let mix = async {
            match &mut self.mix {
                Some(mix) => mix.ended().await,
                None => std::future::pending().await,
            }
        };
        let core = async {
            match &mut self.core {
                Some(core) => core.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = whisper => error,
            error = mix => error,
            error = core => error,
        }
    }

    /// Stops in order: the clients, the core, the mixnet, Whisper, the disk.
    pub async fn stop(mut self) {
        if let Some(rpc) = self.rpc.take() {
            rpc.stop().await;
        }
        if let Some(core) = self.core.take()
            && tokio::time::timeout(DRAIN_WITHIN, core.stop())
                .await
                .is_err()
        {
            tracing::warn!(
                "the core did not drain in time; it resumes from its store at the next start"
            );
        }
        if let Some(mix) = self.mix.take() {
            mix.handle.shutdown().await;
        }
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.stop().await;
        }
        if let Some(whisper) = self.whisper.take() {
            whisper.stop().await;
        }
        self.snapshots.abort();
        self.idle.abort_all();
        if let Some(Err(error)) = self.store.take().map(|store| store.flush()) {
            tracing::warn!(%error, "the database was not flushed; its log is complete");
        }
    }
}

/// A store that failed while the node ran, in the words of a start.
fn store_failed(error: &StoreError) -> StartError {
    StartError::Resources(format!("the database failed: {error}"))
}
