//! Levels of classes, the estimate of the traffic, and what happens where there is too little of it.

use std::time::Duration;

use mixnet::traffic::Source;
use mixnet::watch::Verdict;
use mixnet::{Class, Level, Levels, LowTraffic, Notice, PacketKind, Preset, Protection, SendError};

use super::sim::{Role, World, object};
use super::{die, seconds};

/// Packets of its own that each member has sent, forwards and answers apart, per second.
fn truth(world: &World) -> f64 {
    let own = |kind: PacketKind| !matches!(kind, PacketKind::Forward | PacketKind::Load);
    let sent = world.wires.iter().filter(|wire| own(wire.kind));
    sent.count() as f64 / world.now.as_secs_f64()
}

/// The estimates of a relay, which counts, and of a client, which asks, against what was really sent, in small and larger networks.
#[test]
fn the_traffic_is_estimated_within_a_quarter() {
    for (relays, clients, seed) in [(3, 1, 1), (4, 3, 2), (6, 12, 3)] {
        let mut world = World::new(relays, 1, clients, Preset::FAST, seed);
        let client = world.first(Role::Client);
        let early = world.members[client].node.status().watch;
        assert_eq!(early.verdict, Verdict::Unknown);
        world.run(seconds(150), |_| false);
        let truth = truth(&world);
        let relay = world.members[0].node.status().watch.estimate;
        assert_eq!(relay.source, Source::Measured);
        let off = relay.network_rate / truth - 1.0;
        assert!(off.abs() < 0.12, "measured: {off} of {truth}");
        let asked = world.members[client].node.status().watch.estimate;
        assert_eq!(asked.source, Source::Reported(relays));
        // The answer is rounded to half a power of two: 19 % at most, and what a relay counts varies.
        let off = asked.network_rate / truth - 1.0;
        assert!(off.abs() < 0.3, "reported: {off} of {truth}");
        // Probes and answers are few.
        let loads = world.wires.iter().filter(|w| w.kind == PacketKind::Load);
        assert!(loads.count() <= relays * (clients + 1));
    }
}

/// A network of few users: by default messages leave and the user is told; who wants it gets longer delays; who insists is refused.
#[test]
fn too_little_traffic_is_told_adapted_to_or_refused() {
    for (low_traffic, strict) in [
        (LowTraffic::Warn, false),
        (LowTraffic::Adapt, false),
        (LowTraffic::Refuse, false),
        (LowTraffic::Warn, true),
    ] {
        let preset = Preset::FAST;
        let protection = Protection {
            levels: Levels::of(&preset),
            low_traffic,
            strict,
        };
        let mut world = World::protected([4, 1, 1], preset, protection, 5);
        let (client, service) = (world.first(Role::Client), world.first(Role::Service));
        let to = world.peer(service);
        world.members[client].node.send(to, object(1, 100)).unwrap();
        world.run(seconds(150), |_| false);
        let watch = world.members[client].node.status().watch;
        let sent = world.members[client].node.send(to, object(1, 100));
        let delivered = world.delivered_to(service).count();
        let told = world.notices.iter().any(|(_, who, notice)| {
            *who == client && matches!(notice, Notice::TrafficLow { pool } if *pool < 8.0)
        });
        if low_traffic == LowTraffic::Adapt {
            // About 8 packets a second at each relay: a second of delay makes eight of them rest there.
            assert!((10.0..=20.0).contains(&watch.delay_factor), "{watch:?}");
            assert_eq!((sent, delivered), (Ok(()), 1));
            let limit = world.now + seconds(60);
            assert!(world.run(limit, |w| w.delivered_to(service).count() == 2));
            continue;
        }
        assert!(told && watch.verdict == Verdict::Low, "{watch:?}");
        assert_eq!(watch.delay_factor, 1.0);
        if strict || low_traffic == LowTraffic::Refuse {
            let Err(refused) = sent else {
                panic!("{low_traffic:?} sent")
            };
            assert!(matches!(
                refused,
                SendError::AnonymityTooLow { needed: 8, .. }
            ));
            assert!(refused.to_string().starts_with("anonymity too low"));
            // What was queued while nothing was known is held, and cover leaves.
            assert!(watch.refusing && delivered == 0);
            let own = world.wires.iter().filter(|wire| wire.from == client);
            assert!(own.count() > 600);
        } else {
            assert_eq!((sent, delivered), (Ok(()), 1));
        }
    }
}

/// How long objects of a class take from their first slot, on average.
fn mean_time(levels: Levels, len: usize) -> Duration {
    let preset = Preset::FAST;
    let protection = Protection {
        levels,
        ..Protection::of(&preset)
    };
    let mut world = World::protected([6, 1, 1], preset, protection, 6);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    let mut total = Duration::ZERO;
    for n in 1..=60 {
        let start = world.now;
        world.members[client].node.send(to, object(1, len)).unwrap();
        assert!(world.run(start + seconds(60), |w| w.deliveries.len() == n));
        total += world.now - start;
    }
    total / 60
}

