//! A node of the mix network: relay and client in one, without network, clock or randomness of
//! its own.
//!
//! ```text
//! batch of an intake ─┬─ forward ─▶ delay Exp(mean of the packet) ─▶ tag on disk ─▶ next hop
//!                     ├─ exit ────▶ tag written ─▶ cover, loop, or frame ─▶ object
//!                     └─ reply ───▶ tag written ─▶ reply keys ─▶ frame ─▶ object
//! objects to send, clocks ─▶ client ─▶ next hop
//! ```
//!
//! What neighbours send comes by way of an [`crate::intake::Intake`], which peels it. The owner calls [`Node::handle`] with what happened and the time, drains [`Node::poll_output`],
//! and calls again no later than [`Node::next_deadline`].

mod ends;
mod mailbox;
mod network;
mod port;
mod unsaved;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;

pub use self::port::{Arrival, ClockOff, Input, NodeConfig, NodeStatus, Output, SendError};
use self::unsaved::{Saved, Unsaved};
use crate::address::{Address, PeerKey};
use crate::client::{
    Client, Network, STREAM_ANSWERS, STREAM_HOP_DELAYS, STREAM_MAILBOXES, Sent, TooFewRelays,
    stream,
};
use crate::counters::{Counters, PacketKind, Stage};
use crate::delay::{DelayQueue, exponential};
use crate::error::DropReason;
use crate::fragment::{Object, Reassembler, frames_for};
use crate::histogram::Histogram;
use crate::intake::Batch;
use crate::level::POOL_MIN;
use crate::limits::{DELAY_MAX, DELAY_QUEUE_MAX, PRESEND_QUEUE_MAX, RELAYS_NEEDED};
use crate::mailbox::Client as MailboxClient;
use crate::now::Now;
use crate::quality::{Change, Relays};
use crate::send_queue::Urgency;
use crate::sphinx::{Delivered, Hop, Packet, Peeled, SealedReply, Surb, SurbId};
use crate::topology::{Topology, nowhere};
use crate::watch::Watch;
use crate::window::WindowState;

/// A packet that waits out its delay.
struct Delayed {
    to: PeerKey,
    kind: PacketKind,
    packet: Packet,
    /// The mark up to which the disk must be written before it leaves.
    mark: u64,
}

impl Delayed {
    fn sent(self) -> Sent {
        Sent {
            to: self.to,
            kind: self.kind,
            packet: self.packet,
        }
    }
}

/// A packet that waits for its tag to be kept: its delay is over, or it ends here.
enum Waiting {
    Leaves(Delayed),
    Exit(Address, Delivered),
    Reply(SurbId, SealedReply),
}

