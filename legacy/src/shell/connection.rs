//! One connection's task: bytes between the socket and the session, messages between the session and the owner.
//!
//! It reads only while the owner has taken everything that was read before, and takes messages to send only while the socket
//! keeps up. What waits in between is bounded by bytes, see [`Outlet`].

mod haste;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use self::haste::Haste;
use super::now;
use crate::identity::PublicKey;
use crate::peers::ConnectionId;
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::payload::Payload;
use crate::rlpx::session::{Closed, Config, Established, Input, Output, Session};

/// What a connection tells the owner.
#[derive(Debug)]
pub(super) enum Report {
    /// The handshake proved who is there.
    Identified(PublicKey),
    /// Both Hellos are through.
    Established(Established),
    /// A message of a subprotocol.
    Message {
        capability: usize,
        code: u64,
        payload: Vec<u8>,
    },
    /// It has taken everything that was handed to it before a receipt was asked for.
    Taken(Receipt),
    /// It is over. Nothing follows.
    Ended(Ended),
}

/// Who wants to know that a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// The mailserver, after each batch.
    Mail,
    /// The relay, after more than a peer takes at once.
    Relay,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It could not be made.
    NotReached(io::ErrorKind),
    /// By the rules of the session.
    Closed(Closed),
    /// The peer closed its end without a word.
    Eof,
    /// The network failed.
    Failed(io::ErrorKind),
    /// The owner gave it up.
    GivenUp,
}

/// What the owner tells a connection.
#[derive(Debug)]
enum Order {
    Admit,
    /// Say that everything before this was taken: what waits for the socket is little.
    Receipt(Receipt),
    Send {
        capability: usize,
        code: u64,
        payload: Payload,
    },
}

/// The owner's end of a connection.
#[derive(Debug)]
pub(super) struct Outlet {
    orders: mpsc::Sender<Order>,
    queued: Arc<AtomicUsize>,
    quit: Option<oneshot::Sender<DisconnectReason>>,
}

impl Outlet {
    pub(super) fn admit(&self) -> bool {
        self.orders.try_send(Order::Admit).is_ok()
    }

    /// Queues a message. False: the peer takes nothing and too much is queued already.
    pub(super) fn send(&self, capability: usize, code: u64, payload: Payload) -> bool {
        let len = payload.len();
        let queued = self.queued.fetch_add(len, Ordering::Relaxed);
        if queued > 0 && queued + len > QUEUED_BYTES_MAX {
            return false;
        }
        self.orders
            .try_send(Order::Send {
                capability,
                code,
                payload,
            })
            .is_ok()
    }

    /// Asks for a [`Report::Taken`] behind everything that was sent so far. It comes only while the peer reads.
    pub(super) fn ask_receipt(&self, receipt: Receipt) -> bool {
        // Without room the connection is given up anyway.
        self.orders.try_send(Order::Receipt(receipt)).is_ok()
    }

    /// The peer reads more slowly than we send.
    pub(super) fn is_behind(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > QUEUED_BYTES_RELAY_MAX
    }

    /// Ends the connection with a reason; dropping the outlet ends it without.
    pub(super) fn quit(&mut self, reason: DisconnectReason) {
        if let Some(quit) = self.quit.take() {
            // Nobody takes it where the connection has ended already.
            let _ = quit.send(reason);
        }
    }
}

/// The connection's end of it.
pub(super) struct Inlet {
    orders: mpsc::Receiver<Order>,
    queued: Arc<AtomicUsize>,
    quit: oneshot::Receiver<DisconnectReason>,
}

/// Both ends.
pub(super) fn channel() -> (Outlet, Inlet) {
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let (quit, asked) = oneshot::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let outlet = Outlet {
        orders,
        queued: Arc::clone(&queued),
        quit: Some(quit),
    };
    (
        outlet,
        Inlet {
            orders: received,
            queued,
            quit: asked,
        },
    )
}

/// Where reports go.
pub(super) type Reports = mpsc::Sender<Batch>;

/// What a connection reports at once. It reports no more before the owner has dropped all of this.
pub(super) struct Batch {
    pub(super) id: ConnectionId,
    pub(super) reports: VecDeque<Report>,
    pub(super) turn: OwnedSemaphorePermit,
}

