//! Whom to dial, when to try again, and whom to let in.
//!
//! ```text
//! static peer  ──due──▶ dialling ──identified──▶ connected ──closed──▶ pause, doubling from 1 s to 60 s ──due──▶ …
//! stranger     ──room among pending──▶ handshake ──identified──▶ admitted, or told why not
//! ```
//!
//! Strangers at the door push each other out, see `door`. One connection per identity, never one to ourselves. Static peers do not count against the room for strangers. What
//! limits strangers by their address leaves loopback and private networks alone: there, many nodes share one address.
//! Spec: devp2p connection policy of geth.

mod door;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use thiserror::Error;

use crate::enode::Enode;
use crate::identity::NodeId;
use crate::limits::{
    INBOUND_INTERVAL, INBOUND_PEERS_MAX, INBOUND_PEERS_PER_SUBNET_MAX, INBOUND_REMEMBERED_MAX,
    PENDING_MAX, PENDING_PER_IP_MAX, REDIAL_MAX, REDIAL_MIN, REDIAL_THROTTLED, STABLE_AFTER,
    STATIC_PEERS_MAX,
};
use crate::now::Now;
use crate::rlpx::Direction;
use crate::rlpx::disconnect::DisconnectReason;

/// One connection, from its first byte to its last. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The connection behind a number that was got from [`ConnectionId::number`].
    pub const fn from_number(number: u64) -> ConnectionId {
        ConnectionId(number)
    }

    /// The number behind it.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What the policy wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection.
    Dial {
        /// How it is called from now on.
        connection: ConnectionId,
        /// To whom.
        enode: Enode,
    },
    /// Close a connection without a byte: others need its place at the door. It is forgotten already.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// Why a connection ended, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has no room.
    Full,
    /// Anything else.
    Other,
}

/// The policy and who is connected.
pub struct Peers {
    own: NodeId,
    limits: Limits,
    statics: BTreeMap<NodeId, Static>,
    connections: BTreeMap<ConnectionId, Connection>,
    admitted: BTreeMap<NodeId, ConnectionId>,
    /// When a public address last connected.
    recent: BTreeMap<IpAddr, Instant>,
    next_id: u64,
    outputs: VecDeque<Output>,
    rng: ChaCha20Rng,
}

/// How many strangers there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that peers opened to us.
    pub inbound_max: usize,
    /// Connections whose handshake is not through.
    pub pending_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            inbound_max: INBOUND_PEERS_MAX,
            pending_max: PENDING_MAX,
        }
    }
}

/// A peer that we want to be connected to.
struct Static {
    enode: Enode,
    /// The dial that is under way or has become a connection.
    dialled: Option<ConnectionId>,
    /// When to dial, while there is no dial.
    due: Instant,
    /// The pause after the next failure.
    pause: Duration,
}

struct Connection {
    direction: Direction,
    ip: IpAddr,
    node: Option<NodeId>,
    established: Option<Instant>,
}

