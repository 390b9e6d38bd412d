//! Connections: who dials, what Status says, a full house, how connections end and begin again.
//!
//! Which test shows which case of the transport and of the handshake of Whisper. `rlpx` and `shh` are tests of the cores,
//! on virtual time; `peers` those of the policy.
//!
//! | case | test |
//! |---|---|
//! | 1, 2: we dial go-ethereum, it dials us | `we_dial_geth`, `geth_dials_us` |
//! | 3: an auth of 307 bytes | `handshakes::every_form_of_the_first_packet…`, `rlpx` `a_legacy_initiator_gets_a_legacy_answer` |
//! | 4: published packets, secrets, frames | `vectors/rlpx`, `rlpx` `published_auths`, `published_acks` |
//! | 5: padding, version, further fields | `handshakes::every_form_of_the_first_packet…`, `rlpx` `padding_of_any_content_and_length_is_legal` |
//! | 6: published Hello | `vectors/rlpx`, `rlpx` `published_hello_with_extras` |
//! | 7, 8: compression, pings | `handshakes::the_version_of_the_hello…`, `pings_keep_an_idle_connection`, `rlpx` `pings_keep_a_connection_and_silence_ends_it` |
//! | 9: a full go-ethereum | `a_full_geth_is_left_alone_for_a_while`, `peers` `full_peers_and_public_addresses_get_a_longer_pause` |
//! | 10: connected already, ourselves | `handshakes::a_second_connection_and_one_to_itself_are_refused` |
//! | 11: nothing shared | `who_speaks_only_eth_is_useless_both_ways`, `handshakes::who_speaks_something_else_is_useless` |
//! | 12: several capabilities | `whisper_behind_another_capability` |
//! | 13: code 143 | `direct::geth_writes_to_us_directly…`, `direct::we_write_to_geth_directly…`, `rlpx` `the_last_code_is_two_bytes_on_the_wire` |
//! | 14: the other end is killed, or hangs | `a_killed_geth_is_noticed_and_found_again`, `a_geth_that_hangs_is_given_up_and_found_again`, `rlpx` `pings_keep_a_connection_and_silence_ends_it` |
//! | 15: fast reconnects | `two_fast_reconnects_from_loopback`, `peers` `full_peers_and_public_addresses_get_a_longer_pause` |
//! | 16, 17, 18, 21: forms of Status | `handshakes::every_form_of_status_is_accepted`, `shh` `tolerated_forms_of_status`; our six fields: `we_dial_geth` |
//! | 19: a bloom filter of zeros | `demands::geth_gets_only_the_topics_of_its_bloom_filter` |
//! | 20: two light nodes | `handshakes::two_light_nodes_part` |
//! | 49: what is said before and after the proof | `discovery::geth_answers_after_mutual_pings…`, `discovery::geth_gets_answers_from_us`, `vectors/discv4` |
//! | 50: neighbours that cannot be believed | `discovery::neighbours_at_low_ports_and_off_the_curve_are_ignored`, `discv4` `neighbours_that_cannot_be_known_are_not_believed` |
//! | who is found is dialled, or not | `who_is_discovered_is_dialled`, `peers` `what_must_hold_holds_after_every_step` |

use std::time::{Duration, Instant};

use legacy::peers::Kind;
use legacy::rlpx::Direction;
use legacy::rlpx::capability::Capability;
use legacy::rlpx::disconnect::DisconnectReason;
use legacy::shell::Event;
use legacy::shh::Topic;
use legacy::shh::seal::{SealTo, SymKey};

use serde_json::json;

use super::PATIENCE;
use super::ours::Ours;
use super::scripted::{self, Scripted};
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
    assert_eq!(peer["caps"], json!(["shh/6"]));
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

/// Neither side has a use for the other, whoever dials.
#[test]
fn who_speaks_only_eth_is_useless_both_ways() {
    for dialler in [Dialler::Ours, Dialler::Geth] {
        let ours = Ours::start(1, |_| {});
        let mut geth = Geth::start(&["--eth", "--no-shh"]);
        match dialler {
            Dialler::Ours => ours.dial(&geth.enode),
            Dialler::Geth => {
                geth.call("add_peer", json!({"enode": ours.enode()}));
            }
        }
        // Both find it out at the same time; what counts is whose word arrives first.
        wait_until("refusal", PATIENCE, || {
            let closed = ours.counters().closed;
            closed.contains_key("useless_peer") || closed.contains_key("theirs_useless_peer")
        });
        assert_eq!(ours.peers(), []);
        assert_eq!(geth.peer(&ours.id()), None);
    }
}

