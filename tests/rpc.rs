//! JSON-RPC of a running node: who may call, and every bound.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ferry::config::Ports;
use ferry::devnet::ports::Reservations;
use ferry::rpc::limits::{BATCH_MAX, CONNECTIONS_MAX, REQUEST_LEN_MAX, SUBSCRIPTIONS_MAX};
use serde_json::{Value, json};

/// Long for anything here, even on a machine that is busy with a build.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a Whisper node and ports of its own.
struct Node {
    dir: PathBuf,
    ports: Ports,
    set: Vec<String>,
}

impl Node {
    fn init(base: &Path, place: u64) -> Self {
        let mut reserved = Reservations::new(place).unwrap().reserve().unwrap();
        let ports = reserved.ports;
        reserved.release();
        // The lock of the ports must outlive the node.
        std::mem::forget(reserved);
        let dir = base.join("node");
        let made = ferry(&["init", "--role", "whisper", "--dir", dir.to_str().unwrap()]);
        assert!(made.status.success());
        let local = |key: &str, port: u16| format!("{key}=127.0.0.1:{port}");
        let set = vec![
            local("whisper.listen", ports.whisper),
            local("api.listen", ports.api),
            local("rpc.http", ports.rpc_http),
            local("rpc.ws", ports.rpc_ws),
        ];
        Self { dir, ports, set }
    }

    fn with(mut self, set: &str) -> Self {
        self.set.push(set.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferry"));
        command.arg("run").arg("--dir").arg(&self.dir);
        self.set.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn start(&self) -> Running {
        let running = Running(self.command().stderr(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(start.elapsed() < PATIENCE, "the node does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }

    /// It must not start; what it says.
    fn refuses(&self, exit: i32) -> String {
        let output = self.command().output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{text}");
        text
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("ferry.ipc")
    }

    fn ipc(&self) -> Ipc {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Ipc(BufReader::new(stream))
    }

    /// Status and body of a request with these lines in its head.
    fn http(&self, port: u16, head: &str, body: &str) -> (u16, String) {
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{head}\r\n\r\n{body}").unwrap();
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| line != "\r\n") {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            lines.push(line.to_lowercase());
        }
        let code = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let length = |line: &String| line.strip_prefix("content-length: ")?.trim().parse().ok();
        let mut body = vec![0; lines.iter().find_map(length).unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        (code, String::from_utf8(body).unwrap())
    }

    fn post(&self, lines: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{lines}",
            body.len()
        );
        self.http(self.ports.rpc_http, &head, body)
    }

    fn upgrade(&self, lines: &str) -> u16 {
        let head = format!(
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}"
        );
        self.http(self.ports.rpc_ws, &head, "").0
    }
}

/// Killed when the test ends, however it ends.
struct Running(Child);

impl Running {
    fn stop(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection to the unix socket.
struct Ipc(BufReader<UnixStream>);

impl Ipc {
    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.say(&json!({"id": 1, "method": method, "params": params}).to_string());
        self.hear()
    }
}

fn ferry(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

const VERSION: &str = r#"{"id":1,"method":"shh_version"}"#;
const JSON: &str = "Host: localhost\r\nContent-Type: application/json";

#[test]
fn heads_that_are_refused() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), 1_100);
    let running = node.start();
    let (status, body) = node.post(JSON, VERSION);
    assert_eq!(status, 200);
    assert_eq!(body.trim(), r#"{"jsonrpc":"2.0","id":1,"result":"6.0"}"#);
    let of = |lines: &str| node.post(lines, VERSION).0;
    assert_eq!(
        of("Host: evil.example\r\nContent-Type: application/json"),
        403
    );
    assert_eq!(of("Host: localhost\r\nContent-Type: text/plain"), 415);
    assert_eq!(of("Host: localhost"), 415);
    let raw = |head: &str| node.http(node.ports.rpc_http, head, "").0;
    let rest = "HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    assert_eq!(raw(&format!("PUT / {rest}")), 405);
    assert_eq!(raw(&format!("GET /x {rest}")), 404);
    assert_eq!(raw(&format!("GET / {rest}")), 200);
    let long = REQUEST_LEN_MAX + 1;
    assert_eq!(
        raw(&format!("POST / {rest}\r\nContent-Length: {long}")),
        413
    );
    for (lines, status) in [
        ("Host: localhost", 101),
        ("Host: localhost\r\nOrigin: http://localhost", 101),
        ("Host: localhost\r\nOrigin: http://evil.example", 403),
        ("Host: evil.example", 403),
    ] {
        assert_eq!(node.upgrade(lines), status, "{lines}");
    }
    running.stop();
    assert!(!node.socket().exists(), "the socket goes with the node");
}

#[test]
fn batches_subscriptions_and_connections_are_bounded() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), 1_200);
    let _running = node.start();
    let mode = fs::metadata(node.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut ipc = node.ipc();
    let batch = |calls: usize| format!("[{}]", vec![VERSION; calls].join(","));
    ipc.say(&batch(BATCH_MAX));
    assert_eq!(ipc.hear().as_array().unwrap().len(), BATCH_MAX);
    ipc.say(&batch(BATCH_MAX + 1));
    assert_eq!(ipc.hear()["error"]["code"], -32600);

    let key = ipc.call("shh_newKeyPair", json!([]))["result"].clone();
    let criteria = json!(["messages", {"privateKeyID": key}]);
    let mut last = Value::Null;
    for _ in 0..SUBSCRIPTIONS_MAX {
        last = ipc.call("shh_subscribe", criteria.clone())["result"].clone();
        assert!(last.is_string(), "{last}");
    }
    let refused = ipc.call("shh_subscribe", criteria.clone());
    assert_eq!(refused["error"]["code"], -32000, "{refused}");
    assert_eq!(ipc.call("shh_unsubscribe", json!([last]))["result"], true);
    let again = ipc.call("shh_unsubscribe", json!([last]));
    assert_eq!(again["error"]["message"], "subscription not found");

    let mut others: Vec<Ipc> = (1..CONNECTIONS_MAX).map(|_| node.ipc()).collect();
    for other in &mut others {
        assert_eq!(other.call("shh_version", json!([]))["result"], "6.0");
    }
    let mut late = node.ipc();
    let brief = Some(Duration::from_millis(300));
    late.0.get_ref().set_read_timeout(brief).unwrap();
    late.say(VERSION);
    let mut nothing = [0; 1];
    assert!(late.0.read(&mut nothing).is_err(), "there is no room");
    others.pop();
    late.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(late.hear()["result"], "6.0", "now there is");
}

#[test]
fn a_long_request_ends_the_connection_and_nothing_else() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), 1_300);
    let _running = node.start();
    let mut ipc = node.ipc();
    let start = format!(r#"{{"id":1,"method":"{}"#, "x".repeat(REQUEST_LEN_MAX));
    ipc.say(&start);
    assert_eq!(ipc.hear()["error"]["code"], -32600);
    let mut rest = Vec::new();
    // What was not read any more may come back as a reset.
    let _ = ipc.0.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert_eq!(node.ipc().call("shh_version", json!([]))["result"], "6.0");
}

