//! Who a peer is: a secp256k1 key.
//!
//! ```text
//! public key = X (32, big-endian) ‖ Y (32)      without the 04 prefix of the uncompressed form
//! node id    = keccak256(public key)
//! signature  = r (32) ‖ s (32) ‖ v (1), v = 0..=3
//! ```
//!
//! A point that is not on the curve, or a coordinate that is not below the field prime, never becomes a [`PublicKey`].
//! Spec: devp2p node identity, "v4" scheme.

use std::fmt;
use std::sync::OnceLock;

use ethereum_types::H256;
use rand_core::CryptoRng;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
use secp256k1::{Message, ecdh};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keccak::keccak256;

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(not(target_arch = "x86_64"))]
#[path = "identity/no_lanes.rs"]
mod lanes;

/// Bytes of a secret key.
pub const SECRET_KEY_LEN: usize = 32;
/// Bytes of a public key on the wire.
pub const PUBLIC_KEY_LEN: usize = 64;
/// Bytes of a public key in its compressed form.
pub const COMPRESSED_KEY_LEN: usize = 33;
/// Bytes of a signature with its recovery id.
pub const SIGNATURE_LEN: usize = 65;
/// Bytes of a node id.
pub const NODE_ID_LEN: usize = 32;

/// A digest and the signature of it.
pub type Signed<'a> = (&'a [u8; 32], &'a [u8; SIGNATURE_LEN]);

/// A static or ephemeral secret key. Erased when dropped; never shown.
pub struct SecretKey {
    key: secp256k1::SecretKey,
    /// Computed when it is first asked for, which a handshake and a filter do more than once.
    public: OnceLock<PublicKey>,
}

impl SecretKey {
    /// A key from its bytes; they must be a number from 1 to the group order less one.
    pub fn from_bytes(bytes: &[u8; SECRET_KEY_LEN]) -> Result<SecretKey, KeyError> {
        secp256k1::SecretKey::from_secret_bytes(*bytes)
            .map(|key| SecretKey {
                key,
                public: OnceLock::new(),
            })
            .map_err(|_| KeyError::SecretOutOfRange)
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> SecretKey {
        let mut bytes = Zeroizing::new([0; SECRET_KEY_LEN]);
        loop {
            rng.fill_bytes(&mut *bytes);
            if let Ok(key) = SecretKey::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The bytes of the key, for the one place that stores it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SECRET_KEY_LEN]> {
        Zeroizing::new(self.key.to_secret_bytes())
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        *self.public.get_or_init(|| PublicKey(self.key.public_key()))
    }

    /// The X coordinate of the shared point, the only form in which devp2p uses a key agreement.
    pub fn agree(&self, with: &PublicKey) -> Zeroizing<[u8; 32]> {
        let mut point = ecdh::shared_secret_point(&with.0, &self.key);
        let mut x = Zeroizing::new([0; 32]);
        x.copy_from_slice(&point[..32]);
        point.zeroize();
        x
    }

    /// Some agreements, in their order, each as [`SecretKey::agree`] makes it. On a processor that has AVX-512 with IFMA eight
    /// together take the time of three.
    pub fn agree_each(pairs: &[(&SecretKey, &PublicKey)]) -> Vec<Zeroizing<[u8; 32]>> {
        side_by_side(pairs, lanes::agree, |(secret, public), found| {
            found.unwrap_or_else(|| secret.agree(public))
        })
    }

    /// Signs 32 bytes as they are, without hashing them.
    pub fn sign(&self, digest: &[u8; 32]) -> [u8; SIGNATURE_LEN] {
        let signature =
            RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(*digest), &self.key);
        let (id, compact) = signature.serialize_compact();
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = id.to_u8();
        bytes
    }
}

impl Clone for SecretKey {
    fn clone(&self) -> SecretKey {
        SecretKey {
            key: self.key,
            public: self.public.clone(),
        }
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// A point on the curve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(secp256k1::PublicKey);

impl PublicKey {
    /// A key from X ‖ Y, checked to be on the curve.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<PublicKey, KeyError> {
        let mut prefixed = [0; 1 + PUBLIC_KEY_LEN];
        prefixed[0] = UNCOMPRESSED;
        prefixed[1..].copy_from_slice(bytes);
        secp256k1::PublicKey::from_byte_array_uncompressed(prefixed)
            .map(PublicKey)
            .map_err(|_| KeyError::NotOnCurve)
    }

    /// A key from 04 ‖ X ‖ Y; no other prefix is accepted.
    pub fn from_prefixed(bytes: &[u8; 1 + PUBLIC_KEY_LEN]) -> Result<PublicKey, KeyError> {
        if bytes[0] != UNCOMPRESSED {
            return Err(KeyError::Prefix { found: bytes[0] });
        }
        secp256k1::PublicKey::from_byte_array_uncompressed(*bytes)
            .map(PublicKey)
            .map_err(|_| KeyError::NotOnCurve)
    }

    /// X ‖ Y.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_LEN] {
        let mut bytes = [0; PUBLIC_KEY_LEN];
        bytes.copy_from_slice(&self.to_prefixed()[1..]);
        bytes
    }

