//! Our MVDS node against the two published Go libraries: v0.0.23 (the dialect of every deployed client) and v0.0.25
//! (the compact dialect). The test carries the payloads between them and reads each one on the way.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::mvds::id::{GroupId, MessageId, PeerId};
use bridge::mvds::node::{Bodies, Config, Mode, Node, NodeError, Now, Output, PeerConfig};
use bridge::mvds::payload::{Dialect, Message, Metadata, Payload, PayloadError};
use bridge::mvds::record::Change;
use bridge::mvds::retry::Retry;
use serde_json::{Value, json};

use crate::driver::Driver;

const KEY_A: &str = "04cab365fcbb92f82b9c47ceaa27d654268606dea9cd658e369abf5c3fc59d0fa27b4a47db1e94e30b0889af02714ac6a77a6ff47edcde93a1d0302950f7eed807";
const KEY_B: &str = "04eb0177131d07520da774ce45687054fd8b57ca51ea80c0de63624c1f7856d237b7290383a7d74c102136f222bbc4c64a68f5e04dfca69c30bddabfa99a8fd016";
const COMPRESSED_A: &str = "03cab365fcbb92f82b9c47ceaa27d654268606dea9cd658e369abf5c3fc59d0fa2";
const COMPRESSED_B: &str = "02eb0177131d07520da774ce45687054fd8b57ca51ea80c0de63624c1f7856d237";
const GROUP: &str = "4c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de6";
const ID: &str = "8d99b8443a17b2a5f0706a15858255cc5e92052747b3028c6232e47c2ca257cc";
/// The known message, and its ack, in both dialects.
const KNOWN: [&str; 2] = [
    "e2b802358af702204c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de690f702b0ae80f5059af7020568656c6c6f",
    "222f0a204c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de610b0ae80f5051a0568656c6c6f",
];
const KNOWN_ACK: [&str; 2] = [
    "cab802208d99b8443a17b2a5f0706a15858255cc5e92052747b3028c6232e47c2ca257cc",
    "0a208d99b8443a17b2a5f0706a15858255cc5e92052747b3028c6232e47c2ca257cc",
];

/// Both ends tick alike.
const TICK: Duration = Duration::from_millis(50);
/// What takes longer does not come.
const WITHIN: Duration = Duration::from_secs(20);
const CONFIG: Config = Config {
    tick: TICK,
    retry: Retry {
        base: 40,
        least: 40,
        most: 40,
        cap: 1_000,
        jitter: 10,
    },
    ..Config::MIX
};

/// One of the two libraries: its driver, and how it is spoken to.
#[derive(Clone, Copy)]
struct Library {
    module: &'static str,
    peer: PeerConfig,
}

const PUBLISHED: Library = Library {
    module: "geth",
    peer: PeerConfig::LEGACY,
};
const COMPACT: Library = Library {
    module: "mvds",
    peer: PeerConfig {
        dialect: Dialect::Compact,
        legacy: true,
    },
};

impl Library {
    /// A Go node in memory that is peer B and knows us as A.
    fn start(self, mode: &str) -> Driver {
        self.start_with(mode, &[])
    }

    /// The same with more flags.
    fn start_with(self, mode: &str, flags: &[&str]) -> Driver {
        let arguments = ["--peer-id", KEY_B, "--mode", mode, "--tick-ms", "50"];
        let arguments = [&arguments, flags].concat();
        let (mut go, ready) = Driver::go(self.module, "mvdspeer", &arguments);
        let dialect = match self.peer.dialect {
            Dialect::Published => "5000",
            Dialect::Compact => "compact",
        };
        assert_eq!(ready["dialect"], dialect);
        go.call("add_peer", json!({"group": GROUP, "peer": KEY_A}));
        go
    }

    fn index(self) -> usize {
        usize::from(self.peer.dialect == Dialect::Compact)
    }
}

#[derive(Default)]
struct Disk(BTreeMap<MessageId, Message>);

