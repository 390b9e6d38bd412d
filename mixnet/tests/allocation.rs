//! Peeling takes no memory beside that of the packet.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;

use mixnet::geometry::{HOPS, MESSAGE_LEN};
use mixnet::replay::Replay;
use mixnet::sphinx::ReplyKey;
use mixnet::{
    Address, Hop, Packet, Peeled, PeerKey, ReplayStore, SecretKey, SurbId, Transport, build,
    make_surb, peel,
};

fn path() -> (Vec<SecretKey>, Vec<Hop>) {
    let mut peer = [5; 33];
    peer[0] = 2;
    let peer = PeerKey::from_bytes(peer).unwrap();
    let keys: Vec<_> = (1..=HOPS as u8)
        .map(|n| SecretKey::from_bytes([n; 32]))
        .collect();
    let hop = |key: &SecretKey| Hop {
        key: key.public(),
        address: Address::direct(Ipv4Addr::LOCALHOST, Transport::Tcp, 1, peer),
    };
    let hops = keys.iter().map(hop).collect();
    (keys, hops)
}

/// Peels, and counts the allocations of that.
fn counted(key: &SecretKey, packet: Packet, store: &mut impl Replay) -> (Peeled, u64) {
    let mut peeled = None;
    let counted = allocation_counter::measure(|| peeled = Some(peel(key, packet, store)));
    (peeled.unwrap().unwrap(), counted.count_total)
}

#[test]
fn peeling_allocates_nothing_at_any_hop() {
    let (keys, hops) = path();
    let delays = [1; HOPS - 1];
    let none = Address::NONE;
    let (forward, _) = build(&hops, &delays, &[7; 32], &[1; MESSAGE_LEN], &none).unwrap();
    let id = SurbId::from_bytes([1; 16]).unwrap();
    let key = ReplyKey::from_bytes([2; 16]);
    let (surb, _) = make_surb(&hops, &delays, &[8; 32], id, key).unwrap();
    let (reply, _) = surb.seal(&[1; MESSAGE_LEN]);
    for (name, packet) in [("packet", forward), ("reply", reply)] {
        let mut packet = Some(packet);
        for (n, key) in keys.iter().enumerate() {
            let mut store = ReplayStore::new([0; 16]);
            let (peeled, count) = counted(key, packet.take().unwrap(), &mut store);
            assert_eq!(count, 0, "{name} at hop {n}");
            match peeled {
                Peeled::Forward { packet: inner, .. } => packet = Some(inner),
                Peeled::Exit { .. } | Peeled::Reply { .. } => assert_eq!(n, HOPS - 1),
            }
        }
    }
}

/// What is refused costs no memory either, whichever check refuses it.
#[test]
fn refusing_allocates_nothing() {
    let (keys, hops) = path();
    let none = Address::NONE;
    let (good, _) = build(&hops[..1], &[], &[7; 32], &[1; MESSAGE_LEN], &none).unwrap();
    let altered = |at: usize| {
        let mut bytes = *good.as_bytes();
        bytes[at] ^= 1;
        Packet::from_slice(&bytes).unwrap()
    };
    let mut store = ReplayStore::new([0; 16]);
    let bad = [
        Packet::from_slice(&[0xff; 4608]).unwrap(),
        Packet::from_slice(&[0; 4608]).unwrap(),
        altered(0),
        altered(100),
        altered(620),
        altered(4000),
        good.clone(),
    ];
    for (n, packet) in bad.into_iter().enumerate() {
        let mut refused = None;
        let counted = allocation_counter::measure(|| {
            refused = peel(&keys[0], packet, &mut store).err();
        });
        assert!(refused.is_some(), "packet {n}");
        assert_eq!(counted.count_total, 0, "packet {n}: {refused:?}");
    }
}
