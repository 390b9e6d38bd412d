//! One part of a replay store: a table of buckets, each of one cache line, in which the fingerprint also says where it belongs.
//!
//! ```text
//! bucket 64 = fingerprint 5 × 12, from the first place on ‖ zeros 4
//! ```
//!
//! A look-up waits for memory once, and compares all places of the bucket without a branch, so that the next look-up need not wait for
//! it; only when the bucket is full it goes on to the next one. The order of the buckets is the order of the fingerprints, so that
//! growing reads and writes memory from one end to the other.

use super::{FINGERPRINT_LEN, Fingerprint};

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
        let within = scaled & u128::from(MASK);
        ((scaled >> BITS) as usize, Fraction(within as u64))
    }
}

impl Fraction {
    fn of(self, places: usize) -> usize {
        ((u128::from(self.0) * places as u128) >> BITS) as usize
    }
}

/// Fingerprints that come with one access to memory.
#[derive(Clone)]
#[repr(align(64))]
struct Bucket([u8; BUCKET_LEN]);

impl Bucket {
    const NEW: Self = Self([0; BUCKET_LEN]);

    /// The fingerprint at a place as a number, 0 for none.
    fn at(&self, place: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[place * FINGERPRINT_LEN..][..8]);
        u64::from_le_bytes(word) & MASK
    }

    fn holds(&self, print: u64) -> bool {
        (0..PLACES).fold(false, |held, place| held | (self.at(place) == print))
    }

    fn is_full(&self) -> bool {
        self.at(PLACES - 1) != 0
    }

    /// Into the first free place of a bucket that is not full.
    fn push(&mut self, print: Fingerprint) {
        let taken = (0..PLACES).filter(|place| self.at(*place) != 0).count();
        self.0[taken * FINGERPRINT_LEN..][..FINGERPRINT_LEN].copy_from_slice(&print.0);
    }

    fn prints(&self) -> impl Iterator<Item = Fingerprint> {
        let (prints, _) = self.0[..PLACES * FINGERPRINT_LEN].as_chunks();
        prints.iter().copied().map_while(Fingerprint::from_bytes)
    }
}

/// Buckets, and how many fingerprints they hold.
pub(super) struct Segment {
    /// Fingerprints in ascending order of buckets, but for those that found their bucket full.
    buckets: Vec<Bucket>,
    len: usize,
}

/// What there is of a fingerprint.
enum Found {
    Held,
    /// It belongs into this bucket, which has room.
    Room(usize),
}

impl Segment {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![Bucket::NEW; BUCKETS_FIRST],
            len: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.buckets.len() * BUCKET_LEN
    }

    pub(super) fn holds(&self, print: Fingerprint, at: Fraction) -> bool {
        matches!(self.find(print, at), Some(Found::Held))
    }

    /// Stores a fingerprint; false if it is there already. Grows when it must.
    pub(super) fn store(&mut self, print: Fingerprint, spread: Spread) -> bool {
        if self.len >= load_max(self.buckets.len()) {
            self.grow(spread);
        }
        let (_, at) = spread.of(print);
        let stored = self.put(print, at);
        self.len += usize::from(stored);
        stored
    }

    fn put(&mut self, print: Fingerprint, at: Fraction) -> bool {
        match self.find(print, at) {
            Some(Found::Room(at)) => {
                self.buckets[at].push(print);
                true
            }
            Some(Found::Held) | None => false,
        }
    }

    /// Looks from the bucket of `print` to the first one with room. The load limit keeps one in every table.
    fn find(&self, print: Fingerprint, at: Fraction) -> Option<Found> {
        let number = print.number();
        let mut at = at.of(self.buckets.len());
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(at)?;
            if bucket.holds(number) {
                return Some(Found::Held);
            }
            if !bucket.is_full() {
                return Some(Found::Room(at));
            }
            at += 1;
            if at == self.buckets.len() {
                at = 0;
            }
        }
        None
    }

    /// Half as many buckets again: the table is never emptier than half, so that a tag never costs eleven bytes.
    fn grow(&mut self, spread: Spread) {
        let buckets = grown(self.buckets.len());
        let before = std::mem::replace(&mut self.buckets, vec![Bucket::NEW; buckets]);
        for print in before.iter().flat_map(Bucket::prints) {
            let (_, at) = spread.of(print);
            self.put(print, at);
        }
    }
}

impl Fingerprint {
    /// As [`Bucket::at`] reads it.
    fn number(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }
}

/// Fingerprints that a table of so many buckets takes, four fifths of its places: one bucket in six is full when the table is about to
/// grow, and a tag costs 6.7 bytes then, 10 right after growing.
const fn load_max(buckets: usize) -> usize {
    buckets * PLACES / 5 * 4
}

const fn grown(buckets: usize) -> usize {
    buckets + buckets / 2
}

/// Bits of a fingerprint.
const BITS: u32 = 8 * FINGERPRINT_LEN as u32;
const MASK: u64 = u64::MAX >> (64 - BITS);
/// A cache line.
const BUCKET_LEN: usize = 64;
/// Places of a bucket. A number is read with three bytes that follow its place.
const PLACES: usize = 12;
/// What a segment without tags has: a store for a million tags then takes 36 KiB.
const BUCKETS_FIRST: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Fingerprints that crowd one end of the table run over into its other end.
    #[test]
    fn a_crowd_at_the_end_of_the_table_goes_round() {
        let spread = Spread::over(1);
        let mut segment = Segment::new();
        let print = |n: u8| Fingerprint([0xff, 0xff, 0xff, 0xff, n]);
        assert!((0..20).all(|n| segment.store(print(n), spread)));
        assert_ne!(segment.buckets[0].at(0), 0);
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
    fn a_table_of_any_size_keeps_an_empty_place_and_grows_by_no_more_than_half() {
        let mut buckets = BUCKETS_FIRST;
        while buckets < 1 << 20 {
            assert!(load_max(buckets) < buckets * PLACES);
            assert!(buckets < grown(buckets) && 2 * grown(buckets) <= 3 * buckets);
            buckets = grown(buckets);
        }
    }

    /// Every place, and no mixture of two neighbours.
    #[test]
    fn a_bucket_holds_what_was_pushed_and_nothing_else() {
        let print = |n: u8| Fingerprint([n, 0, n + 1, 0, n + 2]);
        let mut bucket = Bucket::NEW;
        for n in 0..PLACES as u8 {
            assert!(!bucket.is_full() && !bucket.holds(print(3 * n).number()));
            bucket.push(print(3 * n));
            assert!((0..=n).all(|n| bucket.holds(print(3 * n).number())));
        }
        assert!(bucket.is_full());
        assert_eq!(bucket.prints().count(), PLACES);
        assert!(
            (bucket.0[PLACES * FINGERPRINT_LEN..])
                .iter()
                .all(|byte| *byte == 0)
        );
        let bytes = bucket.0;
        for (at, window) in bytes.windows(FINGERPRINT_LEN).enumerate() {
            let other = Fingerprint(window.try_into().unwrap());
            let held = at % FINGERPRINT_LEN == 0 && at < PLACES * FINGERPRINT_LEN;
            assert_eq!(bucket.holds(other.number()), held, "{at}");
        }
    }
}
