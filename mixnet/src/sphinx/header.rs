//! The routing of a packet: alpha ‖ beta ‖ gamma.
//!
//! The innermost beta is the final block, zero bytes and the filler; each hop outwards shifts in one block and enciphers the whole.
//! A hop shifts its block out again and zeros in, deciphers all 688 bytes, and so gets the filler that the maker computed ahead.

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Hop;
use super::curve::Blinding;
use super::keys::{HeaderKeys, PayloadKey};
use crate::error::BuildError;
use crate::geometry::{
    ADDRESS_LEN, ALPHA_LEN, BETA_AT, BETA_LEN, BLOCK_LEN, DELAY_LEN, GAMMA_AT, GAMMA_LEN,
    HEADER_LEN, HOPS_MAX, STREAM_LEN,
};

/// A finished header, and the payload keys of its hops in the order of the path.
pub(super) struct Header {
    pub(super) bytes: [u8; HEADER_LEN],
    pub(super) payload_keys: Vec<PayloadKey>,
}

impl Header {
    /// Builds the routing along `path`. `delays_ms[i]` is the mean delay of hop i; the last hop has none.
    pub(super) fn build(
        path: &[Hop],
        delays_ms: &[u16],
        secret: &[u8; 32],
        last: &FinalBlock,
    ) -> Result<Self, BuildError> {
        check(path, delays_ms)?;
        let layers = Layers::new(path, secret)?;
        let mut header = [0; HEADER_LEN];
        header[..ALPHA_LEN].copy_from_slice(&layers.alpha);
        let mut beta = layers.innermost(last);
        let mut gamma = layers.keys[path.len() - 1].mac(&beta);
        for i in (0..path.len() - 1).rev() {
            beta.copy_within(..BETA_LEN - BLOCK_LEN, BLOCK_LEN);
            let next = path[i + 1].address.to_bytes();
            beta[..ADDRESS_LEN].copy_from_slice(&next);
            beta[ADDRESS_LEN..ID_AT].copy_from_slice(&delays_ms[i].to_be_bytes());
            beta[ID_AT..BLOCK_LEN].copy_from_slice(&gamma);
            xor(&mut beta, &layers.streams[i][..BETA_LEN]);
            gamma = layers.keys[i].mac(&beta);
        }
        header[BETA_AT..GAMMA_AT].copy_from_slice(&beta);
        header[GAMMA_AT..].copy_from_slice(&gamma);
        Ok(Self {
            bytes: header,
            payload_keys: layers.payload_keys,
        })
    }
}

/// What the last hop reads: destination ‖ delay 0 ‖ id.
pub(super) struct FinalBlock {
    pub(super) destination: [u8; ADDRESS_LEN],
    pub(super) id: [u8; GAMMA_LEN],
}

/// What the maker shares with each hop of one path.
struct Layers {
    alpha: [u8; ALPHA_LEN],
    keys: Vec<HeaderKeys>,
    streams: Vec<Zeroizing<[u8; STREAM_LEN]>>,
    payload_keys: Vec<PayloadKey>,
}

impl Layers {
    fn new(path: &[Hop], secret: &[u8; 32]) -> Result<Self, BuildError> {
        let mut blinding = Blinding::new(secret);
        let mut alpha = blinding.alpha();
        let mut layers = Self {
            alpha,
            keys: Vec::with_capacity(path.len()),
            streams: Vec::with_capacity(path.len()),
            payload_keys: Vec::with_capacity(path.len()),
        };
        for (i, hop) in path.iter().enumerate() {
            let shared = blinding.agree(&hop.key).ok_or(BuildError::BadKey(i))?;
            let keys = shared.header_keys();
            layers.streams.push(keys.stream());
            layers.keys.push(keys);
            layers.payload_keys.push(shared.payload_key());
            if i + 1 < path.len() {
                blinding.multiply(shared.blinding(&alpha));
                alpha = blinding.alpha();
            }
        }
        Ok(layers)
    }

    /// beta for the last hop: only the final block and the zeros are enciphered, the filler is what the hops before make of the
    /// zeros that they shift in.
    fn innermost(&self, last: &FinalBlock) -> [u8; BETA_LEN] {
        let hops = self.streams.len();
        let filler_len = BLOCK_LEN * (hops - 1);
        let mut filler = [0; BLOCK_LEN * (HOPS_MAX - 1)];
        for (i, stream) in self.streams[..hops - 1].iter().enumerate() {
            let len = BLOCK_LEN * (i + 1);
            xor(&mut filler[..len], &stream[STREAM_LEN - len..]);
        }
        let mut beta = [0; BETA_LEN];
        beta[..ADDRESS_LEN].copy_from_slice(&last.destination);
        beta[ID_AT..BLOCK_LEN].copy_from_slice(&last.id);
        let enciphered = BETA_LEN - filler_len;
        xor(
            &mut beta[..enciphered],
            &self.streams[hops - 1][..enciphered],
        );
        beta[enciphered..].copy_from_slice(&filler[..filler_len]);
        beta
    }
}

impl HeaderKeys {
    /// The key stream over beta and one more block.
    pub(super) fn stream(&self) -> Zeroizing<[u8; STREAM_LEN]> {
        let mut stream = Zeroizing::new([0; STREAM_LEN]);
        self.apply_stream(&mut *stream);
        stream
    }

    pub(super) fn apply_stream(&self, data: &mut [u8]) {
        Ctr128BE::<Aes128>::new(&self.aes.into(), &self.iv.into()).apply_keystream(data);
    }

    pub(super) fn mac(&self, beta: &[u8]) -> [u8; GAMMA_LEN] {
        let mut gamma = [0; GAMMA_LEN];
        gamma.copy_from_slice(&hmac(&self.mac, beta).finalize().into_bytes()[..GAMMA_LEN]);
        gamma
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, beta: &[u8], gamma: &[u8]) -> bool {
        hmac(&self.mac, beta).verify_truncated_left(gamma).is_ok()
    }
}

pub(super) fn hmac(key: &[u8], data: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes keys of every length")
        .chain_update(data)
}

fn check(path: &[Hop], delays_ms: &[u16]) -> Result<(), BuildError> {
    let hops = path.len();
    if hops == 0 || hops > HOPS_MAX {
        return Err(BuildError::PathLength(hops));
    }
    // A list with the zero of the last hop at its end is as good.
    let given = delays_ms.len();
    if given != hops && given + 1 != hops {
        return Err(BuildError::DelayCount { hops, given });
    }
    if let Some(i) = delays_ms.iter().take(hops - 1).position(|&ms| ms == 0) {
        return Err(BuildError::DelayZero(i));
    }
    if let Some(&ms) = delays_ms.get(hops - 1).filter(|&&ms| ms != 0) {
        return Err(BuildError::DelayAtEnd(ms));
    }
    match path.iter().position(|hop| hop.address.is_none()) {
        Some(i) => Err(BuildError::NoAddress(i)),
        None => Ok(()),
    }
}

fn xor(data: &mut [u8], stream: &[u8]) {
    debug_assert_eq!(data.len(), stream.len());
    for (data, stream) in data.iter_mut().zip(stream) {
        *data ^= stream;
    }
}

/// Where the id of a final block, or the next hop's gamma, is in a block.
const ID_AT: usize = ADDRESS_LEN + DELAY_LEN;
