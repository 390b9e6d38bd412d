//! Packets as a whole; what belongs to one file is tested in it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod attack;
mod known;
mod property;

use std::net::Ipv4Addr;

use super::*;
use crate::address::{Address, PeerKey, Transport};
use crate::geometry::MESSAGE_LEN;
use crate::replay::ReplayStore;

/// A hop with its secret and its memory.
struct Mix {
    key: SecretKey,
    hop: Hop,
    replay: ReplayStore,
}

impl Mix {
    /// The hops of the known packet: secret 11..11, peer G, 10.0.0.1:6001, and so on.
    fn known(n: u8) -> Self {
        let key = SecretKey::from_bytes([n * 0x11; 32]);
        let peer = PEERS[usize::from(n) - 1];
        let peer = PeerKey::from_bytes(hex::decode(peer).unwrap().try_into().unwrap()).unwrap();
        let ip = Ipv4Addr::new(10, 0, 0, n);
        let address = Address::direct(ip, Transport::Tcp, 6000 + u16::from(n), peer);
        let hop = Hop {
            key: key.public(),
            address,
        };
        Self {
            key,
            hop,
            replay: ReplayStore::new([n; 16]),
        }
    }

    fn peel(&mut self, packet: &Packet) -> Result<Peeled, DropReason> {
        peel_up_to(5, &self.key, packet.clone(), &mut self.replay)
    }

    /// As a node of this network does: paths of at most four hops.
    fn peel_strictly(&mut self, packet: &Packet) -> Result<Peeled, DropReason> {
        peel(&self.key, packet.clone(), &mut self.replay)
    }

    /// Peels what must be forwarded.
    fn forward(&mut self, packet: &Packet) -> (Address, u16, Packet) {
        match self.peel(packet).unwrap() {
            Peeled::Forward {
                next,
                delay_ms_mean,
                packet,
            } => (next, delay_ms_mean, packet),
            other => panic!("not a forward: {other:?}"),
        }
    }
}

fn mixes(count: u8) -> Vec<Mix> {
    (1..=count).map(Mix::known).collect()
}

fn path(mixes: &[Mix]) -> Vec<Hop> {
    mixes.iter().map(|mix| mix.hop).collect()
}

/// m[i] = i mod 251.
fn known_message() -> Box<[u8; MESSAGE_LEN]> {
    Box::new(std::array::from_fn(|i| (i % 251) as u8))
}

/// The packet of the known path of three hops.
fn known_packet(mixes: &[Mix]) -> Packet {
    let none = Address::NONE;
    build(
        &path(mixes),
        &[100, 200],
        &[0x44; 32],
        &known_message(),
        &none,
    )
    .unwrap()
    .0
}

fn altered(packet: &Packet, at: usize, mask: u8) -> Packet {
    let mut packet = packet.clone();
    packet.as_mut()[at] ^= mask;
    packet
}

/// The first five multiples of the generator of secp256k1.
const PEERS: [&str; 5] = [
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
    "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
];
