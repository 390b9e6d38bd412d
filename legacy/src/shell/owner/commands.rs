//! What handles ask for, and what they are answered.

use tokio::sync::oneshot;

use super::super::{Counters, PeerInfo, now};
use super::{Owner, peer_id};
use crate::enode::Enode;
use crate::peers::AddError;
use crate::shh::{self, Bloom, Envelope, EnvelopeHash, Reject};

/// What a handle asks for.
#[derive(Debug)]
pub(in crate::shell) enum Command {
    Post {
        envelope: Box<Envelope>,
        answer: oneshot::Sender<Result<EnvelopeHash, Reject>>,
    },
    AddPeer {
        enode: Enode,
        answer: oneshot::Sender<Result<(), AddError>>,
    },
    SetBloom {
        bloom: Option<Bloom>,
        answer: oneshot::Sender<()>,
    },
    SetMinPow {
        min_pow: f64,
        answer: oneshot::Sender<Result<(), shh::wire::Error>>,
    },
    Peers {
        answer: oneshot::Sender<Vec<PeerInfo>>,
    },
    Counters {
        answer: oneshot::Sender<Counters>,
    },
    Shutdown,
}

impl Owner {
    pub(super) fn command(&mut self, command: Command) {
        let now = now();
        // An answer that nobody waits for is no answer lost.
        match command {
            Command::Post { envelope, answer } => {
                let _ = answer.send(self.node.post(now, *envelope));
            }
            Command::AddPeer { enode, answer } => {
                let _ = answer.send(self.peers.add(now, enode));
            }
            Command::SetBloom { bloom, answer } => {
                self.node.set_bloom(now, bloom);
                let _ = answer.send(());
            }
            Command::SetMinPow { min_pow, answer } => {
                let _ = answer.send(self.node.set_min_pow(now, min_pow));
            }
            Command::Peers { answer } => {
                let _ = answer.send(self.infos());
            }
            Command::Counters { answer } => {
                let _ = answer.send(self.count());
            }
            Command::Shutdown => {}
        }
    }

    fn infos(&self) -> Vec<PeerInfo> {
        let mut infos: Vec<PeerInfo> = self
            .connections
            .iter()
            .filter_map(|(id, connection)| {
                let whisper = connection.whisper.as_ref()?;
                Some(PeerInfo {
                    enode: Enode::new(connection.key?, connection.address),
                    client_name: whisper.client_name.clone(),
                    direction: connection.direction,
                    since: whisper.since,
                    wants: self.node.wants(peer_id(*id)).cloned(),
                })
            })
            .collect();
        infos.sort_by_key(|info| info.enode.node_id());
        infos
    }

    fn count(&self) -> Counters {
        Counters {
            peers: self
                .connections
                .values()
                .filter(|connection| connection.whisper.is_some())
                .count(),
            pooled: self.node.pooled(),
            pooled_bytes: self.node.pooled_bytes(),
            shh: self.node.counters().clone(),
            ..self.counters.clone()
        }
    }
}
