//! One turn of the engine: the time, what may be read and changed, and what shall be done afterwards.

use rand_chacha::ChaCha20Rng;

use super::Config;
use crate::counters::{Counters, Direction, DropReason};
use crate::ledger::Ledger;
use crate::port::{Envelope, EnvelopeHash, Now, Object, ReplyBlock, SealJob, Stage, Trace};

/// What leaves the engine once its batch is durable.
pub(crate) enum Effect {
    Reply {
        blocks: Vec<ReplyBlock>,
        object: Object,
    },
    Publish(Envelope),
    Work(SealJob),
    /// With time 0: stamped when it is released.
    Trace(Trace),
}

/// What the parts of the engine share while one input is handled.
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
        self.event(Trace {
            hash,
            stage,
            at_unix_ms,
            reason: None,
        });
    }

    /// Something is true of an envelope as soon as this turn is durable.
    pub(crate) fn trace_when_durable(&mut self, hash: EnvelopeHash, stage: Stage) {
        self.event(Trace {
            hash,
            stage,
            at_unix_ms: 0,
            reason: None,
        });
    }

    /// An envelope is given up.
    pub(crate) fn refuse(&mut self, hash: EnvelopeHash, direction: Direction, reason: DropReason) {
        self.counters.drop(direction, reason);
        let at_unix_ms = self.now.unix_ms;
        let reason = Some(reason.as_str());
        self.event(Trace {
            hash,
            stage: Stage::Refused,
            at_unix_ms,
            reason,
        });
    }

    /// How many frames an object of this length takes.
    pub(crate) fn frames_for(&self, len: usize) -> usize {
        len.div_ceil(self.config.frame_capacity).max(1)
    }

    fn event(&mut self, trace: Trace) {
        self.ledger.effect(Effect::Trace(trace));
    }
}
