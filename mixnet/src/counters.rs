//! What a node counts: every packet under its kind, everything that is dropped under its reason.

use crate::error::DropReason;

/// Why a packet leaves this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketKind {
    /// A frame along a path of our own.
    Payload,
    /// A frame through somebody's reply block.
    Reply,
    /// Cover in a payload slot without a frame.
    PayloadCover,
    /// Cover of the drop clock.
    Drop,
    /// A loop of the client.
    Loop,
    /// A loop of the relay.
    MixLoop,
    /// Somebody else's packet.
    Forward,
}

impl PacketKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Payload,
        Self::Reply,
        Self::PayloadCover,
        Self::Drop,
        Self::Loop,
        Self::MixLoop,
        Self::Forward,
    ];

    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Reply => "reply",
            Self::PayloadCover => "payload_cover",
            Self::Drop => "drop",
            Self::Loop => "loop",
            Self::MixLoop => "mix_loop",
            Self::Forward => "forward",
        }
    }
}

/// The counters of one node since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    sent: [u64; PacketKind::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
    /// Packets that neighbours handed to us, dropped ones among them.
    pub received: u64,
    /// Frames that ended here.
    pub frames_received: u64,
    /// Objects that were complete.
    pub objects_delivered: u64,
    /// Drop cover that ended here.
    pub cover_received: u64,
    /// Loops that came back.
    pub loops_returned: u64,
    /// Loops that did not come back in time.
    pub loops_lost: u64,
    /// Slots that stayed empty because fewer than three relays are usable.
    pub slots_without_path: u64,
    /// Reply blocks that ran out of time unused.
    pub surbs_expired: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            sent: [0; PacketKind::ALL.len()],
            dropped: [0; DropReason::ALL.len()],
            received: 0,
            frames_received: 0,
            objects_delivered: 0,
            cover_received: 0,
            loops_returned: 0,
            loops_lost: 0,
            slots_without_path: 0,
            surbs_expired: 0,
        }
    }
}

impl Counters {
    /// Packets of this kind that left.
    pub fn sent(&self, kind: PacketKind) -> u64 {
        self.sent[kind as usize]
    }

    /// What was dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// What was dropped for any reason; a delay that was capped drops nothing.
    pub fn dropped_total(&self) -> u64 {
        let total: u64 = self.dropped.iter().sum();
        total - self.dropped(DropReason::DelayCapped)
    }

    pub(crate) fn count_sent(&mut self, kind: PacketKind) {
        self.sent[kind as usize] += 1;
    }

    pub(crate) fn count_dropped(&mut self, reason: DropReason, number: u64) {
        self.dropped[reason as usize] += number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_reason_has_a_counter_of_its_own() {
        let mut counters = Counters::default();
        for (n, kind) in PacketKind::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| counters.count_sent(kind));
        }
        for (n, reason) in DropReason::ALL.iter().enumerate() {
            counters.count_dropped(*reason, n as u64 + 1);
        }
        for (n, kind) in PacketKind::ALL.into_iter().enumerate() {
            assert_eq!(counters.sent(kind), n as u64 + 1);
        }
        let mut total = 0;
        for (n, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(counters.dropped(*reason), n as u64 + 1);
            total += n as u64 + 1;
        }
        let capped = counters.dropped(DropReason::DelayCapped);
        assert_eq!(counters.dropped_total(), total - capped);
    }
}
