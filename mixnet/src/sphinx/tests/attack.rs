//! Packets that were changed on the way, made to mislead, or sent twice.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::error::BuildError;
use crate::geometry::{BETA_AT, BLOCK_LEN, DELTA_AT, GAMMA_AT, PACKET_LEN};
use crate::replay::Replay;

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn with_alpha(packet: &Packet, alpha: [u8; 32]) -> Packet {
    let mut packet = packet.clone();
    packet.as_mut()[..32].copy_from_slice(&alpha);
    packet
}

#[test]
fn wrong_lengths() {
    for len in [0, 1, 624, PACKET_LEN - 1, PACKET_LEN + 1, 4908] {
        assert_eq!(Packet::from_slice(&vec![1; len]), Err(DropReason::Length));
    }
}

#[test]
fn every_bit_of_alpha() {
    let mut mixes = mixes(3);
    let packet = known_packet(&mixes);
    for bit in 0..256 {
        let bad = altered(&packet, bit / 8, 1 << (bit % 8));
        let reason = mixes[0].peel(&bad).unwrap_err();
        let expected = if bit == 255 {
            DropReason::NonCanonicalAlpha
        } else {
            DropReason::Mac
        };
        assert_eq!(reason, expected, "bit {bit}");
    }
    assert!(mixes[0].replay.is_empty());
    mixes[0].forward(&packet);
}

#[test]
fn every_byte_of_beta_and_gamma() {
    let mut mixes = mixes(3);
    let packet = known_packet(&mixes);
    for at in BETA_AT..DELTA_AT {
        let bad = altered(&packet, at, 0x80 >> (at % 8));
        assert_eq!(
            mixes[0].peel(&bad).unwrap_err(),
            DropReason::Mac,
            "byte {at}"
        );
        assert!(mixes[0].replay.is_empty());
    }
    mixes[0].forward(&packet);
    assert_eq!(mixes[0].peel(&packet).unwrap_err(), DropReason::Replayed);
}

#[test]
fn a_changed_payload_is_found_at_the_end_only() {
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    for _ in 0..20 {
        let mut mixes = mixes(3);
        let at = DELTA_AT + rng.next_u32() as usize % (PACKET_LEN - DELTA_AT);
        let packet = altered(&known_packet(&mixes), at, 1);
        let packet = mixes[0].forward(&packet).2;
        let packet = mixes[1].forward(&packet).2;
        assert_eq!(mixes[2].peel(&packet).unwrap_err(), DropReason::PayloadTag);
    }
}

#[test]
fn low_order_and_non_canonical_points() {
    use DropReason::{LowOrderAlpha, NonCanonicalAlpha};
    let mut mixes = mixes(3);
    let packet = known_packet(&mixes);
    let zero = [0; 32];
    let mut one = zero;
    one[0] = 1;
    let near_p = |low: u8| {
        let mut point = [0xff; 32];
        point[0] = low;
        point[31] = 0x7f;
        point
    };
    let top = |mut point: [u8; 32]| {
        point[31] |= 0x80;
        point
    };
    let order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    let other_8 = "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157";
    for (alpha, expected) in [
        (zero, LowOrderAlpha),
        (one, LowOrderAlpha),
        (hex32(order_8), LowOrderAlpha),
        (hex32(other_8), LowOrderAlpha),
        (near_p(0xec), LowOrderAlpha),
        (near_p(0xed), NonCanonicalAlpha),
        (near_p(0xee), NonCanonicalAlpha),
        (near_p(0xff), NonCanonicalAlpha),
        (top(zero), NonCanonicalAlpha),
        (top(one), NonCanonicalAlpha),
        (top(hex32(order_8)), NonCanonicalAlpha),
        (top(near_p(0xec)), NonCanonicalAlpha),
        ([0xff; 32], NonCanonicalAlpha),
        // The greatest canonical points that are of high order.
        (near_p(0xeb), DropReason::Mac),
        (near_p(0x00), DropReason::Mac),
    ] {
        let reason = mixes[0].peel(&with_alpha(&packet, alpha)).unwrap_err();
        assert_eq!(reason, expected, "{}", hex::encode(alpha));
    }
    assert!(mixes[0].replay.is_empty());
}

const TWIN_0: &str = "77036630dae501feb92fe88f7d3b93f5d5a8d2d0c33b95a6520b531d818c875b";
const TWIN_2: &str = "7ce183c9ae5301a0b38a94865b9dfd60408b0ee56b0a1ec33ced40be8a1ea14a";

#[test]
fn a_torsion_twin_is_a_duplicate() {
    let mut mixes = mixes(3);
    let first = known_packet(&mixes);
    let second = mixes[0].forward(&first).2;
    let third = mixes[1].forward(&second).2;
    mixes[2].peel(&third).unwrap();
    for (mix, packet, twin) in [(0, &first, TWIN_0), (2, &third, TWIN_2)] {
        let twin = with_alpha(packet, hex32(twin));
        assert_eq!(mixes[mix].peel(&twin).unwrap_err(), DropReason::Replayed);
    }
}

