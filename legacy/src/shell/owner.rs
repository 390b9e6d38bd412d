//! The task that owns the policy and the Whisper node, and knows every connection.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};
use tracing::{debug, info};

use super::connection::{self, Ended, Outlet, Report, Reports};
use super::{Config, Counters, Error, Event, PeerInfo, capabilities, listener, now, seed};
use crate::enode::Enode;
use crate::identity::{NodeId, PublicKey};
use crate::now::Now;
use crate::peers::{self, AddError, ConnectionId, End, Peers};
use crate::rlpx::Direction;
use crate::rlpx::capability::SHH;
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::session::{self, Closed, Established};
use crate::shh::{self, Bloom, Envelope, EnvelopeHash, PeerId, Reject};

/// What a handle asks for.
#[derive(Debug)]
pub(super) enum Command {
    Post {
        envelope: Box<Envelope>,
        answer: oneshot::Sender<Result<EnvelopeHash, Reject>>,
    },
    AddPeer {
        enode: Enode,
        answer: oneshot::Sender<Result<(), AddError>>,
    },
    SetBloom {
        bloom: Option<Bloom>,
        answer: oneshot::Sender<()>,
    },
    SetMinPow {
        min_pow: f64,
        answer: oneshot::Sender<Result<(), shh::wire::Error>>,
    },
    Peers {
        answer: oneshot::Sender<Vec<PeerInfo>>,
    },
    Counters {
        answer: oneshot::Sender<Counters>,
    },
    Shutdown,
}

pub(super) struct Owner {
    session: Arc<session::Config>,
    peers: Peers,
    node: shh::Node,
    connections: BTreeMap<ConnectionId, Connection>,
    tasks: JoinSet<()>,
    events: mpsc::Sender<Event>,
    /// Events that nobody has taken.
    backlog: VecDeque<Event>,
    commands: mpsc::Receiver<Command>,
    reports: Reports,
    reported: mpsc::Receiver<(ConnectionId, Report)>,
    counters: Counters,
}

struct Connection {
    direction: Direction,
    address: SocketAddr,
    outlet: Outlet,
    key: Option<PublicKey>,
    whisper: Option<Whisper>,
}

/// A connection that speaks Whisper.
struct Whisper {
    node: NodeId,
    /// Its place among what the connection speaks.
    capability: usize,
    client_name: String,
    since: Instant,
}

/// What woke the owner.
enum Turn {
    Command(Command),
    Accepted(TcpStream, SocketAddr),
    Report(ConnectionId, Report),
    Tick,
    Done,
}

impl Owner {
    pub(super) fn new(
        config: Config,
        events: mpsc::Sender<Event>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Owner, Error> {
        let mut peers = Peers::new(config.key.public().node_id(), config.limits, seed()?);
        for enode in &config.static_peers {
            peers.add(now(), *enode).map_err(Error::StaticPeer)?;
        }
        let (reports, reported) = mpsc::channel(REPORTS_MAX);
        let capabilities = capabilities(&config);
        Ok(Owner {
            session: Arc::new(session::Config {
                key: config.key,
                client_name: config.client_name,
                capabilities,
                packet_len_max: config.packet_len_max,
            }),
            peers,
            node: shh::Node::new(config.shh, seed()?),
            connections: BTreeMap::new(),
            tasks: JoinSet::new(),
            events,
            backlog: VecDeque::new(),
            commands,
            reports,
            reported,
            counters: Counters::default(),
        })
    }

    /// One event at a time, until somebody wants it to end.
    pub(super) async fn run(mut self, listener: Option<TcpListener>) {
        let (accept, mut accepted) = mpsc::channel(ACCEPTED_MAX);
        // Without a listener this end stays open, so that the channel is silent and not closed.
        let (_silent, door) = match listener {
            Some(listener) => (
                None,
                Some(self.tasks.spawn(listener::run(listener, accept))),
            ),
            None => (Some(accept), None),
        };
        loop {
            self.drain();
            let has_room = self.backlog.len() < BACKLOG_MAX;
            let deadline = self.deadline();
            let turn = tokio::select! {
                permit = self.events.reserve(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // Nobody listens any more; the network still does.
                        (Err(_), _) | (Ok(_), None) => self.backlog.clear(),
                    }
                    Turn::Done
                }
                command = self.commands.recv() => Turn::Command(command.unwrap_or(Command::Shutdown)),
                Some((stream, address)) = accepted.recv() => Turn::Accepted(stream, address),
                Some((id, report)) = self.reported.recv(), if has_room => Turn::Report(id, report),
                () = sleep_until(deadline.into()), if has_room => Turn::Tick,
                Some(_) = self.tasks.join_next() => Turn::Done,
            };
            match turn {
                Turn::Command(Command::Shutdown) => break,
                Turn::Command(command) => self.command(command),
                Turn::Accepted(stream, address) => self.accepted(stream, address),
                Turn::Report(id, report) => self.report(id, report),
                Turn::Tick => self.tick(),
                Turn::Done => {}
            }
        }
        if let Some(door) = door {
            door.abort();
        }
        self.shut_down().await;
    }

