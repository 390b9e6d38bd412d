//! Encryption of a plaintext into the data of an envelope.
//!
//! ```text
//! symmetric   AES-256-GCM ciphertext ‖ tag (16) ‖ nonce (12)            28 bytes more than the plaintext
//! asymmetric  ECIES packet                                             113 bytes more
//! ```
//!
//! A password becomes a key by PBKDF2-HMAC-SHA-256 with an empty salt and 65,356 iterations. Spec: Whisper v6 payload.

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hmac::Hmac;
use rand_core::CryptoRng;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use super::limits::PBKDF2_ITERATIONS;
use super::message::{self, MessageError, Padding, Plaintext};
use crate::identity::{PublicKey, SecretKey};
use crate::keccak::keccak256;
use crate::rlpx::ecies::{self, EciesError};

/// A symmetric key, expanded once. Erased when dropped; never shown.
#[derive(Clone)]
pub struct SymKey {
    bytes: Zeroizing<[u8; SymKey::LEN]>,
    cipher: Box<Aes256Gcm>,
}

impl SymKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// A key from its bytes; not all of them may be zero.
    pub fn from_bytes(bytes: &[u8; SymKey::LEN]) -> Result<SymKey, AllZero> {
        if *bytes == [0; SymKey::LEN] {
            return Err(AllZero);
        }
        Ok(SymKey {
            bytes: Zeroizing::new(*bytes),
            cipher: Box::new(Aes256Gcm::new(bytes.into())),
        })
    }

    /// The key of a password, such as the name of a public chat. Takes tens of milliseconds on purpose.
    pub fn from_password(password: &[u8]) -> SymKey {
        let mut bytes = Zeroizing::new([0; SymKey::LEN]);
        pbkdf2::pbkdf2::<Hmac<Sha256>>(password, &[], PBKDF2_ITERATIONS, &mut *bytes)
            .expect("HMAC takes a password of any length");
        SymKey::from_bytes(&bytes).expect("PBKDF2 does not come out at zero")
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> SymKey {
        let mut bytes = Zeroizing::new([0; SymKey::LEN]);
        rng.fill_bytes(&mut *bytes);
        SymKey::from_bytes(&bytes).expect("256 random bits are not all zero")
    }

    /// The bytes of the key, for the one place that stores it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SymKey::LEN]> {
        self.bytes.clone()
    }

    fn seal(&self, mut text: Vec<u8>, rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        self.cipher
            .encrypt_in_place(&nonce.into(), &[], &mut text)
            .expect("a plaintext is far shorter than what one nonce covers");
        text.extend_from_slice(&nonce);
        text
    }

    fn open(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let short = OpenError::TooShort { len: data.len() };
        let (sealed, nonce) = data.split_last_chunk::<NONCE_LEN>().ok_or(short)?;
        if sealed.len() < TAG_LEN {
            return Err(short);
        }
        let mut text = Zeroizing::new(sealed.to_vec());
        self.cipher
            .decrypt_in_place(nonce.into(), &[], &mut *text)
            .map_err(|_| OpenError::Tag)?;
        Ok(text)
    }
}

impl std::fmt::Debug for SymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymKey")
    }
}

/// To whom to seal.
#[derive(Clone, Copy, Debug)]
pub enum SealTo<'a> {
    /// Everybody who has the key.
    Symmetric(&'a SymKey),
    /// One recipient.
    Public(&'a PublicKey),
}

/// What opens.
#[derive(Clone, Debug)]
pub enum OpenKey {
    /// A shared key.
    Symmetric(SymKey),
    /// Our own secret key.
    Private(SecretKey),
}

impl OpenKey {
    /// A name for the key that two equal keys share, and that tells nothing about it.
    pub fn id(&self) -> KeyId {
        match self {
            OpenKey::Symmetric(key) => KeyId(keccak256(&*key.bytes)),
            OpenKey::Private(key) => KeyId(*key.public().node_id().as_bytes()),
        }
    }

    /// Opens the data of an envelope.
    pub fn open(&self, data: &[u8]) -> Result<Plaintext, OpenError> {
        message::decode(&self.decrypt(data)?).map_err(OpenError::Message)
    }

    fn decrypt(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        match self {
            OpenKey::Symmetric(key) => key.open(data),
            OpenKey::Private(key) => ecies::decrypt(key, data, &[]).map_err(OpenError::Ecies),
        }
    }
}

/// Opens some data, in their order and with a key for each, as [`OpenKey::open`] does. What is computed on the curve, to
/// agree on a key and to find out who signed, costs less for several together.
pub fn open_each<'k>(sealed: &[(&'k OpenKey, &'k [u8])]) -> Vec<Result<Plaintext, OpenError>> {
    let private = |(key, data): &(&'k OpenKey, &'k [u8])| match key {
        OpenKey::Symmetric(_) => None,
        OpenKey::Private(key) => Some((key, *data)),
    };
    let private: Vec<(&SecretKey, &[u8])> = sealed.iter().filter_map(private).collect();
    let mut agreed = ecies::decrypt_each(&private).into_iter();
    let mut decrypt = |(key, data): &(&OpenKey, &[u8])| match key {
        OpenKey::Symmetric(key) => key.open(data),
        OpenKey::Private(_) => {
            let agreed = agreed.next().expect("one for each private key");
            agreed.map_err(OpenError::Ecies)
        }
    };
    let decrypted: Vec<_> = sealed.iter().map(&mut decrypt).collect();
    let texts: Vec<&[u8]> = decrypted
        .iter()
        .flatten()
        .map(|text| text.as_slice())
        .collect();
    let mut read = message::decode_each(&texts).into_iter();
    decrypted
        .iter()
        .map(|text| match text {
            Ok(_) => {
                let read = read.next().expect("one for each text");
                read.map_err(OpenError::Message)
            }
            Err(error) => Err(*error),
        })
        .collect()
}

/// Name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// Makes the data of an envelope.
pub fn seal(
    to: SealTo<'_>,
    payload: &[u8],
    padding: Padding<'_>,
    signer: Option<&SecretKey>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, MessageError> {
    let text = message::encode(payload, padding, signer, rng)?;
    Ok(match to {
        SealTo::Symmetric(key) => key.seal(text, rng),
        SealTo::Public(key) => ecies::encrypt(key, &Zeroizing::new(text), &[], rng),
    })
}

/// The key is all zero, which no peer accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a symmetric key of zeros")]
pub struct AllZero;

/// Why data does not open. Mostly: it is for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No room for the tag and the nonce.
    #[error("{len} bytes are no sealed text")]
    TooShort {
        /// Bytes of the data.
        len: usize,
    },
    /// Another key, or changed on the way.
    #[error("the tag does not fit")]
    Tag,
    /// The same for a public key.
    #[error(transparent)]
    Ecies(EciesError),
    /// It opens, and what is inside is broken.
    #[error(transparent)]
    Message(MessageError),
}

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

#[cfg(test)]
mod tests;
