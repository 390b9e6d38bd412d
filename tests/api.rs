//! The HTTP API over real sockets, with a node whose state the test makes up.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::port::{Stage, Trace};
use ferry::api::{self, BODY_MAX, CONNECTIONS_MAX, View};
use ferry::control::Control;
use ferry::identity::Identity;
use ferry::ledger::SharedLedger;
use ferry::metrics::{ENVELOPES_RECEIVED, MIX_DROPPED, Metrics, Readings};
use ferry::status::{
    EdgeStatus, MixStatus, NodeStatus, SNAPSHOT_AGE_MAX, Snapshot, WhisperPeer, WhisperStatus,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

struct Node {
    api: SocketAddr,
    snapshots: watch::Sender<Snapshot>,
    ledger: SharedLedger,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn snapshot() -> Snapshot {
    let identity = Identity {
        roles: "edge".parse().unwrap(),
        enode: Some("enode://00@127.0.0.1:1".into()),
        enr: None,
        whisper: None,
        mailserver: false,
        peer_id: None,
        multiaddr: None,
        mix: None,
        mix_key: None,
        gateway_key: None,
        descriptor: None,
        api: "http://127.0.0.1:1".into(),
        rpc_http: None,
        rpc_ws: None,
        ipc: None,
    };
    let peer = WhisperPeer {
        node_id: "ab".repeat(64),
        address: Some("127.0.0.1:9".into()),
        direction: "accepted",
        client: "Statusd/v0".into(),
        is_static: false,
        kind: "stranger",
        trusted: false,
        score: 0,
        min_pow: 0.002,
        light: false,
    };
    let mut readings = Readings::default();
    readings.count(&ENVELOPES_RECEIVED, 12);
    readings.count_labelled(&MIX_DROPPED, "replayed", 3);
    let mix = MixStatus {
        relays_usable: 3,
        relays_known: 3,
        relays_needed: 3,
        ..MixStatus::default()
    };
    Snapshot {
        taken: Instant::now(),
        status: NodeStatus {
            identity,
            started_unix_ms: 1_000,
            whisper: Some(WhisperStatus {
                peers: vec![peer],
                ..WhisperStatus::default()
            }),
            mix: Some(mix),
            bridge: None,
            edge: Some(EdgeStatus {
                bridge: Some("02".into()),
                bridge_known: true,
                ..EdgeStatus::default()
            }),
            mailbox: None,
            troubles: vec![],
        },
        readings,
    }
}

async fn start() -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap();
    let (snapshots, receiver) = watch::channel(snapshot());
    let ledger = SharedLedger::default();
    let view = View {
        snapshots: receiver,
        ledger: ledger.clone(),
        metrics: Arc::new(Metrics::default()),
        control: Control::default(),
    };
    tokio::spawn(api::serve(listener, view));
    Node {
        api,
        snapshots,
        ledger,
    }
}

impl Node {
    async fn get(&self, path: &str) -> Answer {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.api).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .unwrap()
            .unwrap();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

#[tokio::test]
async fn health_follows_the_snapshots() {
    let node = start().await;
    let answer = node.get("/v1/health").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(
        (&health["live"], &health["ready"]),
        (&true.into(), &true.into())
    );
    assert_eq!(health["causes"][0]["code"], "waiting_for_client");
    assert!(
        !health["causes"][0]["what_to_do"]
            .as_str()
            .unwrap()
            .is_empty()
    );

    node.snapshots
        .send_modify(|snapshot| snapshot.status.mix.as_mut().unwrap().relays_usable = 1);
    let answer = node.get("/v1/health").await;
    assert_eq!(
        (answer.status, &answer.json()["ready"]),
        (200, &false.into())
    );

    let before = Instant::now().checked_sub(SNAPSHOT_AGE_MAX).unwrap();
    node.snapshots
        .send_modify(|snapshot| snapshot.taken = before);
    let answer = node.get("/v1/health").await;
    assert_eq!(
        (answer.status, &answer.json()["live"]),
        (503, &false.into())
    );
}

#[tokio::test]
async fn info_and_peers_show_the_node() {
    let node = start().await;
    let info = node.get("/v1/info").await.json();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["identity"]["roles"][0], "edge");
    assert_eq!(info["whisper"]["peers"], 1);
    assert_eq!(info["mix"]["relays_usable"], 3);
    let peers = node.get("/v1/peers").await.json();
    assert_eq!(peers["whisper"][0]["client"], "Statusd/v0");
    assert_eq!(peers["mix"].as_array().unwrap().len(), 0);
    assert!(node.get("/v1/limits").await.json()["api_connections"].is_u64());
}

#[tokio::test]
async fn the_life_of_a_message_is_found_by_its_hash() {
    let node = start().await;
    let hash = [0xab; 32];
    node.ledger.lock().note(hash, Stage::Accepted, 5);
    let refused = Trace {
        hash,
        stage: Stage::Refused,
        at_unix_ms: 7,
        reason: Some("expired"),
    };
    node.ledger.lock().record(&refused);
    for prefix in ["", "0x"] {
        let life = node
            .get(&format!("/v1/messages/{prefix}{}", hex::encode(hash)))
            .await
            .json();
        assert_eq!(life["state"], "refused");
        assert_eq!(life["stages"][0]["stage"], "accepted");
        assert_eq!(life["stages"][1]["reason"], "expired");
        assert_eq!(life["stages"][1]["at_unix_ms"], 7);
    }
    let unknown = node.get(&format!("/v1/messages/{}", "00".repeat(32))).await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &"unknown_message".into())
    );
    for bad in ["00", "zz", &"0".repeat(63)] {
        let answer = node.get(&format!("/v1/messages/{bad}")).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &"bad_hash".into())
        );
    }
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let node = start().await;
    let answer = node.get("/metrics").await;
    assert!(
        answer
            .head
            .contains("content-type: application/openmetrics-text"),
        "{}",
        answer.head
    );
    for line in [
        "whisper_envelopes_received_total 12",
        "mix_dropped_total{reason=\"replayed\"} 3",
        "node_ready 1.0",
        "# EOF",
    ] {
        assert!(
            answer.body.lines().any(|l| l == line),
            "{line}: {}",
            answer.body
        );
    }
    assert!(answer.body.contains("process_resident_memory_bytes"));
}

