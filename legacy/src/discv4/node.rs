//! Discovery at work: one node of the network, without a socket.
//!
//! ```text
//! Datagram, Tick, Want, Mapped ──▶ Node ──▶ Send, Found, Looked, Moved, Persist
//! ```
//!
//! After every input all outputs are taken, then the node sleeps until [`Node::next_deadline`]. A question is one of
//! three: a ping, a findnode behind it (only the lookup under way asks that), a request for a record. Answers are
//! recognised by address and hash before anything is computed for them.

mod incoming;
mod upkeep;
mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use self::upkeep::Upkeep;
use self::walk::Walk;
use super::endpoint::Endpoint;
use super::gate::Gate;
use super::packet::{Hash, Message, our_ping};
use super::predict::Predictor;
use super::proof::{FIRST_ID, LAST_ID, Proofs};
use super::table::Table;
use super::{Contact, EXPIRATION, REPLY_TIMEOUT, canonical};
use crate::enode::Enode;
use crate::enr::{Place, Record};
use crate::identity::{NodeId, PUBLIC_KEY_LEN, SecretKey};
use crate::now::Now;

/// What a node is started with.
#[derive(Debug)]
pub struct Config {
    /// Who we are.
    pub key: SecretKey,
    /// Our address, if it is known; otherwise others tell it.
    pub ip: Option<IpAddr>,
    /// Our port for discovery.
    pub udp_port: u16,
    /// Our port for connections, 0: none.
    pub tcp_port: u16,
    /// Nodes to start from.
    pub bootnodes: Vec<Enode>,
    /// Nodes of an earlier run.
    pub seeds: Vec<Seed>,
    /// Our record of an earlier run.
    pub record: Option<Record>,
}

/// A node that was there at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// It.
    pub enode: Enode,
    /// When it was last known to be there, in seconds since 1970.
    pub seen_unix_s: u64,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// It.
        bytes: &'a [u8],
    },
    /// Something may be due.
    Tick,
    /// Somebody has room for more peers.
    Want,
    /// A gateway or an operator says how we are reached; `ip` is our address as the world sees it.
    Mapped {
        /// The address; none: it is still unknown.
        ip: Option<IpAddr>,
        /// The port for discovery.
        udp_port: u16,
        /// The port for connections.
        tcp_port: u16,
    },
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where.
        to: SocketAddr,
        /// It.
        bytes: Vec<u8>,
    },
    /// This node is there and takes connections.
    Found(Enode),
    /// A lookup that was asked for by [`Node::lookup`] is done.
    Looked {
        /// What [`Node::lookup`] returned.
        id: u64,
        /// The closest nodes, the closest first.
        nodes: Vec<Enode>,
    },
    /// Our own record says something else from now on.
    Moved(Record),
    /// These are worth trying after a restart.
    Persist(Vec<Seed>),
}

/// Counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Datagrams that went.
    pub sent: u64,
    /// Datagrams that were dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Neighbours that were not believed, by reason.
    pub disbelieved: BTreeMap<&'static str, u64>,
    /// Nodes in the table now.
    pub nodes: usize,
    /// Those of them that have answered.
    pub alive: usize,
}

/// One node.
pub struct Node {
    local: Local,
    table: Table,
    gate: Gate,
    /// Whose pong came.
    proven: Proofs,
    /// Whose ping we answered.
    answered: Proofs,
    predictor: Predictor,
    pings: BTreeMap<(IpAddr, NodeId), Ping>,
    requests: BTreeMap<(IpAddr, NodeId), Request>,
    /// No question is given up before this: what arrives need not look through them.
    expire_at: Option<Instant>,
    walk: Walk,
    upkeep: Upkeep,
    outputs: VecDeque<Output>,
    counters: Counters,
    rng: ChaCha20Rng,
}

/// What we say about ourselves.
struct Local {
    key: SecretKey,
    id: NodeId,
    record: Record,
    ip: Option<IpAddr>,
    udp_port: u16,
    tcp_port: u16,
    /// The address was told by somebody who knows, and not by other nodes.
    fixed: bool,
}

/// A ping that waits for its pong.
struct Ping {
    contact: Contact,
    hash: Hash,
    deadline: Instant,
    why: Why,
    tries: u8,
}

/// What happens if no pong comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Nothing: it pinged us, or a lookup wants to ask it.
    Proof,
    /// It is asked once more.
    FirstCheck,
    /// It leaves the table.
    LastCheck,
}

/// A request for a record.
struct Request {
    hash: Hash,
    deadline: Instant,
    tries: u8,
}

