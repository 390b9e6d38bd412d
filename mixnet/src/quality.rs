//! Which relays are usable, by two kinds of evidence.
//!
//! The connection: a relay to which we keep a connection is usable while that connection stands.
//! When it closes the relay rests until it is up again; when a new dial fails it counts as down.
//! The loops: every loop knows its three relays. What of a relay's last loops came back is its
//! score; a relay that answers at the door and loses what it is given falls below the threshold
//! and behind the others, and is avoided until loops that probe it come back in a row. Loss that all
//! relays share sets none apart: to leave one out for another would gain nothing.
//!
//! Loops that vanish in a row raise an alarm (`alarm.rs`): the relay is left out at once, and probed until they come back.
//! Loops that vanish on one link only speak against that link ([`crate::links`]).
//!
//! Loops only rank relays. They never take away the last three: bad relays carry more than none.

use std::collections::BTreeMap;
use std::time::Instant;

use rand_core::Rng;

use crate::address::PeerKey;
use crate::alarm::Row;
use crate::limits::RELAYS_NEEDED;
use crate::links::{LinkLoss, Links};
use crate::loss::Loss;
use crate::topology::Topology;

// ---- Our constants ----

/// Loops of which a relay's score is made: enough to tell 0.70 from 0.85 at three deviations.
const HISTORY_LOOPS: u32 = u128::BITS;

/// Loops before a score means anything.
const HISTORY_LOOPS_MIN: u32 = 32;

/// A relay below this share of returned loops is avoided if the others are not there, too. One that drops 30 % scores 0.70,
/// and its neighbours on the paths about 0.85.
const SCORE_MIN: f64 = 0.75;

/// How many standard deviations below the median of the others a score is behind them: chance puts one of a thousand there.
const BEHIND: f64 = 3.0;

/// So many lost loops in a row need no long history.
const LOST_IN_ROW_MAX: u32 = 8;

/// So many returned loops in a row bring an avoided relay back: one that drops 30 % gets there once
/// in 17,000 tries.
const RETURNED_IN_ROW: u32 = 24;

/// One loop of so many probes an avoided relay, if there is one.
const PROBE_EVERY: usize = 4;

/// One loop of so many probes an alarmed relay: whether the alarm is over is worth knowing soon.
const PROBE_ALARMED_EVERY: usize = 2;

/// Paths that are drawn before one over a link that loses packets is taken.
const DRAWS_MAX: usize = 8;

/// Links that a snapshot shows.
const LINKS_SHOWN: usize = 16;

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
    /// Loops in which it came first, and those in which it came later.
    rows: [Row; 2],
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
            rows: [Row::default(); 2],
        }
    }

    /// What it lost before says nothing from now on.
    fn forget(&mut self) {
        *self = Self {
            link: self.link,
            losses: self.losses,
            ..Self::new(false)
        };
    }

    fn is_alarmed(&self) -> bool {
        self.rows.iter().any(Row::is_alarmed)
    }

    /// Whether paths leave it out while there are others.
    fn is_suspect(&self) -> bool {
        self.avoided || self.is_alarmed()
    }

    fn lost(&self) -> u32 {
        self.loops - self.history.count_ones()
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

    /// Takes in the end of one loop in which it came first (0) or later. Whether this raises the alarm.
    fn record(&mut self, place: usize, returned: bool) -> bool {
        let (lost, loops) = (self.lost(), self.loops);
        let raised = self.rows[place.min(1)].record(returned, lost, loops) && !self.avoided;
        self.history = self.history << 1 | u128::from(returned);
        self.loops = (self.loops + 1).min(HISTORY_LOOPS);
        if self.avoided && self.history.trailing_ones() >= RETURNED_IN_ROW {
            self.avoid(false);
        }
        raised
    }

    /// What counts from a change on is what comes back from then on.
    fn avoid(&mut self, avoided: bool) {
        if self.avoided != avoided {
            (self.avoided, self.history, self.loops) = (avoided, 0, 0);
        }
    }

    /// Whether its score means something.
    fn is_judged(&self) -> bool {
        self.loops >= HISTORY_LOOPS_MIN && !self.avoided
    }

    fn has_low_score(&self) -> bool {
        self.is_judged() && self.score() < SCORE_MIN
    }

    /// Whether what it loses is more than chance beside relays of which this share of loops comes back.
    fn is_behind(&self, usual: f64) -> bool {
        let deviation = (usual * (1.0 - usual) / f64::from(self.loops)).sqrt();
        self.score() < usual - BEHIND * deviation
    }

    fn lost_in_row(&self) -> u32 {
        self.history.trailing_zeros().min(self.loops)
    }
}

