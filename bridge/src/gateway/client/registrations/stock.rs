//! The stock of reply blocks at the bridge, and the pings that tell how large it is.
//!
//! It is kept between two marks. What comes back is subtracted, what is sent is added, and a ping corrects what packets
//! lost on the way made of it. A stock that is old, or whose relays are gone, is replaced.

use super::{PING_GAP, PINGS_UNANSWERED_MAX, Registrations};
use crate::gateway::client::blocks::{Blocks, Job};
use crate::gateway::client::registration::RegistrationId;
use crate::gateway::client::turn::{Effect, Turn};
use crate::gateway::request::{Auth, Body, Request, RequestId, TopUp};
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
            live.unregister_due = Some(turn.retry_at(1));
            blocks.want(Job::Unregister(id), 1);
        }
        if live.next_ping <= now {
            live.next_ping = now + PING_GAP;
            live.pings_unanswered += 1;
            let lost = live.pings_unanswered > PINGS_UNANSWERED_MAX;
            blocks.want(if lost { Job::Probe(id) } else { Job::Ping(id) }, 1);
        }
        if live.stock.replace_at <= now {
            live.stock.replace(turn);
        }
        if live.stock.estimate < turn.config.blocks_low {
            live.stock.filling = true;
        }
        let missing = turn.config.blocks_high.saturating_sub(live.stock.estimate);
        if missing == 0 {
            live.stock.filling = false;
        }
        if live.stock.filling && !blocks.waits(Job::TopUp(id)) {
            blocks.want(Job::TopUp(id), missing.min(turn.config.blocks_per_top_up()));
        }
    }

    /// Every stock is made of blocks that may lead nowhere.
    pub(in crate::gateway::client) fn replace_stocks(&mut self, turn: &Turn<'_>) {
        for live in self
            .all
            .values_mut()
            .filter_map(|registration| registration.live_mut())
        {
            live.stock.replace(turn);
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
        }
        live.stock.estimate += blocks.len();
        live.stock.sent_since_ping += blocks.len();
        let content = TopUp {
            blocks,
            discard_previous,
        }
        .encode();
        self.send(turn, id, Kind::TopUp, &content);
    }

    /// Sends a request under the registration.
    pub(in crate::gateway::client) fn ask(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        body: Body,
        blocks: Vec<ReplyBlock>,
    ) {
        let Some(live) = self.all.get_mut(&id).and_then(|r| r.live_mut()) else {
            return;
        };
        if matches!(body, Body::Ping(_)) {
            live.stock.sent_since_ping = 0;
        }
        let request = Request {
            id: RequestId::new(turn.draw()),
            blocks,
            auth: Auth::default(),
            body: Ok(body),
        };
        self.send(turn, id, Kind::Request, &request.encode());
    }

    /// The tag under which a registration is pinged.
    pub(in crate::gateway::client) fn ping_body(&self, id: RegistrationId) -> Option<Body> {
        Some(Body::Ping(Some(self.all.get(&id)?.live()?.tag)))
    }

    /// What the bridge says under a registration.
    pub(super) fn response(&mut self, id: RegistrationId, response: &Response) {
        let Some(live) = self.all.get_mut(&id).and_then(|r| r.live_mut()) else {
            return;
        };
        match (&response.status, &response.body) {
            (Status::Ok, Some(ResponseBody::Pong(Pong { reply_blocks, .. }))) => {
                live.pings_unanswered = 0;
                live.stock.estimate = *reply_blocks as usize + live.stock.sent_since_ping;
            }
            (Status::Ok, None) => live.unregister_due = None,
            (_, _) => {}
        }
    }

    /// Seals for the bridge and sends; the counters in use are always reserved on the disk.
    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        kind: Kind,
        content: &[u8],
    ) -> bool {
        let Some(registration) = self.all.get_mut(&id) else {
            return false;
        };
        let to = registration.bridge.id;
        let Some(live) = registration.live_mut() else {
            return false;
        };
        let tag = live.tag;
        let limit = live.session.sealer.reservation();
        if let Some(limit) = limit {
            live.session.sealer.reserve(limit);
        }
        let sealed = live.session.sealer.seal(Context::new(kind, tag), content);
        if limit.is_some() {
            registration.save_session(turn, id);
        }
        let Ok(bytes) = sealed else { return false };
        turn.ledger.effect(Effect::Send {
            to,
            object: Object { kind, tag, bytes },
        });
        true
    }
}

impl crate::gateway::client::registration::Stock {
    /// The next top-up replaces what the bridge holds.
    fn replace(&mut self, turn: &Turn<'_>) {
        self.discard = true;
        self.filling = true;
        self.estimate = 0;
        self.replace_at = turn.now.mono + turn.config.blocks_life;
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

/// Key and length of a block in a top-up.
const BLOCK_KEY_LEN: usize = 3;
/// The flag of a top-up.
const TOP_UP_FLAG_LEN: usize = 2;
/// What an item has around it in its box: keys and lengths of protobuf, the group, the box itself.
const ITEM_OVERHEAD: usize = 256;
