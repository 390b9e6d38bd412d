#![allow(clippy::unwrap_used, clippy::panic)]

mod confirm;
mod direct;
mod holes;
mod net;
mod network;
mod traffic;

use super::*;
use crate::rlp;
use crate::shh::envelope::Draft;
use crate::shh::pow;
use crate::shh::wire::Envelopes;
use net::{START, at, bloom_of, mined, mined_with, node_id, stranger};

/// A node with one peer that has said a Status of these wants.
fn with_peer(config: Config, status: Status) -> Node {
    let mut node = Node::new(config, [7; 32]);
    join(&mut node, at(0), 1, status);
    drain(&mut node);
    node
}

fn join(node: &mut Node, now: Now, peer: u64, status: Status) {
    node.handle(
        now,
        Input::PeerUp {
            peer: PeerId(peer),
            node: node_id(peer),
            ip: None,
        },
    );
    say(node, now, peer, wire::STATUS, status.encode());
}

fn say(node: &mut Node, now: Now, peer: u64, code: u64, payload: Vec<u8>) {
    node.handle(
        now,
        Input::Message {
            peer: PeerId(peer),
            code,
            payload,
        },
    );
}

fn deliver(node: &mut Node, now: Now, peer: u64, envelopes: &[&Envelope]) {
    let payload = wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]));
    say(node, now, peer, wire::ENVELOPES, payload);
}

fn drain(node: &mut Node) -> Vec<Output> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

/// What left for a peer: the hashes of its bundles.
fn bundles(outputs: &[Output], to: u64) -> Vec<Vec<EnvelopeHash>> {
    let sends = outputs.iter().filter_map(|output| match output {
        Output::Send {
            peer,
            code: wire::ENVELOPES,
            payload,
        } if *peer == PeerId(to) => Some(payload),
        _ => None,
    });
    sends
        .map(|payload| {
            Envelopes::decode(payload)
                .unwrap()
                .iter()
                .map(|outline| outline.hash())
                .collect()
        })
        .collect()
}

fn accepted(outputs: &[Output]) -> Vec<EnvelopeHash> {
    let hash = |output: &Output| match output {
        Output::Envelope { envelope, .. } => Some(envelope.hash()),
        _ => None,
    };
    outputs.iter().filter_map(hash).collect()
}

fn disconnect(outputs: &[Output]) -> Option<Error> {
    outputs.iter().find_map(|output| match output {
        Output::Disconnect { error, .. } => Some(*error),
        _ => None,
    })
}

/// Lets a second pass, tick by tick.
fn second(node: &mut Node, from_ms: u64) -> Vec<Output> {
    let mut outputs = Vec::new();
    for step in 0..=20 {
        node.handle(at(from_ms + step * 50), Input::Tick);
        outputs.extend(drain(node));
    }
    outputs
}

fn rejected(node: &Node, reason: &str) -> u64 {
    node.counters().rejected[reason]
}

// ---- Status -------------------------------------------------------------------------------------

#[test]
fn our_status_goes_first_and_at_once() {
    let mut node = Node::new(
        Config {
            bloom: Some(Bloom::EMPTY),
            ..Config::default()
        },
        [7; 32],
    );
    node.handle(
        at(0),
        Input::PeerUp {
            peer: PeerId(1),
            node: node_id(1),
            ip: None,
        },
    );
    let [
        Output::Send {
            peer: PeerId(1),
            code: wire::STATUS,
            payload,
        },
    ] = &drain(&mut node)[..]
    else {
        panic!("one send")
    };
    let status = Status::decode(payload).unwrap();
    assert_eq!(
        (status.min_pow, status.bloom, status.light),
        (limits::MIN_POW, Some(Bloom::EMPTY), false)
    );
}

