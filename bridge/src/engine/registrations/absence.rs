//! Clients that are away: what they are owed goes into mailboxes, in the chain of their registration. spec: offline receivers.
//!
//! ```text
//! silent for long ─▶ absent: messages without an ack ─▶ payload ─▶ Commit ─▶ Leave ─▶ mailboxes ─▶ Left
//!                      ▲                                                                              │
//!       any object of the client ends it                         the next messages ◀──────────────────┘
//! ```
//!
//! A payload that is left is the same as one that is sent, and the record of each of its messages stays until the client acks it:
//! when the client is back, it gets what it did not find, and what it found twice it knows by its id.
//!
//! Keys on the disk, in the family of mailboxes: tag ‖ 00 ‖ index of the first box → a payload that is not in mailboxes yet;
//! tag ‖ 01 ‖ message id → the index under which the message was left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use prost::Message as _;

use super::session::session_key;
use super::{Registration, Registrations};
use crate::engine::turn::{Effect, Turn};
use crate::mvds::id::MessageId;
use crate::mvds::node::{Bodies as _, PeerConfig};
use crate::mvds::payload::Payload;
use crate::mvds::record::Kind;
use crate::port::{ChainSecret, Tag};
use crate::store::{Family, Store, StoreError, scan_all};

/// The chain of one registration.
pub(super) struct Chain {
    pub(super) key: ChainSecret,
    /// The first box that is not used.
    pub(super) next: u64,
    /// First boxes of the payloads that are on their way.
    on_way: BTreeSet<u64>,
    /// Messages that were left, and where.
    left: BTreeMap<MessageId, u64>,
    /// While the client is away: messages that are not left yet.
    owed: BTreeSet<MessageId>,
}

impl Chain {
    pub(super) fn new(key: ChainSecret, next: u64) -> Self {
        Self {
            key,
            next,
            on_way: BTreeSet::new(),
            left: BTreeMap::new(),
            owed: BTreeSet::new(),
        }
    }
}

/// Who was heard when, and what is on its way into mailboxes.
#[derive(Default)]
pub(super) struct Absence {
    /// When a client counts as away, unless it is heard.
    silence: BTreeSet<(Instant, Tag)>,
    /// Those who are away, and whose messages wait for room.
    away: BTreeSet<Tag>,
    waiting: BTreeSet<Tag>,
    on_way: usize,
}

impl Absence {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.silence.first().map(|(at, _)| *at)
    }

    /// How many clients are away.
    pub(super) fn away(&self) -> usize {
        self.away.len()
    }

    /// How many payloads are on their way into mailboxes.
    pub(super) fn on_way(&self) -> usize {
        self.on_way
    }
}

impl Registrations {
    /// Messages that are in mailboxes for clients that are away.
    pub(crate) fn left(&self) -> usize {
        let chains = self.all.values().filter_map(|it| it.chain.as_ref());
        chains.map(|chain| chain.left.len()).sum()
    }

    /// The client of a registration gave a sign of life.
    pub(super) fn heard(&mut self, turn: &Turn<'_>, tag: Tag) {
        let Some(after) = turn.config.mailboxes.as_ref().map(|it| it.absent_after) else {
            return;
        };
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        let until = turn.now.mono + after;
        self.absence.silence.remove(&(registration.silent_at, tag));
        registration.silent_at = until;
        self.absence.silence.insert((until, tag));
        if self.absence.away.remove(&tag) {
            self.absence.waiting.remove(&tag);
            if let Some(chain) = &mut registration.chain {
                chain.owed.clear();
            }
        }
    }

    /// Who has been silent for too long is away: all that it has not acked is owed in its chain.
    pub(super) fn notice_absence(&mut self, turn: &mut Turn<'_>) {
        while let Some((_, tag)) = self
            .absence
            .silence
            .first()
            .copied()
            .filter(|(at, _)| *at <= turn.now.mono)
        {
            self.absence.silence.pop_first();
            let Some(registration) = self.all.get_mut(&tag) else {
                continue;
            };
            let Some(chain) = &mut registration.chain else {
                continue;
            };
            let states = self.node.states(&registration.client);
            chain.owed = states
                .filter(|(id, state)| state.kind != Kind::Requested && !chain.left.contains_key(id))
                .map(|(id, _)| id)
                .collect();
            self.absence.away.insert(tag);
            self.absence.waiting.insert(tag);
        }
        self.leave_owed(turn);
    }

