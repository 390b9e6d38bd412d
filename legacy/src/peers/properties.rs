//! The policy under any sequence of events: a model beside it knows every connection, and checks after each step what
//! must always hold. A failure prints the shortest sequence that shows it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::identity::SecretKey;

/// Ourselves and everybody else.
static NODES: LazyLock<Vec<Enode>> = LazyLock::new(|| {
    (0..NODES_COUNT)
        .map(|number| {
            let key = SecretKey::from_bytes(&[number + 1; 32]).unwrap();
            let address = match number % 4 {
                0 => format!("127.0.0.1:{}", 1000 + u16::from(number)),
                1 => format!("198.51.100.{number}:30303"),
                _ => format!("203.0.113.{number}:30303"),
            };
            Enode::new(key.public(), address.parse().unwrap())
        })
        .collect()
});

const NODES_COUNT: u8 = 48;

/// Small enough that every limit is reached.
const LIMITS: Limits = Limits {
    inbound_max: 14,
    outbound_max: 4,
    pending_max: 12,
    ban_for: Duration::from_secs(120),
};

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Add(u8),
    Remove(u8),
    Trust(u8),
    Untrust(u8),
    Candidates(u8, u8),
    Bootstrap(u8),
    /// Somebody connects, from the address of a node.
    Accept(u8),
    /// The pick-th connection says that it is this node, or whom we dialled.
    Identify(usize, u8),
    Establish(usize),
    Report(usize, usize),
    Close(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES_COUNT;
    prop_oneof![
        2 => (0u64..60).prop_map(Step::Wait),
        1 => node.clone().prop_map(Step::Add),
        1 => node.clone().prop_map(Step::Remove),
        1 => node.clone().prop_map(Step::Trust),
        1 => node.clone().prop_map(Step::Untrust),
        2 => (node.clone(), 1u8..20).prop_map(|(first, count)| Step::Candidates(first, count)),
        1 => node.clone().prop_map(Step::Bootstrap),
        8 => node.clone().prop_map(Step::Accept),
        8 => (any::<usize>(), node).prop_map(|(pick, node)| Step::Identify(pick, node)),
        8 => any::<usize>().prop_map(Step::Establish),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(pick, offence)| Step::Report(pick, offence)),
        4 => (any::<usize>(), 0u8..3).prop_map(|(pick, end)| Step::Close(pick, end)),
    ]
}

#[derive(Debug)]
struct Seen {
    direction: Direction,
    ip: IpAddr,
    target: Option<NodeId>,
    claimed: Option<NodeId>,
    established: bool,
    is_stranger: bool,
    /// The policy wants it ended.
    leaving: bool,
    /// The policy did not let it in.
    refused: bool,
}

/// The policy, and what the model knows.
struct World {
    now: Now,
    peers: Peers,
    open: BTreeMap<ConnectionId, Seen>,
    statics: BTreeMap<NodeId, ()>,
    trusted: BTreeMap<NodeId, ()>,
    dialled: BTreeMap<NodeId, Instant>,
}

impl World {
    fn new() -> World {
        let now = Now {
            mono: Instant::now(),
            unix_ms: 0,
        };
        World {
            now,
            peers: Peers::new(NODES[0].node_id(), LIMITS, [7; 32]),
            open: BTreeMap::new(),
            statics: BTreeMap::new(),
            trusted: BTreeMap::new(),
            dialled: BTreeMap::new(),
        }
    }

    fn pick(&self, pick: usize) -> Option<ConnectionId> {
        let index = pick.checked_rem(self.open.len())?;
        self.open.keys().nth(index).copied()
    }

    fn is_favoured(&self, node: &NodeId) -> bool {
        self.statics.contains_key(node) || self.trusted.contains_key(node)
    }

