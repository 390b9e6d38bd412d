#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::mailbox::cell::seal_part;
use crate::mailbox::chain::{ChainKey, WriteProof};
use crate::mailbox::request::{Get, IDS};
use crate::mailbox::store::{Kept, MemoryCells};
use crate::sphinx::{Hop, PublicKey, ReplyKey, SurbId, make_surb};

const NOW: u64 = 1_700_000_000;

fn surb() -> Surb {
    let hop = Hop {
        key: PublicKey::from_bytes([9; 32]),
        address: crate::topology::nowhere(crate::descriptor::tests::peer_key(1)),
    };
    let id = SurbId::from_bytes([1; 16]).unwrap();
    let key = ReplyKey::from_bytes([2; 16]);
    make_surb(&[hop], &[], &[3; 32], id, key).unwrap().0
}

fn key() -> ChainKey {
    ChainKey::from_bytes([5; 32])
}

fn put(index: u64, content: &[u8]) -> Request {
    let put = Put {
        id: key().box_id(index),
        proof: key().proof(index),
        cell: seal_part(&key(), index, content, 0).unwrap(),
    };
    let body = put.encode(&surb());
    Request::decode_put(&body).unwrap()
}

fn get(indices: [u64; IDS], answers: usize) -> Request {
    let get = Get {
        ids: indices.map(|index| key().box_id(index)),
    };
    let blocks: Vec<Surb> = (0..answers).map(|_| surb()).collect();
    Request::decode_get(&get.encode(&blocks)).unwrap()
}

fn server(config: ServerConfig) -> Server<MemoryCells> {
    Server::open(config, MemoryCells::default(), [1; 32]).unwrap()
}

fn status(server: &mut Server<MemoryCells>, now_s: u64, request: Request) -> PutStatus {
    match &server.serve(now_s, vec![request]).unwrap()[..] {
        [(_, Answer::Put(status))] => *status,
        other => panic!("{} answers", other.len()),
    }
}

fn places(server: &mut Server<MemoryCells>, now_s: u64, request: Request) -> Vec<Option<u8>> {
    let answers = server.serve(now_s, vec![request]).unwrap();
    let place = |answer| match answer {
        (_, Answer::Get { place, .. }) => place,
        (_, Answer::Put(_)) => panic!("a get is answered with cells"),
    };
    answers.into_iter().map(place).collect()
}

#[test]
fn the_first_write_counts_and_the_same_again_is_answered_as_kept() {
    let mut server = server(ServerConfig::default());
    assert_eq!(status(&mut server, NOW, put(1, b"one")), PutStatus::Stored);
    assert_eq!(
        status(&mut server, NOW, put(1, b"one")),
        PutStatus::StoredBefore
    );
    assert_eq!(status(&mut server, NOW, put(1, b"two")), PutStatus::Taken);
    let both = server
        .serve(NOW, vec![put(2, b"a"), put(2, b"b"), put(2, b"a")])
        .unwrap();
    let said: Vec<_> = both.into_iter().map(|(_, answer)| answer).collect();
    use PutStatus::{Stored, StoredBefore, Taken};
    assert_eq!(said, [Stored, Taken, StoredBefore].map(Answer::Put));
    assert_eq!(server.cells(), 2);
    assert_eq!(server.counters().puts, [2, 2, 2, 0, 0]);
}

