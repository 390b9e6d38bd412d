//! The command line as a person or a script meets it: the binary, its output and its exit codes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use legacy::identity::SecretKey;
use legacy::shell::{self, Event, Handle};
use serde_json::Value;
use tokio::sync::mpsc;

fn ferry(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs `ferry init` and returns what `ferry id` says.
fn init(dir: &Path, role: &str, base: u16) -> Value {
    let (dir, base) = (dir.to_str().unwrap(), base.to_string());
    let made = ferry(&["init", "--role", role, "--dir", dir, "--port-base", &base]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let id = ferry(&["id", "--dir", dir]);
    assert_eq!(code(&id), 0, "{}", stderr(&id));
    serde_json::from_str(&stdout(&id)).unwrap()
}

/// An error has its three parts, and no line of a panic.
fn explains(output: &Output) -> String {
    let text = stderr(output);
    assert!(
        text.contains("\n  why: ") && text.contains("\n  what to do: "),
        "{text}"
    );
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn init_makes_a_private_directory_and_id_reads_it() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("node");
    let id = init(&dir, "relay,bridge", 41_000);
    assert_eq!(id["roles"], serde_json::json!(["bridge", "relay"]));
    assert!(id["enode"].as_str().unwrap().ends_with(":41000"));
    assert!(
        id["multiaddr"]
            .as_str()
            .unwrap()
            .contains("/tcp/41001/p2p/16Uiu2HA")
    );
    assert_eq!(id["api"], "http://127.0.0.1:41002");
    let descriptor = id["descriptor"].to_string();
    let descriptor = mixnet::descriptor::Descriptor::from_json(&descriptor).unwrap();
    assert!(descriptor.capabilities().relay && descriptor.capabilities().bridge);
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    for file in [
        "keys/devp2p",
        "keys/libp2p",
        "keys/mix",
        "keys/gateway",
        "config.toml",
    ] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let again = ferry(&["id", "--dir", dir.to_str().unwrap()]);
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), id);
}

#[test]
fn two_nodes_never_share_a_key() {
    let base = tempfile::tempdir().unwrap();
    let a = init(&base.path().join("a"), "bridge", 41_010);
    let b = init(&base.path().join("b"), "bridge", 41_010);
    for field in ["enode", "peer_id", "mix_key", "gateway_key"] {
        assert_ne!(a[field], b[field], "{field}");
    }
}

#[test]
fn init_says_what_comes_next_or_prints_json() {
    let base = tempfile::tempdir().unwrap();
    let plain = base.path().join("plain");
    let plain = plain.to_str().unwrap();
    let output = ferry(&["init", "--role", "edge", "--dir", plain]);
    for part in [
        format!("ferry run --dir {plain}"),
        format!("ferry id --dir {plain}"),
    ] {
        assert!(stdout(&output).contains(&part), "{}", stdout(&output));
    }
    let json = base.path().join("json");
    let output = ferry(&[
        "init",
        "--role",
        "edge",
        "--json",
        "--dir",
        json.to_str().unwrap(),
    ]);
    let about: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(about["identity"]["api"], "http://127.0.0.1:8645");
}

#[test]
fn init_overwrites_nothing() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("node");
    init(&dir, "relay", 41_020);
    let key = fs::read(dir.join("keys/libp2p")).unwrap();
    let path = dir.to_str().unwrap();
    let same = ferry(&["init", "--role", "relay", "--dir", path]);
    assert_eq!(code(&same), 10);
    assert!(explains(&same).contains("already holds"));
    let other = ferry(&["init", "--role", "edge", "--dir", path]);
    assert_eq!(code(&other), 10);
    assert!(explains(&other).contains("another role: relay, not edge"));
    assert_eq!(fs::read(dir.join("keys/libp2p")).unwrap(), key);

    let foreign = base.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("x"), "").unwrap();
    let refused = ferry(&[
        "init",
        "--role",
        "relay",
        "--dir",
        foreign.to_str().unwrap(),
    ]);
    assert_eq!(code(&refused), 10);
    assert!(explains(&refused).contains("not empty"));
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("n");
    let dir = dir.to_str().unwrap();
    let point = "enode://00@127.0.0.1:1";
    for args in [
        &["init", "--dir", dir][..],
        &["init", "--role", "king", "--dir", dir],
        &["init", "--role", "edge,bridge", "--dir", dir],
        &["init", "--role", "edge", "--dir", dir, "--port-base", "0"],
        &[
            "init",
            "--role",
            "edge",
            "--dir",
            dir,
            "--port-base",
            "65530",
        ],
        &[
            "init",
            "--role",
            "edge",
            "--dir",
            dir,
            "--port-base",
            "70000",
        ],
        &["run"],
        &["nothing"],
        &[],
        &["devnet", "--mailboxes", "41"],
        &["devnet", "--preset", "quick"],
        &["devnet", "--whisper-peer", "enode://"],
        &["send", "--peer", point, "--password", "x"],
        &["listen", "--peer", "127.0.0.1", "--password", "x"],
        &["vectors", "check"],
    ] {
        let output = ferry(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{args:?}");
        assert!(!Path::new(dir).exists(), "{args:?}");
    }
}

