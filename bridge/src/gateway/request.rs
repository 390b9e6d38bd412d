//! What a client asks of a bridge, in forms that cannot hold what the specification forbids.
//!
//! [`Request::decode`] goes in two steps. What makes a request unanswerable (no protobuf, no id, reply blocks of a wrong
//! length) is an error, and the object is dropped. What only its body gets wrong is a [`Refusal`] inside
//! the request, so that the bridge can answer it with a status. spec: `mixbridge.proto`.

use prost::Message as _;
use proto::mixbridge::v1;
use std::fmt;

use super::kinds::{REPLY_BLOCK_LEN, ReplyBlock, Tag};
use super::prefix::Prefix;
use super::seal::OBJECT_LEN_MAX;

mod post;
mod register;

pub use post::{Content, POST_LEN_MAX, Post, RESEALS_MAX, Receipts, TTL_MAX, TTL_MIN, Unsealed};
pub use register::{
    BACKLOG_MAX, FILTERS_MAX, LEASE_S_MAX, Mode, PACE_MS_MAX, Register, SIGNATURE_LEN,
    SignedRegister,
};

/// The most reply blocks in one request: the frames of the longest object.
pub const REQUEST_BLOCKS_MAX: usize = 512;
/// The most reply blocks in one top-up: what fits an object, rounded down.
pub const TOP_UP_BLOCKS_MAX: usize = 1_000;
/// The longest permission.
pub const AUTH_LEN_MAX: usize = 4_096;

/// Which rule of the protocol a message breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// Longer than any object.
    #[error("a message of {len} bytes is longer than the most of {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The greatest length.
        max: usize,
    },
    /// The bytes are not the protobuf message that they should be.
    #[error("the bytes do not parse as a {0}")]
    Malformed(&'static str),
    /// A field of a fixed length has another one.
    #[error("{field} has {len} bytes, not {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// Its length.
        len: usize,
        /// The length that it should have.
        expected: usize,
    },
    /// A number or a count is not between its bounds.
    #[error("{field} is {value}, not {min} to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A prefix has bits set after its first `bits`.
    #[error("a prefix of {bits} bits has lower bits set")]
    LowBits {
        /// The length of the prefix.
        bits: u32,
    },
    /// A field that must be there is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key is not a point of its curve, or not in the form that is asked for.
    #[error("{0} is not an uncompressed secp256k1 key")]
    Key(&'static str),
    /// The signature is not that of the key over these terms.
    #[error("the signature does not match the terms and the peer id")]
    Signature,
    /// None of the kinds of message that are known here.
    #[error("the kind of {0} is not known here")]
    UnknownKind(&'static str),
}

impl FormError {
    /// The status with which a bridge answers a request that breaks this rule.
    pub fn status(&self) -> v1::Status {
        match self {
            Self::UnknownKind(_) => v1::Status::Unsupported,
            Self::Signature => v1::Status::Unauth,
            Self::TooLong { .. } => v1::Status::TooLarge,
            Self::Malformed(_)
            | Self::Length { .. }
            | Self::Range { .. }
            | Self::LowBits { .. }
            | Self::Missing(_)
            | Self::Key(_) => v1::Status::Bad,
        }
    }
}

/// A body that the bridge answers with a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: v1::Status,
    /// What is wrong.
    pub error: FormError,
}

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Self {
        Self {
            status: error.status(),
            error,
        }
    }
}

/// Sixteen random bytes that name a request or a post.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce16([u8; 16]);

/// Names a request; its responses repeat it.
pub type RequestId = Nonce16;
/// Names a post over all its repetitions.
pub type PostId = Nonce16;

impl Nonce16 {
    /// Wraps 16 bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Nonce16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce16(..)")
    }
}

/// One request, with what its responses travel on.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Blocks for the responses.
    pub blocks: Vec<ReplyBlock>,
    /// What pays for it.
    pub auth: Auth,
    /// What is asked, or why the bridge has to refuse it.
    pub body: Result<Body, Refusal>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "one request is handled at a time, none is stored"
)]
pub enum Body {
    /// Open or renew a registration. The signature is not checked yet: [`SignedRegister::verify`].
    Register(SignedRegister),
    /// Put an envelope into Whisper.
    Post(Post),
    /// End the registration under which the request is sealed.
    Unregister,
    /// Say what you hold for this registration, or only that you are there.
    Ping(Option<Tag>),
}

/// A permission, not judged yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// Its type as on the wire; types that are not known are the policy's to refuse.
    pub kind: i32,
    /// Its bytes, at most [`AUTH_LEN_MAX`].
    pub data: Vec<u8>,
}

