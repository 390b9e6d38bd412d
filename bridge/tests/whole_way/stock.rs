//! The stock of reply blocks at the bridge while Whisper is quiet: it is renewed, and no block is used after its time.

use bridge::gateway::request::Mode;
use bridge::port::{Envelope, Kind};

use crate::register;
use crate::world::{CALM, Weather, World};

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
