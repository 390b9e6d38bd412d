//! Nodes on loopback, each with its own libp2p swarm, and a peer that does not play by the rules.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, Transport as _, multiaddr::Protocol,
};
use mixnet::replay::Capacity;
use mixnet::shell::{Config, Event, Handle, Reach, Status, spawn};
use mixnet::{
    Address, Arrival, Capabilities, Descriptor, Hop, Object, PeerKey, Preset, Protection,
    SecretKey, Statement, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Nothing here takes this long unless it is broken.
pub const LONG: Duration = Duration::from_secs(60);
/// A stream of a rogue opens in milliseconds, or is asked for again.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The number of the mix key of every [`Net::hop_at`].
pub const ROGUE: u8 = 200;

#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    Relay,
    Service,
    /// Not in the topology: reached over its own connections only.
    Client,
}

/// What a node is made of, so that it can be started again.
pub struct Plan {
    n: u8,
    role: Role,
    at: SocketAddrV4,
    descriptor: Descriptor,
}

pub struct Running {
    pub handle: Handle,
    pub events: mpsc::Receiver<Event>,
    pub task: JoinHandle<()>,
}

pub struct Net {
    pub plans: Vec<Plan>,
    topology: Vec<Descriptor>,
    preset: Preset,
}

impl Net {
    pub fn new(roles: &[Role], preset: Preset) -> Self {
        let addresses: Vec<_> = roles.iter().map(|_| free_address()).collect();
        Self::at(roles, preset, &addresses)
    }

    /// The same network again, in another process.
    pub fn at(roles: &[Role], preset: Preset, addresses: &[SocketAddrV4]) -> Self {
        Self::over(Transport::Tcp, roles, preset, addresses)
    }

    /// A network whose descriptors name this transport.
    pub fn over(
        transport: Transport,
        roles: &[Role],
        preset: Preset,
        addresses: &[SocketAddrV4],
    ) -> Self {
        let places = roles.iter().zip(addresses);
        let plans: Vec<_> = places
            .zip(1..)
            .map(|((role, at), n)| plan(n, *role, *at, transport))
            .collect();
        let known = plans.iter().filter(|plan| plan.role != Role::Client);
        let topology = known.map(|plan| plan.descriptor.clone()).collect();
        Self {
            plans,
            topology,
            preset,
        }
    }

    pub fn config(&self, n: usize) -> Config {
        let plan = &self.plans[n];
        Config {
            key: mix_key(plan.n),
            identity: identity(plan.n).into(),
            listen: plan.at,
            advertise: plan.at,
            relay: plan.role == Role::Relay,
            replay_dir: None,
            trace: None,
            replay_capacity: Capacity::default(),
            test_loss_percent: 0,
            directory: None,
            reach: Reach::default(),
            preset: if plan.role == Role::Relay {
                Preset::RELAY
            } else {
                self.preset
            },
            protection: Protection::of(&self.preset),
            topology: self.topology.clone(),
            seed: None,
            allow_private: true,
        }
    }

    pub fn start(&self, n: usize) -> Running {
        Self::start_as(self.config(n))
    }

    /// Starts a node with a configuration of its own.
    pub fn start_as(config: Config) -> Running {
        let (handle, events, task) = spawn(config).unwrap();
        Running {
            handle,
            events,
            task,
        }
    }

    pub fn start_all(&self) -> Vec<Running> {
        (0..self.plans.len()).map(|n| self.start(n)).collect()
    }

    /// A node as a hop of a path.
    pub fn hop(&self, n: usize) -> Hop {
        let plan = &self.plans[n];
        let (ip, port) = (*plan.at.ip(), plan.at.port());
        Hop {
            key: plan.descriptor.mix_key(),
            address: Address::direct(ip, Transport::Tcp, port, self.peer(n)),
        }
    }

    /// A hop at a peer that no descriptor names.
    pub fn hop_at(&self, peer: PeerKey) -> Hop {
        Hop {
            key: mix_key(ROGUE).public(),
            address: Address::direct(Ipv4Addr::LOCALHOST, Transport::Tcp, 1, peer),
        }
    }

    /// The secret of a node's mix key.
    pub fn secret(&self, n: usize) -> SecretKey {
        mix_key(self.plans[n].n)
    }

    pub fn addresses(&self) -> Vec<SocketAddrV4> {
        self.plans.iter().map(|plan| plan.at).collect()
    }

    pub fn peer(&self, n: usize) -> PeerKey {
        self.plans[n].descriptor.peer()
    }
}

fn plan(n: u8, role: Role, at: SocketAddrV4, transport: Transport) -> Plan {
    let statement = Statement {
        address: Some(at),
        transport,
        capabilities: Capabilities {
            relay: role == Role::Relay,
            bridge: role == Role::Service,
            mailbox: false,
        },
        gateway_key: (role == Role::Service).then_some([1; 32]),
        ..Statement::new(0, mix_key(n).public())
    };
    let descriptor = Descriptor::sign(statement, &identity(n)).unwrap();
    Plan {
        n,
        role,
        at,
        descriptor,
    }
}

fn identity(n: u8) -> [u8; 32] {
    [n; 32]
}

pub fn mix_key(n: u8) -> SecretKey {
    SecretKey::from_bytes([n ^ 0x80; 32])
}

pub fn free_address() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

impl Running {
    /// The next object; other events are passed over.
    pub async fn object(&mut self) -> (Object, Arrival) {
        let next = async {
            loop {
                match self.events.recv().await.unwrap() {
                    Event::Object { object, arrival } => return (object, arrival),
                    Event::Relays { .. }
                    | Event::SurbsStale
                    | Event::Mailbox(_)
                    | Event::Notice(_) => {}
                }
            }
        };
        timeout(LONG, next).await.unwrap()
    }

