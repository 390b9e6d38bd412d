//! Registrations after a restart: as the store has them.

use std::collections::BTreeMap;

use prost::Message as _;

use super::Registrations;
use crate::gateway::client::record::RegistrationRecord;
use crate::gateway::client::registration::{Registration, RegistrationId, session_key};
use crate::gateway::client::turn::Turn;
use crate::mvds::node::{self, Node};
use crate::store::{Family, StoreError, scan_all};
use crate::tracks::{self, node_now};

impl Registrations {
    pub(in crate::gateway::client) fn open(turn: &mut Turn<'_>) -> Result<Self, StoreError> {
        let seed = turn.draw();
        let config = node::Config {
            retry: turn.config.mvds_retry,
            ..node::Config::GATEWAY
        };
        let mut registrations = Self {
            all: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            node: Node::new(config, seed, node_now(turn.now)),
            interests: None,
            settle: None,
            next_serial: 0,
            held: None,
            chains_changed: Vec::new(),
        };
        let store = turn.ledger.store();
        let corrupt = || StoreError::corrupt(Family::Registrations);
        let mut gone = Vec::new();
        scan_all(&*store, Family::Registrations, b"", |key, value| {
            let (id, part) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            if part != [0] {
                return Ok(());
            }
            let id = RegistrationId(*id);
            let record = RegistrationRecord::decode(value).map_err(|_| corrupt())?;
            let session = store.get(Family::Registrations, &session_key(id))?;
            let registration =
                Registration::restore(turn, record, session.as_deref()).map_err(|()| corrupt())?;
            match registration {
                Some(registration) => {
                    registrations.next_serial = registrations
                        .next_serial
                        .max(registration.serial.saturating_add(1));
                    registrations.all.insert(id, registration);
                }
                None => gone.push(id),
            }
            Ok(())
        })?;
        for id in gone {
            Registration::delete(turn, id);
        }
        let ids: Vec<RegistrationId> = registrations.all.keys().copied().collect();
        for id in ids {
            registrations.connect(id);
        }
        let mut records = Vec::new();
        scan_all(&*store, Family::MvdsStates, b"", |key, value| {
            let record = tracks::parse(key, value);
            records.push(record.ok_or_else(|| StoreError::corrupt(Family::MvdsStates))?);
            Ok(())
        })?;
        registrations.node.restore(node_now(turn.now), records);
        registrations.drain_node(turn);
        Ok(registrations)
    }
}
