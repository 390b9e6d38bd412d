//! The JSON test vectors of this crate against this build.
//!
//! | kind | input | output | reasons |
//! |---|---|---|---|
//! | `mvds-id` | `group_id`, `timestamp` (a number), `body` | `id` | `group_id_length`, `timestamp_range` |
//! | `mvds-payload` | `dialect` (`5000` or `compact`), `bytes`, `body_len_max` (default 131,072) | `records`, `dropped` | those of [`PayloadError::reason`]; no bytes at all are `not_mvds` |
//!
//! [`PayloadError::reason`]: crate::mvds::payload::PayloadError::reason

use serde_json::{Value, json};

use crate::mvds::id::{GroupId, MessageId};
use crate::mvds::payload::{BODY_LEN_MAX, Dialect, Message, Payload};

/// Why a vector's input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// From the closed list of the vector's kind; `malformed_input` if a field of the vector itself is not what it should be.
    pub reason: &'static str,
}

/// Runs one vector. `None`: the kind is not one of this crate.
pub fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "mvds-id" => Some(run_id(input)),
        "mvds-payload" => Some(run_payload(input)),
        _ => None,
    }
}

fn run_id(input: &Value) -> Result<Value, Refusal> {
    let group = GroupId::from_slice(&bytes(input, "group_id")?).ok_or(refuse("group_id_length"))?;
    let body = bytes(input, "body")?;
    let timestamp = match input.get("timestamp") {
        Some(Value::Number(number)) => number.as_i64().ok_or(refuse("timestamp_range"))?,
        Some(_) | None => return Err(refuse("malformed_input")),
    };
    let id = MessageId::of(&group, timestamp, &body);
    Ok(json!({ "id": hex::encode(id.bytes()) }))
}

fn run_payload(input: &Value) -> Result<Value, Refusal> {
    let dialect = match input.get("dialect").and_then(Value::as_str) {
        Some("5000") => Dialect::Published,
        Some("compact") => Dialect::Compact,
        Some(_) | None => return Err(refuse("malformed_input")),
    };
    let body_len_max = match input.get("body_len_max") {
        None | Some(Value::Null) => BODY_LEN_MAX,
        Some(max) => max
            .as_u64()
            .and_then(|max| usize::try_from(max).ok())
            .ok_or(refuse("malformed_input"))?,
    };
    let bytes = bytes(input, "bytes")?;
    let decoded =
        Payload::decode(dialect, &bytes, body_len_max).map_err(|error| refuse(error.reason()))?;
    if decoded.payload.is_empty() && decoded.dropped == 0 {
        return Err(refuse("not_mvds"));
    }
    let Payload {
        acks,
        offers,
        requests,
        messages,
    } = decoded.payload;
    Ok(json!({
        "records": {
            "acks": texts(&acks),
            "offers": texts(&offers),
            "requests": texts(&requests),
            "messages": messages.iter().map(message).collect::<Vec<_>>(),
        },
        "dropped": decoded.dropped,
    }))
}

fn message(message: &Message) -> Value {
    let metadata = message.metadata.as_ref().map(
        |metadata| json!({ "parents": texts(&metadata.parents), "ephemeral": metadata.ephemeral }),
    );
    json!({
        "id": hex::encode(message.id().bytes()),
        "group_id": hex::encode(message.group.bytes()),
        "timestamp": message.timestamp,
        "body": hex::encode(&message.body),
        "metadata": metadata,
    })
}

fn texts(ids: &[MessageId]) -> Vec<String> {
    ids.iter().map(|id| hex::encode(id.bytes())).collect()
}

fn bytes(input: &Value, field: &str) -> Result<Vec<u8>, Refusal> {
    let text = input
        .get(field)
        .and_then(Value::as_str)
        .ok_or(refuse("malformed_input"))?;
    hex::decode(text).map_err(|_| refuse("malformed_input"))
}

fn refuse(reason: &'static str) -> Refusal {
    Refusal { reason }
}
