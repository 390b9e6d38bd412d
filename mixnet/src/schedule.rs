//! Poisson clocks: when a client sends.
//!
//! A client has three independent clocks (payload slot, loop, drop cover), a relay one more for
//! its own loops (Loopix). Outside its window a client's clocks run at the idle rate, which their rates share as before. Each clock draws its gaps from a random stream of its own, so that what
//! is sent in a slot can never move a later slot: with a full or an empty queue the times are the
//! same to the nanosecond. Their sum is again Poisson, so an observer sees one rate.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;

use crate::delay::exponential;

// ---- Our constants ----

/// A clock that is read later than this after a slot (a suspended machine, a stalled process)
/// forgets the slots that it missed instead of sending them in one burst.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// A clock that ticks with exponential gaps.
pub(crate) struct PoissonClock {
    mean_gap: Duration,
    next: Option<Instant>,
    rng: ChaCha20Rng,
}

impl PoissonClock {
    /// A clock of `rate` ticks a second from `start` on. A rate of zero never ticks.
    pub(crate) fn new(rate: f64, start: Instant, mut rng: ChaCha20Rng) -> Self {
        if rate <= 0.0 {
            return Self {
                mean_gap: Duration::ZERO,
                next: None,
                rng,
            };
        }
        let mean_gap = Duration::from_secs_f64(1.0 / rate);
        let next = Some(start + exponential(&mut rng, mean_gap));
        Self {
            mean_gap,
            next,
            rng,
        }
    }

    /// Ticks at another rate from now on. What was left to wait is stretched: of an exponential time what is left is exponential
    /// whenever one looks, so the gap is again an exponential one, of the new mean, and no randomness is drawn for it. A clock
    /// that never ticks stays one.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: f64) {
        let Some(due) = self.next.filter(|_| rate > 0.0) else {
            return;
        };
        let mean_gap = Duration::from_secs_f64(1.0 / rate);
        let left = due.saturating_duration_since(now);
        let stretch = mean_gap.as_secs_f64() / self.mean_gap.as_secs_f64();
        self.mean_gap = mean_gap;
        self.next = Some(now + left.mul_f64(stretch));
    }

    /// Whether a tick is due; if so the next one is drawn. Call until false.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        let Some(due) = self.next.filter(|due| *due <= now) else {
            return false;
        };
        let gap = exponential(&mut self.rng, self.mean_gap);
        let from = if now.duration_since(due) > CATCH_UP_MAX {
            now
        } else {
            due
        };
        self.next = Some(from + gap);
        true
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Ticks no more.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn clock(rate: f64, start: Instant) -> PoissonClock {
        PoissonClock::new(rate, start, ChaCha20Rng::from_seed([9; 32]))
    }

    #[test]
    fn the_rate_is_kept() {
        let start = Instant::now();
        let mut clock = clock(4.0, start);
        let end = start + Duration::from_secs(10_000);
        let mut ticks = 0u32;
        while let Some(due) = clock.next_deadline().filter(|due| *due < end) {
            assert!(!clock.tick(due - Duration::from_nanos(1)));
            assert!(clock.tick(due));
            ticks += 1;
        }
        // Three standard deviations of a Poisson count of 40,000.
        assert!((39_400..=40_600).contains(&ticks), "{ticks}");
    }

    #[test]
    fn a_late_reader_does_not_move_the_clock_but_a_long_sleep_sends_no_burst() {
        let start = Instant::now();
        let mut exact = clock(4.0, start);
        let mut late = clock(4.0, start);
        for _ in 0..50 {
            let due = exact.next_deadline().unwrap();
            assert!(exact.tick(due));
            assert!(late.tick(due + Duration::from_millis(100)));
            assert_eq!(exact.next_deadline(), late.next_deadline());
        }
        let woken = start + Duration::from_secs(3600);
        let mut burst = 0;
        while late.tick(woken) {
            burst += 1;
        }
        assert_eq!(burst, 1);
    }

    /// Gaps across changes of the rate, in units of the mean at the time, are those of an exponential clock.
    #[test]
    fn another_rate_takes_effect_at_once_and_stays_poisson() {
        let start = Instant::now();
        let mut clock = clock(5.0, start);
        let (mut now, mut counts) = (start, [0u32; 2]);
        // Fast for a minute, slow for ten, again and again; what is due is taken when it is due.
        for turn in 0..400 {
            let slow = turn % 2;
            let (rate, length) = if slow == 1 { (0.1, 600) } else { (5.0, 60) };
            clock.set_rate(now, rate);
            let end = now + Duration::from_secs(length);
            while let Some(due) = clock.next_deadline().filter(|due| *due < end) {
                assert!(clock.tick(due));
                counts[slow] += 1;
            }
            now = end;
        }
        // Three standard deviations of Poisson counts of 60,000 and 12,000.
        assert!((59_265..=60_735).contains(&counts[0]), "{counts:?}");
        assert!((11_671..=12_329).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn a_stopped_clock_and_a_clock_of_rate_zero_never_tick() {
        let start = Instant::now();
        let mut never = clock(0.0, start);
        assert!(!never.tick(start + Duration::from_secs(1_000)));
        let mut stopped = clock(1.0, start);
        stopped.stop();
        stopped.set_rate(start, 9.0);
        never.set_rate(start, 9.0);
        assert_eq!(never.next_deadline(), None);
        assert!(!stopped.tick(start + Duration::from_secs(1_000)));
        assert_eq!(stopped.next_deadline(), None);
    }
}
