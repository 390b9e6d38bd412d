//! Which filter has which content already, and by which envelope.
//!
//! Expiry, ttl and nonce of an envelope are not covered by its encryption: every relay can make another envelope of the
//! same content, with work of its own. A filter gets each content by one envelope only, the first that it wants.

use std::collections::{BTreeMap, VecDeque};

use crate::shh::envelope::{Envelope, EnvelopeHash};
use crate::shh::filter::FilterId;

/// What was delivered lately.
#[derive(Default)]
pub(super) struct Contents {
    holders: BTreeMap<[u8; 32], BTreeMap<FilterId, EnvelopeHash>>,
    /// The contents, the oldest first.
    order: VecDeque<[u8; 32]>,
    /// Holders of all contents together.
    count: usize,
}

impl Contents {
    /// Takes a filter down for the content of an envelope. False: it has that content by another one.
    pub(super) fn admit(&mut self, content: [u8; 32], envelope: &Envelope, to: FilterId) -> bool {
        let holders = self.holders.entry(content).or_insert_with(|| {
            self.order.push_back(content);
            BTreeMap::new()
        });
        if let Some(first) = holders.get(&to) {
            return *first == envelope.hash();
        }
        holders.insert(to, envelope.hash());
        self.count += 1;
        while self.count > HOLDERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.holders.remove(&oldest);
            self.count -= gone.map_or(0, |gone| gone.len());
        }
        true
    }

    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        assert_eq!(self.holders.len(), self.order.len());
        let count = self.holders.values().map(BTreeMap::len).sum();
        assert_eq!(self.count, count);
        count
    }
}

/// Filters and their contents that are remembered: days of a client with a dozen chats, ten megabytes at most.
pub(super) const HOLDERS_MAX: usize = 65_536;
