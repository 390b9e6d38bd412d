//! Nodes behind routers that translate addresses, between network namespaces on this machine.
//!
//! It needs root, `ip` and `nft`. Where these are missing it says so on its standard output, which `cargo test` shows because this
//! program has no test harness, and is over.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[path = "nat/lab.rs"]
#[allow(unreachable_pub)]
mod lab;
#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "nat/peer.rs"]
#[allow(unreachable_pub)]
mod peer;

use std::net::SocketAddrV4;
use std::time::Duration;

use lab::{Host, Lab};
use mixnet::Transport;
use net::{Net, Role};
use peer::{Peer, Plan};

fn main() {
    peer::serve_if_child();
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let tests: [(&str, fn()); 3] = [
        ("a_client_behind_a_router_is_reached_over_tcp", || {
            a_client_behind_a_router_is_reached(Transport::Tcp)
        }),
        ("a_client_behind_a_router_is_reached_over_quic", || {
            a_client_behind_a_router_is_reached(Transport::Quic)
        }),
        (
            "two_relays_behind_two_routers_punch_holes",
            two_relays_behind_two_routers_punch_holes,
        ),
    ];
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let missing = lab::missing();
    // Each has namespaces of its own, and spends its time waiting.
    std::thread::scope(|scope| {
        for (name, test) in tests.into_iter().filter(|(name, _)| is_wanted(name)) {
            match &missing {
                Some(why) => println!("nat: {name} ... skipped: {why}"),
                None => {
                    scope.spawn(move || {
                        test();
                        println!("nat: {name} ... ok");
                    });
                }
            }
        }
    });
}

const PORT: u16 = 60000;

fn addresses<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Vec<SocketAddrV4> {
    let hosts = hosts.into_iter();
    hosts.map(|host| SocketAddrV4::new(host.ip, PORT)).collect()
}

/// Sends replies until one comes, each through a block of its own: what was on its way when the router forgot is lost.
fn replied(service: &mut Peer, client: &mut Peer, from: usize) -> bool {
    (from..from + 30).any(|len| {
        let block = client.ask("block");
        let Some(block) = block.as_str() else {
            std::thread::sleep(Duration::from_millis(500));
            return false;
        };
        service.ask(&format!("reply {block} {len}"));
        client.gets(len, Duration::from_secs(3))
    })
}

/// A client behind a router sends and gets replies, also after its provider has given the router another address.
fn a_client_behind_a_router_is_reached(transport: Transport) {
    let roles = [
        Role::Relay,
        Role::Relay,
        Role::Relay,
        Role::Service,
        Role::Client,
    ];
    let mut lab = Lab::new();
    let mut hosts: Vec<_> = (1..=4).map(|n| lab.public(n)).collect();
    let (home, mut router) = lab.home(1);
    hosts.push(home);
    let addresses = addresses(&hosts);
    let start = |n: usize| {
        let plan = Plan {
            n,
            roles: &roles,
            addresses: &addresses,
            transport,
            nat: false,
            circuit_relay: false,
            light: false,
        };
        Peer::start(&hosts[n], &plan)
    };
    let mut peers: Vec<_> = (0..5).map(start).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        let needed = if n < 3 { 2 } else { 3 };
        peer.until("usable relays", |status| status["usable"] == needed);
    }
    let mut client = peers.pop().unwrap();
    let mut service = peers.pop().unwrap();
    assert_eq!(client.ask("send 3 1000"), true);
    assert!(service.gets(1000, Duration::from_secs(60)));
    assert!(replied(&mut service, &mut client, 100));

    lab.renumber(&mut router);
    assert!(
        replied(&mut service, &mut client, 200),
        "{}",
        client.ask("status")
    );
    assert_eq!(client.ask("send 3 2000"), true);
    assert!(service.gets(2000, Duration::from_secs(60)));

    // The relays have let go of the connections that the router forgot.
    let net = Net::over(transport, &roles, mixnet::Preset::FAST, &addresses);
    let name = hex::encode(net.peer(4).as_bytes());
    let way = match transport {
        Transport::Tcp => "tcp",
        Transport::Quic => "quic",
    };
    for relay in &mut peers {
        relay.until("one connection", |status| {
            status["connections"][&name] == serde_json::json!([way])
        });
    }
}

/// Four relays, of which two are at home: each becomes a direct neighbour of each other, and loops come back through all of them.
fn two_relays_behind_two_routers_punch_holes() {
    let roles = [Role::Relay; 4];
    let mut lab = Lab::new();
    let mut hosts: Vec<_> = (1..=2).map(|n| lab.public(n)).collect();
    let (homes, routers): (Vec<_>, Vec<_>) = (1..=2).map(|n| lab.home(n)).unzip();
    hosts.extend(homes);
    // What a descriptor of a node at home can name is its router, which lets nobody in.
    let addresses = addresses(hosts[..2].iter().chain(&routers));
    let start = |n: usize| {
        let plan = Plan {
            n,
            roles: &roles,
            addresses: &addresses,
            transport: Transport::Tcp,
            nat: n >= 2,
            // Whoever is at home helps nobody, whatever its configuration says.
            circuit_relay: true,
            light: false,
        };
        Peer::start(&hosts[n], &plan)
    };
    let mut peers: Vec<_> = (0..4).map(start).collect();
    for peer in &mut peers {
        let status = peer.until("three direct neighbours", |status| status["usable"] == 3);
        assert!(
            status["connections"].as_object().unwrap().len() >= 3,
            "{status}"
        );
    }
    for peer in &mut peers[2..] {
        let status = peer.until("a place to be found", |status| status["reservations"] == 2);
        assert_eq!(status["reachability"], "private");
    }
    // Every path of a loop goes through the three others.
    for peer in &mut peers {
        let before = peer.ask("status")["loops_returned"].as_u64().unwrap();
        peer.until("a loop", |status| {
            status["loops_returned"].as_u64().unwrap() > before
        });
    }
}
