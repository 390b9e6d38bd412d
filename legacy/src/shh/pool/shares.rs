//! Who brought how much of what the pool holds.
//!
//! ```text
//! source → its envelopes by rank, their bytes
//! (bytes, source)  and  (envelopes, source)      find who holds the most
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::{Rank, Seq, Source};

#[derive(Default)]
pub(super) struct Shares {
    by_source: BTreeMap<Source, Share>,
    /// Of peers only: our own envelopes are in nobody's way while there are others.
    by_bytes: BTreeSet<(usize, Source)>,
    by_count: BTreeSet<(usize, Source)>,
}

#[derive(Default)]
struct Share {
    ranks: BTreeSet<(Rank, Seq)>,
    bytes: usize,
}

impl Shares {
    pub(super) fn add(&mut self, source: Source, rank: Rank, seq: Seq, bytes: usize) {
        self.change(source, |share| {
            share.ranks.insert((rank, seq));
            share.bytes += bytes;
        });
    }

    pub(super) fn remove(&mut self, source: Source, rank: Rank, seq: Seq, bytes: usize) {
        self.change(source, |share| {
            share.ranks.remove(&(rank, seq));
            share.bytes -= bytes;
        });
    }

    fn change(&mut self, source: Source, change: impl FnOnce(&mut Share)) {
        let share = self.by_source.entry(source).or_default();
        let before = (share.bytes, share.ranks.len());
        change(share);
        let after = (share.bytes, share.ranks.len());
        if share.ranks.is_empty() {
            self.by_source.remove(&source);
        }
        if source == Source::Own {
            return;
        }
        self.by_bytes.remove(&(before.0, source));
        self.by_count.remove(&(before.1, source));
        if after.1 > 0 {
            self.by_bytes.insert((after.0, source));
            self.by_count.insert((after.1, source));
        }
    }

    /// What whoever brought the most bytes values least; of two that brought the same it is the newcomer's turn.
    pub(super) fn lowest_of_the_heaviest(&self, newcomer: Source) -> Option<Seq> {
        let heaviest = self.by_bytes.last().copied();
        let bytes = |share: &Share| share.bytes;
        self.lowest(heaviest, newcomer, bytes)
    }

    /// The same for whoever brought the most envelopes.
    pub(super) fn lowest_of_the_longest(&self, newcomer: Source) -> Option<Seq> {
        let longest = self.by_count.last().copied();
        let count = |share: &Share| share.ranks.len();
        self.lowest(longest, newcomer, count)
    }

    fn lowest(
        &self,
        most: Option<(usize, Source)>,
        newcomer: Source,
        size: impl Fn(&Share) -> usize,
    ) -> Option<Seq> {
        let (most, holder) = most.unwrap_or((0, Source::Own));
        let as_much = |share: &&Share| newcomer != Source::Own && size(share) == most;
        let share = self.by_source.get(&newcomer).filter(as_much);
        let share = share.or_else(|| self.by_source.get(&holder))?;
        share.ranks.first().map(|(_, seq)| *seq)
    }

    /// Envelopes and bytes of every source.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> BTreeMap<Source, (usize, usize)> {
        let size = |share: &Share| (share.ranks.len(), share.bytes);
        self.by_source
            .iter()
            .map(|(source, share)| (*source, size(share)))
            .collect()
    }

    /// Both orders say what the shares say.
    #[cfg(test)]
    pub(super) fn agree(&self) -> bool {
        let peers = || {
            self.by_source
                .iter()
                .filter(|(source, _)| **source != Source::Own)
        };
        let bytes: BTreeSet<_> = peers()
            .map(|(source, share)| (share.bytes, *source))
            .collect();
        let count: BTreeSet<_> = peers()
            .map(|(source, share)| (share.ranks.len(), *source))
            .collect();
        bytes == self.by_bytes && count == self.by_count
    }
}
