//! Why a packet, a frame or a block is refused.
//!
//! A mix answers nothing: whatever is wrong with a packet, it disappears and one counter grows. The counters are the only trace,
//! so their names form a closed list.

use thiserror::Error;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// The closed list of reasons under which something that came from the network is dropped and counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
        #[error("{}", self.as_str())]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DropReason {
            /// All reasons, in the order of the checks.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

            /// The label of the reason in metrics and vectors.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(DropReason::$name => $label,)+
                }
            }
        }
    };
}

drop_reasons! {
    /// A neighbour sent more than its share; nothing of the packet was looked at.
    NeighbourRate = "neighbour_rate",
    /// Not 4608 bytes.
    Length = "length",
    /// The group element is not the least representative of its field element, or its top bit is set.
    NonCanonicalAlpha = "non_canonical_alpha",
    /// The group element is of low order: the shared secret would be zero for every key.
    LowOrderAlpha = "low_order_alpha",
    /// The tag of the packet was seen under this key.
    Replayed = "replayed",
    /// The MAC over the routing does not verify: not for this key, or changed on the way.
    Mac = "mac",
    /// The replay store holds as many tags as it may; what cannot be remembered is not forwarded.
    ReplayFull = "replay_full",
    /// The tag could not be written to disk in time; what a restart would not remember is not forwarded.
    ReplayUnsaved = "replay_unsaved",
    /// Lost on purpose, by a node that is told to for a test.
    TestLoss = "test_loss",
    /// The routing block is neither a next hop nor an end.
    MalformedRouting = "malformed_routing",
    /// The next hop's address does not decode.
    MalformedAddress = "malformed_address",
    /// The next hop's address is one that this node does not dial (loopback, private, multicast, port 0).
    AddressRefused = "address_refused",
    /// This node forwards nothing.
    NotRelaying = "not_relaying",
    /// No connection to the next hop, and none could be made.
    NoRoute = "no_route",
    /// A frame of our own for a service that is no longer in the network: counted where it leaves.
    ServiceGone = "service_gone",
    /// A bounded queue was full.
    QueueFull = "queue_full",
    /// The mean delay was above the node's limit and was lowered: counted, not dropped.
    DelayCapped = "delay_capped",
    /// The sixteen zero bytes in front of the message are not zero: the payload was changed on the way.
    PayloadTag = "payload_tag",
    /// A reply with an id that is not, or no longer, in the stock.
    UnknownSurb = "unknown_surb",
    /// A reply with an id that a good reply has used.
    SurbReused = "surb_reused",
    /// A reply that does not open under the keys of its id; the id stays good.
    ReplyCorrupt = "reply_corrupt",
    /// The message's padding is longer than the message, or is not zero.
    MessagePadding = "message_padding",
    /// A codec that this node does not speak.
    UnknownCodec = "unknown_codec",
    /// What came for a mailbox, or from one, breaks its form, its proof is wrong, or nobody asked for it.
    MailboxMalformed = "mailbox_malformed",
    /// Something for a mailbox at a node that is none.
    NoMailbox = "no_mailbox",
    /// A frame shorter than its header, or than the fragment that the header announces.
    FrameShort = "frame_short",
    /// A frame of a version other than 1.
    FrameVersion = "frame_version",
    /// A frame of an unknown type.
    FrameKind = "frame_kind",
    /// The fragment's index, count or lengths contradict each other or exceed their bounds.
    FrameBounds = "frame_bounds",
    /// Bytes after the fragment that are not zero.
    FramePadding = "frame_padding",
    /// As many open objects under this tag as there may be.
    FrameTagFull = "frame_tag_full",
    /// A fragment that contradicts one that came before; the object is given up.
    FrameConflict = "frame_conflict",
    /// A fragment of an object that was given up.
    FrameDead = "frame_dead",
    /// An object that was not complete in time: counted once for the object.
    FrameTimeout = "frame_timeout",
    /// An object that was given up to make room for others: counted once for the object.
    FrameEvicted = "frame_evicted",
}

/// Why a packet or a reply block cannot be built. All of them are the caller's mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The path is empty, or longer than the header has room for.
    #[error("a path of {0} hops: it must have 1 to 5")]
    PathLength(usize),
    /// One delay for each hop but the last is needed.
    #[error("{given} delays for {hops} hops: one for each hop but the last is needed")]
    DelayCount {
        /// Hops of the path.
        hops: usize,
        /// Delays that were given.
        given: usize,
    },
    /// A hop in the middle with delay zero would be read as an end by some nodes.
    #[error("hop {0} has delay 0: 1 to 65535 ms are possible, 0 marks the last hop")]
    DelayZero(usize),
    /// The last hop applies no delay.
    #[error("the last hop has delay {0}: it must be 0")]
    DelayAtEnd(u16),
    /// The mix key of a hop is not canonical or is of low order.
    #[error("the mix key of hop {0} is not a usable X25519 public key")]
    BadKey(usize),
    /// A hop without an address cannot be reached.
    #[error("hop {0} has no address")]
    NoAddress(usize),
    /// The id of a reply block that is zero would read as a forward packet.
    #[error("the id of a reply block must not be zero")]
    ZeroId,
}

impl BuildError {
    /// The label of the reason in vectors.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::PathLength(_) => "path_length",
            Self::DelayCount { .. } => "delay_count",
            Self::DelayZero(_) => "delay_zero",
            Self::DelayAtEnd(_) => "delay_at_end",
            Self::BadKey(_) => "bad_key",
            Self::NoAddress(_) => "no_address",
            Self::ZeroId => "zero_id",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_plain() {
        let mut labels: Vec<_> = DropReason::ALL.iter().map(|r| r.as_str()).collect();
        let plain = |l: &&str| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(labels.iter().all(plain));
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), DropReason::ALL.len());
    }
}
