//! Where an address is: on this machine or this network, and who its neighbours are.
//!
//! Limits by address leave loopback and private networks alone: there, many nodes share one address. On the public
//! internet one customer of a provider has an IPv4 address or an IPv6 /64, and one operator easily a /24 or a /48.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 around an IPv6 address: what one host can move about in for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(IpAddr);

impl Place {
    /// The place of a public address; loopback and private networks have none.
    pub(super) fn of(ip: IpAddr) -> Option<Place> {
        if is_local(ip) {
            return None;
        }
        Some(Place(match ip.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }))
    }

    /// The address, or the first of the /64.
    pub(super) const fn ip(self) -> IpAddr {
        self.0
    }
}

/// Loopback, link-local and private addresses.
pub(super) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether two addresses are in one /24 or /48.
pub(super) fn same_subnet(a: IpAddr, b: IpAddr) -> bool {
    match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..6] == b.octets()[..6],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Whether anybody could be dialled there.
pub(super) fn is_dialable(address: std::net::SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn local_networks_have_no_place() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.3.4",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(Place::of(ip(text)), None, "{text}");
        }
    }

    #[test]
    fn a_host_cannot_leave_its_place() {
        let same = |a, b| Place::of(ip(a)) == Place::of(ip(b));
        assert!(same("2001:db8::1", "2001:db8::ffff:1:2:3"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("203.0.113.1", "::ffff:203.0.113.1"));
        assert!(!same("203.0.113.1", "203.0.113.2"));
        assert!(same_subnet(ip("203.0.113.1"), ip("203.0.113.255")));
        assert!(!same_subnet(ip("203.0.113.1"), ip("203.0.114.1")));
        assert!(same_subnet(ip("2001:db8:1::1"), ip("2001:db8:1:ffff::1")));
        assert!(!same_subnet(ip("203.0.113.1"), ip("2001:db8::1")));
    }
}
