//! One layer off a packet, at the hop whose key it is for.
//!
//! The checks in their order: alpha is canonical and not of low order; the tag H(s) is new; the MAC verifies; the tag is stored;
//! and only then is anything deciphered or allocated. What follows the hop's own block decides what the hop is:
//!
//! ```text
//! 128 zero bytes after the block, address any, delay 0, id 0    the end of a forward packet
//! 128 zero bytes after the block, address 0,   delay 0, id ≠ 0  a reply for the maker of the reply block
//! 128 zero bytes after the block, anything else                 malformed
//! no such zeros                                                 forward, if the address decodes
//! ```
//!
//! The delay does not decide: a block with delay zero and other bytes after it is forwarded like any other, which is how the
//! deployed nodes read it, and our builder makes none. A path may be shorter than ours (more zeros) but not longer.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::curve::Alpha;
use super::keys::SharedSecret;
use super::payload::{self, Lioness};
use super::{Packet, SecretKey, SurbId};
use crate::address::Address;
use crate::error::DropReason;
use crate::geometry::{
    ADDRESS_LEN, ALPHA_LEN, BETA_AT, BETA_LEN, BLOCK_LEN, DELAY_LEN, DELTA_AT, GAMMA_AT, GAMMA_LEN,
    HOPS, MESSAGE_LEN, PAYLOAD_LEN, STREAM_LEN, final_zeros,
};
use crate::replay::{Replay, ReplayError};

/// What is left of a packet when its outer layer is off.
#[derive(Debug)]
pub enum Peeled {
    /// For the next hop.
    Forward {
        /// Where to.
        next: Address,
        /// The mean of the exponential delay that this hop adds.
        delay_ms_mean: u16,
        /// What to send.
        packet: Packet,
    },
    /// For this hop.
    Exit {
        /// For whom, when it is not the hop itself.
        destination: Address,
        /// What the maker of the packet wrote.
        message: Box<[u8; MESSAGE_LEN]>,
    },
    /// A reply to this hop.
    Reply {
        /// The id of the reply block.
        id: SurbId,
        /// For [`super::SurbKeys::open`].
        delta: Box<[u8; PAYLOAD_LEN]>,
    },
}

/// Takes one layer off a packet of a path of up to four hops.
pub fn peel(
    key: &SecretKey,
    packet: &Packet,
    replay: &mut impl Replay,
) -> Result<Peeled, DropReason> {
    peel_up_to(HOPS, key, packet, replay)
}

/// As [`peel`], for paths of up to `hops_max` hops, 1 to 5: a longer path leaves fewer zeros after the final block.
pub fn peel_up_to(
    hops_max: usize,
    key: &SecretKey,
    packet: &Packet,
    replay: &mut impl Replay,
) -> Result<Peeled, DropReason> {
    let bytes = packet.as_bytes();
    let (alpha, _) = bytes
        .split_first_chunk()
        .expect("a packet is longer than alpha");
    let alpha = Alpha::parse(alpha)?;
    let shared = admit(key, &alpha, &bytes[BETA_AT..DELTA_AT], replay)?;

    let mut routing = Zeroizing::new([0; STREAM_LEN]);
    routing[..BETA_LEN].copy_from_slice(&bytes[BETA_AT..GAMMA_AT]);
    shared.header_keys().apply_stream(&mut *routing);
    let end = BLOCK_LEN + final_zeros(hops_max.clamp(1, crate::geometry::HOPS_MAX));
    if is_zero(&routing[BLOCK_LEN..end]) {
        finish(&shared, &routing, &bytes[DELTA_AT..])
    } else {
        forward(&shared, &alpha, &routing, &bytes[DELTA_AT..])
    }
}

/// The checks before anything is deciphered.
fn admit(
    key: &SecretKey,
    alpha: &Alpha,
    beta_gamma: &[u8],
    replay: &mut impl Replay,
) -> Result<SharedSecret, DropReason> {
    let shared = alpha.agree(key.as_bytes())?;
    let tag = shared.tag();
    if replay.seen(&tag) {
        return Err(DropReason::Replayed);
    }
    let (beta, gamma) = beta_gamma.split_at(BETA_LEN);
    if !shared.header_keys().verify(beta, gamma) {
        return Err(DropReason::Mac);
    }
    replay.insert(&tag).map_err(|error| match error {
        ReplayError::Full => DropReason::ReplayFull,
        ReplayError::Duplicate => DropReason::Replayed,
    })?;
    Ok(shared)
}

fn forward(
    shared: &SharedSecret,
    alpha: &Alpha,
    routing: &[u8; STREAM_LEN],
    delta: &[u8],
) -> Result<Peeled, DropReason> {
    let next = address(routing)?;
    if next.is_none() {
        return Err(DropReason::MalformedRouting);
    }
    let delay_ms_mean = u16::from_be_bytes([routing[ADDRESS_LEN], routing[ADDRESS_LEN + 1]]);
    let mut packet = Packet::zeroed();
    let bytes = packet.as_mut();
    bytes[..ALPHA_LEN].copy_from_slice(&alpha.blind(shared));
    bytes[BETA_AT..GAMMA_AT].copy_from_slice(&routing[BLOCK_LEN..]);
    bytes[GAMMA_AT..DELTA_AT].copy_from_slice(&routing[ID_AT..BLOCK_LEN]);
    bytes[DELTA_AT..].copy_from_slice(delta);
    Lioness::new(&shared.payload_key().0).decrypt(&mut bytes[DELTA_AT..]);
    Ok(Peeled::Forward {
        next,
        delay_ms_mean,
        packet,
    })
}

fn finish(
    shared: &SharedSecret,
    routing: &[u8; STREAM_LEN],
    delta: &[u8],
) -> Result<Peeled, DropReason> {
    let mut id = [0; GAMMA_LEN];
    id.copy_from_slice(&routing[ID_AT..BLOCK_LEN]);
    let destination = address(routing)?;
    let is_reply = !is_zero(&id);
    if !is_zero(&routing[ADDRESS_LEN..ID_AT]) || (is_reply && !destination.is_none()) {
        return Err(DropReason::MalformedRouting);
    }
    let cipher = Lioness::new(&shared.payload_key().0);
    if is_reply {
        let id = SurbId::from_bytes(id).ok_or(DropReason::MalformedRouting)?;
        let mut payload = Box::new([0; PAYLOAD_LEN]);
        payload.copy_from_slice(delta);
        cipher.decrypt(&mut *payload);
        return Ok(Peeled::Reply { id, delta: payload });
    }
    let mut payload = Zeroizing::new([0; PAYLOAD_LEN]);
    payload.copy_from_slice(delta);
    cipher.decrypt(&mut *payload);
    let message = payload::unframe(&payload).ok_or(DropReason::PayloadTag)?;
    Ok(Peeled::Exit {
        destination,
        message,
    })
}

fn address(routing: &[u8; STREAM_LEN]) -> Result<Address, DropReason> {
    let (bytes, _) = routing
        .split_first_chunk::<ADDRESS_LEN>()
        .expect("a routing block starts with an address");
    Address::from_bytes(bytes).map_err(|_| DropReason::MalformedAddress)
}

fn is_zero(bytes: &[u8]) -> bool {
    let all = bytes.iter().fold(0, |all, byte| all | byte);
    all.ct_eq(&0_u8).into()
}

/// Where the next gamma, or the id of a reply, is in a block.
const ID_AT: usize = ADDRESS_LEN + DELAY_LEN;
