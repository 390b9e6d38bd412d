//! What is asked of a mailserver (code 126), in every form that clients use.
//!
//! ```text
//! an envelope, sealed with a password's key or to the server's key, and signed by anybody; inside it one of
//!   6 fields   RLP[ lower, upper, bloom, limit, cursor, batch ]              status-go before 0.40
//!   7 fields   RLP[ lower, upper, bloom, [topic, …], limit, cursor, batch ]  status-go from 0.40 on
//!   raw        lower (4) ‖ upper (4) [‖ bloom (64) [‖ limit (4) [‖ cursor (36 or 40)]]]   geth: one packet per envelope
//! plain, in clear
//!   6 items    RLP[ id (32), lower, upper, limit, cursor, bloom ]            status-go from 0.34 on
//! ```
//!
//! The id of a sealed request is the hash of its envelope. The two sealed lists do not decode as each other; the kind of their
//! fourth field tells them apart. An upper end of zero is now and a minute, a limit of zero is the highest.
//! Spec: mailserver request.

use thiserror::Error;

use super::key::Cursor;
use super::limits::{LIMIT_MAX, OPEN_END, REQUEST_LEN_MAX, TOPICS_MAX};
use crate::rlp::{Item, List, RlpError};
use crate::shh::{Bloom, Topic};

/// Name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(pub [u8; 32]);

/// The way a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Sealed, six fields.
    Six,
    /// Sealed, seven fields.
    Seven,
    /// Sealed, fields of fixed lengths.
    Raw,
    /// In clear.
    Plain,
}

impl Form {
    /// Name of the form in metrics and vectors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Form::Six => "six",
            Form::Seven => "seven",
            Form::Raw => "raw",
            Form::Plain => "plain",
        }
    }
}

/// Which envelopes are wanted, time apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The filter that their topics must pass.
    pub bloom: Bloom,
    /// Their topics; none means all that pass the filter.
    pub topics: Vec<Topic>,
}

impl Wanted {
    /// Everything.
    pub const ALL: Wanted = Wanted {
        bloom: Bloom::FULL,
        topics: Vec::new(),
    };

    /// Whether envelopes of this topic are wanted.
    pub fn takes(&self, topic: Topic) -> bool {
        self.bloom.wants(topic) && (self.topics.is_empty() || self.topics.contains(&topic))
    }
}

/// A request, whatever its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// First second of sending.
    pub lower: u32,
    /// Last second of sending.
    pub upper: u32,
    /// Which envelopes.
    pub wanted: Wanted,
    /// How many at most.
    pub limit: u32,
    /// Where the last request ended.
    pub cursor: Option<Cursor>,
    /// The client takes many envelopes in one packet.
    pub batch: bool,
}

impl Request {
    /// Reads what was sealed in an envelope. The numbers are as they came; [`Request::check`] judges them.
    pub fn decode(payload: &[u8]) -> Result<(Form, Request), RequestError> {
        if payload.len() > REQUEST_LEN_MAX {
            return Err(RequestError::TooLong { len: payload.len() });
        }
        // The first byte of the raw form belongs to a time, which reaches the prefixes of lists in 2072.
        match Item::exact(payload) {
            Ok(item) if item.is_list() => Request::decode_fields(item),
            Ok(_) | Err(_) => Request::decode_raw(payload).map(|request| (Form::Raw, request)),
        }
    }

    fn decode_fields(list: Item<'_>) -> Result<(Form, Request), RequestError> {
        let mut fields = list.list()?;
        let (lower, upper) = (fields.required()?.uint32()?, fields.required()?.uint32()?);
        let bloom = bloom(fields.required()?.bytes()?)?;
        let fourth = fields.required()?;
        let (form, topics, limit) = if fourth.is_list() {
            (Form::Seven, topics(fourth)?, fields.required()?.uint32()?)
        } else {
            (Form::Six, Vec::new(), fourth.uint32()?)
        };
        let cursor = cursor(fields.required()?.bytes()?)?;
        let batch = fields.required()?.boolean()?;
        fields.end()?;
        let wanted = Wanted { bloom, topics };
        Ok((
            form,
            Request {
                lower,
                upper,
                wanted,
                limit,
                cursor,
                batch,
            },
        ))
    }

