//! Two unmodified Status clients talk; one sits behind an edge, the other on a go-ethereum relay. Neither knows of Ferry.
//!
//! ```text
//! statuspeer "near" ─▶ edge ═▶ relays ═▶ bridge ─▶ geth ◀─ statuspeer "far"
//! ```

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::devnet::{Devnet, wait_until};
use crate::driver::Driver;

/// How long a message may take before the test says that it is lost: status-go repeats a 1:1 message after about half a minute,
/// longer the older its session is.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);

/// Messages each way in each kind of chat.
const TURNS: usize = 20;

const CHAT: &str = "ferry-test";

/// Both people, with everything between them.
struct World {
    near: Person,
    far: Person,
    devnet: Devnet,
    _geth: Driver,
    _dir: TempDir,
}

/// One Status client.
struct Person {
    client: Driver,
    key: String,
}

impl Person {
    fn start(dir: &std::path::Path, relay: &str) -> Self {
        let dir = dir
            .to_str()
            .expect("a temporary directory has a plain name");
        let (mut client, ready) = Driver::go("status", "statuspeer", &["--dir", dir]);
        client.call("add_peer", json!({"enode": relay}));
        wait_until(
            "connection of a Status client",
            Duration::from_secs(30),
            || {
                client.call("peers", json!({}))["peers"]
                    .as_array()
                    .is_some_and(|peers| !peers.is_empty())
            },
        );
        Self {
            client,
            key: text(&ready, "public_key"),
        }
    }

    fn say_in_public(&mut self, words: &str) -> String {
        text(
            &self
                .client
                .call("send_public", json!({"name": CHAT, "text": words})),
            "message",
        )
    }

    fn say_to(&mut self, other: &str, words: &str) -> String {
        text(
            &self
                .client
                .call("send_private", json!({"to": other, "text": words})),
            "message",
        )
    }

    /// Waits for a message with these words from somebody.
    fn hears(&mut self, from: &str, words: &str) -> Value {
        let from = from.to_owned();
        self.client.wait(words, ARRIVES_WITHIN, |event| {
            event["event"] == "message" && event["text"] == words && event["from"] == from.as_str()
        })
    }

    /// No message is shown that was not waited for: none came twice.
    fn heard_nothing_else(&mut self) {
        let own = self.key.clone();
        let more = self
            .client
            .take(|event| event["event"] == "message" && event["from"] != own.as_str());
        assert!(more.is_empty(), "shown twice or unasked: {more:?}");
    }

    /// What was shown and not waited for; all of it is from the public chat.
    fn shown_in_public(&mut self) -> Vec<String> {
        let own = self.key.clone();
        let shown = self
            .client
            .take(|event| event["event"] == "message" && event["from"] != own.as_str());
        let texts: Vec<String> = shown.iter().map(|event| text(event, "text")).collect();
        let private = texts.iter().find(|words| !words.starts_with("public"));
        assert_eq!(private, None, "shown twice");
        texts
    }

    /// The messages of a chat in the messenger's own database that are not its own.
    fn stored(&mut self, chat: &str) -> Vec<String> {
        let own = self.key.clone();
        let answer = self.client.call("chat_messages", json!({"chat": chat}));
        let messages = answer["messages"].as_array().cloned().unwrap_or_default();
        messages
            .iter()
            .filter(|message| message["from"] != own.as_str())
            .map(|message| text(message, "text"))
            .collect()
    }

