//! Envelopes of the local client on their way to Whisper. spec: POST of the gateway protocol.
//!
//! Each is posted through a one-shot exchange of its own, never under a registration, and posted again with the same
//! bytes and the same post id until a receipt says POSTED or that there is no hope.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use prost::Message as _;

use super::blocks::{Blocks, Job};
use super::record::OutboxRecord;
use super::turn::Turn;
use super::{OWN_CONTENT, OWN_HASH};
use crate::counters::{Direction, DropReason};
use crate::gateway::request::{Body, Content, Post, PostId, RESEALS_MAX, Receipts};
use crate::gateway::response::{Reason, Receipt, Response, ResponseBody, Stage, Status};
use crate::port::{Envelope, EnvelopeHash, Stage as Life};
use crate::seen;
use crate::store::{Family, StoreError, scan_all};

/// Reply blocks in a POST: one for each of ACCEPTED, RESEALED and POSTED. With an envelope of a usual chat message they
/// fill one packet.
const POST_BLOCKS: usize = 3;
/// Posts that wait: what a client can send in its worst minute.
const POSTS_MAX: usize = 4_096;
/// Bytes that wait.
const BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
pub(crate) struct Outbox {
    posts: BTreeMap<PostId, Entry>,
    timers: BTreeSet<(Instant, PostId)>,
    bytes: usize,
}

struct Entry {
    rlp: Arc<[u8]>,
    hash: EnvelopeHash,
    retry_until: u32,
    accepted_unix_ms: u64,
    attempts: u32,
    due: Option<Instant>,
}

impl Outbox {
    /// The posts that the store holds, at work again.
    pub(crate) fn open(turn: &mut Turn<'_>) -> Result<Self, StoreError> {
        let mut outbox = Self::default();
        let store = turn.ledger.store();
        scan_all(&*store, Family::Outbox, b"", |key, value| {
            let corrupt = || StoreError::corrupt(Family::Outbox);
            let id = PostId::new(key.try_into().map_err(|_| corrupt())?);
            let record = OutboxRecord::decode(value).map_err(|_| corrupt())?;
            let entry = Entry {
                rlp: Arc::from(record.rlp),
                hash: record.hash.try_into().map_err(|_| corrupt())?,
                retry_until: record.retry_until,
                accepted_unix_ms: record.accepted_unix_ms,
                attempts: 0,
                due: None,
            };
            outbox.bytes += entry.rlp.len();
            outbox.posts.insert(id, entry);
            Ok(())
        })?;
        let ids: Vec<PostId> = outbox.posts.keys().copied().collect();
        for id in ids {
            outbox.wake(id, turn.now.mono);
        }
        Ok(outbox)
    }

    /// How many envelopes are on their way.
    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    /// The oldest of them was accepted then, Unix milliseconds.
    pub(crate) fn oldest_unix_ms(&self) -> Option<u64> {
        self.posts
            .values()
            .map(|entry| entry.accepted_unix_ms)
            .min()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// An envelope from the local client.
    pub(crate) fn accept(
        &mut self,
        turn: &mut Turn<'_>,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        let now_s = turn.now.unix();
        let facts = &envelope.facts;
        let known = seen::contains(turn.ledger, &OWN_HASH, &facts.hash, now_s)?
            || seen::contains(turn.ledger, &OWN_CONTENT, &facts.content_id, now_s)?;
        if known {
            // Posted before, or it came from the bridge and the client relays it back.
            turn.counters
                .drop(Direction::ToWhisper, DropReason::Duplicate);
            return Ok(());
        }
        if self.posts.len() >= POSTS_MAX || self.bytes + envelope.rlp.len() > BYTES_MAX {
            turn.refuse(facts.hash, Direction::ToWhisper, DropReason::StoreFull);
            return Ok(());
        }
        turn.trace(facts.hash, Life::Accepted);
        seen::note(turn.ledger, &OWN_HASH, &facts.hash, now_s);
        seen::note(turn.ledger, &OWN_CONTENT, &facts.content_id, now_s);
        let entry = Entry {
            rlp: Arc::clone(&envelope.rlp),
            hash: facts.hash,
            retry_until: now_s.saturating_add(turn.config.post_patience_s),
            accepted_unix_ms: turn.now.unix_ms,
            attempts: 0,
            due: None,
        };
        let id = PostId::new(turn.draw());
        let record = OutboxRecord {
            rlp: entry.rlp.to_vec(),
            hash: entry.hash.to_vec(),
            retry_until: entry.retry_until,
            accepted_unix_ms: entry.accepted_unix_ms,
        };
        turn.ledger
            .put(Family::Outbox, *id.bytes(), record.encode_to_vec());
        turn.trace_when_durable(facts.hash, Life::Committed);
        self.bytes += entry.rlp.len();
        self.posts.insert(id, entry);
        self.wake(id, turn.now.mono);
        Ok(())
    }

    /// Whatever is due wants its blocks.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks) {
        while let Some((due, id)) = self.timers.first().copied() {
            if due > turn.now.mono {
                return;
            }
            self.timers.pop_first();
            let Some(entry) = self.posts.get_mut(&id) else {
                continue;
            };
            entry.due = None;
            if turn.now.unix() > entry.retry_until {
                self.give_up(turn, id, DropReason::Expired);
                blocks.cancel(Job::Post(id));
                continue;
            }
            blocks.want(Job::Post(id), POST_BLOCKS);
        }
    }

