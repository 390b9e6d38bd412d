//! One relay by itself, in virtual time: how long it holds packets, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use mixnet::limits::{DELAY_MAX, DELAY_QUEUE_MAX, UNSAVED_MAX};
use mixnet::message::Message;
use mixnet::node::{Input, Output};
use mixnet::{
    Address, AddressPolicy, Capabilities, Descriptor, DropReason, Hop, Intake, Node, NodeConfig,
    Now, Packet, PacketKind, PeerKey, Preset, Protection, Received, ReplayStore, SecretKey,
    Statement, Topology, Transport, build,
};

/// A relay, with a network of three others that are never connected: it sends nothing of its own.
struct Bench {
    node: Node,
    intake: Intake,
    now: Now,
    own: Hop,
    others: Vec<Hop>,
    packets: u64,
}

fn peer(n: u8) -> PeerKey {
    let mut key = [n; 33];
    key[0] = 2;
    PeerKey::from_bytes(key).unwrap()
}

fn descriptor(n: u8) -> Descriptor {
    let statement = Statement {
        address: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000 + u16::from(n))),
        capabilities: Capabilities {
            relay: true,
            ..Capabilities::default()
        },
        ..Statement::new(0, SecretKey::from_bytes([n; 32]).public())
    };
    Descriptor::sign(statement, &[n; 32]).unwrap()
}

impl Bench {
    fn new(relay: bool) -> Self {
        let policy = AddressPolicy {
            allow_private: true,
        };
        let topology = Topology::new((1..=4).map(|n| descriptor(n * 16)).collect(), policy);
        let topology = topology.unwrap();
        let hops = (1..=4).map(|n| topology.hop(&descriptor(n * 16).peer()).unwrap());
        let hops: Vec<_> = hops.collect();
        let now = Now {
            mono: Instant::now(),
            unix_ms: 0,
        };
        let key = SecretKey::from_bytes([16; 32]);
        let store = ReplayStore::of(&key);
        let config = NodeConfig {
            key: key.public(),
            peer: hops[0].address.peer().unwrap(),
            address: hops[0].address,
            relay,
            kept_max: mixnet::limits::CONNECTIONS_KEPT_MAX,
            preset: Preset::RELAY,
            protection: Protection::of(&Preset::RELAY),
            topology,
            seed: [7; 32],
        };
        let mut node = Node::new(config, now);
        while node.poll_output().is_some() {}
        Self {
            node,
            intake: Intake::new(key, store),
            now,
            own: hops[0],
            others: hops[1..].to_vec(),
            packets: 0,
        }
    }

    /// A packet whose first hop is the relay, and whose second is `next`.
    fn packet(&mut self, delay_ms: u16, next: Hop) -> Packet {
        let mut secret = [1; 32];
        self.packets += 1;
        secret[..8].copy_from_slice(&self.packets.to_be_bytes());
        let path = [self.own, next, self.others[1], self.others[2]];
        let delays = [delay_ms, 80, 80];
        build(&path, &delays, &secret, &[0; 3968], &Address::NONE)
            .unwrap()
            .0
    }

    /// A packet that ends at the relay.
    fn last(&mut self, message: &[u8; 3968], destination: Address) -> Packet {
        self.packets += 1;
        let mut secret = [2; 32];
        secret[..8].copy_from_slice(&self.packets.to_be_bytes());
        build(&[self.own], &[], &secret, message, &destination)
            .unwrap()
            .0
    }

    fn input(&mut self, from: PeerKey, packet: Packet) {
        let at = self.now.mono;
        let batch = self.intake.take_one(Received { from, at, packet });
        self.node.handle(self.now, Input::Peeled(batch));
    }

    /// Runs until the next packet leaves; how long that took.
    fn next_departure(&mut self) -> Duration {
        let start = self.now.mono;
        loop {
            if let Some(output) = self.node.poll_output() {
                let Output::Transmit { kind, .. } = output else {
                    continue;
                };
                assert_eq!(kind, PacketKind::Forward);
                return self.now.mono - start;
            }
            self.now.mono = self.node.next_deadline().unwrap();
            self.node.handle(self.now, Input::Tick);
        }
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.node.status().counters.dropped(reason)
    }
}

