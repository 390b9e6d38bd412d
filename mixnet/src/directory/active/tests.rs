use super::*;
use crate::descriptor::tests::peer_key;
use crate::directory::registry::tests::{ANYWHERE, said};

/// A registry of relays 1..=n that spoke for the epochs 5 to 7.
fn registry(n: u16) -> Registry {
    let mut registry = Registry::new(ANYWHERE);
    for n in 1..=n {
        for epoch in 5..=7 {
            registry.insert(said(n, epoch, 0));
        }
    }
    registry
}

#[test]
fn the_set_is_known_before_its_epoch_and_does_not_change_when_it_starts() {
    let mut registry = registry(6);
    // The set of 8 follows from what was said for 7.
    let before = ActiveSet::select(&registry, 8);
    assert_eq!((before.relays(), before.is_young()), (6, false));
    registry.insert(said(1, 8, 0));
    registry.insert(said(9, 8, 0));
    assert_eq!(ActiveSet::select(&registry, 8), before);
}

#[test]
fn newcomers_wait_two_epochs_unless_the_network_is_young() {
    let mut old = registry(4);
    old.insert(said(9, 7, 0));
    assert!(ActiveSet::select(&old, 8).get(&peer_key(9)).is_none());
    old.insert(said(9, 8, 0));
    for n in 1..=4 {
        old.insert(said(n, 8, 0));
    }
    assert!(ActiveSet::select(&old, 9).get(&peer_key(9)).is_some());
    // Two old relays are no path: everybody counts.
    let mut young = registry(2);
    young.insert(said(9, 7, 0));
    young.insert(said(10, 8, 0));
    let set = ActiveSet::select(&young, 8);
    assert_eq!((set.relays(), set.is_young()), (4, true));
}

#[test]
fn the_root_names_the_nodes_and_what_they_say() {
    let set = ActiveSet::select(&registry(5), 8);
    let nodes = |set: &ActiveSet| set.descriptors().cloned().collect::<Vec<_>>();
    let mut turned = nodes(&set);
    turned.reverse();
    let again = ActiveSet::received(8, turned, false).unwrap();
    assert_eq!(again.root(), set.root());
    let mut other = nodes(&set);
    other[2] = said(0, 7, 1);
    let fewer = nodes(&set)[1..].to_vec();
    for changed in [other, fewer] {
        let changed = ActiveSet::received(8, changed, false).unwrap();
        assert_ne!(changed.root(), set.root());
    }
    let twice = [nodes(&set), nodes(&set)].concat();
    assert_eq!(
        ActiveSet::received(8, twice, false),
        Err(SetError::Duplicate)
    );
    assert_eq!(
        ActiveSet::received(10, nodes(&set), false),
        Err(SetError::NoKey(nodes(&set)[0].peer()))
    );
}

#[test]
fn the_number_of_relays_follows_load_and_capacity_as_the_table_of_the_specification_has_it() {
    // Users, packets a second of one, capacity of a relay, relays a place.
    for (users, rate, capacity, width) in [
        (1e4, 0.2, 100, 20),
        (1e5, 0.05, 100, 50),
        (1e5, 1.0, 3000, 200),
        (1e6, 0.05, 3000, 100),
        (1e6, 0.05, 100, 500),
    ] {
        let relays = 3000;
        // Every packet passes three of them.
        let load = users * rate * 3.0 / f64::from(relays);
        let mut loads = vec![load.round() as u32; relays as usize];
        let mut capacities = vec![capacity; relays as usize];
        let active = active_of(&mut loads, &mut capacities);
        let expected = (width * 3_usize).clamp(ACTIVE_MIN, ACTIVE_MAX);
        let error = (active as f64 - expected as f64).abs() / expected as f64;
        assert!(error < 0.05, "{users} {rate} {capacity}: {active}");
    }
    assert_eq!(active_of(&mut [0; 10], &mut [0; 10]), 10);
    assert_eq!(active_of(&mut [0; 1000], &mut [0; 1000]), ACTIVE_MIN);
    // A few liars move nothing.
    let mut loads = [64; 300];
    let honest = active_of(&mut loads, &mut [100; 300]);
    loads[..60].fill(32_768);
    assert_eq!(active_of(&mut loads, &mut [100; 300]), honest);
}

#[test]
fn layers_are_the_scores_in_turn() {
    let set = ActiveSet::select(&registry(9), 8);
    let mut sizes = [0; 3];
    for n in 1..=9 {
        sizes[set.layer(&peer_key(n)).unwrap()] += 1;
    }
    assert_eq!(sizes, [3, 3, 3]);
    assert_eq!(set.layer(&peer_key(99)), None);
}
