//! Envelopes on their way from the network to the filters.
//!
//! Nobody waits here for a slow filter: when the queue is full, the oldest envelope is dropped for the local clients alone
//! (the network has it all the same) and counted. In go-ethereum a full queue stops the reading of every peer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use legacy::shh::Envelope;
use legacy::shh::filter::Via;
use tokio::sync::Notify;

use super::limits::{INTAKE_BYTES_MAX, INTAKE_MAX, OPENED_TOGETHER};

/// The queue. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct Intake(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
    open: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    envelopes: VecDeque<(Arc<Envelope>, Via)>,
    bytes: usize,
}

impl Intake {
    /// Puts an envelope in, if there is a filter that may want it. Never waits.
    pub fn put(&self, envelope: &Arc<Envelope>, via: Via) {
        if !self.0.open.load(Ordering::Relaxed) {
            return;
        }
        let envelope = Arc::clone(envelope);
        let mut queue = self.lock();
        queue.bytes += envelope.size();
        queue.envelopes.push_back((envelope, via));
        while queue.envelopes.len() > INTAKE_MAX || queue.bytes > INTAKE_BYTES_MAX {
            let Some((oldest, _)) = queue.envelopes.pop_front() else {
                break;
            };
            queue.bytes -= oldest.size();
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(queue);
        self.0.arrived.notify_one();
    }

    /// Says whether there are filters. Without one nothing is taken in: a relay that serves nobody wakes nobody.
    pub(crate) fn set_open(&self, open: bool) {
        self.0.open.store(open, Ordering::Relaxed);
    }

    /// Takes the oldest, as many as are opened together, waiting for one. For one reader.
    pub(crate) async fn take(&self) -> Vec<(Arc<Envelope>, Via)> {
        loop {
            let oldest = self.pop();
            if !oldest.is_empty() {
                return oldest;
            }
            self.0.arrived.notified().await;
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().envelopes.len()
    }

    /// How many were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn pop(&self) -> Vec<(Arc<Envelope>, Via)> {
        let mut queue = self.lock();
        let some = queue.envelopes.len().min(OPENED_TOGETHER);
        let oldest: Vec<_> = queue.envelopes.drain(..some).collect();
        queue.bytes -= oldest.iter().map(|(one, _)| one.size()).sum::<usize>();
        oldest
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // Nothing panics while it is held, and a queue is a queue even if something did.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use legacy::shh::{Draft, Topic};

    use super::*;

    fn envelope(nonce: u64, len: usize) -> Arc<Envelope> {
        let data = vec![7; len];
        Arc::new(Draft::new(1_600_000_000, 10, Topic::default(), &data).finish(nonce))
    }

    fn open() -> Intake {
        let intake = Intake::default();
        intake.set_open(true);
        intake
    }

    #[test]
    fn nothing_comes_in_while_there_is_no_filter() {
        let intake = Intake::default();
        intake.put(&envelope(0, 10), Via::Pool);
        intake.set_open(true);
        intake.put(&envelope(1, 10), Via::Pool);
        intake.set_open(false);
        intake.put(&envelope(2, 10), Via::Direct);
        assert_eq!((intake.len(), intake.dropped()), (1, 0));
    }

    #[tokio::test]
    async fn the_oldest_goes_when_it_is_full() {
        let intake = open();
        for nonce in 0..INTAKE_MAX as u64 + 3 {
            intake.put(&envelope(nonce, 10), Via::Pool);
        }
        assert_eq!((intake.len(), intake.dropped()), (INTAKE_MAX, 3));
        let oldest = intake.take().await;
        let nonces: Vec<u64> = oldest.iter().map(|(one, _)| one.fields().nonce()).collect();
        assert_eq!(nonces, (3..3 + OPENED_TOGETHER as u64).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn large_envelopes_fill_it_as_well() {
        let intake = open();
        for nonce in 0..40 {
            intake.put(&envelope(nonce, 1 << 20), Via::Direct);
        }
        assert_eq!((intake.len() as u64) + intake.dropped(), 40);
        assert!(intake.lock().bytes <= INTAKE_BYTES_MAX);
        while intake.len() > 0 {
            let oldest = intake.take().await;
            assert!(oldest.iter().all(|(_, via)| *via == Via::Direct));
        }
        assert_eq!(intake.lock().bytes, 0);
    }
}