    /// 04 ‖ X ‖ Y, the form of ECIES and of the JSON-RPC.
    pub fn to_prefixed(&self) -> [u8; 1 + PUBLIC_KEY_LEN] {
        self.0.serialize_uncompressed()
    }

    /// A key from its compressed form, 02 or 03 ‖ X.
    pub fn from_compressed(bytes: &[u8; COMPRESSED_KEY_LEN]) -> Result<PublicKey, KeyError> {
        secp256k1::PublicKey::from_byte_array_compressed(*bytes)
            .map(PublicKey)
            .map_err(|_| KeyError::NotOnCurve)
    }

    /// 02 or 03 ‖ X, the form of node records.
    pub fn to_compressed(&self) -> [u8; COMPRESSED_KEY_LEN] {
        self.0.serialize()
    }

    /// Whether this key made a signature r ‖ s over these 32 bytes. A high `s` is refused, as go-ethereum does where it
    /// verifies instead of recovering.
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), KeyError> {
        Signature::from_compact(signature)
            .and_then(|signature| signature.verify(Message::from_digest(*digest), &self.0))
            .map_err(|_| KeyError::Signature)
    }

    /// The node id of whoever holds the secret key.
    pub fn node_id(&self) -> NodeId {
        NodeId::new(keccak256(&self.to_bytes()))
    }

    /// The key that made a signature over these 32 bytes.
    ///
    /// The recovery id is 0..=3, never 27 or 28. A high `s` is accepted, as all peers do.
    pub fn recover(
        digest: &[u8; 32],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<PublicKey, KeyError> {
        let v = signature[64];
        let id =
            RecoveryId::try_from(i32::from(v)).map_err(|_| KeyError::RecoveryId { found: v })?;
        RecoverableSignature::from_compact(&signature[..64], id)
            .and_then(|signature| signature.recover(Message::from_digest(*digest)))
            .map(PublicKey)
            .map_err(|_| KeyError::Signature)
    }

    /// The keys that made some signatures, in their order, each as [`PublicKey::recover`] finds it. On a processor that has
    /// AVX-512 with IFMA eight together take the time of three.
    pub fn recover_each(signed: &[Signed<'_>]) -> Vec<Result<PublicKey, KeyError>> {
        side_by_side(signed, lanes::recover, |(digest, signature), found| {
            // What is not found there may be found all the same, and if not, the reason is.
            found
                .and_then(|point| PublicKey::from_bytes(&point).ok())
                .map_or_else(|| PublicKey::recover(digest, signature), Ok)
        })
    }
}

/// What comes of each, in their order, once it is known what the lanes found, if they were asked.
fn side_by_side<T, Found, Out>(
    all: &[T],
    in_lanes: fn(&[T]) -> Option<[Option<Found>; lanes::LANES]>,
    finish: impl Fn(&T, Option<Found>) -> Out,
) -> Vec<Out> {
    let mut done = Vec::with_capacity(all.len());
    for some in all.chunks(lanes::LANES) {
        let found = (some.len() >= LANES_PAY_FROM)
            .then(|| in_lanes(some))
            .flatten()
            .unwrap_or_default();
        done.extend(
            some.iter()
                .zip(found)
                .map(|(one, found)| finish(one, found)),
        );
    }
    done
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}…)", hex::encode(&self.to_bytes()[..4]))
    }
}

/// The short name of a peer, under which everything about it is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(H256);

impl NodeId {
    /// An id from its bytes.
    pub const fn new(bytes: [u8; NODE_ID_LEN]) -> NodeId {
        NodeId(H256(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; NODE_ID_LEN] {
        &self.0.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({}…)", hex::encode(&self.0.0[..4]))
    }
}

/// Why bytes are not a key or a signature.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Zero, or not below the group order.
    #[error("the secret key is zero or not below the group order")]
    SecretOutOfRange,
    /// A coordinate is too large, or the point is elsewhere.
    #[error("the public key is not a point on the curve")]
    NotOnCurve,
    /// Not the uncompressed form.
    #[error("the public key starts with {found:#04x}, not with 0x04")]
    Prefix {
        /// The byte in its place.
        found: u8,
    },
    /// The last byte of a signature is not 0..=3.
    #[error("the recovery id is {found}, not 0 to 3")]
    RecoveryId {
        /// The byte in its place.
        found: u8,
    },
    /// `r` or `s` is out of range, or no key fits.
    #[error("no public key fits the signature")]
    Signature,
}

/// Signatures, or agreements, for which eight lanes are less work than one at a time.
const LANES_PAY_FROM: usize = 4;
/// The prefix of the uncompressed form.
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretKey {
        SecretKey::from_bytes(&hex::decode(text).unwrap().try_into().unwrap()).unwrap()
    }