/// The hold of a real relay is exponential with the packet's mean.
#[test]
fn packets_are_held_for_an_exponential_time() {
    const SAMPLES: usize = 4_000;
    let mut bench = Bench::new(true);
    let next = bench.others[0];
    let mut held: Vec<_> = (0..SAMPLES)
        .map(|_| {
            let packet = bench.packet(80, next);
            bench.input(peer(1), packet);
            bench.next_departure().as_secs_f64()
        })
        .collect();
    held.sort_by(f64::total_cmp);
    let n = SAMPLES as f64;
    let distance = held.iter().enumerate().map(|(i, held)| {
        let expected = 1.0 - (-held / 0.080).exp();
        (expected - i as f64 / n)
            .abs()
            .max(((i + 1) as f64 / n - expected).abs())
    });
    let distance = distance.fold(0.0, f64::max);
    // One per cent level: 1.63 / √n.
    assert!(distance <= 1.63 / n.sqrt(), "{distance}");
    assert_eq!(bench.dropped(DropReason::DelayCapped), 0);
}

#[test]
fn a_delay_that_parks_packets_is_capped_and_counted() {
    let mut bench = Bench::new(true);
    let next = bench.others[0];
    let mut capped = 0;
    for _ in 0..20 {
        let packet = bench.packet(u16::MAX, next);
        bench.input(peer(1), packet);
        let held = bench.next_departure();
        assert!(held <= DELAY_MAX);
        capped += u64::from(held == DELAY_MAX);
    }
    assert!(capped >= 10);
    assert_eq!(bench.dropped(DropReason::DelayCapped), capped);
    assert_eq!(bench.node.status().counters.dropped_total(), 0);
}

/// A full delay queue drops the newest; what is in it leaves.
#[test]
fn a_full_delay_queue_drops_the_newest() {
    let mut bench = Bench::new(true);
    let next = bench.others[0];
    for n in 0..DELAY_QUEUE_MAX + 10 {
        let packet = bench.packet(u16::MAX, next);
        // Many neighbours, each within its rate.
        bench.input(peer(3 + (n / 900) as u8), packet);
    }
    let status = bench.node.status();
    let early = status.counters.sent(PacketKind::Forward);
    assert_eq!(early, 0);
    assert_eq!(status.packets_delayed, DELAY_QUEUE_MAX);
    assert_eq!(bench.dropped(DropReason::QueueFull), 10);
    for _ in 0..DELAY_QUEUE_MAX {
        bench.next_departure();
    }
    assert_eq!(bench.node.status().packets_delayed, 0);
}

#[test]
fn a_node_that_does_not_relay_forwards_nothing() {
    let mut bench = Bench::new(false);
    let next = bench.others[0];
    let packet = bench.packet(80, next);
    bench.input(peer(1), packet);
    assert_eq!(bench.dropped(DropReason::NotRelaying), 1);
    assert_eq!(bench.node.status().packets_delayed, 0);
}

#[test]
fn a_path_back_to_the_relay_itself_is_refused() {
    let mut bench = Bench::new(true);
    let packet = bench.packet(80, bench.own);
    bench.input(peer(1), packet);
    assert_eq!(bench.dropped(DropReason::AddressRefused), 1);
    assert_eq!(bench.node.status().packets_delayed, 0);
}

