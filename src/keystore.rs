//! The secret keys of a node, one file each.
//!
//! | file | key | who needs it |
//! |---|---|---|
//! | `keys/devp2p` | secp256k1 node key of RLPx | edge, bridge, whisper |
//! | `keys/libp2p` | secp256k1 identity of libp2p and of the descriptor; never the same as devp2p's | edge, bridge, relay, mailbox |
//! | `keys/mix` | X25519 key of Sphinx | edge, bridge, relay, mailbox |
//! | `keys/gateway` | X25519 key of the gateway protocol | bridge |
//!
//! The mix keys of epochs, which the directory makes and removes, are in `keys/epochs`; `keys/mix` is the key of a node whose network
//! is a file, and the one that its first descriptor names.
//!
//! A file holds 64 hexadecimal digits and a line feed, and is made with mode 0600 in one step. A
//! key that others can read is refused rather than repaired: it may have been copied.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::directory::{DIRECTORY_MODE, Directory, FILE_MODE, write_new};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::role::{Role, Roles};

/// 32 secret bytes, erased when they are dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes bytes that are a valid key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the code that signs or decrypts with them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// The RLPx node key.
    Devp2p,
    /// The libp2p identity.
    Libp2p,
    /// The Sphinx key.
    Mix,
    /// The gateway key.
    Gateway,
}

impl KeyName {
    /// Every key.
    pub const ALL: [Self; 4] = [Self::Devp2p, Self::Libp2p, Self::Mix, Self::Gateway];

    /// The name of its file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Devp2p => "devp2p",
            Self::Libp2p => "libp2p",
            Self::Mix => "mix",
            Self::Gateway => "gateway",
        }
    }

    /// Whether a node with these roles needs it.
    pub fn needed(self, roles: &Roles) -> bool {
        match self {
            Self::Devp2p => roles.speaks_whisper(),
            Self::Libp2p | Self::Mix => roles.speaks_mix(),
            Self::Gateway => roles.has(Role::Bridge),
        }
    }

    /// Whether bytes are a key of this kind.
    fn accepts(self, bytes: &[u8; 32]) -> bool {
        match self {
            Self::Devp2p | Self::Libp2p => secp256k1::SecretKey::from_secret_bytes(*bytes).is_ok(),
            Self::Mix | Self::Gateway => bytes.iter().any(|byte| *byte != 0),
        }
    }
}

/// The keys of a node. Those that its roles do not need are absent.
#[derive(Debug, Default)]
pub struct Keys {
    /// The RLPx node key.
    pub devp2p: Option<Secret>,
    /// The libp2p identity.
    pub libp2p: Option<Secret>,
    /// The Sphinx key.
    pub mix: Option<Secret>,
    /// The gateway key.
    pub gateway: Option<Secret>,
}

impl Keys {
    /// New keys for a node with these roles, from a source of random bytes.
    pub fn generate(
        roles: &Roles,
        fill: &mut dyn FnMut(&mut [u8; 32]) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut keys = Self::default();
        for name in KeyName::ALL.into_iter().filter(|name| name.needed(roles)) {
            let mut bytes = Zeroizing::new([0; 32]);
            // All but a 2^-128th of the 32-byte strings are keys.
            for _ in 0..GENERATE_TRIES_MAX {
                fill(&mut bytes)?;
                if name.accepts(&bytes) {
                    break;
                }
            }
            if !name.accepts(&bytes) {
                return Err(Failure::bug(
                    "no key was made",
                    "the random source repeats itself",
                ));
            }
            *keys.slot(name) = Some(Secret::new(*bytes));
        }
        Ok(keys)
    }

    /// Writes every key to a file of its own; none may exist yet.
    pub fn save(&self, directory: &Directory) -> Result<(), Failure> {
        let folder = directory.keys();
        fs::DirBuilder::new()
            .mode(DIRECTORY_MODE)
            .create(&folder)
            .map_err(|error| Failure::file(Exit::Keys, "make", &folder, &error))?;
        for name in KeyName::ALL {
            let Some(secret) = self.get(name) else {
                continue;
            };
            let path = folder.join(name.as_str());
            let mut text = Zeroizing::new(hex::encode(secret.expose()));
            text.push('\n');
            write_new(&path, text.as_bytes(), FILE_MODE)
                .map_err(|error| Failure::file(Exit::Keys, "write", &path, &error))?;
        }
        Ok(())
    }

    /// Reads the keys that the roles need and checks that nobody else could.
    pub fn load(directory: &Directory, roles: &Roles) -> Result<Self, Failure> {
        let folder = directory.keys();
        let metadata = fs::metadata(&folder)
            .map_err(|error| Failure::file(Exit::Keys, "open the keys in", &folder, &error))?;
        check_mode(&folder, metadata.mode(), 0o700)?;
        let mut keys = Self::default();
        for name in KeyName::ALL.into_iter().filter(|name| name.needed(roles)) {
            *keys.slot(name) = Some(read_key(name, &folder.join(name.as_str()))?);
        }
        let same = matches!((&keys.devp2p, &keys.libp2p), (Some(a), Some(b)) if a.0 == b.0);
        if same {
            return Err(Failure::new(
                Exit::Keys,
                "the keys devp2p and libp2p are the same",
                "one key in both networks would tie the node's two identities together",
                "make a new node with `ferry init`",
            ));
        }
        Ok(keys)
    }

    /// The key of this name.
    pub fn get(&self, name: KeyName) -> Option<&Secret> {
        match name {
            KeyName::Devp2p => self.devp2p.as_ref(),
            KeyName::Libp2p => self.libp2p.as_ref(),
            KeyName::Mix => self.mix.as_ref(),
            KeyName::Gateway => self.gateway.as_ref(),
        }
    }

