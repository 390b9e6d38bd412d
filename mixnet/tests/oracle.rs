//! Two readings of the packet format against each other: this crate, and `tests/oracle/sphinx.py`.
//!
//! What one of them builds the other peels, hop by hop, and both must find the same bytes. Python with the package `cryptography`
//! is needed; the test fails and says so when it is missing. `FERRY_PYTHON` names another interpreter than `python3`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mixnet::geometry::MESSAGE_LEN;
use mixnet::sphinx::{ReplyKey, peel_up_to};
use mixnet::{
    Address, Hop, Packet, Peeled, PeerKey, ReplayStore, SealedReply, SecretKey, Surb, SurbId,
    SurbKeys, Transport, build, make_surb,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Random packets in each direction, and as many reply blocks.
const ROUNDS: usize = 60;

#[test]
fn ours_builds_and_the_oracle_peels() {
    let mut oracle = Oracle::start();
    let mut cases = Cases::new(1);
    for round in 0..ROUNDS {
        let case = cases.next();
        let (packet, entry) = case.build();
        // Both build the same bytes, too.
        let built = oracle.ask("build", case.build_input());
        assert_eq!(
            built["packet"],
            hex::encode(packet.as_bytes()),
            "round {round}"
        );
        assert_eq!(built["entry_address"], hex::encode(entry.to_bytes()));

        let mut packet = hex::encode(packet.as_bytes());
        for (i, key) in case.keys.iter().enumerate() {
            let input = json!({ "y": hex::encode(key), "packet": packet, "hops_max": 5 });
            let peeled = oracle.ask("peel", input);
            if let Some(next) = case.path.get(i + 1) {
                assert_eq!(peeled["type"], "forward", "round {round}");
                assert_eq!(peeled["next_address"], hex::encode(next.address.to_bytes()));
                assert_eq!(peeled["delay_ms"], case.delays[i]);
                packet = peeled["packet"].as_str().unwrap().to_owned();
            } else {
                assert_eq!(peeled["type"], "exit", "round {round}");
                assert_eq!(peeled["payload"], hex::encode(&case.message[..]));
                assert_eq!(
                    peeled["destination"],
                    hex::encode(case.destination.to_bytes())
                );
            }
        }
    }
}

/// How far two senders can be told apart, by the simulation of this crate and by one in plain Python: at marked outputs and at all.
#[test]
fn the_oracle_tells_senders_apart_as_ours_does() {
    use mixnet::sim::anonymity::network::{Compared, Shape, two_senders};

    const SECONDS: f64 = 300.0;
    let shape = Shape {
        rate: 200.0,
        width: 3,
        layers: 3,
        mu: 10.0,
    };
    let run = |seed| two_senders(shape, 100, SECONDS, seed, std::time::Instant::now());
    let runs: Vec<Compared> = (1..=3).map(run).collect();
    let output = python()
        .arg(root().join("tests/oracle/epsilon.py"))
        .args(["10", "3", "300", "1", "2", "3"])
        .output()
        .unwrap();
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mean = |of: fn(&Compared) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    for (which, ours) in [
        ("labelled", mean(|run| run.marked.mean)),
        ("all", mean(|run| run.all.mean)),
    ] {
        let other = theirs[which]["mean"].as_f64().unwrap();
        // A mean of three runs varies by some four per cent.
        assert!(
            (ours / other - 1.0).abs() < 0.15,
            "{which}: {ours}, {other}"
        );
    }
}

#[test]
fn the_oracle_builds_and_ours_peels() {
    let mut oracle = Oracle::start();
    let mut cases = Cases::new(2);
    for round in 0..ROUNDS {
        let case = cases.next();
        let built = oracle.ask("build", case.build_input());
        match case.walk(packet(&built)) {
            Peeled::Exit {
                destination,
                message,
            } => {
                assert_eq!(destination, case.destination, "round {round}");
                assert_eq!(*message, *case.message, "round {round}");
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[test]
fn replies_both_ways() {
    let mut oracle = Oracle::start();
    let mut cases = Cases::new(3);
    for round in 0..ROUNDS {
        let case = cases.next();
        let (surb, keys) = case.surb();
        let made = oracle.ask("surb", case.surb_input());
        assert_eq!(made["surb"], hex::encode(surb.to_bytes()), "round {round}");

        // Our block, the oracle's reply, opened by us.
        let reply = oracle.ask(
            "use",
            json!({ "block": made["surb"], "payload": made_payload(&case) }),
        );
        let delta = case.reply(packet(&reply));
        assert_eq!(keys.open(delta).unwrap(), case.message, "round {round}");

        // The oracle's block, our reply, opened by the oracle.
        let block = hex::decode(made["surb"].as_str().unwrap()).unwrap();
        let (sealed, _) = Surb::from_bytes(&block).unwrap().seal(&case.message);
        assert_eq!(
            made["packet"],
            hex::encode(sealed.as_bytes()),
            "round {round}"
        );
        let opened = oracle.ask(
            "open",
            json!({
                "payload_keys": made["payload_keys"],
                "reply_key": hex::encode(case.reply_key),
                "delta": hex::encode(*case.reply(sealed)),
            }),
        );
        assert_eq!(opened["payload"], made_payload(&case), "round {round}");
    }
}

#[test]
fn the_vectors_are_what_the_generator_writes() {
    let made = std::env::temp_dir().join(format!("ferry-vectors-{}", std::process::id()));
    std::fs::create_dir_all(&made).unwrap();
    let status = python()
        .arg(root().join("tests/oracle/sphinx_vectors.py"))
        .arg(&made)
        .status();
    assert!(status.expect(MISSING).success(), "{MISSING}");
    for name in ["peel.json", "build.json", "surb.json"] {
        let fresh = std::fs::read(made.join(name)).unwrap();
        let kept = std::fs::read(root().join("vectors/mix").join(name)).unwrap();
        assert!(
            fresh == kept,
            "vectors/mix/{name} is not what tests/oracle/sphinx_vectors.py writes"
        );
    }
    std::fs::remove_dir_all(&made).unwrap();
}

/// One random path with everything that a packet and a reply along it need.
struct Case {
    keys: Vec<[u8; 32]>,
    path: Vec<Hop>,
    delays: Vec<u16>,
    secret: [u8; 32],
    destination: Address,
    message: Box<[u8; MESSAGE_LEN]>,
    id: [u8; 16],
    reply_key: [u8; 16],
}

struct Cases {
    rng: ChaCha20Rng,
    count: usize,
}

impl Cases {
    fn new(seed: u64) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        Self { rng, count: 0 }
    }

    /// Path lengths take turns; everything else is random.
    fn next(&mut self) -> Case {
        self.count += 1;
        let keys: Vec<[u8; 32]> = (0..=self.count % 5).map(|_| self.bytes()).collect();
        let path: Vec<_> = keys.iter().map(|key| self.hop(key)).collect();
        let mut message = Box::new([0; MESSAGE_LEN]);
        self.rng.fill_bytes(&mut message[..]);
        Case {
            delays: path[1..]
                .iter()
                .map(|_| self.rng.next_u32() as u16 | 1)
                .collect(),
            destination: match self.count % 3 {
                0 => self.address(),
                _ => Address::NONE,
            },
            secret: self.bytes(),
            id: self.bytes(),
            reply_key: self.bytes(),
            keys,
            path,
            message,
        }
    }

    fn hop(&mut self, key: &[u8; 32]) -> Hop {
        Hop {
            key: SecretKey::from_bytes(*key).public(),
            address: self.address(),
        }
    }

    fn address(&mut self) -> Address {
        let ip = Ipv4Addr::from_bits(self.rng.next_u32());
        let port = self.rng.next_u32() as u16;
        let transport = match self.rng.next_u32() % 2 {
            0 => Transport::Tcp,
            _ => Transport::Quic,
        };
        match self.rng.next_u32() % 3 {
            0 => Address::circuit(ip, transport, port, self.peer(), self.peer()),
            _ => Address::direct(ip, transport, port, self.peer()),
        }
    }

    fn peer(&mut self) -> PeerKey {
        let mut key = self.bytes();
        key[0] = 2 + key[0] % 2;
        PeerKey::from_bytes(key).unwrap()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

impl Case {
    fn build(&self) -> (Packet, Address) {
        build(
            &self.path,
            &self.delays,
            &self.secret,
            &self.message,
            &self.destination,
        )
        .unwrap()
    }

    fn surb(&self) -> (Surb, SurbKeys) {
        let id = SurbId::from_bytes(self.id).unwrap();
        let key = ReplyKey::from_bytes(self.reply_key);
        make_surb(&self.path, &self.delays, &self.secret, id, key).unwrap()
    }

    /// What the last hop finds in a packet that we peel at each hop.
    fn walk(&self, mut packet: Packet) -> Peeled {
        for (i, key) in self.keys.iter().enumerate() {
            let key = SecretKey::from_bytes(*key);
            let mut replay = ReplayStore::new([0; 16]);
            match peel_up_to(5, &key, packet, &mut replay).unwrap() {
                Peeled::Forward {
                    next,
                    delay_ms_mean,
                    packet: inner,
                } => {
                    assert_eq!(next, self.path[i + 1].address);
                    assert_eq!(delay_ms_mean, self.delays[i]);
                    packet = inner;
                }
                end => return end,
            }
        }
        panic!("no hop was the last one");
    }

    fn reply(&self, packet: Packet) -> SealedReply {
        match self.walk(packet) {
            Peeled::Reply { id, delta } => {
                assert_eq!(id.as_bytes(), &self.id);
                delta
            }
            other => panic!("not a reply: {other:?}"),
        }
    }

    fn build_input(&self) -> Value {
        json!({
            "path": self.path_json(),
            "delays": self.delays,
            "x": hex::encode(self.secret),
            "destination": hex::encode(self.destination.to_bytes()),
            "payload": made_payload(self),
        })
    }

    fn surb_input(&self) -> Value {
        json!({
            "path": self.path_json(),
            "delays": self.delays,
            "x": hex::encode(self.secret),
            "reply_id": hex::encode(self.id),
            "reply_key": hex::encode(self.reply_key),
            "payload": made_payload(self),
        })
    }

    fn path_json(&self) -> Vec<Value> {
        let hop = |hop: &Hop| {
            json!({
                "public_key": hex::encode(hop.key.as_bytes()),
                "address": hex::encode(hop.address.to_bytes()),
            })
        };
        self.path.iter().map(hop).collect()
    }
}

fn made_payload(case: &Case) -> String {
    hex::encode(&case.message[..])
}

fn packet(answer: &Value) -> Packet {
    let packet = hex::decode(answer["packet"].as_str().unwrap()).unwrap();
    Packet::from_slice(&packet).unwrap()
}

/// The Python process, one request and one answer at a time.
struct Oracle {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let mut child = python()
            .arg(root().join("tests/oracle/sphinx.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(MISSING);
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            requests,
            answers,
        }
    }

    /// The output, which must not be a drop.
    fn ask(&mut self, op: &str, input: Value) -> Value {
        let request = json!({ "op": op, "input": input });
        let pipe = self.requests.as_mut().unwrap();
        writeln!(pipe, "{request}").expect(MISSING);
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "{MISSING}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["output"].is_object(), "{op}: {answer}");
        answer["output"].clone()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input ends the process.
        self.requests = None;
        let _ = self.child.wait();
    }
}

fn python() -> Command {
    let name = std::env::var_os("FERRY_PYTHON").unwrap_or_else(|| "python3".into());
    let mut python = Command::new(name);
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

const MISSING: &str = "the oracle does not run: install Python 3.10 or newer with the package `cryptography` \
    (`apt install python3 python3-cryptography`), or set FERRY_PYTHON to an interpreter that has it";
