//! Where the records of an MVDS node lie in the store, in the family of MVDS states.
//!
//! | key | value |
//! |---|---|
//! | 00 ‖ peer (65) ‖ message id (32) | the state of the message with that peer |
//! | 01 ‖ message id (32) | until when the message is remembered (8, Unix seconds) |

use crate::mvds::id::{MessageId, PeerId};
use crate::mvds::node;
use crate::mvds::record::{Record, State};
use crate::port::Now;

const STATE: u8 = 0;
const HELD: u8 = 1;

/// The key of a state.
pub(crate) fn state_key(peer: &PeerId, id: &MessageId) -> Vec<u8> {
    [[STATE].as_slice(), &State::key(peer, id)].concat()
}

/// The key of a message that was here.
pub(crate) fn held_key(id: &MessageId) -> Vec<u8> {
    [[HELD].as_slice(), id.bytes()].concat()
}

/// The record of an entry.
pub(crate) fn parse(key: &[u8], value: &[u8]) -> Option<Record> {
    match key.split_first()? {
        (&STATE, key) => {
            let (peer, id) = State::parse_key(key)?;
            Some(Record::State {
                peer,
                id,
                state: State::from_bytes(value)?,
            })
        }
        (&HELD, id) => {
            let until = u64::from_be_bytes(value.try_into().ok()?);
            Some(Record::Seen {
                id: MessageId::from_slice(id)?,
                until,
            })
        }
        _ => None,
    }
}

/// The node's view of the two clocks.
pub(crate) fn node_now(now: Now) -> node::Now {
    node::Now {
        mono: now.mono,
        unix_s: now.unix_ms / 1000,
    }
}