#[test]
fn reading_before_writing_and_beside_what_is_there_gets_whole_random_cells() {
    let mut server = server(ServerConfig::default());
    assert_eq!(places(&mut server, NOW, get([1, 2, 3, 4, 5], 3)), [None; 3]);
    status(&mut server, NOW, put(3, b"three"));
    status(&mut server, NOW, put(5, b"five"));
    assert_eq!(
        places(&mut server, NOW, get([1, 2, 3, 4, 5], 3)),
        [Some(2), Some(4), None]
    );
    assert_eq!(places(&mut server, NOW, get([5, 2, 3, 4, 1], 1)), [Some(0)]);
    // The same size, found or not; and no two random cells are alike.
    let answers = server.serve(NOW, vec![get([1, 2, 3, 4, 6], 5)]).unwrap();
    let bodies: Vec<_> = answers.iter().map(|(_, answer)| answer.encode()).collect();
    assert!(bodies.iter().all(|body| body.len() == bodies[0].len()));
    assert!(bodies[1..].windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(server.counters().found, 4);
}

#[test]
fn a_wrong_proof_is_no_request() {
    let mut body = match put(1, b"x") {
        Request::Put { put, answer } => put.encode(&answer),
        Request::Get { .. } => panic!(),
    };
    body[40] ^= 1;
    let refused = Request::decode_put(&body).unwrap_err();
    assert_eq!(refused.as_str(), "wrong_proof");
    // Knowing the id of a box does not open it.
    let id = *key().box_id(1).as_bytes();
    assert_ne!(WriteProof::from_bytes(id).box_id(), key().box_id(1));
}

#[test]
fn cells_expire_and_their_boxes_are_free_again() {
    let config = ServerConfig::default();
    let mut server = server(config);
    status(&mut server, NOW, put(1, b"one"));
    let last = NOW + config.ttl_s - 1;
    assert_eq!(places(&mut server, last, get([1; IDS], 1)), [Some(0)]);
    assert_eq!(status(&mut server, last, put(1, b"two")), PutStatus::Taken);
    assert_eq!(places(&mut server, last + 1, get([1; IDS], 1)), [None]);
    assert_eq!((server.cells(), server.counters().expired), (0, 1));
    assert_eq!(
        status(&mut server, last + 1, put(1, b"two")),
        PutStatus::Stored
    );
}

#[test]
fn a_full_mailbox_and_a_flood_in_one_epoch_are_refused_with_a_reason() {
    let config = ServerConfig {
        bytes_max: 5 * ENTRY_LEN,
        epoch_bytes_max: 3 * ENTRY_LEN,
        epoch_s: 100,
        ttl_s: 1000,
    };
    let mut server = server(config);
    let start = NOW - NOW % 100;
    for index in 0..3 {
        assert_eq!(
            status(&mut server, start, put(index, b"x")),
            PutStatus::Stored
        );
    }
    assert_eq!(
        status(&mut server, start + 99, put(3, b"x")),
        PutStatus::Busy
    );
    // What is there may be written again, and costs nothing.
    assert_eq!(
        status(&mut server, start + 99, put(2, b"x")),
        PutStatus::StoredBefore
    );
    for index in 3..5 {
        assert_eq!(
            status(&mut server, start + 100, put(index, b"x")),
            PutStatus::Stored
        );
    }
    assert_eq!(
        status(&mut server, start + 200, put(5, b"x")),
        PutStatus::Full
    );
    assert_eq!(server.bytes(), 5 * ENTRY_LEN);
    // When the first three are over there is room.
    assert_eq!(
        status(&mut server, start + 1000, put(5, b"x")),
        PutStatus::Stored
    );
}

#[test]
fn a_restart_remembers_what_was_kept() {
    let mut before = server(ServerConfig::default());
    status(&mut before, NOW, put(1, b"one"));
    let mut cells = MemoryCells::default();
    let id = key().box_id(1);
    let cell = before.store().load(&id).unwrap().unwrap();
    cells.write(&[Write::Put(id, NOW + 10, cell)]).unwrap();
    let mut after = Server::open(ServerConfig::default(), cells, [1; 32]).unwrap();
    assert_eq!(
        status(&mut after, NOW, put(1, b"one")),
        PutStatus::StoredBefore
    );
    assert_eq!(places(&mut after, NOW + 10, get([1; IDS], 1)), [None]);
}

/// A disk that is full.
struct Broken;

impl CellStore for Broken {
    fn load(&self, _: &BoxId) -> Result<Option<Cell>, CellStoreError> {
        Ok(None)
    }
    fn write(&mut self, _: &[Write]) -> Result<(), CellStoreError> {
        Err(CellStoreError::Io("no space".to_owned()))
    }
    fn scan(&self, _: &mut dyn FnMut(Kept)) -> Result<(), CellStoreError> {
        Ok(())
    }
}

#[test]
fn what_is_not_on_the_disk_is_not_answered_and_not_remembered() {
    let mut server = Server::open(ServerConfig::default(), Broken, [1; 32]).unwrap();
    for _ in 0..2 {
        assert!(server.serve(NOW, vec![put(1, b"one")]).is_err());
        assert_eq!((server.cells(), server.by_time.len()), (0, 0));
    }
}
