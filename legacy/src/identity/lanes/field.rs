//! Eight elements of the field of secp256k1 side by side, p = 2²⁵⁶ − 2³² − 977.
//!
//! ```text
//! limb 0   lane 0 │ lane 1 │ … │ lane 7        52 bits of each, one vector register
//! …
//! limb 3   lane 0 │ lane 1 │ … │ lane 7
//! limb 4   lane 0 │ lane 1 │ … │ lane 7        48 bits, and up to four more
//! ```
//!
//! The multiplier of AVX-512 IFMA takes 52 bits and drops what is above, so that every element leaves an operation with
//! limbs that fit. Only [`Element::to_lanes`] reduces to below p. No branch and no address depends on what a lane holds, but
//! for the last subtraction of p, which one number in 2²²³ needs.

use std::arch::x86_64::{__m512i, __mmask8};

use super::LANES;

pulp::simd_type! {
    /// The instructions that are needed, known to be there.
    pub(crate) struct Ifma {
        pub(crate) avx512f: "avx512f",
        pub(crate) avx512ifma: "avx512ifma",
    }
}

/// One element of the field, least limb first.
pub(super) type Limbs = [u64; LIMBS];
pub(super) const LIMBS: usize = 5;

/// An element in each lane.
#[derive(Clone, Copy)]
pub(super) struct Element(pub(super) [__m512i; LIMBS]);

impl Element {
    /// The same in every lane.
    #[inline(always)]
    pub(super) fn splat(limbs: Limbs) -> Element {
        Element([
            pulp::cast([limbs[0]; LANES]),
            pulp::cast([limbs[1]; LANES]),
            pulp::cast([limbs[2]; LANES]),
            pulp::cast([limbs[3]; LANES]),
            pulp::cast([limbs[4]; LANES]),
        ])
    }

    /// One for each lane; they must be reduced, or nearly.
    #[inline(always)]
    pub(super) fn of_lanes(lanes: &[Limbs; LANES]) -> Element {
        let column =
            |limb: usize| -> [u64; LANES] { std::array::from_fn(|lane| lanes[lane][limb]) };
        Element(std::array::from_fn(|limb| pulp::cast(column(limb))))
    }

    /// What each lane holds, below p.
    #[inline(always)]
    pub(super) fn to_lanes(self) -> [Limbs; LANES] {
        let columns: [[u64; LANES]; LIMBS] = self.0.map(pulp::cast);
        std::array::from_fn(|lane| reduced(columns.map(|column| column[lane])))
    }
}

/// What has limbs that are too long.
type Wide = [__m512i; LIMBS];

/// One operation on each limb. A closure would not become part of the function that may use the instructions.
macro_rules! each {
    ($on:ident.$op:ident$(::<$by:ident>)?; $($of:expr),*) => {
        [
            $on.$op$(::<$by>)?($($of[0]),*),
            $on.$op$(::<$by>)?($($of[1]),*),
            $on.$op$(::<$by>)?($($of[2]),*),
            $on.$op$(::<$by>)?($($of[3]),*),
            $on.$op$(::<$by>)?($($of[4]),*),
        ]
    };
}

impl Ifma {
    #[inline(always)]
    fn low(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        self.avx512ifma._mm512_madd52lo_epu64(sum, a, b)
    }

    #[inline(always)]
    fn high(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        self.avx512ifma._mm512_madd52hi_epu64(sum, a, b)
    }

    /// Brings the limbs to their lengths. They may have 58 bits: then 2²⁵⁶ fits 1,024 times at most, and comes back
    /// as that many times 2³² + 977.
    #[inline(always)]
    fn carried(self, mut a: Wide) -> Element {
        let avx = self.avx512f;
        let (limb, last) = (
            pulp::cast([LIMB_MASK; LANES]),
            pulp::cast([LAST_MASK; LANES]),
        );
        let above = avx._mm512_srli_epi64::<48>(a[4]);
        a[4] = avx._mm512_and_si512(a[4], last);
        a[0] = self.low(a[0], above, pulp::cast([FOLD; LANES]));
        macro_rules! carry {
            ($($at:literal $next:literal),*) => {$(
                a[$next] = avx._mm512_add_epi64(a[$next], avx._mm512_srli_epi64::<52>(a[$at]));
                a[$at] = avx._mm512_and_si512(a[$at], limb);
            )*};
        }
        carry!(0 1, 1 2, 2 3, 3 4);
        Element(a)
    }

    #[inline(always)]
    fn added(self, a: Wide, b: Wide) -> Wide {
        let avx = self.avx512f;
        each!(avx._mm512_add_epi64; a, b)
    }

    #[inline(always)]
    fn taken(self, a: Wide, b: Wide) -> Wide {
        let avx = self.avx512f;
        each!(avx._mm512_sub_epi64; a, b)
    }

