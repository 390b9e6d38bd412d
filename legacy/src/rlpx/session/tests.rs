use std::time::Duration;

use super::super::capability::SHH;
use super::*;
use crate::rlp::List;
use crate::rlpx::fixtures::*;
use crate::rlpx::frame::FrameError;
use crate::rlpx::snappy::SnappyError;

fn start() -> Now {
    Now {
        mono: Instant::now(),
        unix_ms: 1_600_000_000_000,
    }
}

fn after(now: Now, seconds: u64) -> Now {
    let step = Duration::from_secs(seconds);
    Now {
        mono: now.mono + step,
        unix_ms: now.unix_ms + seconds * 1000,
    }
}

fn config(key: &str, capabilities: &[Capability]) -> Arc<Config> {
    Arc::new(Config {
        key: secret(key),
        client_name: "ferry/test".to_owned(),
        capabilities: capabilities.to_vec(),
        packet_len_max: 1 << 20,
    })
}

/// One end, and what it said that was not bytes.
struct End {
    session: Session,
    said: Vec<Output>,
    written: Vec<u8>,
}

impl End {
    fn new(session: Session) -> End {
        End {
            session,
            said: Vec::new(),
            written: Vec::new(),
        }
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.session.handle(now, input);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write(bytes) => self.written.extend(bytes),
                other => self.said.push(other),
            }
        }
    }

    fn identified(&mut self) -> PublicKey {
        let at = self
            .said
            .iter()
            .position(|output| matches!(output, Output::Identified(_)))
            .unwrap();
        let Output::Identified(key) = self.said.remove(at) else {
            panic!()
        };
        key
    }

    fn established(&mut self) -> Established {
        let at = self
            .said
            .iter()
            .position(|output| matches!(output, Output::Established(_)))
            .unwrap();
        let Output::Established(established) = self.said.remove(at) else {
            panic!()
        };
        established
    }

    fn closed(&self) -> Closed {
        match self.said.last() {
            Some(Output::Closed(closed)) => *closed,
            other => panic!("not closed but {other:?}"),
        }
    }

    fn open(&self) -> bool {
        !matches!(self.said.last(), Some(Output::Closed(_)))
    }

    fn messages(&mut self) -> Vec<(usize, u64, Vec<u8>)> {
        let said = std::mem::take(&mut self.said);
        said.into_iter()
            .map(|output| match output {
                Output::Message {
                    capability,
                    code,
                    payload,
                } => (capability, code, payload),
                other => panic!("not a message but {other:?}"),
            })
            .collect()
    }
}

struct Pair {
    now: Now,
    a: End,
    b: End,
}

impl Pair {
    /// A dials B.
    fn new(a: Arc<Config>, b: Arc<Config>) -> Pair {
        Pair::seeded(a, b, [[1; 32], [2; 32]])
    }

    fn seeded(a: Arc<Config>, b: Arc<Config>, seeds: [[u8; 32]; 2]) -> Pair {
        let now = start();
        let mut pair = Pair {
            now,
            a: End::new(Session::dial(now, a, b.key.public(), seeds[0])),
            b: End::new(Session::accept(now, b, seeds[1])),
        };
        pair.a.handle(now, Input::Progress);
        pair
    }

    fn standard() -> Pair {
        Pair::new(config(STATIC_A, &[SHH]), config(STATIC_B, &[SHH]))
    }

    /// Carries bytes until nobody has any, in pieces of some length.
    fn carry(&mut self, piece: usize) {
        while !self.a.written.is_empty() || !self.b.written.is_empty() {
            let (to_b, to_a) = (
                std::mem::take(&mut self.a.written),
                std::mem::take(&mut self.b.written),
            );
            self.a.handle(self.now, Input::Flushed);
            self.b.handle(self.now, Input::Flushed);
            to_b.chunks(piece)
                .for_each(|bytes| self.b.handle(self.now, Input::Bytes(bytes)));
            to_a.chunks(piece)
                .for_each(|bytes| self.a.handle(self.now, Input::Bytes(bytes)));
        }
    }

    fn admitted(mut self) -> Pair {
        self.carry(4096);
        assert_eq!(self.a.identified(), secret(STATIC_B).public());
        assert_eq!(self.b.identified(), secret(STATIC_A).public());
        self.a.handle(self.now, Input::Admit);
        self.b.handle(self.now, Input::Admit);
        self
    }

