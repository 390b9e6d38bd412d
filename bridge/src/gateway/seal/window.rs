//! The receive window: which counters of a direction were accepted.
//!
//! ```text
//! … too old │ top - 1024 ….. top - 1 │ top …
//!           │ accepted or still open │ ahead: moves the window
//! ```

use super::OpenError;

/// How far behind the highest counter a box may arrive: packets of the mixnet overtake each other.
pub const WINDOW: u64 = 1_024;
/// The window as 64-bit words.
const WORDS: usize = (WINDOW / 64) as usize;
/// Length of [`ReceiveWindow::record`].
pub(super) const RECORD_LEN: usize = 8 + 8 * WORDS;

/// Remembers which of the last 1,024 counters were accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// One above the highest accepted counter.
    top: u64,
    /// Bit `counter % 1024` for every counter of the window.
    accepted: [u64; WORDS],
}

impl ReceiveWindow {
    /// Whether a counter may still be accepted; changes nothing.
    pub fn check(&self, counter: u64) -> Result<(), OpenError> {
        if counter == u64::MAX {
            return Err(OpenError::CountersSpent);
        }
        let oldest = self.top.saturating_sub(WINDOW);
        if counter < oldest {
            return Err(OpenError::TooOld { counter, oldest });
        }
        let (word, bit) = slot(counter);
        if counter < self.top && self.accepted[word] & bit != 0 {
            return Err(OpenError::Replayed { counter });
        }
        Ok(())
    }

    /// Marks a counter that was checked and whose box authenticates.
    pub fn accept(&mut self, counter: u64) {
        if counter >= self.top {
            let first_new = self.top.max(counter.saturating_sub(WINDOW - 1));
            for skipped in first_new..=counter {
                let (word, bit) = slot(skipped);
                self.accepted[word] &= !bit;
            }
            self.top = counter.saturating_add(1);
        }
        let (word, bit) = slot(counter);
        self.accepted[word] |= bit;
    }

    /// The window as bytes: top, then the words, big endian.
    pub(super) fn record(&self) -> [u8; RECORD_LEN] {
        let mut record = [0; RECORD_LEN];
        let words = std::iter::once(&self.top).chain(&self.accepted);
        for (bytes, word) in record.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        record
    }

    /// The window of a record.
    pub(super) fn restore(record: &[u8; RECORD_LEN]) -> Self {
        let mut words = record
            .chunks_exact(8)
            .map(|bytes| u64::from_be_bytes(bytes.try_into().expect("chunks of eight bytes")));
        let top = words.next().unwrap_or_default();
        let mut accepted = [0; WORDS];
        for (slot, word) in accepted.iter_mut().zip(words) {
            *slot = word;
        }
        Self { top, accepted }
    }
}

fn slot(counter: u64) -> (usize, u64) {
    let place = counter % WINDOW;
    ((place / 64) as usize, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_last_counter_is_refused() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.check(u64::MAX), Err(OpenError::CountersSpent));
        assert_eq!(window.check(u64::MAX - 1), Ok(()));
        window.accept(u64::MAX - 1);
        assert_eq!(
            window.check(u64::MAX - 1),
            Err(OpenError::Replayed {
                counter: u64::MAX - 1
            })
        );
    }

    #[test]
    fn the_edge_of_the_window_is_exact() {
        let mut window = ReceiveWindow::default();
        window.accept(2_000);
        assert_eq!(
            window.check(976),
            Err(OpenError::TooOld {
                counter: 976,
                oldest: 977
            })
        );
        assert_eq!(window.check(977), Ok(()));
        assert_eq!(
            window.check(2_000),
            Err(OpenError::Replayed { counter: 2_000 })
        );
        assert_eq!(window.check(2_001), Ok(()));
    }

    proptest! {
        /// Against a plain set: nothing twice, nothing below the window, everything else.
        #[test]
        fn agrees_with_a_set(steps in prop::collection::vec((0u64..3_000, 0u64..1_500), 1..400)) {
            let mut window = ReceiveWindow::default();
            let mut set = BTreeSet::new();
            let mut top = 0u64;
            for (back, ahead) in steps {
                let counter = (top + ahead).saturating_sub(back);
                let expected = counter + WINDOW >= top && !set.contains(&counter);
                prop_assert_eq!(window.check(counter).is_ok(), expected);
                if expected {
                    window.accept(counter);
                    set.insert(counter);
                    top = top.max(counter + 1);
                }
                prop_assert_eq!(&ReceiveWindow::restore(&window.record()), &window);
            }
        }
    }
}