impl Bodies for Disk {
    fn load(&self, id: &MessageId) -> Option<Message> {
        self.0.get(id).cloned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Us,
    Go,
}

/// Our node, and everything that was said.
struct Ours {
    node: Node,
    disk: Disk,
    dialect: Dialect,
    said: Vec<(By, Payload)>,
    /// How many of the next payloads of each side with an ack get lost.
    lose_acks: BTreeMap<By, usize>,
    delivered: Vec<Message>,
    acked: Vec<MessageId>,
}

impl Ours {
    fn new(library: Library, mode: Mode) -> Self {
        let mut node = Node::new(CONFIG, [7; 32], now());
        node.join(group(), peer_b(), mode, library.peer).unwrap();
        Self {
            node,
            disk: Disk::default(),
            dialect: library.peer.dialect,
            said: Vec::new(),
            lose_acks: BTreeMap::new(),
            delivered: Vec::new(),
            acked: Vec::new(),
        }
    }

    fn append(&mut self, body: &[u8]) -> MessageId {
        let id = self
            .node
            .append(now(), Message::new(group(), 1_600_000_000, body))
            .unwrap();
        self.settle();
        id
    }

    fn settle(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Commit { seq, changes } => {
                    for change in changes {
                        match change {
                            Change::PutMessage { id, message } => {
                                drop(self.disk.0.insert(id, message))
                            }
                            Change::DeleteMessage { id } => drop(self.disk.0.remove(&id)),
                            Change::PutSeen { .. }
                            | Change::DeleteSeen { .. }
                            | Change::PutState { .. }
                            | Change::DeleteState { .. } => {}
                        }
                    }
                    self.node.committed(now(), seq);
                }
                Output::Deliver { message, .. } => self.delivered.push(message),
                Output::Acked { id, .. } => self.acked.push(id),
                Output::Parked { .. } | Output::Refused { .. } | Output::Lost { .. } => {
                    panic!("nothing is lost between two nodes: {output:?}")
                }
            }
        }
    }

    /// Carries what both have to say.
    fn step(&mut self, go: &mut Driver) {
        for event in go.take(|event| event["event"] == "payload") {
            assert_eq!(event["to"], KEY_A);
            let bytes = hex::decode(event["bytes"].as_str().unwrap()).unwrap();
            let decoded = Payload::decode(self.dialect, &bytes, 1_000_000).unwrap();
            assert_eq!(decoded.dropped, 0);
            assert_eq!(
                decoded.payload.encode(self.dialect),
                bytes,
                "re-encoded as Go encodes"
            );
            let is_lost = self.loses(By::Go, &decoded.payload);
            if !decoded.payload.is_empty() {
                self.said.push((By::Go, decoded.payload));
            }
            if is_lost {
                continue;
            }
            assert_eq!(self.node.handle(now(), peer_b(), &bytes), Ok(0));
            self.settle();
        }
        for peer in self.node.peers_due(now()) {
            while let Some(draft) = self.node.draft(now(), &peer, 100_000, &self.disk) {
                let bytes = hex::encode(draft.bytes());
                let is_lost = self.loses(By::Us, draft.payload());
                self.said.push((By::Us, draft.payload().clone()));
                self.node.taken(now(), draft);
                self.settle();
                if is_lost {
                    continue;
                }
                let answer = go.call("payload", json!({"from": KEY_A, "bytes": bytes}));
                assert_eq!(answer["valid"], true);
            }
        }
    }

    /// Whether this payload gets lost.
    fn loses(&mut self, by: By, payload: &Payload) -> bool {
        match self.lose_acks.get_mut(&by) {
            Some(left) if *left > 0 && !payload.acks.is_empty() => {
                *left -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Carries until it holds.
    fn until(&mut self, go: &mut Driver, what: &str, holds: impl Fn(&Self, &mut Driver) -> bool) {
        let end = Instant::now() + WITHIN;
        while !holds(self, go) {
            assert!(
                Instant::now() < end,
                "{what} does not come; said so far: {:?}",
                self.said
            );
            thread::sleep(Duration::from_millis(5));
            self.step(go);
        }
    }

    /// Carries until neither side has anything left to do, and for some epochs of the Go node after that.
    fn until_quiet(&mut self, go: &mut Driver) {
        self.until(go, "rest", |ours, go| {
            ours.node.is_idle() && states(go).is_empty()
        });
        let epoch = go.call("epoch", json!({}))["epoch"].as_i64().unwrap();
        self.until(go, "ten more epochs", |_, go| {
            go.call("epoch", json!({}))["epoch"].as_i64().unwrap() >= epoch + 10
        });
        assert!(self.node.is_idle() && states(go).is_empty());
    }

    /// What was said about a message, each kind once, in the order in which it first came.
    fn story(&self, id: MessageId) -> Vec<(By, &'static str)> {
        let mut story = Vec::new();
        for (by, payload) in &self.said {
            let kinds = [
                ("ack", payload.acks.contains(&id)),
                ("offer", payload.offers.contains(&id)),
                ("request", payload.requests.contains(&id)),
                (
                    "message",
                    payload.messages.iter().any(|message| message.id() == id),
                ),
            ];
            for (kind, _) in kinds.into_iter().filter(|(_, is_there)| *is_there) {
                if !story.contains(&(*by, kind)) {
                    story.push((*by, kind));
                }
            }
        }
        story
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Now {
        mono: Instant::now(),
        unix_s: unix.as_secs(),
    }
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn group() -> GroupId {
    GroupId::new(array(GROUP))
}

fn peer_b() -> PeerId {
    PeerId::new(array(KEY_B))
}

fn states(go: &mut Driver) -> Vec<Value> {
    go.call("states", json!({}))["states"]
        .as_array()
        .unwrap()
        .clone()
}

fn stored(go: &mut Driver) -> Vec<String> {
    let answer = go.call("messages", json!({}));
    let messages = answer["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["message"].as_str().unwrap().to_owned())
        .collect()
}

fn delivered(go: &mut Driver, id: MessageId) -> Value {
    go.wait("delivery", WITHIN, |event| {
        event["event"] == "delivered" && event["message"] == hex::encode(id.bytes())
    })
}

/// Case 12, and the known ids from Go's own mouth (7, 8).
#[test]
fn ids_are_those_of_go() {
    let (a, b) = (array(COMPRESSED_A), array(COMPRESSED_B));
    assert_eq!(GroupId::of_two(&a, &b), group());
    assert_eq!(GroupId::of_two(&b, &a), group());
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let bodies: [&[u8]; 4] = [b"hello", b"", b"\0", &[7; 5_000]];
        for timestamp in [1_587_550_000, 0, -1, i64::MIN, i64::MAX] {
            for body in bodies {
                let ours = MessageId::of(&group(), timestamp, body);
                let message =
                    json!({"group": GROUP, "timestamp": timestamp, "body": hex::encode(body)});
                let theirs = go.call("id", message);
                assert_eq!(theirs["message"], hex::encode(ours.bytes()));
            }
        }
    }
}

/// Cases 1 and 2: the known payload is stored and acked, and the ack is the known one to the byte.
#[test]
fn the_known_payload_is_stored_and_acked() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let bytes = KNOWN[library.index()];
        assert_eq!(
            go.call("payload", json!({"from": KEY_A, "bytes": bytes}))["valid"],
            true
        );
        let said = go.wait("ack", WITHIN, |event| {
            event["event"] == "payload" && event["bytes"] != ""
        });
        assert_eq!(said["bytes"], KNOWN_ACK[library.index()]);
        assert_eq!(stored(&mut go), [ID]);
    }
}

/// Case 2, for payloads of every form: both sides write the same bytes and read the same records.
#[test]
fn both_sides_write_the_same_bytes() {
    let ids = |from: u8, count: u8| {
        (from..from + count)
            .map(|byte| MessageId::new([byte; 32]))
            .collect()
    };
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        for round in 0..8u8 {
            let messages = (0..round % 4).map(|number| {
                let timestamp = [0, -1, 1_600_000_000, i64::MIN][usize::from(number)];
                let mut message =
                    Message::new(group(), timestamp, vec![number; usize::from(round) * 100]);
                if library.peer.dialect == Dialect::Compact {
                    message.metadata = Some(Metadata {
                        parents: ids(9, number),
                        ephemeral: number == 2,
                    });
                }
                message
            });
            let payload = Payload {
                acks: ids(10, round),
                offers: ids(50, round % 3),
                requests: ids(90, round % 2),
                messages: messages.collect(),
            };
            let bytes = hex::encode(payload.encode(library.peer.dialect));
            let theirs = go.call("encode", describe(&payload));
            assert_eq!(theirs["bytes"], bytes.as_str());
            let read = go.call("decode", json!({"bytes": bytes}));
            assert_eq!(read["valid"], !payload.is_empty());
            assert_eq!(read["acks"].as_array().unwrap().len(), payload.acks.len());
            let read: Vec<_> = read["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m["message"].clone())
                .collect();
            let ours: Vec<_> = payload
                .messages
                .iter()
                .map(|m| json!(hex::encode(m.id().bytes())))
                .collect();
            assert_eq!(read, ours);
        }
    }
}

fn describe(payload: &Payload) -> Value {
    let ids = |ids: &[MessageId]| {
        ids.iter()
            .map(|id| hex::encode(id.bytes()))
            .collect::<Vec<_>>()
    };
    let messages: Vec<_> = payload
        .messages
        .iter()
        .map(|message| {
            let mut fields = json!({
                "group": hex::encode(message.group.bytes()),
                "timestamp": message.timestamp,
                "body": hex::encode(&message.body),
            });
            if let Some(metadata) = &message.metadata {
                fields["metadata"] =
                    json!({"parents": ids(&metadata.parents), "ephemeral": metadata.ephemeral});
            }
            fields
        })
        .collect();
    json!({
        "acks": ids(&payload.acks),
        "offers": ids(&payload.offers),
        "requests": ids(&payload.requests),
        "messages": messages,
    })
}

/// Case 3: the other dialect says nothing to either side, and nobody guesses.
#[test]
fn the_other_dialect_is_not_understood() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let other = KNOWN[1 - library.index()];
        let answer = go.call("payload", json!({"from": KEY_A, "bytes": other}));
        assert_eq!(answer["valid"], false);
        let epoch = go.call("epoch", json!({}))["epoch"].as_i64().unwrap();
        let end = Instant::now() + WITHIN;
        while go.call("epoch", json!({}))["epoch"].as_i64().unwrap() < epoch + 5 {
            assert!(Instant::now() < end, "the Go node stands still");
            thread::sleep(TICK);
        }
        let said = go.take(|event| event["event"] == "payload");
        assert!(said.iter().all(|event| event["bytes"] == ""), "{said:?}");
        assert!(stored(&mut go).is_empty() && states(&mut go).is_empty());

        let mut ours = Ours::new(library, Mode::Batch);
        let bytes = hex::decode(other).unwrap();
        let refused = NodeError::Payload(PayloadError::NoLists { len: bytes.len() });
        assert_eq!(ours.node.handle(now(), peer_b(), &bytes), Err(refused));
        assert!(ours.node.is_idle());
    }
}

