//! Two honest peers in a process of their own: one posts, the other tells how long each envelope took through the node.

use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use legacy::discv4::endpoint::Endpoint;
use legacy::discv4::packet::Message;
use legacy::discv4::{REPLY_TIMEOUT, decode};
use legacy::enode::Enode;
use legacy::shell::{self, Event, Handle};
use legacy::shh::{Draft, Envelope, Topic};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PATIENCE;
use super::target::{Process, random, random_key};

const NODE: &str = "FERRY_ATTACK_HONEST";

/// The pair, seen from here.
pub(super) struct Pair {
    process: Process,
    lost: u64,
    pongs: Vec<u64>,
    pongs_lost: u64,
}

impl Pair {
    pub(super) fn start(node: &Enode) -> Pair {
        Pair::start_with(node, false)
    }

    /// A third one asks the node by discovery.
    pub(super) fn with_discovery(node: &Enode) -> Pair {
        Pair::start_with(node, true)
    }

    fn start_with(node: &Enode, discovery: bool) -> Pair {
        let settings = json!({ "enode": node.to_string(), "discovery": discovery });
        let process = Process::start("honest_process", NODE, &settings.to_string(), None);
        assert_eq!(process.line()["event"], "ready");
        Pair {
            process,
            lost: 0,
            pongs: Vec::new(),
            pongs_lost: 0,
        }
    }

    /// How long the envelopes took that arrived since this was asked last, in milliseconds.
    pub(super) fn latencies(&mut self) -> Vec<u64> {
        let said = self.process.said();
        let events = |name: &str| said.iter().filter(|line| line["event"] == name).count() as u64;
        self.lost += events("down");
        self.pongs_lost += events("no_pong");
        let pongs = said.iter().filter_map(|line| line["pong_us"].as_u64());
        self.pongs.extend(pongs);
        said.iter().filter_map(|line| line["ms"].as_u64()).collect()
    }

    /// How long the pongs took that came before the envelopes that were asked for last, in microseconds.
    pub(super) fn pongs(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.pongs)
    }

    /// Pings that got no pong in time. They count among [`Pair::pongs`] with all of that time.
    pub(super) const fn pongs_lost(&self) -> u64 {
        self.pongs_lost
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
    let Ok(settings) = env::var(NODE) else {
        return;
    };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let node: Enode = settings["enode"].as_str().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (sender, mut from_sender) = join(node).await;
        let (_receiver, mut from_receiver) = join(node).await;
        if settings["discovery"] == true {
            tokio::spawn(ping(node));
        }
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

/// Pings the node by discovery, one ping after the other, and answers its pings.
async fn ping(node: Enode) {
    let key = random_key();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let own = Endpoint::new(socket.local_addr().unwrap(), 0);
    let to = SocketAddr::new(node.tcp().ip(), node.udp_port());
    let mut clock = tokio::time::interval(EVERY);
    let mut buffer = [0; 1500];
    loop {
        clock.tick().await;
        let message = Message::Ping {
            version: 4,
            from: own,
            to: Endpoint::new(to, 0),
            expiration: u64::from(unix()) + 20,
            record_seq: None,
        };
        let (bytes, asked) = message.encode(&key);
        let start = Instant::now();
        socket.send_to(&bytes, to).await.unwrap();
        let answered = timeout(REPLY_TIMEOUT, async {
            loop {
                let (len, _) = socket.recv_from(&mut buffer).await.unwrap();
                let packet = decode(&buffer[..len]).expect("the node sends good datagrams");
                match packet.message {
                    Message::Pong { ping, .. } if ping == asked => return,
                    Message::Ping { expiration, .. } => {
                        let pong = Message::Pong {
                            to: Endpoint::new(to, 0),
                            ping: packet.hash,
                            expiration,
                            record_seq: None,
                        };
                        socket.send_to(&pong.encode(&key).0, to).await.unwrap();
                    }
                    _ => {}
                }
            }
        });
        if answered.await.is_err() {
            println!("{}", json!({ "event": "no_pong" }));
        }
        println!(
            "{}",
            json!({ "pong_us": start.elapsed().as_micros() as u64 })
        );
    }
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
