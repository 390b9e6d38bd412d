//! How long things take, in classes that are fine where it matters.

use std::time::Duration;

/// Upper bounds of the classes, in microseconds; one more class is without bound.
pub const BOUNDS_US: [u64; 18] = [
    20, 40, 60, 80, 100, 125, 150, 200, 250, 300, 400, 500, 750, 1_000, 2_000, 5_000, 10_000,
    100_000,
];

/// Counts of durations by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, time: Duration) {
        let us = time.as_micros().min(u128::from(u32::MAX)) as u64;
        let class = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[class] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Durations that were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many there are in each class, the one without bound last.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The least bound, in microseconds, that the share `q` of all durations keeps; `None` when it lies in the class without bound,
    /// or nothing was counted.
    pub fn quantile_us(&self, q: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * q).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bound, count) in BOUNDS_US.iter().zip(&self.counts) {
            below += count;
            if below >= wanted {
                return Some(*bound);
            }
        }
        None
    }

    /// What was counted since `before`, an earlier state of the same histogram.
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (now, before) in since.counts.iter_mut().zip(&before.counts) {
            *now = now.saturating_sub(*before);
        }
        since.sum_us = self.sum_us.saturating_sub(before.sum_us);
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_classes() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile_us(0.5), None);
        for us in 1..=100 {
            times.record(Duration::from_micros(us));
        }
        assert_eq!((times.count(), times.sum_us()), (100, 5050));
        assert_eq!(times.quantile_us(0.5), Some(60));
        assert_eq!(times.quantile_us(0.6), Some(60));
        assert_eq!(times.quantile_us(0.61), Some(80));
        assert_eq!(times.quantile_us(1.0), Some(100));
        let before = times.clone();
        times.record(Duration::from_secs(1));
        assert_eq!(times.quantile_us(1.0), None);
        assert_eq!(times.since(&before).count(), 1);
    }
}