    fn tick(&mut self) {
        let now = now();
        self.peers.tick(now);
        self.node.handle(now, shh::Input::Tick);
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + IDLE_TICK;
        [self.peers.next_deadline(), self.node.next_deadline()]
            .into_iter()
            .flatten()
            .fold(far, Instant::min)
    }

    fn command(&mut self, command: Command) {
        let now = now();
        // An answer that nobody waits for is no answer lost.
        match command {
            Command::Post { envelope, answer } => {
                let _ = answer.send(self.node.post(now, *envelope));
            }
            Command::AddPeer { enode, answer } => {
                let _ = answer.send(self.peers.add(now, enode));
            }
            Command::SetBloom { bloom, answer } => {
                self.node.set_bloom(now, bloom);
                let _ = answer.send(());
            }
            Command::SetMinPow { min_pow, answer } => {
                let _ = answer.send(self.node.set_min_pow(now, min_pow));
            }
            Command::Peers { answer } => {
                let _ = answer.send(self.infos());
            }
            Command::Counters { answer } => {
                let _ = answer.send(self.count());
            }
            Command::Shutdown => {}
        }
    }

    fn accepted(&mut self, stream: TcpStream, address: SocketAddr) {
        self.counters.accepted += 1;
        let id = match self.peers.accept(now(), address.ip()) {
            Ok(id) => id,
            Err(refused) => {
                *self.counters.refused.entry(refused.as_str()).or_default() += 1;
                return;
            }
        };
        let Ok(seed) = seed() else {
            self.peers.close(now(), id, End::Other);
            return;
        };
        let inlet = self.connect(id, Direction::Accepted, address);
        let (session, reports) = (Arc::clone(&self.session), self.reports.clone());
        self.tasks.spawn(connection::accept(
            id, stream, session, seed, inlet, reports,
        ));
    }

    fn dial(&mut self, id: ConnectionId, enode: Enode) {
        self.counters.dialled += 1;
        let Ok(seed) = seed() else {
            self.peers.close(now(), id, End::Other);
            return;
        };
        let inlet = self.connect(id, Direction::Dialled, enode.tcp());
        let (session, reports) = (Arc::clone(&self.session), self.reports.clone());
        self.tasks.spawn(connection::dial(
            id,
            enode.tcp(),
            *enode.public_key(),
            session,
            seed,
            inlet,
            reports,
        ));
    }

    fn connect(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        address: SocketAddr,
    ) -> connection::Inlet {
        let (outlet, inlet) = connection::channel();
        self.connections.insert(
            id,
            Connection {
                direction,
                address,
                outlet,
                key: None,
                whisper: None,
            },
        );
        inlet
    }

