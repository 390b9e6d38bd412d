//! The role of the bridge: envelopes from Whisper to registrations behind the mixnet, and posts from there to Whisper.
//!
//! ```text
//! Whisper ─ Envelope ─▶ deliver ─▶ MVDS record per matching registration ─▶ Reply (MVDS payload)
//! mixnet  ─ Object ──▶ request: REGISTER, PING, POST      ─▶ Reply (response), Publish, Work
//!                      MVDS payload: acks; top-up: credit
//! silence of a client ▶ its messages                      ─▶ Leave (MVDS payload, in mailboxes)
//! Whisper ─ Published ▶ the stage of a post               ─▶ Reply (receipt)
//! ```
//!
//! Each input changes the store in one batch, and what it causes outside waits for that batch (`ledger`). A
//! registration is sent to only while it has reply blocks; without them nothing of it changes.

mod heard;
mod posts;
pub(crate) mod record;
mod registrations;
mod reseal;
pub(crate) mod turn;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use secp256k1::PublicKey;

use crate::counters::{Counters, Direction, DropReason};
use crate::error::OpenError;
use crate::gateway::request::{Body, Request};
use crate::gateway::response::{Pong, Response, ResponseBody, Status as Answer};
use crate::gateway::seal::ExchangeSecret;
use crate::gateway::server::{self, Asked};
use crate::ledger::{Ledger, Step};
use crate::life;
use crate::mvds::id::PeerId;
use crate::mvds::retry::Retry;
use crate::port::{
    BridgeId, ChainSecret, Envelope, EnvelopeHash, Inspect, Kind, Now, Object, ReplyBlock,
    SealError, SealJob, Tag, Trace,
};
use crate::seen::Sweep;
use crate::store::{Batch, Family, Store, StoreError};
use posts::Posts;
use registrations::Registrations;
use turn::{Effect, Turn};

/// What a bridge is made with.
pub struct Config {
    /// The bridge's own id: the compressed key of its libp2p identity.
    pub id: BridgeId,
    /// The secret of the gateway key in its descriptor.
    pub gateway_secret: ExchangeSecret,
    /// Reads envelopes.
    pub inspect: Arc<dyn Inspect + Send + Sync>,
    /// Seeds everything that is drawn at random, anew in each life of the store.
    pub seed: [u8; 32],
    /// How many bytes of an object one packet carries.
    pub frame_capacity: usize,
    /// When a delivery without an acknowledgement is repeated, in epochs of 100 ms ([`RETRY`] unless there is a
    /// reason).
    pub retry: Retry,
    /// Whether posts that expired on their way are sealed anew here, if their sender allows it. It costs work.
    pub reseal: bool,
    /// How clients that are away are served; none: what they are owed waits here.
    pub mailboxes: Option<Mailboxes>,
}

/// How clients that are away are served by mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailboxes {
    /// How many bytes of an object one box holds.
    pub box_capacity: usize,
    /// A client that is not heard for so long is away. It pings every half minute while it is not.
    pub absent_after: Duration,
}

impl Config {
    /// The MVDS peer id of the bridge: its key, uncompressed. `None` if its id is no key.
    pub fn peer_id(&self) -> Option<PeerId> {
        let key = PublicKey::from_byte_array_compressed(self.id.0).ok()?;
        Some(PeerId::new(key.serialize_uncompressed()))
    }
}

/// A delivery is repeated after 4 s, and as soon as it is known what the client takes to answer, after a little more than that: 2.5 to
/// 12 s. Then after twice that, up to a minute. So what is only slow is rarely sent twice; and reply blocks bound what a client that is
/// gone costs.
pub const RETRY: Retry = Retry {
    base: 40,
    least: 25,
    most: 120,
    cap: 600,
    jitter: 10,
};

