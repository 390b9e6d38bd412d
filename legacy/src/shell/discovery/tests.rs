//! Nodes of ours on loopback, with real sockets; hostile datagrams at a live one.

use std::net::Ipv4Addr;

use crate::discv4::endpoint::{Endpoint, Neighbour};
use crate::discv4::packet::{Message, Packet, decode};
use crate::identity::{NodeId, PublicKey};
use crate::keccak::keccak256;
use crate::rlp::List;
use crate::shell::{Config as NodeConfig, Event, Handle, spawn};

use super::*;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

/// A node that knows these; its events are read by a task of its own, which reports who comes.
struct Ours {
    handle: Handle,
    ups: mpsc::Receiver<NodeId>,
    task: JoinHandle<()>,
}

fn start(n: u8, bootnodes: &[Enode], file: Option<PathBuf>) -> Ours {
    let mut config = NodeConfig::new(key(n));
    config.discovery = Some(Config {
        bootnodes: bootnodes.to_vec(),
        file,
        nat: NatPolicy::None,
    });
    let (handle, mut events, task) = spawn(config).unwrap();
    let (sender, ups) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let Event::PeerUp { node, .. } = event {
                let _ = sender.try_send(node);
            }
        }
    });
    Ours { handle, ups, task }
}

impl Ours {
    fn enode(&self) -> Enode {
        *self.handle.local_enode().unwrap()
    }

    async fn meets(&mut self, other: &NodeId) {
        let met = async {
            while let Some(node) = self.ups.recv().await {
                if node == *other {
                    return;
                }
            }
            panic!("the node ended");
        };
        timeout(PATIENCE, met).await.expect("they meet");
    }

    async fn stop(self) {
        self.handle.shutdown().await;
        timeout(PATIENCE, self.task)
            .await
            .expect("it ends")
            .unwrap();
    }
}

/// The third knows only the first, as does the second; in the end each is connected to each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_of_which_all_know_one_become_connected() {
    let first = start(1, &[], None);
    let mut second = start(2, &[first.enode()], None);
    let mut third = start(3, &[first.enode()], None);
    let (one, two) = (key(1).public().node_id(), key(2).public().node_id());
    second.meets(&key(3).public().node_id()).await;
    third.meets(&two).await;
    // The connection to the bootnode may have come before or after.
    let connected = async {
        loop {
            let peers = third.handle.peers().await;
            if peers.iter().any(|peer| peer.enode.node_id() == one) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, connected)
        .await
        .expect("the bootnode too");
    let info = third.handle.discovery().unwrap();
    assert_eq!(info.record.enode().unwrap(), third.enode());
    for node in [first, second, third] {
        node.stop().await;
    }
}

/// A socket of the test, and a key.
struct Stranger {
    socket: UdpSocket,
    key: SecretKey,
    to: SocketAddr,
}

impl Stranger {
    async fn new(n: u8, to: SocketAddr) -> Stranger {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let key = key(n);
        Stranger { socket, key, to }
    }

    async fn send(&self, message: &Message) -> [u8; 32] {
        let (bytes, hash) = message.encode(&self.key);
        self.bytes(&bytes).await;
        hash
    }

    async fn bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to).await.unwrap();
    }

    async fn receive(&self) -> Packet {
        let mut bytes = [0; 2000];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut bytes)).await;
        let (len, from) = received.expect("an answer").unwrap();
        assert_eq!(from, self.to);
        decode(&bytes[..len]).unwrap()
    }

    fn ping(&self) -> Message {
        let from = Endpoint::new(self.socket.local_addr().unwrap(), 0);
        Message::Ping {
            version: 4,
            from,
            to: Endpoint::new(self.to, 0),
            expiration: expiration(),
            record_seq: None,
        }
    }

    fn find(&self) -> Message {
        Message::FindNode {
            target: [7; 64],
            expiration: expiration(),
        }
    }

    /// Nothing but pings and pongs has come when a ping that is sent now is answered: answers keep their order. What the node asks
    /// whom it believes is no answer.
    async fn was_not_answered(&self) {
        let hash = self.send(&self.ping()).await;
        loop {
            match self.receive().await.message {
                Message::Pong { ping, .. } if ping == hash => return,
                Message::Ping { .. }
                | Message::Pong { .. }
                | Message::FindNode { .. }
                | Message::EnrRequest { .. } => {}
                other => panic!("answered by {other:?}"),
            }
        }
    }

    /// Answers pings until a question is answered too. On a busy machine a pong may come after its time: then again.
    async fn prove(&self) {
        let proven = async {
            loop {
                self.send(&self.ping()).await;
                while let Ok(packet) = timeout(PAUSE, self.receive()).await {
                    match packet.message {
                        // As soon as it believes, it may ask itself.
                        Message::Pong { .. }
                        | Message::FindNode { .. }
                        | Message::EnrRequest { .. } => {}
                        Message::Ping { .. } => {
                            self.send(&pong(self.to, packet.hash)).await;
                            self.send(&self.find()).await;
                        }
                        Message::Neighbours { .. } => return,
                        other => panic!("{other:?}"),
                    }
                }
            }
        };
        timeout(PATIENCE, proven).await.expect("it is believed");
    }
}