    fn report(&mut self, id: ConnectionId, report: Report) {
        let now = now();
        match report {
            Report::Identified(key) => self.identified(id, key),
            Report::Established(established) => self.established(now, id, established),
            Report::Message {
                capability,
                code,
                payload,
            } => {
                let whisper = self
                    .connections
                    .get(&id)
                    .and_then(|connection| connection.whisper.as_ref());
                if whisper.is_some_and(|whisper| whisper.capability == capability) {
                    self.node.handle(
                        now,
                        shh::Input::Message {
                            peer: peer_id(id),
                            code,
                            payload,
                        },
                    );
                }
            }
            Report::Ended(ended) => self.ended(now, id, ended),
        }
    }

    fn identified(&mut self, id: ConnectionId, key: PublicKey) {
        let verdict = self.peers.identify(id, key.node_id());
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.key = Some(key);
        match verdict {
            Ok(()) => {
                connection.outlet.admit();
            }
            Err(reason) => connection.outlet.quit(reason),
        }
    }

    fn established(&mut self, now: Now, id: ConnectionId, established: Established) {
        self.counters.established += 1;
        self.peers.establish(now, id);
        let whisper = established
            .capabilities
            .iter()
            .position(|shared| shared.capability.name == SHH.name);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(capability) = whisper else {
            connection.outlet.quit(DisconnectReason::UselessPeer);
            return;
        };
        let node = established.public_key.node_id();
        let direction = connection.direction;
        debug!(peer = ?node, ?direction, "a Whisper peer is connected");
        connection.whisper = Some(Whisper {
            node,
            capability,
            client_name: established.client_name,
            since: now.mono,
        });
        self.backlog.push_back(Event::PeerUp { node, direction });
        self.node.handle(
            now,
            shh::Input::PeerUp {
                peer: peer_id(id),
                node,
            },
        );
    }

    fn ended(&mut self, now: Now, id: ConnectionId, ended: Ended) {
        *self.counters.closed.entry(word(ended)).or_default() += 1;
        let end = match ended {
            Ended::Closed(Closed::Theirs(DisconnectReason::TooManyPeers)) => End::Full,
            Ended::NotReached(_)
            | Ended::Closed(_)
            | Ended::Eof
            | Ended::Failed(_)
            | Ended::GivenUp => End::Other,
        };
        self.peers.close(now, id, end);
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        if let Some(whisper) = connection.whisper {
            debug!(peer = ?whisper.node, ?ended, "a Whisper peer is gone");
            self.node
                .handle(now, shh::Input::PeerDown { peer: peer_id(id) });
            self.backlog
                .push_back(Event::PeerDown { node: whisper.node });
        }
    }

