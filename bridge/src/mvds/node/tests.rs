use super::*;
use crate::mvds::payload::{Metadata, Payload, PayloadError};
use crate::mvds::retry::Retry;

/// A disk: what was committed.
#[derive(Default)]
struct Disk {
    messages: BTreeMap<MessageId, Message>,
    seen: BTreeMap<MessageId, u64>,
    states: BTreeMap<(PeerId, MessageId), State>,
}

impl Bodies for Disk {
    fn load(&self, id: &MessageId) -> Option<Message> {
        self.messages.get(id).cloned()
    }
}

impl Disk {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::PutMessage { id, message } => {
                    assert!(self.messages.insert(id, message).is_none());
                }
                Change::DeleteMessage { id } => assert!(self.messages.remove(&id).is_some()),
                Change::PutSeen { id, until } => {
                    self.seen.insert(id, until);
                }
                Change::DeleteSeen { id } => assert!(self.seen.remove(&id).is_some()),
                Change::PutState { peer, id, state } => {
                    self.states.insert((peer, id), state);
                }
                Change::DeleteState { peer, id } => {
                    assert!(self.states.remove(&(peer, id)).is_some());
                }
            }
        }
    }

    fn records(&self) -> Vec<Record> {
        let messages = self.messages.iter().map(|(id, message)| Record::Message {
            id: *id,
            group: message.group,
            entry_len: message.entry_len(Dialect::Published),
        });
        let seen = self.seen.iter().map(|(id, until)| Record::Seen {
            id: *id,
            until: *until,
        });
        let states = self.states.iter().map(|((peer, id), state)| Record::State {
            peer: *peer,
            id: *id,
            state: *state,
        });
        states.chain(seen).chain(messages).collect()
    }
}

/// A node with its disk and a clock.
struct Bench {
    node: Node,
    disk: Disk,
    now: Now,
    outputs: Vec<Output>,
}

const GROUP: GroupId = GroupId::new([1; 32]);
const PEER: PeerId = PeerId::new([2; 65]);
const OTHER: PeerId = PeerId::new([3; 65]);
const CONFIG: Config = Config {
    retry: Retry {
        jitter: 0,
        ..Retry::MIX
    },
    ..Config::MIX
};

impl Bench {
    fn new(mode: Mode, peer: PeerConfig) -> Self {
        let now = Now {
            mono: Instant::now(),
            unix_s: 1_000_000,
        };
        let mut node = Node::new(CONFIG, [7; 32], now);
        node.join(GROUP, PEER, mode, peer).unwrap();
        Self {
            node,
            disk: Disk::default(),
            now,
            outputs: Vec::new(),
        }
    }

    fn batch() -> Self {
        Self::new(Mode::Batch, PeerConfig::OURS)
    }

    fn interactive() -> Self {
        Self::new(Mode::Interactive, PeerConfig::OURS)
    }

    fn pass(&mut self, epochs: u32) {
        self.now.mono += CONFIG.tick * epochs;
        self.now.unix_s += u64::from(epochs);
    }

