//! Eight sums u₁·R + u₂·G on the curve y² = x³ + 7, each lane with numbers and a point of its own, and the same without u₂·G.
//!
//! ```text
//! u₁   65 digits of 4 bits, −8 to 7          picked among R, 2R, … 8R of the lane
//! u₂   33 digits of 8 bits, −128 to 127      picked among G, 2G, … 128G
//!
//! for each four bits from the top: double four times, add a digit of u₁; at every second, one of u₂ too
//! ```
//!
//! Points are Jacobian: (X / Z², Y / Z³). The formulas for a sum are wrong where both are the same point, or one is the
//! other's opposite: Z becomes 0 then, and stays 0. Whoever calls looks for that.
//!
//! u₁ may be secret: no branch and no address depends on it, all multiples are looked at for every digit. u₂ is not.

use std::arch::x86_64::{__m512i, __mmask8};
use std::sync::OnceLock;

use k256::elliptic_curve::point::AffineCoordinates as _;
use k256::{AffinePoint, ProjectivePoint};
use zeroize::Zeroizing;

use super::LANES;
use super::field::{Element, Ifma, LIMBS, Limbs, from_bytes};

/// A point in each lane.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) x: Element,
    pub(super) y: Element,
    pub(super) z: Element,
}

/// The same with Z = 1.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    pub(super) x: Element,
    pub(super) y: Element,
}

/// A point that is added often: Z² and Z³ are kept.
#[derive(Clone, Copy)]
struct Multiple {
    point: Point,
    z2: Element,
    z3: Element,
}

/// Signed digits of a number in each lane, the least first.
pub(super) struct Digits<const N: usize>(Zeroizing<[[i8; LANES]; N]>);

impl Digits<R_DIGITS> {
    /// Of four bits; the numbers are big-endian.
    pub(super) fn of_four_bits(numbers: &[[u8; 32]; LANES]) -> Digits<R_DIGITS> {
        Digits::signed(4, |lane, at| {
            (numbers[lane][31 - at / 2] >> (4 * (at % 2))) & 0x0f
        })
    }
}

impl Digits<G_DIGITS> {
    /// Of eight bits.
    pub(super) fn of_eight_bits(numbers: &[[u8; 32]; LANES]) -> Digits<G_DIGITS> {
        Digits::signed(8, |lane, at| numbers[lane][31 - at])
    }
}

impl<const N: usize> Digits<N> {
    /// What is half of the base or more becomes negative, and adds one to the next.
    fn signed(bits: u32, digit: impl Fn(usize, usize) -> u8) -> Digits<N> {
        let half = 1_i16 << (bits - 1);
        let mut digits = Zeroizing::new([[0; LANES]; N]);
        for lane in 0..LANES {
            let mut carry = 0;
            for (at, signed) in digits.iter_mut().enumerate() {
                let plain = carry
                    + if at + 1 < N {
                        i16::from(digit(lane, at))
                    } else {
                        0
                    };
                carry = (plain + half) >> bits;
                signed[lane] = (plain - (carry << bits)) as i8;
            }
        }
        Digits(digits)
    }

    #[cfg(test)]
    pub(super) fn of_lane(&self, lane: usize) -> Vec<i8> {
        self.0.iter().map(|digits| digits[lane]).collect()
    }
}

