//! Datagrams by the million at the port of discovery: broken, old, forged, said again, and good ones of strangers.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use legacy::discv4::decode;
use legacy::discv4::endpoint::Endpoint;
use legacy::discv4::packet::Message;
use legacy::enode::Enode;
use legacy::enr::{Place, Record};
use legacy::identity::SecretKey;
use legacy::keccak::keccak256;
use serde_json::{Value, json};

use super::honest::{self, Pair, percentile, unix};
use super::inputs::Dice;
use super::report::{Report, seed, size};
use super::target::{Target, random_key};

/// How many datagrams the node must have seen.
pub(super) struct Size {
    datagrams: u64,
    long: bool,
}

impl Size {
    pub(super) const SHORT: Size = Size {
        datagrams: 10_000,
        long: false,
    };

    pub(super) fn from_env() -> Size {
        Size {
            datagrams: size("FERRY_ATTACK_INPUTS", 1_000_000),
            long: true,
        }
    }
}

pub(super) fn run(size: &Size) {
    let seed = seed("discovery");
    let mut report = Report::new("hostile-discv4");
    report.fact("seed", seed);
    let settings = json!({ "inbound_max": 200, "ban_for_s": 0, "discovery": true });
    let mut target = Target::start(&settings, None);
    let mut pair = Pair::with_discovery(&target.enode);
    let mut before = pair.collect(if size.long { 300 } else { 20 });
    attack(&mut target, seed ^ 1, Size::SHORT.datagrams);
    let (mut pongs_before, rss) = (pair.pongs(), target.rss());
    drop((pair.latencies(), pair.pongs()));
    let start = Instant::now();
    let sent = attack(&mut target, seed, size.datagrams);
    let took = start.elapsed();
    let growth = target.rss().saturating_sub(rss);
    let (mut during, mut pongs) = (pair.latencies(), pair.pongs());
    if !size.long {
        during.extend(pair.collect(10));
    }
    let counters = target.counters();
    report.fact("sent", sent.told());
    report.fact("seconds", took.as_secs_f64());
    report.fact("honest_before", honest::summary(&mut before));
    report.fact("honest_during", honest::summary(&mut during));
    report.fact("pongs_before_us", micros(&mut pongs_before));
    report.fact("pongs_during_us", micros(&mut pongs));
    report.fact("pongs_lost", pair.pongs_lost());
    report.fact("counters", counters["discovery"].clone());
    goals(&mut report, size, &target, &pair, growth, &sent);
    if size.long {
        let (slow, slower) = (percentile(&mut before, 99), percentile(&mut during, 99));
        let good = slower <= 2 * slow;
        let found = format!("{slow} ms, then {slower} ms");
        report.goal("honest p99 at most doubled (Whisper)", &found, good);
        let (slow, slower) = (
            percentile(&mut pongs_before, 99),
            percentile(&mut pongs, 99),
        );
        let good = slower <= 2 * slow.max(UNNOTICED_US);
        let found = format!("{slow} µs, then {slower} µs");
        report.goal("honest p99 at most doubled (discovery)", &found, good);
    }
    report.end();
}

fn goals(report: &mut Report, size: &Size, target: &Target, pair: &Pair, growth: u64, sent: &Sent) {
    let panics = target.panics();
    report.goal("panics = 0", &panics.to_string(), panics == 0);
    let lost = pair.lost();
    report.goal("honest peers lost = 0", &lost.to_string(), lost == 0);
    let max = if size.long { 32 } else { 128 } * 1024;
    let found = format!("{growth} of {max}");
    report.goal("RSS growth in KiB", &found, growth < max);
    let answers = sent.answers_to_strangers.load(Ordering::Relaxed);
    report.goal(
        "answers to questions of whom nobody knows = 0",
        &answers.to_string(),
        answers == 0,
    );
    let seen = sent.seen.load(Ordering::Relaxed);
    let found = format!("{seen} of {}", size.datagrams);
    report.goal("datagrams seen", &found, seen >= size.datagrams);
    let served = sent.served.load(Ordering::Relaxed);
    report.goal(
        "strangers that show that they are there are served",
        &format!("{served} answers"),
        served > 0,
    );
}

fn micros(values: &mut [u64]) -> Value {
    json!({
        "count": values.len(),
        "p50": percentile(values, 50),
        "p99": percentile(values, 99),
        "max": percentile(values, 100),
    })
}

