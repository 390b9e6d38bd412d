#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::shh::Topic;
use crate::shh::envelope::Draft;
use crate::shh::message::Padding;
use crate::shh::seal::{OpenKey, SealTo, SymKey, seal};

fn key(byte: u8) -> SymKey {
    SymKey::from_bytes(&[byte; 32]).unwrap()
}

fn filter(byte: u8, direct: bool) -> Filter {
    Filter {
        key: OpenKey::Symmetric(key(byte)),
        topics: BTreeSet::new(),
        signer: None,
        min_pow: 0.0,
        direct,
    }
}

fn envelope(byte: u8, payload: &[u8], nonce: u64) -> Arc<Envelope> {
    let mut seed = [byte; 32];
    seed[..8].copy_from_slice(&nonce.to_be_bytes());
    let mut rng = ChaCha20Rng::from_seed(seed);
    let to = SealTo::Symmetric(&key(byte));
    let data = seal(to, payload, Padding::Verbatim(b"p"), None, &mut rng).unwrap();
    Arc::new(Draft::new(1_600_000_000, 10, Topic::default(), &data).finish(nonce))
}

fn payloads(inbox: &mut Inbox, label: &Label) -> Vec<Vec<u8>> {
    let letters = inbox.take(label).unwrap();
    letters
        .iter()
        .map(|letter| letter.plaintext.payload.clone())
        .collect()
}

#[test]
fn a_letter_comes_once_until_it_is_taken() {
    let mut inbox = Inbox::new([1; 32]);
    let (one, two) = (
        inbox.install(filter(1, false)).unwrap(),
        inbox.install(filter(1, false)).unwrap(),
    );
    let other = inbox.install(filter(2, false)).unwrap();
    let letter = envelope(1, b"a", 0);
    assert_eq!(inbox.deliver(&letter, Via::Pool), [one, two]);
    assert_eq!(inbox.deliver(&letter, Via::Pool), []);
    assert_eq!(payloads(&mut inbox, &one), [b"a"]);
    assert_eq!(payloads(&mut inbox, &one), Vec::<Vec<u8>>::new());
    assert_eq!(
        inbox.deliver(&letter, Via::Pool),
        [one],
        "forgotten with the poll, as at every Go peer"
    );
    assert_eq!(payloads(&mut inbox, &two), [b"a"]);
    assert_eq!(payloads(&mut inbox, &other), Vec::<Vec<u8>>::new());
    assert_eq!(inbox.counters().delivered, 3);
}

/// The same content with other times and another nonce, as any relay can make it.
fn made_over(envelope: &Envelope, nonce: u64) -> Arc<Envelope> {
    let topic = envelope.topic();
    Arc::new(Draft::new(1_600_000_009, 15, topic, envelope.data()).finish(nonce))
}

#[test]
fn a_content_comes_by_one_envelope() {
    let mut inbox = Inbox::new([1; 32]);
    let choosy = Filter {
        min_pow: 1e9,
        ..filter(1, false)
    };
    let early = inbox.install(filter(1, true)).unwrap();
    let choosy = inbox.install(choosy).unwrap();
    let first = envelope(1, b"a", 0);
    assert_eq!(inbox.deliver(&first, Via::Pool), [early]);
    assert_eq!(payloads(&mut inbox, &early), [b"a"]);
    for nonce in 1..4 {
        let again = made_over(&first, nonce);
        assert_ne!(again.hash(), first.hash());
        assert_eq!(inbox.deliver(&again, Via::Pool), []);
    }
    assert_eq!(inbox.counters().repeated, 3);
    // Neither who came later, nor who asked for it, nor who did not want the first envelope loses anything.
    let late = inbox.install(filter(1, false)).unwrap();
    assert_eq!(inbox.deliver(&made_over(&first, 5), Via::Pool), [late]);
    assert_eq!(inbox.deliver(&made_over(&first, 6), Via::Direct), [early]);
    inbox.remove(&choosy);
    let easier = inbox.install(filter(1, false)).unwrap();
    assert_eq!(inbox.deliver(&first, Via::Pool), [early, easier]);
    // The same text again is another content: its encryption differs.
    assert_eq!(inbox.deliver(&envelope(1, b"a", 7), Via::Pool).len(), 3);
}

