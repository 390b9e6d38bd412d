//! The peers that a node may dial, and when it does.
//!
//! ```text
//!            wanted, kept                                   connected
//!  Idle ───────────────────▶ Dialling ──▶ next route ─────────────────▶ Connected
//!   ▲ ▲                         │ no route left                │            │ closed
//!   │ │                         ├──────────▶ Punching ─────────┘            │
//!   │ │ pause over: kept        │ no circuit    │ too late                  │
//!   │ │ ones are dialled        ▼               │                           │
//!   │ └──────────────────── Resting ◀───────────┴── closed at once, kept ───┤
//!   └───────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Only addresses of known descriptors are dialled, and those that the operator adds to them, never one that a packet names.
//! Relays are kept: a connection that closes is dialled again at once, and after a failure with growing pauses. Other known
//! nodes are dialled when a packet is for them.
//!
//! A descriptor names one transport. Nodes listen for both on ports of one number, so when the named one fails the other
//! one is tried, then the further places that the descriptor names; the one that worked is the first next time. A host that refuses at the door has nobody behind it, and is not
//! asked twice. When no route is left, a node that looks for ways through routers meets the peer on a circuit
//! and punches a hole from there.
//!
//! Nothing here knows a socket or a clock: the owner dials, tells what came of it, and says what time it is.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::transport::{multiaddr, quic_multiaddr};
use crate::address::{AddressPolicy, PeerKey, Transport};
use crate::descriptor::Descriptor;
use crate::limits::{PUNCH_MAX, REDIAL_FIRST, REDIAL_MAX};
use crate::shell::reach;
use crate::topology::Topology;

// ---- Our constants ----

/// A connection that stood this long is dialled again at once; one that closes sooner may be
/// refused on purpose, and waits like a failed dial.
const STOOD: Duration = Duration::from_secs(2);

/// Circuits are tried one after the other: each is work for a stranger.
const CIRCUITS_AT_ONCE: NonZeroU8 = NonZeroU8::MIN;

/// Where a known peer stands.
enum State {
    Idle,
    /// Routes left to try, the next one last, and the dial that is under way.
    Dialling {
        left: Vec<usize>,
        route: usize,
        by: ConnectionId,
    },
    /// On a circuit, until a direct connection stands.
    Punching {
        by: ConnectionId,
        until: Instant,
    },
    Connected {
        since: Instant,
    },
    Resting {
        until: Instant,
    },
}

struct Contact {
    id: PeerId,
    routes: Vec<Multiaddr>,
    /// The route to try first.
    best: usize,
    kept: bool,
    state: State,
    /// The pause after the next failure.
    pause: Duration,
}

/// What to do about a peer for which a packet waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Dial it.
    Dial,
    /// It is on its way, or there.
    Wait,
    /// It cannot be reached now.
    Unreachable,
}

/// What to do about a peer that is no longer connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Dial it again.
    Dial,
    /// It is not kept, or nobody that we dial.
    Leave,
    /// Treat it like a failed dial.
    Failed,
}

/// What to do after a dial that failed.
pub(super) enum Failed {
    /// Nobody waits for that dial.
    Ignore,
    /// Dial this next.
    Next(DialOpts),
    /// No direct route is left.
    NoRoute,
    /// Neither was there a way through a circuit.
    NoCircuit,
}

/// Which transports a node dials.
#[derive(Clone, Copy)]
pub(super) struct Dialled {
    /// Whether QUIC is.
    pub(super) quic: bool,
    /// Whether TCP goes first, whatever a descriptor names: routers forget UDP within a minute, TCP after hours.
    pub(super) tcp_first: bool,
    /// Where its further places may be.
    pub(super) policy: AddressPolicy,
}

/// Every peer that may be dialled.
pub(super) struct Contacts {
    own: PeerKey,
    /// To how many relays a connection is kept.
    kept_max: usize,
    dialled: Dialled,
    /// Addresses that the operator adds.
    extra: BTreeMap<PeerKey, Vec<Multiaddr>>,
    known: BTreeMap<PeerKey, Contact>,
}

impl Contacts {
    /// Nobody yet. `extra` adds routes to nodes that descriptors name.
    pub(super) fn new(
        own: PeerKey,
        kept_max: usize,
        dialled: Dialled,
        extra: BTreeMap<PeerKey, Vec<Multiaddr>>,
    ) -> Self {
        Self {
            own,
            kept_max,
            dialled,
            extra,
            known: BTreeMap::new(),
        }
    }