    #[inline(always)]
    fn moved<const BY: u32>(self, a: Wide) -> Wide {
        let avx = self.avx512f;
        each!(avx._mm512_slli_epi64::<BY>; a)
    }

    #[inline(always)]
    pub(super) fn add(self, a: Element, b: Element) -> Element {
        self.carried(self.added(a.0, b.0))
    }

    /// a − b.
    #[inline(always)]
    pub(super) fn sub(self, a: Element, b: Element) -> Element {
        self.carried(self.taken(self.added(a.0, Element::splat(TWICE_P).0), b.0))
    }

    #[inline(always)]
    pub(super) fn negated(self, a: Element) -> Element {
        self.carried(self.taken(Element::splat(TWICE_P).0, a.0))
    }

    /// a − 2ⁿ·b, n up to 3.
    #[inline(always)]
    pub(super) fn sub_shifted<const N: u32>(self, a: Element, b: Element) -> Element {
        let a = self.added(a.0, self.moved::<N>(Element::splat(TWICE_P).0));
        self.carried(self.taken(a, self.moved::<N>(b.0)))
    }

    /// a · 2ⁿ, n up to 3.
    #[inline(always)]
    pub(super) fn shifted<const N: u32>(self, a: Element) -> Element {
        self.carried(self.moved::<N>(a.0))
    }

    #[inline(always)]
    pub(super) fn triple(self, a: Element) -> Element {
        self.carried(self.added(a.0, self.moved::<1>(a.0)))
    }

    /// a where the bit of the lane is set, b elsewhere.
    #[inline(always)]
    pub(super) fn choose(self, lanes: __mmask8, a: Element, b: Element) -> Element {
        let avx = self.avx512f;
        let (a, b) = (a.0, b.0);
        Element([
            avx._mm512_mask_blend_epi64(lanes, b[0], a[0]),
            avx._mm512_mask_blend_epi64(lanes, b[1], a[1]),
            avx._mm512_mask_blend_epi64(lanes, b[2], a[2]),
            avx._mm512_mask_blend_epi64(lanes, b[3], a[3]),
            avx._mm512_mask_blend_epi64(lanes, b[4], a[4]),
        ])
    }

    /// a · b.
    #[inline(always)]
    pub(super) fn mul(self, a: Element, b: Element) -> Element {
        let (a, b) = (a.0, b.0);
        let mut c = [self.avx512f._mm512_setzero_si512(); 2 * LIMBS];
        macro_rules! row {
            ($($i:literal: $($j:literal)*;)*) => {$($(
                c[$i + $j] = self.low(c[$i + $j], a[$i], b[$j]);
                c[$i + $j + 1] = self.high(c[$i + $j + 1], a[$i], b[$j]);
            )*)*};
        }
        row!(0: 0 1 2 3 4; 1: 0 1 2 3 4; 2: 0 1 2 3 4; 3: 0 1 2 3 4; 4: 0 1 2 3 4;);
        self.folded(c)
    }

    /// a².
    #[inline(always)]
    pub(super) fn square(self, a: Element) -> Element {
        let (avx, a) = (self.avx512f, a.0);
        let mut c = [avx._mm512_setzero_si512(); 2 * LIMBS];
        macro_rules! row {
            ($($i:literal: $($j:literal)*;)*) => {$($(
                c[$i + $j] = self.low(c[$i + $j], a[$i], a[$j]);
                c[$i + $j + 1] = self.high(c[$i + $j + 1], a[$i], a[$j]);
            )*)*};
        }
        row!(0: 1 2 3 4; 1: 2 3 4; 2: 3 4; 3: 4;);
        macro_rules! twice {
            ($($at:literal)*) => {$(c[$at] = avx._mm512_add_epi64(c[$at], c[$at]);)*};
        }
        twice!(1 2 3 4 5 6 7 8);
        row!(0: 0; 1: 1; 2: 2; 3: 3; 4: 4;);
        self.folded(c)
    }

    /// A product, ten columns of at most 57 bits, modulo p.
    #[inline(always)]
    fn folded(self, mut c: [__m512i; 2 * LIMBS]) -> Element {
        let avx = self.avx512f;
        let (limb, fold) = (
            pulp::cast([LIMB_MASK; LANES]),
            pulp::cast([FOLD << 4; LANES]),
        );
        macro_rules! carry {
            ($($at:literal $next:literal),*) => {$(
                c[$next] = avx._mm512_add_epi64(c[$next], avx._mm512_srli_epi64::<52>(c[$at]));
                c[$at] = avx._mm512_and_si512(c[$at], limb);
            )*};
        }
        carry!(0 1, 1 2, 2 3, 3 4, 4 5, 5 6, 6 7, 7 8, 8 9);
        // 2²⁶⁰ is 16 · (2³² + 977).
        let mut a = [c[0], c[1], c[2], c[3], c[4]];
        macro_rules! fold {
            ($($from:literal $to:literal $next:literal),*) => {$(
                a[$to] = self.low(a[$to], c[$from], fold);
                a[$next] = self.high(a[$next], c[$from], fold);
            )*};
        }
        fold!(5 0 1, 6 1 2, 7 2 3, 8 3 4);
        a[4] = self.low(a[4], c[9], fold);
        let above = self.high(avx._mm512_setzero_si512(), c[9], fold);
        a[0] = self.low(a[0], above, fold);
        a[1] = self.high(a[1], above, fold);
        self.carried(a)
    }

