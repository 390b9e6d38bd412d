//! What a node hears of its network: who belongs to it, what loops say, how much traffic there is.

use std::time::Instant;

use super::{Node, Output};
use crate::now::Now;
use crate::quality::Change;
use crate::topology::Topology;
use crate::traffic::floor;

impl Node {
    /// Looks at the traffic, if it is time.
    pub(super) fn look(&mut self, now: Instant) {
        if self.watch.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let usable = self.relays.usable(None).count();
        let floor = floor(&self.topology, self.peer, self.packet_rate);
        let notices = self.watch.look(now, self.relay, usable, floor);
        self.outputs.extend(notices.into_iter().map(Output::Notice));
    }

    pub(super) fn loop_ended(&mut self, now: Now, change: Change) {
        self.counters.alarms += u64::from(change.raised);
        let notice = self.watch.loops(now.mono, &change);
        let loss = self.watch.loss(&change);
        let notices = notice.into_iter().chain(loss);
        self.outputs.extend(notices.map(Output::Notice));
        self.report(change);
    }

    /// Takes in a new network, with the connections that stand. When the epoch is another one, the reply blocks that were given
    /// out will soon meet hops that have lost their keys.
    pub(super) fn set_topology(&mut self, topology: Topology) {
        let mut change = self.relays.set_topology(&topology, self.peer);
        for peer in &self.neighbours {
            change.usable |= self.relays.up(*peer).usable;
        }
        let next_epoch = topology.term() != self.topology.term();
        change.stale |= next_epoch && self.client.surbs_outstanding() > 0;
        if !topology.is_empty() {
            self.named = topology.iter().map(|node| node.peer()).collect();
        }
        self.topology = topology;
        self.mailboxes.network_changed(&self.topology);
        self.report(change);
    }
}
