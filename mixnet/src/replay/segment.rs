//! One part of a replay store: a table of five-byte places with linear probing, in which the fingerprint also says where it belongs.
//!
//! The order of the places is the order of the fingerprints, so that growing reads and writes memory from one end to the other.

use super::{EMPTY, FINGERPRINT_LEN, Fingerprint};

/// How the fingerprints of a store spread over its segments, and over the places of each.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    segments: usize,
}

/// How far into its segment a fingerprint belongs, in parts of 2^40.
#[derive(Clone, Copy)]
pub(super) struct Fraction(u64);

impl Spread {
    pub(super) fn over(segments: usize) -> Self {
        Self {
            segments: segments.max(1),
        }
    }

    pub(super) fn segments(self) -> usize {
        self.segments
    }

    /// The segment of a fingerprint, and how far into it.
    pub(super) fn of(self, print: Fingerprint) -> (usize, Fraction) {
        let [a, b, c, d, e] = print.0;
        let print = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        let scaled = u128::from(print) * self.segments as u128;
        let within = scaled & u128::from(u64::MAX >> (64 - BITS));
        ((scaled >> BITS) as usize, Fraction(within as u64))
    }
}

impl Fraction {
    fn of(self, places: usize) -> usize {
        ((u128::from(self.0) * places as u128) >> BITS) as usize
    }
}

/// Places with and without fingerprints.
pub(super) struct Segment {
    /// Fingerprints in ascending order, but for those that found their place taken.
    places: Vec<[u8; FINGERPRINT_LEN]>,
    len: usize,
}

impl Segment {
    pub(super) fn new() -> Self {
        Self {
            places: vec![EMPTY; PLACES_FIRST],
            len: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.places.len() * FINGERPRINT_LEN
    }

    pub(super) fn holds(&self, print: Fingerprint, at: Fraction) -> bool {
        self.find(print, at)
            .is_some_and(|at| self.places[at] == print.0)
    }

    /// Stores a fingerprint; false if it is there already. Grows when it must.
    pub(super) fn store(&mut self, print: Fingerprint, spread: Spread) -> bool {
        if self.len >= load_max(self.places.len()) {
            self.grow(spread);
        }
        let (_, at) = spread.of(print);
        match self.find(print, at) {
            Some(at) if self.places[at] == EMPTY => {
                self.places[at] = print.0;
                self.len += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The place that holds `print`, or the empty one where it belongs. The load limit keeps an empty one in every table.
    fn find(&self, print: Fingerprint, at: Fraction) -> Option<usize> {
        let mut at = at.of(self.places.len());
        for _ in 0..self.places.len() {
            let found = self.places.get(at)?;
            if *found == EMPTY || *found == print.0 {
                return Some(at);
            }
            at += 1;
            if at == self.places.len() {
                at = 0;
            }
        }
        None
    }

    /// Half as many places again: the table is never emptier than half, so that a tag never costs ten bytes.
    fn grow(&mut self, spread: Spread) {
        let places = self.places.len() / 2 * 3;
        let before = std::mem::replace(&mut self.places, vec![EMPTY; places]);
        for print in before.into_iter().filter_map(Fingerprint::from_bytes) {
            let (_, at) = spread.of(print);
            if let Some(at) = self.find(print, at) {
                self.places[at] = print.0;
            }
        }
    }
}

/// Four fifths: probes stay within a cache line or two, and a tag costs 6.3 bytes in a full table, 9.4 right after growing.
const fn load_max(places: usize) -> usize {
    places / 5 * 4
}

/// Bits of a fingerprint.
const BITS: u32 = 8 * FINGERPRINT_LEN as u32;
/// What a segment without tags has: a store for a million tags then takes 20 KiB.
const PLACES_FIRST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Fingerprints that crowd one end of the table run over into its other end.
    #[test]
    fn a_crowd_at_the_end_of_the_table_goes_round() {
        let spread = Spread::over(1);
        let mut segment = Segment::new();
        let print = |n: u8| Fingerprint([0xff, 0xff, 0xff, 0xff, n]);
        assert!((0..20).all(|n| segment.store(print(n), spread)));
        assert_ne!(segment.places[0], EMPTY);
        assert!((0..20).all(|n| !segment.store(print(n), spread)));
        assert!((20..200).all(|n| segment.store(print(n), spread)));
        assert!((0..200).all(|n| segment.holds(print(n), spread.of(print(n)).1)));
        assert!(!segment.holds(print(200), spread.of(print(200)).1));
        assert_eq!(segment.len, 200);
    }

    #[test]
    fn fingerprints_spread_in_their_order() {
        let print = |n: u64| {
            let bytes = n.to_be_bytes();
            Fingerprint([bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
        };
        let last = (1 << BITS) - 1;
        for segments in [1, 2, 3, 1000, 12_208] {
            let spread = Spread::over(segments);
            assert_eq!(spread.of(print(0)).0, 0);
            let (segment, at) = spread.of(print(last));
            assert_eq!(segment, segments - 1);
            assert_eq!(at.of(48), 47);
            let places = (0..1000).map(|n| spread.of(print(n * (last / 1000))));
            assert!(places.map(|(segment, at)| (segment, at.0)).is_sorted());
        }
    }

    #[test]
    fn a_table_of_any_size_keeps_an_empty_place() {
        let mut places = PLACES_FIRST;
        while places < 1 << 20 {
            assert!(load_max(places) < places && places / 2 * 3 > places);
            places = places / 2 * 3;
        }
    }
}
