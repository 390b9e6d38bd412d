//! Every number of the mailserver: first what the protocol fixes, then what we chose and why.

use std::time::Duration;

// ---- Fixed by the protocol -------------------------------------------------------------------

/// Envelopes of one request at most, and of one that names no number.
pub const LIMIT_MAX: u32 = 1000;
/// What a request that names no end adds to the time (seconds): senders' clocks may be ahead.
pub const OPEN_END: u32 = 60;
/// Life of the envelope that carries a request (seconds).
pub const REQUEST_TTL: u32 = 50;
/// How long a server waits for a peer to take what it asked for.
pub const PUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client waits for the next sign of a server.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often what is too old is removed.
pub const PRUNE_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Rows removed at a time.
pub const PRUNE_ROWS: usize = 1000;
/// Largest packet that every receiver takes.
pub const PACKET_LEN_MAX: usize = 1024 * 1024;

// ---- Chosen by us ----------------------------------------------------------------------------

/// Longest request: a full list of topics fits twice.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;
/// Topics of one request: a Status client has some hundreds.
pub const TOPICS_MAX: usize = 5000;
/// Longest text of a refusal that is read: ours have less than a line.
pub const ERROR_LEN_MAX: usize = 1024;

/// Bytes of envelopes in one batch: half of what a receiver takes, as for bundles. A single envelope may be longer.
pub const BATCH_LEN_MAX: usize = 512 * 1024;
/// Left free in a packet: the header of its list, and those around it in a sync.
pub const PACKET_SLACK: usize = 64;
/// Envelopes read at a time for a peer that takes them one by one: each is an order to its connection.
pub const SINGLE_ROWS_MAX: usize = 64;
/// Keys looked at in one read: a filter that matches nothing must not hold the archive.
pub const SCAN_ROWS_MAX: usize = 20_000;
/// What a key that was looked at costs of a peer's allowance, as bytes.
pub const SCAN_ROW_COST: usize = 16;
/// Batches on their way to one peer: one in its socket, one behind it.
pub const BATCHES_PER_PEER_MAX: u32 = 2;
/// Requests of one peer that are served or wait: a client asks for its topics in a few pieces.
pub const JOBS_PER_PEER_MAX: usize = 16;
/// The same of all peers: some kilobytes each.
pub const JOBS_MAX: usize = 256;
/// Requests that are being read for at a time: the archive has one thread.
pub const READS_MAX: usize = 8;
/// Bytes per second that one peer may ask for in the long run.
pub const PEER_BYTES_PER_SECOND: u64 = 1024 * 1024;
/// Bytes that it may ask for at once: a day of a busy network.
pub const PEER_BYTES_BURST: u64 = 64 * 1024 * 1024;
/// Nodes whose allowance is remembered after they have gone.
pub const ALLOWANCES_MAX: usize = 1024;

/// Rows written at a time.
pub const STORE_ROWS: usize = 256;
/// How long a row may wait for others to be written with it.
pub const STORE_DELAY: Duration = Duration::from_millis(200);
/// Bytes that wait to be written: seconds of a flood. What comes on top is not archived, and counted.
pub const STORE_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pause after a write that failed.
pub const STORE_RETRY: Duration = Duration::from_secs(1);
/// How long envelopes are kept where nothing is said (days), as Status mailservers do.
pub const RETENTION_DAYS: u32 = 30;
/// Bytes that an archive may take where nothing is said.
pub const ARCHIVE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Requests that a client makes again after no sign.
pub const RETRIES: u32 = 2;
/// Requests of our own that are under way or wait.
pub const REQUESTS_MAX: usize = 64;
/// Pages of one request of our own: a million envelopes a thousand at a time, and no endless chain of cursors.
pub const PAGES_MAX: u32 = 10_000;
/// Ids by which one of our requests tells envelopes apart that come twice.
pub const SEEN_MAX: usize = 100_000;
/// Zero bits that we are ready to search for a server: seconds of one core.
pub const WORK_BITS_MAX: u16 = 22;
/// How often a listed server is asked for what we miss.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The same after it hung up: some servers do so when they are asked too often.
pub const SYNC_RETRY: Duration = Duration::from_secs(60);
/// How far a sync reaches back before what we have (seconds): envelopes arrive late.
pub const SYNC_OVERLAP: u32 = 300;
