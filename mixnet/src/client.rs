//! The client half of a node: when it sends, what, and along which path (spec: Loopix).
//!
//! A tick of a clock decides *that* a packet leaves; a frame that waits then takes the place of
//! cover. Every packet rests an exponential time before it is sent, replies and cover too. It is
//! built when it leaves, so that no packet takes a relay that went down while it rested.
//!
//! ```text
//! payload clock ─▶ frame, put, or cover ─┐
//! loop clock ────▶ loop                  ├─▶ rest Exp(d) ─▶ path of three relays ─▶ build ─▶ out
//! drop clock ────▶ poll, or cover        │
//! relay's clock ─▶ loop                  ┘
//! ```

mod depart;

use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::address::PeerKey;
use crate::counters::{Counters, PacketKind, Stage};
use crate::cover::Loops;
use crate::delay::{DelayQueue, exponential};
use crate::error::DropReason;
use crate::geometry::MESSAGE_LEN;
use crate::level::{Class, Levels, millis, raised};
use crate::limits::{PRESEND_QUEUE_MAX, RELAYS_NEEDED, SURBS_MAX};
use crate::mailbox;
use crate::message::LOOP_ID_LEN;
use crate::now::Now;
use crate::preset::{MIX_LOOP_RATE, Preset};
use crate::quality::{Change, Relays};
use crate::schedule::PoissonClock;
use crate::send_queue::{Departure, SendQueue};
use crate::sphinx::{
    Hop, Packet, PublicKey, ReplyKey, SealedReply, Surb, SurbId, SurbStock, make_surb,
};
use crate::topology::Topology;
use crate::watch::Watch;
use crate::window::{Window, WindowState};

/// What a clock stands for.
#[derive(Clone, Copy)]
enum Slot {
    Payload,
    Loop,
    Drop,
    MixLoop,
}

/// What rests before it is sent.
enum Held {
    Frame(Departure),
    /// A cell for a mailbox, if one is still due when it leaves; cover otherwise.
    Put,
    Cover(PacketKind),
    Loop(PacketKind),
}

/// A packet that leaves now.
pub(crate) struct Sent {
    pub(crate) to: PeerKey,
    pub(crate) kind: PacketKind,
    pub(crate) packet: Packet,
}

/// What the client needs to know of the network when it builds a packet.
pub(crate) struct Network<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) relays: &'a mut Relays,
    pub(crate) counters: &'a mut Counters,
    pub(crate) mailboxes: &'a mut mailbox::Client,
    pub(crate) watch: &'a mut Watch,
}

impl Network<'_> {
    /// A class's mean delay at each hop, as far as it is multiplied now, in milliseconds.
    fn delay_ms(&self, levels: &Levels, class: Class) -> u16 {
        raised(levels.of_class(class).delay_ms(), self.watch.factor())
    }
}

pub(crate) struct Client {
    peer: PeerKey,
    own: Hop,
    preset: Preset,
    levels: Levels,
    window: Window,
    clocks: [(Slot, PoissonClock); 4],
    hold: DelayQueue<Held>,
    /// Draws the pre-send delays, one for each tick, and nothing else.
    hold_rng: ChaCha20Rng,
    /// Draws paths, secrets and ids.
    rng: ChaCha20Rng,
    pub(crate) queue: SendQueue,
    /// Slots since a put had one.
    puts_passed_over: u8,
    surbs: SurbStock,
    /// The blocks that are with relays which we asked how much they forward.
    probes: SurbStock,
    loops: Loops,
}

impl Client {
    pub(crate) fn new(
        peer: PeerKey,
        own: Hop,
        preset: &Preset,
        levels: Levels,
        relay: bool,
        start: Instant,
        seed: [u8; 32],
    ) -> Self {
        let clock =
            |slot, rate, number| (slot, PoissonClock::new(rate, start, stream(seed, number)));
        let mix_loop_rate = if relay { MIX_LOOP_RATE } else { 0.0 };
        Self {
            peer,
            own,
            preset: *preset,
            levels,
            window: Window::new(preset, start),
            clocks: [
                clock(Slot::Payload, preset.payload_rate, STREAM_PAYLOAD),
                clock(Slot::Loop, preset.loop_rate, STREAM_LOOP),
                clock(Slot::Drop, preset.drop_rate, STREAM_DROP),
                clock(Slot::MixLoop, mix_loop_rate, STREAM_MIX_LOOP),
            ],
            hold: DelayQueue::new(PRESEND_QUEUE_MAX),
            hold_rng: stream(seed, STREAM_HOLD),
            rng: stream(seed, STREAM_PATHS),
            queue: SendQueue::default(),
            puts_passed_over: 0,
            surbs: SurbStock::new(SURBS_MAX),
            probes: SurbStock::new(PROBES_MAX),
            loops: Loops::default(),
        }
    }

    /// Loops and reply blocks end at this key from now on.
    pub(crate) fn set_key(&mut self, key: PublicKey) {
        self.own.key = key;
    }

    /// A random id for an object.
    pub(crate) fn object_id(&mut self) -> [u8; 8] {
        self.rng.next_u64().to_be_bytes()
    }

