//! What a packet is when its rest is over: a frame, cover, or a loop, built for a path that is good now.

use std::time::Instant;

use rand_core::Rng;

use super::{Client, Network, Sent, hops};
use crate::address::{Address, PeerKey};
use crate::counters::{PacketKind, Stage};
use crate::error::DropReason;
use crate::geometry::{MESSAGE_LEN, SURB_LEN};
use crate::level::{Class, millis};
use crate::limits::RELAYS_NEEDED;
use crate::mailbox::client::Errand;
use crate::message::{LOOP_ID_LEN, Message};
use crate::now::Now;
use crate::quality::below;
use crate::send_queue::{Departure, Route};
use crate::sphinx::{Hop, ReplyKey, SurbId, build, make_surb};

/// Three relays.
type Path = [PeerKey; RELAYS_NEEDED];

/// The way of one packet.
struct Way {
    path: Path,
    last: Hop,
    delay_ms: u16,
}

/// Where a path around a relay leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// To that relay.
    To,
    /// From that relay back to this node.
    From,
}

impl Client {
    /// A frame, or cover in its place if the service that it is for has left the network. While the network of the epoch is not
    /// known, and while too few relays are usable, it waits for a later slot.
    pub(super) fn depart_frame(
        &mut self,
        now: Instant,
        departure: Departure,
        network: &mut Network<'_>,
    ) -> Option<Sent> {
        let Departure {
            route,
            frame,
            class,
            first,
        } = departure;
        let to = match route {
            Route::Forward(to) => to,
            Route::Reply(block) => {
                let message = Message::Reply(&frame).encode()?;
                let (packet, first) = block.seal(&message);
                return Some(Sent {
                    to: first.peer()?,
                    kind: PacketKind::Reply,
                    packet,
                });
            }
        };
        let is_gone = !network.topology.is_empty() && network.topology.get(&to).is_none();
        if is_gone && to != self.peer {
            let counters = &mut network.counters;
            counters.count_dropped(Stage::Leaving, DropReason::ServiceGone, 1);
            return self.depart_cover(now, PacketKind::PayloadCover, network);
        }
        let message = Message::Gateway(&frame).encode()?;
        let path = network
            .relays
            .pick_apart(&mut self.rng, Some(to), first.as_deref());
        let last = self.hop(network.topology, to);
        let delay_ms = network.delay_ms(&self.levels, class);
        let sent = path.zip(last).and_then(|(path, last)| {
            let way = Way {
                path,
                last,
                delay_ms,
            };
            let sent = self.forward(PacketKind::Payload, way, &message, network)?;
            Some((path, sent))
        });
        let again = |first| Departure {
            route: Route::Forward(to),
            frame,
            class,
            first,
        };
        let Some((path, sent)) = sent else {
            // Too few relays: the frame waits for the next slot.
            self.queue.put_back(again(first));
            return None;
        };
        // Against losses only while no other frame waits for the slot: it takes the place of cover.
        let spare = class != Class::Background && self.queue.frames() == 0;
        let copies =
            self.levels.of_class(class).copies() > 1 || spare && network.watch.adds_copies();
        if first.is_none() && copies {
            self.queue.push_copy(again(Some(Box::new(path))));
        }
        Some(sent)
    }

    /// Cover that ends at a random node, or here when the network is too small for a path to one. Some of the drop clock asks the
    /// relay at which it ends how much that forwards.
    pub(super) fn depart_cover(
        &mut self,
        now: Instant,
        kind: PacketKind,
        network: &mut Network<'_>,
    ) -> Option<Sent> {
        let delay_ms = self.cover_delay_ms(network);
        let relays: Vec<_> = network.relays.usable(None).collect();
        let services = network
            .topology
            .iter()
            .filter(|descriptor| !descriptor.capabilities().relay)
            .map(|descriptor| descriptor.peer())
            .filter(|peer| *peer != self.peer);
        let ends: Vec<_> = services.chain(relays.iter().copied()).collect();
        let end = (!ends.is_empty()).then(|| ends[below(&mut self.rng, ends.len())]);
        let asked = end.filter(|end| {
            kind == PacketKind::Drop
                && relays.contains(end)
                && network.watch.traffic.wants(now, *end)
        });
        let path = match (asked, end) {
            (Some(relay), _) => self.path_around(relay, network, Around::To),
            (None, Some(end)) => network.relays.pick(&mut self.rng, Some(end)),
            (None, None) => None,
        };
        let last = end.and_then(|end| self.hop(network.topology, end));
        let (path, last, block) = match path.zip(last) {
            Some((path, last)) => {
                let block = asked.and_then(|relay| self.probe(now, relay, delay_ms, network));
                (path, last, block)
            }
            None => {
                let path = network.relays.pick_return(&mut self.rng, None)?;
                (path, self.own, None)
            }
        };
        let message = match &block {
            Some(block) => Message::Probe(block).encode()?,
            None => Message::Drop.encode()?,
        };
        let way = Way {
            path,
            last,
            delay_ms,
        };
        self.forward(kind, way, &message, network)
    }

