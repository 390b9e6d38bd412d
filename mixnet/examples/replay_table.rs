//! The replay store at its limits: is everything known, what is taken for known, what a tag costs, and how long one packet waits.
//!
//! `cargo run --release -p mixnet --no-default-features --example replay_table [TAGS]`, by default ten million. It ends with code 1
//! when a goal is missed.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/shell/report.rs"]
mod report;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mixnet::replay::{Capacity, Replay, ReplayError, ReplayTag};
use mixnet::{ReplayStore, SecretKey};
use report::Report;
use sha2::{Digest, Sha256};

/// Times that the store is filled: the least of the times that an insertion took is what it takes on an undisturbed machine.
const FILLS: usize = 3;
/// Tags that are made before the clock starts.
const BLOCK: usize = 8192;
/// Goals (spec/mixnet.md A14, and the longest pause in the path of a packet).
const NS_MAX: f64 = 200.0;
const BYTES_MAX: f64 = 12.0;
const LOST_MAX: f64 = 1e-4;
const PAUSE_MAX: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let tags = std::env::args().nth(1).map(|tags| tags.parse().unwrap());
    let tags: usize = tags.unwrap_or(10_000_000);
    let mut report = Report::new("replay");
    report.fact("tags", tags);

    let mut pauses = vec![u32::MAX; tags];
    let mut filled = fill(tags, &mut pauses);
    for _ in 1..FILLS {
        filled = fill(tags, &mut pauses);
    }
    let Filled {
        store,
        lost,
        bytes_a_tag,
    } = filled;
    let longest = Duration::from_nanos(u64::from(*pauses.iter().max().unwrap()));
    pauses.sort_unstable();
    report.fact("insert_median_ns", pauses[tags / 2]);
    report.fact("insert_p9999_ns", pauses[tags / 10_000 * 9_999]);
    report.fact("insert_longest_ns", longest.as_nanos() as u64);
    report.goal(
        "no insertion takes longer than 1 ms, growth included",
        &format!("{longest:?}"),
        longest <= PAUSE_MAX,
    );

    let (known, known_ns) = look_up(&store, 0, tags);
    let missed = tags - known;
    report.goal("0 misses", &format!("{missed} of {tags}"), missed == 0);
    let (found, new_ns) = look_up(&store, tags, tags);
    report.fact("look_up_known_ns", known_ns);
    report.fact("look_up_new_ns", new_ns);
    report.goal(
        "a look-up takes less than 200 ns",
        &format!("{known_ns:.0} ns for a known tag, {new_ns:.0} ns for a new one"),
        known_ns.max(new_ns) < NS_MAX,
    );
    let share = found.max(lost) as f64 / tags as f64;
    report.goal(
        "at most one new packet in 10,000 is taken for a replay",
        &format!("{found} of {tags} in the full store, {lost} while it filled"),
        share <= LOST_MAX,
    );
    report.fact("bytes_full", store.bytes());
    report.goal(
        "a tag takes at most 12 bytes",
        &format!(
            "{:.2} in the full store, at most {bytes_a_tag:.2} from a tenth on",
            store.bytes() as f64 / store.len() as f64
        ),
        bytes_a_tag <= BYTES_MAX,
    );
    ExitCode::from(u8::from(!report.end()))
}

struct Filled {
    store: ReplayStore,
    /// New tags that were taken for known ones.
    lost: usize,
    /// The most that a tag ever took, from a tenth of the capacity on.
    bytes_a_tag: f64,
}

/// Fills a store to its capacity, and keeps the least of the times that each insertion took.
fn fill(tags: usize, pauses: &mut [u32]) -> Filled {
    let key = SecretKey::from_bytes([9; 32]);
    let mut store = ReplayStore::of_capacity(&key, Capacity::of_tags(tags));
    let (mut lost, mut bytes_a_tag) = (0, 0.0_f64);
    for (block, pauses) in pauses.chunks_mut(BLOCK).enumerate() {
        for (tag, pause) in tags_from(block * BLOCK, pauses.len()).iter().zip(pauses) {
            let start = Instant::now();
            let result = store.insert(tag);
            let took = start.elapsed().as_nanos();
            *pause = (*pause).min(u32::try_from(took).unwrap_or(u32::MAX));
            match result {
                Ok(()) => {}
                Err(ReplayError::Duplicate) => lost += 1,
                Err(ReplayError::Full) => unreachable!("the capacity is not reached"),
            }
        }
        if store.len() >= tags / 10 {
            bytes_a_tag = bytes_a_tag.max(store.bytes() as f64 / store.len() as f64);
        }
    }
    Filled {
        store,
        lost,
        bytes_a_tag,
    }
}

/// How many of the tags from a number on are known, and nanoseconds a look-up.
fn look_up(store: &ReplayStore, from: usize, count: usize) -> (usize, f64) {
    let (mut known, mut took) = (0, Duration::ZERO);
    for at in (from..from + count).step_by(BLOCK) {
        let tags = tags_from(at, BLOCK.min(from + count - at));
        let start = Instant::now();
        known += tags.iter().filter(|tag| store.seen(black_box(tag))).count();
        took += start.elapsed();
    }
    (known, took.as_nanos() as f64 / count as f64)
}

fn tags_from(first: usize, count: usize) -> Vec<ReplayTag> {
    let tag = |n: usize| ReplayTag::from_bytes(Sha256::digest(n.to_be_bytes()).into());
    (first..first + count).map(tag).collect()
}
