//! The command line. Each command is a module with its options and a function that runs it.
//!
//! Standard output carries results, standard error everything else. With `--json` a result is one
//! JSON object per line.

mod client;
mod demo;
mod devnet;
mod id;
mod init;
mod listen;
mod measure;
mod out;
mod preset;
mod run;
mod runtime;
mod send;
mod sim;
mod vectors;
mod version;
mod window;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) use id::identity as identity_of;
pub(crate) use init::make as make_node;

/// Carries the messages of unmodified Status clients through a mixnet.
#[derive(Debug, Parser)]
#[command(name = "ferry", version = version::LINE, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Options),
    Run(run::Options),
    Id(id::Options),
    Demo(demo::Options),
    Devnet(devnet::Options),
    Send(send::Options),
    Listen(listen::Options),
    Preset(preset::Options),
    #[command(hide = true)]
    Measure(measure::Options),
    Sim(sim::Options),
    Vectors(vectors::Options),
    Version(version::Options),
    Window(window::Options),
}

/// Reads the command line, runs the command and says how it ended.
pub fn main() -> ExitCode {
    // The default message of a panic stays; it must not look like a failed command to scripts.
    match std::panic::catch_unwind(|| finish(dispatch(Cli::parse()))) {
        Ok(exit) => exit.into(),
        Err(_) => Exit::Bug.into(),
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Init(options) => init::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Id(options) => id::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Devnet(options) => devnet::run(&options),
        Command::Send(options) => send::run(&options),
        Command::Listen(options) => listen::run(&options),
        Command::Preset(options) => preset::run(&options),
        Command::Measure(options) => measure::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Vectors(options) => vectors::run(&options),
        Command::Version(options) => version::run(&options),
        Command::Window(options) => window::run(&options),
    }
}

fn finish(result: Result<Exit, Failure>) -> Exit {
    result.unwrap_or_else(|failure| {
        out::complain(&format!("ferry: {failure}"));
        failure.exit
    })
}
