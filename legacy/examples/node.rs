//! A Whisper node in twenty lines: it relays, and prints the id and topic of every envelope that is new.
//!
//! `cargo run -p legacy --example node -- [ENODE]...`; it stays connected to the given peers until Ctrl-C.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;

use legacy::identity::SecretKey;
use legacy::shell::{Config, Event, spawn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let mut config = Config::new(SecretKey::from_bytes(&key)?);
    for enode in std::env::args().skip(1) {
        config.static_peers.push(enode.parse()?);
    }
    let (node, mut events, task) = spawn(config)?;
    println!("I am {}", node.local_enode().ok_or("it listens")?);
    loop {
        tokio::select! {
            Some(event) = events.recv() => match event {
                Event::Envelope { envelope, .. } => println!("{} {}", envelope.hash(), envelope.topic()),
                Event::PeerUp { node, direction } => println!("{node:?} is here ({direction:?})"),
                Event::PeerDown { node } => println!("{node:?} is gone"),
                _ => {}
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    node.shutdown().await;
    Ok(task.await?)
}
