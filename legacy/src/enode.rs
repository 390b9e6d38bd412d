//! Enode URLs: where a peer is, in text.
//!
//! ```text
//! enode://<128 hex digits>@<host>:<tcp port>[?discport=<udp port>]
//! ```
//!
//! The digits are the public key and may be of either case. The host is an IPv4 address, or an IPv6 address in brackets; an
//! IPv4 address inside IPv6 is reduced to itself. Without `discport` the UDP port is the TCP port; 0 means none.
//! Names are not resolved: that is I/O, and who controls a name controls whom we dial. The text of a signed node record
//! (`enr:…`) is read as well, where it says where its node is. Spec: enode URL.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::enr::{self, EnrError, Record};
use crate::identity::{KeyError, NodeId, PUBLIC_KEY_LEN, PublicKey};

/// A peer and where to find it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enode {
    public_key: PublicKey,
    tcp: SocketAddr,
    udp_port: u16,
}

impl Enode {
    /// A peer that can be dialled at this address.
    pub fn new(public_key: PublicKey, tcp: SocketAddr) -> Enode {
        Enode {
            public_key,
            tcp: SocketAddr::new(tcp.ip().to_canonical(), tcp.port()),
            udp_port: tcp.port(),
        }
    }

    /// The same peer, where discovery answers on another port.
    pub const fn with_udp_port(self, udp_port: u16) -> Enode {
        Enode { udp_port, ..self }
    }

    /// Its key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Its id.
    pub fn node_id(&self) -> NodeId {
        self.public_key.node_id()
    }

    /// Where it listens.
    pub const fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Where it answers discovery; 0 means nowhere.
    pub const fn udp_port(&self) -> u16 {
        self.udp_port
    }

    /// The same, as an address.
    pub const fn udp(&self) -> SocketAddr {
        SocketAddr::new(self.tcp.ip(), self.udp_port)
    }
}

impl FromStr for Enode {
    type Err = EnodeError;

    fn from_str(text: &str) -> Result<Enode, EnodeError> {
        if text.starts_with(enr::SCHEME) {
            let record: Record = text.parse().map_err(EnodeError::Record)?;
            return record.enode().ok_or(EnodeError::RecordWithoutAddress);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(EnodeError::Scheme)?;
        let (key, address) = rest.split_once('@').ok_or(EnodeError::NoAddress)?;
        if key.len() != 2 * PUBLIC_KEY_LEN {
            return Err(EnodeError::KeyLength { found: key.len() });
        }
        let mut bytes = [0; PUBLIC_KEY_LEN];
        hex::decode_to_slice(key, &mut bytes).map_err(|_| EnodeError::KeyDigits)?;
        let public_key = PublicKey::from_bytes(&bytes).map_err(EnodeError::Key)?;
        let (address, query) = match address.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (address, None),
        };
        let (host, port) = address.rsplit_once(':').ok_or(EnodeError::Port)?;
        let tcp = SocketAddr::new(
            ip(host)?.to_canonical(),
            port_number(port).ok_or(EnodeError::Port)?,
        );
        let udp_port = match query {
            None => tcp.port(),
            Some(query) => query
                .strip_prefix(DISCPORT)
                .and_then(port_number)
                .ok_or(EnodeError::DiscoveryPort)?,
        };
        Ok(Enode {
            public_key,
            tcp,
            udp_port,
        })
    }
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCHEME}{}@{}",
            hex::encode(self.public_key.to_bytes()),
            self.tcp
        )?;
        if self.udp_port != self.tcp.port() {
            write!(f, "?{DISCPORT}{}", self.udp_port)?;
        }
        Ok(())
    }
}

/// Where somebody is stays out of logs: [`Display`](fmt::Display) is for files and answers.
impl fmt::Debug for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enode({:?})", self.node_id())
    }
}

