//! Between nodes of go-ethereum: lines, crosswise arrivals, lives, and pools larger than a packet.

use legacy::shh::Topic;
use serde_json::json;

use super::PATIENCE;
use super::ours::{Ours, TTL, mined, unix_now};
use super::theirs::{Dialler, Geth, connect};
use crate::devnet::wait_until;

const TOPIC: Topic = Topic::new([0x70, 0xa4, 0xbe, 0xef]);
const KEY: [u8; 32] = [8; 32];

/// Starts a node of go-ethereum that takes messages without work, and names the key that it posts with.
fn poster() -> (Geth, String) {
    let mut geth = Geth::start(&["--min-pow", "0"]);
    let key = geth.sym_key(&KEY);
    (geth, key)
}

fn post(geth: &mut Geth, key: &str, payload: &[u8]) -> String {
    geth.post(
        json!({"sym_key": key, "ttl": TTL, "topic": hex::encode(TOPIC.as_bytes()),
        "payload": hex::encode(payload)}),
    )
}

#[test]
fn geths_at_both_ends_of_a_line() {
    let mut ours = Ours::without_work(1);
    let (mut left, left_key) = poster();
    let (mut right, right_key) = poster();
    connect(Dialler::Ours, &mut ours, &mut left);
    connect(Dialler::Geth, &mut ours, &mut right);
    for (turn, message) in [b"one", b"two"].into_iter().enumerate() {
        let there = post(&mut left, &left_key, message);
        right.wait_pooled(&there);
        let back = post(&mut right, &right_key, message);
        left.wait_pooled(&back);
        let both = 2 * (turn + 1);
        assert_eq!((left.pool().len(), right.pool().len()), (both, both));
        for hash in [there, back] {
            assert_eq!(ours.times_new(&hash), 1);
        }
    }
    // Each envelope came once and left once: an echo would have left with the next one for the same peer.
    let counters = ours.counters().shh;
    assert_eq!(counters.envelopes_sent, 4);
    // geth may echo: it notes only after storing an envelope who brought it, and its tick can fall between the two.
    assert_eq!(counters.envelopes_received - counters.duplicates, 4);
    assert_eq!(
        (ours.sent(&left.id).len(), ours.sent(&right.id).len()),
        (2, 2)
    );
    left.never_lost(&ours.id());
    right.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn the_same_envelope_from_two_geths() {
    let (mut one, key) = poster();
    let (mut two, _) = poster();
    two.call("add_peer", json!({"enode": one.enode}));
    let hash = post(&mut one, &key, b"twice");
    two.wait_pooled(&hash);
    // We do not relay until both have sent, or one of them would know that we have it.
    let mut ours = Ours::start(1, |config| {
        config.shh.min_pow = 0.0;
        config.shh.relay_tick_ms = 60_000;
    });
    connect(Dialler::Ours, &mut ours, &mut one);
    connect(Dialler::Ours, &mut ours, &mut two);
    wait_until("arrival from both", PATIENCE, || {
        ours.counters().shh.envelopes_received == 2
    });
    let counters = ours.counters();
    assert_eq!(
        (
            counters.shh.accepted,
            counters.shh.duplicates,
            counters.pooled
        ),
        (1, 1, 1)
    );
    ours.wait_envelope(&hash);
    assert_eq!(ours.times_new(&hash), 1);
    ours.lost_nobody();
}

#[test]
fn lives_end_in_time() {
    let mut ours = Ours::without_work(1);
    let [short, middle, long] = [1, 10, 3_600].map(|ttl| mined(ttl, TOPIC, &[0xcc; 100], 0.0));
    for envelope in [&short, &middle, &long] {
        ours.post(envelope);
    }
    for (expired, envelope) in [(1, &short), (2, &middle)] {
        wait_until("death", PATIENCE, || ours.counters().shh.expired == expired);
        let late = unix_now().checked_sub(envelope.expiry() + 1);
        assert!(
            late.is_some_and(|late| late <= 2),
            "{late:?} s after its last second"
        );
    }
    assert_eq!(ours.counters().pooled, 1);
    // Who comes late gets what is alive, and soon.
    let (mut geth, _) = poster();
    connect(Dialler::Geth, &mut ours, &mut geth);
    geth.wait_pooled(&long.hash().to_string());
    assert_eq!(geth.pool().len(), 1);
    assert_eq!(
        ours.sent(&geth.id).into_iter().collect::<Vec<_>>(),
        [long.hash()]
    );
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

/// go-ethereum takes packets of 1 MiB and sends its whole pool as one; here another node of its kind would be thrown out.
#[test]
fn a_pool_of_five_packets_for_a_new_geth() {
    const COUNT: usize = 17_000;
    let mut ours = Ours::without_work(1);
    for number in 0..COUNT {
        let mut data = [0xdd; 300];
        data[..8].copy_from_slice(&number.to_le_bytes());
        ours.post(&mined(TTL, TOPIC, &data, 0.0));
    }
    assert!(ours.counters().shh.envelopes_sent == 0 && ours.counters().pooled == COUNT);
    let (mut geth, _) = poster();
    connect(Dialler::Ours, &mut ours, &mut geth);
    wait_until("whole pool at geth", PATIENCE, || {
        geth.call("info", json!({}))["envelopes"] == COUNT
    });
    let counters = ours.counters().shh;
    assert_eq!(counters.envelopes_sent, COUNT as u64);
    assert!(
        counters.bundles_sent > 5,
        "{} bundles",
        counters.bundles_sent
    );
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn a_packet_beyond_one_mebibyte_from_geth() {
    let (mut geth, key) = poster();
    let hashes: Vec<String> = (0..5)
        .map(|number| post(&mut geth, &key, &vec![number; 300_000]))
        .collect();
    let mut ours = Ours::without_work(1);
    connect(Dialler::Ours, &mut ours, &mut geth);
    for hash in &hashes {
        ours.wait_envelope(hash);
    }
    let counters = ours.counters().shh;
    assert_eq!(
        (counters.bundles_received, counters.envelopes_received),
        (1, 5),
        "in one packet"
    );
    assert!(counters.envelope_bytes_received > 1 << 20);
    // It is not merely not closed yet.
    let last = post(&mut geth, &key, b"afterwards");
    ours.wait_envelope(&last);
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}
