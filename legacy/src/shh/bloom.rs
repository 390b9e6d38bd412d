//! Bloom filters over topics: 512 bits in 64 bytes, bit `n` in byte `n / 8` under the mask `1 << (n % 8)`.
//!
//! A topic sets up to three bits: for `j` in 0..3 the bit `topic[j] + 256 · (bit j of topic[3])`.
//! The Go implementations *assign* the byte where others OR into it, so two bits of one topic that share a byte lose the
//! first of them. Both forms live here. The assignment form is a subset of the OR form: testing a peer's filter with
//! it never withholds what a Go peer wants, and advertising the OR form is a superset that satisfies both.
//! Spec: Whisper v6 bloom filter.

use std::fmt;

use super::topic::Topic;

/// A filter over topics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bloom([u8; Bloom::LEN]);

impl Bloom {
    /// Length on the wire.
    pub const LEN: usize = 64;
    /// Bits of a filter.
    pub const BITS: usize = Bloom::LEN * 8;
    /// Wants nothing: every topic sets at least one bit.
    pub const EMPTY: Bloom = Bloom([0; Bloom::LEN]);
    /// Wants everything.
    pub const FULL: Bloom = Bloom([0xff; Bloom::LEN]);

    /// A filter from its bytes.
    pub const fn new(bytes: [u8; Bloom::LEN]) -> Bloom {
        Bloom(bytes)
    }

    /// The filter of one topic in the assignment form, the one that decides who gets an envelope.
    pub fn of_topic(topic: Topic) -> Bloom {
        let mut bloom = Bloom::EMPTY;
        for bit in bits(topic) {
            bloom.0[bit / 8] = 1 << (bit % 8);
        }
        bloom
    }

    /// Adds a topic in the OR form, the one to advertise.
    pub fn add(&mut self, topic: Topic) {
        for bit in bits(topic) {
            self.0[bit / 8] |= 1 << (bit % 8);
        }
    }

    /// A filter that wants all of these topics (OR form).
    pub fn of_topics(topics: impl IntoIterator<Item = Topic>) -> Bloom {
        let mut bloom = Bloom::EMPTY;
        topics.into_iter().for_each(|topic| bloom.add(topic));
        bloom
    }

    /// Whether envelopes of this topic pass the filter.
    pub fn wants(&self, topic: Topic) -> bool {
        let bits = bits(topic);
        (0..bits.len()).all(|j| {
            let overwritten = bits[j + 1..].iter().any(|later| later / 8 == bits[j] / 8);
            overwritten || self.has(bits[j])
        })
    }

    /// Whether every bit of the other filter is set here.
    pub fn contains(&self, other: &Bloom) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(ours, theirs)| theirs & !ours == 0)
    }

    /// Adds every bit of another filter.
    pub fn merge(&mut self, other: &Bloom) {
        for (ours, theirs) in self.0.iter_mut().zip(other.0) {
            *ours |= theirs;
        }
    }

    /// Whether one bit is set.
    pub fn has(&self, bit: usize) -> bool {
        self.0
            .get(bit / 8)
            .is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
    }

    /// The bits that are set, in ascending order.
    pub fn set_bits(&self) -> impl Iterator<Item = usize> + '_ {
        (0..Bloom::BITS).filter(|bit| self.has(*bit))
    }

    /// Whether the filter wants everything.
    pub fn is_full(&self) -> bool {
        *self == Bloom::FULL
    }

    /// Whether the filter wants nothing.
    pub fn is_empty(&self) -> bool {
        *self == Bloom::EMPTY
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Bloom::LEN] {
        &self.0
    }
}

impl fmt::Debug for Bloom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bloom({} bits)", self.set_bits().count())
    }
}

/// The three bits of a topic, in the order in which the Go form assigns them.
pub fn bits(topic: Topic) -> [usize; 3] {
    let bytes = topic.as_bytes();
    std::array::from_fn(|j| usize::from(bytes[j]) + 256 * usize::from(bytes[3] >> j & 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::new(hex::decode(text).unwrap().try_into().unwrap())
    }

    fn with(bytes: &[(usize, u8)]) -> Bloom {
        let mut bloom = [0; Bloom::LEN];
        for (at, value) in bytes {
            bloom[*at] = *value;
        }
        Bloom::new(bloom)
    }

    #[test]
    fn published_assignment_forms() {
        for (text, expected) in [
            ("70a4beef", with(&[(46, 0x01), (52, 0x10), (55, 0x40)])),
            ("deadbeef", with(&[(53, 0x20), (55, 0x40), (59, 0x40)])),
            ("00000000", with(&[(0, 0x01)])),
            ("01020300", with(&[(0, 0x08)])),
            ("08090a00", with(&[(1, 0x04)])),
            ("0102ff07", with(&[(32, 0x04), (63, 0x80)])),
            ("f8946aac", with(&[(18, 0x10), (31, 0x01), (45, 0x04)])),
            ("59cbac69", with(&[(21, 0x10), (25, 0x08), (43, 0x02)])),
            ("e1240bce", with(&[(28, 0x02), (33, 0x08), (36, 0x10)])),
            ("cd423760", with(&[(6, 0x80), (8, 0x04), (25, 0x20)])),
            ("080aff00", with(&[(1, 0x04), (31, 0x80)])),
        ] {
            assert_eq!(
                Bloom::of_topic(topic(text)).as_bytes(),
                expected.as_bytes(),
                "{text}"
            );
        }
    }

    #[test]
    fn published_or_forms() {
        for (text, expected) in [
            ("01020300", with(&[(0, 0x0e)])),
            ("08090a00", with(&[(1, 0x07)])),
            ("0102ff07", with(&[(32, 0x06), (63, 0x80)])),
            ("080aff00", with(&[(1, 0x05), (31, 0x80)])),
        ] {
            assert_eq!(
                Bloom::of_topics([topic(text)]).as_bytes(),
                expected.as_bytes(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_lost_bit_is_not_asked_for() {
        assert!(with(&[(0, 0x08)]).wants(topic("01020300")));
        assert!(!with(&[(0, 0x06)]).wants(topic("01020300")));
        assert!(!with(&[(1, 0x04)]).wants(topic("080aff00")));
        assert!(!Bloom::EMPTY.wants(topic("00000000")));
        assert!(!Bloom::FULL.has(Bloom::BITS));
    }

    proptest! {
        #[test]
        fn the_forms_agree(bytes: [u8; 4], filter: [u8; 32]) {
            let topic = Topic::new(bytes);
            let assigned = Bloom::of_topic(topic);
            let merged = Bloom::of_topics([topic]);
            prop_assert!(merged.contains(&assigned));
            prop_assert!(!assigned.is_empty());
            prop_assert!(Bloom::FULL.wants(topic) && merged.wants(topic) && assigned.wants(topic));
            let mut sparse = [0; Bloom::LEN];
            sparse[..32].copy_from_slice(&filter);
            let sparse = Bloom::new(sparse);
            prop_assert_eq!(sparse.wants(topic), sparse.contains(&assigned));
        }
    }
}