#[test]
fn a_mute_peer_is_dismissed() {
    let mut node = Node::new(Config::default(), [7; 32]);
    node.handle(
        at(0),
        Input::PeerUp {
            peer: PeerId(1),
            node: node_id(1),
            ip: None,
        },
    );
    assert_eq!(node.next_deadline(), Some(at(10_000).mono));
    node.handle(at(9_999), Input::Tick);
    assert_eq!(disconnect(&drain(&mut node)), None);
    node.handle(at(10_000), Input::Tick);
    assert_eq!(
        disconnect(&drain(&mut node)),
        Some(Error::StatusTimeout(10_000))
    );
    assert_eq!(node.next_deadline(), None);
}

#[test]
fn what_comes_before_status() {
    for (code, payload, expected) in [
        (wire::ENVELOPES, vec![0xc0], Some(Error::BeforeStatus(1))),
        (126, vec![0xc0], Some(Error::BeforeStatus(126))),
        (wire::POW_REQUIREMENT, wire::encode_pow(0.5), None),
        (wire::BLOOM_FILTER, wire::encode_bloom(&Bloom::EMPTY), None),
        (
            wire::POW_REQUIREMENT,
            wire::encode_pow(-1.0),
            Some(Error::Pow(-1.0)),
        ),
        (wire::BLOOM_FILTER, vec![0x80], Some(Error::BloomLength(0))),
        (
            wire::STATUS,
            vec![0xc0; 2049],
            Some(Error::Oversized {
                len: 2049,
                max: 2048,
            }),
        ),
    ] {
        let mut node = Node::new(Config::default(), [7; 32]);
        node.handle(
            at(0),
            Input::PeerUp {
                peer: PeerId(1),
                node: node_id(1),
                ip: None,
            },
        );
        drain(&mut node);
        say(&mut node, at(1), 1, code, payload);
        assert_eq!(disconnect(&drain(&mut node)), expected, "code {code}");
    }
}

#[test]
fn early_requirements_win_over_the_status() {
    let mut node = Node::new(Config::default(), [7; 32]);
    node.handle(
        at(0),
        Input::PeerUp {
            peer: PeerId(1),
            node: node_id(1),
            ip: None,
        },
    );
    say(
        &mut node,
        at(1),
        1,
        wire::POW_REQUIREMENT,
        wire::encode_pow(0.5),
    );
    say(
        &mut node,
        at(1),
        1,
        wire::BLOOM_FILTER,
        wire::encode_bloom(&Bloom::EMPTY),
    );
    assert_eq!(node.wants(PeerId(1)), None);
    say(&mut node, at(1), 1, wire::STATUS, stranger(0.1).encode());
    let wants = node.wants(PeerId(1)).unwrap();
    assert_eq!((wants.min_pow, wants.bloom), (0.5, Some(Bloom::EMPTY)));
    say(&mut node, at(1), 1, wire::STATUS, stranger(0.9).encode());
    assert_eq!(
        node.wants(PeerId(1)).unwrap().min_pow,
        0.5,
        "a second status changes nothing"
    );
    assert_eq!(disconnect(&drain(&mut node)), None);
}

#[test]
fn bad_statuses_end_the_connection() {
    let fields = |fields: &[&[u8]]| {
        fields
            .iter()
            .fold(rlp::List::new(), |list, field| list.raw(field))
            .finish()
    };
    for (payload, reason) in [
        (vec![0x06], "not a list"),
        (vec![0xc1, 0x05], "version 5"),
        (fields(&[&[6], &wire::encode_pow(f64::NAN)]), "NaN"),
        (
            fields(&[&[6], &wire::encode_pow(f64::INFINITY)]),
            "infinite",
        ),
        (fields(&[&[6], &wire::encode_pow(-0.1)]), "negative"),
        (
            fields(&[&[6], &[0x80], &rlp::encode_bytes(&[0; 63])]),
            "bloom of 63",
        ),
        (
            fields(&[&[6], &[0x80], &rlp::encode_bytes(&[0; 65])]),
            "bloom of 65",
        ),
    ] {
        let mut node = Node::new(Config::default(), [7; 32]);
        node.handle(
            at(0),
            Input::PeerUp {
                peer: PeerId(1),
                node: node_id(1),
                ip: None,
            },
        );
        say(&mut node, at(0), 1, wire::STATUS, payload);
        let error = disconnect(&drain(&mut node));
        assert_eq!(
            error.map(|error| error.disconnect_code()),
            Some(0x10),
            "{reason}"
        );
    }
}

