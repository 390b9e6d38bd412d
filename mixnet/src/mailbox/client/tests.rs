//! A reader and a writer against real mailboxes in memory; the way between them loses what the test wants.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::descriptor::Descriptor;
use crate::mailbox::cell::Cell;
use crate::mailbox::place::{mailboxes_of, tests::network};
use crate::mailbox::request::Request;
use crate::mailbox::server::{Server, ServerConfig};
use crate::mailbox::store::MemoryCells;
use crate::mailbox::{CELL_FRAGMENT_MAX, CELL_LEN, boxes_for};
use crate::sphinx::{Hop, PublicKey, ReplyKey, make_surb};
use rand_core::SeedableRng;

const LABEL: Label = [4; 16];
const NOW_S: u64 = 1_700_000_000;

/// What is wrong with a mailbox.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Dead,
    Lying,
}

struct Net {
    start: Instant,
    now: Instant,
    topology: Topology,
    servers: BTreeMap<PeerKey, Server<MemoryCells>>,
    faults: BTreeMap<PeerKey, Fault>,
    loss_percent: u64,
    rng: ChaCha20Rng,
    writer: Client,
    reader: Client,
    found: Vec<(u64, Vec<u8>)>,
    events: Vec<Event>,
    sizes: std::collections::BTreeSet<usize>,
}

impl Net {
    fn new(mailboxes: u16, seed: u8) -> Self {
        let topology = network(10..=9 + mailboxes);
        let servers = topology
            .iter()
            .filter(|descriptor| descriptor.capabilities().mailbox)
            .map(Descriptor::peer)
            .map(|peer| {
                let config = ServerConfig::default();
                let server = Server::open(config, MemoryCells::default(), [seed; 32]);
                (peer, server.unwrap())
            })
            .collect();
        let client = |n| {
            let rng = ChaCha20Rng::from_seed([seed ^ n; 32]);
            Client::new(Duration::from_millis(80), rng)
        };
        let start = Instant::now();
        let mut net = Self {
            start,
            now: start,
            topology,
            servers,
            faults: BTreeMap::new(),
            loss_percent: 0,
            rng: ChaCha20Rng::from_seed([seed; 32]),
            writer: client(1),
            reader: client(2),
            found: Vec::new(),
            events: Vec::new(),
            sizes: std::collections::BTreeSet::new(),
        };
        net.reader.watch(LABEL, key(), 0).unwrap();
        net
    }

    fn mailboxes(&self) -> Vec<PeerKey> {
        self.servers.keys().copied().collect()
    }

    fn leave(&mut self, first: u64, object: &[u8]) {
        self.writer
            .leave(self.now, LABEL, key(), first, object.to_vec())
            .unwrap();
    }

    /// One slot of each clock every two seconds.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds / 2 {
            self.now += Duration::from_secs(2);
            if self.writer.has_put(self.now)
                && let Some(errand) = self.writer.put(self.now, &self.topology)
            {
                self.carry(errand, true);
            }
            if let Some(errand) = self.reader.poll(self.now, &self.topology) {
                self.carry(errand, false);
            }
        }
    }

    fn is_lost(&mut self) -> bool {
        self.rng.next_u64() % 100 < self.loss_percent
    }

    fn carry(&mut self, errand: Errand, of_writer: bool) {
        let named: Vec<_> = (0..errand.blocks()).map(|_| self.surb()).collect();
        let (ids, blocks): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        let (body, to) = (errand.encode(&blocks).unwrap(), errand.to);
        let request = if errand.is_poll() {
            Request::decode_get(&body).unwrap()
        } else {
            Request::decode_put(&body).unwrap()
        };
        let client = if of_writer {
            &mut self.writer
        } else {
            &mut self.reader
        };
        client.departed(self.now, errand, &ids);
        let fault = self.faults.get(&to).copied();
        if self.is_lost() || fault == Some(Fault::Dead) {
            return;
        }
        let now_s = NOW_S + (self.now - self.start).as_secs();
        let answers = self
            .servers
            .get_mut(&to)
            .unwrap()
            .serve(now_s, vec![request])
            .unwrap();
        for (id, (_, mut answer)) in ids.into_iter().zip(answers) {
            if self.is_lost() {
                continue;
            }
            if let (Some(Fault::Lying), Answer::Get { place, cell }) = (fault, &mut answer) {
                (*place, *cell) = (Some(0), Cell::from_slice(&[7; CELL_LEN]).unwrap());
            }
            let body = answer.encode();
            self.sizes.insert(body.len());
            let client = if of_writer {
                &mut self.writer
            } else {
                &mut self.reader
            };
            client.answered(self.now, id, &body).unwrap();
        }
        while let Some(event) = self.reader.poll_event() {
            if let Event::Found { next, object, .. } = &event {
                self.found.push((*next, object.clone()));
            }
            self.events.push(event);
        }
        while let Some(event) = self.writer.poll_event() {
            self.events.push(event);
        }
    }

    fn surb(&mut self) -> (SurbId, Surb) {
        let hop = Hop {
            key: PublicKey::from_bytes([9; 32]),
            address: crate::topology::nowhere(crate::descriptor::tests::peer_key(1)),
        };
        let id = SurbId::generate(&mut self.rng);
        let key = ReplyKey::generate(&mut self.rng);
        (id, make_surb(&[hop], &[], &[3; 32], id, key).unwrap().0)
    }

    fn left(&self) -> usize {
        let left = |event: &&Event| matches!(event, Event::Left { .. });
        self.events.iter().filter(left).count()
    }
}

