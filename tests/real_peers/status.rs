//! One Whisper node of ours and one Status client: confirmations and rate limits, cases 38 to 40.
//!
//! A client shows a message as sent when its peer confirms the bundle, and only then: its event `sent` is the proof.

use std::time::Duration;

use legacy::shell::Event;
use legacy::shh::node::Confirmations;
use legacy::shh::{Output, Topic};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::driver::Driver;
use crate::geth::ours::{Ours, mined};
use crate::geth::skewed::Skewed;

/// The app waits for the confirmation of a relay somewhere in the world; here it has no way to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client, and the directory that it lives in.
struct Client {
    driver: Driver,
    id: String,
    enode: String,
    _dir: TempDir,
}

impl Client {
    fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().to_str().expect("a plain name").to_owned();
        let arguments = [&["--dir", &path], arguments].concat();
        let (driver, ready) = Driver::go("status", "statuspeer", &arguments);
        let field = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: field("node_id"),
            enode: field("enode"),
            driver,
            _dir: dir,
        }
    }

    /// Connects it to a node of ours.
    fn join(&mut self, ours: &mut Ours) {
        self.driver.call("add_peer", json!({"enode": ours.enode()}));
        ours.wait_interest(&self.id, |_, _| true);
    }

    fn say(&mut self, words: &str) {
        let fields = json!({"name": "confirmed", "text": words});
        self.driver.call("send_public", fields);
    }

    fn never_lost(&mut self) {
        let lost = self.driver.take(|event| event["event"] == "peer_down");
        assert!(
            lost.is_empty(),
            "connections that the client lost: {lost:?}"
        );
    }
}

fn is_sent(event: &Value) -> bool {
    event["event"] == "sent"
}

#[test]
fn case_38_a_message_counts_as_sent_when_we_confirm_it() {
    let mut ours = Ours::start(1, |config| config.shh.min_pow = 0.001);
    let mut client = Client::start(&[]);
    client.join(&mut ours);
    let wants = ours.peer(&client.id).wants.expect("its Status is here");
    assert!(wants.confirmations);
    client.say("hello");
    client.driver.wait("tick of the message", PATIENCE, is_sent);
    let counters = ours.counters().shh;
    assert!(counters.confirmations_sent > 0 && counters.accepted > 0);
    client.never_lost();
    ours.lost_nobody();
}

#[test]
fn case_38_a_held_confirmation_holds_the_tick() {
    let mut ours = Ours::start(1, |config| {
        config.shh.min_pow = 0.001;
        config.shh.confirmations = Confirmations::Held;
    });
    let mut client = Client::start(&[]);
    client.join(&mut ours);
    client.say("hello");
    let first = ours.wait("an envelope", |event| match event {
        Event::Envelope { envelope, .. } => Some(envelope.hash()),
        _ => None,
    });
    let early = client.driver.wait_for(Duration::from_secs(2), &is_sent);
    assert_eq!(early, None, "nothing is released");
    // The client seals anew what is not confirmed, and that counts for the same message.
    ours.release(first);
    if client
        .driver
        .wait_for(Duration::from_secs(3), &is_sent)
        .is_none()
    {
        let all: Vec<_> = ours
            .log()
            .iter()
            .filter_map(|event| match event {
                Event::Envelope { envelope, .. } => Some(envelope.hash()),
                _ => None,
            })
            .collect();
        all.into_iter().for_each(|hash| ours.release(hash));
        client.driver.wait("tick of the message", PATIENCE, is_sent);
    }
    ours.lost_nobody();
}

#[test]
fn a_client_confirms_what_we_send() {
    let mut ours = Ours::start(1, |config| config.shh.min_pow = 0.0);
    let mut client = Client::start(&["--bloom", "full"]);
    client.join(&mut ours);
    let envelope = mined(60, Topic::of_name("ours"), b"anything", 0.01);
    let hash = ours.post(&envelope);
    let faults = ours.wait("a confirmation", |event| match event {
        Event::Confirmed { hashes, faults, .. } if hashes.contains(&hash) => Some(faults.clone()),
        _ => None,
    });
    assert_eq!(faults, []);
    ours.lost_nobody();
}

#[test]
fn case_39_an_envelope_from_the_future_is_named_and_nobody_leaves() {
    let mut client = Client::start(&["--bloom", "full"]);
    let mut ours = Skewed::dial(&client.enode, 13);
    let hash = ours.post(30, b"future", 0.3);
    let named = |output: &Output| match output {
        Output::Confirmed { hashes, faults, .. } if hashes.contains(&hash) => Some(faults.clone()),
        _ => None,
    };
    ours.run_until("confirmation", |ours| {
        ours.outputs.iter().any(|output| named(output).is_some())
    });
    let faults = ours.outputs.iter().find_map(named).expect("it came");
    assert_eq!((faults.len(), faults[0].envelope), (1, hash));
    assert!([36, 37].contains(&faults[0].code), "{faults:?}");
    assert_eq!(ours.left, None);
    client.never_lost();
}

#[test]
fn case_40_we_stay_within_the_limits_of_a_client() {
    let mut ours = Ours::start(1, |config| config.shh.min_pow = 0.0);
    let limits = [
        "--bloom",
        "full",
        "--rate-limit",
        "5",
        "--rate-tolerance",
        "1",
    ];
    let mut client = Client::start(&limits);
    client.join(&mut ours);
    // Ten seconds of traffic each way, at ten times what fits, packet by packet.
    for second in 0..10u32 {
        client.say(&format!("second {second}"));
        for turn in 0..50u32 {
            let data = [second.to_be_bytes(), turn.to_be_bytes()].concat();
            ours.post(&mined(60, Topic::of_name("load"), &data, 0.002));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let last = mined(60, Topic::of_name("load"), b"last", 0.01);
    let hash = ours.post(&last);
    ours.wait_sent(hash, &client.id);
    client.never_lost();
    ours.lost_nobody();
    let counters = ours.counters().shh;
    assert!(counters.envelopes_sent >= 500 && counters.confirmations_sent > 0);
}