    fn decode_raw(bytes: &[u8]) -> Result<Request, RequestError> {
        let length = RequestError::RawLength { len: bytes.len() };
        let (lower, rest) = bytes.split_first_chunk().ok_or(length)?;
        let (upper, rest) = rest.split_first_chunk().ok_or(length)?;
        let (filter, rest) = match rest {
            [] => (Bloom::FULL, rest),
            _ => {
                let (filter, rest) = rest.split_first_chunk().ok_or(length)?;
                (Bloom::new(*filter), rest)
            }
        };
        let (limit, rest) = match rest {
            [] => (0, rest),
            _ => {
                let (limit, rest) = rest.split_first_chunk().ok_or(length)?;
                (u32::from_be_bytes(*limit), rest)
            }
        };
        // A cursor of 40 bytes is a whole key of a server that sent it in full.
        let cursor = match rest.len() {
            0 => None,
            36 | 40 => rest.first_chunk().map(Cursor::from_bytes),
            _ => return Err(length),
        };
        Ok(Request {
            lower: u32::from_be_bytes(*lower),
            upper: u32::from_be_bytes(*upper),
            wanted: Wanted {
                bloom: filter,
                topics: Vec::new(),
            },
            limit,
            cursor,
            batch: false,
        })
    }

    /// Reads the form in clear. Only the id may be known where the rest is not: then the refusal names it.
    pub fn decode_plain(
        payload: &[u8],
    ) -> Result<(MailId, Result<Request, RequestError>), RlpError> {
        let [id, lower, upper, limit, from, filter] = Item::exact(payload)?.list_of()?;
        let id = MailId(id.array()?);
        let (lower, upper, limit) = (lower.uint32()?, upper.uint32()?, limit.uint32()?);
        let (from, filter) = (from.bytes()?, filter.bytes()?);
        let request = bloom(filter).and_then(|bloom| {
            Ok(Request {
                lower,
                upper,
                wanted: Wanted {
                    bloom,
                    topics: Vec::new(),
                },
                limit,
                cursor: cursor(from)?,
                batch: true,
            })
        });
        Ok((id, request))
    }

    /// Fills in what was left open, and refuses what makes no sense.
    pub fn check(mut self, now: u32, range_max: Option<u32>) -> Result<Request, RequestError> {
        if self.upper == 0 {
            self.upper = now.saturating_add(OPEN_END);
        }
        if self.limit == 0 {
            self.limit = LIMIT_MAX;
        }
        let (lower, upper) = (self.lower, self.upper);
        if lower > upper {
            return Err(RequestError::Range { lower, upper });
        }
        if let Some(max) = range_max.filter(|max| upper - lower > *max) {
            return Err(RequestError::RangeTooBig {
                seconds: upper - lower,
                max,
            });
        }
        if self.limit > LIMIT_MAX {
            return Err(RequestError::Limit { limit: self.limit });
        }
        Ok(self)
    }

    /// Writes what is to be sealed in an envelope, or the whole of the form in clear.
    pub fn encode(&self, form: Form, id: MailId) -> Vec<u8> {
        let cursor = self.cursor.map(|cursor| cursor.to_bytes());
        let cursor = cursor.as_ref().map_or(&[][..], |cursor| cursor);
        let (lower, upper, limit) = (self.lower, self.upper, self.limit);
        let bloom = self.wanted.bloom.as_bytes();
        let range = || List::new().uint(lower.into()).uint(upper.into());
        match form {
            Form::Six => range()
                .bytes(bloom)
                .uint(limit.into())
                .bytes(cursor)
                .boolean(self.batch)
                .finish(),
            Form::Seven => {
                let topics = self.wanted.topics.iter();
                let topics = topics.fold(List::new(), |list, topic| list.bytes(topic.as_bytes()));
                range()
                    .bytes(bloom)
                    .list(topics)
                    .uint(limit.into())
                    .bytes(cursor)
                    .boolean(self.batch)
                    .finish()
            }
            Form::Plain => List::new()
                .bytes(&id.0)
                .uint(lower.into())
                .uint(upper.into())
                .uint(limit.into())
                .bytes(cursor)
                .bytes(bloom)
                .finish(),
            Form::Raw => {
                let mut bytes = [lower.to_be_bytes(), upper.to_be_bytes()].concat();
                if !self.wanted.bloom.is_full() || limit > 0 || !cursor.is_empty() {
                    bytes.extend_from_slice(bloom);
                }
                if limit > 0 || !cursor.is_empty() {
                    bytes.extend_from_slice(&limit.to_be_bytes());
                }
                bytes.extend_from_slice(cursor);
                bytes
            }
        }
    }
}

