//! Scripts for what is encrypted: frames, and a connection from its Hello on. The keys are fixed, so that an input costs
//! no operation on the curve.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::key;
use super::script::{Clock, Script};
use crate::identity::PublicKey;
use crate::keccak::Hasher;
use crate::limits::FIRST_PAYLOAD_LEN_MAX;
use crate::rlp;
use crate::rlpx::Direction;
use crate::rlpx::capability::SHH;
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::frame::{Egress, FrameError, Ingress};
use crate::rlpx::hello::Hello;
use crate::rlpx::session::{Config, Input, Output, Session};
use crate::rlpx::snappy;

/// Frames that are sealed, damaged, cut and opened.
pub fn frame(data: &[u8]) {
    let mut script = Script::new(data);
    let (mut egress, mut ingress) = (sender(1), receiver(1));
    let mut sealed: VecDeque<Vec<u8>> = VecDeque::new();
    let (mut wire, mut arrived) = (Vec::new(), Vec::new());
    let mut damaged = false;
    while let Some(choice) = script.below(6) {
        match choice {
            0 | 1 => {
                let (Some(code), Some(payload)) = (script.piece(), script.piece()) else {
                    return;
                };
                let payload = payload.repeat(1 + usize::from(choice) * 40);
                wire.extend(egress.seal(code, &payload).expect("short enough"));
                sealed.push_back([code, &payload].concat());
            }
            2 => {
                let (Some(at), Some(mask)) = (script.short(), script.byte()) else {
                    return;
                };
                let at = usize::from(at) % wire.len().max(1);
                if let Some(byte) = wire.get_mut(at).filter(|_| mask != 0) {
                    *byte ^= mask;
                    damaged = true;
                }
            }
            3 => {
                let Some(bytes) = script.piece() else { return };
                wire.extend_from_slice(bytes);
                damaged |= !bytes.is_empty();
            }
            _ => {
                let Some(len) = script.short() else { return };
                let len = usize::from(len).min(wire.len());
                arrived.extend(wire.drain(..len));
                if !open(&mut ingress, &mut arrived, &mut sealed, damaged) {
                    return;
                }
            }
        }
    }
    if !damaged {
        arrived.append(&mut wire);
        let whole = open(&mut ingress, &mut arrived, &mut sealed, false);
        assert!(!whole || sealed.is_empty(), "what was sealed comes out");
    }
}

/// Whether the stream is still whole.
fn open(
    ingress: &mut Ingress,
    arrived: &mut Vec<u8>,
    sealed: &mut VecDeque<Vec<u8>>,
    damaged: bool,
) -> bool {
    let mut at = 0;
    loop {
        match ingress.next(arrived, &mut at, BODY_LEN_MAX) {
            Ok(Some(body)) => {
                assert_eq!(Some(body), sealed.pop_front().as_deref(), "in its order");
                assert!((1..=BODY_LEN_MAX).contains(&body.len()));
            }
            Ok(None) => break,
            Err(error) => {
                let expected = sealed.front().map_or(0, Vec::len);
                match error {
                    FrameError::HeaderMac | FrameError::BodyMac => assert!(damaged, "{error}"),
                    FrameError::Empty => assert_eq!(expected, 0),
                    FrameError::TooLong { len, .. } => assert_eq!(expected, len),
                }
                return false;
            }
        }
    }
    arrived.drain(..at);
    true
}

/// One connection that was accepted, from the moment at which its peer is known.
pub fn session(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new();
    while let Some(choice) = script.below(13) {
        if run.step(choice, &mut script).is_none() {
            return;
        }
        run.drain();
    }
}

/// Both ends of the connection under test, and what was seen of it.
struct Run {
    clock: Clock,
    session: Session,
    egress: Egress,
    ingress: Ingress,
    /// Bytes for the session that it is not to read yet: it is asked one read at a time before it is let in.
    waiting: Vec<u8>,
    written: Vec<u8>,
    admitted: bool,
    established: bool,
    open: bool,
    closed: bool,
    pongs: u32,
}

impl Run {
    fn new() -> Run {
        let clock = Clock::new();
        let halves = (sender(1), receiver(2));
        let session = Session::known(clock.now(), config(), Direction::Accepted, *peer(), halves);
        Run {
            clock,
            session,
            egress: sender(2),
            ingress: receiver(1),
            waiting: Vec::new(),
            written: Vec::new(),
            admitted: false,
            established: false,
            open: false,
            closed: false,
            pongs: 0,
        }
    }