/// Opens a connection and runs it.
pub(super) async fn dial(
    id: ConnectionId,
    address: SocketAddr,
    remote: PublicKey,
    config: Arc<Config>,
    seed: [u8; 32],
    inlet: Inlet,
    reports: Reports,
) {
    let kind = match timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            let session = Session::dial(now(), config, remote, seed);
            return run(id, stream, session, inlet, reports).await;
        }
        Ok(Err(error)) => error.kind(),
        Err(_) => io::ErrorKind::TimedOut,
    };
    report(
        id,
        [Report::Ended(Ended::NotReached(kind))],
        &one_turn(),
        &reports,
    )
    .await;
}

/// Runs a connection that somebody opened to us.
pub(super) async fn accept(
    id: ConnectionId,
    stream: TcpStream,
    config: Arc<Config>,
    seed: [u8; 32],
    inlet: Inlet,
    reports: Reports,
) {
    let session = Session::accept(now(), config, seed);
    run(id, stream, session, inlet, reports).await;
}

async fn run(
    id: ConnectionId,
    stream: TcpStream,
    session: Session,
    inlet: Inlet,
    reports: Reports,
) {
    // Without it small messages wait for each other; where it fails they do.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut connection = Connection {
        id,
        read,
        write,
        session,
        inlet,
        reports,
        turns: one_turn(),
        unread: VecDeque::new(),
        unsent: VecDeque::new(),
        undecided: false,
        haste: Haste::default(),
        ended: None,
    };
    connection.drain();
    let ended = connection.live().await;
    connection.finish(ended).await;
}

thread_local! {
    /// Where a thread reads to. A room of its own for each read costs page faults, as many as the rest of a small message.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

struct Connection {
    id: ConnectionId,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    session: Session,
    inlet: Inlet,
    reports: Reports,
    /// One, which is with the owner while it has reports of ours.
    turns: Arc<Semaphore>,
    /// Reports that the owner has not taken.
    unread: VecDeque<Report>,
    /// Bytes that the socket has not taken.
    unsent: VecDeque<u8>,
    /// The owner has not said yet whether the peer may come in. What it said already must be heard before its end is.
    undecided: bool,
    haste: Haste,
    ended: Option<Ended>,
}

impl Connection {
    /// One event at a time, until it is over.
    async fn live(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.ended {
                return ended;
            }
            let deadline = self.session.next_deadline();
            let order = tokio::select! {
                place = place(&self.turns, &self.reports), if !self.unread.is_empty() => {
                    let Some((turn, place)) = place else {
                        return Ended::GivenUp;
                    };
                    let reports = std::mem::take(&mut self.unread);
                    place.send(Batch { id: self.id, reports, turn });
                    None
                }
                arrived = arrived(&mut self.read, &mut self.session), if self.unread.is_empty() && !self.undecided && !self.haste.is_resting() => match arrived {
                    Ok(0) => return Ended::Eof,
                    Ok(len) => {
                        self.haste.read(Instant::now(), len);
                        None
                    }
                    Err(error) => return Ended::Failed(error.kind()),
                },
                written = self.write.write(self.unsent.as_slices().0), if !self.unsent.is_empty() => match written {
                    Ok(len) => {
                        self.unsent.drain(..len);
                        let input = if self.unsent.is_empty() { Input::Flushed } else { Input::Progress };
                        self.session.handle(now(), input);
                        None
                    }
                    Err(error) => return Ended::Failed(error.kind()),
                },
                order = self.inlet.orders.recv(), if self.unsent.len() < UNSENT_LEN_MAX => match order {
                    Some(order) => Some(order),
                    None => return Ended::GivenUp,
                },
                // What was handed over before leaves first, unless the peer does not read: its sender was told that it is on its way.
                reason = &mut self.inlet.quit, if self.inlet.orders.is_empty() || self.unsent.len() >= UNSENT_LEN_MAX => match reason {
                    Ok(reason) => {
                        self.session.handle(now(), Input::Disconnect(reason));
                        None
                    }
                    Err(_) => return Ended::GivenUp,
                },
                () = at(self.haste.until()), if self.haste.is_resting() => {
                    self.haste.rested();
                    None
                }
                () = at(deadline) => {
                    if !self.unread.is_empty() {
                        self.session.handle(now(), Input::Unread);
                    }
                    self.session.handle(now(), Input::Tick);
                    None
                }
            };
            if let Some(order) = order {
                self.obey(order);
            }
            self.drain();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Admit => {
                self.undecided = false;
                self.session.handle(now(), Input::Admit);
            }
            Order::Receipt(receipt) => self.unread.push_back(Report::Taken(receipt)),
            Order::Send {
                capability,
                code,
                payload,
            } => {
                self.inlet
                    .queued
                    .fetch_sub(payload.len(), Ordering::Relaxed);
                self.session.handle(
                    now(),
                    Input::Share {
                        capability,
                        code,
                        payload: &payload,
                    },
                );
            }
        }
    }

    /// Takes everything that the session has to say.
    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write(bytes) => self.unsent.extend(bytes),
                Output::Identified(key) => {
                    self.undecided = true;
                    self.unread.push_back(Report::Identified(key));
                }
                Output::Established(established) => {
                    self.unread.push_back(Report::Established(established))
                }
                Output::Message {
                    capability,
                    code,
                    payload,
                } => {
                    self.unread.push_back(Report::Message {
                        capability,
                        code,
                        payload,
                    });
                }
                Output::Closed(closed) => self.ended = Some(Ended::Closed(closed)),
            }
        }
        if self.unsent.is_empty() && self.unsent.capacity() > READ_LEN {
            self.unsent = VecDeque::new();
        }
    }

    /// Reports what is left to report, and lets the last words reach the peer.
    async fn finish(mut self, ended: Ended) {
        let farewell = async {
            if matches!(ended, Ended::Closed(_)) {
                let unsent = self.unsent.make_contiguous();
                // The peer may be gone; there is nothing to be done about that.
                let _ = timeout(
                    FAREWELL_TIMEOUT,
                    say_goodbye(&mut self.read, &mut self.write, unsent),
                )
                .await;
            }
        };
        let last = self.unread.into_iter().chain([Report::Ended(ended)]);
        let report = report(self.id, last, &self.turns, &self.reports);
        // The peer must not learn of the end before the socket is free, nor the owner wait for the peer.
        tokio::join!(farewell, report);
    }
}

