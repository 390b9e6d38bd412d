//! The six packets.
//!
//! ```text
//! datagram = hash (32) ‖ signature (65: r ‖ s ‖ v) ‖ type (1) ‖ body (RLP list), at most 1280 bytes
//! hash     = keccak256(everything after it)           signature over keccak256(type ‖ body)
//!
//! 1 ping         [version, from, to, expiration, record number?]
//! 2 pong         [to, hash of the ping, expiration, record number?]
//! 3 findnode     [target (64), expiration]
//! 4 neighbours   [[neighbour, …], expiration]
//! 5 enrrequest   [expiration]
//! 6 enrresponse  [hash of the request, record]
//! ```
//!
//! Further items of a list and bytes after it are ignored, so that later versions can add to it. `expiration` is in
//! seconds since 1970. The cheap checks come first: length, hash, type, form; recovering the sender's key comes last.
//! Spec: discv4 packets.

use thiserror::Error;

use super::endpoint::{Endpoint, Neighbour};
use super::{BUCKET_LEN_MAX, DATAGRAM_LEN_MAX, VERSION};
use crate::enr::{EnrError, Record};
use crate::identity::{KeyError, PUBLIC_KEY_LEN, PublicKey, SIGNATURE_LEN, SecretKey};
use crate::keccak::{DIGEST_LEN, keccak256};
use crate::rlp::{Item, Items, List, RlpError};

/// What identifies a packet in the answer to it.
pub type Hash = [u8; DIGEST_LEN];

/// A packet and who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its hash.
    pub hash: Hash,
    /// Who signed it.
    pub sender: PublicKey,
    /// What it says.
    pub message: Message,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    Ping {
        /// The version of the protocol that the sender speaks.
        version: u64,
        /// Where the sender believes to be.
        from: Endpoint,
        /// Where it sent the packet.
        to: Endpoint,
        /// Until when it is good.
        expiration: u64,
        /// The number of its record.
        record_seq: Option<u64>,
    },
    /// I am.
    Pong {
        /// Where the ping came from.
        to: Endpoint,
        /// Which ping it was.
        ping: Hash,
        /// Until when it is good.
        expiration: u64,
        /// The number of the sender's record.
        record_seq: Option<u64>,
    },
    /// Who is close to this key?
    FindNode {
        /// It need not be on the curve: only its hash counts.
        target: [u8; PUBLIC_KEY_LEN],
        /// Until when it is good.
        expiration: u64,
    },
    /// These are.
    Neighbours {
        /// They.
        nodes: Vec<Neighbour>,
        /// Until when it is good.
        expiration: u64,
    },
    /// What does your record say?
    EnrRequest {
        /// Until when it is good.
        expiration: u64,
    },
    /// This.
    EnrResponse {
        /// Which request it was.
        request: Hash,
        /// Its bytes; [`Record::decode`] verifies them, when it is known that somebody asked.
        record: Vec<u8>,
    },
}

impl Message {
    /// Until when it is good, in seconds since 1970; an answer with a record has no such time.
    pub const fn expiration(&self) -> Option<u64> {
        match self {
            Message::Ping { expiration, .. }
            | Message::Pong { expiration, .. }
            | Message::FindNode { expiration, .. }
            | Message::Neighbours { expiration, .. }
            | Message::EnrRequest { expiration } => Some(*expiration),
            Message::EnrResponse { .. } => None,
        }
    }

