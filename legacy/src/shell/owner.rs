//! The task that owns the policy and the Whisper node, and knows every connection.
//!
//! | room | content |
//! |---|---|
//! | `commands` | what handles ask for, and what they are answered |
//! | `connections` | a connection from its first byte to its last |
//! | `mail` | what the mailserver and its client want done |
//! | `turns` | whose report is next |
//! | `whisper` | what Whisper wants done |

mod commands;
mod connections;
mod mail;
mod turns;
mod whisper;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep_until, timeout_at};
use tracing::info;

pub(super) use self::commands::Command;
use self::connections::Connection;
use self::mail::{Mail, Returned};
use self::turns::Turns;
use super::connection::{Batch, Report, Reports};
use super::discovery::Discovery;
use super::{Clock, Config, Counters, Error, Event, Listener, capabilities, listener, seed};
use crate::now::Now;
use crate::peers::{self, ConnectionId, Peers};
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::session;
use crate::shh::node::Confirmations;
use crate::shh::{self, PeerId};

pub(super) struct Owner {
    clock: Clock,
    session: Arc<session::Config>,
    peers: Peers,
    node: shh::Node,
    mail: Mail,
    connections: BTreeMap<ConnectionId, Connection>,
    tasks: JoinSet<()>,
    listener: Option<Listener>,
    events: mpsc::Sender<Event>,
    /// Events that nobody has taken.
    backlog: VecDeque<Event>,
    commands: mpsc::Receiver<Command>,
    reports: Reports,
    reported: mpsc::Receiver<Batch>,
    /// Reports that wait, with the turn of their connection.
    turns: Turns<(Report, Arc<OwnedSemaphorePermit>)>,
    counters: Counters,
}

/// What woke the owner.
enum Turn {
    Command(Command),
    Accepted(TcpStream, SocketAddr),
    Batch(Batch),
    Returned(Returned),
    Tick,
    Done,
}

impl Owner {
    pub(super) fn new(
        mut config: Config,
        events: mpsc::Sender<Event>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Owner, Error> {
        let clock = config.clock.clone();
        let mut peers = Peers::new(config.key.public().node_id(), config.limits, seed()?);
        for enode in &config.static_peers {
            peers.add(clock.now(), *enode).map_err(Error::StaticPeer)?;
        }
        for enode in &config.trusted_peers {
            peers.trust(*enode).map_err(Error::TrustedPeer)?;
        }
        peers.bootstrap(clock.now(), config.bootstrap_peers.iter().copied());
        config.shh.mail = config.mailserver.is_some();
        if config.mailserver.is_some() && config.shh.confirmations == Confirmations::OnReceipt {
            // What a mailserver confirms survives its end: it waits for the archive, a fifth of a second.
            config.shh.confirmations = Confirmations::Held;
        }
        let mail = Mail::start(&mut config)?;
        let (reports, reported) = mpsc::channel(REPORTS_MAX);
        let capabilities = capabilities(&config);
        Ok(Owner {
            clock,
            session: Arc::new(session::Config {
                key: config.key,
                client_name: config.client_name,
                capabilities,
                packet_len_max: config.packet_len_max,
            }),
            peers,
            node: shh::Node::new(config.shh, seed()?),
            mail,
            connections: BTreeMap::new(),
            tasks: JoinSet::new(),
            listener: config.listener,
            events,
            backlog: VecDeque::new(),
            commands,
            reports,
            reported,
            turns: Turns::new(),
            counters: Counters::default(),
        })
    }

    /// One event at a time, until somebody wants it to end.
    pub(super) async fn run(
        mut self,
        listener: Option<TcpListener>,
        discovery: Option<(Discovery, mpsc::WeakSender<Command>)>,
    ) {
        let (accept, mut accepted) = mpsc::channel(ACCEPTED_MAX);
        // Without a listener this end stays open, so that the channel is silent and not closed.
        let (_silent, door) = match listener {
            Some(listener) => (
                None,
                Some(self.tasks.spawn(listener::run(listener, accept))),
            ),
            None => (Some(accept), None),
        };
        // Discovery ends when this is dropped.
        let discovering = discovery.map(|(discovery, owner)| {
            let (stop, stopped) = oneshot::channel();
            self.tasks.spawn(discovery.run(owner, stopped));
            stop
        });
        loop {
            self.drain();
            self.hand_out();
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
                Some(batch) = self.reported.recv() => Turn::Batch(batch),
                () = yield_now(), if has_room && !self.turns.is_empty() => Turn::Done,
                Some(returned) = self.mail.returned.recv() => Turn::Returned(returned),
                () = sleep_until(deadline.into()), if has_room => Turn::Tick,
                Some(_) = self.tasks.join_next() => Turn::Done,
            };
            match turn {
                Turn::Command(Command::Shutdown) => break,
                Turn::Command(command) => self.command(command),
                Turn::Accepted(stream, address) => self.accepted(stream, address),
                Turn::Batch(batch) => self.queue(batch),
                Turn::Returned(returned) => self.mail.returned(self.now(), returned),
                Turn::Tick => self.tick(),
                Turn::Done => {}
            }
            self.take_turns();
        }
        if let Some(door) = door {
            door.abort();
        }
        drop(discovering);
        self.shut_down().await;
    }

