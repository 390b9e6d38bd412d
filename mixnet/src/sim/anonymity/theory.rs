//! What the formulas say, to hold the simulations against.
//!
//! ```text
//! one node      log2(e·λ/µ)                                 λ packets a second, which rest 1/µ seconds on average
//! L layers      log2(Λ/µ) + h(L)                            Λ packets a second in all, next hops drawn evenly
//! corrupt       f/W · (f-1)/(W-1) · (f-2)/(W-2)             paths of three of W relays on which all are of f corrupt ones
//! h(L)          entropy of the sum of L exponential times of mean 1:  L + ln (L-1)! + (1-L)·ψ(L), in bits
//! ```
//!
//! The second holds where every pool is much larger than a layer is wide.

use std::f64::consts::{E, LN_2};

/// Entropy of a departure from one node in which `pool` packets rest on average. Holds from about two packets on.
pub fn pool_entropy(pool: f64) -> f64 {
    (E * pool).log2()
}

/// Entropy of a packet over the outputs of a network of `layers` layers, in all of which together `resting` packets enter
/// during one mean delay.
pub fn network_entropy(resting: f64, layers: u32) -> f64 {
    resting.log2() + erlang_entropy(layers)
}

/// The share of paths of `hops` distinct relays on which all of them are corrupt, when `corrupt` of `relays` are.
pub fn compromised(relays: usize, corrupt: usize, hops: usize) -> f64 {
    let one =
        |hop: usize| corrupt.saturating_sub(hop) as f64 / relays.saturating_sub(hop).max(1) as f64;
    (0..hops).map(one).product()
}

/// Differential entropy of the sum of `layers` exponential times of mean 1.
fn erlang_entropy(layers: u32) -> f64 {
    let l = f64::from(layers);
    let log_factorial: f64 = (1..layers).map(|n| f64::from(n).ln()).sum();
    let digamma = -EULER + (1..layers).map(|n| 1.0 / f64::from(n)).sum::<f64>();
    (l + log_factorial + (1.0 - l) * digamma) / LN_2
}

/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

#[cfg(test)]
mod tests {
    #![allow(
        clippy::approx_constant,
        reason = "a published table is quoted as it is"
    )]

    use super::*;

    #[test]
    fn the_published_entropies_of_sums_come_out() {
        for (layers, bits) in (1..).zip([1.4427, 2.2754, 2.6655, 2.9192, 3.1070, 3.2560]) {
            assert!(
                (erlang_entropy(layers) - bits).abs() < 1e-4,
                "{layers}: {}",
                erlang_entropy(layers)
            );
        }
    }

    #[test]
    fn paths_are_compromised_as_published() {
        // A tenth, a fifth, three tenths of many relays.
        for (corrupt, share) in [(100_000, 0.001), (200_000, 0.008), (300_000, 0.027)] {
            assert!((compromised(1_000_000, corrupt, 3) - share).abs() < 1e-6);
        }
        assert_eq!(compromised(10, 2, 3), 0.0);
        assert!((compromised(10, 3, 3) - 1.0 / 120.0).abs() < 1e-12);
    }

    #[test]
    fn the_published_rows_come_out() {
        assert!((pool_entropy(100.0) - 8.087).abs() < 1e-3);
        assert!((network_entropy(200.0, 3) - 10.309).abs() < 1e-3);
        assert!((network_entropy(300.0 / 5.0, 3) - 8.572).abs() < 1e-3);
    }
}
