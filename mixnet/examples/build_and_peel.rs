//! Builds one packet along four hops and peels it hop by hop; then a reply comes back through a reply block.
//!
//! `cargo run -p mixnet --no-default-features --example build_and_peel`

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::net::Ipv4Addr;

use mixnet::geometry::MESSAGE_LEN;
use mixnet::sphinx::ReplyKey;
use mixnet::{
    Address, Hop, Packet, Peeled, PeerKey, ReplayStore, SecretKey, SurbId, Transport, build,
    make_surb, peel,
};

/// Mean delay at each hop but the last, in milliseconds.
const DELAYS_MS: [u16; 3] = [80, 80, 80];

fn main() -> Result<(), Box<dyn Error>> {
    // Whoever uses the crate brings the randomness; an example that prints the same every time brings constants.
    let keys: Vec<_> = (1..=4).map(|n| SecretKey::from_bytes([n; 32])).collect();
    let mut path = Vec::new();
    for (port, key) in (6001..).zip(&keys) {
        path.push(Hop {
            key: key.public(),
            address: Address::direct(
                Ipv4Addr::new(192, 0, 2, 1),
                Transport::Tcp,
                port,
                peer(port)?,
            ),
        });
    }

    let mut message = [0; MESSAGE_LEN];
    message[..5].copy_from_slice(b"hello");
    let (packet, entry) = build(&path, &DELAYS_MS, &[0x44; 32], &message, &Address::NONE)?;
    println!(
        "a packet of {} bytes, to be handed to {}",
        packet.as_bytes().len(),
        place(&entry)
    );
    let Peeled::Exit { message, .. } = walk(&keys, packet)? else {
        return Err("the path should have ended with a message".into());
    };
    println!("the last hop reads {:?}", text(&message[..]));

    // The last hop answers through a block that whoever built the path had made for it. It learns no more than the block's
    // first relay. The block ends at its maker, who is the last of its hops.
    let id = SurbId::from_bytes([7; 16]).ok_or("an id must not be zero")?;
    let reply_key = ReplyKey::from_bytes([9; 16]);
    let (block, opener) = make_surb(&path, &DELAYS_MS, &[0x55; 32], id, reply_key)?;
    let mut answer = [0; MESSAGE_LEN];
    answer[..7].copy_from_slice(b"goodbye");
    let (packet, _) = block.seal(&answer);
    let Peeled::Reply { id: arrived, delta } = walk(&keys, packet)? else {
        return Err("the path should have ended with a reply".into());
    };
    assert_eq!(arrived, id, "the maker finds its keys by the id");
    println!("the maker reads {:?}", text(&opener.open(delta)?[..]));
    Ok(())
}

/// Hands a packet from hop to hop until one of them keeps it.
fn walk(keys: &[SecretKey], mut packet: Packet) -> Result<Peeled, Box<dyn Error>> {
    for (hop, key) in keys.iter().enumerate() {
        // A store belongs to one key and remembers what the key has seen; a replayed packet is refused.
        let mut seen = ReplayStore::of(key);
        match peel(key, packet, &mut seen)? {
            Peeled::Forward {
                next,
                delay_ms_mean,
                packet: inner,
            } => {
                println!(
                    "hop {hop} learns: hold it for Exp({delay_ms_mean} ms), then hand it to {}",
                    place(&next)
                );
                packet = inner;
            }
            end @ (Peeled::Exit { .. } | Peeled::Reply { .. }) => return Ok(end),
        }
    }
    Err("no hop was the last one".into())
}

/// A peer key for an address. Real ones are public keys of libp2p identities.
fn peer(port: u16) -> Result<PeerKey, Box<dyn Error>> {
    let mut secret = [1; 32];
    secret[..2].copy_from_slice(&port.to_be_bytes());
    let secret = secp256k1::SecretKey::from_secret_bytes(secret)?;
    Ok(PeerKey::from_bytes(secret.public_key().serialize())?)
}

fn place(address: &Address) -> String {
    address.endpoint().map_or_else(
        || "nobody".to_owned(),
        |endpoint| format!("{}:{}", endpoint.ip, endpoint.port),
    )
}

fn text(message: &[u8]) -> String {
    let end = message.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&message[..end.unwrap_or(message.len())]).into_owned()
}
