//! The boxes that objects of the gateway travel in.
//!
//! ```text
//! one-shot, client to bridge:  ephemeral X25519 key (32) ‖ ChaCha20-Poly1305, nonce 0
//! everything else:             counter (8, big endian)   ‖ ChaCha20-Poly1305, nonce 00000000 ‖ counter
//! ```
//!
//! The associated data are the first 18 bytes of the frame. A one-shot request has several responses
//! under one key, so they carry a counter as well: nonce 0 twice would break the cipher. Key derivation:
//! `mixbridge.proto`, "Boxes".
//!
//! A counter must never be used twice under one key, a crash included. A [`Sealer`] therefore counts only
//! up to a limit that its owner has on disk, and is restored at that limit: it skips what it may have used.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::kinds::{Kind, TAG_LEN, Tag};
use crate::port::ChainSecret;

mod window;
pub use window::{ReceiveWindow, WINDOW};

// From the specification.

/// Version of the frame, its first byte.
pub const VERSION: u8 = 1;
/// Length of an X25519 key.
pub const KEY_LEN: usize = 32;
/// Length of the associated data: version, type, tag.
pub const CONTEXT_LEN: usize = 2 + TAG_LEN;
/// Length of a counter in front of a box.
pub const COUNTER_LEN: usize = 8;
/// Length of the authentication tag at the end of a box.
pub const MAC_LEN: usize = 16;
/// How much longer than its content a one-shot request is.
pub const ONE_SHOT_OVERHEAD: usize = KEY_LEN + MAC_LEN;
/// How much longer than its content every other box is.
pub const OVERHEAD: usize = COUNTER_LEN + MAC_LEN;
/// The longest object that the frames of the mixnet carry.
pub const OBJECT_LEN_MAX: usize = 1_200_000;

const ONE_SHOT_C2B: &[u8] = b"mixbridge/1 oneshot c2b";
const ONE_SHOT_B2C: &[u8] = b"mixbridge/1 oneshot b2c";
const SESSION_C2B: &[u8] = b"mixbridge/1 session c2b";
const SESSION_B2C: &[u8] = b"mixbridge/1 session b2c";
const MAILBOX_B2C: &[u8] = b"mixbridge/1 mailbox b2c";

// Our own.

/// How many counters one reservation covers: one write for so many boxes, and so many skipped after a crash.
pub const RESERVATION: u64 = 1_024;
/// Length of [`Sealer::record`].
pub const SEALER_RECORD_LEN: usize = KEY_LEN + COUNTER_LEN;
/// Length of [`Session::record`].
pub const SESSION_RECORD_LEN: usize = SEALER_RECORD_LEN + KEY_LEN + window::RECORD_LEN;

/// Why a box was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The other side's key is of low order: the shared secret would be zero.
    #[error("the other side's X25519 key is of low order")]
    LowOrder,
    /// The object would not fit the frames.
    #[error("a content of {len} bytes does not fit an object of {max}")]
    TooLong {
        /// Length of the content.
        len: usize,
        /// The longest content.
        max: usize,
    },
    /// All reserved counters are used: reserve more first.
    #[error("the counters reserved up to {limit} are used up")]
    NotReserved {
        /// The first counter that is not reserved.
        limit: u64,
    },
}

/// Why a box was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Shorter than an empty box.
    #[error("a box of {len} bytes is shorter than the least of {min}")]
    TooShort {
        /// Its length.
        len: usize,
        /// The least length.
        min: usize,
    },
    /// Longer than any object.
    #[error("a box of {len} bytes is longer than the most of {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The greatest length.
        max: usize,
    },
    /// The ephemeral key is of low order.
    #[error("the ephemeral X25519 key is of low order")]
    LowOrder,
    /// The counter is below the window.
    #[error("counter {counter} is below the window, which begins at {oldest}")]
    TooOld {
        /// The counter.
        counter: u64,
        /// The first counter of the window.
        oldest: u64,
    },
    /// The counter was accepted before.
    #[error("counter {counter} was accepted before")]
    Replayed {
        /// The counter.
        counter: u64,
    },
    /// The last counter of all: nothing could follow it.
    #[error("the counters of this key are spent")]
    CountersSpent,
    /// The authentication tag does not match.
    #[error("the box does not authenticate")]
    Forged,
}

