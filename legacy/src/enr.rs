//! Node records: what a node says about itself, signed.
//!
//! ```text
//! record = [signature (64: r ‖ s), seq, key, value, key, value, …]      RLP, at most 300 bytes in all
//! text   = "enr:" ‖ base64url without padding
//! ```
//!
//! The keys are strings in ascending order, each once. The signature covers keccak256 of the RLP list of everything after
//! it. A higher `seq` replaces a lower one. Of the keys, `id` must be "v4" and `secp256k1` the compressed public key;
//! `ip`, `ip6`, `tcp`, `udp`, `tcp6` and `udp6` say where the node is. One of these six whose value has another form is as
//! good as absent, and keys that are not known are kept. Spec: ENR (EIP-778), identity scheme "v4".

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::enode::Enode;
use crate::identity::{COMPRESSED_KEY_LEN, KeyError, NodeId, PublicKey, SecretKey};
use crate::keccak::keccak256;
use crate::rlp::{Item, List, RlpError, encode_bytes, encode_uint};

/// A record whose signature is verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    raw: Vec<u8>,
    seq: u64,
    public_key: PublicKey,
    place: Place,
}

/// Where a node is, as far as its record says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Its IPv4 address.
    pub ip: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// The port for connections.
    pub tcp: Option<u16>,
    /// The port for connections to the IPv6 address, if it is another.
    pub tcp6: Option<u16>,
    /// The port of discovery.
    pub udp: Option<u16>,
    /// The port of discovery at the IPv6 address, if it is another.
    pub udp6: Option<u16>,
}

impl Place {
    /// One address with its two ports; an unspecified address is left out.
    pub fn new(ip: IpAddr, udp: u16, tcp: u16) -> Place {
        let mut place = Place {
            tcp: Some(tcp),
            udp: Some(udp),
            ..Place::default()
        };
        match ip.to_canonical() {
            ip if ip.is_unspecified() => {}
            IpAddr::V4(ip) => place.ip = Some(ip),
            IpAddr::V6(ip) => place.ip6 = Some(ip),
        }
        place
    }
}

impl Record {
    /// Reads and verifies the bytes of a record.
    pub fn decode(bytes: &[u8]) -> Result<Record, EnrError> {
        let unverified = Unverified::read(bytes)?;
        let Unverified {
            seq,
            public_key,
            place,
            ..
        } = unverified;
        public_key
            .verify(&keccak256(&unverified.signed), &unverified.signature)
            .map_err(|_| EnrError::Signature)?;
        Ok(Record {
            raw: bytes.to_vec(),
            seq,
            public_key,
            place,
        })
    }

    /// Signs a record.
    pub fn sign(key: &SecretKey, seq: u64, place: Place) -> Record {
        let public_key = key.public();
        let mut pairs: Vec<(&str, Vec<u8>)> = vec![("id", encode_bytes(SCHEME_V4))];
        if let Some(ip) = place.ip {
            pairs.push(("ip", encode_bytes(&ip.octets())));
        }
        if let Some(ip) = place.ip6 {
            pairs.push(("ip6", encode_bytes(&ip.octets())));
        }
        pairs.push(("secp256k1", encode_bytes(&public_key.to_compressed())));
        for (name, port) in [
            ("tcp", place.tcp),
            ("tcp6", place.tcp6),
            ("udp", place.udp),
            ("udp6", place.udp6),
        ] {
            if let Some(port) = port {
                pairs.push((name, encode_uint(port.into())));
            }
        }
        let write = |list: List| {
            pairs.iter().fold(list.uint(seq), |list, (name, value)| {
                list.bytes(name.as_bytes()).raw(value)
            })
        };
        let signature = key.sign(&keccak256(&write(List::new()).finish()));
        Record {
            raw: write(List::new().bytes(&signature[..64])).finish(),
            seq,
            public_key,
            place,
        }
    }

    /// This record, or one with the next number if the place is another.
    pub fn moved(&self, key: &SecretKey, place: Place) -> Record {
        if place == self.place {
            return self.clone();
        }
        Record::sign(key, self.seq.saturating_add(1), place)
    }

    /// The bytes.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Its number among the records of its node.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The key that signed it.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The id of its node.
    pub fn node_id(&self) -> NodeId {
        self.public_key.node_id()
    }

    /// Where its node is.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What has to be known to dial its node: the IPv4 address if there is one, otherwise the IPv6 address. A port that
    /// is not named is 0.
    pub fn enode(&self) -> Option<Enode> {
        let place = &self.place;
        let (ip, tcp, udp) = match (place.ip, place.ip6) {
            (Some(ip), _) => (IpAddr::V4(ip), place.tcp, place.udp),
            (None, Some(ip)) => (
                IpAddr::V6(ip),
                place.tcp6.or(place.tcp),
                place.udp6.or(place.udp),
            ),
            (None, None) => return None,
        };
        let tcp = SocketAddr::new(ip, tcp.unwrap_or(0));
        Some(Enode::new(self.public_key, tcp).with_udp_port(udp.unwrap_or(0)))
    }

    /// The encoded value of any key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let mut items = Item::exact(&self.raw).ok()?.list().ok()?.skip(2);
        while let (Some(Ok(name)), Some(Ok(value))) = (items.next(), items.next()) {
            if name.bytes() == Ok(key.as_bytes()) {
                return Some(value.raw());
            }
        }
        None
    }
}

