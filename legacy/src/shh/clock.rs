//! Whether our wall clock can be trusted, judged by what arrives and by the monotonic clock.
//!
//! ```text
//! envelope's sent time − our time     last 32 news of each peer ─▶ its median ─▶ median over peers = minus our skew
//! wall clock − monotonic clock        moves by 5 s between two turns ─▶ a jump: the clock is in doubt
//! in doubt                            for a minute, or until the news of peers agree with it ─▶ whoever seals waits
//! ```
//!
//! Medians twice, because one peer may lie and one sender's clock may be wrong. What arrives right after a peer's Status
//! is its pool, and says nothing of time. A peer is never sent away for skew: it may be us. Spec: Whisper v6 tolerance
//! windows.

use std::time::{Duration, Instant};

use tracing::warn;

use super::limits::{
    CLOCK_JUMP_MS, CLOCK_PAUSE_MS, CLOCK_SAMPLES_MAX, CLOCK_SAMPLES_MIN, CLOCK_WARN_EVERY_MS,
    CLOCK_WARN_S, CLOCK_WORD_MAX_S,
};
use crate::now::Now;

/// What is known about our clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockState {
    /// Seconds by which our clock is ahead of our peers' senders; negative where it is behind. Envelopes travel, so that
    /// a right clock seems one or two seconds ahead. Nothing where too little arrived.
    pub skew_s: Option<f64>,
    /// Seconds by which the wall clock jumped a moment ago, unless the news of peers have confirmed it since.
    pub jumped_s: Option<f64>,
}

impl ClockState {
    /// Whether the clock jumped and nothing says yet that it is right. What is sealed now may be from the future for
    /// everybody else, or dead before it is born: sealing waits.
    pub const fn is_in_doubt(&self) -> bool {
        self.jumped_s.is_some()
    }
}

/// Watches our clocks.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<Now>,
    jump: Option<Jump>,
    warn_at: Option<Instant>,
}

#[derive(Debug)]
struct Jump {
    by_ms: i64,
    until: Instant,
}

impl Clock {
    /// Compares both clocks with the last turn. True: the wall clock jumped, and older samples are worth nothing.
    pub(super) fn turn(&mut self, now: Now) -> bool {
        self.jump.take_if(|jump| jump.until <= now.mono);
        let Some(last) = self.last.replace(now) else {
            return false;
        };
        let passed = now.mono.saturating_duration_since(last.mono).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let by_ms = difference(now.unix_ms, last.unix_ms).saturating_sub(passed);
        if by_ms.unsigned_abs() <= CLOCK_JUMP_MS {
            return false;
        }
        let jumped_s = by_ms as f64 / 1000.0;
        warn!(
            jumped_s,
            "the clock of this machine jumped; nothing is sealed for a minute, or until peers agree with it"
        );
        let until = now.mono + Duration::from_millis(CLOCK_PAUSE_MS);
        self.jump = Some(Jump { by_ms, until });
        true
    }

    /// What is known, given the medians of the peers.
    pub(super) fn state(&self, now: Now, peers: impl Iterator<Item = i64>) -> ClockState {
        let skew_s = median(peers.collect()).map(|offset| -(offset as f64));
        // A peer that lies here ends our caution and no more: we seal as we would have without any.
        let is_confirmed = skew_s.is_some_and(|skew| skew.abs() < CLOCK_WARN_S);
        let jump = self.jump.as_ref().filter(|jump| jump.until > now.mono);
        let jump = jump.filter(|_| !is_confirmed);
        ClockState {
            skew_s,
            jumped_s: jump.map(|jump| jump.by_ms as f64 / 1000.0),
        }
    }

    /// Whether it is time to look at the skew again.
    pub(super) fn is_due(&self, now: Now) -> bool {
        self.warn_at.is_none_or(|at| at <= now.mono)
    }

    /// Warns about a skew, now and then.
    pub(super) fn judge(&mut self, now: Now, state: ClockState) {
        let Some(skew_s) = state.skew_s.filter(|skew| skew.abs() >= CLOCK_WARN_S) else {
            return;
        };
        self.warn_at = Some(now.mono + Duration::from_millis(CLOCK_WARN_EVERY_MS));
        warn!(
            skew_s,
            "our clock disagrees with those of the senders of envelopes; set it, or peers will refuse what we send"
        );
    }
}

/// How far the news of one peer are from our time.
#[derive(Debug, Default)]
pub(super) struct Samples {
    seconds: Vec<i64>,
    next: usize,
}

impl Samples {
    /// Notes when an envelope was sent that is news now.
    pub(super) fn note(&mut self, unix_s: u64, sent: u32) {
        let offset = difference(u64::from(sent), unix_s);
        if offset.unsigned_abs() > CLOCK_WORD_MAX_S {
            return;
        }
        if self.seconds.len() < CLOCK_SAMPLES_MAX {
            self.seconds.push(offset);
        } else {
            self.seconds[self.next % CLOCK_SAMPLES_MAX] = offset;
        }
        self.next = (self.next + 1) % CLOCK_SAMPLES_MAX;
    }

    pub(super) fn clear(&mut self) {
        self.seconds.clear();
        self.next = 0;
    }

