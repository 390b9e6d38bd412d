//! One frame, and the frames of one object.

use thiserror::Error;

use super::{
    FRAGMENTS_MAX, FRAME_FRAGMENT_MAX, FRAME_HEADER_LEN, FRAME_VERSION, KIND_COVER, KIND_MAX,
    OBJECT_ID_LEN, OBJECT_LEN_MAX, Object, TAG_LEN,
};
use crate::error::DropReason;
use crate::message::REPLY_LEN_MAX;

/// Frames that an object of `len` bytes takes. An empty object takes one.
pub fn frames_for(len: usize) -> usize {
    len.div_ceil(FRAME_FRAGMENT_MAX).max(1)
}

/// The frames of `object` under `object_id`, which must be random and new.
pub fn split(object: Object, object_id: [u8; OBJECT_ID_LEN]) -> Result<Frames, Oversize> {
    if object.bytes.len() > OBJECT_LEN_MAX {
        return Err(Oversize(object.bytes.len()));
    }
    Ok(Frames {
        object,
        object_id,
        next: 0,
    })
}

/// The frames of one object, made as they are asked for.
#[derive(Clone)]
pub struct Frames {
    object: Object,
    object_id: [u8; OBJECT_ID_LEN],
    next: usize,
}

impl Iterator for Frames {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let count = frames_for(self.object.bytes.len());
        let index = self.next;
        if index >= count {
            return None;
        }
        self.next += 1;
        let start = index * FRAME_FRAGMENT_MAX;
        let end = (start + FRAME_FRAGMENT_MAX).min(self.object.bytes.len());
        let head = FrameHead {
            kind: self.object.kind,
            tag: self.object.tag,
            object_id: self.object_id,
            index: index as u16,
            count: count as u16,
            object_len: self.object.bytes.len() as u32,
        };
        Some(head.encode(&self.object.bytes[start..end]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = frames_for(self.object.bytes.len()) - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Frames {}

/// What a frame says of its fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: u8,
    pub(crate) tag: [u8; TAG_LEN],
    pub(crate) object_id: [u8; OBJECT_ID_LEN],
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) object_len: u32,
}

impl FrameHead {
    pub(crate) fn encode(&self, fragment: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME_HEADER_LEN + fragment.len());
        frame.extend([FRAME_VERSION, self.kind]);
        frame.extend(self.tag);
        frame.extend(self.object_id);
        frame.extend(self.index.to_be_bytes());
        frame.extend(self.count.to_be_bytes());
        frame.extend(self.object_len.to_be_bytes());
        frame.extend((fragment.len() as u16).to_be_bytes());
        frame.extend(fragment);
        frame
    }

    /// Checks everything that one frame can say about itself. A cover frame has no head worth keeping: `None`.
    pub(crate) fn decode(frame: &[u8]) -> Result<Option<(Self, &[u8])>, FrameError> {
        let (head, rest) =
            frame
                .split_first_chunk::<FRAME_HEADER_LEN>()
                .ok_or(FrameError::Short {
                    needed: FRAME_HEADER_LEN,
                    given: frame.len(),
                })?;
        if head[0] != FRAME_VERSION {
            return Err(FrameError::Version(head[0]));
        }
        let kind = head[1];
        if kind == KIND_COVER {
            return Ok(None);
        }
        if kind > KIND_MAX {
            return Err(FrameError::Kind(kind));
        }
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&head[2..18]);
        let mut object_id = [0; OBJECT_ID_LEN];
        object_id.copy_from_slice(&head[18..26]);
        let this = Self {
            kind,
            tag,
            object_id,
            index: u16::from_be_bytes([head[26], head[27]]),
            count: u16::from_be_bytes([head[28], head[29]]),
            object_len: u32::from_be_bytes([head[30], head[31], head[32], head[33]]),
        };
        let fragment_len = usize::from(u16::from_be_bytes([head[34], head[35]]));
        let (fragment, padding) = rest
            .split_at_checked(fragment_len)
            .ok_or(FrameError::Short {
                needed: FRAME_HEADER_LEN + fragment_len,
                given: frame.len(),
            })?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(FrameError::Padding);
        }
        this.check(fragment_len)?;
        Ok(Some((this, fragment)))
    }

    fn check(&self, fragment_len: usize) -> Result<(), FrameError> {
        let object_len = self.object_len as usize;
        let count = usize::from(self.count);
        let possible = self.index < self.count
            && self.count <= FRAGMENTS_MAX
            && object_len <= OBJECT_LEN_MAX
            // Every fragment carries something, and none carries more than a packet can.
            && fragment_len <= object_len
            && (fragment_len > 0 || (object_len == 0 && count == 1))
            && object_len >= fragment_len + (count - 1)
            && object_len <= fragment_len + (count - 1) * (REPLY_LEN_MAX - FRAME_HEADER_LEN);
        if possible {
            return Ok(());
        }
        Err(FrameError::Bounds {
            index: self.index,
            count: self.count,
            object_len: self.object_len,
            fragment_len,
        })
    }
}

/// An object that is too long to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an object of {0} bytes: it may have 1,200,000")]
pub struct Oversize(pub usize);

/// Why a frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than it must be.
    #[error("a frame of {given} bytes: it needs {needed}")]
    Short {
        /// Bytes that the frame needs.
        needed: usize,
        /// Bytes that there are.
        given: usize,
    },
    /// An unknown version.
    #[error("a frame of version {0}")]
    Version(u8),
    /// An unknown kind.
    #[error("a frame of kind {0}")]
    Kind(u8),
    /// The numbers contradict each other or their bounds.
    #[error("fragment {index} of {count} with {fragment_len} of {object_len} bytes cannot be")]
    Bounds {
        /// The fragment's index.
        index: u16,
        /// The object's fragments.
        count: u16,
        /// The object's bytes.
        object_len: u32,
        /// The fragment's bytes.
        fragment_len: usize,
    },
    /// The bytes after the fragment are not zero.
    #[error("the bytes after the fragment are not zero")]
    Padding,
    /// Too many open objects under one tag.
    #[error("the tag has as many open objects as it may")]
    TagFull,
    /// A fragment contradicts one that came before. The object is given up.
    #[error("a fragment contradicts one that came before")]
    Conflict,
    /// The object was given up before.
    #[error("the object was given up before")]
    Dead,
}

impl FrameError {
    /// The reason under which the frame is counted.
    pub fn reason(&self) -> DropReason {
        match self {
            Self::Short { .. } => DropReason::FrameShort,
            Self::Version(_) => DropReason::FrameVersion,
            Self::Kind(_) => DropReason::FrameKind,
            Self::Bounds { .. } => DropReason::FrameBounds,
            Self::Padding => DropReason::FramePadding,
            Self::TagFull => DropReason::FrameTagFull,
            Self::Conflict => DropReason::FrameConflict,
            Self::Dead => DropReason::FrameDead,
        }
    }
}
