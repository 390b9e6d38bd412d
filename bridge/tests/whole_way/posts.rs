//! What a bridge does with posts: good ones, late ones, bad ones, and the same again.

use bridge::counters::{Direction, DropReason};
use bridge::engine;
use bridge::gateway::response::{Reason, Stage, Status};

use crate::envelope::{encode, integer, of, seal};
use crate::stranger::{ask, draw, post};
use crate::world::World;

fn world() -> World {
    World::bridge_only(11)
}

fn dropped(world: &World, reason: DropReason) -> u64 {
    world
        .bridge
        .as_ref()
        .unwrap()
        .status()
        .counters
        .dropped(Direction::ToWhisper, reason)
}

#[test]
fn a_post_is_accepted_then_posted_verbatim() {
    let mut world = world();
    let envelope = world.make(1, 1);
    let mut exchange = ask(
        &mut world,
        [1; 16],
        post([2; 16], &envelope.rlp, 0, None),
        3,
    );
    world.run_for(1000);
    let receipts = exchange.receipts(&world);
    assert_eq!(
        receipts.iter().map(|r| r.stage).collect::<Vec<_>>(),
        [Stage::Accepted, Stage::Posted]
    );
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt.envelope_hash == Some(envelope.facts.hash))
    );
    assert_eq!(receipts[1].peers, 1);
    assert!(world.whisper.contains_key(&envelope.facts.hash));
    assert_eq!(world.jobs, 0);
}

/// Cases 71 and 72 of the catalogue.
#[test]
fn bad_posts_are_refused_without_mining() {
    let mut world = world();
    let now = world.unix();
    let data = [7; 200];
    let good = seal([1; 4], &data, 15, now + 15, 0.002);
    let nonce = integer(3);
    let parts =
        |expiry: u64, ttl: u64| encode(&[&integer(expiry), &integer(ttl), &[1; 4], &data, &nonce]);
    let expiry = integer(u64::from(now) + 15);
    let mut trailing = good.rlp.to_vec();
    trailing.push(0);
    let mut long_form = good.rlp.to_vec();
    long_form.splice(0..2, [0xf9, 0x00, good.rlp[1]]);
    let weak = (0..)
        .map(|n| of(now + 60, 60, [1; 4], &data, n))
        .find(|e| e.facts.pow < 0.001)
        .unwrap();
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("ttl 0", parts(now.into(), 0), Reason::Ttl),
        (
            "ttl 1,000,000",
            parts(u64::from(now) + 1_000_000, 1_000_000),
            Reason::Ttl,
        ),
        ("ttl beyond expiry", parts(5, 10), Reason::Ttl),
        ("ttl 9", parts(u64::from(now) + 9, 9), Reason::Ttl),
        ("ttl 301", parts(u64::from(now) + 301, 301), Reason::Ttl),
        ("low proof of work", weak.rlp.to_vec(), Reason::LowPow),
        (
            "in the future",
            parts(u64::from(now) + 45, 15),
            Reason::Future,
        ),
        (
            "6 items",
            encode(&[&expiry, &[15], &[1; 4], &data, &nonce, &[1]]),
            Reason::Malformed,
        ),
        (
            "4 items",
            encode(&[&expiry, &[15], &[1; 4], &data]),
            Reason::Malformed,
        ),
        (
            "topic of 5",
            encode(&[&expiry, &[15], &[1; 5], &data, &nonce]),
            Reason::Malformed,
        ),
        (
            "leading zero",
            encode(&[&expiry, &[0, 15], &[1; 4], &data, &nonce]),
            Reason::Malformed,
        ),
        ("trailing byte", trailing, Reason::Malformed),
        ("long form", long_form, Reason::Malformed),
        ("not a list", vec![0x83, 1, 2, 3], Reason::Malformed),
    ];
    for (name, rlp, reason) in cases {
        let id = draw(&mut world);
        // Resealing is allowed: what is bad stays refused.
        let body = post(id, &rlp, 3, Some(now + 600));
        let mut exchange = ask(&mut world, id, body, 3);
        world.run_for(1000);
        let receipts = exchange.receipts(&world);
        assert_eq!(receipts.len(), 1, "{name}");
        assert_eq!(
            (receipts[0].stage, receipts[0].reason),
            (Stage::Rejected, reason),
            "{name}"
        );
    }
    let id = draw(&mut world);
    let mut exchange = ask(&mut world, id, post(id, &vec![0xf9; 1_150_000], 3, None), 3);
    world.run_for(1000);
    assert_eq!(exchange.answers(&world)[0].status, Status::TooLarge);
    assert_eq!((world.jobs, world.whisper.len()), (0, 0));
    assert!(world.seen_on_whisper.is_empty());
    assert_eq!(dropped(&world, DropReason::Ttl), 5);
    assert_eq!(dropped(&world, DropReason::LowPow), 1);
}