    /// Commits at once and keeps the other outputs.
    fn settle(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Commit { seq, changes } => {
                    self.disk.apply(changes);
                    self.node.committed(self.now, seq);
                }
                Output::Deliver { .. }
                | Output::Acked { .. }
                | Output::Parked { .. }
                | Output::Refused { .. }
                | Output::Lost { .. } => outputs.push(output),
            }
        }
        self.outputs.extend(outputs.clone());
        outputs
    }

    fn append(&mut self, body: &[u8]) -> MessageId {
        let id = self
            .node
            .append(self.now, Message::new(GROUP, 1, body))
            .unwrap();
        self.settle();
        id
    }

    fn receive(&mut self, payload: &Payload) -> Vec<Output> {
        self.node
            .handle(self.now, PEER, &payload.encode(Dialect::Published))
            .unwrap();
        self.settle()
    }

    /// All payloads of this epoch for a peer.
    fn send_to(&mut self, peer: PeerId, budget: usize) -> Vec<Payload> {
        let mut payloads = Vec::new();
        while let Some(draft) = self.node.draft(self.now, &peer, budget, &self.disk) {
            assert!(draft.bytes().len() <= budget);
            payloads.push(draft.payload().clone());
            self.node.taken(self.now, draft);
            self.settle();
        }
        payloads
    }

    fn send(&mut self) -> Vec<Payload> {
        self.send_to(PEER, 100_000)
    }

    fn restart(&mut self) {
        let mut node = Node::new(CONFIG, [8; 32], self.now);
        node.join(GROUP, PEER, Mode::Batch, PeerConfig::OURS)
            .unwrap();
        node.restore(self.now, self.disk.records());
        self.node = node;
        self.settle();
    }
}

fn message(body: &[u8]) -> Message {
    Message::new(GROUP, 5, body)
}

fn carrying(message: &Message) -> Payload {
    Payload {
        messages: vec![message.clone()],
        ..Payload::default()
    }
}

fn acking(id: MessageId) -> Payload {
    Payload {
        acks: vec![id],
        ..Payload::default()
    }
}

fn offering(id: MessageId) -> Payload {
    Payload {
        offers: vec![id],
        ..Payload::default()
    }
}

fn requesting(id: MessageId) -> Payload {
    Payload {
        requests: vec![id],
        ..Payload::default()
    }
}

#[test]
fn batch_sends_at_the_next_tick_and_ends_with_the_ack() {
    let mut bench = Bench::batch();
    let id = bench.append(b"hello");
    assert!(bench.send().is_empty(), "not in its own epoch");
    assert_eq!(
        bench.node.next_deadline(),
        Some(bench.now.mono + CONFIG.tick)
    );
    bench.pass(1);
    assert_eq!(bench.node.peers_due(bench.now), [PEER]);
    let sent = bench.send();
    assert_eq!(sent, [carrying(&Message::new(GROUP, 1, *b"hello"))]);
    assert!(bench.send().is_empty());
    assert_eq!(
        bench.receive(&acking(id)),
        [Output::Acked { peer: PEER, id }]
    );
    assert!(bench.node.is_idle() && bench.node.next_deadline().is_none());
    assert!(bench.disk.messages.is_empty() && bench.disk.states.is_empty());
    assert!(bench.node.has(&id), "remembered after its body is gone");
    assert!(
        bench.receive(&acking(id)).is_empty(),
        "an ack that nobody waits for"
    );
}

#[test]
fn interactive_offers_and_sends_on_request() {
    let mut bench = Bench::interactive();
    let id = bench.append(b"hello");
    bench.pass(1);
    assert_eq!(bench.send(), [offering(id)]);
    bench.receive(&requesting(id));
    assert_eq!(bench.node.records(&PEER), 1, "the offer became the message");
    assert!(bench.send().is_empty());
    bench.pass(1);
    assert_eq!(bench.send(), [carrying(&Message::new(GROUP, 1, *b"hello"))]);
    bench.receive(&requesting(id));
    bench.pass(1);
    assert_eq!(
        bench.send().len(),
        1,
        "asked again: due next epoch, one record"
    );
    bench.receive(&acking(id));
    assert!(bench.node.is_idle());
}

#[test]
fn a_new_message_is_delivered_once_and_acked_every_time() {
    let mut bench = Bench::batch();
    let message = message(b"news");
    let id = message.id();
    let delivered = Output::Deliver {
        from: PEER,
        id,
        message: message.clone(),
    };
    assert_eq!(bench.receive(&carrying(&message)), [delivered]);
    bench.pass(1);
    assert_eq!(bench.send(), [acking(id)]);
    for _ in 0..3 {
        assert!(bench.receive(&carrying(&message)).is_empty());
        bench.pass(1);
        assert_eq!(bench.send(), [acking(id)]);
    }
    assert!(bench.node.is_idle() && bench.disk.messages.is_empty());
}

