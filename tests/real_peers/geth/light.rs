//! Cases 20 and 41: light nodes.

use legacy::shell::Event;
use legacy::shh::Topic;
use serde_json::json;

use super::PATIENCE;
use super::ours::Ours;
use super::theirs::{Dialler, Geth, connect};
use crate::devnet::wait_until;

const KEY: [u8; 32] = [3; 32];

#[test]
fn a_light_geth_says_so_on_new_connections_and_relays_all_the_same() {
    let mut ours = Ours::without_work(1);
    let mut light = Geth::start(&["--min-pow", "0"]);
    let mut far = Geth::start(&["--min-pow", "0"]);
    connect(Dialler::Ours, &mut ours, &mut light);
    light.call("light", json!({"light": true}));
    let says_light = |ours: &Ours, light: &Geth| {
        let wants = ours.peer(&light.id).wants;
        wants.expect("it has said its Status").light
    };
    light.call("add_peer", json!({"enode": far.enode}));
    let key = far.sym_key(&KEY);
    let topic = hex::encode(Topic::of_name("light").as_bytes());
    let hash = far.post(json!({"sym_key": key, "ttl": 60, "topic": topic, "payload": "aa"}));
    ours.wait_envelope(&hash);
    assert!(!says_light(&ours, &light), "this connection is older");
    light.call("remove_peer", json!({"enode": ours.enode()}));
    ours.wait("a lost connection", |event| {
        matches!(event, Event::PeerDown { .. }).then_some(())
    });
    // We dial again; geth would wait for half a minute.
    wait_until("new connection", PATIENCE, || {
        ours.peers().iter().any(|peer| peer.wants.is_some())
    });
    assert!(says_light(&ours, &light));
}

#[test]
fn two_light_nodes_part_and_a_light_one_of_ours_is_told_directly() {
    let mut ours = Ours::start(1, |config| {
        config.shh.min_pow = 0.0;
        config.shh.light = true;
    });
    let mut light = Geth::start(&["--min-pow", "0", "--light"]);
    light.call("add_peer", json!({"enode": ours.enode()}));
    ours.wait("a refused peer", |event| {
        matches!(event, Event::PeerDown { .. }).then_some(())
    });
    let mut full = Geth::start(&["--min-pow", "0"]);
    connect(Dialler::Ours, &mut ours, &mut full);
    let key = full.sym_key(&KEY);
    let topic = hex::encode(Topic::of_name("light").as_bytes());
    let hash = full.post(json!({"sym_key": key, "ttl": 60, "topic": topic, "payload": "aa"}));
    ours.wait_direct(&hash);
    assert_eq!(
        ours.times_new(&hash),
        0,
        "only filters for direct messages hear"
    );
    assert_eq!(ours.counters().pooled, 1);
    full.never_lost(&ours.id());
}
