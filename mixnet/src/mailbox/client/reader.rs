//! The reading half: which boxes to look into next, and what their cells make.
//!
//! ```text
//! next ▼        missing ▼
//!      [part 0][part 1][  ?  ][part 3][  ?  ][  ?  ] …      every second poll is for the first missing box, the others
//!                      └────────── window ─────────┘        look ahead, so that a box that is lost does not stop the chain
//! ```
//!
//! An object is handed on when its boxes are there and all before it are, or are given up. A box is given up when a later one is
//! there, so that it must have been written, and no mailbox has it after [`OVERDUE_ASKED`] polls in [`OVERDUE_FOR`].

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use super::standing::Standings;
use super::{CHAINS_MAX, Event, Label, TooMany};
use crate::address::PeerKey;
use crate::mailbox::cell::{Cell, Part, open};
use crate::mailbox::chain::{BOX_ID_LEN, BoxId, ChainKey};
use crate::mailbox::place::{READ_PLACES, mailboxes_of};
use crate::mailbox::request::{Get, IDS};
use crate::topology::Topology;

/// The chains that are watched, and the polls that are out.
#[derive(Default)]
pub(super) struct Reader {
    chains: BTreeMap<Label, Chain>,
    /// Whose turn was last.
    last: Option<Label>,
    polls: BTreeMap<u64, Poll>,
    deadlines: VecDeque<(Instant, u64)>,
    next_poll: u64,
    skipped: u64,
}

/// The boxes of a poll: of which chain, and which index stands at which place; the other ids are random.
pub(super) struct Asked {
    label: Label,
    indices: [Option<u64>; IDS],
}

struct Poll {
    peer: PeerKey,
    asked: Asked,
    /// Answers that may still come.
    left: usize,
    is_answered: bool,
}

struct Chain {
    key: ChainKey,
    /// What is before it was handed on, or given up.
    next: u64,
    parts: BTreeMap<u64, Part>,
    /// How often each box was asked for.
    tries: BTreeMap<u64, u32>,
    /// The mailboxes of each box.
    places: BTreeMap<u64, Vec<PeerKey>>,
    overdue: Option<Overdue>,
    turn: u64,
}

/// The first missing box, when a later one is there.
struct Overdue {
    index: u64,
    asked: u32,
    since: Instant,
}

impl Reader {
    pub(super) fn watch(&mut self, label: Label, key: ChainKey, next: u64) -> Result<(), TooMany> {
        if self.chains.len() >= CHAINS_MAX && !self.chains.contains_key(&label) {
            return Err(TooMany);
        }
        self.chains.insert(label, Chain::new(key, next));
        Ok(())
    }

    pub(super) fn unwatch(&mut self, label: &Label) {
        self.chains.remove(label);
    }

