//! Asks every part how it is doing, a few times a second, and puts the answer where the API finds it.

mod mix;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ::legacy::peers::{Kind, Offence};
use ::legacy::rlpx::Direction as Opened;
use ::legacy::shell as whisper_shell;
use ::legacy::shh::clock::ClockState;
use ::legacy::shh::limits::CLOCK_WARN_S;
use ::mixnet::mailbox::PutStatus;
use bridge::counters::{Counters, Direction, DropReason};
use bridge::port::BridgeId;
use bridge::store::{Family, RocksStore};
use tokio::sync::watch;

use super::core::{Core, Doing};
use super::mailbox::{self, Mailbox};
use super::parts::{Mix, Whisper};
use crate::config::Settings;
use crate::identity::Identity;
use crate::link::interest::Interests;
use crate::metrics::{self, Readings};
use crate::status::{
    BridgeStatus, Cause, EdgeStatus, Health, MailStatus, MailboxStatus, NodeStatus, SNAPSHOT_EVERY,
    Snapshot, WhisperPeer, WhisperStatus,
};
use mix::MixSource;

/// Where a snapshot comes from.
pub(super) struct Sources {
    identity: Identity,
    started_unix_ms: u64,
    whisper: Option<(whisper_shell::Handle, usize)>,
    mix: Option<MixSource>,
    doing: Option<Doing>,
    mailbox: Option<watch::Receiver<mailbox::Doing>>,
    store: Option<Arc<RocksStore>>,
}

impl Sources {
    /// The parts of one node.
    pub(super) fn new(
        settings: &Settings,
        identity: Identity,
        whisper: Option<&Whisper>,
        mix: Option<&Mix>,
        core: Option<&Core>,
        mailbox: Option<&Mailbox>,
        store: Option<Arc<RocksStore>>,
    ) -> Self {
        let doing = core.map(|core| core.doing.clone());
        let statics = settings.whisper.static_peers.len();
        Self {
            identity,
            started_unix_ms: unix_ms(),
            whisper: whisper.map(|whisper| (whisper.handle.clone(), statics)),
            mix: mix.map(|mix| MixSource {
                handle: mix.handle.clone(),
                preset: mix.preset.name,
                protection: mix.protection,
            }),
            doing,
            mailbox: mailbox.map(|mailbox| mailbox.doing.clone()),
            store,
        }
    }

