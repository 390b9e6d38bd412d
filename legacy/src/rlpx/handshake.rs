//! The first packet of each side, under ECIES: who they are, and the keys for what follows.
//!
//! ```text
//! EIP-8    size (2) ‖ ECIES(RLP ‖ padding, mac data = size)        size counts what follows it
//!   auth   [signature (65), initiator key (64), nonce (32), version, …]
//!   ack    [ephemeral key (64), nonce (32), version, …]
//! before   ECIES(fields)                                           307 and 210 bytes, no mac data
//!   auth   signature (65) ‖ keccak256(ephemeral key) (32) ‖ initiator key (64) ‖ nonce (32) ‖ 00
//!   ack    ephemeral key (64) ‖ nonce (32) ‖ 00
//! ```
//!
//! The signature is over `agreement of the static keys XOR nonce`, as a digest, with the ephemeral key of the initiator.
//! Version, further items and bytes after the list are ignored. We dial with EIP-8 and answer in the form of the question.
//! The older form starts with the 04 of a point, so any other first byte tells the size at once and a size that nobody
//! needs is refused after two bytes. Spec: RLPx handshake, EIP-8.

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::ecies::{self, EciesError};
use crate::error::Blame;
use crate::identity::{KeyError, PUBLIC_KEY_LEN, PublicKey, SIGNATURE_LEN, SecretKey};
use crate::limits::HANDSHAKE_PACKET_LEN_MAX;
use crate::rlp::{Item, List, RlpError};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 32;
/// Bytes of an auth in the older form.
pub const LEGACY_AUTH_LEN: usize = LEGACY_AUTH_TEXT_LEN + ecies::OVERHEAD;
/// Bytes of an ack in the older form.
pub const LEGACY_ACK_LEN: usize = LEGACY_ACK_TEXT_LEN + ecies::OVERHEAD;

/// Which of the two encodings a packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Length prefix, RLP, padding.
    Eip8,
    /// Fixed length, fixed fields.
    Legacy,
}

/// The packet of the side that dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The encoding in which it came, and in which the answer must go.
    pub form: Form,
    /// The signature that the ephemeral key was recovered from.
    pub signature: [u8; SIGNATURE_LEN],
    /// The static key of the initiator.
    pub initiator: PublicKey,
    /// The ephemeral key of the initiator.
    pub ephemeral: PublicKey,
    /// The nonce of the initiator.
    pub nonce: [u8; NONCE_LEN],
    /// The version that it claims; it means nothing.
    pub version: u64,
}

impl Auth {
    /// Makes the packet that opens a connection to `recipient`.
    pub fn seal(
        form: Form,
        initiator: &SecretKey,
        ephemeral: &SecretKey,
        nonce: &[u8; NONCE_LEN],
        recipient: &PublicKey,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let signature = ephemeral.sign(&signed_digest(initiator, recipient, nonce));
        let public = initiator.public().to_bytes();
        let text = match form {
            Form::Eip8 => List::new()
                .bytes(&signature)
                .bytes(&public)
                .bytes(nonce)
                .uint(VERSION)
                .finish(),
            Form::Legacy => {
                let hash = crate::keccak::keccak256(&ephemeral.public().to_bytes());
                [&signature[..], &hash, &public, nonce, &[0]].concat()
            }
        };
        seal(form, text, recipient, rng)
    }

    /// Reads a packet that is complete, with nothing after it.
    pub fn read(key: &SecretKey, packet: &[u8]) -> Result<Auth, HandshakeError> {
        let opened = Opener::auth().open_exact(key, packet)?;
        Auth::parse(key, &opened)
    }

    pub(crate) fn parse(key: &SecretKey, opened: &Opened) -> Result<Auth, HandshakeError> {
        let (signature, initiator, nonce, version) = match opened.form {
            Form::Eip8 => auth_fields(&opened.text).map_err(HandshakeError::Body)?,
            Form::Legacy => legacy_auth_fields(&opened.text)?,
        };
        let initiator = PublicKey::from_bytes(&initiator).map_err(HandshakeError::StaticKey)?;
        let digest = signed_digest(key, &initiator, &nonce);
        let ephemeral =
            PublicKey::recover(&digest, &signature).map_err(HandshakeError::Signature)?;
        Ok(Auth {
            form: opened.form,
            signature,
            initiator,
            ephemeral,
            nonce,
            version,
        })
    }
}

/// The packet of the side that was dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The encoding in which it came.
    pub form: Form,
    /// The ephemeral key of the recipient.
    pub ephemeral: PublicKey,
    /// The nonce of the recipient.
    pub nonce: [u8; NONCE_LEN],
    /// The version that it claims; it means nothing.
    pub version: u64,
}

