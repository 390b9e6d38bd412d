use super::*;

/// The identity of test node `n`.
pub(crate) fn identity(n: u16) -> [u8; 32] {
    let mut secret = [7; 32];
    secret[..2].copy_from_slice(&n.to_be_bytes());
    secret
}

/// The peer key of test node `n`.
pub(crate) fn peer_key(n: u16) -> PeerKey {
    let secret = secp256k1::SecretKey::from_secret_bytes(identity(n)).unwrap();
    PeerKey::from_bytes(secret.public_key().serialize()).unwrap()
}

fn statement(n: u16) -> Statement {
    Statement {
        serial: 60,
        address: Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4000 + n)),
        places: vec![
            Place {
                transport: Transport::Quic,
                at: "192.0.2.1:4001".parse().unwrap(),
            },
            Place {
                transport: Transport::Tcp,
                at: "[2001:db8::1]:4002".parse().unwrap(),
            },
        ],
        next_mix_key: Some(PublicKey::from_bytes([8; 32])),
        capacity: 300,
        load: 64,
        capabilities: Capabilities {
            relay: true,
            bridge: true,
            mailbox: false,
        },
        gateway_key: Some([6; 32]),
        ..Statement::new(3, PublicKey::from_bytes([5; 32]))
    }
}

fn signed(n: u16) -> Descriptor {
    Descriptor::sign(statement(n), &identity(n)).unwrap()
}

/// The JSON of a good descriptor after `change`, read again.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<Descriptor, DescriptorError> {
    let mut json = signed(1).to_json();
    change(&mut json);
    Descriptor::from_json(&json.to_string())
}

#[test]
fn a_descriptor_survives_its_file() {
    let list = [signed(1), signed(2)];
    let text = Descriptor::list_to_json(&list);
    assert_eq!(Descriptor::list_from_json(&text), Ok(list.to_vec()));
    assert_eq!(
        Descriptor::from_json(&list[0].to_json().to_string()),
        Ok(list[0].clone())
    );
}

#[test]
fn a_client_without_address_or_gateway_key_is_fine() {
    let client = Statement::new(0, PublicKey::from_bytes([5; 32]));
    let client = Descriptor::sign(client, &identity(1)).unwrap();
    let json = client.to_json().to_string();
    assert_eq!(Descriptor::from_json(&json).as_ref(), Ok(&client));
    assert_eq!(Descriptor::from_bytes(&client.to_bytes()), Ok(client));
}

#[test]
fn the_byte_form_is_fixed() {
    let descriptor = signed(1);
    let proof = Proof::search(&peer_key(1));
    let expected = [
        "01",
        "00000003",
        "0000003c",
        &hex::encode(peer_key(1).as_bytes()),
        "c0000201",
        "00",
        "0fa1",
        &"05".repeat(32),
        &"08".repeat(32),
        "0003",
        "012c",
        "0040",
        &hex::encode(proof.0.to_be_bytes()),
        &"06".repeat(32),
        "02",
        "01c00002010fa1",
        "8020010db8000000000000000000000001",
        "0fa2",
    ]
    .concat();
    assert_eq!(hex::encode(descriptor.signed_bytes()), expected);
    let bytes = descriptor.to_bytes();
    assert_eq!(bytes.len(), expected.len() / 2 + SIGNATURE_LEN);
    assert_eq!(Descriptor::from_bytes(&bytes), Ok(descriptor));
    // A relay with one address is the shortest that others need.
    let relay = Statement {
        address: statement(1).address,
        capabilities: Capabilities {
            relay: true,
            ..Capabilities::default()
        },
        ..Statement::new(3, PublicKey::from_bytes([5; 32]))
    };
    let relay = Descriptor::sign(relay, &identity(1)).unwrap();
    assert_eq!(relay.to_bytes().len(), DESCRIPTOR_LEN_MIN);
    assert_eq!(DESCRIPTOR_LEN_MIN, 192);
}

#[test]
fn no_byte_may_change_and_none_may_be_cut_or_added() {
    let bytes = signed(1).to_bytes();
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(Descriptor::from_bytes(&other).is_err(), "byte {at}");
        let cut = Descriptor::from_bytes(&bytes[..at]);
        assert!(cut.is_err(), "cut at {at}");
    }
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(
        Descriptor::from_bytes(&more),
        Err(DescriptorError::Length(more.len()))
    );
}

