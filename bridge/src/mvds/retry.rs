//! When a record is sent again.
//!
//! After the n-th sending in epoch e the next one is due in epoch `e + min(base · 2^(n-1), cap) + random[0, jitter)`.
//! An epoch is one tick of the node.

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// The numbers of the function, in epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first gap.
    pub base: u64,
    /// The longest gap.
    pub cap: u64,
    /// What is added at random, so that peers do not answer in step; 0: nothing.
    pub jitter: u64,
}

impl Retry {
    /// A node on the mixnet with a tick of 1 s: 30 to 60 s, at most 32 minutes.
    pub const MIX: Self = Self {
        base: 30,
        cap: 1_920,
        jitter: 30,
    };
    /// What clients of Status do since v0.64 with a tick of 300 ms, but at most 12 hours apart.
    pub const LEGACY: Self = Self {
        base: 90,
        cap: 144_000,
        jitter: 30,
    };
    /// The gateway with a tick of 100 ms: about 4 s, at most 32 minutes. A registration has two members and reply
    /// blocks bound what is sent, so a lost packet may be made good at once.
    pub const GATEWAY: Self = Self {
        base: 40,
        cap: 19_200,
        jitter: 10,
    };

    /// The epoch in which a record is due again after its `count`-th sending in `epoch`.
    pub fn next(&self, count: u32, epoch: u64, rng: &mut ChaCha20Rng) -> u64 {
        let doublings = count.saturating_sub(1).min(u64::BITS - 1);
        let factor = 1u64 << doublings;
        let gap = self.base.saturating_mul(factor).min(self.cap).max(1);
        let extra = match self.jitter {
            0 => 0,
            // The bias of the remainder is below 2^-50 for any sensible jitter.
            jitter => rng.next_u64() % jitter,
        };
        epoch.saturating_add(gap).saturating_add(extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    /// The gaps of the first sendings, without and with the most of the jitter.
    fn check(retry: Retry, gaps: &[u64]) {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        for (count, gap) in (1..).zip(gaps) {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..2_000 {
                let next = retry.next(count, 1_000, &mut rng);
                assert!(
                    (1_000 + gap..1_000 + gap + retry.jitter.max(1)).contains(&next),
                    "{count}: {next}"
                );
                seen.insert(next);
            }
            assert_eq!(
                seen.len() as u64,
                retry.jitter.max(1),
                "every jitter occurs"
            );
        }
    }

    #[test]
    fn the_functions_double_up_to_their_cap() {
        check(
            Retry::MIX,
            &[30, 60, 120, 240, 480, 960, 1_920, 1_920, 1_920],
        );
        check(Retry::LEGACY, &[90, 180, 360, 720, 1_440, 2_880]);
        check(
            Retry::GATEWAY,
            &[
                40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 19_200, 19_200,
            ],
        );
        check(
            Retry {
                base: 0,
                cap: 0,
                jitter: 0,
            },
            &[1, 1, 1],
        );
    }

    #[test]
    fn large_counts_and_epochs_do_not_overflow() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        assert!(Retry::LEGACY.next(u32::MAX, 0, &mut rng) < 144_030);
        assert_eq!(Retry::MIX.next(3, u64::MAX, &mut rng), u64::MAX);
    }
}
