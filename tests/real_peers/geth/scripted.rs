//! A peer of which every byte is our own choice, to dial a node of ours and one of go-ethereum with the same script.

use std::io::{Read, Write};
use std::net::TcpStream;

use legacy::enode::Enode;
use legacy::identity::SecretKey;
use legacy::rlp::{self, Item, List};
use legacy::rlpx::Direction;
use legacy::rlpx::disconnect::DisconnectReason;
use legacy::rlpx::frame::{Egress, Ingress};
use legacy::rlpx::handshake::{Ack, Auth, Form};
use legacy::rlpx::secrets::{Exchange, Secrets};
use legacy::rlpx::{ecies, snappy};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::PATIENCE;

pub(crate) const DISCONNECT: u64 = 1;
pub(crate) const PING: u64 = 2;
pub(crate) const PONG: u64 = 3;

/// How the first packet is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening {
    /// 307 bytes, without a size.
    Legacy,
    /// The usual form, with so much padding, a version that means nothing, and items that nobody knows.
    Eip8 { padding: usize, version: u64 },
}

/// Whether payloads are compressed, which the version in the Hello decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Snappy,
}

/// A connection to a node.
pub(crate) struct Scripted {
    stream: TcpStream,
    key: SecretKey,
    egress: Egress,
    ingress: Ingress,
    arrived: Vec<u8>,
    packing: Packing,
    /// Bytes of the ack: 210 in the older form.
    pub(crate) ack_len: usize,
}

