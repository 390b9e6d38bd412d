//! What comes in as a POST: checked, refused, answered as before, or accepted.

use std::sync::Arc;

use super::Posts;
use super::entry::{Answer, Post, State};
use crate::counters::{Direction, DropReason};
use crate::engine::turn::Turn;
use crate::gateway::request::{Content, Post as PostRequest, PostId, Receipts, RequestId};
use crate::gateway::response::{Reason, Receipt, Response, ResponseBody, Stage, Status};
use crate::gateway::server::ReplyPath;
use crate::policy::{self, Forbidden, Timing};
use crate::port::{ContentId, Envelope, EnvelopeHash, InspectError, Stage as Life};

/// The longest time that a post may ask to be tried.
const PATIENCE_MAX_S: u32 = 3600;
/// Posts that are remembered, over or not: what a minute of full load brings, at some 300 bytes each.
const POSTS_MAX: usize = 65_536;
/// Bytes of sealed envelopes that wait: what the machine can spare.
const OPEN_BYTES_MAX: usize = 64 << 20;
/// How long a client waits when too many posts are open.
const BUSY_RETRY_S: u32 = 5;

impl Posts {
    /// A POST.
    pub(crate) fn post(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        post: PostRequest,
        mut path: ReplyPath,
    ) {
        let (envelope, timing) = match self.check(turn, &post) {
            Ok(checked) => checked,
            Err(refusal) => return refusal.send(turn, request, post.id, &mut path),
        };
        let facts = envelope.facts;
        let now_s = turn.now.unix();
        if self.posts.contains_key(&post.id) {
            return self.repeat(turn, request, post.id, path);
        }
        if let Some(answer) = self.earlier(&facts.content_id, now_s) {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::Duplicate);
            let receipt = answer.receipt(post.id);
            let response = Response::ok(request, now_s, ResponseBody::Receipt(receipt));
            return path.respond(turn, &response);
        }
        let is_full =
            self.posts.len() >= POSTS_MAX || self.open_bytes + envelope.rlp.len() > OPEN_BYTES_MAX;
        if is_full {
            turn.refuse(facts.hash, Direction::ToWhisper, DropReason::Busy);
            let mut response = Response::bare(request, Status::Busy, now_s);
            response.retry_after_s = BUSY_RETRY_S;
            return path.respond(turn, &response);
        }
        self.accept(turn, request, &post, envelope, path);
        match timing {
            _ if self.heard.contains(&facts.hash) => self.posted(turn, post.id, 1),
            Timing::Valid => self.publish(turn, post.id),
            Timing::Expired => self.seal(turn, post.id),
        }
    }

    /// Whether a post may go out, or went out under this id; cheap checks first.
    fn check(&self, turn: &Turn<'_>, post: &PostRequest) -> Result<(Envelope, Timing), Refusal> {
        let Content::Sealed(rlp) = &post.content else {
            return Err(Refusal::rejected(
                None,
                (Reason::NotOffered, DropReason::Malformed),
            ));
        };
        let facts = turn
            .config
            .inspect
            .inspect(rlp)
            .map_err(|error| Refusal::rejected(None, inspect_reason(error)))?;
        let envelope = Envelope {
            rlp: Arc::from(rlp.as_slice()),
            facts,
        };
        if let Some(known) = self.posts.get(&post.id) {
            return if known.original == facts.hash {
                Ok((envelope, Timing::Valid))
            } else {
                Err(Refusal::rejected(
                    Some(facts.hash),
                    (Reason::Conflict, DropReason::Replayed),
                ))
            };
        }
        let now_s = turn.now.unix();
        let timing = policy::check_post(&facts, now_s).map_err(|forbidden| {
            Refusal::rejected(Some(facts.hash), forbidden_reason(forbidden))
        })?;
        let is_over = reseals_of(turn, post) == 0 || retry_until(post, &envelope, now_s) < now_s;
        if timing == Timing::Expired && is_over {
            return Err(Refusal {
                hash: Some(facts.hash),
                stage: Stage::Expired,
                reason: Reason::Stale,
                count: DropReason::Expired,
            });
        }
        Ok((envelope, timing))
    }

    fn accept(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        post: &PostRequest,
        envelope: Envelope,
        path: ReplyPath,
    ) {
        let now_s = turn.now.unix();
        let hash = envelope.facts.hash;
        let retry_until = retry_until(post, &envelope, now_s);
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
}

/// A post that is refused at once and not remembered: a repetition is refused alike.
struct Refusal {
    hash: Option<EnvelopeHash>,
    stage: Stage,
    reason: Reason,
    count: DropReason,
}

impl Refusal {
    fn rejected(hash: Option<EnvelopeHash>, (reason, count): (Reason, DropReason)) -> Self {
        Self {
            hash,
            stage: Stage::Rejected,
            reason,
            count,
        }
    }

    fn send(self, turn: &mut Turn<'_>, request: RequestId, id: PostId, path: &mut ReplyPath) {
        match self.hash {
            Some(hash) => turn.refuse(hash, Direction::ToWhisper, self.count),
            None => turn.counters.drop(Direction::ToWhisper, self.count),
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

/// Until when a post is tried.
fn retry_until(post: &PostRequest, envelope: &Envelope, now_s: u32) -> u32 {
    let latest = now_s.saturating_add(PATIENCE_MAX_S);
    post.retry_until
        .unwrap_or(envelope.facts.expiry)
        .min(latest)
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
