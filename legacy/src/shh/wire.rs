//! The messages of the capability, as payloads of devp2p messages.
//!
//! | code | meaning | payload |
//! |---|---|---|
//! | 0 | status | `[6, pow bits, bloom, light, confirmations, [ip, peer, topic]]`, of which all but the version may be missing |
//! | 1 | envelopes | `[envelope, …]` |
//! | 2 | proof of work asked for | bare u64: the bits of a double |
//! | 3 | bloom filter | bare 64 bytes |
//! | 11, 12 | confirmations (Status) | see [`confirmation`](super::confirmation) |
//! | 20 | packets per second that the sender takes (Status) | `[ip, peer, topic]` |
//! | 123 to 126 | mailserver | handed on as they are |
//! | 127 | envelopes past every check, from trusted peers only | `envelope` or (Status) `[envelope, …]` |
//!
//! Every other code is skipped undecoded. Spec: Whisper v6 status and packet codes.

use thiserror::Error;

use super::bloom::Bloom;
use super::envelope::{Envelope, Outline, list_header};
use super::limits::{ENVELOPES_PER_PACKET_MAX, VERSION};
use super::pow;
use crate::error::Blame;
use crate::rlp::{self, Item, Items, List, RlpError};

/// Code of Status.
pub const STATUS: u64 = 0;
/// Code of a bundle of envelopes.
pub const ENVELOPES: u64 = 1;
/// Code of a new proof of work requirement.
pub const POW_REQUIREMENT: u64 = 2;
/// Code of a new bloom filter.
pub const BLOOM_FILTER: u64 = 3;
/// Code of the short confirmation of a bundle.
pub const BATCH_ACKNOWLEDGED: u64 = 11;
/// Code of the confirmation of a bundle that names what was not accepted.
pub const MESSAGE_RESPONSE: u64 = 12;
/// Code of new rate limits.
pub const RATE_LIMITS: u64 = 20;
/// Code of a mailserver's request to another.
pub const SYNC_REQUEST: u64 = 123;
/// Code of the answer to that.
pub const SYNC_RESPONSE: u64 = 124;
/// Code of the end of a mailserver's delivery.
pub const REQUEST_COMPLETE: u64 = 125;
/// Code of a request to a mailserver.
pub const REQUEST: u64 = 126;
/// Code of envelopes past every check.
pub const DIRECT: u64 = 127;

/// What a peer did that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A payload breaks the encoding.
    #[error("message {code}: {source}")]
    Malformed {
        /// Code of the message.
        code: u64,
        /// The rule that it breaks.
        source: RlpError,
    },
    /// A packet holds more envelopes than any pool.
    #[error("more than {max} envelopes in one packet")]
    TooManyEnvelopes {
        /// Envelopes allowed.
        max: usize,
    },
    /// The peer speaks another version.
    #[error("Whisper version {0}, not 6")]
    Version(u64),
    /// A proof of work requirement is no number that can be compared.
    #[error("a proof of work requirement of {0}")]
    Pow(f64),
    /// A bloom filter has a wrong length.
    #[error("a bloom filter of {0} bytes")]
    BloomLength(usize),
    /// A packet exceeds the limit.
    #[error("a packet of {len} bytes where {max} are allowed")]
    Oversized {
        /// Bytes of the packet.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The first message is not Status.
    #[error("message {0} before the status")]
    BeforeStatus(u64),
    /// No Status came in time.
    #[error("no status within {0} ms")]
    StatusTimeout(u64),
    /// Both sides are light nodes, so neither would relay for the other.
    #[error("both sides are light nodes")]
    BothLight,
    /// Too many envelopes of too little work.
    #[error("{0} envelopes below the proof of work asked for")]
    LowPow(u32),
    /// Too many packets above our rate limits.
    #[error("{0} packets above the rate limit")]
    Flood(u32),
    /// A mailserver message breaks a rule of its own.
    #[error("a mailserver message: {0}")]
    Mail(&'static str),
    /// The node has no room for another peer.
    #[error("all {0} peer slots are taken")]
    TooManyPeers(usize),
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Error::TooManyPeers(_) => Blame::Local,
            Error::Malformed { .. }
            | Error::TooManyEnvelopes { .. }
            | Error::Version(_)
            | Error::Pow(_)
            | Error::BloomLength(_)
            | Error::Oversized { .. }
            | Error::BeforeStatus(_)
            | Error::StatusTimeout(_)
            | Error::BothLight
            | Error::LowPow(_)
            | Error::Flood(_)
            | Error::Mail(_) => Blame::Peer,
        }
    }

    /// The reason code of the devp2p Disconnect that answers this.
    pub fn disconnect_code(&self) -> u8 {
        match self {
            Error::TooManyPeers(_) => 0x04,
            Error::Malformed { .. }
            | Error::TooManyEnvelopes { .. }
            | Error::Version(_)
            | Error::Pow(_)
            | Error::BloomLength(_)
            | Error::Oversized { .. }
            | Error::BeforeStatus(_)
            | Error::StatusTimeout(_)
            | Error::BothLight
            | Error::LowPow(_)
            | Error::Flood(_)
            | Error::Mail(_) => 0x10,
        }
    }
}

