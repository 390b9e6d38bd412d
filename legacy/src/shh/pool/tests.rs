#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::shh::envelope::Draft;
use crate::shh::topic::Topic;

fn envelope(expiry: u32, number: u64) -> Arc<Envelope> {
    Arc::new(Draft::new(expiry, 10, Topic::default(), b"data").finish(number))
}

fn peer(number: u8) -> Source {
    Source::Peer([number; 32])
}

#[test]
fn the_least_work_goes_first_and_then_the_nearest_death() {
    let mut pool = Pool::new(1 << 20, 4, 7);
    let own = envelope(50, 99);
    pool.insert(own.clone(), 0.001, Source::Own).unwrap();
    let (late, soon, strong) = (envelope(60, 1), envelope(50, 2), envelope(40, 3));
    pool.insert(late.clone(), 0.5, peer(1)).unwrap();
    pool.insert(soon.clone(), 0.5, peer(1)).unwrap();
    pool.insert(strong.clone(), 0.7, peer(1)).unwrap();
    assert_eq!(pool.insert(envelope(90, 4), 0.6, peer(1)).unwrap().1, 1);
    assert_eq!(pool.look_up(&soon.hash()), Lookup::Gone);
    assert_eq!(pool.insert(envelope(90, 5), 0.4, peer(1)), Err(PoolFull));
    assert_eq!(
        pool.look_up(&envelope(90, 5).hash()),
        Lookup::Fresh,
        "what was never in is not remembered"
    );
    assert!(matches!(pool.look_up(&late.hash()), Lookup::Pooled(_)));
    assert!(
        matches!(pool.look_up(&own.hash()), Lookup::Pooled(_)),
        "our own go last"
    );
    assert_eq!(pool.len(), 4);
}

#[test]
fn our_own_give_way_to_nobody_but_each_other() {
    let mut pool = Pool::new(1 << 20, 3, 7);
    for number in 0..3 {
        pool.insert(envelope(50, number), 0.5, Source::Own).unwrap();
    }
    assert_eq!(pool.insert(envelope(90, 7), 9.0, peer(1)), Err(PoolFull));
    assert_eq!(
        pool.insert(envelope(90, 8), 0.4, Source::Own),
        Err(PoolFull)
    );
    assert_eq!(pool.insert(envelope(90, 9), 0.6, Source::Own).unwrap().1, 1);
}

#[test]
fn a_flood_drowns_itself_from_however_many_peers_it_comes() {
    for flooders in [1, 2, 8] {
        let mut pool = Pool::new(1 << 20, 45, 7);
        let honest: Vec<_> = (0..5).map(|number| envelope(50, number)).collect();
        let (early, later) = honest.split_at(2);
        for one in early {
            pool.insert(one.clone(), 0.002, peer(1)).unwrap();
        }
        for number in 100..1100 {
            // Whatever work it does, and whether or not each flooder has less than half of the pool.
            let flooder = peer(2 + (number % flooders) as u8);
            let _ = pool.insert(envelope(50, number), 5.0, flooder);
        }
        for one in later {
            pool.insert(one.clone(), 0.002, peer(1)).unwrap();
        }
        assert!(
            honest
                .iter()
                .all(|one| matches!(pool.look_up(&one.hash()), Lookup::Pooled(_))),
            "{flooders}"
        );
        assert_eq!(pool.len(), 45);
    }
}

#[test]
fn what_is_scarce_decides_who_holds_the_most() {
    let big = |number| Arc::new(Draft::new(50, 10, Topic::default(), &[0; 4_000]).finish(number));
    // A few long ones are nobody's fault where the number is what is exceeded.
    let mut pool = Pool::new(1 << 20, 10, 7);
    for number in 0..3 {
        pool.insert(big(number), 0.1, peer(1)).unwrap();
    }
    for number in 10..30 {
        let _ = pool.insert(envelope(50, number), 0.2, peer(2));
    }
    assert_eq!(pool.shares.sizes()[&peer(1)].0, 3);
    // And they are where it is the bytes.
    let mut pool = Pool::new(12_000, 1_000, 7);
    for number in 10..16 {
        pool.insert(envelope(50, number), 0.1, peer(2)).unwrap();
    }
    for number in 0..5 {
        let _ = pool.insert(big(number), 0.2, peer(1));
    }
    assert_eq!(pool.shares.sizes()[&peer(2)].0, 6);
}

#[test]
fn the_dead_are_remembered_for_a_while() {
    let mut pool = Pool::new(1 << 20, 10, 7);
    let one = envelope(50, 1);
    pool.insert(one.clone(), 1.0, peer(1)).unwrap();
    assert_eq!(pool.expire(50), 0);
    assert_eq!(pool.expire(51), 1);
    assert_eq!(
        (pool.look_up(&one.hash()), pool.is_empty(), pool.is_idle()),
        (Lookup::Gone, true, false)
    );
    pool.expire(51 + GONE_SECONDS);
    assert_eq!(pool.look_up(&one.hash()), Lookup::Gone);
    pool.expire(52 + GONE_SECONDS);
    assert_eq!(
        (pool.look_up(&one.hash()), pool.is_idle()),
        (Lookup::Fresh, true)
    );
}

