//! The cores of real nodes on virtual time, with somebody who sees every link and may hold packets back.
//!
//! Nothing is left out: intakes peel real Sphinx packets, nodes hold them and tick their clocks, and every node is called at its own
//! deadlines. Only sockets are missing; a packet is at the next node at once. That makes it slow (a packet costs four multiplications
//! on the curve at each of its hops), so the large simulations of [`super::anonymity`] use the delays and clocks alone, and tests
//! hold them against this.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use crate::address::{Address, AddressPolicy, PeerKey, Transport};
use crate::counters::PacketKind;
use crate::descriptor::{Capabilities, Descriptor, DescriptorError, Statement};
use crate::fragment::Object;
use crate::intake::{Intake, Received};
use crate::level::Protection;
use crate::node::{Input, Node, NodeConfig, Output, SendError};
use crate::now::Now;
use crate::preset::Preset;
use crate::replay::ReplayStore;
use crate::shape::reading::{MARK_LEN, Mark};
use crate::sphinx::{Hop, Packet, SecretKey};
use crate::topology::Topology;

/// What a node of the simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Forwards.
    Relay,
    /// Is the last hop of messages.
    Service,
    /// Is not in the directory.
    Client,
}

/// What the observer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A packet left a node for another.
    Left {
        /// Which node.
        from: usize,
        /// To which.
        to: usize,
        /// What the observer cannot see: why it left.
        kind: PacketKind,
        /// The packet.
        mark: Mark,
    },
    /// A packet came to a node.
    Came {
        /// Which node.
        at: usize,
        /// The packet.
        mark: Mark,
        /// What the observer cannot see: what it will leave as, if it goes on.
        onward: Option<Mark>,
    },
    /// The set of relays that a node uses has changed.
    Usable {
        /// Which node.
        at: usize,
        /// How many it uses now.
        relays: usize,
    },
}

/// Decides whether a packet from one node to another arrives.
pub type Filter = Box<dyn FnMut(Instant, usize, usize) -> bool>;

struct Member {
    peer: PeerKey,
    hop: Hop,
    intake: Intake,
    node: Node,
}

/// A network.
pub struct Cores {
    members: Vec<Member>,
    /// Packets under way, in the order in which they left.
    under_way: BTreeMap<(Instant, u64), (usize, usize, Packet)>,
    sent: u64,
    seen: std::collections::VecDeque<(Instant, Seen)>,
    now: Instant,
    start: Instant,
    /// Lets everything through unless somebody sets another.
    pub filter: Filter,
}

