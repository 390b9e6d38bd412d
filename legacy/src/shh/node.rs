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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::bloom::Bloom;
use super::envelope::{Envelope, EnvelopeHash, Outline};
use super::limits;
use super::peer::{Pace, Peer, Phase};
use super::pool::{Lookup, Pool, PoolFull, Seq, Slots, Source};
use super::rules::{self, Demands, Reject};
use super::wire::{self, Envelopes, Error, Status};
use super::{pow, topic::Topic};
use crate::identity::NodeId;
use crate::now::Now;

pub use super::peer::Wants;
pub use config::Config;
pub use counters::Counters;

mod config;
mod counters;
mod relay;

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
        /// Its bytes.
        payload: Vec<u8>,
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
    /// An envelope is in a message that was handed out before this.
    Sent {
        /// The connection.
        peer: PeerId,
        /// The envelope.
        hash: EnvelopeHash,
    },
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
    /// When the wall clock's second changes, while anything depends on it.
    second_at: Option<Instant>,
    counters: Counters,
    outputs: VecDeque<Output>,
    rng: ChaCha20Rng,
}

impl Node {
    /// A node without peers. The seed decides only the order of envelopes inside a bundle.
    pub fn new(config: Config, seed: [u8; 32]) -> Node {
        Node {
            demands: Demands::new(config.min_pow, config.bloom),
            pool: Pool::new(config.pool_bytes_max, config.pool_envelopes_max),
            peers: BTreeMap::new(),
            slots: Slots::default(),
            held: BTreeSet::new(),
            pace: Pace::new(config.packets_per_second, limits::PACKET_BURST),
            tick: Duration::from_millis(config.relay_tick_ms),
            second_at: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            rng: ChaCha20Rng::from_seed(seed),
            config,
        }
    }

