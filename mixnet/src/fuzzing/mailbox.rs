//! A mailbox under a script, beside a model of what it must say: puts good and broken, gets, time, restarts, and a disk that fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;

use super::script::Script;
use crate::geometry::SURB_LEN;
use crate::mailbox::cell::seal_part;
use crate::mailbox::request::IDS;
use crate::mailbox::server::ENTRY_LEN;
use crate::mailbox::store::Write;
use crate::mailbox::{
    Answer, BoxId, Cell, CellStore, CellStoreError, ChainKey, Get, Kept, MemoryCells, Put,
    PutStatus, Request, RequestError, Server, ServerConfig,
};
use crate::sphinx::{Hop, PublicKey, ReplyKey, Surb, SurbId, make_surb};
use crate::topology::nowhere;

/// A disk that outlives the mailbox, and may fail once.
#[derive(Clone, Default)]
struct Disk {
    cells: Rc<RefCell<MemoryCells>>,
    fails: Rc<RefCell<bool>>,
}

impl CellStore for Disk {
    fn load(&self, id: &BoxId) -> Result<Option<Cell>, CellStoreError> {
        self.cells.borrow().load(id)
    }

    fn write(&mut self, batch: &[Write]) -> Result<(), CellStoreError> {
        if self.fails.take() {
            return Err(CellStoreError::Io("the script says so".to_owned()));
        }
        self.cells.borrow_mut().write(batch)
    }

    fn scan(&self, each: &mut dyn FnMut(Kept)) -> Result<(), CellStoreError> {
        self.cells.borrow().scan(each)
    }
}

/// What must be there, and what the epoch brought.
#[derive(Default)]
struct Model {
    cells: BTreeMap<BoxId, (Cell, u64)>,
    epoch: (u64, u64),
}

impl Model {
    /// What a put is answered, and whether the disk is written.
    fn put(&mut self, now_s: u64, put: &Put) -> PutStatus {
        if let Some((cell, _)) = self.cells.get(&put.id) {
            return match *cell == put.cell {
                true => PutStatus::StoredBefore,
                false => PutStatus::Taken,
            };
        }
        if self.cells.len() >= CELLS_MAX {
            return PutStatus::Full;
        }
        let epoch = now_s / CONFIG.epoch_s;
        if self.epoch.0 != epoch {
            self.epoch = (epoch, 0);
        }
        if self.epoch.1 >= EPOCH_CELLS_MAX {
            return PutStatus::Busy;
        }
        self.epoch.1 += 1;
        let until_s = now_s + CONFIG.ttl_s;
        self.cells.insert(put.id, (put.cell.clone(), until_s));
        PutStatus::Stored
    }
}

/// A script for one mailbox.
pub fn mailbox(data: &[u8]) {
    let mut script = Script::new(data);
    let (disk, mut model) = (Disk::default(), Model::default());
    let mut server = opened(&disk);
    let mut now_s = 1_700_000_000;
    let mut waiting = Vec::new();
    for _ in 0..STEPS_MAX {
        let Some(step) = script.step() else { break };
        match step % 8 {
            0..=2 => waiting.extend(put(step / 8, &mut script)),
            3 => waiting.push(get(&mut script)),
            4 | 5 => serve(&mut server, &disk, &mut model, now_s, &mut waiting),
            6 => now_s += u64::from(script.byte()),
            _ if step / 8 % 2 == 0 => *disk.fails.borrow_mut() = true,
            _ => {
                server = opened(&disk);
                model.epoch = (0, 0);
            }
        }
        assert_eq!(server.cells(), model.cells.len());
        assert!(server.bytes() <= CONFIG.bytes_max);
    }
}

fn opened(disk: &Disk) -> Server<Disk> {
    Server::open(CONFIG, disk.clone(), [1; 32]).expect("the disk reads")
}

