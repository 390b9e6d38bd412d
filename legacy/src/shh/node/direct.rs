//! What goes from one peer to another past the pool: direct messages and the mailserver's.
//!
//! | code | taken from | becomes |
//! |---|---|---|
//! | 127 | trusted peers | [`Output::Direct`] per envelope, past every check but the encoding |
//! | 124, 125 | trusted peers | [`Output::Mail`] |
//! | 123, 126 | anybody, where we serve mail | [`Output::Mail`] |
//!
//! Everything else of these codes is skipped without a look at its bytes. Trust belongs to a node and not to a
//! connection, so that it outlives both ends' restarts. Spec: Whisper v6 trusted peers.

use std::sync::Arc;

use thiserror::Error as ThisError;

use super::{Node, Output, PeerId};
use crate::identity::NodeId;
use crate::now::Now;
use crate::shh::envelope::Envelope;
use crate::shh::limits::TRUSTED_NODES_MAX;
use crate::shh::wire::{self, Error};

/// Nobody of that name is connected and has sent its Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("the peer is not connected")]
pub struct NotConnected;

/// There is no room for another trusted node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("all {TRUSTED_NODES_MAX} places for trusted nodes are taken")]
pub struct TrustFull;

impl Node {
    /// Takes direct messages of a node from now on, or no longer. It need not be connected.
    pub fn trust(&mut self, node: NodeId, trusted: bool) -> Result<(), TrustFull> {
        if !trusted {
            self.trusted.remove(&node);
            return Ok(());
        }
        if self.trusted.len() >= TRUSTED_NODES_MAX && !self.trusted.contains(&node) {
            return Err(TrustFull);
        }
        self.trusted.insert(node);
        Ok(())
    }

    /// Whether direct messages of a node are taken.
    pub fn is_trusted(&self, node: &NodeId) -> bool {
        self.trusted.contains(node)
    }

    /// Sends envelopes straight to a node, past its checks if it trusts us. They are neither pooled nor relayed.
    ///
    /// Each goes in a message of its own: a geth peer ends the connection over a list.
    pub fn send_direct(
        &mut self,
        now: Now,
        to: NodeId,
        envelopes: &[Arc<Envelope>],
    ) -> Result<(), NotConnected> {
        let ready = |(id, peer): (&PeerId, &super::Peer)| {
            (peer.node == to && peer.wants().is_some()).then_some(*id)
        };
        let peer = self.peers.iter().find_map(ready).ok_or(NotConnected)?;
        for envelope in envelopes {
            self.counters.direct_sent += 1;
            self.send_mail(now, peer, wire::DIRECT, envelope.raw().to_vec());
        }
        Ok(())
    }

    /// Sends a message of the mailserver. Nothing happens where the peer is gone or has sent no Status.
    pub fn send_mail(&mut self, now: Now, peer: PeerId, code: u64, payload: Vec<u8>) {
        let Some(state) = self.peers.get_mut(&peer).filter(|p| p.wants().is_some()) else {
            return;
        };
        state.outbox.spend(now.mono, &state.pace);
        self.outputs.push_back(Output::Send {
            peer,
            code,
            payload: payload.into(),
        });
    }

    /// Ends a connection whose peer broke a rule of the mailserver.
    pub fn dismiss_for(&mut self, peer: PeerId, error: Error) {
        if self.peers.contains_key(&peer) {
            self.dismiss(peer, error);
        }
    }

    /// Codes 123 to 127.
    pub(super) fn past_the_pool(
        &mut self,
        peer: PeerId,
        code: u64,
        payload: &[u8],
    ) -> Result<(), Error> {
        let Some(node) = self.peers.get(&peer).map(|state| state.node) else {
            return Ok(());
        };
        let trusted = self.is_trusted(&node);
        match code {
            wire::DIRECT if trusted => self.direct(peer, payload)?,
            wire::SYNC_RESPONSE | wire::REQUEST_COMPLETE if trusted => {
                self.mail(peer, node, code, payload);
            }
            wire::SYNC_REQUEST | wire::REQUEST if self.config.mail => {
                self.mail(peer, node, code, payload);
            }
            wire::SYNC_RESPONSE | wire::REQUEST_COMPLETE | wire::DIRECT => {
                self.counters.untrusted_messages += 1;
            }
            _ => self.counters.skipped_messages += 1,
        }
        Ok(())
    }

    fn direct(&mut self, from: PeerId, payload: &[u8]) -> Result<(), Error> {
        let envelopes = wire::decode_direct(payload)?;
        self.counters.direct_received += envelopes.len() as u64;
        let outputs = envelopes.into_iter().map(|envelope| Output::Direct {
            envelope: Arc::new(envelope),
            from,
        });
        self.outputs.extend(outputs);
        Ok(())
    }

    fn mail(&mut self, peer: PeerId, node: NodeId, code: u64, payload: &[u8]) {
        self.counters.mail_messages += 1;
        self.outputs.push_back(Output::Mail {
            peer,
            node,
            code,
            payload: payload.to_vec(),
        });
    }
}
