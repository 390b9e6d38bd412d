//! Kademlia, protocol `/ferry/kad/1`: how nodes are found that gossip has not brought.
//!
//! ```text
//! who answered us at an address ─▶ routing table
//! every half hour: look-up of a random place ─▶ nodes near it, each with where it may be ─▶ Found ─▶ directory asks it
//! ```
//!
//! Nothing that Kademlia says is believed: what it finds is asked over `/ferry/directory/1`, and only signed descriptors count. The
//! table takes nodes that answered us, not those that others name, so nobody fills it with names; nobody can put records into it.
//! Addresses that the node never dials are not dialled for a look-up either. A light client does not take part.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::kad::{self, GetClosestPeersError, GetClosestPeersOk, QueryResult};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::address::AddressPolicy;
use crate::descriptor::{PLACES_MAX, Place};
use crate::directory::Contact;
use crate::shell::reach::{leading, multiaddr};
use crate::shell::swarm::{peer_id, peer_key};

/// The protocol.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/ferry/kad/1");

// ---- Our bounds ----

/// From the start to the first look-up: by then a seed has answered.
const FIRST_WALK: Duration = Duration::from_secs(10);

/// Between look-ups: each asks about twenty nodes for two kilobytes, which is 60 MB in a month.
const WALK_EVERY: Duration = Duration::from_secs(1800);

/// How long one look-up may take.
const WALK_MAX: Duration = Duration::from_secs(60);

/// A message names twenty nodes with a few addresses each.
const MESSAGE_MAX: usize = 16 * 1024;

type Inner = kad::Behaviour<MemoryStore>;

/// The behaviour.
pub(in crate::shell) struct Finder {
    inner: Inner,
    policy: AddressPolicy,
    walks: Interval,
}

impl Finder {
    /// A finder for the node with this id, which starts to look after a while.
    pub(super) fn new(own: PeerId, policy: AddressPolicy) -> Self {
        Self::with_pauses(own, policy, FIRST_WALK, WALK_EVERY)
    }

    fn with_pauses(own: PeerId, policy: AddressPolicy, first: Duration, every: Duration) -> Self {
        let mut config = kad::Config::new(PROTOCOL);
        config
            .set_query_timeout(WALK_MAX)
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            // What others want to store comes as an event that nobody looks at.
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_periodic_bootstrap_interval(None)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_provider_publication_interval(None)
            .set_max_packet_size(MESSAGE_MAX);
        let nothing = MemoryStoreConfig {
            max_records: 0,
            max_provided_keys: 0,
            max_providers_per_key: 0,
            max_value_bytes: 0,
        };
        let store = MemoryStore::with_config(own, nothing);
        let mut inner = Inner::with_config(own, store, config);
        inner.set_mode(Some(kad::Mode::Server));
        let mut walks = interval_at(Instant::now() + first, every);
        walks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            inner,
            policy,
            walks,
        }
    }

    /// Somebody answered where it says that it is.
    pub(super) fn answered(&mut self, contact: &Contact) {
        let Some(id) = peer_id(&contact.peer) else {
            return;
        };
        for address in contact.places.iter().copied().map(multiaddr) {
            self.inner.add_address(&id, address);
        }
    }

    /// The node does not answer any more.
    pub(super) fn silent(&mut self, contact: &Contact) {
        if let Some(id) = peer_id(&contact.peer) {
            self.inner.remove_peer(&id);
        }
    }

    /// Nodes that a look-up ended with, as far as they can be dialled.
    fn found(&self, event: kad::Event) -> Vec<Contact> {
        let kad::Event::OutboundQueryProgressed {
            result: QueryResult::GetClosestPeers(result),
            ..
        } = event
        else {
            return Vec::new();
        };
        let peers = match result {
            Ok(GetClosestPeersOk { peers, .. }) => peers,
            Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        let contact = |info: kad::PeerInfo| {
            let peer = peer_key(&info.peer_id)?;
            let places = info.addrs.iter().filter_map(place);
            let places: Vec<Place> = places
                .filter(|place| self.policy.check_socket(place.at).is_ok())
                .take(PLACES_MAX)
                .collect();
            (!places.is_empty()).then_some(Contact { peer, places })
        };
        peers.into_iter().filter_map(contact).collect()
    }
}

/// The place that an address names, perhaps with the name of the peer there.
fn place(address: &Multiaddr) -> Option<Place> {
    let (place, mut rest) = leading(address)?;
    let named = rest.all(|part| matches!(part, Protocol::P2p(_)));
    named.then_some(place)
}

impl NetworkBehaviour for Finder {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Vec<Contact>;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let named = self
            .inner
            .handle_pending_outbound_connection(connection, peer, addresses, role)?;
        if peer.as_ref().and_then(peer_key).is_none() {
            // Nobody whom a packet could name.
            return Ok(Vec::new());
        }
        let dialled = |address: &Multiaddr| {
            place(address).is_some_and(|place| self.policy.check_socket(place.at).is_ok())
        };
        Ok(named.into_iter().filter(dialled).collect())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner
            .on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Vec<Contact>, THandlerInEvent<Self>>> {
        while self.walks.poll_tick(context).is_ready() {
            self.inner.get_closest_peers(PeerId::random());
        }
        loop {
            match self.inner.poll(context) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => {
                    let found = self.found(event);
                    if !found.is_empty() {
                        return Poll::Ready(ToSwarm::GenerateEvent(found));
                    }
                }
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| Vec::new())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests;
