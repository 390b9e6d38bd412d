//! The operations that geth's own Go benchmarks measure, side by side with those.
//!
//! `cargo bench -p legacy --bench compare -- open|pow|rlpx [--geth FILE] [--out FILE]`. The file is what
//! `go test -bench … -count 5` printed; of both sides the best of five counts. A table goes to standard output, JSON to the
//! other file.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use legacy::identity::SecretKey;
use legacy::keccak::{Hasher, side_by_side};
use legacy::now::Now;
use legacy::rlpx::Direction;
use legacy::rlpx::capability::SHH;
use legacy::rlpx::frame::{Egress, Ingress};
use legacy::rlpx::secrets::{Exchange, Secrets};
use legacy::rlpx::session::{Config, Input, Output, Session};
use legacy::shh::filter::{Filter, Filters, Via};
use legacy::shh::message::Padding;
use legacy::shh::pow::Search;
use legacy::shh::seal::{OpenKey, SealTo, SymKey, open_each, seal};
use legacy::shh::{Draft, Envelope, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// One line of the table: nanoseconds for one operation, ours and perhaps geth's.
struct Row {
    name: String,
    ns: f64,
    geth_ns: Option<f64>,
    note: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let geth = match value("--geth") {
        Some(file) => std::fs::read_to_string(file)?,
        None => String::new(),
    };
    let which = args.first().map_or("", String::as_str);
    let rows = match which {
        "open" => open(&geth),
        "pow" => pow(&geth),
        "rlpx" => rlpx(),
        // `cargo bench` runs every bench without arguments.
        _ => return Ok(()),
    };
    println!("| operation | µs | geth, µs | times faster | |");
    println!("|---|--:|--:|--:|---|");
    for row in &rows {
        let (theirs, ratio) = row.geth_ns.map_or_else(Default::default, |geth| {
            (
                format!("{:.2}", geth / 1e3),
                format!("{:.1}", geth / row.ns),
            )
        });
        let (name, ours) = (&row.name, row.ns / 1e3);
        println!("| {name} | {ours:.3} | {theirs} | {ratio} | {} |", row.note);
    }
    if let Some(file) = value("--out") {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| json!({"operation": row.name, "ns": row.ns, "geth_ns": row.geth_ns, "note": row.note}))
            .collect();
        let all = json!({"bench": which, "lanes": side_by_side(), "results": rows});
        std::fs::write(file, format!("{all:#}\n"))?;
    }
    Ok(())
}

/// Nanoseconds of one call: the best mean of five runs.
fn time<T>(mut call: impl FnMut() -> T) -> f64 {
    let run = |call: &mut dyn FnMut() -> T| {
        let (start, mut calls) = (Instant::now(), 0u32);
        while start.elapsed() < RUN {
            black_box(call());
            calls += 1;
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..5).map(|_| run(&mut call)).fold(f64::MAX, f64::min)
}

/// The best line of a Go benchmark.
fn of_geth(output: &str, name: &str) -> Option<f64> {
    let lines = output.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let found = words.next()?.split('-').next()?;
        let ns = words.nth(1)?.parse::<f64>().ok()?;
        (found == name).then_some(ns)
    });
    lines.min_by(f64::total_cmp)
}

fn row(name: &str, ns: f64, geth: &str, bench: &str) -> Row {
    Row {
        name: name.to_owned(),
        ns,
        geth_ns: of_geth(geth, bench),
        note: String::new(),
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).expect("a small number is in range")
}

fn sealed(to: SealTo<'_>, payload: &[u8]) -> Vec<u8> {
    seal(to, payload, Padding::Random, Some(&secret(3)), &mut rng()).expect("a short payload")
}

