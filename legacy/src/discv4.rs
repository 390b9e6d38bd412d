//! discv4: who is out there, by UDP.
//!
//! ```text
//! stranger ──ping──▶ pong, and a ping of ours ──pong──▶ proven for 24 hours: gets answers, enters the table
//! lookup   ──the 3 closest that were not asked──▶ ping, pong, pause of 500 ms, findnode ──neighbours──▶ closer ones …
//! table    17 buckets of 16 by distance, the last one of some bucket asked whether it is still there every 0 to 10 s
//! ```
//!
//! A node is known by its key, and its distance to another one is the exclusive or of both ids. Whoever has not shown
//! that it gets what is sent to its address gets no answer that is longer than its question. Spec: discv4.
//!
//! | module | content |
//! |---|---|
//! | [`packet`] | the six packets on the wire |
//! | [`endpoint`] | addresses in packets, and which of them may be believed from whom |
//! | [`table`] | the nodes that are known, by distance |
//! | [`lookup`] | the way to the nodes that are closest to a target |
//! | [`proof`], [`gate`] | who has shown that it is there; how much anybody may send |
//! | [`predict`] | our own address, as others see it |
//! | [`node`] | all of it at work |

pub mod endpoint;
pub mod gate;
pub mod lookup;
pub mod node;
pub mod packet;
pub mod predict;
pub mod proof;
pub mod table;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use self::node::{Config, Counters, Input, Node, Output, Seed};
pub use self::packet::{Packet, PacketError, decode};
use crate::enode::Enode;
use crate::identity::{NodeId, PublicKey};

/// A node and where it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    public_key: PublicKey,
    id: NodeId,
    udp: SocketAddr,
    tcp_port: u16,
}

impl Contact {
    /// The node with this key that answers there. Port 0 for `tcp_port`: it takes no connections.
    pub fn new(public_key: PublicKey, udp: SocketAddr, tcp_port: u16) -> Contact {
        Contact {
            public_key,
            id: public_key.node_id(),
            udp: canonical(udp),
            tcp_port,
        }
    }

    /// The node that a configuration or a file names; none if it does not answer by UDP.
    pub fn from_enode(enode: &Enode) -> Option<Contact> {
        let reachable = enode.udp_port() != 0 && !enode.tcp().ip().is_unspecified();
        reachable.then(|| Contact::new(*enode.public_key(), enode.udp(), enode.tcp().port()))
    }

    /// Its id.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Its key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Where it answers.
    pub const fn udp(&self) -> SocketAddr {
        self.udp
    }

    /// Its address.
    pub const fn ip(&self) -> IpAddr {
        self.udp.ip()
    }

    /// Where it takes connections, 0: nowhere.
    pub const fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// As the rest of the world writes it.
    pub fn enode(&self) -> Enode {
        Enode::new(
            self.public_key,
            SocketAddr::new(self.udp.ip(), self.tcp_port),
        )
        .with_udp_port(self.udp.port())
    }
}

/// Where somebody is stays out of logs.
impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contact({:?})", self.id)
    }
}

/// An IPv4 address inside IPv6 is itself.
const fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

// Of the protocol: other implementations hold them too.

/// Longest datagram.
pub const DATAGRAM_LEN_MAX: usize = 1280;
/// The version in a ping; others are not looked at.
pub const VERSION: u64 = 4;
/// Nodes in one packet of neighbours: so many of the longest fit a datagram.
pub const NEIGHBOURS_PER_PACKET_MAX: usize = 12;
/// Nodes of a bucket, of an answer and of the result of a lookup.
pub const BUCKET_LEN_MAX: usize = 16;
/// Nodes asked at once by a lookup.
pub const LOOKUP_WIDTH: usize = 3;
/// How long what we send is good.
pub const EXPIRATION: Duration = Duration::from_secs(20);
/// How long a reply may take; also the pause before a question to somebody who may have to ping us first.
pub const REPLY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a pong proves that its sender is there.
pub const PROOF_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Ports up to this one are not believed in what others say about third parties.
pub const PORT_UNTRUSTED_MAX: u16 = 1024;
/// The whole table is looked after so often.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// One node is asked whether it is still there after a random time up to this.
pub const REVALIDATE_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// The nodes are handed out for the disk so often.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(30);
/// A node is kept for the next start if it was in the table for so long.
pub const PERSIST_AFTER: Duration = Duration::from_secs(5 * 60);
/// Nodes of an earlier run that are tried.
pub const SEEDS_MAX: usize = 30;
/// How old they may be.
pub const SEED_AGE_MAX: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// Questions without an answer after which a node leaves the table.
pub const FAILURES_MAX: u8 = 5;
