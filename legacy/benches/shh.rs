//! What Whisper costs: an envelope at the door, the search for work, and the attempts to open.

#![allow(
    missing_docs,
    reason = "criterion's macros make public functions without documentation"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use legacy::identity::{NodeId, SecretKey};
use legacy::now::Now;
use legacy::shh::message::Padding;
use legacy::shh::pow::Search;
use legacy::shh::seal::{OpenKey, SealTo, SymKey, seal};
use legacy::shh::{Config, Draft, Envelope, Input, Node, PeerId, Topic, interest, wire};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const UNIX_S: u32 = 1_600_000_000;

/// The size of a 1:1 message of a Status client: 1024 bytes of padded text, sealed to a key.
const PAYLOAD_LEN: usize = 900;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

fn sealed(to: SealTo<'_>) -> Vec<u8> {
    let signer = SecretKey::generate(&mut rng());
    seal(
        to,
        &[7; PAYLOAD_LEN],
        Padding::Random,
        Some(&signer),
        &mut rng(),
    )
    .expect("a short payload")
}

fn envelope(number: u32) -> Envelope {
    let recipient = SecretKey::generate(&mut rng());
    let mut data = sealed(SealTo::Public(&recipient.public()));
    data[..4].copy_from_slice(&number.to_be_bytes());
    let draft = Draft::new(UNIX_S + 15, 15, Topic::of_name("bench"), &data);
    let nonce = draft
        .search(0.002, 10)
        .run(1 << 20, || false)
        .expect("a few thousand tries suffice");
    draft.finish(nonce)
}

/// One node with one peer that has said its Status.
fn node(mono: Instant) -> Node {
    let mut node = Node::new(Config::default(), [1; 32]);
    let now = at(mono);
    node.handle(
        now,
        Input::PeerUp {
            peer: PeerId(1),
            node: NodeId::new([1; 32]),
            ip: None,
        },
    );
    node.handle(
        now,
        Input::Message {
            peer: PeerId(1),
            code: wire::STATUS,
            payload: vec![0xc1, 0x06],
        },
    );
    while node.poll_output().is_some() {}
    node
}

fn at(mono: Instant) -> Now {
    Now {
        mono,
        unix_ms: u64::from(UNIX_S) * 1000,
    }
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    group.throughput(Throughput::Elements(1));
    let one = envelope(0);
    group.bench_function("parse, id and work", |bencher| {
        bencher.iter(|| {
            Envelope::parse(black_box(one.raw()))
                .expect("well-formed")
                .pow()
        });
    });
    let mono = Instant::now();
    let bundle = |numbers: std::ops::Range<u32>| {
        let envelopes: Vec<Envelope> = numbers.map(envelope).collect();
        wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]))
    };
    let payload = bundle(0..100);
    group.throughput(Throughput::Elements(100));
    let arrival = || Input::Message {
        peer: PeerId(1),
        code: wire::ENVELOPES,
        payload: payload.clone(),
    };
    group.bench_function("100 new ones through the node", |bencher| {
        bencher.iter_batched(
            || (node(mono), arrival()),
            |(mut node, input)| {
                node.handle(at(mono), input);
                node
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("100 duplicates through the node", |bencher| {
        let mut node = node(mono);
        node.handle(at(mono), arrival());
        while node.poll_output().is_some() {}
        bencher.iter_batched(
            arrival,
            |input| node.handle(at(mono), input),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn work(criterion: &mut Criterion) {
    const TRIES: u64 = 1_000;
    let mut group = criterion.benchmark_group("proof of work");
    group.throughput(Throughput::Elements(TRIES));
    for len in [300, 1_100, 50_000] {
        let draft = Draft::new(UNIX_S, 15, Topic::of_name("bench"), &vec![7; len]);
        let search = Search::new(&draft.short_rlp(), 256);
        group.bench_function(format!("1000 nonces over {len} bytes"), |bencher| {
            bencher.iter(|| search.clone().advance(black_box(TRIES)));
        });
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    let (key, other) = (
        SymKey::generate(&mut rng()),
        SymKey::from_bytes(&[9; 32]).expect("not zero"),
    );
    let data = sealed(SealTo::Symmetric(&key));
    let (key, other) = (OpenKey::Symmetric(key), OpenKey::Symmetric(other));
    group.bench_function("symmetric", |bencher| {
        bencher.iter(|| key.open(black_box(&data)).expect("our key"))
    });
    group.bench_function("symmetric, for another", |bencher| {
        bencher.iter(|| other.open(black_box(&data)).expect_err("another key"));
    });
    let secret = SecretKey::generate(&mut rng());
    let data = sealed(SealTo::Public(&secret.public()));
    let other = OpenKey::Private(SecretKey::from_bytes(&[9; 32]).expect("in range"));
    let secret = OpenKey::Private(secret);
    group.bench_function("asymmetric", |bencher| {
        bencher.iter(|| secret.open(black_box(&data)).expect("our key"))
    });
    group.bench_function("asymmetric, for another", |bencher| {
        bencher.iter(|| other.open(black_box(&data)).expect_err("another key"));
    });
    group.bench_function("key of a password", |bencher| {
        bencher.iter(|| SymKey::from_password(black_box(b"status")))
    });
    group.finish();
}

fn explain(criterion: &mut Criterion) {
    let dictionary = interest::Dictionary::new([]);
    let topics = (0..10).map(|n| Topic::of_name(&format!("chat {n}")));
    let bloom = legacy::shh::Bloom::of_topics(topics);
    criterion.bench_function("explain a bloom filter", |bencher| {
        bencher.iter(|| interest::explain(black_box(&bloom), &dictionary));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = check, work, open, explain
}
criterion_main!(benches);