#[test]
fn no_ack_before_the_message_is_on_disk() {
    let mut bench = Bench::batch();
    let message = message(b"news");
    bench
        .node
        .handle(
            bench.now,
            PEER,
            &carrying(&message).encode(Dialect::Published),
        )
        .unwrap();
    bench.pass(5);
    assert_eq!(bench.node.next_deadline(), None);
    assert_eq!(bench.node.draft(bench.now, &PEER, 1_000, &bench.disk), None);
    bench.settle();
    assert_eq!(bench.send(), [acking(message.id())]);
}

#[test]
fn no_message_leaves_before_it_is_on_disk() {
    let mut bench = Bench::batch();
    bench.node.append(bench.now, message(b"own")).unwrap();
    bench.pass(5);
    assert_eq!(bench.node.draft(bench.now, &PEER, 1_000, &bench.disk), None);
    bench.settle();
    assert_eq!(bench.send().len(), 1);
}

#[test]
fn what_is_still_in_line_is_not_repeated() {
    let mut bench = Bench::batch();
    let config = Config {
        line: Line {
            bytes_per_epoch: 100,
            payload_len_min: 100,
        },
        ..CONFIG
    };
    bench.node = Node::new(config, [7; 32], bench.now);
    bench
        .node
        .join(GROUP, PEER, Mode::Batch, PeerConfig::OURS)
        .unwrap();
    bench.append(&[1; 10_000]);
    bench.pass(1);
    assert_eq!(bench.send().len(), 1);
    // Its 10,053 bytes take 101 epochs, then the first gap of 30 passes.
    bench.pass(130);
    assert!(bench.send().is_empty());
    bench.pass(1);
    assert_eq!(bench.send().len(), 1);
}

#[test]
fn a_record_waits_for_its_own_commit_and_not_for_an_earlier_one() {
    let mut bench = Bench::interactive();
    let id = bench.node.append(bench.now, message(b"mine")).unwrap();
    let request = requesting(id).encode(Dialect::Published);
    bench.node.handle(bench.now, PEER, &request).unwrap();
    bench.pass(1);
    bench.node.committed(bench.now, 1);
    assert_eq!(
        bench.node.next_deadline(),
        None,
        "the offer is on disk, the sending is not"
    );
    bench.node.committed(bench.now, 2);
    assert_eq!(bench.node.peers_due(bench.now), [PEER]);
}

#[test]
fn an_offer_of_what_is_held_is_acked_and_not_requested() {
    let mut bench = Bench::interactive();
    let id = bench.append(b"mine");
    bench.pass(1);
    bench.send();
    assert_eq!(
        bench.receive(&offering(id)),
        [Output::Acked { peer: PEER, id }]
    );
    bench.pass(1);
    assert_eq!(bench.send(), [acking(id)]);
    assert!(bench.node.is_idle());
}

#[test]
fn offers_make_one_request_that_is_repeated_until_the_message_comes() {
    let mut bench = Bench::batch();
    let message = message(b"wanted");
    let id = message.id();
    bench.receive(&offering(id));
    bench.receive(&offering(id));
    assert_eq!(bench.node.records(&PEER), 1);
    bench.pass(1);
    assert_eq!(bench.send(), [requesting(id)]);
    bench.receive(&offering(id));
    bench.pass(29);
    assert!(
        bench.send().is_empty(),
        "an offer does not hurry the request"
    );
    bench.pass(1);
    assert_eq!(bench.send(), [requesting(id)]);
    bench.receive(&carrying(&message));
    assert_eq!(bench.node.records(&PEER), 0);
}

