//! The mailserver beside the Whisper node: its server and its client, the archive's thread, and who waits for what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::super::archive::Clerk;
use super::super::connection::Receipt;
use super::super::counters::MailCounters;
use super::super::{Clock, Config, Error, Event, seed};
use super::Owner;
use crate::identity::NodeId;
use crate::mailserver::archive::Done;
use crate::mailserver::client::{self, Client, HistoryId};
use crate::mailserver::limits::REQUESTS_MAX;
use crate::mailserver::server::{self, Server, SyncId, Ticket};
use crate::mailserver::{History, HistoryError, HistoryRequest, SyncError, SyncRequest, Synced};
use crate::now::Now;
use crate::shh::node::Wants;
use crate::shh::{Envelope, PeerId, wire};

/// What came back from another thread.
#[derive(Debug)]
pub(super) enum Returned {
    Archived(Ticket, Done),
    Mined(HistoryId, Option<u64>),
}

/// Everything of mail.
pub(super) struct Mail {
    server: Option<(Server, Clerk)>,
    client: Client,
    returns: mpsc::Sender<Returned>,
    pub(super) returned: mpsc::Receiver<Returned>,
    histories: BTreeMap<HistoryId, oneshot::Sender<Result<History, HistoryError>>>,
    syncs: BTreeMap<SyncId, oneshot::Sender<Result<Synced, SyncError>>>,
    last: u64,
    /// Tells searches that nobody waits for them any more.
    ended: Arc<AtomicBool>,
}

impl Mail {
    /// The client of every node, and the server of a node that is to be one.
    pub(super) fn start(config: &mut Config) -> Result<Mail, Error> {
        let (returns, returned) = mpsc::channel(RETURNED_MAX);
        let server = match config.mailserver.take() {
            Some(mail) => {
                let newest = mail.archive.newest().map_err(Error::Archive)?;
                let server = Server::new(
                    config.clock.now(),
                    mail.server,
                    mail.archive.totals(),
                    newest,
                );
                let clerk = Clerk::start(mail.archive, returns.clone(), Returned::Archived);
                Some((server, clerk.map_err(Error::Thread)?))
            }
            None => None,
        };
        Ok(Mail {
            server,
            client: Client::new(config.key.clone(), seed()?),
            returns,
            returned,
            histories: BTreeMap::new(),
            syncs: BTreeMap::new(),
            last: 0,
            ended: Arc::default(),
        })
    }

