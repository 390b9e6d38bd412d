//! A bridge and an edge on virtual time: a link that loses, doubles and reorders whole objects frame by frame, reply
//! blocks that work once and die with the edge that made them, a disk that takes its time, crashes between any two
//! outputs, and a Whisper network with a clock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::engine::{self, Engine};
use bridge::gateway::client::{self, Client};
use bridge::gateway::request::Mode;
use bridge::gateway::seal::ExchangeSecret;
use bridge::port::{
    BridgeId, BridgeInfo, Envelope, EnvelopeHash, Now, Object, Prefix, REPLY_BLOCK_LEN, ReplyBlock,
    SealError, Stage, Tag, Trace,
};
use bridge::store::{Batch, MemoryStore, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use secp256k1::{PublicKey, SecretKey};

use crate::envelope::{self, Reader};

/// What a packet carries.
pub const FRAME: usize = 3932;
/// What a mailbox box holds.
pub const BOX: usize = 3072;
/// Between two looks into a chain.
const POLL_MS: u64 = 5_000;
/// When the simulation begins, Unix milliseconds.
pub const START_MS: u64 = 1_600_000_000_000;

/// How rough it is.
#[derive(Clone, Copy)]
pub struct Weather {
    /// Of 100 packets.
    pub loss: u64,
    /// Of 100 objects.
    pub doubled: u64,
    pub delay_ms: (u64, u64),
    pub commit_ms: u64,
}

pub const CALM: Weather = Weather {
    loss: 0,
    doubled: 0,
    delay_ms: (300, 600),
    commit_ms: 3,
};
pub const ROUGH: Weather = Weather {
    loss: 20,
    doubled: 10,
    delay_ms: (200, 2500),
    commit_ms: 5,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Bridge,
    Edge,
}

enum Event {
    ToBridge(engine::Input),
    ToEdge(client::Input),
    /// A batch reaches the disk; `0`: of which life of the role.
    Written(Who, u64, u64, Batch),
    Committed(Who, u64, u64),
    /// A message of the person on Whisper, and one of the person behind the edge.
    Whisper(Envelope),
    Local(Envelope),
    Start(Who),
    /// The edge, in this life, looks into a chain.
    Poll(u64, [u8; 16]),
}

/// Where a role goes down: at which of its commits, and whether the batch is on the disk by then.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub who: Who,
    pub commit: u64,
    pub written: bool,
}

pub struct World {
    pub weather: Weather,
    pub rng: ChaCha20Rng,
    base: Instant,
    pub now_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    serial: u64,
    pub bridge: Option<Engine>,
    pub edge: Option<Client>,
    pub bridge_store: Arc<MemoryStore>,
    pub edge_store: Arc<MemoryStore>,
    lives: [u64; 2],
    pub commits: [u64; 2],
    pub crashes: Vec<Crash>,
    pub mode: Mode,
    pub interests: Vec<Prefix>,
    /// Reply blocks by number: of which life of the edge; gone once spent.
    blocks: BTreeMap<u64, u64>,
    /// When each was made.
    block_made_ms: BTreeMap<u64, u64>,
    next_block: u64,
    pub blocks_refused: bool,
    /// Envelopes that Whisper holds.
    pub whisper: BTreeMap<EnvelopeHash, Envelope>,
    pub whisper_peers: u32,
    /// What the person on Whisper was shown, by content; and how often an envelope was published first.
    pub seen_on_whisper: BTreeMap<[u8; 32], BTreeSet<EnvelopeHash>>,
    /// How often the edge handed over an envelope.
    pub delivered: BTreeMap<EnvelopeHash, u32>,
    /// Envelopes that the local client has sent and still repeats to a new session.
    local: Vec<Envelope>,
    pub traces: Vec<(Who, Trace)>,
    pub captured: Vec<Object>,
    pub sent_to_edge: Vec<Object>,
    pub jobs: u64,
    /// Messages so far; each has a content of its own.
    pub said: u32,
    /// Work that is never done, while set.
    pub workers_stuck: bool,
    /// The bridge's clock has jumped: nothing is sealed, while set.
    pub clock_in_doubt: bool,
    /// Mailboxes: payloads by the key of their chain and their first box, and the chains that the edge follows.
    pub boxes: BTreeMap<([u8; 32], u64), Vec<u8>>,
    watched: BTreeMap<[u8; 16], ([u8; 32], u64)>,
    /// Payloads that were left, repetitions among them.
    pub left: u32,
    /// Whether mailboxes take anything.
    pub mailboxes_full: bool,
    /// One frame of the edge leaves in so many milliseconds; 0: all leave at once.
    pub slot_ms: u64,
    /// When the last frame that the edge sent has left.
    line_free_ms: u64,
}

