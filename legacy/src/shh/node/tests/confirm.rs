//! Confirmations, both ways.

use super::*;
use crate::rlp::List;
use crate::shh::confirmation::{
    CLOCK_FAULT, OTHER_FAULT, Reply, decode_acknowledgement, encode_acknowledgement,
    encode_response,
};
use crate::shh::node::Confirmations;
use crate::shh::wire::RateLimits;

/// The Status of a Status client.
fn status_client() -> Status {
    Status {
        confirmations: true,
        ..stranger(0.0)
    }
}

fn limited(peer: u64) -> Status {
    Status {
        rate_limits: Some(RateLimits {
            ip: 0,
            peer,
            topic: 0,
        }),
        ..status_client()
    }
}

fn bundle_of(envelopes: &[&Envelope]) -> Vec<u8> {
    wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]))
}

/// What was said to a peer besides envelopes.
fn words(outputs: &[Output]) -> Vec<(u64, Vec<u8>)> {
    let word = |output: &Output| match output {
        Output::Send { code, payload, .. } if *code != wire::ENVELOPES => {
            Some((*code, payload.to_vec()))
        }
        _ => None,
    };
    outputs.iter().filter_map(word).collect()
}

fn faults(response: &[u8]) -> (BatchHash, Vec<Fault>) {
    match Reply::decode(response) {
        Ok(Reply::Response(response)) => (response.batch(), response.faults().collect()),
        other => panic!("{other:?}"),
    }
}

fn confirmed(outputs: &[Output]) -> Vec<(BatchHash, Vec<EnvelopeHash>, Vec<Fault>)> {
    let one = |output: &Output| match output {
        Output::Confirmed {
            batch,
            hashes,
            faults,
            ..
        } => Some((*batch, hashes.to_vec(), faults.clone())),
        _ => None,
    };
    outputs.iter().filter_map(one).collect()
}

#[test]
fn a_bundle_is_confirmed_by_12_and_then_11() {
    let mut node = with_peer(Config::default(), status_client());
    let good = mined(START + 5, 1);
    for envelopes in [&[&good][..], &[&good], &[]] {
        let payload = bundle_of(envelopes);
        say(&mut node, at(0), 1, wire::ENVELOPES, payload.clone());
        let outputs = drain(&mut node);
        let [(12, response), (11, short)] = &words(&outputs)[..] else {
            panic!("two confirmations: {outputs:?}")
        };
        let batch = BatchHash::of(&payload);
        assert_eq!(faults(response), (batch, vec![]));
        assert_eq!(decode_acknowledgement(short), Ok(batch));
    }
    assert_eq!(
        node.counters().confirmations_sent,
        3,
        "duplicates and nothing too"
    );
}

#[test]
fn what_is_not_accepted_is_named() {
    let config = Config {
        min_pow: 0.5,
        ..Config::default()
    };
    let mut node = with_peer(config, status_client());
    let (good, future, late, old, weak) = (
        mined_with(START + 5, 10, b"good", 1.0),
        mined_with(START + 21, 10, b"future", 1.0),
        mined_with(START - 1, 10, b"late", 1.0),
        mined_with(START - 21, 10, b"old", 1.0),
        mined_with(START + 5, 10, b"weak", 0.000_001),
    );
    deliver(&mut node, at(0), 1, &[&future, &good, &late, &old, &weak]);
    let outputs = drain(&mut node);
    let (_, faults) = faults(&words(&outputs)[0].1);
    let named: Vec<_> = faults
        .iter()
        .map(|fault| (fault.envelope, fault.code))
        .collect();
    assert_eq!(
        named,
        [
            (future.hash(), CLOCK_FAULT),
            (old.hash(), CLOCK_FAULT),
            (weak.hash(), OTHER_FAULT)
        ],
        "the late one is nobody's fault"
    );
    assert_eq!(faults[0].text, "envelope from future");
    assert_eq!(faults[1].text, "very old envelope");
    assert_eq!(disconnect(&outputs), None);
}

#[test]
fn who_did_not_ask_gets_none_and_none_is_sent_when_off() {
    let off = Config {
        confirmations: Confirmations::Off,
        ..Config::default()
    };
    for (config, status) in [
        (Config::default(), stranger(0.0)),
        (off.clone(), status_client()),
    ] {
        let mut node = with_peer(config, status);
        deliver(&mut node, at(0), 1, &[&mined(START + 5, 1)]);
        assert_eq!(words(&drain(&mut node)), []);
    }
    for (config, says) in [(Config::default(), true), (off, false)] {
        let mut node = Node::new(config, [7; 32]);
        join(&mut node, at(0), 1, status_client());
        let first = words(&drain(&mut node));
        let status = Status::decode(&first[0].1).unwrap();
        assert_eq!(status.confirmations, says);
        assert_eq!(status.rate_limits, Some(RateLimits::default()));
    }
}

