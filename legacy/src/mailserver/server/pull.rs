//! Requests that we make of other servers, to archive what they have.
//!
//! ```text
//! asking ─ 124 … ─▶ asking ─ final, cursor ─▶ resting until there is room ─▶ asking
//!    │ 10 s without a sign: again, twice           final, no cursor ─▶ storing until it is on the disk ─▶ done
//! ```
//!
//! A server answers what nobody asked, and its envelopes are not ours to trust: each must have been sent in the time that was asked
//! for, have a life that an honest sender gives, and prove the work that we ask of peers. Spec: server-to-server sync.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use thiserror::Error;

use super::{Breach, Config, Output, Server, unix};
use crate::identity::NodeId;
use crate::mailserver::archive::Row;
use crate::mailserver::exchange::{self, Response};
use crate::mailserver::key::Cursor;
use crate::mailserver::limits;
use crate::mailserver::request::{Request, Wanted};
use crate::now::Now;
use crate::shh::limits::FUTURE_TOLERANCE;
use crate::shh::wire::SYNC_REQUEST;
use crate::shh::{Bloom, Envelope, PeerId};

/// Name of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncId(pub u64);

/// What to fetch from another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// The server. It must be connected.
    pub node: NodeId,
    /// First second of sending.
    pub lower: u32,
    /// Last second of sending; zero for now.
    pub upper: u32,
    /// Which topics.
    pub bloom: Bloom,
    /// Envelopes of one page, 1 to 1000.
    pub limit: u32,
}

/// What a sync brought. All of it is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Envelopes that were taken, those included that were there before.
    pub envelopes: u64,
    /// Envelopes that were not taken.
    pub refused: u64,
    /// Requests that it took.
    pub pages: u32,
}

/// Why a sync did not get to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The server is not there.
    #[error("the server is not connected")]
    NotConnected,
    /// It was there.
    #[error("the connection to the server was lost")]
    Lost,
    /// The server gave no sign.
    #[error("the server did not answer")]
    TimedOut,
    /// The server refused, in its words.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server leads us in circles.
    #[error("the server does not get on with its pages")]
    Stuck,
    /// Our own disk.
    #[error("the archive is too slow for what comes")]
    Behind,
    /// Without an archive there is nowhere to put what comes.
    #[error("this node is no mailserver")]
    NoArchive,
    /// Too many at once.
    #[error("{0} syncs are under way already")]
    TooMany(usize),
    /// Not a number that a server takes.
    #[error("a page of {0} envelopes, where 1 to 1000 are possible")]
    Limit(u32),
}

/// Why an envelope of another server is not taken.
pub(super) const REFUSALS: [&str; 8] = [
    "malformed",
    "not_asked",
    "zero_ttl",
    "ttl_above_expiry",
    "ttl_too_long",
    "in_future",
    "oversized",
    "low_pow",
];

pub(super) struct Pulls {
    active: BTreeMap<NodeId, Pull>,
    waiting: VecDeque<(SyncId, SyncRequest)>,
    /// The servers that we sync from by ourselves: from when, and when again.
    listed: BTreeMap<NodeId, Listed>,
}

struct Listed {
    from: u32,
    again_at: Instant,
}

struct Pull {
    /// Nothing where it was our own idea.
    id: Option<SyncId>,
    peer: PeerId,
    request: Request,
    stage: Stage,
    attempts: u32,
    synced: Synced,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asking { until: Instant },
    Resting,
    Storing { mark: u64 },
}

impl Pulls {
    pub(super) fn new(now: Now, config: &Config, newest: Option<u32>) -> Pulls {
        let oldest = unix(now).saturating_sub(config.retention);
        let from = newest.map_or(oldest, |newest| {
            newest.saturating_sub(limits::SYNC_OVERLAP).max(oldest)
        });
        let again_at = now.mono;
        Pulls {
            active: BTreeMap::new(),
            waiting: VecDeque::new(),
            listed: config
                .sync_from
                .iter()
                .map(|node| (*node, Listed { from, again_at }))
                .collect(),
        }
    }

    /// Whatever waits for the disk goes on when the disk has answered, and a server that is away when it is there, not by the clock.
    pub(super) fn next_deadline(&self, is_there: impl Fn(&NodeId) -> bool) -> Option<Instant> {
        let asking = self.active.values().filter_map(|pull| match pull.stage {
            Stage::Asking { until } => Some(until),
            Stage::Resting | Stage::Storing { .. } => None,
        });
        let listed = self.listed.iter();
        let idle = listed.filter(|(node, _)| !self.active.contains_key(*node) && is_there(node));
        asking.chain(idle.map(|(_, listed)| listed.again_at)).min()
    }
}

