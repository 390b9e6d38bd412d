//! What becomes of a packet before the node acts on it: the rate of its neighbour, peeling, the replay stores.
//!
//! This is the part of a node that costs time, so it is a core of its own: a shell runs it beside the node and hands batches over.
//!
//! ```text
//! from a neighbour ─▶ rate ─▶ peel (current key, then the one before or after) ─▶ Batch ─▶ Node
//!                                                                                  └─ records ─▶ disk ─▶ Durable(mark) ─▶ Node
//! ```
//!
//! A mix key is taken into use before its epoch begins and stays in use for a time of grace after it: for that time two keys are
//! good, each with a replay store of its own. A packet does not say which key it is for; its MAC verifies under one of them.
//!
//! # What survives a restart
//!
//! A node that starts again with the same mix key must refuse what it has forwarded or acted on before. Whoever runs an intake takes
//! the [`Batch::take_records`] of a batch to the disk, and gives the batch a mark ([`Batch::marked`]). The node takes the batch at
//! once, but none of its packets leaves until it hears that the disk has everything up to that mark
//! ([`crate::node::Input::Durable`]), and none that ends here has an effect until it hears that the system has
//! ([`crate::node::Input::Written`]). Nobody waits for a disk in the path of a packet; packets rest in the node anyway, and nearly
//! always longer than that takes.

use std::fmt;
use std::time::Instant;

use crate::address::PeerKey;
use crate::error::DropReason;
use crate::geometry::HOPS;
use crate::limits::PeerRates;
use crate::replay::{Fingerprint, Replay, ReplayError, ReplayStore, ReplayTag};
use crate::sphinx::{Packet, Peeled, PublicKey, SecretKey, admit, alpha};

/// A packet from a neighbour.
#[derive(Debug)]
pub struct Received {
    /// Which neighbour.
    pub from: PeerKey,
    /// When its last byte came.
    pub at: Instant,
    /// What it handed us.
    pub packet: Packet,
}

/// One tag to be written to the file of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which key.
    pub key: PublicKey,
    /// What its store keeps of the tag.
    pub print: Fingerprint,
}

/// What came of some packets, for [`crate::node::Input::Peeled`].
#[derive(Default)]
pub struct Batch {
    pub(crate) peeled: Vec<(Instant, Peeled)>,
    pub(crate) dropped: Vec<DropReason>,
    pub(crate) replay_tags: usize,
    pub(crate) mark: u64,
    records: Vec<Record>,
}

impl Batch {
    /// Packets of which something came, dropped ones among them.
    pub fn len(&self) -> usize {
        self.peeled.len() + self.dropped.len()
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tags to be written, in the order in which they were stored.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The packets that go on, each with the time at which what it came out of came.
    pub fn onward(&self) -> impl Iterator<Item = (Instant, &Packet)> {
        self.peeled.iter().filter_map(|(at, peeled)| match peeled {
            Peeled::Forward { packet, .. } => Some((*at, packet)),
            Peeled::Exit { .. } | Peeled::Reply { .. } => None,
        })
    }

    /// Whether a packet of the batch is for another hop.
    pub fn forwards(&self) -> bool {
        let forward = |(_, peeled): &(Instant, Peeled)| matches!(peeled, Peeled::Forward { .. });
        self.peeled.iter().any(forward)
    }

    /// Whether a packet of the batch ends here.
    pub fn ends(&self) -> bool {
        let forward = |(_, peeled): &(Instant, Peeled)| matches!(peeled, Peeled::Forward { .. });
        !self.peeled.iter().all(forward)
    }

    /// Takes the tags that are to be written out of the batch, in the order in which they were stored.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// The batch with a mark: the node lets nothing of it happen before it hears what has become of the tags up to it.
    pub fn marked(mut self, mark: u64) -> Self {
        self.mark = mark;
        self
    }

    /// What is left of the batch when nobody can write its tags: nothing that is not remembered may leave.
    pub fn unsaved(mut self) -> Self {
        let lost = self.peeled.drain(..).map(|_| DropReason::ReplayUnsaved);
        self.dropped.extend(lost);
        self.records.clear();
        self
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch of {}", self.len())
    }
}

/// The keys of a node with their replay stores, and the rates of its neighbours.
pub struct Intake {
    rates: PeerRates,
    /// The newest first.
    keys: Vec<Slot>,
}

struct Slot {
    id: PublicKey,
    key: SecretKey,
    store: ReplayStore,
}

impl Intake {
    /// An intake with one key that has seen nothing, or what was restored into `store`.
    pub fn new(key: SecretKey, store: ReplayStore) -> Self {
        let mut intake = Self {
            rates: PeerRates::of_neighbours(),
            keys: Vec::with_capacity(KEYS_MAX),
        };
        intake.install(key, store);
        intake
    }