#[test]
fn two_light_nodes_part() {
    let light = Status {
        light: true,
        ..stranger(0.0)
    };
    let mut node = Node::new(
        Config {
            light: true,
            ..Config::default()
        },
        [7; 32],
    );
    join(&mut node, at(0), 1, light);
    assert_eq!(disconnect(&drain(&mut node)), Some(Error::BothLight));
    let mut node = with_peer(Config::default(), light);
    assert!(node.wants(PeerId(1)).unwrap().light);
    assert_eq!(disconnect(&drain(&mut node)), None);
}

#[test]
fn slots_run_out_and_come_back() {
    let mut node = Node::new(Config::default(), [7; 32]);
    for peer in 0..limits::PEERS_MAX as u64 {
        join(&mut node, at(0), peer, stranger(0.0));
    }
    drain(&mut node);
    node.handle(
        at(0),
        Input::PeerUp {
            peer: PeerId(999),
            node: node_id(999),
            ip: None,
        },
    );
    let error = disconnect(&drain(&mut node)).unwrap();
    assert_eq!(
        (error, error.disconnect_code()),
        (Error::TooManyPeers(limits::PEERS_MAX), 4)
    );
    node.handle(at(0), Input::PeerDown { peer: PeerId(3) });
    join(&mut node, at(0), 1000, stranger(0.0));
    assert!(node.wants(PeerId(1000)).is_some());
}

// ---- Requirements ---------------------------------------------------------------------------------

#[test]
fn malformed_requirements_end_the_connection() {
    for (code, payload) in [
        (wire::POW_REQUIREMENT, vec![0xc0]),
        (wire::POW_REQUIREMENT, vec![]),
        (wire::POW_REQUIREMENT, rlp::encode_bytes(&[1; 9])),
        (wire::POW_REQUIREMENT, wire::encode_pow(f64::NAN)),
        (wire::BLOOM_FILTER, vec![0x80]),
        (wire::BLOOM_FILTER, rlp::encode_bytes(&[1; 63])),
        (wire::BLOOM_FILTER, rlp::encode_bytes(&[1; 65])),
        (wire::BLOOM_FILTER, vec![0xc0]),
        (wire::ENVELOPES, vec![0x80]),
        (wire::ENVELOPES, vec![0xc1, 0x80]),
        (wire::ENVELOPES, vec![0xc0, 0x00]),
    ] {
        let mut node = with_peer(Config::default(), stranger(0.0));
        say(&mut node, at(10), 1, code, payload);
        let error = disconnect(&drain(&mut node)).unwrap();
        assert_eq!(error.disconnect_code(), 0x10, "code {code}");
        assert_eq!(node.wants(PeerId(1)), None);
    }
}

#[test]
fn unknown_codes_are_skipped_undecoded() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    for code in [4, 10, 13, 19, 21, 122, 123, 126] {
        say(&mut node, at(10), 1, code, vec![0xff; 1000]);
    }
    assert_eq!(drain(&mut node), []);
    assert_eq!(node.counters().skipped_messages, 8);
    let max = limits::PACKET_IN_LEN_MAX;
    say(&mut node, at(10), 1, 127, vec![0; max + 1]);
    assert_eq!(
        disconnect(&drain(&mut node)),
        Some(Error::Oversized { len: max + 1, max })
    );
}

