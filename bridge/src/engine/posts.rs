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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;

use super::at;
use super::heard::Heard;
use super::record::PostRecord;
use super::reseal;
use super::turn::{Effect, Turn};
use crate::counters::{Direction, DropReason};
use crate::gateway::request::{Content, Post as PostRequest, PostId, Receipts, RequestId};
use crate::gateway::response::{Reason, Receipt, Response, ResponseBody, Stage, Status};
use crate::gateway::server::ReplyPath;
use crate::policy::{self, Forbidden, Timing};
use crate::port::{ContentId, Envelope, EnvelopeHash, InspectError, SealError, Stage as Life};
use crate::store::{Family, StoreError, scan_all};

/// An envelope that no peer took is published again after this long: Whisper peers come and go in seconds.
const PUBLISH_RETRY: Duration = Duration::from_secs(2);
/// A seal job without a result is given out again after this long; far above what the largest costs.
const SEAL_RETRY: Duration = Duration::from_secs(30);
/// A post that is over answers repetitions this much longer than it would have been tried.
const MEMORY_S: u32 = 600;
/// The longest time that a post may ask to be tried.
const PATIENCE_MAX_S: u32 = 3600;
/// Posts that are remembered, over or not: what a minute of full load brings, at some 300 bytes each.
const POSTS_MAX: usize = 65_536;
/// Bytes of sealed envelopes that wait: what the machine can spare.
const OPEN_BYTES_MAX: usize = 64 << 20;
/// How long a client waits when too many posts are open.
const BUSY_RETRY_S: u32 = 5;

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

struct Post {
    request: RequestId,
    /// As it came; its life is told under this hash.
    original: EnvelopeHash,
    content: ContentId,
    /// As it is sealed now; none once the post is over.
    envelope: Option<Envelope>,
    reseals_left: u32,
    retry_until: u32,
    receipts: u32,
    accepted_at: u32,
    state: State,
    answer: Answer,
    reply: Option<ReplyPath>,
    due: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Publishing,
    Sealing { job: u64 },
    Held,
    Over,
}

#[derive(Clone, Copy)]
struct Answer {
    stage: Stage,
    reason: Reason,
    hash: EnvelopeHash,
    peers: u32,
    time: u32,
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