    /// One word for metrics and vectors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Message::Ping { .. } => "ping",
            Message::Pong { .. } => "pong",
            Message::FindNode { .. } => "findnode",
            Message::Neighbours { .. } => "neighbours",
            Message::EnrRequest { .. } => "enrrequest",
            Message::EnrResponse { .. } => "enrresponse",
        }
    }

    /// Signs it. The hash identifies it in the answer.
    pub fn encode(&self, key: &SecretKey) -> (Vec<u8>, Hash) {
        let signed = self.signed();
        let signature = key.sign(&keccak256(&signed));
        let mut datagram = vec![0; HASH_END];
        datagram.extend_from_slice(&signature);
        datagram.extend_from_slice(&signed);
        let hash = keccak256(&datagram[HASH_END..]);
        datagram[..HASH_END].copy_from_slice(&hash);
        (datagram, hash)
    }

    /// What the signature covers.
    pub(crate) fn signed(&self) -> Vec<u8> {
        [&[self.code()], &self.body().finish()[..]].concat()
    }

    const fn code(&self) -> u8 {
        match self {
            Message::Ping { .. } => PING,
            Message::Pong { .. } => PONG,
            Message::FindNode { .. } => FIND_NODE,
            Message::Neighbours { .. } => NEIGHBOURS,
            Message::EnrRequest { .. } => ENR_REQUEST,
            Message::EnrResponse { .. } => ENR_RESPONSE,
        }
    }

    fn body(&self) -> List {
        let with_seq = |list: List, seq: Option<u64>| match seq {
            Some(seq) => list.uint(seq),
            None => list,
        };
        match self {
            Message::Ping {
                version,
                from,
                to,
                expiration,
                record_seq,
            } => {
                let list = List::new().uint(*version).list(from.list()).list(to.list());
                with_seq(list.uint(*expiration), *record_seq)
            }
            Message::Pong {
                to,
                ping,
                expiration,
                record_seq,
            } => {
                let list = List::new().list(to.list()).bytes(ping).uint(*expiration);
                with_seq(list, *record_seq)
            }
            Message::FindNode { target, expiration } => List::new().bytes(target).uint(*expiration),
            Message::Neighbours { nodes, expiration } => {
                let nodes = nodes
                    .iter()
                    .fold(List::new(), |list, node| list.list(node.list()));
                List::new().list(nodes).uint(*expiration)
            }
            Message::EnrRequest { expiration } => List::new().uint(*expiration),
            Message::EnrResponse { request, record } => List::new().bytes(request).raw(record),
        }
    }

    fn read(code: u8, bytes: &[u8]) -> Result<Message, PacketError> {
        let body = |bytes| Item::first(bytes).and_then(|(body, _)| body.list());
        let read = match code {
            PING => body(bytes).and_then(ping),
            PONG => body(bytes).and_then(pong),
            FIND_NODE => body(bytes).and_then(find_node),
            NEIGHBOURS => body(bytes).and_then(neighbours),
            ENR_REQUEST => body(bytes).and_then(|mut items| {
                Ok(Message::EnrRequest {
                    expiration: items.required()?.uint()?,
                })
            }),
            ENR_RESPONSE => body(bytes).and_then(|mut items| {
                Ok(Message::EnrResponse {
                    request: items.required()?.array()?,
                    record: items.required()?.raw().to_vec(),
                })
            }),
            found => return Err(PacketError::Type { found }),
        };
        read.map_err(PacketError::Malformed)
    }
}

fn ping(mut items: Items<'_>) -> Result<Message, RlpError> {
    Ok(Message::Ping {
        version: items.required()?.uint()?,
        from: Endpoint::read(items.required()?)?,
        to: Endpoint::read(items.required()?)?,
        expiration: items.required()?.uint()?,
        record_seq: record_seq(items),
    })
}

fn pong(mut items: Items<'_>) -> Result<Message, RlpError> {
    Ok(Message::Pong {
        to: Endpoint::read(items.required()?)?,
        ping: items.required()?.array()?,
        expiration: items.required()?.uint()?,
        record_seq: record_seq(items),
    })
}

fn find_node(mut items: Items<'_>) -> Result<Message, RlpError> {
    Ok(Message::FindNode {
        target: items.required()?.array()?,
        expiration: items.required()?.uint()?,
    })
}

fn neighbours(mut items: Items<'_>) -> Result<Message, RlpError> {
    let mut nodes = Vec::new();
    for node in items.required()?.list()? {
        if nodes.len() >= BUCKET_LEN_MAX {
            return Err(RlpError::TooManyItems);
        }
        nodes.push(Neighbour::read(node?)?);
    }
    Ok(Message::Neighbours {
        nodes,
        expiration: items.required()?.uint()?,
    })
}

/// The number behind what every version has; anything else there is something that a later version added.
fn record_seq(mut items: Items<'_>) -> Option<u64> {
    items.advance().ok()??.uint().ok()
}

