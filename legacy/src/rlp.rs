//! RLP, read strictly.
//!
//! ```text
//! 00..=7f          one byte, itself
//! 80..=b7  data    string of 0..=55 bytes        b8..=bf  length  data    longer string
//! c0..=f7  items   list of 0..=55 bytes          f8..=ff  length  items   longer list
//! ```
//!
//! One value has one encoding: a length that could be shorter, a single byte behind a prefix and an integer with a
//! leading zero are errors, as is a header that promises more than there is. Reading is by cursor: nothing is copied,
//! nothing recurses and nothing is allocated, so a hostile list can be as deep as it likes.
//! This is the only file that names the `rlp` crate. Spec: RLP.

use rlp::{DecoderError, PayloadInfo, RlpStream};
use thiserror::Error;

/// One value inside somebody's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    raw: &'a [u8],
    header_len: usize,
}

impl<'a> Item<'a> {
    /// The value that these bytes are, with nothing after it.
    pub fn exact(bytes: &'a [u8]) -> Result<Item<'a>, RlpError> {
        let (item, rest) = Item::first(bytes)?;
        if !rest.is_empty() {
            return Err(RlpError::Trailing { len: rest.len() });
        }
        Ok(item)
    }

    /// The value at the start of these bytes, and what follows it.
    pub fn first(bytes: &'a [u8]) -> Result<(Item<'a>, &'a [u8]), RlpError> {
        let info = PayloadInfo::from(bytes).map_err(header_error)?;
        let end = info
            .header_len
            .checked_add(info.value_len)
            .ok_or(RlpError::TooShort)?;
        let (raw, rest) = bytes.split_at_checked(end).ok_or(RlpError::TooShort)?;
        if raw.len() == 2 && raw[0] == SINGLE_BYTE_PREFIX && raw[1] < STRING {
            return Err(RlpError::NotCanonical);
        }
        Ok((
            Item {
                raw,
                header_len: info.header_len,
            },
            rest,
        ))
    }

    /// The whole encoding, header included.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        self.raw.first().is_some_and(|first| *first >= LIST)
    }

    /// The bytes of a string.
    pub fn bytes(&self) -> Result<&'a [u8], RlpError> {
        if self.is_list() {
            return Err(RlpError::List);
        }
        Ok(&self.raw[self.header_len..])
    }

    /// The bytes of a string of one known length.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], RlpError> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| RlpError::Length {
            expected: N,
            found: bytes.len(),
        })
    }

    /// An integer without leading zeros.
    pub fn uint(&self) -> Result<u64, RlpError> {
        let bytes = self.bytes()?;
        if bytes.first() == Some(&0) {
            return Err(RlpError::NotCanonical);
        }
        if bytes.len() > size_of::<u64>() {
            return Err(RlpError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// An integer of at most 32 bits.
    pub fn uint32(&self) -> Result<u32, RlpError> {
        let value = self.uint()?;
        u32::try_from(value).map_err(|_| RlpError::TooLarge {
            bytes: self.raw.len() - self.header_len,
        })
    }

    /// A truth value: the integer 0 or 1.
    pub fn boolean(&self) -> Result<bool, RlpError> {
        match self.uint()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RlpError::NotBoolean),
        }
    }

    /// The items of a list.
    pub fn list(&self) -> Result<Items<'a>, RlpError> {
        if !self.is_list() {
            return Err(RlpError::NotList);
        }
        Ok(Items {
            rest: &self.raw[self.header_len..],
        })
    }

    /// The items of a list of one known length. Every item is checked to be well formed, not what is in it.
    pub fn list_of<const N: usize>(&self) -> Result<[Item<'a>; N], RlpError> {
        let mut items = self.list()?;
        let mut found = [*self; N];
        for item in &mut found {
            *item = items.required()?;
        }
        items.end()?;
        Ok(found)
    }
}

