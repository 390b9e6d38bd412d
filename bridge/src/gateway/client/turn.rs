//! One turn of the client, and what it causes.

use std::time::{Duration, Instant};

use rand_core::Rng as _;

use super::Config;
use super::line::Line;
use super::registration::RegistrationId;
use crate::counters::{Direction, DropReason};
use crate::port::{BridgeId, ChainSecret, Envelope, Object, Trace};
use crate::turn;

/// What leaves the client once its batch is durable.
pub(crate) enum Effect {
    WantBlocks(usize),
    Send {
        to: BridgeId,
        object: Object,
        prompt: bool,
    },
    Deliver(Envelope),
    Watch {
        id: RegistrationId,
        key: ChainSecret,
        next: u64,
    },
    Unwatch(RegistrationId),
    /// With time 0: stamped when it is released.
    Trace(Trace),
}

impl From<Trace> for Effect {
    fn from(trace: Trace) -> Self {
        Effect::Trace(trace)
    }
}

/// What the parts of the client share while one input is handled.
pub(crate) type Turn<'a> = turn::Turn<'a, Config, Effect, &'a mut Line>;

impl Turn<'_> {
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

    /// Sends an object to a bridge; `prompt` if somebody waits for it.
    pub(crate) fn send(&mut self, to: BridgeId, object: Object, prompt: bool) {
        let frames = self.frames_for(object.bytes.len());
        self.line.push(self.now, self.config.slot, frames);
        self.ledger.effect(Effect::Send { to, object, prompt });
    }

    /// When an unanswered request is repeated that is handed over now: growing gaps from when it has left, spread so that repetitions do
    /// not fall together. Each gap comes twice: where packets are lost by chance, the second try is as good as the first.
    pub(crate) fn retry_at(&mut self, attempt: u32) -> Instant {
        let first = if self.line.lossy {
            self.config.retry * 2 / 3
        } else {
            self.config.retry
        };
        let gap = first
            .saturating_mul(1 << (attempt / 2).min(RETRY_DOUBLINGS))
            .min(RETRY_GAP_MAX);
        let spread =
            self.rng.next_u64() % (u64::try_from(gap.as_millis()).unwrap_or(u64::MAX) / 4).max(1);
        self.line.free_at(self.now) + gap + Duration::from_millis(spread)
    }
}

/// The largest gap between two tries: what a bridge that comes back is let wait at most.
const RETRY_GAP_MAX: Duration = Duration::from_secs(30);
/// Enough to reach [`RETRY_GAP_MAX`] from any sensible start.
const RETRY_DOUBLINGS: u32 = 8;
