//! The way to a running node, for its local user.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::{KeyError, Status, directory};
use crate::address::PeerKey;
use crate::client::TooFewRelays;
use crate::fragment::Object;
use crate::limits::RELAYS_NEEDED;
use crate::mailbox::client::TooMany;
use crate::mailbox::{Answer, ChainKey, Label, LeaveError, Request};
use crate::node::SendError;
use crate::send_queue::Urgency;
use crate::sphinx::{PublicKey, SecretKey, Surb};
use crate::topology::Topology;
use crate::window::WindowState;

/// The way to a running node. When the last one is dropped, the node shuts down.
#[derive(Clone)]
pub struct Handle {
    /// Objects to send; taken only while the send queue has room.
    pub(super) sends: mpsc::Sender<SendRequest>,
    pub(super) queries: mpsc::Sender<Query>,
    pub(super) surbs_outstanding: Arc<AtomicUsize>,
    pub(super) peer: PeerKey,
    pub(super) topology: watch::Receiver<Topology>,
    pub(super) directory: Option<directory::Access>,
}

/// An object to send.
pub(super) enum SendRequest {
    Forward {
        to: PeerKey,
        object: Object,
        urgency: Urgency,
        done: oneshot::Sender<Result<(), SendError>>,
    },
    Reply {
        blocks: Vec<Surb>,
        object: Object,
        done: oneshot::Sender<Result<(), SendError>>,
    },
}

