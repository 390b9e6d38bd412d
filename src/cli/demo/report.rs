//! What the demo prints.

use std::fmt::Write as _;

use super::person::Said;
use crate::cli::out;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Way {
    /// From behind the edge into Whisper.
    ToBob,
    /// From Whisper to behind the edge.
    ToAlice,
}

impl Way {
    fn title(self) -> &'static str {
        match self {
            Self::ToBob => "Alice → Bob",
            Self::ToAlice => "Bob → Alice",
        }
    }

    /// The node that takes the message from its sender, or from Whisper.
    fn first(self, journey: &Journey) -> &[(String, u64)] {
        match self {
            Self::ToBob => &journey.edge,
            Self::ToAlice => &journey.bridge,
        }
    }
}

/// One message on its way.
#[derive(Debug)]
pub(super) struct Journey {
    pub(super) way: Way,
    pub(super) number: usize,
    pub(super) hash: [u8; 32],
    pub(super) edge: Vec<(String, u64)>,
    pub(super) bridge: Vec<(String, u64)>,
    said: Said,
    received_unix_ms: Vec<u64>,
}

impl Journey {
    /// A message that was just sent.
    pub(super) fn new(way: Way, number: usize, said: Said) -> Self {
        let (edge, bridge) = (Vec::new(), Vec::new());
        Self {
            way,
            number,
            hash: said.hash,
            edge,
            bridge,
            said,
            received_unix_ms: Vec::new(),
        }
    }

    /// What was said.
    pub(super) fn text(&self) -> &str {
        &self.said.text
    }

    /// It arrived; whether for the first time.
    pub(super) fn received(&mut self, at_unix_ms: u64) -> bool {
        self.received_unix_ms.push(at_unix_ms);
        self.received_unix_ms.len() == 1
    }

    /// From its acceptance at the first node of ours to its arrival, in seconds.
    fn latency(&self) -> Option<f64> {
        let accepted = self
            .way
            .first(self)
            .iter()
            .find(|(stage, _)| stage == "accepted")?
            .1;
        Some(seconds(accepted, *self.received_unix_ms.first()?))
    }
}

/// What the nodes say that they saw.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) relays: Vec<f64>,
    pub(super) bridge_peers: usize,
    pub(super) bridge_peers_are_relays: bool,
    pub(super) bridge_knows_edge: bool,
    pub(super) registrations: f64,
    pub(super) share: f64,
}

/// Prints.
#[derive(Debug)]
pub(super) struct Report {
    quiet: bool,
}

impl Report {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    pub(super) fn starting(&self, relays: usize) {
        self.say(&format!(
            "Starting a network on this machine: {relays} relays, a bridge, an edge, and two Whisper nodes of their own."
        ));
    }

    pub(super) fn ready(&self) {
        self.say("Ready. Alice's client is attached to the edge, Bob's to a Whisper node; both speak plain Whisper.");
        self.say("");
        self.say("  Alice's client ─ edge ═ three relays ═ bridge ─ Whisper ─ Bob's client");
        self.say("");
    }

    /// The life of one message, each time counted from when its sender sent it.
    pub(super) fn journey(&self, journey: &Journey) {
        let start = journey.said.at_unix_ms;
        let mut line = format!(
            "{} #{} ({} bytes):",
            journey.way.title(),
            journey.number,
            journey.said.size
        );
        let mut steps: Vec<(u64, String)> = Vec::new();
        for (place, life) in [("edge", &journey.edge), ("bridge", &journey.bridge)] {
            for (stage, at) in life {
                // The bridge also brings a post back to whoever follows its topic, Alice's edge among them: not this journey.
                let step = leg(journey.way, place, stage);
                if let Some(step) =
                    step.filter(|step| !steps.iter().any(|(_, known)| known == step))
                {
                    steps.push((*at, step.to_owned()));
                }
            }
        }
        steps.sort();
        let receiver = match journey.way {
            Way::ToBob => "received by Bob",
            Way::ToAlice => "received by Alice",
        };
        steps.extend(
            journey
                .received_unix_ms
                .iter()
                .map(|at| (*at, receiver.to_owned())),
        );
        for (at, step) in steps {
            // Writing to a string cannot fail.
            let _ = write!(line, "\n    {:+.2} s  {step}", seconds(start, at));
        }
        self.say(&line);
    }

    /// From acceptance at the edge, or at the bridge, to the receiver.
    pub(super) fn latencies(&self, journeys: &[Journey]) {
        out::say("");
        out::say("Seconds from the first node of ours to the receiver's client");
        out::say("  way           messages  arrived   p50    p95    p99    max");
        for way in [Way::ToBob, Way::ToAlice] {
            let all: Vec<&Journey> = journeys
                .iter()
                .filter(|journey| journey.way == way)
                .collect();
            let mut times: Vec<f64> = all.iter().filter_map(|journey| journey.latency()).collect();
            times.sort_by(f64::total_cmp);
            out::say(&format!(
                "  {:<12} {:>9} {:>8}   {:.2}   {:.2}   {:.2}   {:.2}",
                way.title(),
                all.len(),
                times.len(),
                quantile(&times, 0.50),
                quantile(&times, 0.95),
                quantile(&times, 0.99),
                quantile(&times, 1.0),
            ));
        }
    }

