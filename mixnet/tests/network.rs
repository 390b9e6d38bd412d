//! Whole networks of the core in memory and in virtual time: objects both ways, cover, replay,
//! relays that go and come back, too few relays.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "network/change.rs"]
mod change;
#[path = "network/mailbox.rs"]
mod mailbox;
#[path = "network/sim.rs"]
mod sim;

use std::time::Duration;

use mixnet::fragment::frames_for;
use mixnet::{Arrival, DropReason, PacketKind, Preset, SendError};
use sim::{Role, World, object};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(n: u64) -> Duration {
    SECOND * n as u32
}

#[test]
fn objects_of_every_size_go_both_ways() {
    for (seed, len) in [(1, 1), (2, 3_913), (3, 3_914), (4, 40_000), (5, 1_200_000)] {
        let mut world = World::new(3, 1, 1, Preset::FAST, seed);
        let (client, service) = (world.first(Role::Client), world.first(Role::Service));
        let sent = object(2, len);
        let to = world.peer(service);
        world.members[client].node.send(to, sent.clone()).unwrap();
        assert!(
            world.run(seconds(115), |w| w.delivered_to(service).count() == 1),
            "{len}"
        );
        let got = world.delivered_to(service).next().unwrap();
        assert!(
            got.object == sent && got.arrival == Arrival::Forward,
            "{len}"
        );

        // The service knows the client by nothing but its reply blocks.
        let now = world.time();
        let blocks = world.members[client]
            .node
            .make_surbs(now, frames_for(len))
            .unwrap();
        assert_eq!(
            world.members[client].node.surbs_outstanding(),
            frames_for(len)
        );
        let answer = object(3, len);
        world.members[service]
            .node
            .reply(blocks, answer.clone())
            .unwrap();
        let limit = world.now + seconds(115);
        assert!(
            world.run(limit, |w| w.delivered_to(client).count() == 1),
            "{len}"
        );
        let got = world.delivered_to(client).next().unwrap();
        assert!(
            got.object == answer && got.arrival == Arrival::Reply,
            "{len}"
        );
        assert_eq!(world.members[client].node.surbs_outstanding(), 0);
        for member in &world.members {
            let counters = member.node.status().counters;
            assert_eq!(counters.dropped_total(), 0, "{:?}", counters);
        }
    }
}

#[test]
fn a_path_is_three_distinct_relays_and_the_service() {
    let mut world = World::new(5, 1, 1, Preset::FAST, 1);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    // One object takes one packet; follow it by the only payload on the wires.
    world.members[client].node.send(to, object(1, 10)).unwrap();
    world.run(seconds(20), |w| w.deliveries.len() == 1);
    let entry = world
        .wires
        .iter()
        .find(|wire| wire.kind == PacketKind::Payload)
        .unwrap();
    assert_eq!(entry.from, client);
    assert!(
        world
            .members
            .iter()
            .any(|m| m.peer == entry.to && m.role == Role::Relay)
    );
    for wire in &world.wires {
        let to = world
            .members
            .iter()
            .find(|member| member.peer == wire.to)
            .unwrap();
        // Only relays get packets from clients; only relays hand packets to ends.
        let from = &world.members[wire.from];
        assert!(from.role == Role::Relay || to.role == Role::Relay);
        assert_ne!(from.peer, to.peer);
    }
}

/// The median of one frame one way in the fast preset is below a second.
#[test]
fn the_fast_preset_is_fast() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 8);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    let mut waits = Vec::new();
    for n in 0..300 {
        let start = world.now;
        world.members[client].node.send(to, object(1, 10)).unwrap();
        assert!(world.run(start + seconds(30), |w| w.deliveries.len() == n + 1));
        waits.push(world.now - start);
        // A moment between messages, so that they do not queue.
        let pause = world.now + SECOND;
        world.run(pause, |_| false);
    }
    waits.sort_unstable();
    let (median, late) = (waits[150], waits[285]);
    // Theory for slots of 4/s, four rests of 80 ms and four links of 20 ms.
    assert!(median < Duration::from_millis(800), "median {median:?}");
    assert!(late < Duration::from_millis(1_500), "95 % {late:?}");
}

/// The times at which a client sends, and how many of its packets carried something.
fn send_times(seed: u8, load: usize) -> (Vec<Duration>, u64) {
    let mut world = World::new(3, 1, 1, Preset::FAST, seed);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    for _ in 0..load {
        world.members[client]
            .node
            .send(to, object(1, 30_000))
            .unwrap();
    }
    world.run(seconds(60), |_| false);
    let times = world
        .wires
        .iter()
        .filter(|wire| wire.from == client)
        .map(|wire| wire.at);
    let counters = world.members[client].node.status().counters;
    (times.collect(), counters.sent(PacketKind::Payload))
}

