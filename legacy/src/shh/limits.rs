//! Every number of Whisper v6: first what the protocol fixes, then what we chose and why.

// ---- Fixed by the protocol -------------------------------------------------------------------

/// Name of the capability in the devp2p Hello.
pub const CAPABILITY_NAME: &str = "shh";
/// Version of the capability, and the first field of Status.
pub const VERSION: u64 = 6;
/// Message codes that the capability reserves.
pub const CODES: u64 = 128;
/// What the size rule adds to the length of an envelope's data.
pub const ENVELOPE_HEADER_LEN: usize = 20;
/// How far in the future an envelope may have been sent (seconds).
pub const FUTURE_TOLERANCE: u32 = 10;
/// How late an envelope may arrive without its sender being at fault (seconds).
pub const LATE_TOLERANCE: u32 = 20;
/// After a change of our proof of work or bloom, how long the old value is still honoured (ms).
pub const TOLERANCE_WINDOW_MS: u64 = 10_000;
/// A plaintext is padded to a multiple of this.
pub const PADDING_UNIT: usize = 256;
/// Iterations of PBKDF2 for a password. The number is odd and right: it is what every peer uses.
pub const PBKDF2_ITERATIONS: u32 = 65_356;

// ---- Chosen by us ----------------------------------------------------------------------------

/// Proof of work asked of peers: the value that Status clients mine for.
pub const MIN_POW: f64 = 0.002;
/// Largest envelope (header constant and data): the limit of every peer of the Whisper era.
pub const ENVELOPE_LEN_MAX: usize = 1024 * 1024;
/// Largest packet taken in. Ten times the envelope limit, because geth never splits a bundle.
pub const PACKET_IN_LEN_MAX: usize = 10 * 1024 * 1024;
/// Largest packet taken in before the peer's Status: no form of Status needs more.
pub const EARLY_PACKET_LEN_MAX: usize = 2 * 1024;
/// Largest bundle sent, half of the limit at which receivers disconnect. A single envelope may exceed it.
pub const PACKET_OUT_LEN_MAX: usize = 512 * 1024;
/// Envelopes in one packet: more than our whole pool may hold is no honest bundle.
pub const ENVELOPES_PER_PACKET_MAX: usize = 65_536;
/// Longest life of an envelope (seconds): two days, where geth would keep one for 136 years.
pub const TTL_MAX: u32 = 2 * 24 * 60 * 60;
/// Bytes held by the pool: an hour of a busy network, small enough for a phone.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Envelopes held by the pool: bounds the bookkeeping where envelopes are tiny.
pub const POOL_ENVELOPES_MAX: usize = 50_000;
/// What one pooled envelope costs beside its bytes (indices, reference counts).
pub const POOL_ENTRY_OVERHEAD: usize = 320;
/// Ids of envelopes that left the pool and are still recognised: more than one pool.
pub const GONE_IDS_MAX: usize = 65_536;
/// How long such an id is remembered (seconds): the late tolerance and both peers' clock errors.
pub const GONE_SECONDS: u32 = 120;
/// Peers of one node: the width of the bitmap that says who knows an envelope.
pub const PEERS_MAX: usize = 128;
/// How long a peer may take to send its Status (ms). Whisper itself has no limit, so a mute peer would hold a slot for ever.
pub const STATUS_TIMEOUT_MS: u64 = 10_000;
/// Delay between an envelope's arrival and its relaying (ms), the tick of every Go peer.
pub const RELAY_TICK_MS: u64 = 300;
/// Packets per second to a peer that says nothing of limits: 32 MiB of full bundles, more than a relay has to say. A peer
/// that takes less holds us back by not reading, and one that announces limits by those.
pub const PACKETS_PER_SECOND: u32 = 64;
/// Bundles that may leave at once after a quiet second.
pub const PACKET_BURST: u32 = 4;
/// Life that an envelope must have left to be forwarded (seconds): it must not die on the wire.
pub const LIFE_LEFT_MIN: u32 = 2;
/// How far in the future an envelope may have been sent to be forwarded (seconds): half of what the receiver allows,
/// so that two wrong clocks together do not make us look hostile.
pub const FORWARD_AHEAD_MAX: u32 = 5;
/// Envelopes of too little work that one peer may send in a window before it is sent away.
/// A peer that has not yet seen our new requirement sends a few; one that ignores it sends hundreds.
pub const LOW_POW_STRIKES_MAX: u32 = 300;
/// The window of those strikes (ms).
pub const STRIKE_WINDOW_MS: u64 = 60_000;
/// Envelopes of a bundle that are hashed side by side: enough to fill every lane, little to throw away where a peer is
/// dismissed half-way.
pub const HASHED_TOGETHER: usize = 64;
/// Nonces tried between two looks at the stop check: about half a millisecond.
pub const SEARCH_SLICE: u64 = 1_024;
/// Filters installed at once, over all clients of a node.
pub const FILTERS_MAX: usize = 10_000;
/// Keys of one kind that local clients may keep: more than any client has, a few megabytes.
pub const KEYS_MAX: usize = 10_000;
/// Letters that wait for the client of one filter: the depth of the queue between network and filters at every Go peer.
pub const BOX_LETTERS_MAX: usize = 1_024;
/// Bytes that wait in the boxes of all filters together: as much as the pool may hold.
pub const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What one waiting letter costs beside its bytes (reference counts, indices, keys).
pub const LETTER_OVERHEAD: usize = 512;

