//! Load for one relay: a generator over real libp2p (TCP, Noise, Yamux) on loopback to one relay process.
//!
//! `cargo run --release -p mixnet --example relay_load [PACKETS_PER_SECOND [SECONDS]]`, by default 3000 for 60 seconds with a mean
//! delay of 50 ms, then half of that for a third of the time. It prints a table and a line per goal, and writes JSON: what was lost,
//! how long a packet took from its last byte to its place in the delay queue, and what both processes cost. It ends with code 1 when
//! a packet was lost, the rate was not reached, or the times are over their bounds.
//!
//! The generator's packets are built before the clock starts; their payload is shared, which a relay cannot tell. Each of its
//! eight neighbours sends to itself through the relay. Together they send as independent users do, by a Poisson process.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

#[path = "../tests/shell/net.rs"]
#[allow(dead_code, unreachable_pub)]
mod net;
#[path = "../tests/shell/process.rs"]
mod process;
#[path = "../tests/shell/report.rs"]
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::AsyncWriteExt;
use mixnet::geometry::HEADER_LEN;
use mixnet::histogram::BOUNDS_US;
use mixnet::{Address, build};
use net::{Net, Rogue};
use process::Process;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use report::Report;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Neighbours of the relay: each keeps below the rate that one neighbour may have.
const NEIGHBOURS: u64 = 8;
/// Mean delay in the packets, milliseconds.
const DELAY_MS: u16 = 50;
/// After the last packet: more than the longest delay, and room for a busy machine.
const SETTLE: Duration = Duration::from_secs(5);
/// Bounds of the processing time at half load, microseconds.
const MEDIAN_US_MAX: u64 = 150;
const P99_US_MAX: u64 = 1_000;

fn main() -> ExitCode {
    process::serve_if_child();
    let mut args = std::env::args()
        .skip(1)
        .map(|arg| arg.parse::<u64>().unwrap());
    let rate = args.next().unwrap_or(3_000);
    let seconds = args.next().unwrap_or(60);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(rate, seconds))
}

async fn run(rate: u64, seconds: u64) -> ExitCode {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(process::network(None));
    let mut relay = Process::start(&net, Some(dir.path()), &[]);
    let full = load(&net, &mut relay, 0, rate, seconds).await;
    let half = load(&net, &mut relay, 1, rate / 2, seconds.div_ceil(3)).await;
    println!(
        "{:>9} {:>9} {:>6} {:>9} {:>9} {:>9} {:>11} {:>11}",
        "packets/s", "sent", "lost", "median us", "p99 us", "max us", "relay cores", "load cores"
    );
    for phase in [&full, &half] {
        println!(
            "{:>9} {:>9} {:>6} {:>9} {:>9} {:>9} {:>11} {:>11}",
            phase["rate"],
            phase["sent"],
            phase["lost"],
            phase["median_us"],
            phase["p99_us"],
            phase["max_us"],
            phase["relay_cores"],
            phase["generator_cores"]
        );
    }
    let mut report = Report::new("relay");
    report.fact("relay_memory_kib", relay.memory_kib());
    // What the clock of the generator could not send in time is not the relay's doing, but no proof either.
    let reached = full["rate"]
        .as_f64()
        .is_some_and(|found| found >= 0.99 * rate as f64);
    report.goal(
        &format!("A4: {rate} packets a second for {seconds} s, none lost"),
        &format!("{} a second, {} lost", full["rate"], full["lost"]),
        reached && full["lost"] == 0,
    );
    for (name, key, max) in [
        ("median", "median_us", MEDIAN_US_MAX),
        ("p99", "p99_us", P99_US_MAX),
    ] {
        report.goal(
            &format!("A5: {name} of the processing time at half load at most {max} us"),
            &format!("{} us, {} lost", half[key], half["lost"]),
            half["lost"] == 0 && half[key].as_u64().is_some_and(|us| us <= max),
        );
    }
    report.fact("full", full);
    report.fact("half", half);
    ExitCode::from(u8::from(!report.end()))
}

