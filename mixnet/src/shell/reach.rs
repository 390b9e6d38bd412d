//! How a node is reached, and how it reaches others, besides the address that its descriptor names.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use thiserror::Error;

use crate::address::{PeerKey, Transport};
use crate::descriptor::Place;
use crate::limits::{
    ALSO_LISTEN_MAX, CONNECTIONS_KEPT_LIGHT, CONNECTIONS_KEPT_MAX, EXTRA_ADDRESSES_MAX,
};

/// The ways to and from a node. The default is a node on the open internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Listen for QUIC on the UDP port of the same number, and dial it.
    pub quic: bool,
    /// More addresses to listen on: IPv6, WebSocket. Packets name none of them.
    pub also_listen: Vec<Multiaddr>,
    /// More addresses of nodes of the network, each ending in `/p2p/` and the peer id.
    pub peers: Vec<Multiaddr>,
    /// Find out whether others can dial this node; if not, be found through circuit relays, and punch holes.
    pub nat: bool,
    /// Help others through their routers: test their addresses, and relay circuits on which they arrange a direct connection. It is
    /// for nodes that answer for their address, and of no effect with `nat`.
    pub circuit_relay: bool,
    /// Few connections and few signs of life, for a phone.
    pub light: bool,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            quic: true,
            also_listen: Vec::new(),
            peers: Vec::new(),
            nat: false,
            circuit_relay: false,
            light: false,
        }
    }
}

impl Reach {
    /// Relays to which a connection is kept.
    pub(super) fn kept_max(&self) -> usize {
        if self.light {
            CONNECTIONS_KEPT_LIGHT
        } else {
            CONNECTIONS_KEPT_MAX
        }
    }

    /// Whether it helps others through their routers.
    pub(super) fn helps(&self) -> bool {
        self.circuit_relay && !self.nat
    }

    /// An address of these that is not on loopback.
    pub(super) fn outside(&self) -> Option<&Multiaddr> {
        let is_outside = |address: &&Multiaddr| match address.iter().next() {
            Some(Protocol::Ip4(ip)) => !ip.is_loopback(),
            Some(Protocol::Ip6(ip)) => !ip.is_loopback(),
            _ => true,
        };
        self.also_listen.iter().chain(&self.peers).find(is_outside)
    }

    /// Checks all addresses.
    pub(super) fn check(&self) -> Result<(), ReachError> {
        if self.also_listen.len() > ALSO_LISTEN_MAX {
            return Err(ReachError::TooManyListeners(self.also_listen.len()));
        }
        if self.peers.len() > EXTRA_ADDRESSES_MAX {
            return Err(ReachError::TooManyPeers(self.peers.len()));
        }
        self.also_listen.iter().try_for_each(check_listen)?;
        self.peers
            .iter()
            .try_for_each(|peer| split_peer(peer).map(drop))
    }
}

/// The socket of TCP or QUIC with which an address begins, and what follows it.
pub(super) fn leading(address: &Multiaddr) -> Option<(Place, impl Iterator<Item = Protocol<'_>>)> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let (transport, port) = match parts.next()? {
        Protocol::Tcp(port) => (Transport::Tcp, port),
        Protocol::Udp(port) if parts.next() == Some(Protocol::QuicV1) => (Transport::Quic, port),
        _ => return None,
    };
    let at = SocketAddr::new(ip, port);
    Some((Place { transport, at }, parts))
}

/// The socket of TCP or QUIC that an address names; none for what runs above one.
pub(super) fn socket(address: &Multiaddr) -> Option<Place> {
    let (place, mut rest) = leading(address)?;
    rest.next().is_none().then_some(place)
}

/// A place as libp2p writes it.
pub(super) fn multiaddr(place: Place) -> Multiaddr {
    let (host, port) = (Multiaddr::from(place.at.ip()), place.at.port());
    match place.transport {
        Transport::Tcp => host.with(Protocol::Tcp(port)),
        Transport::Quic => host.with(Protocol::Udp(port)).with(Protocol::QuicV1),
    }
}

/// Whether a node can listen there: an IP address, and TCP, WebSocket over TCP, or QUIC.
pub fn check_listen(address: &Multiaddr) -> Result<(), ReachError> {
    let known = leading(address).is_some_and(|(place, mut rest)| {
        match (place.transport, rest.next(), rest.next()) {
            (_, None, _) => true,
            (Transport::Tcp, Some(Protocol::Ws(path)), None) => path == "/",
            _ => false,
        }
    });
    match known {
        true => Ok(()),
        false => Err(ReachError::Listen(address.clone())),
    }
}

/// The place that a descriptor can name for one of the addresses that a node listens on; none for WebSocket, for which a descriptor has
/// no byte, and for addresses and ports that the system chooses.
pub fn place(address: &Multiaddr) -> Option<Place> {
    let place = socket(address)?;
    (!place.at.ip().is_unspecified() && place.at.port() != 0).then_some(place)
}

