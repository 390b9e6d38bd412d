//! Networks of directories in memory and in virtual time: joining by one descriptor, epochs, churn, partitions, liars, floods,
//! wrong clocks, restarts, and traffic across the change of an epoch.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "directory/net.rs"]
mod net;

use std::net::SocketAddrV4;
use std::time::Duration;

use mixnet::descriptor::{Descriptor, Statement};
use mixnet::directory::active::Standing;
use mixnet::directory::limits::{GIFTS_BURST, REQUESTS_BURST};
use mixnet::directory::wire::{Refused, Request, Response};
use mixnet::directory::{Input, Output};
use mixnet::epoch::Epochs;
use mixnet::{Object, PublicKey, SendError, Transport};
use net::{Net, Role};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Relays, two bridges, two clients.
fn roles(relays: usize) -> Vec<Role> {
    let mut roles = vec![Role::Relay; relays];
    roles.extend([Role::Bridge, Role::Bridge, Role::Client, Role::Client]);
    roles
}

fn network(relays: usize) -> Net {
    Net::new(&roles(relays), Epochs::default(), false)
}

#[test]
fn everybody_finds_everybody_from_one_descriptor_in_seconds() {
    let mut net = network(8);
    let found = net.run_until(40 * SECOND, |net| net.agrees_on(10));
    assert!(found, "{:?}", net.roots());
    for n in 0..net.members.len() {
        let topology = &net.members[n].topology;
        assert_eq!(topology.bridges().count(), 2, "node {n}");
        assert_eq!(
            topology.relays_for(net.members[n].peer).count(),
            if n < 8 { 7 } else { 8 }
        );
        assert_eq!(net.status(n).root.unwrap().0, Standing::Young);
        assert_eq!(net.status(n).fork, None);
    }
}

#[test]
fn sets_change_with_the_epochs_and_nobody_is_ever_without_one() {
    let mut net = network(8);
    net.run(5 * MINUTE);
    let first = net.epoch();
    for step in 1..=4 {
        // The next set is there when its epoch begins, for clients too.
        net.run_to(1, SECOND);
        assert!(net.agrees_on(10), "epoch {step}");
        for n in 0..net.members.len() {
            let shown = net.members[n].topology.term().unwrap().epoch;
            assert_eq!(shown, first + step, "node {n}");
        }
        net.run(90 * MINUTE);
        assert!(net.agrees_on(10), "epoch {step}");
        let standing = if step < 2 {
            Standing::Young
        } else {
            Standing::Settled
        };
        for n in 0..net.members.len() {
            assert_eq!(net.status(n).root.unwrap().0, standing, "node {n}");
            assert_eq!(net.status(n).fork, None, "node {n}");
        }
    }
    // Each was shown each epoch's set, and none twice once the network was grown.
    for n in 0..net.members.len() {
        let of = |epoch| net.shown.iter().filter(|one| **one == (n, epoch)).count();
        assert_eq!((of(first + 3), of(first + 4)), (1, 1), "node {n}");
    }
}

#[test]
fn equal_registries_tell_each_other_in_a_hundred_bytes() {
    let mut net = Net::new(&[Role::Relay; 8], Epochs::default(), false);
    net.run(60 * MINUTE);
    let before: Vec<u64> = net.members.iter().map(|m| m.sent_bytes).collect();
    let rounds: Vec<u64> = (0..8).map(|n| net.status(n).rounds).collect();
    net.run(60 * MINUTE);
    let bytes: u64 = (0..8).map(|n| net.members[n].sent_bytes - before[n]).sum();
    let rounds: u64 = (0..8).map(|n| net.status(n).rounds - rounds[n]).sum();
    assert!(rounds >= 8 * 100, "{rounds}");
    // Both directions of a round.
    let each = bytes as f64 / rounds as f64;
    assert!((each - 128.0).abs() < 1.0, "{each}");
}

