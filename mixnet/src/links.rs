//! Which links between relays lose packets.
//!
//! Two relays may each be fine and not reach each other: a firewall, a route that is down, a relay that stops what comes from one
//! other. Each loop crosses two links between its three relays; one over which hardly any loop comes back is left out of paths.
//! Loops go over it all the same, so that it is noticed when it carries again.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::PeerKey;
use crate::limits::RELAYS_NEEDED;

// ---- Our constants ----

/// Links that are remembered; of more, those that were used least recently are forgotten. A network of 64 relays has about as many.
const LINKS_MAX: usize = 4096;

/// Loops of which a link's score is made.
const HISTORY_LOOPS: u32 = u16::BITS;

/// Loops before a link is judged. That one link of a relay loses so many and is fine happens once in 5,000 at 10 % loss.
const LOOPS_MIN: u32 = 6;

/// At most this share of the loops over a bad link comes back.
const RETURNED_MAX: f64 = 0.25;

/// From one relay to the next.
pub(crate) type Link = (PeerKey, PeerKey);

/// The newest loops over one link.
#[derive(Clone, Copy, Default)]
struct Record {
    /// One bit per loop, the newest lowest: whether it came back.
    history: u16,
    loops: u32,
    /// When it was used last, in loops.
    used: u64,
}

impl Record {
    fn lost(&self) -> u32 {
        self.loops - self.history.count_ones()
    }

    fn is_bad(&self) -> bool {
        let returned = f64::from(self.loops - self.lost());
        self.loops >= LOOPS_MIN && returned <= RETURNED_MAX * f64::from(self.loops)
    }
}

/// Loss on one link, for the local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLoss {
    /// The relay that hands over.
    pub from: PeerKey,
    /// The relay that takes.
    pub to: PeerKey,
    /// Loops over the link, the newest sixteen at most.
    pub loops: u32,
    /// Those of them that did not come back.
    pub lost: u32,
    /// Whether paths leave it out.
    pub avoided: bool,
}

/// All links that loops have crossed.
#[derive(Default)]
pub(crate) struct Links {
    records: BTreeMap<Link, Record>,
    by_use: BTreeSet<(u64, Link)>,
    turn: u64,
}

impl Links {
    /// The links of a path.
    pub(crate) fn of(path: &[PeerKey; RELAYS_NEEDED]) -> impl Iterator<Item = Link> {
        path.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// A loop over this path came back, or got lost and no relay of it is known to be the cause. The loss of one that crossed a
    /// bad link is put down to that one.
    pub(crate) fn record(&mut self, path: &[PeerKey; RELAYS_NEEDED], returned: bool) {
        let explained = !returned && Self::of(path).any(|link| self.is_bad(&link));
        for link in Self::of(path) {
            if explained && !self.is_bad(&link) {
                continue;
            }
            self.turn += 1;
            let known = self.records.get(&link).copied();
            if let Some(known) = known {
                self.by_use.remove(&(known.used, link));
            } else if self.records.len() >= LINKS_MAX
                && let Some((_, oldest)) = self.by_use.pop_first()
            {
                self.records.remove(&oldest);
            }
            let mut record = known.unwrap_or_default();
            record.history = record.history << 1 | u16::from(returned);
            record.loops = (record.loops + 1).min(HISTORY_LOOPS);
            record.used = self.turn;
            self.by_use.insert((self.turn, link));
            self.records.insert(link, record);
        }
    }

    /// Whether paths had better not cross this link.
    pub(crate) fn is_bad(&self, link: &Link) -> bool {
        self.records.get(link).is_some_and(Record::is_bad)
    }

    /// Whether a path crosses none of the bad links.
    pub(crate) fn are_fine(&self, path: &[PeerKey; RELAYS_NEEDED]) -> bool {
        !Self::of(path).any(|link| self.is_bad(&link))
    }

    /// Links that are judged and those among them that are bad.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let judged = self.records.values().filter(|r| r.loops >= LOOPS_MIN);
        let bad = self.records.values().filter(|record| record.is_bad());
        (judged.count(), bad.count())
    }

    /// Up to `count` links, those that lose most first.
    pub(crate) fn worst(&self, count: usize) -> Vec<LinkLoss> {
        let mut lossy: Vec<_> = self.records.iter().filter(|(_, r)| r.lost() > 0).collect();
        let share = |record: &Record| f64::from(record.lost()) / f64::from(record.loops);
        lossy.sort_by(|(_, a), (_, b)| share(b).total_cmp(&share(a)));
        let loss = |(link, record): (&Link, &Record)| LinkLoss {
            from: link.0,
            to: link.1,
            loops: record.loops,
            lost: record.lost(),
            avoided: record.is_bad(),
        };
        lossy.into_iter().take(count).map(loss).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::tests::peer_key;

    fn path(relays: [u16; 3]) -> [PeerKey; 3] {
        relays.map(peer_key)
    }

    #[test]
    fn a_link_that_loses_is_told_from_its_relays_and_from_its_way_back() {
        let mut links = Links::default();
        for _ in 0..6 {
            links.record(&path([1, 2, 3]), false);
            links.record(&path([3, 2, 4]), true);
            links.record(&path([2, 3, 1]), true);
        }
        let bad = |a, b| links.is_bad(&(peer_key(a), peer_key(b)));
        assert!(bad(1, 2));
        assert!(!bad(2, 3) && !bad(3, 2) && !bad(2, 1) && !bad(3, 1));
        assert_eq!(links.counts(), (5, 1));
        assert!(!links.are_fine(&path([4, 1, 2])) && links.are_fine(&path([2, 1, 3])));
    }

    #[test]
    fn what_a_bad_link_explains_is_put_down_to_nothing_else() {
        let mut links = Links::default();
        for n in 0..6 {
            links.record(&path([1, 2, 10 + n]), false);
        }
        for _ in 0..20 {
            links.record(&path([1, 2, 3]), false);
        }
        assert!(links.is_bad(&(peer_key(1), peer_key(2))));
        assert!(!links.is_bad(&(peer_key(2), peer_key(3))));
        let worst = links.worst(2);
        assert_eq!(worst.len(), 2);
        // It carries again: the newest loops decide.
        for _ in 0..8 {
            links.record(&path([1, 2, 3]), true);
        }
        assert!(links.are_fine(&path([1, 2, 3])));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_not_used() {
        let mut links = Links::default();
        for from in 1..=80 {
            for to in 101..=160 {
                links.record(&path([from, to, 999]), true);
                links.record(&path([500, 501, 502]), true);
            }
        }
        assert_eq!(links.records.len(), LINKS_MAX);
        assert_eq!(links.by_use.len(), LINKS_MAX);
        assert!(links.records.contains_key(&(peer_key(500), peer_key(501))));
        assert!(!links.records.contains_key(&(peer_key(1), peer_key(101))));
    }
}