    fn running(mut self) -> Pair {
        self = self.admitted();
        self.carry(4096);
        self.a.established();
        self.b.established();
        self
    }

    /// Opens Whisper on both sides, so that long packets may follow.
    fn open(mut self) -> Pair {
        self = self.running();
        for end in [&mut self.a, &mut self.b] {
            end.handle(
                self.now,
                Input::Send {
                    capability: 0,
                    code: 0,
                    payload: &[0xc0],
                },
            );
        }
        self.carry(4096);
        self.a.messages();
        self.b.messages();
        self
    }

    /// What B makes of a message that A's session would not send.
    fn forged(mut self, code: &[u8], payload: &[u8]) -> Pair {
        let frame = self
            .a
            .session
            .stage
            .link()
            .unwrap()
            .egress
            .seal(code, payload)
            .unwrap();
        self.b.handle(self.now, Input::Bytes(&frame));
        self
    }

    /// What A hears of what B wrote.
    fn heard(&mut self) -> Closed {
        let written = std::mem::take(&mut self.b.written);
        self.a.handle(self.now, Input::Bytes(&written));
        self.a.closed()
    }
}

#[test]
fn two_sessions_meet_however_the_bytes_are_cut() {
    for piece in [1, 7, 16, 4096] {
        let mut pair = Pair::standard();
        pair.carry(piece);
        pair.a.handle(pair.now, Input::Admit);
        pair.b.handle(pair.now, Input::Admit);
        pair.carry(piece);
        let b = pair.a.established();
        assert_eq!(b.public_key, secret(STATIC_B).public());
        assert_eq!((b.client_name.as_str(), b.version), ("ferry/test", 5));
        assert_eq!(
            b.capabilities,
            [Shared {
                capability: SHH,
                offset: 16
            }]
        );
        assert_eq!(pair.b.established().public_key, secret(STATIC_A).public());
    }
}

#[test]
fn messages_go_both_ways() {
    let mut pair = Pair::standard().running();
    for code in [0, 1, 11, 127] {
        let payload = vec![code as u8; 300];
        pair.a.handle(
            pair.now,
            Input::Send {
                capability: 0,
                code,
                payload: &payload,
            },
        );
        pair.b.handle(
            pair.now,
            Input::Send {
                capability: 0,
                code,
                payload: &payload,
            },
        );
        pair.carry(100);
        assert_eq!(pair.a.messages(), [(0, code, payload.clone())]);
        assert_eq!(pair.b.messages(), [(0, code, payload)]);
    }
}

#[test]
fn the_last_code_is_two_bytes_on_the_wire() {
    let pair = Pair::standard().running();
    let mut pair = pair.forged(&[0x81, 0x8f], &snappy::deflate(&[1]).unwrap());
    assert_eq!(pair.b.messages(), [(0, 127, vec![1])]);
}

#[test]
fn capabilities_are_packed() {
    let eth = Capability {
        name: "eth",
        version: 63,
        len: 17,
    };
    let both = [SHH, eth.clone()];
    let mut pair = Pair::new(config(STATIC_A, &both), config(STATIC_B, &both)).admitted();
    pair.carry(4096);
    let expected = [
        Shared {
            capability: eth.clone(),
            offset: 16,
        },
        Shared {
            capability: SHH,
            offset: 33,
        },
    ];
    assert_eq!(pair.a.established().capabilities, expected);
    pair.b.established();
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 1,
            code: 0,
            payload: &[5],
        },
    );
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 16,
            payload: &[6],
        },
    );
    pair.carry(4096);
    assert_eq!(pair.b.messages(), [(1, 0, vec![5]), (0, 16, vec![6])]);
}