#[test]
fn a_broken_bundle_is_not_confirmed() {
    let mut node = with_peer(Config::default(), status_client());
    say(&mut node, at(0), 1, wire::ENVELOPES, vec![0xc1, 0x80]);
    let outputs = drain(&mut node);
    assert!(disconnect(&outputs).is_some());
    assert_eq!(words(&outputs), []);
}

#[test]
fn a_peer_with_limits_gets_one_confirmation_within_them() {
    let mut node = with_peer(Config::default(), limited(5));
    let mut sent = Vec::new();
    let mut number = 0;
    for ms in (0..10_000).step_by(50) {
        // Three of our own a second, and six bundles of its own: more than it would take.
        if ms % 300 == 0 {
            number += 1;
            let own = mined(START + 100, number);
            node.post(at(ms), own).unwrap();
        }
        if ms % 150 == 0 {
            number += 1;
            deliver(&mut node, at(ms), 1, &[&mined(START + 100, number)]);
        }
        node.handle(at(ms), Input::Tick);
        for output in drain(&mut node) {
            if let Output::Send { code, .. } = output {
                assert_ne!(code, wire::BATCH_ACKNOWLEDGED, "12 says it all");
                sent.push(ms);
            }
        }
    }
    for from in (0..9_000).step_by(50) {
        let packets = sent.iter().filter(|ms| (from..from + 1_000).contains(*ms));
        let packets = packets.count();
        assert!(
            packets <= 8,
            "{packets} packets in the second from {from} ms"
        );
    }
    assert!(
        sent.len() <= 4 + 10 * 4 + 1,
        "{} packets in ten seconds",
        sent.len()
    );
    assert!(sent.len() >= 30, "{} packets in ten seconds", sent.len());
    assert!(node.counters().confirmations_dropped == 0 || number > 64);
}

#[test]
fn limits_of_zero_are_none() {
    let mut node = with_peer(Config::default(), limited(0));
    deliver(&mut node, at(0), 1, &[&mined(START + 5, 1)]);
    let codes: Vec<_> = words(&drain(&mut node)).iter().map(|word| word.0).collect();
    assert_eq!(codes, [12, 11]);
}

#[test]
fn held_confirmations_wait_for_every_envelope() {
    let config = Config {
        confirmations: Confirmations::Held,
        ..Config::default()
    };
    let mut node = with_peer(config, status_client());
    let (one, two, old) = (
        mined(START + 50, 1),
        mined(START + 50, 2),
        mined(START - 50, 3),
    );
    deliver(&mut node, at(0), 1, &[&one, &two, &old]);
    deliver(&mut node, at(0), 1, &[&two]);
    assert_eq!(words(&drain(&mut node)), [], "both are open");
    node.release(&[one.hash()]);
    assert_eq!(words(&drain(&mut node)), []);
    node.release(&[two.hash()]);
    let outputs = words(&drain(&mut node));
    let codes: Vec<u64> = outputs.iter().map(|word| word.0).collect();
    assert_eq!(
        codes,
        [12, 11, 12, 11],
        "the first bundle and the duplicate"
    );
    let (batch, faults) = faults(&outputs[0].1);
    assert_eq!(batch, BatchHash::of(&bundle_of(&[&one, &two, &old])));
    assert_eq!(faults.len(), 1);
    deliver(&mut node, at(0), 1, &[&one]);
    assert_eq!(
        words(&drain(&mut node)).len(),
        2,
        "nothing is open any more"
    );
}

#[test]
fn held_confirmations_are_forgotten_and_bounded() {
    let config = Config {
        confirmations: Confirmations::Held,
        ..Config::default()
    };
    let mut node = with_peer(config, status_client());
    let one = mined(START + 50, 1);
    deliver(&mut node, at(0), 1, &[&one]);
    for _ in 0..2 * limits::HELD_BATCHES_MAX {
        deliver(&mut node, at(1), 1, &[&one]);
    }
    node.release(&[one.hash()]);
    let said = words(&drain(&mut node)).len();
    assert_eq!(
        said,
        2 * limits::HELD_BATCHES_MAX,
        "two codes for each that is kept"
    );
    let two = mined(START + 50, 2);
    deliver(&mut node, at(2), 1, &[&two]);
    node.handle(at(2 + limits::HELD_BATCH_MS), Input::Tick);
    node.release(&[two.hash()]);
    assert_eq!(words(&drain(&mut node)), [], "too late");
}

/// Lets a node send one bundle of two envelopes, and returns the hash of it.
fn bundle_out(node: &mut Node) -> (BatchHash, [EnvelopeHash; 2]) {
    let (one, two) = (mined(START + 50, 1), mined(START + 50, 2));
    let hashes = [one.hash(), two.hash()];
    node.post(at(0), one).unwrap();
    node.post(at(0), two).unwrap();
    let outputs = second(node, 0);
    let payload = outputs.iter().find_map(|output| match output {
        Output::Send {
            code: wire::ENVELOPES,
            payload,
            ..
        } => Some(payload.to_vec()),
        _ => None,
    });
    (BatchHash::of(&payload.unwrap()), hashes)
}

