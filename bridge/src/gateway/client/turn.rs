//! One turn of the client: the time, what may be read and changed, and what shall be done afterwards.

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use std::time::{Duration, Instant};

use super::Config;
use crate::counters::{Counters, Direction, DropReason};
use crate::ledger::Ledger;
use crate::port::{BridgeId, Envelope, EnvelopeHash, Now, Object, Stage, Trace};

/// What leaves the client once its batch is durable.
pub(crate) enum Effect {
    WantBlocks(usize),
    Send {
        to: BridgeId,
        object: Object,
    },
    Deliver(Envelope),
    /// With time 0: stamped when it is released.
    Trace(Trace),
}

/// What the parts of the client share while one input is handled.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a Config,
    pub(crate) ledger: &'a mut Ledger<Effect>,
    pub(crate) counters: &'a mut Counters,
    pub(crate) rng: &'a mut ChaCha20Rng,
}

impl Turn<'_> {
    /// Something happened to an envelope now.
    pub(crate) fn trace(&mut self, hash: EnvelopeHash, stage: Stage) {
        let at_unix_ms = self.now.unix_ms;
        self.ledger.effect(Effect::Trace(Trace {
            hash,
            stage,
            at_unix_ms,
            reason: None,
        }));
    }

    /// Something is true of an envelope as soon as this turn is durable.
    pub(crate) fn trace_when_durable(&mut self, hash: EnvelopeHash, stage: Stage) {
        self.ledger.effect(Effect::Trace(Trace {
            hash,
            stage,
            at_unix_ms: 0,
            reason: None,
        }));
    }

    /// An envelope is given up.
    pub(crate) fn refuse(&mut self, hash: EnvelopeHash, direction: Direction, reason: DropReason) {
        self.counters.drop(direction, reason);
        let at_unix_ms = self.now.unix_ms;
        let reason = Some(reason.as_str());
        self.ledger.effect(Effect::Trace(Trace {
            hash,
            stage: Stage::Refused,
            at_unix_ms,
            reason,
        }));
    }

    /// Something of what came from the bridge is dropped.
    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.counters.drop(Direction::ToMix, reason);
    }

    /// How many frames an object of this length takes.
    pub(crate) fn frames_for(&self, len: usize) -> usize {
        len.div_ceil(self.config.frame_capacity).max(1)
    }

    /// Fresh random bytes.
    pub(crate) fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// When an unanswered request is repeated: growing gaps, spread so that repetitions do not fall together.
    pub(crate) fn retry_at(&mut self, attempt: u32) -> Instant {
        let gap = self
            .config
            .retry
            .saturating_mul(1 << attempt.min(RETRY_DOUBLINGS))
            .min(RETRY_GAP_MAX);
        let spread =
            self.rng.next_u64() % (u64::try_from(gap.as_millis()).unwrap_or(u64::MAX) / 4).max(1);
        self.now.mono + gap + Duration::from_millis(spread)
    }
}

/// The largest gap between two tries: what a bridge that comes back is let wait at most.
const RETRY_GAP_MAX: Duration = Duration::from_secs(30);
/// Enough to reach [`RETRY_GAP_MAX`] from any sensible start.
const RETRY_DOUBLINGS: u32 = 8;