/// What was sent, and what came of it.
#[derive(Default)]
struct Sent {
    kinds: [AtomicU64; KINDS],
    /// What the node says that it has seen.
    seen: AtomicU64,
    /// Datagrams to sockets that only ask and never pinged.
    answers_to_strangers: AtomicU64,
    /// Neighbours and records for those that answered the node's ping.
    served: AtomicU64,
    stop: AtomicBool,
}

impl Sent {
    fn told(&self) -> Value {
        let names = [
            "noise",
            "damaged",
            "said_again",
            "expired",
            "forged",
            "unasked_answers",
            "questions_of_the_unproven",
            "strangers",
        ];
        let counts = self.kinds.iter().map(|count| count.load(Ordering::Relaxed));
        names
            .into_iter()
            .map(str::to_owned)
            .zip(counts.map(Value::from))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// Sends until the node has seen so many.
fn attack(target: &mut Target, seed: u64, datagrams: u64) -> Arc<Sent> {
    let sent = Arc::new(Sent::default());
    let seen = |target: &mut Target| {
        target.counters()["discovery"]["received"]
            .as_u64()
            .expect("discovery is on")
    };
    let before = seen(target);
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let (node, sent) = (target.enode, Arc::clone(&sent));
            let dice = Dice::new(seed, u64::from(number));
            std::thread::spawn(move || Attacker::new(node, number, dice).run(&sent))
        })
        .collect();
    while sent.seen.load(Ordering::Relaxed) < datagrams {
        std::thread::sleep(Duration::from_millis(100));
        let dead = workers.iter().any(|worker| worker.is_finished());
        assert!(!dead, "an attacker gave up");
        sent.seen.store(seen(target) - before, Ordering::Relaxed);
    }
    sent.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
    sent
}

/// One address that answers pings, some that are made up for pings, some that ask without having shown anything.
struct Attacker {
    node: SocketAddr,
    key: SecretKey,
    there: UdpSocket,
    pinging: Vec<UdpSocket>,
    asking: Vec<UdpSocket>,
    good: Vec<Vec<u8>>,
    expired: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    questions: Vec<Vec<u8>>,
    dice: Dice,
}