impl Ifma {
    /// u₁·R of each lane, with u₂·G if that is asked for.
    #[inline(always)]
    pub(super) fn sum_of_multiples(
        self,
        r: Affine,
        of_r: &Digits<R_DIGITS>,
        of_g: Option<&Digits<G_DIGITS>>,
    ) -> Point {
        let multiples = self.multiples(r);
        let mut sum = Point {
            x: r.x,
            y: r.y,
            z: Element::splat([0; LIMBS]),
        };
        // The lanes whose sum is not the point at infinity any more.
        let mut begun: __mmask8 = 0;
        for (at, digits) in of_r.0.iter().enumerate().rev() {
            if at + 1 < R_DIGITS {
                for _ in 0..4 {
                    sum = self.double(sum);
                }
            }
            let digits = widened(digits);
            let multiple = self.pick(&multiples, digits);
            let there = self.not_zero(digits);
            let next = self.plus(sum, &multiple);
            sum = self.went_on(sum, next, multiple.point, begun, there);
            begun |= there;
            if let Some(of_g) = of_g
                && at % 2 == 0
            {
                let digits = &of_g.0[at / 2];
                let multiple = self.pick_of_generator(multiples_of_generator(), digits);
                let there = self.not_zero(widened(digits));
                let next = self.plus_affine(sum, multiple);
                let alone = Point {
                    x: multiple.x,
                    y: multiple.y,
                    z: Element::splat(ONE),
                };
                sum = self.went_on(sum, next, alone, begun, there);
                begun |= there;
            }
        }
        sum
    }

    /// The sum where something was added, what was added where there was nothing before.
    #[inline(always)]
    fn went_on(
        self,
        old: Point,
        sum: Point,
        added: Point,
        begun: __mmask8,
        there: __mmask8,
    ) -> Point {
        let added = self.choose_point(begun, sum, added);
        self.choose_point(there, added, old)
    }

    #[inline(always)]
    fn choose_point(self, lanes: __mmask8, a: Point, b: Point) -> Point {
        Point {
            x: self.choose(lanes, a.x, b.x),
            y: self.choose(lanes, a.y, b.y),
            z: self.choose(lanes, a.z, b.z),
        }
    }

    /// R, 2R, … 8R.
    #[inline(always)]
    fn multiples(self, r: Affine) -> [Multiple; R_MULTIPLES] {
        let one = Point {
            x: r.x,
            y: r.y,
            z: Element::splat(ONE),
        };
        let mut points = [one; R_MULTIPLES];
        for at in 1..R_MULTIPLES {
            points[at] = if at % 2 == 1 {
                self.double(points[at / 2])
            } else {
                self.plus_affine(points[at - 1], r)
            };
        }
        let mut multiples = points.map(|point| Multiple {
            point,
            z2: point.z,
            z3: point.z,
        });
        for multiple in &mut multiples {
            multiple.z2 = self.square(multiple.point.z);
            multiple.z3 = self.mul(multiple.z2, multiple.point.z);
        }
        multiples
    }

    /// For each lane the multiple that its digit says; anything for 0.
    #[inline(always)]
    fn pick(self, multiples: &[Multiple; R_MULTIPLES], digits: __m512i) -> Multiple {
        let avx = self.avx512f;
        let sizes = avx._mm512_abs_epi64(digits);
        let mut picked = multiples[0];
        for (multiple, size) in multiples.iter().zip(1_u64..).skip(1) {
            let here = avx._mm512_cmpeq_epi64_mask(sizes, pulp::cast([size; LANES]));
            picked = Multiple {
                point: self.choose_point(here, multiple.point, picked.point),
                z2: self.choose(here, multiple.z2, picked.z2),
                z3: self.choose(here, multiple.z3, picked.z3),
            };
        }
        picked.point.y = self.signed(picked.point.y, digits);
        picked
    }

    /// The same among the multiples of G, which all lanes share.
    #[inline(always)]
    fn pick_of_generator(self, multiples: &[[Limbs; 2]], digits: &[i8; LANES]) -> Affine {
        let of = |lane: usize| &multiples[usize::from(digits[lane].unsigned_abs().max(1)) - 1];
        let y = Element::of_lanes(&std::array::from_fn(|lane| of(lane)[1]));
        Affine {
            x: Element::of_lanes(&std::array::from_fn(|lane| of(lane)[0])),
            y: self.signed(y, widened(digits)),
        }
    }

    /// −y where the digit is below 0.
    #[inline(always)]
    fn signed(self, y: Element, digits: __m512i) -> Element {
        let avx = self.avx512f;
        let below = avx._mm512_cmplt_epi64_mask(digits, avx._mm512_setzero_si512());
        self.choose(below, self.negated(y), y)
    }

