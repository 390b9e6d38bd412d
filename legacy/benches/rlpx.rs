//! What a connection costs: encryption to a key, the handshake, and frames of a few sizes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legacy::identity::SecretKey;
use legacy::now::Now;
use legacy::rlpx::Direction;
use legacy::rlpx::capability::SHH;
use legacy::rlpx::ecies;
use legacy::rlpx::frame::{Egress, Ingress};
use legacy::rlpx::handshake::{Ack, Auth, Form};
use legacy::rlpx::secrets::{Exchange, Secrets};
use legacy::rlpx::session::{Config, Input, Output, Session};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).expect("a small number is in range")
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng().fill_bytes(&mut bytes);
    bytes
}

/// The sending half of the one end and the receiving half of the other.
fn halves() -> (Egress, Ingress) {
    let (a, b, auth, ack) = (key(1), key(2), [7; 307], [8; 210]);
    let derive = |direction| {
        let (own, other) = match direction {
            Direction::Dialled => (&a, &b),
            Direction::Accepted => (&b, &a),
        };
        let exchange = Exchange {
            direction,
            ephemeral: own,
            remote_ephemeral: &other.public(),
            initiator_nonce: &[3; 32],
            recipient_nonce: &[4; 32],
            auth: &auth,
            ack: &ack,
        };
        Secrets::derive(&exchange).into_halves()
    };
    (derive(Direction::Dialled).0, derive(Direction::Accepted).1)
}

fn ecies_bench(c: &mut Criterion) {
    let (to, text) = (key(1), noise(300));
    let sealed = ecies::encrypt(&to.public(), &text, b"", &mut rng());
    let mut group = c.benchmark_group("ecies");
    let mut random = rng();
    group.bench_function("encrypt 300 B", |b| {
        b.iter(|| ecies::encrypt(&to.public(), &text, b"", &mut random))
    });
    group.bench_function("decrypt 300 B", |b| {
        b.iter(|| ecies::decrypt(&to, &sealed, b"").expect("it is ours"))
    });
    group.bench_function("refuse 300 B", |b| {
        let other = key(2);
        b.iter(|| ecies::decrypt(&other, &sealed, b"").is_err())
    });
    group.finish();
}

fn handshake_bench(c: &mut Criterion) {
    let (a, b, ephemeral) = (key(1), key(2), key(3));
    let auth = Auth::seal(
        Form::Eip8,
        &a,
        &ephemeral,
        &[4; 32],
        &b.public(),
        &mut rng(),
    );
    let ack = Ack::seal(Form::Eip8, &ephemeral, &[4; 32], &a.public(), &mut rng());
    let mut group = c.benchmark_group("handshake");
    group.bench_function("read auth", |bench| {
        bench.iter(|| Auth::read(&b, &auth).expect("a good auth"))
    });
    group.bench_function("read ack", |bench| {
        bench.iter(|| Ack::read(&a, &ack).expect("a good ack"))
    });
    group.bench_function("both ends up to the Hellos", |bench| {
        bench.iter(|| black_box(meet()))
    });
    group.finish();
}

/// Two sessions from nothing to established.
fn meet() -> (Session, Session) {
    let config = |key| {
        Arc::new(Config {
            key,
            client_name: "bench".into(),
            capabilities: vec![SHH],
            packet_len_max: 1 << 20,
        })
    };
    let now = Now {
        mono: Instant::now(),
        unix_ms: 0,
    };
    let mut a = Session::dial(now, config(key(1)), key(2).public(), [5; 32]);
    let mut b = Session::accept(now, config(key(2)), [6; 32]);
    let mut established = 0;
    while established < 2 {
        established += carry(now, &mut a, &mut b) + carry(now, &mut b, &mut a);
    }
    (a, b)
}

fn carry(now: Now, from: &mut Session, to: &mut Session) -> u32 {
    let mut established = 0;
    while let Some(output) = from.poll_output() {
        match output {
            Output::Write(bytes) => to.handle(now, Input::Bytes(&bytes)),
            Output::Identified(_) => from.handle(now, Input::Admit),
            Output::Established(_) => established += 1,
            Output::Message { .. } | Output::Closed(_) => {}
        }
    }
    established
}

fn frame_bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for len in [300, 4096, 262_144] {
        let payload = noise(len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::new("seal", len), &payload, |b, payload| {
            let (mut egress, _) = halves();
            b.iter(|| egress.seal(&[0x11], payload).expect("short enough"));
        });
        group.bench_with_input(BenchmarkId::new("open", len), &payload, |b, payload| {
            b.iter_batched(
                || {
                    let (mut egress, ingress) = halves();
                    (
                        egress.seal(&[0x11], payload).expect("short enough"),
                        ingress,
                    )
                },
                |(mut frame, mut ingress)| {
                    let mut at = 0;
                    let body = ingress
                        .next(&mut frame, &mut at, 1 << 20)
                        .expect("a good frame");
                    black_box(body.map(<[u8]>::len))
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ecies_bench, handshake_bench, frame_bench);
criterion_main!(benches);