/// What happens to a bridge.
#[derive(Debug)]
pub enum Input {
    /// An envelope that Whisper's pool newly took, whoever it came from.
    Envelope(Envelope),
    /// An object from the mixnet.
    Object(Object),
    /// Whether the mixnet loses so much that payloads leave twice, if the client's reply blocks suffice.
    Lossy(bool),
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
    /// What [`Output::Leave`] gave out is in mailboxes.
    Left {
        /// Of which registration.
        tag: Tag,
        /// Its first box.
        first: u64,
    },
    /// No mailbox keeps it: the boxes are taken.
    NotLeft {
        /// Of which registration.
        tag: Tag,
        /// Its first box.
        first: u64,
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
    /// Leave this in mailboxes, in the boxes of a chain from an index on, and answer with [`Input::Left`] or [`Input::NotLeft`]. After a
    /// restart the same comes again, in the same boxes.
    Leave {
        /// Of which registration; names the chain.
        tag: Tag,
        /// The key of the chain.
        key: ChainSecret,
        /// Index of the first box.
        first: u64,
        /// An MVDS payload.
        payload: Vec<u8>,
    },
    /// A registration is over: leave no more of its chain.
    Forget {
        /// Which one.
        tag: Tag,
    },
    /// For whoever watches.
    Trace(Trace),
}

/// How a bridge is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Registrations, retiring ones included.
    pub registrations: usize,
    /// Messages that wait for an acknowledgement of a client.
    pub deliveries_waiting: usize,
    /// Posts that are not over.
    pub posts_open: usize,
    /// Unused reply blocks of all registrations.
    pub reply_blocks: usize,
    /// Clients that are away.
    pub clients_away: usize,
    /// Messages that are in mailboxes, or on their way there, and not acknowledged.
    pub messages_left: usize,
    /// Payloads that are on their way into mailboxes.
    pub payloads_leaving: usize,
    /// Batches that are not durable yet.
    pub commits_in_flight: u64,
    /// What went across and what was dropped.
    pub counters: Counters,
}

/// The role of the bridge, as a state machine without I/O.
pub struct Engine {
    config: Config,
    rng: ChaCha20Rng,
    ledger: Ledger<Effect>,
    counters: Counters,
    registrations: Registrations,
    posts: Posts,
    sweeps: [Sweep; 2],
    next_sweep: Instant,
}

impl Engine {
    /// Takes up the work that the store holds: deliveries without acknowledgement, posts on their way.
    pub fn open(config: Config, store: Arc<dyn Store>, now: Now) -> Result<Self, OpenError> {
        if config.peer_id().is_none() {
            return Err(OpenError::BridgeKey);
        }
        if config.frame_capacity <= crate::gateway::seal::OVERHEAD {
            return Err(OpenError::FrameCapacity {
                capacity: config.frame_capacity,
            });
        }
        let mut ledger = Ledger::new(store);
        let mut rng = life::rng(&mut ledger, &config.seed).map_err(OpenError::Store)?;
        let mut counters = Counters::default();
        let mut turn = Turn {
            now,
            config: &config,
            ledger: &mut ledger,
            counters: &mut counters,
            rng: &mut rng,
            line: (),
        };
        let registrations = Registrations::open(&mut turn).map_err(OpenError::Store)?;
        let posts = Posts::open(&mut turn).map_err(OpenError::Store)?;
        ledger.close();
        Ok(Self {
            config,
            rng,
            ledger,
            counters,
            registrations,
            posts,
            sweeps: [Sweep::new(Family::Seen), Sweep::new(Family::Requests)],
            next_sweep: now.mono + SWEEP_GAP,
        })
    }

