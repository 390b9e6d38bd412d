//! Signs of life, in two paces.
//!
//! Whoever dialled a connection wants it, so it pings at its own pace and dials again when nothing comes back. Whoever was
//! dialled only has to forget connections of peers that are gone; its pings are rare, because a phone pays for the answers.

use std::collections::BTreeSet;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, ping};

/// Pings at one pace where this node dialled, at another where it was dialled.
pub(in crate::shell) struct Behaviour {
    dialled: ping::Behaviour,
    accepted: ping::Behaviour,
    /// Connections of the second kind.
    inbound: BTreeSet<ConnectionId>,
}

/// How often a connection is tested, and how long an answer may take.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) every: Duration,
    pub(super) timeout: Duration,
}

impl Behaviour {
    pub(super) fn new(dialled: Pace, accepted: Pace) -> Self {
        let behaviour = |pace: Pace| {
            let config = ping::Config::new();
            ping::Behaviour::new(config.with_interval(pace.every).with_timeout(pace.timeout))
        };
        Self {
            dialled: behaviour(dialled),
            accepted: behaviour(accepted),
            inbound: BTreeSet::new(),
        }
    }

    fn of(&mut self, connection: ConnectionId) -> &mut ping::Behaviour {
        if self.inbound.contains(&connection) {
            &mut self.accepted
        } else {
            &mut self.dialled
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<ping::Behaviour>;
    type ToSwarm = ping::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        self.accepted
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        self.dialled
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) if established.endpoint.is_listener() => {
                self.inbound.insert(established.connection_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.inbound.remove(&closed.connection_id);
            }
            // Pinging needs to know nothing else.
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.of(connection)
            .on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.dialled.poll(context) {
            Poll::Pending => self.accepted.poll(context),
            ready => ready,
        }
    }
}
