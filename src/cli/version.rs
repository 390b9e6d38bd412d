//! `ferry version`: what this build is and which protocols it speaks.

use clap::Args;
use serde_json::json;

use super::out;
use crate::config::schema::CONFIG_VERSION;
use crate::exit::Exit;
use crate::failure::Failure;

/// The version in one word, for `--version`.
pub(super) const LINE: &str = env!("CARGO_PKG_VERSION");

/// Says what this build is and which protocols it speaks.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    if options.json {
        let about = json!({
            "version": LINE,
            "protocols": { "devp2p": [4, 5], "shh": [6], "mix": PROTOCOL_MIX, "gateway": 1, "mvds": [5000, 5001] },
            "config_version": CONFIG_VERSION,
        });
        out::say(&about.to_string());
    } else {
        out::say(&format!("ferry {LINE}"));
        out::say(&format!(
            "  devp2p 4 and 5, shh/6, {PROTOCOL_MIX}, config version {CONFIG_VERSION}"
        ));
    }
    Ok(Exit::Ok)
}

/// The libp2p protocol id of Sphinx packets.
const PROTOCOL_MIX: &str = "/mix/1.0.0";
