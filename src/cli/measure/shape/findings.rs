//! From traces to numbers and verdicts.

use std::collections::BTreeMap;

use mixnet::preset::Preset;
use mixnet::shape::classifier::Marks;
use mixnet::shape::distribution::{Erlang, distance_max, moments};
use mixnet::shape::reading::{Journey, Node, journeys};
use serde_json::{Value, json};

use super::Phase;
use super::probe::DELAY_MS;

/// What the nodes wrote, and when what was going on.
pub(super) struct Sight {
    pub(super) preset: Preset,
    pub(super) relays: Vec<Node>,
    pub(super) bridges: Vec<Node>,
    pub(super) edges: Vec<Node>,
    pub(super) probe: Node,
    pub(super) idle: Phase,
    pub(super) loaded: Phase,
    /// Packets with messages in them in each phase.
    pub(super) real_idle: f64,
    pub(super) real_loaded: f64,
}

/// Whether a figure is within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// There is no bound: it is told because somebody should know it.
    Note,
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Note => "note",
        }
    }

    fn of(good: bool) -> Self {
        if good { Self::Pass } else { Self::Fail }
    }
}

/// One figure.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) figures: String,
    pub(super) verdict: Verdict,
}

/// Everything.
pub(super) struct Found {
    pub(super) lines: Vec<Line>,
    pub(super) json: Value,
}

/// What a network and a machine may add to every time alike, in seconds.
const CONSTANT_MAX: f64 = 0.002;

/// Rests at relays that are judged, evenly from all that there were. Of more, the bound comes so close that it judges how soon the
/// machine wakes a thread: 0.2 ms of chance beside a mean of 80 ms are a distance of 0.0025. That of all is told beside.
const HOP_SAMPLES: usize = 100_000;

/// Samples of the end-to-end anchor, whose bound is that of ten thousand.
const WAY_SAMPLES: usize = 10_000;

/// The mean of the way may be off by so much of itself.
const WAY_MEAN_OFF: f64 = 0.01;

/// What our system may add to the mean of the published figure, in seconds, and by how much the deviation may be off.
const FIGURE_ADDED_MAX: f64 = 0.020;
const FIGURE_DEVIATION_OFF: f64 = 0.02;

/// Gaps of a window that somebody judges.
const WINDOW_GAPS: usize = 20;

/// How far the best of three classifiers may be from a coin.
const AREA_OFF: f64 = 0.02;

/// Relays on a path.
const RELAYS: usize = 3;

/// Finds everything.
pub(super) fn find(sight: &Sight) -> Found {
    let mut found = Found {
        lines: Vec::new(),
        json: json!({ "preset": sight.preset.name, "edges": sight.edges.len(), "relays": sight.relays.len() }),
    };
    let ways = Ways::of(sight);
    found.completeness(sight);
    found.load(sight);
    found.sizes(sight);
    let delay = sight.preset.delay_mean().as_secs_f64();
    found.hops(&ways.own, delay);
    found.way(&ways.own, delay);
    found.figure(&ways.probe);
    found.gaps("gaps between packets sent, idle", sight, &sight.idle);
    found.gaps("gaps between packets sent, loaded", sight, &sight.loaded);
    found.unobservable(sight);
    found.received(sight);
    found
}

/// The packets of the edges and bridges, and those of the probe.
struct Ways {
    own: Vec<Journey>,
    probe: Vec<Journey>,
}

impl Ways {
    fn of(sight: &Sight) -> Self {
        let mut nodes: Vec<Node> = vec![sight.probe.clone()];
        nodes.extend(sight.relays.iter().cloned());
        let first = nodes.len();
        nodes.extend(sight.edges.iter().chain(&sight.bridges).cloned());
        let measured =
            |way: &Journey| sight.idle.holds(way.left_ns) || sight.loaded.holds(way.left_ns);
        let all = journeys(&nodes).into_iter().filter(measured);
        let full = all.filter(|way| way.rests.len() == RELAYS);
        let (probe, others): (Vec<_>, Vec<_>) = full.partition(|way| way.ends.0 == 0);
        let own = others.into_iter().filter(|way| way.ends.0 >= first);
        Self {
            own: own.collect(),
            probe,
        }
    }
}

impl Found {
    fn line(
        &mut self,
        name: &'static str,
        key: &str,
        figures: String,
        verdict: Verdict,
        json: Value,
    ) {
        self.json[key] = json;
        self.json[key]["verdict"] = json!(verdict.as_str());
        self.lines.push(Line {
            name,
            figures,
            verdict,
        });
    }

    fn completeness(&mut self, sight: &Sight) {
        let lost: u64 = all(sight).map(|node| node.lost).sum();
        let frames: usize = all(sight)
            .map(|node| node.came.len() + node.left.len())
            .sum();
        let verdict = Verdict::of(lost == 0 && frames > 0);
        let figures = format!("{frames} frames, {lost} missing");
        self.line(
            "traces are complete",
            "traces",
            figures,
            verdict,
            json!({ "frames": frames, "missing": lost }),
        );
    }

