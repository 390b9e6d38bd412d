//! Known answers: the primitives as the LIP-99 implementation publishes them, and one packet with everything in between.

use sha2::{Digest, Sha256};

use super::*;
use crate::geometry::{BETA_AT, DELTA_AT, GAMMA_AT, PAYLOAD_LEN};
use crate::sphinx::keys::kdf;
use crate::sphinx::payload::{apply_ctr, hash};
use crate::sphinx::{curve, header};

fn counting<const N: usize>() -> [u8; N] {
    std::array::from_fn(|i| i as u8)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn stream_of_lioness() {
    let mut data = counting::<48>();
    apply_ctr(&counting(), &mut data);
    let expected = "07ffed77e5d005699807e41a82999c9c82d3d717cc1994155e60677997e4c017ea001a4411c0de8c4dbfa0078df81355";
    assert_eq!(hex::encode(data), expected);
}

#[test]
fn keyed_hash_of_lioness() {
    let mut left = [0; 32];
    hash(&mut left, &counting(), b"abc");
    assert_eq!(
        hex::encode(left),
        "42fd4a8c529fdb402d577c701b291018f0b2c52207f96e2a057483fd349a9868"
    );
}

#[test]
fn key_derivation() {
    assert_eq!(
        hex::encode(kdf(b"payload_enc_key", &counting())),
        "8628ce30f82298838478ebd2744a6a31ef34a7d6a5a600b8e0c7de533510f85d"
    );
    assert_eq!(
        sha256(b"thisisdata"),
        "b53a20ecf0814267a83be82f941778ffda4b85fbf93a07847539f645ff5f1b9b"
    );
    assert_eq!(
        sha256(b"thisiskey")[..32],
        *"37c9842d37dc404854428a0a3554dcaa"
    );
}

#[test]
fn truncated_mac() {
    use hmac::Mac;
    let mac =
        |key: &[u8], data: &[u8]| hex::encode(header::hmac(key, data).finalize().into_bytes());
    assert_eq!(
        mac(b"thisiskey", b"thisisdata")[..32],
        *"b075dd302655e085d35e8cef5dfdf101"
    );
    assert_eq!(mac(b"", b"")[..32], *"b613679a0814d9ec772f95d778c35fc5");
}

#[test]
fn lioness() {
    let cipher = Lioness::new(&counting::<32>());
    assert_eq!(
        hex::encode(cipher.0[0]),
        "913e718a554d91846ab91dfef57804f634c10e9a24811e5927ea71abf6f51443"
    );
    let mut block = counting::<96>();
    cipher.encrypt(&mut block);
    let expected = "b46a16bb2f2abf855d1ae508d4586475141c7a3b068b6135554a390f5334f1fe\
                    961efc8cde36f23eb2d21a62548b7a3ba4a91c0a8d4c46047f6c7e237ca28909\
                    708237bab7d0cd44cf6845223e296d8ce724fe4cfaab84ec6c2e611f4ddc4aca";
    assert_eq!(hex::encode(block), expected);
    cipher.decrypt(&mut block);
    assert_eq!(block, counting());
}

#[test]
fn first_address() {
    let bytes = Mix::known(1).hop.address.to_bytes();
    let start = "0a0000010017710025080212210279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    assert_eq!(hex::encode(&bytes[..46]), start);
    assert_eq!(bytes[46..], [0; 48]);
}

/// What hop i of the known packet sees and derives.
struct Layer {
    public: &'static str,
    alpha: &'static str,
    secret: &'static str,
    tag: &'static str,
    aes: &'static str,
    iv: &'static str,
    mac: &'static str,
    payload: &'static str,
    gamma: &'static str,
    beta_hash: &'static str,
    delta: &'static str,
    packet_hash: &'static str,
}

#[test]
fn forward_packet() {
    let mut mixes = mixes(3);
    let mut packet = known_packet(&mixes);
    for (i, layer) in LAYERS.iter().enumerate() {
        check_layer(&mixes[i], &packet, layer);
        if i < 2 {
            let (next, delay, inner) = mixes[i].forward(&packet);
            assert_eq!(next, mixes[i + 1].hop.address);
            assert_eq!(delay, [100, 200][i]);
            packet = inner;
        }
    }
    let filler = &packet.as_bytes()[BETA_AT + 352..GAMMA_AT];
    assert_eq!(filler.len(), 224);
    assert_eq!(
        hex::encode(&filler[..16]),
        "524069889a1d0fd9a54bc2c2a7744d44"
    );
    assert_eq!(
        sha256(filler),
        "c663c9f2c5eacd11884567d1bf8f98a953a9d71fb63ebc663ba82abdee5da950"
    );
    let Ok(Peeled::Exit {
        destination,
        message,
    }) = mixes[2].peel(&packet)
    else {
        panic!("the last hop must be an exit");
    };
    assert!(destination.is_none());
    assert_eq!(*message, *known_message());
    let plain = [&[0; 16][..], &*message].concat();
    assert_eq!(plain.len(), PAYLOAD_LEN);
    assert_eq!(
        sha256(&plain),
        "2fb596155553b879f4ce4d26d31097d8482939ff53a4a2c5aab21890edd9ec41"
    );
}

fn check_layer(mix: &Mix, packet: &Packet, layer: &Layer) {
    let bytes = packet.as_bytes();
    let alpha: [u8; 32] = bytes[..32].try_into().unwrap();
    let shared = curve::Alpha::parse(&alpha)
        .unwrap()
        .agree(mix.key.as_bytes())
        .unwrap();
    let keys = shared.header_keys();
    for (name, got, expected) in [
        ("public key", mix.hop.key.as_bytes().to_vec(), layer.public),
        ("alpha", alpha.to_vec(), layer.alpha),
        ("s", shared.0.to_vec(), layer.secret),
        ("tag", shared.tag().as_bytes().to_vec(), layer.tag),
        ("aes_key", keys.aes.to_vec(), layer.aes),
        ("iv", keys.iv.to_vec(), layer.iv),
        ("mac_key", keys.mac.to_vec(), layer.mac),
        (
            "payload key",
            shared.payload_key().0.to_vec(),
            layer.payload,
        ),
        ("gamma", bytes[GAMMA_AT..DELTA_AT].to_vec(), layer.gamma),
        (
            "delta",
            bytes[DELTA_AT..DELTA_AT + 16].to_vec(),
            layer.delta,
        ),
    ] {
        assert_eq!(hex::encode(got), expected, "{name}");
    }
    assert_eq!(sha256(&bytes[BETA_AT..GAMMA_AT]), layer.beta_hash);
    assert_eq!(sha256(bytes), layer.packet_hash);
}

#[test]
fn reply_block_on_the_known_path() {
    let mut mixes = mixes(3);
    let id = SurbId::from_bytes([0x55; 16]).unwrap();
    let key = ReplyKey::from_bytes([0x66; 16]);
    let (surb, keys) = make_surb(&path(&mixes), &[100, 200, 0], &[0x44; 32], id, key).unwrap();
    let bytes = surb.to_bytes();
    assert_eq!(bytes.len(), 734);
    let (mut packet, first) = Surb::from_bytes(&bytes).unwrap().seal(&known_message());
    assert_eq!(first, mixes[0].hop.address);
    // The same secret and path give the same header as the forward packet, but for the id in its innermost block.
    assert_eq!(hex::encode(&packet.as_bytes()[..32]), LAYERS[0].alpha);
    for mix in &mut mixes[..2] {
        packet = mix.forward(&packet).2;
    }
    let Ok(Peeled::Reply { id: got, delta }) = mixes[2].peel(&packet) else {
        panic!("the last hop must find a reply");
    };
    assert_eq!(got, id);
    assert_eq!(keys.open(delta).unwrap(), known_message());
}

const LAYERS: [Layer; 3] = [
    Layer {
        public: "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13",
        alpha: "ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b",
        secret: "b21afd23cc289c5c693adc6d9c7198657e590320fa4dd7a0aaf606e441a2ea46",
        tag: "7057f1e8dcc133ef20bed26c89fc4c0cf898d3467475173f36db5ca10310913f",
        aes: "b4b93e8e197d3c27e152198c181dbe4a",
        iv: "2a0558cd1c647e8ac480be02ae94b76a",
        mac: "7b66d5249d6de3b4d69e9ef7eb281394",
        payload: "a34741636f2177633dd85872f3cd270add591a4792517c26a5b344599f5f8fbb",
        gamma: "ded6412d79b44f4cd89026b3243f76a7",
        beta_hash: "66f603b3d5ed6c6f676d7b238a62aa4f320881130368629d9fb999dc2b7cd628",
        delta: "986d937152038c458dc7ca1c8ae6e7dd",
        packet_hash: "2d42b4afd6908fe5f520159ccf1f83df019b4e407e2834f34c036bb49abb88bf",
    },
    Layer {
        public: "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20",
        alpha: "f4824fdc117ef7e915a244af40689721f04f82f47d388affc2ef245cba8d2576",
        secret: "6454042015a3692007ad64cfee62c5fde958da77578e7f859ab66509ff814b31",
        tag: "8b8adc4a7d1af730038334ea39617e4981baf3e2573e900b12bbe813e9820f2d",
        aes: "951a9d5d1669f3a329fb8b3dc3e41d28",
        iv: "be0dfc24022358f8e3f619598a962e57",
        mac: "19a639160e7f7d93a0a7a73997c10292",
        payload: "18ee3ab5f1ba2bf8287de9ebbcb31915267ed3e847ab4839830638d2b5b1ec0a",
        gamma: "3e4c3c92cb9d612f17a5ed3900bb3908",
        beta_hash: "e1bae6899306d036a686815a8489bf55db3f5720b54219c4e2b93269568c7b04",
        delta: "2ae8fc0278e3da6df1956066437156d0",
        packet_hash: "d3f9cc0d782631a4a6655615ed86bbf88e9dd1ac0be48b30b5e865fe2807238a",
    },
    Layer {
        public: "7b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b14",
        alpha: "35d14aaf46c4f229c2b6c0c2dbabb401aea232e51884778d4b0517bbaf57e558",
        secret: "e231c4748051016a3894f7de0eed8f483fa9a73cd69d5152010a272adcb33e5a",
        tag: "11306d3d8bb4d3946f8af8ad079c4669328bf1c3a45e9fa167965f82bf58aa1c",
        aes: "f71aef85fa1e48735139db384e8cd220",
        iv: "05544733134b51b6804f1c59aceca55f",
        mac: "f0a67c8de229a4dcc44ff532fdf237a8",
        payload: "77d4c5a013d153a9243ffd75f8eff7b4b6a9569946d9c2a4b46cebcc7f3105c7",
        gamma: "ec25e47aab6d0da415227bada69e1414",
        beta_hash: "3ab124cd025d6b7b301e36400faa836c631b84b0968e4fb165ffae6ed634e393",
        delta: "9ee804c0b40694f21b0a745c3a684df8",
        packet_hash: "96689729b08673e16297fbf092b244218cec270b84c5b242ab61d27f5b61a07d",
    },
];
