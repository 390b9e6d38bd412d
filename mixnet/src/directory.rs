//! The directory: how descriptors find everybody, and who carries packets in an epoch. A core without network, clock or disk.
//!
//! ```text
//!  keys of the epochs ─▶ own descriptor ─┐
//!  a round: hello, summary, swap ───────▶│ registry ─▶ active set of the epoch, with its root ─▶ Topology for the node
//!  requests of others ◀────────────────▶ │    ▲
//!                                        └ snapshot (disk)
//!  a light client: three relays ─▶ equal roots? ─▶ pages ─▶ signatures, root ─▶ active set ─▶ Topology
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`registry`] | everybody, and what differs between two registries |
//! | [`active`] | sortition, the number of relays, the root |
//! | [`wire`] | the messages of `/ferry/directory/1` |
//! | `port` | what goes in and comes out |
//! | `round` | one round of gossip: whom to ask, and what then |
//! | `answer` | what others are answered |
//! | `fetch` | how a light client, or a newcomer, gets a set from three relays |
//! | `voices` | roots and clocks of others: forks, and a clock that is wrong |
//! | `sets` | which set holds when |
//! | [`snapshot`] | what is kept for the next start |
//! | [`limits`] | every bound |
//!
//! Nothing that another says is believed without a signature, and nothing is told in a signature that was not checked: a directory
//! is as good as the nodes that it hears of, no better. There are no servers; any one descriptor is enough to begin with. What a
//! gossip without consensus cannot give is said in docs/threat-model.md. Spec: section 3.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::address::{AddressPolicy, PeerKey};
use crate::descriptor::{Descriptor, Proof, Statement};
use crate::epoch::Epochs;
use crate::epoch::keyring::{KeyOutput, KeyRing};
use crate::limits::PeerRates;
use crate::node::ClockOff;
use crate::now::Now;

pub use self::port::{AskId, Config, Contact, Input, Mode, Output, Profile, Status};

use self::active::{ActiveSet, Root};
use self::fetch::Fetch;
use self::limits::{
    CLOCKS_MIN, GIFTS_BURST, GIFTS_PER_SECOND, PEERS_MAX, REQUESTS_BURST, REQUESTS_PER_SECOND,
};
use self::limits::{ROUND_BUSY, ROUND_BUSY_PART, ROUND_QUIET, ROUND_QUIET_PART, SEEDS_MAX};
use self::registry::{Admission, Registry};
use self::round::Round;
use self::snapshot::Snapshot;
use self::voices::{Fork, Voices};
use self::wire::{Request, Response, State};

pub mod active;
mod answer;
mod fetch;
pub mod limits;
mod port;
pub mod registry;
mod round;
mod sets;
pub mod snapshot;
pub mod voices;
pub mod wire;

/// The directory of one node.
pub struct Directory {
    mode: Mode,
    epochs: Epochs,
    policy: AddressPolicy,
    identity: Zeroizing<[u8; 32]>,
    proof: Proof,
    own: PeerKey,
    profile: Profile,
    keys: KeyRing,
    registry: Registry,
    /// Sets of the epoch before, this one and the next.
    sets: BTreeMap<u32, ActiveSet>,
    /// Since which epoch this node has listened without a gap.
    watching_since: u32,
    seeds: Vec<Contact>,
    /// Of the last snapshot, what was too old for the registry.
    remembered: Vec<(u32, Descriptor)>,
    found: VecDeque<Contact>,
    voices: Voices,
    fork: Option<Fork>,
    /// What came of the last comparison of roots that this node made for itself.
    client_fork: Option<Fork>,
    /// Epochs whose set three nodes know by the same root.
    compared: BTreeSet<u32>,
    clock_off: Option<ClockOff>,
    round: Option<Round>,
    fetch: Option<Fetch>,
    /// Comparisons in a row that found nothing new.
    looks: u32,
    next_round: Instant,
    next_fetch: Instant,
    next_save: Instant,
    /// Something was learned since the sets were reckoned.
    sets_stale: bool,
    /// Something was learned since the last snapshot.
    unsaved: bool,
    /// When the wall clock brings the next change.
    next_change: Instant,
    epoch: u32,
    /// What was signed last: the epoch, and for which profile.
    announced: Option<(u32, Profile)>,
    /// The epoch and root that the node was given.
    shown: Option<(u32, Root)>,
    forwarded: Forwarded,
    requests: PeerRates,
    gifts: PeerRates,
    rounds: u64,
    unanswered: u32,
    admitted: u64,
    refused: BTreeMap<&'static str, u64>,
    throttled: u64,
    asks: AskId,
    rng: ChaCha20Rng,
    outputs: VecDeque<Output>,
}