    /// One input. Fails only if the store cannot be read; the engine is then not to be used any more.
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
            line: (),
        };
        let (registrations, posts) = (&mut self.registrations, &mut self.posts);
        match input {
            Input::Envelope(envelope) => {
                posts.heard(&mut turn, &envelope);
                registrations.deliver(&mut turn, &envelope)?;
            }
            Input::Object(object) => take_object(&mut turn, registrations, posts, &object)?,
            Input::Sealed { job, result } => posts.sealed(&mut turn, job, result),
            Input::Published { hash, peers } => {
                // Whisper does not bring our own posts back to us, but they may be for a client of ours.
                if let Some(envelope) = posts.published(&mut turn, hash, peers) {
                    registrations.deliver(&mut turn, &envelope)?;
                }
            }
            Input::Refused { hash, reason } => posts.refused(&mut turn, hash, reason),
            Input::Left { tag, first } => registrations.is_left(&mut turn, tag, first),
            Input::NotLeft { tag, first } => registrations.is_lost(&mut turn, tag, first),
            Input::Lossy(lossy) => registrations.set_lossy(lossy),
            Input::Committed(_) | Input::Tick => {}
        }
        posts.tick(&mut turn);
        registrations.tick(&mut turn);
        if self.next_sweep <= now.mono {
            self.next_sweep = now.mono + SWEEP_GAP;
            for sweep in &mut self.sweeps {
                sweep.step(turn.ledger, now.unix())?;
            }
        }
        self.ledger.close();
        Ok(())
    }

    /// The next thing to do. Drain before the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        Some(match self.ledger.poll()? {
            Step::Commit(seq, batch) => Output::Commit { seq, batch },
            Step::Effect(Effect::Reply { blocks, object }) => Output::Reply { blocks, object },
            Step::Effect(Effect::Publish(envelope)) => Output::Publish { envelope },
            Step::Effect(Effect::Work(job)) => Output::Work(job),
            Step::Effect(Effect::Leave {
                tag,
                key,
                first,
                payload,
            }) => Output::Leave {
                tag,
                key,
                first,
                payload,
            },
            Step::Effect(Effect::Forget(tag)) => Output::Forget { tag },
            Step::Effect(Effect::Trace(trace)) => Output::Trace(trace),
        })
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self, now: Now) -> Option<Instant> {
        [
            self.registrations.next_deadline(now),
            self.posts.next_deadline(),
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
        Status {
            registrations: self.registrations.len(),
            deliveries_waiting: self.registrations.waiting(),
            posts_open: self.posts.open_count(),
            reply_blocks: self.registrations.reply_blocks(),
            clients_away: self.registrations.away(),
            messages_left: self.registrations.left(),
            payloads_leaving: self.registrations.leaving(),
            commits_in_flight: self.ledger.in_flight(),
            counters: self.counters.clone(),
        }
    }
}

fn take_object(
    turn: &mut Turn<'_>,
    registrations: &mut Registrations,
    posts: &mut Posts,
    object: &Object,
) -> Result<(), StoreError> {
    match object.kind {
        Kind::Request if !registrations.contains(object.tag) => {
            let Some(asked) = server::open(turn, object)? else {
                return Ok(());
            };
            answer(turn, registrations, posts, asked)
        }
        Kind::Request | Kind::Mvds | Kind::TopUp => {
            registrations.object(turn, object);
            Ok(())
        }
        Kind::Cover => Ok(()),
        Kind::Response => {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::UnexpectedKind);
            Ok(())
        }
    }
}

/// A one-shot request.
fn answer(
    turn: &mut Turn<'_>,
    registrations: &mut Registrations,
    posts: &mut Posts,
    asked: Asked,
) -> Result<(), StoreError> {
    let Asked {
        request: Request { id, body, .. },
        mut path,
    } = asked;
    let now_s = turn.now.unix();
    let response = match body {
        Ok(Body::Register(register)) => {
            return registrations.register(turn, id, path, register);
        }
        Ok(Body::Post(post)) => {
            posts.post(turn, id, post, path);
            return Ok(());
        }
        Ok(Body::Ping(Some(tag))) if !registrations.contains(tag) => {
            Response::bare(id, Answer::Gone, now_s)
        }
        Ok(Body::Ping(_)) => Response::ok(id, now_s, ResponseBody::Pong(Pong::default())),
        // Only under the registration that it ends.
        Ok(Body::Unregister) => Response::bare(id, Answer::Bad, now_s),
        Err(refusal) => {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::Malformed);
            Response::bare(id, refusal.status, now_s)
        }
    };
    path.respond(turn, &response);
    Ok(())
}

fn stamp(effect: &mut Effect, now: Now) {
    if let Effect::Trace(trace) = effect {
        crate::turn::stamp(trace, now);
    }
}

/// Between two steps of the sweeps: 256 entries each, so a million are walked in half a day.
const SWEEP_GAP: Duration = Duration::from_secs(10);
