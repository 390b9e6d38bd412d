//! The directory's gossip among a million nodes: arrays in place of processes.
//!
//! Every node keeps a view of a few others. In a round it calls one of them, and the two exchange a handful of descriptors
//! each and, if one has it, the root of the epoch.
//!
//! ```text
//! node i:  view     16 × id     whom it knows and calls
//!          sampler   8 × id     those with the least hash under a secret of the slot: no number of mentions moves them
//! round:   (leave, join) ─▶ every node calls one of its view ─▶ 8 descriptors each way, and the root
//! ```
//!
//! Some nodes lie: they mention nobody but each other, call anybody they like, and keep the root to themselves.
//! Against them a node takes as many new members of its view from its sampler as from what it is told, and answers two
//! calls a round, not more (after Brahms). Where the defence is off it believes everything.
//!
//! An id is an index and a generation: when a node leaves, its index is taken by the next one that joins, and those who still
//! know the old generation know a dead node. Spec: simulating a directory of a million nodes.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use thiserror::Error;

use crate::descriptor;

pub use report::{Report, Spread};

mod report;

// ---- The model ----

/// Nodes that a node knows and calls.
pub const VIEW_LEN: usize = 16;
/// Slots of its sampler.
pub const SAMPLER_LEN: usize = 8;
/// Descriptors that each side of an exchange gives.
pub const EXCHANGED: usize = 8;
/// Calls that a node with the defence answers in a round; a call that finds nobody costs its caller the round.
pub const CALLS_ANSWERED: u8 = 2;
/// Samples that a node with the defence takes into its view after an exchange.
pub const SAMPLES_TAKEN: usize = 2;
/// Bytes of the descriptor of a relay on the wire.
pub const DESCRIPTOR_BYTES: usize = descriptor::DESCRIPTOR_LEN_MIN;
/// Bytes of one side of an exchange beside its descriptors: the root with its epoch, and framing.
pub const EXCHANGE_OVERHEAD_BYTES: usize = 64;
/// The most nodes that fit an id of 32 bits beside its generation.
pub const NODES_MAX: u32 = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 24;

/// Hours of an epoch.
pub const EPOCH_HOURS: u32 = 4;

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Nodes at any time.
    pub nodes: u32,
    /// The share of them that lies.
    pub liars: f64,
    /// Calls that a liar makes in a round, where others make one.
    pub liar_calls: u32,
    /// The share that leaves, and is replaced, in one epoch.
    pub churn: f64,
    /// Rounds in which views mix before anything is measured.
    pub warm_up: u32,
    /// Rounds of the epoch that is measured.
    pub rounds: u32,
    /// Whether nodes defend themselves.
    pub defence: bool,
    /// Size of the active set, of which every client fetches all descriptors once an epoch.
    pub active: u32,
    /// Repeats the same run.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nodes: 1_000_000,
            liars: 0.1,
            liar_calls: 1,
            churn: 0.1,
            warm_up: 20,
            rounds: 30,
            defence: true,
            active: 1024,
            seed: 1,
        }
    }
}

/// Why a simulation cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Too few for views that differ, or too many for an id.
    #[error("{0} nodes: give from 100 to {NODES_MAX}")]
    Nodes(u32),
    /// A share is a number from 0 to below 1.
    #[error("{what} is {given}: give a share from 0 to 0.9")]
    Share {
        /// Which share.
        what: &'static str,
        /// What was given.
        given: f64,
    },
    /// Nothing would be measured.
    #[error("{0} rounds: give from 1 to 1000")]
    Rounds(u32),
}

/// Runs a simulation to its end. A million nodes take about 150 MB and, per round, under a second.
pub fn run(config: &Config) -> Result<Report, ConfigError> {
    let share = |what, given: f64| match given {
        given if (0.0..=0.9).contains(&given) => Ok(()),
        given => Err(ConfigError::Share { what, given }),
    };
    if !(100..=NODES_MAX).contains(&config.nodes) {
        return Err(ConfigError::Nodes(config.nodes));
    }
    share("the share of liars", config.liars)?;
    share("churn", config.churn)?;
    if !(1..=1000).contains(&config.rounds) {
        return Err(ConfigError::Rounds(config.rounds));
    }
    let mut world = World::new(config);
    for _ in 0..config.warm_up {
        world.round();
    }
    world.publish();
    let mut reached = vec![world.reached()];
    for _ in 0..config.rounds {
        world.round();
        reached.push(world.reached());
    }
    Ok(report::make(config, &world, reached))
}

