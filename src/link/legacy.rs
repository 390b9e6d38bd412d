//! Envelopes and wishes of Whisper, in the words of the bridge.

use std::sync::Arc;

use ::legacy::shell::{Event, Handle, Listener, Refused};
use ::legacy::shh::filter::Via;
use ::legacy::shh::{Draft, Envelope as Sealed, Topic};
use bridge::engine;
use bridge::gateway::client;
use bridge::port::{Envelope, EnvelopeFacts, Inspect, InspectError, SealError, SealJob};
use tokio::sync::{Semaphore, mpsc};

use super::foreground::Sign;
use super::interest::Interests;
use crate::rpc::Intake;

/// Nonces that one sealing may try: 2^22 is about four seconds of one core, and 16 times what the largest
/// envelope needs at the target of large ones.
const SEAL_TRIES_MAX: u64 = 1 << 22;

/// Sealings at once: proof of work is what a stranger can make us do, so it gets one core.
const SEALINGS_MAX: usize = 1;

/// Reads envelopes for the bridge with Whisper's own strict reader.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reader;

impl Inspect for Reader {
    fn inspect(&self, rlp: &[u8]) -> Result<EnvelopeFacts, InspectError> {
        let sealed =
            Sealed::parse(rlp).map_err(|_| InspectError::Malformed("not five canonical fields"))?;
        if sealed.ttl() == 0 {
            return Err(InspectError::ZeroTtl);
        }
        if sealed.ttl() > sealed.expiry() {
            return Err(InspectError::TtlBeyondExpiry {
                ttl: sealed.ttl(),
                expiry: sealed.expiry(),
            });
        }
        Ok(facts(&sealed))
    }
}

/// Shows what comes to the filters of local clients.
pub fn show(filters: Intake) -> Listener {
    Listener::new(move |event| match event {
        Event::Envelope { envelope, .. } => filters.put(envelope, Via::Pool),
        Event::Direct { envelope, .. } => filters.put(envelope, Via::Direct),
        _ => {}
    })
}

