//! The node under attack, and a peer that seals whatever it likes.

use std::time::Duration;

use legacy::enode::Enode;
use legacy::identity::{PublicKey, SecretKey};
use legacy::rlp::{self, Item, List};
use legacy::rlpx::Direction;
use legacy::rlpx::disconnect::DisconnectReason;
use legacy::rlpx::frame::{Egress, Ingress};
use legacy::rlpx::handshake::{Ack, Auth, Form};
use legacy::rlpx::secrets::{Exchange, Secrets};
use legacy::rlpx::snappy;
use legacy::shell::{self, Event, Handle};
use legacy::shh::{Draft, Envelope, Topic};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

// ---- The node under attack ----------------------------------------------------------------------------

pub(super) struct Victim {
    pub(super) handle: Handle,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) task: JoinHandle<()>,
}

impl Victim {
    pub(super) fn start() -> Victim {
        Victim::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut shell::Config)) -> Victim {
        let mut config = shell::Config::new(random_key());
        config.shh.min_pow = 0.0;
        change(&mut config);
        let (handle, events, task) = shell::spawn(config).expect("loopback has a free port");
        Victim {
            handle,
            events,
            task,
        }
    }

    pub(super) fn enode(&self) -> Enode {
        *self.handle.local_enode().expect("it listens")
    }

    /// Waits until so many connections have ended in one way.
    pub(super) async fn counted(&self, word: &str, count: u64) {
        let until = Instant::now() + PATIENCE;
        loop {
            let closed = self.handle.counters().await.closed;
            if closed.get(word).is_some_and(|found| *found >= count) {
                return;
            }
            assert!(
                Instant::now() < until,
                "{word} is not {count} in {closed:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An honest stranger still gets an envelope through, both ways.
    pub(super) async fn still_serves(mut self) {
        let mut honest = Victim::with(|config| config.static_peers.push(self.enode()));
        interested(&mut honest.events).await;
        for (from, to) in [
            (&honest.handle, &mut self.events),
            (&self.handle, &mut honest.events),
        ] {
            let sent = envelope(b"honest");
            from.post(sent.clone()).await.expect("a good envelope");
            while received(to).await.hash() != sent.hash() {}
        }
        for node in [honest, self] {
            node.handle.shutdown().await;
            timeout(PATIENCE, node.task)
                .await
                .expect("it ends in time")
                .expect("it ends well");
        }
    }
}

pub(super) async fn interested(events: &mut mpsc::Receiver<Event>) {
    while !matches!(next(events).await, Event::PeerInterest { .. }) {}
}

pub(super) async fn received(events: &mut mpsc::Receiver<Event>) -> Envelope {
    loop {
        if let Event::Envelope {
            envelope,
            from: Some(_),
        } = next(events).await
        {
            return (*envelope).clone();
        }
    }
}

pub(super) async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("the node runs")
}

pub(super) fn envelope(data: &[u8]) -> Envelope {
    let epoch = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    let expiry = u32::try_from(epoch).expect("before 2106") + 60;
    let salt = random();
    let draft = Draft::new(
        expiry,
        60,
        Topic::of_name("hostile"),
        &[data, &salt].concat(),
    );
    let nonce = draft
        .search(0.0001, 0)
        .run(1 << 24, || false)
        .expect("little work");
    draft.finish(nonce)
}

pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

pub(super) fn random_key() -> SecretKey {
    SecretKey::from_bytes(&random()).expect("a random key is in range")
}

/// Long for anything on loopback, short for somebody who waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

// ---- A peer that seals whatever it likes --------------------------------------------------------------

pub(super) struct Attacker {
    pub(super) stream: TcpStream,
    pub(super) key: SecretKey,
    pub(super) egress: Egress,
    pub(super) ingress: Ingress,
    pub(super) arrived: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Told(DisconnectReason),
    Eof,
}

impl Attacker {
    /// Both packets of the handshake are through, no Hello yet.
    pub(super) async fn handshake(to: &Enode, form: Form) -> Attacker {
        let stream = TcpStream::connect(to.tcp())
            .await
            .expect("the node listens");
        Attacker::on(stream, to.public_key(), form).await
    }

    /// The same as somebody in particular.
    pub(super) async fn handshake_as(key: SecretKey, to: &Enode) -> Attacker {
        let stream = TcpStream::connect(to.tcp())
            .await
            .expect("the node listens");
        Attacker::with_key(key, stream, to.public_key(), Form::Eip8).await
    }

    pub(super) async fn on(stream: TcpStream, to: &PublicKey, form: Form) -> Attacker {
        Attacker::with_key(random_key(), stream, to, form).await
    }

    pub(super) async fn with_key(
        key: SecretKey,
        mut stream: TcpStream,
        to: &PublicKey,
        form: Form,
    ) -> Attacker {
        let (ephemeral, nonce) = (random_key(), random());
        let auth = Auth::seal(
            form,
            &key,
            &ephemeral,
            &nonce,
            to,
            &mut ChaCha20Rng::from_seed(random()),
        );
        stream.write_all(&auth).await.expect("the node reads");
        let answer = read_ack(&mut stream, form).await;
        let ack = Ack::read(&key, &answer).expect("a good ack");
        assert_eq!(ack.form, form, "the answer has the form of the question");
        let (egress, ingress) = Secrets::derive(&Exchange {
            direction: Direction::Dialled,
            ephemeral: &ephemeral,
            remote_ephemeral: &ack.ephemeral,
            initiator_nonce: &nonce,
            recipient_nonce: &ack.nonce,
            auth: &auth,
            ack: &answer,
        })
        .into_halves();
        Attacker {
            stream,
            key,
            egress,
            ingress,
            arrived: Vec::new(),
        }
    }

    /// Both Hellos are through as well.
    pub(super) async fn connect(to: &Enode) -> Attacker {
        let mut attacker = Attacker::handshake(to, Form::Eip8).await;
        attacker.greet().await;
        attacker
    }

    pub(super) async fn greet(&mut self) {
        let hello = hello(&self.key.public().to_bytes(), &[("shh", 6)]);
        self.say(0, &hello).await;
        let (code, _) = self.hear().await.expect("a Hello comes first");
        assert_eq!(code, 0);
    }

    /// And the node's Status was read, and ours said.
    pub(super) async fn friend(to: &Enode) -> Attacker {
        let mut attacker = Attacker::connect(to).await;
        attacker.say_packed(STATUS, &MINIMAL_STATUS).await;
        let (code, _) = attacker.hear().await.expect("a Status comes first");
        assert_eq!(code, STATUS);
        attacker
    }

    /// Payload as it is.
    pub(super) async fn say(&mut self, code: u64, payload: &[u8]) {
        let frame = self.seal(code, payload);
        self.send(&frame).await;
    }

    pub(super) async fn say_packed(&mut self, code: u64, payload: &[u8]) {
        self.say(code, &snappy::deflate(payload).expect("short enough"))
            .await;
    }

    pub(super) fn seal(&mut self, code: u64, payload: &[u8]) -> Vec<u8> {
        self.egress
            .seal(&rlp::encode_uint(code), payload)
            .expect("short enough")
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // The node may have closed already; then reading will tell.
        drop(self.stream.write_all(bytes).await);
    }

    /// The next message, or the end of the stream.
    pub(super) async fn hear(&mut self) -> Option<(u64, Vec<u8>)> {
        loop {
            let mut at = 0;
            let body = self
                .ingress
                .next(&mut self.arrived, &mut at, 1 << 24)
                .expect("the node sends good frames");
            let message = body.map(|body| {
                let (code, payload) = Item::first(body).expect("a code");
                (code.uint().expect("a code"), payload.to_vec())
            });
            self.arrived.drain(..at);
            if message.is_some() {
                return message;
            }
            let mut buffer = vec![0; 64 * 1024];
            match timeout(PATIENCE, self.stream.read(&mut buffer))
                .await
                .expect("the node does something in time")
            {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.arrived.extend_from_slice(&buffer[..len]),
            }
        }
    }

    /// How it ends, whatever is said before.
    pub(super) async fn end(&mut self) -> End {
        while let Some((code, payload)) = self.hear().await {
            if code == DISCONNECT {
                let plain = snappy::inflate(&payload, 100).unwrap_or(payload);
                return End::Told(DisconnectReason::decode(&plain));
            }
        }
        End::Eof
    }

    /// The node still answers pings on this connection.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.say_packed(PING, &[0xc0]).await;
        while let Some((code, payload)) = self.hear().await {
            match code {
                PONG => {
                    assert_eq!(payload, [0x01, 0x00, 0xc0]);
                    return true;
                }
                DISCONNECT => return false,
                _ => {}
            }
        }
        false
    }
}

