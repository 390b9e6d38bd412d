//! What goes into a directory and what comes out of it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use zeroize::Zeroizing;

use super::active::{Root, Standing};
use super::snapshot::Snapshot;
use super::voices::Fork;
use super::wire::{Request, Response};
use crate::address::{AddressPolicy, PeerKey, Transport};
use crate::descriptor::{Capabilities, Descriptor, Place};
use crate::epoch::Epochs;
use crate::node::ClockOff;
use crate::sphinx::{PublicKey, SecretKey};
use crate::topology::Topology;

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Keeps a registry, gossips and answers: every node that offers something.
    Full,
    /// Fetches the active set and nothing else: a phone, an edge.
    Light,
}

/// What a node says of itself in every epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Where it listens.
    pub address: Option<SocketAddrV4>,
    /// How it is reached there.
    pub transport: Transport,
    /// Where else.
    pub places: Vec<Place>,
    /// What it offers; nothing: it has no descriptor.
    pub capabilities: Capabilities,
    /// Packets a second that it forwards at most.
    pub capacity: u16,
    /// X25519 key of the gateway protocol.
    pub gateway_key: Option<[u8; 32]>,
}

/// What makes a directory.
pub struct Config {
    /// How it takes part.
    pub mode: Mode,
    /// How long epochs are: the same everywhere in a network.
    pub epochs: Epochs,
    /// Which addresses are dialled.
    pub policy: AddressPolicy,
    /// The secret of the libp2p identity, by which descriptors are signed.
    pub identity: Zeroizing<[u8; 32]>,
    /// What the descriptors say.
    pub profile: Profile,
    /// Mix keys that were on the disk, by epoch.
    pub keys: BTreeMap<u32, SecretKey>,
    /// Where to begin: descriptors of any age.
    pub seeds: Vec<Descriptor>,
    /// What was known at the last stop.
    pub snapshot: Option<Snapshot>,
    /// Where its randomness comes from.
    pub seed: [u8; 32],
}

/// A node that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub peer: PeerKey,
    /// Where; empty: only over a connection that it made.
    pub places: Vec<Place>,
}

impl Contact {
    /// Where a descriptor says that its node is.
    pub fn of(descriptor: &Descriptor) -> Self {
        let first = descriptor.address().map(|at| Place {
            transport: descriptor.transport(),
            at: at.into(),
        });
        let further = descriptor.statement().places.iter().copied();
        Self {
            peer: descriptor.peer(),
            places: first.into_iter().chain(further).collect(),
        }
    }
}

/// Tells an answer from another.
pub type AskId = u64;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A peer asks; the answer goes out under the same id.
    Request {
        /// Who, as its connection proved.
        from: PeerKey,
        /// Of the one who waits for the answer.
        id: AskId,
        /// What.
        request: Request,
    },
    /// An answer came.
    Response {
        /// To which question.
        id: AskId,
        /// What.
        response: Response,
    },
    /// No answer will come.
    Failed {
        /// To which question.
        id: AskId,
    },
    /// The key of this epoch is on the disk.
    KeyKept(u32),
    /// What the descriptors say from now on.
    Profile(Profile),
    /// Packets that were forwarded for others since the start.
    Forwarded(u64),
    /// A node was found by other means; nothing is known of it but where it may be.
    Found(Contact),
    /// Nothing but the time.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Ask a node.
    Ask {
        /// For the answer.
        id: AskId,
        /// Whom.
        to: Contact,
        /// What.
        request: Request,
    },
    /// Answer a peer.
    Answer {
        /// The id of its request.
        id: AskId,
        /// What.
        response: Response,
    },
    /// Write a mix key to the disk, then say [`Input::KeyKept`].
    KeepKey {
        /// Its epoch.
        epoch: u32,
        /// The key.
        key: SecretKey,
    },
    /// Take a mix key into use.
    InstallKey(SecretKey),
    /// Take a mix key out of use, with its tags, and remove it from the disk.
    RetireKey {
        /// Its epoch.
        epoch: u32,
        /// Which.
        key: PublicKey,
    },
    /// The network is another one.
    Topology(Topology),
    /// Our clock is too wrong to take part, or right again.
    ClockOff(Option<ClockOff>),
    /// Write [`super::Directory::snapshot`] to the disk.
    Save,
}

/// A snapshot for the local user.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The epoch by our clock.
    pub epoch: u32,
    /// The root of the active set, and what it is worth.
    pub root: Option<(Standing, Root)>,
    /// Relays in the set.
    pub relays: usize,
    /// Nodes in the set, services among them.
    pub active: usize,
    /// Nodes in the registry; a light client has none.
    pub registered: usize,
    /// Whether other nodes have other roots.
    pub fork: Option<Fork>,
    /// By how much our clock is wrong, if it matters.
    pub clock_off: Option<ClockOff>,
    /// Questions in a row that nobody answered.
    pub unanswered: u32,
    /// Whether there is anybody to ask.
    pub contacts: usize,
    /// Rounds that ended with an answer.
    pub rounds: u64,
    /// Descriptors that were taken in.
    pub admitted: u64,
    /// Descriptors that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests that were refused because their peer asked too much.
    pub throttled: u64,
}
