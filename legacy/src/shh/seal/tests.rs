#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::convert::Infallible;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{SeedableRng as _, TryCryptoRng, TryRng};

use super::*;
use crate::keccak::keccak256;
use crate::shh::envelope::Draft;
use crate::shh::topic::Topic;

const KEY_A: &str = "c6cbd7d76bc5baca530c875663711b947efa6a86a900a9e8645ce32e5821484e";
const EIP8_A: &str = "49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee";
const EIP8_B: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
const EPHEMERAL_A: &str = "869d6ecf5211f1cc60418a13b9d870b22959d0c16f02bec714c960dd2298a32d";

/// Hands out bytes that were laid out before, where a vector fixes what is random.
struct Scripted(Vec<u8>);

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&std::mem::replace(&mut self.0, rest));
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn secret(text: &str) -> SecretKey {
    SecretKey::from_bytes(&bytes(text)).unwrap()
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

fn hash(data: &[u8]) -> String {
    hex::encode(keccak256(data))
}

#[test]
fn published_password_keys() {
    for (password, expected) in [
        (
            "test",
            "a82a520aff70f7a989098376e48ec128f25f767085e84d7fb995a9815eebff0a",
        ),
        (
            "status",
            "36224048e42c49e5c59c57bba5024fbb8822d6b4ee6ac5fbefd8b77f5323ecc4",
        ),
        (
            "status-offline-inbox",
            "765df27c0765526f920ba742ff4b9452bb0064e016435ffccd81186aa6feaae8",
        ),
        (
            "test-channel",
            "b1b9b444d24c56c5fa55c8527b0b273767249ca3ffb854bb3c5731f72ce6e145",
        ),
    ] {
        assert_eq!(
            hex::encode(*SymKey::from_password(password.as_bytes()).to_bytes()),
            expected,
            "{password}"
        );
    }
}

#[test]
fn published_symmetric_message_to_its_envelope() {
    let key = SymKey::from_password(b"test");
    let padding = [0xaa; 176];
    let data = seal(
        SealTo::Symmetric(&key),
        b"hello whisper",
        Padding::Verbatim(&padding),
        Some(&secret(EIP8_A)),
        &mut Scripted((0..12).collect()),
    )
    .unwrap();
    assert_eq!(data.len(), 284);
    assert_eq!(
        hex::encode(&data[..32]),
        "f462edf14d275b203f1ddf1f205b6c3a18fe1e44c33e4e255c7c9688c368dd55"
    );
    assert_eq!(
        hex::encode(&data[256..272]),
        "db3cbe41e1b0bc3677f3ca1d75b06992"
    );
    assert_eq!(
        hash(&data),
        "3b11d1c86ccb4d2a4183b40e51520bf2955e2464006e8ba7446e76c3df19f22a"
    );

    let draft = Draft::new(1_600_000_010, 10, Topic::of_name("test"), &data);
    assert_eq!(draft.short_rlp().len(), 301);
    let search = draft.canonical_search(0.002);
    assert_eq!(search.bits(), 3);
    let envelope = draft.finish(search.run(1000, || false).unwrap());
    assert_eq!(
        (
            envelope.fields().nonce(),
            envelope.zero_bits(),
            envelope.raw().len()
        ),
        (4, 6, 302)
    );
    assert_eq!(envelope.pow(), 0.021_262_458_471_760_8);
    assert_eq!(
        envelope.hash().to_string(),
        "bf698ceaf260bd47b0f8bb0f0b1b34fbd7d046951da923e47e8dc230259134e9"
    );

    let plain = OpenKey::Symmetric(key).open(envelope.data()).unwrap();
    assert_eq!(
        (plain.payload.as_slice(), plain.padding.as_slice()),
        (b"hello whisper".as_slice(), padding.as_slice())
    );
    assert_eq!(plain.signer, Some(secret(EIP8_A).public()));
}

#[test]
fn published_signature() {
    let text = message::encode(
        b"hello whisper",
        Padding::Verbatim(&[0xaa; 176]),
        Some(&secret(EIP8_A)),
        &mut rng(),
    )
    .unwrap();
    assert_eq!(
        hash(&text[..191]),
        "43bf6005b7b68a835b00de08aea2d1b9d353d629959fdd6ed4471b6a39f567a7"
    );
    assert_eq!(
        hex::encode(&text[191..]),
        "37699eb1969884465cb17d09bc8808ea2f7fa5db2d11f6616b21e0033d6e797f4f8579d1720560b7d205b96f92cedeafe335a9bda274d4f9af2931f5ed67ef7d00"
    );
}

#[test]
fn published_asymmetric_message() {
    let mut script = bytes::<32>(EPHEMERAL_A).to_vec();
    script.extend(0..16);
    let data = seal(
        SealTo::Public(&secret(EIP8_B).public()),
        b"hello whisper",
        Padding::Verbatim(&[0xaa; 176]),
        Some(&secret(EIP8_A)),
        &mut Scripted(script),
    )
    .unwrap();
    assert_eq!(data.len(), 369);
    assert_eq!(
        hex::encode(&data[81..97]),
        "d6ccbca3c96ab5e6a7a35983af1a965b"
    );
    assert_eq!(
        hex::encode(&data[337..]),
        "4358183faec0cd1a13554a52d71c2efa611972283854a1c46ecad67a9e056b1e"
    );
    assert_eq!(
        hash(&data),
        "413faed3d37d6a9df0673f652672289b99b89015818b4f129b8ec515c8d513dd"
    );
    let plain = OpenKey::Private(secret(EIP8_B)).open(&data).unwrap();
    assert_eq!(
        (plain.payload.as_slice(), plain.signer),
        (b"hello whisper".as_slice(), Some(secret(EIP8_A).public()))
    );
}

#[test]
fn what_is_for_others_does_not_open() {
    let key = SymKey::from_bytes(&[7; 32]).unwrap();
    let data = seal(
        SealTo::Symmetric(&key),
        b"hello",
        Padding::Random,
        None,
        &mut rng(),
    )
    .unwrap();
    let other = OpenKey::Symmetric(SymKey::from_bytes(&[8; 32]).unwrap());
    assert_eq!(other.open(&data), Err(OpenError::Tag));
    let private = OpenKey::Private(secret(KEY_A));
    assert!(matches!(private.open(&data), Err(OpenError::Ecies(_))));
    let ours = OpenKey::Symmetric(key);
    for len in [0, 12, 27] {
        assert_eq!(ours.open(&data[..len]), Err(OpenError::TooShort { len }));
    }
    assert_eq!(ours.open(&data[..28]), Err(OpenError::Tag));
    let mut changed = data;
    changed[0] ^= 1;
    assert_eq!(ours.open(&changed), Err(OpenError::Tag));
}

#[test]
fn broken_texts_under_a_good_key_are_refused() {
    let key = SymKey::from_bytes(&[7; 32]).unwrap();
    for (text, expected) in [
        (vec![], MessageError::Empty),
        (vec![0x07], MessageError::NoRoomForSignature { len: 1 }),
        (
            vec![0x03, 1, 2],
            MessageError::NoRoomForLength { bytes: 3, left: 2 },
        ),
        (
            vec![0x01, 200, 1],
            MessageError::NoRoomForPayload {
                claimed: 200,
                left: 1,
            },
        ),
    ] {
        let data = key.seal(text.clone(), &mut rng());
        assert_eq!(
            OpenKey::Symmetric(key.clone()).open(&data),
            Err(OpenError::Message(expected))
        );
        let data = ecies::encrypt(&secret(KEY_A).public(), &text, &[], &mut rng());
        assert_eq!(
            OpenKey::Private(secret(KEY_A)).open(&data),
            Err(OpenError::Message(expected))
        );
    }
}

/// A text that is sealed again shows nothing of the first time: nonce, padding and one-time keys are new.
#[test]
fn nothing_random_is_used_twice() {
    let (mut rng, key) = (rng(), SymKey::from_bytes(&[7; 32]).unwrap());
    let recipient = secret(KEY_A).public();
    let (mut nonces, mut ephemeral) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..500 {
        let data = seal(
            SealTo::Symmetric(&key),
            b"same",
            Padding::Random,
            None,
            &mut rng,
        )
        .unwrap();
        nonces.insert(data[data.len() - 12..].to_vec());
        let data = seal(
            SealTo::Public(&recipient),
            b"same",
            Padding::Random,
            None,
            &mut rng,
        )
        .unwrap();
        ephemeral.insert(data[..65].to_vec());
    }
    assert_eq!((nonces.len(), ephemeral.len()), (500, 500));
}

#[test]
fn a_key_of_zeros_is_none() {
    assert_eq!(SymKey::from_bytes(&[0; 32]).err(), Some(AllZero));
    assert_eq!(
        format!("{:?}", SymKey::from_bytes(&[1; 32]).unwrap()),
        "SymKey"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sealed_messages_open(payload in proptest::collection::vec(any::<u8>(), 0..600), signed: bool, seed: [u8; 32]) {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let (key, recipient) = (SymKey::generate(&mut rng), SecretKey::generate(&mut rng));
        let signer = signed.then(|| secret(KEY_A));
        for (to, with) in [
            (SealTo::Symmetric(&key), OpenKey::Symmetric(key.clone())),
            (SealTo::Public(&recipient.public()), OpenKey::Private(recipient.clone())),
        ] {
            let data = seal(to, &payload, Padding::Random, signer.as_ref(), &mut rng).unwrap();
            let plain = with.open(&data).unwrap();
            prop_assert_eq!(&plain.payload, &payload);
            prop_assert_eq!(plain.signer, signer.as_ref().map(SecretKey::public));
        }
    }
}
