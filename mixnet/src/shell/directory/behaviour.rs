//! The libp2p behaviour of the directory: libp2p's request-response with our codec and its Kademlia, behind two channels, so that
//! the swarm's task need not know of it.
//!
//! ```text
//! directory task ─ Order (ask, answer) ─▶ Behaviour ─ /ferry/directory/1 ─▶ peer
//! directory task ◀─ Input (request, response, failed, found) ─ Behaviour
//! ```

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Message, ProtocolSupport, ResponseChannel};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::codec::{Codec, PROTOCOL};
use super::finder::Finder;
use crate::address::AddressPolicy;
use crate::directory::limits::{ANSWER_WITHIN, ANSWERS_MAX};
use crate::directory::wire::{Request, Response};
use crate::directory::{AskId, Contact, Input, Mode};
use crate::shell::reach::multiaddr;
use crate::shell::swarm::{peer_id, peer_key};

// ---- Our bounds ----

/// Orders and inputs that wait: the directory asks four at a time, and answers at once what it is asked.
const CHANNEL_MAX: usize = 64;

/// Streams of one connection at a time: a peer asks one question after the other.
const STREAMS_MAX: usize = 8;

type Messages = request_response::Behaviour<Codec>;

/// The two protocols.
#[derive(NetworkBehaviour)]
pub(in crate::shell) struct Inner {
    messages: Messages,
    finder: Toggle<Finder>,
}

/// What the directory wants of the network.
pub(super) enum Order {
    /// Ask somebody.
    Ask {
        id: AskId,
        to: Contact,
        request: Request,
    },
    /// Answer somebody.
    Answer { id: AskId, response: Response },
}

/// The directory's ends of the channels.
pub(in crate::shell) struct Wires {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) inputs: mpsc::Receiver<Input>,
}

/// The behaviour.
pub(in crate::shell) struct Behaviour {
    inner: Inner,
    policy: AddressPolicy,
    orders: mpsc::Receiver<Order>,
    inputs: mpsc::Sender<Input>,
    /// Questions to others, with whom they are for.
    asked: BTreeMap<request_response::OutboundRequestId, (AskId, Contact)>,
    /// Requests of others that wait for an answer, by the id that the directory knows.
    waiting: BTreeMap<AskId, ResponseChannel<Response>>,
    requests: AskId,
}

impl Behaviour {
    /// A behaviour that serves the protocol, and the way to it. A light client looks for nobody.
    pub(in crate::shell) fn new(
        mode: Mode,
        policy: AddressPolicy,
        identity: &Keypair,
    ) -> (Self, Wires) {
        let config = request_response::Config::default()
            .with_request_timeout(ANSWER_WITHIN)
            .with_max_concurrent_streams(STREAMS_MAX);
        let finder = match mode {
            Mode::Full => Some(Finder::new(identity.public().to_peer_id(), policy)),
            Mode::Light => None,
        };
        let inner = Inner {
            messages: Messages::with_codec(Codec, [(PROTOCOL, ProtocolSupport::Full)], config),
            finder: finder.into(),
        };
        let (order_sender, orders) = mpsc::channel(CHANNEL_MAX);
        let (inputs, input_receiver) = mpsc::channel(CHANNEL_MAX);
        let behaviour = Self {
            inner,
            policy,
            orders,
            inputs,
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
            requests: 0,
        };
        let wires = Wires {
            orders: order_sender,
            inputs: input_receiver,
        };
        (behaviour, wires)
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Ask { id, to, request } => {
                let Some(peer) = peer_id(&to.peer) else {
                    return self.tell(Input::Failed { id });
                };
                // A descriptor may name further places that this node never dials.
                let mut places = to.places.clone();
                places.retain(|place| self.policy.check_socket(place.at).is_ok());
                let places = places.into_iter().map(multiaddr).collect();
                let request = self
                    .inner
                    .messages
                    .send_request_with_addresses(&peer, request, places);
                self.asked.insert(request, (id, to));
            }
            Order::Answer { id, response } => {
                if let Some(channel) = self.waiting.remove(&id) {
                    // Who asked may be gone.
                    let _ = self.inner.messages.send_response(channel, response);
                }
            }
        }
    }

    /// What finds the directory busy is lost: a question is asked again, an answer counts as missing.
    fn tell(&mut self, input: Input) {
        let _ = self.inputs.try_send(input);
    }

    fn happened(&mut self, event: InnerEvent) {
        match event {
            InnerEvent::Messages(event) => self.message(event),
            InnerEvent::Finder(found) => {
                for contact in found {
                    self.tell(Input::Found(contact));
                }
            }
        }
    }

    fn message(&mut self, event: request_response::Event<Request, Response>) {
        match event {
            request_response::Event::Message {
                peer,
                message:
                    Message::Request {
                        request, channel, ..
                    },
                ..
            } => {
                self.waiting.retain(|_, channel| channel.is_open());
                // Dropping the channel tells the peer; identities that no packet can name have no business here.
                if let Some(from) = peer_key(&peer).filter(|_| self.waiting.len() < ANSWERS_MAX) {
                    self.requests += 1;
                    let id = self.requests;
                    self.waiting.insert(id, channel);
                    self.tell(Input::Request { from, id, request });
                }
            }
            request_response::Event::Message {
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => {
                if let Some((id, contact)) = self.asked.remove(&request_id) {
                    if let Some(finder) = self.inner.finder.as_mut() {
                        finder.answered(&contact);
                    }
                    self.tell(Input::Response { id, response });
                }
            }
            request_response::Event::OutboundFailure {
                request_id, error, ..
            } => {
                tracing::debug!(%error, "a node of the directory does not answer");
                if let Some((id, contact)) = self.asked.remove(&request_id) {
                    if let Some(finder) = self.inner.finder.as_mut() {
                        finder.silent(&contact);
                    }
                    self.tell(Input::Failed { id });
                }
            }
            request_response::Event::InboundFailure { error, .. } => {
                tracing::debug!(%error, "a request to the directory failed");
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = ();

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
        self.inner
            .handle_pending_outbound_connection(connection, peer, addresses, role)
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

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<(), THandlerInEvent<Self>>> {
        loop {
            while let Poll::Ready(Some(order)) = self.orders.poll_recv(context) {
                self.order(order);
            }
            match self.inner.poll(context) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.happened(event),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| ())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
