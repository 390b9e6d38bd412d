//! The payload of a message that any number of connections may send.
//!
//! Its compressed form is the same for every peer, so it is made once; what is left to a connection is its own
//! encryption and MAC. Copies share the bytes.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::snappy::{self, SnappyError};

/// Bytes to send, plain and compressed. Cheap to clone.
#[derive(Clone)]
pub struct Payload {
    plain: Arc<[u8]>,
    /// Nothing where the bytes are more than any frame carries.
    deflated: Result<Arc<[u8]>, SnappyError>,
}

impl Payload {
    /// Compresses the bytes.
    pub fn new(plain: impl Into<Arc<[u8]>>) -> Payload {
        let plain = plain.into();
        Payload {
            deflated: snappy::deflate(&plain).map(Arc::from),
            plain,
        }
    }

    /// The bytes.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// What goes out where both ends compress.
    pub fn deflated(&self) -> Result<&[u8], SnappyError> {
        match &self.deflated {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(*error),
        }
    }

    /// Whether both are one and the same buffer, so that sending both costs the memory of one.
    pub fn shares(&self, other: &Payload) -> bool {
        Arc::ptr_eq(&self.plain, &other.plain)
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.plain
    }
}

impl From<Vec<u8>> for Payload {
    fn from(plain: Vec<u8>) -> Payload {
        Payload::new(plain)
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.plain == other.plain
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.plain.len())
    }
}
