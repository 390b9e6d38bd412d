//! `/v1/messages/{hash}`: the life of one envelope.

use serde_json::{Value, json};
use warp::http::StatusCode;

use super::{Answer, View};

pub(super) fn answer(view: &View, text: &str) -> Answer {
    let mut hash = [0; 32];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if hex::decode_to_slice(digits, &mut hash).is_err() {
        return Answer::error(
            StatusCode::BAD_REQUEST,
            "bad_hash",
            "an envelope's hash is 64 hexadecimal digits",
            "give the Keccak-256 hash of the envelope's RLP",
        );
    }
    let ledger = view.ledger.lock();
    let Some(life) = ledger.life(&hash) else {
        return Answer::error(
            StatusCode::NOT_FOUND,
            "unknown_message",
            "this node has not handled such an envelope lately",
            "check the hash; only the newest ones since the start are kept",
        );
    };
    let mut body = json!({
        "hash": hex::encode(hash),
        "state": life.stages.last().map(|step| step.stage),
    });
    if let (Some(body), Value::Object(life)) = (body.as_object_mut(), json!(life)) {
        body.extend(life);
    }
    Answer::ok(&body)
}
