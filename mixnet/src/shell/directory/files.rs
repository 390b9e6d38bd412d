//! What the directory keeps on the disk: the mix keys of the epochs, and whom it knows.
//!
//! ```text
//! KEYS/mix-<epoch>   64 hexadecimal digits and a line feed, mode 0600; removed when its epoch and the grace are over
//! KNOWN              see crate::directory::snapshot
//! ```
//!
//! Every file is written beside its place and moved there, so that a crash leaves the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::directory::snapshot::Snapshot;
use crate::shell::disk::{private_dir, sync_dir};
use crate::sphinx::SecretKey;

/// Where the directory keeps what.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of the keys; it is made with mode 0700.
    pub keys: PathBuf,
    /// The file of those who are known.
    pub known: PathBuf,
}

impl Places {
    /// The keys that are there. A file that does not hold a key stops the node: it may have been copied or damaged.
    pub(super) fn keys(&self) -> Result<BTreeMap<u32, SecretKey>, KeyFileError> {
        private_dir(&self.keys).map_err(|source| failed("make", &self.keys, source))?;
        let mut keys = BTreeMap::new();
        let entries =
            fs::read_dir(&self.keys).map_err(|source| failed("read", &self.keys, source))?;
        for entry in entries {
            let path = entry
                .map_err(|source| failed("read", &self.keys, source))?
                .path();
            let name = path.file_name().and_then(|name| name.to_str());
            let epoch = name.and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
            if let Some(epoch) = epoch {
                keys.insert(epoch, read_key(&path)?);
            }
        }
        Ok(keys)
    }

    pub(super) fn keep(&self, epoch: u32, key: &SecretKey) -> io::Result<()> {
        let mut text = Zeroizing::new(hex::encode(key.as_bytes()));
        text.push('\n');
        replace(&self.key(epoch), text.as_bytes())
    }

    pub(super) fn failed(&self, source: io::Error) -> KeyFileError {
        failed("write a mix key to", &self.keys, source)
    }

    pub(super) fn forget(&self, epoch: u32) {
        if let Err(error) = fs::remove_file(self.key(epoch))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a mix key that is out of use could not be removed");
        }
    }

    pub(super) fn known(&self) -> Option<Snapshot> {
        let bytes = match fs::read(&self.known) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the file of known mix nodes cannot be read: beginning with the seeds");
                return None;
            }
        };
        match Snapshot::decode(&bytes) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::warn!(%error, "the file of known mix nodes is not used: beginning with the seeds");
                None
            }
        }
    }

    pub(super) fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        replace(&self.known, &snapshot.encode())
    }

    fn key(&self, epoch: u32) -> PathBuf {
        self.keys.join(format!("{PREFIX}{epoch}"))
    }
}

fn read_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let text = fs::read_to_string(path).map_err(|source| failed("read", path, source))?;
    let text = Zeroizing::new(text);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_end(), &mut *bytes).map_err(|_| KeyFileError::Damaged {
        path: path.to_owned(),
    })?;
    Ok(SecretKey::from_bytes(*bytes))
}

/// Writes a file as a whole, and waits for the disk.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Why the mix keys cannot be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The system refuses.
    #[error("cannot {doing} {}: {source}; check the disk and the permissions of the data directory", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not the digits of a key.
    #[error("{} does not hold the 64 hexadecimal digits of a mix key: remove it, and a new one is made", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

const PREFIX: &str = "mix-";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_and_nodes_are_kept_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            keys: dir.path().join("keys"),
            known: dir.path().join("known"),
        };
        assert!(places.keys().unwrap().is_empty() && places.known().is_none());
        let key = |n: u8| SecretKey::from_bytes([n; 32]);
        places.keep(7, &key(7)).unwrap();
        places.keep(8, &key(8)).unwrap();
        places.forget(7);
        places.forget(9);
        let kept = places.keys().unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), [&8]);
        assert_eq!(kept[&8].as_bytes(), key(8).as_bytes());
        let snapshot = Snapshot {
            epoch: 3,
            watching_since: 1,
            known: vec![],
        };
        places.save(&snapshot).unwrap();
        assert_eq!(places.known(), Some(snapshot));
        fs::write(&places.known, "x").unwrap();
        assert_eq!(places.known(), None);
        fs::write(places.key(9), "zz").unwrap();
        let refused = places.keys().unwrap_err().to_string();
        assert!(refused.contains("mix-9"), "{refused}");
    }
}
