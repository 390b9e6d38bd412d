//! Several nodes in one process, their connections carrying messages in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A network: nodes, and messages under way with the time of their arrival.
struct Network {
    nodes: Vec<Node>,
    links: BTreeMap<(usize, PeerId), (usize, PeerId)>,
    wire: BTreeMap<(u64, u64), (usize, Input)>,
    delivered: BTreeMap<(usize, EnvelopeHash), u32>,
    crossings: BTreeMap<(usize, usize, EnvelopeHash), u32>,
    dismissed: u32,
    now_ms: u64,
    order: u64,
}

impl Network {
    fn new(count: usize, config: &Config) -> Network {
        Network {
            nodes: (0..count)
                .map(|n| Node::new(config.clone(), [n as u8; 32]))
                .collect(),
            links: BTreeMap::new(),
            wire: BTreeMap::new(),
            delivered: BTreeMap::new(),
            crossings: BTreeMap::new(),
            dismissed: 0,
            now_ms: 0,
            order: 0,
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let (id_a, id_b) = (PeerId(b as u64), PeerId(a as u64));
        self.links.insert((a, id_a), (b, id_b));
        self.links.insert((b, id_b), (a, id_a));
        self.give(
            a,
            Input::PeerUp {
                peer: id_a,
                node: node_id(b as u64),
                ip: None,
            },
        );
        self.give(
            b,
            Input::PeerUp {
                peer: id_b,
                node: node_id(a as u64),
                ip: None,
            },
        );
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a, PeerId(b as u64))).is_some() {
            self.links.remove(&(b, PeerId(a as u64)));
            self.give(
                a,
                Input::PeerDown {
                    peer: PeerId(b as u64),
                },
            );
            self.give(
                b,
                Input::PeerDown {
                    peer: PeerId(a as u64),
                },
            );
        }
    }

    fn give(&mut self, to: usize, input: Input) {
        self.nodes[to].handle(at(self.now_ms), input);
        self.drain(to);
    }

    fn post(&mut self, at_node: usize, envelope: &Envelope) {
        self.nodes[at_node]
            .post(at(self.now_ms), envelope.clone())
            .unwrap();
        self.drain(at_node);
    }

    fn drain(&mut self, from: usize) {
        for output in super::drain(&mut self.nodes[from]) {
            match output {
                Output::Send {
                    peer,
                    code,
                    payload,
                } => self.carry(from, peer, code, payload),
                Output::Envelope { envelope, .. } => {
                    *self.delivered.entry((from, envelope.hash())).or_default() += 1
                }
                Output::Disconnect { .. } => self.dismissed += 1,
                Output::PeerStatus { .. } | Output::Sent { .. } | Output::Confirmed { .. } => {}
                Output::Offence { .. } => panic!("everybody is honest"),
                Output::Direct { .. } | Output::Mail { .. } => panic!("nobody is trusted"),
            }
        }
    }

    fn carry(&mut self, from: usize, peer: PeerId, code: u64, payload: Payload) {
        let Some((to, back)) = self.links.get(&(from, peer)).copied() else {
            return;
        };
        if code == wire::ENVELOPES {
            for outline in Envelopes::decode(&payload).unwrap().iter() {
                *self
                    .crossings
                    .entry((from, to, outline.hash()))
                    .or_default() += 1;
            }
        }
        self.order += 1;
        self.wire.insert(
            (self.now_ms + LATENCY_MS, self.order),
            (
                to,
                Input::Message {
                    peer: back,
                    code,
                    payload: payload.to_vec(),
                },
            ),
        );
    }

    /// Runs until a moment: messages first, then whoever has a deadline.
    fn run_until(&mut self, end_ms: u64) {
        while self.now_ms < end_ms {
            self.now_ms += 10;
            while let Some(entry) = self
                .wire
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now_ms)
            {
                let (to, input) = entry.remove();
                self.give(to, input);
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node]
                    .next_deadline()
                    .is_some_and(|due| due <= at(self.now_ms).mono)
                {
                    self.give(node, Input::Tick);
                }
            }
        }
    }
}