    fn take(&mut self, step: &Step) {
        let now = self.now;
        let enode = |number: u8| NODES[usize::from(number)];
        match *step {
            Step::Wait(seconds) => {
                self.now.mono += Duration::from_secs(seconds);
                self.peers.tick(self.now);
            }
            Step::Add(number) => {
                if self.peers.add(now, enode(number)).is_ok() {
                    self.favour(enode(number).node_id(), true);
                }
            }
            Step::Trust(number) => {
                if self.peers.trust(enode(number)).is_ok() {
                    self.favour(enode(number).node_id(), false);
                }
            }
            Step::Untrust(number) => {
                let node = enode(number).node_id();
                let was = self.trusted.remove(&node).is_some();
                assert_eq!(self.peers.untrust(&node), was);
            }
            Step::Remove(number) => {
                let node = enode(number).node_id();
                self.statics.remove(&node);
                self.peers.remove(now, &node);
            }
            Step::Candidates(first, count) => {
                let all = NODES.iter().cycle().skip(first.into());
                self.peers.candidates(now, all.take(count.into()).copied());
            }
            Step::Bootstrap(number) => self.peers.bootstrap(now, [enode(number)]),
            Step::Accept(number) => self.accept(enode(number).tcp().ip()),
            Step::Identify(pick, number) => self.identify(pick, enode(number).node_id()),
            Step::Establish(pick) => self.establish(pick),
            Step::Report(pick, offence) => {
                if let Some(id) = self.pick(pick) {
                    let offence = Offence::ALL[offence % Offence::ALL.len()];
                    self.peers.report(now, id, offence);
                }
            }
            Step::Close(pick, end) => {
                if let Some(id) = self.pick(pick) {
                    self.open.remove(&id);
                    let end = [End::Full, End::Useless, End::Other][usize::from(end)];
                    self.peers.close(now, id, end);
                }
            }
        }
        self.drain();
        self.check();
    }

    fn favour(&mut self, node: NodeId, is_static: bool) {
        let list = if is_static {
            &mut self.statics
        } else {
            &mut self.trusted
        };
        list.insert(node, ());
        for seen in self.open.values_mut() {
            if seen.target == Some(node) || seen.established && seen.claimed == Some(node) {
                seen.is_stranger = false;
            }
        }
    }

    fn accept(&mut self, ip: IpAddr) {
        let is_banned = self
            .peers
            .bans(self.now)
            .iter()
            .any(|ban| ban.subject == Subject::Address(ip));
        let favoured = NODES
            .iter()
            .filter(|enode| self.is_favoured(&enode.node_id()));
        let is_favoured = favoured.map(|enode| enode.tcp().ip()).any(|one| one == ip);
        match self.peers.accept(self.now, ip) {
            Ok(id) => {
                assert!(!is_banned || is_favoured, "a banned address came in");
                self.open.insert(
                    id,
                    Seen {
                        direction: Direction::Accepted,
                        ip,
                        target: None,
                        claimed: None,
                        established: false,
                        is_stranger: true,
                        leaving: false,
                        refused: false,
                    },
                );
            }
            Err(Refused::Banned) => assert!(is_banned && !is_favoured),
            Err(Refused::TooSoon | Refused::PendingFromAddress) => assert!(!is_local(ip)),
        }
    }

    fn identify(&mut self, pick: usize, node: NodeId) {
        let Some(id) = self.pick(pick) else { return };
        let seen = &self.open[&id];
        if seen.claimed.is_some() || seen.refused {
            return;
        }
        // Whom we dialled proves to be that node or fails.
        let node = seen.target.unwrap_or(node);
        let verdict = self.peers.identify(self.now, id, node);
        let banned = self
            .peers
            .bans(self.now)
            .iter()
            .any(|ban| ban.subject == Subject::Node(node));
        let seen = self.open.get_mut(&id).unwrap();
        match verdict {
            Ok(()) => {
                assert!(!banned && !seen.leaving && node != NODES[0].node_id());
                seen.claimed = Some(node);
            }
            Err(_) => seen.refused = true,
        }
    }

