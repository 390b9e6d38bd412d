//! Intersection: who gets messages when Alice is there?
//!
//! Alice writes to Bob only. Somebody counts in every round what Alice sends and what everybody receives, and after some rounds
//! suspects the receiver whose counts go most with hers (statistical disclosure):
//!
//! ```text
//! suspicion of j  =  correlation over the rounds of  x (packets that Alice sent)  and  y_j (messages that j received)
//! ```
//!
//! What she lets him see differs:
//!
//! | defence | x |
//! |---|---|
//! | [`Defence::None`] | her messages: a packet leaves when she writes |
//! | [`Defence::Clocks`] | the ticks of her clocks, which run at all times: messages take the place of cover |
//! | [`Defence::Windows`] | the same, but at the full rate only in rounds in which she is there, to write or only to read |
//!
//! He is given more than he can see: exactly the messages that each receiver gets. So the curves are upper bounds. Clocks and delays are
//! those of a node; a message waits for a slot as in its client.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Serialize;

use crate::delay::exponential;
use crate::limits::RELAYS_NEEDED;
use crate::preset::Preset;
use crate::quality::below;
use crate::schedule::PoissonClock;

/// What hides Alice's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Defence {
    /// Nothing.
    None,
    /// Clocks that run at all times.
    Clocks,
    /// Clocks that run at the full rate while the application is open.
    Windows,
}

impl Defence {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 3] = [Self::None, Self::Clocks, Self::Windows];
}

/// How often Bob is the first suspect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// What hides the messages.
    pub defence: Defence,
    /// After so many rounds.
    pub rounds: Vec<usize>,
    /// In this share of the runs.
    pub first_suspect: Vec<f64>,
}

impl Curve {
    /// Rounds after which Bob is the first suspect in half of the runs, from then on; none if that never happens.
    pub fn rounds_to_half(&self) -> Option<usize> {
        let points = self.rounds.iter().zip(&self.first_suspect);
        let lasting = points.rev().take_while(|(_, share)| **share >= 0.5);
        lasting.last().map(|(rounds, _)| *rounds)
    }
}

/// The curve of one defence over so many runs. The preset is Alice's.
pub fn curve(defence: Defence, preset: &Preset, runs: u64, seed: u64, start: Instant) -> Curve {
    let mut hits = vec![0u64; CHECKPOINTS.len()];
    for run in 0..runs {
        let mut scene = Scene::new(defence, preset, seed.wrapping_add(run), start);
        for (round, found) in scene.suspects().into_iter().enumerate() {
            hits[round] += u64::from(found);
        }
    }
    Curve {
        defence,
        rounds: CHECKPOINTS.to_vec(),
        first_suspect: hits
            .iter()
            .map(|hits| *hits as f64 / runs.max(1) as f64)
            .collect(),
    }
}

struct Scene<'a> {
    defence: Defence,
    preset: &'a Preset,
    start: Instant,
    seed: u64,
    choices: ChaCha20Rng,
}

/// What is seen of one round.
#[derive(Clone)]
struct Round {
    sent: f64,
    received: Vec<f64>,
}

impl<'a> Scene<'a> {
    fn new(defence: Defence, preset: &'a Preset, seed: u64, start: Instant) -> Self {
        Self {
            defence,
            preset,
            start,
            seed,
            choices: ChaCha20Rng::seed_from_u64(seed),
        }
    }

    /// After each number of rounds, whether Bob is the first suspect.
    fn suspects(&mut self) -> Vec<bool> {
        let rounds = self.rounds();
        let mut found = Vec::new();
        for upto in CHECKPOINTS {
            let seen = &rounds[..upto.min(rounds.len())];
            let all: Vec<f64> = (0..RECEIVERS).map(|j| suspicion(seen, j)).collect();
            let others = all[1..].iter().copied().fold(f64::MIN, f64::max);
            found.push(all[BOB] > others);
        }
        found
    }

    fn rounds(&mut self) -> Vec<Round> {
        let count = CHECKPOINTS[CHECKPOINTS.len() - 1];
        let mut rounds = vec![
            Round {
                sent: 0.0,
                received: vec![0.0; RECEIVERS],
            };
            count
        ];
        self.background(&mut rounds);
        let end = self.start + ROUND * count as u32;
        let (mut written, open) = self.days(count);
        written.sort_unstable();
        let round_of = |at: Instant| {
            (at.duration_since(self.start).as_secs_f64() / ROUND.as_secs_f64()) as usize
        };
        let departures = match self.defence {
            Defence::None => {
                written
                    .iter()
                    .for_each(|at| rounds[round_of(*at)].sent += 1.0);
                written
            }
            Defence::Clocks | Defence::Windows => self.slots(&written, &open, end, |at| {
                rounds[round_of(at)].sent += 1.0;
            }),
        };
        for at in departures {
            let rests = (0..=RELAYS_NEEDED)
                .map(|_| exponential(&mut self.choices, self.preset.delay_mean()));
            let comes = round_of(at + rests.sum::<Duration>());
            if let Some(round) = rounds.get_mut(comes) {
                round.received[BOB] += 1.0;
            }
        }
        rounds
    }