/// The address that a packet names is never dialled: the output names a peer only, and a peer that
/// nobody knows is for the shell to find among its connections.
#[test]
fn an_unknown_peer_is_named_by_its_key_only() {
    let mut bench = Bench::new(true);
    let stranger = peer(99);
    let address = Address::direct(Ipv4Addr::new(10, 0, 0, 1), Transport::Tcp, 22, stranger);
    let next = Hop {
        key: bench.others[0].key,
        address,
    };
    let packet = bench.packet(1, next);
    bench.input(peer(1), packet);
    bench.now.mono += Duration::from_secs(1);
    bench.node.handle(bench.now, Input::Tick);
    let Some(Output::Transmit { to, .. }) = bench.node.poll_output() else {
        panic!("the packet does not leave");
    };
    assert_eq!(to, stranger);
}

#[test]
fn what_ends_here_is_counted_by_what_it_says() {
    let mut bench = Bench::new(true);
    let cover = Message::Drop.encode().unwrap();
    let packet = bench.last(&cover, Address::NONE);
    bench.input(peer(1), packet);
    assert_eq!(bench.node.status().counters.cover_received, 1);

    // A loop that is not ours is as silent as cover.
    let unasked = Message::Loop([1; 16]).encode().unwrap();
    let packet = bench.last(&unasked, Address::NONE);
    bench.input(peer(1), packet);
    assert_eq!(bench.node.status().counters.loops_returned, 0);
    assert_eq!(bench.node.status().counters.dropped_total(), 0);

    // This node is no proxy.
    let packet = bench.last(&cover, bench.others[0].address);
    bench.input(peer(1), packet);
    assert_eq!(bench.dropped(DropReason::AddressRefused), 1);

    // A reply comes through a reply block only.
    let reply = Message::Reply(&[1; 40]).encode().unwrap();
    let packet = bench.last(&reply, Address::NONE);
    bench.input(peer(1), packet);
    assert_eq!(bench.dropped(DropReason::UnknownCodec), 1);

    let frame = Message::Gateway(&[9; 40]).encode().unwrap();
    let packet = bench.last(&frame, Address::NONE);
    bench.input(peer(1), packet);
    assert_eq!(bench.dropped(DropReason::FrameVersion), 1);

    let packet = bench.last(&[0xff; 3968], Address::NONE);
    bench.input(peer(1), packet);
    assert_eq!(bench.dropped(DropReason::MessagePadding), 1);
    assert_eq!(bench.node.status().counters.dropped_total(), 4);
    assert!(bench.node.poll_output().is_none());
}

/// A packet whose tag is not on the disk rests on, and leaves when it is.
#[test]
fn a_packet_leaves_only_when_its_tag_is_on_the_disk() {
    let mut bench = Bench::new(true);
    let next = bench.others[0];
    let at = bench.now.mono;
    for mark in [1, 2, 3] {
        let packet = bench.packet(1, next);
        let received = Received {
            from: peer(1),
            at,
            packet,
        };
        let batch = bench.intake.take_one(received).marked(mark);
        bench.node.handle(bench.now, Input::Peeled(batch));
    }
    let sent = |bench: &Bench| bench.node.status().counters.sent(PacketKind::Forward);
    bench.now.mono += Duration::from_millis(500);
    bench.node.handle(bench.now, Input::Tick);
    assert_eq!((sent(&bench), bench.node.status().packets_delayed), (0, 3));
    assert!(!bench.node.is_drained());
    bench.node.handle(bench.now, Input::Durable(2));
    assert_eq!((sent(&bench), bench.node.status().packets_delayed), (2, 1));
    // What is known to be on the disk already waits for nothing.
    bench.node.handle(bench.now, Input::Durable(1));
    let packet = bench.packet(1, next);
    let received = Received {
        from: peer(1),
        at,
        packet,
    };
    let batch = bench.intake.take_one(received).marked(2);
    bench.node.handle(bench.now, Input::Peeled(batch));
    bench.node.handle(bench.now, Input::Tick);
    assert_eq!((sent(&bench), bench.node.status().packets_delayed), (3, 1));

    // A disk that does not answer loses the packet, counted.
    while bench.node.status().packets_delayed > 0 {
        bench.now.mono = bench.node.next_deadline().unwrap();
        bench.node.handle(bench.now, Input::Tick);
    }
    assert_eq!(
        bench.now.mono - at,
        Duration::from_millis(500) + UNSAVED_MAX
    );
    assert_eq!(bench.dropped(DropReason::ReplayUnsaved), 1);
    bench.node.handle(bench.now, Input::Durable(9));
    assert_eq!(sent(&bench), 3);
}

