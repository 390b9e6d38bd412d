//! Whoever reads a chain of boxes, and mailboxes that answer as a script wants: what is there, nothing, lies, late, never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::mailbox::blocks;
use super::reassembly::Time;
use super::script::Script;
use crate::address::AddressPolicy;
use crate::descriptor::Capabilities;
use crate::mailbox::cell::seal_part;
use crate::mailbox::client::ANSWERS;
use crate::mailbox::{
    Answer, BoxId, CELL_LEN, Cell, ChainKey, Client, Event, Label, Request, boxes_for,
};
use crate::sphinx::{SURB_TTL, SurbId};
use crate::topology::Topology;

/// What was left in the chain, and what of it the reader was handed.
#[derive(Default)]
struct Chain {
    cells: BTreeMap<BoxId, Cell>,
    /// Objects by the index of the box after them.
    objects: BTreeMap<u64, Vec<u8>>,
    end: u64,
    /// Where the reader is.
    next: u64,
}

impl Chain {
    /// Leaves an object in the next boxes. A box may get lost.
    fn leave(&mut self, script: &mut Script<'_>) {
        if self.objects.len() >= OBJECTS_MAX {
            return;
        }
        let (len, lost) = (usize::from(script.number()) % 8_000, script.byte());
        let object = vec![self.end as u8; len];
        for part in 0..boxes_for(len) {
            let index = self.end + part as u64;
            let sealed = seal_part(&key(), self.end, &object, part).expect("a short object");
            if usize::from(lost) != part + 0x80 {
                self.cells.insert(key().box_id(index), sealed);
            }
        }
        self.end += boxes_for(len) as u64;
        self.objects.insert(self.end, object);
    }

    /// What was left comes once, in order, and nothing else.
    fn check(&mut self, event: Event) {
        match event {
            Event::Found { next, object, .. } => {
                assert!(next > self.next, "in order");
                assert_eq!(self.objects.get(&next), Some(&object));
                self.next = next;
            }
            Event::Skipped { next, .. } => {
                assert!(next > self.next && next <= self.end);
                self.next = next;
            }
            Event::Left { .. } | Event::Lost { .. } => unreachable!("nothing is written"),
        }
    }
}

/// A script for one reader of one chain.
pub fn reader(data: &[u8]) {
    let topology = topology();
    let mut script = Script::new(data);
    let (mut time, mut chain) = (Time::new(), Chain::default());
    let rng = ChaCha20Rng::from_seed([script.byte(); 32]);
    let mut client = Client::new(Duration::from_millis(80), rng);
    client.watch(LABEL, key(), 0).expect("the first chain");
    let mut late: VecDeque<(Instant, SurbId, Vec<u8>)> = VecDeque::new();
    let mut given_out = 0u64;
    for _ in 0..STEPS_MAX {
        let Some(step) = script.step() else { break };
        match step % 8 {
            0 => chain.leave(&mut script),
            1..=4 => {
                time.pass(Duration::from_secs(2));
                let now = time.now().mono;
                let errand = client.poll(now, topology).expect("a chain and mailboxes");
                let body = errand.encode(&blocks(ANSWERS));
                let ids: Vec<SurbId> = (0..ANSWERS as u64)
                    .map(|n| surb_id(given_out + n))
                    .collect();
                given_out += ANSWERS as u64;
                client.departed(now, errand, &ids);
                let answers = answers(&chain, &body.expect("a poll"), step / 8);
                for (id, answer) in ids.into_iter().zip(answers) {
                    late.push_back((now, id, answer));
                }
            }
            5 => {
                // One answer, in its turn or out of it, and touched or not.
                let at = usize::from(script.byte()) % late.len().max(1);
                if let Some((_, id, mut body)) = late.remove(at) {
                    if step / 8 == 31 {
                        let at = usize::from(script.number()) % body.len();
                        body[at] ^= script.byte();
                    }
                    // What is malformed is refused, and disturbs nothing.
                    let _ = client.answered(time.now().mono, id, &body);
                }
            }
            6 => {
                for (left, id, body) in late.drain(..) {
                    let now = time.now().mono;
                    let taken = client.answered(now, id, &body);
                    // Of the other kind, or so late that its block is forgotten.
                    let is_known = body.len() == 2 + CELL_LEN && now - left < SURB_TTL;
                    assert!(taken.is_ok() || !is_known);
                }
            }
            _ => time.pass(Duration::from_secs(u64::from(script.byte()) * 8)),
        }
        while let Some(event) = client.poll_event() {
            chain.check(event);
        }
    }
}

/// What a mailbox says to a poll: the truth, that nothing is there, or something else.
fn answers(chain: &Chain, body: &[u8], how: u8) -> Vec<Vec<u8>> {
    let Ok(Request::Get { get, .. }) = Request::decode_get(body) else {
        unreachable!("a poll is a get");
    };
    let places = (0u8..).zip(&get.ids);
    let found = places.filter_map(|(place, id)| Some((place, chain.cells.get(id)?.clone())));
    let nothing = || Answer::Get {
        place: None,
        cell: Cell::from_slice(&[0xaa; CELL_LEN]).expect("the length of a cell"),
    };
    let truth = found.map(|(place, cell)| Answer::Get {
        place: Some(place),
        cell,
    });
    let mut said: Vec<Answer> = match how % 8 {
        0..=3 => truth.collect(),
        4 => Vec::new(),
        // A cell of another box, and one that is made up.
        5 => chain
            .cells
            .values()
            .next()
            .map(at_place(0))
            .into_iter()
            .collect(),
        6 => Cell::from_slice(&[7; CELL_LEN])
            .iter()
            .map(at_place(4))
            .collect(),
        _ => vec![Answer::Put(crate::mailbox::PutStatus::Stored)],
    };
    said.resize_with(ANSWERS, nothing);
    said.iter().map(Answer::encode).collect()
}

fn at_place(place: u8) -> impl Fn(&Cell) -> Answer {
    move |cell| Answer::Get {
        place: Some(place),
        cell: cell.clone(),
    }
}

fn surb_id(n: u64) -> SurbId {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SurbId::from_bytes(bytes).expect("not zero")
}

/// Five nodes, four of them mailboxes.
fn topology() -> &'static Topology {
    static TOPOLOGY: OnceLock<Topology> = OnceLock::new();
    TOPOLOGY.get_or_init(|| {
        let capabilities = |n| Capabilities {
            relay: n == 1,
            mailbox: n > 1,
            ..Capabilities::default()
        };
        let nodes = (1..=5).map(|n| super::node::descriptor(n, capabilities(n)));
        let policy = AddressPolicy {
            allow_private: true,
        };
        Topology::new(nodes.collect(), policy).expect("a good network")
    })
}

fn key() -> ChainKey {
    ChainKey::from_bytes([5; 32])
}

const LABEL: Label = [4; 16];
/// More says nothing new and takes longer.
const STEPS_MAX: usize = 120;
const OBJECTS_MAX: usize = 24;
