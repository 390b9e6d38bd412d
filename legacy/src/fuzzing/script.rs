//! Any bytes, read as a script: small numbers and pieces, until nothing is left.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::now::Now;

/// What is left of a script.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Script<'a> {
        Script(bytes)
    }

    /// The next byte; nothing at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next number below a bound.
    pub(super) fn below(&mut self, bound: u8) -> Option<u8> {
        self.byte().map(|byte| byte % bound)
    }

    /// A number of two bytes.
    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// A piece that says its length in a byte; shorter at the end.
    pub(super) fn piece(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(piece)
    }
}

/// Both clocks, as far as a script has moved them.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) mono_ms: u64,
    pub(super) unix_ms: u64,
}

impl Clock {
    pub(super) const fn new() -> Clock {
        Clock {
            mono_ms: 0,
            unix_ms: 1_600_000_000_000,
        }
    }

    pub(super) fn now(self) -> Now {
        static START: OnceLock<Instant> = OnceLock::new();
        Now {
            mono: *START.get_or_init(Instant::now) + Duration::from_millis(self.mono_ms),
            unix_ms: self.unix_ms,
        }
    }

    pub(super) fn advance(&mut self, ms: u64) {
        self.mono_ms += ms;
        self.unix_ms += ms;
    }
}

/// The same in every run.
pub(super) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([7; 32])
}