/// What each side says first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Work that the sender asks of envelopes.
    pub min_pow: f64,
    /// Topics that the sender wants; nothing means all.
    pub bloom: Option<Bloom>,
    /// The sender does not relay.
    pub light: bool,
    /// The sender answers bundles with confirmations (Status).
    pub confirmations: bool,
    /// Packets per second that the sender announces to take (Status).
    pub rate_limits: Option<RateLimits>,
}

/// Packets per second that a Status node announces to take; zero means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Per address.
    pub ip: u64,
    /// Per peer.
    pub peer: u64,
    /// Per topic.
    pub topic: u64,
}

impl RateLimits {
    /// Reads code 20.
    pub fn decode(payload: &[u8]) -> Result<RateLimits, Error> {
        let exactly_three = |item: Item<'_>| {
            item.list_of::<3>()?;
            rate_limits(item)
        };
        Item::exact(payload)
            .and_then(exactly_three)
            .map_err(|source| Error::Malformed {
                code: RATE_LIMITS,
                source,
            })
    }

    /// Writes code 20.
    pub fn encode(&self) -> Vec<u8> {
        self.list().finish()
    }

    fn list(&self) -> List {
        List::new().uint(self.ip).uint(self.peer).uint(self.topic)
    }

    /// Packets per second that one connection may carry; nothing where there is no limit.
    pub fn per_connection(&self) -> Option<u64> {
        [self.ip, self.peer]
            .into_iter()
            .filter(|limit| *limit > 0)
            .min()
    }
}

impl Status {
    /// Reads every form of Status: fields after the version may be missing or unreadable, and more may follow.
    pub fn decode(payload: &[u8]) -> Result<Status, Error> {
        let malformed = |source| Error::Malformed {
            code: STATUS,
            source,
        };
        let mut fields = Item::exact(payload)
            .and_then(|item| item.list())
            .map_err(malformed)?;
        let version = fields
            .required()
            .and_then(|item| item.uint())
            .map_err(malformed)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let min_pow = match readable(&mut fields, |item| item.uint()).map(f64::from_bits) {
            Some(pow) if !pow::is_valid(pow) => return Err(Error::Pow(pow)),
            Some(pow) => pow,
            None => 0.0,
        };
        let bloom = match readable(&mut fields, |item| item.bytes()) {
            None | Some([]) => None,
            Some(bytes) => Some(bloom_of(bytes)?),
        };
        Ok(Status {
            min_pow,
            bloom: bloom.filter(|bloom| !bloom.is_full()),
            light: readable(&mut fields, |item| item.boolean()).unwrap_or(false),
            confirmations: readable(&mut fields, |item| item.boolean()).unwrap_or(false),
            rate_limits: readable(&mut fields, rate_limits),
        })
    }

    /// The six fields of the newest form. Peers that know fewer skip the rest.
    pub fn encode(&self) -> Vec<u8> {
        let limits = self.rate_limits.unwrap_or_default();
        List::new()
            .uint(VERSION)
            .uint(self.min_pow.to_bits())
            .bytes(self.bloom.unwrap_or(Bloom::FULL).as_bytes())
            .boolean(self.light)
            .boolean(self.confirmations)
            .list(limits.list())
            .finish()
    }
}

/// The next field, if there is one that can be read.
fn readable<'a, T>(
    fields: &mut Items<'a>,
    read: impl Fn(Item<'a>) -> Result<T, RlpError>,
) -> Option<T> {
    fields.next()?.and_then(read).ok()
}