/// Cases 13 and 4: ours is delivered and acked, and no record is left.
#[test]
fn batch_from_us() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let mut ours = Ours::new(library, Mode::Batch);
        let id = ours.append(b"from us");
        let due = ours.node.next_deadline().unwrap();
        assert!(due <= Instant::now() + TICK, "it leaves at the next tick");
        ours.until(&mut go, "ack", |ours, _| ours.acked == [id]);
        assert_eq!(delivered(&mut go, id)["body"], hex::encode(b"from us"));
        ours.until_quiet(&mut go);
        assert_eq!(ours.story(id), [(By::Us, "message"), (By::Go, "ack")]);
        let sent = ours.said.iter().filter(|(by, _)| *by == By::Us).count();
        assert_eq!(sent, 1, "once was enough");
        assert_eq!(stored(&mut go), [hex::encode(id.bytes())]);
    }
}

/// Cases 14 and 4: theirs is delivered once and acked at our next tick, and no record is left.
#[test]
fn batch_from_go() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let mut ours = Ours::new(library, Mode::Batch);
        let answer = go.call(
            "append",
            json!({"group": GROUP, "body": hex::encode(b"from go")}),
        );
        let id = MessageId::new(array(answer["message"].as_str().unwrap()));
        ours.until(&mut go, "delivery", |ours, _| !ours.delivered.is_empty());
        ours.until_quiet(&mut go);
        assert_eq!(ours.story(id), [(By::Go, "message"), (By::Us, "ack")]);
        let bodies: Vec<_> = ours
            .delivered
            .iter()
            .map(|message| message.body.to_vec())
            .collect();
        assert_eq!(bodies, [b"from go"], "once");
    }
}