#[test]
fn a_shared_payload_is_sealed_by_each_connection_for_itself() {
    let payload = Payload::from(vec![7; 3_000]);
    let (a, b) = (config(STATIC_A, &[SHH]), config(STATIC_B, &[SHH]));
    let other = Pair::seeded(a, b, [[3; 32], [4; 32]]);
    let mut pairs = [Pair::standard().open(), other.open()];
    let frames = pairs.each_mut().map(|pair| {
        let (capability, code) = (0, 1);
        pair.a.session.handle(
            pair.now,
            Input::Share {
                capability,
                code,
                payload: &payload,
            },
        );
        let Some(Output::Write(frame)) = pair.a.session.poll_output() else {
            panic!("one frame")
        };
        frame
    });
    assert_eq!(frames[0].len(), frames[1].len());
    assert!(frames[0].len() < 1_000, "it is compressed");
    assert_ne!(frames[0], frames[1], "own keys, own MAC");
    let [one, two] = &mut pairs;
    one.b.handle(one.now, Input::Bytes(&frames[0]));
    assert_eq!(one.b.messages(), [(0, 1, vec![7; 3_000])]);
    two.b.handle(two.now, Input::Bytes(&frames[0]));
    assert_eq!(
        two.b.closed(),
        Closed::Broken(Error::Frame(FrameError::HeaderMac)),
        "a frame of another connection"
    );
}

#[test]
fn a_shared_payload_has_the_bounds_of_any_other() {
    let mut pair = Pair::standard().open();
    let long = Payload::from(vec![0; crate::limits::FRAME_LEN_MAX + 1]);
    assert!(matches!(long.deflated(), Err(SnappyError::TooLong { .. })));
    pair.a.handle(
        pair.now,
        Input::Share {
            capability: 0,
            code: 1,
            payload: &long,
        },
    );
    let len = long.len();
    assert_eq!(
        pair.a.closed(),
        Closed::Broken(Error::PayloadTooLong { len })
    );
    let mut pair = Pair::standard().open();
    pair.a.handle(
        pair.now,
        Input::Share {
            capability: 1,
            code: 1,
            payload: &Payload::from(vec![1]),
        },
    );
    assert_eq!(
        pair.a.closed(),
        Closed::Broken(Error::NotOurCode { code: 1 })
    );
}

#[test]
fn a_legacy_initiator_gets_a_legacy_answer() {
    let now = start();
    let (a, b) = (secret(STATIC_A), config(STATIC_B, &[SHH]));
    let (ephemeral, nonce) = (secret(EPHEMERAL_A), [9; NONCE_LEN]);
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let auth = Auth::seal(
        Form::Legacy,
        &a,
        &ephemeral,
        &nonce,
        &b.key.public(),
        &mut rng,
    );
    let mut end = End::new(Session::accept(now, b, [2; 32]));
    end.handle(now, Input::Bytes(&auth));
    assert_eq!(end.identified(), a.public());
    let answer = std::mem::take(&mut end.written);
    assert_eq!(answer.len(), 210);
    let ack = Ack::read(&a, &answer).unwrap();
    let (mut egress, mut ingress) = Secrets::derive(&Exchange {
        direction: Direction::Dialled,
        ephemeral: &ephemeral,
        remote_ephemeral: &ack.ephemeral,
        initiator_nonce: &nonce,
        recipient_nonce: &ack.nonce,
        auth: &auth,
        ack: &answer,
    })
    .into_halves();
    end.handle(now, Input::Admit);
    let hello = egress
        .seal(&[0x80], &Hello::encode("old", &[SHH], &a.public()))
        .unwrap();
    end.handle(now, Input::Bytes(&hello));
    assert_eq!(end.established().client_name, "old");
    let mut at = 0;
    let body = ingress
        .next(&mut end.written, &mut at, 2049)
        .unwrap()
        .unwrap();
    assert_eq!(Hello::decode(&body[1..]).unwrap().client_name, "ferry/test");
}

#[test]
fn version_four_is_spoken_without_compression() {
    let hello = List::new()
        .uint(4)
        .bytes(b"four")
        .list(List::new().list(List::new().bytes(b"shh").uint(6)))
        .uint(0)
        .bytes(&secret(STATIC_A).public().to_bytes())
        .finish();
    let mut pair = Pair::standard();
    pair.carry(4096);
    pair.b.handle(pair.now, Input::Admit);
    let mut pair = pair.forged(&[0x80], &hello).forged(&[0x02], &[0xc0]);
    pair.b.established();
    let mut written = std::mem::take(&mut pair.b.written);
    let ingress = &mut pair.a.session.stage.link().unwrap().ingress;
    let mut at = 0;
    ingress.next(&mut written, &mut at, 2049).unwrap().unwrap();
    assert_eq!(
        ingress.next(&mut written, &mut at, 2049).unwrap().unwrap(),
        [0x03, 0xc0]
    );
}

