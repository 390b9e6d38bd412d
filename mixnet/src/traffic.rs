//! How much traffic the network carries, as far as one node can know it.
//!
//! Nobody who only sends and receives can see it: delays are drawn, not waited for in line, so the time that a loop takes says
//! nothing about the other packets. What can be known, in the order of trust:
//!
//! ```text
//! measured   a relay counts what it forwards                       f packets a second, exactly
//! reported   relays answer probes with what they forward           the median of theirs, so that less than half may lie
//! floor      nobody has said anything                              what services and relays of the list send by rule, and we
//!
//! network    Λ = f · W / 3         a packet is forwarded by three of W relays, drawn evenly
//! pool       f · d                 packets that come to rest at a relay while one of ours does
//! ```
//!
//! A probe is a packet of drop cover that ends at a relay and brings a reply block; the answer comes back through the network as a
//! loop does. What a relay tells is its mean over [`WINDOW`], rounded to half a power of two: nothing of one packet is in it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::address::PeerKey;
use crate::limits::RELAYS_NEEDED;
use crate::preset::{MIX_LOOP_RATE, Preset};
use crate::sphinx::SurbId;
use crate::topology::Topology;

// ---- Our constants ----

/// Time over which a relay counts.
pub const WINDOW: Duration = Duration::from_secs(600);

/// A relay that has counted for less time tells nothing: at 5 packets a second the count is good to 8 % then.
const COUNTED_MIN: Duration = Duration::from_secs(30);

/// Counts of this long are forgotten one by one.
const SLICE: Duration = Duration::from_secs(30);

/// A relay is asked again after this time.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// A relay that did not answer is asked again after this time: it may have counted for too short a time, or the probe was lost.
const RETRY_EVERY: Duration = Duration::from_secs(45);

/// A report counts for this long: relays that have gone are soon forgotten.
const REPORT_KEPT: Duration = Duration::from_secs(1800);

/// A probe that is not answered by now was lost, or its relay speaks no such thing.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reports and probes that are kept at once. More relays are not asked: their median would say the same.
const RELAYS_MAX: usize = 256;

/// Reports from which a median is believed: one liar among three cannot move it past the others.
const REPORTS_MIN: usize = 3;

/// Where an estimate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This node is a relay and counted.
    Measured,
    /// So many relays told.
    Reported(usize),
    /// At least so much is sent by rule.
    Floor,
}

impl Source {
    /// The label in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Reported(_) => "reported",
            Self::Floor => "floor",
        }
    }
}

/// How much traffic there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Packets that enter the network per second.
    pub network_rate: f64,
    /// Packets that one relay forwards per second.
    pub relay_rate: f64,
    /// How it is known.
    pub source: Source,
}

impl Estimate {
    /// Packets that rest at a relay at a time, on average, when they rest `delay` each.
    pub fn pool(&self, delay: Duration) -> f64 {
        self.relay_rate * delay.as_secs_f64()
    }
}

/// What one node knows about the traffic of all.
pub(crate) struct Traffic {
    own: Meter,
    reports: BTreeMap<PeerKey, Report>,
    /// By the id of the reply block that the relay got.
    probes: BTreeMap<SurbId, (Instant, PeerKey)>,
}

#[derive(Clone, Copy)]
struct Report {
    asked: Instant,
    /// When the relay told what, packets per second; none while it has not answered.
    told: Option<(Instant, f64)>,
}

impl Report {
    /// Whether it is time to ask again.
    fn is_due(&self, now: Instant) -> bool {
        let answered = self.told.is_some_and(|(at, _)| at >= self.asked);
        let every = if answered { REPORT_EVERY } else { RETRY_EVERY };
        now.saturating_duration_since(self.asked) >= every
    }

    /// What counts now.
    fn rate(&self, now: Instant) -> Option<f64> {
        let fresh = |at| now.saturating_duration_since(at) < REPORT_KEPT;
        self.told.filter(|(at, _)| fresh(*at)).map(|(_, rate)| rate)
    }
}