/// The associated data of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// What the object holds.
    pub kind: Kind,
    /// The tag of its frames.
    pub tag: Tag,
}

impl Context {
    /// The context of an object.
    pub const fn new(kind: Kind, tag: Tag) -> Self {
        Self { kind, tag }
    }

    /// The first 18 bytes of the object's frames.
    pub fn bytes(&self) -> [u8; CONTEXT_LEN] {
        let mut bytes = [0; CONTEXT_LEN];
        bytes[0] = VERSION;
        bytes[1] = self.kind.byte();
        bytes[2..].copy_from_slice(self.tag.bytes());
        bytes
    }
}

/// An X25519 secret key: a bridge's gateway key, or either side's key of one exchange.
#[derive(Clone)]
pub struct ExchangeSecret(StaticSecret);

impl ExchangeSecret {
    /// Draws a key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(StaticSecret::random_from_rng(rng))
    }

    /// Takes 32 bytes from a key store.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// The bytes, for a key store.
    pub fn expose(&self) -> Zeroizing<[u8; KEY_LEN]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> ExchangeKey {
        ExchangeKey(PublicKey::from(&self.0).to_bytes())
    }

    /// Derives keys from the shared secret; `None` if the other key is of low order.
    fn agree<const N: usize>(
        &self,
        other: &ExchangeKey,
        salt: Option<&[u8]>,
        infos: [&[u8]; N],
    ) -> Option<[BoxKey; N]> {
        let shared = self.0.diffie_hellman(&PublicKey::from(other.0));
        if !shared.was_contributory() {
            return None;
        }
        let hkdf = Hkdf::<Sha256>::new(salt, shared.as_bytes());
        Some(infos.map(|info| {
            let mut key = BoxKey([0; KEY_LEN]);
            hkdf.expand(info, &mut key.0)
                .expect("32 bytes are fewer than HKDF-SHA256 can give");
            key
        }))
    }
}

impl fmt::Debug for ExchangeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExchangeSecret")
    }
}

/// An X25519 public key. Whether it is of low order shows when it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ExchangeKey([u8; KEY_LEN]);

impl ExchangeKey {
    /// Wraps the bytes of a public key.
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a field; `None` at any other length than 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for ExchangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExchangeKey({}…)", hex::encode(&self.0[..4]))
    }
}

/// A key of ChaCha20-Poly1305.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct BoxKey([u8; KEY_LEN]);

impl BoxKey {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.0.into())
    }

    fn encrypt(&self, counter: u64, context: Context, content: &[u8]) -> Vec<u8> {
        let payload = Payload {
            msg: content,
            aad: &context.bytes(),
        };
        self.cipher()
            .encrypt(&nonce(counter), payload)
            .expect("the length was checked")
    }

    fn decrypt(&self, counter: u64, context: Context, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let payload = Payload {
            msg: sealed,
            aad: &context.bytes(),
        };
        self.cipher()
            .decrypt(&nonce(counter), payload)
            .map_err(|_| OpenError::Forged)
    }
}

/// Makes the box of a one-shot request, and what opens the responses to it.
///
/// `ephemeral` is drawn for this request alone and given up here, so that its key seals once.
pub fn seal_request(
    context: Context,
    ephemeral: ExchangeSecret,
    bridge: &ExchangeKey,
    content: &[u8],
) -> Result<(Vec<u8>, Opener), SealError> {
    check_content(content, ONE_SHOT_OVERHEAD)?;
    let [request, responses] = ephemeral
        .agree(bridge, None, [ONE_SHOT_C2B, ONE_SHOT_B2C])
        .ok_or(SealError::LowOrder)?;
    let mut sealed = ephemeral.public().0.to_vec();
    sealed.extend(request.encrypt(0, context, content));
    Ok((sealed, Opener::new(responses)))
}

