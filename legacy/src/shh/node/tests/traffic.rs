//! Rate limits, the older proof of work, and our clock.

use std::net::IpAddr;

use super::*;
use crate::peers::Offence;
use crate::shh::wire::RateLimits;

const LIMITS: RateLimits = RateLimits {
    ip: 10,
    peer: 5,
    topic: 0,
};

fn limited(tolerance: u32) -> Node {
    let config = Config {
        rate_limits: Some(LIMITS),
        rate_tolerance: tolerance,
        ..Config::default()
    };
    Node::new(config, [7; 32])
}

fn join_from(node: &mut Node, peer: u64, ip: Option<IpAddr>) {
    node.handle(
        at(0),
        Input::PeerUp {
            peer: PeerId(peer),
            node: node_id(peer),
            ip,
        },
    );
    say(node, at(0), peer, wire::STATUS, stranger(0.0).encode());
}

fn address(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, last]))
}

fn say_nothing(node: &mut Node, ms: u64, peer: u64) -> Option<Error> {
    say(node, at(ms), peer, wire::ENVELOPES, vec![0xc0]);
    disconnect(&drain(node))
}

#[test]
fn our_limits_are_announced_and_enforced_with_tolerance() {
    let mut node = limited(3);
    join_from(&mut node, 1, address(1));
    let outputs = drain(&mut node);
    let Some(Output::Send { payload, .. }) = outputs.first() else {
        panic!("a status first")
    };
    assert_eq!(Status::decode(payload).unwrap().rate_limits, Some(LIMITS));
    for packet in 0..4 {
        assert_eq!(say_nothing(&mut node, 1, 1), None, "{packet}");
    }
    for packet in 0..3 {
        assert_eq!(say_nothing(&mut node, 1, 1), None, "tolerated {packet}");
    }
    assert_eq!(
        node.counters().bundles_received,
        7,
        "what exceeds is worked on"
    );
    assert_eq!(say_nothing(&mut node, 1, 1), Some(Error::Flood(4)));
    assert_eq!(Error::Flood(4).disconnect_code(), 0x10);
    let counters = node.counters();
    assert_eq!(counters.rate_limits_exceeded["peer"], 4);
    assert_eq!(
        counters.rate_limited_packets, 9,
        "the status is a packet too"
    );
}

#[test]
fn a_polite_peer_never_exceeds() {
    let mut node = limited(0);
    join_from(&mut node, 1, address(1));
    for ms in (300..60_000).step_by(300) {
        assert_eq!(say_nothing(&mut node, ms, 1), None, "{ms}");
    }
    assert_eq!(node.counters().rate_limits_exceeded["peer"], 0);
}

#[test]
fn the_tolerance_comes_back() {
    let mut node = limited(3);
    join_from(&mut node, 1, address(1));
    for minute in 1..10 {
        for packet in 0..8 {
            let ms = minute * limits::STRIKE_WINDOW_MS;
            assert_eq!(say_nothing(&mut node, ms, 1), None, "{minute} {packet}");
        }
    }
}

#[test]
fn those_that_somebody_chose_have_no_limit() {
    let mut node = limited(0);
    join_from(&mut node, 1, None);
    join_from(&mut node, 2, address(2));
    node.trust(node_id(2), true).unwrap();
    for packet in 0..1_000 {
        for peer in [1, 2] {
            assert_eq!(say_nothing(&mut node, 1, peer), None, "{peer} {packet}");
        }
    }
    let mut node = with_peer(Config::default(), stranger(0.0));
    assert!(
        (0..1_000).all(|_| say_nothing(&mut node, 1, 1).is_none()),
        "off by default"
    );
    assert_eq!(node.counters().rate_limited_packets, 0);
}

#[test]
fn one_address_shares_and_a_new_connection_starts_no_new_second() {
    let mut node = limited(0);
    join_from(&mut node, 1, address(1));
    for _ in 0..4 {
        assert_eq!(say_nothing(&mut node, 0, 1), None);
    }
    node.handle(at(0), Input::PeerDown { peer: PeerId(1) });
    join_from(&mut node, 1, address(1));
    assert_eq!(
        disconnect(&drain(&mut node)),
        Some(Error::Flood(1)),
        "the same node"
    );
    for peer in 2..6 {
        join_from(&mut node, peer, address(1));
    }
    assert_eq!(disconnect(&drain(&mut node)), None);
    join_from(&mut node, 6, address(1));
    assert_eq!(
        disconnect(&drain(&mut node)),
        Some(Error::Flood(1)),
        "the same address"
    );
    assert_eq!(node.counters().rate_limits_exceeded["ip"], 1);
}