/// Largest envelope that an operator may allow: what geth lets one set.
pub const ENVELOPE_LEN_SETTABLE_MAX: usize = 10 * 1024 * 1024;
/// Bundles sent to one peer whose confirmation is awaited: half a minute of them.
pub const PENDING_BATCHES_MAX: usize = 128;
/// Faults named in one confirmation of ours: who has more has one reason for all.
pub const FAULTS_MAX: usize = 1_024;
/// Longest text of a fault that is kept (bytes).
pub const FAULT_TEXT_LEN_MAX: usize = 200;
/// Confirmations that wait until a peer with rate limits may be sent another packet. It sees the rest as lost.
pub const REPLIES_MAX: usize = 64;
/// Bundles whose confirmation is held back until what became of their envelopes is known, over all peers.
pub const HELD_BATCHES_MAX: usize = 1_024;
/// How long such a bundle is held at most (ms): no Status client waits longer before it sends again.
pub const HELD_BATCH_MS: u64 = 60_000;
/// Nodes that may be trusted at once: an operator names each of them.
pub const TRUSTED_NODES_MAX: usize = 256;
/// Nodes and addresses whose packets are counted: twice as many as can be connected, because the last second of those
/// that left still counts.
pub const RATE_KEYS_MAX: usize = 2 * PEERS_MAX;
/// Packets above the limit that a peer may send in a window of strikes before it is sent away.
pub const RATE_TOLERANCE: u32 = 100;
/// A difference between wall clock and monotonic clock that is a jump (ms): more than any correction by NTP.
pub const CLOCK_JUMP_MS: u64 = 5_000;
/// How long sealing should wait after a jump (ms): a clock that is being set is right within a minute.
pub const CLOCK_PAUSE_MS: u64 = 60_000;
/// Skew that is worth a warning (seconds): half of what peers tolerate.
pub const CLOCK_WARN_S: f64 = 5.0;
/// Time between two such warnings (ms).
pub const CLOCK_WARN_EVERY_MS: u64 = 600_000;
/// News of one peer that its median is taken of: a minute or two of a quiet network.
pub const CLOCK_SAMPLES_MAX: usize = 32;
/// News that a peer must have brought before its median counts.
pub const CLOCK_SAMPLES_MIN: usize = 8;
/// An envelope further from our time than this says nothing about clocks (seconds).
pub const CLOCK_WORD_MAX_S: u64 = 24 * 60 * 60;
/// What a peer sends in the first moments after its Status is its pool, and no news (ms).
pub const CLOCK_SETTLE_MS: u64 = 10_000;
