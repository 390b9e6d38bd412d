//! Sealing an envelope anew: the data of the old one, and the job that makes the new one.
//!
//! An envelope is the RLP list `[expiry, ttl, topic, data, nonce]`. The adapter's strict reader has accepted it before
//! its data are looked for here, so this only walks over the items.

use crate::policy;
use crate::port::{Envelope, SealJob};

/// The job that seals the content of an expired envelope for the slot of `now_s`.
pub(crate) fn job(job: u64, envelope: &Envelope, now_s: u32) -> Option<SealJob> {
    let facts = &envelope.facts;
    Some(SealJob {
        job,
        topic: facts.topic,
        data: data_of(&envelope.rlp)?.to_vec(),
        ttl: facts.ttl,
        expiry: policy::reseal_expiry(now_s, facts.ttl),
        target: policy::pow_min(facts.size),
    })
}

/// The fourth item of the list.
fn data_of(rlp: &[u8]) -> Option<&[u8]> {
    let (list, _) = item(rlp)?;
    let (_expiry, rest) = item(list)?;
    let (_ttl, rest) = item(rest)?;
    let (_topic, rest) = item(rest)?;
    item(rest).map(|(data, _nonce)| data)
}

/// The content of the first item, and what follows it.
fn item(rlp: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = rlp.split_first()?;
    match *first {
        0x00..=0x7f => Some((&rlp[..1], rest)),
        0x80..=0xb7 => rest.split_at_checked(usize::from(first - 0x80)),
        0xb8..=0xbf => long_item(rest, usize::from(first - 0xb7)),
        0xc0..=0xf7 => rest.split_at_checked(usize::from(first - 0xc0)),
        0xf8..=0xff => long_item(rest, usize::from(first - 0xf7)),
    }
}

fn long_item(rest: &[u8], len_of_len: usize) -> Option<(&[u8], &[u8])> {
    let (len, rest) = rest.split_at_checked(len_of_len)?;
    let len = len.iter().try_fold(0usize, |len, byte| {
        len.checked_mul(256)?.checked_add(usize::from(*byte))
    })?;
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_data_of_the_published_vector() {
        let mut rlp = hex::decode("f84d845ea0178a5a8459cbac69b840").unwrap();
        rlp.extend(0..0x40);
        rlp.push(0x31);
        let data: Vec<u8> = (0..0x40).collect();
        assert_eq!(data_of(&rlp), Some(data.as_slice()));
    }

    #[test]
    fn finds_short_and_long_data() {
        for len in [0usize, 2, 55, 56, 255, 256, 70_000] {
            let data = vec![0xaa; len];
            let mut items = vec![0x84, 1, 2, 3, 4, 0x0f, 0x84, 5, 6, 7, 8];
            match len {
                0..=55 => items.push(0x80 + len as u8),
                56..=255 => items.extend([0xb8, len as u8]),
                256..=65_535 => items.extend([0xb9, (len >> 8) as u8, len as u8]),
                _ => items.extend([0xba, (len >> 16) as u8, (len >> 8) as u8, len as u8]),
            }
            items.extend(&data);
            items.push(0x80);
            let mut rlp = vec![0xfa];
            rlp.extend(&(items.len() as u32).to_be_bytes()[1..]);
            rlp.extend(&items);
            // The list's length takes three bytes here; fa says so.
            assert_eq!(data_of(&rlp).map(<[u8]>::len), Some(len));
        }
    }

    #[test]
    fn what_is_cut_short_has_no_data() {
        let mut rlp = hex::decode("f84d845ea0178a5a8459cbac69b840").unwrap();
        rlp.extend(0..0x20);
        assert_eq!(data_of(&rlp), None);
        assert_eq!(data_of(&[]), None);
        assert_eq!(data_of(&[0xff; 9]), None);
        assert_eq!(data_of(&[0xc0]), None);
    }
}
