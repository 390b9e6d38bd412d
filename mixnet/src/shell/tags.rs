//! The file of the tags that one mix key has seen: what a restart must not forget.
//!
//! ```text
//! replay-<first 8 bytes of the public key, hex>.tags
//! header 32      = "ferry replay v1\n" 16 ‖ SHA-256("ferry replay file" ‖ mix secret)[0..16]
//! fingerprint 5, fingerprint 5, …      in the order in which the packets came
//! ```
//!
//! The file is only ever appended to. A crash may leave part of a fingerprint at its end: the packet that it stands for has not
//! left, so the part is cut off. Zeros, as some file systems leave them after a crash of the machine, are no fingerprint. Whatever
//! else may stand there costs one packet in 2^40 each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::disk::{private_dir, sync_dir};
use crate::replay::{Capacity, FINGERPRINT_LEN, Fingerprint, ReplayStore};
use crate::sphinx::{PublicKey, SecretKey};

/// The open file of one key.
pub(super) struct TagFile {
    file: File,
    path: PathBuf,
    /// Whole fingerprints end here.
    len: u64,
    /// A failed write may have left part of a fingerprint behind the end.
    torn: bool,
}

impl TagFile {
    /// Opens or makes the file of `key` in `dir`, and restores what it holds.
    pub(super) fn open(
        dir: &Path,
        key: &SecretKey,
        capacity: Capacity,
    ) -> Result<(Self, ReplayStore), TagFileError> {
        let path = path(dir, &key.public());
        let failed = |doing| {
            let path = path.clone();
            move |source| TagFileError::Io {
                doing,
                path,
                source,
            }
        };
        private_dir(dir).map_err(failed("make the directory of"))?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(failed("open"))?;
        let mut store = ReplayStore::of_capacity(key, capacity);
        let mut reader = BufReader::with_capacity(READ_LEN, &file);
        let mut found = [0; HEADER_LEN];
        let header = header(key);
        let len = if !filled(&mut reader, &mut found).map_err(failed("read"))? {
            // New, or cut off while it was made: no packet has left under this key.
            file.set_len(0).map_err(failed("cut"))?;
            file.write_all(&header).map_err(failed("write"))?;
            file.sync_all().map_err(failed("sync"))?;
            sync_dir(dir).map_err(failed("sync the directory of"))?;
            HEADER_LEN as u64
        } else if found == header {
            let prints = restore(&mut reader, &mut store).map_err(failed("read"))?;
            let len = HEADER_LEN as u64 + prints * FINGERPRINT_LEN as u64;
            file.set_len(len).map_err(failed("cut"))?;
            len
        } else {
            return Err(TagFileError::NotOurs { path });
        };
        let file = Self {
            file,
            path,
            len,
            torn: false,
        };
        Ok((file, store))
    }

    /// Appends in one write. After an error nothing of it is in the file.
    pub(super) fn append(&mut self, prints: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.len)?;
        }
        self.torn = true;
        self.file.write_all(prints)?;
        self.torn = false;
        self.len += prints.len() as u64;
        Ok(())
    }

    /// Returns when the disk has everything that was appended.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Removes the file of a key that is out of use.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the replay tags of a mix key that is out of use could not be removed");
        }
    }
}

