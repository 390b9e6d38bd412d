use super::*;
use crate::enode::EnodeError;

const TEXT: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8";

fn key() -> SecretKey {
    let bytes = hex::decode("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291");
    SecretKey::from_bytes(&bytes.unwrap().try_into().unwrap()).unwrap()
}

fn published() -> Place {
    Place {
        ip: Some(Ipv4Addr::LOCALHOST),
        udp: Some(30303),
        ..Place::default()
    }
}

/// A record with these pairs, signed as it should be.
fn signed(seq: u64, pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let write = |list: List| {
        pairs.iter().fold(list.uint(seq), |list, (name, value)| {
            list.bytes(name).raw(value)
        })
    };
    let signature = key().sign(&keccak256(&write(List::new()).finish()));
    write(List::new().bytes(&signature[..64])).finish()
}

fn compressed() -> Vec<u8> {
    encode_bytes(&key().public().to_compressed())
}

#[test]
fn the_published_record_is_read_and_written() {
    let record: Record = TEXT.parse().unwrap();
    assert_eq!(record.seq(), 1);
    assert_eq!(record.public_key(), &key().public());
    assert!(*record.place() == published());
    assert_eq!(record.to_string(), TEXT);
    assert_eq!(Record::sign(&key(), 1, published()).to_string(), TEXT);
    let enode = record.enode().unwrap();
    assert_eq!((enode.tcp().port(), enode.udp_port()), (0, 30303));
    assert_eq!(record.get("udp"), Some(&encode_uint(30303)[..]));
    assert_eq!(record.get("tcp"), None);
}

#[test]
fn a_record_is_accepted_where_an_enode_is() {
    let place = Place::new("203.0.113.5".parse().unwrap(), 30301, 30303);
    let text = Record::sign(&key(), 7, place).to_string();
    let enode: Enode = text.parse().unwrap();
    assert_eq!(enode.tcp(), "203.0.113.5:30303".parse().unwrap());
    assert_eq!(enode.udp_port(), 30301);
    assert_eq!(enode.public_key(), &key().public());
    assert_eq!(
        format!("{text}A").parse::<Enode>(),
        Err(EnodeError::Record(EnrError::Base64))
    );
    let nowhere = Record::sign(&key(), 1, Place::default()).to_string();
    assert_eq!(
        nowhere.parse::<Enode>(),
        Err(EnodeError::RecordWithoutAddress)
    );
}

#[test]
fn an_address_of_the_newer_kind_has_its_own_ports() {
    let place = Place {
        ip6: Some(Ipv6Addr::LOCALHOST),
        tcp: Some(1),
        udp: Some(2),
        udp6: Some(3),
        ..Place::default()
    };
    let enode = Record::sign(&key(), 1, place).enode().unwrap();
    assert_eq!(enode.tcp(), "[::1]:1".parse().unwrap());
    assert_eq!(enode.udp_port(), 3);
}

#[test]
fn a_move_has_the_next_number_and_no_move_has_not() {
    let first = Record::sign(&key(), 4, published());
    assert_eq!(first.moved(&key(), published()), first);
    let second = first.moved(
        &key(),
        Place {
            tcp: Some(30303),
            ..published()
        },
    );
    assert_eq!(second.seq(), 5);
    assert_eq!(Record::decode(second.raw()), Ok(second));
}

#[test]
fn keys_that_are_not_known_are_kept() {
    let (id, key) = (encode_bytes(b"v4"), compressed());
    let bytes = signed(
        1,
        &[(b"eth", &[0xc1, 5]), (b"id", &id), (b"secp256k1", &key)],
    );
    let record = Record::decode(&bytes).unwrap();
    assert_eq!(record.raw(), bytes);
    assert_eq!(record.get("eth"), Some(&[0xc1, 5][..]));
}

