//! Asks a child over HTTP whether it is ready. One small request needs no HTTP library.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One answer must come within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read; more is cut off and then is no JSON.
const ANSWER_MAX: u64 = 1 << 20;

/// What `GET path` answers, as JSON, whatever the status.
pub async fn get(api: SocketAddr, path: &str) -> io::Result<Value> {
    serde_json::from_str(&text(api, path).await?).map_err(io::Error::other)
}

/// What `POST path` answers to this body, as JSON, whatever the status.
pub async fn post(api: SocketAddr, path: &str, body: &Value) -> io::Result<Value> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    serde_json::from_str(&ask(api, &head, &body).await?).map_err(io::Error::other)
}

/// What `GET path` answers, whatever the status.
pub async fn text(api: SocketAddr, path: &str) -> io::Result<String> {
    ask(api, &format!("GET {path} HTTP/1.1"), "").await
}

async fn ask(api: SocketAddr, head: &str, body: &str) -> io::Result<String> {
    tokio::time::timeout(ANSWER_WITHIN, exchange(api, head, body))
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

async fn exchange(api: SocketAddr, head: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(api).await?;
    let request = format!("{head}\r\nHost: {api}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text
        .split_once("\r\n\r\n")
        .map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// Whether the answer of `/v1/health` says ready, apart from causes that the devnet brings about
/// itself because it has too few relays or no bridge.
pub fn is_ready(health: &Value, tolerated: &[&str]) -> bool {
    let causes = health["causes"].as_array();
    let blocking = causes
        .into_iter()
        .flatten()
        .filter(|cause| cause["blocking"] == true);
    let mut others = blocking.filter(|cause| {
        !cause["code"]
            .as_str()
            .is_some_and(|code| tolerated.contains(&code))
    });
    health["live"] == true && (health["ready"] == true || others.next().is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_tolerated_causes_are_overlooked() {
        let health = |ready: bool, code: &str| json!({"live": true, "ready": ready, "causes": [{"code": code, "blocking": !ready}]});
        assert!(is_ready(&health(true, "waiting_for_client"), &[]));
        assert!(!is_ready(&health(false, "too_few_relays"), &[]));
        assert!(is_ready(
            &health(false, "too_few_relays"),
            &["too_few_relays"]
        ));
        assert!(!is_ready(
            &health(false, "no_whisper_peer"),
            &["too_few_relays"]
        ));
        assert!(!is_ready(
            &json!({"live": false, "ready": false, "causes": []}),
            &[]
        ));
        assert!(!is_ready(&json!({"error": {}}), &[]));
    }
}
