//! The Whisper node: a state machine that is handed connections and messages, and hands out messages and envelopes.
//!
//! ```text
//! PeerUp ─▶ our Status, at once            peer's Status ─▶ PeerStatus, and the pool is looked through
//! code 1 ─▶ whole packet parsed ─▶ each: times, size ─▶ duplicate? ─▶ work ─▶ bloom ─▶ pool ─▶ Envelope
//! pool   ─▶ queue of each peer that wants it ─▶ relay tick ─▶ Send (bundle, shuffled) and Sent
//! ```
//!
//! Broken encoding, a bad Status and bad requirements end a connection; an envelope that is merely not acceptable is
//! dropped and counted, since the clock or the parameters of an honest peer may differ from ours.
//! Every method is followed by draining [`Node::poll_output`]. Spec: Whisper v6.
//!
//! | room | content |
//! |---|---|
//! | `status` | what both sides say about themselves, and when they change it |
//! | `arrivals` | envelopes from their arrival to their death |
//! | `relay` | bundles to peers |
//! | `confirm` | confirmations of bundles, both ways |
//! | `direct` | trust, and what goes past the pool: direct messages and the mailserver's |
//! | `traffic` | rate limits, both ways |
//! | `config`, `counters` | what can be chosen, and what is counted |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::bloom::Bloom;
use super::clock::Clock;
use super::confirmation::{BatchHash, Fault};
use super::envelope::{Envelope, EnvelopeHash};
use super::limits;
use super::peer::{Pace, Peer, Phase};
use super::pool::{Pool, Seq, Slots};
use super::rate::Limiter;
use super::rules::{Demands, Reject};
use super::topic::Topic;
use super::wire::{self, Error, Status};
use crate::identity::NodeId;
use crate::now::Now;
use crate::peers::Offence;
use crate::rlpx::payload::Payload;

pub use super::peer::Wants;
pub use config::{Config, Confirmations};
pub use counters::Counters;
pub use direct::{NotConnected, TrustFull};
pub use status::SizeTooLarge;

mod arrivals;
mod config;
mod confirm;
mod counters;
mod direct;
mod relay;
mod status;
mod traffic;

/// One connection. Never used twice in the life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What happens to the node.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection speaks `shh/6`.
    PeerUp {
        /// The connection.
        peer: PeerId,
        /// Who is at its other end.
        node: NodeId,
        /// Its address, for the rate limits; nothing exempts it from them.
        ip: Option<IpAddr>,
    },
    /// A connection is gone.
    PeerDown {
        /// The connection.
        peer: PeerId,
    },
    /// A message arrived.
    Message {
        /// The connection.
        peer: PeerId,
        /// Code within the capability.
        code: u64,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// A deadline passed.
    Tick,
}

/// What the node wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        peer: PeerId,
        /// Code within the capability.
        code: u64,
        /// Its bytes, shared with other peers that get the same.
        payload: Payload,
    },
    /// End a connection. The node has forgotten it already.
    Disconnect {
        /// Which.
        peer: PeerId,
        /// Why; [`Error::disconnect_code`] is what to tell the peer.
        error: Error,
    },
    /// An envelope is new and accepted.
    Envelope {
        /// It.
        envelope: Arc<Envelope>,
        /// The connection that brought it, or nothing where it is our own.
        from: Option<PeerId>,
    },
    /// A peer said what it wants, for the first time or anew.
    PeerStatus {
        /// The connection.
        peer: PeerId,
        /// What it wants.
        wants: Wants,
    },
    /// Envelopes are in a message that was handed out before this.
    Sent {
        /// The connection.
        peer: PeerId,
        /// The envelopes.
        hashes: Arc<[EnvelopeHash]>,
    },
    /// An envelope came straight from a trusted peer, past every check, or from any peer while we are light. Only filters
    /// that take direct messages may see it.
    Direct {
        /// It.
        envelope: Arc<Envelope>,
        /// The connection that brought it.
        from: PeerId,
    },
    /// A mailserver message, as it came. Nothing of it is checked.
    Mail {
        /// The connection that brought it.
        peer: PeerId,
        /// Who is at its other end.
        node: NodeId,
        /// 123 to 126.
        code: u64,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// A peer confirmed a bundle of ours. Comes at most once for a bundle.
    Confirmed {
        /// The connection.
        peer: PeerId,
        /// The bundle.
        batch: BatchHash,
        /// Every envelope of it.
        hashes: Arc<[EnvelopeHash]>,
        /// Those that the peer did not accept, once each.
        faults: Vec<Fault>,
    },
    /// A peer did something that does not end the connection, but should be remembered. What ends one is
    /// [`Output::Disconnect`].
    Offence {
        /// The connection.
        peer: PeerId,
        /// What it did.
        offence: Offence,
    },
}

