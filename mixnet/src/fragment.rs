//! Objects of up to 1,200,000 bytes in frames of one packet each (spec: gateway frames).
//!
//! ```text
//! 0  1 version 1        1  1 kind            2 16 tag            18 8 object id
//! 26 2 fragment index   28 2 fragment count  30 4 object length  34 2 fragment length   36 the fragment, then zeros
//! ```
//!
//! Numbers are big-endian. The kind is 0 cover, 1 MVDS payload, 2 request, 3 response, 4 top-up of reply blocks. The object id
//! is random and the same in all fragments of an object.

mod frame;
mod reassembly;
#[cfg(test)]
mod tests;

pub(crate) use frame::FrameHead;
pub use frame::{FrameError, Frames, Oversize, frames_for, split};
pub use reassembly::{BYTES_MAX, IDLE, OPEN_PER_TAG_MAX, Reassembler, TOTAL};

use crate::message::FRAME_LEN_MAX;

/// What the mixnet carries for its users.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// The kind, 1 to 4.
    pub kind: u8,
    /// The tag of a registration, or random for an exchange that happens once.
    pub tag: [u8; TAG_LEN],
    /// The content.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Object {{ kind: {}, {} bytes }}",
            self.kind,
            self.bytes.len()
        )
    }
}

// Sizes that the frame format fixes.

/// The only version there is.
pub const FRAME_VERSION: u8 = 1;
/// The kind of a frame that carries nothing.
pub const KIND_COVER: u8 = 0;
/// The last kind that is known.
pub const KIND_MAX: u8 = 4;
/// Bytes of a tag.
pub const TAG_LEN: usize = 16;
/// Bytes of an object id.
pub const OBJECT_ID_LEN: usize = 8;
/// Bytes before the fragment.
pub const FRAME_HEADER_LEN: usize = 36;
/// Fragments of one object.
pub const FRAGMENTS_MAX: u16 = 512;
/// Bytes of one object.
pub const OBJECT_LEN_MAX: usize = 1_200_000;

// Choices of this network.

/// Bytes of an object in one frame: 3949 − 36 = 3913. An object of the greatest length takes 307 frames of 512.
///
/// A reply has room for 16 bytes more, which are not used: an object needs as many frames in one direction as in the other.
pub const FRAME_FRAGMENT_MAX: usize = FRAME_LEN_MAX - FRAME_HEADER_LEN;

const _: () = {
    assert!(FRAME_FRAGMENT_MAX == 3913);
    assert!(OBJECT_LEN_MAX.div_ceil(FRAME_FRAGMENT_MAX) == 307);
};
