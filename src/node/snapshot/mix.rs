//! The mixnet's part of a snapshot.

use ::mixnet::counters::PacketKind;
use ::mixnet::directory;
use ::mixnet::error::DropReason;
use ::mixnet::shell::{Handle, Reachability, Refusal, Status, Way};
use ::mixnet::{PeerKey, Protection};

use bridge::port::BridgeId;

use crate::identity;
use crate::metrics::{self, Readings};
use crate::status::{
    DirectoryStatus, LoopReport, MixPeer, MixStatus, ProtectionStatus, TrafficStatus, WindowStatus,
};

/// Where it comes from.
pub(super) struct MixSource {
    pub(super) handle: Handle,
    pub(super) preset: &'static str,
    pub(super) protection: Protection,
}

impl MixSource {
    /// Whether a bridge is part of the network.
    pub(super) fn knows(&self, bridge: BridgeId) -> bool {
        let topology = self.handle.topology();
        PeerKey::from_bytes(bridge.0).is_ok_and(|peer| topology.borrow().get(&peer).is_some())
    }

    /// How the mixnet is doing; nothing once it has stopped.
    pub(super) async fn status(&self, readings: &mut Readings) -> Option<MixStatus> {
        let status = self.handle.status().await?;
        counters(&status, readings);
        reach(&status, readings);
        let peers = status.connections.iter().map(|connection| MixPeer {
            peer_id: identity::peer_id(&connection.peer).unwrap_or_default(),
            listed: connection.known,
            transports: connection.ways.iter().map(|way| way.as_str()).collect(),
        });
        let node = &status.node;
        let directory = self.handle.directory();
        if let Some(directory) = &directory {
            directory_readings(directory, readings);
        }
        let mix = MixStatus {
            preset: self.preset.to_owned(),
            window: WindowStatus::of(node.window),
            protection: ProtectionStatus::of(&self.protection, &node.watch),
            traffic: TrafficStatus::of(&node.watch),
            loops: LoopReport::of(&node.loops),
            directory: directory.as_ref().map(DirectoryStatus::of),
            relays_usable: status.usable_relays,
            relays_known: status.known_relays,
            relays_needed: status.needed,
            peers: peers.collect(),
            reachability: status.reachability.as_str(),
            frames_queued: node.frames_queued,
            surbs_outstanding: node.surbs_outstanding,
        };
        gauges(&mix, readings);
        Some(mix)
    }
}

fn counters(status: &Status, readings: &mut Readings) {
    let counters = &status.node.counters;
    for kind in PacketKind::ALL {
        readings.count_labelled(&metrics::MIX_PACKETS, kind.as_str(), counters.sent(kind));
    }
    for reason in DropReason::ALL {
        readings.count_labelled(
            &metrics::MIX_DROPPED,
            reason.as_str(),
            counters.dropped(*reason),
        );
    }
    readings.count(&metrics::MIX_RECEIVED, counters.received);
    readings.count(&metrics::MIX_OBJECTS, counters.objects_delivered);
    readings.count_labelled(&metrics::MIX_LOOPS, "returned", counters.loops_returned);
    readings.count_labelled(&metrics::MIX_LOOPS, "lost", counters.loops_lost);
    readings.count(&metrics::MIX_ALARMS, counters.alarms);
    let delayed = status.node.packets_delayed as u64;
    readings.count(&metrics::MIX_DELAY_QUEUE, delayed);
    let queued = status.node.frames_queued as u64;
    readings.count(&metrics::MIX_FRAMES_QUEUED, queued);
    readings.count(&metrics::MIX_PEERS, status.connections.len() as u64);
    let used = status.node.mailboxes;
    for (result, count) in [
        ("polls", used.polls),
        ("found", used.found),
        ("silent", used.silent),
        ("lies", used.lies),
        ("skipped", used.skipped),
        ("puts", used.puts),
        ("kept", used.kept),
        ("refused", used.refused),
        ("unanswered", used.unanswered),
    ] {
        readings.count_labelled(&metrics::MIX_MAILBOXES, result, count);
    }
    readings.count(&metrics::MIX_CHAINS, status.node.chains_watched as u64);
    let surbs = status.node.surbs_outstanding as u64;
    readings.count(&metrics::MIX_SURBS, surbs);
}

