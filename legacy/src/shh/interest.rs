//! Which topics a peer's bloom filter stands for.
//!
//! ```text
//! bits of the filter ──▶ topics that we can name and whose bits are all set ──▶ exact topics
//!                   └──▶ bits that no such topic explains                   ──▶ groups of 1/32 of all topics
//! ```
//!
//! Bit `i` came from a byte with the value `i mod 256` of some topic. If that was the topic's first byte, the topic lies in
//! the group `(i / 8) mod 32` of its first five bits; so the groups of all bits hold every topic, with much beside them.
//! Where the Go form loses the bit of a first byte, the neighbour that overwrote it names the same group.
//!
//! Topics that we can name narrow this down: hints of the user (names of chats, public keys, topics that the peer itself
//! named in a request), and the 5000 partitions in which Status clients listen for first contact. With `n` bits set,
//! about `5000 · (n / 512)³` partitions match by accident: one at 30 bits. To believe an accident would be worse than to
//! follow too much: its bits belong to topics of the peer, which then would reach it no more. Therefore
//!
//! - hints come first and are believed, since a hint matches by accident once in thousands;
//! - a partition is believed if it is the only one that matches and no hint names another (every Status client listens in
//!   one), or if so few bits are set that accidents are not to be expected;
//! - the bits that stay unexplained must be three for each unknown topic. If they are not, one of its bits may be hidden
//!   behind an explained one, and the groups of the explained bits are followed too.

use std::collections::BTreeSet;

use thiserror::Error;

use super::bloom::{self, Bloom};
use super::topic::{PARTITIONS, Topic, partition};
use crate::identity::{PUBLIC_KEY_LEN, PublicKey};

/// Something that the user says about what the peer follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The name of a public chat.
    Chat(String),
    /// The public key of the peer's user, or of a contact.
    Key(PublicKey),
}

/// A text looks like a public key and is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{text:?} looks like a public key but is none: 0x04 and 128 further hex digits of a point on the curve are expected"
)]
pub struct BadKey {
    /// The text.
    pub text: String,
}

impl Hint {
    /// Reads a hint: what starts with `0x04` is a public key, everything else the name of a chat.
    pub fn parse(text: &str) -> Result<Hint, BadKey> {
        let Some(digits) = text.strip_prefix("0x04") else {
            return Ok(Hint::Chat(text.to_owned()));
        };
        let bytes = hex::decode(digits)
            .ok()
            .and_then(|bytes| <[u8; PUBLIC_KEY_LEN]>::try_from(bytes).ok());
        let key = bytes.and_then(|bytes| PublicKey::from_bytes(&bytes).ok());
        key.map(Hint::Key).ok_or_else(|| BadKey {
            text: text.to_owned(),
        })
    }

    /// The topics that it stands for: of a key its partition, its personal discovery and its contact code.
    pub fn topics(&self) -> Vec<Topic> {
        match self {
            Hint::Chat(name) => vec![Topic::of_name(name)],
            Hint::Key(key) => {
                let text = hex::encode(key.to_prefixed());
                vec![
                    Topic::of_partition(partition_of(key)),
                    Topic::of_name(&format!("contact-discovery-{text}")),
                    Topic::of_name(&format!("0x{text}-contact-code")),
                ]
            }
        }
    }
}

fn partition_of(key: &PublicKey) -> u16 {
    let mut x = [0; 32];
    x.copy_from_slice(&key.to_bytes()[..32]);
    partition(&x)
}

/// The topics that can be named.
#[derive(Clone, Debug)]
pub struct Dictionary {
    hints: BTreeSet<Topic>,
    partitions: BTreeSet<Topic>,
}

impl Dictionary {
    /// All partitions and these hints.
    pub fn new<'a>(hints: impl IntoIterator<Item = &'a Hint>) -> Dictionary {
        Dictionary {
            hints: hints.into_iter().flat_map(Hint::topics).collect(),
            partitions: (0..PARTITIONS).map(Topic::of_partition).collect(),
        }
    }

    /// Adds a topic that the peer itself named.
    pub fn learn(&mut self, topic: Topic) {
        self.hints.insert(topic);
    }
}