/// What a node is set to, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Info {
    /// Work that we ask for.
    pub min_pow: f64,
    /// Topics that we ask for; nothing means all.
    pub bloom: Option<Bloom>,
    /// Largest envelope, in bytes by the size rule.
    pub envelope_len_max: usize,
    /// Whether new connections hear that we are light.
    pub light: bool,
    /// Envelopes that are alive.
    pub pooled: usize,
    /// Bytes that they take.
    pub pooled_bytes: usize,
}

/// The Whisper node.
pub struct Node {
    config: Config,
    demands: Demands,
    pool: Pool,
    peers: BTreeMap<PeerId, Peer>,
    slots: Slots,
    /// Envelopes from the future, which wait until receivers take them: when, and which.
    held: BTreeSet<(u32, Seq)>,
    pace: Pace,
    tick: Duration,
    light: bool,
    envelope_len_max: usize,
    /// Nodes whose direct messages are taken.
    trusted: BTreeSet<NodeId>,
    limiter: Option<Limiter>,
    clock: Clock,
    /// Confirmations that wait for what becomes of their envelopes.
    held_back: confirm::Held,
    /// When the wall clock's second changes, while anything depends on it.
    second_at: Option<Instant>,
    counters: Counters,
    outputs: VecDeque<Output>,
    rng: ChaCha20Rng,
}

impl Node {
    /// A node without peers. The seed decides only the order of envelopes inside a bundle, and where the pool keeps them.
    pub fn new(config: Config, seed: [u8; 32]) -> Node {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let (bytes, envelopes) = (config.pool_bytes_max, config.pool_envelopes_max);
        Node {
            demands: Demands::new(config.min_pow, config.bloom),
            pool: Pool::new(bytes, envelopes, rng.next_u64()),
            peers: BTreeMap::new(),
            slots: Slots::default(),
            held: BTreeSet::new(),
            pace: Pace::new(config.packets_per_second, limits::PACKET_BURST),
            tick: Duration::from_millis(config.relay_tick_ms),
            light: config.light,
            envelope_len_max: config.envelope_len_max,
            trusted: BTreeSet::new(),
            limiter: config.rate_limits.map(Limiter::new),
            clock: Clock::default(),
            held_back: confirm::Held::default(),
            second_at: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            rng,
            config,
        }
    }

