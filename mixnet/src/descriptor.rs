//! Signed descriptors: what a node says about itself, so that others can build paths through it.
//!
//! ```text
//! version 1 ‖ epoch u32 ‖ peer key 33 ‖ ipv4 4 ‖ transport 1 ‖ port u16 ‖ mix key 32 ‖
//! capabilities u16 ‖ gateway key 32 (zero: none)                        = 111 bytes, big-endian
//! signature = ECDSA (secp256k1, compact, low s) by the peer key over SHA-256(domain ‖ the above)
//! ```
//!
//! SHA-256 because every hash of the mixnet is SHA-256. In a file a descriptor is a JSON object
//! with the same fields as text; the file is an array of them. A [`Descriptor`] in hand has always
//! passed its checks: there is no way to make one without them.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::address::{PeerKey, Transport};
use crate::sphinx::PublicKey;

// ---- Our constants ----

/// The version that this build reads and writes.
pub const VERSION: u8 = 1;

/// Length of the signed byte form.
pub const SIGNED_LEN: usize = 111;

/// What the signature's hash starts with, so that it can be mistaken for nothing else.
const DOMAIN: &[u8] = b"ferry mix descriptor";

/// Descriptors in one file: the largest active set that a client downloads.
pub const DESCRIPTORS_MAX: usize = 4096;

/// What a node offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Forwards packets of others.
    pub relay: bool,
    /// Carries messages to and from Whisper.
    pub bridge: bool,
    /// Keeps messages for those who are offline.
    pub mailbox: bool,
}

impl Capabilities {
    const RELAY: u16 = 1;
    const BRIDGE: u16 = 2;
    const MAILBOX: u16 = 4;

    fn bits(self) -> u16 {
        u16::from(self.relay) * Self::RELAY
            + u16::from(self.bridge) * Self::BRIDGE
            + u16::from(self.mailbox) * Self::MAILBOX
    }

    fn names(self) -> Vec<String> {
        [
            (self.relay, "relay"),
            (self.bridge, "bridge"),
            (self.mailbox, "mailbox"),
        ]
        .into_iter()
        .filter(|(offered, _)| *offered)
        .map(|(_, name)| name.to_owned())
        .collect()
    }

    fn from_names(names: &[String]) -> Result<Self, DescriptorError> {
        let mut capabilities = Self::default();
        for name in names {
            match name.as_str() {
                "relay" => capabilities.relay = true,
                "bridge" => capabilities.bridge = true,
                "mailbox" => capabilities.mailbox = true,
                other => return Err(DescriptorError::UnknownCapability(other.to_owned())),
            }
        }
        Ok(capabilities)
    }
}

/// What a node wants to say about itself, before it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Epoch of the mix key.
    pub epoch: u32,
    /// Where the node listens; none for a node that only dials.
    pub address: Option<SocketAddrV4>,
    /// How it is reached there.
    pub transport: Transport,
    /// Its Sphinx key.
    pub mix_key: PublicKey,
    /// What it offers.
    pub capabilities: Capabilities,
    /// X25519 key of the gateway protocol; a bridge has one.
    pub gateway_key: Option<[u8; 32]>,
}

/// A statement with the key that signed it. Its signature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    peer: PeerKey,
    statement: Statement,
    signature: [u8; 64],
}

impl Descriptor {
    /// Signs `statement` with the node's libp2p identity.
    pub fn sign(statement: Statement, identity: &[u8; 32]) -> Result<Self, DescriptorError> {
        let secret = secp256k1::SecretKey::from_secret_bytes(*identity)
            .map_err(|_| DescriptorError::BadIdentity)?;
        let peer = PeerKey::from_bytes(secret.public_key().serialize())
            .map_err(|_| DescriptorError::BadIdentity)?;
        check(&statement)?;
        let digest = digest(&signed_bytes(&peer, &statement));
        let signature = secp256k1::ecdsa::sign(secp256k1::Message::from_digest(digest), &secret);
        Ok(Self {
            peer,
            statement,
            signature: signature.serialize_compact(),
        })
    }

    /// Checks the fields and the signature. Every way to get a descriptor calls it.
    pub fn verify(&self) -> Result<(), DescriptorError> {
        check(&self.statement)?;
        let bad = |_| DescriptorError::Signature;
        let digest = digest(&signed_bytes(&self.peer, &self.statement));
        let key = secp256k1::PublicKey::from_slice(self.peer.as_bytes()).map_err(bad)?;
        let signature = secp256k1::ecdsa::Signature::from_compact(&self.signature).map_err(bad)?;
        secp256k1::ecdsa::verify(&signature, secp256k1::Message::from_digest(digest), &key)
            .map_err(bad)
    }

    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> [u8; SIGNED_LEN] {
        signed_bytes(&self.peer, &self.statement)
    }

