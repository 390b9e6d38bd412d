//! The life of each envelope that this node handled, for `/v1/messages/{hash}`.
//!
//! A life is the list of stages that an envelope passed, each with its time and, for a refusal, its
//! reason. Only the newest [`LIVES_MAX`] lives are kept, in memory: this is for looking at a node,
//! not for its promise.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bridge::port::{Stage, Trace};
use serde::Serialize;

/// Lives that are kept; the oldest is dropped for a new one. At 5 steps about 300 bytes each: 6 MiB.
pub const LIVES_MAX: usize = 20_000;

/// Steps of one life; further ones are counted. An envelope delivered to many clients repeats steps.
pub const STEPS_MAX: usize = 32;

/// One stage that an envelope passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub stage: &'static str,
    /// When, Unix milliseconds.
    pub at_unix_ms: u64,
    /// Why, for a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Everything that happened to one envelope here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Life {
    /// In the order in which it happened.
    pub stages: Vec<Step>,
    /// Steps that did not fit.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// The lives of envelopes, by hash.
#[derive(Debug, Default)]
pub struct Ledger {
    lives: BTreeMap<[u8; 32], Life>,
    order: VecDeque<[u8; 32]>,
    dropped: u64,
}

impl Ledger {
    /// Notes one event.
    pub fn record(&mut self, trace: &Trace) {
        if !self.lives.contains_key(&trace.hash) {
            self.make_room();
            self.order.push_back(trace.hash);
        }
        let life = self.lives.entry(trace.hash).or_default();
        if life.stages.len() < STEPS_MAX {
            let Trace {
                stage,
                at_unix_ms,
                reason,
                ..
            } = *trace;
            life.stages.push(Step {
                stage: stage.as_str(),
                at_unix_ms,
                reason,
            });
        } else {
            life.left_out += 1;
        }
    }

    /// Notes a stage at a time.
    pub fn note(&mut self, hash: [u8; 32], stage: Stage, at_unix_ms: u64) {
        self.record(&Trace {
            hash,
            stage,
            at_unix_ms,
            reason: None,
        });
    }

    /// The life of an envelope, if it is among the newest.
    pub fn life(&self, hash: &[u8; 32]) -> Option<&Life> {
        self.lives.get(hash)
    }

    /// Lives that are kept.
    pub fn len(&self) -> usize {
        self.lives.len()
    }

    /// Whether nothing happened yet.
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// Lives that were dropped for newer ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn make_room(&mut self) {
        while self.order.len() >= LIVES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.lives.remove(&oldest);
                self.dropped += 1;
            }
        }
    }
}

/// A ledger that the adapters write and the API reads.
#[derive(Debug, Clone, Default)]
pub struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    /// The ledger. Each use is a few map operations; a panic in one of them leaves it usable.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(n as u64).to_be_bytes());
        hash
    }

    #[test]
    fn a_life_keeps_its_order_and_reasons() {
        let mut ledger = Ledger::default();
        ledger.note(hash(1), Stage::Accepted, 5);
        ledger.note(hash(2), Stage::Accepted, 6);
        let refused = Trace {
            hash: hash(1),
            stage: Stage::Refused,
            at_unix_ms: 9,
            reason: Some("expired"),
        };
        ledger.record(&refused);
        let life = ledger.life(&hash(1)).unwrap();
        assert_eq!(
            serde_json::to_value(life).unwrap(),
            serde_json::json!({"stages": [
                {"stage": "accepted", "at_unix_ms": 5},
                {"stage": "refused", "at_unix_ms": 9, "reason": "expired"}
            ]})
        );
        assert_eq!(ledger.life(&hash(3)), None);
    }

    #[test]
    fn the_oldest_life_makes_room() {
        let mut ledger = Ledger::default();
        for n in 0..=LIVES_MAX {
            ledger.note(hash(n), Stage::Accepted, 0);
        }
        ledger.note(hash(1), Stage::Acked, 1);
        assert_eq!((ledger.len(), ledger.dropped()), (LIVES_MAX, 1));
        assert_eq!(ledger.life(&hash(0)), None);
        assert_eq!(ledger.life(&hash(1)).unwrap().stages.len(), 2);
    }

    #[test]
    fn one_life_cannot_grow_for_ever() {
        let mut ledger = Ledger::default();
        for at in 0..100 {
            ledger.note(hash(1), Stage::Delivered, at);
        }
        let life = ledger.life(&hash(1)).unwrap();
        assert_eq!(
            (life.stages.len(), life.left_out),
            (STEPS_MAX, 100 - STEPS_MAX as u64)
        );
    }
}
