//! The life of registrations: interests that change, restarts of both at any time, a bridge that lost its store, reply blocks
//! that lead nowhere.

use std::sync::Arc;

use bridge::gateway::client;
use bridge::gateway::request::Mode;
use bridge::port::Prefix;
use bridge::store::MemoryStore;
use rand_core::Rng as _;

use crate::world::{CALM, Crash, ROUGH, Weather, Who, World};
use crate::{PATIENCE_MS, all_arrived, assert_once, register, talk};

fn prefix(first: u8, bits: u8) -> Prefix {
    Prefix::of_topic([first, 0, 0, 0], bits).unwrap()
}

#[test]
fn changed_interests_lose_nothing() {
    for (seed, weather) in [(31, CALM), (32, ROUGH), (33, ROUGH)] {
        let mut world = World::new(seed, weather, Mode::Batch);
        register(&mut world);
        let (mut down, mut up) = talk(&mut world, 8);
        for interests in [
            vec![prefix(0xe1, 8), prefix(0x10, 5)],
            vec![prefix(0xe0, 5)],
            vec![prefix(0xe1, 8), prefix(0xe1, 8), prefix(0x20, 8)],
        ] {
            world.interests.clone_from(&interests);
            world.tell_edge(client::Input::Interests(interests));
            let (more_down, more_up) = talk(&mut world, 8);
            down.extend(more_down);
            up.extend(more_up);
        }
        world.run_until(PATIENCE_MS, "all messages", |world| {
            all_arrived(world, &down, &up)
        });
        assert_once(&world, &down);
        world.run_for(1_300_000);
        assert_eq!(world.edge.as_ref().unwrap().status().registrations, 1);
        assert_eq!(
            world.bridge.as_ref().unwrap().status().registrations,
            1,
            "the old ones are gone"
        );
    }
}

#[test]
fn only_what_matches_is_delivered() {
    let mut world = World::new(34, CALM, Mode::Batch);
    register(&mut world);
    for first in [0xe0, 0xe2, 0x61, 0x00] {
        let envelope = world.make(first, 7);
        world.whisper_says(&envelope);
    }
    world.run_for(20_000);
    assert!(world.delivered.is_empty());
    world.tell_edge(client::Input::Interests(Vec::new()));
    world.run_for(10_000);
    assert!(!world.edge.as_ref().unwrap().status().is_registered);
    assert_eq!(
        world.bridge.as_ref().unwrap().status().registrations,
        0,
        "unregistered"
    );
}

#[test]
fn random_crashes_in_rough_weather() {
    for seed in 100..130 {
        let mode = if seed % 3 == 0 {
            Mode::Interactive
        } else {
            Mode::Batch
        };
        let mut world = World::new(seed, ROUGH, mode);
        for _ in 0..6 {
            let who = if world.rng.next_u64().is_multiple_of(2) {
                Who::Bridge
            } else {
                Who::Edge
            };
            let commit = 1 + world.rng.next_u64() % 150;
            let written = world.rng.next_u64().is_multiple_of(2);
            world.crashes.push(Crash {
                who,
                commit,
                written,
            });
        }
        let edge_crashes = world
            .crashes
            .iter()
            .filter(|crash| crash.who == Who::Edge)
            .count() as u32;
        register(&mut world);
        let (down, up) = talk(&mut world, 30);
        world.run_until(2 * PATIENCE_MS, &format!("seed {seed}"), |world| {
            all_arrived(world, &down, &up)
        });
        for envelope in &down {
            assert!(
                world.delivered[&envelope.facts.hash] <= 1 + edge_crashes,
                "seed {seed}"
            );
        }
        assert_eq!(world.delivered.len(), down.len());
    }
}

#[test]
fn a_bridge_that_lost_its_store_is_registered_at_again() {
    let mut world = World::new(35, CALM, Mode::Batch);
    register(&mut world);
    world.bridge_store = Arc::new(MemoryStore::new());
    world.crash(Who::Bridge);
    world.run_for(2000);
    assert_eq!(world.bridge.as_ref().unwrap().status().registrations, 0);
    world.run_until(300_000, "a new registration", |world| {
        world
            .bridge
            .as_ref()
            .is_some_and(|bridge| bridge.status().registrations == 1)
    });
    world.run_for(5000);
    let (down, up) = talk(&mut world, 5);
    world.run_until(20_000, "all messages", |world| {
        all_arrived(world, &down, &up)
    });
    assert_once(&world, &down);
}

