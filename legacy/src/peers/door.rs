//! Who gives way at the door: when as many strangers as may wait are waiting, the next one still gets its chance.
//!
//! ```text
//! silent   connected, its handshake packet has not come or not been opened
//! known    its handshake says who it is, its Hello has not come
//! ```
//!
//! The larger of the two kinds loses one: of those that wait from the address with the most of them the one that waits
//! longest. A flood of silent connections pushes out its own, and so does one of connections that stop after the
//! handshake; an honest newcomer says its first packet at once and is then of the other kind.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::connection::{Connection, ConnectionId};
use super::place::{is_local, same_subnet};
use super::{Output, Peers};
use crate::rlpx::Direction;

impl Peers {
    /// How many strangers wait at the door.
    pub fn pending(&self) -> usize {
        self.waiting().count()
    }

    /// Room for one more at the door. Whoever loses its place is closed.
    pub(super) fn make_room(&mut self) {
        while self.waiting().count() >= self.limits.pending_max.max(1) {
            let Some(loser) = self.loser() else { return };
            self.connections.remove(&loser);
            self.outputs.push_back(Output::Close { connection: loser });
        }
    }

    fn loser(&self) -> Option<ConnectionId> {
        let known = self.waiting().filter(|(_, each)| each.claimed.is_some());
        let silent = self.waiting().filter(|(_, each)| each.claimed.is_none());
        let kind = known.count() > silent.count();
        let of_kind = || {
            self.waiting()
                .filter(|(_, each)| each.claimed.is_some() == kind)
        };
        let from_there = |ip| {
            of_kind()
                .filter(|(_, each)| are_neighbours(each.ip, ip))
                .count()
        };
        // Ids rise with time.
        of_kind()
            .max_by_key(|(id, each)| (from_there(each.ip), Reverse(*id)))
            .map(|(id, _)| id)
    }

    /// Strangers whose Hello is not through.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections
            .iter()
            .filter(|(_, each)| each.direction == Direction::Accepted && each.established.is_none())
            .map(|(id, each)| (*id, each))
    }
}

/// The same address, or on the public internet the same network.
fn are_neighbours(a: IpAddr, b: IpAddr) -> bool {
    a == b || !is_local(a) && same_subnet(a, b)
}