    pub(super) fn network_changed(&mut self) {
        for chain in self.chains.values_mut() {
            chain.places.clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.chains.len()
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next mailbox to ask, and for what.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        topology: &Topology,
        standings: &Standings,
        rng: &mut ChaCha20Rng,
    ) -> Option<(PeerKey, Get, Asked)> {
        let label = self.turn_of()?;
        let chain = self.chains.get_mut(&label)?;
        let target = chain.target();
        let tries = chain.tries(target);
        let peer = pick(now, chain.places(topology, target), tries, standings)?;
        self.last = Some(label);
        chain.turn += 1;
        let mut indices = [None; IDS];
        let mut wanted = vec![target];
        let window: Vec<u64> = chain.window().collect();
        for index in window {
            if wanted.len() == IDS {
                break;
            }
            if index != target && chain.places(topology, index).contains(&peer) {
                wanted.push(index);
            }
        }
        wanted.sort_unstable();
        let mut ids = [BoxId::from_bytes([0; BOX_ID_LEN]); IDS];
        for (place, id) in ids.iter_mut().enumerate() {
            let mut random = [0; BOX_ID_LEN];
            rng.fill_bytes(&mut random);
            indices[place] = wanted.get(place).copied();
            *id = match indices[place] {
                Some(index) => chain.key.box_id(index),
                None => BoxId::from_bytes(random),
            };
        }
        Some((peer, Get { ids }, Asked { label, indices }))
    }

    /// A poll has left; gives its number.
    pub(super) fn departed(
        &mut self,
        now: Instant,
        deadline: Instant,
        peer: PeerKey,
        asked: Asked,
        answers: usize,
    ) -> u64 {
        if let Some(chain) = self.chains.get_mut(&asked.label) {
            for index in asked.indices.iter().flatten() {
                chain.asked(now, *index);
            }
        }
        let number = self.next_poll;
        self.next_poll += 1;
        let poll = Poll {
            peer,
            asked,
            left: answers,
            is_answered: false,
        };
        self.polls.insert(number, poll);
        self.deadlines.push_back((deadline, number));
        while self.polls.len() > POLLS_MAX {
            self.polls.pop_first();
        }
        number
    }

    /// An answer to a poll. Says of whom it is, and whether it is a lie.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        number: u64,
        place: Option<u8>,
        cell: &Cell,
        events: &mut VecDeque<Event>,
    ) -> Option<(PeerKey, bool)> {
        let poll = self.polls.get_mut(&number)?;
        poll.is_answered = true;
        poll.left = poll.left.saturating_sub(1);
        let (peer, label) = (poll.peer, poll.asked.label);
        let index = place.map(|place| {
            poll.asked
                .indices
                .get(usize::from(place))
                .copied()
                .flatten()
        });
        if poll.left == 0 {
            self.polls.remove(&number);
        }
        let Some(index) = index else {
            return Some((peer, false));
        };
        let Some(chain) = self.chains.get_mut(&label) else {
            return Some((peer, false));
        };
        // Nobody can have found a box of a random id.
        let Some(index) = index else {
            return Some((peer, true));
        };
        let Ok(part) = open(&chain.key, index, cell) else {
            return Some((peer, true));
        };
        if index >= chain.next {
            chain.parts.insert(index, part);
            self.skipped += chain.settle(now, label, events);
        }
        Some((peer, false))
    }

    /// Gives up boxes that are overdue; names the mailboxes whose time to answer is over.
    pub(super) fn expire(&mut self, now: Instant, events: &mut VecDeque<Event>) -> Vec<PeerKey> {
        let mut silent = Vec::new();
        while let Some((_, number)) = self.deadlines.front().filter(|(at, _)| *at <= now) {
            if let Some(poll) = self.polls.get(number).filter(|poll| !poll.is_answered) {
                silent.push(poll.peer);
            }
            self.deadlines.pop_front();
        }
        for (label, chain) in &mut self.chains {
            self.skipped += chain.give_up(now, *label, events);
        }
        silent
    }

    /// The chain after the one whose turn was last.
    fn turn_of(&self) -> Option<Label> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.last.and_then(|last| {
            let mut after = self.chains.range((Excluded(last), Unbounded));
            after.next()
        });
        let first = || self.chains.first_key_value();
        after.or_else(first).map(|(label, _)| *label)
    }
}

impl Chain {
    fn new(key: ChainKey, next: u64) -> Self {
        Self {
            key,
            next,
            parts: BTreeMap::new(),
            tries: BTreeMap::new(),
            places: BTreeMap::new(),
            overdue: None,
            turn: 0,
        }
    }

    /// The first box that is not there.
    fn missing(&self) -> u64 {
        let mut missing = self.next;
        while self.parts.contains_key(&missing) {
            missing = missing.saturating_add(1);
        }
        missing
    }

    /// Boxes that are not there, from the first one on.
    fn window(&self) -> impl Iterator<Item = u64> {
        let first = self.missing();
        (first..first.saturating_add(WINDOW)).filter(|index| !self.parts.contains_key(index))
    }

    /// The box that this poll is for.
    fn target(&self) -> u64 {
        let first = self.missing();
        if self.turn.is_multiple_of(2) {
            return first;
        }
        let ahead = first.saturating_add(1 + (self.turn / 2) % (WINDOW - 1));
        if self.parts.contains_key(&ahead) {
            first
        } else {
            ahead
        }
    }

    fn tries(&self, index: u64) -> u32 {
        self.tries.get(&index).copied().unwrap_or(0)
    }

    fn places(&mut self, topology: &Topology, index: u64) -> &[PeerKey] {
        let key = &self.key;
        self.places
            .entry(index)
            .or_insert_with(|| mailboxes_of(topology, &key.box_id(index), READ_PLACES))
    }

    fn asked(&mut self, now: Instant, index: u64) {
        *self.tries.entry(index).or_default() += 1;
        self.look_for_overdue(now);
        if let Some(overdue) = self.overdue.as_mut().filter(|it| it.index == index) {
            overdue.asked += 1;
        }
    }

