//! A network in memory: three relays, a service and a client, all of them cores without sockets. A message goes to the service, and an
//! answer comes back through a reply block that travelled with it. Time is virtual: nothing waits, and nothing reads a clock.
//!
//! `cargo run -p mixnet --no-default-features --example three_relays`

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use mixnet::geometry::SURB_LEN;
use mixnet::node::{Input, Output};
use mixnet::{
    Address, AddressPolicy, Capabilities, Descriptor, Intake, Node, NodeConfig, Now, Object,
    Packet, PacketKind, PeerKey, Preset, Protection, Received, ReplayStore, SecretKey, Statement,
    Surb, Topology,
};

const NAMES: [&str; 5] = ["relay 0", "relay 1", "relay 2", "service", "client"];
const SERVICE: usize = 3;
const CLIENT: usize = 4;
/// How long a packet takes from one node to the next.
const LINK: Duration = Duration::from_millis(20);
/// After this much virtual time something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

struct Member {
    peer: PeerKey,
    /// What peels packets: it owns the mix key and remembers what that key has seen.
    intake: Intake,
    /// What decides when packets leave, and to whom.
    node: Node,
}

struct Network {
    start: Instant,
    passed: Duration,
    members: Vec<Member>,
    /// Packets on their way, by arrival: to whom, from whom.
    wires: BTreeMap<(Duration, u64), (usize, PeerKey, Packet)>,
    sent: BTreeMap<PacketKind, u64>,
    delivered: Vec<(usize, Object)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut network = Network::new()?;
    // The client makes a reply block, and sends it along with its message as the content of one object.
    let now = network.now();
    let block = network.members[CLIENT].node.make_surbs(now, 1)?.remove(0);
    let question = [&block.to_bytes()[..], b"what time is it?"].concat();
    let service = network.members[SERVICE].peer;
    network.members[CLIENT]
        .node
        .send(service, object(question))?;
    network.drain(CLIENT);
    let (block, text) = {
        let bytes = network.until_delivered(SERVICE)?;
        let (block, text) = bytes
            .split_at_checked(SURB_LEN)
            .ok_or("the block is missing")?;
        (Surb::from_bytes(block)?, text.to_vec())
    };
    network.say(SERVICE, &text);

    // The service knows a block and the first relay of it, and nothing of who made it.
    let answer = object(b"teatime".to_vec());
    network.members[SERVICE].node.reply(vec![block], answer)?;
    network.drain(SERVICE);
    let text = network.until_delivered(CLIENT)?;
    network.say(CLIENT, &text);
    println!(
        "packets that left meanwhile, at every hop: {:?}",
        network.sent
    );
    Ok(())
}

/// Kind and tag are for whoever uses the network; nobody on the way sees them.
fn object(bytes: Vec<u8>) -> Object {
    Object {
        kind: 1,
        tag: [7; 16],
        bytes,
    }
}

impl Network {
    fn new() -> Result<Self, Box<dyn Error>> {
        // Everybody publishes a signed descriptor, but clients do not: nobody needs to dial them.
        let descriptors = (0..NAMES.len())
            .map(descriptor)
            .collect::<Result<Vec<_>, _>>()?;
        let policy = AddressPolicy {
            allow_private: true,
        };
        let topology = Topology::new(descriptors[..CLIENT].to_vec(), policy)?;
        let mut network = Self {
            start: Instant::now(),
            passed: Duration::ZERO,
            members: Vec::new(),
            wires: BTreeMap::new(),
            sent: BTreeMap::new(),
            delivered: Vec::new(),
        };
        for (n, descriptor) in descriptors.iter().enumerate() {
            let (key, peer) = (mix_key(n), descriptor.peer());
            let preset = if n < SERVICE {
                Preset::RELAY
            } else {
                Preset::FAST
            };
            let config = NodeConfig {
                key: key.public(),
                peer,
                address: topology.hop(&peer).map_or(Address::NONE, |hop| hop.address),
                relay: n < SERVICE,
                kept_max: mixnet::limits::CONNECTIONS_KEPT_MAX,
                preset,
                protection: Protection::of(&preset),
                topology: topology.clone(),
                // Real nodes draw it; an example that prints the same every time does not.
                seed: [n as u8; 32],
            };
            let store = ReplayStore::of(&key);
            let node = Node::new(config, network.now());
            let intake = Intake::new(key, store);
            network.members.push(Member { peer, intake, node });
        }
        // All of them are connected.
        for n in 0..NAMES.len() {
            for other in (0..NAMES.len()).filter(|other| *other != n) {
                let peer = network.members[other].peer;
                network.input(n, Input::NeighbourUp(peer));
            }
        }
        Ok(network)
    }

