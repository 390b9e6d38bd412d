//! A core at work, with the tasks that carry its inputs and outputs.
//!
//! ```text
//! events of Whisper ──▶┐          ┌──▶ Whisper: posts, deliveries
//!                      ├──▶ core ─┤
//! events of the mix ──▶┘          └──▶ mixnet: replies, requests
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bridge::port::{BridgeId, Stage, Trace};
use bridge::store::StoreError;
use bridge::{engine, gateway::client};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::store_failed;
use crate::failure::StartError;
use crate::ledger::SharedLedger;
use crate::link::interest::Interests;
use crate::metrics::Metrics;

/// Outputs of a core that wait for one network: about a second of a bridge's clock, and then the core waits.
const PORT_QUEUE: usize = 64;

/// What looks at the life of envelopes.
#[derive(Clone)]
pub(super) struct Watching {
    pub ledger: SharedLedger,
    pub metrics: Arc<Metrics>,
}

impl Watching {
    pub(super) fn note(&self, trace: &Trace, direction: impl Fn(Stage) -> Option<&'static str>) {
        let mut ledger = self.ledger.lock();
        ledger.record(trace);
        let accepted = ledger
            .life(&trace.hash)
            .and_then(|life| life.stages.first())
            .map(|step| step.at_unix_ms);
        let Some(accepted) = accepted else { return };
        let took = Duration::from_millis(trace.at_unix_ms.saturating_sub(accepted)).as_secs_f64();
        if trace.stage == Stage::Committed {
            self.metrics.observe_commit(took);
        }
        if let Some(direction) = direction(trace.stage) {
            self.metrics.observe_end_to_end(direction, took);
        }
    }
}

/// How the core of this node is doing.
#[derive(Clone)]
pub(super) enum Doing {
    /// A bridge.
    Bridge(watch::Receiver<engine::Status>),
    /// An edge.
    Edge(watch::Receiver<client::Status>, Arc<Interests>, BridgeId),
}

/// A core at work.
pub(super) struct Core {
    pub doing: Doing,
    /// Carry events into the core; ended to stop it.
    pub(super) feeds: JoinSet<()>,
    pub(super) task: JoinHandle<Result<(), StoreError>>,
    /// Carry its outputs out; they end when it has ended and they are done.
    pub(super) ports: JoinSet<()>,
}

impl Core {
    /// Returns when the core has ended by itself.
    pub(super) async fn ended(&mut self) -> StartError {
        match (&mut self.task).await {
            Ok(Ok(())) => StartError::Bug("the core ended by itself".to_owned()),
            Ok(Err(error)) => store_failed(&error),
            Err(error) => StartError::Bug(format!("the core ended: {error}")),
        }
    }

    /// Takes nothing new, writes what is left, hands it out.
    pub(super) async fn stop(mut self) {
        self.feeds.shutdown().await;
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database failed while stopping"),
            Err(error) => tracing::warn!(%error, "the core ended badly"),
        }
        while self.ports.join_next().await.is_some() {}
    }
}

/// A bounded queue that one task empties in order; it ends when nobody can put anything in any more.
pub(super) fn port<T, W>(
    tasks: &mut JoinSet<()>,
    mut carry: impl FnMut(T) -> W + Send + 'static,
) -> mpsc::Sender<T>
where
    T: Send + 'static,
    W: Future<Output = ()> + Send,
{
    let (queue, mut queued) = mpsc::channel(PORT_QUEUE);
    tasks.spawn(async move {
        while let Some(item) = queued.recv().await {
            carry(item).await;
        }
    });
    queue
}

/// Puts something into a port. A port ends only with its core, when what was left out is still on the disk.
pub(super) async fn put<T>(port: &mpsc::Sender<T>, item: T) {
    let _ = port.send(item).await;
}