#[test]
fn requests_for_what_is_not_held_are_ignored_and_the_rest_counts() {
    let mut bench = Bench::interactive();
    let id = bench.append(b"mine");
    bench.pass(1);
    bench.send();
    let requests = vec![MessageId::new([9; 32]), id];
    bench.receive(&Payload {
        requests,
        ..Payload::default()
    });
    bench.pass(1);
    assert_eq!(bench.send()[0].messages.len(), 1);
}

#[test]
fn acks_of_unknown_ids_do_not_stop_the_list() {
    let mut bench = Bench::batch();
    let first = bench.append(b"1");
    let second = bench.append(b"2");
    let acks = vec![first, MessageId::new([9; 32]), second];
    let acked = bench.receive(&Payload {
        acks,
        ..Payload::default()
    });
    assert_eq!(acked.len(), 2);
    assert!(bench.node.is_idle());
}

#[test]
fn strangers_and_foreign_groups_are_refused() {
    let mut bench = Bench::batch();
    let bytes = carrying(&message(b"x")).encode(Dialect::Published);
    assert_eq!(
        bench.node.handle(bench.now, OTHER, &bytes),
        Err(NodeError::UnknownPeer)
    );
    let foreign = GroupId::new([5; 32]);
    let refused = |reason| [Output::Refused { from: PEER, reason }];
    let payload = carrying(&Message::new(foreign, 1, *b"x"));
    assert_eq!(bench.receive(&payload), refused(Refused::UnknownGroup));
    bench
        .node
        .join(foreign, OTHER, Mode::Batch, PeerConfig::OURS)
        .unwrap();
    assert_eq!(bench.receive(&payload), refused(Refused::NotMember));
    bench.pass(1);
    assert!(
        bench.send().is_empty() && bench.send_to(OTHER, 1_000).is_empty(),
        "no ack, nothing passed on"
    );
    let own = bench
        .node
        .append(bench.now, Message::new(foreign, 2, *b"y"))
        .unwrap();
    bench.settle();
    bench.receive(&requesting(own));
    bench.pass(1);
    assert!(
        bench.send().is_empty(),
        "a request of somebody who is not in the group"
    );
}

#[test]
fn a_peer_without_a_sign_of_life_is_parked_and_taken_up_again() {
    let mut bench = Bench::batch();
    let id = bench.append(b"hello");
    let mut epochs = Vec::new();
    for epoch in 1..40_000u64 {
        bench.pass(1);
        if bench
            .node
            .next_deadline()
            .is_some_and(|at| at <= bench.now.mono)
            && !bench.send().is_empty()
        {
            epochs.push(epoch);
        }
    }
    // 1, then the gaps 30, 60 … 1920 of the function without its jitter.
    let gaps = [
        30, 60, 120, 240, 480, 960, 1_920, 1_920, 1_920, 1_920, 1_920,
    ];
    let expected: Vec<u64> = std::iter::once(1)
        .chain(gaps.iter().scan(1, |at, gap| {
            *at += gap;
            Some(*at)
        }))
        .collect();
    assert_eq!(epochs, expected);
    assert_eq!(bench.outputs, [Output::Parked { peer: PEER, id }]);
    assert_eq!(bench.node.next_deadline(), None, "no loop for a dead peer");
    bench.receive(&Payload::default());
    bench.pass(1);
    assert_eq!(bench.send().len(), 1);
    assert_eq!(bench.node.states(&PEER).next().unwrap().1.count, 2);
}

#[test]
fn a_changed_way_repeats_what_is_not_acked_at_once_and_counts_it() {
    let mut bench = Bench::batch();
    let id = bench.append(b"hello");
    bench.pass(1);
    assert_eq!(bench.send().len(), 1);
    bench.pass(1);
    assert!(bench.send().is_empty(), "its next gap is 30 epochs");
    bench.node.hasten(bench.now, &PEER);
    bench.pass(1);
    assert_eq!(bench.send().len(), 1);
    assert_eq!(bench.node.states(&PEER).next().unwrap().1.count, 2);
    bench.receive(&acking(id));
    bench.node.hasten(bench.now, &PEER);
    bench.pass(1);
    assert!(bench.send().is_empty(), "nothing is left to repeat");
}

