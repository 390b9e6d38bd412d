//! What was found, as charts.

use std::path::Path;

use mixnet::sim::anonymity::disclosure::Defence;

use super::super::charts::{Chart, Curve, DrawError, Names};
use super::findings::{Findings, NETWORKS, NetworkRow, PoolRow, SenderRow};

pub(super) fn draw(findings: &Findings, directory: &Path) -> Result<(), DrawError> {
    pools(findings).write(&directory.join("pool.svg"))?;
    networks(findings).write(&directory.join("network.svg"))?;
    senders(findings).write(&directory.join("two_senders.svg"))?;
    corrupt(findings).write(&directory.join("corrupt.svg"))?;
    intersection(findings).write(&directory.join("intersection.svg"))?;
    blending(findings).write(&directory.join("n_minus_1.svg"))
}

fn pools(findings: &Findings) -> Chart<'static> {
    let pools = |value: fn(&PoolRow) -> f64| {
        let rows = findings.pools.iter();
        rows.map(|row| (row.pool.log10(), value(row))).collect()
    };
    Chart {
        title: "One node: from how many packets could this one be?",
        x: "packets that rest in the node",
        y: "entropy (bits)",
        powers: (true, false),
        names: Names::Below,
        curves: vec![
            Curve::line("log2(e·pool)", pools(|row| row.formula)),
            Curve::points("simulated", pools(|row| row.entropy.mean)),
        ],
    }
}

fn networks(findings: &Findings) -> Chart<'static> {
    let mut curves = Vec::new();
    for (rate, width, mu) in NETWORKS {
        let of = |value: fn(&NetworkRow) -> f64| {
            let all = findings.networks.iter();
            let rows = all.filter(|row| row.shape.rate == rate);
            rows.map(|row| (row.shape.layers as f64, value(row)))
                .collect()
        };
        let name = format!("{rate}/s, {width} nodes a layer, {} s", 1.0 / mu);
        curves.push(Curve::line(
            &format!("formula: {name}"),
            of(|row| row.formula),
        ));
        curves.push(Curve::points(&name, of(|row| row.entropy.mean)));
    }
    Chart {
        title: "A network: over how many outputs is one packet spread?",
        x: "layers",
        y: "entropy (bits)",
        powers: (false, false),
        names: Names::Below,
        curves,
    }
}

fn senders(findings: &Findings) -> Chart<'static> {
    // Where most outputs can be of one sender only, a mean of the others says nothing.
    let senders = |value: fn(&SenderRow) -> f64| {
        let rows = findings.two_senders.iter();
        let told = rows.filter(|row| row.marked.infinite < INFINITE_MAX);
        told.map(|row| ((1.0 / row.mu).log10(), value(row).log10()))
            .collect()
    };
    Chart {
        title: "Two senders: how far can an observer tell them apart?",
        x: "mean delay at a node (seconds)",
        y: "|ln p0/p1|",
        powers: (true, true),
        names: Names::Above,
        curves: vec![
            Curve::line("mean", senders(|row| row.marked.mean)),
            Curve::line("median", senders(|row| row.marked.median)),
            Curve::line("19 of 20 are below", senders(|row| row.marked.p95)),
        ],
    }
}

fn corrupt(findings: &Findings) -> Chart<'static> {
    let mut sizes: Vec<usize> = findings.compromised.iter().map(|row| row.relays).collect();
    sizes.dedup();
    let curves = sizes.into_iter().map(|relays| {
        let rows = findings
            .compromised
            .iter()
            .filter(|row| row.relays == relays);
        let points = rows.map(|row| {
            (
                row.corrupt as f64 / relays as f64 * 100.0,
                row.share * 100.0,
            )
        });
        Curve::line(&format!("{relays} relays"), points.collect())
    });
    Chart {
        title: "Corrupt relays: on how many paths are all three?",
        x: "corrupt relays (per cent)",
        y: "paths (per cent)",
        powers: (false, false),
        names: Names::Below,
        curves: curves.collect(),
    }
}

fn intersection(findings: &Findings) -> Chart<'static> {
    let curves = findings.intersection.iter().map(|curve| {
        let points = curve.rounds.iter().zip(&curve.first_suspect);
        let points = points.map(|(rounds, share)| ((*rounds as f64 / 6.0).log10(), share * 100.0));
        let name = match curve.defence {
            Defence::None => "no cover: a packet leaves when Alice writes",
            Defence::Clocks => "clocks that always run",
            Defence::Windows => "clocks that run fast in windows",
        };
        Curve::line(name, points.collect())
    });
    Chart {
        title: "Intersection: how often is Bob the first suspect?",
        x: "hours of watching",
        y: "runs (per cent)",
        powers: (true, false),
        names: Names::Between,
        curves: curves.collect(),
    }
}

fn blending(findings: &Findings) -> Chart<'static> {
    let mut noticed: Vec<f64> = Vec::new();
    let mut clients = 0;
    for attack in &findings.n_minus_1 {
        noticed.extend(&attack.noticed_s);
        clients += attack.clients;
    }
    noticed.sort_by(f64::total_cmp);
    let end = noticed.last().copied().unwrap_or(0.0) * 1.2;
    let mut with = vec![(0.0, 0.0)];
    for (count, at) in noticed.iter().enumerate() {
        let share = |count: usize| count as f64 / clients.max(1) as f64 * 100.0;
        with.extend([(*at, share(count)), (*at, share(count + 1))]);
    }
    Chart {
        title: "n-1: how soon do clients leave a relay that is cut off?",
        x: "seconds since everything was held back",
        y: "clients (per cent)",
        powers: (false, false),
        names: Names::Between,
        curves: vec![
            Curve::line("with loops", with),
            Curve::line("without loops", vec![(0.0, 0.0), (end, 0.0)]),
        ],
    }
}

/// Share of infinite values above which a mean of the finite ones is not drawn.
const INFINITE_MAX: f64 = 0.5;