/// One phase: `rate` packets a second for some seconds.
async fn load(net: &Arc<Net>, relay: &mut Process, phase: u8, rate: u64, seconds: u64) -> Value {
    let each = rate * seconds / NEIGHBOURS;
    let mut neighbours = Vec::new();
    for n in 0..NEIGHBOURS {
        let mut rogue = Rogue::connect(net, 0).await;
        let packets = rogue.take();
        let stream = rogue.open().await;
        let net = net.clone();
        let built = tokio::task::spawn_blocking(move || {
            let headers = headers(&net, &rogue, phase, n as u8, each);
            (rogue, headers)
        });
        let (rogue, headers) = built.await.unwrap();
        neighbours.push((rogue, packets, stream, headers));
    }
    let before = relay.status();
    let (relay_cpu, own_cpu) = (cpu_seconds(relay.id()), cpu_seconds(std::process::id()));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    let mut turns = Vec::new();
    for (rogue, mut packets, mut stream, headers) in neighbours {
        let (turn, mut turned) = mpsc::unbounded_channel();
        turns.push(turn);
        tasks.spawn(async move {
            let received = Arc::new(AtomicU64::new(0));
            let counter = received.clone();
            let receiving = tokio::spawn(async move {
                while counter.load(Ordering::Relaxed) < each && packets.recv().await.is_some() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
            let mut frame = vec![0; 4610];
            frame[..2].copy_from_slice(&[0x80, 0x24]);
            let mut sent = 0;
            for header in &headers {
                if turned.recv().await.is_none() {
                    break;
                }
                frame[2..2 + HEADER_LEN].copy_from_slice(header);
                stream.write_all(&frame).await.unwrap();
                stream.flush().await.unwrap();
                sent += 1;
            }
            let took = start.elapsed();
            // What has not come by then never comes.
            let _ = timeout(SETTLE, receiving).await;
            drop(rogue);
            (sent, received.load(Ordering::Relaxed), took)
        });
    }
    let clock = std::thread::spawn(move || tick(rate, each, &turns));
    let (mut sent, mut came_back, mut took) = (0, 0, Duration::ZERO);
    while let Some(ended) = tasks.join_next().await {
        let (more, back, time) = ended.unwrap();
        sent += more;
        came_back += back;
        took = took.max(time);
    }
    clock.join().unwrap();
    let wall = start.elapsed().as_secs_f64();
    let cores = |before: f64, after: f64| ((after - before) / wall * 100.0).round() / 100.0;
    let (relay_cores, generator_cores) = (
        cores(relay_cpu, cpu_seconds(relay.id())),
        cores(own_cpu, cpu_seconds(std::process::id())),
    );
    let after = relay.status();
    let grown = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    let classes = |status: &Value| -> Vec<u64> {
        let counts = status["processing"].as_array().unwrap();
        counts.iter().map(|count| count.as_u64().unwrap()).collect()
    };
    let counts: Vec<u64> = classes(&after)
        .iter()
        .zip(classes(&before))
        .map(|(after, before)| after - before)
        .collect();
    let quantile = |q: f64| {
        let wanted = (counts.iter().sum::<u64>() as f64 * q).ceil() as u64;
        let mut below = 0;
        let class = counts.iter().position(|count| {
            below += count;
            below >= wanted.max(1)
        });
        class.and_then(|class| BOUNDS_US.get(class)).copied()
    };
    let dropped: serde_json::Map<String, Value> = after["dropped"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, count)| **count != 0)
        .map(|(reason, count)| (reason.clone(), count.clone()))
        .collect();
    json!({
        "rate": (sent as f64 / took.as_secs_f64()).round(),
        "seconds": (took.as_secs_f64() * 10.0).round() / 10.0,
        "sent": sent,
        "lost": sent - came_back,
        "forwarded": grown("forwarded"),
        "median_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "max_us": quantile(1.0),
        "mean_us": grown("processing_sum_us") / counts.iter().sum::<u64>().max(1),
        "relay_cores": relay_cores,
        "generator_cores": generator_cores,
        "dropped": dropped,
    })
}

/// Gives the neighbours their turns, one after the other, `each` times. A thread of its own: timers of the runtime go off together,
/// once a millisecond, which would bring packets in bunches.
fn tick(rate: u64, each: u64, turns: &[mpsc::UnboundedSender<()>]) {
    let mut rng = ChaCha20Rng::seed_from_u64(rate);
    let mut due = std::time::Instant::now();
    for _ in 0..each {
        for turn in turns {
            let uniform = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            due += Duration::from_secs_f64(-(1.0 - uniform).ln() / rate as f64);
            std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
            // A neighbour that is gone tells why itself.
            let _ = turn.send(());
        }
    }
}

/// The headers of packets through the relay and back.
fn headers(net: &Net, rogue: &Rogue, phase: u8, n: u8, count: u64) -> Vec<[u8; HEADER_LEN]> {
    let path = [net.hop(0), net.hop_at(rogue.peer)];
    let header = |i: u64| {
        let mut secret = [1; 32];
        (secret[1], secret[2]) = (phase, n);
        secret[3..11].copy_from_slice(&i.to_be_bytes());
        let built = build(&path, &[DELAY_MS], &secret, &[0; 3968], &Address::NONE);
        let (packet, _) = built.unwrap();
        packet.as_bytes()[..HEADER_LEN].try_into().unwrap()
    };
    (0..count).map(header).collect()
}

/// Processor time that a process has had, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
    // Clock ticks of a hundredth of a second, as on every Linux.
    (ticks(11) + ticks(12)) / 100.0
}
