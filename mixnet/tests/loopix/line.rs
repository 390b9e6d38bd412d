//! What the line shows: when packets leave, and what they look like.

use std::time::Duration;

use mixnet::node::Input;
use mixnet::{PacketKind, Preset, Protection, WindowState};

use super::seconds;
use super::sim::{Role, World, object};

/// A window that opens twice; the times at which the client sends, with so much to send.
fn send_times(seed: u8, load: usize) -> (Vec<Duration>, u64) {
    let preset = Preset::FAST;
    let mut world = World::protected([3, 1, 1], preset, Protection::of(&preset), seed);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    for _ in 0..load {
        let node = &mut world.members[client].node;
        node.send(to, object(1, 40_000)).unwrap();
    }
    // The first step; idle; the application is opened for five minutes, which makes ten; idle; twenty minutes by hand; idle.
    for (at, input) in [
        (1_200, Input::Foreground(true)),
        (1_500, Input::Foreground(false)),
        (2_700, Input::Window { steps: 2 }),
    ] {
        world.run(seconds(at), |_| false);
        world.input(client, input);
    }
    world.run(seconds(4_500), |_| false);
    let own = world.wires.iter().filter(|wire| wire.from == client);
    let counters = world.members[client].node.status().counters;
    (
        own.map(|wire| wire.at).collect(),
        counters.sent(PacketKind::Payload),
    )
}

/// Windows open and close by the application and the user alone: with an empty and a full queue, in the window and outside, packets
/// leave at the same nanosecond.
#[test]
fn a_queue_moves_neither_a_slot_nor_a_window() {
    let (idle, none) = send_times(3, 0);
    let (busy, many) = send_times(3, 25);
    assert!(none == 0 && many > 200, "{many}");
    assert_eq!(idle, busy);
    let between = |from, to| {
        let times = idle.iter();
        times
            .filter(|at| (seconds(from)..seconds(to)).contains(*at))
            .count()
    };
    // 5 a second in the window, 1 in 60 s outside; five standard deviations of Poisson counts.
    for (from, to) in [(1, 600), (1_201, 1_800), (2_701, 3_900)] {
        let expected = 5.0 * (to - from) as f64;
        let count = between(from, to) as f64;
        assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{count}");
    }
    for (from, to) in [(602, 1_200), (1_802, 2_700), (3_902, 4_500)] {
        let count = between(from, to);
        assert!(count <= 30, "{count} from {from} to {to}");
    }
}

/// Outside its window a client gets what is sent to it at once, and what it sends leaves at the idle rate.
#[test]
fn an_idle_client_is_reached_and_reaches() {
    let mut preset = Preset::FAST;
    preset.idle_rate = 1.0 / 10.0;
    let mut world = World::protected([4, 1, 1], preset, Protection::of(&preset), 3);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    world.input(service, Input::Foreground(true));
    world.run(seconds(700), |_| false);
    let window = world.members[client].node.status().window;
    assert_eq!(window, WindowState::Closed);
    let blocks = world.blocks(client, 1);
    let node = &mut world.members[service].node;
    node.reply(blocks, object(3, 100)).unwrap();
    assert!(world.run(seconds(710), |w| w.delivered_to(client).count() == 1));
    let to = world.peer(service);
    for n in 1..=5 {
        let node = &mut world.members[client].node;
        node.send(to, object(1, 100)).unwrap();
        // A slot in 12.5 s on average: all of them within ten such times.
        let limit = world.now + seconds(125);
        assert!(world.run(limit, |w| w.delivered_to(service).count() == n));
    }
}

/// The times at which a relay sends its own loops.
fn relay_loops(load: usize) -> (Vec<Duration>, u64) {
    let mut world = World::new(5, 1, 1, Preset::FAST, 4);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    for _ in 0..load {
        let node = &mut world.members[client].node;
        node.send(to, object(1, 30_000)).unwrap();
    }
    // Without load nobody but the relays sends anything.
    if load == 0 {
        world.members[client].node.stop();
        world.members[service].node.stop();
    }
    world.run(seconds(120), |_| false);
    let own = |wire: &&super::sim::Wire| wire.from == 0 && wire.kind == PacketKind::MixLoop;
    let times = world.wires.iter().filter(own).map(|wire| wire.at).collect();
    let counters = world.members[0].node.status().counters;
    (times, counters.sent(PacketKind::Forward))
}

#[test]
fn a_relay_sends_its_loops_whatever_it_forwards() {
    let (quiet, few) = relay_loops(0);
    let (busy, many) = relay_loops(20);
    assert!(many > few + 200, "{few} and {many}");
    assert!(quiet.len() > 10);
    assert_eq!(quiet, busy);
}

/// Byte statistics: whatever a packet is for, its bytes look drawn at random, and there are always as many.
#[test]
fn packets_of_every_kind_look_alike() {
    let mut world = World::new(4, 1, 1, Preset::FAST, 5);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    world.tap = Some(Vec::new());
    let blocks = world.blocks(client, 60);
    for block in blocks {
        let node = &mut world.members[service].node;
        node.reply(vec![block], object(3, 100)).unwrap();
    }
    let node = &mut world.members[client].node;
    node.send(to, object(1, 200_000)).unwrap();
    world.run(seconds(100), |_| false);
    let tapped = world.tap.take().unwrap();
    for kind in [
        PacketKind::Payload,
        PacketKind::Reply,
        PacketKind::PayloadCover,
        PacketKind::Drop,
        PacketKind::Loop,
        PacketKind::MixLoop,
        PacketKind::Forward,
    ] {
        let packets: Vec<_> = tapped.iter().filter(|(k, _)| *k == kind).collect();
        assert!(packets.len() >= 40, "{kind:?}: {}", packets.len());
        let mut counts = [0u32; 256];
        for (_, packet) in &packets {
            // The top bit of the group element is always zero: its last byte is left out.
            let bytes = packet.as_bytes();
            for byte in bytes[..31].iter().chain(&bytes[32..]) {
                counts[usize::from(*byte)] += 1;
            }
        }
        let total: u32 = counts.iter().sum();
        let expected = f64::from(total) / 256.0;
        let chi: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        // 255 degrees of freedom: mean 255, standard deviation 22.6; five of them.
        assert!((142.0..368.0).contains(&chi), "{kind:?}: {chi}");
    }
}