/// With eth/63 shared, which takes 17 codes, Whisper's begin at 33.
#[test]
fn whisper_behind_another_capability() {
    let eth = Capability {
        name: "eth",
        version: 63,
        len: 17,
    };
    let mut ours = Ours::start(1, |config| config.other_capabilities.push(eth));
    let mut geth = Geth::start(&["--eth"]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let peer = geth.peer(&ours.id()).expect("it is connected");
    assert_eq!(peer["caps"], json!(["eth/63", "shh/6"]));
    let key = SymKey::from_bytes(&[9; 32]).expect("a key");
    let (to, topic) = (SealTo::Symmetric(&key), Topic::of_name("offset"));
    let envelope = ours.seal(to, None, topic, b"behind eth", 0.3);
    let hash = ours.post(&envelope);
    geth.wait_pooled(&hash.to_string());
    geth.never_lost(&ours.id());
    ours.lost_nobody();
}

#[test]
fn a_killed_geth_is_noticed_and_found_again() {
    let key = hex::encode([8; 32]);
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&["--key", &key]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    let (enode, id) = (geth.enode.clone(), geth.id.clone());
    let listen = enode.rsplit_once('@').expect("an address").1;
    let listen = listen.split_once('?').map_or(listen, |(listen, _)| listen);
    geth.kill();
    ours.wait("end of the connection", |event| match event {
        Event::PeerDown { .. } => Some(()),
        _ => None,
    });
    let mut again = Geth::start(&["--key", &key, "--listen", listen]);
    assert_eq!(again.id, id);
    wait_until("second connection", PATIENCE, || !ours.peers().is_empty());
    let info = ours.peer(&id);
    assert_eq!(
        (info.direction, info.kind),
        (Direction::Dialled, Kind::Static)
    );
    assert!(again.peer(&ours.id()).is_some());
}

/// Its system still acknowledges what we send, so that only its silence tells: 30 s of it.
#[test]
fn a_geth_that_hangs_is_given_up_and_found_again() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    connect(Dialler::Ours, &mut ours, &mut geth);
    geth.freeze(true);
    let lost = ours.wait_for(2 * PATIENCE, |event| match event {
        Event::PeerDown { .. } => Some(()),
        _ => None,
    });
    geth.freeze(false);
    assert_eq!(lost, Some(()), "it waits for ever");
    let closed = ours.counters().closed;
    assert_eq!(closed.get("read_timeout"), Some(&1), "{closed:?}");
    wait_until("second connection", 2 * PATIENCE, || {
        !ours.peers().is_empty()
    });
    assert_eq!(ours.peer(&geth.id).kind, Kind::Static);
}

/// go-ethereum refuses who comes back within 30 s, but not on loopback; nor do we.
#[test]
fn two_fast_reconnects_from_loopback() {
    let mut geth = Geth::start(&[]);
    for _ in 0..3 {
        let mut ours = Ours::start(1, |_| {});
        connect(Dialler::Ours, &mut ours, &mut geth);
        let id = ours.id();
        drop(ours);
        wait_until("end", PATIENCE, || geth.peer(&id).is_none());
    }
    let ours = Ours::start(2, |_| {});
    for _ in 0..3 {
        let mut peer = Scripted::usual(&ours.enode(), scripted::key(0));
        peer.greet(5, &[("shh", 6)]);
        peer.exchange_status(&[0xc1, 0x06]);
        drop(peer);
        wait_until("end", PATIENCE, || ours.peers().is_empty());
    }
    assert_eq!(ours.counters().refused.values().sum::<u64>(), 0);
}

/// Case 9 the other way round: our house is full, but a trusted peer comes in.
#[test]
fn our_full_house_has_room_for_a_trusted_geth() {
    let ours = Ours::start(1, |config| config.limits.inbound_max = 1);
    let mut first = Scripted::usual(&ours.enode(), scripted::key(0));
    first.greet(5, &[("shh", 6)]);
    first.exchange_status(&[0xc1, 0x06]);
    let mut second = Scripted::usual(&ours.enode(), scripted::key(1));
    assert_eq!(second.end(), Some(DisconnectReason::TooManyPeers));
    let mut geth = Geth::start(&[]);
    ours.always_admit(&geth.enode);
    geth.call("add_peer", json!({"enode": ours.enode()}));
    wait_until("trusted peer", PATIENCE, || ours.peers().len() == 2);
    let info = ours.peer(&geth.id);
    assert_eq!((info.kind, info.trusted), (Kind::Trusted, true));
    assert!(first.is_answered(), "the first stays");
}

/// Who is discovered is dialled, counts as a stranger, and is not dialled again when it is removed.
#[test]
fn who_is_discovered_is_dialled() {
    let mut ours = Ours::start(1, |_| {});
    let mut geth = Geth::start(&[]);
    ours.discover(&geth.enode);
    ours.wait_interest(&geth.id, |_, _| true);
    let info = ours.peer(&geth.id);
    assert_eq!(
        (info.kind, info.direction, info.score),
        (Kind::Discovered, Direction::Dialled, 0)
    );
    assert!(ours.remove(&geth.enode));
    wait_until("end", PATIENCE, || ours.peers().is_empty());
    wait_until("end", PATIENCE, || geth.peer(&ours.id()).is_none());
    assert!(!ours.remove(&geth.enode), "it is forgotten");
    ours.discover(&geth.enode);
    assert_eq!(
        ours.counters().dialled,
        1,
        "nobody is dialled twice in 35 s"
    );
    assert_eq!(
        ours.counters().closed.get("ours_requested"),
        Some(&1),
        "{:?}",
        ours.counters().closed
    );
}
