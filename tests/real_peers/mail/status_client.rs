//! A client of status-go asks our mailserver, in every form that the library has.

use std::collections::BTreeSet;

use legacy::shh::message::Padding;
use legacy::shh::seal::{SealTo, SymKey, seal};
use legacy::shh::{Envelope, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PASSWORD, an_hour_ago, fill, history, mailserver, sorted, wait_expired};
use crate::devnet::wait_until;
use crate::driver::Driver;
use crate::geth::PATIENCE;
use crate::geth::ours::{Ours, unix_now};
use crate::geth::theirs::text;

const KEY: [u8; 32] = [7; 32];

/// A Status client that listens for direct messages of one topic, connected to our server.
struct Client {
    driver: Driver,
    password: String,
    server: String,
    _folder: TempDir,
    requests: u8,
}

impl Client {
    fn start(server: &mut Ours, topic: Topic) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a path").to_owned();
        let (mut driver, ready) = Driver::go("status", "statuspeer", &["--dir", &path]);
        let key = text(
            &driver.call("add_sym_key", json!({"sym": hex::encode(KEY)})),
            "key",
        );
        let topic = hex::encode(topic.as_bytes());
        driver.call("catch_direct", json!({"sym_key": key, "topic": topic}));
        let password = driver.call("add_sym_key", json!({"password": PASSWORD}));
        driver.call("add_peer", json!({"enode": server.enode()}));
        server.wait_interest(&text(&ready, "node_id"), |_, _| true);
        Self {
            password: text(&password, "key"),
            driver,
            server: server.enode(),
            _folder: folder,
            requests: 0,
        }
    }

    /// Asks for everything of the last hour, and returns what the completion says.
    fn ask(&mut self, form: &str, more: Value) -> Value {
        self.requests += 1;
        let mut fields =
            json!({"enode": self.server, "form": form, "from": an_hour_ago(), "to": unix_now()});
        match form {
            "plain" => fields["request"] = json!(hex::encode([self.requests; 32])),
            _ => fields["sym_key"] = json!(self.password),
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            fields[key] = value.clone();
        }
        let id = text(&self.driver.call("request_mail", fields), "request");
        self.driver
            .wait("the end of the request", PATIENCE, |event| {
                event["event"] == "mail_completed" && event["request"] == id
            })
    }

    /// Waits until so many direct messages have come since the last time.
    fn direct(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        wait_until("so many direct messages", PATIENCE, || {
            let taken = self.driver.take(|event| event["event"] == "direct");
            found.extend(taken.iter().map(|event| text(event, "hash")));
            found.len() >= count
        });
        found
    }
}

fn sealed_history(count: u32, topic: Topic) -> Vec<Envelope> {
    let key = SymKey::from_bytes(&KEY).expect("a key");
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    history(count, topic, 2, |number| {
        let payload = format!("number {number}");
        let to = SealTo::Symmetric(&key);
        seal(to, payload.as_bytes(), Padding::Random, None, &mut rng).expect("it fits")
    })
}

/// A server with a history whose envelopes are dead, so that they can come only from its archive.
fn filled(count: u32) -> (Ours, TempDir, Vec<String>, Topic) {
    let topic = Topic::of_name("history");
    let (server, folder) = mailserver(1, |_| {});
    let envelopes = sealed_history(count, topic);
    fill(&server, &envelopes);
    wait_expired(&server);
    let hashes = sorted(&envelopes).iter().map(ToString::to_string).collect();
    (server, folder, hashes, topic)
}

#[test]
fn every_form_brings_everything() {
    let (mut server, _folder, hashes, topic) = filled(9);
    let mut client = Client::start(&mut server, topic);
    for (form, more) in [
        ("plain", json!({})),
        ("seven", json!({})),
        ("six", json!({})),
        ("seven", json!({"sym_key": ""})),
    ] {
        let end = client.ask(form, more);
        assert_eq!(end["error"], Value::Null, "{form}: {end}");
        assert_eq!(text(&end, "last"), *hashes.last().expect("some"), "{form}");
        assert_eq!(text(&end, "cursor"), "", "{form}");
        let found: BTreeSet<String> = client.direct(9).into_iter().collect();
        assert_eq!(found, hashes.iter().cloned().collect(), "{form}");
    }
    let counters = server.counters().mail.server.expect("a mailserver");
    assert_eq!(
        (counters.requests["served"], counters.envelopes_sent),
        (4, 36)
    );
    server.lost_nobody();
}

#[test]
fn pages_lose_nothing_and_repeat_nothing() {
    let (mut server, _folder, hashes, topic) = filled(9);
    let mut client = Client::start(&mut server, topic);
    for form in ["plain", "seven"] {
        for limit in [1, 2, 4] {
            let (mut cursor, mut found) = (String::new(), Vec::new());
            loop {
                let end = client.ask(form, json!({"limit": limit, "cursor": cursor}));
                assert_eq!(end["error"], Value::Null, "{form}: {end}");
                let page = (9 - found.len()).min(limit);
                found.extend(client.direct(page));
                cursor = text(&end, "cursor");
                // A page that is full may be the last, and only the next tells.
                assert_eq!(cursor.is_empty(), page < limit, "{form}");
                if cursor.is_empty() {
                    break;
                }
            }
            // One page comes in any order: the library keeps it in a map until it is taken.
            assert_eq!(found.len(), 9, "{form}");
            let found: BTreeSet<String> = found.into_iter().collect();
            assert_eq!(found, hashes.iter().cloned().collect(), "{form}");
        }
    }
    server.lost_nobody();
}

#[test]
fn one_envelope_and_none() {
    let (mut server, _folder, hashes, topic) = filled(1);
    let mut client = Client::start(&mut server, topic);
    let end = client.ask("plain", json!({}));
    assert_eq!(text(&end, "last"), hashes[0]);
    assert_eq!(client.direct(1), hashes);
    let nothing = client.ask("plain", json!({"from": 1, "to": 2}));
    assert_eq!(text(&nothing, "last"), "0".repeat(64));
    assert_eq!(nothing["error"], Value::Null);
    server.lost_nobody();
}

#[test]
fn what_we_refuse_reaches_it_as_an_error() {
    let (mut server, _folder) = mailserver(1, |config| {
        config.rate_limit = std::time::Duration::from_secs(600);
    });
    let mut client = Client::start(&mut server, Topic::of_name("history"));
    let wrong = client
        .driver
        .call("add_sym_key", json!({"password": "something else"}));
    let wrong = text(&wrong, "key");
    for (more, error) in [
        (json!({"sym_key": wrong}), "failed to decrypt p2p request"),
        (
            json!({"limit": 1001}),
            "request is invalid: limit exceeds the maximum allowed value",
        ),
        (
            json!({"bloom": ""}),
            "request is invalid: bloom filter is empty",
        ),
    ] {
        assert_eq!(client.ask("seven", more)["error"], error);
    }
    assert_eq!(client.ask("plain", json!({}))["error"], Value::Null);
    assert_eq!(
        client.ask("plain", json!({}))["error"],
        "rate limit exceeded"
    );
    server.lost_nobody();
}