impl Traffic {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            own: Meter::new(start),
            reports: BTreeMap::new(),
            probes: BTreeMap::new(),
        }
    }

    /// This relay took a packet in to forward it.
    pub(crate) fn forwarded(&mut self, now: Instant) {
        self.own.count(now);
    }

    /// What this relay tells others, in thousandths of a packet per second; nothing before it has counted for a while.
    pub(crate) fn told(&mut self, now: Instant) -> Option<u32> {
        self.own.rate(now).map(|rate| rounded(rate * 1e3))
    }

    /// Whether cover that ends at this relay is to ask it.
    pub(crate) fn wants(&mut self, now: Instant, relay: PeerKey) -> bool {
        self.forget(now);
        let known = self.reports.get(&relay);
        if known.is_none() && self.reports.len() >= RELAYS_MAX || self.probes.len() >= RELAYS_MAX {
            return false;
        }
        known.is_none_or(|report| report.is_due(now))
    }

    /// A probe leaves for this relay.
    pub(crate) fn asked(&mut self, now: Instant, id: SurbId, relay: PeerKey) {
        self.probes.insert(id, (now + PROBE_TIMEOUT, relay));
        let told = self.reports.get(&relay).and_then(|report| report.told);
        self.reports.insert(relay, Report { asked: now, told });
    }

    /// Whether a reply under this id answers a probe.
    pub(crate) fn is_probe(&self, id: &SurbId) -> bool {
        self.probes.contains_key(id)
    }

    /// A relay answered. False when nobody asked.
    pub(crate) fn answered(&mut self, now: Instant, id: &SurbId, told: u32) -> bool {
        let Some((_, relay)) = self.probes.remove(id) else {
            return false;
        };
        if let Some(report) = self.reports.get_mut(&relay) {
            report.told = Some((now, f64::from(told) / 1e3));
        }
        true
    }

    /// Forgets what is old.
    fn forget(&mut self, now: Instant) {
        self.probes.retain(|_, (until, _)| *until > now);
        self.reports
            .retain(|_, report| now.saturating_duration_since(report.asked) < REPORT_KEPT);
    }

    /// How much there is, for a network of `relays` usable relays, this node among them if it is one. `floor` is what is sent by
    /// rule, packets per second.
    pub(crate) fn estimate(
        &mut self,
        now: Instant,
        relay: bool,
        relays: usize,
        floor: f64,
    ) -> Estimate {
        self.forget(now);
        let width = relays.max(RELAYS_NEEDED) as f64;
        let hops = RELAYS_NEEDED as f64;
        let of_relay = |relay_rate: f64, source| Estimate {
            network_rate: relay_rate * width / hops,
            relay_rate,
            source,
        };
        let own = self.own.rate(now).filter(|_| relay);
        if let Some(rate) = own {
            return of_relay(rate, Source::Measured);
        }
        let mut rates: Vec<f64> = self.reports.values().filter_map(|r| r.rate(now)).collect();
        if rates.len() >= REPORTS_MIN {
            rates.sort_by(f64::total_cmp);
            let reports = rates.len();
            let median = (rates[(reports - 1) / 2] + rates[reports / 2]) / 2.0;
            return of_relay(median, Source::Reported(reports));
        }
        Estimate {
            network_rate: floor,
            relay_rate: floor * hops / width,
            source: Source::Floor,
        }
    }
}

/// What the members of a network send by rule, packets per second: services on the clock of their preset, relays their loops.
pub(crate) fn floor(topology: &Topology, own: PeerKey, own_rate: f64) -> f64 {
    let others = topology.iter().filter(|other| other.peer() != own);
    let rates = others.map(|other| {
        let is = other.capabilities();
        let service = if is.bridge || is.mailbox {
            Preset::SERVICE.packet_rate()
        } else {
            0.0
        };
        service + if is.relay { MIX_LOOP_RATE } else { 0.0 }
    });
    own_rate + rates.sum::<f64>()
}

/// To the nearest half power of two: at most 19 % off.
fn rounded(rate: f64) -> u32 {
    if rate < 1.0 {
        return 0;
    }
    let halves = (rate.log2() * 2.0).round() / 2.0;
    // The cast saturates.
    halves.exp2().round() as u32
}

/// Counts events over the last [`WINDOW`].
struct Meter {
    start: Instant,
    /// Slices that began at these times, the newest last.
    slices: VecDeque<(Instant, u64)>,
}

impl Meter {
    fn new(start: Instant) -> Self {
        Self {
            start,
            slices: VecDeque::from([(start, 0)]),
        }
    }

    fn count(&mut self, now: Instant) {
        self.turn(now);
        if let Some((_, count)) = self.slices.back_mut() {
            *count += 1;
        }
    }

    /// Begins a slice if it is time.
    fn turn(&mut self, now: Instant) {
        let newest = self.slices.back().map(|(began, _)| *began);
        if newest.is_none_or(|began| now.saturating_duration_since(began) >= SLICE) {
            self.slices.push_back((now, 0));
        }
        let old =
            |(began, _): &(Instant, u64)| now.saturating_duration_since(*began) > WINDOW + SLICE;
        while self.slices.front().is_some_and(old) {
            self.slices.pop_front();
        }
    }

