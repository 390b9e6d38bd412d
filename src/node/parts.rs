//! The parts of a node: its two networks, its disk, its relay list.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::legacy::enode::Enode;
use ::legacy::identity::SecretKey;
use ::legacy::peers::Limits;
use ::legacy::shell as whisper_shell;
use ::legacy::shh::interest::{Dictionary, Hint};
use ::legacy::shh::node::Confirmations;
use ::legacy::shh::wire::RateLimits;
use ::mixnet::descriptor::Descriptor;
use ::mixnet::preset::Preset;
use ::mixnet::replay::{Capacity, KEY_LIFE};
use ::mixnet::{Class, Level, Levels, Protection, SecretKey as MixKey, shell as mix_shell};
use bridge::error::OpenError;
use bridge::store::{RocksStore, StoreError};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::{mail, network, store_failed};
use crate::config::Settings;
use crate::directory::Directory;
use crate::failure::StartError;
use crate::identity;
use crate::keystore::{self, Keys, Secret};
use crate::link;
use crate::role::Role;
use crate::rpc::Intake;

/// The Whisper side at work.
pub(super) struct Whisper {
    pub handle: whisper_shell::Handle,
    pub(super) events: Unread<whisper_shell::Event>,
    /// Where the filters of local clients see every envelope.
    pub(super) filters: Intake,
    task: JoinHandle<()>,
}

/// The mixnet side at work.
pub(super) struct Mix {
    pub handle: mix_shell::Handle,
    pub preset: Preset,
    pub protection: Protection,
    pub(super) events: Unread<mix_shell::Event>,
    task: JoinHandle<()>,
}

/// What a network says, until somebody takes it.
pub(super) struct Unread<E>(Option<mpsc::Receiver<E>>);

impl<E> Unread<E> {
    /// The events, which one task reads; or nobody, where they are dropped.
    pub(super) fn take(&mut self) -> Result<mpsc::Receiver<E>, StartError> {
        let taken = || StartError::Bug("the events of a network are read already".to_owned());
        self.0.take().ok_or_else(taken)
    }
}

impl Whisper {
    /// Returns when it has ended by itself.
    pub(super) async fn ended(&mut self) -> StartError {
        ended("Whisper", &mut self.task).await
    }

    /// Tells every peer and waits until the connections are closed.
    pub(super) async fn stop(self) {
        self.handle.shutdown().await;
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the Whisper side ended badly");
        }
    }
}

impl Mix {
    /// Returns when it has ended by itself.
    pub(super) async fn ended(&mut self) -> StartError {
        ended("the mixnet", &mut self.task).await
    }
}

async fn ended(what: &str, task: &mut JoinHandle<()>) -> StartError {
    match task.await {
        Ok(()) => StartError::Bug(format!("the side of {what} ended by itself")),
        Err(error) => StartError::Bug(format!("the side of {what} ended: {error}")),
    }
}

/// Starts Whisper, if a role speaks it.
pub(super) async fn whisper(
    settings: &Settings,
    directory: &Directory,
    keys: &Keys,
) -> Result<Option<Whisper>, StartError> {
    if !settings.node.roles.speaks_whisper() {
        return Ok(None);
    }
    let key = keys.devp2p.as_ref().ok_or_else(|| missing("devp2p"))?;
    let key = SecretKey::from_bytes(key.expose()).map_err(|error| StartError::Keys {
        name: "devp2p",
        why: error.to_string(),
    })?;
    let statics = enodes("whisper.static_peers", &settings.whisper.static_peers)?;
    let trusted = enodes("whisper.trusted_peers", &settings.whisper.trusted_peers)?;
    let mailserver = mail::server(settings, directory, &key)?;
    let mut config = whisper_shell::Config::new(key);
    config.listen = settings.whisper.listen;
    config.advertise = settings.whisper.advertise;
    config.static_peers = statics;
    if settings.whisper.discovery {
        let discovery = discovery(settings, directory)?;
        config.bootstrap_peers = discovery.bootnodes.clone();
        config.discovery = Some(discovery);
    }
    config.trusted_peers = trusted;
    config.limits = Limits {
        ban_for: Duration::from_secs(60 * u64::from(settings.whisper.ban_minutes)),
        ..Limits::split(
            settings.whisper.max_peers.into(),
            settings.whisper.dial_ratio.into(),
        )
    };
    // An edge judges nothing for its client: what the bridge brings was judged there, and the client has its own bound.
    config.shh.min_pow = if settings.node.roles.has(Role::Edge) {
        0.0
    } else {
        settings.whisper.min_pow
    };
    if settings.node.roles.has(Role::Edge) || settings.node.roles.has(Role::Bridge) {
        config.shh.relay_tick_ms = CROSSING_TICK_MS;
    }
    config.mailserver = mailserver;
    for server in enodes("mailserver.sync_from", &settings.mailserver.sync_from)? {
        let known = |peer: &Enode| peer.node_id() == server.node_id();
        if !config.static_peers.iter().any(known) {
            config.static_peers.push(server);
        }
    }
    config.shh.envelope_len_max = usize::try_from(settings.whisper.max_message_size)
        .map_err(|error| StartError::Bug(error.to_string()))?;
    if !settings.whisper.confirmations {
        config.shh.confirmations = Confirmations::Off;
    }
    config.shh.accept_old_pow = settings.whisper.accept_old_pow;
    config.shh.rate_limits = rate_limits(settings);
    let filters = Intake::default();
    config.listener = Some(link::legacy::show(filters.clone()));
    let (handle, events, task) = whisper_shell::spawn(config).map_err(whisper_failed)?;
    Ok(Some(Whisper {
        handle,
        events: Unread(Some(events)),
        filters,
        task,
    }))
}

