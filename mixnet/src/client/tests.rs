//! Whatever leaves has rested first, each kind the same exponential time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::address::AddressPolicy;
use crate::descriptor::tests::peer_key;
use crate::fragment::Object;
use crate::level::Protection;
use crate::send_queue::{Route, Urgency};
use crate::sphinx::SecretKey;
use crate::topology::nowhere;

/// The bound of Kolmogorov and Smirnov at one per cent.
fn distance_max(samples: usize) -> f64 {
    1.63 / (samples as f64).sqrt()
}

fn distance(samples: &mut [f64], mean: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let n = samples.len() as f64;
    let off = samples.iter().enumerate().map(|(i, x)| {
        let expected = 1.0 - (-x / mean).exp();
        (expected - i as f64 / n)
            .abs()
            .max(((i + 1) as f64 / n - expected).abs())
    });
    off.fold(0.0, f64::max)
}

fn reply_blocks(own: Hop) -> Vec<Surb> {
    let delays = [80; RELAYS_NEEDED];
    let id = SurbId::from_bytes([7; 16]).unwrap();
    let key = ReplyKey::from_bytes([8; 16]);
    let made = make_surb(&[own; RELAYS_NEEDED + 1], &delays, &[9; 32], id, key);
    let bytes = made.unwrap().0.to_bytes();
    let copy = |_| Surb::from_bytes(&bytes).unwrap();
    (0..500).map(copy).collect()
}

#[test]
fn everything_rests_before_it_is_sent_replies_and_cover_too() {
    let preset = Preset::SERVICE;
    let start = Instant::now();
    let own = Hop {
        key: SecretKey::from_bytes([3; 32]).public(),
        address: nowhere(peer_key(1)),
    };
    let protection = Protection::of(&preset);
    let levels = protection.levels;
    let mut client = Client::new(peer_key(1), own, &preset, levels, true, start, [5; 32]);
    let policy = AddressPolicy {
        allow_private: true,
    };
    let topology = Topology::new(Vec::new(), policy).unwrap();
    let mut network = Network {
        relays: &mut Relays::new(&topology, peer_key(1), crate::limits::CONNECTIONS_KEPT_MAX),
        topology: &topology,
        counters: &mut Counters::default(),
        mailboxes: &mut mailbox::Client::new(
            preset.delay_mean(),
            stream([6; 32], STREAM_MAILBOXES),
        ),
        watch: &mut Watch::new(protection, start),
    };
    let object = |len| Object {
        kind: 1,
        tag: [1; 16],
        bytes: vec![0; len],
    };
    for block in reply_blocks(own) {
        let queued = client.queue.push_reply(vec![block], object(10), [1; 8]);
        queued.unwrap();
    }
    let queued = client
        .queue
        .push_forward(peer_key(2), object(1_200_000), [2; 8], Urgency::Prompt);
    queued.unwrap();
    let mut rests: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut now = start;
    while now < start + Duration::from_secs(1_500) {
        now = client
            .clocks
            .iter()
            .filter_map(|(_, c)| c.next_deadline())
            .min()
            .unwrap();
        client.tick(now, &mut network);
        // What was put there this instant is all that there is.
        while let Some(due) = client.hold.next_deadline() {
            let held = client.hold.pop_due(due).unwrap();
            let kind = match held {
                Held::Frame(departure) => match departure.route {
                    Route::Forward(_) => PacketKind::Payload,
                    Route::Reply(_) => PacketKind::Reply,
                },
                Held::Put => PacketKind::Put,
                Held::Cover(kind) | Held::Loop(kind) => kind,
            };
            let rest = due.duration_since(now).as_secs_f64();
            rests.entry(kind.as_str()).or_default().push(rest);
        }
    }
    let kinds: Vec<_> = rests.keys().copied().collect();
    let expected = [
        "drop",
        "loop",
        "mix_loop",
        "payload",
        "payload_cover",
        "reply",
    ];
    assert_eq!(kinds, expected);
    for (kind, samples) in &mut rests {
        assert!(samples.len() >= 250, "{kind}: {}", samples.len());
        let off = distance(samples, 0.08);
        assert!(off <= distance_max(samples.len()), "{kind}: {off}");
    }
}
