//! Asks the gateway to let peers in: UPnP, and PCP or its predecessor NAT-PMP.
//!
//! ```text
//! ask for TCP and UDP ──▶ mapped for 20 minutes ──every 15──▶ asked again … ──shutdown──▶ both taken back
//! ```
//!
//! What the gateway answers goes to discovery, which puts it into our record. A gateway that does not answer is no reason
//! to stop: one warning says so, and it is asked again at the next turn. Spec: NAT mapping of go-ethereum.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{PortMappingProtocol, SearchOptions};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::discv4::endpoint::is_lan;

/// How others reach us behind a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatPolicy {
    /// As we are: nothing is asked.
    #[default]
    None,
    /// By UPnP.
    Upnp,
    /// By PCP or NAT-PMP.
    Pmp,
    /// By whichever answers.
    Any,
    /// At this address, which somebody has arranged.
    External(IpAddr),
}

impl FromStr for NatPolicy {
    type Err = NatPolicyError;

    fn from_str(text: &str) -> Result<NatPolicy, NatPolicyError> {
        match text {
            "none" => Ok(NatPolicy::None),
            "upnp" => Ok(NatPolicy::Upnp),
            "pmp" => Ok(NatPolicy::Pmp),
            "any" => Ok(NatPolicy::Any),
            _ => {
                let ip = text.strip_prefix(EXTERNAL).ok_or(NatPolicyError::Word)?;
                let ip: IpAddr = ip.parse().map_err(|_| NatPolicyError::Address)?;
                if ip.is_unspecified() {
                    return Err(NatPolicyError::Address);
                }
                Ok(NatPolicy::External(ip.to_canonical()))
            }
        }
    }
}

impl fmt::Display for NatPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NatPolicy::None => f.write_str("none"),
            NatPolicy::Upnp => f.write_str("upnp"),
            NatPolicy::Pmp => f.write_str("pmp"),
            NatPolicy::Any => f.write_str("any"),
            NatPolicy::External(ip) => write!(f, "{EXTERNAL}{ip}"),
        }
    }
}

/// Why a text is no policy.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatPolicyError {
    /// None of the words.
    #[error("it is none, upnp, pmp, any, or extip: and an IP address")]
    Word,
    /// After `extip:` comes something else.
    #[error("after extip: comes an IP address that others can reach")]
    Address,
}

/// How others reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) ip: IpAddr,
    pub(super) udp_port: u16,
    pub(super) tcp_port: u16,
}

/// Our own ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) udp: NonZeroU16,
    pub(super) tcp: NonZeroU16,
}

/// Where gateways are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Where {
    /// Where a search by UPnP goes.
    upnp: SocketAddr,
    /// The gateway for PCP; none: this machine's own.
    pmp: Option<Ipv4Addr>,
}

impl Default for Where {
    fn default() -> Where {
        Where {
            upnp: SocketAddr::from(([239, 255, 255, 250], 1900)),
            pmp: None,
        }
    }
}

/// A gateway that has let us in.
enum Opened {
    Upnp {
        gateway: Box<Gateway<Tokio>>,
        ports: Ports,
        local: IpAddr,
        udp_port: u16,
        tcp_port: u16,
    },
    Pmp {
        udp: Box<PortMapping>,
        tcp: Box<PortMapping>,
    },
}

/// Keeps us reachable until it is told to stop, then takes everything back.
pub(super) async fn run(
    policy: NatPolicy,
    ports: Ports,
    place: Where,
    mapped: mpsc::Sender<Mapped>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut opened: Option<Opened> = None;
    let mut warned = false;
    loop {
        let turn = async {
            let asked = match opened.take() {
                Some(opened) => renew(opened).await,
                None => open(policy, ports, place).await,
            };
            match asked {
                Ok((now_open, how)) => {
                    opened = Some(now_open);
                    announce(how, &mapped, &mut warned).await;
                }
                Err(error) if !warned => {
                    warned = true;
                    warn!(%error, "no gateway lets Whisper peers in; forward the port by hand, or set whisper.nat to none");
                }
                Err(_) => {}
            }
            sleep(REFRESH_INTERVAL).await;
        };
        tokio::select! {
            () = turn => {}
            _ = &mut stopped => break,
        }
    }
    if let Some(opened) = opened {
        // What stays is forgotten by the gateway in 20 minutes.
        let _ = timeout(CLOSE_TIMEOUT, close(opened)).await;
    }
}

