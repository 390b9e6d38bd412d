//! What a directory knows, as a file keeps it for the next start.
//!
//! ```text
//! "ferry directory 1\n" 18 ‖ epoch u32 ‖ watching since u32 ‖ count u32 ‖ (since u32 ‖ length u16 ‖ descriptor) … ‖ SHA-256[0..16]
//! ```
//!
//! Descriptors are verified again when they are read; the hash at the end only tells a damaged file from a whole one.

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::limits::REGISTRY_MAX;
use crate::descriptor::{DESCRIPTOR_LEN_MAX, Descriptor};
use crate::rest::{EndsEarly, Rest};

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The epoch in which it was written.
    pub epoch: u32,
    /// Since which epoch the directory has listened without a gap.
    pub watching_since: u32,
    /// Descriptors, each with the epoch since which its node is registered.
    pub known: Vec<(u32, Descriptor)>,
}

impl Snapshot {
    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.watching_since.to_be_bytes());
        bytes.extend((self.known.len() as u32).to_be_bytes());
        for (since, descriptor) in &self.known {
            let descriptor = descriptor.to_bytes();
            bytes.extend(since.to_be_bytes());
            bytes.extend((descriptor.len() as u16).to_be_bytes());
            bytes.extend(descriptor);
        }
        let check: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend(&check[..CHECK_LEN]);
        bytes
    }

    /// Reads the content of a file. A descriptor that does not verify any more is left out.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let body_len = bytes
            .len()
            .checked_sub(CHECK_LEN)
            .ok_or(SnapshotError::Damaged)?;
        let (body, check) = bytes.split_at(body_len);
        let found: [u8; 32] = Sha256::digest(body).into();
        let rest = body.strip_prefix(MAGIC).ok_or(SnapshotError::Foreign)?;
        if check != &found[..CHECK_LEN] {
            return Err(SnapshotError::Damaged);
        }
        let mut rest = Rest::new(rest);
        let (epoch, watching_since) = (rest.u32()?, rest.u32()?);
        let count = rest.u32()? as usize;
        if count > KNOWN_MAX {
            return Err(SnapshotError::Damaged);
        }
        let mut known = Vec::new();
        for _ in 0..count {
            let since = rest.u32()?;
            let len = usize::from(rest.u16()?);
            if len > DESCRIPTOR_LEN_MAX {
                return Err(SnapshotError::Damaged);
            }
            if let Ok(descriptor) = Descriptor::from_bytes(rest.slice(len)?) {
                known.push((since, descriptor));
            }
        }
        if rest.len() > 0 {
            return Err(SnapshotError::Damaged);
        }
        Ok(Self {
            epoch,
            watching_since,
            known,
        })
    }
}

impl From<EndsEarly> for SnapshotError {
    fn from(_: EndsEarly) -> Self {
        Self::Damaged
    }
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Another file, or another version of it.
    #[error("it is not the file of a directory of version 1")]
    Foreign,
    /// Cut off or changed.
    #[error("it is damaged")]
    Damaged,
}

const MAGIC: &[u8] = b"ferry directory 1\n";
const CHECK_LEN: usize = 16;
/// Each node has a descriptor for three epochs at most.
const KNOWN_MAX: usize = 3 * REGISTRY_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Statement;
    use crate::descriptor::tests::identity;
    use crate::sphinx::PublicKey;

    #[test]
    fn a_file_is_read_as_it_was_written_or_not_at_all() {
        let descriptor = |n| {
            let statement = Statement::new(5, PublicKey::from_bytes([9; 32]));
            Descriptor::sign(statement, &identity(n)).unwrap()
        };
        let snapshot = Snapshot {
            epoch: 6,
            watching_since: 2,
            known: vec![(3, descriptor(1)), (5, descriptor(2))],
        };
        let bytes = snapshot.encode();
        assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
        for len in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x10;
            assert!(Snapshot::decode(&other).is_err(), "byte {at}");
        }
        let empty = Snapshot::default();
        assert_eq!(Snapshot::decode(&empty.encode()), Ok(empty));
    }
}