/// Hands the session what the socket has for us, and says how much that was; 0 at its end. The room belongs to the thread and is used
/// for no longer than a poll, so that a silent connection holds none.
async fn arrived(read: &mut OwnedReadHalf, session: &mut Session) -> io::Result<usize> {
    poll_fn(|cx| {
        ROOM.with_borrow_mut(|room| {
            let mut room = ReadBuf::new(room);
            ready!(Pin::new(&mut *read).poll_read(cx, &mut room))?;
            let bytes = room.filled();
            if !bytes.is_empty() {
                session.handle(now(), Input::Bytes(bytes));
            }
            Poll::Ready(Ok(bytes.len()))
        })
    })
    .await
}

/// Waits until the owner has taken what it was told before, and has room for more.
async fn place<'a>(
    turns: &Arc<Semaphore>,
    reports: &'a Reports,
) -> Option<(OwnedSemaphorePermit, mpsc::Permit<'a, Batch>)> {
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    Some((turn, reports.reserve().await.ok()?))
}

/// Tells the owner, which is gone only at the end of everything.
async fn report(
    id: ConnectionId,
    some: impl IntoIterator<Item = Report>,
    turns: &Arc<Semaphore>,
    reports: &Reports,
) {
    if let Some((turn, place)) = place(turns, reports).await {
        let reports = some.into_iter().collect();
        place.send(Batch { id, reports, turn });
    }
}

fn one_turn() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

/// Sends the last bytes and waits for the peer to close. A socket that is closed with something unread is reset by the
/// system, and the peer might never see the Disconnect.
async fn say_goodbye(
    read: &mut OwnedReadHalf,
    write: &mut OwnedWriteHalf,
    unsent: &[u8],
) -> io::Result<()> {
    write.write_all(unsent).await?;
    write.shutdown().await?;
    let mut buffer = [0; 1024];
    while read.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Sleeps until a deadline, or for ever.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Time for a connection to be made, as in geth.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for the last words, as in geth.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// What is read at once: the most that a socket has for us as a rule.
const READ_LEN: usize = 64 * 1024;
/// Orders that wait for a connection: Whisper sends a few packets a second.
const ORDERS_MAX: usize = 256;
/// Bytes of messages that wait for a connection: a new peer gets a full pool in packets of half a MiB. One message may be
/// longer than this if nothing else waits.
const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that wait for a connection before it gets no more bundles: two of them. What is not sent yet may still die or give
/// way in the pool, so that a flood for a slow peer does not wait in its queue.
const QUEUED_BYTES_RELAY_MAX: usize = 1024 * 1024;
/// Bytes that wait for the socket before no more messages are sealed.
const UNSENT_LEN_MAX: usize = 256 * 1024;