#[test]
fn a_refusal_takes_the_place_of_the_hello_and_is_not_compressed() {
    let mut pair = Pair::standard();
    pair.carry(4096);
    pair.a.handle(pair.now, Input::Admit);
    pair.b
        .handle(pair.now, Input::Disconnect(DisconnectReason::TooManyPeers));
    assert_eq!(
        pair.b.closed(),
        Closed::Ours(DisconnectReason::TooManyPeers)
    );
    assert_eq!(pair.heard(), Closed::Theirs(DisconnectReason::TooManyPeers));
}

#[test]
fn later_disconnects_are_compressed() {
    let mut pair = Pair::standard().running();
    pair.b
        .handle(pair.now, Input::Disconnect(DisconnectReason::Quitting));
    assert_eq!(pair.heard(), Closed::Theirs(DisconnectReason::Quitting));
}

#[test]
fn nothing_shared_is_useless_to_both() {
    let eth = Capability {
        name: "eth",
        version: 63,
        len: 17,
    };
    let mut pair = Pair::new(config(STATIC_A, &[eth]), config(STATIC_B, &[SHH])).admitted();
    pair.carry(4096);
    assert_eq!(pair.a.closed(), Closed::Broken(Error::Useless));
    assert_eq!(pair.b.closed(), Closed::Broken(Error::Useless));
}

/// B's verdict on a first message, and what A then reads.
fn first_message(code: &[u8], payload: &[u8]) -> Closed {
    let mut pair = Pair::standard();
    pair.carry(4096);
    pair.b.handle(pair.now, Input::Admit);
    let pair = pair.forged(code, payload);
    pair.b.closed()
}

#[test]
fn bad_first_messages_end_it() {
    let own = secret(STATIC_A).public().to_bytes();
    let hello = |key: &[u8], filler: usize| {
        List::new()
            .uint(5)
            .bytes(&vec![b'x'; filler])
            .list(List::new())
            .uint(0)
            .bytes(key)
            .finish()
    };
    let exact = 2048 - hello(&own, 1000).len() + 1000;
    assert_eq!(hello(&own, exact).len(), 2048);
    assert_eq!(
        first_message(&[0x80], &hello(&own, exact)),
        Closed::Broken(Error::Useless)
    );
    assert_eq!(
        first_message(&[0x80], &hello(&own, exact + 1)),
        Closed::Broken(Error::HelloTooLong { len: 2049 })
    );
    assert!(matches!(
        first_message(&[0x80], &hello(&own, 5000)),
        Closed::Broken(Error::Frame(FrameError::TooLong { .. }))
    ));
    assert!(matches!(
        first_message(&[0x80], &hello(&[0; 64], 0)),
        Closed::Broken(Error::Hello(HelloError::NullIdentity { len: 64 }))
    ));
    let other = secret(STATIC_B).public().to_bytes();
    assert_eq!(
        first_message(&[0x80], &hello(&other, 0)),
        Closed::Broken(Error::UnexpectedIdentity)
    );
    assert!(matches!(
        first_message(&[0x80], &[0x80]),
        Closed::Broken(Error::Hello(HelloError::Malformed(_)))
    ));
    assert_eq!(
        first_message(&[0x02], &[0xc0]),
        Closed::Broken(Error::ExpectedHello { code: 2 })
    );
    assert_eq!(
        first_message(&[0x10], &[0xc0]),
        Closed::Broken(Error::ExpectedHello { code: 16 })
    );
    assert_eq!(
        first_message(&[0x01], &[0xc1, 0x04]),
        Closed::Theirs(DisconnectReason::TooManyPeers)
    );
    assert!(matches!(
        first_message(&[0xc0], &[]),
        Closed::Broken(Error::Code(_))
    ));
    assert!(matches!(
        first_message(&[0x00], &[]),
        Closed::Broken(Error::Code(_))
    ));
}

#[test]
fn codes_of_nobody_end_it_and_reserved_ones_are_ignored() {
    let payload = snappy::deflate(&[0xc0]).unwrap();
    for code in 4..16u64 {
        assert!(
            Pair::standard()
                .running()
                .forged(&rlp::encode_uint(code), &payload)
                .b
                .open()
        );
    }
    assert!(
        Pair::standard()
            .running()
            .forged(&[0x80], &payload)
            .b
            .open(),
        "a second Hello"
    );
    for code in [16 + 128, 1 << 63, u64::MAX] {
        let pair = Pair::standard()
            .running()
            .forged(&rlp::encode_uint(code), &payload);
        assert_eq!(pair.b.closed(), Closed::Broken(Error::UnknownCode { code }));
        assert!(pair.b.written.is_empty(), "closed without a word");
    }
}