#[test]
fn version_names_the_protocols() {
    let output = ferry(&["version", "--json"]);
    let about: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["protocols"]["mix"], "/mix/1.0.0");
    assert!(stdout(&ferry(&["--version"])).starts_with("ferry "));
}

#[test]
fn a_network_that_cannot_serve_its_purpose_is_refused_before_it_starts() {
    for (args, part) in [
        (&["demo", "--relays", "2"][..], "--relays 2 is too few"),
        (&["demo", "--kill-relay-after", "1"], "give 4 or more"),
        (
            &["demo", "--relays", "4", "--kill-relay-after", "6"],
            "messages 1 to 5",
        ),
        (
            &["demo", "--relays", "4", "--kill-relay-after", "0"],
            "never comes",
        ),
        (&["demo", "--messages", "0"], "shows nothing"),
        (
            &["measure", "shape", "--relays", "2"],
            "--relays 2 is too few",
        ),
        (&["measure", "shape", "--edges", "0"], "sends nothing"),
        (&["measure", "shape", "--seconds", "0"], "sends nothing"),
    ] {
        let refused = ferry(args);
        assert_eq!(code(&refused), 2, "{args:?}");
        assert!(
            explains(&refused).contains(part),
            "{args:?}: {}",
            stderr(&refused)
        );
        assert_eq!(stdout(&refused), "", "{args:?}");
    }
}

#[test]
fn places_that_are_no_node_are_refused() {
    let base = tempfile::tempdir().unwrap();
    let none = base.path().join("none");
    for command in ["run", "id"] {
        let output = ferry(&[command, "--dir", none.to_str().unwrap()]);
        assert_eq!(code(&output), 10);
        assert!(
            explains(&output).contains("ferry init"),
            "{}",
            stderr(&output)
        );
        let output = ferry(&[command, "--dir", base.path().to_str().unwrap()]);
        assert_eq!(code(&output), 10);
        assert!(explains(&output).contains("not the directory of a node"));
    }
}

#[test]
fn keys_that_others_can_read_stop_the_node() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("node");
    init(&dir, "relay", 41_030);
    let path = dir.to_str().unwrap();
    fs::set_permissions(dir.join("keys/mix"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = ferry(&["run", "--dir", path]);
    assert_eq!(code(&output), 11);
    assert!(
        explains(&output).contains("chmod 600"),
        "{}",
        stderr(&output)
    );
    fs::remove_file(dir.join("keys/mix")).unwrap();
    let output = ferry(&["run", "--dir", path]);
    assert_eq!(code(&output), 11);
    assert!(explains(&output).contains("missing"));
}

#[test]
fn a_taken_api_port_is_named() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("node");
    init(&dir, "relay", 41_040);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("api.listen={}", taken.local_addr().unwrap());
    let output = ferry(&["run", "--dir", dir.to_str().unwrap(), "--set", &set]);
    assert_eq!(code(&output), 14, "{}", stderr(&output));
    let text = explains(&output);
    assert!(
        text.contains("[api]") && text.contains(&taken.local_addr().unwrap().port().to_string())
    );
}

#[test]
fn a_devnet_leaves_a_full_directory_alone_and_knows_when_none_runs() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("x"), "").unwrap();
    let path = base.path().to_str().unwrap();
    let output = ferry(&["devnet", "--dir", path]);
    assert_eq!(code(&output), 10, "{}", stderr(&output));
    assert!(explains(&output).contains("not empty"));
    let output = ferry(&["devnet", "restart", "bridge-1", "--dir", path]);
    assert_eq!(code(&output), 1);
    assert!(explains(&output).contains("not the directory of a devnet"));
}

