//! The role of the edge: registers the interests of its local client at a bridge, posts what the client sends, and takes
//! in what the bridge delivers.
//!
//! ```text
//! local client ─ Interests ─▶ REGISTER, kept alive ─▶ Send
//!              ─ Envelope ──▶ POST, until POSTED   ─▶ Send
//! mailboxes ─ Found ▶ MVDS payload ─▶ the same
//! mixnet ─ Object ─▶ MVDS payload ─▶ checked, deduplicated, committed ─▶ Deliver, and the ACK ─▶ Send
//!                 ─▶ response to a request
//! ```

mod blocks;
mod chains;
mod inbox;
mod line;
mod outbox;
mod record;
mod registration;
mod registrations;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;

use crate::counters::{Counters, DropReason};
use crate::error::OpenError;
use crate::gateway::request::{Auth, Body, Mode, Request, RequestId};
use crate::gateway::response::Response;
use crate::gateway::seal::{self, Context, ExchangeKey, ExchangeSecret, Opener};
use crate::ledger::{Ledger, Step};
use crate::life;
use crate::mvds::retry::Retry;
use crate::port::{
    BridgeId, BridgeInfo, ChainSecret, Envelope, EnvelopeHash, Inspect, Kind, Now, Object, Prefix,
    ReplyBlock, Tag, Trace,
};
use crate::seen::{Scope, Sweep};
use crate::store::{Batch, Family, Store, StoreError};
use blocks::{Blocks, Job};
use chains::Chains;
use inbox::Inbox;
use line::Line;
use outbox::Outbox;
use registration::RegistrationId;
use registrations::Registrations;
use turn::{Effect, Turn};

/// What an edge is made with.
pub struct Config {
    /// The bridges that it may use, the preferred one first.
    pub bridges: Vec<BridgeInfo>,
    /// Reads envelopes.
    pub inspect: Arc<dyn Inspect + Send + Sync>,
    /// Seeds everything that is drawn at random, anew in each life of the store.
    pub seed: [u8; 32],
    /// How many bytes of an object one packet carries.
    pub frame_capacity: usize,
    /// How the bridge sends.
    pub mode: Mode,
    /// The wanted lease of a registration, seconds.
    pub lease_s: u32,
    /// The gap after which an unanswered request is first repeated: a little more than a usual round trip.
    pub retry: Duration,
    /// How often a frame leaves, on average.
    pub slot: Duration,
    /// How long a post is tried, seconds.
    pub post_patience_s: u32,
    /// Below so many reply blocks at the bridge, more are sent.
    pub blocks_low: usize,
    /// Up to so many.
    pub blocks_high: usize,
    /// For how long reply blocks serve from their arrival at the bridge on: shorter than the mixnet keeps the keys of their relays and their
    /// own. More than half an hour is half an hour.
    pub blocks_life: Duration,
    /// When a request for an offered envelope is repeated, in epochs of 100 ms (interactive mode only).
    pub mvds_retry: Retry,
}

impl Config {
    /// An edge with the usual settings.
    pub fn new(
        bridges: Vec<BridgeInfo>,
        inspect: Arc<dyn Inspect + Send + Sync>,
        seed: [u8; 32],
        frame_capacity: usize,
    ) -> Self {
        Self {
            bridges,
            inspect,
            seed,
            frame_capacity,
            mode: Mode::Batch,
            lease_s: LEASE_S,
            retry: RETRY,
            slot: SLOT,
            post_patience_s: POST_PATIENCE_S,
            blocks_low: BLOCKS_LOW,
            blocks_high: BLOCKS_HIGH,
            blocks_life: BLOCKS_LIFE,
            mvds_retry: crate::engine::RETRY,
        }
    }
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
    /// An object from a chain of mailbox boxes that [`Output::Watch`] named.
    Found {
        /// Which chain.
        label: ChainLabel,
        /// The box after it.
        next: u64,
        /// An MVDS payload of the bridge.
        payload: Vec<u8>,
    },
    /// Boxes of a chain are given up.
    Skipped {
        /// Which chain.
        label: ChainLabel,
        /// The box after them.
        next: u64,
    },
    /// Whether the mixnet loses much: then requests are repeated sooner.
    Lossy(bool),
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
        /// Whether somebody waits for it; otherwise it prepares for later.
        prompt: bool,
    },
    /// Hand an envelope to the local client. After a restart one that was not confirmed by [`Input::Handed`] comes again.
    Deliver(Envelope),
    /// Look into the boxes of a chain from an index on, and bring what is there with [`Input::Found`]. After a restart it comes again.
    Watch {
        /// Names the chain.
        label: ChainLabel,
        /// The key of the chain.
        key: ChainSecret,
        /// Index of the first box to look into.
        next: u64,
    },
    /// Look into them no more.
    Unwatch {
        /// Which chain.
        label: ChainLabel,
    },
    /// For whoever watches.
    Trace(Trace),
}

