//! An edge that is away, on real nodes: the bridge leaves what it owes in two mailboxes, dies, and the edge finds it.

use super::*;

/// The bridge of this devnet takes an edge for absent after a few seconds, not after minutes.
const AFTER: (&str, &str) = ("FERRY_BRIDGE_MAILBOX_AFTER_SECONDS", "8");

/// Waits until a node says so.
fn until(node: &Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let info = get(node, "/v1/info");
        if is_so(&info) {
            return info;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {info}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "waits for real clocks of real nodes: make mailbox"]
fn an_edge_that_was_away_gets_what_the_bridge_left_though_the_bridge_is_gone() {
    let args = ["--mailboxes", "2", "--relays", "3"];
    let mut devnet = Devnet::start_with(&args, &[AFTER]);
    let (edge, bridge) = (
        devnet.ready["edges"][0].clone(),
        devnet.ready["bridges"][0].clone(),
    );
    let near = devnet.ready["whisper"][0].clone();
    assert_eq!(devnet.ready["mailboxes"].as_array().unwrap().len(), 2);

    // The client says what it wants, and the live way works.
    let at_the_edge = listens(&edge, "1");
    until(&edge, "registered", |info| {
        info["edge"]["registered"] == true
    });
    sends(&near, "while it is there");
    assert_eq!(heard(at_the_edge), ["while it is there"]);

    devnet.tell(&json!({"op": "kill", "name": "edge-1"}));
    devnet.event("killed");
    let away = until(&bridge, "away", |info| info["bridge"]["clients_away"] == 1);
    // Whether the last live message was acknowledged in time is chance; if not, it is owed as well.
    let owed = away["bridge"]["deliveries_waiting"].as_u64().unwrap();
    let texts = ["one", "two", "three"];
    for text in texts {
        sends_for(&near, text, "900");
    }
    until(&bridge, "left", |info| {
        let bridge = &info["bridge"];
        bridge["messages_left"] == owed + 3 && bridge["payloads_leaving"] == 0
    });
    let cells: u64 = devnet.ready["mailboxes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| get(node, "/v1/info")["mailbox"]["cells"].as_u64().unwrap())
        .sum();
    assert!(cells >= 2, "{cells} cells are kept");

    devnet.tell(&json!({"op": "kill", "name": "bridge-1"}));
    devnet.event("killed");
    devnet.tell(&json!({"op": "restart", "name": "edge-1"}));
    devnet.event("restarted");
    devnet.event("node_ready");
    let at_the_edge = listens(&edge, "3");
    let mut got = heard(at_the_edge);
    got.sort();
    assert_eq!(got, ["one", "three", "two"]);
    until(&edge, "found", |info| info["edge"]["from_mailboxes"] == 3);
    devnet.stop();
}
