//! Trust, direct messages, and the mailserver's.

use super::*;
use crate::shh::node::{NotConnected, TrustFull};

fn direct(outputs: &[Output]) -> Vec<EnvelopeHash> {
    let hash = |output: &Output| match output {
        Output::Direct { envelope, .. } => Some(envelope.hash()),
        _ => None,
    };
    outputs.iter().filter_map(hash).collect()
}

fn list_of(envelopes: &[&Envelope]) -> Vec<u8> {
    wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]))
}

#[test]
fn direct_messages_of_strangers_are_not_even_decoded() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    for payload in [
        vec![],
        vec![0xff; 1_000],
        mined(START + 5, 1).raw().to_vec(),
    ] {
        say(&mut node, at(0), 1, wire::DIRECT, payload);
    }
    for code in [wire::REQUEST_COMPLETE, wire::SYNC_RESPONSE] {
        say(&mut node, at(0), 1, code, vec![0xff; 10]);
    }
    assert_eq!(drain(&mut node), []);
    assert_eq!(node.counters().untrusted_messages, 5);
    assert_eq!((node.pooled(), node.counters().dismissed), (0, 0));
}

#[test]
fn trusted_peers_pass_every_check() {
    let config = Config {
        min_pow: 100.0,
        bloom: Some(Bloom::EMPTY),
        envelope_len_max: 1_000,
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    node.trust(node_id(1), true).unwrap();
    assert!(node.is_trusted(&node_id(1)) && !node.is_trusted(&node_id(2)));
    let topic = Topic::of_name("test");
    let odd = [
        Draft::new(0, 0, topic, b"").finish(0),
        Draft::new(START - 1_000, 10, topic, b"expired").finish(0),
        Draft::new(START + 1_000, 10, topic, b"future").finish(0),
        Draft::new(START + 5, 10, topic, &vec![0; 5_000]).finish(0),
    ];
    for envelope in &odd {
        say(&mut node, at(0), 1, wire::DIRECT, envelope.raw().to_vec());
        assert_eq!(direct(&drain(&mut node)), [envelope.hash()], "bare");
    }
    let all: Vec<&Envelope> = odd.iter().collect();
    say(&mut node, at(0), 1, wire::DIRECT, list_of(&all));
    let hashes: Vec<_> = odd.iter().map(Envelope::hash).collect();
    assert_eq!(direct(&drain(&mut node)), hashes, "a list");
    say(&mut node, at(0), 1, wire::DIRECT, list_of(&[]));
    assert_eq!(drain(&mut node), [], "an empty list");
    assert_eq!((node.pooled(), node.counters().direct_received), (0, 8));
    node.trust(node_id(1), false).unwrap();
    say(&mut node, at(0), 1, wire::DIRECT, list_of(&all));
    assert_eq!(drain(&mut node), [], "trusted no more");
}

#[test]
fn malformed_direct_messages_of_the_trusted_end_the_connection() {
    let one = mined(START + 5, 1);
    let bare = one.raw().to_vec();
    let nested = |depth: usize| {
        let mut payload = vec![0xc0];
        for _ in 0..depth {
            payload = rlp::List::new().raw(&payload).finish();
        }
        payload
    };
    for (why, payload) in [
        ("empty", vec![]),
        ("bytes", vec![0x83, 1, 2, 3]),
        ("a number", vec![0x05]),
        ("trailing", [&bare[..], &[0]].concat()),
        ("cut", bare[..bare.len() - 1].to_vec()),
        ("a list of numbers", vec![0xc2, 0x01, 0x02]),
        ("a list of a list of nothing", vec![0xc1, 0xc0]),
        (
            "a good one and a bad one",
            rlp::List::new().raw(&bare).raw(&[0xc0]).finish(),
        ),
        (
            "a good one and bytes",
            rlp::List::new().raw(&bare).raw(&[0x80]).finish(),
        ),
        (
            "a list of a list of one",
            rlp::List::new().raw(&list_of(&[&one])).finish(),
        ),
        ("deep", nested(2_000)),
    ] {
        let mut node = with_peer(Config::default(), stranger(0.0));
        node.trust(node_id(1), true).unwrap();
        say(&mut node, at(0), 1, wire::DIRECT, payload);
        let outputs = drain(&mut node);
        let code = disconnect(&outputs).map(|error| error.disconnect_code());
        assert_eq!(code, Some(0x10), "{why}");
        assert_eq!(direct(&outputs), [], "{why}");
    }
}

#[test]
fn trust_outlives_connections_and_is_bounded() {
    let mut node = Node::new(Config::default(), [7; 32]);
    node.trust(node_id(1), true).unwrap();
    let one = mined(START - 500, 1);
    for _ in 0..3 {
        join(&mut node, at(0), 1, stranger(0.0));
        say(&mut node, at(0), 1, wire::DIRECT, one.raw().to_vec());
        assert_eq!(direct(&drain(&mut node)), [one.hash()]);
        node.handle(at(0), Input::PeerDown { peer: PeerId(1) });
    }
    for number in 2..=limits::TRUSTED_NODES_MAX as u64 {
        node.trust(node_id(number), true).unwrap();
    }
    assert_eq!(node.trust(node_id(9_999), true), Err(TrustFull));
    assert_eq!(node.trust(node_id(1), true), Ok(()), "it is in already");
    node.trust(node_id(2), false).unwrap();
    assert_eq!(node.trust(node_id(9_999), true), Ok(()));
}

#[test]
fn direct_messages_go_out_one_by_one() {
    let mut node = Node::new(Config::default(), [7; 32]);
    let all = [1, 2].map(|number| Arc::new(mined(START - 100, number)));
    assert_eq!(node.send_direct(at(0), node_id(1), &all), Err(NotConnected));
    node.handle(
        at(0),
        Input::PeerUp {
            peer: PeerId(1),
            node: node_id(1),
            ip: None,
        },
    );
    drain(&mut node);
    assert_eq!(
        node.send_direct(at(0), node_id(1), &all),
        Err(NotConnected),
        "nothing may precede its status"
    );
    say(&mut node, at(0), 1, wire::STATUS, stranger(5.0).encode());
    drain(&mut node);
    node.send_direct(at(0), node_id(1), &all).unwrap();
    let sent: Vec<Vec<u8>> = drain(&mut node)
        .into_iter()
        .map(|output| match output {
            Output::Send {
                code: wire::DIRECT,
                payload,
                ..
            } => payload.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        sent,
        all.map(|envelope| envelope.raw().to_vec()),
        "bare, whatever the peer asks"
    );
    assert_eq!(node.pooled(), 0);
}

#[test]
fn mail_goes_to_whom_it_may_concern() {
    for (serves, trusted, code, taken) in [
        (false, false, 123, false),
        (false, false, 124, false),
        (false, false, 125, false),
        (false, false, 126, false),
        (false, true, 123, false),
        (false, true, 124, true),
        (false, true, 125, true),
        (false, true, 126, false),
        (true, false, 123, true),
        (true, false, 124, false),
        (true, false, 125, false),
        (true, false, 126, true),
        (true, true, 124, true),
    ] {
        let config = Config {
            mail: serves,
            ..Config::default()
        };
        let mut node = with_peer(config, stranger(0.0));
        node.trust(node_id(1), trusted).unwrap();
        say(&mut node, at(0), 1, code, vec![0xff, 1, 2]);
        let outputs = drain(&mut node);
        let expected = Output::Mail {
            peer: PeerId(1),
            node: node_id(1),
            code,
            payload: vec![0xff, 1, 2],
        };
        let case = (serves, trusted, code);
        assert_eq!(
            outputs,
            taken.then_some(expected).into_iter().collect::<Vec<_>>(),
            "{case:?}"
        );
    }
}

#[test]
fn the_mailserver_may_end_a_connection() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    let error = Error::Mail("a limit of zero");
    node.dismiss_for(PeerId(2), error);
    assert_eq!(drain(&mut node), [], "nobody is there");
    node.dismiss_for(PeerId(1), error);
    assert_eq!(disconnect(&drain(&mut node)), Some(error));
    node.send_mail(at(0), PeerId(1), 125, vec![0x80]);
    assert_eq!(drain(&mut node), []);
}

// ---- Light -------------------------------------------------------------------------------------

#[test]
fn a_light_node_says_so_to_new_peers_and_delivers_directly() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    node.set_light(true);
    let says_light = |node: &mut Node, peer| {
        join(node, at(0), peer, stranger(0.0));
        let outputs = drain(node);
        let Some(Output::Send { payload, .. }) = outputs.first() else {
            panic!("a status first")
        };
        Status::decode(payload).unwrap().light
    };
    assert!(says_light(&mut node, 2));
    let one = mined(START + 50, 1);
    deliver(&mut node, at(0), 1, &[&one]);
    let outputs = [drain(&mut node), second(&mut node, 0)].concat();
    assert_eq!(
        (accepted(&outputs), direct(&outputs)),
        (vec![], vec![one.hash()])
    );
    assert_eq!(
        bundles(&outputs, 2),
        [[one.hash()]],
        "relayed all the same, as geth does"
    );
    let own = mined(START + 50, 2);
    node.post(at(1_000), own.clone()).unwrap();
    assert_eq!(accepted(&drain(&mut node)), [own.hash()], "ours is no news");
    node.set_light(false);
    assert!(!says_light(&mut node, 3));
    assert!(!node.info().light);
}