fn discovery(
    settings: &Settings,
    directory: &Directory,
) -> Result<whisper_shell::discovery::Config, StartError> {
    Ok(whisper_shell::discovery::Config {
        bootnodes: enodes("whisper.bootnodes", &settings.whisper.bootnodes)?,
        file: Some(directory.whisper_nodes()),
        nat: settings.whisper.nat,
    })
}

/// No limits at all are not announced either.
fn rate_limits(settings: &Settings) -> Option<RateLimits> {
    let limits = RateLimits {
        ip: settings.whisper.rate_limit_ip.into(),
        peer: settings.whisper.rate_limit_peer.into(),
        topic: 0,
    };
    (limits != RateLimits::default()).then_some(limits)
}

pub(super) fn enodes(key: &'static str, texts: &[String]) -> Result<Vec<Enode>, StartError> {
    let enode = |text: &String| {
        text.parse().map_err(|error| StartError::Config {
            key,
            why: format!("{text:?} is no enode: {error}"),
            what_to_do: "write enode://<128 hex digits>@<address>:<port>, or enr:…".to_owned(),
        })
    };
    texts.iter().map(enode).collect()
}

fn whisper_failed(error: whisper_shell::Error) -> StartError {
    match error {
        whisper_shell::Error::Listen { address, source } => StartError::Listen {
            purpose: "whisper",
            address,
            source,
        },
        whisper_shell::Error::Discovery { address, source } => StartError::Listen {
            purpose: "whisper",
            address,
            source,
        },
        whisper_shell::Error::StaticPeer(error) => StartError::Config {
            key: "whisper.static_peers",
            why: error.to_string(),
            what_to_do: "correct or remove the entry".to_owned(),
        },
        whisper_shell::Error::TrustedPeer(error) => StartError::Config {
            key: "whisper.trusted_peers",
            why: error.to_string(),
            what_to_do: "correct or remove the entry".to_owned(),
        },
        error => StartError::Resources(error.to_string()),
    }
}

/// Starts the mixnet side, if a role takes part in it.
pub(super) fn mix(
    settings: &Settings,
    directory: &Directory,
    keys: &Keys,
    topology: &[Descriptor],
) -> Result<Option<Mix>, StartError> {
    let roles = &settings.node.roles;
    let (Some(listen), true) = (settings.mix.listen, roles.speaks_mix()) else {
        return Ok(None);
    };
    let key = keys.mix.as_ref().ok_or_else(|| missing("mix"))?;
    let identity = keys.libp2p.as_ref().ok_or_else(|| missing("libp2p"))?;
    let advertise = identity::mix_address(settings).unwrap_or(listen);
    let (preset, protection) = protection(settings)?;
    let key_life = match settings.mix.gossip {
        true => settings.mix.epochs.key_life(),
        false => KEY_LIFE,
    };
    let config = mix_shell::Config {
        key: MixKey::from_bytes(*key.expose()),
        identity: Zeroizing::new(*identity.expose()),
        listen,
        advertise,
        relay: roles.has(Role::Relay),
        reach: settings.mix.reach.clone(),
        // With a seed every start makes the same packets, which whoever remembers the last start must refuse.
        replay_dir: settings.node.seed.is_none().then(|| directory.replay()),
        trace: settings.mix.trace_file.clone(),
        test_loss_percent: settings.mix.test_loss_percent,
        replay_capacity: Capacity::for_rate(settings.mix.capacity.into(), key_life),
        preset,
        protection,
        topology: topology.to_vec(),
        directory: settings
            .mix
            .gossip
            .then(|| network::config(settings, directory, keys)),
        seed: match settings.node.seed {
            Some(_) => Some(*seed(settings, SeedFor::Mix)?),
            None => None,
        },
        allow_private: settings.mix.private_network.allowed(*advertise.ip()),
    };
    let (handle, events, task) =
        mix_shell::spawn(config).map_err(|error| mix_failed(settings, error))?;
    Ok(Some(Mix {
        handle,
        preset,
        protection,
        events: Unread(Some(events)),
        task,
    }))
}