    /// Events per second; none before they were counted for a while.
    fn rate(&mut self, now: Instant) -> Option<f64> {
        self.turn(now);
        let since = now.saturating_duration_since(self.slices.front()?.0);
        // Where nothing came for long there is no slice, and nothing is what was counted.
        let counted = since
            .max(WINDOW)
            .min(now.saturating_duration_since(self.start));
        if counted < COUNTED_MIN {
            return None;
        }
        let total: u64 = self.slices.iter().map(|(_, count)| count).sum();
        Some(total as f64 / counted.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::tests::peer_key;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_relay_counts_and_forgets() {
        let start = Instant::now();
        let mut traffic = Traffic::new(start);
        for n in 0..4_000 {
            let now = start + Duration::from_millis(250 * n);
            traffic.forwarded(now);
            let early = n < 120;
            assert_eq!(traffic.told(now).is_none(), early, "{n}");
        }
        let now = start + seconds(1_000);
        let estimate = traffic.estimate(now, true, 12, 1.0);
        assert_eq!(estimate.source, Source::Measured);
        assert!((estimate.relay_rate - 4.0).abs() < 0.02, "{estimate:?}");
        assert!((estimate.network_rate - 16.0).abs() < 0.1, "{estimate:?}");
        assert!((estimate.pool(seconds(2)) - 8.0).abs() < 0.1);
        // Nothing came for a window: it shows.
        let quiet = traffic.estimate(now + seconds(700), true, 12, 1.0);
        assert!(quiet.relay_rate < 0.2, "{quiet:?}");
    }

    #[test]
    fn what_is_told_is_rounded() {
        for (rate, told) in [
            (0.0, 0),
            (0.9, 0),
            (1.0, 1),
            (1_000.0, 1_024),
            (1_200.0, 1_024),
            (1_300.0, 1_448),
        ] {
            assert_eq!(rounded(rate), told, "{rate}");
        }
        for rate in 10..5_000 {
            let off = f64::from(rounded(f64::from(rate))) / f64::from(rate);
            assert!((0.8..1.25).contains(&off), "{rate}: {off}");
        }
        assert_eq!(rounded(f64::INFINITY), u32::MAX);
    }

    #[test]
    fn the_median_of_the_reports_counts() {
        let start = Instant::now();
        let mut traffic = Traffic::new(start);
        let floor = traffic.estimate(start, false, 6, 30.0);
        assert_eq!((floor.source, floor.relay_rate), (Source::Floor, 15.0));
        for (n, told) in [(1, 2_000), (2, 4_000), (3, 900_000), (4, 3_000), (5, 0)] {
            let id = SurbId::from_bytes([n; 16]).unwrap();
            let relay = peer_key(n.into());
            assert!(traffic.wants(start, relay));
            traffic.asked(start, id, relay);
            assert!(!traffic.wants(start, relay), "once is enough");
            assert!(traffic.answered(start, &id, told));
            assert!(!traffic.answered(start, &id, told), "nobody asked again");
        }
        let estimate = traffic.estimate(start, false, 6, 30.0);
        assert_eq!(estimate.source, Source::Reported(5));
        assert_eq!((estimate.relay_rate, estimate.network_rate), (3.0, 6.0));
        assert!(!traffic.wants(start + RETRY_EVERY, peer_key(1)));
        assert!(traffic.wants(start + REPORT_EVERY, peer_key(1)));
        // Asking again does not make what was told any newer.
        let again = SurbId::from_bytes([9; 16]).unwrap();
        traffic.asked(start + REPORT_KEPT - REPORT_EVERY, again, peer_key(1));
        let late = traffic.estimate(start + REPORT_KEPT, false, 6, 30.0);
        assert_eq!(late.source, Source::Floor);
    }

    #[test]
    fn tables_are_bounded_and_lost_probes_are_forgotten() {
        let start = Instant::now();
        let mut traffic = Traffic::new(start);
        let mut asked = 0;
        for n in 0..1_000u16 {
            let relay = peer_key(n + 1);
            if traffic.wants(start, relay) {
                let mut id = [1; 16];
                id[..2].copy_from_slice(&n.to_be_bytes());
                let id = SurbId::from_bytes(id).unwrap();
                traffic.asked(start, id, relay);
                asked += 1;
            }
        }
        assert_eq!(asked, RELAYS_MAX);
        assert!(!traffic.answered(start, &SurbId::from_bytes([0xff; 16]).unwrap(), 1));
        traffic.estimate(start + PROBE_TIMEOUT, false, 3, 0.0);
        assert!(traffic.probes.is_empty());
        // Who did not answer is asked again soon.
        assert!(!traffic.wants(start + PROBE_TIMEOUT, peer_key(1)));
        assert!(traffic.wants(start + RETRY_EVERY, peer_key(1)));
    }
}
