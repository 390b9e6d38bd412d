//! The life of a registration: REGISTER, renewal, what comes under it, UNREGISTER, the end of its lease.

use super::credit::BLOCKS_TOTAL_MAX;
use super::session::{Keys, Opened, session_key};
use super::{
    BACKLOG_MAX, Chain, Credit, ITEM_BYTES_MAX, REGISTRATIONS_MAX, Registration, Registrations,
};
use crate::counters::{Direction, DropReason};
use crate::engine::turn::{Effect, Turn};
use crate::gateway::request::{
    BLOCK_TTL_S_MAX, Body, LEASE_S_MAX, Mode, Register, Request, RequestId, SignedRegister, TopUp,
};
use crate::gateway::response::{Limits, Pong, Registered, Response, ResponseBody, Status};
use crate::gateway::seal::{
    Context, End, ExchangeSecret, OVERHEAD, OpenError, Session, mailbox_key,
};
use crate::gateway::server::{self, ReplyPath};
use crate::mvds::node::{self, PeerConfig};
use crate::port::{ChainSecret, Kind, Object, ReplyBlock, Tag};
use crate::store::{Family, StoreError};
use crate::tracks::node_now;
use prost::Message as _;
use rand_core::Rng as _;

/// A registration that was ended by its client delivers what waits for so long, seconds.
const DRAIN_S: u32 = 600;
/// How long a client waits when there are too many registrations, seconds.
const BUSY_RETRY_S: u32 = 60;

impl Registrations {
    /// REGISTER, by a one-shot request.
    pub(crate) fn register(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        mut path: ReplyPath,
        register: SignedRegister,
    ) -> Result<(), StoreError> {
        if let Some(answer) = server::earlier_answer(turn, request)? {
            path.respond(turn, &answer);
            if let Some(ResponseBody::Registered(Registered { tag, .. })) = answer.body {
                self.stock_up(turn, tag, std::mem::take(&mut path.blocks));
            }
            return Ok(());
        }
        let now_s = turn.now.unix();
        let granted = match self.grant(turn, register) {
            Ok(registered) => registered,
            Err(status) => {
                turn.counters.drop(Direction::ToMix, refusal_reason(status));
                let mut response = Response::bare(request, status, now_s);
                if status == Status::Busy {
                    response.retry_after_s = BUSY_RETRY_S;
                }
                path.respond(turn, &response);
                return Ok(());
            }
        };
        let tag = granted.tag;
        let response = Response::ok(request, now_s, ResponseBody::Registered(granted));
        server::keep_answer(turn, &response);
        path.respond(turn, &response);
        self.stock_up(turn, tag, std::mem::take(&mut path.blocks));
        Ok(())
    }

    /// An object under the tag of a registration.
    pub(crate) fn object(&mut self, turn: &mut Turn<'_>, object: &Object) {
        let Some(registration) = self.all.get_mut(&object.tag) else {
            return turn
                .counters
                .drop(Direction::ToWhisper, DropReason::UnknownTag);
        };
        let opened = match registration.keys.open(turn, object) {
            Ok(opened) => opened,
            Err(error) => return turn.counters.drop(Direction::ToWhisper, open_reason(error)),
        };
        // A sign of life: what was given up for lack of answers is tried again.
        let client = registration.client;
        self.heard(turn, object.tag);
        if self.node.handle(node_now(turn.now), client, &[]).is_err() {
            turn.counters
                .drop(Direction::ToWhisper, DropReason::Malformed);
        }
        match object.kind {
            Kind::Mvds => self.payload(turn, object.tag, &opened.content),
            Kind::TopUp => self.top_up(turn, object.tag, &opened),
            Kind::Request => self.request(turn, object.tag, &opened.content),
            Kind::Cover => {}
            Kind::Response => {
                turn.counters
                    .drop(Direction::ToWhisper, DropReason::UnexpectedKind);
            }
        }
    }

    /// Ends what is over.
    pub(super) fn end_leases(&mut self, turn: &mut Turn<'_>) {
        while let Some((until, tag)) = self.leases.first().copied() {
            if until > turn.now.unix() {
                return;
            }
            self.remove(turn, tag);
        }
    }

