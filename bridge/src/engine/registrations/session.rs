//! The keys of a registration on the bridge's side, and what arrives under them.
//!
//! A renewal makes the keys anew. Until the client has the answer it seals with the old ones, so the bridge opens with both.

use crate::engine::turn::Turn;
use crate::gateway::seal::{Context, OpenError, SESSION_RECORD_LEN, Session};
use crate::port::{Object, Tag};
use crate::store::Family;

pub(super) struct Keys {
    pub(super) session: Session,
    previous: Option<Session>,
    /// Grows with each renewal.
    pub(super) renewals: u32,
}

/// An opened box.
pub(super) struct Opened {
    pub(super) content: Vec<u8>,
    /// Under which keys, and its counter there: boxes of one client in the order in which it made them.
    pub(super) order: (u32, u64),
}

impl Keys {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            previous: None,
            renewals: 0,
        }
    }

    pub(super) fn restore(
        session: &[u8; SESSION_RECORD_LEN],
        previous: Option<&[u8; SESSION_RECORD_LEN]>,
        renewals: u32,
    ) -> Self {
        let previous = previous.map(Session::restore);
        Self {
            session: Session::restore(session),
            previous,
            renewals,
        }
    }

    pub(super) fn renew(&mut self, session: Session) {
        self.previous = Some(std::mem::replace(&mut self.session, session));
        self.renewals += 1;
    }

    /// Opens a box of the client and keeps that its counter was used.
    pub(super) fn open(
        &mut self,
        turn: &mut Turn<'_>,
        object: &Object,
    ) -> Result<Opened, OpenError> {
        let context = Context::new(object.kind, object.tag);
        let counter = object
            .bytes
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let error = match self.session.opener.open(context, &object.bytes) {
            Ok(content) => {
                self.save(turn, object.tag);
                return Ok(Opened {
                    content,
                    order: (self.renewals, counter),
                });
            }
            Err(error) => error,
        };
        let Some(previous) = &mut self.previous else {
            return Err(error);
        };
        let content = previous.opener.open(context, &object.bytes)?;
        self.save(turn, object.tag);
        Ok(Opened {
            content,
            order: (self.renewals.saturating_sub(1), counter),
        })
    }

    /// Seals for the client; the counters in use are always reserved on the disk.
    pub(super) fn seal(
        &mut self,
        turn: &mut Turn<'_>,
        context: Context,
        content: &[u8],
    ) -> Option<Vec<u8>> {
        if let Some(limit) = self.session.sealer.reservation() {
            self.session.sealer.reserve(limit);
            self.save(turn, context.tag);
        }
        self.session.sealer.seal(context, content).ok()
    }

    pub(super) fn save(&self, turn: &mut Turn<'_>, tag: Tag) {
        let record = |session: &Session| session.record(session.sealer.limit()).to_vec();
        turn.ledger.put(
            Family::Registrations,
            session_key(tag, 1),
            record(&self.session),
        );
        if let Some(previous) = &self.previous {
            turn.ledger
                .put(Family::Registrations, session_key(tag, 2), record(previous));
        }
    }
}

/// The key of one of the three entries of a registration.
pub(super) fn session_key(tag: Tag, part: u8) -> Vec<u8> {
    [tag.bytes().as_slice(), &[part]].concat()
}
