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

// Who is let in and who is dialled.

/// Connections that peers opened to us.
pub const INBOUND_PEERS_MAX: usize = 100;
/// Connections that peers opened to us from one /24 or /48 of the public internet: one operator is not a crowd.
pub const INBOUND_PEERS_PER_SUBNET_MAX: usize = 10;
/// Connections whose handshake is not through: five seconds' worth of strangers, as in geth.
pub const PENDING_MAX: usize = 50;
/// The same from one public address, so that one host cannot take them all.
pub const PENDING_PER_IP_MAX: usize = 2;
/// A public address may connect once in so long.
pub const INBOUND_INTERVAL: Duration = Duration::from_secs(30);
/// Public addresses whose last connection is remembered: those of `PENDING_MAX` strangers a second, for that long.
pub const INBOUND_REMEMBERED_MAX: usize = 1500;
/// Peers that are kept connected.
pub const STATIC_PEERS_MAX: usize = 256;
/// First pause before a peer is dialled again; it doubles.
pub const REDIAL_MIN: Duration = Duration::from_secs(1);
/// Longest pause before a peer is dialled again.
pub const REDIAL_MAX: Duration = Duration::from_secs(60);
/// A geth peer refuses a public address that comes back within 30 seconds, and one that is full is full for a while.
pub const REDIAL_THROTTLED: Duration = Duration::from_secs(35);
/// A connection that lived so long was a good one: the pause starts from the first again.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
