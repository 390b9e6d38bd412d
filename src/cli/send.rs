//! `ferry send`: one Whisper message from the command line.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use legacy::enode::Enode;
use legacy::identity::{PublicKey, SecretKey};
use legacy::shell::Event;
use legacy::shh::message::Padding;
use legacy::shh::node::Wants;
use legacy::shh::seal::{SealTo, SymKey, seal};
use legacy::shh::{Bloom, Draft, Envelope, Topic};
use serde_json::json;

use super::client::{self, Client};
use super::{out, runtime};
use crate::exit::Exit;
use crate::failure::Failure;

/// Sends one Whisper message through a node that it attaches to.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("to").required(true).args(["password", "key", "public_key"]))]
pub(super) struct Options {
    /// The node to attach to.
    #[arg(long, value_name = "ENODE", value_parser = client::parse_enode)]
    peer: Enode,
    /// Seal for everybody who knows this password; the name of a public chat is one.
    #[arg(long, env = "FERRY_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Seal with the symmetric key in this file: 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Seal for the owner of this public key.
    #[arg(long, value_name = "HEX", value_parser = client::parse_public_key)]
    public_key: Option<PublicKey>,
    /// The topic, 8 hexadecimal digits. Default: that of the public chat with the password as name.
    #[arg(long, value_name = "HEX", value_parser = client::parse_topic)]
    topic: Option<Topic>,
    /// The message. Default: standard input.
    #[arg(long)]
    text: Option<String>,
    /// Sign with the secret key in this file: 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// Seconds that the message stays valid.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=172_800))]
    ttl: u32,
    /// Proof of work; the peer's minimum if that is more.
    #[arg(long, default_value_t = 0.002)]
    pow: f64,
    /// Seconds to wait for the connection, and for the message to leave.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    timeout: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let topic = options
        .topic
        .or_else(|| options.password.as_deref().map(Topic::of_name));
    let Some(topic) = topic else {
        return Err(Failure::new(
            Exit::Usage,
            "no topic is given",
            "only a public chat has a topic of its own",
            "add --topic and 8 hexadecimal digits",
        ));
    };
    if !options.pow.is_finite() || !(0.0..=POW_MAX).contains(&options.pow) {
        return Err(Failure::new(
            Exit::Usage,
            format!("--pow {} cannot be reached", options.pow),
            format!("a proof of work is a number from 0 to {POW_MAX}"),
            "leave it out, or give a smaller one",
        ));
    }
    let payload = payload(options)?;
    let sealed = seal_payload(options, &payload)?;
    runtime::of_a_command()?.block_on(deliver(options, topic, sealed))
}

fn payload(options: &Options) -> Result<Vec<u8>, Failure> {
    if let Some(text) = &options.text {
        return Ok(text.as_bytes().to_vec());
    }
    let mut payload = Vec::new();
    io::stdin()
        .lock()
        .take(PAYLOAD_MAX + 1)
        .read_to_end(&mut payload)
        .map_err(|error| {
            Failure::new(
                Exit::Usage,
                "no message",
                error.to_string(),
                "give it with --text",
            )
        })?;
    if payload.len() as u64 > PAYLOAD_MAX {
        return Err(Failure::new(
            Exit::Usage,
            "the message is too long",
            format!(
                "Whisper nodes take envelopes of 1 MiB; more than {PAYLOAD_MAX} bytes do not fit"
            ),
            "send less at once",
        ));
    }
    Ok(payload)
}

fn seal_payload(options: &Options, payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let signer = options
        .sign
        .as_deref()
        .map(client::secret_key_file)
        .transpose()?;
    let signer: Option<&SecretKey> = signer.as_ref();
    let password = options
        .password
        .as_ref()
        .map(|password| SymKey::from_password(password.as_bytes()));
    let symmetric = match &options.key {
        Some(path) => Some(client::sym_key_file(path)?),
        None => password,
    };
    let to = match (&symmetric, &options.public_key) {
        (Some(key), _) => SealTo::Symmetric(key),
        (None, Some(key)) => SealTo::Public(key),
        (None, None) => return Err(Failure::bug("no key", "the command line asks for one")),
    };
    seal(to, payload, Padding::Random, signer, &mut client::random()?).map_err(|error| {
        Failure::new(
            Exit::Usage,
            "the message cannot be sealed",
            error.to_string(),
            "send less at once",
        )
    })
}

