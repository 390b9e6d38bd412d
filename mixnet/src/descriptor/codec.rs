//! The byte form of a descriptor, both ways.
//!
//! Strict: a flag without meaning, a zero where nothing should be, a byte too many, and the descriptor is refused. So whatever
//! is read is written again byte for byte, and no two byte strings are one descriptor.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use super::{
    Capabilities, DESCRIPTOR_LEN_MAX, DESCRIPTOR_LEN_MIN, Descriptor, DescriptorError, NOWHERE,
    PLACES_MAX, Place, Proof, SIGNATURE_LEN, Statement, VERSION,
};
use crate::address::{PEER_KEY_LEN, PeerKey, Transport};
use crate::rest::{EndsEarly, Rest};
use crate::sphinx::PublicKey;

/// Everything up to the gateway key: what every descriptor has.
pub(super) const FIXED_LEN: usize = 1 + 4 + 4 + PEER_KEY_LEN + 7 + 32 + 32 + 2 + 2 + 2 + 8;
/// A place with an IPv6 address.
pub(super) const PLACE_LEN_MAX: usize = 1 + 16 + 2;

/// The bytes that are signed.
pub(super) fn signed_bytes(peer: &PeerKey, statement: &Statement, proof: Proof) -> Vec<u8> {
    let address = statement.address.unwrap_or(NOWHERE);
    let mut bytes = Vec::with_capacity(DESCRIPTOR_LEN_MIN);
    bytes.push(VERSION);
    bytes.extend(statement.epoch.to_be_bytes());
    bytes.extend(statement.serial.to_be_bytes());
    bytes.extend(peer.as_bytes());
    bytes.extend(address.ip().octets());
    bytes.push(statement.transport.to_byte());
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(statement.mix_key.as_bytes());
    bytes.extend(
        statement
            .next_mix_key
            .map_or([0; 32], |key| *key.as_bytes()),
    );
    bytes.extend(statement.capabilities.bits().to_be_bytes());
    bytes.extend(statement.capacity.to_be_bytes());
    bytes.extend(statement.load.to_be_bytes());
    bytes.extend(proof.0.to_be_bytes());
    bytes.extend(statement.gateway_key.iter().flatten());
    bytes.push(statement.places.len().min(PLACES_MAX) as u8);
    for place in statement.places.iter().take(PLACES_MAX) {
        let kind = place.transport.to_byte();
        match place.at.ip() {
            IpAddr::V4(ip) => {
                bytes.push(kind);
                bytes.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(kind + KIND_IPV6);
                bytes.extend(ip.octets());
            }
        }
        bytes.extend(place.at.port().to_be_bytes());
    }
    bytes
}

/// Reads one descriptor, which must be all of `bytes`, and verifies it.
pub(super) fn read(bytes: &[u8]) -> Result<Descriptor, DescriptorError> {
    let given = bytes.len();
    if !(DESCRIPTOR_LEN_MIN..=DESCRIPTOR_LEN_MAX).contains(&given) {
        return Err(DescriptorError::Length(given));
    }
    let mut rest = Rest::new(bytes);
    let version = rest.byte()?;
    if version != VERSION {
        return Err(DescriptorError::Version(version));
    }
    let (epoch, serial) = (rest.u32()?, rest.u32()?);
    let peer = PeerKey::from_bytes(rest.take()?).map_err(|_| DescriptorError::BadPeer)?;
    let ip = Ipv4Addr::from(rest.take::<4>()?);
    let transport = transport_from(rest.byte()?)?;
    let address = SocketAddrV4::new(ip, rest.u16()?);
    let address = (address != NOWHERE).then_some(address);
    let mix_key = PublicKey::from_bytes(rest.take()?);
    let next = rest.take()?;
    let next_mix_key = (next != [0; 32]).then(|| PublicKey::from_bytes(next));
    let capabilities = Capabilities::from_bits(rest.u16()?)?;
    let (capacity, load) = (rest.u16()?, rest.u16()?);
    let proof = Proof(u64::from_be_bytes(rest.take()?));
    let gateway_key = match capabilities.bridge {
        true => Some(rest.take()?),
        false => None,
    };
    let count = rest.byte()?;
    if usize::from(count) > PLACES_MAX {
        return Err(DescriptorError::TooManyPlaces(count.into()));
    }
    let places = (0..count).map(|_| rest.place()).collect::<Result<_, _>>()?;
    let signature = rest.take::<SIGNATURE_LEN>()?;
    if rest.len() > 0 {
        return Err(DescriptorError::Length(given));
    }
    let statement = Statement {
        epoch,
        serial,
        address,
        transport,
        places,
        mix_key,
        next_mix_key,
        capabilities,
        capacity,
        load,
        gateway_key,
    };
    Descriptor::admit(peer, statement, proof, signature)
}

/// Peer, epoch and serial, as far as they can be read at all.
pub(super) fn peek(bytes: &[u8]) -> Option<(PeerKey, u32, u32)> {
    if !(DESCRIPTOR_LEN_MIN..=DESCRIPTOR_LEN_MAX).contains(&bytes.len()) {
        return None;
    }
    let mut rest = Rest::new(bytes);
    let version = rest.byte().ok()?;
    let (epoch, serial) = (rest.u32().ok()?, rest.u32().ok()?);
    let peer = PeerKey::from_bytes(rest.take().ok()?).ok()?;
    (version == VERSION).then_some((peer, epoch, serial))
}

impl Rest<'_> {
    fn place(&mut self) -> Result<Place, DescriptorError> {
        let kind = self.byte()?;
        let transport = transport_from(kind & !KIND_IPV6)?;
        let ip: IpAddr = match kind & KIND_IPV6 {
            0 => Ipv4Addr::from(self.take::<4>()?).into(),
            _ => Ipv6Addr::from(self.take::<16>()?).into(),
        };
        let at = SocketAddr::new(ip, self.u16()?);
        Ok(Place { transport, at })
    }
}

impl From<EndsEarly> for DescriptorError {
    fn from(EndsEarly { given }: EndsEarly) -> Self {
        Self::Length(given)
    }
}

fn transport_from(byte: u8) -> Result<Transport, DescriptorError> {
    Transport::from_byte(byte).map_err(|_| DescriptorError::UnknownTransport(byte.to_string()))
}

/// The kind of a place is its transport's byte, and this bit for IPv6.
const KIND_IPV6: u8 = 0x80;
