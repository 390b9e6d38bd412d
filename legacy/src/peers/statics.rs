//! A peer that is kept connected, and the pauses between the attempts.

use std::time::{Duration, Instant};

use super::End;
use super::place::is_local;
use crate::enode::Enode;
use crate::limits::{REDIAL_MAX, REDIAL_MIN, REDIAL_THROTTLED};

/// A peer that we want to be connected to.
pub(super) struct Static {
    pub(super) enode: Enode,
    /// When to dial, while it is neither connected nor being dialled.
    pub(super) due: Instant,
    /// The pause after the next failure.
    pause: Duration,
}

impl Static {
    pub(super) fn new(enode: Enode, due: Instant) -> Static {
        Static {
            enode,
            due,
            pause: REDIAL_MIN,
        }
    }

    /// `jitter` is from 0 to 1; pauses differ by a quarter, so that two ends that refused each other's dial part.
    pub(super) fn postpone(&mut self, now: Instant, stable: bool, end: End, jitter: f64) {
        if stable {
            self.pause = REDIAL_MIN;
        }
        let mut pause = self.pause;
        self.pause = (self.pause * 2).min(REDIAL_MAX);
        if end != End::Other || !is_local(self.enode.tcp().ip()) {
            pause = pause.max(REDIAL_THROTTLED);
        }
        self.due = now + pause.mul_f64(1.0 + jitter / 4.0);
    }
}
