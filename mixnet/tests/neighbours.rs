//! Neighbours that want too much, on live sockets: a flooder is throttled, and takes nothing from the others (spec: tests 39, 40).
//!
//! `make test` counts. `make neighbours` also compares the 99th percentiles of the others' round trips, which needs a machine
//! that does nothing else (`FERRY_NEIGHBOURS_TIMED`).

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "shell/process.rs"]
mod process;

use std::time::Duration;

use futures::AsyncWriteExt;
use mixnet::limits::{NEIGHBOUR_BURST, NEIGHBOUR_RATE_PER_SECOND};
use mixnet::{Address, build};
use net::{LONG, Net, Rogue};
use process::Process;
use tokio::time::{Instant, sleep, timeout};

/// Not a test of its own: the relay of the test below.
#[test]
fn relay_process() {
    process::serve_if_child();
}

const CHILD: [&str; 3] = ["relay_process", "--exact", "--nocapture"];
/// Neighbours that behave, and what each of them sends.
const HONEST: usize = 4;
const HONEST_PACKETS: usize = 75;
const HONEST_EVERY: Duration = Duration::from_millis(40);
/// The mean delay at the relay, as in the preset `fast`.
const DELAY_MS: u16 = 80;
/// Ten times what a neighbour may send, for the three seconds that the others send.
const FLOOD: usize = 10 * 3 * NEIGHBOUR_RATE_PER_SECOND as usize;

/// A packet that comes back to `peer`, as a frame.
fn frame(net: &Net, peer: &Rogue, delay_ms: u16, n: usize) -> Vec<u8> {
    let path = [net.hop(0), net.hop_at(peer.peer)];
    let mut secret = [9; 32];
    secret[1..9].copy_from_slice(&n.to_be_bytes());
    secret[9..30].copy_from_slice(&peer.peer.as_bytes()[1..22]);
    let (packet, _) = build(&path, &[delay_ms], &secret, &[0; 3968], &Address::NONE).unwrap();
    [&[0x80, 0x24], &packet.as_bytes()[..]].concat()
}

/// Sends one packet after the other and takes them back; the round trips. The order of return is the relay's choice, so a
/// packet is known by how many were sent before: what is measured is the time until as many are back.
async fn behave(net: &Net, peer: &mut Rogue, round: usize) -> Vec<Duration> {
    let mut received = peer.take();
    let mut stream = peer.open().await;
    let mut sent = Vec::new();
    let mut trips = Vec::new();
    for n in 0..HONEST_PACKETS {
        let frame = frame(net, peer, DELAY_MS, round * HONEST_PACKETS + n);
        timeout(LONG, stream.write_all(&frame))
            .await
            .unwrap()
            .unwrap();
        timeout(LONG, stream.flush()).await.unwrap().unwrap();
        sent.push(Instant::now());
        let next = Instant::now() + HONEST_EVERY;
        while let Ok(back) = tokio::time::timeout_at(next, received.recv()).await {
            back.unwrap();
            trips.push(sent[trips.len()].elapsed());
        }
    }
    while trips.len() < sent.len() {
        timeout(LONG, received.recv()).await.unwrap().unwrap();
        trips.push(sent[trips.len()].elapsed());
    }
    trips
}

/// All who behave at once.
async fn round(net: &std::sync::Arc<Net>, number: usize) -> Duration {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..HONEST {
        let net = net.clone();
        tasks.spawn(async move {
            let mut peer = Rogue::connect(&net, 0).await;
            behave(&net, &mut peer, number).await
        });
    }
    let mut trips: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(trips.len(), HONEST * HONEST_PACKETS);
    trips.sort_unstable();
    trips[trips.len() * 99 / 100]
}

/// Ten times the permitted rate from one neighbour: of that it gets its rate, and all that the others send comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooder_is_throttled_and_takes_nothing_from_others() {
    let net = std::sync::Arc::new(process::network(None));
    let mut relay = Process::start(&net, None, &CHILD);
    let quiet = round(&net, 0).await;

    let mut flooder = Rogue::connect(&net, 0).await;
    let mut flooded = flooder.take();
    // Built before: building is slower than sending.
    let frames: Vec<_> = (0..FLOOD).map(|n| frame(&net, &flooder, 1, n)).collect();
    let mut stream = flooder.open().await;
    let start = Instant::now();
    let flood = tokio::spawn(async move {
        for frame in frames {
            timeout(LONG, stream.write_all(&frame))
                .await
                .unwrap()
                .unwrap();
        }
        timeout(LONG, stream.flush()).await.unwrap().unwrap();
        (stream, start.elapsed())
    });
    let loud = round(&net, 1).await;
    let (_stream, took) = timeout(LONG, flood).await.unwrap().unwrap();

    let status = loop {
        let status = relay.status();
        let limited = status["dropped"]["neighbour_rate"].as_u64().unwrap() as usize;
        let forwarded = status["forwarded"].as_u64().unwrap() as usize;
        let honest = 2 * HONEST * HONEST_PACKETS;
        if limited + forwarded >= FLOOD + honest {
            break status;
        }
        assert!(start.elapsed() < LONG, "{status}");
        sleep(Duration::from_millis(50)).await;
    };
    let mut back = 0;
    while flooded.try_recv().is_ok() {
        back += 1;
    }
    let rate = NEIGHBOUR_RATE_PER_SECOND as f64 * start.elapsed().as_secs_f64();
    println!(
        "{FLOOD} packets in {took:?}: {back} of the flooder's came back; 99th percentile of the others {quiet:?} before, {loud:?} then; {status}"
    );
    assert!(back <= NEIGHBOUR_BURST as usize + rate as usize, "{back}");
    assert!(
        status["dropped"]["neighbour_rate"].as_u64().unwrap() > 0,
        "{status}"
    );
    let others = ["mac", "replayed", "queue_full", "no_route", "length"];
    for reason in others {
        assert_eq!(status["dropped"][reason], 0, "{reason}: {status}");
    }
    if std::env::var_os("FERRY_NEIGHBOURS_TIMED").is_some() {
        assert!(
            took < Duration::from_secs(10),
            "this was no flood: {took:?}"
        );
        assert!(loud < 2 * quiet, "{loud:?} against {quiet:?}");
    }
}
