//! Topic prefixes: sets of Whisper topics that share their first bits.
//!
//! `bits` 0 is every topic, 32 one topic; the bits of `value` after the first `bits` are zero. spec: `mixbridge.proto`, `PrefixFilter`.

use std::fmt;

/// The longest prefix: a whole topic.
pub const BITS_MAX: u8 = 32;

/// A set of topics with the same first bits. Ordered by bits, then by value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    bits: u8,
    value: u32,
}

impl Prefix {
    /// The prefix that names every topic.
    pub const EVERYTHING: Self = Self { bits: 0, value: 0 };

    /// A prefix from its wire form; `None` if there are more than 32 bits or low bits are set.
    pub fn new(bits: u8, value: [u8; 4]) -> Option<Self> {
        let value = u32::from_be_bytes(value);
        (bits <= BITS_MAX && value & !mask(bits) == 0).then_some(Self { bits, value })
    }

    /// The prefix of this many bits that holds `topic`; `None` if there are more than 32 bits.
    pub fn of_topic(topic: [u8; 4], bits: u8) -> Option<Self> {
        let value = u32::from_be_bytes(topic);
        (bits <= BITS_MAX).then(|| Self {
            bits,
            value: value & mask(bits),
        })
    }

    /// How many bits are fixed.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// The fixed bits, then zeros.
    pub fn value(self) -> [u8; 4] {
        self.value.to_be_bytes()
    }

    /// Whether `topic` is in the set.
    pub fn matches(self, topic: [u8; 4]) -> bool {
        u32::from_be_bytes(topic) & mask(self.bits) == self.value
    }

    /// Whether every topic of `other` is in this set too.
    pub fn contains(self, other: Self) -> bool {
        self.bits <= other.bits && other.value & mask(self.bits) == self.value
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}/{}", self.value, self.bits)
    }
}

/// The bits that a prefix of this length fixes.
fn mask(bits: u8) -> u32 {
    u32::MAX
        .checked_shl(u32::from(BITS_MAX.saturating_sub(bits)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_too_many_bits_and_low_bits() {
        assert_eq!(Prefix::new(33, [0; 4]), None);
        assert_eq!(Prefix::new(255, [0; 4]), None);
        assert_eq!(Prefix::new(0, [0x80, 0, 0, 0]), None);
        assert_eq!(Prefix::new(5, [0x04, 0, 0, 0]), None);
        assert_eq!(Prefix::new(31, [0, 0, 0, 1]), None);
        assert!(Prefix::new(32, [0xff; 4]).is_some());
        assert_eq!(Prefix::new(0, [0; 4]), Some(Prefix::EVERYTHING));
    }

    #[test]
    fn matches_by_the_first_bits_only() {
        let five = Prefix::of_topic([0xe1, 0x24, 0x0b, 0xce], 5).unwrap();
        assert_eq!(five.value(), [0xe0, 0, 0, 0]);
        assert!(five.matches([0xe7, 0xff, 0xff, 0xff]));
        assert!(!five.matches([0xe8, 0, 0, 0]));
        let exact = Prefix::of_topic([0xe1, 0x24, 0x0b, 0xce], 32).unwrap();
        assert!(
            exact.matches([0xe1, 0x24, 0x0b, 0xce]) && !exact.matches([0xe1, 0x24, 0x0b, 0xcf])
        );
        assert!(Prefix::EVERYTHING.matches([7; 4]));
        assert!(five.contains(exact) && !exact.contains(five) && Prefix::EVERYTHING.contains(five));
    }
}
