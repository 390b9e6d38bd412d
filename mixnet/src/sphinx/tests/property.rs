//! What holds for every path, message and reply block.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::geometry::{DELTA_AT, HEADER_LEN, PACKET_LEN, SURB_LEN};
use crate::sphinx::stock::SURB_TTL;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_packet_arrives_along_every_path(
        hops in 1_u8..=5,
        secret: [u8; 32],
        delays in prop::collection::vec(1_u16.., 4),
        seed: u8,
        to_another: bool,
    ) {
        let mut mixes = mixes(hops);
        let message = Box::new(std::array::from_fn(|i| seed.wrapping_mul(i as u8)));
        let destination = if to_another { Mix::known(5).hop.address } else { Address::NONE };
        let delays = &delays[..usize::from(hops) - 1];
        let (mut packet, mut next) =
            build(&path(&mixes), delays, &secret, &message, &destination).unwrap();
        for (i, &delay) in delays.iter().enumerate() {
            prop_assert_eq!(next, mixes[i].hop.address);
            let (to, delay_ms_mean, inner) = mixes[i].forward(&packet);
            prop_assert_eq!(delay_ms_mean, delay);
            (next, packet) = (to, inner);
        }
        let last = mixes.last_mut().unwrap();
        prop_assert_eq!(next, last.hop.address);
        match last.peel(&packet).unwrap() {
            Peeled::Exit { destination: got, message: text } => {
                prop_assert_eq!(got, destination);
                prop_assert_eq!(*text, *message);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_reply_arrives_along_every_path(
        hops in 1_u8..=5,
        secret: [u8; 32],
        id in any::<[u8; 16]>().prop_filter_map("zero", SurbId::from_bytes),
        key: [u8; 16],
        seed: u8,
    ) {
        let mut mixes = mixes(hops);
        let delays = vec![9; usize::from(hops) - 1];
        let key = ReplyKey::from_bytes(key);
        let (surb, keys) = make_surb(&path(&mixes), &delays, &secret, id, key).unwrap();
        let message = Box::new(std::array::from_fn(|i| seed.wrapping_add(i as u8)));
        let (mut packet, _) = Surb::from_bytes(&surb.to_bytes()).unwrap().seal(&message);
        for mix in &mut mixes[..delays.len()] {
            packet = mix.forward(&packet).2;
        }
        match mixes.last_mut().unwrap().peel(&packet).unwrap() {
            Peeled::Reply { id: got, delta } => {
                prop_assert_eq!(got, id);
                prop_assert_eq!(keys.open(delta).unwrap(), message);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_bit_of_a_header_can_be_flipped(bit in 0..HEADER_LEN * 8, hop in 0_usize..4) {
        let mut mixes = mixes(4);
        let none = Address::NONE;
        let (mut packet, _) =
            build(&path(&mixes), &[1; 3], &[5; 32], &known_message(), &none).unwrap();
        for mix in &mut mixes[..hop] {
            packet = mix.forward(&packet).2;
        }
        let bad = altered(&packet, bit / 8, 1 << (bit % 8));
        prop_assert!(mixes[hop].peel(&bad).is_err());
        prop_assert!(mixes[hop].replay.is_empty());
        prop_assert!(mixes[hop].peel(&packet).is_ok());
    }

    #[test]
    fn no_bit_of_a_payload_can_be_flipped(bit in DELTA_AT * 8..PACKET_LEN * 8, hop in 0_usize..4) {
        let mut mixes = mixes(4);
        let none = Address::NONE;
        let (mut packet, _) =
            build(&path(&mixes), &[1; 3], &[5; 32], &known_message(), &none).unwrap();
        for (i, mix) in mixes[..3].iter_mut().enumerate() {
            if i == hop {
                packet = altered(&packet, bit / 8, 1 << (bit % 8));
            }
            packet = mix.forward(&packet).2;
        }
        if hop == 3 {
            packet = altered(&packet, bit / 8, 1 << (bit % 8));
        }
        prop_assert_eq!(mixes[3].peel(&packet).unwrap_err(), DropReason::PayloadTag);
    }

    #[test]
    fn no_bit_of_a_reply_can_be_flipped(bit in DELTA_AT * 8..PACKET_LEN * 8, hop in 0_usize..4) {
        let mut mixes = mixes(4);
        let id = SurbId::from_bytes([6; 16]).unwrap();
        let key = ReplyKey::from_bytes([7; 16]);
        let (surb, keys) = make_surb(&path(&mixes), &[1; 3], &[8; 32], id, key).unwrap();
        let mut packet = surb.seal(&known_message()).0;
        for (at, mix) in mixes[..3].iter_mut().enumerate() {
            if at == hop {
                packet = altered(&packet, bit / 8, 1 << (bit % 8));
            }
            packet = mix.forward(&packet).2;
        }
        if hop == 3 {
            packet = altered(&packet, bit / 8, 1 << (bit % 8));
        }
        // No hop can tell, only whoever made the block.
        match mixes[3].peel(&packet).unwrap() {
            Peeled::Reply { id: got, delta } => {
                prop_assert_eq!(got, id);
                prop_assert_eq!(keys.open(delta), Err(DropReason::ReplyCorrupt));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn reply_blocks_of_strangers_do_not_panic(bytes in prop::collection::vec(any::<u8>(), SURB_LEN)) {
        prop_assert!(Surb::from_bytes(&bytes).is_err());
        prop_assert!(Surb::from_bytes(&bytes[1..]).is_err());
    }
}

/// A reply to a block over two hops, as its maker gets it.
fn replied(id: SurbId) -> (SurbKeys, SealedReply) {
    let mut mixes = mixes(2);
    let key = ReplyKey::from_bytes([1; 16]);
    let (surb, keys) = make_surb(&path(&mixes), &[9], &[2; 32], id, key).unwrap();
    let packet = mixes[0].forward(&surb.seal(&known_message()).0).2;
    match mixes[1].peel(&packet).unwrap() {
        Peeled::Reply { delta, .. } => (keys, delta),
        other => panic!("not a reply: {other:?}"),
    }
}

#[test]
fn a_corrupt_reply_does_not_use_the_id_up() {
    let now = Instant::now();
    let id = SurbId::from_bytes([3; 16]).unwrap();
    let other = SurbId::from_bytes([4; 16]).unwrap();
    let (keys, delta) = replied(id);
    let mut stock = SurbStock::new(2);
    stock.insert(now, id, keys).unwrap();
    assert_eq!(
        stock.open(other, delta.clone()),
        Err(DropReason::UnknownSurb)
    );
    for at in [0, 15, 16, 31, 32, 3983] {
        let mut bad = delta.clone();
        bad[at] ^= 1;
        assert_eq!(stock.open(id, bad), Err(DropReason::ReplyCorrupt));
    }
    assert_eq!(stock.outstanding(), 1);
    assert_eq!(stock.open(id, delta.clone()), Ok(known_message()));
    assert_eq!(stock.outstanding(), 0);
    assert_eq!(stock.open(id, delta), Err(DropReason::SurbReused));
}

#[test]
fn the_stock_is_bounded_in_number_and_time() {
    let now = Instant::now();
    let mut stock = SurbStock::new(2);
    let id = |n| SurbId::from_bytes([n; 16]).unwrap();
    stock.insert(now, id(1), replied(id(1)).0).unwrap();
    assert!(stock.insert(now, id(1), replied(id(1)).0).is_err());
    let later = now + Duration::from_secs(1);
    stock.insert(later, id(2), replied(id(2)).0).unwrap();
    assert!(stock.insert(later, id(3), replied(id(3)).0).is_err());

    assert_eq!(stock.expire(now + SURB_TTL - Duration::from_millis(1)), 0);
    assert_eq!(stock.next_deadline(), Some(now + SURB_TTL));
    assert_eq!(stock.expire(now + SURB_TTL), 1);
    assert_eq!(
        stock.open(id(1), replied(id(1)).1),
        Err(DropReason::UnknownSurb)
    );
    stock.insert(later, id(3), replied(id(3)).0).unwrap();
    assert_eq!(stock.expire(now + 2 * SURB_TTL), 2);
    assert_eq!(stock.next_deadline(), None);
}
