//! The plaintext inside an envelope's data.
//!
//! ```text
//! flags (1) ‖ length of the payload (0..=3, little-endian) ‖ payload ‖ padding [‖ signature (65)]
//!
//! flags   bits 0 and 1: bytes of the length      bit 2: signed      the rest: zero when sent, ignored when read
//! ```
//!
//! Padding fills the whole up to a multiple of 256 with random bytes, at least one and at most 256 of them.
//! The signature covers everything before it, and names its signer by itself. Reading checks every length before it
//! slices: whoever knows the key of a public chat can make such a text, and one without these checks took down every
//! subscriber of older nodes. Spec: Whisper v6 payload.

use rand_core::CryptoRng;
use thiserror::Error;

use super::limits::PADDING_UNIT;
use crate::identity::{KeyError, PublicKey, SIGNATURE_LEN, SecretKey, Signed};
use crate::keccak::{keccak256, keccak256_each};

/// What a plaintext says.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext {
    /// The message.
    pub payload: Vec<u8>,
    /// What filled it up.
    pub padding: Vec<u8>,
    /// Who signed it.
    pub signer: Option<PublicKey>,
}

impl std::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plaintext({} bytes)", self.payload.len())
    }
}

/// What to fill up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<'a> {
    /// Random bytes up to the next multiple of 256.
    Random,
    /// These bytes as they are.
    Verbatim(&'a [u8]),
}

/// Why a plaintext cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The payload is longer than any length field can say.
    #[error("a payload of {len} bytes where {PAYLOAD_LEN_MAX} are possible")]
    TooLong {
        /// Bytes of the payload.
        len: usize,
    },
    /// There is not even a first byte.
    #[error("an empty plaintext")]
    Empty,
    /// The flags promise a signature that cannot be there.
    #[error("a signed plaintext of {len} bytes")]
    NoRoomForSignature {
        /// Bytes of the plaintext.
        len: usize,
    },
    /// The signature names nobody.
    #[error("the signature is not valid: {0}")]
    Signature(KeyError),
    /// The length field does not fit.
    #[error("a length of {bytes} bytes where {left} are left")]
    NoRoomForLength {
        /// Bytes of the length.
        bytes: usize,
        /// Bytes left.
        left: usize,
    },
    /// The payload does not fit.
    #[error("a payload of {claimed} bytes where {left} are left")]
    NoRoomForPayload {
        /// Bytes that the length claims.
        claimed: usize,
        /// Bytes left.
        left: usize,
    },
}

/// Lays out a plaintext, and signs it if there is a key to sign with.
pub fn encode(
    payload: &[u8],
    padding: Padding<'_>,
    signer: Option<&SecretKey>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, MessageError> {
    if payload.len() > PAYLOAD_LEN_MAX {
        return Err(MessageError::TooLong { len: payload.len() });
    }
    let length = payload.len().to_le_bytes();
    let length_len = (1..3)
        .find(|bytes| payload.len() >> (8 * bytes) == 0)
        .unwrap_or(3);
    let signature_len = signer.map_or(0, |_| SIGNATURE_LEN);
    let unpadded = 1 + length_len + payload.len() + signature_len;
    let mut text = Vec::with_capacity(unpadded + PADDING_UNIT);
    text.push(u8::try_from(length_len).expect("at most three") | signer.map_or(0, |_| SIGNED));
    text.extend_from_slice(&length[..length_len]);
    text.extend_from_slice(payload);
    match padding {
        Padding::Verbatim(bytes) => text.extend_from_slice(bytes),
        Padding::Random => {
            let mut random = [0; PADDING_UNIT];
            let len = PADDING_UNIT - unpadded % PADDING_UNIT;
            rng.fill_bytes(&mut random[..len]);
            text.extend_from_slice(&random[..len]);
        }
    }
    if let Some(signer) = signer {
        let signature = signer.sign(&keccak256(&text));
        text.extend_from_slice(&signature);
    }
    Ok(text)
}

/// Reads a plaintext. Finding out who signed it comes last: it costs more than everything before.
pub fn decode(text: &[u8]) -> Result<Plaintext, MessageError> {
    let parts = Parts::read(text)?;
    let recover = |signature| PublicKey::recover(&keccak256(parts.signed), signature);
    let signer = parts.signature.map(recover);
    parts.signed_by(signer)
}

/// Reads some plaintexts, in their order, each as [`decode`] does. Finding out who signed costs less for several together.
pub fn decode_each(texts: &[&[u8]]) -> Vec<Result<Plaintext, MessageError>> {
    let read: Vec<_> = texts.iter().map(|text| Parts::read(text)).collect();
    let signed = read.iter().flatten();
    let (covered, signatures): (Vec<&[u8]>, Vec<_>) = signed
        .filter_map(|parts| Some((parts.signed, parts.signature?)))
        .unzip();
    let digests = keccak256_each(&covered);
    let signed: Vec<Signed<'_>> = digests.iter().zip(signatures).collect();
    let mut signers = PublicKey::recover_each(&signed).into_iter();
    read.into_iter()
        .map(|parts| {
            let parts = parts?;
            let signer = parts.signature.and_then(|_| signers.next());
            parts.signed_by(signer)
        })
        .collect()
}

/// Where everything is in a plaintext. Nothing is said about the signature but where it is.
pub(crate) struct Parts<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) padding: &'a [u8],
    /// What a signature covers.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Option<&'a [u8; SIGNATURE_LEN]>,
}

