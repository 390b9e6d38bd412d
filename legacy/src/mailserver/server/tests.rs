use std::time::Duration;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::identity::SecretKey;
use crate::mailserver::archive::{Archive as _, ArchiveError, MemoryArchive, run};
use crate::mailserver::exchange;
use crate::mailserver::request::{Form, MailId, Request, Wanted};
use crate::mailserver::response::Completion;
use crate::rlp::Item;
use crate::shh::message::Padding;
use crate::shh::seal::{SealTo, SymKey, seal};
use crate::shh::wire::{DIRECT, REQUEST_COMPLETE};
use crate::shh::{Bloom, Draft, EnvelopeHash, Topic};

const START: u64 = 1_600_000_000;
const PEER: PeerId = PeerId(1);
const NODE: NodeId = NodeId::new([1; 32]);

/// A server, its archive, and connections that take what is sent unless they are told not to.
pub(in crate::mailserver) struct World {
    pub(in crate::mailserver) server: Server,
    pub(in crate::mailserver) archive: MemoryArchive,
    pub(in crate::mailserver) now: Now,
    pub(in crate::mailserver) sent: Vec<(PeerId, u64, Vec<u8>)>,
    kept: Vec<EnvelopeHash>,
    dismissed: Vec<Breach>,
    synced: Vec<Result<Synced, SyncError>>,
    reads: bool,
    fails: bool,
}

impl World {
    pub(in crate::mailserver) fn new(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config {
            keys: vec![OpenKey::Symmetric(password())],
            plain: true,
            min_pow: 0.0,
            envelope_min_pow: 0.0,
            ..Config::default()
        };
        change(&mut config);
        let now = Now {
            mono: Instant::now(),
            unix_ms: START * 1000,
        };
        let mut world = World {
            server: Server::new(now, config, Totals::default(), None),
            archive: MemoryArchive::new(),
            now,
            sent: Vec::new(),
            kept: Vec::new(),
            dismissed: Vec::new(),
            synced: Vec::new(),
            reads: true,
            fails: false,
        };
        world.input(Input::PeerReady {
            peer: PEER,
            node: NODE,
        });
        world
    }

    pub(in crate::mailserver) fn input(&mut self, input: Input) {
        self.server.handle(self.now, input);
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Archive { ticket, job } => {
                    let done = if self.fails {
                        Done::Failed(ArchiveError::Io("full".to_owned()))
                    } else {
                        run(&mut self.archive, &job)
                    };
                    self.server
                        .handle(self.now, Input::Archived { ticket, done });
                }
                Output::Send {
                    peer,
                    code,
                    payload,
                } => self.sent.push((peer, code, payload)),
                Output::Receipt { peer } if self.reads => {
                    self.server.handle(self.now, Input::Taken { peer });
                }
                Output::Kept(hashes) => self.kept.extend(hashes),
                Output::Receipt { .. } | Output::Trust(_) => {}
                Output::Dismiss { breach, .. } => self.dismissed.push(breach),
                Output::Synced { result, .. } => self.synced.push(result),
            }
        }
    }

    pub(in crate::mailserver) fn wait(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).unwrap();
        self.input(Input::Tick);
    }

    pub(in crate::mailserver) fn keep(&mut self, envelopes: &[Envelope]) {
        for envelope in envelopes {
            self.input(Input::Accepted(Arc::new(envelope.clone())));
        }
        self.wait(limits::STORE_DELAY);
    }

    fn message(&mut self, code: u64, payload: Vec<u8>) {
        self.input(Input::Message {
            peer: PEER,
            trusted: false,
            code,
            payload,
        });
    }

    fn ask(&mut self, request: &Request) -> Answer {
        self.message(REQUEST, request.encode(Form::Plain, ID));
        self.answer()
    }

    /// Everything sent since the last time.
    fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        for (_, code, payload) in self.sent.drain(..) {
            match code {
                DIRECT => answer.packets.push(envelopes_of(&payload)),
                REQUEST_COMPLETE => {
                    assert!(answer.completion.is_none(), "one completion per request");
                    answer.completion = Some(Completion::decode(&payload).unwrap());
                }
                code => panic!("code {code}"),
            }
        }
        answer
    }

    fn refusal(&mut self) -> String {
        let answer = self.answer();
        assert_eq!(answer.packets, Vec::<Vec<Envelope>>::new());
        match answer.completion {
            Some(Completion::Failed { text, .. }) => text,
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Debug, Default)]
struct Answer {
    packets: Vec<Vec<Envelope>>,
    completion: Option<Completion>,
}

