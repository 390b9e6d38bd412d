//! Discovery: our packets at go-ethereum's socket, its questions at ours, and both finding each other through a third node.

use std::any::Any;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use legacy::discv4::endpoint::{Endpoint, Neighbour};
use legacy::discv4::packet::{Message, Packet, decode};
use legacy::enode::Enode;
use legacy::enr::Record;
use legacy::identity::SecretKey;
use legacy::rlpx::Direction;
use legacy::shell::discovery::Config;
use serde_json::{Value, json};

use super::PATIENCE;
use super::ours::Ours;
use crate::devnet::wait_until;
use crate::driver::Driver;

/// A node of go-ethereum that discovers.
struct Finder {
    driver: Driver,
    enode: Enode,
    record: Record,
    id: String,
}

impl Finder {
    fn start(arguments: &[&str]) -> Self {
        let (driver, ready) = Driver::go("geth", "discv4peer", arguments);
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        Self {
            driver,
            enode: text("enode").parse().expect("an enode"),
            record: text("record").parse().expect("a record"),
            id: text("node_id"),
        }
    }

    fn ask(&mut self, op: &str, about: &str) -> Value {
        self.driver.call(op, json!({ "enode": about }))
    }

    /// What it knows of a peer, if that is connected.
    fn peer(&mut self, id: &str) -> Option<Value> {
        let answer = self.driver.call("peers", json!({}));
        let peers = answer["peers"].as_array().expect("a list");
        peers.iter().find(|peer| peer["id"] == id).cloned()
    }
}

/// A node of ours that starts from these.
fn ours(number: u8, bootnodes: &[&str], dials: bool) -> Ours {
    let bootnodes = bootnodes
        .iter()
        .map(|text| text.parse().expect("an enode"))
        .collect();
    Ours::start(number, |config| {
        config.discovery = Some(Config {
            bootnodes,
            ..Config::default()
        });
        if !dials {
            config.limits.outbound_max = 0;
        }
    })
}

/// A socket of the test that speaks by our packets.
struct Raw {
    socket: UdpSocket,
    key: SecretKey,
    to: SocketAddr,
}

impl Raw {
    fn new(number: u8, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout that is not zero");
        let key = SecretKey::from_bytes(&[number; 32]).expect("any small number is a key");
        Self { socket, key, to }
    }

    fn send(&self, message: &Message) -> [u8; 32] {
        let (bytes, hash) = message.encode(&self.key);
        self.socket.send_to(&bytes, self.to).expect("it is sent");
        hash
    }

    fn receive(&self) -> Packet {
        let mut bytes = [0; 2000];
        let (len, from) = self.socket.recv_from(&mut bytes).expect("an answer");
        assert_eq!(from, self.to);
        decode(&bytes[..len]).expect("what go-ethereum sends is good")
    }

    fn ping(&self) -> Message {
        let own = self.socket.local_addr().expect("it is bound");
        Message::Ping {
            version: 4,
            from: Endpoint::new(own, own.port()),
            to: Endpoint::new(self.to, 0),
            expiration: soon(),
            record_seq: Some(1),
        }
    }

    fn pong(&self, ping: [u8; 32]) -> Message {
        Message::Pong {
            to: Endpoint::new(self.to, 0),
            ping,
            expiration: soon(),
            record_seq: Some(1),
        }
    }
}

fn soon() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs() + 20
}

/// A node that answers everything by the rules, and names whom it likes.
struct Liar {
    socket: UdpSocket,
    key: SecretKey,
    asked: bool,
}

impl Liar {
    fn new(number: u8, at: &str) -> Self {
        let socket = UdpSocket::bind(at).expect("a free port");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout that is not zero");
        let key = SecretKey::from_bytes(&[number; 32]).expect("any small number is a key");
        Self {
            socket,
            key,
            asked: false,
        }
    }

    fn neighbour(&self) -> Neighbour {
        let own = self.socket.local_addr().expect("it is bound");
        Neighbour {
            endpoint: Endpoint::new(own, own.port()),
            public_key: self.key.public().to_bytes(),
        }
    }

    fn enode(&self) -> String {
        let own = self.socket.local_addr().expect("it is bound");
        Enode::new(self.key.public(), own).to_string()
    }

    /// Answers what has come, if anything has.
    fn turn(&mut self, names: &[Neighbour]) {
        let mut bytes = [0; 2000];
        let Ok((len, from)) = self.socket.recv_from(&mut bytes) else {
            return;
        };
        let packet = decode(&bytes[..len]).expect("what it sends is good");
        let own = self.neighbour().endpoint;
        let to = Endpoint::new(from, 0);
        let answers = match packet.message {
            Message::Ping { .. } => vec![
                Message::Pong {
                    to,
                    ping: packet.hash,
                    expiration: soon(),
                    record_seq: None,
                },
                Message::Ping {
                    version: 4,
                    from: own,
                    to,
                    expiration: soon(),
                    record_seq: None,
                },
            ],
            Message::FindNode { .. } => {
                self.asked = true;
                vec![Message::Neighbours {
                    nodes: names.to_vec(),
                    expiration: soon(),
                }]
            }
            _ => Vec::new(),
        };
        for answer in answers {
            let (bytes, _) = answer.encode(&self.key);
            self.socket.send_to(&bytes, from).expect("it is sent");
        }
    }
}