#[test]
fn a_torsion_twin_that_comes_first_takes_the_place() {
    let mut mixes = mixes(3);
    let packet = known_packet(&mixes);
    // The routing is under keys from s, which the twin shares; only the blinding differs, so the next hop cannot read it.
    let strange = mixes[0].forward(&with_alpha(&packet, hex32(TWIN_0))).2;
    assert_eq!(mixes[1].peel(&strange).unwrap_err(), DropReason::Mac);
    assert_eq!(mixes[0].peel(&packet).unwrap_err(), DropReason::Replayed);

    let mut mixes = super::mixes(3);
    let inner = mixes[0].forward(&packet).2;
    let inner = mixes[1].forward(&inner).2;
    mixes[2].peel(&with_alpha(&inner, hex32(TWIN_2))).unwrap();
    assert_eq!(mixes[2].peel(&inner).unwrap_err(), DropReason::Replayed);
}

#[test]
fn a_mix_with_another_key() {
    let mut mixes = mixes(3);
    let packet = known_packet(&mixes);
    assert_eq!(mixes[1].peel(&packet).unwrap_err(), DropReason::Mac);
    assert!(mixes[1].replay.is_empty());
}

#[test]
fn a_full_store_lets_nothing_through() {
    struct Full;
    impl Replay for Full {
        fn seen(&self, _: &crate::replay::ReplayTag) -> bool {
            false
        }
        fn insert(
            &mut self,
            _: &crate::replay::ReplayTag,
        ) -> Result<(), crate::replay::ReplayError> {
            Err(crate::replay::ReplayError::Full)
        }
    }
    let mixes = mixes(3);
    let reason = peel(&mixes[0].key, known_packet(&mixes), &mut Full).unwrap_err();
    assert_eq!(reason, DropReason::ReplayFull);
}

/// A packet whose first block is what the test says: `block` is deciphered, changed, enciphered and put under a valid MAC.
fn forged(mixes: &[Mix], hops: usize, change: impl FnOnce(&mut [u8])) -> Packet {
    let hops = path(&mixes[..hops]);
    let delays = vec![7; hops.len() - 1];
    let none = Address::NONE;
    let (packet, _) = build(&hops, &delays, &[9; 32], &known_message(), &none).unwrap();
    forge::forge(packet, &mixes[0].key, change).unwrap()
}

#[test]
fn blocks_that_are_neither_next_hop_nor_end() {
    use DropReason::{MalformedAddress, MalformedRouting};
    type Change = fn(&mut [u8]);
    let cases: [(&str, usize, Change, DropReason); 9] = [
        (
            "a final block with a delay",
            1,
            |b| b[95] = 1,
            MalformedRouting,
        ),
        (
            "a reply with a destination",
            1,
            |b| {
                b[..94].copy_from_slice(&Mix::known(2).hop.address.to_bytes());
                b[96] = 1;
            },
            MalformedRouting,
        ),
        (
            "a reply with a delay",
            1,
            |b| (b[94], b[111]) = (1, 1),
            MalformedRouting,
        ),
        (
            "a final block with garbage for a destination",
            1,
            |b| b[93] = 1,
            MalformedAddress,
        ),
        (
            "a final block with one byte behind it",
            1,
            |b| b[112] = 1,
            MalformedRouting,
        ),
        (
            "a final block with its last zero gone",
            1,
            |b| b[239] = 1,
            MalformedRouting,
        ),
        (
            "a next hop without an address",
            2,
            |b| b[..94].fill(0),
            MalformedRouting,
        ),
        (
            "a next hop over an unknown transport",
            2,
            |b| b[4] = 2,
            MalformedAddress,
        ),
        (
            "a next hop with an id of 38 bytes",
            2,
            |b| b[8] = 0x24,
            MalformedAddress,
        ),
    ];
    for (name, hops, change, expected) in cases {
        let mut mixes = mixes(2);
        let packet = forged(&mixes, hops, change);
        let reason = mixes[0].peel_strictly(&packet).unwrap_err();
        assert_eq!(reason, expected, "{name}");
        assert_eq!(mixes[0].replay.len(), 1, "{name}: the MAC was good");
    }
}

#[test]
fn a_block_with_delay_zero_in_the_middle_is_forwarded() {
    let mut mixes = mixes(2);
    let packet = forged(&mixes, 2, |b| b[94..96].fill(0));
    assert_eq!(mixes[0].forward(&packet).1, 0);
}

#[test]
fn zeros_beyond_the_rule_do_not_matter() {
    // 128 zero bytes after the block are an end; what follows is filler to a path of four.
    let mut mixes = mixes(1);
    let packet = forged(&mixes, 1, |b| b[BLOCK_LEN + 128] = 1);
    let peeled = mixes[0].peel_strictly(&packet).unwrap();
    assert!(matches!(peeled, Peeled::Exit { .. }));
}

