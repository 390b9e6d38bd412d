#![allow(clippy::unwrap_used, clippy::panic)]

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::address::AddressPolicy;
use crate::descriptor::tests::{identity, peer_key};
use crate::descriptor::{Capabilities, Descriptor, Statement};
use crate::limits::CONNECTIONS_KEPT_MAX;
use crate::sphinx::PublicKey;

fn relay(n: u16) -> Descriptor {
    let statement = Statement {
        address: Some(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 5000 + n)),
        capabilities: Capabilities {
            relay: true,
            ..Capabilities::default()
        },
        ..Statement::new(0, PublicKey::from_bytes([9; 32]))
    };
    Descriptor::sign(statement, &identity(n)).unwrap()
}

/// `count` relays as node 100 sees them, all connected.
fn connected(count: u16) -> Relays {
    let policy = AddressPolicy {
        allow_private: true,
    };
    let topology = Topology::new((1..=count).map(relay).collect(), policy).unwrap();
    let mut relays = Relays::new(&topology, peer_key(100), CONNECTIONS_KEPT_MAX);
    for n in 1..=count {
        relays.up(peer_key(n));
    }
    relays
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([3; 32])
}

fn usable(relays: &Relays) -> usize {
    relays.usable(None).count()
}

/// Sends `loops` loops, each of which returns when `returns` says so of its path.
fn run_loops(
    relays: &mut Relays,
    rng: &mut ChaCha20Rng,
    loops: usize,
    mut returns: impl FnMut(&[PeerKey], &mut ChaCha20Rng) -> bool,
) -> Vec<Change> {
    (0..loops)
        .filter_map(|_| {
            let path = relays.pick_loop(rng)?;
            let departed = relays.depart(Instant::now(), path);
            let returned = returns(&path, rng);
            Some(relays.loop_ended(&departed, returned))
        })
        .collect()
}

#[test]
fn a_relay_is_usable_while_its_connection_stands() {
    let policy = AddressPolicy {
        allow_private: true,
    };
    let topology = Topology::new(vec![relay(1), relay(2)], policy).unwrap();
    let mut relays = Relays::new(&topology, peer_key(100), CONNECTIONS_KEPT_MAX);
    assert_eq!((usable(&relays), relays.known()), (0, 2));
    let changed = Change {
        usable: true,
        stale: false,
        ..Change::default()
    };
    assert_eq!(relays.up(peer_key(1)), changed);
    assert_eq!(relays.up(peer_key(1)), Change::default());
    assert_eq!(relays.lost(peer_key(1)), changed);
    assert_eq!(
        relays.unreachable(peer_key(1)),
        Change {
            usable: false,
            stale: true,
            ..Change::default()
        }
    );
    // Only the first failed dial is news.
    assert_eq!(relays.unreachable(peer_key(1)), Change::default());
    assert_eq!(relays.up(peer_key(1)), changed);
    // Peers that are no relays do not matter here.
    assert_eq!(relays.up(peer_key(77)), Change::default());
    assert_eq!(relays.lost(peer_key(77)), Change::default());
    assert_eq!(relays.unreachable(peer_key(77)), Change::default());
}

#[test]
fn a_reconnect_without_a_failed_dial_makes_no_block_stale() {
    let mut relays = connected(3);
    assert!(!relays.lost(peer_key(1)).stale);
    assert!(!relays.up(peer_key(1)).stale);
    assert_eq!(usable(&relays), 3);
}

#[test]
fn a_relay_that_was_never_up_makes_nothing_stale() {
    let policy = AddressPolicy {
        allow_private: true,
    };
    let topology = Topology::new(vec![relay(1)], policy).unwrap();
    let mut relays = Relays::new(&topology, peer_key(100), CONNECTIONS_KEPT_MAX);
    assert_eq!(relays.unreachable(peer_key(1)), Change::default());
}

#[test]
fn a_failed_second_dial_does_not_touch_a_standing_connection() {
    let mut relays = connected(3);
    assert_eq!(relays.unreachable(peer_key(1)), Change::default());
    assert_eq!(usable(&relays), 3);
}

#[test]
fn paths_are_distinct_and_uniform_and_leave_the_end_out() {
    let relays = connected(5);
    let mut rng = rng();
    let mut first = BTreeMap::new();
    for _ in 0..4000 {
        let path = relays.pick(&mut rng, Some(peer_key(5))).unwrap();
        assert!(path[0] != path[1] && path[1] != path[2] && path[0] != path[2]);
        assert!(!path.contains(&peer_key(5)));
        *first.entry(path[0]).or_insert(0) += 1;
    }
    // Four relays, 1000 each; five standard deviations are 137.
    assert!(
        first.values().all(|count| (863..=1137).contains(count)),
        "{first:?}"
    );
    assert_eq!(first.len(), 4);
}