    fn load(&mut self, sight: &Sight) {
        let share = |real: f64, phase: &Phase| {
            let lines = sight.edges.iter().chain(&sight.bridges);
            let sent: usize = lines.map(|node| times(&own_times(node), phase).len()).sum();
            real / sent.max(1) as f64
        };
        let idle = share(sight.real_idle, &sight.idle);
        let loaded = share(sight.real_loaded, &sight.loaded);
        let figures = format!(
            "{:.1} % of packets carry messages under load, {:.1} % idle",
            loaded * 100.0,
            idle * 100.0
        );
        let verdict = Verdict::of(loaded > 0.1 && loaded > 3.0 * idle);
        self.line(
            "the load is real",
            "load",
            figures,
            verdict,
            json!({ "idle": idle, "loaded": loaded }),
        );
    }

    fn sizes(&mut self, sight: &Sight) {
        let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
        for node in all(sight) {
            for frame in node.came.iter().chain(&node.left) {
                *sizes.entry(frame.bytes).or_default() += 1;
            }
        }
        let figures = format!("{:?} bytes: frames", sizes);
        let verdict = Verdict::of(sizes.len() == 1 && sizes.contains_key(&4610));
        let json = json!({ "sizes": sizes.iter().map(|(size, count)| (size.to_string(), count)).collect::<BTreeMap<_, _>>() });
        self.line("all frames have one size", "sizes", figures, verdict, json);
    }

    /// Rests at relays against the exponential distribution.
    fn hops(&mut self, ways: &[Journey], delay: f64) {
        let rests = ways.iter().flat_map(|way| way.rests.iter().copied());
        let all: Vec<f64> = rests.collect();
        let exponential = Erlang::exponential(delay);
        let sorted_some = sorted(evenly(&all, HOP_SAMPLES).copied().collect());
        let fit = exponential.fit(&sorted_some, CONSTANT_MAX);
        let bound = distance_max(sorted_some.len());
        let count = all.len();
        let whole = exponential.fit(&sorted(all), CONSTANT_MAX);
        let figures = format!(
            "{}; all {count}: {:.4}",
            distance_text(sorted_some.len(), fit.distance, bound, fit.constant),
            whole.distance
        );
        let json = json!({ "samples": sorted_some.len(), "distance": fit.distance, "bound": bound, "constant_ms": fit.constant * 1e3, "mean_ms": delay * 1e3, "all": count, "all_distance": whole.distance });
        self.line(
            "delays at relays are exponential",
            "hops",
            figures,
            Verdict::of(fit.distance <= bound),
            json,
        );
    }

    /// From the first link to the last against the sum of three delays.
    fn way(&mut self, ways: &[Journey], delay: f64) {
        let samples = evenly(ways, WAY_SAMPLES);
        let sorted = sorted(samples.map(|way| way.seconds).collect());
        let erlang = Erlang {
            stages: RELAYS as u32,
            mean: delay,
        };
        let fit = erlang.fit(&sorted, CONSTANT_MAX);
        let all: Vec<f64> = ways.iter().map(|way| way.seconds).collect();
        let off = (moments(&all).0 - fit.constant) / erlang.total() - 1.0;
        let bound = distance_max(sorted.len());
        let good = fit.distance <= bound && off.abs() <= WAY_MEAN_OFF;
        let figures = format!(
            "{}; mean off by {:.2} % of {} packets",
            distance_text(sorted.len(), fit.distance, bound, fit.constant),
            off * 100.0,
            all.len()
        );
        let json = json!({ "samples": sorted.len(), "distance": fit.distance, "bound": bound, "constant_ms": fit.constant * 1e3, "mean_off": off, "packets": all.len() });
        self.line(
            "ways are sums of three delays",
            "way",
            figures,
            Verdict::of(good),
            json,
        );
    }

    /// Three delays of half a second: a published measurement found a mean of 1.93 s and a deviation of 0.87 s.
    fn figure(&mut self, ways: &[Journey]) {
        let times: Vec<f64> = ways.iter().map(|way| way.seconds).collect();
        let erlang = Erlang {
            stages: RELAYS as u32,
            mean: f64::from(DELAY_MS) / 1e3,
        };
        let (mean, deviation) = moments(&times);
        // What chance explains is not our system's.
        let chance = 2.0 * erlang.deviation() / (times.len().max(1) as f64).sqrt();
        let added = mean - erlang.total();
        let off = deviation / erlang.deviation() - 1.0;
        let good = (-chance..=FIGURE_ADDED_MAX + chance).contains(&added)
            && off.abs() <= FIGURE_DEVIATION_OFF;
        let figures = format!(
            "{} packets, mean {mean:.3} s ({:+.1} ms, chance ±{:.1} ms), deviation {deviation:.3} s ({:+.2} %); published: 1.93 s, 0.87 s",
            times.len(),
            added * 1e3,
            chance * 1e3,
            off * 100.0
        );
        let json = json!({ "samples": times.len(), "mean_s": mean, "added_ms": added * 1e3, "chance_ms": chance * 1e3, "deviation_s": deviation, "deviation_off": off });
        self.line(
            "three delays of 0.5 s",
            "figure",
            figures,
            Verdict::of(good),
            json,
        );
    }

