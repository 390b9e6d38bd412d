//! The libp2p side: it dials, hears what came of it, and tells the core who is connected.
//!
//! ```text
//! swarm/transport   what carries a connection, and where the node listens
//! swarm/contacts    whom the node may dial, and when it does
//! swarm/nat         whether it can be dialled itself, circuits and holes
//! swarm/ways        what this task does about them
//! swarm/guard       what is refused, and what is not dialled for others
//! swarm/refusals    why connections are refused, to be counted
//! swarm/pace        signs of life
//! swarm/wire        bytes that passed, and lines that are dead
//! ```
//!
//! Whoever is no contact is reached over the connection that it made. A peer counts as connected while a direct connection
//! stands; circuits carry no packets.

mod contacts;
mod guard;
mod nat;
mod pace;
mod refusals;
mod transport;
mod ways;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::ConnectedPoint;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, ListenError, NetworkBehaviour, SwarmEvent,
};
use libp2p::{
    Multiaddr, PeerId, Swarm, TransportError, identify, memory_connection_limits, ping, relay,
};
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

use self::contacts::{Closed, Contacts, Dialled, Failed, Wanted};
use self::nat::Nat;
use self::pace::Pace;
pub use self::refusals::Refusal;
use self::transport::QuicSockets;
pub(super) use self::wire::Wire;
use super::behaviour::{self as mix, Accepted};
use super::reach::{self, Reach, Reachability, Way};
use super::stream::Drops;
use super::{SpawnError, directory};
use crate::address::{AddressPolicy, PeerKey};
use crate::limits::{
    CONNECTIONS_AND_CIRCUITS_PER_PEER_MAX, CONNECTIONS_MAX, CONNECTIONS_PENDING_MAX,
    MEMORY_SHARE_MAX,
};
use crate::node::Input;
use crate::topology::Topology;

// ---- Our constants ----

/// What identify calls the protocol family.
const PROTOCOL_FAMILY: &str = "/ferry/mix/1";

/// What identify says once is true for the life of a connection; the library would ask again every five minutes.
const IDENTIFY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A peer that we dialled and that does not answer a ping this long is gone.
const PING: Pace = Pace {
    every: Duration::from_secs(5),
    timeout: Duration::from_secs(5),
};

/// The same in a light profile: before a router forgets TCP, which takes minutes at least.
const PING_LIGHT: Pace = Pace {
    every: Duration::from_secs(120),
    timeout: Duration::from_secs(20),
};

/// A peer that dialled us, and would dial again if it were there.
const PING_ACCEPTED: Pace = Pace {
    every: Duration::from_secs(300),
    timeout: Duration::from_secs(20),
};

/// A connection on which nothing runs is closed after this; kept ones are dialled again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    guard: guard::Behaviour,
    identify: identify::Behaviour,
    ping: pace::Behaviour,
    nat: nat::Behaviour,
    pub(super) mix: mix::Behaviour,
    directory: Toggle<directory::Behaviour>,
}

/// The node's libp2p identity.
pub(super) fn identity(secret: &Zeroizing<[u8; 32]>) -> Result<Keypair, SpawnError> {
    // The library zeroes the copy that it is given.
    let secret = libp2p::identity::secp256k1::SecretKey::try_from_bytes(**secret)
        .map_err(|_| SpawnError::Identity)?;
    Ok(libp2p::identity::secp256k1::Keypair::from(secret).into())
}

/// The node's own key as packets name it.
pub(super) fn own_key(identity: &Keypair) -> Result<PeerKey, SpawnError> {
    peer_key(&identity.public().to_peer_id()).ok_or(SpawnError::Identity)
}

/// The key in a peer id; none for identities that no packet can name.
pub(super) fn peer_key(peer: &PeerId) -> Option<PeerKey> {
    PeerKey::from_peer_id(&peer.to_bytes()).ok()
}

/// The peer id of a key.
pub(super) fn peer_id(peer: &PeerKey) -> Option<PeerId> {
    PeerId::from_bytes(&peer.to_peer_id()).ok()
}