#[test]
fn without_reply_blocks_nothing_is_sent_and_nothing_lost() {
    let mut world = World::new(36, CALM, Mode::Batch);
    register(&mut world);
    world.run_for(10_000);
    world.blocks_refused = true;
    let mut down = Vec::new();
    for n in 0..150 {
        let envelope = world.make(0xe1, n);
        world.whisper_says(&envelope);
        down.push(envelope);
        world.run_for(100);
    }
    world.run_for(60_000);
    let waiting = world.bridge.as_ref().unwrap().status().deliveries_waiting;
    assert!((50..150).contains(&waiting), "{waiting} wait for credit");
    let sent = world.sent_to_edge.len();
    world.run_for(60_000);
    assert_eq!(world.sent_to_edge.len(), sent, "no credit, no packet");
    world.blocks_refused = false;
    world.run_until(120_000, "all messages", |world| {
        all_arrived(world, &down, &[])
    });
    assert_once(&world, &down);
}

#[test]
fn stale_blocks_are_replaced() {
    let mut world = World::new(37, CALM, Mode::Batch);
    register(&mut world);
    world.run_for(10_000);
    // All blocks made so far lead nowhere from now on.
    world.kill_blocks();
    world.tell_edge(client::Input::BlocksStale);
    world.run_for(5_000);
    let (down, up) = talk(&mut world, 5);
    world.run_until(10_000, "all messages", |world| {
        all_arrived(world, &down, &up)
    });
    assert_once(&world, &down);
}

#[test]
fn what_went_through_stale_blocks_is_repeated_at_once() {
    let mut world = World::new(41, CALM, Mode::Batch);
    register(&mut world);
    world.run_for(10_000);
    // The relay is gone, the edge does not know it yet, and Whisper speaks.
    world.kill_blocks();
    let (down, _) = talk(&mut world, 1);
    world.tell_edge(client::Input::BlocksStale);
    // Half a second less than the 4 s after which a delivery is repeated otherwise, since it was said half a second ago.
    world.run_until(3_300, "the message", |world| all_arrived(world, &down, &[]));
    assert_once(&world, &down);
}

#[test]
fn large_envelopes_cross_in_many_frames() {
    let gentle = Weather { loss: 2, ..CALM };
    let mut world = World::new(38, gentle, Mode::Batch);
    register(&mut world);
    world.run_for(10_000);
    let mut down = Vec::new();
    for len in [3_000, 20_000, 60_000, 100_000] {
        let unix = world.unix();
        let envelope =
            crate::envelope::seal([0xe1, 1, 1, 1], &vec![7; len], 60, unix + 60, 0.000_002);
        world.whisper_says(&envelope);
        down.push(envelope);
        world.run_for(2_000);
    }
    world.run_until(PATIENCE_MS, "all messages", |world| {
        all_arrived(world, &down, &[])
    });
    assert_once(&world, &down);
}

#[test]
fn a_lease_is_renewed_before_it_ends() {
    let mut world = World::new(39, CALM, Mode::Batch);
    register(&mut world);
    world.run_for(5_000);
    let first = world
        .captured
        .iter()
        .find(|o| o.kind == bridge::port::Kind::TopUp)
        .unwrap()
        .tag;
    // Half of 14 days, in steps that leave the pings in place.
    world.run_for(7 * 24 * 3_600_000 + 1_300_000);
    assert!(world.edge.as_ref().unwrap().status().is_registered);
    assert_eq!(world.bridge.as_ref().unwrap().status().registrations, 1);
    let last = world
        .captured
        .iter()
        .rev()
        .find(|o| o.kind == bridge::port::Kind::TopUp)
        .unwrap()
        .tag;
    assert_ne!(first, last, "a new pseudonym");
    let (down, up) = talk(&mut world, 3);
    world.run_until(20_000, "all messages", |world| {
        all_arrived(world, &down, &up)
    });
    assert_once(&world, &down);
}