/// In Status more numbers may follow, as more fields may.
fn rate_limits(field: Item<'_>) -> Result<RateLimits, RlpError> {
    let mut limits = field.list()?;
    Ok(RateLimits {
        ip: limits.required()?.uint()?,
        peer: limits.required()?.uint()?,
        topic: limits.required()?.uint()?,
    })
}

fn bloom_of(bytes: &[u8]) -> Result<Bloom, Error> {
    bytes
        .try_into()
        .map(Bloom::new)
        .map_err(|_| Error::BloomLength(bytes.len()))
}

/// The envelopes of one packet, all of them known to be well-formed.
#[derive(Clone, Copy, Debug)]
pub struct Envelopes<'a> {
    elements: Items<'a>,
    count: usize,
}

impl<'a> Envelopes<'a> {
    /// Checks a whole packet before the first envelope of it is looked at: one broken envelope spoils all.
    pub fn decode(payload: &'a [u8]) -> Result<Envelopes<'a>, Error> {
        let malformed = |source| Error::Malformed {
            code: ENVELOPES,
            source,
        };
        let elements = Item::exact(payload)
            .and_then(|item| item.list())
            .map_err(malformed)?;
        let mut count = 0;
        for element in elements {
            element
                .and_then(|element| Outline::parse(element.raw()))
                .map_err(malformed)?;
            count += 1;
            if count > ENVELOPES_PER_PACKET_MAX {
                return Err(Error::TooManyEnvelopes {
                    max: ENVELOPES_PER_PACKET_MAX,
                });
            }
        }
        Ok(Envelopes { elements, count })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The envelopes in their order.
    pub fn iter(&self) -> impl Iterator<Item = Outline<'a>> + use<'a> {
        self.elements
            .flatten()
            .filter_map(|element| Outline::parse(element.raw()).ok())
    }
}

/// The envelopes of a code 127: a list of them, or a single one bare.
pub fn decode_direct(payload: &[u8]) -> Result<Vec<Envelope>, Error> {
    let malformed = |source| Error::Malformed {
        code: DIRECT,
        source,
    };
    let outer = Item::exact(payload).map_err(malformed)?;
    let first = outer.list().map_err(malformed)?.next();
    let first = first.transpose().map_err(malformed)?;
    if first.is_some_and(|item| !item.is_list()) {
        return Ok(vec![Envelope::parse(payload).map_err(malformed)?]);
    }
    let mut envelopes = Vec::new();
    for element in outer.list().map_err(malformed)? {
        if envelopes.len() == ENVELOPES_PER_PACKET_MAX {
            return Err(Error::TooManyEnvelopes {
                max: ENVELOPES_PER_PACKET_MAX,
            });
        }
        let envelope = element.and_then(|element| Envelope::parse(element.raw()));
        envelopes.push(envelope.map_err(malformed)?);
    }
    Ok(envelopes)
}

/// Writes a packet of envelopes from their bytes.
pub fn encode_envelopes<'a>(envelopes: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let content_len = envelopes.clone().map(<[u8]>::len).sum();
    let mut payload = Vec::with_capacity(content_len + 9);
    payload.extend_from_slice(list_header(content_len).as_slice());
    envelopes.for_each(|raw| payload.extend_from_slice(raw));
    payload
}

/// Reads a proof of work requirement.
pub fn decode_pow(payload: &[u8]) -> Result<f64, Error> {
    let bits = Item::exact(payload)
        .and_then(|item| item.uint())
        .map_err(|source| Error::Malformed {
            code: POW_REQUIREMENT,
            source,
        })?;
    let required = f64::from_bits(bits);
    if pow::is_valid(required) {
        Ok(required)
    } else {
        Err(Error::Pow(required))
    }
}

/// Writes a proof of work requirement.
pub fn encode_pow(required: f64) -> Vec<u8> {
    rlp::encode_uint(required.to_bits())
}

/// Reads a bloom filter. Unlike in Status it may not be empty.
pub fn decode_bloom(payload: &[u8]) -> Result<Bloom, Error> {
    let bytes = Item::exact(payload)
        .and_then(|item| item.bytes())
        .map_err(|source| Error::Malformed {
            code: BLOOM_FILTER,
            source,
        })?;
    bloom_of(bytes)
}

/// Writes a bloom filter.
pub fn encode_bloom(bloom: &Bloom) -> Vec<u8> {
    rlp::encode_bytes(bloom.as_bytes())
}

#[cfg(test)]
mod tests;