    /// Takes in what happened, and does what is due.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.demands.forget(now.mono);
        match input {
            Input::PeerUp { peer, node } => self.peer_up(now, peer, node),
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
            Phase::Ready(_) => peer.outbox.due_at(&self.pace),
        });
        peers.chain(self.second_at).min()
    }

    /// Takes an envelope of our own, or one that came by another way than a peer, and sends it on.
    ///
    /// One that is in the pool already is no error, and nothing happens. Our own bloom filter is not asked.
    pub fn post(&mut self, now: Now, envelope: Envelope) -> Result<EnvelopeHash, Reject> {
        self.demands.forget(now.mono);
        let accepted = self.post_checked(now, envelope);
        if let Err(reject) = &accepted {
            self.counters.count_rejected(reject);
        }
        accepted
    }

    fn post_checked(&mut self, now: Now, envelope: Envelope) -> Result<EnvelopeHash, Reject> {
        let unix = unix_seconds(now);
        let hash = envelope.hash();
        rules::check_times(envelope.fields(), unix, self.config.ttl_max)?;
        rules::check_size(envelope.fields(), self.config.envelope_len_max)?;
        if self.pool.look_up(&hash) != Lookup::Fresh {
            return Ok(hash);
        }
        let pow = envelope.pow_at(unix);
        self.demands.check_pow(pow)?;
        self.counters.posted += 1;
        self.accept(now, Arc::new(envelope), pow, None)?;
        Ok(hash)
    }

    /// Asks for more or less work from now on, and tells every peer.
    pub fn set_min_pow(&mut self, now: Now, min_pow: f64) -> Result<(), Error> {
        if !pow::is_valid(min_pow) {
            return Err(Error::Pow(min_pow));
        }
        self.demands.set_min_pow(now.mono, min_pow);
        self.announce(wire::POW_REQUIREMENT, &wire::encode_pow(min_pow));
        Ok(())
    }

    /// Asks for other topics from now on, and tells every peer. Nothing means all topics.
    pub fn set_bloom(&mut self, now: Now, bloom: Option<Bloom>) {
        self.demands.set_bloom(now.mono, bloom);
        self.announce(
            wire::BLOOM_FILTER,
            &wire::encode_bloom(&bloom.unwrap_or(Bloom::FULL)),
        );
    }

    /// Work that we ask for.
    pub fn min_pow(&self) -> f64 {
        self.demands.min_pow()
    }

    /// Topics that we ask for; nothing means all.
    pub fn bloom(&self) -> Option<Bloom> {
        self.demands.bloom()
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

    fn peer_up(&mut self, now: Now, peer: PeerId, node: NodeId) {
        self.forget_peer(peer);
        let Some(slot) = self.slots.take() else {
            self.outputs.push_back(Output::Disconnect {
                peer,
                error: Error::TooManyPeers(limits::PEERS_MAX),
            });
            return;
        };
        let until = now.mono + STATUS_TIMEOUT;
        self.peers
            .insert(peer, Peer::new(node, slot, now.mono, until));
        let status = Status {
            min_pow: self.demands.min_pow(),
            bloom: self.demands.bloom(),
            light: self.config.light,
            confirmations: self.config.confirmations,
            rate_limits: None,
        };
        self.outputs.push_back(Output::Send {
            peer,
            code: wire::STATUS,
            payload: status.encode(),
        });
    }

    fn message(&mut self, now: Now, peer: PeerId, code: u64, payload: &[u8]) -> Result<(), Error> {
        let Some(state) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let awaiting = matches!(state.phase, Phase::AwaitingStatus { .. });
        let max = if awaiting {
            limits::EARLY_PACKET_LEN_MAX
        } else {
            self.config.packet_in_len_max
        };
        if payload.len() > max {
            return Err(Error::Oversized {
                len: payload.len(),
                max,
            });
        }
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
            wire::ENVELOPES => self.bundle(now, peer, &Envelopes::decode(payload)?),
            _ => {
                self.counters.skipped_messages += 1;
                Ok(())
            }
        }
    }

    fn status(&mut self, now: Now, peer: PeerId, status: Status) -> Result<(), Error> {
        if status.light && self.config.light {
            return Err(Error::BothLight);
        }
        let Some(state) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let mut wants = Wants::of(status);
        if let Phase::AwaitingStatus { pow, bloom, .. } = state.phase {
            wants.min_pow = pow.unwrap_or(wants.min_pow);
            wants.bloom = bloom.or(wants.bloom).filter(|bloom| !bloom.is_full());
        }
        state.phase = Phase::Ready(wants);
        state.outbox.rescan(now.mono, self.tick);
        self.outputs.push_back(Output::PeerStatus { peer, wants });
        Ok(())
    }

    /// Applies code 2 or 3 at once, or keeps it until the Status is there.
    fn requirement(
        &mut self,
        now: Now,
        peer: PeerId,
        change: impl FnOnce(&mut Wants),
        keep: impl FnOnce(&mut Option<f64>, &mut Option<Bloom>),
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if let Phase::AwaitingStatus { pow, bloom, .. } = &mut state.phase {
            keep(pow, bloom);
        }
        if state.change(now.mono, self.tick, change)
            && let Some(wants) = state.wants()
        {
            self.outputs.push_back(Output::PeerStatus {
                peer,
                wants: *wants,
            });
        }
    }

    fn bundle(&mut self, now: Now, peer: PeerId, bundle: &Envelopes<'_>) -> Result<(), Error> {
        self.counters.bundles_received += 1;
        for outline in bundle.iter() {
            self.counters.envelopes_received += 1;
            self.counters.envelope_bytes_received += outline.fields().size() as u64;
            if let Err(reject) = self.arrival(now, peer, &outline) {
                self.counters.count_rejected(&reject);
                self.strike(now, peer, &reject)?;
            }
        }
        Ok(())
    }

    fn arrival(&mut self, now: Now, peer: PeerId, outline: &Outline<'_>) -> Result<(), Reject> {
        let unix = unix_seconds(now);
        rules::check_times(outline.fields(), unix, self.config.ttl_max)?;
        rules::check_size(outline.fields(), self.config.envelope_len_max)?;
        let hash = outline.hash();
        match self.pool.look_up(&hash) {
            Lookup::Pooled(seq) => {
                self.counters.duplicates += 1;
                self.know(seq, peer);
                return Ok(());
            }
            Lookup::Gone => {
                self.counters.duplicates += 1;
                return Ok(());
            }
            Lookup::Fresh => {}
        }
        let envelope = outline.lift(hash);
        let pow = envelope.pow_at(unix);
        self.demands.check_pow(pow)?;
        self.demands.check_bloom(envelope.topic())?;
        self.accept(now, Arc::new(envelope), pow, Some(peer))
    }

    fn strike(&mut self, now: Now, peer: PeerId, reject: &Reject) -> Result<(), Error> {
        let low = matches!(reject, Reject::LowPow { .. });
        let too_many = self
            .peers
            .get_mut(&peer)
            .filter(|_| low)
            .and_then(|state| state.strike(now.mono));
        too_many.map_or(Ok(()), |count| Err(Error::LowPow(count)))
    }

    /// Pools an envelope that passed every check, and queues it for whoever wants it.
    fn accept(
        &mut self,
        now: Now,
        envelope: Arc<Envelope>,
        pow: f64,
        from: Option<PeerId>,
    ) -> Result<(), Reject> {
        let origin = from.and_then(|peer| self.peers.get(&peer));
        let source = origin.map_or(Source::Own, |peer| Source::Peer(*peer.node.as_bytes()));
        let (seq, evicted) = self
            .pool
            .insert(envelope.clone(), pow, source)
            .map_err(|PoolFull| Reject::PoolFull)?;
        self.counters.accepted += 1;
        self.counters.evicted += evicted;
        if let Some(peer) = from {
            self.know(seq, peer);
        }
        self.second_at.get_or_insert(next_second(now));
        let release = envelope.sent().saturating_sub(limits::FORWARD_AHEAD_MAX);
        if release > unix_seconds(now) {
            self.held.insert((release, seq));
        } else {
            self.offer(now, seq);
        }
        self.outputs.push_back(Output::Envelope { envelope, from });
        Ok(())
    }

    fn know(&mut self, seq: Seq, peer: PeerId) {
        if let (Some(entry), Some(state)) = (self.pool.get_mut(seq), self.peers.get(&peer)) {
            entry.know(state.slot);
        }
    }

    /// What follows the wall clock: death, and the release of what came from the future.
    fn turn_second(&mut self, now: Now) {
        if self.second_at.is_none_or(|at| at > now.mono) {
            return;
        }
        let unix = unix_seconds(now);
        self.counters.expired += self.pool.expire(unix);
        while let Some((_, seq)) = self
            .held
            .first()
            .copied()
            .filter(|(release, _)| *release <= unix)
        {
            self.held.pop_first();
            self.offer(now, seq);
        }
        if self.pool.is_empty() {
            self.held.clear();
        }
        self.second_at = (!self.pool.is_idle()).then(|| next_second(now));
    }

    fn expect_status(&mut self, now: Now) {
        let late = |peer: &Peer| matches!(peer.phase, Phase::AwaitingStatus { until, .. } if until <= now.mono);
        let late: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| late(peer))
            .map(|(id, _)| *id)
            .collect();
        for peer in late {
            self.dismiss(peer, Error::StatusTimeout(limits::STATUS_TIMEOUT_MS));
        }
    }

    fn announce(&mut self, code: u64, payload: &[u8]) {
        let sends = self.peers.keys().map(|peer| Output::Send {
            peer: *peer,
            code,
            payload: payload.to_vec(),
        });
        self.outputs.extend(sends);
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

const STATUS_TIMEOUT: Duration = Duration::from_millis(limits::STATUS_TIMEOUT_MS);

#[cfg(test)]
mod tests;
