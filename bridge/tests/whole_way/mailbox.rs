//! An edge that is away: what the bridge owes it goes into mailboxes, and nothing is lost or doubled, whoever is there when.

use bridge::gateway::request::Mode;
use bridge::port::{Envelope, Stage};

use crate::world::{CALM, Crash, ROUGH, Weather, Who, World};
use crate::{PATIENCE_MS, assert_once, register};

const HOUR_MS: u64 = 3_600_000;

/// So long after its last sign of life a client is away, and then some.
const AWAY_MS: u64 = 400_000;

/// Messages on Whisper, so far apart.
fn say(world: &mut World, count: u32, gap_ms: u64) -> Vec<Envelope> {
    let say = |_| {
        world.said += 1;
        let envelope = world.make(0xe1, world.said);
        world.whisper_says(&envelope);
        world.run_for(gap_ms);
        envelope
    };
    (0..count).map(say).collect()
}

fn has_all(world: &World, said: &[Envelope]) -> bool {
    said.iter()
        .all(|envelope| world.delivered.contains_key(&envelope.facts.hash))
}

fn bridge(world: &World) -> bridge::engine::Status {
    world.bridge.as_ref().unwrap().status()
}

fn ready(seed: u64, weather: Weather) -> World {
    let mut world = World::new(seed, weather, Mode::Batch);
    register(&mut world);
    world.run_for(30_000);
    world
}

#[test]
fn a_day_away_and_the_bridge_is_gone() {
    for (seed, weather) in [(1, CALM), (2, ROUGH), (3, ROUGH)] {
        let mut world = ready(seed, weather);
        world.stop(Who::Edge);
        let said = say(&mut world, 24 * 6, HOUR_MS / 6);
        assert_eq!(bridge(&world).clients_away, 1);
        assert_eq!(bridge(&world).messages_left, said.len());
        assert_eq!(bridge(&world).payloads_leaving, 0);
        world.stop(Who::Bridge);
        world.start_again(Who::Edge);
        let what = "what was left";
        world.run_until(24 * 6 * 5_000 + 60_000, what, |world| has_all(world, &said));
        world.run_for(60_000);
        assert_once(&world, &said);

        // The bridge comes back: it owes nothing any more, and nothing comes a second time.
        world.start_again(Who::Bridge);
        world.run_until(PATIENCE_MS, "acks", |world| {
            let status = world.bridge.as_ref().map(|bridge| bridge.status());
            status.is_some_and(|status| status.deliveries_waiting + status.messages_left == 0)
        });
        assert_once(&world, &said);
        assert!(said.iter().all(|envelope| {
            world
                .life(Who::Edge, envelope.facts.hash)
                .contains(&Stage::Delivered)
        }));
        let more = say(&mut world, 3, 1_000);
        world.run_until(PATIENCE_MS, "the live way", |world| has_all(world, &more));
    }
}

#[test]
fn nothing_goes_to_mailboxes_while_the_edge_is_there() {
    let mut world = ready(4, CALM);
    let said = say(&mut world, 100, 20_000);
    world.run_until(PATIENCE_MS, "messages", |world| has_all(world, &said));
    assert_eq!((world.left, bridge(&world).clients_away), (0, 0));
    // Nor while it is quiet on Whisper.
    world.run_for(2 * HOUR_MS);
    assert_eq!((world.left, bridge(&world).clients_away), (0, 0));
}

#[test]
fn an_edge_that_is_back_gets_the_rest_from_the_bridge() {
    let mut world = ready(5, ROUGH);
    world.stop(Who::Edge);
    let mut said = say(&mut world, 20, 60_000);
    world.start_again(Who::Edge);
    said.extend(say(&mut world, 20, 500));
    world.run_until(PATIENCE_MS, "everything", |world| has_all(world, &said));
    world.run_for(PATIENCE_MS);
    assert_once(&world, &said);
    let status = bridge(&world);
    assert_eq!(status.deliveries_waiting + status.messages_left, 0);
    assert_eq!(status.clients_away, 0);
}

