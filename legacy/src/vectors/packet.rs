//! Vectors of the Whisper messages after the first: `whisper-packet`.
//!
//! ```text
//! input    code (1, 2 or 3); payload, uncompressed
//! output   hash of the payload;  and of code 1 envelopes (their ids, in order), of code 2 min_pow_bits (the 8 bytes of
//!          a double), of code 3 bloom (64 bytes)
//! reason   malformed, pow, bloom_length
//! ```
//!
//! Only the encoding counts: times, work and topics of the envelopes are those of `whisper-envelope`.

use serde_json::{Value, json};

use super::status::reason;
use super::{Refusal, field, refuse};
use crate::keccak::keccak256;
use crate::shh::wire::{
    BLOOM_FILTER, ENVELOPES, Envelopes, Error, POW_REQUIREMENT, decode_bloom, decode_pow,
};

pub(super) fn packet(input: &Value) -> Result<Value, Refusal> {
    let payload = field(input, "payload")?;
    let code = input.get("code").and_then(Value::as_u64);
    let refusal = |error: Error| refuse(reason(&error));
    let hash = hex::encode(keccak256(&payload));
    match code.ok_or(Refusal::INPUT)? {
        ENVELOPES => {
            let packet = Envelopes::decode(&payload).map_err(refusal)?;
            let ids: Vec<String> = packet
                .iter()
                .map(|envelope| envelope.hash().to_string())
                .collect();
            Ok(json!({ "hash": hash, "envelopes": ids }))
        }
        POW_REQUIREMENT => {
            let min_pow = decode_pow(&payload).map_err(refusal)?;
            Ok(json!({ "hash": hash, "min_pow_bits": hex::encode(min_pow.to_be_bytes()) }))
        }
        BLOOM_FILTER => {
            let bloom = decode_bloom(&payload).map_err(refusal)?;
            Ok(json!({ "hash": hash, "bloom": hex::encode(bloom.as_bytes()) }))
        }
        _ => Err(Refusal::INPUT),
    }
}