#[test]
fn light_pairs_are_refused_only_when_restricted() {
    let light = Status {
        light: true,
        ..stranger(0.0)
    };
    for (refuse, refused) in [(true, true), (false, false)] {
        let config = Config {
            light: true,
            refuse_light_pairs: refuse,
            ..Config::default()
        };
        let mut node = Node::new(config, [7; 32]);
        join(&mut node, at(0), 1, light);
        let error = disconnect(&drain(&mut node));
        assert_eq!(error, refused.then_some(Error::BothLight));
    }
}

/// A client of Status starts with an empty filter and widens it chat by chat.
#[test]
fn a_bloom_that_grows_from_nothing() {
    let empty = Status {
        bloom: Some(Bloom::EMPTY),
        ..stranger(0.0)
    };
    let mut node = with_peer(Config::default(), empty);
    let (one, two) = (
        mined(START + 50, 1),
        mined_with(START + 50, 60, b"two", 0.002),
    );
    node.post(at(0), one.clone()).unwrap();
    node.post(at(0), two).unwrap();
    assert_eq!(
        bundles(&second(&mut node, 0), 1).len(),
        0,
        "it asked for nothing"
    );
    say(
        &mut node,
        at(2_000),
        1,
        wire::BLOOM_FILTER,
        wire::encode_bloom(&bloom_of(&one)),
    );
    assert_eq!(bundles(&second(&mut node, 2_000), 1), [[one.hash()]]);
}

