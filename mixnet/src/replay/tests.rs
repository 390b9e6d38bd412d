use super::*;

fn tag(n: u64) -> ReplayTag {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    ReplayTag(bytes)
}

fn small(seed: u8) -> ReplayStore {
    ReplayStore::with_capacity([seed; 16], Capacity::of_tags(0))
}

#[test]
fn remembers_every_tag_while_it_grows_and_never_takes_twelve_bytes_for_one() {
    let mut store = ReplayStore::with_capacity([1; 16], Capacity::of_tags(1 << 20));
    for n in 0..300_000 {
        assert!(!store.seen(&tag(n)), "{n} was never stored");
        assert_eq!(store.insert(&tag(n)), Ok(()));
        // As soon as every segment has its share; what an empty store takes is another bound.
        if n % 1000 == 0 && n > 20_000 {
            assert!(store.bytes() < 12 * store.len(), "{n}: {}", store.bytes());
        }
    }
    assert_eq!(store.len(), 300_000);
    for n in 0..300_000 {
        assert!(store.seen(&tag(n)), "{n} is forgotten");
        assert_eq!(store.insert(&tag(n)), Err(ReplayError::Duplicate));
    }
    assert!(small(1).bytes() < 20 << 10);
}

/// At the size limit of a node at home: a new packet is lost less often than once in ten thousand.
#[test]
fn a_full_store_knows_its_own_and_hardly_anything_else() {
    let mut store = ReplayStore::new([4; 16]);
    let full = store.capacity().tags() as u64;
    assert_eq!(full, 1_800_000);
    let lost = (0..full).filter(|n| store.insert(&tag(*n)) == Err(ReplayError::Duplicate));
    let lost = lost.count();
    // Expected: 1.8 million times 0.8 in a million on the way, one or two.
    assert!(lost <= 8, "{lost} of {full}");
    assert!(store.bytes() <= store.capacity().bytes_max());
    assert!(store.bytes() < 12 * store.len());
    let found = (full..2 * full).filter(|n| store.seen(&tag(*n))).count() as u64;
    assert!(found * 10_000 < full && found <= 12, "{found} of {full}");
    assert!((0..full).step_by(997).all(|n| store.seen(&tag(n))));
}

#[test]
fn a_full_store_refuses_and_forgets_nothing() {
    let mut store = small(2);
    let full = store.capacity().tags() as u64;
    assert_eq!(full, TAGS_MIN as u64);
    for n in 0..full {
        assert_eq!(store.insert(&tag(n)), Ok(()));
    }
    let bytes = store.bytes();
    for n in full..full + 1000 {
        assert_eq!(store.insert(&tag(n)), Err(ReplayError::Full));
    }
    assert_eq!((store.len() as u64, store.bytes()), (full, bytes));
    for n in 0..full {
        assert_eq!(store.insert(&tag(n)), Err(ReplayError::Duplicate));
    }
}

#[test]
fn what_is_restored_is_known_and_may_exceed_the_capacity() {
    let key = SecretKey::from_bytes([3; 32]);
    let usual = Capacity::default();
    let mut first = ReplayStore::of(&key);
    let prints: Vec<_> = (0..1000).map(|n| first.fingerprint(&tag(n))).collect();
    assert!((0..1000).all(|n| first.insert(&tag(n)).is_ok()));

    // Whatever the capacity was before.
    for capacity in [usual, Capacity::of_tags(0), Capacity::of_tags(10_000_000)] {
        let mut second = ReplayStore::of_capacity(&key, capacity);
        prints
            .iter()
            .chain(&prints)
            .for_each(|print| second.restore(*print));
        assert_eq!(second.len(), 1000);
        assert!((0..1000).all(|n| second.seen(&tag(n))));
    }
    assert!(!ReplayStore::of(&SecretKey::from_bytes([4; 32])).seen(&tag(0)));

    let mut small = small(5);
    let many = 3 * TAGS_MIN as u64;
    (0..many).for_each(|n| small.restore(small.fingerprint(&tag(n))));
    assert_eq!(small.len() as u64, many);
    assert!((0..many).all(|n| small.seen(&tag(n))));
    assert_eq!(small.insert(&tag(many)), Err(ReplayError::Full));
    assert_eq!(small.insert(&tag(0)), Err(ReplayError::Duplicate));
}

#[test]
fn the_capacity_follows_the_rate_within_its_bounds() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    assert_eq!(Capacity::for_rate(100, hours(5)).tags(), 1_800_000);
    assert_eq!(Capacity::for_rate(3000, hours(5)).tags(), 54_000_000);
    assert_eq!(Capacity::for_rate(0, hours(5)).tags(), TAGS_MIN);
    assert_eq!(Capacity::for_rate(u32::MAX, Duration::MAX).tags(), TAGS_MAX);
    assert_eq!(Capacity::default(), Capacity::for_rate(100, KEY_LIFE));
    // One in ten thousand, at the most.
    assert!(TAGS_MAX as f64 / 2f64.powi(40) <= 1e-4);
    assert_eq!(Capacity::default().bytes_max(), 19_800_000);
}
