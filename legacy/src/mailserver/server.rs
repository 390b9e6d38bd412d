//! The mailserver: a state machine that keeps what the node accepts and hands it out on request.
//!
//! ```text
//! accepted envelope ─▶ queue ─▶ Store            every hour, and when there is too much ─▶ Prune
//! code 126 ─▶ form, key, signature, range, rate ─▶ job ─▶ Read ─▶ 127, 127, … ─▶ 125
//! code 123 ─▶ allowed?      range, limit, rate ─▶ job ─▶ Read ─▶ 124, 124, … ─▶ 124 final
//! code 124 ─▶ asked for?    each envelope judged ─▶ queue ─▶ Store
//! ```
//!
//! One job of a peer is served at a time, a batch is read only when the connection has taken the one before the last, and what a peer
//! may ask for is bounded in bytes: whoever asks and does not read holds one megabyte, not the archive.
//! Every method is followed by draining [`Server::poll_output`]. Spec: mailserver.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::archive::{Done, Job, Row, Totals};
use super::limits;
use super::request::RequestError;
use crate::identity::NodeId;
use crate::now::Now;
use crate::rlp::RlpError;
use crate::shh::seal::OpenKey;
use crate::shh::wire::{REQUEST, SYNC_REQUEST, SYNC_RESPONSE};
use crate::shh::{Envelope, EnvelopeHash, PeerId};

pub use super::exchange::ResponseError;
pub use counters::Counters;
pub use pull::{SyncError, SyncId, SyncRequest, Synced};

mod allowance;
mod counters;
mod keep;
mod pull;
mod serve;

use allowance::Allowances;
use keep::Keeper;
use pull::Pulls;
use serve::Serving;

/// What a mailserver is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What opens sealed requests: the password's key, the key of the node, or both. None: they are refused.
    pub keys: Vec<OpenKey>,
    /// Whether requests in clear are served.
    pub plain: bool,
    /// Nodes that may sync from us besides those that are trusted.
    pub sync_with: BTreeSet<NodeId>,
    /// Whether everybody may sync from us. As at Status servers; whoever does not need it leaves it off.
    pub sync_strangers: bool,
    /// Nodes that we sync from whenever they are connected.
    pub sync_from: BTreeSet<NodeId>,
    /// Work that sealed requests must prove.
    pub min_pow: f64,
    /// Time between two requests of one node; zero for no such limit.
    pub rate_limit: Duration,
    /// Seconds that one request may cover; nothing for no such limit.
    pub range_max: Option<u32>,
    /// Seconds for which envelopes are kept.
    pub retention: u32,
    /// Bytes that the archive may take.
    pub bytes_max: u64,
    /// Work that envelopes of other servers must prove.
    pub envelope_min_pow: f64,
    /// Longest life of envelopes of other servers, in seconds.
    pub envelope_ttl_max: u32,
    /// Largest envelope of other servers, by the size rule.
    pub envelope_len_max: usize,
}

impl Default for Config {
    /// A server that keeps, and answers nobody yet.
    fn default() -> Config {
        Config {
            keys: Vec::new(),
            plain: false,
            sync_with: BTreeSet::new(),
            sync_strangers: false,
            sync_from: BTreeSet::new(),
            min_pow: crate::shh::limits::MIN_POW,
            rate_limit: Duration::ZERO,
            range_max: None,
            retention: limits::RETENTION_DAYS * 24 * 60 * 60,
            bytes_max: limits::ARCHIVE_BYTES_MAX,
            envelope_min_pow: crate::shh::limits::MIN_POW,
            envelope_ttl_max: crate::shh::limits::TTL_MAX,
            envelope_len_max: crate::shh::limits::ENVELOPE_LEN_MAX,
        }
    }
}

/// Name of a job that the archive has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happens to the server.
#[derive(Clone, Debug)]
pub enum Input {
    /// A peer has said its Status.
    PeerReady {
        /// The connection.
        peer: PeerId,
        /// Who is at its other end.
        node: NodeId,
    },
    /// A connection is gone.
    PeerDown {
        /// The connection.
        peer: PeerId,
    },
    /// A message of code 123, 124 or 126.
    Message {
        /// The connection.
        peer: PeerId,
        /// Whether its node is trusted.
        trusted: bool,
        /// The code.
        code: u64,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// The node has accepted an envelope.
    Accepted(Arc<Envelope>),
    /// The archive has done a job.
    Archived {
        /// The job.
        ticket: Ticket,
        /// What came of it.
        done: Done,
    },
    /// A connection has taken what was sent before an [`Output::Receipt`].
    Taken {
        /// The connection.
        peer: PeerId,
    },
    /// Somebody wants a sync.
    Sync {
        /// Its name in the answer.
        id: SyncId,
        /// What to ask for, and whom.
        request: SyncRequest,
    },
    /// A deadline passed.
    Tick,
}

/// What the server wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Give a job to the archive.
    Archive {
        /// Its name in the answer.
        ticket: Ticket,
        /// The job.
        job: Job,
    },
    /// Send a message.
    Send {
        /// To whom.
        peer: PeerId,
        /// The code.
        code: u64,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// Say when the connection has taken everything that was sent before this.
    Receipt {
        /// The connection.
        peer: PeerId,
    },
    /// Take mail from this node.
    Trust(NodeId),
    /// End a connection.
    Dismiss {
        /// Which.
        peer: PeerId,
        /// Why.
        breach: Breach,
    },
    /// These envelopes are on the disk: whoever brought one may be told.
    Kept(Vec<EnvelopeHash>),
    /// A sync has ended.
    Synced {
        /// Its name.
        id: SyncId,
        /// How.
        result: Result<Synced, SyncError>,
    },
}

/// What a peer did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Breach {
    /// A request for mail is neither an envelope nor a request in clear.
    #[error("a request for mail that is neither an envelope nor one in clear: {0}")]
    Request(RlpError),
    /// A request that is longer than any.
    #[error("a request for mail of {len} bytes")]
    RequestTooLong {
        /// Its bytes.
        len: usize,
    },
    /// A request for a sync makes no sense.
    #[error("a request for a sync: {0}")]
    SyncRequest(RequestError),
    /// An answer to a sync is broken.
    #[error(transparent)]
    SyncResponse(ResponseError),
}

