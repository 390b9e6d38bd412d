//! `ferry demo`: a whole network on this machine, messages both ways, and the life of each.
//!
//! | module | content |
//! |---|---|
//! | [`network`] | the devnet as a child process, and questions to its nodes |
//! | [`person`] | one plain Whisper client that knows nothing of Ferry |
//! | [`report`] | what is printed |

pub(super) mod network;
pub(super) mod person;
pub(super) mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use super::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use network::{Network, Node};
use person::{Heard, Person};
use report::{Journey, Report, Way};

/// Shows the main job: starts a whole network on this machine and sends messages both ways through the mixnet.
///
/// Alice's client sits behind an edge, Bob's on the Whisper network; neither knows anything of Ferry. Exits with 1 if
/// a message does not arrive.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Messages each way.
    #[arg(long, default_value_t = 5, value_name = "N")]
    messages: usize,
    /// Time between two messages of one sender, in milliseconds.
    #[arg(long, default_value_t = 1500, value_name = "MS")]
    every_ms: u64,
    /// Preset of the edge: fast, normal, mobile, mobile-saver or high.
    #[arg(long, default_value = "fast", value_name = "NAME")]
    preset: String,
    /// Mix nodes.
    #[arg(long, default_value_t = 3, value_name = "N")]
    relays: usize,
    /// Every relay loses so many of a hundred packets on purpose.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=90))]
    loss: u8,
    /// Kill a relay when each has sent so many messages; three must be left.
    #[arg(long, value_name = "N")]
    kill_relay_after: Option<usize>,
    /// Print the tables only.
    #[arg(long)]
    quiet: bool,
}

/// A message that has not arrived by then is lost: three times what an envelope lives.
const ARRIVES_WITHIN: Duration = Duration::from_secs(45);

/// A devnet that does not get ready gives up after 90 s and says which node waits for what; this is longer.
const NETWORK_WITHIN: Duration = Duration::from_secs(120);

/// Clients attach, and the edge registers, within this time; it takes a second or two.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The last of the four hops is the bridge, or the edge.
const RELAYS_OF_A_WAY: usize = mixnet::geometry::HOPS - 1;

/// The public chat that Alice and Bob are in.
const CHAT: &str = "ferry-demo";

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    check(options)?;
    runtime::of_a_command()?.block_on(show(options))
}

/// Refuses what would fail only after the network has started.
fn check(options: &Options) -> Result<(), Failure> {
    enough_relays(
        options.relays,
        usize::from(options.kill_relay_after.is_some()),
    )?;
    if options.messages == 0 {
        return Err(Failure::new(
            Exit::Usage,
            "--messages 0 shows nothing",
            "nobody would say anything",
            "give 1 or more",
        ));
    }
    match options.kill_relay_after {
        Some(after) if !(1..=options.messages).contains(&after) => Err(Failure::new(
            Exit::Usage,
            format!("--kill-relay-after {after} never comes"),
            format!("each sends messages 1 to {}", options.messages),
            "give one of these numbers, or more --messages",
        )),
        _ => Ok(()),
    }
}

/// Refuses fewer relays than a way has, and as many more as will be killed.
pub(super) fn enough_relays(relays: usize, killed: usize) -> Result<(), Failure> {
    let needed = RELAYS_OF_A_WAY + killed;
    if relays >= needed {
        return Ok(());
    }
    let killed = if killed > 0 {
        ", and one is killed"
    } else {
        ""
    };
    Err(Failure::new(
        Exit::Usage,
        format!("--relays {relays} is too few"),
        format!("a way leads over {RELAYS_OF_A_WAY} of them{killed}"),
        format!("give {needed} or more"),
    ))
}

async fn show(options: &Options) -> Result<Exit, Failure> {
    let mut report = Report::new(options.quiet);
    report.starting(options.relays);
    let (relays, loss) = (options.relays.to_string(), options.loss.to_string());
    let args = [
        "--relays",
        &relays,
        "--preset",
        &options.preset,
        "--loss",
        &loss,
    ];
    let mut network = Network::start(&args, NETWORK_WITHIN).await?;
    let result = converse(options, &mut network, &mut report).await;
    network.stop().await;
    let arrived = result?;
    Ok(if arrived { Exit::Ok } else { Exit::Failed })
}

/// The conversation; whether everything arrived.
async fn converse(
    options: &Options,
    network: &mut Network,
    report: &mut Report,
) -> Result<bool, Failure> {
    let (hear, mut heard) = mpsc::channel(2 * options.messages.max(1));
    let alice = Person::attach(
        &network.edge.enode,
        CHAT,
        READY_WITHIN,
        Way::ToAlice,
        hear.clone(),
    )
    .await?;
    let bob = Person::attach(&network.whisper.enode, CHAT, READY_WITHIN, Way::ToBob, hear).await?;
    network.wait_following(READY_WITHIN).await?;
    let idle = network.memory().await;
    report.ready();

    let mut journeys: BTreeMap<[u8; 32], Journey> = BTreeMap::new();
    let mut clock = tokio::time::interval(Duration::from_millis(options.every_ms));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sent = 0;
    let mut end = tokio::time::Instant::now() + ARRIVES_WITHIN;
    let mut open = 2 * options.messages;
    while open > 0 {
        tokio::select! {
            _ = clock.tick(), if sent < options.messages => {
                sent += 1;
                let there = alice.say(&format!("message {sent} from Alice")).await?;
                let back = bob.say(&format!("message {sent} from Bob")).await?;
                journeys.insert(there.hash, Journey::new(Way::ToBob, sent, there));
                journeys.insert(back.hash, Journey::new(Way::ToAlice, sent, back));
                end = tokio::time::Instant::now() + ARRIVES_WITHIN;
                if options.kill_relay_after == Some(sent) {
                    network.kill_relay().await?;
                }
            }
            Some(Heard { way, text, at_unix_ms }) = heard.recv() => {
                let journey = journeys.values_mut().find(|journey| journey.way == way && journey.text() == text);
                if let Some(journey) = journey {
                    open -= usize::from(journey.received(at_unix_ms));
                    journey.edge = network.edge.life(&journey.hash).await;
                    journey.bridge = network.bridge.life(&journey.hash).await;
                    report.journey(journey);
                }
            }
            () = tokio::time::sleep_until(end) => break,
        }
    }
    let journeys: Vec<Journey> = journeys.into_values().collect();
    report.latencies(&journeys);
    report.memory(&idle);
    report.sight(&sight(network).await);
    alice.leave().await;
    bob.leave().await;
    Ok(report.verdict(&journeys))
}

/// What relays and bridge saw, asked of themselves.
async fn sight(network: &Network) -> report::Sight {
    let mut relays = Vec::new();
    for relay in &network.relays {
        relays.push(
            relay
                .metric("mix_packets_received_total")
                .await
                .unwrap_or(0.0),
        );
    }
    let peers = network.bridge.mix_peers().await;
    let knows_edge = peers.contains(&network.edge.peer_id);
    let is_relay = |peer: &String| {
        network
            .relays
            .iter()
            .any(|relay: &Node| relay.peer_id == *peer)
    };
    report::Sight {
        relays,
        bridge_peers: peers.len(),
        bridge_peers_are_relays: peers.iter().all(is_relay),
        bridge_knows_edge: knows_edge,
        registrations: network
            .bridge
            .metric("bridge_registrations")
            .await
            .unwrap_or(0.0),
        share: network.edge.metric("edge_share").await.unwrap_or(0.0),
    }
}
