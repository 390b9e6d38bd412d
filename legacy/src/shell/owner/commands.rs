//! What handles ask for, and what they are answered.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::{Counters, PeerInfo};
use super::{Owner, peer_id};
use crate::enode::Enode;
use crate::identity::NodeId;
use crate::mailserver::{History, HistoryError, HistoryRequest, SyncError, SyncRequest, Synced};
use crate::now::Now;
use crate::peers::{AddError, Ban};
use crate::shh::clock::ClockState;
use crate::shh::node::{Info, NotConnected, SizeTooLarge, TrustFull};
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
    RemovePeer {
        node: NodeId,
        answer: oneshot::Sender<bool>,
    },
    Trust {
        enode: Enode,
        answer: oneshot::Sender<Result<(), AddError>>,
    },
    Untrust {
        node: NodeId,
        answer: oneshot::Sender<bool>,
    },
    Candidates {
        enodes: Vec<Enode>,
    },
    Wanted {
        answer: oneshot::Sender<usize>,
    },
    Bans {
        answer: oneshot::Sender<Vec<Ban>>,
    },
    SetBloom {
        bloom: Option<Bloom>,
        answer: oneshot::Sender<()>,
    },
    SetMinPow {
        min_pow: f64,
        answer: oneshot::Sender<Result<(), shh::wire::Error>>,
    },
    WidenBloom {
        topics: Bloom,
        answer: oneshot::Sender<()>,
    },
    SetLight {
        light: bool,
        answer: oneshot::Sender<()>,
    },
    SetEnvelopeLenMax {
        bytes: usize,
        answer: oneshot::Sender<Result<(), SizeTooLarge>>,
    },
    TrustPeer {
        node: NodeId,
        trusted: bool,
        answer: oneshot::Sender<Result<(), TrustFull>>,
    },
    PostDirect {
        to: NodeId,
        envelope: Arc<Envelope>,
        answer: oneshot::Sender<Result<(), NotConnected>>,
    },
    Release {
        hash: EnvelopeHash,
    },
    Info {
        answer: oneshot::Sender<Info>,
    },
    Clock {
        answer: oneshot::Sender<ClockState>,
    },
    RequestHistory {
        request: Box<HistoryRequest>,
        answer: oneshot::Sender<Result<History, HistoryError>>,
    },
    SyncFrom {
        request: SyncRequest,
        answer: oneshot::Sender<Result<Synced, SyncError>>,
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
        let now = self.now();
        // An answer that nobody waits for is no answer lost.
        match command {
            Command::Post { envelope, answer } => {
                let _ = answer.send(self.node.post(now, *envelope));
            }
            Command::AddPeer { enode, answer } => {
                let _ = answer.send(self.peers.add(now, enode));
            }
            Command::RemovePeer { node, answer } => {
                let _ = answer.send(self.peers.remove(now, &node));
            }
            Command::Trust { enode, answer } => {
                let _ = answer.send(self.peers.trust(enode));
            }
            Command::Untrust { node, answer } => {
                let _ = answer.send(self.peers.untrust(&node));
            }
            Command::Candidates { enodes } => self.peers.candidates(now, enodes),
            Command::Wanted { answer } => {
                let _ = answer.send(self.peers.wanted(now));
            }
            Command::Bans { answer } => {
                let _ = answer.send(self.peers.bans(now));
            }
            Command::SetBloom { bloom, answer } => {
                self.node.set_bloom(now, bloom);
                let _ = answer.send(());
            }
            Command::SetMinPow { min_pow, answer } => {
                let _ = answer.send(self.node.set_min_pow(now, min_pow));
            }
            Command::WidenBloom { topics, answer } => {
                self.node.widen_bloom(now, &topics);
                let _ = answer.send(());
            }
            Command::SetLight { light, answer } => {
                self.node.set_light(light);
                let _ = answer.send(());
            }
            Command::SetEnvelopeLenMax { bytes, answer } => {
                let _ = answer.send(self.node.set_envelope_len_max(bytes));
            }
            Command::TrustPeer {
                node,
                trusted,
                answer,
            } => {
                let _ = answer.send(self.node.trust(node, trusted));
            }
            Command::PostDirect {
                to,
                envelope,
                answer,
            } => {
                let _ = answer.send(self.node.send_direct(now, to, &[envelope]));
            }
            Command::Release { hash } => self.node.release(&[hash]),
            Command::Info { answer } => {
                let _ = answer.send(self.node.info());
            }
            Command::Clock { answer } => {
                let _ = answer.send(self.node.clock(now));
            }
            Command::RequestHistory { request, answer } => {
                self.mail.request(now, request, answer);
            }
            Command::SyncFrom { request, answer } => self.mail.sync(now, request, answer),
            Command::Peers { answer } => {
                let _ = answer.send(self.infos(now));
            }
            Command::Counters { answer } => {
                let _ = answer.send(self.count(now));
            }
            Command::Shutdown => {}
        }
    }

    fn infos(&self, now: Now) -> Vec<PeerInfo> {
        let mut infos: Vec<PeerInfo> = self
            .connections
            .iter()
            .filter_map(|(id, connection)| {
                let whisper = connection.whisper.as_ref()?;
                let node = &whisper.node;
                Some(PeerInfo {
                    enode: Enode::new(connection.key?, connection.address),
                    client_name: whisper.client_name.clone(),
                    direction: connection.direction,
                    since: whisper.since,
                    kind: self.peers.kind(node),
                    trusted: self.peers.is_trusted(node),
                    score: self.peers.score(now, node),
                    wants: self.node.wants(peer_id(*id)).cloned(),
                })
            })
            .collect();
        infos.sort_by_key(|info| info.enode.node_id());
        infos
    }

    fn count(&mut self, now: Now) -> Counters {
        Counters {
            peers: self
                .connections
                .values()
                .filter(|connection| connection.whisper.is_some())
                .count(),
            pending: self.peers.pending(),
            pooled: self.node.pooled(),
            pooled_bytes: self.node.pooled_bytes(),
            banned: self.peers.bans(now).len(),
            policy: self.peers.counters().clone(),
            clock: self.node.clock(now),
            shh: self.node.counters().clone(),
            mail: self.mail.counters(),
            ..self.counters.clone()
        }
    }
}
