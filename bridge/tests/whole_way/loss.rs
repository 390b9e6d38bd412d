//! Where much is lost: what is repeated does not fill the line, what may leave twice does, and what is late is late by seconds.

use bridge::engine;
use bridge::gateway::client;
use bridge::gateway::request::Mode;
use bridge::port::{Envelope, Kind};

use crate::world::{CALM, Weather, World};
use crate::{PATIENCE_MS, all_arrived, assert_once, register};

/// Three relays that each lose a tenth.
const LOSS: u64 = 27;

/// That of the fastest preset.
const SLOT_MS: u64 = 250;

/// A message each way in a second.
fn talk(
    world: &mut World,
    seconds: u32,
    mut look: impl FnMut(&World),
) -> (Vec<Envelope>, Vec<Envelope>) {
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for _ in 0..seconds {
        world.said += 1;
        let n = world.said;
        let (there, back) = (world.make(0xe1, n), world.make(0xcd, 1_000_000 + n));
        world.whisper_says(&there);
        world.local_says(&back);
        down.push(there);
        up.push(back);
        for _ in 0..4 {
            world.run_for(250);
            look(world);
        }
    }
    (down, up)
}

fn lossy(seed: u64) -> World {
    let weather = Weather {
        loss: LOSS,
        delay_ms: (200, 700),
        ..CALM
    };
    let mut world = World::new(seed, weather, Mode::Batch);
    world.slot_ms = SLOT_MS;
    register(&mut world);
    world
}

/// Of an edge that repeats what still waits in its own queue, this queue is minutes long in the end.
#[test]
fn repetitions_do_not_fill_the_line() {
    for seed in 0..8 {
        let mut world = lossy(seed);
        let mut longest_ms = 0;
        let look = |world: &World| longest_ms = longest_ms.max(world.line_ms());
        let (down, up) = talk(&mut world, 300, look);
        assert!(longest_ms < 12_000, "seed {seed}: {longest_ms} ms");
        world.run_until(PATIENCE_MS, "all messages", |world| {
            all_arrived(world, &down, &up)
        });
        assert_once(&world, &down);
    }
}

/// Acknowledgements of what came while the line was busy go together.
#[test]
fn a_busy_line_carries_many_acknowledgements_at_once() {
    let mut world = lossy(3);
    world.weather.loss = 0;
    let ups: Vec<Envelope> = (0..12).map(|n| world.make(0xcd, 2_000_000 + n)).collect();
    ups.iter().for_each(|envelope| world.local_says(envelope));
    world.run_for(20);
    let downs: Vec<Envelope> = (0..12).map(|n| world.make(0xe1, 3_000_000 + n)).collect();
    let before = world.captured.len();
    for envelope in &downs {
        world.whisper_says(envelope);
        world.run_for(200);
    }
    world.run_until(20_000, "all messages", |world| {
        all_arrived(world, &downs, &ups)
    });
    let acks = world.captured[before..].iter();
    let acks = acks.filter(|object| object.kind == Kind::Mvds).count();
    assert!((1..=4).contains(&acks), "{acks} payloads for twelve acks");
}

/// Told that much is lost, the bridge sends payloads twice, and fewer are repeated after seconds.
#[test]
fn payloads_leave_twice_while_much_is_lost() {
    let late = |told: bool| -> usize {
        let mut late = 0;
        for seed in 0..8 {
            let mut world = lossy(seed);
            world.tell_bridge(engine::Input::Lossy(told));
            world.run_for(10_000);
            for n in 0..40 {
                let envelope = world.make(0xe1, 4_000_000 + n);
                world.whisper_says(&envelope);
                world.run_for(1_500);
                late += usize::from(!world.delivered.contains_key(&envelope.facts.hash));
            }
        }
        late
    };
    let (once, twice) = (late(false), late(true));
    // 27 % and 7 % of 320; five standard deviations are 40 and 23.
    assert!((46..=126).contains(&once), "{once}");
    assert!(twice < 46 && 2 * twice < once, "{twice} of {once}");
}

/// No copy leaves for the last reply blocks: they pay for what comes next.
#[test]
fn a_copy_does_not_empty_the_stock() {
    let mut world = lossy(5);
    world.weather.loss = 0;
    world.run_for(10_000);
    world.tell_bridge(engine::Input::Lossy(true));
    world.blocks_refused = true;
    let stock = |world: &World| world.bridge.as_ref().unwrap().status().reply_blocks;
    let mut sent = Vec::new();
    for n in 0..30 {
        let (held, before) = (stock(&world), world.sent_to_edge.len());
        let envelope = world.make(0xe1, 5_000_000 + n);
        world.whisper_says(&envelope);
        world.run_for(1_500);
        let of_mvds = |object: &&bridge::port::Object| object.kind == Kind::Mvds;
        let count = world.sent_to_edge[before..].iter().filter(of_mvds).count();
        sent.push((held, count));
    }
    assert!(sent.iter().any(|(_, count)| *count == 2), "{sent:?}");
    for (held, count) in sent {
        assert!(count == 1 || held > 12, "{count} copies with {held} blocks");
        assert!(count <= 2 && (held == 0 || count > 0), "{held}: {count}");
    }
}

/// The top-up that throws away what leads nowhere is lost, those after it arrive: without a second look the bridge would go on with the
/// old blocks.
#[test]
fn a_lost_discard_is_noticed_and_repeated() {
    let mut world = lossy(6);
    world.weather.loss = 0;
    world.run_for(20_000);
    world.kill_blocks();
    let before = world.captured.len();
    world.weather.loss = 100;
    world.tell_edge(client::Input::BlocksStale);
    let top_up = |object: &&bridge::port::Object| object.kind == Kind::TopUp;
    while world.captured[before..].iter().find(top_up).is_none() {
        world.run_for(1);
    }
    world.weather.loss = 0;
    world.run_for(8_000);
    let (down, _) = talk(&mut world, 5, |_| {});
    // Less than the first gap to a repetition.
    world.run_until(2_000, "the messages", |world| {
        down.iter()
            .all(|envelope| world.delivered.contains_key(&envelope.facts.hash))
    });
    assert_once(&world, &down);
}

/// While much is lost, a post is repeated a third sooner.
#[test]
fn a_post_is_repeated_sooner_while_much_is_lost() {
    let gap_ms = |lossy: bool| {
        let mut world = lossy_and_told(lossy);
        let before = world.captured.len();
        let envelope = world.make(0xcd, 6_000_000);
        world.local_says(&envelope);
        let sent = |world: &World| {
            let objects = world.captured[before..].iter();
            objects
                .filter(|object| object.kind == Kind::Request)
                .count()
        };
        world.run_until(1_000, "the post", |world| sent(world) == 1);
        let first_ms = world.now_ms;
        world.run_until(10_000, "its repetition", |world| sent(world) == 2);
        world.now_ms - first_ms
    };
    // 4 s, and two thirds of it, with a slot before and up to a quarter after.
    assert!((4_000..5_400).contains(&gap_ms(false)), "{}", gap_ms(false));
    assert!((2_600..3_800).contains(&gap_ms(true)), "{}", gap_ms(true));
}

/// A world in which nothing arrives any more, and whether the edge was told.
fn lossy_and_told(told: bool) -> World {
    let mut world = lossy(7);
    world.weather.loss = 0;
    world.run_for(60_000);
    world.weather.loss = 100;
    world.tell_edge(client::Input::Lossy(told));
    world
}