impl Answer {
    fn cursor(&self) -> Option<crate::mailserver::Cursor> {
        match &self.completion {
            Some(Completion::Done { cursor, .. }) => *cursor,
            other => panic!("{other:?}"),
        }
    }
}

/// What a packet of code 127 holds; a list of one is none.
fn envelopes_of(payload: &[u8]) -> Vec<Envelope> {
    if let Ok(envelope) = Envelope::parse(payload) {
        return vec![envelope];
    }
    let items = Item::exact(payload).unwrap().list().unwrap();
    let envelopes: Vec<Envelope> = items
        .map(|item| Envelope::parse(item.unwrap().raw()).unwrap())
        .collect();
    assert!(envelopes.len() > 1, "one envelope is sent bare");
    envelopes
}

const ID: MailId = MailId([0x11; 32]);

pub(in crate::mailserver) fn password() -> SymKey {
    SymKey::from_bytes(&[7; 32]).unwrap()
}

pub(in crate::mailserver) fn envelope(sent: u64, name: &str, data: &[u8]) -> Envelope {
    let expiry = u32::try_from(sent + 10).unwrap();
    Draft::new(expiry, 10, Topic::of_name(name), data).finish(0)
}

pub(in crate::mailserver) fn some(count: u64) -> Vec<Envelope> {
    let data = |number: u64| number.to_be_bytes();
    (0..count)
        .map(|number| envelope(START - 1000 + number / 3, "topic", &data(number)))
        .collect()
}

fn all() -> Request {
    Request {
        lower: 0,
        upper: 0,
        wanted: Wanted::ALL,
        limit: 0,
        cursor: None,
        batch: true,
    }
}

fn sorted(envelopes: &[Envelope]) -> Vec<Envelope> {
    let mut sorted = envelopes.to_vec();
    sorted.sort_by_key(|envelope| Row::of(envelope).key);
    sorted
}

fn sealed(key: &SymKey, payload: &[u8], signed: bool) -> Envelope {
    let signer = SecretKey::from_bytes(&[5; 32]).unwrap();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let data = seal(
        SealTo::Symmetric(key),
        payload,
        Padding::Random,
        signed.then_some(&signer),
        &mut rng,
    );
    let expiry = u32::try_from(START).unwrap() + 50;
    Draft::new(expiry, 50, Topic::default(), &data.unwrap()).finish(0)
}

#[test]
fn a_small_history_comes_in_one_packet_and_is_completed() {
    let mut world = World::new(|_| {});
    let envelopes = some(5);
    world.keep(&envelopes);
    let answer = world.ask(&all());
    let last = sorted(&envelopes).last().map(Envelope::hash);
    assert_eq!(answer.packets, [sorted(&envelopes)]);
    assert_eq!(
        answer.completion,
        Some(Completion::Done {
            id: ID,
            last,
            cursor: None
        })
    );
    let empty = world.ask(&Request {
        lower: 1,
        upper: 2,
        ..all()
    });
    assert_eq!(
        empty.completion,
        Some(Completion::Done {
            id: ID,
            last: None,
            cursor: None
        })
    );
    assert_eq!(world.server.counters().requests["served"], 2);
    assert_eq!(world.server.counters().envelopes_sent, 5);
}

#[test]
fn the_envelope_that_reaches_the_limit_comes_alone() {
    let mut world = World::new(|_| {});
    let envelopes = some(9);
    world.keep(&envelopes);
    let sorted = sorted(&envelopes);
    let answer = world.ask(&Request { limit: 4, ..all() });
    assert_eq!(
        answer.packets,
        [sorted[..3].to_vec(), sorted[3..4].to_vec()]
    );
    assert_eq!(answer.cursor(), Some(Row::of(&sorted[3]).key.cursor()));
}

#[test]
fn a_client_of_single_envelopes_gets_them_one_by_one() {
    let mut world = World::new(|_| {});
    let envelopes = some(150);
    world.keep(&envelopes);
    let request = Request {
        batch: false,
        ..all()
    };
    let payload = request.encode(Form::Raw, ID);
    let sealed = sealed(&password(), &payload, true);
    world.message(REQUEST, sealed.raw().to_vec());
    let answer = world.answer();
    assert_eq!(answer.packets.concat(), sorted(&envelopes));
    assert!(answer.packets.iter().all(|packet| packet.len() == 1));
    assert_eq!(
        answer.completion.map(|completion| completion.id()),
        Some(MailId(*sealed.hash().as_bytes()))
    );
}