/// A swarm that listens, and what the rest of the shell needs of it.
pub(super) struct Open {
    pub(super) swarm: Swarm<Behaviour>,
    /// The mix streams that peers will open.
    pub(super) streams: mpsc::Receiver<Accepted>,
    pub(super) wire: Arc<Wire>,
    pub(super) sockets: QuicSockets,
}

/// Where a node is, and where it dials.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) listen: SocketAddrV4,
    pub(super) advertise: SocketAddrV4,
    pub(super) policy: AddressPolicy,
}

/// Opens the sockets.
pub(super) fn open(
    identity: &Keypair,
    place: Place,
    reach: &Reach,
    drops: Arc<Drops>,
    directory: Option<directory::Behaviour>,
) -> Result<Open, SpawnError> {
    let Place {
        listen,
        advertise,
        policy,
    } = place;
    let (mix, streams) = mix::Behaviour::new(drops);
    let wire = Arc::new(Wire::default());
    let (circuits, nat) = nat::behaviour(identity, reach);
    let transport = transport::build(identity, circuits, &wire)?;
    let behaviour = behaviour(
        identity,
        reach,
        policy,
        Parts {
            nat,
            mix,
            directory,
        },
    );
    let config =
        libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
    let own = identity.public().to_peer_id();
    let mut swarm = Swarm::new(transport, behaviour, own, config);
    transport::listen(&mut swarm, listen, reach)?;
    if reach.helps() {
        // A reservation names the addresses of its relay: the ones that the operator answers for.
        swarm.add_external_address(transport::multiaddr(advertise));
        if reach.quic {
            swarm.add_external_address(transport::quic_multiaddr(advertise));
        }
    }
    Ok(Open {
        swarm,
        streams,
        wire,
        sockets: QuicSockets::of(listen, reach),
    })
}

/// What the swarm does besides connecting.
struct Parts {
    nat: nat::Behaviour,
    mix: mix::Behaviour,
    directory: Option<directory::Behaviour>,
}

fn behaviour(identity: &Keypair, reach: &Reach, policy: AddressPolicy, parts: Parts) -> Behaviour {
    let limits = ConnectionLimits::default()
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_AND_CIRCUITS_PER_PEER_MAX))
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX));
    // Identify tells nobody where we listen, and remembers nobody's addresses: descriptors do that.
    let identify = identify::Config::new(PROTOCOL_FAMILY.to_owned(), identity.public())
        .with_agent_version("ferry".to_owned())
        .with_interval(IDENTIFY_EVERY)
        .with_cache_size(0)
        .with_hide_listen_addrs(true);
    let ping = if reach.light { PING_LIGHT } else { PING };
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        guard: guard::Behaviour::new(policy),
        identify: identify::Behaviour::new(identify),
        ping: pace::Behaviour::new(ping, PING_ACCEPTED),
        nat: parts.nat,
        mix: parts.mix,
        directory: parts.directory.into(),
    }
}

/// What the network task lets others see.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Direct connections of each peer, and what they run over.
    pub(super) links: BTreeMap<PeerKey, BTreeMap<ConnectionId, Way>>,
    pub(super) reachability: Reachability,
    /// Circuits on which this node can be found.
    pub(super) reservations: usize,
    /// How many connections were refused.
    pub(super) refused: BTreeMap<Refusal, u64>,
}

/// The swarm with the peers that it may dial.
pub(super) struct Network {
    swarm: Swarm<Behaviour>,
    topologies: watch::Receiver<Topology>,
    contacts: Contacts,
    nat: Nat,
    /// Dials that somebody else asked for, by whom they reach.
    for_others: BTreeMap<PeerKey, Vec<ConnectionId>>,
    view: watch::Sender<View>,
    inputs: mpsc::Sender<Input>,
}