/// A Whisper node to attach to.
struct Peer {
    handle: Handle,
    events: mpsc::Receiver<Event>,
}

impl Peer {
    fn start() -> Self {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let (handle, events, _task) = shell::spawn(shell::Config::new(key)).unwrap();
        Self { handle, events }
    }

    fn enode(&self) -> String {
        self.handle.local_enode().unwrap().to_string()
    }
}

/// Starts `ferry listen` and waits until it is attached.
fn listen(args: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferry"))
        .arg("listen")
        .args(args)
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

fn finish(child: Child) -> (i32, Vec<Value>) {
    let output = child.wait_with_output().unwrap();
    let lines = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (code(&output), lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_by_password_is_heard() {
    let peer = Peer::start();
    let enode = peer.enode();
    let base = ["--peer", &enode, "--password", "status"];
    let all = [&base[..], &["--json", "--count", "2", "--timeout", "60"]].concat();
    let listening = tokio::task::block_in_place(|| listen(&all));
    let sent = |text: &str| {
        let output = ferry(&[&["send"], &base[..], &["--json", "--text", text]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let first = tokio::task::block_in_place(|| sent("hello"));
    let second = tokio::task::block_in_place(|| sent("grüße\u{1b}[2J"));
    let (exit, heard) = tokio::task::block_in_place(|| finish(listening));
    assert_eq!(exit, 0);
    assert_eq!(
        [&heard[0]["text"], &heard[1]["text"]],
        ["hello", "grüße\u{1b}[2J"]
    );
    assert_eq!(
        [&heard[0]["hash"], &heard[1]["hash"]],
        [&first["hash"], &second["hash"]]
    );
    assert_eq!(heard[0]["topic"], first["topic"]);
    assert_eq!(heard[0]["signer"], Value::Null);
    drop(peer.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_to_a_public_key_is_signed_and_heard_by_its_owner_only() {
    let base = tempfile::tempdir().unwrap();
    let key_file = |name: &str, byte: u8| {
        let path = base.path().join(name);
        fs::write(&path, hex::encode([byte; 32])).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (owner, other, signer) = (key_file("o", 1), key_file("x", 2), key_file("s", 3));
    let public = |byte| {
        hex::encode(
            SecretKey::from_bytes(&[byte; 32])
                .unwrap()
                .public()
                .to_prefixed(),
        )
    };
    let peer = Peer::start();
    let enode = peer.enode();
    let attach = ["--peer", &enode, "--topic", "0x01020304"];
    let (mine, theirs) = tokio::task::block_in_place(|| {
        let mine = [
            &attach[..],
            &[
                "--private-key",
                &owner,
                "--json",
                "--count",
                "1",
                "--timeout",
                "60",
            ],
        ]
        .concat();
        let theirs = [
            &attach[..],
            &[
                "--private-key",
                &other,
                "--json",
                "--count",
                "1",
                "--timeout",
                "6",
            ],
        ]
        .concat();
        (listen(&mine), listen(&theirs))
    });
    let to = public(1);
    let output = tokio::task::block_in_place(|| {
        ferry(
            &[
                &["send"],
                &attach[..],
                &["--public-key", &to, "--sign", &signer, "--text", "for you"],
            ]
            .concat(),
        )
    });
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let (exit, heard) = tokio::task::block_in_place(|| finish(mine));
    assert_eq!(exit, 0);
    assert_eq!(
        (&heard[0]["text"], &heard[0]["signer"]),
        (&"for you".into(), &public(3).into())
    );
    let (exit, heard) = tokio::task::block_in_place(|| finish(theirs));
    assert_eq!((exit, heard.len()), (1, 0));
    drop(peer.events);
}

#[test]
fn a_peer_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let key = SecretKey::from_bytes(&[9; 32]).unwrap().public();
    let enode = format!("enode://{}@127.0.0.1:{port}", hex::encode(key.to_bytes()));
    let output = ferry(&[
        "send",
        "--peer",
        &enode,
        "--password",
        "x",
        "--text",
        "y",
        "--timeout",
        "2",
    ]);
    assert_eq!(code(&output), 1);
    assert!(explains(&output).contains(&format!("127.0.0.1:{port}")));
}
