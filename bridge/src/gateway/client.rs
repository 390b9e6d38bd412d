//! The role of the edge: registers the interests of its local client at a bridge, posts what the client sends, and takes
//! in what the bridge delivers.
//!
//! ```text
//! local client ─ Interests ─▶ REGISTER, kept alive ─▶ Send
//!              ─ Envelope ──▶ POST, until POSTED   ─▶ Send
//! mixnet ─ Object ─▶ MVDS payload ─▶ checked, deduplicated, committed ─▶ Deliver, and the ACK ─▶ Send
//!                 ─▶ response to a request
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::request::Mode;
use crate::port::{
    BridgeId, BridgeInfo, Envelope, EnvelopeHash, Inspect, Object, Prefix, ReplyBlock, Trace,
};
use crate::store::Batch;

/// What an edge is made with.
pub struct Config {
    /// The bridges that it may use, the preferred one first.
    pub bridges: Vec<BridgeInfo>,
    /// Reads envelopes.
    pub inspect: Arc<dyn Inspect + Send + Sync>,
    /// Seeds everything that is drawn at random.
    pub seed: [u8; 32],
    /// How many bytes of an object one packet carries.
    pub frame_capacity: usize,
    /// How the bridge sends.
    pub mode: Mode,
    /// The wanted lease of a registration, seconds.
    pub lease_s: u32,
    /// The gap after which an unanswered request is first repeated: a little more than a usual round trip.
    pub retry: Duration,
    /// How long a post is tried, seconds.
    pub post_patience_s: u32,
    /// Below so many reply blocks at the bridge, more are sent.
    pub blocks_low: usize,
    /// Up to so many.
    pub blocks_high: usize,
    /// How long the bridge may hold reply blocks before they are replaced; shorter than the mixnet keeps their keys.
    pub blocks_life: Duration,
}

/// What happens to an edge.
#[derive(Debug)]
pub enum Input {
    /// What the local client wants to receive: the whole set, whenever it changes.
    Interests(Vec<Prefix>),
    /// An envelope from the local client.
    Envelope(Envelope),
    /// An object from the mixnet.
    Object(Object),
    /// The reply blocks that [`Output::WantBlocks`] asked for, or some of them.
    Blocks(Vec<ReplyBlock>),
    /// A relay is gone: reply blocks made so far may lead nowhere.
    BlocksStale,
    /// All batches up to this number are durable.
    Committed(u64),
    /// The local client has a delivered envelope; it need not be kept for another [`Output::Deliver`].
    Handed(EnvelopeHash),
    /// The time of [`Client::next_deadline`] has come.
    Tick,
}

/// What an edge wants done.
#[derive(Debug)]
pub enum Output {
    /// Write this batch and give its number back with [`Input::Committed`].
    Commit {
        /// Its number; batches are written in this order.
        seq: u64,
        /// The changes.
        batch: Batch,
    },
    /// Make so many reply blocks.
    WantBlocks {
        /// How many.
        count: usize,
    },
    /// Send an object through the mixnet.
    Send {
        /// To this bridge.
        to: BridgeId,
        /// The object.
        object: Object,
    },
    /// Hand an envelope to the local client. After a restart one that was not confirmed by [`Input::Handed`] comes again.
    Deliver(Envelope),
    /// For whoever watches.
    Trace(Trace),
}