async fn announce(how: Mapped, mapped: &mpsc::Sender<Mapped>, warned: &mut bool) {
    if !is_lan(how.ip) {
        info!("a gateway lets Whisper peers in");
        // Where nobody takes it we are about to stop.
        let _ = mapped.send(how).await;
    } else if !*warned {
        *warned = true;
        warn!(
            "the gateway that lets Whisper peers in is itself behind another one; peers cannot reach us by it"
        );
    }
}

async fn open(policy: NatPolicy, ports: Ports, place: Where) -> Result<(Opened, Mapped), NatError> {
    match policy {
        NatPolicy::Upnp => upnp(ports, place.upnp).await,
        NatPolicy::Pmp => pmp(ports, place.pmp).await,
        NatPolicy::Any => match pmp(ports, place.pmp).await {
            Ok(opened) => Ok(opened),
            Err(_) => upnp(ports, place.upnp).await,
        },
        NatPolicy::None | NatPolicy::External(_) => Err(NatError::NotAsked),
    }
}

async fn renew(opened: Opened) -> Result<(Opened, Mapped), NatError> {
    match opened {
        Opened::Upnp {
            gateway,
            ports,
            local,
            ..
        } => open_upnp(gateway, ports, local).await,
        Opened::Pmp { mut udp, mut tcp } => {
            udp.renew().await.map_err(NatError::pmp)?;
            tcp.renew().await.map_err(NatError::pmp)?;
            described(udp, tcp).await
        }
    }
}

async fn close(opened: Opened) {
    match opened {
        Opened::Upnp {
            gateway,
            udp_port,
            tcp_port,
            ..
        } => {
            let _ = gateway
                .remove_port(PortMappingProtocol::TCP, tcp_port)
                .await;
            let _ = gateway
                .remove_port(PortMappingProtocol::UDP, udp_port)
                .await;
        }
        Opened::Pmp { udp, tcp } => {
            let _ = tcp.try_drop().await;
            let _ = udp.try_drop().await;
        }
    }
}

async fn upnp(ports: Ports, search: SocketAddr) -> Result<(Opened, Mapped), NatError> {
    let options = SearchOptions {
        broadcast_address: search,
        timeout: Some(SEARCH_TIMEOUT),
        ..SearchOptions::default()
    };
    let gateway = search_gateway(options).await.map_err(NatError::upnp)?;
    let local = local_ip(gateway.addr).ok_or(NatError::NoRoute)?;
    open_upnp(Box::new(gateway), ports, local).await
}

async fn open_upnp(
    gateway: Box<Gateway<Tokio>>,
    ports: Ports,
    local: IpAddr,
) -> Result<(Opened, Mapped), NatError> {
    // The library waits for ever.
    let asked = timeout(REQUEST_TIMEOUT, async {
        let tcp = SocketAddr::new(local, ports.tcp.get());
        let udp = SocketAddr::new(local, ports.udp.get());
        let tcp_port = map_by_upnp(&gateway, PortMappingProtocol::TCP, tcp).await?;
        let udp_port = map_by_upnp(&gateway, PortMappingProtocol::UDP, udp).await?;
        let ip = gateway.get_external_ip().await.map_err(NatError::upnp)?;
        Ok((tcp_port, udp_port, ip))
    });
    let (tcp_port, udp_port, ip) = asked.await.map_err(|_| NatError::Silent)??;
    let opened = Opened::Upnp {
        gateway,
        ports,
        local,
        udp_port,
        tcp_port,
    };
    let mapped = Mapped {
        ip: ip.to_canonical(),
        udp_port,
        tcp_port,
    };
    Ok((opened, mapped))
}

/// The same port outside, or any if that is taken.
async fn map_by_upnp(
    gateway: &Gateway<Tokio>,
    protocol: PortMappingProtocol,
    local: SocketAddr,
) -> Result<u16, NatError> {
    let seconds = LIFETIME_S;
    let same = gateway.add_port(protocol, local.port(), local, seconds, DESCRIPTION);
    if same.await.is_ok() {
        return Ok(local.port());
    }
    gateway
        .add_any_port(protocol, local, seconds, DESCRIPTION)
        .await
        .map_err(NatError::upnp)
}

