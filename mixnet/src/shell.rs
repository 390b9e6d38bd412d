//! The mix node on a real network: libp2p around the pure core.
//!
//! ```text
//!  swarm task: TCP, Noise, Yamux, identify, ping; dials and re-dials ◀─▶ directory task   /ferry/directory/1, /ferry/kad/1
//!      │ up, down, unreachable                                               │ topology, keys
//!      ▼                                                                     ▼
//!  core thread: peels, owns the node and its timers ◀── requests of the local user (Handle)
//!      ▲ packets           │      │     ▲ kept      └─▶ events
//!      │           packets │      └─────┴─ tags ─▶ keeper thread ─▶ files of replay tags
//!      │                   ▼
//!      │         one writer task a neighbour                     /mix/1.0.0
//!  one reader task a stream                                      /mix/1.0.0
//! ```
//!
//! Every arrow is a bounded channel of [`crate::limits`]. What finds one full is dropped and
//! counted, except what comes from the network into the core: there the stream waits.

mod behaviour;
mod core;
pub mod directory;
mod disk;
mod handle;
mod intake;
mod keeper;
mod keys;
mod park;
mod reach;
mod start;
mod stream;
mod swarm;
mod tags;
mod trace;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use self::handle::Handle;
use self::handle::{Query, SendRequest};
pub use self::reach::{Reach, ReachError, Reachability, Way, check_listen, place, split_peer};
pub use self::swarm::Refusal;
pub use self::tags::TagFileError;
pub use self::trace::TraceError;
use crate::address::{Address, AddressPolicy, PeerKey, Transport};
use crate::descriptor::Descriptor;
use crate::fragment::Object;
use crate::level::Protection;
use crate::limits::{CORE_QUEUE_MAX, EVENT_QUEUE_MAX, REQUEST_QUEUE_MAX};
use crate::mailbox;
use crate::node::NodeConfig;
pub use crate::node::{Arrival, NodeStatus, SendError};
use crate::preset::Preset;
use crate::replay::Capacity;
use crate::sphinx::SecretKey;
use crate::topology::{Topology, TopologyError};
use crate::watch::Notice;
pub use libp2p::Multiaddr;

/// What makes a running node.
pub struct Config {
    /// Sphinx key; with a directory it is not used.
    pub key: SecretKey,
    /// Secret of the libp2p identity, a secp256k1 key.
    pub identity: Zeroizing<[u8; 32]>,
    /// Where to listen.
    pub listen: SocketAddrV4,
    /// Where others reach the node.
    pub advertise: SocketAddrV4,
    /// Whether to forward packets of others.
    pub relay: bool,
    /// Where the tags of the packets that were seen are kept, so that a restart with the same mix key refuses them. Without a
    /// directory the mix key must be a new one at every start.
    pub replay_dir: Option<PathBuf>,
    /// How many tags each key may have to remember: from the packets a second that the relay advertises and the time for which a key
    /// is good. What comes when so many were seen is refused.
    pub replay_capacity: Capacity,
    /// Percent of the packets from neighbours that are lost on purpose; for tests only.
    pub test_loss_percent: u8,
    /// A file for a trace of every frame: a measuring tool, refused where anything but loopback is touched.
    pub trace: Option<PathBuf>,
    /// Other ways to and from the node.
    pub reach: Reach,
    /// How often to send.
    pub preset: Preset,
    /// What messages get, and what happens where they cannot have it.
    pub protection: Protection,
    /// The network; with a directory, where that begins.
    pub topology: Vec<Descriptor>,
    /// How the node finds the network and rotates its keys; none: the network is what `topology` says, and `key` is for ever.
    pub directory: Option<directory::Config>,
    /// Makes all randomness of the node repeatable; for tests only.
    pub seed: Option<[u8; 32]>,
    /// Allow loopback and private addresses, as a network on one machine needs.
    pub allow_private: bool,
}

/// What the local user hears.
#[derive(Debug)]
pub enum Event {
    /// An object is complete.
    Object {
        /// The object.
        object: Object,
        /// How it came.
        arrival: Arrival,
    },
    /// The set of usable relays changed.
    Relays {
        /// How many are usable.
        usable: usize,
        /// How many a path needs.
        needed: usize,
    },
    /// A relay went away: replies through blocks that were given out before may be lost. Whoever
    /// holds such blocks should forget them and get new ones.
    SurbsStale,
    /// What became of a chain of boxes that is watched, or of an object that was left in mailboxes.
    Mailbox(mailbox::Event),
    /// Whether messages get the protection that was chosen has changed.
    Notice(Notice),
}

/// The state of a running node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Relays that paths may use.
    pub usable_relays: usize,
    /// Relays of the network, this node apart.
    pub known_relays: usize,
    /// Relays that a path needs.
    pub needed: usize,
    /// Connected peers.
    pub connections: Vec<Connection>,
    /// Whether others can dial this node, as far as they have told.
    pub reachability: Reachability,
    /// Circuits through others on which it can be found.
    pub reservations: usize,
    /// Connections that were refused or not made, by why.
    pub refused: BTreeMap<Refusal, u64>,
    /// Bytes that passed its TCP sockets (WebSocket among them): sent, and received. Headers of TCP and IP are not counted.
    pub tcp_bytes: (u64, u64),
    /// The core: queue lengths and counters, with what the network tasks dropped.
    pub node: NodeStatus,
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// Who.
    pub peer: PeerKey,
    /// Packets that wait for its stream.
    pub queued: usize,
    /// Whether its descriptor is known.
    pub known: bool,
    /// What its connections run over.
    pub ways: Vec<Way>,
}

