//! Ferry against real peers: go-ethereum's Whisper and status-go's messenger, each behind a small Go driver.
//!
//! | module | content |
//! |---|---|
//! | `driver`, `devnet` | child processes that speak JSON lines |
//! | `geth` | one Whisper node of ours and one of go-ethereum |
//! | `whole_way` | two Status clients, one of them behind an edge |
//!
//! A driver that is not there fails the test and names the command that builds it; nothing is skipped.

mod devnet;
mod driver;
mod geth;
mod whole_way;