/// A packet that ends here says nothing before the system has its tag; it need not wait for the disk.
#[test]
fn a_packet_ends_only_when_its_tag_is_written() {
    let mut bench = Bench::new(true);
    let cover = Message::Drop.encode().unwrap();
    let end = |bench: &mut Bench, mark| {
        let packet = bench.last(&cover, Address::NONE);
        let (from, at) = (peer(1), bench.now.mono);
        let batch = bench.intake.take_one(Received { from, at, packet });
        assert!(batch.ends() && !batch.forwards());
        bench
            .node
            .handle(bench.now, Input::Peeled(batch.marked(mark)));
        let status = bench.node.status();
        assert_eq!(status.counters.missing(status.packets_delayed), 0);
        (status.counters.cover_received, status.packets_delayed)
    };
    assert_eq!(end(&mut bench, 1), (0, 1));
    bench.node.handle(bench.now, Input::Written(1));
    assert_eq!(end(&mut bench, 1), (2, 0));
    // What the disk has, the system has.
    bench.node.handle(bench.now, Input::Durable(2));
    assert_eq!(end(&mut bench, 2), (3, 0));
    // One that is not written in time has never been.
    assert_eq!(end(&mut bench, 3), (3, 1));
    bench.now.mono += UNSAVED_MAX;
    bench.node.handle(bench.now, Input::Tick);
    bench.node.handle(bench.now, Input::Written(3));
    let status = bench.node.status();
    assert_eq!(
        (status.counters.cover_received, status.packets_delayed),
        (3, 0)
    );
    assert_eq!(bench.dropped(DropReason::ReplayUnsaved), 1);
    assert_eq!(status.counters.missing(0), 0);
}

/// What rests for the disk counts against the same bound as what waits out its delay.
#[test]
fn packets_that_wait_for_the_disk_are_bounded() {
    let mut bench = Bench::new(true);
    let next = bench.others[0];
    for n in 0..DELAY_QUEUE_MAX + 5 {
        let at = bench.now.mono;
        let packet = bench.packet(1, next);
        let received = Received {
            from: peer(3 + (n / 900) as u8),
            at,
            packet,
        };
        let batch = bench.intake.take_one(received).marked(1);
        bench.node.handle(bench.now, Input::Peeled(batch));
        bench.now.mono += Duration::from_micros(100);
        bench.node.handle(bench.now, Input::Tick);
    }
    assert_eq!(bench.node.status().packets_delayed, DELAY_QUEUE_MAX);
    assert_eq!(bench.dropped(DropReason::QueueFull), 5);
    bench.node.handle(bench.now, Input::Durable(1));
    bench.now.mono += Duration::from_secs(1);
    bench.node.handle(bench.now, Input::Tick);
    let sent = bench.node.status().counters.sent(PacketKind::Forward);
    assert_eq!(sent, DELAY_QUEUE_MAX as u64);
}

/// The clock of a delay starts when the packet arrives, not when it has been peeled.
#[test]
fn time_in_the_intake_is_part_of_the_delay() {
    let mut bench = Bench::new(true);
    let next = bench.others[0];
    let at = bench.now.mono;
    let packet = bench.packet(1, next);
    let batch = bench.intake.take_one(Received {
        from: peer(1),
        at,
        packet,
    });
    bench.now.mono += Duration::from_secs(1);
    bench.node.handle(bench.now, Input::Peeled(batch));
    assert_eq!(bench.next_departure(), Duration::ZERO);
    let status = bench.node.status();
    assert_eq!(
        (status.processing.count(), status.processing.sum_us()),
        (1, 1_000_000)
    );
}
