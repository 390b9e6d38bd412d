//! No lanes on this kind of processor: every input goes through the ordinary sponge.

use super::DIGEST_LEN;

/// How many inputs are looked at together.
pub(super) const LANES: usize = 8;

/// It has not.
pub(super) fn are_there() -> bool {
    false
}

/// Nothing.
pub(super) fn digests(_: &[&[u8]]) -> Option<[[u8; DIGEST_LEN]; LANES]> {
    None
}

/// There are none.
#[derive(Clone)]
pub(super) enum Nonces {}

impl Nonces {
    /// Nothing.
    pub(super) fn new(_: &[u8]) -> Option<Nonces> {
        None
    }

    /// Never called.
    pub(super) fn heads(&self, _: u64) -> [u64; LANES] {
        match *self {}
    }
}
