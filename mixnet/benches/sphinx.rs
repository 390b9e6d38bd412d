//! How long the packet work of one core takes, and against what it stands.
//!
//! `cargo bench -p mixnet --no-default-features --bench sphinx` measures each piece with criterion (JSON under
//! `target/criterion`). Then it measures in turns what belongs together, so that a machine that changes its pace changes both
//! sides, and ends with a line per goal and a file of JSON (`FERRY_MIX_REPORTS`):
//!
//! | ratio | of | to |
//! |---|---|---|
//! | `sphinx_packet` | a packet of 4608 bytes through `process` of crate sphinx-packet 0.8.0 | our peel |
//! | `efficiency` | two X25519 multiplications of the same library | our peel |
//! | `build` | our build of a path of three hops | the words of LIP-99, product by product |
//! | `surb` | our reply block of three hops | the same, its message apart |
//! | `build_four` | our build of a path of four hops | thirteen products of a variable point and one of the base point |

#![allow(clippy::unwrap_used)]

#[path = "../tests/lip99/reading.rs"]
mod lip99;
#[path = "../tests/shell/report.rs"]
mod report;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use curve25519_dalek::MontgomeryPoint;
use mixnet::geometry::{HOPS, MESSAGE_LEN, PACKET_LEN, PAYLOAD_LEN};
use mixnet::replay::{Replay, ReplayError, ReplayTag};
use mixnet::sphinx::{Lioness, ReplyKey};
use mixnet::{
    Address, Hop, Packet, Peeled, PeerKey, ReplayStore, SecretKey, Surb, SurbId, SurbKeys,
    Transport, build, make_surb, peel,
};
use report::Report;
use sphinx_packet::header::HEADER_SIZE;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{SphinxPacket, SphinxPacketBuilder};
use x25519_dalek::StaticSecret;

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    let path = Path::new();
    path.packets(&mut criterion);
    path.replies(&mut criterion);
    theirs(&mut criterion);
    primitives(&mut criterion);
    replay(&mut criterion);
    criterion.final_summary();
    path.ratios()
}

/// Three relays and a service.
struct Path {
    keys: Vec<SecretKey>,
    hops: Vec<Hop>,
}

impl Path {
    fn new() -> Self {
        let keys: Vec<_> = (1..=HOPS as u8)
            .map(|n| SecretKey::from_bytes([n; 32]))
            .collect();
        let hop = |key: &SecretKey| Hop {
            key: key.public(),
            address: Address::direct(Ipv4Addr::LOCALHOST, Transport::Tcp, 1, peer()),
        };
        let hops = keys.iter().map(hop).collect();
        Self { keys, hops }
    }

    fn packet(&self, hops: usize) -> Packet {
        let none = Address::NONE;
        let path = &self.hops[..hops];
        let built = build(
            path,
            &DELAYS[..hops - 1],
            &[7; 32],
            &[1; MESSAGE_LEN],
            &none,
        );
        built.expect("the path is good").0
    }

    fn surb(&self, hops: usize) -> (Surb, SurbKeys) {
        let id = SurbId::from_bytes([1; 16]).expect("not zero");
        let key = ReplyKey::from_bytes([2; 16]);
        let path = &self.hops[..hops];
        make_surb(path, &DELAYS[..hops - 1], &[7; 32], id, key).expect("the path is good")
    }

    /// What the hop finds after those before it.
    fn at_hop(&self, hop: usize, packet: Packet) -> Packet {
        self.keys[..hop].iter().fold(packet, |packet, key| {
            match peel(key, packet, &mut Forgetful) {
                Ok(Peeled::Forward { packet, .. }) => packet,
                other => unreachable!("a relay forwards: {other:?}"),
            }
        })
    }

    fn packets(&self, criterion: &mut Criterion) {
        let packet = self.packet(HOPS);
        criterion.bench_function("build, 4 hops", |b| b.iter(|| self.packet(HOPS)));
        criterion.bench_function("build, 3 hops", |b| b.iter(|| self.packet(3)));
        criterion.bench_function("build, 3 hops, word by word", |b| b.iter(|| self.naive()));
        criterion.bench_function("peel, relay", |b| {
            b.iter_batched(
                || packet.clone(),
                |packet| peel(&self.keys[0], packet, &mut Forgetful),
                BatchSize::SmallInput,
            );
        });
        let last = self.at_hop(HOPS - 1, packet.clone());
        criterion.bench_function("peel, last hop", |b| {
            b.iter_batched(
                || last.clone(),
                |last| peel(&self.keys[HOPS - 1], last, &mut Forgetful),
                BatchSize::SmallInput,
            );
        });
    }

