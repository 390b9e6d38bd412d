//! Ferry against real peers: go-ethereum's Whisper, status-go's messenger and the two MVDS libraries, each behind a small Go driver.
//!
//! | module | content |
//! |---|---|
//! | `driver`, `devnet` | child processes that speak JSON lines |
//! | `geth` | one Whisper node of ours and one of go-ethereum |
//! | `mail` | mailservers and their clients |
//! | `status` | one Whisper node of ours and one Status client: confirmations and rate limits |
//! | `mvds` | one MVDS node of ours and one of each Go library |
//! | `whole_way` | two Status clients, one of them behind an edge |
//!
//! A driver that is not there fails the test and names the command that builds it; nothing is skipped.

#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a failed test says by them what went wrong; most of this crate is not marked as a test"
)]

mod devnet;
mod driver;
mod geth;
mod mail;
mod mvds;
mod status;
mod whole_way;
