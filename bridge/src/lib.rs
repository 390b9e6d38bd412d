//! MVDS, the gateway protocol and the delivery engine of a bridge between Whisper and a mixnet.
//!
//! The core knows neither network and does no I/O. What needs tokio or RocksDB is behind the feature `shell`.
//!
//! | module | content |
//! |---|---|
//! | [`mvds`] | message ids, payload codec, synchronisation state machine; imports nothing else of this crate |
//! | [`gateway`] | boxes, requests and responses between a client behind the mixnet and a bridge |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod gateway;
pub mod mvds;
pub mod port;