#[test]
fn three_relays_are_needed() {
    let mut relays = connected(3);
    assert!(relays.pick(&mut rng(), None).is_some());
    assert!(relays.pick(&mut rng(), Some(peer_key(1))).is_none());
    relays.lost(peer_key(2));
    assert!(relays.pick(&mut rng(), None).is_none());
    assert!(relays.pick_loop(&mut rng()).is_none());
}

/// Attack: a relay answers at the door and drops 30 % of what it is given.
#[test]
fn a_selective_dropper_is_excluded_and_its_neighbours_are_not() {
    for seed in 0..10 {
        let mut relays = connected(6);
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let bad = peer_key(2);
        let changes = run_loops(&mut relays, &mut rng, 500, |path, rng| {
            !path.contains(&bad) || below(rng, 10) >= 3
        });
        assert!(changes.iter().any(|change| change.stale), "seed {seed}");
        let left: Vec<_> = relays.usable(None).collect();
        assert!(!left.contains(&bad), "seed {seed}");
        assert!(left.len() >= 4, "seed {seed}: {left:?}");
    }
}

/// Where every relay loses a tenth, more than a quarter of all loops vanish, and no relay is worse than the others.
#[test]
fn loss_that_all_share_sets_no_relay_apart() {
    for seed in 0..10 {
        let mut relays = connected(5);
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let changes = run_loops(&mut relays, &mut rng, 600, |path, rng| {
            path.iter().all(|_| below(rng, 10) > 0)
        });
        let stale = changes.iter().filter(|change| change.stale).count();
        let raised = changes.iter().filter(|change| change.raised).count();
        assert!(stale <= 1 && raised <= 1, "seed {seed}: {stale}, {raised}");
    }
}

#[test]
fn a_black_hole_is_avoided_soon_and_comes_back_when_it_forwards_again() {
    let mut relays = connected(8);
    let mut rng = rng();
    let bad = peer_key(2);
    run_loops(&mut relays, &mut rng, 60, |path, _| !path.contains(&bad));
    assert!(!relays.usable(None).any(|peer| peer == bad));
    let changes = run_loops(&mut relays, &mut rng, 400, |_, _| true);
    assert!(relays.usable(None).any(|peer| peer == bad));
    assert!(!changes.iter().any(|change| change.stale));
}

#[test]
fn loops_never_take_the_last_three_relays_away() {
    let mut relays = connected(4);
    run_loops(&mut relays, &mut rng(), 300, |_, _| false);
    assert_eq!(usable(&relays), 3);
}

#[test]
fn a_loop_that_a_broken_connection_explains_blames_nobody() {
    let mut relays = connected(5);
    let path = [peer_key(1), peer_key(2), peer_key(3)];
    for _ in 0..20 {
        let departed = relays.depart(Instant::now(), path);
        relays.lost(peer_key(1));
        relays.up(peer_key(1));
        assert_eq!(relays.loop_ended(&departed, false), Change::default());
    }
    assert_eq!(usable(&relays), 5);
}

#[test]
fn a_new_network_keeps_what_is_known() {
    let mut relays = connected(4);
    let policy = AddressPolicy {
        allow_private: true,
    };
    let topology = Topology::new([2, 3, 4, 9].map(relay).to_vec(), policy).unwrap();
    let change = relays.set_topology(&topology, peer_key(100));
    assert_eq!(
        change,
        Change {
            usable: true,
            stale: true,
            ..Change::default()
        }
    );
    assert_eq!((usable(&relays), relays.known()), (3, 4));
}

/// A node that keeps four connections of twenty: its packets leave over them, and what comes back to it comes over them.
#[test]
fn paths_begin_and_returns_end_at_connected_relays() {
    let policy = AddressPolicy {
        allow_private: true,
    };
    let topology = Topology::new((1..=20).map(relay).collect(), policy).unwrap();
    let mut relays = Relays::new(&topology, peer_key(100), 4);
    let kept = topology.kept_by(peer_key(100), 4);
    assert!(
        relays.pick(&mut rng(), None).is_some(),
        "kept ones may be down"
    );
    for peer in &kept {
        relays.up(*peer);
    }
    let (mut firsts, mut middles) = (BTreeMap::new(), BTreeMap::new());
    let mut rng = rng();
    for _ in 0..2000 {
        let away = relays.pick(&mut rng, Some(kept[0])).unwrap();
        assert!(away[0] != kept[0] && kept.contains(&away[0]));
        let back = relays.pick_return(&mut rng, None).unwrap();
        assert!(kept.contains(&back[0]) && kept.contains(&back[2]));
        assert!(back[0] != back[1] && back[1] != back[2] && back[0] != back[2]);
        *firsts.entry(back[0]).or_insert(0) += 1;
        *middles.entry(back[1]).or_insert(0) += 1;
    }
    assert!(
        firsts.values().all(|count| (400..600).contains(count)),
        "{firsts:?}"
    );
    assert_eq!(middles.len(), 20);
}