/// Names a chain of mailbox boxes.
pub type ChainLabel = [u8; 16];

/// How an edge is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether a bridge sends what the local client wants.
    pub is_registered: bool,
    /// Registrations, those that are asked for or retiring included.
    pub registrations: usize,
    /// Reply blocks at the bridge, as far as known here.
    pub reply_blocks: usize,
    /// Envelopes of the local client that are not in Whisper yet.
    pub posts_waiting: usize,
    /// When the oldest of them was accepted, Unix milliseconds.
    pub oldest_post_unix_ms: Option<u64>,
    /// Delivered envelopes that the local client did not confirm.
    pub deliveries_kept: usize,
    /// Chains of mailbox boxes that are followed.
    pub chains: usize,
    /// Envelopes that came from mailboxes.
    pub from_mailboxes: u64,
    /// Batches that are not durable yet.
    pub commits_in_flight: u64,
    /// What went across and what was dropped.
    pub counters: Counters,
}

/// The role of the edge, as a state machine without I/O.
pub struct Client {
    config: Config,
    rng: ChaCha20Rng,
    ledger: Ledger<Effect>,
    counters: Counters,
    registrations: Registrations,
    outbox: Outbox,
    inbox: Inbox,
    blocks: Blocks,
    line: Line,
    chains: Chains,
    from_mailboxes: u64,
    exchanges: BTreeMap<Tag, Exchange>,
    sweep: Sweep,
    next_sweep: Instant,
}

/// A one-shot request whose answers may still come.
struct Exchange {
    job: Job,
    opener: Opener,
    until: Instant,
}

impl Client {
    /// Takes up the work that the store holds: registrations, posts on their way, deliveries not handed over.
    pub fn open(config: Config, store: Arc<dyn Store>, now: Now) -> Result<Self, OpenError> {
        if config.bridges.is_empty() {
            return Err(OpenError::NoBridge);
        }
        if config.frame_capacity <= seal::ONE_SHOT_OVERHEAD {
            return Err(OpenError::FrameCapacity {
                capacity: config.frame_capacity,
            });
        }
        let (low, high) = (config.blocks_low, config.blocks_high);
        if low == 0 || low > high {
            return Err(OpenError::BlockMarks { low, high });
        }
        let mut ledger = Ledger::new(store);
        let mut rng = life::rng(&mut ledger, &config.seed).map_err(OpenError::Store)?;
        let mut counters = Counters::default();
        let mut line = Line::default();
        let mut turn = Turn {
            now,
            config: &config,
            ledger: &mut ledger,
            counters: &mut counters,
            rng: &mut rng,
            line: &mut line,
        };
        let registrations = Registrations::open(&mut turn).map_err(OpenError::Store)?;
        let outbox = Outbox::open(&mut turn).map_err(OpenError::Store)?;
        let inbox = Inbox::open(&mut turn).map_err(OpenError::Store)?;
        let chains = Chains::open(&mut turn).map_err(OpenError::Store)?;
        ledger.close();
        Ok(Self {
            config,
            rng,
            ledger,
            counters,
            registrations,
            outbox,
            inbox,
            blocks: Blocks::default(),
            line,
            chains,
            from_mailboxes: 0,
            exchanges: BTreeMap::new(),
            sweep: Sweep::new(Family::Seen),
            next_sweep: now.mono + SWEEP_GAP,
        })
    }

