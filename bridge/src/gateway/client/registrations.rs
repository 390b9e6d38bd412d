//! The registrations of the edge: one that follows the interests of the local client, and older ones until their backlog has
//! arrived.
//!
//! Interests that change make a new registration, because a set that changed under one name would tell the bridge which
//! prefixes belong together. The old one takes nothing new from the moment that the new one stands. A renewal is a new
//! registration as well.

mod open;
mod stock;
mod under;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::blocks::{Blocks, Job};
use super::registration::{Registration, RegistrationId, Stage};
use super::turn::Turn;
use crate::counters::DropReason;
use crate::gateway::request::Body;
use crate::gateway::response::{Response, ResponseBody, Status};
use crate::mvds::id::PeerId;
use crate::mvds::node::{Mode, Node, PeerConfig};
use crate::port::{BridgeInfo, ChainSecret, Now, Prefix, Tag};
use crate::prefixes::fitting;
use crate::tracks::node_now;

/// Interests that change within this time become one registration: a client that starts names them one by one.
const SETTLE: Duration = Duration::from_millis(300);
/// Reply blocks in a REGISTER: one for the answer, the others the first stock; with one of them in one packet.
const REGISTER_BLOCKS: usize = 4;
/// Between two pings: what the bridge holds, and whether it is there.
pub(super) const PING_GAP: Duration = Duration::from_secs(30);
/// After so many pings without an answer the edge asks whether it is still registered.
const PINGS_UNANSWERED_MAX: u32 = 3;
/// How long a retiring registration may still deliver, seconds; the bridge keeps it no longer.
const DRAIN_S: u32 = 600;
/// How long a registration that is not wanted any more is asked for, seconds: it may stand without our knowing.
const ABANDON_S: u32 = 600;
/// After an answer that says no, ask again after this long.
const REFUSED_GAP: Duration = Duration::from_secs(60);
/// Registrations at a time, retiring ones included; the oldest goes first.
const REGISTRATIONS_MAX: usize = 16;

pub(crate) struct Registrations {
    all: BTreeMap<RegistrationId, Registration>,
    by_tag: BTreeMap<Tag, RegistrationId>,
    by_peer: BTreeMap<PeerId, RegistrationId>,
    node: Node,
    /// What the local client wants, once it said so.
    interests: Option<Vec<Prefix>>,
    settle: Option<Instant>,
    next_serial: u64,
    /// Until then what is due for bridges waits for the line.
    held: Option<Instant>,
    /// Chains of mailbox boxes that began, with the end of their lease, or ended.
    chains_changed: Vec<(RegistrationId, ChainChange)>,
}

/// A chain that begins, with the end of its lease; none: it ends.
pub(super) type ChainChange = Option<(ChainSecret, u32)>;

impl Registrations {
    /// What the local client wants from now on.
    pub(super) fn set_interests(&mut self, now: Now, interests: &[Prefix]) {
        self.interests = Some(fitting(interests));
        self.settle.get_or_insert(now.mono + SETTLE);
    }

    /// Whether a bridge sends what the local client wants.
    pub(super) fn is_live(&self) -> bool {
        self.latest()
            .is_some_and(|(_, registration)| registration.live().is_some())
    }

    /// The stock of the registration that counts, and how many registrations there are.
    pub(super) fn summary(&self) -> (usize, usize) {
        let stock = self
            .latest()
            .and_then(|(_, r)| r.live())
            .map_or(0, |live| live.stock.estimate);
        (stock, self.all.len())
    }

    pub(super) fn next_deadline(&self, now: Now) -> Option<Instant> {
        let own = self
            .all
            .values()
            .flat_map(|registration| match &registration.stage {
                Stage::Asked { due, .. } => [Some(*due), None, None],
                Stage::Live(live) => [
                    Some(live.next_ping),
                    live.unregister_due,
                    live.retired_at.is_none().then(|| now.when(live.renew_at)),
                ],
            });
        own.chain([self.settle, self.held, self.node.next_deadline()])
            .flatten()
            .min()
    }