pub(super) async fn read_ack(stream: &mut TcpStream, form: Form) -> Vec<u8> {
    let mut packet = vec![0; if form == Form::Legacy { 210 } else { 2 }];
    stream.read_exact(&mut packet).await.expect("an ack");
    if form == Form::Eip8 {
        let size = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
        packet.resize(2 + size, 0);
        stream
            .read_exact(&mut packet[2..])
            .await
            .expect("the rest of it");
    }
    packet
}

/// Sends bytes and nothing else, and waits until the node closes. Says how long that took.
pub(super) async fn closes_on(to: &Enode, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(to.tcp())
        .await
        .expect("the node listens");
    let started = Instant::now();
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    // A reset is an end as well.
    drop(
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the node closes in time"),
    );
    assert!(
        answer.is_empty(),
        "nothing is said to somebody who proved nothing"
    );
    started.elapsed()
}

pub(super) fn hello(key: &[u8], capabilities: &[(&str, u64)]) -> Vec<u8> {
    let list = capabilities
        .iter()
        .fold(List::new(), |list, (name, version)| {
            list.list(List::new().bytes(name.as_bytes()).uint(*version))
        });
    List::new()
        .uint(5)
        .bytes(b"stranger")
        .list(list)
        .uint(0)
        .bytes(key)
        .finish()
}

pub(super) const DISCONNECT: u64 = 1;
pub(super) const PING: u64 = 2;
pub(super) const PONG: u64 = 3;
pub(super) const STATUS: u64 = 16;
pub(super) const ENVELOPES: u64 = 17;
pub(super) const MINIMAL_STATUS: [u8; 2] = [0xc1, 0x06];
/// The reason of everything that breaks a rule of Whisper.
pub(super) const BROKEN: End = End::Told(DisconnectReason::Subprotocol);
/// Well below the five seconds of the handshake's deadline.
pub(super) const AT_ONCE: Duration = Duration::from_secs(4);
