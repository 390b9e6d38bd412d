//! Every bound of the transport, each with its reason. What Whisper itself bounds is in `shh`.

use std::time::Duration;

// Of the protocol: other implementations hold them too.

/// Longest auth or ack that is read: the form with the longest padding of any implementation fits thrice.
pub const HANDSHAKE_PACKET_LEN_MAX: usize = 2048;
/// Longest payload of the base protocol: Hello, Disconnect, Ping, Pong.
pub const BASE_PAYLOAD_LEN_MAX: usize = 2048;
/// Longest body of a frame: its size field has 24 bits.
pub const FRAME_LEN_MAX: usize = 0xff_ffff;
/// Time from the connection to a complete Hello.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A ping is due so long after the last one.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that completes no message for so long is gone; it owes a pong by then.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that takes nothing for so long is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

// Ours.

/// Longest payload before a subprotocol has been opened by its first message: a Status is under 100 bytes.
pub const FIRST_PAYLOAD_LEN_MAX: usize = 2048;
/// Longest payload of a subprotocol afterwards: what geth lets an operator allow.
pub const PACKET_LEN_MAX: usize = 10 * 1024 * 1024;
/// Longest message code on the wire: RLP of 64 bits.
pub const CODE_LEN_MAX: usize = 9;