    fn now(&self) -> Now {
        Now {
            mono: self.start + self.passed,
            unix_ms: 1_700_000_000_000 + self.passed.as_millis() as u64,
        }
    }

    fn input(&mut self, member: usize, input: Input) {
        let now = self.now();
        self.members[member].node.handle(now, input);
        self.drain(member);
    }

    /// Does what a core wants done: a shell would write to a socket here.
    fn drain(&mut self, member: usize) {
        while let Some(output) = self.members[member].node.poll_output() {
            match output {
                Output::Transmit { to, kind, packet } => {
                    let Some(next) = self.members.iter().position(|one| one.peer == to) else {
                        continue;
                    };
                    *self.sent.entry(kind).or_default() += 1;
                    let number = self.sent.values().sum();
                    let from = self.members[member].peer;
                    self.wires
                        .insert((self.passed + LINK, number), (next, from, packet));
                }
                Output::Deliver { object, .. } => self.delivered.push((member, object)),
                // What else there is concerns mailboxes, and relays that come and go.
                _ => {}
            }
        }
    }

    /// Jumps from one event to the next until `member` got something.
    fn until_delivered(&mut self, member: usize) -> Result<Vec<u8>, Box<dyn Error>> {
        loop {
            if let Some(at) = self.delivered.iter().position(|(to, _)| *to == member) {
                return Ok(self.delivered.remove(at).1.bytes);
            }
            let arrival = self.wires.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.members.iter().filter_map(|it| it.node.next_deadline());
            let deadline = deadlines
                .min()
                .map(|at| at.saturating_duration_since(self.start));
            let next = arrival.into_iter().chain(deadline).min();
            self.passed = self.passed.max(next.ok_or("nothing is going to happen")?);
            if self.passed > PATIENCE {
                return Err("nothing arrived in a minute".into());
            }
            if arrival.is_some_and(|at| at <= self.passed) {
                let Some((_, (to, from, packet))) = self.wires.pop_first() else {
                    continue;
                };
                let at = self.now().mono;
                let batch = self.members[to]
                    .intake
                    .take_one(Received { from, at, packet });
                self.input(to, Input::Peeled(batch));
            } else {
                let now = self.now().mono;
                for n in 0..self.members.len() {
                    let deadline = self.members[n].node.next_deadline();
                    if deadline.is_some_and(|at| at <= now) {
                        self.input(n, Input::Tick);
                    }
                }
            }
        }
    }

    fn say(&self, member: usize, text: &[u8]) {
        let (name, text) = (NAMES[member], String::from_utf8_lossy(text));
        println!(
            "{:>6} ms: the {name} reads {text:?}",
            self.passed.as_millis()
        );
    }
}

fn mix_key(n: usize) -> SecretKey {
    SecretKey::from_bytes([n as u8 + 1; 32])
}

fn descriptor(n: usize) -> Result<Descriptor, Box<dyn Error>> {
    let statement = Statement {
        address: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000 + n as u16)),
        capabilities: Capabilities {
            relay: n < SERVICE,
            bridge: n == SERVICE,
            mailbox: false,
        },
        gateway_key: (n == SERVICE).then_some([1; 32]),
        ..Statement::new(0, mix_key(n).public())
    };
    let identity = [n as u8 + 1; 32];
    Ok(Descriptor::sign(statement, &identity)?)
}

#[test]
fn a_message_goes_there_and_an_answer_comes_back() -> Result<(), Box<dyn Error>> {
    main()
}
