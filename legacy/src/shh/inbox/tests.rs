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
    let mut rng = ChaCha20Rng::from_seed([byte; 32]);
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

#[test]
fn another_nonce_is_another_envelope() {
    let mut inbox = Inbox::new([1; 32]);
    let label = inbox.install(filter(1, false)).unwrap();
    inbox.deliver(&envelope(1, b"a", 0), Via::Pool);
    inbox.deliver(&envelope(1, b"a", 1), Via::Pool);
    assert_eq!(inbox.take(&label).unwrap().len(), 2);
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
