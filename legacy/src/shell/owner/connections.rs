//! Connections from their first byte to their last: who comes in, and who has gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tracing::debug;

use super::super::connection::{self, Ended, Outlet, Receipt, Report};
use super::super::{Event, seed};
use super::{Owner, peer_id};
use crate::enode::Enode;
use crate::identity::{NodeId, PublicKey};
use crate::now::Now;
use crate::peers::{ConnectionId, End, Kind, Offence};
use crate::rlpx::Direction;
use crate::rlpx::capability::SHH;
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::session::{self, Closed, Established};
use crate::shh;

/// One connection.
pub(super) struct Connection {
    pub(super) direction: Direction,
    pub(super) address: SocketAddr,
    pub(super) outlet: Outlet,
    /// Who the handshake proved to be there.
    pub(super) key: Option<PublicKey>,
    pub(super) whisper: Option<Whisper>,
}

/// A connection that speaks Whisper.
pub(super) struct Whisper {
    pub(super) node: NodeId,
    /// Its place among what the connection speaks.
    pub(super) capability: usize,
    pub(super) client_name: String,
    pub(super) since: Instant,
}

impl Owner {
    pub(super) fn accepted(&mut self, stream: TcpStream, address: SocketAddr) {
        self.counters.accepted += 1;
        let now = self.now();
        let id = match self.peers.accept(now, address.ip()) {
            Ok(id) => id,
            Err(refused) => {
                *self.counters.refused.entry(refused.as_str()).or_default() += 1;
                return;
            }
        };
        let Ok(seed) = seed() else {
            self.peers.close(self.now(), id, End::Other);
            return;
        };
        let inlet = self.connect(id, Direction::Accepted, address);
        let (session, reports) = (Arc::clone(&self.session), self.reports.clone());
        self.tasks.spawn(connection::accept(
            id, stream, session, seed, inlet, reports,
        ));
    }

    pub(super) fn dial(&mut self, id: ConnectionId, enode: Enode) {
        self.counters.dialled += 1;
        let Ok(seed) = seed() else {
            self.peers.close(self.now(), id, End::Other);
            return;
        };
        let inlet = self.connect(id, Direction::Dialled, enode.tcp());
        let (session, reports) = (Arc::clone(&self.session), self.reports.clone());
        self.tasks.spawn(connection::dial(
            id,
            enode.tcp(),
            *enode.public_key(),
            session,
            seed,
            inlet,
            reports,
        ));
    }

    fn connect(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        address: SocketAddr,
    ) -> connection::Inlet {
        let (outlet, inlet) = connection::channel();
        self.connections.insert(
            id,
            Connection {
                direction,
                address,
                outlet,
                key: None,
                whisper: None,
            },
        );
        inlet
    }

    /// Ends a connection without a word: its task sees that nobody holds the other end any more.
    pub(super) fn push_out(&mut self, id: ConnectionId) {
        *self.counters.refused.entry("pushed_out").or_default() += 1;
        self.connections.remove(&id);
    }

    pub(super) fn report(&mut self, id: ConnectionId, report: Report) {
        let now = self.now();
        match report {
            Report::Identified(key) => self.identified(now, id, key),
            Report::Established(established) => self.established(now, id, established),
            Report::Message {
                capability,
                code,
                payload,
            } => {
                let whisper = self
                    .connections
                    .get(&id)
                    .and_then(|connection| connection.whisper.as_ref());
                if whisper.is_some_and(|whisper| whisper.capability == capability) {
                    self.node.handle(
                        now,
                        shh::Input::Message {
                            peer: peer_id(id),
                            code,
                            payload,
                        },
                    );
                }
            }
            Report::Taken(Receipt::Mail) => self.mail.taken(now, peer_id(id)),
            Report::Taken(Receipt::Relay) => self.node.hold(peer_id(id), false),
            Report::Ended(ended) => self.ended(now, id, ended),
        }
    }