    /// Publishes a snapshot again and again; stops when nobody looks any more.
    pub(super) async fn publish(self, to: watch::Sender<Snapshot>) {
        let mut clock = tokio::time::interval(SNAPSHOT_EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !to.is_closed() {
            clock.tick().await;
            to.send_replace(self.take().await);
        }
    }

    /// Asks every part.
    pub(super) async fn take(&self) -> Snapshot {
        let mut readings = Readings::default();
        let mut troubles = Vec::new();
        let whisper = match &self.whisper {
            Some((handle, statics)) => {
                Some(whisper_status(handle, *statics, &mut readings, &mut troubles).await)
            }
            None => None,
        };
        let mix = match &self.mix {
            Some(mix) => mix.status(&mut readings).await,
            None => None,
        };
        let (bridge, edge) = match &self.doing {
            Some(Doing::Bridge(status)) => {
                (Some(bridge_status(&status.borrow(), &mut readings)), None)
            }
            Some(Doing::Edge(status, interests, bridge)) => (
                None,
                Some(edge_status(
                    &status.borrow(),
                    interests,
                    *bridge,
                    self.mix.as_ref(),
                    &mut readings,
                )),
            ),
            None => (None, None),
        };
        let mailbox = self
            .mailbox
            .as_ref()
            .map(|doing| mailbox_status(&doing.borrow(), &mut readings));
        if let Some(store) = &self.store {
            for family in Family::ALL {
                readings.count_labelled(&metrics::STORE_BYTES, family.name(), store.bytes(family));
            }
        }
        metrics::process_readings(&mut readings);
        let status = NodeStatus {
            identity: self.identity.clone(),
            started_unix_ms: self.started_unix_ms,
            whisper,
            mix,
            bridge,
            edge,
            mailbox,
            troubles,
        };
        readings.set(
            &metrics::NODE_READY,
            f64::from(u8::from(Health::of(&status, true).ready)),
        );
        Snapshot {
            taken: Instant::now(),
            status,
            readings,
        }
    }
}

async fn whisper_status(
    handle: &whisper_shell::Handle,
    statics: usize,
    readings: &mut Readings,
    troubles: &mut Vec<Cause>,
) -> WhisperStatus {
    let counters = handle.counters().await;
    let peers: Vec<WhisperPeer> = handle.peers().await.iter().map(whisper_peer).collect();
    for direction in ["dialled", "accepted"] {
        let count = peers
            .iter()
            .filter(|peer| peer.direction == direction)
            .count();
        readings.count_labelled(&metrics::DEVP2P_PEERS, direction, count as u64);
    }
    readings.count_labelled(
        &metrics::DEVP2P_HANDSHAKES,
        "established",
        counters.established,
    );
    for (reason, count) in &counters.refused {
        readings.count_labelled(&metrics::DEVP2P_HANDSHAKES, *reason, *count);
    }
    for (reason, count) in &counters.closed {
        readings.count_labelled(&metrics::DEVP2P_DISCONNECTS, reason.clone(), *count);
    }
    for offence in Offence::ALL {
        let count = counters.policy.offences.get(offence.as_str());
        readings.count_labelled(
            &metrics::DEVP2P_OFFENCES,
            offence.as_str(),
            count.copied().unwrap_or(0),
        );
    }
    for (subject, count) in &counters.policy.bans {
        readings.count_labelled(&metrics::DEVP2P_BANS, *subject, *count);
    }
    readings.count(&metrics::DEVP2P_BANNED, counters.banned as u64);
    readings.count(&metrics::DEVP2P_EVICTED, counters.policy.evicted);
    let shh = &counters.shh;
    readings.count(&metrics::ENVELOPES_RECEIVED, shh.envelopes_received);
    readings.count(&metrics::ENVELOPES_VALIDATED, shh.accepted);
    for (reason, count) in &shh.rejected {
        readings.count_labelled(&metrics::ENVELOPES_REJECTED, *reason, *count);
    }
    readings.count_labelled(&metrics::ENVELOPES_CACHED, "hit", shh.duplicates);
    readings.count_labelled(&metrics::ENVELOPES_CACHED, "miss", shh.accepted);
    readings.count(&metrics::ENVELOPES_SENT, shh.envelopes_sent);
    readings.count(&metrics::ENVELOPES_POOLED, counters.pooled as u64);
    readings.count(&metrics::RATE_LIMITS_PROCESSED, shh.rate_limited_packets);
    for (limit, count) in &shh.rate_limits_exceeded {
        readings.count_labelled(&metrics::RATE_LIMITS_EXCEEDED, *limit, *count);
    }
    for (direction, count) in [
        ("sent", shh.confirmations_sent),
        ("received", shh.confirmations_received),
        ("stray", shh.confirmations_stray),
        ("dropped", shh.confirmations_dropped),
    ] {
        readings.count_labelled(&metrics::CONFIRMATIONS, direction, count);
    }
    for (direction, count) in [("received", shh.direct_received), ("sent", shh.direct_sent)] {
        readings.count_labelled(&metrics::DIRECT_MESSAGES, direction, count);
    }
    if let Some(skew_s) = counters.clock.skew_s {
        readings.set(&metrics::CLOCK_SKEW, skew_s);
    }
    troubles.extend(clock_trouble(counters.clock));
    WhisperStatus {
        peers,
        static_peers: statics,
        pool_envelopes: counters.pooled,
        mailserver: mail_status(&counters.mail, readings),
    }
}

fn mail_status(mail: &whisper_shell::MailCounters, readings: &mut Readings) -> Option<MailStatus> {
    let server = mail.server.as_ref()?;
    for (result, count) in &server.requests {
        readings.count_labelled(&metrics::MAIL_REQUESTS, *result, *count);
    }
    for (result, count) in &server.syncs {
        readings.count_labelled(&metrics::MAIL_SYNCS, *result, *count);
    }
    for (reason, count) in &server.refused {
        readings.count_labelled(&metrics::MAIL_REFUSED, *reason, *count);
    }
    readings.count(&metrics::MAIL_ENVELOPES_SENT, server.envelopes_sent);
    readings.count(&metrics::MAIL_BYTES_SENT, server.bytes_sent);
    readings.count_labelled(&metrics::MAIL_ARCHIVED, "new", server.archived);
    readings.count_labelled(&metrics::MAIL_ARCHIVED, "repeated", server.repeated);
    readings.count_labelled(&metrics::MAIL_ARCHIVED, "dropped", server.dropped);
    readings.count(&metrics::MAIL_REMOVED, server.pruned);
    readings.count(&metrics::MAIL_FAILURES, server.failures);
    readings.count(&metrics::MAIL_ROWS, mail.totals.rows);
    readings.count(&metrics::MAIL_BYTES, mail.totals.bytes);
    let served = server.requests.get("served").copied().unwrap_or(0);
    let refused = server.requests.values().sum::<u64>() - served;
    Some(MailStatus {
        envelopes: mail.totals.rows,
        bytes: mail.totals.bytes,
        served,
        refused,
    })
}

/// What our clock keeps us from doing.
fn clock_trouble(clock: ClockState) -> Option<Cause> {
    if let Some(by) = clock.jumped_s {
        return Some(Cause::blocking(
            "clock_jumped",
            format!(
                "the clock of this machine jumped by {by:.0} s; nothing is sealed until it is trusted again"
            ),
            "it is ready again in a minute, or when peers agree with it; see to it that one service only sets the clock, and in small steps",
        ));
    }
    let skew = clock.skew_s.filter(|skew| skew.abs() >= CLOCK_WARN_S)?;
    Some(Cause::note(
        "clock_skew",
        format!("this clock is {skew:.0} s ahead of those that Whisper's senders have"),
        "set the clock by NTP: peers refuse what is more than 10 s from theirs",
    ))
}

fn whisper_peer(peer: &whisper_shell::PeerInfo) -> WhisperPeer {
    let key = hex::encode(peer.enode.public_key().to_bytes());
    WhisperPeer {
        address: Some(peer.enode.tcp().to_string()),
        direction: match peer.direction {
            Opened::Dialled => "dialled",
            Opened::Accepted => "accepted",
        },
        client: peer.client_name.clone(),
        is_static: peer.kind == Kind::Static,
        kind: peer.kind.as_str(),
        trusted: peer.trusted,
        score: peer.score,
        min_pow: peer.wants.as_ref().map_or(0.0, |wants| wants.min_pow),
        light: peer.wants.as_ref().is_some_and(|wants| wants.light),
        node_id: key,
    }
}

fn bridge_status(status: &bridge::engine::Status, readings: &mut Readings) -> BridgeStatus {
    transfers(&status.counters, readings);
    readings.count(&metrics::BRIDGE_REGISTRATIONS, status.registrations as u64);
    readings.count(&metrics::BRIDGE_CLIENTS_AWAY, status.clients_away as u64);
    readings.count(&metrics::BRIDGE_MESSAGES_LEFT, status.messages_left as u64);
    let leaving = status.payloads_leaving as u64;
    readings.count(&metrics::BRIDGE_PAYLOADS_LEAVING, leaving);
    readings.count(&metrics::BRIDGE_REPLY_BLOCKS, status.reply_blocks as u64);
    readings.count_labelled(
        &metrics::BRIDGE_OUTBOX_MESSAGES,
        "to_mix",
        status.deliveries_waiting as u64,
    );
    readings.count_labelled(
        &metrics::BRIDGE_OUTBOX_MESSAGES,
        "to_whisper",
        status.posts_open as u64,
    );
    BridgeStatus {
        registrations: status.registrations,
        deliveries_waiting: status.deliveries_waiting,
        posts_open: status.posts_open,
        clients_away: status.clients_away,
        messages_left: status.messages_left,
        payloads_leaving: status.payloads_leaving,
    }
}

fn mailbox_status(doing: &mailbox::Doing, readings: &mut Readings) -> MailboxStatus {
    let counters = doing.counters;
    readings.count(&metrics::MAILBOX_CELLS, doing.cells as u64);
    readings.count(&metrics::MAILBOX_BYTES, doing.bytes);
    for (status, count) in PutStatus::ALL.iter().zip(counters.puts) {
        readings.count_labelled(&metrics::MAILBOX_PUTS, status.as_str(), count);
    }
    readings.count(&metrics::MAILBOX_GETS, counters.gets);
    readings.count_labelled(&metrics::MAILBOX_SENT, "found", counters.found);
    readings.count_labelled(&metrics::MAILBOX_SENT, "random", counters.random);
    readings.count(&metrics::MAILBOX_EXPIRED, counters.expired);
    readings.count(&metrics::MAILBOX_FAILURES, doing.failures);
    MailboxStatus {
        cells: doing.cells,
        bytes: doing.bytes,
        gets: counters.gets,
        found: counters.found,
    }
}

fn edge_status(
    status: &bridge::gateway::client::Status,
    interests: &Interests,
    bridge: BridgeId,
    mix: Option<&MixSource>,
    readings: &mut Readings,
) -> EdgeStatus {
    transfers(&status.counters, readings);
    let followed = interests.followed();
    let waiting_s = |since: u64| unix_ms().saturating_sub(since) / 1000;
    let oldest = status.oldest_post_unix_ms.map_or(0, waiting_s);
    readings.count_labelled(
        &metrics::BRIDGE_OUTBOX_MESSAGES,
        "to_whisper",
        status.posts_waiting as u64,
    );
    readings.count(&metrics::BRIDGE_OUTBOX_OLDEST, oldest);
    readings.set(&metrics::EDGE_SHARE, followed.share);
    let topics = followed.prefixes.len() - followed.groups;
    readings.count_labelled(&metrics::EDGE_PREFIXES, "8", topics as u64);
    readings.count_labelled(&metrics::EDGE_PREFIXES, "5", followed.groups as u64);
    EdgeStatus {
        bridge: Some(hex::encode(bridge.0)),
        bridge_known: mix.is_some_and(|mix| mix.knows(bridge)),
        registered: status.is_registered,
        client: followed.client,
        prefixes: topics,
        groups: followed.groups,
        share: followed.share,
        left_out: followed
            .left_out
            .iter()
            .map(|prefix| format!("{prefix:?}"))
            .collect(),
        posts_pending: status.posts_waiting,
        reply_blocks: status.reply_blocks,
        chains: status.chains,
        from_mailboxes: status.from_mailboxes,
    }
}

fn transfers(counters: &Counters, readings: &mut Readings) {
    for direction in Direction::ALL {
        readings.count_labelled(
            &metrics::BRIDGE_TRANSFERS,
            direction.as_str(),
            counters.transfers(direction),
        );
        for reason in DropReason::ALL {
            let label = format!("{},{}", direction.as_str(), reason.as_str());
            readings.count_labelled(
                &metrics::BRIDGE_DROPPED,
                label,
                counters.dropped(direction, *reason),
            );
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_doubt_makes_a_node_unready_and_a_wrong_one_is_noted() {
        let trouble = |jumped_s, skew_s| clock_trouble(ClockState { skew_s, jumped_s });
        assert_eq!(trouble(None, None), None);
        assert_eq!(trouble(None, Some(4.0)), None);
        let skewed = trouble(None, Some(-7.0)).unwrap();
        assert_eq!((skewed.code, skewed.blocking), ("clock_skew", false));
        for skew_s in [None, Some(-7.0)] {
            let jumped = trouble(Some(-6.0), skew_s).unwrap();
            assert_eq!((jumped.code, jumped.blocking), ("clock_jumped", true));
            assert!(jumped.message.contains("by -6 s"), "{jumped:?}");
        }
    }
}