    fn replies(&self, criterion: &mut Criterion) {
        criterion.bench_function("reply block, make", |b| b.iter(|| self.surb(HOPS)));
        let block = self.surb(HOPS).0.to_bytes();
        criterion.bench_function("reply block, use", |b| {
            b.iter(|| {
                let surb = Surb::from_bytes(black_box(&block)).expect("a good block");
                surb.seal(&[1; MESSAGE_LEN])
            });
        });
        let (surb, keys) = self.surb(HOPS);
        let packet = self.at_hop(HOPS - 1, surb.seal(&[1; MESSAGE_LEN]).0);
        let Ok(Peeled::Reply { delta, .. }) = peel(&self.keys[HOPS - 1], packet, &mut Forgetful)
        else {
            unreachable!("the last hop finds a reply");
        };
        criterion.bench_function("reply, open", |b| {
            b.iter_batched(
                || delta.clone(),
                |delta| keys.open(delta),
                BatchSize::SmallInput,
            );
        });
    }

    /// The words of LIP-99 along three hops.
    fn naive(&self) -> Vec<u8> {
        let hop = |n: usize| lip99::Hop {
            key: *self.hops[n].key.as_bytes(),
            address: self.hops[n].address.to_bytes(),
        };
        lip99::build(
            &[hop(0), hop(1), hop(2)],
            [1, 1],
            [7; 32],
            &[1; MESSAGE_LEN],
        )
    }

    fn ratios(&self) -> ExitCode {
        assert!(
            self.naive() == self.packet(3).as_bytes(),
            "both build the same bytes"
        );
        let packet = self.packet(HOPS);
        let (key, other) = Theirs::new();
        let message = [1; MESSAGE_LEN];
        let [
            curve,
            peeled,
            process,
            naive,
            three,
            block,
            four,
            thirteen,
            lions,
        ] = fastest([
            &mut || {
                black_box(two_multiplications(black_box([5; 32]), black_box([9; 32])));
            },
            &mut || {
                drop(black_box(peel(
                    &self.keys[0],
                    packet.clone(),
                    &mut Forgetful,
                )))
            },
            &mut || drop(black_box(other.copy().process(&key))),
            &mut || drop(black_box(self.naive())),
            &mut || drop(black_box(self.packet(3))),
            &mut || drop(black_box(self.surb(3))),
            &mut || drop(black_box(self.packet(HOPS))),
            &mut || {
                let (factor, point) = (black_box([5; 32]), black_box([9; 32]));
                black_box(MontgomeryPoint::mul_base_clamped(factor));
                for _ in 0..13 {
                    black_box(MontgomeryPoint(point).mul_clamped(factor));
                }
            },
            // What a packet has and a reply block has not: a message under LIONESS, three times.
            &mut || {
                let mut payload = Box::new([3; PAYLOAD_LEN]);
                payload[16..].copy_from_slice(&message);
                (0..3).for_each(|n| Lioness::new(black_box(&[n; 32])).encrypt(&mut *payload));
                black_box(payload);
            },
        ]);
        let mut report = Report::new("sphinx");
        for (name, ns) in [
            ("peel_ns", peeled),
            ("x25519_twice_ns", curve),
            ("sphinx_packet_ns", process),
            ("build_three_ns", three),
            ("build_three_naive_ns", naive),
            ("surb_three_ns", block),
            ("build_four_ns", four),
            ("build_four_ratio", four / thirteen),
        ] {
            report.fact(name, (ns * 1000.0).round() / 1000.0);
        }
        let mut ratio = |goal: &str, found: f64, good: bool| {
            report.goal(goal, &format!("{found:.3}"), good);
        };
        let (theirs, efficiency) = (process / peeled, curve / peeled);
        let (build, surb) = (three / naive, block / (naive - lions));
        ratio(
            "A1: at least 1.25 times sphinx-packet 0.8.0",
            theirs,
            theirs >= 1.25,
        );
        ratio(
            "A2: efficiency at least 0.85",
            efficiency,
            efficiency >= 0.85,
        );
        ratio(
            "A3: a packet takes at most 0.55 of the naive way",
            build,
            build <= 0.55,
        );
        ratio("A3: a reply block takes at most 0.55", surb, surb <= 0.55);
        ExitCode::from(u8::from(!report.end()))
    }
}

