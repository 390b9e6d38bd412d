//! The network changes while messages wait: what is for those who left, and what waits for the network of the next epoch.

use mixnet::fragment::frames_for;
use mixnet::node::Input;
use mixnet::{AddressPolicy, DropReason, PacketKind, PeerKey, Preset, SendError, Topology};

use crate::seconds;
use crate::sim::{Role, World, object};

/// The network of `world` without these.
fn network(world: &World, without: &[PeerKey]) -> Topology {
    let stays = world
        .network
        .iter()
        .filter(|d| !without.contains(&d.peer()));
    let policy = AddressPolicy {
        allow_private: true,
    };
    Topology::new(stays.cloned().collect(), policy).unwrap()
}

/// Frames for a bridge that left are dropped and counted, each in a slot that cover takes; those behind them arrive.
#[test]
fn frames_for_a_service_that_left_are_dropped_and_hold_up_nobody() {
    let mut world = World::new(4, 2, 1, Preset::FAST, 41);
    let (client, leaves) = (world.first(Role::Client), world.first(Role::Service));
    let stays = leaves + 1;
    let (gone, to) = (world.peer(leaves), world.peer(stays));
    let (long, short) = (40_000, 500);
    let node = &mut world.members[client].node;
    node.send(gone, object(1, long)).unwrap();
    node.send(gone, object(2, short)).unwrap();
    node.send(to, object(3, short)).unwrap();
    let left = network(&world, &[gone]);
    world.input(client, Input::Topology(left));
    let dropped = frames_for(long) + frames_for(short);
    let done = |w: &World| {
        let counters = w.members[client].node.status().counters;
        let gone = counters.dropped(DropReason::ServiceGone) as usize;
        gone == dropped && w.delivered_to(stays).count() == 1
    };
    assert!(world.run(seconds(60), done));
    let status = world.members[client].node.status();
    assert_eq!(status.frames_queued, 0);
    assert_eq!(status.counters.slots_without_path, 0);
    let cover = status.counters.sent(PacketKind::PayloadCover) as usize;
    assert!(cover >= dropped, "{cover}");
    assert_eq!(world.delivered_to(leaves).count(), 0);
    let node = &mut world.members[client].node;
    let refused = node.send(gone, object(1, 1));
    assert_eq!(refused, Err(SendError::UnknownService(gone)));
}

/// While the network of the epoch is not known, what is for those of the last one is taken, and waits.
#[test]
fn frames_wait_for_the_network_of_the_next_epoch() {
    let mut world = World::new(4, 1, 1, Preset::FAST, 42);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    let to = world.peer(service);
    world.members[client]
        .node
        .send(to, object(1, 9_000))
        .unwrap();
    world.input(client, Input::Topology(Topology::default()));
    world.members[client]
        .node
        .send(to, object(2, 9_000))
        .unwrap();
    let stranger = PeerKey::from_bytes([2; 33]).unwrap();
    let refused = world.members[client].node.send(stranger, object(1, 1));
    assert_eq!(refused, Err(SendError::UnknownService(stranger)));
    world.run(seconds(30), |_| false);
    assert_eq!(world.delivered_to(service).count(), 0);
    let known = network(&world, &[]);
    world.input(client, Input::Topology(known));
    let limit = world.now + seconds(60);
    assert!(world.run(limit, |w| w.delivered_to(service).count() == 2));
    let counters = world.members[client].node.status().counters;
    assert_eq!(counters.dropped(DropReason::ServiceGone), 0);
}
