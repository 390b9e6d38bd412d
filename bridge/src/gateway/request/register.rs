//! REGISTER: the terms of a registration and their signature.
//!
//! The signature covers a byte string of fixed layout, not the protobuf encoding, so that two
//! encoders agree: see the comment of `Register.signature` in `mixbridge.proto`.

use proto::mixbridge::v1;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use tiny_keccak::{Hasher, Keccak};

use super::{FormError, exact, optional_tag, prefixes, range};
use crate::gateway::kinds::Tag;
use crate::gateway::prefix::Prefix;
use crate::gateway::seal::{ExchangeKey, OBJECT_LEN_MAX};
use crate::mvds::id::{GroupId, PeerId};
use crate::port::BridgeId;

/// What the signed byte string begins with.
const DOMAIN: &[u8] = b"mixbridge/1 register";
/// Length of the signature.
pub const SIGNATURE_LEN: usize = 65;
/// The longest lease: 30 days.
pub const LEASE_S_MAX: u32 = 2_592_000;
/// The most filters, and the most excludes.
pub const FILTERS_MAX: u64 = 64;
/// The slowest pace: one frame in ten minutes.
pub const PACE_MS_MAX: u32 = 600_000;
/// The largest backlog that a client may ask for.
pub const BACKLOG_MAX: u32 = 100_000;

/// How a registration sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Offer, request, message, ack.
    Interactive,
    /// Message, ack.
    Batch,
}

impl Mode {
    fn to_wire(self) -> i32 {
        match self {
            Self::Interactive => v1::Mode::Interactive.into(),
            Self::Batch => v1::Mode::Batch.into(),
        }
    }

    fn from_wire(mode: i32) -> Result<Self, FormError> {
        match v1::Mode::try_from(mode) {
            Ok(v1::Mode::Interactive) => Ok(Self::Interactive),
            Ok(v1::Mode::Batch) => Ok(Self::Batch),
            Err(_) => Err(FormError::UnknownKind("mode")),
        }
    }
}

/// The terms that a client asks for. Which prefixes and leases a bridge grants is its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The MVDS group of the registration.
    pub group: GroupId,
    /// The MVDS peer id of the client: an uncompressed secp256k1 key.
    pub client: PeerId,
    /// Topics to send, 1 to 64 prefixes.
    pub filters: Vec<Prefix>,
    /// Topics not to send, at most 64 prefixes.
    pub exclude: Vec<Prefix>,
    /// 1 to [`LEASE_S_MAX`] seconds.
    pub lease_s: u32,
    /// From when on stored envelopes are wanted, Unix seconds; 0: none.
    pub since: u32,
    /// How MVDS sends.
    pub mode: Mode,
    /// The mean gap between frames, milliseconds, at most [`PACE_MS_MAX`]; 0: none.
    pub pace_ms: u32,
    /// The largest backlog; 0: the bridge decides.
    pub max_backlog: u32,
    /// The largest envelope, bytes; 0: the bridge decides.
    pub max_item_bytes: u32,
    /// The client's key for the keys of the registration.
    pub kx: ExchangeKey,
    /// The registration to renew. Not covered by the signature; group and peer id are.
    pub renew: Option<Tag>,
}

impl Register {
    /// Whether an item with this topic is wanted.
    pub fn wants(&self, topic: [u8; 4]) -> bool {
        self.filters.iter().any(|prefix| prefix.matches(topic))
            && !self.exclude.iter().any(|prefix| prefix.matches(topic))
    }

    /// The byte string under the signature.
    pub fn signed_bytes(&self, bridge: &BridgeId) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        bytes.extend(bridge.0);
        bytes.extend(self.group.bytes());
        bytes.extend(self.client.bytes());
        push_prefixes(&mut bytes, &self.filters);
        let mode = self.mode.to_wire().cast_unsigned();
        let numbers = [
            self.lease_s,
            self.since,
            mode,
            self.pace_ms,
            self.max_backlog,
            self.max_item_bytes,
        ];
        for number in numbers {
            bytes.extend(number.to_be_bytes());
        }
        push_prefixes(&mut bytes, &self.exclude);
        bytes.extend(self.kx.bytes());
        bytes
    }

    /// Signs the terms for one bridge with the secret key of `client`. Fails if it is not a secret key, or not of `client`.
    pub fn sign(self, bridge: &BridgeId, secret: &[u8; 32]) -> Result<SignedRegister, FormError> {
        let key = FormError::Key("the client's secret key");
        let mut secret = SecretKey::from_secret_bytes(*secret).map_err(|_| key)?;
        let signature = RecoverableSignature::sign_ecdsa_recoverable(self.digest(bridge), &secret)
            .serialize_compact();
        let own =
            PublicKey::from_secret_key(&secret).serialize_uncompressed() == *self.client.bytes();
        secret.non_secure_erase();
        let (recovery, compact) = signature;
        let mut signature = [0; SIGNATURE_LEN];
        signature[..64].copy_from_slice(&compact);
        signature[64] = recovery.to_u8();
        if own {
            Ok(SignedRegister {
                terms: self,
                signature,
            })
        } else {
            Err(key)
        }
    }

    fn digest(&self, bridge: &BridgeId) -> Message {
        let mut digest = [0; 32];
        let mut keccak = Keccak::v256();
        keccak.update(&self.signed_bytes(bridge));
        keccak.finalize(&mut digest);
        Message::from_digest(digest)
    }
}