    fn payload(&mut self, turn: &mut Turn<'_>, tag: Tag, content: &[u8]) {
        let Some(registration) = self.all.get(&tag) else {
            return;
        };
        let (client, is_retiring) = (registration.client, registration.retiring);
        match self.node.handle(node_now(turn.now), client, content) {
            Ok(0) => {}
            Ok(_) | Err(_) => turn
                .counters
                .drop(Direction::ToWhisper, DropReason::Malformed),
        }
        self.drain_node(turn);
        if is_retiring && self.node.records(&client) == 0 {
            self.remove(turn, tag);
        }
        self.flush(turn);
    }

    fn top_up(&mut self, turn: &mut Turn<'_>, tag: Tag, opened: &Opened) {
        let Ok(top_up) = TopUp::decode(&opened.content) else {
            return turn
                .counters
                .drop(Direction::ToWhisper, DropReason::Malformed);
        };
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        // Counter 0 is that of the REGISTER itself.
        let order = (opened.order.0, opened.order.1.saturating_add(1));
        if top_up.discard_previous {
            let before = registration.credit.len();
            registration.credit.discard_before(turn, tag, order);
            self.blocks_total = self
                .blocks_total
                .saturating_sub(before - registration.credit.len());
            let record = registration.record().encode_to_vec();
            turn.ledger
                .put(Family::Registrations, session_key(tag, 0), record);
            // What went through the discarded blocks is probably lost; its envelopes are young only now.
            let client = registration.client;
            self.node.hasten(node_now(turn.now), &client);
        }
        self.add_blocks(turn, tag, order, (top_up.blocks, top_up.ttl_s));
    }

    /// What a REGISTER brought beyond its answer.
    fn stock_up(&mut self, turn: &mut Turn<'_>, tag: Tag, blocks: Vec<ReplyBlock>) {
        let Some(registration) = self.all.get(&tag) else {
            return;
        };
        let order = (registration.keys.renewals, 0);
        if registration.credit.len() == 0 {
            self.add_blocks(turn, tag, order, (blocks, BLOCK_TTL_S_MAX));
        }
    }

    fn add_blocks(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        order: (u32, u64),
        blocks: (Vec<ReplyBlock>, u32),
    ) {
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        // While Whisper is quiet nothing else throws away what serves no longer; it must not keep the new ones out.
        let expired = registration.credit.expire(turn, tag);
        self.blocks_total = self.blocks_total.saturating_sub(expired);
        let room = BLOCKS_TOTAL_MAX.saturating_sub(self.blocks_total);
        let before = registration.credit.len();
        let left_out = registration.credit.add(turn, tag, order, blocks, room);
        self.blocks_total += registration.credit.len() - before;
        for _ in 0..left_out {
            turn.counters.drop(Direction::ToMix, DropReason::BlocksFull);
        }
        let client = registration.client;
        if registration.next_frame.is_none() {
            self.node.resume(&client);
        }
        self.flush(turn);
    }

    /// A request under a registration: PING, UNREGISTER.
    fn request(&mut self, turn: &mut Turn<'_>, tag: Tag, content: &[u8]) {
        let Ok(request) = Request::decode(content) else {
            return turn
                .counters
                .drop(Direction::ToWhisper, DropReason::Malformed);
        };
        let now_s = turn.now.unix();
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        let response = match &request.body {
            Ok(Body::Ping(_)) => Response::ok(
                request.id,
                now_s,
                ResponseBody::Pong(registration.pong(now_s)),
            ),
            Ok(Body::Unregister) => Response::bare(request.id, Status::Ok, now_s),
            // These are one-shot: a post under a registration would tell who posts.
            Ok(Body::Register(_) | Body::Post(_)) => Response::bare(request.id, Status::Bad, now_s),
            Err(refusal) => Response::bare(request.id, refusal.status, now_s),
        };
        let content = response.encode();
        let frames = turn.frames_for(content.len() + OVERHEAD);
        if request.blocks.len() < frames {
            turn.counters
                .drop(Direction::ToMix, DropReason::NoReplyBlocks);
        } else if let Some(bytes) =
            registration
                .keys
                .seal(turn, Context::new(Kind::Response, tag), &content)
        {
            let blocks = request.blocks.into_iter().take(frames).collect();
            let object = Object {
                kind: Kind::Response,
                tag,
                bytes,
            };
            turn.ledger.effect(Effect::Reply { blocks, object });
        }
        if matches!(request.body, Ok(Body::Unregister)) {
            self.retire(turn, tag);
        }
    }

