#![allow(clippy::unwrap_used)]

use k256::elliptic_curve::bigint::{NonZero, U256};
use proptest::prelude::*;

use super::super::{KeyError, PublicKey, SIGNATURE_LEN, SecretKey};
use super::*;
use crate::keccak::keccak256;

type Owned = ([u8; 32], [u8; SIGNATURE_LEN]);

const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
const PRIME: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
const FOLD: u64 = (1 << 32) + 977;

/// Both ways, which must agree, and what the lanes alone find.
fn check(signed: &[Owned]) -> Vec<Result<PublicKey, KeyError>> {
    let borrowed: Vec<Signed<'_>> = signed
        .iter()
        .map(|(digest, signature)| (digest, signature))
        .collect();
    let one_by_one: Vec<_> = borrowed
        .iter()
        .map(|(digest, signature)| PublicKey::recover(digest, signature))
        .collect();
    assert_eq!(PublicKey::recover_each(&borrowed), one_by_one);
    for (some, expected) in borrowed.chunks(LANES).zip(one_by_one.chunks(LANES)) {
        for (found, expected) in recover(some).unwrap_or_default().iter().zip(expected) {
            if let Some(found) = found {
                assert_eq!(expected.map(|key| key.to_bytes()), Ok(*found));
            }
        }
    }
    one_by_one
}

fn signed(key: u8, digest: u8) -> Owned {
    let (key, digest) = (SecretKey::from_bytes(&[key; 32]).unwrap(), [digest; 32]);
    (digest, key.sign(&digest))
}

fn number(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn eight_signers_are_found_in_one_turn() {
    let all: Vec<Owned> = (1..=8).map(|key| signed(key, 17 * key)).collect();
    let borrowed: Vec<Signed<'_>> = all
        .iter()
        .map(|(digest, signature)| (digest, signature))
        .collect();
    for some in (1..=8).map(|len| &borrowed[..len]) {
        let Some(found) = recover(some) else {
            return; // Not on this processor.
        };
        for (lane, found) in found.iter().enumerate() {
            let key = SecretKey::from_bytes(&[lane as u8 + 1; 32]).unwrap();
            let expected = (lane < some.len()).then(|| key.public().to_bytes());
            assert_eq!(*found, expected, "{lane} of {}", some.len());
        }
    }
}

#[test]
fn what_is_out_of_the_ordinary_ends_as_it_does_alone() {
    let good = signed(3, 5);
    let (n, p) = (number(ORDER), number(PRIME));
    let mut odd_ones = vec![good];
    for v in 0..=5 {
        let mut other = good;
        other.1[64] = v;
        odd_ones.push(other);
    }
    for at in [0, 32] {
        for value in [
            [0; 32],
            [0xff; 32],
            n,
            p,
            number(ORDER).map(|byte| byte ^ 1),
            {
                let mut one = [0; 32];
                one[31] = 1;
                one
            },
        ] {
            for v in 0..=3 {
                let mut other = good;
                other.1[at..at + 32].copy_from_slice(&value);
                other.1[64] = v;
                odd_ones.push(other);
            }
        }
    }
    for digest in [[0; 32], [0xff; 32], n] {
        odd_ones.push((digest, good.1));
    }
    let results = check(&odd_ones);
    assert_eq!(
        results[0],
        Ok(SecretKey::from_bytes(&[3; 32]).unwrap().public())
    );
    assert!(results.contains(&Err(KeyError::Signature)));
    assert!(results.contains(&Err(KeyError::RecoveryId { found: 4 })));
}

/// s and z such that u₁ times R = kG, plus u₂ times G, is asked for.
fn asks_for(k: u64, u1: i64, u2: i64) -> Owned {
    let scalar = |number: i64| {
        let size = Scalar::from(number.unsigned_abs());
        if number < 0 { -size } else { size }
    };
    let point = k256::ProjectivePoint::GENERATOR * Scalar::from(k);
    let key: [u8; 32] = Scalar::from(k).to_bytes().into();
    let prefixed = SecretKey::from_bytes(&key)
        .unwrap()
        .public()
        .to_compressed();
    assert!(point != k256::ProjectivePoint::IDENTITY);
    let x: [u8; 32] = prefixed[1..].try_into().unwrap();
    let r: Scalar = Scalar::reduce(&FieldBytes::from(x));
    let (s, z): ([u8; 32], [u8; 32]) = (
        (scalar(u1) * r).to_bytes().into(),
        (-(scalar(u2) * r)).to_bytes().into(),
    );
    let mut signature = [0; SIGNATURE_LEN];
    signature[..32].copy_from_slice(&x);
    signature[32..64].copy_from_slice(&s);
    signature[64] = prefixed[0] - 2;
    (z, signature)
}

#[test]
fn sums_of_a_point_and_itself_or_its_opposite() {
    let numbers = [1, 2, 3, 7, 8, 9, 15, 16, 17, 127, 128, 129, 255, 256, 4_096];
    let numbers = || numbers.into_iter().flat_map(|number| [number, -number]);
    let mut all = Vec::new();
    for k in [1, 2, 3, 8, 16, 128, 256] {
        for u1 in numbers() {
            all.extend(numbers().map(|u2| asks_for(k, u1, u2)));
            // R is kG: nothing is left of these.
            all.push(asks_for(k, u1, -(k as i64) * u1));
            all.push(asks_for(k, u1, k as i64 * u1));
        }
    }
    let results = check(&all);
    let nothing = results.iter().filter(|result| result.is_err()).count();
    assert!(nothing >= 7 * 30, "{nothing}");
}

fn any_number() -> impl Strategy<Value = [u8; 32]> {
    let near = |text: &'static str| {
        (0..5_u8).prop_map(move |less| {
            let mut bytes = number(text);
            bytes[31] = bytes[31].wrapping_sub(less).wrapping_add(2);
            bytes
        })
    };
    let small = any::<u16>().prop_map(|small| {
        let mut bytes = [0; 32];
        bytes[30..].copy_from_slice(&small.to_be_bytes());
        bytes
    });
    prop_oneof![4 => any::<[u8; 32]>(), 1 => near(ORDER), 1 => near(PRIME), 1 => small]
}

