//! Cells: what a box holds, always of one size, and objects that take several.
//!
//! ```text
//! cell 3136 = nonce 12 ‖ ChaCha20-Poly1305(content 3108) 3124, associated data: the box id
//! content   = one frame of the object (crate::fragment), then zeros
//! ```
//!
//! An object of up to 1,200,000 bytes takes the boxes of consecutive indices. In its frames the kind is 1, the tag is zero, the object
//! id is the index of the object's first box, and every fragment but the last has 3072 bytes: one object has one form only, so writing
//! it again writes the same cells.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use thiserror::Error;

use super::chain::{ChainKey, NONCE_LEN};
use crate::fragment::{FRAME_HEADER_LEN, FrameHead, OBJECT_LEN_MAX, TAG_LEN};

/// What a box holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Cell(Box<[u8; CELL_LEN]>);

impl Cell {
    /// From its bytes; `None` at any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut cell = Box::new([0; CELL_LEN]);
        if bytes.len() != CELL_LEN {
            return None;
        }
        cell.copy_from_slice(bytes);
        Some(Self(cell))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; CELL_LEN] {
        &self.0
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cell")
    }
}

/// The part of an object that one box holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Index of the object's first box.
    pub first: u64,
    /// Boxes of the object.
    pub count: u16,
    /// Bytes of the object.
    pub object_len: usize,
    /// This box's bytes of it.
    pub fragment: Vec<u8>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Part(of {} boxes, {} bytes)",
            self.count, self.object_len
        )
    }
}

/// Boxes that an object of `len` bytes takes.
pub fn boxes_for(len: usize) -> usize {
    len.div_ceil(CELL_FRAGMENT_MAX).max(1)
}

/// The cell of `object` for its box number `part`, when the object's first box has the index `first`. `None` if there is no such
/// part, or the object is too long.
pub fn seal_part(key: &ChainKey, first: u64, object: &[u8], part: usize) -> Option<Cell> {
    let count = boxes_for(object.len());
    if object.len() > OBJECT_LEN_MAX || part >= count {
        return None;
    }
    let start = part * CELL_FRAGMENT_MAX;
    let end = (start + CELL_FRAGMENT_MAX).min(object.len());
    let head = FrameHead {
        kind: KIND,
        tag: [0; TAG_LEN],
        object_id: first.to_be_bytes(),
        index: u16::try_from(part).ok()?,
        count: u16::try_from(count).ok()?,
        object_len: u32::try_from(object.len()).ok()?,
    };
    let mut content = head.encode(&object[start..end]);
    content.resize(CONTENT_LEN, 0);
    seal(key, first.checked_add(part as u64)?, &content)
}

/// Seals a content of [`CONTENT_LEN`] bytes, whatever it says.
pub(crate) fn seal(key: &ChainKey, index: u64, content: &[u8]) -> Option<Cell> {
    let nonce = key.nonce(index, content);
    let sealed = cipher(key, index)
        .encrypt(
            &Nonce::from(nonce),
            Payload {
                msg: content,
                aad: key.box_id(index).as_bytes(),
            },
        )
        .ok()?;
    Cell::from_slice(&[&nonce[..], &sealed].concat())
}

/// Opens the cell of the box of this index.
pub fn open(key: &ChainKey, index: u64, cell: &Cell) -> Result<Part, CellError> {
    let (nonce, sealed) = cell.0.split_at(NONCE_LEN);
    let mut at = Nonce::default();
    at.copy_from_slice(nonce);
    let content = cipher(key, index)
        .decrypt(
            &at,
            Payload {
                msg: sealed,
                aad: key.box_id(index).as_bytes(),
            },
        )
        .map_err(|_| CellError::Forged)?;
    let (head, fragment) = FrameHead::decode(&content)
        .ok()
        .flatten()
        .ok_or(CellError::Malformed)?;
    let first = u64::from_be_bytes(head.object_id);
    let object_len = head.object_len as usize;
    let count = boxes_for(object_len);
    let start = usize::from(head.index) * CELL_FRAGMENT_MAX;
    let is_canonical = head.kind == KIND
        && head.tag == [0; TAG_LEN]
        && usize::from(head.count) == count
        && first.checked_add(head.index.into()) == Some(index)
        && fragment.len() == object_len.saturating_sub(start).min(CELL_FRAGMENT_MAX);
    if !is_canonical {
        return Err(CellError::Malformed);
    }
    Ok(Part {
        first,
        count: head.count,
        object_len,
        fragment: fragment.to_vec(),
    })
}

fn cipher(key: &ChainKey, index: u64) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&(*key.cell_key(index)).into())
}

/// Why a cell does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CellError {
    /// It was not sealed for this box by somebody who has the chain's key.
    #[error("the cell does not authenticate")]
    Forged,
    /// Its writer broke the form.
    #[error("the content of the cell is no part of an object")]
    Malformed,
}

