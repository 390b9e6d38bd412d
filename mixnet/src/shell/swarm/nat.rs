//! Ways through routers: whether others can dial this node, circuits on which it is found, and holes that are punched.
//!
//! ```text
//!  ask a helper to dial us ──▶ reachable: nothing to do
//!        │ not reachable
//!        ▼
//!  reserve circuits at two helpers ──▶ a peer dials such a circuit ──▶ both dial at the same moment ──▶ direct connection
//!                                                                                                        circuit closed
//! ```
//!
//! A helper is a connected relay that offers circuits. Which two helpers a node chooses follows from the keys alone, so whoever looks for
//! it asks the same ones first, and no descriptor names them. Packets never travel on a circuit: it shows the helper both ends,
//! and is good for a few kilobytes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::core::transport::ListenerId;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, autonat, dcutr, relay};

use crate::address::PeerKey;
use crate::limits::{
    CIRCUIT_BYTES_MAX, CIRCUIT_MAX, CIRCUITS_MAX, CIRCUITS_PER_PEER_MAX, RESERVATION,
    RESERVATIONS_MAX,
};
use crate::shell::reach::{Reach, Reachability};

// ---- Our constants ----

/// Helpers at which a node that cannot be dialled is found: one may go away.
const RESERVATIONS: usize = 2;

/// Helpers that are asked for a circuit to a peer, the likeliest first.
const CIRCUITS_TRIED: usize = 3;

/// After a helper refused, it is asked again after this.
const RESERVE_PAUSE: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
pub(in crate::shell) struct Behaviour {
    /// Relays circuits of others.
    circuits: Toggle<relay::Behaviour>,
    /// Is found, and finds others, on circuits.
    through: Toggle<relay::client::Behaviour>,
    /// Turns a circuit into a direct connection.
    punch: Toggle<dcutr::Behaviour>,
    /// Asks helpers to dial this node.
    ask: Toggle<autonat::v2::client::Behaviour>,
    /// Dials nodes that ask for it.
    answer: Toggle<autonat::v2::server::Behaviour>,
}

/// The behaviours that `reach` wants, and the transport that belongs to them.
pub(super) fn behaviour(
    identity: &Keypair,
    reach: &Reach,
) -> (Option<relay::client::Transport>, Behaviour) {
    let own = identity.public().to_peer_id();
    let (transport, through) = match reach.nat {
        true => {
            let (transport, through) = relay::client::new(own);
            (Some(transport), Some(through))
        }
        false => (None, None),
    };
    let circuits = reach.helps().then(|| {
        let mut circuits = relay::Behaviour::new(own, circuit_limits());
        circuits.set_status(Some(relay::Status::Enable));
        circuits
    });
    let behaviour = Behaviour {
        circuits: circuits.into(),
        through: through.into(),
        punch: reach.nat.then(|| dcutr::Behaviour::new(own)).into(),
        ask: reach
            .nat
            .then(autonat::v2::client::Behaviour::default)
            .into(),
        answer: reach
            .helps()
            .then(autonat::v2::server::Behaviour::default)
            .into(),
    };
    (transport, behaviour)
}

/// What a circuit relay gives: enough to arrange a direct connection, not enough to be used instead of one. The rates per peer
/// and per address are the library's.
fn circuit_limits() -> relay::Config {
    relay::Config {
        max_reservations: RESERVATIONS_MAX,
        max_reservations_per_peer: 1,
        reservation_duration: RESERVATION,
        max_circuits: CIRCUITS_MAX,
        max_circuits_per_peer: CIRCUITS_PER_PEER_MAX,
        max_circuit_duration: CIRCUIT_MAX,
        max_circuit_bytes: CIRCUIT_BYTES_MAX,
        ..relay::Config::default()
    }
}