/// A stranger's garbage must cost one hash, not a signature: the proof is looked at first.
#[test]
fn the_proof_comes_before_the_signature() {
    let mut bytes = signed(1).to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(
        Descriptor::from_bytes(&bytes),
        Err(DescriptorError::Signature)
    );
    bytes[1 + 4 + 4 + 33 + 7 + 64 + 6] ^= 0x40;
    assert_eq!(Descriptor::from_bytes(&bytes), Err(DescriptorError::Proof));
}

#[test]
fn of_two_statements_everybody_keeps_the_same() {
    let with = |epoch, serial, load| {
        let changed = Statement {
            epoch,
            serial,
            load,
            ..statement(1)
        };
        Descriptor::sign(changed, &identity(1)).unwrap()
    };
    let (old, next) = (with(3, 60, 64), with(4, 0, 64));
    assert!(next.is_newer_than(&old) && !old.is_newer_than(&next));
    assert!(with(3, 61, 64).is_newer_than(&old) && !old.is_newer_than(&old));
    let (a, b) = (with(3, 60, 64), with(3, 60, 128));
    assert_ne!(a.is_newer_than(&b), b.is_newer_than(&a));
    assert_eq!(old.mix_key_in(3), Some(PublicKey::from_bytes([5; 32])));
    assert_eq!(old.mix_key_in(4), Some(PublicKey::from_bytes([8; 32])));
    assert_eq!((old.mix_key_in(2), old.mix_key_in(5)), (None, None));
}

#[test]
fn every_field_is_signed() {
    let changes: [(&str, serde_json::Value); 10] = [
        ("epoch", 4.into()),
        ("serial", 61.into()),
        ("address", "192.0.2.1:4002".into()),
        ("transport", "quic".into()),
        ("places", serde_json::json!([])),
        ("mix_key", "04".repeat(32).into()),
        ("next_mix_key", "04".repeat(32).into()),
        ("capacity", 301.into()),
        ("load", 128.into()),
        ("gateway_key", "07".repeat(32).into()),
    ];
    for (field, value) in changes {
        let read = changed(|json| json[field] = value);
        assert_eq!(read, Err(DescriptorError::Signature), "{field}");
    }
    let read = changed(|json| json["capabilities"] = serde_json::json!(["bridge"]));
    assert_eq!(read, Err(DescriptorError::Signature));
    // The proof is for the peer: with another peer, the old one hardly ever holds.
    let other = hex::encode(peer_key(2).as_bytes());
    let proof = Proof::search(&peer_key(2)).0;
    let read = changed(|json| json["peer"] = other.clone().into());
    assert_eq!(read, Err(DescriptorError::Proof));
    let read = changed(|json| {
        json["peer"] = other.into();
        json["proof"] = proof.into();
    });
    assert_eq!(read, Err(DescriptorError::Signature));
}

#[test]
fn broken_signatures_are_refused() {
    for signature in ["00".repeat(64), "ff".repeat(64)] {
        let read = changed(|json| json["signature"] = signature.into());
        assert_eq!(read, Err(DescriptorError::Signature));
    }
    // The other s of the same signature is valid in mathematics, but only one form is accepted.
    let high = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let read = changed(|json| {
        let text = json["signature"].as_str().unwrap().to_owned();
        json["signature"] = format!("{}{}", &text[..64], subtract(high, &text[64..])).into();
    });
    assert_eq!(read, Err(DescriptorError::Signature));
}

/// `a - b` of two 32-byte numbers in hexadecimal.
fn subtract(a: &str, b: &str) -> String {
    let (a, b) = (hex::decode(a).unwrap(), hex::decode(b).unwrap());
    let mut difference = [0u8; 32];
    let mut borrow = 0i16;
    for i in (0..32).rev() {
        let digit = i16::from(a[i]) - i16::from(b[i]) - borrow;
        borrow = i16::from(digit < 0);
        difference[i] = digit.rem_euclid(256) as u8;
    }
    hex::encode(difference)
}