    fn establish(&mut self, pick: usize) {
        let Some(id) = self.pick(pick) else { return };
        let seen = &self.open[&id];
        let (Some(node), false) = (seen.claimed, seen.established || seen.refused) else {
            return;
        };
        let verdict = self.peers.establish(self.now, id);
        let is_favoured = self.is_favoured(&node);
        let seen = self.open.get_mut(&id).unwrap();
        match verdict {
            Ok(()) => {
                assert!(!seen.leaving);
                seen.established = true;
                seen.is_stranger &= !is_favoured;
            }
            Err(_) => seen.refused = true,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.peers.poll_output() {
            match output {
                Output::Dial { connection, enode } => self.dial(connection, enode),
                Output::Close { connection } => {
                    let closed = self.open.remove(&connection).unwrap();
                    assert!(!closed.established && closed.target.is_none());
                }
                Output::Disconnect { connection, .. } => {
                    let seen = self.open.get_mut(&connection).unwrap();
                    assert!(!seen.leaving, "told twice");
                    seen.leaving = true;
                }
            }
        }
    }

    fn dial(&mut self, connection: ConnectionId, enode: Enode) {
        let (node, ip) = (enode.node_id(), enode.tcp().ip());
        assert_ne!(node, NODES[0].node_id(), "we dial ourselves");
        let busy = |seen: &Seen| {
            seen.target == Some(node) || seen.established && seen.claimed == Some(node)
        };
        assert!(!self.open.values().any(busy), "a second connection");
        let is_static = self.statics.contains_key(&node);
        for ban in self.peers.bans(self.now) {
            let subject = ban.subject;
            assert_ne!(subject, Subject::Node(node), "a dial to a banned node");
            assert!(is_static || subject != Subject::Address(ip));
        }
        if let Some(last) = self.dialled.insert(node, self.now.mono) {
            let pause = self.now.mono - last;
            assert!(is_static && is_local(ip) || pause >= REDIAL_THROTTLED);
        }
        let is_stranger = !self.is_favoured(&node);
        self.open.insert(
            connection,
            Seen {
                direction: Direction::Dialled,
                ip,
                target: Some(node),
                claimed: None,
                established: false,
                is_stranger,
                leaving: false,
                refused: false,
            },
        );
    }

    fn check(&self) {
        let strangers = |direction| {
            self.open.values().filter(move |seen| {
                seen.is_stranger
                    && !seen.leaving
                    && seen.direction == direction
                    && (seen.established || direction == Direction::Dialled)
            })
        };
        assert!(strangers(Direction::Accepted).count() <= LIMITS.inbound_max);
        assert!(strangers(Direction::Dialled).count() <= LIMITS.outbound_max);
        let pending = |seen: &&Seen| seen.direction == Direction::Accepted && !seen.established;
        assert!(self.open.values().filter(pending).count() <= LIMITS.pending_max);
        let mut established = BTreeMap::new();
        for seen in self.open.values().filter(|seen| seen.established) {
            let before = established.insert(seen.claimed, ());
            assert_eq!(before, None, "two connections of one node");
        }
        for enode in NODES.iter().filter(|enode| !is_local(enode.tcp().ip())) {
            let ip = enode.tcp().ip();
            let all = strangers(Direction::Accepted).chain(strangers(Direction::Dialled));
            let neighbours = all.filter(|seen| same_subnet(seen.ip, ip)).count();
            assert!(neighbours <= PEERS_PER_SUBNET_MAX);
        }
        for ban in self.peers.bans(self.now) {
            assert!(ban.left <= LIMITS.ban_for);
            match ban.subject {
                Subject::Node(node) => assert!(!self.is_favoured(&node)),
                Subject::Address(ip) => assert!(!is_local(ip)),
            }
        }
        let due = self.peers.next_deadline();
        assert!(due.is_none_or(|due| due > self.now.mono), "it would spin");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_must_hold_holds_after_every_step(steps in prop::collection::vec(step(), 0..300)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
    }
}