    /// Does everything that the cores want done.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            self.whisper(output);
        }
        while let Some(peers::Output::Dial { connection, enode }) = self.peers.poll_output() {
            self.dial(connection, enode);
        }
    }

    fn whisper(&mut self, output: shh::Output) {
        match output {
            shh::Output::Send {
                peer,
                code,
                payload,
            } => self.send(peer, code, payload),
            shh::Output::Disconnect { peer, error } => {
                debug!(%error, "a Whisper peer broke a rule");
                if let Some(connection) = self.connection(peer) {
                    connection
                        .outlet
                        .quit(DisconnectReason::from_code(error.disconnect_code()));
                }
            }
            shh::Output::Envelope { envelope, from } => {
                let from = from.and_then(|peer| self.node_of(peer));
                self.backlog.push_back(Event::Envelope { envelope, from });
            }
            shh::Output::PeerStatus { peer, wants } => {
                if let Some(node) = self.node_of(peer) {
                    let (bloom, min_pow) = (wants.bloom, wants.min_pow);
                    self.backlog.push_back(Event::PeerInterest {
                        node,
                        bloom,
                        min_pow,
                    });
                }
            }
            shh::Output::Sent { peer, hash } => {
                if let Some(peer) = self.node_of(peer) {
                    self.backlog.push_back(Event::Sent { hash, peer });
                }
            }
        }
    }

    fn send(&mut self, peer: PeerId, code: u64, payload: Vec<u8>) {
        let Some(connection) = self.connection(peer) else {
            return;
        };
        let Some(whisper) = &connection.whisper else {
            return;
        };
        if !connection.outlet.send(whisper.capability, code, payload) {
            debug!(peer = ?whisper.node, "a Whisper peer takes nothing and is given up");
            connection.outlet.quit(DisconnectReason::Network);
        }
    }

    fn connection(&mut self, peer: PeerId) -> Option<&mut Connection> {
        self.connections.get_mut(&ConnectionId::from_number(peer.0))
    }

    fn node_of(&mut self, peer: PeerId) -> Option<NodeId> {
        self.connection(peer)?
            .whisper
            .as_ref()
            .map(|whisper| whisper.node)
    }

    fn infos(&self) -> Vec<PeerInfo> {
        let mut infos: Vec<PeerInfo> = self
            .connections
            .iter()
            .filter_map(|(id, connection)| {
                let whisper = connection.whisper.as_ref()?;
                Some(PeerInfo {
                    enode: Enode::new(connection.key?, connection.address),
                    client_name: whisper.client_name.clone(),
                    direction: connection.direction,
                    since: whisper.since,
                    wants: self.node.wants(peer_id(*id)).cloned(),
                })
            })
            .collect();
        infos.sort_by_key(|info| info.enode.node_id());
        infos
    }

    fn count(&self) -> Counters {
        Counters {
            peers: self
                .connections
                .values()
                .filter(|connection| connection.whisper.is_some())
                .count(),
            pooled: self.node.pooled(),
            pooled_bytes: self.node.pooled_bytes(),
            shh: self.node.counters().clone(),
            ..self.counters.clone()
        }
    }

    /// Tells every peer, and waits a moment for the words to leave.
    async fn shut_down(mut self) {
        info!(
            peers = self.connections.len(),
            "the Whisper node shuts down"
        );
        for connection in self.connections.values_mut() {
            connection.outlet.quit(DisconnectReason::Quitting);
        }
        let until = (Instant::now() + SHUTDOWN_TIMEOUT).into();
        self.commands.close();
        drop(self.reports);
        // Reports are taken and dropped, so that no connection waits for us.
        let _ = timeout_at(until, async {
            loop {
                tokio::select! {
                    joined = self.tasks.join_next() => if joined.is_none() { break },
                    Some(_) = self.reported.recv() => {}
                }
            }
        })
        .await;
        self.tasks.shutdown().await;
    }
}

const fn peer_id(id: ConnectionId) -> PeerId {
    PeerId(id.number())
}

/// A label from a closed list.
fn word(ended: Ended) -> String {
    match ended {
        Ended::NotReached(_) => "not_reached".to_owned(),
        Ended::Closed(Closed::Ours(reason)) => format!("ours_{}", reason.as_str()),
        Ended::Closed(Closed::Theirs(reason)) => format!("theirs_{}", reason.as_str()),
        Ended::Closed(Closed::Broken(error)) => error.as_str().to_owned(),
        Ended::Eof => "eof".to_owned(),
        Ended::Failed(_) => "failed".to_owned(),
        Ended::GivenUp => "given_up".to_owned(),
    }
}

/// Reports that wait for the owner: one per connection of a full house.
const REPORTS_MAX: usize = 256;
/// Connections that wait for the owner; more wait in the system's queue.
const ACCEPTED_MAX: usize = 16;
/// Events that wait besides those in the channel. Above this no more is taken from peers; what our own requests cause
/// still fits.
const BACKLOG_MAX: usize = 4096;
/// The cores are asked at least so often whether something is due.
const IDLE_TICK: Duration = Duration::from_secs(60);
/// Time for all connections to end: the farewell of one, which all say at once, and some.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
