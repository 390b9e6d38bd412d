//! Opens one envelope with the name of a public chat.
//!
//! `cargo run -p legacy --example open_an_envelope -- RLP_HEX CHAT`; without arguments, a published one.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;

use legacy::shh::seal::{OpenKey, SymKey};
use legacy::shh::{Envelope, Topic};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rlp = arguments.next().unwrap_or_else(|| PUBLISHED.to_owned());
    let chat = arguments.next().unwrap_or_else(|| "test".to_owned());

    let envelope = Envelope::parse(&hex::decode(rlp.trim_start_matches("0x"))?)?;
    println!("id       {}", envelope.hash());
    println!(
        "topic    {} ({chat:?} has {})",
        envelope.topic(),
        Topic::of_name(&chat)
    );
    println!(
        "expires  {} (unix seconds), {} s after it was sent",
        envelope.expiry(),
        envelope.ttl()
    );
    println!("work     {:.4}", envelope.pow());

    // The key takes tens of milliseconds: 65,356 rounds of PBKDF2.
    let plaintext =
        OpenKey::Symmetric(SymKey::from_password(chat.as_bytes())).open(envelope.data())?;
    match plaintext.signer {
        Some(signer) => println!("signer   0x{}", hex::encode(signer.to_prefixed())),
        None => println!("signer   none"),
    }
    println!("padding  {} bytes", plaintext.padding.len());
    println!("payload  {:?}", String::from_utf8_lossy(&plaintext.payload));
    Ok(())
}

/// "hello whisper", signed by the first key of EIP-8, for the chat "test".
const PUBLISHED: &str = "f9012b845f5e100a0a849c22ff5fb9011cf462edf14d275b203f1ddf1f205b6c3a18fe1e44c33e4e255c7c9688c368dd55b201315e6aaab6b5887ad9762bfd9997bc192c29e7f157dee37f2cda3cc7c0c26cc66c679c0965ab804b42df52b5537988445465a3e7a262236943743dac9ccb6baabb6cb24612e509a3254e4f82eaa615d52b4d9af73731344cfc8d6c3afdcdc5e3d453e68d62cb1b4f465e46e13c908258a3a48b6ca48c4a83bdd2df1ae95306daa6cfe5057e794e981d1bb22bb3c073a79d044a801dc5bb10c0df74edf68d222bf27a9978891b50678d56f22a425e893607532480c9c662defe8af9fe807cdfe36ac5b601b99168d85b644ab3fbfc63389f7ee8c7e8f1cf33ee9ab4d04a1ddb3cbe41e1b0bc3677f3ca1d75b06992000102030405060708090a0b04";