#[test]
fn sealed_requests_need_the_key_a_signature_and_work() {
    let payload = all().encode(Form::Seven, ID);
    let other = SymKey::from_bytes(&[8; 32]).unwrap();
    let mut world = World::new(|config| config.keys.clear());
    world.message(REQUEST, sealed(&password(), &payload, true).raw().to_vec());
    assert_eq!(world.refusal(), "encrypted requests are not served here");
    let mut world = World::new(|_| {});
    for (envelope, text) in [
        (
            sealed(&other, &payload, true),
            "failed to decrypt p2p request",
        ),
        (
            sealed(&password(), &payload, false),
            "wrong signature of p2p request",
        ),
        (
            sealed(&password(), &[1; 9], true),
            "request is invalid: a p2p request of 9 bytes; 8, 72, 76, 112 and 116 are possible",
        ),
    ] {
        world.message(REQUEST, envelope.raw().to_vec());
        assert_eq!(world.refusal(), text);
    }
    let mut world = World::new(|config| config.min_pow = 1e9);
    world.message(REQUEST, sealed(&password(), &payload, true).raw().to_vec());
    assert_eq!(world.refusal(), "PoW() is too low");
    assert_eq!(world.dismissed, []);
}

#[test]
fn a_request_to_the_key_of_the_server_is_opened() {
    let key = SecretKey::from_bytes(&[9; 32]).unwrap();
    let public = key.public();
    let mut world = World::new(|config| config.keys.push(OpenKey::Private(key)));
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let signer = SecretKey::from_bytes(&[5; 32]).unwrap();
    let data = seal(
        SealTo::Public(&public),
        &all().encode(Form::Six, ID),
        Padding::Random,
        Some(&signer),
        &mut rng,
    );
    let envelope = Draft::new(50, 50, Topic::default(), &data.unwrap()).finish(0);
    world.message(REQUEST, envelope.raw().to_vec());
    assert_eq!(world.answer().cursor(), None);
}

#[test]
fn what_is_not_served_is_said() {
    let mut world = World::new(|config| {
        config.plain = false;
        config.range_max = Some(86_400);
    });
    world.message(REQUEST, all().encode(Form::Plain, ID));
    assert_eq!(world.refusal(), "requests in clear are not served here");
    let long = all().encode(Form::Seven, ID);
    world.message(REQUEST, sealed(&password(), &long, true).raw().to_vec());
    assert_eq!(
        world.refusal(),
        "request is invalid: query range too big: 1600000060 s where 86400 s are allowed"
    );
    let mut world = World::new(|_| {});
    let request = Request {
        limit: 1001,
        ..all()
    };
    world.message(REQUEST, request.encode(Form::Plain, ID));
    assert_eq!(
        world.refusal(),
        "request is invalid: limit exceeds the maximum allowed value"
    );
    world.message(
        REQUEST,
        Request {
            lower: 9,
            upper: 8,
            ..all()
        }
        .encode(Form::Plain, ID),
    );
    assert_eq!(
        world.refusal(),
        "request is invalid: query range is invalid: lower > upper (9 > 8)"
    );
    assert_eq!(world.server.counters().requests["invalid"], 2);
}

#[test]
fn what_is_no_request_ends_the_connection() {
    for payload in [vec![], vec![0xc0], vec![1, 2, 3], vec![0xff; 20]] {
        let mut world = World::new(|_| {});
        world.message(REQUEST, payload);
        assert!(matches!(world.dismissed[..], [Breach::Request(_)]));
        assert_eq!(world.sent, []);
    }
    let mut world = World::new(|_| {});
    let len = limits::REQUEST_LEN_MAX + 1;
    world.message(REQUEST, vec![0; len]);
    assert_eq!(world.dismissed, [Breach::RequestTooLong { len }]);
}

#[test]
fn requests_are_as_far_apart_as_the_rate_says() {
    let mut world = World::new(|config| config.rate_limit = Duration::from_secs(5));
    assert_eq!(world.ask(&all()).cursor(), None);
    world.message(REQUEST, all().encode(Form::Plain, ID));
    assert_eq!(world.refusal(), "rate limit exceeded");
    // Coming back on another connection is no way around.
    world.input(Input::PeerDown { peer: PEER });
    world.input(Input::PeerReady {
        peer: PEER,
        node: NODE,
    });
    world.message(REQUEST, all().encode(Form::Plain, ID));
    assert_eq!(world.refusal(), "rate limit exceeded");
    world.wait(Duration::from_secs(5));
    assert_eq!(world.ask(&all()).cursor(), None);
}