impl CellError {
    /// The label of the reason in vectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Malformed => "malformed",
        }
    }
}

// ---- Sizes ----

/// Bytes of a cell: with the box id, its proof and a reply block it fits one packet, and so does the answer.
pub const CELL_LEN: usize = 3136;

/// Bytes of the sealed content: a cell without its nonce and its authentication tag.
pub const CONTENT_LEN: usize = CELL_LEN - NONCE_LEN - MAC_LEN;

/// Bytes of an object in one cell.
pub const CELL_FRAGMENT_MAX: usize = CONTENT_LEN - FRAME_HEADER_LEN;

const MAC_LEN: usize = 16;

/// The kind in the frames of a cell: an MVDS payload.
const KIND: u8 = 1;

const _: () = assert!(CONTENT_LEN == 3108 && CELL_FRAGMENT_MAX == 3072);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn key() -> ChainKey {
        ChainKey::from_bytes([7; 32])
    }

    proptest! {
        #[test]
        fn an_object_comes_back_from_its_cells(len in 0usize..12_000, first in 0u64..1 << 40) {
            let object: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
            let mut joined = Vec::new();
            for part in 0..boxes_for(len) {
                let cell = seal_part(&key(), first, &object, part).unwrap();
                let opened = open(&key(), first + part as u64, &cell).unwrap();
                prop_assert_eq!((opened.first, opened.object_len), (first, len));
                joined.extend(opened.fragment);
            }
            prop_assert_eq!(joined, object);
            prop_assert!(seal_part(&key(), first, &[0; 10], 1).is_none());
        }
    }

    #[test]
    fn equal_content_makes_equal_cells_and_other_content_another_nonce() {
        let cell = |byte| seal_part(&key(), 3, &[byte; 10], 0).unwrap();
        assert_eq!(cell(1), cell(1));
        assert_ne!(cell(1).as_bytes()[..12], cell(2).as_bytes()[..12]);
    }

    #[test]
    fn a_cell_opens_only_in_its_box_with_its_key_and_untouched() {
        let cell = seal_part(&key(), 3, b"hello", 0).unwrap();
        assert!(open(&key(), 3, &cell).is_ok());
        assert_eq!(open(&key(), 4, &cell), Err(CellError::Forged));
        let other = ChainKey::from_bytes([8; 32]);
        assert_eq!(open(&other, 3, &cell), Err(CellError::Forged));
        for at in [0, 11, 12, 1000, CELL_LEN - 1] {
            let mut bytes = *cell.as_bytes();
            bytes[at] ^= 1;
            let touched = Cell::from_slice(&bytes).unwrap();
            assert_eq!(open(&key(), 3, &touched), Err(CellError::Forged), "{at}");
        }
    }

    #[test]
    fn a_writer_who_breaks_the_form_is_refused() {
        let head = FrameHead {
            kind: KIND,
            tag: [0; TAG_LEN],
            object_id: 3u64.to_be_bytes(),
            index: 0,
            count: 1,
            object_len: 5,
        };
        let sealed = |head: FrameHead, fragment: &[u8]| {
            let mut content = head.encode(fragment);
            content.resize(CONTENT_LEN, 0);
            open(&key(), 3, &seal(&key(), 3, &content).unwrap())
        };
        assert!(sealed(head, b"hello").is_ok());
        let cases = [
            (FrameHead { kind: 2, ..head }, &b"hello"[..]),
            (FrameHead { kind: 0, ..head }, b"hello"),
            (
                FrameHead {
                    tag: [1; TAG_LEN],
                    ..head
                },
                b"hello",
            ),
            (
                FrameHead {
                    object_id: 4u64.to_be_bytes(),
                    ..head
                },
                b"hello",
            ),
            (
                FrameHead {
                    object_len: 6,
                    count: 2,
                    ..head
                },
                b"hello",
            ),
            (
                FrameHead {
                    object_len: 4000,
                    count: 2,
                    ..head
                },
                &[1; 3000],
            ),
            (
                FrameHead {
                    object_len: u32::MAX,
                    ..head
                },
                b"hello",
            ),
        ];
        for (n, (head, fragment)) in cases.into_iter().enumerate() {
            assert_eq!(sealed(head, fragment), Err(CellError::Malformed), "{n}");
        }
    }

    #[test]
    fn too_long_is_not_sealed() {
        let long = vec![0; OBJECT_LEN_MAX + 1];
        assert!(seal_part(&key(), 0, &long, 0).is_none());
        assert!(seal_part(&key(), 0, &long[1..], 0).is_some());
        assert!(seal_part(&key(), u64::MAX, &[0; 4000], 1).is_none());
    }
}
