//! What is done without being asked: refreshing the table, checking who is still there, remembering, knowing where we are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_core::Rng as _;

use super::super::{
    BUCKET_LEN_MAX, Contact, PERSIST_INTERVAL, REFRESH_INTERVAL, REVALIDATE_INTERVAL_MAX,
    SEED_AGE_MAX, SEEDS_MAX,
};
use super::{Node, Output, Seed, Why, place};
use crate::enode::Enode;
use crate::identity::{NodeId, PUBLIC_KEY_LEN};
use crate::now::Now;

/// What is due when, and who is remembered.
pub(super) struct Upkeep {
    bootnodes: Vec<Contact>,
    remembered: BTreeMap<NodeId, Seed>,
    /// Somebody is remembered or forgotten since that was last written.
    changed: bool,
    refresh_at: Instant,
    /// The last refresh.
    looked_at: Instant,
    revalidate_at: Instant,
    persist_at: Instant,
    want_from: Instant,
}

impl Upkeep {
    pub(super) fn new(now: Now, bootnodes: &[Enode], seeds: &[Seed]) -> Upkeep {
        let fresh = |seed: &&Seed| {
            seed.seen_unix_s + SEED_AGE_MAX.as_secs() >= now.unix_s()
                && Contact::from_enode(&seed.enode).is_some()
        };
        let remembered = seeds
            .iter()
            .filter(fresh)
            .take(REMEMBERED_MAX)
            .map(|seed| (seed.enode.node_id(), *seed))
            .collect();
        Upkeep {
            bootnodes: bootnodes
                .iter()
                .filter_map(Contact::from_enode)
                .take(BOOTNODES_MAX)
                .collect(),
            remembered,
            changed: false,
            refresh_at: now.mono,
            looked_at: now.mono,
            revalidate_at: now.mono + REVALIDATE_INTERVAL_MAX,
            persist_at: now.mono + PERSIST_INTERVAL,
            want_from: now.mono,
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.refresh_at.min(self.revalidate_at).min(self.persist_at)
    }
}

impl Node {
    /// Does what is due.
    pub(super) fn look_after(&mut self, now: Now) {
        if self.upkeep.refresh_at <= now.mono {
            self.upkeep.refresh_at = now.mono + REFRESH_INTERVAL;
            self.refresh(now);
            self.upkeep.looked_at = now.mono;
        }
        if self.upkeep.revalidate_at <= now.mono {
            self.upkeep.revalidate_at = now.mono + self.random(REVALIDATE_INTERVAL_MAX);
            let pick = self.rng.next_u32();
            if let Some(contact) = self.table.stalest(pick) {
                self.ping(now, contact, Why::FirstCheck);
            }
            self.hurry();
            self.predict(now);
        }
        if self.upkeep.persist_at <= now.mono {
            self.upkeep.persist_at = now.mono + PERSIST_INTERVAL;
            self.remember(now);
            if std::mem::take(&mut self.upkeep.changed) {
                self.outputs.push_back(Output::Persist(self.seeds()));
            }
        }
    }

    /// Everybody who is worth trying after a restart, for those who write it down at the end.
    pub fn seeds(&self) -> Vec<Seed> {
        self.upkeep.remembered.values().copied().collect()
    }

    /// Somebody wants more nodes: one more walk to somewhere, unless one is under way or has just been.
    pub(super) fn want(&mut self, now: Now) {
        if self.walk.is_idle() && self.upkeep.want_from <= now.mono {
            self.upkeep.want_from = now.mono + WANT_INTERVAL;
            let target = self.random_target();
            self.walk.queue_own(target);
        }
    }

    /// A table with few nodes is refreshed sooner: it was filled when the network was small, or the network was away.
    pub(super) fn hurry(&mut self) {
        let pause = match self.table.alive() {
            0 => RETRY_INTERVAL,
            few if few < BUCKET_LEN_MAX => FEW_INTERVAL,
            _ => REFRESH_INTERVAL,
        };
        let soon = self.upkeep.looked_at + pause;
        self.upkeep.refresh_at = self.upkeep.refresh_at.min(soon);
    }

