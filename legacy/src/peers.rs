//! Whom to dial, when to try again, whom to let in, and whom to keep out.
//!
//! ```text
//! static     ──due──▶ dialling ──established──▶ connected ──closed──▶ pause, doubling from 1 s to 60 s ──due──▶ …
//! candidate  ──its turn, and a place is free──▶ dialling ─▶ connected ──closed──▶ pause, doubling from 35 s ──▶ …
//! stranger   ──room among pending──▶ handshake ──identified──▶ Hello ──room──▶ connected, or told why not
//! offence    ──points──▶ ban of the node, or of its public address, for a time
//! ```
//!
//! | kind | dialled | counts as a stranger | can be banned |
//! |---|---|---|---|
//! | static | for ever | no | no |
//! | trusted | only if discovery finds it | no | no |
//! | bootstrap | while nobody else is connected or known | yes | yes |
//! | discovered | in turn, while there is room for those whom we dial | yes | yes |
//! | stranger | no | yes | yes |
//!
//! Strangers at the door push each other out, see `door`. One connection per identity, never one to ourselves. Who is there is proved by the first frame that verifies, not by
//! the handshake packets, which anybody can make up in another's name. What the policy says to a name that is only claimed
//! is said again when it is proved, and a name that is only claimed takes nobody's place and is blamed for nothing.
//! Spec: devp2p connection policy of geth.

mod book;
mod connection;
mod door;
mod error;
mod offence;
mod place;
mod standing;
mod statics;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use self::book::{Book, Origin, Outcome};
use self::connection::Connection;
pub use self::connection::ConnectionId;
pub use self::error::{AddError, Refused};
pub use self::offence::Offence;
use self::place::{Place, is_dialable, is_local, same_subnet};
use self::standing::Standings;
pub use self::standing::{Ban, Subject};
use self::statics::Static;
use crate::enode::Enode;
use crate::identity::NodeId;
use crate::limits::{
    BAN_FOR, CANDIDATES_MAX, DIALS_MAX, DIALS_REMEMBERED_MAX, EVICT_AT, INBOUND_INTERVAL,
    INBOUND_PEERS_MAX, INBOUND_REMEMBERED_MAX, OUTBOUND_PEERS_MAX, PEERS_PER_SUBNET_MAX,
    PENDING_MAX, PENDING_PER_IP_MAX, REDIAL_THROTTLED, STABLE_AFTER, STATIC_PEERS_MAX,
    TRUSTED_PEERS_MAX,
};
use crate::now::Now;
use crate::rlpx::Direction;
use crate::rlpx::disconnect::DisconnectReason;

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
    /// End a connection. It is closed like any other when it has ended.
    Disconnect {
        /// Which.
        connection: ConnectionId,
        /// What to tell the peer.
        reason: DisconnectReason,
    },
}

/// Why a connection ended, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has no room.
    Full,
    /// One of the two has no use for the other.
    Useless,
    /// Anything else.
    Other,
}

/// What a peer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It is kept connected.
    Static,
    /// It is let in although there is no room.
    Trusted,
    /// The configuration names it as somebody to start with.
    Bootstrap,
    /// Discovery found it.
    Discovered,
    /// It came by itself.
    Stranger,
}

impl Kind {
    /// One word for people and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Static => "static",
            Kind::Trusted => "trusted",
            Kind::Bootstrap => "bootstrap",
            Kind::Discovered => "discovered",
            Kind::Stranger => "stranger",
        }
    }
}

/// How many strangers there may be, and for how long one is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Strangers that dialled us.
    pub inbound_max: usize,
    /// Strangers that we dialled.
    pub outbound_max: usize,
    /// Connections whose handshake is not through.
    pub pending_max: usize,
    /// How long a ban lasts; zero bans nobody.
    pub ban_for: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            inbound_max: INBOUND_PEERS_MAX,
            outbound_max: OUTBOUND_PEERS_MAX,
            pending_max: PENDING_MAX,
            ban_for: BAN_FOR,
        }
    }
}

impl Limits {
    /// Room for so many strangers, one in `ratio` of whom we dial: [`DIAL_RATIO`](crate::limits::DIAL_RATIO) unless there is a reason for another.
    pub fn split(peers_max: usize, ratio: usize) -> Limits {
        let outbound_max = (peers_max / ratio.max(1)).max(1);
        Limits {
            inbound_max: peers_max.saturating_sub(outbound_max),
            outbound_max,
            ..Limits::default()
        }
    }
}