/// A cursor over the items of a list.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// The next item; the list must have one.
    pub fn required(&mut self) -> Result<Item<'a>, RlpError> {
        self.advance()?.ok_or(RlpError::TooFewItems)
    }

    /// The next item, if there is one.
    pub fn advance(&mut self) -> Result<Option<Item<'a>>, RlpError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (item, rest) = Item::first(self.rest)?;
        self.rest = rest;
        Ok(Some(item))
    }

    /// The list ends here.
    pub fn end(&self) -> Result<(), RlpError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(RlpError::TooManyItems)
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, RlpError>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Result<Item<'a>, RlpError>> {
        let next = self.advance();
        if next.is_err() {
            self.rest = &[];
        }
        next.transpose()
    }
}

/// Writes a list of items whose number need not be known before.
pub struct List(RlpStream);

impl List {
    /// A list without items.
    pub fn new() -> List {
        let mut stream = RlpStream::new();
        stream.begin_unbounded_list();
        List(stream)
    }

    /// Adds an integer.
    pub fn uint(mut self, value: u64) -> List {
        self.0.append(&value);
        self
    }

    /// Adds a string.
    pub fn bytes(mut self, bytes: &[u8]) -> List {
        self.0.append(&bytes);
        self
    }

    /// Adds a truth value.
    pub fn boolean(self, value: bool) -> List {
        self.uint(u64::from(value))
    }

    /// Adds an item that is encoded already.
    pub fn raw(mut self, item: &[u8]) -> List {
        self.0.append_raw(item, 1);
        self
    }

    /// Adds a list.
    pub fn list(self, list: List) -> List {
        self.raw(&list.finish())
    }

    /// The encoding.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.finalize_unbounded_list();
        self.0.out().to_vec()
    }
}

impl Default for List {
    fn default() -> List {
        List::new()
    }
}

/// The encoding of one integer on its own.
pub fn encode_uint(value: u64) -> Vec<u8> {
    rlp::encode(&value).to_vec()
}

/// The encoding of one string on its own.
pub fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
    rlp::encode(&bytes).to_vec()
}

/// Why bytes are not the RLP that is expected.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RlpError {
    /// A header promises more bytes than there are.
    #[error("the value ends before its announced length")]
    TooShort,
    /// The value has a shorter encoding.
    #[error("the encoding is not the shortest one")]
    NotCanonical,
    /// There is something after the value.
    #[error("{len} bytes follow the value")]
    Trailing {
        /// How many.
        len: usize,
    },
    /// A string was expected.
    #[error("a list stands where a string is expected")]
    List,
    /// A list was expected.
    #[error("a string stands where a list is expected")]
    NotList,
    /// A string of another length was expected.
    #[error("a string of {found} bytes stands where {expected} are expected")]
    Length {
        /// The length it must have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// An integer does not fit its type.
    #[error("an integer of {bytes} bytes is too large")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Neither 0 nor 1.
    #[error("a truth value is neither 0 nor 1")]
    NotBoolean,
    /// A list is too short.
    #[error("the list has too few items")]
    TooFewItems,
    /// A list is too long.
    #[error("the list has too many items")]
    TooManyItems,
}

fn header_error(error: DecoderError) -> RlpError {
    match error {
        DecoderError::RlpIsTooShort => RlpError::TooShort,
        DecoderError::RlpInvalidIndirection
        | DecoderError::RlpDataLenWithZeroPrefix
        | DecoderError::RlpListLenWithZeroPrefix => RlpError::NotCanonical,
        // A length of more bytes than a pointer has: no such value exists.
        _ => RlpError::TooShort,
    }
}