    pub(super) fn memory(&self, idle: &[(String, f64)]) {
        let shown: Vec<String> = idle
            .iter()
            .map(|(name, bytes)| format!("{name} {:.0} MiB", bytes / 1_048_576.0))
            .collect();
        out::say(&format!(
            "Resident memory before the first message: {}",
            shown.join(", ")
        ));
    }

    /// What could be seen, and what not; the figures are the nodes' own.
    pub(super) fn sight(&self, sight: &Sight) {
        let packets: Vec<String> = sight
            .relays
            .iter()
            .map(|packets| format!("{packets:.0}"))
            .collect();
        self.say("");
        self.say(&format!(
            "The relays saw {} packets, all of 4,608 bytes: cover, loops and messages look alike. None saw both ends of one.",
            packets.join(", ")
        ));
        let peers = match (sight.bridge_knows_edge, sight.bridge_peers_are_relays) {
            (false, true) => "all of them relays: it never met the edge",
            (false, false) => "not the edge",
            (true, _) => "the edge among them, which must not be",
        };
        self.say(&format!(
            "The bridge saw topic, size and time of each envelope, {:.0} registration under a random name that follows {:.1} % of all\n\
             topics, and {} mixnet peers, {peers}. It could not see who posted, what is inside, or which envelopes Alice reads.",
            sight.registrations,
            100.0 * sight.share,
            sight.bridge_peers,
        ));
    }

    /// Says how it went; whether every message arrived, and once.
    pub(super) fn verdict(&self, journeys: &[Journey]) -> bool {
        let lost = journeys
            .iter()
            .filter(|journey| journey.received_unix_ms.is_empty())
            .count();
        let doubled = journeys
            .iter()
            .filter(|journey| journey.received_unix_ms.len() > 1)
            .count();
        out::say("");
        out::say(&format!(
            "{} messages sent, {lost} lost, {doubled} shown twice",
            journeys.len()
        ));
        lost == 0 && doubled == 0
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            out::say(line);
        }
    }
}

/// What a stage at a place means for a reader; nothing if it is no part of the way.
fn leg<'a>(way: Way, place: &str, stage: &'a str) -> Option<&'a str> {
    Some(match (way, place, stage) {
        (Way::ToBob, "edge", "accepted") => "accepted by the edge",
        (Way::ToBob, "edge", "committed") => "on the edge's disk, queued for the mixnet",
        (Way::ToBob, "bridge", "accepted") => "at the bridge, through three relays",
        (Way::ToBob, "bridge", "committed") => "on the bridge's disk",
        (Way::ToBob, "bridge", "posted") => "posted to Whisper",
        (Way::ToBob, "edge", "posted") => "the edge has the receipt, through three relays",
        (Way::ToBob, _, "delivered" | "acked") => return None,
        (Way::ToAlice, "bridge", "accepted") => "accepted by the bridge from Whisper",
        (Way::ToAlice, "bridge", "committed") => "on the bridge's disk, queued for the mixnet",
        (Way::ToAlice, "bridge", "delivered") => "handed to the mixnet",
        (Way::ToAlice, "bridge", "acked") => "the bridge has the ack, through three relays",
        (Way::ToAlice, "edge", "accepted") => "at the edge, through three relays",
        (Way::ToAlice, "edge", "committed") => "on the edge's disk",
        (Way::ToAlice, "edge", "delivered") => "handed to Alice's client",
        _ => stage,
    })
}

fn seconds(from_ms: u64, to_ms: u64) -> f64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    (signed(to_ms) - signed(from_ms)) as f64 / 1000.0
}

/// The value below which this part of the sorted times lies; 0 without any.
fn quantile(times: &[f64], part: f64) -> f64 {
    let last = times.len().saturating_sub(1);
    times
        .get(
            ((times.len() as f64 * part).ceil() as usize)
                .saturating_sub(1)
                .min(last),
        )
        .copied()
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let times: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (
                quantile(&times, 0.5),
                quantile(&times, 0.95),
                quantile(&times, 1.0)
            ),
            (10.0, 19.0, 20.0)
        );
        assert_eq!((quantile(&[7.0], 0.95), quantile(&[], 0.5)), (7.0, 0.0));
    }

    #[test]
    fn what_is_lost_or_doubled_is_no_success() {
        let said = Said {
            hash: [1; 32],
            size: 100,
            text: "x".to_owned(),
            at_unix_ms: 1000,
        };
        let mut journey = Journey::new(Way::ToBob, 1, said);
        let report = Report::new(true);
        assert!(!report.verdict(std::slice::from_ref(&journey)));
        assert!(journey.received(1500));
        journey.edge.push(("accepted".to_owned(), 1100));
        assert_eq!(journey.latency(), Some(0.4));
        assert!(report.verdict(std::slice::from_ref(&journey)));
        assert!(!journey.received(1600));
        assert!(!report.verdict(&[journey]));
    }
}
