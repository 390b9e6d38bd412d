//! `ferry devnet`: a whole network of processes, watched from outside.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "devnet/mailbox.rs"]
mod mailbox;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A devnet starts in two seconds. One that does not gives up after 90, stops its children, and says why.
const PATIENCE: Duration = Duration::from_secs(120);

struct Devnet {
    child: Child,
    events: Receiver<Value>,
    ready: Value,
}

impl Devnet {
    fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// With these variables in the environment of every node.
    fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferry"))
            .args(["devnet", "--json"])
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        let mut devnet = Self {
            child,
            events,
            ready: Value::Null,
        };
        devnet.ready = devnet.event("ready");
        devnet
    }

    /// The next event, which must be of this kind.
    fn event(&self, kind: &str) -> Value {
        let event = self.events.recv_timeout(PATIENCE).unwrap();
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    fn tell(&mut self, op: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{op}").unwrap();
    }

    /// Every node of the ready line.
    fn nodes(&self) -> Vec<Value> {
        ["whisper", "relays", "mailboxes", "bridges", "edges"]
            .iter()
            .flat_map(|group| self.ready[group].as_array().unwrap().clone())
            .collect()
    }

    /// Closes its input and waits for a clean end.
    fn stop(mut self) {
        let pids: Vec<u64> = self
            .nodes()
            .iter()
            .map(|node| node["pid"].as_u64().unwrap())
            .collect();
        drop(self.child.stdin.take());
        self.event("stopping");
        self.event("stopped");
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0));
        for pid in pids {
            assert!(
                !Path::new(&format!("/proc/{pid}")).exists(),
                "{pid} is left"
            );
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        // The children go down with it, because their input closes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(node: &Value, path: &str) -> Value {
    let api = node["api"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let mut stream = TcpStream::connect(api).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn ferry(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(args)
        .output()
        .unwrap()
}

fn sends(node: &Value, text: &str) -> String {
    sends_for(node, text, "15")
}

/// Sends a message that stays valid for so many seconds.
fn sends_for(node: &Value, text: &str, ttl: &str) -> String {
    let enode = node["enode"].as_str().unwrap();
    let output = ferry(&[
        "send",
        "--json",
        "--peer",
        enode,
        "--password",
        "devnet",
        "--ttl",
        ttl,
        "--text",
        text,
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let sent: Value = serde_json::from_slice(&output.stdout).unwrap();
    sent["hash"].as_str().unwrap().to_owned()
}

/// `ferry listen` at a node, attached.
fn listens(node: &Value, count: &str) -> Child {
    let enode = node["enode"].as_str().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(["listen", "--json", "--peer", enode, "--password", "devnet"])
        .args(["--count", count, "--timeout", "90"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "ferry: attached to the peer"
    );
    child
}

fn heard(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let text = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    lines.lines().map(text).collect()
}

#[test]
fn a_message_goes_the_whole_way_in_both_directions() {
    let devnet = Devnet::start(&[]);
    let (edge, bridge) = (&devnet.ready["edges"][0], &devnet.ready["bridges"][0]);
    let (near, far) = (&devnet.ready["whisper"][0], &devnet.ready["whisper"][1]);
    let in_whisper = listens(far, "1");
    let hash = sends(edge, "from the edge");
    assert_eq!(heard(in_whisper), ["from the edge"]);
    for node in [edge, bridge] {
        let life = get(node, &format!("/v1/messages/{hash}"));
        let stages: Vec<&str> = life["stages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["stage"].as_str().unwrap())
            .collect();
        assert!(stages.starts_with(&["accepted", "committed"]), "{life}");
    }

    let at_the_edge = listens(edge, "2");
    let registered = Instant::now();
    while get(edge, "/v1/info")["edge"]["registered"] != true {
        assert!(registered.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
    }
    sends(near, "from Whisper");
    let mut texts = heard(at_the_edge);
    texts.sort();
    assert_eq!(texts, ["from Whisper", "from the edge"]);
    devnet.stop();
}

/// `ferry listen` at a node, line by line.
struct Ears {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Ears {
    fn at(node: &Value) -> Self {
        let mut child = listens(node, "1000");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Passes over other messages until this one.
    fn hear(&mut self, text: &str) {
        let heard = self.lines.by_ref().map_while(Result::ok);
        let mut heard = heard.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        assert!(heard.any(|message| message["text"] == text), "{text}");
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every node begins with the descriptor of one relay; mix keys change twice while messages cross in both directions.
#[test]
fn a_network_that_begins_with_one_descriptor_finds_itself_and_rotates_its_keys() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("net");
    let devnet = Devnet::start(&["--epoch-s", "12", "--dir", dir.to_str().unwrap()]);
    let (edge, relay) = (&devnet.ready["edges"][0], &devnet.ready["relays"][0]);
    let (near, far) = (&devnet.ready["whisper"][0], &devnet.ready["whisper"][1]);
    let begin = std::fs::read_to_string(dir.join("edge-1/topology.json")).unwrap();
    let begin: Vec<Value> = serde_json::from_str(&begin).unwrap();
    assert_eq!(begin.len(), 1);
    let directory = |node: &Value| get(node, "/v1/mix")["directory"].clone();
    let epoch = || directory(relay)["epoch"].as_u64().unwrap();
    let (mut at_the_edge, mut in_whisper) = (Ears::at(edge), Ears::at(far));
    let start = Instant::now();
    while get(edge, "/v1/info")["edge"]["registered"] != true {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
    }
    let (first, mut number) = (epoch(), 0);
    while epoch() < first + 2 || number < 3 {
        let [out, back] = ["out", "back"].map(|way| format!("{way} {number}"));
        sends(edge, &out);
        in_whisper.hear(&out);
        sends(near, &back);
        at_the_edge.hear(&back);
        number += 1;
    }
    // Everybody has one active set of one epoch: three relays and the bridge.
    let mix = ["relays", "bridges", "edges"];
    let mix = mix.map(|group| devnet.ready[group].as_array().unwrap().clone());
    let sets = || mix.iter().flatten().map(&directory).collect::<Vec<_>>();
    let is_one = |sets: &[Value]| {
        let same = |set: &Value| set["root"].is_string() && set["root"] == sets[0]["root"];
        sets.iter().all(|set| same(set) && set["active"] == 4)
    };
    let start = Instant::now();
    loop {
        let sets = sets();
        assert!(sets.iter().all(|set| set["fork"].is_null()), "{sets:?}");
        if is_one(&sets) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{sets:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let keys = std::fs::read_dir(dir.join("relay-1/keys/epochs")).unwrap();
    assert!(keys.count() <= 3, "keys of epochs that are over stay");
    drop((at_the_edge, in_whisper));
    devnet.stop();
}

#[test]
fn the_ready_line_names_every_node_and_the_operations_work() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("net");
    let dir = dir.to_str().unwrap();
    let mut devnet = Devnet::start(&["--relays", "4", "--edges", "2", "--seed", "7", "--dir", dir]);
    assert_eq!(devnet.ready["dir"], dir);
    assert_eq!(devnet.ready["mailboxes"], json!([]));
    let names: Vec<String> = devnet
        .nodes()
        .iter()
        .map(|node| node["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "whisper-1",
            "whisper-2",
            "relay-1",
            "relay-2",
            "relay-3",
            "relay-4",
            "bridge-1",
            "edge-1",
            "edge-2"
        ]
    );
    for node in devnet.nodes() {
        assert_eq!(get(&node, "/v1/health")["ready"], true, "{node}");
        let home = node["dir"].as_str().unwrap();
        let id: Value = serde_json::from_slice(&ferry(&["id", "--dir", home]).stdout).unwrap();
        for address in ["enode", "multiaddr", "api"] {
            assert_eq!(id[address], node[address], "{address}");
        }
    }

    devnet.tell(&json!({"op": "kill", "name": "relay-4"}));
    assert_eq!(devnet.event("killed")["name"], "relay-4");
    let output = ferry(&["devnet", "restart", "relay-4", "--dir", dir]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let pid = devnet.event("restarted")["pid"].clone();
    assert_eq!(devnet.event("node_ready")["pid"], pid);

    let victim = devnet.ready["bridges"][0]["pid"].to_string();
    assert!(
        Command::new("kill")
            .args(["-KILL", &victim])
            .status()
            .unwrap()
            .success()
    );
    let died = devnet.event("died");
    assert_eq!(
        (&died["name"], &died["how"]),
        (&"bridge-1".into(), &"signal 9".into())
    );
    devnet.tell(&json!({"op": "restart", "name": "bridge-1"}));
    assert_eq!(devnet.event("restarted")["name"], "bridge-1");
    assert_eq!(devnet.event("node_ready")["name"], "bridge-1");

    devnet.tell(&json!({"op": "restart", "name": "bridge-9"}));
    assert!(
        devnet.event("refused")["why"]
            .as_str()
            .unwrap()
            .contains("bridge-9")
    );
    devnet.tell(&json!("stop"));
    devnet.event("refused");
    let unknown = ferry(&["devnet", "kill", "nobody", "--dir", dir]);
    assert_eq!(unknown.status.code(), Some(1));
    devnet.event("refused");
    devnet.stop();
    assert!(
        Path::new(dir).join("edge-1/node.log").exists(),
        "--dir stays"
    );
}

#[test]
fn a_devnet_that_is_killed_takes_its_children_along() {
    let mut devnet = Devnet::start(&["--relays", "0", "--bridges", "0", "--edges", "0"]);
    let pids: Vec<u64> = devnet
        .nodes()
        .iter()
        .map(|node| node["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids.len(), 2);
    devnet.child.kill().unwrap();
    devnet.child.wait().unwrap();
    let start = Instant::now();
    while pids.iter().any(|pid| alive(*pid)) {
        assert!(start.elapsed() < PATIENCE, "children outlive their devnet");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that has ended and that nobody has waited for is not alive.
fn alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}
