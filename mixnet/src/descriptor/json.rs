//! Descriptors as text: one JSON object each, an array of them in a file.

use std::net::{SocketAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use super::{
    Capabilities, DESCRIPTORS_MAX, Descriptor, DescriptorError, DescriptorListError, Place, Proof,
    Statement, VERSION,
};
use crate::address::{PeerKey, Transport};
use crate::sphinx::PublicKey;

impl Descriptor {
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
    #[serde(default, skip_serializing_if = "is_zero")]
    serial: u32,
    peer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddrV4>,
    transport: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    places: Vec<WrittenPlace>,
    mix_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_mix_key: Option<String>,
    capabilities: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    capacity: u16,
    #[serde(default, skip_serializing_if = "is_zero")]
    load: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway_key: Option<String>,
    proof: u64,
    signature: String,
}

/// A further place as the file writes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlace {
    transport: String,
    address: SocketAddr,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl From<&Descriptor> for Written {
    fn from(descriptor: &Descriptor) -> Self {
        let statement = &descriptor.statement;
        Self {
            version: VERSION,
            epoch: statement.epoch,
            serial: statement.serial,
            peer: hex::encode(descriptor.peer.as_bytes()),
            address: statement.address,
            transport: statement.transport.name().to_owned(),
            places: statement.places.iter().map(WrittenPlace::from).collect(),
            mix_key: hex::encode(statement.mix_key.as_bytes()),
            next_mix_key: statement
                .next_mix_key
                .map(|key| hex::encode(key.as_bytes())),
            capabilities: statement
                .capabilities
                .names()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            capacity: statement.capacity,
            load: statement.load,
            gateway_key: statement.gateway_key.map(hex::encode),
            proof: descriptor.proof.0,
            signature: hex::encode(descriptor.signature),
        }
    }
}

impl From<&Place> for WrittenPlace {
    fn from(place: &Place) -> Self {
        Self {
            transport: place.transport.name().to_owned(),
            address: place.at,
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
        let places = self.places.iter().map(|place| {
            Ok(Place {
                transport: transport(&place.transport)?,
                // Zones of IPv6 addresses mean something on one machine only.
                at: SocketAddr::new(place.address.ip(), place.address.port()),
            })
        });
        let optional = |field, text: Option<&str>| text.map(|text| bytes(field, text)).transpose();
        let statement = Statement {
            epoch: self.epoch,
            serial: self.serial,
            address: self.address,
            transport: transport(&self.transport)?,
            places: places.collect::<Result<_, DescriptorError>>()?,
            mix_key: PublicKey::from_bytes(bytes("mix_key", &self.mix_key)?),
            next_mix_key: optional("next_mix_key", self.next_mix_key.as_deref())?
                .map(PublicKey::from_bytes),
            capabilities: Capabilities::from_names(&self.capabilities)?,
            capacity: self.capacity,
            load: self.load,
            gateway_key: optional("gateway_key", self.gateway_key.as_deref())?,
        };
        let signature = bytes("signature", &self.signature)?;
        Descriptor::admit(peer, statement, Proof(self.proof), signature)
    }
}

fn transport(name: &str) -> Result<Transport, DescriptorError> {
    match name {
        "tcp" => Ok(Transport::Tcp),
        "quic" => Ok(Transport::Quic),
        other => Err(DescriptorError::UnknownTransport(other.to_owned())),
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
