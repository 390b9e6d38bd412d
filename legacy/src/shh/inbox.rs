//! What the filters of local clients caught, until somebody takes it.
//!
//! ```text
//! envelope ─▶ filters ─▶ letter of each filter that wants it ─▶ taken by a poll, or sent to a subscriber
//!                          │ known by its hash until then
//!                          └ the oldest go when a box, or all of them together, are full
//! ```
//!
//! A filter that nobody polls therefore costs no more than its box, and one greedy filter cannot empty the others: when all
//! boxes together are full, the fullest one loses its oldest letter. The same content in another envelope, which any relay
//! can make, comes once: see `contents`. Spec: Whisper v6 JSON-RPC, filters; known problems, malleability.

mod contents;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use self::contents::Contents;
use super::bloom::Bloom;
use super::envelope::{Envelope, EnvelopeHash};
use super::filter::{Filter, FilterId, Filters, Received, TooManyFilters, Via};
use super::label::Label;
use super::limits::{BOX_LETTERS_MAX, INBOX_BYTES_MAX, LETTER_OVERHEAD};

/// The filters of all local clients, each with its box.
pub struct Inbox {
    filters: Filters,
    names: BTreeMap<Label, FilterId>,
    boxes: BTreeMap<FilterId, Letterbox>,
    /// The boxes by what they hold; the last is the fullest.
    by_size: BTreeSet<(usize, FilterId)>,
    bytes: usize,
    contents: Contents,
    counters: Counters,
    rng: ChaCha20Rng,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Envelopes that were held against the filters.
    pub envelopes: u64,
    /// Letters that reached a box.
    pub delivered: u64,
    /// Letters that a filter had already, by another envelope.
    pub repeated: u64,
    /// Letters that left a box because it, or all of them together, were full.
    pub dropped: u64,
}

/// The letters of one filter.
struct Letterbox {
    label: Label,
    letters: VecDeque<Arc<Received>>,
    known: BTreeSet<EnvelopeHash>,
    bytes: usize,
}

impl Inbox {
    /// No filters. Their names come from the seed, which must be secret.
    pub fn new(seed: [u8; 32]) -> Inbox {
        Inbox {
            filters: Filters::new(),
            names: BTreeMap::new(),
            boxes: BTreeMap::new(),
            by_size: BTreeSet::new(),
            bytes: 0,
            contents: Contents::default(),
            counters: Counters::default(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Installs a filter with an empty box.
    pub fn install(&mut self, filter: Filter) -> Result<Label, TooManyFilters> {
        let id = self.filters.install(filter)?;
        let label = Label::generate(&mut self.rng);
        self.names.insert(label, id);
        self.by_size.insert((0, id));
        self.boxes.insert(
            id,
            Letterbox {
                label,
                letters: VecDeque::new(),
                known: BTreeSet::new(),
                bytes: 0,
            },
        );
        Ok(label)
    }

    /// Removes a filter and what is in its box, and says whether there was one.
    pub fn remove(&mut self, label: &Label) -> bool {
        let Some(id) = self.names.remove(label) else {
            return false;
        };
        self.filters.remove(id);
        if let Some(gone) = self.boxes.remove(&id) {
            self.by_size.remove(&(gone.bytes, id));
            self.bytes -= gone.bytes;
        }
        true
    }

    /// Opens an envelope for every filter that may have it, and names the filters that got something new.
    pub fn deliver(&mut self, envelope: &Arc<Envelope>, via: Via) -> Vec<Label> {
        self.deliver_each(&[(envelope.clone(), via)])
    }

    /// The same with some envelopes, in their order; a filter is named for each. Finding out who signed costs less for several
    /// together.
    pub fn deliver_each(&mut self, envelopes: &[(Arc<Envelope>, Via)]) -> Vec<Label> {
        let opened = self.filters.open_each(envelopes);
        let each = envelopes.iter().zip(opened);
        each.flat_map(|((envelope, via), opened)| self.sort(envelope, *via, opened))
            .collect()
    }

    /// Puts an opened envelope into the boxes of the filters that want it.
    fn sort(
        &mut self,
        envelope: &Arc<Envelope>,
        via: Via,
        opened: Vec<(FilterId, Arc<Received>)>,
    ) -> Vec<Label> {
        self.counters.envelopes += 1;
        let mut reached = Vec::new();
        // What comes directly is asked for, again if its client likes.
        let content = match via {
            Via::Pool if !opened.is_empty() => Some(envelope.content_hash()),
            Via::Pool | Via::Direct => None,
        };
        for (id, letter) in opened {
            if content.is_some_and(|content| !self.contents.admit(content, envelope, id)) {
                self.counters.repeated += 1;
                continue;
            }
            if let Some(label) = self.put(id, letter) {
                reached.push(label);
            }
        }
        while self.bytes > INBOX_BYTES_MAX {
            let Some((_, fullest)) = self.by_size.last().copied() else {
                break;
            };
            self.drop_oldest(fullest);
        }
        reached
    }

    /// Takes everything out of a box; nothing if there is no such filter.
    pub fn take(&mut self, label: &Label) -> Option<Vec<Arc<Received>>> {
        let id = *self.names.get(label)?;
        let letters = self.resize(id, |letterbox| {
            letterbox.known.clear();
            letterbox.bytes = 0;
            std::mem::take(&mut letterbox.letters)
        })?;
        Some(letters.into())
    }

    /// Whether there is a filter of this name.
    pub fn contains(&self, label: &Label) -> bool {
        self.names.contains_key(label)
    }

    /// What to announce for all of these; nothing where one of them wants any topic.
    pub fn bloom(&self) -> Option<Bloom> {
        self.filters.bloom()
    }

    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.boxes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    /// Bytes that wait in all boxes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn put(&mut self, id: FilterId, letter: Arc<Received>) -> Option<Label> {
        let label = self.resize(id, |letterbox| {
            let new = letterbox.known.insert(letter.envelope.hash());
            if new {
                letterbox.bytes += weight(&letter);
                letterbox.letters.push_back(letter);
            }
            new.then_some((letterbox.label, letterbox.letters.len()))
        });
        let (label, letters) = label.flatten()?;
        self.counters.delivered += 1;
        if letters > BOX_LETTERS_MAX {
            self.drop_oldest(id);
        }
        Some(label)
    }

    fn drop_oldest(&mut self, id: FilterId) {
        let dropped = self.resize(id, |letterbox| {
            let oldest = letterbox.letters.pop_front()?;
            letterbox.known.remove(&oldest.envelope.hash());
            letterbox.bytes -= weight(&oldest);
            Some(())
        });
        if dropped.flatten().is_some() {
            self.counters.dropped += 1;
        }
    }

    /// Changes a box and keeps the books about its size.
    fn resize<T>(&mut self, id: FilterId, change: impl FnOnce(&mut Letterbox) -> T) -> Option<T> {
        let letterbox = self.boxes.get_mut(&id)?;
        let before = letterbox.bytes;
        let result = change(letterbox);
        let after = letterbox.bytes;
        if before != after {
            self.by_size.remove(&(before, id));
            self.by_size.insert((after, id));
            self.bytes = self.bytes - before + after;
        }
        Some(result)
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({} filters, {} bytes)", self.len(), self.bytes)
    }
}

/// What one letter costs. It may lie in several boxes and counts in each: the bound is never exceeded.
fn weight(letter: &Received) -> usize {
    let plaintext = &letter.plaintext;
    letter.envelope.data().len()
        + plaintext.payload.len()
        + plaintext.padding.len()
        + LETTER_OVERHEAD
}

#[cfg(test)]
mod tests;
