//! Asking a mailserver for what was missed.
//!
//! ```text
//! waiting ─ first of its server ─▶ sealing ─ work done ─▶ asking ─ 127 … 125 with cursor ─▶ sealing …
//!                                                           │ 10 s without a sign: again, twice
//!                                                           └ 125 without cursor, or a refusal ─▶ over
//! ```
//!
//! The server is trusted first, so that its envelopes are taken; they reach local filters as direct messages. Envelopes do not say
//! for which request they are, so a server is asked for one page at a time. A server that knows no completions (geth) has said
//! everything when it says nothing more. Spec: mailserver request, completion.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use thiserror::Error;

use super::key::Cursor;
use super::limits;
use super::request::{Form, MailId, Request, Wanted};
use super::response::{Completion, CompletionError};
use crate::identity::{NodeId, PublicKey, SecretKey};
use crate::now::Now;
use crate::shh::message::Padding;
use crate::shh::pow::Search;
use crate::shh::seal::{SealTo, SymKey, seal};
use crate::shh::wire::REQUEST;
use crate::shh::{Bloom, Draft, EnvelopeHash, PeerId, Topic};

/// Name of a request of ours, all of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryId(pub u64);

/// What to ask a mailserver for, and how.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// The server. It must be connected, or be back within seconds.
    pub server: NodeId,
    /// First second of sending.
    pub lower: u32,
    /// Last second of sending; zero for now.
    pub upper: u32,
    /// The filter that topics must pass.
    pub bloom: Bloom,
    /// Topics; only the form of seven fields has them.
    pub topics: Vec<Topic>,
    /// Envelopes of one page; zero leaves it to the server.
    pub limit: u32,
    /// Where to start; nothing for the beginning.
    pub cursor: Option<Cursor>,
    /// Pages after which to stop; nothing for all there are.
    pub pages_max: Option<u32>,
    /// Whether many envelopes may come in one packet.
    pub batch: bool,
    /// How the request is written.
    pub access: Access,
    /// Work of a sealed request; nothing for what the server asks of envelopes.
    pub pow: Option<f64>,
    /// Whether the envelopes are also handed to those who take what is new in the pool. Their times are not checked.
    pub announce: bool,
}

impl HistoryRequest {
    /// Everything of a time, in pages of the server's choice.
    pub fn new(server: NodeId, lower: u32, upper: u32, access: Access) -> HistoryRequest {
        HistoryRequest {
            server,
            lower,
            upper,
            bloom: Bloom::FULL,
            topics: Vec::new(),
            limit: 0,
            cursor: None,
            pages_max: None,
            batch: true,
            access,
            pow: None,
            announce: false,
        }
    }
}

/// What opens the door of a mailserver.
#[derive(Clone, Debug)]
pub enum Access {
    /// Nothing: the request goes in clear.
    Plain,
    /// A key that the server shares with its clients, and the form in which it is asked.
    Password(SymKey, Sealed),
    /// The server's own key.
    ServerKey(PublicKey, Sealed),
}

/// The forms that are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Six fields: Status servers before 0.40.
    Six,
    /// Seven fields: Status servers from 0.40 on.
    Seven,
    /// Fixed lengths: geth, which neither pages nor says when it is done.
    Raw,
}

impl Access {
    fn form(&self) -> Form {
        match self {
            Access::Plain => Form::Plain,
            Access::Password(_, sealed) | Access::ServerKey(_, sealed) => match sealed {
                Sealed::Six => Form::Six,
                Sealed::Seven => Form::Seven,
                Sealed::Raw => Form::Raw,
            },
        }
    }
}

/// What a request brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Envelopes, each once.
    pub envelopes: u64,
    /// Requests that it took, those included that were made again.
    pub pages: u32,
    /// The last envelope that the server names.
    pub last: Option<EnvelopeHash>,
    /// Where to go on, where it was stopped before the end.
    pub cursor: Option<Cursor>,
    /// The server said that this is all. False for servers that never say so.
    pub complete: bool,
}

