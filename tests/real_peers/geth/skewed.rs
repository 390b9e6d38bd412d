//! Case 32: a node of ours whose clock is wrong. The core does not ask what time it is, so here it is told something else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use legacy::enode::Enode;
use legacy::identity::SecretKey;
use legacy::limits::PACKET_LEN_MAX;
use legacy::now::Now;
use legacy::rlpx::capability::SHH;
use legacy::rlpx::disconnect::DisconnectReason;
use legacy::rlpx::session::{self, Closed, Session};
use legacy::shh::{Config, Draft, Envelope, EnvelopeHash, Input, Node, Output, PeerId, Topic};

use super::PATIENCE;
use super::theirs::Geth;

/// A Whisper core on one connection, under a clock that is so many seconds ahead.
pub(crate) struct Skewed {
    stream: TcpStream,
    session: Session,
    node: Node,
    ahead_s: i64,
    pub(crate) outputs: Vec<Output>,
    pub(crate) left: Option<DisconnectReason>,
}

impl Skewed {
    /// Dials a peer and waits for its Status.
    pub(crate) fn dial(enode: &str, ahead_s: i64) -> Self {
        let enode: Enode = enode.parse().expect("an enode");
        let key = SecretKey::from_bytes(&[0x51; 32]).expect("a key");
        let config = session::Config {
            key,
            client_name: "ferry-skewed".to_owned(),
            capabilities: vec![SHH],
            packet_len_max: PACKET_LEN_MAX,
        };
        let stream = TcpStream::connect(enode.tcp()).expect("the peer listens");
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        let config = Arc::new(config);
        let session = Session::dial(clock(0), config, *enode.public_key(), [0x52; 32]);
        let whisper = Config {
            min_pow: 0.0,
            ..Config::default()
        };
        let mut skewed = Self {
            stream,
            session,
            node: Node::new(whisper, [0x53; 32]),
            ahead_s,
            outputs: Vec::new(),
            left: None,
        };
        skewed.run_until("status", |skewed| skewed.node.wants(PEER).is_some());
        skewed
    }

    /// Posts an envelope that is sent now by its clock.
    pub(crate) fn post(&mut self, ttl: u32, data: &[u8], pow: f64) -> EnvelopeHash {
        let now = clock(self.ahead_s);
        let sent = u32::try_from(now.unix_s()).expect("before 2106");
        let draft = Draft::new(sent + ttl, ttl, Topic::of_name("skew"), data);
        let search = draft.search(pow, 10);
        let nonce = search.run(1 << 26, || false).expect("little work");
        let envelope: Envelope = draft.finish(nonce);
        let posted = self.node.post(now, envelope);
        self.drain();
        posted.expect("by its own clock it is good")
    }

    /// Runs until something holds.
    pub(crate) fn run_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "no {what} within {PATIENCE:?}");
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.left.get_or_insert(DisconnectReason::Network);
            }
            Ok(len) => self
                .session
                .handle(clock(0), session::Input::Bytes(&buffer[..len])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => {
                self.left.get_or_insert(DisconnectReason::Network);
            }
        }
        self.node.handle(clock(self.ahead_s), Input::Tick);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            if let Some(output) = self.session.poll_output() {
                self.connection(output);
            } else if let Some(output) = self.node.poll_output() {
                if let Output::Send { code, payload, .. } = &output {
                    let input = session::Input::Send {
                        capability: 0,
                        code: *code,
                        payload,
                    };
                    self.session.handle(clock(0), input);
                }
                self.outputs.push(output);
            } else {
                return;
            }
        }
    }

    fn connection(&mut self, output: session::Output) {
        match output {
            // A peer that is gone says so when it is read.
            session::Output::Write(bytes) => drop(self.stream.write_all(&bytes)),
            session::Output::Identified(_) => self.session.handle(clock(0), session::Input::Admit),
            session::Output::Established(established) => {
                let node = established.public_key.node_id();
                let up = Input::PeerUp {
                    peer: PEER,
                    node,
                    ip: None,
                };
                self.node.handle(clock(self.ahead_s), up);
            }
            session::Output::Message { code, payload, .. } => {
                let message = Input::Message {
                    peer: PEER,
                    code,
                    payload,
                };
                self.node.handle(clock(self.ahead_s), message);
            }
            session::Output::Closed(Closed::Theirs(reason)) => {
                self.left.get_or_insert(reason);
            }
            session::Output::Closed(other) => panic!("our own end closed: {other:?}"),
        }
    }
}

fn clock(ahead_s: i64) -> Now {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let unix_ms = u64::try_from(since_epoch.as_millis()).expect("before the year 584 million");
    Now {
        mono: Instant::now(),
        unix_ms: unix_ms.saturating_add_signed(ahead_s * 1000),
    }
}

const PEER: PeerId = PeerId(1);

#[test]
fn nine_seconds_ahead_are_forgiven_by_geth() {
    let mut geth = Geth::start(&[]);
    let mut ours = Skewed::dial(&geth.enode, 9);
    let hash = ours.post(30, b"nine ahead", 0.3).to_string();
    ours.run_until("sent envelope", |ours| {
        let sent = |output: &Output| matches!(output, Output::Sent { .. });
        ours.outputs.iter().any(sent)
    });
    geth.wait_pooled(&hash);
    assert_eq!(ours.left, None);
}

#[test]
fn twelve_seconds_ahead_are_not() {
    let geth = Geth::start(&[]);
    let mut ours = Skewed::dial(&geth.enode, 12);
    ours.post(30, b"twelve ahead", 0.3);
    ours.run_until("farewell", |ours| ours.left.is_some());
    assert_eq!(ours.left, Some(DisconnectReason::Subprotocol));
}

#[test]
fn twenty_five_seconds_behind_is_very_old_for_geth() {
    let geth = Geth::start(&[]);
    let mut ours = Skewed::dial(&geth.enode, -25);
    ours.post(3, b"behind", 0.3);
    ours.run_until("farewell", |ours| ours.left.is_some());
    assert_eq!(ours.left, Some(DisconnectReason::Subprotocol));
}
