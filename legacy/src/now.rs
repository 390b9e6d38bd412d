//! Time as the core sees it: read once by the shell, handed in with every input.

use std::time::Instant;

/// One reading of both clocks.
///
/// Timeouts follow `mono`; envelopes live and die by `unix_ms`. They are different inputs, so that a test can make the
/// wall clock jump while a timeout runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// A clock that never goes back.
    pub mono: Instant,
    /// Milliseconds since 1970 by the wall clock.
    pub unix_ms: u64,
}

impl Now {
    /// Whole seconds since 1970, the unit of envelopes.
    pub const fn unix_s(&self) -> u64 {
        self.unix_ms / 1000
    }
}
