//! What a packet says: messages and frames.

use serde_json::{Value, json};

use super::{MALFORMED, Refusal, bytes, field, refuse};
use crate::fragment::{FrameHead, KIND_COVER};
use crate::geometry::MESSAGE_LEN;
use crate::message::Message;

pub(super) fn message(input: &Value) -> Result<Value, Refusal> {
    let message: [u8; MESSAGE_LEN] = field(input, "message")?;
    let decoded = Message::decode(&message).map_err(|drop| refuse(drop.as_str()))?;
    // There is one way to write a message, so what was read must be what is written.
    if decoded.encode().as_deref() != Some(&message) {
        return Err(MALFORMED);
    }
    Ok(match decoded {
        Message::Gateway(frame) => json!({ "type": "gateway", "frame": hex::encode(frame) }),
        Message::Reply(frame) => json!({ "type": "reply", "frame": hex::encode(frame) }),
        Message::Loop(id) => json!({ "type": "loop", "id": hex::encode(id) }),
        Message::Drop => json!({ "type": "drop" }),
        Message::Probe(block) => json!({ "type": "probe", "block": hex::encode(block) }),
        Message::Load(rate) => json!({ "type": "load", "millipackets_per_second": rate }),
        Message::MailboxPut(body) => json!({ "type": "mailbox_put", "body": hex::encode(body) }),
        Message::MailboxGet(body) => json!({ "type": "mailbox_get", "body": hex::encode(body) }),
    })
}

pub(super) fn frame(input: &Value) -> Result<Value, Refusal> {
    let frame = bytes(input, "frame")?;
    let decoded = FrameHead::decode(&frame).map_err(|error| refuse(error.reason().as_str()))?;
    let Some((head, fragment)) = decoded else {
        return Ok(json!({ "kind": KIND_COVER }));
    };
    Ok(json!({
        "kind": head.kind,
        "tag": hex::encode(head.tag),
        "object_id": hex::encode(head.object_id),
        "index": head.index,
        "count": head.count,
        "object_len": head.object_len,
        "fragment": hex::encode(fragment),
    }))
}
