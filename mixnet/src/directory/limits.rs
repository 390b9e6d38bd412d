//! Bounds of the directory.

use std::time::Duration;

// ---- Our bounds: what is kept ----

/// Nodes in the registry: a quarter of a kilobyte to three quarters each, so 48 MiB when full. A network that is larger needs a
/// registry in parts, not a larger one (spec: section 3.3).
pub const REGISTRY_MAX: usize = 65_536;

/// Relays in an active set at least, if there are so many: twenty for each place of a path.
pub const ACTIVE_MIN: usize = 60;

/// Relays in an active set at most: what a phone fetches in a month stays below 40 MB.
pub const ACTIVE_MAX: usize = 1024;

/// Bridges and mailboxes in an active set beside the relays.
pub const SERVICES_MAX: usize = 1024;

/// Old relays without which the registration delay is not applied: a path takes three.
pub const SETTLED_RELAYS_MIN: usize = 3;

/// Seeds of one node: a list of seeds is no directory.
pub const SEEDS_MAX: usize = 64;

// ---- Our bounds: gossip ----

/// Pause between rounds while there is something to learn.
pub const ROUND_BUSY: Duration = Duration::from_secs(1);

/// Pause between rounds while nothing changes.
pub const ROUND_QUIET: Duration = Duration::from_secs(30);

/// Where epochs are short, pauses are at most these parts of one.
pub const ROUND_BUSY_PART: u32 = 64;
/// See [`ROUND_BUSY_PART`].
pub const ROUND_QUIET_PART: u32 = 16;

/// How long an answer may take: a dial, two handshakes and the way through a slow line.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One round in so many asks a seed, whatever is known: two networks that have lost each other meet there.
pub const SEED_EVERY: u32 = 8;

/// Peers whose root and clock are remembered.
pub const VOICES_MAX: usize = 256;

/// Voices below which two roots are no fork but one mistake.
pub const FORK_VOICES_MIN: usize = 3;

/// A root is part of a fork if more than this share of the voices has it.
pub const FORK_SHARE: f64 = 0.1;

/// Other clocks without which ours is not judged, unless fewer nodes are known.
pub const CLOCKS_MIN: usize = 3;

/// Relays of whom a client demands one and the same root.
pub const SOURCES: usize = 3;

// ---- Our bounds: what one peer may ask and tell ----

/// Peers whose rates are remembered: twice the connections of a node.
pub const PEERS_MAX: usize = 512;

/// Requests that one peer may make at once.
pub const REQUESTS_BURST: u32 = 64;

/// And a second for long: a newcomer that fetches everything makes three a round.
pub const REQUESTS_PER_SECOND: u32 = 8;

/// Descriptors that one peer may give at once: each may cost us a signature check, 50 µs.
pub const GIFTS_BURST: u32 = 1024;

/// And a second for long.
pub const GIFTS_PER_SECOND: u32 = 64;

/// Answers to requests that are still being sent, of all peers together.
pub const ANSWERS_MAX: usize = 256;
