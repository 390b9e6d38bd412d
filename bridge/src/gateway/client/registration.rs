//! One registration of the edge: asked for, live, or retiring. spec: REGISTER of the gateway protocol.
//!
//! ```text
//! Asked ─ RegisterOk ─▶ Live ─ a newer one is live ─▶ Retiring ─ its backlog had time to arrive ─▶ gone
//! ```
//!
//! What is on the disk before the first request leaves makes the answer readable after a restart: group, peer key and
//! exchange key. The session is stored with each box that is opened.

use std::collections::VecDeque;
use std::time::Instant;

use prost::Message as _;
use secp256k1::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::record::RegistrationRecord;
use super::turn::Turn;
use crate::gateway::request::{Body, Mode, Register};
use crate::gateway::response::Registered;
use crate::gateway::seal::{End, ExchangeSecret, SESSION_RECORD_LEN, Session, mailbox_key};
use crate::mvds::id::{GroupId, PEER_ID_LEN, PeerId};
use crate::port::{BridgeId, BridgeInfo, ChainSecret, Prefix, Tag};
use crate::prefixes::{pack, unpack};
use crate::store::Family;

/// Names a registration here, and its REGISTER at the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegistrationId(pub(crate) [u8; 16]);

pub(super) struct Registration {
    /// The latest is the one that counts.
    pub(super) serial: u64,
    pub(super) bridge: BridgeInfo,
    pub(super) prefixes: Vec<Prefix>,
    pub(super) group: GroupId,
    peer_secret: Zeroizing<[u8; 32]>,
    kx_secret: ExchangeSecret,
    mode: Mode,
    pub(super) asked_at: u32,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Asked { attempts: u32, due: Instant },
    Live(Box<Live>),
}

/// A registration that the bridge has granted.
pub(super) struct Live {
    pub(super) tag: Tag,
    pub(super) bridge_peer: PeerId,
    pub(super) session: Session,
    pub(super) lease_until: u32,
    pub(super) renew_at: u32,
    /// Since when it is retiring, Unix seconds.
    pub(super) retired_at: Option<u32>,
    pub(super) unregister_due: Option<Instant>,
    pub(super) stock: Stock,
    pub(super) next_ping: Instant,
    pub(super) pings_unanswered: u32,
}

/// The reply blocks at the bridge, as far as known here.
pub(super) struct Stock {
    pub(super) estimate: usize,
    /// Top-ups that the bridge did not say to have: one more than the counter of the box, blocks in it, and when it left.
    pub(super) under_way: VecDeque<(u64, usize, Instant)>,
    /// Below the low mark was reached, and the high mark not yet.
    pub(super) filling: bool,
    /// The next top-up replaces what is there.
    pub(super) discard: bool,
    /// The top-up that did, as long as it is not known to have arrived: one more than the counter of its box, and the blocks sent
    /// since, its own among them.
    pub(super) discarded: Option<(u64, usize)>,
    /// The counter of the latest box that came from the bridge.
    pub(super) newest_box: Option<u64>,
    /// Blocks spent since the bridge was last asked.
    pub(super) spent: usize,
}

impl Stock {
    /// The bridge holds so many, as far as is known; more are sent.
    fn filling(estimate: usize, discard: bool) -> Self {
        Self {
            estimate,
            under_way: VecDeque::new(),
            filling: true,
            discard,
            discarded: None,
            newest_box: None,
            spent: 0,
        }
    }
}

impl Registration {
    /// A new one; its secrets are drawn here.
    pub(super) fn new(
        turn: &mut Turn<'_>,
        serial: u64,
        bridge: BridgeInfo,
        prefixes: Vec<Prefix>,
    ) -> Self {
        let peer_secret = loop {
            let secret = Zeroizing::new(turn.draw());
            if SecretKey::from_secret_bytes(*secret).is_ok() {
                break secret;
            }
        };
        Self {
            serial,
            bridge,
            prefixes,
            group: GroupId::new(turn.draw()),
            peer_secret,
            kx_secret: ExchangeSecret::generate(turn.rng),
            mode: turn.config.mode,
            asked_at: turn.now.unix(),
            stage: Stage::Asked {
                attempts: 0,
                due: turn.now.mono,
            },
        }
    }

    /// The bridge as a peer of the MVDS node: one name for each registration, so that what belongs to one never
    /// travels under another.
    pub(super) fn peer(&self) -> PeerId {
        let mut alias = [0; PEER_ID_LEN];
        alias[0] = 0x04;
        alias[1..33].copy_from_slice(self.group.bytes());
        PeerId::new(alias)
    }

    pub(super) fn live(&self) -> Option<&Live> {
        match &self.stage {
            Stage::Live(live) => Some(live),
            Stage::Asked { .. } => None,
        }
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.stage {
            Stage::Live(live) => Some(live),
            Stage::Asked { .. } => None,
        }
    }

    /// Whether envelopes come, or will come, under it.
    pub(super) fn is_wanted(&self) -> bool {
        self.live().is_none_or(|live| live.retired_at.is_none())
    }

    /// The REGISTER, signed.
    pub(super) fn register(&self, turn: &Turn<'_>) -> Option<Body> {
        let secret = SecretKey::from_secret_bytes(*self.peer_secret).ok()?;
        let client = PublicKey::from_secret_key(&secret).serialize_uncompressed();
        let terms = Register {
            group: self.group,
            client: PeerId::new(client),
            filters: self.prefixes.clone(),
            exclude: Vec::new(),
            lease_s: turn.config.lease_s,
            since: 0,
            mode: self.mode,
            pace_ms: 0,
            max_backlog: 0,
            max_item_bytes: turn.config.item_bytes_max(),
            kx: self.kx_secret.public(),
            renew: None,
        };
        terms
            .sign(&self.bridge.id, &self.peer_secret)
            .ok()
            .map(Body::Register)
    }

