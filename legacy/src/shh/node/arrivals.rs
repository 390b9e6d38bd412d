//! Envelopes from their arrival to their death: each is checked, cheap checks first, then pooled and offered to peers.

use std::sync::Arc;

use super::{Confirmations, Node, Output, PeerId, next_second, unix_seconds};
use crate::keccak;
use crate::now::Now;
use crate::peers::Offence;
use crate::shh::clock::ClockState;
use crate::shh::confirmation::Fault;
use crate::shh::envelope::{Envelope, EnvelopeHash, Outline};
use crate::shh::limits;
use crate::shh::peer::Peer;
use crate::shh::pool::{Lookup, PoolFull, Seq, Source};
use crate::shh::rules::{self, Reject};
use crate::shh::wire::{Envelopes, Error};

impl Node {
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
        rules::check_size(envelope.fields(), self.envelope_len_max)?;
        if self.pool.look_up(&hash) != Lookup::Fresh {
            return Ok(hash);
        }
        let pow = envelope.pow_at(unix);
        self.demands.check_pow(pow)?;
        self.counters.posted += 1;
        self.accept(now, Arc::new(envelope), pow, None)?;
        Ok(hash)
    }

    pub(super) fn bundle(&mut self, now: Now, peer: PeerId, payload: &[u8]) -> Result<(), Error> {
        let bundle = Envelopes::decode(payload)?;
        let mut receipt = self.receipt(peer, payload);
        self.counters.bundles_received += 1;
        let mut low_pow = false;
        let mut outlines = bundle.iter();
        loop {
            let next = outlines.by_ref().take(limits::HASHED_TOGETHER);
            let some: Vec<Outline<'_>> = next.collect();
            if some.is_empty() {
                break;
            }
            let digests = self.digest(now, &some);
            for (outline, digests) in some.iter().zip(digests) {
                self.counters.envelopes_received += 1;
                self.counters.envelope_bytes_received += outline.fields().size() as u64;
                match self.arrival(now, peer, outline, digests) {
                    Ok(hash) => {
                        if let Some(receipt) = &mut receipt {
                            self.note_accepted(receipt, hash);
                        }
                    }
                    Err(reject) => {
                        self.counters.count_rejected(&reject);
                        low_pow |= matches!(reject, Reject::LowPow { .. });
                        self.strike(now, peer, &reject)?;
                        if let Some(receipt) = &mut receipt {
                            receipt.note_fault(Fault::of(outline.hash(), &reject));
                        }
                    }
                }
            }
        }
        if low_pow {
            let offence = Offence::LowPow;
            self.outputs.push_back(Output::Offence { peer, offence });
        }
        if let Some(receipt) = receipt {
            self.give_receipt(now, peer, receipt);
        }
        Ok(())
    }

    fn arrival(
        &mut self,
        now: Now,
        peer: PeerId,
        outline: &Outline<'_>,
        digests: Digests,
    ) -> Result<EnvelopeHash, Reject> {
        let unix = unix_seconds(now);
        if let Err(reject) = rules::check_times(outline.fields(), unix, self.config.ttl_max) {
            if reject.is_about_time() {
                self.note_sent(now, peer, outline.fields().sent());
            }
            return Err(reject);
        }
        rules::check_size(outline.fields(), self.envelope_len_max)?;
        let hash = digests.hash.unwrap_or_else(|| outline.hash());
        match self.pool.look_up(&hash) {
            Lookup::Pooled(seq) => {
                self.counters.duplicates += 1;
                self.know(seq, peer);
                return Ok(hash);
            }
            Lookup::Gone => {
                self.counters.duplicates += 1;
                return Ok(hash);
            }
            Lookup::Fresh => {}
        }
        self.note_sent(now, peer, outline.fields().sent());
        let zero_bits = digests.zero_bits.unwrap_or_else(|| outline.zero_bits());
        let envelope = outline.lift(hash, zero_bits);
        let pow = self.check_work(unix, &envelope)?;
        self.demands.check_bloom(envelope.topic())?;
        self.accept(now, Arc::new(envelope), pow, Some(peer))?;
        Ok(hash)
    }

    /// Hashes side by side what [`Node::arrival`] is going to ask for: the ids of those that pass the cheap checks,
    /// and the work of those that are new.
    fn digest(&self, now: Now, some: &[Outline<'_>]) -> Vec<Digests> {
        let unix = unix_seconds(now);
        let passes = |outline: &Outline<'_>| {
            rules::check_times(outline.fields(), unix, self.config.ttl_max)
                .and_then(|()| rules::check_size(outline.fields(), self.envelope_len_max))
                .is_ok()
        };
        let mut digests = vec![Digests::default(); some.len()];
        let (places, passed) = chosen(some, |_, outline| passes(outline));
        if 2 * passed.len() <= keccak::side_by_side() {
            // A few: the work takes lanes that would be idle.
            for (place, (hash, bits)) in places.into_iter().zip(Outline::both_each(&passed)) {
                digests[place] = Digests {
                    hash: Some(hash),
                    zero_bits: Some(bits),
                };
            }
            return digests;
        }
        for (place, hash) in places.into_iter().zip(Outline::hash_each(&passed)) {
            digests[place].hash = Some(hash);
        }
        let is_new = |hash: &EnvelopeHash| self.pool.look_up(hash) == Lookup::Fresh;
        let (places, fresh) = chosen(some, |at, _| digests[at].hash.as_ref().is_some_and(is_new));
        for (place, bits) in places.into_iter().zip(Outline::zero_bits_each(&fresh)) {
            digests[place].zero_bits = Some(bits);
        }
        digests
    }

    /// News of a peer say what time it is, once its pool is through.
    fn note_sent(&mut self, now: Now, peer: PeerId, sent: u32) {
        let settled = |state: &&mut Peer| state.settled_at <= now.mono;
        if let Some(state) = self.peers.get_mut(&peer).filter(settled) {
            state.samples.note(now.unix_s(), sent);
        }
    }

    /// Sees a jump of the wall clock; what peers' news said before it is worth nothing then.
    pub(super) fn watch_clock(&mut self, now: Now) {
        if self.clock.turn(now) {
            let peers = self.peers.values_mut();
            peers.for_each(|peer| peer.samples.clear());
        }
    }

    /// What is known about our clock, a jump since the last input among it.
    pub fn clock(&mut self, now: Now) -> ClockState {
        self.watch_clock(now);
        let medians = self.peers.values();
        self.clock
            .state(now, medians.filter_map(|peer| peer.samples.median()))
    }

    /// The work that peers will see, if it suffices here: by the new form, or where we allow it by the old one.
    fn check_work(&mut self, unix: u32, envelope: &Envelope) -> Result<f64, Reject> {
        let pow = envelope.pow_at(unix);
        let Err(reject) = self.demands.check_pow(pow) else {
            return Ok(pow);
        };
        if !self.config.accept_old_pow {
            return Err(reject);
        }
        self.demands.check_pow(envelope.old_pow_at(unix))?;
        self.counters.old_pow_accepted += 1;
        Ok(pow)
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
        if from.is_some() && self.config.confirmations == Confirmations::Held {
            self.held_back.open(now.mono, envelope.hash());
        }
        self.outputs.push_back(match from {
            Some(from) if self.light => Output::Direct { envelope, from },
            from => Output::Envelope { envelope, from },
        });
        Ok(())
    }

    fn know(&mut self, seq: Seq, peer: PeerId) {
        if let (Some(entry), Some(state)) = (self.pool.get_mut(seq), self.peers.get(&peer)) {
            entry.know(state.slot);
        }
    }

    /// What follows the wall clock: death, and the release of what came from the future.
    pub(super) fn turn_second(&mut self, now: Now) {
        if self.second_at.is_none_or(|at| at > now.mono) {
            return;
        }
        let unix = unix_seconds(now);
        if self.clock.is_due(now) {
            let state = self.clock(now);
            self.clock.judge(now, state);
        }
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
}

/// What was hashed of an envelope beforehand.
#[derive(Clone, Copy, Default)]
struct Digests {
    hash: Option<EnvelopeHash>,
    zero_bits: Option<u16>,
}

/// Some of the outlines, with their places.
fn chosen<'o, 'a>(
    outlines: &'o [Outline<'a>],
    choose: impl Fn(usize, &Outline<'a>) -> bool,
) -> (Vec<usize>, Vec<&'o Outline<'a>>) {
    let all = outlines.iter().enumerate();
    all.filter(|(at, outline)| choose(*at, outline)).unzip()
}