    /// Tells a client through its last reply block that its stock is empty: without a word it would find out by its next ping only.
    pub(super) fn tell_empty(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let now_s = turn.now.unix();
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        let pong = Pong {
            reply_blocks: 0,
            ..registration.pong(now_s)
        };
        let unasked = RequestId::new([0; 16]);
        let content = Response::ok(unasked, now_s, ResponseBody::Pong(pong)).encode();
        let context = Context::new(Kind::Response, tag);
        let Some(bytes) = registration.keys.seal(turn, context, &content) else {
            return;
        };
        let blocks = registration.credit.spend(turn, tag, 1);
        self.blocks_total = self.blocks_total.saturating_sub(blocks.len());
        let object = Object {
            kind: Kind::Response,
            tag,
            bytes,
        };
        turn.ledger.effect(Effect::Reply { blocks, object });
    }

    /// Takes nothing new for it, and ends it once what waits is delivered.
    fn retire(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let Some(registration) = self.all.get_mut(&tag) else {
            return;
        };
        self.leases.remove(&(registration.lease_until, tag));
        registration.retiring = true;
        registration.lease_until = registration
            .lease_until
            .min(turn.now.unix().saturating_add(DRAIN_S));
        self.leases.insert((registration.lease_until, tag));
        let record = registration.record().encode_to_vec();
        turn.ledger
            .put(Family::Registrations, session_key(tag, 0), record);
        if self.node.records(&registration.client) == 0 {
            self.remove(turn, tag);
        }
    }

    fn remove(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let Some(mut registration) = self.all.remove(&tag) else {
            return;
        };
        self.leases.remove(&(registration.lease_until, tag));
        if let Some(at) = registration.next_frame {
            self.paced.remove(&(at, tag));
        }
        self.by_peer.remove(&registration.client);
        let lost: Vec<_> = self
            .node
            .states(&registration.client)
            .map(|(id, _)| id)
            .collect();
        for id in lost {
            if let Some(hash) = self.envelopes.get(&id) {
                turn.refuse(*hash, Direction::ToMix, DropReason::LeaseEnded);
            }
        }
        self.node.leave(
            node_now(turn.now),
            &registration.group,
            &registration.client,
        );
        self.drain_node(turn);
        self.forget_chain(turn, tag, &registration);
        self.blocks_total = self.blocks_total.saturating_sub(registration.credit.len());
        registration.credit.clear(turn, tag);
        for part in 0..=2 {
            turn.ledger
                .delete(Family::Registrations, session_key(tag, part));
        }
    }

    fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        register: SignedRegister,
    ) -> Result<Registered, Status> {
        let terms = register
            .verify(&turn.config.id)
            .map_err(|error| error.status())?;
        let kx = ExchangeSecret::generate(turn.rng);
        let session = Session::derive(End::Bridge, &kx, &terms.kx, terms.group.bytes())
            .map_err(|_| Status::Bad)?;
        let chain = mailbox_key(&kx, &terms.kx, terms.group.bytes()).map_err(|_| Status::Bad)?;
        let lease_s = terms.lease_s.min(LEASE_S_MAX);
        let lease_until = turn.now.unix().saturating_add(lease_s);
        let tag = match terms.renew {
            Some(tag) => self.renew(turn, tag, &terms, session, lease_until)?,
            None => self.begin(turn, &terms, (session, chain), lease_until)?,
        };
        self.heard(turn, tag);
        let registration = self.all.get(&tag).ok_or(Status::Gone)?;
        Ok(Registered {
            tag,
            lease_s,
            kx: kx.public(),
            bridge: turn.config.peer_id().ok_or(Status::Unsupported)?,
            archive_from: turn.now.unix(),
            limits: Limits {
                max_backlog: registration.backlog_max,
                max_item_bytes: registration.item_bytes_max,
                pace_ms: registration.pace_ms,
                reply_blocks_max: super::credit::BLOCKS_MAX as u32,
            },
        })
    }

    fn renew(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        terms: &Register,
        session: Session,
        lease_until: u32,
    ) -> Result<Tag, Status> {
        let registration = self.all.get_mut(&tag).ok_or(Status::Gone)?;
        let is_same = registration.group == terms.group
            && registration.client == terms.client
            && registration.filters == terms.filters
            && registration.exclude == terms.exclude;
        if !is_same {
            return Err(Status::Bad);
        }
        if registration.retiring {
            return Err(Status::Gone);
        }
        self.leases.remove(&(registration.lease_until, tag));
        registration.lease_until = lease_until;
        self.leases.insert((lease_until, tag));
        registration.keys.renew(session);
        registration.keys.save(turn, tag);
        let record = registration.record().encode_to_vec();
        turn.ledger
            .put(Family::Registrations, session_key(tag, 0), record);
        Ok(tag)
    }

    fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        terms: &Register,
        (session, chain): (Session, ChainSecret),
        lease_until: u32,
    ) -> Result<Tag, Status> {
        // Group and peer of a registration are its own: nobody may join the group of another.
        let is_taken = self.by_peer.contains_key(&terms.client)
            || self.all.values().any(|other| other.group == terms.group);
        if is_taken {
            return Err(Status::Bad);
        }
        if self.all.len() >= REGISTRATIONS_MAX {
            return Err(Status::Busy);
        }
        let mode = match terms.mode {
            Mode::Interactive => node::Mode::Interactive,
            Mode::Batch => node::Mode::Batch,
        };
        self.node
            .join(terms.group, terms.client, mode, PeerConfig::OURS)
            .map_err(|_| Status::Busy)?;
        let mut tag = [0; 16];
        turn.rng.fill_bytes(&mut tag);
        let tag = Tag::new(tag);
        let registration = Registration {
            group: terms.group,
            client: terms.client,
            filters: terms.filters.clone(),
            exclude: terms.exclude.clone(),
            lease_until,
            mode: terms.mode,
            pace_ms: terms.pace_ms,
            backlog_max: or_most(terms.max_backlog, BACKLOG_MAX),
            item_bytes_max: or_most(terms.max_item_bytes, ITEM_BYTES_MAX),
            retiring: false,
            keys: Keys::new(session),
            credit: Credit::default(),
            next_frame: None,
            chain: Some(Chain::new(chain, 0)),
            silent_at: turn.now.mono,
        };
        registration.keys.save(turn, tag);
        let record = registration.record().encode_to_vec();
        turn.ledger
            .put(Family::Registrations, session_key(tag, 0), record);
        self.by_peer.insert(terms.client, tag);
        self.leases.insert((lease_until, tag));
        self.all.insert(tag, registration);
        Ok(tag)
    }
}

impl Registration {
    /// What its client is told of it.
    fn pong(&self, now_s: u32) -> Pong {
        Pong {
            reply_blocks: u32::try_from(self.credit.fresh(now_s)).unwrap_or(u32::MAX),
            lease_left_s: self.lease_until.saturating_sub(now_s),
            topped_up: self.credit.newest(self.keys.renewals),
        }
    }
}

/// What a client asks for, where 0 leaves it to the bridge, up to what the bridge allows.
fn or_most(asked: u32, most: u32) -> u32 {
    if asked == 0 { most } else { asked.min(most) }
}

fn refusal_reason(status: Status) -> DropReason {
    match status {
        Status::Unauth => DropReason::Unauthorised,
        Status::Busy | Status::Quota => DropReason::Busy,
        Status::Gone => DropReason::UnknownTag,
        Status::Ok | Status::Bad | Status::TooLarge | Status::Expired | Status::Unsupported => {
            DropReason::Malformed
        }
    }
}

fn open_reason(error: OpenError) -> DropReason {
    match error {
        OpenError::Replayed { .. } | OpenError::TooOld { .. } => DropReason::Replayed,
        OpenError::TooShort { .. } | OpenError::TooLong { .. } => DropReason::Malformed,
        OpenError::LowOrder | OpenError::CountersSpent | OpenError::Forged => DropReason::Forged,
    }
}
