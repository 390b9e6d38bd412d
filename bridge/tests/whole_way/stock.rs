//! The stock of reply blocks at the bridge: while Whisper is quiet it is renewed, and no block is used after its time; while Whisper is
//! busy it does not run dry, though packets are lost both ways.

use bridge::gateway::request::Mode;
use bridge::port::{Envelope, Kind};

use proptest::prelude::*;

use crate::world::{CALM, Weather, World};
use crate::{PATIENCE_MS, register};

/// Between two looks at the stock.
const LOOK_MS: u64 = 250;

fn weather(loss: u64) -> Weather {
    Weather { loss, ..CALM }
}

fn stock(world: &World) -> usize {
    world.bridge.as_ref().unwrap().status().reply_blocks
}

/// A registration whose stock was filled once.
fn filled(seed: u64, loss: u64) -> World {
    let mut world = World::new(seed, weather(loss), Mode::Batch);
    register(&mut world);
    world.run_until(120_000, "the first stock", |world| stock(world) >= 36);
    world
}

fn has_all(world: &World, said: &[Envelope]) -> bool {
    said.iter()
        .all(|envelope| world.delivered.contains_key(&envelope.facts.hash))
}

/// Hours without a message: the blocks grow old, and others take their place before they serve no more. `World::reply` checks that none
/// is used after its time.
#[test]
fn a_stock_at_rest_is_renewed_before_it_is_old() {
    let mut world = filled(1, 10);
    for _ in 0..4 * 3_600 {
        world.run_for(1_000);
        assert!(stock(&world) > 0, "dry at {} ms", world.now_ms);
        assert!(stock(&world) <= 256);
    }
    // Twelve lives of a stock, of which each takes a dozen top-ups or two.
    let top_ups = world.captured.iter().filter(|o| o.kind == Kind::TopUp);
    let count = top_ups.count();
    assert!(count < 600, "{count} top-ups for nothing");
    world.said += 1;
    let envelope = world.make(0xe1, world.said);
    world.whisper_says(&envelope);
    let said = [envelope];
    world.run_until(60_000, "a message after hours", |world| {
        has_all(world, &said)
    });
}

/// An envelope every `gap_ms` for `seconds`; the bridge must always be able to pay for the next one, and everything arrives.
fn busy(seed: u64, loss: u64, gap_ms: u64, seconds: u64) {
    let mut world = filled(seed, loss);
    let (mut said, mut next_ms) = (Vec::new(), world.now_ms);
    let end_ms = world.now_ms + seconds * 1_000;
    while world.now_ms < end_ms {
        if world.now_ms >= next_ms {
            next_ms += gap_ms;
            world.said += 1;
            let envelope = world.make(0xe1, world.said);
            world.whisper_says(&envelope);
            said.push(envelope);
        }
        world.run_for(LOOK_MS);
        assert!(
            stock(&world) > 0,
            "dry at {} ms, {loss} % lost, one in {gap_ms} ms, seed {seed}",
            world.now_ms
        );
    }
    world.run_until(PATIENCE_MS, "everything", |world| has_all(world, &said));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_stock_does_not_run_dry_while_the_edge_is_there(
        seed in 0u64..1 << 32,
        loss in 0u64..=15,
        gap_ms in 333u64..4_000,
    ) {
        busy(seed, loss, gap_ms, 120);
    }
}

/// The busiest and the roughest of them, for longer.
#[test]
fn three_envelopes_a_second_and_every_seventh_packet_lost_leave_no_stock_dry() {
    for seed in 0..6 {
        busy(seed, 15, 333, 300);
    }
}

/// More at once than the stock pays for: it is empty for a moment and no longer.
#[test]
fn a_burst_empties_a_stock_for_moments_only() {
    for seed in 0..6 {
        let mut world = filled(seed, 15);
        let mut said = Vec::new();
        for _ in 0..150 {
            world.said += 1;
            let envelope = world.make(0xe1, world.said);
            world.whisper_says(&envelope);
            said.push(envelope);
        }
        let (mut dry_ms, mut longest_ms) = (0, 0);
        for _ in 0..PATIENCE_MS / LOOK_MS {
            world.run_for(LOOK_MS);
            dry_ms = if stock(&world) == 0 {
                dry_ms + LOOK_MS
            } else {
                0
            };
            longest_ms = longest_ms.max(dry_ms);
        }
        assert!(has_all(&world, &said), "seed {seed}");
        // One ping lost after another, and asked again.
        assert!(longest_ms <= 65_000, "dry for {longest_ms} ms, seed {seed}");
    }
}
