//! One post, as it is kept in memory and on the disk.

use std::time::Instant;

use crate::engine::record::PostRecord;
use crate::gateway::request::{PostId, RequestId};
use crate::gateway::response::{Reason, Receipt, Stage};
use crate::gateway::server::ReplyPath;
use crate::port::{ContentId, Envelope, EnvelopeHash};

/// One post.
pub(super) struct Post {
    pub(super) request: RequestId,
    /// As it came; its life is told under this hash.
    pub(super) original: EnvelopeHash,
    pub(super) content: ContentId,
    /// As it is sealed now; none once the post is over.
    pub(super) envelope: Option<Envelope>,
    pub(super) reseals_left: u32,
    pub(super) retry_until: u32,
    pub(super) receipts: u32,
    pub(super) accepted_at: u32,
    pub(super) state: State,
    pub(super) answer: Answer,
    pub(super) reply: Option<ReplyPath>,
    pub(super) due: Option<Instant>,
}

/// Where a post is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Publishing,
    Sealing { job: u64 },
    Held,
    Over,
}

/// What a repetition of the post is told.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) stage: Stage,
    pub(super) reason: Reason,
    pub(super) hash: EnvelopeHash,
    pub(super) peers: u32,
    pub(super) time: u32,
}

impl Post {
    pub(super) fn record(&self) -> PostRecord {
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

    pub(super) fn restore(
        record: PostRecord,
        inspect: impl Fn(&[u8]) -> Option<Envelope>,
    ) -> Option<Self> {
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
    pub(super) fn receipt(&self, id: PostId) -> Receipt {
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