/// Reads a filter, which must be there and whole.
pub(super) fn bloom(bytes: &[u8]) -> Result<Bloom, RequestError> {
    match bytes {
        [] => Err(RequestError::BloomEmpty),
        bytes => bytes
            .try_into()
            .map(Bloom::new)
            .map_err(|_| RequestError::BloomLength { len: bytes.len() }),
    }
}

/// Reads a cursor, which may be missing.
pub(super) fn cursor(bytes: &[u8]) -> Result<Option<Cursor>, RequestError> {
    match bytes {
        [] => Ok(None),
        bytes => bytes
            .try_into()
            .map(|bytes| Some(Cursor::from_bytes(bytes)))
            .map_err(|_| RequestError::CursorLength { len: bytes.len() }),
    }
}

fn topics(list: Item<'_>) -> Result<Vec<Topic>, RequestError> {
    let mut topics = Vec::new();
    for item in list.list()? {
        if topics.len() == TOPICS_MAX {
            return Err(RequestError::TooManyTopics);
        }
        let bytes = item?.bytes()?;
        let topic = bytes
            .try_into()
            .map_err(|_| RequestError::TopicLength { len: bytes.len() })?;
        topics.push(Topic::new(topic));
    }
    Ok(topics)
}

/// Why a request is no good. The texts that Status servers have too start as theirs, because clients match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The encoding is broken.
    #[error("failed to decode data: {0}")]
    Malformed(#[from] RlpError),
    /// No client needs so much.
    #[error("a request of {len} bytes where {REQUEST_LEN_MAX} are allowed")]
    TooLong {
        /// Bytes of the request.
        len: usize,
    },
    /// The raw form has one of five lengths.
    #[error("a p2p request of {len} bytes; 8, 72, 76, 112 and 116 are possible")]
    RawLength {
        /// Bytes of the request.
        len: usize,
    },
    /// It ends before it starts.
    #[error("query range is invalid: lower > upper ({lower} > {upper})")]
    Range {
        /// First second.
        lower: u32,
        /// Last second.
        upper: u32,
    },
    /// It covers more time than one request may.
    #[error("query range too big: {seconds} s where {max} s are allowed")]
    RangeTooBig {
        /// Seconds asked for.
        seconds: u32,
        /// Seconds allowed.
        max: u32,
    },
    /// No filter.
    #[error("bloom filter is empty")]
    BloomEmpty,
    /// No whole filter.
    #[error("a bloom filter of {len} bytes, not 64")]
    BloomLength {
        /// Its bytes.
        len: usize,
    },
    /// More envelopes than one request may ask for.
    #[error("limit exceeds the maximum allowed value")]
    Limit {
        /// Envelopes asked for.
        limit: u32,
    },
    /// No cursor that anybody gave.
    #[error("a cursor of {len} bytes, not 36")]
    CursorLength {
        /// Its bytes.
        len: usize,
    },
    /// No topic.
    #[error("a topic of {len} bytes, not 4")]
    TopicLength {
        /// Its bytes.
        len: usize,
    },
    /// More topics than any client has.
    #[error("more than {TOPICS_MAX} topics")]
    TooManyTopics,
}

impl RequestError {
    /// Name of the reason in metrics and vectors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            RequestError::Malformed(_) => "malformed",
            RequestError::TooLong { .. } => "too_long",
            RequestError::RawLength { .. } => "raw_length",
            RequestError::Range { .. } => "range",
            RequestError::RangeTooBig { .. } => "range_too_big",
            RequestError::BloomEmpty => "bloom_empty",
            RequestError::BloomLength { .. } => "bloom_length",
            RequestError::Limit { .. } => "limit",
            RequestError::CursorLength { .. } => "cursor_length",
            RequestError::TopicLength { .. } => "topic_length",
            RequestError::TooManyTopics => "too_many_topics",
        }
    }
}

#[cfg(test)]
mod tests;
