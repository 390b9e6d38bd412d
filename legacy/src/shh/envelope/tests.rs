#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const RAW: &str = "ef845f5e100f0f8470a4beefa0000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f820135";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn published_envelope() {
    let envelope = Envelope::parse(&bytes(RAW)).unwrap();
    assert_eq!(
        (envelope.expiry(), envelope.ttl(), envelope.sent()),
        (1_600_000_015, 15, 1_600_000_000)
    );
    assert_eq!(envelope.topic(), Topic::new([0x70, 0xa4, 0xbe, 0xef]));
    assert_eq!(envelope.data(), (0..32).collect::<Vec<u8>>());
    assert_eq!(
        (
            envelope.fields().nonce(),
            envelope.size(),
            envelope.zero_bits()
        ),
        (309, 52, 8)
    );
    assert_eq!(
        envelope.hash().to_string(),
        "ee0438c3e437dc3accf500bf8178dd1a1416ac18254a6b39aa1775ee3b383442"
    );
    assert_eq!(envelope.pow(), 0.379_259_259_259_259_3);
    assert_eq!(envelope.pow_at(1_600_000_000), envelope.pow());
    assert_eq!(envelope.pow_at(1_599_999_995), 0.270_899_470_899_470_9);
}

#[test]
fn canonical_sealing_of_a_published_envelope() {
    let data: Vec<u8> = (0..64).collect();
    let draft = Draft::new(
        1_587_550_090,
        90,
        Topic::new([0x59, 0xcb, 0xac, 0x69]),
        &data,
    );
    let short = draft.short_rlp();
    assert_eq!(hex::encode(&short[..15]), "f84d845ea0178a5a8459cbac69b840");
    assert_eq!(short.len(), 79);
    let search = draft.canonical_search(0.002);
    assert_eq!(search.bits(), 4);
    let envelope = draft.finish(search.run(1 << 16, || false).unwrap());
    assert_eq!(envelope.fields().nonce(), 49);
    assert_eq!(
        envelope.hash().to_string(),
        "3733b93defeec5fe1139c52fac56aa7a0612b21093f0b79f43602cf126fba7ee"
    );
    assert_eq!(
        hex::encode(envelope.content_hash()),
        "487287867bf5294cc948e78d14814342ff7fdfcfa5fd85431a1b35f264573046"
    );
    assert_eq!(format!("{:.7}", envelope.pow()), "0.0045007");
    assert_eq!(envelope.raw().last(), Some(&0x31));
}

/// A list of items that are encoded already.
fn list(items: &[&str]) -> Vec<u8> {
    let content = bytes(&items.concat());
    let mut raw = list_header(content.len()).as_slice().to_vec();
    raw.extend_from_slice(&content);
    raw
}

#[test]
fn broken_envelopes_are_named() {
    const TOPIC: &str = "8474657374";
    let nine = format!("89{}", "01".repeat(9));
    for (items, expected) in [
        (vec!["0a", "0a", TOPIC, "80"], RlpError::TooFewItems),
        (
            vec!["0a", "0a", TOPIC, "80", "01", "01"],
            RlpError::TooManyItems,
        ),
        (
            vec!["0a", "0a", "83746573", "80", "01"],
            RlpError::Length {
                expected: 4,
                found: 3,
            },
        ),
        (
            vec!["0a", "0a", "857465737474", "80", "01"],
            RlpError::Length {
                expected: 4,
                found: 5,
            },
        ),
        (
            vec!["810a", "0a", TOPIC, "80", "01"],
            RlpError::NotCanonical,
        ),
        (vec!["00", "0a", TOPIC, "80", "01"], RlpError::NotCanonical),
        (
            vec!["0a", "820001", TOPIC, "80", "01"],
            RlpError::NotCanonical,
        ),
        (
            vec!["0a", "850100000000", TOPIC, "80", "01"],
            RlpError::TooLarge { bytes: 5 },
        ),
        (
            vec!["0a", "0a", TOPIC, "80", &nine],
            RlpError::TooLarge { bytes: 9 },
        ),
        (
            vec!["0a", "0a", TOPIC, "80", "820001"],
            RlpError::NotCanonical,
        ),
        (vec!["0a", "c0", TOPIC, "80", "01"], RlpError::List),
        (vec!["0a", "0a", TOPIC, "c0", "01"], RlpError::List),
        (vec!["0a", "0a", TOPIC, "80", "c0"], RlpError::List),
        (vec!["0a", "0a", "c474657374", "80", "01"], RlpError::List),
        (
            vec!["0a", "0a", TOPIC, "b801ff", "01"],
            RlpError::NotCanonical,
        ),
        (vec!["0a", "0a", TOPIC, "82ff"], RlpError::TooShort),
    ] {
        assert_eq!(
            Envelope::parse(&list(&items)).map(|_| ()),
            Err(expected),
            "{items:?}"
        );
    }
    let parse = |text: &str| Envelope::parse(&bytes(text)).map(|_| ());
    assert_eq!(parse("c90a0a84746573748001"), Ok(()));
    assert_eq!(
        parse("c90a0a84746573748001ff"),
        Err(RlpError::Trailing { len: 1 })
    );
    assert_eq!(parse("ca0a0a84746573748001"), Err(RlpError::TooShort));
    assert_eq!(parse("f8090a0a84746573748001"), Err(RlpError::NotCanonical));
    assert_eq!(parse("890a0a84746573748001"), Err(RlpError::NotList));
    assert_eq!(parse(""), Err(RlpError::TooShort));
}