/// Why a request did not get to its end.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The server is not there.
    #[error("the mailserver is not connected")]
    NotConnected,
    /// The server gave no sign.
    #[error("the mailserver did not answer")]
    TimedOut,
    /// The server refused, in its words.
    #[error("the mailserver refused: {0}")]
    Refused(String),
    /// The server leads us in circles.
    #[error("the mailserver does not get on with its pages")]
    Stuck,
    /// The server asks for more work than is reasonable.
    #[error("the mailserver asks for {bits} zero bits of work")]
    TooMuchWork {
        /// Bits asked for.
        bits: u16,
    },
    /// Too many at once.
    #[error("{0} requests are under way already")]
    TooMany(usize),
    /// It ends before it starts.
    #[error("the time ends at {upper}, before it starts at {lower}")]
    Range {
        /// First second.
        lower: u32,
        /// Last second.
        upper: u32,
    },
    /// Not a number that a server takes.
    #[error("a page of {0} envelopes, where at most 1000 are possible")]
    Limit(u32),
}

/// What happens to the client.
#[derive(Clone, Debug)]
pub enum Input {
    /// A peer has said its Status.
    PeerReady {
        /// The connection.
        peer: PeerId,
        /// Who is at its other end.
        node: NodeId,
        /// The work that it asks for.
        min_pow: f64,
    },
    /// A connection is gone.
    PeerDown {
        /// The connection.
        peer: PeerId,
    },
    /// Somebody wants history.
    Request {
        /// Its name in the answer.
        id: HistoryId,
        /// What to ask, and whom.
        request: Box<HistoryRequest>,
    },
    /// A search that was handed out has ended.
    WorkDone {
        /// The request that it was for.
        id: HistoryId,
        /// The nonce; nothing where there is none.
        nonce: Option<u64>,
    },
    /// A trusted peer sent an envelope.
    Direct {
        /// The connection.
        peer: PeerId,
        /// The envelope.
        hash: EnvelopeHash,
    },
    /// A trusted peer sent code 125.
    Completion {
        /// The connection.
        peer: PeerId,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// A deadline passed.
    Tick,
}

/// What the client wants done.
pub enum Output {
    /// Take mail from this node.
    Trust(NodeId),
    /// Send a message.
    Send {
        /// To whom.
        peer: PeerId,
        /// The code.
        code: u64,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// Search for a nonce, away from everything that must go on.
    Work {
        /// The request that it is for.
        id: HistoryId,
        /// The search.
        search: Box<Search>,
    },
    /// End a connection.
    Dismiss {
        /// Which.
        peer: PeerId,
        /// Why.
        error: CompletionError,
    },
    /// A request has ended.
    Finished {
        /// Its name.
        id: HistoryId,
        /// How.
        result: Result<History, HistoryError>,
    },
}

/// Numbers since the start, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent, each page and each repetition.
    pub requests: u64,
    /// Envelopes that came for them.
    pub envelopes: u64,
    /// Refusals of servers.
    pub refusals: u64,
    /// Times that a server gave no sign.
    pub timeouts: u64,
    /// Completions of nothing that was asked.
    pub unsolicited: u64,
}

/// The client.
pub struct Client {
    key: SecretKey,
    peers: BTreeMap<PeerId, (NodeId, f64)>,
    /// The request that each server is asked now.
    active: BTreeMap<NodeId, Asking>,
    waiting: VecDeque<(HistoryId, Box<HistoryRequest>)>,
    counters: Counters,
    outputs: VecDeque<Output>,
    rng: ChaCha20Rng,
}

struct Asking {
    id: HistoryId,
    request: Box<HistoryRequest>,
    upper: u32,
    cursor: Option<Cursor>,
    /// Which way the cursors go, once there were two.
    way: Option<Ordering>,
    stage: Stage,
    attempts: u32,
    /// When to give up, or to ask again.
    until: Instant,
    seen: BTreeSet<EnvelopeHash>,
    history: History,
}

enum Stage {
    /// The server is away.
    Away,
    Sealing(Box<Draft>),
    Asked(MailId),
}

impl Client {
    /// A client that signs with this key, as Status clients do with that of their node.
    pub fn new(key: SecretKey, seed: [u8; 32]) -> Client {
        Client {
            key,
            peers: BTreeMap::new(),
            active: BTreeMap::new(),
            waiting: VecDeque::new(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Takes in what happened, and does what is due.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::PeerReady {
                peer,
                node,
                min_pow,
            } => {
                self.peers.insert(peer, (node, min_pow));
                if matches!(self.active.get(&node), Some(asking) if matches!(asking.stage, Stage::Away))
                {
                    self.ask(now, node);
                }
            }
            Input::PeerDown { peer } => self.peer_down(now, peer),
            Input::Request { id, request } => self.request(now, id, request),
            Input::WorkDone { id, nonce } => self.work_done(now, id, nonce),
            Input::Direct { peer, hash } => self.direct(now, peer, hash),
            Input::Completion { peer, payload } => match Completion::decode(&payload) {
                Ok(completion) => self.completion(now, peer, completion),
                Err(error) => self.outputs.push_back(Output::Dismiss { peer, error }),
            },
            Input::Tick => {}
        }
        self.expire(now);
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let asking = self.active.values();
        asking
            .filter(|asking| !matches!(asking.stage, Stage::Sealing(_)))
            .map(|asking| asking.until)
            .min()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether what this peer sends is also for those who take what is new in the pool.
    pub fn announces(&self, peer: PeerId) -> bool {
        self.asked(peer)
            .is_some_and(|asking| asking.request.announce)
    }

    fn asked(&self, peer: PeerId) -> Option<&Asking> {
        self.active.get(&self.peers.get(&peer)?.0)
    }

    fn request(&mut self, now: Now, id: HistoryId, request: Box<HistoryRequest>) {
        let (lower, upper) = (request.lower, request.upper);
        let error = if upper != 0 && lower > upper {
            Some(HistoryError::Range { lower, upper })
        } else if request.limit > limits::LIMIT_MAX {
            Some(HistoryError::Limit(request.limit))
        } else if self.active.len() + self.waiting.len() >= limits::REQUESTS_MAX {
            Some(HistoryError::TooMany(limits::REQUESTS_MAX))
        } else {
            None
        };
        match error {
            Some(error) => self.outputs.push_back(Output::Finished {
                id,
                result: Err(error),
            }),
            None if self.active.contains_key(&request.server) => {
                self.waiting.push_back((id, request));
            }
            None => self.start(now, id, request),
        }
    }

    fn start(&mut self, now: Now, id: HistoryId, request: Box<HistoryRequest>) {
        let node = request.server;
        self.outputs.push_back(Output::Trust(node));
        let unix = u32::try_from(now.unix_s()).unwrap_or(u32::MAX);
        let asking = Asking {
            id,
            upper: match request.upper {
                0 => unix.saturating_add(limits::OPEN_END),
                upper => upper,
            },
            cursor: request.cursor,
            request,
            way: None,
            stage: Stage::Away,
            attempts: 0,
            until: now.mono + limits::ANSWER_TIMEOUT,
            seen: BTreeSet::new(),
            history: History::default(),
        };
        self.active.insert(node, asking);
        self.ask(now, node);
    }

    /// Writes the request for the next page, or for the same again, and sends it when its work is done.
    fn ask(&mut self, now: Now, node: NodeId) {
        let mut peers = self.peers.iter().filter(|(_, (at, _))| *at == node);
        let peer = peers.next_back().map(|(id, (_, pow))| (*id, *pow));
        let Some(asking) = self.active.get_mut(&node) else {
            return;
        };
        let Some((peer, min_pow)) = peer else {
            asking.stage = Stage::Away;
            asking.until = now.mono + limits::ANSWER_TIMEOUT;
            return;
        };
        let request = asking.page();
        let form = asking.request.access.form();
        let mut id = MailId([0; 32]);
        self.rng.fill_bytes(&mut id.0);
        let payload = request.encode(form, id);
        let to = match &asking.request.access {
            Access::Plain => {
                asking.asked(now, id);
                self.send(peer, payload);
                return;
            }
            Access::Password(key, _) => SealTo::Symmetric(key),
            Access::ServerKey(key, _) => SealTo::Public(key),
        };
        let signer = Some(&self.key);
        let data = seal(to, &payload, Padding::Random, signer, &mut self.rng)
            .expect("a request is far shorter than any plaintext may be");
        let unix = u32::try_from(now.unix_s()).unwrap_or(u32::MAX);
        let expiry = unix.saturating_add(limits::REQUEST_TTL);
        let draft = Draft::new(expiry, limits::REQUEST_TTL, Topic::default(), &data);
        let search = draft.search(asking.request.pow.unwrap_or(min_pow), 0);
        let bits = search.bits();
        if bits > limits::WORK_BITS_MAX {
            self.end(now, node, Err(HistoryError::TooMuchWork { bits }));
            return;
        }
        asking.stage = Stage::Sealing(Box::new(draft));
        let (id, search) = (asking.id, Box::new(search));
        self.outputs.push_back(Output::Work { id, search });
    }

    fn work_done(&mut self, now: Now, id: HistoryId, nonce: Option<u64>) {
        let mut active = self.active.iter_mut();
        let Some((node, asking)) = active.find(|(_, asking)| asking.id == id) else {
            return;
        };
        let node = *node;
        let Stage::Sealing(draft) = &asking.stage else {
            return;
        };
        let Some(nonce) = nonce else {
            let bits = limits::WORK_BITS_MAX;
            self.end(now, node, Err(HistoryError::TooMuchWork { bits }));
            return;
        };
        let envelope = draft.finish(nonce);
        let mut peers = self.peers.iter().filter(|(_, (at, _))| *at == node);
        if let Some(peer) = peers.next_back().map(|(id, _)| *id) {
            asking.asked(now, MailId(*envelope.hash().as_bytes()));
            self.send(peer, envelope.raw().to_vec());
        } else {
            asking.stage = Stage::Away;
            asking.until = now.mono + limits::ANSWER_TIMEOUT;
        }
    }

    fn send(&mut self, peer: PeerId, payload: Vec<u8>) {
        self.counters.requests += 1;
        self.outputs.push_back(Output::Send {
            peer,
            code: REQUEST,
            payload,
        });
    }

    fn direct(&mut self, now: Now, peer: PeerId, hash: EnvelopeHash) {
        let Some((node, _)) = self.peers.get(&peer) else {
            return;
        };
        let Some(asking) = self.active.get_mut(node) else {
            return;
        };
        if !matches!(asking.stage, Stage::Asked(_)) {
            return;
        }
        let full = asking.seen.len() >= limits::SEEN_MAX;
        if full || asking.seen.insert(hash) {
            asking.history.envelopes += 1;
            self.counters.envelopes += 1;
        }
        asking.until = now.mono + asking.patience();
    }

    fn completion(&mut self, now: Now, peer: PeerId, completion: Completion) {
        let node = self.peers.get(&peer).map(|(node, _)| *node);
        let asked = self.asked(peer).map(|asking| &asking.stage);
        let (Some(node), Some(Stage::Asked(id))) = (node, asked) else {
            self.counters.unsolicited += 1;
            return;
        };
        if *id != completion.id() {
            self.counters.unsolicited += 1;
            return;
        }
        match completion {
            Completion::Failed { text, .. } => {
                self.counters.refusals += 1;
                self.end(now, node, Err(HistoryError::Refused(text)));
            }
            Completion::Done { last, cursor, .. } => {
                let Some(asking) = self.active.get_mut(&node) else {
                    return;
                };
                asking.attempts = 0;
                asking.history.last = last.or(asking.history.last);
                match asking.turn(cursor) {
                    Turn::Over => self.end(now, node, Ok(())),
                    Turn::Stuck => self.end(now, node, Err(HistoryError::Stuck)),
                    Turn::Next => self.ask(now, node),
                }
            }
        }
    }

    fn peer_down(&mut self, now: Now, peer: PeerId) {
        let Some((node, _)) = self.peers.remove(&peer) else {
            return;
        };
        let elsewhere = self.peers.values().any(|(other, _)| *other == node);
        let Some(asking) = self.active.get_mut(&node) else {
            return;
        };
        if elsewhere {
            self.ask(now, node);
        } else {
            asking.stage = Stage::Away;
            asking.until = now.mono + limits::ANSWER_TIMEOUT;
        }
    }

    fn expire(&mut self, now: Now) {
        let late = self.active.iter().filter(|(_, asking)| {
            asking.until <= now.mono && !matches!(asking.stage, Stage::Sealing(_))
        });
        let late: Vec<NodeId> = late.map(|(node, _)| *node).collect();
        for node in late {
            let Some(asking) = self.active.get_mut(&node) else {
                continue;
            };
            match asking.stage {
                Stage::Sealing(_) => {}
                Stage::Away => self.end(now, node, Err(HistoryError::NotConnected)),
                // Its silence is its completion.
                Stage::Asked(_) if asking.is_raw() && asking.history.envelopes > 0 => {
                    self.end(now, node, Ok(()));
                }
                Stage::Asked(_) => {
                    self.counters.timeouts += 1;
                    asking.attempts += 1;
                    if asking.attempts > limits::RETRIES {
                        self.end(now, node, Err(HistoryError::TimedOut));
                    } else {
                        self.ask(now, node);
                    }
                }
            }
        }
    }

    fn end(&mut self, now: Now, node: NodeId, result: Result<(), HistoryError>) {
        let Some(asking) = self.active.remove(&node) else {
            return;
        };
        self.outputs.push_back(Output::Finished {
            id: asking.id,
            result: result.map(|()| asking.history),
        });
        let mut next = self.waiting.iter().enumerate();
        let next = next.find(|(_, (_, request))| request.server == node);
        if let Some(at) = next.map(|(at, _)| at)
            && let Some((id, request)) = self.waiting.remove(at)
        {
            self.start(now, id, request);
        }
    }
}

enum Turn {
    Next,
    Over,
    Stuck,
}

impl Asking {
    fn page(&self) -> Request {
        Request {
            lower: self.request.lower,
            upper: self.upper,
            wanted: Wanted {
                bloom: self.request.bloom,
                topics: self.request.topics.clone(),
            },
            limit: self.request.limit,
            cursor: self.cursor,
            batch: self.request.batch,
        }
    }

    fn asked(&mut self, now: Now, id: MailId) {
        self.history.pages += 1;
        self.stage = Stage::Asked(id);
        self.until = now.mono + self.patience();
    }

    fn is_raw(&self) -> bool {
        self.request.access.form() == Form::Raw
    }

    /// How long to wait for the next sign.
    fn patience(&self) -> Duration {
        if self.is_raw() && self.history.envelopes > 0 {
            QUIET
        } else {
            limits::ANSWER_TIMEOUT
        }
    }

    /// A page is complete. Servers page up or down through time; one that does neither would never end.
    fn turn(&mut self, cursor: Option<Cursor>) -> Turn {
        let Some(cursor) = cursor else {
            self.history.complete = true;
            return Turn::Over;
        };
        if let Some(before) = self.cursor {
            let way = cursor.cmp(&before);
            if way == Ordering::Equal || self.way.is_some_and(|before| before != way) {
                return Turn::Stuck;
            }
            self.way = Some(way);
        }
        self.cursor = Some(cursor);
        if self.history.pages >= limits::PAGES_MAX {
            return Turn::Stuck;
        }
        if self
            .request
            .pages_max
            .is_some_and(|max| self.history.pages >= max)
        {
            self.history.cursor = Some(cursor);
            return Turn::Over;
        }
        Turn::Next
    }
}

/// A server that never says that it is done has been quiet for so long: envelopes of one request follow each other at once.
const QUIET: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