    /// The next event that is no object.
    pub async fn notice(&mut self) -> Event {
        let next = async {
            loop {
                match self.events.recv().await.unwrap() {
                    Event::Object { .. } | Event::Mailbox(_) | Event::Notice(_) => {}
                    event @ (Event::Relays { .. } | Event::SurbsStale) => return event,
                }
            }
        };
        timeout(LONG, next).await.unwrap()
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.handle.status().await.unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < LONG, "{what}: {status:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn usable(&self, relays: usize) {
        self.until("usable relays", |status| status.usable_relays == relays)
            .await;
    }

    pub async fn shutdown(self) {
        self.handle.shutdown().await;
        timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

/// Every relay sees every other node, every other node every relay.
pub async fn ready(nodes: &[Running], relays: usize) {
    for (n, node) in nodes.iter().enumerate() {
        let others = if n < relays { relays - 1 } else { relays };
        node.usable(others).await;
    }
}

pub fn object(kind: u8, len: usize) -> Object {
    let bytes = (0..len)
        .map(|i| (i * 7 + len + usize::from(kind)) as u8)
        .collect();
    Object {
        kind,
        tag: [kind; 16],
        bytes,
    }
}

/// What a browser speaks: WebSocket, and above it Noise and Yamux.
fn websocket(
    identity: &Keypair,
) -> libp2p::core::transport::Boxed<(PeerId, libp2p::core::muxing::StreamMuxerBox)> {
    let tcp = libp2p::tcp::tokio::Transport::new(libp2p::tcp::Config::default());
    libp2p_websocket::Config::new(tcp)
        .upgrade(libp2p::core::upgrade::Version::V1)
        .authenticate(libp2p::noise::Config::new(identity).unwrap())
        .multiplex(libp2p::yamux::Config::default())
        .boxed()
}

/// A libp2p peer that opens mix streams and writes what it likes.
pub struct Rogue {
    control: libp2p_stream::Control,
    to: PeerId,
    /// Its key, by which packets name it.
    pub peer: PeerKey,
    task: JoinHandle<()>,
}

impl Rogue {
    pub async fn connect(net: &Net, n: usize) -> Self {
        Self::connect_as(libp2p::identity::Keypair::generate_secp256k1(), net, n).await
    }

    /// As the peer with this identity.
    pub async fn connect_as(identity: Keypair, net: &Net, n: usize) -> Self {
        let at = net.plans[n].at;
        let address = Multiaddr::from(*at.ip()).with(Protocol::Tcp(at.port()));
        Self::connect_to(identity, net.peer(n), address).await
    }

    /// Dials `address`, which may be of any transport, as a library of its own.
    pub async fn connect_to(identity: Keypair, to: PeerKey, address: Multiaddr) -> Self {
        let peer = PeerKey::from_peer_id(&identity.public().to_peer_id().to_bytes()).unwrap();
        let mut swarm = SwarmBuilder::with_existing_identity(identity)
            .with_tokio()
            .with_tcp(
                libp2p::tcp::Config::default(),
                libp2p::noise::Config::new,
                libp2p::yamux::Config::default,
            )
            .unwrap()
            .with_quic()
            .with_other_transport(websocket)
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .build();
        let to = PeerId::from_bytes(&to.to_peer_id()).unwrap();
        let control = swarm.behaviour().new_control();
        swarm
            .dial(DialOpts::peer_id(to).addresses(vec![address]).build())
            .unwrap();
        let task = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self {
            control,
            to,
            peer,
            task,
        }
    }

    /// Takes the streams that the node opens and reads nothing from them.
    pub fn take_and_ignore(&mut self) -> JoinHandle<()> {
        let mut streams = self
            .control
            .accept(StreamProtocol::new("/mix/1.0.0"))
            .unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(stream) = streams.next().await {
                held.push(stream);
            }
        })
    }

    /// Takes the streams that the node opens, and gives the packets that come.
    pub fn take(&mut self) -> mpsc::Receiver<Vec<u8>> {
        let mut streams = self
            .control
            .accept(StreamProtocol::new("/mix/1.0.0"))
            .unwrap();
        let (packets, received) = mpsc::channel(10_000);
        tokio::spawn(async move {
            while let Some((_, mut stream)) = streams.next().await {
                let packets = packets.clone();
                tokio::spawn(async move {
                    let mut frame = vec![0; 4610];
                    while stream.read_exact(&mut frame).await.is_ok() {
                        assert_eq!(frame[..2], [0x80, 0x24]);
                        if packets.send(frame[2..].to_vec()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        received
    }

    /// Opens a stream that stays.
    pub async fn open(&mut self) -> Stream {
        let protocol = StreamProtocol::new("/mix/1.0.0");
        let start = Instant::now();
        loop {
            match timeout(ATTEMPT, self.control.open_stream(self.to, protocol.clone())).await {
                Ok(Ok(stream)) => return stream,
                // The dial may not be through yet, or come through in the moment of the question, which the library then forgets.
                other => assert!(start.elapsed() < LONG, "{other:?}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Opens a stream and writes `bytes` into it.
    pub async fn write(&mut self, bytes: &[u8]) {
        let mut stream = self.open().await;
        // The other side may close the stream as soon as it has seen enough.
        let _ = stream.write_all(bytes).await;
        let _ = stream.close().await;
    }

    pub async fn packet(&mut self, packet: &[u8]) {
        self.write(&[&[0x80, 0x24], packet].concat()).await;
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.task.abort();
    }
}
