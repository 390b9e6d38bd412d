//! The task with the UDP socket: datagrams in and out of the core of discovery, what it finds to the owner.
//!
//! ```text
//! UDP ◀─▶ discv4::Node ──found──▶ owner ──candidates──▶ Peers
//!            ▲   └──every 30 s, if it changed──▶ file
//!            └── gateway: our address
//! ```
//!
//! The file is text: our own record, then a line for each node with the time when it was last there.

mod file;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::nat::{self, Mapped, NatPolicy, Ports};
use super::owner::Command;
use super::{Error, now, seed};
use crate::discv4::{self, Counters, DATAGRAM_LEN_MAX, Input, Node, Output, Seed};
use crate::enode::Enode;
use crate::enr::Record;
use crate::identity::SecretKey;

pub use self::file::{Stored, read as read_file};

/// How discovery is started. It listens on the UDP port of the same number as the TCP port.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Nodes to start from.
    pub bootnodes: Vec<Enode>,
    /// Where nodes are kept for the next start; none: nowhere.
    pub file: Option<PathBuf>,
    /// How others reach us behind a gateway.
    pub nat: NatPolicy,
}

/// What discovery says about itself.
#[derive(Clone, Debug)]
pub struct Info {
    /// Our own record.
    pub record: Record,
    /// What was counted, up to two seconds ago.
    pub counters: Counters,
}

/// A socket and a core that have not started.
pub(super) struct Discovery {
    socket: UdpSocket,
    node: Node,
    file: Option<PathBuf>,
    nat: NatPolicy,
    ports: Option<Ports>,
    info: watch::Sender<Info>,
    write_failed: bool,
}

/// What keeps the gateway open; it closes when the first is dropped.
type GatewayTask = (oneshot::Sender<()>, JoinHandle<()>);

/// Takes the UDP address.
pub(super) fn bind(address: SocketAddr) -> Result<UdpSocket, Error> {
    let failed = |source| Error::Discovery { address, source };
    let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    UdpSocket::from_std(socket).map_err(failed)
}

/// Reads the file and makes the core.
pub(super) fn start(
    config: Config,
    socket: UdpSocket,
    key: SecretKey,
    advertise: Option<IpAddr>,
) -> Result<(Discovery, watch::Receiver<Info>), Error> {
    let local = socket.local_addr().map_err(|source| Error::Discovery {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        source,
    })?;
    let external = match config.nat {
        NatPolicy::External(ip) => Some(ip),
        NatPolicy::None | NatPolicy::Upnp | NatPolicy::Pmp | NatPolicy::Any => None,
    };
    let stored = config.file.as_deref().map(file::read).unwrap_or_default();
    let core = discv4::Config {
        key,
        ip: Some(advertise.or(external).unwrap_or_else(|| local.ip())),
        udp_port: local.port(),
        tcp_port: local.port(),
        bootnodes: config.bootnodes,
        seeds: stored.seeds,
        record: stored.record,
    };
    let node = Node::new(now(), core, seed()?);
    let (info, received) = watch::channel(Info {
        record: node.record().clone(),
        counters: node.counters(),
    });
    let port = NonZeroU16::new(local.port());
    let discovery = Discovery {
        socket,
        node,
        file: config.file,
        nat: config.nat,
        ports: port.map(|port| Ports {
            udp: port,
            tcp: port,
        }),
        info,
        write_failed: false,
    };
    Ok((discovery, received))
}