/// A node at some time: its index, and how many had the index before it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Id(u32);

impl Id {
    /// A slot that is empty: no node comes to this generation of this index.
    const NOBODY: Id = Id(u32::MAX);

    fn new(index: usize, generation: u8) -> Id {
        Id((index as u32) | (u32::from(generation) << INDEX_BITS))
    }

    fn index(self) -> usize {
        (self.0 & (NODES_MAX - 1)) as usize
    }

    fn generation(self) -> u8 {
        (self.0 >> INDEX_BITS) as u8
    }
}

struct World {
    views: Vec<[Id; VIEW_LEN]>,
    samplers: Vec<[Id; SAMPLER_LEN]>,
    generations: Vec<u8>,
    /// The first of them lie: which index a node has tells nobody anything.
    liars: usize,
    fresh: Vec<bool>,
    /// Calls answered in this round.
    answered: Vec<u8>,
    /// Bytes that each honest node has sent, in all.
    exchanges: u64,
    rounds: u32,
    liar_calls: u32,
    churn_per_round: f64,
    defence: bool,
    rng: ChaCha8Rng,
}

impl World {
    /// Everybody knows some others, as in a network that has run for a while.
    fn new(config: &Config) -> World {
        let nodes = config.nodes as usize;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut views = vec![[Id::NOBODY; VIEW_LEN]; nodes];
        for slot in views.iter_mut().flatten() {
            *slot = Id::new(below(&mut rng, nodes), 0);
        }
        World {
            views,
            samplers: vec![[Id::NOBODY; SAMPLER_LEN]; nodes],
            generations: vec![0; nodes],
            liars: (config.liars * f64::from(config.nodes)).round() as usize,
            fresh: vec![false; nodes],
            answered: vec![0; nodes],
            exchanges: 0,
            rounds: 0,
            liar_calls: config.liar_calls,
            churn_per_round: config.churn / f64::from(config.rounds),
            defence: config.defence,
            rng,
        }
    }

    fn is_liar(&self, index: usize) -> bool {
        index < self.liars
    }

    fn is_alive(&self, id: Id) -> bool {
        id != Id::NOBODY && self.generations[id.index()] == id.generation()
    }

    fn own(&self, index: usize) -> Id {
        Id::new(index, self.generations[index])
    }

    /// One honest node has the new root.
    fn publish(&mut self) {
        let first = self.liars + below(&mut self.rng, self.views.len() - self.liars);
        self.fresh[first] = true;
        (self.exchanges, self.rounds) = (0, 0);
    }

    /// The share of honest nodes that have it.
    fn reached(&self) -> f64 {
        let honest = &self.fresh[self.liars..];
        honest.iter().filter(|fresh| **fresh).count() as f64 / honest.len() as f64
    }

    fn round(&mut self) {
        self.churn();
        self.answered.fill(0);
        self.rounds += 1;
        // In an order of their own, so that no index is always first.
        let (nodes, start) = (self.views.len(), self.rng.next_u64() as usize);
        let stride = coprime_stride(nodes, &mut self.rng);
        for step in 0..nodes {
            let caller = (start % nodes + step * stride) % nodes;
            if self.is_liar(caller) {
                for _ in 0..self.liar_calls {
                    let called = below(&mut self.rng, nodes);
                    self.lie(caller, called);
                }
            } else {
                self.call(caller);
                self.probe(caller);
            }
        }
    }

    fn churn(&mut self) {
        let leaving = self.churn_per_round * self.views.len() as f64;
        let whole = leaving as usize + usize::from(unit(&mut self.rng) < leaving.fract());
        for _ in 0..whole {
            let index = below(&mut self.rng, self.views.len());
            self.generations[index] = self.generations[index].wrapping_add(1);
            // Whoever joins has the descriptor of any one node, and copies what that one knows. It asks until one answers.
            let contact = below(&mut self.rng, self.views.len());
            self.views[index] = self.views[contact];
            self.views[index][0] = self.own(contact);
            self.samplers[index] = [Id::NOBODY; SAMPLER_LEN];
            self.fresh[index] = self.fresh[contact] && !self.is_liar(contact);
        }
    }

