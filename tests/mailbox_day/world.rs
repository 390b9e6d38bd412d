//! Relays, mailboxes, a bridge and an edge in memory: the cores of both crates, joined as `src/link/mixnet.rs` joins them, on a
//! clock that jumps from one deadline to the next.

#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::engine::{self, Engine};
use bridge::gateway::client::{self, Client};
use bridge::gateway::seal::ExchangeSecret;
use bridge::port::{
    BridgeId, BridgeInfo, Envelope, EnvelopeHash, Inspect as _, Kind, Prefix, ReplyBlock, Tag,
};
use bridge::store::{MemoryStore, Store as _};
use ferry::link::legacy::Reader;
use mixnet::fragment::{FRAME_FRAGMENT_MAX, Object};
use mixnet::mailbox::{
    Answer, CELL_FRAGMENT_MAX, CELL_LEN, Cell, ChainKey, Event, MemoryCells, Server, ServerConfig,
};
use mixnet::node::{Input, Output};
use mixnet::send_queue::Urgency;
use mixnet::{
    Address, AddressPolicy, Arrival, Capabilities, Descriptor, Intake, Node, NodeConfig, Now,
    Packet, PeerKey, Preset, Protection, Received, ReplayStore, SecretKey, Statement, Surb,
    Topology, Transport,
};

/// What a mailbox does wrong.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Dead,
    Lying,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Relay,
    Mailbox,
    Bridge,
    Edge,
}

struct Member {
    part: Part,
    peer: PeerKey,
    key: [u8; 32],
    address: SocketAddrV4,
    node: Node,
    intake: Intake,
    is_up: bool,
    server: Option<Server<MemoryCells>>,
    fault: Fault,
}

pub struct World {
    start: Instant,
    pub now: Duration,
    topology: Topology,
    members: Vec<Member>,
    arrivals: BTreeMap<(Duration, u64), (usize, PeerKey, Packet)>,
    sent: u64,
    lives: u8,
    info: BridgeInfo,
    pub bridge: Option<Engine>,
    bridge_store: Arc<MemoryStore>,
    pub edge: Option<Client>,
    edge_store: Arc<MemoryStore>,
    pub delivered: BTreeMap<EnvelopeHash, u32>,
}

/// Time that a packet takes between two nodes.
const LINK: Duration = Duration::from_millis(20);
const START_MS: u64 = 1_600_000_000_000;
const GATEWAY: [u8; 32] = [7; 32];

/// An envelope of a status client, with a content of its own.
pub fn envelope(n: u32, unix: u32) -> Envelope {
    let mut data = vec![0x5a; 1_100];
    data[..4].copy_from_slice(&n.to_be_bytes());
    let topic = legacy::shh::Topic::new([0xe1, 2, 3, 4]);
    let draft = legacy::shh::Draft::new(unix + 15, 15, topic, &data);
    let nonce = draft
        .canonical_search(0.002)
        .run(1 << 22, || false)
        .unwrap();
    let rlp = draft.finish(nonce).raw().clone();
    let facts = Reader.inspect(&rlp).unwrap();
    Envelope { rlp, facts }
}

