//! `ferry run`: a node in the foreground, until a signal.

use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;

use super::{id, out, runtime};
use crate::api;
use crate::config::Settings;
use crate::directory::Directory;
use crate::exit::Exit;
use crate::failure::{Failure, StartError};
use crate::identity::Identity;
use crate::keystore::Keys;
use crate::node::{self, Running};
use crate::shutdown::{STOP_WITHIN, Shutdown};
use crate::{fds, log};

/// Runs a node in the foreground until SIGINT or SIGTERM; a second signal forces the end.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node's directory, made by `ferry init`.
    #[arg(long, value_name = "DIR", env = "FERRY_DIR")]
    dir: PathBuf,
    /// Set a key of the configuration for this run.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Seeds every random clock, so that a test network repeats. Never for real use.
    #[arg(long, hide = true)]
    seed: Option<u64>,
    /// Also stop when standard input ends: for a child of `ferry devnet`.
    #[arg(long, hide = true)]
    stop_with_input: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let directory = Directory::open(&options.dir)?;
    let mut settings = id::settings(&directory, &options.set)?;
    settings.node.seed = options.seed;
    let keys = Keys::load(&directory, &settings.node.roles)?;
    let warning = fds::prepare(&settings)?;
    let _lock = directory.lock()?;
    log::start(&settings.log);
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let runtime = runtime::of_a_node()?;
    let result = runtime.block_on(serve(options, settings, directory, keys));
    // What still blocks (a disk, a thread on standard input) is not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(
    options: &Options,
    settings: Settings,
    directory: Directory,
    keys: Keys,
) -> Result<Exit, Failure> {
    let mut shutdown = Shutdown::listen()
        .map_err(|error| Failure::from(StartError::Resources(error.to_string())))?;
    if options.stop_with_input {
        shutdown = shutdown.and_input();
    }
    let address = settings.api.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| {
        Failure::from(StartError::Listen {
            purpose: "api",
            address,
            source,
        })
    })?;
    let identity = Identity::new(&settings, &keys)?;
    let mut running = tokio::select! {
        started = node::start(settings, directory, keys) => started?,
        _ = shutdown.next() => return Ok(Exit::Ok),
    };
    let server = tokio::spawn(api::serve(listener, running.view()));
    banner(&identity);
    let failure = tokio::select! {
        reason = shutdown.next() => {
            tracing::info!(reason, "stopping");
            None
        }
        ended = running.ended() => Some(Failure::from(ended)),
    };
    server.abort();
    stop(running, &mut shutdown).await;
    failure.map_or(Ok(Exit::Ok), Err)
}

/// Drains within the limit; a second signal or the limit cuts it off. Either way nothing is lost:
/// what was accepted is on the disk.
async fn stop(running: Running, shutdown: &mut Shutdown) {
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        reason = shutdown.next() => tracing::warn!(reason, "stopped without draining"),
        () = tokio::time::sleep(STOP_WITHIN) => {
            tracing::warn!("draining took longer than {} s and was cut off", STOP_WITHIN.as_secs());
        }
    }
}

/// What is exposed where. This is for whoever started the node, not for its log.
fn banner(identity: &Identity) {
    out::say(&format!(
        "ferry {} runs: {}",
        env!("CARGO_PKG_VERSION"),
        identity.roles
    ));
    if let Some(enode) = &identity.enode {
        out::say(&format!("  whisper  {enode}"));
    }
    if let Some(multiaddr) = &identity.multiaddr {
        out::say(&format!("  mix      {multiaddr}"));
    }
    out::say(&format!("  api      {} (this machine only)", identity.api));
    let ipc = identity.ipc.as_ref().map(|path| path.display().to_string());
    let rpc = [&identity.rpc_http, &identity.rpc_ws, &ipc];
    let rpc: Vec<&str> = rpc.into_iter().flatten().map(String::as_str).collect();
    if !rpc.is_empty() {
        out::say(&format!("  rpc      {}", rpc.join("  ")));
    }
}