    /// Up to `count` reply blocks that end here; fewer when the stock of their keys is full.
    pub(crate) fn make_surbs(
        &mut self,
        now: Now,
        network: &Network<'_>,
        count: usize,
    ) -> Result<Vec<Surb>, TooFewRelays> {
        let named = self.make_named_surbs(now, network, count)?;
        Ok(named.into_iter().map(|(_, block)| block).collect())
    }

    /// The same, with the ids by which their replies are known.
    fn make_named_surbs(
        &mut self,
        now: Now,
        network: &Network<'_>,
        count: usize,
    ) -> Result<Vec<(SurbId, Surb)>, TooFewRelays> {
        let live = network.topology.blocks_live(now.unix_ms);
        if live.is_zero() {
            // The epoch of this network is over, and the next one is not known yet.
            return Ok(Vec::new());
        }
        let delays = [network.delay_ms(&self.levels, Class::Replies); RELAYS_NEEDED];
        let mut blocks = Vec::new();
        for _ in 0..count {
            let usable = network.relays.usable(None).count();
            let path = network.relays.pick_return(&mut self.rng, None);
            let path = path.ok_or(TooFewRelays {
                usable,
                needed: RELAYS_NEEDED,
            })?;
            let Some(path) = hops(network.topology, path, self.own) else {
                break;
            };
            let id = SurbId::generate(&mut self.rng);
            let key = ReplyKey::generate(&mut self.rng);
            let secret = self.secret();
            let Ok((block, keys)) = make_surb(&path, &delays, &secret, id, key) else {
                break;
            };
            if self.surbs.insert_for(now.mono, live, id, keys).is_err() {
                break;
            }
            blocks.push((id, block));
        }
        Ok(blocks)
    }

    /// Opens a reply.
    pub(crate) fn open_reply(
        &mut self,
        id: SurbId,
        delta: SealedReply,
    ) -> Result<Box<[u8; MESSAGE_LEN]>, DropReason> {
        self.surbs.open(id, delta)
    }

    /// Opens a relay's answer to a probe.
    pub(crate) fn open_probe(
        &mut self,
        id: SurbId,
        delta: SealedReply,
    ) -> Result<Box<[u8; MESSAGE_LEN]>, DropReason> {
        self.probes.open(id, delta)
    }

    /// Reply blocks for which a reply may still come.
    pub(crate) fn surbs_outstanding(&self) -> usize {
        self.surbs.outstanding()
    }

    /// Packets that rest before they are sent.
    pub(crate) fn held(&self) -> usize {
        self.hold.len()
    }

    /// The application came to the foreground, or left it.
    pub(crate) fn set_foreground(&mut self, now: Instant, foreground: bool) {
        self.change_window(now, |window| window.set_foreground(now, foreground));
    }

    /// The user wants the window open for so many steps.
    pub(crate) fn request_window(&mut self, now: Instant, steps: u16) {
        self.change_window(now, |window| window.request(now, steps));
    }

    /// What the window is doing.
    pub(crate) fn window(&self) -> WindowState {
        self.window.state()
    }

    /// Lets something happen to the window; the clocks of the client follow it, that of the relay does not.
    fn change_window(&mut self, now: Instant, change: impl FnOnce(&mut Window)) {
        let was_open = self.window.is_open();
        change(&mut self.window);
        if self.window.is_open() == was_open {
            return;
        }
        let share = if was_open {
            self.preset.idle_share()
        } else {
            1.0
        };
        for (slot, clock) in &mut self.clocks {
            let rate = match slot {
                Slot::Payload => self.preset.payload_rate,
                Slot::Loop => self.preset.loop_rate,
                Slot::Drop => self.preset.drop_rate,
                Slot::MixLoop => continue,
            };
            clock.set_rate(now, rate * share);
        }
    }

    /// Ticks no more; what rests is still sent.
    pub(crate) fn stop(&mut self) {
        self.clocks.iter_mut().for_each(|(_, clock)| clock.stop());
    }

    /// A loop is back.
    pub(crate) fn loop_returned(
        &mut self,
        id: &[u8; LOOP_ID_LEN],
        network: &mut Network<'_>,
    ) -> Change {
        let Some(path) = self.loops.returned(id) else {
            return Change::default();
        };
        network.counters.loops_returned += 1;
        network.relays.loop_ended(&path, true)
    }

    /// What changed because loops did not come back in time.
    pub(crate) fn pop_lost_loop(
        &mut self,
        now: Instant,
        network: &mut Network<'_>,
    ) -> Option<Change> {
        let path = self.loops.pop_lost(now)?;
        network.counters.loops_lost += 1;
        Some(network.relays.loop_ended(&path, false))
    }

    pub(crate) fn expire(&mut self, now: Instant, counters: &mut Counters) {
        counters.surbs_expired += self.surbs.expire(now) as u64;
        self.probes.expire(now);
    }

