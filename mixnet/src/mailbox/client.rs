//! Those who use mailboxes: when to look into which box, which cell to put where, and whom to believe.
//!
//! ```text
//! slot of the drop clock ──▶ poll ─▶ the next boxes of a chain at one mailbox ─▶ cells ─▶ Found
//! slot of the payload clock ▶ put ─▶ one cell at one mailbox ─▶ status; none in time: later, then elsewhere ─▶ Left
//! ```
//!
//! Polls take the place of drop cover and never add to it: when they leave does not depend on what is found. A mailbox that does not
//! answer, or whose cell does not open though it says that it found one, is asked last for a while.
//!
//! Nothing here is on a disk. Whoever watches a chain keeps its position; whoever leaves an object keeps it until [`Event::Left`].

mod reader;
mod standing;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use thiserror::Error;

use super::chain::ChainKey;
use super::request::{Answer, Get, Put};
use crate::address::PeerKey;
use crate::error::DropReason;
use crate::sphinx::{SURB_TTL, Surb, SurbId};
use crate::topology::Topology;
use reader::{Asked, Reader};
use standing::Standings;
use writer::{Lane, Writer};

/// Names a chain towards whoever watches it or leaves something in it.
pub type Label = [u8; 16];

/// What a client of mailboxes has to say.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// The next object of a watched chain.
    Found {
        /// Which chain.
        label: Label,
        /// Index of the box after it: where to go on after a restart.
        next: u64,
        /// The object.
        object: Vec<u8>,
    },
    /// Boxes that no mailbox has although later ones are there: given up.
    Skipped {
        /// Which chain.
        label: Label,
        /// Where the chain goes on.
        next: u64,
    },
    /// An object is in mailboxes, as often as there are any, at most twice.
    Left {
        /// Which chain.
        label: Label,
        /// Index of its first box.
        first: u64,
    },
    /// No mailbox keeps an object: its boxes are taken.
    Lost {
        /// Which chain.
        label: Label,
        /// Index of its first box.
        first: u64,
    },
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Found { object, .. } => write!(f, "Found({} bytes)", object.len()),
            Self::Skipped { .. } => f.write_str("Skipped"),
            Self::Left { .. } => f.write_str("Left"),
            Self::Lost { .. } => f.write_str("Lost"),
        }
    }
}

/// What a client of mailboxes counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounters {
    /// Polls that left.
    pub polls: u64,
    /// Cells that came and opened.
    pub found: u64,
    /// Polls without any answer in time.
    pub silent: u64,
    /// Cells that a mailbox said it found, and that do not open.
    pub lies: u64,
    /// Boxes that were given up.
    pub skipped: u64,
    /// Puts that left.
    pub puts: u64,
    /// Answers that a cell is kept.
    pub kept: u64,
    /// Answers that it is not.
    pub refused: u64,
    /// Puts without an answer in time.
    pub unanswered: u64,
}

/// One request that is to leave in a slot.
pub(crate) struct Errand {
    /// To which mailbox.
    pub(crate) to: PeerKey,
    what: What,
}

enum What {
    Poll { get: Get, asked: Asked },
    Put { put: Put, lane: Lane },
}

impl Errand {
    /// Reply blocks that it takes.
    pub(crate) fn blocks(&self) -> usize {
        match self.what {
            What::Poll { .. } => ANSWERS,
            What::Put { .. } => 1,
        }
    }

    /// Whether it is a poll.
    pub(crate) fn is_poll(&self) -> bool {
        matches!(self.what, What::Poll { .. })
    }

    /// The body of its message.
    pub(crate) fn encode(&self, blocks: &[Surb]) -> Option<Vec<u8>> {
        match (&self.what, blocks) {
            (What::Poll { get, .. }, [_, ..]) => Some(get.encode(blocks)),
            (What::Put { put, .. }, [block]) => Some(put.encode(block)),
            (What::Poll { .. } | What::Put { .. }, _) => None,
        }
    }
}