    /// Waits until no MVDS record is left to send; what is left if that does not come.
    fn settles(&mut self) -> Result<(), Value> {
        let end = Instant::now() + ARRIVES_WITHIN;
        loop {
            let answer = self.client.call("mvds_pending", json!({}));
            if answer["pending"] == 0 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(answer["states"].clone());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl World {
    fn new(devnet_arguments: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let (geth, ready) = Driver::go("geth", "gethpeer", &["--min-pow", "0.001"]);
        let relay = text(&ready, "enode");
        let mut arguments = vec!["--whisper-peer", &relay];
        arguments.extend_from_slice(devnet_arguments);
        let devnet = Devnet::start(&dir.path().join("devnet"), &arguments);
        let near = Person::start(&dir.path().join("near"), &devnet.of("edges", 0, "enode"));
        let far = Person::start(&dir.path().join("far"), &relay);
        let mut world = Self {
            near,
            far,
            devnet,
            _geth: geth,
            _dir: dir,
        };
        world.near.client.call("join_public", json!({"name": CHAT}));
        world.far.client.call("join_public", json!({"name": CHAT}));
        world.follow();
        world
    }

    /// Waits until what the near client asks for is registered at the bridge.
    fn follow(&self) {
        self.devnet.wait_registered(0);
    }

    /// What edge and bridge say of themselves, for when a test fails.
    fn diagnosis(&self) -> String {
        let info = |kind| self.devnet.get(kind, 0, "/v1/info");
        let (edge, bridge) = (info("edges"), info("bridges"));
        format!(
            "edge: {} {}\nbridge: {} {}",
            edge["edge"],
            self.devnet.counters("edges"),
            bridge["bridge"],
            self.devnet.counters("bridges")
        )
    }

    /// One message each way in the public chat.
    fn public_turn(&mut self, turn: usize) {
        let (there, back) = (
            format!("public {turn} from near"),
            format!("public {turn} from far"),
        );
        self.near.say_in_public(&there);
        self.far.hears(&self.near.key.clone(), &there);
        self.far.say_in_public(&back);
        self.near.hears(&self.far.key.clone(), &back);
    }

    /// One message each way in the public chat, which nobody waits for.
    fn say_in_public_both_ways(&mut self, turn: usize) {
        self.near.say_in_public(&format!("public {turn} from near"));
        self.far.say_in_public(&format!("public {turn} from far"));
    }

    /// One 1:1 message each way.
    fn private_turn(&mut self, turn: usize) {
        let (there, back) = (
            format!("private {turn} from near"),
            format!("private {turn} from far"),
        );
        self.near.say_to(&self.far.key.clone(), &there);
        self.far.hears(&self.near.key.clone(), &there);
        self.far.say_to(&self.near.key.clone(), &back);
        self.near.hears(&self.far.key.clone(), &back);
    }

    /// No MVDS record is left on either side.
    fn settle(&mut self) {
        for (who, left) in [("near", self.near.settles()), ("far", self.far.settles())] {
            if let Err(left) = left {
                panic!("{who} keeps MVDS records: {left}\n{}", self.diagnosis());
            }
        }
    }

    /// Everything said is stored once, and nothing was shown twice.
    fn count(
        &mut self,
        near_private: usize,
        far_private: usize,
        near_public: usize,
        far_public: usize,
    ) {
        self.near.heard_nothing_else();
        self.far.heard_nothing_else();
        self.count_private(near_private, far_private);
        assert_eq!(
            unique(self.near.stored(CHAT)),
            near_public,
            "public messages that near keeps"
        );
        assert_eq!(
            unique(self.far.stored(CHAT)),
            far_public,
            "public messages that far keeps"
        );
    }

    /// Every 1:1 message is stored once.
    fn count_private(&mut self, near_private: usize, far_private: usize) {
        let (near, far) = (self.near.key.clone(), self.far.key.clone());
        assert_eq!(
            unique(self.near.stored(&far)),
            near_private,
            "1:1 messages that near keeps"
        );
        assert_eq!(
            unique(self.far.stored(&near)),
            far_private,
            "1:1 messages that far keeps"
        );
    }
}

/// How many there are; fails if one is there twice.
fn unique(mut texts: Vec<String>) -> usize {
    let all = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), all, "a message is stored twice");
    all
}

fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
        .to_owned()
}

