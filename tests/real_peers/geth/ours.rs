//! Our node: the tokio shell with a log of everything that it reported.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use legacy::identity::{NodeId, PublicKey, SecretKey};
use legacy::mailserver::{History, HistoryRequest, SyncRequest, Synced};
use legacy::shell::{Config, Counters, Event, Handle, PeerInfo, Refused, spawn};
use legacy::shh::filter::{Filter, Filters, Received, Via};
use legacy::shh::message::Padding;
use legacy::shh::seal::{OpenKey, SealTo, SymKey, seal};
use legacy::shh::{Bloom, Draft, Envelope, EnvelopeHash, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;

/// A node of ours. It runs on a thread of its own; what it reports is logged and never taken away.
pub(crate) struct Ours {
    runtime: Runtime,
    handle: Handle,
    task: Option<JoinHandle<()>>,
    events: Receiver<Event>,
    log: Vec<Event>,
    filters: Filters,
    rng: ChaCha20Rng,
    public_key: PublicKey,
}

impl Ours {
    /// A node that listens on loopback. The number tells the nodes of one test apart.
    pub(crate) fn start(number: u8, change: impl FnOnce(&mut Config)) -> Self {
        let key = SecretKey::from_bytes(&[number; 32]).expect("any small number is a key");
        let public_key = key.public();
        let mut config = Config::new(key);
        change(&mut config);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let guard = runtime.enter();
        let (handle, mut reported, task) = spawn(config).expect("the node starts");
        drop(guard);
        let (sender, events) = channel();
        runtime.spawn(async move {
            while let Some(event) = reported.recv().await {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self {
            runtime,
            handle,
            task: Some(task),
            events,
            log: Vec::new(),
            filters: Filters::new(),
            rng: ChaCha20Rng::from_seed([number; 32]),
            public_key,
        }
    }

    /// A node that takes envelopes without any work, so that no time goes into mining.
    pub(crate) fn without_work(number: u8) -> Self {
        Self::start(number, |config| config.shh.min_pow = 0.0)
    }

    pub(crate) fn enode(&self) -> String {
        self.handle.local_enode().expect("it listens").to_string()
    }

    /// Its id as go-ethereum writes it.
    pub(crate) fn id(&self) -> String {
        hex::encode(self.public_key.node_id().as_bytes())
    }

    pub(crate) fn dial(&self, enode: &str) {
        let enode = enode.parse().expect("an enode");
        self.runtime
            .block_on(self.handle.add_peer(enode))
            .expect("a static peer");
    }

    /// Removes a peer, as an operator does.
    pub(crate) fn remove(&self, enode: &str) -> bool {
        let enode: legacy::enode::Enode = enode.parse().expect("an enode");
        self.runtime
            .block_on(self.handle.remove_peer(enode.node_id()))
            .expect("it runs")
    }

    /// Lets a peer in although there is no room.
    pub(crate) fn always_admit(&self, enode: &str) {
        let enode = enode.parse().expect("an enode");
        self.runtime
            .block_on(self.handle.add_trusted_peer(enode))
            .expect("room for a trusted peer");
    }

    /// Names a peer as discovery does.
    pub(crate) fn discover(&self, enode: &str) {
        let enode = enode.parse().expect("an enode");
        self.runtime
            .block_on(self.handle.add_candidates(vec![enode]))
            .expect("it runs");
    }

    pub(crate) fn post(&self, envelope: &Envelope) -> EnvelopeHash {
        self.try_post(envelope).expect("our own envelope is good")
    }

    pub(crate) fn try_post(&self, envelope: &Envelope) -> Result<EnvelopeHash, Refused> {
        self.runtime.block_on(self.handle.post(envelope.clone()))
    }

    pub(crate) fn set_bloom(&self, bloom: Bloom) {
        self.runtime
            .block_on(self.handle.set_bloom(Some(bloom)))
            .expect("it runs");
    }

    /// What its discovery says about itself.
    pub(crate) fn discovery(&self) -> legacy::shell::discovery::Info {
        self.handle.discovery().expect("discovery is on")
    }

    pub(crate) fn request_history(&self, request: HistoryRequest) -> Result<History, Refused> {
        self.runtime.block_on(self.handle.request_history(request))
    }

    pub(crate) fn sync_from(&self, request: SyncRequest) -> Result<Synced, Refused> {
        self.runtime.block_on(self.handle.sync_from(request))
    }

    /// Takes direct messages of a peer, or no longer.
    pub(crate) fn trust(&self, id: &str, trusted: bool) {
        let bytes = hex::decode(id).expect("an id is hex");
        let node = NodeId::new(bytes.try_into().expect("an id has 32 bytes"));
        self.runtime
            .block_on(self.handle.trust_peer(node, trusted))
            .expect("it runs");
    }

    /// Sends an envelope straight to a peer.
    pub(crate) fn post_direct(&self, id: &str, envelope: &Envelope) {
        let node = self.peer(id).enode.node_id();
        self.runtime
            .block_on(self.handle.post_direct(node, Arc::new(envelope.clone())))
            .expect("the peer is there");
    }

    /// Lets go of the confirmations that wait for an envelope.
    pub(crate) fn release(&self, hash: EnvelopeHash) {
        self.runtime.block_on(self.handle.release(hash));
    }

    /// Waits for an envelope that came straight from a peer.
    pub(crate) fn wait_direct(&mut self, hash: &str) -> Arc<Envelope> {
        self.wait("such a direct message", |event| match event {
            Event::Direct { envelope, .. } if envelope.hash().to_string() == hash => {
                Some(envelope.clone())
            }
            _ => None,
        })
    }

    pub(crate) fn counters(&self) -> Counters {
        self.runtime.block_on(self.handle.counters())
    }

    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        self.runtime.block_on(self.handle.peers())
    }

    /// Whether it is connected to a node.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.peers()
            .iter()
            .any(|peer| is(&peer.enode.node_id(), id))
    }

    /// What it knows of a peer.
    pub(crate) fn peer(&self, id: &str) -> PeerInfo {
        let mut peers = self.peers();
        peers.retain(|peer| hex::encode(peer.enode.node_id().as_bytes()) == id);
        peers
            .pop()
            .unwrap_or_else(|| panic!("{id} is not connected"))
    }

    /// Waits until an event has come that fits.
    pub(crate) fn wait<T>(&mut self, what: &str, fits: impl FnMut(&Event) -> Option<T>) -> T {
        self.wait_for(PATIENCE, fits)
            .unwrap_or_else(|| panic!("our node: no {what} within {PATIENCE:?}"))
    }

    /// The same, but nothing is an answer too.
    pub(crate) fn wait_for<T>(
        &mut self,
        within: Duration,
        mut fits: impl FnMut(&Event) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + within;
        if let Some(found) = self.log.iter().find_map(&mut fits) {
            return Some(found);
        }
        loop {
            match self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(event) => {
                    let found = fits(&event);
                    self.log.push(event);
                    if found.is_some() {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("our node has ended"),
            }
        }
    }

    /// Everything reported so far.
    pub(crate) fn log(&mut self) -> &[Event] {
        self.log.extend(self.events.try_iter());
        &self.log
    }

    /// Waits until a peer has said what it wants, and until that is as told.
    pub(crate) fn wait_interest(&mut self, id: &str, fits: impl Fn(Option<&Bloom>, f64) -> bool) {
        self.wait("such an interest of a peer", |event| match event {
            Event::PeerInterest {
                node,
                bloom,
                min_pow,
            } => (is(node, id) && fits(bloom.as_ref(), *min_pow)).then_some(()),
            _ => None,
        });
    }

    /// Waits for an envelope that a peer brought.
    pub(crate) fn wait_envelope(&mut self, hash: &str) -> Arc<Envelope> {
        self.wait("such an envelope", |event| match event {
            Event::Envelope {
                envelope,
                from: Some(_),
            } if envelope.hash().to_string() == hash => Some(envelope.clone()),
            _ => None,
        })
    }

    /// How often an envelope was reported as new.
    pub(crate) fn times_new(&mut self, hash: &str) -> usize {
        let of = |event: &&Event| match event {
            Event::Envelope { envelope, .. } => envelope.hash().to_string() == hash,
            _ => false,
        };
        self.log().iter().filter(of).count()
    }

    /// Waits until an envelope has gone to a peer.
    pub(crate) fn wait_sent(&mut self, wanted: EnvelopeHash, id: &str) {
        self.wait("such a sent envelope", |event| match event {
            Event::Sent { hashes, peer } => {
                (hashes.contains(&wanted) && is(peer, id)).then_some(())
            }
            _ => None,
        });
    }

    /// What has gone to a peer so far.
    pub(crate) fn sent(&mut self, id: &str) -> BTreeSet<EnvelopeHash> {
        let of = |event: &Event| match event {
            Event::Sent { hashes, peer } if is(peer, id) => Some(hashes.to_vec()),
            _ => None,
        };
        self.log().iter().filter_map(of).flatten().collect()
    }

    /// Never lost a connection.
    pub(crate) fn lost_nobody(&mut self) {
        let down = |event: &&Event| matches!(event, Event::PeerDown { .. });
        let lost = self.log().iter().filter(down).count();
        assert_eq!(
            lost,
            0,
            "connections that ended: {:?}",
            self.counters().closed
        );
    }

    /// Opens, from now on, what this key opens under these topics.
    pub(crate) fn subscribe(&mut self, key: OpenKey, topics: &[Topic]) {
        let filter = Filter {
            key,
            topics: topics.iter().copied().collect(),
            signer: None,
            min_pow: 0.0,
            direct: false,
        };
        self.filters.install(filter).expect("room for a filter");
    }

    /// Opens an envelope by the filters.
    pub(crate) fn open(&self, envelope: &Arc<Envelope>) -> Arc<Received> {
        let opened = self.filters.open(envelope, Via::Pool);
        let [(_, received)] = &opened[..] else {
            panic!("{} filters take the envelope, not one", opened.len());
        };
        received.clone()
    }

    /// Seals a message and mines until its work is at least `pow`.
    pub(crate) fn seal(
        &mut self,
        to: SealTo<'_>,
        signer: Option<&SecretKey>,
        topic: Topic,
        payload: &[u8],
        pow: f64,
    ) -> Envelope {
        let data = seal(to, payload, Padding::Random, signer, &mut self.rng).expect("it fits");
        mined(TTL, topic, &data, pow)
    }

    /// A message whose work is within bounds.
    pub(crate) fn seal_between(
        &mut self,
        key: &SymKey,
        topic: Topic,
        from: f64,
        below: f64,
    ) -> Envelope {
        loop {
            let to = SealTo::Symmetric(key);
            let envelope = self.seal(to, None, topic, b"some text", from);
            if envelope.pow() < below {
                return envelope;
            }
        }
    }
}

impl Drop for Ours {
    /// Shuts the node down; a node that hangs fails the test, unless that has failed already.
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        let ended = self.runtime.block_on(async {
            self.handle.shutdown().await;
            timeout(PATIENCE, task).await
        });
        if !std::thread::panicking() {
            ended
                .expect("our node ends in time")
                .expect("our node did not panic");
        }
    }
}

/// An envelope that is sent now and proves at least so much work; none at all for zero.
pub(crate) fn mined(ttl: u32, topic: Topic, data: &[u8], pow: f64) -> Envelope {
    let draft = Draft::new(unix_now() + ttl, ttl, topic, data);
    let nonce = if pow > 0.0 {
        draft
            .search(pow, 0)
            .run(1 << 26, || false)
            .expect("work that is quickly done")
    } else {
        0
    };
    draft.finish(nonce)
}

pub(crate) fn unix_now() -> u32 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    u32::try_from(since_epoch.as_secs()).expect("a clock before 2106")
}

fn is(node: &NodeId, id: &str) -> bool {
    hex::encode(node.as_bytes()) == id
}

/// Seconds that messages live where a test does not say otherwise: longer than the test.
pub(crate) const TTL: u32 = 60;
