//! Keys of archived envelopes, and cursors.
//!
//! ```text
//! key     sent (4, big-endian) ‖ id of the envelope (32) ‖ topic (4)
//! cursor  sent (4)             ‖ id (32)
//! ```
//!
//! Older archives end their keys before the topic; both kinds live side by side. Keys compare as bytes, so an archive is in the
//! order of sending. A cursor is the start of the key of the last envelope that a client got. Spec: mailserver storage key.

use crate::shh::{Envelope, EnvelopeHash, Topic};

/// Where in an archive a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    sent: u32,
    hash: EnvelopeHash,
}

impl Cursor {
    /// Length on the wire.
    pub const LEN: usize = 36;

    /// The place of an envelope.
    pub const fn new(sent: u32, hash: EnvelopeHash) -> Cursor {
        Cursor { sent, hash }
    }

    /// A cursor from its bytes.
    pub fn from_bytes(bytes: &[u8; Cursor::LEN]) -> Cursor {
        let (sent, hash) = bytes.split_at(4);
        Cursor {
            sent: u32::from_be_bytes(sent.try_into().expect("four of them")),
            hash: EnvelopeHash::new(hash.try_into().expect("36 less four")),
        }
    }

    /// The bytes.
    pub fn to_bytes(&self) -> [u8; Cursor::LEN] {
        let mut bytes = [0; Cursor::LEN];
        bytes[..4].copy_from_slice(&self.sent.to_be_bytes());
        bytes[4..].copy_from_slice(self.hash.as_bytes());
        bytes
    }

    /// Unix second at which the envelope was sent.
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// The id of the envelope.
    pub const fn hash(&self) -> EnvelopeHash {
        self.hash
    }
}

/// The key of an archived envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    cursor: Cursor,
    /// Missing in rows of old archives.
    topic: Option<Topic>,
}

impl Key {
    /// Length of a whole key.
    pub const LEN: usize = Cursor::LEN + Topic::LEN;

    /// The key of an envelope.
    pub fn of(envelope: &Envelope) -> Key {
        Key {
            cursor: Cursor::new(envelope.sent(), envelope.hash()),
            topic: Some(envelope.topic()),
        }
    }

    /// The key of an old row, which is also the least key of its place.
    pub const fn at(cursor: Cursor) -> Key {
        Key {
            cursor,
            topic: None,
        }
    }

    /// A key from the bytes of either kind; nothing where they are no key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Key> {
        let (cursor, topic) = bytes.split_first_chunk::<{ Cursor::LEN }>()?;
        let topic = match topic {
            [] => None,
            topic => Some(Topic::new(topic.try_into().ok()?)),
        };
        Some(Key {
            cursor: Cursor::from_bytes(cursor),
            topic,
        })
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.cursor.to_bytes().to_vec();
        if let Some(topic) = &self.topic {
            bytes.extend_from_slice(topic.as_bytes());
        }
        bytes
    }

    /// The start of the key, which is what travels.
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The topic, where the key has it.
    pub const fn topic(&self) -> Option<Topic> {
        self.topic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> EnvelopeHash {
        EnvelopeHash::new(std::array::from_fn(|at| at as u8 + 1))
    }

    #[test]
    fn the_published_key() {
        let key = Key {
            cursor: Cursor::new(0xabcd_ef12, hash()),
            topic: Some(Topic::new([1, 2, 3, 4])),
        };
        let hash: String = (1..=32).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex::encode(key.to_bytes()),
            format!("abcdef12{hash}01020304")
        );
        assert_eq!(key.to_bytes()[..Cursor::LEN], key.cursor().to_bytes());
        assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
    }

    #[test]
    fn old_rows_have_no_topic_and_others_are_no_keys() {
        let old = Cursor::new(7, hash()).to_bytes();
        let key = Key::from_bytes(&old).unwrap();
        assert_eq!((key.topic(), key.to_bytes()), (None, old.to_vec()));
        for len in [0, 4, 35, 37, 39, 41, 80] {
            assert_eq!(Key::from_bytes(&vec![1; len]), None, "{len}");
        }
    }

    #[test]
    fn keys_compare_as_their_bytes() {
        let mut keys = Vec::new();
        for sent in [0, 1, 255, 256, u32::MAX] {
            for byte in [0, 1, 255] {
                let cursor = Cursor::new(sent, EnvelopeHash::new([byte; 32]));
                keys.push(Key {
                    cursor,
                    topic: None,
                });
                keys.push(Key {
                    cursor,
                    topic: Some(Topic::new([byte; 4])),
                });
            }
        }
        for a in &keys {
            for b in &keys {
                assert_eq!(a.cmp(b), a.to_bytes().cmp(&b.to_bytes()));
            }
        }
    }
}