/// A datagram that passed every check but that of its signature.
#[derive(Clone, Debug)]
pub struct Unverified {
    hash: Hash,
    digest: [u8; DIGEST_LEN],
    signature: [u8; SIGNATURE_LEN],
    /// What it says, whoever says it.
    pub message: Message,
}

impl Unverified {
    /// Length, hash, type and form.
    pub fn read(datagram: &[u8]) -> Result<Unverified, PacketError> {
        let len = datagram.len();
        if len > DATAGRAM_LEN_MAX {
            return Err(PacketError::TooLong { len });
        }
        let (Some((hash, rest)), true) = (
            datagram.split_first_chunk::<DIGEST_LEN>(),
            len >= DATAGRAM_LEN_MIN,
        ) else {
            return Err(PacketError::TooShort { len });
        };
        if keccak256(rest) != *hash {
            return Err(PacketError::Hash);
        }
        let (Some((signature, signed)), Some((code, body))) = (
            rest.split_first_chunk::<SIGNATURE_LEN>(),
            rest.get(SIGNATURE_LEN..)
                .and_then(|rest| rest.split_first()),
        ) else {
            return Err(PacketError::TooShort { len });
        };
        Ok(Unverified {
            hash: *hash,
            signature: *signature,
            message: Message::read(*code, body)?,
            digest: keccak256(signed),
        })
    }

    /// Who sent it.
    pub fn verify(self) -> Result<Packet, PacketError> {
        let sender =
            PublicKey::recover(&self.digest, &self.signature).map_err(PacketError::Signature)?;
        Ok(Packet {
            hash: self.hash,
            sender,
            message: self.message,
        })
    }
}

/// Reads a datagram completely, a record in it included. Nothing is said about its age: see [`Message::expiration`].
pub fn decode(datagram: &[u8]) -> Result<Packet, PacketError> {
    let unverified = Unverified::read(datagram)?;
    if let Message::EnrResponse { record, .. } = &unverified.message {
        Record::decode(record).map_err(PacketError::Record)?;
    }
    unverified.verify()
}

/// A ping of the version that we speak.
pub(super) fn our_ping(from: Endpoint, to: Endpoint, expiration: u64, seq: u64) -> Message {
    Message::Ping {
        version: VERSION,
        from,
        to,
        expiration,
        record_seq: Some(seq),
    }
}

/// Why a datagram is dropped.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketError {
    /// There is no room for what every packet has.
    #[error("a packet has at least {DATAGRAM_LEN_MIN} bytes, not {len}")]
    TooShort {
        /// Bytes found.
        len: usize,
    },
    /// Other nodes would cut it.
    #[error("a packet has at most {DATAGRAM_LEN_MAX} bytes, not {len}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// It was changed, or it is no packet of this protocol.
    #[error("the hash of the packet is wrong")]
    Hash,
    /// Something of a later version.
    #[error("the packet is of the type {found}, which is not known")]
    Type {
        /// The type.
        found: u8,
    },
    /// The body is not what the type says.
    #[error("the packet is malformed: {0}")]
    Malformed(RlpError),
    /// No key fits the signature.
    #[error("the signature of the packet is unusable: {0}")]
    Signature(KeyError),
    /// The record is none.
    #[error("the packet brings no good record: {0}")]
    Record(EnrError),
}

impl PacketError {
    /// One word for metrics and vectors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            PacketError::TooShort { .. } => "too_short",
            PacketError::TooLong { .. } => "too_long",
            PacketError::Hash => "hash",
            PacketError::Type { .. } => "type",
            PacketError::Malformed(_) => "malformed",
            PacketError::Signature(_) => "signature",
            PacketError::Record(_) => "record",
        }
    }
}

const PING: u8 = 1;
const PONG: u8 = 2;
const FIND_NODE: u8 = 3;
const NEIGHBOURS: u8 = 4;
const ENR_REQUEST: u8 = 5;
const ENR_RESPONSE: u8 = 6;

const HASH_END: usize = DIGEST_LEN;
/// Hash, signature, type: go-ethereum demands as much.
const DATAGRAM_LEN_MIN: usize = HASH_END + SIGNATURE_LEN + 1;

#[cfg(test)]
mod tests;
