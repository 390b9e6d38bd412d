//! A peer that seals whatever it likes, from any address of loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use legacy::enode::Enode;
use legacy::identity::SecretKey;
use legacy::rlp::{self, Item, List};
use legacy::rlpx::Direction;
use legacy::rlpx::frame::{Egress, Ingress};
use legacy::rlpx::handshake::{Ack, Auth, Form};
use legacy::rlpx::secrets::{Exchange, Secrets};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;
use super::inputs::{packed, status};
use super::target::{random, random_key};

/// Connects from one of sixteen addresses of this machine.
pub(super) async fn connect(to: &Enode, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number % ADDRESSES).unwrap());
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to.tcp()).await
}

/// Who an attacker says that it is. Its auth is good for any number of connections.
pub(super) struct Identity {
    pub(super) key: SecretKey,
    ephemeral: SecretKey,
    nonce: [u8; 32],
    auth: Vec<u8>,
}

impl Identity {
    pub(super) fn new(node: &Enode) -> Identity {
        let (key, ephemeral, nonce) = (random_key(), random_key(), random());
        let mut rng = ChaCha20Rng::from_seed(random());
        let auth = Auth::seal(
            Form::Eip8,
            &key,
            &ephemeral,
            &nonce,
            node.public_key(),
            &mut rng,
        );
        Identity {
            key,
            ephemeral,
            nonce,
            auth,
        }
    }
}

/// A connection whose keys are agreed on.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    egress: Egress,
    ingress: Ingress,
    arrived: Vec<u8>,
    unsent: Vec<u8>,
}

impl Link {
    /// Both packets of the handshake. Nothing where the node will not have it.
    pub(super) async fn open(to: &Enode, number: usize, own: &Identity) -> Option<Link> {
        let mut stream = connect(to, number).await.ok()?;
        stream.write_all(&own.auth).await.ok()?;
        let mut ack = vec![0; 2];
        stream.read_exact(&mut ack).await.ok()?;
        let size = usize::from(u16::from_be_bytes([ack[0], ack[1]]));
        ack.resize(2 + size, 0);
        stream.read_exact(&mut ack[2..]).await.ok()?;
        let read = Ack::read(&own.key, &ack).expect("the node sends good acks");
        let (egress, ingress) = Secrets::derive(&Exchange {
            direction: Direction::Dialled,
            ephemeral: &own.ephemeral,
            remote_ephemeral: &read.ephemeral,
            initiator_nonce: &own.nonce,
            recipient_nonce: &read.nonce,
            auth: &own.auth,
            ack: &ack,
        })
        .into_halves();
        Some(Link {
            stream,
            egress,
            ingress,
            arrived: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Both Hellos and both Statuses as well.
    pub(super) async fn befriend(to: &Enode, number: usize, own: &Identity) -> Option<Link> {
        let mut link = Link::open(to, number, own).await?;
        let hello = List::new()
            .uint(5)
            .bytes(b"stranger")
            .list(List::new().list(List::new().bytes(b"shh").uint(6)))
            .uint(0)
            .bytes(&own.key.public().to_bytes())
            .finish();
        link.say(0, &hello);
        link.say(STATUS, &packed(&status()));
        link.flush().await?;
        link.until(STATUS).await.then_some(link)
    }

    /// Seals a message, to be sent with others.
    pub(super) fn say(&mut self, code: u64, payload: &[u8]) {
        let frame = self.egress.seal(&rlp::encode_uint(code), payload);
        self.unsent.extend(frame.unwrap());
    }

    /// What was sealed and not sent: to be damaged.
    pub(super) fn unsent(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    pub(super) async fn flush(&mut self) -> Option<()> {
        let sent = timeout(PATIENCE, self.stream.write_all(&self.unsent)).await;
        self.unsent.clear();
        sent.expect("the node reads").ok()
    }

    /// Reads until the node says this. False: it ended the connection.
    pub(super) async fn until(&mut self, code: u64) -> bool {
        loop {
            let mut at = 0;
            while let Some(body) = self
                .ingress
                .next(&mut self.arrived, &mut at, 1 << 24)
                .expect("the node sends good frames")
            {
                let (said, _) = Item::first(body).unwrap();
                match said.uint().unwrap() {
                    DISCONNECT => return false,
                    said if said == code => {
                        self.arrived.drain(..at);
                        return true;
                    }
                    _ => {}
                }
            }
            self.arrived.drain(..at);
            let mut buffer = [0; 16 * 1024];
            let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            match read.expect("the node does something in time") {
                Ok(0) | Err(_) => return false,
                Ok(len) => self.arrived.extend_from_slice(&buffer[..len]),
            }
        }
    }

    /// Everything so far was read, and the node is still there.
    pub(super) async fn sync(&mut self) -> bool {
        self.say(PING, &[0x01, 0x00, 0xc0]);
        self.flush().await.is_some() && self.until(PONG).await
    }
}

/// Reads until the node closes, and says whether it did so in time.
pub(super) async fn drained(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    let reading = async { while stream.read(&mut buffer).await.is_ok_and(|len| len > 0) {} };
    timeout(PATIENCE, reading).await.is_ok()
}

/// Ends a connection in both directions at once, so that no port waits.
pub(super) fn reset(stream: &TcpStream) {
    // It only saves ports of this machine.
    let _ = stream.set_zero_linger();
}

pub(super) const SHH: u64 = 16;
const STATUS: u64 = SHH;
const DISCONNECT: u64 = 1;
const PING: u64 = 2;
const PONG: u64 = 3;
/// Addresses that attackers come from: 127.0.0.2 and the next fifteen.
const ADDRESSES: usize = 16;
/// How long an attacker waits before it tries again where the node would not have it.
pub(super) const AGAIN: Duration = Duration::from_millis(20);