/// Case 57.
#[test]
fn late_posts_are_sealed_anew_only_if_they_may_be() {
    for (wait_s, reseals, stages) in [
        (60, 0, vec![Stage::Accepted, Stage::Posted]),
        (100, 0, vec![Stage::Expired]),
        (
            100,
            1,
            vec![Stage::Accepted, Stage::Resealed, Stage::Posted],
        ),
    ] {
        let mut world = world();
        let now = world.unix();
        let envelope = seal([1; 4], &[9; 300], 90, now + 90, 0.002);
        world.run_for(wait_s * 1000);
        let body = post([1; 16], &envelope.rlp, reseals, Some(now + 600));
        let mut exchange = ask(&mut world, [1; 16], body, 3);
        world.run_for(30_000);
        let receipts = exchange.receipts(&world);
        assert_eq!(receipts.iter().map(|r| r.stage).collect::<Vec<_>>(), stages);
        let shown = world.seen_on_whisper.get(&envelope.facts.content_id);
        match stages.last() {
            Some(Stage::Posted) => {
                let hashes = shown.unwrap();
                assert_eq!(hashes.len(), 1);
                assert_eq!(
                    hashes.contains(&envelope.facts.hash),
                    reseals == 0,
                    "{wait_s} s"
                );
                assert_eq!(
                    receipts.last().unwrap().envelope_hash.as_ref(),
                    hashes.first()
                );
            }
            _ => assert!(shown.is_none()),
        }
    }
}

/// Cases 58 and 59: two bridges put the same bytes into Whisper.
#[test]
fn two_bridges_seal_anew_to_the_same_bytes() {
    let sealed: Vec<_> = [0u64, 1500, 9000]
        .into_iter()
        .map(|later| {
            let mut world = world();
            let envelope = seal([1; 4], &[9; 300], 20, world.unix() + 20, 0.002);
            world.run_for(33_000 + later);
            let retry_until = Some(world.unix() + 600);
            ask(
                &mut world,
                [1; 16],
                post([later as u8; 16], &envelope.rlp, 3, retry_until),
                3,
            );
            world.run_for(40_000);
            world.seen_on_whisper[&envelope.facts.content_id].clone()
        })
        .collect();
    assert_eq!(sealed[0].len(), 1);
    assert!(
        sealed.iter().all(|hashes| hashes == &sealed[0]),
        "one slot, one hash"
    );
}

#[test]
fn a_repeated_post_is_answered_and_not_posted_again() {
    let mut world = world();
    let envelope = world.make(1, 1);
    let body = post([2; 16], &envelope.rlp, 0, None);
    ask(&mut world, [1; 16], body.clone(), 3);
    world.run_for(1000);
    for n in 3..6 {
        let mut again = ask(&mut world, [n; 16], body.clone(), 1);
        world.run_for(1000);
        let stages: Vec<_> = again.receipts(&world).iter().map(|r| r.stage).collect();
        assert_eq!(stages, [Stage::Posted]);
    }
    // The same content under another post id within a minute: the earlier receipt.
    let mut other = ask(
        &mut world,
        [7; 16],
        post([8; 16], &envelope.rlp, 0, None),
        1,
    );
    world.run_for(1000);
    let receipts = other.receipts(&world);
    assert_eq!(
        (receipts[0].stage, *receipts[0].id.bytes()),
        (Stage::Posted, [8; 16])
    );
    // The same id for other bytes.
    let different = world.make(1, 2);
    let mut conflict = ask(
        &mut world,
        [9; 16],
        post([2; 16], &different.rlp, 0, None),
        1,
    );
    world.run_for(1000);
    assert_eq!(conflict.receipts(&world)[0].reason, Reason::Conflict);
    let transfers = world
        .bridge
        .as_ref()
        .unwrap()
        .status()
        .counters
        .transfers(Direction::ToWhisper);
    assert_eq!(transfers, 1);
}

