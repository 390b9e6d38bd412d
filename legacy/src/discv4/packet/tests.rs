use proptest::prelude::*;

use super::*;
use crate::enr::Place;

/// Published packets of the key of the specification, long expired.
const PING_V4: &str = "71dbda3a79554728d4f94411e42ee1f8b0d561c10e1e5f5893367948c6a7d70bb87b235fa28a77070271b6c164a2dce8c7e13a5739b53b5e96f2e5acb0e458a02902f5965d55ecbeb2ebb6cabb8b2b232896a36b737666c55265ad0a68412f250001ea04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a355";
const PING_MORE: &str = "e9614ccfd9fc3e74360018522d30e1419a143407ffcce748de3e22116b7e8dc92ff74788c0b6663aaa3d67d641936511c8f8d6ad8698b820a7cf9e1be7155e9a241f556658c55428ec0563514365799a4be2be5a685a80971ddcfa80cb422cdd0101ec04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a3550102";
const PING_LATER: &str = "577be4349c4dd26768081f58de4c6f375a7a22f3f7adda654d1428637412c3d7fe917cadc56d4e5e7ffae1dbe3efffb9849feb71b262de37977e7c7a44e677295680e9e38ab26bee2fcbae207fba3ff3d74069a50b902a82c9903ed37cc993c50001f83e82022bd79020010db83c4d001500000000abcdef12820cfa8215a8d79020010db885a308d313198a2e037073488208ae82823a8443b9a355c5010203040531b9019afde696e582a78fa8d95ea13ce3297d4afb8ba6433e4154caa5ac6431af1b80ba76023fa4090c408f6b4bc3701562c031041d4702971d102c9ab7fa5eed4cd6bab8f7af956f7d565ee1917084a95398b6a21eac920fe3dd1345ec0a7ef39367ee69ddf092cbfe5b93e5e568ebc491983c09c76d922dc3";
const PONG_MORE: &str = "09b2428d83348d27cdf7064ad9024f526cebc19e4958f0fdad87c15eb598dd61d08423e0bf66b2069869e1724125f820d851c136684082774f870e614d95a2855d000f05d1648b2d5945470bc187c2d2216fbe870f43ed0909009882e176a46b0102f846d79020010db885a308d313198a2e037073488208ae82823aa0fbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c9548443b9a355c6010203c2040506a0c969a58f6f9095004c0177a6b47f451530cab38966a25cca5cb58f055542124e";
const FIND_MORE: &str = "c7c44041b9f7c7e41934417ebac9a8e1a4c6298f74553f2fcfdcae6ed6fe53163eb3d2b52e39fe91831b8a927bf4fc222c3902202027e5e9eb812195f95d20061ef5cd31d502e47ecb61183f74a504fe04c51e73df81f25c4d506b26db4517490103f84eb840ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f8443b9a35582999983999999280dc62cc8255c73471e0a61da0c89acdc0e035e260add7fc0c04ad9ebf3919644c91cb247affc82b69bd2ca235c71eab8e49737c937a2c396";
const NEIGHBOURS_MORE: &str = "c679fc8fe0b8b12f06577f2e802d34f6fa257e6137a995f6f4cbfc9ee50ed3710faf6e66f932c4c8d81d64343f429651328758b47d3dbc02c4042f0fff6946a50f4a49037a72bb550f3a7872363a83e1b9ee6469856c24eb4ef80b7535bcf99c0004f9015bf90150f84d846321163782115c82115db8403155e1427f85f10a5c9a7755877748041af1bcd8d474ec065eb33df57a97babf54bfd2103575fa829115d224c523596b401065a97f74010610fce76382c0bf32f84984010203040101b840312c55512422cf9b8a4097e9a6ad79402e87a15ae909a4bfefa22398f03d20951933beea1e4dfa6f968212385e829f04c2d314fc2d4e255e0d3bc08792b069dbf8599020010db83c4d001500000000abcdef12820d05820d05b84038643200b172dcfef857492156971f0e6aa2c538d8b74010f8e140811d53b98c765dd2d96126051913f44582e8c199ad7c6d6819e9a56483f637feaac9448aacf8599020010db885a308d313198a2e037073488203e78203e8b8408dcab8618c3253b558d459da53bd8fa68935a719aff8b811197101a4b2b47dd2d47295286fc00cc081bb542d760717d1bdd6bec2c37cd72eca367d6dd3b9df738443b9a355010203b525a138aa34383fec3d2719a0";

fn key() -> SecretKey {
    let bytes = hex::decode("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291");
    SecretKey::from_bytes(&bytes.unwrap().try_into().unwrap()).unwrap()
}

fn endpoint(text: &str, tcp: u16) -> Endpoint {
    Endpoint::new(text.parse().unwrap(), tcp)
}

fn published(text: &str) -> Message {
    let packet = decode(&hex::decode(text).unwrap()).unwrap();
    assert_eq!(packet.sender, key().public());
    assert_eq!(hex::encode(packet.hash), text[..64]);
    packet.message
}