/// For what a reply block was given out.
#[derive(Clone, Copy)]
enum Purpose {
    /// The number of the poll.
    Poll(u64),
    Put(Lane, PeerKey),
}

/// A client of mailboxes.
pub struct Client {
    /// How long an answer may take before it counts as lost.
    patience: Duration,
    rng: ChaCha20Rng,
    reader: Reader,
    writer: Writer,
    standings: Standings,
    purposes: BTreeMap<SurbId, Purpose>,
    /// The same in the order in which they are forgotten.
    given_out: VecDeque<(Instant, SurbId)>,
    events: VecDeque<Event>,
    counters: ClientCounters,
}

impl Client {
    /// A client in a network whose hops hold packets for this mean.
    pub(crate) fn new(delay_mean: Duration, rng: ChaCha20Rng) -> Self {
        Self {
            patience: delay_mean * PATIENCE_MEANS + PATIENCE_NETWORK,
            rng,
            reader: Reader::default(),
            writer: Writer::default(),
            standings: Standings::default(),
            purposes: BTreeMap::new(),
            given_out: VecDeque::new(),
            events: VecDeque::new(),
            counters: ClientCounters::default(),
        }
    }

    /// Looks into the boxes of a chain from this index on. Again: goes on from there.
    pub fn watch(&mut self, label: Label, key: ChainKey, next: u64) -> Result<(), TooMany> {
        self.reader.watch(label, key, next)
    }

    /// Looks into them no more.
    pub fn unwatch(&mut self, label: &Label) {
        self.reader.unwatch(label);
    }

    /// Puts an object into the boxes from this index on. The same again changes nothing.
    pub fn leave(
        &mut self,
        now: Instant,
        label: Label,
        key: ChainKey,
        first: u64,
        object: Vec<u8>,
    ) -> Result<(), LeaveError> {
        self.writer.leave(now, label, key, first, object)
    }

    /// Stops putting what belongs to a chain.
    pub fn forget(&mut self, label: &Label) {
        self.writer.forget(label);
    }

    /// Places and what is known of mailboxes are worth nothing in another network.
    pub(crate) fn network_changed(&mut self, topology: &Topology) {
        self.reader.network_changed();
        self.standings.keep(|peer| topology.get(peer).is_some());
    }

    /// What to ask for in a slot of the drop clock; none without a chain to watch, or a mailbox to ask.
    pub(crate) fn poll(&mut self, now: Instant, topology: &Topology) -> Option<Errand> {
        self.expire(now);
        let (to, get, asked) = self
            .reader
            .poll(now, topology, &self.standings, &mut self.rng)?;
        let what = What::Poll { get, asked };
        Some(Errand { to, what })
    }

    /// Whether a put is due for a slot of the payload clock.
    pub(crate) fn has_put(&self, now: Instant) -> bool {
        self.writer.is_due(now)
    }

    /// The put that is due.
    pub(crate) fn put(&mut self, now: Instant, topology: &Topology) -> Option<Errand> {
        self.expire(now);
        let (to, put, lane) = self
            .writer
            .put(now, topology, &self.standings, &mut self.events)?;
        let what = What::Put { put, lane };
        Some(Errand { to, what })
    }

    /// A request has left, with these reply blocks.
    pub(crate) fn departed(&mut self, now: Instant, errand: Errand, blocks: &[SurbId]) {
        let deadline = now + self.patience;
        let purpose = match errand.what {
            What::Poll { asked, .. } => {
                self.counters.polls += 1;
                Purpose::Poll(
                    self.reader
                        .departed(now, deadline, errand.to, asked, blocks.len()),
                )
            }
            What::Put { lane, .. } => {
                self.counters.puts += 1;
                let spread = self.rng.next_u32();
                self.writer.departed(deadline, self.patience, lane, spread);
                Purpose::Put(lane, errand.to)
            }
        };
        for id in blocks {
            self.purposes.insert(*id, purpose);
            self.given_out.push_back((now + SURB_TTL, *id));
        }
    }

