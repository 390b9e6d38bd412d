//! Packets and replies, good and spoiled.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use super::script::Script;
use crate::address::{Address, PeerKey, Transport};
use crate::error::DropReason;
use crate::geometry::{
    BETA_LEN, DELTA_AT, GAMMA_LEN, HEADER_LEN, HOPS, MESSAGE_LEN, PACKET_LEN, SURB_LEN,
};
use crate::replay::ReplayStore;
use crate::sphinx::{
    Hop, Packet, Peeled, ReplyKey, SealedReply, SecretKey, Surb, SurbId, SurbKeys, build, forge,
    make_surb, peel,
};

/// A path of four with everything that was made for it, built once.
struct Path {
    keys: Vec<SecretKey>,
    /// A good packet as each hop finds it.
    at: Vec<Packet>,
    surb: [u8; SURB_LEN],
    surb_keys: SurbKeys,
    /// A good reply as the maker of the block finds it.
    reply: SealedReply,
}

fn path() -> &'static Path {
    static PATH: OnceLock<Path> = OnceLock::new();
    PATH.get_or_init(|| {
        let keys: Vec<_> = (1..=HOPS as u8)
            .map(|n| SecretKey::from_bytes([n; 32]))
            .collect();
        let hops: Vec<_> = keys.iter().map(hop).collect();
        let message = [0x5a; MESSAGE_LEN];
        let none = Address::NONE;
        let (packet, _) = build(&hops, &DELAYS, &[7; 32], &message, &none).expect("a good path");
        let mut at = vec![packet];
        for key in &keys[..HOPS - 1] {
            at.push(forwarded(key, at[at.len() - 1].clone()));
        }
        let id = SurbId::from_bytes([1; 16]).expect("not zero");
        let (surb, surb_keys) =
            make_surb(&hops, &DELAYS, &[8; 32], id, ReplyKey::from_bytes([2; 16]))
                .expect("a good path");
        let block = surb.to_bytes();
        let (reply, _) = surb.seal(&message);
        let reply = keys[..HOPS - 1]
            .iter()
            .fold(reply, |reply, key| forwarded(key, reply));
        let mut replay = ReplayStore::new([0; 16]);
        let Ok(Peeled::Reply { delta, .. }) = peel(&keys[HOPS - 1], reply, &mut replay) else {
            unreachable!("the last hop finds a reply");
        };
        Path {
            keys,
            at,
            surb: block,
            surb_keys,
            reply: delta,
        }
    })
}

fn hop(key: &SecretKey) -> Hop {
    let mut peer = [5; 33];
    peer[0] = 2;
    let peer = PeerKey::from_bytes(peer).expect("a compressed key");
    Hop {
        key: key.public(),
        address: Address::direct(Ipv4Addr::new(10, 0, 0, 1), Transport::Tcp, 6001, peer),
    }
}

fn forwarded(key: &SecretKey, packet: Packet) -> Packet {
    match peel(key, packet, &mut ReplayStore::new([0; 16])) {
        Ok(Peeled::Forward { packet, .. }) => packet,
        other => unreachable!("a relay forwards: {other:?}"),
    }
}

/// One packet at one hop: any bytes, a good one with some of its bytes replaced, or one whose routing is what a script wants under
/// a MAC that verifies.
pub fn packet(data: &[u8]) {
    let path = path();
    let mut script = Script::new(data);
    let (kind, at) = (script.byte() % 3, usize::from(script.byte()) % HOPS);
    let (key, good) = (&path.keys[at], &path.at[at]);
    let mut store = ReplayStore::new([3; 16]);
    match kind {
        0 => {
            let bytes = super::filled::<PACKET_LEN>(script.rest());
            let refused = peel(key, Packet::from(bytes), &mut store);
            assert!(refused.is_err() && store.is_empty());
        }
        1 => spoiled(key, good, at, &mut script, &mut store),
        _ => forged(key, good, &mut script, &mut store),
    }
}

