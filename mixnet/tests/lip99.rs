//! Relays that know LIP-99 and nothing else carry our packets: the packet is theirs, all that is ours lies inside.

#![allow(clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "shell")]
#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "lip99/reading.rs"]
mod reading;
#[cfg(feature = "shell")]
#[path = "lip99/relay.rs"]
mod relay;

use std::net::Ipv4Addr;

use mixnet::geometry::{HOPS, MESSAGE_LEN};
use mixnet::{
    Address, Hop, Packet, Peeled, PeerKey, ReplayStore, SecretKey, Transport, build, peel,
};
use reading::Found;

fn hops(count: u8) -> (Vec<SecretKey>, Vec<Hop>) {
    let mut peer = [5; 33];
    peer[0] = 2;
    let peer = PeerKey::from_bytes(peer).unwrap();
    let keys: Vec<_> = (1..=count)
        .map(|n| SecretKey::from_bytes([n; 32]))
        .collect();
    let hop = |(n, key): (u8, &SecretKey)| Hop {
        key: key.public(),
        address: Address::direct(Ipv4Addr::new(10, 0, 0, n), Transport::Tcp, 6000, peer),
    };
    let hops = (1..).zip(&keys).map(hop).collect();
    (keys, hops)
}

/// The same bytes for a path of three, product by product or by the running product.
#[test]
fn a_path_of_three_is_built_word_by_word() {
    let (keys, path) = hops(3);
    for n in 0..20_u8 {
        let message = [n; MESSAGE_LEN];
        let literal = [0, 1, 2].map(|n: usize| reading::Hop {
            key: *path[n].key.as_bytes(),
            address: path[n].address.to_bytes(),
        });
        let theirs = reading::build(&literal, [100, 1 + u16::from(n)], [n ^ 0x5a; 32], &message);
        let delays = [100, 1 + u16::from(n)];
        let (ours, _) = build(&path, &delays, &[n ^ 0x5a; 32], &message, &Address::NONE).unwrap();
        assert!(ours.as_bytes()[..] == theirs, "packet {n}");

        // And what the words build, a node of ours takes apart.
        let mut packet = Packet::from_slice(&theirs).unwrap();
        for key in &keys[..2] {
            let mut store = ReplayStore::new([0; 16]);
            match peel(key, packet, &mut store).unwrap() {
                Peeled::Forward { packet: inner, .. } => packet = inner,
                other => panic!("not forwarded: {other:?}"),
            }
        }
        let mut store = ReplayStore::new([0; 16]);
        match peel(&keys[2], packet, &mut store).unwrap() {
            Peeled::Exit { message: got, .. } => assert_eq!(*got, message),
            other => panic!("not the end: {other:?}"),
        }
    }
}

/// A relay of LIP-99 cannot tell a path of four from one of three, at any of its three places.
#[test]
fn a_path_of_four_passes_three_relays_that_know_paths_of_three() {
    let (keys, path) = hops(HOPS as u8);
    let delays = [10, 20, 30];
    let (packet, _) = build(&path, &delays, &[3; 32], &[9; MESSAGE_LEN], &Address::NONE).unwrap();
    let mut packet = packet.as_bytes().to_vec();
    for (n, key) in keys[..3].iter().enumerate() {
        let Some(Found::Forward {
            address,
            delay_ms,
            packet: inner,
        }) = reading::peel(*key.as_bytes(), &packet)
        else {
            panic!("hop {n} does not forward");
        };
        assert_eq!(
            (address, delay_ms),
            (path[n + 1].address.to_bytes(), delays[n])
        );
        packet = inner;
    }
    let mut store = ReplayStore::new([0; 16]);
    match peel(&keys[3], Packet::from_slice(&packet).unwrap(), &mut store).unwrap() {
        Peeled::Exit { message, .. } => assert_eq!(*message, [9; MESSAGE_LEN]),
        other => panic!("not the end: {other:?}"),
    }
}

/// Over real sockets: a service and a client of ours, and between them three relays that share no code with us.
#[cfg(feature = "shell")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_know_only_lip_99_carry_objects_and_replies() {
    use mixnet::fragment::frames_for;
    use mixnet::{Arrival, Preset};
    use net::{Net, Role, object};

    let mut preset = Preset::FAST;
    preset.payload_rate = 60.0;
    let roles = [
        Role::Relay,
        Role::Relay,
        Role::Relay,
        Role::Service,
        Role::Client,
    ];
    let net = Net::new(&roles, preset);
    let relays: Vec<_> = (0..3).map(|n| relay::Relay::start(&net, n)).collect();
    let (mut service, mut client) = (net.start(3), net.start(4));
    service.usable(3).await;
    client.usable(3).await;
    for len in [1, 30_000] {
        client
            .handle
            .send(net.peer(3), object(2, len))
            .await
            .unwrap();
        let (got, arrival) = service.object().await;
        assert!(got == object(2, len) && arrival == Arrival::Forward);
        let blocks = client.handle.surbs(frames_for(len)).await.unwrap();
        service.handle.reply(blocks, object(3, len)).await.unwrap();
        let (got, arrival) = client.object().await;
        assert!(got == object(3, len) && arrival == Arrival::Reply);
    }
    // Loops came back: the client may believe that its relays work.
    let looped = |status: &mixnet::shell::Status| status.node.counters.loops_returned > 0;
    client.until("a loop that returned", looped).await;
    for relay in relays {
        assert_eq!(relay.dropped(), 0);
    }
    service.shutdown().await;
    client.shutdown().await;
}
