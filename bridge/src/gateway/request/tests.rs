use super::*;
use crate::gateway::prefix::Prefix;
use crate::gateway::response::{
    Limits, Pong, Reason, Receipt, Registered, Response, ResponseBody, Stage, Status,
};
use crate::gateway::seal::ExchangeKey;
use crate::mvds::id::{GroupId, MessageId, PeerId};
use crate::port::BridgeId;
use proptest::prelude::*;
use secp256k1::{PublicKey, SecretKey};

const BRIDGE: BridgeId = BridgeId([2; 33]);
const SECRET: [u8; 32] = [0x21; 32];

fn client() -> PeerId {
    let secret = SecretKey::from_secret_bytes(SECRET).unwrap();
    PeerId::new(PublicKey::from_secret_key(&secret).serialize_uncompressed())
}

fn terms() -> Register {
    Register {
        group: GroupId::new([1; 32]),
        client: client(),
        filters: vec![
            Prefix::new(8, [0xe1, 0, 0, 0]).unwrap(),
            Prefix::new(5, [0xf8, 0, 0, 0]).unwrap(),
        ],
        exclude: vec![Prefix::new(32, [0xe1, 1, 2, 3]).unwrap()],
        lease_s: 3_600,
        since: 7,
        mode: Mode::Batch,
        pace_ms: 100,
        max_backlog: 1_000,
        max_item_bytes: 1_048_576,
        kx: ExchangeKey::new([9; 32]),
        renew: None,
    }
}

fn request(body: Body) -> Request {
    Request {
        id: Nonce16::new([5; 16]),
        blocks: vec![ReplyBlock::new(vec![6; REPLY_BLOCK_LEN]).unwrap(); 3],
        auth: Auth {
            kind: 1,
            data: vec![7; 8],
        },
        body: Ok(body),
    }
}

fn signed() -> v1::Register {
    terms().sign(&BRIDGE, &SECRET).unwrap().to_wire()
}

fn wire(body: v1::request::Body) -> Vec<u8> {
    v1::Request {
        request_id: vec![5; 16],
        surbs: vec![],
        auth: None,
        body: Some(body),
    }
    .encode_to_vec()
}

/// The status and the error with which this registration is refused.
fn refusal(change: impl FnOnce(&mut v1::Register)) -> Option<Refusal> {
    let mut register = signed();
    change(&mut register);
    Request::decode(&wire(v1::request::Body::Register(register)))
        .unwrap()
        .body
        .err()
}