impl Cores {
    /// A network in which every relay is connected to everybody. Clients and services use `preset`, relays forward and send their
    /// own loops.
    pub fn new(
        parts: &[Part],
        preset: Preset,
        seed: u64,
        start: Instant,
    ) -> Result<Self, DescriptorError> {
        let plans = parts.iter().zip(1..).map(|(part, n)| plan(*part, n, seed));
        let plans = plans.collect::<Result<Vec<_>, _>>()?;
        let known = plans.iter().filter(|plan| plan.part != Part::Client);
        let policy = AddressPolicy {
            allow_private: true,
        };
        let descriptors = known.map(|plan| plan.descriptor.clone()).collect();
        // Every descriptor is our own, at a port of its own.
        let topology = Topology::new(descriptors, policy).unwrap_or_default();
        let members = plans
            .into_iter()
            .map(|plan| plan.member(preset, &topology, start));
        let mut cores = Self {
            members: members.collect(),
            under_way: BTreeMap::new(),
            sent: 0,
            seen: std::collections::VecDeque::new(),
            now: start,
            start,
            filter: Box::new(|_, _, _| true),
        };
        for (n, one) in parts.iter().enumerate() {
            for (m, other) in parts.iter().enumerate() {
                if n != m && (*one == Part::Relay || *other == Part::Relay) {
                    let peer = cores.members[m].peer;
                    cores.input(n, Input::NeighbourUp(peer));
                }
            }
        }
        Ok(cores)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Gives a client or service a message for a service.
    pub fn send(&mut self, from: usize, to: usize, object: Object) -> Result<(), SendError> {
        let peer = self.members[to].peer;
        self.members[from].node.send(peer, object)
    }

    /// The hop of a path at a node.
    pub fn hop(&self, n: usize) -> Hop {
        self.members[n].hop
    }

    /// Relays that a node uses.
    pub fn usable(&self, n: usize) -> usize {
        self.members[n].node.status().usable_relays
    }

    /// Brings a packet from outside to a node at `at`, which must not be before now.
    pub fn bring(&mut self, at: Instant, to: usize, packet: Packet) {
        self.sent += 1;
        self.under_way
            .insert((at, self.sent), (OUTSIDE, to, packet));
    }

    /// The next thing that is seen, up to `end`.
    pub fn next(&mut self, end: Instant) -> Option<(Instant, Seen)> {
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return Some(seen);
            }
            let due = |member: &Member| member.node.next_deadline();
            let deadline = self.members.iter().filter_map(due).min();
            let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let next = deadline.into_iter().chain(arrival).min()?;
            if next > end {
                self.now = end;
                return None;
            }
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                self.deliver();
                continue;
            }
            for n in 0..self.members.len() {
                if due(&self.members[n]).is_some_and(|at| at <= self.now) {
                    self.input(n, Input::Tick);
                }
            }
        }
    }

    fn deliver(&mut self) {
        let Some((_, (from, to, packet))) = self.under_way.pop_first() else {
            return;
        };
        if !(self.filter)(self.now, from, to) {
            return;
        }
        let mark = mark(&packet);
        let from = self.members.get(from).unwrap_or(&self.members[to]).peer;
        let received = Received {
            from,
            at: self.now,
            packet,
        };
        let batch = self.members[to].intake.take_one(received);
        let onward = batch.onward().next().map(|(_, packet)| self::mark(packet));
        let at = to;
        self.seen
            .push_back((self.now, Seen::Came { at, mark, onward }));
        self.input(to, Input::Peeled(batch));
    }

    fn input(&mut self, n: usize, input: Input) {
        let since = self.now.duration_since(self.start);
        let now = Now {
            mono: self.now,
            unix_ms: UNIX_MS + since.as_millis() as u64,
        };
        self.members[n].node.handle(now, input);
        while let Some(output) = self.members[n].node.poll_output() {
            match output {
                Output::Transmit { to, kind, packet } => self.transmit(n, to, kind, packet),
                Output::Relays { usable, .. } => {
                    let seen = Seen::Usable {
                        at: n,
                        relays: usable,
                    };
                    self.seen.push_back((self.now, seen));
                }
                // Nobody here sends objects, keeps a mailbox or asks one.
                Output::Deliver { .. }
                | Output::SurbsStale
                | Output::Mailbox(_)
                | Output::Serve(_)
                | Output::Notice(_) => {}
            }
        }
    }

    fn transmit(&mut self, from: usize, to: PeerKey, kind: PacketKind, packet: Packet) {
        let Some(to) = self.members.iter().position(|member| member.peer == to) else {
            return;
        };
        let mark = mark(&packet);
        let seen = Seen::Left {
            from,
            to,
            kind,
            mark,
        };
        self.seen.push_back((self.now, seen));
        self.sent += 1;
        self.under_way
            .insert((self.now, self.sent), (from, to, packet));
    }
}

struct Plan {
    part: Part,
    key: SecretKey,
    descriptor: Descriptor,
    seed: [u8; 32],
}

fn plan(part: Part, n: u16, seed: u64) -> Result<Plan, DescriptorError> {
    let bytes = |purpose: u8| {
        let mut bytes = [purpose; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        bytes[2..10].copy_from_slice(&seed.to_be_bytes());
        bytes
    };
    let key = SecretKey::from_bytes(bytes(1));
    let statement = Statement {
        address: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT_FIRST + n)),
        capabilities: Capabilities {
            relay: part == Part::Relay,
            bridge: part == Part::Service,
            mailbox: false,
        },
        gateway_key: (part == Part::Service).then_some([1; 32]),
        ..Statement::new(0, key.public())
    };
    Ok(Plan {
        part,
        descriptor: Descriptor::sign(statement, &bytes(2))?,
        key,
        seed: bytes(3),
    })
}

impl Plan {
    fn member(self, preset: Preset, topology: &Topology, start: Instant) -> Member {
        let Self {
            part,
            key,
            descriptor,
            seed,
        } = self;
        let peer = descriptor.peer();
        let at = descriptor.address();
        let address = at.map_or(Address::NONE, |at| {
            Address::direct(*at.ip(), Transport::Tcp, at.port(), peer)
        });
        let preset = match part {
            Part::Relay => Preset::RELAY,
            Part::Service | Part::Client => preset,
        };
        let config = NodeConfig {
            key: key.public(),
            peer,
            address: match part {
                Part::Client => Address::NONE,
                Part::Relay | Part::Service => address,
            },
            relay: part == Part::Relay,
            protection: Protection::of(&preset),
            kept_max: crate::limits::CONNECTIONS_KEPT_MAX,
            preset,
            topology: topology.clone(),
            seed,
        };
        let now = Now {
            mono: start,
            unix_ms: UNIX_MS,
        };
        let store = ReplayStore::of(&key);
        Member {
            peer,
            hop: Hop {
                key: key.public(),
                address,
            },
            node: Node::new(config, now),
            intake: Intake::new(key, store),
        }
    }
}