#[test]
fn contents_are_forgotten_in_their_order() {
    let (mut contents, filter) = (Contents::default(), FilterId::default());
    let [one, two] = [0, 1].map(|nonce| envelope(1, b"a", nonce));
    let content = |number: usize| {
        let mut content = [0; 32];
        content[..8].copy_from_slice(&number.to_be_bytes());
        content
    };
    for number in 0..2 * contents::HOLDERS_MAX {
        assert!(contents.admit(content(number), &one, filter));
    }
    assert_eq!(contents.holders(), contents::HOLDERS_MAX);
    assert!(!contents.admit(content(2 * contents::HOLDERS_MAX - 1), &two, filter));
    assert!(contents.admit(content(0), &two, filter), "long ago");
    assert_eq!(contents.holders(), contents::HOLDERS_MAX);
}

#[test]
fn direct_messages_reach_only_filters_that_allow_them() {
    let mut inbox = Inbox::new([1; 32]);
    inbox.install(filter(1, false)).unwrap();
    let direct = inbox.install(filter(1, true)).unwrap();
    assert_eq!(inbox.deliver(&envelope(1, b"a", 0), Via::Direct), [direct]);
}

#[test]
fn a_removed_filter_leaves_nothing() {
    let mut inbox = Inbox::new([1; 32]);
    let label = inbox.install(filter(1, false)).unwrap();
    inbox.deliver(&envelope(1, b"a", 0), Via::Pool);
    assert!(inbox.bytes() > 0 && inbox.contains(&label));
    assert!(inbox.remove(&label) && !inbox.remove(&label));
    assert!(inbox.is_empty() && inbox.by_size.is_empty() && inbox.bytes() == 0);
    assert!(inbox.take(&label).is_none() && !inbox.contains(&label));
    assert_eq!(inbox.deliver(&envelope(1, b"a", 0), Via::Pool), []);
}

#[test]
fn a_full_box_loses_its_oldest() {
    let mut inbox = Inbox::new([1; 32]);
    let label = inbox.install(filter(1, false)).unwrap();
    let first = envelope(1, b"a", 0);
    for nonce in 0..=BOX_LETTERS_MAX as u64 {
        assert_eq!(inbox.deliver(&envelope(1, b"a", nonce), Via::Pool).len(), 1);
    }
    assert_eq!(inbox.counters().dropped, 1);
    assert_eq!(
        inbox.boxes.values().next().unwrap().known.len(),
        BOX_LETTERS_MAX
    );
    let letters = inbox.take(&label).unwrap();
    assert_eq!(letters.len(), BOX_LETTERS_MAX);
    assert!(
        letters
            .iter()
            .all(|letter| letter.envelope.hash() != first.hash())
    );
}

#[test]
fn when_all_are_full_the_fullest_loses() {
    let mut inbox = Inbox::new([1; 32]);
    let (greedy, modest) = (
        inbox.install(filter(1, false)).unwrap(),
        inbox.install(filter(2, false)).unwrap(),
    );
    inbox.deliver(&envelope(2, b"small", 0), Via::Pool);
    let large = vec![7; 1 << 20];
    for nonce in 0..40 {
        inbox.deliver(&envelope(1, &large, nonce), Via::Pool);
        assert!(inbox.bytes() <= INBOX_BYTES_MAX);
    }
    assert_eq!(payloads(&mut inbox, &modest), [b"small"]);
    let kept = inbox.take(&greedy).unwrap();
    assert_eq!(kept.len() as u64 + inbox.counters().dropped, 40);
    assert_eq!(kept.last().unwrap().envelope.fields().nonce(), 39);
}

proptest! {
    /// Whatever is installed, delivered, taken and removed: the books about sizes are right.
    #[test]
    fn the_books_are_right(steps in proptest::collection::vec((0..4_u8, 1..4_u8, 0..6_u64), 0..60)) {
        let mut inbox = Inbox::new([1; 32]);
        let mut labels = Vec::new();
        for (step, byte, nonce) in steps {
            let chosen = labels.get(nonce as usize).copied();
            match (step, chosen) {
                (0, _) => labels.push(inbox.install(filter(byte, false)).unwrap()),
                (1, Some(label)) => drop(inbox.take(&label)),
                (2, Some(label)) => drop(inbox.remove(&label)),
                _ => drop(inbox.deliver(&envelope(byte, b"x", nonce), Via::Pool)),
            }
            let sum: usize = inbox.boxes.values().map(|one| one.bytes).sum();
            prop_assert_eq!(inbox.bytes(), sum);
            prop_assert_eq!(inbox.by_size.len(), inbox.boxes.len());
            for (id, one) in &inbox.boxes {
                let weights: usize = one.letters.iter().map(|letter| weight(letter)).sum();
                prop_assert_eq!(weights, one.bytes);
                prop_assert_eq!(one.letters.len(), one.known.len());
                prop_assert!(inbox.by_size.contains(&(one.bytes, *id)));
            }
        }
    }
}
