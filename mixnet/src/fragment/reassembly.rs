//! Frames back into objects, in bounded memory whatever comes.
//!
//! An object is open from its first fragment until it is complete, contradicts itself, or runs out of time or room. After that
//! its id is remembered for a while, so that late copies of its fragments neither deliver it again nor open it anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::frame::{FrameError, FrameHead};
use super::{OBJECT_ID_LEN, Object, TAG_LEN};
use crate::now::Now;

/// The open objects of one receiver.
pub struct Reassembler {
    open: BTreeMap<ObjectKey, Open>,
    by_deadline: BTreeSet<(Instant, ObjectKey)>,
    closed: Closed,
    bytes: usize,
    bytes_max: usize,
    expired: usize,
    evicted: usize,
}

/// Ordered by tag, so that the objects of a tag are neighbours.
type ObjectKey = ([u8; TAG_LEN], [u8; OBJECT_ID_LEN]);

impl Default for Reassembler {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

impl Reassembler {
    /// A reassembler that keeps at most `bytes_max` bytes, its bookkeeping among them.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            closed: Closed::default(),
            bytes: 0,
            bytes_max,
            expired: 0,
            evicted: 0,
        }
    }

    /// Takes a frame; gives the object that it completes. A cover frame and a copy of a fragment give nothing.
    pub fn handle(&mut self, now: Now, frame: &[u8]) -> Result<Option<Object>, FrameError> {
        let Some((head, fragment)) = FrameHead::decode(frame)? else {
            return Ok(None);
        };
        let now = now.mono;
        self.close_expired(now);
        let key = (head.tag, head.object_id);
        match self.closed.outcome(&key) {
            Some(Outcome::Complete) => return Ok(None),
            Some(Outcome::GivenUp) => return Err(FrameError::Dead),
            None => {}
        }
        let mut object = match self.take(&key) {
            Some(object) => object,
            None => self.start(now, &head)?,
        };
        match object.add(now, &head, fragment) {
            Added::Kept => {
                self.put(key, object);
                self.make_room(now);
                Ok(None)
            }
            Added::Copy => {
                self.put(key, object);
                Ok(None)
            }
            Added::Complete => {
                self.closed.remember(now, key, Outcome::Complete);
                Ok(Some(object.join(key.0)))
            }
            Added::Conflict => {
                self.closed.remember(now, key, Outcome::GivenUp);
                Err(FrameError::Conflict)
            }
        }
    }

    /// Gives up what has waited too long; says how many objects that were since the last call.
    pub fn expire(&mut self, now: Now) -> usize {
        self.close_expired(now.mono);
        std::mem::take(&mut self.expired)
    }

    /// When [`Reassembler::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|&(at, _)| at)
    }

    /// How many objects were given up to make room since the last call.
    pub fn take_evicted(&mut self) -> usize {
        std::mem::take(&mut self.evicted)
    }

    /// Objects that wait for fragments.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Bytes that are kept for them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn start(&self, now: Instant, head: &FrameHead) -> Result<Open, FrameError> {
        let of_tag = (head.tag, [0; OBJECT_ID_LEN])..=(head.tag, [0xff; OBJECT_ID_LEN]);
        // An object of one fragment is complete at once and takes no place.
        if head.count > 1 && self.open.range(of_tag).count() >= OPEN_PER_TAG_MAX {
            return Err(FrameError::TagFull);
        }
        Ok(Open::new(now, head))
    }

    fn put(&mut self, key: ObjectKey, object: Open) {
        self.bytes += object.cost();
        self.by_deadline.insert((object.deadline, key));
        self.open.insert(key, object);
    }

    fn take(&mut self, key: &ObjectKey) -> Option<Open> {
        let object = self.open.remove(key)?;
        self.bytes -= object.cost();
        self.by_deadline.remove(&(object.deadline, *key));
        Some(object)
    }

    fn close_expired(&mut self, now: Instant) {
        self.closed.forget(now);
        while let Some(&(_, key)) = self.by_deadline.first().filter(|(at, _)| *at <= now) {
            self.take(&key);
            self.closed.remember(now, key, Outcome::GivenUp);
            self.expired += 1;
        }
    }

    /// The object that is nearest to its deadline goes first: whoever floods the memory with beginnings pays with them.
    fn make_room(&mut self, now: Instant) {
        while self.bytes > self.bytes_max {
            let Some(&(_, key)) = self.by_deadline.first() else {
                break;
            };
            self.take(&key);
            self.closed.remember(now, key, Outcome::GivenUp);
            self.evicted += 1;
        }
    }
}