    /// One JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(Written::from(self))
    }

    /// Reads and verifies one JSON object.
    pub fn from_json(text: &str) -> Result<Self, DescriptorError> {
        serde_json::from_str::<Written>(text)
            .map_err(|error| DescriptorError::Json(error.to_string()))?
            .read()
    }

    /// The content of a descriptor file.
    pub fn list_to_json(descriptors: &[Self]) -> String {
        let list = descriptors.iter().map(Self::to_json).collect::<Vec<_>>();
        format!("{:#}\n", serde_json::Value::Array(list))
    }

    /// Reads the content of a descriptor file. One bad entry refuses the file: an operator who
    /// edits it must see the mistake, not a smaller network.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>, DescriptorListError> {
        let list: Vec<serde_json::Value> = serde_json::from_str(text)
            .map_err(|error| DescriptorListError::NotAList(error.to_string()))?;
        if list.len() > DESCRIPTORS_MAX {
            return Err(DescriptorListError::TooMany(list.len()));
        }
        let mut read: Vec<Self> = Vec::with_capacity(list.len());
        for (index, value) in list.into_iter().enumerate() {
            let peer = value.get("peer").and_then(|peer| peer.as_str());
            let peer = short(peer.unwrap_or("unnamed"));
            let descriptor = serde_json::from_value::<Written>(value)
                .map_err(|error| DescriptorError::Json(error.to_string()))
                .and_then(Written::read)
                .map_err(|source| DescriptorListError::Entry {
                    entry: index + 1,
                    peer: peer.clone(),
                    source,
                })?;
            if let Some(first) = read.iter().position(|other| other.peer == descriptor.peer) {
                let (first, second) = (first + 1, index + 1);
                return Err(DescriptorListError::Duplicate {
                    first,
                    second,
                    peer,
                });
            }
            read.push(descriptor);
        }
        Ok(read)
    }

    /// The node's libp2p key.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Epoch of the mix key.
    pub fn epoch(&self) -> u32 {
        self.statement.epoch
    }

    /// Where the node listens.
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.statement.address
    }

    /// How it is reached there.
    pub fn transport(&self) -> Transport {
        self.statement.transport
    }

    /// Its Sphinx key.
    pub fn mix_key(&self) -> PublicKey {
        self.statement.mix_key
    }

    /// What it offers.
    pub fn capabilities(&self) -> Capabilities {
        self.statement.capabilities
    }

    /// X25519 key of the gateway protocol.
    pub fn gateway_key(&self) -> Option<[u8; 32]> {
        self.statement.gateway_key
    }
}

/// The rules that hold for every statement, signed or not.
fn check(statement: &Statement) -> Result<(), DescriptorError> {
    let address = statement.address;
    if address.is_some_and(|a| a.ip().is_unspecified() || a.port() == 0) {
        return Err(DescriptorError::UnusableAddress);
    }
    let Capabilities {
        relay,
        bridge,
        mailbox,
    } = statement.capabilities;
    if (relay || mailbox) && address.is_none() {
        return Err(DescriptorError::NoAddress(if relay {
            "relay"
        } else {
            "mailbox"
        }));
    }
    if bridge && statement.gateway_key.is_none() {
        return Err(DescriptorError::NoGatewayKey);
    }
    if statement.gateway_key == Some([0; 32]) {
        return Err(DescriptorError::ZeroGatewayKey);
    }
    Ok(())
}

fn signed_bytes(peer: &PeerKey, statement: &Statement) -> [u8; SIGNED_LEN] {
    let address = statement
        .address
        .unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let transport = match statement.transport {
        Transport::Tcp => 0,
        Transport::Quic => 1,
    };
    let mut bytes = Vec::with_capacity(SIGNED_LEN);
    bytes.push(VERSION);
    bytes.extend(statement.epoch.to_be_bytes());
    bytes.extend(peer.as_bytes());
    bytes.extend(address.ip().octets());
    bytes.push(transport);
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(statement.mix_key.as_bytes());
    bytes.extend(statement.capabilities.bits().to_be_bytes());
    bytes.extend(statement.gateway_key.unwrap_or([0; 32]));
    let mut signed = [0; SIGNED_LEN];
    signed.copy_from_slice(&bytes);
    signed
}

fn digest(signed: &[u8; SIGNED_LEN]) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(signed)
        .finalize()
        .into()
}

/// The first bytes of a key: enough to find the entry in the file.
fn short(hex: &str) -> String {
    hex.chars().take(12).collect()
}

/// A descriptor as the file writes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u8,
    epoch: u32,
    peer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddrV4>,
    transport: String,
    mix_key: String,
    capabilities: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway_key: Option<String>,
    signature: String,
}