#[test]
fn newcomers_wait_two_epochs_and_know_the_set_of_the_others_at_once() {
    let mut net = network(6);
    net.run_to(3, 60 * MINUTE);
    let (relay, client) = (net.join(Role::Relay), net.join(Role::Client));
    net.run(2 * MINUTE);
    // It has seen nothing of the past, and does not make up a set of its own.
    assert!(net.agrees_on(8), "{:?}", net.roots());
    assert!(!net.members[relay].topology.is_empty());
    assert!(!net.members[client].topology.is_empty());
    net.run_to(1, 60 * MINUTE);
    assert!(net.agrees_on(8));
    net.run_to(1, 60 * MINUTE);
    assert!(net.agrees_on(9), "{:?}", net.roots());
    let peer = net.members[relay].peer;
    assert!(net.members[client].topology.get(&peer).is_some());
}

#[test]
fn who_leaves_is_forgotten_and_who_comes_is_found() {
    let mut net = network(10);
    net.run_to(2, 40 * MINUTE);
    for n in [1, 4, 7] {
        net.stop(n);
        net.join(Role::Relay);
    }
    net.run_to(2, 40 * MINUTE);
    // Seven of the old relays, three new ones, two bridges.
    assert!(net.agrees_on(12), "{:?}", net.roots());
    net.run_to(1, MINUTE);
    for n in net.running().collect::<Vec<_>>() {
        let gone = net.members[1].peer;
        assert!(net.members[n].topology.get(&gone).is_none(), "node {n}");
        assert_eq!(net.status(n).fork, None, "node {n}");
    }
}

#[test]
fn halves_that_lost_each_other_are_one_network_again() {
    let mut net = network(8);
    net.run_to(3, 40 * MINUTE);
    for n in 0..net.members.len() {
        net.members[n].group = (n % 2) as u8;
    }
    // For two epochs each half goes on by itself; the sets of the halves differ.
    net.run_to(3, 40 * MINUTE);
    assert_eq!(net.roots().len(), 2);
    for member in &mut net.members {
        member.group = 0;
    }
    net.run_to(1, 60 * MINUTE);
    net.run_to(3, 60 * MINUTE);
    assert!(net.agrees_on(10), "{:?}", net.roots());
    for n in 0..net.members.len() {
        assert_eq!(net.status(n).fork, None, "node {n}");
    }
}

#[test]
fn a_restart_goes_on_from_the_disk_without_any_seed() {
    let mut net = network(6);
    net.run_to(3, 40 * MINUTE);
    let root = net.roots();
    for n in [2, 6, 8] {
        net.save_now(n);
        net.stop(n);
    }
    // The seed is gone: only the file of known nodes leads back.
    net.stop(0);
    net.run(5 * MINUTE);
    for n in [2, 6, 8] {
        net.restart(n, false);
    }
    net.run(5 * MINUTE);
    assert_eq!(net.roots(), root);
    for n in [2, 6, 8] {
        assert_eq!(net.members[n].topology.len(), 8, "node {n}");
    }
    // Without file and seed there is nobody to ask.
    net.stop(8);
    net.restart(8, true);
    net.run(5 * MINUTE);
    assert!(net.status(8).unanswered > 3 && net.status(8).root.is_none());
}

/// Whom a node knew it knows after days without any of them, however often it was started meanwhile.
#[test]
fn who_finds_nobody_for_days_forgets_nobody() {
    let mut net = network(6);
    net.run_to(3, 40 * MINUTE);
    let away = [2, 8];
    for (n, group) in away.into_iter().zip(1..) {
        net.save_now(n);
        net.stop(n);
        net.members[n].group = group;
    }
    net.stop(0);
    net.run_to(12, MINUTE);
    for _ in 0..2 {
        for n in away {
            net.restart(n, false);
        }
        net.run(10 * MINUTE);
        for n in away {
            assert!(net.status(n).relays <= 1, "node {n}");
            net.save_now(n);
            net.stop(n);
        }
    }
    for n in away {
        net.members[n].group = 0;
        net.restart(n, false);
    }
    net.run(10 * MINUTE);
    // Four relays and two bridges; who was away so long is a newcomer.
    assert!(net.agrees_on(6), "{:?}", net.roots());
}

