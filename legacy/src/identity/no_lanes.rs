//! No lanes on this kind of processor: every signer is found out, and every key agreed on, by itself.

use zeroize::Zeroizing;

use super::{PUBLIC_KEY_LEN, PublicKey, SecretKey, Signed};

/// How many are looked at together.
pub(super) const LANES: usize = 8;

/// Nothing.
pub(super) fn recover(_: &[Signed<'_>]) -> Option<[Option<[u8; PUBLIC_KEY_LEN]>; LANES]> {
    None
}

/// Nothing.
pub(super) fn agree(
    _: &[(&SecretKey, &PublicKey)],
) -> Option<[Option<Zeroizing<[u8; 32]>>; LANES]> {
    None
}
