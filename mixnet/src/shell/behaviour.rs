//! The libp2p behaviour of mix streams: who may be asked for a stream, and what becomes of the streams that peers open.
//!
//! ```text
//! writer ─ Open ─▶ Behaviour ─▶ Handler of the peer's newest connection ─ negotiates /mix/1.0.0 ─▶ Stream to the writer
//! peer ── opens a stream ─▶ Handler ─▶ Accepted ─▶ reader
//! ```
//!
//! Nothing is kept of a connection that has closed: a wish that it held is dropped, and its writer sees that. Every queue
//! is bounded; a stream that nobody can take is dropped, which resets it, and counted.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, DialUpgradeError,
    FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    Stream, SubstreamProtocol, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::{mpsc, oneshot};

use super::stream::Drops;
use crate::counters::Stage;
use crate::error::DropReason;

// ---- Constants of the specification ----

/// The protocol of mix packets.
pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/mix/1.0.0");

// ---- Our bounds ----

/// Wishes for streams that wait for the swarm: one writer a connected peer has one at a time.
const OPENS_MAX: usize = 256;

/// Wishes that wait for one connection: its writer has one, and may give it up and have another.
const OPENS_PER_CONNECTION_MAX: usize = 4;

/// Streams that wait for a reader: a reader takes no time to start.
const ACCEPTED_MAX: usize = 64;

/// A stream that a peer has opened.
pub(super) struct Accepted {
    pub(super) peer: PeerId,
    pub(super) stream: Stream,
}

/// Where a stream goes that a writer wants; dropped when there will be none.
type Done = oneshot::Sender<Stream>;

/// A writer's wish for a stream.
struct Open {
    peer: PeerId,
    done: Done,
}

/// Asks the swarm for streams.
#[derive(Clone)]
pub(super) struct Opener(mpsc::Sender<Open>);

impl Opener {
    /// A new stream to a connected peer; none if it is not connected or does not speak the protocol.
    pub(super) async fn open(&self, peer: PeerId) -> Option<Stream> {
        let (done, stream) = oneshot::channel();
        self.0.send(Open { peer, done }).await.ok()?;
        stream.await.ok()
    }
}

/// The behaviour: it knows which connections stand, and nothing of packets.
pub(super) struct Behaviour {
    opens: mpsc::Receiver<Open>,
    opener: Opener,
    accepted: mpsc::Sender<Accepted>,
    drops: Arc<Drops>,
    /// Direct connections of each peer, the newest last.
    connections: BTreeMap<PeerId, Vec<ConnectionId>>,
}

impl Behaviour {
    /// The behaviour, and the streams that peers will open.
    pub(super) fn new(drops: Arc<Drops>) -> (Self, mpsc::Receiver<Accepted>) {
        let (opener, opens) = mpsc::channel(OPENS_MAX);
        let (accepted, streams) = mpsc::channel(ACCEPTED_MAX);
        let behaviour = Self {
            opens,
            opener: Opener(opener),
            accepted,
            drops,
            connections: BTreeMap::new(),
        };
        (behaviour, streams)
    }

    pub(super) fn opener(&self) -> Opener {
        self.opener.clone()
    }

    fn handler(&self, peer: PeerId) -> Handler {
        Handler {
            peer,
            accepted: self.accepted.clone(),
            drops: self.drops.clone(),
            wanted: VecDeque::new(),
            waker: None,
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = std::convert::Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
                // A circuit is for punching a hole: it shows its relay both ends, and is good for a few kilobytes.
            }) if !endpoint.is_relayed() => {
                let connections = self.connections.entry(peer_id).or_default();
                connections.push(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => {
                if let Some(connections) = self.connections.get_mut(&peer_id) {
                    connections.retain(|id| *id != connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&peer_id);
                    }
                }
            }
            // Addresses, dials and listeners are the swarm's own business.
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while let Poll::Ready(Some(Open { peer, done })) = self.opens.poll_recv(context) {
            let newest = self.connections.get(&peer).and_then(|all| all.last());
            // Without a connection the wish is dropped, which tells the writer.
            if let Some(connection) = newest {
                return Poll::Ready(ToSwarm::NotifyHandler {
                    peer_id: peer,
                    handler: NotifyHandler::One(*connection),
                    event: Wish(done),
                });
            }
        }
        Poll::Pending
    }
}

/// What the behaviour tells a connection: open a stream.
pub(super) struct Wish(Done);

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wish")
    }
}

/// The streams of one connection.
pub(super) struct Handler {
    peer: PeerId,
    accepted: mpsc::Sender<Accepted>,
    drops: Arc<Drops>,
    wanted: VecDeque<Done>,
    waker: Option<Waker>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Wish;
    type ToBehaviour = std::convert::Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Done;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn on_behaviour_event(&mut self, Wish(done): Wish) {
        // Wishes that their writers gave up make room; beyond the bound the new one is dropped, which tells its writer.
        self.wanted.retain(|done| !done.is_closed());
        if self.wanted.len() < OPENS_PER_CONNECTION_MAX {
            self.wanted.push_back(done);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Done, Self::ToBehaviour>> {
        match self.wanted.pop_front() {
            Some(done) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), done),
            }),
            None => {
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Done>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => {
                let peer = self.peer;
                if self.accepted.try_send(Accepted { peer, stream }).is_err() {
                    self.drops
                        .count(Stage::Stream, DropReason::NeighbourRate, 1);
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: done,
            }) => {
                // A writer that has given up leaves a stream that is closed by being dropped.
                let _ = done.send(stream);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                tracing::debug!(%error, "a mix stream could not be opened");
            }
            // Addresses and the protocols of the peer are not for us.
            _ => {}
        }
    }
}