#[test]
fn a_post_waits_for_whisper_peers_and_is_given_up_when_it_expires() {
    let mut world = world();
    world.whisper_peers = 0;
    let envelope = world.make(1, 1);
    let mut exchange = ask(
        &mut world,
        [1; 16],
        post([2; 16], &envelope.rlp, 0, None),
        3,
    );
    world.run_for(7_000);
    assert_eq!(exchange.receipts(&world).len(), 1, "accepted, and no more");
    world.whisper_peers = 2;
    world.run_for(3_000);
    assert_eq!(exchange.receipts(&world)[0].stage, Stage::Posted);

    world.whisper_peers = 0;
    let lost = world.make(1, 2);
    let mut exchange = ask(&mut world, [3; 16], post([4; 16], &lost.rlp, 0, None), 3);
    world.run_for(20_000);
    let receipts = exchange.receipts(&world);
    assert_eq!(
        (receipts[1].stage, receipts[1].reason),
        (Stage::Expired, Reason::NoPeers)
    );
    assert_eq!(dropped(&world, DropReason::NoPeers), 1);
    assert_eq!(world.bridge.as_ref().unwrap().status().posts_open, 0);
}

/// Case 75 at this level: what is held for strangers is bounded.
#[test]
fn open_posts_are_bounded() {
    let mut world = world();
    world.whisper_peers = 0;
    let mut busy = 0;
    for n in 0..70u8 {
        let mut data = vec![n; 1_040_000];
        data[0] = 1;
        let envelope = seal([1; 4], &data, 300, world.unix() + 300, 0.000_002);
        let mut exchange = ask(
            &mut world,
            [n; 16],
            post([n; 16], &envelope.rlp, 0, None),
            3,
        );
        world.run_for(100);
        busy += exchange
            .answers(&world)
            .iter()
            .filter(|r| r.status == Status::Busy)
            .count();
    }
    assert!(
        (4..=8).contains(&busy),
        "64 MiB are held, {busy} were refused"
    );
    assert_eq!(dropped(&world, DropReason::Busy), busy as u64);
}

#[test]
fn a_stuck_worker_does_not_lose_the_post() {
    let mut world = world();
    world.workers_stuck = true;
    let envelope = seal([1; 4], &[9; 300], 20, world.unix() + 20, 0.002);
    world.run_for(25_000);
    let retry_until = Some(world.unix() + 600);
    ask(
        &mut world,
        [1; 16],
        post([2; 16], &envelope.rlp, 3, retry_until),
        3,
    );
    world.run_for(65_000);
    assert_eq!(world.jobs, 3, "asked for again every 30 s");
    world.tell_bridge(engine::Input::Sealed {
        job: 999,
        result: Err(bridge::port::SealError::Cost),
    });
    world.workers_stuck = false;
    world.run_for(60_000);
    assert!(
        world
            .seen_on_whisper
            .contains_key(&envelope.facts.content_id)
    );
}

/// The node seals nothing for a minute after its clock jumped. The post waits, with a new expiry each time, and no longer
/// than its sender wants.
#[test]
fn a_clock_in_doubt_makes_a_late_post_wait() {
    for (patience_s, last) in [(600, Stage::Posted), (30, Stage::Expired)] {
        let mut world = world();
        world.clock_in_doubt = true;
        let envelope = seal([1; 4], &[9; 300], 20, world.unix() + 20, 0.002);
        world.run_for(25_000);
        let body = post([2; 16], &envelope.rlp, 3, Some(world.unix() + patience_s));
        let mut exchange = ask(&mut world, [1; 16], body, 3);
        world.run_for(60_000);
        let shown = |world: &World| {
            let shown = world.seen_on_whisper.get(&envelope.facts.content_id);
            shown.map_or(0, |hashes| hashes.len())
        };
        let asked = world.jobs;
        assert!(asked > 10 && shown(&world) == 0, "{asked} jobs");
        world.clock_in_doubt = false;
        world.run_for(10_000);
        let receipts = exchange.receipts(&world);
        assert_eq!(receipts.last().unwrap().stage, last, "{patience_s} s");
        let once = u64::from(last == Stage::Posted);
        assert_eq!((world.jobs - asked, shown(&world) as u64), (once, once));
    }
}

#[test]
fn a_post_that_whisper_has_already_is_posted() {
    let mut world = world();
    let first = world.make(1, 1);
    world.whisper_says(&first);
    world.run_for(100);
    let mut exchange = ask(&mut world, [1; 16], post([2; 16], &first.rlp, 3, None), 3);
    world.run_for(100);
    assert_eq!(
        exchange.receipts(&world).last().unwrap().stage,
        Stage::Posted
    );
    // The other way round: it comes from Whisper while it waits here.
    world.whisper_peers = 0;
    let second = world.make(1, 2);
    let mut exchange = ask(&mut world, [3; 16], post([4; 16], &second.rlp, 3, None), 3);
    world.run_for(1000);
    world.whisper_says(&second);
    world.run_for(100);
    assert_eq!(
        exchange.receipts(&world).last().unwrap().stage,
        Stage::Posted
    );
    world.run_for(60_000);
    assert_eq!(world.jobs, 0, "never sealed anew");
}