/// What was counted, by words from closed lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Offences of peers.
    pub offences: BTreeMap<&'static str, u64>,
    /// Bans that began: of a `node` or of an `address`.
    pub bans: BTreeMap<&'static str, u64>,
    /// Strangers that made room for others because of what they had done.
    pub evicted: u64,
}

/// The policy and who is connected.
pub struct Peers {
    own: NodeId,
    limits: Limits,
    statics: BTreeMap<NodeId, Static>,
    trusted: BTreeMap<NodeId, Enode>,
    book: Book,
    standings: Standings,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The one connection of each node that is proved to be there.
    present: BTreeMap<NodeId, ConnectionId>,
    /// The dial of each node that is under way or has become a connection.
    dialling: BTreeMap<NodeId, ConnectionId>,
    /// When a public address last connected.
    recent: BTreeMap<IpAddr, Instant>,
    /// When a node was last dialled, for as long as it is not dialled again.
    dials: BTreeMap<NodeId, Instant>,
    next_id: u64,
    deadline: Option<Instant>,
    outputs: VecDeque<Output>,
    counters: Counters,
    rng: ChaCha20Rng,
}

impl Peers {
    /// Nobody yet. The seed decides only by how much pauses differ.
    pub fn new(own: NodeId, limits: Limits, seed: [u8; 32]) -> Peers {
        Peers {
            own,
            limits,
            statics: BTreeMap::new(),
            trusted: BTreeMap::new(),
            book: Book::default(),
            standings: Standings::new(limits.ban_for),
            connections: BTreeMap::new(),
            present: BTreeMap::new(),
            dialling: BTreeMap::new(),
            recent: BTreeMap::new(),
            dials: BTreeMap::new(),
            next_id: 0,
            deadline: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Keeps a connection to this peer from now on. A peer that is known gets the new address; a ban of it ends.
    pub fn add(&mut self, now: Now, enode: Enode) -> Result<(), AddError> {
        let node = enode.node_id();
        if node == self.own {
            return Err(AddError::Ourselves);
        }
        if !is_dialable(enode.tcp()) {
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
        let again = match self.dials.get(&node) {
            Some(dialled) if !is_local(enode.tcp().ip()) => *dialled + REDIAL_THROTTLED,
            Some(_) | None => now.mono,
        };
        self.statics
            .insert(node, Static::new(enode, again.max(now.mono)));
        self.favour(&node);
        self.tick(now);
        Ok(())
    }

    /// Lets this peer in from now on although there may be no room, and never bans it. A ban of it ends.
    pub fn trust(&mut self, enode: Enode) -> Result<(), AddError> {
        let node = enode.node_id();
        if node == self.own {
            return Err(AddError::Ourselves);
        }
        if !self.trusted.contains_key(&node) && self.trusted.len() >= TRUSTED_PEERS_MAX {
            return Err(AddError::TooManyTrusted {
                max: TRUSTED_PEERS_MAX,
            });
        }
        self.trusted.insert(node, enode);
        self.favour(&node);
        Ok(())
    }

    /// Treats a trusted peer like any other from now on. Whoever is in stays. False: it was not trusted.
    pub fn untrust(&mut self, node: &NodeId) -> bool {
        self.trusted.remove(node).is_some()
    }

    /// Ends the connection to a peer, and dials it no more. False: it is neither connected nor to be dialled.
    pub fn remove(&mut self, now: Now, node: &NodeId) -> bool {
        let was_static = self.statics.remove(node).is_some();
        let was_candidate = self.book.remove(node);
        let ended: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, one)| one.target == Some(*node) || one.claimed == Some(*node))
            .map(|(id, _)| *id)
            .collect();
        for id in &ended {
            self.dismiss(*id, DisconnectReason::Requested);
        }
        self.tick(now);
        was_static || was_candidate || !ended.is_empty()
    }

    /// Notes nodes that discovery found, to be dialled when it is their turn. Those that there is no room for are dropped.
    pub fn candidates(&mut self, now: Now, enodes: impl IntoIterator<Item = Enode>) {
        self.note(now, enodes, Origin::Discovered);
    }

    /// Notes nodes to start with, which are dialled while nobody else is connected or known.
    pub fn bootstrap(&mut self, now: Now, enodes: impl IntoIterator<Item = Enode>) {
        self.note(now, enodes, Origin::Bootstrap);
    }

    /// How many more candidates there is use for now.
    pub fn wanted(&self, now: Now) -> usize {
        self.free_places().saturating_sub(self.book.ready(now.mono))
    }

    /// Somebody connected. Refused means: close without a byte.
    pub fn accept(&mut self, now: Now, ip: IpAddr) -> Result<ConnectionId, Refused> {
        let ip = ip.to_canonical();
        let is_favoured = self.is_favoured_address(ip);
        if !is_favoured && self.standings.is_place_banned(now.mono, ip) {
            return Err(Refused::Banned);
        }
        if !is_local(ip) {
            let pending = self.waiting().filter(|(_, each)| each.ip == ip);
            if pending.count() >= PENDING_PER_IP_MAX {
                return Err(Refused::PendingFromAddress);
            }
            if !is_favoured {
                self.note_arrival(now.mono, ip)?;
            }
        }
        self.make_room();
        Ok(self.open(Direction::Accepted, ip, None))
    }

    /// The handshake says who is at the other end. Refused means: tell them why and close.
    pub fn identify(
        &mut self,
        now: Now,
        connection: ConnectionId,
        node: NodeId,
    ) -> Result<(), DisconnectReason> {
        self.judge(now.mono, connection, node)?;
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.claimed = Some(node);
        }
        Ok(())
    }

