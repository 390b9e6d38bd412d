//! JSON-RPC over HTTP and WebSocket: go-ethereum's paths, statuses and words.
//!
//! | request | answer |
//! |---|---|
//! | POST / with a JSON content type | 200 and the answer, also to a refused call; empty where nothing is to be answered |
//! | GET / without a body | 200, empty: a load balancer asks whether somebody is there |
//! | GET / with `Upgrade: websocket` | a conversation |
//! | PUT, DELETE · another path · a longer body · another content type | 405 · 404 · 413 · 415 |

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::Methods;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::error::Error;
use super::guard::Guard;
use super::json::{First, first};
use super::limits::{ACCEPT_PAUSE, BODY_WITHIN, CONNECTIONS_MAX, HEADERS_WITHIN, REQUEST_LEN_MAX};
use super::talk::{Numbers, Talk, refusal};
use super::websocket;

/// What is served at one address.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) methods: Methods,
    pub(crate) guard: Arc<Guard>,
    pub(crate) numbers: Numbers,
    /// Whether calls are taken over plain HTTP.
    pub(crate) calls: bool,
    /// Whether WebSockets are.
    pub(crate) sockets: bool,
}

/// Serves until the task is dropped, and with it every connection.
pub(crate) async fn serve(listener: TcpListener, site: Site) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a JSON-RPC connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let site = site.clone();
        connections.spawn(async move {
            connection(stream, site).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, site: Site) {
    // Filled by the request that became a WebSocket.
    let upgrading: Arc<Mutex<Option<OnUpgrade>>> = Arc::default();
    let slot = Arc::clone(&upgrading);
    let asked = site.clone();
    let service = service_fn(move |request| {
        let (site, slot) = (asked.clone(), Arc::clone(&slot));
        async move { Ok::<_, Infallible>(site.answer(request, &slot).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "a JSON-RPC connection ended");
    }
    let upgrade = upgrading
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(upgrade) = upgrade
        && let Ok(upgraded) = upgrade.await
    {
        let talk = Talk::lasting(site.methods, site.numbers.next());
        websocket::converse(talk, TokioIo::new(upgraded)).await;
    }
}

impl Site {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        upgrading: &Mutex<Option<OnUpgrade>>,
    ) -> Response<Full<Bytes>> {
        if request.uri().path() != "/" || request.uri().query().is_some() {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        if self.sockets && wants_websocket(request.headers()) {
            if let Err((status, words)) = self.guard.check_upgrade(request.headers()) {
                return plain(status, words);
            }
            return match accept_key(&request) {
                Some(key) => {
                    let upgrade = hyper::upgrade::on(&mut request);
                    *upgrading.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
                    switching(&key)
                }
                None => plain(StatusCode::BAD_REQUEST, "Bad Request\n"),
            };
        }
        if !self.calls {
            return empty(StatusCode::NOT_FOUND);
        }
        if let Err((status, words)) = self.guard.check(request.headers()) {
            return plain(status, words);
        }
        self.call(request).await
    }

    /// A request that carries a call.
    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let length = content_length(request.headers());
        let method = request.method();
        if method == Method::GET && length.unwrap_or(0) == 0 {
            return empty(StatusCode::OK);
        }
        if method == Method::PUT || method == Method::DELETE {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            let allowed = HeaderValue::from_static("POST");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        if let Some(length) = length.filter(|length| *length > REQUEST_LEN_MAX as u64) {
            return too_large(&length.to_string());
        }
        if method != Method::OPTIONS && !is_json(request.headers()) {
            return plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid content type, only application/json is supported\n",
            );
        }
        let body = Limited::new(request.into_body(), REQUEST_LEN_MAX).collect();
        let body = match tokio::time::timeout(BODY_WITHIN, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return too_large("more"),
            Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
        };
        let text = String::from_utf8_lossy(&body);
        let answer = match first(&text) {
            First::Value(value) => {
                let talk = Talk::single(self.methods.clone());
                talk.hear(&value).await.answer
            }
            First::Unfinished if text.trim().is_empty() => None,
            First::Unfinished | First::Broken(_) => {
                Some(refusal("null", Error::parse("parse error")))
            }
        };
        let mut response = Response::new(Full::from(
            answer.map(|answer| answer + "\n").unwrap_or_default(),
        ));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase());
    let json = [
        "application/json",
        "application/json-rpc",
        "application/jsonrequest",
    ];
    kind.is_some_and(|kind| json.contains(&kind.as_str()))
}

fn names(headers: &HeaderMap, header: &hyper::header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(header).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(token))
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    names(headers, &UPGRADE, "websocket") && names(headers, &CONNECTION, "upgrade")
}

/// What to answer to the key of a WebSocket; nothing where the request is not a good one.
fn accept_key(request: &Request<Incoming>) -> Option<String> {
    let headers = request.headers();
    let version = headers.get(SEC_WEBSOCKET_VERSION)?.as_bytes() == b"13";
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    (version && request.method() == Method::GET).then(|| derive_accept_key(key.as_bytes()))
}

fn switching(key: &str) -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::from_str(key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn plain(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(words.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, text);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn too_large(length: &str) -> Response<Full<Bytes>> {
    let words = format!("content length too large ({length}>{REQUEST_LEN_MAX})\n");
    plain(StatusCode::PAYLOAD_TOO_LARGE, &words)
}
