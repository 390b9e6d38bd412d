//! A live relay, in a process of its own, under attack: it stands, its memory stays bounded, and honest traffic flows.
//!
//! | attack | short form, in `make test` | long form, `make hostile-mix` |
//! |---|---|---|
//! | malformed frames from eight neighbours ([`malformed`]) | 16,000 | 1,000,000 (`FERRY_HOSTILE_FRAMES`) |
//! | silent and broken connections ([`connections`]) | 400 | 10,000 (`FERRY_HOSTILE_CONNECTIONS`) |
//!
//! An honest neighbour in a third process sends through the relay all the while, and measures ([`honest`]). The long forms write a
//! report with a line per goal; timing is a goal of theirs only.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "../shell/process.rs"]
mod process;
#[path = "../shell/report.rs"]
mod report;

mod connections;
mod honest;
mod malformed;

use serde_json::Value;

use honest::{Honest, Latencies};
use process::Process;
use report::Report;

/// Not a test of its own: the relay of the tests below.
#[test]
fn relay_process() {
    process::serve_if_child();
}

/// Not a test of its own: the honest neighbour of the tests below.
#[test]
fn honest_process() {
    honest::serve_if_child();
}

/// Case 25: one of them is forwarded, wherever it came from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_packet_from_eight_neighbours_passes_once() {
    let dir = tempfile::tempdir().unwrap();
    let net = std::sync::Arc::new(process::network(None));
    let mut relay = Process::start(&net, Some(dir.path()), &RELAY);
    let mut receiver = net::Rogue::connect(&net, 0).await;
    let mut received = receiver.take();
    // The relay finds the receiver among its connections only when it stands.
    drop(receiver.open().await);
    let path = [net.hop(0), net.hop_at(receiver.peer)];
    for round in 0..4 {
        let packet = mixnet::build(
            &path,
            &[1],
            &[round; 32],
            &[0; 3968],
            &mixnet::Address::NONE,
        );
        let packet = packet.unwrap().0;
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(8));
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (net, packet, start) = (net.clone(), packet.clone(), start.clone());
            senders.spawn(async move {
                let mut rogue = net::Rogue::connect(&net, 0).await;
                drop(rogue.open().await);
                start.wait().await;
                rogue.packet(packet.as_bytes()).await;
                rogue
            });
        }
        let senders = senders.join_all().await;
        let wanted = u64::from(round + 1);
        let end = tokio::time::Instant::now() + net::LONG;
        loop {
            let status = relay.status();
            let replayed = status["dropped"]["replayed"].as_u64().unwrap();
            if replayed == 7 * wanted && status["forwarded"] == wanted {
                break;
            }
            assert!(tokio::time::Instant::now() < end, "{status}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let packet = tokio::time::timeout(net::LONG, received.recv()).await;
        assert!(packet.unwrap().is_some());
        drop(senders);
    }
    assert!(received.try_recv().is_err());
}

#[test]
fn malformed_frames() {
    malformed::attack(16_000, false);
}

#[test]
#[ignore = "minutes: make hostile-mix"]
fn malformed_frames_long() {
    malformed::attack(size("FERRY_HOSTILE_FRAMES", 1_000_000), true);
}

#[test]
fn connections_without_end() {
    connections::attack(400, false);
}

#[test]
#[ignore = "minutes: make hostile-mix"]
fn connections_without_end_long() {
    connections::attack(size("FERRY_HOSTILE_CONNECTIONS", 10_000), true);
}

fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

const RELAY: [&str; 3] = ["relay_process", "--exact", "--nocapture"];

/// Resident memory that a relay may need beyond what it has after a first taste of the attack.
const MEMORY_KIB_MAX: u64 = 32 << 10;

/// The relay, the honest neighbour, and what both were like before the attack.
struct Scene {
    relay: Process,
    honest: Honest,
    before: Latencies,
    memory_kib: u64,
    memory_kib_max: u64,
}

impl Scene {
    /// After `taste` the allocator and the tables have what an attack of any length takes.
    fn new(net: &net::Net, dir: &std::path::Path, long: bool, taste: impl FnOnce()) -> Self {
        let relay = Process::start(net, Some(dir), &RELAY);
        let mut honest = Honest::start(net);
        let before = honest.collect(if long { 2000 } else { 50 });
        taste();
        let memory_kib = relay.memory_kib();
        honest.forget();
        Self {
            relay,
            honest,
            before,
            memory_kib,
            memory_kib_max: memory_kib,
        }
    }

    /// Looks at the memory once.
    fn look(&mut self) {
        self.memory_kib_max = self.memory_kib_max.max(self.relay.memory_kib());
    }

    /// The attack is over: everything is accounted for. Gives the last status.
    fn end(mut self, mut report: Report, long: bool) -> Value {
        let during = self.honest.collect(50);
        let (sent, lost) = self.honest.stop();
        self.look();
        let status = self.relay.status();
        report.fact("status", status.clone());
        report.fact("honest_before", self.before.summary());
        report.fact("honest_during", during.summary());
        let panics = self.relay.panics();
        report.goal("no panic", &panics.to_string(), panics == 0);
        let growth = self.memory_kib_max - self.memory_kib;
        report.goal(
            &format!("memory grows by less than {MEMORY_KIB_MAX} KiB"),
            &format!("{growth} beyond {}", self.memory_kib),
            growth < MEMORY_KIB_MAX,
        );
        report.goal(
            "no honest packet is lost",
            &format!("{lost} of {sent}"),
            lost == 0,
        );
        report.goal(
            "every packet is accounted for",
            &format!("{} of {} missing", status["missing"], status["received"]),
            status["missing"] == 0,
        );
        if long {
            let (slow, slower) = (self.before.p99(), during.p99());
            report.goal(
                "honest p99 at most doubled",
                &format!("{slow:?}, then {slower:?}"),
                slower <= 2 * slow,
            );
        }
        assert!(report.end(), "a goal was missed: {status}");
        status
    }
}
