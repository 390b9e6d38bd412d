//! The thread that owns the node: it peels what comes, feeds the node what happens and does what it says.
//!
//! Its own thread, so that neither peeling holds up the network nor the network a packet that is due.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::behaviour::Opener;
use super::intake::{Command, Peeler};
use super::keeper::{Keeper, Order};
use super::keys::Keys;
use super::park::Parker;
use super::stream::{self, Drops};
use super::swarm::{self, Network, Open, View, Wire};
use super::{Connection, Event, KeyError, Query, Reach, SendRequest, Status};
use crate::address::PeerKey;
use crate::counters::{PacketKind, Stage};
use crate::error::DropReason;
use crate::limits::{
    DIALLING_QUEUE_MAX, INTAKE_BATCH_MAX, INTAKE_QUEUE_MAX, NEIGHBOUR_QUEUE_MAX, SHUTDOWN_MAX,
};
use crate::mailbox::Request;
use crate::node::{Input, Node, NodeConfig, Output};
use crate::now::Now;
use crate::sphinx::{Packet, SecretKey};
use crate::topology::Topology;

// ---- Our constants ----

/// Inputs that are taken in before outputs are looked at again.
const BATCH: usize = 32;

/// Wishes to dial that wait for the swarm: one a known peer is enough, the next packet asks again.
const DIAL_QUEUE_MAX: usize = 64;

/// Events about relays that wait for a user who is behind; older ones are then worth nothing.
const NOTICES_MAX: usize = 16;

/// Objects from mailboxes that wait for a user who is behind: several chains' worth of a minute of polls.
const MAIL_MAX: usize = 256;

/// How long a node without any deadline sleeps.
const IDLE: Duration = Duration::from_secs(60);

/// The core's ends of the channels to the local user.
pub(super) struct Channels {
    pub(super) sends: mpsc::Receiver<SendRequest>,
    pub(super) queries: mpsc::Receiver<Query>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) surbs_outstanding: Arc<AtomicUsize>,
    /// Packets handed on for others, for the directory.
    pub(super) forwarded: Arc<AtomicU64>,
    /// Tells everybody else which network it is.
    pub(super) network: watch::Sender<Topology>,
}

/// The network side of a node that is about to run.
pub(super) struct Outside {
    pub(super) open: Open,
    pub(super) reach: Reach,
    pub(super) drops: Arc<Drops>,
    pub(super) peeler: Peeler,
    /// With what it is told; none for a node that remembers nothing beyond a restart.
    pub(super) keeper: Option<(Keeper, mpsc::Receiver<Order>)>,
    pub(super) keys: Keys,
    /// Both ends of the way to the core.
    pub(super) inputs: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    /// The task of the directory, which ends with the swarm.
    pub(super) directory: Option<JoinHandle<()>>,
}

/// Runs a node until it is shut down.
pub(super) async fn run(
    config: NodeConfig,
    topology: Topology,
    outside: Outside,
    channels: Channels,
) {
    let Outside {
        open:
            Open {
                swarm,
                streams,
                wire,
                sockets,
            },
        reach,
        drops,
        peeler,
        keeper,
        keys,
        inputs: (inputs, input_receiver),
        directory,
    } = outside;
    let (packets, commands) = mpsc::channel(INTAKE_QUEUE_MAX);
    let (dials, dial_receiver) = mpsc::channel(DIAL_QUEUE_MAX);
    let opener = swarm.behaviour().mix.opener();
    let mut tasks = JoinSet::new();
    tasks.spawn(stream::accept(streams, packets.clone(), drops.clone()));
    let keeping = keeper.map(|(keeper, orders)| spawn_blocking(move || keeper.run(orders)));
    let topologies = channels.network.subscribe();
    let network = Network::new(swarm, config.peer, &reach, topologies, inputs.clone());
    let view = network.view();
    tasks.spawn(network.run(dial_receiver));
    let core = Core {
        node: Node::new(config, now()),
        peeler,
        topology,
        neighbours: BTreeMap::new(),
        dialling: BTreeMap::new(),
        writers: JoinSet::new(),
        notices: VecDeque::new(),
        mail: VecDeque::new(),
        mailbox: None,
        chores: JoinSet::new(),
        keys,
        opener,
        packets,
        tasks: Handle::current(),
        inputs: inputs.downgrade(),
        dials,
        network: channels.network,
        drops,
        view,
        wire,
        events: channels.events,
        surbs_outstanding: channels.surbs_outstanding,
        forwarded: channels.forwarded,
    };
    let from = Sources {
        inputs: input_receiver,
        commands,
        sends: channels.sends,
        queries: channels.queries,
        is_held: true,
    };
    let done = spawn_blocking(move || core.serve(from)).await;
    // The swarm and the readers end here; dropping the set aborts them at their next await. Then nobody has work for the keeper. The
    // directory writes whom it knows.
    tasks.shutdown().await;
    if let Some(directory) = directory
        && timeout(SHUTDOWN_MAX, directory).await.is_err()
    {
        tracing::warn!("the directory of mix nodes did not end in time");
    }
    if let Some(keeping) = keeping
        && let Err(error) = keeping.await
    {
        tracing::error!(%error, "the thread that keeps replay tags ended badly");
    }
    sockets.released().await;
    let done = done.unwrap_or_else(|error| {
        tracing::error!(%error, "the thread of the mix node ended badly");
        Vec::new()
    });
    for done in done {
        // Whoever asked may have gone.
        let _ = done.send(());
    }
}

