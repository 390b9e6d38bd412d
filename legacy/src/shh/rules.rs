//! What this node accepts: the checks of an arriving envelope, cheap ones first, and why one is refused.
//!
//! A change of our own proof of work or bloom leaves the old value honoured for a while, because peers that have not
//! heard of it are not at fault. Spec: Whisper v6 receiving envelopes, tolerance windows.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::bloom::Bloom;
use super::envelope::Fields;
use super::limits::{FUTURE_TOLERANCE, LATE_TOLERANCE, TOLERANCE_WINDOW_MS};
use super::topic::Topic;

/// Why an envelope is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Reject {
    /// Its life has no length, which would make its work infinite.
    #[error("an envelope with a ttl of zero")]
    ZeroTtl,
    /// It would have been sent before time began.
    #[error("a ttl of {ttl} s above an expiry of {expiry}")]
    TtlAboveExpiry {
        /// Seconds of life.
        ttl: u32,
        /// Unix second of death.
        expiry: u32,
    },
    /// It would fill the pool for longer than we keep anything.
    #[error("a ttl of {ttl} s where {max} s are allowed")]
    TtlTooLong {
        /// Seconds of life.
        ttl: u32,
        /// Seconds allowed.
        max: u32,
    },
    /// It was sent later than any honest clock says.
    #[error("sent {ahead} s in the future")]
    InFuture {
        /// Seconds ahead of our clock.
        ahead: u32,
    },
    /// It died on the way.
    #[error("expired {ago} s ago")]
    Expired {
        /// Seconds since its death.
        ago: u32,
    },
    /// It died so long ago that its sender must have known.
    #[error("expired {ago} s ago")]
    VeryOld {
        /// Seconds since its death.
        ago: u32,
    },
    /// It exceeds the size limit.
    #[error("an envelope of {size} bytes where {max} are allowed")]
    Oversized {
        /// Bytes by the size rule.
        size: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Its nonce proves too little work.
    #[error("a proof of work of {pow} where {required} is asked for")]
    LowPow {
        /// Work proved.
        pow: f64,
        /// Work asked for.
        required: f64,
    },
    /// We did not ask for its topic.
    #[error("its topic is not in our bloom filter")]
    NoBloomMatch,
    /// The pool holds nothing that would give way to it.
    #[error("the pool is full of envelopes with more work")]
    PoolFull,
}

impl Reject {
    /// Name of the reason in metrics and receipts.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Reject::ZeroTtl => "zero_ttl",
            Reject::TtlAboveExpiry { .. } => "ttl_above_expiry",
            Reject::TtlTooLong { .. } => "ttl_too_long",
            Reject::InFuture { .. } => "in_future",
            Reject::Expired { .. } => "expired",
            Reject::VeryOld { .. } => "very_old",
            Reject::Oversized { .. } => "oversized",
            Reject::LowPow { .. } => "low_pow",
            Reject::NoBloomMatch => "no_bloom_match",
            Reject::PoolFull => "pool_full",
        }
    }

    /// Whether a wrong clock, ours or the sender's, explains it.
    pub const fn is_about_time(&self) -> bool {
        match self {
            Reject::InFuture { .. } | Reject::Expired { .. } | Reject::VeryOld { .. } => true,
            Reject::ZeroTtl
            | Reject::TtlAboveExpiry { .. }
            | Reject::TtlTooLong { .. }
            | Reject::Oversized { .. }
            | Reject::LowPow { .. }
            | Reject::NoBloomMatch
            | Reject::PoolFull => false,
        }
    }

    /// Every name that [`Reject::as_str`] gives.
    pub const ALL: [&'static str; 10] = [
        "zero_ttl",
        "ttl_above_expiry",
        "ttl_too_long",
        "in_future",
        "expired",
        "very_old",
        "oversized",
        "low_pow",
        "no_bloom_match",
        "pool_full",
    ];
}

/// Checks of time that need nothing but the envelope's numbers.
pub fn check_times(fields: &Fields, now: u32, ttl_max: u32) -> Result<(), Reject> {
    let (expiry, ttl, sent) = (fields.expiry(), fields.ttl(), fields.sent());
    if ttl == 0 {
        return Err(Reject::ZeroTtl);
    }
    if ttl > expiry {
        return Err(Reject::TtlAboveExpiry { ttl, expiry });
    }
    if sent.saturating_sub(now) > FUTURE_TOLERANCE {
        return Err(Reject::InFuture { ahead: sent - now });
    }
    match now.saturating_sub(expiry) {
        0 => {}
        ago @ 1..=LATE_TOLERANCE => return Err(Reject::Expired { ago }),
        ago => return Err(Reject::VeryOld { ago }),
    }
    if ttl > ttl_max {
        return Err(Reject::TtlTooLong { ttl, max: ttl_max });
    }
    Ok(())
}