#[test]
fn our_changes_are_announced() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    node.set_min_pow(at(5), 0.5).unwrap();
    node.set_bloom(at(5), Some(Bloom::EMPTY));
    node.set_bloom(at(5), None);
    let peer = PeerId(1);
    assert_eq!(
        drain(&mut node),
        [
            Output::Send {
                peer,
                code: 2,
                payload: wire::encode_pow(0.5).into()
            },
            Output::Send {
                peer,
                code: 3,
                payload: wire::encode_bloom(&Bloom::EMPTY).into()
            },
            Output::Send {
                peer,
                code: 3,
                payload: wire::encode_bloom(&Bloom::FULL).into()
            },
        ]
    );
    assert!(node.set_min_pow(at(5), f64::NAN).is_err());
    assert_eq!((node.min_pow(), node.bloom()), (0.5, None));
}

#[test]
fn in_flight_envelopes_pass_for_ten_seconds() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    node.set_min_pow(at(0), 50.0).unwrap();
    node.set_bloom(at(0), Some(Bloom::EMPTY));
    deliver(&mut node, at(9_000), 1, &[&mined(START + 60, 1)]);
    assert_eq!(accepted(&drain(&mut node)).len(), 1);
    deliver(&mut node, at(10_000), 1, &[&mined(START + 60, 2)]);
    assert_eq!(rejected(&node, "low_pow"), 1);
    node.set_min_pow(at(10_000), 0.0).unwrap();
    deliver(&mut node, at(10_000), 1, &[&mined(START + 60, 3)]);
    assert_eq!(rejected(&node, "no_bloom_match"), 1);
    assert_eq!(accepted(&drain(&mut node)), []);
}

#[test]
fn peers_announce_what_they_want() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    say(
        &mut node,
        at(10),
        1,
        wire::POW_REQUIREMENT,
        wire::encode_pow(0.5),
    );
    say(
        &mut node,
        at(10),
        1,
        wire::POW_REQUIREMENT,
        wire::encode_pow(0.5),
    );
    say(
        &mut node,
        at(10),
        1,
        wire::BLOOM_FILTER,
        wire::encode_bloom(&Bloom::FULL),
    );
    let outputs = drain(&mut node);
    let [
        Output::PeerStatus {
            peer: PeerId(1),
            wants,
        },
    ] = &outputs[..]
    else {
        panic!("one change: {outputs:?}")
    };
    assert_eq!((wants.min_pow, wants.bloom), (0.5, None));
}

// ---- Envelopes ----------------------------------------------------------------------------------

#[test]
fn unacceptable_envelopes_are_dropped_and_counted() {
    let topic = Topic::of_name("test");
    let with = |expiry: u32, ttl: u32| Draft::new(expiry, ttl, topic, b"data").finish(0);
    let huge = Draft::new(START + 5, 10, topic, &vec![0; limits::ENVELOPE_LEN_MAX]).finish(0);
    for (envelope, reason) in [
        (with(START + 5, 0), "zero_ttl"),
        (with(START + 5, u32::MAX), "ttl_above_expiry"),
        (with(0, 10), "ttl_above_expiry"),
        (with(u32::MAX, 10), "in_future"),
        (with(START + 21, 10), "in_future"),
        (with(START - 1, 10), "expired"),
        (with(START - 20, 10), "expired"),
        (with(START - 21, 10), "very_old"),
        (
            with(START + limits::TTL_MAX, limits::TTL_MAX + 1),
            "ttl_too_long",
        ),
        (huge, "oversized"),
        (mined_with(START + 5, 10, b"data", 0.000_001), "low_pow"),
    ] {
        let mut node = with_peer(
            Config {
                min_pow: 0.5,
                ..Config::default()
            },
            stranger(0.0),
        );
        deliver(&mut node, at(0), 1, &[&envelope]);
        let outputs = drain(&mut node);
        let offends = matches!(outputs[..], [Output::Offence { .. }]);
        assert_eq!(offends, reason == "low_pow", "{reason}: {outputs:?}");
        assert!(offends || outputs.is_empty(), "{reason}: {outputs:?}");
        assert_eq!(rejected(&node, reason), 1, "{reason}");
        assert_eq!(
            node.counters().rejected.values().sum::<u64>(),
            1,
            "{reason}"
        );
        assert_eq!(node.pooled(), 0);
    }
}

