//! Addresses in packets.
//!
//! ```text
//! endpoint  = [ip, udp port, tcp port]                 ip: 4 or 16 bytes, or anything else: no address
//! neighbour = [ip, udp port, tcp port, public key (64)]
//! ```
//!
//! What a node says about a third one is believed only if it can know it: see [`check_relayed`]. Otherwise a stranger
//! could make us send packets into our own network, or at somebody else's broadcast address. Spec: discv4 endpoints,
//! relay check of go-ethereum.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::{Contact, PORT_UNTRUSTED_MAX};
use crate::identity::{KeyError, PUBLIC_KEY_LEN, PublicKey};
use crate::rlp::{Item, List, RlpError};

/// An address in a ping or a pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, if it is one.
    pub ip: Option<IpAddr>,
    /// The port of discovery.
    pub udp: u16,
    /// The port for connections.
    pub tcp: u16,
}

impl Endpoint {
    /// The endpoint of a UDP address.
    pub const fn new(udp: SocketAddr, tcp: u16) -> Endpoint {
        Endpoint {
            ip: Some(udp.ip()),
            udp: udp.port(),
            tcp,
        }
    }

    /// The address for discovery.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.ip.map(|ip| SocketAddr::new(ip, self.udp))
    }

    pub(super) fn read(item: Item<'_>) -> Result<Endpoint, RlpError> {
        let [ip, udp, tcp] = item.list_of()?;
        Ok(Endpoint {
            ip: address_from(ip.bytes()?),
            udp: port(udp)?,
            tcp: port(tcp)?,
        })
    }

    pub(super) fn list(&self) -> List {
        address_list(self.ip)
            .uint(self.udp.into())
            .uint(self.tcp.into())
    }
}

/// A node as another one names it: nothing of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Where it is said to be.
    pub endpoint: Endpoint,
    /// What is said to be its key.
    pub public_key: [u8; PUBLIC_KEY_LEN],
}

impl Neighbour {
    /// What a node tells others of one that it knows.
    pub fn new(contact: &Contact) -> Neighbour {
        Neighbour {
            endpoint: Endpoint::new(contact.udp(), contact.tcp_port()),
            public_key: contact.public_key().to_bytes(),
        }
    }

    /// The node, if what `sender` says about it can be believed.
    pub fn believed(&self, sender: IpAddr) -> Result<Contact, Disbelief> {
        if self.endpoint.udp <= PORT_UNTRUSTED_MAX {
            return Err(Disbelief::LowPort {
                found: self.endpoint.udp,
            });
        }
        let udp = self.endpoint.udp_address().ok_or(Disbelief::NoAddress)?;
        check_relayed(sender, udp.ip())?;
        let key = PublicKey::from_bytes(&self.public_key).map_err(Disbelief::Key)?;
        Ok(Contact::new(key, udp, self.endpoint.tcp))
    }

    pub(super) fn read(item: Item<'_>) -> Result<Neighbour, RlpError> {
        let [ip, udp, tcp, key] = item.list_of()?;
        Ok(Neighbour {
            endpoint: Endpoint {
                ip: address_from(ip.bytes()?),
                udp: port(udp)?,
                tcp: port(tcp)?,
            },
            public_key: key.array()?,
        })
    }

    pub(super) fn list(&self) -> List {
        self.endpoint.list().bytes(&self.public_key)
    }
}

/// Whether `sender` can know that somebody is at `ip`.
pub fn check_relayed(sender: IpAddr, ip: IpAddr) -> Result<(), Disbelief> {
    let (sender, ip) = (sender.to_canonical(), ip.to_canonical());
    if ip.is_unspecified() {
        return Err(Disbelief::NoAddress);
    }
    if is_special(ip) {
        return Err(Disbelief::Special);
    }
    if ip.is_loopback() && !sender.is_loopback() {
        return Err(Disbelief::Loopback);
    }
    if is_lan(ip) && !is_lan(sender) {
        return Err(Disbelief::Lan);
    }
    Ok(())
}

/// Whether an address is of this machine or of a private network.
pub fn is_lan(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
    }
}

/// Why what a node says about another one is not believed.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disbelief {
    /// Somebody's service that we would be made to talk to.
    #[error("the UDP port is {found}; {PORT_UNTRUSTED_MAX} and below are not believed")]
    LowPort {
        /// The port.
        found: u16,
    },
    /// Nothing that can be reached.
    #[error("there is no address")]
    NoAddress,
    /// Multicast, documentation, and the like.
    #[error("the address is of a special network")]
    Special,
    /// This machine, named by another one.
    #[error("a loopback address is named by somebody else")]
    Loopback,
    /// A private network, named from outside.
    #[error("a private address is named by somebody outside")]
    Lan,
    /// No key.
    #[error("{0}")]
    Key(KeyError),
}

impl Disbelief {
    /// One word for metrics and vectors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Disbelief::LowPort { .. } => "low_port",
            Disbelief::NoAddress => "no_address",
            Disbelief::Special => "special_network",
            Disbelief::Loopback => "loopback",
            Disbelief::Lan => "lan",
            Disbelief::Key(_) => "key",
        }
    }
}

/// The address that these bytes are: 4 or 16 of them, anything else is none.
pub fn address_from(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(v6)).to_canonical())
}

