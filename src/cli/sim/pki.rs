//! `ferry sim pki`: the gossip of the directory among a million nodes.

use clap::Args;
use mixnet::sim::pki::{self, Report};

use crate::cli::out;
use crate::exit::Exit;
use crate::failure::Failure;

/// The gossip of the directory: does it reach everybody, while some leave and some lie?
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Nodes at any time.
    #[arg(long, default_value_t = 1_000_000)]
    nodes: u32,
    /// Shares of nodes that lie; one run for each.
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.01, 0.05, 0.1, 0.2])]
    liars: Vec<f64>,
    /// Calls that a liar makes where others make one.
    #[arg(long, default_value_t = 1)]
    liar_calls: u32,
    /// The share that leaves and is replaced in the measured epoch.
    #[arg(long, default_value_t = 0.1)]
    churn: f64,
    /// Rounds of the measured epoch.
    #[arg(long, default_value_t = 30)]
    rounds: u32,
    /// Rounds before it.
    #[arg(long, default_value_t = 20)]
    warm_up: u32,
    /// Nodes believe everything that they are told.
    #[arg(long)]
    no_defence: bool,
    /// Size of the active set that clients fetch.
    #[arg(long, default_value_t = 1024)]
    active: u32,
    /// Repeats the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object per run.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    for liars in &options.liars {
        let config = pki::Config {
            nodes: options.nodes,
            liars: *liars,
            liar_calls: options.liar_calls,
            churn: options.churn,
            warm_up: options.warm_up,
            rounds: options.rounds,
            defence: !options.no_defence,
            active: options.active,
            seed: options.seed,
        };
        let report = match pki::run(&config) {
            Ok(report) => report,
            Err(error) => {
                out::complain(&format!("ferry: {error}"));
                return Ok(Exit::Usage);
            }
        };
        match options.json {
            true => out::say(&serde_json::json!(report).to_string()),
            false => describe(&report),
        }
    }
    Ok(Exit::Ok)
}

fn describe(report: &Report) {
    out::say(&format!(
        "{} nodes, {} % of them liars, {} % replaced, {}",
        report.nodes,
        report.liars * 100.0,
        report.churn * 100.0,
        if report.defence {
            "with the defence"
        } else {
            "without the defence"
        }
    ));
    out::say(&match report.rounds_to_all {
        Some(rounds) => format!("  root       reached everybody in {rounds} rounds"),
        None => format!(
            "  root       reached {:.2} % of all",
            report.reached.last().copied().unwrap_or_default() * 100.0
        ),
    });
    out::say(&format!(
        "  stale      {:.2} % of a view on average, {:.1} % at the 99th percentile",
        report.stale.mean * 100.0,
        report.stale.p99 * 100.0
    ));
    out::say(&format!(
        "  in-degree  mean {:.1}, sd {:.1}, 1 % below {}, 1 % above {}, at most {}; variance over mean {:.2}",
        report.in_degree.mean,
        report.in_degree.sd,
        report.in_degree.p1,
        report.in_degree.p99,
        report.in_degree.max,
        report.in_degree_dispersion
    ));
    out::say(&format!(
        "  liars      {:.1} % of views, {:.1} % of samplers",
        report.liars_in_views * 100.0,
        report.liars_in_samplers * 100.0
    ));
    out::say(&format!(
        "  isolated   {} nodes; {} known by nobody at the end",
        report.isolated, report.unknown
    ));
    out::say(&format!(
        "  bytes      {:.0} per node and round; a client fetches {:.1} MB a month",
        report.bytes_per_round,
        report.client_bytes_per_month as f64 / 1e6
    ));
}
