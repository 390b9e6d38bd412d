//! Posts on their way into Whisper. spec: POST of the gateway protocol, and the post pipeline.
//!
//! ```text
//! POST ─ checks ─▶ Publishing ── peers ≥ 1 ─────────────▶ Over: POSTED
//!            │        │  ▲  no peer: again while valid
//!    expired │        │  └────────────── Held until sent ≤ now + 5 s
//!            ▼        ▼                     ▲
//!          Sealing (Work) ─ committed ──────┘ RESEALED      otherwise Over: EXPIRED, REJECTED
//! ```
//!
//! The sealed bytes are durable before they are published, so a repetition after a crash is the same envelope. A post
//! that is over is remembered for a while and answers repetitions of itself.

mod entry;
mod intake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;

use super::heard::Heard;
use super::record::PostRecord;
use super::reseal;
use super::turn::{Effect, Turn};
use crate::counters::{Direction, DropReason};
use crate::gateway::request::{PostId, Receipts};
use crate::gateway::response::{Reason, Response, ResponseBody, Stage};
use crate::policy::{self, Timing};
use crate::port::{ContentId, Envelope, EnvelopeHash, SealError, Stage as Life};
use crate::store::{Family, StoreError, scan_all};
use entry::{Post, State};

/// An envelope that no peer took is published again after this long: Whisper peers come and go in seconds.
const PUBLISH_RETRY: Duration = Duration::from_secs(2);
/// A seal job without a result is given out again after this long; far above what the largest costs.
const SEAL_RETRY: Duration = Duration::from_secs(30);
/// A post that is over answers repetitions this much longer than it would have been tried.
const MEMORY_S: u32 = 600;

/// All posts, by their post id.
#[derive(Default)]
pub(crate) struct Posts {
    posts: BTreeMap<PostId, Post>,
    by_hash: BTreeMap<EnvelopeHash, PostId>,
    by_content: BTreeMap<ContentId, PostId>,
    by_job: BTreeMap<u64, PostId>,
    timers: BTreeSet<(Instant, PostId)>,
    heard: Heard,
    next_job: u64,
    open_bytes: usize,
}

impl Posts {
    /// The posts that the store holds, at work again.
    pub(crate) fn open(turn: &mut Turn<'_>) -> Result<Self, StoreError> {
        let mut posts = Self::default();
        let store = turn.ledger.store();
        let config = turn.config;
        scan_all(&*store, Family::Posts, b"", |key, value| {
            let corrupt = || StoreError::corrupt(Family::Posts);
            let id = PostId::new(key.try_into().map_err(|_| corrupt())?);
            let record = PostRecord::decode(value).map_err(|_| corrupt())?;
            let inspect = |rlp: &[u8]| {
                let facts = config.inspect.inspect(rlp).ok()?;
                Some(Envelope {
                    rlp: Arc::from(rlp),
                    facts,
                })
            };
            let post = Post::restore(record, inspect).ok_or_else(corrupt)?;
            posts.index(id, &post);
            posts.posts.insert(id, post);
            Ok(())
        })?;
        for id in posts.posts.keys().copied().collect::<Vec<_>>() {
            posts.resume(turn, id);
        }
        Ok(posts)
    }

