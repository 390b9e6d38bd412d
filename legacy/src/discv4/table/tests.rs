use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::identity::SecretKey;

/// A node that is told apart by a number, at an address of its own.
fn contact(n: u16, ip: [u8; 4]) -> Contact {
    let mut key = [1; 32];
    key[..2].copy_from_slice(&n.to_be_bytes());
    let key = SecretKey::from_bytes(&key).unwrap().public();
    Contact::new(key, SocketAddr::from((ip, 30303)), 30303)
}

fn spread(n: u16) -> Contact {
    let [a, b] = n.to_be_bytes();
    contact(n, [80, a, b, 1])
}

fn table() -> Table {
    Table::new(spread(0).id())
}

/// Nodes of the bucket with the most distant ones, in the order of their numbers.
fn distant(table: &Table) -> Vec<Contact> {
    (1..200)
        .map(spread)
        .filter(|contact| table.index(&contact.id()) == BUCKETS - 1)
        .collect()
}

#[test]
fn buckets_are_by_distance() {
    let table = table();
    let id = |bit: usize| {
        let mut bytes = *table.own.as_bytes();
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        NodeId::new(bytes)
    };
    assert_eq!(table.index(&id(0)), 16);
    assert_eq!(table.index(&id(1)), 15);
    assert_eq!(table.index(&id(15)), 1);
    assert_eq!(table.index(&id(16)), 0);
    assert_eq!(table.index(&id(255)), 0);
}

#[test]
fn a_full_bucket_keeps_who_is_there() {
    let (now, mut table) = (Instant::now(), table());
    let nodes = distant(&table);
    assert!(nodes.len() > 30);
    for node in &nodes {
        table.answered(now, *node);
    }
    let bucket = &table.buckets[BUCKETS - 1];
    assert_eq!(bucket.nodes.len(), BUCKET_LEN_MAX);
    assert_eq!(bucket.replacements.len(), REPLACEMENTS_MAX);
    for node in &nodes[..16] {
        assert_eq!(table.get(&node.id()), Some(*node));
    }
    // One goes, and the newest of those who wait comes, last and not yet alive.
    table.gone(now, &nodes[3].id());
    assert_eq!(table.get(&nodes[3].id()), None);
    let last = nodes.last().unwrap();
    assert_eq!(table.stalest(0), Some(*last));
    assert_eq!((table.len(), table.alive()), (16, 15));
}

#[test]
fn who_answers_comes_first_and_who_is_named_last() {
    let (now, mut table) = (Instant::now(), table());
    let nodes = distant(&table);
    for node in &nodes[..3] {
        table.seen(now, *node);
    }
    assert_eq!(table.stalest(0), Some(nodes[2]));
    assert_eq!(table.alive(), 0);
    table.answered(now, nodes[2]);
    assert_eq!(table.stalest(0), Some(nodes[1]));
    assert_eq!(table.alive(), 1);
    assert_eq!(table.closest(&nodes[0].id(), 16, true), [nodes[2]]);
    assert_eq!(table.closest(&nodes[0].id(), 16, false)[0], nodes[0]);
}

#[test]
fn a_subnet_has_two_places_in_a_bucket_and_ten_in_the_table() {
    let (now, mut table) = (Instant::now(), table());
    for n in 1..2000 {
        table.answered(now, contact(n, [80, 1, 1, (n % 250) as u8]));
    }
    assert_eq!(table.len(), 10);
    for bucket in &table.buckets {
        assert!(bucket.nodes.len() <= 2);
    }
    // A private network is one address for many.
    for n in 2000..2100 {
        table.answered(now, contact(n, [192, 168, 0, 1]));
    }
    assert!(table.len() > 40, "{}", table.len());
}