/// What the node forwarded, and since when.
#[derive(Default)]
struct Forwarded {
    total: u64,
    at_epoch_start: u64,
    load: u16,
}

impl Directory {
    /// A directory that starts now; none if the identity is no secret key.
    pub fn new(config: Config, now: Now) -> Option<Self> {
        let mut rng = ChaCha20Rng::from_seed(config.seed);
        let own = PeerKey::of_identity(&config.identity)?;
        let epoch = config.epochs.at(now.unix_ms);
        let key_rng = ChaCha20Rng::from_rng(&mut rng);
        let proof = match config.profile.capabilities.serves() {
            true => Proof::search(&own),
            false => Proof(0),
        };
        let mut directory = Self {
            mode: config.mode,
            epochs: config.epochs,
            policy: config.policy,
            identity: config.identity,
            proof,
            own,
            profile: config.profile,
            keys: KeyRing::new(config.epochs, config.keys, key_rng),
            registry: Registry::new(config.policy),
            sets: BTreeMap::new(),
            watching_since: epoch,
            seeds: Vec::new(),
            remembered: Vec::new(),
            found: VecDeque::new(),
            voices: Voices::default(),
            fork: None,
            client_fork: None,
            compared: BTreeSet::new(),
            clock_off: None,
            round: None,
            fetch: None,
            looks: 0,
            next_round: now.mono,
            next_fetch: now.mono,
            next_save: now.mono,
            sets_stale: true,
            unsaved: false,
            next_change: now.mono,
            epoch,
            announced: None,
            shown: None,
            forwarded: Forwarded::default(),
            requests: PeerRates::new(REQUESTS_PER_SECOND, REQUESTS_BURST, PEERS_MAX),
            gifts: PeerRates::new(GIFTS_PER_SECOND, GIFTS_BURST, PEERS_MAX),
            rounds: 0,
            unanswered: 0,
            admitted: 0,
            refused: BTreeMap::new(),
            throttled: 0,
            asks: 0,
            rng,
            outputs: VecDeque::new(),
        };
        for seed in &config.seeds {
            directory.add_seed(seed);
        }
        directory.restore(config.snapshot.unwrap_or_default());
        directory.advance(now);
        Some(directory)
    }

    fn add_seed(&mut self, descriptor: &Descriptor) {
        let contact = Contact::of(descriptor);
        let known = self.seeds.iter().any(|seed| seed.peer == contact.peer);
        let usable = contact.peer != self.own && !contact.places.is_empty();
        if usable && !known && self.seeds.len() < SEEDS_MAX && self.may_dial(&contact) {
            self.seeds.push(contact);
        }
    }

    /// Whether this node dials all places of a contact.
    fn may_dial(&self, contact: &Contact) -> bool {
        let mut places = contact.places.iter();
        places.all(|place| self.policy.check_socket(place.at).is_ok())
    }

    /// Goes on from what was known. What is too old for the registry still tells whom to ask.
    fn restore(&mut self, snapshot: Snapshot) {
        let window = self.epoch.saturating_sub(1)..=self.epoch.saturating_add(1);
        let without_gap = snapshot.epoch.saturating_add(1) >= self.epoch;
        for (since, descriptor) in snapshot.known {
            if self.mode == Mode::Full && window.contains(&descriptor.epoch()) {
                let peer = descriptor.peer();
                if self.registry.insert(descriptor) == Admission::New {
                    self.registry.set_since(&peer, since);
                }
            } else {
                self.add_seed(&descriptor);
                if self.remembered.len() < SEEDS_MAX {
                    self.remembered.push((since, descriptor));
                }
            }
        }
        if without_gap && snapshot.watching_since > 0 && snapshot.epoch <= self.epoch {
            self.watching_since = snapshot.watching_since.min(self.epoch);
        }
    }