#[test]
fn slots_are_bounded_and_reused() {
    let mut slots = Slots::default();
    let all: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
    assert_eq!(all.len(), PEERS_MAX);
    slots.free(all[7]);
    assert_eq!((slots.take(), slots.take()), (Some(all[7]), None));
}

proptest! {
    #[test]
    fn the_caps_always_hold(steps in proptest::collection::vec((0u8..4, 0u32..40, 0u64..60, 0u32..100), 1..200)) {
        let mut pool = Pool::new(5_000, 12, 7);
        let mut now = 0;
        for (source, expiry, number, pow) in steps {
            let one = Arc::new(Draft::new(now + expiry, 10, Topic::default(), &vec![0; number as usize * 8]).finish(number));
            if pool.look_up(&one.hash()) == Lookup::Fresh {
                let source = if source == 0 { Source::Own } else { peer(source) };
                let _ = pool.insert(one, f64::from(pow), source);
            }
            if number % 7 == 0 {
                now += 3;
                pool.expire(now);
            }
            let cost: usize = pool.entries.in_order().map(|(_, entry)| entry.cost()).sum();
            prop_assert!(pool.bytes() <= 5_000 && pool.len() <= 12);
            prop_assert_eq!(pool.bytes(), cost);
            prop_assert_eq!(pool.by_hash.len(), pool.len());
            prop_assert_eq!(pool.by_expiry.len(), pool.len());
            let sizes = pool.shares.sizes();
            prop_assert_eq!(sizes.values().map(|(count, _)| count).sum::<usize>(), pool.len());
            prop_assert_eq!(sizes.values().map(|(_, bytes)| bytes).sum::<usize>(), cost);
            prop_assert!(pool.shares.agree());
            prop_assert_eq!(pool.gone.ids.len(), pool.gone.until.len());
        }
    }

    /// Nobody loses to whoever holds more, and of each the lowest goes.
    #[test]
    fn who_holds_the_most_gives_way(
        by_bytes: bool,
        steps in proptest::collection::vec((0u8..7, 1u32..40, 0usize..400, 0u32..9), 1..250),
    ) {
        let (bytes_max, count_max) = if by_bytes { (8_000, 1_000) } else { (1 << 30, 14) };
        let mut pool = Pool::new(bytes_max, count_max, 7);
        for (number, (source, expiry, len, pow)) in steps.into_iter().enumerate() {
            let source = if source == 0 { Source::Own } else { peer(source) };
            let one = Arc::new(Draft::new(expiry, 10, Topic::default(), &vec![0; len]).finish(number as u64));
            let mut before = held(&pool);
            let (hash, newest) = (one.hash(), (source, Rank { pow_bits: f64::from(pow).to_bits(), expiry }));
            before.insert(hash, (newest.0, newest.1, one.raw().len() + POOL_ENTRY_OVERHEAD));
            let _ = pool.insert(one, f64::from(pow), source);
            let after = held(&pool);
            let size = |of: Source| -> usize {
                let sizes = pool.shares.sizes();
                sizes.get(&of).map_or(0, |(count, bytes)| if by_bytes { *bytes } else { *count })
            };
            for (_, (loser, rank, cost)) in before.iter().filter(|(hash, _)| !after.contains_key(*hash)) {
                let cost = if by_bytes { *cost } else { 1 };
                let others = pool.shares.sizes();
                for other in others.keys().filter(|other| **other != Source::Own && **other != *loser) {
                    prop_assert!(*loser != Source::Own, "our own go last");
                    // It had at least as much as any other before the last of its own went.
                    let most = before.values().filter(|(of, _, _)| of == loser).map(|(_, _, cost)| if by_bytes { *cost } else { 1 }).max();
                    prop_assert!(size(*loser) + most.unwrap_or(cost) >= size(*other), "{loser:?} lost to {other:?}");
                }
                let stayed = after.values().filter(|(of, _, _)| of == loser);
                prop_assert!(stayed.clone().all(|(_, other, _)| rank <= other), "the lowest of a share goes first");
            }
        }
    }
}

/// Every envelope: who brought it, its rank, its cost.
fn held(pool: &Pool) -> BTreeMap<EnvelopeHash, (Source, Rank, usize)> {
    let entries = pool.entries.in_order();
    entries
        .map(|(_, entry)| {
            let hash = entry.envelope.hash();
            (hash, (entry.source, entry.rank(), entry.cost()))
        })
        .collect()
}
