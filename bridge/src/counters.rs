//! Counts of what went across and what was dropped, each drop under one reason of a closed list.

/// Which way an envelope travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From Whisper to a client behind the mixnet.
    ToMix,
    /// From such a client to Whisper.
    ToWhisper,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToMix, Self::ToWhisper];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToMix => "to_mix",
            Self::ToWhisper => "to_whisper",
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why something was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The value of the label.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// The content was taken already.
    Duplicate = "duplicate",
    /// The backlog of the registration is full.
    BacklogFull = "backlog_full",
    /// Larger than the registration takes, or than Whisper does.
    TooLarge = "too_large",
    /// The store of waiting items is full.
    StoreFull = "store_full",
    /// Its lease ended before it was delivered.
    LeaseEnded = "lease_ended",
    /// A box that does not open: forged, or for another key.
    Forged = "forged",
    /// A box, request or post that was there before.
    Replayed = "replayed",
    /// A tag that names nothing.
    UnknownTag = "unknown_tag",
    /// Content that does not decode or breaks a rule of its encoding.
    Malformed = "malformed",
    /// A kind of object that this side does not take.
    UnexpectedKind = "unexpected_kind",
    /// Time to live not allowed.
    Ttl = "ttl",
    /// Sent in the future.
    Future = "future",
    /// Too little proof of work.
    LowPow = "low_pow",
    /// Its time ran out.
    Expired = "expired",
    /// Sealing anew would cost too much.
    Cost = "cost",
    /// No Whisper peer took it in time.
    NoPeers = "no_peers",
    /// Whisper refused it.
    WhisperRefused = "whisper_refused",
    /// Too many requests or posts wait.
    Busy = "busy",
    /// More reply blocks than are kept.
    BlocksFull = "blocks_full",
    /// No reply block was left for an answer.
    NoReplyBlocks = "no_reply_blocks",
    /// The bridge refused it.
    BridgeRefused = "bridge_refused",
    /// A permission that is void, or a wrong signature.
    Unauthorised = "unauthorised",
}

/// The counts of one core since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    transfers: [u64; Direction::ALL.len()],
    dropped: [Vec<u64>; Direction::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        let zeros = || vec![0; DropReason::ALL.len()];
        Self {
            transfers: [0; 2],
            dropped: [zeros(), zeros()],
        }
    }
}

impl Counters {
    /// How many envelopes went across.
    pub fn transfers(&self, direction: Direction) -> u64 {
        self.transfers[direction as usize]
    }

    /// How many things were dropped for this reason.
    pub fn dropped(&self, direction: Direction, reason: DropReason) -> u64 {
        self.dropped[direction as usize][reason as usize]
    }

    pub(crate) fn transfer(&mut self, direction: Direction) {
        self.transfers[direction as usize] += 1;
    }

    pub(crate) fn drop(&mut self, direction: Direction, reason: DropReason) {
        self.dropped[direction as usize][reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_and_a_count_of_its_own() {
        let mut counters = Counters::default();
        let mut names = std::collections::BTreeSet::new();
        for (n, reason) in DropReason::ALL.iter().enumerate() {
            assert!(names.insert(reason.as_str()));
            for _ in 0..=n {
                counters.drop(Direction::ToMix, *reason);
            }
        }
        for (n, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(counters.dropped(Direction::ToMix, *reason), n as u64 + 1);
            assert_eq!(counters.dropped(Direction::ToWhisper, *reason), 0);
        }
    }
}
