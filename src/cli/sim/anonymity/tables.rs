//! What was found, as tables.

use super::findings::Findings;
use crate::cli::out;

pub(super) fn describe(findings: &Findings) {
    entropies(findings);
    senders(findings);
    attacks(findings);
}

fn entropies(findings: &Findings) {
    out::say("One node: entropy of a departure in bits, by the packets that rest in it");
    out::say("     pool   found      sd   log2(e·pool)");
    for row in &findings.pools {
        out::say(&format!(
            "  {:>7.1} {:>7.3} {:>7.2} {:>14.3}",
            row.pool, row.entropy.mean, row.entropy.sd, row.formula
        ));
    }
    out::say("A network: entropy of one packet over its outputs in bits, and as many equal ones");
    out::say("   rate/s  width  layers  delay s   found      sd   formula    set");
    for row in &findings.networks {
        out::say(&format!(
            "  {:>7} {:>6} {:>7} {:>8.2} {:>7.3} {:>7.2} {:>9.3} {:>6.0}",
            row.shape.rate,
            row.shape.width,
            row.shape.layers,
            1.0 / row.shape.mu,
            row.entropy.mean,
            row.entropy.sd,
            row.formula,
            row.effective_set
        ));
    }
}

fn senders(findings: &Findings) {
    out::say("Two of 100 users, 3 layers of 3 nodes: |ln p0/p1| of a marked output, and of any");
    out::say("  delay s    mean  median     p95  infinite     mean (any)  infinite (any)");
    for row in &findings.two_senders {
        out::say(&format!(
            "  {:>7.2} {:>7.3} {:>7.3} {:>7.3} {:>9.3} {:>14.3} {:>15.3}",
            1.0 / row.mu,
            row.marked.mean,
            row.marked.median,
            row.marked.p95,
            row.marked.infinite,
            row.all.mean,
            row.all.infinite
        ));
    }
}

fn attacks(findings: &Findings) {
    out::say("Corrupt relays: paths on which all three are");
    for row in &findings.compromised {
        out::say(&format!(
            "  {:>3} of {:>3} relays: {:.3} %",
            row.corrupt,
            row.relays,
            row.share * 100.0
        ));
    }
    out::say(
        "Intersection: share of runs in which Bob is the first suspect, by rounds of ten minutes",
    );
    for curve in &findings.intersection {
        let points = curve.rounds.iter().zip(&curve.first_suspect);
        let points: Vec<String> = points
            .map(|(rounds, share)| format!("{rounds}: {:.0} %", share * 100.0))
            .collect();
        let half = curve
            .rounds_to_half()
            .map_or_else(|| "never".to_owned(), |rounds| rounds.to_string());
        out::say(&format!(
            "  {:<8} {}; half of the runs after: {half}",
            format!("{:?}", curve.defence).to_lowercase(),
            points.join(", ")
        ));
    }
    out::say("n-1: a packet alone in a relay, and after how many seconds clients leave the relay");
    for attack in &findings.n_minus_1 {
        let noticed: Vec<String> = attack
            .noticed_s
            .iter()
            .map(|at| format!("{at:.1}"))
            .collect();
        out::say(&format!(
            "  {} packets singled out: {:.1} % found ({:.1} % without loops); {} of {} clients noticed after {} s (without loops: never)",
            attack.targets,
            attack.success * 100.0,
            attack.success_without_loops * 100.0,
            attack.noticed_s.len(),
            attack.clients,
            noticed.join(", ")
        ));
    }
}
