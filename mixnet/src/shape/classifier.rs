//! Somebody who sees when packets pass, and wants to know whether they carry messages.
//!
//! The times of one line are cut into windows, and each window is given three marks; a mark that is higher for one kind of
//! window than for the other tells them apart:
//!
//! ```text
//! spread    distance of the gaps of the window from the exponential distribution of their own mean (Kolmogorov-Smirnov)
//! rhythm    correlation of each gap with the next
//! count     packets in a window of fixed length
//! ```
//!
//! How well is the area under the curve of right against wrong alarms: 0.5 is a coin, 1 (or 0) is certainty.

use super::distribution::{Erlang, moments};

/// The marks of all windows of some lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Distance from exponential gaps.
    pub spread: Vec<f64>,
    /// Correlation of neighbouring gaps.
    pub rhythm: Vec<f64>,
    /// Packets in a fixed time.
    pub count: Vec<f64>,
}

impl Marks {
    /// Marks the windows of one line, whose times are in order. Windows hold `gaps` gaps, or last as long as so many should take
    /// at `rate` packets a second.
    pub fn add(&mut self, times: &[f64], rate: f64, gaps: usize) {
        let all: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for window in all.chunks_exact(gaps.max(2)) {
            self.spread.push(spread(window));
            self.rhythm.push(rhythm(window));
        }
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return;
        };
        let length = gaps as f64 / rate;
        let windows = ((last - first) / length) as usize;
        let mut counts = vec![0.0; windows];
        for time in times {
            if let Some(count) = counts.get_mut(((time - first) / length) as usize) {
                *count += 1.0;
            }
        }
        self.count.extend(counts);
    }

    /// How well each mark tells these windows from `others`.
    pub fn against(&self, others: &Marks) -> Verdict {
        Verdict {
            spread: area(&self.spread, &others.spread),
            rhythm: area(&self.rhythm, &others.rhythm),
            count: area(&self.count, &others.count),
            windows: self.spread.len().min(others.spread.len()),
        }
    }
}

/// The areas of the three marks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// By the distance from exponential gaps.
    pub spread: f64,
    /// By the correlation of neighbouring gaps.
    pub rhythm: f64,
    /// By the number of packets.
    pub count: f64,
    /// Windows of the kind that has fewer.
    pub windows: usize,
}

impl Verdict {
    /// The area of the best of the three, by how far it is from a coin.
    pub fn best(&self) -> f64 {
        let far = |area: &f64| (area - 0.5).abs();
        let all = [self.spread, self.rhythm, self.count];
        let best = all.into_iter().max_by(|a, b| far(a).total_cmp(&far(b)));
        best.unwrap_or(0.5)
    }

    /// The standard deviation of an area when there is nothing to tell.
    pub fn deviation(&self) -> f64 {
        (1.0 / (6.0 * self.windows.max(1) as f64)).sqrt()
    }
}

fn spread(gaps: &[f64]) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (mean, _) = moments(gaps);
    Erlang::exponential(mean).distance(&sorted)
}

fn rhythm(gaps: &[f64]) -> f64 {
    let (mean, deviation) = moments(gaps);
    let products = gaps
        .windows(2)
        .map(|pair| (pair[0] - mean) * (pair[1] - mean));
    let covariance = products.sum::<f64>() / (gaps.len() - 1).max(1) as f64;
    covariance / deviation.powi(2).max(f64::MIN_POSITIVE)
}

/// The chance that a random one of `a` is above a random one of `b`; equal ones count half.
pub fn area(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = a.iter().map(|x| (*x, true)).collect();
    all.extend(b.iter().map(|x| (*x, false)));
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut below, mut wins, mut from) = (0usize, 0.0, 0);
    while from < all.len() {
        let equal = all[from..].iter().take_while(|x| x.0 == all[from].0);
        let (mine, count) = equal.fold((0usize, 0usize), |(mine, count), x| {
            (mine + usize::from(x.1), count + 1)
        });
        let theirs = count - mine;
        wins += mine as f64 * (below as f64 + theirs as f64 / 2.0);
        below += theirs;
        from += count;
    }
    wins / (a.len().max(1) as f64 * b.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::exponential;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::time::Duration;

    const RATE: f64 = 4.0;
    const GAPS: usize = 20;

    fn clock(rate: f64, seconds: f64, seed: u8) -> Vec<f64> {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let mean = Duration::from_secs_f64(1.0 / rate);
        let mut now = 0.0;
        std::iter::from_fn(|| {
            now += exponential(&mut rng, mean).as_secs_f64();
            (now < seconds).then_some(now)
        })
        .collect()
    }

    fn marks(times: &[f64]) -> Marks {
        let mut marks = Marks::default();
        marks.add(times, RATE, GAPS);
        marks
    }

    #[test]
    fn two_runs_of_one_clock_cannot_be_told_apart() {
        let (a, b) = (clock(RATE, 8_000.0, 1), clock(RATE, 8_000.0, 2));
        let verdict = marks(&a).against(&marks(&b));
        assert!(verdict.windows >= 1_500, "{verdict:?}");
        let far = (verdict.best() - 0.5).abs();
        assert!(far < 3.5 * verdict.deviation(), "{verdict:?}");
    }

    #[test]
    fn messages_that_are_added_to_the_clock_are_seen_by_their_count() {
        let idle = clock(RATE, 8_000.0, 3);
        let mut busy = clock(RATE, 8_000.0, 4);
        busy.extend(clock(RATE / 4.0, 8_000.0, 5));
        busy.sort_by(f64::total_cmp);
        let verdict = marks(&busy).against(&marks(&idle));
        assert!(verdict.count > 0.75, "{verdict:?}");
    }

    #[test]
    fn an_even_clock_is_seen_by_its_gaps() {
        let idle = clock(RATE, 8_000.0, 6);
        let mut now = 0.0;
        let jitter = clock(RATE, 8_000.0, 7);
        // Half of each gap is fixed, half random.
        let even: Vec<f64> = jitter
            .windows(2)
            .map(|pair| {
                now += (pair[1] - pair[0]) / 2.0 + 0.5 / RATE;
                now
            })
            .collect();
        let verdict = marks(&even).against(&marks(&idle));
        assert!((verdict.spread - 0.5).abs() > 0.3, "{verdict:?}");
    }

    #[test]
    fn pairs_are_seen_by_their_rhythm() {
        let idle = clock(RATE, 8_000.0, 8);
        let mut now = 0.0;
        // A short gap follows every long one.
        let pairs: Vec<f64> = clock(RATE, 8_000.0, 9)
            .windows(2)
            .enumerate()
            .map(|(i, pair)| {
                now += (pair[1] - pair[0]) * if i % 2 == 0 { 1.6 } else { 0.4 };
                now
            })
            .collect();
        let verdict = marks(&pairs).against(&marks(&idle));
        assert!((verdict.rhythm - 0.5).abs() > 0.1, "{verdict:?}");
    }

    #[test]
    fn areas_are_chances() {
        assert_eq!(area(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(area(&[0.0, 1.0], &[2.0, 3.0]), 0.0);
        assert_eq!(area(&[1.0, 1.0], &[1.0]), 0.5);
        assert_eq!(area(&[1.0, 3.0], &[2.0]), 0.5);
    }
}