async fn pmp(ports: Ports, gateway: Option<Ipv4Addr>) -> Result<(Opened, Mapped), NatError> {
    let gateway = gateway.or_else(default_gateway).ok_or(NatError::NoRoute)?;
    let local = local_ip(SocketAddr::from((gateway, crab_nat::GATEWAY_PORT)));
    let local = local.ok_or(NatError::NoRoute)?;
    let udp = map_by_pmp(gateway, local, InternetProtocol::Udp, ports.udp).await?;
    let tcp = map_by_pmp(gateway, local, InternetProtocol::Tcp, ports.tcp).await?;
    described(Box::new(udp), Box::new(tcp)).await
}

async fn map_by_pmp(
    gateway: Ipv4Addr,
    local: IpAddr,
    protocol: InternetProtocol,
    port: NonZeroU16,
) -> Result<PortMapping, NatError> {
    let options = PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: Some(LIFETIME_S),
        timeout_config: Some(PMP_TIMEOUTS),
    };
    // PCP first; a gateway that knows only the older protocol says so, or says nothing.
    match PortMapping::new(gateway.into(), local, protocol, port, options).await {
        Ok(mapping) => Ok(mapping),
        Err(_) => crab_nat::natpmp::port_mapping(gateway.into(), protocol, port, options)
            .await
            .map_err(NatError::pmp),
    }
}

async fn described(
    udp: Box<PortMapping>,
    tcp: Box<PortMapping>,
) -> Result<(Opened, Mapped), NatError> {
    let ip = match udp.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => external_ip,
        PortMappingType::NatPmp => {
            let asked = crab_nat::natpmp::external_address(udp.gateway(), Some(PMP_TIMEOUTS));
            asked.await.map_err(NatError::pmp)?.into()
        }
    };
    let mapped = Mapped {
        ip: ip.to_canonical(),
        udp_port: udp.external_port().get(),
        tcp_port: tcp.external_port().get(),
    };
    Ok((Opened::Pmp { udp, tcp }, mapped))
}

/// The address that this machine uses towards another one. Nothing is sent.
fn local_ip(towards: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match towards {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(towards).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The gateway of this machine: by the routing table where there is one to be read, otherwise the first address of the
/// network that we are in, where most are.
fn default_gateway() -> Option<Ipv4Addr> {
    let table = fs::read_to_string(ROUTES).ok();
    table.as_deref().and_then(gateway_in).or_else(|| {
        // A documentation address: only the routing table is asked.
        match local_ip(SocketAddr::from(([192, 0, 2, 1], 9)))? {
            IpAddr::V4(ip) if ip.is_private() => {
                let [a, b, c, _] = ip.octets();
                Some(Ipv4Addr::new(a, b, c, 1))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    })
}

/// Interface, destination, gateway, flags, …: the gateway of the destination 0, in the byte order of the machine.
fn gateway_in(table: &str) -> Option<Ipv4Addr> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

/// Why no gateway lets us in.
#[derive(Debug, Error)]
enum NatError {
    #[error("this machine knows no gateway")]
    NoRoute,
    #[error("the gateway does not answer")]
    Silent,
    #[error("UPnP: {0}")]
    Upnp(String),
    #[error("NAT-PMP: {0}")]
    Pmp(String),
    #[error("nothing was asked for")]
    NotAsked,
}

impl NatError {
    fn upnp(error: impl fmt::Display) -> NatError {
        NatError::Upnp(error.to_string())
    }

    fn pmp(error: impl fmt::Display) -> NatError {
        NatError::Pmp(error.to_string())
    }
}

const EXTERNAL: &str = "extip:";
/// What the gateway's own pages show.
const DESCRIPTION: &str = "ferry";
const ROUTES: &str = "/proc/net/route";

// As go-ethereum has them.

/// How long a mapping lives.
const LIFETIME_S: u32 = 20 * 60;
/// It is renewed so often.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15 * 60);

// Ours.

/// Gateways on the local network answer within milliseconds.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// All requests to one of them together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// 250, 500 and 1000 ms.
const PMP_TIMEOUTS: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: Some(Duration::from_secs(1)),
};
/// A shutdown does not wait longer for a gateway.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests;
