//! `ferry sim anonymity`: how much somebody learns who sees every packet.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mixnet::sim::anonymity::network::{self, Epsilon, Shape};
use mixnet::sim::anonymity::{Estimate, pool, theory};
use serde::Serialize;

use super::charts::{self, Chart, Curve};
use crate::cli::out;
use crate::exit::Exit;
use crate::failure::Failure;

/// Anonymity against somebody who sees every packet: entropies, and how far two senders can be told apart.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Runs with different seeds for each point of the last table.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
    /// Repeats the same runs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes charts (SVG) into this directory.
    #[arg(long, value_name = "DIR")]
    charts: Option<PathBuf>,
    /// One JSON object with everything.
    #[arg(long)]
    json: bool,
}

/// Packets that rest in one node, on average.
const POOLS: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0];
/// Departures that are looked at for each of them.
const DEPARTURES: usize = 50_000;
/// Networks: packets a second, nodes of a layer, 1 over the mean delay.
const NETWORKS: [(f64, usize, f64); 3] = [(200.0, 3, 1.0), (300.0, 3, 5.0), (600.0, 6, 2.0)];
/// Packets that are followed in each.
const TARGETS: usize = 30;
/// 1 over the mean delay, for two senders among a hundred users of two packets a second, in three layers of three nodes.
const MUS: [f64; 6] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Seconds that are looked at for each of them.
const SECONDS: f64 = 100.0;

#[derive(Serialize)]
struct Findings {
    pools: Vec<PoolRow>,
    networks: Vec<NetworkRow>,
    two_senders: Vec<SenderRow>,
}

#[derive(Serialize)]
struct PoolRow {
    pool: f64,
    entropy: Estimate,
    formula: f64,
}

#[derive(Serialize)]
struct NetworkRow {
    shape: Shape,
    entropy: Estimate,
    formula: f64,
}

#[derive(Serialize)]
struct SenderRow {
    mu: f64,
    /// One run for each seed.
    runs: Vec<Epsilon>,
    mean: f64,
    median: f64,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let findings = find(options);
    match options.json {
        true => out::say(&serde_json::json!(findings).to_string()),
        false => describe(&findings),
    }
    if let Some(directory) = &options.charts
        && let Err(error) = draw(&findings, directory)
    {
        out::complain(&format!(
            "ferry: the charts cannot be written to {}: {error}; name a directory that you may write to",
            directory.display()
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

fn find(options: &Options) -> Findings {
    let (seed, start) = (options.seed, Instant::now());
    let pools = POOLS.map(|pool| PoolRow {
        pool,
        entropy: pool::departures(pool, DEPARTURES, seed, start),
        formula: theory::pool_entropy(pool),
    });
    let networks = NETWORKS.iter().flat_map(|&(rate, width, mu)| {
        (1..=5).map(move |layers| {
            let shape = Shape {
                rate,
                width,
                layers,
                mu,
            };
            NetworkRow {
                shape,
                entropy: network::entropy(shape, TARGETS, seed, start),
                formula: theory::network_entropy(rate / mu, layers as u32),
            }
        })
    });
    let two_senders = MUS.map(|mu| {
        let shape = Shape {
            rate: 200.0,
            width: 3,
            layers: 3,
            mu,
        };
        let run = |run| network::two_senders(shape, 100, SECONDS, seed.wrapping_add(run), start);
        let runs: Vec<Epsilon> = (0..options.runs).map(run).collect();
        let over =
            |value: fn(&Epsilon) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        SenderRow {
            mu,
            mean: over(|run| run.mean),
            median: over(|run| run.median),
            runs,
        }
    });
    Findings {
        pools: pools.into(),
        networks: networks.collect(),
        two_senders: two_senders.into(),
    }
}

fn describe(findings: &Findings) {
    out::say("One node: entropy of a departure in bits, by the packets that rest in it");
    out::say("     pool   found      sd   log2(e·pool)");
    for row in &findings.pools {
        out::say(&format!(
            "  {:>7.1} {:>7.3} {:>7.2} {:>14.3}",
            row.pool, row.entropy.mean, row.entropy.sd, row.formula
        ));
    }
    out::say("A network: entropy of one packet over its outputs in bits");
    out::say("   rate/s  width  layers  delay s   found      sd   formula");
    for NetworkRow {
        shape,
        entropy,
        formula,
    } in &findings.networks
    {
        out::say(&format!(
            "  {:>7} {:>6} {:>7} {:>8.2} {:>7.3} {:>7.2} {:>9.3}",
            shape.rate,
            shape.width,
            shape.layers,
            1.0 / shape.mu,
            entropy.mean,
            entropy.sd,
            formula
        ));
    }
    out::say("Two of 100 users, 3 layers of 3 nodes: |ln p0/p1| of an output");
    out::say("  delay s    mean  median");
    for row in &findings.two_senders {
        out::say(&format!(
            "  {:>7.2} {:>7.3} {:>7.3}",
            1.0 / row.mu,
            row.mean,
            row.median
        ));
    }
}

fn draw(findings: &Findings, directory: &Path) -> Result<(), charts::DrawError> {
    std::fs::create_dir_all(directory)?;
    let pools = |value: fn(&PoolRow) -> f64| {
        findings
            .pools
            .iter()
            .map(|row| (row.pool.log10(), value(row)))
            .collect()
    };
    Chart {
        title: "One node: from how many packets could this one be?",
        x: "packets that rest in the node (power of ten)",
        y: "entropy (bits)",
        curves: vec![
            Curve::line("log2(e·pool)", pools(|row| row.formula)),
            Curve::points("simulated", pools(|row| row.entropy.mean)),
        ],
    }
    .write(&directory.join("pool.svg"))?;
    let mut curves = Vec::new();
    for (rate, width, mu) in NETWORKS {
        let of = |value: fn(&NetworkRow) -> f64| {
            let rows = findings
                .networks
                .iter()
                .filter(|row| row.shape.rate == rate);
            rows.map(|row| (row.shape.layers as f64, value(row)))
                .collect()
        };
        let name = format!("{rate}/s, {width} nodes a layer, {} s", 1.0 / mu);
        curves.push(Curve::line(
            &format!("formula: {name}"),
            of(|row| row.formula),
        ));
        curves.push(Curve::points(&name, of(|row| row.entropy.mean)));
    }
    Chart {
        title: "A network: over how many outputs is one packet spread?",
        x: "layers",
        y: "entropy (bits)",
        curves,
    }
    .write(&directory.join("network.svg"))?;
    let senders = |value: fn(&SenderRow) -> f64| {
        findings
            .two_senders
            .iter()
            .map(|row| ((1.0 / row.mu).log10(), value(row).log10()))
            .collect()
    };
    Chart {
        title: "Two senders: how far can an observer tell them apart?",
        x: "mean delay at a node in seconds (power of ten)",
        y: "|ln p0/p1| (power of ten)",
        curves: vec![
            Curve::points("mean", senders(|row| row.mean)),
            Curve::points("median", senders(|row| row.median)),
        ],
    }
    .write(&directory.join("two_senders.svg"))
}