    /// A POST.
    pub(crate) fn post(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        post: PostRequest,
        mut path: ReplyPath,
    ) {
        let now_s = turn.now.unix();
        let Content::Sealed(rlp) = &post.content else {
            let refusal = Refusal {
                hash: None,
                reason: Reason::NotOffered,
                stage: Stage::Rejected,
            };
            return refusal.send(turn, request, post.id, &mut path, DropReason::Malformed);
        };
        let facts = match turn.config.inspect.inspect(rlp) {
            Ok(facts) => facts,
            Err(error) => {
                let (reason, count) = inspect_reason(error);
                let refusal = Refusal {
                    hash: None,
                    reason,
                    stage: Stage::Rejected,
                };
                return refusal.send(turn, request, post.id, &mut path, count);
            }
        };
        if let Some(known) = self.posts.get(&post.id) {
            if known.original == facts.hash {
                return self.repeat(turn, request, post.id, path);
            }
            let refusal = Refusal {
                hash: Some(facts.hash),
                reason: Reason::Conflict,
                stage: Stage::Rejected,
            };
            return refusal.send(turn, request, post.id, &mut path, DropReason::Replayed);
        }
        let timing = match policy::check_post(&facts, now_s) {
            Ok(timing) => timing,
            Err(forbidden) => {
                let (reason, count) = forbidden_reason(forbidden);
                let refusal = Refusal {
                    hash: Some(facts.hash),
                    reason,
                    stage: Stage::Rejected,
                };
                return refusal.send(turn, request, post.id, &mut path, count);
            }
        };
        if let Some(answer) = self.earlier(&facts.content_id, now_s) {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::Duplicate);
            let receipt = answer.receipt(post.id);
            let response = Response::ok(request, now_s, ResponseBody::Receipt(receipt));
            return path.respond(turn, &response);
        }
        let latest = now_s.saturating_add(PATIENCE_MAX_S);
        let retry_until = post.retry_until.unwrap_or(facts.expiry).min(latest);
        if timing == Timing::Expired && (reseals_of(turn, &post) == 0 || retry_until < now_s) {
            let refusal = Refusal {
                hash: Some(facts.hash),
                reason: Reason::Stale,
                stage: Stage::Expired,
            };
            return refusal.send(turn, request, post.id, &mut path, DropReason::Expired);
        }
        if self.posts.len() >= POSTS_MAX || self.open_bytes + rlp.len() > OPEN_BYTES_MAX {
            turn.refuse(facts.hash, Direction::ToWhisper, DropReason::Busy);
            let mut response = Response::bare(request, Status::Busy, now_s);
            response.retry_after_s = BUSY_RETRY_S;
            return path.respond(turn, &response);
        }
        let envelope = Envelope {
            rlp: Arc::from(rlp.as_slice()),
            facts,
        };
        self.accept(turn, request, &post, envelope, retry_until, path);
        if self.heard.contains(&facts.hash) {
            self.posted(turn, post.id, 1);
            return;
        }
        match timing {
            Timing::Valid => self.publish(turn, post.id),
            Timing::Expired => self.seal(turn, post.id),
        }
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
            Err(SealError::Busy) => self.wake(id, turn.now.mono + PUBLISH_RETRY),
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
                State::Sealing { .. } => self.seal(turn, id),
                State::Over => self.forget(turn, id),
            }
        }
    }

    fn accept(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        post: &PostRequest,
        envelope: Envelope,
        retry_until: u32,
        path: ReplyPath,
    ) {
        let now_s = turn.now.unix();
        let hash = envelope.facts.hash;
        let answer = Answer {
            stage: Stage::Accepted,
            reason: Reason::None,
            hash,
            peers: 0,
            time: now_s,
        };
        let entry = Post {
            request,
            original: hash,
            content: envelope.facts.content_id,
            envelope: Some(envelope),
            reseals_left: reseals_of(turn, post),
            retry_until,
            receipts: receipt_mask(post.receipts),
            accepted_at: now_s,
            state: State::Publishing,
            answer,
            reply: Some(path),
            due: None,
        };
        turn.trace(hash, Life::Accepted);
        turn.trace_when_durable(hash, Life::Committed);
        self.index(post.id, &entry);
        self.posts.insert(post.id, entry);
        self.receipt(turn, post.id);
    }

    /// A POST that came before, under a new request: answered over its new way back.
    fn repeat(&mut self, turn: &mut Turn<'_>, request: RequestId, id: PostId, mut path: ReplyPath) {
        turn.counters
            .drop(Direction::ToWhisper, DropReason::Duplicate);
        let Some(post) = self.posts.get_mut(&id) else {
            return;
        };
        let receipt = post.answer.receipt(id);
        let response = Response::ok(request, turn.now.unix(), ResponseBody::Receipt(receipt));
        let last_for_later = post.state != State::Over && path.blocks.len() < 2;
        if !last_for_later {
            path.respond(turn, &response);
        }
        if post.state != State::Over && !path.blocks.is_empty() {
            post.request = request;
            post.reply = Some(path);
            self.save(turn, id);
        }
    }

    /// The answer to another post of the same content a moment ago.
    fn earlier(&self, content: &ContentId, now_s: u32) -> Option<Answer> {
        let post = self.posts.get(self.by_content.get(content)?)?;
        let recent = now_s < post.accepted_at.saturating_add(policy::REPEAT_S);
        let refused = matches!(post.answer.stage, Stage::Expired | Stage::Rejected);
        (recent && !refused).then_some(post.answer)
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
            self.wake(id, at(turn.now, policy::publish_from(facts.sent)));
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
        self.wake(id, at(turn.now, forget));
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
                self.wake(id, at(turn.now, forget));
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

impl Post {
    fn record(&self) -> PostRecord {
        PostRecord {
            request: self.request.bytes().to_vec(),
            rlp: self
                .envelope
                .as_ref()
                .map_or_else(Vec::new, |envelope| envelope.rlp.to_vec()),
            original: self.original.to_vec(),
            content: self.content.to_vec(),
            reseals_left: self.reseals_left,
            retry_until: self.retry_until,
            receipts: self.receipts,
            accepted_at: self.accepted_at,
            state: match self.state {
                State::Publishing => 0,
                State::Sealing { .. } => 1,
                State::Held => 2,
                State::Over => 3,
            },
            stage: self.answer.stage.into(),
            reason: self.answer.reason.into(),
            hash: self.answer.hash.to_vec(),
            peers: self.answer.peers,
            time: self.answer.time,
            reply: self.reply.as_ref().map(ReplyPath::record),
        }
    }

    fn restore(record: PostRecord, inspect: impl Fn(&[u8]) -> Option<Envelope>) -> Option<Self> {
        let state = match record.state {
            0 => State::Publishing,
            1 => State::Sealing { job: u64::MAX },
            2 => State::Held,
            3 => State::Over,
            _ => return None,
        };
        let envelope = match state {
            State::Over => None,
            State::Publishing | State::Sealing { .. } | State::Held => Some(inspect(&record.rlp)?),
        };
        Some(Self {
            request: RequestId::new(record.request.try_into().ok()?),
            original: record.original.try_into().ok()?,
            content: record.content.try_into().ok()?,
            envelope,
            reseals_left: record.reseals_left,
            retry_until: record.retry_until,
            receipts: record.receipts,
            accepted_at: record.accepted_at,
            state,
            answer: Answer {
                stage: Stage::try_from(record.stage).ok()?,
                reason: Reason::try_from(record.reason).ok()?,
                hash: record.hash.try_into().ok()?,
                peers: record.peers,
                time: record.time,
            },
            reply: match record.reply {
                Some(path) => Some(ReplyPath::restore(path)?),
                None => None,
            },
            due: None,
        })
    }
}

impl Answer {
    fn receipt(&self, id: PostId) -> Receipt {
        Receipt {
            id,
            stage: self.stage,
            envelope_hash: Some(self.hash),
            reason: self.reason,
            peers: self.peers,
            time: self.time,
        }
    }
}

/// A post that is refused at once and not remembered: a repetition is refused alike.
struct Refusal {
    hash: Option<EnvelopeHash>,
    reason: Reason,
    stage: Stage,
}

impl Refusal {
    fn send(
        self,
        turn: &mut Turn<'_>,
        request: RequestId,
        id: PostId,
        path: &mut ReplyPath,
        count: DropReason,
    ) {
        match self.hash {
            Some(hash) => turn.refuse(hash, Direction::ToWhisper, count),
            None => turn.counters.drop(Direction::ToWhisper, count),
        }
        let time = turn.now.unix();
        let receipt = Receipt {
            id,
            stage: self.stage,
            envelope_hash: self.hash,
            reason: self.reason,
            peers: 0,
            time,
        };
        path.respond(
            turn,
            &Response::ok(request, time, ResponseBody::Receipt(receipt)),
        );
    }
}

/// How often a post may be sealed anew.
fn reseals_of(turn: &Turn<'_>, post: &PostRequest) -> u32 {
    if turn.config.reseal {
        post.reseals.min(policy::RESEALS_MAX)
    } else {
        0
    }
}

fn inspect_reason(error: InspectError) -> (Reason, DropReason) {
    match error {
        InspectError::Malformed(_) => (Reason::Malformed, DropReason::Malformed),
        InspectError::ZeroTtl | InspectError::TtlBeyondExpiry { .. } => {
            (Reason::Ttl, DropReason::Ttl)
        }
    }
}

fn forbidden_reason(forbidden: Forbidden) -> (Reason, DropReason) {
    match forbidden {
        Forbidden::Ttl { .. } => (Reason::Ttl, DropReason::Ttl),
        Forbidden::Size { .. } => (Reason::Size, DropReason::TooLarge),
        Forbidden::Future { .. } => (Reason::Future, DropReason::Future),
        Forbidden::LowPow { .. } => (Reason::LowPow, DropReason::LowPow),
    }
}

/// The mask of what is wanted, as the wire has it.
fn receipt_mask(receipts: Receipts) -> u32 {
    let stages = [
        Stage::Accepted,
        Stage::Posted,
        Stage::PeerAcked,
        Stage::Expired,
        Stage::Rejected,
        Stage::Resealed,
    ];
    stages
        .into_iter()
        .filter(|stage| receipts.wants(*stage))
        .fold(0, |mask, stage| mask | 1 << (stage as u32))
}
