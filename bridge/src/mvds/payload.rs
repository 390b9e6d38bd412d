//! Payloads on the wire.
//!
//! Four lists: acks, offers, requests (ids of 32 bytes) and messages. Two dialects differ in field numbers only; the
//! compact one is used by explicit setting alone, because application messages look like it. spec: `mvds.proto`.
//!
//! A decoder takes any order and unknown fields, and the last of a repeated scalar. Entries of a wrong
//! length (an id, a group id) are dropped and counted, the rest counts: one bad entry of a peer must not cost the others.
//! Lists are counted before anything is allocated for them.

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use proto::mvds as published;
use proto::mvds::compact;
use std::fmt;
use std::sync::Arc;

use super::id::{GroupId, ID_LEN, MessageId};

// From the specification.

/// The most entries of one list.
pub const LIST_LEN_MAX: usize = 1_000;
/// The most parents of one message.
pub const PARENTS_MAX: usize = 64;

// Our own.

/// The longest payload: what the frames of the mixnet carry in one object.
pub const PAYLOAD_LEN_MAX: usize = 1_200_000;
/// The longest body of a group on the mixnet, unless a node is told otherwise.
pub const BODY_LEN_MAX: usize = 131_072;

/// Which field numbers a peer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// 5001 to 5004 and 6001 to 6004: the published specification and every deployed client.
    Published,
    /// 1 to 4: the Go library since v0.0.24. Never on a path of Whisper.
    Compact,
}

impl Dialect {
    /// The field numbers of the four lists.
    const fn lists(self) -> [u32; 4] {
        match self {
            Self::Published => [5_001, 5_002, 5_003, 5_004],
            Self::Compact => [1, 2, 3, 4],
        }
    }

    /// Length of one id in a list: key, length, id.
    pub const fn id_entry_len(self) -> usize {
        match self {
            Self::Published => 3 + 1 + ID_LEN,
            Self::Compact => 1 + 1 + ID_LEN,
        }
    }
}

/// What one peer is told in one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Messages that the sender has stored.
    pub acks: Vec<MessageId>,
    /// Messages that it holds.
    pub offers: Vec<MessageId>,
    /// Messages that it wants.
    pub requests: Vec<MessageId>,
    /// Whole messages.
    pub messages: Vec<Message>,
}

/// One message of a group.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its group.
    pub group: GroupId,
    /// Unix seconds; nobody validates it.
    pub timestamp: i64,
    /// Its content.
    pub body: Arc<[u8]>,
    /// Not covered by the id.
    pub metadata: Option<Metadata>,
}

/// The metadata extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Messages that this one follows. Carried, not acted upon.
    pub parents: Vec<MessageId>,
    /// Sent once, not acknowledged.
    pub ephemeral: bool,
}

/// A payload as it came, and how many of its entries were unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The usable entries, in order.
    pub payload: Payload,
    /// Ids, group ids and parents of a wrong length.
    pub dropped: usize,
}

/// Why bytes are no payload that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Longer than any object of the transport.
    #[error("a payload of {len} bytes is longer than the most of {PAYLOAD_LEN_MAX}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not a protobuf message of this dialect.
    #[error("the bytes do not parse as a payload")]
    Malformed,
    /// It parses, but none of the four lists is there: another dialect, or no MVDS.
    #[error("none of the four lists is in these {len} bytes")]
    NoLists {
        /// Their length.
        len: usize,
    },
    /// A list has too many entries.
    #[error("a list of {len} entries is longer than the most of {LIST_LEN_MAX}")]
    ListTooLong {
        /// Its number of entries.
        len: usize,
    },
    /// A message names too many parents.
    #[error("{len} parents are more than the most of {PARENTS_MAX}")]
    TooManyParents {
        /// Their number.
        len: usize,
    },
    /// A body is longer than this node takes.
    #[error("a body of {len} bytes is longer than the most of {max}")]
    BodyTooLong {
        /// Its length.
        len: usize,
        /// The greatest length.
        max: usize,
    },
}

