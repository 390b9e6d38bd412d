//! What a running node knows about itself, as the API shows it.
//!
//! The node makes a [`Snapshot`] a few times a second and puts it where the API finds it; a
//! request never waits for a protocol loop, and a snapshot that grows old shows a stalled loop.

pub mod directory;
pub mod health;
pub mod mix;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::identity::Identity;
use crate::metrics::Readings;

pub use directory::{DirectoryStatus, ForkStatus};
pub use health::{Cause, Health};
pub use mix::{LoopReport, ProtectionStatus, TrafficStatus, WindowStatus};

/// How often the node makes a snapshot.
pub const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);

/// Age of a snapshot from which the node counts as stalled.
pub const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(5);

/// The state of the node at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was made.
    pub taken: Instant,
    /// What the node is and how it does.
    pub status: NodeStatus,
    /// Its counters.
    pub readings: Readings,
}

/// What the node is and how it does.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Its public side.
    pub identity: Identity,
    /// When it started, Unix milliseconds.
    pub started_unix_ms: u64,
    /// Its Whisper side, if it has one.
    pub whisper: Option<WhisperStatus>,
    /// Its mixnet side, if it has one.
    pub mix: Option<MixStatus>,
    /// For role bridge.
    pub bridge: Option<BridgeStatus>,
    /// For role edge.
    pub edge: Option<EdgeStatus>,
    /// For role mailbox.
    pub mailbox: Option<MailboxStatus>,
    /// What is wrong besides what follows from the above: a disk that is full, a clock that jumped.
    pub troubles: Vec<Cause>,
}

/// The Whisper side.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WhisperStatus {
    /// Connected peers.
    pub peers: Vec<WhisperPeer>,
    /// Peers that the configuration names.
    pub static_peers: usize,
    /// Envelopes that are kept for peers.
    pub pool_envelopes: usize,
    /// The mailserver, if it is one.
    pub mailserver: Option<MailStatus>,
}

/// What a mailserver adds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MailStatus {
    /// Envelopes in the archive.
    pub envelopes: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Requests that were served to their end.
    pub served: u64,
    /// Requests that were refused, or not served to their end.
    pub refused: u64,
}

/// A connected Whisper peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhisperPeer {
    /// Its public key, 128 hexadecimal digits.
    pub node_id: String,
    /// Where it is.
    pub address: Option<String>,
    /// `dialled` or `accepted`.
    pub direction: &'static str,
    /// How its program names itself.
    pub client: String,
    /// Whether it is kept connected.
    pub is_static: bool,
    /// `static`, `trusted`, `bootstrap`, `discovered` or `stranger`.
    pub kind: &'static str,
    /// Whether it comes in although there is no room.
    pub trusted: bool,
    /// 0, and one less for each point against it; at -100 it is banned.
    pub score: i32,
    /// The proof of work that it asks for.
    pub min_pow: f64,
    /// Whether it only receives what it asks for and relays nothing.
    pub light: bool,
}

/// The mixnet side.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MixStatus {
    /// Name of the preset.
    pub preset: String,
    /// Whether packets leave at its full rate.
    pub window: WindowStatus,
    /// Whether messages get what was chosen for them.
    pub protection: ProtectionStatus,
    /// How much traffic there is.
    pub traffic: TrafficStatus,
    /// What loops say about relays and links.
    #[serde(skip)]
    pub loops: LoopReport,
    /// The directory; none where the network is a file.
    pub directory: Option<DirectoryStatus>,
    /// Relays that are reachable now.
    pub relays_usable: usize,
    /// Relays of the list.
    pub relays_known: usize,
    /// Relays that a path needs.
    pub relays_needed: usize,
    /// Connected libp2p peers.
    pub peers: Vec<MixPeer>,
    /// Whether others can dial this node: `unknown`, `public` or `private`.
    pub reachability: &'static str,
    /// Frames that wait for a slot of the payload clock.
    pub frames_queued: usize,
    /// Reply blocks of ours that are with others.
    pub surbs_outstanding: usize,
}

/// A connected libp2p peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MixPeer {
    /// Its peer id.
    pub peer_id: String,
    /// Whether the relay list names it; a client of this node is not listed.
    pub listed: bool,
    /// What its connections run over: `tcp`, `quic`, `websocket`.
    pub transports: Vec<&'static str>,
}

/// What a bridge adds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BridgeStatus {
    /// Registrations with a running lease.
    pub registrations: usize,
    /// Envelopes that wait for the ack of a client, each client counted.
    pub deliveries_waiting: usize,
    /// Posts that are not in Whisper yet.
    pub posts_open: usize,
    /// Edges that have been silent for long.
    pub clients_away: usize,
    /// Envelopes that are left for them in mailboxes, each edge counted.
    pub messages_left: usize,
    /// Parts of them that are still on their way there.
    pub payloads_leaving: usize,
}

/// What a mailbox adds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MailboxStatus {
    /// Cells that it keeps.
    pub cells: usize,
    /// Bytes that they take.
    pub bytes: u64,
    /// Requests for cells since the start.
    pub gets: u64,
    /// Cells that were there, of those that it sent.
    pub found: u64,
}

/// What an edge adds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EdgeStatus {
    /// The bridge in use: its peer key, hexadecimal.
    pub bridge: Option<String>,
    /// Whether it is part of the network: that its descriptor is not out of date.
    pub bridge_known: bool,
    /// Whether the bridge has confirmed the registration.
    pub registered: bool,
    /// How far the local client is.
    pub client: ClientState,
    /// Topic prefixes of eight bits that are followed.
    pub prefixes: usize,
    /// Groups of five bits that are followed because nothing explains them.
    pub groups: usize,
    /// Part of Whisper that is followed, 0 to 1.
    pub share: f64,
    /// Prefixes that `edge.max_share` leaves out: what the client asked for and does not get.
    pub left_out: Vec<String>,
    /// Reply blocks of this edge at the bridge.
    pub reply_blocks: usize,
    /// Envelopes of the client whose receipt is not in yet.
    pub posts_pending: usize,
    /// Chains of mailbox boxes that are followed, one for each registration.
    pub chains: usize,
    /// Envelopes that came from mailboxes since the start.
    pub from_mailboxes: u64,
}

/// How far the local client of an edge is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientState {
    /// It has not connected yet, or went away.
    #[default]
    WaitingForClient,
    /// It is connected, but its bloom filter is full: it has subscribed to nothing.
    WaitingForTopics,
    /// It is connected and its topics are followed.
    Following,
}