    pub(super) fn is_server(&self) -> bool {
        self.server.is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let server = self.server.as_ref();
        let server = server.and_then(|(server, _)| server.next_deadline());
        [server, self.client.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn tick(&mut self, now: Now) {
        self.serve(now, server::Input::Tick);
        self.client.handle(now, client::Input::Tick);
    }

    fn serve(&mut self, now: Now, input: server::Input) {
        if let Some((server, _)) = &mut self.server {
            server.handle(now, input);
        }
    }

    pub(super) fn peer_ready(&mut self, now: Now, peer: PeerId, node: NodeId, wants: &Wants) {
        self.serve(now, server::Input::PeerReady { peer, node });
        let min_pow = wants.min_pow;
        self.client.handle(
            now,
            client::Input::PeerReady {
                peer,
                node,
                min_pow,
            },
        );
    }

    pub(super) fn peer_down(&mut self, now: Now, peer: PeerId) {
        self.serve(now, server::Input::PeerDown { peer });
        self.client.handle(now, client::Input::PeerDown { peer });
    }

    pub(super) fn accepted(&mut self, now: Now, envelope: &Arc<Envelope>) {
        self.serve(now, server::Input::Accepted(Arc::clone(envelope)));
    }

    /// A batch has left for a peer.
    pub(super) fn taken(&mut self, now: Now, peer: PeerId) {
        self.serve(now, server::Input::Taken { peer });
    }

    /// A direct message came. True: it is also for those who take what is new in the pool.
    pub(super) fn direct(&mut self, now: Now, peer: PeerId, envelope: &Envelope) -> bool {
        let hash = envelope.hash();
        let announced = self.client.announces(peer);
        self.client
            .handle(now, client::Input::Direct { peer, hash });
        announced
    }

    pub(super) fn message(
        &mut self,
        now: Now,
        peer: PeerId,
        trusted: bool,
        code: u64,
        payload: Vec<u8>,
    ) {
        if code == wire::REQUEST_COMPLETE {
            self.client
                .handle(now, client::Input::Completion { peer, payload });
        } else {
            self.serve(
                now,
                server::Input::Message {
                    peer,
                    trusted,
                    code,
                    payload,
                },
            );
        }
    }

    pub(super) fn returned(&mut self, now: Now, returned: Returned) {
        match returned {
            Returned::Archived(ticket, done) => {
                self.serve(now, server::Input::Archived { ticket, done });
            }
            Returned::Mined(id, nonce) => self
                .client
                .handle(now, client::Input::WorkDone { id, nonce }),
        }
    }

    pub(super) fn request(
        &mut self,
        now: Now,
        request: Box<HistoryRequest>,
        answer: oneshot::Sender<Result<History, HistoryError>>,
    ) {
        self.last += 1;
        let id = HistoryId(self.last);
        self.histories.insert(id, answer);
        self.client
            .handle(now, client::Input::Request { id, request });
    }

    /// Starts a sync. Nothing is answered, and the waiting end sees that, where there is no mailserver.
    pub(super) fn sync(
        &mut self,
        now: Now,
        request: SyncRequest,
        answer: oneshot::Sender<Result<Synced, SyncError>>,
    ) {
        if self.server.is_none() {
            let _ = answer.send(Err(SyncError::NoArchive));
            return;
        }
        self.last += 1;
        let id = SyncId(self.last);
        self.syncs.insert(id, answer);
        self.serve(now, server::Input::Sync { id, request });
    }

    pub(super) fn counters(&self) -> MailCounters {
        MailCounters {
            client: self.client.counters().clone(),
            server: self
                .server
                .as_ref()
                .map(|(server, _)| server.counters().clone()),
            totals: self
                .server
                .as_ref()
                .map(|(server, _)| server.totals())
                .unwrap_or_default(),
        }
    }

    /// Stores what waits, and lets the archive's thread end.
    pub(super) async fn stop(mut self, clock: &Clock) {
        self.ended.store(true, Ordering::Relaxed);
        let Some((mut server, clerk)) = self.server.take() else {
            return;
        };
        let store = async {
            loop {
                server.flush(clock.now());
                while let Some(output) = server.poll_output() {
                    if let server::Output::Archive { ticket, job } = output
                        && let Some(done) = clerk.give(ticket, job)
                    {
                        server.handle(clock.now(), server::Input::Archived { ticket, done });
                    }
                }
                if !server.is_storing() {
                    return;
                }
                match self.returned.recv().await {
                    Some(Returned::Archived(ticket, done)) => {
                        server.handle(clock.now(), server::Input::Archived { ticket, done });
                    }
                    Some(Returned::Mined(..)) => {}
                    None => return,
                }
            }
        };
        // A disk that does not answer must not hold the process for ever.
        let _ = timeout(STORE_TIMEOUT, store).await;
        // Nobody takes answers any more, and the thread must not wait for somebody who does.
        self.returned.close();
        let _ = timeout(STORE_TIMEOUT, clerk.stop()).await;
    }
}

impl Owner {
    /// Does what server and client want done. False: they want nothing.
    pub(super) fn carry_mail(&mut self, now: Now) -> bool {
        let mut busy = false;
        while let Some((server, _)) = &mut self.mail.server
            && let Some(output) = server.poll_output()
        {
            busy = true;
            self.server_wants(now, output);
        }
        while let Some(output) = self.mail.client.poll_output() {
            busy = true;
            self.client_wants(output);
        }
        busy
    }

    fn server_wants(&mut self, now: Now, output: server::Output) {
        match output {
            server::Output::Archive { ticket, job } => {
                let Some((server, clerk)) = &mut self.mail.server else {
                    return;
                };
                if let Some(done) = clerk.give(ticket, job) {
                    server.handle(now, server::Input::Archived { ticket, done });
                }
            }
            server::Output::Send {
                peer,
                code,
                payload,
            } => self.send(peer, code, payload.into()),
            server::Output::Receipt { peer } => {
                if let Some(connection) = self.connection(peer) {
                    connection.outlet.ask_receipt(Receipt::Mail);
                }
            }
            server::Output::Trust(node) => self.trust_for_mail(node),
            server::Output::Dismiss { peer, breach } => {
                debug!(%breach, "a Whisper peer broke a rule of the mailserver");
                self.node
                    .dismiss_for(peer, wire::Error::Mail(breach.as_str()));
            }
            server::Output::Kept(hashes) => self.node.release(&hashes),
            server::Output::Synced { id, result } => {
                if let Some(answer) = self.mail.syncs.remove(&id) {
                    // Whoever asked may have given up.
                    let _ = answer.send(result);
                }
            }
        }
    }

    fn client_wants(&mut self, output: client::Output) {
        match output {
            client::Output::Trust(node) => self.trust_for_mail(node),
            client::Output::Send {
                peer,
                code,
                payload,
            } => self.send(peer, code, payload.into()),
            client::Output::Work { id, search } => {
                let (returns, ended) = (self.mail.returns.clone(), Arc::clone(&self.mail.ended));
                tokio::task::spawn_blocking(move || {
                    let nonce = search.run(TRIES_MAX, || ended.load(Ordering::Relaxed)).ok();
                    // The owner may be gone.
                    let _ = returns.blocking_send(Returned::Mined(id, nonce));
                });
            }
            client::Output::Dismiss { peer, error } => {
                debug!(%error, "a mailserver broke a rule");
                self.node
                    .dismiss_for(peer, wire::Error::Mail(error.as_str()));
            }
            client::Output::Finished { id, result } => {
                if let Some(answer) = self.mail.histories.remove(&id) {
                    let _ = answer.send(result);
                }
            }
        }
    }

    fn trust_for_mail(&mut self, node: NodeId) {
        if let Err(error) = self.node.trust(node, true) {
            debug!(%error, "the mailserver is not trusted, so nothing of it is taken");
        }
    }

    /// An envelope came straight from a peer.
    pub(super) fn direct(&mut self, now: Now, envelope: Arc<Envelope>, from: PeerId) {
        let announced = self.mail.direct(now, from, &envelope);
        let Some(node) = self.node_of(from) else {
            return;
        };
        if announced {
            self.tell(Event::Envelope {
                envelope: Arc::clone(&envelope),
                from: Some(node),
            });
        }
        self.tell(Event::Direct {
            envelope,
            from: node,
        });
    }
}

/// What waits to be taken by the owner: an answer for every job of the archive, and a nonce for every request of ours.
const RETURNED_MAX: usize = 32 + REQUESTS_MAX;
/// Nonces tried for one request: what the most work that we are ready to do takes, and a margin that leaves one failure in millions.
const TRIES_MAX: u64 = 16 << crate::mailserver::limits::WORK_BITS_MAX;
/// Time for the last rows to reach the disk, and for the archive to close.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
