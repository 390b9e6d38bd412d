//! A connection that lasts: messages in, answers and notifications out, in whatever order they are ready.
//!
//! ```text
//! read ─▶ up to CALLS_MAX messages at work ─▶┐
//!         subscriptions ────────────────────▶┴─▶ one writer, bounded ─▶ the client
//! ```
//!
//! A client that reads slowly makes its own calls wait, and then is read no more; one that reads nothing for
//! WRITE_WITHIN is cut off. When the connection ends, so does everything that it began: a search for a proof of work too.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::Error;
use super::limits::{CALLS_MAX, LAST_CALLS_WITHIN, OUTGOING_MAX, PING_EVERY, WRITE_WITHIN};
use super::talk::{Talk, refusal};

/// What a client said.
pub(crate) enum Heard {
    /// One message, which is JSON.
    Message(String),
    /// Something that ends the conversation, after these last words.
    Refused(Error),
    /// Nothing more.
    End,
}

/// Where messages come from.
pub(crate) trait Ear: Send {
    /// The next one.
    fn hear(&mut self) -> impl Future<Output = Heard> + Send;
}

/// Where messages go.
pub(crate) trait Mouth: Send + 'static {
    /// Sends one; false if the connection is gone.
    fn say(&mut self, text: String) -> impl Future<Output = bool> + Send;

    /// Shows the client that the connection is alive, now and then; false if it is gone.
    fn wave(&mut self) -> impl Future<Output = bool> + Send;
}

/// Talks until the client ends it, or does not listen.
pub(crate) async fn converse(talk: Talk, mut ear: impl Ear, mouth: impl Mouth) {
    let talk = Arc::new(talk);
    let (answers, queued) = mpsc::channel(OUTGOING_MAX);
    let mut writer = tokio::spawn(write(mouth, queued));
    let places = Arc::new(Semaphore::new(CALLS_MAX));
    let mut work = JoinSet::new();
    loop {
        let heard = tokio::select! {
            heard = ear.hear() => heard,
            _ = &mut writer => return,
            Some(_) = work.join_next() => continue,
        };
        let message = match heard {
            Heard::Message(message) => message,
            Heard::Refused(error) => {
                let _ = answers.send(refusal("null", error)).await;
                break;
            }
            Heard::End => break,
        };
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = &mut writer => return,
        };
        let (talk, answers) = (Arc::clone(&talk), answers.clone());
        work.spawn(async move {
            let outcome = talk.hear(&message).await;
            if let Some(answer) = outcome.answer
                && answers.send(answer).await.is_err()
            {
                return;
            }
            drop(place);
            let mut subscriptions = JoinSet::new();
            for mut notifications in outcome.begun {
                let answers = answers.clone();
                subscriptions.spawn(async move {
                    while let Some(one) = notifications.recv().await {
                        if answers.send(one.get().to_owned()).await.is_err() {
                            return;
                        }
                    }
                });
            }
            while subscriptions.join_next().await.is_some() {}
        });
    }
    // A client that has asked its last question may still wait for the answer, but not for ever.
    let all = u32::try_from(CALLS_MAX).unwrap_or(u32::MAX);
    tokio::select! {
        _ = timeout(LAST_CALLS_WITHIN, places.acquire_many(all)) => {}
        _ = &mut writer => return,
    }
    work.shutdown().await;
    drop(answers);
    let _ = writer.await;
}

async fn write(mut mouth: impl Mouth, mut queued: mpsc::Receiver<String>) {
    loop {
        let sent = match timeout(PING_EVERY, queued.recv()).await {
            Ok(Some(text)) => timeout(WRITE_WITHIN, mouth.say(text)).await,
            Ok(None) => return,
            Err(_) => timeout(WRITE_WITHIN, mouth.wave()).await,
        };
        if !matches!(sent, Ok(true)) {
            return;
        }
    }
}