impl World {
    pub fn new(relays: usize, mailboxes: usize, seed: u8) -> Self {
        let parts = std::iter::repeat_n(Part::Relay, relays)
            .chain(std::iter::repeat_n(Part::Mailbox, mailboxes))
            .chain([Part::Bridge, Part::Edge]);
        let mut plans = Vec::new();
        for (n, part) in (0u8..).zip(parts) {
            let (mut identity, mut key) = ([seed; 32], [seed ^ 0xff; 32]);
            (identity[0], key[1]) = (n + 1, n);
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4_000 + u16::from(n));
            let statement = Statement {
                address: Some(address),
                capabilities: Capabilities {
                    relay: part == Part::Relay,
                    bridge: part == Part::Bridge,
                    mailbox: part == Part::Mailbox,
                },
                gateway_key: (part == Part::Bridge)
                    .then(|| *ExchangeSecret::from_bytes(GATEWAY).public().bytes()),
                ..Statement::new(0, SecretKey::from_bytes(key).public())
            };
            let descriptor = Descriptor::sign(statement, &identity).unwrap();
            plans.push((part, key, address, descriptor));
        }
        let known = plans.iter().filter(|(part, ..)| *part != Part::Edge);
        let known = known.map(|(.., descriptor)| descriptor.clone()).collect();
        let policy = AddressPolicy {
            allow_private: true,
        };
        let topology = Topology::new(known, policy).unwrap();
        let start = Instant::now();
        let bridge = &plans[relays + mailboxes].3;
        let info = BridgeInfo {
            id: BridgeId(*bridge.peer().as_bytes()),
            gateway_key: bridge.gateway_key().unwrap(),
        };
        let members = plans
            .into_iter()
            .map(|(part, key, address, descriptor)| {
                let server = (part == Part::Mailbox).then(|| {
                    let config = ServerConfig::default();
                    Server::open(config, MemoryCells::default(), key).unwrap()
                });
                let peer = descriptor.peer();
                let at = at_time(start, Duration::ZERO);
                Member {
                    part,
                    peer,
                    key,
                    address,
                    node: node(part, peer, key, address, &topology, preset(part), at),
                    intake: intake(key),
                    is_up: part != Part::Edge,
                    server,
                    fault: Fault::None,
                }
            })
            .collect();
        let mut world = Self {
            start,
            now: Duration::ZERO,
            topology,
            members,
            arrivals: BTreeMap::new(),
            sent: 0,
            lives: 0,
            info,
            bridge: None,
            bridge_store: Arc::default(),
            edge: None,
            edge_store: Arc::default(),
            delivered: BTreeMap::new(),
        };
        let engine = engine::Config {
            id: info.id,
            gateway_secret: ExchangeSecret::from_bytes(GATEWAY),
            inspect: Arc::new(Reader),
            seed: [1; 32],
            frame_capacity: FRAME_FRAGMENT_MAX,
            retry: engine::RETRY,
            reseal: false,
            mailboxes: Some(engine::Mailboxes {
                box_capacity: CELL_FRAGMENT_MAX,
                absent_after: Duration::from_secs(300),
            }),
        };
        let now = world.bridge_now();
        world.bridge = Some(Engine::open(engine, world.bridge_store.clone(), now).unwrap());
        for member in 0..world.members.len() {
            if world.members[member].is_up {
                world.connect(member);
            }
        }
        world.start_edge(Preset::FAST);
        world
    }

    fn find(&self, part: Part) -> usize {
        self.members
            .iter()
            .position(|member| member.part == part)
            .unwrap()
    }

    /// Every node that is up and `member` see each other.
    fn connect(&mut self, member: usize) {
        let own = self.members[member].peer;
        for other in 0..self.members.len() {
            if other != member && self.members[other].is_up {
                let peer = self.members[other].peer;
                self.input(member, Input::NeighbourUp(peer));
                self.input(other, Input::NeighbourUp(own));
            }
        }
    }

    fn stop(&mut self, member: usize) {
        self.members[member].is_up = false;
        let peer = self.members[member].peer;
        for other in 0..self.members.len() {
            if self.members[other].is_up {
                self.input(other, Input::NeighbourDown(peer));
                self.input(other, Input::Unreachable(peer));
            }
        }
    }

    /// The process of the edge ends; its disk stays.
    pub fn stop_edge(&mut self) {
        self.edge = None;
        self.stop(self.find(Part::Edge));
    }

    pub fn stop_bridge(&mut self) {
        self.bridge = None;
        self.stop(self.find(Part::Bridge));
    }

    /// A new process on the same disk.
    pub fn start_edge(&mut self, preset: Preset) {
        let (at, now) = (self.find(Part::Edge), self.time());
        self.lives += 1;
        let lives = self.lives;
        let topology = self.topology.clone();
        let member = &mut self.members[at];
        let mut seed = member.key;
        seed[2] = lives;
        member.node = node(
            member.part,
            member.peer,
            member.key,
            member.address,
            &topology,
            preset,
            now,
        );
        member.intake = intake(member.key);
        member.is_up = true;
        self.connect(at);
        let inspect = Arc::new(Reader);
        let config = client::Config::new(vec![self.info], inspect, seed, FRAME_FRAGMENT_MAX);
        let edge = Client::open(config, self.edge_store.clone(), self.bridge_now()).unwrap();
        self.edge = Some(edge);
        self.drain_edge();
        let wanted = Prefix::of_topic([0xe1, 0, 0, 0], 8).unwrap();
        self.tell_edge(client::Input::Interests(vec![wanted]));
    }

    /// What is wrong with each mailbox from now on.
    pub fn faults(&mut self, faults: &[Fault]) {
        let mailboxes: Vec<usize> = (0..self.members.len())
            .filter(|member| self.members[*member].part == Part::Mailbox)
            .collect();
        assert_eq!(mailboxes.len(), faults.len());
        for (member, fault) in mailboxes.into_iter().zip(faults) {
            self.members[member].fault = *fault;
            if *fault == Fault::Dead {
                self.stop(member);
            }
        }
    }

    pub fn whisper_says(&mut self, envelope: &Envelope) {
        self.tell_bridge(engine::Input::Envelope(envelope.clone()));
    }

    pub fn edge_node_status(&self) -> mixnet::node::NodeStatus {
        self.members[self.find(Part::Edge)].node.status()
    }

    pub fn unix(&self) -> u32 {
        self.bridge_now().unix()
    }

    fn time(&self) -> Now {
        at_time(self.start, self.now)
    }

    fn bridge_now(&self) -> bridge::port::Now {
        let now = self.time();
        bridge::port::Now {
            mono: now.mono,
            unix_ms: now.unix_ms,
        }
    }

    /// Runs until `done`, at most to `limit`; whether it was done.
    pub fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = self.next_deadline().into_iter().chain(arrival).min() else {
                return false;
            };
            if next > limit {
                self.now = limit;
                return done(self);
            }
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                let (_, (to, from, packet)) = self.arrivals.pop_first().unwrap();
                if self.members[to].is_up {
                    let at = self.time().mono;
                    let received = Received { from, at, packet };
                    let batch = self.members[to].intake.take_one(received);
                    self.input(to, Input::Peeled(batch));
                }
                continue;
            }
            self.tick();
        }
        true
    }

    fn next_deadline(&self) -> Option<Duration> {
        let now = self.bridge_now();
        let nodes = self.members.iter().filter(|member| member.is_up);
        nodes
            .filter_map(|member| member.node.next_deadline())
            .chain(self.bridge.as_ref().and_then(|it| it.next_deadline(now)))
            .chain(self.edge.as_ref().and_then(|it| it.next_deadline(now)))
            .min()
            .map(|at| at.saturating_duration_since(self.start))
    }

    fn tick(&mut self) {
        let due = self.start + self.now;
        for n in 0..self.members.len() {
            let member = &self.members[n];
            if member.is_up && member.node.next_deadline().is_some_and(|at| at <= due) {
                self.input(n, Input::Tick);
            }
        }
        let now = self.bridge_now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= due);
        if is_due(self.bridge.as_ref().and_then(|it| it.next_deadline(now))) {
            self.tell_bridge(engine::Input::Tick);
        }
        if is_due(self.edge.as_ref().and_then(|it| it.next_deadline(now))) {
            self.tell_edge(client::Input::Tick);
        }
    }

    fn input(&mut self, member: usize, input: Input) {
        let now = self.time();
        self.members[member].node.handle(now, input);
        self.drain(member);
    }

    fn drain(&mut self, member: usize) {
        while let Some(output) = self.members[member].node.poll_output() {
            match output {
                Output::Transmit { to, packet, .. } => {
                    if let Some(next) = self.members.iter().position(|other| other.peer == to) {
                        self.sent += 1;
                        let from = self.members[member].peer;
                        self.arrivals
                            .insert((self.now + LINK, self.sent), (next, from, packet));
                    }
                }
                Output::Deliver { object, arrival } => self.object(member, object, arrival),
                Output::Mailbox(event) => self.mail(event),
                Output::Serve(request) => self.serve(member, request),
                Output::SurbsStale if self.members[member].part == Part::Edge => {
                    self.tell_edge(client::Input::BlocksStale);
                }
                Output::SurbsStale | Output::Relays { .. } | Output::Notice(_) => {}
            }
        }
    }

    fn object(&mut self, member: usize, object: Object, arrival: Arrival) {
        let Some(kind) = Kind::from_byte(object.kind) else {
            return;
        };
        let object = bridge::port::Object {
            kind,
            tag: Tag::new(object.tag),
            bytes: object.bytes,
        };
        match (self.members[member].part, arrival) {
            (Part::Bridge, Arrival::Forward) => self.tell_bridge(engine::Input::Object(object)),
            (Part::Edge, Arrival::Reply) => self.tell_edge(client::Input::Object(object)),
            (_, _) => {}
        }
    }

    fn mail(&mut self, event: Event) {
        match event {
            Event::Found {
                label,
                next,
                object: payload,
            } => self.tell_edge(client::Input::Found {
                label,
                next,
                payload,
            }),
            Event::Skipped { label, next } => {
                self.tell_edge(client::Input::Skipped { label, next });
            }
            Event::Left { label, first } => {
                let tag = Tag::new(label);
                self.tell_bridge(engine::Input::Left { tag, first });
            }
            Event::Lost { label, first } => {
                let tag = Tag::new(label);
                self.tell_bridge(engine::Input::NotLeft { tag, first });
            }
        }
    }

    fn serve(&mut self, member: usize, request: mixnet::mailbox::Request) {
        let now = self.time();
        let member = &mut self.members[member];
        let server = member.server.as_mut().unwrap();
        let mut answers = server.serve(now.unix_ms / 1000, vec![request]).unwrap();
        if member.fault == Fault::Lying {
            for (_, answer) in &mut answers {
                if let Answer::Get { place, cell } = answer {
                    (*place, *cell) = (Some(0), Cell::from_slice(&[9; CELL_LEN]).unwrap());
                }
            }
        }
        member.node.answer(now, answers);
    }

    fn tell_bridge(&mut self, input: engine::Input) {
        let now = self.bridge_now();
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        bridge.handle(now, input).unwrap();
        self.drain_bridge();
    }

    fn tell_edge(&mut self, input: client::Input) {
        let now = self.bridge_now();
        let Some(edge) = &mut self.edge else { return };
        edge.handle(now, input).unwrap();
        self.drain_edge();
    }

    fn drain_bridge(&mut self) {
        let (at, now) = (self.find(Part::Bridge), self.time());
        while let Some(output) = self.bridge.as_mut().and_then(Engine::poll_output) {
            match output {
                engine::Output::Commit { seq, batch } => {
                    self.bridge_store.write(&batch, true).unwrap();
                    let now = self.bridge_now();
                    let committed = engine::Input::Committed(seq);
                    self.bridge
                        .as_mut()
                        .unwrap()
                        .handle(now, committed)
                        .unwrap();
                }
                engine::Output::Reply { blocks, object } => {
                    let blocks = blocks.iter().map(|block| Surb::from_bytes(block.bytes()));
                    let blocks = blocks.collect::<Result<Vec<_>, _>>().unwrap();
                    // A full queue loses a reply, as a network does.
                    let _ = self.members[at].node.reply(blocks, pack(object));
                }
                engine::Output::Leave {
                    tag,
                    key,
                    first,
                    payload,
                } => {
                    let key = ChainKey::from_bytes(*key.expose());
                    let node = &mut self.members[at].node;
                    node.leave(now, *tag.bytes(), key, first, payload).unwrap();
                }
                engine::Output::Forget { tag } => self.members[at].node.forget(tag.bytes()),
                engine::Output::Publish { .. }
                | engine::Output::Work(_)
                | engine::Output::Trace(_) => {}
            }
        }
    }

    fn drain_edge(&mut self) {
        let (at, now) = (self.find(Part::Edge), self.time());
        while let Some(output) = self.edge.as_mut().and_then(Client::poll_output) {
            let input = match output {
                client::Output::Commit { seq, batch } => {
                    self.edge_store.write(&batch, true).unwrap();
                    Some(client::Input::Committed(seq))
                }
                client::Output::WantBlocks { count } => {
                    let made = self.members[at].node.make_surbs(now, count);
                    let block = |surb: &Surb| ReplyBlock::new(surb.to_bytes().to_vec()).unwrap();
                    Some(client::Input::Blocks(
                        made.iter().flatten().map(block).collect(),
                    ))
                }
                client::Output::Send { to, object, prompt } => {
                    let to = PeerKey::from_bytes(to.0).unwrap();
                    let urgency = if prompt {
                        Urgency::Prompt
                    } else {
                        Urgency::Background
                    };
                    let _ = self.members[at].node.send_with(to, pack(object), urgency);
                    None
                }
                client::Output::Deliver(envelope) => {
                    *self.delivered.entry(envelope.facts.hash).or_default() += 1;
                    Some(client::Input::Handed(envelope.facts.hash))
                }
                client::Output::Watch { label, key, next } => {
                    let key = ChainKey::from_bytes(*key.expose());
                    self.members[at].node.watch(label, key, next).unwrap();
                    None
                }
                client::Output::Unwatch { label } => {
                    self.members[at].node.unwatch(&label);
                    None
                }
                client::Output::Trace(_) => None,
            };
            let now = self.bridge_now();
            if let (Some(input), Some(edge)) = (input, &mut self.edge) {
                edge.handle(now, input).unwrap();
            }
        }
    }
}

