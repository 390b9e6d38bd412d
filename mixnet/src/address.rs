//! Where a hop is, in 94 bytes of a routing block (spec: LIP-99 addresses).
//!
//! ```text
//! IPv4 4 ‖ transport 1 (0 tcp, 1 udp/quic-v1) ‖ port 2 BE ‖ peer id 39 ‖ [peer id 39] ‖ zeros
//! ```
//!
//! One peer id: dial it directly. Two: the first is a circuit relay at that endpoint, the second the peer behind it. All zero: no
//! address. A peer id is `00 25 08 02 12 21` and a compressed secp256k1 key; the ids of Ed25519 keys are a byte shorter and have
//! no place here. Decoding is strict, so an address has one form only and comes back byte for byte.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::geometry::ADDRESS_LEN;

/// How the next hop is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// QUIC version 1 over UDP.
    Quic,
}

impl Transport {
    /// Its name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }

    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Tcp => 0,
            Self::Quic => 1,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Result<Self, AddressError> {
        match byte {
            0 => Ok(Self::Tcp),
            1 => Ok(Self::Quic),
            other => Err(AddressError::Transport(other)),
        }
    }
}

/// The compressed secp256k1 key that is a peer's identity.
///
/// The prefix is checked, membership of the curve is not: an identity that is no point has no peer behind it, and a hop has
/// better uses for ten microseconds a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey([u8; PEER_KEY_LEN]);

impl PeerKey {
    /// Where `other` stands in the order in which this node takes others, the lowest first: SHA-256(this key ‖ the other key). Each
    /// node has an order of its own, which everybody can compute.
    pub fn rank(&self, other: &Self) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.as_bytes());
        hash.chain_update(other.as_bytes()).finalize().into()
    }

    /// The key of the peer whose libp2p identity is this secret; none if the 32 bytes are no secret key.
    pub fn of_identity(identity: &[u8; 32]) -> Option<Self> {
        let secret = secp256k1::SecretKey::from_secret_bytes(*identity).ok()?;
        Self::from_bytes(secret.public_key().serialize()).ok()
    }

    /// From the 33 bytes of a compressed key.
    pub fn from_bytes(bytes: [u8; PEER_KEY_LEN]) -> Result<Self, AddressError> {
        match bytes[0] {
            2 | 3 => Ok(Self(bytes)),
            _ => Err(AddressError::PeerId),
        }
    }

    /// From the bytes of a libp2p peer id, which must be the 39 bytes of a secp256k1 identity.
    pub fn from_peer_id(id: &[u8]) -> Result<Self, AddressError> {
        let key = id
            .strip_prefix(&PEER_ID_PREFIX)
            .and_then(|key| <[u8; PEER_KEY_LEN]>::try_from(key).ok());
        Self::from_bytes(key.ok_or(AddressError::PeerId)?)
    }

    /// The compressed key.
    pub fn as_bytes(&self) -> &[u8; PEER_KEY_LEN] {
        &self.0
    }

    /// The libp2p peer id.
    pub fn to_peer_id(&self) -> [u8; PEER_ID_LEN] {
        let mut id = [0; PEER_ID_LEN];
        id[..PEER_ID_PREFIX.len()].copy_from_slice(&PEER_ID_PREFIX);
        id[PEER_ID_PREFIX.len()..].copy_from_slice(&self.0);
        id
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({})", hex::encode(&self.0[..5]))
    }
}

/// A decoded hop address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    None,
    Direct(Endpoint, PeerKey),
    Circuit(Endpoint, PeerKey, PeerKey),
}

/// What to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The host.
    pub ip: Ipv4Addr,
    /// The transport.
    pub transport: Transport,
    /// The port.
    pub port: u16,
}

impl Address {
    /// No address: as a destination, the last hop itself.
    pub const NONE: Self = Self(Form::None);

    /// A peer that is dialled directly.
    pub fn direct(ip: Ipv4Addr, transport: Transport, port: u16, peer: PeerKey) -> Self {
        let endpoint = Endpoint {
            ip,
            transport,
            port,
        };
        Self(Form::Direct(endpoint, peer))
    }

    /// A peer behind the circuit relay at `ip` and `port`.
    pub fn circuit(
        ip: Ipv4Addr,
        transport: Transport,
        port: u16,
        relay: PeerKey,
        target: PeerKey,
    ) -> Self {
        let endpoint = Endpoint {
            ip,
            transport,
            port,
        };
        Self(Form::Circuit(endpoint, relay, target))
    }

    /// Whether this is the address of all zeros.
    pub fn is_none(&self) -> bool {
        self.0 == Form::None
    }

    /// What to dial: the peer, or the circuit relay before it.
    pub fn endpoint(&self) -> Option<Endpoint> {
        match self.0 {
            Form::None => None,
            Form::Direct(endpoint, _) | Form::Circuit(endpoint, _, _) => Some(endpoint),
        }
    }

    /// The peer that is meant.
    pub fn peer(&self) -> Option<PeerKey> {
        match self.0 {
            Form::None => None,
            Form::Direct(_, peer) | Form::Circuit(_, _, peer) => Some(peer),
        }
    }

    /// The circuit relay on the way to the peer.
    pub fn relay(&self) -> Option<PeerKey> {
        match self.0 {
            Form::None | Form::Direct(..) => None,
            Form::Circuit(_, relay, _) => Some(relay),
        }
    }

