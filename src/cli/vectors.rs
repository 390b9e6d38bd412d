//! `ferry vectors check`: test vectors of anybody against this build.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::out;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::vectors;

/// Checks files of test vectors against this build.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints every failure, then "N passed, N failed". Exit code 1: a test failed; 2: a file
    /// cannot be read, or is of a kind that this build does not know.
    Check {
        /// Files in the format "ferry-vectors/1".
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let Command::Check { files } = &options.command;
    let (mut passed, mut failed, mut unreadable) = (0, 0, 0);
    for path in files {
        match vectors::check_file(path) {
            Ok(outcome) => {
                passed += outcome.passed;
                failed += outcome.failures.len();
                for failure in outcome.failures {
                    out::say(&format!("{}: {failure}", path.display()));
                }
            }
            Err(error) => {
                unreadable += 1;
                out::complain(&format!("{} {error}", path.display()));
            }
        }
    }
    out::say(&format!("{passed} passed, {failed} failed"));
    Ok(match (unreadable, failed) {
        (0, 0) => Exit::Ok,
        (0, _) => Exit::Failed,
        _ => Exit::Usage,
    })
}