/// What changed by an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The set of usable relays is another one.
    pub(crate) usable: bool,
    /// A relay that was usable is down or avoided: what was routed through it may be lost.
    pub(crate) stale: bool,
    /// Loops through a relay vanish that came back before.
    pub(crate) raised: bool,
    /// A loop came back that left at this time, over relays that are all in use and none of them alarmed.
    pub(crate) proved: Option<Instant>,
    /// Whether much of all loops is lost, when that became another answer.
    pub(crate) lossy: Option<bool>,
}

/// The three relays of a loop, as they were when it left.
#[derive(Clone, Debug)]
pub(crate) struct LoopPath {
    relays: [(PeerKey, u64); RELAYS_NEEDED],
    departed: Instant,
}

/// What loops say about relays and links, for the local user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopStatus {
    /// Every relay of the network, this node apart.
    pub relays: Vec<RelayLoss>,
    /// The links that lose most, 16 at most.
    pub links: Vec<LinkLoss>,
    /// Links between relays over which enough loops went.
    pub links_judged: usize,
    /// Links that paths leave out.
    pub links_avoided: usize,
}

/// What loops say about one relay, for the local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLoss {
    /// The relay.
    pub peer: PeerKey,
    /// Whether it can be reached.
    pub reachable: bool,
    /// Loops through it, the newest 128 at most.
    pub loops: u32,
    /// Those of them that did not come back.
    pub lost: u32,
    /// Whether paths leave it out because of its score.
    pub avoided: bool,
    /// Whether its loops vanish in a row.
    pub alarmed: bool,
}

/// Every relay of the network with the evidence for and against it.
pub(crate) struct Relays {
    relays: BTreeMap<PeerKey, Relay>,
    usable: Vec<PeerKey>,
    links: Links,
    loss: Loss,
    /// To how many a connection is kept.
    kept_max: usize,
}

/// Which ends of a path must be relays to which a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The first: a path leads away.
    First,
    /// The first and the last: it comes back to a node that perhaps nobody can dial.
    Both,
}

impl Relays {
    pub(crate) fn new(topology: &Topology, own: PeerKey, kept_max: usize) -> Self {
        let mut relays = Self {
            relays: BTreeMap::new(),
            usable: Vec::new(),
            links: Links::default(),
            loss: Loss::default(),
            kept_max,
        };
        relays.set_topology(topology, own);
        relays
    }

