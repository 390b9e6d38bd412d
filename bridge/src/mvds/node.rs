//! The state machine, per peer and message.
//!
//! | event | state | action |
//! |---|---|---|
//! | append, batch | none | store; for each peer of the group: SENDING |
//! | append, interactive | none | store; for each peer: OFFERED |
//! | OFFER, not held | none, REQUESTED | REQUESTED, one record |
//! | OFFER, held | any | queue an ACK; the peer has it, so own OFFERED or SENDING is over |
//! | REQUEST, held, peer in the group | none, OFFERED | SENDING, due next epoch |
//! | REQUEST, held | SENDING | due next epoch |
//! | REQUEST, not held, or peer not in the group | any | ignore this id |
//! | MESSAGE, new, sender in the group | any | keep; own REQUESTED or OFFERED is over; queue an ACK unless ephemeral; deliver once; pass on to the other peers of the group |
//! | MESSAGE, held | any | queue an ACK again; own OFFERED or SENDING is over |
//! | MESSAGE, sender not in the group, or body too long | any | refuse: no ACK, nothing passed on |
//! | ACK | OFFERED, SENDING | over |
//! | a draft is taken | due | count + 1, due again as [`Retry`] says, parked after 12 |
//! | the transport refuses | due | nothing changes: drop the draft |
//! | any payload of a peer | parked | count 1, due next epoch |
//!
//! **Epochs** are ticks since the node was made. A new record is due in the next epoch. **Disk:** what a step
//! changes leaves as one [`Output::Commit`]; acks and records that depend on it are released by
//! [`Node::committed`]. **Sending:** [`Node::peers_due`] names peers, [`Node::draft`] makes a payload within a budget,
//! [`Node::taken`] counts it as sent. **Waiting:** a peer that cannot be sent to is [paused](Node::pause), or
//! [`Node::next_deadline`] stays in the past.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::id::{GroupId, MessageId, PeerId};
use super::payload::{Dialect, Message};
use super::record::{Change, Kind, Record, State};
use super::retry::{Retry, RoundTrip};

mod config;
mod draft;
mod line;
mod peer;
mod receive;
mod shelf;

pub use config::{Bodies, Config, Line, Mode, NodeError, Now, Output, PeerConfig, Refused};
pub use draft::Draft;
use line::Queue;
use peer::{Peer, Progress, Track};
use shelf::Shelf;

// From the specification.

/// After so many sendings without a sign of life a record waits for one.
pub const PARK_AFTER: u32 = 12;
/// How long a message is remembered after its body is gone: 7 days, in seconds.
pub const SEEN_S: u64 = 604_800;

// Our own.

/// The most records of one peer: the largest backlog of a registration, and as many requests.
pub const RECORDS_MAX: usize = 200_000;
/// The most requests of one peer: ten payloads full of offers.
pub const REQUESTED_MAX: usize = 10_000;
/// The most acks that wait for one peer; what is lost is asked for again.
pub const ACKS_MAX: usize = 10_000;
/// How often an ack rides along with others after it was sent: of three that each get lost with a probability of a quarter, one arrives in
/// sixty-three cases of sixty-four.
pub const ECHOES: u8 = 2;
/// The most acks that ride along: a quarter of a packet.
pub const ECHOED_MAX: usize = 32;
/// The most messages remembered: about 100 MB. The oldest goes first.
pub const SEEN_MAX: usize = 1_000_000;
/// The most peers, groups and members of a group: far beyond a bridge's registrations.
pub const MEMBERS_MAX: usize = 65_536;

/// One node with any number of groups and peers.
pub struct Node {
    config: Config,
    rng: ChaCha20Rng,
    start: Instant,
    epoch: u64,
    queue: Queue,
    /// Sequence number of the last commit that was put out.
    seq: u64,
    /// The last that is on disk.
    committed: u64,
    groups: BTreeMap<GroupId, BTreeMap<PeerId, Mode>>,
    peers: BTreeMap<PeerId, Peer>,
    shelf: Shelf,
    /// Peers with something due, by epoch; what [`Peer::agenda`] says.
    agenda: BTreeSet<(u64, PeerId)>,
    /// Records that wait for a commit, in order.
    gated: VecDeque<(u64, PeerId, Option<MessageId>)>,
    changes: Vec<Change>,
    outputs: VecDeque<Output>,
    /// Much is lost.
    lossy: bool,
}

