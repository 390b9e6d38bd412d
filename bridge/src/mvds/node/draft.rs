//! Payloads within a budget.
//!
//! Order: acks, offers, requests, messages. Acks of messages that were not new go into a later payload than the first
//! acks, because a Go peer stops reading a list at an id that it does not wait for.

use super::peer::{Ack, Peer, Progress};
use super::{Bodies, Node, Now, Output, PARK_AFTER};
use crate::mvds::id::{MessageId, PeerId};
use crate::mvds::payload::{Dialect, LIST_LEN_MAX, Metadata, PAYLOAD_LEN_MAX, Payload};
use crate::mvds::record::{Change, Kind};

/// A payload that was made but not counted as sent. Dropping it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    peer: PeerId,
    payload: Payload,
    bytes: Vec<u8>,
    messages: Vec<MessageId>,
    missing: Vec<MessageId>,
}

impl Draft {
    /// For whom it is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// What to send. Empty only if every message of it was missing on disk: take it, send nothing.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The ids of its messages, in order.
    pub fn message_ids(&self) -> &[MessageId] {
        &self.messages
    }
}

impl Node {
    /// A payload of what is due for a peer, of at most `budget` bytes; `None` if nothing is due or fits.
    ///
    /// Ask again after [`Node::taken`]: there may be more in this epoch.
    pub fn draft(
        &mut self,
        now: Now,
        peer: &PeerId,
        budget: usize,
        bodies: &impl Bodies,
    ) -> Option<Draft> {
        self.advance(now);
        let entry = self.peers.get(peer)?;
        let dialect = entry.config.dialect;
        let budget = budget.min(PAYLOAD_LEN_MAX);
        let mut left = budget;
        let mut payload = Payload {
            acks: self.draft_acks(entry),
            ..Payload::default()
        };
        if self.config.echo_acks && !payload.acks.is_empty() {
            let echoes = entry.echoes().filter(|id| !payload.acks.contains(id));
            let echoes: Vec<_> = echoes.collect();
            payload.acks.extend(echoes);
            payload.acks.truncate(LIST_LEN_MAX);
        }
        payload.acks.truncate(left / dialect.id_entry_len());
        left -= payload.acks.len() * dialect.id_entry_len();
        for kind in [Kind::Offered, Kind::Requested] {
            let ids = entry.draft_ids(kind, self.epoch, left / dialect.id_entry_len());
            left -= ids.len() * dialect.id_entry_len();
            match kind {
                Kind::Offered => payload.offers = ids,
                Kind::Requested | Kind::Sending => payload.requests = ids,
            }
        }
        let mut draft = Draft {
            peer: *peer,
            payload,
            bytes: Vec::new(),
            messages: Vec::new(),
            missing: Vec::new(),
        };
        self.draft_messages(entry, left, bodies, &mut draft);
        draft.bytes = draft.payload.encode(dialect);
        debug_assert!(draft.bytes.len() <= budget, "the lengths of entries add up");
        let says_something = !draft.payload.is_empty() || !draft.missing.is_empty();
        says_something.then_some(draft)
    }

    /// The transport took the draft: counts its records as sent.
    pub fn taken(&mut self, now: Now, draft: Draft) {
        self.advance(now);
        let peer = draft.peer;
        if let Some(entry) = self.peers.get_mut(&peer)
            && !draft.payload.acks.is_empty()
        {
            entry.acked(&draft.payload.acks, self.config.echo_acks);
            entry.acks_at = self.epoch;
        }
        let left = match draft.bytes.len() {
            0 => self.epoch,
            len => self.queue.push(self.config.line, self.epoch, len),
        };
        let Payload {
            offers, requests, ..
        } = draft.payload;
        let sent = [
            (Kind::Offered, offers),
            (Kind::Requested, requests),
            (Kind::Sending, draft.messages),
        ];
        for (kind, ids) in sent {
            for id in ids {
                self.count(now, left, peer, kind, id);
            }
        }
        for id in draft.missing {
            self.end(now, peer, id);
            self.outputs.push_back(Output::Lost { peer, id });
        }
        self.reschedule(peer);
        self.finish();
    }

