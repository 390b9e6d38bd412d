//! What the node says about the directory of the mixnet: which network it has, and whether others have the same.

use mixnet::directory::Status;
use mixnet::directory::voices::Fork;
use serde::Serialize;

/// The directory of a node that finds its network by gossip.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DirectoryStatus {
    /// The epoch by this node's clock.
    pub epoch: u32,
    /// `young`, `fresh` or `settled`; none while there is no active set of the epoch.
    pub standing: Option<&'static str>,
    /// What names the active set, in hexadecimal digits: the same for everybody once it is settled.
    pub root: Option<String>,
    /// Relays in the active set.
    pub relays: usize,
    /// Nodes in the active set, bridges and mailboxes among them.
    pub active: usize,
    /// Nodes in the registry; 0 for one that keeps none, as an edge.
    pub registered: usize,
    /// Nodes that can be asked.
    pub contacts: usize,
    /// Questions in a row that nobody answered.
    pub unanswered: u32,
    /// Other nodes have other active sets of one epoch.
    pub fork: Option<ForkStatus>,
    /// By how many seconds this clock is ahead of those of others, if it is too wrong to take part.
    pub clock_ahead_seconds: Option<i64>,
}

/// Two or more active sets of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForkStatus {
    /// The epoch.
    pub epoch: u32,
    /// The one with the most voices first.
    pub roots: Vec<RootShare>,
}

/// One of several active sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RootShare {
    /// What names it, in hexadecimal digits.
    pub root: String,
    /// The share of the nodes that were heard and have it, with two digits after the point.
    pub share: f64,
}

impl DirectoryStatus {
    /// For the API.
    pub fn of(status: &Status) -> Self {
        Self {
            epoch: status.epoch,
            standing: status.root.map(|(standing, _)| standing.as_str()),
            root: status.root.map(|(_, root)| hex::encode(root)),
            relays: status.relays,
            active: status.active,
            registered: status.registered,
            contacts: status.contacts,
            unanswered: status.unanswered,
            fork: status.fork.as_ref().map(ForkStatus::of),
            clock_ahead_seconds: status.clock_off.map(|off| off.seconds),
        }
    }
}

impl ForkStatus {
    fn of(fork: &Fork) -> Self {
        let share = |(root, share): &(_, f64)| RootShare {
            root: hex::encode(root),
            share: (share * 100.0).round() / 100.0,
        };
        Self {
            epoch: fork.epoch,
            roots: fork.roots.iter().map(share).collect(),
        }
    }
}