/// A node of the mix network.
pub struct Node {
    peer: PeerKey,
    relay: bool,
    has_payload_clock: bool,
    topology: Topology,
    relays: Relays,
    /// Peers to which a connection stands.
    neighbours: BTreeSet<PeerKey>,
    clock_off: Option<ClockOff>,
    /// Whom the last network named that was not empty: while the directory has none, what is for them waits.
    named: BTreeSet<PeerKey>,
    delayed: DelayQueue<Delayed>,
    unsaved: Unsaved<Waiting>,
    replay_tags: usize,
    processing: Histogram,
    hop_delays: ChaCha20Rng,
    client: Client,
    /// Mailboxes of others.
    mailboxes: MailboxClient,
    /// Whether this node is a mailbox.
    serves_mailbox: bool,
    /// How long answers of its mailbox rest, and what draws that.
    answers: (Duration, ChaCha20Rng),
    answers_held: usize,
    watch: Watch,
    /// What this relay tells about its traffic, at rest before it is sent.
    loads: DelayQueue<Sent>,
    /// What it sends per second in the window.
    packet_rate: f64,
    /// How long its own packets rest, on average.
    delay_mean: Duration,
    forward: Reassembler,
    reply: Reassembler,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node that starts now.
    pub fn new(config: NodeConfig, now: Now) -> Self {
        let NodeConfig {
            key,
            peer,
            address,
            relay,
            kept_max,
            preset,
            protection,
            topology,
            seed,
        } = config;
        let address = if address.is_none() {
            nowhere(peer)
        } else {
            address
        };
        let own = Hop { key, address };
        let relays = Relays::new(&topology, peer, kept_max);
        let mut node = Self {
            peer,
            relay,
            has_payload_clock: preset.payload_rate > 0.0,
            relays,
            neighbours: BTreeSet::new(),
            clock_off: None,
            named: topology.iter().map(|node| node.peer()).collect(),
            delayed: DelayQueue::new(DELAY_QUEUE_MAX),
            unsaved: Unsaved::new(),
            replay_tags: 0,
            processing: Histogram::default(),
            hop_delays: stream(seed, STREAM_HOP_DELAYS),
            mailboxes: MailboxClient::new(preset.delay_mean(), stream(seed, STREAM_MAILBOXES)),
            serves_mailbox: false,
            answers: (preset.delay_mean(), stream(seed, STREAM_ANSWERS)),
            answers_held: 0,
            client: Client::new(peer, own, &preset, protection.levels, relay, now.mono, seed),
            watch: Watch::new(protection, now.mono),
            loads: DelayQueue::new(PRESEND_QUEUE_MAX),
            packet_rate: preset.packet_rate(),
            delay_mean: preset.delay_mean(),
            forward: Reassembler::default(),
            reply: Reassembler::default(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            topology,
        };
        node.report(Change {
            usable: true,
            ..Change::default()
        });
        node
    }

    /// Takes in what happened, and does what is due by `now`.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Peeled(batch) => self.batch(now, batch),
            Input::Written(mark) => self.saved(now, Saved::Written(mark)),
            Input::Durable(mark) => self.saved(now, Saved::Durable(mark)),
            Input::Key(key) => self.client.set_key(key),
            Input::NeighbourUp(peer) => {
                self.neighbours.insert(peer);
                let change = self.relays.up(peer);
                self.report(change);
            }
            Input::NeighbourDown(peer) => {
                self.neighbours.remove(&peer);
                let change = self.relays.lost(peer);
                self.report(change);
            }
            Input::Unreachable(peer) => {
                let change = self.relays.unreachable(peer);
                self.report(change);
            }
            Input::Topology(topology) => self.set_topology(topology),
            Input::ClockOff(off) => self.clock_off = off,
            Input::Foreground(foreground) => self.client.set_foreground(now.mono, foreground),
            Input::Window { steps } => self.client.request_window(now.mono, steps),
            Input::Tick => {}
        }
        self.advance(now);
    }

    /// Queues `object` for the service `to`. Its frames leave in payload slots; while fewer than
    /// three relays are usable they wait.
    pub fn send(&mut self, to: PeerKey, object: Object) -> Result<(), SendError> {
        self.send_with(to, object, Urgency::Prompt)
    }

    /// Queues `object` for the service `to`, behind what somebody waits for if it is background.
    pub fn send_with(
        &mut self,
        to: PeerKey,
        object: Object,
        urgency: Urgency,
    ) -> Result<(), SendError> {
        self.check_sending()?;
        if self.watch.refuses_copies() {
            return Err(SendError::CopiesShareRelays {
                usable: self.relays.usable(None).count(),
                needed: 2 * RELAYS_NEEDED,
            });
        }
        let waits = self.topology.is_empty() && self.named.contains(&to);
        if to != self.peer && self.topology.get(&to).is_none() && !waits {
            return Err(SendError::UnknownService(to));
        }
        let id = self.client.object_id();
        Ok(self.client.queue.push_forward(to, object, id, urgency)?)
    }

    /// Queues `object` for the maker of `blocks`, one block for each frame.
    pub fn reply(&mut self, blocks: Vec<Surb>, object: Object) -> Result<(), SendError> {
        self.check_sending()?;
        let needed = frames_for(object.bytes.len());
        if blocks.len() != needed {
            return Err(SendError::BlockCount {
                given: blocks.len(),
                needed,
            });
        }
        let id = self.client.object_id();
        Ok(self.client.queue.push_reply(blocks, object, id)?)
    }

    fn check_sending(&self) -> Result<(), SendError> {
        if let Some(off) = self.clock_off {
            return Err(SendError::ClockOff(off));
        }
        if !self.has_payload_clock {
            return Err(SendError::NoPayloadClock);
        }
        if self.watch.is_refusing() {
            return Err(SendError::AnonymityTooLow {
                pool: self.watch.pool() as u32,
                needed: POOL_MIN as u32,
            });
        }
        if !self.has_room() {
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// Whether [`Node::send`] and [`Node::reply`] take another object.
    pub fn has_room(&self) -> bool {
        self.client.queue.has_room()
    }

    /// Up to `count` reply blocks that end here; fewer when their keys find no room.
    pub fn make_surbs(&mut self, now: Now, count: usize) -> Result<Vec<Surb>, TooFewRelays> {
        let (client, network) = self.client();
        client.make_surbs(now, &network, count)
    }

    /// Reply blocks for which a reply may still come.
    pub fn surbs_outstanding(&self) -> usize {
        self.client.surbs_outstanding()
    }

    /// The next thing to do. Drain it after every call of [`Node::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Node::handle`] has something to do, whatever else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.delayed
            .next_deadline()
            .into_iter()
            .chain(self.unsaved.next_deadline())
            .chain(self.client.next_deadline())
            .chain(self.watch.next_deadline())
            .chain(self.loads.next_deadline())
            .chain(self.forward.next_deadline())
            .chain(self.reply.next_deadline())
            .min()
    }

    /// Sends nothing new; what rests here still leaves.
    pub fn stop(&mut self) {
        self.client.stop();
        self.watch.stop();
    }

    /// Whether a stopped node has nothing left to send.
    pub fn is_drained(&self) -> bool {
        self.packets_delayed() == 0 && self.client.held() == 0 && self.outputs.is_empty()
    }

    /// Whether it sends at its full rate.
    pub fn window(&self) -> WindowState {
        self.client.window()
    }

    /// A snapshot.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            usable_relays: self.relays.usable(None).count(),
            known_relays: self.relays.known(),
            needed: RELAYS_NEEDED,
            frames_queued: self.client.queue.frames(),
            packets_held: self.client.held(),
            packets_delayed: self.packets_delayed() - self.answers_held,
            objects_open: self.forward.open() + self.reply.open(),
            surbs_outstanding: self.client.surbs_outstanding(),
            replay_tags: self.replay_tags,
            chains_watched: self.mailboxes.watched(),
            objects_leaving: self.mailboxes.leaving(),
            mailboxes: self.mailboxes.counters(),
            processing: self.processing.clone(),
            window: self.window(),
            watch: self.watch.status(),
            loops: self.relays.loop_status(),
            counters: self.counters.clone(),
        }
    }

    fn packets_delayed(&self) -> usize {
        self.delayed.len() + self.unsaved.len()
    }

    fn batch(&mut self, now: Now, batch: Batch) {
        self.counters.received += batch.len() as u64;
        self.replay_tags = batch.replay_tags;
        for reason in batch.dropped {
            self.drop(reason);
        }
        for (at, peeled) in batch.peeled {
            match peeled {
                Peeled::Forward {
                    next,
                    delay_ms_mean,
                    packet,
                } => self.hold(at, &next, delay_ms_mean, packet, batch.mark),
                Peeled::Exit {
                    destination,
                    message,
                } => self.end(now, Waiting::Exit(destination, message), batch.mark),
                Peeled::Reply { id, delta } => {
                    self.end(now, Waiting::Reply(id, delta), batch.mark);
                }
            }
            self.processing
                .record(now.mono.saturating_duration_since(at));
        }
    }

    /// A packet ends here as soon as its tag is written.
    fn end(&mut self, now: Now, ends: Waiting, mark: u64) {
        if self.packets_delayed() >= DELAY_QUEUE_MAX {
            return self.drop(DropReason::QueueFull);
        }
        if let Some(free) = self.unsaved.admit(now.mono, Saved::Written(mark), ends) {
            self.free(now, free);
        }
    }

    /// Holds a packet for the next hop; its delay runs from its arrival. Only its peer key counts: whom we know or who is
    /// connected is reached, the address that a stranger wrote is never dialled.
    fn hold(
        &mut self,
        arrived: Instant,
        next: &Address,
        delay_ms_mean: u16,
        packet: Packet,
        mark: u64,
    ) {
        if !self.relay {
            return self.drop(DropReason::NotRelaying);
        }
        let Some(to) = next.peer().filter(|to| *to != self.peer) else {
            return self.drop(DropReason::AddressRefused);
        };
        self.watch.traffic.forwarded(arrived);
        let mean = Duration::from_millis(delay_ms_mean.into());
        let mut delay = exponential(&mut self.hop_delays, mean);
        if delay > DELAY_MAX {
            delay = DELAY_MAX;
            self.drop(DropReason::DelayCapped);
        }
        let delayed = Delayed {
            to,
            kind: PacketKind::Forward,
            packet,
            mark,
        };
        let full = self.packets_delayed() >= DELAY_QUEUE_MAX;
        if full || self.delayed.push(arrived + delay, delayed).is_err() {
            self.drop(DropReason::QueueFull);
        }
    }

    /// Lets go what waited for this.
    fn saved(&mut self, now: Now, saved: Saved) {
        for free in self.unsaved.saved(saved) {
            self.free(now, free);
        }
    }

    /// A restart would know this packet again: it does what it is for.
    fn free(&mut self, now: Now, free: Waiting) {
        match free {
            Waiting::Leaves(delayed) => self.transmit(delayed.sent()),
            Waiting::Exit(destination, message) => self.exit(now, &destination, &message),
            Waiting::Reply(id, delta) => self.reply_came(now, id, delta),
        }
    }

    /// The client, and what it sees and changes of its node.
    fn client(&mut self) -> (&mut Client, Network<'_>) {
        let network = Network {
            topology: &self.topology,
            relays: &mut self.relays,
            counters: &mut self.counters,
            mailboxes: &mut self.mailboxes,
            watch: &mut self.watch,
        };
        (&mut self.client, network)
    }

    /// Does what is due.
    fn advance(&mut self, now: Now) {
        self.look(now.mono);
        while let Some(load) = self.loads.pop_due(now.mono) {
            self.transmit(load);
        }
        while let Some(delayed) = self.delayed.pop_due(now.mono) {
            self.answers_held -= usize::from(delayed.kind == PacketKind::Answer);
            let needs = Saved::Durable(delayed.mark);
            let waiting = Waiting::Leaves(delayed);
            if let Some(free) = self.unsaved.admit(now.mono, needs, waiting) {
                self.free(now, free);
            }
        }
        while self.unsaved.pop_late(now.mono).is_some() {
            self.drop(DropReason::ReplayUnsaved);
        }
        let (client, mut network) = self.client();
        let mut changes = Vec::new();
        while let Some(change) = client.pop_lost_loop(now.mono, &mut network) {
            changes.push(change);
        }
        let mut sent = Vec::new();
        while let Some(packet) = client.pop_sent(now, &mut network) {
            sent.push(packet);
        }
        client.expire(now.mono, network.counters);
        self.report_mailboxes();
        changes
            .into_iter()
            .for_each(|change| self.loop_ended(now, change));
        sent.into_iter().for_each(|sent| self.transmit(sent));
        for reassembler in [&mut self.forward, &mut self.reply] {
            let (late, evicted) = (reassembler.expire(now), reassembler.take_evicted());
            for (reason, number) in [
                (DropReason::FrameTimeout, late),
                (DropReason::FrameEvicted, evicted),
            ] {
                self.counters
                    .count_dropped(Stage::Object, reason, number as u64);
            }
        }
    }

    fn transmit(&mut self, sent: Sent) {
        let Sent { to, kind, packet } = sent;
        self.counters.count_sent(kind);
        self.outputs
            .push_back(Output::Transmit { to, kind, packet });
    }

    fn report(&mut self, change: Change) {
        if change.usable {
            let usable = self.relays.usable(None).count();
            self.outputs.push_back(Output::Relays {
                usable,
                needed: RELAYS_NEEDED,
            });
        }
        if change.stale {
            self.outputs.push_back(Output::SurbsStale);
        }
    }

    /// Drops a packet that came.
    fn drop(&mut self, reason: DropReason) {
        self.counters.count_dropped(Stage::Packet, reason, 1);
    }
}

#[cfg(test)]
mod tests;