fn node(
    part: Part,
    peer: PeerKey,
    key: [u8; 32],
    address: SocketAddrV4,
    topology: &Topology,
    preset: Preset,
    now: Now,
) -> Node {
    let mut seed = key;
    seed[3..11].copy_from_slice(&now.unix_ms.to_be_bytes());
    let config = NodeConfig {
        key: SecretKey::from_bytes(key).public(),
        peer,
        address: match part {
            Part::Edge => Address::NONE,
            Part::Relay | Part::Mailbox | Part::Bridge => {
                Address::direct(*address.ip(), Transport::Tcp, address.port(), peer)
            }
        },
        relay: part == Part::Relay,
        protection: Protection::of(&preset),
        kept_max: mixnet::limits::CONNECTIONS_KEPT_MAX,
        preset,
        topology: topology.clone(),
        seed,
    };
    let mut node = Node::new(config, now);
    // The edge is here with its client.
    node.handle(now, Input::Foreground(part == Part::Edge));
    node.serve_mailbox(part == Part::Mailbox);
    node
}

fn intake(key: [u8; 32]) -> Intake {
    let key = SecretKey::from_bytes(key);
    let store = ReplayStore::of(&key);
    Intake::new(key, store)
}

/// The bridge's clock is slow, so that a day of it is simulated in seconds.
fn preset(part: Part) -> Preset {
    let mut slow = Preset::SERVICE;
    (slow.payload_rate, slow.loop_rate, slow.drop_rate) = (0.3, 0.01, 0.01);
    match part {
        Part::Relay | Part::Mailbox => Preset::RELAY,
        Part::Bridge => slow,
        Part::Edge => Preset::FAST,
    }
}

fn pack(object: bridge::port::Object) -> Object {
    Object {
        kind: object.kind.byte(),
        tag: *object.tag.bytes(),
        bytes: object.bytes,
    }
}

fn at_time(start: Instant, now: Duration) -> Now {
    Now {
        mono: start + now,
        unix_ms: START_MS + now.as_millis() as u64,
    }
}