#[test]
fn one_bad_envelope_does_not_spoil_the_good_ones() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    let (good, old, empty) = (
        mined(START + 5, 1),
        mined(START - 50, 2),
        mined_with(START + 5, 10, b"", 0.002),
    );
    deliver(&mut node, at(0), 1, &[&old, &good, &empty]);
    let outputs = drain(&mut node);
    assert_eq!(accepted(&outputs), [good.hash(), empty.hash()]);
    assert_eq!(disconnect(&outputs), None);
}

#[test]
fn the_future_costs_work() {
    let config = Config {
        min_pow: 1.0,
        ..Config::default()
    };
    let topic = Topic::of_name("test");
    let draft = Draft::new(START + 18, 10, topic, b"data");
    let bits = pow::mining_bits(1.0, draft.short_rlp().len(), 10, 0);
    let nonce = (0..)
        .find(|nonce| pow::zero_bits(&pow::proof(&[&draft.short_rlp()], *nonce)) == bits)
        .unwrap();
    let ahead = draft.finish(nonce);
    assert!(
        ahead.pow() >= 1.0 && ahead.pow_at(START) < 1.0,
        "the margin of this envelope is too small for the skew"
    );
    let mut node = with_peer(config.clone(), stranger(0.0));
    deliver(&mut node, at(0), 1, &[&ahead]);
    assert_eq!(rejected(&node, "low_pow"), 1);
    let generous = draft.finish(draft.search(1.0, 8).run(1 << 30, || false).unwrap());
    deliver(&mut node, at(0), 1, &[&generous]);
    assert_eq!(accepted(&drain(&mut node)), [generous.hash()]);
}

#[test]
fn repeated_lack_of_work_ends_the_connection() {
    let mut node = with_peer(
        Config {
            min_pow: 1e6,
            ..Config::default()
        },
        stranger(0.0),
    );
    let lazy: Vec<Envelope> = (0..limits::LOW_POW_STRIKES_MAX)
        .map(|n| mined(START + 60, u64::from(n)))
        .collect();
    deliver(&mut node, at(0), 1, &lazy.iter().collect::<Vec<_>>());
    assert_eq!(disconnect(&drain(&mut node)), None);
    deliver(&mut node, at(61_000), 1, &[&mined(START + 120, 1)]);
    assert_eq!(
        disconnect(&drain(&mut node)),
        None,
        "a minute later the count begins anew"
    );
    let fresh: Vec<Envelope> = (0..=limits::LOW_POW_STRIKES_MAX)
        .map(|n| mined(START + 120, u64::from(n)))
        .collect();
    deliver(&mut node, at(61_000), 1, &fresh.iter().collect::<Vec<_>>());
    assert_eq!(
        disconnect(&drain(&mut node)),
        Some(Error::LowPow(limits::LOW_POW_STRIKES_MAX + 1))
    );
}

#[test]
fn duplicates_are_delivered_once_even_after_death() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    join(&mut node, at(0), 2, stranger(0.0));
    drain(&mut node);
    let one = mined(START + 5, 1);
    deliver(&mut node, at(0), 1, &[&one, &one]);
    deliver(&mut node, at(0), 2, &[&one]);
    assert_eq!(accepted(&drain(&mut node)), [one.hash()]);
    assert_eq!(node.counters().duplicates, 2);
    second(&mut node, 6_000);
    assert_eq!(
        (node.pooled(), node.pooled_bytes(), node.counters().expired),
        (0, 0, 1)
    );
    // The wall clock went back: what is dead stays dead.
    let back = Now {
        mono: at(8_000).mono,
        unix_ms: at(1_000).unix_ms,
    };
    deliver(&mut node, back, 1, &[&one]);
    assert_eq!(accepted(&drain(&mut node)), []);
}