#[test]
fn published_pings() {
    let ping = |version, from, to, record_seq| Message::Ping {
        version,
        from,
        to,
        expiration: 1_136_239_445,
        record_seq,
    };
    let (from, to) = (
        endpoint("127.0.0.1:3322", 5544),
        endpoint("[::1]:2222", 3333),
    );
    assert_eq!(published(PING_V4), ping(4, from, to, None));
    assert_eq!(published(PING_MORE), ping(4, from, to, Some(1)));
    let from = endpoint("[2001:db8:3c4d:15::abcd:ef12]:3322", 5544);
    let to = endpoint("[2001:db8:85a3:8d3:1319:8a2e:370:7348]:2222", 33338);
    assert_eq!(published(PING_LATER), ping(555, from, to, None));
    // What we write is what is published, behind a signature of another day.
    let (bytes, _) = published(PING_V4).encode(&key());
    assert_eq!(hex::encode(&bytes[97..]), PING_V4[2 * 97..]);
}

#[test]
fn published_others() {
    let Message::Pong {
        to,
        ping,
        record_seq,
        ..
    } = published(PONG_MORE)
    else {
        panic!("no pong");
    };
    assert_eq!(
        to,
        endpoint("[2001:db8:85a3:8d3:1319:8a2e:370:7348]:2222", 33338)
    );
    assert_eq!(
        hex::encode(ping),
        "fbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c954"
    );
    assert_eq!(record_seq, None);
    assert_eq!(
        published(FIND_MORE),
        Message::FindNode {
            target: key().public().to_bytes(),
            expiration: 1_136_239_445
        }
    );
    let Message::Neighbours { nodes, .. } = published(NEIGHBOURS_MORE) else {
        panic!("no neighbours");
    };
    let endpoints: Vec<Endpoint> = nodes.iter().map(|node| node.endpoint).collect();
    assert_eq!(
        endpoints,
        [
            endpoint("99.33.22.55:4444", 4445),
            endpoint("1.2.3.4:1", 1),
            endpoint("[2001:db8:3c4d:15::abcd:ef12]:3333", 3333),
            endpoint("[2001:db8:85a3:8d3:1319:8a2e:370:7348]:999", 1000),
        ]
    );
    assert!(
        nodes
            .iter()
            .all(|node| PublicKey::from_bytes(&node.public_key).is_ok())
    );
}

/// Signs any type and body.
fn forged(code: u8, body: &[u8]) -> Vec<u8> {
    let signed = [&[code], body].concat();
    let rest = [&key().sign(&keccak256(&signed))[..], &signed].concat();
    [&keccak256(&rest)[..], &rest].concat()
}

/// Gives the bytes their right hash again.
fn rehashed(mut datagram: Vec<u8>) -> Vec<u8> {
    let hash = keccak256(&datagram[32..]);
    datagram[..32].copy_from_slice(&hash);
    datagram
}

#[test]
fn bad_packets_name_what_is_wrong() {
    let good = hex::decode(PING_V4).unwrap();
    let mut unsigned = good.clone();
    unsigned[96] = 4;
    let mut zero = good.clone();
    zero[32..64].fill(0);
    let mut unhashed = good.clone();
    unhashed[100] ^= 1;
    let long = [&good[..], &[0; 1280]].concat();
    let list = |list: List| list.finish();
    for (datagram, word) in [
        (vec![], "too_short"),
        (good[..97].to_vec(), "too_short"),
        (good[..good.len() - 1].to_vec(), "hash"),
        (unhashed, "hash"),
        (vec![0; 1280], "hash"),
        (vec![0; 1281], "too_long"),
        (long, "too_long"),
        (rehashed(unsigned), "signature"),
        (rehashed(zero), "signature"),
        (forged(0, &[0xc0]), "type"),
        (forged(7, &[0xc0]), "type"),
        (forged(PING, &[]), "malformed"),
        (forged(PING, &[0xc0]), "malformed"),
        (forged(PING, &[0x80]), "malformed"),
        (
            forged(FIND_NODE, &list(List::new().bytes(&[1; 63]).uint(1))),
            "malformed",
        ),
        (
            forged(FIND_NODE, &list(List::new().bytes(&[1; 64]))),
            "malformed",
        ),
        (
            forged(
                PONG,
                &list(
                    List::new()
                        .list(endpoint("1.1.1.1:1", 1).list())
                        .bytes(&[1; 31])
                        .uint(1),
                ),
            ),
            "malformed",
        ),
        (
            forged(NEIGHBOURS, &list(List::new().uint(1).uint(1))),
            "malformed",
        ),
        (
            forged(ENR_REQUEST, &list(List::new().bytes(&[0, 1]))),
            "malformed",
        ),
        (
            forged(ENR_RESPONSE, &list(List::new().bytes(&[1; 32]).uint(1))),
            "record",
        ),
        (
            forged(
                PING,
                &list(
                    List::new()
                        .uint(4)
                        .list(List::new().bytes(&[1; 4]).uint(65_536).uint(1)),
                ),
            ),
            "malformed",
        ),
        (
            forged(
                PING,
                &list(List::new().uint(4).list(List::new().bytes(&[1; 4]).uint(1))),
            ),
            "malformed",
        ),
    ] {
        let error = decode(&datagram).expect_err(word);
        assert_eq!(error.as_str(), word, "{}", hex::encode(&datagram));
    }
}

