//! What a simulation of the directory's gossip found.

use serde::Serialize;

use super::{
    Config, DESCRIPTOR_BYTES, EPOCH_HOURS, EXCHANGE_OVERHEAD_BYTES, EXCHANGED, Id, VIEW_LEN, World,
};

/// A distribution over nodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
    /// One in a hundred is not above this.
    pub p1: f64,
    /// Half are not above this.
    pub p50: f64,
    /// Ninety-nine in a hundred are not above this.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// The findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Nodes at any time.
    pub nodes: u32,
    /// The share of them that lies.
    pub liars: f64,
    /// The share that left in the epoch.
    pub churn: f64,
    /// Whether nodes defended themselves.
    pub defence: bool,
    /// Rounds until every honest node but those who had just joined had the root; none if that did not happen.
    pub rounds_to_all: Option<u32>,
    /// The share of honest nodes that had it, before the first round and after each.
    pub reached: Vec<f64>,
    /// The share of a node's view that is dead.
    pub stale: Spread,
    /// How many views know a node.
    pub in_degree: Spread,
    /// Variance of the in-degree over its mean: 1 where everybody is as likely to be known.
    pub in_degree_dispersion: f64,
    /// The share of liars in the views of honest nodes.
    pub liars_in_views: f64,
    /// The share of liars in their samplers.
    pub liars_in_samplers: f64,
    /// Honest nodes whom nobody honest knows at the end; they make themselves known by their next call.
    pub unknown: u32,
    /// Honest nodes who know nobody honest that lives, and whom nobody honest knows: these are lost.
    pub isolated: u32,
    /// Bytes that an honest node sends in a round, on average.
    pub bytes_per_round: f64,
    /// Bytes that a client fetches in a month of 30 days: the active set, once an epoch.
    pub client_bytes_per_month: u64,
}

/// Everybody: what is left are those who joined in the very round.
const ALL: f64 = 0.999;

pub(super) fn make(config: &Config, world: &World, reached: Vec<f64>) -> Report {
    let honest = world.liars..world.views.len();
    let mut known_by = vec![0u32; world.views.len()];
    let mut known_by_honest = vec![false; world.views.len()];
    let (mut stale, mut lying, mut living) = (Vec::with_capacity(honest.len()), 0u64, 0u64);
    let (mut alone, mut sampled, mut sampled_liars) = (Vec::new(), 0u64, 0u64);
    for index in honest.clone() {
        let alive = world.views[index].iter().filter(|id| world.is_alive(**id));
        let (mut alive_len, mut honest_len) = (0, 0);
        for id in alive {
            alive_len += 1;
            known_by[id.index()] += 1;
            known_by_honest[id.index()] = true;
            honest_len += usize::from(!world.is_liar(id.index()));
        }
        living += alive_len as u64;
        lying += (alive_len - honest_len) as u64;
        stale.push(1.0 - alive_len as f64 / VIEW_LEN as f64);
        if honest_len == 0 {
            alone.push(index);
        }
        for id in world.samplers[index].iter().filter(|id| **id != Id::NOBODY) {
            sampled += 1;
            sampled_liars += u64::from(world.is_liar(id.index()));
        }
    }
    let unknown = |index: &usize| !known_by_honest[*index];
    let isolated = alone.iter().filter(|index| unknown(index)).count() as u32;
    let unknown = honest.clone().filter(unknown).count() as u32;
    let degrees: Vec<f64> = honest.map(|index| f64::from(known_by[index])).collect();
    let in_degree = spread(degrees);
    let side = EXCHANGE_OVERHEAD_BYTES + EXCHANGED * DESCRIPTOR_BYTES;
    let sides = world.exchanges as f64 / f64::from(world.rounds.max(1));
    let epochs_a_month = u64::from(30 * 24 / EPOCH_HOURS);
    Report {
        nodes: config.nodes,
        liars: config.liars,
        churn: config.churn,
        defence: config.defence,
        rounds_to_all: everybody(config, &reached),
        reached,
        stale: spread(stale),
        in_degree_dispersion: in_degree.sd * in_degree.sd / in_degree.mean.max(f64::MIN_POSITIVE),
        in_degree,
        liars_in_views: ratio(lying, living),
        liars_in_samplers: ratio(sampled_liars, sampled),
        unknown,
        isolated,
        bytes_per_round: sides * side as f64 / (world.views.len() - world.liars) as f64,
        client_bytes_per_month: u64::from(config.active) * DESCRIPTOR_BYTES as u64 * epochs_a_month,
    }
}

/// The first round after which all have it. While some join all the time, a few have not heard yet.
fn everybody(config: &Config, reached: &[f64]) -> Option<u32> {
    let all = if config.churn > 0.0 { ALL } else { 1.0 };
    let round = reached.iter().position(|share| *share >= all)?;
    u32::try_from(round).ok()
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_unstable_by(f64::total_cmp);
    let len = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / len;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / len;
    let at = |share: f64| {
        let place = (share * len) as usize;
        values
            .get(place.min(values.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    Spread {
        mean,
        sd: variance.sqrt(),
        p1: at(0.01),
        p50: at(0.5),
        p99: at(0.99),
        max: at(1.0),
    }
}