#[test]
fn a_message_for_many_boxes_and_many_for_one() {
    let mut world = ready(6, CALM);
    world.stop(Who::Edge);
    world.run_for(AWAY_MS);
    let mut said = Vec::new();
    for len in [10, 300, 300, 300, 3_000, 20_000, 100_000] {
        world.said += 1;
        let mut data = vec![0x5a; len];
        data[..4].copy_from_slice(&world.said.to_be_bytes());
        let (unix, topic) = (world.unix(), [0xe1, 2, 3, 4]);
        let envelope = crate::envelope::seal(topic, &data, 60, unix + 60, 0.002);
        world.whisper_says(&envelope);
        said.push(envelope);
    }
    world.run_for(AWAY_MS);
    assert!(
        world.left >= 4 && world.left < said.len() as u32 + 1,
        "{}",
        world.left
    );
    world.stop(Who::Bridge);
    world.start_again(Who::Edge);
    world.run_until(60_000, "what was left", |world| has_all(world, &said));
    assert_once(&world, &said);
}

#[test]
fn full_mailboxes_lose_nothing() {
    let mut world = ready(7, CALM);
    world.mailboxes_full = true;
    world.stop(Who::Edge);
    let said = say(&mut world, 30, 60_000);
    assert_eq!(world.left, 0);
    world.mailboxes_full = false;
    world.run_for(AWAY_MS);
    assert!(world.left >= 15);
    world.stop(Who::Bridge);
    world.start_again(Who::Edge);
    // Boxes that stayed empty are given up by the reader.
    world.skip_to_what_is_there();
    world.run_until(PATIENCE_MS, "what was left", |world| has_all(world, &said));
    assert_once(&world, &said);
}

#[test]
fn crashes_at_every_commit_while_the_edge_is_away() {
    let run = |crashes: Vec<Crash>| {
        let mut world = ready(8, CALM);
        let before = world.commits;
        world.stop(Who::Edge);
        let from = world.commits;
        world.crashes = crashes
            .iter()
            .map(|crash| Crash {
                commit: crash.commit + from[crash.who as usize],
                ..*crash
            })
            .collect();
        let said = say(&mut world, 6, 100_000);
        world.run_for(2 * AWAY_MS);
        let written = world.commits[0] - from[0];
        assert_eq!(bridge(&world).payloads_leaving, 0, "{crashes:?}");
        world.stop(Who::Bridge);
        world.start_again(Who::Edge);
        world.run_until(PATIENCE_MS, &format!("after {crashes:?}"), |world| {
            let edge_is_up = world.edge.is_some();
            edge_is_up && has_all(world, &said)
        });
        for envelope in &said {
            // The edge may die between handing over and noting it; the local client knows the envelope then.
            let handed = world.delivered[&envelope.facts.hash];
            assert!(handed <= 1 + crashes.len() as u32, "{crashes:?}");
        }
        let read = world.commits[1] - before[1];
        [written, read]
    };
    let commits = run(Vec::new());
    for who in [Who::Bridge, Who::Edge] {
        for commit in 1..=commits[who as usize] {
            for written in [false, true] {
                let (who, commit) = (who, commit);
                run(vec![Crash {
                    who,
                    commit,
                    written,
                }]);
            }
        }
    }
}

#[test]
fn an_ended_lease_ends_what_is_left() {
    let mut world = ready(9, CALM);
    world.stop(Who::Edge);
    let _ = say(&mut world, 10, 60_000);
    assert!(bridge(&world).messages_left > 0);
    world.run_for(15 * 24 * HOUR_MS);
    let status = bridge(&world);
    assert_eq!((status.registrations, status.clients_away), (0, 0));
    assert_eq!(status.messages_left + status.payloads_leaving, 0);
    let count = world.bridge_store.count(bridge::store::Family::Mailbox);
    assert_eq!(count, 0, "nothing of it stays on the disk");
    // The edge still finds it, although its registration is over: the mailboxes keep what the bridge has forgotten.
    world.stop(Who::Bridge);
    world.start_again(Who::Edge);
    world.run_for(120_000);
    assert_eq!(world.delivered.len(), 10);
}
