//! The transport on live sockets under hostile peers: each ends with the right Disconnect or without a word, the end is
//! counted, and the node goes on serving others.

use std::time::Duration;

use legacy::rlp::{self, List};
use legacy::rlpx::disconnect::DisconnectReason;
use legacy::rlpx::handshake::{Auth, Form};
use legacy::rlpx::snappy;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::attacker::{
    AT_ONCE, Attacker, BROKEN, DISCONNECT, ENVELOPES, End, MINIMAL_STATUS, PATIENCE, PING, PONG,
    STATUS, Victim, closes_on, envelope, hello, interested, random, random_key, received,
};

// ---- M1 to M4: before anybody is known ----------------------------------------------------------------

#[tokio::test]
async fn m1_a_huge_size_is_refused_by_its_two_bytes() {
    let victim = Victim::start();
    assert!(closes_on(&victim.enode(), &[0xff, 0xff]).await < AT_ONCE);
    assert!(closes_on(&victim.enode(), &[0x07, 0xff]).await < AT_ONCE);
    assert!(closes_on(&victim.enode(), &[0x00, 0x10]).await < AT_ONCE);
    victim.counted("handshake", 3).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m2_points_off_the_curve_are_refused() {
    let victim = Victim::start();
    let to = *victim.enode().public_key();
    let auth = |form| {
        let mut rng = ChaCha20Rng::from_seed(random());
        Auth::seal(form, &random_key(), &random_key(), &random(), &to, &mut rng)
    };
    let mut off_curve = auth(Form::Eip8);
    off_curve[66] ^= 1;
    let mut above_prime = auth(Form::Eip8);
    above_prime[3..35].fill(0xff);
    let mut zero = auth(Form::Eip8);
    zero[3..67].fill(0);
    for packet in [off_curve, above_prime, zero] {
        assert!(closes_on(&victim.enode(), &packet).await < AT_ONCE);
    }
    victim.counted("handshake", 3).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m3_short_bodies_are_refused() {
    let victim = Victim::start();
    for len in 1..16u8 {
        let point = random_key().public().to_prefixed();
        let size = 65 + u16::from(len) + 32;
        let packet = [
            &size.to_be_bytes()[..],
            &point,
            &vec![7; usize::from(len) + 32],
        ]
        .concat();
        assert!(closes_on(&victim.enode(), &packet).await < AT_ONCE);
    }
    victim.counted("handshake", 15).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m4_garbage_is_refused_or_timed_out() {
    let victim = Victim::start();
    assert!(closes_on(&victim.enode(), &[0xaa; 307]).await < AT_ONCE);
    victim.counted("handshake", 1).await;
    // This could be a packet of 1030 bytes, until it does not go on.
    let mut plausible = [0xaa; 307];
    plausible[..2].copy_from_slice(&[0x04, 0x04]);
    let took = closes_on(&victim.enode(), &plausible).await;
    assert!(took >= AT_ONCE, "{took:?}");
    victim.counted("handshake_timeout", 1).await;
    victim.still_serves().await;
}

// ---- M5 to M7: after the handshake --------------------------------------------------------------------

#[tokio::test]
async fn m5_bad_hellos_get_the_right_reason() {
    let victim = Victim::start();
    let other = random_key().public().to_bytes();
    let flood = vec![("x", 1); 10_000];
    let cases: Vec<(u64, Vec<u8>, End)> = vec![
        (0, vec![0xb9; 2049], End::Eof),
        (
            0,
            hello(&[0; 64], &[("shh", 6)]),
            End::Told(DisconnectReason::NullIdentity),
        ),
        (
            0,
            hello(&[7; 63], &[("shh", 6)]),
            End::Told(DisconnectReason::NullIdentity),
        ),
        (
            0,
            hello(&other, &[("shh", 6)]),
            End::Told(DisconnectReason::UnexpectedIdentity),
        ),
        (0, hello(&other, &flood), End::Eof),
        (0, vec![0xc0], End::Told(DisconnectReason::ProtocolBreach)),
        (STATUS, MINIMAL_STATUS.to_vec(), End::Eof),
        (PING, vec![0xc0], End::Eof),
    ];
    for (code, payload, expected) in cases {
        let mut attacker = Attacker::handshake(&victim.enode(), Form::Eip8).await;
        attacker.say(code, &payload).await;
        assert_eq!(
            attacker.end().await,
            expected,
            "code {code}, {} bytes",
            payload.len()
        );
    }
    victim.counted("hello", 3).await;
    victim.counted("unexpected_identity", 1).await;
    victim.counted("expected_hello", 2).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn useless_peers_are_told_so() {
    let victim = Victim::start();
    let mut eth = Attacker::handshake(&victim.enode(), Form::Eip8).await;
    let own = eth.key.public().to_bytes();
    eth.say(0, &hello(&own, &[("eth", 63), ("shh", 5)])).await;
    assert_eq!(eth.end().await, End::Told(DisconnectReason::UselessPeer));
    victim.counted("useless_peer", 1).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn refusals_take_the_place_of_the_hello_and_are_not_compressed() {
    let own = random_key();
    let victim = Victim::with(|config| {
        config.key = own.clone();
        config.limits.inbound_max = 1;
    });
    let mut friend = Attacker::friend(&victim.enode()).await;
    for (key, reason) in [
        (friend.key.clone(), DisconnectReason::AlreadyConnected),
        (own, DisconnectReason::SelfConnection),
        (random_key(), DisconnectReason::TooManyPeers),
    ] {
        let mut refused = Attacker::handshake_as(key, &victim.enode()).await;
        assert_eq!(refused.hear().await, Some((DISCONNECT, reason.encode())));
        assert_eq!(refused.end().await, End::Eof);
        victim
            .counted(&format!("ours_{}", reason.as_str()), 1)
            .await;
    }
    assert!(friend.is_alive().await);
    drop(friend);
    victim.counted("eof", 1).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn the_old_handshake_is_answered_in_its_form_and_works() {
    let victim = Victim::start();
    let mut old = Attacker::handshake(&victim.enode(), Form::Legacy).await;
    old.greet().await;
    assert!(old.is_alive().await);
    victim.still_serves().await;
}

#[tokio::test]
async fn m6_bad_frames_end_it_without_a_word() {
    let victim = Victim::start();
    for at in [0, 20, 40, 60] {
        let mut attacker = Attacker::friend(&victim.enode()).await;
        let mut frame = attacker.seal(PING, &[0x01, 0x00, 0xc0]);
        frame[at] ^= 1;
        attacker.send(&frame).await;
        assert_eq!(attacker.end().await, End::Eof, "byte {at}");
    }
    victim.counted("header_mac", 2).await;
    victim.counted("body_mac", 2).await;
    let mut attacker = Attacker::friend(&victim.enode()).await;
    let empty = attacker.egress.seal(&[], &[]).expect("short enough");
    attacker.send(&empty).await;
    assert_eq!(attacker.end().await, End::Eof);
    victim.counted("empty_frame", 1).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m6_a_huge_frame_is_refused_by_its_header() {
    let victim = Victim::start();
    let huge = vec![0; 0xff_ffff - 1];
    let mut unknown = Attacker::handshake(&victim.enode(), Form::Eip8).await;
    let frame = unknown.seal(0, &huge);
    unknown.send(&frame[..32]).await;
    assert_eq!(unknown.end().await, End::Eof, "before the Hello");
    let mut early = Attacker::connect(&victim.enode()).await;
    let frame = early.seal(STATUS, &huge[..3000]);
    early.send(&frame[..32]).await;
    assert_eq!(early.end().await, BROKEN, "before the Status");
    let mut friend = Attacker::friend(&victim.enode()).await;
    let frame = friend.seal(ENVELOPES, &huge);
    friend.send(&frame[..32]).await;
    assert_eq!(friend.end().await, BROKEN, "over the packet limit");
    victim.counted("frame_too_long", 3).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m7_bad_compression_ends_it() {
    let victim = Victim::start();
    let mut bomb = vec![0xff, 0xff, 0xff, 0x07];
    // Copies of 64 bytes from one byte back: 3 bytes each.
    bomb.extend(
        [0x00, 0x00]
            .into_iter()
            .chain([0xfe, 0x01, 0x00].into_iter().cycle().take(1000)),
    );
    let mut truncated = snappy::deflate(&[7; 500]).expect("short enough");
    truncated.pop();
    for (payload, expected) in [
        (vec![], End::Eof),
        (vec![0x81, 0x80, 0x80, 0x08, 0x00], End::Eof),
        (bomb, BROKEN),
        (truncated, End::Eof),
        (vec![0xff; 12], End::Eof),
    ] {
        let mut attacker = Attacker::friend(&victim.enode()).await;
        attacker.say(ENVELOPES, &payload).await;
        assert_eq!(attacker.end().await, expected, "{} bytes", payload.len());
    }
    victim.counted("snappy", 5).await;
    victim.still_serves().await;
}

// ---- M8 and M9: the base protocol ---------------------------------------------------------------------

#[tokio::test]
async fn m8_floods_of_pings_and_pongs_are_survived() {
    let victim = Victim::start();
    let mut attacker = Attacker::friend(&victim.enode()).await;
    let mut flood = Vec::new();
    for _ in 0..100_000 {
        flood.extend(attacker.seal(PING, &[0x01, 0x00, 0xc0]));
    }
    for _ in 0..10_000 {
        flood.extend(attacker.seal(PONG, &[0x01, 0x00, 0xc0]));
    }
    let Attacker {
        stream,
        mut ingress,
        key: _,
        egress: _,
        mut arrived,
    } = attacker;
    let (mut read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(&flood).await.expect("the node reads on");
        write
    });
    let mut pongs = 0;
    let mut buffer = vec![0; 64 * 1024];
    let mut quiet = false;
    while !(sending.is_finished() && quiet) {
        match timeout(Duration::from_secs(1), read.read(&mut buffer)).await {
            Err(_) => quiet = true,
            Ok(len) => {
                quiet = false;
                arrived.extend_from_slice(&buffer[..len.expect("the node stays")]);
            }
        }
        let mut at = 0;
        while let Some(body) = ingress
            .next(&mut arrived, &mut at, 1 << 20)
            .expect("good frames")
        {
            pongs += u32::from(body[0] == 3);
        }
        arrived.drain(..at);
    }
    assert!((1..=100_000).contains(&pongs), "{pongs}");
    assert_eq!(
        victim.handle.peers().await.len(),
        1,
        "it is a nuisance, not a breach"
    );
    drop(sending.await.expect("the flood went through"));
    victim.still_serves().await;
}

#[tokio::test]
async fn m8_disconnects_of_any_form_end_it() {
    let victim = Victim::start();
    let mut forms: Vec<Vec<u8>> = (0x0c..=0xffu64)
        .step_by(9)
        .map(|code| List::new().uint(code).finish())
        .collect();
    forms.extend([
        vec![0xc0],
        vec![0xc5, 1, 2, 3, 4, 5],
        vec![0x08],
        vec![0x80],
        vec![0xff],
        vec![0xc3, 0x82, 1, 0],
    ]);
    for payload in &forms {
        let mut attacker = Attacker::friend(&victim.enode()).await;
        attacker.say_packed(DISCONNECT, payload).await;
        assert_eq!(attacker.end().await, End::Eof, "{payload:02x?}");
    }
    let closed = victim.handle.counters().await.closed;
    let theirs: u64 = closed
        .iter()
        .filter(|(word, _)| word.starts_with("theirs_"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(theirs, forms.len() as u64, "{closed:?}");
    assert!(closed.len() <= 6, "no word per number: {closed:?}");
    victim.still_serves().await;
}

#[tokio::test]
async fn m9_codes_of_nobody_end_it_and_reserved_ones_do_not() {
    let victim = Victim::start();
    let mut attacker = Attacker::friend(&victim.enode()).await;
    for code in 4..16 {
        attacker.say_packed(code, &[0xc0]).await;
    }
    attacker.say_packed(0, &[0xc0]).await;
    assert!(attacker.is_alive().await);
    for code in [16 + 128, 1 << 63, u64::MAX] {
        let mut attacker = Attacker::friend(&victim.enode()).await;
        attacker.say_packed(code, &[0xc0]).await;
        assert_eq!(attacker.end().await, End::Eof, "{code}");
    }
    victim.counted("unknown_code", 3).await;
    // A code that is no integer.
    let mut attacker = Attacker::friend(&victim.enode()).await;
    let frame = attacker
        .egress
        .seal(&[0xc0], &[0x01, 0x00, 0xc0])
        .expect("short enough");
    attacker.send(&frame).await;
    assert_eq!(attacker.end().await, End::Eof);
    victim.still_serves().await;
}

// ---- M10: the Status of Whisper -----------------------------------------------------------------------

fn status(version: u64, pow: f64, bloom: &[u8]) -> Vec<u8> {
    List::new()
        .uint(version)
        .uint(pow.to_bits())
        .bytes(bloom)
        .boolean(false)
        .finish()
}

#[tokio::test]
async fn m10_bad_statuses_break_the_rules_of_whisper() {
    let victim = Victim::start();
    let full = [0xff; 64];
    for payload in [
        vec![0x80],
        vec![0x06],
        vec![0xc0],
        status(5, 0.2, &full),
        status(7, 0.2, &full),
        status(6, f64::NAN, &full),
        status(6, f64::INFINITY, &full),
        status(6, f64::NEG_INFINITY, &full),
        status(6, -1.0, &full),
        status(6, 0.2, &full[..63]),
        status(6, 0.2, &[0xff; 65]),
    ] {
        let mut attacker = Attacker::connect(&victim.enode()).await;
        attacker.say_packed(STATUS, &payload).await;
        assert_eq!(attacker.end().await, BROKEN, "{payload:02x?}");
    }
    victim.counted("ours_subprotocol", 11).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m10_envelopes_before_the_status_break_them_and_updates_wait() {
    let victim = Victim::start();
    let mut early = Attacker::connect(&victim.enode()).await;
    early.say_packed(ENVELOPES, &[0xc0]).await;
    assert_eq!(early.end().await, BROKEN);
    let mut eager = Attacker::connect(&victim.enode()).await;
    eager
        .say_packed(18, &rlp::encode_uint(0.5f64.to_bits()))
        .await;
    eager.say_packed(19, &rlp::encode_bytes(&[0xff; 64])).await;
    assert!(eager.is_alive().await);
    eager.say_packed(STATUS, &MINIMAL_STATUS).await;
    eager.say_packed(STATUS, &MINIMAL_STATUS).await;
    assert!(eager.is_alive().await, "a second Status is ignored");
    let wants = victim.handle.peers().await[0]
        .wants
        .expect("a Status was said");
    assert_eq!(wants.min_pow, 0.5, "what came before the Status counts");
    victim.still_serves().await;
}

#[tokio::test]
async fn m10_silence_instead_of_a_status_ends_after_ten_seconds() {
    let victim = Victim::start();
    let mut silent = Attacker::connect(&victim.enode()).await;
    let started = Instant::now();
    assert_eq!(silent.end().await, BROKEN);
    assert!(
        started.elapsed() >= Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
    victim.still_serves().await;
}

// ---- M20: slow peers ----------------------------------------------------------------------------------

#[tokio::test]
async fn m20_a_handshake_by_the_byte_is_ended_by_its_deadline() {
    let victim = Victim::start();
    let mut stream = TcpStream::connect(victim.enode().tcp())
        .await
        .expect("the node listens");
    let started = Instant::now();
    let mut end = [0];
    // A plausible size, and then a byte now and then.
    let mut bytes = [0x01, 0xb3].into_iter().chain(std::iter::repeat(7));
    loop {
        drop(
            stream
                .write_all(&[bytes.next().expect("without end")])
                .await,
        );
        match timeout(Duration::from_millis(250), stream.read(&mut end)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => panic!("the node answered a part of a packet"),
            Err(_) => assert!(started.elapsed() < PATIENCE, "the node waits for ever"),
        }
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    victim.counted("handshake_timeout", 1).await;
    victim.still_serves().await;
}

#[tokio::test]
async fn m20_a_peer_that_never_reads_is_given_up_and_others_are_served() {
    let victim = Victim::start();
    let mut honest = Victim::with(|config| config.static_peers.push(victim.enode()));
    interested(&mut honest.events).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = socket
        .connect(victim.enode().tcp())
        .await
        .expect("the node listens");
    let mut deaf = Attacker::on(stream, victim.enode().public_key(), Form::Eip8).await;
    deaf.greet().await;
    deaf.say_packed(STATUS, &MINIMAL_STATUS).await;
    // More than the buffers of the system and our own take together.
    for _ in 0..16 {
        let mut filler = vec![0; 900_000];
        rand_core::Rng::fill_bytes(&mut ChaCha20Rng::from_seed(random()), &mut filler);
        let sent = envelope(&filler);
        victim
            .handle
            .post(sent.clone())
            .await
            .expect("a good envelope");
        assert_eq!(received(&mut honest.events).await.hash(), sent.hash());
    }
    let until = Instant::now() + PATIENCE;
    while victim.handle.counters().await.peers > 1 {
        assert!(
            Instant::now() < until,
            "{:?}",
            victim.handle.counters().await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let closed = victim.handle.counters().await.closed;
    assert!(
        closed.contains_key("write_timeout") || closed.contains_key("ours_network"),
        "given up for being deaf: {closed:?}"
    );
    drop(deaf);
    honest.handle.shutdown().await;
    victim.still_serves().await;
}
