//! The cores of the roles bridge and edge, with the tasks that carry their inputs and outputs.
//!
//! ```text
//! events of Whisper ──▶┐          ┌──▶ Whisper: posts, deliveries
//!                      ├──▶ core ─┤
//! events of the mix ──▶┘          └──▶ mixnet: replies, requests
//! ```

use std::sync::Arc;
use std::time::Duration;

use ::mixnet::descriptor::Descriptor;
use bridge::engine::{self, Engine};
use bridge::gateway::client::{self, Client};
use bridge::gateway::request::Mode;
use bridge::gateway::seal::ExchangeSecret;
use bridge::port::{BridgeId, BridgeInfo, Object, ReplyBlock, Stage, Trace};
use bridge::runner;
use bridge::store::{RocksStore, Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::parts::{self, Mix, Whisper};
use super::store_failed;
use crate::config::Settings;
use crate::config::settings::SyncMode;
use crate::failure::StartError;
use crate::keystore::Keys;
use crate::ledger::SharedLedger;
use crate::link;
use crate::link::interest::Interests;
use crate::metrics::Metrics;

/// Outputs of a core that wait for one network: about a second of a bridge's clock, and then the core waits.
const PORT_QUEUE: usize = 64;

/// What looks at the life of envelopes.
#[derive(Clone)]
pub(super) struct Watching {
    pub ledger: SharedLedger,
    pub metrics: Arc<Metrics>,
}

impl Watching {
    fn note(&self, trace: &Trace, direction: impl Fn(Stage) -> Option<&'static str>) {
        let mut ledger = self.ledger.lock();
        ledger.record(trace);
        let accepted = ledger
            .life(&trace.hash)
            .and_then(|life| life.stages.first())
            .map(|step| step.at_unix_ms);
        let Some(accepted) = accepted else { return };
        let took = Duration::from_millis(trace.at_unix_ms.saturating_sub(accepted)).as_secs_f64();
        if trace.stage == Stage::Committed {
            self.metrics.observe_commit(took);
        }
        if let Some(direction) = direction(trace.stage) {
            self.metrics.observe_end_to_end(direction, took);
        }
    }
}

/// How the core of this node is doing.
pub(super) enum Doing {
    /// A bridge.
    Bridge(watch::Receiver<engine::Status>),
    /// An edge.
    Edge(watch::Receiver<client::Status>, Arc<Interests>, BridgeId),
}

/// A core at work.
pub(super) struct Core {
    pub doing: Doing,
    /// Carry events into the core; ended to stop it.
    feeds: JoinSet<()>,
    task: JoinHandle<Result<(), StoreError>>,
    /// Carry its outputs out; they end when it has ended and they are done.
    ports: JoinSet<()>,
}

impl Core {
    /// Returns when the core has ended by itself.
    pub(super) async fn ended(&mut self) -> StartError {
        match (&mut self.task).await {
            Ok(Ok(())) => StartError::Bug("the core ended by itself".to_owned()),
            Ok(Err(error)) => store_failed(&error),
            Err(error) => StartError::Bug(format!("the core ended: {error}")),
        }
    }

    /// Takes nothing new, writes what is left, hands it out.
    pub(super) async fn stop(mut self) {
        self.feeds.shutdown().await;
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database failed while stopping"),
            Err(error) => tracing::warn!(%error, "the core ended badly"),
        }
        while self.ports.join_next().await.is_some() {}
    }
}

/// The engine of a bridge between its two networks.
pub(super) fn bridge(
    settings: &Settings,
    keys: &Keys,
    whisper: &mut Whisper,
    mix: &mut Mix,
    store: &Arc<RocksStore>,
    watching: Watching,
) -> Result<Core, StartError> {
    let gateway = parts::gateway(keys)?;
    let config = engine::Config {
        id: BridgeId(*mix.handle.peer().as_bytes()),
        gateway_secret: ExchangeSecret::from_bytes(*gateway.expose()),
        inspect: Arc::new(link::legacy::Reader),
        seed: *parts::seed(settings, parts::SeedFor::Core)?,
        frame_capacity: ::mixnet::fragment::FRAME_FRAGMENT_MAX,
        retry: engine::RETRY,
        reseal: settings.bridge.reseal,
    };
    let shared: Arc<dyn Store> = store.clone();
    let engine = Engine::open(config, shared.clone(), runner::now()).map_err(parts::open_failed)?;
    let running = runner::spawn(engine, shared);

    let mut feeds = JoinSet::new();
    feeds.spawn(link::legacy::to_bridge(
        whisper.take_events()?,
        running.input.clone(),
    ));
    feeds.spawn(link::mixnet::to_bridge(
        mix.take_events()?,
        running.input.clone(),
    ));

    let mut ports = JoinSet::new();
    let (posts, mut posted) = mpsc::channel(PORT_QUEUE);
    let (replies, mut replied) = mpsc::channel::<(Vec<ReplyBlock>, Object)>(PORT_QUEUE);
    let (whisper, mix, core) = (
        whisper.handle.clone(),
        mix.handle.clone(),
        running.input.downgrade(),
    );
    ports.spawn({
        let core = core.clone();
        async move {
            while let Some(envelope) = posted.recv().await {
                link::legacy::publish(&whisper, envelope, &core).await;
            }
        }
    });
    ports.spawn(async move {
        while let Some((blocks, object)) = replied.recv().await {
            link::mixnet::reply(&mix, blocks, object).await;
        }
    });
    let mut output = running.output;
    ports.spawn(async move {
        let sealer = link::legacy::Sealer::default();
        let mut sealing = JoinSet::new();
        while let Some(output) = output.recv().await {
            match output {
                engine::Output::Publish { envelope } => drop(posts.send(envelope).await),
                engine::Output::Reply { blocks, object } => {
                    drop(replies.send((blocks, object)).await)
                }
                engine::Output::Work(job) => {
                    drop(sealing.spawn(sealer.clone().seal(job, core.clone())))
                }
                engine::Output::Trace(trace) => watching.note(&trace, |stage| match stage {
                    Stage::Posted => Some("to_whisper"),
                    Stage::Acked => Some("to_mix"),
                    Stage::Accepted
                    | Stage::Committed
                    | Stage::Delivered
                    | Stage::Resealed
                    | Stage::Refused => None,
                }),
                // The runner writes these itself.
                engine::Output::Commit { .. } => {}
            }
            while sealing.try_join_next().is_some() {}
        }
    });
    Ok(Core {
        doing: Doing::Bridge(running.status),
        feeds,
        task: running.task,
        ports,
    })
}

