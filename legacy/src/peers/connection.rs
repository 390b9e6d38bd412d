//! One connection as the policy sees it.

use std::net::IpAddr;
use std::time::Instant;

use crate::identity::NodeId;
use crate::rlpx::Direction;

/// One connection, from its first byte to its last. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The connection behind a number that was got from [`ConnectionId::number`].
    pub const fn from_number(number: u64) -> ConnectionId {
        ConnectionId(number)
    }

    /// The number behind it.
    pub const fn number(self) -> u64 {
        self.0
    }
}

pub(super) struct Connection {
    pub(super) direction: Direction,
    pub(super) ip: IpAddr,
    /// Whom we dialled.
    pub(super) target: Option<NodeId>,
    /// Who it says it is. Only a frame that verifies proves it, so this is a claim until it is established.
    pub(super) claimed: Option<NodeId>,
    pub(super) established: Option<Instant>,
    /// Whether it counts against the room for strangers.
    pub(super) is_stranger: bool,
    /// It was told to end, and no longer counts.
    pub(super) leaving: bool,
}

impl Connection {
    /// Who is at the other end, once that is proved.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.established.and(self.claimed)
    }

    /// Whether it takes a stranger's place: a dial from its start, so that it finds one; who dialled us, once it is in.
    pub(super) fn takes_room(&self, direction: Direction) -> bool {
        self.is_stranger
            && !self.leaving
            && self.direction == direction
            && match direction {
                Direction::Dialled => true,
                Direction::Accepted => self.established.is_some(),
            }
    }
}