    fn slot(&mut self, name: KeyName) -> &mut Option<Secret> {
        match name {
            KeyName::Devp2p => &mut self.devp2p,
            KeyName::Libp2p => &mut self.libp2p,
            KeyName::Mix => &mut self.mix,
            KeyName::Gateway => &mut self.gateway,
        }
    }
}

/// Random bytes of the operating system.
pub fn system_random(bytes: &mut [u8; 32]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| {
        Failure::new(
            Exit::Resources,
            "the operating system gives no random bytes",
            error.to_string(),
            "check that /dev/urandom can be read",
        )
    })
}

fn read_key(name: KeyName, path: &Path) -> Result<Secret, Failure> {
    let metadata = fs::metadata(path).map_err(|error| missing(name, path, &error))?;
    check_mode(path, metadata.mode(), 0o600)?;
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::file(Exit::Keys, "read the key", path, &error))?;
    let mut bytes = Zeroizing::new([0; 32]);
    let read = hex::decode_to_slice(text.trim_end(), bytes.as_mut());
    if read.is_err() || !name.accepts(&bytes) {
        return Err(Failure::new(
            Exit::Keys,
            format!("{} is damaged", path.display()),
            format!(
                "it does not hold the 64 hexadecimal digits of a {} key",
                name.as_str()
            ),
            "restore it from a backup, or make a new node with `ferry init`",
        ));
    }
    Ok(Secret::new(*bytes))
}

fn missing(name: KeyName, path: &Path, error: &io::Error) -> Failure {
    if error.kind() != io::ErrorKind::NotFound {
        return Failure::file(Exit::Keys, "read the key", path, error);
    }
    Failure::new(
        Exit::Keys,
        format!("the key {} is missing", path.display()),
        format!("the roles of this node need a {} key", name.as_str()),
        "restore it from a backup, or make a new node with `ferry init`",
    )
}

/// Refuses any right of group or others.
fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), Failure> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Keys,
        format!("{} is not private", path.display()),
        format!(
            "its mode is {:o}: others may read it, or could have",
            mode & 0o777
        ),
        format!(
            "chmod {wanted:o} {}; if others had access, make a new node",
            path.display()
        ),
    ))
}

/// Draws until a key is valid; two are already unheard of.
const GENERATE_TRIES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn counting() -> impl FnMut(&mut [u8; 32]) -> Result<(), Failure> {
        let mut count = 0;
        move |bytes| {
            count += 1;
            *bytes = [count; 32];
            Ok(())
        }
    }

    fn made(roles: &str) -> (tempfile::TempDir, Directory, Roles) {
        let base = tempfile::tempdir().unwrap();
        let roles: Roles = roles.parse().unwrap();
        let directory = Directory::create(&base.path().join("n"), &roles).unwrap();
        Keys::generate(&roles, &mut counting())
            .unwrap()
            .save(&directory)
            .unwrap();
        (base, directory, roles)
    }

    #[test]
    fn keys_come_back_as_they_were_saved() {
        let (_base, directory, roles) = made("bridge");
        let keys = Keys::load(&directory, &roles).unwrap();
        let bytes = |name| keys.get(name).map(|secret| secret.expose()[0]);
        assert_eq!(
            KeyName::ALL.map(bytes),
            [Some(1), Some(2), Some(3), Some(4)]
        );
        for name in KeyName::ALL {
            let mode = fs::metadata(directory.keys().join(name.as_str()))
                .unwrap()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_role_gets_the_keys_that_it_needs() {
        let present = |roles: &str| {
            let (_base, directory, roles) = made(roles);
            let keys = Keys::load(&directory, &roles).unwrap();
            KeyName::ALL.map(|name| keys.get(name).is_some())
        };
        assert_eq!(present("relay"), [false, true, true, false]);
        assert_eq!(present("whisper"), [true, false, false, false]);
        assert_eq!(present("edge"), [true, true, true, false]);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_base, directory, roles) = made("relay");
        let path = directory.keys().join("mix");
        for mode in [0o640, 0o604, 0o620, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = Keys::load(&directory, &roles).unwrap_err();
            assert_eq!(refused.exit, Exit::Keys);
            assert!(refused.why.contains(&format!("{mode:o}")), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Keys::load(&directory, &roles).is_ok());
        fs::set_permissions(directory.keys(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(
            Keys::load(&directory, &roles)
                .unwrap_err()
                .what_to_do
                .contains("chmod 700")
        );
    }

    #[test]
    fn damaged_and_missing_keys_are_named() {
        let (_base, directory, roles) = made("bridge");
        let path = directory.keys().join("devp2p");
        for text in [
            "",
            "zz",
            &"0".repeat(64),
            &"f".repeat(64),
            &"1".repeat(63),
            &"1".repeat(66),
        ] {
            fs::write(&path, text).unwrap();
            let refused = Keys::load(&directory, &roles).unwrap_err();
            assert!(
                refused.what.contains("devp2p is damaged"),
                "{text}: {refused}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(
            Keys::load(&directory, &roles)
                .unwrap_err()
                .what
                .contains("missing")
        );
    }

    #[test]
    fn one_key_for_both_networks_is_refused() {
        let (_base, directory, roles) = made("bridge");
        fs::copy(
            directory.keys().join("devp2p"),
            directory.keys().join("libp2p"),
        )
        .unwrap();
        assert!(
            Keys::load(&directory, &roles)
                .unwrap_err()
                .what
                .contains("the same")
        );
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let keys = Keys::generate(&"relay".parse().unwrap(), &mut counting()).unwrap();
        let shown = format!("{keys:?}");
        assert!(!shown.contains('1') && !shown.contains("02"), "{shown}");
    }
}