#[test]
fn a_path_of_five_ends_only_where_it_is_asked_for() {
    let mut mixes = mixes(5);
    let none = Address::NONE;
    let hops = path(&mixes);
    let (mut packet, _) = build(&hops, &[1; 4], &[3; 32], &known_message(), &none).unwrap();
    for mix in &mut mixes[..4] {
        packet = mix.forward(&packet).2;
    }
    let mut fresh = ReplayStore::new([0; 16]);
    let strict = peel(&mixes[4].key, packet.clone(), &mut fresh).unwrap_err();
    assert_eq!(strict, DropReason::MalformedRouting);
    assert!(matches!(mixes[4].peel(&packet), Ok(Peeled::Exit { .. })));
}

#[test]
fn what_cannot_be_built() {
    let mixes = mixes(5);
    let hops = path(&mixes);
    let message = known_message();
    let try_build = |path: &[Hop], delays: &[u16]| {
        build(path, delays, &[1; 32], &message, &Address::NONE).map(|(_, first)| first)
    };
    let six = [&hops[..], &hops[..1]].concat();
    assert_eq!(try_build(&[], &[]), Err(BuildError::PathLength(0)));
    assert_eq!(try_build(&six, &[1; 5]), Err(BuildError::PathLength(6)));
    assert_eq!(
        try_build(&hops[..3], &[1]),
        Err(BuildError::DelayCount { hops: 3, given: 1 })
    );
    assert_eq!(
        try_build(&hops[..3], &[1; 4]),
        Err(BuildError::DelayCount { hops: 3, given: 4 })
    );
    assert_eq!(
        try_build(&hops[..3], &[1, 0]),
        Err(BuildError::DelayZero(1))
    );
    assert_eq!(
        try_build(&hops[..3], &[1, 2, 3]),
        Err(BuildError::DelayAtEnd(3))
    );
    assert_eq!(try_build(&hops[..3], &[1, 2, 0]), Ok(hops[0].address));

    let mut nowhere = hops.clone();
    nowhere[2].address = Address::NONE;
    assert_eq!(try_build(&nowhere, &[1; 4]), Err(BuildError::NoAddress(2)));
    for bad in [[0; 32], [0xff; 32], {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        p
    }] {
        let mut path = hops.clone();
        path[1].key = PublicKey::from_bytes(bad);
        assert_eq!(try_build(&path, &[1; 4]), Err(BuildError::BadKey(1)));
    }
}

#[test]
fn random_buffers() {
    let mut rng = ChaCha20Rng::seed_from_u64(20);
    let mut mix = Mix::known(1);
    for _ in 0..2000 {
        let mut packet = Packet::zeroed();
        rng.fill_bytes(packet.as_mut());
        let reason = mix.peel(&packet).unwrap_err();
        assert!(matches!(
            reason,
            DropReason::Mac | DropReason::NonCanonicalAlpha
        ));
    }
    assert!(mix.replay.is_empty());
}

/// Pearson's statistic of the byte values in a part of many packets, for 255 degrees of freedom.
fn chi_square(packets: &[Packet], part: std::ops::Range<usize>) -> f64 {
    let mut counts = [0_u32; 256];
    for packet in packets {
        for &byte in &packet.as_bytes()[part.clone()] {
            counts[usize::from(byte)] += 1;
        }
    }
    let expected = (packets.len() * part.len()) as f64 / 256.0;
    let square = |&count: &u32| (f64::from(count) - expected).powi(2) / expected;
    counts.iter().map(square).sum()
}

#[test]
fn a_relay_sees_random_bytes_whatever_the_path() {
    // The message is all zeros, and only the secret differs. 390 is passed by chance once in 10^6 trials; the seeds are fixed.
    for hops in 2..=5 {
        let mut mixes = mixes(hops);
        let path = path(&mixes);
        let delays = vec![50; usize::from(hops) - 1];
        let packets: Vec<_> = (0..200_u8)
            .map(|n| {
                let none = Address::NONE;
                let built = build(&path, &delays, &[n; 32], &[0; MESSAGE_LEN], &none);
                mixes[0].forward(&built.unwrap().0).2
            })
            .collect();
        for part in [
            BETA_AT..GAMMA_AT,
            BETA_AT..BETA_AT + BLOCK_LEN,
            DELTA_AT..PACKET_LEN,
        ] {
            let statistic = chi_square(&packets, part.clone());
            assert!(statistic < 390.0, "{hops} hops, {part:?}: {statistic}");
        }
        // The end of beta, where the zeros that a hop shifts in would show.
        let end = chi_square(&packets, GAMMA_AT - BLOCK_LEN..GAMMA_AT);
        assert!(end < 390.0, "{hops} hops: {end}");
    }
}