    /// The bridge granted it. Gives the key of its chain of mailbox boxes; none if the grant cannot be used.
    pub(super) fn confirm(
        &mut self,
        turn: &Turn<'_>,
        granted: &Registered,
        blocks: usize,
    ) -> Option<ChainSecret> {
        let Ok(session) = Session::derive(
            End::Client,
            &self.kx_secret,
            &granted.kx,
            self.group.bytes(),
        ) else {
            return None;
        };
        let chain = mailbox_key(&self.kx_secret, &granted.kx, self.group.bytes()).ok()?;
        let now_s = turn.now.unix();
        let lease_until = now_s.saturating_add(granted.lease_s);
        self.stage = Stage::Live(Box::new(Live {
            tag: granted.tag,
            bridge_peer: granted.bridge,
            session,
            lease_until,
            renew_at: now_s.saturating_add(granted.lease_s / 2),
            retired_at: None,
            unregister_due: None,
            stock: Stock::filling(blocks, false),
            next_ping: turn.now.mono + super::registrations::PING_GAP,
            pings_unanswered: 0,
        }));
        Some(chain)
    }

    pub(super) fn save(&self, turn: &mut Turn<'_>, id: RegistrationId) {
        turn.ledger.put(
            Family::Registrations,
            record_key(id),
            self.record().encode_to_vec(),
        );
        self.save_session(turn, id);
    }

    /// Keeps which counters were used, and which may be.
    pub(super) fn save_session(&self, turn: &mut Turn<'_>, id: RegistrationId) {
        if let Some(live) = self.live() {
            let record = live.session.record(live.session.sealer.limit());
            turn.ledger
                .put(Family::Registrations, session_key(id), record.to_vec());
        }
    }

    pub(super) fn delete(turn: &mut Turn<'_>, id: RegistrationId) {
        turn.ledger.delete(Family::Registrations, record_key(id));
        turn.ledger.delete(Family::Registrations, session_key(id));
    }

    fn record(&self) -> RegistrationRecord {
        let live = self.live();
        RegistrationRecord {
            bridge: self.bridge.id.0.to_vec(),
            prefixes: self.prefixes.iter().copied().map(pack).collect(),
            group: self.group.bytes().to_vec(),
            peer_secret: self.peer_secret.to_vec(),
            kx_secret: self.kx_secret.expose().to_vec(),
            state: match live {
                None => 0,
                Some(live) if live.retired_at.is_none() => 1,
                Some(_) => 2,
            },
            tag: live.map_or_else(Vec::new, |live| live.tag.bytes().to_vec()),
            bridge_peer: live.map_or_else(Vec::new, |live| live.bridge_peer.bytes().to_vec()),
            lease_until: live.map_or(0, |live| live.lease_until),
            renew_at: live.map_or(0, |live| live.renew_at),
            retired_at: live.and_then(|live| live.retired_at).unwrap_or(0),
            interactive: self.mode == Mode::Interactive,
            serial: self.serial,
            asked_at: self.asked_at,
        }
    }

    /// The registration of a record. `bridges` are those that the edge may use; one that is no longer among them
    /// is given up (`Ok(None)`).
    pub(super) fn restore(
        turn: &Turn<'_>,
        record: RegistrationRecord,
        session: Option<&[u8]>,
    ) -> Result<Option<Self>, ()> {
        let bridge = BridgeId(record.bridge.try_into().map_err(|_| ())?);
        let Some(bridge) = turn.config.bridges.iter().find(|info| info.id == bridge) else {
            return Ok(None);
        };
        let prefixes = record
            .prefixes
            .iter()
            .map(|packed| unpack(*packed))
            .collect::<Option<_>>();
        let kx_secret: [u8; 32] = record.kx_secret.try_into().map_err(|_| ())?;
        let stage = match record.state {
            0 => Stage::Asked {
                attempts: 0,
                due: turn.now.mono,
            },
            1 | 2 => {
                let session: &[u8; SESSION_RECORD_LEN] =
                    session.ok_or(())?.try_into().map_err(|_| ())?;
                Stage::Live(Box::new(Live {
                    tag: Tag::from_slice(&record.tag).ok_or(())?,
                    bridge_peer: PeerId::from_slice(&record.bridge_peer).ok_or(())?,
                    session: Session::restore(session),
                    lease_until: record.lease_until,
                    renew_at: record.renew_at,
                    retired_at: (record.state == 2).then_some(record.retired_at),
                    unregister_due: (record.state == 2).then_some(turn.now.mono),
                    // The keys that open what comes by the blocks at the bridge were lost with the restart.
                    stock: Stock::filling(0, true),
                    next_ping: turn.now.mono + super::registrations::PING_GAP,
                    pings_unanswered: 0,
                }))
            }
            _ => return Err(()),
        };
        Ok(Some(Self {
            serial: record.serial,
            bridge: *bridge,
            prefixes: prefixes.ok_or(())?,
            group: GroupId::from_slice(&record.group).ok_or(())?,
            peer_secret: Zeroizing::new(record.peer_secret.try_into().map_err(|_| ())?),
            kx_secret: ExchangeSecret::from_bytes(kx_secret),
            mode: if record.interactive {
                Mode::Interactive
            } else {
                Mode::Batch
            },
            asked_at: record.asked_at,
            stage,
        }))
    }
}

pub(super) fn record_key(id: RegistrationId) -> Vec<u8> {
    [id.0.as_slice(), &[0]].concat()
}

pub(super) fn session_key(id: RegistrationId) -> Vec<u8> {
    [id.0.as_slice(), &[1]].concat()
}
