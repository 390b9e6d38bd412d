//! One connection: bytes in, messages out, and the other way round.
//!
//! ```text
//! accepted  Auth ──auth in, ack out──▶ Admission ──admitted, Hello out──▶ Hello ──Hello in──▶ Running
//! dialled   Ack ────────ack in───────▶ Admission                                              │
//!                                        any ──Disconnect, broken rule, timeout──▶ Closed ◀───┘
//! ```
//!
//! The owner feeds [`Input`]s, drains every [`Output`] after each, and calls again with [`Input::Tick`] at the deadline.
//! Once the handshake has proved who is there, the owner is asked whether to let it in; a refusal goes out uncompressed, in
//! place of the Hello, as geth does. What a stranger can make us hold is bounded by the state: a handshake packet, then a
//! Hello, then one small first message, and only after a subprotocol was opened the configured packet length.
//! Spec: RLPx; devp2p base protocol.

mod error;
mod stage;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

pub use self::error::Error;
use self::stage::{Link, Running, Stage};
use super::Direction;
use super::capability::{self, Capability, Shared};
use super::disconnect::DisconnectReason;
#[cfg(any(test, feature = "fuzzing"))]
use super::frame::{Egress, Ingress};
use super::handshake::{Ack, Auth, Form, NONCE_LEN, Opener};
use super::hello::{Hello, HelloError};
use super::payload::Payload;
use super::secrets::{Exchange, Secrets};
use super::snappy;
use crate::identity::{PublicKey, SecretKey};
use crate::limits::{
    BASE_PAYLOAD_LEN_MAX, CODE_LEN_MAX, FIRST_PAYLOAD_LEN_MAX, HANDSHAKE_TIMEOUT, PING_INTERVAL,
    READ_TIMEOUT, WRITE_TIMEOUT,
};
use crate::now::Now;
use crate::rlp::{self, Item};

/// What all connections of a node have in common.
pub struct Config {
    /// Our static key.
    pub key: SecretKey,
    /// What we call ourselves.
    pub client_name: String,
    /// What we speak.
    pub capabilities: Vec<Capability>,
    /// Longest payload of a subprotocol that we take.
    pub packet_len_max: usize,
}

/// What happens to a connection.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// The peer that [`Output::Identified`] named may come in.
    Admit,
    /// A message is to be sent.
    Send {
        /// The subprotocol, by its place in [`Established::capabilities`].
        capability: usize,
        /// The code within it.
        code: u64,
        /// Its payload.
        payload: &'a [u8],
    },
    /// The same, for a payload that other connections send too.
    Share {
        /// The subprotocol, by its place in [`Established::capabilities`].
        capability: usize,
        /// The code within it.
        code: u64,
        /// Its payload.
        payload: &'a Payload,
    },
    /// The connection is to end.
    Disconnect(DisconnectReason),
    /// We do not read at the moment: that nothing comes is not the peer's fault.
    Unread,
    /// The peer took some of the bytes.
    Progress,
    /// The peer took all of the bytes.
    Flushed,
    /// A deadline passed.
    Tick,
}

/// What a connection wants done.
#[derive(Debug)]
pub enum Output {
    /// Bytes to send, in order.
    Write(Vec<u8>),
    /// The handshake proved who is there: answer with [`Input::Admit`] or [`Input::Disconnect`].
    Identified(PublicKey),
    /// Both Hellos are through.
    Established(Established),
    /// A message of a subprotocol.
    Message {
        /// The subprotocol, by its place in [`Established::capabilities`].
        capability: usize,
        /// The code within it.
        code: u64,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// It is over: send what is written, then close. Nothing follows.
    Closed(Closed),
}

/// Who is there and what can be spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// The static key of the peer.
    pub public_key: PublicKey,
    /// What the peer calls itself.
    pub client_name: String,
    /// The version of its base protocol.
    pub version: u64,
    /// What both speak.
    pub capabilities: Vec<Shared>,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// We were told to end it.
    Ours(DisconnectReason),
    /// The peer ended it.
    Theirs(DisconnectReason),
    /// It broke.
    Broken(Error),
}

