//! MVDS, the gateway protocol and the delivery engine of a bridge between Whisper and a mixnet.
//!
//! The core knows neither network and does no I/O. What needs tokio or RocksDB is behind the feature `shell`.
//!
//! | module | content |
//! |---|---|
//! | [`port`] | what the bridge says to the two networks, and what they say to it |
//! | [`mvds`] | message ids, payload codec, synchronisation state machine; imports nothing else of this crate |
//! | [`gateway`] | boxes, requests and responses between a client behind the mixnet and a bridge, and the client itself |
//! | [`engine`] | the bridge: deliveries to registrations, posts to Whisper |
//! | [`policy`] | what a bridge takes into Whisper |
//! | [`store`] | durable families of keys, in memory and in RocksDB |
//! | `ledger` | one batch per input, effects after their batch |
//! | `life` | a new seed for each life of a store |
//! | `seen` | what was taken already, for seven days |
//! | `prefixes` | sets of topic prefixes |
//! | `turn` | what the parts of a core share while one input is handled |
//! | `tracks` | where MVDS records lie in the store |
//! | `runner` | runs a core on tokio and its store, behind the feature `shell` |
//! | [`error`] | why a core cannot be opened |
//! | `vectors` | the JSON test vectors against this build |
//! | [`counters`] | transfers and drops |

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod counters;
pub mod engine;
pub mod error;
pub mod gateway;
mod ledger;
mod life;
pub mod mvds;
pub mod policy;
pub mod port;
mod prefixes;
#[cfg(feature = "shell")]
pub mod runner;
mod seen;
pub mod store;
mod tracks;
mod turn;
#[cfg(feature = "vectors")]
pub mod vectors;