/// Starts a node. Needs a tokio runtime around it.
pub fn spawn(
    config: Config,
) -> Result<(Handle, mpsc::Receiver<Event>, JoinHandle<()>), SpawnError> {
    let policy = AddressPolicy {
        allow_private: config.allow_private,
    };
    let secret = config.identity.clone();
    config.reach.check()?;
    let identity = swarm::identity(&config.identity)?;
    let peer = swarm::own_key(&identity)?;
    let seed = match config.seed {
        Some(seed) => Zeroizing::new(seed),
        None => random_seed()?,
    };
    let (found, behaviour) = match config.directory {
        None => {
            let found = start::Found::in_a_file(config.topology, policy, peer, config.key)?;
            (found, None)
        }
        Some(directory) => {
            let (behaviour, wires) = directory::Behaviour::new(directory.mode, policy, &identity);
            let start = directory::Start {
                identity: secret,
                seeds: config.topology,
                policy,
                seed: start::directory_seed(&seed),
            };
            let found = start::Found::by_gossip(directory, start, wires)?;
            (found, Some(behaviour))
        }
    };
    let own = [config.listen, config.advertise];
    let open = |path: PathBuf| trace::Trace::open(&path, own, &config.reach, &found.topology);
    let trace = config.trace.map(open).transpose()?;
    let drops = Arc::new(stream::Drops::traced(trace.clone()));
    let place = swarm::Place {
        listen: config.listen,
        advertise: config.advertise,
        policy,
    };
    let open = swarm::open(&identity, place, &config.reach, drops.clone(), behaviour)?;
    let inputs = mpsc::channel(CORE_QUEUE_MAX);
    let capacity = config.replay_capacity;
    let tags = start::Tags::open(config.replay_dir, &found.key, capacity, &inputs.0)?;
    let (node, topology) = (
        NodeConfig {
            key: found.key.public(),
            peer,
            address: Address::direct(
                *config.advertise.ip(),
                Transport::Tcp,
                config.advertise.port(),
                peer,
            ),
            relay: config.relay,
            kept_max: config.reach.kept_max(),
            preset: config.preset,
            protection: config.protection,
            topology: found.topology.clone(),
            seed: *seed,
        },
        found.topology,
    );
    let loss = intake::Loss::new(config.test_loss_percent, &seed);
    let (keeper, orders) = tags.keeper.unzip();
    let peeler = intake::Peeler::new(found.key, tags.store, loss, orders.clone());
    let mut outside = core::Outside {
        open,
        reach: config.reach,
        drops,
        peeler: peeler.traced(trace),
        keeper,
        keys: keys::Keys {
            capacity,
            keeper: orders,
        },
        inputs,
        directory: None,
    };
    let (channels, mut handle, events) = channels(peer, &topology);
    if let Some((driver, access)) = found.driver {
        let core = outside.inputs.0.downgrade();
        let queries = handle.queries.downgrade();
        let run = driver.run(found.later, core, queries, channels.forwarded.clone());
        outside.directory = Some(tokio::spawn(run));
        handle.directory = Some(access);
    }
    let task = tokio::spawn(core::run(node, topology, outside, channels));
    Ok((handle, events, task))
}

/// The ways between a node and its user.
fn channels(peer: PeerKey, topology: &Topology) -> (core::Channels, Handle, mpsc::Receiver<Event>) {
    let (sends, send_requests) = mpsc::channel(1);
    let (queries, query_requests) = mpsc::channel(REQUEST_QUEUE_MAX);
    let (events, event_receiver) = mpsc::channel(EVENT_QUEUE_MAX);
    let surbs_outstanding = Arc::new(AtomicUsize::new(0));
    let (network, topologies) = watch::channel(topology.clone());
    let channels = core::Channels {
        sends: send_requests,
        queries: query_requests,
        events,
        surbs_outstanding: surbs_outstanding.clone(),
        forwarded: Arc::new(AtomicU64::new(0)),
        network,
    };
    let handle = Handle {
        sends,
        queries,
        surbs_outstanding,
        peer,
        topology: topologies,
        directory: None,
    };
    (channels, handle, event_receiver)
}

fn random_seed() -> Result<Zeroizing<[u8; 32]>, SpawnError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| SpawnError::Random(error.to_string()))?;
    Ok(seed)
}

/// Why a mix key is not taken into use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its tags cannot be kept.
    #[error(transparent)]
    ReplayTags(#[from] TagFileError),
    /// The node has stopped.
    #[error("the mix node has stopped")]
    Stopped,
}

/// Why a node does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The descriptors are not a network for this node.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The identity is no secret key.
    #[error("the libp2p identity is not a secp256k1 secret key")]
    Identity,
    /// The address to listen on cannot be had.
    #[error(
        "cannot listen on {address}: {source}; choose another port, or stop what uses this one"
    )]
    Listen {
        /// The address.
        address: SocketAddrV4,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another address to listen on cannot be had.
    #[error("cannot listen on {address}: {source}; choose another port, or leave it out")]
    AlsoListen {
        /// The address.
        address: Multiaddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// An address is none.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The tags of the packets that were seen cannot be kept.
    #[error(transparent)]
    ReplayTags(#[from] TagFileError),
    /// The trace is refused or cannot be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The mix keys of the epochs cannot be kept.
    #[error(transparent)]
    KeyFile(#[from] directory::KeyFileError),
    /// No mix key was made for this time.
    #[error("no mix key could be made for the present epoch: check this machine's clock")]
    NoKey,
    /// The transport could not be set up.
    #[error("the libp2p transport could not be set up: {0}")]
    Transport(String),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}