/// Cases 15 and 4, from us: offer, request, message, ack.
#[test]
fn interactive_from_us() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("interactive");
        let mut ours = Ours::new(library, Mode::Interactive);
        let id = ours.append(b"from us");
        ours.until(&mut go, "ack", |ours, _| ours.acked == [id]);
        assert_eq!(delivered(&mut go, id)["body"], hex::encode(b"from us"));
        let expected = [
            (By::Us, "offer"),
            (By::Go, "request"),
            (By::Us, "message"),
            (By::Go, "ack"),
        ];
        assert_eq!(ours.story(id), expected);
        let offers = ours
            .said
            .iter()
            .filter(|(by, payload)| *by == By::Us && !payload.offers.is_empty());
        assert_eq!(
            offers.count(),
            1,
            "a second offer would kill a deployed client"
        );
    }
}

/// Cases 15 and 4, from Go: offer, request, message, ack. Go keeps offering until the ack.
#[test]
fn interactive_from_go() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("interactive");
        let mut ours = Ours::new(library, Mode::Interactive);
        let answer = go.call(
            "append",
            json!({"group": GROUP, "body": hex::encode(b"from go")}),
        );
        let id = MessageId::new(array(answer["message"].as_str().unwrap()));
        ours.until(&mut go, "delivery", |ours, _| !ours.delivered.is_empty());
        ours.until(&mut go, "our ack", |ours, _| {
            ours.story(id).contains(&(By::Us, "ack"))
        });
        let expected = [
            (By::Go, "offer"),
            (By::Us, "request"),
            (By::Go, "message"),
            (By::Us, "ack"),
        ];
        assert_eq!(ours.story(id), expected);
        assert_eq!(ours.delivered.len(), 1, "once");
    }
}

