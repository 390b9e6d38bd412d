//! Packets that nobody built, and packets that were built and changed, by the million; and what a relay passes on.
//!
//! The long forms are for `make hostile-mix`: ten million random packets, a million changed ones, and the bytes of a hundred thousand
//! forwarded ones.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;

use mixnet::geometry::{BETA_AT, DELTA_AT, HEADER_LEN, PACKET_LEN};
use mixnet::{
    Address, DropReason, Hop, Packet, Peeled, PeerKey, ReplayStore, SecretKey, Transport, build,
    peel,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

fn keys() -> Vec<SecretKey> {
    (1..=4).map(|n| SecretKey::from_bytes([n; 32])).collect()
}

/// A packet of four hops, by its number, with a message of zeros.
fn packet(keys: &[SecretKey], n: u64) -> Packet {
    let mut peer = [5; 33];
    peer[0] = 2;
    let peer = PeerKey::from_bytes(peer).unwrap();
    let hop = |key: &SecretKey| Hop {
        key: key.public(),
        address: Address::direct(Ipv4Addr::LOCALHOST, Transport::Tcp, 1, peer),
    };
    let path: Vec<_> = keys.iter().map(hop).collect();
    let mut secret = [1; 32];
    secret[..8].copy_from_slice(&n.to_be_bytes());
    let built = build(&path, &[80; 3], &secret, &[0; 3968], &Address::NONE);
    built.unwrap().0
}

fn spoiled(random: usize, mutated: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(20);
    let keys = keys();
    let mut store = ReplayStore::new([1; 16]);
    for n in 0..random {
        let mut bytes = Box::new([0; PACKET_LEN]);
        rng.fill_bytes(&mut *bytes);
        let reason = peel(&keys[0], Packet::from(bytes), &mut store).unwrap_err();
        let expected = [DropReason::Mac, DropReason::NonCanonicalAlpha];
        assert!(expected.contains(&reason), "{n}: {reason:?}");
    }
    let good = packet(&keys, 0);
    for n in 0..mutated {
        let mut bytes = Box::new(*good.as_bytes());
        // One to four bytes of the header; what the payload says is for the last hop only.
        for _ in 0..1 + rng.next_u32() % 4 {
            let at = rng.next_u32() as usize % HEADER_LEN;
            bytes[at] ^= 1 + (rng.next_u32() % 255) as u8;
        }
        if *bytes == *good.as_bytes() {
            continue;
        }
        let reason = peel(&keys[0], Packet::from(bytes), &mut store).unwrap_err();
        let expected = [
            DropReason::Mac,
            DropReason::NonCanonicalAlpha,
            DropReason::LowOrderAlpha,
        ];
        assert!(expected.contains(&reason), "{n}: {reason:?}");
    }
    assert!(store.is_empty());
    assert!(peel(&keys[0], good, &mut store).is_ok());
}

#[test]
fn random_and_mutated_packets() {
    spoiled(4_000, 4_000);
}

#[test]
#[ignore = "minutes: make hostile-mix"]
fn random_and_mutated_packets_long() {
    spoiled(10_000_000, 1_000_000);
}

/// Pearson's statistic for every place of a packet after the group element, over what a relay forwards. With 255 degrees of
/// freedom the mean is 255 and the standard deviation 22.6; over 4,576 places the greatest lies 4 deviations above by chance.
fn looks_random(packets: u64) {
    let keys = keys();
    let mut counts = vec![[0_u32; 256]; PACKET_LEN - BETA_AT];
    for n in 0..packets {
        let mut store = ReplayStore::new([1; 16]);
        let Ok(Peeled::Forward { packet, .. }) = peel(&keys[0], packet(&keys, n), &mut store)
        else {
            panic!("a good packet is forwarded");
        };
        for (counts, byte) in counts.iter_mut().zip(&packet.as_bytes()[BETA_AT..]) {
            counts[usize::from(*byte)] += 1;
        }
    }
    let expected = packets as f64 / 256.0;
    let statistic = |counts: &[u32; 256]| -> f64 {
        let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        counts.iter().map(square).sum()
    };
    let all: Vec<f64> = counts.iter().map(statistic).collect();
    let greatest = all.iter().copied().fold(0.0, f64::max);
    // Seven deviations: by chance once in ten thousand million for one place.
    assert!(greatest < 255.0 + 7.0 * 22.6, "{greatest}");
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    for part in [&all[..DELTA_AT - BETA_AT], &all[DELTA_AT - BETA_AT..]] {
        assert!((mean(part) - 255.0).abs() < 5.0, "{}", mean(part));
    }
}

#[test]
fn forwarded_packets_look_random() {
    looks_random(5_000);
}

#[test]
#[ignore = "a minute: make hostile-mix"]
fn forwarded_packets_look_random_long() {
    looks_random(100_000);
}
