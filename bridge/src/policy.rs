//! What a bridge takes into Whisper. spec: post pipeline of the gateway.
//!
//! Cheap checks first, and every check that forbids the envelope before the one that only says it came late:
//! what is refused here is never sealed anew.

use crate::port::EnvelopeFacts;

// From the specification.

/// The shortest time to live of a post, seconds.
pub const TTL_MIN_S: u32 = 10;
/// The longest.
pub const TTL_MAX_S: u32 = 300;
/// The largest envelope, as Whisper counts: 20 + data.
pub const SIZE_MAX: u32 = 1 << 20;
/// How far ahead of our clock an envelope may have been sent.
pub const FUTURE_MAX_S: u32 = 10;
/// The least proof of work.
pub const POW_MIN: f64 = 0.002;
/// Above this size the least proof of work is [`POW_MIN_LARGE`].
pub const LARGE_SIZE: u32 = 50_000;
/// The least proof of work of a large envelope.
pub const POW_MIN_LARGE: f64 = 0.000_002;
/// Envelopes are sealed anew for whole slots of this length, so that several bridges make the same bytes.
pub const RESEAL_SLOT_S: u32 = 16;
/// How far ahead of our clock the send time of an envelope sealed anew may be when it is published.
pub const RESEAL_AHEAD_S: u32 = 5;
/// How often an envelope is sealed anew at most.
pub const RESEALS_MAX: u32 = 3;
/// A second post of the same content within this time is answered like the first.
pub const REPEAT_S: u32 = 60;

// Our own.

/// An envelope that expires within this time is taken as expired: it would not cross Whisper.
pub const LAST_MOMENT_S: u32 = 1;

/// Why an envelope is not taken.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// Outside the allowed times to live.
    #[error("time to live {ttl} s is not within {TTL_MIN_S} to {TTL_MAX_S} s")]
    Ttl {
        /// Seconds.
        ttl: u32,
    },
    /// Larger than Whisper takes.
    #[error("size {size} is above {SIZE_MAX}")]
    Size {
        /// 20 + data.
        size: u32,
    },
    /// Sent in the future.
    #[error("sent {ahead} s ahead of the clock, more than {FUTURE_MAX_S}")]
    Future {
        /// Seconds.
        ahead: u32,
    },
    /// Too little work.
    #[error("proof of work {pow} is below {least}")]
    LowPow {
        /// What it has.
        pow: f64,
        /// What it needs.
        least: f64,
    },
}

/// Whether an allowed envelope can go out as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Whisper still takes it.
    Valid,
    /// Too late, or about to be.
    Expired,
}

/// Whether an envelope may be posted, and whether there is time.
pub fn check_post(facts: &EnvelopeFacts, now_s: u32) -> Result<Timing, Forbidden> {
    if !(TTL_MIN_S..=TTL_MAX_S).contains(&facts.ttl) {
        return Err(Forbidden::Ttl { ttl: facts.ttl });
    }
    if facts.size > SIZE_MAX {
        return Err(Forbidden::Size { size: facts.size });
    }
    let ahead = facts.sent.saturating_sub(now_s);
    if ahead > FUTURE_MAX_S {
        return Err(Forbidden::Future { ahead });
    }
    let least = pow_min(facts.size);
    // Written so that a proof of work that is not a number is refused.
    if !(facts.pow.is_finite() && facts.pow >= least) {
        return Err(Forbidden::LowPow {
            pow: facts.pow,
            least,
        });
    }
    Ok(timing(facts.expiry, now_s))
}

/// Whether an envelope with this expiry can still cross Whisper.
pub fn timing(expiry: u32, now_s: u32) -> Timing {
    if expiry <= now_s.saturating_add(LAST_MOMENT_S) {
        Timing::Expired
    } else {
        Timing::Valid
    }
}

/// The least proof of work of an envelope of this size.
pub fn pow_min(size: u32) -> f64 {
    if size > LARGE_SIZE {
        POW_MIN_LARGE
    } else {
        POW_MIN
    }
}

/// The expiry with which an envelope is sealed anew now: every bridge that does so in the same slot gets the same.
pub fn reseal_expiry(now_s: u32, ttl: u32) -> u32 {
    now_s
        .div_ceil(RESEAL_SLOT_S)
        .saturating_mul(RESEAL_SLOT_S)
        .saturating_add(ttl)
}

/// When an envelope with this send time may be published, Unix seconds.
pub fn publish_from(sent: u32) -> u32 {
    sent.saturating_sub(RESEAL_AHEAD_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> EnvelopeFacts {
        EnvelopeFacts {
            hash: [1; 32],
            content_id: [2; 32],
            topic: [3; 4],
            sent: 1000,
            expiry: 1015,
            ttl: 15,
            size: 1000,
            pow: 0.002,
        }
    }

    #[test]
    fn a_good_post_is_valid_until_just_before_its_expiry() {
        assert_eq!(check_post(&facts(), 1000), Ok(Timing::Valid));
        assert_eq!(check_post(&facts(), 990), Ok(Timing::Valid));
        assert_eq!(check_post(&facts(), 1013), Ok(Timing::Valid));
        assert_eq!(check_post(&facts(), 1014), Ok(Timing::Expired));
        assert_eq!(check_post(&facts(), u32::MAX), Ok(Timing::Expired));
    }

    #[test]
    fn what_is_forbidden_is_forbidden_even_when_it_is_late() {
        for now_s in [1000, 5000] {
            for ttl in [0, 9, 301, 1_000_000] {
                let refused = check_post(&EnvelopeFacts { ttl, ..facts() }, now_s);
                assert_eq!(refused, Err(Forbidden::Ttl { ttl }));
            }
            let size = SIZE_MAX + 1;
            let refused = check_post(&EnvelopeFacts { size, ..facts() }, now_s);
            assert_eq!(refused, Err(Forbidden::Size { size }));
            for pow in [0.0, 0.001_999, f64::NEG_INFINITY, f64::INFINITY, f64::NAN] {
                let refused = check_post(&EnvelopeFacts { pow, ..facts() }, now_s);
                assert!(matches!(refused, Err(Forbidden::LowPow { .. })), "{pow}");
            }
        }
        assert_eq!(
            check_post(&facts(), 989),
            Err(Forbidden::Future { ahead: 11 })
        );
    }

    #[test]
    fn large_envelopes_need_less_work() {
        let large = EnvelopeFacts {
            size: LARGE_SIZE + 1,
            pow: 0.000_002,
            ..facts()
        };
        assert_eq!(check_post(&large, 1000), Ok(Timing::Valid));
        let just_not = EnvelopeFacts {
            size: LARGE_SIZE,
            ..large
        };
        assert!(matches!(
            check_post(&just_not, 1000),
            Err(Forbidden::LowPow { .. })
        ));
    }

    #[test]
    fn resealing_in_one_slot_gives_one_expiry() {
        let expiries: Vec<u32> = (1601..=1616).map(|now| reseal_expiry(now, 90)).collect();
        assert!(
            expiries.iter().all(|expiry| *expiry == 1616 + 90),
            "{expiries:?}"
        );
        assert_eq!(reseal_expiry(1617, 90), 1632 + 90);
        assert_eq!(publish_from(1616), 1611);
    }
}
