//! What Whisper wants done.

use tracing::debug;

use super::super::Event;
use super::super::connection::Receipt;
use super::Owner;
use super::connections::Connection;
use crate::identity::NodeId;
use crate::now::Now;
use crate::peers::{ConnectionId, Offence};
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::payload::Payload;
use crate::shh::{self, PeerId, wire};

impl Owner {
    pub(super) fn whisper(&mut self, now: Now, output: shh::Output) {
        match output {
            shh::Output::Send {
                peer,
                code,
                payload,
            } => self.send(peer, code, payload),
            shh::Output::Disconnect { peer, error } => {
                debug!(%error, "a Whisper peer broke a rule");
                if let Some(offence) = Offence::of_whisper(&error) {
                    self.peers
                        .report(now, ConnectionId::from_number(peer.0), offence);
                }
                if let Some(connection) = self.connection(peer) {
                    connection
                        .outlet
                        .quit(DisconnectReason::from_code(error.disconnect_code()));
                }
            }
            shh::Output::Envelope { envelope, from } => {
                self.mail.accepted(now, &envelope);
                let from = from.and_then(|peer| self.node_of(peer));
                self.tell(Event::Envelope { envelope, from });
            }
            shh::Output::PeerStatus { peer, wants } => {
                if let Some(node) = self.node_of(peer) {
                    self.mail.peer_ready(now, peer, node, &wants);
                    let (bloom, min_pow) = (wants.bloom, wants.min_pow);
                    self.tell(Event::PeerInterest {
                        node,
                        bloom,
                        min_pow,
                    });
                }
            }
            shh::Output::Direct { envelope, from } => {
                // Not for the archive, so that nothing is waited for.
                if self.mail.is_server() {
                    self.node.release(&[envelope.hash()]);
                }
                self.direct(now, envelope, from);
            }
            shh::Output::Mail {
                peer,
                node,
                code,
                payload,
            } => {
                let trusted = self.node.is_trusted(&node);
                self.mail.message(now, peer, trusted, code, payload);
            }
            shh::Output::Confirmed {
                peer,
                batch: _,
                hashes,
                faults,
            } => {
                if let Some(peer) = self.node_of(peer) {
                    self.tell(Event::Confirmed {
                        peer,
                        hashes,
                        faults,
                    });
                }
            }
            shh::Output::Offence { peer, offence } => {
                self.peers
                    .report(now, ConnectionId::from_number(peer.0), offence);
            }
            shh::Output::Sent { peer, hashes } => {
                if let Some(peer) = self.node_of(peer) {
                    self.tell(Event::Sent { hashes, peer });
                }
            }
        }
    }

    pub(super) fn send(&mut self, peer: PeerId, code: u64, payload: Payload) {
        let now = self.now();
        let Some(connection) = self.connection(peer) else {
            return;
        };
        let Some(whisper) = &connection.whisper else {
            return;
        };
        if !connection.outlet.send(whisper.capability, code, payload) {
            debug!(peer = ?whisper.node, "a Whisper peer takes nothing and is given up");
            connection.outlet.quit(DisconnectReason::Network);
            self.peers
                .report(now, ConnectionId::from_number(peer.0), Offence::Mute);
            return;
        }
        let behind = code == wire::ENVELOPES && connection.outlet.is_behind();
        if behind && connection.outlet.ask_receipt(Receipt::Relay) {
            self.node.hold(peer, true);
        }
    }

    pub(super) fn connection(&mut self, peer: PeerId) -> Option<&mut Connection> {
        self.connections.get_mut(&ConnectionId::from_number(peer.0))
    }

    pub(super) fn node_of(&mut self, peer: PeerId) -> Option<NodeId> {
        self.connection(peer)?
            .whisper
            .as_ref()
            .map(|whisper| whisper.node)
    }
}
