//! Our own address, as others see it.
//!
//! Every ping and pong names the address that it was sent to. What ten hosts say within five minutes, and more of them
//! than say anything else, is where we are. A host is an address: who runs many nodes has one voice. Spec: endpoint
//! predictor of go-ethereum.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::endpoint::{check_relayed, is_lan};

/// What is said about us.
#[derive(Default)]
pub struct Predictor {
    statements: BTreeMap<IpAddr, Statement>,
}

struct Statement {
    endpoint: SocketAddr,
    at: Instant,
}

impl Predictor {
    /// Nobody has said anything.
    pub fn new() -> Predictor {
        Predictor::default()
    }

    /// A host says where it sees us. What it cannot know is not listened to.
    pub fn state(&mut self, now: Instant, host: IpAddr, endpoint: SocketAddr) {
        if endpoint.port() == 0 || check_relayed(host, endpoint.ip()).is_err() {
            return;
        }
        // A neighbour in our own network sees an address that the world does not.
        if is_lan(host) != is_lan(endpoint.ip()) {
            return;
        }
        if !self.statements.contains_key(&host) && self.statements.len() >= STATEMENTS_MAX {
            self.forget_old(now);
            if self.statements.len() >= STATEMENTS_MAX {
                return;
            }
        }
        let at = now;
        self.statements.insert(host, Statement { endpoint, at });
    }

    /// Where we are, if enough hosts agree.
    pub fn endpoint(&mut self, now: Instant) -> Option<SocketAddr> {
        self.forget_old(now);
        let mut votes: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for statement in self.statements.values() {
            *votes.entry(statement.endpoint).or_default() += 1;
        }
        let (endpoint, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
        (count >= STATEMENTS_MIN).then_some(endpoint)
    }

    fn forget_old(&mut self, now: Instant) {
        self.statements
            .retain(|_, statement| now < statement.at + STATEMENT_LIFETIME);
    }
}

/// Hosts that must agree.
const STATEMENTS_MIN: usize = 10;
/// How long a statement counts.
const STATEMENT_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Hosts that are listened to at once: far more than are needed, and what a lookup meets.
const STATEMENTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8) -> IpAddr {
        IpAddr::from([80, 1, n, 1])
    }

    #[test]
    fn ten_hosts_that_agree_are_believed() {
        let now = Instant::now();
        let ours = "90.1.2.3:30303".parse().unwrap();
        let mut predictor = Predictor::new();
        for n in 0..9 {
            predictor.state(now, host(n), ours);
            predictor.state(now, host(n), ours);
        }
        assert_eq!(predictor.endpoint(now), None, "nine hosts");
        predictor.state(now, host(9), ours);
        assert_eq!(predictor.endpoint(now), Some(ours));
        assert_eq!(
            predictor.endpoint(now + STATEMENT_LIFETIME),
            None,
            "too old"
        );
    }

    #[test]
    fn one_host_with_a_thousand_voices_has_one() {
        let now = Instant::now();
        let mut predictor = Predictor::new();
        for port in 1..1000 {
            predictor.state(now, host(1), SocketAddr::from(([90, 1, 2, 3], port)));
        }
        assert_eq!(predictor.endpoint(now), None);
    }

    #[test]
    fn a_move_is_noticed_when_most_say_so() {
        let now = Instant::now();
        let (old, new) = (
            "90.1.2.3:30303".parse().unwrap(),
            "91.1.2.3:4000".parse().unwrap(),
        );
        let mut predictor = Predictor::new();
        for n in 0..20 {
            predictor.state(now, host(n), old);
        }
        for n in 0..9 {
            predictor.state(now, host(n), new);
        }
        assert_eq!(predictor.endpoint(now), Some(old));
        for n in 9..12 {
            predictor.state(now, host(n), new);
        }
        assert_eq!(predictor.endpoint(now), Some(new));
    }

    #[test]
    fn what_a_host_cannot_know_is_not_listened_to() {
        let now = Instant::now();
        let mut predictor = Predictor::new();
        for (host, said) in [
            (IpAddr::from([80, 1, 1, 1]), "10.0.0.1:30303"),
            (IpAddr::from([80, 1, 1, 1]), "127.0.0.1:30303"),
            (IpAddr::from([80, 1, 1, 1]), "0.0.0.0:30303"),
            (IpAddr::from([80, 1, 1, 1]), "90.1.1.1:0"),
            (IpAddr::from([10, 1, 1, 1]), "90.1.1.1:30303"),
        ] {
            predictor.state(now, host, said.parse().unwrap());
        }
        assert!(predictor.statements.is_empty());
    }

    #[test]
    fn there_is_an_end_to_it() {
        let now = Instant::now();
        let mut predictor = Predictor::new();
        for n in 0..2000_u32 {
            let host = IpAddr::from((0x5000_0000 + n).to_be_bytes());
            predictor.state(now, host, "90.1.1.1:1".parse().unwrap());
        }
        assert_eq!(predictor.statements.len(), STATEMENTS_MAX);
    }
}