#[test]
fn malformed_fields_are_named() {
    let read = |field: &str, value: serde_json::Value| {
        let field = field.to_owned();
        changed(move |json| json[field] = value).unwrap_err()
    };
    assert_eq!(read("version", 2.into()), DescriptorError::Version(2));
    let hex = |field, bytes, given| DescriptorError::Hex {
        field,
        bytes,
        given,
    };
    assert_eq!(read("peer", "00".into()), hex("peer", 33, 2));
    assert_eq!(
        read("peer", "05".repeat(33).into()),
        DescriptorError::BadPeer
    );
    assert_eq!(
        read("mix_key", "zz".repeat(32).into()),
        hex("mix_key", 32, 64)
    );
    assert_eq!(read("signature", "".into()), hex("signature", 64, 0));
    assert_eq!(
        read("transport", "pigeon".into()),
        DescriptorError::UnknownTransport("pigeon".into())
    );
    assert_eq!(
        read("capabilities", serde_json::json!(["relais"])),
        DescriptorError::UnknownCapability("relais".into())
    );
    assert_eq!(
        read("address", "192.0.2.1:0".into()),
        DescriptorError::UnusableAddress
    );
    assert!(matches!(
        read("address", "here".into()),
        DescriptorError::Json(_)
    ));
    assert!(matches!(
        read("adress", "192.0.2.1:1".into()),
        DescriptorError::Json(_)
    ));
    assert!(matches!(
        read("epoch", (-1).into()),
        DescriptorError::Json(_)
    ));
}

#[test]
fn a_statement_that_others_could_not_use_is_not_signed() {
    let sign = |change: fn(&mut Statement)| {
        let mut statement = statement(1);
        change(&mut statement);
        Descriptor::sign(statement, &identity(1)).unwrap_err()
    };
    assert_eq!(
        sign(|s| s.address = None),
        DescriptorError::NoAddress("relay")
    );
    assert_eq!(
        sign(|s| s.gateway_key = None),
        DescriptorError::NoGatewayKey
    );
    assert_eq!(
        sign(|s| s.gateway_key = Some([0; 32])),
        DescriptorError::ZeroGatewayKey
    );
    assert_eq!(
        sign(|s| s.capabilities.bridge = false),
        DescriptorError::UselessGatewayKey
    );
    assert_eq!(sign(|s| s.load = 3), DescriptorError::Load(3));
    let place = statement(1).places[0];
    assert_eq!(
        Descriptor::sign(
            Statement {
                places: vec![place; 5],
                ..statement(1)
            },
            &identity(1)
        ),
        Err(DescriptorError::TooManyPlaces(5))
    );
    for key in [[0; 32], [0xff; 32]] {
        let key = PublicKey::from_bytes(key);
        let unusable = Statement {
            mix_key: key,
            ..statement(1)
        };
        let next = Statement {
            next_mix_key: Some(key),
            ..statement(1)
        };
        for statement in [unusable, next] {
            let refused = Descriptor::sign(statement, &identity(1));
            assert_eq!(refused, Err(DescriptorError::MixKey));
        }
    }
    assert_eq!(
        Descriptor::sign(statement(1), &[0; 32]),
        Err(DescriptorError::BadIdentity)
    );
}

#[test]
fn a_bad_entry_is_named_with_what_to_do() {
    let mut second = signed(2).to_json();
    second["epoch"] = 9.into();
    let text = serde_json::json!([signed(1).to_json(), second]).to_string();
    let message = Descriptor::list_from_json(&text).unwrap_err().to_string();
    let peer = &hex::encode(peer_key(2).as_bytes())[..12];
    assert!(
        message.contains(&format!("descriptor 2 (peer {peer})")),
        "{message}"
    );
    assert!(message.contains("ferry id"), "{message}");
}

#[test]
fn one_peer_twice_is_refused() {
    let newer = Descriptor::sign(
        Statement {
            epoch: 4,
            ..statement(1)
        },
        &identity(1),
    )
    .unwrap();
    let text = Descriptor::list_to_json(&[signed(1), signed(2), newer]);
    let peer = hex::encode(peer_key(1).as_bytes())[..12].to_owned();
    assert_eq!(
        Descriptor::list_from_json(&text),
        Err(DescriptorListError::Duplicate {
            first: 1,
            second: 3,
            peer
        })
    );
}

#[test]
fn what_is_no_list_is_refused() {
    for text in ["", "{}", "[", "[1]", "null"] {
        assert!(Descriptor::list_from_json(text).is_err(), "{text}");
    }
    let many = format!("[{}]", vec!["{}"; DESCRIPTORS_MAX + 1].join(","));
    assert_eq!(
        Descriptor::list_from_json(&many),
        Err(DescriptorListError::TooMany(DESCRIPTORS_MAX + 1))
    );
}