fn directory_readings(directory: &directory::Status, readings: &mut Readings) {
    for (state, count) in [
        ("registered", directory.registered),
        ("active", directory.active),
        ("relays", directory.relays),
    ] {
        readings.count_labelled(&metrics::DIRECTORY_NODES, state, count as u64);
    }
    readings.count(&metrics::DIRECTORY_EPOCH, directory.epoch.into());
    readings.count(&metrics::DIRECTORY_ROUNDS, directory.rounds);
    readings.count(&metrics::DIRECTORY_ADMITTED, directory.admitted);
    for (reason, count) in &directory.refused {
        readings.count_labelled(&metrics::DIRECTORY_REFUSED, *reason, *count);
    }
    readings.count(&metrics::DIRECTORY_THROTTLED, directory.throttled);
    let forked = f64::from(u8::from(directory.fork.is_some()));
    readings.set(&metrics::DIRECTORY_FORK, forked);
    let ahead = directory.clock_off.map_or(0, |off| off.seconds);
    readings.set(&metrics::DIRECTORY_CLOCK, ahead as f64);
}

/// By which ways the node is connected, and whether others can dial it.
fn reach(status: &Status, readings: &mut Readings) {
    for way in Way::ALL {
        let ways = status.connections.iter().flat_map(|peer| &peer.ways);
        let count = ways.filter(|other| **other == way).count();
        readings.count_labelled(&metrics::MIX_WAYS, way.as_str(), count as u64);
    }
    let (sent, received) = status.tcp_bytes;
    readings.count_labelled(&metrics::MIX_BYTES, "sent", sent);
    readings.count_labelled(&metrics::MIX_BYTES, "received", received);
    match status.reachability {
        Reachability::Unknown => {}
        Reachability::Public => readings.count(&metrics::MIX_REACHABLE, 1),
        Reachability::Private => readings.count(&metrics::MIX_REACHABLE, 0),
    }
    for why in Refusal::ALL {
        let count = status.refused.get(&why).copied().unwrap_or_default();
        readings.count_labelled(&metrics::MIX_REFUSED, why.as_str(), count);
    }
    readings.count(&metrics::MIX_RESERVATIONS, status.reservations as u64);
}

fn gauges(mix: &MixStatus, readings: &mut Readings) {
    let alarmed = mix.loops.relays.iter().filter(|relay| relay.alarmed);
    let avoided = mix.loops.relays.iter().filter(|relay| relay.avoided);
    for (state, count) in [
        ("known", mix.relays_known),
        ("usable", mix.relays_usable),
        ("alarmed", alarmed.count()),
        ("avoided", avoided.count()),
    ] {
        readings.count_labelled(&metrics::MIX_RELAYS, state, count as u64);
    }
    let links = mix.loops.links_avoided as u64;
    readings.count(&metrics::MIX_LINKS_AVOIDED, links);
    if let Some(loss) = mix.loops.loss() {
        readings.set(&metrics::MIX_LOOP_LOSS, loss);
    }
    let flag = |flag: bool| f64::from(u8::from(flag));
    readings.set(&metrics::MIX_ALARM, flag(mix.protection.alarm));
    readings.set(&metrics::MIX_REFUSING, flag(mix.protection.refusing));
    readings.set(&metrics::MIX_WINDOW_OPEN, flag(!mix.window.is_closed()));
    readings.set(&metrics::MIX_DELAY_FACTOR, mix.protection.delay_factor);
    readings.set_labelled(
        &metrics::MIX_TRAFFIC,
        mix.traffic.source,
        mix.traffic.network_rate,
    );
    readings.set(&metrics::MIX_POOL, mix.traffic.pool);
}