    /// Lets the clocks tick, and gives the next packet whose rest is over.
    pub(crate) fn pop_sent(&mut self, time: Now, network: &mut Network<'_>) -> Option<Sent> {
        let now = time.mono;
        self.tick(now, network);
        while let Some(held) = self.hold.pop_due(now) {
            let sent = match held {
                Held::Frame(departure) => self.depart_frame(now, departure, network),
                Held::Put => {
                    let put = network.mailboxes.put(now, network.topology);
                    put.and_then(|put| self.depart_errand(time, put, network))
                        .or_else(|| self.depart_cover(now, PacketKind::PayloadCover, network))
                }
                // A poll takes the place of drop cover and never adds to it.
                Held::Cover(PacketKind::Drop) => {
                    let poll = network.mailboxes.poll(now, network.topology);
                    poll.and_then(|poll| self.depart_errand(time, poll, network))
                        .or_else(|| self.depart_cover(now, PacketKind::Drop, network))
                }
                Held::Cover(kind) => self.depart_cover(now, kind, network),
                Held::Loop(kind) => self.depart_loop(now, kind, network),
            };
            match sent {
                Some(sent) => return Some(sent),
                None => network.counters.slots_without_path += 1,
            }
        }
        None
    }

    fn tick(&mut self, now: Instant, network: &mut Network<'_>) {
        let rest_mean = millis(raised(self.preset.delay_ms_mean, network.watch.factor()));
        let messages_leave = network.watch.lets_messages_leave();
        self.change_window(now, |window| window.advance(now));
        for (slot, clock) in &mut self.clocks {
            while clock.tick(now) {
                let held = match slot {
                    Slot::Payload
                        if messages_leave
                            && network.mailboxes.has_put(now)
                            && yields(&self.queue, &mut self.puts_passed_over) =>
                    {
                        Held::Put
                    }
                    Slot::Payload => match messages_leave.then(|| self.queue.pop()).flatten() {
                        Some(departure) => Held::Frame(departure),
                        None => Held::Cover(PacketKind::PayloadCover),
                    },
                    Slot::Drop => Held::Cover(PacketKind::Drop),
                    Slot::Loop => Held::Loop(PacketKind::Loop),
                    Slot::MixLoop => Held::Loop(PacketKind::MixLoop),
                };
                let due = now + exponential(&mut self.hold_rng, rest_mean);
                match self.hold.push(due, held) {
                    Ok(()) => {}
                    Err(Held::Frame(departure)) => self.queue.put_back(departure),
                    Err(Held::Put | Held::Cover(_) | Held::Loop(_)) => {
                        network
                            .counters
                            .count_dropped(Stage::Leaving, DropReason::QueueFull, 1);
                    }
                }
            }
        }
    }

    fn hop(&self, topology: &Topology, peer: PeerKey) -> Option<Hop> {
        if peer == self.peer {
            Some(self.own)
        } else {
            topology.hop(&peer)
        }
    }

    fn secret(&mut self) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *secret);
        secret
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let clocks = self
            .clocks
            .iter()
            .filter_map(|(_, clock)| clock.next_deadline());
        clocks
            .chain(self.window.next_deadline())
            .chain(self.hold.next_deadline())
            .chain(self.surbs.next_deadline())
            .chain(self.probes.next_deadline())
            .chain(self.loops.next_deadline())
            .min()
    }
}

/// Whether a payload slot is for a put: one of so many while frames wait, every one while none does.
fn yields(queue: &SendQueue, passed_over: &mut u8) -> bool {
    *passed_over += 1;
    let is_turn = queue.frames() == 0 || *passed_over >= PUT_SHARE;
    if is_turn {
        *passed_over = 0;
    }
    is_turn
}

/// While frames wait, one payload slot of so many is for cells for mailboxes.
const PUT_SHARE: u8 = 4;

/// Three relays and a last hop, as Sphinx wants them.
fn hops(
    topology: &Topology,
    path: [PeerKey; RELAYS_NEEDED],
    last: Hop,
) -> Option<[Hop; RELAYS_NEEDED + 1]> {
    let [first, second, third] = path.map(|peer| topology.hop(&peer));
    Some([first?, second?, third?, last])
}

/// An independent random stream of one seed.
pub(crate) fn stream(seed: [u8; 32], number: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::from_seed(seed);
    rng.set_stream(number);
    rng
}

// ---- Our bounds ----

/// Blocks that are with relays which were asked: as many relays as are asked at all, six times in the life of a block.
const PROBES_MAX: usize = 2048;

// ---- Random streams of a node: what draws from one cannot move another ----

const STREAM_PAYLOAD: u64 = 1;
const STREAM_LOOP: u64 = 2;
const STREAM_DROP: u64 = 3;
const STREAM_MIX_LOOP: u64 = 4;
const STREAM_HOLD: u64 = 5;
const STREAM_PATHS: u64 = 6;
pub(crate) const STREAM_HOP_DELAYS: u64 = 7;
pub(crate) const STREAM_MAILBOXES: u64 = 16;
pub(crate) const STREAM_ANSWERS: u64 = 17;

/// Fewer relays are usable than a path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{usable} of the {needed} relays that a path needs are usable: {} missing", needed - usable)]
pub struct TooFewRelays {
    /// Relays that are usable.
    pub usable: usize,
    /// Relays that a path needs.
    pub needed: usize,
}

#[cfg(test)]
mod tests;
