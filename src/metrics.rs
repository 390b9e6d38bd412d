//! Prometheus metrics, under the names that dashboards for Whisper and Waku already use.
//!
//! The protocol cores count for themselves; the node copies their counters into [`Readings`] for
//! each snapshot. Only the histograms live here. No metric has a label per peer or per message.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One metric that is copied from a core.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name; a counter's ends with `_total` in the output.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// The name of its label, if it has one; two names, and then two values, stand with a comma between them.
    pub label: Option<&'static str>,
}

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up only, from 0 at the start.
    Counter,
    /// Up and down.
    Gauge,
}

macro_rules! metrics {
    ($($ident:ident $kind:ident $name:literal $label:expr, $help:literal;)*) => {
        $(#[doc = $help] pub const $ident: Metric =
            Metric { name: $name, help: $help, kind: Kind::$kind, label: $label };)*
        /// Every metric that is copied from a core.
        pub const ALL: &[&Metric] = &[$(&$ident),*];
    };
}

metrics! {
    ENVELOPES_RECEIVED Counter "whisper_envelopes_received" None, "Envelopes that peers sent";
    ENVELOPES_VALIDATED Counter "whisper_envelopes_validated" None, "Envelopes that passed every check";
    ENVELOPES_REJECTED Counter "whisper_envelopes_rejected" Some("reason"), "Envelopes that failed a check";
    ENVELOPES_CACHE_FAILURES Counter "whisper_envelopes_cache_failures" Some("type"), "Envelopes that could not be kept";
    ENVELOPES_CACHED Counter "whisper_envelopes_cached" Some("cache"), "Look-ups of an envelope: hit is a duplicate";
    ENVELOPES_SENT Counter "whisper_envelopes_sent" None, "Envelopes sent to peers, each copy counted";
    ENVELOPES_POOLED Gauge "whisper_envelopes_pooled" None, "Envelopes that are kept for peers";
    MAIL_REQUESTS Counter "mailserver_requests" Some("result"), "Requests for history that clients made, by how they went";
    MAIL_SYNCS Counter "mailserver_syncs" Some("result"), "Requests for syncs that other servers made, by how they went";
    MAIL_ENVELOPES_SENT Counter "mailserver_sent_envelopes" None, "Archived envelopes handed out";
    MAIL_BYTES_SENT Counter "mailserver_sent_bytes" None, "Bytes of archived envelopes handed out";
    MAIL_ARCHIVED Counter "mailserver_archived_envelopes" Some("result"), "Envelopes for the archive: new, repeated, dropped";
    MAIL_REMOVED Counter "mailserver_removed_envelopes" None, "Archived envelopes that were too old or too many";
    MAIL_REFUSED Counter "mailserver_sync_refused" Some("reason"), "Envelopes of other servers that were not taken";
    MAIL_FAILURES Counter "mailserver_archive_failures" None, "Jobs that the archive failed to do";
    MAIL_ROWS Gauge "mailserver_envelopes" None, "Envelopes in the archive";
    MAIL_BYTES Gauge "mailserver_bytes" None, "Bytes of the envelopes in the archive";
    RATE_LIMITS_PROCESSED Counter "whisper_rate_limits_processed" None, "Packets that the rate limits looked at";
    RATE_LIMITS_EXCEEDED Counter "whisper_rate_limits_exceeded" Some("type"), "Packets above the rate of a peer or an address";
    CONFIRMATIONS Counter "whisper_confirmations" Some("direction"), "Bundles confirmed: sent, received; stray and dropped are of no use";
    DIRECT_MESSAGES Counter "whisper_direct_messages" Some("direction"), "Envelopes past the pool: received from trusted peers, sent";
    CLOCK_SKEW Gauge "node_clock_skew_seconds" None, "Seconds by which this clock is ahead of those of senders; a right one seems 1 or 2 ahead";
    DEVP2P_PEERS Gauge "devp2p_peers" Some("direction"), "Whisper connections";
    DEVP2P_HANDSHAKES Counter "devp2p_handshakes" Some("result"), "RLPx handshakes";
    DEVP2P_DISCONNECTS Counter "devp2p_disconnects" Some("reason"), "Closed connections by reason";
    DEVP2P_OFFENCES Counter "devp2p_offences" Some("kind"), "Misbehaviour of Whisper peers";
    DEVP2P_BANS Counter "devp2p_bans" Some("subject"), "Bans that began: of a node, of an address";
    DEVP2P_BANNED Gauge "devp2p_banned" None, "Bans that hold";
    DEVP2P_EVICTED Counter "devp2p_evicted" None, "Peers that made room for others because of what they had done";
    MIX_PACKETS Counter "mix_packets" Some("kind"), "Sphinx packets sent";
    MIX_RECEIVED Counter "mix_packets_received" None, "Sphinx packets that neighbours handed over";
    MIX_DROPPED Counter "mix_dropped" Some("reason"), "Sphinx packets and frames that were dropped";
    MIX_OBJECTS Counter "mix_objects_received" None, "Objects that were put together from frames";
    MIX_LOOPS Counter "mix_loops" Some("result"), "Loops that came back or got lost";
    MIX_DELAY_QUEUE Gauge "mix_delay_queue_len" None, "Packets that rest in the relay";
    MIX_FRAMES_QUEUED Gauge "mix_frames_queued" None, "Frames that wait for a slot of the payload clock";
    MIX_ALARMS Counter "mix_loop_alarms" None, "Relays whose loops began to vanish";
    MIX_ALARM Gauge "mix_loop_alarm" None, "1 while messages are held because loops vanish";
    MIX_LOOP_LOSS Gauge "mix_loop_loss" None, "Share of the newest loops that did not come back";
    MIX_LINKS_AVOIDED Gauge "mix_links_avoided" None, "Links between relays that paths leave out";
    MIX_WINDOW_OPEN Gauge "mix_window_open" None, "1 while packets leave at the full rate";
    MIX_REFUSING Gauge "mix_refusing" None, "1 while messages are refused for want of traffic";
    MIX_DELAY_FACTOR Gauge "mix_delay_factor" None, "What the configured delays are multiplied by for want of traffic";
    MIX_TRAFFIC Gauge "mix_traffic_packets_per_second" Some("source"), "Estimate of what enters the network: measured, reported, floor";
    MIX_POOL Gauge "mix_pool_packets" None, "Packets that rest at a relay while one of this node does, estimated";
    MIX_RELAYS Gauge "mix_relays" Some("state"), "Relays of the list: known, usable, avoided, alarmed";
    DIRECTORY_NODES Gauge "mix_directory_nodes" Some("state"), "Mix nodes by gossip: registered, active in this epoch, relays of these";
    DIRECTORY_EPOCH Gauge "mix_directory_epoch" None, "The epoch by this node's clock";
    DIRECTORY_ROUNDS Counter "mix_directory_rounds" None, "Rounds of gossip that ended with an answer";
    DIRECTORY_ADMITTED Counter "mix_directory_descriptors" None, "Descriptors of mix nodes that were taken in";
    DIRECTORY_REFUSED Counter "mix_directory_refused" Some("reason"), "Descriptors and active sets that were refused";
    DIRECTORY_THROTTLED Counter "mix_directory_throttled" None, "Requests of mix nodes that asked too much";
    DIRECTORY_FORK Gauge "mix_directory_fork" None, "1 while nodes have different active sets of one epoch";
    DIRECTORY_CLOCK Gauge "mix_directory_clock_ahead_seconds" None, "By how much this clock is ahead of those of mix nodes if it is too wrong to take part, otherwise 0";
    MIX_PEERS Gauge "mix_peers" None, "libp2p connections";
    MIX_WAYS Gauge "mix_connections" Some("transport"), "Connections to mixnet peers, by what they run over";
    MIX_BYTES Counter "mix_tcp_bytes" Some("direction"), "Bytes through the TCP sockets of the mixnet (WebSocket too, QUIC not), headers of TCP and IP apart";
    MIX_REACHABLE Gauge "mix_reachable" None, "1 if others could dial this node, 0 if they tried and could not; absent while nobody has tried";
    MIX_REFUSED Counter "mix_connections_refused" Some("reason"), "Connections that were refused or not made: limit, memory, peer (it has its own already), for_others (dials that peers asked for)";
    MIX_RESERVATIONS Gauge "mix_reservations" None, "Circuits of relays on which this node can be found";
    MIX_SURBS Gauge "mix_surbs_outstanding" None, "Reply blocks of this node that are with others";
    BRIDGE_TRANSFERS Counter "bridge_transfers" Some("direction"), "Messages carried: to_whisper, to_mix";
    BRIDGE_DROPPED Counter "bridge_dropped" Some("direction,reason"), "Messages that were refused or given up";
    BRIDGE_REGISTRATIONS Gauge "bridge_registrations" None, "Registrations with a running lease";
    BRIDGE_OUTBOX_MESSAGES Gauge "bridge_outbox_messages" Some("direction"), "Messages that wait for their receiver";
    BRIDGE_OUTBOX_OLDEST Gauge "bridge_outbox_oldest_seconds" None, "Age of the oldest waiting message";
    BRIDGE_RESEALED Counter "bridge_resealed" None, "Posts that were sealed anew";
    BRIDGE_CLIENTS_AWAY Gauge "bridge_clients_away" None, "Edges that have been silent for long";
    BRIDGE_MESSAGES_LEFT Gauge "bridge_messages_left" None, "Messages that are left in mailboxes and not acknowledged";
    BRIDGE_PAYLOADS_LEAVING Gauge "bridge_payloads_leaving" None, "Payloads that are on their way into mailboxes";
    BRIDGE_REPLY_BLOCKS Gauge "bridge_reply_blocks" None, "Unused reply blocks of all registrations";
    MAILBOX_CELLS Gauge "mailbox_cells" None, "Cells that this mailbox keeps";
    MAILBOX_BYTES Gauge "mailbox_bytes" None, "Bytes of them";
    MAILBOX_PUTS Counter "mailbox_puts" Some("status"), "Cells that this mailbox was given, by what it answered";
    MAILBOX_GETS Counter "mailbox_gets" None, "Questions that this mailbox was asked";
    MAILBOX_SENT Counter "mailbox_sent_cells" Some("kind"), "Cells that this mailbox sent: found, random";
    MAILBOX_EXPIRED Counter "mailbox_expired_cells" None, "Cells whose time was over";
    MAILBOX_FAILURES Counter "mailbox_failures" None, "Batches that the disk of this mailbox did not take";
    MIX_MAILBOXES Counter "mix_mailbox_requests" Some("result"), "What came of our own questions to mailboxes, and of cells for them";
    MIX_CHAINS Gauge "mix_mailbox_chains" None, "Chains of mailbox boxes that are watched";
    MVDS_RECORDS Gauge "mvds_records" None, "MVDS records that are kept";
    MVDS_RETRANSMITS Counter "mvds_retransmits" None, "MVDS records that were sent again";
    STORE_BYTES Gauge "store_bytes" Some("family"), "Size of the database";
    EDGE_SHARE Gauge "edge_share" None, "Part of Whisper that the edge follows, 0 to 1";
    EDGE_PREFIXES Gauge "edge_prefixes" Some("bits"), "Topic prefixes that the edge follows";
    NODE_READY Gauge "node_ready" None, "1 if the node is ready";
    NODE_OPEN_FDS Gauge "node_open_fds" None, "Open file descriptors";
    NODE_RESIDENT_BYTES Gauge "process_resident_memory_bytes" None, "Resident memory";
}