#[test]
fn a_flood_of_a_million_keeps_the_caps() {
    let config = Config {
        pool_envelopes_max: 100,
        min_pow: 0.0,
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    join(&mut node, at(0), 2, stranger(0.0));
    drain(&mut node);
    let honest = mined(START + 60, 1);
    deliver(&mut node, at(0), 2, &[&honest]);
    let flood: Vec<Envelope> = (0..3_000)
        .map(|nonce| Draft::new(START + 5, 5, Topic::default(), b"").finish(nonce))
        .collect();
    for some in flood.chunks(500) {
        deliver(&mut node, at(1), 1, &some.iter().collect::<Vec<_>>());
        assert!(node.pooled() <= 100);
    }
    assert!(
        node.envelope(&honest.hash()).is_some(),
        "honest traffic continues"
    );
    let outputs = second(&mut node, 10);
    assert!(bundles(&outputs, 1).concat().contains(&honest.hash()));
}

// ---- Relaying -------------------------------------------------------------------------------------

#[test]
fn relayed_on_the_tick_and_never_back() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    join(&mut node, at(0), 2, stranger(0.0));
    second(&mut node, 0);
    let one = mined(START + 30, 1);
    deliver(&mut node, at(2_000), 1, &[&one]);
    node.handle(at(2_299), Input::Tick);
    assert_eq!(bundles(&drain(&mut node), 2).len(), 0);
    assert_eq!(node.next_deadline(), Some(at(2_300).mono));
    node.handle(at(2_300), Input::Tick);
    let outputs = drain(&mut node);
    assert_eq!(bundles(&outputs, 2), [vec![one.hash()]]);
    assert_eq!(
        outputs.last(),
        Some(&Output::Sent {
            peer: PeerId(2),
            hashes: [one.hash()].into()
        })
    );
    assert_eq!(bundles(&outputs, 1).len(), 0);
    assert_eq!(
        bundles(&second(&mut node, 2_400), 2).len(),
        0,
        "once is enough"
    );
}

#[test]
fn peers_that_get_the_same_share_the_bytes() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    for peer in [2, 3, 4] {
        join(&mut node, at(0), peer, stranger(0.0));
    }
    let narrow = Status {
        bloom: Some(Bloom::EMPTY),
        ..stranger(0.0)
    };
    join(&mut node, at(0), 5, narrow);
    second(&mut node, 0);
    let many: Vec<Envelope> = (1..20).map(|number| mined(START + 30, number)).collect();
    deliver(&mut node, at(2_000), 1, &many.iter().collect::<Vec<_>>());
    deliver(&mut node, at(2_010), 4, &[&many[0]]);
    let outputs = second(&mut node, 2_200);
    let sent = |to| {
        let of = |output: &Output| match output {
            Output::Send { peer, payload, .. } if *peer == PeerId(to) => Some(payload.clone()),
            _ => None,
        };
        outputs.iter().filter_map(of).collect::<Vec<_>>()
    };
    let (two, three, four) = (sent(2), sent(3), sent(4));
    assert_eq!((two.len(), three.len(), four.len()), (1, 1, 1));
    assert!(
        two[0].shares(&three[0]),
        "the same envelopes, the same bytes"
    );
    assert!(!two[0].shares(&four[0]), "it knew one of them already");
    assert_eq!(bundles(&outputs, 4)[0].len(), many.len() - 1);
    assert_eq!((sent(1).len(), sent(5).len()), (0, 0));
}

#[test]
fn crosswise_copies_are_not_sent_back() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    join(&mut node, at(0), 2, stranger(0.0));
    let one = mined(START + 30, 1);
    deliver(&mut node, at(100), 1, &[&one]);
    deliver(&mut node, at(200), 2, &[&one]);
    let outputs = second(&mut node, 250);
    assert_eq!(
        (bundles(&outputs, 1).len(), bundles(&outputs, 2).len()),
        (0, 0)
    );
}