    /// A missing box is overdue when anything after it is there.
    fn look_for_overdue(&mut self, now: Instant) {
        let missing = self.missing();
        if self.parts.is_empty() {
            self.overdue = None;
        } else if self.overdue.as_ref().is_none_or(|it| it.index != missing) {
            self.overdue = Some(Overdue {
                index: missing,
                asked: 0,
                since: now,
            });
        }
    }

    /// Hands on what is whole. Says how many boxes are given up.
    fn settle(&mut self, now: Instant, label: Label, events: &mut VecDeque<Event>) -> u64 {
        let mut skipped = 0;
        while let Some(part) = self.parts.get(&self.next) {
            if part.first != self.next {
                // The beginning of its object was given up.
                skipped += self.skip(label, self.next.saturating_add(1), events);
                continue;
            }
            let (count, len) = (part.count, part.object_len);
            let end = self.next.saturating_add(count.into());
            let boxes = self.next..end;
            if boxes.clone().any(|index| !self.parts.contains_key(&index)) {
                break;
            }
            let of_it =
                |part: &Part| (part.first, part.count, part.object_len) == (self.next, count, len);
            if !boxes
                .clone()
                .all(|index| self.parts.get(&index).is_some_and(of_it))
            {
                skipped += self.skip(label, end, events);
                continue;
            }
            let mut object = Vec::with_capacity(len);
            for index in boxes {
                if let Some(part) = self.parts.remove(&index) {
                    object.extend(part.fragment);
                }
            }
            self.advance(end);
            events.push_back(Event::Found {
                label,
                next: end,
                object,
            });
        }
        self.look_for_overdue(now);
        skipped
    }

    fn give_up(&mut self, now: Instant, label: Label, events: &mut VecDeque<Event>) -> u64 {
        let is_over = self.overdue.as_ref().is_some_and(|it| {
            it.asked >= OVERDUE_ASKED && now.saturating_duration_since(it.since) >= OVERDUE_FOR
        });
        if !is_over {
            return 0;
        }
        self.overdue = None;
        let end = match self.parts.get(&self.next) {
            Some(part) => self.next.saturating_add(part.count.into()),
            None => self.next.saturating_add(1),
        };
        let skipped = self.skip(label, end, events);
        skipped + self.settle(now, label, events)
    }

    fn skip(&mut self, label: Label, next: u64, events: &mut VecDeque<Event>) -> u64 {
        let skipped = next.saturating_sub(self.next);
        self.advance(next);
        events.push_back(Event::Skipped { label, next });
        skipped
    }

    fn advance(&mut self, next: u64) {
        self.next = next;
        self.parts = self.parts.split_off(&next);
        self.tries = self.tries.split_off(&next);
        self.places = self.places.split_off(&next);
    }
}

/// The mailbox for this try: mostly one of the first two, and avoided ones only when the others do not have it.
fn pick(now: Instant, places: &[PeerKey], tries: u32, standings: &Standings) -> Option<PeerKey> {
    let trusted: Vec<PeerKey> = places
        .iter()
        .filter(|peer| !standings.is_avoided(now, peer))
        .copied()
        .collect();
    let is_last_resort = trusted.is_empty() || tries % AVOIDED_EVERY == AVOIDED_EVERY - 1;
    let pool = if is_last_resort { places } else { &trusted };
    let rank = if is_last_resort {
        (tries / AVOIDED_EVERY) as usize % pool.len().max(1)
    } else {
        PATTERN[tries as usize % PATTERN.len()].min(pool.len().saturating_sub(1))
    };
    pool.get(rank).copied()
}

// ---- Our bounds ----

/// Boxes ahead of the first missing one that are looked for. All of them lost at both mailboxes is no accident.
const WINDOW: u64 = 32;

/// Polls in which a box that must be there is asked for before it is given up: several times at each of its mailboxes.
const OVERDUE_ASKED: u32 = 16;

/// And how long: its writer may still be putting it, with gaps of minutes.
const OVERDUE_FOR: Duration = Duration::from_secs(15 * 60);

/// Polls whose late answers are still taken: half an hour of half a poll a second, and more.
const POLLS_MAX: usize = 2_048;

/// Which of the trusted mailboxes of a box to ask, try by try.
const PATTERN: [usize; 8] = [0, 1, 0, 1, 2, 0, 1, 3];

/// One try of so many goes to any mailbox of the box, avoided or not.
const AVOIDED_EVERY: u32 = 9;
