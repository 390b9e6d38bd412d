//! Which messages a node holds and which it only remembers.
//!
//! A message is *held* while some peer still needs its body, then *remembered* until its time is over. One that was
//! received and goes to nobody else is remembered at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::mvds::id::{GroupId, MessageId};
use crate::mvds::payload::Message;

/// A message whose body can be had.
#[derive(Debug)]
pub(super) struct Held {
    /// Its group.
    pub(super) group: GroupId,
    /// Length of its entry in a payload of the longer dialect.
    pub(super) entry_len: usize,
    /// An ephemeral message itself: it is not on disk.
    pub(super) ephemeral: Option<Arc<Message>>,
    /// How many peers need it.
    wanted: usize,
}

/// All messages of a node.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: BTreeMap<MessageId, Held>,
    seen: BTreeMap<MessageId, u64>,
    /// The same by time.
    until: BTreeSet<(u64, MessageId)>,
}

impl Shelf {
    /// Whether the message is held or remembered.
    pub(super) fn has(&self, id: &MessageId) -> bool {
        self.held.contains_key(id) || self.seen.contains_key(id)
    }

    pub(super) fn is_held(&self, id: &MessageId) -> bool {
        self.held.contains_key(id)
    }

    pub(super) fn held(&self, id: &MessageId) -> Option<&Held> {
        self.held.get(id)
    }

    /// Holds a message that nobody needs yet.
    pub(super) fn hold(
        &mut self,
        id: MessageId,
        group: GroupId,
        entry_len: usize,
        ephemeral: Option<Arc<Message>>,
    ) {
        self.held.insert(
            id,
            Held {
                group,
                entry_len,
                ephemeral,
                wanted: 0,
            },
        );
    }

    /// One more peer needs it.
    pub(super) fn want(&mut self, id: &MessageId) {
        if let Some(held) = self.held.get_mut(id) {
            held.wanted += 1;
        }
    }

    /// One peer less needs it. Says whether it was the last.
    pub(super) fn unwant(&mut self, id: &MessageId) -> bool {
        self.held.get_mut(id).is_some_and(|held| {
            held.wanted = held.wanted.saturating_sub(1);
            held.wanted == 0
        })
    }

    /// Messages that nobody needs.
    pub(super) fn unwanted(&self) -> Vec<MessageId> {
        self.held
            .iter()
            .filter(|(_, held)| held.wanted == 0)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Lets the body go. Says whether it was on disk.
    pub(super) fn drop_body(&mut self, id: &MessageId) -> bool {
        self.held
            .remove(id)
            .is_some_and(|held| held.ephemeral.is_none())
    }

    /// Remembers a message until then.
    pub(super) fn remember(&mut self, id: MessageId, until: u64) {
        if let Some(before) = self.seen.insert(id, until) {
            self.until.remove(&(before, id));
        }
        self.until.insert((until, id));
    }

    /// Forgets what is over.
    pub(super) fn expire(&mut self, unix_s: u64) -> Vec<MessageId> {
        let mut over = Vec::new();
        while let Some((until, id)) = self.until.first().copied() {
            if until > unix_s || over.len() >= EXPIRE_MAX {
                break;
            }
            self.until.pop_first();
            self.seen.remove(&id);
            over.push(id);
        }
        over
    }

    /// Forgets the oldest if there are more than `max`.
    pub(super) fn overflow(&mut self, max: usize) -> Option<MessageId> {
        if self.seen.len() <= max {
            return None;
        }
        let (_, id) = self.until.pop_first()?;
        self.seen.remove(&id);
        Some(id)
    }
}

/// The most that is forgotten in one step, so that a step stays short.
const EXPIRE_MAX: usize = 256;
