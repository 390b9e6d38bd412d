//! How much each peer has done wrong lately, and who is banned for it.
//!
//! ```text
//! offence ─cost─▶ points of the node and of its address ─bound reached─▶ ban ─its time is over─▶ nothing
//!                        │ one point fades every so often
//! ```
//!
//! A node id is new for the asking, so the address answers too, with a bound that is four times as high: behind one
//! address live several honest nodes. Who fills the tables pushes out those with the fewest points, and bans last.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::offence::Offence;
use super::place::Place;
use crate::identity::NodeId;
use crate::limits::{BAN_ADDRESS_AT, BAN_NODE_AT, POINT_FADES_AFTER, STANDINGS_MAX};

/// A ban that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub subject: Subject,
    /// For how long yet.
    pub left: Duration,
    /// What brought it about in the end.
    pub offence: Offence,
}

/// Who is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A node, wherever it connects from.
    Node(NodeId),
    /// A public address, whoever connects from there; of IPv6 the first of a /64.
    Address(IpAddr),
}

impl Subject {
    /// One word for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Subject::Node(_) => "node",
            Subject::Address(_) => "address",
        }
    }
}

/// Everybody's points.
pub(super) struct Standings {
    nodes: Table<NodeId>,
    places: Table<Place>,
}

impl Standings {
    /// Nobody has done anything. Bans last so long; zero bans nobody.
    pub(super) fn new(ban_for: Duration) -> Standings {
        Standings {
            nodes: Table::new(BAN_NODE_AT, ban_for),
            places: Table::new(BAN_ADDRESS_AT, ban_for),
        }
    }

    /// Counts an offence of a node. True: it is banned from now on.
    pub(super) fn charge_node(&mut self, now: Instant, node: NodeId, offence: Offence) -> bool {
        self.nodes.charge(now, node, offence)
    }

    /// Counts an offence from an address. True: it is banned from now on.
    pub(super) fn charge_place(&mut self, now: Instant, place: Place, offence: Offence) -> bool {
        self.places.charge(now, place, offence)
    }

    pub(super) fn is_node_banned(&self, now: Instant, node: &NodeId) -> bool {
        self.nodes.is_banned(now, node)
    }

    pub(super) fn is_place_banned(&self, now: Instant, ip: IpAddr) -> bool {
        Place::of(ip).is_some_and(|place| self.places.is_banned(now, &place))
    }

    /// The points of a node.
    pub(super) fn points(&self, now: Instant, node: &NodeId) -> u32 {
        self.nodes
            .entries
            .get(node)
            .map_or(0, |entry| entry.points_at(now))
    }

    /// Forgets what a node did.
    pub(super) fn pardon(&mut self, node: &NodeId) {
        self.nodes.entries.remove(node);
    }

    /// Every ban that holds: nodes by their ids, then addresses.
    pub(super) fn bans(&self, now: Instant) -> Vec<Ban> {
        let nodes = self.nodes.bans(now, |node| Subject::Node(*node));
        let places = self.places.bans(now, |place| Subject::Address(place.ip()));
        nodes.chain(places).collect()
    }
}

struct Table<K> {
    entries: BTreeMap<K, Standing>,
    ban_at: u32,
    ban_for: Duration,
}

#[derive(Clone, Copy)]
struct Standing {
    points: u32,
    /// Since when they fade.
    since: Instant,
    ban: Option<(Instant, Offence)>,
}

impl<K: Ord + Copy> Table<K> {
    fn new(ban_at: u32, ban_for: Duration) -> Table<K> {
        Table {
            entries: BTreeMap::new(),
            ban_at,
            ban_for,
        }
    }

    fn charge(&mut self, now: Instant, who: K, offence: Offence) -> bool {
        if !self.entries.contains_key(&who) {
            self.make_room(now);
        }
        let (ban_at, ban_for) = (self.ban_at, self.ban_for);
        let entry = self.entries.entry(who).or_insert(Standing {
            points: 0,
            since: now,
            ban: None,
        });
        entry.fade(now);
        entry.points = entry.points.saturating_add(offence.cost()).min(ban_at);
        let was_banned = entry.is_banned(now);
        let is_banned = entry.points >= ban_at && !ban_for.is_zero();
        if is_banned {
            entry.ban = Some((now + ban_for, offence));
        }
        is_banned && !was_banned
    }

