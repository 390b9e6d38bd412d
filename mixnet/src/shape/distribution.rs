//! Samples against a distribution: the largest distance between the two, and the distance that chance explains.
//!
//! ```text
//! Exp(mean)         1 - e^(-x/mean)
//! Erlang(k, mean)   1 - e^(-y)·(1 + y + … + y^(k-1)/(k-1)!),  y = x/mean        the sum of k of them
//! ```

/// Sum of so many exponential times of one mean; one of them is the exponential distribution itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erlang {
    /// How many times are added.
    pub stages: u32,
    /// Mean of each, in seconds.
    pub mean: f64,
}

impl Erlang {
    /// One exponential time.
    pub fn exponential(mean: f64) -> Self {
        Self { stages: 1, mean }
    }

    /// The probability of a time up to `x`.
    pub fn below(&self, x: f64) -> f64 {
        if x <= 0.0 {
            return 0.0;
        }
        let y = x / self.mean;
        let mut term = (-y).exp();
        let mut above = term;
        for stage in 1..self.stages {
            term *= y / f64::from(stage);
            above += term;
        }
        1.0 - above
    }

    /// Mean of the sum.
    pub fn total(&self) -> f64 {
        f64::from(self.stages) * self.mean
    }

    /// Standard deviation of the sum.
    pub fn deviation(&self) -> f64 {
        f64::from(self.stages).sqrt() * self.mean
    }

    /// The largest distance between the distribution of the samples and this one, of both sides (Kolmogorov-Smirnov).
    /// The samples must be in order.
    pub fn distance(&self, sorted: &[f64]) -> f64 {
        self.distance_shifted(sorted, 0.0)
    }

    fn distance_shifted(&self, sorted: &[f64], constant: f64) -> f64 {
        let n = sorted.len().max(1) as f64;
        let mut largest: f64 = 0.0;
        for (i, x) in sorted.iter().enumerate() {
            let expected = self.below(x - constant);
            largest = largest.max(expected - i as f64 / n);
            largest = largest.max((i + 1) as f64 / n - expected);
        }
        largest
    }

    /// The least distance after one constant up to `constant_max` seconds is taken from every sample, with that constant: what a
    /// network and a machine add to every time alike is no fault of the distribution.
    pub fn fit(&self, sorted: &[f64], constant_max: f64) -> Fit {
        let at = |step: u32| {
            let constant = constant_max * f64::from(step) / f64::from(FIT_STEPS);
            Fit {
                constant,
                distance: self.distance_shifted(sorted, constant),
            }
        };
        let fits = (0..=FIT_STEPS).map(at);
        fits.min_by(|a, b| a.distance.total_cmp(&b.distance))
            .unwrap_or(Fit {
                constant: 0.0,
                distance: 1.0,
            })
    }
}

/// How near samples are to a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// What was taken from every sample, in seconds.
    pub constant: f64,
    /// The largest distance that is left.
    pub distance: f64,
}

/// Constants that are tried.
const FIT_STEPS: u32 = 40;

/// The distance that `samples` samples of the very distribution exceed once in a hundred times: 0.0163 for ten thousand.
pub fn distance_max(samples: usize) -> f64 {
    1.63 / (samples.max(1) as f64).sqrt()
}

/// Mean and standard deviation.
pub fn moments(samples: &[f64]) -> (f64, f64) {
    let n = samples.len().max(1) as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let square = |x: &f64| (x - mean).powi(2);
    (mean, (samples.iter().map(square).sum::<f64>() / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::exponential;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::time::Duration;

    fn sums(stages: usize, mean_ms: u64, count: usize, seed: u8) -> Vec<f64> {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let mean = Duration::from_millis(mean_ms);
        let mut sum = || -> f64 {
            (0..stages)
                .map(|_| exponential(&mut rng, mean).as_secs_f64())
                .sum()
        };
        let mut samples: Vec<f64> = (0..count).map(|_| sum()).collect();
        samples.sort_by(f64::total_cmp);
        samples
    }

    #[test]
    fn the_quantiles_of_the_specification_come_out() {
        // Mixnet specification, latency: quantiles of sums in means of one.
        for (stages, quantiles) in [
            (2, [1.678, 4.744, 6.638, 9.233]),
            (3, [2.674, 6.296, 8.406, 11.229]),
            (6, [5.670, 10.513, 13.108, 16.455]),
        ] {
            let erlang = Erlang { stages, mean: 1.0 };
            for (quantile, share) in quantiles.iter().zip([0.5, 0.95, 0.99, 0.999]) {
                let found = erlang.below(*quantile);
                assert!((found - share).abs() < 2e-4, "{stages} {quantile}: {found}");
            }
        }
        assert_eq!(Erlang::exponential(1.0).below(-1.0), 0.0);
    }

    #[test]
    fn sums_of_delays_are_near_and_others_are_not() {
        let samples = sums(3, 80, 10_000, 1);
        let right = Erlang {
            stages: 3,
            mean: 0.08,
        };
        assert!(right.distance(&samples) < distance_max(10_000));
        let other = |stages, mean| Erlang { stages, mean }.distance(&samples);
        assert!(other(2, 0.08) > 0.1 && other(4, 0.08) > 0.1);
        assert!(other(3, 0.084) > distance_max(10_000));
    }

    #[test]
    fn one_constant_is_found_and_a_long_one_is_not_forgiven() {
        let samples = |constant: f64| -> Vec<f64> {
            let moved = sums(1, 80, 10_000, 2).into_iter();
            moved.map(|x| x + constant).collect()
        };
        let right = Erlang::exponential(0.08);
        let fit = right.fit(&samples(0.0012), 0.002);
        assert!(fit.distance < distance_max(10_000), "{fit:?}");
        // The mean of as many samples varies by 0.8 ms.
        assert!((fit.constant - 0.0012).abs() <= 0.0008, "{fit:?}");
        assert!(right.fit(&samples(0.006), 0.002).distance > distance_max(10_000));
    }
}
