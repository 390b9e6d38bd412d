//! How many packets somebody may send: a generic cell rate algorithm, without a clock of its own.
//!
//! Each key has a time until which its allowance is used up. A packet moves it on by one interval; one that would move
//! it further ahead of the clock than a second's worth exceeds the limit and does not count. Spec: Whisper v6 rate limiter.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::limits::RATE_KEYS_MAX;
use super::wire::RateLimits;
use crate::identity::NodeId;

/// The limit that a packet exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exceeded {
    /// That of the address.
    Ip,
    /// That of the peer.
    Peer,
}

impl Exceeded {
    /// Name in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Exceeded::Ip => "ip",
            Exceeded::Peer => "peer",
        }
    }
}

/// Both limits at work. One that is zero is none.
#[derive(Debug)]
pub(super) struct Limiter {
    ips: Option<Buckets<IpAddr>>,
    peers: Option<Buckets<NodeId>>,
}

impl Limiter {
    pub(super) fn new(limits: RateLimits) -> Limiter {
        Limiter {
            ips: Buckets::new(limits.ip),
            peers: Buckets::new(limits.peer),
        }
    }

    /// Counts a packet, and says which limit it exceeds.
    pub(super) fn take(&mut self, mono: Instant, ip: IpAddr, node: NodeId) -> Option<Exceeded> {
        let ip_fits = self
            .ips
            .as_mut()
            .is_none_or(|ips| ips.take(mono, network(ip)));
        if !ip_fits {
            return Some(Exceeded::Ip);
        }
        let peer_fits = self
            .peers
            .as_mut()
            .is_none_or(|peers| peers.take(mono, node));
        (!peer_fits).then_some(Exceeded::Peer)
    }
}

/// One household or host has one IPv4 address, or a /64 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[derive(Debug)]
struct Buckets<K> {
    interval: Duration,
    /// Until when the allowance of each is used up.
    used_until: BTreeMap<K, Instant>,
}

impl<K: Ord> Buckets<K> {
    fn new(per_second: u64) -> Option<Buckets<K>> {
        let per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
        (per_second > 0).then(|| Buckets {
            interval: Duration::from_secs(1) / per_second,
            used_until: BTreeMap::new(),
        })
    }

    fn take(&mut self, mono: Instant, key: K) -> bool {
        if self.used_until.len() >= RATE_KEYS_MAX {
            self.used_until.retain(|_, until| *until > mono);
        }
        let used = self.used_until.entry(key).or_insert(mono);
        let next = (*used).max(mono) + self.interval;
        let fits = next <= mono + BURST.max(self.interval);
        if fits {
            *used = next;
        }
        fits
    }
}

/// What may come at once after a pause: a second's worth.
const BURST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits {
        ip: 10,
        peer: 5,
        topic: 0,
    };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 32])
    }

    #[test]
    fn a_second_at_once_and_then_one_per_interval() {
        let (start, mut limiter) = (Instant::now(), Limiter::new(LIMITS));
        for _ in 0..5 {
            assert_eq!(limiter.take(start, ip(1), node(1)), None);
        }
        assert_eq!(
            limiter.take(start, ip(1), node(1)),
            Some(Exceeded::Peer),
            "the sixth"
        );
        let later = start + Duration::from_millis(200);
        assert_eq!(limiter.take(later, ip(1), node(1)), None);
        assert_eq!(limiter.take(later, ip(1), node(1)), Some(Exceeded::Peer));
        let much_later = start + Duration::from_secs(60);
        for _ in 0..5 {
            assert_eq!(limiter.take(much_later, ip(1), node(1)), None);
        }
        assert_eq!(
            limiter.take(much_later, ip(1), node(1)),
            Some(Exceeded::Peer),
            "a pause saves up one second only"
        );
    }

    #[test]
    fn peers_of_one_address_share_its_limit() {
        let (start, mut limiter) = (Instant::now(), Limiter::new(LIMITS));
        for packet in 0..10 {
            assert_eq!(limiter.take(start, ip(1), node(packet)), None);
        }
        assert_eq!(limiter.take(start, ip(1), node(11)), Some(Exceeded::Ip));
        assert_eq!(limiter.take(start, ip(2), node(11)), None);
    }

    #[test]
    fn a_household_of_ipv6_is_one_address() {
        let (start, mut limiter) = (Instant::now(), Limiter::new(LIMITS));
        let of = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        for packet in 0..10 {
            assert_eq!(
                limiter.take(start, of(packet.into()), node(packet)),
                None,
                "{packet}"
            );
        }
        assert_eq!(limiter.take(start, of(99), node(99)), Some(Exceeded::Ip));
        let other = IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]);
        assert_eq!(limiter.take(start, other, node(99)), None);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limiter = Limiter::new(RateLimits::default());
        let start = Instant::now();
        assert!((0..10_000).all(|_| limiter.take(start, ip(1), node(1)).is_none()));
    }

    #[test]
    fn one_a_second_is_possible() {
        let limits = RateLimits {
            ip: 0,
            peer: 1,
            topic: 0,
        };
        let (start, mut limiter) = (Instant::now(), Limiter::new(limits));
        assert_eq!(limiter.take(start, ip(1), node(1)), None);
        assert_eq!(limiter.take(start, ip(1), node(1)), Some(Exceeded::Peer));
        assert_eq!(
            limiter.take(start + Duration::from_secs(1), ip(1), node(1)),
            None
        );
    }

    #[test]
    fn keys_that_are_quiet_are_forgotten() {
        let (start, mut limiter) = (Instant::now(), Limiter::new(LIMITS));
        for number in 0..RATE_KEYS_MAX * 3 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let at = start + Duration::from_millis(number as u64);
            let last = u8::try_from(number % 251).expect("below 251");
            limiter.take(at, ip(last), NodeId::new(id));
        }
        let kept = limiter.peers.map(|peers| peers.used_until.len());
        assert!(kept.is_some_and(|kept| kept <= RATE_KEYS_MAX), "{kept:?}");
    }
}