impl Node {
    /// A node without peers. Epoch 0 begins now.
    pub fn new(config: Config, seed: [u8; 32], now: Now) -> Self {
        Self {
            config,
            rng: ChaCha20Rng::from_seed(seed),
            start: now.mono,
            epoch: 0,
            queue: Queue::default(),
            seq: 0,
            committed: 0,
            groups: BTreeMap::new(),
            peers: BTreeMap::new(),
            shelf: Shelf::default(),
            agenda: BTreeSet::new(),
            gated: VecDeque::new(),
            changes: Vec::new(),
            outputs: VecDeque::new(),
            lossy: false,
        }
    }

    /// Whether much of what is sent is lost: then records are sent again [sooner](Retry::hasty).
    pub fn set_lossy(&mut self, lossy: bool) {
        self.lossy = lossy;
    }

    /// Whether it is.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    fn retry(&self) -> Retry {
        if self.lossy {
            self.config.retry.hasty()
        } else {
            self.config.retry
        }
    }

    /// Puts a peer into a group. Again: changes how messages go to it from now on.
    pub fn join(
        &mut self,
        group: GroupId,
        peer: PeerId,
        mode: Mode,
        config: PeerConfig,
    ) -> Result<(), NodeError> {
        let full = NodeError::Full {
            what: "members",
            max: MEMBERS_MAX,
        };
        let is_new = !self
            .groups
            .get(&group)
            .is_some_and(|members| members.contains_key(&peer));
        let is_full = |len: usize, is_known: bool| !is_known && len >= MEMBERS_MAX;
        if is_full(self.groups.len(), self.groups.contains_key(&group))
            || is_full(self.peers.len(), self.peers.contains_key(&peer))
        {
            return Err(full);
        }
        let members = self.groups.entry(group).or_default();
        if is_new && members.len() >= MEMBERS_MAX {
            return Err(full);
        }
        members.insert(peer, mode);
        let entry = self.peers.entry(peer).or_insert_with(|| Peer::new(config));
        entry.config = config;
        entry.groups.insert(group);
        Ok(())
    }

    /// Takes a peer out of a group: what it was to get of it is over.
    pub fn leave(&mut self, now: Now, group: &GroupId, peer: &PeerId) {
        self.advance(now);
        if let Some(members) = self.groups.get_mut(group) {
            members.remove(peer);
            if members.is_empty() {
                self.groups.remove(group);
            }
        }
        let Some(entry) = self.peers.get_mut(peer) else {
            return;
        };
        entry.groups.remove(group);
        let is_gone = entry.groups.is_empty();
        let over: Vec<_> = entry
            .tracks
            .iter()
            .filter(|(_, track)| is_gone || track.group == Some(*group))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.end(now, *peer, id);
        }
        if is_gone && let Some(at) = self.peers.remove(peer).and_then(|peer| peer.agenda) {
            self.agenda.remove(&(at, *peer));
        }
        self.finish();
    }

    /// Whether a peer is in a group.
    pub fn is_member(&self, group: &GroupId, peer: &PeerId) -> bool {
        self.groups
            .get(group)
            .is_some_and(|members| members.contains_key(peer))
    }

    /// Takes records back after a restart, in any order, once the peers have joined. States of peers that are in no group
    /// end. Everything is due anew within the first gap, spread at random.
    pub fn restore(&mut self, now: Now, records: impl IntoIterator<Item = Record>) {
        self.advance(now);
        let mut states = Vec::new();
        for record in records {
            match record {
                Record::Message {
                    id,
                    group,
                    entry_len,
                } => self.shelf.hold(id, group, entry_len, None),
                Record::Seen { id, until } => self.shelf.remember(id, until),
                Record::State { peer, id, state } => states.push((peer, id, state)),
            }
        }
        for (peer, id, state) in states {
            self.restore_state(peer, id, state);
        }
        for id in self.shelf.unwanted() {
            self.release(now, id);
        }
        self.finish();
    }

    /// Makes a message of this node and shares it with the peers of its group.
    pub fn append(&mut self, now: Now, message: Message) -> Result<MessageId, NodeError> {
        self.advance(now);
        self.sweep(now);
        let (len, max) = (message.body.len(), self.config.body_len_max);
        if len > max {
            return Err(NodeError::BodyTooLong { len, max });
        }
        let id = message.id();
        if self.shelf.has(&id) {
            return Err(NodeError::Duplicate(id));
        }
        let members = self
            .groups
            .get(&message.group)
            .ok_or(NodeError::UnknownGroup)?;
        let is_full = |peer: &PeerId| {
            self.peers
                .get(peer)
                .is_some_and(|peer| peer.tracks.len() >= RECORDS_MAX)
        };
        if members.keys().any(is_full) {
            return Err(NodeError::Full {
                what: "records of a peer",
                max: RECORDS_MAX,
            });
        }
        let members = members.clone();
        self.share(id, message, &members);
        self.finish();
        Ok(id)
    }

    /// Gives up sending a message to a peer.
    pub fn withdraw(&mut self, now: Now, peer: &PeerId, id: &MessageId) {
        self.advance(now);
        self.end(now, *peer, *id);
        self.finish();
    }

    /// The changes up to this commit are on disk.
    pub fn committed(&mut self, now: Now, seq: u64) {
        self.advance(now);
        self.committed = self.committed.max(seq.min(self.seq));
        while let Some((gate, peer, id)) = self.gated.front().copied() {
            if gate > self.committed {
                break;
            }
            self.gated.pop_front();
            if let (Some(entry), Some(id)) = (self.peers.get_mut(&peer), id) {
                entry.release(&id, gate);
            }
            self.reschedule(peer);
        }
    }

    /// Nothing can be sent to this peer for now: no deadline comes from it.
    pub fn pause(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.paused = true;
            self.reschedule(*peer);
        }
    }

    /// It can be sent to again.
    pub fn resume(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.paused = false;
            self.reschedule(*peer);
        }
    }

    /// Next thing that the node wants done. Drain before the next step.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When a payload will be due, of peers that are not paused.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (epoch, _) = self.agenda.first()?;
        let nanos = self
            .config
            .tick
            .as_nanos()
            .saturating_mul(u128::from(*epoch));
        let after = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.start.checked_add(after)
    }

    /// The peers that something is due for, in the order in which it became due.
    pub fn peers_due(&mut self, now: Now) -> Vec<PeerId> {
        self.advance(now);
        self.agenda
            .iter()
            .take_while(|(at, _)| *at <= self.epoch)
            .map(|(_, peer)| *peer)
            .collect()
    }

    /// How many records of a peer are not over: offered, requested, sending.
    pub fn records(&self, peer: &PeerId) -> usize {
        self.peers.get(peer).map_or(0, |peer| peer.tracks.len())
    }

    /// Whether the message is held or remembered.
    pub fn has(&self, id: &MessageId) -> bool {
        self.shelf.has(id)
    }

    /// Whether no record is left and no ack waits.
    pub fn is_idle(&self) -> bool {
        self.peers
            .values()
            .all(|peer| peer.tracks.is_empty() && peer.acks.is_empty() && peer.reacks.is_empty())
    }

    /// The records of a peer, in order.
    pub fn states(&self, peer: &PeerId) -> impl Iterator<Item = (MessageId, State)> {
        let tracks = self.peers.get(peer).map(|peer| &peer.tracks);
        tracks
            .into_iter()
            .flatten()
            .map(|(id, track)| (*id, track.state()))
    }

    /// The current epoch, by the clock.
    fn advance(&mut self, now: Now) {
        let elapsed = now.mono.saturating_duration_since(self.start).as_nanos();
        let epoch = elapsed / self.config.tick.as_nanos().max(1);
        self.epoch = self.epoch.max(u64::try_from(epoch).unwrap_or(u64::MAX));
    }

    /// Forgets what was remembered long enough.
    fn sweep(&mut self, now: Now) {
        for id in self.shelf.expire(now.unix_s) {
            self.changes.push(Change::DeleteSeen { id });
        }
    }

    /// Keeps a message and makes a record for each of these peers. An ephemeral one is kept in memory only.
    fn share(&mut self, id: MessageId, message: Message, peers: &BTreeMap<PeerId, Mode>) {
        let group = message.group;
        let entry_len = message.entry_len(Dialect::Published);
        let is_ephemeral = message.is_ephemeral();
        if is_ephemeral {
            self.shelf
                .hold(id, group, entry_len, Some(Arc::new(message)));
        } else {
            self.shelf.hold(id, group, entry_len, None);
            self.changes.push(Change::PutMessage { id, message });
        }
        for (peer, mode) in peers {
            let kind = match mode {
                Mode::Interactive if !is_ephemeral => Kind::Offered,
                Mode::Interactive | Mode::Batch => Kind::Sending,
            };
            self.begin(*peer, id, kind, Some(group));
        }
    }

    /// Starts a record, or turns it into another kind; due next epoch.
    fn begin(&mut self, peer: PeerId, id: MessageId, kind: Kind, group: Option<GroupId>) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let is_new = !entry.tracks.contains_key(&id);
        if is_new && entry.tracks.len() >= RECORDS_MAX {
            self.outputs.push_back(Output::Lost { peer, id });
            return;
        }
        let gate = self.seq + 1;
        let track = Track {
            kind,
            group,
            count: 0,
            progress: Progress::Gated {
                gate,
                due: self.epoch + 1,
            },
            left: None,
        };
        if entry
            .put(id, track)
            .is_none_or(|before| before.kind == Kind::Requested)
            && kind != Kind::Requested
        {
            self.shelf.want(&id);
        }
        self.gated.push_back((gate, peer, Some(id)));
        self.changes.push(Change::PutState {
            peer,
            id,
            state: track.state(),
        });
        self.reschedule(peer);
    }

    /// Ends a record, if there is one. Says whether there was.
    fn end(&mut self, now: Now, peer: PeerId, id: MessageId) -> bool {
        let Some(track) = self.peers.get_mut(&peer).and_then(|peer| peer.take(&id)) else {
            return false;
        };
        self.changes.push(Change::DeleteState { peer, id });
        if track.kind != Kind::Requested && self.shelf.unwant(&id) {
            self.release(now, id);
        }
        self.reschedule(peer);
        true
    }

    /// Every peer has it: the body goes, the id is remembered.
    fn release(&mut self, now: Now, id: MessageId) {
        let was_on_disk = self.shelf.drop_body(&id);
        if was_on_disk {
            self.changes.push(Change::DeleteMessage { id });
        }
        self.remember(now, id);
    }

    /// Remembers an id, and forgets the oldest if there are too many.
    fn remember(&mut self, now: Now, id: MessageId) {
        let until = now.unix_s.saturating_add(self.config.seen_s);
        self.shelf.remember(id, until);
        self.changes.push(Change::PutSeen { id, until });
        if let Some(id) = self.shelf.overflow(SEEN_MAX) {
            self.changes.push(Change::DeleteSeen { id });
        }
    }

    fn restore_state(&mut self, peer: PeerId, id: MessageId, state: State) {
        let is_held = state.kind == Kind::Requested || self.shelf.is_held(&id);
        let next = self
            .config
            .retry
            .next(1, RoundTrip::default(), self.epoch, &mut self.rng);
        let gap = next - self.epoch;
        let Some(entry) = self.peers.get_mut(&peer).filter(|_| is_held) else {
            self.changes.push(Change::DeleteState { peer, id });
            return;
        };
        let at = self.epoch + 1 + rand_below(&mut self.rng, gap);
        let was_offered = entry.config.legacy && state.kind == Kind::Offered && state.count > 0;
        let progress = if was_offered {
            Progress::Answered
        } else {
            Progress::Due { at }
        };
        let track = Track {
            kind: state.kind,
            group: state.group,
            count: state.count,
            progress,
            left: None,
        };
        entry.put(id, track);
        if state.kind != Kind::Requested {
            self.shelf.want(&id);
        }
        self.reschedule(peer);
    }

    /// Puts the peer where its earliest record belongs.
    fn reschedule(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let at = if entry.paused {
            None
        } else {
            entry.earliest(self.committed)
        };
        if entry.agenda == at {
            return;
        }
        if let Some(before) = std::mem::replace(&mut entry.agenda, at) {
            self.agenda.remove(&(before, peer));
        }
        if let Some(at) = at {
            self.agenda.insert((at, peer));
        }
    }

    /// Puts the changes of a step out as one commit.
    fn finish(&mut self) {
        if !self.changes.is_empty() {
            self.seq += 1;
            let changes = std::mem::take(&mut self.changes);
            self.outputs.push_back(Output::Commit {
                seq: self.seq,
                changes,
            });
        }
    }
}

fn rand_below(rng: &mut ChaCha20Rng, bound: u64) -> u64 {
    use rand_core::Rng;
    if bound == 0 {
        0
    } else {
        rng.next_u64() % bound
    }
}

#[cfg(test)]
mod tests;
