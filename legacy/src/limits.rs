//! Every bound of the transport. What Whisper itself bounds is in `shh`.

use std::time::Duration;

// Of the protocol: other implementations hold them too.

/// Longest auth or ack that is read: the form with the longest padding of any implementation fits thrice.
pub const HANDSHAKE_PACKET_LEN_MAX: usize = 2048;
/// Longest Hello.
pub const HELLO_LEN_MAX: usize = 2048;
/// The size field of a frame has 24 bits.
pub const FRAME_LEN_MAX: usize = 0xff_ffff;
/// Time from the connection to a complete Hello.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A ping is due so long after the last one.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that says nothing for so long is gone; it owes at least two pongs by then.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that takes nothing for so long is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
