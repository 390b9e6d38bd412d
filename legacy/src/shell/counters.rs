//! What the shell counts: every connection that comes, goes or is refused, under a reason from a closed list.

use std::collections::BTreeMap;

use crate::mailserver::{archive, client, server};
use crate::peers;
use crate::shh;
use crate::shh::clock::ClockState;

/// Counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections that were opened by us.
    pub dialled: u64,
    /// Connections that were opened to us.
    pub accepted: u64,
    /// Connections on which both Hellos went through.
    pub established: u64,
    /// Connections that were closed without a byte, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Connections that ended, by reason; `ours_` and `theirs_` go before what a Disconnect said.
    pub closed: BTreeMap<String, u64>,
    /// Bans that hold now.
    pub banned: usize,
    /// What the policy counted: offences and bans.
    pub policy: peers::Counters,
    /// Connections whose handshake is not through now, of those that were opened to us.
    pub pending: usize,
    /// Connections that are established now.
    pub peers: usize,
    /// Envelopes in the pool now.
    pub pooled: usize,
    /// What they take, in bytes.
    pub pooled_bytes: usize,
    /// What is known about our clock.
    pub clock: ClockState,
    /// What Whisper counted.
    pub shh: shh::Counters,
    /// What the mailserver counted.
    pub mail: MailCounters,
}

/// What both ends of a mailserver counted.
#[derive(Clone, Debug, Default)]
pub struct MailCounters {
    /// Our own requests.
    pub client: client::Counters,
    /// Those of others; nothing where this node is no mailserver.
    pub server: Option<server::Counters>,
    /// What the archive holds now.
    pub totals: archive::Totals,
}
