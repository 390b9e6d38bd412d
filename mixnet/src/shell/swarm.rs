//! The libp2p side: who is connected, and who is dialled when.
//!
//! Only addresses of known descriptors are dialled, never one that a packet names. Relays are kept:
//! a connection that closes is dialled again at once, and after a failure with growing pauses.
//! Other known nodes are dialled when a packet is for them. Everybody else is reached over the
//! connection that they made.

use std::collections::BTreeMap;
use std::net::{SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, identify, memory_connection_limits, noise, ping, tcp,
    yamux,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::SpawnError;
use super::behaviour::{self as mix, Accepted};
use super::stream::Drops;
use crate::address::{PeerKey, Transport};
use crate::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_MAX, MEMORY_SHARE_MAX,
    REDIAL_FIRST, REDIAL_MAX,
};
use crate::node::Input;
use crate::topology::Topology;

// ---- Our constants ----

/// What identify calls the protocol family.
const PROTOCOL_FAMILY: &str = "/ferry/mix/1";

/// A peer that does not answer a ping this long is gone.
const PING: Duration = Duration::from_secs(5);

/// A connection on which nothing runs is closed after this; kept ones are dialled again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Time for TCP and the handshakes together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that stood this long is dialled again at once; one that closes sooner may be
/// refused on purpose, and waits like a failed dial.
const STOOD: Duration = Duration::from_secs(2);

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) mix: mix::Behaviour,
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

/// A swarm that listens, and the mix streams that its peers will open.
pub(super) fn open(
    identity: Keypair,
    at: SocketAddrV4,
    drops: Arc<Drops>,
) -> Result<(Swarm<Behaviour>, mpsc::Receiver<Accepted>), SpawnError> {
    let failed = |source| SpawnError::Listen {
        address: at,
        source,
    };
    // The library shares ports between processes; we want to know that one is taken.
    drop(TcpListener::bind(at).map_err(failed)?);
    let transport = |error: &dyn std::error::Error| SpawnError::Transport(error.to_string());
    let (mix, streams) = mix::Behaviour::new(drops);
    let mut swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| transport(&error))?
        .with_behaviour(|identity| behaviour(identity, mix))
        .map_err(|error| transport(&error))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    swarm
        .listen_on(multiaddr(at))
        .map_err(|error| match error {
            libp2p::TransportError::Other(source) => failed(source),
            libp2p::TransportError::MultiaddrNotSupported(_) => transport(&error),
        })?;
    Ok((swarm, streams))
}

fn behaviour(identity: &Keypair, mix: mix::Behaviour) -> Behaviour {
    let limits = ConnectionLimits::default()
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX));
    // Identify tells nobody our addresses, and remembers nobody's: descriptors do that.
    let identify = identify::Config::new(PROTOCOL_FAMILY.to_owned(), identity.public())
        .with_agent_version("ferry".to_owned())
        .with_cache_size(0)
        .with_hide_listen_addrs(true);
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(PING)),
        mix,
    }
}

fn multiaddr(at: SocketAddrV4) -> Multiaddr {
    Multiaddr::from(*at.ip()).with(Protocol::Tcp(at.port()))
}

/// Where a known peer stands.
enum State {
    Idle,
    Dialling,
    Connected { since: Instant },
    Resting { until: Instant },
}

struct Contact {
    id: PeerId,
    address: Multiaddr,
    kept: bool,
    state: State,
    /// The pause after the next failure.
    pause: Duration,
}

/// The swarm with the peers that it may dial.
pub(super) struct Network {
    swarm: Swarm<Behaviour>,
    contacts: BTreeMap<PeerKey, Contact>,
    inputs: mpsc::Sender<Input>,
}

