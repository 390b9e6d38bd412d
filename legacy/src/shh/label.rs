//! Names of what a local client keeps at its node: keys and filters.
//!
//! 32 random bytes, written as 64 lower-case hexadecimal digits without `0x`. Whoever knows the name of a key may use it,
//! so a name is drawn like a key; no other spelling names the same thing. Spec: Whisper v6 JSON-RPC, conventions.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use thiserror::Error;

/// The name of a key or of a filter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label([u8; Label::LEN]);

impl Label {
    /// Bytes of a name.
    pub const LEN: usize = 32;

    /// A name from its bytes.
    pub const fn new(bytes: [u8; Label::LEN]) -> Label {
        Label(bytes)
    }

    /// A fresh name.
    pub fn generate(rng: &mut impl CryptoRng) -> Label {
        let mut bytes = [0; Label::LEN];
        rng.fill_bytes(&mut bytes);
        Label(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Label::LEN] {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Label, NoLabel> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let mut bytes = [0; Label::LEN];
        if !text.bytes().all(lower) || hex::decode_to_slice(text, &mut bytes).is_err() {
            return Err(NoLabel);
        }
        Ok(Label(bytes))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A name is as good as what it names: [`Display`](fmt::Display) is for answers.
impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label")
    }
}

/// A text that names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name has {} lower-case hexadecimal digits and nothing else", 2 * Label::LEN)]
pub struct NoLabel;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_spelling_names_a_thing() {
        let label = Label::new([0xab; 32]);
        let text = label.to_string();
        assert_eq!((text.len(), text.parse()), (64, Ok(label)));
        for wrong in [
            String::new(),
            text.to_uppercase(),
            format!("0x{text}"),
            text[1..].to_owned(),
            format!("{text}a"),
            text.replace('a', "g"),
        ] {
            assert_eq!(wrong.parse::<Label>(), Err(NoLabel), "{wrong}");
        }
        assert_eq!(format!("{label:?}"), "Label");
    }
}
