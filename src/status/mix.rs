//! What the node says about its mixnet side beside counts: the window, the protection of messages, what loops show.

use std::time::Instant;

use mixnet::links::LinkLoss;
use mixnet::quality::{LoopStatus, RelayLoss};
use mixnet::watch::{Verdict, WatchStatus};
use mixnet::{Class, Protection, WindowState};
use serde::Serialize;

use crate::identity;

/// Whether packets leave at the full rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowStatus {
    /// `always`, `open` or `closed`.
    pub state: &'static str,
    /// Until it closes, unless the application is in the foreground then.
    pub minutes_left: Option<u64>,
    /// Whether the application is in the foreground.
    pub foreground: bool,
}

impl Default for WindowStatus {
    fn default() -> Self {
        Self::of(WindowState::Always)
    }
}

impl WindowStatus {
    /// For the API.
    pub fn of(state: WindowState) -> Self {
        let (minutes_left, foreground) = match state {
            WindowState::Open { until, foreground } => {
                let left = until.saturating_duration_since(Instant::now());
                (Some(left.as_secs().div_ceil(60)), foreground)
            }
            WindowState::Always | WindowState::Closed => (None, false),
        };
        Self {
            state: state.as_str(),
            minutes_left,
            foreground,
        }
    }

    /// Whether only the idle rate is left.
    pub fn is_closed(&self) -> bool {
        self.state == WindowState::Closed.as_str()
    }
}

/// What the messages of one class get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassStatus {
    /// `interactive`, `bulk`, `background` or `replies`.
    pub class: &'static str,
    /// Mean delay at each hop as configured, in milliseconds.
    pub delay_ms: u16,
    /// Copies of each packet.
    pub copies: u8,
}

/// Whether messages get what was chosen for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ProtectionStatus {
    /// Every class.
    pub classes: Vec<ClassStatus>,
    /// `warn`, `adapt` or `refuse`.
    pub low_traffic: &'static str,
    /// Whether less than chosen is refused.
    pub strict: bool,
    /// What the delays are multiplied by for want of traffic.
    pub delay_factor: f64,
    /// Loops vanish: messages are held.
    pub alarm: bool,
    /// Messages are refused for want of traffic.
    pub refusing: bool,
    /// Copies of a packet share relays, because there are too few.
    pub copies_share_relays: bool,
    /// So much is lost that frames leave twice where a slot is free.
    pub copies_for_loss: bool,
}

/// How much traffic there is, as far as this node can know.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrafficStatus {
    /// Packets that enter the network per second.
    pub network_rate: f64,
    /// Packets that one relay forwards per second.
    pub relay_rate: f64,
    /// Packets that rest at a relay at a time, at the shortest delay in use.
    pub pool: f64,
    /// `unknown`, `enough` or `low`.
    pub verdict: &'static str,
    /// `measured`, `reported` or `floor`.
    pub source: &'static str,
}

impl ProtectionStatus {
    /// For the API.
    pub fn of(chosen: &Protection, watch: &WatchStatus) -> Self {
        let class = |class: Class| {
            let level = chosen.levels.of_class(class);
            ClassStatus {
                class: class.as_str(),
                delay_ms: level.delay_ms(),
                copies: level.copies(),
            }
        };
        Self {
            classes: Class::ALL.map(class).into(),
            low_traffic: chosen.low_traffic.as_str(),
            strict: chosen.strict,
            delay_factor: watch.delay_factor,
            alarm: watch.alarm,
            refusing: watch.refusing,
            copies_share_relays: watch.copies_share_relays,
            copies_for_loss: watch.copies_for_loss,
        }
    }
}

impl TrafficStatus {
    /// For the API, with two digits after the point.
    pub fn of(watch: &WatchStatus) -> Self {
        let round = |value: f64| (value * 100.0).round() / 100.0;
        Self {
            network_rate: round(watch.estimate.network_rate),
            relay_rate: round(watch.estimate.relay_rate),
            pool: round(watch.pool),
            verdict: watch.verdict.as_str(),
            source: watch.estimate.source.as_str(),
        }
    }

    /// Whether it is known that too few packets mix.
    pub fn is_low(&self) -> bool {
        self.verdict == Verdict::Low.as_str()
    }
}

/// What loops say about relays and links; only `/v1/mix` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LoopReport {
    /// Every relay of the list, this node apart.
    pub relays: Vec<RelayReport>,
    /// Links between relays that lose most.
    pub links: Vec<LinkReport>,
    /// Links over which enough loops went to judge them.
    pub links_judged: usize,
    /// Links that paths leave out.
    pub links_avoided: usize,
}

/// One relay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RelayReport {
    /// Its peer id.
    pub peer_id: String,
    /// Whether it can be reached.
    pub reachable: bool,
    /// The newest loops through it, 128 at most.
    pub loops: u32,
    /// Those that did not come back.
    pub lost: u32,
    /// Whether paths leave it out for its losses.
    pub avoided: bool,
    /// Whether its loops vanish in a row.
    pub alarmed: bool,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkReport {
    /// Peer id of the relay that hands over.
    pub from: String,
    /// Peer id of the relay that takes.
    pub to: String,
    /// The newest loops over it, 16 at most.
    pub loops: u32,
    /// Those that did not come back.
    pub lost: u32,
    /// Whether paths leave it out.
    pub avoided: bool,
}

impl LoopReport {
    /// For the API.
    pub fn of(loops: &LoopStatus) -> Self {
        let relay = |loss: &RelayLoss| RelayReport {
            peer_id: identity::peer_id(&loss.peer).unwrap_or_default(),
            reachable: loss.reachable,
            loops: loss.loops,
            lost: loss.lost,
            avoided: loss.avoided,
            alarmed: loss.alarmed,
        };
        let link = |loss: &LinkLoss| LinkReport {
            from: identity::peer_id(&loss.from).unwrap_or_default(),
            to: identity::peer_id(&loss.to).unwrap_or_default(),
            loops: loss.loops,
            lost: loss.lost,
            avoided: loss.avoided,
        };
        Self {
            relays: loops.relays.iter().map(relay).collect(),
            links: loops.links.iter().map(link).collect(),
            links_judged: loops.links_judged,
            links_avoided: loops.links_avoided,
        }
    }

    /// The share of the newest loops that did not come back, over all relays; none while there are no loops.
    pub fn loss(&self) -> Option<f64> {
        let loops: u32 = self.relays.iter().map(|relay| relay.loops).sum();
        let lost: u32 = self.relays.iter().map(|relay| relay.lost).sum();
        (loops > 0).then(|| f64::from(lost) / f64::from(loops))
    }
}