    /// a squared n times.
    #[inline(always)]
    fn square_times(self, mut a: Element, n: u32) -> Element {
        for _ in 0..n {
            a = self.square(a);
        }
        a
    }

    /// a to the 2²²³ − 1, the 2²² − 1 and the 3, from which both powers below begin.
    #[inline(always)]
    fn runs_of_ones(self, a: Element) -> (Element, Element, Element) {
        macro_rules! join {
            ($left:expr, $by:literal, $right:expr) => {
                self.mul(self.square_times($left, $by), $right)
            };
        }
        let x2 = join!(a, 1, a);
        let x3 = join!(x2, 1, a);
        let x6 = join!(x3, 3, x3);
        let x9 = join!(x6, 3, x3);
        let x11 = join!(x9, 2, x2);
        let x22 = join!(x11, 11, x11);
        let x44 = join!(x22, 22, x22);
        let x88 = join!(x44, 44, x44);
        let x176 = join!(x88, 88, x88);
        let x220 = join!(x176, 44, x44);
        (join!(x220, 3, x3), x22, x2)
    }

    /// A square root where there is one: a to the (p + 1) / 4.
    #[inline(always)]
    pub(super) fn root(self, a: Element) -> Element {
        let (x223, x22, x2) = self.runs_of_ones(a);
        let a = self.mul(self.square_times(x223, 23), x22);
        let a = self.mul(self.square_times(a, 6), x2);
        self.square_times(a, 2)
    }

    /// 1 / a, and 0 for 0: a to the p − 2.
    #[inline(always)]
    pub(super) fn inverse(self, a: Element) -> Element {
        let (x223, x22, x2) = self.runs_of_ones(a);
        let b = self.mul(self.square_times(x223, 23), x22);
        let b = self.mul(self.square_times(b, 5), a);
        let b = self.mul(self.square_times(b, 3), x2);
        self.mul(self.square_times(b, 2), a)
    }
}

/// An element from 32 bytes, big-endian. It is not reduced.
pub(super) fn from_bytes(bytes: &[u8; 32]) -> Limbs {
    let (words, _) = bytes.as_chunks::<8>();
    let word = |at: usize| u64::from_be_bytes(words[3 - at]);
    let (a, b, c, d) = (word(0), word(1), word(2), word(3));
    [
        a & LIMB_MASK,
        (a >> 52 | b << 12) & LIMB_MASK,
        (b >> 40 | c << 24) & LIMB_MASK,
        (c >> 28 | d << 36) & LIMB_MASK,
        d >> 16,
    ]
}

/// The same back; the element must be below p.
pub(super) fn to_bytes(limbs: &Limbs) -> [u8; 32] {
    let [a, b, c, d, e] = *limbs;
    let words = [
        e << 16 | d >> 36,
        d << 28 | c >> 24,
        c << 40 | b >> 12,
        b << 52 | a,
    ];
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

/// What has limbs of the right lengths but for the last, below p.
fn reduced(mut limbs: Limbs) -> Limbs {
    let carry = |limbs: &mut Limbs| {
        for at in 0..LIMBS - 1 {
            limbs[at + 1] += limbs[at] >> 52;
            limbs[at] &= LIMB_MASK;
        }
    };
    // What is above 2²⁵⁶, and then one p at most.
    limbs[0] += (limbs[4] >> 48) * FOLD;
    limbs[4] &= LAST_MASK;
    carry(&mut limbs);
    let mut less = limbs;
    less[0] += FOLD;
    carry(&mut less);
    if less[4] >> 48 == 0 {
        return limbs;
    }
    less[4] &= LAST_MASK;
    less
}

/// 2²⁵⁶ modulo p.
const FOLD: u64 = (1 << 32) + 977;
const LIMB_MASK: u64 = (1 << 52) - 1;
const LAST_MASK: u64 = (1 << 48) - 1;
/// 2p, each limb by itself: no limb of an element is larger.
const TWICE_P: Limbs = [
    2 * (LIMB_MASK + 1 - FOLD),
    2 * LIMB_MASK,
    2 * LIMB_MASK,
    2 * LIMB_MASK,
    2 * LAST_MASK,
];