/// What else the local user wants.
pub(super) enum Query {
    Watch {
        label: Label,
        key: ChainKey,
        next: u64,
        done: oneshot::Sender<Result<(), TooMany>>,
    },
    Unwatch {
        label: Label,
    },
    Leave {
        label: Label,
        key: ChainKey,
        first: u64,
        object: Vec<u8>,
        done: oneshot::Sender<Result<(), LeaveError>>,
    },
    Forget {
        label: Label,
    },
    Serve {
        requests: mpsc::Sender<Request>,
    },
    Answer {
        answers: Vec<(Surb, Answer)>,
    },
    Surbs {
        count: usize,
        done: oneshot::Sender<Result<Vec<Surb>, TooFewRelays>>,
    },
    Status {
        done: oneshot::Sender<Status>,
    },
    Foreground(bool),
    Window {
        steps: u16,
        done: oneshot::Sender<WindowState>,
    },
    Install {
        key: SecretKey,
        done: oneshot::Sender<Result<(), KeyError>>,
    },
    Retire {
        key: PublicKey,
        done: oneshot::Sender<()>,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

impl Handle {
    /// Queues `object` for the service `to`; waits while the send queue is full. While fewer than
    /// three relays are usable the object stays queued.
    pub async fn send(&self, to: PeerKey, object: Object) -> Result<(), SendError> {
        self.send_with(to, object, Urgency::Prompt).await
    }

    /// As [`Self::send`]; what is background gives way to what somebody waits for.
    pub async fn send_with(
        &self,
        to: PeerKey,
        object: Object,
        urgency: Urgency,
    ) -> Result<(), SendError> {
        self.ask(|done| SendRequest::Forward {
            to,
            object,
            urgency,
            done,
        })
        .await
    }

    /// Queues `object` for the maker of `blocks`, one block for each frame; waits while the send
    /// queue is full.
    pub async fn reply(&self, blocks: Vec<Surb>, object: Object) -> Result<(), SendError> {
        self.ask(|done| SendRequest::Reply {
            blocks,
            object,
            done,
        })
        .await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<(), SendError>>) -> SendRequest,
    ) -> Result<(), SendError> {
        let (done, answer) = oneshot::channel();
        let sent = self.sends.send(request(done)).await;
        sent.map_err(|_| SendError::Stopped)?;
        answer.await.unwrap_or(Err(SendError::Stopped))
    }

    /// Up to `count` reply blocks that end here; fewer when the stock of their keys is full.
    pub async fn surbs(&self, count: usize) -> Result<Vec<Surb>, TooFewRelays> {
        let stopped = TooFewRelays {
            usable: 0,
            needed: RELAYS_NEEDED,
        };
        let (done, answer) = oneshot::channel();
        self.queries
            .send(Query::Surbs { count, done })
            .await
            .map_err(|_| stopped)?;
        answer.await.unwrap_or(Err(stopped))
    }

    /// Reply blocks for which a reply may still come.
    pub fn surbs_outstanding(&self) -> usize {
        self.surbs_outstanding.load(Ordering::Relaxed)
    }

    /// Looks into the boxes of a chain from the index `next` on; what is there comes as [`super::Event::Mailbox`].
    pub async fn watch(&self, label: Label, key: ChainKey, next: u64) -> Result<(), TooMany> {
        let (done, answer) = oneshot::channel();
        let query = Query::Watch {
            label,
            key,
            next,
            done,
        };
        // A node that has stopped watches nothing, and brings nothing either.
        if self.queries.send(query).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// Looks into the boxes of a chain no more.
    pub async fn unwatch(&self, label: Label) {
        self.tell(Query::Unwatch { label }).await;
    }

    /// Leaves an object in mailboxes, in the boxes of a chain from the index `first` on; [`super::Event::Mailbox`] says when it is there.
    pub async fn leave(
        &self,
        label: Label,
        key: ChainKey,
        first: u64,
        object: Vec<u8>,
    ) -> Result<(), LeaveError> {
        let (done, answer) = oneshot::channel();
        let query = Query::Leave {
            label,
            key,
            first,
            object,
            done,
        };
        let sent = self.queries.send(query).await;
        sent.map_err(|_| LeaveError::Stopped)?;
        answer.await.unwrap_or(Err(LeaveError::Stopped))
    }

    /// Leaves no more of a chain.
    pub async fn forget(&self, label: Label) {
        self.tell(Query::Forget { label }).await;
    }

    /// Makes this node a mailbox: what it is asked comes through `requests`. Requests that find the channel full are dropped and counted.
    pub async fn serve_mailbox(&self, requests: mpsc::Sender<Request>) {
        self.tell(Query::Serve { requests }).await;
    }

    /// Sends what this node's mailbox answers.
    pub async fn answer(&self, answers: Vec<(Surb, Answer)>) {
        self.tell(Query::Answer { answers }).await;
    }

    /// A node that has stopped needs to be told nothing.
    async fn tell(&self, query: Query) {
        let _ = self.queries.send(query).await;
    }

    /// The state of the node; none once it has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (done, answer) = oneshot::channel();
        self.queries.send(Query::Status { done }).await.ok()?;
        answer.await.ok()
    }

    /// The application came to the foreground, or left it: while it is there the node sends at its full rate.
    pub async fn set_foreground(&self, foreground: bool) {
        // A node that has stopped has no window.
        let _ = self.queries.send(Query::Foreground(foreground)).await;
    }

    /// Opens the window for so many steps of ten minutes, whatever the application does; 0 lets it close with the step in
    /// progress unless the application is in the foreground. Gives what the window does then; none once the node has stopped.
    pub async fn open_window(&self, steps: u16) -> Option<WindowState> {
        let (done, answer) = oneshot::channel();
        self.queries
            .send(Query::Window { steps, done })
            .await
            .ok()?;
        answer.await.ok()
    }

    /// Takes one more mix key into use: packets for it are peeled from now on, and loops and reply blocks of this node end at it.
    /// The key before it stays good until it is retired, or until a third one takes its place.
    pub async fn install_key(&self, key: SecretKey) -> Result<(), KeyError> {
        let (done, answer) = oneshot::channel();
        let sent = self.queries.send(Query::Install { key, done }).await;
        sent.map_err(|_| KeyError::Stopped)?;
        answer.await.unwrap_or(Err(KeyError::Stopped))
    }

    /// Takes a mix key out of use, with the tags that were seen under it; returns when no packet is peeled with it any more.
    pub async fn retire_key(&self, key: PublicKey) -> Result<(), KeyError> {
        let (done, answer) = oneshot::channel();
        let sent = self.queries.send(Query::Retire { key, done }).await;
        sent.map_err(|_| KeyError::Stopped)?;
        answer.await.map_err(|_| KeyError::Stopped)
    }

    /// The network as the node has it now, and when it changes.
    pub fn topology(&self) -> watch::Receiver<Topology> {
        self.topology.clone()
    }

    /// The state of the directory; none for a node whose network is a file.
    pub fn directory(&self) -> Option<crate::directory::Status> {
        self.directory.as_ref()?.status.borrow().clone()
    }

    /// Has the descriptor say something else from now on: the node moved, or offers something else.
    pub fn set_profile(&self, profile: crate::directory::Profile) {
        if let Some(directory) = &self.directory {
            directory.profile.send_replace(Some(profile));
        }
    }

    /// The node's libp2p key.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Takes nothing new, sends what rests in the node, closes, and returns when all is done.
    pub async fn shutdown(&self) {
        let (done, answer) = oneshot::channel();
        if self.queries.send(Query::Shutdown { done }).await.is_ok() {
            // An error means that the node is gone, which is what was asked for.
            let _ = answer.await;
        }
    }
}
