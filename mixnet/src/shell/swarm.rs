//! The libp2p side: it dials, hears what came of it, and tells the core who is connected.
//!
//! ```text
//! swarm/transport   what carries a connection, and where the node listens
//! swarm/contacts    whom the node may dial, and when it does
//! ```
//!
//! Whoever is no contact is reached over the connection that it made.

mod contacts;
mod transport;

use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, identify, memory_connection_limits, ping};
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

use self::contacts::{Closed, Contacts, Wanted};
pub(super) use self::transport::open;
use super::behaviour as mix;
use super::{SpawnError, directory};
use crate::address::PeerKey;
use crate::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_MAX, MEMORY_SHARE_MAX,
};
use crate::node::Input;
use crate::topology::Topology;

// ---- Our constants ----

/// What identify calls the protocol family.
const PROTOCOL_FAMILY: &str = "/ferry/mix/1";

/// A peer that does not answer a ping this long is gone.
const PING: Duration = Duration::from_secs(5);

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
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

fn behaviour(
    identity: &Keypair,
    mix: mix::Behaviour,
    directory: Option<directory::Behaviour>,
) -> Behaviour {
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
        directory: directory.into(),
    }
}

/// The swarm with the peers that it may dial.
pub(super) struct Network {
    swarm: Swarm<Behaviour>,
    own: PeerKey,
    topologies: watch::Receiver<Topology>,
    contacts: Contacts,
    inputs: mpsc::Sender<Input>,
}

impl Network {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        own: PeerKey,
        topologies: watch::Receiver<Topology>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            swarm,
            own,
            topologies,
            contacts: Contacts::default(),
            inputs,
        }
    }

    /// Runs until the other end of `dials` is gone.
    pub(super) async fn run(mut self, mut dials: mpsc::Receiver<PeerKey>) {
        self.renew().await;
        loop {
            let wake = self.contacts.next_wake();
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
                () = rest => for peer in self.contacts.wake(Instant::now()) {
                    self.dial(peer).await;
                },
            }
        }
    }

    /// Takes the newest network.
    async fn renew(&mut self) {
        let topology = self.topologies.borrow_and_update().clone();
        let swarm = &self.swarm;
        let connected = |id: &PeerId| swarm.is_connected(id);
        let new = self
            .contacts
            .renew(&topology, self.own, Instant::now(), connected);
        for peer in new {
            self.dial(peer).await;
        }
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
        let Some((id, addresses)) = self.contacts.route(&peer) else {
            return;
        };
        // A port of its own: two nodes that dial each other from their listening ports would be
        // one connection to TCP.
        let options = DialOpts::peer_id(id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        self.contacts.dialling(&peer);
        match self.swarm.dial(options) {
            // The directory dials it already, or has just done so: what comes of that is told as of a dial of ours.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(_) => self.failed(peer).await,
        }
    }

    async fn failed(&mut self, peer: PeerKey) {
        self.contacts.failed(&peer, Instant::now());
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
                if let Some(peer) = peer.filter(|peer| self.contacts.is_dialling(peer)) {
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

    async fn connected(&mut self, peer: PeerKey) {
        self.contacts.connected(&peer, Instant::now());
        self.tell(Input::NeighbourUp(peer)).await;
    }

    async fn closed(&mut self, peer: PeerKey) {
        self.tell(Input::NeighbourDown(peer)).await;
        match self.contacts.closed(&peer, Instant::now()) {
            Closed::Dial => self.dial(peer).await,
            Closed::Leave => {}
            Closed::Failed => self.failed(peer).await,
        }
    }

    async fn tell(&mut self, input: Input) {
        // The core ends before this task; what it no longer hears does not matter.
        let _ = self.inputs.send(input).await;
    }
}
