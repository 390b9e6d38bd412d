//! ECIES: encryption to a public key.
//!
//! ```text
//! 04 ‖ R (64) ‖ iv (16) ‖ ciphertext ‖ tag (32)            113 bytes more than the plain text
//!
//! z  = X coordinate of the agreement of R with the receiver's key
//! K  = SHA-256(00000001 ‖ z)        Ke = K[0..16]     Km = SHA-256(K[16..32])
//! ciphertext = AES-128-CTR(Ke, iv)  tag = HMAC-SHA-256(Km, iv ‖ ciphertext ‖ mac_data)
//! ```
//!
//! `mac_data` is authenticated and not sent: the size prefix in the handshake, nothing in Whisper.
//! Checks come in the order of their price: length, point, tag (in constant time), and only then decryption.
//! Spec: RLPx ECIES.

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Blame;
use crate::identity::{KeyError, PUBLIC_KEY_LEN, PublicKey, SecretKey};

/// What encryption adds to a text.
pub const OVERHEAD: usize = POINT_LEN + IV_LEN + TAG_LEN;

/// Encrypts a text to whoever holds the secret key of `to`.
pub fn encrypt(to: &PublicKey, text: &[u8], mac_data: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let ephemeral = SecretKey::generate(rng);
    let mut iv = [0; IV_LEN];
    rng.fill_bytes(&mut iv);
    encrypt_with(&ephemeral, &iv, to, text, mac_data)
}

fn encrypt_with(
    ephemeral: &SecretKey,
    iv: &[u8; IV_LEN],
    to: &PublicKey,
    text: &[u8],
    mac_data: &[u8],
) -> Vec<u8> {
    let keys = Keys::derive(ephemeral, to);
    let mut packet = Vec::with_capacity(text.len() + OVERHEAD);
    packet.extend_from_slice(&ephemeral.public().to_prefixed());
    packet.extend_from_slice(iv);
    packet.extend_from_slice(text);
    keys.apply(iv, &mut packet[POINT_LEN + IV_LEN..]);
    let tag = keys
        .mac(&packet[POINT_LEN..], mac_data)
        .finalize()
        .into_bytes();
    packet.extend_from_slice(&tag);
    packet
}

/// Decrypts what was encrypted to this key.
pub fn decrypt(
    key: &SecretKey,
    packet: &[u8],
    mac_data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EciesError> {
    let (ephemeral, body) = split(packet)?;
    Keys::derive(key, &ephemeral).open(body, mac_data)
}

/// Decrypts some packets, in their order and with a key for each, as [`decrypt`] does with nothing else authenticated.
/// Agreeing on their keys costs less for several together.
pub fn decrypt_each(sealed: &[(&SecretKey, &[u8])]) -> Vec<Result<Zeroizing<Vec<u8>>, EciesError>> {
    let split: Vec<_> = sealed.iter().map(|(_, packet)| split(packet)).collect();
    let pairs: Vec<(&SecretKey, &PublicKey)> = sealed
        .iter()
        .zip(&split)
        .filter_map(|((key, _), split)| Some((*key, &split.as_ref().ok()?.0)))
        .collect();
    let mut agreed = SecretKey::agree_each(&pairs).into_iter();
    split
        .iter()
        .map(|split| {
            let (_, body) = (*split)?;
            let shared = agreed.next().expect("one for each ephemeral key");
            Keys::of(&shared).open(body, &[])
        })
        .collect()
}

/// The ephemeral key of a packet, and what follows it: at least the iv and the tag.
fn split(packet: &[u8]) -> Result<(PublicKey, &[u8]), EciesError> {
    if packet.len() < OVERHEAD {
        return Err(EciesError::TooShort { len: packet.len() });
    }
    let (point, body) = packet
        .split_first_chunk::<POINT_LEN>()
        .expect("longer than the overhead");
    let ephemeral = PublicKey::from_prefixed(point).map_err(EciesError::Point)?;
    Ok((ephemeral, body))
}

/// What both ends derive from the agreement.
pub(crate) struct Keys {
    cipher: Zeroizing<[u8; CIPHER_KEY_LEN]>,
    mac: Zeroizing<[u8; 32]>,
}

impl Keys {
    fn derive(secret: &SecretKey, public: &PublicKey) -> Keys {
        Keys::of(&secret.agree(public))
    }

    /// Those of an agreement.
    fn of(shared: &[u8; 32]) -> Keys {
        let mut kdf = Sha256::new();
        kdf.update(1u32.to_be_bytes());
        kdf.update(shared);
        let material: Zeroizing<[u8; 32]> = Zeroizing::new(kdf.finalize().into());
        let mut cipher = Zeroizing::new([0; CIPHER_KEY_LEN]);
        cipher.copy_from_slice(&material[..CIPHER_KEY_LEN]);
        Keys {
            cipher,
            mac: Zeroizing::new(Sha256::digest(&material[CIPHER_KEY_LEN..]).into()),
        }
    }

    /// Decrypts what follows the ephemeral key.
    fn open(&self, body: &[u8], mac_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, EciesError> {
        let (sealed, tag) = body
            .split_last_chunk::<TAG_LEN>()
            .expect("longer than the overhead");
        self.mac(sealed, mac_data)
            .verify_slice(tag)
            .map_err(|_| EciesError::Tag)?;
        let (iv, ciphertext) = sealed
            .split_first_chunk::<IV_LEN>()
            .expect("longer than the overhead");
        let mut text = Zeroizing::new(ciphertext.to_vec());
        self.apply(iv, &mut text);
        Ok(text)
    }

    fn apply(&self, iv: &[u8; IV_LEN], text: &mut [u8]) {
        Ctr128BE::<Aes128>::new((&*self.cipher).into(), iv.into()).apply_keystream(text);
    }

    fn mac(&self, sealed: &[u8], mac_data: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.mac).expect("HMAC takes a key of any length");
        mac.update(sealed);
        mac.update(mac_data);
        mac
    }
}

/// What the fuzz targets need: an agreement per input would be nearly all that they do.
#[cfg(any(test, feature = "fuzzing"))]
impl Keys {
    /// Those of two keys, to be used for many packets.
    pub(crate) fn known(secret: &SecretKey, public: &PublicKey) -> Keys {
        Keys::derive(secret, public)
    }

    /// [`decrypt`] with these keys, whatever the ephemeral key of the packet is.
    pub(crate) fn decrypt(
        &self,
        packet: &[u8],
        mac_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EciesError> {
        let (_, body) = split(packet)?;
        self.open(body, mac_data)
    }

    /// Puts the right tag at the end of a packet, if it has room for one.
    pub(crate) fn mend(&self, packet: &mut [u8], mac_data: &[u8]) {
        if let Some((sealed, tag)) = packet.split_last_chunk_mut::<TAG_LEN>()
            && let Some(sealed) = sealed.get(POINT_LEN..)
        {
            *tag = self.mac(sealed, mac_data).finalize().into_bytes().into();
        }
    }
}

/// Why a packet does not decrypt.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EciesError {
    /// No room for point, iv and tag. A shorter body with a valid tag crashed other implementations.
    #[error("{len} bytes are fewer than the {OVERHEAD} that encryption adds")]
    TooShort {
        /// Its length.
        len: usize,
    },
    /// The ephemeral key is no key.
    #[error("the ephemeral key is unusable: {0}")]
    Point(KeyError),
    /// Encrypted to somebody else, or changed on the way.
    #[error("the tag does not fit")]
    Tag,
}

impl EciesError {
    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        Blame::Peer
    }
}

