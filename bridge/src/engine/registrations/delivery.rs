//! From an envelope to MVDS records, and from due records to replies.

use std::time::Duration;

use rand_core::Rng as _;

use super::{ITEM_BYTES_MAX, Registration, Registrations, STORED_BYTES_MAX};
use crate::counters::{Direction, DropReason};
use crate::engine::turn::{Effect, Turn};
use crate::gateway::request::encode_item;
use crate::gateway::seal::{Context, OVERHEAD};
use crate::ledger::Ledger;
use crate::mvds::id::{GroupId, MessageId, PeerId};
use crate::mvds::node::Bodies;
use crate::mvds::node::Draft;
use crate::mvds::payload::Message;
use crate::port::{Envelope, Kind, Object, Stage, Tag};
use crate::seen;
use crate::store::{Family, StoreError};
use crate::tracks::node_now;

/// A second copy of a payload leaves so many reply blocks, a third of the low mark of a client: copies end before what comes next has to
/// wait for want of them.
const COPY_LEAVES: usize = 12;

/// One frame in a gap: the largest multiple of the mean, so that nobody waits for ever on a bad draw.
const PACE_MULTIPLE_MAX: f64 = 8.0;

impl Registrations {
    /// An envelope that Whisper has: a record for each registration that wants it and did not have its content.
    pub(crate) fn deliver(
        &mut self,
        turn: &mut Turn<'_>,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        let topic = envelope.facts.topic;
        let wanting: Vec<Tag> = self
            .all
            .iter()
            .filter(|(_, r)| r.wants(topic))
            .map(|(tag, _)| *tag)
            .collect();
        let mut is_first = true;
        for tag in wanting {
            if self.append(turn, tag, envelope)? && is_first {
                is_first = false;
                turn.trace(envelope.facts.hash, Stage::Accepted);
                turn.trace_when_durable(envelope.facts.hash, Stage::Committed);
            }
        }
        self.flush(turn);
        Ok(())
    }

    /// Makes the record of an envelope for one registration; says whether there is one.
    fn append(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        envelope: &Envelope,
    ) -> Result<bool, StoreError> {
        let Some(registration) = self.all.get(&tag) else {
            return Ok(false);
        };
        let facts = &envelope.facts;
        let now_s = turn.now.unix();
        if seen::contains(turn.ledger, tag.bytes(), &facts.content_id, now_s)? {
            turn.counters.drop(Direction::ToMix, DropReason::Duplicate);
            return Ok(false);
        }
        if let Some(reason) = self.refusal(registration, envelope) {
            turn.refuse(facts.hash, Direction::ToMix, reason);
            return Ok(false);
        }
        let body = encode_item(&envelope.rlp);
        let message = Message::new(registration.group, i64::from(facts.sent), body);
        let id = message.id();
        if self.envelopes.contains_key(&id) {
            turn.counters.drop(Direction::ToMix, DropReason::Duplicate);
            return Ok(false);
        }
        self.envelopes.insert(id, facts.hash);
        if self.node.append(node_now(turn.now), message).is_err() {
            self.envelopes.remove(&id);
            turn.counters
                .drop(Direction::ToMix, DropReason::BacklogFull);
            return Ok(false);
        }
        let kept = self
            .kept
            .entry(facts.hash)
            .or_insert((0, envelope.rlp.len()));
        kept.0 += 1;
        if kept.0 == 1 {
            self.stored_bytes += envelope.rlp.len();
            turn.ledger
                .put(Family::Envelopes, facts.hash, envelope.rlp.to_vec());
        }
        seen::note(turn.ledger, tag.bytes(), &facts.content_id, now_s);
        self.drain_node(turn);
        self.owe(tag, id);
        Ok(true)
    }

    fn refusal(&self, registration: &Registration, envelope: &Envelope) -> Option<DropReason> {
        let len = envelope.rlp.len();
        let backlog = self.node.records(&registration.client);
        if len > registration.item_bytes_max.min(ITEM_BYTES_MAX) as usize {
            Some(DropReason::TooLarge)
        } else if backlog >= registration.backlog_max as usize {
            Some(DropReason::BacklogFull)
        } else if self.stored_bytes.saturating_add(len) > STORED_BYTES_MAX {
            Some(DropReason::StoreFull)
        } else {
            None
        }
    }

