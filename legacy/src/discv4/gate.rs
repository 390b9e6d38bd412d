//! How many packets anybody may send that nobody asked for.
//!
//! ```text
//! every address has a purse of 256 packets, filled again by 64 per second
//! all that have not shown that they are there share one of 4096 and 2048, and those that have another one
//! ```
//!
//! The shared purses bound what many addresses can make us compute: a signature takes about 40 µs. There are two of them
//! because addresses can be forged: however many strangers there seem to be, they do not keep out those whom we know.
//! Answers to questions of ours are not counted. Nothing is remembered of an address whose purse is full again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The purses.
pub struct Gate {
    strangers: Purse,
    known: Purse,
    addresses: BTreeMap<IpAddr, Purse>,
    /// Shared by all addresses for which there is no room.
    rest: Purse,
    swept: Instant,
}

#[derive(Clone, Copy)]
struct Purse {
    left: u32,
    at: Instant,
}

impl Gate {
    /// Nobody has sent anything.
    pub const fn new(now: Instant) -> Gate {
        Gate {
            strangers: Purse::full(now, ALL),
            known: Purse::full(now, ALL),
            addresses: BTreeMap::new(),
            rest: Purse::full(now, EACH),
            swept: now,
        }
    }

    /// Whether a packet from this address is looked at. `known`: somebody there has shown that it is there.
    pub fn admit(&mut self, now: Instant, ip: IpAddr, known: bool) -> Result<(), Turned> {
        self.sweep(now);
        // Whom we know has a place in any case: there are no more of them than there are proofs.
        let room = known || self.addresses.len() < ADDRESSES_MAX;
        let purse = match self.addresses.get_mut(&ip) {
            Some(purse) => purse,
            None if room => self.addresses.entry(ip).or_insert(Purse::full(now, EACH)),
            None => &mut self.rest,
        };
        if !purse.take(now, EACH) {
            return Err(Turned::Address);
        }
        let all = if known {
            &mut self.known
        } else {
            &mut self.strangers
        };
        if !all.take(now, ALL) {
            return Err(Turned::All);
        }
        Ok(())
    }

    fn sweep(&mut self, now: Instant) {
        if now < self.swept + SWEEP_INTERVAL {
            return;
        }
        self.swept = now;
        self.addresses.retain(|_, purse| {
            purse.fill(now, EACH);
            purse.left < EACH.burst
        });
    }
}

impl Purse {
    const fn full(now: Instant, rate: Rate) -> Purse {
        Purse {
            left: rate.burst,
            at: now,
        }
    }

    fn fill(&mut self, now: Instant, rate: Rate) {
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        let each = NANOS / u128::from(rate.per_second);
        let earned = u32::try_from(nanos / each).unwrap_or(u32::MAX);
        if earned >= rate.burst - self.left {
            *self = Purse::full(now, rate);
        } else if earned > 0 {
            self.left += earned;
            // What does not make a whole packet is not lost.
            self.at += Duration::from_secs(1) * earned / rate.per_second;
        }
    }

    fn take(&mut self, now: Instant, rate: Rate) -> bool {
        self.fill(now, rate);
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

/// Why a packet is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The address sends too much.
    Address,
    /// All like it together do.
    All,
}

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    per_second: u32,
}

/// A busy node behind one address, or dozens of ours on loopback; a lookup of one node costs us three packets.
const EACH: Rate = Rate {
    burst: 256,
    per_second: 64,
};
/// A tenth of one core, in signatures.
const ALL: Rate = Rate {
    burst: 4096,
    per_second: 2048,
};
/// Addresses with a purse of their own: as many as the second rate lets be heard in two seconds.
const ADDRESSES_MAX: usize = 4096;
/// Purses are looked through so often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn one_address_cannot_take_the_place_of_others() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        let taken = (0..10_000)
            .filter(|_| gate.admit(start, ip(1), false).is_ok())
            .count();
        assert_eq!(taken, 256);
        assert_eq!(gate.admit(start, ip(1), false), Err(Turned::Address));
        assert_eq!(gate.admit(start, ip(2), false), Ok(()));
        let later = start + Duration::from_millis(500);
        let taken = (0..10_000)
            .filter(|_| gate.admit(later, ip(1), false).is_ok())
            .count();
        assert_eq!(taken, 32);
    }

    #[test]
    fn forged_addresses_are_bounded_together_and_forgotten() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        let taken = (0..100_000)
            .filter(|n| gate.admit(start, ip(*n), false).is_ok())
            .count();
        assert_eq!(taken, 4096);
        assert_eq!(gate.addresses.len(), ADDRESSES_MAX);
        let later = start + Duration::from_secs(2);
        assert_eq!(gate.admit(later, ip(7), false), Ok(()));
        assert_eq!(gate.addresses.len(), 1);
    }

    #[test]
    fn strangers_do_not_keep_out_whom_we_know() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        for n in 0..100_000 {
            let _ = gate.admit(start, ip(n), false);
        }
        let later = start + Duration::from_secs(2);
        for n in 0..100_000 {
            let _ = gate.admit(later, ip(n), false);
        }
        assert!(gate.admit(later, ip(200_000), false).is_err());
        assert_eq!(gate.admit(later, ip(200_001), true), Ok(()));
        let known = (0..100_000).filter(|n| gate.admit(later, ip(n % 50 + 300_000), true).is_ok());
        assert!(known.count() < 4096, "they are bounded as well");
    }

    #[test]
    fn a_slow_sender_is_always_heard() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        for n in 0..10_000 {
            let now = start + Duration::from_millis(16) * n;
            assert_eq!(gate.admit(now, ip(1), false), Ok(()), "{n}");
        }
    }
}