/// Check of size.
pub fn check_size(fields: &Fields, max: usize) -> Result<(), Reject> {
    match fields.size() {
        size if size > max => Err(Reject::Oversized { size, max }),
        _ => Ok(()),
    }
}

/// What we ask of envelopes now, and what we asked a moment ago.
#[derive(Clone, Debug)]
pub(super) struct Demands {
    min_pow: f64,
    bloom: Option<Bloom>,
    tolerated_pow: Option<(f64, Instant)>,
    tolerated_bloom: Option<(Option<Bloom>, Instant)>,
}

impl Demands {
    pub(super) fn new(min_pow: f64, bloom: Option<Bloom>) -> Demands {
        Demands {
            min_pow,
            bloom: wanted(bloom),
            tolerated_pow: None,
            tolerated_bloom: None,
        }
    }

    pub(super) fn min_pow(&self) -> f64 {
        self.min_pow
    }

    /// The filter, where there is one that excludes anything.
    pub(super) fn bloom(&self) -> Option<Bloom> {
        self.bloom
    }

    pub(super) fn set_min_pow(&mut self, mono: Instant, min_pow: f64) {
        self.forget(mono);
        let lowest = self
            .tolerated_pow
            .map_or(self.min_pow, |(old, _)| old.min(self.min_pow));
        self.tolerated_pow = Some((lowest, mono + WINDOW));
        self.min_pow = min_pow;
    }

    pub(super) fn set_bloom(&mut self, mono: Instant, bloom: Option<Bloom>) {
        self.forget(mono);
        let widest = match (self.tolerated_bloom, self.bloom) {
            (Some((Some(mut old), _)), Some(current)) => {
                old.merge(&current);
                Some(old)
            }
            (None, current) => current,
            (Some(_), _) => None,
        };
        self.tolerated_bloom = Some((widest, mono + WINDOW));
        self.bloom = wanted(bloom);
    }

    /// Drops what was tolerated for long enough.
    pub(super) fn forget(&mut self, mono: Instant) {
        self.tolerated_pow.take_if(|(_, until)| *until <= mono);
        self.tolerated_bloom.take_if(|(_, until)| *until <= mono);
    }

    pub(super) fn check_pow(&self, pow: f64) -> Result<(), Reject> {
        let required = self
            .tolerated_pow
            .map_or(self.min_pow, |(old, _)| old.min(self.min_pow));
        if pow < required {
            Err(Reject::LowPow { pow, required })
        } else {
            Ok(())
        }
    }

    pub(super) fn check_bloom(&self, topic: Topic) -> Result<(), Reject> {
        let wants = |bloom: &Option<Bloom>| bloom.as_ref().is_none_or(|bloom| bloom.wants(topic));
        let accepted = wants(&self.bloom)
            || self
                .tolerated_bloom
                .as_ref()
                .is_some_and(|(old, _)| wants(old));
        if accepted {
            Ok(())
        } else {
            Err(Reject::NoBloomMatch)
        }
    }
}

fn wanted(bloom: Option<Bloom>) -> Option<Bloom> {
    bloom.filter(|bloom| !bloom.is_full())
}