    /// Tells whoever listens, and leaves the event for whoever reads.
    fn tell(&mut self, event: Event) {
        if let Some(listener) = &mut self.listener {
            listener.hear(&event);
        }
        if !self.events.is_closed() {
            self.backlog.push_back(event);
        }
    }

    /// Hands out events for as long as whoever reads them keeps up.
    fn hand_out(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return;
                }
                // Nobody listens any more; the network still does.
                Err(TrySendError::Closed(_)) => self.backlog.clear(),
            }
        }
    }

    fn queue(&mut self, batch: Batch) {
        let turn = Arc::new(batch.turn);
        for report in batch.reports {
            self.turns.add(batch.id, (report, Arc::clone(&turn)));
        }
    }

    /// Handles reports for a moment, each connection in its turn.
    fn take_turns(&mut self) {
        let start = Instant::now();
        let mut began = start;
        while began - start < TURNS_TIME && self.backlog.len() < BACKLOG_MAX {
            while let Ok(batch) = self.reported.try_recv() {
                self.queue(batch);
            }
            let Some((id, (report, _turn))) = self.turns.next() else {
                return;
            };
            let last = matches!(report, Report::Ended(_));
            self.report(id, report);
            self.drain();
            self.hand_out();
            let end = Instant::now();
            if last {
                self.turns.end(id);
            } else {
                self.turns.charge(id, end - began);
            }
            began = end;
        }
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn tick(&mut self) {
        let now = self.now();
        self.peers.tick(now);
        self.node.handle(now, shh::Input::Tick);
        self.mail.tick(now);
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + IDLE_TICK;
        [
            self.peers.next_deadline(),
            self.node.next_deadline(),
            self.mail.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .fold(far, Instant::min)
    }

    /// Does everything that the cores want done.
    fn drain(&mut self) {
        loop {
            let now = self.now();
            while let Some(output) = self.node.poll_output() {
                self.whisper(now, output);
            }
            if !self.carry_mail(now) {
                break;
            }
        }
        while let Some(output) = self.peers.poll_output() {
            match output {
                peers::Output::Dial { connection, enode } => self.dial(connection, enode),
                peers::Output::Close { connection } => self.push_out(connection),
                peers::Output::Disconnect { connection, reason } => {
                    if let Some(connection) = self.connections.get_mut(&connection) {
                        connection.outlet.quit(reason);
                    }
                }
            }
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
        // No connection waits for its turn.
        self.turns = Turns::new();
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
        self.mail.stop(&self.clock).await;
    }
}

const fn peer_id(id: ConnectionId) -> PeerId {
    PeerId(id.number())
}

/// Batches of reports on their way to the owner, which takes them at once: each connection has one at most, and those
/// beyond this number wait a moment.
const REPORTS_MAX: usize = 64;
/// How long reports are handled before anything else has a turn: a command waits for this and for one report.
const TURNS_TIME: Duration = Duration::from_millis(2);
/// Connections that wait for the owner; more wait in the system's queue.
const ACCEPTED_MAX: usize = 16;
/// Events that wait besides those in the channel. Above this no more is taken from peers; what our own requests cause
/// still fits.
const BACKLOG_MAX: usize = 4096;
/// The cores are asked at least so often whether something is due.
const IDLE_TICK: Duration = Duration::from_secs(60);
/// Time for all connections to end: the farewell of one, which all say at once, and some.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
