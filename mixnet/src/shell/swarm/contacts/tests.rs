#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::descriptor::tests::{identity, peer_key};
use crate::descriptor::{Capabilities, Place, Statement};
use crate::limits::CONNECTIONS_KEPT_MAX;
use crate::sphinx::PublicKey;

const ANYWHERE: AddressPolicy = AddressPolicy {
    allow_private: true,
};

const BOTH: Dialled = Dialled {
    quic: true,
    tcp_first: false,
    policy: ANYWHERE,
};

fn node(n: u16, transport: Transport) -> Descriptor {
    let statement = Statement {
        address: Some(SocketAddrV4::new([127, 0, 0, 1].into(), 5000 + n)),
        transport,
        capabilities: Capabilities {
            relay: true,
            ..Capabilities::default()
        },
        ..Statement::new(0, PublicKey::from_bytes([9; 32]))
    };
    Descriptor::sign(statement, &identity(n)).unwrap()
}

fn topology(nodes: Vec<Descriptor>) -> Topology {
    let policy = AddressPolicy {
        allow_private: true,
    };
    Topology::new(nodes, policy).unwrap()
}

/// Takes the network in while nobody is connected; gives those to dial, in their order.
fn renew(contacts: &mut Contacts, nodes: &[Descriptor], now: Instant) -> Vec<PeerKey> {
    let mut dialled = contacts.renew(&topology(nodes.to_vec()), now, |_| false);
    dialled.sort_unstable();
    dialled
}

/// One contact, kept.
fn contacts(dialled: Dialled, transport: Transport, extra: &[&str]) -> (Contacts, PeerKey) {
    let peer = peer_key(1);
    let extra = extra.iter().map(|text| text.parse().unwrap()).collect();
    let mut contacts = Contacts::new(
        peer_key(9),
        CONNECTIONS_KEPT_MAX,
        dialled,
        BTreeMap::from([(peer, extra)]),
    );
    assert_eq!(
        renew(&mut contacts, &[node(1, transport)], Instant::now()),
        [peer]
    );
    (contacts, peer)
}

fn next(failed: Failed) -> ConnectionId {
    match failed {
        Failed::Next(options) => options.connection_id(),
        Failed::Ignore | Failed::NoRoute | Failed::NoCircuit => panic!("nothing to dial"),
    }
}

/// Where the dial that is under way goes.
fn place(contacts: &Contacts, peer: &PeerKey) -> String {
    let contact = &contacts.known[peer];
    match contact.state {
        State::Dialling { route, .. } => contact.routes[route].to_string(),
        _ => panic!("no dial is under way"),
    }
}

const TCP: &str = "/ip4/127.0.0.1/tcp/5001";
const QUIC: &str = "/ip4/127.0.0.1/udp/5001/quic-v1";

#[test]
fn the_named_transport_is_tried_first_and_then_the_other() {
    let light = Dialled {
        tcp_first: true,
        ..BOTH
    };
    for (dialled, named, order) in [
        (BOTH, Transport::Tcp, [TCP, QUIC]),
        (BOTH, Transport::Quic, [QUIC, TCP]),
        (light, Transport::Quic, [TCP, QUIC]),
    ] {
        let (mut contacts, peer) = contacts(dialled, named, &[]);
        let first = next(contacts.dial(&peer));
        assert_eq!(place(&contacts, &peer), order[0]);
        let second = next(contacts.dial_failed(&peer, first, false));
        assert_eq!(place(&contacts, &peer), order[1]);
        let end = contacts.dial_failed(&peer, second, false);
        assert!(matches!(end, Failed::NoRoute));
    }
}

#[test]
fn without_quic_only_tcp_is_dialled() {
    let tcp = Dialled {
        quic: false,
        ..BOTH
    };
    let (mut contacts, peer) = contacts(tcp, Transport::Quic, &[]);
    let first = next(contacts.dial(&peer));
    assert_eq!(place(&contacts, &peer), TCP);
    assert!(matches!(
        contacts.dial_failed(&peer, first, false),
        Failed::NoRoute
    ));
}

