//! The writing half: each cell to two mailboxes, again and elsewhere until they say that they keep it.
//!
//! ```text
//! object ─▶ boxes ─▶ two lanes each ─ due ─▶ put ─▶ kept ─▶ the lane is over; all lanes of all boxes: Left
//!                       ▲                     │
//!                       └── twice the gap, and every second time the next mailbox: silent, full, or busy
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::standing::Standings;
use super::{Event, Label, LeaveError};
use crate::address::PeerKey;
use crate::fragment::OBJECT_LEN_MAX;
use crate::mailbox::cell::{boxes_for, seal_part};
use crate::mailbox::chain::ChainKey;
use crate::mailbox::place::{COPIES, WRITE_PLACES, mailboxes_of};
use crate::mailbox::request::{Put, PutStatus};
use crate::topology::Topology;

/// One copy of one cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    label: Label,
    first: u64,
    part: u16,
    copy: u8,
}

/// The objects that are on their way.
#[derive(Default)]
pub(super) struct Writer {
    objects: BTreeMap<(Label, u64), Leaving>,
    due: BTreeSet<(Instant, Lane)>,
    /// When an answer is late, to which attempt.
    deadlines: VecDeque<(Instant, Lane, PeerKey, u32)>,
    bytes: usize,
    unanswered: u64,
}

struct Leaving {
    key: ChainKey,
    object: Vec<u8>,
    boxes: Vec<BoxState>,
}

struct BoxState {
    kept: Vec<PeerKey>,
    lanes: [Option<LaneState>; COPIES],
}

#[derive(Clone, Copy)]
struct LaneState {
    attempts: u32,
    due: Instant,
    /// Who was asked last.
    peer: Option<PeerKey>,
    /// Mailboxes that hold another cell in the box.
    taken: u32,
}

impl Writer {
    pub(super) fn leave(
        &mut self,
        now: Instant,
        label: Label,
        key: ChainKey,
        first: u64,
        object: Vec<u8>,
    ) -> Result<(), LeaveError> {
        if object.len() > OBJECT_LEN_MAX {
            return Err(LeaveError::Oversize(object.len()));
        }
        if self.objects.contains_key(&(label, first)) {
            return Ok(());
        }
        if self.objects.len() >= OBJECTS_MAX || self.bytes >= BYTES_MAX {
            return Err(LeaveError::Full);
        }
        self.bytes += object.len();
        let lane = LaneState {
            attempts: 0,
            due: now,
            peer: None,
            taken: 0,
        };
        let boxes: Vec<BoxState> = (0..boxes_for(object.len()))
            .map(|_| BoxState {
                kept: Vec::new(),
                lanes: [Some(lane); COPIES],
            })
            .collect();
        for part in 0..boxes.len() as u16 {
            for copy in 0..COPIES as u8 {
                let lane = Lane {
                    label,
                    first,
                    part,
                    copy,
                };
                self.due.insert((now, lane));
            }
        }
        let leaving = Leaving { key, object, boxes };
        self.objects.insert((label, first), leaving);
        Ok(())
    }

    /// Stops putting the objects of a chain.
    pub(super) fn forget(&mut self, label: &Label) {
        let range = (*label, 0)..=(*label, u64::MAX);
        let firsts: Vec<u64> = self
            .objects
            .range(range)
            .map(|((_, first), _)| *first)
            .collect();
        for first in firsts {
            self.remove(*label, first);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= now)
    }

    /// The put that is due longest, and where it goes.
    pub(super) fn put(
        &mut self,
        now: Instant,
        topology: &Topology,
        standings: &Standings,
        events: &mut VecDeque<Event>,
    ) -> Option<(PeerKey, Put, Lane)> {
        while let Some((_, lane)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let leaving = self.objects.get(&(lane.label, lane.first))?;
            let index = lane.first.saturating_add(lane.part.into());
            let places = mailboxes_of(topology, &leaving.key.box_id(index), WRITE_PLACES);
            if places.is_empty() {
                self.reschedule(lane, now + NO_MAILBOX_GAP);
                return None;
            }
            let Some(peer) = leaving.place(lane, &places, |peer| standings.is_avoided(now, peer))
            else {
                // Fewer mailboxes than copies: one has to do.
                self.close(lane, events);
                continue;
            };
            let cell = seal_part(&leaving.key, lane.first, &leaving.object, lane.part.into())?;
            let put = Put {
                id: leaving.key.box_id(index),
                proof: leaving.key.proof(index),
                cell,
            };
            if let Some(state) = self.lane(lane) {
                state.peer = Some(peer);
            }
            return Some((peer, put, lane));
        }
        None
    }

    /// A put has left; without an answer it is repeated after a growing gap, spread by a random number.
    pub(super) fn departed(
        &mut self,
        deadline: Instant,
        patience: Duration,
        lane: Lane,
        spread: u32,
    ) {
        let Some(state) = self.lane(lane) else {
            return;
        };
        let gap = patience * (1 << state.attempts.min(GAP_DOUBLINGS));
        let gap = gap.min(GAP_MAX);
        state.attempts += 1;
        let (attempts, peer) = (state.attempts, state.peer);
        let jitter = gap.mul_f64(f64::from(spread) / f64::from(u32::MAX) / 2.0);
        self.reschedule(lane, deadline + gap / 2 + jitter);
        if let Some(peer) = peer {
            self.deadlines.push_back((deadline, lane, peer, attempts));
        }
    }

    /// A mailbox keeps the cell.
    pub(super) fn kept(&mut self, lane: Lane, peer: PeerKey, events: &mut VecDeque<Event>) {
        let Some(state) = self.state(lane) else {
            return;
        };
        if !state.kept.contains(&peer) {
            state.kept.push(peer);
        }
        self.close(lane, events);
    }

