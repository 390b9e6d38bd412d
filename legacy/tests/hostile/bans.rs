//! Bans on live sockets: who earns one is refused at the door until it ends, and is served again; a peer that we chose is
//! dialled less and less often, and never banned.

use std::time::Duration;

use legacy::enode::Enode;
use legacy::identity::SecretKey;
use legacy::limits::BAN_NODE_AT;
use legacy::peers::{Ban, Offence, Subject};
use legacy::rlp::List;
use legacy::rlpx::disconnect::DisconnectReason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::attacker::{
    Attacker, DISCONNECT, ENVELOPES, End, MINIMAL_STATUS, PATIENCE, PING, STATUS, Victim, envelope,
    random_key,
};

/// Connects as somebody and breaks a frame: half a ban.
async fn offend(key: &SecretKey, to: &Enode) {
    let mut attacker = Attacker::handshake_as(key.clone(), to).await;
    attacker.greet().await;
    let mut frame = attacker.seal(PING, &[0x01, 0x00, 0xc0]);
    frame[20] ^= 1;
    attacker.send(&frame).await;
    assert_eq!(attacker.end().await, End::Eof);
}

/// Who is at the door is told that there is no use in coming, in the place of a Hello.
async fn is_refused(key: &SecretKey, to: &Enode) {
    let mut refused = Attacker::handshake_as(key.clone(), to).await;
    let reason = DisconnectReason::UselessPeer.encode();
    assert_eq!(refused.hear().await, Some((DISCONNECT, reason)));
    assert_eq!(refused.end().await, End::Eof);
}

async fn is_served(key: &SecretKey, to: &Enode) {
    let mut friend = Attacker::handshake_as(key.clone(), to).await;
    friend.greet().await;
    friend.say_packed(STATUS, &MINIMAL_STATUS).await;
    assert!(friend.is_alive().await);
}

/// Waits until the bans that hold are so many.
async fn bans(victim: &Victim, count: usize) -> Vec<Ban> {
    let until = Instant::now() + PATIENCE;
    loop {
        let bans = victim.handle.bans().await;
        if bans.len() == count {
            return bans;
        }
        assert!(Instant::now() < until, "{bans:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_ban_keeps_a_node_out_until_it_ends() {
    let ban_for = Duration::from_secs(3);
    let victim = Victim::with(|config| config.limits.ban_for = ban_for);
    let (bad, good) = (random_key(), random_key());
    let mut witness = Attacker::friend(&victim.enode()).await;
    offend(&bad, &victim.enode()).await;
    victim.counted("header_mac", 1).await;
    assert_eq!(bans(&victim, 0).await, []);
    let before = Instant::now();
    offend(&bad, &victim.enode()).await;
    let [ban] = bans(&victim, 1).await[..] else {
        panic!("one ban");
    };
    assert_eq!(ban.subject, Subject::Node(bad.public().node_id()));
    assert_eq!(ban.offence, Offence::BadFrame);
    assert!(ban.left <= ban_for);
    is_refused(&bad, &victim.enode()).await;
    is_served(&good, &victim.enode()).await;
    assert!(witness.is_alive().await);
    assert_eq!(victim.handle.counters().await.banned, 1);

    bans(&victim, 0).await;
    assert!(before.elapsed() >= ban_for, "{:?}", before.elapsed());
    is_served(&bad, &victim.enode()).await;
    let counted = victim.handle.counters().await;
    assert_eq!((counted.banned, counted.policy.bans["node"]), (0, 1));
    victim.still_serves().await;
}

#[tokio::test]
async fn packet_after_packet_of_too_little_work_earns_a_ban() {
    let victim = Victim::with(|config| config.shh.min_pow = 1e6);
    let mut attacker = Attacker::friend(&victim.enode()).await;
    let mut packets = 0;
    while attacker.is_alive().await {
        // Points fade meanwhile, and the end comes a moment late.
        assert!(packets < 2 * BAN_NODE_AT, "{packets} packets");
        let cheap = envelope(b"cheap");
        let packet = List::new().raw(cheap.raw()).finish();
        attacker.say_packed(ENVELOPES, &packet).await;
        packets += 1;
    }
    assert!(packets >= BAN_NODE_AT, "{packets} packets");
    let [ban] = bans(&victim, 1).await[..] else {
        panic!("one ban");
    };
    assert_eq!(ban.offence, Offence::LowPow);
    is_refused(&attacker.key, &victim.enode()).await;
}

#[tokio::test]
async fn a_static_peer_is_dialled_less_often_and_never_banned() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let chosen = random_key();
    let victim = Victim::with(|config| {
        let enode = Enode::new(chosen.public(), address);
        config.static_peers.push(enode);
    });
    // Three dials, each answered with nonsense.
    let mut dialled = Vec::new();
    for _ in 0..3 {
        let stream = timeout(PATIENCE, listener.accept()).await;
        let (stream, _) = stream.expect("it dials again").expect("a connection");
        dialled.push(Instant::now());
        nonsense(stream).await;
    }
    let gaps: Vec<Duration> = dialled.windows(2).map(|two| two[1] - two[0]).collect();
    for (gap, least) in gaps.iter().zip([1, 2]) {
        assert!(*gap >= Duration::from_secs(least), "{gaps:?}");
    }
    // And when it comes by itself it may do what bans a stranger, again and again.
    for _ in 0..4 {
        offend(&chosen, &victim.enode()).await;
    }
    victim.counted("header_mac", 4).await;
    is_served(&chosen, &victim.enode()).await;
    let counted = victim.handle.counters().await;
    assert_eq!(counted.policy.offences["bad_frame"], 4);
    assert_eq!((counted.banned, counted.policy.bans.len()), (0, 0));
    let removed = victim.handle.remove_peer(chosen.public().node_id()).await;
    assert_eq!(removed, Ok(true));
    // A stranger from now on: what it did before is forgiven, and what it does now is not.
    offend(&chosen, &victim.enode()).await;
    offend(&chosen, &victim.enode()).await;
    bans(&victim, 1).await;
    is_refused(&chosen, &victim.enode()).await;
    victim.still_serves().await;
}

/// Answers a first packet with bytes that are no answer, and waits for the end.
async fn nonsense(mut stream: TcpStream) {
    let mut packet = [0; 512];
    let read = timeout(PATIENCE, stream.read(&mut packet)).await;
    assert!(read.expect("it greets").expect("it greets") > 0);
    // A reset is an end as well.
    drop(stream.write_all(&[0xaa; 307]).await);
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    drop(read.expect("it gives up"));
}