/// Case 17: our ack gets lost twice. Go repeats, with the store of the deployed clients too; we ack again, and the
/// application sees the message once.
#[test]
fn a_lost_ack_of_ours_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for library in [PUBLISHED, COMPACT] {
        let file = folder.path().join(library.module);
        let sqlite = [
            "--store",
            "sqlite",
            "--db",
            file.to_str().unwrap(),
            "--retry-epochs",
            "5",
        ];
        for flags in [&sqlite[4..], &sqlite] {
            let mut go = library.start_with("batch", flags);
            let mut ours = Ours::new(library, Mode::Batch);
            ours.lose_acks.insert(By::Us, 2);
            go.call(
                "append",
                json!({"group": GROUP, "body": hex::encode(b"from go")}),
            );
            ours.until_quiet(&mut go);
            assert_eq!(ours.delivered.len(), 1, "once");
            assert_eq!(ours.lose_acks[&By::Us], 0);
        }
    }
}

/// Their ack gets lost: we repeat, and a Go node in memory acks again. (With SQLite it never does: our record is parked at last.)
#[test]
fn a_lost_ack_of_go_is_repeated() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let mut ours = Ours::new(library, Mode::Batch);
        ours.lose_acks.insert(By::Go, 1);
        let id = ours.append(b"from us");
        ours.until(&mut go, "ack", |ours, _| ours.acked == [id]);
        assert!(ours.node.is_idle());
        let sent = ours
            .said
            .iter()
            .filter(|(_, payload)| !payload.messages.is_empty());
        assert_eq!(sent.filter(|(by, _)| *by == By::Us).count(), 2);
    }
}

/// A hundred each way at once.
#[test]
fn a_hundred_each_way() {
    for library in [PUBLISHED, COMPACT] {
        let mut go = library.start("batch");
        let mut ours = Ours::new(library, Mode::Batch);
        let mut sent = Vec::new();
        for number in 0..100u32 {
            sent.push(ours.append(&number.to_be_bytes()));
            let body = hex::encode([b"go ".as_slice(), &number.to_be_bytes()].concat());
            go.call("append", json!({"group": GROUP, "body": body}));
        }
        ours.until_quiet(&mut go);
        assert_eq!(ours.acked.len(), 100);
        let bodies: std::collections::BTreeSet<_> =
            ours.delivered.iter().map(|message| &message.body).collect();
        assert_eq!(
            (ours.delivered.len(), bodies.len()),
            (100, 100),
            "each once"
        );
        for id in sent {
            delivered(&mut go, id);
        }
    }
}
