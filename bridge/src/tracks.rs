//! Where the records of an MVDS node lie in the store, in the family of MVDS states.
//!
//! | key | value |
//! |---|---|
//! | 00 ‖ peer (65) ‖ message id (32) | the state of the message with that peer |
//! | 01 ‖ message id (32) | until when the message is remembered (8, Unix seconds) |

use crate::ledger::Ledger;
use crate::mvds::id::{MessageId, PeerId};
use crate::mvds::node;
use crate::mvds::record::{Change, Record, State};
use crate::port::Now;
use crate::store::Family;

const STATE: u8 = 0;
const HELD: u8 = 1;

/// Writes what the node changed. Messages are not kept here: each core does it in its own way, or not at all.
pub(crate) fn write<E>(ledger: &mut Ledger<E>, change: Change) {
    match change {
        Change::PutState { peer, id, state } => {
            ledger.put(Family::MvdsStates, state_key(&peer, &id), state.to_bytes());
        }
        Change::DeleteState { peer, id } => {
            ledger.delete(Family::MvdsStates, state_key(&peer, &id));
        }
        Change::PutSeen { id, until } => {
            ledger.put(Family::MvdsStates, held_key(&id), until.to_be_bytes());
        }
        Change::DeleteSeen { id } => ledger.delete(Family::MvdsStates, held_key(&id)),
        Change::PutMessage { .. } | Change::DeleteMessage { .. } => {}
    }
}

/// The key of a state.
fn state_key(peer: &PeerId, id: &MessageId) -> Vec<u8> {
    [[STATE].as_slice(), &State::key(peer, id)].concat()
}

/// The key of a message that was here.
fn held_key(id: &MessageId) -> Vec<u8> {
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
