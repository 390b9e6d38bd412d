//! One person with a plain Whisper client: attached to one node, in one public chat.

use std::time::Duration;

use legacy::shell::Event;
use legacy::shh::message::Padding;
use legacy::shh::seal::{OpenKey, SealTo, SymKey, seal};
use legacy::shh::{Bloom, Draft, Envelope, Topic};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::report::Way;
use crate::cli::client::{self, Client};
use crate::exit::Exit;
use crate::failure::Failure;

/// As Status clients seal: this long, with this much work.
const TTL: u32 = 15;
const POW: f64 = 0.002;

/// What a clock may be behind without making the work insufficient.
const CLOCK_SLACK_SECONDS: u32 = 2;

/// Far more nonces than the work above needs.
const TRIES_MAX: u64 = 1 << 24;

/// An envelope that was sent.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Said {
    pub(in crate::cli) hash: [u8; 32],
    pub(in crate::cli) size: usize,
    pub(in crate::cli) text: String,
    pub(in crate::cli) at_unix_ms: u64,
}

/// A message that arrived.
#[derive(Debug)]
pub(in crate::cli) struct Heard {
    pub(in crate::cli) way: Way,
    pub(in crate::cli) text: String,
    pub(in crate::cli) at_unix_ms: u64,
}

/// A person at a client.
pub(in crate::cli) struct Person {
    handle: legacy::shell::Handle,
    key: SymKey,
    topic: Topic,
    listening: JoinHandle<()>,
}

impl Person {
    /// Attaches to a node and joins the chat; what the others say goes to `hear`.
    pub(in crate::cli) async fn attach(
        enode: &str,
        chat: &str,
        within: Duration,
        way: Way,
        hear: mpsc::Sender<Heard>,
    ) -> Result<Self, Failure> {
        let peer = client::parse_enode(enode).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "a node of the demo has no enode",
                error,
                "run `ferry devnet` to see more",
            )
        })?;
        let topic = Topic::of_name(chat);
        let mut client = Client::start(&peer, Some(Bloom::of_topics([topic])))?;
        client.attached(within).await?;
        let handle = client.handle.clone();
        let key = SymKey::from_password(chat.as_bytes());
        let opener = OpenKey::Symmetric(SymKey::from_password(chat.as_bytes()));
        let listening = tokio::spawn(async move {
            while let Some(event) = client.events.recv().await {
                if let Event::Envelope {
                    envelope,
                    from: Some(_),
                } = event
                    && let Some(text) = open(&opener, &envelope)
                    && hear
                        .send(Heard {
                            way,
                            text,
                            at_unix_ms: client::now_ms(),
                        })
                        .await
                        .is_err()
                {
                    return;
                }
            }
        });
        Ok(Self {
            handle,
            key,
            topic,
            listening,
        })
    }

    /// Says something in the chat.
    pub(in crate::cli) async fn say(&self, text: &str) -> Result<Said, Failure> {
        self.post(&self.key, self.topic, text).await
    }

    /// Says something in another chat, to which it does not listen.
    pub(in crate::cli) async fn say_in(&self, chat: &str, text: &str) -> Result<Said, Failure> {
        let key = SymKey::from_password(chat.as_bytes());
        self.post(&key, Topic::of_name(chat), text).await
    }

    async fn post(&self, key: &SymKey, topic: Topic, text: &str) -> Result<Said, Failure> {
        let sealed = seal(
            SealTo::Symmetric(key),
            text.as_bytes(),
            Padding::Random,
            None,
            &mut client::random()?,
        );
        let data = sealed.map_err(|error| unsent(error.to_string()))?;
        let at_unix_ms = client::now_ms();
        let expiry = u32::try_from(at_unix_ms / 1000)
            .unwrap_or(u32::MAX)
            .saturating_add(TTL);
        let draft = Draft::new(expiry, TTL, topic, &data);
        let nonce = draft
            .search(POW, CLOCK_SLACK_SECONDS)
            .run(TRIES_MAX, || false)
            .map_err(|error| unsent(error.to_string()))?;
        let envelope = draft.finish(nonce);
        let said = Said {
            hash: *envelope.hash().as_bytes(),
            size: envelope.size(),
            text: text.to_owned(),
            at_unix_ms,
        };
        self.handle
            .post(envelope)
            .await
            .map_err(|error| unsent(error.to_string()))?;
        Ok(said)
    }

    /// Says goodbye to the node.
    pub(in crate::cli) async fn leave(self) {
        self.listening.abort();
        self.handle.shutdown().await;
    }
}

fn open(key: &OpenKey, envelope: &Envelope) -> Option<String> {
    String::from_utf8(key.open(envelope.data()).ok()?.payload).ok()
}

fn unsent(why: String) -> Failure {
    Failure::new(
        Exit::Failed,
        "a message was not sent",
        why,
        "run the demo again; report it if it comes back",
    )
}
