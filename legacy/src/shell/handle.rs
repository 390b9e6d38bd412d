//! The way to a running node: every request is a command to its owner.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::owner::Command;
use super::{Clock, Counters, PeerInfo, discovery};
use crate::enode::Enode;
use crate::identity::NodeId;
use crate::mailserver::{History, HistoryError, HistoryRequest, SyncError, SyncRequest, Synced};
use crate::peers::{AddError, Ban};
use crate::shh::clock::ClockState;
use crate::shh::node::{Info, NotConnected, SizeTooLarge, TrustFull};
use crate::shh::{self, Bloom, Envelope, EnvelopeHash, Reject};

/// The way to a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) enode: Option<Enode>,
    pub(super) clock: Clock,
    pub(super) discovery: Option<watch::Receiver<discovery::Info>>,
}

impl Handle {
    /// Takes an envelope of our own and sends it on.
    pub async fn post(&self, envelope: Envelope) -> Result<EnvelopeHash, Refused> {
        self.ask(|answer| Command::Post {
            envelope: Box::new(envelope),
            answer,
        })
        .await?
        .map_err(Refused::Envelope)
    }

    /// Stays connected to a peer from now on.
    pub async fn add_peer(&self, enode: Enode) -> Result<(), Refused> {
        self.ask(|answer| Command::AddPeer { enode, answer })
            .await?
            .map_err(Refused::Peer)
    }

    /// Ends the connection to a peer with "requested", and dials it no more. False: it was neither connected nor to be
    /// dialled. It may come back by itself, and if discovery finds it again it is a candidate again.
    pub async fn remove_peer(&self, node: NodeId) -> Result<bool, Refused> {
        self.ask(|answer| Command::RemovePeer { node, answer })
            .await
    }

    /// Lets a peer in from now on although there may be no room, and never bans it. It is not dialled for that. This is
    /// trust in the sense of connections; what a peer may send directly is another matter.
    pub async fn add_trusted_peer(&self, enode: Enode) -> Result<(), Refused> {
        self.ask(|answer| Command::Trust { enode, answer })
            .await?
            .map_err(Refused::Peer)
    }

    /// Treats a trusted peer like any other from now on; its connection stays. False: it was not trusted.
    pub async fn remove_trusted_peer(&self, node: NodeId) -> Result<bool, Refused> {
        self.ask(|answer| Command::Untrust { node, answer }).await
    }

    /// Every ban that holds; none after shutdown.
    pub async fn bans(&self) -> Vec<Ban> {
        self.ask(|answer| Command::Bans { answer })
            .await
            .unwrap_or_default()
    }

    /// Names nodes that could be dialled, as discovery finds them. Those that there is no room for are dropped.
    pub async fn add_candidates(&self, enodes: Vec<Enode>) -> Result<(), Refused> {
        let command = Command::Candidates { enodes };
        self.commands
            .send(command)
            .await
            .map_err(|_| Refused::ShutDown)
    }

    /// How many more candidates there is use for now; none after shutdown.
    pub async fn candidates_wanted(&self) -> usize {
        self.ask(|answer| Command::Wanted { answer })
            .await
            .unwrap_or_default()
    }

    /// Asks for other topics from now on, and tells every peer. `None`: all topics.
    pub async fn set_bloom(&self, bloom: Option<Bloom>) -> Result<(), Refused> {
        self.ask(|answer| Command::SetBloom { bloom, answer }).await
    }

    /// Asks for more or less work from now on, and tells every peer.
    pub async fn set_min_pow(&self, min_pow: f64) -> Result<(), Refused> {
        self.ask(|answer| Command::SetMinPow { min_pow, answer })
            .await?
            .map_err(Refused::MinPow)
    }

    /// Asks for these topics too from now on, and tells every peer if that is news.
    pub async fn widen_bloom(&self, topics: Bloom) -> Result<(), Refused> {
        self.ask(|answer| Command::WidenBloom { topics, answer })
            .await
    }

    /// Says to peers that connect from now on whether we are light; what peers bring is handed out as [`Event::Direct`]
    /// meanwhile.
    ///
    /// [`Event::Direct`]: super::Event::Direct
    pub async fn set_light(&self, light: bool) -> Result<(), Refused> {
        self.ask(|answer| Command::SetLight { light, answer }).await
    }

    /// Takes larger envelopes from now on, or only smaller ones; the size rule counts 20 bytes more than the data.
    pub async fn set_envelope_len_max(&self, bytes: usize) -> Result<(), Refused> {
        self.ask(|answer| Command::SetEnvelopeLenMax { bytes, answer })
            .await?
            .map_err(Refused::Size)
    }