/// Signatures of all kinds: good ones, with another v or the other s, and arbitrary numbers.
fn any_signed() -> impl Strategy<Value = Owned> {
    let good = (1..u8::MAX, any::<[u8; 32]>(), 0..4_u8, any::<bool>()).prop_map(
        |(key, digest, v, high)| {
            let mut signature = SecretKey::from_bytes(&[key; 32]).unwrap().sign(&digest);
            signature[64] ^= v;
            if high {
                let s: [u8; 32] = signature[32..64].try_into().unwrap();
                let s: Option<Scalar> = Scalar::from_repr(s.into()).into();
                let other: [u8; 32] = (-s.unwrap()).to_bytes().into();
                signature[32..64].copy_from_slice(&other);
            }
            (digest, signature)
        },
    );
    let arbitrary = (any_number(), any_number(), any_number(), 0..3_u8).prop_map(|(z, r, s, v)| {
        let mut signature = [v; SIGNATURE_LEN];
        signature[..32].copy_from_slice(&r);
        signature[32..64].copy_from_slice(&s);
        (z, signature)
    });
    prop_oneof![3 => good, 2 => arbitrary]
}

proptest! {
    #[test]
    fn signers_are_those_that_are_found_one_by_one(signed in proptest::collection::vec(any_signed(), 0..20)) {
        check(&signed);
    }
}

#[test]
fn agreements_are_those_of_the_library() {
    let mut secrets: Vec<[u8; 32]> = (1..=40_u64)
        .flat_map(|k| [Scalar::from(k), -Scalar::from(k)])
        .map(|k| k.to_bytes().into())
        .collect();
    secrets.extend((1..=200).map(|byte| keccak256(&[byte])));
    let secrets: Vec<SecretKey> = secrets
        .iter()
        .map(|bytes| SecretKey::from_bytes(bytes).unwrap())
        .collect();
    let publics: Vec<PublicKey> = secrets.iter().rev().map(SecretKey::public).collect();
    let pairs: Vec<(&SecretKey, &PublicKey)> = secrets.iter().zip(&publics).collect();
    for len in [0, 1, 3, 4, 5, 8, 9, 15, 16, pairs.len()] {
        let one_by_one: Vec<_> = pairs[..len]
            .iter()
            .map(|(secret, public)| secret.agree(public))
            .collect();
        assert_eq!(SecretKey::agree_each(&pairs[..len]), one_by_one);
    }
    let mut left_to_the_library = 0;
    for some in pairs.chunks(LANES) {
        let Some(found) = agree(some) else {
            return; // Not on this processor.
        };
        left_to_the_library += found.iter().filter(|found| found.is_none()).count();
    }
    // −2: what came before its last digit, −1, is −1 as well.
    assert_eq!(left_to_the_library, 1);
}

/// The number that limbs stand for, modulo p.
fn value(limbs: &Limbs) -> U256 {
    let p = NonZero::new(U256::from_be_slice(&number(PRIME))).unwrap();
    let base = U256::from(1_u64 << 52);
    limbs.iter().rev().fold(U256::ZERO, |value, limb| {
        value.mul_mod(&base, &p).add_mod(&U256::from(*limb), &p)
    })
}

