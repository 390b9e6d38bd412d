//! What comes under a registration: MVDS payloads, responses; and the acknowledgements that go back.

use std::sync::Arc;

use super::Registrations;
use crate::counters::DropReason;
use crate::gateway::client::line::HOLD_MAX;
use crate::gateway::client::registration::RegistrationId;
use crate::gateway::client::turn::Turn;
use crate::gateway::request::decode_item;
use crate::gateway::response::Response;
use crate::gateway::seal::{Context, OVERHEAD, OpenError};
use crate::mvds::id::MessageId;
use crate::mvds::node::{Bodies, Output, PeerConfig};
use crate::mvds::payload::{BODY_LEN_MAX, Message, PAYLOAD_LEN_MAX, Payload};
use crate::port::{Envelope, Kind, Object, Tag};
use crate::tracks::{self, node_now};

/// The edge sends no messages of its own in these groups.
struct NoBodies;

impl Bodies for NoBodies {
    fn load(&self, _: &MessageId) -> Option<Message> {
        None
    }
}

impl Registrations {
    /// The registration of a tag.
    pub(in crate::gateway::client) fn by_tag(&self, tag: Tag) -> Option<RegistrationId> {
        self.by_tag.get(&tag).copied()
    }

    /// An object under a registration; gives the envelopes in it.
    pub(in crate::gateway::client) fn object(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        object: &Object,
    ) -> Vec<Envelope> {
        let frames = turn.frames_for(object.bytes.len());
        let Some(registration) = self.all.get_mut(&id) else {
            return Vec::new();
        };
        let peer = registration.peer();
        let Some(live) = registration.live_mut() else {
            return Vec::new();
        };
        let context = Context::new(object.kind, object.tag);
        let content = match live.session.opener.open(context, &object.bytes) {
            Ok(content) => content,
            Err(error) => {
                turn.drop(open_reason(error));
                return Vec::new();
            }
        };
        if let Some(counter) = object.bytes.first_chunk() {
            let blocks = if object.kind == Kind::Mvds { frames } else { 0 };
            live.stock.came(u64::from_be_bytes(*counter), blocks);
        }
        registration.save_session(turn, id);
        match object.kind {
            Kind::Mvds => {
                match self.node.handle(node_now(turn.now), peer, &content) {
                    Ok(0) => {}
                    Ok(_) | Err(_) => turn.drop(DropReason::Malformed),
                }
                self.drain_node(turn)
            }
            Kind::Response => {
                match Response::decode(&content) {
                    Ok(response) => self.response(turn.now.mono, id, &response),
                    Err(_) => turn.drop(DropReason::Malformed),
                }
                Vec::new()
            }
            Kind::Cover => Vec::new(),
            Kind::Request | Kind::TopUp => {
                turn.drop(DropReason::UnexpectedKind);
                Vec::new()
            }
        }
    }

    /// An object that the bridge left in mailboxes: the same payload as it would have sent. If its registration is over, nobody
    /// waits for an ack, and the envelopes are all that counts.
    pub(in crate::gateway::client) fn found(
        &mut self,
        turn: &mut Turn<'_>,
        id: RegistrationId,
        payload: &[u8],
    ) -> Vec<Envelope> {
        if let Some(registration) = self.all.get(&id) {
            let peer = registration.peer();
            match self.node.handle(node_now(turn.now), peer, payload) {
                Ok(0) => {}
                Ok(_) | Err(_) => turn.drop(DropReason::Malformed),
            }
            return self.drain_node(turn);
        }
        match Payload::decode(PeerConfig::OURS.dialect, payload, BODY_LEN_MAX) {
            Ok(decoded) => decoded
                .payload
                .messages
                .iter()
                .filter_map(|message| envelope_of(turn, message))
                .collect(),
            Err(_) => {
                turn.drop(DropReason::Malformed);
                Vec::new()
            }
        }
    }

    /// Sends what is due: acknowledgements, requests. While the line is busy they wait, and go in one payload then.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>) {
        let now = node_now(turn.now);
        if self.held.is_some_and(|until| until <= turn.now.mono) {
            self.held = None;
            self.by_peer.keys().for_each(|peer| self.node.resume(peer));
        } else {
            let due = self.node.peers_due(now);
            let free_at = turn.line.free_at(turn.now);
            if !due.is_empty() && free_at > turn.now.mono {
                let until = free_at.min(turn.now.mono + HOLD_MAX);
                self.held.get_or_insert(until);
                due.iter().for_each(|peer| self.node.pause(peer));
            }
        }
        for peer in self.node.peers_due(now) {
            let Some(id) = self.by_peer.get(&peer).copied() else {
                self.node.pause(&peer);
                continue;
            };
            let frame = turn.config.frame_capacity.saturating_sub(OVERHEAD);
            for budget in [frame, PAYLOAD_LEN_MAX] {
                while let Some(draft) = self.node.draft(now, &peer, budget, &NoBodies) {
                    if !draft.bytes().is_empty()
                        && self
                            .send(turn, id, (Kind::Mvds, true), draft.bytes())
                            .is_none()
                    {
                        self.node.pause(&peer);
                        break;
                    }
                    self.node.taken(now, draft);
                }
            }
        }
        self.drain_node(turn);
    }

    /// Writes what the node changed; gives what it brought. The ledger holds back what depends on it, so for the node it
    /// counts as committed at once.
    pub(super) fn drain_node(&mut self, turn: &mut Turn<'_>) -> Vec<Envelope> {
        let mut brought = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Commit { seq, changes } => {
                    for change in changes {
                        // Bodies are kept for peers that are to get them; nobody gets any from here.
                        tracks::write(turn.ledger, change);
                    }
                    self.node.committed(node_now(turn.now), seq);
                }
                Output::Deliver { message, .. } => brought.extend(envelope_of(turn, &message)),
                Output::Refused { .. } | Output::Lost { .. } => turn.drop(DropReason::Malformed),
                Output::Acked { .. } | Output::Parked { .. } => {}
            }
        }
        brought
    }
}

/// The envelope in a message, checked.
fn envelope_of(turn: &mut Turn<'_>, message: &Message) -> Option<Envelope> {
    let Ok(rlp) = decode_item(&message.body) else {
        turn.drop(DropReason::Malformed);
        return None;
    };
    let Ok(facts) = turn.config.inspect.inspect(&rlp) else {
        turn.drop(DropReason::Malformed);
        return None;
    };
    Some(Envelope {
        rlp: Arc::from(rlp),
        facts,
    })
}

fn open_reason(error: OpenError) -> DropReason {
    match error {
        OpenError::Replayed { .. } | OpenError::TooOld { .. } => DropReason::Replayed,
        OpenError::TooShort { .. } | OpenError::TooLong { .. } => DropReason::Malformed,
        OpenError::LowOrder | OpenError::CountersSpent | OpenError::Forged => DropReason::Forged,
    }
}
