//! The transports, with what is negotiated above them, and the addresses on which a node listens.

use std::net::{SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::mpsc;

use super::{Behaviour, behaviour};
use crate::shell::SpawnError;
use crate::shell::behaviour::{self as mix, Accepted};
use crate::shell::directory;
use crate::shell::stream::Drops;

// ---- Our constants ----

/// A connection on which nothing runs is closed after this; kept ones are dialled again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Time for TCP and the handshakes together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A swarm that listens, and the mix streams that its peers will open.
pub(in crate::shell) fn open(
    identity: Keypair,
    at: SocketAddrV4,
    drops: Arc<Drops>,
    directory: Option<directory::Behaviour>,
) -> Result<(Swarm<Behaviour>, mpsc::Receiver<Accepted>), SpawnError> {
    let failed = |source| SpawnError::Listen {
        address: at,
        source,
    };
    // The library shares ports between processes; we want to know that one is taken.
    drop(TcpListener::bind(at).map_err(failed)?);
    let transport = |error: &dyn std::error::Error| SpawnError::Transport(error.to_string());
    let (mix, streams) = mix::Behaviour::new(drops);
    let mut swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| transport(&error))?
        .with_behaviour(|identity| behaviour(identity, mix, directory))
        .map_err(|error| transport(&error))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    swarm
        .listen_on(multiaddr(at))
        .map_err(|error| match error {
            libp2p::TransportError::Other(source) => failed(source),
            libp2p::TransportError::MultiaddrNotSupported(_) => transport(&error),
        })?;
    Ok((swarm, streams))
}

pub(super) fn multiaddr(at: SocketAddrV4) -> Multiaddr {
    Multiaddr::from(*at.ip()).with(Protocol::Tcp(at.port()))
}