impl Breach {
    /// Name of the breach in metrics and in the reason of a disconnect.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Breach::Request(_) => "mail_request",
            Breach::RequestTooLong { .. } => "mail_request_too_long",
            Breach::SyncRequest(_) => "sync_request",
            Breach::SyncResponse(_) => "sync_response",
        }
    }
}

/// The mailserver.
pub struct Server {
    config: Config,
    peers: BTreeMap<PeerId, Peer>,
    serving: Serving,
    allowances: Allowances,
    keeper: Keeper,
    pulls: Pulls,
    tickets: Tickets,
    counters: Counters,
    outputs: VecDeque<Output>,
}

struct Peer {
    node: NodeId,
    /// Batches that its connection has not taken.
    batches: u32,
    /// Since when it has taken none of them.
    waiting_since: Option<Instant>,
}

/// What the archive is busy with.
#[derive(Default)]
struct Tickets {
    last: u64,
    reads: BTreeMap<Ticket, serve::JobId>,
}

impl Tickets {
    fn next(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }
}

impl Server {
    /// A server over an archive that holds so much, the newest of it from that second.
    pub fn new(now: Now, config: Config, totals: Totals, newest: Option<u32>) -> Server {
        Server {
            pulls: Pulls::new(now, &config, newest),
            config,
            peers: BTreeMap::new(),
            serving: Serving::default(),
            allowances: Allowances::default(),
            keeper: Keeper::new(now, totals),
            tickets: Tickets::default(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened, and does what is due.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::PeerReady { peer, node } => {
                self.peers.entry(peer).or_insert(Peer {
                    node,
                    batches: 0,
                    waiting_since: None,
                });
            }
            Input::PeerDown { peer } => {
                self.peers.remove(&peer);
                self.serving.forget(peer);
                self.pull_lost(now, peer);
            }
            Input::Message {
                peer,
                trusted,
                code,
                payload,
            } => {
                if let Err(breach) = self.message(now, peer, trusted, code, &payload) {
                    self.counters.breaches += 1;
                    self.outputs.push_back(Output::Dismiss { peer, breach });
                }
            }
            Input::Accepted(envelope) => self.keep(now, Row::of(&envelope)),
            Input::Archived { ticket, done } => self.archived(now, ticket, done),
            Input::Taken { peer } => self.taken(now, peer),
            Input::Sync { id, request } => self.pull(now, id, request),
            Input::Tick => {}
        }
        self.write(now);
        self.serve(now);
        self.advance_pulls(now);
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let pushes = self.peers.values().filter_map(|peer| peer.waiting_since);
        let pushes = pushes.map(|since| since + limits::PUSH_TIMEOUT).min();
        [
            self.keeper.next_deadline(),
            self.serve_at(),
            self.pulls
                .next_deadline(|node| self.connection(*node).is_some()),
            pushes,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Gives everything that waits to the archive, because the node ends.
    pub fn flush(&mut self, now: Now) {
        self.keeper.hurry(now);
        self.write(now);
    }

    /// Whether something is not on the disk yet.
    pub fn is_storing(&self) -> bool {
        !self.keeper.has_written(self.keeper.mark())
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How much the archive holds.
    pub fn totals(&self) -> Totals {
        self.keeper.totals()
    }

    /// Requests that are served or wait.
    pub fn jobs(&self) -> usize {
        self.serving.len()
    }

    fn message(
        &mut self,
        now: Now,
        peer: PeerId,
        trusted: bool,
        code: u64,
        payload: &[u8],
    ) -> Result<(), Breach> {
        match code {
            REQUEST => self.request(now, peer, payload),
            SYNC_REQUEST => self.sync_request(now, peer, trusted, payload),
            SYNC_RESPONSE => self.sync_response(now, peer, payload),
            _ => Ok(()),
        }
    }

    fn archived(&mut self, now: Now, ticket: Ticket, done: Done) {
        match self.tickets.reads.remove(&ticket) {
            Some(job) => self.read(now, job, done),
            None => self.kept(now, ticket, done),
        }
    }

    fn taken(&mut self, now: Now, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.batches = peer.batches.saturating_sub(1);
            peer.waiting_since = (peer.batches > 0).then_some(now.mono);
        }
    }

    fn send(&mut self, peer: PeerId, code: u64, payload: Vec<u8>) {
        self.outputs.push_back(Output::Send {
            peer,
            code,
            payload,
        });
    }
}

/// The wall clock as envelopes have it.
fn unix(now: Now) -> u32 {
    u32::try_from(now.unix_s()).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(in crate::mailserver) mod tests;