    /// Nothing where the script ends.
    fn step(&mut self, choice: u8, script: &mut Script<'_>) -> Option<()> {
        match choice {
            0 => {
                let own = if script.below(8)? == 0 {
                    stranger()
                } else {
                    peer()
                };
                self.say(0, &Hello::encode("peer", &[SHH], own));
            }
            1 => {
                let (code, payload) = (script.byte()?, script.piece()?);
                self.say(u64::from(code), payload);
            }
            2 => {
                let (code, payload) = (script.byte()?, script.piece()?);
                let packed = snappy::deflate(payload).expect("short enough");
                self.say(u64::from(code), &packed);
            }
            3 => {
                let (code, payload, times) = (script.byte()?, script.piece()?, script.byte()?);
                let packed = snappy::deflate(&payload.repeat(usize::from(times)));
                self.say(u64::from(code), &packed.expect("short enough"));
            }
            4 => {
                let (code, payload) = (script.piece()?, script.piece()?);
                let sealed = self.egress.seal(code, payload).expect("short enough");
                self.waiting.extend(sealed);
            }
            5 => {
                let raw = script.piece()?;
                self.waiting.extend_from_slice(raw);
            }
            6 => {
                self.admitted = true;
                self.handle(Input::Admit);
            }
            7 => {
                let (capability, code, payload) =
                    (script.below(2)?, script.byte()?, script.piece()?);
                self.handle(Input::Send {
                    capability: usize::from(capability),
                    code: u64::from(code),
                    payload,
                });
            }
            8 => {
                let reason = DisconnectReason::from_code(script.byte()?);
                self.handle(Input::Disconnect(reason));
            }
            9 => {
                self.pongs = 0;
                self.handle(Input::Flushed);
            }
            10 => self.handle(Input::Progress),
            11 => {
                self.clock.advance(u64::from(script.short()?));
                self.tick();
            }
            _ => {
                let len = usize::from(script.short()?).min(self.waiting.len());
                if self.admitted {
                    let bytes: Vec<u8> = self.waiting.drain(..len).collect();
                    self.handle(Input::Bytes(&bytes));
                }
            }
        }
        Some(())
    }

    fn say(&mut self, code: u64, payload: &[u8]) {
        let sealed = self.egress.seal(&rlp::encode_uint(code), payload);
        self.waiting.extend(sealed.expect("short enough"));
    }

    fn handle(&mut self, input: Input<'_>) {
        self.session.handle(self.clock.now(), input);
    }

    fn tick(&mut self) {
        let due = self.session.next_deadline();
        self.handle(Input::Tick);
        let now = self.clock.now().mono;
        if due.is_some_and(|due| due <= now) {
            let next = self.session.next_deadline();
            assert!(next.is_none_or(|next| next > now), "nothing is due twice");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "nothing follows the end: {output:?}");
            match output {
                Output::Write(bytes) => self.written.extend(bytes),
                Output::Identified(_) => assert!(!self.admitted, "it is asked for once"),
                Output::Established(established) => {
                    assert!(self.admitted && !self.established);
                    assert_eq!(established.public_key, *peer());
                    self.established = true;
                }
                Output::Message {
                    capability,
                    code,
                    payload,
                } => {
                    assert!(self.established && capability == 0 && code < SHH.len);
                    let max = if self.open {
                        PACKET_LEN_MAX
                    } else {
                        FIRST_PAYLOAD_LEN_MAX
                    };
                    assert!(payload.len() <= max, "{} bytes", payload.len());
                    self.open |= code == 0;
                }
                Output::Closed(_) => self.closed = true,
            }
        }
        assert_eq!(self.session.next_deadline().is_none(), self.closed);
        assert!(
            self.session.held() <= HELD_LEN_MAX,
            "{} bytes",
            self.session.held()
        );
        self.listen();
    }

    /// The peer understands every frame, and gets no more pongs than it takes.
    fn listen(&mut self) {
        let mut at = 0;
        while let Some(body) = self
            .ingress
            .next(&mut self.written, &mut at, 1 << 24)
            .expect("we send good frames")
        {
            self.pongs += u32::from(body[0] == PONG);
        }
        self.written.drain(..at);
        assert!(self.pongs <= 1, "{} pongs wait to be taken", self.pongs);
    }
}

fn sender(number: u8) -> Egress {
    Egress::new(&[number; 32], &[number; 32], state(number))
}

fn receiver(number: u8) -> Ingress {
    Ingress::new(&[number; 32], &[number; 32], state(number))
}

fn state(number: u8) -> Hasher {
    let mut state = Hasher::new();
    state.absorb(&[number]);
    state
}

/// The same in every run: its public key is computed once.
fn config() -> Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    let made = CONFIG.get_or_init(|| {
        Arc::new(Config {
            key: key(1),
            client_name: "fuzzed".to_owned(),
            capabilities: vec![SHH],
            packet_len_max: PACKET_LEN_MAX,
        })
    });
    Arc::clone(made)
}

fn stranger() -> &'static PublicKey {
    static STRANGER: OnceLock<PublicKey> = OnceLock::new();
    STRANGER.get_or_init(|| key(3).public())
}

fn peer() -> &'static PublicKey {
    static PEER: OnceLock<PublicKey> = OnceLock::new();
    PEER.get_or_init(|| key(2).public())
}

/// Longest body that the target `frame` takes.
const BODY_LEN_MAX: usize = 4096;
/// Longest packet that the target `session` takes.
const PACKET_LEN_MAX: usize = 8192;
/// One whole frame of such a packet that does not compress, and what arrives with its last byte.
const HELD_LEN_MAX: usize = 2 * PACKET_LEN_MAX + (1 << 16);
const PONG: u8 = 3;