impl World {
    pub fn new(seed: u64, weather: Weather, mode: Mode) -> Self {
        let mut world = Self {
            weather,
            rng: ChaCha20Rng::seed_from_u64(seed),
            base: Instant::now(),
            now_ms: 0,
            events: BTreeMap::new(),
            serial: 0,
            bridge: None,
            edge: None,
            bridge_store: Arc::new(MemoryStore::new()),
            edge_store: Arc::new(MemoryStore::new()),
            lives: [0; 2],
            commits: [0; 2],
            crashes: Vec::new(),
            mode,
            interests: vec![Prefix::of_topic([0xe1, 0, 0, 0], 8).unwrap()],
            blocks: BTreeMap::new(),
            block_made_ms: BTreeMap::new(),
            next_block: 0,
            blocks_refused: false,
            whisper: BTreeMap::new(),
            whisper_peers: 1,
            seen_on_whisper: BTreeMap::new(),
            delivered: BTreeMap::new(),
            local: Vec::new(),
            traces: Vec::new(),
            captured: Vec::new(),
            sent_to_edge: Vec::new(),
            jobs: 0,
            said: 0,
            workers_stuck: false,
            clock_in_doubt: false,
            boxes: BTreeMap::new(),
            watched: BTreeMap::new(),
            left: 0,
            mailboxes_full: false,
            slot_ms: 0,
            line_free_ms: 0,
        };
        world.start(Who::Bridge);
        world.start(Who::Edge);
        world
    }

    /// A bridge alone.
    pub fn bridge_only(seed: u64) -> Self {
        let mut world = Self::new(seed, CALM, Mode::Batch);
        world.edge = None;
        world
    }

    pub fn now(&self) -> Now {
        Now {
            mono: self.base + Duration::from_millis(self.now_ms),
            unix_ms: START_MS + self.now_ms,
        }
    }

    pub fn unix(&self) -> u32 {
        self.now().unix()
    }

    /// An envelope of a status client: topic by number, sealed for 15 s.
    pub fn make(&self, first: u8, n: u32) -> Envelope {
        let mut data = vec![0x5a; 1100];
        data[..4].copy_from_slice(&n.to_be_bytes());
        envelope::seal([first, 2, 3, 4], &data, 15, self.unix() + 15, 0.002)
    }

    pub fn whisper_says(&mut self, envelope: &Envelope) {
        self.whisper.insert(envelope.facts.hash, envelope.clone());
        self.at(0, Event::Whisper(envelope.clone()));
    }

    pub fn local_says(&mut self, envelope: &Envelope) {
        self.local.push(envelope.clone());
        self.at(0, Event::Local(envelope.clone()));
    }

    pub fn tell_bridge(&mut self, input: engine::Input) {
        self.at(0, Event::ToBridge(input));
    }

    pub fn tell_edge(&mut self, input: client::Input) {
        self.at(0, Event::ToEdge(input));
    }

    /// Lets the time pass.
    pub fn run_for(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        self.run_until_ms(until, |_| false);
    }

    /// Until the condition holds; fails after so many milliseconds.
    pub fn run_until(&mut self, ms: u64, what: &str, done: impl Fn(&World) -> bool) {
        let until = self.now_ms + ms;
        assert!(
            self.run_until_ms(until, &done),
            "{what}: not within {ms} ms"
        );
    }

