//! What can be chosen about a node.

use super::Bloom;
use crate::shh::limits;

/// The configuration of a node. Every default is a constant of [`limits`] with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Work that envelopes must prove.
    pub min_pow: f64,
    /// Topics to ask peers for; nothing means all, which is what a relay wants.
    pub bloom: Option<Bloom>,
    /// Announce that we do not relay.
    pub light: bool,
    /// Announce that we confirm bundles. Only true where the shell sends codes 11 and 12.
    pub confirmations: bool,
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
            confirmations: false,
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
