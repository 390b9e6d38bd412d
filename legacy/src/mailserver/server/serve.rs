//! Requests that others make of us: what is refused, and how the rest is read and sent.
//!
//! ```text
//! waiting ─ first of its peer, batches taken, allowance there ─▶ reading ─▶ batch sent ─▶ waiting …
//!                                                                  └ limit or end ─▶ completion
//! ```
//!
//! The envelope that reaches the limit leaves in a batch of its own and is the cursor, as at Status servers. A peer that takes one
//! envelope per packet gets smaller batches of many packets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{Breach, Output, Server, unix};
use crate::identity::NodeId;
use crate::mailserver::archive::{Done, Job as ArchiveJob, Page, Query, Row};
use crate::mailserver::exchange;
use crate::mailserver::key::Cursor;
use crate::mailserver::limits;
use crate::mailserver::request::{MailId, Request, RequestError};
use crate::mailserver::response::Completion;
use crate::now::Now;
use crate::shh::wire::{DIRECT, REQUEST_COMPLETE, SYNC_RESPONSE, encode_envelopes};
use crate::shh::{Envelope, EnvelopeHash, PeerId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId(u64);

#[derive(Default)]
pub(super) struct Serving {
    last: u64,
    jobs: BTreeMap<JobId, Job>,
}

struct Job {
    peer: PeerId,
    node: NodeId,
    purpose: Purpose,
    request: Request,
    /// Envelopes that may still be sent.
    left: u32,
    last: Option<EnvelopeHash>,
    reading: bool,
    /// When its peer's allowance is there again, where that is known to be late.
    ready_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Mail(MailId),
    Sync,
}

/// Why a request is not served.
enum Refusal {
    NoSealed,
    NoPlain,
    LowPow,
    Undecryptable,
    Unsigned,
    Invalid(RequestError),
    RateLimited,
    Busy,
    Stranger,
}

impl Refusal {
    fn as_str(&self) -> &'static str {
        match self {
            Refusal::NoSealed => "no_sealed",
            Refusal::NoPlain => "no_plain",
            Refusal::LowPow => "low_pow",
            Refusal::Undecryptable => "undecryptable",
            Refusal::Unsigned => "unsigned",
            Refusal::Invalid(_) => "invalid",
            Refusal::RateLimited => "rate_limited",
            Refusal::Busy => "busy",
            Refusal::Stranger => "stranger",
        }
    }

    /// What the client is told: the words of Status servers where those have some.
    fn text(&self) -> String {
        match self {
            Refusal::NoSealed => "encrypted requests are not served here".to_owned(),
            Refusal::NoPlain => "requests in clear are not served here".to_owned(),
            Refusal::LowPow => "PoW() is too low".to_owned(),
            Refusal::Undecryptable => "failed to decrypt p2p request".to_owned(),
            Refusal::Unsigned => "wrong signature of p2p request".to_owned(),
            Refusal::Invalid(error) => format!("request is invalid: {error}"),
            Refusal::RateLimited => "rate limit exceeded".to_owned(),
            Refusal::Busy => "too many requests at once".to_owned(),
            Refusal::Stranger => "syncs are for listed servers".to_owned(),
        }
    }
}

impl Serving {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.jobs.retain(|_, job| job.peer != peer);
    }

    fn of(&self, peer: PeerId) -> usize {
        self.jobs.values().filter(|job| job.peer == peer).count()
    }
}

impl Server {
    /// A request for mail, in any form.
    pub(super) fn request(&mut self, now: Now, peer: PeerId, payload: &[u8]) -> Result<(), Breach> {
        let len = payload.len();
        if len > limits::REQUEST_LEN_MAX {
            return Err(Breach::RequestTooLong { len });
        }
        let (id, asked) = match Envelope::parse(payload) {
            Ok(envelope) => (
                MailId(*envelope.hash().as_bytes()),
                self.sealed(now, peer, &envelope),
            ),
            Err(_) => {
                let (id, request) = Request::decode_plain(payload).map_err(Breach::Request)?;
                let asked = if self.config.plain {
                    request.map_err(Refusal::Invalid)
                } else {
                    Err(Refusal::NoPlain)
                };
                (id, asked)
            }
        };
        let asked = asked.and_then(|request| {
            let request = request.check(unix(now), self.config.range_max);
            request.map_err(Refusal::Invalid)
        });
        let asked = asked.and_then(|request| self.admit(now, peer, Purpose::Mail(id), request));
        if let Err(refusal) = asked {
            *self.counters.requests.entry(refusal.as_str()).or_default() += 1;
            let text = refusal.text();
            self.send(
                peer,
                REQUEST_COMPLETE,
                Completion::Failed { id, text }.encode(),
            );
        }
        Ok(())
    }

