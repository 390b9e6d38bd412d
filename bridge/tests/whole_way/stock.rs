//! The stock of reply blocks at the bridge: it does not run dry while the edge is there, whatever a third of the packets does, and
//! no block is used after its time.

use bridge::gateway::request::Mode;
use bridge::port::Envelope;
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// An envelope every so often for ten minutes, which is what a busy prefix brings.
    #[test]
    fn a_stock_never_runs_dry_while_the_edge_is_there(
        seed in 0u64..1 << 32,
        loss in 0u64..=30,
        gap_ms in 700u64..4_000,
    ) {
        let mut world = filled(seed, loss);
        let (mut said, mut next_ms) = (Vec::new(), world.now_ms);
        let end_ms = world.now_ms + 600_000;
        while world.now_ms < end_ms {
            if world.now_ms >= next_ms {
                next_ms += gap_ms;
                world.said += 1;
                let envelope = world.make(0xe1, world.said);
                world.whisper_says(&envelope);
                said.push(envelope);
            }
            world.run_for(LOOK_MS);
            prop_assert!(stock(&world) > 0, "dry at {} ms, {loss} % lost", world.now_ms);
        }
        world.run_until(PATIENCE_MS, "everything", |world| has_all(world, &said));
    }
}

/// More at once than the stock pays for: it is empty for a moment and no longer.
#[test]
fn a_burst_empties_a_stock_for_moments_only() {
    for seed in 0..6 {
        let mut world = filled(seed, 30);
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
        // One ping and one top-up lost on the way, and asked for again.
        assert!(longest_ms <= 45_000, "dry for {longest_ms} ms, seed {seed}");
        assert!(has_all(&world, &said), "seed {seed}");
    }
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
    world.said += 1;
    let envelope = world.make(0xe1, world.said);
    world.whisper_says(&envelope);
    let said = [envelope];
    world.run_until(60_000, "a message after hours", |world| {
        has_all(world, &said)
    });
}
