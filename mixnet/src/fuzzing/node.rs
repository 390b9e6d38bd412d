//! A whole node under a script: packets good and bad, neighbours that come and go, time that passes, keys that change.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::OnceLock;
use std::time::Duration;

use super::reassembly::Time;
use super::script::Script;
use crate::address::{Address, AddressPolicy, PeerKey};
use crate::descriptor::{Capabilities, Descriptor, Statement};
use crate::fragment::Object;
use crate::geometry::{MESSAGE_LEN, PACKET_LEN};
use crate::intake::{Intake, Received};
use crate::level::Protection;
use crate::limits::{DELAY_QUEUE_MAX, PRESEND_QUEUE_MAX, SEND_QUEUE_FRAMES_MAX, SURBS_MAX};
use crate::message::Message;
use crate::node::{Input, Node, NodeConfig, Output};
use crate::preset::Preset;
use crate::replay::ReplayStore;
use crate::sphinx::{Hop, Packet, SecretKey, build};
use crate::topology::Topology;

/// What is the same for every script: a network of five, and packets for the first of them.
struct World {
    topology: Topology,
    peers: Vec<PeerKey>,
    packets: Vec<Packet>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let descriptors: Vec<_> = (1..=5).map(|n| descriptor(n, role(n))).collect();
        let peers: Vec<_> = descriptors.iter().map(Descriptor::peer).collect();
        let policy = AddressPolicy {
            allow_private: true,
        };
        let topology = Topology::new(descriptors, policy).expect("a good network");
        let hop = |n: usize| topology.hop(&peers[n]).expect("a known node");
        let own = hop(0);
        let messages = [
            Message::Drop.encode(),
            Message::Loop([1; 16]).encode(),
            Message::Gateway(&[1; 50]).encode(),
            Message::Reply(&[1; 50]).encode(),
            Some(Box::new([0xff; MESSAGE_LEN])),
        ];
        let messages: Vec<_> = messages.into_iter().flatten().collect();
        let mut packets = Vec::new();
        for n in 0..PACKETS {
            let mut secret = [3; 32];
            secret[1] = n;
            let message = &messages[usize::from(n) % messages.len()];
            let path: Vec<Hop> = match n % 4 {
                0 => vec![own],
                1 => vec![own, hop(1), hop(2), hop(3)],
                2 => vec![own, hop(4)],
                _ => vec![own, own],
            };
            let delays = vec![1 + u16::from(n) * 250; path.len() - 1];
            let built = build(&path, &delays, &secret, message, &Address::NONE);
            packets.push(built.expect("a good path").0);
        }
        World {
            topology,
            peers,
            packets,
        }
    })
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32])
}

/// Four relays and a bridge.
fn role(n: u8) -> Capabilities {
    Capabilities {
        relay: n < 5,
        bridge: n == 5,
        mailbox: false,
    }
}

pub(super) fn descriptor(n: u8, capabilities: Capabilities) -> Descriptor {
    let statement = Statement {
        address: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000 + u16::from(n))),
        capabilities,
        gateway_key: capabilities.bridge.then_some([1; 32]),
        ..Statement::new(0, secret(n).public())
    };
    Descriptor::sign(statement, &[n; 32]).expect("a good key")
}

