//! The transports, with what is negotiated above them, and the addresses on which a node listens.
//!
//! ```text
//!  TCP ─ counted ─┬──────────────┬─ Noise ─ Yamux ─┐
//!                 └─ WebSocket ──┘                 ├─▶ connections
//!  QUIC (TLS 1.3, streams of its own) ─────────────┤
//!  circuits through others ─ Noise ─ Yamux ────────┘
//! ```

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, OptionalTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Multiaddr, PeerId, Swarm, Transport, TransportError, noise, quic, relay, tcp, yamux};
use libp2p_websocket as websocket;

use super::wire::{Counted, Wire};
use crate::address;
use crate::descriptor::Place;
use crate::shell::SpawnError;
use crate::shell::reach::{self, Reach, socket};

// ---- Our constants ----

/// Time for TCP and the handshakes together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the handshake of QUIC: two round trips of a bad line. Where UDP is blocked, TCP is tried after that.
const QUIC_HANDSHAKE: Duration = Duration::from_secs(3);

/// A QUIC connection says something this often: routers forget UDP after 30 seconds and more.
const QUIC_ALIVE: Duration = Duration::from_secs(15);

/// And is gone after this silence.
const QUIC_IDLE_MS: u32 = 40_000;

/// One message of WebSocket: what Noise writes at once is below 64 KiB.
const WEBSOCKET_MESSAGE_MAX: usize = 128 * 1024;

/// The last goodbyes of QUIC may take this long: where nobody has answered yet they take three times a second, and a little.
const RELEASE_MAX: Duration = Duration::from_secs(4);

/// How often it is tried whether they are said.
const RELEASE_EVERY: Duration = Duration::from_millis(20);

/// The sockets on which QUIC listens. The library keeps them until all goodbyes are said, which is after the swarm is gone.
pub(in crate::shell) struct QuicSockets(Vec<SocketAddr>);

impl QuicSockets {
    pub(super) fn of(listen: SocketAddrV4, reach: &Reach) -> Self {
        let also = reach.also_listen.iter().filter_map(socket);
        let also = also.filter(|place| place.transport == address::Transport::Quic);
        let main = reach.quic.then_some(listen.into());
        Self(main.into_iter().chain(also.map(|place| place.at)).collect())
    }

    /// Waits until a node may start again on them, or too long.
    pub(in crate::shell) async fn released(&self) {
        let is_free = |at: &SocketAddr| UdpSocket::bind(at).is_ok();
        let all_free = async {
            while !self.0.iter().all(is_free) {
                tokio::time::sleep(RELEASE_EVERY).await;
            }
        };
        if tokio::time::timeout(RELEASE_MAX, all_free).await.is_err() {
            tracing::debug!("a socket of QUIC is still open");
        }
    }
}

/// Everything that a node speaks; with `circuits` through others, too.
pub(super) fn build(
    identity: &Keypair,
    circuits: Option<relay::client::Transport>,
    wire: &Arc<Wire>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SpawnError> {
    let noise = noise::Config::new(identity).map_err(|error| failed(&error))?;
    let tcp = || {
        let wire = wire.clone();
        tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
            .map(move |stream, _| Counted::new(stream, wire.clone()))
    };
    let plain = secured(tcp(), noise.clone());
    let mut websocket = websocket::Config::new(tcp());
    websocket.set_max_data_size(WEBSOCKET_MESSAGE_MAX);
    let websocket = secured(websocket, noise.clone());
    let mut config = quic::Config::new(identity);
    config.handshake_timeout = QUIC_HANDSHAKE;
    config.keep_alive_interval = QUIC_ALIVE;
    config.max_idle_timeout = QUIC_IDLE_MS;
    let quic = quic::tokio::Transport::new(config)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let circuits = match circuits {
        Some(circuits) => OptionalTransport::some(secured(circuits, noise)),
        None => OptionalTransport::none(),
    };
    let all = circuits
        .or_transport(websocket)
        .map(|either, _| either.into_inner())
        .or_transport(quic)
        .map(|either, _| either.into_inner())
        .or_transport(plain)
        .map(|either, _| either.into_inner());
    Ok(TransportTimeout::new(all, DIAL_TIMEOUT).boxed())
}

/// Noise and Yamux above a stream.
fn secured<T>(
    transport: T,
    noise: noise::Config,
) -> impl Transport<
    Output = (PeerId, StreamMuxerBox),
    Error: Send + Sync + 'static,
    ListenerUpgrade: Send + 'static,
    Dial: Send + 'static,
> + Send
+ Unpin
+ 'static
where
    T: Transport<
            Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
            Error: Send + Sync + 'static,
            ListenerUpgrade: Send + 'static,
            Dial: Send + 'static,
        > + Send
        + Unpin
        + 'static,
{
    transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
}

/// Listens at `at` and wherever else `reach` says.
pub(super) fn listen<B: NetworkBehaviour>(
    swarm: &mut Swarm<B>,
    at: SocketAddrV4,
    reach: &Reach,
) -> Result<(), SpawnError> {
    let taken = |source| SpawnError::Listen {
        address: at,
        source,
    };
    // The library shares ports of TCP between processes; we want to know that one is taken.
    drop(TcpListener::bind(at).map_err(taken)?);
    listen_on(swarm, multiaddr(at)).map_err(taken)?;
    if reach.quic {
        listen_on(swarm, quic_multiaddr(at)).map_err(taken)?;
    }
    for address in &reach.also_listen {
        listen_on(swarm, address.clone()).map_err(|source| SpawnError::AlsoListen {
            address: address.clone(),
            source,
        })?;
    }
    Ok(())
}

fn listen_on<B: NetworkBehaviour>(swarm: &mut Swarm<B>, address: Multiaddr) -> io::Result<()> {
    match swarm.listen_on(address) {
        Ok(_) => Ok(()),
        Err(TransportError::Other(source)) => Err(source),
        Err(error @ TransportError::MultiaddrNotSupported(_)) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, error))
        }
    }
}

fn failed(error: &dyn std::error::Error) -> SpawnError {
    SpawnError::Transport(error.to_string())
}

/// An address over TCP.
pub(super) fn multiaddr(at: impl Into<SocketAddr>) -> Multiaddr {
    reach::multiaddr(Place {
        transport: address::Transport::Tcp,
        at: at.into(),
    })
}

/// The same host and port number over QUIC.
pub(super) fn quic_multiaddr(at: impl Into<SocketAddr>) -> Multiaddr {
    reach::multiaddr(Place {
        transport: address::Transport::Quic,
        at: at.into(),
    })
}