/// After this long without a word a ping is sent again.
const PAUSE: Duration = Duration::from_millis(500);

fn pong(to: SocketAddr, ping: [u8; 32]) -> Message {
    Message::Pong {
        to: Endpoint::new(to, 0),
        ping,
        expiration: expiration(),
        record_seq: None,
    }
}

fn expiration() -> u64 {
    now().unix_s() + 20
}

fn rehashed(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = keccak256(&bytes[32..]);
    bytes[..32].copy_from_slice(&hash);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_datagrams_get_no_answer_and_do_no_harm() {
    let ours = start(10, &[], None);
    let stranger = Stranger::new(11, ours.enode().udp()).await;
    let (ping, _) = stranger.ping().encode(&stranger.key);
    let mut unhashed = ping.clone();
    unhashed[100] ^= 1;
    let mut unsigned = ping.clone();
    unsigned[96] = 9;
    let old = Message::Ping {
        version: 4,
        from: Endpoint::new(stranger.to, 0),
        to: Endpoint::new(stranger.to, 0),
        expiration: now().unix_s() - 1,
        record_seq: None,
    };
    let deep = (0..300).fold(List::new().finish(), |inner, _| {
        List::new().raw(&inner).finish()
    });
    let mut nested = ping[..98].to_vec();
    nested.extend_from_slice(&deep);
    for hostile in [
        vec![],
        vec![0],
        ping[..97].to_vec(),
        ping[..ping.len() - 1].to_vec(),
        unhashed,
        rehashed(unsigned),
        rehashed(nested),
        [&ping[..], &[0; 1300]].concat(),
        vec![0xff; 1280],
        vec![0xff; 1500],
        old.encode(&stranger.key).0,
        stranger.ping().encode(&key(10)).0,
        stranger.find().encode(&stranger.key).0,
        Message::EnrRequest {
            expiration: expiration(),
        }
        .encode(&stranger.key)
        .0,
    ] {
        stranger.bytes(&hostile).await;
    }
    // The first answer is to the ping that follows.
    stranger.was_not_answered().await;
    let counted = async {
        loop {
            let counters = ours.handle.discovery().unwrap().counters;
            if counters.received >= 15 {
                return counters;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let dropped = timeout(PATIENCE, counted).await.unwrap().dropped;
    let count = |why: &str| dropped.get(why).copied().unwrap_or(0);
    assert_eq!(
        (count("too_short"), count("too_long")),
        (3, 2),
        "{dropped:?}"
    );
    assert_eq!(
        (count("hash"), count("expired"), count("ourselves")),
        (3, 1, 1),
        "{dropped:?}"
    );
    assert_eq!(count("unproven"), 2, "{dropped:?}");
    assert_eq!(count("malformed") + count("signature"), 2, "{dropped:?}");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_questions_without_a_proof_is_not_answered() {
    let ours = start(12, &[], None);
    let stranger = Stranger::new(13, ours.enode().udp()).await;
    let (find, _) = stranger.find().encode(&stranger.key);
    for n in 0..2000 {
        stranger.bytes(&find).await;
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // The purse of this address fills again; then it is heard as anybody else, and nothing else has come.
    let mut bytes = [0; 2000];
    let heard = async {
        loop {
            let hash = stranger.send(&stranger.ping()).await;
            let answer = timeout(
                Duration::from_millis(200),
                stranger.socket.recv_from(&mut bytes),
            );
            if let Ok(received) = answer.await {
                let (len, _) = received.unwrap();
                return (hash, decode(&bytes[..len]).unwrap());
            }
        }
    };
    let (_, answer) = timeout(PATIENCE, heard).await.expect("it is heard again");
    assert!(matches!(answer.message, Message::Pong { .. }), "{answer:?}");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_pong_proves_nothing() {
    let ours = start(14, &[], None);
    let proven = Stranger::new(15, ours.enode().udp()).await;
    proven.prove().await;
    // Somebody else sends the pong of the first to a ping of his own.
    let other = Stranger::new(16, ours.enode().udp()).await;
    other.send(&other.ping()).await;
    let mut ping = None;
    while ping.is_none() {
        let packet = other.receive().await;
        ping = matches!(packet.message, Message::Ping { .. }).then_some(packet.hash);
    }
    let (replayed, _) = pong(other.to, ping.unwrap()).encode(&proven.key);
    other.bytes(&replayed).await;
    other.send(&other.find()).await;
    other.was_not_answered().await;
    ours.stop().await;
}

/// The node asks its bootnode, which answers with what must not be believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_that_must_not_be_believed_are_left_alone() {
    let listener = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let trap = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let boot = Enode::new(key(18).public(), listener.local_addr().unwrap());
    let ours = start(17, &[boot], None);
    let hostile = Stranger {
        socket: listener,
        key: key(18),
        to: ours.enode().udp(),
    };
    let name = |public_key: [u8; 64], at: SocketAddr| Neighbour {
        endpoint: Endpoint::new(at, 30303),
        public_key,
    };
    let place = trap.local_addr().unwrap();
    let mut off_curve = key(19).public().to_bytes();
    off_curve[63] ^= 1;
    assert!(PublicKey::from_bytes(&off_curve).is_err());
    let low = SocketAddr::from((Ipv4Addr::LOCALHOST, 1024));
    let special = SocketAddr::from(([255, 255, 255, 255], place.port()));
    let nodes = vec![
        name(off_curve, place),
        name(key(20).public().to_bytes(), low),
        name(key(21).public().to_bytes(), special),
    ];
    // It pings us, pauses, and asks; we ping it meanwhile. An answer that comes too late is asked for again.
    hostile.send(&hostile.ping()).await;
    let counters = loop {
        let packet = hostile.receive().await;
        match packet.message {
            Message::Ping { .. } => {
                hostile.send(&pong(hostile.to, packet.hash)).await;
            }
            Message::FindNode { .. } => {
                let answer = Message::Neighbours {
                    nodes: nodes.clone(),
                    expiration: expiration(),
                };
                hostile.send(&answer).await;
            }
            _ => {}
        }
        let counters = ours.handle.discovery().unwrap().counters;
        if !counters.disbelieved.is_empty() {
            break counters;
        }
    };
    let reasons: Vec<&str> = counters.disbelieved.keys().copied().collect();
    assert_eq!(reasons, ["key", "low_port", "special_network"]);
    assert_eq!(counters.nodes, 1, "only the bootnode");
    assert!(
        trap.try_recv_from(&mut [0; 1]).is_err(),
        "it talks to the trap"
    );
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_goes_on_after_a_restart() {
    let folder = std::env::temp_dir().join(format!("ferry-discovery-{}", std::process::id()));
    // A process of the same number may have been killed before.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("nodes");
    let ours = start(22, &[], Some(file.clone()));
    let record = ours.handle.discovery().unwrap().record;
    ours.stop().await;
    let stored = read_file(&file);
    assert_eq!(stored.record, Some(record.clone()));
    // Another port: another record, with the next number.
    let ours = start(22, &[], Some(file));
    let next = ours.handle.discovery().unwrap().record;
    assert!(next.seq() == record.seq() + 1 || next == record);
    ours.stop().await;
    std::fs::remove_dir_all(folder).unwrap();
}

/// Long for anything on loopback, even on a machine that is busy with a build.
const PATIENCE: Duration = Duration::from_secs(60);