impl Ack {
    /// Makes the packet that answers an auth.
    pub fn seal(
        form: Form,
        ephemeral: &SecretKey,
        nonce: &[u8; NONCE_LEN],
        initiator: &PublicKey,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let public = ephemeral.public().to_bytes();
        let text = match form {
            Form::Eip8 => List::new()
                .bytes(&public)
                .bytes(nonce)
                .uint(VERSION)
                .finish(),
            Form::Legacy => [&public[..], nonce, &[0]].concat(),
        };
        seal(form, text, initiator, rng)
    }

    /// Reads a packet that is complete, with nothing after it.
    pub fn read(key: &SecretKey, packet: &[u8]) -> Result<Ack, HandshakeError> {
        Ack::parse(&Opener::ack().open_exact(key, packet)?)
    }

    pub(crate) fn parse(opened: &Opened) -> Result<Ack, HandshakeError> {
        let (ephemeral, nonce, version) = match opened.form {
            Form::Eip8 => ack_fields(&opened.text).map_err(HandshakeError::Body)?,
            Form::Legacy => legacy_ack_fields(&opened.text)?,
        };
        let ephemeral = PublicKey::from_bytes(&ephemeral).map_err(HandshakeError::EphemeralKey)?;
        Ok(Ack {
            form: opened.form,
            ephemeral,
            nonce,
            version,
        })
    }
}

/// Finds the end of a packet among arriving bytes and decrypts it.
#[derive(Debug)]
pub(crate) struct Opener {
    legacy_len: usize,
    legacy_ruled_out: bool,
}

/// A decrypted packet.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) form: Form,
    pub(crate) text: Zeroizing<Vec<u8>>,
    /// How many of the arrived bytes it took.
    pub(crate) len: usize,
}

impl Opener {
    pub(crate) const fn auth() -> Opener {
        Opener {
            legacy_len: LEGACY_AUTH_LEN,
            legacy_ruled_out: false,
        }
    }

    pub(crate) const fn ack() -> Opener {
        Opener {
            legacy_len: LEGACY_ACK_LEN,
            legacy_ruled_out: false,
        }
    }

    /// Looks at everything that has arrived. `None`: more is needed. Each decryption is tried once.
    pub(crate) fn open(
        &mut self,
        key: &SecretKey,
        arrived: &[u8],
    ) -> Result<Option<Opened>, HandshakeError> {
        self.open_by(arrived, |packet, mac_data| {
            ecies::decrypt(key, packet, mac_data)
        })
    }

    pub(crate) fn open_by(
        &mut self,
        arrived: &[u8],
        decrypt: impl Fn(&[u8], &[u8]) -> Result<Zeroizing<Vec<u8>>, EciesError>,
    ) -> Result<Option<Opened>, HandshakeError> {
        let Some(prefix) = arrived.first_chunk::<PREFIX_LEN>() else {
            return Ok(None);
        };
        if prefix[0] == POINT_PREFIX && !self.legacy_ruled_out {
            let Some(packet) = arrived.get(..self.legacy_len) else {
                return Ok(None);
            };
            if let Ok(text) = decrypt(packet, &[]) {
                return Ok(Some(Opened {
                    form: Form::Legacy,
                    text,
                    len: packet.len(),
                }));
            }
            self.legacy_ruled_out = true;
        }
        let size = usize::from(u16::from_be_bytes(*prefix));
        if size < self.legacy_len {
            return Err(HandshakeError::SizeUnderflow {
                size,
                min: self.legacy_len,
            });
        }
        let len = PREFIX_LEN + size;
        if len > HANDSHAKE_PACKET_LEN_MAX {
            return Err(HandshakeError::SizeOverflow { len });
        }
        let Some(packet) = arrived.get(PREFIX_LEN..len) else {
            return Ok(None);
        };
        let text = decrypt(packet, prefix).map_err(HandshakeError::Ecies)?;
        Ok(Some(Opened {
            form: Form::Eip8,
            text,
            len,
        }))
    }

    fn open_exact(mut self, key: &SecretKey, packet: &[u8]) -> Result<Opened, HandshakeError> {
        let opened = self
            .open(key, packet)?
            .ok_or(HandshakeError::Incomplete { len: packet.len() })?;
        if opened.len < packet.len() {
            return Err(HandshakeError::Trailing {
                len: packet.len() - opened.len,
            });
        }
        Ok(opened)
    }
}

fn seal(form: Form, mut text: Vec<u8>, to: &PublicKey, rng: &mut impl CryptoRng) -> Vec<u8> {
    match form {
        Form::Legacy => ecies::encrypt(to, &text, &[], rng),
        Form::Eip8 => {
            let mut choice = [0; 4];
            rng.fill_bytes(&mut choice);
            let padding =
                PADDING_LEN_MIN + u32::from_be_bytes(choice) as usize % PADDING_LEN_CHOICES;
            text.resize(text.len() + padding, 0);
            let size = u16::try_from(text.len() + ecies::OVERHEAD)
                .expect("the fields are a few hundred bytes");
            let prefix = size.to_be_bytes();
            let mut packet = prefix.to_vec();
            packet.extend(ecies::encrypt(to, &text, &prefix, rng));
            packet
        }
    }
}

