//! `/v1/mix`: what leaves into the mixnet and what loops say about it; and the window of its preset.

use hyper::body::Bytes;
use mixnet::window::{STEP, STEPS_MAX};
use serde::Deserialize;
use serde_json::json;
use warp::http::StatusCode;

use super::{Answer, View};
use crate::status::WindowStatus;

pub(super) fn answer(view: &View) -> Answer {
    let snapshot = view.snapshots.borrow();
    match &snapshot.status.mix {
        Some(mix) => {
            let mut answer = json!(mix);
            if let Some(fields) = answer.as_object_mut() {
                fields.remove("peers");
                fields.insert("loops".to_owned(), json!(mix.loops));
            }
            Answer::ok(&answer)
        }
        None => no_mixnet(),
    }
}

/// The body of a wish for a window.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Rounded up to steps of ten.
    minutes: u16,
}

pub(super) async fn open_window(view: &View, body: Bytes) -> Answer {
    let step_minutes = STEP.as_secs() / 60;
    let longest = u64::from(STEPS_MAX) * step_minutes;
    let wish = serde_json::from_slice::<Wish>(&body).ok();
    let Some(minutes) = wish
        .map(|wish| u64::from(wish.minutes))
        .filter(|minutes| *minutes <= longest)
    else {
        return Answer::error(
            StatusCode::BAD_REQUEST,
            "bad_window",
            &format!("the body must be {{\"minutes\":N}} with N from 0 to {longest}"),
            "ask for multiples of 10; 0 lets the window close with the step in progress",
        );
    };
    // At most STEPS_MAX, which is a u16.
    let steps = minutes.div_ceil(step_minutes) as u16;
    match view.control.open_window(steps).await {
        Some(state) => Answer::ok(&json!({ "window": WindowStatus::of(state) })),
        None => no_mixnet(),
    }
}

fn no_mixnet() -> Answer {
    Answer::error(
        StatusCode::NOT_FOUND,
        "no_mixnet",
        "this node takes no part in the mixnet",
        "ask an edge, a bridge or a relay",
    )
}
