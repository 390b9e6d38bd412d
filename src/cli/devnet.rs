//! `ferry devnet`: a whole network on this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{out, runtime};
use crate::devnet::{self, control};
use crate::exit::Exit;
use crate::failure::Failure;

/// Starts a complete network on loopback, each node a child process with its own directory and ports.
///
/// Prints one line when everything is ready and one per notable event, until SIGINT, SIGTERM or the
/// end of standard input. A line {"op":"restart","name":"bridge-1"} or {"op":"kill","name":…} on
/// standard input starts a node again or kills it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, flatten_help = true)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Args)]
struct Start {
    /// Mix nodes.
    #[arg(long, default_value_t = 3, value_name = "N")]
    relays: usize,
    /// Bridges.
    #[arg(long, default_value_t = 1, value_name = "N")]
    bridges: usize,
    /// Edges.
    #[arg(long, default_value_t = 1, value_name = "N")]
    edges: usize,
    /// Mailboxes: they keep what the bridges owe to edges that are away.
    #[arg(long, default_value_t = 0, value_name = "N")]
    mailboxes: usize,
    /// Preset of the edges: fast, normal, mobile, mobile-saver or high.
    #[arg(long, default_value = "fast", value_name = "NAME")]
    preset: String,
    /// Every relay loses so many of a hundred packets on purpose: for tests of what stands above it.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=90))]
    loss: u8,
    /// Attach the bridges to this Whisper node. Without any, the devnet runs two of its own.
    #[arg(long, value_name = "ENODE")]
    whisper_peer: Vec<String>,
    /// Keep everything here; without it a temporary directory is removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Repeats keys and clocks.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Find the network by gossip from one descriptor, and change the mix keys every so many seconds (8 or more; the real network
    /// takes 14400).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=43_200), conflicts_with = "trace")]
    epoch_s: Option<u32>,
    /// Every mix node writes when which packet passed into trace.txt in its directory: for measurements.
    #[arg(long, hide = true)]
    trace: bool,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a node of a running devnet again, stopping it first if it runs.
    Restart(Operation),
    /// Kills a node of a running devnet by SIGKILL.
    Kill(Operation),
}

#[derive(Debug, Args)]
struct Operation {
    /// The node, such as bridge-1.
    name: String,
    /// The directory of the devnet.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    match &options.command {
        Some(Command::Restart(operation)) => operate("restart", operation),
        Some(Command::Kill(operation)) => operate("kill", operation),
        None => start(&options.start),
    }
}

fn operate(op: &str, operation: &Operation) -> Result<Exit, Failure> {
    let answer = control::ask(&operation.dir, op, &operation.name)?;
    if operation.json {
        out::say(&json!({ "name": operation.name, "pid": answer["pid"] }).to_string());
    } else {
        out::say(&format!("{op} {}: pid {}", operation.name, answer["pid"]));
    }
    Ok(Exit::Ok)
}

fn start(start: &Start) -> Result<Exit, Failure> {
    let options = devnet::Options {
        relays: start.relays,
        bridges: start.bridges,
        edges: start.edges,
        mailboxes: start.mailboxes,
        preset: start.preset.clone(),
        loss_percent: start.loss,
        whisper_peers: start.whisper_peer.clone(),
        dir: start.dir.clone(),
        seed: start.seed,
        epoch_seconds: start.epoch_s,
        trace: start.trace,
    };
    let runtime = runtime::of_a_node()?;
    let result = runtime.block_on(devnet::run(&options, &mut |event| {
        let line = if start.json {
            event.to_json().to_string()
        } else {
            event.to_string()
        };
        out::say(&line);
    }));
    // The thread that reads standard input is not waited for.
    runtime.shutdown_background();
    result.map(|()| Exit::Ok)
}