/// An object that is not complete yet.
struct Open {
    kind: u8,
    count: u16,
    object_len: u32,
    total_deadline: Instant,
    deadline: Instant,
    received: usize,
    fragments: BTreeMap<u16, Box<[u8]>>,
}

enum Added {
    Kept,
    Copy,
    Complete,
    Conflict,
}

impl Open {
    fn new(now: Instant, head: &FrameHead) -> Self {
        Self {
            kind: head.kind,
            count: head.count,
            object_len: head.object_len,
            total_deadline: now + TOTAL,
            deadline: now + IDLE,
            received: 0,
            fragments: BTreeMap::new(),
        }
    }

    fn add(&mut self, now: Instant, head: &FrameHead, fragment: &[u8]) -> Added {
        if (head.kind, head.count, head.object_len) != (self.kind, self.count, self.object_len) {
            return Added::Conflict;
        }
        if let Some(before) = self.fragments.get(&head.index) {
            return if **before == *fragment {
                Added::Copy
            } else {
                Added::Conflict
            };
        }
        self.received += fragment.len();
        self.fragments.insert(head.index, fragment.into());
        self.deadline = self.total_deadline.min(now + IDLE);
        let missing = usize::from(self.count) - self.fragments.len();
        let object_len = self.object_len as usize;
        if self.received + missing > object_len || (missing == 0 && self.received < object_len) {
            return Added::Conflict;
        }
        if missing == 0 {
            Added::Complete
        } else {
            Added::Kept
        }
    }

    fn join(self, tag: [u8; TAG_LEN]) -> Object {
        let mut bytes = Vec::with_capacity(self.received);
        for fragment in self.fragments.values() {
            bytes.extend_from_slice(fragment);
        }
        Object {
            kind: self.kind,
            tag,
            bytes,
        }
    }

    fn cost(&self) -> usize {
        OBJECT_COST + self.fragments.len() * FRAGMENT_COST + self.received
    }
}

/// Objects that are done with, each for [`CLOSED_KEPT`], the oldest forgotten first.
#[derive(Default)]
struct Closed {
    outcomes: BTreeMap<ObjectKey, Outcome>,
    order: VecDeque<(Instant, ObjectKey)>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Complete,
    GivenUp,
}

impl Closed {
    fn outcome(&self, key: &ObjectKey) -> Option<Outcome> {
        self.outcomes.get(key).copied()
    }

    fn remember(&mut self, now: Instant, key: ObjectKey, outcome: Outcome) {
        if self.order.len() >= CLOSED_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
        self.order.push_back((now + CLOSED_KEPT, key));
        self.outcomes.insert(key, outcome);
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&(_, key)) = self.order.front().filter(|(until, _)| *until <= now) {
            self.order.pop_front();
            self.outcomes.remove(&key);
        }
    }
}

// Bounds that the frame format fixes.

/// Open objects of one tag.
pub const OPEN_PER_TAG_MAX: usize = 16;
/// An object whose fragments stop coming.
pub const IDLE: Duration = Duration::from_secs(30);
/// An object whose fragments come too slowly.
pub const TOTAL: Duration = Duration::from_secs(120);

// Choices of this network.

/// Fifty objects of the greatest length; more are not under way to one node within two minutes.
pub const BYTES_MAX: usize = 64 << 20;
/// What an object costs beside its fragments: its entries in two maps.
const OBJECT_COST: usize = 256;
/// What a fragment costs beside its bytes: its entry and its allocation.
const FRAGMENT_COST: usize = 64;
/// No copy of a fragment is on its way for longer than an object may take.
const CLOSED_KEPT: Duration = TOTAL;
/// At 100 objects a second, the last 80 seconds; about one MiB.
const CLOSED_MAX: usize = 8192;
