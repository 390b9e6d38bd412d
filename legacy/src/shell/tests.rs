use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::session;
use crate::shh::{Draft, Topic};

mod mail;

/// Long for anything on loopback, short for somebody who waits.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    handle: Handle,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

fn start(number: u8, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::new(key(number));
    change(&mut config);
    let (handle, events, task) = spawn(config).unwrap();
    Running {
        handle,
        events,
        task,
    }
}

impl Running {
    fn enode(&self) -> Enode {
        *self.handle.local_enode().unwrap()
    }

    /// The first event that fits.
    async fn wait<T>(&mut self, mut fits: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the node runs");
                if let Some(found) = fits(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("in time")
    }

    async fn ready(&mut self) -> NodeId {
        self.wait(|event| match event {
            Event::PeerInterest { node, .. } => Some(node),
            _ => None,
        })
        .await
    }

    async fn received(&mut self) -> (Arc<Envelope>, Option<NodeId>) {
        self.wait(|event| match event {
            Event::Envelope { envelope, from } => Some((envelope, from)),
            _ => None,
        })
        .await
    }

    async fn gone(&mut self) -> NodeId {
        self.wait(|event| match event {
            Event::PeerDown { node } => Some(node),
            _ => None,
        })
        .await
    }

    async fn stop(self) {
        self.handle.shutdown().await;
        timeout(PATIENCE, self.task)
            .await
            .expect("in time")
            .unwrap();
    }
}

/// An envelope that any node takes.
fn envelope(text: &str) -> Envelope {
    let expiry = u32::try_from(now().unix_s()).unwrap() + 20;
    let draft = Draft::new(expiry, 20, Topic::of_name("shell tests"), text.as_bytes());
    let nonce = draft.search(0.3, 0).run(1 << 24, || false).unwrap();
    draft.finish(nonce)
}

async fn exchange(from: &mut Running, to: &mut Running, text: &str) {
    let sent = envelope(text);
    let hash = from.handle.post(sent.clone()).await.unwrap();
    let (own, by) = from.received().await;
    assert_eq!((own.hash(), by), (hash, None), "ours is told too");
    let (received, by) = to.received().await;
    assert_eq!(received.raw(), sent.raw());
    assert_eq!(by, Some(from.enode().node_id()));
    let out = from
        .wait(|event| match event {
            Event::Sent { hashes, peer } => Some((hashes.to_vec(), peer)),
            _ => None,
        })
        .await;
    assert_eq!(out, (vec![hash], to.enode().node_id()));
}

/// What is recommended for a node among geth and Status peers; docs/whisper-cases.md says where each is tested.
#[test]
fn defaults_are_the_recommended_ones() {
    let config = Config::new(key(1));
    assert_eq!(capabilities(&config), [SHH], "shh/6 and nothing else");
    assert_eq!((SHH.name, SHH.version), ("shh", 6));
    assert_eq!(config.packet_len_max, 10 << 20);
    let shh = config.shh;
    assert_eq!((shh.min_pow, shh.bloom, shh.light), (0.002, None, false));
    assert_eq!(shh.confirmations, shh::node::Confirmations::OnReceipt);
    assert_eq!((shh.rate_limits, shh.accept_old_pow), (None, false));
    let sizes = [
        shh.packet_in_len_max,
        shh.packet_out_len_max,
        shh.envelope_len_max,
    ];
    assert_eq!(sizes, [10 << 20, 512 << 10, 1 << 20]);
    assert_eq!(shh.ttl_max, 2 * 24 * 60 * 60);
    assert!(shh.pool_bytes_max <= 64 << 20);
}

#[tokio::test]
async fn two_nodes_exchange_envelopes_whoever_dials() {
    let mut a = start(1, |_| {});
    let mut b = start(2, |config| config.static_peers.push(a.enode()));
    assert_eq!(a.ready().await, b.enode().node_id());
    assert_eq!(b.ready().await, a.enode().node_id());
    exchange(&mut b, &mut a, "from the one that dialled").await;
    exchange(&mut a, &mut b, "to the one that dialled").await;
    let info = a.handle.peers().await;
    assert_eq!(info.len(), 1);
    assert_eq!(info[0].direction, Direction::Accepted);
    assert!(info[0].client_name.starts_with("ferry/"));
    assert_eq!(b.handle.peers().await[0].enode, a.enode());
    b.stop().await;
    a.gone().await;
    assert_eq!(
        a.handle.counters().await.closed.get("theirs_quitting"),
        Some(&1)
    );
    a.stop().await;
}

#[tokio::test]
async fn three_in_a_row_pass_it_on_without_an_echo() {
    let mut middle = start(1, |_| {});
    let mut left = start(2, |config| config.static_peers.push(middle.enode()));
    let mut right = start(3, |config| config.static_peers.push(middle.enode()));
    left.ready().await;
    right.ready().await;
    middle.ready().await;
    middle.ready().await;
    let sent = envelope("along the line");
    left.handle.post(sent.clone()).await.unwrap();
    let (received, from) = right.received().await;
    assert_eq!(
        (received.hash(), from),
        (sent.hash(), Some(middle.enode().node_id()))
    );
    assert_eq!(left.handle.counters().await.shh.duplicates, 0);
    for node in [left, middle, right] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_peer_that_was_killed_is_dialled_again() {
    let first = start(1, |_| {});
    let enode = first.enode();
    let mut b = start(2, |config| config.static_peers.push(enode));
    b.ready().await;
    // Killed, not shut down: nobody says goodbye.
    first.task.abort();
    assert_eq!(b.gone().await, enode.node_id());
    let mut again = start(1, |config| config.listen = Some(enode.tcp()));
    assert_eq!(b.ready().await, enode.node_id());
    again.ready().await;
    exchange(&mut b, &mut again, "after all").await;
    b.stop().await;
    again.stop().await;
}

#[tokio::test]
async fn a_peer_may_be_named_later_and_come_up_later() {
    let place = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut b = start(2, |config| config.listen = None);
    assert_eq!(b.handle.local_enode(), None);
    b.handle
        .add_peer(Enode::new(key(1).public(), place))
        .await
        .unwrap();
    let mut a = start(1, |config| config.listen = Some(place));
    a.ready().await;
    b.ready().await;
    assert_eq!(
        b.handle.add_peer(Enode::new(key(2).public(), place)).await,
        Err(Refused::Peer(AddError::Ourselves))
    );
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn both_may_name_each_other() {
    let places = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let [at_a, at_b] = places.map(|place| place.local_addr().unwrap());
    let mut a = start(1, |config| {
        config.listen = Some(at_a);
        config.static_peers.push(Enode::new(key(2).public(), at_b));
    });
    let mut b = start(2, |config| {
        config.listen = Some(at_b);
        config.static_peers.push(Enode::new(key(1).public(), at_a));
    });
    a.ready().await;
    b.ready().await;
    exchange(&mut a, &mut b, "once").await;
    assert_eq!(a.handle.peers().await.len(), 1);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn requests_after_the_end_are_refused() {
    let a = start(1, |_| {});
    let handle = a.handle.clone();
    a.stop().await;
    assert_eq!(handle.post(envelope("late")).await, Err(Refused::ShutDown));
    assert!(handle.peers().await.is_empty());
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let a = start(1, |_| {});
    let mut config = Config::new(key(2));
    config.listen = Some(a.enode().tcp());
    let error = spawn(config).err().unwrap();
    assert!(
        error.to_string().contains(&a.enode().tcp().to_string()),
        "{error}"
    );
    assert_eq!(error.blame(), Blame::Config);
    a.stop().await;
}

#[tokio::test]
async fn a_bloom_filter_is_told_and_kept() {
    let mut a = start(1, |_| {});
    let mut b = start(2, |config| config.static_peers.push(a.enode()));
    b.ready().await;
    a.ready().await;
    let wanted = Bloom::of_topics([Topic::of_name("another")]);
    b.handle.set_bloom(Some(wanted)).await.unwrap();
    let told = a
        .wait(|event| match event {
            Event::PeerInterest { bloom, .. } => Some(bloom),
            _ => None,
        })
        .await;
    assert_eq!(told, Some(wanted));
    b.handle.set_min_pow(0.5).await.unwrap();
    let told = a
        .wait(|event| match event {
            Event::PeerInterest { min_pow, .. } => Some(min_pow),
            _ => None,
        })
        .await;
    assert_eq!(told, 0.5);
    assert!(b.handle.set_min_pow(f64::NAN).await.is_err());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn events_that_nobody_reads_stop_nothing_of_ours() {
    let mut a = start(1, |_| {});
    let b = start(2, |config| config.static_peers.push(a.enode()));
    a.ready().await;
    drop(b.events);
    let envelope = envelope("unread");
    b.handle.post(envelope.clone()).await.unwrap();
    assert_eq!(a.received().await.0.hash(), envelope.hash());
    a.stop().await;
    b.handle.shutdown().await;
    timeout(PATIENCE, b.task).await.expect("in time").unwrap();
}

#[tokio::test]
async fn a_listener_hears_what_nobody_reads() {
    let (heard, mut names) = mpsc::unbounded_channel();
    let b = start(2, |config| {
        config.listener = Some(Listener::new(move |event| {
            if let Event::Envelope { envelope, from } = event {
                let _ = heard.send((envelope.hash(), *from));
            }
        }));
    });
    drop(b.events);
    let to = *b.handle.local_enode().unwrap();
    let a = start(1, |config| config.static_peers.push(to));
    let (own, other) = (envelope("own"), envelope("of another"));
    b.handle.post(own.clone()).await.unwrap();
    let next = timeout(PATIENCE, names.recv()).await.expect("in time");
    assert_eq!(next, Some((own.hash(), None)));
    a.handle.post(other.clone()).await.unwrap();
    let next = timeout(PATIENCE, names.recv()).await.expect("in time");
    assert_eq!(next, Some((other.hash(), Some(a.enode().node_id()))));
    a.stop().await;
    b.handle.shutdown().await;
    timeout(PATIENCE, b.task).await.expect("in time").unwrap();
}

/// A full geth answers the handshake, says so in place of a Hello and closes, all in one segment.
#[tokio::test]
async fn a_full_peer_is_understood_although_it_closes_at_once() {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Enode::new(key(1).public(), door.local_addr().unwrap());
    let a = start(2, |config| config.static_peers.push(place));
    let (mut stream, _) = timeout(PATIENCE, door.accept())
        .await
        .expect("in time")
        .unwrap();
    let config = session::Config {
        key: key(1),
        client_name: String::new(),
        capabilities: vec![SHH],
        packet_len_max: 1 << 20,
    };
    let mut full = session::Session::accept(now(), Arc::new(config), [7; 32]);
    let mut last_words = Vec::new();
    let mut buffer = [0; 4096];
    while last_words.is_empty() {
        let len = timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .expect("in time")
            .unwrap();
        full.handle(now(), session::Input::Bytes(&buffer[..len]));
        while let Some(output) = full.poll_output() {
            match output {
                session::Output::Write(bytes) => last_words.extend(bytes),
                session::Output::Identified(_) => {
                    full.handle(
                        now(),
                        session::Input::Disconnect(DisconnectReason::TooManyPeers),
                    );
                }
                _ => {}
            }
        }
    }
    stream.write_all(&last_words).await.unwrap();
    drop(stream);
    let search = async {
        loop {
            let closed = a.handle.counters().await.closed;
            if !closed.is_empty() {
                return closed;
            }
            tokio::task::yield_now().await;
        }
    };
    let closed = timeout(PATIENCE, search).await.expect("in time");
    assert_eq!(closed.get("theirs_too_many_peers"), Some(&1), "{closed:?}");
    a.stop().await;
}