fn key() -> ChainKey {
    ChainKey::from_bytes([5; 32])
}

/// Objects of one to four boxes, with the indices of their first boxes.
fn objects(count: usize) -> Vec<(u64, Vec<u8>)> {
    let mut first = 0;
    (0..count)
        .map(|n| {
            let len = 1 + (n * 1_357) % (4 * CELL_FRAGMENT_MAX);
            let object: Vec<u8> = (0..len).map(|i| (i + n * 7) as u8).collect();
            let at = first;
            first += boxes_for(len) as u64;
            (at, object)
        })
        .collect()
}

/// Leaves objects, then has them found; all of them, in order, once.
fn all_found(net: &mut Net, count: usize, seconds: u64) {
    let objects = objects(count);
    for (first, object) in &objects {
        net.leave(*first, object);
    }
    net.run(seconds);
    let found: Vec<_> = net.found.iter().map(|(_, object)| object.clone()).collect();
    let left: Vec<_> = objects.into_iter().map(|(_, object)| object).collect();
    assert_eq!(found.len(), left.len(), "{:?}", net.reader.counters());
    assert!(found == left);
    assert_eq!(net.left(), count);
    assert_eq!(net.writer.leaving(), 0);
}

#[test]
fn what_is_left_is_found_in_order_and_once() {
    let mut net = Net::new(5, 1);
    all_found(&mut net, 20, 1_200);
    assert_eq!(net.reader.counters().lies, 0);
    // Each box is at two mailboxes, at those where it belongs.
    let boxes: u64 = objects(20)
        .iter()
        .map(|(_, object)| boxes_for(object.len()) as u64)
        .sum();
    let kept: usize = net.servers.values().map(Server::cells).sum();
    assert_eq!(kept as u64, 2 * boxes);
    // Answers to polls have one size, and those to puts another; inside a packet nobody sees either.
    assert_eq!(net.sizes.len(), 2);
}

#[test]
fn one_mailbox_is_enough_when_there_is_only_one() {
    all_found(&mut Net::new(1, 2), 10, 1_200);
}

#[test]
fn loss_is_made_up_for() {
    for seed in 1..=4 {
        let mut net = Net::new(4, seed);
        net.loss_percent = 20;
        all_found(&mut net, 12, 6_000);
    }
}

#[test]
fn one_dead_and_one_lying_mailbox_lose_nothing() {
    for seed in 1..=4 {
        let mut net = Net::new(4, seed);
        let peers = net.mailboxes();
        net.faults.insert(peers[0], Fault::Dead);
        net.faults.insert(peers[1], Fault::Lying);
        all_found(&mut net, 20, 4_000);
        assert!(net.reader.counters().lies > 0);
        assert!(net.writer.counters().unanswered > 0);
    }
}

#[test]
fn a_mailbox_that_dies_after_the_writing_loses_nothing() {
    let mut net = Net::new(3, 1);
    net.reader.unwatch(&LABEL);
    for (first, object) in objects(20) {
        net.leave(first, &object);
    }
    net.run(600);
    assert_eq!(net.left(), 20);
    let dead = net.mailboxes()[0];
    net.faults.insert(dead, Fault::Dead);
    net.reader.watch(LABEL, key(), 0).unwrap();
    net.run(2_000);
    assert_eq!(net.found.len(), 20);
    assert!(net.reader.counters().silent > 0);
}

/// A liar is asked last once it was caught: nearly all polls go to the others.
#[test]
fn a_liar_is_found_out_and_avoided() {
    let mut net = Net::new(2, 3);
    let liar = net.mailboxes()[0];
    net.faults.insert(liar, Fault::Lying);
    net.run(600);
    let lies = net.reader.counters().lies;
    assert!(
        (1..=300 / 9 * 3 + 3).contains(&lies),
        "{lies} lies in 300 polls"
    );
}

