//! A day in virtual time, and two hours of it in every test run, with real packets through real cores: an edge goes offline, its bridge leaves what it owes in four
//! mailboxes of which one is dead and one lies, the bridge goes down, and the edge finds everything.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "mailbox_day/world.rs"]
mod world;

use std::time::Duration;

use bridge::port::Envelope;
use mixnet::Preset;
use world::{Fault, World, envelope};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
#[ignore = "a day of packets takes a minute or more: make mailbox"]
fn an_edge_that_was_offline_for_a_day_gets_what_its_bridge_left_with_the_bridge_down() {
    away(24, 24);
}

#[test]
fn an_edge_that_was_offline_for_two_hours_gets_what_its_bridge_left_with_the_bridge_down() {
    away(2, 8);
}

/// The edge is away for so many hours, and so many messages come in the course of them.
fn away(hours: u32, messages: u32) {
    let mut world = World::new(3, 4, 7);
    let quarter = world.now + HOUR / 4;
    assert!(
        world.run(quarter, |world| world
            .edge
            .as_ref()
            .is_some_and(|edge| edge.status().is_registered)),
        "registered"
    );
    // The live way works. The edge goes before its acknowledgement left, so that this message is owed, too.
    let live = envelope(0, world.unix());
    world.whisper_says(&live);
    let limit = world.now + HOUR / 4;
    assert!(world.run(limit, |world| world.delivered.len() == 1), "live");

    // The edge is gone, one mailbox is dead, one answers with lies.
    world.stop_edge();
    world.faults(&[Fault::Dead, Fault::Lying, Fault::None, Fault::None]);
    let mut said: Vec<Envelope> = Vec::new();
    for n in 1..=messages {
        let next = world.now + hours * HOUR / messages;
        world.run(next, |_| false);
        let envelope = envelope(n, world.unix());
        world.whisper_says(&envelope);
        said.push(envelope);
    }
    let limit = world.now + HOUR;
    let began = world.now;
    let all_left = |world: &World| {
        let status = world.bridge.as_ref().unwrap().status();
        status.messages_left == 1 + said.len() && status.payloads_leaving == 0
    };
    let is_left = world.run(limit, all_left);
    let status = world.bridge.as_ref().unwrap().status();
    assert!(is_left, "left in mailboxes: {status:?}");
    println!("the last is in mailboxes after {:?}", world.now - began);

    // The bridge goes down, and the edge comes back.
    world.stop_bridge();
    world.start_edge(Preset::FAST);
    let (began, limit) = (world.now, world.now + HOUR);
    assert!(
        world.run(limit, |world| world.delivered.len() == 1 + said.len()),
        "{} of {} messages found",
        world.delivered.len() - 1,
        said.len()
    );
    println!(
        "{messages} messages are found {:?} after the edge is back",
        world.now - began
    );
    let used = world.edge_node_status().mailboxes;
    println!("{used:?}");

    // A while later nothing has come a second time, and both bad mailboxes were met.
    let later = world.now + HOUR / 6;
    world.run(later, |_| false);
    for envelope in said.iter().chain([&live]) {
        assert_eq!(world.delivered[&envelope.facts.hash], 1, "handed over once");
    }
    let used = world.edge_node_status().mailboxes;
    assert!(used.lies > 0, "the liar was asked, and found out: {used:?}");
    assert!(used.silent > 0, "the dead one was asked: {used:?}");
}