impl Scripted {
    /// Dials, and goes through the encrypted handshake.
    pub(crate) fn dial(to: &str, key: SecretKey, opening: Opening) -> Self {
        let to: Enode = to.parse().expect("an enode");
        let mut stream = TcpStream::connect(to.tcp()).expect("the node listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        let mut rng = ChaCha20Rng::from_seed([key.public().to_bytes()[0]; 32]);
        let (ephemeral, nonce) = (SecretKey::generate(&mut rng), [7; 32]);
        let auth = match opening {
            Opening::Legacy => {
                let form = Form::Legacy;
                Auth::seal(form, &key, &ephemeral, &nonce, to.public_key(), &mut rng)
            }
            Opening::Eip8 { padding, version } => {
                eip8(&key, &ephemeral, &nonce, &to, padding, version, &mut rng)
            }
        };
        stream.write_all(&auth).expect("the node reads");
        let answer = ack(&mut stream, opening);
        let read = Ack::read(&key, &answer).expect("a good ack");
        let (egress, ingress) = Secrets::derive(&Exchange {
            direction: Direction::Dialled,
            ephemeral: &ephemeral,
            remote_ephemeral: &read.ephemeral,
            initiator_nonce: &nonce,
            recipient_nonce: &read.nonce,
            auth: &auth,
            ack: &answer,
        })
        .into_halves();
        Self {
            stream,
            key,
            egress,
            ingress,
            arrived: Vec::new(),
            packing: Packing::Plain,
            ack_len: answer.len(),
        }
    }

    /// The usual way in, up to the Hello that is not said yet.
    pub(crate) fn usual(to: &str, key: SecretKey) -> Self {
        Self::dial(
            to,
            key,
            Opening::Eip8 {
                padding: 150,
                version: 4,
            },
        )
    }

    /// Says a Hello of some version and reads the other one.
    pub(crate) fn greet(&mut self, version: u64, capabilities: &[(&str, u64)]) {
        assert!(
            self.is_greeted(version, capabilities),
            "a Hello comes first"
        );
    }

    /// Says a Hello; whether the other one comes, and not a Disconnect.
    pub(crate) fn is_greeted(&mut self, version: u64, capabilities: &[(&str, u64)]) -> bool {
        let list = capabilities
            .iter()
            .fold(List::new(), |list, (name, version)| {
                list.list(List::new().bytes(name.as_bytes()).uint(*version))
            });
        let hello = List::new()
            .uint(version)
            .bytes(b"scripted")
            .list(list)
            .uint(0)
            .bytes(&self.key.public().to_bytes())
            .finish();
        self.say(0, &hello);
        let (code, _) = self.hear().expect("a Hello comes first");
        if version >= 5 {
            self.packing = Packing::Snappy;
        }
        code == 0
    }

    /// Says a Status and reads the other one, which comes unasked.
    pub(crate) fn exchange_status(&mut self, status: &[u8]) {
        self.say(SHH, status);
        let (code, _) = self.hear().expect("a Status");
        assert_eq!(code, SHH, "a Status comes first");
    }

    pub(crate) fn say(&mut self, code: u64, payload: &[u8]) {
        let packed = match self.packing {
            Packing::Plain => payload.to_vec(),
            Packing::Snappy => snappy::deflate(payload).expect("it is short"),
        };
        let frame = self
            .egress
            .seal(&rlp::encode_uint(code), &packed)
            .expect("it is short");
        // Whoever has closed already is read to its end.
        drop(self.stream.write_all(&frame));
    }

    /// The next message; nothing: the node closed.
    pub(crate) fn hear(&mut self) -> Option<(u64, Vec<u8>)> {
        loop {
            let mut at = 0;
            let body = self
                .ingress
                .next(&mut self.arrived, &mut at, 1 << 24)
                .expect("good frames");
            let message = body.map(|body| {
                let (code, payload) = Item::first(body).expect("a code");
                (code.uint().expect("a code"), payload.to_vec())
            });
            self.arrived.drain(..at);
            if let Some((code, payload)) = message {
                let plain = match self.packing {
                    Packing::Plain => payload,
                    Packing::Snappy => snappy::inflate(&payload, 1 << 24).expect("it inflates"),
                };
                return Some((code, plain));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.arrived.extend_from_slice(&buffer[..len]),
            }
        }
    }

    /// What the node says in the end, whatever comes before.
    pub(crate) fn end(&mut self) -> Option<DisconnectReason> {
        while let Some((code, payload)) = self.hear() {
            if code == DISCONNECT {
                return Some(DisconnectReason::decode(&payload));
            }
        }
        None
    }

    /// The node answers a ping with a pong, an empty list.
    pub(crate) fn is_answered(&mut self) -> bool {
        self.say(PING, &[0xc0]);
        while let Some((code, payload)) = self.hear() {
            match code {
                PONG => {
                    assert_eq!(payload, [0xc0]);
                    return true;
                }
                DISCONNECT => return false,
                _ => {}
            }
        }
        false
    }
}

/// The Status message where Whisper is all that both speak.
pub(crate) const SHH: u64 = 16;

/// An auth with padding, version and further items at will.
fn eip8(
    key: &SecretKey,
    ephemeral: &SecretKey,
    nonce: &[u8; 32],
    to: &Enode,
    padding: usize,
    version: u64,
    rng: &mut ChaCha20Rng,
) -> Vec<u8> {
    let token = key.agree(to.public_key());
    let digest: [u8; 32] = std::array::from_fn(|at| token[at] ^ nonce[at]);
    let mut text = List::new()
        .bytes(&ephemeral.sign(&digest))
        .bytes(&key.public().to_bytes())
        .bytes(nonce)
        .uint(version)
        .bytes(b"unknown")
        .list(List::new().uint(4).uint(5))
        .finish();
    text.resize(text.len() + padding, 0xee);
    let size = u16::try_from(text.len() + ecies::OVERHEAD).expect("a few hundred bytes");
    let prefix = size.to_be_bytes();
    [
        &prefix[..],
        &ecies::encrypt(to.public_key(), &text, &prefix, rng),
    ]
    .concat()
}

fn ack(stream: &mut TcpStream, opening: Opening) -> Vec<u8> {
    let mut packet = vec![0; 2];
    if matches!(opening, Opening::Legacy) {
        packet.resize(210, 0);
        stream.read_exact(&mut packet).expect("an ack");
        return packet;
    }
    stream.read_exact(&mut packet).expect("an ack");
    let size = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
    packet.resize(2 + size, 0);
    stream.read_exact(&mut packet[2..]).expect("an ack");
    packet
}

/// A key that no other test uses; the number tells those of one test apart.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[0x40 + number; 32]).expect("any small number is a key")
}
