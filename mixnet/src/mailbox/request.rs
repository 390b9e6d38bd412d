//! What travels between a mailbox and those who use it.
//!
//! ```text
//! /wmb/put/1  box id 32 ‖ proof 32 ‖ cell 3136 ‖ reply block 734                       = 3934
//! /wmb/get/1  answers 1 (1 to 5) ‖ five box ids of 32 ‖ as many reply blocks of 734    = 161 + 734 n
//! reply       10 ‖ place 1 (0 to 4: which id; ff: none of them) ‖ cell 3136            = 3138, to a get
//!             11 ‖ status 1                                                            = 2, to a put
//! ```
//!
//! Whoever asks for fewer than five boxes fills up with random ids. The replies carry no codec, as all replies; their first byte tells them
//! from frames, which begin with 01. Every packet of the network has one size, so from outside all of these look alike.

use thiserror::Error;

use super::cell::{CELL_LEN, Cell};
use super::chain::{BOX_ID_LEN, BoxId, WriteProof};
use crate::geometry::SURB_LEN;
use crate::sphinx::Surb;

/// One cell for one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which box.
    pub id: BoxId,
    /// What opens it.
    pub proof: WriteProof,
    /// What to keep in it.
    pub cell: Cell,
}

/// Five boxes to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Which; the first that is there answers first.
    pub ids: [BoxId; IDS],
}

/// What a mailbox is asked for, with what it answers through.
#[derive(Debug)]
pub enum Request {
    /// Keep a cell.
    Put {
        /// The cell.
        put: Put,
        /// For the status.
        answer: Surb,
    },
    /// Look into boxes.
    Get {
        /// The boxes.
        get: Get,
        /// One for each cell to send, 1 to 5.
        answers: Vec<Surb>,
    },
}

impl Put {
    /// The body of the message.
    pub fn encode(&self, answer: &Surb) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            self.id.as_bytes(),
            self.proof.as_bytes(),
            self.cell.as_bytes(),
            &answer.to_bytes(),
        ];
        parts.concat()
    }
}

impl Get {
    /// The body of the message, for 1 to 5 answers.
    pub fn encode(&self, answers: &[Surb]) -> Vec<u8> {
        debug_assert!((1..=IDS).contains(&answers.len()));
        let mut body = vec![answers.len() as u8];
        self.ids.iter().for_each(|id| body.extend(id.as_bytes()));
        answers
            .iter()
            .for_each(|block| body.extend(block.to_bytes()));
        body
    }
}

impl Request {
    /// Reads the body of a put. The proof is checked here: what it does not open is no request.
    pub fn decode_put(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() != PUT_LEN {
            return Err(RequestError::Length(body.len()));
        }
        let (id, rest) = take_id(body)?;
        let (proof, rest) = take_id(rest)?;
        let (cell, block) = rest.split_at(CELL_LEN);
        let (id, proof) = (BoxId::from_bytes(id), WriteProof::from_bytes(proof));
        if proof.box_id() != id {
            return Err(RequestError::WrongProof);
        }
        Ok(Self::Put {
            put: Put {
                id,
                proof,
                cell: Cell::from_slice(cell).ok_or(RequestError::Length(body.len()))?,
            },
            answer: block_of(block)?,
        })
    }

    /// Reads the body of a get.
    pub fn decode_get(body: &[u8]) -> Result<Self, RequestError> {
        let (&count, mut rest) = body.split_first().ok_or(RequestError::Length(0))?;
        let count = usize::from(count);
        if !(1..=IDS).contains(&count) {
            return Err(RequestError::AnswerCount(count));
        }
        if body.len() != GET_LEN + count * SURB_LEN {
            return Err(RequestError::Length(body.len()));
        }
        let mut ids = [BoxId::from_bytes([0; BOX_ID_LEN]); IDS];
        for id in &mut ids {
            let (bytes, after) = take_id(rest)?;
            *id = BoxId::from_bytes(bytes);
            rest = after;
        }
        let answers = rest
            .chunks(SURB_LEN)
            .map(block_of)
            .collect::<Result<_, _>>()?;
        Ok(Self::Get {
            get: Get { ids },
            answers,
        })
    }
}

fn take_id(bytes: &[u8]) -> Result<([u8; BOX_ID_LEN], &[u8]), RequestError> {
    let (id, rest) = bytes
        .split_first_chunk::<BOX_ID_LEN>()
        .ok_or(RequestError::Length(bytes.len()))?;
    Ok((*id, rest))
}

