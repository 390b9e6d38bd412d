#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::address::{Address, Transport};
use crate::geometry::MESSAGE_LEN;
use crate::sphinx::{Hop, build};

fn peer(n: u16) -> PeerKey {
    crate::descriptor::tests::peer_key(n)
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32])
}

/// The intake of a key that has seen nothing.
fn intake(n: u8) -> Intake {
    Intake::new(secret(n), ReplayStore::of(&secret(n)))
}

/// A packet for key `n`, then for another hop.
fn packet(n: u8, unique: u16) -> Packet {
    let hop = |n: u8| Hop {
        key: secret(n).public(),
        address: Address::direct(Ipv4Addr::LOCALHOST, Transport::Tcp, 1, peer(n.into())),
    };
    let mut x = [9; 32];
    x[1..3].copy_from_slice(&unique.to_be_bytes());
    x[3] = n;
    let path = [hop(n), hop(200)];
    build(&path, &[5], &x, &[0; MESSAGE_LEN], &Address::NONE)
        .unwrap()
        .0
}

fn received(packet: &Packet) -> Received {
    Received {
        from: peer(1),
        at: Instant::now(),
        packet: packet.clone(),
    }
}

fn reason(batch: &Batch) -> Option<DropReason> {
    batch.dropped.first().copied()
}

#[test]
fn a_packet_is_peeled_once_and_noted_once() {
    let mut intake = intake(1);
    let packet = packet(1, 0);
    let first = intake.take_one(received(&packet));
    assert!(first.forwards() && first.len() == 1 && reason(&first).is_none());
    assert_eq!(first.records().len(), 1);
    assert_eq!(first.records()[0].key, secret(1).public());
    let second = intake.take_one(received(&packet));
    assert_eq!(reason(&second), Some(DropReason::Replayed));
    assert!(second.records().is_empty() && !second.forwards());
    assert_eq!(second.replay_tags, 1);
}

#[test]
fn what_was_noted_is_refused_after_a_restart() {
    let mut before = intake(1);
    let packets: Vec<_> = (0..20).map(|n| packet(1, n)).collect();
    let mut batch = Batch::default();
    for packet in &packets {
        before.take(received(packet), &mut batch);
    }
    let records = batch.take_records();
    assert_eq!((records.len(), batch.records().len()), (20, 0));
    // As many as there were: taking the notes away changes nothing else.
    assert!(batch.len() == 20 && batch.forwards() && !batch.ends());
    let mut store = ReplayStore::of(&secret(1));
    for record in records {
        store.restore(record.print);
    }
    let mut after = Intake::new(secret(1), store);
    for packet in &packets {
        let again = after.take_one(received(packet));
        assert_eq!(reason(&again), Some(DropReason::Replayed));
    }
    assert!(after.take_one(received(&packet(1, 20))).forwards());
    // Without the notes, a new key is needed: under it the old packets are nobody's.
    let again = intake(2).take_one(received(&packets[0]));
    assert_eq!(reason(&again), Some(DropReason::Mac));
}

/// A key and its successor: packets of both are taken once each, those of a retired one no longer.
#[test]
fn two_keys_are_good_for_a_time_of_grace() {
    let mut intake = intake(1);
    let (old, late, new) = (packet(1, 0), packet(1, 1), packet(2, 0));
    assert_eq!(
        reason(&intake.take_one(received(&new))),
        Some(DropReason::Mac)
    );
    assert!(intake.take_one(received(&old)).forwards());
    assert_eq!(intake.install(secret(2), ReplayStore::of(&secret(2))), None);
    assert!(intake.keys().eq([secret(2).public(), secret(1).public()]));
    let taken = intake.take_one(received(&new));
    assert_eq!(taken.records()[0].key, secret(2).public());
    let taken = intake.take_one(received(&late));
    assert_eq!(taken.records()[0].key, secret(1).public());
    for packet in [&old, &late, &new] {
        assert_eq!(
            reason(&intake.take_one(received(packet))),
            Some(DropReason::Replayed)
        );
    }
    assert_eq!(intake.take_one(received(&old)).replay_tags, 3);

    intake.retire(&secret(1).public());
    for packet in [&old, &late, &packet(1, 2)] {
        assert_eq!(
            reason(&intake.take_one(received(packet))),
            Some(DropReason::Mac)
        );
    }
    assert_eq!(
        reason(&intake.take_one(received(&new))),
        Some(DropReason::Replayed)
    );
}

#[test]
fn a_third_key_takes_the_place_of_the_oldest() {
    let mut intake = intake(1);
    let store = |n| ReplayStore::of(&secret(n));
    assert_eq!(intake.install(secret(2), store(2)), None);
    assert_eq!(intake.install(secret(2), store(2)), None);
    assert_eq!(
        intake.install(secret(3), store(3)),
        Some(secret(1).public())
    );
    assert!(intake.keys().eq([secret(3).public(), secret(2).public()]));
}

#[test]
fn what_a_neighbour_sends_beyond_its_rate_is_not_looked_at() {
    let mut intake = intake(1);
    let at = Instant::now();
    let packet = packet(1, 0);
    let mut batch = Batch::default();
    let good = Received {
        from: peer(2),
        at,
        packet: packet.clone(),
    };
    for _ in 0..crate::limits::NEIGHBOUR_BURST + 5 {
        let packet = Packet::from_slice(&[0xff; 4608]).unwrap();
        intake.take(
            Received {
                from: peer(1),
                at,
                packet,
            },
            &mut batch,
        );
    }
    intake.take(
        Received {
            from: peer(1),
            at,
            packet,
        },
        &mut batch,
    );
    let throttled = |reason: &&DropReason| **reason == DropReason::NeighbourRate;
    assert_eq!(batch.dropped.iter().filter(throttled).count(), 6);
    assert!(batch.peeled.is_empty() && batch.replay_tags == 0);
    intake.take(good, &mut batch);
    assert_eq!(batch.peeled.len(), 1);
}

/// Packets that verify under no key leave no trace.
#[test]
fn garbage_leaves_the_store_empty() {
    let mut intake = intake(1);
    let start = Instant::now();
    let mut packet = packet(2, 0);
    for n in 0..2_000_u32 {
        packet.as_mut()[608..612].copy_from_slice(&n.to_be_bytes());
        let mut batch = Batch::default();
        let at = start + Duration::from_secs(n.into());
        let packet = packet.clone();
        intake.take(
            Received {
                from: peer(1),
                at,
                packet,
            },
            &mut batch,
        );
        assert_eq!(
            (reason(&batch), batch.replay_tags),
            (Some(DropReason::Mac), 0)
        );
    }
}

#[test]
fn a_batch_that_cannot_be_saved_forwards_nothing() {
    let mut intake = intake(1);
    let batch = intake.take_one(received(&packet(1, 0))).unsaved();
    assert_eq!(reason(&batch), Some(DropReason::ReplayUnsaved));
    assert!(batch.records().is_empty() && !batch.forwards() && batch.len() == 1);
}
