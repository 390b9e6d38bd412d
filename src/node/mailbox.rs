//! The role of the mailbox: a server on its own database, beside the mixnet.
//!
//! ```text
//! mixnet ─ requests ─▶ gathered ─▶ server on a thread that may wait for the disk ─▶ answers ─▶ mixnet
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::mixnet::mailbox::server::{EPOCH_S, TTL_S};
use ::mixnet::mailbox::{CellStoreError, Request, Server, ServerConfig, ServerCounters};
use ::mixnet::shell::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::parts::{self, SeedFor};
use crate::cells::RocksCells;
use crate::config::Settings;
use crate::directory::Directory;
use crate::failure::StartError;

/// How a mailbox is doing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doing {
    pub cells: usize,
    pub bytes: u64,
    pub counters: ServerCounters,
    /// Batches that the disk did not take.
    pub failures: u64,
}

/// A mailbox at work.
pub(super) struct Mailbox {
    pub doing: watch::Receiver<Doing>,
    task: JoinHandle<()>,
}

impl Mailbox {
    /// Ends it; what was answered is on the disk.
    pub(super) async fn stop(self) {
        self.task.abort();
        // An error says that it was aborted, which is what was asked for.
        let _ = self.task.await;
    }
}

/// Opens the mailbox on its database and joins it to the mixnet.
pub(super) async fn start(
    settings: &Settings,
    directory: &Directory,
    mix: &Handle,
) -> Result<Mailbox, StartError> {
    let path = directory.mailbox();
    let config = ServerConfig {
        bytes_max: settings.mailbox.max_bytes,
        epoch_bytes_max: settings.mailbox.max_bytes / EPOCHS_TO_FILL,
        epoch_s: EPOCH_S,
        ttl_s: TTL_S,
    };
    let seed = *parts::seed(settings, SeedFor::Mailbox)?;
    let failed = |error: CellStoreError| StartError::Database {
        path: path.clone(),
        why: error.to_string(),
    };
    let server = Server::open(config, RocksCells::open(&path)?, seed).map_err(failed)?;
    let (requests, received) = mpsc::channel(REQUESTS_MAX);
    mix.serve_mailbox(requests).await;
    let (publish, doing) = watch::channel(Doing {
        cells: server.cells(),
        bytes: server.bytes(),
        ..Doing::default()
    });
    let task = tokio::spawn(run(server, received, mix.clone(), publish));
    Ok(Mailbox { doing, task })
}

async fn run(
    mut server: Server<RocksCells>,
    mut requests: mpsc::Receiver<Request>,
    mix: Handle,
    publish: watch::Sender<Doing>,
) {
    let mut failures = 0;
    loop {
        let mut batch = Vec::new();
        let gathered = requests.recv_many(&mut batch, BATCH_MAX);
        // The mixnet has ended.
        if let Ok(0) = tokio::time::timeout(EXPIRE_EVERY, gathered).await {
            return;
        }
        let served = tokio::task::spawn_blocking(move || {
            let answers = server.serve(unix_s(), batch);
            (server, answers)
        });
        let Ok((back, answers)) = served.await else {
            return tracing::error!("the mailbox ended badly");
        };
        server = back;
        match answers {
            Ok(answers) if answers.is_empty() => {}
            Ok(answers) => mix.answer(answers).await,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "the mailbox answered nothing");
            }
        }
        publish.send_replace(Doing {
            cells: server.cells(),
            bytes: server.bytes(),
            counters: server.counters(),
            failures,
        });
    }
}

fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

// ---- Our bounds ----

/// Requests that wait: two seconds of what one neighbour may send. What is more is dropped, and asked again by who wants it.
const REQUESTS_MAX: usize = 1_024;

/// Requests that are served together, with one write.
const BATCH_MAX: usize = 64;

/// Without requests, expired cells are looked for so often.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// In one epoch a mailbox takes one part of so many.
const EPOCHS_TO_FILL: u64 = 16;