#[test]
fn only_what_a_peer_wants() {
    let (wanted, other) = (
        mined_with(START + 60, 60, b"topic of the bloom", 0.01),
        mined(START + 60, 9),
    );
    let status = Status {
        bloom: Some(bloom_of(&wanted)),
        ..stranger(0.008)
    };
    let mut node = with_peer(Config::default(), status);
    let poor = Draft::new(START + 60, 60, wanted.topic(), &[1; 200]);
    let nonce = (0..)
        .find(|n| (0.002..0.008).contains(&poor.finish(*n).pow()))
        .unwrap();
    let poor = poor.finish(nonce);
    for envelope in [&wanted, &other, &poor] {
        node.post(at(10), envelope.clone()).unwrap();
    }
    assert_eq!(bundles(&second(&mut node, 10), 1), [vec![wanted.hash()]]);
    say(
        &mut node,
        at(2_000),
        1,
        wire::POW_REQUIREMENT,
        wire::encode_pow(0.002),
    );
    assert_eq!(
        bundles(&second(&mut node, 2_000), 1),
        [vec![poor.hash()]],
        "a lower requirement opens the pool again"
    );
    say(
        &mut node,
        at(4_000),
        1,
        wire::BLOOM_FILTER,
        wire::encode_bloom(&Bloom::FULL),
    );
    assert_eq!(
        bundles(&second(&mut node, 4_000), 1),
        [vec![other.hash()]],
        "and so does a wider filter"
    );
    say(
        &mut node,
        at(6_000),
        1,
        wire::BLOOM_FILTER,
        wire::encode_bloom(&Bloom::EMPTY),
    );
    node.post(at(6_100), mined(START + 60, 10)).unwrap();
    assert_eq!(bundles(&second(&mut node, 6_100), 1).len(), 0);
}

#[test]
fn a_raised_requirement_holds_for_what_is_queued() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    second(&mut node, 0);
    node.post(at(2_000), mined(START + 60, 1)).unwrap();
    say(
        &mut node,
        at(2_100),
        1,
        wire::POW_REQUIREMENT,
        wire::encode_pow(1e9),
    );
    assert_eq!(bundles(&second(&mut node, 2_200), 1).len(), 0);
}

#[test]
fn colliding_topics_reach_go_filters() {
    for topic in [[1, 2, 3, 0], [8, 9, 10, 0]].map(Topic::new) {
        let status = Status {
            bloom: Some(Bloom::of_topic(topic)),
            ..stranger(0.0)
        };
        let mut node = with_peer(
            Config {
                min_pow: 0.0,
                ..Config::default()
            },
            status,
        );
        let one = Draft::new(START + 30, 30, topic, b"data").finish(0);
        node.post(at(0), one.clone()).unwrap();
        assert_eq!(bundles(&second(&mut node, 0), 1), [vec![one.hash()]]);
    }
}

#[test]
fn the_dying_and_the_unborn_stay() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    second(&mut node, 0);
    let dying = mined_with(START + 2, 10, b"dying", 0.002);
    let unborn = mined_with(START + 20, 10, b"unborn", 0.002);
    deliver(&mut node, at(1_900), 9, &[&dying]);
    node.post(at(1_900), dying.clone()).unwrap();
    node.post(at(1_900), unborn.clone()).unwrap();
    let outputs = second(&mut node, 2_000);
    assert_eq!(
        bundles(&outputs, 1).len(),
        0,
        "one has less than a second to live, the other is nine seconds ahead"
    );
    assert_eq!(bundles(&second(&mut node, 4_000), 1).len(), 0);
    assert_eq!(
        bundles(&second(&mut node, 5_000), 1),
        [vec![unborn.hash()]],
        "five seconds ahead"
    );
}

