//! People who talk: one behind each edge, who sends long messages into chats that nobody here reads, and one on the Whisper network
//! whose short messages all the others get.
//!
//! A message of a hundred kilobytes is some thirty packets. The bridge answers each with two, and has twenty payload slots a second
//! for everybody; so all people together say so much that about half of them are used.

use std::time::Duration;

use legacy::shh::{Bloom, Topic};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::cli::demo::network::Network;
use crate::cli::demo::person::Person;
use crate::cli::demo::report::Way;
use crate::exit::Exit;
use crate::failure::Failure;

/// Clients attach within this time.
const ATTACH_WITHIN: Duration = Duration::from_secs(60);

/// The chat that everybody reads.
const CHAT: &str = "ferry-shape";

/// Bytes of a long message.
const LONG_LEN: usize = 100_000;

/// Long messages a second of all people together: the bridge's answers then take half of its slots.
const LONG_RATE: f64 = 5.0;

/// Between two short messages to everybody.
const SHORT_EVERY: Duration = Duration::from_secs(4);

/// What nobody reads here is thrown away.
const HEARD_MAX: usize = 64;

/// Everybody, silent.
pub(super) struct Crowd {
    people: Vec<Person>,
    outside: Person,
}

/// Everybody, talking.
pub(super) struct Talk {
    stop: watch::Sender<bool>,
    people: JoinSet<Result<Person, Failure>>,
}

impl Crowd {
    /// A client at every edge, and one at a Whisper node.
    pub(super) async fn attach(network: &Network) -> Result<Self, Failure> {
        let (hear, mut heard) = mpsc::channel(HEARD_MAX);
        tokio::spawn(async move { while heard.recv().await.is_some() {} });
        let mut people = Vec::new();
        for edge in &network.edges {
            let way = Way::ToAlice;
            people.push(Person::attach(&edge.enode, CHAT, ATTACH_WITHIN, way, hear.clone()).await?);
        }
        let node = &network.whisper.enode;
        let outside = Person::attach(node, CHAT, ATTACH_WITHIN, Way::ToBob, hear).await?;
        Ok(Self { people, outside })
    }

    /// Everybody begins to talk.
    pub(super) fn talk(self) -> Talk {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let gap = Duration::from_secs_f64(self.people.len() as f64 / LONG_RATE);
        let text = "x".repeat(LONG_LEN);
        for (number, person) in (0..).zip(self.people) {
            let (text, mut stopped) = (text.clone(), stopped.clone());
            let chat = unread_chat(number);
            tasks.spawn(async move {
                // They do not all speak at once.
                let mut wait = gap.mul_f64(f64::from(number % 16) / 16.0);
                while pause(wait, &mut stopped).await {
                    person.say_in(&chat, &text).await?;
                    wait = gap;
                }
                Ok(person)
            });
        }
        let (outside, mut stopped) = (self.outside, stopped);
        tasks.spawn(async move {
            while pause(SHORT_EVERY, &mut stopped).await {
                outside.say("to everybody").await?;
            }
            Ok(outside)
        });
        Talk {
            stop,
            people: tasks,
        }
    }
}

impl Talk {
    /// Everybody falls silent and leaves.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let _ = self.stop.send(true);
        while let Some(ended) = self.people.join_next().await {
            let person = ended.map_err(|error| {
                Failure::new(
                    Exit::Failed,
                    "a person of the measurement ended badly",
                    error.to_string(),
                    "run it again; report it if it comes back",
                )
            })?;
            person?.leave().await;
        }
        Ok(())
    }
}

/// Waits; false when it is time to stop.
async fn pause(time: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    let stop = stopped.wait_for(|stop| *stop);
    tokio::time::timeout(time, stop).await.is_err()
}

/// A chat whose messages no edge follows because of [`CHAT`]: a filter names topics by five bits where it is not explained.
fn unread_chat(person: u32) -> String {
    let followed = groups(&Bloom::of_topics([Topic::of_name(CHAT)]));
    let names = (0..).map(|try_no| format!("shape-{person}-{try_no}"));
    let mut unread = names.filter(|name| {
        let first = Topic::of_name(name).as_bytes()[0];
        !followed.contains(&(usize::from(first) >> 3))
    });
    unread.next().unwrap_or_default()
}

/// The groups of 32 that the bits of a filter can stand for.
fn groups(bloom: &Bloom) -> Vec<usize> {
    let bytes = bloom.as_bytes();
    let is_set = |bit: &usize| bytes[bit / 8] & (1 << (bit % 8)) != 0;
    let bits = (0..bytes.len() * 8).filter(is_set);
    bits.map(|bit| bit / 8 % 32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_follows_the_chats_of_the_long_messages() {
        let followed = groups(&Bloom::of_topics([Topic::of_name(CHAT)]));
        assert!((1..=3).contains(&followed.len()), "{followed:?}");
        for person in 0..40 {
            let topic = Topic::of_name(&unread_chat(person));
            assert!(!followed.contains(&usize::from(topic.as_bytes()[0] >> 3)));
        }
    }
}
