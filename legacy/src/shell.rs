//! The tokio shell: sockets, timers and channels around the cores, and no rule of its own.
//!
//! ```text
//! listener ─▶ owner ◀─▶ one task per connection ◀─▶ TCP
//!               ▲ │ ▲
//!        Handle ┘ │ └ discovery ◀─▶ UDP
//!                 └▶ Event
//! ```
//!
//! One task owns [`Peers`](crate::peers::Peers) and [`shh::Node`]; each connection's task owns its
//! [`Session`](crate::rlpx::session::Session). All channels are bounded. Nobody who reads events too slowly is cut off: the
//! owner stops taking messages from connections, they stop reading, and the peers wait.

mod archive;
mod clock;
mod connection;
mod counters;
pub mod discovery;
mod handle;
mod listener;
mod nat;
mod owner;
pub mod work;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use self::clock::Clock;
use self::clock::now;
pub use self::counters::{Counters, MailCounters};
pub use self::handle::{Handle, Refused};
pub use self::nat::{NatPolicy, NatPolicyError};
use self::owner::Owner;
use crate::enode::Enode;
use crate::error::Blame;
use crate::identity::{NodeId, SecretKey};
use crate::limits::PACKET_LEN_MAX;
use crate::mailserver::{Archive, ArchiveError, server};
use crate::peers::{AddError, Kind, Limits};
use crate::rlpx::Direction;
use crate::rlpx::capability::{Capability, SHH};
use crate::shh::confirmation::Fault;
use crate::shh::node::Wants;
use crate::shh::{self, Bloom, Envelope, EnvelopeHash};

/// What a node is started with.
#[derive(Debug)]
pub struct Config {
    /// The static key: who we are.
    pub key: SecretKey,
    /// Where to listen; port 0 picks a free one. `None`: nobody can connect to us.
    pub listen: Option<SocketAddr>,
    /// The address to name in our enode, where the one that we listen on is not the one that peers see.
    pub advertise: Option<IpAddr>,
    /// Peers to stay connected to.
    pub static_peers: Vec<Enode>,
    /// Peers that are let in although there is no room, and never banned.
    pub trusted_peers: Vec<Enode>,
    /// Peers to dial while nobody else is connected or known.
    pub bootstrap_peers: Vec<Enode>,
    /// What we call ourselves.
    pub client_name: String,
    /// Subprotocols to advertise besides Whisper. Their messages are ignored.
    pub other_capabilities: Vec<Capability>,
    /// Longest packet that we take, in bytes.
    pub packet_len_max: usize,
    /// How many strangers there may be.
    pub limits: Limits,
    /// How peers are discovered; none: not at all. It needs an address to listen on.
    pub discovery: Option<discovery::Config>,
    /// Whisper itself.
    pub shh: shh::Config,
    /// Keeps envelopes for those who are away; `None`: this node is no mailserver.
    pub mailserver: Option<Mailserver>,
    /// Hears of every event before the channel has it.
    pub listener: Option<Listener>,
    /// Where it reads the time.
    pub clock: Clock,
}

/// Hears of events at once, within the task of the node: it must be quick and must not wait. A node whose events nobody else reads
/// (the receiver is dropped) wakes no other task for them.
pub struct Listener(Box<dyn FnMut(&Event) + Send>);

impl Listener {
    /// Calls this for every event, in their order.
    pub fn new(hear: impl FnMut(&Event) + Send + 'static) -> Listener {
        Listener(Box::new(hear))
    }

    fn hear(&mut self, event: &Event) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// A mailserver, and where it keeps what it has.
pub struct Mailserver {
    pub(crate) server: server::Config,
    pub(crate) archive: Box<dyn Archive>,
}

impl Mailserver {
    /// A mailserver over an archive. A thread of its own works on it.
    pub fn new(server: server::Config, archive: Box<dyn Archive>) -> Mailserver {
        Mailserver { server, archive }
    }
}

impl std::fmt::Debug for Mailserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailserver")
    }
}

impl Config {
    /// The defaults: a full node that listens on a free port of loopback and knows nobody.
    pub fn new(key: SecretKey) -> Config {
        Config {
            key,
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            advertise: None,
            static_peers: Vec::new(),
            trusted_peers: Vec::new(),
            bootstrap_peers: Vec::new(),
            client_name: concat!("ferry/", env!("CARGO_PKG_VERSION")).to_owned(),
            other_capabilities: Vec::new(),
            packet_len_max: PACKET_LEN_MAX,
            limits: Limits::default(),
            discovery: None,
            shh: shh::Config::default(),
            mailserver: None,
            listener: None,
            clock: Clock::system(),
        }
    }
}

