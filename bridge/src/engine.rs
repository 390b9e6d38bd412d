//! The role of the bridge: envelopes from Whisper to registrations behind the mixnet, and posts from there to Whisper.
//!
//! ```text
//! Whisper ─ Envelope ─▶ deliver ─▶ MVDS record per matching registration ─▶ Reply (MVDS payload)
//! mixnet  ─ Object ──▶ request: REGISTER, PING, POST      ─▶ Reply (response), Publish, Work
//!                      MVDS payload: acks; top-up: credit
//! Whisper ─ Published ▶ the stage of a post               ─▶ Reply (receipt)
//! ```
//!
//! Each input changes the store in one batch, and what it causes outside waits for that batch (`ledger`). A
//! registration is sent to only while it has reply blocks; without them nothing of it changes.

use std::sync::Arc;

use crate::gateway::seal::ExchangeSecret;
use crate::port::{
    BridgeId, Envelope, EnvelopeHash, Inspect, Now, Object, ReplyBlock, SealError, SealJob, Trace,
};
use crate::store::Batch;

/// What a bridge is made with.
pub struct Config {
    /// The bridge's own id: the compressed key of its libp2p identity.
    pub id: BridgeId,
    /// The secret of the gateway key in its descriptor.
    pub gateway_secret: ExchangeSecret,
    /// Reads envelopes.
    pub inspect: Arc<dyn Inspect + Send + Sync>,
    /// Seeds everything that is drawn at random.
    pub seed: [u8; 32],
    /// How many bytes of an object one packet carries.
    pub frame_capacity: usize,
}

/// What happens to a bridge.
#[derive(Debug)]
pub enum Input {
    /// An envelope that Whisper's pool newly took, whoever it came from.
    Envelope(Envelope),
    /// An object from the mixnet.
    Object(Object),
    /// All batches up to this number are durable.
    Committed(u64),
    /// A [`SealJob`] is over.
    Sealed {
        /// Its number.
        job: u64,
        /// The envelope, or why there is none.
        result: Result<Envelope, SealError>,
    },
    /// A published envelope went to so many peers so far; 0: there is nobody to take it now.
    Published {
        /// Which envelope.
        hash: EnvelopeHash,
        /// Whisper peers that it was sent to.
        peers: u32,
    },
    /// Whisper's pool did not take a published envelope.
    Refused {
        /// Which envelope.
        hash: EnvelopeHash,
        /// Why.
        reason: &'static str,
    },
    /// The time of [`Engine::next_deadline`] has come.
    Tick,
}

/// What a bridge wants done.
#[derive(Debug)]
pub enum Output {
    /// Write this batch and give its number back with [`Input::Committed`].
    Commit {
        /// Its number; batches are written in this order.
        seq: u64,
        /// The changes.
        batch: Batch,
    },
    /// Send an object to whoever made these reply blocks, one block a frame.
    Reply {
        /// As many as the object has frames.
        blocks: Vec<ReplyBlock>,
        /// The object.
        object: Object,
    },
    /// Put an envelope into Whisper and answer with [`Input::Published`] or [`Input::Refused`]. The same envelope may come again.
    Publish {
        /// The envelope.
        envelope: Envelope,
    },
    /// Seal an envelope and answer with [`Input::Sealed`].
    Work(SealJob),
    /// For whoever watches.
    Trace(Trace),
}