    /// The lanes whose digit is not 0.
    #[inline(always)]
    fn not_zero(self, digits: __m512i) -> __mmask8 {
        self.avx512f._mm512_test_epi64_mask(digits, digits)
    }

    #[inline(always)]
    fn double(self, Point { x, y, z }: Point) -> Point {
        let y2 = self.square(y);
        let s = self.shifted::<2>(self.mul(x, y2));
        let m = self.triple(self.square(x));
        let x3 = self.sub_shifted::<1>(self.square(m), s);
        let y3 = self.mul(m, self.sub(s, x3));
        Point {
            x: x3,
            y: self.sub_shifted::<3>(y3, self.square(y2)),
            z: self.shifted::<1>(self.mul(y, z)),
        }
    }

    /// a + b, two points that are neither the same nor opposite.
    #[inline(always)]
    fn plus(self, a: Point, b: &Multiple) -> Point {
        let z2 = self.square(a.z);
        let u1 = self.mul(a.x, b.z2);
        let u2 = self.mul(b.point.x, z2);
        let s1 = self.mul(a.y, b.z3);
        let s2 = self.mul(b.point.y, self.mul(z2, a.z));
        let z = self.mul(a.z, b.point.z);
        self.chord(z, u1, s1, u2, s2)
    }

    /// The same with a point whose Z is 1.
    #[inline(always)]
    fn plus_affine(self, a: Point, b: Affine) -> Point {
        let z2 = self.square(a.z);
        let u2 = self.mul(b.x, z2);
        let s2 = self.mul(b.y, self.mul(z2, a.z));
        self.chord(a.z, a.x, a.y, u2, s2)
    }

    /// The third point of the line through (u1, s1) and (u2, s2), turned over, where both have this Z.
    #[inline(always)]
    fn chord(self, z: Element, u1: Element, s1: Element, u2: Element, s2: Element) -> Point {
        let (h, r) = (self.sub(u2, u1), self.sub(s2, s1));
        let h2 = self.square(h);
        let h3 = self.mul(h2, h);
        let v = self.mul(u1, h2);
        let x = self.sub_shifted::<1>(self.sub(self.square(r), h3), v);
        let y = self.mul(r, self.sub(v, x));
        Point {
            x,
            y: self.sub(y, self.mul(s1, h3)),
            z: self.mul(z, h),
        }
    }

    /// x³ + 7.
    #[inline(always)]
    pub(super) fn right_side(self, x: Element) -> Element {
        let cube = self.mul(self.square(x), x);
        self.add(cube, Element::splat([7, 0, 0, 0, 0]))
    }
}

#[inline(always)]
fn widened(digits: &[i8; LANES]) -> __m512i {
    pulp::cast([
        i64::from(digits[0]),
        i64::from(digits[1]),
        i64::from(digits[2]),
        i64::from(digits[3]),
        i64::from(digits[4]),
        i64::from(digits[5]),
        i64::from(digits[6]),
        i64::from(digits[7]),
    ])
}

/// G, 2G, … 128G, made when they are first needed.
fn multiples_of_generator() -> &'static [[Limbs; 2]] {
    static MULTIPLES: OnceLock<Vec<[Limbs; 2]>> = OnceLock::new();
    MULTIPLES.get_or_init(|| {
        let next = |point: &ProjectivePoint| Some(*point + ProjectivePoint::GENERATOR);
        std::iter::successors(Some(ProjectivePoint::GENERATOR), next)
            .take(G_MULTIPLES)
            .map(|point| {
                let point: AffinePoint = point.to_affine();
                [point.x(), point.y()].map(|bytes| from_bytes(&bytes.into()))
            })
            .collect()
    })
}

const ONE: Limbs = [1, 0, 0, 0, 0];
/// Digits of four bits in a number, with what the last one carries.
pub(super) const R_DIGITS: usize = 65;
/// The same of eight bits.
pub(super) const G_DIGITS: usize = 33;
/// The largest digits without their signs.
const R_MULTIPLES: usize = 8;
const G_MULTIPLES: usize = 128;
