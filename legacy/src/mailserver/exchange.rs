//! How one mailserver asks another for what it has (code 123), and what that answers (code 124).
//!
//! ```text
//! request   RLP[ lower, upper, bloom, limit (1..=1000), cursor ]
//! response  RLP[ [envelope, …], cursor, final, error ]
//! ```
//!
//! Several responses with envelopes come first, then one without that is final and says where to go on. Spec: server-to-server
//! sync.

use thiserror::Error;

use super::key::Cursor;
use super::limits::{ERROR_LEN_MAX, LIMIT_MAX, REQUEST_LEN_MAX};
use super::request::{self, Request, RequestError, Wanted};
use crate::rlp::{Item, Items, List, RlpError};

/// Reads a request for a sync. Unlike one for mail it must say how many envelopes it wants.
pub fn decode_request(payload: &[u8]) -> Result<Request, RequestError> {
    if payload.len() > REQUEST_LEN_MAX {
        return Err(RequestError::TooLong { len: payload.len() });
    }
    let [lower, upper, bloom, limit, cursor] = Item::exact(payload)?.list_of()?;
    let (lower, upper, limit) = (lower.uint32()?, upper.uint32()?, limit.uint32()?);
    let wanted = Wanted {
        bloom: request::bloom(bloom.bytes()?)?,
        topics: Vec::new(),
    };
    let cursor = request::cursor(cursor.bytes()?)?;
    if limit == 0 || limit > LIMIT_MAX {
        return Err(RequestError::Limit { limit });
    }
    if lower > upper {
        return Err(RequestError::Range { lower, upper });
    }
    Ok(Request {
        lower,
        upper,
        wanted,
        limit,
        cursor,
        batch: true,
    })
}

/// Writes a request for a sync.
pub fn encode_request(request: &Request) -> Vec<u8> {
    let cursor = request.cursor.map(|cursor| cursor.to_bytes());
    List::new()
        .uint(request.lower.into())
        .uint(request.upper.into())
        .bytes(request.wanted.bloom.as_bytes())
        .uint(request.limit.into())
        .bytes(cursor.as_ref().map_or(&[], |cursor| cursor))
        .finish()
}

/// A part of what another mailserver has.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    envelopes: Items<'a>,
    /// How many envelopes there are.
    pub count: usize,
    /// Where to go on; only where it is final.
    pub cursor: Option<Cursor>,
    /// Nothing follows.
    pub last: bool,
    /// Why the sync has failed; empty where it has not.
    pub error: String,
}

impl<'a> Response<'a> {
    /// Reads a response. What is in the envelopes is not looked at.
    pub fn decode(payload: &'a [u8]) -> Result<Response<'a>, ResponseError> {
        let [envelopes, cursor, last, error] = Item::exact(payload)?.list_of()?;
        let envelopes = envelopes.list()?;
        let mut count = 0;
        for envelope in envelopes {
            envelope?.list()?;
            count += 1;
        }
        if count > LIMIT_MAX as usize {
            return Err(ResponseError::TooMany { count });
        }
        let error = error.bytes()?;
        if error.len() > ERROR_LEN_MAX {
            return Err(ResponseError::TextTooLong { len: error.len() });
        }
        let cursor = cursor.bytes()?;
        let cursor = request::cursor(cursor)
            .map_err(|_| ResponseError::CursorLength { len: cursor.len() })?;
        Ok(Response {
            envelopes,
            count,
            cursor,
            last: last.boolean()?,
            error: String::from_utf8_lossy(error).into_owned(),
        })
    }

    /// The bytes of the envelopes.
    pub fn envelopes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.envelopes.flatten().map(|item| item.raw())
    }
}

/// Writes a response.
pub fn encode_response<'a>(
    envelopes: impl Iterator<Item = &'a [u8]>,
    cursor: Option<Cursor>,
    last: bool,
    error: &str,
) -> Vec<u8> {
    let cursor = cursor.map(|cursor| cursor.to_bytes());
    List::new()
        .list(envelopes.fold(List::new(), List::raw))
        .bytes(cursor.as_ref().map_or(&[], |cursor| cursor))
        .boolean(last)
        .bytes(error.as_bytes())
        .finish()
}

