#![allow(clippy::unwrap_used)]

use curve25519_dalek::constants::EIGHT_TORSION;
use proptest::prelude::*;

use super::*;

fn ladder(point: [u8; 32], factors: &[[u8; 32]]) -> [u8; 32] {
    let start = MontgomeryPoint(point);
    factors.iter().fold(start, |p, f| p.mul_clamped(*f)).0
}

fn blinding(factors: &[[u8; 32]]) -> Blinding {
    let mut blinding = Blinding::new(&factors[0]);
    for factor in &factors[1..] {
        blinding.multiply(*factor);
    }
    blinding
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn one_product_is_as_good_as_all_factors(
        factors in prop::collection::vec(any::<[u8; 32]>(), 1..=5),
        key: [u8; 32],
        torsion in 0_usize..8,
    ) {
        let product = blinding(&factors);
        let mut base = [0; 32];
        base[0] = 9;
        prop_assert_eq!(product.alpha(), ladder(base, &factors));

        // A key with a part of low order, as a hostile descriptor may have.
        let point = EdwardsPoint::mul_base_clamped(key) + EIGHT_TORSION[torsion];
        let key = point.to_montgomery().0;
        let shared = product.agree(&PublicKey::from_bytes(key)).unwrap();
        prop_assert_eq!(shared.0, ladder(key, &factors));
    }

    #[test]
    fn any_u_coordinate_gives_what_the_ladder_gives(
        factors in prop::collection::vec(any::<[u8; 32]>(), 1..=5),
        mut key: [u8; 32],
    ) {
        // Half of these are on the twist.
        key[31] &= 0x7f;
        let shared = blinding(&factors).agree(&PublicKey::from_bytes(key));
        prop_assert_eq!(shared.map(|s| s.0).unwrap_or([0; 32]), ladder(key, &factors));
        let alpha = Alpha::parse(&key).unwrap();
        let agreed = alpha.agree(&factors[0]).unwrap();
        prop_assert_eq!(agreed.0, ladder(key, &factors[..1]));
        prop_assert_eq!(alpha.blind(&agreed), ladder(key, &[agreed.blinding(&key)]));
    }
}

#[test]
fn a_hop_with_torsion_in_its_key_derives_what_the_maker_derives() {
    // The hop's secret y with the public key y·B + T: the maker's s must be y·alpha, for every T.
    let y = [0x77; 32];
    let product = blinding(&[[1; 32], [2; 32]]);
    let expected = Alpha::parse(&product.alpha()).unwrap().agree(&y).unwrap().0;
    for torsion in EIGHT_TORSION {
        let key = (EdwardsPoint::mul_base_clamped(y) + torsion)
            .to_montgomery()
            .0;
        let shared = product.agree(&PublicKey::from_bytes(key)).unwrap();
        assert_eq!(shared.0, expected);
    }
}

#[test]
fn keys_of_low_order_give_nothing() {
    for torsion in EIGHT_TORSION {
        let key = PublicKey::from_bytes(torsion.to_montgomery().0);
        assert!(blinding(&[[1; 32]]).agree(&key).is_none());
        let alpha = Alpha::parse(key.as_bytes()).and_then(|alpha| alpha.agree(&[1; 32]));
        assert_eq!(alpha.err(), Some(DropReason::LowOrderAlpha));
    }
}

#[test]
fn rfc_7748_vectors() {
    let bytes = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
    for (scalar, point, product) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a413",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        let mut point = bytes(point);
        // X25519 masks the top bit that a packet must not have set.
        point[31] &= 0x7f;
        let alpha = Alpha::parse(&point).unwrap();
        assert_eq!(alpha.agree(&bytes(scalar)).unwrap().0, bytes(product));
    }
}
