//! Fixed fields of what others wrote, read one after the other.
//!
//! ```text
//! field ‖ field ‖ field …      all numbers big-endian; nothing is read behind the end, and nothing panics
//! ```

/// What is not read yet.
pub(crate) struct Rest<'a> {
    bytes: &'a [u8],
    given: usize,
}

/// The bytes end within a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndsEarly {
    /// How many there were in all.
    pub(crate) given: usize,
}

impl<'a> Rest<'a> {
    /// All of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            given: bytes.len(),
        }
    }

    /// The next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], EndsEarly> {
        let given = self.given;
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(EndsEarly { given })?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// The next `len` bytes.
    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], EndsEarly> {
        let given = self.given;
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(EndsEarly { given })?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, EndsEarly> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, EndsEarly> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, EndsEarly> {
        self.take().map(u32::from_be_bytes)
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}
