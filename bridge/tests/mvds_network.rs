//! Groups of MVDS nodes over a virtual network that loses, reorders, duplicates and delays, with slow disks and crashes.
//!
//! Everything comes from one seed. Whatever happens: each message that reached the disk of its maker is delivered to
//! every other member exactly once, no record is left, and the same seed gives the same trace.
#![allow(clippy::unwrap_used, clippy::panic)]

use bridge::mvds::id::{GroupId, MessageId, PeerId};
use bridge::mvds::node::{Bodies, Config, Mode, Node, Now, Output, PeerConfig};
use bridge::mvds::payload::{Dialect, Message};
use bridge::mvds::record::{Change, Record, State};
use bridge::mvds::retry::Retry;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const GROUP: GroupId = GroupId::new([1; 32]);
const CONFIG: Config = Config {
    tick: Duration::from_secs(1),
    retry: Retry {
        base: 3,
        least: 3,
        most: 3,
        cap: 60,
        jitter: 3,
    },
    ..Config::MIX
};
/// When the network stops losing and the crashes are over, milliseconds.
const HEALED_MS: u64 = 600_000;
/// More steps than any run takes; a run that needs more does not come to rest.
const STEPS_MAX: usize = 400_000;

#[derive(Debug, Clone, Copy)]
struct Weather {
    nodes: usize,
    messages: usize,
    crashes: usize,
    /// Of 100.
    loss: u64,
    /// Of 100.
    duplicates: u64,
    delay_ms: u64,
    commit_ms: u64,
}

#[derive(Default)]
struct Disk {
    messages: BTreeMap<MessageId, Message>,
    seen: BTreeMap<MessageId, u64>,
    states: BTreeMap<(PeerId, MessageId), State>,
    delivered: BTreeMap<MessageId, usize>,
}

impl Bodies for Disk {
    fn load(&self, id: &MessageId) -> Option<Message> {
        self.messages.get(id).cloned()
    }
}

impl Disk {
    fn apply(&mut self, batch: Batch) {
        for change in batch.changes {
            match change {
                Change::PutMessage { id, message } => {
                    assert!(self.messages.insert(id, message).is_none());
                }
                Change::DeleteMessage { id } => assert!(self.messages.remove(&id).is_some()),
                Change::PutSeen { id, until } => {
                    self.seen.insert(id, until);
                }
                Change::DeleteSeen { id } => assert!(self.seen.remove(&id).is_some()),
                Change::PutState { peer, id, state } => {
                    self.states.insert((peer, id), state);
                }
                Change::DeleteState { peer, id } => {
                    assert!(self.states.remove(&(peer, id)).is_some());
                }
            }
        }
        for id in batch.delivered {
            *self.delivered.entry(id).or_default() += 1;
        }
    }

    fn records(&self) -> Vec<Record> {
        let messages = self.messages.iter().map(|(id, message)| Record::Message {
            id: *id,
            group: message.group,
            entry_len: message.entry_len(Dialect::Published),
        });
        let seen = self.seen.iter().map(|(id, until)| Record::Seen {
            id: *id,
            until: *until,
        });
        let states = self.states.iter().map(|((peer, id), state)| Record::State {
            peer: *peer,
            id: *id,
            state: *state,
        });
        messages.chain(seen).chain(states).collect()
    }
}

/// One commit on its way to the disk.
struct Batch {
    seq: u64,
    changes: Vec<Change>,
    delivered: Vec<MessageId>,
}

struct Place {
    node: Node,
    disk: Disk,
    /// Batches in order; a crash loses them.
    writing: VecDeque<Batch>,
    /// Grows with every crash.
    life: u64,
}