/// Opens the box of a one-shot request, and gives what seals the responses to it.
pub fn open_request(
    context: Context,
    bridge: &ExchangeSecret,
    sealed: &[u8],
) -> Result<(Vec<u8>, Sealer), OpenError> {
    check_sealed(sealed, ONE_SHOT_OVERHEAD)?;
    let too_short = OpenError::TooShort {
        len: sealed.len(),
        min: ONE_SHOT_OVERHEAD,
    };
    let (ephemeral, sealed) = sealed.split_first_chunk::<KEY_LEN>().ok_or(too_short)?;
    let [request, responses] = bridge
        .agree(&ExchangeKey(*ephemeral), None, [ONE_SHOT_C2B, ONE_SHOT_B2C])
        .ok_or(OpenError::LowOrder)?;
    let content = request.decrypt(0, context, sealed)?;
    Ok((content, Sealer::new(responses, RESERVATION)))
}

/// Seals one direction with growing counters.
pub struct Sealer {
    key: BoxKey,
    next: u64,
    limit: u64,
}

impl Sealer {
    /// A sealer that has sealed nothing. Its owner stores [`Sealer::record`] before the first box leaves.
    fn new(key: BoxKey, limit: u64) -> Self {
        Self {
            key,
            next: 0,
            limit,
        }
    }

    /// Makes a box under the next counter.
    pub fn seal(&mut self, context: Context, content: &[u8]) -> Result<Vec<u8>, SealError> {
        check_content(content, OVERHEAD)?;
        if self.next >= self.limit {
            return Err(SealError::NotReserved { limit: self.limit });
        }
        let counter = self.next;
        self.next = counter.saturating_add(1);
        let mut sealed = counter.to_be_bytes().to_vec();
        sealed.extend(self.key.encrypt(counter, context, content));
        Ok(sealed)
    }

    /// The limit to put on disk next, once half of a reservation is used; `None` while there is enough.
    pub fn reservation(&self) -> Option<u64> {
        let left = self.limit.saturating_sub(self.next);
        (left <= RESERVATION / 2).then(|| self.next.saturating_add(RESERVATION))
    }

