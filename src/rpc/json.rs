//! Where one JSON value ends and the next begins, and what go-ethereum says of text that is none.

use serde_json::value::RawValue;

/// What stands at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// A value.
    Value(String),
    /// Nothing, or a value that is not finished.
    Unfinished,
    /// No JSON, in the words of Go's decoder.
    Broken(String),
}

/// The first value of a text; what follows it is not looked at.
pub(crate) fn first(text: &str) -> First {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    match values.next() {
        None => First::Unfinished,
        Some(Ok(value)) => First::Value(value.get().to_owned()),
        Some(Err(error)) if error.is_eof() || may_go_on(text, &error) => First::Unfinished,
        Some(Err(error)) => First::Broken(words(text, &error)),
    }
}

/// A stream of values without any separator, as the unix socket carries them.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    bytes: Vec<u8>,
    /// How far the bytes are looked at.
    seen: usize,
    depth: usize,
    within: Within,
}

/// What the next byte belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    List,
    Text,
    Escape,
    Scalar,
}

impl Splitter {
    /// Takes in what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes of the value that is not finished.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The next value, when its last byte is here. A value that can become none is found out early while it is short.
    pub(crate) fn next(&mut self) -> First {
        while let Some(byte) = self.bytes.get(self.seen).copied() {
            if let Some(end) = self.step(byte) {
                let value: Vec<u8> = self.bytes.drain(..end).collect();
                (self.seen, self.depth, self.within) = (0, 0, Within::Nothing);
                return first(&String::from_utf8_lossy(&value));
            }
        }
        if self.bytes.len() > LOOK_EARLY_MAX {
            return First::Unfinished;
        }
        match first(&String::from_utf8_lossy(&self.bytes)) {
            First::Value(_) | First::Unfinished => First::Unfinished,
            broken @ First::Broken(_) => broken,
        }
    }

    /// Looks at one byte; the length of the value if it is complete.
    fn step(&mut self, byte: u8) -> Option<usize> {
        let at = self.seen;
        self.seen += 1;
        match (self.within, byte) {
            (Within::Text, b'\\') => self.within = Within::Escape,
            (Within::Escape, _) => self.within = Within::Text,
            (Within::Text, b'"') if self.depth == 0 => return Some(self.seen),
            (Within::Text, b'"') => self.within = Within::List,
            (Within::Text, _) => {}
            (Within::Scalar, b' ' | b'\t' | b'\n' | b'\r' | b'{' | b'[' | b'"') => {
                return Some(at);
            }
            (Within::Scalar, _) => {}
            (Within::Nothing | Within::List, b'"') => self.within = Within::Text,
            (Within::Nothing | Within::List, b'{' | b'[') => {
                self.depth += 1;
                self.within = Within::List;
            }
            (Within::List, b'}' | b']') => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Some(self.seen);
                }
            }
            (Within::Nothing, b' ' | b'\t' | b'\n' | b'\r') | (Within::List, _) => {}
            (Within::Nothing, _) => self.within = Within::Scalar,
        }
        None
    }
}

/// Whether a number only lacks its digits.
fn may_go_on(text: &str, error: &serde_json::Error) -> bool {
    error.to_string().starts_with("invalid number") && text.ends_with(['-', '+', '.', 'e', 'E'])
}

/// Go's words for what is wrong, as far as clients ever saw them.
fn words(text: &str, error: &serde_json::Error) -> String {
    let line = text
        .lines()
        .nth(error.line().saturating_sub(1))
        .unwrap_or("");
    let column = error.column().saturating_sub(1);
    let (before, rest) = line
        .is_char_boundary(column)
        .then(|| line.split_at_checked(column))
        .flatten()
        .unwrap_or((line, ""));
    let message = error.to_string();
    let wrong = if message.starts_with("control character") {
        text.chars().find(|one| u32::from(*one) < 0x20)
    } else {
        rest.chars().next()
    };
    let Some(wrong) = wrong else {
        return "unexpected end of JSON input".to_owned();
    };
    let place = PLACES
        .iter()
        .find(|(ours, _)| message.starts_with(ours))
        .map_or_else(|| literal(before), |(_, gos)| (*gos).to_owned());
    format!("invalid character {} {place}", quoted(wrong))
}