fn address_list(ip: Option<IpAddr>) -> List {
    match ip {
        Some(IpAddr::V4(ip)) => List::new().bytes(&ip.octets()),
        Some(IpAddr::V6(ip)) => List::new().bytes(&ip.octets()),
        None => List::new().bytes(&[]),
    }
}

fn port(item: Item<'_>) -> Result<u16, RlpError> {
    let port = item.uint()?;
    u16::try_from(port).map_err(|_| RlpError::TooLarge {
        bytes: item.raw().len() - 1,
    })
}

fn is_special(ip: IpAddr) -> bool {
    if ip.is_multicast() {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => {
            let ip = u32::from(ip);
            SPECIAL_V4
                .iter()
                .any(|(net, bits)| (ip ^ u32::from(Ipv4Addr::from(*net))) >> (32 - bits) == 0)
        }
        IpAddr::V6(ip) => {
            let ip = u128::from(ip);
            SPECIAL_V6
                .iter()
                .any(|(net, bits)| (ip ^ u128::from(Ipv6Addr::from(*net))) >> (128 - bits) == 0)
        }
    }
}

/// The special-purpose registry of IPv4 as far as nobody is reachable there.
const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([192, 0, 0, 0], 29),
    ([192, 0, 0, 9], 32),
    ([192, 0, 0, 170], 31),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([255, 255, 255, 255], 32),
];

/// The same of IPv6.
const SPECIAL_V6: &[([u16; 8], u32)] = &[
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
    ([0x2001, 1, 0, 0, 0, 0, 0, 1], 128),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32),
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48),
    ([0x2001, 5, 0, 0, 0, 0, 0, 0], 32),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_node_can_know_is_believed() {
        for (sender, about) in [
            ("8.8.8.8", "1.1.1.1"),
            ("8.8.8.8", "2a00::1"),
            ("10.0.0.1", "192.168.3.4"),
            ("10.0.0.1", "8.8.8.8"),
            ("127.0.0.1", "127.0.0.5"),
            ("127.0.0.1", "10.0.0.1"),
            ("fe80::1", "fd00::1"),
            ("8.8.8.8", "169.254.1.1"),
            ("8.8.8.8", "192.0.0.8"),
        ] {
            assert_eq!(
                check_relayed(ip(sender), ip(about)),
                Ok(()),
                "{sender} {about}"
            );
        }
    }

    #[test]
    fn what_it_cannot_know_is_not() {
        for (sender, about, why) in [
            ("8.8.8.8", "0.0.0.0", Disbelief::NoAddress),
            ("8.8.8.8", "::", Disbelief::NoAddress),
            ("8.8.8.8", "127.0.0.1", Disbelief::Loopback),
            ("10.0.0.1", "127.0.0.1", Disbelief::Loopback),
            ("8.8.8.8", "::1", Disbelief::Loopback),
            ("8.8.8.8", "::ffff:127.0.0.1", Disbelief::Loopback),
            ("8.8.8.8", "10.1.2.3", Disbelief::Lan),
            ("8.8.8.8", "172.16.0.1", Disbelief::Lan),
            ("8.8.8.8", "192.168.0.1", Disbelief::Lan),
            ("8.8.8.8", "0.1.2.3", Disbelief::Lan),
            ("8.8.8.8", "fe80::1", Disbelief::Lan),
            ("8.8.8.8", "fd00::1", Disbelief::Lan),
            ("127.0.0.1", "224.0.0.1", Disbelief::Special),
            ("127.0.0.1", "255.255.255.255", Disbelief::Special),
            ("8.8.8.8", "192.0.2.1", Disbelief::Special),
            ("8.8.8.8", "198.51.100.255", Disbelief::Special),
            ("8.8.8.8", "203.0.113.9", Disbelief::Special),
            ("8.8.8.8", "198.19.255.255", Disbelief::Special),
            ("8.8.8.8", "192.88.99.1", Disbelief::Special),
            ("8.8.8.8", "192.0.0.171", Disbelief::Special),
            ("8.8.8.8", "2001:db8::1", Disbelief::Special),
            ("8.8.8.8", "2002::1", Disbelief::Special),
            ("8.8.8.8", "ff02::1", Disbelief::Special),
        ] {
            assert_eq!(
                check_relayed(ip(sender), ip(about)),
                Err(why),
                "{sender} {about}"
            );
        }
    }

    #[test]
    fn ports_and_keys_of_neighbours_are_checked() {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap().public();
        let mut neighbour = Neighbour {
            endpoint: Endpoint::new("1.1.1.1:1025".parse().unwrap(), 1),
            public_key: key.to_bytes(),
        };
        let sender = ip("8.8.8.8");
        assert_eq!(neighbour.believed(sender).unwrap().public_key(), &key);
        neighbour.endpoint.udp = 1024;
        assert_eq!(
            neighbour.believed(sender),
            Err(Disbelief::LowPort { found: 1024 })
        );
        neighbour.endpoint.udp = 443;
        assert_eq!(
            neighbour.believed(sender),
            Err(Disbelief::LowPort { found: 443 })
        );
        neighbour.endpoint.udp = 30303;
        neighbour.public_key[63] ^= 1;
        assert_eq!(
            neighbour.believed(sender),
            Err(Disbelief::Key(KeyError::NotOnCurve))
        );
    }
}