    /// Allows counters below `limit`, which is on disk now. A lower limit than before changes nothing.
    pub fn reserve(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// The first counter that is not reserved.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What to store: the key and `limit`, which is [`Sealer::limit`] or a [`Sealer::reservation`].
    pub fn record(&self, limit: u64) -> Zeroizing<[u8; SEALER_RECORD_LEN]> {
        let mut record = Zeroizing::new([0; SEALER_RECORD_LEN]);
        record[..KEY_LEN].copy_from_slice(&self.key.0);
        record[KEY_LEN..].copy_from_slice(&limit.to_be_bytes());
        record
    }

    /// The sealer of a record: all that was reserved counts as used, so it needs a [`Sealer::reservation`] first.
    pub fn restore(record: &[u8; SEALER_RECORD_LEN]) -> Self {
        let (key, limit) = record.split_at(KEY_LEN);
        let key = BoxKey(key.try_into().expect("the first 32 of 40 bytes"));
        let limit = u64::from_be_bytes(limit.try_into().expect("the last 8 of 40 bytes"));
        Self {
            key,
            next: limit,
            limit,
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Opens one direction and accepts every counter once.
pub struct Opener {
    key: BoxKey,
    window: ReceiveWindow,
}

impl Opener {
    fn new(key: BoxKey) -> Self {
        Self {
            key,
            window: ReceiveWindow::default(),
        }
    }

    /// Opens a box. Only a box that authenticates moves the window.
    pub fn open(&mut self, context: Context, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        check_sealed(sealed, OVERHEAD)?;
        let too_short = OpenError::TooShort {
            len: sealed.len(),
            min: OVERHEAD,
        };
        let (counter, sealed) = sealed.split_first_chunk::<COUNTER_LEN>().ok_or(too_short)?;
        let counter = u64::from_be_bytes(*counter);
        self.window.check(counter)?;
        let content = self.key.decrypt(counter, context, sealed)?;
        self.window.accept(counter);
        Ok(content)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

/// Which end of a registration this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client that registered.
    Client,
    /// The bridge.
    Bridge,
}

/// Both directions of a registration.
pub struct Session {
    /// What this end sends.
    pub sealer: Sealer,
    /// What it receives.
    pub opener: Opener,
}

impl Session {
    /// Derives the keys of a registration; both ends get the same ones. Store [`Session::record`] before the first box leaves.
    pub fn derive(
        end: End,
        own: &ExchangeSecret,
        other: &ExchangeKey,
        group: &[u8; 32],
    ) -> Result<Self, SealError> {
        let [c2b, b2c] = own
            .agree(other, Some(group), [SESSION_C2B, SESSION_B2C])
            .ok_or(SealError::LowOrder)?;
        let (send, receive) = match end {
            End::Client => (c2b, b2c),
            End::Bridge => (b2c, c2b),
        };
        Ok(Self {
            sealer: Sealer::new(send, RESERVATION),
            opener: Opener::new(receive),
        })
    }

    /// What to store: both keys, `limit` (see [`Sealer::record`]) and the receive window as it is now.
    ///
    /// A window that is older than the last box at restart accepts some counters a second time, which is harmless for
    /// MVDS: it recognises what it has.
    pub fn record(&self, limit: u64) -> Zeroizing<[u8; SESSION_RECORD_LEN]> {
        let mut record = Zeroizing::new([0; SESSION_RECORD_LEN]);
        let (sealer, rest) = record.split_at_mut(SEALER_RECORD_LEN);
        sealer.copy_from_slice(self.sealer.record(limit).as_slice());
        let (key, window) = rest.split_at_mut(KEY_LEN);
        key.copy_from_slice(&self.opener.key.0);
        window.copy_from_slice(&self.opener.window.record());
        record
    }

    /// The session of a record. Its sealer needs a [`Sealer::reservation`] first.
    pub fn restore(record: &[u8; SESSION_RECORD_LEN]) -> Self {
        let (sealer, rest) = record
            .split_first_chunk::<SEALER_RECORD_LEN>()
            .expect("a record begins with its sealer");
        let (key, window) = rest
            .split_first_chunk::<KEY_LEN>()
            .expect("then comes the other key");
        let window = window
            .try_into()
            .expect("the window is the rest of the record");
        let opener = Opener {
            key: BoxKey(*key),
            window: ReceiveWindow::restore(window),
        };
        Self {
            sealer: Sealer::restore(sealer),
            opener,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

/// Derives the key of the chain of mailbox boxes of a registration, in which the bridge leaves what its client is owed while it is
/// away. Both ends get the same one, from what the keys of the registration come from.
pub fn mailbox_key(
    own: &ExchangeSecret,
    other: &ExchangeKey,
    group: &[u8; 32],
) -> Result<ChainSecret, SealError> {
    let [key] = own
        .agree(other, Some(group), [MAILBOX_B2C])
        .ok_or(SealError::LowOrder)?;
    Ok(ChainSecret::from_bytes(key.0))
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

fn check_content(content: &[u8], overhead: usize) -> Result<(), SealError> {
    let max = OBJECT_LEN_MAX - overhead;
    let len = content.len();
    if len > max {
        Err(SealError::TooLong { len, max })
    } else {
        Ok(())
    }
}

fn check_sealed(sealed: &[u8], overhead: usize) -> Result<(), OpenError> {
    let len = sealed.len();
    if len < overhead {
        return Err(OpenError::TooShort { len, min: overhead });
    }
    if len > OBJECT_LEN_MAX {
        return Err(OpenError::TooLong {
            len,
            max: OBJECT_LEN_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
