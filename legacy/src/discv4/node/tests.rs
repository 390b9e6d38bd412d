//! One node and a tester that holds the keys of everybody else; whole networks are in `network`.

use super::super::endpoint::Neighbour;
use super::super::{PROOF_LIFETIME, Packet, decode};
use super::*;

mod network;

const OURS: &str = "90.0.0.1:30303";
const THEIRS: &str = "80.0.0.2:30303";

pub(super) fn key(n: u16) -> SecretKey {
    let mut bytes = [1; 32];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    SecretKey::from_bytes(&bytes).unwrap()
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A node under test, a clock, and what it wants done.
struct Bench {
    node: Node,
    now: Now,
    found: Vec<Enode>,
}

impl Bench {
    fn new(bootnodes: &[(u16, &str)]) -> Bench {
        let now = Now {
            mono: Instant::now(),
            unix_ms: 1_600_000_000_000,
        };
        let ours = address(OURS);
        let config = Config {
            key: key(1),
            ip: Some(ours.ip()),
            udp_port: ours.port(),
            tcp_port: ours.port(),
            bootnodes: bootnodes
                .iter()
                .map(|(n, at)| Enode::new(key(*n).public(), address(at)))
                .collect(),
            seeds: vec![],
            record: None,
        };
        Bench {
            node: Node::new(now, config, [7; 32]),
            now,
            found: vec![],
        }
    }

    fn expiration(&self) -> u64 {
        self.now.unix_s() + 20
    }

    /// Packets that it sends in answer to an input.
    fn input(&mut self, input: Input<'_>) -> Vec<(SocketAddr, Packet)> {
        self.node.handle(self.now, input);
        let mut sent = vec![];
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    let packet = decode(&bytes).unwrap();
                    assert_eq!(packet.sender, key(1).public());
                    sent.push((to, packet));
                }
                Output::Found(enode) => self.found.push(enode),
                Output::Looked { .. } | Output::Moved(_) | Output::Persist(_) => {}
            }
        }
        sent
    }

    fn receive(&mut self, from: &str, by: u16, message: &Message) -> Vec<Message> {
        let (bytes, _) = message.encode(&key(by));
        self.bytes(from, &bytes)
    }

    fn bytes(&mut self, from: &str, bytes: &[u8]) -> Vec<Message> {
        let from = address(from);
        let sent = self.input(Input::Datagram { from, bytes });
        assert!(sent.iter().all(|(to, _)| *to == from), "it answers others");
        sent.into_iter().map(|(_, packet)| packet.message).collect()
    }

    /// Lets time pass; what it sends meanwhile.
    fn pass(&mut self, ms: u64) -> Vec<(SocketAddr, Packet)> {
        let until = self.now.mono + Duration::from_millis(ms);
        let mut sent = vec![];
        loop {
            let next = self.node.next_deadline().min(until);
            let step = next.saturating_duration_since(self.now.mono);
            self.now.mono += step;
            self.now.unix_ms += step.as_millis() as u64;
            sent.extend(self.input(Input::Tick));
            if next == until {
                return sent;
            }
        }
    }

    fn ping(&self) -> Message {
        our_ping(
            Endpoint::new(address(THEIRS), 30303),
            Endpoint::new(address(OURS), 0),
            self.expiration(),
            1,
        )
    }

    fn find(&self) -> Message {
        Message::FindNode {
            target: [5; 64],
            expiration: self.expiration(),
        }
    }

    fn pong(&self, ping: Hash) -> Message {
        Message::Pong {
            to: Endpoint::new(address(OURS), 0),
            ping,
            expiration: self.expiration(),
            record_seq: None,
        }
    }

    /// They ping us, we ping back, they answer.
    fn prove(&mut self, from: &str, by: u16) {
        let message = self.ping();
        let (bytes, _) = message.encode(&key(by));
        let sent = self.input(Input::Datagram {
            from: address(from),
            bytes: &bytes,
        });
        let [(_, pong), (_, ping)] = &sent[..] else {
            panic!("no ping back: {sent:?}");
        };
        assert!(matches!(pong.message, Message::Pong { .. }));
        let pong = self.pong(ping.hash);
        assert_eq!(self.receive(from, by, &pong), []);
    }

    fn dropped(&self, why: &str) -> u64 {
        self.node.counters().dropped.get(why).copied().unwrap_or(0)
    }
}

