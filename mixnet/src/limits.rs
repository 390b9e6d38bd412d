//! Bounds of the node, and the rate limit that guards it from a neighbour.
//!
//! Every queue, table and timeout of the mix node is named here with its reason. The rate limit is
//! a generic cell rate algorithm (GCRA): one instant per neighbour, the "theoretical arrival time"
//! of its next packet. A packet that comes more than the burst ahead of that time is refused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::address::PeerKey;

// ---- Our bounds: the relay ----

/// Packets that wait out their delay in a relay: at 500 packets/s and a mean of 400 ms a relay
/// holds 200 on average, so this is room for twenty such neighbours, in about 20 MiB.
pub const DELAY_QUEUE_MAX: usize = 4096;

/// Longest time that a relay holds a packet, whatever the packet asks for: a sender must not be
/// able to park packets here (ten times the mean of any preset is less).
pub const DELAY_MAX: Duration = Duration::from_secs(10);

/// Answers of this node's mailbox that rest before they leave: a quarter of the room, so that a flood of questions leaves the rest to
/// the packets of others.
pub const ANSWERS_HELD_MAX: usize = DELAY_QUEUE_MAX / 4;

/// How long a packet whose delay is over, or that ends here, waits for its tag to be kept: as long as a packet rests at the most. A
/// disk that other work keeps busy takes seconds to sync; one that takes longer than this is broken.
pub const UNSAVED_MAX: Duration = DELAY_MAX;

/// Packets per second that one neighbour may send for long.
pub const NEIGHBOUR_RATE_PER_SECOND: u32 = 500;

/// Packets that one neighbour may send at once.
pub const NEIGHBOUR_BURST: u32 = 1000;

/// Neighbours whose rate is remembered: twice the connections that the shell allows, because a
/// neighbour that reconnects must find its old bucket.
pub const NEIGHBOURS_REMEMBERED_MAX: usize = 512;

// ---- Our bounds: the client ----

/// Frames that wait for a payload slot. One object may exceed it, the next one then waits outside:
/// about 10 minutes of sending at four slots a second.
pub const SEND_QUEUE_FRAMES_MAX: usize = 2048;

/// Objects that wait for payload slots, so that many small ones stay bounded as well.
pub const SEND_QUEUE_OBJECTS_MAX: usize = 512;

/// Packets that wait out their pre-send delay: at five packets a second and 400 ms it holds two;
/// the bound only matters when a clock runs wild.
pub const PRESEND_QUEUE_MAX: usize = 512;

/// SURBs that we have given out and can still open.
pub const SURBS_MAX: usize = 10_000;

/// Loops on their way: at 0.7 loops a second and ten seconds until one counts as lost there are
/// about seven.
pub const LOOPS_MAX: usize = 256;

/// Distinct relays on every path before the service.
pub const RELAYS_NEEDED: usize = 3;

// ---- Our bounds: the shell ----

/// Established connections of the node.
pub const CONNECTIONS_MAX: u32 = 256;

/// Direct connections to one peer: one that we dialled and one that it dialled.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 2;

/// All connections to one peer: for a moment there may be a circuit each way that a direct connection is about to replace.
pub const CONNECTIONS_AND_CIRCUITS_PER_PEER_MAX: u32 = CONNECTIONS_PER_PEER_MAX + 2;

/// Connections that are being set up, in each direction.
pub const CONNECTIONS_PENDING_MAX: u32 = 64;

/// Relays to which a node keeps a connection, so that they can reach it behind a NAT. Half of the
/// connections, so that others find room.
pub const CONNECTIONS_KEPT_MAX: usize = 128;

/// The same for a node with a light profile: a path needs three, and one may go away.
pub const CONNECTIONS_KEPT_LIGHT: usize = 4;

/// Addresses that a node listens on besides its main one: each is a socket, and one for each kind and family is enough.
pub const ALSO_LISTEN_MAX: usize = 16;

/// Addresses that an operator may add to those of the descriptors.
pub const EXTRA_ADDRESSES_MAX: usize = 1024;

/// Packets that wait for one neighbour's stream: half a second at its permitted rate, 1.1 MiB.
pub const NEIGHBOUR_QUEUE_MAX: usize = 256;

/// Packets that wait for a connection that is being dialled.
pub const DIALLING_QUEUE_MAX: usize = 64;

/// Incoming streams that one peer may hold open: one per connection, and room to replace them.
pub const STREAMS_PER_PEER_MAX: usize = 4;

/// Packets that wait to be peeled: 30 ms of work. Streams wait while it is full.
pub const INTAKE_QUEUE_MAX: usize = 512;

/// Packets that are peeled before the core looks at its timers again: a millisecond, which is as exact as they are.
pub const INTAKE_BATCH_MAX: usize = 8;

/// Packets whose tags wait to be written. Nothing of them can leave or take effect before that, and no more than so many packets rest
/// in the node anyway: when a disk stalls for longer, packets are dropped and counted.
pub const KEEPER_QUEUE_MAX: usize = DELAY_QUEUE_MAX;