/// Elements with limbs as long as they can get, and around p.
fn any_limbs() -> impl Strategy<Value = Limbs> {
    let full = (1_u64 << 52) - 1;
    let last = (1_u64 << 48) + 127;
    let limb = move |most: u64| prop_oneof![2 => 0..=most, 1 => Just(0), 1 => Just(most), 1 => (0..3_u64).prop_map(move |less| most - less)];
    let any = (limb(full), limb(full), limb(full), limb(full), limb(last))
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e]);
    let near_p =
        (0..6_u64).prop_map(move |more| [full - FOLD - 1 + more, full, full, full, (1 << 48) - 1]);
    prop_oneof![4 => any, 1 => near_p]
}

proptest! {
    #[test]
    fn the_field_is_that_of_the_prime(
        a in proptest::array::uniform8(any_limbs()),
        b in proptest::array::uniform8(any_limbs()),
        chosen in any::<u8>(),
    ) {
        let Some(simd) = Ifma::try_new() else {
            return Ok(()); // Not on this processor.
        };
        let p = NonZero::new(U256::from_be_slice(&number(PRIME))).unwrap();
        let (x, y) = (Element::of_lanes(&a), Element::of_lanes(&b));
        let same = |what: &str, found: Element, expected: &dyn Fn(U256, U256) -> U256| {
            for lane in 0..LANES {
                let loose: [u64; LIMBS] = found.0.map(|limb| pulp::cast::<_, [u64; LANES]>(limb)[lane]);
                assert!(loose[..4].iter().all(|limb| limb >> 52 == 0), "{what}: {loose:x?}");
                assert!(loose[4] < (1 << 48) + 128, "{what}: {loose:x?}");
                let limbs = found.to_lanes()[lane];
                let bytes = field::to_bytes(&limbs);
                prop_assert_eq!(U256::from_be_slice(&bytes), expected(value(&a[lane]), value(&b[lane])), "{}", what);
                prop_assert_eq!(field::from_bytes(&bytes), limbs);
            }
            Ok(())
        };
        let times = |a: U256, by: u64| a.mul_mod(&U256::from(by), &p);
        same("mul", simd.mul(x, y), &|a, b| a.mul_mod(&b, &p))?;
        same("square", simd.square(x), &|a, _| a.mul_mod(&a, &p))?;
        same("add", simd.add(x, y), &|a, b| a.add_mod(&b, &p))?;
        same("sub", simd.sub(x, y), &|a, b| a.sub_mod(&b, &p))?;
        same("negated", simd.negated(x), &|a, _| U256::ZERO.sub_mod(&a, &p))?;
        same("sub twice", simd.sub_shifted::<1>(x, y), &|a, b| a.sub_mod(&times(b, 2), &p))?;
        same("sub eight times", simd.sub_shifted::<3>(x, y), &|a, b| a.sub_mod(&times(b, 8), &p))?;
        same("eight times", simd.shifted::<3>(x), &|a, _| times(a, 8))?;
        same("triple", simd.triple(x), &|a, _| times(a, 3))?;
        let picked = simd.choose(chosen, x, y).to_lanes();
        for (lane, picked) in picked.into_iter().enumerate() {
            let from = if chosen >> lane & 1 == 1 { x } else { y };
            prop_assert_eq!(picked, from.to_lanes()[lane]);
        }
        // Of a and its inverse, and of a square and its root, there is one again.
        let one = simd.mul(x, simd.inverse(x)).to_lanes();
        let square = simd.square(x);
        let root = simd.root(square);
        for lane in 0..LANES {
            let is_zero = value(&a[lane]) == U256::ZERO;
            prop_assert_eq!(one[lane], [u64::from(!is_zero), 0, 0, 0, 0]);
            prop_assert_eq!(simd.square(root).to_lanes()[lane], square.to_lanes()[lane]);
        }
    }
}

#[test]
fn digits_add_up_to_their_number() {
    let numbers = [
        [0; 32],
        [0xff; 32],
        [0x77; 32],
        [0x88; 32],
        [0x80; 32],
        [0x7f; 32],
        number(ORDER),
    ];
    for bytes in numbers {
        let (of_r, of_g) = (
            Digits::of_four_bits(&[bytes; LANES]).of_lane(5),
            Digits::of_eight_bits(&[bytes; LANES]).of_lane(5),
        );
        let sum = |digits: &[i8], base: u64| {
            digits.iter().rev().fold(Scalar::ZERO, |sum, digit| {
                let size = Scalar::from(u64::from(digit.unsigned_abs()));
                sum * Scalar::from(base) + if *digit < 0 { -size } else { size }
            })
        };
        let expected: Scalar = Scalar::reduce(&FieldBytes::from(bytes));
        assert_eq!(sum(&of_r, 16), expected);
        assert_eq!(sum(&of_g, 256), expected);
        assert!(of_r.iter().all(|digit| (-8..8).contains(digit)));
    }
}
