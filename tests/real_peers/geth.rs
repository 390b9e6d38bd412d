//! One Whisper node of ours, in this process, and one or two of go-ethereum.
//!
//! | module | content |
//! |---|---|
//! | `ours`, `theirs` | the two kinds of nodes, and how they come together |
//! | `connection` | who dials, what Status says, full houses, ends; and which test shows which case |
//! | `handshakes`, `scripted` | one script for our node and theirs: first packets, Hellos, Status |
//! | `discovery` | who is found by discv4, and what is said before a proof |
//! | `messages` | payloads, keys and sizes, each way, equal to the last byte |
//! | `relay` | lines, crosswise arrivals, lives, pools larger than a packet |
//! | `rpc` | the same questions to both over JSON-RPC, and messages between them |
//! | `demands` | bloom filters and proof of work that peers ask for |
//! | `direct`, `light` | direct messages and trust; light nodes |
//! | `skewed` | a node of ours whose clock is wrong |
//! | `vectors` | what it says to the test vectors |
//! | `web3` | a program that was written for `geth --shh`, through the npm package web3-shh |

mod connection;
mod demands;
mod direct;
mod discovery;
mod handshakes;
mod light;
mod messages;
pub(crate) mod ours;
mod relay;
pub(crate) mod rpc;
pub(crate) mod scripted;
pub(crate) mod skewed;
pub(crate) mod theirs;
mod vectors;
mod web3;

use std::time::Duration;

/// Long for anything on loopback, even on a machine that is busy with a build.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
