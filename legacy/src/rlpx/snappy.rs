//! Compression of payloads, from version 5 of the base protocol on.
//!
//! A payload is one raw Snappy block: the uncompressed length as a varint, then literals and copies. The message code in
//! front of it stays as it is. An empty payload has no length and is an error; even a ping carries `01 00 c0`.
//! The announced length is held against the bound of the connection's state before anything is inflated, so a small
//! frame cannot make us allocate. Spec: EIP-706.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};
use thiserror::Error;

use crate::error::Blame;
use crate::limits::FRAME_LEN_MAX;

/// Compresses a payload.
pub fn deflate(payload: &[u8]) -> Result<Vec<u8>, SnappyError> {
    if payload.len() > FRAME_LEN_MAX {
        return Err(SnappyError::TooLong {
            len: payload.len(),
            max: FRAME_LEN_MAX,
        });
    }
    Encoder::new()
        .compress_vec(payload)
        .map_err(|_| SnappyError::Malformed)
}

/// Inflates a payload of at most `len_max` bytes.
pub fn inflate(payload: &[u8], len_max: usize) -> Result<Vec<u8>, SnappyError> {
    if payload.is_empty() {
        return Err(SnappyError::Empty);
    }
    let len = decompress_len(payload).map_err(|_| SnappyError::Malformed)?;
    if len > FRAME_LEN_MAX {
        return Err(SnappyError::TooLong {
            len,
            max: FRAME_LEN_MAX,
        });
    }
    if len > len_max {
        return Err(SnappyError::OverLimit { len, max: len_max });
    }
    Decoder::new()
        .decompress_vec(payload)
        .map_err(|_| SnappyError::Malformed)
}

/// The most that a payload can take when it is compressed.
pub fn deflated_len_max(len: usize) -> usize {
    max_compress_len(len)
}

/// Why a payload does not inflate.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnappyError {
    /// Not even a length.
    #[error("a compressed payload is empty")]
    Empty,
    /// Not a Snappy block.
    #[error("a compressed payload is malformed")]
    Malformed,
    /// More than a frame could ever carry.
    #[error("a payload of {len} bytes is over the {max} of the protocol")]
    TooLong {
        /// The length announced.
        len: usize,
        /// The bound of the protocol.
        max: usize,
    },
    /// More than this state of the connection has use for.
    #[error("a payload of {len} bytes where at most {max} are expected")]
    OverLimit {
        /// The length announced.
        len: usize,
        /// The bound of this state.
        max: usize,
    },
}

impl SnappyError {
    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        Blame::Peer
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ping_is_the_published_three_bytes() {
        assert_eq!(deflate(&[0xc0]).unwrap(), [0x01, 0x00, 0xc0]);
        assert_eq!(inflate(&[0x01, 0x00, 0xc0], 2048).unwrap(), [0xc0]);
    }

    #[test]
    fn lengths_are_checked_before_anything_is_inflated() {
        assert_eq!(inflate(&[], 10), Err(SnappyError::Empty));
        // 16 MiB + 1 and 16 MiB, announced by five bytes.
        assert_eq!(
            inflate(&[0x81, 0x80, 0x80, 0x08, 0x00], 1 << 30),
            Err(SnappyError::TooLong {
                len: (1 << 24) + 1,
                max: FRAME_LEN_MAX
            })
        );
        assert_eq!(
            inflate(&[0xff, 0xff, 0xff, 0x07, 0x00], 2048),
            Err(SnappyError::OverLimit {
                len: FRAME_LEN_MAX,
                max: 2048
            })
        );
        // A varint that never ends, and one that is too wide.
        assert_eq!(inflate(&[0xff; 3], 10), Err(SnappyError::Malformed));
        assert_eq!(inflate(&[0xff; 12], 10), Err(SnappyError::Malformed));
    }

    #[test]
    fn cut_and_changed_blocks_are_refused() {
        let block = deflate(&[7; 500]).unwrap();
        for len in 1..block.len() {
            assert_eq!(
                inflate(&block[..len], 2048),
                Err(SnappyError::Malformed),
                "{len}"
            );
        }
        // A copy from before the start.
        assert_eq!(
            inflate(&[0x04, 0x01, 0x05], 2048),
            Err(SnappyError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn what_is_deflated_inflates(payload in prop::collection::vec(any::<u8>(), 0..2000)) {
            let block = deflate(&payload).unwrap();
            prop_assert!(block.len() <= deflated_len_max(payload.len()));
            prop_assert_eq!(inflate(&block, payload.len()).unwrap(), payload);
        }

        #[test]
        fn any_bytes_inflate_within_the_bound_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(payload) = inflate(&bytes, 4096) {
                prop_assert!(payload.len() <= 4096);
            }
        }
    }
}