    fn gaps(&mut self, name: &'static str, sight: &Sight, phase: &Phase) {
        let mut gaps = Vec::new();
        for (line, rate) in lines(sight) {
            let times = times(&own_times(line), phase);
            gaps.extend(times.windows(2).map(|pair| (pair[1] - pair[0]) * rate));
        }
        let sorted = sorted(gaps);
        let distance = Erlang::exponential(1.0).distance(&sorted);
        let bound = distance_max(sorted.len());
        let mean = moments(&sorted).0;
        let figures = format!(
            "{} gaps, distance {distance:.4} (bound {bound:.4}), mean {mean:.4} of what the preset says",
            sorted.len()
        );
        let key = if std::ptr::eq(phase, &sight.idle) {
            "gaps_idle"
        } else {
            "gaps_loaded"
        };
        let json =
            json!({ "samples": sorted.len(), "distance": distance, "bound": bound, "mean": mean });
        self.line(name, key, figures, Verdict::of(distance <= bound), json);
    }

    /// Idle and loaded lines, judged by when they send.
    fn unobservable(&mut self, sight: &Sight) {
        let marks = |phase: &Phase| {
            let mut marks = Marks::default();
            for (line, rate) in lines(sight) {
                marks.add(&times(&own_times(line), phase), rate, WINDOW_GAPS);
            }
            marks
        };
        let verdict = marks(&sight.loaded).against(&marks(&sight.idle));
        let figures = format!(
            "area {:.4} by spread, {:.4} by rhythm, {:.4} by count; {} windows, chance ±{:.4}",
            verdict.spread,
            verdict.rhythm,
            verdict.count,
            verdict.windows,
            verdict.deviation()
        );
        let good = (verdict.best() - 0.5).abs() <= AREA_OFF;
        let json = json!({ "spread": verdict.spread, "rhythm": verdict.rhythm, "count": verdict.count, "windows": verdict.windows, "chance": verdict.deviation() });
        self.line(
            "sending with and without messages looks the same",
            "unobservable",
            figures,
            Verdict::of(good),
            json,
        );
    }

    /// The same for what edges receive: replies come when there is something to say, so this is told and not judged.
    fn received(&mut self, sight: &Sight) {
        let came =
            |node: &Node| -> Vec<u64> { node.came.iter().map(|frame| frame.at_ns).collect() };
        let idle: usize = sight
            .edges
            .iter()
            .map(|edge| times(&came(edge), &sight.idle).len())
            .sum();
        let seconds = (sight.idle.to_ns - sight.idle.from_ns) as f64 / 1e9;
        let rate = idle as f64 / seconds / sight.edges.len().max(1) as f64;
        let marks = |phase: &Phase| {
            let mut marks = Marks::default();
            for edge in &sight.edges {
                marks.add(
                    &times(&came(edge), phase),
                    rate.max(f64::MIN_POSITIVE),
                    WINDOW_GAPS,
                );
            }
            marks
        };
        let verdict = marks(&sight.loaded).against(&marks(&sight.idle));
        let figures = format!(
            "area {:.3} by spread, {:.3} by rhythm, {:.3} by count, at {rate:.2} packets a second idle",
            verdict.spread, verdict.rhythm, verdict.count
        );
        let json = json!({ "spread": verdict.spread, "rhythm": verdict.rhythm, "count": verdict.count, "rate_idle": rate });
        self.line(
            "what edges receive with and without messages",
            "received",
            figures,
            Verdict::Note,
            json,
        );
    }
}

fn all(sight: &Sight) -> impl Iterator<Item = &Node> {
    let own = sight.edges.iter().chain(&sight.bridges);
    sight.relays.iter().chain(own).chain([&sight.probe])
}

/// The lines whose clocks are measured, with their rates.
fn lines(sight: &Sight) -> impl Iterator<Item = (&Node, f64)> {
    let edges = sight
        .edges
        .iter()
        .map(|edge| (edge, sight.preset.packet_rate()));
    let bridges = sight.bridges.iter();
    edges.chain(bridges.map(|bridge| (bridge, Preset::SERVICE.packet_rate())))
}

fn own_times(node: &Node) -> Vec<u64> {
    node.own().map(|frame| frame.at_ns).collect()
}

/// The times within a phase, in order, in seconds since its beginning.
fn times(all: &[u64], phase: &Phase) -> Vec<f64> {
    let within = all.iter().filter(|at| phase.holds(**at));
    sorted(within.map(|at| (at - phase.from_ns) as f64 / 1e9).collect())
}

/// At most so many of them, evenly from first to last.
fn evenly<T>(all: &[T], most: usize) -> impl Iterator<Item = &T> {
    let step = (all.len() / most).max(1);
    all.iter().step_by(step).take(most)
}

fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples
}

fn distance_text(samples: usize, distance: f64, bound: f64, constant: f64) -> String {
    format!(
        "{samples} samples, distance {distance:.4} (bound {bound:.4}) after {:.2} ms",
        constant * 1e3
    )
}