/// A record that passed every check but that of its signature.
#[derive(Debug)]
pub(crate) struct Unverified {
    pub(crate) seq: u64,
    pub(crate) public_key: PublicKey,
    pub(crate) place: Place,
    /// What the signature must cover.
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl Unverified {
    /// Length, form, order and the key.
    pub(crate) fn read(bytes: &[u8]) -> Result<Unverified, EnrError> {
        if bytes.len() > RECORD_LEN_MAX {
            return Err(EnrError::TooLong { len: bytes.len() });
        }
        let mut items = Item::exact(bytes)
            .and_then(|record| record.list())
            .map_err(EnrError::Malformed)?;
        let signature = items
            .required()
            .and_then(|item| item.bytes())
            .map_err(EnrError::Malformed)?;
        let mut signed = List::new();
        let seq = items.required().map_err(EnrError::Malformed)?;
        signed = signed.raw(seq.raw());
        let seq = seq.uint().map_err(EnrError::Malformed)?;
        let mut pairs = Pairs::default();
        let mut last: Option<&[u8]> = None;
        while let Some(key) = items.advance().map_err(EnrError::Malformed)? {
            signed = signed.raw(key.raw());
            let key = key.bytes().map_err(EnrError::Malformed)?;
            let value = items
                .advance()
                .map_err(EnrError::Malformed)?
                .ok_or(EnrError::OddCount)?;
            signed = signed.raw(value.raw());
            match last {
                Some(last) if last == key => return Err(EnrError::DuplicateKey),
                Some(last) if last > key => return Err(EnrError::NotSorted),
                Some(_) | None => last = Some(key),
            }
            pairs.take(key, value)?;
        }
        if !pairs.scheme {
            return Err(EnrError::Scheme);
        }
        Ok(Unverified {
            seq,
            public_key: pairs.public_key.ok_or(EnrError::NoKey)?,
            place: pairs.place,
            signed: signed.finish(),
            signature: signature
                .try_into()
                .map_err(|_| EnrError::SignatureLength {
                    found: signature.len(),
                })?,
        })
    }
}

/// What is of interest among the pairs.
#[derive(Default)]
struct Pairs {
    scheme: bool,
    public_key: Option<PublicKey>,
    place: Place,
}

impl Pairs {
    fn take(&mut self, key: &[u8], value: Item<'_>) -> Result<(), EnrError> {
        let port = || value.uint().ok().and_then(|port| u16::try_from(port).ok());
        let place = &mut self.place;
        match key {
            b"id" => self.scheme = value.bytes() == Ok(SCHEME_V4),
            b"secp256k1" => {
                let key: [u8; COMPRESSED_KEY_LEN] = value.array().map_err(EnrError::Malformed)?;
                let key = PublicKey::from_compressed(&key).map_err(EnrError::Key)?;
                self.public_key = Some(key);
            }
            b"ip" => place.ip = value.array::<4>().ok().map(Ipv4Addr::from),
            b"ip6" => place.ip6 = value.array::<16>().ok().map(Ipv6Addr::from),
            b"tcp" => place.tcp = port(),
            b"tcp6" => place.tcp6 = port(),
            b"udp" => place.udp = port(),
            b"udp6" => place.udp6 = port(),
            _ => {}
        }
        Ok(())
    }
}

impl FromStr for Record {
    type Err = EnrError;

    fn from_str(text: &str) -> Result<Record, EnrError> {
        let text = text.strip_prefix(SCHEME).ok_or(EnrError::Prefix)?;
        if text.len() > TEXT_LEN_MAX {
            return Err(EnrError::TooLong {
                len: text.len() / 4 * 3,
            });
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| EnrError::Base64)?;
        Record::decode(&bytes)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", URL_SAFE_NO_PAD.encode(&self.raw))
    }
}

/// Where somebody is stays out of logs.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?}, seq {})", self.node_id(), self.seq)
    }
}

/// Where somebody is stays out of logs.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// Why bytes or a text are no node record.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrError {
    /// The text starts with something else.
    #[error("a node record starts with {SCHEME}")]
    Prefix,
    /// The text has characters or bits that base64url without padding does not have.
    #[error("a node record is base64url without padding")]
    Base64,
    /// It is over the limit.
    #[error("a node record has at most {RECORD_LEN_MAX} bytes, not {len}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// It is not the list that it must be.
    #[error("the node record is malformed: {0}")]
    Malformed(RlpError),
    /// The last key has no value.
    #[error("the last key of the node record has no value")]
    OddCount,
    /// Two values for one key.
    #[error("the node record has a key twice")]
    DuplicateKey,
    /// The keys are not in order.
    #[error("the keys of the node record are not sorted")]
    NotSorted,
    /// It is signed in a way that is not known.
    #[error("the identity scheme of the node record is not \"v4\"")]
    Scheme,
    /// There is no public key.
    #[error("the node record has no public key")]
    NoKey,
    /// The public key is no point on the curve.
    #[error("the key of the node record is unusable: {0}")]
    Key(KeyError),
    /// The signature has another length.
    #[error("the signature of a node record has 64 bytes, not {found}")]
    SignatureLength {
        /// Bytes found.
        found: usize,
    },
    /// Somebody else signed it, or something else was signed.
    #[error("the signature of the node record does not verify")]
    Signature,
}

// Of the protocol.

/// Bytes of a record at most.
pub const RECORD_LEN_MAX: usize = 300;
/// What the text of a record starts with.
pub const SCHEME: &str = "enr:";
/// The only identity scheme.
const SCHEME_V4: &[u8] = b"v4";

/// Characters of the longest record; what is longer is not even decoded.
const TEXT_LEN_MAX: usize = RECORD_LEN_MAX.div_ceil(3) * 4;

#[cfg(test)]
mod tests;