/// The peer of an address that ends in `/p2p/`, and the address without it.
pub fn split_peer(address: &Multiaddr) -> Result<(PeerKey, Multiaddr), ReachError> {
    let refused = || ReachError::Peer(address.clone());
    let mut place = address.clone();
    let Some(Protocol::P2p(id)) = place.pop() else {
        return Err(refused());
    };
    let peer = PeerKey::from_peer_id(&id.to_bytes()).map_err(|_| refused())?;
    match place.iter().next() {
        Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => Ok((peer, place)),
        _ => Err(refused()),
    }
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReachError {
    /// Nothing that a node listens on.
    #[error(
        "a node cannot listen on {0}: write /ip4/… or /ip6/… with /tcp/PORT, /tcp/PORT/ws or /udp/PORT/quic-v1"
    )]
    Listen(Multiaddr),
    /// Not the address of a peer.
    #[error(
        "{0} is not the address of a peer of the mixnet: write /ip4/… or /ip6/…, the port, and /p2p/ with its peer id (16Uiu2…)"
    )]
    Peer(Multiaddr),
    /// More listening addresses than sensible.
    #[error("{0} more addresses to listen on: at most {ALSO_LISTEN_MAX} are")]
    TooManyListeners(usize),
    /// More extra addresses than sensible.
    #[error("{0} addresses of peers: at most {EXTRA_ADDRESSES_MAX} are kept")]
    TooManyPeers(usize),
}

/// Whether others can dial this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// Nobody has tried yet, or nobody is asked.
    #[default]
    Unknown,
    /// Somebody dialled an address of this node and got through.
    Public,
    /// Somebody tried and did not get through: there is a router in between.
    Private,
}

impl Reachability {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// WebSocket over TCP.
    WebSocket,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Quic, Self::WebSocket];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
        }
    }

    /// The way that `address` names.
    pub(super) fn of(address: &Multiaddr) -> Self {
        let mut way = Self::Tcp;
        for part in address.iter() {
            match part {
                Protocol::QuicV1 => way = Self::Quic,
                Protocol::Ws(_) | Protocol::Wss(_) => way = Self::WebSocket,
                _ => {}
            }
        }
        way
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_listens_on_what_it_speaks() {
        for good in [
            "/ip6/::/tcp/60000",
            "/ip6/::1/udp/60000/quic-v1",
            "/ip4/0.0.0.0/tcp/60080/ws",
        ] {
            check_listen(&good.parse().unwrap()).unwrap();
        }
        for bad in [
            "/ip4/1.2.3.4",
            "/ip4/1.2.3.4/udp/1",
            "/dns4/example.org/tcp/1",
            "/ip4/1.2.3.4/tcp/1/wss",
            "/ip4/1.2.3.4/tcp/1/ws/p2p-circuit",
            "/ip4/1.2.3.4/udp/1/quic-v1/webtransport",
            "/p2p-circuit",
        ] {
            let bad: Multiaddr = bad.parse().unwrap();
            assert_eq!(check_listen(&bad), Err(ReachError::Listen(bad)));
        }
    }

    #[test]
    fn a_descriptor_names_what_it_has_bytes_for() {
        let place = |text: &str| place(&text.parse().unwrap());
        let named = |transport, at: &str| {
            let at = at.parse().unwrap();
            Some(Place { transport, at })
        };
        assert_eq!(
            place("/ip6/2001:db8::1/tcp/6"),
            named(Transport::Tcp, "[2001:db8::1]:6")
        );
        assert_eq!(
            place("/ip4/1.2.3.4/udp/6/quic-v1"),
            named(Transport::Quic, "1.2.3.4:6")
        );
        for unnamed in [
            "/ip6/::/tcp/6",
            "/ip6/2001:db8::1/tcp/0",
            "/ip4/1.2.3.4/tcp/6/ws",
            "/dns4/example.org/tcp/6",
        ] {
            assert_eq!(place(unnamed), None, "{unnamed}");
        }
    }

    #[test]
    fn addresses_outside_this_machine_are_found() {
        let reach = |also: &[&str]| Reach {
            also_listen: also.iter().map(|text| text.parse().unwrap()).collect(),
            ..Reach::default()
        };
        let inside = reach(&["/ip6/::1/tcp/1", "/ip4/127.0.0.1/tcp/1/ws"]);
        assert_eq!(inside.outside(), None);
        let outside = reach(&["/ip6/::1/tcp/1", "/ip6/::/tcp/1"]);
        assert_eq!(outside.outside(), Some(&outside.also_listen[1]));
    }

    #[test]
    fn a_peer_has_an_address_and_a_name() {
        let peer = crate::descriptor::tests::peer_key(7);
        let id = libp2p::PeerId::from_bytes(&peer.to_peer_id()).unwrap();
        let place: Multiaddr = "/ip6/2001:db8::1/tcp/60000".parse().unwrap();
        let whole = place.clone().with(Protocol::P2p(id));
        assert_eq!(split_peer(&whole), Ok((peer, place.clone())));
        assert_eq!(split_peer(&place), Err(ReachError::Peer(place)));
        let ed25519 = "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        let ed25519: Multiaddr = ed25519.parse().unwrap();
        assert_eq!(split_peer(&ed25519), Err(ReachError::Peer(ed25519)));
    }

    #[test]
    fn the_way_is_read_from_the_address() {
        let way = |text: &str| Way::of(&text.parse().unwrap());
        assert_eq!(way("/ip4/1.2.3.4/tcp/1"), Way::Tcp);
        assert_eq!(way("/ip4/1.2.3.4/tcp/1/ws"), Way::WebSocket);
        assert_eq!(way("/ip6/::1/udp/1/quic-v1"), Way::Quic);
    }
}