/// One connection.
pub struct Session {
    config: Arc<Config>,
    direction: Direction,
    rng: ChaCha20Rng,
    stage: Stage,
    /// What has arrived of a packet or a frame that is not complete.
    arrived: Vec<u8>,
    outputs: VecDeque<Output>,
    opened: Instant,
    /// When the last complete message arrived.
    heard: Instant,
    pinged: Instant,
    /// Since when the peer takes nothing, while there is something to take.
    stalled: Option<Instant>,
    pong: Pong,
}

/// At most one pong waits to be taken and one more is owed, whatever the number of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pong {
    Idle,
    Waiting,
    Owed,
}

impl Session {
    /// A connection that we opened to whoever holds this key. The seed must be fresh.
    pub fn dial(now: Now, config: Arc<Config>, remote: PublicKey, seed: [u8; 32]) -> Session {
        let mut session = Session::new(
            now,
            config,
            Direction::Dialled,
            seed,
            Stage::Auth {
                opener: Opener::auth(),
            },
        );
        let ephemeral = SecretKey::generate(&mut session.rng);
        let nonce = session.nonce();
        let auth = Auth::seal(
            Form::Eip8,
            &session.config.key,
            &ephemeral,
            &nonce,
            &remote,
            &mut session.rng,
        );
        session.write(now.mono, auth.clone());
        session.stage = Stage::Ack {
            opener: Opener::ack(),
            remote,
            ephemeral,
            nonce,
            auth,
        };
        session
    }

    /// A connection that somebody opened to us. The seed must be fresh.
    pub fn accept(now: Now, config: Arc<Config>, seed: [u8; 32]) -> Session {
        Session::new(
            now,
            config,
            Direction::Accepted,
            seed,
            Stage::Auth {
                opener: Opener::auth(),
            },
        )
    }

    fn new(
        now: Now,
        config: Arc<Config>,
        direction: Direction,
        seed: [u8; 32],
        stage: Stage,
    ) -> Session {
        Session {
            config,
            direction,
            rng: ChaCha20Rng::from_seed(seed),
            stage,
            arrived: Vec::new(),
            outputs: VecDeque::new(),
            opened: now.mono,
            heard: now.mono,
            pinged: now.mono,
            stalled: None,
            pong: Pong::Idle,
        }
    }

