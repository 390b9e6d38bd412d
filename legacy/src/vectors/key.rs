//! Vectors of what names and passwords stand for: `whisper-key` and `whisper-topic`.
//!
//! ```text
//! whisper-key
//!   input    password (text), or key as it is;  data that the key must open (not checked if null)
//!   output   key
//!   reason   length, zero, decryption
//! whisper-topic
//!   input    name (text), or public_key (65 bytes, 04 first);  topic that must be among those (not checked if null)
//!   output   topic of the name;  of a key partition (topic of its partition), discovery and contact_code
//!   reason   public_key, mismatch
//! ```

use serde_json::{Value, json};

use super::{Refusal, array, field, given, refuse};
use crate::identity::PublicKey;
use crate::shh::interest::Hint;
use crate::shh::seal::{OpenKey, SymKey};
use crate::shh::topic::Topic;

pub(super) fn key(input: &Value) -> Result<Value, Refusal> {
    let key = match input.get("password").and_then(Value::as_str) {
        Some(password) => SymKey::from_password(password.as_bytes()),
        None => {
            let bytes = field(input, "key")?
                .try_into()
                .map_err(|_| refuse("length"))?;
            SymKey::from_bytes(&bytes).map_err(|_| refuse("zero"))?
        }
    };
    let output = json!({ "key": hex::encode(*key.to_bytes()) });
    if given(input, "data") {
        let data = field(input, "data")?;
        OpenKey::Symmetric(key)
            .open(&data)
            .map_err(|_| refuse("decryption"))?;
    }
    Ok(output)
}

pub(super) fn topic(input: &Value) -> Result<Value, Refusal> {
    let (output, topics) = match input.get("name").and_then(Value::as_str) {
        Some(name) => {
            let topic = Topic::of_name(name);
            (json!({ "topic": topic.to_string() }), vec![topic])
        }
        None => {
            let key = field(input, "public_key")?
                .try_into()
                .ok()
                .and_then(|bytes| PublicKey::from_prefixed(&bytes).ok())
                .ok_or(refuse("public_key"))?;
            let topics = Hint::Key(key).topics();
            let [partition, discovery, contact_code] = topics[..] else {
                return Err(refuse("public_key"));
            };
            let output = json!({
                "partition": partition.to_string(),
                "discovery": discovery.to_string(),
                "contact_code": contact_code.to_string(),
            });
            (output, topics)
        }
    };
    if given(input, "topic") && !topics.contains(&Topic::new(array(input, "topic")?)) {
        return Err(refuse("mismatch"));
    }
    Ok(output)
}