    /// Takes in what happened, and does what is due.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.demands.forget(now.mono);
        self.held_back.forget(now.mono);
        self.watch_clock(now);
        match input {
            Input::PeerUp { peer, node, ip } => self.peer_up(now, peer, node, ip),
            Input::PeerDown { peer } => self.forget_peer(peer),
            Input::Message {
                peer,
                code,
                payload,
            } => {
                if let Err(error) = self.message(now, peer, code, &payload) {
                    self.dismiss(peer, error);
                }
            }
            Input::Tick => {}
        }
        self.turn_second(now);
        self.relay(now);
        self.expect_status(now);
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let peers = self.peers.values().filter_map(|peer| match &peer.phase {
            Phase::AwaitingStatus { until, .. } => Some(*until),
            Phase::Ready(_) => peer.outbox.due_at(&peer.pace),
        });
        peers.chain(self.second_at).min()
    }

    /// Work that we ask for.
    pub fn min_pow(&self) -> f64 {
        self.demands.min_pow()
    }

    /// Topics that we ask for; nothing means all.
    pub fn bloom(&self) -> Option<Bloom> {
        self.demands.bloom()
    }

    /// What the node is set to, and what it holds.
    pub fn info(&self) -> Info {
        Info {
            min_pow: self.min_pow(),
            bloom: self.bloom(),
            envelope_len_max: self.envelope_len_max,
            light: self.light,
            pooled: self.pooled(),
            pooled_bytes: self.pooled_bytes(),
        }
    }

    /// What a peer wants, once it has said so.
    pub fn wants(&self, peer: PeerId) -> Option<&Wants> {
        self.peers.get(&peer).and_then(Peer::wants)
    }

    /// An envelope that is alive.
    pub fn envelope(&self, hash: &EnvelopeHash) -> Option<&Arc<Envelope>> {
        self.pool.find(hash).map(|entry| &entry.envelope)
    }

    /// Envelopes that are alive, in the order of their arrival.
    pub fn envelopes(&self) -> impl Iterator<Item = &Arc<Envelope>> {
        self.pool.iter().map(|(_, entry)| &entry.envelope)
    }

    /// How many envelopes are alive.
    pub fn pooled(&self) -> usize {
        self.pool.len()
    }

    /// Bytes that they take.
    pub fn pooled_bytes(&self) -> usize {
        self.pool.bytes()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The configuration that the node was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn message(&mut self, now: Now, peer: PeerId, code: u64, payload: &[u8]) -> Result<(), Error> {
        let Some(state) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let awaiting = matches!(state.phase, Phase::AwaitingStatus { .. });
        let max = if awaiting {
            limits::EARLY_PACKET_LEN_MAX
        } else {
            // A packet must hold at least one envelope of the size that was allowed since.
            let one = self
                .envelope_len_max
                .saturating_add(limits::ENVELOPE_HEADER_LEN);
            self.config.packet_in_len_max.max(one)
        };
        if payload.len() > max {
            return Err(Error::Oversized {
                len: payload.len(),
                max,
            });
        }
        self.count_packet(now, peer)?;
        match code {
            wire::STATUS if awaiting => self.status(now, peer, Status::decode(payload)?),
            wire::STATUS => {
                self.counters.late_statuses += 1;
                Ok(())
            }
            wire::POW_REQUIREMENT => {
                let min_pow = wire::decode_pow(payload)?;
                self.requirement(
                    now,
                    peer,
                    |wants| wants.min_pow = min_pow,
                    |early, _| *early = Some(min_pow),
                );
                Ok(())
            }
            wire::BLOOM_FILTER => {
                let bloom = wire::decode_bloom(payload)?;
                let narrow = Some(bloom).filter(|bloom| !bloom.is_full());
                self.requirement(
                    now,
                    peer,
                    |wants| wants.bloom = narrow,
                    |_, early| *early = Some(bloom),
                );
                Ok(())
            }
            code if awaiting => Err(Error::BeforeStatus(code)),
            wire::ENVELOPES => self.bundle(now, peer, payload),
            wire::BATCH_ACKNOWLEDGED => self.acknowledged(peer, payload),
            wire::MESSAGE_RESPONSE => self.responded(peer, payload),
            wire::RATE_LIMITS => self.limited(peer, payload),
            wire::SYNC_REQUEST..=wire::DIRECT => self.past_the_pool(peer, code, payload),
            _ => {
                self.counters.skipped_messages += 1;
                Ok(())
            }
        }
    }

    fn dismiss(&mut self, peer: PeerId, error: Error) {
        self.counters.dismissed += 1;
        self.forget_peer(peer);
        self.outputs.push_back(Output::Disconnect { peer, error });
    }

    fn forget_peer(&mut self, peer: PeerId) {
        if let Some(state) = self.peers.remove(&peer) {
            self.pool.forget_slot(state.slot);
            self.slots.free(state.slot);
        }
    }

    /// Whether local clients would want an envelope of this topic from a peer.
    pub fn asks_for(&self, topic: Topic) -> bool {
        self.demands.check_bloom(topic).is_ok()
    }
}

/// Envelopes count seconds in 32 bits.
fn unix_seconds(now: Now) -> u32 {
    u32::try_from(now.unix_s()).unwrap_or(u32::MAX)
}

fn next_second(now: Now) -> Instant {
    now.mono + Duration::from_millis(1000 - now.unix_ms % 1000)
}

#[cfg(test)]
mod tests;
