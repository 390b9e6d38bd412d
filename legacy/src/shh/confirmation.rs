//! Confirmations of bundles, which Status nodes send to each other.
//!
//! ```text
//! code 11   batch                                                    32 bytes, bare
//! code 12   [1, [batch, [[envelope, code, text], …]]]                what was not accepted, and why
//! batch     = keccak256(payload of the code-1 message)
//! ```
//!
//! Nodes of Status send 12 and then 11 for every bundle; the oldest send 11 alone. Of a 12 only the outer list must be
//! well-formed: what a later version means is nobody's fault. Spec: Whisper v6 confirmations.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::envelope::EnvelopeHash;
use super::limits::{FAULT_TEXT_LEN_MAX, PENDING_BATCHES_MAX};
use super::rules::Reject;
use super::wire::{BATCH_ACKNOWLEDGED, Error, MESSAGE_RESPONSE};
use crate::keccak::keccak256;
use crate::rlp::{self, Item, Items, List, RlpError};

/// Id of a bundle: the hash of its payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchHash([u8; 32]);

impl BatchHash {
    /// The id of a bundle with this payload.
    pub fn of(payload: &[u8]) -> BatchHash {
        BatchHash(keccak256(payload))
    }

    /// An id from its bytes.
    pub const fn new(bytes: [u8; 32]) -> BatchHash {
        BatchHash(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for BatchHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchHash({})", hex::encode(self.0))
    }
}

/// An envelope of a bundle that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub envelope: EnvelopeHash,
    /// [`CLOCK_FAULT`], [`OTHER_FAULT`], or what else the peer says.
    pub code: u64,
    /// Why, for people.
    pub text: String,
}

impl Fault {
    /// What the sender of a refused envelope is told. Nothing where it is not to blame: the envelope died on its way.
    pub(super) fn of(envelope: EnvelopeHash, reject: &Reject) -> Option<Fault> {
        let (code, text) = match reject {
            Reject::Expired { .. } => return None,
            Reject::InFuture { .. } => (CLOCK_FAULT, "envelope from future".to_owned()),
            Reject::VeryOld { .. } => (CLOCK_FAULT, "very old envelope".to_owned()),
            Reject::ZeroTtl
            | Reject::TtlAboveExpiry { .. }
            | Reject::TtlTooLong { .. }
            | Reject::Oversized { .. }
            | Reject::LowPow { .. }
            | Reject::NoBloomMatch
            | Reject::PoolFull => (OTHER_FAULT, reject.to_string()),
        };
        Some(Fault {
            envelope,
            code,
            text,
        })
    }
}

/// Writes code 11.
pub fn encode_acknowledgement(batch: &BatchHash) -> Vec<u8> {
    rlp::encode_bytes(batch.as_bytes())
}

/// Reads code 11.
pub fn decode_acknowledgement(payload: &[u8]) -> Result<BatchHash, Error> {
    Item::exact(payload)
        .and_then(|item| item.array())
        .map(BatchHash)
        .map_err(|source| Error::Malformed {
            code: BATCH_ACKNOWLEDGED,
            source,
        })
}

/// Writes code 12.
pub fn encode_response(batch: &BatchHash, faults: &[Fault]) -> Vec<u8> {
    let faults = faults.iter().fold(List::new(), |list, fault| {
        list.list(
            List::new()
                .bytes(fault.envelope.as_bytes())
                .uint(fault.code)
                .bytes(fault.text.as_bytes()),
        )
    });
    List::new()
        .uint(RESPONSE_VERSION)
        .list(List::new().bytes(batch.as_bytes()).list(faults))
        .finish()
}

/// What a code 12 says.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// What became of a bundle.
    Response(Response<'a>),
    /// The form of a later version.
    OtherVersion(u64),
    /// Version 1 by its number only.
    Unreadable(RlpError),
}

impl<'a> Reply<'a> {
    /// Reads code 12. Only a broken outer list is an error.
    pub fn decode(payload: &'a [u8]) -> Result<Reply<'a>, Error> {
        let outer = |item: Item<'a>| -> Result<_, RlpError> {
            let [version, response] = item.list_of()?;
            Ok((version.uint()?, response))
        };
        let (version, response) =
            Item::exact(payload)
                .and_then(outer)
                .map_err(|source| Error::Malformed {
                    code: MESSAGE_RESPONSE,
                    source,
                })?;
        if version != RESPONSE_VERSION {
            return Ok(Reply::OtherVersion(version));
        }
        Ok(Response::read(response).map_or_else(Reply::Unreadable, Reply::Response))
    }
}

/// What became of a bundle: well-formed to its last entry.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    batch: BatchHash,
    faults: Items<'a>,
}

impl<'a> Response<'a> {
    fn read(item: Item<'a>) -> Result<Response<'a>, RlpError> {
        let [batch, faults] = item.list_of()?;
        let (batch, faults) = (BatchHash(batch.array()?), faults.list()?);
        for fault in faults {
            Response::fault(fault?)?;
        }
        Ok(Response { batch, faults })
    }

    fn fault(item: Item<'a>) -> Result<(EnvelopeHash, u64, &'a [u8]), RlpError> {
        let [envelope, code, text] = item.list_of()?;
        Ok((
            EnvelopeHash::new(envelope.array()?),
            code.uint()?,
            text.bytes()?,
        ))
    }

    /// The bundle.
    pub fn batch(&self) -> BatchHash {
        self.batch
    }

    /// What was not accepted, in the peer's order and however often it names it. Long texts are cut.
    pub fn faults(&self) -> impl Iterator<Item = Fault> + use<'a> {
        let faults = self.faults.flatten();
        faults.filter_map(|item| {
            let (envelope, code, text) = Response::fault(item).ok()?;
            let text = &text[..text.len().min(FAULT_TEXT_LEN_MAX)];
            Some(Fault {
                envelope,
                code,
                text: String::from_utf8_lossy(text).into_owned(),
            })
        })
    }
}

/// Bundles that were sent to one peer and await its word.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Batch>);

#[derive(Debug)]
struct Batch {
    hash: BatchHash,
    envelopes: Arc<[EnvelopeHash]>,
    /// The first word is in. The second of the two is expected and means nothing.
    answered: bool,
}

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first word about a bundle with these envelopes.
    First(Arc<[EnvelopeHash]>),
    /// The second word.
    Second,
    /// We sent no such bundle, or forgot it.
    Stray,
}

impl Pending {
    /// Remembers a bundle. Where there are too many the oldest is forgotten: that peer does not answer.
    pub(super) fn expect(&mut self, hash: BatchHash, envelopes: Arc<[EnvelopeHash]>) {
        if self.0.len() >= PENDING_BATCHES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Batch {
            hash,
            envelopes,
            answered: false,
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn answer(&mut self, hash: &BatchHash) -> Answer {
        let Some(at) = self.0.iter().position(|batch| batch.hash == *hash) else {
            return Answer::Stray;
        };
        if self.0[at].answered {
            self.0.remove(at);
            return Answer::Second;
        }
        self.0[at].answered = true;
        Answer::First(Arc::clone(&self.0[at].envelopes))
    }
}

/// Code of a clock that does not agree, as Status's last Whisper nodes number it.
pub const CLOCK_FAULT: u64 = 37;
/// Code of everything else.
pub const OTHER_FAULT: u64 = 38;
/// The only version of code 12 that exists.
const RESPONSE_VERSION: u64 = 1;

#[cfg(test)]
mod tests;
