//! Every size of a packet, computed once (spec: LIP-99 packet, LIP-183 payload).
//!
//! ```text
//! packet 4608 = alpha 32 ‖ beta 576 ‖ gamma 16 ‖ delta 3984
//! beta        = five routing blocks of 112, one of them without a MAC: 576 = (5·7 + 1)·16
//! block 112   = address 94 ‖ delay 2 ‖ gamma of the next hop 16
//! delta 3984  = sixteen zero bytes ‖ message 3968, under LIONESS
//! ```
//!
//! # The room for a frame
//!
//! ```text
//! message 3968 = pad length 2 ‖ zeros ‖ codec length 1 ‖ codec 16 ‖ frame 3949
//! frame   3949 = header 36 ‖ fragment 3913
//! ```
//!
//! `/ferry/gateway/1` is a codec of our own, so its body need not carry the read rule and the list of reply blocks that other
//! codecs have (at least four bytes): the frame is all there is. The padding stands in front and has no length of its own besides
//! the two bytes, so the frame needs no padding and the largest fragment fills the packet.
//!
//! # The last block and the path length
//!
//! The builder ends a path of L hops with the final block, then `576 − 112·L` zero bytes, then the filler of the hops before:
//! 464, 352, 240, 128, 16 zero bytes for L = 1..5. LIP-99 sends L = 3; this network sends L = 4 (three relays, then the
//! service), which the header has room for and which no relay can tell from L = 3. A hop that finds [`FINAL_ZEROS`] = 128 zero
//! bytes after its block is the last one: that accepts L = 4 and everything shorter, LIP-99 packets among them, and a block in
//! the middle of a path has those bytes by chance once in 2^1024 packets.

// Sizes that the packet format fixes.

/// Security parameter k: keys, MACs and ids of 16 bytes.
pub const K: usize = 16;
/// Routing blocks that a header has room for (r).
pub const HOPS_MAX: usize = 5;
/// A point of Curve25519, as its u-coordinate.
pub const ALPHA_LEN: usize = 32;
/// IPv4 4 ‖ transport 1 ‖ port 2 ‖ peer id 39 ‖ second peer id 39, or zeros ‖ 9 zeros.
pub const ADDRESS_LEN: usize = 94;
/// Mean delay in milliseconds, big-endian.
pub const DELAY_LEN: usize = 2;
/// The MAC over beta, and its place in a routing block. In a final block it is the id of a reply, zero otherwise.
pub const GAMMA_LEN: usize = K;
/// One routing block: (t + 1)·k with t = 6.
pub const BLOCK_LEN: usize = ADDRESS_LEN + DELAY_LEN + GAMMA_LEN;
/// The encrypted routing: (r·(t + 1) + 1)·k.
pub const BETA_LEN: usize = (HOPS_MAX * (6 + 1) + 1) * K;
/// alpha ‖ beta ‖ gamma.
pub const HEADER_LEN: usize = ALPHA_LEN + BETA_LEN + GAMMA_LEN;
/// The zero bytes in front of a message that prove to the last hop that nobody touched it.
pub const PAYLOAD_TAG_LEN: usize = K;
/// delta: tag and message under LIONESS.
pub const PAYLOAD_LEN: usize = PACKET_LEN - HEADER_LEN;
/// What a packet carries from its maker to its last hop.
pub const MESSAGE_LEN: usize = PAYLOAD_LEN - PAYLOAD_TAG_LEN;
/// A whole packet.
pub const PACKET_LEN: usize = 4608;
/// The id under which the maker of a reply block finds its keys again.
pub const SURB_ID_LEN: usize = GAMMA_LEN;
/// The key under which a replier seals its message.
pub const REPLY_KEY_LEN: usize = K;
/// A single-use reply block: first hop ‖ header ‖ reply key.
pub const SURB_LEN: usize = ADDRESS_LEN + HEADER_LEN + REPLY_KEY_LEN;

/// Offset of beta in a packet.
pub const BETA_AT: usize = ALPHA_LEN;
/// Offset of gamma in a packet.
pub const GAMMA_AT: usize = BETA_AT + BETA_LEN;
/// Offset of delta in a packet.
pub const DELTA_AT: usize = HEADER_LEN;
/// The header stream of one hop covers beta and the block that it shifts in.
pub const STREAM_LEN: usize = BETA_LEN + BLOCK_LEN;

// Choices of this network.

/// Hops of a path here: three relays, so that a hostile service still faces three mixes, then the service.
pub const HOPS: usize = 4;
/// Zero bytes that a last hop requires after its block (see the module's text).
pub const FINAL_ZEROS: usize = final_zeros(HOPS);

/// Zero bytes between the final block and the filler of a path of `hops` hops.
pub const fn final_zeros(hops: usize) -> usize {
    BETA_LEN - BLOCK_LEN * hops
}

const _: () = {
    assert!(BLOCK_LEN == 112 && BETA_LEN == 576 && HEADER_LEN == 624);
    assert!(PAYLOAD_LEN == 3984 && MESSAGE_LEN == 3968 && SURB_LEN == 734);
    assert!(STREAM_LEN == 688 && FINAL_ZEROS == 128);
    assert!(final_zeros(3) == 240 && final_zeros(HOPS_MAX) == 16);
};
