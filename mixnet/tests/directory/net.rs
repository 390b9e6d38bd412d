//! A network of directories in memory and in virtual time, each with a disk and a clock of its own; with traffic, each has a mix
//! node as well. Nothing here waits or reads a clock.

#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use mixnet::descriptor::{Capabilities, Descriptor};
use mixnet::directory::snapshot::Snapshot;
use mixnet::directory::wire::{Request, Response};
use mixnet::directory::{Config, Directory, Input, Mode, Output, Profile, Status};
use mixnet::epoch::Epochs;
use mixnet::node::{self, ClockOff};
use mixnet::{
    Address, AddressPolicy, Intake, Node, NodeConfig, Now, Object, Packet, PeerKey, Preset,
    Protection, Received, ReplayStore, SecretKey, Topology, Transport,
};

/// Time that a message or a packet takes between two nodes.
pub const LINK: Duration = Duration::from_millis(20);

/// Start of the epoch with number 118,056, and a bit.
pub const START_UNIX_MS: u64 = 118_056 * 4 * 3600 * 1000 + 123;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Role {
    Relay,
    Bridge,
    Client,
}

/// The mix node of a member.
pub struct Mix {
    pub node: Node,
    pub intake: Option<Intake>,
}

pub struct Member {
    pub peer: PeerKey,
    pub role: Role,
    pub directory: Directory,
    pub running: bool,
    /// Its wall clock less the true time.
    pub skew_ms: i64,
    pub group: u8,
    pub topology: Topology,
    pub clock_off: Option<ClockOff>,
    pub sent_bytes: u64,
    pub mix: Option<Mix>,
    keys: BTreeMap<u32, SecretKey>,
    saved: Option<Vec<u8>>,
}

enum Mail {
    Ask(usize, u64, usize, Request),
    Answer(usize, u64, Response),
    Failed(usize, u64),
    Packet(usize, PeerKey, Packet),
}

/// What becomes of an answer on its way: for liars.
pub type Tamper = Box<dyn FnMut(usize, Response) -> Response>;

pub struct Net {
    start: Instant,
    pub now: Duration,
    pub epochs: Epochs,
    pub members: Vec<Member>,
    mail: BTreeMap<(Duration, u64), Mail>,
    tickets: BTreeMap<u64, (usize, u64)>,
    count: u64,
    pub tamper: Tamper,
    pub delivered: Vec<(usize, Object)>,
    /// Epochs that each member's node was given, with the time.
    pub shown: Vec<(usize, u32)>,
    /// Whether nodes that join have a mix node.
    pub traffic: bool,
    /// Where a restarted node may begin, if it has lost everything.
    seeds: Vec<Descriptor>,
}

impl Net {
    pub fn new(roles: &[Role], epochs: Epochs, traffic: bool) -> Self {
        let mut net = Self {
            start: Instant::now(),
            now: Duration::ZERO,
            epochs,
            members: Vec::new(),
            mail: BTreeMap::new(),
            tickets: BTreeMap::new(),
            count: 0,
            tamper: Box::new(|_, response| response),
            delivered: Vec::new(),
            shown: Vec::new(),
            traffic,
            seeds: Vec::new(),
        };
        for role in roles {
            net.join(*role);
        }
        net
    }

    /// One more node, which knows the first one's descriptor and nothing else.
    pub fn join(&mut self, role: Role) -> usize {
        self.join_with(role, 0)
    }

    /// As [`Net::join`], with a wall clock that is wrong.
    pub fn join_with(&mut self, role: Role, skew_ms: i64) -> usize {
        let n = self.members.len();
        let directory = self.directory(n, role, BTreeMap::new(), None, skew_ms);
        let peer = PeerKey::from_bytes(public(n)).unwrap();
        let mix = self.traffic.then(|| self.mix(n, role, peer));
        let member = Member {
            peer,
            role,
            directory,
            running: true,
            skew_ms,
            group: 0,
            topology: Topology::default(),
            clock_off: None,
            sent_bytes: 0,
            mix,
            keys: BTreeMap::new(),
            saved: None,
        };
        self.members.push(member);
        for other in 0..n {
            self.meet(n, other);
        }
        self.drain(n);
        if self.seeds.is_empty() {
            let seed = self.members[0].directory.own_descriptor().cloned();
            self.seeds.extend(seed);
        }
        n
    }

