//! Bridge and edge against each other on virtual time: nothing is lost, nothing comes twice, whatever the link and the
//! disks do. Every run follows from its seed.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod envelope;
mod hostile;
mod life;
mod loss;
mod mailbox;
mod posts;
mod stock;
mod stranger;
mod world;

use std::collections::BTreeSet;

use bridge::gateway::request::Mode;
use bridge::port::{Envelope, Stage};
use world::{CALM, Crash, ROUGH, Who, World};

/// So long after the last message everything has arrived: retries of both sides go up to minutes.
const PATIENCE_MS: u64 = 900_000;

fn register(world: &mut World) {
    world.run_until(120_000, "registration", |world| {
        world
            .edge
            .as_ref()
            .is_some_and(|edge| edge.status().is_registered)
    });
}

/// Messages each way in turn, half a second apart.
fn talk(world: &mut World, count: u32) -> (Vec<Envelope>, Vec<Envelope>) {
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for _ in 0..count {
        world.said += 1;
        let n = world.said;
        let envelope = world.make(0xe1, n);
        world.whisper_says(&envelope);
        down.push(envelope);
        world.run_for(250);
        let envelope = world.make(0xcd, 1_000_000 + n);
        world.local_says(&envelope);
        up.push(envelope);
        world.run_for(250);
    }
    (down, up)
}

/// All that was said on Whisper is delivered, and all that was said locally is on Whisper.
fn all_arrived(world: &World, down: &[Envelope], up: &[Envelope]) -> bool {
    down.iter()
        .all(|envelope| world.delivered.contains_key(&envelope.facts.hash))
        && up.iter().all(|envelope| {
            world
                .seen_on_whisper
                .contains_key(&envelope.facts.content_id)
        })
        && world
            .edge
            .as_ref()
            .is_some_and(|edge| edge.status().posts_waiting == 0)
        && world
            .bridge
            .as_ref()
            .is_some_and(|bridge| bridge.status().deliveries_waiting == 0)
}

fn assert_once(world: &World, down: &[Envelope]) {
    for envelope in down {
        assert_eq!(world.delivered[&envelope.facts.hash], 1, "handed over once");
    }
    assert_eq!(world.delivered.len(), down.len(), "and nothing else");
}

#[test]
fn calm_weather() {
    for mode in [Mode::Batch, Mode::Interactive] {
        let mut world = World::new(1, CALM, mode);
        register(&mut world);
        let (down, up) = talk(&mut world, 20);
        world.run_until(20_000, "all messages", |world| {
            all_arrived(world, &down, &up)
        });
        world.run_for(100); // what is told of the last one
        assert_once(&world, &down);
        for envelope in &up {
            let hashes = &world.seen_on_whisper[&envelope.facts.content_id];
            assert_eq!(hashes, &BTreeSet::from([envelope.facts.hash]), "verbatim");
            use Stage::{Accepted, Committed, Posted};
            assert_eq!(
                world.life(Who::Edge, envelope.facts.hash),
                [Accepted, Committed, Posted]
            );
            assert_eq!(
                world.life(Who::Bridge, envelope.facts.hash),
                [Accepted, Committed, Posted]
            );
        }
        for envelope in &down {
            use Stage::{Accepted, Acked, Committed, Delivered};
            let hash = envelope.facts.hash;
            assert_eq!(
                world.life(Who::Bridge, hash),
                [Accepted, Committed, Delivered, Acked]
            );
            assert_eq!(
                world.life(Who::Edge, hash),
                [Accepted, Committed, Delivered]
            );
        }
    }
}

#[test]
fn rough_weather() {
    for seed in 0..12 {
        for mode in [Mode::Batch, Mode::Interactive] {
            let mut world = World::new(seed, ROUGH, mode);
            register(&mut world);
            let (down, up) = talk(&mut world, 60);
            world.run_until(PATIENCE_MS, "all messages", |world| {
                all_arrived(world, &down, &up)
            });
            assert_once(&world, &down);
        }
    }
}

#[test]
fn crashes_at_every_commit() {
    let run = |crashes: Vec<Crash>| {
        let mut world = World::new(5, CALM, Mode::Batch);
        world.crashes.clone_from(&crashes);
        register(&mut world);
        let (down, up) = talk(&mut world, 3);
        world.run_until(PATIENCE_MS, &format!("after {crashes:?}"), |world| {
            all_arrived(world, &down, &up)
        });
        for envelope in &down {
            // The edge may die between handing over and noting it; the local client knows the envelope then.
            assert!(
                world.delivered[&envelope.facts.hash] <= 1 + crashes.len() as u32,
                "{crashes:?}"
            );
        }
        for envelope in &up {
            let hashes = &world.seen_on_whisper[&envelope.facts.content_id];
            assert!(hashes.len() == 1, "sealed anew without need: {crashes:?}");
        }
        world.commits
    };
    let commits = run(Vec::new());
    for who in [Who::Bridge, Who::Edge] {
        for commit in 1..=commits[who as usize] {
            for written in [false, true] {
                run(vec![Crash {
                    who,
                    commit,
                    written,
                }]);
            }
        }
    }
}
