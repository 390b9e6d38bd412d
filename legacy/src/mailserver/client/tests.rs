use std::sync::Arc;

use super::*;
use crate::mailserver::server;
use crate::mailserver::server::tests::{World, envelope, password, some};
use crate::rlp::Item;
use crate::shh::seal::OpenKey;
use crate::shh::wire::{DIRECT, REQUEST_COMPLETE};
use crate::shh::{Envelope, limits::ENVELOPE_LEN_MAX};

const SERVER: NodeId = NodeId::new([2; 32]);
const PEER: PeerId = PeerId(1);

fn id() -> HistoryId {
    HistoryId(1)
}

fn request(access: Access) -> HistoryRequest {
    HistoryRequest::new(SERVER, 0, 0, access)
}

/// A client of a real server; what is between them loses nothing.
struct Pair {
    client: Client,
    world: World,
    got: Vec<Envelope>,
    requests: Vec<Vec<u8>>,
    finished: Vec<Result<History, HistoryError>>,
    dismissed: usize,
    silent: bool,
}

impl Pair {
    fn new(change: impl FnOnce(&mut server::Config)) -> Pair {
        let key = SecretKey::from_bytes(&[6; 32]).unwrap();
        let mut pair = Pair {
            client: Client::new(key, [3; 32]),
            world: World::new(change),
            got: Vec::new(),
            requests: Vec::new(),
            finished: Vec::new(),
            dismissed: 0,
            silent: false,
        };
        pair.ready(0.0);
        pair
    }

    fn ready(&mut self, min_pow: f64) {
        self.input(Input::PeerReady {
            peer: PEER,
            node: SERVER,
            min_pow,
        });
    }