/// The class decides the delay at the hops; the clock is the same.
#[test]
fn a_class_has_the_delay_that_was_chosen_for_it() {
    let usual = Levels::of(&Preset::FAST);
    let slow = Level::new(400, 1).unwrap();
    let bulk = usual.with(Class::Bulk, slow).unwrap();
    let interactive = usual.with(Class::Interactive, slow).unwrap();
    // Three delays of 320 ms more on average, to 0.24 s (four standard deviations of the mean of 60).
    let more = mean_time(interactive, 100).as_secs_f64() - mean_time(usual, 100).as_secs_f64();
    assert!((0.6..1.3).contains(&more), "{more}");
    let same = mean_time(bulk, 100).as_secs_f64() - mean_time(usual, 100).as_secs_f64();
    assert!(same.abs() < 0.36, "{same}");
}

/// Two copies take paths without a common relay and slots of the same clock, and the object arrives once, although a relay swallows
/// what it gets.
#[test]
fn copies_take_other_relays_and_arrive_once() {
    let preset = Preset::FAST;
    let twice = Level::new(80, 2).unwrap();
    let levels = Levels::of(&preset).with(Class::Interactive, twice).unwrap();
    let protection = Protection {
        levels,
        ..Protection::of(&preset)
    };
    let mut world = World::protected([6, 1, 1], preset, protection, 8);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    // One relay swallows everything; loops have not found it yet.
    world.keep = Box::new(|to, _| to != 3);
    for _ in 0..10 {
        world.members[client].node.send(to, object(1, 100)).unwrap();
    }
    world.run(seconds(15), |_| false);
    assert_eq!(world.delivered_to(service).count(), 10);
    let own = world.wires.iter().filter(|wire| wire.from == client);
    let payloads: Vec<_> = own.filter(|w| w.kind == PacketKind::Payload).collect();
    assert_eq!(payloads.len(), 20);
    assert!(
        !world.members[client]
            .node
            .status()
            .watch
            .copies_share_relays
    );
}

#[test]
fn copies_that_cannot_be_apart_are_told_or_refused() {
    let preset = Preset::FAST;
    let twice = Level::new(80, 2).unwrap();
    let levels = Levels::of(&preset).with(Class::Interactive, twice).unwrap();
    for strict in [false, true] {
        let protection = Protection {
            levels,
            low_traffic: LowTraffic::Adapt,
            strict,
        };
        let mut world = World::protected([5, 1, 1], preset, protection, 9);
        let (client, service) = (world.first(Role::Client), world.first(Role::Service));
        let to = world.peer(service);
        world.run(seconds(60), |_| false);
        assert!(
            world.members[client]
                .node
                .status()
                .watch
                .copies_share_relays
        );
        let sent = world.members[client].node.send(to, object(1, 100));
        if strict {
            let (usable, needed) = (5, 6);
            assert_eq!(sent, Err(SendError::CopiesShareRelays { usable, needed }));
            continue;
        }
        let limit = world.now + seconds(60);
        assert!(world.run(limit, |w| w.delivered_to(service).count() == 1));
    }
}

/// Where every relay loses a tenth, messages leave twice, and fewer are lost; nobody sees it on the line, where a copy takes the slot of
/// cover. Who is strict gets what was chosen.
#[test]
fn where_much_is_lost_messages_leave_a_second_time_in_place_of_cover() {
    let preset = Preset::FAST;
    for strict in [false, true] {
        let protection = Protection {
            strict,
            low_traffic: LowTraffic::Adapt,
            ..Protection::of(&preset)
        };
        let mut world = World::protected([6, 1, 1], preset, protection, 11);
        let (client, service) = (world.first(Role::Client), world.first(Role::Service));
        let to = world.peer(service);
        world.run(seconds(100), |_| false);
        assert!(!world.members[client].node.status().watch.copies_for_loss);
        let mut die = die();
        world.keep = Box::new(move |_, _| die() > 0);
        let limit = world.now + seconds(100);
        world.run(limit, |_| false);
        let status = world.members[client].node.status();
        assert_eq!(status.watch.copies_for_loss, !strict);
        let (began, sent_before) = (world.now, world.wires.len());
        for _ in 0..100 {
            world.members[client].node.send(to, object(1, 100)).unwrap();
            let limit = world.now + seconds(2);
            world.run(limit, |_| false);
        }
        let took = (world.now - began).as_secs_f64();
        let own = world.wires[sent_before..].iter();
        let own: Vec<_> = own.filter(|wire| wire.from == client).collect();
        let count = |kind| own.iter().filter(|wire| wire.kind == kind).count();
        let (payload, cover) = (count(PacketKind::Payload), count(PacketKind::PayloadCover));
        let expected = if strict { 100..=100 } else { 160..=200 };
        assert!(expected.contains(&payload), "{payload}");
        // 4 in a second; five standard deviations.
        let rate = (payload + cover) as f64 / took;
        assert!((3.3..4.7).contains(&rate), "{rate}");
        // Of a path of four links 34 % is lost, of two 12 %.
        let came = world.delivered_to(service).count();
        let expected = if strict { 43..=85 } else { 72..=100 };
        assert!(expected.contains(&came), "{came}");
    }
}
