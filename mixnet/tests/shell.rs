//! Nodes with real libp2p over TCP on loopback.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;

use std::time::Duration;

use mixnet::fragment::frames_for;
use mixnet::shell::{Event, SpawnError, spawn};
use mixnet::{Arrival, DropReason, Preset, SendError};
use net::{LONG, Net, Rogue, Role, object, ready};
use tokio::time::{Instant, sleep, timeout};

/// The `fast` preset with more slots, so that long objects do not take minutes.
fn quick() -> Preset {
    let mut preset = Preset::FAST;
    preset.payload_rate = 60.0;
    preset
}

fn network(relays: usize, services: usize, clients: usize) -> Vec<Role> {
    std::iter::repeat_n(Role::Relay, relays)
        .chain(std::iter::repeat_n(Role::Service, services))
        .chain(std::iter::repeat_n(Role::Client, clients))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_and_replies_cross_real_relays() {
    let net = Net::new(&network(3, 1, 1), quick());
    let mut nodes = net.start_all();
    ready(&nodes, 3).await;
    let (service, client) = (net.peer(3), 4);
    for len in [1, 10_000, 300_000] {
        nodes[client]
            .handle
            .send(service, object(2, len))
            .await
            .unwrap();
        let (got, arrival) = nodes[3].object().await;
        assert!(got == object(2, len) && arrival == Arrival::Forward);

        let blocks = nodes[client].handle.surbs(frames_for(len)).await.unwrap();
        assert_eq!(blocks.len(), frames_for(len));
        nodes[3].handle.reply(blocks, object(3, len)).await.unwrap();
        let (got, arrival) = nodes[client].object().await;
        assert!(got == object(3, len) && arrival == Arrival::Reply);
    }
    for node in &nodes {
        let status = node.handle.status().await.unwrap();
        assert_eq!(status.node.counters.dropped_total(), 0, "{status:?}");
    }
    assert_eq!(nodes[client].handle.surbs_outstanding(), 0);
    let stranger = mixnet::PeerKey::from_bytes([3; 33]).unwrap();
    let unknown = nodes[client].handle.send(stranger, object(1, 1)).await;
    assert_eq!(unknown, Err(SendError::UnknownService(stranger)));
    for node in nodes {
        node.shutdown().await;
    }
}

/// Median of one frame one way in the preset `fast`, on real sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fast_preset_is_fast_on_real_sockets() {
    let net = Net::new(&network(3, 1, 1), Preset::FAST);
    let mut nodes = net.start_all();
    ready(&nodes, 3).await;
    let mut waits = Vec::new();
    for _ in 0..15 {
        let start = Instant::now();
        nodes[4]
            .handle
            .send(net.peer(3), object(2, 100))
            .await
            .unwrap();
        nodes[3].object().await;
        waits.push(start.elapsed());
    }
    waits.sort_unstable();
    // Theory is 0.6 s; the rest is room for fifteen samples and a busy machine.
    assert!(waits[7] < Duration::from_millis(1_500), "{waits:?}");
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_five_relays_dies_and_comes_back() {
    let net = Net::new(&network(5, 1, 1), quick());
    let mut nodes = net.start_all();
    ready(&nodes, 5).await;
    let mut client = nodes.pop().unwrap();
    let mut service = nodes.pop().unwrap();
    while !matches!(
        client.notice().await,
        Event::Relays {
            usable: 5,
            needed: 3
        }
    ) {}

    let dead = nodes.remove(1);
    dead.shutdown().await;
    let killed = Instant::now();
    client.usable(4).await;
    service.usable(4).await;
    assert!(
        killed.elapsed() < Duration::from_secs(2),
        "{:?}",
        killed.elapsed()
    );
    assert!(matches!(
        client.notice().await,
        Event::Relays { usable: 4, .. }
    ));
    assert!(matches!(client.notice().await, Event::SurbsStale));

    // Nothing that is sent from now on goes through the dead one.
    for _ in 0..5 {
        client
            .handle
            .send(net.peer(5), object(2, 30_000))
            .await
            .unwrap();
    }
    for _ in 0..5 {
        assert!(service.object().await.0 == object(2, 30_000));
    }

    let revived = net.start(1);
    client.usable(5).await;
    service.usable(5).await;
    assert!(matches!(
        client.notice().await,
        Event::Relays { usable: 5, .. }
    ));
    revived.usable(4).await;
    for _ in 0..5 {
        client
            .handle
            .send(net.peer(5), object(2, 30_000))
            .await
            .unwrap();
        service.object().await;
    }
    for node in [client, service, revived].into_iter().chain(nodes) {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_relays_keep_the_messages() {
    let net = Net::new(&network(3, 1, 1), quick());
    let relays = [net.start(0), net.start(1)];
    let (mut service, client) = (net.start(3), net.start(4));
    client.usable(2).await;
    client
        .handle
        .send(net.peer(3), object(2, 20_000))
        .await
        .unwrap();
    let missing = client.handle.surbs(1).await.unwrap_err();
    assert_eq!((missing.usable, missing.needed), (2, 3));
    let kept = |status: &mixnet::shell::Status| {
        status.node.counters.slots_without_path > 20
            && status.node.frames_queued + status.node.packets_held >= 6
    };
    client.until("kept frames", kept).await;
    let last = net.start(2);
    assert!(service.object().await.0 == object(2, 20_000));
    for node in [service, client, last].into_iter().chain(relays) {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rogue_peer_is_counted_and_harms_nobody() {
    let net = Net::new(&network(3, 1, 1), quick());
    let mut nodes = net.start_all();
    ready(&nodes, 3).await;
    let first = mixnet::PeerKey::from_bytes(*net.peer(0).as_bytes()).unwrap();
    let (service, client) = (3, 4);
    let mut rogue = Rogue::connect(&net, 0).await;

    // What the rogue writes, and the reason that must grow by one. Group elements that are no use,
    // a MAC that is wrong, packets of wrong length and varints that are none.
    let mut attacks: Vec<(Vec<u8>, DropReason)> = Vec::new();
    let framed = |packet: &[u8]| [&[0x80, 0x24][..], packet].concat();
    let lengths: [&[u8]; 6] = [
        &[0x00],
        &[0xff, 0x23],
        &[0x81, 0x24, 1, 2],
        &[0x80, 0xa4, 0x00],
        &[0xff; 5],
        &[0x80],
    ];
    attacks.extend(lengths.map(|bytes| (bytes.to_vec(), DropReason::Length)));
    attacks.push((framed(&[1; 4607]), DropReason::Length));
    let mut packet = [9; 4608];
    attacks.push((framed(&packet), DropReason::Mac));
    packet[..32].fill(0);
    attacks.push((framed(&packet), DropReason::LowOrderAlpha));
    packet[0] = 1;
    attacks.push((framed(&packet), DropReason::LowOrderAlpha));
    packet[..32].fill(0xff);
    attacks.push((framed(&packet), DropReason::NonCanonicalAlpha));

    // A good packet, then its replays.
    let block = loop {
        let block = nodes[client].handle.surbs(1).await.unwrap().remove(0);
        if block.first_hop().peer() == Some(first) {
            break block;
        }
    };
    let (good, _) = block.seal(&[0; 3968]);
    rogue.packet(good.as_bytes()).await;
    // Its message says nothing in our codec, which its end finds out.
    let ended = |status: &mixnet::shell::Status| status.node.counters.dropped_total() == 1;
    nodes[client]
        .until("the end of the good packet", ended)
        .await;
    for _ in 0..2 {
        attacks.push((framed(good.as_bytes()), DropReason::Replayed));
    }
    for (bytes, reason) in attacks {
        let before = nodes[0]
            .handle
            .status()
            .await
            .unwrap()
            .node
            .counters
            .dropped(reason);
        rogue.write(&bytes).await;
        let counted =
            |status: &mixnet::shell::Status| status.node.counters.dropped(reason) == before + 1;
        nodes[0].until(reason.as_str(), counted).await;
    }
    // A flood beyond the rate of one neighbour.
    let flood = [&[0x80, 0x24][..], &packet].concat().repeat(1_500);
    rogue.write(&flood).await;
    let throttled = |status: &mixnet::shell::Status| {
        status.node.counters.dropped(DropReason::NeighbourRate) > 0
    };
    nodes[0].until("the flood", throttled).await;

    nodes[client]
        .handle
        .send(net.peer(service), object(2, 50_000))
        .await
        .unwrap();
    assert!(nodes[service].object().await.0 == object(2, 50_000));
    for node in nodes {
        node.shutdown().await;
    }
}

/// So many frames from a peer through the first node and back to the peer.
fn there_and_back(net: &Net, rogue: &Rogue, count: u16) -> Vec<u8> {
    let path = [net.hop(0), net.hop_at(rogue.peer)];
    let mut packets = Vec::new();
    for n in 0..count {
        let mut secret = [1; 32];
        // Not in the first byte, whose low bits do not count.
        secret[1..3].copy_from_slice(&n.to_be_bytes());
        let (packet, _) =
            mixnet::build(&path, &[1], &secret, &[0; 3968], &mixnet::Address::NONE).unwrap();
        packets.extend([0x80, 0x24]);
        packets.extend(packet.as_bytes());
    }
    packets
}

/// Many times what is peeled at once, and less than may wait for one neighbour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_one_neighbour_passes_a_relay_whole() {
    const BURST: u16 = 200;
    let net = Net::new(&network(3, 0, 0), quick());
    let relay = net.start(0);
    let mut rogue = Rogue::connect(&net, 0).await;
    let mut back = rogue.take();
    let packets = there_and_back(&net, &rogue, BURST);
    rogue.write(&packets).await;
    for n in 0..BURST {
        let packet = timeout(LONG, back.recv()).await;
        assert!(matches!(packet, Ok(Some(_))), "{n} of {BURST} came");
    }
    let counters = relay.handle.status().await.unwrap().node.counters;
    assert_eq!(counters.received, u64::from(BURST));
    relay.shutdown().await;
}

/// A peer that takes streams and does not read: its queue is capped, others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_blocks_nobody() {
    let net = Net::new(&network(3, 1, 1), quick());
    let mut nodes = net.start_all();
    ready(&nodes, 3).await;
    let mut rogue = Rogue::connect(&net, 0).await;
    let ignoring = rogue.take_and_ignore();
    let packets = there_and_back(&net, &rogue, 900);
    rogue.write(&packets).await;
    let capped = |status: &mixnet::shell::Status| {
        let queue = status
            .connections
            .iter()
            .find(|peer| peer.peer == rogue.peer);
        queue.is_some_and(|queue| queue.queued == 256 && !queue.known)
            && status.node.counters.dropped(DropReason::QueueFull) > 100
    };
    nodes[0].until("a full queue", capped).await;
    for _ in 0..3 {
        nodes[4]
            .handle
            .send(net.peer(3), object(2, 50_000))
            .await
            .unwrap();
        assert!(nodes[3].object().await.0 == object(2, 50_000));
    }
    ignoring.abort();
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_start_says_why() {
    let net = Net::new(&network(3, 1, 0), quick());
    let first = net.start(0);
    let taken = spawn(net.config(0)).err().unwrap();
    assert!(matches!(taken, SpawnError::Listen { .. }), "{taken}");
    assert!(taken.to_string().contains("choose another port"), "{taken}");

    let mut private = net.config(1);
    private.allow_private = false;
    let refused = spawn(private).err().unwrap();
    assert!(matches!(refused, SpawnError::Topology(_)), "{refused}");

    let mut nobody = net.config(1);
    nobody.identity = [0; 32].into();
    assert!(matches!(spawn(nobody), Err(SpawnError::Identity)));
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stops_in_time_and_says_so_to_late_callers() {
    let net = Net::new(&network(3, 1, 1), Preset::FAST);
    let nodes = net.start_all();
    ready(&nodes, 3).await;
    let handle = nodes[4].handle.clone();
    let start = Instant::now();
    handle.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(8));
    assert_eq!(
        handle.send(net.peer(3), object(1, 1)).await,
        Err(SendError::Stopped)
    );
    assert!(handle.surbs(1).await.is_err() && handle.status().await.is_none());
    // A second call has nothing left to do.
    handle.shutdown().await;

    // A node whose last handle is dropped stops by itself.
    let mut nodes = nodes.into_iter();
    let net::Running { handle, task, .. } = nodes.next().unwrap();
    drop(handle);
    timeout(LONG, task).await.unwrap().unwrap();
    sleep(Duration::from_millis(1)).await;
    for node in nodes.take(3) {
        node.shutdown().await;
    }
}
