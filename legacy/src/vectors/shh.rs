//! Vectors of Whisper: `whisper-envelope`, `whisper-payload` and `whisper-bloom`. A field that is null or missing is not checked.
//!
//! ```text
//! whisper-envelope
//!   input    rlp; now (unix seconds); min_pow; bloom (64 bytes); max_size (20 + bytes of data; 1 MiB if null)
//!   output   hash, pow (as seen at `now`), sent, size
//!   reason   malformed, zero_ttl, future, expired (1 to 20 s ago), very_old, oversize, low_pow, bloom_mismatch
//! whisper-payload
//!   input    data, and sym_key or private_key
//!   output   payload, padding, signer (65 bytes, or null)
//!   reason   decryption, empty, bounds, signature
//! whisper-bloom
//!   input    topic; filter (64 bytes) that must let the topic pass
//!   output   bloom, in the form that the Go nodes match with
//!   reason   length, mismatch
//! ```
//!
//! A ttl above the expiry puts the sending into the future, because the difference wraps; the reason says so.

use serde_json::{Value, json};

use super::{Refusal, array, as_parsed, field, optional, refuse};
use crate::identity::SecretKey;
use crate::shh::bloom::Bloom;
use crate::shh::envelope::Envelope;
use crate::shh::limits::ENVELOPE_LEN_MAX;
use crate::shh::message::MessageError;
use crate::shh::rules::{self, Reject};
use crate::shh::seal::{OpenError, OpenKey, SymKey};
use crate::shh::topic::Topic;

pub(super) fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "whisper-envelope" => Some(envelope(input)),
        "whisper-payload" => Some(payload(input)),
        "whisper-bloom" => Some(bloom(input)),
        _ => None,
    }
}

fn envelope(input: &Value) -> Result<Value, Refusal> {
    let envelope = Envelope::parse(&field(input, "rlp")?).map_err(|_| refuse("malformed"))?;
    let now = optional(input, "now", Value::as_u64)?
        .map(|now| u32::try_from(now).map_err(|_| Refusal::INPUT))
        .transpose()?;
    let size_max =
        optional(input, "max_size", Value::as_u64)?.map_or(Ok(ENVELOPE_LEN_MAX), usize::try_from);
    check(&envelope, now, size_max.map_err(|_| Refusal::INPUT)?)
        .map_err(|reject| refuse(reason(&reject)))?;
    let pow = now.map_or(envelope.pow(), |now| envelope.pow_at(now));
    if optional(input, "min_pow", Value::as_f64)?.is_some_and(|min_pow| pow < min_pow) {
        return Err(refuse("low_pow"));
    }
    if filter(input, "bloom")?.is_some_and(|bloom| !bloom.wants(envelope.topic())) {
        return Err(refuse("bloom_mismatch"));
    }
    Ok(json!({
        "hash": envelope.hash().to_string(),
        "pow": as_parsed(pow),
        "sent": envelope.sent(),
        "size": envelope.size(),
    }))
}

/// The checks of time and size. Without a clock only those of time that need none.
fn check(envelope: &Envelope, now: Option<u32>, size_max: usize) -> Result<(), Reject> {
    let fields = envelope.fields();
    rules::check_times(fields, now.unwrap_or(fields.expiry()), u32::MAX)?;
    rules::check_size(fields, size_max)
}

fn reason(reject: &Reject) -> &'static str {
    match reject {
        Reject::ZeroTtl => "zero_ttl",
        Reject::TtlAboveExpiry { .. } | Reject::InFuture { .. } => "future",
        Reject::Expired { .. } => "expired",
        Reject::VeryOld { .. } => "very_old",
        Reject::Oversized { .. } => "oversize",
        Reject::LowPow { .. } => "low_pow",
        Reject::NoBloomMatch => "bloom_mismatch",
        Reject::TtlTooLong { .. } | Reject::PoolFull => "policy",
    }
}

fn payload(input: &Value) -> Result<Value, Refusal> {
    let data = field(input, "data")?;
    let key = match (input.get("sym_key"), input.get("private_key")) {
        (Some(Value::String(_)), _) => OpenKey::Symmetric(
            SymKey::from_bytes(&array(input, "sym_key")?).map_err(|_| Refusal::INPUT)?,
        ),
        _ => OpenKey::Private(
            SecretKey::from_bytes(&array(input, "private_key")?).map_err(|_| Refusal::INPUT)?,
        ),
    };
    let plain = key.open(&data).map_err(|error| match error {
        OpenError::TooShort { .. } | OpenError::Tag | OpenError::Ecies(_) => refuse("decryption"),
        OpenError::Message(MessageError::Empty) => refuse("empty"),
        OpenError::Message(MessageError::Signature(_)) => refuse("signature"),
        OpenError::Message(
            MessageError::TooLong { .. }
            | MessageError::NoRoomForSignature { .. }
            | MessageError::NoRoomForLength { .. }
            | MessageError::NoRoomForPayload { .. },
        ) => refuse("bounds"),
    })?;
    Ok(json!({
        "payload": hex::encode(&plain.payload),
        "padding": hex::encode(&plain.padding),
        "signer": plain.signer.map(|signer| hex::encode(signer.to_prefixed())),
    }))
}

fn bloom(input: &Value) -> Result<Value, Refusal> {
    let topic: [u8; Topic::LEN] = field(input, "topic")?
        .try_into()
        .map_err(|_| refuse("length"))?;
    if filter(input, "filter")?.is_some_and(|filter| !filter.wants(Topic::new(topic))) {
        return Err(refuse("mismatch"));
    }
    Ok(json!({ "bloom": hex::encode(Bloom::of_topic(Topic::new(topic)).as_bytes()) }))
}

fn filter(input: &Value, name: &str) -> Result<Option<Bloom>, Refusal> {
    match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => array(input, name).map(|bytes| Some(Bloom::new(bytes))),
    }
}
