//! The search for a proof of work on several threads.
//!
//! Workers take slices of nonces in ascending order from one counter. Whoever finds a nonce lowers the bound for all, and
//! every slice below the bound is looked through to its end: the result is the least nonce, as with one worker.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::shh::limits::SEARCH_SLICE;
use crate::shh::pow::{Search, SearchError};

/// Searches with so many threads until a nonce suffices, the budget is spent, or `stop` says so (asked between slices).
///
/// Blocks its caller. More workers than [`WORKERS_MAX`] are not started.
pub fn search(
    search: &Search,
    workers: NonZeroUsize,
    budget: u64,
    stop: impl Fn() -> bool + Sync,
) -> Result<u64, SearchError> {
    let (next, least) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let stopped = AtomicBool::new(false);
    let worker = || {
        loop {
            let from = next.fetch_add(SEARCH_SLICE, Ordering::Relaxed);
            if from >= budget.min(least.load(Ordering::Relaxed)) {
                return;
            }
            if stopped.load(Ordering::Relaxed) || stop() {
                stopped.store(true, Ordering::Relaxed);
                return;
            }
            if let Some(nonce) = search.look(from, SEARCH_SLICE.min(budget - from)) {
                least.fetch_min(nonce, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers.get().min(WORKERS_MAX) {
            scope.spawn(worker);
        }
        worker();
    });
    let bits = search.bits();
    let tried = next.into_inner().min(budget);
    match (stopped.into_inner(), least.into_inner()) {
        // A worker that was stopped leaves a slice behind, and a lesser nonce may be in it.
        (true, _) => Err(SearchError::Stopped { bits, tried }),
        (false, u64::MAX) => Err(SearchError::BudgetSpent { bits, tried }),
        (false, nonce) => Ok(nonce),
    }
}

/// Threads of one search: no machine that seals messages has more cores to spare.
pub const WORKERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn workers(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn many_workers_find_the_least_nonce() {
        for seed in 0..12u8 {
            let alone = Search::new(&[seed; 100], 12);
            let least = alone.clone().run(1 << 20, || false).unwrap();
            for count in [1, 2, 5] {
                let found = search(&alone, workers(count), 1 << 20, || false);
                assert_eq!(found, Ok(least), "{count} workers");
            }
        }
    }

    #[test]
    fn a_budget_bounds_all_workers_together() {
        let impossible = Search::new(b"prefix", 256);
        assert_eq!(
            search(&impossible, workers(3), 5_000, || false),
            Err(SearchError::BudgetSpent {
                bits: 256,
                tried: 5_000
            })
        );
    }

    #[test]
    fn a_search_that_is_cancelled_ends() {
        let impossible = Search::new(b"prefix", 256);
        let asked = AtomicU64::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 10;
        let ended = search(&impossible, workers(2), u64::MAX, stop);
        assert!(matches!(ended, Err(SearchError::Stopped { tried, .. }) if tried > 0));
        let slices = asked.into_inner();
        assert!(
            (11..=12).contains(&slices),
            "each worker asks once more at most: {slices}"
        );
    }
}
