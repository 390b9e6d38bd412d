//! A mix network: Sphinx packets, Loopix clocks, and a libp2p shell behind the feature `shell`.
//!
//! The core has no clock, socket, file or thread: time and seeds come in, effects go out.
//!
//! Layout, from the bytes upwards:
//!
//! - [`geometry`]: every size of a packet, computed once, with its reason
//! - [`error`]: why a packet is dropped or cannot be built
//! - [`now`]: the two clocks that a caller hands in
//! - [`address`]: where the next hop is, in 94 bytes
//! - [`sphinx`]: build, peel, and single-use reply blocks
//! - [`replay`]: the tags of the packets that a key has seen
//! - [`message`]: what the 3968 bytes of a packet say
//! - [`fragment`]: objects of up to 1,200,000 bytes in frames of one packet each
//! - `vectors` (feature `vectors`): the JSON test vectors against this build

pub mod address;
pub mod error;
pub mod fragment;
pub mod geometry;
pub mod message;
pub mod now;
pub mod replay;
pub mod sphinx;
#[cfg(feature = "vectors")]
pub mod vectors;

pub use address::{Address, AddressPolicy, PeerKey, Transport};
pub use error::{BuildError, DropReason};
pub use fragment::{Object, Reassembler};
pub use now::Now;
pub use replay::{Replay, ReplayStore};
pub use sphinx::{
    Hop, Packet, Peeled, PublicKey, SecretKey, Surb, SurbId, SurbKeys, build, make_surb, peel,
};