#[tokio::test]
async fn whatever_is_wrong_is_said_in_json() {
    let node = start().await;
    let big = BODY_MAX + 1;
    for (request, status, code) in [
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\n".to_owned(),
            404,
            "not_found",
        ),
        (
            "GET /v1/healthy HTTP/1.1\r\nHost: localhost\r\n".into(),
            404,
            "not_found",
        ),
        (
            "GET /v1/health/x HTTP/1.1\r\nHost: localhost\r\n".into(),
            404,
            "not_found",
        ),
        (
            "GET /v1/messages HTTP/1.1\r\nHost: localhost\r\n".into(),
            404,
            "not_found",
        ),
        (
            "POST /v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n".into(),
            405,
            "method_not_allowed",
        ),
        (
            "GET /v1/health HTTP/1.1\r\nHost: evil.example\r\n".into(),
            403,
            "host_not_allowed",
        ),
        (
            "GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80\r\n".into(),
            403,
            "host_not_allowed",
        ),
        (
            "GET /v1/health HTTP/1.0\r\n".into(),
            403,
            "host_not_allowed",
        ),
        (
            format!("POST /v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {big}\r\n"),
            413,
            "body_too_large",
        ),
    ] {
        let answer = node
            .raw(&format!("{request}Connection: close\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (status, &code.into()),
            "{request}"
        );
        assert!(
            answer.head.contains("nosniff") && !answer.head.contains("access-control"),
            "{request}"
        );
    }
    let answer = node.raw("\u{0}\u{1}nonsense\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    assert_eq!(node.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn connections_are_bounded_and_room_comes_back() {
    let node = start().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(node.api).await.unwrap();
        // An answer shows that the server has taken the connection and not only the kernel.
        stream
            .write_all(b"GET /v1/limits HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        idle.push(stream);
    }
    let waiting = node.get("/v1/health");
    assert!(
        tokio::time::timeout(Duration::from_millis(300), waiting)
            .await
            .is_err()
    );
    idle.pop();
    assert_eq!(node.get("/v1/health").await.status, 200);
}