/// The gateway client of an edge between its local client and the mixnet.
pub(super) fn edge(
    settings: &Settings,
    topology: &[Descriptor],
    whisper: &mut Whisper,
    mix: &mut Mix,
    store: &Arc<RocksStore>,
    watching: Watching,
) -> Result<Core, StartError> {
    let bridges = bridges(settings, topology)?;
    let bridge = bridges
        .first()
        .map(|bridge| bridge.id)
        .ok_or_else(|| no_bridge(settings))?;
    let seed = *parts::seed(settings, parts::SeedFor::Core)?;
    let frame_capacity = ::mixnet::fragment::FRAME_FRAGMENT_MAX;
    let mut config = client::Config::new(
        bridges,
        Arc::new(link::legacy::Reader),
        seed,
        frame_capacity,
    );
    config.mode = match settings.edge.mode {
        SyncMode::Batch => Mode::Batch,
        SyncMode::Interactive => Mode::Interactive,
    };
    config.blocks_low = settings.edge.block_low.into();
    config.blocks_high = settings.edge.block_high.into();
    let shared: Arc<dyn Store> = store.clone();
    let client = Client::open(config, shared.clone(), runner::now()).map_err(parts::open_failed)?;
    let running = runner::spawn(client, shared);

    let dictionary = parts::dictionary(settings)?;
    let interests = Arc::new(Interests::new(
        dictionary,
        settings.edge.follow_all,
        settings.edge.max_share,
    ));
    let mut feeds = JoinSet::new();
    feeds.spawn(link::legacy::to_edge(
        whisper.take_events()?,
        running.input.clone(),
        interests.clone(),
    ));
    feeds.spawn(link::mixnet::to_edge(
        mix.take_events()?,
        running.input.clone(),
    ));

    let mut ports = JoinSet::new();
    let (deliveries, mut delivered) = mpsc::channel(PORT_QUEUE);
    let (requests, mut requested) = mpsc::channel::<(BridgeId, Object)>(PORT_QUEUE);
    let (whisper, mix, core) = (
        whisper.handle.clone(),
        mix.handle.clone(),
        running.input.downgrade(),
    );
    ports.spawn({
        let core = core.clone();
        async move {
            while let Some(envelope) = delivered.recv().await {
                link::legacy::deliver(&whisper, envelope, &core).await;
            }
        }
    });
    ports.spawn({
        let mix = mix.clone();
        async move {
            while let Some((to, object)) = requested.recv().await {
                link::mixnet::send(&mix, to, object).await;
            }
        }
    });
    let mut output = running.output;
    ports.spawn(async move {
        while let Some(output) = output.recv().await {
            match output {
                client::Output::Deliver(envelope) => drop(deliveries.send(envelope).await),
                client::Output::Send { to, object } => drop(requests.send((to, object)).await),
                client::Output::WantBlocks { count } => {
                    let blocks = link::mixnet::blocks(&mix, count).await;
                    link::legacy::tell(&core, client::Input::Blocks(blocks)).await;
                }
                client::Output::Trace(trace) => watching.note(&trace, |stage| match stage {
                    Stage::Posted => Some("to_whisper"),
                    Stage::Delivered => Some("to_mix"),
                    Stage::Accepted
                    | Stage::Committed
                    | Stage::Acked
                    | Stage::Resealed
                    | Stage::Refused => None,
                }),
                // The runner writes these itself.
                client::Output::Commit { .. } => {}
            }
        }
    });
    Ok(Core {
        doing: Doing::Edge(running.status, interests, bridge),
        feeds,
        task: running.task,
        ports,
    })
}

/// The bridges of the relay list that this edge may use, in the order of the list.
fn bridges(settings: &Settings, topology: &[Descriptor]) -> Result<Vec<BridgeInfo>, StartError> {
    let wanted = settings.edge.bridge.as_deref().unwrap_or_default();
    let usable = topology
        .iter()
        .filter(|descriptor| descriptor.capabilities().bridge)
        .filter_map(|descriptor| {
            let id = *descriptor.peer().as_bytes();
            let gateway_key = descriptor.gateway_key()?;
            hex::encode(id).starts_with(wanted).then_some(BridgeInfo {
                id: BridgeId(id),
                gateway_key,
            })
        });
    Ok(usable.collect())
}

fn no_bridge(settings: &Settings) -> StartError {
    match &settings.edge.bridge {
        Some(wanted) => StartError::Config {
            key: "edge.bridge",
            why: format!("the relay list names no bridge whose key starts with {wanted}"),
            what_to_do:
                "write the start of the field peer of a bridge's descriptor, or leave it empty"
                    .to_owned(),
        },
        None => StartError::Topology {
            path: settings.mix.topology.clone(),
            why: "it names no bridge, and an edge needs one".to_owned(),
        },
    }
}
