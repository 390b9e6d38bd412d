//! One node: from how many packets could the one that leaves be?
//!
//! ```text
//! since the last departure k packets came, l were there before:
//! H = h(k/(k+l)) + k/(k+l)·log2 k + l/(k+l)·H of the last departure        h: entropy of a coin
//! ```

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::Estimate;
use crate::delay::{DelayQueue, exponential};
use crate::schedule::PoissonClock;

/// Packets that may rest: far above every pool that is simulated.
const CAPACITY: usize = 1 << 20;

/// Entropy of the departures of a node in which `pool` packets rest on average, over so many of them.
pub fn departures(pool: f64, departures: usize, seed: u64, start: Instant) -> Estimate {
    let mut arrivals = PoissonClock::new(pool, start, ChaCha20Rng::seed_from_u64(seed));
    let mut delays = ChaCha20Rng::seed_from_u64(!seed);
    let mut resting: DelayQueue<()> = DelayQueue::new(CAPACITY);
    let (mut old, mut new, mut entropy) = (0u64, 0u64, 0.0f64);
    let mut samples = Vec::with_capacity(departures);
    // The pool is full after a few mean delays; the recursion forgets its beginning as fast.
    let settled = start + MEAN * SETTLE_MEANS;
    while samples.len() < departures {
        let arrival = arrivals.next_deadline().unwrap_or(start);
        match resting.next_deadline().filter(|due| *due < arrival) {
            Some(due) => {
                resting.pop_due(due);
                entropy = recursion(new, old, entropy);
                (old, new) = (old + new - 1, 0);
                if due > settled {
                    samples.push(entropy);
                }
            }
            None => {
                arrivals.tick(arrival);
                // The capacity is never reached; were it, the sample would be too small and the comparison would fail.
                let _ = resting.push(arrival + exponential(&mut delays, MEAN), ());
                new += 1;
            }
        }
    }
    Estimate::of(&samples)
}

fn recursion(new: u64, old: u64, before: f64) -> f64 {
    let (k, l) = (new as f64, old as f64);
    let n = k + l;
    let share = |part: f64| {
        if part > 0.0 {
            -part / n * (part / n).log2()
        } else {
            0.0
        }
    };
    let within = if new > 0 { k / n * k.log2() } else { 0.0 };
    share(k) + share(l) + within + l / n * before
}

/// One mean delay. Only its ratio to the arrivals matters.
const MEAN: Duration = Duration::from_secs(1);
/// Mean delays before anything is measured.
const SETTLE_MEANS: u32 = 25;

#[cfg(test)]
mod tests {
    use super::super::theory;
    use super::*;

    #[test]
    fn pools_are_as_published() {
        // Pool, mean and standard deviation of an independent simulation.
        for (pool, mean, sd) in [
            (1.0, 1.508, 0.90),
            (2.0, 2.414, 0.83),
            (10.0, 4.759, 0.34),
            (100.0, 8.088, 0.10),
        ] {
            let found = departures(pool, 40_000, 1, Instant::now());
            assert!((found.mean - mean).abs() < 0.05, "{pool}: {found:?}");
            assert!((found.sd - sd).abs() < 0.05, "{pool}: {found:?}");
        }
    }

    #[test]
    fn from_ten_packets_on_the_formula_holds() {
        for pool in [10.0, 50.0, 500.0] {
            let found = departures(pool, 60_000, 2, Instant::now());
            assert!(
                (found.mean - theory::pool_entropy(pool)).abs() <= 0.05,
                "{pool}: {found:?}"
            );
        }
    }
}
