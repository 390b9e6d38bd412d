//! Case 42: direct messages and trust, each way.

use legacy::shell::Event;
use legacy::shh::Topic;
use legacy::shh::seal::{SealTo, SymKey};
use legacy::shh::{Draft, Envelope};
use serde_json::json;

use super::PATIENCE;
use super::ours::{Ours, unix_now};
use super::theirs::{Dialler, Geth, connect, text};
use crate::devnet::wait_until;

const KEY: [u8; 32] = [9; 32];
const TOPIC: Topic = Topic::new(*b"p2p!");

fn straight(geth: &mut Geth, ours: &Ours, key: &str, payload: &str) -> String {
    geth.post(
        json!({"sym_key": key, "ttl": 10, "topic": hex::encode(TOPIC.as_bytes()),
        "payload": hex::encode(payload), "target_peer": ours.enode()}),
    )
}

#[test]
fn geth_writes_to_us_directly_and_is_heard_when_trusted() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let key = geth.sym_key(&KEY);
    let unheard = straight(&mut geth, &ours, &key, "too early");
    wait_until("skipped message", PATIENCE, || {
        ours.counters().shh.untrusted_messages == 1
    });
    ours.trust(&geth.id, true);
    let heard = straight(&mut geth, &ours, &key, "now");
    assert_eq!(ours.wait_direct(&heard).topic(), TOPIC);
    // Trust is not the connection's: it holds when the peer comes back.
    geth.call("remove_peer", json!({"enode": ours.enode()}));
    ours.wait("a lost connection", |event| {
        matches!(event, Event::PeerDown { .. }).then_some(())
    });
    // We dial again; geth would wait for half a minute.
    wait_until("connection", PATIENCE, || {
        ours.peers().iter().any(|peer| peer.wants.is_some()) && geth.peer(&ours.id()).is_some()
    });
    let again = straight(&mut geth, &ours, &key, "again");
    ours.wait_direct(&again);
    // None of it is in the pool, and what came too early did not come late.
    let direct = |event: &Event| matches!(event, Event::Direct { envelope, .. } if envelope.hash().to_string() == unheard);
    assert!(!ours.log().iter().any(direct));
    assert_eq!(ours.counters().pooled, 0);
}

/// An envelope that died long ago, without any work.
fn dead(payload: &[u8], ours_seals: &mut Ours) -> Envelope {
    let key = SymKey::from_bytes(&KEY).expect("a key");
    let sealed = ours_seals.seal(SealTo::Symmetric(&key), None, TOPIC, payload, 0.0);
    Draft::new(unix_now() - 1_000, 10, TOPIC, sealed.data()).finish(0)
}

#[test]
fn we_write_to_geth_directly_and_only_filters_for_it_hear() {
    let mut ours = Ours::without_work(1);
    let mut geth = Geth::start(&["--min-pow", "5"]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let key = geth.sym_key(&KEY);
    let topics = json!([hex::encode(TOPIC.as_bytes())]);
    let filter = |geth: &mut Geth, direct: bool| {
        let fields = json!({"sym_key": key, "topics": topics, "allow_p2p": direct});
        text(&geth.call("subscribe", fields), "filter")
    };
    let (with, without) = (filter(&mut geth, true), filter(&mut geth, false));
    let (early, late) = (dead(b"early", &mut ours), dead(b"late", &mut ours));
    ours.post_direct(&geth.id, &early);
    // It reads in order, so that what it knows of an envelope behind tells that the direct one is through.
    let behind = ours.seal(
        SealTo::Symmetric(&SymKey::from_bytes(&[1; 32]).expect("a key")),
        None,
        TOPIC,
        b"behind",
        6.0,
    );
    let hash = ours.post(&behind);
    geth.wait_pooled(&hash.to_string());
    geth.call("trust_peer", json!({"enode": ours.enode()}));
    ours.post_direct(&geth.id, &late);
    let message = geth.wait_message(&late.hash().to_string());
    assert_eq!(message["filter"], with.as_str(), "not {without}");
    assert_eq!(message["payload"], hex::encode("late"));
    assert!(
        geth.take_messages().is_empty(),
        "what came too early is lost"
    );
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}
