//! The stock of reply blocks at the bridge, and the pings that tell how large it is.
//!
//! It is kept between two marks. What comes back is subtracted, what is sent is added, and a ping, which brings the absolute number,
//! corrects what packets lost on the way made of it: soon while top-ups may be lost, otherwise every half minute or after [`PING_SPENT`] blocks,
//! whichever is first, and the bridge says by itself when it is empty. What the bridge sent and was lost is seen before that: the boxes of a
//! registration are numbered without gaps, so a gap is blocks that were spent. A top-up that was lost shows in a ping only.
//!
//! ```text
//! boxes that came   4   5   .   .   8   6        spent: 1  1  .  .  3  0 (number 6 was counted when 8 came)
//! ```
//! Blocks that grow old count no more, so they are replaced while they still serve; those whose relays are gone are
//! thrown away at once, by a top-up that waits behind nothing.

use std::time::{Duration, Instant};

use super::{PING_GAP, PINGS_UNANSWERED_MAX, Registrations};
use crate::gateway::client::blocks::{Blocks, Job};
use crate::gateway::client::registration::RegistrationId;
use crate::gateway::client::turn::Turn;
use crate::gateway::request::{Auth, BLOCK_TTL_S_MAX, Body, Request, RequestId, TopUp};
use crate::gateway::response::{Pong, Response, ResponseBody, Status};
use crate::gateway::seal::{Context, OVERHEAD};
use crate::port::{Kind, Object, ReplyBlock};

impl Registrations {
    /// Whatever is due for a live registration.
    pub(super) fn tick_live(
        &mut self,
        turn: &mut Turn<'_>,
        blocks: &mut Blocks,
        id: RegistrationId,
    ) {
        let now = turn.now.mono;
        let Some(live) = self.all.get_mut(&id).and_then(|r| r.live_mut()) else {
            return;
        };
        if live.unregister_due.is_some_and(|due| due <= now) {
            live.unregister_due = Some(turn.retry_at(2));
            blocks.want(Job::Unregister(id), 1);
        }
        if live.next_ping <= now || live.stock.spent >= PING_SPENT {
            // What is on its way may be lost, and so may this ping.
            let is_known = live.stock.under_way.is_empty();
            live.next_ping = now + if is_known { PING_GAP } else { PING_SOON };
            live.stock.spent = 0;
            live.pings_unanswered += 1;
            let lost = live.pings_unanswered > PINGS_UNANSWERED_MAX;
            blocks.want(if lost { Job::Probe(id) } else { Job::Ping(id) }, 1);
        }
        if live.stock.estimate < turn.config.blocks_low {
            live.stock.filling = true;
        }
        let missing = turn.config.blocks_high.saturating_sub(live.stock.estimate);
        if live.stock.filling {
            // Soon it is known what of it arrived.
            live.next_ping = live.next_ping.min(now + PING_SOON);
        }
        if missing == 0 {
            live.stock.filling = false;
        }
        if live.stock.filling && !blocks.waits(Job::TopUp(id)) {
            blocks.want(Job::TopUp(id), missing.min(turn.config.blocks_per_top_up()));
        }
    }

    /// Every stock is made of blocks that may lead nowhere.
    pub(in crate::gateway::client) fn replace_stocks(&mut self) {
        for live in self
            .all
            .values_mut()
            .filter_map(|registration| registration.live_mut())
        {
            live.stock.replace();
        }
    }

    /// Sends blocks to the bridge.
    pub(in crate::gateway::client) fn top_up(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        blocks: Vec<ReplyBlock>,
    ) {
        let Some(live) = self.all.get_mut(&id).and_then(|r| r.live_mut()) else {
            return;
        };
        let discard_previous = std::mem::take(&mut live.stock.discard);
        if discard_previous {
            live.stock.estimate = 0;
            live.stock.under_way.clear();
        }
        let count = blocks.len();
        let ttl_s = turn.config.blocks_life.as_secs();
        let content = TopUp {
            blocks,
            discard_previous,
            ttl_s: u32::try_from(ttl_s).map_or(BLOCK_TTL_S_MAX, |ttl| ttl.min(BLOCK_TTL_S_MAX)),
        }
        .encode();
        let Some(counter) = self.send(turn, id, (Kind::TopUp, discard_previous), &content) else {
            return;
        };
        if let Some(live) = self.all.get_mut(&id).and_then(|r| r.live_mut()) {
            live.stock.estimate += count;
            if discard_previous {
                live.stock.discarded = Some((counter.saturating_add(1), count));
                live.next_ping = live.next_ping.min(turn.now.mono + DISCARD_CHECK);
            } else if let Some((_, since)) = &mut live.stock.discarded {
                *since += count;
            }
            let sent = (counter.saturating_add(1), count, turn.now.mono);
            live.stock.under_way.push_back(sent);
        }
    }

    /// Sends a request under the registration.
    pub(in crate::gateway::client) fn ask(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        body: Body,
        blocks: Vec<ReplyBlock>,
    ) {
        let request = Request {
            id: RequestId::new(turn.draw()),
            blocks,
            auth: Auth::default(),
            body: Ok(body),
        };
        self.send(turn, id, (Kind::Request, true), &request.encode());
    }

    /// The tag under which a registration is pinged.
    pub(in crate::gateway::client) fn ping_body(&self, id: RegistrationId) -> Option<Body> {
        Some(Body::Ping(Some(self.all.get(&id)?.live()?.tag)))
    }