impl<'a> Parts<'a> {
    pub(crate) fn read(text: &'a [u8]) -> Result<Parts<'a>, MessageError> {
        let flags = *text.first().ok_or(MessageError::Empty)?;
        let (signed, signature) = if flags & SIGNED == 0 {
            (text, None)
        } else {
            let no_room = MessageError::NoRoomForSignature { len: text.len() };
            let (signed, signature) = text.split_last_chunk().ok_or(no_room)?;
            if signed.len() < 2 {
                return Err(no_room);
            }
            (signed, Some(signature))
        };
        let length_len = usize::from(flags & LENGTH_MASK);
        let rest = &signed[1..];
        let (length, rest) =
            rest.split_at_checked(length_len)
                .ok_or(MessageError::NoRoomForLength {
                    bytes: length_len,
                    left: rest.len(),
                })?;
        let claimed = length
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte));
        let (payload, padding) =
            rest.split_at_checked(claimed)
                .ok_or(MessageError::NoRoomForPayload {
                    claimed,
                    left: rest.len(),
                })?;
        Ok(Parts {
            payload,
            padding,
            signed,
            signature,
        })
    }

    /// The whole, once it is known who signed.
    fn signed_by(
        &self,
        signer: Option<Result<PublicKey, KeyError>>,
    ) -> Result<Plaintext, MessageError> {
        Ok(Plaintext {
            payload: self.payload.to_vec(),
            padding: self.padding.to_vec(),
            signer: signer.transpose().map_err(MessageError::Signature)?,
        })
    }
}