/// The 32 bytes that the initiator signs: both ends can compute them, nobody else.
fn signed_digest(own: &SecretKey, other: &PublicKey, nonce: &[u8; NONCE_LEN]) -> [u8; 32] {
    let token = own.agree(other);
    std::array::from_fn(|at| token[at] ^ nonce[at])
}

type AuthFields = (
    [u8; SIGNATURE_LEN],
    [u8; PUBLIC_KEY_LEN],
    [u8; NONCE_LEN],
    u64,
);
type AckFields = ([u8; PUBLIC_KEY_LEN], [u8; NONCE_LEN], u64);

fn auth_fields(text: &[u8]) -> Result<AuthFields, RlpError> {
    let (body, _padding) = Item::first(text)?;
    let mut items = body.list()?;
    let signature = items.required()?.array()?;
    let initiator = items.required()?.array()?;
    let nonce = items.required()?.array()?;
    let version = items.required()?.uint()?;
    Ok((signature, initiator, nonce, version))
}

fn ack_fields(text: &[u8]) -> Result<AckFields, RlpError> {
    let (body, _padding) = Item::first(text)?;
    let mut items = body.list()?;
    let ephemeral = items.required()?.array()?;
    let nonce = items.required()?.array()?;
    let version = items.required()?.uint()?;
    Ok((ephemeral, nonce, version))
}

fn legacy_auth_fields(text: &[u8]) -> Result<AuthFields, HandshakeError> {
    let (signature, rest) = text
        .split_first_chunk()
        .ok_or(HandshakeError::Incomplete { len: text.len() })?;
    let (_hash, rest) = rest
        .split_first_chunk::<32>()
        .ok_or(HandshakeError::Incomplete { len: text.len() })?;
    let (initiator, rest) = rest
        .split_first_chunk()
        .ok_or(HandshakeError::Incomplete { len: text.len() })?;
    let nonce = rest
        .first_chunk()
        .ok_or(HandshakeError::Incomplete { len: text.len() })?;
    Ok((*signature, *initiator, *nonce, VERSION))
}

fn legacy_ack_fields(text: &[u8]) -> Result<AckFields, HandshakeError> {
    let (ephemeral, rest) = text
        .split_first_chunk()
        .ok_or(HandshakeError::Incomplete { len: text.len() })?;
    let nonce = rest
        .first_chunk()
        .ok_or(HandshakeError::Incomplete { len: text.len() })?;
    Ok((*ephemeral, *nonce, VERSION))
}

/// Why an auth or an ack is no good.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The packet ends early.
    #[error("{len} bytes are not a whole handshake packet")]
    Incomplete {
        /// Its length.
        len: usize,
    },
    /// The prefix announces less than the shortest packet.
    #[error("the announced size {size} is below {min}")]
    SizeUnderflow {
        /// The size announced.
        size: usize,
        /// The least that a packet can have.
        min: usize,
    },
    /// The prefix announces more than anybody needs.
    #[error("a handshake packet of {len} bytes is over {HANDSHAKE_PACKET_LEN_MAX}")]
    SizeOverflow {
        /// The length announced.
        len: usize,
    },
    /// There is more than one packet.
    #[error("{len} bytes follow the handshake packet")]
    Trailing {
        /// How many.
        len: usize,
    },
    /// It does not decrypt.
    #[error("the handshake packet does not decrypt: {0}")]
    Ecies(EciesError),
    /// Its text is no list of the fields.
    #[error("the body of the handshake packet is malformed: {0}")]
    Body(RlpError),
    /// The initiator's static key is no key.
    #[error("the static key is unusable: {0}")]
    StaticKey(KeyError),
    /// The recipient's ephemeral key is no key.
    #[error("the ephemeral key is unusable: {0}")]
    EphemeralKey(KeyError),
    /// No ephemeral key can be recovered.
    #[error("the signature is unusable: {0}")]
    Signature(KeyError),
}

impl HandshakeError {
    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        Blame::Peer
    }
}

// Of the protocol.

/// The version that everybody sends.
const VERSION: u64 = 4;
const PREFIX_LEN: usize = 2;
const POINT_PREFIX: u8 = 4;
const LEGACY_AUTH_TEXT_LEN: usize = SIGNATURE_LEN + 32 + PUBLIC_KEY_LEN + NONCE_LEN + 1;
const LEGACY_ACK_TEXT_LEN: usize = PUBLIC_KEY_LEN + NONCE_LEN + 1;
/// With less padding the packet could be as short as the older form.
const PADDING_LEN_MIN: usize = 100;

// Ours.

/// Padding of 100 to 299 bytes, the range of geth.
const PADDING_LEN_CHOICES: usize = 200;

#[cfg(test)]
mod tests;
