//! Vectors of the first Whisper message: `whisper-status`.
//!
//! ```text
//! input    payload
//! output   min_pow; min_pow_bits, the same as the 8 bytes of a double; bloom (64 bytes; null: everything);
//!          light; confirmations; rate_limits {ip, peer, topic} (null: none announced)
//! reason   malformed, version, pow, bloom_length
//! ```
//!
//! A field after the version that is missing or cannot be read is none, and reading goes on with the next.

use serde_json::{Value, json};

use super::{Refusal, as_parsed, field, refuse};
use crate::shh::wire::{Error, Status};

pub(super) fn status(input: &Value) -> Result<Value, Refusal> {
    let status =
        Status::decode(&field(input, "payload")?).map_err(|error| refuse(reason(&error)))?;
    let limits = status
        .rate_limits
        .map(|limits| json!({ "ip": limits.ip, "peer": limits.peer, "topic": limits.topic }));
    Ok(json!({
        "min_pow": as_parsed(status.min_pow),
        "min_pow_bits": hex::encode(status.min_pow.to_be_bytes()),
        "bloom": status.bloom.map(|bloom| hex::encode(bloom.as_bytes())),
        "light": status.light,
        "confirmations": status.confirmations,
        "rate_limits": limits,
    }))
}

/// What reading a Status cannot come to is the node's, and no reason of this kind.
pub(super) fn reason(error: &Error) -> &'static str {
    match error {
        Error::Malformed { .. } => "malformed",
        Error::Version(_) => "version",
        Error::Pow(_) => "pow",
        Error::BloomLength(_) => "bloom_length",
        Error::TooManyEnvelopes { .. }
        | Error::Oversized { .. }
        | Error::BeforeStatus(_)
        | Error::StatusTimeout(_)
        | Error::BothLight
        | Error::LowPow(_)
        | Error::Flood(_)
        | Error::Mail(_)
        | Error::TooManyPeers(_) => "node",
    }
}
