//! Registrations after a restart: as the store has them, with what waits for each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use prost::Message as _;
use rand_core::Rng as _;

use super::session::{Keys, session_key};
use super::{Absence, Chain, Credit, Registration, Registrations};
use crate::engine::record::RegistrationRecord;
use crate::engine::turn::Turn;
use crate::gateway::request::{Mode, encode_item};
use crate::mvds::id::{GroupId, MessageId, PeerId};
use crate::mvds::node::{self, Node, PeerConfig};
use crate::mvds::payload::{Dialect, Message};
use crate::mvds::record::Record;
use crate::port::{ChainSecret, Tag};
use crate::prefixes::unpack;
use crate::store::{Family, Store, StoreError, scan_all};
use crate::tracks::{self, node_now};

impl Registrations {
    pub(crate) fn open(turn: &mut Turn<'_>) -> Result<Self, StoreError> {
        let mut seed = [0; 32];
        turn.rng.fill_bytes(&mut seed);
        let config = node::Config {
            retry: turn.config.retry,
            ..node::Config::GATEWAY
        };
        let mut registrations = Self {
            all: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            node: Node::new(config, seed, node_now(turn.now)),
            envelopes: BTreeMap::new(),
            kept: BTreeMap::new(),
            stored_bytes: 0,
            blocks_total: 0,
            paced: BTreeSet::new(),
            leases: BTreeSet::new(),
            absence: Absence::default(),
        };
        let store = turn.ledger.store();
        registrations.load_registrations(turn, &*store)?;
        registrations.load_blocks(turn.now.unix(), &*store)?;
        let records = registrations.load_records(&*store)?;
        registrations.node.restore(node_now(turn.now), records);
        registrations.drain_node(turn);
        registrations.load_mailboxes(turn)?;
        Ok(registrations)
    }

    fn load_registrations(&mut self, turn: &Turn<'_>, store: &dyn Store) -> Result<(), StoreError> {
        let corrupt = || StoreError::corrupt(Family::Registrations);
        let mut tags = Vec::new();
        scan_all(store, Family::Registrations, b"", |key, value| {
            let (tag, part) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            if part == [0] {
                let record = RegistrationRecord::decode(value).map_err(|_| corrupt())?;
                tags.push((Tag::new(*tag), record));
            }
            Ok(())
        })?;
        for (tag, record) in tags {
            let part = |part| store.get(Family::Registrations, &session_key(tag, part));
            let session = part(1)?.ok_or_else(corrupt)?;
            let session = session.as_slice().try_into().map_err(|_| corrupt())?;
            let previous = part(2)?;
            let previous = match &previous {
                Some(bytes) => Some(bytes.as_slice().try_into().map_err(|_| corrupt())?),
                None => None,
            };
            let keys = Keys::restore(session, previous, record.renewals);
            let registration =
                Registration::restore(&record, keys, turn.now.mono).ok_or_else(corrupt)?;
            let mode = match registration.mode {
                Mode::Interactive => node::Mode::Interactive,
                Mode::Batch => node::Mode::Batch,
            };
            self.node
                .join(
                    registration.group,
                    registration.client,
                    mode,
                    PeerConfig::OURS,
                )
                .map_err(|_| corrupt())?;
            self.by_peer.insert(registration.client, tag);
            self.leases.insert((registration.lease_until, tag));
            self.all.insert(tag, registration);
        }
        Ok(())
    }

    fn load_blocks(&mut self, now_s: u32, store: &dyn Store) -> Result<(), StoreError> {
        let corrupt = || StoreError::corrupt(Family::ReplyBlocks);
        scan_all(store, Family::ReplyBlocks, b"", |key, value| {
            let (tag, rest) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            if let Some(registration) = self.all.get_mut(&Tag::new(*tag)) {
                registration
                    .credit
                    .load(now_s, rest, value)
                    .ok_or_else(corrupt)?;
                self.blocks_total += 1;
            }
            Ok(())
        })
    }

    fn load_records(&mut self, store: &dyn Store) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        let corrupt = || StoreError::corrupt(Family::MvdsMessages);
        scan_all(store, Family::MvdsMessages, b"", |key, value| {
            let id = MessageId::from_slice(key).ok_or_else(corrupt)?;
            let (group, rest) = value.split_first_chunk::<32>().ok_or_else(corrupt)?;
            let (time, hash) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
            let hash: &[u8; 32] = hash.try_into().map_err(|_| corrupt())?;
            let group = GroupId::new(*group);
            let rlp = store.get(Family::Envelopes, hash)?.ok_or_else(corrupt)?;
            let message = Message::new(group, i64::from_be_bytes(*time), encode_item(&rlp));
            let entry_len = message.entry_len(Dialect::Published);
            records.push(Record::Message {
                id,
                group,
                entry_len,
            });
            self.envelopes.insert(id, *hash);
            let kept = self.kept.entry(*hash).or_insert((0, rlp.len()));
            kept.0 += 1;
            if kept.0 == 1 {
                self.stored_bytes += rlp.len();
            }
            Ok(())
        })?;
        scan_all(store, Family::MvdsStates, b"", |key, value| {
            records.push(
                tracks::parse(key, value).ok_or_else(|| StoreError::corrupt(Family::MvdsStates))?,
            );
            Ok(())
        })?;
        Ok(records)
    }
}

impl Registration {
    fn restore(record: &RegistrationRecord, keys: Keys, now: Instant) -> Option<Self> {
        let prefixes = |packed: &[u64]| {
            packed
                .iter()
                .map(|p| unpack(*p))
                .collect::<Option<Vec<_>>>()
        };
        Some(Self {
            group: GroupId::from_slice(&record.group)?,
            client: PeerId::from_slice(&record.client)?,
            filters: prefixes(&record.filters)?,
            exclude: prefixes(&record.exclude)?,
            lease_until: record.lease_until,
            mode: if record.interactive {
                Mode::Interactive
            } else {
                Mode::Batch
            },
            pace_ms: record.pace_ms,
            backlog_max: record.backlog_max,
            item_bytes_max: record.item_bytes_max,
            retiring: record.retiring,
            keys,
            credit: Credit::restore(&record.blocks_from)?,
            next_frame: None,
            chain: match &record.chain_key[..] {
                [] => None,
                key => Some(Chain::new(ChainSecret::from_slice(key)?, record.chain_next)),
            },
            silent_at: now,
        })
    }
}
