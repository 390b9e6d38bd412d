//! Discovery: datagrams, and records of nodes.

use std::net::IpAddr;
use std::sync::LazyLock;

use super::is_point;
use crate::discv4::packet::{Message, PacketError, Unverified};
use crate::discv4::{BUCKET_LEN_MAX, DATAGRAM_LEN_MAX};
use crate::enr::{self, RECORD_LEN_MAX, Record};
use crate::identity::{KeyError, PublicKey, SIGNATURE_LEN, SecretKey};
use crate::keccak::{DIGEST_LEN, keccak256};

/// A datagram: whether its hash is put right, and its bytes.
pub fn discv4(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let mut datagram = bytes.to_vec();
    if choice & 1 == 0 {
        mend(&mut datagram);
    }
    let read = match Unverified::read(&datagram) {
        Ok(read) => read,
        Err(error) => {
            let mended = choice & 1 == 0 && datagram.len() >= DIGEST_LEN;
            assert!(!mended || error != PacketError::Hash, "the hash is right");
            return;
        }
    };
    assert!(datagram.len() <= DATAGRAM_LEN_MAX);
    if let Message::Neighbours { nodes, .. } = &read.message {
        assert!(nodes.len() <= BUCKET_LEN_MAX);
        for (node, sender) in nodes.iter().zip(SENDERS.iter().cycle()) {
            if let Ok(contact) = node.believed(*sender) {
                is_point(contact.public_key());
                assert!(!contact.ip().is_unspecified() && contact.udp().port() > 1024);
            }
        }
    }
    // What we write of it reads as the same, shorter than it came or not.
    let mut again = vec![0; DIGEST_LEN + SIGNATURE_LEN];
    again.extend(read.message.signed());
    mend(&mut again);
    let again = Unverified::read(&again).expect("we read what we write");
    assert_eq!(again.message, read.message);
}

/// Puts the hash of a datagram in front of it.
fn mend(datagram: &mut [u8]) {
    if let Some((hash, rest)) = datagram.split_first_chunk_mut::<DIGEST_LEN>() {
        *hash = keccak256(rest);
    }
}

/// The text of a node record.
pub fn enr(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(record) = text.parse::<Record>() {
        assert_eq!(record.to_string(), text, "one record has one text");
        assert!(record.raw().len() <= RECORD_LEN_MAX);
        is_point(record.public_key());
    }
}

/// The bytes of a node record, up to its signature.
pub fn enr_pairs(data: &[u8]) {
    let Ok(record) = enr::Unverified::read(data) else {
        return;
    };
    assert!(data.len() <= RECORD_LEN_MAX);
    is_point(&record.public_key);
    let place = record.place;
    assert!(
        place
            .ip
            .is_none_or(|ip| data.windows(4).any(|bytes| bytes == ip.octets()))
    );
    assert!(
        place
            .ip6
            .is_none_or(|ip| data.windows(16).any(|bytes| bytes == ip.octets()))
    );
}

/// A digest and a signature with its recovery id, as they stand in datagrams, auths and plaintexts.
pub fn signature(data: &[u8]) {
    let Some((digest, rest)) = data.split_first_chunk::<DIGEST_LEN>() else {
        return;
    };
    let Some(signature) = rest.first_chunk::<SIGNATURE_LEN>() else {
        return;
    };
    let found = PublicKey::recover(digest, signature);
    among_others(digest, signature, found);
    if let Ok(key) = found {
        is_point(&key);
        let (plain, _) = signature.split_first_chunk().expect("it is longer");
        let high = signature[32..64] > HALF_ORDER[..];
        assert_eq!(
            key.verify(digest, plain).is_err(),
            high,
            "only a high s is refused"
        );
    }
}

/// The same is found out together with seven signatures of one key, and they are not disturbed.
fn among_others(
    digest: &[u8; DIGEST_LEN],
    signature: &[u8; SIGNATURE_LEN],
    found: Result<PublicKey, KeyError>,
) {
    static OTHER: LazyLock<(PublicKey, [u8; SIGNATURE_LEN])> = LazyLock::new(|| {
        let key = SecretKey::from_bytes(&[5; 32]).expect("in range");
        (key.public(), key.sign(&[6; DIGEST_LEN]))
    });
    let (other, others) = &*OTHER;
    let lane = usize::from(digest[0] % 8);
    let mut all = [(&[6; DIGEST_LEN], others); 8];
    all[lane] = (digest, signature);
    let mut expected = [Ok(*other); 8];
    expected[lane] = found;
    assert_eq!(PublicKey::recover_each(&all), expected);
}

/// From whom neighbours are told: from anywhere, from our network, from this machine.
const SENDERS: [IpAddr; 3] = [
    IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 7)),
    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
];
/// Half of the group order; a larger s is high.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];