    /// First acks if there are any, otherwise repeated ones, or both where acks ride along; only what is on disk.
    fn draft_acks(&self, entry: &Peer) -> Vec<MessageId> {
        if entry.acks_at > self.epoch {
            return Vec::new();
        }
        let released = |ack: &&Ack| ack.gate <= self.committed;
        let mut first: Vec<_> = entry
            .acks
            .iter()
            .take_while(released)
            .take(LIST_LEN_MAX)
            .map(|ack| ack.id)
            .collect();
        if !first.is_empty() && !self.config.echo_acks {
            return first;
        }
        let most = if entry.config.legacy { 1 } else { LIST_LEN_MAX };
        let again = entry.reacks.iter().take_while(released).take(most);
        first.extend(again.map(|ack| ack.id));
        first
    }

    fn draft_messages(
        &self,
        entry: &Peer,
        mut left: usize,
        bodies: &impl Bodies,
        draft: &mut Draft,
    ) {
        for id in entry.due(Kind::Sending, self.epoch) {
            if draft.messages.len() + draft.missing.len() >= LIST_LEN_MAX || left < MESSAGE_LEN_MIN
            {
                break;
            }
            let Some(held) = self.shelf.held(&id) else {
                draft.missing.push(id);
                continue;
            };
            if held.entry_len > left {
                continue;
            }
            let message = match &held.ephemeral {
                Some(message) => Some(message.as_ref().clone()),
                None => bodies.load(&id),
            };
            let Some(mut message) = message else {
                draft.missing.push(id);
                continue;
            };
            if entry.config.dialect == Dialect::Compact {
                // Go v0.0.25 follows the metadata of a received message without looking whether there is any.
                message.metadata.get_or_insert_with(Metadata::default);
            }
            left -= held.entry_len;
            draft.payload.messages.push(message);
            draft.messages.push(id);
        }
    }

    /// One more sending of a record, if it is still there. Its payload has left in the epoch `left`.
    fn count(&mut self, now: Now, left: u64, peer: PeerId, kind: Kind, id: MessageId) {
        let retry = self.retry();
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(track) = entry.tracks.get(&id).copied() else {
            return;
        };
        if track.kind != kind || !matches!(track.progress, Progress::Due { .. }) {
            return;
        }
        let count = track.count.saturating_add(1);
        let is_last_offer = entry.config.legacy && track.kind == Kind::Offered;
        let progress = if is_last_offer {
            Progress::Answered
        } else if count >= PARK_AFTER {
            Progress::Parked
        } else {
            Progress::Due {
                at: retry.next(count, entry.round_trip, left, &mut self.rng),
            }
        };
        if let Some(track) = entry
            .leaves(&id, count, left, progress)
            .filter(|_| is_last_offer)
        {
            self.changes.push(Change::PutState {
                peer,
                id,
                state: track.state(),
            });
        }
        if progress == Progress::Parked {
            self.outputs.push_back(Output::Parked { peer, id });
        }
        if self
            .shelf
            .held(&id)
            .is_some_and(|held| held.ephemeral.is_some())
        {
            self.end(now, peer, id);
        }
    }
}

impl Peer {
    /// Due ids of a kind. A legacy peer gets a repeated request alone.
    fn draft_ids(&self, kind: Kind, epoch: u64, room: usize) -> Vec<MessageId> {
        let due = self.due(kind, epoch).take(room.min(LIST_LEN_MAX));
        if !(self.config.legacy && kind == Kind::Requested) {
            return due.collect();
        }
        let is_repeated = |id: &MessageId| self.tracks.get(id).is_some_and(|track| track.count > 0);
        let (repeated, fresh): (Vec<_>, Vec<_>) = due.partition(is_repeated);
        if fresh.is_empty() {
            repeated.into_iter().take(1).collect()
        } else {
            fresh
        }
    }
}

/// No message is shorter than its group id.
const MESSAGE_LEN_MIN: usize = 34;