#[test]
fn beyond_loopback_nobody_calls_without_the_token() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), 1_400);
    let open = format!("rpc.http=0.0.0.0:{}", node.ports.rpc_http);
    let node = node.with(&open);
    assert!(node.refuses(10).contains("token_file"));
    let node = node.with("rpc.token_file=token");
    let _running = node.start();
    let file = node.dir.join("token");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let token = fs::read_to_string(file).unwrap();
    let bearer = |token: &str| format!("{JSON}\r\nAuthorization: Bearer {token}");
    assert_eq!(node.post(JSON, VERSION).0, 401);
    assert_eq!(node.post(&bearer("x"), VERSION).0, 401);
    assert_eq!(node.post(&bearer(&token), VERSION).0, 200);
    assert_eq!(node.upgrade("Host: localhost"), 401);
    let with = format!("Host: localhost\r\nAuthorization: Bearer {token}");
    assert_eq!(node.upgrade(&with), 101);
}

#[test]
fn keys_end_with_the_node_unless_they_are_kept() {
    let base = tempfile::tempdir().unwrap();
    let mut node = Node::init(base.path(), 1_500);
    let make = |node: &Node| node.ipc().call("shh_newSymKey", json!([]))["result"].clone();
    let has = |node: &Node, key: &Value| {
        node.ipc().call("shh_hasSymKey", json!([key]))["result"] == json!(true)
    };
    let running = node.start();
    let forgotten = make(&node);
    running.stop();
    node.set.push("rpc.keep_keys=true".to_owned());
    assert!(node.refuses(10).contains("password_file"));
    node.set.push("rpc.password_file=password".to_owned());
    let password = node.dir.join("password");
    fs::write(&password, "one\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(node.refuses(11).contains("others may read it"));
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let running = node.start();
    assert!(!has(&node, &forgotten));
    let kept = make(&node);
    running.stop();
    let running = node.start();
    assert!(has(&node, &kept));
    running.stop();
    fs::write(&password, "another\n").unwrap();
    assert!(node.refuses(11).contains("the password does not fit"));
}