    /// Takes in what happened, and does what is due by `now`.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Request { from, id, request } => self.answer(now, from, id, request),
            Input::Response { id, response } => self.response(now, id, response),
            Input::Failed { id } => self.failed(now, id),
            Input::KeyKept(epoch) => self.keys.kept(epoch, now.unix_ms),
            Input::Profile(profile) => self.profile = profile,
            Input::Forwarded(total) => self.forwarded.total = total,
            Input::Found(contact) => self.note_found(contact),
            Input::Tick => {}
        }
        self.advance(now);
    }

    fn response(&mut self, now: Now, id: AskId, response: Response) {
        self.unanswered = 0;
        if self.round.as_ref().is_some_and(|round| round.waits_for(id)) {
            self.round_answered(now, response);
        } else {
            self.fetch_answered(now, id, Some(response));
        }
    }

    fn failed(&mut self, now: Now, id: AskId) {
        self.unanswered = self.unanswered.saturating_add(1);
        if self.round.as_ref().is_some_and(|round| round.waits_for(id)) {
            self.round_failed(now);
        } else {
            self.fetch_answered(now, id, None);
        }
    }

    /// The next thing to do. Drain it after every call of [`Directory::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives back, in their order, outputs that could not be dealt with yet.
    pub fn put_back(&mut self, outputs: Vec<Output>) {
        for output in outputs.into_iter().rev() {
            self.outputs.push_front(output);
        }
    }

    /// When [`Directory::handle`] has something to do, whatever else happens.
    pub fn next_deadline(&self) -> Instant {
        let round = match (&self.round, self.mode) {
            (Some(round), _) => Some(round.deadline()),
            (None, Mode::Full) => Some(self.next_round),
            (None, Mode::Light) => None,
        };
        let save = self.unsaved.then_some(self.next_save);
        round
            .into_iter()
            .chain(save)
            .fold(self.fetch_deadline().min(self.next_change), Instant::min)
    }

    /// Does what is due.
    fn advance(&mut self, now: Now) {
        self.turn_epoch(now);
        self.judge_clock(now);
        self.keys.advance(now.unix_ms);
        self.hand_out_keys();
        self.announce(now);
        self.reckon(now);
        self.show(now);
        if self.mode == Mode::Full {
            self.run_rounds(now);
        }
        self.run_fetch(now);
        if self.unsaved && self.next_save <= now.mono {
            self.unsaved = false;
            self.next_save = now.mono + self.pause(SAVE_EVERY, ROUND_QUIET_PART);
            self.outputs.push_back(Output::Save);
        }
    }

    /// Forgets what is over when an epoch begins.
    fn turn_epoch(&mut self, now: Now) {
        let epoch = self.epochs.at(now.unix_ms);
        let wait = self.epochs.next_change_ms(now.unix_ms) - now.unix_ms;
        self.next_change = now.mono + std::time::Duration::from_millis(wait);
        if epoch == self.epoch {
            return;
        }
        if epoch < self.epoch || epoch > self.epoch + 1 {
            // The wall clock was set, or the machine slept: what was heard meanwhile is missing.
            self.watching_since = epoch;
            self.voices.clear();
        }
        let length = self.epochs.length().as_secs().max(1);
        let forwarded = self.forwarded.total - self.forwarded.at_epoch_start;
        self.forwarded.at_epoch_start = self.forwarded.total;
        self.forwarded.load = rounded(forwarded / length);
        self.epoch = epoch;
        self.registry.expire(epoch);
        self.voices.expire(epoch.saturating_sub(1));
        let first = epoch.saturating_sub(1);
        self.sets.retain(|of, _| (first..=epoch + 1).contains(of));
        self.compared.retain(|of| *of >= first);
        self.client_fork = None;
        self.sets_stale = true;
        self.unsaved = true;
        self.next_round = self.next_round.min(now.mono + self.busy());
    }

    fn hand_out_keys(&mut self) {
        while let Some(output) = self.keys.poll_output() {
            self.outputs.push_back(match output {
                KeyOutput::Keep { epoch, key } => Output::KeepKey { epoch, key },
                KeyOutput::Install(key) => Output::InstallKey(key),
                KeyOutput::Retire { epoch, key } => Output::RetireKey { epoch, key },
            });
        }
    }

    /// Compares our clock with those of others: one that is wrong by more than the grace knows no keys.
    fn judge_clock(&mut self, now: Now) {
        let ahead = self
            .voices
            .clock_ahead(self.contacts().take(CLOCKS_MIN).count());
        let grace = self.epochs.grace().as_secs();
        let off = ahead
            .filter(|seconds| seconds.unsigned_abs() > grace)
            .map(|seconds| ClockOff { seconds });
        if off.is_some() != self.clock_off.is_some() {
            self.outputs.push_back(Output::ClockOff(off));
            self.shown = None;
            self.sets_stale = true;
            self.next_round = self.next_round.min(now.mono + self.busy());
        }
        self.clock_off = off;
    }

    /// Signs what this node says in this epoch, once its keys are on the disk.
    fn announce(&mut self, now: Now) {
        if !self.profile.capabilities.serves() || self.clock_off.is_some() {
            return;
        }
        let said = self.announced.as_ref();
        if said.is_some_and(|(epoch, profile)| *epoch == self.epoch && *profile == self.profile) {
            return;
        }
        let Some((mix_key, next_mix_key)) = self.keys.named_in(self.epoch) else {
            return;
        };
        let into_epoch = now.unix_ms - self.epochs.start_ms(self.epoch);
        // Greater than before the restart or the change, which may be in this same second.
        let said = self.registry.newest(&self.own);
        let said = said.filter(|said| said.epoch() == self.epoch);
        let after = said.map_or(0, |said| said.statement().serial.saturating_add(1));
        let profile = self.profile.clone();
        let statement = Statement {
            serial: after.max((into_epoch / 1000) as u32),
            address: profile.address,
            transport: profile.transport,
            places: profile.places.clone(),
            next_mix_key: Some(next_mix_key),
            capabilities: profile.capabilities,
            capacity: profile.capacity,
            load: self.forwarded.load,
            gateway_key: profile.gateway_key,
            ..Statement::new(self.epoch, mix_key)
        };
        match Descriptor::sign_with(statement, &self.identity, self.proof) {
            Ok(descriptor) => {
                self.registry.insert(descriptor);
                self.learned(now);
            }
            Err(error) => tracing::error!(%error, "this node's own descriptor cannot be signed"),
        }
        self.announced = Some((self.epoch, profile));
    }

    /// Something in the registry is new: others should hear of it soon.
    fn learned(&mut self, now: Now) {
        self.sets_stale = true;
        self.unsaved = true;
        self.next_round = self.next_round.min(now.mono + self.busy());
    }

    /// Takes in descriptors that somebody gave.
    fn take(&mut self, now: Now, descriptors: &[Vec<u8>]) {
        let mut news = false;
        for bytes in descriptors {
            match self.registry.admit(bytes, self.epoch) {
                Admission::New => {
                    news = true;
                    self.admitted += 1;
                }
                Admission::Known => {}
                Admission::Refused(refusal) => {
                    *self.refused.entry(refusal.as_str()).or_default() += 1;
                }
            }
        }
        if news {
            self.learned(now);
        }
    }

    /// What this node says of itself to those who ask for the root of `epoch`.
    fn state(&mut self, now: Now, epoch: u32) -> State {
        State {
            unix_seconds: (now.unix_ms / 1000) as u32,
            epoch,
            root: self.root(now, epoch),
            registry: match self.mode {
                Mode::Full => self.registry.digest(),
                Mode::Light => [0; 16],
            },
        }
    }

    fn note_voice(&mut self, now: Now, from: PeerKey, state: &State) {
        let is_known = self.registry.newest(&from).is_some()
            || self.seeds.iter().any(|seed| seed.peer == from)
            || self.sets.values().any(|set| set.get(&from).is_some());
        if is_known {
            self.voices.note(from, state, now.unix_ms);
        }
    }

    fn note_found(&mut self, contact: Contact) {
        let known = self.registry.newest(&contact.peer).is_some();
        if !known && contact.peer != self.own && self.may_dial(&contact) {
            self.found.truncate(SEEDS_MAX - 1);
            self.found.push_front(contact);
        }
    }

    /// Everybody who can be asked and is not this node: the registry, or the last set, and the seeds.
    fn contacts(&self) -> impl Iterator<Item = Contact> {
        let registered = self.registry.nodes().filter_map(|(_, node)| node.newest());
        let active = self.sets.values().next_back().into_iter();
        let active = active.flat_map(ActiveSet::descriptors);
        let active = active.filter(|descriptor| self.registry.newest(&descriptor.peer()).is_none());
        let known = registered.chain(active).map(Contact::of);
        let seeds = self.seeds.iter().filter(|seed| {
            self.registry.newest(&seed.peer).is_none()
                && !self.sets.values().any(|set| set.get(&seed.peer).is_some())
        });
        known
            .chain(seeds.cloned())
            .filter(|contact| contact.peer != self.own && !contact.places.is_empty())
    }

    fn ask(&mut self, to: Contact, request: Request) -> AskId {
        self.asks += 1;
        let id = self.asks;
        self.outputs.push_back(Output::Ask { id, to, request });
        id
    }

    fn busy(&self) -> std::time::Duration {
        self.pause(ROUND_BUSY, ROUND_BUSY_PART)
    }

    fn quiet(&self) -> std::time::Duration {
        self.pause(ROUND_QUIET, ROUND_QUIET_PART)
    }

    fn pause(&self, most: std::time::Duration, part: u32) -> std::time::Duration {
        most.min(self.epochs.length() / part)
    }

    /// What is to be kept for the next start.
    pub fn snapshot(&self) -> Snapshot {
        let registered = self.registry.nodes().flat_map(|(_, node)| {
            let since = node.since;
            node.said
                .values()
                .map(move |descriptor| (since, descriptor.clone()))
        });
        let mut known: Vec<(u32, Descriptor)> = match self.mode {
            Mode::Full => registered.collect(),
            Mode::Light => {
                let newest = self.sets.values().next_back().into_iter();
                let nodes = newest.flat_map(ActiveSet::descriptors);
                nodes.map(|node| (node.epoch(), node.clone())).collect()
            }
        };
        // Who has not found the others yet does not forget where to look for them.
        if known.iter().all(|(_, node)| node.peer() == self.own) {
            known.extend(self.remembered.iter().cloned());
        }
        Snapshot {
            epoch: self.epoch,
            watching_since: self.watching_since,
            known,
        }
    }

    /// A snapshot for the local user.
    pub fn status(&self, now: Now) -> Status {
        let set = self.sets.get(&self.epoch);
        Status {
            epoch: self.epoch,
            root: self.root(now, self.epoch),
            relays: set.map_or(0, ActiveSet::relays),
            active: set.map_or(0, ActiveSet::len),
            registered: self.registry.len(),
            fork: self.fork.clone(),
            clock_off: self.clock_off,
            unanswered: self.unanswered,
            contacts: self.contacts().count(),
            rounds: self.rounds,
            admitted: self.admitted,
            refused: self.refused.clone(),
            throttled: self.throttled,
        }
    }

    /// The active set of an epoch, if it is known.
    pub fn set(&self, epoch: u32) -> Option<&ActiveSet> {
        self.sets.get(&epoch)
    }

    /// This node's newest descriptor.
    pub fn own_descriptor(&self) -> Option<&Descriptor> {
        self.registry.newest(&self.own)
    }

    /// A number below `end`, which must not be zero.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.rng.next_u64()) * end as u128) >> 64) as usize
    }
}

/// Packets a second, up to the next power of two: how busy a relay is, and not more.
fn rounded(per_second: u64) -> u16 {
    let most = u64::from(u16::MAX / 2 + 1);
    match per_second.min(most) {
        0 => 0,
        some => some.next_power_of_two() as u16,
    }
}

/// How often what is known is written to the disk, if it changed.
const SAVE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
