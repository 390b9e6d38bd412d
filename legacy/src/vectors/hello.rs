//! Vectors of the first message of each side: `p2p-hello`.
//!
//! ```text
//! input    payload, without its code; public_key, the one that the handshake proved (64; not checked if null)
//! output   version, client_name, capabilities [{name, version}], listen_port, public_key; snappy: what follows is compressed
//! reason   too_long (over 2048 bytes), malformed, null_identity, unexpected_identity
//! ```

use serde_json::{Value, json};

use super::{Refusal, array, field, given, refuse};
use crate::limits::BASE_PAYLOAD_LEN_MAX;
use crate::rlpx::hello::{Hello, HelloError};

pub(super) fn hello(input: &Value) -> Result<Value, Refusal> {
    let payload = field(input, "payload")?;
    if payload.len() > BASE_PAYLOAD_LEN_MAX {
        return Err(refuse("too_long"));
    }
    let hello = Hello::decode(&payload).map_err(|error| match error {
        HelloError::Malformed(_) => refuse("malformed"),
        HelloError::NullIdentity { .. } => refuse("null_identity"),
    })?;
    if given(input, "public_key") && hello.public_key != array(input, "public_key")? {
        return Err(refuse("unexpected_identity"));
    }
    let capabilities: Vec<Value> = hello
        .capabilities
        .iter()
        .map(|(name, version)| json!({ "name": name, "version": version }))
        .collect();
    Ok(json!({
        "version": hello.version,
        "client_name": hello.client_name,
        "capabilities": capabilities,
        "listen_port": hello.listen_port,
        "public_key": hex::encode(hello.public_key),
        "snappy": hello.snappy(),
    }))
}
