//! One turn of a core: the time, what may be read and changed, and what shall be done afterwards.

use rand_chacha::ChaCha20Rng;

use crate::counters::{Counters, Direction, DropReason};
use crate::ledger::Ledger;
use crate::port::{EnvelopeHash, Now, Stage, Trace};

/// What the parts of a core with the configuration `C` and the effects `E` share while one input is handled; `L` is what only that core
/// has.
pub(crate) struct Turn<'a, C, E, L> {
    pub(crate) now: Now,
    pub(crate) config: &'a C,
    pub(crate) ledger: &'a mut Ledger<E>,
    pub(crate) counters: &'a mut Counters,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) line: L,
}

impl<C, E: From<Trace>, L> Turn<'_, C, E, L> {
    /// Something happened to an envelope now.
    pub(crate) fn trace(&mut self, hash: EnvelopeHash, stage: Stage) {
        self.event(hash, stage, self.now.unix_ms, None);
    }

    /// Something is true of an envelope as soon as this turn is durable.
    pub(crate) fn trace_when_durable(&mut self, hash: EnvelopeHash, stage: Stage) {
        self.event(hash, stage, STAMPED_LATER, None);
    }

    /// An envelope is given up.
    pub(crate) fn refuse(&mut self, hash: EnvelopeHash, direction: Direction, reason: DropReason) {
        self.counters.drop(direction, reason);
        let at_unix_ms = self.now.unix_ms;
        self.event(hash, Stage::Refused, at_unix_ms, Some(reason.as_str()));
    }

    fn event(
        &mut self,
        hash: EnvelopeHash,
        stage: Stage,
        at_unix_ms: u64,
        reason: Option<&'static str>,
    ) {
        let trace = Trace {
            hash,
            stage,
            at_unix_ms,
            reason,
        };
        self.ledger.effect(E::from(trace));
    }
}

/// Gives its time to a trace that waited for its turn to be durable.
pub(crate) fn stamp(trace: &mut Trace, now: Now) {
    if trace.at_unix_ms == STAMPED_LATER {
        trace.at_unix_ms = now.unix_ms;
    }
}

/// The time of a trace that is stamped when it is released.
const STAMPED_LATER: u64 = 0;