/// A packet of crate sphinx-packet that weighs as much as ours.
struct Theirs(Vec<u8>);

impl Theirs {
    fn new() -> (StaticSecret, Self) {
        let secrets = [1, 2, 3].map(|n| StaticSecret::from([n; 32]));
        let route = [0, 1, 2].map(|n| {
            let address = NodeAddressBytes::from_bytes([n as u8; 32]);
            Node::new(address, (&secrets[n]).into())
        });
        let destination = DestinationAddressBytes::from_bytes([4; 32]);
        let destination = Destination::new(destination, [5; 16]);
        let delays = [Delay::new_from_millis(1); 3];
        let packet = SphinxPacketBuilder::new()
            .with_payload_size(PACKET_LEN - HEADER_SIZE)
            .build_packet([1; 3000], &route, &destination, &delays)
            .unwrap();
        let bytes = packet.to_bytes();
        assert_eq!(bytes.len(), PACKET_LEN);
        let [first, ..] = secrets;
        (first, Self(bytes))
    }

    /// As it comes from the wire.
    fn copy(&self) -> SphinxPacket {
        SphinxPacket::from_bytes(&self.0).unwrap()
    }
}

fn theirs(criterion: &mut Criterion) {
    let (key, packet) = Theirs::new();
    criterion.bench_function("process, sphinx-packet 0.8.0", |b| {
        b.iter_batched(
            || packet.copy(),
            |packet| packet.process(&key).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

fn primitives(criterion: &mut Criterion) {
    criterion.bench_function("X25519, twice", |b| {
        b.iter(|| two_multiplications(black_box([5; 32]), black_box([9; 32])));
    });
    let mut payload = Box::new([3; PAYLOAD_LEN]);
    criterion.bench_function("LIONESS, 3984 bytes", |b| {
        b.iter(|| Lioness::new(black_box(&[4; 32])).decrypt(&mut *payload));
    });
}

/// A tag that was never seen, against a store of a million, which is what nearly every packet brings.
fn replay(criterion: &mut Criterion) {
    let tag = |n: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ReplayTag::from_bytes(bytes)
    };
    let mut store = ReplayStore::new([1; 16]);
    let mut n = 0;
    while store.len() < 1_000_000 {
        // One in 2^40 / a million is a duplicate by accident.
        let _ = store.insert(&tag(n));
        n += 1;
    }
    criterion.bench_function("replay store, look up", |b| {
        b.iter(|| {
            n += 1;
            store.seen(&tag(n))
        });
    });
    while store.insert(&tag(n)) != Err(ReplayError::Full) {
        n += 1;
    }
    criterion.bench_function("replay store, look up in a full one", |b| {
        b.iter(|| {
            n += 1;
            store.seen(&tag(n))
        });
    });
}

/// What a hop cannot do without: its secret times alpha, and the blinding factor times alpha.
fn two_multiplications(secret: [u8; 32], point: [u8; 32]) -> [u8; 32] {
    let alpha = MontgomeryPoint(point);
    let shared = alpha.mul_clamped(secret);
    alpha.mul_clamped(shared.0).0
}

/// The fastest of many rounds of each, taken in turns; nanoseconds a run.
fn fastest<const N: usize>(mut runs: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..ROUNDS {
        for (best, run) in best.iter_mut().zip(&mut runs) {
            let start = Instant::now();
            for _ in 0..RUNS {
                run();
            }
            *best = (*best).min(start.elapsed());
        }
    }
    best.map(|best| best.as_nanos() as f64 / f64::from(RUNS))
}

fn peer() -> PeerKey {
    let mut key = [5; 33];
    key[0] = 2;
    PeerKey::from_bytes(key).expect("a compressed key")
}

/// Peeling the same packet again and again must not be a replay.
struct Forgetful;

impl Replay for Forgetful {
    fn seen(&self, _: &ReplayTag) -> bool {
        false
    }

    fn insert(&mut self, _: &ReplayTag) -> Result<(), ReplayError> {
        Ok(())
    }
}

const DELAYS: [u16; HOPS - 1] = [1; HOPS - 1];
/// Rounds of which the fastest counts.
const ROUNDS: usize = 400;
/// Runs of one round: less than a time slice, so that some round of each is undisturbed on a busy machine.
const RUNS: u32 = 6;
