//! A measuring tool: when which frame passed which link, in a file.
//!
//! This is what an adversary wants who sees every link, and more: which of the packets that come in is which of those that go out.
//! It is for measurements on one machine, and [`Trace::open`] refuses it for a node that touches any address but loopback.
//! The lines are those of [`crate::shape::reading`].
//!
//! Events go through a bounded channel to a thread that writes. When it cannot keep up, events are left out, and a line says how
//! many: a measurement must not slow what it measures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::Multiaddr;
use thiserror::Error;

use super::reach::Reach;
use crate::address::PeerKey;
use crate::shape::reading::{Frame, Line, MARK_LEN, Mark};
use crate::sphinx::Packet;
use crate::topology::Topology;

// ---- Our bounds ----

/// Events that wait to be written: a second of a relay at its highest load.
const EVENTS_MAX: usize = 1 << 14;

/// What has waited so long is written through, so that whoever kills the node has the file.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Where events go.
#[derive(Clone)]
pub(super) struct Trace {
    events: SyncSender<Event>,
    lost: Arc<AtomicU64>,
}

enum Event {
    In(Instant, PeerKey, usize, Mark),
    On(Instant, Mark),
    Out(Instant, PeerKey, usize, Mark),
}

/// Why there is no trace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The node or a node that it knows is not on loopback.
    #[error(
        "{0} is not a loopback address: a trace of packets is what an adversary wants, so it is written in networks on one machine only; take mix.trace_file out"
    )]
    NotLoopback(SocketAddrV4),
    /// The same of one of the other ways to and from the node.
    #[error(
        "{0} is not on loopback: a trace of packets is what an adversary wants, so it is written in networks on one machine only; take mix.trace_file out"
    )]
    WayNotLoopback(Multiaddr),
    /// The file cannot be made.
    #[error("the trace cannot be written to {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Trace {
    /// Begins a trace in a file. `own` are the node's own addresses.
    pub(super) fn open(
        path: &Path,
        own: [SocketAddrV4; 2],
        reach: &Reach,
        topology: &Topology,
    ) -> Result<Self, TraceError> {
        if let Some(outside) = reach.outside() {
            return Err(TraceError::WayNotLoopback(outside.clone()));
        }
        let known = topology.iter().filter_map(|node| node.address());
        if let Some(outside) = own
            .into_iter()
            .chain(known)
            .find(|at| !at.ip().is_loopback())
        {
            return Err(TraceError::NotLoopback(outside));
        }
        let file = File::create(path).map_err(|source| TraceError::File {
            path: path.to_owned(),
            source,
        })?;
        let (events, receiver) = sync_channel(EVENTS_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            file: BufWriter::new(file),
            lost: lost.clone(),
            began: Instant::now(),
            began_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            neighbours: BTreeMap::new(),
        };
        // It ends when the last sender is gone.
        std::thread::spawn(move || writer.run(&receiver));
        Ok(Self { events, lost })
    }

    /// A frame of so many bytes was read.
    pub(super) fn came(&self, at: Instant, from: PeerKey, bytes: usize, packet: &Packet) {
        self.note(Event::In(at, from, bytes, mark(packet)));
    }

    /// The packet that came in at this time will leave as this one.
    pub(super) fn goes_on(&self, at: Instant, packet: &Packet) {
        self.note(Event::On(at, mark(packet)));
    }

    /// A frame was written.
    pub(super) fn left(&self, to: PeerKey, bytes: usize, packet: &Packet) {
        self.note(Event::Out(Instant::now(), to, bytes, mark(packet)));
    }

    fn note(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn mark(packet: &Packet) -> Mark {
    let mut mark = [0; MARK_LEN];
    mark.copy_from_slice(&packet.as_bytes()[..MARK_LEN]);
    mark
}

struct Writer {
    file: BufWriter<File>,
    lost: Arc<AtomicU64>,
    began: Instant,
    began_unix: Duration,
    neighbours: BTreeMap<PeerKey, u32>,
}

impl Writer {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let written = match events.recv_timeout(FLUSH_EVERY) {
                Ok(event) => self.write(event),
                Err(RecvTimeoutError::Timeout) => self.file.flush(),
                Err(RecvTimeoutError::Disconnected) => {
                    // Nobody is left who could be told.
                    let _ = self.file.flush();
                    return;
                }
            };
            if let Err(error) = written {
                tracing::warn!(%error, "the trace ends here");
                return;
            }
        }
    }

    fn write(&mut self, event: Event) -> std::io::Result<()> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            writeln!(self.file, "{}", Line::Lost(lost))?;
        }
        let line = match event {
            Event::In(at, peer, bytes, mark) => Line::In(self.frame(at, peer, bytes, mark)),
            Event::On(at, mark) => Line::On {
                at_ns: self.unix_ns(at),
                mark,
            },
            Event::Out(at, peer, bytes, mark) => Line::Out(self.frame(at, peer, bytes, mark)),
        };
        writeln!(self.file, "{line}")
    }

    fn frame(&mut self, at: Instant, peer: PeerKey, bytes: usize, mark: Mark) -> Frame {
        let next = self.neighbours.len() as u32;
        Frame {
            at_ns: self.unix_ns(at),
            neighbour: *self.neighbours.entry(peer).or_insert(next),
            bytes: bytes as u32,
            mark,
        }
    }

    /// Nodes on one machine share a monotonic clock; the Unix time at the beginning makes their times comparable.
    fn unix_ns(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from((self.began_unix + since).as_nanos()).unwrap_or(u64::MAX)
    }
}
