//! One layer off a packet, at the hop whose key it is for.
//!
//! The checks in their order: alpha is canonical and not of low order; the tag H(s) is new; the MAC verifies; the tag is stored;
//! and only then is anything deciphered. All happens in the packet's own memory: nothing is allocated. What follows the hop's own block decides what the hop is:
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

use std::fmt;
use std::ops::{Deref, DerefMut};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::curve::Alpha;
use super::keys::{HeaderKeys, SharedSecret};
use super::payload::Lioness;
use super::{Packet, SecretKey, SurbId};
use crate::address::Address;
use crate::error::DropReason;
use crate::geometry::{
    ADDRESS_LEN, ALPHA_LEN, BETA_AT, BETA_LEN, BLOCK_LEN, DELAY_LEN, DELTA_AT, GAMMA_AT, GAMMA_LEN,
    HOPS, HOPS_MAX, MESSAGE_LEN, PACKET_LEN, PAYLOAD_LEN, PAYLOAD_TAG_LEN, STREAM_LEN, final_zeros,
};
use crate::replay::{Replay, ReplayError};

/// What is left of a packet when its outer layer is off.
#[derive(Debug)]
pub enum Peeled {
    /// For the next hop.
    Forward {
        /// Where to.
        next: Address,
        /// The mean of the exponential delay that this hop adds, in milliseconds.
        delay_ms_mean: u16,
        /// What to send.
        packet: Packet,
    },
    /// For this hop.
    Exit {
        /// For whom, when it is not the hop itself.
        destination: Address,
        /// What the maker of the packet wrote.
        message: Delivered,
    },
    /// A reply to this hop.
    Reply {
        /// The id of the reply block.
        id: SurbId,
        /// For [`super::SurbKeys::open`].
        delta: SealedReply,
    },
}

/// The 3968 bytes that the maker of a packet wrote, in the memory of the packet that brought them.
pub struct Delivered(Packet);

impl Deref for Delivered {
    type Target = [u8; MESSAGE_LEN];

    fn deref(&self) -> &Self::Target {
        let bytes = &self.0.as_bytes()[DELTA_AT + PAYLOAD_TAG_LEN..];
        bytes.try_into().expect("a message ends its packet")
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivered")
    }
}

/// The 3984 bytes of a reply that its maker can open, in the memory of the packet that brought them.
#[derive(Clone)]
pub struct SealedReply(Packet);

impl Deref for SealedReply {
    type Target = [u8; PAYLOAD_LEN];

    fn deref(&self) -> &Self::Target {
        let bytes = &self.0.as_bytes()[DELTA_AT..];
        bytes.try_into().expect("a payload ends its packet")
    }
}

impl DerefMut for SealedReply {
    fn deref_mut(&mut self) -> &mut Self::Target {
        let bytes = &mut self.0.as_mut()[DELTA_AT..];
        bytes.try_into().expect("a payload ends its packet")
    }
}

impl fmt::Debug for SealedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedReply")
    }
}

/// Takes one layer off a packet of a path of up to four hops, in the packet's own memory.
pub fn peel(
    key: &SecretKey,
    packet: Packet,
    replay: &mut impl Replay,
) -> Result<Peeled, DropReason> {
    peel_up_to(HOPS, key, packet, replay)
}

/// As [`peel`], for paths of up to `hops_max` hops, 1 to 5: a longer path leaves fewer zeros after the final block.
pub fn peel_up_to(
    hops_max: usize,
    key: &SecretKey,
    packet: Packet,
    replay: &mut impl Replay,
) -> Result<Peeled, DropReason> {
    let alpha = alpha(&packet)?;
    let layer = admit(&alpha, key, &packet, replay)?;
    layer.take_off(hops_max, &alpha, packet)
}

/// The group element of a packet, if it is one that an honest maker sends.
pub(crate) fn alpha(packet: &Packet) -> Result<Alpha, DropReason> {
    let (alpha, _) = packet
        .as_bytes()
        .split_first_chunk()
        .expect("a packet is longer than alpha");
    Alpha::parse(alpha)
}