impl Request {
    /// Reads a request that came out of a box.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormError> {
        check_len(bytes)?;
        let wire = v1::Request::decode(bytes).map_err(|_| FormError::Malformed("Request"))?;
        let id = Nonce16(exact("request_id", &wire.request_id)?);
        let blocks = blocks("surbs", wire.surbs, REQUEST_BLOCKS_MAX)?;
        let auth = wire.auth.map_or_else(Auth::default, |auth| Auth {
            kind: auth.r#type,
            data: auth.data,
        });
        range("auth.data", auth.data.len() as u64, 0, AUTH_LEN_MAX as u64)?;
        Ok(Self {
            id,
            blocks,
            auth,
            body: body(wire.body).map_err(Refusal::from),
        })
    }

    /// The bytes to seal. A refused body encodes as none.
    pub fn encode(&self) -> Vec<u8> {
        let auth = (self.auth != Auth::default()).then(|| v1::Auth {
            r#type: self.auth.kind,
            data: self.auth.data.clone(),
        });
        let body = self.body.as_ref().ok().map(|body| match body {
            Body::Register(register) => v1::request::Body::Register(register.to_wire()),
            Body::Post(post) => v1::request::Body::Post(post.to_wire()),
            Body::Unregister => v1::request::Body::Unregister(v1::Unregister {}),
            Body::Ping(tag) => v1::request::Body::Ping(v1::Ping {
                tag: tag.map_or_else(Vec::new, |tag| tag.bytes().to_vec()),
            }),
        });
        v1::Request {
            request_id: self.id.0.to_vec(),
            surbs: self
                .blocks
                .iter()
                .map(|block| block.bytes().to_vec())
                .collect(),
            auth,
            body,
        }
        .encode_to_vec()
    }
}

fn body(wire: Option<v1::request::Body>) -> Result<Body, FormError> {
    match wire {
        None => Err(FormError::UnknownKind("the request")),
        Some(v1::request::Body::Register(wire)) => {
            SignedRegister::from_wire(wire).map(Body::Register)
        }
        Some(v1::request::Body::Post(wire)) => Post::from_wire(wire).map(Body::Post),
        Some(v1::request::Body::Unregister(v1::Unregister {})) => Ok(Body::Unregister),
        Some(v1::request::Body::Ping(v1::Ping { tag })) => {
            Ok(Body::Ping(optional_tag("tag", &tag)?))
        }
    }
}

/// A reply block serves no longer, seconds: the mixnet keeps the keys that open its reply for 30 minutes.
pub const BLOCK_TTL_S_MAX: u32 = 1_800;

/// More reply blocks for a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// The blocks.
    pub blocks: Vec<ReplyBlock>,
    /// Whether those that the bridge still holds are worthless.
    pub discard_previous: bool,
    /// For how many seconds from their arrival they serve.
    pub ttl_s: u32,
}

impl TopUp {
    /// Reads a top-up that came out of a box.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormError> {
        check_len(bytes)?;
        let wire = v1::SurbTopUp::decode(bytes).map_err(|_| FormError::Malformed("SurbTopUp"))?;
        let blocks = blocks("blocks", wire.blocks, TOP_UP_BLOCKS_MAX)?;
        Ok(Self {
            blocks,
            discard_previous: wire.discard_previous,
            ttl_s: match wire.ttl_s {
                0 => BLOCK_TTL_S_MAX,
                ttl_s => ttl_s.min(BLOCK_TTL_S_MAX),
            },
        })
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let blocks = self
            .blocks
            .iter()
            .map(|block| block.bytes().to_vec())
            .collect();
        v1::SurbTopUp {
            blocks,
            discard_previous: self.discard_previous,
            ttl_s: self.ttl_s,
        }
        .encode_to_vec()
    }
}

/// The body of an MVDS message that carries an envelope to a client.
pub fn encode_item(envelope_rlp: &[u8]) -> Vec<u8> {
    v1::EnvelopeItem {
        envelope: envelope_rlp.to_vec(),
    }
    .encode_to_vec()
}

/// The envelope in the body of an MVDS message.
pub fn decode_item(body: &[u8]) -> Result<Vec<u8>, FormError> {
    check_len(body)?;
    let item = v1::EnvelopeItem::decode(body).map_err(|_| FormError::Malformed("EnvelopeItem"))?;
    if item.envelope.is_empty() {
        return Err(FormError::Missing("envelope"));
    }
    Ok(item.envelope)
}

pub(super) fn check_len(bytes: &[u8]) -> Result<(), FormError> {
    let (len, max) = (bytes.len(), OBJECT_LEN_MAX);
    if len > max {
        Err(FormError::TooLong { len, max })
    } else {
        Ok(())
    }
}

pub(super) fn exact<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], FormError> {
    bytes.try_into().map_err(|_| FormError::Length {
        field,
        len: bytes.len(),
        expected: N,
    })
}

pub(super) fn range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), FormError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(FormError::Range {
            field,
            value,
            min,
            max,
        })
    }
}

pub(super) fn optional_tag(field: &'static str, bytes: &[u8]) -> Result<Option<Tag>, FormError> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        exact(field, bytes).map(Tag::new).map(Some)
    }
}

fn blocks(
    field: &'static str,
    wire: Vec<Vec<u8>>,
    max: usize,
) -> Result<Vec<ReplyBlock>, FormError> {
    range(field, wire.len() as u64, 0, max as u64)?;
    wire.into_iter()
        .map(|bytes| {
            let len = bytes.len();
            let error = FormError::Length {
                field,
                len,
                expected: REPLY_BLOCK_LEN,
            };
            ReplyBlock::new(bytes).ok_or(error)
        })
        .collect()
}

fn prefixes(
    field: &'static str,
    wire: &[v1::PrefixFilter],
    min: u64,
    max: u64,
) -> Result<Vec<Prefix>, FormError> {
    range(field, wire.len() as u64, min, max)?;
    wire.iter()
        .map(|filter| {
            range("bits", u64::from(filter.bits), 0, 32)?;
            let value = exact("value", &filter.value)?;
            let low_bits = FormError::LowBits { bits: filter.bits };
            u8::try_from(filter.bits)
                .ok()
                .and_then(|bits| Prefix::new(bits, value))
                .ok_or(low_bits)
        })
        .collect()
}

#[cfg(test)]
mod tests;
