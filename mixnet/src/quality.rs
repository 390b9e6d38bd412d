//! Which relays are usable, by two kinds of evidence.
//!
//! The connection: a relay to which we keep a connection is usable while that connection stands.
//! When it closes the relay rests until it is up again; when a new dial fails it counts as down.
//! The loops: every loop knows its three relays. What of a relay's last loops came back is its
//! score; a relay that answers at the door and loses what it is given falls below the threshold
//! and is avoided, until loops that probe it come back in a row.
//!
//! Loops only rank relays. They never take away the last three: bad relays carry more than none.

use std::collections::BTreeMap;

use rand_core::Rng;

use crate::address::PeerKey;
use crate::limits::RELAYS_NEEDED;
use crate::topology::Topology;

// ---- Our constants ----

/// Loops of which a relay's score is made: enough to tell 0.70 from 0.85 at three deviations.
const HISTORY_LOOPS: u32 = u128::BITS;

/// Loops before a score means anything.
const HISTORY_LOOPS_MIN: u32 = 32;

/// A relay below this share of returned loops is avoided. A relay that drops 30 % scores 0.70,
/// and its neighbours on the paths about 0.85.
const SCORE_MIN: f64 = 0.75;

/// So many lost loops in a row need no long history.
const LOST_IN_ROW_MAX: u32 = 8;

/// So many returned loops in a row bring an avoided relay back: one that drops 30 % gets there once
/// in 17,000 tries.
const RETURNED_IN_ROW: u32 = 24;

/// One loop of so many probes an avoided relay, if there is one.
const PROBE_EVERY: usize = 4;

/// What the connection to a relay says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// No connection is kept to it, so nothing speaks against it.
    NotKept,
    /// A connection should be there and is not yet.
    Awaited,
    /// Connected.
    Up,
    /// The connection closed; a new dial is under way.
    Lost,
    /// A dial failed after it had been up, or at the start.
    Down,
}

struct Relay {
    link: Link,
    /// How often the link went away: a loop that was under way then blames nobody else.
    losses: u64,
    /// One bit per loop, the newest lowest: whether it came back.
    history: u128,
    loops: u32,
    avoided: bool,
}

impl Relay {
    fn new(kept: bool) -> Self {
        let link = if kept { Link::Awaited } else { Link::NotKept };
        Self {
            link,
            losses: 0,
            history: 0,
            loops: 0,
            avoided: false,
        }
    }

    fn reachable(&self) -> bool {
        match self.link {
            Link::NotKept | Link::Up => true,
            Link::Awaited | Link::Lost | Link::Down => false,
        }
    }

    fn score(&self) -> f64 {
        if self.loops == 0 {
            return if self.avoided { 0.0 } else { 1.0 };
        }
        f64::from(self.history.count_ones()) / f64::from(self.loops)
    }

    /// Takes in the end of one loop.
    fn record(&mut self, returned: bool) {
        self.history = self.history << 1 | u128::from(returned);
        self.loops = (self.loops + 1).min(HISTORY_LOOPS);
        if self.avoided {
            if self.loops >= RETURNED_IN_ROW && self.history.trailing_ones() >= RETURNED_IN_ROW {
                (self.avoided, self.history, self.loops) = (false, 0, 0);
            }
            return;
        }
        let lost_in_row = self.history.trailing_zeros().min(self.loops);
        let low = self.loops >= HISTORY_LOOPS_MIN && self.score() < SCORE_MIN;
        if low || lost_in_row >= LOST_IN_ROW_MAX {
            // What counts from now on is what comes back from now on.
            (self.avoided, self.history, self.loops) = (true, 0, 0);
        }
    }
}

/// What changed by an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The set of usable relays is another one.
    pub(crate) usable: bool,
    /// A relay that was usable is down or avoided: what was routed through it may be lost.
    pub(crate) stale: bool,
}

/// The three relays of a loop, as they were when it left.
#[derive(Clone, Debug)]
pub(crate) struct LoopPath {
    relays: [(PeerKey, u64); RELAYS_NEEDED],
}

/// Every relay of the network with the evidence for and against it.
pub(crate) struct Relays {
    relays: BTreeMap<PeerKey, Relay>,
    usable: Vec<PeerKey>,
}

impl Relays {
    pub(crate) fn new(topology: &Topology, own: PeerKey) -> Self {
        let mut relays = Self {
            relays: BTreeMap::new(),
            usable: Vec::new(),
        };
        relays.set_topology(topology, own);
        relays
    }

    /// Takes in a new network; what is known of relays that stay is kept.
    pub(crate) fn set_topology(&mut self, topology: &Topology, own: PeerKey) -> Change {
        let kept = topology.kept_by(own);
        let mut known = std::mem::take(&mut self.relays);
        for peer in topology.relays_for(own) {
            let kept = kept.contains(&peer);
            let mut relay = known.remove(&peer).unwrap_or_else(|| Relay::new(kept));
            if !kept && relay.link == Link::Awaited {
                // Nobody waits for this connection any more.
                relay.link = Link::NotKept;
            }
            self.relays.insert(peer, relay);
        }
        let gone = known.keys().any(|peer| self.usable.contains(peer));
        Change {
            stale: gone,
            ..self.refresh()
        }
    }