/// What is known of routers, helpers and circuits.
pub(super) struct Nat {
    own: PeerKey,
    on: bool,
    reachability: Reachability,
    /// Connected relays that offer circuits, and where they are.
    helpers: BTreeMap<PeerKey, Multiaddr>,
    /// Where this node asked to be found, and whether it is.
    reservations: BTreeMap<PeerKey, (ListenerId, bool)>,
    /// When helpers that refused are asked again.
    again: Option<Instant>,
    /// Connections through circuits.
    relayed: BTreeMap<PeerKey, Vec<ConnectionId>>,
}

impl Nat {
    pub(super) fn new(own: PeerKey, on: bool) -> Self {
        Self {
            own,
            on,
            reachability: Reachability::Unknown,
            helpers: BTreeMap::new(),
            reservations: BTreeMap::new(),
            again: None,
            relayed: BTreeMap::new(),
        }
    }

    pub(super) fn reachability(&self) -> Reachability {
        self.reachability
    }

    /// Circuits on which this node can be found now.
    pub(super) fn reserved(&self) -> usize {
        self.reservations
            .values()
            .filter(|(_, stands)| *stands)
            .count()
    }

    /// A connected peer offers circuits.
    pub(super) fn helper(&mut self, peer: PeerKey, at: Multiaddr) {
        if self.on {
            self.helpers.insert(peer, at);
        }
    }

    /// A peer has gone.
    pub(super) fn lost(&mut self, peer: &PeerKey) {
        self.helpers.remove(peer);
    }

    /// Somebody tried an address of ours. One that got through is worth more than many that did not.
    pub(super) fn tried(&mut self, reached: bool) {
        match (reached, self.reachability) {
            (true, _) => self.reachability = Reachability::Public,
            (false, Reachability::Unknown) => self.reachability = Reachability::Private,
            (false, Reachability::Public | Reachability::Private) => {}
        }
    }

    /// Where to reserve circuits now: the helpers that are ours and have not been asked.
    pub(super) fn to_reserve(&self, now: Instant) -> Vec<(PeerKey, Multiaddr)> {
        let early = self.again.is_some_and(|again| now < again);
        if self.reachability != Reachability::Private || early {
            return Vec::new();
        }
        let ours = self.ranked(&self.own).take(RESERVATIONS);
        ours.filter(|(peer, _)| !self.reservations.contains_key(peer))
            .collect()
    }

    /// A helper was asked for a reservation.
    pub(super) fn reserving(&mut self, peer: PeerKey, listener: ListenerId) {
        self.reservations.insert(peer, (listener, false));
    }

    /// A helper gave a reservation.
    pub(super) fn stands(&mut self, peer: &PeerKey) {
        if let Some((_, stands)) = self.reservations.get_mut(peer) {
            *stands = true;
        }
    }

    /// A reservation ended, or was refused.
    pub(super) fn ended(&mut self, listener: ListenerId, now: Instant) {
        let before = self.reservations.len();
        self.reservations.retain(|_, (id, _)| *id != listener);
        if self.reservations.len() < before {
            self.again = Some(now + RESERVE_PAUSE);
        }
    }