    /// Their median, once there are enough.
    pub(super) fn median(&self) -> Option<i64> {
        let enough = self.seconds.len() >= CLOCK_SAMPLES_MIN;
        median(self.seconds.clone()).filter(|_| enough)
    }
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// One moment less another.
fn difference(one: u64, other: u64) -> i64 {
    let distance = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one < other { -distance } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, mono_ms: u64, unix_ms: u64) -> Now {
        Now {
            mono: start + Duration::from_millis(mono_ms),
            unix_ms,
        }
    }

    const UNIX: u64 = 1_600_000_000_000;

    #[test]
    fn clocks_that_run_together_say_nothing() {
        let (start, mut clock) = (Instant::now(), Clock::default());
        for turn in 0..100 {
            // Two per mille of drift, and an hour's pause in the middle.
            let ms = turn * 1_000 + if turn > 50 { 3_600_000 } else { 0 };
            assert!(!clock.turn(at(start, ms, UNIX + ms + turn * 2)), "{turn}");
        }
        assert_eq!(
            clock.state(at(start, 0, UNIX), std::iter::empty()),
            ClockState::default()
        );
    }

    #[test]
    fn a_jump_either_way_is_seen_and_passes() {
        for by_ms in [6_000i64, -6_000, 86_400_000] {
            let (start, mut clock) = (Instant::now(), Clock::default());
            clock.turn(at(start, 0, UNIX));
            let unix = (UNIX + 10).checked_add_signed(by_ms).unwrap_or_default();
            let then = at(start, 10, unix);
            assert!(clock.turn(then), "{by_ms}");
            let state = |clock: &Clock, now| clock.state(now, std::iter::empty()).jumped_s;
            assert_eq!(state(&clock, then), Some(by_ms as f64 / 1000.0));
            let later = at(start, 10 + CLOCK_PAUSE_MS, unix + CLOCK_PAUSE_MS);
            assert_eq!(state(&clock, later), None, "over without another turn");
            assert!(!clock.turn(later), "it jumped once");
            assert_eq!(state(&clock, later), None);
        }
        let (start, mut clock) = (Instant::now(), Clock::default());
        clock.turn(at(start, 0, UNIX));
        assert!(
            !clock.turn(at(start, 0, UNIX + CLOCK_JUMP_MS)),
            "five seconds are none"
        );
    }

    #[test]
    fn news_of_peers_end_the_doubt_if_they_agree() {
        for by_ms in [-7_000i64, 7_000] {
            let (start, mut clock) = (Instant::now(), Clock::default());
            clock.turn(at(start, 0, UNIX));
            let unix = UNIX.checked_add_signed(by_ms).unwrap_or_default();
            let then = at(start, 10, unix);
            assert!(clock.turn(then));
            let doubt = |offsets: &[i64]| clock.state(then, offsets.iter().copied()).is_in_doubt();
            assert!(doubt(&[]), "nobody says anything");
            assert!(doubt(&[-by_ms / 1000]), "they say that it was right before");
            assert!(doubt(&[5]), "half of what peers tolerate is too much");
            assert!(!doubt(&[-1]) && !doubt(&[4]));
        }
    }

    #[test]
    fn the_median_of_news_is_what_counts() {
        let mut samples = Samples::default();
        for _ in 1..CLOCK_SAMPLES_MIN {
            samples.note(1_000_000, 1_000_007);
        }
        assert_eq!(samples.median(), None, "too few");
        samples.note(1_000_000, 1_000_007);
        samples.note(1_000_000, 999_900);
        samples.note(1_000_000, 0);
        assert_eq!(
            samples.median(),
            Some(7),
            "the odd one and the absurd one do not matter"
        );
        for _ in 0..CLOCK_SAMPLES_MAX {
            samples.note(1_000_000, 999_998);
        }
        assert_eq!(
            (samples.median(), samples.seconds.len()),
            (Some(-2), CLOCK_SAMPLES_MAX)
        );
        samples.clear();
        assert_eq!(samples.median(), None);
    }

    #[test]
    fn most_peers_are_believed() {
        let (start, clock) = (Instant::now(), Clock::default());
        let skew = |peers: &[i64]| {
            clock
                .state(at(start, 0, UNIX), peers.iter().copied())
                .skew_s
        };
        assert_eq!(skew(&[]), None);
        assert_eq!(skew(&[-1]), Some(1.0));
        assert_eq!(skew(&[-1, -1, 9]), Some(1.0), "one liar");
        assert_eq!(skew(&[9, 9, -1]), Some(-9.0));
    }

    #[test]
    fn warnings_are_rare() {
        let (start, mut clock) = (Instant::now(), Clock::default());
        let state = |skew_s| ClockState {
            skew_s,
            jumped_s: None,
        };
        let now = at(start, 0, UNIX);
        clock.judge(now, state(Some(4.0)));
        assert!(clock.is_due(now), "no reason to warn");
        clock.judge(now, state(Some(-5.0)));
        assert!(!clock.is_due(now));
        assert!(clock.is_due(at(start, CLOCK_WARN_EVERY_MS, UNIX)));
    }
}