    /// Room for one more. Bans go last, those that end soonest first.
    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < STANDINGS_MAX {
            return;
        }
        let rank = |entry: &Standing| {
            let ban = entry.ban.filter(|(until, _)| now < *until);
            (ban.map(|(until, _)| until), entry.points_at(now))
        };
        let least = self.entries.iter().min_by_key(|(_, entry)| rank(entry));
        if let Some(who) = least.map(|(who, _)| *who) {
            self.entries.remove(&who);
        }
    }

    fn is_banned(&self, now: Instant, who: &K) -> bool {
        self.entries
            .get(who)
            .is_some_and(|entry| entry.is_banned(now))
    }

    fn bans(&self, now: Instant, subject: impl Fn(&K) -> Subject) -> impl Iterator<Item = Ban> {
        self.entries.iter().filter_map(move |(who, entry)| {
            let (until, offence) = entry.ban?;
            (now < until).then(|| Ban {
                subject: subject(who),
                left: until - now,
                offence,
            })
        })
    }
}

impl Standing {
    /// Points that have faded since the last offence.
    fn faded(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.since).as_millis();
        u32::try_from(elapsed / POINT_FADES_AFTER.as_millis()).unwrap_or(u32::MAX)
    }

    fn points_at(&self, now: Instant) -> u32 {
        self.points.saturating_sub(self.faded(now))
    }

    fn fade(&mut self, now: Instant) {
        let faded = self.faded(now);
        if faded >= self.points {
            (self.points, self.since) = (0, now);
        } else {
            self.points -= faded;
            // What is left of the time to the next point goes on.
            self.since += POINT_FADES_AFTER * faded;
        }
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.ban.is_some_and(|(until, _)| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BAN_FOR;

    fn node(number: u16) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        NodeId::new(bytes)
    }

    #[test]
    fn points_fade_and_bans_end() {
        let (mut standings, start) = (Standings::new(BAN_FOR), Instant::now());
        assert!(!standings.charge_node(start, node(1), Offence::BadFrame));
        assert_eq!(standings.points(start, &node(1)), 50);
        let later = start + POINT_FADES_AFTER * 20;
        assert_eq!(standings.points(later, &node(1)), 30);
        assert!(!standings.charge_node(later, node(1), Offence::BadFrame));
        assert!(standings.charge_node(later, node(1), Offence::BadFrame));
        assert!(
            !standings.charge_node(later, node(1), Offence::BadFrame),
            "once is enough"
        );
        assert!(standings.is_node_banned(later, &node(1)));
        assert!(!standings.is_node_banned(later, &node(2)));
        assert!(standings.is_node_banned(later + BAN_FOR - Duration::from_secs(1), &node(1)));
        assert!(!standings.is_node_banned(later + BAN_FOR, &node(1)));
        assert!(standings.bans(later + BAN_FOR).is_empty());
    }

    #[test]
    fn points_fade_as_fast_whether_somebody_offends_or_not() {
        let (mut standings, start) = (Standings::new(BAN_FOR), Instant::now());
        // Thrice as often as points fade: of five points each, and twelve times, four have faded.
        for step in 0..12 {
            let now = start + POINT_FADES_AFTER * step / 3;
            standings.charge_node(now, node(1), Offence::SlowHandshake);
        }
        let points = standings.points(start + POINT_FADES_AFTER * 4, &node(1));
        assert!((55..=57).contains(&points), "{points}");
    }

    #[test]
    fn an_address_stands_four_times_as_much() {
        let (mut standings, now) = (Standings::new(BAN_FOR), Instant::now());
        let ip: IpAddr = "203.0.113.9".parse().unwrap();
        let place = Place::of(ip).unwrap();
        let banned: Vec<bool> = (0..8)
            .map(|_| standings.charge_place(now, place, Offence::BadFrame))
            .collect();
        assert_eq!(banned.iter().position(|banned| *banned), Some(7));
        assert!(standings.is_place_banned(now, ip));
        assert!(!standings.is_place_banned(now, "127.0.0.1".parse().unwrap()));
        let [ban] = standings.bans(now)[..] else {
            panic!("one ban");
        };
        assert_eq!(ban.subject, Subject::Address(ip));
        assert_eq!((ban.left, ban.offence), (BAN_FOR, Offence::BadFrame));
    }

    #[test]
    fn who_fills_the_table_pushes_no_ban_out() {
        let (mut standings, now) = (Standings::new(BAN_FOR), Instant::now());
        standings.charge_node(now, node(0), Offence::WrongIdentity);
        standings.charge_node(now, node(1), Offence::BadFrame);
        for number in 2..3 * u16::try_from(STANDINGS_MAX).unwrap() {
            standings.charge_node(now, node(number), Offence::SlowHandshake);
            assert!(standings.nodes.entries.len() <= STANDINGS_MAX);
        }
        assert!(standings.is_node_banned(now, &node(0)));
        assert_eq!(
            standings.points(now, &node(1)),
            50,
            "more points stay longer"
        );
    }

    #[test]
    fn no_time_is_no_ban() {
        let (mut standings, now) = (Standings::new(Duration::ZERO), Instant::now());
        assert!(!standings.charge_node(now, node(1), Offence::WrongIdentity));
        assert!(standings.bans(now).is_empty());
    }
}