    /// A message was made for a client; if it is away, it is owed there.
    pub(super) fn owe(&mut self, tag: Tag, id: MessageId) {
        if !self.absence.away.contains(&tag) {
            return;
        }
        if let Some(chain) = self.all.get_mut(&tag).and_then(|it| it.chain.as_mut()) {
            chain.owed.insert(id);
            self.absence.waiting.insert(tag);
        }
    }

    /// A message is over: acked, or given up.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_>, tag: Tag, id: &MessageId) {
        if let Some(chain) = self.all.get_mut(&tag).and_then(|it| it.chain.as_mut()) {
            chain.owed.remove(id);
            if chain.left.remove(id).is_some() {
                turn.ledger.delete(Family::Mailbox, left_key(tag, id));
            }
        }
    }

    /// A payload is in mailboxes.
    pub(crate) fn is_left(&mut self, turn: &mut Turn<'_>, tag: Tag, first: u64) {
        self.arrived(turn, tag, first);
        self.leave_owed(turn);
    }

    /// A payload found no place: its messages are owed again, in other boxes.
    pub(crate) fn is_lost(&mut self, turn: &mut Turn<'_>, tag: Tag, first: u64) {
        self.arrived(turn, tag, first);
        let is_away = self.absence.away.contains(&tag);
        if let Some(chain) = self.all.get_mut(&tag).and_then(|it| it.chain.as_mut()) {
            let again: Vec<MessageId> = chain
                .left
                .iter()
                .filter(|(_, at)| **at == first)
                .map(|(id, _)| *id)
                .collect();
            for id in again {
                chain.left.remove(&id);
                turn.ledger.delete(Family::Mailbox, left_key(tag, &id));
                if is_away {
                    chain.owed.insert(id);
                    self.absence.waiting.insert(tag);
                }
            }
        }
        self.leave_owed(turn);
    }

    fn arrived(&mut self, turn: &mut Turn<'_>, tag: Tag, first: u64) {
        if let Some(chain) = self.all.get_mut(&tag).and_then(|it| it.chain.as_mut())
            && chain.on_way.remove(&first)
        {
            self.absence.on_way -= 1;
            if !chain.owed.is_empty() {
                self.absence.waiting.insert(tag);
            }
            turn.ledger.delete(Family::Mailbox, payload_key(tag, first));
        }
    }

    /// Makes payloads of what is owed, as long as there is room for more on their way.
    pub(super) fn leave_owed(&mut self, turn: &mut Turn<'_>) {
        while self.absence.on_way < ON_WAY_TOTAL_MAX
            && let Some(tag) = self.absence.waiting.first().copied()
        {
            if !self.leave_next(turn, tag) {
                // Nothing more is owed, or as much as may be is on its way: then its arrival goes on.
                self.absence.waiting.remove(&tag);
            }
        }
    }

    /// One payload of what is owed to a client. Says whether there may be another.
    fn leave_next(&mut self, turn: &mut Turn<'_>, tag: Tag) -> bool {
        let Some(capacity) = turn.config.mailboxes.as_ref().map(|it| it.box_capacity) else {
            return false;
        };
        let Some(registration) = self.all.get_mut(&tag) else {
            return false;
        };
        let Some(chain) = registration.chain.as_mut() else {
            return false;
        };
        if chain.on_way.len() >= ON_WAY_MAX {
            return false;
        }
        let (payload, ids) = gather(turn, chain, capacity);
        if ids.is_empty() {
            return false;
        }
        let bytes = payload.encode(PeerConfig::OURS.dialect);
        let first = chain.next;
        let boxes = bytes.len().div_ceil(capacity.max(1)).max(1);
        chain.next = first.saturating_add(boxes as u64);
        chain.on_way.insert(first);
        self.absence.on_way += 1;
        for id in ids {
            chain.owed.remove(&id);
            chain.left.insert(id, first);
            turn.ledger
                .put(Family::Mailbox, left_key(tag, &id), first.to_be_bytes());
        }
        let key = chain.key.clone();
        turn.ledger
            .put(Family::Mailbox, payload_key(tag, first), bytes.clone());
        let record = registration.record().encode_to_vec();
        turn.ledger
            .put(Family::Registrations, session_key(tag, 0), record);
        turn.ledger.effect(Effect::Leave {
            tag,
            key,
            first,
            payload: bytes,
        });
        true
    }

    /// What a registration had in mailboxes is nobody's any more.
    pub(super) fn forget_chain(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        registration: &Registration,
    ) {
        self.absence.silence.remove(&(registration.silent_at, tag));
        self.absence.away.remove(&tag);
        self.absence.waiting.remove(&tag);
        let Some(chain) = &registration.chain else {
            return;
        };
        self.absence.on_way -= chain.on_way.len();
        for first in &chain.on_way {
            turn.ledger
                .delete(Family::Mailbox, payload_key(tag, *first));
        }
        for id in chain.left.keys() {
            turn.ledger.delete(Family::Mailbox, left_key(tag, id));
        }
        turn.ledger.effect(Effect::Forget(tag));
    }

    /// After a restart: what was on its way goes again, in the same boxes and with the same content.
    pub(super) fn load_mailboxes(&mut self, turn: &mut Turn<'_>) -> Result<(), StoreError> {
        let store: std::sync::Arc<dyn Store> = turn.ledger.store();
        let corrupt = || StoreError::corrupt(Family::Mailbox);
        scan_all(&*store, Family::Mailbox, b"", |key, value| {
            let (tag, rest) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            let tag = Tag::new(*tag);
            let Some(chain) = self.all.get_mut(&tag).and_then(|it| it.chain.as_mut()) else {
                turn.ledger.delete(Family::Mailbox, key);
                return Ok(());
            };
            match rest.split_first().ok_or_else(corrupt)? {
                (&PAYLOAD, first) => {
                    let first = u64::from_be_bytes(first.try_into().map_err(|_| corrupt())?);
                    chain.on_way.insert(first);
                    self.absence.on_way += 1;
                    turn.ledger.effect(Effect::Leave {
                        tag,
                        key: chain.key.clone(),
                        first,
                        payload: value.to_vec(),
                    });
                }
                (&LEFT, id) => {
                    let id = MessageId::from_slice(id).ok_or_else(corrupt)?;
                    let first = u64::from_be_bytes(value.try_into().map_err(|_| corrupt())?);
                    chain.left.insert(id, first);
                }
                (_, _) => return Err(corrupt()),
            }
            Ok(())
        })?;
        let tags: Vec<Tag> = self.all.keys().copied().collect();
        for tag in tags {
            self.heard(turn, tag);
        }
        Ok(())
    }
}

