//! What two directories say to each other: protocol `/ferry/directory/1`, one request and one answer a stream.
//!
//! ```text
//! message  = length u32 BE (at most 65,536) ‖ kind 1 ‖ body
//! 01 hello     state ‖ epoch u32 whose root is asked for          82 entries     buckets u8 … ‖ mention …
//! 81 state     state                                              03 swap        peer key … ‖ descriptor …
//! 02 summary   from 1 ‖ bucket hash 8 × 256                       83 descriptors descriptor …
//! 04 fetch     epoch u32 ‖ from u16                               84 page        epoch u32 ‖ young 1 ‖ total u16 ‖ from u16 ‖ descriptor …
//!                                                                 85 refused     reason 1
//! state    = unix seconds u32 ‖ epoch u32 ‖ standing 1 (0 none, 1 young, 2 fresh, 3 settled) ‖ root 32 ‖ registry digest 16   = 57
//! mention  = peer key 33 ‖ epoch u32 ‖ serial u32 ‖ tag 4                                                                     = 45
//! descriptor = length u16 ‖ bytes; lists of peers, buckets, mentions and descriptors begin with their number, u16
//! ```
//!
//! Two equal registries learn that from `hello` and `state`, 128 bytes together. Strict: what decodes encodes to the same bytes.
//! Descriptors stay bytes here; the registry verifies those that are news to it.

use thiserror::Error;

use super::active::{Root, Standing};
use super::registry::{BUCKETS, BucketHash, Mention};
use crate::address::{PEER_KEY_LEN, PeerKey};
use crate::descriptor::{DESCRIPTOR_LEN_MAX, DESCRIPTOR_LEN_MIN};
use crate::rest::{EndsEarly, Rest};

// ---- Our bounds ----

/// Bytes of a message behind its length: a page of 128 descriptors is 40 KB at most.
pub const MESSAGE_MAX: usize = 65_536;

/// Mentions in one list.
pub const MENTIONS_MAX: usize = 512;

/// Descriptors that are given or asked for at once.
pub const SWAP_MAX: usize = 32;

/// Descriptors in one page of a set.
pub const PAGE_MAX: usize = 128;

/// Descriptors in one answer to a swap: three of each node that was asked for.
pub const ANSWER_MAX: usize = 3 * SWAP_MAX;

/// What one directory says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its clock, in seconds since 1970.
    pub unix_seconds: u32,
    /// The epoch of the root.
    pub epoch: u32,
    /// The root of the active set of that epoch, and what it is worth; none if it has no set.
    pub root: Option<(Standing, Root)>,
    /// A hash of its registry.
    pub registry: [u8; 16],
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who are you, and which root do you have for this epoch?
    Hello {
        /// Who asks.
        state: State,
        /// The epoch.
        epoch: u32,
    },
    /// What do you have in the buckets where we differ?
    Summary {
        /// The bucket to begin with: a random one, so that every difference has its turn.
        from: u8,
        /// Hashes of all buckets.
        buckets: Vec<BucketHash>,
    },
    /// Give me these, take those.
    Swap {
        /// Nodes that are asked for.
        wants: Vec<PeerKey>,
        /// Descriptors that are given.
        gives: Vec<Vec<u8>>,
    },
    /// A page of the active set.
    Fetch {
        /// Its epoch.
        epoch: u32,
        /// The first descriptor of the page, in the order of the peers.
        from: u16,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To `Hello`.
    State(State),
    /// To `Summary`.
    Entries {
        /// Buckets that are listed completely.
        buckets: Vec<u8>,
        /// What is in them.
        mentions: Vec<Mention>,
    },
    /// To `Swap`.
    Descriptors(Vec<Vec<u8>>),
    /// To `Fetch`.
    Page {
        /// The epoch of the set.
        epoch: u32,
        /// Whether it was made by the rule for young networks.
        young: bool,
        /// Descriptors in the set.
        total: u16,
        /// The first one of this page.
        from: u16,
        /// The page.
        descriptors: Vec<Vec<u8>>,
    },
    /// To anything.
    Refused(Refused),
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This peer asks too much, or everybody together does.
    Busy,
    /// There is no set of that epoch here.
    NoSet,
    /// A light client keeps no registry.
    NotServed,
}

