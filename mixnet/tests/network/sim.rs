//! A network of nodes in memory, in virtual time: every node is driven by its own deadlines, and a
//! packet takes [`LINK`] from one to the next. Nothing here waits or reads a clock.

#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use mixnet::mailbox::{Event, Request};
use mixnet::node::{Input, Output};
use mixnet::{
    Address, AddressPolicy, Arrival, Capabilities, Descriptor, Intake, Node, NodeConfig, Notice,
    Now, Object, Packet, PacketKind, PeerKey, Preset, Protection, Received, ReplayStore, SecretKey,
    Statement, Surb, Topology, Transport,
};

/// Time that a packet takes between two nodes.
pub const LINK: Duration = Duration::from_millis(20);

/// A role in the network.
#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    Relay,
    Service,
    /// Not in the topology: nobody can dial it.
    Client,
}

pub struct Member {
    pub peer: PeerKey,
    pub node: Node,
    pub intake: Intake,
    pub role: Role,
    pub running: bool,
}

/// Decides by receiver and sender whether a packet arrives.
pub type Filter = Box<dyn FnMut(usize, &PeerKey) -> bool>;

/// One packet on a wire.
pub struct Wire {
    pub at: Duration,
    pub from: usize,
    pub to: PeerKey,
    pub kind: PacketKind,
}

pub struct Delivery {
    pub to: usize,
    pub object: Object,
    pub arrival: Arrival,
}

pub struct World {
    start: Instant,
    pub now: Duration,
    pub members: Vec<Member>,
    /// The descriptors of those who have one.
    pub network: Vec<Descriptor>,
    arrivals: BTreeMap<(Duration, u64), (usize, PeerKey, Packet)>,
    sent: u64,
    pub wires: Vec<Wire>,
    pub deliveries: Vec<Delivery>,
    /// Usable relays as each member last reported them.
    pub usable: BTreeMap<usize, usize>,
    /// Members that reported stale reply blocks.
    pub stale: BTreeSet<usize>,
    /// What members heard of mailboxes.
    pub mail: Vec<(usize, Event)>,
    /// What the mailboxes among the members are asked.
    pub requests: Vec<(usize, Request)>,
    /// What members hand over, if it is to be kept.
    pub tap: Option<Vec<(PacketKind, Packet)>>,
    /// What members told their users.
    pub notices: Vec<(Duration, usize, Notice)>,
    /// A filter of what arrives: returns false to lose a packet.
    pub keep: Filter,
}

impl World {
    pub fn new(relays: usize, services: usize, clients: usize, preset: Preset, seed: u8) -> Self {
        let mut world = Self::protected(
            [relays, services, clients],
            preset,
            Protection::of(&preset),
            seed,
        );
        for n in 0..world.members.len() {
            world.input(n, Input::Foreground(true));
        }
        world
    }

