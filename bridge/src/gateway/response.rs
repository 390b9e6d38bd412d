//! What a bridge answers, in forms that cannot hold what the specification forbids.
//!
//! spec: `mixbridge.proto`, `Response`.

use prost::Message as _;
use proto::mixbridge::v1;

pub use v1::Status;
pub use v1::post_receipt::{Reason, Stage};

use super::kinds::Tag;
use super::request::{FormError, Nonce16, PostId, RequestId, check_len, exact};
use super::seal::ExchangeKey;
use crate::mvds::id::PeerId;

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Which request it answers.
    pub id: RequestId,
    /// The outcome.
    pub status: Status,
    /// How long to wait before asking again, seconds.
    pub retry_after_s: u32,
    /// The clock of the bridge, Unix seconds.
    pub server_time: u32,
    /// Details.
    pub body: Option<ResponseBody>,
}

/// The details of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseBody {
    /// The registration stands.
    Registered(Registered),
    /// How far a post is.
    Receipt(Receipt),
    /// What the bridge holds for a registration.
    Pong(Pong),
}

/// A registration that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its tag.
    pub tag: Tag,
    /// How long it stands, seconds.
    pub lease_s: u32,
    /// The bridge's key for the keys of the registration.
    pub kx: ExchangeKey,
    /// The MVDS peer id of the bridge.
    pub bridge: PeerId,
    /// Older envelopes cannot be had, Unix seconds.
    pub archive_from: u32,
    /// What is granted.
    pub limits: Limits,
}

/// What a bridge grants to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The largest backlog.
    pub max_backlog: u32,
    /// The largest envelope, bytes.
    pub max_item_bytes: u32,
    /// The mean gap between frames, milliseconds.
    pub pace_ms: u32,
    /// How many reply blocks the bridge stores.
    pub reply_blocks_max: u32,
}

/// How far a post is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The post.
    pub id: PostId,
    /// The stage that it reached.
    pub stage: Stage,
    /// Keccak-256 of the envelope.
    pub envelope_hash: Option<[u8; 32]>,
    /// With [`Stage::Rejected`]: why. Reasons of a later version read as [`Reason::None`].
    pub reason: Reason,
    /// To how many Whisper peers it went.
    pub peers: u32,
    /// When the stage was reached, Unix seconds.
    pub time: u32,
}

/// What the bridge holds for a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pong {
    /// Unused reply blocks.
    pub reply_blocks: u32,
    /// Seconds left of the lease.
    pub lease_left_s: u32,
    /// One more than the greatest counter of a top-up that was taken; 0: none.
    pub topped_up: u64,
}

impl Response {
    /// A response without details.
    pub fn bare(id: RequestId, status: Status, server_time: u32) -> Self {
        Self {
            id,
            status,
            retry_after_s: 0,
            server_time,
            body: None,
        }
    }

    /// A response with details.
    pub fn ok(id: RequestId, server_time: u32, body: ResponseBody) -> Self {
        Self {
            body: Some(body),
            ..Self::bare(id, Status::Ok, server_time)
        }
    }

    /// Reads a response that came out of a box.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormError> {
        check_len(bytes)?;
        let wire = v1::Response::decode(bytes).map_err(|_| FormError::Malformed("Response"))?;
        let status = Status::try_from(wire.status).map_err(|_| FormError::UnknownKind("status"))?;
        let body = match wire.body {
            None => None,
            Some(v1::response::Body::RegisterOk(wire)) => {
                Some(ResponseBody::Registered(Registered::from_wire(wire)?))
            }
            Some(v1::response::Body::PostReceipt(wire)) => {
                Some(ResponseBody::Receipt(Receipt::from_wire(wire)?))
            }
            Some(v1::response::Body::Pong(v1::Pong {
                reply_blocks,
                lease_left_s,
                topped_up,
            })) => Some(ResponseBody::Pong(Pong {
                reply_blocks,
                lease_left_s,
                topped_up,
            })),
        };
        Ok(Self {
            id: Nonce16::new(exact("request_id", &wire.request_id)?),
            status,
            retry_after_s: wire.retry_after_s,
            server_time: wire.server_time,
            body,
        })
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let body = self.body.as_ref().map(|body| match body {
            ResponseBody::Registered(registered) => {
                v1::response::Body::RegisterOk(registered.to_wire())
            }
            ResponseBody::Receipt(receipt) => v1::response::Body::PostReceipt(receipt.to_wire()),
            ResponseBody::Pong(pong) => v1::response::Body::Pong(v1::Pong {
                reply_blocks: pong.reply_blocks,
                lease_left_s: pong.lease_left_s,
                topped_up: pong.topped_up,
            }),
        });
        v1::Response {
            request_id: self.id.bytes().to_vec(),
            status: self.status.into(),
            retry_after_s: self.retry_after_s,
            server_time: self.server_time,
            body,
        }
        .encode_to_vec()
    }
}

impl Registered {
    fn from_wire(wire: v1::RegisterOk) -> Result<Self, FormError> {
        let bridge: [u8; 65] = exact("bridge_peer_id", &wire.bridge_peer_id)?;
        if bridge[0] != 0x04 {
            return Err(FormError::Key("bridge_peer_id"));
        }
        let limits = wire.limits.unwrap_or_default();
        Ok(Self {
            tag: Tag::new(exact("tag", &wire.tag)?),
            lease_s: wire.granted_lease_s,
            kx: ExchangeKey::new(exact("kx_pub", &wire.kx_pub)?),
            bridge: PeerId::new(bridge),
            archive_from: wire.archive_from,
            limits: Limits {
                max_backlog: limits.max_backlog,
                max_item_bytes: limits.max_item_bytes,
                pace_ms: limits.pace_ms,
                reply_blocks_max: limits.reply_blocks_max,
            },
        })
    }

    fn to_wire(&self) -> v1::RegisterOk {
        v1::RegisterOk {
            tag: self.tag.bytes().to_vec(),
            granted_lease_s: self.lease_s,
            kx_pub: self.kx.bytes().to_vec(),
            bridge_peer_id: self.bridge.bytes().to_vec(),
            archive_from: self.archive_from,
            limits: Some(v1::Limits {
                max_backlog: self.limits.max_backlog,
                max_item_bytes: self.limits.max_item_bytes,
                pace_ms: self.limits.pace_ms,
                reply_blocks_max: self.limits.reply_blocks_max,
            }),
        }
    }
}

impl Receipt {
    fn from_wire(wire: v1::PostReceipt) -> Result<Self, FormError> {
        let stage = match Stage::try_from(wire.stage) {
            Err(_) | Ok(Stage::Unspecified) => return Err(FormError::UnknownKind("stage")),
            Ok(stage) => stage,
        };
        let envelope_hash = if wire.envelope_hash.is_empty() {
            None
        } else {
            Some(exact("envelope_hash", &wire.envelope_hash)?)
        };
        Ok(Self {
            id: Nonce16::new(exact("post_id", &wire.post_id)?),
            stage,
            envelope_hash,
            reason: Reason::try_from(wire.reason).unwrap_or(Reason::None),
            peers: wire.peers,
            time: wire.time,
        })
    }

    fn to_wire(&self) -> v1::PostReceipt {
        v1::PostReceipt {
            post_id: self.id.bytes().to_vec(),
            stage: self.stage.into(),
            envelope_hash: self
                .envelope_hash
                .map_or_else(Vec::new, |hash| hash.to_vec()),
            reason: self.reason.into(),
            peers: self.peers,
            time: self.time,
        }
    }
}