/// As go-ethereum has it: such a value is no place, and the record is still one.
#[test]
fn places_of_another_form_are_absent() {
    let (id, key) = (encode_bytes(b"v4"), compressed());
    let (short, wide) = (encode_bytes(&[1, 2, 3]), encode_uint(65_536));
    let record = Record::decode(&signed(
        1,
        &[
            (b"id", &id),
            (b"ip", &short),
            (b"secp256k1", &key),
            (b"tcp", &wide),
            (b"udp", &[0xc0]),
        ],
    ));
    assert!(*record.unwrap().place() == Place::default());
}

#[test]
fn bad_records_name_what_is_wrong() {
    let (id, key) = (encode_bytes(b"v4"), compressed());
    let good: [(&[u8], &[u8]); 2] = [(b"id", &id), (b"secp256k1", &key)];
    let long = encode_bytes(&[7; 200]);
    let short_key = encode_bytes(&[2; 32]);
    let off_curve = encode_bytes(&[5; 33]);
    let v5 = encode_bytes(b"v5");
    let mut changed = signed(1, &good);
    let at = changed.len() - 40;
    changed[at] ^= 1;
    let mut trailing = signed(1, &good);
    trailing.push(0);
    let mut other_signature = signed(1, &good);
    other_signature[10] ^= 1;
    for (bytes, error) in [
        (vec![], EnrError::Malformed(RlpError::TooShort)),
        (vec![0x80], EnrError::Malformed(RlpError::NotList)),
        (vec![0xc0], EnrError::Malformed(RlpError::TooFewItems)),
        (
            List::new().bytes(&[0; 64]).finish(),
            EnrError::Malformed(RlpError::TooFewItems),
        ),
        (trailing, EnrError::Malformed(RlpError::Trailing { len: 1 })),
        (
            signed(1, &[good[0], (b"ip", &long), good[1]]),
            EnrError::TooLong { len: 325 },
        ),
        (signed(1, &[good[1], good[0]]), EnrError::NotSorted),
        (
            signed(1, &[good[0], good[0], good[1]]),
            EnrError::DuplicateKey,
        ),
        (signed(1, &[good[1]]), EnrError::Scheme),
        (signed(1, &[(b"id", &v5), good[1]]), EnrError::Scheme),
        (signed(1, &[good[0]]), EnrError::NoKey),
        (
            signed(1, &[good[0], (b"secp256k1", &short_key)]),
            EnrError::Malformed(RlpError::Length {
                expected: 33,
                found: 32,
            }),
        ),
        (
            signed(1, &[good[0], (b"secp256k1", &off_curve)]),
            EnrError::Key(KeyError::NotOnCurve),
        ),
        (
            List::new()
                .bytes(&[1; 63])
                .uint(1)
                .bytes(b"id")
                .raw(&id)
                .bytes(b"secp256k1")
                .raw(&key)
                .finish(),
            EnrError::SignatureLength { found: 63 },
        ),
        (
            List::new().bytes(&[1; 64]).uint(1).bytes(b"id").finish(),
            EnrError::OddCount,
        ),
        (other_signature, EnrError::Signature),
    ] {
        assert_eq!(
            Record::decode(&bytes),
            Err(error),
            "{}",
            hex::encode(&bytes)
        );
    }
    assert!(Record::decode(&changed).is_err());
}

#[test]
fn bad_texts_name_what_is_wrong() {
    for (text, error) in [
        (String::new(), EnrError::Prefix),
        (TEXT[4..].to_owned(), EnrError::Prefix),
        (TEXT.replace("enr:", "ENR:"), EnrError::Prefix),
        (format!("{TEXT}="), EnrError::Base64),
        (format!("{TEXT} "), EnrError::Base64),
        (TEXT.replace('_', "/"), EnrError::Base64),
        (TEXT[..TEXT.len() - 1].to_owned(), EnrError::Base64),
        (
            format!("enr:{}", "A".repeat(500)),
            EnrError::TooLong { len: 375 },
        ),
    ] {
        assert_eq!(text.parse::<Record>(), Err(error), "{text}");
    }
}

#[test]
fn debug_says_nothing_of_the_place() {
    let text = format!("{:?}", TEXT.parse::<Record>().unwrap());
    assert!(!text.contains("127") && text.contains("seq 1"), "{text}");
}