/// A put of one of few boxes and contents; some are touched on the way.
fn put(which: u8, script: &mut Script<'_>) -> Option<Request> {
    let key = ChainKey::from_bytes([5; 32]);
    let (index, touched) = (u64::from(which % 12), script.byte());
    let put = Put {
        id: key.box_id(index),
        proof: key.proof(index),
        cell: seal_part(&key, index, &[touched % 4], 0).expect("one byte fits"),
    };
    let mut body = put.encode(&blocks(1)[0]);
    // An id and a proof that do not belong together are no request; the cell is the writer's own affair.
    if touched >= 0xe0 {
        let at = usize::from(script.number()) % (body.len() - SURB_LEN);
        body[at] ^= 1;
        let decoded = Request::decode_put(&body);
        if at < 64 {
            assert_eq!(decoded.err(), Some(RequestError::WrongProof));
            return None;
        }
        return decoded.ok();
    }
    Some(Request::decode_put(&body).expect("a good put"))
}

fn get(script: &mut Script<'_>) -> Request {
    let key = ChainKey::from_bytes([5; 32]);
    let ids = [(); IDS].map(|()| key.box_id(u64::from(script.byte() % 16)));
    let answers = usize::from(script.byte()) % IDS + 1;
    let body = Get { ids }.encode(&blocks(answers));
    Request::decode_get(&body).expect("a good get")
}

/// Serves what waits, and compares with the model. A disk that fails answers nothing and keeps nothing.
fn serve(
    server: &mut Server<Disk>,
    disk: &Disk,
    model: &mut Model,
    now_s: u64,
    waiting: &mut Vec<Request>,
) {
    let fails = *disk.fails.borrow();
    let requests = std::mem::take(waiting);
    let is_over = |(_, until_s): &(Cell, u64)| *until_s <= now_s;
    if fails && model.cells.values().any(is_over) {
        assert!(server.serve(now_s, requests).is_err());
        return;
    }
    model.cells.retain(|_, kept| !is_over(kept));
    let before = model.cells.clone();
    let mut expected = Vec::new();
    for request in &requests {
        if let Request::Put { put, .. } = request {
            expected.push(Answer::Put(model.put(now_s, put)));
        }
    }
    if fails && expected.contains(&Answer::Put(PutStatus::Stored)) {
        assert!(server.serve(now_s, requests).is_err());
        model.cells = before;
        return;
    }
    for request in &requests {
        if let Request::Get { get, answers } = request {
            let kept = |(place, id): (u8, &BoxId)| {
                let (cell, _) = model.cells.get(id)?;
                Some((place, cell.clone()))
            };
            let mut found = (0u8..).zip(&get.ids).filter_map(kept);
            expected.extend(answers.iter().map(|_| match found.next() {
                Some((place, cell)) => Answer::Get {
                    place: Some(place),
                    cell,
                },
                None => Answer::Put(PutStatus::Full),
            }));
        }
    }
    let answers = server.serve(now_s, requests).expect("the disk works");
    assert_eq!(answers.len(), expected.len(), "one for each block");
    for ((_, answer), expected) in answers.into_iter().zip(expected) {
        // In the place of a random cell the model has no cell at all.
        match answer {
            Answer::Get { place: None, .. } => assert_eq!(expected, Answer::Put(PutStatus::Full)),
            answer => assert_eq!(answer, expected),
        }
    }
}

/// Reply blocks, all the same one: nothing here is sent through them.
pub(super) fn blocks(count: usize) -> Vec<Surb> {
    static BLOCK: OnceLock<[u8; SURB_LEN]> = OnceLock::new();
    let block = BLOCK.get_or_init(|| {
        let hop = Hop {
            key: PublicKey::from_bytes([9; 32]),
            address: nowhere(super::node::descriptor(1, Default::default()).peer()),
        };
        let id = SurbId::from_bytes([1; 16]).expect("not zero");
        let made = make_surb(&[hop], &[], &[3; 32], id, ReplyKey::from_bytes([2; 16]));
        made.expect("a good path").0.to_bytes()
    });
    let read = |_| Surb::from_bytes(block).expect("a good block");
    (0..count).map(read).collect()
}

/// A mailbox that is soon full, in epochs and times that a script can pass.
const CONFIG: ServerConfig = ServerConfig {
    bytes_max: CELLS_MAX as u64 * ENTRY_LEN,
    epoch_bytes_max: EPOCH_CELLS_MAX * ENTRY_LEN,
    epoch_s: 300,
    ttl_s: 700,
};
const CELLS_MAX: usize = 6;
const EPOCH_CELLS_MAX: u64 = 4;
/// More says nothing new and takes longer.
const STEPS_MAX: usize = 100;
