//! Frames that wait for a payload slot.
//!
//! One slot sends one frame. Objects of a few frames (a chat message, an acknowledgement) and long
//! ones wait in lanes of their own, each first come first served: while both wait, one slot of
//! three is for the short ones, so that a long object neither blocks a conversation nor runs into
//! the receiver's time limit for it.

use std::collections::VecDeque;

use crate::address::PeerKey;
use crate::fragment::{Frames, Object, Oversize, frames_for, split};
use crate::limits::{SEND_QUEUE_FRAMES_MAX, SEND_QUEUE_OBJECTS_MAX};
use crate::sphinx::Surb;

// ---- Our constants ----

/// Frames of an object that still counts as short.
const SHORT_FRAMES_MAX: usize = 8;

/// While both lanes wait, one slot of so many is for the short lane.
const SHORT_LANE_SHARE: u8 = 3;

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
}

impl Sending {
    fn next(&mut self) -> Option<Departure> {
        let frame = self.frames.next()?;
        let route = match &mut self.routes {
            Routes::Forward(to) => Route::Forward(*to),
            Routes::Replies(blocks) => Route::Reply(blocks.pop_front()?),
        };
        Some(Departure { route, frame })
    }
}

/// The queue of a client.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// Frames that were taken and could not leave.
    returned: VecDeque<Departure>,
    short: VecDeque<Sending>,
    long: VecDeque<Sending>,
    turn: u8,
    frames: usize,
}

impl SendQueue {
    /// Whether another object may be pushed. The last one may be longer than the room.
    pub(crate) fn has_room(&self) -> bool {
        let objects = self.short.len() + self.long.len();
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
    ) -> Result<(), Oversize> {
        let frames = split(object, object_id)?;
        self.push(Sending {
            routes: Routes::Forward(to),
            frames,
        });
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
        self.push(Sending {
            routes: Routes::Replies(blocks.into()),
            frames,
        });
        Ok(())
    }

    fn push(&mut self, sending: Sending) {
        self.frames += sending.frames.len();
        let short = sending.frames.len() <= SHORT_FRAMES_MAX;
        let lane = if short {
            &mut self.short
        } else {
            &mut self.long
        };
        lane.push_back(sending);
    }

    /// Takes the frame for a slot.
    pub(crate) fn pop(&mut self) -> Option<Departure> {
        let departure = self.returned.pop_front().or_else(|| self.pop_lane())?;
        self.frames -= 1;
        Some(departure)
    }

    fn pop_lane(&mut self) -> Option<Departure> {
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
        let sending = lane.front_mut()?;
        let departure = sending.next();
        if sending.frames.len() == 0 {
            lane.pop_front();
        }
        departure
    }

    /// Takes back a frame that could not leave; it is the next one to go.
    pub(crate) fn put_back(&mut self, departure: Departure) {
        self.frames += 1;
        self.returned.push_front(departure);
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
            .push_forward(peer_key(1), object(1, 2), [1; 8])
            .unwrap();
        queue
            .push_forward(peer_key(1), object(2, 1), [2; 8])
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
            .push_forward(peer_key(1), object(1, 20), [1; 8])
            .unwrap();
        for id in 0..4 {
            queue
                .push_forward(peer_key(1), object(2, 1), [id; 8])
                .unwrap();
        }
        let order = kinds(&mut queue);
        assert_eq!(order[..12], [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2]);
        assert_eq!(order.len(), 24);
    }

    #[test]
    fn what_comes_back_goes_first() {
        let mut queue = SendQueue::default();
        queue
            .push_forward(peer_key(1), object(1, 1), [1; 8])
            .unwrap();
        queue
            .push_forward(peer_key(1), object(2, 1), [2; 8])
            .unwrap();
        let first = queue.pop().unwrap();
        queue.put_back(first);
        assert_eq!(queue.frames(), 2);
        assert_eq!(kinds(&mut queue), [1, 2]);
    }

    #[test]
    fn the_queue_is_bounded_in_frames_and_objects() {
        let mut queue = SendQueue::default();
        while queue.has_room() {
            queue
                .push_forward(peer_key(1), object(1, 300), [1; 8])
                .unwrap();
        }
        assert!((SEND_QUEUE_FRAMES_MAX..SEND_QUEUE_FRAMES_MAX + 300).contains(&queue.frames()));
        let mut queue = SendQueue::default();
        while queue.has_room() {
            queue
                .push_forward(peer_key(1), object(1, 1), [1; 8])
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
            queue.push_forward(peer_key(1), long, [1; 8]),
            Err(Oversize(1_200_001))
        );
        assert_eq!(queue.frames(), 0);
    }
}