    fn input(&mut self, input: Input) {
        self.client.handle(self.world.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Trust(node) => assert_eq!(node, SERVER),
                Output::Work { id, search } => {
                    let nonce = search.run(1 << 24, || false).ok();
                    self.client
                        .handle(self.world.now, Input::WorkDone { id, nonce });
                }
                Output::Send { code, payload, .. } => {
                    assert_eq!(code, REQUEST);
                    self.requests.push(payload.clone());
                    if !self.silent {
                        self.carry(payload);
                    }
                }
                Output::Dismiss { .. } => self.dismissed += 1,
                Output::Finished { result, .. } => self.finished.push(result),
            }
        }
    }

    fn carry(&mut self, payload: Vec<u8>) {
        self.world.input(server::Input::Message {
            peer: PEER,
            trusted: false,
            code: REQUEST,
            payload,
        });
        for (peer, code, payload) in std::mem::take(&mut self.world.sent) {
            match code {
                DIRECT => {
                    let bare = Envelope::parse(&payload).ok();
                    let many = || -> Vec<Envelope> {
                        let items = Item::exact(&payload).unwrap().list().unwrap();
                        items
                            .map(|item| Envelope::parse(item.unwrap().raw()).unwrap())
                            .collect()
                    };
                    for envelope in bare.map_or_else(many, |bare| vec![bare]) {
                        let hash = envelope.hash();
                        self.got.push(envelope);
                        self.client
                            .handle(self.world.now, Input::Direct { peer, hash });
                    }
                }
                REQUEST_COMPLETE => self
                    .client
                    .handle(self.world.now, Input::Completion { peer, payload }),
                code => panic!("code {code}"),
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.world.wait(time);
        self.input(Input::Tick);
    }

    fn ask(&mut self, request: HistoryRequest) {
        self.input(Input::Request {
            id: id(),
            request: Box::new(request),
        });
    }
}

#[test]
fn every_form_brings_everything_once() {
    let server_key = SecretKey::from_bytes(&[9; 32]).unwrap();
    let public = server_key.public();
    let envelopes = some(23);
    for access in [
        Access::Plain,
        Access::Password(password(), Sealed::Six),
        Access::Password(password(), Sealed::Seven),
        Access::ServerKey(public, Sealed::Seven),
    ] {
        for limit in [0, 1, 2, 10] {
            let key = server_key.clone();
            let mut pair = Pair::new(|config| config.keys.push(OpenKey::Private(key)));
            pair.world.keep(&envelopes);
            let mut request = request(access.clone());
            request.limit = limit;
            pair.ask(request);
            let Some(Ok(history)) = pair.finished.pop() else {
                panic!("{limit}")
            };
            assert!(history.complete && history.cursor.is_none());
            assert_eq!(history.envelopes, 23);
            assert_eq!(pair.got.len(), 23, "each once");
            let keys = pair
                .got
                .iter()
                .map(|envelope| (envelope.sent(), envelope.hash()));
            assert!(keys.is_sorted());
            let pages = (23u32).checked_div(limit).map_or(1, |pages| pages + 1);
            assert_eq!(history.pages, pages);
        }
    }
}

#[test]
fn the_raw_form_is_over_when_the_server_says_nothing_more() {
    let mut pair = Pair::new(|_| {});
    pair.world.keep(&some(5));
    pair.ask(request(Access::Password(password(), Sealed::Raw)));
    // This server says it even so.
    assert!(matches!(&pair.finished[..], [Ok(history)] if history.complete));
    pair.silent = true;
    pair.ask(request(Access::Password(password(), Sealed::Raw)));
    let hash = some(1)[0].hash();
    pair.input(Input::Direct { peer: PEER, hash });
    pair.wait(QUIET);
    let Some(Ok(history)) = pair.finished.pop() else {
        panic!("it is over")
    };
    assert_eq!((history.envelopes, history.complete), (1, false));
}

#[test]
fn a_refusal_comes_in_the_words_of_the_server() {
    let mut pair = Pair::new(|_| {});
    let other = SymKey::from_bytes(&[8; 32]).unwrap();
    pair.ask(request(Access::Password(other, Sealed::Seven)));
    let text = "failed to decrypt p2p request".to_owned();
    assert_eq!(pair.finished, [Err(HistoryError::Refused(text))]);
}

#[test]
fn a_silent_server_is_asked_three_times() {
    let mut pair = Pair::new(|_| {});
    pair.silent = true;
    pair.ask(request(Access::Plain));
    for asked in 1..=1 + limits::RETRIES as usize {
        assert_eq!((pair.requests.len(), pair.finished.len()), (asked, 0));
        pair.wait(limits::ANSWER_TIMEOUT);
    }
    assert_eq!(pair.finished, [Err(HistoryError::TimedOut)]);
    assert_eq!(pair.client.next_deadline(), None);
}

#[test]
fn a_server_that_comes_back_in_time_is_asked_again() {
    let mut pair = Pair::new(|_| {});
    pair.silent = true;
    pair.ask(request(Access::Plain));
    pair.input(Input::PeerDown { peer: PEER });
    pair.silent = false;
    pair.wait(limits::ANSWER_TIMEOUT / 2);
    pair.ready(0.0);
    assert!(matches!(pair.finished[..], [Ok(_)]));
    pair.input(Input::PeerDown { peer: PEER });
    pair.ask(request(Access::Plain));
    pair.wait(limits::ANSWER_TIMEOUT);
    assert_eq!(pair.finished[1], Err(HistoryError::NotConnected));
}

#[test]
fn one_request_after_the_other() {
    let mut pair = Pair::new(|_| {});
    pair.silent = true;
    for number in 0..=limits::REQUESTS_MAX as u64 {
        pair.input(Input::Request {
            id: HistoryId(number),
            request: Box::new(request(Access::Plain)),
        });
    }
    assert_eq!(pair.requests.len(), 1);
    let error = HistoryError::TooMany(limits::REQUESTS_MAX);
    assert_eq!(pair.finished, [Err(error)]);
    let text = "no".to_owned();
    let (asked, _) = Request::decode_plain(&pair.requests[0]).unwrap();
    let payload = Completion::Failed { id: asked, text }.encode();
    pair.input(Input::Completion {
        peer: PEER,
        payload,
    });
    assert_eq!((pair.requests.len(), pair.finished.len()), (2, 2));
}

#[test]
fn work_is_done_for_a_server_that_asks_for_it() {
    let mut pair = Pair::new(|config| config.min_pow = 0.01);
    pair.ready(0.01);
    pair.ask(request(Access::Password(password(), Sealed::Six)));
    assert!(matches!(pair.finished[..], [Ok(_)]));
    let envelope = Envelope::parse(&pair.requests[0]).unwrap();
    assert!(envelope.pow() >= 0.01 && envelope.ttl() == 50);
    pair.ready(1e9);
    pair.ask(request(Access::Password(password(), Sealed::Six)));
    assert!(matches!(
        pair.finished[1],
        Err(HistoryError::TooMuchWork { .. })
    ));
}

#[test]
fn a_server_that_leads_in_circles_is_left() {
    let mut pair = Pair::new(|_| {});
    pair.silent = true;
    pair.ask(request(Access::Plain));
    let cursor = |sent| Some(Cursor::new(sent, EnvelopeHash::new([1; 32])));
    for sent in [5, 7, 6] {
        let asked = Request::decode_plain(pair.requests.last().unwrap());
        let done = Completion::Done {
            id: asked.unwrap().0,
            last: None,
            cursor: cursor(sent),
        };
        let payload = done.encode();
        pair.input(Input::Completion {
            peer: PEER,
            payload,
        });
    }
    assert_eq!(pair.finished, [Err(HistoryError::Stuck)]);
}

#[test]
fn it_stops_after_the_pages_that_were_wanted_and_goes_on_from_there() {
    let mut pair = Pair::new(|_| {});
    pair.world.keep(&some(10));
    let mut first = request(Access::Plain);
    (first.limit, first.pages_max) = (3, Some(2));
    pair.ask(first);
    let Some(Ok(history)) = pair.finished.pop() else {
        panic!("two pages")
    };
    assert_eq!((history.envelopes, history.pages), (6, 2));
    let mut rest = request(Access::Plain);
    rest.cursor = history.cursor;
    pair.ask(rest);
    assert!(matches!(&pair.finished[..], [Ok(rest)] if rest.envelopes == 4));
    assert_eq!(pair.got.len(), 10);
}

#[test]
fn hostile_completions_end_the_connection_and_others_are_ignored() {
    let mut pair = Pair::new(|_| {});
    pair.silent = true;
    pair.ask(request(Access::Plain));
    for payload in [vec![], vec![0xc0], vec![0x80], vec![0xb8, 0x65]] {
        pair.input(Input::Completion {
            peer: PEER,
            payload,
        });
    }
    assert_eq!(pair.dismissed, 4);
    let other = Completion::Failed {
        id: MailId([0; 32]),
        text: String::new(),
    };
    let payload = other.encode();
    pair.input(Input::Completion {
        peer: PEER,
        payload,
    });
    assert_eq!(pair.client.counters().unsolicited, 1);
    assert_eq!(pair.finished, []);
}

#[test]
fn requests_without_sense_are_not_sent() {
    let mut pair = Pair::new(|_| {});
    let mut reversed = request(Access::Plain);
    (reversed.lower, reversed.upper) = (2, 1);
    pair.ask(reversed);
    let mut greedy = request(Access::Plain);
    greedy.limit = 1001;
    pair.ask(greedy);
    assert_eq!(
        pair.finished,
        [
            Err(HistoryError::Range { lower: 2, upper: 1 }),
            Err(HistoryError::Limit(1001))
        ]
    );
    assert_eq!(pair.requests, Vec::<Vec<u8>>::new());
}

#[test]
fn a_large_history_comes_whole() {
    let mut pair = Pair::new(|_| {});
    let large: Vec<Envelope> = (0..30)
        .map(|number| {
            envelope(
                1_599_999_000 + number,
                "topic",
                &vec![0; ENVELOPE_LEN_MAX / 4],
            )
        })
        .collect();
    pair.world.keep(&large);
    pair.ask(request(Access::Plain));
    assert!(matches!(&pair.finished[..], [Ok(history)] if history.envelopes == 30));
    let got: Vec<Arc<[u8]>> = pair.got.iter().map(|got| got.raw().clone()).collect();
    let kept: Vec<Arc<[u8]>> = large.iter().map(|kept| kept.raw().clone()).collect();
    assert!(got == kept);
}
