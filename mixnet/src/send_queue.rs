//! Frames that wait for a payload slot.
//!
//! One slot sends one frame. Objects of a few frames (a chat message, an acknowledgement) and long
//! ones wait in lanes of their own, each first come first served: while both wait, one slot of
//! three is for the short ones, so that a long object neither blocks a conversation nor runs into
//! the receiver's time limit for it. What its sender calls background (a stock of reply blocks) waits
//! in a third lane and gets the slots that the others leave, and one of four while they leave none.

use std::collections::VecDeque;

use crate::address::PeerKey;
use crate::fragment::{Frames, Object, Oversize, frames_for, split};
use crate::level::Class;
use crate::limits::{RELAYS_NEEDED, SEND_QUEUE_FRAMES_MAX, SEND_QUEUE_OBJECTS_MAX};
use crate::sphinx::Surb;

// ---- Our constants ----

/// Frames of an object that still counts as short.
const SHORT_FRAMES_MAX: usize = 8;

/// While both lanes wait, one slot of so many is for the short lane.
const SHORT_LANE_SHARE: u8 = 3;

/// While anything else waits, one slot of so many is for the background lane.
const BACKGROUND_SHARE: u8 = 4;

/// How soon an object is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it.
    Prompt,
    /// It prepares for later.
    Background,
}

/// Where one frame goes.
pub(crate) enum Route {
    /// Along a path of our own to this service.
    Forward(PeerKey),
    /// Back along the path of a reply block.
    Reply(Surb),
}

/// One frame on its way out.
pub(crate) struct Departure {
    pub(crate) route: Route,
    pub(crate) frame: Vec<u8>,
    pub(crate) class: Class,
    /// For a second copy: the path of the first one.
    pub(crate) first: Option<Box<[PeerKey; RELAYS_NEEDED]>>,
}

/// Where the frames of one object go.
enum Routes {
    Forward(PeerKey),
    /// One block for each frame.
    Replies(VecDeque<Surb>),
}

struct Sending {
    routes: Routes,
    frames: Frames,
    class: Class,
}

impl Sending {
    fn next(&mut self) -> Option<Departure> {
        let frame = self.frames.next()?;
        let route = match &mut self.routes {
            Routes::Forward(to) => Route::Forward(*to),
            Routes::Replies(blocks) => Route::Reply(blocks.pop_front()?),
        };
        Some(Departure {
            route,
            frame,
            class: self.class,
            first: None,
        })
    }
}

/// The queue of a client.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// Frames that were taken and could not leave.
    returned: VecDeque<Departure>,
    /// Second copies of frames that have left.
    copies: VecDeque<Departure>,
    short: VecDeque<Sending>,
    long: VecDeque<Sending>,
    background: VecDeque<Sending>,
    turn: u8,
    /// Slots since the background lane had one.
    passed_over: u8,
    frames: usize,
}

impl SendQueue {
    /// Whether another object may be pushed. The last one may be longer than the room.
    pub(crate) fn has_room(&self) -> bool {
        let objects = self.short.len() + self.long.len() + self.background.len();
        self.frames < SEND_QUEUE_FRAMES_MAX && objects < SEND_QUEUE_OBJECTS_MAX
    }

    /// Frames that wait.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Queues the frames of `object` along paths of our own.
    pub(crate) fn push_forward(
        &mut self,
        to: PeerKey,
        object: Object,
        object_id: [u8; 8],
        urgency: Urgency,
    ) -> Result<(), Oversize> {
        let frames = split(object, object_id)?;
        let routes = Routes::Forward(to);
        self.push(routes, frames, urgency);
        Ok(())
    }

    /// Queues the frames of `object`, one for each of `blocks`; the caller has compared them.
    pub(crate) fn push_reply(
        &mut self,
        blocks: Vec<Surb>,
        object: Object,
        object_id: [u8; 8],
    ) -> Result<(), Oversize> {
        debug_assert_eq!(blocks.len(), frames_for(object.bytes.len()));
        let frames = split(object, object_id)?;
        let routes = Routes::Replies(blocks.into());
        self.push(routes, frames, Urgency::Prompt);
        Ok(())
    }

    fn push(&mut self, routes: Routes, frames: Frames, urgency: Urgency) {
        self.frames += frames.len();
        let class = class_of(urgency, frames.len());
        let lane = match class {
            Class::Background => &mut self.background,
            Class::Interactive | Class::Replies => &mut self.short,
            Class::Bulk => &mut self.long,
        };
        lane.push_back(Sending {
            routes,
            frames,
            class,
        });
    }

    /// Takes the frame for a slot.
    pub(crate) fn pop(&mut self) -> Option<Departure> {
        let early = self.returned.pop_front();
        let early = early.or_else(|| self.copies.pop_front());
        let departure = early.or_else(|| self.pop_lane())?;
        self.frames -= 1;
        Some(departure)
    }

    fn pop_lane(&mut self) -> Option<Departure> {
        let is_prompt = !self.short.is_empty() || !self.long.is_empty();
        self.passed_over += u8::from(!self.background.is_empty());
        if !is_prompt || self.passed_over >= BACKGROUND_SHARE {
            self.passed_over = 0;
            return Self::depart(&mut self.background);
        }
        let both = !self.short.is_empty() && !self.long.is_empty();
        if both {
            self.turn = (self.turn + 1) % SHORT_LANE_SHARE;
        }
        let short = if both {
            self.turn == 0
        } else {
            self.long.is_empty()
        };
        let lane = if short {
            &mut self.short
        } else {
            &mut self.long
        };
        Self::depart(lane)
    }

