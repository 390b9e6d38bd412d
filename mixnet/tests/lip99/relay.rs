//! A relay that knows LIP-99 and nothing else: it reads packets, peels them by the words of the specification, waits, and sends to
//! the address in the routing block. It has the stock stream behaviour of libp2p, no identify and no ping.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::net::Net;
use super::reading::{Found, peel};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/mix/1.0.0");
/// A stream opens in milliseconds, or is asked for again.
const ATTEMPT: Duration = Duration::from_secs(5);

pub(super) struct Relay {
    task: JoinHandle<()>,
    dropped: Arc<AtomicU64>,
}

impl Relay {
    pub(super) fn start(net: &Net, n: usize) -> Self {
        let secret = net.config(n).identity;
        let secret = libp2p::identity::secp256k1::SecretKey::try_from_bytes(*secret).unwrap();
        let identity = libp2p::identity::secp256k1::Keypair::from(secret);
        let mut swarm = SwarmBuilder::with_existing_identity(identity.into())
            .with_tokio()
            .with_tcp(
                libp2p::tcp::Config::default(),
                libp2p::noise::Config::new,
                libp2p::yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(600))
            })
            .build();
        let at = net.addresses()[n];
        let listen = Multiaddr::from(*at.ip()).with(Protocol::Tcp(at.port()));
        swarm.listen_on(listen).unwrap();
        let mut control = swarm.behaviour().new_control();
        let mut streams = control.accept(PROTOCOL).unwrap();
        let key = *net.secret(n).as_bytes();
        let (dials, mut wanted) = mpsc::channel::<(PeerId, Multiaddr)>(100);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        let (outgoing, packets) = mpsc::channel(1000);
        tokio::spawn(send(control.clone(), dials, packets));
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = swarm.select_next_some() => {}
                    Some((peer, at)) = wanted.recv() => {
                        let options = DialOpts::peer_id(peer)
                            .condition(PeerCondition::DisconnectedAndNotDialing)
                            .addresses(vec![at]);
                        // Connected already, or being dialled.
                        let _ = swarm.dial(options.build());
                    }
                    Some((_, mut stream)) = streams.next() => {
                        let (outgoing, counter) = (outgoing.clone(), counter.clone());
                        tokio::spawn(async move {
                            let mut frame = vec![0; 4610];
                            while stream.read_exact(&mut frame).await.is_ok() {
                                match peel(key, &frame[2..]) {
                                    Some(Found::Forward { address, delay_ms, packet }) => {
                                        let outgoing = outgoing.clone();
                                        // The mean itself: a delay needs to be no more than that here.
                                        tokio::spawn(async move {
                                            tokio::time::sleep(Duration::from_millis(delay_ms.into())).await;
                                            let _ = outgoing.send((address, packet)).await;
                                        });
                                    }
                                    Some(Found::Exit { .. } | Found::Reply) | None => {
                                        counter.fetch_add(1, Ordering::Relaxed);
                                    }
                                }
                            }
                        });
                    }
                }
            }
        });
        Self { task, dropped }
    }

    /// Packets that were not for another hop.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One stream for each neighbour, which is opened when the first packet for it is due.
async fn send(
    control: libp2p_stream::Control,
    dials: mpsc::Sender<(PeerId, Multiaddr)>,
    mut packets: mpsc::Receiver<([u8; 94], Vec<u8>)>,
) {
    let mut writers: BTreeMap<[u8; 94], mpsc::Sender<Vec<u8>>> = BTreeMap::new();
    while let Some((address, packet)) = packets.recv().await {
        let writer = writers.entry(address).or_insert_with(|| {
            let (writer, packets) = mpsc::channel(1000);
            tokio::spawn(write(control.clone(), dials.clone(), address, packets));
            writer
        });
        let _ = writer.send(packet).await;
    }
}

async fn write(
    mut control: libp2p_stream::Control,
    dials: mpsc::Sender<(PeerId, Multiaddr)>,
    address: [u8; 94],
    mut packets: mpsc::Receiver<Vec<u8>>,
) {
    let ip = Ipv4Addr::new(address[0], address[1], address[2], address[3]);
    let port = u16::from_be_bytes([address[5], address[6]]);
    let peer = PeerId::from_bytes(&address[7..46]).unwrap();
    let at = Multiaddr::from(ip).with(Protocol::Tcp(port));
    let mut stream = loop {
        let _ = dials.send((peer, at.clone())).await;
        // The library forgets who asks in the moment in which the dial comes through.
        match tokio::time::timeout(ATTEMPT, control.open_stream(peer, PROTOCOL)).await {
            Ok(Ok(stream)) => break stream,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    while let Some(packet) = packets.recv().await {
        let frame = [&[0x80, 0x24], &packet[..]].concat();
        if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
