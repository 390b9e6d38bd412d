//! Virtual time and made-up envelopes.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::identity::NodeId;
use crate::now::Now;
use crate::shh::bloom::Bloom;
use crate::shh::envelope::{Draft, Envelope};
use crate::shh::pow;
use crate::shh::topic::Topic;
use crate::shh::wire::Status;

/// The wall clock at the beginning.
pub(super) const START: u32 = 1_600_000_000;

/// So many milliseconds after the beginning.
pub(super) fn at(ms: u64) -> Now {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(Instant::now);
    Now {
        mono: epoch + Duration::from_millis(ms),
        unix_ms: u64::from(START) * 1000 + ms,
    }
}

pub(super) fn node_id(peer: u64) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&peer.to_be_bytes());
    NodeId::new(bytes)
}

/// The Status of a full node.
pub(super) fn stranger(min_pow: f64) -> Status {
    Status {
        min_pow,
        bloom: None,
        light: false,
        confirmations: false,
        rate_limits: None,
    }
}

/// A small envelope with a ttl of ten seconds, or less than two minutes ahead with one that reaches back to now.
pub(super) fn mined(expiry: u32, number: u64) -> Envelope {
    let ttl = if expiry > START + 10 {
        expiry - START
    } else {
        10
    };
    let draft = Draft::new(
        expiry,
        ttl.min(120),
        Topic::of_name("test"),
        &number.to_be_bytes(),
    );
    seal(&draft, 0.002)
}

/// An envelope whose work lies just above the target, and well below four times of it.
pub(super) fn mined_with(expiry: u32, ttl: u32, data: &[u8], target: f64) -> Envelope {
    seal(
        &Draft::new(expiry, ttl, Topic::of_name(&hex::encode(data)), data),
        target,
    )
}

fn seal(draft: &Draft, target: f64) -> Envelope {
    let short = draft.short_rlp();
    let needed = draft.search(target, 10).bits();
    let nonce = (0..).find(|nonce| {
        let bits = pow::zero_bits(&pow::proof(&[&short], *nonce));
        if target < 0.001 {
            bits == 0
        } else {
            bits == needed
        }
    });
    draft.finish(nonce.expect("some nonce has exactly these bits"))
}

/// The filter of one envelope's topic.
pub(super) fn bloom_of(envelope: &Envelope) -> Bloom {
    Bloom::of_topics([envelope.topic()])
}
