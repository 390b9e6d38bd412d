//! Chains of mailbox boxes: where the bridge leaves what it owes while the edge is away.
//!
//! Each granted registration has one. Its position is on the disk with what was found before it, so a restart goes on where it was and
//! nothing that was found is lost. A chain ends with its registration, unless that ended because nobody was there to renew it: then
//! it is followed as long as mailboxes keep cells.
//!
//! Key: registration id (16). Value: [`ChainRecord`].

use std::collections::BTreeMap;

use prost::Message as _;

use super::record::ChainRecord;
use super::registration::RegistrationId;
use super::turn::{Effect, Turn};
use crate::port::ChainSecret;
use crate::store::{Family, StoreError, scan_all};

#[derive(Default)]
pub(super) struct Chains {
    all: BTreeMap<RegistrationId, Chain>,
}

struct Chain {
    key: ChainSecret,
    next: u64,
    /// When it is given up, Unix seconds.
    until: u32,
}

impl Chains {
    /// Goes on with what the store holds.
    pub(super) fn open(turn: &mut Turn<'_>) -> Result<Self, StoreError> {
        let mut chains = Self::default();
        let store = turn.ledger.store();
        let corrupt = || StoreError::corrupt(Family::Mailbox);
        scan_all(&*store, Family::Mailbox, b"", |key, value| {
            let id = RegistrationId(key.try_into().map_err(|_| corrupt())?);
            let record = ChainRecord::decode(value).map_err(|_| corrupt())?;
            let key = ChainSecret::from_slice(&record.key).ok_or_else(corrupt)?;
            let (next, until) = (record.next, record.until);
            chains.all.insert(id, Chain { key, next, until });
            Ok(())
        })?;
        for (id, chain) in &chains.all {
            chain.watch(turn, *id);
        }
        chains.sweep(turn);
        Ok(chains)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// A registration stands until then: follows its chain from the beginning.
    pub(super) fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        key: ChainSecret,
        lease_until: u32,
    ) {
        let chain = Chain {
            key,
            next: 0,
            until: lease_until.saturating_add(MAILBOX_TTL_S),
        };
        chain.save(turn, id);
        chain.watch(turn, id);
        self.all.insert(id, chain);
        while self.all.len() > CHAINS_MAX {
            let oldest = self.all.iter().min_by_key(|(_, chain)| chain.until);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.end(turn, oldest);
        }
    }

    /// The registration is over and so is its chain.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>, id: RegistrationId) {
        if self.all.remove(&id).is_some() {
            turn.ledger.delete(Family::Mailbox, id.0);
            turn.ledger.effect(Effect::Unwatch(id));
        }
    }

    /// Something was found, or given up, before this box. Says whether that is news.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_>, id: RegistrationId, next: u64) -> bool {
        let Some(chain) = self.all.get_mut(&id).filter(|chain| chain.next < next) else {
            return false;
        };
        chain.next = next;
        chain.save(turn, id);
        true
    }

    /// Ends what no mailbox keeps anything of any more.
    pub(super) fn sweep(&mut self, turn: &mut Turn<'_>) {
        let now_s = turn.now.unix();
        let over: Vec<RegistrationId> = self
            .all
            .iter()
            .filter(|(_, chain)| chain.until <= now_s)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.end(turn, id);
        }
    }
}

impl Chain {
    fn save(&self, turn: &mut Turn<'_>, id: RegistrationId) {
        let record = ChainRecord {
            key: self.key.expose().to_vec(),
            next: self.next,
            until: self.until,
        };
        turn.ledger
            .put(Family::Mailbox, id.0, record.encode_to_vec());
    }

    fn watch(&self, turn: &mut Turn<'_>, id: RegistrationId) {
        turn.ledger.effect(Effect::Watch {
            id,
            key: self.key.clone(),
            next: self.next,
        });
    }
}

/// Chains at a time: as many registrations as there may be, and as many again whose lease has ended.
const CHAINS_MAX: usize = 32;
/// How long a mailbox keeps a cell, seconds.
const MAILBOX_TTL_S: u32 = 7 * 24 * 3600;
