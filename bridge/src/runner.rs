//! Runs a core: one task owns it, one blocking thread at a time writes for it.
//!
//! ```text
//! inputs ─▶ core ─▶ outputs ─▶ the node
//!            │ ▲
//!     Commit ▼ │ Committed      batches are gathered for up to 5 ms or 64 of them, then written with one sync
//!           store
//! ```
//!
//! When all senders of inputs are gone the task writes what is left, hands out what that releases, and ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::engine::{self, Engine};
use crate::gateway::client::{self, Client};
use crate::port::Now;
use crate::store::{Batch, Store, StoreError};

/// Inputs that wait: a burst of Whisper envelopes; then whoever sends waits.
const INPUTS: usize = 1_024;
/// Outputs that wait for the node; then the core waits.
const OUTPUTS: usize = 1_024;
/// Batches written with one sync.
const GROUP_MAX: usize = 64;
/// How long a batch waits for others: far below a network's delay, and many messages at full load.
const GROUP_WAIT: Duration = Duration::from_millis(5);
/// Batches that are gathered or being written; then the core takes no input until the disk has caught up.
const IN_FLIGHT_MAX: u64 = 512;
/// Between two publications of the status.
const STATUS_GAP: Duration = Duration::from_secs(1);

/// What the runner needs of a core; the two roles have these by the same names.
pub trait Core: Send + 'static {
    /// What happens to it.
    type Input: Send + 'static;
    /// What it wants done.
    type Output: Send + 'static;
    /// How it is doing.
    type Status: Clone + Default + Send + Sync + 'static;

    /// One input.
    fn handle(&mut self, now: Now, input: Self::Input) -> Result<(), StoreError>;
    /// The next thing to do.
    fn poll(&mut self) -> Option<Step<Self::Output>>;
    /// When a tick is due.
    fn next_deadline(&self, now: Now) -> Option<Instant>;
    /// How it is doing.
    fn status(&self) -> Self::Status;
    /// The input that says that time has passed.
    fn tick() -> Self::Input;
    /// The input that says that batches are durable.
    fn committed(seq: u64) -> Self::Input;
    /// How many batches are not durable.
    fn in_flight(&self) -> u64;
}

/// An output as the runner sees it.
pub enum Step<O> {
    /// To be written here.
    Commit {
        /// Its number.
        seq: u64,
        /// The changes.
        batch: Batch,
    },
    /// For the node.
    Out(O),
}

/// A core at work.
pub struct Running<C: Core> {
    /// What happens to it. When all clones are dropped it drains and ends.
    pub input: mpsc::Sender<C::Input>,
    /// What it wants done; commits are not among it.
    pub output: mpsc::Receiver<C::Output>,
    /// How it is doing, every second.
    pub status: watch::Receiver<C::Status>,
    /// Ends with an error if the store fails.
    pub task: JoinHandle<Result<(), StoreError>>,
}

/// Starts a core on its store.
pub fn spawn<C: Core>(core: C, store: Arc<dyn Store>) -> Running<C> {
    let (input, inputs) = mpsc::channel(INPUTS);
    let (outputs, output) = mpsc::channel(OUTPUTS);
    let (publish, status) = watch::channel(core.status());
    let task = tokio::spawn(run(core, store, inputs, outputs, publish));
    Running {
        input,
        output,
        status,
        task,
    }
}

/// The two clocks.
pub fn now() -> Now {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        mono: Instant::now(),
        unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    }
}

/// A write under way: the number of its last batch, when it is done.
type Write = JoinHandle<Result<u64, StoreError>>;