    fn identified(&mut self, now: Now, id: ConnectionId, key: PublicKey) {
        let verdict = self.peers.identify(now, id, key.node_id());
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.key = Some(key);
        match verdict {
            Ok(()) => {
                connection.outlet.admit();
            }
            Err(reason) => connection.outlet.quit(reason),
        }
    }

    fn established(&mut self, now: Now, id: ConnectionId, established: Established) {
        self.counters.established += 1;
        let verdict = self.peers.establish(now, id);
        let whisper = established
            .capabilities
            .iter()
            .position(|shared| shared.capability.name == SHH.name);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Err(reason) = verdict {
            connection.outlet.quit(reason);
            return;
        }
        let Some(capability) = whisper else {
            self.peers.report(now, id, Offence::UselessPeer);
            connection.outlet.quit(DisconnectReason::UselessPeer);
            return;
        };
        let node = established.public_key.node_id();
        let direction = connection.direction;
        // Rate limits are for those that nobody chose.
        let chosen = matches!(self.peers.kind(&node), Kind::Static | Kind::Trusted);
        let ip = (!chosen).then_some(connection.address.ip());
        debug!(peer = ?node, ?direction, "a Whisper peer is connected");
        connection.whisper = Some(Whisper {
            node,
            capability,
            client_name: established.client_name,
            since: now.mono,
        });
        self.tell(Event::PeerUp { node, direction });
        self.node.handle(
            now,
            shh::Input::PeerUp {
                peer: peer_id(id),
                node,
                ip,
            },
        );
    }

    fn ended(&mut self, now: Now, id: ConnectionId, ended: Ended) {
        *self.counters.closed.entry(word(ended)).or_default() += 1;
        if let Some(offence) = offence(ended) {
            self.peers.report(now, id, offence);
        }
        self.peers.close(now, id, end(ended));
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        if let Some(whisper) = connection.whisper {
            debug!(peer = ?whisper.node, ?ended, "a Whisper peer is gone");
            self.node
                .handle(now, shh::Input::PeerDown { peer: peer_id(id) });
            self.mail.peer_down(now, peer_id(id));
            self.backlog
                .push_back(Event::PeerDown { node: whisper.node });
        }
    }
}

/// What an end says of the peer.
fn offence(ended: Ended) -> Option<Offence> {
    match ended {
        Ended::Closed(Closed::Broken(error)) => Offence::of_session(&error),
        Ended::NotReached(_)
        | Ended::Closed(Closed::Ours(_) | Closed::Theirs(_))
        | Ended::Eof
        | Ended::Failed(_)
        | Ended::GivenUp => None,
    }
}

/// What an end says of the next attempt.
fn end(ended: Ended) -> End {
    match ended {
        Ended::Closed(Closed::Theirs(DisconnectReason::TooManyPeers)) => End::Full,
        Ended::Closed(
            Closed::Ours(DisconnectReason::UselessPeer)
            | Closed::Theirs(DisconnectReason::UselessPeer)
            | Closed::Broken(session::Error::Useless),
        ) => End::Useless,
        Ended::NotReached(_)
        | Ended::Closed(_)
        | Ended::Eof
        | Ended::Failed(_)
        | Ended::GivenUp => End::Other,
    }
}

/// A label from a closed list.
fn word(ended: Ended) -> String {
    match ended {
        Ended::NotReached(_) => "not_reached".to_owned(),
        Ended::Closed(Closed::Ours(reason)) => format!("ours_{}", reason.as_str()),
        Ended::Closed(Closed::Theirs(reason)) => format!("theirs_{}", reason.as_str()),
        Ended::Closed(Closed::Broken(error)) => error.as_str().to_owned(),
        Ended::Eof => "eof".to_owned(),
        Ended::Failed(_) => "failed".to_owned(),
        Ended::GivenUp => "given_up".to_owned(),
    }
}