    /// Takes the newest network: its nodes, this one apart, are the ones to dial. Who is no longer in it is not dialled any more; a
    /// connection that stands stays. Gives those to dial now: who is kept, and neither connected nor being dialled. Who rests is
    /// dialled when the rest is over, or now if it is elsewhere by now.
    pub(super) fn renew(
        &mut self,
        topology: &Topology,
        now: Instant,
        is_connected: impl Fn(&PeerKey) -> bool,
    ) -> Vec<PeerKey> {
        let kept = topology.kept_by(self.own, self.kept_max);
        let mut before = std::mem::take(&mut self.known);
        let mut dialled = Vec::new();
        for descriptor in topology.iter() {
            let peer = descriptor.peer();
            let Some(id) = super::peer_id(&peer).filter(|_| peer != self.own) else {
                continue;
            };
            let mut routes = self.routes(descriptor);
            routes.extend(self.extra.get(&peer).into_iter().flatten().cloned());
            let mut contact = match before.remove(&peer) {
                Some(contact) => contact.moved_to(routes),
                None => Contact::new(id, routes, is_connected(&peer).then_some(now)),
            };
            contact.kept = kept.contains(&peer);
            if contact.kept && matches!(contact.state, State::Idle) {
                dialled.push(peer);
            }
            self.known.insert(peer, contact);
        }
        dialled
    }

    /// What a descriptor names, the route to try first first: both transports at its address, then its further places.
    fn routes(&self, descriptor: &Descriptor) -> Vec<Multiaddr> {
        let at = descriptor.address();
        let mut routes = at.map_or_else(Vec::new, |at| self.both(at, descriptor.transport()));
        for place in &descriptor.statement().places {
            let route = reach::multiaddr(*place);
            let spoken = place.transport == Transport::Tcp || self.dialled.quic;
            // The address was checked when the network was read; where the further places are is only checked here.
            let may = spoken && self.dialled.policy.check_socket(place.at).is_ok();
            if may && !routes.contains(&route) {
                routes.push(route);
            }
        }
        routes
    }

    fn both(&self, at: SocketAddrV4, named: Transport) -> Vec<Multiaddr> {
        let Dialled {
            quic, tcp_first, ..
        } = self.dialled;
        match named {
            _ if !quic => vec![multiaddr(at)],
            Transport::Quic if !tcp_first => vec![quic_multiaddr(at), multiaddr(at)],
            Transport::Tcp | Transport::Quic => vec![multiaddr(at), quic_multiaddr(at)],
        }
    }

    /// The route to `peer` that worked last, or would be tried first.
    pub(super) fn place(&self, peer: &PeerKey) -> Option<Multiaddr> {
        let contact = self.known.get(peer)?;
        contact.routes.get(contact.best).cloned()
    }

    /// A packet waits for `peer`.
    pub(super) fn wanted(&self, peer: &PeerKey) -> Wanted {
        match self.known.get(peer).map(|contact| &contact.state) {
            Some(State::Idle) => Wanted::Dial,
            Some(State::Dialling { .. } | State::Punching { .. } | State::Connected { .. }) => {
                Wanted::Wait
            }
            Some(State::Resting { .. }) | None => Wanted::Unreachable,
        }
    }

    /// Starts with the first route to `peer`. Nothing when it is under way, there, or nobody.
    pub(super) fn dial(&mut self, peer: &PeerKey) -> Failed {
        match self.known.get_mut(peer) {
            Some(contact) if matches!(contact.state, State::Idle) => {
                let count = contact.routes.len();
                let order = (0..count).rev().map(|step| (contact.best + step) % count);
                contact.try_next(order.collect())
            }
            _ => Failed::Ignore,
        }
    }

    /// The dial `by` failed. `refused`: the host is there, and nobody listens.
    pub(super) fn dial_failed(
        &mut self,
        peer: &PeerKey,
        by: ConnectionId,
        refused: bool,
    ) -> Failed {
        let Some(contact) = self.known.get_mut(peer) else {
            return Failed::Ignore;
        };
        match &mut contact.state {
            State::Dialling {
                left,
                route,
                by: ours,
            } if *ours == by => {
                let mut left = std::mem::take(left);
                if refused {
                    let host_of = |route: usize| contact.routes.get(route).and_then(host);
                    let here = host_of(*route);
                    left.retain(|other| host_of(*other) != here);
                }
                contact.try_next(left)
            }
            State::Punching { by: ours, .. } if *ours == by => {
                contact.state = State::Idle;
                Failed::NoCircuit
            }
            State::Idle
            | State::Dialling { .. }
            | State::Punching { .. }
            | State::Connected { .. }
            | State::Resting { .. } => Failed::Ignore,
        }
    }

