//! What a node counts: every packet under its kind, everything that is dropped under its reason, and where.
//!
//! No packet disappears uncounted. For the packets that neighbours handed to the node:
//!
//! ```text
//! received = forwarded + ended here + dropped as packets + resting in the node
//! ```
//!
//! and for those that it sends: everything that is counted as sent is written, waits for a writer, or is dropped on leaving.

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
    /// A question to a mailbox, in place of drop cover.
    Poll,
    /// A cell for a mailbox, in a payload slot.
    Put,
    /// What this node's mailbox answers.
    Answer,
    /// Somebody else's packet.
    Forward,
    /// A relay's answer to a probe: how much it forwards.
    Load,
}

impl PacketKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Payload,
        Self::Reply,
        Self::PayloadCover,
        Self::Drop,
        Self::Loop,
        Self::MixLoop,
        Self::Poll,
        Self::Put,
        Self::Answer,
        Self::Forward,
        Self::Load,
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
            Self::Poll => "poll",
            Self::Put => "put",
            Self::Answer => "answer",
            Self::Forward => "forward",
            Self::Load => "load",
        }
    }
}

/// Where something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// In a stream, before it was a packet.
    Stream,
    /// As a packet that came.
    Packet,
    /// After its packet had ended here: a frame or an object.
    Object,
    /// As a packet that was to leave.
    Leaving,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Stream, Self::Packet, Self::Object, Self::Leaving];
}

/// The counters of one node since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    sent: [u64; PacketKind::ALL.len()],
    dropped: [[u64; DropReason::ALL.len()]; Stage::ALL.len()],
    /// Packets that neighbours handed to us, dropped ones among them.
    pub received: u64,
    /// Packets that were for this node and said something: frames, loops and cover.
    pub ended: u64,
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
    /// Times that loops through some relay began to vanish.
    pub alarms: u64,
    /// Slots that stayed empty because fewer than three relays are usable.
    pub slots_without_path: u64,
    /// Reply blocks that ran out of time unused.
    pub surbs_expired: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            sent: [0; PacketKind::ALL.len()],
            dropped: [[0; DropReason::ALL.len()]; Stage::ALL.len()],
            received: 0,
            ended: 0,
            frames_received: 0,
            objects_delivered: 0,
            cover_received: 0,
            loops_returned: 0,
            loops_lost: 0,
            alarms: 0,
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
        Stage::ALL
            .iter()
            .map(|stage| self.dropped_at(*stage, reason))
            .sum()
    }

    /// What was dropped at this stage for this reason.
    pub fn dropped_at(&self, stage: Stage, reason: DropReason) -> u64 {
        self.dropped[stage as usize][reason as usize]
    }

    /// What was dropped for any reason; a delay that was capped drops nothing.
    pub fn dropped_total(&self) -> u64 {
        let stages = Stage::ALL.iter();
        stages.map(|stage| self.dropped_in(*stage)).sum()
    }

    /// What was dropped at this stage for any reason.
    pub fn dropped_in(&self, stage: Stage) -> u64 {
        let total: u64 = self.dropped[stage as usize].iter().sum();
        total - self.dropped_at(stage, DropReason::DelayCapped)
    }

    /// Packets that came and are nowhere, while `resting` of them rest in the node: zero, always.
    pub fn missing(&self, resting: usize) -> i64 {
        let known = self.sent(PacketKind::Forward)
            + self.ended
            + self.dropped_in(Stage::Packet)
            + resting as u64;
        self.received as i64 - known as i64
    }

    pub(crate) fn count_sent(&mut self, kind: PacketKind) {
        self.sent[kind as usize] += 1;
    }

    pub(crate) fn count_dropped(&mut self, stage: Stage, reason: DropReason, number: u64) {
        self.dropped[stage as usize][reason as usize] += number;
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
        let mut number = 0;
        for stage in Stage::ALL {
            for reason in DropReason::ALL {
                number += 1;
                counters.count_dropped(stage, *reason, number);
            }
        }
        for (n, kind) in PacketKind::ALL.into_iter().enumerate() {
            assert_eq!(counters.sent(kind), n as u64 + 1);
        }
        let reasons = DropReason::ALL.len() as u64;
        for (n, reason) in (1..).zip(DropReason::ALL) {
            for (stage, at) in Stage::ALL.into_iter().zip(0..) {
                assert_eq!(counters.dropped_at(stage, *reason), n + at * reasons);
            }
            assert_eq!(counters.dropped(*reason), 4 * n + 6 * reasons);
        }
        let capped = counters.dropped(DropReason::DelayCapped);
        assert_eq!(counters.dropped_total(), number * (number + 1) / 2 - capped);
    }

    #[test]
    fn a_packet_that_is_nowhere_is_missing() {
        let mut counters = Counters {
            received: 5,
            ended: 1,
            ..Counters::default()
        };
        counters.count_sent(PacketKind::Forward);
        counters.count_sent(PacketKind::Loop);
        counters.count_dropped(Stage::Packet, DropReason::Mac, 1);
        for stage in [Stage::Stream, Stage::Object, Stage::Leaving] {
            counters.count_dropped(stage, DropReason::QueueFull, 9);
        }
        counters.count_dropped(Stage::Packet, DropReason::DelayCapped, 3);
        assert_eq!(counters.missing(1), 1);
        assert_eq!(counters.missing(2), 0);
        assert_eq!(counters.missing(3), -1);
    }
}