    /// Takes direct messages of a node from now on, or no longer, whether it is connected or not. This is trust in the
    /// sense of Whisper; it gives no place among the connections.
    pub async fn trust_peer(&self, node: NodeId, trusted: bool) -> Result<(), Refused> {
        self.ask(|answer| Command::TrustPeer {
            node,
            trusted,
            answer,
        })
        .await?
        .map_err(Refused::Trust)
    }

    /// Sends an envelope straight to a peer, past the pool. The peer takes it if it trusts us; nobody says whether.
    pub async fn post_direct(&self, to: NodeId, envelope: Arc<Envelope>) -> Result<(), Refused> {
        self.ask(|answer| Command::PostDirect {
            to,
            envelope,
            answer,
        })
        .await?
        .map_err(|NotConnected| Refused::NotConnected)
    }

    /// Lets go of the confirmations that wait for an envelope, see [`Confirmations::Held`].
    ///
    /// [`Confirmations::Held`]: shh::node::Confirmations::Held
    pub async fn release(&self, hash: EnvelopeHash) {
        // After shutdown there is nobody to confirm to.
        let _ = self.commands.send(Command::Release { hash }).await;
    }

    /// What is known about our clock at this moment. Who seals asks before the work and again after it, and
    /// waits while [`ClockState::is_in_doubt`].
    pub async fn clock_state(&self) -> Result<ClockState, Refused> {
        self.ask(|answer| Command::Clock { answer }).await
    }

    /// What Whisper is set to, and what it holds.
    pub async fn info(&self) -> Result<Info, Refused> {
        self.ask(|answer| Command::Info { answer }).await
    }

    /// Asks a mailserver for what was missed, page by page, and returns when it has answered. What it sends comes as
    /// [`Event::Direct`] meanwhile.
    ///
    /// [`Event::Direct`]: super::Event::Direct
    pub async fn request_history(&self, request: HistoryRequest) -> Result<History, Refused> {
        let request = Box::new(request);
        self.ask(|answer| Command::RequestHistory { request, answer })
            .await?
            .map_err(Refused::History)
    }

    /// Copies what another mailserver has into our archive, and returns when it is there.
    pub async fn sync_from(&self, request: SyncRequest) -> Result<Synced, Refused> {
        self.ask(|answer| Command::SyncFrom { request, answer })
            .await?
            .map_err(Refused::Sync)
    }

    /// Who is connected, in the order of their ids; nobody after shutdown.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(|answer| Command::Peers { answer })
            .await
            .unwrap_or_default()
    }

    /// What was counted so far; nothing after shutdown.
    pub async fn counters(&self) -> Counters {
        self.ask(|answer| Command::Counters { answer })
            .await
            .unwrap_or_default()
    }

    /// Our own enode, if we listen.
    pub const fn local_enode(&self) -> Option<&Enode> {
        self.enode.as_ref()
    }

    /// Where the node reads the time: whoever seals for it reads the same.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What discovery says about itself, our own record among it; nothing if it is off.
    pub fn discovery(&self) -> Option<discovery::Info> {
        Some(self.discovery.as_ref()?.borrow().clone())
    }

    /// Tells every peer that we quit, and ends. The task that [`spawn`](super::spawn) returned ends soon after.
    pub async fn shutdown(&self) {
        // Where nobody takes it the node has ended already.
        let _ = self.commands.send(Command::Shutdown).await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Refused> {
        let (answer, received) = oneshot::channel();
        self.commands
            .send(command(answer))
            .await
            .map_err(|_| Refused::ShutDown)?;
        received.await.map_err(|_| Refused::ShutDown)
    }
}

/// Why a request is not met.
#[derive(Debug, Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// The node has ended.
    #[error("the Whisper node has shut down")]
    ShutDown,
    /// The envelope is no good.
    #[error("the envelope is refused: {0}")]
    Envelope(Reject),
    /// The peer cannot be kept.
    #[error("the peer cannot be added: {0}")]
    Peer(AddError),
    /// The mailserver did not give what was asked for.
    #[error("no history: {0}")]
    History(HistoryError),
    /// The other mailserver was not copied.
    #[error("no sync: {0}")]
    Sync(SyncError),
    /// The number is no amount of work.
    #[error("the minimum proof of work is refused: {0}")]
    MinPow(shh::wire::Error),
    /// The number is no size that envelopes can have.
    #[error("the size is refused: {0}")]
    Size(SizeTooLarge),
    /// There are too many trusted nodes.
    #[error("the peer cannot be trusted: {0}")]
    Trust(TrustFull),
    /// The peer that it is meant for is not there.
    #[error("the peer is not connected")]
    NotConnected,
}