    pub(super) fn mapped(&mut self, ip: Option<IpAddr>, udp_port: u16, tcp_port: u16) {
        let ip = ip.filter(|ip| !ip.is_unspecified());
        self.local.fixed = ip.is_some();
        self.moved(ip.or(self.local.ip), udp_port, tcp_port);
    }

    fn refresh(&mut self, now: Now) {
        // Who was there once is asked again when nobody else is left.
        if self.table.alive() == 0 {
            self.try_remembered(now);
        }
        for contact in &self.upkeep.bootnodes {
            self.table.seen(now.mono, *contact);
        }
        // Whoever is near to us, then three places where we know few.
        self.walk.queue_own(self.local.key.public().to_bytes());
        for _ in 0..RANDOM_WALKS {
            let target = self.random_target();
            self.walk.queue_own(target);
        }
    }

    fn try_remembered(&mut self, now: Now) {
        let mut seeds: Vec<Contact> = self
            .upkeep
            .remembered
            .values()
            .filter_map(|seed| Contact::from_enode(&seed.enode))
            .collect();
        for _ in 0..SEEDS_MAX.min(seeds.len()) {
            let pick = self.rng.next_u32() as usize % seeds.len();
            self.table.seen(now.mono, seeds.swap_remove(pick));
        }
    }

    fn remember(&mut self, now: Now) {
        let unix_s = now.unix_s();
        let upkeep = &mut self.upkeep;
        for contact in self.table.lasting(now.mono) {
            let seed = Seed {
                enode: contact.enode(),
                seen_unix_s: unix_s,
            };
            let before = upkeep.remembered.insert(contact.id(), seed);
            upkeep.changed |= before.is_none_or(|before| before.enode != seed.enode);
        }
        let count = upkeep.remembered.len();
        upkeep
            .remembered
            .retain(|_, seed| seed.seen_unix_s + SEED_AGE_MAX.as_secs() >= unix_s);
        while upkeep.remembered.len() > REMEMBERED_MAX {
            let oldest = upkeep
                .remembered
                .iter()
                .min_by_key(|(_, seed)| seed.seen_unix_s);
            let Some(id) = oldest.map(|(id, _)| *id) else {
                break;
            };
            upkeep.remembered.remove(&id);
        }
        upkeep.changed |= upkeep.remembered.len() != count;
    }

    /// Believes others about our address, unless it is known better.
    fn predict(&mut self, now: Now) {
        if self.local.fixed {
            return;
        }
        if let Some(endpoint) = self.predictor.endpoint(now.mono) {
            self.moved(Some(endpoint.ip()), endpoint.port(), self.local.tcp_port);
        }
    }

    fn moved(&mut self, ip: Option<IpAddr>, udp_port: u16, tcp_port: u16) {
        let local = &mut self.local;
        (local.ip, local.udp_port, local.tcp_port) = (ip, udp_port, tcp_port);
        let record = local
            .record
            .moved(&local.key, place(ip, udp_port, tcp_port));
        if record != local.record {
            local.record = record.clone();
            self.outputs.push_back(Output::Moved(record));
        }
    }

    fn random_target(&mut self) -> [u8; PUBLIC_KEY_LEN] {
        let mut target = [0; PUBLIC_KEY_LEN];
        self.rng.fill_bytes(&mut target);
        target
    }
}

/// Walks to random places at each refresh, as go-ethereum has it.
const RANDOM_WALKS: usize = 3;
/// From a refresh that found nobody to the next one.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// From a refresh that found few to the next one: in a network of three nodes that is a packet in four seconds.
const FEW_INTERVAL: Duration = Duration::from_secs(60);
/// Between two walks for somebody who wants nodes, as go-ethereum has it.
const WANT_INTERVAL: Duration = Duration::from_secs(4);
/// Nodes that are remembered: a full table and its past.
const REMEMBERED_MAX: usize = 512;
/// Bootnodes that are used: more than any network has.
const BOOTNODES_MAX: usize = 64;
