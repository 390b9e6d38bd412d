//! The Whisper node as the methods see it: what they ask of it, with refusals in go-ethereum's words.

use std::collections::BTreeSet;
use std::sync::Arc;

use legacy::enode::Enode;
use legacy::identity::NodeId;
use legacy::shell::{PeerInfo, Refused};
use legacy::shh::node::Info;
use legacy::shh::{Bloom, Envelope, Reject, Topic};

use super::About;
use super::error::Error;

/// The node.
pub(crate) struct Node {
    about: About,
}

impl Node {
    /// A running node.
    pub(crate) fn new(about: About) -> Self {
        Self { about }
    }

    /// What others are told about it.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// Its signed record: as discovery has it now, or as it was when the node started.
    pub(crate) fn record(&self) -> Option<String> {
        let found = self.about.handle.discovery();
        let now = found.map(|discovery| discovery.record.to_string());
        now.or_else(|| self.about.record.clone())
    }

    /// Who is connected.
    pub(crate) async fn peers(&self) -> Vec<PeerInfo> {
        self.about.handle.peers().await
    }

    /// How it is set, and how full its pool is.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        self.about.handle.info().await.map_err(refused)
    }

    /// Asks peers for so much work.
    pub(crate) async fn set_min_pow(&self, min_pow: f64) -> Result<(), Error> {
        self.about
            .handle
            .set_min_pow(min_pow)
            .await
            .map_err(refused)
    }

    /// Refuses while the clock is in doubt: what is sealed then may be from the future for everybody else.
    pub(crate) async fn trusts_clock(&self) -> Result<(), Error> {
        let clock = self.about.handle.clock_state().await.map_err(refused)?;
        clock.jumped_s.map_or(Ok(()), |by_s| {
            Err(Error::method(format!(
                "the clock of this machine jumped by {by_s:.0} s: nothing is sealed for a minute, or until peers agree with it"
            )))
        })
    }

    /// Takes messages up to so many bytes.
    pub(crate) async fn set_envelope_len_max(&self, len: u32) -> Result<(), Error> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.about
            .handle
            .set_envelope_len_max(len)
            .await
            .map_err(refused)
    }

    /// Asks peers for these topics alone.
    pub(crate) async fn set_bloom(&self, bloom: Bloom) -> Result<(), Error> {
        let set = self.about.handle.set_bloom(Some(bloom)).await;
        set.map_err(refused)
    }

    /// Asks peers for these topics too, where it does not ask for all.
    pub(crate) async fn want_topics(&self, topics: &BTreeSet<Topic>) -> Result<(), Error> {
        let bloom = Bloom::of_topics(topics.iter().copied());
        let widened = self.about.handle.widen_bloom(bloom).await;
        widened.map_err(refused)
    }

    /// Announces on connections to come that it does not relay, or that it does.
    pub(crate) async fn set_light(&self, light: bool) -> Result<(), Error> {
        self.about.handle.set_light(light).await.map_err(refused)
    }

    /// Takes messages of a connected peer directly from now on.
    pub(crate) async fn trust_peer(&self, node: NodeId) -> Result<(), Error> {
        let connected = |peer: &PeerInfo| peer.enode.node_id() == node;
        if !self.peers().await.iter().any(connected) {
            return Err(no_such_peer(node));
        }
        self.about
            .handle
            .trust_peer(node, true)
            .await
            .map_err(refused)
    }

    /// Sends an envelope on to everybody who wants it.
    pub(crate) async fn post(&self, envelope: Envelope) -> Result<(), Error> {
        let (hash, pow) = (envelope.hash(), envelope.pow());
        self.about
            .handle
            .post(envelope)
            .await
            .map(|_| ())
            .map_err(|error| match error {
                Refused::Envelope(reject) => rejected(&reject, &hash.to_string(), pow),
                error => refused(error),
            })
    }

    /// Sends an envelope to one peer alone, past every check.
    pub(crate) async fn post_direct(&self, to: NodeId, envelope: Envelope) -> Result<(), Error> {
        self.about
            .handle
            .post_direct(to, Arc::new(envelope))
            .await
            .map_err(|error| match error {
                Refused::NotConnected => no_such_peer(to),
                error => refused(error),
            })
    }

    /// Stays connected to a peer.
    pub(crate) async fn add_peer(&self, enode: Enode) -> Result<(), Error> {
        self.about.handle.add_peer(enode).await.map_err(refused)
    }

    /// Ends the connection to a peer, and dials it no more.
    pub(crate) async fn remove_peer(&self, node: NodeId) -> Result<(), Error> {
        let removed = self.about.handle.remove_peer(node).await;
        removed.map(|_| ()).map_err(refused)
    }

    /// Lets a peer in although there may be no room.
    pub(crate) async fn add_trusted_peer(&self, enode: Enode) -> Result<(), Error> {
        self.about
            .handle
            .add_trusted_peer(enode)
            .await
            .map_err(refused)
    }

    /// Treats a peer like any other.
    pub(crate) async fn remove_trusted_peer(&self, node: NodeId) -> Result<(), Error> {
        let removed = self.about.handle.remove_trusted_peer(node).await;
        removed.map(|_| ()).map_err(refused)
    }
}

fn no_such_peer(node: NodeId) -> Error {
    let id = hex::encode(node.as_bytes());
    Error::method(format!("could not find peer with ID: {id}"))
}

/// Refusals that go-ethereum has no words for keep ours.
fn refused(error: Refused) -> Error {
    match error {
        Refused::ShutDown => Error::node_stopped(),
        error => Error::method(error.to_string()),
    }
}

/// Why an own envelope is not sent, in go-ethereum's words where it would refuse it as well.
fn rejected(reject: &Reject, hash: &str, pow: f64) -> Error {
    Error::method(match reject {
        Reject::InFuture { .. } => format!("envelope created in the future [{hash}]"),
        Reject::VeryOld { .. } => "very old message".to_owned(),
        Reject::Expired { .. } => "failed to add envelope".to_owned(),
        Reject::Oversized { .. } => format!("huge messages are not allowed [{hash}]"),
        Reject::LowPow { .. } => {
            format!("envelope with low PoW received: PoW={pow:.6}, hash=[0x{hash}]")
        }
        reject => reject.to_string(),
    })
}