    /// Both Hellos are through, so that it is proved who is there. Refused means: tell them why and close.
    pub fn establish(
        &mut self,
        now: Now,
        connection: ConnectionId,
    ) -> Result<(), DisconnectReason> {
        let entry = self.connections.get(&connection);
        let Some(node) = entry.and_then(|entry| entry.claimed) else {
            return Err(DisconnectReason::Requested);
        };
        if let Some(victim) = self.judge(now.mono, connection, node)? {
            self.counters.evicted += 1;
            self.dismiss(victim, DisconnectReason::TooManyPeers);
        }
        let is_stranger = !self.is_favoured(&node);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.established = Some(now.mono);
            // Whoever was favoured when we dialled has no place of a stranger to take.
            entry.is_stranger &= is_stranger;
        }
        self.present.insert(node, connection);
        Ok(())
    }

    /// A peer did wrong. Whoever only claims a name is no node: its address answers alone. An address that we dialled
    /// and that proved nothing answers for nothing: others told us of it.
    pub fn report(&mut self, now: Now, connection: ConnectionId, offence: Offence) {
        let count = self.counters.offences.entry(offence.as_str()).or_default();
        *count += 1;
        let Some(entry) = self.connections.get(&connection) else {
            return;
        };
        let (ip, node) = (entry.ip, entry.node());
        if node.is_none() && entry.direction == Direction::Dialled
            || node.is_some_and(|node| self.is_favoured(&node))
        {
            return;
        }
        if let Some(node) = node
            && self.standings.charge_node(now.mono, node, offence)
        {
            self.banned(&Subject::Node(node), |one| one.claimed == Some(node));
        }
        if let Some(place) = Place::of(ip)
            && !self.is_favoured_address(ip)
            && self.standings.charge_place(now.mono, place, offence)
        {
            let subject = Subject::Address(place.ip());
            self.banned(&subject, |one| {
                one.is_stranger && Place::of(one.ip) == Some(place)
            });
        }
    }

    /// A connection ended, or was never made.
    pub fn close(&mut self, now: Now, connection: ConnectionId, end: End) {
        let Some(closed) = self.connections.remove(&connection) else {
            return;
        };
        if let Some(node) = closed.node()
            && self.present.get(&node) == Some(&connection)
        {
            self.present.remove(&node);
        }
        if let Some(target) = closed.target {
            self.dialling.remove(&target);
        }
        let stable = closed
            .established
            .is_some_and(|since| now.mono >= since + STABLE_AFTER);
        let jitter = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        if let Some(node) = closed.target.or(closed.node()) {
            if let Some(peer) = self.statics.get_mut(&node) {
                peer.postpone(now.mono, stable, end, jitter);
            }
            let outcome = match end {
                End::Full => Outcome::Full,
                End::Useless => Outcome::Useless,
                End::Other if stable => Outcome::Good,
                End::Other => Outcome::Failed,
            };
            self.book.settle(now.mono, &node, outcome, jitter);
        }
        self.tick(now);
    }

    /// Dials whoever is due.
    pub fn tick(&mut self, now: Now) {
        self.dials.retain(|_, at| now.mono < *at + REDIAL_THROTTLED);
        self.dial_statics(now.mono);
        while let Some(enode) = self.next_candidate(now.mono) {
            self.dial(now.mono, enode);
        }
        let statics = self.statics.iter().filter(|(node, _)| !self.is_busy(node));
        let statics = statics.map(|(_, peer)| peer.due).min();
        let candidates = if self.free_places() > 0 {
            self.book.next_due(now.mono)
        } else {
            None
        };
        self.deadline = statics.into_iter().chain(candidates).min();
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Peers::tick`] is due.
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How many connections are established.
    pub fn established(&self, direction: Direction) -> usize {
        let of_direction =
            |entry: &&Connection| entry.direction == direction && entry.established.is_some();
        self.connections.values().filter(of_direction).count()
    }

    /// What a node is to us. A static peer that is trusted too is static; [`Peers::is_trusted`] tells.
    pub fn kind(&self, node: &NodeId) -> Kind {
        if self.statics.contains_key(node) {
            return Kind::Static;
        }
        if self.trusted.contains_key(node) {
            return Kind::Trusted;
        }
        match self.book.origin(node) {
            Some(Origin::Bootstrap) => Kind::Bootstrap,
            Some(Origin::Discovered) => Kind::Discovered,
            None => Kind::Stranger,
        }
    }

    /// Whether a peer is let in although there is no room.
    pub fn is_trusted(&self, node: &NodeId) -> bool {
        self.trusted.contains_key(node)
    }

    /// How good a node is: 0 for one that did no wrong, and one less for each point against it.
    pub fn score(&self, now: Now, node: &NodeId) -> i32 {
        let points = self.standings.points(now.mono, node);
        i32::try_from(points).map_or(i32::MIN, |points| -points)
    }

    /// Every ban that holds.
    pub fn bans(&self, now: Now) -> Vec<Ban> {
        self.standings.bans(now.mono)
    }

    /// What was counted so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Forgives a peer, and takes it out of the count of strangers.
    fn favour(&mut self, node: &NodeId) {
        self.standings.pardon(node);
        for one in self.connections.values_mut() {
            if one.node() == Some(*node) || one.target == Some(*node) {
                one.is_stranger = false;
            }
        }
    }

    fn is_favoured(&self, node: &NodeId) -> bool {
        self.statics.contains_key(node) || self.trusted.contains_key(node)
    }

    fn is_favoured_address(&self, ip: IpAddr) -> bool {
        let statics = self.statics.values().map(|peer| &peer.enode);
        let mut enodes = statics.chain(self.trusted.values());
        enodes.any(|enode| enode.tcp().ip() == ip)
    }

    fn note(&mut self, now: Now, enodes: impl IntoIterator<Item = Enode>, origin: Origin) {
        for enode in enodes.into_iter().take(CANDIDATES_MAX) {
            let node = enode.node_id();
            if node == self.own
                || !is_dialable(enode.tcp())
                || self.standings.is_node_banned(now.mono, &node)
                || self.standings.is_place_banned(now.mono, enode.tcp().ip())
            {
                continue;
            }
            let again = self.dials.get(&node).map(|at| *at + REDIAL_THROTTLED);
            self.book
                .insert(enode, origin, again.unwrap_or(now.mono).max(now.mono));
        }
        self.tick(now);
    }

    /// A public address connects: not too soon after the last time.
    fn note_arrival(&mut self, now: Instant, ip: IpAddr) -> Result<(), Refused> {
        self.recent.retain(|_, at| now < *at + INBOUND_INTERVAL);
        if self.recent.contains_key(&ip) || self.recent.len() >= INBOUND_REMEMBERED_MAX {
            return Err(Refused::TooSoon);
        }
        self.recent.insert(ip, now);
        Ok(())
    }

    /// Whether a node may come in by a connection, and who has to go for it.
    fn judge(
        &self,
        now: Instant,
        connection: ConnectionId,
        node: NodeId,
    ) -> Result<Option<ConnectionId>, DisconnectReason> {
        let Some(entry) = self.connections.get(&connection).filter(|one| !one.leaving) else {
            return Err(DisconnectReason::Requested);
        };
        if node == self.own {
            return Err(DisconnectReason::SelfConnection);
        }
        if self.present.contains_key(&node) {
            return Err(DisconnectReason::AlreadyConnected);
        }
        if self.is_favoured(&node) {
            return Ok(None);
        }
        if self.standings.is_node_banned(now, &node) {
            return Err(DisconnectReason::UselessPeer);
        }
        match entry.direction {
            // Its place was kept for it from the dial on.
            Direction::Dialled => Ok(None),
            Direction::Accepted => self.room(now, entry.ip, &node),
        }
    }

    /// Room for a stranger that dialled us. In a full house the one with the most against it goes, if that is much, and
    /// more than there is against the newcomer; of several the last that came.
    fn room(
        &self,
        now: Instant,
        ip: IpAddr,
        node: &NodeId,
    ) -> Result<Option<ConnectionId>, DisconnectReason> {
        if self.is_crowded(ip) {
            return Err(DisconnectReason::TooManyPeers);
        }
        let strangers = || {
            let all = self.connections.iter();
            all.filter(|(_, one)| one.takes_room(Direction::Accepted))
        };
        if strangers().count() < self.limits.inbound_max {
            return Ok(None);
        }
        let points = |one: &Connection| {
            let node = one.node();
            node.map_or(0, |node| self.standings.points(now, &node))
        };
        let bound = EVICT_AT.max(self.standings.points(now, node) + 1);
        strangers()
            .map(|(id, one)| (points(one), *id))
            .filter(|(points, _)| *points >= bound)
            .max()
            .map(|(_, id)| Some(id))
            .ok_or(DisconnectReason::TooManyPeers)
    }

    /// Whether enough strangers of this neighbourhood are connected, or being dialled.
    fn is_crowded(&self, ip: IpAddr) -> bool {
        let neighbours = || {
            let all = self.connections.values();
            let strangers = all.filter(|one| {
                one.takes_room(Direction::Accepted) || one.takes_room(Direction::Dialled)
            });
            strangers.filter(|one| same_subnet(one.ip, ip)).count()
        };
        !is_local(ip) && neighbours() >= PEERS_PER_SUBNET_MAX
    }

    /// A ban began: whom it concerns has to go.
    fn banned(&mut self, subject: &Subject, concerns: impl Fn(&Connection) -> bool) {
        *self.counters.bans.entry(subject.as_str()).or_default() += 1;
        let concerned: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, one)| concerns(one))
            .map(|(id, _)| *id)
            .collect();
        for id in concerned {
            self.dismiss(id, DisconnectReason::UselessPeer);
        }
    }

    fn dismiss(&mut self, connection: ConnectionId, reason: DisconnectReason) {
        if let Some(entry) = self.connections.get_mut(&connection)
            && !entry.leaving
        {
            entry.leaving = true;
            self.outputs
                .push_back(Output::Disconnect { connection, reason });
        }
    }

    /// Whether a node is connected, or being dialled.
    fn is_busy(&self, node: &NodeId) -> bool {
        self.present.contains_key(node) || self.dialling.contains_key(node)
    }

    fn dial_statics(&mut self, now: Instant) {
        let due: Vec<Enode> = self
            .statics
            .iter()
            .filter(|(node, peer)| peer.due <= now && !self.is_busy(node))
            .map(|(_, peer)| peer.enode)
            .collect();
        for enode in due {
            self.dial(now, enode);
        }
    }

    /// Places for strangers whom we dial.
    fn free_places(&self) -> usize {
        let all = self.connections.values();
        let taken = all.filter(|one| one.takes_room(Direction::Dialled)).count();
        self.limits.outbound_max.saturating_sub(taken)
    }

    /// The candidate whose turn it is, if there is a place for it.
    fn next_candidate(&self, now: Instant) -> Option<Enode> {
        let pending = self
            .connections
            .values()
            .filter(|one| one.takes_room(Direction::Dialled) && one.established.is_none());
        if self.free_places() == 0
            || pending.count() >= DIALS_MAX
            || self.dials.len() >= DIALS_REMEMBERED_MAX
        {
            return None;
        }
        let eligible = |enode: &Enode| {
            let (node, ip) = (enode.node_id(), enode.tcp().ip());
            !self.statics.contains_key(&node)
                && !self.is_busy(&node)
                && !self.standings.is_node_banned(now, &node)
                && !self.standings.is_place_banned(now, ip)
                && !self.is_crowded(ip)
        };
        let found = self.book.next(now, Origin::Discovered, eligible);
        if found.is_some() || !self.present.is_empty() {
            return found;
        }
        self.book.next(now, Origin::Bootstrap, eligible)
    }

    fn dial(&mut self, now: Instant, enode: Enode) {
        let node = enode.node_id();
        let connection = self.open(Direction::Dialled, enode.tcp().ip(), Some(node));
        self.dialling.insert(node, connection);
        self.dials.insert(node, now);
        self.outputs.push_back(Output::Dial { connection, enode });
    }

    fn open(&mut self, direction: Direction, ip: IpAddr, target: Option<NodeId>) -> ConnectionId {
        let id = ConnectionId::from_number(self.next_id);
        let is_stranger = !target.is_some_and(|node| self.is_favoured(&node));
        self.next_id += 1;
        self.connections.insert(
            id,
            Connection {
                direction,
                ip,
                target,
                claimed: None,
                established: None,
                is_stranger,
                leaving: false,
            },
        );
        id
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
