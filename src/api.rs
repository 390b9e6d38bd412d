//! The HTTP API, on loopback only.
//!
//! | path | answer |
//! |---|---|
//! | `/v1/health` | live, ready, and why not; status 200 as long as the node is live, else 503 |
//! | `/v1/info` | version, identity, how each side does |
//! | `/v1/peers` | Whisper and mixnet peers |
//! | `/v1/messages/{hash}` | the life of one envelope |
//! | `/v1/mix` | what leaves into the mixnet, and what loops say about relays and links |
//! | `POST /v1/mix/window` | opens the window: `{"minutes":10}`, as JSON |
//! | `/v1/limits` | the bounds of the API and of the mixnet |
//! | `/metrics` | Prometheus |
//!
//! Everything else is read-only. Errors are JSON: `{"error":{"code","message","what_to_do"}}`. Only this
//! file knows warp; a handler is a plain function from the [`View`] to an `Answer`.

mod health;
mod info;
mod messages;
mod metrics;
mod mix;
mod peers;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use warp::http::{Response, StatusCode, header};
use warp::{Filter, Rejection, Reply};

use crate::control::Control;
use crate::ledger::SharedLedger;
use crate::metrics::Metrics;
use crate::status::{SNAPSHOT_AGE_MAX, Snapshot};

/// Connections at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;

/// Bytes of a request's body. The longest that is read says for how long a window is to be open.
pub const BODY_MAX: u64 = 256 * 1024;

/// A client that has not sent its headers by then is cut off, an idle connection too.
pub const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// A pause after a failed accept, so that a lack of file descriptors is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the API shows. Clones see the same node.
#[derive(Debug, Clone)]
pub struct View {
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Snapshot>,
    /// The lives of envelopes.
    pub ledger: SharedLedger,
    /// The histograms.
    pub metrics: Arc<Metrics>,
    /// What may be asked of the node.
    pub control: Control,
}

impl View {
    /// Whether the node's loop made a snapshot recently.
    fn live(&self) -> bool {
        self.snapshots.borrow().taken.elapsed() < SNAPSHOT_AGE_MAX
    }
}

/// What a handler answers.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: format!("{body}\n"),
        }
    }

    fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    fn error(status: StatusCode, code: &str, message: &str, what_to_do: &str) -> Self {
        let error = json!({ "code": code, "message": message, "what_to_do": what_to_do });
        Self::json(status, &json!({ "error": error }))
    }
}

impl Reply for Answer {
    fn into_response(self) -> warp::reply::Response {
        let mut response = Response::new(self.body).into_response();
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, self.content_type),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        ] {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
        response
    }
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, view: View) {
    let routes = routes(view);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the API cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(warp::service(routes.clone()));
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_WITHIN)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an API connection ended");
            }
            drop(permit);
        });
    }
}

/// Every path, with the checks that stand before all of them.
fn routes(
    view: View,
) -> impl Filter<Extract = impl Reply, Error = Infallible> + Clone + Send + Sync {
    let view = warp::any().map(move || view.clone());
    let v1 = warp::path("v1");
    let plain = |handler: fn(&View) -> Answer| move |view: View| handler(&view);
    let health = v1
        .and(warp::path!("health"))
        .and(view.clone())
        .map(plain(health::answer));
    let info = v1
        .and(warp::path!("info"))
        .and(view.clone())
        .map(plain(info::answer));
    let peers = v1
        .and(warp::path!("peers"))
        .and(view.clone())
        .map(plain(peers::answer));
    let limits = v1.and(warp::path!("limits")).map(|| Answer::ok(&limits()));
    let messages = v1
        .and(warp::path!("messages" / String))
        .and(view.clone())
        .map(|hash: String, view: View| messages::answer(&view, &hash));
    let mix = v1
        .and(warp::path!("mix"))
        .and(view.clone())
        .map(plain(mix::answer));
    let window = v1
        .and(warp::path!("mix" / "window"))
        .and(warp::post())
        // A web page of elsewhere cannot send this type without asking first, and it gets no answer to that.
        .and(warp::header::exact_ignore_case(
            "content-type",
            "application/json",
        ))
        .and(warp::body::content_length_limit(BODY_MAX))
        .and(warp::body::bytes())
        .and(view.clone())
        .then(|body, view: View| async move { mix::open_window(&view, body).await });
    let metrics = warp::path!("metrics").and(view).map(plain(metrics::answer));
    let paths = health.or(info).unify().or(peers).unify().or(limits).unify();
    let paths = paths
        .or(messages)
        .unify()
        .or(metrics)
        .unify()
        .or(mix)
        .unify();
    let reads = guard().and(warp::get()).and(paths);
    reads.or(guard().and(window)).unify().recover(refuse)
}

