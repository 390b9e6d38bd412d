//! Exponential delays and the queue that holds what waits them out.
//!
//! A hop draws its delay from the mean that the packet names (Sphinx routing block, milliseconds).
//! The tail is cut at [`TAIL_CUT`] means, where one draw in a million would lie; the draw is
//! conditioned on lying before the cut, so that no delay piles up on it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand_core::Rng;

// ---- Constants of the specification ----

/// The tail of the exponential is cut at this many means: its probability is 10⁻⁶.
pub const TAIL_CUT: f64 = 13.8;

/// A number in `[0, 1)` with 53 random bits.
fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A delay from the exponential distribution with this mean, less than [`TAIL_CUT`] means.
pub fn exponential(rng: &mut impl Rng, mean: Duration) -> Duration {
    // Inverse of the distribution function, with the uniform number scaled into the part of it
    // that lies before the cut.
    let before_cut = 1.0 - (-TAIL_CUT).exp();
    let means = -(-unit(rng) * before_cut).ln_1p();
    mean.mul_f64(means)
}

/// Things that wait until their time, at most `capacity` of them.
pub(crate) struct DelayQueue<T> {
    waiting: BTreeMap<(Instant, u64), T>,
    pushed: u64,
    capacity: usize,
}

impl<T> DelayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            pushed: 0,
            capacity,
        }
    }

    /// Holds `item` until `due`; gives it back when the queue is full.
    pub(crate) fn push(&mut self, due: Instant, item: T) -> Result<(), T> {
        if self.waiting.len() >= self.capacity {
            return Err(item);
        }
        self.waiting.insert((due, self.pushed), item);
        self.pushed += 1;
        Ok(())
    }

    /// The next item whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let (&(due, _), _) = self.waiting.first_key_value()?;
        if due > now {
            return None;
        }
        self.waiting.pop_first().map(|(_, item)| item)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(&(due, _), _)| due)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    /// Largest distance between the samples' distribution and the exponential one.
    fn kolmogorov_smirnov(mut samples: Vec<f64>, mean: f64) -> f64 {
        samples.sort_by(f64::total_cmp);
        let n = samples.len() as f64;
        let mut largest: f64 = 0.0;
        for (i, x) in samples.iter().enumerate() {
            let expected = 1.0 - (-x / mean).exp();
            largest = largest.max((expected - i as f64 / n).abs());
            largest = largest.max(((i + 1) as f64 / n - expected).abs());
        }
        largest
    }

    #[test]
    fn delays_are_exponential() {
        for (seed, mean_ms) in [(1, 80), (2, 200), (3, 400)] {
            let mut rng = rng(seed);
            let mean = Duration::from_millis(mean_ms);
            let samples = (0..10_000)
                .map(|_| exponential(&mut rng, mean).as_secs_f64())
                .collect::<Vec<_>>();
            // One per cent level for 10⁴ samples.
            let distance = kolmogorov_smirnov(samples, mean.as_secs_f64());
            assert!(distance <= 0.0163, "seed {seed}: distance {distance}");
        }
    }

    #[test]
    fn a_wrong_mean_is_seen_by_the_same_test() {
        let mut rng = rng(4);
        let samples = (0..10_000)
            .map(|_| exponential(&mut rng, Duration::from_millis(90)).as_secs_f64())
            .collect();
        assert!(kolmogorov_smirnov(samples, 0.080) > 0.0163);
    }

    #[test]
    fn the_tail_is_cut() {
        /// Gives the largest uniform number there is.
        struct Ones;
        impl rand_core::TryRng for Ones {
            type Error = std::convert::Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                Ok(u32::MAX)
            }
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                Ok(u64::MAX)
            }
            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
                bytes.fill(0xff);
                Ok(())
            }
        }
        let longest = exponential(&mut Ones, Duration::from_secs(1));
        assert!(longest <= Duration::from_secs_f64(TAIL_CUT), "{longest:?}");
        assert!(
            longest > Duration::from_secs_f64(TAIL_CUT - 0.01),
            "{longest:?}"
        );
        assert_eq!(exponential(&mut rng(1), Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_queue_orders_by_time_then_by_arrival_and_is_bounded() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut queue = DelayQueue::new(3);
        assert_eq!(queue.len(), 0);
        queue.push(at(20), "c").unwrap();
        queue.push(at(10), "a").unwrap();
        queue.push(at(10), "b").unwrap();
        assert_eq!(queue.push(at(1), "newest"), Err("newest"));
        assert_eq!(queue.next_deadline(), Some(at(10)));
        assert_eq!(queue.pop_due(at(9)), None);
        assert_eq!(queue.pop_due(at(10)), Some("a"));
        assert_eq!(queue.pop_due(at(10)), Some("b"));
        assert_eq!(queue.pop_due(at(10)), None);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.pop_due(at(30)), Some("c"));
        assert_eq!(queue.next_deadline(), None);
    }
}