enum Event {
    Arrive {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    Written {
        at: usize,
        life: u64,
    },
    Append {
        at: usize,
        number: u64,
    },
    Crash {
        at: usize,
    },
}

struct World {
    weather: Weather,
    rng: ChaCha20Rng,
    start: Instant,
    ms: u64,
    places: Vec<Place>,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    /// The messages that reached the disk of their maker.
    made: BTreeMap<MessageId, usize>,
    trace: Vec<(u64, usize, usize, Vec<u8>)>,
}

fn peer(index: usize) -> PeerId {
    PeerId::new([4 + index as u8; 65])
}

impl World {
    fn new(weather: Weather, seed: u64) -> Self {
        let mut world = Self {
            weather,
            rng: ChaCha20Rng::seed_from_u64(seed),
            start: Instant::now(),
            ms: 0,
            places: Vec::new(),
            events: BTreeMap::new(),
            next_event: 0,
            made: BTreeMap::new(),
            trace: Vec::new(),
        };
        for at in 0..weather.nodes {
            let node = world.node(at, 0);
            world.places.push(Place {
                node,
                disk: Disk::default(),
                writing: VecDeque::new(),
                life: 0,
            });
        }
        for number in 0..weather.messages as u64 {
            let at = world.below(weather.nodes as u64) as usize;
            let ms = world.below(HEALED_MS);
            world.at(ms, Event::Append { at, number });
        }
        for _ in 0..weather.crashes {
            let at = world.below(weather.nodes as u64) as usize;
            let ms = world.below(HEALED_MS);
            world.at(ms, Event::Crash { at });
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    fn now(&self) -> Now {
        Now {
            mono: self.start + Duration::from_millis(self.ms),
            unix_s: 1_700_000_000 + self.ms / 1_000,
        }
    }

    fn at(&mut self, ms: u64, event: Event) {
        self.events.insert((ms, self.next_event), event);
        self.next_event += 1;
    }

    /// A node that knows its peers; the way to each is fixed by the pair.
    fn node(&self, at: usize, life: u64) -> Node {
        let seed = [at as u8 ^ (life as u8).wrapping_mul(16); 32];
        let mut node = Node::new(CONFIG, seed, self.now());
        for other in (0..self.weather.nodes).filter(|other| *other != at) {
            let is_even = (at + other).is_multiple_of(2);
            let mode = if is_even {
                Mode::Interactive
            } else {
                Mode::Batch
            };
            node.join(GROUP, peer(other), mode, PeerConfig::OURS)
                .unwrap();
        }
        node
    }

    /// Runs until nothing is left to do.
    fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            let timer = self
                .places
                .iter()
                .filter_map(|place| place.node.next_deadline())
                .min();
            let timer = timer.map(|at| at.saturating_duration_since(self.start).as_millis() as u64);
            let event = self.events.keys().next().map(|(ms, _)| *ms);
            match (event, timer) {
                (None, None) if self.places.iter().all(|place| place.node.is_idle()) => return,
                (None, None) => self.greet(),
                (Some(event), timer) if timer.is_none_or(|timer| event <= timer) => {
                    self.ms = self.ms.max(event);
                    let (_, event) = self.events.pop_first().unwrap();
                    self.happen(event);
                }
                (Some(_) | None, timer) => {
                    self.ms = self.ms.max(timer.unwrap());
                    (0..self.places.len()).for_each(|at| self.send(at));
                }
            }
        }
        panic!("the network does not come to rest");
    }

