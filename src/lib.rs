//! The node `ferry`: configuration, command line, HTTP API, and the composition of the three
//! crates `legacy`, `mixnet` and `bridge`. No protocol logic.
//!
//! | module | content |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`config`] | `config.toml`, environment and `--set`, checked and typed |
//! | [`directory`], [`keystore`], [`keyring`] | what a node keeps on its disk |
//! | [`identity`] | what it tells others: enode, peer id, descriptor |
//! | [`archive`] | where the mailserver keeps envelopes |
//! | [`node`] | the roles, put together from the crates |
//! | [`api`] | HTTP on loopback |
//! | [`rpc`] | JSON-RPC for local clients, as `geth --shh` spoke it |
//! | [`status`], [`ledger`], [`metrics`] | what the API shows |
//! | [`devnet`] | a whole network of child processes |
//! | [`vectors`] | checks files of test vectors |
//! | [`exit`], [`failure`], [`fds`], [`log`], [`role`], [`shutdown`] | small things that the others share |

#![forbid(unsafe_code)]

pub mod api;
pub mod archive;
pub mod cells;
pub mod cli;
pub mod config;
pub mod control;
pub mod devnet;
pub mod directory;
pub mod exit;
pub mod failure;
pub mod fds;
pub mod identity;
pub mod keyring;
pub mod keystore;
pub mod ledger;
pub mod link;
pub mod log;
pub mod metrics;
pub mod node;
pub mod role;
pub mod rpc;
pub mod shutdown;
pub mod status;
pub mod vectors;
