//! A relay that is killed in the middle of its work, and starts again with the same mix key.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "shell/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::AsyncWriteExt;
use libp2p::identity::Keypair;
use mixnet::{Address, Packet, Peeled, ReplayStore, build, peel};
use net::{LONG, Net, Rogue};
use process::Process;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Not a test of its own: the relay of the tests below.
#[test]
fn relay_process() {
    process::serve_if_child();
}

const CHILD: [&str; 3] = ["relay_process", "--exact", "--nocapture"];

/// Packets through the relay back to their sender, and how to know them again.
struct Packets {
    frames: Vec<Vec<u8>>,
    /// The group element that the relay sends on, of which packet.
    forwarded: BTreeMap<[u8; 32], usize>,
}

impl Packets {
    fn new(net: &Net, sender: &Rogue, from: u16, count: u16) -> Self {
        let path = [net.hop(0), net.hop_at(sender.peer)];
        let mut packets = Self {
            frames: Vec::new(),
            forwarded: BTreeMap::new(),
        };
        for n in from..from + count {
            let mut secret = [1; 32];
            secret[1..3].copy_from_slice(&n.to_be_bytes());
            let (packet, _) = build(&path, &[1], &secret, &[0; 3968], &Address::NONE).unwrap();
            packets
                .frames
                .push([&[0x80, 0x24], &packet.as_bytes()[..]].concat());
            let mut store = ReplayStore::new([0; 16]);
            match peel(&net.secret(0), packet, &mut store) {
                Ok(Peeled::Forward { packet, .. }) => {
                    packets.forwarded.insert(alpha(packet.as_bytes()), n.into());
                }
                other => panic!("not forwarded: {other:?}"),
            }
        }
        packets
    }

    fn number(&self, packet: &[u8]) -> Option<usize> {
        self.forwarded.get(&alpha(packet)).copied()
    }
}

fn alpha(packet: &[u8]) -> [u8; 32] {
    Packet::from_slice(packet).unwrap().as_bytes()[..32]
        .try_into()
        .unwrap()
}

async fn next(received: &mut mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    timeout(LONG, received.recv()).await.unwrap().unwrap()
}

/// Three times: send, kill while packets are on their way, start again, send the same again. What had left never leaves again;
/// what had not, and everything new, does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_before_a_kill_never_leaves_again() {
    const COUNT: u16 = 200;
    let dir = tempfile::tempdir().unwrap();
    let net = process::network(None);
    let identity = Keypair::generate_secp256k1();
    let mut left = BTreeSet::new();
    let mut all: Vec<Packets> = Vec::new();
    for round in 0..4 {
        let mut relay = Process::start(&net, Some(dir.path()), &CHILD);
        let mut sender = Rogue::connect_as(identity.clone(), &net, 0).await;
        let mut received = sender.take();
        let mut stream = sender.open().await;
        // Everything from the rounds before, then what is new.
        for frame in all.iter().flat_map(|packets| &packets.frames) {
            stream.write_all(frame).await.unwrap();
        }
        let fresh = Packets::new(&net, &sender, round * COUNT, COUNT);
        let writing = fresh.frames.clone();
        let writer = tokio::spawn(async move {
            for frame in &writing {
                if stream.write_all(frame).await.is_err() {
                    break;
                }
            }
            // The relay may be gone.
            let _ = stream.flush().await;
            stream
        });
        let wanted = if round == 3 { COUNT } else { COUNT / 3 };
        let before = left.len();
        let mut new = 0;
        while new < wanted {
            let packet = next(&mut received).await;
            let known = all
                .iter()
                .chain([&fresh])
                .find_map(|packets| packets.number(&packet));
            let number = known.expect("a packet that was sent");
            assert!(left.insert(number), "packet {number} left twice");
            new += u16::from(number >= usize::from(round * COUNT));
        }
        if round == 3 {
            let status = relay.status();
            let replayed = status["dropped"]["replayed"].as_u64().unwrap();
            assert!(
                replayed as usize >= before,
                "{replayed} of {before}: {status}"
            );
            assert_eq!(status["dropped"]["replay_unsaved"], 0, "{status}");
            assert_eq!(status["missing"], 0, "{status}");
        }
        relay.kill();
        writer.abort();
        // What the relay had sent before it was killed has left, whether we looked or not.
        drop(sender);
        while let Ok(Some(packet)) = timeout(Duration::from_millis(300), received.recv()).await {
            let known = all
                .iter()
                .chain([&fresh])
                .find_map(|packets| packets.number(&packet));
            assert!(left.insert(known.unwrap()), "a packet left twice");
        }
        all.push(fresh);
    }
    // The kills came in the middle of something.
    assert!(left.len() > usize::from(COUNT) && left.len() <= 4 * usize::from(COUNT));
}

/// Without its file a relay must have a new key; with another key's file it does not start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let net = process::network(None);
    let config = |net: &Net| {
        let mut config = net.config(0);
        config.replay_dir = Some(dir.path().to_owned());
        config
    };
    let (handle, _events, task) = mixnet::shell::spawn(config(&net)).unwrap();
    handle.shutdown().await;
    timeout(LONG, task).await.unwrap().unwrap();
    let file = std::fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    std::fs::write(file.path(), [7; 100]).unwrap();
    let refused = mixnet::shell::spawn(config(&net)).err().unwrap();
    assert!(
        refused.to_string().contains("begin with a new mix key"),
        "{refused}"
    );
}