/// The further places of a descriptor come last, and only those that a node may dial.
#[test]
fn further_places_are_tried_where_they_may_be() {
    let further = |at: &str, transport| Place {
        transport,
        at: at.parse().unwrap(),
    };
    let mut statement = node(1, Transport::Tcp).statement().clone();
    statement.address = Some(SocketAddrV4::new([1, 1, 1, 1].into(), 5));
    statement.places = vec![
        further("[2606:4700::1]:6", Transport::Tcp),
        further("[2606:4700::1]:7", Transport::Quic),
        further("192.168.1.1:8", Transport::Tcp),
        further("1.1.1.1:5", Transport::Quic),
    ];
    let descriptor = Descriptor::sign(statement, &identity(1)).unwrap();
    let strict = Dialled {
        policy: AddressPolicy {
            allow_private: false,
        },
        ..BOTH
    };
    let routes = |dialled| {
        let mut contacts =
            Contacts::new(peer_key(9), CONNECTIONS_KEPT_MAX, dialled, BTreeMap::new());
        renew(
            &mut contacts,
            std::slice::from_ref(&descriptor),
            Instant::now(),
        );
        let routes = contacts.known[&peer_key(1)].routes.iter();
        routes.map(Multiaddr::to_string).collect::<Vec<_>>()
    };
    let (tcp, quic) = ("/ip4/1.1.1.1/tcp/5", "/ip4/1.1.1.1/udp/5/quic-v1");
    let six = "/ip6/2606:4700::1/tcp/6";
    let six_quic = "/ip6/2606:4700::1/udp/7/quic-v1";
    let home = "/ip4/192.168.1.1/tcp/8";
    assert_eq!(routes(strict), [tcp, quic, six, six_quic]);
    assert_eq!(routes(BOTH), [tcp, quic, six, six_quic, home]);
    let no_quic = Dialled {
        quic: false,
        ..strict
    };
    assert_eq!(routes(no_quic), [tcp, six]);
}

#[test]
fn a_host_that_refuses_is_not_asked_twice() {
    let (mut contacts, peer) = contacts(BOTH, Transport::Tcp, &["/ip6/::1/tcp/7"]);
    let first = next(contacts.dial(&peer));
    let second = next(contacts.dial_failed(&peer, first, true));
    assert_eq!(place(&contacts, &peer), "/ip6/::1/tcp/7");
    assert!(matches!(
        contacts.dial_failed(&peer, second, true),
        Failed::NoRoute
    ));
}

#[test]
fn what_worked_is_tried_first_the_next_time() {
    let now = Instant::now();
    let (mut contacts, peer) = contacts(BOTH, Transport::Tcp, &[]);
    let first = next(contacts.dial(&peer));
    let second = next(contacts.dial_failed(&peer, first, false));
    contacts.connected(&peer, second, now);
    assert_eq!(contacts.closed(&peer, now + STOOD), Closed::Dial);
    next(contacts.dial(&peer));
    assert_eq!(place(&contacts, &peer), QUIC);
}

#[test]
fn dials_of_others_change_nothing() {
    let (mut contacts, peer) = contacts(BOTH, Transport::Tcp, &[]);
    let ours = next(contacts.dial(&peer));
    let strange = ConnectionId::new_unchecked(9_999_999);
    assert!(matches!(
        contacts.dial_failed(&peer, strange, false),
        Failed::Ignore
    ));
    assert!(matches!(contacts.dial(&peer), Failed::Ignore));
    assert_eq!(place(&contacts, &peer), TCP);
    // Nor does a dial that ends after the peer has come by itself.
    contacts.connected(&peer, strange, Instant::now());
    assert!(matches!(
        contacts.dial_failed(&peer, ours, false),
        Failed::Ignore
    ));
    assert_eq!(contacts.wanted(&peer), Wanted::Wait);
}