    /// Parked records wait for a sign of life: everybody gives one.
    fn greet(&mut self) {
        for from in 0..self.places.len() {
            for to in (0..self.places.len()).filter(|to| *to != from) {
                self.at(
                    self.ms + 1_000,
                    Event::Arrive {
                        from,
                        to,
                        bytes: Vec::new(),
                    },
                );
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Arrive { from, to, bytes } => {
                self.places[to]
                    .node
                    .handle(now, peer(from), &bytes)
                    .unwrap();
                self.drain(to);
            }
            Event::Append { at, number } => {
                let mut body = vec![at as u8; self.below(200) as usize];
                body.extend(number.to_be_bytes());
                let message = Message::new(GROUP, number as i64, body);
                self.places[at].node.append(now, message).unwrap();
                self.drain(at);
            }
            Event::Written { at, life } => self.written(at, life),
            Event::Crash { at } => {
                let life = self.places[at].life + 1;
                let mut node = self.node(at, life);
                let place = &mut self.places[at];
                place.writing.clear();
                place.life = life;
                node.restore(now, place.disk.records());
                place.node = node;
                self.drain(at);
            }
        }
    }

    fn written(&mut self, at: usize, life: u64) {
        let now = self.now();
        let place = &mut self.places[at];
        if place.life != life {
            return;
        }
        let batch = place.writing.pop_front().unwrap();
        for change in &batch.changes {
            if let Change::PutMessage { id, .. } = change {
                // Nobody can pass it on before its maker has it on disk, so the first is the maker.
                self.made.entry(*id).or_insert(at);
            }
        }
        let seq = batch.seq;
        place.disk.apply(batch);
        place.node.committed(now, seq);
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        let mut delivered = Vec::new();
        while let Some(output) = self.places[at].node.poll_output() {
            match output {
                Output::Commit { seq, changes } => {
                    let delivered = std::mem::take(&mut delivered);
                    self.places[at].writing.push_back(Batch {
                        seq,
                        changes,
                        delivered,
                    });
                    let ms = self.ms + self.below(self.weather.commit_ms);
                    let life = self.places[at].life;
                    self.at(ms, Event::Written { at, life });
                }
                Output::Deliver { id, message, .. } => {
                    assert_eq!(message.id(), id);
                    delivered.push(id);
                }
                Output::Acked { .. } | Output::Parked { .. } => {}
                Output::Refused { .. } | Output::Lost { .. } => {
                    panic!("nobody misbehaves: {output:?}")
                }
            }
        }
        assert!(delivered.is_empty(), "a delivery belongs to a commit");
    }

    fn send(&mut self, at: usize) {
        let now = self.now();
        for to in self.places[at].node.peers_due(now) {
            let index = (0..self.places.len())
                .find(|index| peer(*index) == to)
                .unwrap();
            loop {
                let budget = 300 + self.below(2_000) as usize;
                let is_refused = self.below(10) == 0;
                let place = &mut self.places[at];
                assert!(place.node.records(&to) <= self.weather.messages);
                let Some(draft) = place.node.draft(now, &to, budget, &place.disk) else {
                    break;
                };
                assert!(draft.bytes().len() <= budget);
                if is_refused {
                    continue;
                }
                let bytes = draft.bytes().to_vec();
                place.node.taken(now, draft);
                self.drain(at);
                self.transmit(at, index, bytes);
            }
        }
    }

    fn transmit(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let is_bad = self.ms < HEALED_MS;
        self.trace.push((self.ms, from, to, bytes.clone()));
        let (loss, duplicates) = (self.below(100), self.below(100));
        let copies = match is_bad {
            true if loss < self.weather.loss => 0,
            true if duplicates < self.weather.duplicates => 2,
            true | false => 1,
        };
        for _ in 0..copies {
            let ms = self.ms + 1 + self.below(self.weather.delay_ms);
            self.at(
                ms,
                Event::Arrive {
                    from,
                    to,
                    bytes: bytes.clone(),
                },
            );
        }
    }

    fn check(&self) {
        for (id, maker) in &self.made {
            for (at, place) in self.places.iter().enumerate() {
                let expected = usize::from(at != *maker);
                let delivered = place.disk.delivered.get(id).copied().unwrap_or(0);
                assert_eq!(delivered, expected, "{id:?} of {maker} at {at}");
            }
        }
        for place in &self.places {
            assert!(place.writing.is_empty());
            assert!(place.disk.messages.is_empty() && place.disk.states.is_empty());
            assert!(
                place
                    .disk
                    .delivered
                    .keys()
                    .all(|id| self.made.contains_key(id))
            );
        }
    }
}

fn run(weather: Weather, seed: u64) -> World {
    let mut world = World::new(weather, seed);
    world.run();
    world.check();
    world
}

prop_compose! {
    fn weather()(
        nodes in 2usize..=4,
        messages in 1usize..30,
        crashes in 0usize..8,
        loss in 0u64..60,
        duplicates in 0u64..40,
        delay_ms in 1u64..20_000,
        commit_ms in 1u64..3_000,
    ) -> Weather {
        Weather { nodes, messages, crashes, loss, duplicates, delay_ms, commit_ms }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_message_comes_exactly_once_and_the_network_comes_to_rest(
        weather in weather(),
        seed: u64,
    ) {
        run(weather, seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let weather = Weather {
        nodes: 4,
        messages: 30,
        crashes: 4,
        loss: 30,
        duplicates: 20,
        delay_ms: 5_000,
        commit_ms: 500,
    };
    for seed in 0..5 {
        let (first, second) = (run(weather, seed), run(weather, seed));
        assert!(first.trace.len() > 100);
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.ms, second.ms);
    }
    assert_ne!(run(weather, 1).trace, run(weather, 2).trace);
}

#[test]
fn one_dead_peer_holds_nobody_up() {
    let start = Instant::now();
    let now = |s: u64| Now {
        mono: start + Duration::from_secs(s),
        unix_s: 1_700_000_000 + s,
    };
    let mut node = Node::new(CONFIG, [1; 32], now(0));
    let groups = [GroupId::new([1; 32]), GroupId::new([2; 32])];
    for (index, group) in groups.into_iter().enumerate() {
        node.join(group, peer(index), Mode::Batch, PeerConfig::OURS)
            .unwrap();
    }
    let mut disk = Disk::default();
    for number in 0..10_000 {
        node.append(now(0), Message::new(groups[0], number, *b"for the dead"))
            .unwrap();
    }
    let alive = node
        .append(now(0), Message::new(groups[1], 0, *b"for the living"))
        .unwrap();
    while let Some(output) = node.poll_output() {
        if let Output::Commit { seq, changes } = output {
            disk.apply(Batch {
                seq,
                changes,
                delivered: Vec::new(),
            });
            node.committed(now(0), seq);
        }
    }
    node.pause(&peer(0));
    assert_eq!(node.peers_due(now(1)), [peer(1)]);
    let draft = node.draft(now(1), &peer(1), 1_000, &disk).unwrap();
    assert_eq!(draft.message_ids(), [alive]);
    node.taken(now(1), draft);
    assert_eq!(node.records(&peer(0)), 10_000);
    // When it comes back, it gets all of it in pieces of the budget.
    node.resume(&peer(0));
    let mut sent = 0;
    while let Some(draft) = node.draft(now(2), &peer(0), 10_000, &disk) {
        assert!(draft.bytes().len() <= 10_000);
        sent += draft.message_ids().len();
        node.taken(now(2), draft);
    }
    assert_eq!(sent, 10_000);
}
