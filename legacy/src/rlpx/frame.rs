//! Frames: what one message looks like on the wire.
//!
//! ```text
//! header (16) ‖ header MAC (16) ‖ body, zero-padded to a multiple of 16 ‖ body MAC (16)
//! header = size (3, big-endian) ‖ c28080 ‖ zeros          the receiver looks at the size only
//! body   = rlp(code) ‖ payload                            the size counts it without padding
//! ```
//!
//! Header and body are under one AES-256-CTR stream per direction. The MAC of a direction is a Keccak sponge over all its
//! ciphertext: `step(seed) = absorb(AES-256-ECB(mac key, digest[0..16]) XOR seed)`, and the MAC is `digest[0..16]` after
//! it. The seed of a header is its ciphertext; the seed of a body is `digest[0..16]` after its ciphertext was absorbed.
//! A digest is computed once for what was absorbed, although the rules name it twice: three of them a frame.
//! A MAC is compared in constant time, and only what passed is decrypted. Spec: RLPx frames.

use aes::Aes256;
use aes::cipher::BlockCipherEncrypt as _;
use ctr::Ctr128BE;
use ctr::cipher::{KeyInit as _, KeyIvInit as _, StreamCipher as _};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::error::Blame;
use crate::keccak::{DIGEST_LEN, Hasher};
use crate::limits::FRAME_LEN_MAX;

/// Bytes of a header with its MAC.
pub const HEADER_LEN: usize = BLOCK_LEN + MAC_LEN;
/// Bytes of a MAC.
pub const MAC_LEN: usize = 16;

/// The sending half of a connection.
pub struct Egress {
    cipher: Ctr128BE<Aes256>,
    mac: RunningMac,
}

impl Egress {
    pub(crate) fn new(aes: &[u8; 32], mac: &[u8; 32], state: Hasher) -> Egress {
        Egress {
            cipher: cipher(aes),
            mac: RunningMac::new(mac, state),
        }
    }

    /// Seals one message whose code is encoded already.
    pub fn seal(&mut self, code: &[u8], payload: &[u8]) -> Result<Vec<u8>, FrameError> {
        let size = code.len() + payload.len();
        if size > FRAME_LEN_MAX {
            return Err(FrameError::TooLong {
                len: size,
                max: FRAME_LEN_MAX,
            });
        }
        let mut frame = Vec::with_capacity(HEADER_LEN + padded(size) + MAC_LEN);
        frame.extend_from_slice(&(size as u32).to_be_bytes()[1..]);
        frame.extend_from_slice(&HEADER_DATA);
        frame.resize(BLOCK_LEN, 0);
        self.cipher.apply_keystream(&mut frame);
        let header: [u8; BLOCK_LEN] = frame[..].try_into().expect("a header is one block");
        frame.extend_from_slice(&self.mac.header(&header));
        frame.extend_from_slice(code);
        frame.extend_from_slice(payload);
        frame.resize(HEADER_LEN + padded(size), 0);
        self.cipher.apply_keystream(&mut frame[HEADER_LEN..]);
        let tag = self.mac.body(&frame[HEADER_LEN..]);
        frame.extend_from_slice(&tag);
        Ok(frame)
    }
}

/// The receiving half of a connection.
pub struct Ingress {
    cipher: Ctr128BE<Aes256>,
    mac: RunningMac,
    /// The size of the body that follows, once its header has passed.
    body_len: Option<usize>,
}

impl Ingress {
    pub(crate) fn new(aes: &[u8; 32], mac: &[u8; 32], state: Hasher) -> Ingress {
        Ingress {
            cipher: cipher(aes),
            mac: RunningMac::new(mac, state),
            body_len: None,
        }
    }

