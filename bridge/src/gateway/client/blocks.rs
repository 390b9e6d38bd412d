//! Reply blocks: who waits for how many, and the few that are at hand.
//!
//! Every request carries blocks for its answers, so a request begins with wanting some. They are made by the mixnet client
//! on demand, and only as many as are wanted: a block that lies here grows old.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::registration::RegistrationId;
use super::turn::{Effect, Turn};
use crate::gateway::request::PostId;
use crate::port::ReplyBlock;

/// If blocks that were asked for have not come by then, they are asked for again: too few relays, or they were
/// lost in a restart of the mixnet client.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Blocks at hand beyond what is wanted; more are thrown away.
const POOL_MAX: usize = 1_024;

/// What waits for blocks; the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    Post(PostId),
    Register(RegistrationId),
    TopUp(RegistrationId),
    Ping(RegistrationId),
    Unregister(RegistrationId),
    /// A one-shot ping: is the registration still known?
    Probe(RegistrationId),
}

#[derive(Default)]
pub(crate) struct Blocks {
    pool: VecDeque<ReplyBlock>,
    waiting: BTreeMap<Job, usize>,
    asked: Option<Instant>,
}

impl Blocks {
    /// A job waits for so many blocks from now on.
    pub(crate) fn want(&mut self, job: Job, count: usize) {
        self.waiting.insert(job, count);
        self.asked = None;
    }

    /// Whether the job waits already.
    pub(crate) fn waits(&self, job: Job) -> bool {
        self.waiting.contains_key(&job)
    }

    /// The job needs none any more.
    pub(crate) fn cancel(&mut self, job: Job) {
        self.waiting.remove(&job);
    }

    /// New blocks.
    pub(crate) fn add(&mut self, blocks: Vec<ReplyBlock>) {
        let room = POOL_MAX.saturating_sub(self.pool.len());
        self.pool.extend(blocks.into_iter().take(room));
    }

    /// What is at hand may lead nowhere.
    pub(crate) fn discard(&mut self) {
        self.pool.clear();
        self.asked = None;
    }

    /// The next job that has its blocks.
    pub(crate) fn next(&mut self) -> Option<(Job, Vec<ReplyBlock>)> {
        let (job, count) = self
            .waiting
            .first_key_value()
            .map(|(job, count)| (*job, *count))?;
        if count > self.pool.len() {
            return None;
        }
        self.waiting.remove(&job);
        Some((job, self.pool.drain(..count).collect()))
    }

    /// Asks for what is missing, unless it was asked for a moment ago.
    pub(crate) fn ask(&mut self, turn: &mut Turn<'_>) {
        let wanted: usize = self.waiting.values().sum();
        let missing = wanted.saturating_sub(self.pool.len());
        if missing == 0 {
            self.asked = None;
            return;
        }
        if self.asked.is_some_and(|until| until > turn.now.mono) {
            return;
        }
        self.asked = Some(turn.now.mono + ASK_AGAIN);
        turn.ledger.effect(Effect::WantBlocks(missing));
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.asked
    }
}