impl Request {
    /// The message behind its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Hello { state, epoch } => {
                out.push(HELLO);
                state.encode(&mut out);
                out.extend(epoch.to_be_bytes());
            }
            Self::Summary { from, buckets } => {
                out.extend([SUMMARY, *from]);
                buckets.iter().for_each(|hash| out.extend(hash));
            }
            Self::Swap { wants, gives } => {
                out.push(SWAP);
                count(&mut out, wants.len());
                wants.iter().for_each(|peer| out.extend(peer.as_bytes()));
                put_descriptors(&mut out, gives);
            }
            Self::Fetch { epoch, from } => {
                out.push(FETCH);
                out.extend(epoch.to_be_bytes());
                out.extend(from.to_be_bytes());
            }
        }
        out
    }

    /// Reads a message behind its length.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut rest = Rest::new(bytes);
        let request = match rest.byte()? {
            HELLO => Self::Hello {
                state: rest.state()?,
                epoch: rest.u32()?,
            },
            SUMMARY => Self::Summary {
                from: rest.byte()?,
                buckets: (0..BUCKETS)
                    .map(|_| rest.take().map_err(WireError::from))
                    .collect::<Result<_, _>>()?,
            },
            SWAP => Self::Swap {
                wants: rest.list(SWAP_MAX, Rest::peer)?,
                gives: rest.list(SWAP_MAX, Rest::descriptor)?,
            },
            FETCH => Self::Fetch {
                epoch: rest.u32()?,
                from: rest.u16()?,
            },
            other => return Err(WireError::Kind(other)),
        };
        rest.end().map(|()| request)
    }
}

impl Response {
    /// The message behind its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::State(state) => {
                out.push(STATE);
                state.encode(&mut out);
            }
            Self::Entries { buckets, mentions } => {
                out.push(ENTRIES);
                count(&mut out, buckets.len());
                out.extend(buckets);
                count(&mut out, mentions.len());
                for mention in mentions {
                    out.extend(mention.peer.as_bytes());
                    out.extend(mention.epoch.to_be_bytes());
                    out.extend(mention.serial.to_be_bytes());
                    out.extend(mention.tag);
                }
            }
            Self::Descriptors(descriptors) => {
                out.push(DESCRIPTORS);
                put_descriptors(&mut out, descriptors);
            }
            Self::Page {
                epoch,
                young,
                total,
                from,
                descriptors,
            } => {
                out.push(PAGE);
                out.extend(epoch.to_be_bytes());
                out.push(u8::from(*young));
                out.extend(total.to_be_bytes());
                out.extend(from.to_be_bytes());
                put_descriptors(&mut out, descriptors);
            }
            Self::Refused(reason) => out.extend([REFUSED, *reason as u8]),
        }
        out
    }

    /// Reads a message behind its length.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut rest = Rest::new(bytes);
        let response = match rest.byte()? {
            STATE => Self::State(rest.state()?),
            ENTRIES => Self::Entries {
                buckets: rest.list(BUCKETS, |rest| Ok(rest.byte()?))?,
                mentions: rest.list(MENTIONS_MAX, Rest::mention)?,
            },
            DESCRIPTORS => Self::Descriptors(rest.list(ANSWER_MAX, Rest::descriptor)?),
            PAGE => Self::Page {
                epoch: rest.u32()?,
                young: match rest.byte()? {
                    0 => false,
                    1 => true,
                    _ => return Err(WireError::Flag),
                },
                total: rest.u16()?,
                from: rest.u16()?,
                descriptors: rest.list(PAGE_MAX, Rest::descriptor)?,
            },
            REFUSED => Self::Refused(match rest.byte()? {
                0 => Refused::Busy,
                1 => Refused::NoSet,
                2 => Refused::NotServed,
                _ => return Err(WireError::Flag),
            }),
            other => return Err(WireError::Kind(other)),
        };
        rest.end().map(|()| response)
    }
}