async fn run<C: Core>(
    mut core: C,
    store: Arc<dyn Store>,
    mut inputs: mpsc::Receiver<C::Input>,
    outputs: mpsc::Sender<C::Output>,
    publish: watch::Sender<C::Status>,
) -> Result<(), StoreError> {
    let mut group = Group::default();
    let mut write: Option<Write> = None;
    let mut out = VecDeque::new();
    let mut is_open = true;
    let mut next_status = Instant::now();
    loop {
        while let Some(step) = core.poll() {
            match step {
                Step::Commit { seq, batch } => group.add(seq, batch),
                Step::Out(output) => out.push_back(output),
            }
        }
        if write.is_none() && (group.is_due() || (!is_open && !group.is_empty())) {
            write = Some(group.write(&store));
        }
        if !is_open && write.is_none() && out.is_empty() {
            publish.send_replace(core.status());
            return Ok(());
        }
        let gathered = if write.is_none() { group.due() } else { None };
        let at = [core.next_deadline(now()), gathered, Some(next_status)];
        let at = at.into_iter().flatten().min().unwrap_or(next_status);
        let is_taking = is_open && core.in_flight() < IN_FLIGHT_MAX && out.len() < OUTPUTS;
        tokio::select! {
            biased;
            result = finished(&mut write), if write.is_some() => {
                write = None;
                core.handle(now(), C::committed(result?))?;
            }
            permit = outputs.reserve(), if !out.is_empty() => match (permit, out.pop_front()) {
                (Ok(permit), Some(output)) => permit.send(output),
                // Nobody listens: the node is going down, and what counts is in the store.
                (_, _) => out.clear(),
            },
            () = tokio::time::sleep_until(at.into()) => {
                if next_status <= Instant::now() {
                    publish.send_replace(core.status());
                    next_status = Instant::now() + STATUS_GAP;
                }
                core.handle(now(), C::tick())?;
            }
            input = inputs.recv(), if is_taking => match input {
                Some(input) => core.handle(now(), input)?,
                None => is_open = false,
            },
        }
    }
}

async fn finished(write: &mut Option<Write>) -> Result<u64, StoreError> {
    match write {
        Some(handle) => match handle.await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Io(format!("the writing thread ended: {error}"))),
        },
        None => std::future::pending().await,
    }
}

/// Batches that are written together.
#[derive(Default)]
struct Group {
    batch: Batch,
    last: u64,
    count: usize,
    since: Option<Instant>,
}

impl Group {
    fn add(&mut self, seq: u64, batch: Batch) {
        self.batch.append(batch);
        self.last = seq;
        self.count += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + GROUP_WAIT)
    }

    fn is_due(&self) -> bool {
        self.count >= GROUP_MAX || self.due().is_some_and(|due| due <= Instant::now())
    }

    fn write(&mut self, store: &Arc<dyn Store>) -> Write {
        let group = std::mem::take(self);
        let store = Arc::clone(store);
        tokio::task::spawn_blocking(move || {
            store.write(&group.batch, true)?;
            Ok(group.last)
        })
    }
}

impl Core for Engine {
    type Input = engine::Input;
    type Output = engine::Output;
    type Status = engine::Status;

    fn handle(&mut self, now: Now, input: Self::Input) -> Result<(), StoreError> {
        Engine::handle(self, now, input)
    }

    fn poll(&mut self) -> Option<Step<Self::Output>> {
        Some(match self.poll_output()? {
            engine::Output::Commit { seq, batch } => Step::Commit { seq, batch },
            output @ (engine::Output::Reply { .. }
            | engine::Output::Publish { .. }
            | engine::Output::Work(_)
            | engine::Output::Leave { .. }
            | engine::Output::Forget { .. }
            | engine::Output::Trace(_)) => Step::Out(output),
        })
    }

    fn next_deadline(&self, now: Now) -> Option<Instant> {
        Engine::next_deadline(self, now)
    }

    fn status(&self) -> Self::Status {
        Engine::status(self)
    }

    fn tick() -> Self::Input {
        engine::Input::Tick
    }

    fn committed(seq: u64) -> Self::Input {
        engine::Input::Committed(seq)
    }

    fn in_flight(&self) -> u64 {
        self.commits_in_flight()
    }
}

impl Core for Client {
    type Input = client::Input;
    type Output = client::Output;
    type Status = client::Status;

    fn handle(&mut self, now: Now, input: Self::Input) -> Result<(), StoreError> {
        Client::handle(self, now, input)
    }

    fn poll(&mut self) -> Option<Step<Self::Output>> {
        Some(match self.poll_output()? {
            client::Output::Commit { seq, batch } => Step::Commit { seq, batch },
            output @ (client::Output::WantBlocks { .. }
            | client::Output::Send { .. }
            | client::Output::Deliver(_)
            | client::Output::Watch { .. }
            | client::Output::Unwatch { .. }
            | client::Output::Trace(_)) => Step::Out(output),
        })
    }

    fn next_deadline(&self, now: Now) -> Option<Instant> {
        Client::next_deadline(self, now)
    }

    fn status(&self) -> Self::Status {
        Client::status(self)
    }

    fn tick() -> Self::Input {
        client::Input::Tick
    }

    fn committed(seq: u64) -> Self::Input {
        client::Input::Committed(seq)
    }

    fn in_flight(&self) -> u64 {
        self.commits_in_flight()
    }
}
