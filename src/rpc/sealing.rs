//! Messages of local clients on their way into envelopes: encryption and the search for a proof of work.
//!
//! Mining takes a whole core for seconds. It runs on threads of its own, few at a time, and ends as soon as nobody waits for
//! the message any more: the call was given up, or its connection is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use legacy::identity::{PublicKey, SecretKey};
use legacy::shell::Clock;
use legacy::shh::limits::SEARCH_SLICE;
use legacy::shh::message::Padding;
use legacy::shh::pow::{Progress, Search};
use legacy::shh::seal::{SealTo, SymKey, seal};
use legacy::shh::{Draft, Envelope, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::sync::Semaphore;

use super::error::Error;
use super::limits::{SEALING_MAX, SEALING_WAITING_MAX};

/// To whom a message is sealed.
#[derive(Debug)]
pub(crate) enum Recipient {
    /// Everybody with this key.
    Symmetric(SymKey),
    /// One.
    Public(PublicKey),
}

/// A message and how to seal it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) recipient: Recipient,
    pub(crate) signer: Option<SecretKey>,
    pub(crate) topic: Topic,
    pub(crate) payload: Vec<u8>,
    /// Empty: random bytes.
    pub(crate) padding: Vec<u8>,
    /// Seconds of life.
    pub(crate) ttl: u32,
    /// Seconds that the search may take.
    pub(crate) pow_time: u32,
    /// Work to prove; 0: none; below 0: as much as is found in the time.
    pub(crate) pow_target: f64,
}

/// Where messages are sealed.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// Whisper's own, so that it does not find a message late that was sealed in time.
    clock: Clock,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Workshop {
    /// With all places free.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            places: Arc::new(Semaphore::new(SEALING_MAX)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Seals a message. When this is dropped, the search ends.
    pub(crate) async fn seal(&self, letter: Letter) -> Result<Envelope, Error> {
        let place = {
            let _waiting = Waiting::enter(&self.waiting)?;
            let places = Arc::clone(&self.places);
            places
                .acquire_owned()
                .await
                .map_err(|_| Error::node_stopped())?
        };
        let given_up = GivenUp::default();
        let stop = Arc::clone(&given_up.0);
        let clock = self.clock.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            seal_and_mine(&letter, unix_seconds(&clock), &stop)
        });
        let sealed = work
            .await
            .map_err(|_| Error::method("method handler crashed"))?;
        drop(given_up);
        sealed
    }
}

/// Says, when it is dropped, that nobody waits any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One of those that wait for a place.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Result<Self, Error> {
        if waiting.fetch_add(1, Ordering::Relaxed) < SEALING_WAITING_MAX {
            return Ok(Self(waiting));
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        let words = format!("{SEALING_WAITING_MAX} messages wait to be sealed already");
        Err(Error::method(words))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn seal_and_mine(letter: &Letter, now_s: u32, stop: &AtomicBool) -> Result<Envelope, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::method(error.to_string()))?;
    let mut rng = ChaCha20Rng::from_seed(seed);
    let to = match &letter.recipient {
        Recipient::Symmetric(key) => SealTo::Symmetric(key),
        Recipient::Public(key) => SealTo::Public(key),
    };
    let padding = match &letter.padding[..] {
        [] => Padding::Random,
        bytes => Padding::Verbatim(bytes),
    };
    let data = seal(
        to,
        &letter.payload,
        padding,
        letter.signer.as_ref(),
        &mut rng,
    )
    .map_err(|error| Error::method(error.to_string()))?;
    let mut expiry = now_s.wrapping_add(letter.ttl);
    if letter.pow_target < 0.0 {
        expiry = expiry.wrapping_add(letter.pow_time);
    }
    let draft = Draft::new(expiry, letter.ttl, letter.topic, &data);
    let end = Instant::now() + Duration::from_secs(letter.pow_time.into());
    let nonce = if letter.pow_target == 0.0 {
        0
    } else if letter.pow_target < 0.0 {
        best_until(&draft, end, stop)
    } else {
        found_until(&draft, letter, end, stop)?
    };
    Ok(draft.finish(nonce))
}