    /// Opens a sealed request. What costs nothing is asked first.
    fn sealed(&self, now: Now, peer: PeerId, envelope: &Envelope) -> Result<Request, Refusal> {
        if self.config.keys.is_empty() {
            return Err(Refusal::NoSealed);
        }
        if self.too_soon(now, peer) {
            return Err(Refusal::RateLimited);
        }
        if envelope.ttl() == 0 || envelope.pow() < self.config.min_pow {
            return Err(Refusal::LowPow);
        }
        let mut keys = self.config.keys.iter();
        let plain = keys
            .find_map(|key| key.open(envelope.data()).ok())
            .ok_or(Refusal::Undecryptable)?;
        // Whoever it is: clients sign with keys that say nothing about them.
        if plain.signer.is_none() {
            return Err(Refusal::Unsigned);
        }
        let (_, request) = Request::decode(&plain.payload).map_err(Refusal::Invalid)?;
        Ok(request)
    }

    /// A request of another server.
    pub(super) fn sync_request(
        &mut self,
        now: Now,
        peer: PeerId,
        trusted: bool,
        payload: &[u8],
    ) -> Result<(), Breach> {
        let Some(node) = self.peers.get(&peer).map(|peer| peer.node) else {
            return Ok(());
        };
        let config = &self.config;
        let allowed = trusted || config.sync_strangers || config.sync_with.contains(&node);
        let asked = if allowed {
            let request = exchange::decode_request(payload).map_err(Breach::SyncRequest)?;
            let request = request.check(unix(now), self.config.range_max);
            request
                .map_err(Refusal::Invalid)
                .and_then(|request| self.admit(now, peer, Purpose::Sync, request))
        } else {
            Err(Refusal::Stranger)
        };
        if let Err(refusal) = asked {
            *self.counters.syncs.entry(refusal.as_str()).or_default() += 1;
            self.sync_failed(peer, &refusal.text());
        }
        Ok(())
    }

    fn sync_failed(&mut self, peer: PeerId, text: &str) {
        let response = exchange::encode_response(std::iter::empty(), None, false, text);
        self.send(peer, SYNC_RESPONSE, response);
    }

    fn too_soon(&self, now: Now, peer: PeerId) -> bool {
        let node = self.peers.get(&peer).map(|peer| peer.node);
        node.is_some_and(|node| {
            self.allowances
                .too_soon(now.mono, node, self.config.rate_limit)
        })
    }

    /// Takes a request on.
    fn admit(
        &mut self,
        now: Now,
        peer: PeerId,
        purpose: Purpose,
        request: Request,
    ) -> Result<(), Refusal> {
        if self.too_soon(now, peer) {
            return Err(Refusal::RateLimited);
        }
        let full = self.serving.len() >= limits::JOBS_MAX;
        if full || self.serving.of(peer) >= limits::JOBS_PER_PEER_MAX {
            return Err(Refusal::Busy);
        }
        let Some(node) = self.peers.get(&peer).map(|peer| peer.node) else {
            return Ok(());
        };
        self.allowances.ask(now.mono, node, self.config.rate_limit);
        self.serving.last += 1;
        let id = JobId(self.serving.last);
        self.serving.jobs.insert(
            id,
            Job {
                peer,
                node,
                purpose,
                left: request.limit,
                request,
                last: None,
                reading: false,
                ready_at: None,
            },
        );
        Ok(())
    }

    /// When a job that waits for an allowance may go on.
    pub(super) fn serve_at(&self) -> Option<Instant> {
        let jobs = self.serving.jobs.values();
        jobs.filter_map(|job| job.ready_at).min()
    }

    /// Gives up peers that take nothing, and reads for those whose turn it is.
    pub(super) fn serve(&mut self, now: Now) {
        self.give_up(now);
        let mut seen = BTreeSet::new();
        let mut reads = self.tickets.reads.len();
        let mut starting = Vec::new();
        for (id, job) in &mut self.serving.jobs {
            if !seen.insert(job.peer) || job.reading || reads >= limits::READS_MAX {
                continue;
            }
            let batches = self.peers.get(&job.peer).map_or(0, |peer| peer.batches);
            let ready_at = self.allowances.ready_at(job.node);
            job.ready_at = ready_at.filter(|at| *at > now.mono);
            if batches < limits::BATCHES_PER_PEER_MAX && job.ready_at.is_none() {
                job.reading = true;
                reads += 1;
                starting.push((*id, job.query()));
            }
        }
        for (id, query) in starting {
            let ticket = self.tickets.next();
            self.tickets.reads.insert(ticket, id);
            let job = ArchiveJob::Read(query);
            self.outputs.push_back(Output::Archive { ticket, job });
        }
    }

