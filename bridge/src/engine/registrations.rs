//! Registrations: who wants which topics, the keys and the credit of each, and what waits for it. spec: REGISTER of the
//! gateway protocol, and the MVDS mapping of delivered envelopes.
//!
//! ```text
//! envelope ─ filters, seen? ─▶ MVDS record in the group of the registration ─▶ due, reply blocks ─▶ Reply
//!                                           ▲                                                       │
//!                             acks, requests└──────────────── MVDS payload of the client ◀──────────┘
//! ```
//!
//! A client that is away is served by mailboxes: see `absence`.
//!
//! Keys on the disk: registrations: tag ‖ 00 the registration, 01 its session, 02 the session before its renewal.
//! Reply blocks: tag ‖ renewals (4) ‖ counter (8) ‖ index (2). MVDS states: 00 ‖ peer ‖ id, and 01 ‖ id for what was here.
//! MVDS messages: id → group ‖ time ‖ envelope hash; the envelope itself is stored once, however many registrations wait.

mod absence;
mod credit;
mod delivery;
mod lease;
mod open;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::record::RegistrationRecord;
use super::turn::Turn;
use crate::counters::{Direction, DropReason};
use crate::gateway::request::Mode;
use crate::mvds::id::{GroupId, MessageId, PeerId};
use crate::mvds::node::{Node, Output};
use crate::mvds::record::Change;
use crate::port::{EnvelopeHash, Now, Prefix, Stage, Tag};
use crate::prefixes::pack;
use crate::store::Family;
use crate::tracks::{self, node_now};
use absence::{Absence, Chain};
use credit::Credit;
use session::Keys;

/// Registrations at a time: at some kilobytes each, tens of megabytes.
const REGISTRATIONS_MAX: usize = 10_000;
/// Items that wait for one client if it does not ask for fewer.
const BACKLOG_MAX: u32 = 20_000;
/// The largest item for a client if it does not ask for less: with its blocks low, a client can still pay for it.
const ITEM_BYTES_MAX: u32 = 128 * 1024;
/// Bytes of envelopes that wait for clients.
const STORED_BYTES_MAX: usize = 1 << 30;

/// All registrations, by tag, and the MVDS node that serves them.
pub(crate) struct Registrations {
    all: BTreeMap<Tag, Registration>,
    by_peer: BTreeMap<PeerId, Tag>,
    node: Node,
    /// Which envelope a waiting message carries.
    envelopes: BTreeMap<MessageId, EnvelopeHash>,
    /// For how many messages an envelope is kept, and its length.
    kept: BTreeMap<EnvelopeHash, (u32, usize)>,
    stored_bytes: usize,
    blocks_total: usize,
    /// Registrations that pause between frames, by when they go on.
    paced: BTreeSet<(Instant, Tag)>,
    /// By the end of the lease, Unix seconds.
    leases: BTreeSet<(u32, Tag)>,
    absence: Absence,
}

struct Registration {
    group: GroupId,
    client: PeerId,
    filters: Vec<Prefix>,
    exclude: Vec<Prefix>,
    lease_until: u32,
    mode: Mode,
    pace_ms: u32,
    backlog_max: u32,
    item_bytes_max: u32,
    /// Takes nothing new and only delivers what waits.
    retiring: bool,
    keys: Keys,
    credit: Credit,
    /// Not before then, if it is paced.
    next_frame: Option<Instant>,
    /// Where what it is owed is left while it is away.
    chain: Option<Chain>,
    /// When it counts as away.
    silent_at: Instant,
}

impl Registrations {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many messages wait for clients.
    pub(crate) fn waiting(&self) -> usize {
        self.envelopes.len()
    }

    /// Unused reply blocks of all of them.
    pub(crate) fn reply_blocks(&self) -> usize {
        self.blocks_total
    }

    /// How many clients are away.
    pub(crate) fn away(&self) -> usize {
        self.absence.away()
    }

    /// How many payloads are on their way into mailboxes.
    pub(crate) fn leaving(&self) -> usize {
        self.absence.on_way()
    }

    /// Whether the mixnet loses much.
    pub(crate) fn set_lossy(&mut self, lossy: bool) {
        self.node.set_lossy(lossy);
    }

    /// Whether the tag names a registration.
    pub(crate) fn contains(&self, tag: Tag) -> bool {
        self.all.contains_key(&tag)
    }

