//! A node in a process of its own: how it starts, what keeps it from starting, how it stops.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ferry::config::Ports;
use ferry::devnet::ports::Reservations;
use serde_json::Value;

/// Everything here takes a second; a loaded machine more.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    dir: PathBuf,
    set: Vec<String>,
    api: SocketAddr,
    ports: Ports,
}

impl Node {
    /// A new directory, with ports of its own on loopback.
    fn init(base: &Path, role: &str, place: u64) -> Self {
        let mut reserved = Reservations::new(place).unwrap().reserve().unwrap();
        let ports = reserved.ports;
        reserved.release();
        // The lock of the ports must outlive the node.
        std::mem::forget(reserved);
        let dir = base.join(role);
        let made = ferry(&["init", "--role", role, "--dir", dir.to_str().unwrap()]);
        assert!(made.status.success());
        let set = [
            ("whisper", ports.whisper),
            ("mix", ports.mix),
            ("api", ports.api),
        ]
        .map(|(section, port)| format!("{section}.listen=127.0.0.1:{port}"));
        let mut set = set.to_vec();
        if role == "whisper" {
            set.push(format!("rpc.http=127.0.0.1:{}", ports.rpc_http));
            set.push(format!("rpc.ws=127.0.0.1:{}", ports.rpc_ws));
        }
        match role {
            "whisper" => set.remove(1),
            "relay" => set.remove(0),
            _ => String::new(),
        };
        Self {
            dir,
            set,
            api: (Ipv4Addr::LOCALHOST, ports.api).into(),
            ports,
        }
    }

    /// A relay list with this node alone.
    fn list(&self) -> String {
        let id = ferry(&["id", "--dir", self.dir.to_str().unwrap()]);
        let id: Value = serde_json::from_slice(&id.stdout).unwrap();
        Value::Array(vec![id["descriptor"].clone()]).to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferry"));
        command
            .arg("run")
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null());
        self.set.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command
    }

    /// Starts it and waits until it answers.
    fn start(&self) -> Running {
        let child = self
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let running = Running(child);
        let start = Instant::now();
        while self.health().is_none() {
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
        assert!(
            text.contains("\n  why: ") && text.contains("\n  what to do: "),
            "{text}"
        );
        text
    }

    fn health(&self) -> Option<Value> {
        self.get("/v1/health")
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.api).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
    }
}

/// Killed when the test ends, however it ends.
struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Its exit code, and how long it took.
    fn wait(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            assert!(start.elapsed() < PATIENCE, "the node does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ferry(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(args)
        .output()
        .unwrap()
}

/// An edge without any bridge in its relay list has nothing to do.
fn give_a_bridge(edge: &Node, base: &Path) {
    let dir = base.join("bridge");
    let bridge = match dir.exists() {
        true => Node {
            dir,
            set: vec![],
            ..*edge
        },
        false => Node::init(base, "bridge", 9_000),
    };
    fs::write(edge.dir.join("topology.json"), bridge.list()).unwrap();
}

#[test]
fn an_edge_without_a_bridge_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), "edge", 6_000);
    assert!(node.refuses(10).contains("no bridge"));
}

#[test]
fn every_role_starts_and_stops_on_both_signals() {
    let base = tempfile::tempdir().unwrap();
    for (place, role) in ["whisper", "relay", "bridge", "edge"]
        .into_iter()
        .enumerate()
    {
        let node = Node::init(base.path(), role, place as u64 * 100);
        if role == "edge" {
            give_a_bridge(&node, base.path());
        }
        for signal in ["-TERM", "-INT"] {
            let mut running = node.start();
            assert_eq!(node.health().unwrap()["live"], true);
            running.signal(signal);
            let (code, took) = running.wait();
            assert_eq!(code, Some(0), "{role} {signal}");
            assert!(took < Duration::from_secs(10), "{role} {signal}: {took:?}");
        }
    }
}

#[test]
fn an_edge_without_relays_says_how_many_are_missing() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), "edge", 1_000);
    give_a_bridge(&node, &base.path().join("elsewhere"));
    let _running = node.start();
    let health = node.health().unwrap();
    assert_eq!(health["ready"], false);
    let causes = health["causes"].to_string();
    assert!(
        causes.contains("3 missing") && causes.contains("too_few_relays"),
        "{causes}"
    );
}

#[test]
fn one_directory_runs_one_node() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), "bridge", 2_000);
    let running = node.start();
    let mut other = Node {
        dir: node.dir.clone(),
        set: node.set.clone(),
        ..node
    };
    other.set.push("log.level=error".to_owned());
    assert!(other.refuses(17).contains("already running"));
    drop(running);
    // A killed node leaves no lock behind.
    let _again = other.start();
}