impl Discovery {
    /// Runs until it is stopped, or until nobody owns the connections any more.
    pub(super) async fn run(
        mut self,
        owner: mpsc::WeakSender<Command>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        // One byte more than is allowed, to see that a datagram is longer.
        let mut datagram = [0; DATAGRAM_LEN_MAX + 1];
        let (gateway, mut mapped) = self.open_gateway();
        let mut asking = interval(ASK_INTERVAL);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.drain(&owner).await;
            let deadline = self.node.next_deadline().max(Instant::now() + TICK_MIN);
            tokio::select! {
                _ = &mut stopped => break,
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((len, from)) => {
                        let bytes = &datagram[..len];
                        self.node.handle(now(), Input::Datagram { from, bytes });
                        self.hear_more(&mut datagram);
                    }
                    // An ICMP message about something that was sent; there is nothing to be done.
                    Err(_) => sleep(TICK_MIN).await,
                },
                Some(Mapped { ip, udp_port, tcp_port }) = mapped.recv() => {
                    let ip = Some(ip);
                    self.node.handle(now(), Input::Mapped { ip, udp_port, tcp_port });
                }
                _ = asking.tick() => {
                    let Some(owner) = owner.upgrade() else { break };
                    if wants_more(&owner).await {
                        self.node.handle(now(), Input::Want);
                    }
                    self.publish();
                }
                () = sleep_until(deadline.into()) => self.node.handle(now(), Input::Tick),
            }
        }
        let seeds = self.node.seeds();
        self.write(seeds).await;
        if let Some((stop, task)) = gateway {
            drop(stop);
            let _ = task.await;
        }
    }

    /// Some of those that came with a datagram: a turn costs more than most of them, and what the system has no room for
    /// is lost.
    fn hear_more(&mut self, datagram: &mut [u8]) {
        for _ in 1..DATAGRAMS_PER_TURN {
            let Ok((len, from)) = self.socket.try_recv_from(datagram) else {
                return;
            };
            let bytes = &datagram[..len];
            self.node.handle(now(), Input::Datagram { from, bytes });
        }
    }

    /// Does everything that the core wants done.
    async fn drain(&mut self, owner: &mpsc::WeakSender<Command>) {
        let mut enodes = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { to, bytes } => self.send(to, &bytes),
                Output::Found(enode) => enodes.push(enode),
                Output::Looked { .. } => {}
                Output::Moved(_) => {
                    debug!("our own record says something else from now on");
                    self.publish();
                }
                Output::Persist(seeds) => self.write(seeds).await,
            }
        }
        if !enodes.is_empty()
            && let Some(owner) = owner.upgrade()
        {
            // What an owner with a full queue does not get is found again.
            let _ = owner.try_send(Command::Candidates { enodes });
        }
    }

    /// A datagram for which the system has no room is lost, as datagrams are.
    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let to = match (self.socket.local_addr(), to) {
            (Ok(SocketAddr::V6(_)), SocketAddr::V4(to)) => {
                SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port())
            }
            _ => to,
        };
        let _ = self.socket.try_send_to(bytes, to);
    }

    fn publish(&self) {
        let _ = self.info.send(Info {
            record: self.node.record().clone(),
            counters: self.node.counters(),
        });
    }

    async fn write(&mut self, seeds: Vec<Seed>) {
        let Some(path) = self.file.clone() else {
            return;
        };
        let stored = Stored {
            record: Some(self.node.record().clone()),
            seeds,
        };
        let written = tokio::task::spawn_blocking(move || file::write(&path, &stored)).await;
        let failure = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut self.write_failed, true) {
            warn!(%failure, "the nodes that discovery knows cannot be kept for the next start");
        }
    }

    fn open_gateway(&self) -> (Option<GatewayTask>, mpsc::Receiver<Mapped>) {
        let (sender, mapped) = mpsc::channel(MAPPED_MAX);
        let ports = match (self.nat, self.ports) {
            (NatPolicy::Upnp | NatPolicy::Pmp | NatPolicy::Any, Some(ports)) => ports,
            (NatPolicy::None | NatPolicy::External(_), _) | (_, None) => return (None, mapped),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(nat::run(
            self.nat,
            ports,
            nat::Where::default(),
            sender,
            stopped,
        ));
        (Some((stop, task)), mapped)
    }
}

async fn wants_more(owner: &mpsc::Sender<Command>) -> bool {
    let (answer, wanted) = oneshot::channel();
    if owner.try_send(Command::Wanted { answer }).is_err() {
        return false;
    }
    matches!(timeout(ANSWER_TIMEOUT, wanted).await, Ok(Ok(wanted)) if wanted > 0)
}

/// The owner is asked so often whether it has use for more nodes.
const ASK_INTERVAL: Duration = Duration::from_secs(2);
/// Meanwhile no datagram is read.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// The core is never asked more often than this whether something is due.
const TICK_MIN: Duration = Duration::from_millis(1);
/// Datagrams that are heard in one turn: a quarter of what the system keeps for us, and some milliseconds at most.
const DATAGRAMS_PER_TURN: usize = 64;
/// Answers of a gateway that wait: it is asked once in a quarter of an hour.
const MAPPED_MAX: usize = 1;

#[cfg(test)]
mod tests;
