//! Packets that nobody should make, under MACs that verify: for tests and fuzzing.

use super::curve::Alpha;
use super::{Packet, SecretKey};
use crate::geometry::{ALPHA_LEN, BETA_AT, DELTA_AT, GAMMA_AT};

/// Deciphers the routing of a packet for `key`, lets it be changed, enciphers it again and puts it under a valid MAC.
///
/// `None` for a packet whose group element no key agrees with.
pub(crate) fn forge(
    mut packet: Packet,
    key: &SecretKey,
    change: impl FnOnce(&mut [u8]),
) -> Option<Packet> {
    let (alpha, _) = packet.as_bytes().split_first_chunk::<ALPHA_LEN>()?;
    let shared = Alpha::parse(alpha).ok()?.agree(key.as_bytes()).ok()?;
    let keys = shared.header_keys();
    let beta = &mut packet.as_mut()[BETA_AT..GAMMA_AT];
    keys.apply_stream(beta);
    change(beta);
    keys.apply_stream(beta);
    let gamma = keys.mac(beta);
    packet.as_mut()[GAMMA_AT..DELTA_AT].copy_from_slice(&gamma);
    Some(packet)
}
