#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// A bundle of one envelope with a hash of its own, as the published example has it.
const BATCH: &str = "b2020ba262300f4458fab4fac5ee716a5b9fb0f7af653f9431efd5227e00a3f0";
const ENVELOPE: &str = "ee0438c3e437dc3accf500bf8178dd1a1416ac18254a6b39aa1775ee3b383442";
const BUNDLE: &str = "f0ef845f5e100f0f8470a4beefa0000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f820135";

fn hash(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn batch() -> BatchHash {
    BatchHash::new(hash(BATCH))
}

fn fault() -> Fault {
    Fault::of(
        EnvelopeHash::new(hash(ENVELOPE)),
        &Reject::InFuture { ahead: 11 },
    )
    .unwrap()
}

fn response(payload: &[u8]) -> (BatchHash, Vec<Fault>) {
    match Reply::decode(payload) {
        Ok(Reply::Response(response)) => (response.batch(), response.faults().collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_published_bytes() {
    assert_eq!(BatchHash::of(&hex::decode(BUNDLE).unwrap()), batch());
    let short = encode_acknowledgement(&batch());
    assert_eq!(hex::encode(&short), format!("a0{BATCH}"));
    assert_eq!(decode_acknowledgement(&short), Ok(batch()));
    let clean = encode_response(&batch(), &[]);
    assert_eq!(hex::encode(&clean), format!("e401e2a0{BATCH}c0"));
    assert_eq!(response(&clean), (batch(), vec![]));
    let with_fault = encode_response(&batch(), &[fault()]);
    assert_eq!(
        hex::encode(&with_fault),
        format!(
            "f85e01f85ba0{BATCH}f838f7a0{ENVELOPE}2594656e76656c6f70652066726f6d20667574757265"
        )
    );
    assert_eq!(response(&with_fault), (batch(), vec![fault()]));
}

#[test]
fn clocks_have_a_code_of_their_own() {
    let envelope = EnvelopeHash::new([1; 32]);
    let code = |reject| Fault::of(envelope, &reject).map(|fault| fault.code);
    assert_eq!(code(Reject::InFuture { ahead: 11 }), Some(37));
    assert_eq!(code(Reject::VeryOld { ago: 21 }), Some(37));
    assert_eq!(code(Reject::NoBloomMatch), Some(38));
    assert_eq!(code(Reject::Expired { ago: 3 }), None, "nobody's fault");
    let old = Fault::of(envelope, &Reject::VeryOld { ago: 21 }).unwrap();
    assert_eq!(old.text, "very old envelope");
}

#[test]
fn malformed_acknowledgements() {
    for payload in ["", "80", "c0", "a0", "9f", "e0", "c1a0"] {
        assert!(
            decode_acknowledgement(&hex::decode(payload).unwrap()).is_err(),
            "{payload}"
        );
    }
    for len in [0, 31, 33, 64] {
        assert!(
            decode_acknowledgement(&rlp::encode_bytes(&vec![1; len])).is_err(),
            "{len} bytes"
        );
    }
    let mut longer = encode_acknowledgement(&batch());
    longer.push(0);
    assert!(decode_acknowledgement(&longer).is_err(), "trailing byte");
}

#[test]
fn only_a_broken_outer_list_is_an_error() {
    let inner = List::new().bytes(batch().as_bytes()).list(List::new());
    let outer = |version: u64| List::new().uint(version);
    for payload in [
        vec![],
        vec![0x80],
        vec![0xc0],
        outer(1).finish(),
        outer(1).raw(&[0xc0]).raw(&[0xc0]).finish(),
        List::new().bytes(b"123456789").raw(&[0xc0]).finish(),
        List::new().raw(&[0xc0]).raw(&[0xc0]).finish(),
        [encode_response(&batch(), &[]), vec![0]].concat(),
    ] {
        let error = Reply::decode(&payload).unwrap_err();
        assert_eq!(error.disconnect_code(), 0x10, "{}", hex::encode(&payload));
    }
    let later = outer(2).raw(b"\x83xyz").finish();
    assert!(matches!(Reply::decode(&later), Ok(Reply::OtherVersion(2))));
    let hash = || List::new().bytes(batch().as_bytes());
    for (why, response) in [
        ("no list", rlp::encode_bytes(b"no")),
        ("empty", vec![0xc0]),
        ("no faults", hash().finish()),
        ("three items", hash().list(List::new()).uint(1).finish()),
        (
            "short hash",
            List::new().bytes(&[1; 31]).list(List::new()).finish(),
        ),
        ("faults are bytes", hash().bytes(b"").finish()),
        (
            "a fault is bytes",
            hash().list(List::new().uint(1)).finish(),
        ),
        (
            "a fault of two",
            hash()
                .list(List::new().list(List::new().bytes(&[1; 32]).uint(37)))
                .finish(),
        ),
        (
            "the code is a list",
            hash()
                .list(List::new().list(List::new().bytes(&[1; 32]).list(List::new()).bytes(b"")))
                .finish(),
        ),
    ] {
        let payload = outer(1).raw(&response).finish();
        assert!(
            matches!(Reply::decode(&payload), Ok(Reply::Unreadable(_))),
            "{why}"
        );
    }
    assert!(matches!(
        Reply::decode(&outer(1).list(inner).finish()),
        Ok(Reply::Response(_))
    ));
}

#[test]
fn long_and_odd_texts_are_cut_and_mended() {
    let odd = Fault {
        text: "x".repeat(10_000),
        ..fault()
    };
    let (_, faults) = response(&encode_response(&batch(), &[odd]));
    assert_eq!(faults[0].text.len(), FAULT_TEXT_LEN_MAX);
    let fields = List::new().bytes(&[1; 32]).uint(99).bytes(&[0xff, b'a']);
    let payload = List::new()
        .uint(1)
        .list(
            List::new()
                .bytes(batch().as_bytes())
                .list(List::new().list(fields)),
        )
        .finish();
    let (_, faults) = response(&payload);
    assert_eq!((faults[0].code, faults[0].text.as_str()), (99, "\u{fffd}a"));
}

#[test]
fn a_bundle_is_answered_twice_and_forgotten() {
    let mut pending = Pending::default();
    let envelopes: Arc<[EnvelopeHash]> = Arc::new([EnvelopeHash::new([1; 32])]);
    assert_eq!(pending.answer(&batch()), Answer::Stray);
    pending.expect(batch(), Arc::clone(&envelopes));
    assert_eq!(pending.answer(&batch()), Answer::First(envelopes.clone()));
    assert_eq!(pending.answer(&batch()), Answer::Second);
    assert_eq!(pending.answer(&batch()), Answer::Stray);
    for number in 0..3 * PENDING_BATCHES_MAX {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        pending.expect(BatchHash::new(id), envelopes.clone());
    }
    assert_eq!(pending.0.len(), PENDING_BATCHES_MAX);
}

proptest! {
    #[test]
    fn responses_survive(batch in any::<[u8; 32]>(), faults in prop::collection::vec((any::<[u8; 32]>(), any::<u64>(), "[ -~]{0,60}"), 0..40)) {
        let faults: Vec<Fault> = faults
            .into_iter()
            .map(|(envelope, code, text)| Fault { envelope: EnvelopeHash::new(envelope), code, text })
            .collect();
        let payload = encode_response(&BatchHash::new(batch), &faults);
        prop_assert_eq!(response(&payload), (BatchHash::new(batch), faults));
    }

    #[test]
    fn garbage_never_panics(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_acknowledgement(&payload);
        if let Ok(Reply::Response(response)) = Reply::decode(&payload) {
            let _ = response.faults().count();
        }
    }
}