#[test]
fn failures_are_followed_by_growing_pauses() {
    let (mut contacts, peer) = contacts(BOTH, Transport::Tcp, &[]);
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let by = next(contacts.dial(&peer));
        contacts.dial_failed(&peer, by, true);
        contacts.rest(&peer, now);
        assert_eq!(contacts.wanted(&peer), Wanted::Unreachable);
        let until = contacts.next_wake().unwrap();
        pauses.push(until - now);
        now = until;
        assert_eq!(contacts.wake(now), (vec![peer], vec![]));
    }
    assert_eq!(pauses[0], REDIAL_FIRST);
    assert_eq!(pauses[1], REDIAL_FIRST * 2);
    assert_eq!(pauses[7], REDIAL_MAX);
}

fn circuit() -> Vec<Multiaddr> {
    vec!["/ip4/127.0.0.1/tcp/1/p2p-circuit".parse().unwrap()]
}

/// Contacts of a node whose key is lower, or higher, than that of its one contact.
fn ranked(lower: bool) -> (Contacts, PeerKey, Instant) {
    let (mut contacts, peer) = contacts(BOTH, Transport::Tcp, &[]);
    let mut keys = (2..).map(peer_key);
    contacts.own = keys.find(|own| (*own < peer) == lower).unwrap();
    let first = next(contacts.dial(&peer));
    contacts.dial_failed(&peer, first, true);
    (contacts, peer, Instant::now())
}

#[test]
fn a_hole_is_punched_in_time_or_given_up() {
    let (mut contacts, peer, now) = ranked(true);
    assert!(contacts.punch(&peer, vec![], now).is_none());
    let met = contacts.punch(&peer, circuit(), now).unwrap();
    assert!(contacts.wanted(&peer) == Wanted::Wait);
    assert_eq!(contacts.next_wake(), Some(now + PUNCH_MAX));
    assert_eq!(contacts.wake(now + PUNCH_MAX), (vec![], vec![peer]));
    let ended = contacts.dial_failed(&peer, met.connection_id(), false);
    assert!(matches!(ended, Failed::NoCircuit));

    contacts.punch(&peer, circuit(), now).unwrap();
    contacts.connected(&peer, ConnectionId::new_unchecked(9_999_999), now);
    assert_eq!(contacts.next_wake(), None);
}

#[test]
fn the_one_with_the_higher_key_waits_for_the_other() {
    let (mut contacts, peer, mut now) = ranked(false);
    let mut rounds = 0;
    while contacts.punch(&peer, circuit(), now).is_none() {
        contacts.rest(&peer, now);
        now = contacts.next_wake().unwrap();
        contacts.wake(now);
        rounds += 1;
    }
    assert!((3..10).contains(&rounds), "{rounds}");
}

fn new() -> Contacts {
    Contacts::new(peer_key(9), CONNECTIONS_KEPT_MAX, BOTH, BTreeMap::new())
}

/// Both routes to a peer fail, and it rests.
fn fail(contacts: &mut Contacts, peer: &PeerKey, now: Instant) {
    let first = next(contacts.dial(peer));
    let end = contacts.dial_failed(peer, first, true);
    assert!(matches!(end, Failed::NoRoute));
    contacts.rest(peer, now);
}

/// Relays are dialled at once, a service when a packet is for it, and nobody dials itself.
#[test]
fn a_new_network_dials_its_relays_and_no_more() {
    let (mut contacts, now) = (new(), Instant::now());
    let mut statement = node(3, Transport::Tcp).statement().clone();
    statement.capabilities = Capabilities {
        bridge: true,
        ..Capabilities::default()
    };
    statement.gateway_key = Some([1; 32]);
    let service = Descriptor::sign(statement, &identity(3)).unwrap();
    let [one, two, own] = [1, 2, 9].map(|n| node(n, Transport::Tcp));
    let nodes = [one, two, service, own];
    let mut relays = [1, 2].map(peer_key);
    relays.sort_unstable();
    assert_eq!(renew(&mut contacts, &nodes, now), relays);
    assert_eq!(contacts.wanted(&peer_key(3)), Wanted::Dial);
    assert_eq!(contacts.wanted(&peer_key(9)), Wanted::Unreachable);
    // The same network again: who is being dialled or is connected is left alone.
    next(contacts.dial(&peer_key(1)));
    contacts.connected(&peer_key(2), ConnectionId::new_unchecked(0), now);
    assert_eq!(renew(&mut contacts, &nodes, now), []);
    assert_eq!(contacts.wanted(&peer_key(1)), Wanted::Wait);
}

