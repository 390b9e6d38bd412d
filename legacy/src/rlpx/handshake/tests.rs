use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::rlpx::fixtures::*;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn sealed(text: &[u8], to: &PublicKey) -> Vec<u8> {
    let prefix = u16::try_from(text.len() + ecies::OVERHEAD)
        .unwrap()
        .to_be_bytes();
    [
        prefix.to_vec(),
        ecies::encrypt(to, text, &prefix, &mut rng(8)),
    ]
    .concat()
}

#[test]
fn published_auths() {
    for (packet, form, version) in [
        (AUTH_1, Form::Legacy, 4),
        (AUTH_2, Form::Eip8, 4),
        (AUTH_3, Form::Eip8, 56),
    ] {
        let auth = Auth::read(&secret(STATIC_B), &bytes(packet)).unwrap();
        assert_eq!(auth.form, form);
        assert_eq!(auth.version, version);
        assert_eq!(hex::encode(auth.signature), SIGNATURE_A);
        assert_eq!(auth.initiator, secret(STATIC_A).public());
        assert_eq!(auth.ephemeral, secret(EPHEMERAL_A).public());
        assert_eq!(hex::encode(auth.nonce), NONCE_A);
    }
}

#[test]
fn published_acks() {
    for (packet, form, version) in [
        (ACK_1, Form::Legacy, 4),
        (ACK_2, Form::Eip8, 4),
        (ACK_3, Form::Eip8, 57),
    ] {
        let ack = Ack::read(&secret(STATIC_A), &bytes(packet)).unwrap();
        assert_eq!(ack.form, form);
        assert_eq!(ack.version, version);
        assert_eq!(ack.ephemeral, secret(EPHEMERAL_B).public());
        assert_eq!(hex::encode(ack.nonce), NONCE_B);
    }
}

#[test]
fn published_digest_is_what_is_signed() {
    let nonce = bytes(NONCE_A).try_into().unwrap();
    assert_eq!(
        hex::encode(signed_digest(
            &secret(STATIC_A),
            &secret(STATIC_B).public(),
            &nonce
        )),
        "53b7c9860e75f0538f22a8de6a9f038b2d5c4dc866b53767ba82a98c0ac7bd30"
    );
}

#[test]
fn ours_are_read_back_in_both_forms() {
    let (a, b) = (secret(STATIC_A), secret(STATIC_B));
    let (ephemeral, nonce) = (secret(EPHEMERAL_A), [7; NONCE_LEN]);
    for form in [Form::Eip8, Form::Legacy] {
        for seed in 0..20 {
            let packet = Auth::seal(form, &a, &ephemeral, &nonce, &b.public(), &mut rng(seed));
            let auth = Auth::read(&b, &packet).unwrap();
            assert_eq!(
                (auth.form, auth.initiator, auth.ephemeral),
                (form, a.public(), ephemeral.public())
            );
            let answer = Ack::seal(form, &ephemeral, &nonce, &a.public(), &mut rng(seed));
            let ack = Ack::read(&a, &answer).unwrap();
            assert_eq!(
                (ack.form, ack.ephemeral, ack.nonce),
                (form, ephemeral.public(), nonce)
            );
            match form {
                Form::Legacy => {
                    assert_eq!((packet.len(), answer.len()), (307, 210));
                }
                Form::Eip8 => {
                    let fixed = PREFIX_LEN + ecies::OVERHEAD;
                    assert!(
                        (100..300).contains(&(packet.len() - fixed - 169)),
                        "{}",
                        packet.len()
                    );
                    assert!(
                        (100..300).contains(&(answer.len() - fixed - 102)),
                        "{}",
                        answer.len()
                    );
                }
            }
        }
    }
}

#[test]
fn padding_of_any_content_and_length_is_legal() {
    let (a, b) = (secret(STATIC_A), secret(STATIC_B));
    let nonce = [7; NONCE_LEN];
    let signature = secret(EPHEMERAL_A).sign(&signed_digest(&a, &b.public(), &nonce));
    let body = List::new()
        .bytes(&signature)
        .bytes(&a.public().to_bytes())
        .bytes(&nonce)
        .uint(56)
        .list(List::new().uint(1))
        .finish();
    for padding in [100, 299, 1000] {
        let text = [&body[..], &vec![0xff; padding]].concat();
        assert_eq!(
            Auth::read(&b, &sealed(&text, &b.public())).unwrap().version,
            56
        );
    }
}