    fn directory(
        &self,
        n: usize,
        role: Role,
        keys: BTreeMap<u32, SecretKey>,
        snapshot: Option<Snapshot>,
        skew_ms: i64,
    ) -> Directory {
        let config = Config {
            mode: match role {
                Role::Relay | Role::Bridge => Mode::Full,
                Role::Client => Mode::Light,
            },
            epochs: self.epochs,
            policy: AddressPolicy {
                allow_private: true,
            },
            identity: identity(n).into(),
            profile: profile(n, role),
            keys,
            seeds: self.seeds.clone(),
            snapshot,
            seed: [n as u8 + 1; 32],
        };
        Directory::new(config, self.time(skew_ms)).unwrap()
    }

    fn mix(&self, n: usize, role: Role, peer: PeerKey) -> Mix {
        let preset = match role {
            Role::Relay => Preset::RELAY,
            Role::Bridge | Role::Client => Preset::FAST,
        };
        let config = NodeConfig {
            key: SecretKey::from_bytes([1; 32]).public(),
            peer,
            address: match role {
                Role::Client => Address::NONE,
                Role::Relay | Role::Bridge => {
                    Address::direct(*at(n).ip(), Transport::Tcp, at(n).port(), peer)
                }
            },
            relay: role == Role::Relay,
            kept_max: mixnet::limits::CONNECTIONS_KEPT_MAX,
            preset,
            protection: Protection::of(&preset),
            topology: Topology::default(),
            seed: [n as u8 + 100; 32],
        };
        let node = Node::new(config, self.time(0));
        Mix { node, intake: None }
    }

