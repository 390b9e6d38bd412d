//! Why connections are refused, so that each can be counted.

use libp2p::connection_limits::Exceeded;
use libp2p::memory_connection_limits::MemoryUsageLimitExceeded;
use libp2p::swarm::ConnectionDenied;

use super::guard::Refused;

/// Why a connection was refused, or not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Refusal {
    /// There were too many connections, in all or being set up.
    Limit,
    /// The machine was short of memory.
    Memory,
    /// The peer had its connections already.
    Peer,
    /// A peer wanted something dialled that is not dialled for others, or too often.
    ForOthers,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Limit, Self::Memory, Self::Peer, Self::ForOthers];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Memory => "memory",
            Self::Peer => "peer",
            Self::ForOthers => "for_others",
        }
    }

    /// What the library was told.
    pub(super) fn of(cause: &ConnectionDenied) -> Option<Self> {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Some(match refused {
                Refused::Peer => Self::Peer,
                Refused::Address(_) | Refused::Kind | Refused::Often => Self::ForOthers,
            });
        }
        if cause.downcast_ref::<Exceeded>().is_some() {
            return Some(Self::Limit);
        }
        let memory = cause.downcast_ref::<MemoryUsageLimitExceeded>();
        memory.map(|_| Self::Memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guard_refuses_has_a_name() {
        let named = |refused: Refused| Refusal::of(&ConnectionDenied::new(refused));
        assert_eq!(named(Refused::Peer), Some(Refusal::Peer));
        assert_eq!(named(Refused::Kind), Some(Refusal::ForOthers));
        assert_eq!(named(Refused::Often), Some(Refusal::ForOthers));
        let other = ConnectionDenied::new(std::io::Error::other("something else"));
        assert_eq!(Refusal::of(&other), None);
    }
}
