//! `/v1/peers`: who is connected, on both sides.

use serde_json::json;

use super::{Answer, View};

pub(super) fn answer(view: &View) -> Answer {
    let snapshot = view.snapshots.borrow();
    let whisper = snapshot
        .status
        .whisper
        .as_ref()
        .map(|side| side.peers.as_slice());
    let mix = snapshot
        .status
        .mix
        .as_ref()
        .map(|side| side.peers.as_slice());
    Answer::ok(&json!({
        "whisper": whisper.unwrap_or_default(),
        "mix": mix.unwrap_or_default(),
    }))
}
