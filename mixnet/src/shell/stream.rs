//! `/mix/1.0.0`: long-lived streams that carry packets in one direction.
//!
//! ```text
//! stream = { length as unsigned varint: 80 24 (4608) ‖ packet 4608 }*
//! ```
//!
//! A stream that announces another length has lost its framing or never had one: it is closed, and
//! what it announced counts as one packet of wrong length.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::behaviour::{Accepted, Opener};
use super::intake::Command;
use super::swarm::peer_key;
use super::trace::Trace;
use crate::address::PeerKey;
use crate::counters::{Counters, Stage};
use crate::error::DropReason;
use crate::geometry::PACKET_LEN;
use crate::intake::Received;
use crate::limits::{READ_TIMEOUT, STREAMS_PER_PEER_MAX, WRITE_TIMEOUT};
use crate::sphinx::Packet;

// ---- Constants of the specification ----

/// 4608 as an unsigned varint.
const LENGTH: [u8; 2] = [0x80, 0x24];

/// Length and packet.
const FRAME_LEN: usize = LENGTH.len() + PACKET_LEN;

// ---- Our constants ----

/// A stream is negotiated in one round trip; a peer that takes longer is as good as gone.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the network tasks drop, by reason. They have no way to the core that could not be full.
pub(super) struct Drops {
    counts: [[AtomicU64; DropReason::ALL.len()]; Stage::ALL.len()],
    /// Where they note what passes, in a measurement.
    trace: Option<Trace>,
}

impl Default for Drops {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            trace: None,
        }
    }
}

impl Drops {
    pub(super) fn traced(trace: Option<Trace>) -> Self {
        Self {
            trace,
            ..Self::default()
        }
    }

    pub(super) fn count(&self, stage: Stage, reason: DropReason, number: u64) {
        self.counts[stage as usize][reason as usize].fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, counters: &mut Counters) {
        for (stage, counts) in Stage::ALL.into_iter().zip(&self.counts) {
            for (reason, count) in DropReason::ALL.iter().zip(counts) {
                counters.count_dropped(stage, *reason, count.load(Ordering::Relaxed));
            }
        }
    }
}

/// Takes the streams that peers open, and reads each in a task of its own.
pub(super) async fn accept(
    mut streams: mpsc::Receiver<Accepted>,
    packets: mpsc::Sender<Command>,
    drops: Arc<Drops>,
) {
    let mut readers = JoinSet::new();
    let mut open: BTreeMap<PeerKey, usize> = BTreeMap::new();
    loop {
        tokio::select! {
            accepted = streams.recv() => {
                let Some(Accepted { peer, stream }) = accepted else { return };
                let Some(peer) = peer_key(&peer) else { continue };
                let count = open.entry(peer).or_default();
                if *count >= STREAMS_PER_PEER_MAX {
                    drops.count(Stage::Stream, DropReason::NeighbourRate, 1);
                    continue;
                }
                *count += 1;
                let (packets, drops) = (packets.clone(), drops.clone());
                readers.spawn(async move {
                    read(peer, stream, &packets, &drops).await;
                    peer
                });
            }
            Some(ended) = readers.join_next() => {
                let Ok(peer) = ended else { continue };
                if let Some(count) = open.get_mut(&peer) {
                    *count -= 1;
                    if *count == 0 {
                        open.remove(&peer);
                    }
                }
            }
        }
    }
}

/// Reads packets until the stream ends or breaks its framing.
async fn read(from: PeerKey, mut stream: Stream, packets: &mpsc::Sender<Command>, drops: &Drops) {
    loop {
        match read_packet(&mut stream).await {
            Ok(Some(packet)) => {
                let at = Instant::now();
                if let Some(trace) = &drops.trace {
                    trace.came(at, from, FRAME_LEN, &packet);
                }
                let received = Received { from, at, packet };
                if packets.send(Command::Packet(received)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                drops.count(Stage::Stream, DropReason::Length, 1);
                // Dropping the stream resets it; the connection and other streams live on.
                return;
            }
            // The connection is gone.
            Err(_) => return,
        }
    }
}

/// One packet; none at the end of the stream.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Packet>> {
    let mut length = [0; LENGTH.len()];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    if length[0] != LENGTH[0] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let rest = async {
        read_rest(stream, &mut length[1..]).await?;
        if length != LENGTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut packet = Box::new([0; PACKET_LEN]);
        read_rest(stream, &mut *packet).await?;
        Ok(Some(Packet::from(packet)))
    };
    // A frame that has begun ends soon, or its memory is held for nothing.
    let slow = |_| Err(io::ErrorKind::InvalidData.into());
    timeout(READ_TIMEOUT, rest).await.unwrap_or_else(slow)
}

