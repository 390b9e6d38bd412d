//! What a mailserver answers: envelopes (code 127) and, after the last of them, how it went (code 125).
//!
//! ```text
//! envelopes   one envelope on its own, or RLP[ envelope, envelope, … ]
//! done        RLP string:  id (32) ‖ id of the last envelope, or zeros (32) [‖ cursor (36) if there may be more]
//! refused     RLP string:  "ERROR=" ‖ id (32) ‖ text
//! ```
//!
//! Spec: mailserver delivery, completion.

use thiserror::Error;

use super::key::Cursor;
use super::limits::ERROR_LEN_MAX;
use super::request::MailId;
use crate::rlp::{Item, RlpError, encode_bytes};
use crate::shh::EnvelopeHash;

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Everything was sent.
    Done {
        /// The request.
        id: MailId,
        /// The last envelope that was sent for it.
        last: Option<EnvelopeHash>,
        /// Where to go on; nothing where there is no more.
        cursor: Option<Cursor>,
    },
    /// It was not served, or not to its end.
    Failed {
        /// The request.
        id: MailId,
        /// Why, in the server's words.
        text: String,
    },
}

impl Completion {
    /// Reads a completion as Status clients do: what is shorter than it should be lacks its last parts.
    pub fn decode(payload: &[u8]) -> Result<Completion, CompletionError> {
        let bytes = Item::exact(payload)?.bytes()?;
        let len = bytes.len();
        if let Some(failure) = bytes.strip_prefix(FAILURE)
            && let Some((id, text)) = failure.split_first_chunk()
        {
            if text.len() > ERROR_LEN_MAX {
                return Err(CompletionError::TooLong { len });
            }
            return Ok(Completion::Failed {
                id: MailId(*id),
                text: String::from_utf8_lossy(text).into_owned(),
            });
        }
        let (id, rest) = bytes
            .split_first_chunk()
            .ok_or(CompletionError::TooShort { len })?;
        if len > DONE_LEN_MAX {
            return Err(CompletionError::TooLong { len });
        }
        let (last, cursor) = match rest.split_first_chunk::<32>() {
            None => (None, None),
            Some((last, rest)) => (
                Some(*last).filter(|last| *last != [0; 32]),
                rest.first_chunk().map(Cursor::from_bytes),
            ),
        };
        Ok(Completion::Done {
            id: MailId(*id),
            last: last.map(EnvelopeHash::new),
            cursor,
        })
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(DONE_LEN_MAX);
        match self {
            Completion::Done { id, last, cursor } => {
                bytes.extend_from_slice(&id.0);
                let last = last.map_or([0; 32], |last| *last.as_bytes());
                bytes.extend_from_slice(&last);
                if let Some(cursor) = cursor {
                    bytes.extend_from_slice(&cursor.to_bytes());
                }
            }
            Completion::Failed { id, text } => {
                bytes.extend_from_slice(FAILURE);
                bytes.extend_from_slice(&id.0);
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        encode_bytes(&bytes)
    }

    /// The request that it is about.
    pub const fn id(&self) -> MailId {
        match self {
            Completion::Done { id, .. } | Completion::Failed { id, .. } => *id,
        }
    }
}

/// Why bytes are no completion. Each ends the connection, as at every Status node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompletionError {
    /// No RLP string.
    #[error("a completion that is no string: {0}")]
    Malformed(#[from] RlpError),
    /// Not even a request's id.
    #[error("a completion of {len} bytes, where the id of a request has 32")]
    TooShort {
        /// Its bytes.
        len: usize,
    },
    /// More than an id, a hash and a cursor, or a text without end.
    #[error("a completion of {len} bytes")]
    TooLong {
        /// Its bytes.
        len: usize,
    },
}

impl CompletionError {
    /// Name of the reason in vectors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            CompletionError::Malformed(_) => "malformed",
            CompletionError::TooShort { .. } => "too_short",
            CompletionError::TooLong { .. } => "too_long",
        }
    }
}

/// How a refusal starts.
const FAILURE: &[u8] = b"ERROR=";
/// Id, hash and cursor.
const DONE_LEN_MAX: usize = 32 + 32 + Cursor::LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(bytes: &[u8]) -> Result<Completion, CompletionError> {
        Completion::decode(&encode_bytes(bytes))
    }

    #[test]
    fn what_is_written_is_read() {
        let id = MailId([7; 32]);
        let last = Some(EnvelopeHash::new([9; 32]));
        let cursor = Some(Cursor::new(5, EnvelopeHash::new([9; 32])));
        for (last, cursor) in [(None, None), (last, None), (last, cursor)] {
            let done = Completion::Done { id, last, cursor };
            assert_eq!(Completion::decode(&done.encode()), Ok(done));
        }
        let text = "rate limit exceeded".to_owned();
        let failed = Completion::Failed { id, text };
        assert_eq!(Completion::decode(&failed.encode()), Ok(failed));
    }

    #[test]
    fn hostile_lengths_are_named() {
        for len in [0, 6, 31] {
            assert_eq!(
                completion(&vec![1; len]),
                Err(CompletionError::TooShort { len })
            );
        }
        for len in [101, 4096] {
            assert_eq!(
                completion(&vec![1; len]),
                Err(CompletionError::TooLong { len })
            );
        }
        let id = MailId([1; 32]);
        for len in [32, 33, 63] {
            let done = Completion::Done {
                id,
                last: None,
                cursor: None,
            };
            assert_eq!(completion(&vec![1; len]), Ok(done), "{len}");
        }
        for len in [64, 99] {
            let Ok(Completion::Done { last, cursor, .. }) = completion(&vec![1; len]) else {
                panic!("{len}");
            };
            assert_eq!((last.is_some(), cursor), (true, None), "{len}");
        }
    }

    #[test]
    fn hostile_refusals_are_named() {
        assert_eq!(
            completion(b"ERROR="),
            Err(CompletionError::TooShort { len: 6 })
        );
        // A word and 31 bytes are the id of something, as at every Status node.
        let short = [b"ERROR=".as_slice(), &[1; 31]].concat();
        assert!(matches!(completion(&short), Ok(Completion::Done { .. })));
        let bare = [b"ERROR=".as_slice(), &[1; 32]].concat();
        assert_eq!(
            completion(&bare),
            Ok(Completion::Failed {
                id: MailId([1; 32]),
                text: String::new()
            })
        );
        let long = [b"ERROR=".as_slice(), &[1; 33 + ERROR_LEN_MAX]].concat();
        assert!(matches!(
            completion(&long),
            Err(CompletionError::TooLong { .. })
        ));
        let strange = [b"ERROR=".as_slice(), &[1; 32], &[0xff, 0xfe]].concat();
        assert!(matches!(
            completion(&strange),
            Ok(Completion::Failed { text, .. }) if text == "\u{fffd}\u{fffd}"
        ));
        assert!(matches!(
            Completion::decode(&[0xc0]),
            Err(CompletionError::Malformed(RlpError::List))
        ));
        assert!(matches!(
            Completion::decode(&[0x80, 0x80]),
            Err(CompletionError::Malformed(RlpError::Trailing { len: 1 }))
        ));
    }
}
