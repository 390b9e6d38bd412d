//! A live relay under a flood of malformed frames: it stands, its memory stays bounded, honest traffic flows.
//!
//! `make test` sends a short flood, `make hostile-mix` a million frames (`FERRY_HOSTILE_FRAMES`).

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "shell/process.rs"]
mod process;

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use mixnet::{Address, build};
use net::{LONG, Net, Rogue};
use process::Process;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

/// Not a test of its own: the relay of the test below.
#[test]
fn relay_process() {
    process::serve_if_child();
}

const CHILD: [&str; 3] = ["relay_process", "--exact", "--nocapture"];
/// Hostile neighbours at a time.
const ROGUES: usize = 8;
/// Honest packets a second while the flood runs.
const HONEST_EVERY: Duration = Duration::from_millis(20);
/// What the relay may need beyond what it has at rest: eight neighbours' read buffers and queues are a few MiB.
const MEMORY_KIB_MAX: u64 = 64 << 10;

/// One malformed frame; true when the relay must close the stream for it.
fn malformed(rng: &mut ChaCha20Rng, good: &[u8], frame: &mut Vec<u8>) -> bool {
    frame.clear();
    frame.extend([0x80, 0x24]);
    match rng.next_u32() % 100 {
        // Another length, a varint that does not end, one that is longer than it needs to be.
        0 => {
            let heads: [&[u8]; 5] = [
                &[0],
                &[0xff, 0x23],
                &[0x81, 0x24],
                &[0xff; 9],
                &[0x80, 0xa4, 0],
            ];
            frame.clear();
            frame.extend(heads[rng.next_u32() as usize % heads.len()]);
            return true;
        }
        // A frame that stops in its middle.
        1 => {
            frame.extend(&good[..rng.next_u32() as usize % 4608]);
            return true;
        }
        // A group element that is none.
        2..20 => {
            frame.extend(good);
            let alpha = [[0; 32], [0xff; 32]][rng.next_u32() as usize % 2];
            frame[2..34].copy_from_slice(&alpha);
        }
        // The same packet again.
        20..40 => frame.extend(good),
        // One bit.
        40..70 => {
            frame.extend(good);
            let bit = rng.next_u32() as usize % (624 * 8);
            frame[2 + bit / 8] ^= 1 << (bit % 8);
        }
        _ => {
            frame.resize(4610, 0);
            rng.fill_bytes(&mut frame[2..]);
        }
    }
    false
}

async fn flood(net: &Net, seed: u64, frames: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut rogue = Rogue::connect(net, 0).await;
    let path = [net.hop(0), net.hop_at(rogue.peer)];
    let mut secret = [9; 32];
    secret[1..9].copy_from_slice(&seed.to_be_bytes());
    let good = build(&path, &[1], &secret, &[0; 3968], &Address::NONE)
        .unwrap()
        .0;
    let mut stream = rogue.open().await;
    let mut frame = Vec::new();
    for _ in 0..frames {
        let ends = malformed(&mut rng, good.as_bytes(), &mut frame);
        let sent = timeout(LONG, stream.write_all(&frame)).await.unwrap();
        if ends || sent.is_err() {
            let _ = timeout(LONG, stream.close()).await.unwrap();
            // Until the other side has seen it: streams at a time are bounded, which is another test's matter.
            let _ = timeout(LONG, stream.read(&mut [0; 1])).await.unwrap();
            stream = rogue.open().await;
        }
    }
    let _ = timeout(LONG, stream.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_malformed_frames_harms_nobody() {
    let frames = std::env::var("FERRY_HOSTILE_FRAMES");
    let frames: usize = frames.map_or(16_000, |frames| frames.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let net = std::sync::Arc::new(process::network(None));
    let mut relay = Process::start(&net, Some(dir.path()), &CHILD);
    let before = relay.memory_kib();

    let mut floods = tokio::task::JoinSet::new();
    for n in 0..ROGUES {
        let net = net.clone();
        floods.spawn(async move { flood(&net, n as u64, frames / ROGUES).await });
    }
    // An honest neighbour sends as long as the flood lasts, and gets everything back.
    let mut honest = Rogue::connect(&net, 0).await;
    let mut received = honest.take();
    let mut stream = honest.open().await;
    let path = [net.hop(0), net.hop_at(honest.peer)];
    let (mut sent, mut memory) = (0_u32, before);
    while !floods.is_empty() || sent < 50 {
        let mut secret = [8; 32];
        secret[1..5].copy_from_slice(&sent.to_be_bytes());
        let packet = build(&path, &[20], &secret, &[0; 3968], &Address::NONE)
            .unwrap()
            .0;
        let frame = [&[0x80, 0x24], &packet.as_bytes()[..]].concat();
        timeout(LONG, stream.write_all(&frame))
            .await
            .unwrap()
            .unwrap();
        timeout(LONG, stream.flush()).await.unwrap().unwrap();
        sent += 1;
        memory = memory.max(relay.memory_kib());
        if let Ok(Some(ended)) = timeout(HONEST_EVERY, floods.join_next()).await {
            ended.unwrap();
        }
    }
    for n in 0..sent {
        let packet = timeout(LONG, received.recv()).await;
        assert!(packet.unwrap().is_some(), "{n} of {sent} came back");
    }
    // Everything that was sent whole is accounted for.
    let start = Instant::now();
    let status = loop {
        let status = relay.status();
        if status["delayed"] == 0 || start.elapsed() > LONG {
            break status;
        }
        sleep(Duration::from_millis(50)).await;
    };
    let dropped = |reason: &str| status["dropped"][reason].as_u64().unwrap();
    let looked_at = ["mac", "low_order_alpha", "non_canonical_alpha", "replayed"].map(dropped);
    assert!(looked_at.iter().all(|count| *count > 0), "{status}");
    assert!(dropped("length") > 0, "{status}");
    let used = memory.saturating_sub(before);
    println!(
        "{frames} malformed frames: {used} KiB more than the {before} KiB before, {sent} honest packets came back; {status}"
    );
    assert!(used < MEMORY_KIB_MAX, "{used} KiB");
}
