//! Why descriptors are refused.

use thiserror::Error;

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
    /// Not the length of any descriptor with these fields.
    #[error("{0} bytes are not the length of a descriptor with these fields")]
    Length(usize),
    /// A capability bit without a meaning here.
    #[error("capability bits {0:#06x} are unknown: update ferry, or the node that wrote it")]
    CapabilityBits(u16),
    /// A load that nobody rounded.
    #[error("load {0} is not a power of two")]
    Load(u16),
    /// More further places than a descriptor has.
    #[error("{0} further places: at most 4")]
    TooManyPlaces(usize),
    /// The work for the identity was not done.
    #[error("its proof of admission does not hold for its peer key")]
    Proof,
    /// A mix key with which nobody can share a secret.
    #[error("a mix key is not a usable X25519 public key: get the descriptor again from that node")]
    MixKey,
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
    /// Zeros are no key.
    #[error("the gateway_key is zero: give the bridge's key")]
    ZeroGatewayKey,
    /// Only a bridge has a key of the gateway protocol.
    #[error("it has a gateway_key and is no bridge: leave the key out")]
    UselessGatewayKey,
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

impl DescriptorError {
    /// The name of the reason in test vectors and counters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Json(_) | Self::Hex { .. } => "malformed",
            Self::Version(_) => "version",
            Self::Length(_) => "length",
            Self::BadPeer => "peer",
            Self::CapabilityBits(_) | Self::UnknownCapability(_) => "capability",
            Self::UnknownTransport(_) => "transport",
            Self::UnusableAddress | Self::NoAddress(_) => "address",
            Self::TooManyPlaces(_) => "places",
            Self::NoGatewayKey | Self::ZeroGatewayKey | Self::UselessGatewayKey => "gateway_key",
            Self::Load(_) => "load",
            Self::Proof => "proof",
            Self::MixKey => "mix_key",
            Self::BadIdentity => "identity",
            Self::Signature => "signature",
        }
    }
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
