//! Vectors of the proof of work: `whisper-pow`.
//!
//! ```text
//! input    rlp: [expiry, ttl, topic, data];  nonce (8 bytes);  now (unix seconds; no skew if null)
//!          bits: zero bits asked for;  target: work asked for, as a sealer has it;  neither is checked if null
//!          least: whether the nonce must be the least that has the bits
//!          without a nonce the least one is sought, among the first 1 048 576
//! output   hash, zero_bits, pow;  nonce; target_bits, the zero bits that a canonical sealer takes for the target
//! reason   malformed, zero_ttl, nonce_length, low_pow, not_least, no_nonce
//! ```

use serde_json::{Value, json};

use super::{Refusal, as_parsed, field, given, optional, refuse};
use crate::rlp::{Item, RlpError};
use crate::shh::envelope::Draft;
use crate::shh::pow::{Search, proof};
use crate::shh::topic::Topic;

pub(super) fn pow(input: &Value) -> Result<Value, Refusal> {
    let rlp = field(input, "rlp")?;
    let (draft, ttl) = parse(&rlp).map_err(|_| refuse("malformed"))?;
    if ttl == 0 {
        return Err(refuse("zero_ttl"));
    }
    let target_bits = optional(input, "target", Value::as_f64)?
        .map(|target| draft.canonical_search(target).bits());
    let bits = optional(input, "bits", |bits| bits.as_u64()?.try_into().ok())?.or(target_bits);
    let search = || {
        Search::new(&rlp, bits.unwrap_or(0))
            .run(TRIES_MAX, || false)
            .map_err(|_| refuse("no_nonce"))
    };
    let nonce = if given(input, "nonce") {
        let bytes: [u8; 8] = field(input, "nonce")?
            .try_into()
            .map_err(|_| refuse("nonce_length"))?;
        u64::from_be_bytes(bytes)
    } else {
        search()?
    };
    let envelope = draft.finish(nonce);
    if envelope.zero_bits() < bits.unwrap_or(0) {
        return Err(refuse("low_pow"));
    }
    let least = optional(input, "least", Value::as_bool)?.unwrap_or(false);
    if least && search()? != nonce {
        return Err(refuse("not_least"));
    }
    let now = optional(input, "now", |now| now.as_u64()?.try_into().ok())?;
    let pow = now.map_or(envelope.pow(), |now| envelope.pow_at(now));
    Ok(json!({
        "hash": hex::encode(proof(&[&rlp], nonce)),
        "zero_bits": envelope.zero_bits(),
        "pow": as_parsed(pow),
        "nonce": hex::encode(nonce.to_be_bytes()),
        "target_bits": target_bits,
    }))
}

/// What stands before the nonce. Only the one encoding of it counts.
fn parse(rlp: &[u8]) -> Result<(Draft, u32), RlpError> {
    let [expiry, ttl, topic, data] = Item::exact(rlp)?.list_of()?;
    let ttl = ttl.uint32()?;
    let topic = Topic::new(topic.array()?);
    let draft = Draft::new(expiry.uint32()?, ttl, topic, data.bytes()?);
    Ok((draft, ttl))
}

/// A search of so many tries is over in a second.
const TRIES_MAX: u64 = 1 << 20;