#[test]
fn a_ping_is_answered_and_asked_back() {
    let mut bench = Bench::new(&[]);
    let (bytes, hash) = bench.ping().encode(&key(2));
    let answers = bench.bytes(THEIRS, &bytes);
    let [
        Message::Pong {
            to,
            ping,
            expiration,
            record_seq,
        },
        Message::Ping { version, from, .. },
    ] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(*to, Endpoint::new(address(THEIRS), 30303));
    assert_eq!((*ping, *record_seq), (hash, Some(1)));
    assert_eq!(*expiration, bench.now.unix_s() + 20);
    assert_eq!((*version, *from), (4, Endpoint::new(address(OURS), 30303)));
    // While that ping is under way there is no second one.
    let again = bench.ping();
    assert_eq!(bench.receive(THEIRS, 2, &again).len(), 1);
}

#[test]
fn nothing_long_is_said_before_the_proof() {
    let mut bench = Bench::new(&[]);
    let (find, request) = (
        bench.find(),
        Message::EnrRequest {
            expiration: bench.expiration(),
        },
    );
    let none: [Message; 0] = [];
    for question in [&find, &request] {
        assert_eq!(bench.receive(THEIRS, 2, question), none);
    }
    // A ping alone proves nothing: its address may be forged.
    let ping = bench.ping();
    bench.receive(THEIRS, 2, &ping);
    for question in [&find, &request] {
        assert_eq!(bench.receive(THEIRS, 2, question), none);
    }
    assert_eq!(bench.dropped("unproven"), 4);
    bench.pass(600);
    bench.prove(THEIRS, 2);
    let (find, request) = (
        bench.find(),
        Message::EnrRequest {
            expiration: bench.expiration(),
        },
    );
    assert!(matches!(
        &bench.receive(THEIRS, 2, &find)[..],
        [Message::Neighbours { .. }]
    ));
    let (bytes, hash) = request.encode(&key(2));
    let answers = bench.bytes(THEIRS, &bytes);
    let [Message::EnrResponse { request, record }] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(*request, hash);
    let record = Record::decode(record).unwrap();
    assert_eq!(record.public_key(), &key(1).public());
    assert_eq!(record.enode().unwrap().tcp(), address(OURS));
    // The proof is of the address and of the key.
    for (from, by) in [("80.0.0.3:30303", 2), (THEIRS, 3)] {
        let find = bench.find();
        assert_eq!(bench.receive(from, by, &find), none);
    }
    // And it ends.
    bench.now.mono += PROOF_LIFETIME;
    let find = bench.find();
    let answers = bench.receive(THEIRS, 2, &find);
    assert!(
        !answers
            .iter()
            .any(|answer| matches!(answer, Message::Neighbours { .. }))
    );
}

#[test]
fn whoever_is_proven_is_found_once() {
    let mut bench = Bench::new(&[]);
    bench.prove(THEIRS, 2);
    let ping = bench.ping();
    assert_eq!(
        bench.receive(THEIRS, 2, &ping).len(),
        1,
        "no second ping back"
    );
    assert_eq!(bench.found, [Enode::new(key(2).public(), address(THEIRS))]);
    assert_eq!(bench.node.counters().alive, 1);
}