#[test]
fn a_refused_draft_changes_nothing() {
    let mut bench = Bench::batch();
    bench.append(b"hello");
    bench.receive(&carrying(&message(b"news")));
    bench.pass(1);
    let draft = bench.node.draft(bench.now, &PEER, 1_000, &bench.disk);
    let again = bench.node.draft(bench.now, &PEER, 1_000, &bench.disk);
    assert_eq!(draft, again);
    assert!(bench.node.next_deadline().unwrap() <= bench.now.mono);
    bench.node.pause(&PEER);
    assert_eq!(
        bench.node.next_deadline(),
        None,
        "a peer without credit keeps nobody awake"
    );
    assert!(bench.node.peers_due(bench.now).is_empty());
    bench.pass(500);
    bench.node.resume(&PEER);
    assert_eq!(bench.send().len(), 1);
    assert_eq!(
        bench.node.states(&PEER).next().unwrap().1.count,
        1,
        "only what left is counted"
    );
}

#[test]
fn payloads_are_split_to_the_budget_acks_first() {
    let mut bench = Bench::batch();
    for number in 0..10u8 {
        bench.append(&[number; 1_000]);
        bench.receive(&carrying(&message(&[number; 10])));
    }
    bench.pass(1);
    let payloads = bench.send_to(PEER, 1_200);
    let shape: Vec<_> = payloads
        .iter()
        .map(|p| (p.acks.len(), p.messages.len()))
        .collect();
    let mut expected = vec![(10, 0)];
    expected.extend([(0, 1); 10]);
    assert_eq!(shape, expected);
    assert!(
        bench
            .node
            .draft(bench.now, &PEER, 10, &bench.disk)
            .is_none()
    );
}

#[test]
fn a_message_that_does_not_fit_holds_nobody_up() {
    let mut bench = Bench::batch();
    bench.append(&[1; 5_000]);
    bench.append(&[2; 10]);
    bench.pass(1);
    assert_eq!(bench.send_to(PEER, 1_000).len(), 1);
    assert_eq!(bench.node.records(&PEER), 2);
    assert_eq!(bench.send_to(PEER, 6_000).len(), 1);
}

#[test]
fn repeated_acks_go_into_a_later_payload_than_first_ones() {
    let mut bench = Bench::batch();
    let old = message(b"old");
    bench.receive(&carrying(&old));
    bench.pass(1);
    bench.send();
    let new = message(b"new");
    bench.receive(&Payload {
        messages: vec![old.clone(), new.clone()],
        ..Payload::default()
    });
    bench.pass(1);
    assert_eq!(bench.send(), [acking(new.id()), acking(old.id())]);
}

#[test]
fn a_legacy_peer_gets_one_offer_ever_and_repeated_ids_alone() {
    let mut bench = Bench::new(Mode::Interactive, PeerConfig::LEGACY);
    let id = bench.append(b"mine");
    let wanted = [MessageId::new([8; 32]), MessageId::new([9; 32])];
    bench.receive(&Payload {
        offers: wanted.to_vec(),
        ..Payload::default()
    });
    bench.pass(1);
    assert_eq!(
        bench.send(),
        [Payload {
            requests: wanted.to_vec(),
            ..offering(id)
        }]
    );
    let state = bench.disk.states[&(PEER, id)];
    assert_eq!(
        (state.kind, state.count),
        (Kind::Offered, 1),
        "on disk as sent"
    );
    for _ in 0..100 {
        bench.pass(100);
        for payload in bench.send() {
            assert!(payload.offers.is_empty(), "a second offer would kill it");
            assert_eq!(
                payload.requests.len(),
                1,
                "an id that it does not have would hide the next"
            );
        }
    }
    // A restart does not forget it.
    let mut node = Node::new(CONFIG, [8; 32], bench.now);
    node.join(GROUP, PEER, Mode::Interactive, PeerConfig::LEGACY)
        .unwrap();
    node.restore(bench.now, bench.disk.records());
    bench.node = node;
    bench.pass(100);
    assert!(bench.send().iter().all(|payload| payload.offers.is_empty()));
    bench.receive(&requesting(id));
    bench.pass(1);
    assert_eq!(
        bench
            .send()
            .iter()
            .map(|payload| payload.messages.len())
            .sum::<usize>(),
        1
    );
}

