//! What a received payload does.

use std::collections::BTreeMap;

use super::peer::Progress;
use super::{Node, NodeError, Now, Output, REQUESTED_MAX, Refused};
use crate::mvds::id::{MessageId, PeerId};
use crate::mvds::payload::{Message, Payload};
use crate::mvds::record::Kind;

impl Node {
    /// A payload came from a peer; the transport has authenticated it. Acks first, then requests, offers, messages.
    ///
    /// Gives the number of its entries that had a wrong length and were dropped.
    pub fn handle(&mut self, now: Now, from: PeerId, bytes: &[u8]) -> Result<usize, NodeError> {
        let entry = self.peers.get(&from).ok_or(NodeError::UnknownPeer)?;
        let decoded = Payload::decode(entry.config.dialect, bytes, self.config.body_len_max)?;
        self.advance(now);
        self.sweep(now);
        self.unpark(from);
        let Payload {
            acks,
            offers,
            requests,
            messages,
        } = decoded.payload;
        for id in acks {
            if let Some(entry) = self.peers.get_mut(&from) {
                entry.time(&id, self.epoch);
            }
            if self.tracks_own(from, &id) && self.end(now, from, id) {
                self.outputs.push_back(Output::Acked { peer: from, id });
            }
        }
        for id in requests {
            self.requested(from, id);
        }
        for id in offers {
            self.offered(now, from, id);
        }
        for message in messages {
            self.message(now, from, message);
        }
        self.reschedule(from);
        self.finish();
        Ok(decoded.dropped)
    }

    /// A sign of life: what was given up is tried again.
    fn unpark(&mut self, from: PeerId) {
        let Some(entry) = self.peers.get_mut(&from) else {
            return;
        };
        let at = self.epoch + 1;
        for id in std::mem::take(&mut entry.parked) {
            entry.advance(&id, 1, Progress::Due { at });
        }
    }

    /// The way to a peer has changed: what was sent on the old one and is not acked is sent again in the next epoch.
    pub fn hasten(&mut self, now: Now, peer: &PeerId) {
        self.advance(now);
        let at = self.epoch + 1;
        let Some(entry) = self.peers.get_mut(peer) else {
            return;
        };
        let waits = |track: &super::peer::Track| matches!(track.progress, Progress::Due { at: due } if due > at);
        let waiting: Vec<_> = entry
            .tracks
            .iter()
            .filter(|(_, track)| waits(track))
            .map(|(id, track)| (*id, track.count))
            .collect();
        for (id, count) in waiting {
            entry.advance(&id, count, Progress::Due { at });
        }
        self.reschedule(*peer);
    }

    /// Whether there is an own record, of which the peer may say that it has the message.
    fn tracks_own(&self, peer: PeerId, id: &MessageId) -> bool {
        let track = self.peers.get(&peer).and_then(|peer| peer.tracks.get(id));
        track.is_some_and(|track| track.kind != Kind::Requested)
    }

    fn requested(&mut self, from: PeerId, id: MessageId) {
        let Some(group) = self.shelf.held(&id).map(|held| held.group) else {
            return;
        };
        if !self.is_member(&group, &from) {
            return;
        }
        let at = self.epoch + 1;
        let Some(entry) = self.peers.get_mut(&from) else {
            return;
        };
        match entry.tracks.get(&id).copied() {
            Some(track) if track.kind == Kind::Sending => match track.progress {
                Progress::Due { .. } | Progress::Parked | Progress::Answered => {
                    entry.advance(&id, track.count, Progress::Due { at });
                }
                Progress::Gated { .. } => {}
            },
            Some(_) | None => self.begin(from, id, Kind::Sending, Some(group)),
        }
    }

    fn offered(&mut self, now: Now, from: PeerId, id: MessageId) {
        if self.shelf.has(&id) {
            self.has_it(now, from, id);
            self.queue_ack(from, id, false);
            return;
        }
        let Some(entry) = self.peers.get(&from) else {
            return;
        };
        if !entry.tracks.contains_key(&id) && entry.requested < REQUESTED_MAX {
            self.begin(from, id, Kind::Requested, None);
        }
    }

    fn message(&mut self, now: Now, from: PeerId, message: Message) {
        let id = message.id();
        if !self.is_member(&message.group, &from) {
            let is_known = self.groups.contains_key(&message.group);
            let reason = if is_known {
                Refused::NotMember
            } else {
                Refused::UnknownGroup
            };
            self.outputs.push_back(Output::Refused { from, reason });
            return;
        }
        let is_ephemeral = message.is_ephemeral();
        if self.shelf.has(&id) {
            self.has_it(now, from, id);
            if !is_ephemeral {
                self.queue_ack(from, id, false);
            }
            return;
        }
        self.end_requests(now, id);
        let others = self.others(from, &message);
        if others.is_empty() {
            self.remember(now, id);
        } else {
            self.share(id, message.clone(), &others);
        }
        if !is_ephemeral {
            self.queue_ack(from, id, true);
        }
        self.outputs
            .push_back(Output::Deliver { from, id, message });
    }

    /// It is here now, whoever was asked for it.
    fn end_requests(&mut self, now: Now, id: MessageId) {
        let asked: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.tracks.contains_key(&id))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in asked {
            self.end(now, peer, id);
        }
    }

    /// Who else is to get a received message.
    fn others(&self, from: PeerId, message: &Message) -> BTreeMap<PeerId, super::Mode> {
        if !self.config.forward {
            return BTreeMap::new();
        }
        let members = self.groups.get(&message.group).into_iter().flatten();
        members
            .filter(|(peer, _)| **peer != from)
            .map(|(peer, mode)| {
                let is_legacy = self.peers.get(peer).is_some_and(|peer| peer.config.legacy);
                (*peer, if is_legacy { super::Mode::Batch } else { *mode })
            })
            .collect()
    }

    /// The peer holds a message that it was to get.
    fn has_it(&mut self, now: Now, peer: PeerId, id: MessageId) {
        if self.tracks_own(peer, &id) && self.end(now, peer, id) {
            self.outputs.push_back(Output::Acked { peer, id });
        }
    }

    /// Queues an ack behind the commit that it promises.
    fn queue_ack(&mut self, peer: PeerId, id: MessageId, is_first: bool) {
        let gate = if self.changes.is_empty() {
            self.seq
        } else {
            self.seq + 1
        };
        if let Some(entry) = self.peers.get_mut(&peer)
            && entry.queue_ack(id, gate, is_first, self.epoch)
            && gate > self.committed
        {
            self.gated.push_back((gate, peer, None));
        }
    }
}
