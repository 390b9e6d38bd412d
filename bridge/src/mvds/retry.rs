//! When a record is sent again.
//!
//! After the n-th sending in epoch e the next one is due in epoch `e + min(first · 2^(n-1), cap) + random[0, jitter)`.
//! An epoch is one tick of the node.
//!
//! ```text
//! first = base                                        as long as no answer was timed
//!         5/4 of the usual time to an answer          between least and most; the jitter grows and shrinks with it
//! ```

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// The numbers of the function, in epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first gap, as long as nothing is known of the peer.
    pub base: u64,
    /// The first gap at least, where the peer is known to answer soon.
    pub least: u64,
    /// The first gap at most, where it is known to answer late. All three the same: what is known changes nothing.
    pub most: u64,
    /// The longest gap.
    pub cap: u64,
    /// What is added at random, so that peers do not answer in step; 0: nothing.
    pub jitter: u64,
}

impl Retry {
    /// A node on the mixnet with a tick of 1 s: 30 to 60 s, at most 32 minutes.
    pub const MIX: Self = Self {
        base: 30,
        least: 30,
        most: 30,
        cap: 1_920,
        jitter: 30,
    };
    /// What clients of Status do since v0.64 with a tick of 300 ms, but at most 12 hours apart.
    pub const LEGACY: Self = Self {
        base: 90,
        least: 90,
        most: 90,
        cap: 144_000,
        jitter: 30,
    };
    /// The gateway with a tick of 100 ms: about 4 s, at most 32 minutes. A registration has two members and reply
    /// blocks bound what is sent, so a lost packet may be made good at once.
    pub const GATEWAY: Self = Self {
        base: 40,
        least: 40,
        most: 40,
        cap: 19_200,
        jitter: 10,
    };

    /// The same for a time in which much is lost: what has not been answered soon is rather lost than late.
    pub fn hasty(self) -> Self {
        Self {
            base: self.least,
            most: self.least,
            jitter: self.jitter.saturating_mul(self.least) / self.base.max(1),
            ..self
        }
    }

    /// The epoch in which a record is due again after its `count`-th sending in `epoch` to a peer that answers as `usual`.
    pub fn next(&self, count: u32, usual: RoundTrip, epoch: u64, rng: &mut ChaCha20Rng) -> u64 {
        let first = match usual.epochs() {
            Some(epochs) => {
                (epochs.saturating_mul(5) / 4).clamp(self.least, self.most.max(self.least))
            }
            None => self.base,
        };
        let doublings = count.saturating_sub(1).min(u64::BITS - 1);
        let factor = 1u64 << doublings;
        let gap = first.saturating_mul(factor).min(self.cap).max(1);
        let extra = match self.jitter.saturating_mul(first) / self.base.max(1) {
            0 => 0,
            // The bias of the remainder is below 2^-50 for any sensible jitter.
            jitter => rng.next_u64() % jitter,
        };
        epoch.saturating_add(gap).saturating_add(extra)
    }
}

/// The usual time from a sending to its answer: a mean in which the newest answer counts an eighth. What was sent more than once is
/// not timed, since nobody knows which sending was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Eighths of an epoch.
    eighths: Option<u64>,
}

impl RoundTrip {
    /// An answer took so many epochs.
    pub fn take(&mut self, epochs: u64) {
        self.eighths = Some(match self.eighths {
            Some(mean) => mean - mean / 8 + epochs,
            None => epochs.saturating_mul(8),
        });
    }

    /// The mean, in epochs; none as long as there was no answer.
    pub fn epochs(&self) -> Option<u64> {
        self.eighths.map(|eighths| eighths.div_ceil(8))
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
                let next = retry.next(count, RoundTrip::default(), 1_000, &mut rng);
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
                least: 0,
                most: 0,
                cap: 0,
                jitter: 0,
            },
            &[1, 1, 1],
        );
    }

    #[test]
    fn large_counts_and_epochs_do_not_overflow() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut usual = RoundTrip::default();
        assert!(Retry::LEGACY.next(u32::MAX, usual, 0, &mut rng) < 144_030);
        assert_eq!(Retry::MIX.next(3, usual, u64::MAX, &mut rng), u64::MAX);
        for _ in 0..100 {
            usual.take(u64::MAX / 8);
        }
        assert_eq!(Retry::MIX.next(1, usual, u64::MAX, &mut rng), u64::MAX);
    }

    /// The first gap, with the most of the jitter.
    fn first(retry: Retry, usual: RoundTrip) -> (u64, u64) {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut gap = || retry.next(1, usual, 0, &mut rng);
        let gaps: Vec<u64> = std::iter::repeat_with(&mut gap).take(2_000).collect();
        (*gaps.iter().min().unwrap(), *gaps.iter().max().unwrap())
    }

    #[test]
    fn the_first_gap_follows_what_a_peer_takes_to_answer_within_its_bounds() {
        let retry = Retry {
            base: 40,
            least: 20,
            most: 80,
            cap: 600,
            jitter: 10,
        };
        let after = |epochs: &[u64]| {
            let mut usual = RoundTrip::default();
            epochs.iter().for_each(|epochs| usual.take(*epochs));
            first(retry, usual)
        };
        assert_eq!(after(&[]), (40, 49));
        assert_eq!(after(&[24]), (30, 36));
        assert_eq!(after(&[0; 9]), (20, 24));
        assert_eq!(after(&[1_000; 9]), (80, 99));
        // One slow answer among many changes little; a peer that has become slow is known for it soon.
        assert_eq!(after(&[&[24; 50][..], &[40]].concat()).0, 32);
        assert!(after(&[&[24; 50][..], &[60; 16]].concat()).0 > 60);
        // Where much is lost nobody waits for the usual answer.
        let mut usual = RoundTrip::default();
        assert_eq!(first(retry.hasty(), usual), (20, 24));
        usual.take(1_000);
        assert_eq!(first(retry.hasty(), usual), (20, 24));
        // Whose bounds are one changes nothing.
        let mut usual = RoundTrip::default();
        usual.take(1);
        assert_eq!(first(Retry::LEGACY, usual), (90, 119));
    }
}