impl Network {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        own: PeerKey,
        reach: &Reach,
        topologies: watch::Receiver<Topology>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let mut extra: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (peer, address) in reach.peers.iter().flat_map(reach::split_peer) {
            extra.entry(peer).or_default().push(address);
        }
        let dialled = Dialled {
            quic: reach.quic,
            tcp_first: reach.light,
            policy: swarm.behaviour().guard.policy(),
        };
        Self {
            swarm,
            topologies,
            contacts: Contacts::new(own, reach.kept_max(), dialled, extra),
            nat: Nat::new(own, reach.nat),
            for_others: BTreeMap::new(),
            view: watch::Sender::default(),
            inputs,
        }
    }

    /// What it does, to be seen by others.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Runs until the other end of `dials` is gone.
    pub(super) async fn run(mut self, mut dials: mpsc::Receiver<PeerKey>) {
        self.renew().await;
        loop {
            let wake = self.contacts.next_wake().into_iter();
            let wake = wake.chain(self.nat.next_wake()).min();
            let rest = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.swarm.select_next_some() => self.event(event).await,
                peer = dials.recv() => match peer {
                    Some(peer) => self.wanted(peer).await,
                    None => return,
                },
                // Without a sender the core has ended, and so does this task, by the end of `dials`.
                Ok(()) = self.topologies.changed() => self.renew().await,
                () = rest => self.wake(Instant::now()).await,
            }
        }
    }

    /// Takes the newest network.
    async fn renew(&mut self) {
        let topology = self.topologies.borrow_and_update().clone();
        let new = {
            let view = self.view.borrow();
            let is_connected = |peer: &PeerKey| view.links.contains_key(peer);
            self.contacts.renew(&topology, Instant::now(), is_connected)
        };
        for peer in new {
            self.dial(peer).await;
        }
    }

    async fn wake(&mut self, now: Instant) {
        let (again, late) = self.contacts.wake(now);
        for peer in again {
            self.dial(peer).await;
        }
        for peer in late {
            self.leave_circuits(&peer);
            self.unreachable(peer).await;
        }
        self.nat.wake(now);
        self.reserve();
    }

    /// A packet waits for `peer`.
    async fn wanted(&mut self, peer: PeerKey) {
        match self.contacts.wanted(&peer) {
            Wanted::Dial => self.dial(peer).await,
            Wanted::Wait => {}
            Wanted::Unreachable => self.tell(Input::Unreachable(peer)).await,
        }
    }

    async fn dial(&mut self, peer: PeerKey) {
        let next = self.contacts.dial(&peer);
        self.go_on(peer, next).await;
    }

    /// Dials what is to be dialled next, until a dial is under way or nothing is left.
    async fn go_on(&mut self, peer: PeerKey, mut next: Failed) {
        loop {
            let options = match next {
                Failed::Ignore => return,
                Failed::Next(options) => options,
                Failed::NoRoute => {
                    let circuits = self.nat.circuits_to(&peer);
                    match self.contacts.punch(&peer, circuits, Instant::now()) {
                        Some(options) => options,
                        None => return self.unreachable(peer).await,
                    }
                }
                Failed::NoCircuit => return self.unreachable(peer).await,
            };
            let by = options.connection_id();
            match self.start(peer, options) {
                true => return,
                false => next = self.contacts.dial_failed(&peer, by, false),
            }
        }
    }

    /// Whether the dial has begun, or there is no need for it.
    fn start(&mut self, peer: PeerKey, options: DialOpts) -> bool {
        let by = options.connection_id();
        self.swarm.behaviour_mut().guard.allow(by);
        match self.swarm.dial(options) {
            Ok(()) => true,
            // Somebody meets us on a circuit, or the directory dials already: what comes of that is told as well.
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.contacts.wait(&peer, by, Instant::now());
                true
            }
            Err(_) => false,
        }
    }

    async fn unreachable(&mut self, peer: PeerKey) {
        self.contacts.rest(&peer, Instant::now());
        self.tell(Input::Unreachable(peer)).await;
    }

    async fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => match peer_key(&peer_id) {
                Some(peer) => self.established(peer, connection_id, &endpoint).await,
                // No packet can name such a peer, so it has no business here.
                None => {
                    self.swarm.close_connection(connection_id);
                }
            },
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => {
                if let Some(peer) = peer_key(&peer_id) {
                    self.closed(peer, connection_id).await;
                }
            }
            SwarmEvent::IncomingConnectionError {
                error: ListenError::Denied { cause },
                ..
            } => self.refused(&cause),
            SwarmEvent::OutgoingConnectionError {
                peer_id,
                connection_id,
                error,
            } => {
                if let DialError::Denied { cause } = &error {
                    self.refused(cause);
                }
                if let Some(peer) = peer_id.as_ref().and_then(peer_key) {
                    let refused = is_refused(&error);
                    let next = self.contacts.dial_failed(&peer, connection_id, refused);
                    self.go_on(peer, next).await;
                }
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.nat.ended(listener_id, Instant::now());
                self.publish();
            }
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            // Everything else is for logs at most.
            _ => {}
        }
    }

    fn refused(&mut self, cause: &ConnectionDenied) {
        if let Some(why) = Refusal::of(cause) {
            let count = |view: &mut View| *view.refused.entry(why).or_default() += 1;
            self.view.send_modify(count);
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            // A peer that does not speak ping may be of another kind; silence is the end.
            BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
                ..
            }) => {
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                let helps = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
                let place = self.place(&peer_id).filter(|_| helps);
                if let (Some(peer), Some(place)) = (peer_key(&peer_id), place) {
                    self.nat.helper(peer, place);
                    self.reserve();
                }
            }
            BehaviourEvent::Nat(event) => self.nat_event(event),
            // The rest says nothing that is not known otherwise.
            _ => {}
        }
    }

    async fn established(
        &mut self,
        peer: PeerKey,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        if endpoint.is_relayed() {
            return self.met(peer, connection).await;
        }
        let way = Way::of(endpoint.get_remote_address());
        let first = !self.view.borrow().links.contains_key(&peer);
        self.view.send_modify(|view| {
            view.links.entry(peer).or_default().insert(connection, way);
        });
        self.leave_circuits(&peer);
        if first {
            self.contacts.connected(&peer, connection, Instant::now());
            self.tell(Input::NeighbourUp(peer)).await;
        } else if endpoint.is_dialer() {
            // We dial nobody to whom a connection stands, so somebody else has asked for this.
            self.for_others.entry(peer).or_default().push(connection);
        }
    }

    async fn closed(&mut self, peer: PeerKey, connection: ConnectionId) {
        self.nat.parted(&peer, connection);
        self.is_ours(&peer, connection);
        let mut was_last = false;
        self.view.send_modify(|view| {
            if let Some(links) = view.links.get_mut(&peer)
                && links.remove(&connection).is_some()
                && links.is_empty()
            {
                view.links.remove(&peer);
                was_last = true;
            }
        });
        if !was_last {
            return;
        }
        self.nat.lost(&peer);
        self.tell(Input::NeighbourDown(peer)).await;
        match self.contacts.closed(&peer, Instant::now()) {
            Closed::Dial => self.dial(peer).await,
            Closed::Leave => {}
            Closed::Failed => self.unreachable(peer).await,
        }
    }

    async fn tell(&mut self, input: Input) {
        // The core ends before this task; what it no longer hears does not matter.
        let _ = self.inputs.send(input).await;
    }
}

/// Whether a host answered that nobody listens.
fn is_refused(error: &DialError) -> bool {
    let DialError::Transport(errors) = error else {
        return false;
    };
    let refused = |(_, error): &(Multiaddr, TransportError<std::io::Error>)| match error {
        TransportError::Other(error) => {
            let mut error: Option<&(dyn std::error::Error + 'static)> = Some(error);
            std::iter::from_fn(|| {
                let this = error?;
                error = this.source();
                Some(this)
            })
            .filter_map(|error| error.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        }
        TransportError::MultiaddrNotSupported(_) => false,
    };
    !errors.is_empty() && errors.iter().all(refused)
}
