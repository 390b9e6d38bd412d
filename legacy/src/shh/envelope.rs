//! Envelopes: what travels through Whisper.
//!
//! ```text
//! RLP[ expiry u32, ttl u32, topic 4 bytes, data bytes, nonce u64 ]
//! ```
//!
//! The id of an envelope is the Keccak-256 of exactly these bytes, and since the encoding is canonical there is only
//! one way to write them. The bytes are therefore kept as they came and sent on as they are.
//! An [`Outline`] is an envelope still inside its packet: parsed and countable, but nothing copied and no work proved;
//! most arrivals are duplicates and go no further. Spec: Whisper v6 envelope.

use std::fmt;
use std::sync::Arc;

use super::limits::ENVELOPE_HEADER_LEN;
use super::pow::{self, Search};
use super::topic::Topic;
use crate::keccak::{keccak256, keccak256_each};
use crate::rlp::{self, Item, RlpError};

/// Id of an envelope: the hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeHash([u8; 32]);

impl EnvelopeHash {
    /// An id from its bytes.
    pub const fn new(bytes: [u8; 32]) -> EnvelopeHash {
        EnvelopeHash(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EnvelopeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvelopeHash({self})")
    }
}

impl fmt::Display for EnvelopeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What an envelope says in clear, apart from its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    expiry: u32,
    ttl: u32,
    topic: Topic,
    nonce: u64,
    /// The data is the last of what precedes the nonce.
    data_len: usize,
    /// Where the list's content starts, and where its nonce does.
    body_at: usize,
    nonce_at: usize,
}

impl Fields {
    fn parse(raw: &[u8]) -> Result<Fields, RlpError> {
        if raw.len() > RAW_LEN_MAX {
            return Err(RlpError::TooLarge { bytes: raw.len() });
        }
        let [expiry, ttl, topic, data, nonce] = Item::exact(raw)?.list_of()?;
        let body_len = [expiry, ttl, topic, data]
            .iter()
            .map(|item| item.raw().len())
            .sum::<usize>();
        let nonce_at = raw.len() - nonce.raw().len();
        Ok(Fields {
            expiry: expiry.uint32()?,
            ttl: ttl.uint32()?,
            topic: Topic::new(topic.array()?),
            data_len: data.bytes()?.len(),
            nonce: nonce.uint()?,
            body_at: nonce_at - body_len,
            nonce_at,
        })
    }

    /// Unix second at which the envelope dies.
    pub fn expiry(&self) -> u32 {
        self.expiry
    }

    /// Seconds of life from sending to expiry.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Unix second at which the envelope was sent, wrapping as at every peer.
    pub fn sent(&self) -> u32 {
        self.expiry.wrapping_sub(self.ttl)
    }

    /// The topic.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The nonce that proves the work.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Length of the data.
    pub fn data_len(&self) -> usize {
        self.data_len
    }

    /// What the size rule and statistics count: the data and a constant.
    pub fn size(&self) -> usize {
        ENVELOPE_HEADER_LEN + self.data_len
    }

    /// How many seconds the clock of the sender is ahead, plus one; nothing if it is not.
    pub fn ahead(&self, now: u32) -> u32 {
        let sent = self.sent();
        if sent > now {
            (sent - now).saturating_add(1)
        } else {
            0
        }
    }

    /// Length of the encoding without the nonce.
    fn short_len(&self) -> usize {
        let body_len = self.nonce_at - self.body_at;
        list_header(body_len).as_slice().len() + body_len
    }

    /// What the work is done over, the nonce at its end.
    fn proved(&self, raw: &[u8]) -> Vec<u8> {
        let body = &raw[self.body_at..self.nonce_at];
        let nonce = self.nonce.to_be_bytes();
        [list_header(body.len()).as_slice(), body, &nonce].concat()
    }
}

/// An envelope that still lies in its packet.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    raw: &'a [u8],
    fields: Fields,
}

