//! Connections without end: silent ones, ones that speak nonsense, ones that begin a frame and stop in its middle.

use std::io::Write;
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::net::{LONG, Net, Rogue};
use super::{Report, Scene, process};

/// Connections that the attacker holds at a time: more than the relay sets up at once, and than it has room for.
const HELD: usize = 300;
/// A newcomer whose connection does not stand by then tries again.
const RETRY: Duration = Duration::from_secs(3);
/// Neighbours that stall in the middle of a frame.
const STALLED: usize = 4;

pub(super) fn attack(connections: usize, long: bool) {
    let dir = tempfile::tempdir().unwrap();
    let net = process::network(None);
    let at = net.addresses()[0];
    let runtime = Runtime::new().unwrap();
    let mut report = Report::new(if long {
        "hostile-connections"
    } else {
        "hostile-connections-short"
    });
    let mut scene = Scene::new(&net, dir.path(), long, || {
        let mut held = Vec::new();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        (0..HELD / 3).for_each(|_| knock(at, &mut rng, &mut held));
    });
    let stalled = runtime.block_on(stall(&net));
    let start = Instant::now();
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut held = Vec::new();
    for n in 0..connections {
        knock(at, &mut rng, &mut held);
        if n % 20 == 0 {
            scene.look();
            // A flood that takes minutes in the long form, and not the whole processor.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    report.fact("connections", connections);
    report.fact("seconds", start.elapsed().as_secs_f64());
    drop(held);
    // Whoever comes after the flood is served, and those who stall are given up.
    let came = Instant::now();
    drop(runtime.block_on(async { timeout(LONG, newcomer(&net)).await.unwrap() }));
    report.fact("newcomer_ms", came.elapsed().as_millis() as u64);
    let given_up = Instant::now();
    while scene.relay.status()["dropped"]["length"].as_u64().unwrap() < STALLED as u64 {
        assert!(given_up.elapsed() < LONG, "{}", scene.relay.status());
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(stalled);
    // What there was no room for is counted.
    let status = scene.relay.status();
    assert!(status["refused"]["limit"].as_u64().unwrap() > 0, "{status}");
    scene.end(report, long);
}

/// One more connection; the oldest goes when there are too many.
fn knock(at: SocketAddrV4, rng: &mut ChaCha20Rng, held: &mut Vec<TcpStream>) {
    // A relay whose queue of connections is full lets the attacker wait, which is his matter.
    let Ok(mut stream) = TcpStream::connect_timeout(&at.into(), Duration::from_secs(5)) else {
        return;
    };
    let mut noise = [0; 64];
    rng.fill_bytes(&mut noise);
    let said: &[u8] = match rng.next_u32() % 5 {
        0 => &noise,
        1 => b"GET / HTTP/1.1\r\n\r\n",
        // The first message of libp2p, and then nothing, or nonsense.
        2 => b"\x13/multistream/1.0.0\n",
        3 => b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff\xff\xff",
        _ => &[],
    };
    // The relay may have closed it already.
    let _ = stream.write_all(said);
    if held.len() >= HELD {
        held.remove(0);
    }
    held.push(stream);
}

/// Somebody new with a stream, who tries again when the relay has no room yet.
async fn newcomer(net: &Net) -> (Rogue, libp2p::Stream) {
    loop {
        let mut rogue = Rogue::connect(net, 0).await;
        if let Ok(stream) = timeout(RETRY, rogue.open()).await {
            return (rogue, stream);
        }
    }
}

/// Neighbours that have begun a frame.
async fn stall(net: &Net) -> Vec<(Rogue, libp2p::Stream)> {
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let (rogue, mut stream) = timeout(LONG, newcomer(net)).await.unwrap();
        stream.write_all(&[0x80, 0x24, 1, 2, 3]).await.unwrap();
        stream.flush().await.unwrap();
        stalled.push((rogue, stream));
    }
    stalled
}