/// Test 45: a client that is given another root than others have refuses it and says so.
#[test]
fn two_roots_raise_an_alarm_and_are_not_used() {
    let mut net = network(7);
    net.run_to(3, 60 * MINUTE);
    let epoch = net.epoch();
    let good = net.roots();
    // From now on relay 3 leaves a node out of the set that it shows, consistently: its root is another one.
    let victim = net.members[5].peer;
    let set: Vec<Descriptor> = {
        let set = net.members[3].directory.set(epoch).unwrap();
        set.descriptors()
            .filter(|d| d.peer() != victim)
            .cloned()
            .collect()
    };
    let forged_root = [0x66; 32];
    net.tamper = Box::new(move |n, response| match (n, response) {
        (3, Response::State(mut state)) if state.epoch == epoch => {
            state.root = Some((Standing::Settled, forged_root));
            Response::State(state)
        }
        (3, Response::Page { epoch, young, .. }) => Response::Page {
            epoch,
            young,
            total: set.len() as u16,
            from: 0,
            descriptors: set.iter().map(Descriptor::to_bytes).collect(),
        },
        (_, other) => other,
    });
    // Clients that ask the liar among their three see two roots; those that do not get the good set.
    let mut alarmed = 0;
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(net.join(Role::Client));
    }
    for _ in 0..120 {
        net.run(SECOND / 4);
        let status = |n: &usize| net.status(*n);
        alarmed += clients.iter().filter(|n| status(n).fork.is_some()).count();
    }
    assert!(alarmed > 0);
    for n in &clients {
        let root = net.status(*n).root.map(|(_, root)| root);
        assert!(good.contains(&root), "a forged root was adopted");
        let fork = net.status(*n).fork;
        assert!(fork.is_none_or(|fork| fork.roots.len() == 2));
    }
    // Full directories hear the liar's root as one of nine voices, which is more than a tenth.
    let limit = net.now + 30 * MINUTE;
    assert!(net.run_until(limit, |net| net.status(0).fork.is_some()));
    let fork = net.status(0).fork.unwrap();
    assert_eq!(fork.epoch, epoch);
    assert!(fork.roots.iter().any(|(root, _)| *root == forged_root));
}

#[test]
fn a_set_with_forged_descriptors_is_never_adopted() {
    let mut net = network(5);
    net.run_to(3, 60 * MINUTE);
    // Everybody lies in pages: a flipped byte, another order of pages, another root.
    let mut turn = 0;
    net.tamper = Box::new(move |_, response| match response {
        Response::Page {
            epoch,
            young,
            total,
            from,
            mut descriptors,
        } => {
            if descriptors.is_empty() {
                return Response::Refused(Refused::NoSet);
            }
            turn += 1;
            let mut total = total;
            match turn % 4 {
                0 => descriptors[0][70] ^= 1,
                1 => descriptors.truncate(2),
                2 => drop(descriptors.pop()),
                _ => total += 1,
            }
            if turn % 4 == 2 {
                total -= 1;
            }
            Response::Page {
                epoch,
                young,
                total,
                from,
                descriptors,
            }
        }
        other => other,
    });
    let client = net.join(Role::Client);
    net.run(5 * MINUTE);
    assert!(net.members[client].topology.is_empty());
    let refused = net.status(client).refused;
    assert!(
        refused.contains_key("page") && refused.contains_key("root"),
        "{refused:?}"
    );
    net.tamper = Box::new(|_, response| response);
    net.run(MINUTE);
    assert_eq!(net.members[client].topology.len(), 7);
}

