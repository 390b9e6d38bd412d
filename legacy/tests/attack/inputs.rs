//! What attackers say: drawn from a seed, by damaging what is good.

use legacy::identity::PublicKey;
use legacy::rlp::{self, List};
use legacy::rlpx::handshake::{Auth, Form};
use legacy::rlpx::{ecies, snappy};
use legacy::shh::wire;
use legacy::shh::{Draft, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::honest::unix;
use super::target::random_key;

/// One attacker's choices.
pub(super) struct Dice(ChaCha20Rng);

impl Dice {
    pub(super) fn new(seed: u64, worker: u64) -> Dice {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8..16].copy_from_slice(&worker.to_be_bytes());
        Dice(ChaCha20Rng::from_seed(bytes))
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % bound.max(1) as u64).unwrap()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Damages bytes somehow, always.
    pub(super) fn damage(&mut self, bytes: &mut Vec<u8>) {
        match self.below(6) {
            0 => {
                let len = self.below(bytes.len());
                bytes.truncate(len);
            }
            1 => {
                let more = 1 + self.below(64);
                let tail = self.bytes(more);
                bytes.extend(tail);
            }
            2 => {
                let (at, len) = (self.below(bytes.len()), self.below(16));
                let noise = self.bytes(len);
                bytes.splice(at..at, noise);
            }
            3 => {
                let at = self.below(bytes.len());
                let end = (at + 1 + self.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let (at, bit) = (self.below(bytes.len()), self.below(8));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << bit;
                    }
                }
            }
        }
    }
}

/// Broken first packets. The costly parts are made once, since the node does not remember them.
pub(super) struct Openings {
    auths: Vec<Vec<u8>>,
}

impl Openings {
    pub(super) fn new(node: &PublicKey, dice: &mut Dice) -> Openings {
        let mut auths = Vec::new();
        for round in 0..32 {
            let form = if round % 2 == 0 {
                Form::Eip8
            } else {
                Form::Legacy
            };
            let nonce = dice.bytes(32).try_into().unwrap();
            auths.push(Auth::seal(
                form,
                &random_key(),
                &random_key(),
                &nonce,
                node,
                &mut dice.0,
            ));
            // Sealed as it should be, and inside is anything.
            let len = 200 + dice.below(400);
            let text = dice.bytes(len);
            let size = u16::try_from(text.len() + ecies::OVERHEAD)
                .unwrap()
                .to_be_bytes();
            let sealed = ecies::encrypt(node, &text, &size, &mut dice.0);
            auths.push([&size[..], &sealed].concat());
        }
        Openings { auths }
    }

    pub(super) fn next(&self, dice: &mut Dice) -> Vec<u8> {
        match dice.below(8) {
            0 => {
                let len = dice.below(700);
                dice.bytes(len)
            }
            // Every second of these is a good seal around noise, and as it is it is bad enough.
            1 => self.auths[1 + 2 * dice.below(self.auths.len() / 2)].clone(),
            2 => {
                // A size that fits, and noise.
                let len = 307 + dice.below(600);
                let noise = dice.bytes(len);
                [&u16::try_from(len).unwrap().to_be_bytes()[..], &noise].concat()
            }
            _ => {
                let mut auth = self.auths[dice.below(self.auths.len())].clone();
                dice.damage(&mut auth);
                auth
            }
        }
    }
}

/// A message of Whisper with a fault in its bytes: its code and payload.
pub(super) fn broken_message(dice: &mut Dice) -> (u64, Vec<u8>) {
    let envelope = Draft::new(unix() + 20, 20, Topic::new([7; 4]), &dice.bytes(40)).finish(0);
    let (code, mut payload) = match dice.below(9) {
        0 => (wire::STATUS, status()),
        1 | 2 => (
            wire::ENVELOPES,
            wire::encode_envelopes([&envelope.raw()[..]].into_iter()),
        ),
        3 => (wire::POW_REQUIREMENT, rlp::encode_bytes(&dice.bytes(9))),
        4 => (wire::BLOOM_FILTER, rlp::encode_bytes(&dice.bytes(63))),
        5 => (11, rlp::encode_bytes(&dice.bytes(32))),
        6 => (
            12,
            List::new()
                .uint(1)
                .bytes(&dice.bytes(32))
                .list(List::new())
                .finish(),
        ),
        7 => (20, List::new().uint(1).uint(2).uint(3).finish()),
        _ => (123 + dice.below(5) as u64, envelope.raw().to_vec()),
    };
    if dice.below(8) > 0 {
        dice.damage(&mut payload);
    }
    (code, payload)
}

/// A message that is no good and that a node takes no offence at.
pub(super) fn useless_message(dice: &mut Dice) -> (u64, Vec<u8>) {
    let envelope = |expiry: u32, ttl: u32, dice: &mut Dice| {
        let draft = Draft::new(expiry, ttl, Topic::new([7; 4]), &dice.bytes(40));
        let bytes = draft.finish(0);
        (
            wire::ENVELOPES,
            wire::encode_envelopes([&bytes.raw()[..]].into_iter()),
        )
    };
    match dice.below(6) {
        0 => envelope(unix() + 20, 0, dice),
        1 => envelope(unix() + 5, u32::MAX, dice),
        2 => envelope(u32::MAX, 10, dice),
        3 => envelope(unix() - 60, 10, dice),
        4 => (wire::STATUS, dice.bytes(40)),
        // Codes that nobody uses.
        _ => (30 + dice.below(60) as u64, dice.bytes(40)),
    }
}

/// A Hello, a frame of another kind in its place, or either damaged: the bytes of the body.
pub(super) fn broken_hello(dice: &mut Dice, own: &PublicKey) -> (u64, Vec<u8>) {
    let mut hello = List::new()
        .uint(5)
        .bytes(b"stranger")
        .list(List::new().list(List::new().bytes(b"shh").uint(6)))
        .uint(0)
        .bytes(&own.to_bytes())
        .finish();
    match dice.below(8) {
        0 => (1 + dice.below(200) as u64, hello),
        1 => {
            let len = 1 + dice.below(2000);
            (0, dice.bytes(len))
        }
        2 => (0, vec![0xf9; 2049 + dice.below(3000)]),
        _ => {
            // Within the first bytes are the lengths and the names; behind them is the key.
            let at = dice.below(hello.len());
            hello[at] ^= 1 << dice.below(8);
            (0, hello)
        }
    }
}

/// The Status of a node that wants nothing.
pub(super) fn status() -> Vec<u8> {
    List::new()
        .uint(6)
        .uint(0)
        .bytes(&[0; 64])
        .boolean(false)
        .finish()
}

/// As it goes into a frame once both Hellos are through.
pub(super) fn packed(payload: &[u8]) -> Vec<u8> {
    snappy::deflate(payload).unwrap()
}