#[test]
fn sizes_are_refused_by_their_prefix() {
    let key = secret(STATIC_B);
    let mut opener = Opener::auth();
    assert_eq!(
        opener.open(&key, &[0xff, 0xff]).unwrap_err(),
        HandshakeError::SizeOverflow { len: 65537 }
    );
    assert_eq!(
        opener.open(&key, &[0x07, 0xff]).unwrap_err(),
        HandshakeError::SizeOverflow { len: 2049 }
    );
    assert!(opener.open(&key, &[0x07, 0xfe]).unwrap().is_none());
    assert_eq!(
        opener.open(&key, &[0x01, 0x32]).unwrap_err(),
        HandshakeError::SizeUnderflow {
            size: 306,
            min: 307
        }
    );
    assert_eq!(
        Opener::ack().open(&key, &[0x00, 0xd1]).unwrap_err(),
        HandshakeError::SizeUnderflow {
            size: 209,
            min: 210
        }
    );
    assert!(opener.open(&key, &[]).unwrap().is_none());
    assert!(opener.open(&key, &[4]).unwrap().is_none());
}

#[test]
fn a_size_that_looks_like_a_point_is_still_a_size() {
    let (a, b) = (secret(STATIC_A), secret(STATIC_B));
    let nonce = [7; NONCE_LEN];
    let signature = secret(EPHEMERAL_A).sign(&signed_digest(&a, &b.public(), &nonce));
    let mut text = List::new()
        .bytes(&signature)
        .bytes(&a.public().to_bytes())
        .bytes(&nonce)
        .uint(4)
        .finish();
    text.resize(0x0410 - ecies::OVERHEAD, 0);
    let packet = sealed(&text, &b.public());
    assert_eq!(packet[0], POINT_PREFIX);
    assert_eq!(Auth::read(&b, &packet).unwrap().form, Form::Eip8);
}

#[test]
fn garbage_of_the_old_length_is_refused() {
    let key = secret(STATIC_B);
    let mut garbage = vec![0xaa; LEGACY_AUTH_LEN];
    assert!(matches!(
        Auth::read(&key, &garbage),
        Err(HandshakeError::SizeOverflow { .. })
    ));
    garbage[0] = POINT_PREFIX;
    garbage[1] = 0;
    assert!(matches!(
        Auth::read(&key, &garbage),
        Err(HandshakeError::Incomplete { .. })
    ));
}

#[test]
fn wrong_keys_inside_are_refused() {
    let (a, b) = (secret(STATIC_A), secret(STATIC_B));
    let nonce = [7; NONCE_LEN];
    let auth = |signature: &[u8], key: &[u8], nonce: &[u8]| {
        let mut text = List::new()
            .bytes(signature)
            .bytes(key)
            .bytes(nonce)
            .uint(4)
            .finish();
        text.resize(text.len() + 150, 0);
        Auth::read(&b, &sealed(&text, &b.public()))
            .map(|_| ())
            .unwrap_err()
    };
    let signature = secret(EPHEMERAL_A).sign(&signed_digest(&a, &b.public(), &nonce));
    let public = a.public().to_bytes();
    let mut off_curve = public;
    off_curve[63] ^= 1;
    assert_eq!(
        auth(&signature, &off_curve, &nonce),
        HandshakeError::StaticKey(KeyError::NotOnCurve)
    );
    let mut bad_v = signature;
    bad_v[64] = 4;
    assert!(matches!(
        auth(&bad_v, &public, &nonce),
        HandshakeError::Signature(KeyError::RecoveryId { .. })
    ));
    assert!(matches!(
        auth(&[0; 65], &public, &nonce),
        HandshakeError::Signature(KeyError::Signature)
    ));
    assert!(matches!(
        auth(&signature[..64], &public, &nonce),
        HandshakeError::Body(RlpError::Length { .. })
    ));
    assert!(matches!(
        auth(&signature, &public[..63], &nonce),
        HandshakeError::Body(RlpError::Length { .. })
    ));
    assert!(matches!(
        auth(&signature, &public, &nonce[..31]),
        HandshakeError::Body(RlpError::Length { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..1000)) {
        prop_assert!(Auth::read(&secret(STATIC_B), &bytes).is_err());
        prop_assert!(Ack::read(&secret(STATIC_A), &bytes).is_err());
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..437, flip in 1u8..) {
        let mut packet = bytes(AUTH_2);
        packet[at] ^= flip;
        prop_assert!(Auth::read(&secret(STATIC_B), &packet).is_err());
    }

    #[test]
    fn a_packet_is_found_however_it_is_cut(cut in 0usize..437) {
        let packet = bytes(AUTH_2);
        let mut opener = Opener::auth();
        prop_assert!(opener.open(&secret(STATIC_B), &packet[..cut]).unwrap().is_none());
        let more = [&packet[..], &[1, 2, 3]].concat();
        prop_assert_eq!(opener.open(&secret(STATIC_B), &more).unwrap().unwrap().len, packet.len());
    }
}