    /// How many posts are not over.
    pub(crate) fn open_count(&self) -> usize {
        self.posts
            .values()
            .filter(|post| post.state != State::Over)
            .count()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// What happened to a published envelope; the envelope, when it has just been posted.
    pub(crate) fn published(
        &mut self,
        turn: &mut Turn<'_>,
        hash: EnvelopeHash,
        peers: u32,
    ) -> Option<Envelope> {
        let id = *self.by_hash.get(&hash)?;
        let post = self.posts.get(&id)?;
        if post.state != State::Publishing || peers == 0 {
            return None; // its timer publishes it again
        }
        let envelope = post.envelope.clone();
        self.posted(turn, id, peers);
        envelope
    }

    /// Whisper brought an envelope. A post with the same bytes is there already: this bridge published it before a restart, or
    /// another one did. Nobody would take it from us then, so nobody would say that it went out.
    pub(crate) fn heard(&mut self, turn: &mut Turn<'_>, envelope: &Envelope) {
        let facts = &envelope.facts;
        self.heard.note(facts.hash, facts.expiry, turn.now.unix());
        let Some(id) = self.by_hash.get(&facts.hash).copied() else {
            return;
        };
        if self
            .posts
            .get(&id)
            .is_some_and(|post| post.state == State::Publishing)
        {
            self.posted(turn, id, 1);
        }
    }

    /// Whisper's pool did not take a published envelope.
    pub(crate) fn refused(&mut self, turn: &mut Turn<'_>, hash: EnvelopeHash, reason: &str) {
        let Some(id) = self.by_hash.get(&hash).copied() else {
            return;
        };
        let Some(post) = self.posts.get(&id) else {
            return;
        };
        if post.state != State::Publishing {
            return;
        }
        let original = post.original;
        match reason {
            "expired" | "very_old" => self.late(turn, id, Reason::Stale),
            "low_pow" => self.reject(turn, id, original, Reason::LowPow, DropReason::LowPow),
            "oversize" | "oversized" => {
                self.reject(turn, id, original, Reason::Size, DropReason::TooLarge);
            }
            "zero_ttl" | "ttl_above_expiry" | "ttl_too_long" => {
                self.reject(turn, id, original, Reason::Ttl, DropReason::Ttl);
            }
            "malformed" | "no_bloom_match" => {
                self.reject(
                    turn,
                    id,
                    original,
                    Reason::Malformed,
                    DropReason::WhisperRefused,
                );
            }
            // In the pool already, no room in it, not its time yet, a node that goes down: the timer asks again, and its
            // expiry ends it.
            _ => {}
        }
    }

    /// The result of a seal job.
    pub(crate) fn sealed(
        &mut self,
        turn: &mut Turn<'_>,
        job: u64,
        result: Result<Envelope, SealError>,
    ) {
        let Some(id) = self.by_job.remove(&job) else {
            return;
        };
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let original = post.original;
        match result {
            Ok(envelope) if envelope.facts.content_id == post.content => {
                self.resealed(turn, id, envelope);
            }
            Ok(_) | Err(SealError::Cost) => {
                self.reject(turn, id, original, Reason::Cost, DropReason::Cost);
            }
            Err(SealError::Busy | SealError::Clock) => self.wake(id, turn.now.mono + PUBLISH_RETRY),
        }
    }

    /// Whatever is due.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        while let Some((due, id)) = self.timers.first().copied() {
            if due > turn.now.mono {
                return;
            }
            self.timers.pop_first();
            let Some(post) = self.posts.get_mut(&id) else {
                continue;
            };
            post.due = None;
            match post.state {
                State::Publishing | State::Held => self.publish_or_late(turn, id),
                State::Sealing { .. } => self.late(turn, id, Reason::Stale),
                State::Over => self.forget(turn, id),
            }
        }
    }

    fn publish_or_late(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let Some(facts) = self
            .posts
            .get(&id)
            .and_then(|post| post.envelope.as_ref())
            .map(|e| e.facts)
        else {
            return;
        };
        let now_s = turn.now.unix();
        if policy::timing(facts.expiry, now_s) == Timing::Expired {
            self.late(turn, id, Reason::NoPeers);
        } else if now_s < policy::publish_from(facts.sent) {
            self.wake(id, turn.now.when(policy::publish_from(facts.sent)));
        } else {
            self.publish(turn, id);
        }
    }

    fn publish(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let Some(envelope) = post.envelope.clone() else {
            return;
        };
        let held = post.state != State::Publishing;
        post.state = State::Publishing;
        if held || post.due.is_none() {
            self.save(turn, id);
        }
        turn.ledger.effect(Effect::Publish(envelope));
        self.wake(id, turn.now.mono + PUBLISH_RETRY);
    }

    fn posted(&mut self, turn: &mut Turn<'_>, id: PostId, peers: u32) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        post.answer.peers = peers;
        turn.counters.transfer(Direction::ToWhisper);
        turn.trace(post.original, Life::Posted);
        self.finish(turn, id, Stage::Posted, Reason::None);
    }

    /// It expired on its way: sealed anew if that is allowed, otherwise given up.
    fn late(&mut self, turn: &mut Turn<'_>, id: PostId, reason: Reason) {
        let Some(post) = self.posts.get(&id) else {
            return;
        };
        if post.reseals_left > 0 && turn.now.unix() <= post.retry_until {
            return self.seal(turn, id);
        }
        let count = if reason == Reason::NoPeers {
            DropReason::NoPeers
        } else {
            DropReason::Expired
        };
        turn.refuse(post.original, Direction::ToWhisper, count);
        self.finish(turn, id, Stage::Expired, reason);
    }

    fn reject(
        &mut self,
        turn: &mut Turn<'_>,
        id: PostId,
        original: EnvelopeHash,
        reason: Reason,
        count: DropReason,
    ) {
        turn.refuse(original, Direction::ToWhisper, count);
        self.finish(turn, id, Stage::Rejected, reason);
    }

    fn seal(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let job = self.next_job;
        let now_s = turn.now.unix();
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let work = post
            .envelope
            .as_ref()
            .and_then(|envelope| reseal::job(job, envelope, now_s));
        let Some(work) = work else {
            let original = post.original;
            return self.reject(turn, id, original, Reason::Malformed, DropReason::Malformed);
        };
        if let State::Sealing { job: earlier } = post.state {
            self.by_job.remove(&earlier);
        }
        post.state = State::Sealing { job };
        self.next_job += 1;
        self.by_job.insert(job, id);
        self.save(turn, id);
        turn.ledger.effect(Effect::Work(work));
        self.wake(id, turn.now.mono + SEAL_RETRY);
    }

    fn resealed(&mut self, turn: &mut Turn<'_>, id: PostId, envelope: Envelope) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        if let Some(old) = &post.envelope {
            self.by_hash.remove(&old.facts.hash);
            self.open_bytes = self.open_bytes.saturating_sub(old.rlp.len());
        }
        self.by_hash.insert(envelope.facts.hash, id);
        self.open_bytes += envelope.rlp.len();
        post.state = State::Held;
        post.reseals_left = post.reseals_left.saturating_sub(1);
        post.answer.stage = Stage::Resealed;
        post.answer.hash = envelope.facts.hash;
        post.answer.time = turn.now.unix();
        post.envelope = Some(envelope);
        turn.trace_when_durable(post.original, Life::Resealed);
        self.receipt(turn, id);
        self.save(turn, id);
        self.publish_or_late(turn, id);
    }

    fn finish(&mut self, turn: &mut Turn<'_>, id: PostId, stage: Stage, reason: Reason) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        post.state = State::Over;
        post.answer.stage = stage;
        post.answer.reason = reason;
        post.answer.time = turn.now.unix();
        if let Some(envelope) = post.envelope.take() {
            self.by_hash.remove(&envelope.facts.hash);
            self.open_bytes = self.open_bytes.saturating_sub(envelope.rlp.len());
        }
        let forget = post
            .retry_until
            .max(turn.now.unix())
            .saturating_add(MEMORY_S);
        self.receipt(turn, id);
        if let Some(post) = self.posts.get_mut(&id) {
            post.reply = None;
        }
        self.save(turn, id);
        self.wake(id, turn.now.when(forget));
    }

    fn forget(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let Some(post) = self.posts.remove(&id) else {
            return;
        };
        if self.by_content.get(&post.content) == Some(&id) {
            self.by_content.remove(&post.content);
        }
        turn.ledger.delete(Family::Posts, *id.bytes());
    }

    /// Sends the receipt of the present stage, if it is wanted; the last block is kept for the last stage.
    fn receipt(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let last = post.state == State::Over;
        let Some(path) = &mut post.reply else { return };
        if !Receipts::new(post.receipts).wants(post.answer.stage)
            || (!last && path.blocks.len() < 2)
        {
            return;
        }
        let receipt = post.answer.receipt(id);
        let response = Response::ok(
            post.request,
            turn.now.unix(),
            ResponseBody::Receipt(receipt),
        );
        path.respond(turn, &response);
    }

    /// At work again after a restart.
    fn resume(&mut self, turn: &mut Turn<'_>, id: PostId) {
        let Some(post) = self.posts.get(&id) else {
            return;
        };
        match post.state {
            State::Publishing | State::Held => self.publish_or_late(turn, id),
            State::Sealing { .. } => self.seal(turn, id),
            State::Over => {
                let forget = post
                    .retry_until
                    .max(post.answer.time)
                    .saturating_add(MEMORY_S);
                self.wake(id, turn.now.when(forget));
            }
        }
    }

    fn wake(&mut self, id: PostId, due: Instant) {
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        if let Some(earlier) = post.due.replace(due) {
            self.timers.remove(&(earlier, id));
        }
        self.timers.insert((due, id));
    }

    fn index(&mut self, id: PostId, post: &Post) {
        self.by_content.insert(post.content, id);
        if let Some(envelope) = &post.envelope {
            self.by_hash.insert(envelope.facts.hash, id);
            self.open_bytes += envelope.rlp.len();
        }
    }

    fn save(&self, turn: &mut Turn<'_>, id: PostId) {
        if let Some(post) = self.posts.get(&id) {
            turn.ledger
                .put(Family::Posts, *id.bytes(), post.record().encode_to_vec());
        }
    }
}
