use proptest::prelude::*;

use super::*;
use crate::keccak::keccak256;
use crate::rlpx::Direction;
use crate::rlpx::fixtures::*;
use crate::rlpx::secrets::tests::published;

fn pair() -> (Egress, Ingress) {
    let (egress, _) = published(Direction::Dialled).into_halves();
    let (_, ingress) = published(Direction::Accepted).into_halves();
    (egress, ingress)
}

fn read(
    ingress: &mut Ingress,
    frame: &[u8],
    len_max: usize,
) -> Result<Option<Vec<u8>>, FrameError> {
    let mut arrived = frame.to_vec();
    let mut at = 0;
    ingress
        .next(&mut arrived, &mut at, len_max)
        .map(|body| body.map(<[u8]>::to_vec))
}

#[test]
fn computed_frames_are_byte_exact() {
    let (mut egress, mut ingress) = pair();
    let hello = bytes(HELLO_PAYLOAD);
    let first = egress.seal(&[0x80], &hello).unwrap();
    assert_eq!(hex::encode(&first), HELLO_FRAME);
    let second = egress.seal(&[0x02], &[0x01, 0x00, 0xc0]).unwrap();
    assert_eq!(hex::encode(&second), PING_FRAME);
    assert_eq!(
        read(&mut ingress, &first, 2049).unwrap().unwrap(),
        [&[0x80], &hello[..]].concat()
    );
    assert_eq!(
        read(&mut ingress, &second, 2049).unwrap().unwrap(),
        [0x02, 0x01, 0x00, 0xc0]
    );
}

/// The published vector replaces the MAC hash by a constant, so it speaks of the ciphertexts only.
#[test]
fn published_ciphertexts_under_degenerate_macs() {
    let key = keccak256(b"");
    let mut egress = Egress::new(&key, &key, Hasher::new());
    let frame = egress.seal(&[0x08], &bytes("c401020304")).unwrap();
    assert_eq!(
        hex::encode(&frame[..16]),
        "00828ddae471818bb0bfa6b551d1cb42"
    );
    assert_eq!(
        hex::encode(&frame[32..48]),
        "ba628a4ba590cb43f7848f41c4382885"
    );
    assert_eq!(frame.len(), 64);
}

#[test]
fn frames_are_read_however_they_are_cut() {
    let (mut egress, mut ingress) = pair();
    let frame = egress.seal(&[0x10], &[5; 100]).unwrap();
    let mut arrived = Vec::new();
    let mut at = 0;
    for byte in &frame[..frame.len() - 1] {
        arrived.push(*byte);
        assert!(ingress.next(&mut arrived, &mut at, 200).unwrap().is_none());
    }
    arrived.push(frame[frame.len() - 1]);
    assert_eq!(
        ingress
            .next(&mut arrived, &mut at, 200)
            .unwrap()
            .unwrap()
            .len(),
        101
    );
    assert_eq!(at, frame.len());
}

#[test]
fn every_changed_bit_is_noticed() {
    let frame = pair().0.seal(&[0x10], &[5; 20]).unwrap();
    for at in 0..frame.len() {
        let mut changed = frame.clone();
        changed[at] ^= 0x40;
        let expected = if at < HEADER_LEN {
            FrameError::HeaderMac
        } else {
            FrameError::BodyMac
        };
        assert_eq!(read(&mut pair().1, &changed, 200), Err(expected), "{at}");
    }
}

#[test]
fn replayed_and_reordered_frames_are_noticed() {
    let (mut egress, mut ingress) = pair();
    let first = egress.seal(&[0x10], b"first").unwrap();
    let second = egress.seal(&[0x10], b"second").unwrap();
    assert_eq!(
        read(&mut pair().1, &second, 200),
        Err(FrameError::HeaderMac)
    );
    assert!(read(&mut ingress, &first, 200).unwrap().is_some());
    assert_eq!(read(&mut ingress, &first, 200), Err(FrameError::HeaderMac));
}

#[test]
fn a_size_over_the_bound_is_refused_by_its_header() {
    let (mut egress, mut ingress) = pair();
    let frame = egress.seal(&[0x10], &[5; 300]).unwrap();
    assert_eq!(
        read(&mut ingress, &frame[..HEADER_LEN], 300),
        Err(FrameError::TooLong { len: 301, max: 300 })
    );
    let (mut egress, mut ingress) = pair();
    let empty = egress.seal(&[], &[]).unwrap();
    assert_eq!(read(&mut ingress, &empty, 300), Err(FrameError::Empty));
    let oversize = vec![0; FRAME_LEN_MAX];
    assert!(matches!(
        egress.seal(&[0x10], &oversize),
        Err(FrameError::TooLong { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_is_read(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..10)) {
        let (mut egress, mut ingress) = pair();
        let mut wire: Vec<u8> = bodies.iter().flat_map(|body| egress.seal(&[], body).unwrap()).collect();
        let mut at = 0;
        for body in &bodies {
            prop_assert_eq!(ingress.next(&mut wire, &mut at, 200).unwrap().unwrap(), &body[..]);
        }
        prop_assert!(ingress.next(&mut wire, &mut at, 200).unwrap().is_none());
    }
}
