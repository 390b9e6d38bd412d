//! Malformed frames by the million, on mix streams of neighbours whose libp2p is in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use mixnet::{Address, build};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::net::{LONG, Net, Rogue};
use super::{Report, Scene, process};

/// Hostile neighbours at a time.
const ROGUES: usize = 8;
/// What is sent before the memory is measured for the first time.
const TASTE: usize = 8_000;

pub(super) fn attack(frames: usize, long: bool) {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(process::network(None));
    let runtime = Runtime::new().unwrap();
    let mut report = Report::new(if long {
        "hostile-frames"
    } else {
        "hostile-frames-short"
    });
    let flooded = |seed, frames| {
        let net = net.clone();
        runtime.spawn(async move { flood_all(&net, seed, frames).await })
    };
    let mut scene = Scene::new(&net, dir.path(), long, || {
        runtime.block_on(flooded(1, TASTE)).unwrap();
    });
    let start = Instant::now();
    let flood = flooded(100, frames);
    while !flood.is_finished() {
        scene.look();
        std::thread::sleep(Duration::from_millis(20));
    }
    runtime.block_on(flood).unwrap();
    report.fact("frames", frames);
    report.fact("seconds", start.elapsed().as_secs_f64());
    let status = scene.end(report, long);
    let dropped = |reason: &str| status["dropped"][reason].as_u64().unwrap();
    let looked_at = [
        "mac",
        "low_order_alpha",
        "non_canonical_alpha",
        "replayed",
        "length",
    ];
    assert!(
        looked_at.iter().all(|reason| dropped(reason) > 0),
        "{status}"
    );
}

async fn flood_all(net: &Arc<Net>, seed: u64, frames: usize) {
    let mut floods = JoinSet::new();
    for n in 0..ROGUES {
        let net = net.clone();
        floods.spawn(async move { flood(&net, seed + n as u64, frames / ROGUES).await });
    }
    while let Some(ended) = floods.join_next().await {
        ended.unwrap();
    }
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