#[test]
fn our_bloom_widens_and_shrinks_only_when_told() {
    let (one, two) = (Topic::of_name("one"), Topic::of_name("two"));
    let of = |topics: &[Topic]| Bloom::of_topics(topics.iter().copied());
    let config = Config {
        bloom: Some(of(&[one])),
        ..Config::default()
    };
    let mut node = with_peer(config, stranger(0.0));
    node.widen_bloom(at(0), &of(&[one]));
    assert_eq!(drain(&mut node), [], "no news");
    node.widen_bloom(at(0), &of(&[two]));
    assert_eq!(node.bloom(), Some(of(&[one, two])));
    assert_eq!(drain(&mut node).len(), 1, "one code 3");
    node.set_bloom(at(0), Some(of(&[two])));
    assert_eq!(node.bloom(), Some(of(&[two])));
    drain(&mut node);
    node.set_bloom(at(0), None);
    drain(&mut node);
    node.widen_bloom(at(0), &of(&[one]));
    assert_eq!(
        (node.bloom(), drain(&mut node)),
        (None, vec![]),
        "full stays full"
    );
}

#[test]
fn the_size_limit_moves_within_its_bounds() {
    let mut node = with_peer(Config::default(), stranger(0.0));
    let large = Draft::new(START + 5, 10, Topic::default(), &vec![0; 2 * 1024 * 1024]);
    let large = large.finish(large.search(0.002, 10).run(1 << 30, || false).unwrap());
    deliver(&mut node, at(0), 1, &[&large]);
    assert_eq!(rejected(&node, "oversized"), 1);
    assert!(
        node.set_envelope_len_max(limits::ENVELOPE_LEN_SETTABLE_MAX + 1)
            .is_err()
    );
    node.set_envelope_len_max(limits::ENVELOPE_LEN_SETTABLE_MAX)
        .unwrap();
    deliver(&mut node, at(0), 1, &[&large]);
    assert_eq!(accepted(&drain(&mut node)), [large.hash()]);
    assert_eq!(
        node.info().envelope_len_max,
        limits::ENVELOPE_LEN_SETTABLE_MAX
    );
    node.set_envelope_len_max(100).unwrap();
    let small = mined_with(START + 5, 10, &[0; 200], 0.002);
    deliver(&mut node, at(0), 1, &[&small]);
    assert_eq!(rejected(&node, "oversized"), 2);
}