impl PayloadError {
    /// A short name, as vectors use it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed => "malformed",
            Self::NoLists { .. } => "not_mvds",
            Self::ListTooLong { .. } => "list_too_long",
            Self::TooManyParents { .. } => "too_many_parents",
            Self::BodyTooLong { .. } => "body_too_long",
        }
    }
}

/// Whether bytes on a path of Whisper are MVDS: they parse as a payload of the published dialect and some list is not empty.
///
/// The compact dialect is never sniffed.
pub fn is_mvds(bytes: &[u8]) -> bool {
    match count_lists(bytes, Dialect::Published) {
        Ok([0, 0, 0, 0]) | Err(_) => false,
        Ok(_) => published::Payload::decode(bytes).is_ok(),
    }
}

impl Payload {
    /// Whether it says nothing. It then encodes to zero bytes.
    pub fn is_empty(&self) -> bool {
        self.acks.is_empty()
            && self.offers.is_empty()
            && self.requests.is_empty()
            && self.messages.is_empty()
    }

    /// The bytes to send.
    pub fn encode(&self, dialect: Dialect) -> Vec<u8> {
        let ids = |ids: &[MessageId]| ids.iter().map(|id| id.bytes().to_vec()).collect();
        let (acks, offers, requests) = (ids(&self.acks), ids(&self.offers), ids(&self.requests));
        match dialect {
            Dialect::Published => {
                let messages = self.messages.iter().map(Message::to_published).collect();
                published::Payload {
                    acks,
                    offers,
                    requests,
                    messages,
                }
                .encode_to_vec()
            }
            Dialect::Compact => {
                let messages = self.messages.iter().map(Message::to_compact).collect();
                compact::Payload {
                    acks,
                    offers,
                    requests,
                    messages,
                }
                .encode_to_vec()
            }
        }
    }

    /// Reads a payload with bodies of at most `body_len_max` bytes. No bytes are an empty payload, a sign of life.
    pub fn decode(
        dialect: Dialect,
        bytes: &[u8],
        body_len_max: usize,
    ) -> Result<Decoded, PayloadError> {
        let len = bytes.len();
        if len > PAYLOAD_LEN_MAX {
            return Err(PayloadError::TooLong { len });
        }
        let counts = count_lists(bytes, dialect)?;
        if counts == [0; 4] && !bytes.is_empty() {
            return Err(PayloadError::NoLists { len });
        }
        if let Some(len) = counts.into_iter().find(|len| *len > LIST_LEN_MAX) {
            return Err(PayloadError::ListTooLong { len });
        }
        let wire = match dialect {
            Dialect::Published => published::Payload::decode(bytes),
            Dialect::Compact => compact::Payload::decode(bytes).map(from_compact),
        };
        let wire = wire.map_err(|_| PayloadError::Malformed)?;

        let mut dropped = 0;
        let mut payload = Self {
            acks: ids(&wire.acks, &mut dropped),
            offers: ids(&wire.offers, &mut dropped),
            requests: ids(&wire.requests, &mut dropped),
            messages: Vec::with_capacity(wire.messages.len()),
        };
        for message in wire.messages {
            let len = message.body.len();
            if len > body_len_max {
                return Err(PayloadError::BodyTooLong {
                    len,
                    max: body_len_max,
                });
            }
            match Message::from_published(message, &mut dropped)? {
                Some(message) => payload.messages.push(message),
                None => dropped += 1,
            }
        }
        Ok(Decoded { payload, dropped })
    }
}