/// Real packets take the place of cover: with an empty and a full queue the same slots are sent,
/// at the same nanosecond.
#[test]
fn traffic_never_moves_or_adds_a_slot() {
    for seed in 0..6 {
        let (idle, idle_payloads) = send_times(seed, 0);
        let (busy, busy_payloads) = send_times(seed, 100);
        assert_eq!(idle_payloads, 0);
        assert!(busy_payloads > 150, "{busy_payloads}");
        assert_eq!(idle, busy, "seed {seed}");
        // 5 packets a second for a minute; five standard deviations of a Poisson count.
        assert!((213..=387).contains(&idle.len()), "{}", idle.len());
    }
}

/// Replies replace cover at the service in the same way.
#[test]
fn replies_take_payload_slots() {
    let run = |blocks: usize| {
        let mut world = World::new(3, 1, 1, Preset::FAST, 3);
        let (client, service) = (world.first(Role::Client), world.first(Role::Service));
        let now = world.time();
        for _ in 0..blocks {
            let block = world.members[client].node.make_surbs(now, 1).unwrap();
            world.members[service]
                .node
                .reply(block, object(3, 100))
                .unwrap();
        }
        world.run(seconds(30), |_| false);
        let times = world.wires.iter().filter(|wire| wire.from == service);
        (
            times.map(|wire| wire.at).collect::<Vec<_>>(),
            world.delivered_to(client).count(),
        )
    };
    let (idle, none) = run(0);
    let (busy, some) = run(60);
    assert_eq!((none, some), (0, 60));
    assert_eq!(idle, busy);
}

#[test]
fn loops_return_and_cover_ends_in_silence() {
    let mut world = World::new(3, 2, 1, Preset::FAST, 2);
    world.run(seconds(120), |_| false);
    assert!(world.deliveries.is_empty());
    let mut cover = 0;
    for member in &world.members {
        let counters = member.node.status().counters;
        let loops = counters.sent(PacketKind::Loop) + counters.sent(PacketKind::MixLoop);
        cover += counters.cover_received;
        if member.role == Role::Relay {
            // A relay has two other relays here: too few for a path of its own.
            assert_eq!(loops, 0);
            assert!(counters.slots_without_path > 0);
            continue;
        }
        assert!((35..=85).contains(&loops), "{loops}");
        assert!(counters.loops_returned + 4 >= loops, "{counters:?}");
        assert_eq!((counters.loops_lost, counters.dropped_total()), (0, 0));
    }
    assert!(cover > 500, "{cover}");
}

#[test]
fn relays_send_loops_of_their_own() {
    let mut world = World::new(4, 0, 0, Preset::FAST, 2);
    world.run(seconds(300), |_| false);
    for member in &world.members {
        let counters = member.node.status().counters;
        // 0.2/s for 300 s; four standard deviations.
        let loops = counters.sent(PacketKind::MixLoop);
        assert!((29..=91).contains(&loops), "{loops}");
        assert!(counters.loops_returned + 3 >= loops);
        assert_eq!(
            counters.sent(PacketKind::Payload) + counters.sent(PacketKind::Drop),
            0
        );
    }
}

#[test]
fn a_replayed_packet_is_dropped_once_and_harms_nobody() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 4);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    // Record what the client hands to relay 0, by handing it over ourselves.
    let blocks = world.blocks(service, 40);
    let block = blocks
        .into_iter()
        .find(|b| b.first_hop().peer() == Some(world.peer(0)))
        .unwrap();
    let (packet, _) = block.seal(&[0; 3968]);
    let from = world.peer(client);
    for _ in 0..3 {
        let packet = packet.clone();
        world.packet(0, from, packet);
    }
    let counters = world.members[0].node.status().counters;
    assert_eq!(counters.dropped(DropReason::Replayed), 2);
    assert_eq!(world.members[0].node.status().packets_delayed, 1);
    world.members[client]
        .node
        .send(to, object(1, 9_000))
        .unwrap();
    assert!(world.run(seconds(30), |w| w.delivered_to(service).count() == 1));
}