pub(super) fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        mono: Instant::now(),
        unix_ms: unix.as_millis() as u64,
    }
}

/// From where a core hears.
struct Sources {
    inputs: mpsc::Receiver<Input>,
    commands: mpsc::Receiver<Command>,
    sends: mpsc::Receiver<SendRequest>,
    queries: mpsc::Receiver<Query>,
    /// Whether somebody holds a handle of the node.
    is_held: bool,
}

/// What a core hears.
enum Next {
    Query(Query),
    Send(SendRequest),
    Input(Input),
    Packet(Command),
    /// A task of its own has ended.
    Ended,
    /// The last handle of the node is gone.
    Unheld,
}

struct Core {
    node: Node,
    peeler: Peeler,
    topology: Topology,
    /// The writers of connected peers.
    neighbours: BTreeMap<PeerKey, mpsc::Sender<Packet>>,
    /// Packets for peers that are being dialled.
    dialling: BTreeMap<PeerKey, Vec<Packet>>,
    writers: JoinSet<()>,
    /// Events that must not be lost and found the channel full.
    notices: VecDeque<Event>,
    /// The same for what came from mailboxes, which nobody repeats.
    mail: VecDeque<Event>,
    /// The mailbox of this node, if it is one.
    mailbox: Option<mpsc::Sender<Request>>,
    opener: Opener,
    packets: mpsc::Sender<Command>,
    /// Where its tasks run.
    tasks: Handle,
    inputs: mpsc::WeakSender<Input>,
    /// Changes of keys, which wait for files and for this thread.
    chores: JoinSet<()>,
    keys: Keys,
    dials: mpsc::Sender<PeerKey>,
    /// Tells the network task whom it may dial.
    network: watch::Sender<Topology>,
    drops: Arc<Drops>,
    view: watch::Receiver<View>,
    wire: Arc<Wire>,
    events: mpsc::Sender<Event>,
    surbs_outstanding: Arc<AtomicUsize>,
    /// Packets handed on for others, for the directory.
    forwarded: Arc<AtomicU64>,
}

impl Core {
    /// Serves until shutdown, on this thread; gives back whom to tell when everything is closed.
    fn serve(mut self, mut from: Sources) -> Vec<oneshot::Sender<()>> {
        let parker = Parker::new();
        let mut waiting = Vec::new();
        let mut stop_at: Option<Instant> = None;
        loop {
            self.drain();
            if stop_at.is_some_and(|at| self.node.is_drained() || Instant::now() >= at) {
                break;
            }
            let deadline = self
                .node
                .next_deadline()
                .unwrap_or_else(|| Instant::now() + IDLE);
            let deadline = stop_at.map_or(deadline, |at| at.min(deadline));
            let next = self.next(&mut from, stop_at.is_none());
            // What is due goes out before more comes in.
            let Some(next) = parker.until(deadline, next) else {
                self.node.handle(now(), Input::Tick);
                continue;
            };
            match next {
                Next::Query(Query::Shutdown { done }) => {
                    waiting.push(done);
                    self.stop(&mut stop_at);
                }
                Next::Query(query) => self.query(query),
                Next::Send(request) => self.send(request),
                Next::Input(input) => self.inputs(input, &mut from.inputs),
                Next::Packet(command) => self.peel(command, &mut from.commands),
                Next::Ended => {}
                Next::Unheld => {
                    from.is_held = false;
                    self.stop(&mut stop_at);
                }
            }
        }
        self.close(&parker);
        waiting
    }

    /// What happens next; requests of the local user are few and come first.
    async fn next(&mut self, from: &mut Sources, open: bool) -> Next {
        tokio::select! {
            biased;
            query = from.queries.recv(), if from.is_held => query.map_or(Next::Unheld, Next::Query),
            Some(request) = from.sends.recv(), if open && self.node.has_room() => Next::Send(request),
            Some(_) = self.writers.join_next() => Next::Ended,
            Some(_) = self.chores.join_next() => Next::Ended,
            Some(input) = from.inputs.recv() => Next::Input(input),
            Some(command) = from.commands.recv() => Next::Packet(command),
            else => std::future::pending().await,
        }
    }