/// Fills `bytes`; a stream that ends before that has broken its framing.
async fn read_rest(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> io::Result<()> {
    stream
        .read_exact(bytes)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::ErrorKind::InvalidData.into(),
            _ => error,
        })
}

/// Writes the packets of one neighbour, in one stream that is replaced when it breaks.
pub(super) async fn write(
    peer: PeerId,
    opener: Opener,
    mut packets: mpsc::Receiver<Packet>,
    drops: Arc<Drops>,
) {
    let mut stream: Option<Stream> = None;
    let mut end = [0; 1];
    // Length and packet in one write: one frame of the multiplexer, of one size.
    let mut frame = Box::new([0; FRAME_LEN]);
    frame[..LENGTH.len()].copy_from_slice(&LENGTH);
    loop {
        let packet = match &mut stream {
            None => packets.recv().await,
            // The other side never writes: whatever comes from there is the end of the stream.
            Some(open) => tokio::select! {
                packet = packets.recv() => packet,
                _ = open.read(&mut end) => {
                    stream = None;
                    continue;
                }
            },
        };
        let Some(packet) = packet else { break };
        let flush = packets.is_empty();
        frame[LENGTH.len()..].copy_from_slice(packet.as_bytes());
        if !write_frame(&mut stream, peer, &opener, &frame, flush).await {
            drops.count(Stage::Leaving, DropReason::NoRoute, 1);
        } else if let (Some(trace), Some(to)) = (&drops.trace, peer_key(&peer)) {
            trace.left(to, frame.len(), &packet);
        }
    }
    if let Some(mut stream) = stream {
        // A stream that cannot be closed in time is reset by being dropped.
        let _ = timeout(OPEN_TIMEOUT, stream.close()).await;
    }
}

/// Writes one frame, if need be in a new stream. False when it could not be written.
async fn write_frame(
    stream: &mut Option<Stream>,
    peer: PeerId,
    opener: &Opener,
    frame: &[u8; FRAME_LEN],
    flush: bool,
) -> bool {
    for _ in 0..WRITE_TRIES {
        let open = match stream {
            Some(open) => open,
            None => match timeout(OPEN_TIMEOUT, opener.open(peer)).await {
                Ok(Some(opened)) => stream.insert(opened),
                Ok(None) | Err(_) => return false,
            },
        };
        let written = timeout(WRITE_TIMEOUT, async {
            open.write_all(frame).await?;
            if flush { open.flush().await } else { Ok(()) }
        });
        match written.await {
            Ok(Ok(())) => return true,
            // Broken, or a peer that does not read.
            Ok(Err(_)) | Err(_) => *stream = None,
        }
    }
    false
}

/// A stream that broke is replaced once for a packet.
const WRITE_TRIES: usize = 2;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use futures::io::Cursor;

    fn read_all(bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let mut stream = Cursor::new(bytes);
        let mut packets = 0;
        loop {
            match runtime.block_on(read_packet(&mut stream)) {
                Ok(Some(_)) => packets += 1,
                Ok(None) => return (packets, Ok(())),
                Err(error) => return (packets, Err(error)),
            }
        }
    }

    #[test]
    fn the_length_is_the_varint_of_a_packet() {
        let mut buffer = unsigned_varint::encode::usize_buffer();
        assert_eq!(
            unsigned_varint::encode::usize(PACKET_LEN, &mut buffer),
            LENGTH
        );
    }

    #[test]
    fn packets_are_read_one_after_the_other() {
        let one = [&LENGTH[..], &[7; PACKET_LEN]].concat();
        let (packets, end) = read_all(&[one.clone(), one].concat());
        assert_eq!(packets, 2);
        end.unwrap();
    }

    #[test]
    fn other_lengths_and_broken_ends_are_refused() {
        let packet = [&LENGTH[..], &[7; PACKET_LEN]].concat();
        let varint = |n: usize| {
            let mut buffer = unsigned_varint::encode::usize_buffer();
            unsigned_varint::encode::usize(n, &mut buffer).to_vec()
        };
        let bad = [
            varint(0),
            varint(4607),
            varint(4609),
            varint(100),
            vec![0xff; 5],
            vec![0x80],
            // 4608 in more bytes than it needs.
            vec![0x80, 0xa4, 0x00],
            LENGTH.to_vec(),
            packet[..PACKET_LEN].to_vec(),
        ];
        for head in bad {
            let (packets, end) = read_all(&[packet.clone(), head.clone()].concat());
            assert_eq!(packets, 1, "{head:?}");
            assert_eq!(
                end.unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{head:?}"
            );
        }
    }
}
