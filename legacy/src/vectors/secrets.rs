//! Vectors of the keys of a connection: `rlpx-secrets`.
//!
//! ```text
//! input    role, private_key, ephemeral_key, nonce, auth, ack
//! output   agreement, shared, aes, mac;  egress and ingress {initial, foo}: digests of the running MACs before the first
//!          frame, and after the three bytes "foo"
//! reason   those of rlpx-auth (recipient) and rlpx-ack (initiator);  other_keys never, unless this build is wrong
//! ```
//!
//! A connection does not give its keys away. So they are derived here once more, and then held against what the
//! connection does: a frame of its own must be the one that these keys make, and it must read one that they make.

use aes::Aes256;
use aes::cipher::BlockCipherEncrypt as _;
use ctr::Ctr128BE;
use ctr::cipher::{KeyInit as _, KeyIvInit as _, StreamCipher as _};
use serde_json::{Value, json};

use super::connection::Handshake;
use super::{Refusal, refuse};
use crate::keccak::{Hasher, keccak256};
use crate::rlpx::Direction;
use crate::rlpx::secrets::{Exchange, Secrets};

pub(super) fn secrets(input: &Value) -> Result<Value, Refusal> {
    let handshake = Handshake::read(input)?;
    let exchange = handshake.exchange();
    let keys = Keys::derive(&exchange);
    if !keys.are_those_of(&exchange) {
        return Err(refuse("other_keys"));
    }
    Ok(json!({
        "agreement": hex::encode(keys.agreement),
        "shared": hex::encode(keys.shared),
        "aes": hex::encode(keys.aes),
        "mac": hex::encode(keys.mac),
        "egress": digests(&keys.egress),
        "ingress": digests(&keys.ingress),
    }))
}

fn digests(state: &Hasher) -> Value {
    let mut after = state.clone();
    after.absorb(b"foo");
    json!({ "initial": hex::encode(state.digest()), "foo": hex::encode(after.digest()) })
}

/// The keys of one side, in clear.
pub(super) struct Keys {
    agreement: [u8; 32],
    shared: [u8; 32],
    aes: [u8; 32],
    mac: [u8; 32],
    egress: Hasher,
    ingress: Hasher,
}

impl Keys {
    pub(super) fn derive(exchange: &Exchange<'_>) -> Keys {
        let agreement = *exchange.ephemeral.agree(exchange.remote_ephemeral);
        let pair = |first: &[u8; 32], second: &[u8; 32]| keccak256(&[&first[..], second].concat());
        let nonces = pair(exchange.recipient_nonce, exchange.initiator_nonce);
        let shared = pair(&agreement, &nonces);
        let aes = pair(&agreement, &shared);
        let mac = pair(&agreement, &aes);
        let state = |nonce: &[u8; 32], packet| {
            let seed: [u8; 32] = std::array::from_fn(|at| mac[at] ^ nonce[at]);
            let mut state = Hasher::new();
            state.absorb(&seed);
            state.absorb(packet);
            state
        };
        let dialled = state(exchange.recipient_nonce, exchange.auth);
        let accepted = state(exchange.initiator_nonce, exchange.ack);
        let (egress, ingress) = match exchange.direction {
            Direction::Dialled => (dialled, accepted),
            Direction::Accepted => (accepted, dialled),
        };
        Keys {
            agreement,
            shared,
            aes,
            mac,
            egress,
            ingress,
        }
    }

    fn are_those_of(&self, exchange: &Exchange<'_>) -> bool {
        let (mut egress, mut ingress) = Secrets::derive(exchange).into_halves();
        let header = header(PROBE.len());
        let sent = Stream::new(self, &self.egress).frame(&header, &PROBE);
        let mut received = Stream::new(self, &self.ingress).frame(&header, &PROBE);
        egress.seal(&PROBE[..1], &PROBE[1..]).ok() == Some(sent)
            && ingress
                .next(&mut received, &mut 0, PROBE.len())
                .is_ok_and(|body| body == Some(&PROBE))
    }

    /// What the other side sends.
    pub(super) fn incoming(&self) -> Stream {
        Stream::new(self, &self.ingress)
    }

    /// The key stream of either direction.
    pub(super) fn key_stream(&self) -> Ctr128BE<Aes256> {
        key_stream(&self.aes)
    }
}

pub(super) fn key_stream(aes: &[u8; 32]) -> Ctr128BE<Aes256> {
    Ctr128BE::<Aes256>::new(aes.into(), &[0; BLOCK_LEN].into())
}

/// One direction of a connection.
pub(super) struct Stream {
    cipher: Ctr128BE<Aes256>,
    mac: Aes256,
    state: Hasher,
}

impl Stream {
    fn new(keys: &Keys, state: &Hasher) -> Stream {
        Stream {
            cipher: keys.key_stream(),
            mac: Aes256::new((&keys.mac).into()),
            state: state.clone(),
        }
    }

    /// The frame of a header and a padded body, both in clear.
    pub(super) fn frame(&mut self, header: &[u8; BLOCK_LEN], body: &[u8]) -> Vec<u8> {
        let mut header = *header;
        self.cipher.apply_keystream(&mut header);
        let mut frame = header.to_vec();
        frame.extend_from_slice(&self.tag(&header));
        let mut body = body.to_vec();
        self.cipher.apply_keystream(&mut body);
        self.state.absorb(&body);
        frame.extend_from_slice(&body);
        let seed = self.digest();
        frame.extend_from_slice(&self.tag(&seed));
        frame
    }

    fn tag(&mut self, seed: &[u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
        let mut block = self.digest();
        self.mac.encrypt_block((&mut block).into());
        let block: [u8; BLOCK_LEN] = std::array::from_fn(|at| block[at] ^ seed[at]);
        self.state.absorb(&block);
        self.digest()
    }

    fn digest(&self) -> [u8; BLOCK_LEN] {
        let digest = self.state.digest();
        std::array::from_fn(|at| digest[at])
    }
}

fn header(size: usize) -> [u8; BLOCK_LEN] {
    let [.., a, b, c] = size.to_be_bytes();
    [a, b, c, 0xc2, 0x80, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

pub(super) const BLOCK_LEN: usize = 16;
/// A body of whole blocks, so that nothing is padded.
const PROBE: [u8; 2 * BLOCK_LEN] = [0x10; 2 * BLOCK_LEN];
