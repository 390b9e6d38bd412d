//! Two honest peers in a process of their own: one posts, the other tells how long each envelope took through the node.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant, SystemTime};

use legacy::enode::Enode;
use legacy::shell::{self, Event, Handle};
use legacy::shh::{Draft, Envelope, Topic};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PATIENCE;
use super::target::{Process, random, random_key};

const NODE: &str = "FERRY_ATTACK_HONEST";

/// The pair, seen from here.
pub(super) struct Pair {
    process: Process,
    lost: u64,
}

impl Pair {
    pub(super) fn start(node: &Enode) -> Pair {
        let process = Process::start("honest_process", NODE, &node.to_string(), None);
        assert_eq!(process.line()["event"], "ready");
        Pair { process, lost: 0 }
    }

    /// How long the envelopes took that arrived since this was asked last, in milliseconds.
    pub(super) fn latencies(&mut self) -> Vec<u64> {
        let said = self.process.said();
        self.lost += said.iter().filter(|line| line["event"] == "down").count() as u64;
        said.iter().filter_map(|line| line["ms"].as_u64()).collect()
    }

    /// Waits for so many envelopes more.
    pub(super) fn collect(&mut self, count: usize) -> Vec<u64> {
        let (mut found, start) = (self.latencies(), Instant::now());
        while found.len() < count {
            assert!(start.elapsed() < PATIENCE + Duration::from_millis(100) * count as u32);
            std::thread::sleep(Duration::from_millis(50));
            found.extend(self.latencies());
        }
        found
    }

    /// How often one of them lost the node.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

/// The process of the pair.
pub(super) fn process() {
    let Ok(node) = env::var(NODE) else { return };
    let node: Enode = node.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (sender, mut from_sender) = join(node).await;
        let (_receiver, mut from_receiver) = join(node).await;
        println!("{}", json!({ "event": "ready" }));
        let mut posted: BTreeMap<[u8; 32], Instant> = BTreeMap::new();
        let mut clock = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = clock.tick() => {
                    posted.retain(|_, at| at.elapsed() < PATIENCE);
                    let own = envelope(b"honest");
                    posted.insert(*own.hash().as_bytes(), Instant::now());
                    sender.post(own).await.unwrap();
                }
                event = from_sender.recv() => told(&event.unwrap()),
                event = from_receiver.recv() => {
                    let event = event.unwrap();
                    told(&event);
                    if let Event::Envelope { envelope, .. } = event
                        && let Some(at) = posted.remove(envelope.hash().as_bytes())
                    {
                        println!("{}", json!({ "ms": at.elapsed().as_millis() as u64 }));
                    }
                }
            }
        }
    });
}

fn told(event: &Event) {
    if let Event::PeerDown { .. } = event {
        println!("{}", json!({ "event": "down" }));
    }
}

/// A node of its own that knows only the one under attack, once that has said what it wants. It passes on what it has
/// without the usual pause, so that what is measured is the other's.
pub(super) async fn join(node: Enode) -> (Handle, mpsc::Receiver<Event>) {
    let mut config = shell::Config::new(random_key());
    config.listen = None;
    config.static_peers.push(node);
    config.shh.min_pow = 0.0;
    config.shh.relay_tick_ms = 1;
    config.shh.packets_per_second = 1000;
    let (handle, mut events, _) = shell::spawn(config).unwrap();
    while !matches!(next(&mut events).await, Event::PeerInterest { .. }) {}
    (handle, events)
}

pub(super) async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
}

/// One with some work: a full pool keeps those with the most, and floods do none.
pub(super) fn envelope(data: &[u8]) -> Envelope {
    let data = [data, &random::<8>()].concat();
    let draft = Draft::new(unix() + 60, 60, Topic::of_name("honest"), &data);
    let nonce = draft.search(HONEST_POW, 0).run(1 << 24, || false).unwrap();
    draft.finish(nonce)
}

pub(super) fn unix() -> u32 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u32::try_from(since.as_secs()).unwrap()
}

/// The value that so many of a hundred are not above.
pub(super) fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(at).copied().unwrap_or(0)
}

/// Waits until somebody new is served: an envelope goes through the node and reaches them. Says how long it took.
pub(super) async fn newcomer(node: Enode) -> Duration {
    let start = Instant::now();
    let (_one, mut events) = join(node).await;
    let (other, mut told) = join(node).await;
    // Whoever leaves events unread is not served for long.
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    let sent = envelope(b"new");
    other.post(sent.clone()).await.unwrap();
    let arrives = async {
        while !matches!(next(&mut events).await, Event::Envelope { envelope, .. } if envelope.hash() == sent.hash())
        {
        }
    };
    timeout(2 * PATIENCE, arrives)
        .await
        .expect("a newcomer is served");
    start.elapsed()
}

/// Work of an honest envelope: a thousand hashes. Of a million small envelopes without any, the pool keeps those that have a
/// tenth of it by chance.
const HONEST_POW: f64 = 0.1;
/// One more envelope is due so often.
const EVERY: Duration = Duration::from_millis(50);

/// A value for a report.
pub(super) fn summary(values: &mut [u64]) -> Value {
    json!({
        "count": values.len(),
        "p50_ms": percentile(values, 50),
        "p99_ms": percentile(values, 99),
        "max_ms": percentile(values, 100),
    })
}
