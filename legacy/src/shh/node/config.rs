//! What can be chosen about a node.

use super::Bloom;
use crate::shh::limits;
use crate::shh::wire::RateLimits;

/// The configuration of a node. Every default is a constant of [`limits`] with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Work that envelopes must prove.
    pub min_pow: f64,
    /// Topics to ask peers for; nothing means all, which is what a relay wants.
    pub bloom: Option<Bloom>,
    /// Announce that we are light, see [`Node::set_light`](super::Node::set_light).
    pub light: bool,
    /// Refuse light peers while we are light: neither would relay for the other.
    pub refuse_light_pairs: bool,
    /// When bundles are confirmed. Anything but `Off` is announced.
    pub confirmations: Confirmations,
    /// Hand out requests to mailservers (codes 123 and 126): somebody answers them.
    pub mail: bool,
    /// Also accept what proves enough work by the form before geth 1.9. It is relayed only where the new form suffices.
    pub accept_old_pow: bool,
    /// Packets per second that we take, from peers that are neither static nor trusted; announced in our Status.
    pub rate_limits: Option<RateLimits>,
    /// Packets above them that one peer may send in a minute before it is sent away.
    pub rate_tolerance: u32,
    /// Largest envelope.
    pub envelope_len_max: usize,
    /// Largest packet taken in.
    pub packet_in_len_max: usize,
    /// Largest bundle sent.
    pub packet_out_len_max: usize,
    /// Longest life of an envelope in seconds.
    pub ttl_max: u32,
    /// Bytes of the pool.
    pub pool_bytes_max: usize,
    /// Envelopes of the pool.
    pub pool_envelopes_max: usize,
    /// From an envelope's arrival to its relaying, in milliseconds. A few are enough to bundle what arrives together.
    pub relay_tick_ms: u64,
    /// Bundles per second and peer.
    pub packets_per_second: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            min_pow: limits::MIN_POW,
            bloom: None,
            light: false,
            refuse_light_pairs: true,
            confirmations: Confirmations::OnReceipt,
            mail: false,
            accept_old_pow: false,
            rate_limits: None,
            rate_tolerance: limits::RATE_TOLERANCE,
            envelope_len_max: limits::ENVELOPE_LEN_MAX,
            packet_in_len_max: limits::PACKET_IN_LEN_MAX,
            packet_out_len_max: limits::PACKET_OUT_LEN_MAX,
            ttl_max: limits::TTL_MAX,
            pool_bytes_max: limits::POOL_BYTES_MAX,
            pool_envelopes_max: limits::POOL_ENVELOPES_MAX,
            relay_tick_ms: limits::RELAY_TICK_MS,
            packets_per_second: limits::PACKETS_PER_SECOND,
        }
    }
}

/// When a bundle of a peer that asks for it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmations {
    /// Never.
    Off,
    /// As soon as its envelopes are in the pool.
    OnReceipt,
    /// When every new envelope of it was [released](super::Node::release).
    Held,
}
