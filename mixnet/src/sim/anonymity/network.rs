//! Layers of nodes: where did a packet leave, and which of two senders sent it?
//!
//! Packets enter at random nodes of the first layer and take a random node of each further one.
//!
//! - [`entropy`]: over which outputs one packet is spread, in bits.
//! - [`two_senders`]: two of the users send one marked packet in every second. For each output the observer has two
//!   probabilities, that it is marked by the one or by the other; `ε = |ln p₀/p₁|` is by how much they differ, as in Loopix
//!   section 4.3. Where one of them is zero, ε is infinite, and counted apart.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Serialize;

use super::Estimate;
use crate::delay::{DelayQueue, exponential};
use crate::quality::below;
use crate::schedule::PoissonClock;

/// A network and its load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shape {
    /// Packets that enter in a second.
    pub rate: f64,
    /// Nodes of a layer.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// The mean delay at a node is one second over this.
    pub mu: f64,
}

impl Shape {
    fn mean(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.mu)
    }

    fn settled(&self, start: Instant) -> Instant {
        start + self.mean().mul_f64(SETTLE_MEANS * self.layers as f64)
    }
}

/// How far the observer can tell two senders apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Epsilon {
    /// Mean of the finite ones.
    pub mean: f64,
    /// Half of the finite ones are not above this.
    pub median: f64,
    /// Nineteen of twenty finite ones are not above this.
    pub p95: f64,
    /// The share of outputs that can be of one of the two only.
    pub infinite: f64,
    /// Outputs looked at.
    pub samples: usize,
}

/// Over how many outputs a packet is spread, for so many packets of one run.
pub fn entropy(shape: Shape, targets: usize, seed: u64, start: Instant) -> Estimate {
    let mut world = World::new(shape, targets, seed, start);
    let mut spread = vec![Spread::default(); targets];
    let (mut entered, mut next_at) = (0, shape.settled(start));
    loop {
        match world.step() {
            Step::Enters(now) => {
                let mark = (entered < targets && now >= next_at).then_some(entered);
                if mark.is_some() {
                    entered += 1;
                    next_at = now + shape.mean();
                }
                world.enter(now, mark);
            }
            Step::Leaves(masses) => {
                spread
                    .iter_mut()
                    .zip(&masses)
                    .for_each(|(spread, mass)| spread.add(*mass));
                let seen = |spread: &Spread| spread.mass > 1.0 - UNSEEN_MAX;
                if entered == targets && spread.iter().all(seen) {
                    break;
                }
            }
        }
    }
    Estimate::of(&spread.iter().map(|spread| spread.bits).collect::<Vec<_>>())
}

/// How far two senders of `users` can be told apart by the outputs of so many seconds. Every user sends `per_user` packets a
/// second; the shape's rate is theirs together.
pub fn two_senders(shape: Shape, users: usize, seconds: f64, seed: u64, start: Instant) -> Epsilon {
    let mut world = World::new(shape, 2, seed, start);
    // The two mark one packet for every second that has passed: the next that they send.
    let mut marked = [0u64; 2];
    let end = shape.settled(start) + Duration::from_secs_f64(seconds);
    let mut finite = Vec::new();
    let mut infinite = 0usize;
    loop {
        match world.step() {
            Step::Enters(now) if now > end => break,
            Step::Enters(now) => {
                let user = below(&mut world.choices, users);
                let due = now.duration_since(start).as_secs();
                let mark = (user < 2 && marked[user] < due).then_some(user);
                if let Some(user) = mark {
                    marked[user] += 1;
                }
                world.enter(now, mark);
            }
            Step::Leaves(masses) => {
                let [p0, p1] = masses[..] else { break };
                if world.now < shape.settled(start) || p0 + p1 == 0.0 {
                    continue;
                }
                match p0 > 0.0 && p1 > 0.0 {
                    true => finite.push((p0 / p1).ln().abs()),
                    false => infinite += 1,
                }
            }
        }
    }
    finite.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * finite.len() as f64) as usize;
        finite.get(place).copied().unwrap_or(f64::INFINITY)
    };
    let samples = finite.len() + infinite;
    Epsilon {
        mean: finite.iter().sum::<f64>() / finite.len().max(1) as f64,
        median: at(0.5),
        p95: at(0.95),
        infinite: infinite as f64 / samples.max(1) as f64,
        samples,
    }
}

/// What the observer knows of one node: how many packets are in it, and with what probability each marked one is.
struct Watched {
    resting: DelayQueue<()>,
    masses: Vec<f64>,
}

impl Watched {
    /// A packet leaves: it takes an even share with it.
    fn share(&mut self) -> Vec<f64> {
        let among = (self.resting.len() + 1) as f64;
        self.masses
            .iter_mut()
            .map(|mass| {
                let share = *mass / among;
                *mass -= share;
                share
            })
            .collect()
    }
}

enum Step {
    /// Somebody sends a packet.
    Enters(Instant),
    /// A packet leaves the last layer, with what the observer has written on it.
    Leaves(Vec<f64>),
}

struct World {
    shape: Shape,
    nodes: Vec<Watched>,
    senders: PoissonClock,
    delays: ChaCha20Rng,
    choices: ChaCha20Rng,
    marks: usize,
    now: Instant,
}

