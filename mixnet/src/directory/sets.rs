//! Which active set holds when, and what the node is given.

use super::active::{ActiveSet, Root, Standing};
use super::limits::SETTLED_RELAYS_MIN;
use super::{Directory, Mode, Output};
use crate::now::Now;
use crate::topology::Topology;

impl Directory {
    /// Whether this node has listened long enough to know who is old.
    fn is_seasoned(&self, epoch: u32) -> bool {
        self.watching_since.saturating_add(2) <= epoch
    }

    /// Whether the set of an epoch comes from others: always for a light client; for a newcomer once somebody has one that is
    /// not a young network's.
    pub(super) fn adopts(&self, epoch: u32) -> bool {
        match self.mode {
            Mode::Light => true,
            Mode::Full => !self.is_seasoned(epoch) && self.voices.know_a_grown_set(epoch),
        }
    }

    /// The epochs whose sets are needed: this one, and shortly before it begins the next one.
    pub(super) fn needed(&self, now: Now) -> impl Iterator<Item = u32> + use<> {
        let ahead = now.unix_ms + self.epochs.grace().as_millis() as u64;
        self.epoch..=self.epochs.at(ahead)
    }

    /// Reckons the sets that follow from the registry.
    pub(super) fn reckon(&mut self, now: Now) {
        for epoch in self.needed(now) {
            let missing = !self.sets.contains_key(&epoch);
            if (self.sets_stale || missing) && !self.adopts(epoch) {
                let set = ActiveSet::select(&self.registry, epoch);
                self.sets.insert(epoch, set);
            }
        }
        self.sets_stale = false;
        let own = self.root(now, self.epoch);
        let heard = self.voices.fork(self.epoch, own);
        self.fork = self.client_fork.clone().or(heard);
    }

    /// The root of an epoch's set, and what it is worth.
    pub(super) fn root(&self, now: Now, epoch: u32) -> Option<(Standing, Root)> {
        let set = self.sets.get(&epoch).filter(|set| !set.is_empty())?;
        let settled_ms = self.epochs.start_ms(epoch) + self.epochs.grace().as_millis() as u64;
        let standing = if set.is_young() {
            Standing::Young
        } else if now.unix_ms < settled_ms {
            Standing::Fresh
        } else {
            Standing::Settled
        };
        Some((standing, *set.root()))
    }

    /// Gives the node the network of the epoch. While the set of a new epoch is missing the old one holds, until its keys go.
    pub(super) fn show(&mut self, now: Now) {
        if self.clock_off.is_some() {
            if self.shown.is_none() {
                self.shown = Some((self.epoch, [0; 32]));
                self.outputs
                    .push_back(Output::Topology(Topology::default()));
            }
            return;
        }
        let before = self.epoch.saturating_sub(1);
        let usable = |set: &&ActiveSet| set.relays() >= SETTLED_RELAYS_MIN;
        let current = self.sets.get(&self.epoch);
        let set = match current.filter(usable) {
            Some(set) => Some(set),
            None => {
                let old = self.sets.get(&before).filter(usable);
                let in_time = self.epochs.term(before).keys_end_unix_ms > now.unix_ms;
                // Shortly before an epoch its keys are good already: for whoever is late, or joins then.
                let next = self.epochs.good_at(now.unix_ms).max();
                let next = next.and_then(|next| self.sets.get(&next)).filter(usable);
                old.filter(|_| in_time).or(next).or(current)
            }
        };
        let Some(set) = set else {
            if self.shown.take().is_some() {
                self.outputs
                    .push_back(Output::Topology(Topology::default()));
            }
            return;
        };
        let shown = (set.epoch(), *set.root());
        if self.shown == Some(shown) {
            return;
        }
        let term = self.epochs.term(set.epoch());
        let topology = Topology::of_epoch(term, set.descriptors().cloned(), self.policy);
        self.shown = Some(shown);
        self.outputs.push_back(Output::Topology(topology));
    }
}