    fn give_up(&mut self, now: Now) {
        for (id, peer) in &mut self.peers {
            let late = |since: &mut Instant| *since + limits::PUSH_TIMEOUT <= now.mono;
            if peer.waiting_since.take_if(late).is_some() {
                let before = self.serving.jobs.len();
                self.serving.jobs.retain(|_, job| job.peer != *id);
                let given_up = before - self.serving.jobs.len();
                *self.counters.requests.entry("timed_out").or_default() += given_up as u64;
            }
        }
    }

    /// The archive has read for a job.
    pub(super) fn read(&mut self, now: Now, id: JobId, done: Done) {
        let Some(mut job) = self.serving.jobs.remove(&id) else {
            return;
        };
        job.reading = false;
        let Done::Read(page) = done else {
            self.counters.failures += 1;
            self.finish(&job, Err("the archive failed"));
            return;
        };
        let bytes: usize = page.rows.iter().map(|row| row.envelope.len()).sum();
        let cost = (bytes + page.scanned * limits::SCAN_ROW_COST) as u64;
        self.allowances
            .spend(now.mono, job.node, cost, self.config.rate_limit);
        self.counters.envelopes_sent += page.rows.len() as u64;
        self.counters.bytes_sent += bytes as u64;
        job.left -= u32::try_from(page.rows.len()).unwrap_or(job.left);
        self.push(now, &job, &page.rows);
        if let Some(row) = page.rows.last() {
            job.last = Some(row.key.cursor().hash());
        }
        match job.next(&page) {
            Next::End(cursor) => self.finish(&job, Ok(cursor)),
            Next::From(place) => {
                job.request.cursor = Some(place);
                self.serving.jobs.insert(id, job);
            }
        }
    }

    /// Sends a batch, or two where the last envelope reaches the limit.
    fn push(&mut self, now: Now, job: &Job, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        let alone = if job.left == 0 {
            rows.len() - 1
        } else {
            rows.len()
        };
        let (many, last) = rows.split_at(alone);
        for rows in [many, last] {
            match job.purpose {
                _ if rows.is_empty() => {}
                Purpose::Sync => {
                    let raw = rows.iter().map(|row| &row.envelope[..]);
                    let response = exchange::encode_response(raw, None, false, "");
                    self.send(job.peer, SYNC_RESPONSE, response);
                }
                Purpose::Mail(_) if job.request.batch && rows.len() > 1 => {
                    let packet = encode_envelopes(rows.iter().map(|row| &row.envelope[..]));
                    self.send(job.peer, DIRECT, packet);
                }
                Purpose::Mail(_) => {
                    for row in rows {
                        self.send(job.peer, DIRECT, row.envelope.to_vec());
                    }
                }
            }
        }
        self.outputs.push_back(Output::Receipt { peer: job.peer });
        if let Some(peer) = self.peers.get_mut(&job.peer) {
            peer.batches += 1;
            peer.waiting_since.get_or_insert(now.mono);
        }
    }

    fn finish(&mut self, job: &Job, result: Result<Option<Cursor>, &'static str>) {
        let word = if result.is_ok() { "served" } else { "failed" };
        let counter = match job.purpose {
            Purpose::Mail(_) => &mut self.counters.requests,
            Purpose::Sync => &mut self.counters.syncs,
        };
        *counter.entry(word).or_default() += 1;
        match (job.purpose, result) {
            (Purpose::Mail(id), Ok(cursor)) => {
                let last = job.last;
                let done = Completion::Done { id, last, cursor };
                self.send(job.peer, REQUEST_COMPLETE, done.encode());
            }
            (Purpose::Mail(id), Err(text)) => {
                let text = text.to_owned();
                let failed = Completion::Failed { id, text };
                self.send(job.peer, REQUEST_COMPLETE, failed.encode());
            }
            (Purpose::Sync, Ok(cursor)) => {
                let last = exchange::encode_response(std::iter::empty(), cursor, true, "");
                self.send(job.peer, SYNC_RESPONSE, last);
            }
            (Purpose::Sync, Err(text)) => self.sync_failed(job.peer, text),
        }
    }
}

/// Where a job goes on.
enum Next {
    From(Cursor),
    End(Option<Cursor>),
}

impl Job {
    fn query(&self) -> Query {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let single = self.purpose != Purpose::Sync && !self.request.batch;
        Query {
            lower: self.request.lower,
            upper: self.request.upper,
            after: self.request.cursor,
            wanted: self.request.wanted.clone(),
            rows_max: if single {
                left.min(limits::SINGLE_ROWS_MAX)
            } else {
                left
            },
            bytes_max: limits::BATCH_LEN_MAX,
        }
    }

    fn next(&self, page: &Page) -> Next {
        match (self.left, page.reached) {
            (0, _) => Next::End(page.rows.last().map(|row| row.key.cursor())),
            (_, None) => Next::End(None),
            (_, Some(place)) => Next::From(place),
        }
    }
}
