//! devp2p (RLPx) and Whisper v6: a node that geth and Status clients accept as one of theirs.
//!
//! The core does no I/O: it has no clock, no socket and no source of randomness of its own. What needs tokio is behind
//! the feature `shell`.
//!
//! | module | content |
//! |---|---|
//! | [`identity`] | secret key, public key, node id |
//! | [`enode`], [`enr`] | the text form of a peer's address; its signed record |
//! | [`rlp`], [`keccak`] | the encoding and the hash that everything here is built on |
//! | [`rlpx`] | encrypted transport: ECIES, handshake, frames, Hello, capabilities, one session per connection |
//! | [`shh`] | Whisper v6: envelopes, proof of work, pool, peers |
//! | [`mailserver`] | keeps envelopes for those who are away: server, client, sync between servers |
//! | [`discv4`] | discovery: who is out there |
//! | [`peers`] | whom to dial, when to try again, whom to let in |
//! | [`limits`] | every bound of the transport, each with its reason |
//! | `shell` | sockets and timers, behind the feature |
//! | `fuzzing` | the bodies of the fuzz targets, behind the feature and in tests |
//! | [`now`], [`error`] | time as it is handed in; whose fault an error is |

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod discv4;
pub mod enode;
pub mod enr;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod identity;
pub mod keccak;
pub mod limits;
pub mod mailserver;
pub mod now;
pub mod peers;
pub mod rlp;
pub mod rlpx;
#[cfg(feature = "shell")]
pub mod shell;
pub mod shh;
#[cfg(feature = "vectors")]
pub mod vectors;
