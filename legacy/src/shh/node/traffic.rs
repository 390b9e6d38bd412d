//! Rate limits both ways: what we take from a peer, and what it says that it takes from us.
//!
//! A packet above our limit is still worked on: it was paid for by then, and an honest peer loses nothing in a bad
//! second. Who keeps exceeding is sent away. Static and trusted peers have no limit. Spec: Whisper v6 rate limiter.

use super::{Node, PeerId};
use crate::now::Now;
use crate::shh::wire::{Error, RateLimits};

impl Node {
    /// Counts a packet, whatever its code.
    pub(super) fn count_packet(&mut self, now: Now, peer: PeerId) -> Result<(), Error> {
        let (Some(limiter), Some(state)) = (&mut self.limiter, self.peers.get_mut(&peer)) else {
            return Ok(());
        };
        let Some(ip) = state.ip.filter(|_| !self.trusted.contains(&state.node)) else {
            return Ok(());
        };
        self.counters.rate_limited_packets += 1;
        let Some(exceeded) = limiter.take(now.mono, ip, state.node) else {
            return Ok(());
        };
        *self
            .counters
            .rate_limits_exceeded
            .entry(exceeded.as_str())
            .or_default() += 1;
        match state.excess.count(now.mono, self.config.rate_tolerance) {
            Some(packets) => Err(Error::Flood(packets)),
            None => Ok(()),
        }
    }

    /// Code 20: the peer takes so many packets from now on.
    pub(super) fn limited(&mut self, peer: PeerId, payload: &[u8]) -> Result<(), Error> {
        let limits = RateLimits::decode(payload)?;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.set_rate_limits(limits, &self.pace);
        }
        Ok(())
    }
}