    #[test]
    fn published_keys_and_ids() {
        for (key, public, id) in [
            (
                "49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee",
                "fda1cff674c90c9a197539fe3dfb53086ace64f83ed7c6eabec741f7f381cc803e52ab2cd55d5569bce4347107a310dfd5f88a010cd2ffd1005ca406f1842877",
                "6469cc2093f39e9117071e660d3ab14bbad3d99f4203bd7a11acb94882050e7e",
            ),
            (
                "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291",
                "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f",
                "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7",
            ),
        ] {
            let key = secret(key);
            assert_eq!(hex::encode(key.public().to_bytes()), public);
            assert_eq!(hex::encode(key.public().node_id().as_bytes()), id);
            assert_eq!(
                PublicKey::from_bytes(&key.public().to_bytes()),
                Ok(key.public())
            );
        }
    }

    #[test]
    fn points_off_the_curve_and_large_coordinates_are_refused() {
        let key =
            secret("49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee").public();
        let mut off = key.to_bytes();
        off[63] ^= 1;
        assert_eq!(PublicKey::from_bytes(&off), Err(KeyError::NotOnCurve));
        let mut large = key.to_bytes();
        large[..32].fill(0xff);
        assert_eq!(PublicKey::from_bytes(&large), Err(KeyError::NotOnCurve));
        assert_eq!(PublicKey::from_bytes(&[0; 64]), Err(KeyError::NotOnCurve));
        // The hybrid prefixes 06 and 07 are a legal encoding elsewhere, not here.
        let mut hybrid = key.to_prefixed();
        hybrid[0] = 6 | (hybrid[64] & 1);
        assert!(matches!(
            PublicKey::from_prefixed(&hybrid),
            Err(KeyError::Prefix { .. })
        ));
    }

    #[test]
    fn secrets_out_of_range_are_refused() {
        assert!(matches!(
            SecretKey::from_bytes(&[0; 32]),
            Err(KeyError::SecretOutOfRange)
        ));
        assert!(matches!(
            SecretKey::from_bytes(&[0xff; 32]),
            Err(KeyError::SecretOutOfRange)
        ));
    }

    #[test]
    fn signatures_name_their_signer() {
        let key = secret("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291");
        let digest = keccak256(b"digest");
        let mut signature = key.sign(&digest);
        assert_eq!(PublicKey::recover(&digest, &signature), Ok(key.public()));
        signature[64] += 27;
        assert!(matches!(
            PublicKey::recover(&digest, &signature),
            Err(KeyError::RecoveryId { .. })
        ));
        signature[64] = 0;
        signature[..32].fill(0);
        assert_eq!(
            PublicKey::recover(&digest, &signature),
            Err(KeyError::Signature)
        );
    }

    #[test]
    fn compressed_keys_and_plain_signatures() {
        let key = secret("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291");
        let compressed = key.public().to_compressed();
        assert_eq!(
            hex::encode(compressed),
            "03ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138"
        );
        assert_eq!(PublicKey::from_compressed(&compressed), Ok(key.public()));
        for prefix in [0, 1, 4, 6] {
            let mut bad = compressed;
            bad[0] = prefix;
            assert_eq!(PublicKey::from_compressed(&bad), Err(KeyError::NotOnCurve));
        }
        let digest = keccak256(b"digest");
        let mut signature: [u8; 64] = key.sign(&digest)[..64].try_into().unwrap();
        assert_eq!(key.public().verify(&digest, &signature), Ok(()));
        assert_eq!(
            key.public().verify(&keccak256(b"other"), &signature),
            Err(KeyError::Signature)
        );
        signature[63] ^= 1;
        assert_eq!(
            key.public().verify(&digest, &signature),
            Err(KeyError::Signature)
        );
    }

    #[test]
    fn agreement_is_the_published_token() {
        let a = secret("49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee");
        let b = secret("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291");
        let expected = "2d21423c1dc3355da36e7f2c2b530eeffcf0680f93201a958b2ec3a7d04958e6";
        assert_eq!(hex::encode(*a.agree(&b.public())), expected);
        assert_eq!(hex::encode(*b.agree(&a.public())), expected);
    }

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let key = secret("49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee");
        assert_eq!(format!("{key:?}"), "SecretKey");
    }
}
