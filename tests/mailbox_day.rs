//! A whole day in virtual time, with real packets through real cores: an edge goes offline, its bridge leaves what it owes in four
//! mailboxes of which one is dead and one lies, the bridge goes down, and the edge finds everything.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "mailbox_day/world.rs"]
mod world;

use std::time::Duration;

use bridge::port::Envelope;
use mixnet::Preset;
use world::{Fault, World, envelope};

const HOUR: Duration = Duration::from_secs(3_600);

/// Messages in the course of the day.
const MESSAGES: u32 = 24;

#[test]
#[ignore = "a day of packets takes a minute or more: make mailbox"]
fn an_edge_that_was_offline_for_a_day_gets_what_its_bridge_left_with_the_bridge_down() {
    let mut world = World::new(3, 4, 7);
    let quarter = world.now + HOUR / 4;
    assert!(
        world.run(quarter, |world| world
            .edge
            .as_ref()
            .is_some_and(|edge| edge.status().is_registered)),
        "registered"
    );
    // The live way works.
    let live = envelope(0, world.unix());
    world.whisper_says(&live);
    let limit = world.now + HOUR / 4;
    assert!(world.run(limit, |world| world.delivered.len() == 1), "live");

    // The day: the edge is gone, one mailbox is dead, one answers with lies.
    world.stop_edge();
    world.faults(&[Fault::Dead, Fault::Lying, Fault::None, Fault::None]);
    let mut said: Vec<Envelope> = Vec::new();
    for n in 1..=MESSAGES {
        let next = world.now + 24 * HOUR / MESSAGES;
        world.run(next, |_| false);
        let envelope = envelope(n, world.unix());
        world.whisper_says(&envelope);
        said.push(envelope);
    }
    let limit = world.now + HOUR;
    let all_left = |world: &World| {
        let status = world.bridge.as_ref().unwrap().status();
        status.messages_left == said.len() && status.payloads_leaving == 0
    };
    assert!(world.run(limit, all_left), "left in mailboxes");

    // The bridge goes down, and the edge comes back.
    world.stop_bridge();
    world.start_edge(Preset::FAST);
    let limit = world.now + HOUR;
    assert!(
        world.run(limit, |world| world.delivered.len() == 1 + said.len()),
        "{} of {} messages found",
        world.delivered.len() - 1,
        said.len()
    );
    for envelope in &said {
        assert_eq!(world.delivered[&envelope.facts.hash], 1, "handed over once");
    }
    let used = world.edge_node_status().mailboxes;
    assert!(used.lies > 0, "the liar was asked, and found out: {used:?}");
    assert!(used.silent > 0, "the dead one was asked: {used:?}");

    // A while later nothing has come a second time.
    let later = world.now + HOUR / 6;
    world.run(later, |_| false);
    assert!(world.delivered.values().all(|count| *count == 1));
}