/// A script for one relay that also sends.
pub fn node(data: &[u8]) {
    let world = world();
    let mut script = Script::new(data);
    let mut time = Time::new();
    let store = ReplayStore::of(&secret(1));
    let mut intake = Intake::new(secret(1), store);
    let own = world.topology.hop(&world.peers[0]).expect("a known node");
    let config = NodeConfig {
        key: own.key,
        peer: world.peers[0],
        address: own.address,
        relay: script.byte().is_multiple_of(2),
        kept_max: crate::limits::CONNECTIONS_KEPT_MAX,
        preset: Preset::FAST,
        protection: Protection::of(&Preset::FAST),
        topology: world.topology.clone(),
        seed: [script.byte(); 32],
    };
    let mut node = Node::new(config, time.now());
    let (mut received, mut mark) = (0, 0);
    for _ in 0..STEPS_MAX {
        let Some(step) = script.step() else { break };
        let peer = world.peers[usize::from(step / 16) % world.peers.len()];
        let now = time.now();
        match step % 16 {
            0..=5 => {
                let mut packet = world.packets[usize::from(script.byte() % PACKETS)].clone();
                if step % 16 == 5 {
                    packet.as_mut()[usize::from(script.number()) % PACKET_LEN] ^= 1;
                }
                received += 1;
                mark += u64::from(step % 16 == 4);
                let from = peer;
                let batch = intake.take_one(Received {
                    from,
                    at: now.mono,
                    packet,
                });
                node.handle(now, Input::Peeled(batch.marked(mark)));
            }
            6 => {
                let mark = u64::from(script.byte());
                let saved = match step / 16 {
                    0..8 => Input::Durable(mark),
                    _ => Input::Written(mark),
                };
                node.handle(now, saved);
            }
            7 => node.handle(now, Input::NeighbourUp(peer)),
            8 => node.handle(now, Input::NeighbourDown(peer)),
            9 => node.handle(now, Input::Unreachable(peer)),
            10 => {
                let bytes = vec![1; usize::from(script.number())];
                let object = Object {
                    kind: 1,
                    tag: [2; 16],
                    bytes,
                };
                // Refusals are for the sender; none may disturb the node.
                let _ = node.send(world.peers[4], object);
            }
            11 => {
                let blocks = node.make_surbs(now, usize::from(script.byte() % 4));
                let object = Object {
                    kind: 1,
                    tag: [2; 16],
                    bytes: vec![1; 10],
                };
                let _ = node.reply(blocks.unwrap_or_default(), object);
            }
            12 => {
                let key = secret(script.byte() % 3 + 1);
                let store = ReplayStore::of(&key);
                let id = key.public();
                intake.install(key, store);
                node.handle(now, Input::Key(id));
            }
            13 => intake.retire(&secret(script.byte() % 3 + 1).public()),
            14 => {
                time.pass(Duration::from_millis(u64::from(script.number())));
                node.handle(time.now(), Input::Tick);
            }
            _ => {
                let due = node
                    .next_deadline()
                    .map(|at| at.saturating_duration_since(now.mono));
                // As a shell does; far deadlines are left alone.
                if let Some(due) = due.filter(|due| *due < Duration::from_secs(3600)) {
                    time.pass(due);
                    node.handle(time.now(), Input::Tick);
                }
            }
        }
        check(&mut node, received);
    }
    node.stop();
    let _ = node.is_drained();
}

/// Drains, and checks what holds after every step.
fn check(node: &mut Node, received: u64) {
    while let Some(output) = node.poll_output() {
        match output {
            Output::Transmit { .. }
            | Output::Relays { .. }
            | Output::SurbsStale
            | Output::Notice(_)
            | Output::Mailbox(_)
            | Output::Serve(_) => {}
            Output::Deliver { object, .. } => assert!(object.kind >= 1),
        }
    }
    let status = node.status();
    let counters = &status.counters;
    assert_eq!(counters.received, received);
    assert!(status.packets_delayed <= DELAY_QUEUE_MAX && status.packets_held <= PRESEND_QUEUE_MAX);
    assert!(
        status.frames_queued <= SEND_QUEUE_FRAMES_MAX + 512
            && status.surbs_outstanding <= SURBS_MAX
    );
    // Nothing that came is lost, leaves twice or counts twice.
    assert_eq!(counters.missing(status.packets_delayed), 0, "{status:?}");
}

/// Distinct packets that a script may use.
const PACKETS: u8 = 32;
/// More says nothing new and takes longer.
const STEPS_MAX: usize = 200;