#[test]
fn floods_are_throttled_and_leave_nothing_behind() {
    let mut net = network(4);
    net.run(2 * MINUTE);
    let (known, before) = (net.status(0).registered, net.members[0].sent_bytes);
    let from = net.members[6].peer;
    // Garbage that looks like descriptors of this epoch from nodes that do not exist.
    let template = net.members[1].directory.own_descriptor().unwrap();
    let template = template.to_bytes();
    let mut answered = 0;
    for n in 0..20_000u32 {
        let mut forged = template.clone();
        forged[10..14].copy_from_slice(&n.to_be_bytes());
        let request = Request::Swap {
            wants: vec![from],
            gives: vec![forged; 32],
        };
        let now = net.now_of(0);
        let input = Input::Request {
            from,
            id: u64::from(n) << 32,
            request,
        };
        let directory = &mut net.members[0].directory;
        directory.handle(now, input);
        while let Some(output) = directory.poll_output() {
            if let Output::Answer { response, .. } = output {
                answered += u32::from(!matches!(response, Response::Refused(_)));
            }
        }
    }
    assert_eq!(net.status(0).registered, known);
    assert!(
        answered <= REQUESTS_BURST.min(GIFTS_BURST / 32),
        "{answered}"
    );
    assert_eq!(net.status(0).throttled, u64::from(20_000 - answered));
    // The proof of work tells garbage without a look at its signature.
    let refused = net.status(0).refused;
    assert_eq!(
        refused.get("proof"),
        Some(&(u64::from(answered) * 32)),
        "{refused:?}"
    );
    // Others are served as before.
    net.run(MINUTE);
    assert!(net.members[0].sent_bytes > before && net.agrees_on(6));
}

/// Test 32: two minutes are nothing, forty-five are too much and are said.
#[test]
fn a_clock_that_is_a_little_wrong_works_and_one_that_is_very_wrong_refuses() {
    for (minutes, off) in [(2i64, false), (-2, false), (45, true), (-45, true)] {
        // Where nothing will arrive, only the client has a mix node.
        let mut net = Net::new(&roles(4), Epochs::default(), !off);
        net.run(10 * SECOND);
        net.traffic = true;
        let client = net.join_with(Role::Client, minutes * 60_000);
        net.run(20 * SECOND);
        let bridge = net.members[4].peer;
        let object = Object {
            kind: 1,
            tag: [7; 16],
            bytes: vec![5; 100],
        };
        let status = net.status(client);
        let mix = net.members[client].mix.as_mut().unwrap();
        let sent = mix.node.send(bridge, object);
        if off {
            let Err(SendError::ClockOff(off)) = sent else {
                panic!("{sent:?} {status:?}");
            };
            let message = off.to_string();
            let side = if minutes > 0 { "ahead of" } else { "behind" };
            assert!(
                message.contains("45 minutes") && message.contains(side),
                "{message}"
            );
            assert!(net.members[client].topology.is_empty());
            // The clock is set: everything works again.
            net.members[client].skew_ms = 0;
            net.run(3 * MINUTE);
            assert_eq!(net.members[client].clock_off, None);
            assert!(!net.members[client].topology.is_empty());
        } else {
            assert_eq!(sent, Ok(()), "{status:?}");
            let limit = net.now + 30 * SECOND;
            assert!(net.run_until(limit, |net| !net.delivered.is_empty()));
        }
    }
}