fn mark(packet: &Packet) -> Mark {
    let mut mark = [0; MARK_LEN];
    mark.copy_from_slice(&packet.as_bytes()[..MARK_LEN]);
    mark
}

/// Where packets from outside come from.
const OUTSIDE: usize = usize::MAX;
/// Unix time at the beginning; any will do.
const UNIX_MS: u64 = 1_700_000_000_000;
/// Ports that nobody listens at.
const PORT_FIRST: u16 = 4_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shape::classifier::Marks;
    use crate::shape::distribution::{Erlang, distance_max};
    use crate::sim::anonymity::network::{self, Shape};
    use crate::sim::anonymity::observer::Observer;

    const PARTS: [Part; 6] = [
        Part::Relay,
        Part::Relay,
        Part::Relay,
        Part::Relay,
        Part::Service,
        Part::Client,
    ];

    /// What one client and one service did.
    #[derive(Default)]
    struct Run {
        sent: Vec<f64>,
        rests: Vec<f64>,
        ways: Vec<f64>,
        messages: usize,
    }

    fn run(seconds: u64, messages: bool, seed: u64) -> Run {
        let start = Instant::now();
        let mut cores = Cores::new(&PARTS, Preset::SERVICE, seed, start).unwrap();
        if messages {
            // More frames than payload slots: every slot has one.
            for kind in 0..4 {
                let object = Object {
                    kind,
                    tag: [kind; 16],
                    bytes: vec![kind; 1_000_000],
                };
                cores.send(5, 4, object).unwrap();
            }
        }
        let mut run = Run::default();
        // Of each packet: when it left its sender, when it came where it is.
        let mut began: BTreeMap<Mark, Instant> = BTreeMap::new();
        let mut came: BTreeMap<Mark, Instant> = BTreeMap::new();
        let end = start + Duration::from_secs(seconds);
        while let Some((now, seen)) = cores.next(end) {
            match seen {
                Seen::Left {
                    from, kind, mark, ..
                } => {
                    if let Some(came) = came.remove(&mark) {
                        run.rests.push(now.duration_since(came).as_secs_f64());
                    } else {
                        began.insert(mark, now);
                    }
                    if from == 5 {
                        run.sent.push(now.duration_since(start).as_secs_f64());
                        run.messages += usize::from(kind == PacketKind::Payload);
                    }
                }
                Seen::Came { mark, onward, .. } => {
                    let Some(left) = began.remove(&mark) else {
                        continue;
                    };
                    match onward {
                        Some(onward) => {
                            began.insert(onward, left);
                            came.insert(onward, now);
                        }
                        None => run.ways.push(now.duration_since(left).as_secs_f64()),
                    }
                }
                Seen::Usable { .. } => {}
            }
        }
        run
    }

    fn sorted(samples: &[f64]) -> Vec<f64> {
        let mut samples = samples.to_vec();
        samples.sort_by(f64::total_cmp);
        samples
    }

    fn is_near(erlang: Erlang, samples: &[f64]) {
        let distance = erlang.distance(&sorted(samples));
        let bound = distance_max(samples.len());
        assert!(distance <= bound, "{erlang:?}: {distance} over {bound}");
    }

    /// The short form of `make shape`: real cores, virtual time, no dependence on the machine.
    #[test]
    fn delays_ways_and_gaps_are_as_they_should_and_show_no_messages() {
        let (idle, loaded) = (run(50, false, 1), run(50, true, 2));
        let delay = Preset::SERVICE.delay_mean().as_secs_f64();
        let rate = Preset::SERVICE.packet_rate();
        assert_eq!(idle.messages, 0);
        assert!(
            loaded.messages * 10 > loaded.sent.len() * 8,
            "{}",
            loaded.messages
        );
        for run in [&idle, &loaded] {
            assert!(run.rests.len() > 5_000 && run.ways.len() > 1_500);
            is_near(Erlang::exponential(delay), &run.rests);
            let way = Erlang {
                stages: 3,
                mean: delay,
            };
            is_near(way, &run.ways);
            let gaps: Vec<f64> = run.sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
            is_near(Erlang::exponential(1.0 / rate), &gaps);
        }
        let marks = |run: &Run| {
            let mut marks = Marks::default();
            marks.add(&run.sent, rate, 10);
            marks
        };
        let verdict = marks(&loaded).against(&marks(&idle));
        let far = (verdict.best() - 0.5).abs();
        assert!(
            verdict.windows >= 90 && far < 3.5 * verdict.deviation(),
            "{verdict:?}"
        );
    }

    /// The same seed: what is sent in a slot cannot move a later one.
    #[test]
    fn messages_change_no_time_at_all() {
        let (idle, loaded) = (run(10, false, 3), run(10, true, 3));
        assert_eq!((idle.messages, idle.sent.is_empty()), (0, false));
        assert!(loaded.messages > 100);
        assert_eq!(idle.sent, loaded.sent);
    }

    /// Real relays in two layers of two mix as the simulation without bytes says.
    #[test]
    fn real_relays_spread_a_packet_as_the_simulation_says() {
        let shape = Shape {
            rate: 50.0,
            width: 2,
            layers: 2,
            mu: 1.0 / 0.4,
        };
        let found = spread(shape, 12, 5);
        let simulated = network::entropy(shape, 200, 1, Instant::now());
        // Twelve packets: three standard deviations of their mean.
        let tolerance = 3.0 * simulated.sd / 12f64.sqrt() + 0.05;
        assert!(
            (found - simulated.mean).abs() <= tolerance,
            "real cores {found}, simulation {simulated:?}"
        );
    }

    /// Mean entropy of some packets over the outputs of real relays, which outside senders use as layers.
    fn spread(shape: Shape, targets: usize, seed: u64) -> f64 {
        use crate::quality::below;
        use crate::schedule::PoissonClock;
        use crate::sphinx::build;
        use rand_chacha::ChaCha20Rng;
        use rand_core::{Rng, SeedableRng};

        let start = Instant::now();
        let relays = shape.width * shape.layers;
        let mut parts = vec![Part::Relay; relays];
        parts.push(Part::Service);
        let mut cores = Cores::new(&parts, Preset::RELAY, seed, start).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut clock = PoissonClock::new(shape.rate, start, ChaCha20Rng::seed_from_u64(!seed));
        let delay_ms = (1e3 / shape.mu) as u16;
        let settled = start + Duration::from_secs_f64(8.0 / shape.mu * shape.layers as f64);
        let seconds = targets as f64 / shape.mu + 24.0 / shape.mu;
        let end = settled + Duration::from_secs_f64(seconds);
        let mut next_target = settled;
        let mut marked: BTreeMap<Mark, usize> = BTreeMap::new();
        while let Some(at) = clock.next_deadline().filter(|at| *at < end) {
            clock.tick(at);
            let path: Vec<usize> = (0..shape.layers)
                .map(|layer| layer * shape.width + below(&mut rng, shape.width))
                .collect();
            let mut hops: Vec<Hop> = path.iter().map(|n| cores.hop(*n)).collect();
            hops.push(cores.hop(relays));
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            let delays = vec![delay_ms; shape.layers];
            let built = build(&hops, &delays, &secret, &[0; 3968], &Address::NONE);
            let (packet, _) = built.unwrap();
            if at >= next_target && marked.len() < targets {
                marked.insert(mark(&packet), marked.len());
                next_target = at + Duration::from_secs_f64(1.0 / shape.mu);
            }
            cores.bring(at, path[0], packet);
        }
        let mut observer = Observer::new(relays, targets);
        let mut on_links: BTreeMap<Mark, Vec<f64>> = BTreeMap::new();
        let (mut bits, mut mass) = (vec![0.0; targets], vec![0.0; targets]);
        // The loops of the relays themselves are none of this network's packets.
        let mut own: std::collections::BTreeSet<Mark> = std::collections::BTreeSet::new();
        while let Some((_, seen)) = cores.next(end) {
            match seen {
                Seen::Came { at, mark, onward } if at < relays && !own.remove(&mark) => {
                    let shares = on_links.remove(&mark);
                    let known = observer.certain(marked.get(&mark).copied());
                    observer.arrives(at, &shares.unwrap_or(known));
                    assert!(onward.is_some());
                }
                Seen::Came { onward, .. } => own.extend(onward),
                Seen::Left { kind, mark, .. } if kind != PacketKind::Forward => {
                    own.insert(mark);
                }
                Seen::Left { mark, .. } if own.contains(&mark) => {}
                Seen::Left { from, to, mark, .. } => {
                    let shares = observer.leaves(from);
                    if to < relays {
                        on_links.insert(mark, shares);
                        continue;
                    }
                    for (target, share) in shares.into_iter().enumerate().filter(|(_, s)| *s > 0.0)
                    {
                        mass[target] += share;
                        bits[target] -= share * share.log2();
                    }
                }
                Seen::Usable { .. } => {}
            }
        }
        assert!(mass.iter().all(|mass| *mass > 0.999), "{mass:?}");
        bits.iter().sum::<f64>() / targets as f64
    }
}
