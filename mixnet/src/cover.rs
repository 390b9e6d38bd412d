//! Cover: loops that come back and measure the network, and drop cover that ends elsewhere.
//!
//! A loop is an ordinary packet whose last hop is its maker. Its message has 16 random bytes by
//! which the maker knows it again. One that is not back in time counts as lost for the relays on
//! its path.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::limits::LOOPS_MAX;
use crate::message::LOOP_ID_LEN;
use crate::quality::LoopPath;

// ---- Our constants ----

/// A loop waits this many mean delays: three exponential delays exceed 11.2 means once in 10³.
const LOOP_TIMEOUT_MEANS: u32 = 12;

/// And this long for the network and for busy machines.
const LOOP_TIMEOUT_NETWORK: Duration = Duration::from_secs(4);

/// A node that looks this much too late for a loop was suspended or stalled itself: the loop says nothing about the relays.
const LATE_MAX: Duration = Duration::from_secs(2);

/// How long a loop may take whose packet rests so long at each hop, on average.
pub(crate) fn loop_timeout(delay_mean: Duration) -> Duration {
    delay_mean * LOOP_TIMEOUT_MEANS + LOOP_TIMEOUT_NETWORK
}

/// The loops on their way.
#[derive(Default)]
pub(crate) struct Loops {
    paths: BTreeMap<[u8; LOOP_ID_LEN], (Instant, LoopPath)>,
    deadlines: BTreeSet<(Instant, [u8; LOOP_ID_LEN])>,
}

impl Loops {
    /// Remembers a loop that leaves now, with this mean delay at each hop. One too many is not measured.
    pub(crate) fn depart(
        &mut self,
        now: Instant,
        delay_mean: Duration,
        id: [u8; LOOP_ID_LEN],
        path: LoopPath,
    ) {
        if self.paths.len() < LOOPS_MAX {
            let deadline = now + loop_timeout(delay_mean);
            self.paths.insert(id, (deadline, path));
            self.deadlines.insert((deadline, id));
        }
    }

    /// The path of a loop that came back in time.
    pub(crate) fn returned(&mut self, id: &[u8; LOOP_ID_LEN]) -> Option<LoopPath> {
        let (deadline, path) = self.paths.remove(id)?;
        self.deadlines.remove(&(deadline, *id));
        Some(path)
    }

    /// The path of a loop whose time is over.
    pub(crate) fn pop_lost(&mut self, now: Instant) -> Option<LoopPath> {
        loop {
            let (deadline, id) = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
            let path = self.returned(&id)?;
            if now.saturating_duration_since(deadline) <= LATE_MAX {
                return Some(path);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}
