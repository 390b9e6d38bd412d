//! Connections: who dials, what Status says, a full house, pings.

use std::time::{Duration, Instant};

use legacy::rlpx::Direction;
use legacy::shell::Event;
use legacy::shh::Topic;
use legacy::shh::seal::{SealTo, SymKey};

use super::PATIENCE;
use super::ours::Ours;
use super::theirs::{Dialler, Geth, connect};
use crate::devnet::wait_until;

#[test]
fn we_dial_geth() {
    meet(Dialler::Ours);
}

#[test]
fn geth_dials_us() {
    meet(Dialler::Geth);
}

fn meet(dialler: Dialler) {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    connect(dialler, &mut ours, &mut geth);
    let direction = match dialler {
        Dialler::Ours => Direction::Dialled,
        Dialler::Geth => Direction::Accepted,
    };
    let up = ours.wait("connection", |event| match event {
        Event::PeerUp { node, direction } => Some((hex::encode(node.as_bytes()), *direction)),
        _ => None,
    });
    assert_eq!(up, (geth.id.clone(), direction));
    // What its Status says: it is a full node, and asks for go-ethereum's own default of work.
    let info = ours.peer(&geth.id);
    let wants = info.wants.expect("its Status is read");
    assert_eq!(
        (wants.min_pow, wants.bloom, wants.light),
        (0.2, None, false)
    );
    assert_eq!((wants.confirmations, wants.rate_limits), (false, None));
    assert_eq!(info.direction, direction);
    assert!(
        info.client_name.starts_with("ferry-interop/"),
        "{}",
        info.client_name
    );
    // What it understood of ours.
    let peer = geth.peer(&ours.id()).expect("it is connected");
    assert_eq!(peer["inbound"], dialler == Dialler::Ours, "{peer}");
    assert_eq!(peer["caps"], serde_json::json!(["shh/6"]));
    let name = peer["name"].as_str().expect("a name");
    assert!(name.starts_with("ferry/"), "{name}");
    assert_eq!(ours.counters().shh.late_statuses, 0);
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn a_full_geth_is_left_alone_for_a_while() {
    // Of two places go-ethereum keeps one for whom it dials itself.
    let mut geth = Geth::start(&["--max-peers", "2"]);
    let mut first = Ours::start(1, |_| {});
    connect(Dialler::Ours, &mut first, &mut geth);
    let second = Ours::start(2, |_| {});
    second.dial(&geth.enode);
    wait_until("refusal", PATIENCE, || {
        second.counters().closed.get("theirs_too_many_peers") == Some(&1)
    });
    // After any other end the next attempt would follow within 1.25 s.
    let end = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < end {
        assert_eq!(second.counters().dialled, 1, "it dials again too soon");
        std::thread::sleep(Duration::from_millis(100));
    }
    geth.never_lost(&first.id());
    first.lost_nobody();
}

/// Either side gives up a peer that says nothing for 30 s, so an idle connection lives on pings alone.
#[test]
fn pings_keep_an_idle_connection() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let lost = ours.wait_for(Duration::from_millis(31_000), |event| match event {
        Event::PeerDown { .. } => Some(()),
        _ => None,
    });
    assert_eq!(lost, None, "closed: {:?}", ours.counters().closed);
    let key = SymKey::from_bytes(&[9; 32]).expect("a key");
    let (to, topic) = (SealTo::Symmetric(&key), Topic::of_name("pings"));
    let envelope = ours.seal(to, None, topic, b"after silence", 0.3);
    let hash = ours.post(&envelope);
    geth.wait_pooled(&hash.to_string());
    geth.never_lost(&ours.id());
}