    fn depart(lane: &mut VecDeque<Sending>) -> Option<Departure> {
        let sending = lane.front_mut()?;
        let departure = sending.next();
        if sending.frames.len() == 0 {
            lane.pop_front();
        }
        departure
    }

    /// Queues the second copy of a frame that has left; it takes the next slot.
    pub(crate) fn push_copy(&mut self, copy: Departure) {
        self.frames += 1;
        self.copies.push_back(copy);
    }

    /// Takes back a frame that could not leave; it is the next one to go.
    pub(crate) fn put_back(&mut self, departure: Departure) {
        self.frames += 1;
        self.returned.push_front(departure);
    }
}

/// What an object of so many frames is.
pub(crate) fn class_of(urgency: Urgency, frames: usize) -> Class {
    match urgency {
        Urgency::Background => Class::Background,
        Urgency::Prompt if frames <= SHORT_FRAMES_MAX => Class::Interactive,
        Urgency::Prompt => Class::Bulk,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::descriptor::tests::peer_key;
    use crate::fragment::FRAME_FRAGMENT_MAX;

    fn object(kind: u8, frames: usize) -> Object {
        Object {
            kind,
            tag: [kind; 16],
            bytes: vec![1; FRAME_FRAGMENT_MAX * frames],
        }
    }

    /// The kinds of the frames in the order in which they leave.
    fn kinds(queue: &mut SendQueue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop())
            .map(|departure| departure.frame[1])
            .collect()
    }

    #[test]
    fn frames_leave_in_order_and_are_counted() {
        let mut queue = SendQueue::default();
        queue
            .push_forward(peer_key(1), object(1, 2), [1; 8], Urgency::Prompt)
            .unwrap();
        queue
            .push_forward(peer_key(1), object(2, 1), [2; 8], Urgency::Prompt)
            .unwrap();
        assert_eq!(queue.frames(), 3);
        assert_eq!(kinds(&mut queue), [1, 1, 2]);
        assert_eq!(queue.frames(), 0);
        assert!(queue.pop().is_none());
    }

    #[test]
    fn a_long_object_does_not_block_a_short_one_and_the_other_way_round() {
        let mut queue = SendQueue::default();
        queue
            .push_forward(peer_key(1), object(1, 20), [1; 8], Urgency::Prompt)
            .unwrap();
        for id in 0..4 {
            queue
                .push_forward(peer_key(1), object(2, 1), [id; 8], Urgency::Prompt)
                .unwrap();
        }
        let order = kinds(&mut queue);
        assert_eq!(order[..12], [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2]);
        assert_eq!(order.len(), 24);
    }

    #[test]
    fn the_background_takes_what_is_left_and_one_slot_of_four() {
        let mut queue = SendQueue::default();
        for id in 0..6 {
            queue
                .push_forward(peer_key(1), object(4, 1), [id; 8], Urgency::Background)
                .unwrap();
        }
        for id in 6..12 {
            queue
                .push_forward(peer_key(1), object(2, 1), [id; 8], Urgency::Prompt)
                .unwrap();
        }
        assert_eq!(kinds(&mut queue), [2, 2, 2, 4, 2, 2, 2, 4, 4, 4, 4, 4]);
        assert_eq!(queue.frames(), 0);
    }

    #[test]
    fn what_comes_back_goes_first() {
        let mut queue = SendQueue::default();
        queue
            .push_forward(peer_key(1), object(1, 1), [1; 8], Urgency::Prompt)
            .unwrap();
        queue
            .push_forward(peer_key(1), object(2, 1), [2; 8], Urgency::Prompt)
            .unwrap();
        let first = queue.pop().unwrap();
        queue.put_back(first);
        assert_eq!(queue.frames(), 2);
        assert_eq!(kinds(&mut queue), [1, 2]);
    }

    #[test]
    fn a_second_copy_takes_the_next_slot_and_is_counted() {
        let mut queue = SendQueue::default();
        for (id, urgency) in [(1, Urgency::Prompt), (2, Urgency::Background)] {
            queue
                .push_forward(peer_key(1), object(id, 1), [id; 8], urgency)
                .unwrap();
        }
        let mut first = queue.pop().unwrap();
        assert_eq!(first.class, Class::Interactive);
        first.first = Some(Box::new([1, 2, 3].map(peer_key)));
        queue.push_copy(first);
        assert_eq!(queue.frames(), 2);
        let copy = queue.pop().unwrap();
        assert!(copy.first.is_some() && copy.frame[1] == 1);
        assert_eq!(queue.pop().unwrap().class, Class::Background);
        assert_eq!(queue.frames(), 0);
    }

    #[test]
    fn the_queue_is_bounded_in_frames_and_objects() {
        let mut queue = SendQueue::default();
        while queue.has_room() {
            queue
                .push_forward(peer_key(1), object(1, 300), [1; 8], Urgency::Prompt)
                .unwrap();
        }
        assert!((SEND_QUEUE_FRAMES_MAX..SEND_QUEUE_FRAMES_MAX + 300).contains(&queue.frames()));
        let mut queue = SendQueue::default();
        while queue.has_room() {
            queue
                .push_forward(peer_key(1), object(1, 1), [1; 8], Urgency::Prompt)
                .unwrap();
        }
        assert_eq!(queue.frames(), SEND_QUEUE_OBJECTS_MAX);
    }

    #[test]
    fn too_long_is_refused_before_it_is_queued() {
        let mut queue = SendQueue::default();
        let long = Object {
            kind: 1,
            tag: [0; 16],
            bytes: vec![0; 1_200_001],
        };
        assert_eq!(
            queue.push_forward(peer_key(1), long, [1; 8], Urgency::Prompt),
            Err(Oversize(1_200_001))
        );
        assert_eq!(queue.frames(), 0);
    }
}