/// What a filter stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The filter is full: the peer has not said yet what it wants, or wants everything.
    pub waiting: bool,
    /// Topics that explain their bits.
    pub topics: Vec<Topic>,
    /// First five bits of further topics, in ascending order.
    pub groups: Vec<u8>,
}

impl Interest {
    /// The share of all topics that is followed with one prefix of eight bits for each topic and one of five for each group.
    pub fn share(&self) -> f64 {
        let topics = self
            .topics
            .iter()
            .map(|topic| (u32::from_be_bytes(*topic.as_bytes()), TOPIC_PREFIX_BITS));
        let groups = self
            .groups
            .iter()
            .map(|group| (u32::from(*group) << (32 - GROUP_BITS), GROUP_BITS));
        share(topics.chain(groups))
    }
}

/// Explains a filter.
pub fn explain(filter: &Bloom, dictionary: &Dictionary) -> Interest {
    if filter.is_full() {
        return Interest {
            waiting: true,
            ..Interest::default()
        };
    }
    let mut topics: Vec<Topic> = dictionary
        .hints
        .iter()
        .copied()
        .filter(|topic| filter.wants(*topic))
        .collect();
    let hinted = Bloom::of_topics(topics.iter().copied());
    topics.extend(believable_partitions(filter, dictionary, &topics, &hinted));
    let explained = Bloom::of_topics(topics.iter().copied());
    let unexplained: Vec<usize> = filter
        .set_bits()
        .filter(|bit| !explained.has(*bit))
        .collect();
    let mut groups: BTreeSet<u8> = unexplained.iter().map(|bit| group_of(*bit)).collect();
    if !unexplained.len().is_multiple_of(BITS_PER_TOPIC) {
        groups.extend(filter.set_bits().map(group_of));
    }
    topics.sort_unstable();
    Interest {
        waiting: false,
        topics,
        groups: groups.into_iter().collect(),
    }
}

/// The partitions that explain what hints do not, if they can be believed.
fn believable_partitions(
    filter: &Bloom,
    dictionary: &Dictionary,
    named: &[Topic],
    hinted: &Bloom,
) -> Vec<Topic> {
    let explains = |topic: &Topic| {
        filter.wants(*topic)
            && bloom::bits(*topic)
                .iter()
                .any(|bit| filter.has(*bit) && !hinted.has(*bit))
    };
    let matching: Vec<Topic> = dictionary
        .partitions
        .iter()
        .copied()
        .filter(explains)
        .collect();
    let density = filter.set_bits().count() as f64 / Bloom::BITS as f64;
    let accidents = f64::from(PARTITIONS) * density.powi(3);
    let known = named
        .iter()
        .any(|topic| dictionary.partitions.contains(topic));
    let only = matching.len() == 1 && !known;
    if only || accidents < ACCIDENTS_MAX {
        matching
    } else {
        Vec::new()
    }
}

/// The group of the topics whose first byte sets this bit.
fn group_of(bit: usize) -> u8 {
    u8::try_from(bit / 8 % 32).expect("below 32")
}

/// The share of all topics under at least one of these prefixes: a value whose first bits count, and how many of them.
pub fn share(prefixes: impl IntoIterator<Item = (u32, u8)>) -> f64 {
    let mut ranges: Vec<(u64, u64)> = prefixes
        .into_iter()
        .map(|(value, bits)| {
            let size = 1u64 << (32 - u32::from(bits.min(32)));
            let start = u64::from(value) / size * size;
            (start, start + size)
        })
        .collect();
    ranges.sort_unstable();
    let (mut covered, mut end) = (0, 0);
    for (start, stop) in ranges {
        covered += stop.saturating_sub(start.max(end));
        end = end.max(stop);
    }
    covered as f64 / (1u64 << 32) as f64
}

/// Bits of the prefix under which a known topic is followed: some twenty partitions share one.
const TOPIC_PREFIX_BITS: u8 = 8;
/// Bits of the prefix that one bit of a filter stands for.
const GROUP_BITS: u8 = 5;
/// Bits that a topic sets.
const BITS_PER_TOPIC: usize = 3;
/// Accidental matches that may be expected where every match is believed.
const ACCIDENTS_MAX: f64 = 0.05;

#[cfg(test)]
mod tests;
