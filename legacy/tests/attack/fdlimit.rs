//! A node that may open 256 files, and peers that want more.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::PATIENCE;
use super::attacker::{AGAIN, Identity, Link, connect, drained};
use super::honest::{self, Pair};
use super::report::Report;
use super::target::Target;

/// For how long.
pub(super) struct Size {
    lasts: Duration,
    long: bool,
}

impl Size {
    pub(super) const SHORT: Size = Size {
        lasts: Duration::from_secs(3),
        long: false,
    };
    pub(super) const LONG: Size = Size {
        lasts: Duration::from_secs(120),
        long: true,
    };
}

pub(super) fn run(size: &Size) {
    let mut report = Report::new("fdlimit");
    // Room for more than there are descriptors, which is what an operator must not do.
    let settings = json!({ "inbound_max": 1000, "pending_max": 1000 });
    let mut target = Target::start(&settings, Some(FDS_MAX));
    let mut pair = Pair::start(&target.enode);
    drop(pair.collect(5));
    let runtime = Runtime::new().unwrap();
    let crowd = runtime.spawn(crowd(target.enode));
    let start = Instant::now();
    while target.descriptors() < FDS_MAX as usize {
        assert!(
            start.elapsed() < PATIENCE,
            "{} descriptors",
            target.descriptors()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let (start, cpu, logged) = (Instant::now(), target.cpu(), target.log().len());
    let mut most = 0;
    while start.elapsed() < size.lasts {
        most = most.max(target.descriptors());
        std::thread::sleep(Duration::from_millis(50));
    }
    let lasted = start.elapsed();
    let busy = (target.cpu() - cpu).as_secs_f64() / lasted.as_secs_f64();
    let lines = target.log().len() - logged;
    let served = pair.collect(5).len();
    crowd.abort();
    let released = Instant::now();
    drop(runtime);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(honest::newcomer(target.enode));
    let recovered = released.elapsed();
    report.fact("seconds", lasted.as_secs_f64());
    report.fact("descriptors_max", most);
    report.fact("envelopes_served_to_honest_peers", served);
    report.fact("counters", target.counters());
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
    let per_minute = lines as f64 * 60.0 / lasted.as_secs_f64().max(60.0);
    report.goal(
        "log lines in a minute, below 10",
        &format!("{per_minute:.1}"),
        per_minute < 10.0,
    );
    if size.long {
        report.goal(
            "processor below 5 %",
            &format!("{:.1} %", busy * 100.0),
            busy < 0.05,
        );
        let took = recovered.as_secs_f64();
        report.goal("recovers in 5 s", &format!("{took:.1} s"), took < 5.0);
    }
    report.end();
}

/// Some friends that stay, and silent connections that come back as soon as they are closed.
async fn crowd(node: legacy::enode::Enode) {
    let mut tasks = JoinSet::new();
    let mut friends = Vec::new();
    for number in 0..FRIENDS {
        friends.extend(Link::befriend(&node, number, &Identity::new(&node)).await);
    }
    for number in 0..SILENT {
        tasks.spawn(async move {
            loop {
                if let Ok(mut stream) = connect(&node, number).await {
                    // Whom the node cannot take in for want of descriptors it does not close either.
                    let _ = drained(&mut stream).await;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    drop(friends);
}

const FDS_MAX: u32 = 256;
const FRIENDS: usize = 90;
/// With the friends more than there are descriptors.
const SILENT: usize = 400;