#[test]
fn a_new_network_keeps_what_is_under_way() {
    let now = Instant::now();
    let (mut contacts, peer) = contacts(BOTH, Transport::Tcp, &[]);
    let first = next(contacts.dial(&peer));
    let nodes = [node(1, Transport::Quic), node(2, Transport::Tcp)];
    assert_eq!(renew(&mut contacts, &nodes, now), [peer_key(2)]);
    assert_eq!(contacts.place(&peer).unwrap().to_string(), QUIC);
    // The dial to the old place ends first; then the new one counts.
    assert!(matches!(
        contacts.dial_failed(&peer, first, false),
        Failed::NoRoute
    ));
    next(contacts.dial(&peer));
    assert_eq!(place(&contacts, &peer), QUIC);
    assert_eq!(renew(&mut contacts, &nodes[1..], now), [peer_key(2)]);
    assert_eq!(contacts.wanted(&peer), Wanted::Unreachable);
    assert_eq!(contacts.wanted(&peer_key(2)), Wanted::Dial);
}

/// An epoch without a relay: it is not dialled, and comes back as one that was never known.
#[test]
fn who_left_the_network_is_dialled_no_more() {
    let (mut contacts, now) = (new(), Instant::now());
    let nodes = [1, 2].map(|n| node(n, Transport::Tcp));
    let mut both = [1, 2].map(peer_key);
    both.sort_unstable();
    assert_eq!(renew(&mut contacts, &nodes, now), both);
    for peer in &both {
        fail(&mut contacts, peer, now);
    }
    assert_eq!(renew(&mut contacts, &nodes[..1], now), []);
    assert_eq!(contacts.wanted(&peer_key(2)), Wanted::Unreachable);
    assert_eq!(contacts.closed(&peer_key(2), now), Closed::Leave);
    assert_eq!(contacts.wake(now + REDIAL_MAX).0, [peer_key(1)]);
    assert_eq!(renew(&mut contacts, &nodes, now), both);
    assert_eq!(renew(&mut contacts, &[], now), []);
    assert_eq!(contacts.next_wake(), None);
}

#[test]
fn who_moved_is_dialled_at_the_new_place_at_once_and_who_did_not_rests_on() {
    let (mut contacts, now) = (new(), Instant::now());
    let nodes = [1, 2].map(|n| node(n, Transport::Tcp));
    renew(&mut contacts, &nodes, now);
    for peer in [1, 2].map(peer_key) {
        fail(&mut contacts, &peer, now);
    }
    let mut statement = nodes[1].statement().clone();
    statement.address = Some(SocketAddrV4::new([127, 0, 0, 1].into(), 6002));
    let moved = Descriptor::sign(statement, &identity(2)).unwrap();
    let [first, _] = nodes;
    assert_eq!(renew(&mut contacts, &[first, moved], now), [peer_key(2)]);
    let at = contacts.place(&peer_key(2)).unwrap().to_string();
    assert_eq!(at, "/ip4/127.0.0.1/tcp/6002");
}

/// The directory asked a node over a connection before the network named it as a relay.
#[test]
fn who_is_connected_before_it_is_known_is_not_dialled() {
    let (mut contacts, now) = (new(), Instant::now());
    let network = topology([1, 2].map(|n| node(n, Transport::Tcp)).to_vec());
    let dialled = contacts.renew(&network, now, |peer| *peer == peer_key(1));
    assert_eq!(dialled, [peer_key(2)]);
    assert_eq!(contacts.wanted(&peer_key(1)), Wanted::Wait);
    assert_eq!(contacts.closed(&peer_key(1), now + STOOD), Closed::Dial);
}