    /// What the others send to each other.
    fn background(&mut self, rounds: &mut [Round]) {
        let rate = OTHERS_PER_ROUND * RECEIVERS as f64 / ROUND.as_secs_f64();
        let mut clock = PoissonClock::new(rate, self.start, ChaCha20Rng::seed_from_u64(!self.seed));
        while let Some(at) = clock.next_deadline() {
            clock.tick(at);
            let round =
                (at.duration_since(self.start).as_secs_f64() / ROUND.as_secs_f64()) as usize;
            let Some(round) = rounds.get_mut(round) else {
                return;
            };
            round.received[below(&mut self.choices, RECEIVERS)] += 1.0;
        }
    }

    /// When Alice writes, and in which rounds she is there.
    fn days(&mut self, rounds: usize) -> (Vec<Instant>, Vec<bool>) {
        let mut written = Vec::new();
        let mut open = Vec::new();
        for round in 0..rounds {
            let writes = below(&mut self.choices, 3) == 0;
            // As often as she writes she only reads.
            let reads = below(&mut self.choices, 2) == 0;
            open.push(writes || reads);
            for _ in 0..if writes { MESSAGES_PER_ROUND } else { 0 } {
                let into = ROUND.mul_f64(below(&mut self.choices, 1_000) as f64 / 1_000.0);
                written.push(self.start + ROUND * round as u32 + into);
            }
        }
        (written, open)
    }

    /// Lets her clocks tick: every tick is seen, and a payload slot takes a message if there is one. When the messages leave.
    fn slots(
        &self,
        written: &[Instant],
        open: &[bool],
        end: Instant,
        mut seen: impl FnMut(Instant),
    ) -> Vec<Instant> {
        let (mut left, mut waiting) = (Vec::new(), written.iter().peekable());
        for (number, (is_open, from)) in open
            .iter()
            .zip((0u32..).map(|n| self.start + ROUND * n))
            .enumerate()
        {
            let slow = self.defence == Defence::Windows && !is_open;
            let share = if slow {
                self.preset.idle_rate / self.preset.packet_rate()
            } else {
                1.0
            };
            let clock = |rate: f64, stream: u64| {
                let mut rng = ChaCha20Rng::seed_from_u64(self.seed ^ (number as u64) << 20);
                rng.set_stream(stream);
                PoissonClock::new(rate * share, from, rng)
            };
            let mut payload = clock(self.preset.payload_rate, 1);
            let mut cover = clock(self.preset.loop_rate + self.preset.drop_rate, 2);
            let until = end.min(from + ROUND);
            while let Some(at) = payload.next_deadline().filter(|at| *at < until) {
                payload.tick(at);
                seen(at);
                if waiting.next_if(|written| **written <= at).is_some() {
                    left.push(at);
                }
            }
            while let Some(at) = cover.next_deadline().filter(|at| *at < until) {
                cover.tick(at);
                seen(at);
            }
        }
        left
    }
}

/// The correlation but for the deviation of what Alice sent, which is the same for all.
fn suspicion(rounds: &[Round], receiver: usize) -> f64 {
    let n = rounds.len().max(1) as f64;
    let sent = rounds.iter().map(|round| round.sent).sum::<f64>() / n;
    let got = rounds
        .iter()
        .map(|round| round.received[receiver])
        .sum::<f64>()
        / n;
    let product = |round: &Round| (round.sent - sent) * (round.received[receiver] - got);
    let square = |round: &Round| (round.received[receiver] - got).powi(2);
    let deviation = (rounds.iter().map(square).sum::<f64>() / n).sqrt();
    rounds.iter().map(product).sum::<f64>() / n / deviation.max(f64::MIN_POSITIVE)
}

/// One round: a step of the windows.
const ROUND: Duration = Duration::from_secs(600);
/// After so many rounds he names a suspect; the last is two weeks.
const CHECKPOINTS: [usize; 10] = [3, 6, 12, 24, 48, 96, 144, 288, 1_008, 2_016];
/// Those who receive.
const RECEIVERS: usize = 100;
const BOB: usize = 0;
/// Messages of Alice in a round in which she writes, which is one in three.
const MESSAGES_PER_ROUND: usize = 5;
/// Messages that everybody gets from others in a round, on average.
const OTHERS_PER_ROUND: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(defence: Defence) -> Curve {
        curve(defence, &Preset::MOBILE_SAVER, 12, 1, Instant::now())
    }

    #[test]
    fn without_a_defence_bob_is_found_in_hours() {
        let curve = of(Defence::None);
        assert!(
            curve.rounds_to_half().is_some_and(|rounds| rounds <= 48),
            "{curve:?}"
        );
        assert_eq!(curve.first_suspect.last(), Some(&1.0));
    }

    #[test]
    fn clocks_that_always_run_tell_nothing() {
        let curve = of(Defence::Clocks);
        assert_eq!(curve.rounds_to_half(), None, "{curve:?}");
        assert!(
            curve.first_suspect.iter().all(|share| *share <= 0.34),
            "{curve:?}"
        );
    }

    #[test]
    fn windows_tell_when_she_is_there_and_take_longer() {
        let (none, windows) = (of(Defence::None), of(Defence::Windows));
        let (fast, slow) = (none.rounds_to_half(), windows.rounds_to_half());
        assert!(
            fast.zip(slow).is_none_or(|(fast, slow)| slow >= fast),
            "{none:?} {windows:?}"
        );
        assert!(
            windows
                .first_suspect
                .last()
                .is_some_and(|share| *share > 0.5),
            "{windows:?}"
        );
    }
}