#[test]
fn whoever_does_not_read_holds_two_batches_and_is_given_up() {
    let mut world = World::new(|_| {});
    let large: Vec<Envelope> = (0..20)
        .map(|number| envelope(START - 20 + number, "topic", &vec![0; 200_000]))
        .collect();
    world.keep(&large);
    world.reads = false;
    for _ in 0..1000 {
        world.message(REQUEST, all().encode(Form::Plain, ID));
    }
    let packets = world.sent.iter().filter(|(_, code, _)| *code == DIRECT);
    assert_eq!(packets.count(), 2, "two batches and no more");
    assert_eq!(world.server.jobs(), limits::JOBS_PER_PEER_MAX);
    assert_eq!(
        world.server.counters().requests["busy"],
        1000 - limits::JOBS_PER_PEER_MAX as u64
    );
    world.wait(limits::PUSH_TIMEOUT - Duration::from_secs(1));
    assert_eq!(world.server.jobs(), limits::JOBS_PER_PEER_MAX);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.server.jobs(), 0);
    let timed_out = world.server.counters().requests["timed_out"];
    assert_eq!(timed_out, limits::JOBS_PER_PEER_MAX as u64);
}

#[test]
fn taking_a_batch_brings_the_next() {
    let mut world = World::new(|_| {});
    let large: Vec<Envelope> = (0..9)
        .map(|number| envelope(START - 20 + number, "topic", &vec![0; 300_000]))
        .collect();
    world.keep(&large);
    world.reads = false;
    world.message(REQUEST, all().encode(Form::Plain, ID));
    for taken in 2..9 {
        assert_eq!(world.sent.len(), taken);
        world.input(Input::Taken { peer: PEER });
    }
    let answer = world.answer();
    assert_eq!(answer.packets.concat(), large);
    assert_eq!(answer.cursor(), None);
}

#[test]
fn one_peer_cannot_ask_for_more_than_its_allowance() {
    let mut world = World::new(|_| {});
    let large: Vec<Envelope> = (0..250)
        .map(|number| envelope(START - 300 + number, "topic", &vec![0; 400_000]))
        .collect();
    for chunk in large.chunks(20) {
        world.keep(chunk);
    }
    let before = world.now.mono;
    world.message(REQUEST, all().encode(Form::Plain, ID));
    let burst = world.server.counters().bytes_sent;
    assert!((limits::PEER_BYTES_BURST..limits::PEER_BYTES_BURST + 500_000).contains(&burst));
    while world.server.jobs() > 0 {
        let wait = world.server.next_deadline().unwrap() - world.now.mono;
        world.wait(wait);
    }
    let seconds = (world.now.mono - before).as_secs();
    assert_eq!(world.answer().packets.concat(), large);
    let rest = 250 * 400_000 - limits::PEER_BYTES_BURST;
    assert!(seconds >= rest / limits::PEER_BYTES_PER_SECOND - 1);
}

#[test]
fn a_peer_that_leaves_takes_its_requests_along() {
    let mut world = World::new(|_| {});
    world.keep(&some(3));
    world.reads = false;
    world.server.handle(
        world.now,
        Input::Message {
            peer: PEER,
            trusted: false,
            code: REQUEST,
            payload: all().encode(Form::Plain, ID),
        },
    );
    let Some(Output::Archive { ticket, job }) = world.server.poll_output() else {
        panic!("a read")
    };
    world.input(Input::PeerDown { peer: PEER });
    assert_eq!(world.server.jobs(), 0);
    let done = run(&mut world.archive, &job);
    world.input(Input::Archived { ticket, done });
    assert_eq!(world.sent, []);
}

#[test]
fn an_archive_that_fails_refuses_and_loses_nothing() {
    let mut world = World::new(|_| {});
    world.fails = true;
    world.keep(&some(3));
    assert_eq!((world.archive.totals().rows, world.kept.len()), (0, 0));
    world.message(REQUEST, all().encode(Form::Plain, ID));
    assert_eq!(world.refusal(), "the archive failed");
    world.fails = false;
    world.wait(limits::STORE_RETRY);
    assert_eq!((world.archive.totals().rows, world.kept.len()), (3, 3));
    // One that is there already is on the disk as well: who brings it again is told at once.
    world.keep(&some(1));
    assert_eq!((world.archive.totals().rows, world.kept.len()), (3, 4));
    assert_eq!(world.server.counters().archived, 3);
}

