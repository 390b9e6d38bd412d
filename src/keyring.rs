//! The keys of local clients on the disk, for those who want them to survive the node.
//!
//! ```text
//! "ferry keyring 1\n" (16) ‖ memory, KiB (4) ‖ passes (4) ‖ lanes (4) ‖ salt (16) ‖ nonce (24) ‖ sealed keys
//! sealed keys = XChaCha20-Poly1305 under Argon2id(password, salt), over everything before as associated data
//! keys        = count (4) ‖ count × (name (32) ‖ secret key (32)) ‖ count (4) ‖ count × (name (32) ‖ symmetric key (32))
//! ```
//!
//! Numbers are big-endian. Every change writes the whole file anew, with a nonce of its own, beside the old one and then in
//! its place: after a crash there is the old file or the new one. Mode 0600. docs/adr/0017 says why the keys are in memory
//! only unless somebody asks for this.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use legacy::identity::SecretKey;
use legacy::shh::keyring::{Keyring, Symmetric};
use legacy::shh::label::Label;
use legacy::shh::limits::KEYS_MAX;
use thiserror::Error;
use zeroize::Zeroizing;

/// Where the keys are kept, with what they are sealed by.
pub struct Vault {
    path: PathBuf,
    /// Everything before the nonce.
    head: [u8; HEAD_LEN],
    key: Zeroizing<[u8; 32]>,
}

