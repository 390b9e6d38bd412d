//! The node and mailboxes: its own, if it is one, and those of others.

use super::{Delayed, Node, Output};
use crate::counters::{PacketKind, Stage};
use crate::delay::exponential;
use crate::error::DropReason;
use crate::limits::{ANSWERS_HELD_MAX, DELAY_QUEUE_MAX};
use crate::mailbox::client::TooMany;
use crate::mailbox::{Answer, ChainKey, Label, LeaveError, Request, RequestError};
use crate::message::Message;
use crate::now::Now;
use crate::sphinx::Surb;

impl Node {
    /// From now on this node is a mailbox, or is none: requests come as [`Output::Serve`].
    pub fn serve_mailbox(&mut self, serves: bool) {
        self.serves_mailbox = serves;
    }

    /// Answers of this node's mailbox. They leave like packets of others, each after a rest of its own: many ask, and what a clock of
    /// our own would add is what the mean delay gives already.
    pub fn answer(&mut self, now: Now, answers: Vec<(Surb, Answer)>) {
        for (block, answer) in answers {
            let Some(message) = Message::Reply(&answer.encode()).encode() else {
                continue;
            };
            if self.answers_held >= ANSWERS_HELD_MAX || self.packets_delayed() >= DELAY_QUEUE_MAX {
                self.answer_dropped(DropReason::QueueFull);
                continue;
            }
            let (packet, first) = block.seal(&message);
            let Some(to) = first.peer().filter(|to| *to != self.peer) else {
                self.answer_dropped(DropReason::AddressRefused);
                continue;
            };
            let (mean, rng) = &mut self.answers;
            let due = now.mono + exponential(rng, *mean);
            let delayed = Delayed {
                to,
                kind: PacketKind::Answer,
                packet,
                mark: 0,
            };
            if self.delayed.push(due, delayed).is_ok() {
                self.answers_held += 1;
            }
        }
    }

    /// Looks into the boxes of a chain from this index on, in the slots of the drop clock.
    pub fn watch(&mut self, label: Label, key: ChainKey, next: u64) -> Result<(), TooMany> {
        self.mailboxes.watch(label, key, next)
    }

    /// Looks into the boxes of a chain no more.
    pub fn unwatch(&mut self, label: &Label) {
        self.mailboxes.unwatch(label);
    }

    /// Leaves an object in mailboxes, in the boxes of a chain from this index on.
    pub fn leave(
        &mut self,
        now: Now,
        label: Label,
        key: ChainKey,
        first: u64,
        object: Vec<u8>,
    ) -> Result<(), LeaveError> {
        if !self.has_payload_clock {
            return Err(LeaveError::NoPayloadClock);
        }
        self.mailboxes.leave(now.mono, label, key, first, object)
    }

    /// Leaves no more of a chain.
    pub fn forget(&mut self, label: &Label) {
        self.mailboxes.forget(label);
    }

    /// Somebody asks this node's mailbox.
    pub(super) fn asked(&mut self, request: Result<Request, RequestError>) {
        match request {
            Ok(request) => {
                self.counters.ended += 1;
                self.outputs.push_back(Output::Serve(request));
            }
            Err(_) => self.drop(DropReason::MailboxMalformed),
        }
    }

    fn answer_dropped(&mut self, reason: DropReason) {
        self.counters.count_dropped(Stage::Leaving, reason, 1);
    }

    /// Hands on what the client of mailboxes has to say.
    pub(super) fn report_mailboxes(&mut self) {
        while let Some(event) = self.mailboxes.poll_event() {
            self.outputs.push_back(Output::Mailbox(event));
        }
    }
}
