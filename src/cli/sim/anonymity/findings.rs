//! Runs the simulations. Each row names its adversary.

use std::time::Instant;

use mixnet::limits::RELAYS_NEEDED;
use mixnet::preset::Preset;
use mixnet::sim::anonymity::blending::{self, Attack};
use mixnet::sim::anonymity::disclosure::{self, Curve, Defence};
use mixnet::sim::anonymity::network::{self, Compared, Epsilon, Shape};
use mixnet::sim::anonymity::{Estimate, pool, theory};
use serde::Serialize;

/// Packets that rest in one node, on average.
const POOLS: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0];
/// Departures that are looked at for each of them.
const DEPARTURES: usize = 50_000;
/// Networks: packets a second, nodes of a layer, 1 over the mean delay.
pub(super) const NETWORKS: [(f64, usize, f64); 3] =
    [(200.0, 3, 1.0), (300.0, 3, 5.0), (600.0, 6, 2.0)];
/// Packets that are followed in each.
const TARGETS: usize = 30;
/// 1 over the mean delay, for two senders among a hundred users of two packets a second, in three layers of three nodes.
const MUS: [f64; 8] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
/// Seconds that are looked at for each of them: two thousand marked packets.
const SECONDS: f64 = 1_000.0;
/// Relays of a network and how many of them are corrupt.
const CORRUPT: [(usize, usize); 8] = [
    (10, 1),
    (10, 3),
    (30, 3),
    (30, 6),
    (30, 9),
    (300, 30),
    (300, 60),
    (300, 90),
];
/// Runs of the intersection attack for each one that was asked for: a share is told, which needs more of them.
const DISCLOSURES_PER_RUN: u64 = 32;
/// The preset of Alice in it: the slowest clock, so the least cover.
const DISCLOSURE_PRESET: Preset = Preset::MOBILE_SAVER;
/// The n-1 attack goes on for at most so many seconds.
const ATTACK_SECONDS: u64 = 120;

#[derive(Serialize)]
pub(super) struct Findings {
    pub(super) pools: Vec<PoolRow>,
    pub(super) networks: Vec<NetworkRow>,
    pub(super) two_senders: Vec<SenderRow>,
    pub(super) compromised: Vec<CorruptRow>,
    pub(super) intersection: Vec<Curve>,
    pub(super) n_minus_1: Vec<Attack>,
}

#[derive(Serialize)]
pub(super) struct PoolRow {
    adversary: &'static str,
    pub(super) pool: f64,
    pub(super) entropy: Estimate,
    pub(super) formula: f64,
}

#[derive(Serialize)]
pub(super) struct NetworkRow {
    adversary: &'static str,
    pub(super) shape: Shape,
    pub(super) entropy: Estimate,
    pub(super) formula: f64,
    /// As many equally likely outputs are as hard to guess among.
    pub(super) effective_set: f64,
}

#[derive(Serialize)]
pub(super) struct SenderRow {
    adversary: &'static str,
    pub(super) mu: f64,
    /// At the outputs that are marked, as in published tables.
    pub(super) marked: Epsilons,
    /// At all outputs.
    pub(super) all: Epsilons,
}

/// One run for each seed, and their means.
#[derive(Serialize)]
pub(super) struct Epsilons {
    pub(super) mean: f64,
    pub(super) median: f64,
    pub(super) p95: f64,
    pub(super) infinite: f64,
    runs: Vec<Epsilon>,
}

#[derive(Serialize)]
pub(super) struct CorruptRow {
    adversary: &'static str,
    pub(super) relays: usize,
    pub(super) corrupt: usize,
    /// Share of paths on which all three relays are corrupt.
    pub(super) share: f64,
}

const PASSIVE: &str = "sees every link";
const CORRUPTING: &str = "sees every link, and into some relays";

pub(super) fn find(runs: u64, seed: u64) -> Findings {
    let start = Instant::now();
    let pools = POOLS.map(|pool| PoolRow {
        adversary: PASSIVE,
        pool,
        entropy: pool::departures(pool, DEPARTURES, seed, start),
        formula: theory::pool_entropy(pool),
    });
    let corrupt = CORRUPT.map(|(relays, corrupt)| CorruptRow {
        adversary: CORRUPTING,
        relays,
        corrupt,
        share: theory::compromised(relays, corrupt, RELAYS_NEEDED),
    });
    let disclosures = runs * DISCLOSURES_PER_RUN;
    let curve = |defence| disclosure::curve(defence, &DISCLOSURE_PRESET, disclosures, seed, start);
    let attack =
        |run| blending::attack(Preset::FAST, ATTACK_SECONDS, seed.wrapping_add(run), start);
    Findings {
        pools: pools.into(),
        networks: networks(seed, start),
        two_senders: MUS.map(|mu| senders(mu, runs, seed, start)).into(),
        compromised: corrupt.into(),
        intersection: Defence::ALL.map(curve).into(),
        n_minus_1: (0..runs).filter_map(attack).collect(),
    }
}

fn networks(seed: u64, start: Instant) -> Vec<NetworkRow> {
    let rows = NETWORKS.iter().flat_map(|&(rate, width, mu)| {
        (1..=5).map(move |layers| {
            let shape = Shape {
                rate,
                width,
                layers,
                mu,
            };
            let entropy = network::entropy(shape, TARGETS, seed, start);
            NetworkRow {
                adversary: PASSIVE,
                shape,
                entropy,
                // The packets of a single layer do not mix with those of its other nodes.
                formula: match layers {
                    1 => theory::network_entropy(rate / mu / width as f64, 1),
                    _ => theory::network_entropy(rate / mu, layers as u32),
                },
                effective_set: entropy.mean.exp2(),
            }
        })
    });
    rows.collect()
}

fn senders(mu: f64, runs: u64, seed: u64, start: Instant) -> SenderRow {
    let shape = Shape {
        rate: 200.0,
        width: 3,
        layers: 3,
        mu,
    };
    let run = |run| {
        let seed = seed.wrapping_add(run);
        network::two_senders(shape, 100, SECONDS, seed, start)
    };
    let runs: Vec<Compared> = (0..runs).map(run).collect();
    SenderRow {
        adversary: PASSIVE,
        mu,
        marked: Epsilons::of(runs.iter().map(|run| run.marked).collect()),
        all: Epsilons::of(runs.iter().map(|run| run.all).collect()),
    }
}

impl Epsilons {
    fn of(runs: Vec<Epsilon>) -> Self {
        let over =
            |value: fn(&Epsilon) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        Self {
            mean: over(|run| run.mean),
            median: over(|run| run.median),
            p95: over(|run| run.p95),
            infinite: over(|run| run.infinite),
            runs,
        }
    }
}
