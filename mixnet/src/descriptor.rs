//! Signed descriptors: what a node says about itself, so that others can build paths through it.
//!
//! ```text
//! version 1 ‖ epoch u32 ‖ serial u32 ‖ peer key 33 ‖ ipv4 4 ‖ transport 1 ‖ port u16 ‖ mix key 32 ‖ next mix key 32 ‖
//! capabilities u16 ‖ capacity u16 ‖ load u16 ‖ proof 8 ‖ [gateway key 32: of a bridge] ‖
//! places 1 ‖ (kind 1 ‖ ip 4 or 16 ‖ port u16) …                                        = 128 to 236 bytes, big-endian
//! signature 64 = ECDSA (secp256k1, compact, low s) by the peer key over SHA-256(domain ‖ the above)
//! ```
//!
//! SHA-256 because every hash of the mixnet is SHA-256. Gossip carries these bytes ([`Descriptor::to_bytes`]); in a file a
//! descriptor is a JSON object with the same fields as text, and the file is an array of them. There is one byte form of a
//! descriptor and no other. A [`Descriptor`] in hand has always passed its checks: there is no way to make one without them.
//!
//! A descriptor names the mix key of its epoch and of the next one, so that nobody waits for gossip when the epoch changes. Epoch
//! 0 is that of a static relay list: its keys do not rotate. Spec: descriptors of the mixnet, section 3.2.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use sha2::{Digest, Sha256};

pub use self::error::{DescriptorError, DescriptorListError};
pub use self::proof::{ADMISSION_BITS, Proof};
use crate::address::{PeerKey, Transport};
use crate::sphinx::PublicKey;

mod codec;
mod error;
mod json;
mod proof;

// ---- Our constants ----

/// The version that this build reads and writes.
pub const VERSION: u8 = 1;

/// Length of the shortest byte form, that of a relay with one address, its signature included.
pub const DESCRIPTOR_LEN_MIN: usize = codec::FIXED_LEN + 1 + SIGNATURE_LEN;

/// Length of the longest byte form.
pub const DESCRIPTOR_LEN_MAX: usize = DESCRIPTOR_LEN_MIN + 32 + PLACES_MAX * codec::PLACE_LEN_MAX;

/// Length of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// Further places of one node: another transport and another family of each is enough.
pub const PLACES_MAX: usize = 4;

/// Descriptors in one file: the largest active set that a client downloads.
pub const DESCRIPTORS_MAX: usize = 4096;

/// What the signature's hash starts with, so that it can be mistaken for nothing else.
const DOMAIN: &[u8] = b"ferry mix descriptor";

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

    fn from_bits(bits: u16) -> Result<Self, DescriptorError> {
        let known = Self {
            relay: bits & Self::RELAY != 0,
            bridge: bits & Self::BRIDGE != 0,
            mailbox: bits & Self::MAILBOX != 0,
        };
        if known.bits() != bits {
            return Err(DescriptorError::CapabilityBits(bits));
        }
        Ok(known)
    }

    pub(crate) fn names(self) -> Vec<&'static str> {
        [
            (self.relay, "relay"),
            (self.bridge, "bridge"),
            (self.mailbox, "mailbox"),
        ]
        .into_iter()
        .filter(|(offered, _)| *offered)
        .map(|(_, name)| name)
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

    /// Whether others send packets to a node that offers this: it belongs into everybody's directory.
    pub fn serves(self) -> bool {
        self.relay || self.bridge || self.mailbox
    }
}

/// One more place where a node listens, beside the one that a packet's address can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How it is reached there.
    pub transport: Transport,
    /// Where.
    pub at: SocketAddr,
}

/// What a node wants to say about itself, before it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Epoch of the first mix key; 0 in a static relay list.
    pub epoch: u32,
    /// Of two statements for one epoch the greater serial counts: seconds from the start of the epoch to the signature.
    pub serial: u32,
    /// Where the node listens; none for a node that only dials.
    pub address: Option<SocketAddrV4>,
    /// How it is reached there.
    pub transport: Transport,
    /// Where else, most useful first; at most [`PLACES_MAX`].
    pub places: Vec<Place>,
    /// Its Sphinx key in the epoch.
    pub mix_key: PublicKey,
    /// Its Sphinx key in the next epoch; none in a static relay list.
    pub next_mix_key: Option<PublicKey>,
    /// What it offers.
    pub capabilities: Capabilities,
    /// Packets a second that it forwards for others at most; 0: it does not say.
    pub capacity: u16,
    /// Packets a second that it forwarded in the epoch before, rounded up to a power of two; 0: none, or it does not say.
    pub load: u16,
    /// X25519 key of the gateway protocol; a bridge has one, nobody else.
    pub gateway_key: Option<[u8; 32]>,
}

impl Statement {
    /// A node that only dials and offers nothing; everything else is set by name.
    pub fn new(epoch: u32, mix_key: PublicKey) -> Self {
        Self {
            epoch,
            serial: 0,
            address: None,
            transport: Transport::Tcp,
            places: Vec::new(),
            mix_key,
            next_mix_key: None,
            capabilities: Capabilities::default(),
            capacity: 0,
            load: 0,
            gateway_key: None,
        }
    }
}

/// A statement with the key that signed it. Its signature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    peer: PeerKey,
    statement: Statement,
    proof: Proof,
    signature: [u8; SIGNATURE_LEN],
    digest: [u8; 32],
}

impl Descriptor {
    /// Signs `statement` with the node's libp2p identity, and searches the proof of admission: some ten milliseconds.
    pub fn sign(statement: Statement, identity: &[u8; 32]) -> Result<Self, DescriptorError> {
        let proof = Proof::search(&peer_of(identity)?);
        Self::sign_with(statement, identity, proof)
    }

