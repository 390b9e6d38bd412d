//! What becomes of packets that end at this node: frames, loops, probes, cover, and requests to its mailbox.

use std::time::Instant;

use super::{Arrival, Node, Output};
use crate::address::Address;
use crate::client::Sent;
use crate::counters::{PacketKind, Stage};
use crate::delay::exponential;
use crate::error::DropReason;
use crate::geometry::{MESSAGE_LEN, SURB_LEN};
use crate::mailbox::{Answer, Request};
use crate::message::Message;
use crate::now::Now;
use crate::sphinx::{SealedReply, Surb, SurbId};

impl Node {
    /// A packet whose last hop is this node.
    pub(super) fn exit(&mut self, now: Now, destination: &Address, message: &[u8; MESSAGE_LEN]) {
        if !destination.is_none() {
            // This node is no proxy: it delivers to itself only.
            return self.drop(DropReason::AddressRefused);
        }
        match Message::decode(message) {
            Ok(Message::Gateway(frame)) => self.frame(now, frame, Arrival::Forward),
            Ok(Message::Loop(id)) => {
                self.counters.ended += 1;
                let (client, mut network) = self.client();
                let change = client.loop_returned(&id, &mut network);
                self.loop_ended(now, change);
            }
            Ok(Message::Probe(block)) => {
                self.counters.ended += 1;
                self.counters.cover_received += 1;
                self.tell_load(now.mono, block);
            }
            Ok(Message::Drop) => {
                self.counters.ended += 1;
                self.counters.cover_received += 1;
            }
            Ok(Message::MailboxPut(_) | Message::MailboxGet(_)) if !self.serves_mailbox => {
                self.drop(DropReason::NoMailbox);
            }
            Ok(Message::MailboxPut(body)) => self.asked(Request::decode_put(body)),
            Ok(Message::MailboxGet(body)) => self.asked(Request::decode_get(body)),
            // A reply comes through a reply block or not at all.
            Ok(Message::Reply(_) | Message::Load(_)) => self.drop(DropReason::UnknownCodec),
            Err(reason) => self.drop(reason),
        }
    }

    /// What came by way of a reply block of this node.
    pub(super) fn reply_came(&mut self, now: Now, id: SurbId, delta: SealedReply) {
        let is_probe = self.watch.traffic.is_probe(&id);
        let opened = match is_probe {
            true => self.client.open_probe(id, delta),
            false => self.client.open_reply(id, delta),
        };
        let message = match opened {
            Ok(message) => message,
            Err(reason) => return self.drop(reason),
        };
        match Message::decode(&message) {
            Ok(Message::Reply(body)) if !is_probe && Answer::is_one(body) => {
                match self.mailboxes.answered(now.mono, id, body) {
                    Ok(()) => {
                        self.counters.ended += 1;
                        self.report_mailboxes();
                    }
                    Err(reason) => self.drop(reason),
                }
            }
            Ok(Message::Reply(frame)) if !is_probe => self.frame(now, frame, Arrival::Reply),
            Ok(Message::Load(rate)) if is_probe => {
                self.counters.ended += 1;
                self.watch.traffic.answered(now.mono, &id, rate);
            }
            Ok(_) => self.drop(DropReason::UnknownCodec),
            Err(reason) => self.drop(reason),
        }
    }

    /// Tells whoever asked how much this relay forwards; the answer rests like every packet of our own.
    fn tell_load(&mut self, now: Instant, block: &[u8; SURB_LEN]) {
        let told = self.watch.traffic.told(now).filter(|_| self.relay);
        let (Some(told), Ok(block)) = (told, Surb::from_bytes(block)) else {
            return;
        };
        let Some(message) = Message::Load(told).encode() else {
            return;
        };
        let (packet, first) = block.seal(&message);
        let Some(to) = first.peer().filter(|to| *to != self.peer) else {
            return;
        };
        let kind = PacketKind::Load;
        let rest = exponential(&mut self.hop_delays, self.delay_mean);
        // Whoever asks so often that the queue is full has to ask again.
        let _ = self.loads.push(now + rest, Sent { to, kind, packet });
    }

    fn frame(&mut self, now: Now, frame: &[u8], arrival: Arrival) {
        self.counters.ended += 1;
        self.counters.frames_received += 1;
        let reassembler = match arrival {
            Arrival::Forward => &mut self.forward,
            Arrival::Reply => &mut self.reply,
        };
        match reassembler.handle(now, frame) {
            Ok(None) => {}
            Ok(Some(object)) => {
                self.counters.objects_delivered += 1;
                self.outputs.push_back(Output::Deliver { object, arrival });
            }
            Err(error) => self
                .counters
                .count_dropped(Stage::Object, error.reason(), 1),
        }
    }
}
