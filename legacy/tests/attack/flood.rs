//! Connections that say nothing: all that sixteen addresses can open, and some more every second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::interval;

use super::attacker::{AGAIN, connect, reset};
use super::honest::{self, Pair};
use super::report::{Report, size};
use super::target::Target;

/// How many, and for how long.
pub(super) struct Size {
    silent: usize,
    per_second: u32,
    lasts: Duration,
    newcomer_every: Duration,
    long: bool,
}

impl Size {
    pub(super) const SHORT: Size = Size {
        silent: 300,
        per_second: 100,
        lasts: Duration::from_secs(4),
        newcomer_every: Duration::from_secs(2),
        long: false,
    };

    pub(super) fn from_env() -> Size {
        Size {
            silent: usize::try_from(size("FERRY_ATTACK_SILENT", 5000)).unwrap(),
            per_second: u32::try_from(size("FERRY_ATTACK_PER_SECOND", 200)).unwrap(),
            lasts: Duration::from_secs(size("FERRY_ATTACK_SECONDS", 600)),
            newcomer_every: Duration::from_secs(10),
            long: true,
        }
    }
}

/// What was seen of the node from outside, at its worst.
#[derive(Default)]
struct Worst {
    rss: u64,
    pending: u64,
    sockets: usize,
    newcomer: Duration,
    newcomers: u64,
}

pub(super) fn run(size: &Size) {
    let descriptors = u64::try_from(size.silent).unwrap() * 2 + 1000;
    rlimit::increase_nofile_limit(descriptors).unwrap();
    let mut report = Report::new("flood");
    let mut target = Target::start(&json!({}), None);
    let mut pair = Pair::start(&target.enode);
    let mut before = pair.collect(if size.long { 100 } else { 10 });
    let runtime = Runtime::new().unwrap();
    let flood = runtime.spawn(silent(target.enode, size.silent, size.per_second));
    let mut worst = Worst::default();
    let (start, mut newcomer_at) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < size.lasts {
        assert!(!flood.is_finished(), "the flood goes on");
        worst.rss = worst.rss.max(target.rss());
        worst.sockets = worst.sockets.max(target.sockets());
        worst.pending = worst
            .pending
            .max(target.counters()["pending"].as_u64().unwrap());
        if start.elapsed() >= newcomer_at {
            newcomer_at += size.newcomer_every;
            let took = runtime.block_on(honest::newcomer(target.enode));
            worst.newcomer = worst.newcomer.max(took);
            worst.newcomers += 1;
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
    flood.abort();
    let mut during = pair.collect(10);
    let counters = target.counters();
    let came = counters["refused"]["pushed_out"].as_u64().unwrap_or(0);
    report.fact("seconds", start.elapsed().as_secs_f64());
    report.fact("silent", size.silent);
    report.fact("new_per_second", size.per_second);
    report.fact("pushed_out", came);
    report.fact("newcomers", worst.newcomers);
    report.fact("sockets_max", worst.sockets);
    report.fact("honest_before", honest::summary(&mut before));
    report.fact("honest_during", honest::summary(&mut during));
    assert!(came > 0, "more came than may wait: {counters}");
    report.goal(
        "panics = 0",
        &target.panics().to_string(),
        target.panics() == 0,
    );
    report.goal(
        "honest peers lost = 0",
        &pair.lost().to_string(),
        pair.lost() == 0,
    );
    report.goal(
        "pending at most 50",
        &worst.pending.to_string(),
        worst.pending <= 50,
    );
    let max = 256 * 1024;
    report.goal(
        "RSS in KiB",
        &format!("{} of {max}", worst.rss),
        worst.rss < max,
    );
    if size.long {
        let took = worst.newcomer.as_millis();
        report.goal(
            "a newcomer is served in 10 s",
            &format!("{took} ms at worst of {}", worst.newcomers),
            took < 10_000,
        );
    }
    report.end();
}

/// Holds so many connections, and opens so many more every second; the oldest go.
async fn silent(node: legacy::enode::Enode, count: usize, per_second: u32) {
    let mut held: VecDeque<TcpStream> = VecDeque::new();
    let mut clock = interval(Duration::from_secs(1) / per_second);
    for number in 0.. {
        if number >= count {
            clock.tick().await;
        }
        match connect(&node, number).await {
            Ok(stream) => held.push_back(stream),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
        if held.len() > count
            && let Some(oldest) = held.pop_front()
        {
            reset(&oldest);
        }
    }
}

const SAMPLE_EVERY: Duration = Duration::from_millis(200);
