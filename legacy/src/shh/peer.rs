//! One connected peer: what it asks for, and what waits for it.
//!
//! ```text
//! AwaitingStatus ── Status ──▶ Ready
//!      │ 10 s, or any message but codes 0, 2, 3
//!      ▼
//!   dismissed
//! ```
//!
//! Codes 2 and 3 may overtake the Status of a Go peer; they are kept and win over what the Status says.
//! What waits is a set of sequence numbers, filled when an envelope arrives and emptied on the relay tick. A full look
//! at the pool happens only at the start and when the peer widens what it wants, and then on the tick as well, so a
//! peer that changes its mind a thousand times a second costs no more than one that does it once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::bloom::Bloom;
use super::limits::{LOW_POW_STRIKES_MAX, STRIKE_WINDOW_MS};
use super::pool::{Entry, Seq, Slot};
use super::topic::Topic;
use super::wire::{RateLimits, Status};
use crate::identity::NodeId;

pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) slot: Slot,
    pub(super) phase: Phase,
    pub(super) outbox: Outbox,
    strikes: u32,
    strikes_until: Instant,
}

pub(super) enum Phase {
    AwaitingStatus {
        until: Instant,
        pow: Option<f64>,
        bloom: Option<Bloom>,
    },
    Ready(Wants),
}

/// What a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wants {
    /// Work that envelopes must prove.
    pub min_pow: f64,
    /// Topics that it wants; nothing means all.
    pub bloom: Option<Bloom>,
    /// It does not relay.
    pub light: bool,
    /// It answers bundles with confirmations.
    pub confirmations: bool,
    /// Packets per second that it announces to take.
    pub rate_limits: Option<RateLimits>,
}

impl Wants {
    pub(super) fn of(status: Status) -> Wants {
        let Status {
            min_pow,
            bloom,
            light,
            confirmations,
            rate_limits,
        } = status;
        Wants {
            min_pow,
            bloom,
            light,
            confirmations,
            rate_limits,
        }
    }

    /// Whether it wants an envelope of this topic and work.
    pub fn accepts(&self, topic: Topic, pow: f64) -> bool {
        pow >= self.min_pow && self.bloom.as_ref().is_none_or(|bloom| bloom.wants(topic))
    }

    /// Whether it wants something that these other wants exclude.
    fn exceeds(&self, before: &Wants) -> bool {
        let wider = match (&self.bloom, &before.bloom) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(now), Some(then)) => !then.contains(now),
        };
        wider || self.min_pow < before.min_pow
    }
}

impl Peer {
    pub(super) fn new(node: NodeId, slot: Slot, mono: Instant, status_until: Instant) -> Peer {
        Peer {
            node,
            slot,
            phase: Phase::AwaitingStatus {
                until: status_until,
                pow: None,
                bloom: None,
            },
            outbox: Outbox::new(mono),
            strikes: 0,
            strikes_until: mono,
        }
    }

    pub(super) fn wants(&self) -> Option<&Wants> {
        match &self.phase {
            Phase::AwaitingStatus { .. } => None,
            Phase::Ready(wants) => Some(wants),
        }
    }

    /// Applies a change of what the peer wants, and says whether there was one.
    pub(super) fn change(
        &mut self,
        mono: Instant,
        tick: Duration,
        change: impl FnOnce(&mut Wants),
    ) -> bool {
        let Phase::Ready(wants) = &mut self.phase else {
            return false;
        };
        let before = *wants;
        change(wants);
        if wants.exceeds(&before) {
            self.outbox.rescan(mono, tick);
        }
        *wants != before
    }

    /// Queues an envelope if the peer wants it and does not have it.
    pub(super) fn offer(
        &mut self,
        seq: Seq,
        entry: &Entry,
        mono: Instant,
        tick: Duration,
        queue_max: usize,
    ) {
        let wanted = self
            .wants()
            .is_some_and(|wants| wants.accepts(entry.envelope.topic(), entry.pow));
        if wanted && !entry.is_known_to(self.slot) {
            self.outbox.push(seq, mono, tick, queue_max);
        }
    }

    /// Counts an envelope of too little work. Gives the count back when it is too high.
    pub(super) fn strike(&mut self, mono: Instant) -> Option<u32> {
        if mono >= self.strikes_until {
            self.strikes = 0;
            self.strikes_until = mono + Duration::from_millis(STRIKE_WINDOW_MS);
        }
        self.strikes += 1;
        (self.strikes > LOW_POW_STRIKES_MAX).then_some(self.strikes)
    }
}

/// What waits for a peer, and when it may leave.
pub(super) struct Outbox {
    pub(super) queue: BTreeSet<Seq>,
    /// The whole pool is to be looked at before the next bundle.
    pub(super) rescan: bool,
    flush_at: Option<Instant>,
    /// When the allowance for bundles would be full again, if nothing were sent.
    full_at: Instant,
}

impl Outbox {
    fn new(mono: Instant) -> Outbox {
        Outbox {
            queue: BTreeSet::new(),
            rescan: false,
            flush_at: None,
            full_at: mono,
        }
    }

    fn push(&mut self, seq: Seq, mono: Instant, tick: Duration, queue_max: usize) {
        self.queue.insert(seq);
        // More than the pool holds: most of it is dead, and the pool knows better.
        if self.queue.len() > queue_max {
            self.queue.clear();
            self.rescan = true;
        }
        self.flush_at.get_or_insert(mono + tick);
    }

    pub(super) fn rescan(&mut self, mono: Instant, tick: Duration) {
        self.rescan = true;
        self.flush_at.get_or_insert(mono + tick);
    }

    /// When the next bundle may leave: the tick, or later where the allowance is used up.
    pub(super) fn due_at(&self, pace: &Pace) -> Option<Instant> {
        let allowed = self.full_at.checked_sub(pace.slack).unwrap_or(self.full_at);
        self.flush_at.map(|tick| tick.max(allowed))
    }

    /// Takes one bundle out of the allowance.
    pub(super) fn spend(&mut self, mono: Instant, pace: &Pace) {
        self.full_at = self.full_at.max(mono) + pace.interval;
    }

    /// After a flush: the rest leaves as soon as the allowance permits.
    pub(super) fn settle(&mut self, mono: Instant) {
        self.flush_at = (!self.queue.is_empty()).then_some(mono);
    }
}

/// The allowance for bundles: one per interval, and after a pause a few at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    slack: Duration,
}

impl Pace {
    pub(super) fn new(per_second: u32, burst: u32) -> Pace {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Pace {
            interval,
            slack: interval * burst.saturating_sub(1),
        }
    }
}
