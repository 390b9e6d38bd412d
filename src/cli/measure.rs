//! `ferry measure`: measurements of a running network, for those who work on it.

mod shape;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;

/// Measures a network of real processes on this machine.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Shape(shape::Options),
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    match &options.command {
        Command::Shape(options) => shape::run(options),
    }
}