    /// Takes one more key into use. The oldest goes when there would be more than two: its packets are then refused.
    pub fn install(&mut self, key: SecretKey, store: ReplayStore) -> Option<PublicKey> {
        let id = key.public();
        if self.keys.iter().any(|slot| slot.id == id) {
            return None;
        }
        let oldest = (self.keys.len() >= KEYS_MAX)
            .then(|| self.keys.pop())
            .flatten();
        self.keys.insert(0, Slot { id, key, store });
        oldest.map(|slot| slot.id)
    }

    /// Takes a key out of use, with everything that was seen under it.
    pub fn retire(&mut self, id: &PublicKey) {
        self.keys.retain(|slot| slot.id != *id);
    }

    /// Public keys in use, the newest first.
    pub fn keys(&self) -> impl Iterator<Item = PublicKey> + '_ {
        self.keys.iter().map(|slot| slot.id)
    }

    /// Peels one packet into `batch`.
    pub fn take(&mut self, received: Received, batch: &mut Batch) {
        let Received { from, at, packet } = received;
        let result = if self.rates.admit(at, from, 1) {
            self.peel(packet, &mut batch.records)
        } else {
            Err(DropReason::NeighbourRate)
        };
        match result {
            Ok(peeled) => batch.peeled.push((at, peeled)),
            Err(reason) => batch.dropped.push(reason),
        }
        batch.replay_tags = self.replay_tags();
    }

    /// A batch of one packet that is dropped unseen.
    pub fn drop_one(&self, reason: DropReason) -> Batch {
        Batch {
            dropped: vec![reason],
            replay_tags: self.replay_tags(),
            ..Batch::default()
        }
    }

    fn replay_tags(&self) -> usize {
        self.keys.iter().map(|slot| slot.store.len()).sum()
    }

    /// One packet by itself, as a batch.
    pub fn take_one(&mut self, received: Received) -> Batch {
        let mut batch = Batch::default();
        self.take(received, &mut batch);
        batch
    }

    fn peel(&mut self, packet: Packet, records: &mut Vec<Record>) -> Result<Peeled, DropReason> {
        let alpha = alpha(&packet)?;
        for slot in &mut self.keys {
            let mut replay = Recorded {
                id: slot.id,
                store: &mut slot.store,
                records,
            };
            match admit(&alpha, &slot.key, &packet, &mut replay) {
                Ok(layer) => return layer.take_off(HOPS, &alpha, packet),
                Err(DropReason::Mac) => {}
                Err(reason) => return Err(reason),
            }
        }
        Err(DropReason::Mac)
    }
}

/// A store whose new tags are noted.
struct Recorded<'a> {
    id: PublicKey,
    store: &'a mut ReplayStore,
    records: &'a mut Vec<Record>,
}

impl Replay for Recorded<'_> {
    fn seen(&self, tag: &ReplayTag) -> bool {
        self.store.seen(tag)
    }

    fn insert(&mut self, tag: &ReplayTag) -> Result<(), ReplayError> {
        let print = self.store.remember(tag)?;
        self.records.push(Record {
            key: self.id,
            print,
        });
        Ok(())
    }
}

/// Keys in use at a time: the current one, and the one before it in its grace or the one after it ahead of its time.
pub const KEYS_MAX: usize = 2;

#[cfg(test)]
mod tests;
