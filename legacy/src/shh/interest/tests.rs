#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;

static PARTITIONS_ONLY: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new([]));

const KEY_A: &str = "0x04cab365fcbb92f82b9c47ceaa27d654268606dea9cd658e369abf5c3fc59d0fa27b4a47db1e94e30b0889af02714ac6a77a6ff47edcde93a1d0302950f7eed807";

fn topic(text: &str) -> Topic {
    Topic::new(hex::decode(text).unwrap().try_into().unwrap())
}

/// The filter that a Go client makes of its topics.
fn client(topics: &[Topic]) -> Bloom {
    let mut filter = Bloom::EMPTY;
    topics
        .iter()
        .for_each(|topic| filter.merge(&Bloom::of_topic(*topic)));
    filter
}

fn covers(interest: &Interest, topic: Topic) -> bool {
    interest.groups.contains(&topic.group())
        || interest
            .topics
            .iter()
            .any(|known| known.as_bytes()[0] == topic.as_bytes()[0])
}

#[test]
fn a_hinted_key_has_its_published_topics() {
    let hint = Hint::parse(KEY_A).unwrap();
    assert_eq!(
        hint.topics(),
        ["e1240bce", "299cb662", "a6acec27"].map(topic)
    );
    assert_eq!(Hint::parse("status").unwrap().topics(), [topic("cd423760")]);
    for bad in [
        "0x04",
        &KEY_A[..131],
        &format!("{}8", &KEY_A[..131]),
        "0x04zz",
    ] {
        assert_eq!(
            Hint::parse(bad),
            Err(BadKey {
                text: bad.to_owned()
            }),
            "{bad}"
        );
    }
}

#[test]
fn a_full_filter_waits_and_an_empty_one_wants_nothing() {
    let dictionary = &*PARTITIONS_ONLY;
    assert!(explain(&Bloom::FULL, dictionary).waiting);
    assert_eq!(explain(&Bloom::EMPTY, dictionary), Interest::default());
    assert_eq!(Interest::default().share(), 0.0);
}

#[test]
fn hints_explain_a_whole_client() {
    let hints = [
        Hint::parse(KEY_A).unwrap(),
        Hint::parse("status").unwrap(),
        Hint::parse("never-joined").unwrap(),
    ];
    let followed: Vec<Topic> = hints[..2].iter().flat_map(Hint::topics).collect();
    let interest = explain(&client(&followed), &Dictionary::new(&hints));
    assert_eq!(
        interest.topics.iter().collect::<BTreeSet<_>>(),
        followed.iter().collect()
    );
    assert_eq!(interest.groups, [] as [u8; 0]);
    assert_eq!(interest.share(), 4.0 / 256.0);
}

#[test]
fn a_lone_partition_is_believed() {
    let (partition, chat) = (topic("e1240bce"), topic("cd423760"));
    let interest = explain(&client(&[partition, chat]), &PARTITIONS_ONLY);
    assert_eq!(interest.topics, [partition]);
    assert!(covers(&interest, chat));
    assert_eq!(interest.groups.len(), 3, "one for each bit of the chat");
    let with_other_key = Dictionary::new(&[Hint::parse(KEY_A).unwrap()]);
    let many: Vec<Topic> = (0..9)
        .map(|n| Topic::of_name(&format!("chat {n}")))
        .chain([partition])
        .collect();
    assert_eq!(
        explain(&client(&many), &with_other_key).topics,
        [partition],
        "a key that is known is no reason to guess others"
    );
}

#[test]
fn or_clients_are_explained_too() {
    let colliding = topic("080aff00");
    let mut dictionary = PARTITIONS_ONLY.clone();
    dictionary.learn(colliding);
    for filter in [Bloom::of_topic(colliding), Bloom::of_topics([colliding])] {
        let interest = explain(&filter, &dictionary);
        assert_eq!(
            (interest.topics.as_slice(), interest.groups.len()),
            ([colliding].as_slice(), 0)
        );
    }
}

#[test]
fn a_hidden_bit_widens_the_search() {
    // Both topics set bit 7; only two bits of the unknown one are left when the known one is explained.
    let (known, unknown) = (Topic::new([7, 80, 160, 0]), Topic::new([7, 40, 200, 0]));
    let mut dictionary = PARTITIONS_ONLY.clone();
    dictionary.learn(known);
    let interest = explain(&client(&[known, unknown]), &dictionary);
    assert!(interest.topics.contains(&known));
    assert!(
        interest.groups.contains(&0),
        "the group of the unknown topic"
    );
}

/// Ten topics each, one of them a partition: how many topics are out of reach, and how much is followed.
#[test]
fn clients_without_hints_lose_next_to_nothing() {
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let (mut lost, mut total, mut followed, mut ungrouped) = (0, 0, 0.0, 0.0);
    const CLIENTS: u32 = 400;
    for _ in 0..CLIENTS {
        let mut topics: Vec<Topic> = (0..9)
            .map(|_| Topic::new(rng.next_u32().to_be_bytes()))
            .collect();
        topics.push(Topic::of_partition(
            (rng.next_u32() % u32::from(PARTITIONS)) as u16,
        ));
        let filter = client(&topics);
        let interest = explain(&filter, &PARTITIONS_ONLY);
        lost += topics
            .iter()
            .filter(|topic| !covers(&interest, **topic))
            .count();
        total += topics.len();
        followed += interest.share();
        let groups: BTreeSet<u8> = filter.set_bits().map(group_of).collect();
        ungrouped += groups.len() as f64 / 32.0;
    }
    assert!(
        lost * 1000 <= total,
        "{lost} of {total} topics are out of reach"
    );
    assert!(
        followed <= ungrouped,
        "explaining must not cost more than the bits alone"
    );
}

#[test]
fn the_share_is_a_union() {
    assert_eq!(share([]), 0.0);
    assert_eq!(share([(0, 0), (7 << 27, 5)]), 1.0);
    assert_eq!(share([(0xff00_0000, 8), (0xff00_ffff, 8)]), 1.0 / 256.0);
    assert_eq!(
        share([(31 << 27, 5), (0xff00_0000, 8), (0, 1)]),
        0.5 + 1.0 / 32.0
    );
    assert_eq!(share([(5, 32), (5, 40)]), 1.0 / 4_294_967_296.0);
}

proptest! {
    #[test]
    fn what_is_not_explained_is_followed(bytes in proptest::collection::vec(any::<[u8; 4]>(), 1..12)) {
        let nothing = Dictionary { hints: BTreeSet::new(), partitions: BTreeSet::new() };
        let topics: Vec<Topic> = bytes.into_iter().map(Topic::new).collect();
        let interest = explain(&client(&topics), &nothing);
        prop_assert!(topics.iter().all(|topic| covers(&interest, *topic)));
        let all = Dictionary { hints: topics.iter().copied().collect(), partitions: BTreeSet::new() };
        let interest = explain(&client(&topics), &all);
        prop_assert!(topics.iter().all(|topic| interest.topics.contains(topic)) && interest.groups.is_empty());
        prop_assert!(interest.share() <= topics.len() as f64 / 256.0);
    }
}