#[test]
fn received_messages_go_on_to_the_others_of_the_group() {
    let mut bench = Bench::batch();
    let third = PeerId::new([4; 65]);
    bench
        .node
        .join(GROUP, OTHER, Mode::Interactive, PeerConfig::OURS)
        .unwrap();
    bench
        .node
        .join(GROUP, third, Mode::Interactive, PeerConfig::LEGACY)
        .unwrap();
    let message = message(b"news");
    bench.receive(&carrying(&message));
    bench.pass(1);
    assert_eq!(
        bench.send(),
        [acking(message.id())],
        "not back to where it came from"
    );
    assert_eq!(bench.send_to(OTHER, 1_000), [offering(message.id())]);
    assert_eq!(
        bench.send_to(third, 1_000),
        [carrying(&message)],
        "offers are not passed on to a legacy peer"
    );
    assert_eq!(bench.disk.messages.len(), 1, "kept until they have it");
    let acks = acking(message.id()).encode(Dialect::Published);
    for peer in [OTHER, third] {
        bench.node.handle(bench.now, peer, &acks).unwrap();
        bench.settle();
    }
    assert!(bench.disk.messages.is_empty() && bench.node.is_idle());
}

#[test]
fn an_ephemeral_message_is_delivered_once_without_an_ack() {
    let mut bench = Bench::batch();
    let metadata = Some(Metadata {
        parents: vec![],
        ephemeral: true,
    });
    let message = Message {
        metadata: metadata.clone(),
        ..message(b"now")
    };
    assert_eq!(bench.receive(&carrying(&message)).len(), 1);
    assert!(bench.receive(&carrying(&message)).is_empty());
    bench.pass(1);
    assert!(bench.send().is_empty());
    // Sent once, whatever the mode, and over.
    let mut bench = Bench::interactive();
    let own = Message {
        metadata,
        ..Message::new(GROUP, 9, *b"own")
    };
    bench.node.append(bench.now, own.clone()).unwrap();
    bench.settle();
    assert!(bench.disk.messages.is_empty());
    bench.pass(1);
    assert_eq!(bench.send(), [carrying(&own)]);
    assert!(bench.node.is_idle() && bench.disk.states.is_empty());
}

#[test]
fn a_compact_peer_always_gets_metadata() {
    let config = PeerConfig {
        dialect: Dialect::Compact,
        legacy: false,
    };
    let mut bench = Bench::new(Mode::Batch, config);
    bench.append(b"hello");
    bench.pass(1);
    let draft = bench
        .node
        .draft(bench.now, &PEER, 1_000, &bench.disk)
        .unwrap();
    let decoded = Payload::decode(Dialect::Compact, draft.bytes(), 100)
        .unwrap()
        .payload;
    assert_eq!(decoded.messages[0].metadata, Some(Metadata::default()));
    // And nothing of the other dialect is understood: no guess.
    let other = carrying(&message(b"x")).encode(Dialect::Published);
    let error = NodeError::Payload(PayloadError::NoLists { len: other.len() });
    assert_eq!(bench.node.handle(bench.now, PEER, &other), Err(error));
    assert!(bench.settle().is_empty());
}

