//! Cells of mailboxes, and what travels to a mailbox and back: any bytes, broken forms of those who have the key, and good ones
//! that are touched.

use super::filled;
use super::script::Script;
use crate::fragment::{FrameHead, TAG_LEN};
use crate::mailbox::cell::{CELL_FRAGMENT_MAX, CONTENT_LEN, CellError, open, seal, seal_part};
use crate::mailbox::{Answer, CELL_LEN, Cell, ChainKey, Request, boxes_for};

/// A cell: how it was made, and for which box.
pub fn cell(data: &[u8]) {
    let mut script = Script::new(data);
    let (kind, index) = (script.byte(), u64::from(script.number()));
    let key = ChainKey::from_bytes([7; 32]);
    match kind % 4 {
        // Nobody but who has the key makes one that opens.
        0 => {
            let bytes = filled::<CELL_LEN>(script.rest());
            assert_eq!(open(&key, index, &cell_of(&*bytes)), Err(CellError::Forged));
        }
        // Who has the key may seal anything: there is one form only that opens.
        1 => {
            let content = filled::<CONTENT_LEN>(script.rest());
            let sealed = seal(&key, index, &*content).expect("a content of the right length");
            match open(&key, index, &sealed) {
                Err(error) => assert_eq!(error, CellError::Malformed),
                Ok(part) => {
                    let head = FrameHead {
                        kind: 1,
                        tag: [0; TAG_LEN],
                        object_id: part.first.to_be_bytes(),
                        index: (index - part.first) as u16,
                        count: part.count,
                        object_len: part.object_len as u32,
                    };
                    let mut again = head.encode(&part.fragment);
                    again.resize(CONTENT_LEN, 0);
                    assert_eq!(again, *content);
                }
            }
        }
        _ => good(&mut script, &key, index),
    }
}

/// A part of an object in its box, in another one, with another key, and with one byte changed.
fn good(script: &mut Script<'_>, key: &ChainKey, first: u64) {
    let len = usize::from(script.number());
    let object: Vec<u8> = (0..len).map(|at| at as u8).collect();
    let part = usize::from(script.byte()) % boxes_for(len);
    let index = first + part as u64;
    let sealed = seal_part(key, first, &object, part).expect("a part of the object");
    let opened = open(key, index, &sealed).expect("what was sealed");
    let start = part * CELL_FRAGMENT_MAX;
    assert_eq!((opened.first, opened.object_len), (first, len));
    assert_eq!(
        opened.fragment,
        object[start..(start + CELL_FRAGMENT_MAX).min(len)]
    );
    let other = ChainKey::from_bytes([8; 32]);
    assert_eq!(open(key, index ^ 1, &sealed), Err(CellError::Forged));
    assert_eq!(open(&other, index, &sealed), Err(CellError::Forged));
    let mut bytes = *sealed.as_bytes();
    let change = script.byte().max(1);
    bytes[usize::from(script.number()) % CELL_LEN] ^= change;
    assert_eq!(open(key, index, &cell_of(&bytes)), Err(CellError::Forged));
}

/// The body of a put, a get or an answer: what decodes encodes to the same.
pub fn request(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    match kind % 3 {
        0 => {
            if let Ok(Request::Put { put, answer }) = Request::decode_put(body) {
                assert_eq!(put.proof.box_id(), put.id);
                assert_eq!(put.encode(&answer), body);
            }
        }
        1 => {
            if let Ok(Request::Get { get, answers }) = Request::decode_get(body) {
                assert_eq!(get.encode(&answers), body);
            }
        }
        _ => {
            if let Ok(answer) = Answer::decode(body) {
                assert!(Answer::is_one(body));
                assert_eq!(answer.encode(), body);
            }
        }
    }
}

fn cell_of(bytes: &[u8]) -> Cell {
    Cell::from_slice(bytes).expect("the length of a cell")
}