impl Network {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        topology: &Topology,
        own: PeerKey,
        kept: &[PeerKey],
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let mut contacts = BTreeMap::new();
        for descriptor in topology.iter() {
            let peer = descriptor.peer();
            let dialled = descriptor
                .address()
                .filter(|_| match descriptor.transport() {
                    Transport::Tcp => peer != own,
                    Transport::Quic => false,
                });
            let (Some(at), Some(id)) = (dialled, peer_id(&peer)) else {
                continue;
            };
            let contact = Contact {
                id,
                address: multiaddr(at),
                kept: kept.contains(&peer),
                state: State::Idle,
                pause: REDIAL_FIRST,
            };
            contacts.insert(peer, contact);
        }
        Self {
            swarm,
            contacts,
            inputs,
        }
    }

    /// Runs until the other end of `dials` is gone.
    pub(super) async fn run(mut self, mut dials: mpsc::Receiver<PeerKey>) {
        let kept = self.contacts.iter().filter(|(_, contact)| contact.kept);
        for peer in kept.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.dial(peer).await;
        }
        loop {
            let wake = self.next_dial();
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
                () = rest => self.wake(Instant::now()).await,
            }
        }
    }

    fn next_dial(&self) -> Option<Instant> {
        let resting = |contact: &Contact| match contact.state {
            State::Resting { until } => Some(until),
            State::Idle | State::Dialling | State::Connected { .. } => None,
        };
        self.contacts.values().filter_map(resting).min()
    }

    /// Ends the rests that are over: kept peers are dialled again, others when they are wanted.
    async fn wake(&mut self, now: Instant) {
        let mut again = Vec::new();
        for (peer, contact) in &mut self.contacts {
            match contact.state {
                State::Resting { until } if until <= now => {
                    contact.state = State::Idle;
                    if contact.kept {
                        again.push(*peer);
                    }
                }
                State::Idle | State::Dialling | State::Connected { .. } | State::Resting { .. } => {
                }
            }
        }
        for peer in again {
            self.dial(peer).await;
        }
    }

    /// A packet waits for `peer`.
    async fn wanted(&mut self, peer: PeerKey) {
        match self.contacts.get(&peer).map(|contact| &contact.state) {
            Some(State::Idle) => self.dial(peer).await,
            Some(State::Dialling | State::Connected { .. }) => {}
            Some(State::Resting { .. }) | None => self.tell(Input::Unreachable(peer)).await,
        }
    }

    async fn dial(&mut self, peer: PeerKey) {
        let Some(contact) = self.contacts.get_mut(&peer) else {
            return;
        };
        // A port of its own: two nodes that dial each other from their listening ports would be
        // one connection to TCP.
        let options = DialOpts::peer_id(contact.id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(vec![contact.address.clone()])
            .allocate_new_port()
            .build();
        contact.state = State::Dialling;
        if self.swarm.dial(options).is_err() && !self.is_connected(peer) {
            self.failed(peer).await;
        }
    }

    fn is_connected(&self, peer: PeerKey) -> bool {
        let contact = self.contacts.get(&peer);
        contact.is_some_and(|contact| self.swarm.is_connected(&contact.id))
    }

    async fn failed(&mut self, peer: PeerKey) {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.state = State::Resting {
                until: Instant::now() + contact.pause,
            };
            contact.pause = (contact.pause * 2).min(REDIAL_MAX);
        }
        self.tell(Input::Unreachable(peer)).await;
    }

    async fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                let Some(peer) = peer_key(&peer_id) else {
                    // No packet can name such a peer, so it has no business here.
                    self.swarm.close_connection(connection_id);
                    return;
                };
                if num_established.get() == 1 {
                    self.connected(peer).await;
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => {
                if let Some(peer) = peer_key(&peer_id) {
                    self.closed(peer).await;
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(id), ..
            } => {
                let peer = peer_key(&id).filter(|_| !self.swarm.is_connected(&id));
                if let Some(peer) = peer.filter(|peer| self.is_dialling(peer)) {
                    self.failed(peer).await;
                }
            }
            // A peer that does not speak ping may be of another kind; silence is the end.
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
                ..
            })) => {
                self.swarm.close_connection(connection);
            }
            // Everything else is for logs at most.
            _ => {}
        }
    }

    fn is_dialling(&self, peer: &PeerKey) -> bool {
        let state = self.contacts.get(peer).map(|contact| &contact.state);
        matches!(state, Some(State::Dialling))
    }

    async fn connected(&mut self, peer: PeerKey) {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.state = State::Connected {
                since: Instant::now(),
            };
        }
        self.tell(Input::NeighbourUp(peer)).await;
    }

    async fn closed(&mut self, peer: PeerKey) {
        self.tell(Input::NeighbourDown(peer)).await;
        let Some(contact) = self.contacts.get_mut(&peer) else {
            return;
        };
        let stood = match contact.state {
            State::Connected { since } => since.elapsed() >= STOOD,
            State::Idle | State::Dialling | State::Resting { .. } => false,
        };
        contact.state = State::Idle;
        if stood {
            contact.pause = REDIAL_FIRST;
        }
        match (contact.kept, stood) {
            (true, true) => self.dial(peer).await,
            (true, false) => self.failed(peer).await,
            (false, _) => {}
        }
    }

    async fn tell(&mut self, input: Input) {
        // The core ends before this task; what it no longer hears does not matter.
        let _ = self.inputs.send(input).await;
    }
}
