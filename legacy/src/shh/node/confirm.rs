//! Confirmations both ways: what became of bundles.
//!
//! ```text
//! their bundle ─▶ arrivals ─▶ 12 and 11 at once, or held until every envelope of it is released
//! our bundle   ─▶ pending  ─▶ 11 or 12 ─▶ Confirmed
//! ```
//!
//! A peer with rate limits gets 12 alone, and within its allowance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::{Confirmations, Node, Output, PeerId};
use crate::now::Now;
use crate::shh::confirmation::{self, Answer, BatchHash, Fault, Reply};
use crate::shh::envelope::EnvelopeHash;
use crate::shh::limits::{FAULTS_MAX, HELD_BATCH_MS, HELD_BATCHES_MAX};
use crate::shh::wire::{self, Error};

/// A bundle of a peer while its envelopes are looked at.
pub(super) struct Receipt {
    batch: BatchHash,
    faults: Vec<Fault>,
    /// Envelopes that the confirmation waits for.
    awaits: BTreeSet<EnvelopeHash>,
}

impl Receipt {
    pub(super) fn note_fault(&mut self, fault: Option<Fault>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.extend(fault);
        }
    }
}

/// Confirmations that are held back.
#[derive(Default)]
pub(super) struct Held {
    batches: VecDeque<HeldBatch>,
    /// Envelopes whose fate is open, and until when we care.
    open: BTreeMap<EnvelopeHash, Instant>,
}

struct HeldBatch {
    peer: PeerId,
    receipt: Receipt,
    until: Instant,
}

impl Held {
    /// An envelope is new: whoever brings it waits for its fate.
    pub(super) fn open(&mut self, mono: Instant, hash: EnvelopeHash) {
        self.open.insert(hash, mono + HELD_FOR);
    }

    /// Forgets what is too late to be told.
    pub(super) fn forget(&mut self, mono: Instant) {
        if self.open.is_empty() && self.batches.is_empty() {
            return;
        }
        self.open.retain(|_, until| *until > mono);
        self.batches.retain(|batch| batch.until > mono);
    }

    fn hold(&mut self, mono: Instant, peer: PeerId, receipt: Receipt) {
        if self.batches.len() >= HELD_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(HeldBatch {
            peer,
            receipt,
            until: mono + HELD_FOR,
        });
    }
}

impl Node {
    /// Begins the receipt of a bundle, if its sender wants one.
    pub(super) fn receipt(&self, peer: PeerId, payload: &[u8]) -> Option<Receipt> {
        let asked = self
            .wants(peer)
            .is_some_and(|wants| wants.confirmations && self.confirms());
        asked.then(|| Receipt {
            batch: BatchHash::of(payload),
            faults: Vec::new(),
            awaits: BTreeSet::new(),
        })
    }

    /// Whether we confirm at all.
    pub(super) fn confirms(&self) -> bool {
        match self.config.confirmations {
            Confirmations::Off => false,
            Confirmations::OnReceipt | Confirmations::Held => true,
        }
    }

    /// Notes an accepted envelope in the receipt: one whose fate is open holds it back.
    pub(super) fn note_accepted(&self, receipt: &mut Receipt, hash: EnvelopeHash) {
        if self.held_back.open.contains_key(&hash) {
            receipt.awaits.insert(hash);
        }
    }

    /// Confirms a bundle, or holds the confirmation back.
    pub(super) fn give_receipt(&mut self, now: Now, peer: PeerId, receipt: Receipt) {
        if receipt.awaits.is_empty() {
            self.confirm(peer, &receipt);
        } else {
            self.held_back.hold(now.mono, peer, receipt);
        }
    }

    fn confirm(&mut self, peer: PeerId, receipt: &Receipt) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        self.counters.confirmations_sent += 1;
        let response = confirmation::encode_response(&receipt.batch, &receipt.faults);
        if state.is_limited() {
            if !state.outbox.reply(wire::MESSAGE_RESPONSE, response) {
                self.counters.confirmations_dropped += 1;
            }
            return;
        }
        let acknowledgement = confirmation::encode_acknowledgement(&receipt.batch);
        let both = [
            (wire::MESSAGE_RESPONSE, response),
            (wire::BATCH_ACKNOWLEDGED, acknowledgement),
        ];
        self.outputs
            .extend(both.map(|(code, payload)| Output::Send {
                peer,
                code,
                payload: payload.into(),
            }));
    }

    /// Says of envelopes that what their senders wait for is done: with [`Confirmations::Held`], bundles all of whose
    /// envelopes are released are confirmed now.
    pub fn release(&mut self, hashes: &[EnvelopeHash]) {
        for hash in hashes {
            self.held_back.open.remove(hash);
        }
        let released: BTreeSet<&EnvelopeHash> = hashes.iter().collect();
        let batches = std::mem::take(&mut self.held_back.batches);
        for mut batch in batches {
            let awaits = &mut batch.receipt.awaits;
            awaits.retain(|hash| !released.contains(hash));
            if batch.receipt.awaits.is_empty() {
                self.confirm(batch.peer, &batch.receipt);
            } else {
                self.held_back.batches.push_back(batch);
            }
        }
    }

    /// Remembers a bundle of ours, if its receiver confirms bundles.
    pub(super) fn expect_answer(
        &mut self,
        peer: PeerId,
        batch: impl FnOnce() -> BatchHash,
        envelopes: &Arc<[EnvelopeHash]>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.wants().is_some_and(|wants| wants.confirmations) {
            state.pending.expect(batch(), Arc::clone(envelopes));
        }
    }

    /// Code 11.
    pub(super) fn acknowledged(&mut self, peer: PeerId, payload: &[u8]) -> Result<(), Error> {
        let batch = confirmation::decode_acknowledgement(payload)?;
        self.answered(peer, batch, std::iter::empty());
        Ok(())
    }

    /// Code 12.
    pub(super) fn responded(&mut self, peer: PeerId, payload: &[u8]) -> Result<(), Error> {
        match Reply::decode(payload)? {
            Reply::Response(response) => self.answered(peer, response.batch(), response.faults()),
            Reply::OtherVersion(version) => {
                self.counters.skipped_messages += 1;
                debug!(version, "a confirmation of another version is skipped");
            }
            Reply::Unreadable(error) => {
                self.counters.skipped_messages += 1;
                debug!(%error, "an unreadable confirmation is skipped");
            }
        }
        Ok(())
    }

    fn answered(&mut self, peer: PeerId, batch: BatchHash, faults: impl Iterator<Item = Fault>) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        match state.pending.answer(&batch) {
            Answer::First(hashes) => {
                self.counters.confirmations_received += 1;
                // Each envelope of ours has one fault at most, whatever the peer names besides.
                let mut named: BTreeMap<EnvelopeHash, Fault> = BTreeMap::new();
                for fault in faults.filter(|fault| hashes.contains(&fault.envelope)) {
                    named.entry(fault.envelope).or_insert(fault);
                }
                self.outputs.push_back(Output::Confirmed {
                    peer,
                    batch,
                    hashes,
                    faults: named.into_values().collect(),
                });
            }
            Answer::Second => {}
            Answer::Stray => self.counters.confirmations_stray += 1,
        }
    }
}

const HELD_FOR: Duration = Duration::from_millis(HELD_BATCH_MS);
