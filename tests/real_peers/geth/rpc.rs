//! The same questions to go-ethereum and to `ferry run --role whisper`, over all three transports: the same answers.
//!
//! What must differ (random names, the node's own facts) is compared by its shape; [`OWN_FACTS`] lists it with the reason.
//! docs/rpc.md lists where the two differ on purpose; none of that is asked here.

mod script;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ferry::devnet::ports::Reservations;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use self::script::{BROKEN, message, transcript};
use super::PATIENCE;
use crate::driver::Driver;

/// Results that belong to the node itself: which, and why they are compared by shape alone.
const OWN_FACTS: &[(&str, &str)] = &[
    ("admin_nodeInfo", "its key, its address, its name"),
    ("admin_datadir", "its directory"),
    ("web3_clientVersion", "its name"),
    ("shh_info", "how full its pool is"),
];

/// One of the two, reached over one transport.
pub(super) struct Side {
    endpoints: Endpoints,
    line: Line,
    /// What the placeholders of the transcript stand for.
    names: Vec<(&'static str, String)>,
}

#[derive(Clone)]
pub(super) struct Endpoints {
    pub(super) http: String,
    pub(super) ws: String,
    ipc: PathBuf,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Http,
    Ws,
    Ipc,
}

enum Line {
    Http(String),
    Ws(Box<WebSocket<TcpStream>>),
    Ipc(BufReader<UnixStream>),
}

impl Line {
    fn open(endpoints: &Endpoints, transport: Transport) -> Self {
        let address = |url: &str| url.split("://").nth(1).expect("a URL").to_owned();
        match transport {
            Transport::Http => Self::Http(address(&endpoints.http)),
            Transport::Ws => {
                let stream = TcpStream::connect(address(&endpoints.ws)).expect("it listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let (socket, _) = client(&endpoints.ws, stream).expect("a WebSocket");
                Self::Ws(Box::new(socket))
            }
            Transport::Ipc => {
                let stream = UnixStream::connect(&endpoints.ipc).expect("it listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                Self::Ipc(BufReader::new(stream))
            }
        }
    }

    fn say(&mut self, text: &str) -> Option<Value> {
        match self {
            Self::Http(address) => {
                let mut stream = TcpStream::connect(&*address).expect("it listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                write!(
                    stream,
                    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Connection: close\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                )
                .expect("it reads");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("it answers");
                let body = answer.split_once("\r\n\r\n").expect("a head").1;
                serde_json::from_str(body).ok()
            }
            Self::Ws(socket) => {
                socket.send(Message::text(text)).expect("it reads");
                self.hear()
            }
            Self::Ipc(stream) => {
                stream
                    .get_mut()
                    .write_all(text.as_bytes())
                    .expect("it reads");
                self.hear()
            }
        }
    }

    fn hear(&mut self) -> Option<Value> {
        match self {
            Self::Http(_) => None,
            Self::Ws(socket) => loop {
                match socket.read().ok()? {
                    Message::Text(text) => return serde_json::from_str(text.as_str()).ok(),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
            Self::Ipc(stream) => {
                let mut line = String::new();
                stream.read_line(&mut line).expect("it answers");
                serde_json::from_str(&line).ok()
            }
        }
    }
}

impl Side {
    pub(super) fn new(endpoints: Endpoints, transport: Transport) -> Self {
        let line = Line::open(&endpoints, transport);
        let mut side = Self {
            endpoints,
            line,
            names: Vec::new(),
        };
        let word = |value: Value| value.as_str().expect("a name").to_owned();
        let pair = word(side.result("shh_newKeyPair", json!([])));
        let public = word(side.result("shh_getPublicKey", json!([pair])));
        let shared = format!("0x{}", "07".repeat(32));
        let sym = word(side.result("shh_addSymKey", json!([shared])));
        let zero = format!("0x{}", "00".repeat(32));
        let zero = word(side.result("shh_addSymKey", json!([zero])));
        side.names = vec![
            ("$pair", pair),
            ("$public", public),
            ("$sym", sym),
            ("$zero", zero),
        ];
        side
    }

    /// Its answer to a text with placeholders.
    fn ask(&mut self, text: &str) -> Option<Value> {
        let mut text = text.to_owned();
        for (place, name) in &self.names {
            text = text.replace(place, name);
        }
        self.line.say(&text)
    }

    fn reopen(&mut self, transport: Transport) {
        self.line = Line::open(&self.endpoints, transport);
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let text = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.ask(&text.to_string()).expect("an answer to a call")
    }

    fn result(&mut self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }
}

/// `ferry run` with the role whisper, killed when the test ends.
pub(crate) struct Ferry {
    child: Child,
    dir: PathBuf,
    _base: tempfile::TempDir,
    set: Vec<String>,
    pub(super) endpoints: Endpoints,
    pub(crate) enode: String,
}

impl Ferry {
    pub(super) fn start(place: u64) -> Self {
        Self::start_with(place, MIN_POW, &[])
    }

    /// With more of the configuration set than the ports.
    pub(crate) fn start_with(place: u64, min_pow: f64, more: &[&str]) -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let mut reserved = Reservations::new(place)
            .and_then(|mut ports| ports.reserve())
            .expect("ports");
        let ports = reserved.ports;
        reserved.release();
        std::mem::forget(reserved);
        let dir = base.path().join("node");
        let mut init = Command::new(env!("CARGO_BIN_EXE_ferry"));
        init.args(["init", "--role", "whisper", "--dir"]).arg(&dir);
        let made = init.stdout(Stdio::null()).status().expect("it runs");
        assert!(made.success());
        let mut set = vec![
            format!("whisper.listen=127.0.0.1:{}", ports.whisper),
            format!("api.listen=127.0.0.1:{}", ports.api),
            format!("rpc.http=127.0.0.1:{}", ports.rpc_http),
            format!("rpc.ws=127.0.0.1:{}", ports.rpc_ws),
            format!("whisper.min_pow={min_pow}"),
        ];
        set.extend(more.iter().map(|more| (*more).to_owned()));
        let endpoints = Endpoints {
            http: format!("http://127.0.0.1:{}", ports.rpc_http),
            ws: format!("ws://127.0.0.1:{}", ports.rpc_ws),
            ipc: dir.join("ferry.ipc"),
        };
        let mut ferry = Self {
            child: Self::run(&dir, &set, &endpoints),
            dir,
            _base: base,
            set,
            endpoints,
            enode: String::new(),
        };
        let info = ferry.node_info();
        ferry.enode = info["enode"].as_str().expect("it listens").to_owned();
        ferry
    }

    /// Starts the process and waits until it answers.
    fn run(dir: &Path, set: &[String], endpoints: &Endpoints) -> Child {
        let mut run = Command::new(env!("CARGO_BIN_EXE_ferry"));
        run.args(["run", "--dir"]).arg(dir);
        set.iter().for_each(|set| {
            run.args(["--set", set]);
        });
        let quiet = run.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = quiet.stderr(Stdio::null()).spawn().expect("it starts");
        let start = Instant::now();
        while UnixStream::connect(&endpoints.ipc).is_err() {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "ferry has ended: {ended:?}");
            assert!(start.elapsed() < PATIENCE, "ferry does not answer");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        child
    }

    fn node_info(&self) -> Value {
        let mut side = Side::new(self.endpoints.clone(), Transport::Ipc);
        side.result("admin_nodeInfo", json!([]))
    }

    /// Its id as go-ethereum writes it.
    pub(crate) fn id(&self) -> String {
        let id = self.node_info()["id"].clone();
        id.as_str().expect("an id").to_owned()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// The same node, in its directory and on its ports.
    pub(crate) fn start_again(&mut self) {
        self.child = Self::run(&self.dir, &self.set, &self.endpoints);
    }
}

impl Drop for Ferry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn geth(dir: &Path) -> (Driver, Endpoints) {
    let dir = dir.to_str().expect("a plain path");
    let min_pow = MIN_POW.to_string();
    let (driver, ready) = Driver::go("geth", "rpcpeer", &["--dir", dir, "--min-pow", &min_pow]);
    let word = |name: &str| ready[name].as_str().expect("an endpoint").to_owned();
    let endpoints = Endpoints {
        http: word("http"),
        ws: word("ws"),
        ipc: word("ipc").into(),
    };
    (driver, endpoints)
}

/// Random names become one word each, so that the rest can be compared.
pub(super) fn shape(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let digits = text.trim_start_matches("0x");
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            json!(match (hex, text.starts_with("0x"), digits.len()) {
                (true, true, 64) => "a hash",
                (true, false, 64) => "a name",
                (true, true, 20..=32) => "a subscription",
                _ => text,
            })
        }
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// The kinds of values alone.
pub(super) fn kinds(value: &Value) -> Value {
    match value {
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("flag"),
        Value::Array(list) => list.iter().map(kinds).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), kinds(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn same(text: &str, theirs: &mut Side, ours: &mut Side, transport: Transport) {
    let (theirs, ours) = (theirs.ask(text), ours.ask(text));
    let own = OWN_FACTS.iter().any(|(method, _)| text.contains(method));
    let view = |answer: &Option<Value>| {
        answer
            .as_ref()
            .map(|answer| if own { kinds(answer) } else { shape(answer) })
    };
    assert_eq!(
        view(&ours),
        view(&theirs),
        "{transport:?} {text}\n ours {ours:?}\n theirs {theirs:?}"
    );
}

#[test]
fn every_answer_is_that_of_go_ethereum() {
    let folder = tempfile::tempdir().expect("a directory");
    let (_driver, theirs) = geth(folder.path());
    let ferry = Ferry::start(2_100);
    for transport in [Transport::Http, Transport::Ws, Transport::Ipc] {
        let mut theirs = Side::new(theirs.clone(), transport);
        let mut ours = Side::new(ferry.endpoints.clone(), transport);
        for text in transcript(transport) {
            // What a subscription hears would come between the answers.
            if text.contains("shh_subscribe") {
                theirs.reopen(transport);
                ours.reopen(transport);
            }
            same(&text, &mut theirs, &mut ours, transport);
        }
        if matches!(transport, Transport::Http) {
            continue;
        }
        for text in BROKEN {
            theirs.reopen(transport);
            ours.reopen(transport);
            same(text, &mut theirs, &mut ours, transport);
        }
    }
}

#[test]
fn messages_cross_and_look_the_same() {
    let folder = tempfile::tempdir().expect("a directory");
    let (_driver, theirs) = geth(folder.path());
    let ferry = Ferry::start(2_200);
    let mut theirs = Side::new(theirs, Transport::Http);
    let mut ours = Side::new(ferry.endpoints.clone(), Transport::Http);
    meet(&mut theirs, &mut ours, &ferry);
    let peers = [
        theirs.result("admin_peers", json!([])),
        ours.result("admin_peers", json!([])),
    ];
    assert_eq!(kinds(&peers[0]), kinds(&peers[1]));

    cross(&mut theirs, &mut ours);
    cross(&mut ours, &mut theirs);
}

/// Connects the two, and waits until both say so.
pub(super) fn meet(theirs: &mut Side, ours: &mut Side, ferry: &Ferry) {
    theirs.result("admin_addPeer", json!([ferry.enode]));
    let start = Instant::now();
    for side in [theirs, ours] {
        while side.result("admin_peers", json!([])) == json!([]) {
            assert!(start.elapsed() < PATIENCE, "they do not meet");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// One posts, the other polls and is told: by a shared key and signed, then to a public key and padded.
fn cross(from: &mut Side, to: &mut Side) {
    let public = |side: &Side| side.names[1].1.clone();
    let recipient = public(to);
    let by_sym = json!({"symKeyID": "$sym", "topics": ["0x01020304"]});
    let by_pair = json!({"privateKeyID": "$pair"});
    let mut live = Line::open(&to.endpoints, Transport::Ws);
    std::mem::swap(&mut live, &mut to.line);
    let subscribed = to.result("shh_subscribe", json!(["messages", by_sym]));
    std::mem::swap(&mut live, &mut to.line);

    let mine = from.result("shh_newMessageFilter", json!([by_sym]));
    let filter = to.result("shh_newMessageFilter", json!([by_sym]));
    let hash = from.result("shh_post", json!([message(json!({"sig": "$pair"}))]));
    let got = fetch(to, &filter);
    assert_eq!((&got["hash"], &got["payload"]), (&hash, &json!("0x1234")));
    assert_eq!(got["sig"].as_str(), Some(public(from).as_str()));
    assert_eq!(got["recipientPublicKey"], Value::Null);
    assert_eq!(fetch(from, &mine), got, "the sender's node shows the same");
    let told = live.hear().expect("a notification");
    assert_eq!(told["method"], "shh_subscription");
    let params = json!({"subscription": subscribed, "result": got});
    assert_eq!(told["params"], params);
    assert_eq!(
        to.result("shh_getFilterMessages", json!([filter])),
        json!([])
    );
    assert_eq!(to.result("shh_deleteMessageFilter", json!([filter])), true);

    let filter = to.result("shh_newMessageFilter", json!([by_pair]));
    let sealed = json!({"symKeyID": "-", "pubKey": recipient, "topic": "-", "padding": "0x0102"});
    let hash = from.result("shh_post", json!([message(sealed)]));
    let got = fetch(to, &filter);
    assert_eq!((&got["hash"], &got["padding"]), (&hash, &json!("0x0102")));
    assert_eq!(got["recipientPublicKey"].as_str(), Some(recipient.as_str()));
    assert_eq!(got["sig"], Value::Null);
}

/// The one message that a filter gets.
fn fetch(side: &mut Side, filter: &Value) -> Value {
    let start = Instant::now();
    loop {
        let got = side.result("shh_getFilterMessages", json!([filter]));
        match got.as_array().expect("a list").as_slice() {
            [] => assert!(start.elapsed() < PATIENCE, "no message"),
            [one] => return one.clone(),
            more => panic!("{} messages", more.len()),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Work that both nodes ask for: little, so that no time goes into mining.
const MIN_POW: f64 = 0.01;