fn open(geth: &str) -> Vec<Row> {
    let (key, other) = (SymKey::generate(&mut rng()), [9; 32]);
    let data = sealed(SealTo::Symmetric(&key), &[7; PAYLOAD_LEN]);
    let wrong = SymKey::from_bytes(&other).expect("not zero");
    let right = OpenKey::Symmetric(key.clone());
    let wrong = OpenKey::Symmetric(wrong);
    let mut rows = vec![
        row(
            "open, symmetric",
            time(|| right.open(&data)),
            geth,
            "BenchmarkDecryptionSymValid",
        ),
        Row {
            note: "geth's own bench gives a key of a wrong length and decrypts nothing".into(),
            ..row("refuse, symmetric", time(|| wrong.open(&data)), "", "")
        },
    ];
    rows.push(together(&right, SealTo::Symmetric(&key), geth));
    let public = secret(5).public();
    let data = sealed(SealTo::Public(&public), &[7; PAYLOAD_LEN]);
    let (right, wrong) = (OpenKey::Private(secret(5)), OpenKey::Private(secret(6)));
    rows.push(row(
        "open, asymmetric",
        time(|| right.open(&data)),
        geth,
        "BenchmarkDecryptionAsymValid",
    ));
    rows.push(together(&right, SealTo::Public(&public), geth));
    rows.push(row(
        "refuse, asymmetric",
        time(|| wrong.open(&data)),
        geth,
        "BenchmarkDecryptionAsymInvalid",
    ));
    for (name, to, bench) in [
        (
            "seal with work, symmetric",
            SealTo::Symmetric(&key),
            "BenchmarkEncryptionSym",
        ),
        (
            "seal with work, asymmetric",
            SealTo::Public(&public),
            "BenchmarkEncryptionAsym",
        ),
    ] {
        let mut payload = [7_u8; PAYLOAD_LEN];
        let ns = time(|| {
            payload[0] = payload[0].wrapping_add(1);
            mine(&sealed(to, &payload), TTL, 0.001)
        });
        rows.push(row(name, ns, geth, bench));
    }
    rows.extend([1, 100, 10_000].map(unmatched));
    rows
}

/// One of eight that are opened together, each signed by somebody else, as the filters of a node do it while more wait.
fn together(key: &OpenKey, to: SealTo<'_>, geth: &str) -> Row {
    let data: Vec<Vec<u8>> = (0..8)
        .map(|number| {
            let (signer, mut rng) = (secret(20 + number), ChaCha20Rng::from_seed([number; 32]));
            let payload = [number; PAYLOAD_LEN];
            seal(to, &payload, Padding::Random, Some(&signer), &mut rng).expect("a short payload")
        })
        .collect();
    let sealed: Vec<(&OpenKey, &[u8])> = data.iter().map(|data| (key, data.as_slice())).collect();
    let (kind, bench) = match to {
        SealTo::Symmetric(_) => ("symmetric", "BenchmarkDecryptionSymValid"),
        SealTo::Public(_) => ("asymmetric", "BenchmarkDecryptionAsymValid"),
    };
    let ns = time(|| {
        let opened = open_each(&sealed);
        assert!(opened.iter().all(Result::is_ok), "it is the right key");
        opened
    });
    row(
        &format!("open, {kind}, eight together"),
        ns / 8.0,
        geth,
        bench,
    )
}