const WINDOW: Duration = Duration::from_millis(TOLERANCE_WINDOW_MS);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::shh::envelope::Draft;
    use crate::shh::limits::{ENVELOPE_LEN_MAX, TTL_MAX};

    const NOW: u32 = 1_600_000_000;

    fn times(expiry: u32, ttl: u32) -> Result<(), Reject> {
        check_times(
            Draft::new(expiry, ttl, Topic::default(), b"")
                .finish(0)
                .fields(),
            NOW,
            TTL_MAX,
        )
    }

    #[test]
    fn the_window_of_time() {
        assert_eq!(times(NOW, 10), Ok(()));
        assert_eq!(times(NOW + 10, 10), Ok(()));
        assert_eq!(times(NOW + 20, 10), Ok(()), "ten seconds ahead");
        assert_eq!(times(NOW + 21, 10), Err(Reject::InFuture { ahead: 11 }));
        assert_eq!(times(NOW - 1, 10), Err(Reject::Expired { ago: 1 }));
        assert_eq!(times(NOW - 20, 10), Err(Reject::Expired { ago: 20 }));
        assert_eq!(times(NOW - 21, 10), Err(Reject::VeryOld { ago: 21 }));
    }

    #[test]
    fn crafted_lives() {
        assert_eq!(times(NOW, 0), Err(Reject::ZeroTtl));
        assert_eq!(
            times(NOW + 5, u32::MAX),
            Err(Reject::TtlAboveExpiry {
                ttl: u32::MAX,
                expiry: NOW + 5
            })
        );
        assert_eq!(
            times(5, 6),
            Err(Reject::TtlAboveExpiry { ttl: 6, expiry: 5 })
        );
        assert_eq!(times(0, 0), Err(Reject::ZeroTtl));
        assert_eq!(
            times(u32::MAX, 10),
            Err(Reject::InFuture {
                ahead: u32::MAX - 10 - NOW
            })
        );
        assert_eq!(
            times(u32::MAX, u32::MAX - NOW),
            Err(Reject::TtlTooLong {
                ttl: u32::MAX - NOW,
                max: TTL_MAX
            })
        );
        assert_eq!(times(NOW + TTL_MAX, TTL_MAX), Ok(()));
    }

    #[test]
    fn the_size_rule() {
        let of = |len: usize| {
            check_size(
                Draft::new(NOW, 10, Topic::default(), &vec![0; len])
                    .finish(0)
                    .fields(),
                ENVELOPE_LEN_MAX,
            )
        };
        assert_eq!(of(ENVELOPE_LEN_MAX - 20), Ok(()));
        let size = ENVELOPE_LEN_MAX + 1;
        assert_eq!(
            of(ENVELOPE_LEN_MAX - 19),
            Err(Reject::Oversized {
                size,
                max: ENVELOPE_LEN_MAX
            })
        );
    }

    #[test]
    fn old_demands_are_honoured_for_a_while() {
        let start = Instant::now();
        let topic = Topic::of_name("status");
        let mut demands = Demands::new(0.002, None);
        demands.set_min_pow(start, 0.5);
        demands.set_bloom(start, Some(Bloom::EMPTY));
        assert_eq!(
            (demands.check_pow(0.002), demands.check_bloom(topic)),
            (Ok(()), Ok(()))
        );
        assert_eq!(
            demands.check_pow(0.001),
            Err(Reject::LowPow {
                pow: 0.001,
                required: 0.002
            })
        );
        demands.forget(start + WINDOW - Duration::from_millis(1));
        assert_eq!(demands.check_bloom(topic), Ok(()));
        demands.forget(start + WINDOW);
        assert_eq!(
            demands.check_pow(0.4),
            Err(Reject::LowPow {
                pow: 0.4,
                required: 0.5
            })
        );
        assert_eq!(demands.check_bloom(topic), Err(Reject::NoBloomMatch));
        demands.set_min_pow(start + WINDOW, 0.1);
        assert_eq!(demands.check_pow(0.1), Ok(()), "lowering holds at once");
    }

    #[test]
    fn two_changes_keep_the_widest() {
        let start = Instant::now();
        let (one, two, three) = (
            Topic::of_name("one"),
            Topic::of_name("two"),
            Topic::of_name("three"),
        );
        let mut demands = Demands::new(0.1, Some(Bloom::of_topics([one])));
        demands.set_bloom(start, Some(Bloom::of_topics([two])));
        demands.set_bloom(start, Some(Bloom::of_topics([three])));
        demands.set_min_pow(start, 0.2);
        demands.set_min_pow(start, 0.3);
        assert!(
            [one, two, three]
                .into_iter()
                .all(|topic| demands.check_bloom(topic).is_ok())
        );
        assert_eq!(demands.check_pow(0.1), Ok(()));
    }

    #[test]
    fn reasons_are_a_closed_list() {
        let some = [
            Reject::ZeroTtl,
            Reject::PoolFull,
            Reject::NoBloomMatch,
            Reject::InFuture { ahead: 11 },
        ];
        assert!(
            some.iter()
                .all(|reject| Reject::ALL.contains(&reject.as_str()))
        );
        let distinct: std::collections::BTreeSet<_> = Reject::ALL.into_iter().collect();
        assert_eq!(distinct.len(), Reject::ALL.len());
    }
}
