//! What both sides say about themselves: the Status that comes first, and the changes after it.

use std::net::IpAddr;
use std::time::Duration;

use super::{Node, Output, PeerId, Wants};
use crate::identity::NodeId;
use crate::now::Now;
use crate::rlpx::payload::Payload;
use crate::shh::bloom::Bloom;
use crate::shh::peer::{Peer, Phase};
use crate::shh::wire::{self, Error, Status};
use crate::shh::{limits, pow};

impl Node {
    pub(super) fn peer_up(&mut self, now: Now, peer: PeerId, node: NodeId, ip: Option<IpAddr>) {
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
            .insert(peer, Peer::new(node, ip, slot, self.pace, now.mono, until));
        let status = Status {
            min_pow: self.demands.min_pow(),
            bloom: self.demands.bloom(),
            light: self.light,
            confirmations: self.confirms(),
            rate_limits: self.config.rate_limits,
        };
        self.outputs.push_back(Output::Send {
            peer,
            code: wire::STATUS,
            payload: status.encode().into(),
        });
    }

    pub(super) fn status(&mut self, now: Now, peer: PeerId, status: Status) -> Result<(), Error> {
        if status.light && self.light && self.config.refuse_light_pairs {
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
        if let Some(limits) = wants.rate_limits {
            state.set_rate_limits(limits, &self.pace);
        }
        state.settled_at = now.mono + SETTLE;
        state.outbox.rescan(now.mono, self.tick);
        self.outputs.push_back(Output::PeerStatus { peer, wants });
        Ok(())
    }

    /// Applies code 2 or 3 at once, or keeps it until the Status is there.
    pub(super) fn requirement(
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

    pub(super) fn expect_status(&mut self, now: Now) {
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

    /// Asks for more or less work from now on, and tells every peer.
    pub fn set_min_pow(&mut self, now: Now, min_pow: f64) -> Result<(), Error> {
        if !pow::is_valid(min_pow) {
            return Err(Error::Pow(min_pow));
        }
        self.demands.set_min_pow(now.mono, min_pow);
        self.announce(wire::POW_REQUIREMENT, wire::encode_pow(min_pow));
        Ok(())
    }

    /// Asks for other topics from now on, and tells every peer. Nothing means all topics.
    pub fn set_bloom(&mut self, now: Now, bloom: Option<Bloom>) {
        self.demands.set_bloom(now.mono, bloom);
        self.announce(
            wire::BLOOM_FILTER,
            wire::encode_bloom(&bloom.unwrap_or(Bloom::FULL)),
        );
    }

    /// Asks for these topics too from now on. Peers hear of it only where that is more than we asked for.
    pub fn widen_bloom(&mut self, now: Now, topics: &Bloom) {
        let Some(mut wider) = self.demands.bloom() else {
            return;
        };
        if !wider.contains(topics) {
            wider.merge(topics);
            self.set_bloom(now, Some(wider));
        }
    }

    /// Says to peers that connect from now on whether we are light. While we are, what peers bring is handed out as
    /// [`Output::Direct`], as in geth: only filters that take direct messages see it. It is pooled and relayed all the same.
    pub fn set_light(&mut self, light: bool) {
        self.light = light;
    }

    /// Takes larger envelopes from now on, or only smaller ones.
    pub fn set_envelope_len_max(&mut self, bytes: usize) -> Result<(), SizeTooLarge> {
        if bytes > limits::ENVELOPE_LEN_SETTABLE_MAX {
            return Err(SizeTooLarge(bytes));
        }
        self.envelope_len_max = bytes;
        Ok(())
    }

    fn announce(&mut self, code: u64, payload: Vec<u8>) {
        let payload = Payload::from(payload);
        let sends = self.peers.keys().map(|peer| Output::Send {
            peer: *peer,
            code,
            payload: payload.clone(),
        });
        self.outputs.extend(sends);
    }
}

/// An envelope limit above what any peer can be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("envelopes of {0} bytes where {max} can be allowed", max = limits::ENVELOPE_LEN_SETTABLE_MAX)]
pub struct SizeTooLarge(pub usize);

const STATUS_TIMEOUT: Duration = Duration::from_millis(limits::STATUS_TIMEOUT_MS);
const SETTLE: Duration = Duration::from_millis(limits::CLOCK_SETTLE_MS);
