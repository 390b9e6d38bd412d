//! Malformed input by the million, before and after the handshake, and envelopes without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use legacy::enode::Enode;
use legacy::shh::wire;
use legacy::shh::{Draft, Topic};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::attacker::{AGAIN, Identity, Link, SHH, connect, drained, reset};
use super::honest::{self, Pair, percentile};
use super::inputs::{Dice, Openings, broken_hello, broken_message, packed, useless_message};
use super::report::{Report, seed, size};
use super::target::Target;

/// How much of each kind.
pub(super) struct Size {
    /// First packets, a connection each.
    openings: u64,
    /// Frames and Hellos after a good handshake, a connection each.
    frames: u64,
    /// Whisper messages with a fault, most of which end the connection.
    broken: u64,
    /// Whisper messages that are of no use, many on each connection.
    useless: u64,
    /// Whether goals are measured.
    long: bool,
}

impl Size {
    pub(super) const SHORT: Size = Size {
        openings: 600,
        frames: 200,
        broken: 200,
        useless: 4000,
        long: false,
    };

    /// A million, or what the environment says.
    pub(super) fn from_env() -> Size {
        let all = size("FERRY_ATTACK_INPUTS", 1_000_000);
        Size {
            openings: all * 4 / 10,
            frames: all / 10,
            broken: all / 10,
            useless: all * 4 / 10,
            long: true,
        }
    }
}

/// Malformed handshakes, frames, Hellos and messages.
pub(super) fn malformed(size: &Size) {
    let seed = seed("malformed");
    let mut report = Report::new("hostile-rlpx");
    report.fact("seed", seed);
    // With bans most of it would never arrive.
    let mut target = Target::start(&json!({ "inbound_max": 200, "ban_for_s": 0 }), None);
    let mut pair = Pair::start(&target.enode);
    let mut before = pair.collect(if size.long { 300 } else { 20 });
    // The first inputs of each kind warm the allocator; growth is what comes after.
    attack(&target.enode, seed ^ 1, &Size::SHORT);
    let (rss, ended) = (target.rss(), target.ended());
    drop(pair.latencies());
    let start = Instant::now();
    let sent = attack(&target.enode, seed, size);
    let took = start.elapsed();
    let mut during = pair.collect(20);
    let ends = target.ended() - ended;
    let alive = Runtime::new()
        .unwrap()
        .block_on(honest::newcomer(target.enode));
    let growth = target.rss().saturating_sub(rss);
    let (slow, slower) = (percentile(&mut before, 99), percentile(&mut during, 99));
    report.fact("inputs", sent.told());
    report.fact("connections_that_ended", ends);
    report.fact("seconds", took.as_secs_f64());
    report.fact("honest_before", honest::summary(&mut before));
    report.fact("honest_during", honest::summary(&mut during));
    report.fact("newcomer_ms", alive.as_millis() as u64);
    report.fact("counters", target.counters());
    // Every opening and every damaged frame ended a connection of its own.
    assert!(ends >= size.openings + size.frames, "{ends} ends");
    report.goal(
        "panics = 0",
        &target.panics().to_string(),
        target.panics() == 0,
    );
    report.goal(
        "honest peers lost = 0",
        &pair.lost().to_string(),
        pair.lost() == 0,
    );
    let max = if size.long { 32 } else { 128 } * 1024;
    report.goal(
        "RSS growth in KiB",
        &format!("{growth} of {max}"),
        growth < max,
    );
    if size.long {
        let good = slower <= 2 * slow;
        report.goal(
            "honest p99 at most doubled",
            &format!("{slow} ms, then {slower} ms"),
            good,
        );
        let all = sent.total();
        report.goal(
            "inputs",
            &all.to_string(),
            all >= size.openings + size.frames + size.broken + size.useless,
        );
    }
    report.end();
}

/// What was sent.
#[derive(Default)]
struct Sent {
    openings: AtomicU64,
    frames: AtomicU64,
    broken: AtomicU64,
    useless: AtomicU64,
}

impl Sent {
    fn told(&self) -> serde_json::Value {
        json!({
            "openings": self.openings,
            "frames": self.frames,
            "broken_messages": self.broken,
            "useless_messages": self.useless,
        })
    }