    /// Whatever is due.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks) {
        if self.settle.is_some_and(|at| at <= turn.now.mono) {
            self.settle = None;
            self.follow_interests(turn, blocks);
        }
        let ids: Vec<RegistrationId> = self.all.keys().copied().collect();
        for id in ids {
            self.tick_one(turn, blocks, id);
        }
        self.flush(turn);
    }

    /// The bodies of requests that go by one-shot exchanges, and to whom.
    pub(super) fn one_shot(&mut self, turn: &mut Turn<'_>, job: Job) -> Option<(BridgeInfo, Body)> {
        match job {
            Job::Register(id) => {
                let registration = self.all.get(&id)?;
                Some((registration.bridge, registration.register(turn)?))
            }
            Job::Probe(id) => {
                let registration = self.all.get(&id)?;
                let tag = registration.live()?.tag;
                Some((registration.bridge, Body::Ping(Some(tag))))
            }
            Job::Post(_) | Job::TopUp(_) | Job::Ping(_) | Job::Unregister(_) => None,
        }
    }

    /// What the bridge says to a REGISTER.
    pub(super) fn registered(
        &mut self,
        turn: &mut Turn<'_>,
        blocks: &mut Blocks,
        id: RegistrationId,
        response: &Response,
    ) {
        let Some(registration) = self.all.get_mut(&id) else {
            return;
        };
        let Stage::Asked { due, .. } = &mut registration.stage else {
            return;
        };
        match (&response.status, &response.body) {
            (Status::Ok, Some(ResponseBody::Registered(granted))) => {
                let stock = REGISTER_BLOCKS - 1;
                if let Some(chain) = registration.confirm(turn, granted, stock) {
                    let lease_until = registration.live().map_or(0, |live| live.lease_until);
                    self.chains_changed.push((id, Some((chain, lease_until))));
                    blocks.cancel(Job::Register(id));
                    self.stand(turn, blocks, id);
                } else {
                    turn.drop(DropReason::Malformed);
                }
            }
            (Status::Busy | Status::Quota, _) => {
                *due = turn.now.mono + Duration::from_secs(response.retry_after_s.max(1).into());
            }
            (Status::Bad | Status::Gone, _) => {
                // The terms will not do; new ones may.
                turn.drop(DropReason::BridgeRefused);
                *due = turn.now.mono + REFUSED_GAP;
            }
            (
                Status::Ok
                | Status::Unauth
                | Status::TooLarge
                | Status::Expired
                | Status::Unsupported,
                _,
            ) => {
                turn.drop(DropReason::BridgeRefused);
                *due = turn.now.mono + REFUSED_GAP;
            }
        }
    }

    /// What the bridge says when asked whether a registration stands.
    pub(super) fn probed(
        &mut self,
        turn: &mut Turn<'_>,
        blocks: &mut Blocks,
        id: RegistrationId,
        response: &Response,
    ) {
        let Some(registration) = self.all.get_mut(&id) else {
            return;
        };
        if response.status != Status::Gone {
            if let Some(live) = registration.live_mut() {
                live.pings_unanswered = 0;
            }
            return;
        }
        let is_wanted = registration.is_wanted();
        let (bridge, prefixes) = (registration.bridge, registration.prefixes.clone());
        self.remove(turn, blocks, id);
        if is_wanted {
            self.begin(turn, bridge, prefixes);
        }
    }

    fn follow_interests(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks) {
        let Some(interests) = self.interests.clone() else {
            return;
        };
        let present = self
            .latest()
            .map(|(_, registration)| &registration.prefixes);
        if present == Some(&interests) || (present.is_none() && interests.is_empty()) {
            return;
        }
        if interests.is_empty() {
            let live: Vec<_> = self.all.keys().copied().collect();
            for id in live {
                self.retire(turn, blocks, id);
            }
            return;
        }
        if let Some(bridge) = turn.config.bridges.first().copied() {
            self.begin(turn, bridge, interests);
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>, bridge: BridgeInfo, prefixes: Vec<Prefix>) {
        let id = RegistrationId(turn.draw());
        let registration = Registration::new(turn, self.next_serial, bridge, prefixes);
        self.next_serial += 1;
        registration.save(turn, id);
        self.all.insert(id, registration);
    }

    /// A registration stands: it takes in, the older ones retire.
    fn stand(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks, id: RegistrationId) {
        let Some(registration) = self.all.get(&id) else {
            return;
        };
        registration.save(turn, id);
        let serial = registration.serial;
        self.connect(id);
        let newer = self
            .all
            .values()
            .any(|other| other.serial > serial && other.live().is_some());
        if newer || self.interests.as_ref().is_some_and(Vec::is_empty) {
            return self.retire(turn, blocks, id);
        }
        let older: Vec<_> = self
            .all
            .iter()
            .filter(|(_, r)| r.serial < serial)
            .map(|(id, _)| *id)
            .collect();
        for id in older {
            self.retire(turn, blocks, id);
        }
    }

    /// Makes a live registration known by its tag and its peer.
    fn connect(&mut self, id: RegistrationId) {
        let Some(registration) = self.all.get(&id) else {
            return;
        };
        let Some(live) = registration.live() else {
            return;
        };
        self.by_tag.insert(live.tag, id);
        self.by_peer.insert(registration.peer(), id);
        // The node is full only far beyond REGISTRATIONS_MAX.
        let joined = self.node.join(
            registration.group,
            registration.peer(),
            Mode::Batch,
            PeerConfig::OURS,
        );
        debug_assert!(joined.is_ok());
    }

    fn retire(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks, id: RegistrationId) {
        let now = turn.now;
        let Some(registration) = self.all.get_mut(&id) else {
            return;
        };
        let Some(live) = registration.live_mut() else {
            return;
        };
        if live.retired_at.is_some() {
            return;
        }
        live.retired_at = Some(now.unix());
        live.unregister_due = Some(now.mono);
        registration.save(turn, id);
        let retiring = self.all.len();
        if retiring > REGISTRATIONS_MAX
            && let Some((oldest, _)) = self.all.iter().min_by_key(|(_, r)| r.serial)
        {
            let oldest = *oldest;
            self.remove(turn, blocks, oldest);
        }
    }

    fn tick_one(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks, id: RegistrationId) {
        let latest = self.latest().map(|(id, _)| id);
        let now_s = turn.now.unix();
        let Some(registration) = self.all.get_mut(&id) else {
            return;
        };
        let asked_long_ago = registration.asked_at.saturating_add(ABANDON_S) < now_s;
        match &mut registration.stage {
            Stage::Asked { .. } if latest != Some(id) && asked_long_ago => {
                self.remove(turn, blocks, id);
            }
            Stage::Asked { attempts, due } => {
                if *due <= turn.now.mono {
                    *due = turn.retry_at(*attempts);
                    *attempts = attempts.saturating_add(1);
                    blocks.want(Job::Register(id), REGISTER_BLOCKS);
                }
            }
            Stage::Live(live) => {
                let over = live.lease_until <= now_s
                    || live
                        .retired_at
                        .is_some_and(|at| at.saturating_add(DRAIN_S) <= now_s);
                if over {
                    let is_wanted = live.retired_at.is_none() && latest == Some(id);
                    let (bridge, prefixes) = (registration.bridge, registration.prefixes.clone());
                    self.remove(turn, blocks, id);
                    if is_wanted {
                        self.begin(turn, bridge, prefixes);
                    }
                    return;
                }
                if latest == Some(id) && live.retired_at.is_none() && live.renew_at <= now_s {
                    live.renew_at = now_s.saturating_add(ABANDON_S);
                    let (bridge, prefixes) = (registration.bridge, registration.prefixes.clone());
                    self.begin(turn, bridge, prefixes);
                }
                self.tick_live(turn, blocks, id);
            }
        }
    }

    fn remove(&mut self, turn: &mut Turn<'_>, blocks: &mut Blocks, id: RegistrationId) {
        for job in [
            Job::Register(id),
            Job::TopUp(id),
            Job::Ping(id),
            Job::Unregister(id),
            Job::Probe(id),
        ] {
            blocks.cancel(job);
        }
        Registration::delete(turn, id);
        let Some(registration) = self.all.remove(&id) else {
            return;
        };
        // When nobody was there to renew it, the bridge may have left something in its chain.
        let has_run_out = registration
            .live()
            .is_some_and(|live| live.lease_until <= turn.now.unix() && live.retired_at.is_none());
        if !has_run_out {
            self.chains_changed.push((id, None));
        }
        if let Some(live) = registration.live() {
            self.by_tag.remove(&live.tag);
            self.by_peer.remove(&registration.peer());
            self.node.leave(
                node_now(turn.now),
                &registration.group,
                &registration.peer(),
            );
        }
    }

    /// What began or ended since the last call.
    pub(super) fn chains_changed(&mut self) -> Vec<(RegistrationId, ChainChange)> {
        std::mem::take(&mut self.chains_changed)
    }

    /// The registration that counts: the latest that is not retiring.
    fn latest(&self) -> Option<(RegistrationId, &Registration)> {
        let wanted = self
            .all
            .iter()
            .filter(|(_, registration)| registration.is_wanted());
        wanted
            .max_by_key(|(_, registration)| registration.serial)
            .map(|(id, r)| (*id, r))
    }
}
