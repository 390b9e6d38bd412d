//! What the transport took and the line has not let through yet: a leaky bucket.

use super::Line;

/// The bytes before the end of the line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queue {
    bytes: u64,
    /// As of this epoch.
    epoch: u64,
}

impl Queue {
    /// Adds a payload. Gives the epoch in which its last byte leaves.
    pub(super) fn push(&mut self, line: Line, epoch: u64, len: usize) -> u64 {
        if line.bytes_per_epoch == 0 {
            return epoch;
        }
        let gone = epoch
            .saturating_sub(self.epoch)
            .saturating_mul(line.bytes_per_epoch);
        let len = u64::try_from(len)
            .unwrap_or(u64::MAX)
            .max(line.payload_len_min);
        self.bytes = self.bytes.saturating_sub(gone).saturating_add(len);
        self.epoch = epoch;
        epoch.saturating_add(self.bytes.div_ceil(line.bytes_per_epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_leave_one_after_the_other() {
        let line = Line {
            bytes_per_epoch: 10,
            payload_len_min: 20,
        };
        let mut queue = Queue::default();
        assert_eq!(
            queue.push(line, 100, 5),
            102,
            "a short payload fills a packet"
        );
        assert_eq!(queue.push(line, 100, 95), 112, "behind the first");
        assert_eq!(queue.push(line, 105, 20), 114, "half of it is gone");
        assert_eq!(queue.push(line, 1_000, 20), 1_002, "the line is free");
        assert_eq!(Queue::default().push(Line::NONE, 7, 1_000_000), 7);
        assert_eq!(queue.push(line, u64::MAX, usize::MAX), u64::MAX);
    }

    #[test]
    fn a_whole_envelope_takes_over_a_minute_at_the_gateway() {
        let left = Queue::default().push(Line::GATEWAY, 0, 1_048_576);
        assert_eq!(left, 667, "epochs of 100 ms");
    }
}
