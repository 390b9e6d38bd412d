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

// Who is let in and who is dialled. Static and trusted peers are outside of what limits strangers.

/// Strangers that are connected because they dialled us.
pub const INBOUND_PEERS_MAX: usize = 100;
/// Strangers that are connected because we dialled them: one in five, where go-ethereum has one in three. Whom we choose
/// is worth more than who chooses us, and a few dozen neighbours are enough.
pub const OUTBOUND_PEERS_MAX: usize = 25;
/// Of so many strangers we dial one.
pub const DIAL_RATIO: usize = 5;
/// Strangers of one /24 or /48 of the public internet, whoever dialled: one operator is not a crowd.
pub const PEERS_PER_SUBNET_MAX: usize = 10;
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
/// Peers that are let in although there is no room: an operator's own, so as many as may be kept connected.
pub const TRUSTED_PEERS_MAX: usize = 256;
/// First pause before a peer is dialled again; it doubles.
pub const REDIAL_MIN: Duration = Duration::from_secs(1);
/// Longest pause before a peer is dialled again.
pub const REDIAL_MAX: Duration = Duration::from_secs(60);
/// A geth peer refuses a public address that comes back within 30 seconds, and one that is full is full for a while.
pub const REDIAL_THROTTLED: Duration = Duration::from_secs(35);
/// A connection that lived so long was a good one: the pause starts from the first again.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Strangers that are being dialled at once: as many as geth; most addresses of a discovery table are dead.
pub const DIALS_MAX: usize = 16;
/// Dials that are remembered for `REDIAL_THROTTLED`: of every static peer, and as many others.
pub const DIALS_REMEMBERED_MAX: usize = 2 * STATIC_PEERS_MAX;
/// Candidates to dial: twenty times as many as are wanted, at some 200 bytes each.
pub const CANDIDATES_MAX: usize = 512;
/// Candidates of one /24 or /48: no more of them could be connected.
pub const CANDIDATES_PER_SUBNET_MAX: usize = PEERS_PER_SUBNET_MAX;
/// A candidate that failed so often in a row is forgotten: after some twenty minutes.
pub const CANDIDATE_FAILURES_MAX: u8 = 6;
/// Longest pause before a candidate gets another turn.
pub const CANDIDATE_PAUSE_MAX: Duration = Duration::from_secs(30 * 60);

// What misbehaviour costs; `peers::offence` has the prices.

/// Points at which a node is banned.
pub const BAN_NODE_AT: u32 = 100;
/// Points at which a public address is banned: several honest nodes may live behind it.
pub const BAN_ADDRESS_AT: u32 = 4 * BAN_NODE_AT;
/// Points at which a stranger makes room for another one in a full house.
pub const EVICT_AT: u32 = BAN_NODE_AT / 2;
/// One point fades in so long: after a quarter of an hour half a ban is forgotten.
pub const POINT_FADES_AFTER: Duration = Duration::from_secs(15);
/// A ban lasts so long: it outlives a bad configuration's retries, and an address changes hands about daily.
pub const BAN_FOR: Duration = Duration::from_secs(60 * 60);
/// Nodes, and as many addresses, whose points are remembered: ten times a full house.
pub const STANDINGS_MAX: usize = 1024;
