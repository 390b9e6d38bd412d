//! No registers of that width on this kind of processor: `tiny-keccak` does the work.

use super::DIGEST_LEN;

/// There is none.
#[derive(Clone)]
pub(super) enum Sponge {}

impl Sponge {
    /// Nothing.
    pub(super) fn new() -> Option<Sponge> {
        None
    }

    /// Never called.
    pub(super) fn absorb(&mut self, _: &[u8]) {
        match *self {}
    }

    /// Never called.
    pub(super) fn digest(&self) -> [u8; DIGEST_LEN] {
        match *self {}
    }
}