impl Server {
    /// Somebody wants a sync.
    pub(super) fn pull(&mut self, now: Now, id: SyncId, request: SyncRequest) {
        let error = if request.limit == 0 || request.limit > limits::LIMIT_MAX {
            Some(SyncError::Limit(request.limit))
        } else if self.connection(request.node).is_none() {
            Some(SyncError::NotConnected)
        } else if self.pulls.waiting.len() >= limits::REQUESTS_MAX {
            Some(SyncError::TooMany(limits::REQUESTS_MAX))
        } else {
            None
        };
        match error {
            Some(error) => self.outputs.push_back(Output::Synced {
                id,
                result: Err(error),
            }),
            None if self.pulls.active.contains_key(&request.node) => {
                self.pulls.waiting.push_back((id, request));
            }
            None => self.start(now, Some(id), request),
        }
    }

    pub(super) fn connection(&self, node: NodeId) -> Option<PeerId> {
        let mut peers = self.peers.iter().filter(|(_, peer)| peer.node == node);
        peers.next_back().map(|(id, _)| *id)
    }

    fn start(&mut self, now: Now, id: Option<SyncId>, request: SyncRequest) {
        let Some(peer) = self.connection(request.node) else {
            if let Some(id) = id {
                let result = Err(SyncError::NotConnected);
                self.outputs.push_back(Output::Synced { id, result });
            }
            return;
        };
        let upper = match request.upper {
            0 => unix(now).saturating_add(limits::OPEN_END),
            upper => upper,
        };
        self.outputs.push_back(Output::Trust(request.node));
        let pull = Pull {
            id,
            peer,
            request: Request {
                lower: request.lower.min(upper),
                upper,
                wanted: Wanted {
                    bloom: request.bloom,
                    topics: Vec::new(),
                },
                limit: request.limit,
                cursor: None,
                batch: true,
            },
            stage: Stage::Resting,
            attempts: 0,
            synced: Synced::default(),
        };
        self.pulls.active.insert(request.node, pull);
        self.ask(now, request.node);
    }

    /// Asks for the next page, or again for the same.
    fn ask(&mut self, now: Now, node: NodeId) {
        let Some(pull) = self.pulls.active.get_mut(&node) else {
            return;
        };
        pull.synced.pages += 1;
        pull.stage = Stage::Asking {
            until: now.mono + limits::ANSWER_TIMEOUT,
        };
        let (peer, payload) = (pull.peer, exchange::encode_request(&pull.request));
        self.send(peer, SYNC_REQUEST, payload);
    }

    /// What is due of our syncs.
    pub(super) fn advance_pulls(&mut self, now: Now) {
        let nodes: Vec<NodeId> = self.pulls.active.keys().copied().collect();
        for node in nodes {
            let Some(pull) = self.pulls.active.get_mut(&node) else {
                continue;
            };
            match pull.stage {
                Stage::Asking { until } if until > now.mono => {}
                Stage::Asking { .. } if pull.attempts < limits::RETRIES => {
                    pull.attempts += 1;
                    self.ask(now, node);
                }
                Stage::Asking { .. } => self.end(now, node, Err(SyncError::TimedOut)),
                Stage::Resting if self.keeper.has_room() => self.ask(now, node),
                Stage::Storing { mark } if self.keeper.has_written(mark) => {
                    self.end(now, node, Ok(()));
                }
                Stage::Resting | Stage::Storing { .. } => {}
            }
        }
        self.start_listed(now);
    }

    fn start_listed(&mut self, now: Now) {
        let due = |(node, listed): (&NodeId, &Listed)| {
            let idle = !self.pulls.active.contains_key(node) && self.connection(*node).is_some();
            (idle && listed.again_at <= now.mono).then_some((*node, listed.from))
        };
        let due: Vec<_> = self.pulls.listed.iter().filter_map(due).collect();
        for (node, lower) in due {
            let request = SyncRequest {
                node,
                lower,
                upper: 0,
                bloom: Bloom::FULL,
                limit: limits::LIMIT_MAX,
            };
            self.start(now, None, request);
        }
    }

    pub(super) fn pull_lost(&mut self, now: Now, peer: PeerId) {
        let lost = self.pulls.active.iter();
        let lost = lost.filter(|(_, pull)| pull.peer == peer);
        let lost: Vec<NodeId> = lost.map(|(node, _)| *node).collect();
        for node in lost {
            self.end(now, node, Err(SyncError::Lost));
        }
    }

