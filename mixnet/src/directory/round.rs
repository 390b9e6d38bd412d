//! One round of gossip: a node that is picked at random is asked whether it knows the same, and if not, what differs goes both ways.
//!
//! ```text
//! hello ─▶ state: same registry? ── yes ─▶ rest
//!            │ no
//!            ▼
//! summary ─▶ entries: who has something newer? ─▶ swap: give and take ─▶ next round soon
//! ```

use std::time::Instant;

use super::limits::{ANSWER_WITHIN, SEED_EVERY};
use super::wire::{ANSWER_MAX, Request, Response, SWAP_MAX};
use super::{AskId, Contact, Directory};
use crate::now::Now;

/// A round under way.
pub(super) struct Round {
    with: Contact,
    waiting: AskId,
    until: Instant,
}

impl Round {
    pub(super) fn waits_for(&self, id: AskId) -> bool {
        self.waiting == id
    }

    pub(super) fn deadline(&self) -> Instant {
        self.until
    }
}

impl Directory {
    /// Ends a round that takes too long, and starts the next one when it is due.
    pub(super) fn run_rounds(&mut self, now: Now) {
        if self
            .round
            .as_ref()
            .is_some_and(|round| round.until <= now.mono)
        {
            self.unanswered = self.unanswered.saturating_add(1);
            self.round_failed(now);
        }
        if self.round.is_some() || self.next_round > now.mono {
            return;
        }
        self.next_round = now.mono + self.quiet();
        if let Some(with) = self.partner() {
            let epoch = self.epoch;
            let state = self.state(now, epoch);
            self.step(now, with, Request::Hello { state, epoch });
        }
    }

    /// Somebody at random; now and then a seed, and first of all whoever was found and is not known.
    fn partner(&mut self) -> Option<Contact> {
        if let Some(found) = self.found.pop_back() {
            return Some(found);
        }
        let by_seed = self.below(SEED_EVERY as usize) == 0 && !self.seeds.is_empty();
        if by_seed {
            let seed = self.below(self.seeds.len());
            return self.seeds.get(seed).cloned();
        }
        let count = self.contacts().count();
        if count == 0 {
            return None;
        }
        let chosen = self.below(count);
        self.contacts().nth(chosen)
    }

    fn step(&mut self, now: Now, with: Contact, request: Request) {
        let waiting = self.ask(with.clone(), request);
        self.round = Some(Round {
            with,
            waiting,
            until: now.mono + ANSWER_WITHIN,
        });
    }

    pub(super) fn round_answered(&mut self, now: Now, response: Response) {
        let Some(Round { with, .. }) = self.round.take() else {
            return;
        };
        match response {
            Response::State(state) => {
                self.note_voice(now, with.peer, &state);
                if state.registry == self.registry.digest() || state.registry == [0; 16] {
                    self.rounds += 1;
                    return;
                }
                let from = self.below(256) as u8;
                let buckets = self.registry.summary();
                self.step(now, with, Request::Summary { from, buckets });
            }
            Response::Entries { buckets, mentions } => {
                let (wants, gives) = self.registry.compare(&buckets, &mentions, SWAP_MAX);
                if wants.is_empty() && gives.is_empty() {
                    self.rounds += 1;
                    return;
                }
                let gives = gives.iter().map(|given| given.to_bytes()).collect();
                self.step(now, with, Request::Swap { wants, gives });
            }
            Response::Descriptors(descriptors) => {
                self.rounds += 1;
                let count = descriptors.len().min(ANSWER_MAX);
                self.take(now, &descriptors[..count]);
                // There may be more.
                self.next_round = self.next_round.min(now.mono + self.busy());
            }
            Response::Refused(_) => {}
            // An answer to another question: whoever gives it is not asked again in this round.
            Response::Page { .. } => {}
        }
    }

    /// Nobody answers there: somebody else is asked, soon while little is known, and with longer pauses the longer it lasts.
    pub(super) fn round_failed(&mut self, now: Now) {
        self.round = None;
        let pause = self.busy() * (1 << self.unanswered.min(5));
        self.next_round = now.mono + pause.min(self.quiet());
    }
}
