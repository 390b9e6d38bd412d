//! What a node counts.

use std::collections::BTreeMap;

use super::Reject;
use crate::shh::rate::Exceeded;

/// Totals since the node began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Bundles that were well-formed.
    pub bundles_received: u64,
    /// Envelopes in them.
    pub envelopes_received: u64,
    /// Their bytes by the size rule.
    pub envelope_bytes_received: u64,
    /// Envelopes that were known already.
    pub duplicates: u64,
    /// Envelopes of our own.
    pub posted: u64,
    /// Envelopes that were new and entered the pool, our own among them.
    pub accepted: u64,
    /// Envelopes refused, by the names of [`Reject::ALL`].
    pub rejected: BTreeMap<&'static str, u64>,
    /// Envelopes that died in the pool.
    pub expired: u64,
    /// Envelopes that gave way to others.
    pub evicted: u64,
    /// Bundles sent.
    pub bundles_sent: u64,
    /// Envelopes in them.
    pub envelopes_sent: u64,
    /// Confirmations sent, of the bundles of peers.
    pub confirmations_sent: u64,
    /// Confirmations that a peer with rate limits could not be sent.
    pub confirmations_dropped: u64,
    /// Confirmations of bundles of ours.
    pub confirmations_received: u64,
    /// Confirmations of bundles that nobody sent, or that were forgotten.
    pub confirmations_stray: u64,
    /// Envelopes from trusted peers, past every check.
    pub direct_received: u64,
    /// Envelopes sent straight to a peer.
    pub direct_sent: u64,
    /// Mailserver messages that were handed on.
    pub mail_messages: u64,
    /// Messages that only a trusted peer may send, from another one.
    pub untrusted_messages: u64,
    /// Packets that the rate limits looked at.
    pub rate_limited_packets: u64,
    /// Packets above a rate limit, by the limit: `ip` or `peer`.
    pub rate_limits_exceeded: BTreeMap<&'static str, u64>,
    /// Envelopes that only the old form of work lets in.
    pub old_pow_accepted: u64,
    /// Messages of codes that are not served.
    pub skipped_messages: u64,
    /// Statuses after the first of a connection.
    pub late_statuses: u64,
    /// Connections that we ended.
    pub dismissed: u64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            bundles_received: 0,
            envelopes_received: 0,
            envelope_bytes_received: 0,
            duplicates: 0,
            posted: 0,
            accepted: 0,
            rejected: Reject::ALL.into_iter().map(|reason| (reason, 0)).collect(),
            expired: 0,
            evicted: 0,
            bundles_sent: 0,
            envelopes_sent: 0,
            confirmations_sent: 0,
            confirmations_dropped: 0,
            confirmations_received: 0,
            confirmations_stray: 0,
            direct_received: 0,
            direct_sent: 0,
            mail_messages: 0,
            untrusted_messages: 0,
            rate_limited_packets: 0,
            rate_limits_exceeded: [Exceeded::Ip, Exceeded::Peer]
                .map(|limit| (limit.as_str(), 0))
                .into(),
            old_pow_accepted: 0,
            skipped_messages: 0,
            late_statuses: 0,
            dismissed: 0,
        }
    }
}

impl Counters {
    pub(super) fn count_rejected(&mut self, reject: &Reject) {
        *self.rejected.entry(reject.as_str()).or_default() += 1;
    }
}
