//! The JSON test vectors of this crate against this build.
//!
//! Each kind, with its fields and its closed list of reasons, is described where it is run.

mod connection;
mod discovery;
mod frame;
mod hello;
mod key;
mod mail;
mod packet;
mod pow;
mod rlpx;
mod secrets;
mod shh;
mod status;
mod status_packet;

use serde_json::Value;

/// Why a vector's input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// From the closed list of the vector's kind.
    pub reason: &'static str,
}

impl Refusal {
    /// The vector itself is no good: a field is missing or no hex.
    const INPUT: Refusal = Refusal { reason: "input" };
}

/// Runs one vector. `None`: the kind is not one of this crate.
pub fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "discv4-packet" => Some(discovery::packet(input)),
        "discv4-neighbour" => Some(discovery::neighbour(input)),
        "enr-text" => Some(discovery::record(input)),
        "rlpx-auth" => Some(rlpx::auth(input)),
        "rlpx-ack" => Some(rlpx::ack(input)),
        "rlpx-secrets" => Some(secrets::secrets(input)),
        "rlpx-frame" => Some(frame::frame(input)),
        "rlpx-frame-ciphertext" => Some(frame::ciphertext(input)),
        "p2p-hello" => Some(hello::hello(input)),
        "whisper-status" => Some(status::status(input)),
        "whisper-packet" => Some(packet::packet(input)),
        "status-packet" => Some(status_packet::packet(input)),
        "whisper-pow" => Some(pow::pow(input)),
        "whisper-key" => Some(key::key(input)),
        "whisper-topic" => Some(key::topic(input)),
        _ => shh::run(kind, input).or_else(|| mail::run(kind, input)),
    }
}

/// A field of the input that holds bytes in hex.
fn field(input: &Value, name: &str) -> Result<Vec<u8>, Refusal> {
    let text = input
        .get(name)
        .and_then(Value::as_str)
        .ok_or(Refusal::INPUT)?;
    hex::decode(text).map_err(|_| Refusal::INPUT)
}

/// A field that holds so many bytes in hex.
fn array<const N: usize>(input: &Value, name: &str) -> Result<[u8; N], Refusal> {
    field(input, name)?.try_into().map_err(|_| Refusal::INPUT)
}

/// A field that may be null or missing.
fn optional<T>(
    input: &Value,
    name: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).ok_or(Refusal::INPUT),
    }
}

/// Whether a field is there and not null.
fn given(input: &Value, name: &str) -> bool {
    input.get(name).is_some_and(|value| !value.is_null())
}

/// The number as it comes out of a file that holds its shortest decimal form: the parser may be off by the last bit,
/// and is then off by the same bit here.
fn as_parsed(number: f64) -> Value {
    serde_json::from_str(&format!("{number:?}")).unwrap_or(Value::Null)
}

const fn refuse(reason: &'static str) -> Refusal {
    Refusal { reason }
}