/// Go's words inside a number, `true`, `false` or `null`.
fn literal(before: &str) -> String {
    let word = before
        .rsplit(|one: char| !one.is_ascii_alphabetic())
        .next()
        .unwrap_or("");
    for whole in ["true", "false", "null"] {
        if let Some(expected) = whole
            .strip_prefix(word)
            .and_then(|rest| rest.chars().next())
            && !word.is_empty()
        {
            return format!("in literal {whole} (expecting '{expected}')");
        }
    }
    match before.chars().last() {
        Some('.') => "after decimal point in numeric literal".to_owned(),
        Some('e' | 'E' | '+') => "in exponent of numeric literal".to_owned(),
        _ => "in numeric literal".to_owned(),
    }
}

fn quoted(one: char) -> String {
    match one {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\n' | '\t' | '\r' | '\\' => format!("'{}'", one.escape_default()),
        one if u32::from(one) < 0x20 => format!(r"'\x{:02x}'", u32::from(one)),
        one => format!("'{one}'"),
    }
}

/// The beginning of a message of `serde_json`, and Go's words for the same place.
const PLACES: &[(&str, &str)] = &[
    ("expected value", "looking for beginning of value"),
    (
        "key must be a string",
        "looking for beginning of object key string",
    ),
    ("expected `:`", "after object key"),
    ("expected `,` or `}`", "after object key:value pair"),
    ("expected `,` or `]`", "after array element"),
    ("invalid escape", "in string escape code"),
    ("control character", "in string literal"),
];

/// An unfinished value up to this length is looked at as a whole after every read; a longer one when it is complete.
const LOOK_EARLY_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&str]) -> Vec<First> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for chunk in chunks {
            splitter.push(chunk.as_bytes());
            loop {
                match splitter.next() {
                    First::Unfinished => break,
                    broken @ First::Broken(_) => {
                        found.push(broken);
                        return found;
                    }
                    value => found.push(value),
                }
            }
        }
        found
    }

    #[test]
    fn values_follow_each_other_without_a_separator() {
        let one = r#"{"a":"}]\"{","b":[1,{}]}"#;
        let values = [one, "[1,2]", "\"x\"", "5 ", "true\n", "{}"];
        let stream = values.concat();
        let expected: Vec<First> = values
            .iter()
            .map(|value| First::Value(value.trim().to_owned()))
            .collect();
        assert_eq!(split(&[&stream]), expected);
        let bytes: Vec<String> = stream.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(split(&bytes), expected, "one byte at a time");
    }

    #[test]
    fn the_words_of_go() {
        for (text, expected) in [
            ("x", "invalid character 'x' looking for beginning of value"),
            ("}", "invalid character '}' looking for beginning of value"),
            (r#"{"a" 5}"#, "invalid character '5' after object key"),
            (
                r#"{"a":x}"#,
                "invalid character 'x' looking for beginning of value",
            ),
            (
                "{5}",
                "invalid character '5' looking for beginning of object key string",
            ),
            (
                r#"{"a":1,}"#,
                "invalid character '}' looking for beginning of object key string",
            ),
            (
                "[1,]",
                "invalid character ']' looking for beginning of value",
            ),
            (
                r#"{"a":1 5}"#,
                "invalid character '5' after object key:value pair",
            ),
            ("[1 2]", "invalid character '2' after array element"),
            (
                r#"{"a":tru }"#,
                "invalid character ' ' in literal true (expecting 'e')",
            ),
            (r#""a\q""#, "invalid character 'q' in string escape code"),
            (
                "{\"a\":\"\u{1}\"}",
                r"invalid character '\x01' in string literal",
            ),
            ("-x", "invalid character 'x' in numeric literal"),
            (
                "1.x",
                "invalid character 'x' after decimal point in numeric literal",
            ),
        ] {
            assert_eq!(first(text), First::Broken(expected.to_owned()), "{text}");
            assert_eq!(
                split(&[text]),
                [First::Broken(expected.to_owned())],
                "{text}"
            );
        }
    }

    #[test]
    fn unfinished_values_wait() {
        for text in ["", " ", "{", "{\"a\":", "[1,", "\"a", "tru", "-"] {
            assert_eq!(first(text), First::Unfinished, "{text}");
            assert_eq!(split(&[text]), [], "{text}");
        }
    }
}
