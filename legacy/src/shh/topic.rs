//! Topics: four bytes that say what an envelope is about, in clear.
//!
//! A topic is the first four bytes of the Keccak-256 of a name. Spec: Whisper v6 topics; Status topic conventions.

use std::fmt;

use crate::keccak::keccak256;

/// The topic of an envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Topic([u8; Topic::LEN]);

impl Topic {
    /// Length on the wire.
    pub const LEN: usize = 4;

    /// A topic from its bytes.
    pub const fn new(bytes: [u8; Topic::LEN]) -> Topic {
        Topic(bytes)
    }

    /// The topic of a name, such as the name of a public chat.
    pub fn of_name(name: &str) -> Topic {
        let hash = keccak256(name.as_bytes());
        Topic([hash[0], hash[1], hash[2], hash[3]])
    }

    /// The topic of one of the partitions in which Status clients listen for first contact.
    pub fn of_partition(partition: u16) -> Topic {
        Topic::of_name(&format!("contact-discovery-{partition}"))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Topic::LEN] {
        &self.0
    }

    /// The first five bits, the coarse group under which a topic can be followed without naming it.
    pub const fn group(&self) -> u8 {
        self.0[0] >> 3
    }
}

impl From<[u8; Topic::LEN]> for Topic {
    fn from(bytes: [u8; Topic::LEN]) -> Topic {
        Topic(bytes)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({self})")
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Partitions of the first-contact topics.
pub const PARTITIONS: u16 = 5_000;

/// The partition of a public key: its X coordinate modulo the number of partitions.
pub fn partition(x: &[u8; 32]) -> u16 {
    let rest = x.iter().fold(0u32, |rest, byte| {
        (rest * 256 + u32::from(*byte)) % u32::from(PARTITIONS)
    });
    u16::try_from(rest).expect("a remainder below 5000 fits 16 bits")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::new(hex::decode(text).unwrap().try_into().unwrap())
    }

    #[test]
    fn names_have_their_published_topics() {
        for (name, expected) in [
            ("contact-discovery", "f8946aac"),
            ("contact-discovery-1", "cebea49d"),
            ("status", "cd423760"),
            ("test-channel", "fd4737ae"),
            ("test", "9c22ff5f"),
        ] {
            assert_eq!(Topic::of_name(name), topic(expected), "{name}");
        }
    }

    #[test]
    fn partitions_of_published_keys() {
        let cases = [
            (
                "cab365fcbb92f82b9c47ceaa27d654268606dea9cd658e369abf5c3fc59d0fa2",
                4490,
                "e1240bce",
            ),
            (
                "eb0177131d07520da774ce45687054fd8b57ca51ea80c0de63624c1f7856d237",
                3991,
                "59cbac69",
            ),
        ];
        for (x, number, expected) in cases {
            let x: [u8; 32] = hex::decode(x).unwrap().try_into().unwrap();
            assert_eq!(partition(&x), number);
            assert_eq!(Topic::of_partition(number), topic(expected));
        }
        assert_eq!(partition(&[0; 32]), 0);
        assert_ne!(partition(&[0xff; 32]), partition(&[0xfe; 32]));
    }

    #[test]
    fn the_group_is_the_first_five_bits() {
        assert_eq!(topic("ff000000").group(), 31);
        assert_eq!(topic("0700ffff").group(), 0);
        assert_eq!(topic("08000000").group(), 1);
    }
}
