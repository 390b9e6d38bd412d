//! Decodes a captured RLPx connection whose accepting side gave its keys away.
//!
//! The capture is what `tshark -r FILE -q -z follow,tcp,raw,0` prints: bytes in hex, those of the side that accepted behind a tab.
//!
//! `cargo run -p legacy --example decode_a_capture -- PRIVATE_KEY EPHEMERAL_KEY NONCE < CAPTURE`; without arguments, the
//! exchange that EIP-8 published. The nonce and the ephemeral key are of one connection only: a node that is to be watched must log them.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::io::Read as _;

use legacy::identity::SecretKey;
use legacy::limits::{FRAME_LEN_MAX, PACKET_LEN_MAX};
use legacy::rlp::Item;
use legacy::rlpx::Direction::{self, Accepted, Dialled};
use legacy::rlpx::frame::Ingress;
use legacy::rlpx::handshake::Auth;
use legacy::rlpx::hello::Hello;
use legacy::rlpx::secrets::{Exchange, Secrets};
use legacy::rlpx::snappy;
use legacy::shh::wire::{Envelopes, Status};

type Bytes32 = [u8; 32];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (keys, capture) = match &arguments[..] {
        [] => (
            [KEY, EPHEMERAL, NONCE].map(str::to_owned),
            PUBLISHED.to_owned(),
        ),
        [key, ephemeral, nonce] => {
            let mut capture = String::new();
            std::io::stdin().read_to_string(&mut capture)?;
            ([key, ephemeral, nonce].map(String::clone), capture)
        }
        _ => return Err("give three keys in hex, or nothing".into()),
    };
    let [key, ephemeral, nonce] = keys.map(|text| bytes32(&text));
    let (mut dialled, mut accepted) = streams(&capture)?;

    // Each side's first packet says its own length in two bytes.
    let (auth, ack) = (packet(&mut dialled)?, packet(&mut accepted)?);
    let opened = Auth::read(&SecretKey::from_bytes(&key?)?, &auth)?;
    println!(
        "auth     from {:?} in the form {:?}",
        opened.initiator.node_id(),
        opened.form
    );
    let (ephemeral, nonce) = (SecretKey::from_bytes(&ephemeral?)?, nonce?);
    // The keys of the connection are the same from either side; only who sends is another.
    let halves = |direction| {
        let exchange = Exchange {
            direction,
            ephemeral: &ephemeral,
            remote_ephemeral: &opened.ephemeral,
            initiator_nonce: &opened.nonce,
            recipient_nonce: &nonce,
            auth: &auth,
            ack: &ack,
        };
        Secrets::derive(&exchange).into_halves().1
    };
    decode(Dialled, halves(Accepted), &mut dialled)?;
    decode(Accepted, halves(Dialled), &mut accepted)
}

/// Prints every message of one side.
fn decode(side: Direction, mut ingress: Ingress, bytes: &mut [u8]) -> Result<(), Box<dyn Error>> {
    let (mut at, mut compressed) = (0, false);
    while let Some(body) = ingress.next(bytes, &mut at, FRAME_LEN_MAX)? {
        let (code, payload) = Item::first(body)?;
        let payload = if compressed {
            snappy::inflate(payload, PACKET_LEN_MAX)?
        } else {
            payload.to_vec()
        };
        match code.uint()? {
            0 => {
                let hello = Hello::decode(&payload)?;
                compressed = hello.snappy();
                println!(
                    "{side:?}  hello {:?} speaks {:?}",
                    hello.client_name, hello.capabilities
                );
            }
            code @ 1..16 => println!(
                "{side:?}  {}",
                ["disconnect", "ping", "pong"]
                    .get(code as usize - 1)
                    .unwrap_or(&"reserved")
            ),
            16 => println!("{side:?}  {:?}", Status::decode(&payload)?),
            17 => println!(
                "{side:?}  {} envelopes",
                Envelopes::decode(&payload)?.count()
            ),
            code => println!(
                "{side:?}  Whisper code {} with {} bytes",
                code - 16,
                payload.len()
            ),
        }
    }
    Ok(())
}

/// What each side said, the dialling one first.
fn streams(capture: &str) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let (mut dialled, mut accepted) = (Vec::new(), Vec::new());
    for line in capture.lines() {
        let stream = if line.starts_with('\t') {
            &mut accepted
        } else {
            &mut dialled
        };
        // Around the bytes stands who the nodes are.
        stream.extend(hex::decode(line.trim()).unwrap_or_default());
    }
    Ok((dialled, accepted))
}

/// Takes a packet of the handshake off the front.
fn packet(stream: &mut Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let size = stream
        .first_chunk()
        .map(|size| usize::from(u16::from_be_bytes(*size)));
    let len = size.map(|size| size + 2).filter(|len| *len <= stream.len());
    Ok(stream
        .drain(..len.ok_or("the capture ends within the handshake")?)
        .collect())
}

fn bytes32(hex_digits: &str) -> Result<Bytes32, Box<dyn Error>> {
    Ok(hex::decode(hex_digits)?
        .try_into()
        .map_err(|_| "a key or nonce has 32 bytes")?)
}

const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
const EPHEMERAL: &str = "e238eb8e04fee6511ab04c6dd3c89ce097b11f25d584863ac2b6d5b35b1847e4";
const NONCE: &str = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd";
const PUBLISHED: &str = include_str!("published_capture.txt");
