//! What the local client of an edge wants, as prefixes for the bridge.
//!
//! The client says it with its bloom filter alone. Topics that explain its bits become 8-bit prefixes, bits that nothing
//! explains become 5-bit groups; everybody with the same prefix looks the same to the bridge. The exact filter is
//! applied again before an envelope reaches the client.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::legacy::identity::NodeId;
use ::legacy::shh::Bloom;
use ::legacy::shh::interest::{Dictionary, explain};
use bridge::port::Prefix;

use crate::status::ClientState;

/// Bits of the prefix of a known topic: a 256th of all topics, nineteen or twenty of the 5000 partitions of 1:1 chats.
const TOPIC_BITS: u8 = 8;

/// Bits of the prefix of an unexplained bit of the filter: the topics whose first byte can have set it.
const GROUP_BITS: u8 = 5;

/// Local clients whose wishes are kept, and that count as present. An edge is for one person; a few devices are plenty.
pub(super) const CLIENTS_MAX: usize = 16;

/// Turns bloom filters into prefixes.
pub struct Interests {
    dictionary: Dictionary,
    follow_all: bool,
    max_share: f64,
    state: Mutex<State>,
}

/// What is followed now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Followed {
    /// What the client is waiting for, if anything.
    pub client: ClientState,
    /// Registered at the bridge.
    pub prefixes: Vec<Prefix>,
    /// How many of them are groups of an unexplained bit.
    pub groups: usize,
    /// The part of all topics that they name.
    pub share: f64,
    /// Left out because of `edge.max_share`.
    pub left_out: Vec<Prefix>,
}

#[derive(Default)]
struct State {
    clients: BTreeMap<NodeId, Option<Bloom>>,
    followed: Followed,
}

impl Interests {
    /// Nothing is wanted yet.
    pub fn new(dictionary: Dictionary, follow_all: bool, max_share: f64) -> Self {
        Self {
            dictionary,
            follow_all,
            max_share,
            state: Mutex::default(),
        }
    }

    /// A client says what it wants (no filter: everything). Returns all prefixes if they changed.
    pub fn wanted(&self, client: NodeId, bloom: Option<Bloom>) -> Option<Vec<Prefix>> {
        let mut state = self.lock();
        if state.clients.len() >= CLIENTS_MAX && !state.clients.contains_key(&client) {
            return None;
        }
        state.clients.insert(client, bloom);
        self.update(&mut state)
    }

    /// A client went away. What it wanted stays registered: it will be back.
    pub fn gone(&self, client: NodeId) -> Option<Vec<Prefix>> {
        let mut state = self.lock();
        state.clients.remove(&client);
        if state.clients.is_empty() {
            state.followed.client = ClientState::WaitingForClient;
            return None;
        }
        self.update(&mut state)
    }

    /// What is followed now.
    pub fn followed(&self) -> Followed {
        self.lock().followed.clone()
    }

    fn update(&self, state: &mut State) -> Option<Vec<Prefix>> {
        let followed = self.follow(state);
        // A client that starts anew begins with an empty filter: what it had is kept until it says something.
        let keep =
            followed.client == ClientState::WaitingForTopics && !state.followed.prefixes.is_empty();
        if keep {
            state.followed.client = followed.client;
            return None;
        }
        if followed.left_out.len() > state.followed.left_out.len() {
            let count = followed.left_out.len();
            tracing::warn!(
                count,
                "edge.max_share leaves topic prefixes of the client out; /v1/info names them"
            );
        }
        let changed = followed.prefixes != state.followed.prefixes;
        state.followed = followed;
        changed.then(|| state.followed.prefixes.clone())
    }

    fn follow(&self, state: &State) -> Followed {
        let full = |bloom: &Option<Bloom>| bloom.as_ref().is_none_or(Bloom::is_full);
        if self.follow_all && state.clients.values().any(full) {
            let prefixes = vec![Prefix::EVERYTHING];
            return Followed {
                client: ClientState::Following,
                prefixes,
                share: 1.0,
                ..Followed::default()
            };
        }
        let mut wanted = Bloom::EMPTY;
        for bloom in state
            .clients
            .values()
            .filter(|bloom| !full(bloom))
            .flatten()
        {
            wanted.merge(bloom);
        }
        let interest = explain(&wanted, &self.dictionary);
        let topics = interest
            .topics
            .iter()
            .filter_map(|topic| Prefix::of_topic(*topic.as_bytes(), TOPIC_BITS));
        let group = |group: &u8| Prefix::of_topic([group << (8 - GROUP_BITS), 0, 0, 0], GROUP_BITS);
        let groups = interest.groups.iter().filter_map(group);
        self.bounded(topics.chain(groups))
    }

    /// As many as `max_share` allows, the narrow ones first.
    fn bounded(&self, wanted: impl Iterator<Item = Prefix>) -> Followed {
        let mut followed = Followed {
            client: ClientState::WaitingForTopics,
            ..Followed::default()
        };
        for prefix in wanted {
            let known = |other: &Prefix| other.contains(prefix);
            if followed.prefixes.iter().any(known) || followed.left_out.contains(&prefix) {
                continue;
            }
            // A group swallows the topics in it.
            let swallowed: f64 = followed
                .prefixes
                .iter()
                .filter(|other| prefix.contains(**other))
                .map(|other| share(*other))
                .sum();
            let share = followed.share - swallowed + share(prefix);
            if share > self.max_share {
                followed.left_out.push(prefix);
                continue;
            }
            followed.prefixes.retain(|other| !prefix.contains(*other));
            followed.prefixes.push(prefix);
            followed.share = share;
            followed.client = ClientState::Following;
        }
        followed.prefixes.sort();
        followed.groups = followed
            .prefixes
            .iter()
            .filter(|prefix| prefix.bits() == GROUP_BITS)
            .count();
        followed
    }

