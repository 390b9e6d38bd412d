//! Tracing to standard error. Lines at info and above name no address, topic, key, hash or id.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::settings::{Log, LogFormat};

/// libp2p names peers at info, and its Kademlia warns of a node that knows nobody yet, which `/v1/health` says with what to do. Who wants
/// that says so in `log.level`, which wins.
const QUIET: &str = "libp2p_swarm=warn,libp2p_kad=error";

/// Starts logging for this process; a second call changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // An error means that the process logs already, which only a test does.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
