#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::shh::envelope::Draft;
use crate::shh::topic::Topic;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn status(text: &str) -> Result<Status, Error> {
    Status::decode(&bytes(text))
}

fn full_node(min_pow: f64) -> Status {
    Status {
        min_pow,
        bloom: None,
        light: false,
        confirmations: false,
        rate_limits: None,
    }
}

/// Content and header of a list of items written one after another.
fn list(items: &[&str]) -> String {
    let content = bytes(&items.concat());
    let mut out = list_header(content.len()).as_slice().to_vec();
    out.extend_from_slice(&content);
    hex::encode(out)
}

#[test]
fn published_forms_of_status() {
    assert_eq!(status("cc06883fc999999999999a8080"), Ok(full_node(0.2)));
    assert_eq!(status("c106"), Ok(full_node(0.0)));
    let client = format!("f84e06883f50624dd2f1a9fcb840{}8001", "00".repeat(64));
    let expected = Status {
        bloom: Some(Bloom::EMPTY),
        confirmations: true,
        ..full_node(0.001)
    };
    assert_eq!(status(&client), Ok(expected));
    let newest = format!(
        "f85206883ec0c6f7a0b5ed8db840{}8001c30a0580",
        "ff".repeat(64)
    );
    let limits = Some(RateLimits {
        ip: 10,
        peer: 5,
        topic: 0,
    });
    assert_eq!(
        status(&newest),
        Ok(Status {
            confirmations: true,
            rate_limits: limits,
            ..full_node(0.000_002)
        })
    );
}

#[test]
fn our_status_has_six_fields() {
    let payload = full_node(0.002).encode();
    let expected = format!(
        "f85206883f60624dd2f1a9fcb840{}8080c3808080",
        "ff".repeat(64)
    );
    assert_eq!(hex::encode(&payload), expected);
    let round = Status::decode(&payload).unwrap();
    assert_eq!(
        round,
        Status {
            rate_limits: Some(RateLimits::default()),
            ..full_node(0.002)
        }
    );
}

#[test]
fn tolerated_forms_of_status() {
    assert_eq!(status(&list(&["06", "80"])), Ok(full_node(0.0)));
    assert_eq!(
        status(&list(&["06", "888000000000000000", "80"])).map(|status| status.min_pow),
        Ok(-0.0)
    );
    assert_eq!(
        status(&list(&["06", "01", "80"])).map(|status| status.min_pow),
        Ok(5e-324)
    );
    assert_eq!(
        status(&list(&["06", "c0"])),
        Ok(full_node(0.0)),
        "an unreadable requirement"
    );
    assert_eq!(
        status(&list(&["06", "80", "80", "82ffff"])),
        Ok(full_node(0.0)),
        "an unreadable flag"
    );
    assert_eq!(
        status(&list(&["06", "80", "80", "01"])),
        Ok(Status {
            light: true,
            ..full_node(0.0)
        })
    );
    let more = list(&["06", "80", "80", "80", "80", "c0", "0102", "c3010203"]);
    assert_eq!(status(&more), Ok(full_node(0.0)), "unknown fields");
}

#[test]
fn refused_forms_of_status() {
    let malformed = |source| {
        Err(Error::Malformed {
            code: STATUS,
            source,
        })
    };
    assert_eq!(status("06"), malformed(RlpError::NotList));
    assert_eq!(status("c0"), malformed(RlpError::TooFewItems));
    assert_eq!(status(""), malformed(RlpError::TooShort));
    assert_eq!(status("c106ff"), malformed(RlpError::Trailing { len: 1 }));
    assert_eq!(status(&list(&["c0"])), malformed(RlpError::List));
    assert_eq!(status(&list(&["8106"])), malformed(RlpError::NotCanonical));
    assert_eq!(status("c105"), Err(Error::Version(5)));
    assert_eq!(status("c107"), Err(Error::Version(7)));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.001] {
        let field = hex::encode(encode_pow(bad));
        assert!(
            matches!(status(&list(&["06", &field])), Err(Error::Pow(_))),
            "{bad}"
        );
    }
    for len in [1, 63, 65] {
        let field = hex::encode(rlp::encode_bytes(&vec![0xff; len]));
        assert_eq!(
            status(&list(&["06", "80", &field])),
            Err(Error::BloomLength(len))
        );
    }
}