    /// Meets `peer` on the first of `circuits` that works. Two nodes that seek each other would be on two circuits and punch
    /// one hole from both, in the same roles; so the one with the higher key leaves it to the other one for a few rounds.
    pub(super) fn punch(
        &mut self,
        peer: &PeerKey,
        circuits: Vec<Multiaddr>,
        now: Instant,
    ) -> Option<DialOpts> {
        let is_higher = self.own > *peer;
        let contact = self.known.get_mut(peer)?;
        if circuits.is_empty() || (is_higher && contact.pause < REDIAL_MAX) {
            return None;
        }
        let options = DialOpts::peer_id(contact.id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(circuits)
            .override_dial_concurrency_factor(CIRCUITS_AT_ONCE)
            .build();
        contact.state = State::Punching {
            by: options.connection_id(),
            until: now + PUNCH_MAX,
        };
        Some(options)
    }

    /// The dial `by` was needless: `peer` is on a circuit of its own wish already, or its connection is about to be told.
    pub(super) fn wait(&mut self, peer: &PeerKey, by: ConnectionId, now: Instant) {
        if let Some(contact) = self.known.get_mut(peer) {
            let until = now + PUNCH_MAX;
            contact.state = State::Punching { by, until };
        }
    }

    /// Leaves `peer` alone for a while.
    pub(super) fn rest(&mut self, peer: &PeerKey, now: Instant) {
        if let Some(contact) = self.known.get_mut(peer) {
            contact.state = State::Resting {
                until: now + contact.pause,
            };
            contact.pause = (contact.pause * 2).min(REDIAL_MAX);
        }
    }

    /// When something is due.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let due = |contact: &Contact| match contact.state {
            State::Resting { until } | State::Punching { until, .. } => Some(until),
            State::Idle | State::Dialling { .. } | State::Connected { .. } => None,
        };
        self.known.values().filter_map(due).min()
    }

    /// Ends what is over: kept peers that have rested are to be dialled again, the first ones; with the second ones no hole
    /// could be punched.
    pub(super) fn wake(&mut self, now: Instant) -> (Vec<PeerKey>, Vec<PeerKey>) {
        let (mut again, mut late) = (Vec::new(), Vec::new());
        for (peer, contact) in &mut self.known {
            match contact.state {
                State::Resting { until } if until <= now => {
                    contact.state = State::Idle;
                    if contact.kept {
                        again.push(*peer);
                    }
                }
                State::Punching { until, .. } if until <= now => late.push(*peer),
                State::Idle
                | State::Dialling { .. }
                | State::Punching { .. }
                | State::Connected { .. }
                | State::Resting { .. } => {}
            }
        }
        (again, late)
    }

    /// A first direct connection stands; when `by` is a dial of ours, its route is the best one.
    pub(super) fn connected(&mut self, peer: &PeerKey, by: ConnectionId, now: Instant) {
        if let Some(contact) = self.known.get_mut(peer) {
            if let State::Dialling {
                route, by: ours, ..
            } = contact.state
                && ours == by
            {
                contact.best = route;
            }
            contact.state = State::Connected { since: now };
        }
    }

    /// The last direct connection is gone.
    pub(super) fn closed(&mut self, peer: &PeerKey, now: Instant) -> Closed {
        let Some(contact) = self.known.get_mut(peer) else {
            return Closed::Leave;
        };
        let stood = match contact.state {
            State::Connected { since } => now.saturating_duration_since(since) >= STOOD,
            State::Idle
            | State::Dialling { .. }
            | State::Punching { .. }
            | State::Resting { .. } => false,
        };
        contact.state = State::Idle;
        if stood {
            contact.pause = REDIAL_FIRST;
        }
        match (contact.kept, stood) {
            (true, true) => Closed::Dial,
            (true, false) => Closed::Failed,
            (false, _) => Closed::Leave,
        }
    }
}

impl Contact {
    /// A node that was not known; `connected` since then.
    fn new(id: PeerId, routes: Vec<Multiaddr>, connected: Option<Instant>) -> Self {
        Self {
            id,
            routes,
            best: 0,
            kept: false,
            state: connected.map_or(State::Idle, |since| State::Connected { since }),
            pause: REDIAL_FIRST,
        }
    }

    /// The contact where a newer descriptor says that it is. A dial to an old place ends first.
    fn moved_to(mut self, routes: Vec<Multiaddr>) -> Self {
        if self.routes == routes {
            return self;
        }
        (self.routes, self.best) = (routes, 0);
        match &mut self.state {
            State::Resting { .. } => (self.state, self.pause) = (State::Idle, REDIAL_FIRST),
            State::Dialling { left, route, .. } => {
                left.clear();
                *route = 0;
            }
            State::Idle | State::Punching { .. } | State::Connected { .. } => {}
        }
        self
    }

    /// Dials the last of the routes that are `left`.
    fn try_next(&mut self, mut left: Vec<usize>) -> Failed {
        let route = left.pop();
        let Some((route, address)) = route.and_then(|at| Some((at, self.routes.get(at)?))) else {
            self.state = State::Idle;
            return Failed::NoRoute;
        };
        let options = DialOpts::peer_id(self.id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(vec![address.clone()]);
        let options = if address.iter().any(|part| part == Protocol::QuicV1) {
            options.build()
        } else {
            // A port of its own: two nodes that dial each other from their listening ports would be one connection to TCP.
            options.allocate_new_port().build()
        };
        self.state = State::Dialling {
            left,
            route,
            by: options.connection_id(),
        };
        Failed::Next(options)
    }
}

/// The host of an address.
fn host(address: &Multiaddr) -> Option<Protocol<'_>> {
    address.iter().next()
}

#[cfg(test)]
mod tests;