/// Only small bodies, only a Host that names this machine: a web page that a browser
/// loaded from elsewhere can point a name of its own at 127.0.0.1, but it cannot change the Host.
fn guard() -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync {
    let host = warp::header::optional::<String>("host");
    let length = warp::header::optional::<u64>("content-length");
    let local = host.and_then(|host: Option<String>| async move {
        match host {
            Some(host) if names_this_machine(&host) => Ok(()),
            _ => Err(warp::reject::custom(Refusal::Host)),
        }
    });
    let small = length.and_then(|length: Option<u64>| async move {
        match length {
            Some(length) if length > BODY_MAX => Err(warp::reject::custom(Refusal::Body)),
            _ => Ok(()),
        }
    });
    local.untuple_one().and(small.untuple_one())
}

/// Why a request is refused before it reaches a handler.
#[derive(Debug)]
enum Refusal {
    Host,
    Body,
}

impl warp::reject::Reject for Refusal {}

async fn refuse(rejection: Rejection) -> Result<Answer, Infallible> {
    Ok(match rejection.find::<Refusal>() {
        Some(Refusal::Host) => Answer::error(
            StatusCode::FORBIDDEN,
            "host_not_allowed",
            "the Host header does not name this machine",
            "ask for localhost or 127.0.0.1",
        ),
        Some(Refusal::Body) => Answer::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            &format!("a body has at most {BODY_MAX} bytes"),
            "send less",
        ),
        None if rejection.find::<warp::reject::MethodNotAllowed>().is_some() => Answer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "nothing at this path can be asked for like that",
            "use GET; only /v1/mix/window takes POST, with Content-Type: application/json",
        ),
        None if rejection.is_not_found() => Answer::error(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this path",
            "ask for /v1/health, /v1/info, /v1/peers, /v1/messages/{hash}, /v1/mix, /v1/limits or /metrics",
        ),
        None => Answer::error(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "a header of the request cannot be understood",
            "send a plain GET",
        ),
    })
}

/// Whether a Host header (with or without port) is loopback.
fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn limits() -> Value {
    json!({
        "api_connections": CONNECTIONS_MAX,
        "api_body_bytes": BODY_MAX,
        "api_headers_within_seconds": HEADERS_WITHIN.as_secs(),
        "messages_kept": crate::ledger::LIVES_MAX,
        "message_stages_kept": crate::ledger::STEPS_MAX,
        "snapshot_every_ms": u64::try_from(crate::status::SNAPSHOT_EVERY.as_millis()).unwrap_or(u64::MAX),
        "stop_within_seconds": crate::shutdown::STOP_WITHIN.as_secs(),
        "mix": mix_limits(),
    })
}

/// What bounds the neighbours of a mix node.
fn mix_limits() -> Value {
    use ::mixnet::limits as mix;
    json!({
        "connections": mix::CONNECTIONS_MAX,
        "connections_per_peer": mix::CONNECTIONS_PER_PEER_MAX,
        "connections_pending_each_way": mix::CONNECTIONS_PENDING_MAX,
        "connections_kept": mix::CONNECTIONS_KEPT_MAX,
        "connections_kept_light": mix::CONNECTIONS_KEPT_LIGHT,
        "memory_share": mix::MEMORY_SHARE_MAX,
        "packets_per_second_per_neighbour": mix::NEIGHBOUR_RATE_PER_SECOND,
        "packets_at_once_per_neighbour": mix::NEIGHBOUR_BURST,
        "packets_queued_per_neighbour": mix::NEIGHBOUR_QUEUE_MAX,
        "packets_delayed": mix::DELAY_QUEUE_MAX,
        "streams_per_peer": mix::STREAMS_PER_PEER_MAX,
        "reply_blocks": mix::SURBS_MAX,
        "circuit_reservations": mix::RESERVATIONS_MAX,
        "circuits": mix::CIRCUITS_MAX,
        "circuit_seconds": mix::CIRCUIT_MAX.as_secs(),
        "circuit_bytes": mix::CIRCUIT_BYTES_MAX,
        "dials_for_others_at_once": mix::DIALS_FOR_OTHERS_BURST,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in [
            "localhost",
            "LOCALHOST:8645",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.9.9.9:80",
            "[::1]:8645",
            "[::1]",
        ] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "10.0.0.1",
            "0.0.0.0:8645",
            "[::2]:1",
            "evil.example:127",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
