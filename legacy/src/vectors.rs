//! The JSON test vectors of this crate against this build.
//!
//! Each kind, with its fields and its closed list of reasons, is described where it is run.

mod rlpx;
mod shh;

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
        "rlpx-auth" => Some(rlpx::auth(input)),
        "rlpx-ack" => Some(rlpx::ack(input)),
        _ => shh::run(kind, input),
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
