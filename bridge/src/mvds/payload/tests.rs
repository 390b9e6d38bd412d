use super::*;
use proptest::prelude::*;

const GROUP: &str = "4c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de6";
const ID: &str = "8d99b8443a17b2a5f0706a15858255cc5e92052747b3028c6232e47c2ca257cc";
const PUBLISHED: &str = "e2b802358af702204c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de690f702b0ae80f5059af7020568656c6c6f";
const COMPACT: &str = "222f0a204c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de610b0ae80f5051a0568656c6c6f";
const ACK: &str = "cab802208d99b8443a17b2a5f0706a15858255cc5e92052747b3028c6232e47c2ca257cc";

fn group() -> GroupId {
    GroupId::from_slice(&hex::decode(GROUP).unwrap()).unwrap()
}

fn hello() -> Payload {
    let message = Message::new(group(), 1_587_550_000, *b"hello");
    Payload {
        messages: vec![message],
        ..Payload::default()
    }
}

fn decode(dialect: Dialect, bytes: &[u8]) -> Result<Decoded, PayloadError> {
    Payload::decode(dialect, bytes, BODY_LEN_MAX)
}

#[test]
fn the_known_payloads_in_both_dialects() {
    for (dialect, bytes) in [(Dialect::Published, PUBLISHED), (Dialect::Compact, COMPACT)] {
        assert_eq!(hex::encode(hello().encode(dialect)), bytes);
        let decoded = decode(dialect, &hex::decode(bytes).unwrap()).unwrap();
        assert_eq!(
            decoded,
            Decoded {
                payload: hello(),
                dropped: 0
            }
        );
        assert_eq!(hex::encode(decoded.payload.messages[0].id().bytes()), ID);
    }
    let id = MessageId::from_slice(&hex::decode(ID).unwrap()).unwrap();
    let ack = Payload {
        acks: vec![id],
        ..Payload::default()
    };
    assert_eq!(hex::encode(ack.encode(Dialect::Published)), ACK);
}

#[test]
fn an_empty_payload_has_no_bytes() {
    for dialect in [Dialect::Published, Dialect::Compact] {
        assert!(Payload::default().encode(dialect).is_empty());
        assert!(decode(dialect, &[]).unwrap().payload.is_empty());
    }
}

#[test]
fn only_the_published_dialect_is_sniffed() {
    assert!(is_mvds(&hex::decode(PUBLISHED).unwrap()));
    assert!(is_mvds(&hex::decode(ACK).unwrap()));
    assert!(!is_mvds(&hex::decode(COMPACT).unwrap()));
    assert!(!is_mvds(&[]), "the empty echo of old clients");
    assert!(!is_mvds(b"hello"));
    // An application message: signature, payload, type in the fields 1, 2, 3.
    let mut wrapper = vec![0x0a, 65];
    wrapper.extend([7; 65]);
    wrapper.extend([0x12, 3, 1, 2, 3, 0x18, 1]);
    assert!(!is_mvds(&wrapper));
    assert!(
        decode(Dialect::Compact, &wrapper).is_err()
            || decode(Dialect::Compact, &wrapper).unwrap().dropped > 0
    );
    // The lists parse, the message inside does not.
    assert!(!is_mvds(&hex::decode("e2b80203ffffff").unwrap()));
    // Known to sniffing, useless to a node: an ack of two bytes.
    assert!(is_mvds(&hex::decode("cab8020201ff").unwrap()));
}

#[test]
fn a_payload_of_the_other_dialect_is_refused() {
    let compact = hex::decode(COMPACT).unwrap();
    let error = PayloadError::NoLists { len: compact.len() };
    assert_eq!(decode(Dialect::Published, &compact), Err(error));
    let published = hex::decode(PUBLISHED).unwrap();
    let error = PayloadError::NoLists {
        len: published.len(),
    };
    assert_eq!(decode(Dialect::Compact, &published), Err(error));
}

#[test]
fn ids_of_a_wrong_length_are_dropped_and_the_rest_counts() {
    let mut bytes = hex::decode("cab8021f").unwrap();
    bytes.extend([1; 31]);
    bytes.extend(hex::decode(ACK).unwrap());
    bytes.extend(hex::decode("cab80221").unwrap());
    bytes.extend([1; 33]);
    bytes.extend(hex::decode("d2b80200").unwrap());
    let decoded = decode(Dialect::Published, &bytes).unwrap();
    assert_eq!(
        (
            decoded.payload.acks.len(),
            decoded.payload.offers.len(),
            decoded.dropped
        ),
        (1, 0, 3)
    );
}

#[test]
fn a_group_id_of_24_bytes_is_dropped_although_its_hash_could_be_had() {
    // Group and timestamp of the known message, split eight bytes earlier: the same bytes are hashed.
    let mut message = hex::decode("8af70218").unwrap();
    message.extend([1; 24]);
    let mut bytes = hex::decode("e2b802").unwrap();
    bytes.push(message.len() as u8);
    bytes.extend(message);
    let decoded = decode(Dialect::Published, &bytes).unwrap();
    assert_eq!((decoded.payload.messages.len(), decoded.dropped), (0, 1));
}

#[test]
fn unknown_fields_and_any_order_are_taken_and_the_last_wins() {
    // Body "x", unknown field 7000, timestamp 1, timestamp 2, body "hello", group.
    let mut message =
        hex::decode("9af7020178c2b50301ff90f7020190f7020a9af7020568656c6c6f8af70220").unwrap();
    message.extend(group().bytes());
    let mut bytes = hex::decode("1001e2b802").unwrap();
    bytes.push(message.len() as u8);
    bytes.extend(message);
    let decoded = decode(Dialect::Published, &bytes).unwrap();
    let expected = Message::new(group(), 10, *b"hello");
    assert_eq!(decoded.payload.messages, [expected]);
}