impl Node {
    /// A node that knows its bootnodes and the nodes of an earlier run. The seed decides whom it asks and when.
    pub fn new(now: Now, config: Config, seed: [u8; 32]) -> Node {
        let id = config.key.public().node_id();
        let ip = config.ip.filter(|ip| !ip.is_unspecified());
        let place = place(ip, config.udp_port, config.tcp_port);
        let earlier = config.record.filter(|record| record.node_id() == id);
        let record = match earlier {
            // An address that others told then is as good as none now.
            Some(record) => record.moved(&config.key, place),
            None => Record::sign(&config.key, 1, place),
        };
        Node {
            local: Local {
                id,
                record,
                ip,
                udp_port: config.udp_port,
                tcp_port: config.tcp_port,
                fixed: ip.is_some(),
                key: config.key,
            },
            table: Table::new(id),
            gate: Gate::new(now.mono),
            proven: Proofs::new(),
            answered: Proofs::new(),
            predictor: Predictor::new(),
            pings: BTreeMap::new(),
            requests: BTreeMap::new(),
            expire_at: None,
            walk: Walk::new(),
            upkeep: Upkeep::new(now, &config.bootnodes, &config.seeds),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Takes one input. Nothing that comes from outside makes it fail; what is no good is counted.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Datagram { from, bytes } => {
                self.counters.received += 1;
                if let Err(why) = self.datagram(now, canonical(from), bytes) {
                    *self.counters.dropped.entry(why).or_default() += 1;
                }
            }
            Input::Tick => {}
            Input::Want => self.want(now),
            Input::Mapped {
                ip,
                udp_port,
                tcp_port,
            } => self.mapped(ip, udp_port, tcp_port),
        }
        self.expire(now);
        self.look_after(now);
        self.advance(now);
    }

    /// Looks for the nodes that are closest to a key; [`Output::Looked`] has them. None: enough lookups wait already.
    pub fn lookup(&mut self, now: Now, target: [u8; PUBLIC_KEY_LEN]) -> Option<u64> {
        let id = self.walk.queue(target)?;
        self.advance(now);
        Some(id)
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        self.counters.sent += u64::from(matches!(output, Output::Send { .. }));
        Some(output)
    }

    /// When the next [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Instant {
        self.deadlines()
            .chain(self.walk.deadlines())
            .fold(self.upkeep.next_deadline(), Instant::min)
    }

    /// Our own record.
    pub const fn record(&self) -> &Record {
        &self.local.record
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters {
            nodes: self.table.len(),
            alive: self.table.alive(),
            ..self.counters.clone()
        }
    }

    /// The table.
    pub const fn table(&self) -> &Table {
        &self.table
    }

    fn send(&mut self, to: SocketAddr, message: &Message) -> Hash {
        let (bytes, hash) = message.encode(&self.local.key);
        self.outputs.push_back(Output::Send { to, bytes });
        hash
    }

    /// Asks whether a node is there; a ping that is under way is enough.
    fn ping(&mut self, now: Now, contact: Contact, why: Why) {
        if contact.id() == self.local.id || contact.udp().port() == 0 {
            return;
        }
        let at = (contact.ip(), contact.id());
        if let Some(ping) = self.pings.get_mut(&at) {
            if ping.why == Why::Proof {
                ping.why = why;
            }
            return;
        }
        let message = our_ping(
            self.local.endpoint(),
            Endpoint::new(contact.udp(), 0),
            expiration(now),
            self.local.record.seq(),
        );
        let hash = self.send(contact.udp(), &message);
        let deadline = self.deadline(now);
        self.pings.insert(
            at,
            Ping {
                contact,
                hash,
                deadline,
                why,
                tries: 0,
            },
        );
    }

    /// When a question of now is given up.
    fn deadline(&mut self, now: Now) -> Instant {
        let deadline = now.mono + REPLY_TIMEOUT;
        self.expire_at.get_or_insert(deadline);
        deadline
    }

    /// Gives up questions that got no answer.
    fn expire(&mut self, now: Now) {
        if self.expire_at.is_none_or(|at| now.mono < at) {
            return;
        }
        let late = |deadline: Instant| deadline <= now.mono;
        self.requests.retain(|_, request| !late(request.deadline));
        let silent: Vec<(IpAddr, NodeId)> = self
            .pings
            .iter()
            .filter(|(_, ping)| late(ping.deadline))
            .map(|(at, _)| *at)
            .collect();
        for at in silent {
            let Some(ping) = self.pings.remove(&at) else {
                continue;
            };
            self.walk_unproven(now, &ping.contact);
            match ping.why {
                Why::Proof => {}
                Why::FirstCheck => self.ping(now, ping.contact, Why::LastCheck),
                Why::LastCheck => self.table.gone(now.mono, &ping.contact.id()),
            }
        }
        self.expire_at = self.deadlines().min();
    }

    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let pings = self.pings.values().map(|ping| ping.deadline);
        pings.chain(self.requests.values().map(|request| request.deadline))
    }

    /// Pings under way to one address.
    fn pings_to(&self, ip: IpAddr) -> usize {
        self.pings.range((ip, FIRST_ID)..=(ip, LAST_ID)).count()
    }

    fn random(&mut self, below: Duration) -> Duration {
        below.mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }
}

impl Local {
    fn endpoint(&self) -> Endpoint {
        Endpoint {
            ip: self.ip,
            udp: self.udp_port,
            tcp: self.tcp_port,
        }
    }
}

fn place(ip: Option<IpAddr>, udp_port: u16, tcp_port: u16) -> Place {
    let ip = ip.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    Place::new(ip, udp_port, tcp_port)
}

const fn expiration(now: Now) -> u64 {
    now.unix_s() + EXPIRATION.as_secs()
}

#[cfg(test)]
mod tests;