#[test]
fn who_moves_into_a_full_subnet_loses_its_place() {
    let (now, mut table) = (Instant::now(), table());
    let nodes = distant(&table);
    let number = |contact: &Contact| (1..200).find(|n| spread(*n).id() == contact.id()).unwrap();
    let moved = |contact: &Contact| super::tests::contact(number(contact), [90, 0, 0, 1]);
    for node in &nodes[..3] {
        table.answered(now, *node);
    }
    for node in &nodes[..3] {
        table.answered(now, moved(node));
    }
    assert_eq!(table.len(), 2);
    assert_eq!(table.subnets.values().sum::<usize>(), 2);
    assert_eq!(table.get(&nodes[0].id()), Some(moved(&nodes[0])));
    assert_eq!(table.get(&nodes[2].id()), None);
}

#[test]
fn five_failures_in_a_row_are_the_end() {
    let (now, mut table) = (Instant::now(), table());
    let node = spread(1);
    table.answered(now, node);
    for n in 1..5 {
        table.failed(now, &node.id());
        assert_eq!(table.failures(&node.id()), n);
    }
    table.answered(now, node);
    assert_eq!(table.failures(&node.id()), 0);
    for _ in 0..5 {
        table.failed(now, &node.id());
    }
    assert!(table.is_empty() && table.subnets.is_empty());
}

#[test]
fn only_who_stays_is_remembered() {
    let (now, mut table) = (Instant::now(), table());
    table.answered(now, spread(1));
    table.seen(now, spread(2));
    assert_eq!(table.lasting(now).count(), 0);
    let later = now + PERSIST_AFTER;
    table.answered(later, spread(3));
    assert_eq!(table.lasting(later).collect::<Vec<_>>(), [spread(1)]);
}

#[test]
fn a_record_changes_the_port_and_not_the_address() {
    let (now, mut table) = (Instant::now(), table());
    table.answered(now, spread(1));
    let id = spread(1).id();
    assert_eq!(table.record_seq(&id), Some(0));
    table.recorded(&id, 7, Some(40404));
    assert_eq!(table.record_seq(&id), Some(7));
    let contact = table.get(&id).unwrap();
    assert_eq!(
        (contact.tcp_port(), contact.udp()),
        (40404, spread(1).udp())
    );
}

#[test]
fn we_are_not_in_our_own_table() {
    let (now, mut table) = (Instant::now(), table());
    table.answered(now, spread(0));
    table.seen(now, spread(0));
    assert!(table.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: the bounds hold, and the count of the subnets is that of the nodes.
    #[test]
    fn bounds_hold(steps in prop::collection::vec((0u8..5, 1u16..300, 0u8..4, 0u8..3), 0..400)) {
        let (now, mut table) = (Instant::now(), table());
        for (step, n, net, host) in steps {
            let node = contact(n, [80 + net, 0, 0, host]);
            let now = now + Duration::from_secs(n.into());
            match step {
                0 => table.seen(now, node),
                1 | 2 => table.answered(now, node),
                3 => table.gone(now, &node.id()),
                _ => table.failed(now, &node.id()),
            }
            let mut counted: BTreeMap<Subnet, usize> = BTreeMap::new();
            for (at, bucket) in table.buckets.iter().enumerate() {
                prop_assert!(bucket.nodes.len() <= BUCKET_LEN_MAX);
                prop_assert!(bucket.replacements.len() <= REPLACEMENTS_MAX);
                let mut in_bucket: BTreeMap<Subnet, usize> = BTreeMap::new();
                for known in &bucket.nodes {
                    prop_assert_eq!(table.index(&known.contact.id()), at);
                    let subnet = Subnet::of(known.contact.ip()).unwrap();
                    *in_bucket.entry(subnet).or_default() += 1;
                    *counted.entry(subnet).or_default() += 1;
                }
                prop_assert!(in_bucket.values().all(|count| *count <= PER_SUBNET_AND_BUCKET_MAX));
            }
            prop_assert!(counted.values().all(|count| *count <= PER_SUBNET_MAX));
            prop_assert!(counted == table.subnets);
        }
    }
}