#[test]
fn compressed_payloads_are_bounded_before_they_are_inflated() {
    let verdict = |payload: &[u8]| Pair::standard().open().forged(&[0x11], payload).b.closed();
    assert_eq!(
        verdict(&[]),
        Closed::Broken(Error::Snappy(SnappyError::Empty))
    );
    assert!(matches!(
        verdict(&[0x81, 0x80, 0x80, 0x08]),
        Closed::Broken(Error::Snappy(SnappyError::TooLong { .. }))
    ));
    let over = Error::Snappy(SnappyError::OverLimit {
        len: 0xff_ffff,
        max: 1 << 20,
    });
    assert_eq!(verdict(&[0xff, 0xff, 0xff, 0x07]), Closed::Broken(over));
    assert_eq!(over.reason(), Some(DisconnectReason::Subprotocol));
    let block = snappy::deflate(&[7; 500]).unwrap();
    assert_eq!(
        verdict(&block[..block.len() - 1]),
        Closed::Broken(Error::Snappy(SnappyError::Malformed))
    );
}

#[test]
fn long_packets_must_wait_for_the_first_message() {
    let long = vec![0; 3000];
    let mut pair = Pair::standard().running();
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 1,
            payload: &long,
        },
    );
    pair.carry(4096);
    assert!(matches!(
        pair.b.closed(),
        Closed::Broken(Error::Snappy(SnappyError::OverLimit { max: 2048, .. }))
    ));
    let mut pair = Pair::standard().open();
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 1,
            payload: &long,
        },
    );
    pair.carry(4096);
    assert_eq!(pair.b.messages(), [(0, 1, long)]);
}

#[test]
fn a_packet_over_the_limit_is_refused_by_its_header() {
    let pair = Pair::standard().open();
    let mut seed = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(2 << 20)
    .collect();
    let mut pair = pair;
    let frame = pair
        .a
        .session
        .stage
        .link()
        .unwrap()
        .egress
        .seal(&[0x11], &noise)
        .unwrap();
    pair.b.handle(pair.now, Input::Bytes(&frame[..32]));
    assert!(matches!(
        pair.b.closed(),
        Closed::Broken(Error::Frame(FrameError::TooLong { .. }))
    ));
    assert_eq!(pair.heard(), Closed::Theirs(DisconnectReason::Subprotocol));
}

#[test]
fn a_flood_of_pings_is_answered_by_two_pongs() {
    let pair = Pair::standard().running();
    let payload = snappy::deflate(&[0xc0]).unwrap();
    let mut pair = (0..1000).fold(pair, |pair, _| pair.forged(&[0x02], &payload));
    let pong_len = pair.b.written.len();
    assert_eq!(pong_len, 64, "one pong, while nobody takes it");
    pair.b.written.clear();
    pair.b.handle(pair.now, Input::Flushed);
    assert_eq!(pair.b.written.len(), pong_len, "the one that is owed");
    pair.b.written.clear();
    pair.b.handle(pair.now, Input::Flushed);
    assert!(pair.b.written.is_empty());
}

#[test]
fn pings_keep_a_connection_and_silence_ends_it() {
    let mut pair = Pair::standard().running();
    for _ in 0..40 {
        let due = pair.a.session.next_deadline().unwrap();
        assert_eq!(due, pair.now.mono + PING_INTERVAL);
        pair.now = after(pair.now, 15);
        pair.a.handle(pair.now, Input::Tick);
        pair.b.handle(pair.now, Input::Tick);
        pair.carry(4096);
        assert!(pair.a.open() && pair.b.open());
    }
    for _ in 0..2 {
        pair.now = after(pair.now, 15);
        pair.a.handle(pair.now, Input::Tick);
        pair.a.handle(pair.now, Input::Flushed);
    }
    assert_eq!(pair.a.closed(), Closed::Broken(Error::ReadTimeout));
    assert_eq!(pair.a.session.next_deadline(), None);
}