#[test]
fn public_and_private_chats_both_ways() {
    let mut world = World::new(&["--relays", "3"]);
    for turn in 0..TURNS {
        world.public_turn(turn);
    }
    for turn in 0..TURNS {
        world.private_turn(turn);
    }
    world.settle();
    world.count(TURNS, TURNS, TURNS, TURNS);
}

#[test]
fn a_bridge_that_is_killed_in_the_middle_loses_and_doubles_nothing() {
    let mut world = World::new(&["--relays", "3"]);
    world.private_turn(0);
    // Said while the bridge dies: from the edge's side, and from Whisper's side just before and just after.
    let (near, far) = (world.near.key.clone(), world.far.key.clone());
    let bridge = world.devnet.of("bridges", 0, "name");
    world.near.say_to(&far, "near before the kill");
    world.far.say_to(&near, "far before the kill");
    world.devnet.kill(&bridge);
    world.near.say_to(&far, "near while the bridge is down");
    world
        .near
        .say_in_public("near in public while the bridge is down");
    world.far.say_to(&near, "far while the bridge is down");
    world.devnet.restart(&bridge);
    for words in [
        "near before the kill",
        "near while the bridge is down",
        "near in public while the bridge is down",
    ] {
        world.far.hears(&near, words);
    }
    for words in ["far before the kill", "far while the bridge is down"] {
        world.near.hears(&far, words);
    }
    world.private_turn(1);
    world.count(4, 4, 0, 1);
}

#[test]
fn one_of_five_relays_may_die() {
    let mut world = World::new(&["--relays", "5"]);
    world.private_turn(0);
    let (near, far) = (world.near.key.clone(), world.far.key.clone());
    world.near.say_to(&far, "near before the relay dies");
    world.far.say_to(&near, "far before the relay dies");
    let relay = world.devnet.of("relays", 2, "name");
    world.devnet.kill(&relay);
    world.near.say_to(&far, "near without the relay");
    world.far.say_to(&near, "far without the relay");
    for words in ["near before the relay dies", "near without the relay"] {
        world.far.hears(&near, words);
    }
    for words in ["far before the relay dies", "far without the relay"] {
        world.near.hears(&far, words);
    }
    for turn in 1..5 {
        world.private_turn(turn);
    }
    world.count(7, 7, 0, 0);
}

/// Every relay loses a tenth of all packets, so that a path of three loses more than a quarter; then one of five dies as well.
/// What MVDS carries arrives. In a public chat nobody repeats a message, and what comes after the quarter of a minute that its envelope
/// lives is not shown: such a message may be lost, never doubled.
#[test]
fn lost_packets_and_a_dead_relay_lose_and_double_nothing() {
    let mut world = World::new(&["--relays", "5", "--loss", "10"]);
    let relay = world.devnet.of("relays", 4, "name");
    let (near, far) = (world.near.key.clone(), world.far.key.clone());
    for turn in 0..4 {
        world.say_in_public_both_ways(turn);
        world.private_turn(turn);
    }
    world.near.say_to(&far, "near before the relay dies");
    world.far.say_to(&near, "far before the relay dies");
    world.devnet.kill(&relay);
    world.far.hears(&near, "near before the relay dies");
    world.near.hears(&far, "far before the relay dies");
    for turn in 4..8 {
        world.say_in_public_both_ways(turn);
        world.private_turn(turn);
    }
    // status-go does not ack what it has seen before, so a record whose ack was lost stays with its sender: only the messages count.
    world.count_private(9, 9);
    for person in [&mut world.near, &mut world.far] {
        let shown = unique(person.shown_in_public());
        assert!(shown > 0, "of 8 public messages none was shown");
        assert!(unique(person.stored(CHAT)) >= shown, "shown, but not kept");
    }
    let lost = world
        .devnet
        .metric("relays", "mix_dropped_total", "test_loss");
    assert!(lost > 0.0, "no packet was lost");
}
