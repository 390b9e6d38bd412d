//! `ferry send`: one Whisper message from the command line.

use clap::Args;

use crate::exit::Exit;
use crate::failure::Failure;

/// Sends one Whisper message through a node that it attaches to.
#[derive(Debug, Args)]
pub(super) struct Options {}

pub(super) fn run(_options: &Options) -> Result<Exit, Failure> {
    Err(Failure::bug(
        "cannot send",
        "this build has no Whisper client yet",
    ))
}
