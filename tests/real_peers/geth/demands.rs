//! What peers ask for: bloom filters and proof of work, at the start and changed later.
//!
//! Nothing tells when an envelope was *not* sent. Each test therefore posts, after those that must stay, one that must
//! go: what leaves for a peer is decided for all of them at once, so when it has gone, the others have been passed over.

use legacy::shh::seal::{SealTo, SymKey};
use legacy::shh::{Bloom, Envelope, Topic};
use serde_json::json;

use super::ours::Ours;
use super::theirs::{Dialler, Geth, connect};

const KEY: [u8; 32] = [7; 32];

/// All bits of one byte: of the form that go-ethereum computes, only the last is left.
const COLLIDING: [Topic; 2] = [Topic::new([1, 2, 3, 0]), Topic::new([8, 9, 10, 0])];

fn key() -> SymKey {
    SymKey::from_bytes(&KEY).expect("a key")
}

fn sealed(ours: &mut Ours, topic: Topic) -> Envelope {
    ours.seal(SealTo::Symmetric(&key()), None, topic, b"some text", 0.3)
}

#[test]
fn geth_gets_only_the_topics_of_its_bloom_filter() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    // At the handshake it wants nothing at all, as a Status client does.
    geth.call(
        "set_bloom",
        json!({"bloom": hex::encode(Bloom::EMPTY.as_bytes())}),
    );
    connect(Dialler::Geth, &mut ours, &mut geth);
    assert_eq!(
        ours.peer(&geth.id).wants.and_then(|wants| wants.bloom),
        Some(Bloom::EMPTY)
    );
    let [wanted, later, never] = ["wanted", "later", "never"].map(Topic::of_name);
    let early = sealed(&mut ours, later);
    let other = sealed(&mut ours, never);
    ours.post(&early);
    ours.post(&other);
    // Subscribing, it tells its filter bit by bit.
    let sym_key = geth.sym_key(&KEY);
    let topics: Vec<Topic> = COLLIDING.into_iter().chain([wanted]).collect();
    for topic in &topics {
        let topic = hex::encode(topic.as_bytes());
        geth.call("subscribe", json!({"sym_key": sym_key, "topics": [topic]}));
    }
    let all = Bloom::of_topics(topics.iter().copied());
    ours.wait_interest(&geth.id, |bloom, _| {
        bloom.is_some_and(|bloom| topics.iter().all(|topic| bloom.wants(*topic)))
    });
    assert!(
        !all.wants(later) && !all.wants(never),
        "the topics of this test share no bits"
    );
    for topic in &topics {
        let envelope = sealed(&mut ours, *topic);
        let hash = ours.post(&envelope);
        let message = geth.wait_message(&hash.to_string());
        assert_eq!(message["topic"], hex::encode(topic.as_bytes()));
        assert_eq!(message["payload"], hex::encode("some text"));
    }
    let sent = ours.sent(&geth.id);
    assert_eq!(sent.len(), topics.len(), "nothing but what it asked for");
    // A filter that grows lets in what has been waiting.
    geth.call(
        "subscribe",
        json!({"sym_key": sym_key, "topics": [hex::encode(later.as_bytes())]}),
    );
    geth.wait_message(&early.hash().to_string());
    assert!(
        !geth.pool().contains(&other.hash().to_string()),
        "this topic was never asked for"
    );
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn geth_sends_only_the_topics_of_our_bloom_filter() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let [wanted, never] = ["wanted", "never"].map(Topic::of_name);
    let topics = [COLLIDING[0], COLLIDING[1], wanted];
    ours.set_bloom(Bloom::of_topics(topics));
    // It reads in order: what was posted after the filter was told comes after it.
    let behind = sealed(&mut ours, never);
    let hash = ours.post(&behind);
    geth.wait_pooled(&hash.to_string());
    let sym_key = geth.sym_key(&KEY);
    let mut post = |topic: Topic| {
        let topic = hex::encode(topic.as_bytes());
        geth.post(
            json!({"sym_key": sym_key, "ttl": 60, "topic": topic, "payload": "aa",
            "pow_target": 0.3, "pow_time": 20}),
        )
    };
    let unwanted = post(never);
    for topic in topics {
        let hash = post(topic);
        assert_eq!(ours.wait_envelope(&hash).topic(), topic);
    }
    assert_eq!(ours.times_new(&unwanted), 0);
    assert_eq!(ours.counters().shh.envelopes_received, 3);
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn geth_raises_and_lowers_the_work_that_it_asks_for() {
    let mut ours = Ours::start(1, |config| config.shh.min_pow = 0.001);
    let mut geth = Geth::start(&["--min-pow", "0.001"]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let (key, topic) = (key(), Topic::of_name("work"));
    // Perhaps on its way when the new value comes: that is no offence for ten seconds.
    let on_the_way = ours.seal_between(&key, topic, 0.01, 0.5);
    ours.post(&on_the_way);
    geth.call("min_pow", json!({"pow": 0.5}));
    ours.wait_interest(&geth.id, |_, min_pow| min_pow == 0.5);
    let below = ours.seal_between(&key, topic, 0.01, 0.5);
    let above = ours.seal_between(&key, topic, 0.5, 1e9);
    ours.post(&below);
    let hash = ours.post(&above);
    ours.wait_sent(hash, &geth.id);
    geth.wait_pooled(&hash.to_string());
    assert!(
        !ours.sent(&geth.id).contains(&below.hash()),
        "sent below what it asks for"
    );
    geth.call("min_pow", json!({"pow": 0.001}));
    geth.wait_pooled(&below.hash().to_string());
    geth.wait_pooled(&on_the_way.hash().to_string());
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn messages_of_status_do_not_go_to_a_geth_of_default_work() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    connect(Dialler::Geth, &mut ours, &mut geth);
    let (key, topic) = (key(), Topic::of_name("status"));
    let light: Vec<Envelope> = (0..5)
        .map(|_| ours.seal_between(&key, topic, 0.002, 0.2))
        .collect();
    for envelope in &light {
        ours.post(envelope);
    }
    let heavy = ours.seal_between(&key, topic, 0.2, 1e9);
    let hash = ours.post(&heavy);
    geth.wait_pooled(&hash.to_string());
    assert_eq!(ours.sent(&geth.id).into_iter().collect::<Vec<_>>(), [hash]);
    assert_eq!(geth.pool().len(), 1);
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}