    fn stop(&mut self, stop_at: &mut Option<Instant>) {
        if stop_at.is_none() {
            self.node.stop();
            *stop_at = Some(Instant::now() + SHUTDOWN_MAX);
        }
    }

    /// Lets the writers send what they hold.
    fn close(&mut self, parker: &Parker) {
        self.neighbours.clear();
        if !self.writers_end(parker) {
            tracing::debug!("some neighbours did not take their last packets in time");
            self.writers.abort_all();
            self.writers_end(parker);
        }
    }

    /// Whether they did, in time.
    fn writers_end(&mut self, parker: &Parker) -> bool {
        let all = async { while self.writers.join_next().await.is_some() {} };
        parker.until(Instant::now() + SHUTDOWN_MAX, all).is_some()
    }

    fn inputs(&mut self, first: Input, more: &mut mpsc::Receiver<Input>) {
        self.input(first);
        for _ in 1..BATCH {
            match more.try_recv() {
                Ok(input) => self.input(input),
                Err(_) => return,
            }
        }
    }

    fn peel(&mut self, first: Command, more: &mut mpsc::Receiver<Command>) {
        self.take(first);
        for _ in 1..INTAKE_BATCH_MAX {
            match more.try_recv() {
                Ok(command) => self.take(command),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, command: Command) {
        if let Some(batch) = self.peeler.take(command) {
            self.node.handle(now(), Input::Peeled(batch));
        }
    }

    fn input(&mut self, input: Input) {
        match &input {
            Input::NeighbourUp(peer) => self.open_writer(*peer),
            Input::NeighbourDown(peer) => {
                self.neighbours.remove(peer);
            }
            Input::Unreachable(peer) => {
                let lost = self
                    .dialling
                    .remove(peer)
                    .map_or(0, |packets| packets.len());
                self.drops
                    .count(Stage::Leaving, DropReason::NoRoute, lost as u64);
            }
            Input::Peeled(_)
            | Input::Written(_)
            | Input::Durable(_)
            | Input::Key(_)
            | Input::ClockOff(_)
            | Input::Foreground(_)
            | Input::Window { .. }
            | Input::Tick => {}
            Input::Topology(topology) => {
                self.topology = topology.clone();
                // The network task ends after this one.
                self.network.send_replace(topology.clone());
            }
        }
        self.node.handle(now(), input);
    }

    fn open_writer(&mut self, peer: PeerKey) {
        let Some(id) = swarm::peer_id(&peer) else {
            return;
        };
        let (packets, receiver) = mpsc::channel(NEIGHBOUR_QUEUE_MAX);
        let writer = stream::write(id, self.opener.clone(), receiver, self.drops.clone());
        self.writers.spawn_on(writer, &self.tasks);
        self.neighbours.insert(peer, packets);
        for packet in self.dialling.remove(&peer).unwrap_or_default() {
            self.transmit(peer, packet);
        }
    }

    /// Does everything that the node wants done.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Transmit { to, kind, packet } => {
                    if kind == PacketKind::Forward {
                        self.forwarded.fetch_add(1, Ordering::Relaxed);
                    }
                    self.transmit(to, packet);
                }
                Output::Deliver { object, arrival } => {
                    let event = Event::Object { object, arrival };
                    if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
                        self.drops.count(Stage::Object, DropReason::QueueFull, 1);
                    }
                }
                Output::Relays { usable, needed } => self.notice(Event::Relays { usable, needed }),
                Output::SurbsStale => self.notice(Event::SurbsStale),
                Output::Notice(notice) => self.notice(Event::Notice(notice)),
                Output::Mailbox(event) if self.mail.len() >= MAIL_MAX => {
                    tracing::debug!(?event, "nobody takes what came from mailboxes");
                    self.drops.count(Stage::Object, DropReason::QueueFull, 1);
                }
                Output::Mailbox(event) => self.mail.push_back(Event::Mailbox(event)),
                Output::Serve(request) => {
                    let mailbox = self.mailbox.as_ref();
                    if mailbox.is_none_or(|to| to.try_send(request).is_err()) {
                        self.drops.count(Stage::Object, DropReason::QueueFull, 1);
                    }
                }
            }
        }
        while let Some(event) = self.mail.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.mail.push_front(event);
                break;
            }
        }
        while let Some(event) = self.notices.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.notices.push_front(event);
                break;
            }
        }
        self.surbs_outstanding
            .store(self.node.surbs_outstanding(), Ordering::Relaxed);
    }

    fn notice(&mut self, event: Event) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(event);
    }

    /// Hands a packet to a connected peer, or has a known one dialled.
    fn transmit(&mut self, to: PeerKey, packet: Packet) {
        if let Some(neighbour) = self.neighbours.get(&to) {
            return match neighbour.try_send(packet) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    self.drops.count(Stage::Leaving, DropReason::QueueFull, 1)
                }
                Err(TrySendError::Closed(_)) => {
                    self.drops.count(Stage::Leaving, DropReason::NoRoute, 1)
                }
            };
        }
        if self.topology.get(&to).is_none() {
            return self.drops.count(Stage::Leaving, DropReason::NoRoute, 1);
        }
        let waiting = self.dialling.entry(to).or_default();
        if waiting.len() >= DIALLING_QUEUE_MAX {
            return self.drops.count(Stage::Leaving, DropReason::QueueFull, 1);
        }
        waiting.push(packet);
        // When the swarm is that busy, the next packet for the peer asks again.
        let _ = self.dials.try_send(to);
    }

    fn send(&mut self, request: SendRequest) {
        let (result, done) = match request {
            SendRequest::Forward {
                to,
                object,
                urgency,
                done,
            } => (self.node.send_with(to, object, urgency), done),
            SendRequest::Reply {
                blocks,
                object,
                done,
            } => (self.node.reply(blocks, object), done),
        };
        // Whoever asked may have gone; what is queued is sent all the same.
        let _ = done.send(result);
    }

    fn query(&mut self, query: Query) {
        match query {
            Query::Watch {
                label,
                key,
                next,
                done,
            } => {
                let _ = done.send(self.node.watch(label, key, next));
            }
            Query::Unwatch { label } => self.node.unwatch(&label),
            Query::Leave {
                label,
                key,
                first,
                object,
                done,
            } => {
                let _ = done.send(self.node.leave(now(), label, key, first, object));
            }
            Query::Forget { label } => self.node.forget(&label),
            Query::Serve { requests } => {
                self.node.serve_mailbox(true);
                self.mailbox = Some(requests);
            }
            Query::Answer { answers } => self.node.answer(now(), answers),
            Query::Surbs { count, done } => {
                let blocks = self.node.make_surbs(now(), count);
                let _ = done.send(blocks);
            }
            Query::Status { done } => {
                let _ = done.send(self.status());
            }
            Query::Foreground(foreground) => {
                self.node.handle(now(), Input::Foreground(foreground));
            }
            Query::Window { steps, done } => {
                self.node.handle(now(), Input::Window { steps });
                let _ = done.send(self.node.window());
            }
            Query::Install { key, done } => self.install(key, done),
            Query::Retire { key, done } => {
                let (keys, packets) = (self.keys.clone(), self.packets.clone());
                let chore = async move {
                    keys.retire(key, &packets).await;
                    let _ = done.send(());
                };
                self.chores.spawn_on(chore, &self.tasks);
            }
            // Handled by the loop, which knows how to end.
            Query::Shutdown { done } => drop(done),
        }
    }

    /// Has the peeler take a key into use; the node's own packets then end at it.
    fn install(&mut self, key: SecretKey, done: oneshot::Sender<Result<(), KeyError>>) {
        let (keys, packets) = (self.keys.clone(), self.packets.clone());
        let inputs = self.inputs.clone();
        let chore = async move {
            let id = key.public();
            let result = keys.install(key, &packets).await;
            if let (Ok(()), Some(inputs)) = (&result, inputs.upgrade()) {
                // A core that has ended uses no key.
                let _ = inputs.send(Input::Key(id)).await;
            }
            let _ = done.send(result);
        };
        self.chores.spawn_on(chore, &self.tasks);
    }

    fn status(&self) -> Status {
        let mut node = self.node.status();
        self.drops.add_to(&mut node.counters);
        let view = self.view.borrow().clone();
        let connection = |(peer, queue): (&PeerKey, &mpsc::Sender<Packet>)| Connection {
            peer: *peer,
            queued: queue.max_capacity() - queue.capacity(),
            known: self.topology.get(peer).is_some(),
            ways: view
                .links
                .get(peer)
                .map_or_else(Vec::new, |links| links.values().copied().collect()),
        };
        Status {
            usable_relays: node.usable_relays,
            known_relays: node.known_relays,
            needed: node.needed,
            connections: self.neighbours.iter().map(connection).collect(),
            reachability: view.reachability,
            reservations: view.reservations,
            refused: view.refused,
            tcp_bytes: self.wire.bytes(),
            node,
        }
    }
}