    fn meet(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            let (now, peer) = (self.now_of(one), self.members[other].peer);
            if let Some(mix) = &mut self.members[one].mix {
                mix.node.handle(now, node::Input::NeighbourUp(peer));
            }
        }
    }

    fn time(&self, skew_ms: i64) -> Now {
        let true_ms = START_UNIX_MS + self.now.as_millis() as u64;
        Now {
            mono: self.start + self.now,
            unix_ms: true_ms.saturating_add_signed(skew_ms),
        }
    }

    pub fn now_of(&self, n: usize) -> Now {
        self.time(self.members[n].skew_ms)
    }

    pub fn epoch(&self) -> u32 {
        self.epochs.at(self.time(0).unix_ms)
    }

    pub fn status(&self, n: usize) -> Status {
        self.members[n].directory.status(self.now_of(n))
    }

    pub fn stop(&mut self, n: usize) {
        let now = self.now_of(n);
        let member = &mut self.members[n];
        member.running = false;
        // A disk that is behind: what was saved last, or nothing.
        if member.saved.is_none() {
            member.saved = Some(member.directory.snapshot().encode());
        }
        let _ = now;
    }

    /// The node is back with what its disk holds; with `forget`, its file of known nodes is gone.
    pub fn restart(&mut self, n: usize, forget: bool) {
        let (role, skew) = (self.members[n].role, self.members[n].skew_ms);
        let keys = self.members[n].keys.clone();
        let saved = self.members[n].saved.take().filter(|_| !forget);
        let snapshot = saved.map(|bytes| Snapshot::decode(&bytes).unwrap());
        self.members[n].directory = self.directory(n, role, keys, snapshot, skew);
        self.members[n].running = true;
        self.drain(n);
    }

    /// The newest snapshot of a member's disk, as bytes.
    pub fn save_now(&mut self, n: usize) {
        let bytes = self.members[n].directory.snapshot().encode();
        self.members[n].saved = Some(bytes);
    }

    pub fn input(&mut self, n: usize, input: Input) {
        let now = self.now_of(n);
        self.members[n].directory.handle(now, input);
        self.drain(n);
    }

    fn post(&mut self, after: Duration, mail: Mail) {
        self.count += 1;
        self.mail.insert((self.now + after, self.count), mail);
    }

    fn position(&self, peer: &PeerKey) -> Option<usize> {
        self.members.iter().position(|member| member.peer == *peer)
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.members[n].directory.poll_output() {
            self.output(n, output);
        }
        self.drain_mix(n);
    }

    fn output(&mut self, n: usize, output: Output) {
        let now = self.now_of(n);
        match output {
            Output::Ask { id, to, request } => {
                self.members[n].sent_bytes += request.encode().len() as u64 + 4;
                match self.position(&to.peer) {
                    Some(other) => self.post(LINK, Mail::Ask(n, id, other, request)),
                    None => self.post(LINK, Mail::Failed(n, id)),
                }
            }
            Output::Answer { id, response } => {
                let Some((asker, ask)) = self.tickets.remove(&id) else {
                    return;
                };
                self.members[n].sent_bytes += response.encode().len() as u64 + 4;
                let response = (self.tamper)(n, response);
                self.post(LINK, Mail::Answer(asker, ask, response));
            }
            Output::KeepKey { epoch, key } => {
                self.members[n].keys.insert(epoch, key);
                self.members[n].directory.handle(now, Input::KeyKept(epoch));
            }
            Output::InstallKey(key) => {
                let id = key.public();
                if let Some(mix) = &mut self.members[n].mix {
                    let store = ReplayStore::of(&key);
                    match &mut mix.intake {
                        Some(intake) => drop(intake.install(key, store)),
                        None => mix.intake = Some(Intake::new(key, store)),
                    }
                    mix.node.handle(now, node::Input::Key(id));
                }
            }
            Output::RetireKey { epoch, key } => {
                self.members[n].keys.remove(&epoch);
                if let Some(intake) = self.members[n].mix.as_mut().and_then(|m| m.intake.as_mut()) {
                    intake.retire(&key);
                }
            }
            Output::Topology(topology) => {
                if let Some(term) = topology.term() {
                    self.shown.push((n, term.epoch));
                }
                if let Some(mix) = &mut self.members[n].mix {
                    mix.node
                        .handle(now, node::Input::Topology(topology.clone()));
                }
                self.members[n].topology = topology;
            }
            Output::ClockOff(off) => {
                self.members[n].clock_off = off;
                if let Some(mix) = &mut self.members[n].mix {
                    mix.node.handle(now, node::Input::ClockOff(off));
                }
            }
            Output::Save => self.save_now(n),
        }
    }

    fn drain_mix(&mut self, n: usize) {
        loop {
            let Some(mix) = &mut self.members[n].mix else {
                return;
            };
            let Some(output) = mix.node.poll_output() else {
                return;
            };
            match output {
                node::Output::Transmit { to, packet, .. } => {
                    let from = self.members[n].peer;
                    if let Some(other) = self.position(&to) {
                        self.post(LINK, Mail::Packet(other, from, packet));
                    }
                }
                node::Output::Deliver { object, .. } => self.delivered.push((n, object)),
                node::Output::Relays { .. }
                | node::Output::SurbsStale
                | node::Output::Notice(_)
                | node::Output::Mailbox(_)
                | node::Output::Serve(_) => {}
            }
        }
    }

    fn connected(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.members[a], &self.members[b]);
        a.running && b.running && a.group == b.group
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Ask(from, ask, to, request) => {
                if !self.connected(from, to) {
                    return self.post(LINK, Mail::Failed(from, ask));
                }
                self.count += 1;
                let ticket = self.count;
                self.tickets.insert(ticket, (from, ask));
                let peer = self.members[from].peer;
                let asked = Input::Request {
                    from: peer,
                    id: ticket,
                    request,
                };
                self.input(to, asked);
            }
            Mail::Answer(to, id, response) => {
                if self.members[to].running {
                    self.input(to, Input::Response { id, response });
                }
            }
            Mail::Failed(to, id) => {
                if self.members[to].running {
                    self.input(to, Input::Failed { id });
                }
            }
            Mail::Packet(to, from, packet) => self.packet(to, from, packet),
        }
    }

    fn packet(&mut self, to: usize, from: PeerKey, packet: Packet) {
        let now = self.now_of(to);
        if let Some(mix) = &mut self.members[to].mix
            && let Some(intake) = &mut mix.intake
        {
            let received = Received {
                from,
                at: now.mono,
                packet,
            };
            let batch = intake.take_one(received);
            mix.node.handle(now, node::Input::Peeled(batch));
            self.drain_mix(to);
        }
    }

    fn deadline(&self, n: usize) -> Option<Duration> {
        let member = &self.members[n];
        if !member.running {
            return None;
        }
        let mix = member.mix.as_ref().and_then(|mix| mix.node.next_deadline());
        let next = mix
            .into_iter()
            .fold(member.directory.next_deadline(), Instant::min);
        Some(next.saturating_duration_since(self.start))
    }

    /// Runs for a time, or until `done`.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let due = (0..self.members.len()).filter_map(|n| self.deadline(n).map(|at| (at, n)));
            let (timer, first) = due.min().unwrap_or((limit, 0));
            let arrival = self.mail.first_key_value().map(|((at, _), _)| *at);
            let next = arrival.map_or(timer, |at| at.min(timer));
            if next > limit {
                self.now = limit;
                return done(self);
            }
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                if let Some((_, mail)) = self.mail.pop_first() {
                    self.deliver(mail);
                }
                continue;
            }
            let now = self.now_of(first);
            if let Some(mix) = &mut self.members[first].mix {
                mix.node.handle(now, node::Input::Tick);
            }
            self.input(first, Input::Tick);
        }
        true
    }

    pub fn run(&mut self, time: Duration) {
        let limit = self.now + time;
        self.run_until(limit, |_| false);
    }

    /// Runs to so much after the start of an epoch, counted from now; 0: this one.
    pub fn run_to(&mut self, epochs_on: u32, after: Duration) {
        let at = self.epochs.start_ms(self.epoch() + epochs_on) - START_UNIX_MS;
        let limit = Duration::from_millis(at) + after;
        self.run_until(limit, |_| false);
    }

    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.members.len()).filter(|n| self.members[*n].running)
    }

    /// The roots that the running members have for this epoch.
    pub fn roots(&self) -> BTreeSet<Option<[u8; 32]>> {
        self.running()
            .map(|n| self.status(n).root.map(|(_, root)| root))
            .collect()
    }

    /// Whether everybody that runs has one root and a set of so many nodes.
    pub fn agrees_on(&self, active: usize) -> bool {
        let one = self.roots().len() == 1;
        one && self.running().all(|n| self.status(n).active == active)
    }
}

pub fn profile(n: usize, role: Role) -> Profile {
    Profile {
        address: (role != Role::Client).then(|| at(n)),
        transport: Transport::Tcp,
        places: Vec::new(),
        capabilities: Capabilities {
            relay: role == Role::Relay,
            bridge: role == Role::Bridge,
            mailbox: false,
        },
        capacity: 100,
        gateway_key: (role == Role::Bridge).then_some([1; 32]),
    }
}

fn at(n: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000 + n as u16)
}

pub fn identity(n: usize) -> [u8; 32] {
    let mut secret = [0x41; 32];
    secret[..4].copy_from_slice(&(n as u32 + 1).to_be_bytes());
    secret
}

pub fn public(n: usize) -> [u8; 33] {
    secp256k1::SecretKey::from_secret_bytes(identity(n))
        .unwrap()
        .public_key()
        .serialize()
}
