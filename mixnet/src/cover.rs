//! Cover: loops that come back and measure the network, and drop cover that ends elsewhere.
//!
//! A loop is an ordinary packet whose last hop is its maker. Its message has 16 random bytes by
//! which the maker knows it again. One that is not back in time counts as lost for the relays on
//! its path.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::limits::LOOPS_MAX;
use crate::message::LOOP_ID_LEN;
use crate::quality::LoopPath;

// ---- Our constants ----

/// A loop waits this many mean delays: three exponential delays exceed 11.2 means once in 10³.
const LOOP_TIMEOUT_MEANS: u32 = 12;

/// And this long for the network and for busy machines.
const LOOP_TIMEOUT_NETWORK: Duration = Duration::from_secs(4);

/// The loops on their way.
pub(crate) struct Loops {
    timeout: Duration,
    paths: BTreeMap<[u8; LOOP_ID_LEN], LoopPath>,
    /// In the order of their deadlines, because all wait equally long.
    deadlines: VecDeque<(Instant, [u8; LOOP_ID_LEN])>,
}

impl Loops {
    pub(crate) fn new(delay_mean: Duration) -> Self {
        let timeout = delay_mean * LOOP_TIMEOUT_MEANS + LOOP_TIMEOUT_NETWORK;
        Self {
            timeout,
            paths: BTreeMap::new(),
            deadlines: VecDeque::new(),
        }
    }

    /// Remembers a loop that leaves now. One too many is not measured.
    pub(crate) fn depart(&mut self, now: Instant, id: [u8; LOOP_ID_LEN], path: LoopPath) {
        if self.deadlines.len() < LOOPS_MAX {
            self.paths.insert(id, path);
            self.deadlines.push_back((now + self.timeout, id));
        }
    }

    /// The path of a loop that came back in time.
    pub(crate) fn returned(&mut self, id: &[u8; LOOP_ID_LEN]) -> Option<LoopPath> {
        self.paths.remove(id)
    }

    /// The path of a loop whose time is over.
    pub(crate) fn pop_lost(&mut self, now: Instant) -> Option<LoopPath> {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let (_, id) = self.deadlines.pop_front()?;
            if let Some(path) = self.paths.remove(&id) {
                return Some(path);
            }
        }
        None
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }
}
