//! Filters: which envelopes a local client can open and wants to see.
//!
//! A filter has one key and some topics (none: all of them). An envelope meets only the filters of its own topic and
//! those without topics, each distinct key among them tries once, and what one key opened serves every filter with that
//! key. Spec: Whisper v6 payload, order of attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::bloom::Bloom;
use super::envelope::Envelope;
use super::limits::FILTERS_MAX;
use super::message::Plaintext;
use super::seal::{KeyId, OpenKey, open_each};
use super::topic::Topic;
use crate::identity::PublicKey;

/// What a local client wants.
#[derive(Clone, Debug)]
pub struct Filter {
    /// What opens the envelopes.
    pub key: OpenKey,
    /// Their topics; none means any.
    pub topics: BTreeSet<Topic>,
    /// Who must have signed.
    pub signer: Option<PublicKey>,
    /// Work that they must prove.
    pub min_pow: f64,
    /// Whether messages of a trusted peer that never were in the pool count too.
    pub direct: bool,
}

/// Name of an installed filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(u64);

/// An opened envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// As it came.
    pub envelope: Arc<Envelope>,
    /// What was inside.
    pub plaintext: Plaintext,
    /// To whom it was sealed, if to a public key.
    pub recipient: Option<PublicKey>,
}

/// There is no room for another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("all {max} filters are taken")]
pub struct TooManyFilters {
    /// How many there may be.
    pub max: usize,
}

/// Where an envelope came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The pool.
    Pool,
    /// A message of a trusted peer, unchecked.
    Direct,
}

/// The installed filters.
#[derive(Debug, Default)]
pub struct Filters {
    filters: BTreeMap<FilterId, (Filter, KeyId)>,
    by_topic: BTreeMap<Topic, BTreeSet<FilterId>>,
    any_topic: BTreeSet<FilterId>,
    next: u64,
}

impl Filters {
    /// No filters.
    pub fn new() -> Filters {
        Filters::default()
    }

    /// Installs a filter.
    pub fn install(&mut self, filter: Filter) -> Result<FilterId, TooManyFilters> {
        if self.filters.len() >= FILTERS_MAX {
            return Err(TooManyFilters { max: FILTERS_MAX });
        }
        let id = FilterId(self.next);
        self.next += 1;
        if filter.topics.is_empty() {
            self.any_topic.insert(id);
        }
        for topic in &filter.topics {
            self.by_topic.entry(*topic).or_default().insert(id);
        }
        let key = filter.key.id();
        self.filters.insert(id, (filter, key));
        Ok(id)
    }