    /// A reply block for the answer of this relay.
    fn probe(
        &mut self,
        now: Instant,
        relay: PeerKey,
        delay_ms: u16,
        network: &mut Network<'_>,
    ) -> Option<[u8; SURB_LEN]> {
        let path = self.path_around(relay, network, Around::From)?;
        let path = hops(network.topology, path, self.own)?;
        let id = SurbId::generate(&mut self.rng);
        let key = ReplyKey::generate(&mut self.rng);
        let secret = self.secret();
        let delays = [delay_ms; RELAYS_NEEDED];
        let (block, keys) = make_surb(&path, &delays, &secret, id, key).ok()?;
        self.probes.insert(now, id, keys).ok()?;
        network.watch.traffic.asked(now, id, relay);
        Some(block.to_bytes())
    }

    /// A path that does not take `relay`; where the network is too small for one, a path that does not have it where it would be
    /// next to itself.
    fn path_around(
        &mut self,
        relay: PeerKey,
        network: &Network<'_>,
        around: Around,
    ) -> Option<Path> {
        let mut pick = |except| match around {
            Around::To => network.relays.pick(&mut self.rng, except),
            Around::From => network.relays.pick_return(&mut self.rng, except),
        };
        pick(Some(relay)).or_else(|| {
            let mut path = pick(None)?;
            let place = match around {
                Around::To => RELAYS_NEEDED - 1,
                Around::From => 0,
            };
            if path[place] == relay {
                path.swap(place, 1);
            }
            Some(path)
        })
    }

    /// A question to a mailbox, or a cell for it; it is counted as sent only if it leaves.
    pub(super) fn depart_errand(
        &mut self,
        now: Now,
        errand: Errand,
        network: &mut Network<'_>,
    ) -> Option<Sent> {
        let to = errand.to;
        let path = network.relays.pick(&mut self.rng, Some(to))?;
        let last = self.hop(network.topology, to)?;
        let way = Way {
            path,
            last,
            delay_ms: self.cover_delay_ms(network),
        };
        let named = self.make_named_surbs(now, network, errand.blocks()).ok()?;
        let (ids, blocks): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        let body = errand.encode(&blocks)?;
        let (message, kind) = if errand.is_poll() {
            (Message::MailboxGet(&body), PacketKind::Poll)
        } else {
            (Message::MailboxPut(&body), PacketKind::Put)
        };
        let sent = self.forward(kind, way, &*message.encode()?, network)?;
        network.mailboxes.departed(now.mono, errand, &ids);
        Some(sent)
    }

    pub(super) fn depart_loop(
        &mut self,
        now: Instant,
        kind: PacketKind,
        network: &mut Network<'_>,
    ) -> Option<Sent> {
        let delay_ms = self.cover_delay_ms(network);
        let path = network.relays.pick_loop(&mut self.rng)?;
        let mut id = [0; LOOP_ID_LEN];
        self.rng.fill_bytes(&mut id);
        let message = Message::Loop(id).encode()?;
        let way = Way {
            path,
            last: self.own,
            delay_ms,
        };
        let sent = self.forward(kind, way, &message, network)?;
        let path = network.relays.depart(now, path);
        self.loops.depart(now, millis(delay_ms), id, path);
        Some(sent)
    }

    /// The delay of cover and loops: that of each class of messages, by chance, so that no delay marks a message.
    fn cover_delay_ms(&mut self, network: &Network<'_>) -> u16 {
        let classes = [Class::Interactive, Class::Bulk, Class::Background];
        let class = classes[below(&mut self.rng, classes.len())];
        network.delay_ms(&self.levels, class)
    }

    fn forward(
        &mut self,
        kind: PacketKind,
        way: Way,
        message: &[u8; MESSAGE_LEN],
        network: &Network<'_>,
    ) -> Option<Sent> {
        let to = way.path[0];
        let path = hops(network.topology, way.path, way.last)?;
        let delays = [way.delay_ms; RELAYS_NEEDED];
        let secret = self.secret();
        match build(&path, &delays, &secret, message, &Address::NONE) {
            Ok((packet, _)) => Some(Sent { to, kind, packet }),
            Err(error) => {
                // Keys and addresses were checked when the network was read.
                tracing::error!(%error, "a packet could not be built");
                None
            }
        }
    }
}