impl<'a> Outline<'a> {
    /// Parses the bytes of one envelope, strictly.
    pub fn parse(raw: &'a [u8]) -> Result<Outline<'a>, RlpError> {
        Fields::parse(raw).map(|fields| Outline { raw, fields })
    }

    /// What the envelope says in clear.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The id. Costs one hash.
    pub fn hash(&self) -> EnvelopeHash {
        EnvelopeHash(keccak256(self.raw))
    }

    /// The ids of some envelopes, in their order, for less than one after the other.
    pub fn hash_each(outlines: &[&Outline<'_>]) -> Vec<EnvelopeHash> {
        let raws: Vec<&[u8]> = outlines.iter().map(|outline| outline.raw).collect();
        let digests = keccak256_each(&raws).into_iter();
        digests.map(EnvelopeHash).collect()
    }

    /// The zero bits that their nonces prove.
    pub fn zero_bits_each(outlines: &[&Outline<'_>]) -> Vec<u16> {
        let proved = |outline: &&Outline<'_>| outline.fields.proved(outline.raw);
        let proved: Vec<Vec<u8>> = outlines.iter().map(proved).collect();
        let proved: Vec<&[u8]> = proved.iter().map(Vec::as_slice).collect();
        keccak256_each(&proved).iter().map(pow::zero_bits).collect()
    }

    /// Both at once.
    pub fn both_each(outlines: &[&Outline<'_>]) -> Vec<(EnvelopeHash, u16)> {
        let proved = |outline: &&Outline<'_>| outline.fields.proved(outline.raw);
        let proved: Vec<Vec<u8>> = outlines.iter().map(proved).collect();
        let raws = outlines.iter().map(|outline| outline.raw);
        let inputs: Vec<&[u8]> = raws.chain(proved.iter().map(Vec::as_slice)).collect();
        let digests = keccak256_each(&inputs);
        let (ids, works) = digests.split_at(outlines.len());
        let both = ids.iter().zip(works);
        both.map(|(id, work)| (EnvelopeHash(*id), pow::zero_bits(work)))
            .collect()
    }

    /// The zero bits that the nonce proves. Costs one hash.
    pub fn zero_bits(&self) -> u16 {
        pow::zero_bits(&keccak256(&self.fields.proved(self.raw)))
    }

    /// Copies the envelope out of its packet. Id and work must be those of [`Outline::hash`] and
    /// [`Outline::zero_bits`].
    pub(super) fn lift(&self, hash: EnvelopeHash, zero_bits: u16) -> Envelope {
        Envelope {
            raw: Arc::from(self.raw),
            fields: self.fields,
            hash,
            zero_bits,
        }
    }
}

/// An envelope: well-formed bytes with their id and work. Whether they are valid now is the pool's question.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    raw: Arc<[u8]>,
    fields: Fields,
    hash: EnvelopeHash,
    zero_bits: u16,
}

impl Envelope {
    /// Parses the bytes of one envelope, strictly.
    pub fn parse(raw: &[u8]) -> Result<Envelope, RlpError> {
        Envelope::from_shared(Arc::from(raw))
    }

    /// Like [`Envelope::parse`], for bytes that are shared already.
    pub fn from_shared(raw: Arc<[u8]>) -> Result<Envelope, RlpError> {
        let fields = Fields::parse(&raw)?;
        let digests = keccak256_each(&[&raw, &fields.proved(&raw)]);
        Ok(Envelope {
            fields,
            hash: EnvelopeHash(digests[0]),
            zero_bits: pow::zero_bits(&digests[1]),
            raw,
        })
    }

    /// The bytes on the wire.
    pub fn raw(&self) -> &Arc<[u8]> {
        &self.raw
    }

    /// The id.
    pub fn hash(&self) -> EnvelopeHash {
        self.hash
    }

    /// What the envelope says in clear.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Unix second at which the envelope dies.
    pub fn expiry(&self) -> u32 {
        self.fields.expiry
    }

    /// Seconds of life.
    pub fn ttl(&self) -> u32 {
        self.fields.ttl
    }

    /// Unix second at which the envelope was sent.
    pub fn sent(&self) -> u32 {
        self.fields.sent()
    }

    /// The topic.
    pub fn topic(&self) -> Topic {
        self.fields.topic
    }

    /// The sealed data.
    pub fn data(&self) -> &[u8] {
        &self.raw[self.fields.nonce_at - self.fields.data_len..self.fields.nonce_at]
    }

    /// What the size rule counts.
    pub fn size(&self) -> usize {
        self.fields.size()
    }

    /// Zero bits that the nonce proves.
    pub fn zero_bits(&self) -> u16 {
        self.zero_bits
    }

    /// The work, for a clock that is not behind the sender's. Infinite where the ttl is zero.
    pub fn pow(&self) -> f64 {
        self.pow_ahead(0)
    }

    /// The work as a receiver with this clock sees it.
    pub fn pow_at(&self, now: u32) -> f64 {
        self.pow_ahead(self.fields.ahead(now))
    }

    /// The work by the form before geth 1.9, as a receiver with this clock sees it. Costs two hashes.
    pub fn old_pow_at(&self, now: u32) -> f64 {
        let body = &self.raw[self.fields.body_at..self.fields.nonce_at];
        let header = list_header(body.len());
        let bits = pow::old_zero_bits(&[header.as_slice(), body], self.fields.nonce);
        let life = self.fields.ttl.wrapping_add(self.fields.ahead(now));
        pow::pow(bits, self.fields.size(), life)
    }

    fn pow_ahead(&self, ahead: u32) -> f64 {
        pow::pow(
            self.zero_bits,
            self.fields.short_len(),
            self.fields.ttl.wrapping_add(ahead),
        )
    }

    /// Hash of topic and data: the same for every re-sealing of one message, whatever its times and nonce.
    pub fn content_hash(&self) -> [u8; 32] {
        let mut content = Vec::with_capacity(Topic::LEN + self.data().len());
        content.extend_from_slice(self.topic().as_bytes());
        content.extend_from_slice(self.data());
        keccak256(&content)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("hash", &self.hash)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// An envelope before its work is done.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    body: Vec<u8>,
    data_len: usize,
    ttl: u32,
}

impl Draft {
    /// Lays out everything but the nonce.
    pub fn new(expiry: u32, ttl: u32, topic: Topic, data: &[u8]) -> Draft {
        let mut body = Vec::with_capacity(data.len() + FRAMING_LEN_MAX);
        body.extend_from_slice(&rlp::encode_uint(u64::from(expiry)));
        body.extend_from_slice(&rlp::encode_uint(u64::from(ttl)));
        body.extend_from_slice(&rlp::encode_bytes(topic.as_bytes()));
        body.extend_from_slice(&rlp::encode_bytes(data));
        Draft {
            body,
            data_len: data.len(),
            ttl,
        }
    }

    /// The encoding without the nonce: what the work is done over.
    pub fn short_rlp(&self) -> Vec<u8> {
        self.listed(&[])
    }

    fn listed(&self, tail: &[u8]) -> Vec<u8> {
        let content_len = self.body.len() + tail.len();
        let mut list = Vec::with_capacity(content_len + FRAMING_LEN_MAX);
        list.extend_from_slice(list_header(content_len).as_slice());
        list.extend_from_slice(&self.body);
        list.extend_from_slice(tail);
        list
    }

    /// A search for the canonical nonce: the one that everybody finds who seals the same bytes for the same target.
    pub fn canonical_search(&self, target: f64) -> Search {
        Search::new(
            &self.short_rlp(),
            pow::canonical_bits(target, self.data_len, self.ttl),
        )
    }

    /// A search for a nonce that satisfies receivers whose clocks are up to `behind` seconds late.
    pub fn search(&self, target: f64, behind: u32) -> Search {
        let short = self.short_rlp();
        let bits = pow::mining_bits(target, short.len(), self.ttl, behind);
        Search::new(&short, bits)
    }

    /// The finished envelope.
    pub fn finish(&self, nonce: u64) -> Envelope {
        let raw = self.listed(&rlp::encode_uint(nonce));
        Envelope::parse(&raw).expect("a draft is laid out by the rules that parsing checks")
    }
}

/// The header of a list of known length, on the stack: the work covers a list that is nowhere in memory.
pub(super) struct ListHeader {
    bytes: [u8; 9],
    from: usize,
}

impl ListHeader {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

pub(super) fn list_header(content_len: usize) -> ListHeader {
    let mut bytes = [0; 9];
    bytes[1..].copy_from_slice(&(content_len as u64).to_be_bytes());
    if content_len <= SHORT_LIST_LEN_MAX {
        bytes[8] += SHORT_LIST;
        return ListHeader { bytes, from: 8 };
    }
    let from = (content_len as u64).leading_zeros() as usize / 8;
    bytes[from] = LONG_LIST + 8 - u8::try_from(from).expect("a length has eight bytes");
    ListHeader { bytes, from }
}

/// Prefix of a list whose length fits the prefix.
const SHORT_LIST: u8 = 0xc0;
/// Prefix of a list whose length follows, less the length of that length.
const LONG_LIST: u8 = 0xf7;
/// Longest content of a list of the first kind.
const SHORT_LIST_LEN_MAX: usize = 55;
/// The two integers, the topic and every header of an envelope are shorter than this.
const FRAMING_LEN_MAX: usize = 40;
/// No transport carries a message of 16 MiB, so nothing longer is an envelope.
const RAW_LEN_MAX: usize = 1 << 24;

#[cfg(test)]
mod tests;