#[test]
fn packets_of_envelopes() {
    let one = "ef845f5e100f0f8470a4beefa0000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f820135";
    let payload = bytes(&format!("f0{one}"));
    let packet = Envelopes::decode(&payload).unwrap();
    assert_eq!(packet.count(), 1);
    let hash = packet.iter().next().unwrap().hash();
    assert_eq!(
        hash.to_string(),
        "ee0438c3e437dc3accf500bf8178dd1a1416ac18254a6b39aa1775ee3b383442"
    );
    assert_eq!(
        hex::encode(crate::keccak::keccak256(&payload)),
        "b2020ba262300f4458fab4fac5ee716a5b9fb0f7af653f9431efd5227e00a3f0"
    );
    assert_eq!(Envelopes::decode(&[0xc0]).unwrap().count(), 0);
    let malformed = |source| {
        Err(Error::Malformed {
            code: ENVELOPES,
            source,
        })
    };
    let decode = |text: &str| Envelopes::decode(&bytes(text)).map(|packet| packet.count());
    assert_eq!(
        decode(one),
        malformed(RlpError::NotList),
        "a bare envelope: its elements are no envelopes"
    );
    assert_eq!(decode("80"), malformed(RlpError::NotList));
    assert_eq!(decode("c101"), malformed(RlpError::NotList));
    assert_eq!(decode("c1c0"), malformed(RlpError::TooFewItems));
    assert_eq!(decode("c000"), malformed(RlpError::Trailing { len: 1 }));
    assert_eq!(decode("c2c1"), malformed(RlpError::TooShort));
    let spoiled = list(&[one, "c0"]);
    assert_eq!(
        decode(&spoiled),
        malformed(RlpError::TooFewItems),
        "one broken envelope spoils the packet"
    );
}

#[test]
fn a_packet_cannot_be_stuffed() {
    let tiny = Draft::new(0, 0, Topic::default(), b"").finish(0);
    let many = encode_envelopes(std::iter::repeat_n(
        &tiny.raw()[..],
        ENVELOPES_PER_PACKET_MAX + 1,
    ));
    let max = ENVELOPES_PER_PACKET_MAX;
    let expected = Error::TooManyEnvelopes { max };
    assert_eq!(
        Envelopes::decode(&many).map(|packet| packet.count()),
        Err(expected)
    );
    let few = encode_envelopes(std::iter::repeat_n(&tiny.raw()[..], max));
    assert_eq!(
        Envelopes::decode(&few).map(|packet| packet.count()),
        Ok(max)
    );
}

#[test]
fn requirements_and_filters_are_bare() {
    assert_eq!(hex::encode(encode_pow(0.2)), "883fc999999999999a");
    assert_eq!(decode_pow(&[0x80]), Ok(0.0));
    let malformed = |source| {
        Err(Error::Malformed {
            code: POW_REQUIREMENT,
            source,
        })
    };
    assert_eq!(
        decode_pow(&bytes("c9883fc999999999999a")),
        malformed(RlpError::List)
    );
    assert_eq!(decode_pow(&[]), malformed(RlpError::TooShort));
    assert_eq!(
        decode_pow(&bytes("89010000000000000000")),
        malformed(RlpError::TooLarge { bytes: 9 })
    );
    assert!(matches!(
        decode_pow(&encode_pow(f64::NAN)),
        Err(Error::Pow(_))
    ));
    assert!(matches!(decode_pow(&encode_pow(-1.0)), Err(Error::Pow(_))));

    assert_eq!(decode_bloom(&encode_bloom(&Bloom::FULL)), Ok(Bloom::FULL));
    assert_eq!(decode_bloom(&[0x80]), Err(Error::BloomLength(0)));
    for len in [63, 65] {
        assert_eq!(
            decode_bloom(&rlp::encode_bytes(&vec![0; len])),
            Err(Error::BloomLength(len))
        );
    }
    let malformed = Err(Error::Malformed {
        code: BLOOM_FILTER,
        source: RlpError::List,
    });
    assert_eq!(decode_bloom(&bytes("c0")), malformed);
}

#[test]
fn every_error_has_its_disconnect_code() {
    assert_eq!(Error::Version(5).disconnect_code(), 0x10);
    assert_eq!(Error::TooManyPeers(1).disconnect_code(), 0x04);
}

proptest! {
    #[test]
    fn status_comes_back(pow in 0.0f64..1e9, filter in proptest::option::of([any::<u8>(); 32]), light: bool, confirmations: bool, ip: u64) {
        let bloom = filter.map(|half| {
            let mut bytes = [0; Bloom::LEN];
            bytes[..32].copy_from_slice(&half);
            Bloom::new(bytes)
        });
        let rate_limits = Some(RateLimits { ip, peer: 5, topic: 0 });
        let status = Status { min_pow: pow, bloom, light, confirmations, rate_limits };
        prop_assert_eq!(Status::decode(&status.encode()), Ok(status));
    }

    #[test]
    fn no_payload_is_fatal(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Status::decode(&payload);
        let _ = decode_pow(&payload);
        let _ = decode_bloom(&payload);
        if let Ok(packet) = Envelopes::decode(&payload) {
            prop_assert_eq!(packet.iter().count(), packet.count());
        }
    }
}