#[test]
fn whoever_is_not_read_is_not_silent() {
    let mut pair = Pair::standard().running();
    for _ in 0..10 {
        pair.now = after(pair.now, 15);
        pair.a.handle(pair.now, Input::Unread);
        pair.a.handle(pair.now, Input::Tick);
        pair.a.handle(pair.now, Input::Flushed);
        assert!(pair.a.open());
    }
    for _ in 0..2 {
        pair.now = after(pair.now, 15);
        pair.a.handle(pair.now, Input::Tick);
        pair.a.handle(pair.now, Input::Flushed);
    }
    assert_eq!(pair.a.closed(), Closed::Broken(Error::ReadTimeout));
}

#[test]
fn a_handshake_has_five_seconds() {
    let now = start();
    let mut end = End::new(Session::accept(now, config(STATIC_B, &[SHH]), [2; 32]));
    end.handle(now, Input::Bytes(&[0x01]));
    assert_eq!(
        end.session.next_deadline(),
        Some(now.mono + HANDSHAKE_TIMEOUT)
    );
    end.handle(after(now, 4), Input::Bytes(&[0xb3]));
    end.handle(after(now, 4), Input::Tick);
    assert!(end.open());
    end.handle(after(now, 5), Input::Tick);
    assert_eq!(end.closed(), Closed::Broken(Error::HandshakeTimeout));
}

#[test]
fn a_peer_that_takes_nothing_is_dropped_after_twenty_seconds() {
    let mut pair = Pair::standard().running();
    pair.a.handle(pair.now, Input::Flushed);
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 1,
            payload: &[0xc0],
        },
    );
    pair.now = after(pair.now, 14);
    pair.a.handle(pair.now, Input::Progress);
    pair.b.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 1,
            payload: &[0xc0],
        },
    );
    let written = std::mem::take(&mut pair.b.written);
    pair.a.handle(pair.now, Input::Bytes(&written));
    pair.now = after(pair.now, 19);
    pair.a.handle(pair.now, Input::Tick);
    assert!(pair.a.open());
    pair.now = after(pair.now, 1);
    pair.a.handle(pair.now, Input::Tick);
    assert_eq!(pair.a.closed(), Closed::Broken(Error::WriteTimeout));
}

#[test]
fn nothing_is_kept_of_a_large_packet() {
    let mut pair = Pair::standard().open();
    let payload = vec![3; 500_000];
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 1,
            payload: &payload,
        },
    );
    pair.carry(4096);
    assert_eq!(pair.b.messages().len(), 1);
    assert_eq!(pair.b.session.arrived.capacity(), 0);
}

#[test]
fn a_frame_that_stalls_costs_no_more_than_has_arrived() {
    let mut pair = Pair::standard().open();
    let frame = pair
        .a
        .session
        .stage
        .link()
        .unwrap()
        .egress
        .seal(&[0x11], &vec![3; 1 << 20])
        .unwrap();
    pair.b.handle(pair.now, Input::Bytes(&frame[..100]));
    assert!(pair.b.open());
    assert!(pair.b.session.arrived.capacity() <= 200);
}

#[test]
fn sending_what_is_not_ours_is_our_own_fault() {
    let mut pair = Pair::standard().running();
    pair.a.handle(
        pair.now,
        Input::Send {
            capability: 0,
            code: 128,
            payload: &[],
        },
    );
    let Closed::Broken(error) = pair.a.closed() else {
        panic!()
    };
    assert_eq!(error.blame(), crate::error::Blame::Bug);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn changed_bytes_end_a_session_without_a_panic(at in 0usize..2000, flip in 1u8.., piece in 1usize..500) {
        let mut pair = Pair::standard();
        let mut seen = 0;
        for _ in 0..6 {
            let mut bytes = std::mem::take(&mut pair.a.written);
            if (seen..seen + bytes.len()).contains(&at) {
                bytes[at - seen] ^= flip;
            }
            seen += bytes.len();
            bytes.chunks(piece).for_each(|bytes| pair.b.handle(pair.now, Input::Bytes(bytes)));
            let back = std::mem::take(&mut pair.b.written);
            pair.a.handle(pair.now, Input::Bytes(&back));
            pair.a.handle(pair.now, Input::Admit);
            pair.b.handle(pair.now, Input::Admit);
            pair.a.handle(pair.now, Input::Send { capability: 0, code: 1, payload: &[0xc0] });
        }
    }
}