/// Values of the metrics at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings(BTreeMap<(&'static str, String), f64>);

impl Readings {
    /// Sets a metric without a label.
    pub fn set(&mut self, metric: &'static Metric, value: impl Into<f64>) {
        self.0.insert((metric.name, String::new()), value.into());
    }

    /// Sets a metric for one value of its label.
    pub fn set_labelled(
        &mut self,
        metric: &'static Metric,
        label: impl Into<String>,
        value: impl Into<f64>,
    ) {
        self.0.insert((metric.name, label.into()), value.into());
    }

    /// A counter, which is never large enough to lose digits in an f64.
    pub fn count(&mut self, metric: &'static Metric, value: u64) {
        self.set(metric, value as f64);
    }

    /// A counter for one value of its label.
    pub fn count_labelled(
        &mut self,
        metric: &'static Metric,
        label: impl Into<String>,
        value: u64,
    ) {
        self.set_labelled(metric, label, value as f64);
    }

    /// What was set, for tests.
    pub fn get(&self, metric: &'static Metric, label: &str) -> Option<f64> {
        self.0.get(&(metric.name, label.to_owned())).copied()
    }
}

/// The histograms, and the text that Prometheus reads.
pub struct Metrics {
    registry: Registry,
    commit: Histogram,
    end_to_end: ByDirection,
}