    /// A panic elsewhere leaves the few maps here usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of all topics that a prefix names.
fn share(prefix: Prefix) -> f64 {
    f64::exp2(-f64::from(prefix.bits()))
}

#[cfg(test)]
mod tests {
    use ::legacy::shh::Topic;
    use ::legacy::shh::interest::Hint;

    use super::*;

    const ALICE: NodeId = NodeId::new([1; 32]);
    const BOB: NodeId = NodeId::new([2; 32]);

    fn interests(hints: &[&str], follow_all: bool, max_share: f64) -> Interests {
        let hints: Vec<Hint> = hints
            .iter()
            .map(|text| Hint::parse(text).unwrap())
            .collect();
        Interests::new(Dictionary::new(&hints), follow_all, max_share)
    }

    fn bloom(chats: &[&str]) -> Option<Bloom> {
        Some(Bloom::of_topics(
            chats.iter().map(|name| Topic::of_name(name)),
        ))
    }

    /// Whether every chat's topic is in some prefix.
    fn covers(prefixes: &[Prefix], chats: &[&str]) -> bool {
        chats.iter().all(|chat| {
            let topic = *Topic::of_name(chat).as_bytes();
            prefixes.iter().any(|prefix| prefix.matches(topic))
        })
    }

    #[test]
    fn a_client_that_subscribes_chat_by_chat_is_followed_all_along() {
        let interests = interests(&[], false, 1.0);
        assert_eq!(interests.wanted(ALICE, Some(Bloom::EMPTY)), None);
        assert_eq!(interests.followed().client, ClientState::WaitingForTopics);
        let first = interests.wanted(ALICE, bloom(&["status"])).unwrap();
        assert!(covers(&first, &["status"]));
        let second = interests
            .wanted(ALICE, bloom(&["status", "ferry"]))
            .unwrap();
        assert!(covers(&second, &["status", "ferry"]));
        assert_eq!(
            interests.wanted(ALICE, bloom(&["status", "ferry"])),
            None,
            "nothing new"
        );
        assert_eq!(interests.followed().client, ClientState::Following);
    }

    #[test]
    fn a_hint_narrows_what_is_followed() {
        let without = interests(&[], false, 1.0);
        let with = interests(&["status"], false, 1.0);
        let wide = without.wanted(ALICE, bloom(&["status"])).unwrap();
        let narrow = with.wanted(ALICE, bloom(&["status"])).unwrap();
        assert_eq!(
            narrow,
            [Prefix::of_topic(*Topic::of_name("status").as_bytes(), 8).unwrap()]
        );
        assert!(covers(&wide, &["status"]) && with.followed().share < without.followed().share);
    }

    #[test]
    fn a_full_filter_waits_unless_everything_is_to_be_followed() {
        let waiting = interests(&[], false, 1.0);
        assert_eq!(waiting.wanted(ALICE, None), None);
        assert_eq!(waiting.wanted(ALICE, Some(Bloom::FULL)), None);
        assert_eq!(waiting.followed().client, ClientState::WaitingForTopics);
        let following = interests(&[], true, 1.0);
        assert_eq!(
            following.wanted(ALICE, None),
            Some(vec![Prefix::EVERYTHING])
        );
    }

    #[test]
    fn a_client_that_restarts_or_leaves_keeps_its_prefixes() {
        let interests = interests(&["status"], false, 1.0);
        let prefixes = interests.wanted(ALICE, bloom(&["status"])).unwrap();
        assert_eq!(interests.gone(ALICE), None);
        assert_eq!(interests.followed().client, ClientState::WaitingForClient);
        assert_eq!(interests.wanted(ALICE, Some(Bloom::EMPTY)), None);
        assert_eq!(interests.followed().prefixes, prefixes);
    }

    #[test]
    fn two_clients_are_followed_together() {
        let interests = interests(&["status", "ferry"], false, 1.0);
        interests.wanted(ALICE, bloom(&["status"])).unwrap();
        let both = interests.wanted(BOB, bloom(&["ferry"])).unwrap();
        assert!(covers(&both, &["status", "ferry"]));
        let one = interests.gone(ALICE).unwrap();
        assert!(covers(&one, &["ferry"]) && !covers(&one, &["status"]));
    }

    #[test]
    fn a_bound_leaves_prefixes_out_by_name_and_never_silently() {
        let hints = ["status", "ferry", "chat"];
        let interests = interests(&hints, false, 2.0 / 256.0);
        let prefixes = interests.wanted(ALICE, bloom(&hints)).unwrap();
        let followed = interests.followed();
        assert_eq!(prefixes.len(), 2);
        assert_eq!(followed.left_out.len(), 1);
        assert!(followed.share <= 2.0 / 256.0);
    }

    #[test]
    fn strangers_beyond_the_bound_are_not_kept() {
        let interests = interests(&[], false, 1.0);
        for n in 0..CLIENTS_MAX {
            interests.wanted(NodeId::new([n as u8 + 10; 32]), bloom(&["status"]));
        }
        assert_eq!(interests.wanted(ALICE, bloom(&["other"])), None);
    }
}