/// Why the keys cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Another password, or a changed file: the seal tells no difference.
    #[error("the password does not fit, or the file was changed")]
    Password,
    /// It is none of our files.
    #[error("it is not a file of kept keys: {0}")]
    Damaged(&'static str),
    /// The disk.
    #[error(transparent)]
    File(#[from] io::Error),
    /// No randomness, or no memory for the password's key.
    #[error("{0}")]
    System(String),
}

impl Vault {
    /// Opens the file with a password and reads the keys into a ring; a file that is not there yet has none.
    pub fn open(path: &Path, password: &[u8], ring: &mut Keyring) -> Result<Self, VaultError> {
        let file = match fs::metadata(path) {
            Ok(metadata) if metadata.len() > FILE_LEN_MAX => {
                return Err(VaultError::Damaged("it is longer than all keys together"));
            }
            Ok(_) => Some(Zeroizing::new(fs::read(path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let Some(file) = file else {
            return Self::begin(path, password);
        };
        let (head, rest) = file
            .split_first_chunk::<HEAD_LEN>()
            .ok_or(VaultError::Damaged("it is too short"))?;
        let vault = Self {
            path: path.to_owned(),
            head: *head,
            key: stretch(head, password)?,
        };
        vault.read(rest, ring)?;
        Ok(vault)
    }

    /// A vault without a file. The first key makes it.
    fn begin(path: &Path, password: &[u8]) -> Result<Self, VaultError> {
        let mut head = [0; HEAD_LEN];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        for (number, place) in [MEMORY_KIB, PASSES, LANES].into_iter().zip(0..) {
            let at = MAGIC.len() + 4 * place;
            head[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        random(&mut head[SALT_AT..])?;
        Ok(Self {
            path: path.to_owned(),
            head,
            key: stretch(&head, password)?,
        })
    }

    /// Writes all keys of a ring, in the place of those that were there.
    pub fn save(&self, ring: &Keyring) -> Result<(), VaultError> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let keys = lay_out(ring);
        let payload = Payload {
            msg: &keys,
            aad: &self.head,
        };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| VaultError::System("the keys cannot be sealed".to_owned()))?;
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        for part in [&self.head[..], &nonce, &sealed] {
            file.write_all(part)?;
        }
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    fn read(&self, rest: &[u8], ring: &mut Keyring) -> Result<(), VaultError> {
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(VaultError::Damaged("it is too short"))?;
        let payload = Payload {
            msg: sealed,
            aad: &self.head,
        };
        let keys = self
            .cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Password)?;
        restore(&keys, ring).ok_or(VaultError::Damaged("what is inside is no list of keys"))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

/// The key of a password, by the numbers that the head names.
fn stretch(head: &[u8; HEAD_LEN], password: &[u8]) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    if !head.starts_with(MAGIC) {
        return Err(VaultError::Damaged("it begins with something else"));
    }
    let number = |place: usize| {
        let at = MAGIC.len() + 4 * place;
        u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
    };
    let (memory, passes, lanes) = (number(0), number(1), number(2));
    if memory > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
        return Err(VaultError::Damaged(
            "it asks for more work than any password is worth",
        ));
    }
    let params = Params::new(memory, passes, lanes, Some(32))
        .map_err(|_| VaultError::Damaged("its numbers make no key"))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, &head[SALT_AT..], &mut *key)
        .map_err(|error| VaultError::System(error.to_string()))?;
    Ok(key)
}

fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|error| VaultError::System(error.to_string()))
}

fn lay_out(ring: &Keyring) -> Zeroizing<Vec<u8>> {
    let (pairs, symmetric) = (ring.pairs(), ring.symmetric_keys());
    let len = 8 + (pairs.len() + symmetric.len()) * ENTRY_LEN;
    let mut keys = Zeroizing::new(Vec::with_capacity(len));
    let count = |len: usize| u32::try_from(len).expect("a ring is bounded").to_be_bytes();
    keys.extend_from_slice(&count(pairs.len()));
    for (label, key) in pairs {
        keys.extend_from_slice(label.as_bytes());
        keys.extend_from_slice(&*key.to_bytes());
    }
    keys.extend_from_slice(&count(symmetric.len()));
    for (label, key) in symmetric {
        keys.extend_from_slice(label.as_bytes());
        keys.extend_from_slice(&*key.to_bytes());
    }
    keys
}

fn restore(keys: &[u8], ring: &mut Keyring) -> Option<()> {
    let rest = entries(keys, |label, key| {
        ring.restore_pair(label, SecretKey::from_bytes(key).ok()?)
            .ok()
    })?;
    let rest = entries(rest, |label, key| {
        ring.restore_symmetric(label, Symmetric::from_bytes(key))
            .ok()
    })?;
    rest.is_empty().then_some(())
}

/// Reads one list, and gives back what follows it.
fn entries(bytes: &[u8], mut put: impl FnMut(Label, &[u8; 32]) -> Option<()>) -> Option<&[u8]> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    for _ in 0..u32::from_be_bytes(*count) {
        let (label, after) = rest.split_first_chunk::<{ Label::LEN }>()?;
        let (key, after) = after.split_first_chunk::<32>()?;
        put(Label::new(*label), key)?;
        rest = after;
    }
    Some(rest)
}

/// What a file begins with.
const MAGIC: &[u8; 16] = b"ferry keyring 1\n";
const SALT_LEN: usize = 16;
const SALT_AT: usize = MAGIC.len() + 12;
const HEAD_LEN: usize = SALT_AT + SALT_LEN;
const NONCE_LEN: usize = 24;
const ENTRY_LEN: usize = Label::LEN + 32;

/// Argon2id: the second choice of RFC 9106, which asks for 64 MiB, with one lane, since a node has one password at a time.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over that memory.
const PASSES: u32 = 3;
/// Lanes.
const LANES: u32 = 1;
/// More than this no file may ask for: a changed file must not stop the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// The same for passes.
const PASSES_MAX: u32 = 16;
/// The same for lanes.
const LANES_MAX: u32 = 16;
/// Both kinds of keys, all places taken, and room for the rest.
const FILE_LEN_MAX: u64 = (2 * KEYS_MAX * ENTRY_LEN + 1024) as u64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ring() -> Keyring {
        Keyring::new([1; 32])
    }

    fn kept(path: &Path) -> (Keyring, Vec<Label>) {
        let mut ring = ring();
        let vault = Vault::open(path, b"password", &mut ring).unwrap();
        assert!(!path.exists(), "no key, no file");
        let labels = vec![
            ring.generate_pair().unwrap(),
            ring.generate_symmetric().unwrap(),
            ring.add_symmetric(Symmetric::Zero).unwrap(),
        ];
        vault.save(&ring).unwrap();
        (ring, labels)
    }

    #[test]
    fn keys_come_back_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.keys");
        let (ring, labels) = kept(&path);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let mut again = self::ring();
        let vault = Vault::open(&path, b"password", &mut again).unwrap();
        assert_eq!(
            again.pair(&labels[0]).unwrap().public(),
            ring.pair(&labels[0]).unwrap().public()
        );
        for label in &labels[1..] {
            let bytes = |ring: &Keyring| ring.symmetric(label).unwrap().to_bytes();
            assert_eq!(*bytes(&again), *bytes(&ring));
        }
        // Deleted keys do not come back.
        again.remove_pair(&labels[0]);
        vault.save(&again).unwrap();
        let mut third = self::ring();
        Vault::open(&path, b"password", &mut third).unwrap();
        assert_eq!((third.pairs().len(), third.symmetric_keys().len()), (0, 2));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside the file");
    }

    #[test]
    fn another_password_and_any_changed_byte_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.keys");
        kept(&path);
        let refused = Vault::open(&path, b"passwort", &mut ring());
        assert!(matches!(refused, Err(VaultError::Password)));
        let good = fs::read(&path).unwrap();
        for at in [0, SALT_AT, HEAD_LEN, HEAD_LEN + NONCE_LEN, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let mut ring = ring();
            assert!(Vault::open(&path, b"password", &mut ring).is_err(), "{at}");
            assert_eq!(ring.pairs().len(), 0);
        }
        for len in [0, 10, HEAD_LEN, HEAD_LEN + NONCE_LEN, good.len() - 1] {
            fs::write(&path, &good[..len]).unwrap();
            assert!(
                Vault::open(&path, b"password", &mut ring()).is_err(),
                "{len}"
            );
        }
    }

    #[test]
    fn a_file_that_asks_for_too_much_is_refused_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.keys");
        kept(&path);
        let good = fs::read(&path).unwrap();
        for place in 0..3 {
            let mut bad = good.clone();
            let at = MAGIC.len() + 4 * place;
            bad[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
            fs::write(&path, &bad).unwrap();
            let refused = Vault::open(&path, b"password", &mut ring());
            assert!(matches!(refused, Err(VaultError::Damaged(_))));
        }
    }

    #[test]
    fn nothing_of_a_key_stands_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.keys");
        let (ring, labels) = kept(&path);
        let file = fs::read(&path).unwrap();
        let secret = ring.pair(&labels[0]).unwrap().to_bytes();
        assert!(!file.windows(32).any(|window| window == &secret[..]));
        assert!(
            !file
                .windows(32)
                .any(|window| window == labels[0].as_bytes())
        );
    }
}
