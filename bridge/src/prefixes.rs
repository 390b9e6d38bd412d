//! Sets of topic prefixes: how they are stored, and how a set is made to fit a registration.

use std::collections::BTreeSet;

use crate::gateway::request::FILTERS_MAX;
use crate::port::Prefix;

/// A prefix as a number: `bits << 32 | value`.
pub(crate) fn pack(prefix: Prefix) -> u64 {
    u64::from(prefix.bits()) << 32 | u64::from(u32::from_be_bytes(prefix.value()))
}

/// The prefix of a number.
pub(crate) fn unpack(packed: u64) -> Option<Prefix> {
    let bits = u8::try_from(packed >> 32).ok()?;
    let value = u32::try_from(packed & u64::from(u32::MAX)).ok()?;
    Prefix::new(bits, value.to_be_bytes())
}

/// The same set in order, without what another prefix contains, and with shorter prefixes if there are too many for one
/// registration: it then takes in more topics, never fewer.
pub(crate) fn fitting(prefixes: &[Prefix]) -> Vec<Prefix> {
    let mut set: BTreeSet<Prefix> = prefixes.iter().copied().collect();
    loop {
        let least: Vec<Prefix> = set
            .iter()
            .filter(|prefix| {
                !set.iter()
                    .any(|other| other != *prefix && other.contains(**prefix))
            })
            .copied()
            .collect();
        let longest = least.iter().map(|prefix| prefix.bits()).max().unwrap_or(0);
        if least.len() as u64 <= FILTERS_MAX || longest == 0 {
            return least;
        }
        let shorter = |prefix: &Prefix| {
            let bits = prefix.bits().min(longest - 1);
            Prefix::of_topic(prefix.value(), bits).unwrap_or(Prefix::EVERYTHING)
        };
        set = least.iter().map(shorter).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(bits: u8, first: u8) -> Prefix {
        Prefix::of_topic([first, 0, 0, 0], bits).unwrap()
    }

    #[test]
    fn numbers_come_back() {
        for bits in 0..=32 {
            let prefix = Prefix::of_topic([0xde, 0xad, 0xbe, 0xef], bits).unwrap();
            assert_eq!(unpack(pack(prefix)), Some(prefix));
        }
        assert_eq!(unpack(33 << 32), None);
        assert_eq!(unpack(1), None, "a bit beyond the prefix");
        assert_eq!(unpack(u64::MAX), None);
    }

    #[test]
    fn what_is_contained_goes() {
        let set = [
            prefix(8, 0xe1),
            prefix(5, 0xe0),
            prefix(8, 0x10),
            prefix(8, 0x10),
        ];
        assert_eq!(fitting(&set), [prefix(5, 0xe0), prefix(8, 0x10)]);
        assert_eq!(fitting(&[]), []);
    }

    #[test]
    fn a_large_set_covers_at_least_the_same_topics() {
        let set: Vec<Prefix> = (0..=255u8)
            .step_by(2)
            .map(|first| prefix(8, first))
            .collect();
        let fits = fitting(&set);
        assert!(fits.len() <= 64, "{}", fits.len());
        for prefix in set {
            assert!(fits.iter().any(|wide| wide.contains(prefix)), "{prefix:?}");
        }
    }
}