/// Why a text is no enode URL.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnodeError {
    /// It starts with something else.
    #[error("an enode URL starts with {SCHEME}")]
    Scheme,
    /// Nothing says where the peer is.
    #[error("an enode URL needs @host:port after the key")]
    NoAddress,
    /// The key is too short or too long.
    #[error("the key of an enode URL has 128 hex digits, not {found}")]
    KeyLength {
        /// Digits found.
        found: usize,
    },
    /// The key has other characters.
    #[error("the key of an enode URL has 128 hex digits and nothing else")]
    KeyDigits,
    /// The text is a node record, but no good one.
    #[error("the node record is unusable: {0}")]
    Record(EnrError),
    /// The node record does not say where its node is.
    #[error("the node record names no IP address")]
    RecordWithoutAddress,
    /// The key is no point on the curve.
    #[error("the key of the enode URL is unusable: {0}")]
    Key(KeyError),
    /// The host is a name, or nothing.
    #[error("the host of an enode URL is an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is missing or no number.
    #[error("the port of an enode URL is a number from 0 to 65535")]
    Port,
    /// The part after the question mark is something else.
    #[error("after the question mark of an enode URL comes discport=<port> and nothing else")]
    DiscoveryPort,
}

fn ip(host: &str) -> Result<IpAddr, EnodeError> {
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner.parse().map(IpAddr::V6).map_err(|_| EnodeError::Host),
        None => host.parse().map(IpAddr::V4).map_err(|_| EnodeError::Host),
    }
}

/// A port in plain decimal digits.
fn port_number(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

const SCHEME: &str = "enode://";
const DISCPORT: &str = "discport=";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";

    #[test]
    fn texts_survive() {
        for address in [
            "127.0.0.1:30303",
            "[2001:db8::1]:52150",
            "10.3.58.6:30303?discport=30301",
            "1.2.3.4:0",
        ] {
            let text = format!("enode://{KEY}@{address}");
            assert_eq!(text.parse::<Enode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn odd_but_legal_forms_are_reduced() {
        let plain = format!("enode://{KEY}@127.0.0.1:30303");
        for text in [
            format!("enode://{}@127.0.0.1:30303", KEY.to_uppercase()),
            format!("enode://{KEY}@[::ffff:127.0.0.1]:30303"),
            format!("enode://{KEY}@127.0.0.1:30303?discport=30303"),
        ] {
            assert_eq!(text.parse::<Enode>().unwrap().to_string(), plain);
        }
        let without = format!("{plain}?discport=0").parse::<Enode>().unwrap();
        assert_eq!(without.udp_port(), 0);
        assert_eq!(without.tcp(), "127.0.0.1:30303".parse().unwrap());
    }

    #[test]
    fn bad_texts_name_what_is_wrong() {
        let zeros = "0".repeat(128);
        for (text, error) in [
            (String::new(), EnodeError::Scheme),
            (format!("http://{KEY}@127.0.0.1:1"), EnodeError::Scheme),
            (KEY.to_owned(), EnodeError::Scheme),
            (format!("enode://{KEY}"), EnodeError::NoAddress),
            (
                format!("enode://{}@127.0.0.1:1", &KEY[1..]),
                EnodeError::KeyLength { found: 127 },
            ),
            (
                format!("enode://g{}@127.0.0.1:1", &KEY[1..]),
                EnodeError::KeyDigits,
            ),
            (
                format!("enode://{zeros}@127.0.0.1:1"),
                EnodeError::Key(KeyError::NotOnCurve),
            ),
            (format!("enode://{KEY}@localhost:1"), EnodeError::Host),
            (format!("enode://{KEY}@::1:1"), EnodeError::Host),
            (format!("enode://{KEY}@[127.0.0.1]:1"), EnodeError::Host),
            (format!("enode://{KEY}@127.0.0.1"), EnodeError::Port),
            (format!("enode://{KEY}@127.0.0.1:"), EnodeError::Port),
            (format!("enode://{KEY}@127.0.0.1:+1"), EnodeError::Port),
            (format!("enode://{KEY}@127.0.0.1:65536"), EnodeError::Port),
            (
                format!("enode://{KEY}@127.0.0.1:1?discport=x"),
                EnodeError::DiscoveryPort,
            ),
            (
                format!("enode://{KEY}@127.0.0.1:1?port=2"),
                EnodeError::DiscoveryPort,
            ),
        ] {
            assert_eq!(text.parse::<Enode>(), Err(error), "{text}");
        }
    }

    #[test]
    fn debug_says_nothing_of_the_place() {
        let text = format!(
            "{:?}",
            format!("enode://{KEY}@127.0.0.1:30303")
                .parse::<Enode>()
                .unwrap()
        );
        assert!(
            !text.contains("127.0.0.1") && !text.contains(&KEY[..20]),
            "{text}"
        );
    }
}
