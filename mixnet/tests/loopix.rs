//! What an observer of lines and relays must not see, and what a node must see: windows, levels, loops, traffic. On whole networks
//! of the core in memory and in virtual time.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "loopix/attack.rs"]
mod attack;
#[path = "loopix/line.rs"]
mod line;
#[path = "loopix/protection.rs"]
mod protection;
#[allow(dead_code, reason = "tests/network.rs uses the rest of it")]
#[path = "network/sim.rs"]
mod sim;

use std::time::Duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