/// A nonce that proves the work, found in time.
fn found_until(
    draft: &Draft,
    letter: &Letter,
    end: Instant,
    stop: &AtomicBool,
) -> Result<u64, Error> {
    let mut search = draft.search(letter.pow_target, 0);
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        if let Progress::Found(nonce) = search.advance(SEARCH_SLICE) {
            return Ok(nonce);
        }
    }
    Err(Error::method(format!(
        "failed to reach the PoW target, specified pow time ({} seconds) was insufficient",
        letter.pow_time
    )))
}

/// The nonce that proves most among those that were tried in the time.
fn best_until(draft: &Draft, end: Instant, stop: &AtomicBool) -> u64 {
    let short = draft.short_rlp();
    let mut best = 0;
    let mut search = Search::new(&short, 1);
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        if let Progress::Found(nonce) = search.advance(SEARCH_SLICE) {
            // From the start for one bit more: half as many tries again, all in all.
            best = nonce;
            search = Search::new(&short, draft.finish(nonce).zero_bits() + 1);
        }
    }
    best
}

fn unix_seconds(clock: &Clock) -> u32 {
    // Whisper counts in 32 bits, and wraps in 2106.
    (clock.now().unix_s() & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn letter(pow_target: f64, pow_time: u32) -> Letter {
        Letter {
            recipient: Recipient::Symmetric(SymKey::from_bytes(&[7; 32]).unwrap()),
            signer: None,
            topic: Topic::new([1, 2, 3, 4]),
            payload: b"hello".to_vec(),
            padding: Vec::new(),
            ttl: 10,
            pow_time,
            pow_target,
        }
    }

    #[tokio::test]
    async fn the_target_is_proved_or_the_time_is_over() {
        let workshop = Workshop::new(Clock::system());
        let sealed = workshop.seal(letter(0.01, 20)).await.unwrap();
        assert!(sealed.pow() >= 0.01 && sealed.ttl() == 10);
        let none = workshop.seal(letter(0.0, 0)).await.unwrap();
        assert_eq!(none.fields().nonce(), 0);
        for time in [0, 1] {
            let refused = workshop.seal(letter(1e12, time)).await.unwrap_err();
            let seconds = format!("specified pow time ({time} seconds) was insufficient");
            assert!(refused.message.ends_with(&seconds), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn below_zero_the_whole_time_is_used_and_added_to_the_expiry() {
        let before = unix_seconds(&Clock::system());
        let sealed = Workshop::new(Clock::system())
            .seal(letter(-1.0, 1))
            .await
            .unwrap();
        assert!(sealed.expiry() > before + 10);
        assert!(sealed.zero_bits() > 4, "a second finds more than that");
    }

    #[tokio::test]
    async fn a_message_that_nobody_waits_for_frees_its_place() {
        let workshop = Workshop::new(Clock::system());
        for _ in 0..2 * SEALING_MAX {
            let endless = workshop.seal(letter(1e12, u32::MAX));
            let gave_up = tokio::time::timeout(Duration::from_millis(50), endless).await;
            assert!(gave_up.is_err());
        }
        let sealed = tokio::time::timeout(Duration::from_secs(60), workshop.seal(letter(0.0, 0)));
        assert!(sealed.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn only_so_many_may_wait() {
        let workshop = Workshop::new(Clock::system());
        workshop
            .waiting
            .store(SEALING_WAITING_MAX, Ordering::Relaxed);
        let refused = workshop.seal(letter(0.0, 0)).await.unwrap_err();
        assert!(refused.message.contains("wait to be sealed"), "{refused:?}");
        assert_eq!(
            workshop.waiting.load(Ordering::Relaxed),
            SEALING_WAITING_MAX
        );
    }
}
