#![allow(clippy::unwrap_used)]
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use futures::StreamExt;
use libp2p::identity::{Keypair, secp256k1};
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};

use super::*;
use crate::address::Transport;

const LOCAL: AddressPolicy = AddressPolicy {
    allow_private: true,
};

/// A node that listens, and what leads to it.
async fn node(policy: AddressPolicy) -> (Swarm<Finder>, Contact) {
    let identity: Keypair = secp256k1::Keypair::generate().into();
    let id = identity.public().to_peer_id();
    let quick = Duration::from_millis(200);
    let mut swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| Finder::with_pauses(id, policy, quick, quick))
        .unwrap()
        .build();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let place = Place {
        transport: Transport::Tcp,
        at,
    };
    swarm.listen_on(multiaddr(place)).unwrap();
    while !matches!(
        swarm.select_next_some().await,
        SwarmEvent::NewListenAddr { .. }
    ) {}
    let contact = Contact {
        peer: peer_key(&id).unwrap(),
        places: vec![place],
    };
    (swarm, contact)
}

/// The first one knows the second, the second knows the third: the first one finds the third.
#[tokio::test]
async fn a_node_that_a_neighbour_knows_is_found() {
    let (mut first, _) = node(LOCAL).await;
    let (mut second, second_contact) = node(LOCAL).await;
    let (mut third, third_contact) = node(LOCAL).await;
    first.behaviour_mut().answered(&second_contact);
    second.behaviour_mut().answered(&third_contact);
    let found = async {
        loop {
            tokio::select! {
                event = first.select_next_some() => {
                    if let SwarmEvent::Behaviour(found) = event
                        && found.contains(&third_contact)
                    {
                        return;
                    }
                }
                _ = second.select_next_some() => {}
                _ = third.select_next_some() => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap();
}

/// An address that the policy does not allow is neither dialled for a look-up nor given to the directory.
#[tokio::test]
async fn an_address_that_is_never_dialled_is_not_dialled_for_a_look_up() {
    let (mut first, _) = node(AddressPolicy::default()).await;
    let (_second, second_contact) = node(LOCAL).await;
    let peer = peer_id(&second_contact.peer).unwrap();
    first.behaviour_mut().answered(&second_contact);
    let named = first.behaviour_mut().handle_pending_outbound_connection(
        ConnectionId::new_unchecked(7),
        Some(peer),
        &[],
        Endpoint::Dialer,
    );
    assert_eq!(named.unwrap(), Vec::<Multiaddr>::new());
    let mut open = Finder::new(peer_id(&second_contact.peer).unwrap(), LOCAL);
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
    let other = Contact {
        peer: peer_key(first.local_peer_id()).unwrap(),
        places: vec![Place {
            transport: Transport::Tcp,
            at: at.into(),
        }],
    };
    open.answered(&other);
    let named = open.handle_pending_outbound_connection(
        ConnectionId::new_unchecked(8),
        Some(*first.local_peer_id()),
        &[],
        Endpoint::Dialer,
    );
    let dialled = multiaddr(other.places[0]).with_p2p(*first.local_peer_id());
    assert_eq!(named.unwrap(), [dialled.unwrap()]);
}

#[test]
fn places_are_read_as_they_are_written() {
    for (text, read) in [
        ("/ip4/1.2.3.4/tcp/5", true),
        ("/ip4/1.2.3.4/udp/5/quic-v1", true),
        ("/ip6/2001:db8::1/tcp/5", true),
        ("/dns4/example.org/tcp/5", false),
        ("/ip4/1.2.3.4/udp/5", false),
        ("/ip4/1.2.3.4/tcp/5/ws", false),
        ("/ip4/1.2.3.4", false),
    ] {
        let address: Multiaddr = text.parse().unwrap();
        let place = place(&address);
        assert_eq!(place.is_some(), read, "{text}");
        if let Some(place) = place {
            assert_eq!(multiaddr(place), address);
        }
    }
}

/// A circuit begins with the place of its relay, which is not that of the peer behind it.
#[test]
fn a_circuit_is_no_place() {
    let identity: Keypair = secp256k1::Keypair::generate().into();
    let relay: Multiaddr = "/ip4/1.2.3.4/tcp/5".parse().unwrap();
    let named = relay.with(Protocol::P2p(identity.public().to_peer_id()));
    assert!(place(&named).is_some());
    assert_eq!(place(&named.with(Protocol::P2pCircuit)), None);
}
