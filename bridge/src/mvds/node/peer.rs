//! One peer: its records by message, what is due when, and the acks that wait for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{ACKS_MAX, ECHOED_MAX, ECHOES, PeerConfig};
use crate::mvds::id::{GroupId, MessageId};
use crate::mvds::record::{Kind, State};
use crate::mvds::retry::RoundTrip;

/// Where a record is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its change is not on disk yet; then due.
    Gated {
        /// The commit.
        gate: u64,
        /// The epoch.
        due: u64,
    },
    /// Due in this epoch.
    Due {
        /// The epoch.
        at: u64,
    },
    /// Sent often enough without a sign of life.
    Parked,
    /// Sent as often as it may be; waits for an answer.
    Answered,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track {
    pub(super) kind: Kind,
    pub(super) group: Option<GroupId>,
    pub(super) count: u32,
    pub(super) progress: Progress,
    /// The epoch in which it left, if it did so once.
    pub(super) left: Option<u64>,
}

impl Track {
    pub(super) fn state(&self) -> State {
        State {
            kind: self.kind,
            count: self.count,
            group: self.group,
        }
    }
}

/// An ack that waits, with the commit that it depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack {
    pub(super) gate: u64,
    pub(super) id: MessageId,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) config: PeerConfig,
    pub(super) groups: BTreeSet<GroupId>,
    pub(super) paused: bool,
    /// From a record that is sent to its ack.
    pub(super) round_trip: RoundTrip,
    /// Its place in the node's agenda.
    pub(super) agenda: Option<u64>,
    pub(super) tracks: BTreeMap<MessageId, Track>,
    /// The records that are due, by kind, then by epoch.
    due: [BTreeSet<(u64, MessageId)>; 3],
    pub(super) parked: BTreeSet<MessageId>,
    pub(super) requested: usize,
    /// Acks of messages that were new, in order.
    pub(super) acks: VecDeque<Ack>,
    /// Acks of messages that were not: the peer may not wait for them any more.
    pub(super) reacks: VecDeque<Ack>,
    queued: BTreeSet<MessageId>,
    /// Acks that were sent and ride along again, with how often yet; the newest last.
    echoes: VecDeque<(MessageId, u8)>,
    /// The epoch in which the acks are due.
    pub(super) acks_at: u64,
}

impl Peer {
    pub(super) fn new(config: PeerConfig) -> Self {
        Self {
            config,
            groups: BTreeSet::new(),
            paused: false,
            round_trip: RoundTrip::default(),
            agenda: None,
            tracks: BTreeMap::new(),
            due: Default::default(),
            parked: BTreeSet::new(),
            requested: 0,
            acks: VecDeque::new(),
            reacks: VecDeque::new(),
            queued: BTreeSet::new(),
            echoes: VecDeque::new(),
            acks_at: 0,
        }
    }

    /// Stores a record in place of the one before.
    pub(super) fn put(&mut self, id: MessageId, track: Track) -> Option<Track> {
        let before = self.take(&id);
        match track.progress {
            Progress::Due { at } => {
                self.due[track.kind as usize].insert((at, id));
            }
            Progress::Parked => {
                self.parked.insert(id);
            }
            Progress::Gated { .. } | Progress::Answered => {}
        }
        self.requested += usize::from(track.kind == Kind::Requested);
        self.tracks.insert(id, track);
        before
    }

    /// Removes a record.
    pub(super) fn take(&mut self, id: &MessageId) -> Option<Track> {
        let track = self.tracks.remove(id)?;
        match track.progress {
            Progress::Due { at } => {
                self.due[track.kind as usize].remove(&(at, *id));
            }
            Progress::Parked => {
                self.parked.remove(id);
            }
            Progress::Gated { .. } | Progress::Answered => {}
        }
        self.requested -= usize::from(track.kind == Kind::Requested);
        Some(track)
    }

