//! Mailboxes on virtual time, with real packets: when a client sends does not depend on what it finds.

use std::time::Duration;

use mixnet::mailbox::cell::seal_part;
use mixnet::mailbox::{ChainKey, Event, MemoryCells, Put, Request, Server, ServerConfig};
use mixnet::{DropReason, PacketKind, Preset};

use crate::sim::{Role, World};
use crate::{SECOND, seconds};

fn key() -> ChainKey {
    ChainKey::from_bytes([5; 32])
}

/// What one run of two minutes of a client shows.
struct Run {
    /// When it sent.
    times: Vec<Duration>,
    polls: u64,
    cover: u64,
    found: usize,
}

/// A client that watches a chain, or none, in which so many boxes are full.
fn run(watches: bool, cells: u64) -> Run {
    let mut world = World::new(3, 1, 1, Preset::FAST, 3);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    world.members[service].node.serve_mailbox(true);
    let config = ServerConfig::default();
    let mut server = Server::open(config, MemoryCells::default(), [1; 32]).unwrap();
    for index in 0..cells {
        let put = Put {
            id: key().box_id(index),
            proof: key().proof(index),
            cell: seal_part(&key(), index, &index.to_be_bytes(), 0).unwrap(),
        };
        let block = world.blocks(service, 1).pop().unwrap();
        let request = Request::decode_put(&put.encode(&block)).unwrap();
        server
            .serve(world.time().unix_ms / 1000, vec![request])
            .unwrap();
    }
    if watches {
        world.members[client].node.watch([1; 16], key(), 0).unwrap();
    }
    while world.now < seconds(120) {
        let next = world.now + SECOND;
        world.run(next, |_| false);
        let requests = std::mem::take(&mut world.requests);
        let requests: Vec<Request> = requests.into_iter().map(|(_, request)| request).collect();
        let now = world.time();
        let answers = server.serve(now.unix_ms / 1000, requests).unwrap();
        world.members[service].node.answer(now, answers);
    }
    let counters = world.members[client].node.status().counters;
    let sent = world.wires.iter().filter(|wire| wire.from == client);
    let is_found = |(_, event): &&(usize, Event)| matches!(event, Event::Found { .. });
    Run {
        times: sent.map(|wire| wire.at).collect(),
        polls: counters.sent(PacketKind::Poll),
        cover: counters.sent(PacketKind::Drop),
        found: world.mail.iter().filter(is_found).count(),
    }
}

#[test]
fn polls_take_the_slots_of_drop_cover_whatever_they_find() {
    let (without, nothing, much) = (run(false, 0), run(true, 0), run(true, 30));
    assert_eq!((without.polls, without.found), (0, 0));
    assert!(
        without.cover > 30,
        "{} packets of drop cover",
        without.cover
    );
    for run in [&nothing, &much] {
        assert_eq!((run.polls, run.cover), (without.cover, 0));
        assert!(run.times == without.times, "no slot is moved or added");
    }
    assert_eq!((nothing.found, much.found), (0, 30));
}

#[test]
fn a_node_that_is_no_mailbox_drops_what_is_for_one() {
    let mut world = World::new(3, 1, 1, Preset::FAST, 4);
    let (client, service) = (world.first(Role::Client), world.first(Role::Service));
    world.members[client].node.watch([1; 16], key(), 0).unwrap();
    world.run(seconds(60), |_| false);
    let counters = world.members[service].node.status().counters;
    assert!(counters.dropped(DropReason::NoMailbox) > 10);
    assert!(world.requests.is_empty());
    let used = world.members[client].node.status().mailboxes;
    assert!(used.silent > 5, "{used:?}");
}
