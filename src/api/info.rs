//! `/v1/info`: what the node is and how each of its sides does. Lists of peers are elsewhere.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Answer, View};

pub(super) fn answer(view: &View) -> Answer {
    let snapshot = view.snapshots.borrow();
    let status = &snapshot.status;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let uptime = now.as_secs().saturating_sub(status.started_unix_ms / 1000);
    let mut info = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime,
        "messages_known": view.ledger.lock().len(),
    });
    if let (Some(info), Value::Object(rest)) = (info.as_object_mut(), json!(status)) {
        info.extend(rest);
        for side in ["whisper", "mix"] {
            count_peers(info.get_mut(side));
        }
    }
    Answer::ok(&info)
}

/// The number in place of the list.
fn count_peers(side: Option<&mut Value>) {
    if let Some(peers) = side.and_then(|side| side.get_mut("peers")) {
        *peers = json!(peers.as_array().map_or(0, Vec::len));
    }
}