#[test]
fn bounds_are_exact() {
    let ack = hex::decode(ACK).unwrap();
    assert_eq!(
        decode(Dialect::Published, &ack.repeat(1_000))
            .unwrap()
            .payload
            .acks
            .len(),
        1_000
    );
    assert_eq!(
        decode(Dialect::Published, &ack.repeat(1_001)),
        Err(PayloadError::ListTooLong { len: 1_001 })
    );
    // A list of empty entries is counted too, and no memory is taken for it.
    assert_eq!(
        decode(
            Dialect::Published,
            &hex::decode("e2b80200").unwrap().repeat(250_000)
        ),
        Err(PayloadError::ListTooLong { len: 250_000 })
    );
    let payload = |len: usize| Payload {
        messages: vec![Message::new(group(), 1, vec![0; len])],
        ..Payload::default()
    };
    let most = payload(100).encode(Dialect::Published);
    assert!(Payload::decode(Dialect::Published, &most, 100).is_ok());
    assert_eq!(
        Payload::decode(Dialect::Published, &most, 99),
        Err(PayloadError::BodyTooLong { len: 100, max: 99 })
    );
    let long = vec![0; PAYLOAD_LEN_MAX + 1];
    assert_eq!(
        decode(Dialect::Published, &long),
        Err(PayloadError::TooLong {
            len: PAYLOAD_LEN_MAX + 1
        })
    );
    let mut message = Message::new(group(), 1, *b"");
    let parents = |count| {
        Some(Metadata {
            parents: vec![MessageId::new([1; 32]); count],
            ephemeral: false,
        })
    };
    message.metadata = parents(64);
    let with = |message: &Message| Payload {
        messages: vec![message.clone()],
        ..Payload::default()
    };
    assert!(decode(Dialect::Compact, &with(&message).encode(Dialect::Compact)).is_ok());
    message.metadata = parents(65);
    assert_eq!(
        decode(Dialect::Compact, &with(&message).encode(Dialect::Compact)),
        Err(PayloadError::TooManyParents { len: 65 })
    );
}

#[test]
fn a_whole_envelope_fits_a_body_when_the_node_says_so() {
    let body = vec![7; 1_048_576 + 20];
    let payload = Payload {
        messages: vec![Message::new(group(), 1, body)],
        ..Payload::default()
    };
    let bytes = payload.encode(Dialect::Published);
    assert!(bytes.len() <= PAYLOAD_LEN_MAX);
    assert_eq!(
        Payload::decode(Dialect::Published, &bytes, 1_100_000)
            .unwrap()
            .payload,
        payload
    );
}

#[test]
fn truncated_payloads_are_refused() {
    for (dialect, bytes) in [(Dialect::Published, PUBLISHED), (Dialect::Compact, COMPACT)] {
        let bytes = hex::decode(bytes).unwrap();
        for len in 1..bytes.len() {
            assert_eq!(
                decode(dialect, &bytes[..len]),
                Err(PayloadError::Malformed),
                "{len}"
            );
        }
    }
}

fn ids() -> impl Strategy<Value = Vec<MessageId>> {
    prop::collection::vec(any::<[u8; 32]>().prop_map(MessageId::new), 0..6)
}

fn message() -> impl Strategy<Value = Message> {
    let metadata = prop::option::of((ids(), any::<bool>()));
    (any::<[u8; 32]>(), any::<i64>(), any::<Vec<u8>>(), metadata).prop_map(
        |(group, timestamp, body, metadata)| {
            let metadata = metadata.map(|(parents, ephemeral)| Metadata { parents, ephemeral });
            Message {
                metadata,
                ..Message::new(GroupId::new(group), timestamp, body)
            }
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    (ids(), ids(), ids(), prop::collection::vec(message(), 0..4)).prop_map(
        |(acks, offers, requests, messages)| Payload {
            acks,
            offers,
            requests,
            messages,
        },
    )
}

proptest! {
    #[test]
    fn any_payload_comes_back(payload in payload()) {
        for dialect in [Dialect::Published, Dialect::Compact] {
            let bytes = payload.encode(dialect);
            let decoded = decode(dialect, &bytes).unwrap();
            prop_assert_eq!(&decoded.payload, &payload);
            prop_assert_eq!(decoded.dropped, 0);
            prop_assert_eq!(decoded.payload.encode(dialect), bytes);
        }
        prop_assert_eq!(is_mvds(&payload.encode(Dialect::Published)), !payload.is_empty());
    }

    #[test]
    fn lengths_of_entries_add_up(payload in payload()) {
        for dialect in [Dialect::Published, Dialect::Compact] {
            let ids = payload.acks.len() + payload.offers.len() + payload.requests.len();
            let messages: usize = payload.messages.iter().map(|message| message.entry_len(dialect)).sum();
            prop_assert_eq!(payload.encode(dialect).len(), ids * dialect.id_entry_len() + messages);
        }
        for message in &payload.messages {
            let with_metadata = Message { metadata: message.metadata.clone().or(Some(Metadata::default())), ..message.clone() };
            prop_assert!(with_metadata.entry_len(Dialect::Compact) <= message.entry_len(Dialect::Published));
            let stored = Message::from_bytes(&message.to_bytes());
            prop_assert_eq!(stored.as_ref(), Some(message));
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>) {
        for dialect in [Dialect::Published, Dialect::Compact] {
            if let Ok(decoded) = decode(dialect, &bytes) {
                let again = decode(dialect, &decoded.payload.encode(dialect)).unwrap();
                prop_assert_eq!(again.payload, decoded.payload);
            }
        }
        let _ = is_mvds(&bytes);
    }
}
