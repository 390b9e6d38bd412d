//! A packet along a path.

use super::header::{FinalBlock, Header};
use super::payload::{self, Lioness};
use super::{Packet, PublicKey};
use crate::address::Address;
use crate::error::BuildError;
use crate::geometry::{DELTA_AT, GAMMA_LEN, MESSAGE_LEN};

/// One hop of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The hop's mix key.
    pub key: PublicKey,
    /// Where the hop before finds it.
    pub address: Address,
}

/// Builds a packet along 1 to 5 hops, and says where it goes first.
///
/// `delays_ms` has the mean delay of each hop but the last, 1 to 65535 (a zero for the last hop may follow). `secret` must be
/// random and used for this packet only. `destination` is for the last hop; [`Address::NONE`] when it is the receiver itself.
pub fn build(
    path: &[Hop],
    delays_ms: &[u16],
    secret: &[u8; 32],
    message: &[u8; MESSAGE_LEN],
    destination: &Address,
) -> Result<(Packet, Address), BuildError> {
    let last = FinalBlock {
        destination: destination.to_bytes(),
        id: [0; GAMMA_LEN],
    };
    let header = Header::build(path, delays_ms, secret, &last)?;
    let mut delta = payload::frame(message);
    for key in header.payload_keys.iter().rev() {
        Lioness::new(&key.0).encrypt(&mut *delta);
    }
    let mut packet = Packet::zeroed();
    packet.as_mut()[..DELTA_AT].copy_from_slice(&header.bytes);
    packet.as_mut()[DELTA_AT..].copy_from_slice(&*delta);
    Ok((packet, path[0].address))
}
