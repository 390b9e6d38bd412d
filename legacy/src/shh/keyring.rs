//! The keys that local clients keep at their node: key pairs to sign and to be written to, and symmetric keys.
//!
//! ```text
//! name (64 hex digits) ─▶ secret key                 and, apart from them,
//! name (64 hex digits) ─▶ symmetric key, or 32 zeros
//! ```
//!
//! A symmetric key of zeros is kept, as every Go peer keeps it, and refused where it would be used. In memory only: what
//! is to survive the node is read out and put back by whoever owns the disk. Spec: Whisper v6 JSON-RPC, keys.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::label::Label;
use super::limits::KEYS_MAX;
use super::seal::SymKey;
use crate::identity::SecretKey;

/// A symmetric key as a client gave it.
#[derive(Clone, Debug)]
pub enum Symmetric {
    /// One that seals and opens.
    Key(SymKey),
    /// 32 zeros, which no peer accepts.
    Zero,
}

impl Symmetric {
    /// A key from its bytes, whatever they are.
    pub fn from_bytes(bytes: &[u8; SymKey::LEN]) -> Symmetric {
        SymKey::from_bytes(bytes).map_or(Symmetric::Zero, Symmetric::Key)
    }

    /// The bytes, for the client that asks for its key and for the one place that stores it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SymKey::LEN]> {
        match self {
            Symmetric::Key(key) => key.to_bytes(),
            Symmetric::Zero => Zeroizing::new([0; SymKey::LEN]),
        }
    }
}

/// The keys of all local clients. Erased when dropped.
pub struct Keyring {
    pairs: BTreeMap<Label, SecretKey>,
    symmetric: BTreeMap<Label, Symmetric>,
    rng: ChaCha20Rng,
}

impl Keyring {
    /// No keys. Names and fresh keys come from the seed, which must be secret.
    pub fn new(seed: [u8; 32]) -> Keyring {
        Keyring {
            pairs: BTreeMap::new(),
            symmetric: BTreeMap::new(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Makes a key pair.
    pub fn generate_pair(&mut self) -> Result<Label, KeyringFull> {
        let key = SecretKey::generate(&mut self.rng);
        self.add_pair(key)
    }

    /// Keeps a key pair under a new name, even if it is known under another.
    pub fn add_pair(&mut self, key: SecretKey) -> Result<Label, KeyringFull> {
        let label = Label::generate(&mut self.rng);
        self.restore_pair(label, key).map(|()| label)
    }

    /// Puts a key pair back under the name that it had.
    pub fn restore_pair(&mut self, label: Label, key: SecretKey) -> Result<(), KeyringFull> {
        room(self.pairs.len())?;
        self.pairs.insert(label, key);
        Ok(())
    }

    /// The key pair of a name.
    pub fn pair(&self, label: &Label) -> Option<&SecretKey> {
        self.pairs.get(label)
    }

    /// Forgets a key pair, and says whether there was one.
    pub fn remove_pair(&mut self, label: &Label) -> bool {
        self.pairs.remove(label).is_some()
    }

    /// Makes a symmetric key.
    pub fn generate_symmetric(&mut self) -> Result<Label, KeyringFull> {
        let key = SymKey::generate(&mut self.rng);
        self.add_symmetric(Symmetric::Key(key))
    }

    /// Keeps a symmetric key under a new name.
    pub fn add_symmetric(&mut self, key: Symmetric) -> Result<Label, KeyringFull> {
        let label = Label::generate(&mut self.rng);
        self.restore_symmetric(label, key).map(|()| label)
    }

    /// Puts a symmetric key back under the name that it had.
    pub fn restore_symmetric(&mut self, label: Label, key: Symmetric) -> Result<(), KeyringFull> {
        room(self.symmetric.len())?;
        self.symmetric.insert(label, key);
        Ok(())
    }

    /// The symmetric key of a name.
    pub fn symmetric(&self, label: &Label) -> Option<&Symmetric> {
        self.symmetric.get(label)
    }

    /// Forgets a symmetric key, and says whether there was one.
    pub fn remove_symmetric(&mut self, label: &Label) -> bool {
        self.symmetric.remove(label).is_some()
    }

    /// Every key pair, in the order of the names.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&Label, &SecretKey)> {
        self.pairs.iter()
    }

    /// Every symmetric key, in the order of the names.
    pub fn symmetric_keys(&self) -> impl ExactSizeIterator<Item = (&Label, &Symmetric)> {
        self.symmetric.iter()
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (pairs, symmetric) = (self.pairs.len(), self.symmetric.len());
        write!(f, "Keyring({pairs} pairs, {symmetric} symmetric)")
    }
}

fn room(kept: usize) -> Result<(), KeyringFull> {
    if kept >= KEYS_MAX {
        return Err(KeyringFull { max: KEYS_MAX });
    }
    Ok(())
}

/// There is no room for another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("all {max} places for keys of this kind are taken; delete some")]
pub struct KeyringFull {
    /// How many of a kind there may be.
    pub max: usize,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_are_found_by_their_names_until_they_are_removed() {
        let mut ring = Keyring::new([1; 32]);
        let made = ring.generate_pair().unwrap();
        let secret = SecretKey::from_bytes(&[3; 32]).unwrap();
        let (one, two) = (
            ring.add_pair(secret.clone()).unwrap(),
            ring.add_pair(secret.clone()).unwrap(),
        );
        assert!(one != two && made != one);
        assert_eq!(ring.pair(&two).unwrap().public(), secret.public());
        assert!(ring.remove_pair(&one) && !ring.remove_pair(&one));
        assert!(ring.pair(&one).is_none() && ring.pair(&two).is_some());
        assert_eq!(ring.pairs().len(), 2);
        assert!(
            ring.symmetric(&two).is_none(),
            "the kinds have names of their own"
        );
    }

    #[test]
    fn a_key_of_zeros_is_kept_and_told_apart() {
        let mut ring = Keyring::new([1; 32]);
        let zero = ring.add_symmetric(Symmetric::from_bytes(&[0; 32])).unwrap();
        let some = ring.add_symmetric(Symmetric::from_bytes(&[7; 32])).unwrap();
        let made = ring.generate_symmetric().unwrap();
        assert!(matches!(ring.symmetric(&zero), Some(Symmetric::Zero)));
        assert_eq!(*ring.symmetric(&zero).unwrap().to_bytes(), [0; 32]);
        assert_eq!(*ring.symmetric(&some).unwrap().to_bytes(), [7; 32]);
        assert!(matches!(ring.symmetric(&made), Some(Symmetric::Key(_))));
        assert!(ring.remove_symmetric(&some) && !ring.remove_symmetric(&some));
    }

    #[test]
    fn each_kind_is_bounded() {
        let mut ring = Keyring::new([1; 32]);
        let secret = SecretKey::from_bytes(&[3; 32]).unwrap();
        for _ in 0..KEYS_MAX {
            ring.add_pair(secret.clone()).unwrap();
        }
        assert_eq!(ring.add_pair(secret), Err(KeyringFull { max: KEYS_MAX }));
        assert!(ring.generate_symmetric().is_ok());
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let mut ring = Keyring::new([1; 32]);
        ring.add_symmetric(Symmetric::from_bytes(&[0x77; 32]))
            .unwrap();
        let shown = format!("{ring:?} {:?}", Symmetric::from_bytes(&[0x77; 32]));
        assert_eq!(shown, "Keyring(0 pairs, 1 symmetric) Key(SymKey)");
    }
}