    /// The next body among the bytes from `at` on, which it moves past whatever was read. `None`: more is needed.
    ///
    /// A body longer than `len_max` is refused when its header has been read, before any of it is waited for.
    pub fn next<'b>(
        &mut self,
        arrived: &'b mut [u8],
        at: &mut usize,
        len_max: usize,
    ) -> Result<Option<&'b [u8]>, FrameError> {
        let len = match self.body_len {
            Some(len) => len,
            None => {
                let Some(header) = arrived[*at..].first_chunk::<HEADER_LEN>() else {
                    return Ok(None);
                };
                let len = self.header(header)?;
                *at += HEADER_LEN;
                if len == 0 {
                    return Err(FrameError::Empty);
                }
                if len > len_max {
                    return Err(FrameError::TooLong { len, max: len_max });
                }
                self.body_len = Some(len);
                len
            }
        };
        let Some(frame) = arrived[*at..].get_mut(..padded(len) + MAC_LEN) else {
            return Ok(None);
        };
        *at += frame.len();
        self.body_len = None;
        let (body, tag) = frame.split_at_mut(padded(len));
        if !bool::from(self.mac.body(body).ct_eq(tag)) {
            return Err(FrameError::BodyMac);
        }
        self.cipher.apply_keystream(body);
        Ok(Some(&body[..len]))
    }

    fn header(&mut self, bytes: &[u8; HEADER_LEN]) -> Result<usize, FrameError> {
        let (header, tag) = bytes
            .split_first_chunk::<BLOCK_LEN>()
            .expect("a header has more than a block");
        if !bool::from(self.mac.header(header).ct_eq(tag)) {
            return Err(FrameError::HeaderMac);
        }
        let mut header = *header;
        self.cipher.apply_keystream(&mut header);
        Ok(u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize)
    }
}

/// The MAC of everything that one direction has carried so far.
struct RunningMac {
    cipher: Aes256,
    state: Hasher,
    /// The digest of the state as it is.
    digest: [u8; MAC_LEN],
}

impl RunningMac {
    fn new(key: &[u8; 32], state: Hasher) -> RunningMac {
        RunningMac {
            cipher: Aes256::new(key.into()),
            digest: start(&state.digest()),
            state,
        }
    }

    fn header(&mut self, ciphertext: &[u8; BLOCK_LEN]) -> [u8; MAC_LEN] {
        self.step(ciphertext)
    }

    fn body(&mut self, ciphertext: &[u8]) -> [u8; MAC_LEN] {
        self.absorb(ciphertext);
        let seed = self.digest;
        self.step(&seed)
    }

    fn step(&mut self, seed: &[u8; BLOCK_LEN]) -> [u8; MAC_LEN] {
        let mut block = self.digest;
        self.cipher.encrypt_block((&mut block).into());
        for (byte, seed) in block.iter_mut().zip(seed) {
            *byte ^= seed;
        }
        self.absorb(&block);
        self.digest
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.state.absorb(bytes);
        self.digest = start(&self.state.digest());
    }
}

/// What is used of a digest.
fn start(digest: &[u8; DIGEST_LEN]) -> [u8; MAC_LEN] {
    std::array::from_fn(|at| digest[at])
}

/// Why a frame is no good.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Changed on the way, or keys do not agree.
    #[error("the MAC of a frame header does not fit")]
    HeaderMac,
    /// Changed on the way.
    #[error("the MAC of a frame body does not fit")]
    BodyMac,
    /// Not even a message code.
    #[error("a frame is empty")]
    Empty,
    /// More than this state of the connection has use for.
    #[error("a frame of {len} bytes where at most {max} are expected")]
    TooLong {
        /// The size announced.
        len: usize,
        /// The bound of this state.
        max: usize,
    },
}

impl FrameError {
    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        Blame::Peer
    }
}

fn cipher(key: &[u8; 32]) -> Ctr128BE<Aes256> {
    Ctr128BE::<Aes256>::new(key.into(), &[0; BLOCK_LEN].into())
}

/// Padding fills a body up to whole blocks.
const fn padded(len: usize) -> usize {
    len.next_multiple_of(BLOCK_LEN)
}

const BLOCK_LEN: usize = 16;
/// The list [0, 0], left over from multiplexing that nobody does.
const HEADER_DATA: [u8; 3] = [0xc2, 0x80, 0x80];

#[cfg(test)]
mod tests;