    /// A mailbox has answered through one of our reply blocks.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        block: SurbId,
        body: &[u8],
    ) -> Result<(), DropReason> {
        let answer = Answer::decode(body).map_err(|_| DropReason::MailboxMalformed)?;
        let purpose = self.purposes.remove(&block);
        match (purpose, answer) {
            (Some(Purpose::Poll(number)), Answer::Get { place, cell }) => {
                let seen = self
                    .reader
                    .answered(now, number, place, &cell, &mut self.events);
                if let Some((peer, is_lie)) = seen {
                    self.counters.lies += u64::from(is_lie);
                    self.counters.found += u64::from(place.is_some() && !is_lie);
                    match is_lie {
                        true => self.standings.lied(now, peer),
                        false => self.standings.answered(peer),
                    }
                }
                Ok(())
            }
            (Some(Purpose::Put(lane, peer)), Answer::Put(status)) => {
                self.standings.answered(peer);
                if status.is_kept() {
                    self.counters.kept += 1;
                    self.writer.kept(lane, peer, &mut self.events);
                } else {
                    self.counters.refused += 1;
                    self.standings.refused(now, peer);
                    self.writer.refused(now, lane, status, &mut self.events);
                }
                Ok(())
            }
            (Some(_) | None, _) => Err(DropReason::MailboxMalformed),
        }
    }

    /// The next thing that somebody wants to know.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What happened so far.
    pub fn counters(&self) -> ClientCounters {
        let mut counters = self.counters;
        counters.skipped = self.reader.skipped();
        counters.unanswered = self.writer.unanswered();
        counters
    }

    /// Chains that are watched.
    pub fn watched(&self) -> usize {
        self.reader.len()
    }

    /// Objects that are not in mailboxes yet.
    pub fn leaving(&self) -> usize {
        self.writer.len()
    }

    fn expire(&mut self, now: Instant) {
        for peer in self.reader.expire(now, &mut self.events) {
            self.counters.silent += 1;
            self.standings.silent(now, peer);
        }
        for peer in self.writer.expire(now) {
            self.standings.silent(now, peer);
        }
        while let Some((_, id)) = self.given_out.front().filter(|(at, _)| *at <= now) {
            self.purposes.remove(id);
            self.given_out.pop_front();
        }
        while self.given_out.len() > GIVEN_OUT_MAX {
            if let Some((_, id)) = self.given_out.pop_front() {
                self.purposes.remove(&id);
            }
        }
    }
}

/// As many chains as may be are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{CHAINS_MAX} chains are watched, and no more can be")]
pub struct TooMany;

/// Why an object is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// It would take more boxes than an object may.
    #[error("an object of {0} bytes: it may have 1,200,000")]
    Oversize(usize),
    /// Too much waits already.
    #[error(
        "as many objects as may be are on their way to mailboxes: try again when some are left"
    )]
    Full,
    /// The node has no clock to send by.
    #[error("this node's preset has no payload slots: choose another preset than `relay`")]
    NoPayloadClock,
    /// The node has stopped.
    #[error("the mix node has stopped")]
    Stopped,
}

// ---- Our bounds ----

/// Reply blocks of a poll. What comes back stays below what a client sends in every preset, as the figures of the presets count it, and
/// a day's backlog of 500 cells arrives within six minutes in the preset `fast`.
pub(crate) const ANSWERS: usize = 3;

/// Chains that are watched: the registrations of one client, retiring ones among them, and those whose lease has ended.
pub const CHAINS_MAX: usize = 64;

/// An answer takes two rests and six hop delays. The sum of eight exponential delays exceeds 20 means once in 10³.
const PATIENCE_MEANS: u32 = 20;

/// And this long for the slots, the network and the disk of the mailbox.
const PATIENCE_NETWORK: Duration = Duration::from_secs(5);

/// Reply blocks whose purpose is remembered: 0.5 polls a second with three each for half an hour are 2,700.
const GIVEN_OUT_MAX: usize = 8_192;

#[cfg(test)]
mod tests;