/// Case 50, the same for both: of three that are named, the node at a low port and the one without a key hear nothing.
#[test]
fn neighbours_at_low_ports_and_off_the_curve_are_ignored() {
    let run = |number: u8, start: &dyn Fn(&str) -> Box<dyn Any>| {
        let mut boot = Liar::new(70 + number, "127.0.0.1:0");
        let mut witness = Liar::new(80 + number, "127.0.0.1:0");
        let at = format!("127.0.0.{}:1024", 9 + number);
        let low = Liar::new(90 + number, &at);
        let hidden = Liar::new(100 + number, "127.0.0.1:0");
        let mut off_curve = hidden.neighbour();
        off_curve.public_key[63] ^= 1;
        let names = [low.neighbour(), off_curve, witness.neighbour()];
        let _node = start(&boot.enode());
        wait_until("a question to whom it was told of", 2 * PATIENCE, || {
            boot.turn(&names);
            witness.turn(&[]);
            witness.asked
        });
        // What it asks the witness again comes after whatever it would have asked the others.
        witness.asked = false;
        boot.asked = false;
        wait_until("another question", 2 * PATIENCE, || {
            boot.turn(&names);
            witness.turn(&[]);
            witness.asked || boot.asked
        });
        for unheard in [low, hidden] {
            let heard = unheard.socket.recv_from(&mut [0; 2000]);
            assert!(heard.is_err(), "{heard:?}");
        }
    };
    run(0, &|boot| Box::new(ours(67, &[boot], true)));
    run(1, &|boot| {
        Box::new(Finder::start(&["--alone", "--bootnodes", boot]))
    });
}

/// Case 49, from our side of the wire.
#[test]
fn geth_answers_after_mutual_pings_and_not_before() {
    let geth = Finder::start(&["--alone"]);
    let raw = Raw::new(61, geth.enode.udp());
    let find = || Message::FindNode {
        target: raw.key.public().to_bytes(),
        expiration: soon(),
    };
    raw.send(&find());
    raw.send(&Message::EnrRequest { expiration: soon() });
    let ping = raw.send(&raw.ping());
    // What comes first is the answer to what was sent last.
    let (mut ponged, mut pinged) = (false, false);
    while !(ponged && pinged) {
        let packet = raw.receive();
        assert_eq!(&packet.sender, geth.enode.public_key());
        match packet.message {
            Message::Pong {
                ping: which, to, ..
            } => {
                assert_eq!(which, ping);
                let own = raw.socket.local_addr().expect("it is bound");
                assert_eq!(to, Endpoint::new(own, own.port()));
                ponged = true;
            }
            Message::Ping {
                version,
                record_seq,
                ..
            } => {
                assert_eq!((version, record_seq), (4, Some(geth.record.seq())));
                raw.send(&raw.pong(packet.hash));
                pinged = true;
            }
            other => panic!("answered before the proof: {other:?}"),
        }
    }
    raw.send(&find());
    let Message::Neighbours { nodes, .. } = raw.receive().message else {
        panic!("no neighbours");
    };
    assert!(nodes.len() <= 12);
    let request = raw.send(&Message::EnrRequest { expiration: soon() });
    let Message::EnrResponse {
        request: which,
        record,
    } = raw.receive().message
    else {
        panic!("no record");
    };
    assert_eq!(which, request);
    let record = Record::decode(&record).expect("its signature verifies");
    assert_eq!(record, geth.record);
    assert_eq!(
        record.enode().map(|enode| enode.udp()),
        Some(geth.enode.udp())
    );
}

/// Case 49, from its side.
#[test]
fn geth_gets_answers_from_us() {
    let ours = ours(62, &[], true);
    let mut geth = Finder::start(&["--alone"]);
    let enode = ours.enode();
    geth.ask("ping", &enode);
    let answer = geth.ask("record", &enode);
    let record = ours.discovery().record;
    assert_eq!(answer["record"], record.to_string());
    assert_eq!(answer["enode"], enode);
    // It takes our record wherever it takes an enode, and finds us by a walk that starts at us.
    let mut walker = Finder::start(&["--alone", "--bootnodes", &record.to_string()]);
    let nodes = walker.ask("lookup", &enode);
    let nodes = nodes["nodes"].as_array().expect("a list");
    assert!(nodes.contains(&json!(enode)), "{nodes:?}");
    let mut dropped = ours.discovery().counters.dropped;
    // On a busy machine an answer may come too late.
    dropped.remove("unsolicited");
    assert!(
        dropped.is_empty(),
        "something of go-ethereum is dropped: {dropped:?}"
    );
}

#[test]
fn geth_finds_us_through_a_third_node_and_dials_us() {
    let boot = ours(63, &[], true);
    let ours = ours(64, &[&boot.enode()], false);
    let mut geth = Finder::start(&["--bootnodes", &boot.enode()]);
    wait_until("geth's connection to us", 2 * PATIENCE, || {
        geth.peer(&ours.id()).is_some() && ours.knows(&geth.id)
    });
    let peer = geth.peer(&ours.id()).expect("it is connected");
    assert_eq!(peer["inbound"], false, "{peer}");
    assert_eq!(ours.peer(&geth.id).direction, Direction::Accepted);
}

#[test]
fn we_find_geth_through_a_third_node_and_dial_it() {
    let boot = ours(65, &[], false);
    let mut geth = Finder::start(&["--no-dial", "--bootnodes", &boot.enode()]);
    let ours = ours(66, &[&boot.enode()], true);
    wait_until("our connection to geth", 2 * PATIENCE, || {
        geth.peer(&ours.id()).is_some() && ours.knows(&geth.id)
    });
    let peer = geth.peer(&ours.id()).expect("it is connected");
    assert_eq!(peer["inbound"], true, "{peer}");
    assert_eq!(ours.peer(&geth.id).direction, Direction::Dialled);
}
