//! Every bound of the JSON-RPC server, with its reason.

use std::time::Duration;

/// Bytes of one request, on every transport: go-ethereum's limit, and room for the largest message in hexadecimal.
pub const REQUEST_LEN_MAX: usize = 5 * 1024 * 1024;

/// Calls in one batch. go-ethereum 1.9 has no limit, so that one request occupies a node for as long as it likes.
pub const BATCH_MAX: usize = 50;

/// Connections of one transport at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;

/// Messages of one connection that are answered at the same time; more wait unread.
pub const CALLS_MAX: usize = 16;

/// Subscriptions of one connection: each has a filter of its own.
pub const SUBSCRIPTIONS_MAX: u32 = 32;

/// Answers and notifications that wait for one connection to take them.
pub const OUTGOING_MAX: usize = 32;

/// A client that takes nothing for so long is cut off, as go-ethereum does.
pub const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// A client that has not sent its headers by then is cut off, an idle connection too.
pub const HEADERS_WITHIN: Duration = Duration::from_secs(30);

/// A client that has not sent the body of its request by then is cut off.
pub const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Calls that are at work when a client says that it has no more questions get so long to end.
pub const LAST_CALLS_WITHIN: Duration = Duration::from_secs(5);

/// How often a silent WebSocket is asked whether it is still there; one that does not answer until the next time is not.
pub const PING_EVERY: Duration = Duration::from_secs(60);

/// Envelopes that wait to be held against the filters, go-ethereum's number; then the oldest goes.
pub const INTAKE_MAX: usize = 1024;

/// Envelopes that are opened together, before the next call is answered: as many signers as are found out side by side.
pub const OPENED_TOGETHER: usize = 8;

/// Bytes of the envelopes that wait: a minute of a busy network.
pub const INTAKE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests that wait for the task that holds keys and filters: it answers in microseconds, more would hide a fault.
pub const JOBS_MAX: usize = 64;

/// Messages that are sealed at the same time. Each takes a whole core while it mines, and the network needs one too.
pub const SEALING_MAX: usize = 2;

/// Messages that wait to be sealed; more are refused at once.
pub const SEALING_WAITING_MAX: usize = 64;

/// A pause after a failed accept, so that a lack of file descriptors is no busy loop.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