/// Terms with a signature that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRegister {
    terms: Register,
    signature: [u8; SIGNATURE_LEN],
}

impl SignedRegister {
    /// The terms, if they are signed for this bridge by the key that is the client's peer id.
    pub fn verify(self, bridge: &BridgeId) -> Result<Register, FormError> {
        let (compact, recovery) = self.signature.split_at(64);
        let recovery =
            RecoveryId::try_from(i32::from(recovery[0])).map_err(|_| FormError::Signature)?;
        let signature = RecoverableSignature::from_compact(compact, recovery)
            .map_err(|_| FormError::Signature)?;
        let digest = self.terms.digest(bridge);
        let key = signature
            .recover_ecdsa(digest)
            .map_err(|_| FormError::Signature)?;
        // A high s recovers too; verification refuses it, so that a signature has one form.
        let canonical = signature.to_standard().verify(digest, &key).is_ok();
        if canonical && key.serialize_uncompressed() == *self.terms.client.bytes() {
            Ok(self.terms)
        } else {
            Err(FormError::Signature)
        }
    }

    /// The registration that these terms want to renew, before their signature is checked: a cheap look-up.
    pub fn renews(&self) -> Option<Tag> {
        self.terms.renew
    }

    pub(super) fn from_wire(wire: v1::Register) -> Result<Self, FormError> {
        let client: [u8; 65] = exact("client_peer_id", &wire.client_peer_id)?;
        let key = FormError::Key("client_peer_id");
        if client[0] != 0x04 {
            return Err(key);
        }
        range("lease_s", wire.lease_s.into(), 1, LEASE_S_MAX.into())?;
        range("pace_ms", wire.pace_ms.into(), 0, PACE_MS_MAX.into())?;
        range(
            "max_backlog",
            wire.max_backlog.into(),
            0,
            BACKLOG_MAX.into(),
        )?;
        range(
            "max_item_bytes",
            wire.max_item_bytes.into(),
            0,
            OBJECT_LEN_MAX as u64,
        )?;
        let terms = Register {
            group: GroupId::new(exact("group_id", &wire.group_id)?),
            client: PeerId::new(client),
            filters: prefixes("filters", &wire.filters, 1, FILTERS_MAX)?,
            exclude: prefixes("exclude", &wire.exclude, 0, FILTERS_MAX)?,
            lease_s: wire.lease_s,
            since: wire.since,
            mode: Mode::from_wire(wire.mode)?,
            pace_ms: wire.pace_ms,
            max_backlog: wire.max_backlog,
            max_item_bytes: wire.max_item_bytes,
            kx: ExchangeKey::new(exact("kx_pub", &wire.kx_pub)?),
            renew: optional_tag("renew_tag", &wire.renew_tag)?,
        };
        let signature = exact("signature", &wire.signature)?;
        PublicKey::from_byte_array_uncompressed(client).map_err(|_| key)?;
        Ok(Self { terms, signature })
    }

    pub(super) fn to_wire(&self) -> v1::Register {
        let terms = &self.terms;
        v1::Register {
            group_id: terms.group.bytes().to_vec(),
            client_peer_id: terms.client.bytes().to_vec(),
            filters: wire_prefixes(&terms.filters),
            lease_s: terms.lease_s,
            since: terms.since,
            mode: terms.mode.to_wire(),
            pace_ms: terms.pace_ms,
            max_backlog: terms.max_backlog,
            max_item_bytes: terms.max_item_bytes,
            exclude: wire_prefixes(&terms.exclude),
            kx_pub: terms.kx.bytes().to_vec(),
            signature: self.signature.to_vec(),
            renew_tag: terms
                .renew
                .map_or_else(Vec::new, |tag| tag.bytes().to_vec()),
        }
    }
}

fn push_prefixes(bytes: &mut Vec<u8>, prefixes: &[Prefix]) {
    // Lists come from the wire bounded; a longer one of our own is refused by whoever reads it.
    let count = u32::try_from(prefixes.len()).unwrap_or(u32::MAX);
    bytes.extend(count.to_be_bytes());
    for prefix in prefixes {
        bytes.extend(u32::from(prefix.bits()).to_be_bytes());
        bytes.extend(prefix.value());
    }
}

fn wire_prefixes(prefixes: &[Prefix]) -> Vec<v1::PrefixFilter> {
    let wire = |prefix: &Prefix| v1::PrefixFilter {
        bits: prefix.bits().into(),
        value: prefix.value().to_vec(),
    };
    prefixes.iter().map(wire).collect()
}