    /// So many relays, services and clients. Windows are open for the first step only.
    pub fn protected(
        [relays, services, clients]: [usize; 3],
        preset: Preset,
        protection: Protection,
        seed: u8,
    ) -> Self {
        let roles = std::iter::repeat_n(Role::Relay, relays)
            .chain(std::iter::repeat_n(Role::Service, services))
            .chain(std::iter::repeat_n(Role::Client, clients));
        let mut plans = Vec::new();
        for (n, role) in roles.enumerate() {
            let mut identity = [seed; 32];
            identity[..2].copy_from_slice(&(n as u16 + 1).to_be_bytes());
            let mut key = [seed ^ 0xff; 32];
            key[1] = n as u8;
            let key = SecretKey::from_bytes(key);
            let statement = Statement {
                address: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000 + n as u16)),
                capabilities: Capabilities {
                    relay: role == Role::Relay,
                    bridge: role == Role::Service,
                    mailbox: role == Role::Service,
                },
                gateway_key: (role == Role::Service).then_some([1; 32]),
                ..Statement::new(0, key.public())
            };
            let descriptor = Descriptor::sign(statement, &identity).unwrap();
            plans.push((role, key, descriptor));
        }
        let known = plans.iter().filter(|(role, ..)| *role != Role::Client);
        let known = known.map(|(_, _, descriptor)| descriptor.clone());
        let network: Vec<Descriptor> = known.collect();
        let policy = AddressPolicy {
            allow_private: true,
        };
        let topology = Topology::new(network.clone(), policy).unwrap();
        let start = Instant::now();
        let mut members = Vec::new();
        for (n, (role, key, descriptor)) in plans.into_iter().enumerate() {
            let mut node_seed = [seed; 32];
            node_seed[31] = n as u8;
            let at = descriptor.address().unwrap();
            let peer = descriptor.peer();
            let store = ReplayStore::of(&key);
            let config = NodeConfig {
                key: key.public(),
                peer,
                address: match role {
                    Role::Client => Address::NONE,
                    Role::Relay | Role::Service => {
                        Address::direct(*at.ip(), Transport::Tcp, at.port(), peer)
                    }
                },
                relay: role == Role::Relay,
                kept_max: mixnet::limits::CONNECTIONS_KEPT_MAX,
                preset: if role == Role::Relay {
                    Preset::RELAY
                } else {
                    preset
                },
                protection,
                topology: topology.clone(),
                seed: node_seed,
            };
            let node = Node::new(config, at_time(start, Duration::ZERO));
            members.push(Member {
                peer,
                node,
                intake: Intake::new(key, store),
                role,
                running: true,
            });
        }
        let mut world = Self {
            start,
            now: Duration::ZERO,
            members,
            network,
            arrivals: BTreeMap::new(),
            sent: 0,
            wires: Vec::new(),
            deliveries: Vec::new(),
            usable: BTreeMap::new(),
            stale: BTreeSet::new(),
            mail: Vec::new(),
            requests: Vec::new(),
            tap: None,
            notices: Vec::new(),
            keep: Box::new(|_, _| true),
        };
        for n in 0..world.members.len() {
            world.connect(n);
        }
        world
    }

    /// Every running relay and `member` see each other.
    fn connect(&mut self, member: usize) {
        for other in self.others(member) {
            self.input(member, Input::NeighbourUp(self.members[other].peer));
            self.input(other, Input::NeighbourUp(self.members[member].peer));
        }
    }

    fn others(&self, member: usize) -> Vec<usize> {
        let running = |n: &usize| *n != member && self.members[*n].running;
        (0..self.members.len()).filter(running).collect()
    }

    /// `member` disappears: connections close, dials fail, what is under way to it is lost.
    pub fn kill(&mut self, member: usize) {
        self.members[member].running = false;
        let peer = self.members[member].peer;
        for other in self.others(member) {
            self.input(other, Input::NeighbourDown(peer));
            self.input(other, Input::Unreachable(peer));
        }
    }

    /// `member` is back, with what it knew.
    pub fn revive(&mut self, member: usize) {
        self.members[member].running = true;
        self.connect(member);
    }

    pub fn input(&mut self, member: usize, input: Input) {
        let now = self.time();
        self.members[member].node.handle(now, input);
        self.drain(member);
    }

    /// A packet reaches `member`.
    pub fn packet(&mut self, member: usize, from: PeerKey, packet: Packet) {
        let at = self.time().mono;
        let received = Received { from, at, packet };
        let batch = self.members[member].intake.take_one(received);
        self.input(member, Input::Peeled(batch));
    }

    pub fn time(&self) -> Now {
        at_time(self.start, self.now)
    }

    fn drain(&mut self, member: usize) {
        while let Some(output) = self.members[member].node.poll_output() {
            match output {
                Output::Transmit { to, kind, packet } => {
                    self.wires.push(Wire {
                        at: self.now,
                        from: member,
                        to,
                        kind,
                    });
                    if let Some(tap) = &mut self.tap {
                        tap.push((kind, packet.clone()));
                    }
                    let Some(next) = self.members.iter().position(|other| other.peer == to) else {
                        continue;
                    };
                    self.sent += 1;
                    let from = self.members[member].peer;
                    let key = (self.now + LINK, self.sent);
                    self.arrivals.insert(key, (next, from, packet));
                }
                Output::Deliver { object, arrival } => self.deliveries.push(Delivery {
                    to: member,
                    object,
                    arrival,
                }),
                Output::Relays { usable, .. } => {
                    self.usable.insert(member, usable);
                }
                Output::SurbsStale => {
                    self.stale.insert(member);
                }
                Output::Mailbox(event) => self.mail.push((member, event)),
                Output::Serve(request) => self.requests.push((member, request)),
                Output::Notice(notice) => self.notices.push((self.now, member, notice)),
            }
        }
    }

    /// Runs until `done`, at most to `limit`; whether it was done.
    pub fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let running = self.members.iter().filter(|member| member.running);
            let deadlines = running.filter_map(|member| member.node.next_deadline());
            let deadline = deadlines
                .min()
                .map(|at| at.saturating_duration_since(self.start));
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = deadline.into_iter().chain(arrival).min() else {
                return false;
            };
            if next > limit {
                self.now = limit;
                return done(self);
            }
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                let Some((_, (to, from, packet))) = self.arrivals.pop_first() else {
                    continue;
                };
                if self.members[to].running && (self.keep)(to, &from) {
                    self.packet(to, from, packet);
                }
                continue;
            }
            for n in 0..self.members.len() {
                let due = self.start + self.now;
                let member = &self.members[n];
                if member.running && member.node.next_deadline().is_some_and(|at| at <= due) {
                    self.input(n, Input::Tick);
                }
            }
        }
        true
    }

    /// Reply blocks that end at `member`.
    pub fn blocks(&mut self, member: usize, count: usize) -> Vec<Surb> {
        let now = self.time();
        self.members[member].node.make_surbs(now, count).unwrap()
    }

    /// The first member with `role`.
    pub fn first(&self, role: Role) -> usize {
        self.members
            .iter()
            .position(|member| member.role == role)
            .unwrap()
    }

    pub fn peer(&self, member: usize) -> PeerKey {
        self.members[member].peer
    }

    /// The objects that `member` got.
    pub fn delivered_to(&self, member: usize) -> impl Iterator<Item = &Delivery> {
        self.deliveries
            .iter()
            .filter(move |delivery| delivery.to == member)
    }
}

fn at_time(start: Instant, now: Duration) -> Now {
    Now {
        mono: start + now,
        unix_ms: 1_700_000_000_000 + now.as_millis() as u64,
    }
}

/// An object of `len` bytes that are easy to tell from others.
pub fn object(kind: u8, len: usize) -> Object {
    let bytes = (0..len)
        .map(|i| (i * 7 + len + usize::from(kind)) as u8)
        .collect();
    Object {
        kind,
        tag: [kind; 16],
        bytes,
    }
}