/// Rotation in the middle of traffic: 0 of the objects are lost across five changes, with clocks that differ by up to half
/// of the grace.
#[test]
fn no_object_is_lost_while_keys_rotate() {
    let epochs = Epochs::new(32).unwrap();
    let mut net = Net::new(&[], epochs, true);
    for (n, role) in roles(5).into_iter().enumerate() {
        let skew = [0, 1_000, -1_000, 500, -500][n % 5];
        net.join_with(role, skew);
    }
    assert!(net.run_until(30 * SECOND, |net| {
        net.running().all(|n| net.members[n].topology.len() == 7)
    }));
    let (first, bridge) = (net.epoch(), net.members[5].peer);
    let clients = [7, 8];
    let mut sent = 0u32;
    while net.epoch() < first + 5 {
        for client in clients {
            let object = Object {
                kind: 1,
                tag: [1; 16],
                bytes: sent.to_be_bytes().to_vec(),
            };
            let mix = net.members[client].mix.as_mut().unwrap();
            mix.node.send(bridge, object).unwrap();
            sent += 1;
        }
        net.run(SECOND);
    }
    let limit = net.now + 60 * SECOND;
    let all = sent as usize;
    assert!(
        net.run_until(limit, |net| net.delivered.len() >= all),
        "{} of {all}",
        net.delivered.len()
    );
    let mut numbers: Vec<u32> = net
        .delivered
        .iter()
        .map(|(_, object)| u32::from_be_bytes(object.bytes[..].try_into().unwrap()))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..sent).collect::<Vec<_>>());
    for member in &net.members {
        let counters = member.mix.as_ref().unwrap().node.status().counters;
        assert_eq!(counters.dropped_total(), 0, "{counters:?}");
    }
}

#[test]
fn a_new_address_is_known_within_a_minute() {
    let mut net = network(5);
    net.run(5 * MINUTE);
    let mut profile = net::profile(2, Role::Relay);
    profile.address = Some("127.0.0.9:999".parse().unwrap());
    net.input(2, Input::Profile(profile.clone()));
    let peer = net.members[2].peer;
    let limit = net.now + 2 * MINUTE;
    let moved = |net: &Net, n: usize| {
        let known = net.members[n].topology.get(&peer);
        known.is_some_and(|known| known.address() == profile.address)
    };
    assert!(net.run_until(limit, |net| net.running().all(|n| moved(net, n))));
}

/// What a node says last counts, though all of it is said in one second, with a restart in between.
#[test]
fn the_last_word_counts_even_in_the_same_second() {
    let mut net = network(5);
    net.run(5 * MINUTE);
    let mut profile = net::profile(2, Role::Relay);
    for port in 901..=906 {
        profile.address = Some(SocketAddrV4::new([127, 0, 0, 9].into(), port));
        net.input(2, Input::Profile(profile.clone()));
        let own = net.members[2].directory.own_descriptor().unwrap();
        assert_eq!(own.address(), profile.address);
    }
    // It comes back where it was first.
    net.save_now(2);
    net.stop(2);
    net.restart(2, false);
    let first = net::profile(2, Role::Relay).address;
    let own = net.members[2].directory.own_descriptor().unwrap();
    assert_eq!(own.address(), first);
    let (peer, limit) = (net.members[2].peer, net.now + 2 * MINUTE);
    let knows = |net: &Net, n: usize| {
        let known = net.members[n].topology.get(&peer);
        known.is_some_and(|known| known.address() == first)
    };
    assert!(net.run_until(limit, |net| net.running().all(|n| knows(net, n))));
}

#[test]
fn a_found_node_is_asked_and_becomes_known() {
    let mut net = network(3);
    net.run(MINUTE);
    // Somebody who knows nobody and is known to nobody.
    let mut other = Net::new(&[Role::Relay], Epochs::default(), false);
    other.run(SECOND);
    let statement = Statement {
        address: Some("127.0.0.1:4003".parse().unwrap()),
        ..Statement::new(0, PublicKey::from_bytes([9; 32]))
    };
    let lonely = Descriptor::sign(statement, &net::identity(100)).unwrap();
    assert_eq!(lonely.transport(), Transport::Tcp);
    net.input(1, Input::Found(mixnet::directory::Contact::of(&lonely)));
    let before = net.status(1).unanswered;
    net.run(MINUTE);
    // It is asked once, and nothing is believed of it.
    assert_eq!(net.status(1).registered, 5);
    assert!(before == 0 && net.agrees_on(5));
}
