//! What the network task does about routers: it asks for circuits, punches holes, and closes what has served.

use std::time::Instant;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, autonat, dcutr, relay};

use super::{Network, nat, peer_key};
use crate::address::PeerKey;
use crate::shell::reach::Reachability;

impl Network {
    pub(super) fn nat_event(&mut self, event: nat::BehaviourEvent) {
        match event {
            nat::BehaviourEvent::Ask(autonat::v2::client::Event { result, .. }) => {
                let before = self.nat.reachability();
                self.nat.tried(result.is_ok());
                match self.nat.reachability() {
                    now if now == before => {}
                    Reachability::Unknown => {}
                    Reachability::Public => tracing::info!("others can dial this node"),
                    Reachability::Private => tracing::warn!(
                        "others cannot dial this node, so it asks relays for circuits on which it is found; \
                         better: forward its port (TCP and UDP) at the router"
                    ),
                }
                self.reserve();
                self.publish();
            }
            // What was dialled for a test has served.
            nat::BehaviourEvent::Answer(autonat::v2::server::Event { client, .. }) => {
                let peer = peer_key(&client);
                let dials = peer.and_then(|peer| self.for_others.remove(&peer));
                for connection in dials.unwrap_or_default() {
                    self.swarm.close_connection(connection);
                }
            }
            nat::BehaviourEvent::Through(relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                ..
            }) => {
                if let Some(helper) = peer_key(&relay_peer_id) {
                    self.nat.stands(&helper);
                    self.publish();
                }
            }
            nat::BehaviourEvent::Punch(dcutr::Event {
                remote_peer_id,
                result,
            }) => {
                let Some(peer) = peer_key(&remote_peer_id) else {
                    return;
                };
                match result {
                    // It was no test of an address.
                    Ok(connection) => self.is_ours(&peer, connection),
                    Err(error) => tracing::debug!(%error, "no hole could be punched"),
                }
            }
            // What others do with our circuits is counted by the library's limits.
            _ => {}
        }
    }

    /// A circuit to `peer` stands: it is for punching a hole, and only then.
    pub(super) async fn met(&mut self, peer: PeerKey, connection: ConnectionId) {
        if self.view.borrow().links.contains_key(&peer) {
            self.swarm.close_connection(connection);
        } else {
            self.nat.met(peer, connection);
        }
    }

    /// Forgets that `connection` may be a dial for somebody else.
    pub(super) fn is_ours(&mut self, peer: &PeerKey, connection: ConnectionId) {
        if let Some(dials) = self.for_others.get_mut(peer) {
            dials.retain(|dial| *dial != connection);
            if dials.is_empty() {
                self.for_others.remove(peer);
            }
        }
    }

    /// Closes the circuits to `peer`.
    pub(super) fn leave_circuits(&mut self, peer: &PeerKey) {
        for connection in self.nat.served(peer) {
            self.swarm.close_connection(connection);
        }
    }

    /// Asks helpers for the circuits that are missing.
    pub(super) fn reserve(&mut self) {
        let now = Instant::now();
        for (helper, circuit) in self.nat.to_reserve(now) {
            match self.swarm.listen_on(circuit) {
                Ok(listener) => self.nat.reserving(helper, listener),
                Err(error) => tracing::debug!(%error, "no circuit could be asked for"),
            }
        }
    }

    /// Where a contact is that we dialled.
    pub(super) fn place(&self, peer: &PeerId) -> Option<Multiaddr> {
        let peer = peer_key(peer)?;
        self.contacts.place(&peer)
    }

    pub(super) fn publish(&self) {
        let (reachability, reservations) = (self.nat.reachability(), self.nat.reserved());
        self.view.send_modify(|view| {
            (view.reachability, view.reservations) = (reachability, reservations);
        });
    }
}
