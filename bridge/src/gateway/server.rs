//! The bridge's end of the gateway protocol: opens one-shot requests, once each, and answers them.
//!
//! A client that gets no answer asks again with a new one-shot tag and the same request or post id. So a tag
//! that comes twice is a captured frame that somebody sent again: it is dropped. A request id that comes twice is
//! a repetition: it is answered as before.

use crate::counters::{Direction, DropReason};
use crate::engine::record::ReplyPathRecord;
use crate::engine::turn::{Effect, Turn};
use crate::gateway::request::{Request, RequestId};
use crate::gateway::response::Response;
use crate::gateway::seal::{self, Context, SEALER_RECORD_LEN, Sealer};
use crate::port::{Kind, Object, ReplyBlock, Tag};
use crate::store::{Family, StoreError};

/// How long a one-shot tag is remembered: longer than any packet of the mixnet can be replayed.
const ONE_SHOT_MEMORY_S: u32 = 24 * 3600;
/// How long the answer to a REGISTER is kept for repetitions: far longer than a client repeats it.
const ANSWER_MEMORY_S: u32 = 24 * 3600;

/// The way back to whoever sent a one-shot request.
pub(crate) struct ReplyPath {
    tag: Tag,
    sealer: Sealer,
    pub(crate) blocks: Vec<ReplyBlock>,
}

/// A one-shot request and the way back.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) path: ReplyPath,
}

/// Opens a one-shot request that was not seen before; what is none is counted and dropped.
pub(crate) fn open(turn: &mut Turn<'_>, object: &Object) -> Result<Option<Asked>, StoreError> {
    let drop = |turn: &mut Turn<'_>, reason| {
        turn.counters.drop(Direction::ToWhisper, reason);
        Ok(None)
    };
    let context = Context::new(Kind::Request, object.tag);
    let Ok((content, sealer)) =
        seal::open_request(context, &turn.config.gateway_secret, &object.bytes)
    else {
        return drop(turn, DropReason::Forged);
    };
    let key = one_shot_key(object.tag);
    if turn.ledger.get(Family::Requests, &key)?.is_some() {
        return drop(turn, DropReason::Replayed);
    }
    let until = turn.now.unix().saturating_add(ONE_SHOT_MEMORY_S);
    turn.ledger.put(Family::Requests, key, until.to_be_bytes());
    let Ok(mut request) = Request::decode(&content) else {
        return drop(turn, DropReason::Malformed);
    };
    let blocks = std::mem::take(&mut request.blocks);
    let path = ReplyPath {
        tag: object.tag,
        sealer,
        blocks,
    };
    Ok(Some(Asked { request, path }))
}

impl ReplyPath {
    /// Sends a response, if there are reply blocks for it.
    pub(crate) fn respond(&mut self, turn: &mut Turn<'_>, response: &Response) {
        let context = Context::new(Kind::Response, self.tag);
        if let Some(limit) = self.sealer.reservation() {
            self.sealer.reserve(limit);
        }
        let frames = turn.frames_for(response.encode().len() + seal::OVERHEAD);
        if self.blocks.len() < frames {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::NoReplyBlocks);
            return;
        }
        let Ok(bytes) = self.sealer.seal(context, &response.encode()) else {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::TooLarge);
            return;
        };
        let blocks = self.blocks.drain(..frames).collect();
        let object = Object {
            kind: Kind::Response,
            tag: self.tag,
            bytes,
        };
        turn.ledger.effect(Effect::Reply { blocks, object });
    }

    /// What to keep of it.
    pub(crate) fn record(&self) -> ReplyPathRecord {
        ReplyPathRecord {
            tag: self.tag.bytes().to_vec(),
            sealer: self.sealer.record(self.sealer.limit()).to_vec(),
            blocks: self
                .blocks
                .iter()
                .map(|block| block.bytes().to_vec())
                .collect(),
        }
    }

    /// The way back of a record.
    pub(crate) fn restore(record: ReplyPathRecord) -> Option<Self> {
        let tag = Tag::new(record.tag.try_into().ok()?);
        let sealer: [u8; SEALER_RECORD_LEN] = record.sealer.try_into().ok()?;
        let blocks = record
            .blocks
            .into_iter()
            .map(ReplyBlock::new)
            .collect::<Option<_>>()?;
        Some(Self {
            tag,
            sealer: Sealer::restore(&sealer),
            blocks,
        })
    }
}

/// The answer that a request got before.
pub(crate) fn earlier_answer(
    turn: &Turn<'_>,
    request: RequestId,
) -> Result<Option<Response>, StoreError> {
    let Some(value) = turn.ledger.get(Family::Requests, &answer_key(request))? else {
        return Ok(None);
    };
    let corrupt = || StoreError::corrupt(Family::Requests);
    let (_until, response) = value.split_first_chunk::<4>().ok_or_else(corrupt)?;
    Response::decode(response).map(Some).map_err(|_| corrupt())
}

/// Keeps the answer to a request for its repetitions.
pub(crate) fn keep_answer(turn: &mut Turn<'_>, response: &Response) {
    let until = turn.now.unix().saturating_add(ANSWER_MEMORY_S);
    let value = [until.to_be_bytes().as_slice(), &response.encode()].concat();
    turn.ledger
        .put(Family::Requests, answer_key(response.id), value);
}

fn one_shot_key(tag: Tag) -> Vec<u8> {
    [b"tag:".as_slice(), tag.bytes()].concat()
}

fn answer_key(request: RequestId) -> Vec<u8> {
    [b"ask:".as_slice(), request.bytes()].concat()
}
