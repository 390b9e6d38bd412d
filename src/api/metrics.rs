//! `/metrics`: the OpenMetrics text that Prometheus reads.

use warp::http::StatusCode;

use super::{Answer, View};
use crate::metrics::{NODE_READY, process_readings};
use crate::status::Health;

pub(super) fn answer(view: &View) -> Answer {
    let live = view.live();
    let (mut readings, ready) = {
        let snapshot = view.snapshots.borrow();
        (
            snapshot.readings.clone(),
            Health::of(&snapshot.status, live).ready,
        )
    };
    readings.count(&NODE_READY, u64::from(ready));
    process_readings(&mut readings);
    match view.metrics.encode(&readings) {
        Ok(body) => Answer {
            status: StatusCode::OK,
            content_type: CONTENT_TYPE,
            body,
        },
        Err(_) => Answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics",
            "the metrics cannot be written",
            "this is a mistake in ferry: please report it",
        ),
    }
}

/// What OpenMetrics calls itself.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