    fn run_until_ms(&mut self, until: u64, done: impl Fn(&World) -> bool) -> bool {
        let mut idle = 0;
        loop {
            if done(self) {
                return true;
            }
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let ticks = [self.deadline(Who::Bridge), self.deadline(Who::Edge)];
            let tick = ticks.into_iter().flatten().min();
            let next = event.into_iter().chain(tick).min().unwrap_or(until);
            if next > until {
                self.now_ms = until;
                return done(self);
            }
            idle = if next <= self.now_ms && event.is_none_or(|at| at > self.now_ms) {
                idle + 1
            } else {
                0
            };
            assert!(idle < 100, "a deadline stays in the past");
            self.now_ms = self.now_ms.max(next);
            if event == Some(next) {
                let (_, event) = self.events.pop_first().unwrap();
                self.happen(event);
            } else {
                let (bridge, edge) = (ticks[0] == Some(next), ticks[1] == Some(next));
                if bridge {
                    self.handle_bridge(engine::Input::Tick);
                }
                if edge {
                    self.handle_edge(client::Input::Tick);
                }
            }
        }
    }

    fn deadline(&self, who: Who) -> Option<u64> {
        let now = self.now();
        let at = match who {
            Who::Bridge => self.bridge.as_ref()?.next_deadline(now)?,
            Who::Edge => self.edge.as_ref()?.next_deadline(now)?,
        };
        let after = at.saturating_duration_since(self.base);
        Some(
            u64::try_from(after.as_micros().div_ceil(1000))
                .unwrap()
                .max(self.now_ms),
        )
    }

