//! POST: an envelope for Whisper.

use proto::mixbridge::v1;

use super::{FormError, Nonce16, PostId, exact, range};

/// The longest envelope: what Whisper takes in one message.
pub const POST_LEN_MAX: usize = 1_048_576;
/// The most reseals of one post.
pub const RESEALS_MAX: u32 = 3;
/// The shortest time to live of a post, seconds.
pub const TTL_MIN: u32 = 10;
/// The longest, seconds.
pub const TTL_MAX: u32 = 300;

/// Puts an envelope into Whisper.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Names it over all repetitions.
    pub id: PostId,
    /// What to post.
    pub content: Content,
    /// How often the bridge may seal it anew; 0: never.
    pub reseals: u32,
    /// When to give up, Unix seconds; `None`: when the envelope expires.
    pub retry_until: Option<u32>,
    /// Which receipts are wanted.
    pub receipts: Receipts,
}

/// What to post.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// The RLP of an envelope, not judged yet, 1 to [`POST_LEN_MAX`] bytes.
    Sealed(Vec<u8>),
    /// The parts of one, for the bridge to seal.
    Unsealed(Unsealed),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sealed(rlp) => write!(f, "Sealed({} bytes)", rlp.len()),
            Self::Unsealed(parts) => write!(f, "Unsealed({} bytes)", parts.data.len()),
        }
    }
}

/// An envelope without its expiry and proof of work.
#[derive(Clone, PartialEq)]
pub struct Unsealed {
    /// The topic.
    pub topic: [u8; 4],
    /// The encrypted data, 1 to [`POST_LEN_MAX`] bytes.
    pub data: Vec<u8>,
    /// [`TTL_MIN`] to [`TTL_MAX`] seconds.
    pub ttl: u32,
    /// The wanted proof of work, finite and above 0.
    pub target: f64,
    /// Not to be posted after this, Unix seconds.
    pub not_after: Option<u32>,
}

/// A set of stages of which a client wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipts(u32);

impl Receipts {
    /// All stages.
    pub const ALL: Self = Self(0);

    /// The stages whose bits are set: `1 << stage`. None set means all.
    pub const fn new(mask: u32) -> Self {
        Self(mask)
    }

    /// Whether a receipt of this stage is to be sent. A refusal always is.
    pub fn wants(self, stage: v1::post_receipt::Stage) -> bool {
        let bit = 1u32 << (stage as i32);
        self.0 == 0 || self.0 & bit != 0 || stage == v1::post_receipt::Stage::Rejected
    }
}

impl Post {
    pub(super) fn from_wire(wire: v1::Post) -> Result<Self, FormError> {
        let id = Nonce16(exact("post_id", &wire.post_id)?);
        range(
            "max_reseals",
            wire.max_reseals.into(),
            0,
            RESEALS_MAX.into(),
        )?;
        let content = match wire.content {
            None => return Err(FormError::UnknownKind("the content of the post")),
            Some(v1::post::Content::Sealed(rlp)) => {
                check_envelope("sealed", &rlp)?;
                Content::Sealed(rlp)
            }
            Some(v1::post::Content::Unsealed(parts)) => {
                Content::Unsealed(Unsealed::from_wire(parts)?)
            }
        };
        Ok(Self {
            id,
            content,
            reseals: if wire.reseal_ok { wire.max_reseals } else { 0 },
            retry_until: (wire.retry_until != 0).then_some(wire.retry_until),
            receipts: Receipts(wire.receipts),
        })
    }

    pub(super) fn to_wire(&self) -> v1::Post {
        let content = match &self.content {
            Content::Sealed(rlp) => v1::post::Content::Sealed(rlp.clone()),
            Content::Unsealed(parts) => v1::post::Content::Unsealed(parts.to_wire()),
        };
        v1::Post {
            post_id: self.id.bytes().to_vec(),
            reseal_ok: self.reseals > 0,
            max_reseals: self.reseals,
            retry_until: self.retry_until.unwrap_or(0),
            receipts: self.receipts.0,
            content: Some(content),
        }
    }
}

impl Unsealed {
    fn from_wire(wire: v1::Unsealed) -> Result<Self, FormError> {
        check_envelope("data", &wire.data)?;
        range("ttl", wire.ttl.into(), TTL_MIN.into(), TTL_MAX.into())?;
        if !(wire.target.is_finite() && wire.target > 0.0) {
            return Err(FormError::Malformed("target"));
        }
        Ok(Self {
            topic: exact("topic", &wire.topic)?,
            data: wire.data,
            ttl: wire.ttl,
            target: wire.target,
            not_after: (wire.not_after != 0).then_some(wire.not_after),
        })
    }

    fn to_wire(&self) -> v1::Unsealed {
        v1::Unsealed {
            topic: self.topic.to_vec(),
            data: self.data.clone(),
            ttl: self.ttl,
            target: self.target,
            not_after: self.not_after.unwrap_or(0),
        }
    }
}

fn check_envelope(field: &'static str, bytes: &[u8]) -> Result<(), FormError> {
    match bytes.len() {
        0 => Err(FormError::Missing(field)),
        len if len > POST_LEN_MAX => Err(FormError::TooLong {
            len,
            max: POST_LEN_MAX,
        }),
        _ => Ok(()),
    }
}
