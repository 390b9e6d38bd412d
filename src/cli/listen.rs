//! `ferry listen`: Whisper messages on standard output.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args};
use legacy::enode::Enode;
use legacy::shell::Event;
use legacy::shh::message::Plaintext;
use legacy::shh::seal::{OpenKey, SymKey};
use legacy::shh::{Bloom, Envelope, Topic};
use serde_json::json;
use tokio::time::Instant;

use super::client::{self, Client};
use super::{out, runtime};
use crate::exit::Exit;
use crate::failure::Failure;

/// Prints Whisper messages that arrive at a node that it attaches to.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("with").required(true).args(["password", "key", "private_key"]))]
pub(super) struct Options {
    /// The node to attach to.
    #[arg(long, value_name = "ENODE", value_parser = client::parse_enode)]
    peer: Enode,
    /// Open what is sealed with this password; the name of a public chat is one.
    #[arg(long, env = "FERRY_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Open with the symmetric key in this file: 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Open with the secret key in this file: 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// A topic, 8 hexadecimal digits; may be repeated. Default: that of the public chat with the
    /// password as name, or with a key every topic.
    #[arg(long, value_name = "HEX", value_parser = client::parse_topic)]
    topic: Vec<Topic>,
    /// Stop after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop after so many seconds; exit code 1 if --count was not reached.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print one JSON object per message.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let key = match (&options.password, &options.key, &options.private_key) {
        (Some(password), _, _) => OpenKey::Symmetric(SymKey::from_password(password.as_bytes())),
        (None, Some(path), _) => OpenKey::Symmetric(client::sym_key_file(path)?),
        (None, None, Some(path)) => OpenKey::Private(client::secret_key_file(path)?),
        (None, None, None) => return Err(Failure::bug("no key", "the command line asks for one")),
    };
    let mut topics = options.topic.clone();
    if let (true, Some(name)) = (topics.is_empty(), &options.password) {
        topics.push(Topic::of_name(name));
    }
    runtime::of_a_command()?.block_on(print_all(options, &key, &topics))
}

async fn print_all(options: &Options, key: &OpenKey, topics: &[Topic]) -> Result<Exit, Failure> {
    let deadline = options
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let bloom = (!topics.is_empty()).then(|| Bloom::of_topics(topics.iter().copied()));
    let mut client = Client::start(&options.peer, bloom)?;
    let within = options
        .timeout
        .unwrap_or(ATTACH_SECONDS)
        .min(ATTACH_SECONDS);
    client.attached(Duration::from_secs(within)).await?;
    out::complain("ferry: attached to the peer");
    let mut printed = 0;
    while options.count.is_none_or(|count| printed < count) {
        let event = tokio::select! {
            event = client.events.recv() => event,
            () = until(deadline) => break,
        };
        let Some(event) = event else { break };
        let Event::Envelope { envelope, .. } = event else {
            continue;
        };
        if !topics.is_empty() && !topics.contains(&envelope.topic()) {
            continue;
        }
        // What does not open is for somebody else.
        if let Ok(plaintext) = key.open(envelope.data()) {
            out::say(&line(options.json, &envelope, &plaintext));
            printed += 1;
        }
    }
    client.close().await;
    let short = options.count.is_some_and(|count| printed < count);
    Ok(if short { Exit::Failed } else { Exit::Ok })
}

fn line(as_json: bool, envelope: &Arc<Envelope>, plaintext: &Plaintext) -> String {
    let text = std::str::from_utf8(&plaintext.payload).ok();
    let signer = plaintext.signer.map(|key| hex::encode(key.to_prefixed()));
    if as_json {
        return json!({
            "hash": envelope.hash().to_string(),
            "topic": envelope.topic().to_string(),
            "sent_unix": envelope.sent(),
            "ttl": envelope.ttl(),
            "pow": envelope.pow(),
            "size": envelope.size(),
            "received_unix_ms": client::now_ms(),
            "payload": hex::encode(&plaintext.payload),
            "text": text,
            "signer": signer,
        })
        .to_string();
    }
    // A terminal must not obey what a stranger wrote.
    let shown: String = match text {
        Some(text) => text.escape_debug().to_string(),
        None => format!(
            "{} bytes: {}",
            plaintext.payload.len(),
            hex::encode(&plaintext.payload)
        ),
    };
    match signer {
        Some(signer) => format!(
            "{} [{}…] {shown}",
            envelope.topic(),
            &signer[..SIGNER_DIGITS]
        ),
        None => format!("{} {shown}", envelope.topic()),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Seconds for the first connection.
const ATTACH_SECONDS: u64 = 20;

/// Digits of a signer that tell people apart.
const SIGNER_DIGITS: usize = 12;