#[test]
fn a_corrupt_packet_dies_quietly() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 4);
    let from = world.peer(world.first(Role::Client));
    let service = world.first(Role::Service);
    let block = world.blocks(service, 1).remove(0);
    let first = block.first_hop().peer().unwrap();
    let relay = world
        .members
        .iter()
        .position(|member| member.peer == first)
        .unwrap();
    let (packet, _) = block.seal(&[0; 3968]);
    let mut expected = Vec::new();
    for (offset, reason) in [(40, DropReason::Mac), (610, DropReason::Mac)] {
        let mut bytes = *packet.as_bytes();
        bytes[offset] ^= 1;
        expected.push((mixnet::Packet::from_slice(&bytes).unwrap(), reason));
    }
    let mut low_order = *packet.as_bytes();
    low_order[..32].fill(0);
    expected.push((
        mixnet::Packet::from_slice(&low_order).unwrap(),
        DropReason::LowOrderAlpha,
    ));
    low_order[..32].fill(0xff);
    expected.push((
        mixnet::Packet::from_slice(&low_order).unwrap(),
        DropReason::NonCanonicalAlpha,
    ));
    for (packet, reason) in expected {
        let before = world.members[relay].node.status().counters;
        world.packet(relay, from, packet);
        let after = world.members[relay].node.status();
        assert_eq!(
            after.counters.dropped(reason),
            before.dropped(reason) + 1,
            "{reason}"
        );
        assert_eq!((after.replay_tags, after.packets_delayed), (0, 0));
    }
    // The untouched packet is still good.
    world.packet(relay, from, packet);
    assert_eq!(world.members[relay].node.status().packets_delayed, 1);
}

#[test]
fn a_corrupt_payload_is_dropped_by_the_last_hop_only() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 5);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let block = world.blocks(client, 1).remove(0);
    let bytes = block.to_bytes();
    let twin = mixnet::Surb::from_bytes(&bytes).unwrap();
    let first = block.first_hop().peer().unwrap();
    let relay = world
        .members
        .iter()
        .position(|member| member.peer == first)
        .unwrap();
    let (packet, _) = block.seal(&[0; 3968]);
    let mut bytes = *packet.as_bytes();
    bytes[4_000] ^= 1;
    let packet = mixnet::Packet::from_slice(&bytes).unwrap();
    let from = world.peer(service);
    world.packet(relay, from, packet);
    let corrupt = |w: &World, n: usize| {
        w.members[n]
            .node
            .status()
            .counters
            .dropped(DropReason::ReplyCorrupt)
    };
    assert!(world.run(seconds(10), |w| corrupt(w, client) == 1));
    assert_eq!(world.members[client].node.surbs_outstanding(), 1);
    drop(twin);
}

#[test]
fn a_dead_relay_is_left_at_once_and_used_again_when_it_is_back() {
    let mut world = World::new(5, 1, 1, Preset::FAST, 6);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    world.run(seconds(5), |_| false);
    let dead = world.peer(1);
    world.kill(1);
    assert!(world.stale.contains(&client) && world.stale.contains(&service));
    assert_eq!(world.usable[&client], 4);
    let killed = world.now;
    // What is sent from now on is not lost: one object of 20 frames arrives whole.
    world.members[client]
        .node
        .send(to, object(1, 75_000))
        .unwrap();
    assert!(
        world.run(killed + seconds(30), |w| w.delivered_to(service).count()
            == 1)
    );
    let own = |wire: &&sim::Wire| wire.kind != PacketKind::Forward && wire.at > killed;
    assert!(!world.wires.iter().filter(own).any(|wire| wire.to == dead));

    world.revive(1);
    assert_eq!(world.usable[&client], 5);
    let revived = world.now;
    world.run(revived + seconds(20), |_| false);
    let own = |wire: &&sim::Wire| wire.kind != PacketKind::Forward && wire.at > revived;
    assert!(world.wires.iter().filter(own).any(|wire| wire.to == dead));
}

/// Too few relays: the client says so and keeps what it has, and nothing at all leaves.
#[test]
fn with_too_few_relays_messages_are_kept() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 7);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    world.kill(0);
    let killed = world.now;
    world.members[client]
        .node
        .send(to, object(1, 20_000))
        .unwrap();
    let limit = world.now + seconds(60);
    world.run(limit, |_| false);
    let status = world.members[client].node.status();
    assert_eq!((status.usable_relays, status.needed), (2, 3));
    assert_eq!(status.frames_queued + status.packets_held, 6);
    assert!(status.counters.slots_without_path > 100);
    assert!(
        !world
            .wires
            .iter()
            .any(|wire| wire.from == client && wire.at > killed)
    );
    let now = world.time();
    let missing = world.members[client].node.make_surbs(now, 1).unwrap_err();
    assert_eq!((missing.usable, missing.needed), (2, 3));
    assert!(missing.to_string().contains("1 missing"), "{missing}");

    world.revive(0);
    let limit = world.now + seconds(30);
    assert!(world.run(limit, |w| w.delivered_to(service).count() == 1));
    let sent = object(1, 20_000);
    assert!(world.delivered_to(service).next().unwrap().object == sent);
}