/// An envelope that is for nobody here.
fn unmatched(count: u32) -> Row {
    let mut filters = Filters::new();
    for number in 0..count {
        let mut bytes = [1; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let key = SymKey::from_bytes(&bytes).expect("not zero");
        let filter = Filter {
            key: OpenKey::Symmetric(key),
            topics: BTreeSet::from([Topic::new(number.to_be_bytes())]),
            signer: None,
            min_pow: 0.0,
            direct: false,
        };
        filters.install(filter).expect("there is room");
    }
    let topic = Topic::new(u32::MAX.to_be_bytes());
    let draft = Draft::new(UNIX_S, TTL, topic, &[7; 512]);
    let envelope: Arc<Envelope> = Arc::new(draft.finish(0));
    row(
        &format!("no match among {count} topic filters"),
        time(|| filters.open(&envelope, Via::Pool)),
        "",
        "",
    )
}

fn mine(data: &[u8], ttl: u32, target: f64) -> u64 {
    Draft::new(UNIX_S, ttl, Topic::default(), data)
        .canonical_search(target)
        .run(u64::MAX, || false)
        .expect("a few bits")
}

fn pow(geth: &str) -> Vec<Row> {
    let key = SymKey::generate(&mut rng());
    let mut payload = [0_u8; 32];
    let mut next = || {
        payload[0] = payload[0].wrapping_add(1);
        if payload[0] == 0 {
            payload[1] = payload[1].wrapping_add(1);
        }
        mine(&sealed(SealTo::Symmetric(&key), &payload), 1, 10.0)
    };
    let whole = row(
        "seal 32 B with 12 zero bits",
        time(&mut next),
        geth,
        "BenchmarkPoW",
    );
    let prefix = Draft::new(UNIX_S, TTL, Topic::default(), &[7; 284]).short_rlp();
    let search = Search::new(&prefix, 256);
    let tries = |ns: f64| Row {
        note: format!("{:.1} million tries/s", 1e3 / ns),
        ..row("", ns, "", "")
    };
    let per_try = time(|| search.look(0, 8_192)) / 8_192.0;
    let mut sponge = Hasher::new();
    sponge.absorb(&prefix);
    let mut nonce = 0u64;
    let plain = time(|| {
        let mut sponge = sponge.clone();
        nonce += 1;
        sponge.absorb(&nonce.to_be_bytes());
        sponge.digest()
    });
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let budget = 4_000_000;
    let all = time(|| legacy::shell::work::search(&search, cores, budget, || false)) / 4e6;
    vec![
        whole,
        Row {
            name: "one try".into(),
            ..tries(per_try)
        },
        Row {
            name: "one try, one at a time".into(),
            ..tries(plain)
        },
        Row {
            name: format!("one try, {cores} workers"),
            ..tries(all)
        },
    ]
}

fn rlpx() -> Vec<Row> {
    let handshake = time(meet);
    let note = format!("{:.0}/s with both ends on one core", 1e9 / handshake);
    let mut rows = vec![Row {
        note,
        ..row("handshake, both ends up to the Hellos", handshake, "", "")
    }];
    for len in [540, 4_096, 35_000, 262_144] {
        let mut payload = vec![0; len];
        rng().fill_bytes(&mut payload);
        let (mut egress, mut ingress) = halves();
        let seal = time(|| egress.seal(&[0x11], &payload).expect("short enough"));
        let (mut sender, _) = halves();
        // Opening needs frames in their order, so both are timed and the sealing taken off.
        let both = time(|| {
            let mut frame = sender.seal(&[0x11], &payload).expect("short enough");
            let mut at = 0;
            let body = ingress.next(&mut frame, &mut at, 1 << 20);
            body.expect("a good frame").map(<[u8]>::len)
        });
        for (what, ns) in [("seal", seal), ("open", both - seal)] {
            rows.push(Row {
                note: format!("{:.0} MB/s", len as f64 * 1e3 / ns),
                ..row(&format!("{what} a frame of {len} B"), ns, "", "")
            });
        }
    }
    rows
}

/// The sending half of the one end and the receiving half of the other.
fn halves() -> (Egress, Ingress) {
    let (a, b) = (secret(1), secret(2));
    let derive = |direction| {
        let (own, other) = match direction {
            Direction::Dialled => (&a, &b),
            Direction::Accepted => (&b, &a),
        };
        let exchange = Exchange {
            direction,
            ephemeral: own,
            remote_ephemeral: &other.public(),
            initiator_nonce: &[3; 32],
            recipient_nonce: &[4; 32],
            auth: &[7; 307],
            ack: &[8; 210],
        };
        Secrets::derive(&exchange).into_halves()
    };
    (derive(Direction::Dialled).0, derive(Direction::Accepted).1)
}

/// Two sessions from nothing to established.
fn meet() -> (Session, Session) {
    let config = |key| {
        Arc::new(Config {
            key,
            client_name: "bench".into(),
            capabilities: vec![SHH],
            packet_len_max: 1 << 20,
        })
    };
    let now = Now {
        mono: Instant::now(),
        unix_ms: 0,
    };
    let mut a = Session::dial(now, config(secret(1)), secret(2).public(), [5; 32]);
    let mut b = Session::accept(now, config(secret(2)), [6; 32]);
    let mut established = 0;
    while established < 2 {
        established += carry(now, &mut a, &mut b) + carry(now, &mut b, &mut a);
    }
    (a, b)
}

fn carry(now: Now, from: &mut Session, to: &mut Session) -> u32 {
    let mut established = 0;
    while let Some(output) = from.poll_output() {
        match output {
            Output::Write(bytes) => to.handle(now, Input::Bytes(&bytes)),
            Output::Identified(_) => from.handle(now, Input::Admit),
            Output::Established(_) => established += 1,
            Output::Message { .. } | Output::Closed(_) => {}
        }
    }
    established
}

/// The middle of what geth's benches choose at random.
const PAYLOAD_LEN: usize = 200;
const TTL: u32 = 512;
const UNIX_S: u32 = 1_600_000_000;
const RUN: Duration = Duration::from_millis(300);
