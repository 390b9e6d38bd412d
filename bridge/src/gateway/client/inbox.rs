//! Envelopes that came from the bridge, until the local client has them: `hash → received (8, Unix ms) ‖ RLP`.
//!
//! They are on the disk before the bridge may forget them. One that the local client was not seen to take is handed over
//! again after a restart; it recognises what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::turn::{Effect, Turn};
use super::{OWN_CONTENT, OWN_HASH};
use crate::counters::{Direction, DropReason};
use crate::port::{Envelope, EnvelopeHash, Stage};
use crate::seen;
use crate::store::{Family, StoreError, scan_all};

/// How long an envelope is kept for a local client that does not take it.
const KEEP_MS: u64 = 24 * 3600 * 1000;
/// Envelopes kept; the oldest goes first.
const KEPT_MAX: usize = 16_384;
/// Bytes kept.
const KEPT_BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
pub(super) struct Inbox {
    kept: BTreeMap<EnvelopeHash, (u64, usize)>,
    by_age: BTreeSet<(u64, EnvelopeHash)>,
    bytes: usize,
}

impl Inbox {
    /// What the store holds is handed over again.
    pub(super) fn open(turn: &mut Turn<'_>) -> Result<Self, StoreError> {
        let mut inbox = Self::default();
        let store = turn.ledger.store();
        scan_all(&*store, Family::Envelopes, b"", |key, value| {
            let corrupt = || StoreError::corrupt(Family::Envelopes);
            let hash: EnvelopeHash = key.try_into().map_err(|_| corrupt())?;
            let (received, rlp) = value.split_first_chunk::<8>().ok_or_else(corrupt)?;
            let facts = turn.config.inspect.inspect(rlp).map_err(|_| corrupt())?;
            inbox.keep(hash, u64::from_be_bytes(*received), rlp.len());
            turn.ledger.effect(Effect::Deliver(Envelope {
                rlp: Arc::from(rlp),
                facts,
            }));
            Ok(())
        })?;
        inbox.sweep(turn);
        Ok(inbox)
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// An envelope from the bridge, delivered unless it was here.
    pub(super) fn take(
        &mut self,
        turn: &mut Turn<'_>,
        envelope: Envelope,
    ) -> Result<(), StoreError> {
        let facts = envelope.facts;
        let now_s = turn.now.unix();
        let known = seen::contains(turn.ledger, &OWN_HASH, &facts.hash, now_s)?
            || seen::contains(turn.ledger, &OWN_CONTENT, &facts.content_id, now_s)?;
        if known {
            turn.drop(DropReason::Duplicate);
            return Ok(());
        }
        seen::note(turn.ledger, &OWN_HASH, &facts.hash, now_s);
        seen::note(turn.ledger, &OWN_CONTENT, &facts.content_id, now_s);
        let received = turn.now.unix_ms;
        let value = [received.to_be_bytes().as_slice(), &envelope.rlp].concat();
        turn.ledger.put(Family::Envelopes, facts.hash, value);
        self.keep(facts.hash, received, envelope.rlp.len());
        turn.counters.transfer(Direction::ToMix);
        turn.trace(facts.hash, Stage::Accepted);
        turn.trace_when_durable(facts.hash, Stage::Committed);
        turn.ledger.effect(Effect::Deliver(envelope));
        turn.trace_when_durable(facts.hash, Stage::Delivered);
        self.sweep(turn);
        Ok(())
    }

    /// The local client has it.
    pub(super) fn handed(&mut self, turn: &mut Turn<'_>, hash: EnvelopeHash) {
        self.remove(turn, hash);
    }

    fn keep(&mut self, hash: EnvelopeHash, received: u64, len: usize) {
        self.kept.insert(hash, (received, len));
        self.by_age.insert((received, hash));
        self.bytes += len;
    }

    /// Removes what is too old or too much.
    fn sweep(&mut self, turn: &mut Turn<'_>) {
        while let Some((received, hash)) = self.by_age.first().copied() {
            let is_old = received.saturating_add(KEEP_MS) < turn.now.unix_ms;
            if !is_old && self.kept.len() <= KEPT_MAX && self.bytes <= KEPT_BYTES_MAX {
                return;
            }
            self.remove(turn, hash);
        }
    }

    fn remove(&mut self, turn: &mut Turn<'_>, hash: EnvelopeHash) {
        let Some((received, len)) = self.kept.remove(&hash) else {
            return;
        };
        self.by_age.remove(&(received, hash));
        self.bytes = self.bytes.saturating_sub(len);
        turn.ledger.delete(Family::Envelopes, hash);
    }
}