#[test]
fn requests_come_back() {
    let unsealed = Unsealed {
        topic: [1, 2, 3, 4],
        data: vec![8],
        ttl: 15,
        target: 0.002,
        not_after: Some(9),
    };
    let post = |content| Post {
        id: Nonce16::new([4; 16]),
        content,
        reseals: 2,
        retry_until: Some(100),
        receipts: Receipts::new(0b110),
    };
    let bodies = [
        Body::Register(terms().sign(&BRIDGE, &SECRET).unwrap()),
        Body::Post(post(Content::Sealed(vec![0xc0; 100]))),
        Body::Post(post(Content::Unsealed(unsealed))),
        Body::Unregister,
        Body::Ping(None),
        Body::Ping(Some(Tag::new([3; 16]))),
    ];
    for body in bodies {
        let request = request(body);
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
}

#[test]
fn a_registration_is_signed_for_one_bridge_and_one_set_of_terms() {
    let signed = terms().sign(&BRIDGE, &SECRET).unwrap();
    assert_eq!(signed.clone().verify(&BRIDGE), Ok(terms()));
    assert_eq!(
        signed.clone().verify(&BridgeId([3; 33])),
        Err(FormError::Signature)
    );
    let changes: [fn(&mut v1::Register); 9] = [
        |register| register.group_id[0] ^= 1,
        |register| register.filters.swap(0, 1),
        |register| register.exclude.clear(),
        |register| register.lease_s += 1,
        |register| register.since += 1,
        |register| register.mode = 0,
        |register| register.pace_ms += 1,
        |register| register.kx_pub[31] ^= 1,
        |register| register.signature[64] ^= 1,
    ];
    for change in changes {
        let mut wire = signed.to_wire();
        change(&mut wire);
        assert_eq!(
            SignedRegister::from_wire(wire).unwrap().verify(&BRIDGE),
            Err(FormError::Signature)
        );
    }
    assert_eq!(
        terms().sign(&BRIDGE, &[0x22; 32]),
        Err(FormError::Key("the client's secret key")),
        "another key than the peer id"
    );
    assert!(terms().sign(&BRIDGE, &[0; 32]).is_err());
}

#[test]
fn the_signed_bytes_have_the_documented_layout() {
    let mut expected = b"mixbridge/1 register".to_vec();
    expected.extend([2; 33]);
    expected.extend([1; 32]);
    expected.extend(client().bytes());
    expected.extend(hex::decode("0000000200000008e100000000000005f8000000").unwrap());
    expected.extend(hex::decode("00000e10000000070000000100000064000003e800100000").unwrap());
    expected.extend(hex::decode("0000000100000020e1010203").unwrap());
    expected.extend([9; 32]);
    assert_eq!(terms().signed_bytes(&BRIDGE), expected);
}

#[test]
fn a_high_s_is_refused() {
    let mut wire = signed();
    let order =
        hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let mut borrow = 0i16;
    for index in (0..32).rev() {
        let difference = i16::from(order[index]) - i16::from(wire.signature[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        wire.signature[32 + index] = difference.rem_euclid(256) as u8;
    }
    wire.signature[64] ^= 1;
    assert_eq!(
        SignedRegister::from_wire(wire).unwrap().verify(&BRIDGE),
        Err(FormError::Signature)
    );
}

#[test]
fn registrations_out_of_bounds_are_answered_with_bad() {
    let length = |field, len, expected| FormError::Length {
        field,
        len,
        expected,
    };
    let range = |field, value, min, max| FormError::Range {
        field,
        value,
        min,
        max,
    };
    let prefix = |bits, value: &[u8]| v1::PrefixFilter {
        bits,
        value: value.to_vec(),
    };
    let check = |change: &dyn Fn(&mut v1::Register), error: FormError| {
        assert_eq!(
            refusal(|register| change(register)),
            Some(Refusal {
                status: Status::Bad,
                error
            })
        );
    };
    check(&|r| r.group_id = vec![1; 31], length("group_id", 31, 32));
    check(
        &|r| r.client_peer_id = vec![4; 33],
        length("client_peer_id", 33, 65),
    );
    check(
        &|r| r.client_peer_id[0] = 2,
        FormError::Key("client_peer_id"),
    );
    check(
        &|r| r.client_peer_id[64] ^= 1,
        FormError::Key("client_peer_id"),
    );
    check(&|r| r.filters.clear(), range("filters", 0, 1, 64));
    check(
        &|r| r.filters = vec![prefix(0, &[0; 4]); 65],
        range("filters", 65, 1, 64),
    );
    check(
        &|r| r.exclude = vec![prefix(0, &[0; 4]); 65],
        range("exclude", 65, 0, 64),
    );
    check(
        &|r| r.filters = vec![prefix(33, &[0; 4])],
        range("bits", 33, 0, 32),
    );
    check(
        &|r| r.filters = vec![prefix(260, &[0; 4])],
        range("bits", 260, 0, 32),
    );
    check(
        &|r| r.filters = vec![prefix(8, &[1, 1, 0, 0])],
        FormError::LowBits { bits: 8 },
    );
    check(
        &|r| r.filters = vec![prefix(8, &[1])],
        length("value", 1, 4),
    );
    check(&|r| r.lease_s = 0, range("lease_s", 0, 1, 2_592_000));
    check(
        &|r| r.lease_s = 2_592_001,
        range("lease_s", 2_592_001, 1, 2_592_000),
    );
    check(
        &|r| r.pace_ms = 600_001,
        range("pace_ms", 600_001, 0, 600_000),
    );
    check(
        &|r| r.max_backlog = 100_001,
        range("max_backlog", 100_001, 0, 100_000),
    );
    check(
        &|r| r.max_item_bytes = 1_200_001,
        range("max_item_bytes", 1_200_001, 0, 1_200_000),
    );
    check(&|r| r.kx_pub.clear(), length("kx_pub", 0, 32));
    check(&|r| r.signature.truncate(64), length("signature", 64, 65));
    check(&|r| r.renew_tag = vec![1; 15], length("renew_tag", 15, 16));
    let unknown_mode = Refusal {
        status: Status::Unsupported,
        error: FormError::UnknownKind("mode"),
    };
    assert_eq!(refusal(|register| register.mode = 2), Some(unknown_mode));
    assert_eq!(refusal(|register| register.renew_tag = vec![1; 16]), None);
}

#[test]
fn posts_out_of_bounds_are_answered() {
    let post = |content| v1::Post {
        post_id: vec![1; 16],
        content,
        ..v1::Post::default()
    };
    let sealed = |len| post(Some(v1::post::Content::Sealed(vec![0; len])));
    let check = |post: v1::Post, status, error| {
        let request = Request::decode(&wire(v1::request::Body::Post(post))).unwrap();
        assert_eq!(request.body, Err(Refusal { status, error }));
    };
    check(sealed(0), Status::Bad, FormError::Missing("sealed"));
    let too_long = FormError::TooLong {
        len: POST_LEN_MAX + 1,
        max: POST_LEN_MAX,
    };
    check(sealed(POST_LEN_MAX + 1), Status::TooLarge, too_long);
    check(
        post(None),
        Status::Unsupported,
        FormError::UnknownKind("the content of the post"),
    );
    let reseals = FormError::Range {
        field: "max_reseals",
        value: 4,
        min: 0,
        max: 3,
    };
    check(
        v1::Post {
            max_reseals: 4,
            ..sealed(1)
        },
        Status::Bad,
        reseals,
    );
    let id = FormError::Length {
        field: "post_id",
        len: 0,
        expected: 16,
    };
    check(
        v1::Post {
            post_id: vec![],
            ..sealed(1)
        },
        Status::Bad,
        id,
    );
    let parts = |target, ttl| {
        let topic = vec![0; 4];
        post(Some(v1::post::Content::Unsealed(v1::Unsealed {
            topic,
            data: vec![1],
            ttl,
            target,
            not_after: 0,
        })))
    };
    for target in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        check(
            parts(target, 20),
            Status::Bad,
            FormError::Malformed("target"),
        );
    }
    for ttl in [0, 9, 301] {
        let error = FormError::Range {
            field: "ttl",
            value: ttl.into(),
            min: 10,
            max: 300,
        };
        check(parts(0.002, ttl), Status::Bad, error);
    }
}

#[test]
fn unknown_kinds_of_request_are_unsupported_and_answerable() {
    // Field 12 is FETCH of a later version.
    let mut bytes = vec![0x0a, 16];
    bytes.extend([5; 16]);
    bytes.extend([0x62, 2, 0x10, 7]);
    let request = Request::decode(&bytes).unwrap();
    let error = FormError::UnknownKind("the request");
    assert_eq!(
        request.body,
        Err(Refusal {
            status: Status::Unsupported,
            error
        })
    );
    assert_eq!(request.id, Nonce16::new([5; 16]));
}

#[test]
fn unanswerable_requests_are_errors() {
    let ping = Some(v1::request::Body::Ping(v1::Ping { tag: vec![] }));
    let request = |request_id, surbs| {
        Request::decode(
            &v1::Request {
                request_id,
                surbs,
                auth: None,
                body: ping.clone(),
            }
            .encode_to_vec(),
        )
    };
    assert!(request(vec![1; 16], vec![vec![0; 734]; 512]).is_ok());
    let id = FormError::Length {
        field: "request_id",
        len: 15,
        expected: 16,
    };
    assert_eq!(request(vec![1; 15], vec![]), Err(id));
    let many = FormError::Range {
        field: "surbs",
        value: 513,
        min: 0,
        max: 512,
    };
    assert_eq!(request(vec![1; 16], vec![vec![0; 734]; 513]), Err(many));
    let short = FormError::Length {
        field: "surbs",
        len: 733,
        expected: 734,
    };
    assert_eq!(request(vec![1; 16], vec![vec![0; 733]]), Err(short));
    assert_eq!(
        Request::decode(b"\xff\xff"),
        Err(FormError::Malformed("Request"))
    );
    let max = OBJECT_LEN_MAX;
    assert_eq!(
        Request::decode(&vec![0; max + 1]),
        Err(FormError::TooLong { len: max + 1, max })
    );
    let auth = Some(v1::Auth {
        r#type: 0,
        data: vec![0; 4_097],
    });
    let bytes = v1::Request {
        request_id: vec![1; 16],
        surbs: vec![],
        auth,
        body: ping.clone(),
    }
    .encode_to_vec();
    let long = FormError::Range {
        field: "auth.data",
        value: 4_097,
        min: 0,
        max: 4_096,
    };
    assert_eq!(Request::decode(&bytes), Err(long));
}

#[test]
fn top_ups_come_back_and_are_bounded() {
    let block = ReplyBlock::new(vec![6; REPLY_BLOCK_LEN]).unwrap();
    let top_up = TopUp {
        blocks: vec![block; 1_000],
        discard_previous: true,
        ttl_s: 1_500,
    };
    assert_eq!(TopUp::decode(&top_up.encode()), Ok(top_up.clone()));
    let wire = |blocks| {
        v1::SurbTopUp {
            blocks,
            discard_previous: false,
            ttl_s: 1_800,
        }
        .encode_to_vec()
    };
    let many = FormError::Range {
        field: "blocks",
        value: 1_001,
        min: 0,
        max: 1_000,
    };
    assert_eq!(TopUp::decode(&wire(vec![vec![6; 734]; 1_001])), Err(many));
    let long = FormError::Length {
        field: "blocks",
        len: 735,
        expected: 734,
    };
    assert_eq!(TopUp::decode(&wire(vec![vec![6; 735]])), Err(long));
}

/// The known envelope, delivered in the group of the known pair.
#[test]
fn an_item_has_the_known_message_id() {
    let mut envelope = hex::decode("f84e845ea0178a5a8459cbac69b840").unwrap();
    envelope.extend(0..64);
    envelope.push(0x31);
    let group =
        hex::decode("4c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de6").unwrap();
    let group = GroupId::from_slice(&group).unwrap();
    let item = encode_item(&envelope);
    let id = MessageId::of(&group, 1_587_550_090 - 90, &item);
    let known = "f5b555c66331ff5259ed94843fcacf9244783937d4dd6fbe327484719885d4bc";
    assert_eq!(hex::encode(id.bytes()), known);
    assert_eq!(decode_item(&item), Ok(envelope));
    assert_eq!(decode_item(&[]), Err(FormError::Missing("envelope")));
    assert_eq!(
        decode_item(&[0x0a, 9]),
        Err(FormError::Malformed("EnvelopeItem"))
    );
}

#[test]
fn filters_select_and_excludes_leave_out() {
    let terms = terms();
    assert!(terms.wants([0xe1, 1, 2, 4]) && terms.wants([0xff, 0, 0, 0]));
    assert!(!terms.wants([0xe1, 1, 2, 3]) && !terms.wants([0xe2, 0, 0, 0]));
}

#[test]
fn receipts_are_sent_as_wanted_and_refusals_always() {
    let some = Receipts::new(1 << 2);
    assert!(
        some.wants(Stage::Posted) && some.wants(Stage::Rejected) && !some.wants(Stage::Accepted)
    );
    assert!(Receipts::ALL.wants(Stage::Accepted) && Receipts::ALL.wants(Stage::Resealed));
}

#[test]
fn responses_come_back() {
    let id = Nonce16::new([5; 16]);
    let registered = Registered {
        tag: Tag::new([1; 16]),
        lease_s: 60,
        kx: ExchangeKey::new([2; 32]),
        bridge: client(),
        archive_from: 9,
        limits: Limits {
            max_backlog: 1,
            max_item_bytes: 2,
            pace_ms: 3,
            reply_blocks_max: 4,
        },
    };
    let receipt = Receipt {
        id,
        stage: Stage::Rejected,
        envelope_hash: None,
        reason: Reason::LowPow,
        peers: 0,
        time: 77,
    };
    let posted = Receipt {
        stage: Stage::Posted,
        envelope_hash: Some([8; 32]),
        peers: 3,
        ..receipt.clone()
    };
    let bodies = [
        ResponseBody::Registered(registered),
        ResponseBody::Receipt(receipt),
        ResponseBody::Receipt(posted),
        ResponseBody::Pong(Pong {
            reply_blocks: 12,
            topped_up: 7,
            lease_left_s: 34,
        }),
    ];
    for body in bodies {
        let response = Response::ok(id, 1_000, body);
        assert_eq!(Response::decode(&response.encode()), Ok(response));
    }
    let busy = Response {
        retry_after_s: 30,
        ..Response::bare(id, Status::Busy, 1_000)
    };
    assert_eq!(Response::decode(&busy.encode()), Ok(busy));
}

#[test]
fn responses_out_of_bounds_are_refused() {
    let response = |body| v1::Response {
        request_id: vec![5; 16],
        body,
        ..v1::Response::default()
    };
    let decode = |response: v1::Response| Response::decode(&response.encode_to_vec());
    let receipt = v1::PostReceipt {
        post_id: vec![1; 16],
        stage: 2,
        ..v1::PostReceipt::default()
    };
    let with = |receipt| response(Some(v1::response::Body::PostReceipt(receipt)));
    assert!(decode(with(receipt.clone())).is_ok());
    for stage in [0, 7, -1] {
        let receipt = v1::PostReceipt {
            stage,
            ..receipt.clone()
        };
        assert_eq!(decode(with(receipt)), Err(FormError::UnknownKind("stage")));
    }
    let hash = v1::PostReceipt {
        envelope_hash: vec![1; 31],
        ..receipt.clone()
    };
    let error = FormError::Length {
        field: "envelope_hash",
        len: 31,
        expected: 32,
    };
    assert_eq!(decode(with(hash)), Err(error));
    assert_eq!(
        decode(v1::Response {
            status: 9,
            ..response(None)
        }),
        Err(FormError::UnknownKind("status"))
    );
    let error = FormError::Length {
        field: "request_id",
        len: 0,
        expected: 16,
    };
    assert_eq!(decode(v1::Response::default()), Err(error));
    let ok = v1::RegisterOk {
        tag: vec![1; 16],
        kx_pub: vec![1; 32],
        bridge_peer_id: vec![3; 65],
        ..v1::RegisterOk::default()
    };
    let decoded = decode(response(Some(v1::response::Body::RegisterOk(ok))));
    assert_eq!(decoded, Err(FormError::Key("bridge_peer_id")));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>) {
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes);
        let _ = TopUp::decode(&bytes);
        let _ = decode_item(&bytes);
    }

    #[test]
    fn any_flipped_bit_of_a_registration_is_refused_or_harmless(at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = request(Body::Register(terms().sign(&BRIDGE, &SECRET).unwrap())).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(Request { body: Ok(Body::Register(signed)), .. }) = Request::decode(&bytes)
            && let Ok(verified) = signed.verify(&BRIDGE)
        {
            // Only what the signature leaves out may differ.
            prop_assert_eq!(Register { renew: None, ..verified }, terms());
        }
    }
}