impl Message {
    /// A message without metadata.
    pub fn new(group: GroupId, timestamp: i64, body: impl Into<Arc<[u8]>>) -> Self {
        Self {
            group,
            timestamp,
            body: body.into(),
            metadata: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> MessageId {
        MessageId::of(&self.group, self.timestamp, &self.body)
    }

    /// Whether it is sent once and not acknowledged.
    pub fn is_ephemeral(&self) -> bool {
        self.metadata
            .as_ref()
            .is_some_and(|metadata| metadata.ephemeral)
    }

    /// Length of the message as an entry of a payload.
    pub fn entry_len(&self, dialect: Dialect) -> usize {
        let (key, len) = match dialect {
            Dialect::Published => (3, self.to_published().encoded_len()),
            Dialect::Compact => (1, self.to_compact().encoded_len()),
        };
        key + prost::length_delimiter_len(len) + len
    }

    /// The message as a record on disk: as in the published dialect.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_published().encode_to_vec()
    }

    /// A message from a record on disk.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let wire = published::Message::decode(bytes).ok()?;
        Self::from_published(wire, &mut 0).ok().flatten()
    }

    fn to_published(&self) -> published::Message {
        published::Message {
            group_id: self.group.bytes().to_vec(),
            timestamp: self.timestamp,
            body: self.body.to_vec(),
            metadata: self.metadata.as_ref().map(|metadata| published::Metadata {
                parents: metadata
                    .parents
                    .iter()
                    .map(|id| id.bytes().to_vec())
                    .collect(),
                ephemeral: metadata.ephemeral,
            }),
        }
    }

    fn to_compact(&self) -> compact::Message {
        let published::Message {
            group_id,
            timestamp,
            body,
            metadata,
        } = self.to_published();
        let metadata =
            metadata.map(
                |published::Metadata { parents, ephemeral }| compact::Metadata {
                    parents,
                    ephemeral,
                },
            );
        compact::Message {
            group_id,
            timestamp,
            body,
            metadata,
        }
    }

    /// `None` if the group id has a wrong length.
    fn from_published(
        wire: published::Message,
        dropped: &mut usize,
    ) -> Result<Option<Self>, PayloadError> {
        let metadata = match wire.metadata {
            None => None,
            Some(metadata) => {
                let len = metadata.parents.len();
                if len > PARENTS_MAX {
                    return Err(PayloadError::TooManyParents { len });
                }
                let parents = ids(&metadata.parents, dropped);
                Some(Metadata {
                    parents,
                    ephemeral: metadata.ephemeral,
                })
            }
        };
        let message = |group| Self {
            group,
            timestamp: wire.timestamp,
            body: wire.body.into(),
            metadata,
        };
        Ok(GroupId::from_slice(&wire.group_id).map(message))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Message({:?}, {}, {} bytes)",
            self.group,
            self.timestamp,
            self.body.len()
        )
    }
}

/// Both dialects name the same fields, so one form is enough after decoding.
fn from_compact(wire: compact::Payload) -> published::Payload {
    let message = |message: compact::Message| published::Message {
        group_id: message.group_id,
        timestamp: message.timestamp,
        body: message.body,
        metadata: message.metadata.map(|metadata| published::Metadata {
            parents: metadata.parents,
            ephemeral: metadata.ephemeral,
        }),
    };
    published::Payload {
        acks: wire.acks,
        offers: wire.offers,
        requests: wire.requests,
        messages: wire.messages.into_iter().map(message).collect(),
    }
}

/// Counts the entries of the four lists without allocating.
fn count_lists(mut bytes: &[u8], dialect: Dialect) -> Result<[usize; 4], PayloadError> {
    let mut counts = [0; 4];
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).map_err(|_| PayloadError::Malformed)?;
        if let Some(list) = dialect.lists().iter().position(|list| *list == number) {
            if wire_type != WireType::LengthDelimited {
                return Err(PayloadError::Malformed);
            }
            counts[list] += 1;
        }
        skip_field(wire_type, number, &mut bytes, DecodeContext::default())
            .map_err(|_| PayloadError::Malformed)?;
    }
    Ok(counts)
}

/// The ids of a right length, counting the others.
fn ids(wire: &[Vec<u8>], dropped: &mut usize) -> Vec<MessageId> {
    let ids: Vec<_> = wire
        .iter()
        .filter_map(|bytes| MessageId::from_slice(bytes))
        .collect();
    *dropped += wire.len() - ids.len();
    ids
}

#[cfg(test)]
mod tests;