#[test]
fn everything_pending_survives_a_restart_and_nothing_comes_twice() {
    let mut bench = Bench::batch();
    let own = bench.append(b"own");
    let news = message(b"news");
    bench.receive(&carrying(&news));
    bench.pass(1);
    bench.send();
    bench.restart();
    assert!(
        bench.receive(&carrying(&news)).is_empty(),
        "delivered before the restart"
    );
    bench.pass(31);
    let sent = bench.send();
    assert_eq!(sent[0].acks, [news.id()]);
    assert_eq!(sent[0].messages[0].id(), own);
    bench.receive(&acking(own));
    bench.restart();
    assert!(bench.node.is_idle() && bench.disk.messages.is_empty());
}

#[test]
fn states_of_peers_that_are_gone_end_at_a_restart() {
    let mut bench = Bench::batch();
    bench
        .node
        .join(GROUP, OTHER, Mode::Batch, PeerConfig::OURS)
        .unwrap();
    let id = bench.append(b"own");
    bench.restart();
    assert_eq!(bench.disk.states.len(), 1);
    bench.receive(&acking(id));
    assert!(bench.disk.states.is_empty() && bench.disk.messages.is_empty());
}

#[test]
fn leaving_ends_what_was_to_be_sent() {
    let mut bench = Bench::batch();
    bench.append(b"1");
    bench.node.leave(bench.now, &GROUP, &PEER);
    bench.settle();
    assert!(bench.node.is_idle() && bench.disk.states.is_empty() && bench.disk.messages.is_empty());
    assert_eq!(
        bench.node.handle(bench.now, PEER, &[]),
        Err(NodeError::UnknownPeer)
    );
    assert_eq!(
        bench.node.append(bench.now, message(b"2")),
        Err(NodeError::UnknownGroup)
    );
    assert_eq!(bench.node.next_deadline(), None);
}

#[test]
fn a_body_that_is_gone_is_given_up_and_said() {
    let mut bench = Bench::batch();
    let id = bench.append(b"1");
    bench.disk.messages.clear();
    bench.pass(1);
    let draft = bench
        .node
        .draft(bench.now, &PEER, 1_000, &bench.disk)
        .unwrap();
    assert!(draft.bytes().is_empty());
    bench.node.taken(bench.now, draft);
    let outputs: Vec<_> = std::iter::from_fn(|| bench.node.poll_output()).collect();
    assert!(outputs.contains(&Output::Lost { peer: PEER, id }));
    assert!(bench.node.is_idle());
}

#[test]
fn bounds_hold() {
    let mut bench = Bench::batch();
    let too_long = vec![0; CONFIG.body_len_max + 1];
    let error = NodeError::BodyTooLong {
        len: too_long.len(),
        max: CONFIG.body_len_max,
    };
    assert_eq!(bench.node.append(bench.now, message(&too_long)), Err(error));
    let own = bench.append(b"own");
    let again = bench
        .node
        .append(bench.now, Message::new(GROUP, 1, *b"own"));
    assert_eq!(again, Err(NodeError::Duplicate(own)));
    for round in 0..20u64 {
        let offers = (0..1_000u64)
            .map(|number| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&(round * 1_000 + number).to_be_bytes());
                MessageId::new(id)
            })
            .collect();
        bench.receive(&Payload {
            offers,
            ..Payload::default()
        });
    }
    assert_eq!(bench.node.records(&PEER), REQUESTED_MAX + 1);
}

#[test]
fn what_was_remembered_long_enough_is_forgotten() {
    let mut bench = Bench::batch();
    let news = message(b"news");
    bench.receive(&carrying(&news));
    bench.now.unix_s += SEEN_S - 1;
    assert!(bench.receive(&carrying(&news)).is_empty());
    bench.now.unix_s += 1;
    assert_eq!(bench.receive(&Payload::default()), []);
    assert!(!bench.node.has(&news.id()) && bench.disk.seen.is_empty());
}

