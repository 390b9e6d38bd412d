//! Vectors of Whisper.

use serde_json::Value;

use super::Refusal;

pub(super) fn run(_kind: &str, _input: &Value) -> Option<Result<Value, Refusal>> {
    None
}