/// A histogram for each direction.
type ByDirection = Family<Vec<(&'static str, &'static str)>, Histogram, fn() -> Histogram>;

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let commit = Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
        let help = "Time from a message to its commit on the disk";
        registry.register("bridge_commit_seconds", help, commit.clone());
        let end_to_end = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.05, 1.6, 16))) as fn() -> Histogram,
        );
        let help = "Time from accepting a message to its delivery";
        registry.register("bridge_end_to_end_seconds", help, end_to_end.clone());
        Self {
            registry,
            commit,
            end_to_end,
        }
    }
}

impl Metrics {
    /// A commit took so long.
    pub fn observe_commit(&self, seconds: f64) {
        self.commit.observe(seconds);
    }

    /// A message took so long: `to_whisper` or `to_mix`.
    pub fn observe_end_to_end(&self, direction: &'static str, seconds: f64) {
        self.end_to_end
            .get_or_create(&vec![("direction", direction)])
            .observe(seconds);
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self, readings: &Readings) -> Result<String, fmt::Error> {
        let mut copied = Registry::default();
        copied.register_collector(Box::new(Copied(readings.clone())));
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        text::encode_registry(&mut text, &copied)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}

/// What the kernel says about this process: open file descriptors and resident memory.
pub fn process_readings(readings: &mut Readings) {
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        readings.count(&NODE_OPEN_FDS, entries.count() as u64);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    if let Some(kib) = kib {
        readings.count(&NODE_RESIDENT_BYTES, kib * 1024);
    }
}

/// Hands the copied values to the encoder.
#[derive(Debug)]
struct Copied(Readings);

impl Collector for Copied {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in ALL {
            let first = (metric.name, String::new());
            let mut values = self
                .0
                .0
                .range(first..)
                .take_while(|((name, _), _)| *name == metric.name)
                .peekable();
            if values.peek().is_none() {
                continue;
            }
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            let Some(name) = metric.label else {
                if let Some((_, value)) = values.next() {
                    one(metric.kind, *value, family)?;
                }
                continue;
            };
            let names: Vec<&str> = name.split(',').collect();
            for ((_, label), value) in values {
                let parts = label.splitn(names.len(), ',');
                let labels: Vec<(&str, &str)> = names.iter().copied().zip(parts).collect();
                one(metric.kind, *value, family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn one(kind: Kind, value: f64, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        // Counters were u64 before: the cast gives them back.
        Kind::Counter => ConstCounter::new(value as u64).encode(encoder),
        Kind::Gauge => ConstGauge::new(value).encode(encoder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_come_out_with_their_names_and_labels() {
        let mut readings = Readings::default();
        readings.count(&ENVELOPES_RECEIVED, 7);
        readings.count_labelled(&MIX_DROPPED, "bad_mac", 2);
        readings.count_labelled(&MIX_DROPPED, "replayed", 1);
        readings.set(&EDGE_SHARE, 0.25);
        let metrics = Metrics::default();
        metrics.observe_end_to_end("to_whisper", 0.9);
        metrics.observe_commit(0.004);
        let text = metrics.encode(&readings).unwrap();
        for line in [
            "# TYPE whisper_envelopes_received counter",
            "whisper_envelopes_received_total 7",
            "mix_dropped_total{reason=\"bad_mac\"} 2",
            "mix_dropped_total{reason=\"replayed\"} 1",
            "edge_share 0.25",
            "bridge_end_to_end_seconds_count{direction=\"to_whisper\"} 1",
            "bridge_commit_seconds_count 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        assert!(
            !text.contains("mix_peers"),
            "what was not set is not shown:\n{text}"
        );
    }

    #[test]
    fn a_metric_may_have_two_labels() {
        let mut readings = Readings::default();
        readings.count_labelled(&BRIDGE_DROPPED, "to_whisper,low_pow", 3);
        let text = Metrics::default().encode(&readings).unwrap();
        let line = "bridge_dropped_total{direction=\"to_whisper\",reason=\"low_pow\"} 3";
        assert!(text.lines().any(|l| l == line), "{text}");
    }

    #[test]
    fn a_label_cannot_break_out() {
        let mut readings = Readings::default();
        readings.count_labelled(&DEVP2P_DISCONNECTS, "a\"} 1\nx 2", 2);
        let text = Metrics::default().encode(&readings).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("x 2")), "{text}");
    }

    #[test]
    fn names_are_unique_and_never_per_peer() {
        for (index, metric) in ALL.iter().enumerate() {
            assert!(
                ALL[..index].iter().all(|other| other.name != metric.name),
                "{}",
                metric.name
            );
            assert!(!metric.name.ends_with("_total"), "{}", metric.name);
            assert!(
                !matches!(metric.label, Some("peer" | "hash" | "topic")),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn the_process_is_measured() {
        let mut readings = Readings::default();
        process_readings(&mut readings);
        assert!(readings.get(&NODE_OPEN_FDS, "").unwrap() >= 3.0);
        assert!(readings.get(&NODE_RESIDENT_BYTES, "").unwrap() > 1e5);
    }
}