async fn deliver(options: &Options, topic: Topic, sealed: Vec<u8>) -> Result<Exit, Failure> {
    let within = Duration::from_secs(options.timeout);
    let mut client = Client::start(&options.peer, Some(Bloom::of_topics([topic])))?;
    let wants = client.attached(within).await?;
    trust_clock(&client).await?;
    let envelope = prove(options, topic, sealed, &wants).await?;
    trust_clock(&client).await?;
    let (hash, size, pow) = (envelope.hash(), envelope.size(), envelope.pow());
    if !wants.accepts(topic, pow) {
        return Err(Failure::new(
            Exit::Failed,
            "the peer does not want this message",
            "its bloom filter does not contain the topic",
            "attach to a full node",
        ));
    }
    client.handle.post(envelope).await.map_err(|error| {
        Failure::new(
            Exit::Failed,
            "the message was not sent",
            error.to_string(),
            "check --ttl and the clock",
        )
    })?;
    let sent = async {
        while let Some(event) = client.events.recv().await {
            if matches!(event, Event::Sent { hashes, .. } if hashes.contains(&hash)) {
                return true;
            }
        }
        false
    };
    let sent = tokio::time::timeout(within, sent).await.unwrap_or(false);
    client.close().await;
    if !sent {
        return Err(Failure::new(
            Exit::Failed,
            "the message was not sent",
            format!("the peer did not take it within {} s", within.as_secs()),
            "look at the peer's log",
        ));
    }
    if options.json {
        let about = json!({
            "hash": hash.to_string(), "topic": topic.to_string(), "ttl": options.ttl,
            "size": size, "pow": pow, "sent_unix_ms": client::now_ms(),
        });
        out::say(&about.to_string());
    } else {
        out::say(&format!("sent {hash} ({size} bytes, topic {topic})"));
    }
    Ok(Exit::Ok)
}

/// What is sealed around a jump of the clock may be from the future for everybody else.
async fn trust_clock(client: &Client) -> Result<(), Failure> {
    let by_s = match client.handle.clock_state().await {
        Ok(clock) => clock.jumped_s,
        // Whatever ended the node is told by the next step.
        Err(_) => None,
    };
    by_s.map_or(Ok(()), |by_s| {
        Err(Failure::new(
            Exit::Clock,
            "the message was not sent",
            format!("the clock of this machine jumped by {by_s:.0} s meanwhile"),
            "send it again when the clock is right",
        ))
    })
}

/// Does the work, on a thread where it blocks nobody.
async fn prove(
    options: &Options,
    topic: Topic,
    sealed: Vec<u8>,
    wants: &Wants,
) -> Result<Envelope, Failure> {
    let target = options.pow.max(wants.min_pow);
    let expiry = u32::try_from(client::now_ms() / 1000)
        .unwrap_or(u32::MAX)
        .saturating_add(options.ttl);
    let draft = Draft::new(expiry, options.ttl, topic, &sealed);
    let work = move || {
        draft
            .search(target, CLOCK_SLACK_SECONDS)
            .run(TRIES_MAX, || false)
            .map(|nonce| draft.finish(nonce))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::bug("the proof of work ended early", error.to_string()))?
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the proof of work {target} was not found"),
                error.to_string(),
                "send less, with a shorter --ttl, or a smaller --pow",
            )
        })
}

/// What still fits into an envelope of 1 MiB with padding, signature and encryption.
const PAYLOAD_MAX: u64 = 1024 * 1024 - 1024;

/// More than any network asks for.
const POW_MAX: f64 = 1000.0;

/// Nonces to try: minutes of work.
const TRIES_MAX: u64 = 1 << 32;

/// Receivers whose clocks are late count the remaining life as longer, and the work as less.
const CLOCK_SLACK_SECONDS: u32 = 5;