#[test]
fn more_than_may_wait_is_dropped_and_counted() {
    let mut world = World::new(|_| {});
    world.fails = true;
    for number in 0..20 {
        let large = envelope(START + number, "topic", &vec![0; 1_000_000]);
        world.input(Input::Accepted(Arc::new(large)));
    }
    let kept = limits::STORE_QUEUE_BYTES_MAX as u64 / 1_000_000;
    assert_eq!(world.server.counters().dropped, 20 - kept);
    world.fails = false;
    world.wait(limits::STORE_RETRY);
    assert_eq!(world.archive.totals().rows, kept);
}

#[test]
fn the_old_and_the_many_are_removed() {
    let mut world = World::new(|config| config.retention = 100);
    let envelopes: Vec<Envelope> = (0..2500)
        .map(|number: u64| envelope(START - 50, "topic", &number.to_be_bytes()))
        .collect();
    world.keep(&envelopes);
    assert_eq!(world.archive.totals().rows, 2500);
    world.wait(limits::PRUNE_INTERVAL);
    assert_eq!(world.archive.totals().rows, 0, "in batches of 1000");
    assert_eq!(world.server.counters().pruned, 2500);
    let row = Row::of(&some(1)[0]).bytes();
    let mut world = World::new(|config| config.bytes_max = 10 * row);
    let envelopes = some(30);
    world.keep(&envelopes);
    assert_eq!(world.archive.totals().rows, 10);
    let answer = world.ask(&all());
    assert_eq!(answer.packets.concat(), sorted(&envelopes)[20..]);
}

fn sync_answer(world: &mut World) -> (Vec<Envelope>, Option<crate::mailserver::Cursor>, String) {
    let mut found = Vec::new();
    let sent = std::mem::take(&mut world.sent);
    for (at, (_, code, payload)) in sent.iter().enumerate() {
        assert_eq!(*code, SYNC_RESPONSE);
        let response = exchange::Response::decode(payload).unwrap();
        found.extend(
            response
                .envelopes()
                .map(|raw| Envelope::parse(raw).unwrap()),
        );
        if at + 1 == sent.len() {
            assert_eq!(response.count, 0, "the last has no envelopes");
            assert_eq!(response.last, response.error.is_empty());
            return (found, response.cursor, response.error);
        }
        assert!(!response.last && response.cursor.is_none());
    }
    panic!("no answer")
}

#[test]
fn syncs_are_for_listed_and_trusted_servers() {
    let request = Request {
        upper: START as u32,
        limit: 10,
        ..all()
    };
    let payload = exchange::encode_request(&request);
    let mut world = World::new(|_| {});
    world.message(SYNC_REQUEST, payload.clone());
    let (found, _, error) = sync_answer(&mut world);
    assert_eq!(
        (found.len(), error.as_str()),
        (0, "syncs are for listed servers")
    );
    // A stranger is not even listened to.
    world.message(SYNC_REQUEST, vec![0xc0]);
    assert_eq!(world.dismissed, []);
    world.sent.clear();
    world.keep(&some(25));
    world.input(Input::Message {
        peer: PEER,
        trusted: true,
        code: SYNC_REQUEST,
        payload: payload.clone(),
    });
    let (found, cursor, error) = sync_answer(&mut world);
    assert_eq!((found.len(), error.as_str()), (10, ""));
    assert_eq!(cursor, found.last().map(|last| Row::of(last).key.cursor()));
    for change in [
        |config: &mut Config| config.sync_strangers = true,
        |config: &mut Config| config.sync_with = BTreeSet::from([NODE]),
    ] {
        let mut world = World::new(change);
        world.message(SYNC_REQUEST, payload.clone());
        assert_eq!(sync_answer(&mut world).2, "");
        for limit in [0, 1001] {
            let request = Request {
                limit,
                ..request.clone()
            };
            world.message(SYNC_REQUEST, exchange::encode_request(&request));
        }
        let error = |limit| Breach::SyncRequest(RequestError::Limit { limit });
        assert_eq!(world.dismissed, [error(0), error(1001)]);
    }
}

