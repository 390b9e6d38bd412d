//! Vectors of the messages that Status added to Whisper: `status-packet`.
//!
//! ```text
//! input    code (11, 12, 20 or 127); payload, uncompressed
//! output   of 11 batch; of 12 batch, faults [{envelope, code, text}]; of 20 ip, peer, topic; of 127 envelopes
//! reason   malformed, version (a 12 of another version), ignored (a 12 of version 1 that cannot be read)
//! ```

use serde_json::{Value, json};

use super::status::reason;
use super::{Refusal, field, refuse};
use crate::shh::confirmation::{Reply, decode_acknowledgement};
use crate::shh::wire::{
    BATCH_ACKNOWLEDGED, DIRECT, Error, MESSAGE_RESPONSE, RATE_LIMITS, RateLimits, decode_direct,
};

pub(super) fn packet(input: &Value) -> Result<Value, Refusal> {
    let payload = field(input, "payload")?;
    let code = input.get("code").and_then(Value::as_u64);
    let refusal = |error: Error| refuse(reason(&error));
    match code.ok_or(Refusal::INPUT)? {
        BATCH_ACKNOWLEDGED => {
            let batch = decode_acknowledgement(&payload).map_err(refusal)?;
            Ok(json!({ "batch": hex::encode(batch.as_bytes()) }))
        }
        MESSAGE_RESPONSE => match Reply::decode(&payload).map_err(refusal)? {
            Reply::Response(response) => {
                let faults = response.faults().map(|fault| {
                    json!({ "envelope": fault.envelope.to_string(), "code": fault.code, "text": fault.text })
                });
                let faults: Vec<Value> = faults.collect();
                Ok(json!({ "batch": hex::encode(response.batch().as_bytes()), "faults": faults }))
            }
            Reply::OtherVersion(_) => Err(refuse("version")),
            Reply::Unreadable(_) => Err(refuse("ignored")),
        },
        RATE_LIMITS => {
            let limits = RateLimits::decode(&payload).map_err(refusal)?;
            Ok(json!({ "ip": limits.ip, "peer": limits.peer, "topic": limits.topic }))
        }
        DIRECT => {
            let envelopes = decode_direct(&payload).map_err(refusal)?;
            let ids: Vec<String> = envelopes
                .iter()
                .map(|envelope| envelope.hash().to_string())
                .collect();
            Ok(json!({ "envelopes": ids }))
        }
        _ => Err(Refusal::INPUT),
    }
}