/// The acks of what comes one after the other, in a node of this configuration.
fn acks_of_each(config: Config) -> Vec<Vec<usize>> {
    let mut bench = Bench::batch();
    bench.node.config = config;
    let messages: Vec<Message> = (0..5).map(|n| message(&[n])).collect();
    let number = |id: &MessageId| messages.iter().position(|m| m.id() == *id).unwrap();
    let mut acks = Vec::new();
    for message in &messages {
        bench.receive(&carrying(message));
        bench.pass(1);
        let sent = bench.send();
        assert_eq!(sent.len(), 1);
        acks.push(sent[0].acks.iter().map(number).collect());
    }
    bench.pass(1);
    assert!(
        bench.send().is_empty(),
        "echoes alone are no reason to send"
    );
    acks
}

#[test]
fn acks_ride_along_twice_where_they_may() {
    let echoing = Config {
        echo_acks: true,
        ..CONFIG
    };
    let echoed = [
        vec![0],
        vec![1, 0],
        vec![2, 0, 1],
        vec![3, 1, 2],
        vec![4, 2, 3],
    ];
    assert_eq!(acks_of_each(echoing), echoed);
    let once = [vec![0], vec![1], vec![2], vec![3], vec![4]];
    assert_eq!(acks_of_each(CONFIG), once);
}

#[test]
fn new_acks_and_repeated_ones_go_together_where_they_ride_along_and_echoes_keep_to_the_budget() {
    let mut bench = Bench::batch();
    bench.node.config.echo_acks = true;
    let known = message(b"known");
    bench.receive(&carrying(&known));
    bench.pass(1);
    bench.send();
    bench.receive(&carrying(&known));
    let fresh = message(b"fresh");
    bench.receive(&carrying(&fresh));
    bench.pass(1);
    let sent = bench.send();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].acks, [fresh.id(), known.id()]);
    for n in 0..100u8 {
        bench.receive(&carrying(&message(&[n, n])));
        bench.pass(1);
        let sent = bench.send_to(PEER, 5 * 34);
        assert!(sent[0].acks.len() <= 5, "{}", sent[0].acks.len());
        assert_eq!(sent[0].acks[0], message(&[n, n]).id());
    }
}

#[test]
fn a_peer_that_answers_soon_is_sent_to_again_soon() {
    let mut bench = Bench::batch();
    bench.node.config.retry = Retry {
        base: 80,
        least: 20,
        most: 80,
        cap: 600,
        jitter: 0,
    };
    let gap = |bench: &mut Bench, body: &[u8]| {
        bench.append(body);
        bench.pass(1);
        assert_eq!(bench.send().len(), 1);
        (1..200)
            .find(|_| {
                bench.pass(1);
                !bench.send().is_empty()
            })
            .unwrap()
    };
    let acked = |bench: &mut Bench, body: &[u8], after: u32| {
        let id = bench.append(body);
        bench.pass(1);
        assert_eq!(bench.send().len(), 1);
        bench.pass(after);
        bench.receive(&acking(id));
    };
    assert_eq!(gap(&mut bench, b"unknown"), 80);
    // What went twice says nothing: nobody knows which of them was answered.
    let twice = message_id(&bench, b"unknown");
    bench.receive(&acking(twice));
    assert_eq!(gap(&mut bench, b"unknown yet"), 80);
    let id = message_id(&bench, b"unknown yet");
    bench.receive(&acking(id));
    acked(&mut bench, b"answered", 24);
    assert_eq!(gap(&mut bench, b"known"), 30);
    bench.node.set_lossy(true);
    assert_eq!(gap(&mut bench, b"lost"), 20);
    bench.node.set_lossy(false);
    assert_eq!(gap(&mut bench, b"calm again"), 30);
}

/// Of what this node has said.
fn message_id(bench: &Bench, body: &[u8]) -> MessageId {
    let said = Message::new(GROUP, 1, body).id();
    assert!(bench.node.has(&said));
    said
}
