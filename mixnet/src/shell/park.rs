//! Waiting on a thread of one's own, until something happens or a moment comes.
//!
//! The timers of the runtime go off once a millisecond. The clocks of a mix node are exponential down to less than that, and whoever sees
//! its packets sees whether they are; a parked thread wakes within some tens of microseconds.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Parks the thread that made it.
pub(super) struct Parker(Waker);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl Parker {
    /// For this thread.
    pub(super) fn new() -> Self {
        Self(Waker::from(Arc::new(Unpark(thread::current()))))
    }

    /// What `future` gives, or nothing once it is `deadline`, which comes first when both are there.
    pub(super) fn until<T>(&self, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(&self.0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if let Poll::Ready(given) = future.as_mut().poll(&mut context) {
                return Some(given);
            }
            // A wake that came since the poll ends this at once.
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_there_is_given_and_what_comes_wakes() {
        let parker = Parker::new();
        let (to, mut from) = mpsc::channel(1);
        to.try_send(1).unwrap();
        assert_eq!(
            parker.until(Instant::now() + LONG, from.recv()),
            Some(Some(1))
        );
        let late = thread::spawn(move || to.blocking_send(2));
        assert_eq!(
            parker.until(Instant::now() + LONG, from.recv()),
            Some(Some(2))
        );
        late.join().unwrap().unwrap();
        assert_eq!(parker.until(Instant::now() + LONG, from.recv()), Some(None));
    }

    #[test]
    fn a_moment_that_has_come_goes_before_what_is_there() {
        let parker = Parker::new();
        assert_eq!(parker.until(Instant::now(), async { 1 }), None);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(parker.until(soon, std::future::pending::<()>()), None);
        assert!(Instant::now() >= soon);
    }
}