    /// A connection whose handshake is behind it, for the fuzz targets: they cannot afford one per input.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn known(
        now: Now,
        config: Arc<Config>,
        direction: Direction,
        remote: PublicKey,
        (egress, ingress): (Egress, Ingress),
    ) -> Session {
        let link = Box::new(Link { egress, ingress });
        let stage = Stage::Admission { remote, link };
        Session::new(now, config, direction, [7; 32], stage)
    }

    /// Bytes that have arrived and are not read.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn held(&self) -> usize {
        self.arrived.len()
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        let result = match input {
            Input::Bytes(bytes) => self.read(now.mono, bytes),
            Input::Admit => self.admit(now.mono),
            Input::Send {
                capability,
                code,
                payload,
            } => self.send(now.mono, capability, code, payload),
            Input::Share {
                capability,
                code,
                payload,
            } => self.share(now.mono, capability, code, payload),
            Input::Disconnect(reason) => {
                self.close(now.mono, Some(reason), Closed::Ours(reason));
                Ok(())
            }
            Input::Unread => {
                self.heard = now.mono;
                Ok(())
            }
            Input::Progress => {
                self.stalled = self.stalled.map(|_| now.mono);
                Ok(())
            }
            Input::Flushed => self.flushed(now.mono),
            Input::Tick => self.tick(now.mono),
        };
        if let Err(error) = result {
            self.close(now.mono, error.reason(), Closed::Broken(error));
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let write = self.stalled.map(|since| since + WRITE_TIMEOUT);
        let other = match &self.stage {
            Stage::Closed => return None,
            Stage::Running(_) => (self.pinged + PING_INTERVAL).min(self.heard + READ_TIMEOUT),
            Stage::Auth { .. }
            | Stage::Ack { .. }
            | Stage::Admission { .. }
            | Stage::Hello { .. } => self.opened + HANDSHAKE_TIMEOUT,
        };
        Some(write.map_or(other, |write| write.min(other)))
    }

    /// Which end opened it.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    fn tick(&mut self, now: Instant) -> Result<(), Error> {
        if self
            .stalled
            .is_some_and(|since| now >= since + WRITE_TIMEOUT)
        {
            return Err(Error::WriteTimeout);
        }
        match &self.stage {
            Stage::Running(_) => {
                if now >= self.heard + READ_TIMEOUT {
                    return Err(Error::ReadTimeout);
                }
                if now >= self.pinged + PING_INTERVAL {
                    self.pinged = now;
                    self.send_base(now, PING, &EMPTY_LIST)?;
                }
                Ok(())
            }
            Stage::Auth { .. }
            | Stage::Ack { .. }
            | Stage::Admission { .. }
            | Stage::Hello { .. } => {
                if now >= self.opened + HANDSHAKE_TIMEOUT {
                    Err(Error::HandshakeTimeout)
                } else {
                    Ok(())
                }
            }
            Stage::Closed => Ok(()),
        }
    }

    /// Reads as many packets and messages as there are. Whatever is decrypted is decrypted in place.
    fn read(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.extend_from_slice(bytes);
        let mut at = 0;
        let result = loop {
            match self.step(now, &mut arrived, &mut at) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        arrived.drain(..at);
        if arrived.is_empty() {
            // A peer that once sent a large packet does not keep its room.
            arrived = Vec::new();
        }
        self.arrived = arrived;
        result
    }

    /// Reads one packet or message, if it is complete and of use in this state.
    fn step(&mut self, now: Instant, arrived: &mut [u8], at: &mut usize) -> Result<bool, Error> {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Auth { mut opener } => {
                let found = opener
                    .open(&self.config.key, &arrived[*at..])
                    .map_err(Error::Handshake)?;
                let Some(opened) = found else {
                    self.stage = Stage::Auth { opener };
                    return Ok(false);
                };
                let auth = Auth::parse(&self.config.key, &opened).map_err(Error::Handshake)?;
                self.accept_auth(now, &auth, &arrived[*at..*at + opened.len]);
                *at += opened.len;
                Ok(true)
            }
            Stage::Ack {
                mut opener,
                remote,
                ephemeral,
                nonce,
                auth,
            } => {
                let found = opener
                    .open(&self.config.key, &arrived[*at..])
                    .map_err(Error::Handshake)?;
                let Some(opened) = found else {
                    self.stage = Stage::Ack {
                        opener,
                        remote,
                        ephemeral,
                        nonce,
                        auth,
                    };
                    return Ok(false);
                };
                let ack = Ack::parse(&opened).map_err(Error::Handshake)?;
                self.identified(
                    remote,
                    &Exchange {
                        direction: self.direction,
                        ephemeral: &ephemeral,
                        remote_ephemeral: &ack.ephemeral,
                        initiator_nonce: &nonce,
                        recipient_nonce: &ack.nonce,
                        auth: &auth,
                        ack: &arrived[*at..*at + opened.len],
                    },
                );
                *at += opened.len;
                Ok(true)
            }
            // The owner answers before it reads on, so no more than one read waits here.
            stage @ (Stage::Admission { .. } | Stage::Closed) => {
                self.stage = stage;
                Ok(false)
            }
            Stage::Hello { remote, mut link } => {
                let Some(body) = link
                    .ingress
                    .next(arrived, at, BASE_FRAME_LEN_MAX)
                    .map_err(Error::Frame)?
                else {
                    self.stage = Stage::Hello { remote, link };
                    return Ok(false);
                };
                // Back first, so that a Disconnect can still be sent.
                self.stage = Stage::Hello { remote, link };
                self.hello(now, remote, body)?;
                Ok(true)
            }
            Stage::Running(mut running) => {
                let len_max = running.frame_len_max(self.config.packet_len_max);
                let body = running.link.ingress.next(arrived, at, len_max);
                self.stage = Stage::Running(running);
                let Some(body) = body.map_err(Error::Frame)? else {
                    return Ok(false);
                };
                self.message(now, body)?;
                Ok(!matches!(self.stage, Stage::Closed))
            }
        }
    }

    /// Answers an auth in its own form.
    fn accept_auth(&mut self, now: Instant, auth: &Auth, packet: &[u8]) {
        let ephemeral = SecretKey::generate(&mut self.rng);
        let nonce = self.nonce();
        let ack = Ack::seal(
            auth.form,
            &ephemeral,
            &nonce,
            &auth.initiator,
            &mut self.rng,
        );
        self.write(now, ack.clone());
        self.identified(
            auth.initiator,
            &Exchange {
                direction: self.direction,
                ephemeral: &ephemeral,
                remote_ephemeral: &auth.ephemeral,
                initiator_nonce: &auth.nonce,
                recipient_nonce: &nonce,
                auth: packet,
                ack: &ack,
            },
        );
    }

    fn identified(&mut self, remote: PublicKey, exchange: &Exchange<'_>) {
        let (egress, ingress) = Secrets::derive(exchange).into_halves();
        self.stage = Stage::Admission {
            remote,
            link: Box::new(Link { egress, ingress }),
        };
        self.outputs.push_back(Output::Identified(remote));
    }

    fn admit(&mut self, now: Instant) -> Result<(), Error> {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Admission { remote, link } => {
                self.stage = Stage::Hello { remote, link };
                let config = Arc::clone(&self.config);
                let hello = Hello::encode(
                    &config.client_name,
                    &config.capabilities,
                    &config.key.public(),
                );
                self.send_plain(now, HELLO, &hello)?;
                self.read(now, &[])
            }
            stage => {
                self.stage = stage;
                Ok(())
            }
        }
    }

    /// The first message: a Hello, or a Disconnect in its place.
    fn hello(&mut self, now: Instant, remote: PublicKey, body: &[u8]) -> Result<(), Error> {
        let (code, payload) = split(body)?;
        if payload.len() > BASE_PAYLOAD_LEN_MAX {
            return Err(Error::HelloTooLong { len: payload.len() });
        }
        match code {
            HELLO => {}
            DISCONNECT => {
                self.close(now, None, Closed::Theirs(DisconnectReason::decode(payload)));
                return Ok(());
            }
            code => return Err(Error::ExpectedHello { code }),
        }
        let hello = Hello::decode(payload).map_err(Error::Hello)?;
        let theirs = hello
            .capabilities
            .iter()
            .map(|(name, version)| (name.as_str(), *version));
        let shared = capability::shared(&self.config.capabilities, theirs);
        // From here on the peer reads what we send compressed, a Disconnect too.
        if let Stage::Hello { link, .. } = std::mem::replace(&mut self.stage, Stage::Closed) {
            self.stage = Stage::Running(Running {
                link,
                snappy: hello.snappy(),
                shared: shared.clone(),
                open: false,
            });
        }
        if hello.public_key != remote.to_bytes() {
            return Err(Error::UnexpectedIdentity);
        }
        if shared.is_empty() {
            return Err(Error::Useless);
        }
        self.heard = now;
        self.pinged = now;
        self.outputs.push_back(Output::Established(Established {
            public_key: remote,
            client_name: hello.client_name,
            version: hello.version,
            capabilities: shared,
        }));
        Ok(())
    }

    fn message(&mut self, now: Instant, body: &[u8]) -> Result<(), Error> {
        let (code, payload) = split(body)?;
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        self.heard = now;
        let base = code < capability::BASE_LEN;
        let len_max = if base {
            BASE_PAYLOAD_LEN_MAX
        } else {
            running.payload_len_max(self.config.packet_len_max)
        };
        let payload = if running.snappy {
            snappy::inflate(payload, len_max).map_err(Error::Snappy)?
        } else if payload.len() > len_max {
            return Err(Error::Oversized {
                len: payload.len(),
                max: len_max,
            });
        } else {
            payload.to_vec()
        };
        if base {
            return self.base_message(now, code, &payload);
        }
        let found = running
            .shared
            .iter()
            .enumerate()
            .find_map(|(at, shared)| Some((at, shared.relative(code)?)));
        let Some((capability, code)) = found else {
            return Err(Error::UnknownCode { code });
        };
        // The first message of every subprotocol has code 0; from then on it may use its full length.
        running.open |= code == 0;
        self.outputs.push_back(Output::Message {
            capability,
            code,
            payload,
        });
        Ok(())
    }

    fn base_message(&mut self, now: Instant, code: u64, payload: &[u8]) -> Result<(), Error> {
        match code {
            DISCONNECT => {
                self.close(now, None, Closed::Theirs(DisconnectReason::decode(payload)));
                Ok(())
            }
            PING => match self.pong {
                Pong::Idle => {
                    self.pong = Pong::Waiting;
                    self.send_base(now, PONG, &EMPTY_LIST)
                }
                Pong::Waiting | Pong::Owed => {
                    self.pong = Pong::Owed;
                    Ok(())
                }
            },
            // A pong says what every message says; a second Hello and the codes that nobody uses say nothing.
            _ => Ok(()),
        }
    }

    fn flushed(&mut self, now: Instant) -> Result<(), Error> {
        self.stalled = None;
        match std::mem::replace(&mut self.pong, Pong::Idle) {
            Pong::Idle | Pong::Waiting => Ok(()),
            Pong::Owed => {
                self.pong = Pong::Waiting;
                self.send_base(now, PONG, &EMPTY_LIST)
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        capability: usize,
        code: u64,
        payload: &[u8],
    ) -> Result<(), Error> {
        let (code, _) = self.place(capability, code)?;
        self.send_base(now, code, payload)
    }

    fn share(
        &mut self,
        now: Instant,
        capability: usize,
        code: u64,
        payload: &Payload,
    ) -> Result<(), Error> {
        let (code, snappy) = self.place(capability, code)?;
        let len = payload.len();
        let bytes = if snappy {
            payload
                .deflated()
                .map_err(|_| Error::PayloadTooLong { len })?
        } else {
            payload.plain()
        };
        self.send_plain(now, code, bytes)
    }

    /// The code of a subprotocol's message on this connection, and whether its payload is compressed.
    fn place(&self, capability: usize, code: u64) -> Result<(u64, bool), Error> {
        let Stage::Running(running) = &self.stage else {
            return Err(Error::NotRunning);
        };
        running
            .shared
            .get(capability)
            .filter(|shared| code < shared.capability.len)
            .map(|shared| (shared.offset + code, running.snappy))
            .ok_or(Error::NotOurCode { code })
    }

    /// Sends a message, compressed where both ends do that.
    fn send_base(&mut self, now: Instant, code: u64, payload: &[u8]) -> Result<(), Error> {
        if matches!(&self.stage, Stage::Running(running) if running.snappy) {
            let payload = snappy::deflate(payload)
                .map_err(|_| Error::PayloadTooLong { len: payload.len() })?;
            return self.send_plain(now, code, &payload);
        }
        self.send_plain(now, code, payload)
    }

    fn send_plain(&mut self, now: Instant, code: u64, payload: &[u8]) -> Result<(), Error> {
        let Some(link) = self.stage.link() else {
            return Err(Error::NotRunning);
        };
        let sealed = link.egress.seal(&rlp::encode_uint(code), payload);
        let frame = sealed.map_err(|_| Error::PayloadTooLong { len: payload.len() })?;
        self.write(now, frame);
        Ok(())
    }

    fn write(&mut self, now: Instant, bytes: Vec<u8>) {
        self.stalled.get_or_insert(now);
        self.outputs.push_back(Output::Write(bytes));
    }

    /// Says why, where that can be said, and ends.
    fn close(&mut self, now: Instant, reason: Option<DisconnectReason>, closed: Closed) {
        if let Some(reason) = reason {
            // Before the keys are there nothing can be said.
            let _ = self.send_base(now, DISCONNECT, &reason.encode());
        }
        self.stage = Stage::Closed;
        self.arrived = Vec::new();
        self.outputs.push_back(Output::Closed(closed));
    }

    fn nonce(&mut self) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        self.rng.fill_bytes(&mut nonce);
        nonce
    }
}

/// The code in front of a body, and the payload behind it.
fn split(body: &[u8]) -> Result<(u64, &[u8]), Error> {
    let (code, payload) = Item::first(body).map_err(Error::Code)?;
    Ok((code.uint().map_err(Error::Code)?, payload))
}

// Of the protocol.

const HELLO: u64 = 0;
const DISCONNECT: u64 = 1;
const PING: u64 = 2;
const PONG: u64 = 3;
/// The payload of ping and pong.
const EMPTY_LIST: [u8; 1] = [0xc0];

// Ours.

/// Longest body while only the base protocol can speak.
const BASE_FRAME_LEN_MAX: usize = BASE_PAYLOAD_LEN_MAX + CODE_LEN_MAX;

#[cfg(test)]
mod tests;
