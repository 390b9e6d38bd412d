//! Whisper envelopes as the tests make and read them: a second, small reading of the format.

use std::sync::Arc;

use bridge::port::{Envelope, EnvelopeFacts, Inspect, InspectError};
use tiny_keccak::{Hasher, Keccak};

/// Reads envelopes strictly.
pub struct Reader;

impl Inspect for Reader {
    fn inspect(&self, rlp: &[u8]) -> Result<EnvelopeFacts, InspectError> {
        let (items, rest) = list(rlp).ok_or(InspectError::Malformed("list"))?;
        let [expiry, ttl, topic, data, nonce] = items.as_slice() else {
            return Err(InspectError::Malformed("items"));
        };
        if !rest.is_empty() {
            return Err(InspectError::Malformed("trailing bytes"));
        }
        let expiry = number(expiry).ok_or(InspectError::Malformed("expiry"))? as u32;
        let ttl = number(ttl).ok_or(InspectError::Malformed("ttl"))? as u32;
        let nonce = number(nonce).ok_or(InspectError::Malformed("nonce"))?;
        let topic: [u8; 4] = topic
            .as_slice()
            .try_into()
            .map_err(|_| InspectError::Malformed("topic"))?;
        if ttl == 0 {
            return Err(InspectError::ZeroTtl);
        }
        let sent = expiry
            .checked_sub(ttl)
            .ok_or(InspectError::TtlBeyondExpiry { ttl, expiry })?;
        Ok(EnvelopeFacts {
            hash: keccak(&[rlp]),
            content_id: keccak(&[&topic, data]),
            topic,
            sent,
            expiry,
            ttl,
            size: 20 + data.len() as u32,
            pow: pow(expiry, ttl, topic, data, nonce),
        })
    }
}

/// Seals an envelope: the least nonce that reaches the target.
pub fn seal(topic: [u8; 4], data: &[u8], ttl: u32, expiry: u32, target: f64) -> Envelope {
    let wanted = (target * f64::from(20 + data.len() as u32) * f64::from(ttl))
        .log2()
        .ceil()
        .max(1.0) as u32;
    let mut begun = Keccak::v256();
    begun.update(&keccak_base(expiry, ttl, topic, data));
    let zeros = |nonce: u64| {
        let (mut keccak, mut hash) = (begun.clone(), [0; 32]);
        keccak.update(&nonce.to_be_bytes());
        keccak.finalize(&mut hash);
        leading_zeros(&hash)
    };
    let nonce = (0u64..).find(|nonce| zeros(*nonce) >= wanted).unwrap();
    of(expiry, ttl, topic, data, nonce)
}

/// An envelope with exactly these parts.
pub fn of(expiry: u32, ttl: u32, topic: [u8; 4], data: &[u8], nonce: u64) -> Envelope {
    let rlp = encode(&[
        &integer(expiry.into()),
        &integer(ttl.into()),
        &topic,
        data,
        &integer(nonce),
    ]);
    let facts = Reader.inspect(&rlp).unwrap_or(EnvelopeFacts {
        hash: keccak(&[&rlp]),
        content_id: keccak(&[&topic, data]),
        topic,
        sent: 0,
        expiry,
        ttl,
        size: 20 + data.len() as u32,
        pow: 0.0,
    });
    Envelope {
        rlp: Arc::from(rlp),
        facts,
    }
}

/// An RLP list of byte strings.
pub fn encode(items: &[&[u8]]) -> Vec<u8> {
    let body: Vec<u8> = items.iter().flat_map(|item| string(item)).collect();
    [header(0xc0, body.len()), body].concat()
}

pub fn integer(value: u64) -> Vec<u8> {
    value
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect()
}

fn string(item: &[u8]) -> Vec<u8> {
    match item {
        [byte] if *byte < 0x80 => vec![*byte],
        _ => [header(0x80, item.len()), item.to_vec()].concat(),
    }
}

fn header(base: u8, len: usize) -> Vec<u8> {
    if len < 56 {
        return vec![base + len as u8];
    }
    let len = integer(len as u64);
    [vec![base + 55 + len.len() as u8], len].concat()
}

fn list(rlp: &[u8]) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let (mut body, rest) = item(rlp, 0xc0)?;
    let mut items = Vec::new();
    while !body.is_empty() {
        let (item, rest) = item(body, 0x80)?;
        items.push(item.to_vec());
        body = rest;
    }
    Some((items, rest))
}

fn item(rlp: &[u8], base: u8) -> Option<(&[u8], &[u8])> {
    let first = *rlp.first()?;
    if base == 0x80 && first < 0x80 {
        return Some(rlp.split_at(1));
    }
    let kind = first.checked_sub(base)?;
    if kind > 63 {
        return None;
    }
    let (len, at) = if kind < 56 {
        (usize::from(kind), 1)
    } else {
        let of = usize::from(kind - 55);
        let bytes = rlp.get(1..1 + of)?;
        let len = bytes
            .iter()
            .fold(0usize, |len, byte| len << 8 | usize::from(*byte));
        if bytes[0] == 0 || len < 56 {
            return None;
        }
        (len, 1 + of)
    };
    let body = rlp.get(at..at.checked_add(len)?)?;
    if base == 0x80 && len == 1 && body[0] < 0x80 {
        return None;
    }
    Some((body, &rlp[at + len..]))
}

fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.first() == Some(&0) || bytes.len() > 8 {
        return None;
    }
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

fn keccak_base(expiry: u32, ttl: u32, topic: [u8; 4], data: &[u8]) -> Vec<u8> {
    encode(&[&integer(expiry.into()), &integer(ttl.into()), &topic, data])
}

fn pow(expiry: u32, ttl: u32, topic: [u8; 4], data: &[u8], nonce: u64) -> f64 {
    let base = keccak_base(expiry, ttl, topic, data);
    let zeros = leading_zeros(&keccak(&[&base, &nonce.to_be_bytes()]));
    2f64.powi(zeros as i32) / base.len() as f64 / f64::from(ttl)
}

fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let bytes = hash.iter().take_while(|byte| **byte == 0).count();
    bytes as u32 * 8 + hash.get(bytes).map_or(0, |byte| byte.leading_zeros())
}

pub fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    let mut keccak = Keccak::v256();
    for part in parts {
        keccak.update(part);
    }
    let mut hash = [0; 32];
    keccak.finalize(&mut hash);
    hash
}