    /// A mailbox does not keep it: the next one is tried.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        lane: Lane,
        status: PutStatus,
        events: &mut VecDeque<Event>,
    ) {
        let Some(state) = self.lane(lane) else {
            return;
        };
        state.taken += u32::from(status == PutStatus::Taken);
        if state.taken >= TAKEN_MAX {
            return self.close(lane, events);
        }
        // An even number: the next mailbox.
        state.attempts = (state.attempts + 1).next_multiple_of(TRIES_EACH);
        let gap = REFUSED_GAP * (1 << (state.attempts / 4).min(GAP_DOUBLINGS));
        self.reschedule(lane, now + gap.min(GAP_MAX));
    }

    /// Names the mailboxes whose time to answer is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<PeerKey> {
        let mut silent = Vec::new();
        while let Some((_, lane, peer, attempts)) = self
            .deadlines
            .front()
            .copied()
            .filter(|(at, ..)| *at <= now)
        {
            self.deadlines.pop_front();
            if self
                .lane(lane)
                .is_some_and(|state| state.attempts == attempts)
            {
                self.unanswered += 1;
                silent.push(peer);
            }
        }
        silent
    }

    fn state(&mut self, lane: Lane) -> Option<&mut BoxState> {
        let leaving = self.objects.get_mut(&(lane.label, lane.first))?;
        leaving.boxes.get_mut(usize::from(lane.part))
    }

    fn lane(&mut self, lane: Lane) -> Option<&mut LaneState> {
        self.state(lane)?
            .lanes
            .get_mut(usize::from(lane.copy))?
            .as_mut()
    }

    fn reschedule(&mut self, lane: Lane, due: Instant) {
        let Some(state) = self.lane(lane) else {
            return;
        };
        let before = std::mem::replace(&mut state.due, due);
        self.due.remove(&(before, lane));
        self.due.insert((due, lane));
    }

    /// A lane is over; says so when the object is.
    fn close(&mut self, lane: Lane, events: &mut VecDeque<Event>) {
        let Some(slot) = self
            .state(lane)
            .and_then(|state| state.lanes.get_mut(usize::from(lane.copy)))
        else {
            return;
        };
        if let Some(state) = slot.take() {
            self.due.remove(&(state.due, lane));
        }
        let (label, first) = (lane.label, lane.first);
        let Some(leaving) = self.objects.get(&(label, first)) else {
            return;
        };
        let is_over = |state: &BoxState| state.lanes.iter().all(Option::is_none);
        if !leaving.boxes.iter().all(is_over) {
            return;
        }
        let is_whole = leaving.boxes.iter().all(|state| !state.kept.is_empty());
        self.remove(label, first);
        events.push_back(if is_whole {
            Event::Left { label, first }
        } else {
            Event::Lost { label, first }
        });
    }

    fn remove(&mut self, label: Label, first: u64) {
        let Some(leaving) = self.objects.remove(&(label, first)) else {
            return;
        };
        self.bytes -= leaving.object.len();
        self.due
            .retain(|(_, lane)| (lane.label, lane.first) != (label, first));
    }
}

impl Leaving {
    /// Where this attempt of a lane goes: no mailbox gets both copies.
    fn place(
        &self,
        lane: Lane,
        places: &[PeerKey],
        is_avoided: impl Fn(&PeerKey) -> bool,
    ) -> Option<PeerKey> {
        let state = self.boxes.get(usize::from(lane.part))?;
        let own = state.lanes.get(usize::from(lane.copy))?.as_ref()?;
        let others: Vec<PeerKey> = (0u8..)
            .zip(&state.lanes)
            .filter(|(copy, _)| *copy != lane.copy)
            .filter_map(|(_, other)| other.as_ref()?.peer)
            .collect();
        let free: Vec<PeerKey> = places
            .iter()
            .filter(|peer| !state.kept.contains(peer) && !others.contains(peer))
            .copied()
            .collect();
        let trusted: Vec<PeerKey> = free
            .iter()
            .filter(|peer| !is_avoided(peer))
            .copied()
            .collect();
        let is_enough =
            own.attempts >= SECOND_COPY_TRIES || (trusted.is_empty() && own.attempts > 0);
        if !state.kept.is_empty() && is_enough {
            return None;
        }
        let pool = if trusted.is_empty() { free } else { trusted };
        let rank = (own.attempts / TRIES_EACH) as usize % pool.len().max(1);
        pool.get(rank).copied()
    }
}

// ---- Our bounds ----

/// Objects on their way: a bridge hands over a few for each client that is away.
const OBJECTS_MAX: usize = 256;

/// Bytes of them.
const BYTES_MAX: usize = 4 << 20;

/// Attempts at one mailbox before the next is tried.
const TRIES_EACH: u32 = 2;

/// Attempts for the second copy when the first is kept; fewer when only mailboxes that do not answer are left for it.
const SECOND_COPY_TRIES: u32 = 6;

/// Mailboxes that hold something else in a box before a lane is given up.
const TAKEN_MAX: u32 = 4;

/// The gap after an attempt doubles so often.
const GAP_DOUBLINGS: u32 = 7;

/// And is never longer.
const GAP_MAX: Duration = Duration::from_secs(15 * 60);

/// The gap before another mailbox is tried when one refused.
const REFUSED_GAP: Duration = Duration::from_secs(1);

/// How long to wait when no mailbox is known.
const NO_MAILBOX_GAP: Duration = Duration::from_secs(30);