    fn at(&mut self, delay_ms: u64, event: Event) {
        self.serial += 1;
        self.events
            .insert((self.now_ms + delay_ms, self.serial), event);
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToBridge(input) => self.handle_bridge(input),
            Event::ToEdge(input) => self.handle_edge(input),
            Event::Whisper(envelope) => self.handle_bridge(engine::Input::Envelope(envelope)),
            Event::Local(envelope) => self.handle_edge(client::Input::Envelope(envelope)),
            Event::Start(who) => self.start(who),
            Event::Poll(life, label) => self.poll(life, label),
            Event::Written(who, life, seq, batch) => self.written(who, life, seq, &batch),
            Event::Committed(who, life, seq) if life == self.lives[who as usize] => match who {
                Who::Bridge => self.handle_bridge(engine::Input::Committed(seq)),
                Who::Edge => self.handle_edge(client::Input::Committed(seq)),
            },
            Event::Committed(..) => {}
        }
    }

    fn written(&mut self, who: Who, life: u64, seq: u64, batch: &Batch) {
        if life != self.lives[who as usize] {
            return; // the process that wanted it written is gone
        }
        self.commits[who as usize] += 1;
        let count = self.commits[who as usize];
        let crash = self
            .crashes
            .iter()
            .find(|crash| crash.who == who && crash.commit == count)
            .copied();
        let store = if who == Who::Bridge {
            &self.bridge_store
        } else {
            &self.edge_store
        };
        if crash.is_none_or(|crash| crash.written) {
            store.write(batch, true).unwrap();
        }
        match crash {
            Some(_) => self.crash(who),
            None => self.at(0, Event::Committed(who, life, seq)),
        }
    }

    /// The process dies; another starts in a second.
    pub fn crash(&mut self, who: Who) {
        self.lives[who as usize] += 1;
        match who {
            Who::Bridge => self.bridge = None,
            Who::Edge => {
                self.edge = None;
                self.watched.clear();
            }
        }
        self.at(1000, Event::Start(who));
    }

    fn start(&mut self, who: Who) {
        let now = self.now();
        let unix = now.unix();
        // The same in each life: what is drawn differs all the same.
        let seed = [who as u8; 32];
        match who {
            Who::Bridge => {
                self.bridge = Some(
                    Engine::open(bridge_config(seed), self.bridge_store.clone(), now).unwrap(),
                );
                self.drain_bridge();
                // Peers of Whisper tell a new session everything that is still valid.
                let live: Vec<Envelope> = self
                    .whisper
                    .values()
                    .filter(|e| e.facts.expiry > unix)
                    .cloned()
                    .collect();
                for envelope in live {
                    self.at(50, Event::Whisper(envelope));
                }
            }
            Who::Edge => {
                let mut config =
                    client::Config::new(vec![bridge_info()], Arc::new(Reader), seed, FRAME);
                config.mode = self.mode;
                self.edge = Some(Client::open(config, self.edge_store.clone(), now).unwrap());
                self.drain_edge();
                let live: Vec<Envelope> = self
                    .local
                    .iter()
                    .filter(|e| e.facts.expiry > unix)
                    .cloned()
                    .collect();
                for envelope in live {
                    self.at(50, Event::Local(envelope));
                }
                let interests = self.interests.clone();
                self.at(100, Event::ToEdge(client::Input::Interests(interests)));
            }
        }
    }

    fn handle_bridge(&mut self, input: engine::Input) {
        let now = self.now();
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        bridge.handle(now, input).unwrap();
        self.drain_bridge();
    }

    fn handle_edge(&mut self, input: client::Input) {
        let now = self.now();
        let Some(edge) = &mut self.edge else { return };
        edge.handle(now, input).unwrap();
        self.drain_edge();
    }

    fn drain_bridge(&mut self) {
        while let Some(output) = self.bridge.as_mut().and_then(Engine::poll_output) {
            match output {
                engine::Output::Commit { seq, batch } => {
                    let life = self.lives[0];
                    self.at(
                        self.weather.commit_ms,
                        Event::Written(Who::Bridge, life, seq, batch),
                    );
                }
                engine::Output::Reply { blocks, object } => self.reply(&blocks, object),
                engine::Output::Publish { envelope } => self.publish(envelope),
                engine::Output::Work(job) => {
                    self.jobs += 1;
                    if self.workers_stuck {
                        continue;
                    }
                    let result = if self.clock_in_doubt {
                        Err(SealError::Clock)
                    } else {
                        let (topic, data) = (job.topic, &job.data);
                        Ok(envelope::seal(topic, data, job.ttl, job.expiry, job.target))
                    };
                    let sealed = engine::Input::Sealed {
                        job: job.job,
                        result,
                    };
                    self.at(40, Event::ToBridge(sealed));
                }
                engine::Output::Leave {
                    tag,
                    key,
                    first,
                    payload,
                } => self.leave(tag, *key.expose(), first, payload),
                engine::Output::Forget { .. } => {}
                engine::Output::Trace(trace) => self.traces.push((Who::Bridge, trace)),
            }
        }
    }

    fn drain_edge(&mut self) {
        while let Some(output) = self.edge.as_mut().and_then(Client::poll_output) {
            match output {
                client::Output::Commit { seq, batch } => {
                    let life = self.lives[1];
                    self.at(
                        self.weather.commit_ms,
                        Event::Written(Who::Edge, life, seq, batch),
                    );
                }
                client::Output::WantBlocks { count } => {
                    assert!(count <= 512, "wants {count} blocks at once");
                    if !self.blocks_refused {
                        let blocks = (0..count).map(|_| self.make_block()).collect();
                        self.at(1, Event::ToEdge(client::Input::Blocks(blocks)));
                    }
                }
                client::Output::Send { to, object, .. } => {
                    assert_eq!(to, bridge_info().id);
                    self.captured.push(object.clone());
                    let frames = object.bytes.len().div_ceil(FRAME).max(1) as u64;
                    self.line_free_ms = self.line_free_ms.max(self.now_ms) + frames * self.slot_ms;
                    self.carry(self.line_ms(), object, |object| {
                        Event::ToBridge(engine::Input::Object(object))
                    });
                }
                client::Output::Deliver(envelope) => {
                    *self.delivered.entry(envelope.facts.hash).or_default() += 1;
                    self.at(
                        10,
                        Event::ToEdge(client::Input::Handed(envelope.facts.hash)),
                    );
                }
                client::Output::Watch { label, key, next } => {
                    self.watched.insert(label, (*key.expose(), next));
                    self.at(POLL_MS, Event::Poll(self.lives[1], label));
                }
                client::Output::Unwatch { label } => {
                    self.watched.remove(&label);
                }
                client::Output::Trace(trace) => self.traces.push((Who::Edge, trace)),
            }
        }
    }

    pub fn make_block(&mut self) -> ReplyBlock {
        self.next_block += 1;
        let life = self.lives[1];
        self.blocks.insert(self.next_block, life);
        self.block_made_ms.insert(self.next_block, self.now_ms);
        let mut bytes = vec![0; REPLY_BLOCK_LEN];
        bytes[..8].copy_from_slice(&self.next_block.to_be_bytes());
        ReplyBlock::new(bytes).unwrap()
    }

    /// Blocks made so far lead nowhere from now on.
    pub fn kill_blocks(&mut self) {
        for life in self.blocks.values_mut() {
            *life = u64::MAX;
        }
    }

    /// Each block works once, and only for the life of the edge that made it.
    fn reply(&mut self, blocks: &[ReplyBlock], object: Object) {
        assert_eq!(
            blocks.len(),
            object.bytes.len().div_ceil(FRAME).max(1),
            "one block for each frame"
        );
        let mut alive = true;
        for block in blocks {
            let number = u64::from_be_bytes(*block.bytes().first_chunk::<8>().unwrap());
            let life = self.blocks.remove(&number);
            assert!(
                life.is_some(),
                "reply block {number} was spent twice: {object:?} {:?} commits {:?}",
                self.crashes,
                self.commits
            );
            alive &= life == Some(self.lives[1]);
            let age_ms = self.now_ms - self.block_made_ms[&number];
            assert!(
                age_ms < 1_800_000,
                "a reply block was used {age_ms} ms after it was made"
            );
        }
        self.sent_to_edge.push(object.clone());
        if alive {
            self.carry(0, object, |object| {
                Event::ToEdge(client::Input::Object(object))
            });
        }
    }

    /// A payload for mailboxes: the first write counts, and it takes a while until two of them say that they keep it.
    fn leave(&mut self, tag: Tag, key: [u8; 32], first: u64, payload: Vec<u8>) {
        let input = if self.mailboxes_full {
            engine::Input::NotLeft { tag, first }
        } else {
            self.left += 1;
            let kept = self
                .boxes
                .entry((key, first))
                .or_insert_with(|| payload.clone());
            assert!(
                *kept == payload,
                "a box was written twice, with different content"
            );
            engine::Input::Left { tag, first }
        };
        let delay = 2_000 + self.below(20_000);
        self.at(delay, Event::ToBridge(input));
    }

    /// What the edge finds in the next boxes of a chain.
    fn poll(&mut self, life: u64, label: [u8; 16]) {
        let Some((key, next)) = self.watched.get(&label).copied() else {
            return;
        };
        if life != self.lives[1] || self.edge.is_none() {
            return;
        }
        if let Some(payload) = self.boxes.get(&(key, next)).cloned() {
            let next = next + payload.len().div_ceil(BOX).max(1) as u64;
            self.watched.insert(label, (key, next));
            let found = client::Input::Found {
                label,
                next,
                payload,
            };
            self.at(0, Event::ToEdge(found));
        }
        self.at(POLL_MS, Event::Poll(life, label));
    }

    /// The reader gives up boxes that stay empty: the chains go on at the next box that is full.
    pub fn skip_to_what_is_there(&mut self) {
        self.run_for(POLL_MS);
        let labels: Vec<[u8; 16]> = self.watched.keys().copied().collect();
        for label in labels {
            let (key, next) = self.watched[&label];
            let there = self.boxes.range((key, next)..).next();
            if let Some(((_, first), _)) = there.filter(|((of, _), _)| *of == key) {
                let next = *first;
                self.watched.insert(label, (key, next));
                self.tell_edge(client::Input::Skipped { label, next });
            }
        }
    }

    /// The process ends, and stays so.
    pub fn stop(&mut self, who: Who) {
        self.lives[who as usize] += 1;
        match who {
            Who::Bridge => self.bridge = None,
            Who::Edge => {
                self.edge = None;
                self.watched.clear();
            }
        }
    }

    /// It starts again.
    pub fn start_again(&mut self, who: Who) {
        self.at(0, Event::Start(who));
    }

    /// The mixnet: a lost frame loses the object.
    /// For how long what the edge has sent still waits for slots.
    pub fn line_ms(&self) -> u64 {
        self.line_free_ms.saturating_sub(self.now_ms)
    }

    fn carry(&mut self, after_ms: u64, object: Object, event: impl Fn(Object) -> Event) {
        let frames = object.bytes.len().div_ceil(FRAME).max(1);
        let copies = if self.below(100) < self.weather.doubled {
            2
        } else {
            1
        };
        let lost = (0..frames).any(|_| self.below(100) < self.weather.loss);
        if lost {
            return;
        }
        for _ in 0..copies {
            let (least, most) = self.weather.delay_ms;
            let delay = least + self.below(most - least);
            self.at(after_ms + delay, event(object.clone()));
        }
    }

    /// Whisper takes what is valid by its own rules.
    fn publish(&mut self, envelope: Envelope) {
        let facts = inspect(&envelope);
        let now_s = self.unix();
        let hash = facts.hash;
        assert!(
            facts.sent <= now_s + 10,
            "published {} s ahead",
            facts.sent - now_s
        );
        let least = if facts.size > 50_000 {
            0.000_002
        } else {
            0.002
        };
        assert!(
            facts.pow >= least,
            "published with a proof of work of {}",
            facts.pow
        );
        if facts.expiry < now_s {
            let refused = engine::Input::Refused {
                hash,
                reason: "expired",
            };
            return self.at(5, Event::ToBridge(refused));
        }
        if self.whisper.contains_key(&hash) {
            return; // the peers have it, so none takes it from us
        }
        let peers = self.whisper_peers;
        if peers > 0 {
            self.seen_on_whisper
                .entry(facts.content_id)
                .or_default()
                .insert(hash);
            self.whisper.insert(hash, envelope);
        }
        self.at(
            20,
            Event::ToBridge(engine::Input::Published { hash, peers }),
        );
    }

    /// The stages of an envelope at one end, in the order in which they were told.
    pub fn life(&self, who: Who, hash: EnvelopeHash) -> Vec<Stage> {
        let of = |(at, trace): &&(Who, Trace)| *at == who && trace.hash == hash;
        self.traces
            .iter()
            .filter(of)
            .map(|(_, trace)| trace.stage)
            .collect()
    }
}

fn inspect(envelope: &Envelope) -> bridge::port::EnvelopeFacts {
    use bridge::port::Inspect;
    Reader.inspect(&envelope.rlp).unwrap()
}

pub fn gateway_secret() -> ExchangeSecret {
    ExchangeSecret::from_bytes([7; 32])
}

pub fn bridge_info() -> BridgeInfo {
    let secret = SecretKey::from_secret_bytes([9; 32]).unwrap();
    let id = BridgeId(PublicKey::from_secret_key(&secret).serialize());
    BridgeInfo {
        id,
        gateway_key: *gateway_secret().public().bytes(),
    }
}

pub fn bridge_config(seed: [u8; 32]) -> engine::Config {
    engine::Config {
        id: bridge_info().id,
        gateway_secret: gateway_secret(),
        inspect: Arc::new(Reader),
        seed,
        frame_capacity: FRAME,
        retry: engine::RETRY,
        reseal: true,
        mailboxes: Some(engine::Mailboxes {
            box_capacity: BOX,
            absent_after: Duration::from_secs(300),
        }),
    }
}
