//! The peers that a node may dial, and when it does.
//!
//! ```text
//!            wanted, kept                connected
//!  Idle ───────────────────▶ Dialling ─────────────▶ Connected
//!   ▲ ▲                         │ failed                 │ closed
//!   │ └───── Resting ◀──────────┘                        │
//!   │           ▲ └─ pause over: kept ones are dialled   │
//!   │           └────────── closed at once, kept ────────┤
//!   └────────────────────────────────────────────────────┘
//! ```
//!
//! Only addresses of known descriptors are dialled, never one that a packet names. Relays are kept: a connection that closes is
//! dialled again at once, and after a failure with growing pauses. Other known nodes are dialled when a packet is for them.
//! Nothing here knows a socket or a clock: the owner dials, tells what came of it, and says what time it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::transport::multiaddr;
use crate::address::{PeerKey, Transport};
use crate::descriptor::Descriptor;
use crate::limits::{REDIAL_FIRST, REDIAL_MAX};
use crate::topology::Topology;

// ---- Our constants ----

/// A connection that stood this long is dialled again at once; one that closes sooner may be
/// refused on purpose, and waits like a failed dial.
const STOOD: Duration = Duration::from_secs(2);

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

impl Contact {
    /// The contact where a newer descriptor says that it is.
    fn at(self, address: Multiaddr) -> Self {
        let moved = self.address != address;
        match self.state {
            State::Resting { .. } if moved => Self {
                address,
                state: State::Idle,
                pause: REDIAL_FIRST,
                ..self
            },
            _ => Self { address, ..self },
        }
    }
}

/// Where a node listens, if it can be dialled there.
fn place(descriptor: &Descriptor) -> Option<Multiaddr> {
    let at = descriptor.address()?;
    match descriptor.transport() {
        Transport::Tcp => Some(multiaddr(at)),
        Transport::Quic => None,
    }
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

/// Every peer that may be dialled.
#[derive(Default)]
pub(super) struct Contacts {
    known: BTreeMap<PeerKey, Contact>,
}

impl Contacts {
    /// Takes the newest network: the nodes that listen, `own` apart. Who is no longer in it is not dialled any more; a connection
    /// that stands stays. Gives those to dial now: who is kept, and neither connected nor being dialled. Who rests is dialled
    /// when the rest is over, or now if it is elsewhere by now.
    pub(super) fn renew(
        &mut self,
        topology: &Topology,
        own: PeerKey,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<PeerKey> {
        let kept = topology.kept_by(own);
        let mut before = std::mem::take(&mut self.known);
        let mut dialled = Vec::new();
        for descriptor in topology.iter() {
            let peer = descriptor.peer();
            let Some(address) = place(descriptor).filter(|_| peer != own) else {
                continue;
            };
            let contact = match before.remove(&peer) {
                Some(contact) => contact.at(address),
                None => {
                    let Some(id) = super::peer_id(&peer) else {
                        continue;
                    };
                    let state = match is_connected(&id) {
                        true => State::Connected { since: now },
                        false => State::Idle,
                    };
                    Contact {
                        id,
                        address,
                        kept: false,
                        state,
                        pause: REDIAL_FIRST,
                    }
                }
            };
            let kept = kept.contains(&peer);
            if kept && matches!(contact.state, State::Idle) {
                dialled.push(peer);
            }
            self.known.insert(peer, Contact { kept, ..contact });
        }
        dialled
    }

    /// Its identity, and where to dial it.
    pub(super) fn route(&self, peer: &PeerKey) -> Option<(PeerId, Vec<Multiaddr>)> {
        let contact = self.known.get(peer)?;
        Some((contact.id, vec![contact.address.clone()]))
    }

    /// A packet waits for `peer`.
    pub(super) fn wanted(&self, peer: &PeerKey) -> Wanted {
        match self.known.get(peer).map(|contact| &contact.state) {
            Some(State::Idle) => Wanted::Dial,
            Some(State::Dialling | State::Connected { .. }) => Wanted::Wait,
            Some(State::Resting { .. }) | None => Wanted::Unreachable,
        }
    }

    /// When the first rest is over.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let resting = |contact: &Contact| match contact.state {
            State::Resting { until } => Some(until),
            State::Idle | State::Dialling | State::Connected { .. } => None,
        };
        self.known.values().filter_map(resting).min()
    }

    /// Ends the rests that are over. Kept peers are to be dialled again, others when they are wanted.
    pub(super) fn wake(&mut self, now: Instant) -> Vec<PeerKey> {
        let mut again = Vec::new();
        for (peer, contact) in &mut self.known {
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
        again
    }

    /// A dial is under way.
    pub(super) fn dialling(&mut self, peer: &PeerKey) {
        if let Some(contact) = self.known.get_mut(peer) {
            contact.state = State::Dialling;
        }
    }

    /// Whether a dial is under way.
    pub(super) fn is_dialling(&self, peer: &PeerKey) -> bool {
        let state = self.known.get(peer).map(|contact| &contact.state);
        matches!(state, Some(State::Dialling))
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, peer: &PeerKey, now: Instant) {
        if let Some(contact) = self.known.get_mut(peer) {
            contact.state = State::Resting {
                until: now + contact.pause,
            };
            contact.pause = (contact.pause * 2).min(REDIAL_MAX);
        }
    }

    /// A first connection stands.
    pub(super) fn connected(&mut self, peer: &PeerKey, now: Instant) {
        if let Some(contact) = self.known.get_mut(peer) {
            contact.state = State::Connected { since: now };
        }
    }

    /// The last connection is gone.
    pub(super) fn closed(&mut self, peer: &PeerKey, now: Instant) -> Closed {
        let Some(contact) = self.known.get_mut(peer) else {
            return Closed::Leave;
        };
        let stood = match contact.state {
            State::Connected { since } => now.saturating_duration_since(since) >= STOOD,
            State::Idle | State::Dialling | State::Resting { .. } => false,
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

#[cfg(test)]
mod tests;