const LENGTH_MASK: u8 = 0b011;
const SIGNED: u8 = 0b100;
/// The length has at most three bytes.
const PAYLOAD_LEN_MAX: usize = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    const KEY_A: &str = "c6cbd7d76bc5baca530c875663711b947efa6a86a900a9e8645ce32e5821484e";

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([1; 32])
    }

    fn key() -> SecretKey {
        SecretKey::from_bytes(&hex::decode(KEY_A).unwrap().try_into().unwrap()).unwrap()
    }

    #[test]
    fn lengths_around_every_step_come_back() {
        for len in [
            0, 1, 188, 189, 190, 252, 253, 254, 255, 256, 65_535, 65_536, 1_000_000,
        ] {
            for signer in [None, Some(key())] {
                let payload = vec![0x5a; len];
                let text = encode(&payload, Padding::Random, signer.as_ref(), &mut rng()).unwrap();
                assert_eq!(text.len() % PADDING_UNIT, 0, "{len}");
                let plain = decode(&text).unwrap();
                assert_eq!(plain.payload, payload);
                assert_eq!(plain.signer, signer.map(|key| key.public()));
                assert!((1..=PADDING_UNIT).contains(&plain.padding.len()), "{len}");
            }
        }
        let aligned = encode(&[0; 189], Padding::Random, Some(&key()), &mut rng()).unwrap();
        assert_eq!(
            decode(&aligned).unwrap().padding.len(),
            256,
            "an aligned text gets a whole unit"
        );
    }

    #[test]
    fn the_length_has_one_to_three_bytes() {
        for (len, flags) in [(0, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 3)] {
            let text = encode(&vec![0; len], Padding::Verbatim(&[]), None, &mut rng()).unwrap();
            assert_eq!((text[0], text.len()), (flags, 1 + usize::from(flags) + len));
        }
        let len = PAYLOAD_LEN_MAX + 1;
        assert_eq!(
            encode(&vec![0; len], Padding::Random, None, &mut rng()),
            Err(MessageError::TooLong { len })
        );
    }

    #[test]
    fn no_length_means_no_payload() {
        let plain = decode(&[0, 1, 2, 3]).unwrap();
        assert_eq!((plain.payload, plain.padding), (vec![], vec![1, 2, 3]));
        assert_eq!(
            decode(&[0xf8]).unwrap().payload,
            Vec::<u8>::new(),
            "the other flags mean nothing"
        );
    }

    #[test]
    fn hostile_texts_are_named() {
        let mut signed_short = vec![0x04; 66];
        signed_short[0] = 0x04;
        for (text, expected) in [
            (vec![], MessageError::Empty),
            (
                vec![0x03],
                MessageError::NoRoomForLength { bytes: 3, left: 0 },
            ),
            (
                vec![0x03, 1, 0],
                MessageError::NoRoomForLength { bytes: 3, left: 2 },
            ),
            (
                vec![0x01, 5, 1, 2, 3, 4],
                MessageError::NoRoomForPayload {
                    claimed: 5,
                    left: 4,
                },
            ),
            (
                vec![0x03, 0xff, 0xff, 0xff, 1],
                MessageError::NoRoomForPayload {
                    claimed: 0xff_ffff,
                    left: 1,
                },
            ),
            (vec![0x07], MessageError::NoRoomForSignature { len: 1 }),
            (vec![0x04; 65], MessageError::NoRoomForSignature { len: 65 }),
            (signed_short, MessageError::NoRoomForSignature { len: 66 }),
        ] {
            assert_eq!(decode(&text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn many_texts_are_read_as_each_alone() {
        let mut texts = Vec::new();
        for number in 0..40_u8 {
            let signer = SecretKey::from_bytes(&[number + 1; 32]).unwrap();
            let signer = (number % 3 > 0).then_some(&signer);
            let mut text = encode(&[number; 7], Padding::Random, signer, &mut rng()).unwrap();
            match number % 5 {
                3 => text.truncate(usize::from(number)),
                // A signature of something else names somebody else, or nobody.
                4 => text[3] ^= number,
                _ => {}
            }
            texts.push(text);
        }
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let alone: Vec<_> = texts.iter().map(|text| decode(text)).collect();
        assert_eq!(decode_each(&texts), alone);
        let signed = alone.iter().flatten().filter(|text| text.signer.is_some());
        assert!(signed.count() > 8 && alone.iter().any(Result::is_err));
    }

    #[test]
    fn hostile_signatures_are_refused() {
        let text = encode(b"hello", Padding::Random, Some(&key()), &mut rng()).unwrap();
        let at = text.len() - SIGNATURE_LEN;
        for v in [4, 27, 28, 255] {
            let mut changed = text.clone();
            changed[at + 64] = v;
            assert_eq!(
                decode(&changed),
                Err(MessageError::Signature(KeyError::RecoveryId { found: v }))
            );
        }
        for half in [at, at + 32] {
            let mut changed = text.clone();
            changed[half..half + 32].fill(0);
            assert_eq!(
                decode(&changed),
                Err(MessageError::Signature(KeyError::Signature))
            );
        }
        let mut other = text.clone();
        other[3] ^= 1;
        assert_ne!(
            decode(&other).ok().and_then(|plain| plain.signer),
            Some(key().public())
        );
        // A payload that reaches into the signature.
        let mut long = text;
        long[1] = 0xff;
        assert!(decode(&long).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_fatal(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(plain) = decode(&text) {
                prop_assert!(plain.payload.len() + plain.padding.len() < text.len());
            }
        }
    }
}
