//! Whole networks on virtual time: every message takes its time or is lost, one seed decides everything.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::key;

/// Nodes 0, 1, 2 …, each at an address of its own; everybody knows node 0.
struct Network {
    nodes: Vec<Option<Node>>,
    outputs: Vec<Seen>,
    on_the_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    count: u64,
    now: Now,
    rng: ChaCha20Rng,
    loss_percent: u32,
}

#[derive(Default)]
struct Seen {
    found: BTreeMap<NodeId, usize>,
    looked: BTreeMap<u64, Vec<Enode>>,
    persisted: Vec<Seed>,
    moved: Vec<Record>,
}

fn at(n: usize) -> SocketAddr {
    let [a, b] = (n as u16).to_be_bytes();
    SocketAddr::from(([80, a, b, 1], 30303))
}

fn id(n: usize) -> NodeId {
    key(n as u16).public().node_id()
}

impl Network {
    fn new(seed: u64, count: usize, loss_percent: u32) -> Network {
        let now = Now {
            mono: Instant::now(),
            unix_ms: 1_600_000_000_000,
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut network = Network {
            nodes: vec![],
            outputs: vec![],
            on_the_way: BTreeMap::new(),
            count: 0,
            now,
            rng: ChaCha20Rng::from_seed(bytes),
            loss_percent,
        };
        for n in 0..count {
            let boot = (n > 0).then(|| Enode::new(key(0).public(), at(0)));
            network.start(n, boot.into_iter().collect(), vec![], Some(at(n).ip()));
        }
        network
    }

    fn start(&mut self, n: usize, bootnodes: Vec<Enode>, seeds: Vec<Seed>, ip: Option<IpAddr>) {
        let config = Config {
            key: key(n as u16),
            ip,
            udp_port: at(n).port(),
            tcp_port: at(n).port(),
            bootnodes,
            seeds,
            record: None,
        };
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let node = Node::new(self.now, config, seed);
        if n == self.nodes.len() {
            self.nodes.push(None);
            self.outputs.push(Seen::default());
        }
        self.nodes[n] = Some(node);
        self.outputs[n] = Seen::default();
        self.drain(n);
    }

    fn node(&self, n: usize) -> &Node {
        self.nodes[n].as_ref().unwrap()
    }

    fn drain(&mut self, n: usize) {
        let Some(node) = &mut self.nodes[n] else {
            return;
        };
        let seen = &mut self.outputs[n];
        while let Some(output) = node.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    let lost = self.rng.next_u32() % 100 < self.loss_percent;
                    let delay = Duration::from_millis(5 + u64::from(self.rng.next_u32() % 90));
                    self.count += 1;
                    if !lost {
                        let when = (self.now.mono + delay, self.count);
                        self.on_the_way.insert(when, (at(n), to, bytes));
                    }
                }
                Output::Found(enode) => *seen.found.entry(enode.node_id()).or_default() += 1,
                Output::Looked { id, nodes } => drop(seen.looked.insert(id, nodes)),
                Output::Moved(record) => seen.moved.push(record),
                Output::Persist(seeds) => seen.persisted = seeds,
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.now.mono + Duration::from_secs(seconds);
        loop {
            let arrival = self.on_the_way.keys().next().copied();
            let deadline = self.nodes.iter().enumerate();
            let deadline = deadline
                .filter_map(|(n, node)| Some((node.as_ref()?.next_deadline(), n)))
                .min();
            let next = match (arrival, deadline) {
                (Some((arrival, _)), Some((deadline, _))) => arrival.min(deadline),
                (Some((arrival, _)), None) => arrival,
                (None, Some((deadline, _))) => deadline,
                (None, None) => until,
            };
            let next = next.max(self.now.mono);
            let step = next.min(until).saturating_duration_since(self.now.mono);
            self.now.mono += step;
            self.now.unix_ms += step.as_millis() as u64;
            if next >= until {
                return;
            }
            match arrival {
                Some(key) if key.0 <= self.now.mono => {
                    let (from, to, bytes) = self.on_the_way.remove(&key).unwrap();
                    let there = (0..self.nodes.len()).find(|n| at(*n) == to);
                    if let Some(n) = there
                        && let Some(node) = &mut self.nodes[n]
                    {
                        node.handle(
                            self.now,
                            Input::Datagram {
                                from,
                                bytes: &bytes,
                            },
                        );
                        self.drain(n);
                    }
                }
                Some(_) | None => {
                    let (_, n) = deadline.unwrap();
                    self.nodes[n]
                        .as_mut()
                        .unwrap()
                        .handle(self.now, Input::Tick);
                    self.drain(n);
                }
            }
        }
    }

