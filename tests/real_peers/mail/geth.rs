//! go-ethereum's mailserver and its clients: raw requests, one envelope per packet, and no completion.

use std::collections::BTreeSet;

use legacy::mailserver::client::Sealed;
use legacy::shh::message::Padding;
use legacy::shh::seal::{SealTo, SymKey, seal};
use legacy::shh::{Bloom, Envelope, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

use super::{
    PASSWORD, an_hour_ago, direct, fill, hashes, history, mailserver, numbers, request, sealed,
    sorted, wait_expired,
};
use crate::devnet::wait_until;
use crate::geth::PATIENCE;
use crate::geth::ours::{Ours, unix_now};
use crate::geth::theirs::{Dialler, Geth, connect, text};

const KEY: [u8; 32] = [7; 32];

fn raw(from: u32, to: u32, bloom: Option<Bloom>) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(bloom.iter().flat_map(|bloom| bloom.as_bytes().to_vec()));
    bytes
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

/// Waits until so many messages have come since the last time.
fn caught(geth: &mut Geth, count: usize) -> BTreeSet<String> {
    let mut found = Vec::new();
    wait_until("so many messages", PATIENCE, || {
        found.extend(geth.take_messages());
        found.len() >= count
    });
    found
        .iter()
        .map(|message: &Value| text(message, "hash"))
        .collect()
}

#[test]
fn its_client_gets_what_it_asks_of_us_one_by_one() {
    let [one, two] = ["one", "two"].map(Topic::of_name);
    let (mut ours, _folder) = mailserver(1, |_| {});
    let first = sealed_history(12, one);
    let second = sealed_history(5, two);
    let all: Vec<Envelope> = first.iter().chain(&second).cloned().collect();
    fill(&ours, &all);
    wait_expired(&ours);
    let mut geth = Geth::start(&["--min-pow", "0.001"]);
    let key = geth.sym_key(&KEY);
    let topics = [one, two].map(|topic| hex::encode(topic.as_bytes()));
    geth.call(
        "subscribe",
        json!({"sym_key": key, "topics": topics, "allow_p2p": true}),
    );
    connect(Dialler::Geth, &mut ours, &mut geth);
    let password = text(
        &geth.call("sym_key_from_password", json!({"password": PASSWORD})),
        "key",
    );
    let enode = ours.enode();
    let ask = |geth: &mut Geth, payload: Vec<u8>| {
        let payload = hex::encode(payload);
        geth.call(
            "request_mail",
            json!({"enode": enode, "sym_key": password, "payload": payload}),
        );
    };
    let names = |envelopes: &[Envelope]| -> BTreeSet<String> {
        envelopes
            .iter()
            .map(|envelope| envelope.hash().to_string())
            .collect()
    };
    let (from, to) = (an_hour_ago(), unix_now());
    ask(&mut geth, raw(from, to, None));
    assert_eq!(caught(&mut geth, 17), names(&all));
    ask(&mut geth, raw(from, to, Some(Bloom::of_topics([two]))));
    assert_eq!(caught(&mut geth, 5), names(&second));
    ask(&mut geth, raw(from, to, Some(Bloom::FULL)));
    assert_eq!(caught(&mut geth, 17), names(&all));
    // To the key of our node, and of a length that no form has: it hears nothing, and stays.
    let bad = hex::encode([0; 9]);
    geth.call("request_mail", json!({"enode": enode, "payload": bad}));
    wait_until("a request that is refused", PATIENCE, || {
        let counters = ours.counters().mail.server.expect("a mailserver");
        counters.requests["invalid"] == 1
    });
    assert_eq!(geth.take_messages(), Vec::<Value>::new());
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn its_server_answers_our_raw_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path");
    let mut geth = Geth::start(&["--min-pow", "0.000001", "--mail", path]);
    let mut ours = Ours::without_work(1);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let topic = Topic::of_name("history");
    let envelopes = history(12, topic, 300, numbers);
    for envelope in &envelopes {
        ours.post(envelope);
    }
    for envelope in &envelopes {
        geth.wait_pooled(&envelope.hash().to_string());
    }
    let everything = ours
        .request_history(request(&geth.id, sealed(Sealed::Raw)))
        .expect("its history");
    // It never says that this was all.
    assert_eq!((everything.envelopes, everything.complete), (12, false));
    wait_until("what it sent", PATIENCE, || direct(&mut ours).len() == 12);
    assert_eq!(hashes(&direct(&mut ours)), sorted(&envelopes));
    let mut narrow = request(&geth.id, sealed(Sealed::Raw));
    narrow.lower = envelopes[4].sent();
    narrow.upper = envelopes[7].sent();
    narrow.bloom = Bloom::of_topics([topic]);
    let part = ours.request_history(narrow).expect("its history");
    assert_eq!(part.envelopes, 4);
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}
