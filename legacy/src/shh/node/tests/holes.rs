//! Holes of other nodes that are tested nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

/// geth sizes the list of peers before it locks it, and a peer that comes or goes around a change of the filter ends it.
#[test]
fn peers_that_come_and_go_around_a_new_filter() {
    let mut node = Node::new(Config::default(), [7; 32]);
    for turn in 0..500u64 {
        let (ms, peer) = (turn * 7, turn % 11);
        join(&mut node, at(ms), peer, stranger(0.0));
        node.set_bloom(
            at(ms),
            Some(Bloom::of_topics([Topic::of_name(&turn.to_string())])),
        );
        node.handle(
            at(ms),
            Input::PeerDown {
                peer: PeerId((turn * 5) % 11),
            },
        );
        node.set_min_pow(at(ms), 0.001).unwrap();
        for output in drain(&mut node) {
            assert!(matches!(
                output,
                Output::Send { .. } | Output::PeerStatus { .. }
            ));
        }
    }
    assert!(node.wants(PeerId(499 % 11)).is_some());
}

/// Counts what is logged at info and above.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// geth writes a line with half a kilobyte of filters for every envelope that it refuses.
#[test]
fn what_is_refused_fills_no_log() {
    let lines = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
        let config = Config {
            bloom: Some(Bloom::EMPTY),
            ..Config::default()
        };
        let mut node = with_peer(config, stranger(0.0));
        for number in 0..1_000 {
            let (old, unwanted) = (mined(START - 50, number), mined(START + 5, number));
            deliver(&mut node, at(1), 1, &[&old, &unwanted]);
            say(&mut node, at(1), 1, 12, vec![0xc2, 0x01, 0xc0]);
            say(&mut node, at(1), 1, wire::DIRECT, vec![0xff]);
        }
        say(&mut node, at(1), 1, wire::ENVELOPES, vec![0xc1, 0x80]);
        assert_eq!(
            rejected(&node, "very_old") + rejected(&node, "no_bloom_match"),
            2_000
        );
        assert_eq!(node.counters().dismissed, 1);
        assert_eq!(lines.load(Ordering::Relaxed), 0);
        tracing::info!("this one counts");
    });
    assert_eq!(lines.load(Ordering::Relaxed), 1);
}