    fn end(&mut self, now: Now, node: NodeId, result: Result<(), SyncError>) {
        let Some(pull) = self.pulls.active.remove(&node) else {
            return;
        };
        let listed = self.pulls.listed.get_mut(&node);
        match (pull.id, listed) {
            (Some(id), _) => {
                let result = result.map(|()| pull.synced);
                self.outputs.push_back(Output::Synced { id, result });
            }
            (None, Some(listed)) => {
                let lost = result == Err(SyncError::Lost);
                listed.again_at = now.mono
                    + if lost {
                        limits::SYNC_RETRY
                    } else {
                        limits::SYNC_INTERVAL
                    };
                if result.is_ok() {
                    // Up to now, not to the end of the request, which lies ahead.
                    let upto = unix(now).min(pull.request.upper);
                    listed.from = upto.saturating_sub(limits::SYNC_OVERLAP);
                }
            }
            (None, None) => {}
        }
        let next = self.pulls.waiting.iter();
        let mut next = next.enumerate().filter(|(_, (_, next))| next.node == node);
        if let Some(at) = next.next().map(|(at, _)| at)
            && let Some((id, request)) = self.pulls.waiting.remove(at)
        {
            self.start(now, Some(id), request);
        }
    }

    /// A part of what another server has.
    pub(super) fn sync_response(
        &mut self,
        now: Now,
        peer: PeerId,
        payload: &[u8],
    ) -> Result<(), Breach> {
        let Some(node) = self.peers.get(&peer).map(|peer| peer.node) else {
            return Ok(());
        };
        let asking = self
            .pulls
            .active
            .get(&node)
            .filter(|pull| pull.peer == peer && matches!(pull.stage, Stage::Asking { .. }));
        let Some(asked) = asking.map(|pull| pull.request.clone()) else {
            self.counters.unsolicited += 1;
            return Ok(());
        };
        let response = Response::decode(payload).map_err(Breach::SyncResponse)?;
        let mut synced = Synced::default();
        let mut behind = false;
        for raw in response.envelopes() {
            match self
                .judge(now, &asked, raw)
                .map(|row| self.try_keep(now, row))
            {
                Ok(true) => synced.envelopes += 1,
                Ok(false) => behind = true,
                Err(reason) => {
                    synced.refused += 1;
                    *self.counters.refused.entry(reason).or_default() += 1;
                }
            }
        }
        let Some(pull) = self.pulls.active.get_mut(&node) else {
            return Ok(());
        };
        pull.attempts = 0;
        pull.synced.envelopes += synced.envelopes;
        pull.synced.refused += synced.refused;
        pull.stage = Stage::Asking {
            until: now.mono + limits::ANSWER_TIMEOUT,
        };
        if behind {
            self.end(now, node, Err(SyncError::Behind));
        } else if !response.error.is_empty() {
            self.end(now, node, Err(SyncError::Refused(response.error)));
        } else if response.last {
            self.turn_page(now, node, response.cursor);
        }
        Ok(())
    }

    fn turn_page(&mut self, now: Now, node: NodeId, cursor: Option<Cursor>) {
        let Some(pull) = self.pulls.active.get_mut(&node) else {
            return;
        };
        let Some(cursor) = cursor else {
            let mark = self.keeper.mark();
            pull.stage = Stage::Storing { mark };
            return;
        };
        let stuck = pull.request.cursor == Some(cursor) || pull.synced.pages >= limits::PAGES_MAX;
        if stuck {
            self.end(now, node, Err(SyncError::Stuck));
            return;
        }
        pull.request.cursor = Some(cursor);
        pull.stage = Stage::Resting;
    }

    /// Whether an envelope is one that could have been sent, and that was asked for.
    fn judge(&self, now: Now, asked: &Request, raw: &[u8]) -> Result<Row, &'static str> {
        let config = &self.config;
        let envelope = Envelope::parse(raw).map_err(|_| "malformed")?;
        let (ttl, expiry, sent) = (envelope.ttl(), envelope.expiry(), envelope.sent());
        let reason = if ttl == 0 {
            "zero_ttl"
        } else if ttl > expiry {
            "ttl_above_expiry"
        } else if ttl > config.envelope_ttl_max {
            "ttl_too_long"
        } else if sent > unix(now).saturating_add(FUTURE_TOLERANCE) {
            "in_future"
        } else if sent < asked.lower || sent > asked.upper || !asked.wanted.takes(envelope.topic())
        {
            "not_asked"
        } else if envelope.size() > config.envelope_len_max {
            "oversized"
        } else if envelope.pow() < config.envelope_min_pow {
            "low_pow"
        } else {
            return Ok(Row::of(&envelope));
        };
        Err(reason)
    }
}