    /// What a lookup for a node by another one finds.
    fn lookup(&mut self, by: usize, target: usize) -> Vec<NodeId> {
        let now = self.now;
        let key = key(target as u16).public().to_bytes();
        let lookup = self.nodes[by].as_mut().unwrap().lookup(now, key).unwrap();
        self.drain(by);
        for _ in 0..60 {
            self.run(1);
            if let Some(nodes) = self.outputs[by].looked.remove(&lookup) {
                return nodes.iter().map(Enode::node_id).collect();
            }
        }
        panic!("the lookup does not end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everybody knows one node only, and a packet in ten is lost.
    #[test]
    fn tables_fill_and_lookups_find_everybody(seed: u64, count in 24usize..40) {
        let mut network = Network::new(seed, count, 10);
        network.run(300);
        for n in 0..count {
            let counters = network.node(n).counters();
            prop_assert!(counters.alive >= count / 2, "node {n} of {count} knows {counters:?}");
            let found = &network.outputs[n].found;
            prop_assert!(found.len() >= count / 2, "node {n} of {count} found {}", found.len());
        }
        for target in 0..count {
            let by = (target + 1 + seed as usize % (count - 1)) % count;
            // A lookup without its target among 10 % loss is rare, twice is an error.
            let found = network.lookup(by, target).first() == Some(&id(target))
                || network.lookup(by, target).first() == Some(&id(target));
            prop_assert!(found, "node {by} does not find {target} of {count}");
        }
    }

    /// The same seed, the same network.
    #[test]
    fn one_seed_replays(seed: u64) {
        let run = || {
            let mut network = Network::new(seed, 8, 20);
            network.run(60);
            let counters: Vec<Counters> = (0..8).map(|n| network.node(n).counters()).collect();
            (network.count, counters)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn who_leaves_is_forgotten_and_who_comes_is_found() {
    let mut network = Network::new(3, 20, 0);
    network.run(120);
    for n in 15..20 {
        network.nodes[n] = None;
    }
    network.run(1800);
    for n in 0..15 {
        let known = network.node(n).table().closest(&id(n), 16, true);
        assert!(
            known.len() >= 12 && (15..20).all(|gone| known.iter().all(|one| one.id() != id(gone))),
            "node {n}"
        );
    }
    network.start(
        20,
        vec![Enode::new(key(7).public(), at(7))],
        vec![],
        Some(at(20).ip()),
    );
    network.run(60);
    assert!(network.node(20).counters().alive >= 14);
    assert_eq!(network.lookup(3, 20).first(), Some(&id(20)));
}

#[test]
fn what_was_remembered_is_enough_to_start_again() {
    let mut network = Network::new(5, 12, 5);
    network.run(400);
    let seeds = network.outputs[4].persisted.clone();
    assert!(seeds.len() >= 6, "{}", seeds.len());
    network.start(4, vec![], seeds.clone(), Some(at(4).ip()));
    network.run(30);
    assert!(network.node(4).counters().alive >= 6);
    // After five days nobody believes that they are still there.
    network.now.unix_ms += 5 * 24 * 3600 * 1000;
    network.start(4, vec![], seeds, Some(at(4).ip()));
    assert_eq!(network.node(4).seeds(), []);
}

#[test]
fn ten_nodes_tell_another_where_it_is() {
    let mut network = Network::new(9, 16, 0);
    network.start(16, vec![Enode::new(key(0).public(), at(0))], vec![], None);
    assert_eq!(network.node(16).record().enode(), None);
    network.run(60);
    let enode = network.node(16).record().enode().unwrap();
    assert_eq!((enode.tcp(), enode.udp_port()), (at(16), 30303));
    assert_eq!(network.outputs[16].moved.len(), 1);
    // Whoever knows its address does not listen to others.
    assert!(
        network.outputs[..16]
            .iter()
            .all(|seen| seen.moved.is_empty())
    );
}

#[test]
fn wanted_nodes_come_one_walk_at_a_time() {
    let mut network = Network::new(11, 10, 0);
    network.run(30);
    let before = network.outputs[2].found.values().sum::<usize>();
    for _ in 0..100 {
        let now = network.now;
        network.nodes[2].as_mut().unwrap().handle(now, Input::Want);
        network.drain(2);
    }
    network.run(20);
    let after = network.outputs[2].found.values().sum::<usize>();
    assert!(after > before && after <= before + 9, "{before} {after}");
}
