//! A network in virtual time in which everything goes wrong at once, and no packet disappears uncounted.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "network/sim.rs"]
#[allow(dead_code)]
mod sim;

use std::net::Ipv4Addr;
use std::time::Duration;

use mixnet::node::Input;
use mixnet::{
    Address, DropReason, Hop, Packet, PacketKind, Preset, ReplayStore, SecretKey, Transport, build,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sim::{Role, World, object};

/// Every packet that a member received went on, ended, was dropped for a reason, or rests in it.
fn account(world: &World) {
    for (n, member) in world.members.iter().enumerate() {
        let status = member.node.status();
        let missing = status.counters.missing(status.packets_delayed);
        assert_eq!(missing, 0, "member {n}: {status:?}");
    }
}

/// What happens next.
fn strike(world: &mut World, rng: &mut ChaCha20Rng) {
    let relay = rng.next_u32() as usize % 5;
    let (service, client) = (world.first(Role::Service), world.first(Role::Client));
    let from = world.peer(client);
    match rng.next_u32() % 9 {
        0 if world.members[relay].running => world.kill(relay),
        0 | 1 => back(world, relay),
        2 => {
            let to = world.peer(service);
            let len = rng.next_u32() as usize % 20_000;
            // A full queue is the sender's matter.
            let _ = world.members[client].node.send(to, object(1, len));
        }
        3 => {
            let now = world.time();
            let blocks = world.members[client].node.make_surbs(now, 1);
            // Without relays there are none, and a queue may be full.
            let _ = blocks.map(|blocks| world.members[service].node.reply(blocks, object(2, 99)));
        }
        4 => flood(world, rng, relay),
        5 => {
            // The key changes; what is under way for the one before it is still good.
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            let key = SecretKey::from_bytes(secret);
            let (id, store) = (key.public(), ReplayStore::of(&key));
            world.members[relay].intake.install(key, store);
            world.input(relay, Input::Key(id));
        }
        6 => {
            let junk = Box::new(std::array::from_fn(|_| rng.next_u32() as u8));
            world.packet(relay, from, Packet::from(junk));
        }
        7 => world.input(relay, Input::Unreachable(from)),
        _ => {
            let percent = rng.next_u32() % 40;
            let mut dice = ChaCha20Rng::seed_from_u64(rng.next_u64());
            world.keep = Box::new(move |_, _| dice.next_u32() % 100 >= percent);
        }
    }
}

fn back(world: &mut World, relay: usize) {
    if !world.members[relay].running {
        world.revive(relay);
    }
}

/// A member as a hop, by its newest key.
fn hop(world: &World, member: usize) -> Hop {
    let member = &world.members[member];
    Hop {
        key: member.intake.keys().next().unwrap(),
        address: Address::direct(Ipv4Addr::LOCALHOST, Transport::Tcp, 1, member.peer),
    }
}

/// A neighbour sends far more than it may, packets that ask for long delays.
fn flood(world: &mut World, rng: &mut ChaCha20Rng, relay: usize) {
    let from = world.peer(world.first(Role::Client));
    let (own, next) = (hop(world, relay), hop(world, (relay + 1) % 5));
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    for n in 0..1_050_u32 {
        secret[..4].copy_from_slice(&n.to_be_bytes());
        let built = build(
            &[own, next],
            &[u16::MAX],
            &secret,
            &[0; 3968],
            &Address::NONE,
        );
        world.packet(relay, from, built.unwrap().0);
    }
}

#[test]
fn no_packet_disappears_uncounted() {
    let mut reasons = [0_u64; DropReason::ALL.len()];
    for seed in 1..=2 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut world = World::new(5, 1, 1, Preset::FAST, seed as u8);
        for step in 1..=45 {
            strike(&mut world, &mut rng);
            account(&world);
            world.run(Duration::from_millis(step * 500), |_| false);
            account(&world);
        }
        // Whoever is dead comes back, and everything comes to rest.
        (0..5).for_each(|relay| back(&mut world, relay));
        world.run(Duration::from_secs(60), |_| false);
        account(&world);
        for member in &world.members {
            let counters = member.node.status().counters;
            assert!(counters.sent(PacketKind::Forward) <= counters.received);
            for (sum, reason) in reasons.iter_mut().zip(DropReason::ALL) {
                *sum += counters.dropped(*reason);
            }
        }
    }
    // It did go wrong.
    for reason in [
        DropReason::NeighbourRate,
        DropReason::NonCanonicalAlpha,
        DropReason::Mac,
        DropReason::DelayCapped,
    ] {
        assert!(reasons[reason as usize] > 0, "no packet met with {reason}");
    }
}
