#![allow(clippy::unwrap_used)]
use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::address::AddressPolicy;
use crate::descriptor::tests::{identity, peer_key};
use crate::descriptor::{Capabilities, Statement};
use crate::sphinx::PublicKey;

const OWN: u16 = 99;

/// A node that listens at this port; who is a relay is kept.
fn node(n: u16, port: u16, relay: bool) -> Descriptor {
    let statement = Statement {
        address: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)),
        capabilities: Capabilities {
            relay,
            mailbox: !relay,
            ..Capabilities::default()
        },
        ..Statement::new(0, PublicKey::from_bytes([9; 32]))
    };
    Descriptor::sign(statement, &identity(n)).unwrap()
}

fn network(nodes: impl IntoIterator<Item = Descriptor>) -> Topology {
    let policy = AddressPolicy {
        allow_private: true,
    };
    Topology::new(nodes.into_iter().collect(), policy).unwrap()
}

/// Takes the network in while nobody is connected; gives those to dial, in their order.
fn renew(contacts: &mut Contacts, nodes: &[Descriptor], now: Instant) -> Vec<PeerKey> {
    let network = network(nodes.iter().cloned());
    let mut dialled = contacts.renew(&network, peer_key(OWN), now, |_| false);
    dialled.sort_unstable();
    dialled
}

fn keys(numbers: &[u16]) -> Vec<PeerKey> {
    let mut keys: Vec<PeerKey> = numbers.iter().map(|n| peer_key(*n)).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_new_network_dials_its_relays_and_no_more() {
    let mut contacts = Contacts::default();
    let now = Instant::now();
    let nodes = [
        node(1, 1001, true),
        node(2, 1002, true),
        node(3, 1003, false),
        node(OWN, 1099, true),
    ];
    assert_eq!(renew(&mut contacts, &nodes, now), keys(&[1, 2]));
    assert_eq!(contacts.wanted(&peer_key(3)), Wanted::Dial);
    assert_eq!(contacts.wanted(&peer_key(OWN)), Wanted::Unreachable);
    // The same network again: who is being dialled or is connected is left alone.
    contacts.dialling(&peer_key(1));
    contacts.connected(&peer_key(2), now);
    assert_eq!(renew(&mut contacts, &nodes, now), []);
    assert_eq!(contacts.wanted(&peer_key(1)), Wanted::Wait);
}

/// An epoch without a relay: it is not dialled, and comes back as one that was never known.
#[test]
fn who_left_the_network_is_dialled_no_more() {
    let mut contacts = Contacts::default();
    let now = Instant::now();
    let (one, two) = (node(1, 1001, true), node(2, 1002, true));
    renew(&mut contacts, &[one.clone(), two.clone()], now);
    for n in [1, 2] {
        contacts.dialling(&peer_key(n));
        contacts.failed(&peer_key(n), now);
    }
    assert_eq!(renew(&mut contacts, std::slice::from_ref(&one), now), []);
    assert_eq!(contacts.wanted(&peer_key(2)), Wanted::Unreachable);
    assert_eq!(contacts.closed(&peer_key(2), now), Closed::Leave);
    assert_eq!(contacts.wake(now + REDIAL_MAX), keys(&[1]));
    assert_eq!(renew(&mut contacts, &[one, two], now), keys(&[1, 2]));
    assert_eq!(renew(&mut contacts, &[], now), []);
    assert_eq!(contacts.next_wake(), None);
}

#[test]
fn who_moved_is_dialled_at_the_new_place_at_once_and_who_did_not_rests_on() {
    let mut contacts = Contacts::default();
    let now = Instant::now();
    renew(
        &mut contacts,
        &[node(1, 1001, true), node(2, 1002, true)],
        now,
    );
    for n in [1, 2] {
        contacts.dialling(&peer_key(n));
        contacts.failed(&peer_key(n), now);
    }
    let moved = [node(1, 1001, true), node(2, 2002, true)];
    assert_eq!(renew(&mut contacts, &moved, now), keys(&[2]));
    let (_, places) = contacts.route(&peer_key(2)).unwrap();
    assert_eq!(places, ["/ip4/127.0.0.1/tcp/2002".parse().unwrap()]);
    // A dial to the old place that is under way ends first; then the new one counts.
    contacts.dialling(&peer_key(2));
    let again = [node(1, 1001, true), node(2, 3002, true)];
    assert_eq!(renew(&mut contacts, &again, now), []);
    contacts.failed(&peer_key(2), now);
    assert!(contacts.wake(now + REDIAL_MAX).contains(&peer_key(2)));
    let (_, places) = contacts.route(&peer_key(2)).unwrap();
    assert_eq!(places, ["/ip4/127.0.0.1/tcp/3002".parse().unwrap()]);
}

/// The directory asked a node over a connection before the network named it as a relay.
#[test]
fn who_is_connected_before_it_is_known_is_not_dialled() {
    let mut contacts = Contacts::default();
    let now = Instant::now();
    let network = network([node(1, 1001, true), node(2, 1002, true)]);
    let there = super::super::peer_id(&peer_key(1)).unwrap();
    let dialled = contacts.renew(&network, peer_key(OWN), now, |id| *id == there);
    assert_eq!(dialled, keys(&[2]));
    assert_eq!(contacts.wanted(&peer_key(1)), Wanted::Wait);
    assert_eq!(contacts.closed(&peer_key(1), now + STOOD), Closed::Dial);
}

#[test]
fn a_place_over_quic_is_not_dialled() {
    let mut contacts = Contacts::default();
    let statement = Statement {
        transport: Transport::Quic,
        ..node(1, 1001, true).statement().clone()
    };
    let quic = Descriptor::sign(statement, &identity(1)).unwrap();
    assert_eq!(renew(&mut contacts, &[quic], Instant::now()), []);
    assert_eq!(contacts.wanted(&peer_key(1)), Wanted::Unreachable);
}