impl State {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.unix_seconds.to_be_bytes());
        out.extend(self.epoch.to_be_bytes());
        let (standing, root) = match self.root {
            None => (0, [0; 32]),
            Some((Standing::Young, root)) => (1, root),
            Some((Standing::Fresh, root)) => (2, root),
            Some((Standing::Settled, root)) => (3, root),
        };
        out.push(standing);
        out.extend(root);
        out.extend(self.registry);
    }
}

fn count(out: &mut Vec<u8>, len: usize) {
    // Lists are cut to their bounds, which fit, where they are made.
    out.extend((len as u16).to_be_bytes());
}

fn put_descriptors(out: &mut Vec<u8>, descriptors: &[Vec<u8>]) {
    count(out, descriptors.len());
    for bytes in descriptors {
        count(out, bytes.len());
        out.extend(bytes);
    }
}

impl Rest<'_> {
    fn list<T>(
        &mut self,
        max: usize,
        one: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = usize::from(self.u16()?);
        if count > max {
            return Err(WireError::TooMany { count, max });
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn state(&mut self) -> Result<State, WireError> {
        let (unix_seconds, epoch, standing) = (self.u32()?, self.u32()?, self.byte()?);
        let root: Root = self.take()?;
        let standing = match standing {
            0 if root == [0; 32] => None,
            1 => Some(Standing::Young),
            2 => Some(Standing::Fresh),
            3 => Some(Standing::Settled),
            _ => return Err(WireError::Flag),
        };
        Ok(State {
            unix_seconds,
            epoch,
            root: standing.map(|standing| (standing, root)),
            registry: self.take()?,
        })
    }

    fn peer(&mut self) -> Result<PeerKey, WireError> {
        PeerKey::from_bytes(self.take::<PEER_KEY_LEN>()?).map_err(|_| WireError::Peer)
    }

    fn mention(&mut self) -> Result<Mention, WireError> {
        Ok(Mention {
            peer: self.peer()?,
            epoch: self.u32()?,
            serial: self.u32()?,
            tag: self.take()?,
        })
    }

    fn descriptor(&mut self) -> Result<Vec<u8>, WireError> {
        let len = usize::from(self.u16()?);
        if !(DESCRIPTOR_LEN_MIN..=DESCRIPTOR_LEN_MAX).contains(&len) {
            return Err(WireError::DescriptorLength(len));
        }
        Ok(self.slice(len)?.to_vec())
    }

    fn end(self) -> Result<(), WireError> {
        match self.len() {
            0 => Ok(()),
            more => Err(WireError::Trailing(more)),
        }
    }
}

impl From<EndsEarly> for WireError {
    fn from(_: EndsEarly) -> Self {
        Self::Short
    }
}

/// Why a message does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// It ends too early.
    #[error("the message ends too early")]
    Short,
    /// Bytes behind its end.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// A kind without meaning here.
    #[error("messages of the kind {0:#04x} are unknown")]
    Kind(u8),
    /// A flag without meaning.
    #[error("a flag of the message has no meaning")]
    Flag,
    /// A list that is too long.
    #[error("a list of {count}, where {max} are allowed")]
    TooMany {
        /// What it says.
        count: usize,
        /// What is allowed.
        max: usize,
    },
    /// Bytes that are no peer key.
    #[error("a peer key is no compressed secp256k1 key")]
    Peer,
    /// No descriptor has this length.
    #[error("no descriptor has {0} bytes")]
    DescriptorLength(usize),
}

impl WireError {
    /// The name of the reason in vectors.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Trailing(_) => "trailing",
            Self::Kind(_) => "kind",
            Self::Flag => "flag",
            Self::TooMany { .. } => "too_many",
            Self::Peer => "peer",
            Self::DescriptorLength(_) => "descriptor_length",
        }
    }
}

const HELLO: u8 = 0x01;
const SUMMARY: u8 = 0x02;
const SWAP: u8 = 0x03;
const FETCH: u8 = 0x04;
const STATE: u8 = 0x81;
const ENTRIES: u8 = 0x82;
const DESCRIPTORS: u8 = 0x83;
const PAGE: u8 = 0x84;
const REFUSED: u8 = 0x85;

#[cfg(test)]
mod tests;
