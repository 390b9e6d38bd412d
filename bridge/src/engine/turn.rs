//! One turn of the engine, and what it causes.

use super::Config;
use crate::port::{ChainSecret, Envelope, Object, ReplyBlock, SealJob, Tag, Trace};
use crate::turn;

/// What leaves the engine once its batch is durable.
pub(crate) enum Effect {
    Reply {
        blocks: Vec<ReplyBlock>,
        object: Object,
    },
    Publish(Envelope),
    Work(SealJob),
    Leave {
        tag: Tag,
        key: ChainSecret,
        first: u64,
        payload: Vec<u8>,
    },
    Forget(Tag),
    /// With time 0: stamped when it is released.
    Trace(Trace),
}

impl From<Trace> for Effect {
    fn from(trace: Trace) -> Self {
        Effect::Trace(trace)
    }
}

/// What the parts of the engine share while one input is handled.
pub(crate) type Turn<'a> = turn::Turn<'a, Config, Effect, ()>;

impl Turn<'_> {
    /// How many frames an object of this length takes.
    pub(crate) fn frames_for(&self, len: usize) -> usize {
        len.div_ceil(self.config.frame_capacity).max(1)
    }
}