fn spoiled(
    key: &SecretKey,
    good: &Packet,
    at: usize,
    script: &mut Script<'_>,
    store: &mut ReplayStore,
) {
    let from = usize::from(script.number()) % PACKET_LEN;
    let change = script.rest();
    let mut packet = good.clone();
    for (byte, change) in packet.as_mut()[from..].iter_mut().zip(change) {
        *byte ^= change;
    }
    let same =
        |range: std::ops::Range<usize>| packet.as_bytes()[range.clone()] == good.as_bytes()[range];
    let (header, payload) = (same(0..HEADER_LEN), same(DELTA_AT..PACKET_LEN));
    let last = at + 1 == HOPS;
    match peel(key, packet.clone(), store) {
        Ok(Peeled::Forward { .. }) => assert!(header && !last),
        Ok(Peeled::Exit { .. }) => assert!(header && payload && last),
        Ok(Peeled::Reply { .. }) => unreachable!("no reply was built"),
        Err(DropReason::PayloadTag) => assert!(header && !payload && last),
        // Nothing is remembered of a packet that was not for us.
        Err(_) => assert!(!header && store.is_empty()),
    }
    // Whatever it was, it is not taken twice.
    if !store.is_empty() {
        assert_eq!(peel(key, packet, store).err(), Some(DropReason::Replayed));
        assert_eq!(store.len(), 1);
    }
}

fn forged(key: &SecretKey, good: &Packet, script: &mut Script<'_>, store: &mut ReplayStore) {
    let from = usize::from(script.number()) % BETA_LEN;
    let (fill, routing) = (script.byte(), script.rest());
    let change = |beta: &mut [u8]| {
        // A block, and after it what the script wants: zeros make it an end.
        beta[from..].fill(fill);
        let len = routing.len().min(beta.len());
        beta[..len].copy_from_slice(&routing[..len]);
    };
    let packet = forge::forge(good.clone(), key, change).expect("a good group element");
    match peel(key, packet, store) {
        Ok(Peeled::Forward { next, .. }) => assert!(!next.is_none()),
        Ok(Peeled::Reply { id, .. }) => assert_ne!(id.as_bytes(), &[0; GAMMA_LEN]),
        Ok(Peeled::Exit { .. })
        | Err(
            DropReason::MalformedRouting | DropReason::MalformedAddress | DropReason::PayloadTag,
        ) => {}
        Err(other) => unreachable!("the MAC verifies: {other}"),
    }
    assert_eq!(store.len(), 1);
}

/// One reply block, or one reply with some of its bytes replaced.
pub fn surb(data: &[u8]) {
    let path = path();
    let mut script = Script::new(data);
    if script.byte().is_multiple_of(2) {
        let from = usize::from(script.number()) % SURB_LEN;
        let mut block = path.surb;
        for (byte, change) in block[from..].iter_mut().zip(script.rest()) {
            *byte ^= change;
        }
        if let Ok(surb) = Surb::from_bytes(&block) {
            assert_eq!(surb.to_bytes(), block);
            let first = *surb.first_hop();
            let (packet, to) = surb.seal(&[1; MESSAGE_LEN]);
            assert!(to == first && !to.is_none());
            assert_eq!(packet.as_bytes()[..HEADER_LEN], block[94..94 + HEADER_LEN]);
        }
        return;
    }
    let from = usize::from(script.number());
    let mut reply = path.reply.clone();
    let from = from % reply.len();
    let change = script.rest();
    for (byte, change) in reply[from..].iter_mut().zip(change) {
        *byte ^= change;
    }
    let untouched = *reply == *path.reply;
    match path.surb_keys.open(reply) {
        Ok(message) => assert!(untouched && *message == [0x5a; MESSAGE_LEN]),
        Err(reason) => assert!(!untouched && reason == DropReason::ReplyCorrupt),
    }
}

const DELAYS: [u16; HOPS - 1] = [1; HOPS - 1];
