//! The role of the edge: the gateway client between its local client and the mixnet.

use std::sync::Arc;
use std::time::Duration;

use ::mixnet::descriptor::Descriptor;
use ::mixnet::preset::Preset;
use ::mixnet::shell::Handle as MixHandle;
use bridge::gateway::client::{self, Client};
use bridge::gateway::request::Mode;
use bridge::port::{BridgeId, BridgeInfo, Envelope, Object, Stage};
use bridge::runner;
use bridge::store::{RocksStore, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::core::{Core, Doing, Watching, port, put};
use super::network;
use super::parts::{self, Mix, Whisper};
use crate::config::Settings;
use crate::config::settings::SyncMode;
use crate::failure::StartError;
use crate::link;
use crate::link::interest::Interests;

/// Opens the client on its store and joins it to both sides.
pub(super) async fn start(
    settings: &Settings,
    begin: &[Descriptor],
    whisper: &mut Whisper,
    mix: &mut Mix,
    store: &Arc<RocksStore>,
    watching: Watching,
) -> Result<Core, StartError> {
    let wanted = |descriptor: &Descriptor| bridge(settings, descriptor).is_some();
    let known = network::found(settings, mix, begin, wanted).await;
    let bridges: Vec<BridgeInfo> = known
        .iter()
        .filter_map(|descriptor| bridge(settings, descriptor))
        .collect();
    let bridge = bridges
        .first()
        .map(|bridge| bridge.id)
        .ok_or_else(|| no_bridge(settings))?;
    let config = config(settings, bridges, &mix.preset)?;
    let dictionary = parts::dictionary(settings)?;
    let store: Arc<dyn Store> = store.clone();
    let client = Client::open(config, store.clone(), runner::now()).map_err(parts::open_failed)?;
    let running = runner::spawn(client, store);

    let (edge, follow_all) = (&settings.edge, settings.edge.follow_all);
    let interests = Arc::new(Interests::new(dictionary, follow_all, edge.max_share));
    let (from_whisper, from_mix) = (whisper.events.take()?, mix.events.take()?);
    let mut feeds = JoinSet::new();
    let (presence, signs) = mpsc::channel(link::foreground::SIGNS_MAX);
    let window = settings.edge.window;
    feeds.spawn(link::foreground::follow(window, mix.handle.clone(), signs));
    feeds.spawn(link::legacy::to_edge(
        from_whisper,
        running.input.clone(),
        interests.clone(),
        presence,
    ));
    feeds.spawn(link::mixnet::to_edge(from_mix, running.input.clone()));

    let (whisper, mix) = (whisper.handle.clone(), mix.handle.clone());
    let core = running.input.downgrade();
    let mut ports = JoinSet::new();
    let deliveries = port(&mut ports, {
        let core = core.clone();
        move |envelope| {
            let (whisper, core) = (whisper.clone(), core.clone());
            async move { link::legacy::deliver(&whisper, envelope, &core).await }
        }
    });
    let requests = port(&mut ports, {
        let mix = mix.clone();
        move |(to, object, prompt)| {
            let mix = mix.clone();
            async move { link::mixnet::send(&mix, to, object, prompt).await }
        }
    });
    let out = Out {
        deliveries,
        requests,
        mix,
        core,
        watching,
    };
    ports.spawn(out.hand_out(running.output));
    let doing = Doing::Edge(running.status, interests, bridge);
    Ok(Core {
        doing,
        feeds,
        task: running.task,
        ports,
    })
}

fn config(
    settings: &Settings,
    bridges: Vec<BridgeInfo>,
    preset: &Preset,
) -> Result<client::Config, StartError> {
    let seed = *parts::seed(settings, parts::SeedFor::Core)?;
    let frame_capacity = ::mixnet::fragment::FRAME_FRAGMENT_MAX;
    let inspect = Arc::new(link::legacy::Reader);
    let mut config = client::Config::new(bridges, inspect, seed, frame_capacity);
    config.mode = match settings.edge.mode {
        SyncMode::Batch => Mode::Batch,
        SyncMode::Interactive => Mode::Interactive,
    };
    (config.slot, config.retry) = pace(preset);
    config.blocks_low = settings.edge.block_low.into();
    config.blocks_high = settings.edge.block_high.into();
    Ok(config)
}

/// How often a frame leaves, and how long a round trip may usually take: out as the preset says, and back, where nothing waits for a
/// slot.
fn pace(preset: &Preset) -> (Duration, Duration) {
    let slot = Duration::try_from_secs_f64(1.0 / preset.payload_rate).unwrap_or(Duration::ZERO);
    let out = preset
        .latency()
        .map_or(Duration::ZERO, |latency| latency.p99);
    (slot, (out * 3 / 2).max(RETRY_MIN))
}

/// A bridge needs some of it, to write and to find its place in Whisper.
const RETRY_MIN: Duration = Duration::from_secs(3);

/// Where the outputs of the client go.
struct Out {
    deliveries: mpsc::Sender<Envelope>,
    requests: mpsc::Sender<(BridgeId, Object, bool)>,
    mix: MixHandle,
    core: mpsc::WeakSender<client::Input>,
    watching: Watching,
}

impl Out {
    async fn hand_out(self, mut outputs: mpsc::Receiver<client::Output>) {
        while let Some(output) = outputs.recv().await {
            match output {
                client::Output::Deliver(envelope) => put(&self.deliveries, envelope).await,
                client::Output::Send { to, object, prompt } => {
                    put(&self.requests, (to, object, prompt)).await
                }
                client::Output::WantBlocks { count } => {
                    let blocks = link::mixnet::blocks(&self.mix, count).await;
                    link::legacy::tell(&self.core, client::Input::Blocks(blocks)).await;
                }
                client::Output::Watch { label, key, next } => {
                    link::mixnet::watch(&self.mix, label, &key, next).await;
                }
                client::Output::Unwatch { label } => self.mix.unwatch(label).await,
                client::Output::Trace(trace) => self.watching.note(&trace, direction),
                // The runner writes these itself.
                client::Output::Commit { .. } => {}
            }
        }
    }
}

/// The direction in which an envelope has crossed with this stage.
fn direction(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Posted => Some("to_whisper"),
        Stage::Delivered => Some("to_mix"),
        Stage::Accepted | Stage::Committed | Stage::Acked | Stage::Resealed | Stage::Refused => {
            None
        }
    }
}

/// The bridge that a descriptor names, if this edge may use it.
fn bridge(settings: &Settings, descriptor: &Descriptor) -> Option<BridgeInfo> {
    let wanted = settings.edge.bridge.as_deref().unwrap_or_default();
    let id = *descriptor.peer().as_bytes();
    let gateway_key = descriptor.gateway_key()?;
    hex::encode(id).starts_with(wanted).then_some(BridgeInfo {
        id: BridgeId(id),
        gateway_key,
    })
}

fn no_bridge(settings: &Settings) -> StartError {
    match &settings.edge.bridge {
        Some(wanted) => StartError::Config {
            key: "edge.bridge",
            why: format!("the network has no bridge whose key starts with {wanted}"),
            what_to_do:
                "write the start of the field peer of a bridge's descriptor, or leave it empty"
                    .to_owned(),
        },
        None => StartError::Topology {
            path: settings.mix.topology.clone(),
            why: match settings.mix.gossip {
                true => "neither it nor the mix nodes that it leads to name a bridge, and an edge needs one",
                false => "it names no bridge, and an edge needs one",
            }
            .to_owned(),
        },
    }
}