fn block_of(bytes: &[u8]) -> Result<Surb, RequestError> {
    Surb::from_bytes(bytes).map_err(|_| RequestError::ReplyBlock)
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutStatus {
    /// On the disk of the mailbox.
    Stored,
    /// It was there before, byte for byte.
    StoredBefore,
    /// The box holds another cell: the first write counts.
    Taken,
    /// The mailbox is full.
    Full,
    /// The mailbox took as many bytes in this epoch as it may.
    Busy,
}

impl PutStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Stored,
        Self::StoredBefore,
        Self::Taken,
        Self::Full,
        Self::Busy,
    ];

    /// Whether the cell is kept there.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Stored | Self::StoredBefore)
    }

    /// Its byte.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The status of a byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.byte() == byte)
    }

    /// The label in metrics and vectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::StoredBefore => "stored_before",
            Self::Taken => "taken",
            Self::Full => "full",
            Self::Busy => "busy",
        }
    }
}

/// What a mailbox answers through one reply block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a put.
    Put(PutStatus),
    /// To a get.
    Get {
        /// Which of the five ids; none: the cell is random.
        place: Option<u8>,
        /// The cell, always a whole one.
        cell: Cell,
    },
}

impl Answer {
    /// The body of the reply.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Put(status) => vec![PUT_ANSWER, status.byte()],
            Self::Get { place, cell } => {
                let head = [GET_ANSWER, place.unwrap_or(NO_PLACE)];
                [&head[..], cell.as_bytes()].concat()
            }
        }
    }

    /// Whether a reply is from a mailbox.
    pub fn is_one(body: &[u8]) -> bool {
        matches!(body.first(), Some(&(GET_ANSWER | PUT_ANSWER)))
    }

    /// Reads the body of a reply.
    pub fn decode(body: &[u8]) -> Result<Self, RequestError> {
        match body {
            [PUT_ANSWER, status] => PutStatus::from_byte(*status)
                .map(Self::Put)
                .ok_or(RequestError::Status(*status)),
            [GET_ANSWER, place, cell @ ..] => {
                let cell = Cell::from_slice(cell).ok_or(RequestError::Length(body.len()))?;
                let place = match *place {
                    NO_PLACE => None,
                    place if usize::from(place) < IDS => Some(place),
                    place => return Err(RequestError::Place(place)),
                };
                Ok(Self::Get { place, cell })
            }
            [PUT_ANSWER | GET_ANSWER, ..] => Err(RequestError::Length(body.len())),
            [kind, ..] => Err(RequestError::Kind(*kind)),
            [] => Err(RequestError::Length(0)),
        }
    }
}

/// Why bytes are no request, or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not the length that its form has.
    #[error("{0} bytes: its form has another length")]
    Length(usize),
    /// Not 1 to 5 answers.
    #[error("{0} answers are asked for: 1 to 5 can be")]
    AnswerCount(usize),
    /// The proof opens another box.
    #[error("the proof does not open this box")]
    WrongProof,
    /// A reply block whose first hop cannot be read.
    #[error("a reply block is malformed")]
    ReplyBlock,
    /// A reply of another kind.
    #[error("a reply of the kind {0:#04x} is not from a mailbox")]
    Kind(u8),
    /// An unknown status.
    #[error("the status {0} is unknown")]
    Status(u8),
    /// A place beyond the ids that were asked for.
    #[error("the place {0} is none of the five")]
    Place(u8),
}

impl RequestError {
    /// The label of the reason in vectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length(_) => "length",
            Self::AnswerCount(_) => "answer_count",
            Self::WrongProof => "wrong_proof",
            Self::ReplyBlock => "reply_block",
            Self::Kind(_) => "kind",
            Self::Status(_) => "status",
            Self::Place(_) => "place",
        }
    }
}

// ---- Sizes ----

/// Box ids of every get.
pub const IDS: usize = 5;
/// Bytes of a put.
pub const PUT_LEN: usize = 2 * BOX_ID_LEN + CELL_LEN + SURB_LEN;
/// Bytes of a get before its reply blocks.
pub const GET_LEN: usize = 1 + IDS * BOX_ID_LEN;
/// What the answer to a get begins with.
const GET_ANSWER: u8 = 0x10;
/// What the answer to a put begins with.
const PUT_ANSWER: u8 = 0x11;
/// None of the ids.
const NO_PLACE: u8 = 0xff;

const _: () = {
    use crate::message::{MAILBOX_BODY_MAX, REPLY_LEN_MAX};
    assert!(PUT_LEN == 3934 && PUT_LEN <= MAILBOX_BODY_MAX);
    assert!(GET_LEN + IDS * SURB_LEN <= MAILBOX_BODY_MAX);
    assert!(2 + CELL_LEN <= REPLY_LEN_MAX);
};
