//! A relay, in a process of its own, whose mix keys change while packets come.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;
#[path = "shell/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::AsyncWriteExt;
use libp2p::Stream;
use libp2p::identity::Keypair;
use mixnet::{Address, Hop, Packet, Peeled, ReplayStore, build, peel};
use net::{LONG, Net, ROGUE, Rogue, mix_key};
use process::Process;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Not a test of its own: the relay of the tests below.
#[test]
fn relay_process() {
    process::serve_if_child();
}

const CHILD: [&str; 3] = ["relay_process", "--exact", "--nocapture"];

/// A neighbour that sends itself packets through the relay, by any of the relay's keys.
struct Sender {
    /// Keeps the connection.
    rogue: Rogue,
    stream: Stream,
    received: mpsc::Receiver<Vec<u8>>,
    /// Every packet that was sent, by its number.
    frames: Vec<Vec<u8>>,
    back: BTreeSet<usize>,
}

impl Sender {
    async fn connect(net: &Net, identity: &Keypair) -> Self {
        let mut rogue = Rogue::connect_as(identity.clone(), net, 0).await;
        let received = rogue.take();
        let stream = rogue.open().await;
        Self {
            rogue,
            stream,
            received,
            frames: Vec::new(),
            back: BTreeSet::new(),
        }
    }

    /// Sends `count` new packets under the keys of these numbers in turn, and takes what comes meanwhile.
    async fn send(&mut self, net: &Net, keys: &[u8], count: usize) {
        for n in 0..count {
            let own = Hop {
                key: mix_key(keys[n % keys.len()]).public(),
                ..net.hop(0)
            };
            let path = [own, net.hop_at(self.rogue.peer)];
            let mut message = Box::new([0; 3968]);
            message[..8].copy_from_slice(&(self.frames.len() as u64).to_be_bytes());
            let secret: [u8; 32] = std::array::from_fn(|n| if n < 8 { message[n] } else { 5 });
            let packet = build(&path, &[20], &secret, &message, &Address::NONE)
                .unwrap()
                .0;
            self.frames
                .push([&[0x80, 0x24], &packet.as_bytes()[..]].concat());
            self.again(self.frames.len() - 1).await;
            // A few hundred a second, which is within the rate of one neighbour.
            sleep(Duration::from_millis(2)).await;
            self.take();
        }
    }

    /// Sends a packet as it was sent before.
    async fn again(&mut self, number: usize) {
        let frame = &self.frames[number];
        timeout(LONG, self.stream.write_all(frame))
            .await
            .unwrap()
            .unwrap();
        timeout(LONG, self.stream.flush()).await.unwrap().unwrap();
    }

    fn take(&mut self) {
        while let Ok(packet) = self.received.try_recv() {
            self.came(&packet);
        }
    }

    fn came(&mut self, packet: &[u8]) {
        let packet = Packet::from_slice(packet).unwrap();
        let peeled = peel(&mix_key(ROGUE), packet, &mut ReplayStore::new([0; 16]));
        let Ok(Peeled::Exit { message, .. }) = peeled else {
            panic!("not what was sent: {peeled:?}");
        };
        let number = u64::from_be_bytes(message[..8].try_into().unwrap()) as usize;
        assert!(self.back.insert(number), "packet {number} came twice");
    }

    /// Waits until so many packets have come back.
    async fn wait(&mut self, count: usize) {
        while self.back.len() < count {
            let packet = timeout(LONG, self.received.recv()).await.unwrap().unwrap();
            self.came(&packet);
        }
    }
}

fn dropped(status: &serde_json::Value, reason: &str) -> u64 {
    status["dropped"][reason].as_u64().unwrap()
}

/// Waits until the relay has nothing left and has dropped so many packets for a reason; its status then.
async fn settled(relay: &mut Process, reason: &str, count: u64) -> serde_json::Value {
    let end = tokio::time::Instant::now() + LONG;
    loop {
        let status = relay.status();
        assert_eq!(status["missing"], 0, "{status}");
        if status["delayed"] == 0 && dropped(&status, reason) >= count {
            return status;
        }
        assert!(tokio::time::Instant::now() < end, "{status}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Keys 1, 2 and 3 one after the other, each with the one before it in its grace, while packets for both come: none is lost, none
/// passes twice, and those of a key that is out of use are nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_load() {
    const EACH: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let net = process::network(None);
    let mut relay = Process::start(&net, Some(dir.path()), &CHILD);
    let identity = Keypair::generate_secp256k1();
    let mut sender = Sender::connect(&net, &identity).await;
    sender.send(&net, &[1], EACH).await;
    relay.ask("install 2");
    sender.send(&net, &[1, 2], EACH).await;
    // A third key takes the place of the first; packets for the second go on.
    sender.wait(2 * EACH).await;
    relay.ask("install 3");
    sender.send(&net, &[2, 3], EACH).await;
    sender.wait(3 * EACH).await;
    let status = settled(&mut relay, "mac", 0).await;
    let losses = ["mac", "replayed", "replay_unsaved", "queue_full"];
    assert!(
        losses.iter().all(|reason| dropped(&status, reason) == 0),
        "{status}"
    );

    // Everything again: what the first key took is nobody's, what the others took is known.
    for number in 0..3 * EACH {
        sender.again(number).await;
        sleep(Duration::from_millis(2)).await;
    }
    let of_the_first = (EACH + EACH / 2) as u64;
    let of_the_others = 3 * EACH as u64 - of_the_first;
    settled(&mut relay, "mac", of_the_first).await;
    let status = settled(&mut relay, "replayed", of_the_others).await;
    assert_eq!(dropped(&status, "mac"), of_the_first, "{status}");
    assert_eq!(dropped(&status, "replayed"), of_the_others, "{status}");
    relay.ask("retire 2");
    sender.send(&net, &[3, 2], 20).await;
    sender.wait(3 * EACH + 10).await;
    let status = settled(&mut relay, "mac", of_the_first + 10).await;
    assert_eq!(dropped(&status, "mac"), of_the_first + 10, "{status}");
}

/// A relay that is killed in the grace of a key, and starts again with the older one, knows what both have seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_a_change_forgets_neither_key() {
    const EACH: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let net = process::network(None);
    let identity = Keypair::generate_secp256k1();
    let mut relay = Process::start(&net, Some(dir.path()), &CHILD);
    let mut sender = Sender::connect(&net, &identity).await;
    relay.ask("install 2");
    sender.send(&net, &[1, 2], EACH).await;
    sender.wait(EACH).await;
    relay.kill();
    let frames = std::mem::take(&mut sender.frames);
    drop(sender);

    let mut relay = Process::start(&net, Some(dir.path()), &CHILD);
    relay.ask("install 2");
    let mut sender = Sender::connect(&net, &identity).await;
    sender.frames = frames;
    for number in 0..EACH {
        sender.again(number).await;
    }
    let status = settled(&mut relay, "replayed", EACH as u64).await;
    assert_eq!(dropped(&status, "replayed"), EACH as u64, "{status}");
    sender.send(&net, &[2, 1], EACH).await;
    sender.wait(EACH).await;
}