fn respond(
    world: &mut World,
    envelopes: &[Envelope],
    cursor: Option<crate::mailserver::Cursor>,
    last: bool,
    error: &str,
) {
    let raw = envelopes.iter().map(|envelope| &envelope.raw()[..]);
    let payload = exchange::encode_response(raw, cursor, last, error);
    world.input(Input::Message {
        peer: PEER,
        trusted: true,
        code: SYNC_RESPONSE,
        payload,
    });
}

fn sync() -> SyncRequest {
    SyncRequest {
        node: NODE,
        lower: START as u32 - 2000,
        upper: START as u32,
        bloom: Bloom::FULL,
        limit: 100,
    }
}

fn start_sync(world: &mut World) {
    world.input(Input::Sync {
        id: SyncId(1),
        request: sync(),
    });
    assert_eq!(
        world.sent.pop().map(|(_, code, _)| code),
        Some(SYNC_REQUEST)
    );
}

#[test]
fn a_sync_is_over_when_it_is_on_the_disk() {
    let mut world = World::new(|_| {});
    let envelopes = some(6);
    start_sync(&mut world);
    respond(&mut world, &envelopes[..3], None, false, "");
    let cursor = Row::of(&envelopes[2]).key.cursor();
    respond(&mut world, &[], Some(cursor), true, "");
    let (_, code, payload) = world.sent.pop().unwrap();
    assert_eq!(code, SYNC_REQUEST);
    let asked = exchange::decode_request(&payload).unwrap();
    assert_eq!(asked.cursor, Some(cursor), "the next page");
    world.fails = true;
    respond(&mut world, &envelopes[3..], None, false, "");
    respond(&mut world, &[], None, true, "");
    world.wait(limits::STORE_DELAY);
    assert_eq!(world.synced, [], "not while the disk does not take it");
    world.fails = false;
    world.wait(limits::STORE_RETRY);
    let synced = Synced {
        envelopes: 6,
        refused: 0,
        pages: 2,
    };
    assert_eq!(world.synced, [Ok(synced)]);
    assert_eq!(world.archive.totals().rows, 6);
}

#[test]
fn what_no_honest_sender_sent_is_not_taken() {
    let mut world = World::new(|config| {
        config.envelope_min_pow = 0.001;
        config.envelope_ttl_max = 1000;
        config.envelope_len_max = 5000;
    });
    let draft = |expiry: u64, ttl: u32, data: &[u8]| {
        let expiry = u32::try_from(expiry).unwrap();
        Draft::new(expiry, ttl, Topic::of_name("topic"), data)
    };
    let mined = |draft: Draft| {
        let nonce = draft.search(0.001, 0).run(1 << 20, || false);
        draft.finish(nonce.unwrap())
    };
    let good = mined(draft(START - 50, 10, b"good"));
    let weak = (0..).map(|nonce| draft(START - 50, 900, &[0; 1000]).finish(nonce));
    let weak = weak.into_iter().find(|weak| weak.pow() < 0.001).unwrap();
    let bad = [
        draft(START - 50, 0, b"zero").finish(0),
        draft(5, 6, b"before time").finish(0),
        mined(draft(START - 50, 1001, b"long")),
        mined(draft(START + 100, 10, b"future")),
        mined(draft(START - 5000, 10, b"not asked for")),
        mined(draft(START - 50, 10, &[0; 6000])),
        weak,
    ];
    start_sync(&mut world);
    respond(&mut world, &bad, None, false, "");
    respond(&mut world, &[good], None, false, "");
    respond(&mut world, &[], None, true, "");
    world.wait(limits::STORE_DELAY);
    let synced = Synced {
        envelopes: 1,
        refused: 7,
        pages: 1,
    };
    assert_eq!(world.synced, [Ok(synced)]);
    let refused = &world.server.counters().refused;
    let named: Vec<_> = refused.iter().filter(|(_, count)| **count > 0).collect();
    assert_eq!(named.len(), 7, "each for a reason of its own: {named:?}");
}