/// What Whisper brings to a bridge: every new envelope, and which posts left.
pub async fn to_bridge(mut events: mpsc::Receiver<Event>, engine: mpsc::Sender<engine::Input>) {
    while let Some(event) = events.recv().await {
        let input = match event {
            Event::Envelope {
                envelope,
                from: Some(_),
            } => Some(engine::Input::Envelope(crossing(&envelope))),
            Event::Sent { hashes, .. } => {
                for hash in hashes.iter() {
                    let published = engine::Input::Published {
                        hash: *hash.as_bytes(),
                        peers: 1,
                    };
                    if engine.send(published).await.is_err() {
                        return;
                    }
                }
                None
            }
            // Our own posts come from the engine.
            Event::Envelope { from: None, .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::PeerInterest { .. }
            | _ => None,
        };
        if let Some(input) = input
            && engine.send(input).await.is_err()
        {
            return;
        }
    }
}

/// What the local client brings to an edge: its envelopes, and what its bloom filter says it wants.
pub async fn to_edge(
    mut events: mpsc::Receiver<Event>,
    client: mpsc::Sender<client::Input>,
    interests: Arc<Interests>,
    presence: mpsc::Sender<Sign>,
) {
    while let Some(event) = events.recv().await {
        if let Some(sign) = sign(&event) {
            // The follower ends with the mixnet, and then there is no window.
            let _ = presence.send(sign).await;
        }
        let input = match event {
            Event::Envelope {
                envelope,
                from: Some(_),
            } => Some(client::Input::Envelope(crossing(&envelope))),
            Event::Sent { hashes, .. } => {
                for hash in hashes.iter() {
                    let handed = client::Input::Handed(*hash.as_bytes());
                    if client.send(handed).await.is_err() {
                        return;
                    }
                }
                None
            }
            Event::PeerInterest { node, bloom, .. } => {
                interests.wanted(node, bloom).map(client::Input::Interests)
            }
            Event::PeerDown { node, .. } => interests.gone(node).map(client::Input::Interests),
            Event::Envelope { from: None, .. } | Event::PeerUp { .. } | _ => None,
        };
        if let Some(input) = input
            && client.send(input).await.is_err()
        {
            return;
        }
    }
}

/// What an event shows of the client's presence.
fn sign(event: &Event) -> Option<Sign> {
    match event {
        Event::PeerUp { node, .. } => Some(Sign::Here(*node)),
        Event::PeerDown { node } => Some(Sign::Gone(*node)),
        Event::PeerInterest { .. } | Event::Envelope { from: Some(_), .. } => Some(Sign::Busy),
        Event::Envelope { from: None, .. } | Event::Sent { .. } | _ => None,
    }
}

/// Publishes a post; tells the engine why if the pool refuses it.
pub async fn publish(
    whisper: &Handle,
    envelope: Envelope,
    engine: &mpsc::WeakSender<engine::Input>,
) {
    let hash = envelope.facts.hash;
    let posted = match Sealed::from_shared(envelope.rlp) {
        Ok(sealed) => whisper
            .post(sealed)
            .await
            .map(|_| ())
            .map_err(|refused| match refused {
                Refused::Envelope(reject) => reject.as_str(),
                // The node is going down: the engine publishes again after its next start.
                _ => "shut_down",
            }),
        Err(_) => Err("malformed"),
    };
    if let Err(reason) = posted {
        tell(engine, engine::Input::Refused { hash, reason }).await;
    }
}

/// Puts a delivery into the pool of the edge's own Whisper node, which hands it to the client if the client's bloom
/// filter and proof of work want it.
pub async fn deliver(
    whisper: &Handle,
    envelope: Envelope,
    client: &mpsc::WeakSender<client::Input>,
) {
    let hash = envelope.facts.hash;
    let Ok(sealed) = Sealed::from_shared(envelope.rlp) else {
        return;
    };
    if whisper.post(sealed).await.is_err() {
        // Expired, or already there: nothing that a repetition would change.
        tell(client, client::Input::Handed(hash)).await;
    }
}

/// Seals posts that expired on their way, one at a time, and none while the clock is in doubt.
#[derive(Debug, Clone)]
pub struct Sealer {
    room: Arc<Semaphore>,
    whisper: Handle,
}

impl Sealer {
    /// It asks the Whisper node about the clock.
    pub fn new(whisper: Handle) -> Self {
        Self {
            room: Arc::new(Semaphore::new(SEALINGS_MAX)),
            whisper,
        }
    }

    /// Does the work on a thread of its own and brings the result to the engine.
    pub async fn seal(self, job: SealJob, engine: mpsc::WeakSender<engine::Input>) {
        let number = job.job;
        let result = match self.room.acquire().await {
            Ok(_permit) => self.seal_in_time(job).await,
            Err(_) => Err(SealError::Busy),
        };
        tell(
            &engine,
            engine::Input::Sealed {
                job: number,
                result,
            },
        )
        .await;
    }

    /// The expiry in the job comes from the clock, so that a jump before or during the work makes it worthless.
    async fn seal_in_time(&self, job: SealJob) -> Result<Envelope, SealError> {
        self.trust_clock().await?;
        let sealed = tokio::task::spawn_blocking(move || seal(&job))
            .await
            .unwrap_or(Err(SealError::Busy))?;
        self.trust_clock().await?;
        Ok(sealed)
    }

    async fn trust_clock(&self) -> Result<(), SealError> {
        match self.whisper.clock_state().await {
            Ok(clock) if clock.is_in_doubt() => Err(SealError::Clock),
            Ok(_) => Ok(()),
            // The node is going down.
            Err(_) => Err(SealError::Busy),
        }
    }
}

/// Brings a result back to a core, unless the node is going down: then the core takes nothing more and finds out at the next start.
pub(crate) async fn tell<I>(core: &mpsc::WeakSender<I>, input: I) {
    if let Some(core) = core.upgrade() {
        // An error means the same: the core has ended.
        let _ = core.send(input).await;
    }
}

fn seal(job: &SealJob) -> Result<Envelope, SealError> {
    let draft = Draft::new(job.expiry, job.ttl, Topic::new(job.topic), &job.data);
    let nonce = draft
        .canonical_search(job.target)
        .run(SEAL_TRIES_MAX, || false)
        .map_err(|_| SealError::Cost)?;
    Ok(crossing(&draft.finish(nonce)))
}

/// An envelope as the bridge knows it. The bytes are shared, not copied.
fn crossing(sealed: &Sealed) -> Envelope {
    Envelope {
        rlp: sealed.raw().clone(),
        facts: facts(sealed),
    }
}

fn facts(sealed: &Sealed) -> EnvelopeFacts {
    EnvelopeFacts {
        hash: *sealed.hash().as_bytes(),
        content_id: sealed.content_hash(),
        topic: *sealed.topic().as_bytes(),
        sent: sealed.sent(),
        expiry: sealed.expiry(),
        ttl: sealed.ttl(),
        size: u32::try_from(sealed.size()).unwrap_or(u32::MAX),
        pow: sealed.pow(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use ::legacy::identity::SecretKey;
    use ::legacy::now::Now;
    use ::legacy::shell::{Clock, Config, spawn};

    use super::*;

    fn job() -> SealJob {
        SealJob {
            job: 1,
            topic: [0x59, 0xcb, 0xac, 0x69],
            data: (0..64).collect(),
            ttl: 90,
            expiry: 1_587_550_090,
            target: 0.002,
        }
    }

    #[test]
    fn a_sealed_job_is_the_published_vector() {
        let envelope = seal(&job()).unwrap();
        let hash = "3733b93defeec5fe1139c52fac56aa7a0612b21093f0b79f43602cf126fba7ee";
        let content = "487287867bf5294cc948e78d14814342ff7fdfcfa5fd85431a1b35f264573046";
        assert_eq!(hex::encode(envelope.facts.hash), hash);
        assert_eq!(hex::encode(envelope.facts.content_id), content);
        assert_eq!(Reader.inspect(&envelope.rlp).unwrap(), envelope.facts);
    }

    /// A jump is seen at once, before the node has anything else to do, and ends after a minute.
    #[tokio::test]
    async fn nothing_is_sealed_while_the_clock_is_in_doubt() {
        let key = SecretKey::from_bytes(&[0x71; 32]).unwrap();
        let mut config = Config::new(key);
        let [wall_ms, both_ms] = [0, 1].map(|_| Arc::new(AtomicU64::new(0)));
        let ahead = [wall_ms.clone(), both_ms.clone()];
        config.clock = Clock::of(move || {
            let now = Clock::system().now();
            let [wall_ms, both_ms] = ahead.each_ref().map(|ms| ms.load(Ordering::Relaxed));
            Now {
                mono: now.mono + Duration::from_millis(both_ms),
                unix_ms: now.unix_ms + both_ms + wall_ms,
            }
        });
        let (handle, _, _) = spawn(config).unwrap();
        let sealer = Sealer::new(handle.clone());
        let sealed = seal(&job());
        assert!(!handle.clock_state().await.unwrap().is_in_doubt());
        assert_eq!(sealer.seal_in_time(job()).await, sealed);
        wall_ms.store(6_000, Ordering::Relaxed);
        assert_eq!(sealer.seal_in_time(job()).await, Err(SealError::Clock));
        both_ms.store(59_000, Ordering::Relaxed);
        assert_eq!(sealer.seal_in_time(job()).await, Err(SealError::Clock));
        both_ms.store(61_000, Ordering::Relaxed);
        assert_eq!(sealer.seal_in_time(job()).await, sealed);
        handle.shutdown().await;
        assert_eq!(sealer.seal_in_time(job()).await, Err(SealError::Busy));
    }

    #[test]
    fn what_cannot_be_sealed_in_time_is_given_up() {
        let dear = SealJob {
            target: 1e12,
            ..job()
        };
        assert_eq!(seal(&dear), Err(SealError::Cost));
    }

    #[test]
    fn the_reader_refuses_what_whisper_cannot_carry() {
        assert!(matches!(
            Reader.inspect(b"\xc0"),
            Err(InspectError::Malformed(_))
        ));
        let timeless = Draft::new(100, 0, Topic::new([0; 4]), b"x").finish(0);
        assert!(matches!(
            Reader.inspect(timeless.raw()),
            Err(InspectError::ZeroTtl)
        ));
        let early = Draft::new(5, 10, Topic::new([0; 4]), b"x").finish(0);
        assert!(matches!(
            Reader.inspect(early.raw()),
            Err(InspectError::TtlBeyondExpiry { .. })
        ));
    }
}
