//! What the mailserver counts.

use std::collections::BTreeMap;

/// Numbers since the start, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Requests for mail, by how they went.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests for syncs, by how they went.
    pub syncs: BTreeMap<&'static str, u64>,
    /// Envelopes handed out.
    pub envelopes_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Envelopes archived that were not there before.
    pub archived: u64,
    /// Envelopes that were there already.
    pub repeated: u64,
    /// Envelopes that were not archived because the disk was too slow.
    pub dropped: u64,
    /// Envelopes removed because they were too old or too many.
    pub pruned: u64,
    /// Jobs that the archive failed to do.
    pub failures: u64,
    /// Envelopes of other servers that were not taken, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Answers to syncs that nobody asked for.
    pub unsolicited: u64,
    /// Connections that ended because of what was asked on them.
    pub breaches: u64,
}

/// How requests for mail and syncs go.
pub(super) const RESULTS: [&str; 12] = [
    "served",
    "no_sealed",
    "no_plain",
    "low_pow",
    "undecryptable",
    "unsigned",
    "invalid",
    "rate_limited",
    "busy",
    "stranger",
    "failed",
    "timed_out",
];

impl Default for Counters {
    /// Zeros, with every label there from the start.
    fn default() -> Counters {
        let zeros = || RESULTS.into_iter().map(|result| (result, 0)).collect();
        Counters {
            requests: zeros(),
            syncs: zeros(),
            envelopes_sent: 0,
            bytes_sent: 0,
            archived: 0,
            repeated: 0,
            dropped: 0,
            pruned: 0,
            failures: 0,
            refused: super::pull::REFUSALS
                .into_iter()
                .map(|reason| (reason, 0))
                .collect(),
            unsolicited: 0,
            breaches: 0,
        }
    }
}