#[test]
fn code_20_changes_our_pace() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    let one_a_second = RateLimits {
        ip: 0,
        peer: 1,
        topic: 0,
    };
    say(
        &mut node,
        at(0),
        1,
        wire::RATE_LIMITS,
        one_a_second.encode(),
    );
    assert_eq!(
        node.wants(PeerId(1)).unwrap().rate_limits,
        Some(one_a_second)
    );
    let mut sent = 0;
    for ms in (0..20_000u64).step_by(100) {
        node.post(at(ms), mined(START + 100, ms)).unwrap();
        node.handle(at(ms), Input::Tick);
        sent += bundles(&drain(&mut node), 1).len();
    }
    assert!(
        (14..=17).contains(&sent),
        "{sent} packets in twenty seconds"
    );
}

// ---- The older proof of work --------------------------------------------------------------------

/// An envelope with much work of the older form and hardly any of the new one.
fn old_style() -> Envelope {
    let draft = Draft::new(START + 5, 10, Topic::of_name("test"), b"pre-1.9");
    let of = |nonce| draft.finish(nonce);
    (0..)
        .map(of)
        .find(|envelope| envelope.old_pow_at(START) >= 1.0 && envelope.zero_bits() == 0)
        .unwrap()
}

/// Case 37: a node before geth 1.9 counts zero bits from the other end of another hash.
#[test]
fn case_37_the_older_work_is_taken_where_allowed_and_relayed_only_where_the_new_one_suffices() {
    let envelope = old_style();
    assert!(envelope.pow() < 0.01);
    for (accept_old_pow, taken) in [(false, false), (true, true)] {
        let config = Config {
            min_pow: 0.5,
            accept_old_pow,
            ..Config::default()
        };
        let mut node = with_peer(config, stranger(0.0));
        join(&mut node, at(0), 2, stranger(0.2));
        join(&mut node, at(0), 3, stranger(0.0));
        drain(&mut node);
        deliver(&mut node, at(0), 1, &[&envelope]);
        let outputs = [drain(&mut node), second(&mut node, 0)].concat();
        let hashes = if taken { vec![envelope.hash()] } else { vec![] };
        assert_eq!(accepted(&outputs), hashes);
        assert_eq!(disconnect(&outputs), None, "no reason to part");
        assert_eq!(
            bundles(&outputs, 2).len(),
            0,
            "its new form would offend this one"
        );
        assert_eq!(
            bundles(&outputs, 3).concat(),
            hashes,
            "this one takes anything"
        );
        assert_eq!(node.counters().old_pow_accepted, u64::from(taken));
    }
}