#[test]
fn a_box_that_is_lost_does_not_stop_the_chain() {
    let mut net = Net::new(2, 4);
    // Box 0 was never written: its writer lost it.
    net.leave(1, b"one");
    net.leave(2, b"two");
    net.run(800);
    assert!(net.found.is_empty(), "it may still come");
    net.run(400);
    assert_eq!(net.found, [(2, b"one".to_vec()), (3, b"two".to_vec())]);
    assert!(net.events.contains(&Event::Skipped {
        label: LABEL,
        next: 1
    }));
    assert_eq!(net.reader.counters().skipped, 1);
}

#[test]
fn an_object_without_its_beginning_or_its_middle_is_given_up_whole() {
    for missing in [0, 1] {
        let mut net = Net::new(2, 5);
        net.leave(0, &vec![1; 3 * CELL_FRAGMENT_MAX]);
        net.leave(3, b"after");
        net.run(100);
        assert_eq!(net.found.len(), 2);
        // The same boxes, but one of them gone from every mailbox.
        let id = key().box_id(missing);
        for server in net.servers.values_mut() {
            server.lose(&id);
        }
        net.found.clear();
        net.reader.watch(LABEL, key(), 0).unwrap();
        net.run(1_600);
        assert_eq!(net.found, [(4, b"after".to_vec())], "box {missing}");
        assert_eq!(net.reader.counters().skipped, 3);
    }
}

#[test]
fn boxes_that_somebody_else_filled_are_reported() {
    let mut net = Net::new(2, 6);
    net.leave(0, b"first life");
    net.run(60);
    assert_eq!(net.left(), 1);
    // A writer whose disk was set back writes something else into the same box.
    net.leave(0, b"second life");
    net.run(600);
    assert!(net.events.contains(&Event::Lost {
        label: LABEL,
        first: 0
    }));
    assert_eq!(net.found, [(1, b"first life".to_vec())]);
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let mut net = Net::new(3, 7);
    all_found(&mut net, 6, 600);
    let next = net.found[2].0;
    let rest = net.found.split_off(3);
    net.found.clear();
    net.reader.watch(LABEL, key(), next).unwrap();
    net.run(600);
    assert!(net.found == rest);
}

#[test]
fn answers_that_nobody_asked_for_and_answers_of_the_other_kind_are_dropped() {
    let mut net = Net::new(1, 8);
    let (id, _) = net.surb();
    let status = Answer::Put(super::super::PutStatus::Stored).encode();
    let reader = &mut net.reader;
    assert!(reader.answered(net.now, id, &status).is_err());
    let errand = reader.poll(net.now, &net.topology).unwrap();
    reader.departed(net.now, errand, &[id]);
    assert!(reader.answered(net.now, id, &[0x10, 0]).is_err());
    assert!(reader.answered(net.now, id, &status).is_err());
}

#[test]
fn places_of_random_ids_cannot_be_found() {
    let mut net = Net::new(1, 9);
    let errand = net.reader.poll(net.now, &net.topology).unwrap();
    let (id, _) = net.surb();
    net.reader.departed(net.now, errand, &[id]);
    // Of a window of 32 boxes at one mailbox all five ids are real, but the cell is not.
    let lie = Answer::Get {
        place: Some(4),
        cell: Cell::from_slice(&[0; CELL_LEN]).unwrap(),
    };
    net.reader.answered(net.now, id, &lie.encode()).unwrap();
    assert_eq!(net.reader.counters().lies, 1);
}

#[test]
fn everything_is_bounded() {
    let mut net = Net::new(1, 10);
    for n in 0..CHAINS_MAX {
        let mut label = [9; 16];
        label[0] = n as u8;
        assert_eq!(
            net.reader.watch(label, key(), 0).is_ok(),
            n + 1 < CHAINS_MAX
        );
    }
    let mut taken = 0;
    while net
        .writer
        .leave(net.now, LABEL, key(), taken, vec![0; 10])
        .is_ok()
    {
        taken += 1;
    }
    assert_eq!(taken, 256);
    let long = vec![0; 1_200_001];
    let refused = net.writer.leave(net.now, LABEL, key(), 1_000, long);
    assert_eq!(refused, Err(LeaveError::Oversize(1_200_001)));
    net.writer.forget(&LABEL);
    assert!(net.writer.leaving() == 0 && !net.writer.has_put(net.now));
    let id = key().box_id(0);
    assert_eq!(mailboxes_of(&net.topology, &id, 4).len(), 1);
}