    /// Sends what is due to those who can pay for it; the others wait without any change.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>) {
        let now = node_now(turn.now);
        for peer in self.node.peers_due(now) {
            match self.by_peer.get(&peer).copied() {
                Some(tag) => self.send_due(turn, tag, peer),
                None => self.node.pause(&peer),
            }
        }
        // What is still due waits for reply blocks or for its pace.
        for peer in self.node.peers_due(now) {
            self.node.pause(&peer);
        }
        self.drain_node(turn);
    }

    fn send_due(&mut self, turn: &mut Turn<'_>, tag: Tag, peer: PeerId) {
        if let Some(registration) = self.all.get_mut(&tag) {
            let expired = registration.credit.expire(turn, tag);
            self.blocks_total = self.blocks_total.saturating_sub(expired);
        }
        while let Some(registration) = self.all.get(&tag) {
            if registration.next_frame.is_some_and(|at| at > turn.now.mono) {
                return;
            }
            let credit = registration.credit.len();
            let Some(draft) = self.draft(turn, &peer, credit) else {
                return;
            };
            self.send(turn, tag, draft);
        }
    }

    /// A payload in as few frames as will do: one lost packet then costs little.
    fn draft(&mut self, turn: &Turn<'_>, peer: &PeerId, credit: usize) -> Option<Draft> {
        let now = node_now(turn.now);
        let mut frames = 1;
        while frames <= credit {
            let budget = (frames * turn.config.frame_capacity).saturating_sub(OVERHEAD);
            let bodies = StoredBodies(turn.ledger);
            if let Some(draft) = self.node.draft(now, peer, budget, &bodies) {
                return Some(draft);
            }
            frames = if frames == credit {
                credit + 1
            } else {
                (frames * 2).min(credit)
            };
        }
        None
    }

    fn send(&mut self, turn: &mut Turn<'_>, tag: Tag, draft: Draft) {
        let now = node_now(turn.now);
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        if !draft.bytes().is_empty() {
            let context = Context::new(Kind::Mvds, tag);
            let Some(bytes) = registration.keys.seal(turn, context, draft.bytes()) else {
                return;
            };
            let frames = turn.frames_for(bytes.len());
            let blocks = registration.credit.spend(turn, tag, frames);
            self.blocks_total = self.blocks_total.saturating_sub(blocks.len());
            let is_last = registration.credit.len() == 1;
            let object = Object {
                kind: Kind::Mvds,
                tag,
                bytes,
            };
            if self.node.is_lossy() && registration.credit.len() >= frames + COPY_LEAVES {
                let spare = registration.credit.spend(turn, tag, frames);
                self.blocks_total = self.blocks_total.saturating_sub(spare.len());
                turn.ledger.effect(Effect::Reply {
                    blocks: spare,
                    object: object.clone(),
                });
            }
            turn.ledger.effect(Effect::Reply { blocks, object });
            for id in draft.message_ids() {
                if let Some(hash) = self.envelopes.get(id) {
                    turn.trace_when_durable(*hash, Stage::Delivered);
                }
            }
            if registration.pace_ms > 0 {
                let at = turn.now.mono + pace(turn, registration.pace_ms);
                registration.next_frame = Some(at);
                self.paced.insert((at, tag));
            }
            if is_last {
                self.tell_empty(turn, tag);
            }
        }
        self.node.taken(now, draft);
        self.drain_node(turn);
    }
}

/// The bodies of waiting messages: made again from the stored envelopes.
pub(super) struct StoredBodies<'a, E>(pub(super) &'a Ledger<E>);

impl<E> Bodies for StoredBodies<'_, E> {
    fn load(&self, id: &MessageId) -> Option<Message> {
        let value = self.0.get(Family::MvdsMessages, id.bytes()).ok()??;
        let (group, rest) = value.split_first_chunk::<32>()?;
        let (time, hash) = rest.split_first_chunk::<8>()?;
        let rlp = self.0.get(Family::Envelopes, hash).ok()??;
        Some(Message::new(
            GroupId::new(*group),
            i64::from_be_bytes(*time),
            encode_item(&rlp),
        ))
    }
}

/// An exponential gap with this mean.
fn pace(turn: &mut Turn<'_>, mean_ms: u32) -> Duration {
    let uniform = f64::from(turn.rng.next_u32()) / f64::from(u32::MAX);
    let factor = -(1.0 - uniform).max(f64::MIN_POSITIVE).ln();
    Duration::from_secs_f64(f64::from(mean_ms) / 1000.0 * factor.min(PACE_MULTIPLE_MAX))
}