#[test]
fn an_answer_comes_in_packets_of_twelve() {
    let mut bench = Bench::new(&[]);
    for n in 2..40 {
        bench.prove(&format!("80.0.{n}.1:30303"), n);
    }
    let find = bench.find();
    let answers = bench.receive("80.0.2.1:30303", 2, &find);
    let counts: Vec<usize> = answers
        .iter()
        .map(|answer| match answer {
            Message::Neighbours { nodes, .. } => nodes.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [12, 4]);
}

#[test]
fn neighbours_in_our_own_network_are_not_told_to_strangers() {
    let mut bench = Bench::new(&[]);
    bench.prove("192.168.0.7:30303", 2);
    bench.prove("127.0.0.1:30304", 3);
    bench.prove(THEIRS, 4);
    let told = |answers: Vec<Message>| match &answers[..] {
        [Message::Neighbours { nodes, .. }] => nodes.len(),
        other => panic!("{other:?}"),
    };
    let find = bench.find();
    assert_eq!(told(bench.receive(THEIRS, 4, &find)), 1);
    assert_eq!(told(bench.receive("192.168.0.7:30303", 2, &find)), 2);
    assert_eq!(told(bench.receive("127.0.0.1:30304", 3, &find)), 3);
}

#[test]
fn answers_that_nobody_asked_for_are_dropped() {
    let mut bench = Bench::new(&[]);
    let neighbours = Message::Neighbours {
        nodes: vec![],
        expiration: bench.expiration(),
    };
    let record = Message::EnrResponse {
        request: [1; 32],
        record: bench.node.record().raw().to_vec(),
    };
    for message in [bench.pong([1; 32]), neighbours, record] {
        assert_eq!(bench.receive(THEIRS, 2, &message), []);
    }
    assert_eq!(bench.dropped("unsolicited"), 3);
    // A pong that is right, but from elsewhere, by somebody else, twice, or too late.
    let (bytes, _) = bench.ping().encode(&key(2));
    let sent = bench.input(Input::Datagram {
        from: address(THEIRS),
        bytes: &bytes,
    });
    let pong = bench.pong(sent[1].1.hash);
    bench.receive("80.0.0.3:30303", 2, &pong);
    bench.receive(THEIRS, 3, &pong);
    assert_eq!(
        (bench.dropped("unsolicited"), bench.node.counters().alive),
        (5, 0)
    );
    bench.receive(THEIRS, 2, &pong);
    assert_eq!(bench.node.counters().alive, 1);
    bench.receive(THEIRS, 2, &pong);
    assert_eq!(bench.dropped("unsolicited"), 6);
    let (bytes, _) = bench.ping().encode(&key(4));
    let from = "80.0.0.4:30303";
    let sent = bench.input(Input::Datagram {
        from: address(from),
        bytes: &bytes,
    });
    let late = bench.pong(sent[1].1.hash);
    bench.pass(501);
    bench.receive(from, 4, &late);
    assert_eq!(bench.dropped("unsolicited"), 7);
    assert_eq!(bench.node.counters().alive, 1);
}

/// Whoever sees our question could make us verify signatures without end.
#[test]
fn a_question_has_room_for_a_few_answers() {
    let mut bench = Bench::new(&[]);
    let (bytes, _) = bench.ping().encode(&key(2));
    let sent = bench.input(Input::Datagram {
        from: address(THEIRS),
        bytes: &bytes,
    });
    let pong = bench.pong(sent[1].1.hash);
    for by in 10..30 {
        bench.receive(THEIRS, by, &pong);
    }
    bench.receive(THEIRS, 2, &pong);
    assert_eq!(bench.node.counters().alive, 0);
}

#[test]
fn what_is_expired_or_our_own_is_dropped() {
    let mut bench = Bench::new(&[]);
    let at = |expiration| Message::Ping {
        version: 4,
        from: Endpoint::new(address(THEIRS), 1),
        to: Endpoint::new(address(OURS), 0),
        expiration,
        record_seq: None,
    };
    let now = bench.now.unix_s();
    assert_eq!(bench.receive(THEIRS, 2, &at(now - 1)), []);
    assert_eq!(bench.dropped("expired"), 1);
    assert_eq!(bench.receive(THEIRS, 2, &at(now)).len(), 2);
    assert_eq!(bench.receive(THEIRS, 1, &at(now)), []);
    assert_eq!(bench.dropped("ourselves"), 1);
    assert_eq!(bench.receive("80.0.0.9:0", 3, &at(now)), []);
    assert_eq!(bench.dropped("no_port"), 1);
}

/// Runs a lookup until the bootnode is asked, and answers as it likes.
fn told(nodes: Vec<Neighbour>, from: &str) -> Bench {
    let mut bench = Bench::new(&[(2, from)]);
    let sent = bench.pass(0);
    let [(_, ping)] = &sent[..] else {
        panic!("it pings its bootnode once: {sent:?}");
    };
    let pong = bench.pong(ping.hash);
    bench.receive(from, 2, &pong);
    let ping = bench.ping();
    bench.receive(from, 2, &ping);
    assert!(bench.pass(499).is_empty(), "it does not pause");
    let sent = bench.pass(1);
    let [(_, find)] = &sent[..] else {
        panic!("no question after the pause: {sent:?}");
    };
    assert!(matches!(find.message, Message::FindNode { .. }));
    let expiration = bench.expiration();
    for part in nodes.chunks(12) {
        let answer = Message::Neighbours {
            nodes: part.to_vec(),
            expiration,
        };
        let (bytes, _) = answer.encode(&key(2));
        bench.input(Input::Datagram {
            from: address(from),
            bytes: &bytes,
        });
    }
    bench
}

fn neighbour(n: u16, at: &str) -> Neighbour {
    Neighbour {
        endpoint: Endpoint::new(address(at), 30303),
        public_key: key(n).public().to_bytes(),
    }
}

#[test]
fn neighbours_that_cannot_be_known_are_not_believed() {
    let mut off_curve = neighbour(10, "80.1.0.1:30303");
    off_curve.public_key[63] ^= 1;
    let mut nowhere = neighbour(11, "80.1.0.1:30303");
    nowhere.endpoint.ip = None;
    let mut bench = told(
        vec![
            neighbour(3, "80.1.1.1:30303"),
            neighbour(4, "80.1.2.1:1024"),
            neighbour(5, "80.1.3.1:443"),
            neighbour(6, "192.168.0.1:30303"),
            neighbour(7, "127.0.0.1:30303"),
            neighbour(8, "255.255.255.255:30303"),
            neighbour(9, "0.0.0.0:30303"),
            off_curve,
            nowhere,
        ],
        THEIRS,
    );
    bench.pass(500);
    let seen = |n: u16| bench.node.table().get(&key(n).public().node_id()).is_some();
    assert!(seen(2) && seen(3));
    assert!((4..12).all(|n| !seen(n)));
    let counters = bench.node.counters();
    let expected = [
        ("key", 1),
        ("lan", 1),
        ("loopback", 1),
        ("low_port", 2),
        ("no_address", 2),
        ("special_network", 1),
    ];
    assert_eq!(
        counters.disbelieved.into_iter().collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_neighbour_on_our_own_machine_may_name_others_there() {
    let mut bench = told(vec![neighbour(3, "127.0.0.1:40000")], "127.0.0.1:30304");
    bench.pass(500);
    assert!(bench.node.table().get(&key(3).public().node_id()).is_some());
}

#[test]
fn more_than_sixteen_neighbours_are_not_taken() {
    let nodes = (10..60)
        .map(|n| neighbour(n, &format!("80.1.{n}.1:30303")))
        .collect();
    let bench = told(nodes, THEIRS);
    assert_eq!(bench.node.table().len(), 1 + 16);
    assert!(bench.dropped("unsolicited") > 0);
}

#[test]
fn who_is_gone_leaves_the_table() {
    let mut bench = Bench::new(&[]);
    bench.prove(THEIRS, 2);
    assert_eq!(bench.node.counters().alive, 1);
    // One check in 10 s at the latest, and one more.
    bench.pass(22_000);
    assert_eq!(bench.node.counters().nodes, 0);
}

#[test]
fn a_newer_record_is_asked_for_and_its_port_taken() {
    let mut bench = Bench::new(&[]);
    let ping = bench.ping();
    let (bytes, _) = ping.encode(&key(2));
    let sent = bench.input(Input::Datagram {
        from: address(THEIRS),
        bytes: &bytes,
    });
    let Message::Pong {
        to,
        ping,
        expiration,
        ..
    } = bench.pong(sent[1].1.hash)
    else {
        panic!("no pong");
    };
    let pong = Message::Pong {
        to,
        ping,
        expiration,
        record_seq: Some(9),
    };
    let (bytes, _) = pong.encode(&key(2));
    let sent = bench.input(Input::Datagram {
        from: address(THEIRS),
        bytes: &bytes,
    });
    let [(_, request)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert!(matches!(request.message, Message::EnrRequest { .. }));
    let place = |port| Place::new(address(THEIRS).ip(), 30303, port);
    let response = |by: u16, record: &Record| {
        let message = Message::EnrResponse {
            request: request.hash,
            record: record.raw().to_vec(),
        };
        message.encode(&key(by)).0
    };
    bench.bytes(
        THEIRS,
        &response(2, &Record::sign(&key(2), 9, place(40404))),
    );
    let contact = bench.node.table().get(&key(2).public().node_id()).unwrap();
    assert_eq!(contact.tcp_port(), 40404);
    // A second answer is one too many.
    bench.bytes(
        THEIRS,
        &response(2, &Record::sign(&key(2), 10, place(50505))),
    );
    assert_eq!(bench.dropped("unsolicited"), 1);
}

#[test]
fn a_record_of_somebody_else_is_dropped() {
    let mut bench = Bench::new(&[]);
    let (bytes, _) = bench.ping().encode(&key(2));
    let sent = bench.input(Input::Datagram {
        from: address(THEIRS),
        bytes: &bytes,
    });
    let Message::Pong {
        to,
        ping,
        expiration,
        ..
    } = bench.pong(sent[1].1.hash)
    else {
        panic!("no pong");
    };
    let pong = Message::Pong {
        to,
        ping,
        expiration,
        record_seq: Some(9),
    };
    let (bytes, _) = pong.encode(&key(2));
    let sent = bench.input(Input::Datagram {
        from: address(THEIRS),
        bytes: &bytes,
    });
    let record = Record::sign(&key(3), 9, Place::new(address(THEIRS).ip(), 1, 40404));
    let response = Message::EnrResponse {
        request: sent[0].1.hash,
        record: record.raw().to_vec(),
    };
    bench.receive(THEIRS, 2, &response);
    assert_eq!(bench.dropped("record_of_another"), 1);
}

#[test]
fn a_flood_makes_neither_noise_nor_memory() {
    let mut bench = Bench::new(&[]);
    let find = bench.find();
    let (find, _) = find.encode(&key(2));
    for _ in 0..2000 {
        assert_eq!(bench.bytes(THEIRS, &find), []);
    }
    assert_eq!(
        bench.dropped("unproven") + bench.dropped("rate_of_address"),
        2000
    );
    assert!(bench.dropped("rate_of_address") > 1500);
    // Another address is heard all the same.
    bench.prove("80.9.9.9:30303", 3);
    // One address with many keys is pinged back a few times only.
    let mut back = 0;
    for by in 100..200 {
        let ping = bench.ping();
        let answers = bench.receive("80.7.7.7:30303", by, &ping);
        back += answers
            .iter()
            .filter(|m| matches!(m, Message::Ping { .. }))
            .count();
    }
    assert_eq!(back, 8);
    for garbage in [&find[..50], &find[..98], &[0; 1281][..], &[0; 1280]] {
        assert_eq!(bench.bytes(THEIRS, garbage), []);
    }
    assert!(bench.node.pings.len() <= 9);
}

#[test]
fn a_mapped_address_is_the_one_of_the_record() {
    let mut bench = Bench::new(&[]);
    bench.input(Input::Mapped {
        ip: Some([91, 2, 3, 4].into()),
        udp_port: 1111,
        tcp_port: 2222,
    });
    let record = bench.node.record();
    assert_eq!(record.seq(), 2);
    let enode = record.enode().unwrap();
    assert_eq!(
        (enode.tcp(), enode.udp_port()),
        (address("91.2.3.4:2222"), 1111)
    );
}

#[test]
fn a_record_of_an_earlier_run_is_continued() {
    let (now, place) = (
        Bench::new(&[]).now,
        Place::new([90, 0, 0, 1].into(), 30303, 30303),
    );
    let start = |record: Record, by: u16| {
        let config = Config {
            key: key(1),
            ip: Some([90, 0, 0, 1].into()),
            udp_port: 30303,
            tcp_port: 30303,
            bootnodes: vec![],
            seeds: vec![],
            record: Some(record),
        };
        let node = Node::new(now, config, [by as u8; 32]);
        (
            node.record().seq(),
            *node.record().public_key() == key(1).public(),
        )
    };
    assert_eq!(start(Record::sign(&key(1), 41, place), 1), (41, true));
    let elsewhere = Place::new([90, 0, 0, 2].into(), 30303, 30303);
    assert_eq!(start(Record::sign(&key(1), 41, elsewhere), 2), (42, true));
    assert_eq!(start(Record::sign(&key(2), 41, place), 3), (1, true));
}