    fn total(&self) -> u64 {
        [&self.openings, &self.frames, &self.broken, &self.useless]
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// All kinds at once, from several workers each.
fn attack(node: &Enode, seed: u64, size: &Size) -> Arc<Sent> {
    let sent = Arc::new(Sent::default());
    Runtime::new().unwrap().block_on(async {
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (node, share) = (*node, |all: u64| all.div_ceil(WORKERS));
            let dice = |kind: u64| Dice::new(seed, worker * 4 + kind);
            let number = usize::try_from(worker).unwrap();
            let each = |count: u64| (node, number, count, Arc::clone(&sent));
            workers.spawn(openings(dice(0), each(share(size.openings))));
            workers.spawn(frames(dice(1), each(share(size.frames))));
            workers.spawn(broken(dice(2), each(share(size.broken))));
            workers.spawn(useless(dice(3), each(share(size.useless))));
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap();
        }
    });
    sent
}

type Work = (Enode, usize, u64, Arc<Sent>);

async fn openings(mut dice: Dice, (node, number, count, sent): Work) {
    let packets = Openings::new(node.public_key(), &mut dice);
    for _ in 0..count {
        let packet = packets.next(&mut dice);
        let Ok(mut stream) = connect(&node, number).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        // The node may have closed already, which is what is wanted.
        if stream.write_all(&packet).await.is_ok() && stream.shutdown().await.is_ok() {
            assert!(drained(&mut stream).await, "the node closes in time");
        }
        reset(&stream);
        sent.openings.fetch_add(1, Ordering::Relaxed);
    }
}

async fn frames(mut dice: Dice, (node, number, count, sent): Work) {
    let mut own = Identity::new(&node);
    let mut done = 0;
    while done < count {
        if done % IDENTITY_USES == 0 {
            own = Identity::new(&node);
        }
        let Some(mut link) = Link::open(&node, number, &own).await else {
            tokio::time::sleep(AGAIN).await;
            own = Identity::new(&node);
            continue;
        };
        let (code, body) = broken_hello(&mut dice, &own.key.public());
        link.say(code, &body);
        if dice.below(2) == 0 {
            dice.damage(link.unsent());
        }
        if link.flush().await.is_some() && link.stream.shutdown().await.is_ok() {
            assert!(drained(&mut link.stream).await, "the node closes in time");
        }
        reset(&link.stream);
        done += 1;
        sent.frames.fetch_add(1, Ordering::Relaxed);
    }
}

async fn broken(mut dice: Dice, (node, number, count, sent): Work) {
    let mut done = 0;
    while done < count {
        let own = Identity::new(&node);
        let Some(mut link) = Link::befriend(&node, number, &own).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        // Some are harmless after all: then the next.
        loop {
            let (code, payload) = broken_message(&mut dice);
            link.say(SHH + code, &packed(&payload));
            done += 1;
            sent.broken.fetch_add(1, Ordering::Relaxed);
            if !link.sync().await || done >= count {
                break;
            }
        }
        reset(&link.stream);
    }
}

async fn useless(mut dice: Dice, (node, number, count, sent): Work) {
    let mut done = 0;
    while done < count {
        let own = Identity::new(&node);
        let Some(mut link) = Link::befriend(&node, number, &own).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        while done < count {
            for _ in 0..BATCH {
                let (code, payload) = useless_message(&mut dice);
                link.say(SHH + code, &packed(&payload));
            }
            if !link.sync().await {
                break;
            }
            done += BATCH;
            sent.useless.fetch_add(BATCH, Ordering::Relaxed);
        }
        reset(&link.stream);
    }
}

/// Distinct envelopes of the least size, from eight peers.
pub(super) fn envelopes(count: u64, long: bool) {
    let mut report = Report::new("hostile-envelopes");
    let mut target = Target::start(&json!({ "inbound_max": 200, "ban_for_s": 0 }), None);
    let mut pair = Pair::start(&target.enode);
    let mut before = pair.collect(if long { 300 } else { 20 });
    let (node, start) = (target.enode, Instant::now());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            workers.spawn(flood(node, worker, count.div_ceil(WORKERS)));
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap();
        }
    });
    let took = start.elapsed();
    let mut during = pair.collect(20);
    let newcomer = runtime.block_on(honest::newcomer(node));
    let counters = target.counters();
    // On a machine that is slow enough some die before they are looked at.
    let rejected = counters["rejected"].as_object().unwrap().values();
    let seen = counters["envelopes"].as_u64().unwrap()
        + rejected.filter_map(serde_json::Value::as_u64).sum::<u64>();
    report.fact("envelopes", count);
    report.fact("seconds", took.as_secs_f64());
    report.fact("honest_before", honest::summary(&mut before));
    report.fact("honest_during", honest::summary(&mut during));
    report.fact("newcomer_ms", newcomer.as_millis() as u64);
    report.fact("rss_kib", target.rss());
    report.fact("counters", counters.clone());
    assert!(seen >= count, "{seen} of {count} were looked at");
    let pooled = counters["pooled"].as_u64().unwrap();
    let bytes = counters["pooled_bytes"].as_u64().unwrap();
    let kept = pooled <= legacy::shh::limits::POOL_ENVELOPES_MAX as u64
        && bytes <= legacy::shh::limits::POOL_BYTES_MAX as u64;
    report.goal(
        "caps of the pool",
        &format!("{pooled} envelopes, {bytes} bytes"),
        kept,
    );
    report.goal(
        "panics = 0",
        &target.panics().to_string(),
        target.panics() == 0,
    );
    report.goal(
        "honest peers lost = 0",
        &pair.lost().to_string(),
        pair.lost() == 0,
    );
    report.end();
}

async fn flood(node: Enode, worker: u64, count: u64) {
    let number = usize::try_from(worker).unwrap();
    let own = Identity::new(&node);
    let mut link = Link::befriend(&node, number, &own)
        .await
        .expect("there is room");
    let mut next = 0;
    while next < count {
        let draft = Draft::new(honest::unix() + 50, 50, Topic::new([number as u8; 4]), b"");
        let bundle: Vec<_> = (next..count.min(next + BUNDLE))
            .map(|nonce| draft.finish(nonce))
            .collect();
        next += BUNDLE;
        let payload = wire::encode_envelopes(bundle.iter().map(|envelope| &envelope.raw()[..]));
        link.say(SHH + wire::ENVELOPES, &packed(&payload));
        assert!(link.sync().await, "a flood is no breach");
    }
}

/// Attackers of each kind at the same time.
const WORKERS: u64 = 8;
/// Connections on which an attacker uses the same key.
const IDENTITY_USES: u64 = 16;
/// Messages between two looks whether the node is still there.
const BATCH: u64 = 100;
/// Envelopes in one packet.
const BUNDLE: u64 = 2000;