/// Why bytes are no response to a sync. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The encoding is broken.
    #[error("a sync response: {0}")]
    Malformed(#[from] RlpError),
    /// More envelopes than anybody may ask for.
    #[error("a sync response of {count} envelopes")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// No cursor.
    #[error("a sync response with a cursor of {len} bytes, not 36")]
    CursorLength {
        /// Its bytes.
        len: usize,
    },
    /// A text without end.
    #[error("a sync response with a text of {len} bytes")]
    TextTooLong {
        /// Its bytes.
        len: usize,
    },
}

impl ResponseError {
    /// Name of the reason in vectors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            ResponseError::Malformed(_) => "malformed",
            ResponseError::TooMany { .. } => "too_many",
            ResponseError::CursorLength { .. } => "cursor_length",
            ResponseError::TextTooLong { .. } => "text_too_long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shh::{Bloom, EnvelopeHash};

    fn request() -> Request {
        Request {
            lower: 5,
            upper: 9,
            wanted: Wanted::ALL,
            limit: 10,
            cursor: None,
            batch: true,
        }
    }

    #[test]
    fn requests_come_back() {
        let cursor = Some(Cursor::new(7, EnvelopeHash::new([3; 32])));
        for cursor in [None, cursor] {
            let request = Request {
                cursor,
                ..request()
            };
            assert_eq!(decode_request(&encode_request(&request)), Ok(request));
        }
    }

    #[test]
    fn requests_without_sense_are_refused() {
        for limit in [0, 1001, u32::MAX] {
            let request = Request { limit, ..request() };
            let error = RequestError::Limit { limit };
            assert_eq!(decode_request(&encode_request(&request)), Err(error));
        }
        let reversed = Request {
            lower: 10,
            ..request()
        };
        let error = RequestError::Range {
            lower: 10,
            upper: 9,
        };
        assert_eq!(decode_request(&encode_request(&reversed)), Err(error));
        let six = List::new().uint(1).uint(2).bytes(Bloom::FULL.as_bytes());
        assert_eq!(
            decode_request(&six.uint(1).bytes(&[]).uint(0).finish()),
            Err(RequestError::Malformed(RlpError::TooManyItems))
        );
        assert_eq!(
            decode_request(&[]),
            Err(RequestError::Malformed(RlpError::TooShort))
        );
    }

    #[test]
    fn responses_come_back() {
        let cursor = Some(Cursor::new(7, EnvelopeHash::new([3; 32])));
        let envelopes: [&[u8]; 2] = [&[0xc1, 1], &[0xc0]];
        let text = encode_response(envelopes.into_iter(), cursor, true, "why");
        let response = Response::decode(&text).unwrap();
        assert_eq!(response.envelopes().collect::<Vec<_>>(), envelopes);
        assert_eq!((response.count, response.cursor), (2, cursor));
        assert_eq!((response.last, response.error.as_str()), (true, "why"));
    }

    #[test]
    fn hostile_responses_are_named() {
        let refused = |list: List| Response::decode(&list.finish()).map(|_| ()).unwrap_err();
        let none = || List::new().list(List::new());
        assert_eq!(
            refused(none().bytes(&[1; 35]).uint(1).bytes(&[])),
            ResponseError::CursorLength { len: 35 }
        );
        assert_eq!(
            refused(none().bytes(&[]).uint(2).bytes(&[])),
            ResponseError::Malformed(RlpError::NotBoolean)
        );
        assert_eq!(
            refused(none().bytes(&[]).uint(1).bytes(&[0; ERROR_LEN_MAX + 1])),
            ResponseError::TextTooLong {
                len: ERROR_LEN_MAX + 1
            }
        );
        let many = (0..1001).fold(List::new(), |list, _| list.raw(&[0xc0]));
        let many = List::new().list(many).bytes(&[]).uint(0).bytes(&[]);
        assert_eq!(refused(many), ResponseError::TooMany { count: 1001 });
        let strings = List::new().list(List::new().uint(1));
        assert_eq!(
            refused(strings.bytes(&[]).uint(0).bytes(&[])),
            ResponseError::Malformed(RlpError::NotList)
        );
    }
}