#[test]
fn our_bundles_are_confirmed_once() {
    for first_is_short in [true, false] {
        let mut node = with_peer(Config::default(), status_client());
        let (batch, hashes) = bundle_out(&mut node);
        let stranger = EnvelopeHash::new([9; 32]);
        let fault = |envelope, code, text: &str| Fault {
            envelope,
            code,
            text: text.to_owned(),
        };
        let named = [
            fault(hashes[1], 37, "envelope from future"),
            fault(stranger, 37, "not ours"),
            fault(hashes[1], 99, "again"),
        ];
        let (short, long) = (
            (wire::BATCH_ACKNOWLEDGED, encode_acknowledgement(&batch)),
            (wire::MESSAGE_RESPONSE, encode_response(&batch, &named)),
        );
        let order = if first_is_short {
            [short, long]
        } else {
            [long, short]
        };
        for (code, payload) in order {
            say(&mut node, at(1_100), 1, code, payload);
        }
        let outputs = drain(&mut node);
        let [(found, envelopes, faults)] = &confirmed(&outputs)[..] else {
            panic!("one confirmation: {outputs:?}")
        };
        assert_eq!(*found, batch);
        assert!(hashes.iter().all(|hash| envelopes.contains(hash)));
        if first_is_short {
            assert_eq!(*faults, []);
        } else {
            assert_eq!(*faults, named[..1], "ours only, and each once");
        }
        assert_eq!(
            node.counters().confirmations_stray,
            0,
            "the second is expected"
        );
        say(
            &mut node,
            at(1_200),
            1,
            wire::BATCH_ACKNOWLEDGED,
            encode_acknowledgement(&batch),
        );
        assert_eq!(node.counters().confirmations_stray, 1);
        assert_eq!(drain(&mut node), []);
    }
}

/// M16: what Status-like peers may get wrong, or make up.
#[test]
fn m16_bad_and_made_up_confirmations() {
    let batch = BatchHash::new([5; 32]);
    let inner = |version: u64, item: &[u8]| List::new().uint(version).raw(item).finish();
    let many: Vec<Fault> = (0..10_000u32)
        .map(|number| {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            Fault {
                envelope: EnvelopeHash::new(hash),
                code: 37,
                text: "envelope from future".to_owned(),
            }
        })
        .collect();
    for (code, payload, stays, why) in [
        (11, vec![], false, "empty"),
        (11, vec![0xc0], false, "a list"),
        (11, rlp::encode_bytes(&[1; 31]), false, "31 bytes"),
        (11, rlp::encode_bytes(&[1; 33]), false, "33 bytes"),
        (11, encode_acknowledgement(&batch), true, "unsolicited"),
        (12, vec![], false, "empty"),
        (12, vec![0x01], false, "no list"),
        (12, vec![0xc0], false, "an empty list"),
        (12, vec![0xc1, 0x01], false, "a version alone"),
        (12, inner(2, b"\x83xyz"), true, "version 2"),
        (12, inner(1, b"\x83xyz"), true, "broken inside"),
        (12, encode_response(&batch, &[]), true, "unsolicited"),
        (12, encode_response(&batch, &many), true, "10,000 entries"),
        (20, vec![], false, "empty"),
        (20, vec![0x01], false, "no list"),
        (20, vec![0xc0], false, "no numbers"),
        (20, vec![0xc2, 0x01, 0x01], false, "two numbers"),
        (20, vec![0xc4, 1, 1, 1, 1], false, "four numbers"),
        (20, vec![0xc3, 0x01, 0x00, 0x01], false, "a leading zero"),
        (20, vec![0xc3, 0x0a, 0x05, 0x80], true, "good"),
    ] {
        let mut node = with_peer(Config::default(), status_client());
        let (_, hashes) = bundle_out(&mut node);
        say(&mut node, at(1_100), 1, code, payload);
        let outputs = drain(&mut node);
        let error = disconnect(&outputs).map(|error| error.disconnect_code());
        assert_eq!(error, (!stays).then_some(0x10), "code {code}: {why}");
        assert_eq!(confirmed(&outputs), [], "code {code}: {why}");
        assert_eq!(node.envelopes().count(), hashes.len());
    }
    let mut node = with_peer(Config::default(), status_client());
    let (batch, _) = bundle_out(&mut node);
    say(&mut node, at(1_100), 1, 12, encode_response(&batch, &many));
    let found = confirmed(&drain(&mut node));
    assert_eq!(
        found[0].2,
        [],
        "none of the 10,000 is about an envelope of the bundle"
    );
}

#[test]
fn a_peer_that_never_confirms_costs_little() {
    let mut node = with_peer(Config::default(), status_client());
    for number in 0..400u64 {
        let ms = number * 300;
        node.post(at(ms), mined(START + 119, number)).unwrap();
        node.handle(at(ms + 299), Input::Tick);
        drain(&mut node);
    }
    let kept = node.peers[&PeerId(1)].pending.len();
    assert!(kept <= limits::PENDING_BATCHES_MAX && kept > 0, "{kept}");
}
