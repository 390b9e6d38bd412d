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
//! - [`intake`]: rate, peeling and replay stores of the keys in use
//! - [`message`]: what the 3968 bytes of a packet say
//! - [`fragment`]: objects of up to 1,200,000 bytes in frames of one packet each
//! - [`descriptor`], [`topology`]: who exists, where, and what they offer
//! - [`epoch`]: how long keys are good, and the keys of a node
//! - [`directory`]: how descriptors find everybody, and who is active in an epoch
//! - [`preset`]: how often a node sends and how long packets rest
//! - [`watch`]: whether messages get the protection that was chosen
//! - [`window`]: when it sends at its full rate
//! - [`delay`], `schedule`, `cover`, [`send_queue`], `client`: Poisson clocks and what leaves in their slots
//! - [`quality`], [`links`], `alarm`, `loss`: which relays and links are usable, when loops vanish, and how many
//! - [`level`], [`traffic`]: delay and copies of each class of messages, and whether there is enough traffic for them
//! - [`limits`]: every bound of a node with its reason
//! - [`counters`], [`histogram`]: what a node counts, and how long it took
//! - [`mailbox`]: storage for those who are offline, and those who use it
//! - [`node`]: relay and client in one
//! - [`shape`]: does traffic look as it should, and can two kinds of it be told apart?
//! - [`sim`]: networks larger than a machine can run
//! - `shell` (feature `shell`): the node on libp2p
//! - `vectors` (feature `vectors`): the JSON test vectors against this build
//! - `fuzzing` (feature `fuzzing`, and in tests): the bodies of the fuzz targets

#![forbid(unsafe_code)]

pub mod address;
mod alarm;
mod client;
pub mod counters;
mod cover;
pub mod delay;
pub mod descriptor;
pub mod directory;
pub mod epoch;
pub mod error;
pub mod fragment;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod geometry;
pub mod histogram;
pub mod intake;
pub mod level;
pub mod limits;
pub mod links;
mod loss;
pub mod mailbox;
pub mod message;
pub mod node;
pub mod now;
pub mod preset;
pub mod quality;
pub mod replay;
mod rest;
mod schedule;
pub mod send_queue;
pub mod shape;
#[cfg(feature = "shell")]
pub mod shell;
pub mod sim;
pub mod sphinx;
pub mod topology;
pub mod traffic;
#[cfg(feature = "vectors")]
pub mod vectors;
pub mod watch;
pub mod window;

pub use address::{Address, AddressPolicy, PeerKey, Transport};
pub use client::TooFewRelays;
pub use counters::{Counters, PacketKind};
pub use descriptor::{Capabilities, Descriptor, DescriptorError, DescriptorListError, Statement};
pub use error::{BuildError, DropReason};
pub use fragment::{Object, Reassembler};
pub use intake::{Batch, Intake, Received};
pub use level::{Class, Level, Levels, LowTraffic, Protection};
pub use node::{Arrival, Node, NodeConfig, SendError};
pub use now::Now;
pub use preset::Preset;
pub use replay::{Replay, ReplayStore};
pub use sphinx::{
    Delivered, Hop, Packet, Peeled, PublicKey, SealedReply, SecretKey, Surb, SurbId, SurbKeys,
    build, make_surb, peel,
};
pub use topology::{Topology, TopologyError};
pub use watch::Notice;
pub use window::WindowState;

/// The program of the README is run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