const POINT_LEN: usize = 1 + PUBLIC_KEY_LEN;
const IV_LEN: usize = 16;
const TAG_LEN: usize = 32;
const CIPHER_KEY_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    /// Seals as a peer would that forgets a part of the body: the tag is right, the length is not.
    fn short_body(key: &SecretKey, body: &[u8]) -> Vec<u8> {
        let ephemeral = SecretKey::generate(&mut rng(9));
        let keys = Keys::derive(&ephemeral, &key.public());
        let mut packet = ephemeral.public().to_prefixed().to_vec();
        packet.extend_from_slice(body);
        packet.extend_from_slice(&keys.mac(body, b"").finalize().into_bytes());
        packet
    }

    #[test]
    fn a_short_body_is_refused_although_its_tag_fits() {
        let key = SecretKey::generate(&mut rng(1));
        for len in 0..IV_LEN {
            let packet = short_body(&key, &vec![7; len]);
            assert_eq!(
                decrypt(&key, &packet, b"").unwrap_err(),
                EciesError::TooShort { len: packet.len() }
            );
        }
        assert!(
            decrypt(&key, &short_body(&key, &[7; IV_LEN]), b"")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn every_bit_counts() {
        let key = SecretKey::generate(&mut rng(2));
        let packet = encrypt(&key.public(), b"text", b"size", &mut rng(3));
        assert_eq!(decrypt(&key, &packet, b"size").unwrap().as_slice(), b"text");
        assert_eq!(
            decrypt(&key, &packet, b"siza").unwrap_err(),
            EciesError::Tag
        );
        assert_eq!(
            decrypt(&SecretKey::generate(&mut rng(4)), &packet, b"size").unwrap_err(),
            EciesError::Tag
        );
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x20;
            let error = decrypt(&key, &changed, b"size").unwrap_err();
            if at < POINT_LEN {
                assert!(matches!(error, EciesError::Point(_)))
            } else {
                assert_eq!(error, EciesError::Tag)
            }
        }
    }

    #[test]
    fn unusable_points_are_refused() {
        let key = SecretKey::generate(&mut rng(5));
        let packet = encrypt(&key.public(), b"text", b"", &mut rng(6));
        let mut large = packet.clone();
        large[1..33].fill(0xff);
        assert_eq!(
            decrypt(&key, &large, b"").unwrap_err(),
            EciesError::Point(KeyError::NotOnCurve)
        );
        let mut compressed = packet;
        compressed[0] = 2;
        assert_eq!(
            decrypt(&key, &compressed, b"").unwrap_err(),
            EciesError::Point(KeyError::Prefix { found: 2 })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_sealed_opens(seed: [u8; 32], len in 0usize..600, mac_data: [u8; 2]) {
            let mut rng = ChaCha20Rng::from_seed(seed);
            let key = SecretKey::generate(&mut rng);
            let mut text = vec![0; len];
            rand_core::Rng::fill_bytes(&mut rng, &mut text);
            let packet = encrypt(&key.public(), &text, &mac_data, &mut rng);
            prop_assert_eq!(packet.len(), text.len() + OVERHEAD);
            prop_assert_eq!(&*decrypt(&key, &packet, &mac_data).unwrap(), &text);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let key = SecretKey::generate(&mut rng(7));
            prop_assert!(decrypt(&key, &bytes, b"").is_err());
        }
    }
}
