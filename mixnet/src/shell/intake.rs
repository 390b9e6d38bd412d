//! Peeling: takes packets one after the other, has their tags kept, and gives what came of them.
//!
//! ```text
//! readers ─ packets ─▶ peel ─▶ node
//!                        └─ tags, mark ─▶ keeper
//! ```
//!
//! The thread of the core does this between its other work, a bounded number of packets at a time, and never the network's: a packet
//! wakes one thread on its way to its place in the delay queue. Nothing here waits: tags are written beside it ([`super::keeper`]), and
//! whoever wants a key taken into use has read its tags before.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tokio::sync::{mpsc, oneshot};

use super::keeper::{Needs, Order};
use super::trace::Trace;
use crate::error::DropReason;
use crate::intake::{Batch, Intake, Received};
use crate::replay::ReplayStore;
use crate::sphinx::{PublicKey, SecretKey};

// ---- Our constants ----

/// The stream of the node's randomness that decides what is lost on purpose; the core uses the first ones.
const STREAM_LOSS: u64 = 1 << 32;

/// What there is to do.
pub(super) enum Command {
    /// Peel this.
    Packet(Received),
    /// Take one more key into use; answers with the one that had to make room for it.
    Install {
        key: SecretKey,
        store: Box<ReplayStore>,
        done: oneshot::Sender<Option<PublicKey>>,
    },
    /// Take a key out of use.
    Retire {
        key: PublicKey,
        done: oneshot::Sender<()>,
    },
}

/// Loses packets on purpose: real TCP loses none, and what is above it must bear that packets are lost.
pub(super) struct Loss {
    percent: u8,
    rng: ChaCha20Rng,
}

impl Loss {
    pub(super) fn new(percent: u8, seed: &[u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(*seed);
        rng.set_stream(STREAM_LOSS);
        Self { percent, rng }
    }

    fn strikes(&mut self) -> bool {
        self.percent > 0 && self.rng.next_u32() % 100 < u32::from(self.percent)
    }
}

/// The intake with the ways out of it.
pub(super) struct Peeler {
    intake: Intake,
    loss: Loss,
    /// Nothing is remembered beyond a restart without one.
    keeper: Option<mpsc::Sender<Order>>,
    mark: u64,
    trace: Option<Trace>,
}

impl Peeler {
    /// A peeler with one key.
    pub(super) fn new(
        key: SecretKey,
        store: ReplayStore,
        loss: Loss,
        keeper: Option<mpsc::Sender<Order>>,
    ) -> Self {
        Self {
            intake: Intake::new(key, store),
            loss,
            keeper,
            mark: 0,
            trace: None,
        }
    }

    /// The same, noting in a measurement as what each packet goes on.
    pub(super) fn traced(mut self, trace: Option<Trace>) -> Self {
        self.trace = trace;
        self
    }

    /// Does one thing; gives what came of a packet, if it was one.
    pub(super) fn take(&mut self, command: Command) -> Option<Batch> {
        // Those who asked may have gone; what they asked for is done all the same.
        match command {
            Command::Packet(received) => {
                let batch = self.peel(received);
                if let Some(trace) = &self.trace {
                    let onward = batch.onward();
                    onward.for_each(|(at, packet)| trace.goes_on(at, packet));
                }
                return Some(batch);
            }
            Command::Install { key, store, done } => {
                let _ = done.send(self.intake.install(key, *store));
            }
            Command::Retire { key, done } => {
                self.intake.retire(&key);
                let _ = done.send(());
            }
        }
        None
    }

    fn peel(&mut self, received: Received) -> Batch {
        if self.loss.strikes() {
            return self.intake.drop_one(DropReason::TestLoss);
        }
        let batch = self.intake.take_one(received);
        self.keep(batch)
    }

    /// Gives the tags of a batch to the keeper. A keeper so far behind that it takes no more costs the packets.
    fn keep(&mut self, mut batch: Batch) -> Batch {
        let Some(keeper) = &self.keeper else {
            return batch;
        };
        let records = batch.take_records();
        if records.is_empty() {
            return batch;
        }
        let mark = self.mark + 1;
        let order = Order::Tags {
            mark,
            records,
            needs: Needs {
                written: batch.ends(),
                durable: batch.forwards(),
            },
        };
        if keeper.try_send(order).is_err() {
            return batch.unsaved();
        }
        self.mark = mark;
        batch.marked(mark)
    }
}