    /// One input. Fails only if the store cannot be read; the client is then not to be used any more.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), StoreError> {
        if let Input::Committed(seq) = input {
            self.ledger.committed(seq, |effect| stamp(effect, now));
            return Ok(());
        }
        let mut turn = Turn {
            now,
            config: &self.config,
            ledger: &mut self.ledger,
            counters: &mut self.counters,
            rng: &mut self.rng,
            line: &mut self.line,
        };
        match input {
            Input::Interests(prefixes) => self.registrations.set_interests(now, &prefixes),
            Input::Envelope(envelope) => self.outbox.accept(&mut turn, &envelope)?,
            Input::Object(object) => take_object(
                &mut turn,
                &mut self.registrations,
                &mut self.outbox,
                &mut self.inbox,
                &mut self.blocks,
                &mut self.exchanges,
                &object,
            )?,
            Input::Blocks(blocks) => self.blocks.add(blocks),
            Input::BlocksStale => {
                self.blocks.discard();
                self.registrations.replace_stocks();
            }
            Input::Found {
                label,
                next,
                payload,
            } => {
                let id = RegistrationId(label);
                if self.chains.advance(&mut turn, id, next) {
                    for envelope in self.registrations.found(&mut turn, id, &payload) {
                        self.from_mailboxes += 1;
                        self.inbox.take(&mut turn, envelope)?;
                    }
                }
            }
            Input::Skipped { label, next } => {
                self.chains.advance(&mut turn, RegistrationId(label), next);
            }
            Input::Lossy(lossy) => turn.line.lossy = lossy,
            Input::Handed(hash) => self.inbox.handed(&mut turn, hash),
            Input::Committed(_) | Input::Tick => {}
        }
        self.outbox.tick(&mut turn, &mut self.blocks);
        self.registrations.tick(&mut turn, &mut self.blocks);
        while let Some((job, blocks)) = self.blocks.next() {
            run(
                &mut turn,
                &mut self.registrations,
                &mut self.outbox,
                &mut self.exchanges,
                job,
                blocks,
            );
            self.registrations.tick(&mut turn, &mut self.blocks);
        }
        for (id, chain) in self.registrations.chains_changed() {
            match chain {
                Some((key, lease_until)) => self.chains.begin(&mut turn, id, key, lease_until),
                None => self.chains.end(&mut turn, id),
            }
        }
        self.blocks.ask(&mut turn);
        if self.next_sweep <= now.mono {
            self.next_sweep = now.mono + SWEEP_GAP;
            self.sweep.step(turn.ledger, now.unix())?;
            self.chains.sweep(&mut turn);
            self.exchanges
                .retain(|_, exchange| exchange.until > now.mono);
        }
        self.ledger.close();
        Ok(())
    }

    /// The next thing to do. Drain before the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        Some(match self.ledger.poll()? {
            Step::Commit(seq, batch) => Output::Commit { seq, batch },
            Step::Effect(Effect::WantBlocks(count)) => Output::WantBlocks { count },
            Step::Effect(Effect::Send { to, object, prompt }) => {
                Output::Send { to, object, prompt }
            }
            Step::Effect(Effect::Deliver(envelope)) => Output::Deliver(envelope),
            Step::Effect(Effect::Watch { id, key, next }) => Output::Watch {
                label: id.0,
                key,
                next,
            },
            Step::Effect(Effect::Unwatch(id)) => Output::Unwatch { label: id.0 },
            Step::Effect(Effect::Trace(trace)) => Output::Trace(trace),
        })
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self, now: Now) -> Option<Instant> {
        [
            self.registrations.next_deadline(now),
            self.outbox.next_deadline(),
            self.blocks.next_deadline(),
            Some(self.next_sweep),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How many batches are not durable yet.
    pub fn commits_in_flight(&self) -> u64 {
        self.ledger.in_flight()
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let (reply_blocks, registrations) = self.registrations.summary();
        Status {
            is_registered: self.registrations.is_live(),
            registrations,
            reply_blocks,
            posts_waiting: self.outbox.len(),
            oldest_post_unix_ms: self.outbox.oldest_unix_ms(),
            deliveries_kept: self.inbox.len(),
            chains: self.chains.len(),
            from_mailboxes: self.from_mailboxes,
            commits_in_flight: self.ledger.in_flight(),
            counters: self.counters.clone(),
        }
    }
}

/// An object from the mixnet: under a registration, or an answer to a one-shot request.
fn take_object(
    turn: &mut Turn<'_>,
    registrations: &mut Registrations,
    outbox: &mut Outbox,
    inbox: &mut Inbox,
    blocks: &mut Blocks,
    exchanges: &mut BTreeMap<Tag, Exchange>,
    object: &Object,
) -> Result<(), StoreError> {
    if let Some(id) = registrations.by_tag(object.tag) {
        for envelope in registrations.object(turn, id, object) {
            inbox.take(turn, envelope)?;
        }
        return Ok(());
    }
    let Some(exchange) = exchanges.get_mut(&object.tag) else {
        turn.drop(DropReason::UnknownTag);
        return Ok(());
    };
    let context = Context::new(object.kind, object.tag);
    let Ok(content) = exchange.opener.open(context, &object.bytes) else {
        turn.drop(DropReason::Forged);
        return Ok(());
    };
    let response = match (object.kind, Response::decode(&content)) {
        (Kind::Response, Ok(response)) => response,
        (_, _) => {
            turn.drop(DropReason::Malformed);
            return Ok(());
        }
    };
    match exchange.job {
        Job::Post(id) => outbox.response(turn, blocks, id, &response),
        Job::Register(id) => registrations.registered(turn, blocks, id, &response),
        Job::Probe(id) => registrations.probed(turn, blocks, id, &response),
        Job::TopUp(_) | Job::Ping(_) | Job::Unregister(_) => {}
    }
    Ok(())
}

/// A job that has its reply blocks.
fn run(
    turn: &mut Turn<'_>,
    registrations: &mut Registrations,
    outbox: &mut Outbox,
    exchanges: &mut BTreeMap<Tag, Exchange>,
    job: Job,
    blocks: Vec<ReplyBlock>,
) {
    let (asked, request) = match job {
        Job::TopUp(id) => return registrations.top_up(turn, id, blocks),
        Job::Ping(id) => {
            if let Some(body) = registrations.ping_body(id) {
                registrations.ask(turn, id, body, blocks);
            }
            return;
        }
        Job::Unregister(id) => return registrations.ask(turn, id, Body::Unregister, blocks),
        Job::Post(id) => {
            let bridge = turn.config.bridges.first().copied();
            (
                bridge.zip(outbox.request(turn, id)),
                RequestId::new(*id.bytes()),
            )
        }
        Job::Register(id) | Job::Probe(id) => {
            (registrations.one_shot(turn, job), RequestId::new(id.0))
        }
    };
    let Some((bridge, body)) = asked else { return };
    let request = Request {
        id: request,
        blocks,
        auth: Auth::default(),
        body: Ok(body),
    };
    let tag = Tag::new(turn.draw());
    let ephemeral = ExchangeSecret::generate(turn.rng);
    let context = Context::new(Kind::Request, tag);
    let gateway_key = ExchangeKey::new(bridge.gateway_key);
    let Ok((bytes, opener)) =
        seal::seal_request(context, ephemeral, &gateway_key, &request.encode())
    else {
        return turn.drop(DropReason::TooLarge);
    };
    if exchanges.len() >= EXCHANGES_MAX {
        let oldest = exchanges.iter().min_by_key(|(_, exchange)| exchange.until);
        if let Some(tag) = oldest.map(|(tag, _)| *tag) {
            exchanges.remove(&tag);
        }
    }
    exchanges.insert(
        tag,
        Exchange {
            job,
            opener,
            until: turn.now.mono + EXCHANGE_LIFE,
        },
    );
    let object = Object {
        kind: Kind::Request,
        tag,
        bytes,
    };
    turn.send(bridge.id, object, true);
}

fn stamp(effect: &mut Effect, now: Now) {
    if let Effect::Trace(trace) = effect {
        crate::turn::stamp(trace, now);
    }
}

/// Envelope hashes that came from the bridge or the local client.
const OWN_HASH: Scope = *b"envelope hashes.";
/// Their content ids: an own post comes back under another hash when the bridge sealed it anew.
const OWN_CONTENT: Scope = *b"content ids.....";

/// Short enough that a bridge forgets a client that is gone, long enough for a week away.
const LEASE_S: u32 = 14 * 24 * 3600;
/// Above a usual round trip through three relays.
const RETRY: Duration = Duration::from_secs(4);
/// That of the fastest preset of the mixnet.
const SLOT: Duration = Duration::from_millis(250);
/// What a person may still expect to be sent, seconds.
const POST_PATIENCE_S: u32 = 600;
/// Pays for an item of 128 KiB, the largest that a bridge sends.
const BLOCKS_LOW: usize = 36;
/// Half as many again, so that top-ups come in bursts and not with each message.
const BLOCKS_HIGH: usize = 56;
/// The mixnet client keeps the keys of reply blocks for 30 minutes; what is left is for their way to the bridge and back.
const BLOCKS_LIFE: Duration = Duration::from_secs(1_500);
/// One-shot requests whose answers may still come; a few hundred bytes each.
const EXCHANGES_MAX: usize = 4_096;
/// How long an answer is waited for: the bridge may hold a post for minutes.
const EXCHANGE_LIFE: Duration = Duration::from_secs(900);
/// Between two steps of the sweep.
const SWEEP_GAP: Duration = Duration::from_secs(10);