impl Peers {
    /// Nobody yet. The seed decides only by how much pauses differ.
    pub fn new(own: NodeId, limits: Limits, seed: [u8; 32]) -> Peers {
        Peers {
            own,
            limits,
            statics: BTreeMap::new(),
            connections: BTreeMap::new(),
            admitted: BTreeMap::new(),
            recent: BTreeMap::new(),
            next_id: 0,
            outputs: VecDeque::new(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Keeps a connection to this peer from now on. A peer that is known gets the new address.
    pub fn add(&mut self, now: Now, enode: Enode) -> Result<(), AddError> {
        let node = enode.node_id();
        if node == self.own {
            return Err(AddError::Ourselves);
        }
        if enode.tcp().port() == 0 || enode.tcp().ip().is_unspecified() {
            return Err(AddError::NoAddress);
        }
        if let Some(known) = self.statics.get_mut(&node) {
            known.enode = enode;
            return Ok(());
        }
        if self.statics.len() >= STATIC_PEERS_MAX {
            return Err(AddError::TooMany {
                max: STATIC_PEERS_MAX,
            });
        }
        self.statics.insert(
            node,
            Static {
                enode,
                dialled: None,
                due: now.mono,
                pause: REDIAL_MIN,
            },
        );
        self.tick(now);
        Ok(())
    }

    /// Somebody connected. Refused means: close without a byte.
    pub fn accept(&mut self, now: Now, ip: IpAddr) -> Result<ConnectionId, Refused> {
        let ip = ip.to_canonical();
        if !is_local(ip) {
            let pending = self.waiting().filter(|(_, each)| each.ip == ip);
            if pending.count() >= PENDING_PER_IP_MAX {
                return Err(Refused::PendingFromAddress);
            }
            self.recent
                .retain(|_, at| now.mono < *at + INBOUND_INTERVAL);
            if self.recent.contains_key(&ip) || self.recent.len() >= INBOUND_REMEMBERED_MAX {
                return Err(Refused::TooSoon);
            }
            self.recent.insert(ip, now.mono);
        }
        self.make_room();
        Ok(self.open(Direction::Accepted, ip))
    }

    /// The handshake proved who is at the other end. Refused means: tell them why and close.
    pub fn identify(
        &mut self,
        connection: ConnectionId,
        node: NodeId,
    ) -> Result<(), DisconnectReason> {
        let Some(entry) = self.connections.get(&connection) else {
            return Err(DisconnectReason::Requested);
        };
        if node == self.own {
            return Err(DisconnectReason::SelfConnection);
        }
        if self.admitted.contains_key(&node) {
            return Err(DisconnectReason::AlreadyConnected);
        }
        if entry.direction == Direction::Accepted
            && !self.statics.contains_key(&node)
            && !self.has_room(entry.ip)
        {
            return Err(DisconnectReason::TooManyPeers);
        }
        self.admitted.insert(node, connection);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.node = Some(node);
        }
        Ok(())
    }

    /// Both Hellos are through.
    pub fn establish(&mut self, now: Now, connection: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.established = Some(now.mono);
        }
    }

    /// A connection ended, or was never made.
    pub fn close(&mut self, now: Now, connection: ConnectionId, end: End) {
        let Some(closed) = self.connections.remove(&connection) else {
            return;
        };
        if let Some(node) = closed.node {
            self.admitted.remove(&node);
        }
        let stable = closed
            .established
            .is_some_and(|since| now.mono >= since + STABLE_AFTER);
        let jitter = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        for (node, peer) in &mut self.statics {
            let was_dial = peer.dialled == Some(connection);
            if was_dial {
                peer.dialled = None;
            }
            if was_dial || closed.node == Some(*node) {
                peer.postpone(now, stable, end, jitter);
            }
        }
        self.tick(now);
    }

    /// Dials whoever is due.
    pub fn tick(&mut self, now: Now) {
        let due: Vec<Enode> = self
            .statics
            .iter()
            .filter(|(node, peer)| {
                peer.dialled.is_none() && !self.admitted.contains_key(node) && peer.due <= now.mono
            })
            .map(|(_, peer)| peer.enode)
            .collect();
        for enode in due {
            let connection = self.open(Direction::Dialled, enode.tcp().ip());
            if let Some(peer) = self.statics.get_mut(&enode.node_id()) {
                peer.dialled = Some(connection);
            }
            self.outputs.push_back(Output::Dial { connection, enode });
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Peers::tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self
            .statics
            .iter()
            .filter(|(node, peer)| peer.dialled.is_none() && !self.admitted.contains_key(node));
        waiting.map(|(_, peer)| peer.due).min()
    }

    /// How many connections are established.
    pub fn established(&self, direction: Direction) -> usize {
        let of_direction =
            |entry: &&Connection| entry.direction == direction && entry.established.is_some();
        self.connections.values().filter(of_direction).count()
    }

    fn open(&mut self, direction: Direction, ip: IpAddr) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        self.connections.insert(
            id,
            Connection {
                direction,
                ip,
                node: None,
                established: None,
            },
        );
        id
    }

    fn has_room(&self, ip: IpAddr) -> bool {
        let strangers = self.connections.values().filter(|entry| {
            entry.direction == Direction::Accepted
                && entry
                    .node
                    .is_some_and(|node| !self.statics.contains_key(&node))
        });
        let neighbours = strangers
            .clone()
            .filter(|entry| same_subnet(entry.ip, ip))
            .count();
        strangers.count() < self.limits.inbound_max
            && (is_local(ip) || neighbours < INBOUND_PEERS_PER_SUBNET_MAX)
    }
}

impl Static {
    /// `jitter` is from 0 to 1; pauses differ by a quarter, so that two ends that refused each other's dial part.
    fn postpone(&mut self, now: Now, stable: bool, end: End, jitter: f64) {
        if stable {
            self.pause = REDIAL_MIN;
        }
        let mut pause = self.pause;
        self.pause = (self.pause * 2).min(REDIAL_MAX);
        if end == End::Full || !is_local(self.enode.tcp().ip()) {
            pause = pause.max(REDIAL_THROTTLED);
        }
        self.due = now.mono + pause.mul_f64(1.0 + jitter / 4.0);
    }
}

/// Loopback, link-local and private addresses.
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

fn same_subnet(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..6] == b.octets()[..6],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Why a connection is closed without a byte.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Too many of them from there.
    #[error("too many handshakes are pending from this address")]
    PendingFromAddress,
    /// It was here a moment ago.
    #[error("this address connected a moment ago")]
    TooSoon,
}

impl Refused {
    /// One word for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Refused::PendingFromAddress => "pending_from_address",
            Refused::TooSoon => "too_soon",
        }
    }
}

/// Why a peer cannot be kept connected.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// It is this node.
    #[error("the enode is this node's own")]
    Ourselves,
    /// It cannot be dialled.
    #[error("the enode has no address that can be dialled")]
    NoAddress,
    /// There are enough.
    #[error("no more than {max} static peers can be kept")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

#[cfg(test)]
mod tests;