/// A string of one byte behind a prefix, legal only for bytes that cannot stand alone.
const SINGLE_BYTE_PREFIX: u8 = 0x81;
/// The first prefix of a string.
const STRING: u8 = 0x80;
/// The first prefix of a list.
const LIST: u8 = 0xc0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(text: &str) -> Result<Vec<u8>, RlpError> {
        let bytes = hex::decode(text).unwrap();
        Item::exact(&bytes).map(|item| item.raw().to_vec())
    }

    #[test]
    fn malformed_values_are_refused() {
        for (text, error) in [
            ("", RlpError::TooShort),
            ("81", RlpError::TooShort),
            ("8105", RlpError::NotCanonical),
            ("8100", RlpError::NotCanonical),
            ("8202", RlpError::TooShort),
            ("b800", RlpError::NotCanonical),
            ("b80102", RlpError::NotCanonical),
            ("b90001", RlpError::NotCanonical),
            ("bfffffffffffffffff", RlpError::TooShort),
            ("ffffffffffffffffff", RlpError::TooShort),
            ("f800", RlpError::NotCanonical),
            ("c1", RlpError::TooShort),
            ("b8", RlpError::TooShort),
            ("8000", RlpError::Trailing { len: 1 }),
            ("c0c0", RlpError::Trailing { len: 1 }),
        ] {
            assert_eq!(item(text), Err(error), "{text}");
        }
    }

    #[test]
    fn integers_are_minimal_and_bounded() {
        let uint = |text: &str| {
            let bytes = hex::decode(text).unwrap();
            Item::exact(&bytes).and_then(|item| item.uint())
        };
        assert_eq!(uint("80"), Ok(0));
        assert_eq!(uint("7f"), Ok(0x7f));
        assert_eq!(uint("8180"), Ok(0x80));
        assert_eq!(uint("88ffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(uint("00"), Err(RlpError::NotCanonical));
        assert_eq!(uint("820001"), Err(RlpError::NotCanonical));
        assert_eq!(
            uint("89010000000000000000"),
            Err(RlpError::TooLarge { bytes: 9 })
        );
        assert_eq!(uint("c0"), Err(RlpError::List));
        let wide = hex::decode("850100000000").unwrap();
        assert_eq!(
            Item::exact(&wide).unwrap().uint32(),
            Err(RlpError::TooLarge { bytes: 5 })
        );
        assert_eq!(
            Item::exact(&[2]).unwrap().boolean(),
            Err(RlpError::NotBoolean)
        );
    }

    #[test]
    fn lists_of_a_known_length_have_it() {
        let bytes = hex::decode("c3010203").unwrap();
        let list = Item::exact(&bytes).unwrap();
        assert_eq!(
            list.list_of::<3>()
                .unwrap()
                .map(|item| item.uint().unwrap()),
            [1, 2, 3]
        );
        assert_eq!(list.list_of::<2>(), Err(RlpError::TooManyItems));
        assert_eq!(list.list_of::<4>(), Err(RlpError::TooFewItems));
        assert_eq!(
            Item::exact(&[0x80]).unwrap().list_of::<0>(),
            Err(RlpError::NotList)
        );
        assert_eq!(list.array::<3>(), Err(RlpError::List));
    }

    #[test]
    fn a_deep_list_costs_no_stack() {
        let mut bytes = vec![0xc0];
        for _ in 0..10_000 {
            bytes = List::new().raw(&bytes).finish();
        }
        let mut depth = 0;
        let mut at = Item::exact(&bytes).unwrap();
        while let Some(inner) = at.list().unwrap().advance().unwrap() {
            at = inner;
            depth += 1;
        }
        assert_eq!(depth, 10_000);
    }

    #[test]
    fn iteration_ends_with_the_first_error() {
        let bytes = hex::decode("c3018105").unwrap();
        let items: Vec<_> = Item::exact(&bytes).unwrap().list().unwrap().collect();
        assert_eq!(items.len(), 2);
        assert_eq!(items[1], Err(RlpError::NotCanonical));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, flag: bool, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = List::new().uint(number).boolean(flag).bytes(&bytes).list(List::new().uint(7)).finish();
            let [a, b, c, d] = Item::exact(&text).unwrap().list_of().unwrap();
            prop_assert_eq!(a.uint(), Ok(number));
            prop_assert_eq!(b.boolean(), Ok(flag));
            prop_assert_eq!(c.bytes(), Ok(&bytes[..]));
            prop_assert_eq!(d.list_of::<1>().unwrap()[0].uint(), Ok(7));
            prop_assert_eq!(a.raw(), &encode_uint(number)[..]);
            prop_assert_eq!(c.raw(), &encode_bytes(&bytes)[..]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((item, rest)) = Item::first(&bytes) {
                prop_assert_eq!(item.raw().len() + rest.len(), bytes.len());
                let _ = (item.uint(), item.bytes(), item.boolean(), item.array::<4>(), item.list_of::<5>());
                if let Ok(items) = item.list() {
                    prop_assert!(items.count() <= bytes.len());
                }
            }
        }
    }
}