    /// Removes a filter, and says whether there was one.
    pub fn remove(&mut self, id: FilterId) -> bool {
        let Some((filter, _)) = self.filters.remove(&id) else {
            return false;
        };
        self.any_topic.remove(&id);
        for topic in &filter.topics {
            if let Some(ids) = self.by_topic.get_mut(topic) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_topic.remove(topic);
                }
            }
        }
        true
    }

    /// Opens an envelope with every key that may, each once, and names the filters that want it.
    pub fn open(&self, envelope: &Arc<Envelope>, via: Via) -> Vec<(FilterId, Arc<Received>)> {
        let opened = self.open_each(&[(envelope.clone(), via)]);
        opened.into_iter().flatten().collect()
    }

    /// Opens some envelopes, in their order, each as [`Filters::open`] does. Finding out who signed costs less for several
    /// together.
    pub fn open_each(
        &self,
        envelopes: &[(Arc<Envelope>, Via)],
    ) -> Vec<Vec<(FilterId, Arc<Received>)>> {
        let mut sealed = Vec::new();
        let mut readers = Vec::with_capacity(envelopes.len());
        for (envelope, via) in envelopes {
            let mut tried: BTreeMap<KeyId, usize> = BTreeMap::new();
            let attempts = self.readers(envelope, *via).map(|(id, filter, key)| {
                let at = tried.entry(key).or_insert_with(|| {
                    sealed.push((&filter.key, envelope));
                    sealed.len() - 1
                });
                (id, filter, *at)
            });
            readers.push(attempts.collect::<Vec<_>>());
        }
        let received = receive_each(&sealed);
        let wanted = |(id, filter, at): (FilterId, &Filter, usize)| {
            let received = received[at].as_ref()?;
            let fits = filter.signer.is_none() || filter.signer == received.plaintext.signer;
            fits.then(|| (id, received.clone()))
        };
        let wanted = readers
            .into_iter()
            .map(|readers| readers.into_iter().filter_map(wanted).collect());
        wanted.collect()
    }

    /// The filters that may see an envelope, each with the name of its key.
    fn readers(
        &self,
        envelope: &Envelope,
        via: Via,
    ) -> impl Iterator<Item = (FilterId, &Filter, KeyId)> {
        let topical = self.by_topic.get(&envelope.topic()).into_iter().flatten();
        let pow = envelope.pow();
        let named = self.any_topic.iter().chain(topical);
        let installed = named.filter_map(|id| Some((*id, self.filters.get(id)?)));
        installed
            .filter(move |(_, (filter, _))| {
                filter.min_pow <= pow && (via == Via::Pool || filter.direct)
            })
            .map(|(id, (filter, key))| (id, filter, *key))
    }

    /// The filter to announce for all of these; nothing where one of them wants any topic.
    pub fn bloom(&self) -> Option<Bloom> {
        self.any_topic
            .is_empty()
            .then(|| Bloom::of_topics(self.by_topic.keys().copied()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }
}

/// What each key makes of its envelope.
fn receive_each(sealed: &[(&OpenKey, &Arc<Envelope>)]) -> Vec<Option<Arc<Received>>> {
    let data: Vec<(&OpenKey, &[u8])> = sealed
        .iter()
        .map(|(key, envelope)| (*key, envelope.data()))
        .collect();
    let opened = open_each(&data).into_iter().zip(sealed);
    let received = opened.map(|(plaintext, (key, envelope))| {
        let recipient = match key {
            OpenKey::Symmetric(_) => None,
            OpenKey::Private(key) => Some(key.public()),
        };
        Some(Arc::new(Received {
            envelope: (*envelope).clone(),
            plaintext: plaintext.ok()?,
            recipient,
        }))
    });
    received.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::identity::SecretKey;
    use crate::shh::envelope::Draft;
    use crate::shh::message::Padding;
    use crate::shh::seal::{SealTo, SymKey, seal};

    fn sym(byte: u8) -> SymKey {
        SymKey::from_bytes(&[byte; 32]).unwrap()
    }

    fn filter(key: OpenKey, topics: &[Topic]) -> Filter {
        Filter {
            key,
            topics: topics.iter().copied().collect(),
            signer: None,
            min_pow: 0.0,
            direct: false,
        }
    }

    fn envelope(to: SealTo<'_>, topic: Topic, signer: Option<&SecretKey>) -> Arc<Envelope> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let data = seal(to, b"hello", Padding::Random, signer, &mut rng).unwrap();
        Arc::new(Draft::new(1_600_000_000, 10, topic, &data).finish(0))
    }

    #[test]
    fn key_topic_signer_and_work_decide() {
        let (topic, other) = (Topic::of_name("one"), Topic::of_name("other"));
        let secret = SecretKey::from_bytes(&[3; 32]).unwrap();
        let stranger = SecretKey::from_bytes(&[4; 32]).unwrap();
        let base = filter(OpenKey::Symmetric(sym(1)), &[topic]);
        let mut filters = Filters::new();
        let plain = filters.install(base.clone()).unwrap();
        let any = filters
            .install(filter(OpenKey::Symmetric(sym(1)), &[]))
            .unwrap();
        let signed = filters
            .install(Filter {
                signer: Some(secret.public()),
                ..base.clone()
            })
            .unwrap();
        for filter in [
            filter(OpenKey::Symmetric(sym(1)), &[other]),
            filter(OpenKey::Symmetric(sym(2)), &[topic]),
            Filter {
                signer: Some(stranger.public()),
                ..base.clone()
            },
            Filter {
                min_pow: 1e9,
                ..base
            },
            filter(OpenKey::Private(stranger), &[topic]),
        ] {
            filters.install(filter).unwrap();
        }
        let one = envelope(SealTo::Symmetric(&sym(1)), topic, Some(&secret));
        let opened = filters.open(&one, Via::Pool);
        let ids: BTreeSet<_> = opened.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [plain, any, signed].into_iter().collect());
        assert!(
            opened
                .windows(2)
                .all(|two| Arc::ptr_eq(&two[0].1, &two[1].1)),
            "opened once"
        );
        assert_eq!(opened[0].1.plaintext.payload, b"hello");
        assert!(filters.open(&one, Via::Direct).is_empty());
    }

    #[test]
    fn sealed_to_a_key() {
        let secret = SecretKey::from_bytes(&[3; 32]).unwrap();
        let mut filters = Filters::new();
        let id = filters
            .install(Filter {
                direct: true,
                ..filter(OpenKey::Private(secret.clone()), &[])
            })
            .unwrap();
        let one = envelope(SealTo::Public(&secret.public()), Topic::default(), None);
        for via in [Via::Pool, Via::Direct] {
            let opened = filters.open(&one, via);
            assert_eq!(
                (opened.len(), opened[0].0, opened[0].1.recipient),
                (1, id, Some(secret.public()))
            );
        }
    }

    #[test]
    fn many_together_open_as_each_alone() {
        let (topic, other) = (Topic::of_name("one"), Topic::of_name("other"));
        let signers: Vec<SecretKey> = (11..16)
            .map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap())
            .collect();
        let recipient = SecretKey::from_bytes(&[3; 32]).unwrap();
        let mut filters = Filters::new();
        let wanted = [
            filter(OpenKey::Symmetric(sym(1)), &[topic]),
            filter(OpenKey::Symmetric(sym(2)), &[]),
            filter(OpenKey::Private(recipient.clone()), &[topic, other]),
            Filter {
                signer: Some(signers[1].public()),
                direct: true,
                ..filter(OpenKey::Symmetric(sym(1)), &[])
            },
        ];
        for filter in wanted {
            filters.install(filter).unwrap();
        }
        let mut envelopes = Vec::new();
        for number in 0..30 {
            // Every fifth is signed by nobody, and some are for nobody.
            let signer = (number % 5 > 0).then(|| &signers[number % signers.len()]);
            let topic = if number % 7 == 0 { other } else { topic };
            let sealed = match number % 4 {
                0 => envelope(SealTo::Public(&recipient.public()), topic, signer),
                key => envelope(SealTo::Symmetric(&sym(key as u8)), topic, signer),
            };
            let via = if number % 6 == 5 {
                Via::Direct
            } else {
                Via::Pool
            };
            envelopes.push((sealed, via));
        }
        let alone: Vec<_> = envelopes
            .iter()
            .map(|(envelope, via)| filters.open(envelope, *via))
            .collect();
        assert_eq!(filters.open_each(&envelopes), alone);
        let opened = || alone.iter().flatten();
        let signed = opened().filter(|(_, letter)| letter.plaintext.signer.is_some());
        assert!(signed.count() > 8 && opened().count() > 12 && alone.contains(&vec![]));
    }

    #[test]
    fn removed_filters_leave_nothing() {
        let topics = [Topic::of_name("one"), Topic::of_name("two")];
        let mut filters = Filters::new();
        assert!(filters.bloom().unwrap().is_empty());
        let one = filters
            .install(filter(OpenKey::Symmetric(sym(1)), &topics))
            .unwrap();
        assert_eq!(filters.bloom(), Some(Bloom::of_topics(topics)));
        let any = filters
            .install(filter(OpenKey::Symmetric(sym(1)), &[]))
            .unwrap();
        assert_eq!(filters.bloom(), None);
        assert!(filters.remove(one) && filters.remove(any) && !filters.remove(one));
        assert!(filters.is_empty() && filters.by_topic.is_empty() && filters.any_topic.is_empty());
    }

    #[test]
    fn filters_are_bounded() {
        let mut filters = Filters::new();
        let one = filter(OpenKey::Symmetric(sym(1)), &[]);
        for _ in 0..FILTERS_MAX {
            filters.install(one.clone()).unwrap();
        }
        assert_eq!(
            (filters.install(one), filters.len()),
            (Err(TooManyFilters { max: FILTERS_MAX }), FILTERS_MAX)
        );
    }
}