const LATENCY_MS: u64 = 20;

#[test]
fn a_line_of_five_carries_an_envelope_to_its_end() {
    let mut network = Network::new(5, &Config::default());
    (0..4).for_each(|n| network.connect(n, n + 1));
    network.run_until(500);
    let one = mined(START + 30, 1);
    network.post(0, &one);
    network.run_until(2_500);
    assert!((0..5).all(|node| network.delivered[&(node, one.hash())] == 1));
    let expected: BTreeMap<_, _> = (0..4).map(|n| ((n, n + 1, one.hash()), 1)).collect();
    assert_eq!(
        network.crossings, expected,
        "once over each link, and never back"
    );
}

#[test]
fn a_short_tick_makes_a_short_way() {
    let mut network = Network::new(
        4,
        &Config {
            relay_tick_ms: 5,
            ..Config::default()
        },
    );
    (0..3).for_each(|n| network.connect(n, n + 1));
    network.run_until(500);
    let one = mined(START + 30, 1);
    network.post(0, &one);
    network.run_until(700);
    assert_eq!(
        network.delivered.get(&(3, one.hash())),
        Some(&1),
        "three hops in a fifth of a second"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_node_gets_every_envelope_once(
        links in proptest::collection::vec((0usize..6, 0usize..6), 0..8),
        posts in proptest::collection::vec((0usize..6, 0u64..40, 0u64..3_000), 1..25),
        cuts in proptest::collection::vec((0usize..6, 0usize..6, 0u64..3_000), 0..3),
    ) {
        let mut network = Network::new(6, &Config::default());
        // A ring holds whatever is cut beside it.
        (0..6).for_each(|n| network.connect(n, (n + 1) % 6));
        let beside = |a: usize, b: usize| a != b && (a + 1) % 6 != b && (b + 1) % 6 != a;
        for (a, b) in links {
            if beside(a, b) && !network.links.contains_key(&(a, PeerId(b as u64))) {
                network.connect(a, b);
            }
        }
        network.run_until(200);
        let mut events: Vec<(u64, usize, usize, Option<u64>)> =
            posts.iter().map(|(node, number, ms)| (*ms, *node, 0, Some(*number))).collect();
        events.extend(cuts.iter().filter(|(a, b, _)| beside(*a, *b)).map(|(a, b, ms)| (*ms, *a, *b, None)));
        events.sort();
        for (ms, a, b, number) in events {
            network.run_until(200 + ms);
            match number {
                Some(number) => network.post(a, &mined(START + 40, number)),
                None => network.disconnect(a, b),
            }
        }
        network.run_until(9_000);
        let distinct: BTreeSet<_> = posts.iter().map(|(_, number, _)| mined(START + 40, *number).hash()).collect();
        for hash in &distinct {
            for node in 0..6 {
                prop_assert_eq!(network.delivered.get(&(node, *hash)), Some(&1));
            }
        }
        prop_assert!(network.crossings.values().all(|times| *times == 1), "no envelope twice over a link");
        prop_assert_eq!(network.dismissed, 0);
        network.run_until(45_000);
        prop_assert!(network.nodes.iter().all(|node| node.pooled() == 0 && node.pooled_bytes() == 0));
    }

    #[test]
    fn no_message_is_fatal(messages in proptest::collection::vec((0u64..5, 0u64..130, proptest::collection::vec(any::<u8>(), 0..60)), 0..40)) {
        let mut node = with_peer(Config::default(), stranger(0.0));
        for (turn, (peer, code, payload)) in messages.into_iter().enumerate() {
            let now = at(turn as u64 * 100);
            if turn % 5 == 0 {
                join(&mut node, now, peer, stranger(0.0));
            }
            say(&mut node, now, peer, code, payload);
            for output in drain(&mut node) {
                if let Output::Disconnect { peer, .. } = output {
                    prop_assert_eq!(node.wants(peer), None);
                }
            }
            prop_assert_eq!(node.pooled(), 0);
        }
    }
}