/// The messages that fit one box, or one that takes several; those without a body are over soon.
fn gather(turn: &Turn<'_>, chain: &Chain, capacity: usize) -> (Payload, Vec<MessageId>) {
    let bodies = super::delivery::StoredBodies(&*turn.ledger);
    let mut payload = Payload::default();
    let (mut ids, mut len) = (Vec::new(), 0);
    for id in &chain.owed {
        if ids.len() >= GATHER_MAX {
            break;
        }
        let Some(message) = bodies.load(id) else {
            continue;
        };
        let entry = message.entry_len(PeerConfig::OURS.dialect);
        if !ids.is_empty() && len + entry > capacity {
            continue;
        }
        len += entry;
        payload.messages.push(message);
        ids.push(*id);
        if len >= capacity {
            break;
        }
    }
    (payload, ids)
}

fn payload_key(tag: Tag, first: u64) -> Vec<u8> {
    [tag.bytes().as_slice(), &[PAYLOAD], &first.to_be_bytes()].concat()
}

fn left_key(tag: Tag, id: &MessageId) -> Vec<u8> {
    [tag.bytes().as_slice(), &[LEFT], id.bytes()].concat()
}

const PAYLOAD: u8 = 0;
const LEFT: u8 = 1;

/// Payloads of one client on their way at a time: fewer boxes than a reader looks ahead, so that none is out of its sight.
const ON_WAY_MAX: usize = 8;
/// Payloads of all clients on their way at a time; half of what the mixnet's client takes.
const ON_WAY_TOTAL_MAX: usize = 128;
/// Messages that are looked at for one box; a box holds fewer of any real size.
const GATHER_MAX: usize = 32;