#[test]
fn a_taken_port_is_named_with_its_section() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), "bridge", 3_000);
    for (section, port) in [
        ("whisper", node.ports.whisper),
        ("mix", node.ports.mix),
        ("api", node.ports.api),
    ] {
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let text = node.refuses(14);
        assert!(
            text.contains(&format!("[{section}]")) && text.contains(&port.to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_relay_list_that_somebody_changed_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), "relay", 4_000);
    let id = ferry(&["id", "--dir", node.dir.to_str().unwrap()]);
    let id: Value = serde_json::from_slice(&id.stdout).unwrap();
    let list = node.dir.join("topology.json");

    let mut changed = id["descriptor"].clone();
    changed["address"] = "203.0.113.9:4000".into();
    fs::write(&list, Value::Array(vec![changed]).to_string()).unwrap();
    let text = node.refuses(10);
    assert!(
        text.contains("descriptor 1") && text.contains("signature"),
        "{text}"
    );

    for bad in ["", "{}", "[1]", "[{\"version\":1}]"] {
        fs::write(&list, bad).unwrap();
        assert!(node.refuses(10).contains("topology.json"), "{bad}");
    }
}

/// What a node keeps beside its database, and where else it listens: each with an advice of its own.
#[test]
fn damaged_files_of_the_mixnet_and_a_taken_further_port_are_named() {
    let base = tempfile::tempdir().unwrap();
    let mut node = Node::init(base.path(), "relay", 7_000);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let further = format!("mix.also_listen=/ip4/127.0.0.1/tcp/{port}/ws");
    node.set.push(further);
    let text = node.refuses(10);
    assert!(text.contains("mix.also_listen") && text.contains("write another port"));
    node.set.pop();

    drop(node.start());
    let tags = fs::read_dir(node.dir.join("replay")).unwrap().next();
    let tags = tags.unwrap().unwrap().path();
    fs::write(&tags, [7; 100]).unwrap();
    let text = node.refuses(13);
    assert!(
        text.contains(tags.to_str().unwrap()) && text.contains("move the file away"),
        "{text}"
    );
    fs::remove_file(tags).unwrap();

    node.set.push("mix.directory=gossip".into());
    drop(node.start());
    let key = fs::read_dir(node.dir.join("keys/epochs")).unwrap().next();
    let key = key.unwrap().unwrap().path();
    fs::write(&key, "00").unwrap();
    let text = node.refuses(11);
    assert!(
        text.contains(key.to_str().unwrap()) && text.contains("remove the file"),
        "{text}"
    );
    fs::remove_file(key).unwrap();
    drop(node.start());
}

#[test]
fn a_node_without_its_input_stops_when_asked_to_watch_it() {
    let base = tempfile::tempdir().unwrap();
    let node = Node::init(base.path(), "whisper", 5_000);
    let mut command = node.command();
    let child = command
        .arg("--stop-with-input")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut running = Running(child.stderr(Stdio::null()).spawn().unwrap());
    while node.health().is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(running.0.stdin.take());
    assert_eq!(running.wait().0, Some(0));
}

/// The second and the third know the first and not each other.
#[test]
fn nodes_that_know_one_bootnode_find_each_other() {
    let base = tempfile::tempdir().unwrap();
    let mut nodes: Vec<Node> = (0..3)
        .map(|n| {
            let base = base.path().join(n.to_string());
            fs::create_dir(&base).unwrap();
            Node::init(&base, "whisper", 10_000 + 100 * n)
        })
        .collect();
    let keys: Vec<String> = nodes
        .iter()
        .map(|node| {
            let id = ferry(&["id", "--dir", node.dir.to_str().unwrap()]);
            let id: Value = serde_json::from_slice(&id.stdout).unwrap();
            assert!(id["enr"].as_str().unwrap().starts_with("enr:"));
            id["enode"].as_str().unwrap()[8..136].to_owned()
        })
        .collect();
    let bootnode = format!("enode://{}@127.0.0.1:{}", keys[0], nodes[0].ports.whisper);
    for node in &mut nodes {
        node.set.push("whisper.discovery=yes".to_owned());
    }
    for node in &mut nodes[1..] {
        node.set.push(format!("whisper.bootnodes={bootnode}"));
    }
    let running: Vec<Running> = nodes.iter().map(Node::start).collect();
    let start = Instant::now();
    let knows = |node: &Node, key: &str| {
        let peers = node.get("/v1/peers").map(|peers| peers.to_string());
        peers.is_some_and(|peers| peers.contains(key))
    };
    while !(knows(&nodes[2], &keys[0]) && knows(&nodes[2], &keys[1]) && knows(&nodes[1], &keys[2]))
    {
        assert!(start.elapsed() < PATIENCE, "they do not find each other");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(running);
}