/// Peeled packets and notices between the network tasks and the core: 15 ms of peeling. More would only add delay.
pub const CORE_QUEUE_MAX: usize = 256;

/// Requests of the local user that wait for the core.
pub const REQUEST_QUEUE_MAX: usize = 64;

/// Events that wait for the local user. Objects that find it full are dropped and counted.
pub const EVENT_QUEUE_MAX: usize = 1024;

/// First pause before a lost connection is dialled again.
pub const REDIAL_FIRST: Duration = Duration::from_millis(500);

/// Longest pause between dials.
pub const REDIAL_MAX: Duration = Duration::from_secs(10);

/// Time for a hole to be punched once two peers have met on a circuit: three attempts of five seconds.
pub const PUNCH_MAX: Duration = Duration::from_secs(15);

/// A node dials an address that a peer wrote once in this time, for long.
pub const DIALS_FOR_OTHERS_EVERY: Duration = Duration::from_secs(2);

/// And so often at once.
pub const DIALS_FOR_OTHERS_BURST: u32 = 16;

/// Peers that may be found through one circuit relay: half of the connections, since each keeps one.
pub const RESERVATIONS_MAX: usize = 128;

/// How long a reservation lasts before it is renewed.
pub const RESERVATION: Duration = Duration::from_secs(3600);

/// Circuits at a time: each takes seconds, and eight new ones a second are far more than 128 peers need.
pub const CIRCUITS_MAX: usize = 64;

/// Circuits of one peer at a time.
pub const CIRCUITS_PER_PEER_MAX: usize = 4;

/// A circuit lasts as long as the punching of a hole, and a little more.
pub const CIRCUIT_MAX: Duration = Duration::from_secs(30);

/// And carries two handshakes, what both sides say of themselves, and the arrangement: about 4 KiB.
pub const CIRCUIT_BYTES_MAX: u64 = 32 * 1024;

/// A neighbour that does not take a packet for this long gets a new stream.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A frame of which the first byte came must be complete after this: at 4 kbit/s it is.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Share of the machine's memory above which no new connection is taken: what is left is for those that stand.
pub const MEMORY_SHARE_MAX: f64 = 0.9;

/// Time in which a stopping node sends what it holds.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// A rate for each peer.
pub(crate) struct PeerRates {
    gap: Duration,
    burst: u32,
    peers_max: usize,
    arrivals: BTreeMap<PeerKey, Instant>,
}

impl PeerRates {
    /// `per_second` for long and `burst` at once; so many peers are remembered at most.
    pub(crate) fn new(per_second: u32, burst: u32, peers_max: usize) -> Self {
        Self {
            gap: Duration::from_secs(1) / per_second,
            burst,
            peers_max,
            arrivals: BTreeMap::new(),
        }
    }

    /// The packets of every neighbour.
    pub(crate) fn of_neighbours() -> Self {
        Self::new(
            NEIGHBOUR_RATE_PER_SECOND,
            NEIGHBOUR_BURST,
            NEIGHBOURS_REMEMBERED_MAX,
        )
    }

    /// Whether `count` more of `from` at `now` are within its rate; if so they are counted.
    pub(crate) fn admit(&mut self, now: Instant, from: PeerKey, count: u32) -> bool {
        if !self.arrivals.contains_key(&from) && !self.make_room(now) {
            return false;
        }
        let due = self.arrivals.entry(from).or_insert(now);
        let after = (*due).max(now) + self.gap * count;
        if after.duration_since(now) > self.gap * self.burst {
            return false;
        }
        *due = after;
        true
    }

    /// Forgets full buckets when the table is full. False when none could be forgotten.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.arrivals.len() >= self.peers_max {
            self.arrivals.retain(|_, due| *due > now);
        }
        self.arrivals.len() < self.peers_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> PeerKey {
        crate::descriptor::tests::peer_key(n)
    }

    #[test]
    fn burst_then_rate() {
        let start = Instant::now();
        let mut rates = PeerRates::of_neighbours();
        let burst = (0..2000).filter(|_| rates.admit(start, peer(1), 1)).count();
        assert_eq!(burst, NEIGHBOUR_BURST as usize);
        // After one second the bucket has room for one second's rate, and no more.
        let later = start + Duration::from_secs(1);
        let after = (0..2000).filter(|_| rates.admit(later, peer(1), 1)).count();
        assert_eq!(after, NEIGHBOUR_RATE_PER_SECOND as usize);
    }

    #[test]
    fn a_flooder_does_not_touch_others() {
        let start = Instant::now();
        let mut rates = PeerRates::of_neighbours();
        while rates.admit(start, peer(1), 1) {}
        assert!(rates.admit(start, peer(2), 1));
    }

    #[test]
    fn a_full_table_refuses_strangers_until_buckets_are_full_again() {
        let start = Instant::now();
        let mut rates = PeerRates::of_neighbours();
        for n in 0..NEIGHBOURS_REMEMBERED_MAX {
            assert!(rates.admit(start, peer(n as u16 + 1), 1));
        }
        assert!(!rates.admit(start, peer(9000), 1));
        assert!(rates.admit(start + Duration::from_secs(1), peer(9000), 1));
    }
}