    /// Takes in a new network; what is known of relays that stay is kept.
    pub(crate) fn set_topology(&mut self, topology: &Topology, own: PeerKey) -> Change {
        let kept = topology.kept_by(own, self.kept_max);
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
            relay.forget();
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
            ..Change::default()
        }
    }

    fn reachable(&self, suspect: bool) -> impl Iterator<Item = PeerKey> {
        self.relays
            .iter()
            .filter(move |(_, relay)| relay.reachable() && relay.is_suspect() == suspect)
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

    /// Three distinct usable relays at random, none of them `except`, over links that carry if such a path is found. The first is
    /// one to which a connection stands, if there is one.
    pub(crate) fn pick(
        &self,
        rng: &mut impl Rng,
        except: Option<PeerKey>,
    ) -> Option<[PeerKey; RELAYS_NEEDED]> {
        self.pick_apart(rng, except, None)
    }

    /// The same for a path that comes back to this node: the last relay, too, has a connection to it.
    pub(crate) fn pick_return(
        &self,
        rng: &mut impl Rng,
        except: Option<PeerKey>,
    ) -> Option<[PeerKey; RELAYS_NEEDED]> {
        self.pick_carrying(rng, self.usable(except).collect(), Ends::Both)
    }

    /// The same as [`Self::pick`], with as few relays of another path among them as there can be.
    pub(crate) fn pick_apart(
        &self,
        rng: &mut impl Rng,
        except: Option<PeerKey>,
        other: Option<&[PeerKey; RELAYS_NEEDED]>,
    ) -> Option<[PeerKey; RELAYS_NEEDED]> {
        let (mut choice, mut rest): (Vec<_>, Vec<_>) = self
            .usable(except)
            .partition(|peer| other.is_none_or(|other| !other.contains(peer)));
        while choice.len() < RELAYS_NEEDED && !rest.is_empty() {
            choice.push(rest.swap_remove(below(rng, rest.len())));
        }
        self.pick_carrying(rng, choice, Ends::First)
    }

    fn pick_carrying(
        &self,
        rng: &mut impl Rng,
        choice: Vec<PeerKey>,
        ends: Ends,
    ) -> Option<[PeerKey; RELAYS_NEEDED]> {
        let choice = self.near_first(choice, ends);
        let mut path = choice.draw(rng)?;
        for _ in 1..DRAWS_MAX {
            if self.links.are_fine(&path) {
                break;
            }
            path = choice.draw(rng)?;
        }
        Some(path)
    }

    fn near_first(&self, relays: Vec<PeerKey>, ends: Ends) -> Choice {
        let is_up = |peer: &PeerKey| {
            let relay = self.relays.get(peer);
            relay.is_some_and(|relay| relay.link == Link::Up)
        };
        let (mut relays, rest): (Vec<_>, Vec<_>) = relays.into_iter().partition(is_up);
        let near = relays.len();
        relays.extend(rest);
        Choice { relays, near, ends }
    }

    /// Three distinct relays for a loop, over any links: now and then one of them is an avoided or alarmed one.
    pub(crate) fn pick_loop(&self, rng: &mut impl Rng) -> Option<[PeerKey; RELAYS_NEEDED]> {
        let choice = self.near_first(self.usable(None).collect(), Ends::Both);
        let mut path = choice.draw(rng)?;
        let suspects: Vec<_> = self.reachable(true).filter(|p| !path.contains(p)).collect();
        if !suspects.is_empty() {
            let suspect = suspects[below(rng, suspects.len())];
            let known = self.relays.get(&suspect);
            let every = if known.is_some_and(Relay::is_alarmed) {
                PROBE_ALARMED_EVERY
            } else {
                PROBE_EVERY
            };
            if below(rng, every) == 0 {
                // At an end it must have a connection, too.
                let is_near = known.is_some_and(|relay| relay.link == Link::Up);
                let place = if is_near {
                    below(rng, RELAYS_NEEDED)
                } else {
                    1
                };
                path[place] = suspect;
            }
        }
        Some(path)
    }

    /// Notes which relays a loop that leaves now depends on.
    pub(crate) fn depart(&self, now: Instant, path: [PeerKey; RELAYS_NEEDED]) -> LoopPath {
        let losses = |peer| self.relays.get(&peer).map_or(0, |relay| relay.losses);
        LoopPath {
            relays: path.map(|peer| (peer, losses(peer))),
            departed: now,
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
        let lossy = self.loss.record(returned);
        let peers = path.relays.map(|(peer, _)| peer);
        let known = |peer: &PeerKey| self.relays.get(peer);
        let suspect = |peer: &PeerKey| known(peer).is_some_and(Relay::is_suspect);
        let probe = peers.iter().any(suspect);
        // What a bad link loses is not the fault of the relays at its ends.
        let explained = !returned && !self.links.are_fine(&peers);
        if returned || !probe {
            self.links.record(&peers, returned);
        }
        let mut raised = false;
        for (place, peer) in peers.iter().enumerate() {
            if let Some(relay) = self.relays.get_mut(peer) {
                // The loss of a probe is put down to the relay that it probes.
                if returned || !explained && (!probe || relay.is_suspect()) {
                    raised |= relay.record(place, returned);
                }
            }
            self.judge(peer);
        }
        let change = self.refresh();
        let trusted = |peer: &PeerKey| self.usable.contains(peer);
        let proved = returned && peers.iter().all(trusted) && self.alarmed_in_use() == 0;
        Change {
            raised,
            proved: proved.then_some(path.departed),
            lossy,
            ..change
        }
    }

    /// Avoids a relay that loses what it is given and others do not.
    fn judge(&mut self, peer: &PeerKey) {
        let Some(relay) = self.relays.get(peer) else {
            return;
        };
        let is_worse = |usual| relay.is_behind(usual);
        let low = relay.has_low_score() && self.usual_score(peer).is_some_and(is_worse);
        if (low || relay.lost_in_row() >= LOST_IN_ROW_MAX)
            && let Some(relay) = self.relays.get_mut(peer)
        {
            relay.avoid(true);
        }
    }

    /// The median score of the relays other than `peer` that are judged.
    fn usual_score(&self, peer: &PeerKey) -> Option<f64> {
        let others = self.relays.iter().filter(|(other, _)| *other != peer);
        let mut scores: Vec<_> = others
            .filter(|(_, relay)| relay.is_judged())
            .map(|(_, relay)| relay.score())
            .collect();
        let middle = scores.len() / 2;
        (!scores.is_empty()).then(|| *scores.select_nth_unstable_by(middle, f64::total_cmp).1)
    }

    /// Relays whose loops vanish and which paths use all the same, for want of others.
    fn alarmed_in_use(&self) -> usize {
        let alarmed = |peer: &&PeerKey| self.relays.get(*peer).is_some_and(Relay::is_alarmed);
        self.usable.iter().filter(alarmed).count()
    }

    /// What loops say about relays and links.
    pub(crate) fn loop_status(&self) -> LoopStatus {
        let loss = |(peer, relay): (&PeerKey, &Relay)| RelayLoss {
            peer: *peer,
            reachable: relay.reachable(),
            loops: relay.loops,
            lost: relay.lost(),
            avoided: relay.avoided,
            alarmed: relay.is_alarmed(),
        };
        let (links_judged, links_avoided) = self.links.counts();
        LoopStatus {
            relays: self.relays.iter().map(loss).collect(),
            links: self.links.worst(LINKS_SHOWN),
            links_judged,
            links_avoided,
        }
    }
}

/// Relays from which paths are drawn.
struct Choice {
    /// Those to which a connection stands come first.
    relays: Vec<PeerKey>,
    /// How many those are.
    near: usize,
    ends: Ends,
}

impl Choice {
    /// Three of them at random, in random order, with connected ones at the ends as far as there are any.
    fn draw(&self, rng: &mut impl Rng) -> Option<[PeerKey; RELAYS_NEEDED]> {
        let all = self.relays.len();
        if all < RELAYS_NEEDED {
            return None;
        }
        let near = if self.near == 0 { all } else { self.near };
        let first = below(rng, near);
        let last = match self.ends {
            Ends::Both if near > 1 => other(rng, near, [first]),
            Ends::Both | Ends::First => other(rng, all, [first]),
        };
        let middle = other(rng, all, [first.min(last), first.max(last)]);
        Some([first, middle, last].map(|place| self.relays[place]))
    }
}

/// A random number below `end` that is none of `taken`, which are in order, distinct, and fewer than `end`.
fn other<const N: usize>(rng: &mut impl Rng, end: usize, taken: [usize; N]) -> usize {
    let mut chosen = below(rng, end - N);
    for taken in taken {
        if chosen >= taken {
            chosen += 1;
        }
    }
    chosen
}

/// A random number below `end`, which must not be zero. The bias is below 2⁻⁵⁰ for any network.
pub(crate) fn below(rng: &mut impl Rng, end: usize) -> usize {
    ((u128::from(rng.next_u64()) * end as u128) >> 64) as usize
}

#[cfg(test)]
mod tests;
