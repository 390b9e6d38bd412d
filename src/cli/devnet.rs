//! `ferry devnet`: a whole network on this machine.

use clap::Args;

use crate::exit::Exit;
use crate::failure::Failure;

/// Starts a complete network on loopback.
#[derive(Debug, Args)]
pub(super) struct Options {}

pub(super) fn run(_options: &Options) -> Result<Exit, Failure> {
    Err(Failure::bug(
        "cannot start a devnet",
        "this build has none yet",
    ))
}
