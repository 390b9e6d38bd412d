//! Nodes over every transport that they speak, on loopback.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;

use std::net::{SocketAddrV4, TcpListener};

use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use mixnet::shell::{Multiaddr, SpawnError, Way, spawn};
use mixnet::{Address, PeerKey, Preset, Transport, build};
use net::{LONG, Net, Rogue, Role, Running, free_address, object, ready};
use tokio::time::timeout;

const SMALL: [Role; 5] = [
    Role::Relay,
    Role::Relay,
    Role::Relay,
    Role::Service,
    Role::Client,
];

fn quick() -> Preset {
    let mut preset = Preset::FAST;
    preset.payload_rate = 60.0;
    preset
}

fn over(transport: Transport) -> Net {
    let addresses = SMALL.map(|_| free_address());
    Net::over(transport, &SMALL, quick(), &addresses)
}

fn quic(at: SocketAddrV4) -> Multiaddr {
    let udp = Multiaddr::from(*at.ip()).with(Protocol::Udp(at.port()));
    udp.with(Protocol::QuicV1)
}

/// There and back through three relays.
async fn both_ways(net: &Net, nodes: &mut [Running]) {
    let (service, client) = (3, 4);
    let there = object(2, 20_000);
    let sent = nodes[client].handle.send(net.peer(service), there.clone());
    sent.await.unwrap();
    assert!(nodes[service].object().await.0 == there);
    let back = object(3, 2000);
    let blocks = nodes[client].handle.surbs(1).await.unwrap();
    nodes[service]
        .handle
        .reply(blocks, back.clone())
        .await
        .unwrap();
    assert!(nodes[client].object().await.0 == back);
}

/// Every connection of every node runs over `way`, and over nothing else.
async fn all_over(nodes: &[Running], way: Way) {
    for node in nodes {
        let status = node.handle.status().await.unwrap();
        assert!(!status.connections.is_empty());
        for connection in &status.connections {
            let ways = &connection.ways;
            assert!(
                !ways.is_empty() && ways.iter().all(|other| *other == way),
                "{status:?}"
            );
        }
    }
}

async fn stop(nodes: Vec<Running>) {
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_network_over_quic() {
    let net = over(Transport::Quic);
    let mut nodes = net.start_all();
    ready(&nodes, 3).await;
    both_ways(&net, &mut nodes).await;
    all_over(&nodes, Way::Quic).await;
    for node in &nodes {
        let status = node.handle.status().await.unwrap();
        assert_eq!(status.tcp_bytes, (0, 0));
    }
    stop(nodes).await;
}

/// Descriptors name QUIC; the relays do not listen for it, as behind a firewall that drops UDP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_is_the_way_where_quic_is_not() {
    let net = over(Transport::Quic);
    let start = |n| {
        let mut config = net.config(n);
        config.reach.quic = n >= 3;
        Net::start_as(config)
    };
    let mut nodes: Vec<_> = (0..SMALL.len()).map(start).collect();
    ready(&nodes, 3).await;
    both_ways(&net, &mut nodes).await;
    for node in [&nodes[0], &nodes[4]] {
        let (sent, received) = node.handle.status().await.unwrap().tcp_bytes;
        assert!(sent > 20_000 && received > 2000, "{sent} {received}");
    }
    stop(nodes).await;
}

/// A descriptor names TCP; what listens there never answers, and the node is behind the same number over QUIC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_is_the_way_where_tcp_is_not() {
    let net = over(Transport::Tcp);
    let at = net.addresses()[0];
    let silent = TcpListener::bind(at).unwrap();
    let mut hidden = net.config(0);
    hidden.listen = free_address();
    hidden.reach.quic = false;
    hidden.reach.also_listen = vec![quic(at)];
    // It knows nobody whom it could dial by itself.
    hidden.topology.clear();
    let hidden = Net::start_as(hidden);
    let client = net.start(4);
    let reached = client.until("the hidden relay", |status| {
        let ways = |peer: PeerKey| {
            let mut all = status.connections.iter();
            all.find(|other| other.peer == peer)
                .map(|found| found.ways.clone())
        };
        ways(net.peer(0)) == Some(vec![Way::Quic])
    });
    reached.await;
    drop(silent);
    stop(vec![client, hidden]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_an_address_of_version_4_is_a_hop() {
    let net = over(Transport::Tcp);
    let Ok(six) = TcpListener::bind("[::1]:0") else {
        println!("skipped: this machine has no IPv6 on loopback");
        return;
    };
    let port = six.local_addr().unwrap().port();
    drop(six);
    let place: Multiaddr = format!("/ip6/::1/tcp/{port}").parse().unwrap();
    let id = libp2p::PeerId::from_bytes(&net.peer(0).to_peer_id()).unwrap();
    let start = |n| {
        let mut config = net.config(n);
        if n == 0 {
            // Nobody listens where the descriptor says, and it dials nobody.
            config.listen = free_address();
            config.reach.also_listen = vec![place.clone()];
        } else {
            config.reach.peers = vec![place.clone().with(Protocol::P2p(id))];
        }
        Net::start_as(config)
    };
    let mut nodes: Vec<_> = (0..SMALL.len()).map(start).collect();
    ready(&nodes, 3).await;
    both_ways(&net, &mut nodes).await;
    stop(nodes).await;
}

/// A peer over `address` gives a relay a packet for itself, and gets it.
async fn there_and_back(net: &Net, relay: &Running, address: Multiaddr, way: Way) {
    let mut peer = Rogue::connect_to(Keypair::generate_secp256k1(), net.peer(0), address).await;
    let mut received = peer.take();
    let path = [net.hop(0), net.hop_at(peer.peer)];
    // A packet of its own for each way: the same one again would be a replay.
    let secret = [1 + way as u8; 32];
    let (packet, _) = build(&path, &[1], &secret, &[0; 3968], &Address::NONE).unwrap();
    let mut stream = peer.open().await;
    let frame = [&[0x80, 0x24], &packet.as_bytes()[..]].concat();
    futures::AsyncWriteExt::write_all(&mut stream, &frame)
        .await
        .unwrap();
    futures::AsyncWriteExt::flush(&mut stream).await.unwrap();
    let back = timeout(LONG, received.recv()).await.unwrap().unwrap();
    assert_eq!(back.len(), 4608);
    let status = relay.handle.status().await.unwrap();
    let link = status
        .connections
        .iter()
        .find(|other| other.peer == peer.peer);
    assert_eq!(link.unwrap().ways, [way]);
}

/// One relay that listens on all it can, and strangers of another build over each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_reached_over_websocket_and_quic() {
    let net = over(Transport::Tcp);
    let (at, web) = (net.addresses()[0], free_address());
    let websocket: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}/ws", web.port())
        .parse()
        .unwrap();
    let mut config = net.config(0);
    config.reach.also_listen = vec![websocket.clone()];
    config.topology.clear();
    let relay = Net::start_as(config);
    there_and_back(&net, &relay, websocket, Way::WebSocket).await;
    there_and_back(&net, &relay, quic(at), Way::Quic).await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_cannot_be_had_are_named() {
    let net = over(Transport::Tcp);
    let refused = |address: Multiaddr| {
        let mut config = net.config(0);
        config.reach.also_listen = vec![address];
        spawn(config).err().unwrap()
    };
    let error = refused("/ip4/127.0.0.1/tcp/1/wss".parse().unwrap());
    assert!(matches!(error, SpawnError::Reach(_)), "{error}");
    // Not an address of this machine.
    let error = refused("/ip4/192.0.2.1/udp/1/quic-v1".parse().unwrap());
    assert!(matches!(error, SpawnError::AlsoListen { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}
