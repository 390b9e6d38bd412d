//! Which connections a node lets stand, and which it dials because somebody else asks it to.
//!
//! The node dials its contacts, and the directory whom it asks. Two more protocols make a node dial addresses that a peer wrote: the test
//! of an address (AutoNAT) and hole punching (DCUtR). Without this check a peer could have it knock at the doors of its own host and of
//! its local network. Those dials, which are to a peer that is connected already, are also few: they are a help, not a service.
//!
//! A peer has two direct connections at most: one that we dialled and one that it dialled. A newer one of its own takes the
//! place of the older one: a peer dials again when its router has forgotten the old connection, and we have not noticed yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use thiserror::Error;

use crate::address::{AddressError, AddressPolicy, Transport};
use crate::limits::{CONNECTIONS_PER_PEER_MAX, DIALS_FOR_OTHERS_BURST, DIALS_FOR_OTHERS_EVERY};
use crate::shell::reach::leading;

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refused {
    /// An address that a stranger may not have dialled.
    #[error("an address that is not dialled for others: {0}")]
    Address(#[from] AddressError),
    /// Neither IP and port, nor what we speak.
    #[error("an address of a kind that is not dialled for others")]
    Kind,
    /// Others had enough dialled.
    #[error("too many dials for others")]
    Often,
    /// The peer has its connections already.
    #[error("the peer has its connections already")]
    Peer,
}

/// One direct connection.
struct Direct {
    id: ConnectionId,
    inbound: bool,
}

pub(in crate::shell) struct Behaviour {
    policy: AddressPolicy,
    /// Dials of this node's own choice that have not ended.
    own: BTreeSet<ConnectionId>,
    /// When the next dial for somebody else would be due (GCRA).
    due: Option<Instant>,
    direct: BTreeMap<PeerId, Vec<Direct>>,
    /// Who is connected, by a circuit perhaps.
    connected: BTreeSet<PeerId>,
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl Behaviour {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self {
            policy,
            own: BTreeSet::new(),
            due: None,
            direct: BTreeMap::new(),
            connected: BTreeSet::new(),
            closing: VecDeque::new(),
        }
    }

    /// Where the node dials.
    pub(super) fn policy(&self) -> AddressPolicy {
        self.policy
    }

    /// This dial is of our own choice.
    pub(super) fn allow(&mut self, dial: ConnectionId) {
        self.own.insert(dial);
    }

    /// Whether to dial what somebody else wants dialled, at `now`.
    fn judge(
        &mut self,
        now: Instant,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
    ) -> Result<(), Refused> {
        addresses
            .iter()
            .try_for_each(|address| check(self.policy, address))?;
        if peer.is_some_and(|peer| !self.connected.contains(&peer)) {
            return Ok(());
        }
        let due = self.due.map_or(now, |due| due.max(now));
        let tolerance = DIALS_FOR_OTHERS_EVERY * (DIALS_FOR_OTHERS_BURST - 1);
        if due.saturating_duration_since(now) > tolerance {
            return Err(Refused::Often);
        }
        self.due = Some(due + DIALS_FOR_OTHERS_EVERY);
        Ok(())
    }

    /// Whether another direct connection to `peer` may stand; an older one may have to go for it.
    fn admit(&mut self, peer: PeerId, inbound: bool) -> Result<(), Refused> {
        // Nothing is kept of a peer before its connection stands: others may still refuse it.
        let Some(direct) = self.direct.get_mut(&peer) else {
            return Ok(());
        };
        let older = direct.iter().position(|other| inbound && other.inbound);
        match older {
            Some(at) => {
                let older = direct.remove(at);
                self.closing.push_back((peer, older.id));
                Ok(())
            }
            None if direct.len() >= CONNECTIONS_PER_PEER_MAX as usize => Err(Refused::Peer),
            None => Ok(()),
        }
    }
}

/// What may be dialled on the word of a stranger.
fn check(policy: AddressPolicy, address: &Multiaddr) -> Result<(), Refused> {
    let (place, rest) = leading(address).ok_or(Refused::Kind)?;
    let mut rest = rest.peekable();
    if place.transport == Transport::Tcp {
        rest.next_if(|part| matches!(part, Protocol::Ws(_)));
    }
    match rest.all(|part| matches!(part, Protocol::P2p(_))) {
        true => Ok(policy.check_socket(place.at)?),
        false => Err(Refused::Kind),
    }
}

fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if !self.own.contains(&connection) {
            self.judge(Instant::now(), peer, addresses)
                .map_err(ConnectionDenied::new)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !is_circuit(local) {
            self.admit(peer, true).map_err(ConnectionDenied::new)?;
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !is_circuit(address) {
            self.admit(peer, false).map_err(ConnectionDenied::new)?;
        }
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.own.remove(&established.connection_id);
                self.connected.insert(established.peer_id);
                if !established.endpoint.is_relayed() {
                    let direct = self.direct.entry(established.peer_id).or_default();
                    direct.push(Direct {
                        id: established.connection_id,
                        inbound: established.endpoint.is_listener(),
                    });
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                if closed.remaining_established == 0 {
                    self.connected.remove(&closed.peer_id);
                }
                if let Some(direct) = self.direct.get_mut(&closed.peer_id) {
                    direct.retain(|other| other.id != closed.connection_id);
                    if direct.is_empty() {
                        self.direct.remove(&closed.peer_id);
                    }
                }
            }
            FromSwarm::DialFailure(failure) => {
                self.own.remove(&failure.connection_id);
            }
            // Addresses and listeners are the swarm's own business.
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.closing.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    const STRICT: AddressPolicy = AddressPolicy {
        allow_private: false,
    };

    fn judged(text: &str) -> Result<(), Refused> {
        check(STRICT, &text.parse().unwrap())
    }

    #[test]
    fn strangers_have_only_global_addresses_dialled() {
        for good in [
            "/ip4/1.1.1.1/tcp/60000",
            "/ip4/1.1.1.1/udp/60000/quic-v1",
            "/ip6/2606:4700::1111/tcp/60000/ws",
        ] {
            judged(good).unwrap();
        }
        for local in [
            "/ip4/127.0.0.1/tcp/22",
            "/ip4/192.168.1.1/tcp/80",
            "/ip4/169.254.169.254/tcp/80",
            "/ip6/::1/tcp/22",
            "/ip6/fe80::1/tcp/22",
            "/ip6/fd00::1/udp/53/quic-v1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip6/2002:7f00:1::1/tcp/22",
            "/ip6/::ffff:127.0.0.1/tcp/22",
        ] {
            let refused = judged(local);
            assert_eq!(refused, Err(AddressError::NotGlobal.into()), "{local}");
        }
        for other in [
            "/dns4/localhost/tcp/22",
            "/ip4/1.1.1.1/udp/53",
            "/ip4/1.1.1.1",
        ] {
            assert_eq!(judged(other), Err(Refused::Kind), "{other}");
        }
        let circuit = "/ip4/1.1.1.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp/p2p-circuit";
        assert_eq!(judged(circuit), Err(Refused::Kind));
        assert_eq!(
            judged("/ip6/2606::1/tcp/0"),
            Err(AddressError::PortZero.into())
        );
    }

    #[test]
    fn a_network_of_ones_own_dials_private_addresses() {
        let own = AddressPolicy {
            allow_private: true,
        };
        for local in ["/ip4/127.0.0.1/tcp/22", "/ip6/::1/tcp/22"] {
            check(own, &local.parse().unwrap()).unwrap();
        }
        assert!(check(own, &"/ip6/ff02::1/tcp/22".parse().unwrap()).is_err());
    }

    #[test]
    fn dials_for_others_are_few() {
        let mut guard = Behaviour::new(STRICT);
        let now = Instant::now();
        let peer = super::super::peer_id(&crate::descriptor::tests::peer_key(1)).unwrap();
        let address = ["/ip4/1.1.1.1/tcp/60000".parse().unwrap()];
        guard.connected.insert(peer);
        let at_once = (0..1000).filter(|_| guard.judge(now, Some(peer), &address).is_ok());
        assert_eq!(at_once.count(), DIALS_FOR_OTHERS_BURST as usize);
        let later = now + Duration::from_secs(60);
        let in_a_minute = (0..1000).filter(|_| guard.judge(later, Some(peer), &address).is_ok());
        let rate = 60 / DIALS_FOR_OTHERS_EVERY.as_secs() as u32;
        assert_eq!(
            in_a_minute.count(),
            rate.min(DIALS_FOR_OTHERS_BURST) as usize
        );
        // Whom the directory asks is not connected.
        let stranger = super::super::peer_id(&crate::descriptor::tests::peer_key(2)).unwrap();
        let asked = (0..1000).filter(|_| guard.judge(later, Some(stranger), &address).is_ok());
        assert_eq!(asked.count(), 1000);
    }

    #[test]
    fn a_newer_connection_of_a_peer_replaces_its_older_one() {
        let mut guard = Behaviour::new(STRICT);
        let peer = super::super::peer_id(&crate::descriptor::tests::peer_key(1)).unwrap();
        let stand = |guard: &mut Behaviour, n: usize, inbound: bool| {
            guard.admit(peer, inbound)?;
            let id = ConnectionId::new_unchecked(n);
            guard
                .direct
                .entry(peer)
                .or_default()
                .push(Direct { id, inbound });
            Ok(())
        };
        assert_eq!(stand(&mut guard, 1, true), Ok(()));
        assert_eq!(stand(&mut guard, 2, false), Ok(()));
        assert_eq!(stand(&mut guard, 3, false), Err(Refused::Peer));
        assert_eq!(stand(&mut guard, 4, true), Ok(()));
        assert_eq!(guard.closing, [(peer, ConnectionId::new_unchecked(1))]);
    }
}