impl Attacker {
    fn new(node: Enode, number: u8, mut dice: Dice) -> Attacker {
        let node = SocketAddr::new(node.tcp().ip(), node.udp_port());
        let socket = |third: u8, fourth: u8| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, third, fourth), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let forged = |third: u8| -> Vec<UdpSocket> {
            let each = 0..FORGED;
            each.map(|at| socket(third, 1 + number * FORGED + at))
                .collect()
        };
        let sign = |make: &mut dyn FnMut(&mut Dice) -> Message, dice: &mut Dice| -> Vec<Vec<u8>> {
            (0..PREPARED)
                .map(|_| make(dice).encode(&random_key()).0)
                .collect()
        };
        let later = u64::from(unix()) + 3600;
        let good = sign(&mut |dice| question(dice, node, later), &mut dice);
        let before = u64::from(unix()) - 3600;
        let expired = sign(
            &mut |dice| {
                let age = dice.below(3500) as u64;
                question(dice, node, before + age)
            },
            &mut dice,
        );
        Attacker {
            key: random_key(),
            there: socket(0, 2 + number),
            pinging: forged(1),
            asking: forged(2),
            good,
            expired,
            answers: sign(&mut |dice| answer(dice, later), &mut dice),
            questions: sign(&mut |dice| find(dice, later), &mut dice),
            node,
            dice,
        }
    }

    fn run(mut self, sent: &Sent) {
        while !sent.stop.load(Ordering::Relaxed) {
            for _ in 0..BURST {
                let kind = self.dice.below(KINDS);
                self.send(kind);
                sent.kinds[kind].fetch_add(1, Ordering::Relaxed);
            }
            self.listen(sent);
            std::thread::sleep(PAUSE);
        }
        // What was answered is there by now.
        std::thread::sleep(10 * PAUSE);
        self.listen(sent);
    }

    fn send(&mut self, kind: usize) {
        let dice = &mut self.dice;
        let pick = |some: &[Vec<u8>], dice: &mut Dice| some[dice.below(some.len())].clone();
        let mut from = &self.pinging;
        let bytes = match kind {
            0 => {
                let len = dice.below(1400);
                dice.bytes(len)
            }
            1 => {
                let mut bytes = pick(&self.good, dice);
                dice.damage(&mut bytes);
                if dice.below(4) > 0 {
                    mend(&mut bytes);
                }
                bytes
            }
            // The same few, again and again.
            2 => self.good[dice.below(4)].clone(),
            3 => pick(&self.expired, dice),
            4 => {
                let mut bytes = pick(&self.good, dice);
                let signature = dice.bytes(64);
                bytes[32..96].copy_from_slice(&signature);
                mend(&mut bytes);
                bytes
            }
            5 => pick(&self.answers, dice),
            6 => {
                from = &self.asking;
                pick(&self.questions, dice)
            }
            _ => {
                // From the address that answers: pings, and questions once the node knows it.
                let message = question(dice, self.node, u64::from(unix()) + 20);
                let (bytes, _) = message.encode(&self.key);
                let _ = self.there.send_to(&bytes, self.node);
                return;
            }
        };
        // A full buffer of the system loses it, as it does on any way.
        let _ = from[dice.below(from.len())].send_to(&bytes, self.node);
    }

    /// Answers the pings of the node, and counts.
    fn listen(&self, sent: &Sent) {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = self.there.recv_from(&mut buffer) {
            let packet = decode(&buffer[..len]).expect("the node sends good datagrams");
            match packet.message {
                Message::Ping { expiration, .. } => {
                    let pong = Message::Pong {
                        to: Endpoint::new(from, 0),
                        ping: packet.hash,
                        expiration,
                        record_seq: None,
                    };
                    let _ = self.there.send_to(&pong.encode(&self.key).0, from);
                }
                Message::Neighbours { .. } | Message::EnrResponse { .. } => {
                    sent.served.fetch_add(1, Ordering::Relaxed);
                }
                Message::Pong { .. } | Message::FindNode { .. } | Message::EnrRequest { .. } => {}
            }
        }
        for socket in &self.pinging {
            while socket.recv_from(&mut buffer).is_ok() {}
        }
        for socket in &self.asking {
            while socket.recv_from(&mut buffer).is_ok() {
                sent.answers_to_strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A ping, a findnode or a request for a record.
fn question(dice: &mut Dice, node: SocketAddr, expiration: u64) -> Message {
    if dice.below(2) > 0 {
        return find(dice, expiration);
    }
    Message::Ping {
        version: 4,
        from: Endpoint::new(SocketAddr::from(([127, 0, 0, 9], 9)), 9),
        to: Endpoint::new(node, 0),
        expiration,
        record_seq: (dice.below(2) > 0).then_some(dice.below(9) as u64),
    }
}

fn find(dice: &mut Dice, expiration: u64) -> Message {
    if dice.below(3) > 0 {
        let target = dice.bytes(64).try_into().unwrap();
        return Message::FindNode { target, expiration };
    }
    Message::EnrRequest { expiration }
}

/// To a question that nobody asked.
fn answer(dice: &mut Dice, expiration: u64) -> Message {
    let hash = dice.bytes(32).try_into().unwrap();
    match dice.below(3) {
        0 => Message::Pong {
            to: Endpoint::new(SocketAddr::from(([127, 0, 0, 1], 1)), 1),
            ping: hash,
            expiration,
            record_seq: None,
        },
        1 => Message::Neighbours {
            nodes: Vec::new(),
            expiration,
        },
        _ => Message::EnrResponse {
            request: hash,
            record: Record::sign(&random_key(), 1, Place::default())
                .raw()
                .to_vec(),
        },
    }
}

/// Puts the hash right, so that what is behind it is looked at.
fn mend(datagram: &mut [u8]) {
    if let Some((hash, rest)) = datagram.split_first_chunk_mut::<32>() {
        *hash = keccak256(rest);
    }
}

const KINDS: usize = 8;
/// Attackers at the same time.
const WORKERS: u8 = 8;
/// Addresses that each makes up of a kind.
const FORGED: u8 = 8;
/// Datagrams of a kind that are signed beforehand.
const PREPARED: usize = 128;
/// Datagrams at once, and the pause after them: at most 8,000 a second of all workers. Those that come at once fit what the
/// system keeps for the node; beyond what a machine can take in, datagrams are lost whatever a node does.
const BURST: usize = 8;
const PAUSE: Duration = Duration::from_millis(8);
/// A pong that is quicker than this is as good as any: nodes wait 500 ms for one.
const UNNOTICED_US: u64 = 5_000;