    /// When [`Self::to_reserve`] may have more.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.again
    }

    /// The pause is over.
    pub(super) fn wake(&mut self, now: Instant) {
        self.again = self.again.filter(|again| now < *again);
    }

    /// Circuits on which `peer` may be found, the likeliest first.
    pub(super) fn circuits_to(&self, peer: &PeerKey) -> Vec<Multiaddr> {
        let Some(id) = super::peer_id(peer) else {
            return Vec::new();
        };
        let others = self.ranked(peer).filter(|(helper, _)| helper != peer);
        others
            .take(CIRCUITS_TRIED)
            .map(|(_, circuit)| circuit.with(Protocol::P2p(id)))
            .collect()
    }

    /// Connected helpers with their circuits, in the order in which `peer` takes them.
    fn ranked(&self, peer: &PeerKey) -> impl Iterator<Item = (PeerKey, Multiaddr)> {
        let mut helpers: Vec<_> = self.helpers.iter().collect();
        helpers.sort_by_cached_key(|(helper, _)| peer.rank(helper));
        let circuit = |(helper, at): (&PeerKey, &Multiaddr)| {
            let id = super::peer_id(helper)?;
            let circuit = at.clone().with_p2p(id).ok()?.with(Protocol::P2pCircuit);
            Some((*helper, circuit))
        };
        helpers.into_iter().filter_map(circuit)
    }

    /// A connection to `peer` through a circuit stands.
    pub(super) fn met(&mut self, peer: PeerKey, connection: ConnectionId) {
        self.relayed.entry(peer).or_default().push(connection);
    }

    /// A connection is gone.
    pub(super) fn parted(&mut self, peer: &PeerKey, connection: ConnectionId) {
        if let Some(relayed) = self.relayed.get_mut(peer) {
            relayed.retain(|id| *id != connection);
            if relayed.is_empty() {
                self.relayed.remove(peer);
            }
        }
    }

    /// The connections to `peer` through circuits, which have served.
    pub(super) fn served(&self, peer: &PeerKey) -> Vec<ConnectionId> {
        self.relayed.get(peer).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::descriptor::tests::peer_key;

    fn at(n: u16) -> Multiaddr {
        format!("/ip4/203.0.113.{n}/tcp/60000").parse().unwrap()
    }

    fn nat(own: u16, helpers: std::ops::Range<u16>) -> Nat {
        let mut nat = Nat::new(peer_key(own), true);
        helpers.for_each(|n| nat.helper(peer_key(n), at(n)));
        nat
    }

    #[test]
    fn only_a_node_that_cannot_be_dialled_reserves() {
        let now = Instant::now();
        let mut nat = nat(1, 10..20);
        assert!(nat.to_reserve(now).is_empty());
        nat.tried(false);
        assert_eq!(nat.to_reserve(now).len(), RESERVATIONS);
        nat.tried(true);
        nat.tried(false);
        assert_eq!(nat.reachability(), Reachability::Public);
        assert!(nat.to_reserve(now).is_empty());
    }

    /// The helpers at which a node reserves are the ones that others ask first.
    #[test]
    fn seekers_and_sought_choose_the_same_helpers() {
        for sought in 1..10 {
            let mut home = nat(sought, 10..30);
            home.tried(false);
            let reserved: Vec<_> = home.to_reserve(Instant::now());
            let seeker = nat(40, 10..30);
            let asked = seeker.circuits_to(&peer_key(sought));
            assert_eq!(asked.len(), CIRCUITS_TRIED);
            for ((_, reserved), asked) in reserved.iter().zip(&asked) {
                let id = super::super::peer_id(&peer_key(sought)).unwrap();
                assert_eq!(reserved.clone().with(Protocol::P2p(id)), *asked);
            }
        }
    }

    #[test]
    fn a_refusal_is_followed_by_a_pause() {
        let now = Instant::now();
        let mut nat = nat(1, 10..12);
        nat.tried(false);
        let listener = ListenerId::next();
        let [(first, _), (second, _)] = nat.to_reserve(now).try_into().unwrap();
        nat.reserving(first, listener);
        nat.reserving(second, ListenerId::next());
        nat.stands(&second);
        assert_eq!(nat.reserved(), 1);
        nat.ended(listener, now);
        assert!(nat.to_reserve(now).is_empty());
        let later = nat.next_wake().unwrap();
        nat.wake(later);
        assert_eq!(nat.next_wake(), None);
        let asked: Vec<_> = nat
            .to_reserve(later)
            .into_iter()
            .map(|(peer, _)| peer)
            .collect();
        assert_eq!(asked, [first]);
    }

    #[test]
    fn who_does_not_look_for_ways_finds_none() {
        let mut nat = Nat::new(peer_key(1), false);
        nat.helper(peer_key(10), at(10));
        assert!(nat.circuits_to(&peer_key(2)).is_empty());
    }
}