/// Attack: one relay of six takes everything and forwards nothing; only loops can tell.
#[test]
fn a_black_hole_is_found_by_loops() {
    let mut world = World::new(6, 1, 1, Preset::FAST, 9);
    let client = world.first(Role::Client);
    world.keep = Box::new(|to, _| to != 2);
    assert!(world.run(seconds(300), |w| w.usable[&client] == 5));
    assert!(world.stale.contains(&client));
    let found = world.now;
    // It forwards again, and is tried again.
    world.keep = Box::new(|_, _| true);
    assert!(world.run(found + seconds(600), |w| w.usable[&client] == 6));
}

#[test]
fn a_relay_refuses_what_it_must() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 10);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let from = world.peer(client);
    // A packet for a relay that arrives at a node which does not relay: its MAC does not verify.
    let block = world.blocks(client, 1).remove(0);
    let (packet, _) = block.seal(&[0; 3968]);
    world.packet(service, from, packet.clone());
    let dropped =
        |world: &World, n: usize, reason| world.members[n].node.status().counters.dropped(reason);
    assert_eq!(dropped(&world, service, DropReason::Mac), 1);
    // Beyond the burst a neighbour is not heard; others are.
    for _ in 0..1_100 {
        world.packet(0, from, packet.clone());
    }
    assert_eq!(dropped(&world, 0, DropReason::NeighbourRate), 100);
    let other = world.peer(service);
    world.packet(0, other, packet);
    assert_eq!(dropped(&world, 0, DropReason::NeighbourRate), 100);
}

#[test]
fn sending_mistakes_have_their_own_errors() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 11);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    let stranger = mixnet::PeerKey::from_bytes([2; 33]).unwrap();
    let now = world.time();
    let node = &mut world.members[client].node;
    assert_eq!(
        node.send(stranger, object(1, 1)),
        Err(SendError::UnknownService(stranger))
    );
    assert!(matches!(
        node.send(to, object(1, 1_200_001)),
        Err(SendError::Oversize(_))
    ));
    let blocks = node.make_surbs(now, 2).unwrap();
    assert_eq!(
        node.reply(blocks, object(1, 1)),
        Err(SendError::BlockCount {
            given: 2,
            needed: 1
        })
    );
    while node.has_room() {
        node.send(to, object(1, 1_000_000)).unwrap();
    }
    assert_eq!(node.send(to, object(1, 1)), Err(SendError::Full));
    let relay = &mut world.members[0].node;
    assert_eq!(relay.send(to, object(1, 1)), Err(SendError::NoPayloadClock));
}

#[test]
fn a_stopped_node_sends_what_rests_and_no_more() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 12);
    world.run(seconds(20), |_| false);
    let n = world.first(Role::Client);
    world.members[n].node.stop();
    let stopped = world.now;
    assert!(world.run(stopped + seconds(3), |w| w.members[n].node.is_drained()));
    let sent = world
        .wires
        .iter()
        .filter(|wire| wire.from == n && wire.at > stopped)
        .count();
    let limit = world.now + seconds(30);
    world.run(limit, |_| false);
    let later = world
        .wires
        .iter()
        .filter(|wire| wire.from == n && wire.at > stopped)
        .count();
    assert_eq!(sent, later);
}

/// The stock of reply keys is bounded; what finds no room is not given out.
#[test]
fn reply_blocks_are_bounded_and_expire() {
    let mut world = World::new(3, 1, 1, Preset::MOBILE_SAVER, 13);
    let client = world.first(Role::Client);
    let now = world.time();
    let node = &mut world.members[client].node;
    let blocks = node.make_surbs(now, 10_050).unwrap();
    assert_eq!(blocks.len(), 10_000);
    assert_eq!(node.make_surbs(now, 1).unwrap().len(), 0);
    let limit = world.now + seconds(30 * 60 + 1);
    world.run(limit, |w| w.members[client].node.surbs_outstanding() == 0);
    let status = world.members[client].node.status();
    assert_eq!(
        (status.surbs_outstanding, status.counters.surbs_expired),
        (0, 10_000)
    );
}