    /// Moves a record on.
    pub(super) fn advance(
        &mut self,
        id: &MessageId,
        count: u32,
        progress: Progress,
    ) -> Option<Track> {
        let left = self.tracks.get(id)?.left;
        self.replace(id, count, progress, left)
    }

    /// A record is sent for the `count`-th time, in the epoch `left`.
    pub(super) fn leaves(
        &mut self,
        id: &MessageId,
        count: u32,
        left: u64,
        progress: Progress,
    ) -> Option<Track> {
        self.replace(id, count, progress, (count == 1).then_some(left))
    }

    fn replace(
        &mut self,
        id: &MessageId,
        count: u32,
        progress: Progress,
        left: Option<u64>,
    ) -> Option<Track> {
        let track = Track {
            count,
            progress,
            left,
            ..*self.tracks.get(id)?
        };
        self.put(*id, track);
        Some(track)
    }

    /// A record was acked in this epoch.
    pub(super) fn time(&mut self, id: &MessageId, epoch: u64) {
        let sent = self.tracks.get(id).and_then(|track| track.left);
        if let Some(left) = sent {
            self.round_trip.take(epoch.saturating_sub(left));
        }
    }

    /// The commit that a record waited for is on disk.
    pub(super) fn release(&mut self, id: &MessageId, commit: u64) {
        if let Some(track) = self.tracks.get(id)
            && let Progress::Gated { gate, due } = track.progress
            && gate == commit
        {
            let count = track.count;
            self.advance(id, count, Progress::Due { at: due });
        }
    }

    /// The records of a kind that are due.
    pub(super) fn due(&self, kind: Kind, epoch: u64) -> impl Iterator<Item = MessageId> {
        let due = self.due[kind as usize].iter();
        due.take_while(move |(at, _)| *at <= epoch)
            .map(|(_, id)| *id)
    }

    /// Queues an ack. Says whether it was new and there was room.
    pub(super) fn queue_ack(
        &mut self,
        id: MessageId,
        gate: u64,
        is_first: bool,
        epoch: u64,
    ) -> bool {
        if self.queued.len() >= ACKS_MAX || !self.queued.insert(id) {
            return false;
        }
        if self.acks.is_empty() && self.reacks.is_empty() {
            self.acks_at = epoch + 1;
        }
        let queue = if is_first {
            &mut self.acks
        } else {
            &mut self.reacks
        };
        queue.push_back(Ack { gate, id });
        true
    }

    /// Acks that ride along with others.
    pub(super) fn echoes(&self) -> impl Iterator<Item = MessageId> {
        self.echoes.iter().map(|(id, _)| *id)
    }

    /// Acks were sent, some of them not for the first time; whether they ride along again.
    pub(super) fn acked(&mut self, ids: &[MessageId], echo: bool) {
        for id in ids {
            let is_echo = !self.queued.remove(id);
            if !echo {
                continue;
            }
            match self.echoes.iter_mut().find(|(echo, _)| echo == id) {
                Some((_, left)) if is_echo => *left = left.saturating_sub(1),
                Some((_, left)) => *left = ECHOES,
                None => self.echoes.push_back((*id, ECHOES)),
            }
        }
        self.echoes.retain(|(_, left)| *left > 0);
        let over = self.echoes.len().saturating_sub(ECHOED_MAX);
        self.echoes.drain(..over);
        let queued = &self.queued;
        self.acks.retain(|ack| queued.contains(&ack.id));
        self.reacks.retain(|ack| queued.contains(&ack.id));
    }

    /// The earliest epoch in which something is due.
    pub(super) fn earliest(&self, committed: u64) -> Option<u64> {
        let released =
            |queue: &VecDeque<Ack>| queue.front().is_some_and(|ack| ack.gate <= committed);
        let acks = (released(&self.acks) || released(&self.reacks)).then_some(self.acks_at);
        let due = self
            .due
            .iter()
            .filter_map(|due| due.first())
            .map(|(at, _)| *at);
        due.chain(acks).min()
    }
}
