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

/// A die with ten sides, from 0 to 9, which falls the same way in every run.
fn die() -> impl FnMut() -> u64 {
    let mut state = 0u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % 10
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
