//! `ferry sim`: networks that no machine can run, in simulation.

mod anonymity;
mod charts;
mod pki;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;

/// Simulates networks that are too large for one machine.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Anonymity(anonymity::Options),
    Pki(pki::Options),
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    match &options.command {
        Command::Anonymity(options) => anonymity::run(options),
        Command::Pki(options) => pki::run(options),
    }
}