impl World {
    fn new(shape: Shape, marks: usize, seed: u64, start: Instant) -> World {
        let stream = |number| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            rng.set_stream(number);
            rng
        };
        let node = || Watched {
            resting: DelayQueue::new(CAPACITY),
            masses: vec![0.0; marks],
        };
        World {
            shape,
            nodes: (0..shape.width * shape.layers).map(|_| node()).collect(),
            senders: PoissonClock::new(shape.rate, start, stream(1)),
            delays: stream(2),
            choices: stream(3),
            marks,
            now: start,
        }
    }

    /// Goes on to the next thing that a caller must see to.
    fn step(&mut self) -> Step {
        loop {
            let enters = self.senders.next_deadline().unwrap_or(self.now);
            let leaves = self
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(node, watched)| Some((watched.resting.next_deadline()?, node)))
                .min()
                .filter(|(due, _)| *due < enters);
            let Some((due, node)) = leaves else {
                self.senders.tick(enters);
                self.now = enters;
                return Step::Enters(enters);
            };
            self.now = due;
            self.nodes[node].resting.pop_due(due);
            let masses = self.nodes[node].share();
            let layer = node / self.shape.width + 1;
            if layer == self.shape.layers {
                return Step::Leaves(masses);
            }
            self.arrive(due, layer, &masses);
        }
    }

    fn enter(&mut self, now: Instant, mark: Option<usize>) {
        let masses: Vec<f64> = (0..self.marks)
            .map(|at| f64::from(u8::from(mark == Some(at))))
            .collect();
        self.arrive(now, 0, &masses);
    }

    fn arrive(&mut self, now: Instant, layer: usize, masses: &[f64]) {
        let node = layer * self.shape.width + below(&mut self.choices, self.shape.width);
        let delay = exponential(&mut self.delays, self.shape.mean());
        let watched = &mut self.nodes[node];
        // The capacity is far above every pool that is simulated.
        let _ = watched.resting.push(now + delay, ());
        watched
            .masses
            .iter_mut()
            .zip(masses)
            .for_each(|(mass, more)| *mass += more);
    }
}

/// The outputs of one packet as far as they are seen.
#[derive(Clone, Copy, Default)]
struct Spread {
    mass: f64,
    bits: f64,
}

impl Spread {
    fn add(&mut self, mass: f64) {
        if mass > 0.0 {
            self.mass += mass;
            self.bits -= mass * mass.log2();
        }
    }
}

/// Mean delays per layer before anything is measured.
const SETTLE_MEANS: f64 = 8.0;
/// The part of a packet that may still rest somewhere when it counts as gone: a thousandth of a bit and little more.
const UNSEEN_MAX: f64 = 1e-4;
/// Packets that may rest in one node.
const CAPACITY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::theory;
    use super::*;

    const RUNS: u64 = 8;

    /// Rate, width, µ, layers, entropy of an independent simulation.
    const PUBLISHED: [(f64, usize, f64, usize, f64); 5] = [
        (200.0, 3, 1.0, 1, 7.500),
        (200.0, 3, 1.0, 2, 9.958),
        (200.0, 3, 1.0, 3, 10.344),
        (300.0, 3, 5.0, 3, 8.517),
        (600.0, 6, 2.0, 3, 10.925),
    ];

    #[test]
    fn a_packet_is_spread_as_published() {
        for (rate, width, mu, layers, bits) in PUBLISHED {
            let shape = Shape {
                rate,
                width,
                layers,
                mu,
            };
            let found = entropy(shape, 20, 1, Instant::now());
            assert!((found.mean - bits).abs() <= 0.15, "{shape:?}: {found:?}");
            if layers > 1 {
                let formula = theory::network_entropy(rate / mu, layers as u32);
                assert!(
                    (found.mean - formula).abs() <= 0.15,
                    "{shape:?}: {found:?} against {formula}"
                );
            }
        }
    }

    #[test]
    fn two_senders_are_as_hard_to_tell_apart_as_published() {
        // µ and mean of an independent simulation, each run of which varies by some fifteen per cent.
        for (mu, mean) in [(0.2, 0.022), (0.5, 0.081), (1.0, 0.18), (2.0, 0.385)] {
            let shape = Shape {
                rate: 200.0,
                width: 3,
                layers: 3,
                mu,
            };
            let runs = (1..=RUNS).map(|seed| two_senders(shape, 100, 100.0, seed, Instant::now()));
            let found = runs.map(|run| run.mean).sum::<f64>() / RUNS as f64;
            assert!(
                (found - mean).abs() <= 0.15 * mean,
                "µ = {mu}: {found} against {mean}"
            );
        }
    }

    #[test]
    fn one_seed_is_one_run() {
        let shape = Shape {
            rate: 50.0,
            width: 3,
            layers: 3,
            mu: 1.0,
        };
        let start = Instant::now();
        assert_eq!(entropy(shape, 3, 7, start), entropy(shape, 3, 7, start));
        assert_ne!(entropy(shape, 3, 7, start), entropy(shape, 3, 8, start));
    }
}
