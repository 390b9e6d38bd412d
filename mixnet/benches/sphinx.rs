//! How long the packet work of one core takes.
//!
//! `cargo bench -p mixnet --no-default-features --bench sphinx` measures each piece and ends with one line: the time of two X25519
//! multiplications of the same library, which a hop cannot do without, divided by the time of a peel.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use curve25519_dalek::MontgomeryPoint;
use mixnet::geometry::{HOPS, MESSAGE_LEN, PAYLOAD_LEN};
use mixnet::replay::{Replay, ReplayError, ReplayTag};
use mixnet::sphinx::{Lioness, ReplyKey};
use mixnet::{
    Address, Hop, Packet, Peeled, PeerKey, ReplayStore, SecretKey, Surb, SurbId, SurbKeys,
    Transport, build, make_surb, peel,
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let path = Path::new();
    path.packets(&mut criterion);
    path.replies(&mut criterion);
    primitives(&mut criterion);
    replay(&mut criterion);
    criterion.final_summary();
    path.ratio();
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

    fn packet(&self) -> Packet {
        let none = Address::NONE;
        let built = build(&self.hops, &DELAYS, &[7; 32], &[1; MESSAGE_LEN], &none);
        built.expect("the path is good").0
    }

    fn surb(&self) -> (Surb, SurbKeys) {
        let id = SurbId::from_bytes([1; 16]).expect("not zero");
        let key = ReplyKey::from_bytes([2; 16]);
        make_surb(&self.hops, &DELAYS, &[7; 32], id, key).expect("the path is good")
    }

    /// What the hop finds after those before it.
    fn at_hop(&self, hop: usize, packet: Packet) -> Packet {
        self.keys[..hop].iter().fold(packet, |packet, key| {
            match peel(key, &packet, &mut Forgetful) {
                Ok(Peeled::Forward { packet, .. }) => packet,
                other => unreachable!("a relay forwards: {other:?}"),
            }
        })
    }

    fn packets(&self, criterion: &mut Criterion) {
        let packet = self.packet();
        criterion.bench_function("build, 4 hops", |b| b.iter(|| self.packet()));
        criterion.bench_function("peel, relay", |b| {
            b.iter(|| peel(&self.keys[0], black_box(&packet), &mut Forgetful));
        });
        let last = self.at_hop(HOPS - 1, packet);
        criterion.bench_function("peel, last hop", |b| {
            b.iter(|| peel(&self.keys[HOPS - 1], black_box(&last), &mut Forgetful));
        });
    }

    fn replies(&self, criterion: &mut Criterion) {
        criterion.bench_function("reply block, make", |b| b.iter(|| self.surb()));
        let block = self.surb().0.to_bytes();
        criterion.bench_function("reply block, use", |b| {
            b.iter(|| {
                let surb = Surb::from_bytes(black_box(&block)).expect("a good block");
                surb.seal(&[1; MESSAGE_LEN])
            });
        });
        let (surb, keys) = self.surb();
        let packet = self.at_hop(HOPS - 1, surb.seal(&[1; MESSAGE_LEN]).0);
        let Ok(Peeled::Reply { delta, .. }) = peel(&self.keys[HOPS - 1], &packet, &mut Forgetful)
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

    /// The two are measured in turns, so that a machine that changes its pace changes both.
    fn ratio(&self) {
        let packet = self.packet();
        let (mut curve, mut peeled) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            curve = curve.min(time(|| {
                black_box(two_multiplications(black_box([5; 32]), black_box([9; 32])));
            }));
            peeled = peeled.min(time(|| {
                let _ = black_box(peel(&self.keys[0], black_box(&packet), &mut Forgetful));
            }));
        }
        let (curve, peeled) = (nanoseconds(curve), nanoseconds(peeled));
        println!(
            "peel: {peeled:.0} ns; two X25519 multiplications: {curve:.0} ns; 2*X25519/peel = {:.2}",
            curve / peeled
        );
    }
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

/// A tag that was never seen, against a store of a million.
fn replay(criterion: &mut Criterion) {
    let tag = |n: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ReplayTag::from_bytes(bytes)
    };
    let mut store = ReplayStore::new([1; 16]);
    for n in 0..1_000_000 {
        store.insert(&tag(n)).expect("the store holds more");
    }
    let mut n = 1_000_000;
    criterion.bench_function("replay store, look up", |b| {
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

/// One round of many runs.
fn time(mut run: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..RUNS {
        run();
    }
    start.elapsed()
}

fn nanoseconds(round: Duration) -> f64 {
    round.as_nanos() as f64 / f64::from(RUNS)
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
const ROUNDS: usize = 40;
/// Runs of one round: some ten milliseconds.
const RUNS: u32 = 200;