#[test]
fn list_headers_are_those_of_the_encoding() {
    for len in [0usize, 1, 55, 56, 255, 256, 65_535, 65_536, 1_100_000] {
        let content = vec![1; len];
        let whole = content
            .iter()
            .fold(crate::rlp::List::new(), |list, _| list.uint(1))
            .finish();
        assert_eq!(
            list_header(len).as_slice(),
            &whole[..whole.len() - len],
            "{len}"
        );
    }
}

#[test]
fn a_ttl_above_the_expiry_wraps() {
    let envelope = Draft::new(5, 10, Topic::default(), b"").finish(0);
    assert_eq!(envelope.sent(), u32::MAX - 4);
    assert_eq!(envelope.fields().ahead(100), u32::MAX - 103);
    assert_eq!(
        Draft::new(u32::MAX, 0, Topic::default(), b"")
            .finish(0)
            .fields()
            .ahead(0),
        u32::MAX
    );
}

proptest! {
    #[test]
    fn drafts_come_back(expiry: u32, ttl: u32, topic: [u8; 4], data in proptest::collection::vec(any::<u8>(), 0..400), nonce: u64) {
        let draft = Draft::new(expiry, ttl, Topic::new(topic), &data);
        let envelope = draft.finish(nonce);
        prop_assert_eq!((envelope.expiry(), envelope.ttl(), envelope.topic()), (expiry, ttl, Topic::new(topic)));
        prop_assert_eq!((envelope.data(), envelope.fields().nonce()), (data.as_slice(), nonce));
        prop_assert_eq!(envelope.fields().short_len(), draft.short_rlp().len());
        prop_assert_eq!(envelope.zero_bits(), pow::zero_bits(&pow::proof(&[&draft.short_rlp()], nonce)));
        let outline = Outline::parse(envelope.raw()).unwrap();
        prop_assert_eq!(outline.hash(), envelope.hash());
        let (hashes, bits) = (Outline::hash_each(&[&outline; 3]), Outline::zero_bits_each(&[&outline; 3]));
        prop_assert_eq!(&hashes, &[envelope.hash(); 3]);
        prop_assert_eq!(Outline::both_each(&[&outline; 2]), [(hashes[0], bits[0]); 2]);
        prop_assert_eq!(&outline.lift(hashes[0], bits[0]), &envelope);
    }

    #[test]
    fn changed_bytes_never_parse_to_the_same_hash(at in 0usize..48, change in 1u8..) {
        let mut raw = bytes(RAW);
        raw[at] ^= change;
        if let Ok(envelope) = Envelope::parse(&raw) {
            prop_assert_ne!(envelope.hash(), Envelope::parse(&bytes(RAW)).unwrap().hash());
            prop_assert_eq!(&envelope.raw()[..], raw.as_slice());
        }
    }
}
