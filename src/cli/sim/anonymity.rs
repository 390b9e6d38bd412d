//! `ferry sim anonymity`: how much somebody learns who sees every packet.
//!
//! | module | content |
//! |---|---|
//! | [`findings`] | runs the simulations |
//! | [`tables`] | prints what they found |
//! | [`drawing`] | draws it |

mod drawing;
mod findings;
mod tables;

use std::path::{Path, PathBuf};

use clap::Args;

use super::charts::DrawError;
use crate::cli::out;
use crate::exit::Exit;
use crate::failure::Failure;

/// Anonymity against somebody who sees every packet: entropies, how far two senders can be told apart, what attacks find.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Runs with different seeds for each point.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
    /// Repeats the same runs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes charts (SVG) and anonymity.json into this directory.
    #[arg(long, value_name = "DIR", visible_alias = "charts")]
    out: Option<PathBuf>,
    /// One JSON object with everything.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let findings = findings::find(options.runs, options.seed);
    match options.json {
        true => out::say(&serde_json::json!(findings).to_string()),
        false => tables::describe(&findings),
    }
    if let Some(directory) = &options.out
        && let Err(error) = write(&findings, directory)
    {
        out::complain(&format!(
            "ferry: the charts cannot be written to {}: {error}; name a directory that you may write to",
            directory.display()
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

fn write(findings: &findings::Findings, directory: &Path) -> Result<(), DrawError> {
    std::fs::create_dir_all(directory)?;
    let text = format!("{:#}\n", serde_json::json!(findings));
    std::fs::write(directory.join("anonymity.json"), text)?;
    drawing::draw(findings, directory)
}