#[test]
fn the_older_work_must_suffice_too() {
    let config = Config {
        min_pow: 10_000.0,
        accept_old_pow: true,
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    deliver(&mut node, at(0), 1, &[&old_style()]);
    let outputs = drain(&mut node);
    assert_eq!(rejected(&node, "low_pow"), 1);
    let offence = Offence::LowPow;
    let peer = PeerId(1);
    assert_eq!(
        outputs,
        [Output::Offence { peer, offence }],
        "a packet is one offence"
    );
}

// ---- Demands at the start ----------------------------------------------------------------------------

/// A geth peer honours 0.2 until its first change, whatever it was started with. Ours mean what they say from the start:
/// peers hear of them before they may send anything.
#[test]
fn nothing_is_tolerated_at_the_start() {
    let one = mined(START + 5, 1);
    let weak = mined_with(START + 5, 10, b"weak", 0.2);
    let config = Config {
        min_pow: 5.0,
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    deliver(&mut node, at(0), 1, &[&weak]);
    assert_eq!(rejected(&node, "low_pow"), 1);
    let config = Config {
        bloom: Some(Bloom::EMPTY),
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    deliver(&mut node, at(0), 1, &[&one]);
    assert_eq!(rejected(&node, "no_bloom_match"), 1);
    node.set_bloom(at(0), Some(bloom_of(&one)));
    deliver(
        &mut node,
        at(1),
        1,
        &[&mined_with(START + 5, 10, b"other", 0.002)],
    );
    assert_eq!(
        rejected(&node, "no_bloom_match"),
        2,
        "the empty one is what is tolerated"
    );
}

// ---- Our clock ------------------------------------------------------------------------------------------

/// An envelope that was sent so many seconds from a moment.
fn sent_at(unix: u64, number: u64) -> Envelope {
    let sent = u32::try_from(unix).unwrap();
    let draft = Draft::new(sent + 10, 10, Topic::of_name("test"), &number.to_be_bytes());
    draft.finish(draft.search(0.002, 12).run(1 << 20, || false).unwrap())
}

#[test]
fn skew_is_estimated_and_nobody_is_sent_away_for_it() {
    for (offset, expected) in [(9i64, -9.0), (15, -15.0), (-3, 3.0), (-40, 40.0)] {
        let mut node = with_peer(Config::default(), stranger(0.0));
        join(&mut node, at(0), 2, stranger(0.0));
        for number in 0..40u64 {
            let ms = 11_000 + number * 1_000;
            let sent = (u64::from(START) + ms / 1000).saturating_add_signed(offset);
            deliver(&mut node, at(ms), 1 + number % 2, &[&sent_at(sent, number)]);
        }
        assert_eq!(disconnect(&drain(&mut node)), None);
        assert_eq!(node.clock(at(60_000)).skew_s, Some(expected), "{offset}");
    }
}

#[test]
fn the_pool_of_a_new_peer_and_copies_say_nothing() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    for number in 0..40 {
        deliver(
            &mut node,
            at(500),
            1,
            &[&sent_at(u64::from(START) - 5, number)],
        );
    }
    assert_eq!(node.clock(at(500)).skew_s, None);
    let one = sent_at(u64::from(START) + 11, 99);
    for _ in 0..40 {
        deliver(&mut node, at(11_000), 1, &[&one]);
    }
    assert_eq!(node.clock(at(11_000)).skew_s, None);
}

/// The clock is asked without any input since the jump: whoever seals must not depend on the traffic.
#[test]
fn a_jump_is_in_doubt_until_time_or_peers_say_otherwise() {
    let jumped = |ms: u64, by_s: i64| Now {
        unix_ms: at(ms).unix_ms.saturating_add_signed(by_s * 1000),
        ..at(ms)
    };
    for by_s in [-8i64, 8] {
        let mut node = with_peer(Config::default(), stranger(0.0));
        assert!(!node.clock(at(15_000)).is_in_doubt());
        assert!(node.clock(jumped(15_010, by_s)).is_in_doubt(), "{by_s}");
        assert!(node.clock(jumped(74_000, by_s)).is_in_doubt(), "{by_s}");
        assert!(!node.clock(jumped(76_000, by_s)).is_in_doubt(), "{by_s}");

        let mut node = with_peer(Config::default(), stranger(0.0));
        node.handle(at(15_000), Input::Tick);
        assert!(node.clock(jumped(15_010, by_s)).is_in_doubt(), "{by_s}");
        for number in 0..40u64 {
            let now = jumped(16_000 + number, by_s);
            deliver(&mut node, now, 1, &[&sent_at(now.unix_s(), number)]);
        }
        let settled = node.clock(jumped(17_000, by_s));
        assert!(!settled.is_in_doubt(), "{by_s}: {settled:?}");
        assert!(
            node.clock(jumped(18_000, 0)).is_in_doubt(),
            "it jumped back"
        );
    }
}

#[test]
fn a_jump_of_the_clock_clears_what_was_known() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    for number in 0..40u64 {
        let ms = 11_000 + number * 100;
        let sent = u64::from(START) + ms / 1000;
        deliver(&mut node, at(ms), 1, &[&sent_at(sent, number)]);
    }
    assert_eq!(node.clock(at(15_000)).skew_s, Some(-0.0));
    let mut jumped = at(15_000);
    jumped.unix_ms += 3_600_000;
    node.handle(jumped, Input::Tick);
    let state = node.clock(jumped);
    assert_eq!(state.skew_s, None);
    assert!(
        state
            .jumped_s
            .is_some_and(|by| (3_595.0..3_605.0).contains(&by)),
        "{state:?}"
    );
    assert_eq!(disconnect(&drain(&mut node)), None);
}