#[test]
fn more_neighbours_than_any_answer_has_are_refused() {
    let node = |n: u8| Neighbour {
        endpoint: endpoint("1.2.3.4:30303", 30303),
        public_key: [n; 64],
    };
    let packet = |count: u8| Message::Neighbours {
        nodes: (0..count).map(node).collect(),
        expiration: 1,
    };
    assert!(decode(&packet(12).encode(&key()).0).is_ok());
    assert!(matches!(
        decode(&packet(17).encode(&key()).0),
        Err(PacketError::TooLong { .. } | PacketError::Malformed(RlpError::TooManyItems))
    ));
}

#[test]
fn twelve_of_the_longest_neighbours_fit_a_datagram() {
    let node = Neighbour {
        endpoint: endpoint("[2a00:db8:85a3:8d3:1319:8a2e:370:7348]:65535", 65535),
        public_key: [0xff; 64],
    };
    let (bytes, _) = Message::Neighbours {
        nodes: vec![node; super::super::NEIGHBOURS_PER_PACKET_MAX],
        expiration: u64::from(u32::MAX),
    }
    .encode(&key());
    assert!(bytes.len() <= DATAGRAM_LEN_MAX, "{}", bytes.len());
}

#[test]
fn addresses_that_are_none_are_read_as_none() {
    let odd = List::new().bytes(&[1; 5]).uint(1).uint(2);
    let body = List::new()
        .uint(4)
        .list(odd)
        .list(
            Endpoint {
                ip: None,
                udp: 0,
                tcp: 0,
            }
            .list(),
        )
        .uint(9);
    let Message::Ping { from, to, .. } = decode(&forged(PING, &body.finish())).unwrap().message
    else {
        panic!("no ping");
    };
    assert_eq!((from.ip, from.udp, to.ip), (None, 1, None));
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    let ip = prop_oneof![
        Just(None),
        any::<[u8; 4]>().prop_map(|ip| Some(std::net::IpAddr::from(ip))),
        any::<[u8; 16]>().prop_map(|ip| Some(std::net::IpAddr::from(ip).to_canonical())),
    ];
    (ip, any::<u16>(), any::<u16>()).prop_map(|(ip, udp, tcp)| Endpoint { ip, udp, tcp })
}

fn messages() -> impl Strategy<Value = Message> {
    let neighbour = (endpoints(), any::<[u8; 32]>()).prop_map(|(endpoint, half)| {
        let mut public_key = [0; 64];
        public_key[..32].copy_from_slice(&half);
        Neighbour {
            endpoint,
            public_key,
        }
    });
    prop_oneof![
        (
            any::<u64>(),
            endpoints(),
            endpoints(),
            any::<u64>(),
            any::<Option<u64>>()
        )
            .prop_map(
                |(version, from, to, expiration, record_seq)| Message::Ping {
                    version,
                    from,
                    to,
                    expiration,
                    record_seq
                }
            ),
        (
            endpoints(),
            any::<[u8; 32]>(),
            any::<u64>(),
            any::<Option<u64>>()
        )
            .prop_map(|(to, ping, expiration, record_seq)| Message::Pong {
                to,
                ping,
                expiration,
                record_seq
            }),
        (any::<[u8; 32]>(), any::<u64>()).prop_map(|(half, expiration)| {
            let mut target = [0; 64];
            target[32..].copy_from_slice(&half);
            Message::FindNode { target, expiration }
        }),
        (prop::collection::vec(neighbour, 0..=12), any::<u64>())
            .prop_map(|(nodes, expiration)| Message::Neighbours { nodes, expiration }),
        any::<u64>().prop_map(|expiration| Message::EnrRequest { expiration }),
        (any::<[u8; 32]>(), any::<u16>()).prop_map(|(request, port)| {
            let place = Place::new([1, 1, 1, 1].into(), port, port);
            Message::EnrResponse {
                request,
                record: Record::sign(&key(), 1, place).raw().to_vec(),
            }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(message in messages(), more in prop::collection::vec(any::<u8>(), 0..20)) {
        let (datagram, hash) = message.encode(&key());
        let packet = decode(&datagram).unwrap();
        prop_assert_eq!(&packet.message, &message);
        prop_assert_eq!(packet.hash, hash);
        prop_assert_eq!(packet.sender, key().public());
        // Whatever follows the list is ignored, as long as it is signed.
        let with_more = forged(message.code(), &[&datagram[98..], &more[..]].concat());
        prop_assert_eq!(decode(&with_more).unwrap().message, message);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(code in 0u8..9, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&body);
        let _ = decode(&forged(code, &body));
    }
}