    /// A connection to `peer` stands.
    pub(crate) fn up(&mut self, peer: PeerKey) -> Change {
        let Some(relay) = self.relays.get_mut(&peer) else {
            return Change::default();
        };
        // What it lost before says little about a relay that came back.
        if relay.link == Link::Down {
            (relay.avoided, relay.history, relay.loops) = (false, 0, 0);
        }
        relay.link = Link::Up;
        Change {
            stale: false,
            ..self.refresh()
        }
    }

    /// The last connection to `peer` closed.
    pub(crate) fn lost(&mut self, peer: PeerKey) -> Change {
        let Some(relay) = self
            .relays
            .get_mut(&peer)
            .filter(|relay| relay.link == Link::Up)
        else {
            return Change::default();
        };
        relay.link = Link::Lost;
        relay.losses += 1;
        Change {
            stale: false,
            ..self.refresh()
        }
    }

    /// A dial of `peer` failed.
    pub(crate) fn unreachable(&mut self, peer: PeerKey) -> Change {
        let Some(relay) = self.relays.get_mut(&peer) else {
            return Change::default();
        };
        let stale = match relay.link {
            // Up: a second dial failed while a connection stands; the connection counts.
            Link::Up => return Change::default(),
            Link::NotKept => {
                relay.losses += 1;
                true
            }
            Link::Lost => true,
            Link::Awaited | Link::Down => false,
        };
        relay.link = Link::Down;
        Change {
            stale,
            ..self.refresh()
        }
    }

    /// Computes the usable relays anew.
    fn refresh(&mut self) -> Change {
        let mut usable: Vec<_> = self.reachable(false).collect();
        if usable.len() < RELAYS_NEEDED {
            let mut worse: Vec<_> = self.reachable(true).collect();
            let score = |peer: &PeerKey| self.relays.get(peer).map_or(0.0, Relay::score);
            worse.sort_by(|a, b| score(b).total_cmp(&score(a)));
            usable.extend(worse.into_iter().take(RELAYS_NEEDED - usable.len()));
            usable.sort_unstable();
        }
        let stale = self.usable.iter().any(|peer| !usable.contains(peer));
        let changed = self.usable != usable;
        self.usable = usable;
        Change {
            usable: changed,
            stale,
        }
    }

    fn reachable(&self, avoided: bool) -> impl Iterator<Item = PeerKey> {
        self.relays
            .iter()
            .filter(move |(_, relay)| relay.reachable() && relay.avoided == avoided)
            .map(|(peer, _)| *peer)
    }

    /// The usable relays other than `except`, in order.
    pub(crate) fn usable(&self, except: Option<PeerKey>) -> impl Iterator<Item = PeerKey> {
        self.usable
            .iter()
            .copied()
            .filter(move |peer| Some(*peer) != except)
    }

    /// Number of relays in the network, this node apart.
    pub(crate) fn known(&self) -> usize {
        self.relays.len()
    }

    /// Three distinct usable relays in random order, none of them `except`.
    pub(crate) fn pick(
        &self,
        rng: &mut impl Rng,
        except: Option<PeerKey>,
    ) -> Option<[PeerKey; RELAYS_NEEDED]> {
        let mut choice: Vec<_> = self.usable(except).collect();
        if choice.len() < RELAYS_NEEDED {
            return None;
        }
        for place in 0..RELAYS_NEEDED {
            let other = place + below(rng, choice.len() - place);
            choice.swap(place, other);
        }
        choice.first_chunk().copied()
    }

    /// Three distinct relays for a loop: now and then one of them is an avoided one.
    pub(crate) fn pick_loop(&self, rng: &mut impl Rng) -> Option<[PeerKey; RELAYS_NEEDED]> {
        let mut path = self.pick(rng, None)?;
        let avoided: Vec<_> = self.reachable(true).filter(|p| !path.contains(p)).collect();
        if !avoided.is_empty() && below(rng, PROBE_EVERY) == 0 {
            path[below(rng, RELAYS_NEEDED)] = avoided[below(rng, avoided.len())];
        }
        Some(path)
    }

    /// Notes which relays a loop that leaves now depends on.
    pub(crate) fn depart(&self, path: [PeerKey; RELAYS_NEEDED]) -> LoopPath {
        let losses = |peer| self.relays.get(&peer).map_or(0, |relay| relay.losses);
        LoopPath {
            relays: path.map(|peer| (peer, losses(peer))),
        }
    }

    /// A loop came back, or counts as lost.
    pub(crate) fn loop_ended(&mut self, path: &LoopPath, returned: bool) -> Change {
        let broken = |(peer, losses): &(PeerKey, u64)| {
            self.relays
                .get(peer)
                .is_none_or(|relay| relay.losses != *losses)
        };
        // When a connection broke on the way it is known why the loop is lost.
        if !returned && path.relays.iter().any(broken) {
            return Change::default();
        }
        let suspect = |relay: &Relay| relay.avoided;
        let probe = path
            .relays
            .iter()
            .any(|(peer, _)| self.relays.get(peer).is_some_and(suspect));
        for (peer, _) in &path.relays {
            if let Some(relay) = self.relays.get_mut(peer) {
                // The loss of a probe is put down to the relay that it probes.
                if returned || !probe || relay.avoided {
                    relay.record(returned);
                }
            }
        }
        self.refresh()
    }
}

/// A random number below `end`, which must not be zero. The bias is below 2⁻⁵⁰ for any network.
pub(crate) fn below(rng: &mut impl Rng, end: usize) -> usize {
    ((u128::from(rng.next_u64()) * end as u128) >> 64) as usize
}

#[cfg(test)]
mod tests;