#[test]
fn a_late_peer_gets_the_living_in_pieces() {
    let config = Config {
        packet_out_len_max: 4_096,
        packets_per_second: 4,
        min_pow: 0.0,
        ..Config::default()
    };
    let mut node = Node::new(config, [7; 32]);
    let some: Vec<Envelope> = (0..40u8)
        .map(|n| Draft::new(START + 60, 60, Topic::default(), &vec![n; 500]).finish(0))
        .chain([Draft::new(START + 60, 60, Topic::default(), &[0; 6_000]).finish(0)])
        .collect();
    for envelope in &some {
        node.post(at(0), envelope.clone()).unwrap();
    }
    join(&mut node, at(1_000), 1, stranger(0.0));
    drain(&mut node);
    let (mut sent, mut packets, mut last) = (Vec::new(), 0, None);
    for ms in (1_000..6_000).step_by(10) {
        node.handle(at(ms), Input::Tick);
        let outputs = drain(&mut node);
        for output in &outputs {
            if let Output::Send { payload, .. } = output {
                assert!(
                    payload.len() <= 4_096 || payload.len() > 6_000,
                    "only a single envelope may exceed the limit"
                );
                packets += 1;
                last = Some(ms);
            }
        }
        sent.extend(bundles(&outputs, 1).concat());
    }
    assert_eq!(sent.len(), some.len());
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), some.len());
    assert_eq!(packets, 7);
    assert_eq!(
        last,
        Some(1_300 + 3 * 250),
        "four at once, then four a second"
    );
}

#[test]
fn a_dismissed_peer_is_forgotten() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    let one = mined(START + 60, 1);
    node.post(at(0), one.clone()).unwrap();
    second(&mut node, 0);
    say(&mut node, at(2_000), 1, wire::ENVELOPES, vec![0x80]);
    drain(&mut node);
    say(&mut node, at(2_000), 1, wire::ENVELOPES, vec![0x80]);
    assert_eq!(drain(&mut node), []);
    join(&mut node, at(2_000), 2, stranger(0.0));
    assert_eq!(
        bundles(&second(&mut node, 2_000), 2),
        [vec![one.hash()]],
        "its slot knows nothing"
    );
}

// ---- Our own --------------------------------------------------------------------------------------

#[test]
fn posts_are_checked_and_delivered_to_ourselves() {
    let config = Config {
        bloom: Some(Bloom::EMPTY),
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    let one = mined(START + 60, 1);
    assert_eq!(node.post(at(0), one.clone()), Ok(one.hash()));
    assert_eq!(node.post(at(0), one.clone()), Ok(one.hash()));
    let outputs = drain(&mut node);
    assert_eq!(
        outputs,
        [Output::Envelope {
            envelope: Arc::new(one),
            from: None
        }]
    );
    assert_eq!(
        node.post(at(0), mined(START - 1, 1)),
        Err(Reject::Expired { ago: 1 })
    );
    assert!(matches!(
        node.post(at(0), mined_with(START + 60, 60, &[0; 900], 0.000_001)),
        Err(Reject::LowPow { .. })
    ));
    assert_eq!(
        (rejected(&node, "expired"), rejected(&node, "low_pow")),
        (1, 1)
    );
}

#[test]
fn a_peer_that_is_held_gets_nothing_and_then_only_what_is_still_alive() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    node.hold(PeerId(1), true);
    let (short, long) = (mined(START + 5, 1), mined(START + 40, 2));
    for envelope in [&short, &long] {
        node.post(at(0), envelope.clone()).unwrap();
    }
    assert!(bundles(&second(&mut node, 0), 1).is_empty());
    // By now the first of them is dead.
    node.handle(at(10_000), Input::Tick);
    assert!(bundles(&drain(&mut node), 1).is_empty());
    node.hold(PeerId(1), false);
    node.handle(at(10_001), Input::Tick);
    assert_eq!(bundles(&drain(&mut node), 1), [[long.hash()]]);
    node.hold(PeerId(2), true);
}