/// Removes the files of other keys that were not written since `old`.
pub(super) fn remove_others(dir: &Path, key: &PublicKey, old: SystemTime) -> io::Result<()> {
    let own = path(dir, key);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_ours = name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_ours && path != own && entry.metadata()?.modified()? < old {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Fills `bytes`; false when the end came first.
fn filled(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Restores whole fingerprints to the end of the file; how many there are.
fn restore(reader: &mut impl Read, store: &mut ReplayStore) -> io::Result<u64> {
    let mut print = [0; FINGERPRINT_LEN];
    let mut prints = 0;
    while filled(reader, &mut print)? {
        prints += 1;
        if let Some(print) = Fingerprint::from_bytes(print) {
            store.restore(print);
        }
    }
    Ok(prints)
}

fn path(dir: &Path, key: &PublicKey) -> PathBuf {
    dir.join(format!(
        "{PREFIX}{}{SUFFIX}",
        hex::encode(&key.as_bytes()[..8])
    ))
}

fn header(key: &SecretKey) -> [u8; HEADER_LEN] {
    let check = Sha256::new()
        .chain_update(b"ferry replay file")
        .chain_update(key.as_bytes())
        .finalize();
    let mut header = [0; HEADER_LEN];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(&check[..HEADER_LEN - MAGIC.len()]);
    header
}

/// Why the tags of a key cannot be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TagFileError {
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
    /// The file is damaged or is another key's.
    #[error("{} does not hold the replay tags of this mix key: move it away, or begin with a new mix key", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
    },
}

const PREFIX: &str = "replay-";
const SUFFIX: &str = ".tags";
const MAGIC: &[u8; 16] = b"ferry replay v1\n";
const HEADER_LEN: usize = 32;
/// A file is read in pieces of this length: with the largest store it has 500 MB.
const READ_LEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes([n; 32])
    }

    fn open(dir: &Path, n: u8) -> Result<(TagFile, ReplayStore), TagFileError> {
        TagFile::open(dir, &key(n), Capacity::default())
    }

    fn prints(from: u32, to: u32) -> Vec<u8> {
        (from..to)
            .flat_map(|n| [[9].as_slice(), &n.to_be_bytes()].concat())
            .collect()
    }

    #[test]
    fn what_was_appended_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, store) = open(dir.path(), 1).unwrap();
        assert!(store.is_empty());
        file.append(&prints(0, 100)).unwrap();
        file.append(&prints(100, 300)).unwrap();
        drop(file);
        let (mut file, store) = open(dir.path(), 1).unwrap();
        assert_eq!(store.len(), 300);
        file.append(&prints(300, 301)).unwrap();
        assert_eq!(open(dir.path(), 1).unwrap().1.len(), 301);
        // Another key has another file.
        assert!(open(dir.path(), 2).unwrap().1.is_empty());
    }

    #[test]
    fn a_torn_end_is_cut_off_and_zeros_are_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, _) = open(dir.path(), 1).unwrap();
        file.append(&prints(0, 10)).unwrap();
        let path = file.path.clone();
        drop(file);
        let whole = fs::read(&path).unwrap();
        for cut in 1..=FINGERPRINT_LEN {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (mut file, store) = open(dir.path(), 1).unwrap();
            assert_eq!(store.len(), 9, "{cut} bytes cut off");
            file.append(&prints(20, 21)).unwrap();
            assert_eq!(open(dir.path(), 1).unwrap().1.len(), 10);
        }
        fs::write(&path, [&whole[..], &[0; 4096]].concat()).unwrap();
        assert_eq!(open(dir.path(), 1).unwrap().1.len(), 10);
        // A header that was cut off while the file was made: nothing was remembered yet.
        for cut in 0..HEADER_LEN {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(open(dir.path(), 1).unwrap().1.is_empty());
        }
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = open(dir.path(), 1).unwrap();
        let mut bytes = fs::read(&file.path).unwrap();
        for at in [0, 15, 16, 31] {
            bytes[at] ^= 1;
            fs::write(&file.path, &bytes).unwrap();
            let refused = open(dir.path(), 1).err().unwrap();
            assert!(matches!(refused, TagFileError::NotOurs { .. }), "byte {at}");
            assert!(refused.to_string().contains("begin with a new mix key"));
            bytes[at] ^= 1;
        }
    }

    #[test]
    fn files_of_other_keys_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [1, 2].map(|n| open(dir.path(), n).unwrap().0.path);
        let other = dir.path().join("replay-notes.txt");
        fs::write(&other, "not ours").unwrap();
        let start = SystemTime::now();
        // A key that was in use a moment ago may come into use again.
        remove_others(dir.path(), &key(2).public(), start - HOUR).unwrap();
        assert!(paths.iter().all(|path| path.exists()));
        remove_others(dir.path(), &key(2).public(), start + HOUR).unwrap();
        assert!(!paths[0].exists() && paths[1].exists() && other.exists());
        let (file, _) = open(dir.path(), 2).unwrap();
        file.remove();
        assert!(!paths[1].exists());
    }
}