#[test]
fn a_sync_ends_for_a_reason() {
    let mut world = World::new(|_| {});
    start_sync(&mut world);
    respond(&mut world, &[], None, false, "no");
    assert_eq!(
        world.synced.pop(),
        Some(Err(SyncError::Refused("no".to_owned())))
    );
    start_sync(&mut world);
    let cursor = Some(crate::mailserver::Cursor::new(
        5,
        EnvelopeHash::new([1; 32]),
    ));
    respond(&mut world, &[], cursor, true, "");
    respond(&mut world, &[], cursor, true, "");
    assert_eq!(world.synced.pop(), Some(Err(SyncError::Stuck)));
    world.sent.clear();
    start_sync(&mut world);
    for _ in 0..=limits::RETRIES {
        world.wait(limits::ANSWER_TIMEOUT);
    }
    assert_eq!(world.synced.pop(), Some(Err(SyncError::TimedOut)));
    assert_eq!(world.sent.len(), limits::RETRIES as usize);
    world.sent.clear();
    start_sync(&mut world);
    world.input(Input::PeerDown { peer: PEER });
    assert_eq!(world.synced.pop(), Some(Err(SyncError::Lost)));
    for (request, error) in [
        (sync(), SyncError::NotConnected),
        (SyncRequest { limit: 0, ..sync() }, SyncError::Limit(0)),
        (
            SyncRequest {
                limit: 1001,
                ..sync()
            },
            SyncError::Limit(1001),
        ),
    ] {
        let id = SyncId(2);
        world.input(Input::Sync { id, request });
        assert_eq!(world.synced.pop(), Some(Err(error)));
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_read() {
    let mut world = World::new(|_| {});
    respond(&mut world, &some(3), None, false, "");
    world.message(SYNC_RESPONSE, vec![1, 2, 3]);
    world.wait(limits::STORE_DELAY);
    assert_eq!(world.archive.totals().rows, 0);
    assert_eq!(world.server.counters().unsolicited, 2);
    assert_eq!(world.dismissed, []);
    start_sync(&mut world);
    world.message(SYNC_RESPONSE, vec![1, 2, 3]);
    assert!(matches!(world.dismissed[..], [Breach::SyncResponse(_)]));
}

#[test]
fn listed_servers_are_asked_when_they_come_and_again_later() {
    let mut world = World::new(|config| config.sync_from = BTreeSet::from([NODE]));
    let asked = |world: &mut World| {
        let (_, code, payload) = world.sent.pop().expect("a request");
        assert_eq!((code, world.sent.len()), (SYNC_REQUEST, 0));
        exchange::decode_request(&payload).unwrap().lower
    };
    let all = START as u32 - limits::RETENTION_DAYS * 86_400;
    assert_eq!(asked(&mut world), all);
    respond(&mut world, &[], None, true, "");
    world.wait(limits::SYNC_INTERVAL - Duration::from_secs(1));
    assert_eq!(world.sent, []);
    world.wait(Duration::from_secs(1));
    assert_eq!(asked(&mut world), START as u32 - limits::SYNC_OVERLAP);
    world.input(Input::PeerDown { peer: PEER });
    world.wait(Duration::from_secs(3600));
    assert_eq!(
        world.server.next_deadline(),
        Some(world.now.mono + limits::PRUNE_INTERVAL)
    );
    world.input(Input::PeerReady {
        peer: PEER,
        node: NODE,
    });
    assert_eq!(asked(&mut world), START as u32 - limits::SYNC_OVERLAP);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pages_of_any_limit_bring_everything_once(count in 0..40u64, limit in 1..12u32, batch: bool) {
        let mut world = World::new(|_| {});
        let envelopes = some(count);
        world.keep(&envelopes);
        let mut request = Request { limit, batch, ..all() };
        let mut found = Vec::new();
        loop {
            let payload = request.encode(Form::Six, ID);
            world.message(REQUEST, sealed(&password(), &payload, true).raw().to_vec());
            let answer = world.answer();
            let page = answer.packets.concat();
            prop_assert!(page.len() <= limit as usize);
            prop_assert_eq!(answer.cursor().is_some(), page.len() == limit as usize);
            if batch && page.len() == limit as usize {
                prop_assert_eq!(answer.packets.last().map(Vec::len), Some(1));
            }
            found.extend(page);
            match answer.cursor() {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
        }
        prop_assert_eq!(found, sorted(&envelopes));
    }

    #[test]
    fn no_message_is_fatal(code in 123..=126u64, payload in prop::collection::vec(any::<u8>(), 0..150), trusted: bool) {
        let mut world = World::new(|config| config.sync_strangers = true);
        start_sync(&mut world);
        world.input(Input::Message { peer: PEER, trusted, code, payload });
        prop_assert!(world.sent.len() <= 2);
    }
}
