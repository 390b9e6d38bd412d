//! What is known of the mailboxes that were used: who is silent, who lies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::address::PeerKey;

/// Mailboxes with a past. Those without one are trusted as far as anybody.
#[derive(Default)]
pub(super) struct Standings {
    known: BTreeMap<PeerKey, Standing>,
}

#[derive(Default)]
struct Standing {
    /// Requests without an answer since the last answer.
    silent: u32,
    silent_until: Option<Instant>,
    liar_until: Option<Instant>,
}

impl Standings {
    /// Whether others come first for now.
    pub(super) fn is_avoided(&self, now: Instant, peer: &PeerKey) -> bool {
        self.known.get(peer).is_some_and(|known| {
            let until = known.silent_until.max(known.liar_until);
            until.is_some_and(|until| until > now)
        })
    }

    /// It answered. Whoever lied stays avoided until the time is over.
    pub(super) fn answered(&mut self, peer: PeerKey) {
        if let Some(standing) = self.known.get_mut(&peer) {
            standing.silent = 0;
            standing.silent_until = None;
        }
    }

    /// It did not answer in time.
    pub(super) fn silent(&mut self, now: Instant, peer: PeerKey) {
        if let Some(standing) = self.of(peer) {
            standing.silent = standing.silent.saturating_add(1);
            if standing.silent >= SILENT_MAX {
                standing.silent_until = Some(now + AVOID_SILENT);
            }
        }
    }

    /// It answered that it keeps nothing more for now.
    pub(super) fn refused(&mut self, now: Instant, peer: PeerKey) {
        if let Some(standing) = self.of(peer) {
            standing.silent_until = Some(now + AVOID_SILENT);
        }
    }

    /// It said that it found a cell, and the cell does not open.
    pub(super) fn lied(&mut self, now: Instant, peer: PeerKey) {
        if let Some(standing) = self.of(peer) {
            standing.liar_until = Some(now + AVOID_LIAR);
        }
    }

    /// Forgets those who are gone.
    pub(super) fn keep(&mut self, mut is_there: impl FnMut(&PeerKey) -> bool) {
        self.known.retain(|peer, _| is_there(peer));
    }

    fn of(&mut self, peer: PeerKey) -> Option<&mut Standing> {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&peer) {
            return None;
        }
        Some(self.known.entry(peer).or_default())
    }
}

/// So many requests in a row without an answer: at 10 % loss each way, honest mailboxes are that unlucky less than once in 100.
const SILENT_MAX: u32 = 3;

/// How long a silent one is asked last: a restart is over by then.
const AVOID_SILENT: Duration = Duration::from_secs(600);

/// How long a liar is.
const AVOID_LIAR: Duration = Duration::from_secs(6 * 3600);

/// Mailboxes that are remembered: as many as a network has descriptors.
const KNOWN_MAX: usize = 4_096;
