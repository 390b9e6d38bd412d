//! `/v1/health`: can it do what its roles promise, and if not, why.

use serde_json::json;
use warp::http::StatusCode;

use super::{Answer, View};
use crate::status::Health;

pub(super) fn answer(view: &View) -> Answer {
    let health = Health::of(&view.snapshots.borrow().status, view.live());
    // A node that is not ready yet answers well; one that is stalled should be restarted.
    let status = if health.live {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Answer::json(status, &json!(health))
}