/// The preset, and what each class of messages gets: the delay of the preset that the configuration names for it, and one copy or
/// two.
pub(crate) fn protection(settings: &Settings) -> Result<(Preset, Protection), StartError> {
    let mix = &settings.mix;
    let unknown = || StartError::Bug(format!("the preset {} is in the schema only", mix.preset));
    let preset = Preset::named(&mix.preset).ok_or_else(unknown)?;
    let mut levels = Levels::of(&preset);
    for class in Class::ALL {
        let named = mix.classes.get(&class).map(String::as_str);
        let delay = named
            .and_then(Preset::named)
            .unwrap_or(preset)
            .delay_ms_mean;
        let copies = if mix.twice.contains(&class) { 2 } else { 1 };
        levels = Level::new(delay, copies)
            .and_then(|level| levels.with(class, level))
            .map_err(|error| StartError::Bug(format!("the class {}: {error}", class.as_str())))?;
    }
    let protection = Protection {
        levels,
        low_traffic: mix.low_traffic,
        strict: mix.strict,
    };
    Ok((preset, protection))
}

fn mix_failed(settings: &Settings, error: mix_shell::SpawnError) -> StartError {
    match error {
        mix_shell::SpawnError::Listen { address, source } => StartError::Listen {
            purpose: "mix",
            address: SocketAddr::V4(address),
            source,
        },
        mix_shell::SpawnError::Topology(error) => StartError::Topology {
            path: settings.mix.topology.clone(),
            why: error.to_string(),
        },
        mix_shell::SpawnError::KeyFile(error) => StartError::EpochKeys(error.to_string()),
        mix_shell::SpawnError::ReplayTags(error) => StartError::ReplayTags(error.to_string()),
        mix_shell::SpawnError::AlsoListen { address, source } => StartError::Config {
            key: "mix.also_listen",
            why: format!("cannot listen on {address}: {source}"),
            what_to_do: "stop what uses it, write another port or an address of this machine, or leave it out"
                .to_owned(),
        },
        mix_shell::SpawnError::Identity => StartError::Keys {
            name: "libp2p",
            why: error.to_string(),
        },
        error => StartError::Resources(error.to_string()),
    }
}

/// The file of descriptors, with every signature checked; empty for a node that takes no part in the mixnet.
pub(super) fn topology(settings: &Settings) -> Result<Vec<Descriptor>, StartError> {
    if !settings.node.roles.speaks_mix() {
        return Ok(Vec::new());
    }
    let path = &settings.mix.topology;
    let refused = |why: String| StartError::Topology {
        path: path.clone(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    Descriptor::list_from_json(&text).map_err(|error| refused(error.to_string()))
}

/// Opens the node's database.
pub(super) fn store(directory: &Directory) -> Result<Arc<RocksStore>, StartError> {
    let path = directory.database();
    RocksStore::open(&path)
        .map(Arc::new)
        .map_err(|error| match error {
            StoreError::Locked { directory } => StartError::DatabaseLocked { path: directory },
            StoreError::NewerSchema { found, known } => {
                StartError::DatabaseVersion { path, found, known }
            }
            StoreError::Corrupt { .. } => StartError::DatabaseCorrupt {
                path,
                why: error.to_string(),
            },
            error => StartError::Database {
                path,
                why: error.to_string(),
            },
        })
}

/// A core that does not open.
pub(super) fn open_failed(error: OpenError) -> StartError {
    match error {
        OpenError::Store(error) => store_failed(&error),
        error => StartError::Bug(error.to_string()),
    }
}

/// The dictionary that explains the client's bloom filter, with the user's hints.
pub(super) fn dictionary(settings: &Settings) -> Result<Dictionary, StartError> {
    let hints = settings
        .edge
        .hints
        .iter()
        .map(|text| Hint::parse(text))
        .collect::<Result<Vec<_>, _>>();
    let hints = hints.map_err(|error| StartError::Config {
        key: "edge.hints",
        why: error.to_string(),
        what_to_do: "write names of chats, and public keys as 0x04 and 128 hex digits".to_owned(),
    })?;
    Ok(Dictionary::new(&hints))
}

/// From an envelope's arrival to its relaying at an edge or a bridge. A plain node bundles for 300 ms, as Whisper nodes do; here a person
/// waits behind a mixnet already, and the polite rate per peer holds all the same.
const CROSSING_TICK_MS: u64 = 50;

/// What a seed is for: parts of one node must not draw the same numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum SeedFor {
    Mix,
    Core,
    Keyring,
    Inbox,
    Mailbox,
}

/// Random bytes of the system; with `--seed` (devnets under test) the same ones at every start.
pub(super) fn seed(
    settings: &Settings,
    purpose: SeedFor,
) -> Result<Zeroizing<[u8; 32]>, StartError> {
    let mut bytes = Zeroizing::new([0; 32]);
    match settings.node.seed {
        Some(seed) => {
            let digest = Sha256::new()
                .chain_update(seed.to_be_bytes())
                .chain_update([purpose as u8])
                .finalize();
            bytes.copy_from_slice(&digest);
        }
        None => keystore::system_random(&mut bytes)
            .map_err(|failure| StartError::Resources(failure.to_string()))?,
    }
    Ok(bytes)
}

/// A key that a role needs.
pub(super) fn missing(name: &'static str) -> StartError {
    StartError::Keys {
        name,
        why: "it is not there".to_owned(),
    }
}

/// A key of the gateway, for the engine.
pub(super) fn gateway(keys: &Keys) -> Result<&Secret, StartError> {
    keys.gateway.as_ref().ok_or_else(|| missing("gateway"))
}