/// Starts a node. Must be called within a tokio runtime.
///
/// The task ends after [`Handle::shutdown`], or when every handle is gone; by then every connection is closed.
pub fn spawn(mut config: Config) -> Result<(Handle, mpsc::Receiver<Event>, JoinHandle<()>), Error> {
    let (listener, socket) = bind(&config)?;
    let enode = listener.as_ref().map(|(_, address)| {
        let ip = config.advertise.unwrap_or_else(|| address.ip());
        Enode::new(config.key.public(), SocketAddr::new(ip, address.port()))
    });
    let (discovery, found) = match (config.discovery.take(), socket) {
        (Some(discovery), Some(socket)) => {
            let (key, advertise) = (config.key.clone(), config.advertise);
            let (discovery, info) = discovery::start(discovery, socket, key, advertise)?;
            (Some(discovery), Some(info))
        }
        (Some(_), None) | (None, _) => (None, None),
    };
    let clock = config.clock.clone();
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let owner = Owner::new(config, events, received)?;
    let discovery = discovery.map(|discovery| (discovery, commands.downgrade()));
    let task = tokio::spawn(owner.run(listener.map(|(listener, _)| listener), discovery));
    let handle = Handle {
        commands,
        enode,
        clock,
        discovery: found,
    };
    Ok((handle, receiver, task))
}

type Bound = (Option<(TcpListener, SocketAddr)>, Option<UdpSocket>);

/// Takes the TCP address, and with discovery the UDP address of the same number.
fn bind(config: &Config) -> Result<Bound, Error> {
    let Some(address) = config.listen else {
        return Ok((None, None));
    };
    let mut tries = if address.port() == 0 {
        FREE_PORT_TRIES
    } else {
        1
    };
    loop {
        tries -= 1;
        let (listener, local) = listener::bind(address)?;
        if config.discovery.is_none() {
            return Ok((Some((listener, local)), None));
        }
        match discovery::bind(local) {
            Ok(socket) => return Ok((Some((listener, local)), Some(socket))),
            Err(error) if tries == 0 => return Err(error),
            // A port that is free for TCP may be taken for UDP.
            Err(_) => {}
        }
    }
}

/// What happens, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection speaks Whisper.
    PeerUp {
        /// Who is there.
        node: NodeId,
        /// Which end opened it.
        direction: Direction,
    },
    /// A connection is gone.
    PeerDown {
        /// Who was there.
        node: NodeId,
    },
    /// A peer said what it wants, for the first time or anew.
    PeerInterest {
        /// The peer.
        node: NodeId,
        /// Its filter; `None`: it wants everything.
        bloom: Option<Bloom>,
        /// The least work that it accepts.
        min_pow: f64,
    },
    /// An envelope is new and accepted.
    Envelope {
        /// It.
        envelope: Arc<Envelope>,
        /// Who brought it; `None`: it was posted here.
        from: Option<NodeId>,
    },
    /// Envelopes went out.
    Sent {
        /// They, all in one packet.
        hashes: Arc<[EnvelopeHash]>,
        /// To whom.
        peer: NodeId,
    },
    /// An envelope came straight from a peer that we trust, past every check; or from any peer while we are light.
    Direct {
        /// It.
        envelope: Arc<Envelope>,
        /// Who brought it.
        from: NodeId,
    },
    /// A peer confirmed what we sent to it.
    Confirmed {
        /// The peer.
        peer: NodeId,
        /// Every envelope that it speaks about.
        hashes: Arc<[EnvelopeHash]>,
        /// Those among them that it did not accept.
        faults: Vec<Fault>,
    },
}

/// Who is connected.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// The peer.
    pub enode: Enode,
    /// What it calls itself.
    pub client_name: String,
    /// Which end opened the connection.
    pub direction: Direction,
    /// Since when it speaks Whisper.
    pub since: Instant,
    /// What it is to us.
    pub kind: Kind,
    /// Whether it is let in although there is no room, and never banned.
    pub trusted: bool,
    /// 0 for one that did no wrong, and one less for each point against it; at -100 a peer is banned.
    pub score: i32,
    /// What it wants, once it has said so.
    pub wants: Option<Wants>,
}

/// Why a node does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is taken, or not ours.
    #[error(
        "cannot listen for Whisper peers on {address}: {source}; choose another address or stop what uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The UDP address is taken, or not ours.
    #[error(
        "cannot listen for discovery on {address} (UDP): {source}; choose another address or stop what uses it"
    )]
    Discovery {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// A static peer cannot be kept.
    #[error("a static peer is unusable: {0}")]
    StaticPeer(AddError),
    /// A peer cannot be trusted.
    #[error("a trusted peer is unusable: {0}")]
    TrustedPeer(AddError),
    /// The archive cannot be read.
    #[error("the mailserver does not start: {0}")]
    Archive(ArchiveError),
    /// There is no thread for the archive.
    #[error("the mailserver does not start: no thread for its archive: {0}")]
    Thread(io::Error),
}

impl Error {
    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        match self {
            Error::Listen { .. }
            | Error::Discovery { .. }
            | Error::StaticPeer(_)
            | Error::TrustedPeer(_) => Blame::Config,
            Error::Random | Error::Archive(_) | Error::Thread(_) => Blame::Local,
        }
    }
}

fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Error::Random)?;
    Ok(seed)
}

/// Capabilities in our Hello.
fn capabilities(config: &Config) -> Vec<Capability> {
    let mut capabilities = vec![SHH];
    capabilities.extend(config.other_capabilities.iter().cloned());
    capabilities
}

/// Ports that are tried where any will do: a few are enough to find one that is free for both protocols.
const FREE_PORT_TRIES: usize = 8;
/// Requests that wait for the owner: it answers in microseconds, more would hide a fault.
const COMMANDS_MAX: usize = 64;
/// Events that wait for whoever reads them: two seconds' worth of a busy network.
const EVENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
