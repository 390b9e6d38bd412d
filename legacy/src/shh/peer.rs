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

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::bloom::Bloom;
use super::clock::Samples;
use super::confirmation::Pending;
use super::limits::{LOW_POW_STRIKES_MAX, PACKET_BURST, REPLIES_MAX, STRIKE_WINDOW_MS};
use super::pool::{Entry, Seq, Slot};
use super::topic::Topic;
use super::wire::{RateLimits, Status};
use crate::identity::NodeId;

pub(super) struct Peer {
    pub(super) node: NodeId,
    /// Under which its packets are counted; nothing where it has no limit.
    pub(super) ip: Option<IpAddr>,
    pub(super) slot: Slot,
    pub(super) phase: Phase,
    pub(super) outbox: Outbox,
    /// How fast we send to it.
    pub(super) pace: Pace,
    /// Bundles of ours that it has not confirmed.
    pub(super) pending: Pending,
    /// Packets above our rate limits.
    pub(super) excess: Strikes,
    /// What its news say of our clock.
    pub(super) samples: Samples,
    /// Until when it sends its pool, and no news.
    pub(super) settled_at: Instant,
    low_pow: Strikes,
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
    pub(super) fn new(
        node: NodeId,
        ip: Option<IpAddr>,
        slot: Slot,
        pace: Pace,
        mono: Instant,
        status_until: Instant,
    ) -> Peer {
        Peer {
            node,
            ip,
            slot,
            pace,
            pending: Pending::default(),
            phase: Phase::AwaitingStatus {
                until: status_until,
                pow: None,
                bloom: None,
            },
            outbox: Outbox::new(mono),
            excess: Strikes::new(mono),
            samples: Samples::default(),
            settled_at: status_until,
            low_pow: Strikes::new(mono),
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
        self.low_pow.count(mono, LOW_POW_STRIKES_MAX)
    }

    /// Whether it says that it takes only so many packets.
    pub(super) fn is_limited(&self) -> bool {
        let limits = self.wants().and_then(|wants| wants.rate_limits);
        limits.is_some_and(|limits| limits.per_connection().is_some())
    }

    /// It takes so many packets from now on: our pace follows.
    pub(super) fn set_rate_limits(&mut self, limits: RateLimits, usual: &Pace) {
        if let Phase::Ready(wants) = &mut self.phase {
            wants.rate_limits = Some(limits);
        }
        self.pace = usual.within(&limits);
    }
}

/// A count over a window of time.
#[derive(Debug)]
pub(super) struct Strikes {
    count: u32,
    until: Instant,
}

impl Strikes {
    fn new(mono: Instant) -> Strikes {
        Strikes {
            count: 0,
            until: mono,
        }
    }

    /// Counts one. Gives the count back when it is above the bound.
    pub(super) fn count(&mut self, mono: Instant, max: u32) -> Option<u32> {
        if mono >= self.until {
            self.count = 0;
            self.until = mono + Duration::from_millis(STRIKE_WINDOW_MS);
        }
        self.count = self.count.saturating_add(1);
        (self.count > max).then_some(self.count)
    }
}

/// What waits for a peer, and when it may leave.
pub(super) struct Outbox {
    pub(super) queue: BTreeSet<Seq>,
    /// The whole pool is to be looked at before the next bundle.
    pub(super) rescan: bool,
    /// The connection takes no more for now.
    pub(super) held: bool,
    /// Replies that do not wait for the tick, only for the allowance.
    replies: VecDeque<(u64, Vec<u8>)>,
    flush_at: Option<Instant>,
    /// When the allowance for packets would be full again, if nothing were sent.
    full_at: Instant,
}

impl Outbox {
    fn new(mono: Instant) -> Outbox {
        Outbox {
            queue: BTreeSet::new(),
            rescan: false,
            held: false,
            replies: VecDeque::new(),
            flush_at: None,
            full_at: mono,
        }
    }

    /// Queues a reply. False: too many wait, and the oldest is dropped.
    pub(super) fn reply(&mut self, code: u64, payload: Vec<u8>) -> bool {
        let fits = self.replies.len() < REPLIES_MAX;
        if !fits {
            self.replies.pop_front();
        }
        self.replies.push_back((code, payload));
        fits
    }

    /// The next reply, out of the allowance.
    pub(super) fn take_reply(&mut self, mono: Instant, pace: &Pace) -> Option<(u64, Vec<u8>)> {
        let reply = self.replies.pop_front()?;
        self.spend(mono, pace);
        Some(reply)
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

    /// When the next packet may leave: the tick, or later where the allowance is used up.
    pub(super) fn due_at(&self, pace: &Pace) -> Option<Instant> {
        if self.held {
            return None;
        }
        let allowed = self.full_at.checked_sub(pace.slack).unwrap_or(self.full_at);
        if !self.replies.is_empty() {
            return Some(allowed);
        }
        self.flush_at.map(|tick| tick.max(allowed))
    }

    /// Takes one packet out of the allowance.
    pub(super) fn spend(&mut self, mono: Instant, pace: &Pace) {
        self.full_at = self.full_at.max(mono) + pace.interval;
    }

    /// After a flush: the rest leaves as soon as the allowance permits.
    pub(super) fn settle(&mut self, mono: Instant) {
        self.flush_at = (!self.queue.is_empty()).then_some(mono);
    }
}

/// The allowance for packets: one per interval, and after a pause a few at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// This pace, or a slower one that stays a fifth below what a peer takes: its clock is not ours.
    pub(super) fn within(self, limits: &RateLimits) -> Pace {
        let Some(limit) = limits.per_connection() else {
            return self;
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let interval = (Duration::from_millis(1_250) / limit).max(self.interval);
        let burst = limit.saturating_sub(1).clamp(1, PACKET_BURST);
        Pace {
            interval,
            slack: (interval * (burst - 1)).min(self.slack.max(interval)),
        }
    }
}