/// A layer whose MAC verified and whose tag is stored.
pub(crate) struct Layer {
    shared: SharedSecret,
    header: HeaderKeys,
}

/// The checks before anything is deciphered.
pub(crate) fn admit(
    alpha: &Alpha,
    key: &SecretKey,
    packet: &Packet,
    replay: &mut impl Replay,
) -> Result<Layer, DropReason> {
    let shared = alpha.agree(key.as_bytes())?;
    let tag = shared.tag();
    if replay.seen(&tag) {
        return Err(DropReason::Replayed);
    }
    let header = shared.header_keys();
    let (beta, gamma) = packet.as_bytes()[BETA_AT..DELTA_AT].split_at(BETA_LEN);
    if !header.verify(beta, gamma) {
        return Err(DropReason::Mac);
    }
    replay.insert(&tag).map_err(|error| match error {
        ReplayError::Full => DropReason::ReplayFull,
        ReplayError::Duplicate => DropReason::Replayed,
    })?;
    Ok(Layer { shared, header })
}

impl Layer {
    /// Deciphers, and says what the hop is to do.
    pub(crate) fn take_off(
        self,
        hops_max: usize,
        alpha: &Alpha,
        packet: Packet,
    ) -> Result<Peeled, DropReason> {
        let mut routing = Zeroizing::new([0; STREAM_LEN]);
        routing[..BETA_LEN].copy_from_slice(&packet.as_bytes()[BETA_AT..GAMMA_AT]);
        self.header.apply_stream(&mut *routing);
        let end = BLOCK_LEN + final_zeros(hops_max.clamp(1, HOPS_MAX));
        if is_zero(&routing[BLOCK_LEN..end]) {
            self.finish(&routing, packet)
        } else {
            self.forward(alpha, &routing, packet)
        }
    }

    fn forward(
        self,
        alpha: &Alpha,
        routing: &[u8; STREAM_LEN],
        mut packet: Packet,
    ) -> Result<Peeled, DropReason> {
        let next = address(routing)?;
        if next.is_none() {
            return Err(DropReason::MalformedRouting);
        }
        let delay_ms_mean = u16::from_be_bytes([routing[ADDRESS_LEN], routing[ADDRESS_LEN + 1]]);
        let bytes = packet.as_mut();
        bytes[..ALPHA_LEN].copy_from_slice(&alpha.blind(&self.shared));
        bytes[BETA_AT..GAMMA_AT].copy_from_slice(&routing[BLOCK_LEN..]);
        bytes[GAMMA_AT..DELTA_AT].copy_from_slice(&routing[ID_AT..BLOCK_LEN]);
        self.decipher(bytes);
        Ok(Peeled::Forward {
            next,
            delay_ms_mean,
            packet,
        })
    }

    fn finish(self, routing: &[u8; STREAM_LEN], mut packet: Packet) -> Result<Peeled, DropReason> {
        let mut id = [0; GAMMA_LEN];
        id.copy_from_slice(&routing[ID_AT..BLOCK_LEN]);
        let destination = address(routing)?;
        let is_reply = !is_zero(&id);
        if !is_zero(&routing[ADDRESS_LEN..ID_AT]) || (is_reply && !destination.is_none()) {
            return Err(DropReason::MalformedRouting);
        }
        self.decipher(packet.as_mut());
        if is_reply {
            let id = SurbId::from_bytes(id).ok_or(DropReason::MalformedRouting)?;
            let delta = SealedReply(packet);
            return Ok(Peeled::Reply { id, delta });
        }
        if !is_zero(&packet.as_bytes()[DELTA_AT..DELTA_AT + PAYLOAD_TAG_LEN]) {
            return Err(DropReason::PayloadTag);
        }
        let message = Delivered(packet);
        Ok(Peeled::Exit {
            destination,
            message,
        })
    }

    fn decipher(&self, packet: &mut [u8; PACKET_LEN]) {
        Lioness::new(&self.shared.payload_key().0).decrypt(&mut packet[DELTA_AT..]);
    }
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