impl From<&Descriptor> for Written {
    fn from(descriptor: &Descriptor) -> Self {
        let statement = &descriptor.statement;
        Self {
            version: VERSION,
            epoch: statement.epoch,
            peer: hex::encode(descriptor.peer.as_bytes()),
            address: statement.address,
            transport: match statement.transport {
                Transport::Tcp => "tcp".to_owned(),
                Transport::Quic => "quic".to_owned(),
            },
            mix_key: hex::encode(statement.mix_key.as_bytes()),
            capabilities: statement.capabilities.names(),
            gateway_key: statement.gateway_key.map(hex::encode),
            signature: hex::encode(descriptor.signature),
        }
    }
}

impl Written {
    /// Parses the fields and verifies the result.
    fn read(self) -> Result<Descriptor, DescriptorError> {
        if self.version != VERSION {
            return Err(DescriptorError::Version(self.version));
        }
        let peer = PeerKey::from_bytes(bytes("peer", &self.peer)?)
            .map_err(|_| DescriptorError::BadPeer)?;
        let transport = match self.transport.as_str() {
            "tcp" => Transport::Tcp,
            "quic" => Transport::Quic,
            other => return Err(DescriptorError::UnknownTransport(other.to_owned())),
        };
        let gateway_key = self.gateway_key.as_deref();
        let descriptor = Descriptor {
            peer,
            statement: Statement {
                epoch: self.epoch,
                address: self.address,
                transport,
                mix_key: PublicKey::from_bytes(bytes("mix_key", &self.mix_key)?),
                capabilities: Capabilities::from_names(&self.capabilities)?,
                gateway_key: gateway_key
                    .map(|text| bytes("gateway_key", text))
                    .transpose()?,
            },
            signature: bytes("signature", &self.signature)?,
        };
        descriptor.verify()?;
        Ok(descriptor)
    }
}

fn bytes<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], DescriptorError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| DescriptorError::Hex {
        field,
        bytes: N,
        given: text.len(),
    })?;
    Ok(bytes)
}

/// Why a descriptor is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Not the JSON object that is expected.
    #[error("it does not read as a descriptor: {0}")]
    Json(String),
    /// A version that this build does not know.
    #[error(
        "it has version {0}, this build reads version 1: update ferry, or the node that wrote it"
    )]
    Version(u8),
    /// A byte string of the wrong length or with other characters.
    #[error("field {field} must be {bytes} bytes in hexadecimal digits, it has {given} characters")]
    Hex {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// Characters that it has.
        given: usize,
    },
    /// The peer key is no point of the curve.
    #[error("field peer is not a compressed secp256k1 public key")]
    BadPeer,
    /// A transport without a name here.
    #[error("transport {0:?} is unknown: tcp or quic")]
    UnknownTransport(String),
    /// A capability without a name here.
    #[error("capability {0:?} is unknown: relay, bridge or mailbox")]
    UnknownCapability(String),
    /// 0.0.0.0 or port 0.
    #[error("the address is unspecified or has port 0: give the address that others can dial")]
    UnusableAddress,
    /// A node that others must dial does not say where.
    #[error("a {0} needs an address that others can dial")]
    NoAddress(&'static str),
    /// A bridge without the key of the gateway protocol.
    #[error("a bridge needs a gateway_key")]
    NoGatewayKey,
    /// The byte form has zeros for "none".
    #[error("the gateway_key is zero: leave it out, or give the bridge's key")]
    ZeroGatewayKey,
    /// The identity's bytes are no secret key.
    #[error("the identity is not a secp256k1 secret key")]
    BadIdentity,
    /// The signature is not by the peer key over these fields.
    #[error(
        "its signature does not match its fields: get the descriptor again from that node \
         (`ferry id` prints it) and replace the entry as a whole"
    )]
    Signature,
}

/// Why a descriptor file is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptorListError {
    /// The file is not a JSON array.
    #[error("the descriptor file is not a JSON array: {0}")]
    NotAList(String),
    /// More entries than a network has.
    #[error("{0} descriptors: at most 4096 are read")]
    TooMany(usize),
    /// One entry is bad.
    #[error("descriptor {entry} (peer {peer}) is refused: {source}")]
    Entry {
        /// Its place in the file, from 1.
        entry: usize,
        /// The start of its peer key.
        peer: String,
        /// What is wrong.
        source: DescriptorError,
    },
    /// Two entries of one node.
    #[error("descriptors {first} and {second} are of one peer ({peer}): keep the newer one")]
    Duplicate {
        /// The first one's place, from 1.
        first: usize,
        /// The second one's place.
        second: usize,
        /// The start of the peer key.
        peer: String,
    },
}

#[cfg(test)]
pub(crate) mod tests;
