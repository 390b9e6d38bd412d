//! What goes into a node and what comes out of it.

use thiserror::Error;

use crate::address::{Address, PeerKey};
use crate::counters::{Counters, PacketKind};
use crate::fragment::{Object, Oversize};
use crate::histogram::Histogram;
use crate::intake::Batch;
use crate::level::Protection;
use crate::mailbox::client::ClientCounters;
use crate::mailbox::{Event as MailboxEvent, Request};
use crate::preset::Preset;
use crate::quality::LoopStatus;
use crate::sphinx::{Packet, PublicKey};
use crate::topology::Topology;
use crate::watch::{Notice, WatchStatus};
use crate::window::WindowState;

/// What makes a node.
pub struct NodeConfig {
    /// Sphinx key; the secret half is the intake's.
    pub key: PublicKey,
    /// Key of the libp2p identity.
    pub peer: PeerKey,
    /// Where others reach the node; [`Address::NONE`] when only over connections that it makes.
    pub address: Address,
    /// Whether it forwards packets of others.
    pub relay: bool,
    /// Relays to which it keeps a connection, at most.
    pub kept_max: usize,
    /// How often it sends.
    pub preset: Preset,
    /// What its messages get, and what happens where they cannot have it.
    pub protection: Protection,
    /// Whom it knows.
    pub topology: Topology,
    /// Where all its randomness comes from.
    pub seed: [u8; 32],
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// What came of packets from neighbours.
    Peeled(Batch),
    /// The system has the tags of all batches up to this mark: a crash of the process does not lose them.
    Written(u64),
    /// The disk has the tags of all batches up to this mark.
    Durable(u64),
    /// The node's own packets end at this key from now on.
    Key(PublicKey),
    /// A first connection to this peer stands.
    NeighbourUp(PeerKey),
    /// The last connection to this peer closed.
    NeighbourDown(PeerKey),
    /// A dial of this peer failed.
    Unreachable(PeerKey),
    /// The network is another one.
    Topology(Topology),
    /// By how much our wall clock is wrong, when it is too wrong to know which keys are in use; none when it is right again.
    ClockOff(Option<ClockOff>),
    /// The application came to the foreground, or left it: the window is open while it is there.
    Foreground(bool),
    /// The user wants the window open for so many steps of [`crate::window::STEP`], or no longer than it must (0).
    Window {
        /// At most [`crate::window::STEPS_MAX`].
        steps: u16,
    },
    /// Nothing but the time.
    Tick,
}

/// How an object came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Along a path that its sender chose.
    Forward,
    /// Through reply blocks that we gave out.
    Reply,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Hand this packet to a neighbour.
    Transmit {
        /// Which neighbour.
        to: PeerKey,
        /// Why it leaves.
        kind: PacketKind,
        /// What to hand over.
        packet: Packet,
    },
    /// Give this object to the local user.
    Deliver {
        /// The object.
        object: Object,
        /// How it came.
        arrival: Arrival,
    },
    /// The set of usable relays changed.
    Relays {
        /// How many are usable.
        usable: usize,
        /// How many a path needs.
        needed: usize,
    },
    /// A relay went away: replies through blocks that were given out before may be lost.
    SurbsStale,
    /// Something that the local user should know.
    Notice(Notice),
    /// What became of a chain of boxes that is watched, or of an object that was left.
    Mailbox(MailboxEvent),
    /// The mailbox of this node is asked for something; answer with [`crate::Node::answer`].
    Serve(Request),
}

/// A snapshot for the local user.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Relays that paths may use.
    pub usable_relays: usize,
    /// Relays of the network, this node apart.
    pub known_relays: usize,
    /// Relays that a path needs.
    pub needed: usize,
    /// Frames that wait for a payload slot.
    pub frames_queued: usize,
    /// Packets that rest before they are sent.
    pub packets_held: usize,
    /// Packets of others that wait out their delay, and packets that wait until a restart would know them again.
    pub packets_delayed: usize,
    /// Objects of which some frames came.
    pub objects_open: usize,
    /// Reply blocks for which a reply may still come.
    pub surbs_outstanding: usize,
    /// Tags that the replay stores remember.
    pub replay_tags: usize,
    /// Chains of boxes that are watched.
    pub chains_watched: usize,
    /// Objects that are on their way into mailboxes.
    pub objects_leaving: usize,
    /// What the client of mailboxes did.
    pub mailboxes: ClientCounters,
    /// From the last byte of a packet to its place in the delay queue, or to the end of what it said; without the time for which
    /// the latter waits for its tag to be written.
    pub processing: Histogram,
    /// Whether it sends at its full rate.
    pub window: WindowState,
    /// Whether messages get the protection that was chosen.
    pub watch: WatchStatus,
    /// What loops say about relays and links.
    pub loops: LoopStatus,
    /// The counters.
    pub counters: Counters,
}

/// By how much our wall clock differs from those of other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "this machine's clock is {} minutes {} those of the other mix nodes, and mix keys change by the clock: set it (for example \
     with NTP); nothing is sent until then",
    seconds.unsigned_abs() / 60, if *seconds > 0 { "ahead of" } else { "behind" }
)]
pub struct ClockOff {
    /// How many seconds it is ahead; negative: behind.
    pub seconds: i64,
}

/// Why an object is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// No descriptor of this peer is known.
    #[error(
        "no descriptor of the service {0:?} is known: add it to the descriptor file, or wait until the directory knows it"
    )]
    UnknownService(PeerKey),
    /// The object is too long.
    #[error(transparent)]
    Oversize(#[from] Oversize),
    /// Every frame takes one reply block.
    #[error("{given} reply blocks for {needed} frames: every frame takes exactly one")]
    BlockCount {
        /// Blocks that were given.
        given: usize,
        /// Frames of the object.
        needed: usize,
    },
    /// The preset has no payload clock.
    #[error("this node's preset has no payload slots: choose another preset than `relay`")]
    NoPayloadClock,
    /// Our clock is so wrong that we do not know which mix keys are in use.
    #[error(transparent)]
    ClockOff(ClockOff),
    /// There is too little traffic, and the user wants no message to leave then.
    #[error(
        "anonymity too low: about {pool} packets rest at a relay while one of ours does, {needed} are needed; wait for \
         more traffic, choose a preset with longer delays, set mix.low_traffic to \"adapt\", or accept less by mix.strict = false"
    )]
    AnonymityTooLow {
        /// Packets that rest at a relay at a time.
        pool: u32,
        /// How many there must be.
        needed: u32,
    },
    /// Two copies need two paths without a common relay.
    #[error(
        "{usable} relays are usable, and two copies over different relays need {needed}: wait for more relays, leave \
         mix.twice empty, or accept paths with common relays by mix.strict = false"
    )]
    CopiesShareRelays {
        /// Relays that are usable.
        usable: usize,
        /// Relays that are needed.
        needed: usize,
    },
    /// The queue is full.
    #[error("the send queue is full: try again when frames have left")]
    Full,
    /// The node has stopped.
    #[error("the mix node has stopped")]
    Stopped,
}