    /// Whatever is due: leases, paces, payloads.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        self.end_leases(turn);
        while let Some((at, tag)) = self.paced.first().copied() {
            if at > turn.now.mono {
                break;
            }
            self.paced.pop_first();
            if let Some(registration) = self.all.get_mut(&tag) {
                registration.next_frame = None;
                self.node.resume(&registration.client);
            }
        }
        self.flush(turn);
        self.notice_absence(turn);
    }

    pub(crate) fn next_deadline(&self, now: Now) -> Option<Instant> {
        let paced = self.paced.first().map(|(at, _)| *at);
        let lease = self.leases.first().map(|(until, _)| now.when(*until));
        let absence = self.absence.next_deadline();
        [self.node.next_deadline(), paced, lease, absence]
            .into_iter()
            .flatten()
            .min()
    }

    /// Writes what the node changed and tells what happened. The ledger holds back what depends on it, so for the node
    /// it counts as committed at once.
    fn drain_node(&mut self, turn: &mut Turn<'_>) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Commit { seq, changes } => {
                    for change in changes {
                        self.write(turn, change);
                    }
                    self.node.committed(node_now(turn.now), seq);
                }
                Output::Acked { id, .. } => {
                    turn.counters.transfer(Direction::ToMix);
                    if let Some(hash) = self.envelopes.get(&id) {
                        turn.trace(*hash, Stage::Acked);
                    }
                }
                Output::Lost { id, .. } => match self.envelopes.get(&id) {
                    Some(hash) => turn.refuse(*hash, Direction::ToMix, DropReason::BacklogFull),
                    None => turn
                        .counters
                        .drop(Direction::ToMix, DropReason::BacklogFull),
                },
                // A client has nothing to say in its group but acks and requests.
                Output::Deliver { .. } | Output::Refused { .. } => {
                    turn.counters
                        .drop(Direction::ToWhisper, DropReason::UnexpectedKind);
                }
                Output::Parked { .. } => {}
            }
        }
    }

    fn write(&mut self, turn: &mut Turn<'_>, change: Change) {
        match change {
            Change::PutMessage { id, message } => {
                let Some(hash) = self.envelopes.get(&id) else {
                    return;
                };
                let time = message.timestamp.to_be_bytes();
                let value = [message.group.bytes().as_slice(), &time, hash].concat();
                turn.ledger.put(Family::MvdsMessages, *id.bytes(), value);
            }
            Change::DeleteMessage { id } => {
                turn.ledger.delete(Family::MvdsMessages, *id.bytes());
                self.release(turn, &id);
            }
            Change::DeleteState { peer, id } => {
                if let Some(tag) = self.by_peer.get(&peer).copied() {
                    self.settle(turn, tag, &id);
                }
                tracks::write(turn.ledger, change);
            }
            Change::PutState { .. } | Change::PutSeen { .. } | Change::DeleteSeen { .. } => {
                tracks::write(turn.ledger, change)
            }
        }
    }

    /// A message needs its envelope no more.
    fn release(&mut self, turn: &mut Turn<'_>, id: &MessageId) {
        let Some(hash) = self.envelopes.remove(id) else {
            return;
        };
        let Some((count, len)) = self.kept.get_mut(&hash) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.stored_bytes = self.stored_bytes.saturating_sub(*len);
            self.kept.remove(&hash);
            turn.ledger.delete(Family::Envelopes, hash);
        }
    }
}

impl Registration {
    fn wants(&self, topic: [u8; 4]) -> bool {
        !self.retiring
            && self.filters.iter().any(|prefix| prefix.matches(topic))
            && !self.exclude.iter().any(|prefix| prefix.matches(topic))
    }

    fn record(&self) -> RegistrationRecord {
        RegistrationRecord {
            group: self.group.bytes().to_vec(),
            client: self.client.bytes().to_vec(),
            filters: self.filters.iter().copied().map(pack).collect(),
            exclude: self.exclude.iter().copied().map(pack).collect(),
            lease_until: self.lease_until,
            interactive: self.mode == Mode::Interactive,
            pace_ms: self.pace_ms,
            backlog_max: self.backlog_max,
            item_bytes_max: self.item_bytes_max,
            retiring: self.retiring,
            renewals: self.keys.renewals,
            blocks_from: self.credit.taken_from(),
            chain_key: self
                .chain
                .as_ref()
                .map_or_else(Vec::new, |chain| chain.key.expose().to_vec()),
            chain_next: self.chain.as_ref().map_or(0, |chain| chain.next),
        }
    }
}
