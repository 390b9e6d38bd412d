//! What a node may ask for: so many bytes in the long run, and one request in so long.
//!
//! Both are kept by node, so that coming back does not help. The bytes are counted as a debt that is paid off with time: a
//! node that owes more than a burst waits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::identity::NodeId;
use crate::mailserver::limits::{ALLOWANCES_MAX, PEER_BYTES_BURST, PEER_BYTES_PER_SECOND};

#[derive(Default)]
pub(super) struct Allowances(BTreeMap<NodeId, Allowance>);

#[derive(Clone, Copy)]
struct Allowance {
    /// When nothing is owed any more.
    clear_at: Instant,
    asked_at: Option<Instant>,
}

impl Allowances {
    /// Whether a node has asked less than this ago.
    pub(super) fn too_soon(&self, mono: Instant, node: NodeId, interval: Duration) -> bool {
        let asked_at = self.0.get(&node).and_then(|allowance| allowance.asked_at);
        asked_at.is_some_and(|asked_at| mono < asked_at + interval)
    }

    /// A node asks.
    pub(super) fn ask(&mut self, mono: Instant, node: NodeId, interval: Duration) {
        self.of(mono, node, interval).asked_at = Some(mono);
    }

    /// A node gets so many bytes.
    pub(super) fn spend(&mut self, mono: Instant, node: NodeId, bytes: u64, interval: Duration) {
        let allowance = self.of(mono, node, interval);
        allowance.clear_at = allowance.clear_at.max(mono) + time_for(bytes);
    }

    /// When a node may get more.
    pub(super) fn ready_at(&self, node: NodeId) -> Option<Instant> {
        let allowance = self.0.get(&node)?;
        allowance.clear_at.checked_sub(time_for(PEER_BYTES_BURST))
    }

    fn of(&mut self, mono: Instant, node: NodeId, interval: Duration) -> &mut Allowance {
        if self.0.len() >= ALLOWANCES_MAX && !self.0.contains_key(&node) {
            self.make_room(mono, interval);
        }
        self.0.entry(node).or_insert(Allowance {
            clear_at: mono,
            asked_at: None,
        })
    }

    /// Forgets whom there is nothing to remember of, or else who owes least.
    fn make_room(&mut self, mono: Instant, interval: Duration) {
        self.0.retain(|_, allowance| {
            let asked = allowance.asked_at;
            allowance.clear_at > mono || asked.is_some_and(|asked_at| mono < asked_at + interval)
        });
        if self.0.len() >= ALLOWANCES_MAX {
            let least = self
                .0
                .iter()
                .min_by_key(|(_, allowance)| allowance.clear_at);
            if let Some(node) = least.map(|(node, _)| *node) {
                self.0.remove(&node);
            }
        }
    }
}

fn time_for(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / PEER_BYTES_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new([1; 32]);

    #[test]
    fn a_burst_is_free_and_more_is_waited_for() {
        let (start, mut allowances) = (Instant::now(), Allowances::default());
        let interval = Duration::from_secs(1);
        allowances.spend(start, NODE, PEER_BYTES_BURST, interval);
        assert_eq!(allowances.ready_at(NODE), Some(start));
        allowances.spend(start, NODE, 3 * PEER_BYTES_PER_SECOND, interval);
        let later = start + Duration::from_secs(3);
        assert_eq!(allowances.ready_at(NODE), Some(later));
    }

    #[test]
    fn two_requests_are_an_interval_apart() {
        let (start, mut allowances) = (Instant::now(), Allowances::default());
        let interval = Duration::from_secs(5);
        assert!(!allowances.too_soon(start, NODE, interval));
        allowances.ask(start, NODE, interval);
        let almost = start + interval - Duration::from_millis(1);
        assert!(allowances.too_soon(almost, NODE, interval));
        assert!(!allowances.too_soon(start + interval, NODE, interval));
        assert!(!allowances.too_soon(start, NODE, Duration::ZERO));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_whoever_owes_most() {
        let (start, mut allowances) = (Instant::now(), Allowances::default());
        let node = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            NodeId::new(bytes)
        };
        for number in 0..3 * ALLOWANCES_MAX {
            let bytes = if number == 5 { 1 << 30 } else { 1 << 20 };
            allowances.spend(start, node(number), bytes, Duration::ZERO);
            assert!(allowances.0.len() <= ALLOWANCES_MAX);
        }
        assert!(allowances.0.contains_key(&node(5)));
        let later = start + Duration::from_secs(10);
        allowances.spend(later, NODE, 1, Duration::ZERO);
        assert_eq!(allowances.0.len(), 2, "only it and the large debtor");
    }
}
