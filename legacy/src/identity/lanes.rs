//! Eight signers found out, or eight keys agreed on, side by side, where the processor has AVX-512 with its multiplier of 52
//! bits (IFMA).
//!
//! ```text
//! Q = r⁻¹·(s·R − z·G)      who signed: R the point whose x is r and whose y is odd or even as v says, z the digest
//! S = k·R                  what is agreed on: k ours, R theirs
//! ```
//!
//! Whoever calls asks with `None` in mind: without those instructions, and for what is out of the ordinary (a number out of
//! range, no point with that x, an id of 2 or 3, a sum that is none), there is no answer. The library has it then, one at a
//! time, and knows what is wrong. Spec: SEC 1, 3.3.1 and 4.1.6.

mod curve;
mod field;

use std::arch::x86_64::__mmask8;

use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::ops::Reduce as _;
use k256::{FieldBytes, Scalar};
use zeroize::Zeroizing;

use self::curve::{Affine, Digits, G_DIGITS, R_DIGITS};
use self::field::{Element, Ifma, LIMBS, Limbs};
use super::{PUBLIC_KEY_LEN, PublicKey, SecretKey, Signed};

/// How many there are.
pub(super) const LANES: usize = 8;

/// X ‖ Y of up to eight signers, in their order.
pub(super) fn recover(signed: &[Signed<'_>]) -> Option<[Option<[u8; PUBLIC_KEY_LEN]>; LANES]> {
    let simd = Ifma::try_new()?;
    let read: [Option<Numbers>; LANES] =
        std::array::from_fn(|lane| signed.get(lane).and_then(Numbers::read));
    let numbers = read.map(|numbers| numbers.unwrap_or(Numbers::ANY));
    let (of_r, of_g) = factors(&numbers);
    let points = simd.vectorize(Signers {
        simd,
        xs: &numbers.map(|numbers| numbers.x),
        odd: mask(|lane| numbers[lane].odd),
        of_r: &of_r,
        of_g: &of_g,
    });
    Some(std::array::from_fn(|lane| read[lane].and(points[lane])))
}

/// The x of up to eight agreements, in their order.
pub(super) fn agree(
    pairs: &[(&SecretKey, &PublicKey)],
) -> Option<[Option<Zeroizing<[u8; 32]>>; LANES]> {
    let simd = Ifma::try_new()?;
    // Lanes that are not needed compute with the first.
    let first = *pairs.first()?;
    let pairs = std::array::from_fn(|lane| *pairs.get(lane).unwrap_or(&first));
    let mut secrets = Zeroizing::new([[0; 32]; LANES]);
    for (bytes, (secret, _)) in secrets.iter_mut().zip(&pairs) {
        *bytes = *secret.to_bytes();
    }
    let points = pairs.map(|(_, public)| halves(&public.to_bytes()));
    Some(simd.vectorize(Agreements {
        simd,
        points: &points.map(|halves| halves.map(|half| field::from_bytes(&half))),
        secrets: &Digits::of_four_bits(&secrets),
    }))
}

fn halves(bytes: &[u8; PUBLIC_KEY_LEN]) -> [[u8; 32]; 2] {
    let (halves, _) = bytes.as_chunks();
    [halves[0], halves[1]]
}

/// The lanes of which something is true.
fn mask(is: impl Fn(usize) -> bool) -> __mmask8 {
    (0..LANES).fold(0, |mask, lane| mask | u8::from(is(lane)) << lane)
}

/// What a signature says, if there is nothing unusual about it.
#[derive(Clone, Copy)]
struct Numbers {
    x: Limbs,
    odd: bool,
    r: Scalar,
    s: Scalar,
    z: Scalar,
}

impl Numbers {
    /// What a lane computes with that has nothing to find out.
    const ANY: Numbers = Numbers {
        x: [1, 0, 0, 0, 0],
        odd: false,
        r: Scalar::ONE,
        s: Scalar::ONE,
        z: Scalar::ONE,
    };

    fn read(&(digest, signature): &Signed<'_>) -> Option<Numbers> {
        let (halves, v) = signature.as_chunks::<32>();
        let odd = match v {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let number = |bytes: &[u8; 32]| {
            let number: Option<Scalar> = Scalar::from_repr((*bytes).into()).into();
            number.filter(|number| !bool::from(number.is_zero()))
        };
        Some(Numbers {
            x: field::from_bytes(&halves[0]),
            odd,
            r: number(&halves[0])?,
            s: number(&halves[1])?,
            z: Scalar::reduce(&FieldBytes::from(*digest)),
        })
    }
}

/// s / r and −z / r of each. One inversion serves all: the inverse of the product of all r, times the other seven, is that of
/// one.
fn factors(numbers: &[Numbers; LANES]) -> (Digits<R_DIGITS>, Digits<G_DIGITS>) {
    let mut product = Scalar::ONE;
    let before = numbers.map(|numbers| {
        let before = product;
        product *= numbers.r;
        before
    });
    // No r is 0.
    let mut inverse = product.invert_vartime().unwrap_or(Scalar::ONE);
    let mut inverses = before;
    for (one, numbers) in inverses.iter_mut().zip(numbers).rev() {
        *one *= inverse;
        inverse *= numbers.r;
    }
    let of_r = |lane: usize| (numbers[lane].s * inverses[lane]).to_bytes().into();
    let of_g = |lane: usize| (-(numbers[lane].z * inverses[lane])).to_bytes().into();
    (
        Digits::of_four_bits(&std::array::from_fn(of_r)),
        Digits::of_eight_bits(&std::array::from_fn(of_g)),
    )
}

/// X ‖ Y of each sum, where there is one.
struct Signers<'a> {
    simd: Ifma,
    /// The x of each R, and the lanes whose y is odd.
    xs: &'a [Limbs; LANES],
    odd: __mmask8,
    of_r: &'a Digits<R_DIGITS>,
    of_g: &'a Digits<G_DIGITS>,
}

impl pulp::NullaryFnOnce for Signers<'_> {
    type Output = [Option<[u8; PUBLIC_KEY_LEN]>; LANES];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let simd = self.simd;
        let x = Element::of_lanes(self.xs);
        let right = simd.right_side(x);
        let y = simd.root(right);
        let (left, right) = (simd.square(y).to_lanes(), right.to_lanes());
        let ys = y.to_lanes();
        let odd = mask(|lane| ys[lane][0] & 1 == 1);
        let y = simd.choose(odd ^ self.odd, simd.negated(y), y);
        let sum = simd.sum_of_multiples(Affine { x, y }, self.of_r, Some(self.of_g));
        let inverse = simd.inverse(sum.z);
        let inverse_2 = simd.square(inverse);
        let x = simd.mul(sum.x, inverse_2).to_lanes();
        let y = simd.mul(sum.y, simd.mul(inverse_2, inverse)).to_lanes();
        let z = sum.z.to_lanes();
        std::array::from_fn(|lane| {
            let found = left[lane] == right[lane] && z[lane] != [0; LIMBS];
            found.then(|| {
                let mut bytes = [0; PUBLIC_KEY_LEN];
                bytes[..32].copy_from_slice(&field::to_bytes(&x[lane]));
                bytes[32..].copy_from_slice(&field::to_bytes(&y[lane]));
                bytes
            })
        })
    }
}

/// X of each product.
struct Agreements<'a> {
    simd: Ifma,
    /// The x and y of each R.
    points: &'a [[Limbs; 2]; LANES],
    secrets: &'a Digits<R_DIGITS>,
}

impl pulp::NullaryFnOnce for Agreements<'_> {
    type Output = [Option<Zeroizing<[u8; 32]>>; LANES];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let simd = self.simd;
        let r = Affine {
            x: Element::of_lanes(&self.points.map(|[x, _]| x)),
            y: Element::of_lanes(&self.points.map(|[_, y]| y)),
        };
        let product = simd.sum_of_multiples(r, self.secrets, None);
        let inverse = simd.inverse(product.z);
        let x = Zeroizing::new(simd.mul(product.x, simd.square(inverse)).to_lanes());
        let z = Zeroizing::new(product.z.to_lanes());
        std::array::from_fn(|lane| {
            let found = z[lane] != [0; LIMBS];
            found.then(|| Zeroizing::new(field::to_bytes(&x[lane])))
        })
    }
}

#[cfg(test)]
mod tests;