    /// The request for a post whose blocks are there; its next try is set.
    pub(crate) fn request(&mut self, turn: &mut Turn<'_>, id: PostId) -> Option<Body> {
        let entry = self.posts.get_mut(&id)?;
        let next = turn.retry_at(entry.attempts);
        entry.attempts = entry.attempts.saturating_add(1);
        let post = Post {
            id,
            content: Content::Sealed(entry.rlp.to_vec()),
            reseals: RESEALS_MAX,
            retry_until: Some(entry.retry_until),
            receipts: Receipts::ALL,
        };
        self.wake(id, next);
        Some(Body::Post(post))
    }

    /// What the bridge says to a post.
    pub(crate) fn response(
        &mut self,
        turn: &mut Turn<'_>,
        blocks: &mut Blocks,
        id: PostId,
        response: &Response,
    ) {
        match (&response.status, &response.body) {
            (Status::Ok, Some(ResponseBody::Receipt(receipt))) if receipt.id == id => {
                self.receipt(turn, id, receipt);
            }
            (Status::Busy | Status::Quota, _) => {
                let wait = std::time::Duration::from_secs(response.retry_after_s.into());
                let next = turn.retry_at(0) + wait;
                self.wake(id, next);
            }
            (Status::TooLarge, _) => self.give_up(turn, id, DropReason::TooLarge),
            (Status::Expired, _) => self.give_up(turn, id, DropReason::Expired),
            (Status::Bad | Status::Unauth | Status::Unsupported, _) => {
                self.give_up(turn, id, DropReason::BridgeRefused);
            }
            (Status::Ok | Status::Gone, _) => {
                turn.counters
                    .drop(Direction::ToWhisper, DropReason::Malformed);
            }
        }
        if !self.posts.contains_key(&id) {
            blocks.cancel(Job::Post(id));
        }
    }

    fn receipt(&mut self, turn: &mut Turn<'_>, id: PostId, receipt: &Receipt) {
        let Some(entry) = self.posts.get(&id) else {
            return;
        };
        let hash = entry.hash;
        match receipt.stage {
            Stage::Accepted => {
                // The bridge has it and keeps trying; asking again soon would only cost packets.
                let next = turn.retry_at(2);
                self.wake(id, next);
            }
            Stage::Resealed => turn.trace(hash, Life::Resealed),
            Stage::Posted | Stage::PeerAcked => {
                turn.counters.transfer(Direction::ToWhisper);
                turn.trace_when_durable(hash, Life::Posted);
                self.remove(turn, id);
            }
            Stage::Expired => self.give_up(turn, id, DropReason::Expired),
            Stage::Rejected => self.give_up(turn, id, refusal(receipt.reason)),
            Stage::Unspecified => {}
        }
    }

    fn give_up(&mut self, turn: &mut Turn<'_>, id: PostId, reason: DropReason) {
        if let Some(entry) = self.posts.get(&id) {
            turn.refuse(entry.hash, Direction::ToWhisper, reason);
            self.remove(turn, id);
        }
    }

    fn remove(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let Some(entry) = self.posts.remove(&id) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(entry.rlp.len());
        if let Some(due) = entry.due {
            self.timers.remove(&(due, id));
        }
        turn.ledger.delete(Family::Outbox, *id.bytes());
    }

    fn wake(&mut self, id: PostId, due: Instant) {
        let Some(entry) = self.posts.get_mut(&id) else {
            return;
        };
        if let Some(earlier) = entry.due.replace(due) {
            self.timers.remove(&(earlier, id));
        }
        self.timers.insert((due, id));
    }
}

fn refusal(reason: Reason) -> DropReason {
    match reason {
        Reason::Malformed => DropReason::Malformed,
        Reason::Ttl => DropReason::Ttl,
        Reason::Size => DropReason::TooLarge,
        Reason::Future => DropReason::Future,
        Reason::Stale => DropReason::Expired,
        Reason::LowPow => DropReason::LowPow,
        Reason::Cost => DropReason::Cost,
        Reason::NoPeers => DropReason::NoPeers,
        Reason::None | Reason::Conflict | Reason::NotOffered => DropReason::BridgeRefused,
    }
}
