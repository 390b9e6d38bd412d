//! `ferry listen`: Whisper messages on standard output.

use clap::Args;

use crate::exit::Exit;
use crate::failure::Failure;

/// Prints Whisper messages that arrive at a node that it attaches to.
#[derive(Debug, Args)]
pub(super) struct Options {}

pub(super) fn run(_options: &Options) -> Result<Exit, Failure> {
    Err(Failure::bug(
        "cannot listen",
        "this build has no Whisper client yet",
    ))
}
