//! What others say of the root of an epoch and of the time: is the network one, and is our clock right?
//!
//! One voice a node, and only of nodes that are registered or named as seeds: identities are not free. The newest word counts.

use std::collections::BTreeMap;

use super::active::{Root, Standing};
use super::limits::{CLOCKS_MIN, FORK_SHARE, FORK_VOICES_MIN, VOICES_MAX};
use super::wire::State;
use crate::address::PeerKey;

#[derive(Clone, Copy)]
struct Voice {
    epoch: u32,
    root: Option<(Standing, Root)>,
    /// Our clock less theirs, in seconds.
    ahead: i64,
}

/// Two or more roots of one epoch, each with the share of the voices that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// The epoch.
    pub epoch: u32,
    /// The roots, the one with the most voices first.
    pub roots: Vec<(Root, f64)>,
}

/// The newest word of each node.
#[derive(Default)]
pub(super) struct Voices {
    voices: BTreeMap<PeerKey, Voice>,
}

impl Voices {
    /// Notes what `peer` says at our time.
    pub(super) fn note(&mut self, peer: PeerKey, state: &State, unix_ms: u64) {
        if !self.voices.contains_key(&peer) && self.voices.len() >= VOICES_MAX {
            let oldest = self
                .voices
                .iter()
                .min_by_key(|(_, voice)| voice.epoch)
                .map(|(peer, voice)| (*peer, voice.epoch));
            match oldest.filter(|(_, epoch)| *epoch < state.epoch) {
                Some((peer, _)) => self.voices.remove(&peer),
                None => return,
            };
        }
        let ours = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
        let voice = Voice {
            epoch: state.epoch,
            root: state.root,
            ahead: ours - i64::from(state.unix_seconds),
        };
        self.voices.insert(peer, voice);
    }

    /// Whether somebody has a set of this epoch that is not a young network's.
    pub(super) fn know_a_grown_set(&self, epoch: u32) -> bool {
        self.of(epoch)
            .any(|(standing, _)| standing != Standing::Young)
    }

    fn of(&self, epoch: u32) -> impl Iterator<Item = (Standing, Root)> {
        self.voices
            .values()
            .filter(move |voice| voice.epoch == epoch)
            .filter_map(|voice| voice.root)
    }

    /// More than one settled root with more than a tenth of the voices, ours among them.
    pub(super) fn fork(&self, epoch: u32, own: Option<(Standing, Root)>) -> Option<Fork> {
        let settled = self.of(epoch).chain(own);
        let settled = settled.filter(|(standing, _)| *standing == Standing::Settled);
        let mut counts: BTreeMap<Root, usize> = BTreeMap::new();
        for (_, root) in settled {
            *counts.entry(root).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        if all < FORK_VOICES_MIN {
            return None;
        }
        let mut roots: Vec<(Root, f64)> = counts
            .into_iter()
            .map(|(root, count)| (root, count as f64 / all as f64))
            .filter(|(_, share)| *share > FORK_SHARE)
            .collect();
        roots.sort_by(|a, b| b.1.total_cmp(&a.1));
        (roots.len() > 1).then_some(Fork { epoch, roots })
    }

    /// How far our clock is ahead of the others in the middle, in seconds, if enough of the `known` others have spoken.
    pub(super) fn clock_ahead(&self, known: usize) -> Option<i64> {
        let mut ahead: Vec<i64> = self.voices.values().map(|voice| voice.ahead).collect();
        if ahead.is_empty() || ahead.len() < CLOCKS_MIN.min(known) {
            return None;
        }
        ahead.sort_unstable();
        // Of an even number the smaller error counts: nobody is stopped by half of the voices.
        let (low, high) = (ahead[(ahead.len() - 1) / 2], ahead[ahead.len() / 2]);
        Some(if low.unsigned_abs() <= high.unsigned_abs() {
            low
        } else {
            high
        })
    }

    /// Forgets everything: our clock was set, so what was compared with it means nothing.
    pub(super) fn clear(&mut self) {
        self.voices.clear();
    }

    /// Forgets what was said of epochs before `first`.
    pub(super) fn expire(&mut self, first: u32) {
        self.voices.retain(|_, voice| voice.epoch >= first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::tests::peer_key;

    fn state(root: u8, standing: Standing, unix_seconds: u32) -> State {
        State {
            unix_seconds,
            epoch: 7,
            root: Some((standing, [root; 32])),
            registry: [0; 16],
        }
    }

    fn voices(roots: impl IntoIterator<Item = u8>) -> Voices {
        let mut voices = Voices::default();
        for (n, root) in (1..).zip(roots) {
            voices.note(
                peer_key(n),
                &state(root, Standing::Settled, 1000),
                1_000_000,
            );
        }
        voices
    }

    #[test]
    fn two_roots_with_more_than_a_tenth_are_a_fork() {
        assert_eq!(voices([1; 20]).fork(7, None), None);
        // Two of twenty are a tenth, not more.
        let two = voices([1; 18].into_iter().chain([2; 2]));
        assert_eq!(two.fork(7, None), None);
        let three = voices([1; 17].into_iter().chain([2; 3]));
        let fork = three.fork(7, None).unwrap();
        assert_eq!(fork.roots[0].0, [1; 32]);
        assert!((fork.roots[1].1 - 0.15).abs() < 1e-9, "{fork:?}");
        // Ours counts like any other, and other epochs do not.
        assert!(
            voices([1; 8])
                .fork(7, Some((Standing::Settled, [2; 32])))
                .is_some()
        );
        assert_eq!(three.fork(8, None), None);
        assert_eq!(voices([1, 2]).fork(7, None), None);
    }

    #[test]
    fn roots_that_are_not_settled_are_no_fork() {
        let mut voices = voices([1; 5]);
        for n in 10..20 {
            voices.note(peer_key(n), &state(2, Standing::Fresh, 1000), 1_000_000);
        }
        assert_eq!(voices.fork(7, None), None);
        assert!(voices.know_a_grown_set(7) && !voices.know_a_grown_set(6));
    }

    #[test]
    fn the_clock_in_the_middle_counts() {
        let mut voices = Voices::default();
        let at = |n: u16, theirs: u32, voices: &mut Voices| {
            voices.note(peer_key(n), &state(1, Standing::Young, theirs), 10_000_000);
        };
        assert_eq!(voices.clock_ahead(5), None);
        at(1, 7_300, &mut voices);
        at(2, 7_300, &mut voices);
        assert_eq!(voices.clock_ahead(5), None);
        assert_eq!(voices.clock_ahead(2), Some(2_700));
        at(3, 10_000, &mut voices);
        assert_eq!(voices.clock_ahead(5), Some(2_700));
        // Half of them are right: so are we.
        at(4, 10_001, &mut voices);
        assert_eq!(voices.clock_ahead(5), Some(0));
    }

    #[test]
    fn the_number_of_voices_is_bounded() {
        let mut voices = voices((0..VOICES_MAX).map(|_| 1));
        voices.note(peer_key(9_000), &state(2, Standing::Settled, 1), 0);
        assert_eq!(voices.voices.len(), VOICES_MAX);
        assert!(!voices.voices.contains_key(&peer_key(9_000)));
        let newer = State {
            epoch: 8,
            ..state(2, Standing::Settled, 1)
        };
        voices.note(peer_key(9_000), &newer, 0);
        assert_eq!(voices.voices.len(), VOICES_MAX);
        assert!(voices.voices.contains_key(&peer_key(9_000)));
    }
}