    /// What the bridge says under a registration.
    pub(super) fn response(&mut self, now: Instant, id: RegistrationId, response: &Response) {
        let Some(live) = self.all.get_mut(&id).and_then(|r| r.live_mut()) else {
            return;
        };
        match (&response.status, &response.body) {
            (Status::Ok, Some(ResponseBody::Pong(pong))) => {
                live.pings_unanswered = 0;
                live.stock.correct(now, pong);
            }
            (Status::Ok, None) => live.unregister_due = None,
            (_, _) => {}
        }
    }

    /// Seals for the bridge and sends; gives the counter of the box. The counters in use are always reserved on the disk.
    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        (kind, prompt): (Kind, bool),
        content: &[u8],
    ) -> Option<u64> {
        let registration = self.all.get_mut(&id)?;
        let to = registration.bridge.id;
        let live = registration.live_mut()?;
        let tag = live.tag;
        let limit = live.session.sealer.reservation();
        if let Some(limit) = limit {
            live.session.sealer.reserve(limit);
        }
        let sealed = live.session.sealer.seal(Context::new(kind, tag), content);
        if limit.is_some() {
            registration.save_session(turn, id);
        }
        let bytes = sealed.ok()?;
        let counter = u64::from_be_bytes(*bytes.first_chunk()?);
        turn.send(to, Object { kind, tag, bytes }, prompt);
        Some(counter)
    }
}

impl crate::gateway::client::registration::Stock {
    /// The next top-up replaces what the bridge holds.
    fn replace(&mut self) {
        self.discard = true;
        self.discarded = None;
        self.filling = true;
        self.estimate = 0;
        self.under_way.clear();
    }

    /// A box of the bridge has come, paid for with so many blocks (0: with one that a request brought). Those before it that
    /// did not come were paid for as well, each with one block at least; whether they are lost or late makes no difference.
    pub(in crate::gateway::client) fn came(&mut self, counter: u64, blocks: usize) {
        let gap = match self.newest_box {
            Some(newest) if counter <= newest => {
                // Its first block was counted when a later box came.
                self.spend(blocks.saturating_sub(1));
                return;
            }
            Some(newest) => usize::try_from(counter - newest - 1).unwrap_or(usize::MAX),
            None => 0,
        };
        self.newest_box = Some(counter);
        self.spend(blocks.saturating_add(gap));
    }

    fn spend(&mut self, blocks: usize) {
        self.estimate = self.estimate.saturating_sub(blocks);
        self.spent = self.spent.saturating_add(blocks);
    }

    /// What the bridge says to hold, and what may still be on its way there. What was sent before something that has arrived,
    /// or long ago, is lost.
    fn correct(&mut self, now: Instant, pong: &Pong) {
        self.under_way.retain(|(order, _, left)| {
            *order > pong.topped_up && now.saturating_duration_since(*left) < UNDER_WAY_MAX
        });
        let under_way: usize = self.under_way.iter().map(|(_, count, _)| *count).sum();
        if self.discard {
            return;
        }
        self.estimate = pong.reply_blocks as usize + under_way;
        let Some((order, since)) = self.discarded else {
            return;
        };
        // More than was sent since, though later top-ups have come: the one that was to discard is lost.
        if pong.topped_up > order && pong.reply_blocks as usize > since {
            self.replace();
        } else if pong.topped_up >= order {
            self.discarded = None;
        }
    }
}

impl crate::gateway::client::Config {
    /// As many as one packet carries: a packet lost then costs no others.
    pub(super) fn blocks_per_top_up(&self) -> usize {
        let room = self
            .frame_capacity
            .saturating_sub(OVERHEAD + TOP_UP_FLAG_LEN);
        (room / (crate::port::REPLY_BLOCK_LEN + BLOCK_KEY_LEN)).max(1)
    }

    /// The largest item that the low mark pays for.
    pub(in crate::gateway::client) fn item_bytes_max(&self) -> u32 {
        let room = (self.blocks_low * self.frame_capacity).saturating_sub(ITEM_OVERHEAD);
        u32::try_from(room)
            .unwrap_or(u32::MAX)
            .min(crate::gateway::seal::OBJECT_LEN_MAX as u32)
    }
}

/// While the stock fills, the next ping comes so soon: after the round trip of a top-up.
const PING_SOON: Duration = Duration::from_secs(5);
/// So soon after a top-up that discards it is asked whether it arrived, since the bridge would go on with blocks that lead nowhere.
const DISCARD_CHECK: Duration = Duration::from_secs(2);
/// After so many spent blocks the next ping comes at once: less than a quarter of the low mark, so that several pings in a row may be lost with
/// the top-ups of their time before the stock is empty; and one packet more for eight that came.
const PING_SPENT: usize = 8;
/// A top-up that has not arrived after this long is lost: many times a usual way.
const UNDER_WAY_MAX: Duration = Duration::from_secs(60);
/// Key and length of a block in a top-up.
const BLOCK_KEY_LEN: usize = 3;
/// The flag of a top-up and its time.
const TOP_UP_FLAG_LEN: usize = 5;
/// What an item has around it in its box: keys and lengths of protobuf, the group, the box itself.
const ITEM_OVERHEAD: usize = 256;