    /// An honest node calls one that it knows.
    fn call(&mut self, caller: usize) {
        let slot = below(&mut self.rng, VIEW_LEN);
        let called = self.views[caller][slot];
        if !self.is_alive(called) {
            let sample = self.sample(caller);
            self.views[caller][slot] = sample;
            return;
        }
        let other = called.index();
        if other == caller || !self.answers(other) {
            return;
        }
        self.exchanges += 1;
        if self.is_liar(other) {
            let told = self.lies(other);
            self.learn(caller, &told);
            return;
        }
        self.exchanges += 1;
        let (given, taken) = (self.mention(caller), self.mention(other));
        self.learn(other, &given);
        self.learn(caller, &taken);
        let fresh = self.fresh[caller] || self.fresh[other];
        (self.fresh[caller], self.fresh[other]) = (fresh, fresh);
    }

    /// A liar calls anybody and mentions its friends.
    fn lie(&mut self, liar: usize, called: usize) {
        if self.is_liar(called) || !self.answers(called) {
            return;
        }
        self.exchanges += 1;
        let told = self.lies(liar);
        self.learn(called, &told);
    }

    fn answers(&mut self, index: usize) -> bool {
        let answered = &mut self.answered[index];
        let answers = !self.defence || *answered < CALLS_ANSWERED;
        *answered = answered.saturating_add(u8::from(answers));
        answers
    }

    /// Itself, and some of those that it knows.
    fn mention(&mut self, index: usize) -> [Id; EXCHANGED] {
        let mut told = [self.own(index); EXCHANGED];
        let first = below(&mut self.rng, VIEW_LEN);
        for (step, slot) in told.iter_mut().enumerate().skip(1) {
            *slot = self.views[index][(first + step) % VIEW_LEN];
        }
        told
    }

    fn lies(&mut self, liar: usize) -> [Id; EXCHANGED] {
        let mut told = [self.own(liar); EXCHANGED];
        for slot in told.iter_mut().skip(1) {
            let friend = below(&mut self.rng, self.liars);
            *slot = self.own(friend);
        }
        told
    }

    /// Takes whom it talked with and one more of what it was told into its view, and with the defence two of its samples.
    ///
    /// Not more: a view that took all of it would know the much-copied ever better, and some nodes would be known by nobody.
    /// The sampler sees only those who were really there: to mention a friend costs a liar nothing.
    fn learn(&mut self, index: usize, told: &[Id; EXCHANGED]) {
        self.taste(index, told[0]);
        let more = 1 + below(&mut self.rng, EXCHANGED - 1);
        self.know(index, told[0]);
        self.know(index, told[more]);
        if self.defence {
            for _ in 0..SAMPLES_TAKEN {
                let sample = self.sample(index);
                self.know(index, sample);
            }
        }
    }

    fn know(&mut self, index: usize, id: Id) {
        if id == Id::NOBODY || id.index() == index || self.views[index].contains(&id) {
            return;
        }
        let slot = below(&mut self.rng, VIEW_LEN);
        self.views[index][slot] = id;
    }

    /// Each slot of the sampler keeps the id with the least hash under the slot's secret.
    fn taste(&mut self, index: usize, id: Id) {
        if id == Id::NOBODY {
            return;
        }
        for (slot, kept) in self.samplers[index].iter_mut().enumerate() {
            let secret = (index * SAMPLER_LEN + slot) as u64;
            if *kept == Id::NOBODY || hash(secret, id.0) < hash(secret, kept.0) {
                *kept = id;
            }
        }
    }

    /// Forgets one sample if it is dead.
    fn probe(&mut self, index: usize) {
        let slot = below(&mut self.rng, SAMPLER_LEN);
        if !self.is_alive(self.samplers[index][slot]) {
            self.samplers[index][slot] = Id::NOBODY;
        }
    }

    fn sample(&mut self, index: usize) -> Id {
        let slot = below(&mut self.rng, SAMPLER_LEN);
        self.samplers[index][slot]
    }
}

/// A number below `end`, which is not zero.
fn below(rng: &mut ChaCha8Rng, end: usize) -> usize {
    ((u64::from(rng.next_u32()) * end as u64) >> 32) as usize
}

/// A number from 0 to 1.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / f64::from(u32::MAX)
}

/// A step that visits every index once.
fn coprime_stride(nodes: usize, rng: &mut ChaCha8Rng) -> usize {
    loop {
        let stride = 1 + below(rng, nodes - 1);
        let (mut a, mut b) = (nodes, stride);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        if a == 1 {
            return stride;
        }
    }
}

/// Stands for a keyed hash: well mixed, and not for anything but simulation.
fn hash(secret: u64, id: u32) -> u64 {
    let mut mixed = (secret << 32 | u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests;