    /// As [`Self::sign`], with the proof that was found before: it depends on the identity alone.
    pub fn sign_with(
        statement: Statement,
        identity: &[u8; 32],
        proof: Proof,
    ) -> Result<Self, DescriptorError> {
        let peer = peer_of(identity)?;
        check(&peer, &statement, proof)?;
        let secret = secp256k1::SecretKey::from_secret_bytes(*identity)
            .map_err(|_| DescriptorError::BadIdentity)?;
        let digest = digest(&codec::signed_bytes(&peer, &statement, proof));
        let signature = secp256k1::ecdsa::sign(secp256k1::Message::from_digest(digest), &secret);
        Ok(Self {
            peer,
            statement,
            proof,
            signature: signature.serialize_compact(),
            digest,
        })
    }

    /// What was read, if it holds: first the fields, then the proof, then the signature.
    fn admit(
        peer: PeerKey,
        statement: Statement,
        proof: Proof,
        signature: [u8; SIGNATURE_LEN],
    ) -> Result<Self, DescriptorError> {
        let digest = digest(&codec::signed_bytes(&peer, &statement, proof));
        let descriptor = Self {
            peer,
            statement,
            proof,
            signature,
            digest,
        };
        descriptor.verify()?;
        Ok(descriptor)
    }

    /// Checks the fields and the signature. Every way to get a descriptor calls it.
    pub fn verify(&self) -> Result<(), DescriptorError> {
        check(&self.peer, &self.statement, self.proof)?;
        let bad = |_| DescriptorError::Signature;
        let key = secp256k1::PublicKey::from_slice(self.peer.as_bytes()).map_err(bad)?;
        let signature = secp256k1::ecdsa::Signature::from_compact(&self.signature).map_err(bad)?;
        let message = secp256k1::Message::from_digest(self.digest);
        secp256k1::ecdsa::verify(&signature, message, &key).map_err(bad)
    }

    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        codec::signed_bytes(&self.peer, &self.statement, self.proof)
    }

    /// The byte form: what is signed, and the signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.signed_bytes();
        bytes.extend(self.signature);
        bytes
    }

    /// Reads and verifies one byte form; there must be nothing behind it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DescriptorError> {
        codec::read(bytes)
    }

    /// Whose descriptor some bytes claim to be, its epoch and its serial, before anything is verified.
    pub fn peek(bytes: &[u8]) -> Option<(PeerKey, u32, u32)> {
        codec::peek(bytes)
    }

    /// Which statement it is: the hash that is signed. Two signatures of one statement have one digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether it replaces `other` of the same node: a later epoch, a greater serial, then the smaller digest, so that everybody
    /// keeps the same one of two that contradict each other.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let order = |d: &Self| (d.statement.epoch, d.statement.serial);
        (order(self), std::cmp::Reverse(self.digest))
            > (order(other), std::cmp::Reverse(other.digest))
    }

    /// The node's libp2p key.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Everything that it says.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its proof of admission.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Epoch of the first mix key.
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

    /// Its Sphinx key in its epoch.
    pub fn mix_key(&self) -> PublicKey {
        self.statement.mix_key
    }

    /// Its Sphinx key in `epoch`, if it names one.
    pub fn mix_key_in(&self, epoch: u32) -> Option<PublicKey> {
        if epoch == self.statement.epoch {
            return Some(self.statement.mix_key);
        }
        self.statement
            .next_mix_key
            .filter(|_| Some(epoch) == self.statement.epoch.checked_add(1))
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

/// The rules that hold for every statement, cheap ones first.
fn check(peer: &PeerKey, statement: &Statement, proof: Proof) -> Result<(), DescriptorError> {
    let unusable = |ip_unspecified: bool, port: u16| ip_unspecified || port == 0;
    let address = statement.address;
    if address.is_some_and(|a| unusable(a.ip().is_unspecified(), a.port())) {
        return Err(DescriptorError::UnusableAddress);
    }
    if address.is_none() && statement.transport != Transport::Tcp {
        return Err(DescriptorError::UnusableAddress);
    }
    if statement.places.len() > PLACES_MAX {
        return Err(DescriptorError::TooManyPlaces(statement.places.len()));
    }
    let place = |p: &Place| unusable(p.at.ip().is_unspecified(), p.at.port());
    if statement.places.iter().any(place) {
        return Err(DescriptorError::UnusableAddress);
    }
    let Capabilities {
        relay,
        bridge,
        mailbox,
    } = statement.capabilities;
    if address.is_none() && (relay || mailbox) {
        return Err(DescriptorError::NoAddress(if relay {
            "relay"
        } else {
            "mailbox"
        }));
    }
    match statement.gateway_key {
        None if bridge => return Err(DescriptorError::NoGatewayKey),
        Some(_) if !bridge => return Err(DescriptorError::UselessGatewayKey),
        Some(key) if key == [0; 32] => return Err(DescriptorError::ZeroGatewayKey),
        None | Some(_) => {}
    }
    if statement.load != 0 && !statement.load.is_power_of_two() {
        return Err(DescriptorError::Load(statement.load));
    }
    if !proof.admits(peer) {
        return Err(DescriptorError::Proof);
    }
    let keys = statement.next_mix_key.iter().chain([&statement.mix_key]);
    if !keys.into_iter().all(PublicKey::is_usable) {
        return Err(DescriptorError::MixKey);
    }
    Ok(())
}

fn peer_of(identity: &[u8; 32]) -> Result<PeerKey, DescriptorError> {
    PeerKey::of_identity(identity).ok_or(DescriptorError::BadIdentity)
}

fn digest(signed: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(signed)
        .finalize()
        .into()
}

/// No address.
const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

#[cfg(test)]
pub(crate) mod tests;