    /// The address as a packet carries it.
    pub fn to_bytes(&self) -> [u8; ADDRESS_LEN] {
        let mut bytes = [0; ADDRESS_LEN];
        if let Some(Endpoint {
            ip,
            transport,
            port,
        }) = self.endpoint()
        {
            bytes[..4].copy_from_slice(&ip.octets());
            bytes[4] = transport.to_byte();
            bytes[5..FIRST_ID_AT].copy_from_slice(&port.to_be_bytes());
        }
        match self.0 {
            Form::None => {}
            Form::Direct(_, peer) => {
                bytes[FIRST_ID_AT..SECOND_ID_AT].copy_from_slice(&peer.to_peer_id());
            }
            Form::Circuit(_, relay, target) => {
                bytes[FIRST_ID_AT..SECOND_ID_AT].copy_from_slice(&relay.to_peer_id());
                bytes[SECOND_ID_AT..ZEROS_AT].copy_from_slice(&target.to_peer_id());
            }
        }
        bytes
    }

    /// The address that a packet carries.
    pub fn from_bytes(bytes: &[u8; ADDRESS_LEN]) -> Result<Self, AddressError> {
        let all_zero = |part: &[u8]| part.iter().all(|&byte| byte == 0);
        if all_zero(bytes) {
            return Ok(Self::NONE);
        }
        if !all_zero(&bytes[ZEROS_AT..]) {
            return Err(AddressError::Padding);
        }
        let ip = Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
        let transport = Transport::from_byte(bytes[4])?;
        let port = u16::from_be_bytes([bytes[5], bytes[6]]);
        let first = PeerKey::from_peer_id(&bytes[FIRST_ID_AT..SECOND_ID_AT])?;
        let second = &bytes[SECOND_ID_AT..ZEROS_AT];
        if all_zero(second) {
            return Ok(Self::direct(ip, transport, port, first));
        }
        let target = PeerKey::from_peer_id(second)?;
        Ok(Self::circuit(ip, transport, port, first, target))
    }
}

/// Which addresses a node dials on the word of a packet.
///
/// Anybody can write any address into a routing block. Without this check a hop could be made to knock at the doors of its own
/// host and of its local network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Allow loopback, private, link-local and other non-global networks, as a network on one machine needs.
    pub allow_private: bool,
}

impl AddressPolicy {
    /// Whether `address` may be dialled.
    pub fn check(&self, address: &Address) -> Result<(), AddressError> {
        let Endpoint { ip, port, .. } = address.endpoint().ok_or(AddressError::Missing)?;
        self.check_socket(SocketAddrV4::new(ip, port).into())
    }

    /// Whether somebody at this place may be dialled, who and over what so ever.
    pub fn check_socket(&self, at: SocketAddr) -> Result<(), AddressError> {
        if at.port() == 0 {
            return Err(AddressError::PortZero);
        }
        let (unicast, global) = match at.ip() {
            IpAddr::V4(ip) => {
                let none = ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast();
                (!none, is_global(ip))
            }
            IpAddr::V6(ip) => (!ip.is_unspecified() && !ip.is_multicast(), is_global_v6(ip)),
        };
        if !unicast {
            return Err(AddressError::NotUnicast);
        }
        if !self.allow_private && !global {
            return Err(AddressError::NotGlobal);
        }
        Ok(())
    }
}

/// Unicast IPv6 that is routed in the Internet: 2000::/3 without the special-purpose registry.
fn is_global_v6(ip: Ipv6Addr) -> bool {
    let special = match ip.segments() {
        // Teredo and other assignments of the IETF; documentation; 6to4; documentation again.
        [0x2001, second, ..] => second < 0x200 || second == 0xdb8,
        [0x2002, ..] => true,
        [0x3fff, second, ..] => second < 0x1000,
        [first, ..] => !(0x2000..0x4000).contains(&first),
    };
    !special
}

/// Unicast IPv4 outside the special-purpose registry.
fn is_global(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match a {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b, c) == (88, 99),
        198 => b == 18 || b == 19 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        _ => false,
    };
    !special
}

/// Why an address does not decode or may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The transport byte is neither TCP nor QUIC.
    #[error("transport byte {0} is neither 0 (tcp) nor 1 (quic)")]
    Transport(u8),
    /// Not the 39-byte id of a secp256k1 key.
    #[error("a peer id is not the 39-byte id of a secp256k1 key")]
    PeerId,
    /// The last nine bytes are not zero.
    #[error("the bytes after the peer ids are not zero")]
    Padding,
    /// There is no address to dial.
    #[error("there is no address")]
    Missing,
    /// Port 0 cannot be dialled.
    #[error("port 0 cannot be dialled")]
    PortZero,
    /// Unspecified, multicast or broadcast.
    #[error("the host is not a unicast address")]
    NotUnicast,
    /// Loopback, private or otherwise not global.
    #[error("the host is not a global address, and private ones are not allowed here")]
    NotGlobal,
}

/// A compressed secp256k1 key.
pub const PEER_KEY_LEN: usize = 33;
/// The identity multihash of the protobuf of such a key.
pub const PEER_ID_LEN: usize = PEER_ID_PREFIX.len() + PEER_KEY_LEN;
/// Identity multihash of 37 bytes ‖ key type 2 (secp256k1) ‖ 33 bytes of data.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x25, 0x08, 0x02, 0x12, 0x21];
const FIRST_ID_AT: usize = 7;
const SECOND_ID_AT: usize = FIRST_ID_AT + PEER_ID_LEN;
const ZEROS_AT: usize = SECOND_ID_AT + PEER_ID_LEN;

#[cfg(test)]
mod tests;
