//! LIP-99 and LIP-183 read word by word: X25519 for every product, one step after the other, paths of three hops.
//!
//! It shares no code with the crate, knows nothing of paths of four, and takes its time.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

pub const K: usize = 16;
pub const BLOCK: usize = 112;
pub const BETA: usize = 576;
pub const HEADER: usize = 624;
pub const PACKET: usize = 4608;
pub const MESSAGE: usize = 3968;

/// A hop as the maker of a packet knows it.
pub struct Hop {
    pub key: [u8; 32],
    pub address: [u8; 94],
}

/// What a hop finds.
pub enum Found {
    Forward {
        address: [u8; 94],
        delay_ms: u16,
        packet: Vec<u8>,
    },
    Exit {
        message: Vec<u8>,
    },
    Reply,
}

pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

fn kdf(label: &str, secret: &[u8; 32]) -> [u8; K] {
    hash(&[label.as_bytes(), secret])[..K].try_into().unwrap()
}

fn stream(key: [u8; K], iv: [u8; K], skip: usize, data: &mut [u8]) {
    let mut cipher = Ctr128BE::<Aes128>::new(&key.into(), &iv.into());
    cipher.apply_keystream(&mut vec![0; skip]);
    cipher.apply_keystream(data);
}

fn header_stream(secret: &[u8; 32], skip: usize, data: &mut [u8]) {
    stream(kdf("aes_key", secret), kdf("iv", secret), skip, data);
}

fn mac(secret: &[u8; 32], beta: &[u8]) -> [u8; K] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&kdf("mac_key", secret)).unwrap();
    mac.update(beta);
    mac.finalize().into_bytes()[..K].try_into().unwrap()
}

fn lioness(secret: &[u8; 32], encrypt: bool, block: &mut [u8]) {
    let seed = hash(&[b"payload_enc_key", secret]);
    let keys = [b"1", b"2", b"3", b"4"].map(|n| hash(&[b"lioness_key", n, &seed]));
    let (left, right) = block.split_at_mut(32);
    let rounds: [usize; 4] = if encrypt { [0, 1, 2, 3] } else { [3, 2, 1, 0] };
    for round in rounds {
        let key = &keys[round];
        if round % 2 == 0 {
            let mut mixed = [0; 32];
            (0..32).for_each(|i| mixed[i] = left[i] ^ key[i]);
            let (aes, iv) = mixed.split_at(16);
            stream(aes.try_into().unwrap(), iv.try_into().unwrap(), 0, right);
        } else {
            let hash = hash(&[key, right]);
            left.iter_mut()
                .zip(hash)
                .for_each(|(left, hash)| *left ^= hash);
        }
    }
}

/// Builds a packet along three hops: eight products of a variable point, and one of the base point.
pub fn build(
    path: &[Hop; 3],
    delays_ms: [u16; 2],
    x: [u8; 32],
    message: &[u8; MESSAGE],
) -> Vec<u8> {
    let mut alphas = vec![x25519(x, X25519_BASEPOINT_BYTES)];
    let mut factors = vec![x];
    let mut secrets = Vec::new();
    for (i, hop) in path.iter().enumerate() {
        let secret = factors
            .iter()
            .fold(hop.key, |point, factor| x25519(*factor, point));
        let blinding = hash(&[&alphas[i], &secret]);
        secrets.push(secret);
        if i < 2 {
            alphas.push(x25519(blinding, alphas[i]));
            factors.push(blinding);
        }
    }
    let mut filler = Vec::new();
    for i in 1..3 {
        filler.extend([0; BLOCK]);
        header_stream(&secrets[i - 1], (7 * (5 - i) + 8) * K, &mut filler);
    }
    let mut beta = vec![0; BETA - filler.len()];
    header_stream(&secrets[2], 0, &mut beta);
    beta.extend(&filler);
    let mut gamma = mac(&secrets[2], &beta);
    for i in (0..2).rev() {
        let mut outer = path[i + 1].address.to_vec();
        outer.extend(delays_ms[i].to_be_bytes());
        outer.extend(gamma);
        outer.extend(&beta[..BETA - BLOCK]);
        header_stream(&secrets[i], 0, &mut outer);
        gamma = mac(&secrets[i], &outer);
        beta = outer;
    }
    let mut delta = vec![0; 16];
    delta.extend(message);
    secrets
        .iter()
        .rev()
        .for_each(|secret| lioness(secret, true, &mut delta));
    [&alphas[0][..], &beta, &gamma, &delta].concat()
}

/// Peels one layer; nothing for a packet that is to be dropped.
pub fn peel(key: [u8; 32], packet: &[u8]) -> Option<Found> {
    let alpha: [u8; 32] = packet.get(..32)?.try_into().unwrap();
    if packet.len() != PACKET || alpha == [0; 32] {
        return None;
    }
    let secret = x25519(key, alpha);
    let (beta, gamma) = packet[32..HEADER].split_at(BETA);
    if secret == [0; 32] || mac(&secret, beta) != gamma {
        return None;
    }
    let mut delta = packet[HEADER..].to_vec();
    lioness(&secret, false, &mut delta);
    let mut block = [beta, &[0; BLOCK]].concat();
    header_stream(&secret, 0, &mut block);
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if zero(&block[112..352]) {
        if zero(&block[94..112]) {
            return zero(&delta[..16]).then(|| Found::Exit {
                message: delta[16..].to_vec(),
            });
        }
        return zero(&block[..96]).then_some(Found::Reply);
    }
    let next = x25519(hash(&[&alpha, &secret]), alpha);
    let packet = [&next[..], &block[112..688], &block[96..112], &delta].concat();
    Some(Found::Forward {
        address: block[..94].try_into().unwrap(),
        delay_ms: u16::from_be_bytes([block[94], block[95]]),
        packet,
    })
}
